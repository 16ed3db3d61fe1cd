# Every command: its help, its listings, and what it says when it is used wrongly.
. "$(dirname "$0")/common"

cat >"$here/m.json" <<'END'
{"input": [1, 16, 16], "loss": "cross_entropy", "layers": [{"op": "flatten"}, {"op": "linear", "name": "first", "out_features": 6}, {"op": "linear", "name": "fc", "out_features": 10}]}
END
echo '{"input": [1, 16, 16], "loss": "cross_entropy", "layers": [{"op": "linaer"}]}' >"$here/typo.json"
echo '{"input": [1, 16, 16], "loss": "cross_entropy" "layers": []}' >"$here/broken.json"
sed 's/"fc"/"other"/' "$here/m.json" >"$here/other.json"
printf 'no tensors' >"$here/junk.safetensors"
m=$here/m.json w=$here/w.safetensors d=glyphs:60

# ---- help and listings ----

works "pitot --help" "$PITOT" --help
commands=$(sed -n 's/^  \([a-z]*\)  .*/\1/p' "$here/out" | grep -v '^pitot$')
[ "$(echo "$commands" | wc -w)" -ge 6 ]; check $? "there are commands" "$commands"
for c in $commands; do
    works "$c --help" "$PITOT" "$c" --help
    grep -q "^usage: pitot $c" "$here/out"; check $? "$c --help says how" "$(head -n 1 "$here/out")"
    works "$c -h" "$PITOT" "$c" -h
done
works "pitot --version" "$PITOT" --version
grep -q '^pitot [0-9.]* (float)$' "$here/out"; check $? "version" "$(cat "$here/out")"
[ "$("$PITOT_D" --version)" = "$(sed s/float/double/ "$here/out")" ]; check $? "version of the double build" "$("$PITOT_D" --version)"

works "list" "$PITOT" list
for r in probes optimizers wrappers ops data operators; do
    works "list $r" "$PITOT" list $r
    names=$(sed -n 's/^  \([a-z0-9_]*\).*/\1/p' "$here/out")
    works "list $r --json" "$PITOT" list $r --json
    strict_json <"$here/out"; check $? "list $r --json is JSON" "$(head -c 100 "$here/out")"
    [ "$(grep -c '^[[:space:]]\{0,2\}"name":' "$here/out")" = "$(echo $names | wc -w)" ]
    check $? "list $r: as many in both forms" "$names"
    for n in $names; do works "list $r $n" "$PITOT" list $r $n; done
    for n in $names; do "$PITOT" list $r $n --json | strict_json || not_ok "list $r $n --json" "not JSON"; done
done
works "list optimizers adam" "$PITOT" list optimizers adam
grep -q 'betas' "$here/out"; check $? "options are listed" "$(cat "$here/out")"
works "doctor" "$PITOT" doctor
works "doctor --json" "$PITOT" doctor --json
strict_json <"$here/out"; check $? "doctor --json is JSON" "$(head -c 100 "$here/out")"
grep -q OpenBLAS "$here/out"; check $? "doctor names the BLAS" "$(head -c 300 "$here/out")"

# ---- wrong words ----

refuses "unknown command" 2 'there is no command "trian"' "$PITOT" trian
"$PITOT" >"$here/out" 2>&1; [ $? = 2 ]; check $? "no command" "status"
for c in $commands; do refuses "$c: unknown flag" 2 "unknown flag --nonsense" "$PITOT" "$c" --nonsense; done
refuses "nearest flag" 2 "did you mean --model?" "$PITOT" train --modl x
refuses "missing value" 2 "--model needs a value" "$PITOT" train --model
refuses "value too many" 2 "--no-shuffle takes no value" "$PITOT" train --no-shuffle=1
refuses "twice" 2 "--model stands there twice" "$PITOT" train --model a --model b
refuses "one argument too many" 2 "one argument too many" "$PITOT" train --model "$m" extra
for v in 0 -1 1.5 many "" 99999999999999999999; do
    refuses "--batch '$v'" 2 "give a whole number" "$PITOT" train --model "$m" --out "$here/never" --batch "$v"
done
for v in 0 -5% none 5%% "" nan inf 5x; do
    refuses "--budget '$v'" 2 "give a percentage" "$PITOT" train --model "$m" --out "$here/never" --budget "$v"
