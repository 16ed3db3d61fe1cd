#!/usr/bin/env bash
# `pitot watch` in real terminals of many sizes, by tmux. PITOT is the command. Prints one line per check; exit status 1 if any fails.

. "$(dirname "$0")/common"

# ---- runs to look at: fixed numbers, fixed times ----

cat > "$work/run.py" << 'PY'
import json, math, os, sys, time, zlib

def line(body):
    return body + b',"crc":"%08x"}\n' % zlib.crc32(body)

def record(i, wall):
    v = {"loss": 2.5 * math.exp(-i / 300) + 0.3 * math.sin(i * 12.9898) ** 2, "alpha": math.sin(i * 78.233),
         "grad_norm": 3 * math.exp(-i / 200) + 0.05}
    for k in range(5):
        v["update_size/%d.weight" % k] = 10 ** (-k / 2 - 2) * (1 + 0.5 * math.sin(i * 3.7 + k))
    for k in range(12):
        v["extra_%02d" % k] = k + math.cos(i / 50 + k)
    if i == 100:
        v["loss"] = float("nan")
    body = '{"step":%d,"wall":%.3f' % (i, wall + i * 0.1)
    for key, x in v.items():
        body += ',"%s":%.9g' % (key, x) if math.isfinite(x) else ',"%s":null,"%s#nf":"nan"' % (key, key)
    return line(body.encode())

folder, first, last, end = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
os.makedirs(folder, exist_ok=True)
wall = time.time() - last * 0.1 if end == "open" else 1.6e9
if first == 0:
    with open(folder + "/run.json", "w") as f:
        json.dump({"optimizer": {"name": "adam"}, "data": "glyphs:500"}, f)
with open(folder + "/events.jsonl", "ab" if first else "wb") as f:
    if first == 0:
        f.write(line(b'{"pitot":"0.1.0","segment":0,"step":0,"steps":4000,"wall":%.3f' % wall))
    for i in range(first, last):
        f.write(record(i, wall))
    if end != "open":
        f.write(line(b'{"end":"%s","wall":%.3f' % (end.encode(), wall + last * 0.1)))
PY
make_run() { python3 "$work/run.py" "$work/$1" "$2" "$3" "$4"; }

# ---- one frame as text ----

make_run done 0 1000 done
frame() { "$PITOT" watch --once "$@" "$work/done"; }
widest() { wc -L; } # in columns

frame --size 100x30 > "$work/a"; check "--once exits with 0" test $? -eq 0
frame --size 100x30 > "$work/b"
check "--once prints the same twice" cmp -s "$work/a" "$work/b"
check "--once prints the default size off a terminal" cmp -s "$work/a" <(frame)
check "--once has the rows asked for" test "$(wc -l < "$work/a")" -eq 30
check "--once keeps to the columns" test "$(widest < "$work/a")" -le 100
for what in '^done  done' 'step 1000 of 4000' 'loss' 'in 1 min 40 s' '┤' '[⣀⠤⠉⣿]'; do
    check "--once shows $what" grep -q "$what" "$work/a"
done
for size in 1x1 2x2 8x3 20x5 37x9 80x24 200x60 500x200; do
    frame --size $size > "$work/c"
    check "--once $size" test $? -eq 0 -a "$(wc -l < "$work/c")" -eq "${size#*x}" -a "$(widest < "$work/c")" -le "${size%x*}"
done
LC_ALL=C frame --size 80x24 > "$work/c"
check "without UTF-8 there is only ASCII" test -z "$(LC_ALL=C grep -a '[^ -~]' "$work/c")"
check "without UTF-8 there are lines" grep -q '|' "$work/c"
check "an events file will do" cmp -s "$work/a" <("$PITOT" watch --once "$work/done/events.jsonl")
"$PITOT" watch --once "$work/nowhere" > "$work/c" 2>&1; check "no such run: exit status 1" test $? -eq 1
check "no such run: says so" grep -q '^pitot: .*nowhere: there is no such run' "$work/c"
"$PITOT" watch --once --size 0x5 "$work/done" > /dev/null 2>&1; check "a bad size is a usage error" test $? -eq 2
"$PITOT" watch > /dev/null 2>&1; check "no run is a usage error" test $? -eq 2
"$PITOT" watch "$work/done" < /dev/null > "$work/c" 2>&1; check "no terminal: exit status 1" test $? -eq 1
check "no terminal: says what to do" grep -q -- '--once' "$work/c"

