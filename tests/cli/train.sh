# `pitot train` and `pitot inspect` as people use them: what is on the disk afterwards, and what other programs make of it.
. "$(dirname "$0")/common"

cat >"$here/m.json" <<'END'
{"name": "mlp", "input": [1, 16, 16], "loss": "cross_entropy", "layers": [{"op": "flatten"}, {"op": "linear", "name": "fc1", "out_features": 24},
 {"op": "relu"}, {"op": "dropout", "p": 0.2}, {"op": "linear", "name": "fc2", "out_features": 10}]}
END
m=$here/m.json
train() { "$PITOT" train --model "$m" --data glyphs:600 "$@"; }
t() { echo "$PITOT train --model $m --data glyphs:600"; }
steps_of() { grep -o '^{"step":[0-9]*' "$1/events.jsonl" | sed 's/.*://' | uniq | tr '\n' ' '; }
ended() { tail -n 1 "$1/events.jsonl" | sed -n 's/^{"end":"\([a-z]*\)".*/\1/p'; }

# ---- lengths and schedules ----

works "a run of 2 epochs" train --epochs 2 --batch 50 --out "$here/a" --save "$here/a.w"
grep -q '^done after 20 steps' "$here/out"; check $? "it says what it did" "$(cat "$here/out")"
grep -q "^run   $here/a\$" "$here/out" && grep -q "^saved $here/a.w\$" "$here/out"; check $? "and where" "$(cat "$here/out")"
[ "$(steps_of "$here/a")" = "$(seq -s ' ' 0 19) " ]; check $? "every step is in the log" "$(steps_of "$here/a")"
[ "$(ended "$here/a")" = done ]; check $? "it ended" "$(tail -n 1 "$here/a/events.jsonl")"
strict_json <"$here/a/run.json"; check $? "the manifest is JSON" "$(head -c 200 "$here/a/run.json")"
works "the same again" train --epochs 2 --batch 50 --out "$here/b" --save "$here/b.w"
cmp -s "$here/a.w" "$here/b.w"; check $? "the same bytes" "saved weights differ"
works "as steps, probes off" train --steps 20 --batch 50 --probes none --out "$here/c" --save "$here/c.w"
cmp -s "$here/a.w" "$here/c.w"; check $? "probes change nothing" "saved weights differ"
works "another seed" train --steps 20 --batch 50 --seed 1 --out "$here/d" --save "$here/d.w"
! cmp -s "$here/a.w" "$here/d.w"; check $? "other bytes" "saved weights are the same"
works "--every" train --steps 20 --every 6 --out "$here/e" --probes loss
[ "$(grep -o '"step":[0-9]*,"wall":[0-9.]*,"loss"' "$here/e/events.jsonl" | grep -o '"step":[0-9]*' | tr -dc '0-9\n' | tr '\n' ' ')" = "0 6 12 18 " ]
check $? "tracked every 6 steps" "$(steps_of "$here/e")"
works "--budget" train --steps 200 --budget 20% --out "$here/f"
n=$(steps_of "$here/f" | wc -w); [ "$n" -ge 1 ] && [ "$n" -le 200 ]; check $? "some steps are tracked" "$n"
grep -q '"budget":[[:space:]]*0.2' "$here/f/run.json"; check $? "the manifest has the budget" "$(grep budget "$here/f/run.json")"
works "--quiet" train --steps 2 --quiet --out "$here/g"
[ ! -s "$here/out" ]; check $? "says nothing" "$(cat "$here/out")"
works "--init" train --steps 1 --set lr=0 --init "$here/a.w" --out "$here/h" --save "$here/h.w"
cmp -s "$here/a.w" "$here/h.w"; check $? "weights come back as they were" "they differ"
(cd "$here" && $(t) --steps 2 --quiet && $(t) --steps 2 --quiet) && [ -d "$here/runs/m" ] && [ -d "$here/runs/m-2" ]
check $? "runs/m and runs/m-2" "$(ls "$here/runs" 2>&1)"