done
refuses "--every and --budget" 2 "exclude each other" "$PITOT" train --model "$m" --every 2 --budget 5%
refuses "--epochs and --steps" 2 "exclude each other" "$PITOT" train --model "$m" --epochs 2 --steps 5
refuses "--resume and --out" 2 "leave --out away" "$PITOT" train --resume "$here/x" --out "$here/y"
refuses "no model" 2 "--model FILE is missing" "$PITOT" train --data $d
refuses "--resume of nothing" 2 "there is no run to resume" "$PITOT" train --resume "$here/nothing"
refuses "list of nonsense" 2 "is none of probes" "$PITOT" list nonsense
refuses "list of an unknown name" 2 'there is no "adm"' "$PITOT" list optimizers adm
refuses "list --json of all" 2 "say of what" "$PITOT" list --json
refuses "report without a run" 2 "" "$PITOT" report
refuses "report of nothing" 1 "$here/nothing" "$PITOT" report "$here/nothing"
refuses "report of a screen that is none" 2 "primary, secondary or all" "$PITOT" report "$here" --screen third

# ---- wrong values ----

t() { echo "$PITOT train --data $d --out $here/never"; }
refuses "unknown optimizer" 2 'did you mean "adam"?' $(t) --model "$m" --optimizer adm
refuses "unknown option" 2 'unknown option "rate"' $(t) --model "$m" --set rate=1
refuses "option without value" 2 "is not KEY=VALUE" $(t) --model "$m" --set lr
refuses "option out of range" 2 "out of range" $(t) --model "$m" --optimizer adam --set betas=0.9,1.5
refuses "option not a number" 2 "is not a number" $(t) --model "$m" --set lr=much
refuses "unknown probe" 2 'did you mean "grad_norm"?' $(t) --model "$m" --probes grad_nrm
refuses "bad schedule" 2 "behind the @" $(t) --model "$m" --probes loss@0
refuses "unknown probe in --set" 2 'unknown wrapper or probe "nosuch"' $(t) --model "$m" --set nosuch.x=1
refuses "unknown data" 2 'no format "nosuch"' "$PITOT" train --model "$m" --out "$here/never" --data nosuch:x

# ---- wrong files ----

refuses "missing model" 1 "$here/no.json" $(t) --model "$here/no.json"
refuses "model is a folder" 1 "is a folder" $(t) --model "$here"
refuses "model is not JSON" 1 "broken.json:1:" $(t) --model "$here/broken.json"
refuses "model with a typo" '[12]' 'did you mean "linear"?' $(t) --model "$here/typo.json"
refuses "model is something else" 1 "junk.safetensors" $(t) --model "$here/junk.safetensors"
refuses "missing data" 1 "$here/nothing" "$PITOT" train --model "$m" --out "$here/never" --data "mnist:$here/nothing"
refuses "data is a folder" 1 "$here" "$PITOT" train --model "$m" --out "$here/never" --data "npz:$here"
refuses "data is something else" 1 "m.json" "$PITOT" train --model "$m" --out "$here/never" --data "npz:$m"
refuses "--init is something else" 1 "junk.safetensors" $(t) --model "$m" --init "$here/junk.safetensors"
refuses "--out below a file" 1 "the folder cannot be made" "$PITOT" train --model "$m" --data $d --out "$m/run"
refuses "--out in /proc" 1 "/proc" "$PITOT" train --model "$m" --data $d --out /proc/run
[ ! -e "$here/never" ]; check $? "nothing was begun" "$(ls "$here/never" 2>&1)"
works "a run" "$PITOT" train --model "$m" --data $d --steps 2 --quiet --out "$here/run" --save "$w"
refuses "--out that is taken" 2 "there is a run in it already" "$PITOT" train --model "$m" --data $d --out "$here/run"
refuses "--save cannot be written" 1 "$here/no/such/w" "$PITOT" train --model "$m" --data $d --steps 2 --out "$here/run2" --save "$here/no/such/w"

# ---- inspect ----