# ---- live ----

# start NAME SIZE [VARIABLE=VALUE...] -- ARGUMENTS: a session that notes the terminal's settings before and after
start() {
    local name=$1 size=$2 set=""; shift 2
    while [ "$1" != -- ]; do set="$set $1"; shift; done; shift
    rm -f "$work/$name".*
    tmux new-session -d -s "$name" -x "${size%x*}" -y "${size#*x}" \
        "stty -a > $work/$name.before; env$set '$PITOT' watch $* 2> $work/$name.err; echo \$? > $work/$name.status; stty -a > $work/$name.after"
}
screen() { tmux capture-pane -p -t "$1"; }
wait_for() { # SESSION PATTERN: 5 seconds at most
    for _ in $(seq 100); do
        tmux has-session -t "$1" 2> /dev/null || break
        screen "$1" | grep -q -- "$2" && return 0
        sleep 0.05
    done
    echo "# $1 never showed: $2"; screen "$1" 2> /dev/null | head -5 | sed 's/^/# /'
    return 1
}
wait_file() { for _ in $(seq 100); do [ -s "$1" ] && return 0; sleep 0.05; done; return 1; }
ended() { # SESSION STATUS: it has ended that way, and the terminal is as before
    wait_file "$work/$1.after" && [ "$(cat "$work/$1.status")" = "$2" ] &&
        cmp -s <(tail -n +2 "$work/$1.before") <(tail -n +2 "$work/$1.after")
}
keys() { local s=$1; shift; tmux send-keys -t "$s" "$@"; }

make_run live 0 400 open
start main 80x24 -- "$work/live"
check "80x24 shows the run" wait_for main 'live  running   step 400 of 4000'
check "80x24 shows panels" wait_for main '1 loss'
check "80x24 shows NaN" wait_for main ' x'
make_run live 400 420 open
check "it follows the log" wait_for main 'step 420'
keys main 2
check "a digit enlarges a panel" wait_for main 'panel 2 of'
keys main Right
check "Right goes to the next" wait_for main 'panel 3 of'
keys main Escape
check "Esc goes back" wait_for main 'page 1 of'
keys main NPage
check "PgDn turns the page" wait_for main 'page 2 of'
keys main PPage
check "PgUp turns back" wait_for main 'page 1 of'
keys main y y
check "y makes axes logarithmic" wait_for main 'loss log'
keys main '?'
check "? explains the keys" wait_for main 'the next y axis'
keys main NPage
check "and PgDn the others" wait_for main 'this help, and back'
keys main '?'
keys main Enter
check "Enter enlarges the selected one" wait_for main 'panel 1 of'
keys main Enter s C-l
check "Enter goes back" wait_for main 'page 1 of'
for size in 1x1 3x2 8x3 200x60 37x5 80x24; do
    tmux resize-window -t main -x "${size%x*}" -y "${size#*x}"
    sleep 0.1
done
check "it survives being resized" wait_for main '2 .*grad_norm'
: > "$work/live/events.jsonl"
check "it notices that the log was cut" wait_for main 'waiting\|no values'
make_run live 0 300 interrupted
check "and follows the new one" wait_for main 'interrupted   step 300'
keys main q
check "q gives the terminal back" ended main 0

for size in 1x1 8x3 200x60; do
    start "s$size" "$size" -- "$work/done"
    sleep 0.3
    keys "s$size" 1 Escape '?' j k Tab NPage
    sleep 0.1
    tmux resize-window -t "s$size" -x 90 -y 30
    keys "s$size" Home Escape
    check "$size: it is alive" wait_for "s$size" 'done  done   step 1000'
    keys "s$size" q
    check "$size: q gives the terminal back" ended "s$size" 0
done

start ascii 80x24 LC_ALL=C -- "$work/done"
check "ASCII terminal" wait_for ascii '+---'
check "ASCII terminal: nothing else" test -z "$(screen ascii | LC_ALL=C grep -a '[^ -~]')"
keys ascii q
start colour 80x24 -- "$work/done"
wait_for colour 'loss' > /dev/null
check "colours" test -n "$(tmux capture-pane -e -p -t colour | grep -a $'\033\[38;5')"
keys colour q
start plain 80x24 NO_COLOR=1 -- "$work/done"
wait_for plain 'loss' > /dev/null
check "NO_COLOR" test -z "$(tmux capture-pane -e -p -t plain | grep -a $'\033\[\(3[0-7]\|38\|9[0-7]\)')"
keys plain q

