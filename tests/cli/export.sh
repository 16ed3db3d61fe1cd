# `pitot export`: CSV and TensorBoard's event files, read back by independent readers and compared to the log.
. "$(dirname "$0")/common"
have python3 && python3 -c 'import zlib' 2>/dev/null || { echo "python3 with zlib is not installed"; exit 77; }

# ---- runs: ragged, not finite, names that need quotes, lists, two records of a step, a resume ----

cat >"$here/run.py" <<'END'
import json, os, sys, zlib
folder, kind = sys.argv[1:]
os.makedirs(folder, exist_ok=True)
open(folder + "/run.json", "w").write("{}")
out = open(folder + "/events.jsonl", "wb")
def put(body):
    body = body.encode()
    out.write(body + b',"crc":"%08x"}\n' % zlib.crc32(body))
put('{"pitot":"0.1.0","segment":0,"step":0,"wall":1600000000.25')
if kind == "long":
    for i in range(20000):
        put('{"step":%d,"wall":%d.5,"loss":%.17g,"lr":0.1' % (i, 1600000000 + i, 1 / (i + 3)))
if kind == "ragged":
    put(r'{"step":0,"wall":1600000001.5,"loss":0.1,"grad/a,b":1e-300,"say \"x\"":3,"two\nlines":4,"h.counts":[1,2,3],"h.edges":[-1,0,0.5,1]')
    put('{"step":1,"wall":1600000002.5,"loss":null,"loss#nf":"nan","grad/a,b":1e300')
    put('{"step":1,"wall":1600000003.5,"val/loss":0.30000000000000004')
    put('{"step":5,"wall":1600000004.5,"loss":null,"loss#nf":"inf","h.counts":[4,0,1],"h.edges":[-1,0,0.5,1],"odd.counts":[1],"odd.edges":[1]')
    put('{"step":7,"loss":9,"gone":1')
    put('{"pitot":"0.1.0","segment":1,"step":6,"wall":1600000010')
    put('{"step":6,"wall":1600000011.5,"loss":null,"loss#nf":"-inf","val/loss":-2')
    put('{"step":4000000000,"loss":12345678,"\u00e9":-0.1')
out.close()
END
python3 "$here/run.py" "$here/ragged" ragged
python3 "$here/run.py" "$here/long" long
python3 "$here/run.py" "$here/none" none

# ---- reading back ----

# The log as its description says, by itself: {name: {step: (wall, value)}}, {list: {step: (wall, numbers)}}
cat >"$here/log.py" <<'END'
import json, math, struct, zlib
def read(folder):
    series, lists = {}, {}
    for line in open(folder + "/events.jsonl", "rb"):
        body, crc = line.rstrip(b"\n").rsplit(b',"crc":"', 1)
        if int(crc[:8], 16) != zlib.crc32(body): continue
        r = json.loads(body + b"}")
        if "pitot" in r:
            for s in list(series.values()) + list(lists.values()):
                for step in [k for k in s if k >= r["step"]]: del s[step]
            continue
        step, wall = r.pop("step"), r.pop("wall", math.nan)
        for key, v in r.items():
            if isinstance(v, list): lists.setdefault(key, {})[step] = (wall, v)
            elif key.endswith("#nf"): series.setdefault(key[:-3], {})[step] = (wall, float(v))
            elif v is not None: series.setdefault(key, {})[step] = (wall, float(v))
    return {k: s for k, s in series.items()}, lists
def same(a, b):
    return a == b and math.copysign(1, a) == math.copysign(1, b) or a != a and b != b
END
cat >"$here/csv.py" <<'END'
import sys, math
sys.path = [p for p in sys.path if p not in ("", sys.argv[3])]
import csv
sys.path.append(sys.argv[3])
from log import read, same
series, lists = read(sys.argv[1])
rows = list(csv.reader(open(sys.argv[2], newline="", encoding="utf-8"), strict=True))
head, rows = rows[0], rows[1:]
assert head[:2] == ["step", "wall"] and head[2:] == list(series), head
assert all(len(r) == len(head) for r in rows)
steps = sorted({s for v in series.values() for s in v})
assert [int(r[0]) for r in rows] == steps, "steps"
for r in rows:
    step = int(r[0])
    walls = [v[step][0] for v in series.values() if step in v and v[step][0] == v[step][0]]
    assert r[1] == "" if not walls else float(r[1]) == max(walls), ("wall", r)
    for name, cell in zip(head[2:], r[2:]):
        assert cell == "" if step not in series[name] else same(float(cell), series[name][step][1]), (step, name, cell)
END
cat >"$here/events.py" <<'END'
import struct, sys, math, glob
sys.path.append(sys.argv[3])
from log import read, same
def table():
    t = []
    for i in range(256):
        for _ in range(8): i = i >> 1 ^ (0x82f63b78 if i & 1 else 0)
        t.append(i)
    return t
