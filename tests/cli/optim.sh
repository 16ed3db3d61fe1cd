# Optimizers and wrappers through the command, the race, and examples/own_shampoo.c.
. tests/cli/common
export MALLOC_PERTURB_=165
printf '{"name":"m","input":[1,16,16],"loss":"cross_entropy","layers":[{"op":"flatten"},{"op":"linear","out_features":8},{"op":"tanh"},{"op":"linear","out_features":10}]}' >"$here/m.json"
t() { "$PITOT" train --model "$here/m.json" --data glyphs:120 --batch 30 --seed 2 --quiet "$@"; }

# ---- every name trains; every wrapper by either way ----
for name in $("$PITOT" list optimizers | awk '{ print $1 }'); do
    works "train --optimizer $name" t --optimizer "$name" --probes loss --steps 3 --out "$here/o-$name"
    works "list optimizers $name" "$PITOT" list optimizers "$name"
    grep -q '^  state' "$here/out" && grep -q '^  cost' "$here/out" && grep -q '^  paper' "$here/out"
    check $? "it teaches $name" "$(head -n 4 "$here/out")"
done
for name in $("$PITOT" list wrappers | awk '{ print $1 }'); do
    works "train --optimizer sgd+$name" t --optimizer "sgd+$name" --probes loss --steps 4 --out "$here/w-$name"
done
works "a wrapper by its option" t --set lr=0.1 --set clip_norm.max=0.5 --set cosine.last=0.1 --probes loss --steps 4 --out "$here/by-option"
grep -q '"clip_norm.max":[[:space:]]*"0.5"' "$here/by-option/run.json" && grep -q '"cosine.last":[[:space:]]*"0.1"' "$here/by-option/run.json"
check $? "the manifest has the wrappers' options"
works "the learning rate in the log" t --optimizer sgd+cosine --set lr=0.4 --probes loss --steps 4 --out "$here/lr"
refuses "unknown wrapper" 2 'did you mean "cosine"' t --optimizer sgd+cosin --out "$here/no"
refuses "a wrapper's option out of range" 2 "out of range" t --set clip_norm.max=-1 --out "$here/no"

# ---- the race, and what a figure says of bad panels ----
works "the race" sh examples/optimizer_race.sh -p "$PITOT" -m "$here/m.json" -d glyphs:120 -s 6 -b 30 -o "$here/race" sgd@0.1:momentum=0.9 adam@0.001,0.01 adamw
[ "$(ls -d "$here"/race/*/ | wc -l)" = 4 ] && [ "$(head -c 4 "$here/race/race.png" | tail -c 3)" = PNG ]
check $? "four runs and a figure" "$(ls "$here/race")"
works "a panel over the time" "$PITOT" report "$here/race/adamw" --panel loss@seconds,loss -o "$here/one.svg"
refuses "a panel that is not there, over the time" '[12]' 'no panel is called "los"' "$PITOT" report "$here/race/adamw" --panel los@seconds -o "$here/two.svg"

# ---- an interval that is too long, and what the probe advises ----
works "stale_refresh" sh examples/stale_refresh.sh -p "$PITOT" -m "$here/m.json" -d glyphs:120 -s 40 -b 30 -t 30 -o "$here/refresh"
grep -qE '^seldom +30 ' "$here/out" && grep -qE '^advised +[0-9]+ ' "$here/out" && [ -s "$here/refresh/stale.png" ]
check $? "it prints a table and draws" "$(cat "$here/out")"
! grep -q '"error"' "$here"/refresh/*/events.jsonl
check $? "every factor is accepted" "$(grep -ho '"error":.*' "$here"/refresh/*/events.jsonl)"

# ---- somebody's own Shampoo ----
works "own_shampoo" "$B/examples/own_shampoo" "$here/stale" 50
awk 'END { exit !(NR > 5) }' "$here/out"
check $? "it prints lines"
grep -q '"precond_staleness.lost":' "$here/stale/events.jsonl" && grep -q '"precond_staleness.inverse_error/W":' "$here/stale/events.jsonl"
check $? "the log has how stale it is"
exit $bad
