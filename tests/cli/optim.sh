# Optimizers and wrappers through the command, the race, and examples/own_shampoo.c.
. tests/cli/common
export MALLOC_PERTURB_=165
printf '{"name":"m","input":[1,16,16],"loss":"cross_entropy","layers":[{"op":"flatten"},{"op":"linear","out_features":8},{"op":"tanh"},{"op":"linear","out_features":10}]}' >"$here/m.json"
t() { "$PITOT" train --model "$here/m.json" --data glyphs:120 --batch 30 --seed 2 --quiet "$@"; }

# ---- every name trains; every wrapper by either way ----
for name in $("$PITOT" list optimizers | awk '{ print $1 }'); do
    works "train --optimizer $name" t --optimizer "$name" --probes loss --steps 3 --out "$here/o-$name"
    works "list optimizers $name" "$PITOT" list optimizers "$name"
    grep -q '^  state' "$here/out" && grep -q '^  cost' "$here/out" && grep -q '^  paper' "$here/out" && grep -q '^  tensors' "$here/out"
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
refuses "a wrapper alone" 2 'as in sgd+cosine' t --optimizer cosine --out "$here/no"
refuses "a wrapper for an option" 2 'as in clip_norm.max=1' t --set clip_norm=1 --out "$here/no"
refuses "an optimizer's name before its option" 2 'leave "adam." away' t --optimizer adam --set adam.lr=1 --out "$here/no"
refuses "one value for two" 2 'give 2 numbers in [0, 1), as in 0.9,0.999' t --optimizer adam --set betas=0.9 --out "$here/no"
refuses "clipping what is then made anew" 2 '--optimizer sgd+clip_norm+sam' t --optimizer sgd+sam+clip_norm --out "$here/no"
refuses "a line search on another gradient" 2 'leave accumulate away' t --optimizer lbfgs --set accumulate.every=2 --out "$here/no"
works "an option called as a wrapper is" t --optimizer kfac --set step=model --probes loss --steps 2 --out "$here/model"
[ ! -e "$here/no" ]; check $? "what is refused leaves nothing" "$(ls "$here/no" 2>&1)"
refuses "list: a wrapper among the optimizers" 2 'see `pitot list wrappers sam`' "$PITOT" list optimizers sam
refuses "list: nearly an optimizer" 2 'did you mean "adamw"?' "$PITOT" list optimizers admw
refuses "list: one of something" 2 'see `pitot list optimizers adam`' "$PITOT" list adam
refuses "list: singular" 2 'did you mean optimizers?' "$PITOT" list optimizer
works "list: what options change" "$PITOT" list optimizers sophia
grep -q 'with estimator=hutchinson: gradients, products with the Hessian' "$here/out"; check $? "other needs" "$(cat "$here/out")"
works "list: ranges for programs" "$PITOT" list optimizers adam --json
grep -q '"below":[[:space:]]*1' "$here/out"; check $? "a bound that is not in the range" "$(cat "$here/out")"

# ---- broken off and resumed: the same bytes ----
for what in "adam+warmup+cosine+accumulate+clip_norm cosine.steps=9" "sgd+clip_norm+sam+average lr=0.1" "shampoo+linear linear.steps=9" \
    "adamw_schedule_free+warmup lr=0.01" "kfac+clip_samples T_inv=3"; do
    name=${what% *} set="--set ${what#* }"
    works "$name, whole" t --optimizer "$name" $set --probes loss --steps 9 --out "$here/r-$name" --save "$here/whole.w"
    works "$name, the first 5 steps" t --optimizer "$name" $set --probes loss --steps 5 --out "$here/h-$name"
    works "$name, the rest" "$PITOT" train --resume "$here/h-$name" --steps 9 --quiet --save "$here/broken.w"
    cmp -s "$here/whole.w" "$here/broken.w"; check $? "$name: the same bytes" "they differ"
done

refuses "a wrapper's option out of range" 2 "out of range" t --set clip_norm.max=-1 --out "$here/no"

