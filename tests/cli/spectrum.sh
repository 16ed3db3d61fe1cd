# `pitot spectrum` as people use it: its files against the contract and against products, what is wrong with input, interrupts.
. "$(dirname "$0")/common"

cat >"$here/m.json" <<'END'
{"name": "mlp", "input": [1, 16, 16], "loss": "cross_entropy", "layers": [{"op": "avg_pool2d", "kernel": 4}, {"op": "flatten"},
 {"op": "linear", "name": "fc1", "out_features": 6}, {"op": "tanh"}, {"op": "linear", "name": "fc2", "out_features": 10}]}
END
sed 's/"fc2"/"other"/' "$here/m.json" >"$here/other.json"
m=$here/m.json w=$here/w.safetensors
works "a run with checkpoints" "$PITOT" train --model "$m" --data glyphs:300 --steps 60 --checkpoint-every 20 --set lr=0.3 --set momentum=0.5 \
    --probes loss,hess_spectrum@20 --out "$here/run" --save "$w" --quiet
s() { echo "$PITOT spectrum --model $m --weights $w --data glyphs:300"; }

# ---- one spectrum ----

fine() { $(s) --samples 50 --top 4 --density --steps 40 --draws 30 --set lr=0.1 --precision double --format png,svg,pdf --out "$1"; }
works "spectrum" fine "$here/a/b"
[ "$(tr '\n' ' ' <"$here/out")" = "$here/a/b/spectrum.json $here/a/b/spectrum.png $here/a/b/spectrum.svg $here/a/b/spectrum.pdf " ]
check $? "it names its files" "$(cat "$here/out")"
strict_json <"$here/a/b/spectrum.json"; check $? "spectrum.json is JSON" "$(head -c 200 "$here/a/b/spectrum.json")"
works "the same again" fine "$here/again"
for f in json png svg pdf; do cmp -s "$here/a/b/spectrum.$f" "$here/again/spectrum.$f"; check $? "the same bytes, $f" "they differ"; done
works "a block of the GGN" $(s) --samples 50 --operator ggn --group fc2 --top 3 --out "$here/ggn"
works "one sample" $(s) --samples 1 --out "$here/one"
if have python3; then
    python3 - "$here" "$PITOT_D" "$m" "$w" <<'END'
import json, subprocess, struct, sys, math
here, pitot, m, w = sys.argv[1:]
read = lambda name: json.load(open(here + "/" + name + "/spectrum.json"))
a = read("a/b")
D = 16 * 6 + 6 + 6 * 10 + 10
assert a["operator"] == "hessian" and a["parameters"] == D and a["samples"] == 50 and a["precision"] == "double" and a["complete"] is True
assert len(a["top"]) == len(a["bottom"]) == 4 and set(a["top"][0]) >= {"value", "residual", "error"} and a["converged"] is True
assert a["limit"] == {"value": 20, "name": "2/lr"} and a["products"] > 30 * 40
nodes, weights = a["density"]["nodes"], a["density"]["weights"]
assert len(nodes) == len(weights) == 30 and all(len(x) == len(y) == 40 and abs(sum(y) - 1) < 1e-10 for x, y in zip(nodes, weights))
# the trace and the sum of squares, from products with unit vectors
trace = squares = 0
for j in range(D):
    head = "{'descr': '<f8', 'fortran_order': False, 'shape': (%d,), }" % D
    head += " " * (63 - (10 + len(head)) % 64) + "\n"
    with open(here + "/e.npy", "wb") as f:
        f.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head.encode() + struct.pack("<%dd" % D, *[float(i == j) for i in range(D)]))
    p = subprocess.run([pitot, "inspect", "--model", m, "--weights", w, "--data", "glyphs:300", "--batch", "50", "--probes", "product",
                        "--set", "product.vector=" + here + "/e.npy"], capture_output=True, check=True)
    column = json.loads(p.stdout)["probes"]["product"]["value"]
    trace += column[j]
    squares += sum(x * x for x in column)