i() { echo "$PITOT inspect --data $d --batch 4"; }
refuses "inspect without weights" 2 "--weights is missing" $(i) --model "$m"
refuses "inspect without a model" 2 "--model is missing" $(i) --weights "$w"
refuses "missing weights" 1 "$here/no.w" $(i) --model "$m" --weights "$here/no.w"
refuses "weights of another model" 1 "w.safetensors" $(i) --model "$here/other.json" --weights "$w"
refuses "weights are something else" 1 "junk.safetensors" $(i) --model "$m" --weights "$here/junk.safetensors"
refuses "batch larger than the data" 2 "has only 60 samples" "$PITOT" inspect --data $d --batch 61 --model "$m" --weights "$w"
refuses "--precision" 2 "float or double" $(i) --model "$m" --weights "$w" --precision half
refuses "inspect --set" 2 "only lr and PROBE.OPTION" $(i) --model "$m" --weights "$w" --set momentum=1
refuses "inspect --set lr" 2 "is not a number" $(i) --model "$m" --weights "$w" --set lr=fast
refuses "inspect: unknown probe" 2 'did you mean "loss"?' $(i) --model "$m" --weights "$w" --probes los
refuses "--json cannot be written" 1 "$here/no/such" $(i) --model "$m" --weights "$w" --json "$here/no/such.json"
refuses "--json on a full disk" 1 "is the disk full?" $(i) --model "$m" --weights "$w" --json /dev/full
refuses "standard output on a full disk" 1 "cannot be written" sh -c "$PITOT list >/dev/full"
npy() { # FILE VALUES: a vector of that many float32 zeros
    local header="{'descr': '<f4', 'fortran_order': False, 'shape': ($2,), }"
    header=$(printf '%-117s' "$header")
    { printf '\223NUMPY\001\000\166\000%s\n' "$header"; head -c $((4 * $2)) /dev/zero; } >"$1"
}
p() { echo "$(i) --model $m --weights $w --probes product --set product.vector=$1"; }
npy "$here/short.npy" 3
refuses "product without a vector" 2 "needs --set product.vector" $(i) --model "$m" --weights "$w" --probes product
refuses "product: no such file" 1 "$here/no.npy" $(p "$here/no.npy")
refuses "product: not an array" 1 "is not a one-dimensional .npy" $(p "$here/junk.safetensors")
refuses "product: another length" 1 "short.npy: has 3 values" $(p "$here/short.npy")
refuses "product: unknown operator" 2 "hessian or ggn" $(p "$here/short.npy") --set product.operator=fisher
refuses "product: unknown option" 2 "operator and vector" $(p "$here/short.npy") --set product.what=1
right=$($(p "$here/short.npy") 2>&1 | grep -oE 'model has [0-9]+' | grep -oE '[0-9]+')
npy "$here/cut.npy" $right && truncate -s -4 "$here/cut.npy"
refuses "product: cut file" 1 "it is damaged" $(p "$here/cut.npy")
npy "$here/zero.npy" $right
works "product with zero" $(p "$here/zero.npy")
strict_json <"$here/out"; check $? "it is JSON" "$(head -c 200 "$here/out")"
works "every probe, the default" $(i) --model "$m" --weights "$w" --set lr=0.1
# what curvature_noise divides by may come out below zero on samples that are mostly noise; there is no optimizer here
[ "$(grep -oE '"[a-z0-9_]*": \{"status": "[a-z_]*"' "$here/out" | grep -v '^"curvature_noise".*"undefined"\|^"precond_staleness".*"needs_level"' | grep -cv '"ok"\|needs_two_steps')" = 0 ]
check $? "all have values" "$(grep -oE '"[a-z_]*": ."status": "(undef|err|needs_l|over)[a-z_]*"' "$here/out" | head -n 3)"
works "--precision double" $(i) --model "$m" --weights "$w" --precision double
grep -q '"precision": "double"' "$here/out"; check $? "it was double" "$(head -c 200 "$here/out")"
works "--precision float" $(i) --model "$m" --weights "$w" --precision float
works "--json FILE" $(i) --model "$m" --weights "$w" --json "$here/answer.json"
strict_json <"$here/answer.json"; check $? "the file is JSON" "$(head -c 200 "$here/answer.json")"
mkdir "$here/alone" && cp "$PITOT" "$here/alone/pitot"
refuses "--precision double without pitot_d" 1 "pitot_d" "$here/alone/pitot" inspect --model "$m" --weights "$w" --data $d --precision double
finish
