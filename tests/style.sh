# make format-check: what can be seen mechanically. Says every finding with its place; exit status 1 if there are any.
bad=0
say() { # WHAT FINDINGS
    [ -z "$2" ] && return
    printf '%s\n%s\n' "$1" "$2"
    bad=1
}
files=$(ls include/*.h include/pitot/*.h src/*/*.[ch] src/*/*/*.[ch] src/*/*.inc probes/*.c viewer/*.[ch] viewer/*/*.[ch] examples/*.c tests/*/*.[ch] 2>/dev/null)
code=$(echo "$files" | grep -v '^tests/')

say "longer than 150 columns, tabs, or blanks at the end:" \
    "$(awk 'length($0) > 150 || /\t/ || / $/ {print FILENAME ":" FNR ": " substr($0, 1, 60)}' $files)"
say "functions that cannot be bounded or that answer errors badly:" \
    "$(grep -nE '\b(sprintf|strcpy|strcat|gets|atoi|atof|tmpnam|system)\(' $code)"
say "the library neither prints, ends the process, nor allocates by itself:" \
    "$(grep -nE '\b(printf|puts|fputs|exit|abort|malloc|calloc|realloc)\(' $(echo "$code" | grep -E '^(src|probes)/') | grep -vE 'snprintf|^src/base/alloc.c')"
say "left open:" "$(grep -nwE 'TODO|FIXME|XXX' $files)"
say "probes know pitot/probe.h and nothing of ours besides:" \
    "$(grep -nE '#include "' probes/*.c | grep -v 'pitot/probe.h')"
say "the viewer knows the public headers and its own:" "$(grep -nE '#include "(base|data|net|optim|run|train|sweep|curve)/' viewer/*.[ch] viewer/*/*.[ch])"

# a folder includes only folders that come before it here
below=""
for folder in base data net curve sweep optim run train; do
    [ -d "src/$folder" ] || continue
    below="$below|$folder"
    say "src/$folder includes a folder above it:" \
        "$(grep -rnE '#include "(base|data|net|curve|sweep|optim|run|train)/' "src/$folder" | grep -vE "#include \"(${below#|})/")"
done
if command -v ctags >/dev/null && ctags --version 2>/dev/null | grep -q Universal; then
    say "functions over 70 lines:" "$(ctags --languages=C --kinds-C=f --fields=+ne -o - $files 2>/dev/null |
        awk -F'\t' '{l=0;e=0;for(i=4;i<=NF;i++){if($i~/^line:/)l=substr($i,6);if($i~/^end:/)e=substr($i,5)} if(e-l>=70) print $2 ":" l ": " $1 ", " e-l+1 " lines"}')"
fi
say "files over 1,000 lines:" "$(wc -l $files | awk '$2 != "total" && $1 > 1000 {print $2 ": " $1}')"
if command -v clang-format >/dev/null; then
    say "laid out otherwise than .clang-format says (clang-format -i mends it):" "$(clang-format --dry-run $files 2>&1 | grep -E 'warning|error' | sed 's/: warning.*//' | head -20)"
else
    echo "(clang-format is not installed: layout not checked)"
fi
[ "$bad" = 0 ] && echo "style: nothing found in $(echo "$files" | wc -l) files"
exit $bad
