# Alarms of `pitot train`: the command that is run for them, the exit status that reflects them, and what `pitot watch` says of them.
. "$(dirname "$0")/common"

cat >"$here/m.json" <<'END'
{"name": "mlp", "input": [1, 16, 16], "loss": "cross_entropy", "layers": [{"op": "flatten"}, {"op": "linear", "name": "fc1", "out_features": 24},
 {"op": "relu"}, {"op": "linear", "name": "fc2", "out_features": 10}]}
END
lost="--set lr=1e6 --set weight_decay=1e6" # every step makes the weights 1e12 times as large: infinite within a few
train() { "$PITOT" train --model "$here/m.json" --data glyphs:600 "$@"; }
cat >"$here/note" <<'END'
printf '%s|%s|%s|%s|%s|%s\n' "$PITOT_ALARM_NAME" "$PITOT_ALARM_STEP" "$PITOT_ALARM_VALUE" "$PITOT_RUN" "$PITOT_ALARM_SAYS" "$1" >>"$NOTES"
END

NOTES=$here/notes train --steps 40 --optimizer sgd $lost --probes loss,grad_norm --out "$here/lost" --quiet \
    --alarm-cmd ". $here/note" --fail-on-alarm >"$here/out" 2>"$here/err"
status=$?
[ $status = 3 ]; check $? "a lost run: exit status 3" "$status: $(cat "$here/err")"
[ "$(grep -c '^loss|' "$here/notes")" = 1 ]; check $? "the command ran once for the loss" "$(cat "$here/notes")"
grep -q "^loss|[0-9]*|-\?nan|$here/lost|loss nan, \|^loss|[0-9]*|-\?nan|$here/lost|loss nan " "$here/notes"; check $? "it knows what, when and where" "$(cat "$here/notes")"
awk -F'|' '$5 != $6 || $5 !~ /lower the learning rate/ { exit 1 }' "$here/notes"; check $? "and the sentence, both ways" "$(cat "$here/notes")"
"$PITOT" watch --once --alarms "$here/lost" >"$here/page"
grep -q '^alarm .*loss nan' "$here/page"; check $? "watch --once --alarms says it" "$(head -n 5 "$here/page")"
"$PITOT" watch --once "$here/lost" | sed -n 2p | grep -q '^alarm loss nan'; check $? "watch --once has the line" "$("$PITOT" watch --once "$here/lost" | head -n 3)"
NOTES=$here/again "$PITOT" train --resume "$here/lost" --steps 40 --quiet --alarm-cmd ". $here/note" >"$here/out" 2>"$here/err"
[ ! -e "$here/again" ]; check $? "nothing left to do: nothing is told again" "$(cat "$here/again" 2>&1)"

train --steps 10 $lost --probes loss --out "$here/plain" --quiet >"$here/out" 2>"$here/err"
[ $? = 0 ]; check $? "not asked, the exit status is as ever" "$(cat "$here/err")"

NOTES=$here/calm train --steps 60 --set lr=0.05 --probes economy,update_ratio --out "$here/fine" --quiet --alarm-cmd ". $here/note" \
    --fail-on-alarm >"$here/out" 2>"$here/err"
status=$?
[ $status = 0 ] && [ ! -e "$here/calm" ]; check $? "a run that learns: no command, exit status 0" "$status, $(cat "$here/calm" 2>&1)"
"$PITOT" watch --once --size 80x24 "$here/fine" | wc -l | grep -q '^24$'; check $? "the frame keeps its rows" "it does not"

# commands that fail, that stay, that never were
train --steps 10 $lost --probes loss,grad_norm --out "$here/bad" --quiet --alarm-cmd 'exit 7' >"$here/out" 2>"$here/err"
[ $? = 0 ] && [ "$(grep -c 'alarm-cmd.*status 7' "$here/err")" = 1 ]; check $? "a command that fails is told once" "$(cat "$here/err")"
before=$(date +%s)
train --steps 10 $lost --probes loss --out "$here/slow" --quiet --alarm-cmd 'exec sleep 20' >"$here/out" 2>"$here/err"
took=$(($(date +%s) - before))
[ $took -lt 15 ]; check $? "a command that stays is not waited for" "$took s"
train --steps 30 $lost --probes loss --out "$here/w1" --quiet --save "$here/w1.w" --alarm-cmd true >"$here/out" 2>&1
train --steps 30 $lost --probes loss --out "$here/w2" --quiet --save "$here/w2.w" >"$here/out" 2>&1
cmp -s "$here/w1.w" "$here/w2.w"; check $? "the training is the same, bit for bit" "weights differ"
train --steps 5 --out "$here/lost" --quiet --alarm-cmd 'echo told' >"$here/out" 2>"$here/err"
[ $? != 0 ] && ! grep -q told "$here/out"; check $? "a run that never began tells nothing of another's log" "$(cat "$here/out" "$here/err")"
finish