assert abs(a["trace"]["value"] - trace) < 5 * a["trace"]["stderr"], (a["trace"], trace)
assert abs(a["frobenius_squared"]["value"] - squares) < 5 * a["frobenius_squared"]["stderr"], (a["frobenius_squared"], squares)
assert math.sqrt(squares / D) < a["top"][0]["value"] <= math.sqrt(squares)
g = read("ggn")
assert g["operator"] == "ggn" and g["group"] == "fc2" and g["parameters"] == 70 and g["bottom"][0]["value"] > -1e-4 * g["top"][0]["value"]
assert len(g["density"]["nodes"]) > 1 # of a few steps, for the trace
assert read("one")["samples"] == 1
END
    check $? "its numbers keep the contract" "see the log"
fi

# ---- several ----

works "checkpoints of a run" "$PITOT" spectrum "$here/run" --samples 40 --top 3 --density --draws 2 --steps 20 --out "$here/ev"
[ "$(ls "$here/ev" | tr -d '\n')" = "evolution.png$(for n in 20 40 60; do printf 'spectrum-step-000000%s.json' $n; printf 'spectrum-step-000000%s.png' $n; done)" ]
check $? "a spectrum of each and their evolution" "$(ls "$here/ev")"
grep -q '"step": 40' "$here/ev/spectrum-step-00000040.json"; check $? "with its step" "$(head -c 300 "$here/ev/spectrum-step-00000040.json")"
grep -q '"limit": {"value": 10' "$here/ev/spectrum-step-00000040.json"; check $? "the run knows the limit" "$(grep limit "$here/ev/spectrum-step-00000040.json")"
works "the same file twice" "$PITOT" spectrum --model "$m" --weights "$w" --weights "$w" --data glyphs:300 --samples 20 --top 1 --out "$here/twice"
[ "$(ls "$here/twice" | grep -c json)" = 2 ]; check $? "makes two files" "$(ls "$here/twice")"