# ---- stopping and going on ----

works "the first half" train --optimizer adam --set lr=0.003 --steps 9 --out "$here/half" --seed 3
works "--resume" "$PITOT" train --resume "$here/half" --steps 25 --save "$here/half.w"
grep -q 'since resumed' "$here/out"; check $? "it says that it resumed" "$(cat "$here/out")"
works "the whole" train --optimizer adam --set lr=0.003 --steps 25 --out "$here/whole" --seed 3 --save "$here/whole.w"
cmp -s "$here/half.w" "$here/whole.w"; check $? "resumed and uninterrupted weights are the same" "they differ"

timeout 60 $(t) --steps 100000000 --probes loss@50 --out "$here/stop" >"$here/out" 2>"$here/err" & # passes the signal on
child=$!
for i in $(seq 100); do [ -s "$here/stop/events.jsonl" ] && break; sleep 0.05; done
sleep 0.2
kill -INT $child
wait $child
status=$?
[ $status = 1 ]; check $? "Ctrl-C: exit status 1" "$status"
grep -q '^interrupted after' "$here/out"; check $? "it says so" "$(cat "$here/out")"
[ "$(ended "$here/stop")" = interrupted ]; check $? "and the log" "$(tail -n 1 "$here/stop/events.jsonl")"
at=$(sed -n 's/^interrupted after \([0-9]*\).*/\1/p' "$here/out")
works "it can be resumed" "$PITOT" train --resume "$here/stop" --steps $((at + 7))
[ "$(ended "$here/stop")" = done ] && [ "$(steps_of "$here/stop" | wc -w)" -ge 2 ]; check $? "to its end" "$(tail -n 1 "$here/stop/events.jsonl")"

# ---- a full disk: training finishes, and says what went wrong ----

mkdir "$here/small"
if [ "$(id -u)" = 0 ] && mount -t tmpfs -o size=256k none "$here/small" 2>/dev/null; then
    train --steps 3000 --batch 20 --seed 2 --out "$here/small/run" --save "$here/full.w" >"$here/out" 2>"$here/err"
    status=$?
    grep -q '^pitot: .*disk\|^pitot: .*No space' "$here/err"; check $? "full disk: the message" "$(cat "$here/err")"
    [ $status = 1 ]; check $? "full disk: exit status 1, for the checkpoint is missing" "$status"
    train --steps 3000 --batch 20 --seed 2 --probes none --quiet --out "$here/room" --save "$here/room.w"
    cmp -s "$here/full.w" "$here/room.w"; check $? "full disk: the weights are the same" "they differ"
    umount "$here/small"
fi

# ---- other programs ----

