# Prints the C source of a registry: table.sh 'FILES|TYPE|PREFIX|TABLE|HEADER'. Every file NAME.c that matches FILES defines PREFIX##NAME.
set -f
IFS='|'
set -- $1
unset IFS
set +f
files=$1 type=$2 prefix=$3 table=$4 header=$5
echo "/* Written by make from the names in ${files%/*}/. */"
echo "#include \"$header\""
names=$(ls $files 2>/dev/null | LC_ALL=C sort | sed 's|.*/||; s|\.c$||')
for n in $names; do echo "extern $type $prefix$n;"; done
echo "extern $type *const $table[];"
echo "$type *const $table[] = {"
for n in $names; do echo "    &$prefix$n,"; done
echo "    0,"
echo "};"