works "drawn again" "$PITOT" spectrum "$here"/ev/*.json --out "$here/redrawn"
[ "$(cat "$here/out")" = "$here/redrawn/evolution.png" ] && cmp -s "$here/ev/evolution.png" "$here/redrawn/evolution.png"
check $? "is the same picture" "$(cat "$here/out")"
works "one drawn again" "$PITOT" spectrum "$here/a/b/spectrum.json" --out "$here/redrawn"
cmp -s "$here/a/b/spectrum.png" "$here/redrawn/spectrum.png"; check $? "is the same picture, too" "they differ"
echo '{"operator": 1' >"$here/bad.json"
refuses "a damaged spectrum" 1 "bad.json" "$PITOT" spectrum "$here/a/b/spectrum.json" "$here/bad.json" --out "$here/redrawn"

# ---- as the optimizer sees it ----

for o in adam soap; do
    works "a run of $o" "$PITOT" train --model "$m" --data glyphs:300 --optimizer $o --steps 40 --checkpoint-every 20 --set lr=0.01 --set cosine.last=0.5 \
        --set hess_spectrum.draws=1 --probes loss,hess_spectrum@20 --out "$here/run_$o" --quiet
    works "preconditioned by $o" "$PITOT" spectrum "$here/run_$o" --preconditioned --samples 50 --top 3 --density --draws 20 --steps 40 --precision double \
        --out "$here/pre_$o"
done
works "a run of kfac" "$PITOT" train --model "$m" --data glyphs:300 --optimizer kfac --steps 20 --set momentum=0.5 --set kl_clip=0 --set lr=0.02 --probes loss \
    --out "$here/run_kfac" --quiet
works "the GGN preconditioned by kfac" "$PITOT" spectrum "$here/run_kfac" --preconditioned --operator ggn --samples 50 --out "$here/pre_kfac"
grep -aq 'Hessian preconditioned by adam' "$here/pre_adam/spectrum-step-00000040.png"; check $? "the figure says so" "it does not"
works "drawn again" "$PITOT" spectrum "$here/pre_adam/spectrum-step-00000040.json" --out "$here/redrawn"
cmp -s "$here/pre_adam/spectrum-step-00000040.png" "$here/redrawn/spectrum.png"; check $? "is the same picture" "they differ"
if have python3; then
    python3 - "$here" "$PITOT_D" "$m" <<'END'
import json, math, struct, subprocess, sys
here, pitot, m = sys.argv[1:]
read = lambda name: json.load(open(here + "/" + name + ".json"))
a, b, s, k = read("pre_adam/spectrum-step-00000040"), read("pre_adam/spectrum-step-00000020"), read("pre_soap/spectrum-step-00000040"), read("pre_kfac/spectrum")
assert [x["preconditioned"] for x in (a, b, s, k)] == ["adam", "adam", "soap", "kfac"] and a["operator"] == "hessian" and k["operator"] == "ggn"
D = a["parameters"]
# the learning rate of the step after it, on the way to half of what it was
lr = lambda t: 0.01 * (0.5 + 0.5 * (1 + math.cos(math.pi * t / 40)) / 2)
for x, t, beta in ((a, 40, 0.9), (b, 20, 0.9), (s, 40, 0.95)):
    want = (2 + 2 * beta) / ((1 - beta) * lr(t))
    assert x["limit"]["name"] == "(2+2b)/((1-b) lr)" and abs(x["limit"]["value"] / want - 1) < 1e-9, (x["limit"], want)
assert k["limit"]["name"] == "2(1+b)/lr" and abs(k["limit"]["value"] - 150) < 1e-9 and k["bottom"][0]["value"] > -1e-3 * k["top"][0]["value"]
# the trace is the Hessian's diagonal over Adam's denominators, from the checkpoint's bytes and products with unit vectors
path = here + "/run_adam/checkpoints/step-00000040.safetensors"
raw = open(path, "rb").read()
n = struct.unpack("<Q", raw[:8])[0]
head = json.loads(raw[8:8 + n])
v = []
for name in ("fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"):
    begin, end = head[name + ":exp_avg_sq"]["data_offsets"]
    v += struct.unpack("<%df" % ((end - begin) // 4), raw[8 + n + begin:8 + n + end])
assert len(v) == D
p = [1 / (math.sqrt(x / (1 - 0.999 ** 40)) + 1e-8) for x in v]
trace = 0
for j in range(D):
    text = "{'descr': '<f8', 'fortran_order': False, 'shape': (%d,), }" % D
    text += " " * (63 - (10 + len(text)) % 64) + "\n"
    with open(here + "/e.npy", "wb") as f:
        f.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode() + struct.pack("<%dd" % D, *[float(i == j) for i in range(D)]))
    q = subprocess.run([pitot, "inspect", "--model", m, "--weights", path, "--data", "glyphs:300", "--batch", "50", "--probes", "product",
                        "--set", "product.vector=" + here + "/e.npy"], capture_output=True, check=True)
    trace += p[j] * json.loads(q.stdout)["probes"]["product"]["value"][j]
assert abs(a["trace"]["value"] - trace) < 5 * a["trace"]["stderr"], (a["trace"], trace)
assert a["trace"]["stderr"] < abs(trace) / 4
END
    check $? "its numbers are those of P and H" "see the log"
fi
refuses "--preconditioned without a run" 2 "needs a run directory" $(s) --preconditioned
refuses "--preconditioned of a drawn spectrum" 2 "needs a run directory" "$PITOT" spectrum "$here/a/b/spectrum.json" --preconditioned
refuses "--preconditioned with a group" 2 "goes without --group" "$PITOT" spectrum "$here/run_adam" --preconditioned --group fc2
refuses "--preconditioned with options" 2 "goes without --set" "$PITOT" spectrum "$here/run_adam" --preconditioned --set lr=1
refuses "--preconditioned of sgd" 1 "optimizer sgd has no preconditioner" "$PITOT" spectrum "$here/run" --preconditioned --out "$here/none"
refuses "weights without the optimizer's state" 1 "w.safetensors: is of optimizer (none), not adam" "$PITOT" spectrum "$here/run_adam" --preconditioned --weights "$w" \
    --out "$here/none"

# ---- the pane ----

works "watch --once --density" "$PITOT" watch --once --density --size 90x20 "$here/run"
grep -q 'hess_spectrum  step 40, 3 of 3' "$here/out"; check $? "shows the newest density" "$(head -n 3 "$here/out")"
works "watch --once without it" "$PITOT" watch --once --size 90x20 "$here/run"

# ---- wrong input ----

refuses "no model" 2 "--model is missing" "$PITOT" spectrum --weights "$w" --data glyphs
refuses "no weights" 2 "--weights is missing" "$PITOT" spectrum --model "$m" --data glyphs
refuses "no data" 2 "--data is missing" "$PITOT" spectrum --model "$m" --weights "$w"
refuses "weights of another model" 1 "w.safetensors" "$PITOT" spectrum --model "$here/other.json" --weights "$w" --data glyphs:300
refuses "no such group" 2 "no layer or parameter is called" $(s) --group fc3
refuses "no such operator" 2 "--operator nonsense" $(s) --operator nonsense
refuses "more samples than there are" 2 "has only 300 samples" $(s) --samples 301
refuses "no samples" 2 "give a whole number" $(s) --samples 0
refuses "too many eigenvalues" 2 "give a whole number" $(s) --top 1000
refuses "a bad format" 2 "png, svg or pdf" $(s) --format gif
refuses "a bad option" 2 "for the stability limit" $(s) --set rate=3
refuses "lr is no number" 2 "is not a number" $(s) --set lr=fast
refuses "a folder that cannot be" 1 "$m/x" $(s) --out "$m/x"
refuses "no run directory" 1 "$here/nothing" "$PITOT" spectrum "$here/nothing"
refuses "two run directories" 2 "one run directory" "$PITOT" spectrum "$here/run" "$here/run"
if have python3; then
    python3 - "$w" "$here" <<'END'
import struct, sys
raw = bytearray(open(sys.argv[1], "rb").read())
n = struct.unpack("<Q", raw[:8])[0]
zero = raw[:8 + n] + bytes(len(raw) - 8 - n)
open(sys.argv[2] + "/zero.safetensors", "wb").write(zero)
raw[8 + n + 40:8 + n + 44] = struct.pack("<f", float("nan"))
open(sys.argv[2] + "/nan.safetensors", "wb").write(raw)
END
    refuses "NaN weights" 1 "needs finite weights" "$PITOT" spectrum --model "$m" --weights "$here/nan.safetensors" --data glyphs:300
    works "all weights zero" "$PITOT" spectrum --model "$m" --weights "$here/zero.safetensors" --data glyphs:300 --out "$here/zero"
    strict_json <"$here/zero/spectrum.json"; check $? "has an answer" "$(head -c 200 "$here/zero/spectrum.json")"
fi

# ---- interrupted ----

timeout --preserve-status -s INT 2 $(s) --top 3 --draws 1000 --steps 170 --out "$here/partial" >"$here/out" 2>"$here/err"
got=$?
[ "$got" = 1 ] && grep -q '^pitot: interrupted' "$here/err"; check $? "SIGINT" "status $got, $(tail -n 1 "$here/err")"
strict_json <"$here/partial/spectrum.json" && grep -q '"complete": false' "$here/partial/spectrum.json" && [ -s "$here/partial/spectrum.png" ]
check $? "leaves a partial result" "$(tail -c 200 "$here/partial/spectrum.json")"
finish
