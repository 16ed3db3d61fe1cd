#!/usr/bin/env bash
# `pitot watch` on a folder of runs in terminals of several kinds, by tmux: 120 times some random keys, a mouse report or a resize in each, while a
# run grows, is cut and damaged, and another comes. It must be alive afterwards and give the terminal back. PITOT is the command; SEED
# gives other keys. Prints one line per check; exit status 1 if any fails.

. "$(dirname "$0")/common"

cat > "$work/run.py" << 'PY'
import os, random, sys, zlib
folder, steps, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
random.seed(seed)
os.makedirs(folder, exist_ok=True)
open(folder + "/run.json", "w").write('{"optimizer":{"name":"o%d","options":{"lr":"0.%d"}}}' % (seed, seed))
with open(folder + "/events.jsonl", "wb" if steps > 0 else "ab") as f:
    for i in range(-1, abs(steps)):
        body = b'{"pitot":"0.1.0","segment":0,"step":0' if i < 0 else b'{"step":%d,"wall":%d,"loss":%g,"val/loss":%g,"sharpness":%g,"update_ratio/a":%g' % (
            i, 1600000000 + i, random.random(), random.random(), random.random() * 3, random.random())
        f.write(body + b',"crc":"%08x"}\n' % zlib.crc32(body))
    if random.random() < 0.5: f.write(b'{"step":')
PY
cat > "$work/type.py" << 'PY'
# 120 things to do to a session, as tmux commands; q, Ctrl-C and file names are left out, for they would end it or write files
import random, sys
random.seed(int(sys.argv[1]))
keys = list("pcLdrahjklgGysvxXi0+-<>,.nmPSFfT/:?123456789") + ["Enter", "Escape", "Tab", "BTab", "Up", "Down", "Left", "Right", "PPage",
    "NPage", "Home", "End", "Space", "BSpace", "C-l", "C-u", "F5", "DC", "M-x"]
for k in range(120):
    kind = random.random()
    if kind < 0.8: print("send-keys -t main", " ".join("'%s'" % random.choice(keys) for _ in range(random.randint(1, 4))))
    elif kind < 0.93:
        code, x, y = random.choice([0, 32, 64, 65, 2, 99]), random.randint(0, 300), random.randint(0, 80)
        print("send-keys -t main -l \"\033[<%d;%d;%d%s\"" % (code, x, y, random.choice("Mm")))
    else: print("resize-window -t main -x %d -y %d" % (random.choice([1, 3, 20, 60, 80, 132, 300]), random.choice([1, 2, 5, 12, 24, 60])))
PY
screen() { tmux capture-pane -p -t main; }
wait_for() { # PATTERN: 5 seconds at most
    for _ in $(seq 100); do
        screen 2> /dev/null | grep -q -- "$1" && return 0
        sleep 0.05
    done
    echo "# never shown: $1"; screen 2> /dev/null | head -5 | sed 's/^/# /'
    return 1
}

# play TERM LOCALE SEED
play() {
    local of="TERM=$1 LC_ALL=$2"
    rm -rf "$work/runs" "$work/status"
    python3 "$work/run.py" "$work/runs/one" 50 1
    python3 "$work/run.py" "$work/runs/two" 80 2
    tmux new-session -d -s main -x 80 -y 24 "stty -a > $work/before; TERM=$1 LC_ALL=$2 '$PITOT' watch --interval 0.05 $work/runs 2> $work/err
        echo \$? > $work/status; stty -a > $work/after; sleep 60"
    check "$of: it starts" wait_for 'step'
    python3 "$work/type.py" "$3" > "$work/keys"
    split -n l/4 "$work/keys" "$work/part."
    tmux source-file "$work/part.aa"
    python3 "$work/run.py" "$work/runs/one" -40 3
    tmux source-file "$work/part.ab"
    python3 "$work/run.py" "$work/runs/deep/three" 30 4
    tmux source-file "$work/part.ac"
    : > "$work/runs/two/events.jsonl"
    tmux source-file "$work/part.ad"
    tmux resize-window -t main -x 100 -y 24
    tmux send-keys -t main Escape Escape r
    sleep 0.3
    check "$of: alive after all of it" test ! -s "$work/status"
    [ "$2" = C ] && check "$of: only ASCII" test -z "$(screen | LC_ALL=C grep -a '[^ -~]')"
    tmux send-keys -t main Escape q
    for _ in $(seq 100); do [ -s "$work/after" ] && [ -s "$work/status" ] && break; sleep 0.05; done
    check "$of: q quits" test "$(cat "$work/status" 2> /dev/null)" = 0
    check "$of: the terminal is as before" cmp -s <(tail -n +2 "$work/before") <(tail -n +2 "$work/after")
    check "$of: nothing was said" test ! -s "$work/err"
    tmux kill-session -t main
    rm -f "$work/after"
}

seed=${SEED:-1}
for term in xterm-256color screen vt100 linux; do
    for locale in C C.UTF-8; do
        play $term $locale $seed
        seed=$((seed + 1))
    done
done
exit $failed