if have python3; then
    python3 - "$here"/*/events.jsonl <<'END'
import json, sys, zlib
def no(x): raise ValueError(x)
bad = 0
for path in sys.argv[1:]:
    if "/small/" in path: continue
    for i, line in enumerate(open(path, "rb").read().split(b"\n")[:-1]):
        at = line.rfind(b',"crc":"')
        good = at > 0 and line[at:] == b',"crc":"%08x"}' % zlib.crc32(line[:at])
        record = json.loads(line, parse_constant=no)
        if not good or list(record)[-1] != "crc" or not ("step" in record or "end" in record):
            print(path, i + 1, line[:100]); bad = 1
sys.exit(bad)
END
    check $? "every line is strict JSON with the right checksum" "see the log"
    pandas=
    for p in /usr/bin/python3 python3; do "$p" -c 'import pandas' 2>/dev/null && pandas=$p && break; done
    if [ -n "$pandas" ]; then
        "$pandas" -c 'import pandas, sys; d = pandas.read_json(sys.argv[1], lines=True); assert abs(d.loss.dropna()).sum() > 0' "$here/a/events.jsonl"
        check $? "pandas reads the log" "it does not"
    fi

    # weights with an infinity and a NaN, written without pitot's help
    python3 - "$here" <<'END'
import json, math, struct, sys
def write(path, odd):
    head, data = {}, b""
    for name, shape in (("fc1.bias", [24]), ("fc1.weight", [24, 256]), ("fc2.bias", [10]), ("fc2.weight", [10, 24])):
        n = math.prod(shape)
        v = [math.sin(i * 0.7 + len(name)) * 0.1 for i in range(n)]
        if odd and name == "fc2.bias": v[3] = math.nan; v[7] = -math.inf
        head[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + 4 * n]}
        data += struct.pack("<%df" % n, *v)
    text = json.dumps(head).encode()
    open(path, "wb").write(struct.pack("<Q", len(text)) + text + data)
write(sys.argv[1] + "/fine.w", False)
write(sys.argv[1] + "/odd.w", True)
END
    i() { "$PITOT" inspect --model "$m" --data glyphs:60 --batch 6 "$@"; }
    i --weights "$here/fine.w" --precision double >"$here/fine.json" && i --weights "$here/odd.w" >"$here/odd.json" &&
        i --weights "$here/fine.w" --probes "loss,time" >"$here/two.json"
    check $? "inspect" "status"
    python3 - "$here" <<'END'
import json, math, re, sys
def no(x): raise ValueError(x)
def read(name): return json.load(open(sys.argv[1] + "/" + name), parse_constant=no)
shapes = {"fc1.bias": [24], "fc1.weight": [24, 256], "fc2.bias": [10], "fc2.weight": [10, 24]}
statuses = ["ok", "undefined", "needs_two_steps", "needs_level", "unsupported_op", "over_budget", "error"]
def shape_of(v): return [len(v)] + shape_of(v[0]) if isinstance(v, list) else []
def flat(v): return sum(map(flat, v), []) if isinstance(v, list) else [v]
def numbers(v):
    if isinstance(v, dict): return sum(map(numbers, v.values()), [])
    return flat(v)
def common(a, samples, precision):
    assert a["pitot"] and a["model"].endswith("m.json") and a["data"] == "glyphs:60"
    assert a["samples"] == samples and a["precision"] == precision
    for name, p in a["probes"].items():
        assert p["status"] in statuses, name
        assert ("why" in p) == (p["status"] != "ok") and p.get("why", "x"), name
        assert ("value" in p) == (p["status"] == "ok"), name
        nulls = sum(x is None for x in numbers({k: v for k, v in p.items() if k not in ("status", "why", "nonfinite")}))
        odd = p.get("nonfinite", [])
        assert len(odd) == nulls and ("nonfinite" in p) == (nulls > 0), name
        assert all(len(o) == 2 and o[1] in ("nan", "inf", "-inf") and isinstance(o[0], (int, str)) for o in odd), name
a = read("fine.json")
common(a, 6, "double")
p = a["probes"]
for name in ("update_size", "distance", "update_ratio"): assert p[name]["status"] == "needs_two_steps", name
losses = p["individual_losses"]["value"]
assert len(losses) == 6 and abs(sum(losses) / 6 - p["loss"]["value"]) < 1e-12
grad = p["grad"]["value"]
assert {k: shape_of(v) for k, v in grad.items()} == shapes
for k, v in grad.items():
    assert abs(math.sqrt(sum(x * x for x in flat(v))) - p["grad_norm"]["value"][k]) < 1e-12, k
a = read("odd.json")
common(a, 6, "float")
p = a["probes"]
assert p["loss"]["value"] is None and p["loss"]["nonfinite"][0][1] == "nan"
assert p["individual_losses"]["value"] == [None] * 6 and [o[0] for o in p["individual_losses"]["nonfinite"]] == list(range(6))
assert p["grad_norm"]["value"]["fc2.bias"] is None and ["fc2.bias", "nan"] in p["grad_norm"]["nonfinite"]
assert any(o[0] == "fc2.weight/3" or o[0].startswith("fc2.weight/") for o in p["grad"]["nonfinite"])
a = read("two.json")
common(a, 6, "float")
assert list(a["probes"]) == ["loss", "time"]
END
    check $? "its answers keep the contract" "see the log"
fi
finish
