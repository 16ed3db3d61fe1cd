# make readme: writes the registries' tables into README.md, between "<!-- table: NAME -->" and "<!-- end -->".
# With --check: says whether they are as they should be, and changes nothing.
pitot=${1:-build/pitot}
out=$(mktemp)
awk -v pitot="$pitot" '
    /^<!-- table: / { print; name = $3; command = pitot " list " name " --markdown"; while ((command | getline line) > 0) print line; close(command); skip = 1; next }
    /^<!-- end -->/ { skip = 0 }
    !skip { print }' README.md >"$out"
if [ "$2" = --check ]; then
    cmp -s README.md "$out" || { echo "README.md: the tables are not those of the registries; make readme mends it"; rm "$out"; exit 1; }
    rm "$out"
else
    cmp -s README.md "$out" && rm "$out" || mv "$out" README.md
fi