# ---- the race, and what a figure says of bad panels ----
race() { sh examples/optimizer_race.sh -p "$PITOT" -m "$here/m.json" -d glyphs:120 -s 6 -b 30 "$@"; }
works "the race's help" race --help
grep -q 'RACER' "$here/out"; check $? "it says what a racer is" "$(cat "$here/out")"
race -x >"$here/out" 2>&1; [ $? = 2 ]; check $? "the race refuses an unknown flag" "$(cat "$here/out")"
mkdir "$here/mine" && : >"$here/mine/precious"
race -o "$here/mine" sgd >"$here/out" 2>&1; [ $? = 2 ] && [ -e "$here/mine/precious" ]
check $? "it does not take over somebody's folder" "$(cat "$here/out")"
race -o "$here/race2" sgd@0.1,1e5 sgdd adam:eps=1e-6 adam:eps=1e-7 >"$here/out" 2>"$here/err"
[ $? = 1 ] && [ "$(ls -d "$here"/race2/*/ | wc -l)" = 4 ] && [ -s "$here/race2/race.png" ] && grep -q 'failed: sgdd' "$here/err"
check $? "one that fails and one that diverges do not keep the others from running" "$(cat "$here/out" "$here/err")"
race -o "$here/race3" sgd@0.1 sgd@0.1 >"$here/out" 2>"$here/err"
[ $? = 0 ] && [ "$(ls -d "$here"/race3/*/ | wc -l)" = 1 ] && grep -q 'named twice' "$here/err"
check $? "one that is named twice races once" "$(cat "$here/out" "$here/err")"
works "the race" sh examples/optimizer_race.sh -p "$PITOT" -m "$here/m.json" -d glyphs:120 -s 6 -b 30 -o "$here/race" sgd@0.1:momentum=0.9 adam@0.001,0.01 adamw
[ "$(ls -d "$here"/race/*/ | wc -l)" = 4 ] && [ "$(head -c 4 "$here/race/race.png" | tail -c 3)" = PNG ]
check $? "four runs and a figure" "$(ls "$here/race")"
works "a panel over the time" "$PITOT" report "$here/race/adamw" --panel loss@seconds,loss -o "$here/one.svg"
grep -q '<svg' "$here/one.svg"; check $? "it is drawn" "$(head -c 100 "$here/one.svg")"
works "panels on scales that are asked for" "$PITOT" report "$here"/race/*/ --panel loss@log,loss@seconds@log,loss@linear -o "$here/scales.svg"
refuses "a panel that is not there, over the time" '[12]' 'no panel is called "los"' "$PITOT" report "$here/race/adamw" --panel los@seconds -o "$here/two.svg"

# ---- an interval that is too long, and what the probe advises ----
sh examples/stale_refresh.sh -x >"$here/out" 2>&1; [ $? = 2 ]; check $? "stale_refresh refuses an unknown flag" "$(cat "$here/out")"
works "what stale_refresh is" sh examples/stale_refresh.sh --help
sh examples/stale_refresh.sh -p "$PITOT" -m "$here/m.json" -o "$here/mine" >"$here/out" 2>&1; [ $? = 2 ] && [ -e "$here/mine/precious" ]
check $? "it does not take over somebody's folder either" "$(cat "$here/out")"
works "stale_refresh" sh examples/stale_refresh.sh -p "$PITOT" -m "$here/m.json" -d glyphs:120 -s 40 -b 30 -t 30 -o "$here/refresh"
grep -qE '^seldom +30 ' "$here/out" && grep -qE '^advised +[0-9]+ ' "$here/out" && [ -s "$here/refresh/stale.png" ]
check $? "it prints a table and draws" "$(cat "$here/out")"
! grep -q '"error"' "$here"/refresh/*/events.jsonl
check $? "every factor is accepted" "$(grep -ho '"error":.*' "$here"/refresh/*/events.jsonl)"

works "a method without a preconditioner" t --optimizer sgd --probes precond_staleness --steps 3 --out "$here/none"
grep -q '"precond_staleness.remark":"needs the optimizer.s preconditioner' "$here/none/events.jsonl"
check $? "the log says why there is nothing" "$(cat "$here/none/events.jsonl")"

# ---- somebody's own Shampoo ----
works "own_shampoo" "$B/examples/own_shampoo" "$here/stale" 50
awk 'END { exit !(NR > 5) }' "$here/out"
check $? "it prints lines"
grep -q '"precond_staleness.lost":' "$here/stale/events.jsonl" && grep -q '"precond_staleness.inverse_error/W":' "$here/stale/events.jsonl"
check $? "the log has how stale it is"
exit $bad