for term in dumb nonsense-9; do
    start term 80x24 TERM=$term -- "$work/done"
    check "TERM=$term ends" ended term 1
    check "TERM=$term says what to do" grep -q "^pitot: watch: terminal type $term .*--once" "$work/term.err"
    tmux kill-session -t term
done

start two 100x30 -- "$work/done" "$work/live"
check "several runs" wait_for two 'done  done.*run 1 of 2'
keys two Tab
check "Tab shows the next" wait_for two 'live  interrupted.*run 2 of 2'
keys two C-c
check "Ctrl-C gives the terminal back" ended two 0

start killed 80x24 -- "$work/done"
wait_for killed 'loss' > /dev/null
kill -TERM "$(pgrep -f "^$PITOT watch $work/done$" | head -1)"
check "SIGTERM gives the terminal back" ended killed 0

start gone 80x24 -- "$work/done"
wait_for gone 'loss' > /dev/null
pid=$(pgrep -f "^$PITOT watch $work/done$" | head -1)
tmux kill-session -t gone
for _ in $(seq 40); do kill -0 "$pid" 2> /dev/null || break; sleep 0.05; done
check "it ends when its terminal is gone" eval '! kill -0 "$pid" 2> /dev/null'

start linger 80x24 -- --linger 0.3 "$work/done"
check "--linger quits by itself" ended linger 0

start early 80x24 -- "$work/later"
sleep 0.3
make_run later 0 50 open
check "a run may come later" wait_for early 'later  running   step 50'
keys early q

if [ -r /proc/self/stat ]; then
    start idle 120x40 -- "$work/done"
    wait_for idle 'loss' > /dev/null
    sleep 0.5
    ticks() { awk '{ print $14 + $15 }' "/proc/$1/stat"; }
    pid=$(pgrep -f "^$PITOT watch $work/done$" | head -1)
    before=$(ticks "$pid"); sleep 3; after=$(ticks "$pid")
    check "idle, it takes less than 2 % of a core" test $((after - before)) -le $((6 * $(getconf CLK_TCK) / 100))
    keys idle q
fi

tmux new-session -d -s shell -x 80 -y 24 "bash --norc --noprofile -i"
keys shell "'$PITOT' watch $work/done" Enter
wait_for shell 'done  done' > /dev/null
keys shell C-z
check "Ctrl-Z stops it" wait_for shell 'Stopped'
keys shell fg Enter
check "fg brings it back" wait_for shell 'done  done   step 1000'
keys shell q
keys shell 'echo "back""again"' Enter
check "and q still quits" wait_for shell '^backagain'

# ---- a log that is long to read ----

mkdir "$work/long"
python3 - "$work/long/events.jsonl" << 'PY'
import sys, zlib
line = lambda body: body + b',"crc":"%08x"}\n' % zlib.crc32(body)
with open(sys.argv[1], "wb") as f:
    f.write(line(b'{"pitot":"0.1.0","segment":0,"step":0,"wall":1000'))
    f.write(b"".join(line(b'{"step":%d,"wall":%d,"loss":%d,"text":"%s"' % (i, 1000 + i, i % 100, b"x" * 300)) for i in range(100000)))
PY
index="$work/long/events.jsonl.index"
start long1 80x24 -- --no-index "$work/long"
check "34 MB are read" wait_for long1 'step 99,999'
keys long1 q
wait_file "$work/long1.after"
check "--no-index keeps none" test ! -e "$index"
start long2 80x24 -- "$work/long"
check "and again" wait_for long2 'step 99,999'
check "with an index this time" wait_file "$index"
keys long2 q
wait_file "$work/long2.after"
start long3 80x24 -- "$work/long"
check "which will do the next time" wait_for long3 'step 99,999'
keys long3 q
check "and nothing is left over" eval 'wait_file "$work/long3.after" && test "$(ls "$work/long" | grep -c index)" -eq 1'

exit $failed