T = table()
def crc(b):
    c = 0xffffffff
    for x in b: c = T[(c ^ x) & 255] ^ c >> 8
    return c ^ 0xffffffff
assert crc(b"123456789") == 0xe3069283 # RFC 3720's check value
def masked(b):
    c = crc(b)
    return ((c >> 15 | c << 17) + 0xa282ead8) & 0xffffffff
def varint(b, i):
    v = s = 0
    while True:
        v |= (b[i] & 127) << s; s += 7; i += 1
        if b[i - 1] < 128: return v, i
def fields(b):
    i = 0
    while i < len(b):
        key, i = varint(b, i)
        n, wire = key >> 3, key & 7
        if wire == 0: v, i = varint(b, i)
        elif wire == 1: v, i = struct.unpack_from("<d", b, i)[0], i + 8
        elif wire == 5: v, i = struct.unpack_from("<f", b, i)[0], i + 4
        elif wire == 2:
            k, i = varint(b, i); v, i = b[i:i + k], i + k
            assert len(v) == k
        else: raise ValueError(wire)
        yield n, v
def one(b, n, other=None):
    found = [v for k, v in fields(b) if k == n]
    assert len(found) <= 1
    return found[0] if found else other
def doubles(b): return list(struct.unpack("<%dd" % (len(b) // 8), b))
files = glob.glob(sys.argv[2] + "/*")
assert len(files) == 1 and "/events.out.tfevents.1600000000." in files[0], files
data, at, events = open(files[0], "rb").read(), 0, []
while at < len(data):
    length, = struct.unpack_from("<Q", data, at)
    assert struct.unpack_from("<I", data, at + 8)[0] == masked(data[at:at + 8]), "sum of a length"
    body = data[at + 12:at + 12 + length]
    assert len(body) == length and struct.unpack_from("<I", data, at + 12 + length)[0] == masked(body), "sum of a record"
    events.append(body)
    at += 16 + length
assert one(events[0], 3) == b"brain.Event:2" and one(events[0], 1) == 1600000000.25
series, lists = read(sys.argv[1])
seen, histograms, last = {}, {}, -1
for e in events[1:]:
    wall, step = one(e, 1), one(e, 2, 0)
    assert step >= last
    last = step
    for n, value in fields(one(e, 5)):
        assert n == 1
        tag, histo = one(value, 1).decode(), one(value, 5)
        into = seen if histo is None else histograms
        assert step not in into.setdefault(tag, {}), "twice"
        into[tag][step] = (wall, one(value, 2) if histo is None else histo)
assert set(seen) == {n for n in series if series[n]}, sorted(seen)
def single(v):
    return math.copysign(math.inf, v) if math.isfinite(v) and abs(v) > 3.4028235e38 else struct.unpack("<f", struct.pack("<f", v))[0]
for name in seen:
    assert list(seen[name]) == sorted(series[name])
    for step, (wall, v) in series[name].items():
        assert same(seen[name][step][1], single(v)), (name, step, v, seen[name][step])
        assert seen[name][step][0] == (wall if wall == wall else 1600000000.25), (name, step)
assert set(histograms) == ({"h"} if "h.counts" in lists else set()), histograms
for step, (wall, h) in histograms.get("h", {}).items():
    counts, edges = lists["h.counts"][step][1], lists["h.edges"][step][1]
    assert doubles(one(h, 6)) == edges[1:] and doubles(one(h, 7)) == counts and wall == lists["h.counts"][step][0]
    assert one(h, 1) == edges[0] and one(h, 2) == edges[-1] and one(h, 3) == sum(counts)
    middles = [(a + b) / 2 for a, b in zip(edges, edges[1:])]
    assert abs(one(h, 4) - sum(c * m for c, m in zip(counts, middles))) < 1e-12
    assert abs(one(h, 5) - sum(c * m * m for c, m in zip(counts, middles))) < 1e-12
if "h.counts" in lists: assert set(histograms["h"]) == set(lists["h.counts"])
END
mkdir "$here/py" && mv "$here/log.py" "$here/py/"
# agrees NAME SCRIPT RUN OUTPUT
agrees() { python3 "$here/$2.py" "$3" "$4" "$here/py" >"$here/said" 2>&1; check $? "$1" "$(tail -n 2 "$here/said")"; }
mv "$here/csv.py" "$here/table.py" # not to be taken for python's csv

for run in ragged long; do
    works "$run --csv" "$PITOT" export "$here/$run" --csv
    [ "$(cat "$here/out")" = "$here/$run/export.csv" ]; check $? "$run --csv names the file" "$(cat "$here/out")"
    agrees "$run --csv reads back" table "$here/$run" "$here/$run/export.csv"
    works "$run --tfevents" "$PITOT" export "$here/$run" --tfevents
    [ -s "$(cat "$here/out")" ]; check $? "$run --tfevents names the file" "$(cat "$here/out")"
    agrees "$run --tfevents reads back" events "$here/$run" "$here/$run/tfevents"
    works "$run --tfevents again" "$PITOT" export --tfevents "$here/$run"
    agrees "$run --tfevents again replaces the file" events "$here/$run" "$here/$run/tfevents"
done
head -n 1 "$here/ragged/export.csv" | grep -qF 'step,wall,loss,"grad/a,b","say ""x""","two'; check $? "names are quoted" "$(head -n 1 "$here/ragged/export.csv")"
grep -q '^1,1600000003.5,nan,1e+300,,,0.30000000000000004,' "$here/ragged/export.csv"
check $? "nan is a word, absent is empty" "$(sed -n 3,5p "$here/ragged/export.csv")"
if python3 -c 'import pandas' 2>/dev/null; then
    python3 -c 'import sys, pandas
d = pandas.read_csv(sys.argv[1])
assert all(str(t) in ("float64", "int64") for t in d.dtypes), d.dtypes
assert d["loss"][2] == float("inf") and d["loss"][1] != d["loss"][1]' "$here/ragged/export.csv" >"$here/said" 2>&1
    check $? "pandas reads it" "$(tail -n 1 "$here/said")"
fi
if python3 -c 'import tensorboard' 2>/dev/null; then
    python3 -c 'import sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
e = EventAccumulator(sys.argv[1])
e.Reload()
assert "loss" in e.Tags()["scalars"] and "h" in e.Tags()["histograms"]
assert [s.step for s in e.Scalars("val/loss")] == [1, 6]' "$here/ragged/tfevents" >"$here/said" 2>&1
    check $? "tensorboard reads it" "$(tail -n 1 "$here/said")"
fi

# ---- where to ----

works "-o -" "$PITOT" export "$here/ragged" --csv -o -
cmp -s "$here/out" "$here/ragged/export.csv"; check $? "-o - is the same" "it differs"
works "-o FILE" "$PITOT" export "$here/ragged" --csv -o "$here/x.csv"
cmp -s "$here/x.csv" "$here/ragged/export.csv"; check $? "-o FILE is the same" "it differs"
works "-o FOLDER" "$PITOT" export "$here/ragged" --tfevents -o "$here/tb"
agrees "-o FOLDER reads back" events "$here/ragged" "$here/tb"
works "an events file" "$PITOT" export "$here/ragged/events.jsonl" --csv
(cd "$here/ragged" && "$PITOT" export events.jsonl --csv) >"$here/out" 2>&1
[ "$(cat "$here/out")" = "./export.csv" ]; check $? "an events file without a folder" "$(cat "$here/out")"
[ -z "$(ls "$here"/*/*.part "$here"/*.part "$here"/*/*/*.part 2>/dev/null)" ]; check $? "nothing half is left" "$(ls "$here"/*)"

# ---- errors ----

refuses "neither" 2 "--csv or --tfevents" "$PITOT" export "$here/ragged"
refuses "both" 2 "exclude each other" "$PITOT" export "$here/ragged" --csv --tfevents
refuses "no run" 2 "which run?" "$PITOT" export --csv
refuses "two runs" 2 "one run" "$PITOT" export --csv "$here/ragged" "$here/long"
refuses "no such run" 1 "there is no such run" "$PITOT" export "$here/nowhere" --csv
refuses "a run without values" 1 "no values to export yet" "$PITOT" export "$here/none" --csv
[ ! -e "$here/none/export.csv" ]; check $? "a run without values leaves no file" "there is one"
refuses "-o is a folder" 1 "is a folder" "$PITOT" export "$here/ragged" --csv -o "$here/tb"
refuses "-o is the log" 1 "a file of the run itself" "$PITOT" export "$here/ragged" --csv -o "$here/ragged/events.jsonl"
refuses "-o beside nothing" 1 "$here/no/such" "$PITOT" export "$here/ragged" --csv -o "$here/no/such.csv"
refuses "-o - of events" 2 "give -o a folder" "$PITOT" export "$here/ragged" --tfevents -o -
refuses "-o of events is a file" 1 "folder cannot be made" "$PITOT" export "$here/ragged" --tfevents -o "$here/x.csv"
refuses "full disk" 1 "cannot be written" "$PITOT" export "$here/long" --csv -o /dev/full
refuses "standard output on a full disk" 1 "cannot be written" sh -c "'$PITOT' export '$here/long' --csv -o - >/dev/full"
# a damaged line is left out and said
python3 "$here/run.py" "$here/damaged" ragged
sed -i '3s/1e300/1e301/' "$here/damaged/events.jsonl"
"$PITOT" export "$here/damaged" --csv >"$here/out" 2>"$here/err"
[ $? = 0 ] && grep -q '1 damaged lines were left out, the first is line 3' "$here/err"; check $? "a damaged line" "$(cat "$here/err")"
agrees "a damaged line: the rest reads back" table "$here/damaged" "$here/damaged/export.csv"
finish
