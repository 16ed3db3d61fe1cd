# Every optimizer and wrapper is compared with something independent, or the build stops: traces of a reference in a file of its own,
# tests/golden/optimizers/NAME.json (tests/unit/method_cases.h), or in optimizers_first_order.json, or a test that names it in a line
# "reference cases: NAME, NAME".
bad=0
for file in src/optim/*.c src/optim/wrap/*.c; do
    name=$(basename "$file" .c)
    grep -qs '"iterates"' "tests/golden/optimizers/$name.json" && continue
    grep -qE "\"optimizer\": *\"$name\"" tests/golden/optimizers_first_order.json && continue
    grep -hE 'reference cases:' tests/unit/*.c | grep -qE "[:, ]$name([, .]|\$)" && continue
    echo "$file: no reference case: add tests/golden/optimizers/$name.json with traces, or a test with a line \"reference cases: $name\"" >&2
    bad=1
done
exit $bad
