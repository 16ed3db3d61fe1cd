# Every optimizer and wrapper is compared with something independent, or the build stops: a trace of a reference in
# tests/golden/optimizers_first_order.json, or a test that names it in a line "reference cases: NAME, NAME".
bad=0
for file in src/optim/*.c src/optim/wrap/*.c; do
    name=$(basename "$file" .c)
    grep -qE "\"optimizer\": *\"$name\"" tests/golden/optimizers_first_order.json && continue
    grep -hE 'reference cases:' tests/unit/*.c | grep -qE "[:, ]$name([, .]|\$)" && continue
    echo "$file: no reference case: add a trace to tests/golden/optimizers_first_order.json, or a test with a line \"reference cases: $name\"" >&2
    bad=1
done
exit $bad
