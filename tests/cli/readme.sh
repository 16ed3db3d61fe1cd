# The README's tables are those of the registries, and the files that it names exist.
. "$(dirname "$0")/common"
sh tests/readme.sh "$PITOT" --check >"$here/out" 2>&1
check $? "the tables are the registries'" "$(cat "$here/out")"
for f in $(grep -oE '\]\([a-z][^)#]*\)' README.md | tr -d '])('); do [ -e "$f" ]; check $? "README names $f" "it is not there"; done
finish
