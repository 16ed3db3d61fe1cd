#!/usr/bin/env bash
# The plots of several runs in a real terminal by tmux: overlaid lines, the cursor, zoom, the kinds of x, filters, search, styles. PITOT is
# the command. Prints one line per check; exit status 1 if any fails.

. "$(dirname "$0")/common"
terminal tmux-256color
export TZ=UTC

# RUN SLOPE FIRST LAST: a loss that is SLOPE times the step, and one more number of that run alone
cat > "$work/run.py" << 'PY'
import json, os, sys, zlib
folder, slope, first, last = sys.argv[1], float(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
os.makedirs(folder, exist_ok=True)
if first == 0:
    json.dump({"samples": 500, "batch": 50}, open(folder + "/run.json", "w"))
with open(folder + "/events.jsonl", "ab" if first else "wb") as f:
    for i in range(first - (first == 0), last):
        body = '{"pitot":"0.1.0","segment":0,"step":0,"wall":1795348800' if i < 0 else '{"step":%d,"wall":%d,"loss":%g,"of_%s":%d' % (
            i, 1795348800 + i, slope * i + 5 * (i % 3), os.path.basename(folder), i)
        f.write(body.encode() + b',"crc":"%08x"}\n' % zlib.crc32(body.encode()))
PY
grow() { python3 "$work/run.py" "$work/$1" "$2" "$3" "$4"; }
screen() { tmux capture-pane -p -t main; }
wait_for() { # PATTERN: 5 seconds at most
    for _ in $(seq 100); do
        screen 2> /dev/null | grep -q -- "$1" && return 0
        sleep 0.05
    done
    echo "# never shown: $1"; screen 2> /dev/null | head -8 | sed 's/^/# /'
    return 1
}
keys() { tmux send-keys -t main "$@"; }
colours() { tmux capture-pane -e -p -t main | grep -a -o '38;5;[0-9]*' | sort -u | tr '\n' ' '; }

grow one 1 0 200
grow two 2 0 200
tmux new-session -d -s main -x 130 -y 30 "'$PITOT' watch --interval 0.1 $work/one $work/two; echo status \$?; sleep 5"
check "both in one plot, a value of each" wait_for '1 loss .* 204  403$\|1 loss .* 204  403 '
check "panels of one run" wait_for 'of_one .* 199'
check "panels of the other" wait_for 'of_two .* 199'
check "each run has its colour, and a pale one" eval 'colours | grep -q "38;5;208" && colours | grep -q "38;5;130" && colours | grep -q "38;5;31"'
keys : 6 0 Enter
check "a cursor at a step" wait_for 'step 60$'
check "reads both" wait_for ' 60  120 '
keys Right
check "Right moves it" wait_for 'step 6[1-9]$'
keys : 9 9 Enter
check "another step" wait_for ' 99  198 '
keys m
check "the maximum" wait_for 'step 19[79]$'
grow one 1 200 300
keys Escape
check "Esc takes the cursor away" wait_for '1 loss .* 309  403'
check "x reaches the new ones" wait_for '    200    '
keys Enter + +
check "+ zooms in on the newest" wait_for ' 280 '
keys 0 x
check "x by epochs" wait_for 'x: epochs'
check "of ten steps" wait_for '^ *0 .* 10 .* 20 '
keys x x
check "x by the clock" wait_for '12:04'
keys x
check "x by steps again" wait_for 'x: steps'
keys s s
check "s averages" wait_for 'weight 0.6 of the past'
keys y y y y
check "y takes the next axis" wait_for 'loss asinh'
keys v
check "v draws blocks" wait_for '[▀▄▌▐█]'
keys v
check "v draws ASCII" eval 'wait_for "+---" && ! screen | grep -q "[▀▄▌▐█⣿]"'
keys v Escape f of Enter
check "f filters panels" wait_for 'f of$'
check "and leaves those that match" eval '! screen | grep -q "1 loss"'
keys f '[' Enter
check "f says what is no expression" wait_for '\[: no regular expression'
keys f Enter
check "f of nothing is all" wait_for '1 loss'
keys F two Enter
check "F filters runs" eval 'wait_for "F two" && ! screen | grep -q of_one'
keys F Enter / two Enter Enter
check "/ finds a panel" wait_for '^of_two'
for size in 1x1 8x3 200x60 37x5 130x30; do
    tmux resize-window -t main -x "${size%x*}" -y "${size#*x}"
    sleep 0.1
done
check "it survives being resized" wait_for '^of_two'
keys q
check "q quits" wait_for 'status 0'
exit $failed
