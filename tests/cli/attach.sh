# examples/attach_plain_c.c: how many lines pitot adds to a plain loop, and that the loop without them trains to the same bits.
. tests/cli/common
CC=${CC:-gcc}
source=examples/attach_plain_c.c
level0=$(grep -c '// pitot 0$' $source) more=$(grep -c '// pitot [12]$' $source)
[ "$level0" -le 11 ]
check $? "level 0 adds at most 11 lines for four tensors" "$level0"
[ "$more" -le 6 ]
check $? "levels 1 and 2 add at most 6 more" "$more"
grep -v '// pitot [012]$' $source >"$here/plain.c"
! grep -q 'pitot_' "$here/plain.c"
check $? "nothing of pitot is left without them" "$(grep -n 'pitot_' "$here/plain.c")"
$CC -std=c11 -O2 -ffp-contract=off -Wall -Wextra -Werror -D_GNU_SOURCE -o "$here/plain" "$here/plain.c" -lm 2>"$here/errors"
check $? "the plain loop compiles by itself" "$(head -n 3 "$here/errors")"
"$here/plain" "$here/run" >"$here/without"
for probes in none loss all; do
    rm -rf "$here/run"
    "$B/examples/attach_plain_c" "$here/run" $probes >"$here/with" 2>"$here/errors"
    cmp -s "$here/with" "$here/without"
    check $? "the same losses to the last digit with probes '$probes'" "$(diff "$here/with" "$here/without" | head -n 3)"
done
[ ! -s "$here/errors" ]
check $? "nothing is printed by the library" "$(head -n 3 "$here/errors")"
for key in loss grad_norm noise_scale mean_gsnr hess_max_ev hess_max_ev.min; do
    tail -n 2 "$here/run/events.jsonl" | grep -q "\"$key\":-*[0-9]"
    check $? "the last record has $key"
done
grep -q '"end":"done".*"errors":0' "$here/run/events.jsonl"
check $? "no errors in the log" "$(tail -n 1 "$here/run/events.jsonl")"
exit $bad
