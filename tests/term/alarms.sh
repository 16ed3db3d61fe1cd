#!/usr/bin/env bash
# Alarms in `pitot watch`, in a real terminal by tmux: the line, the page, silence, the way to the panel. PITOT is the command. Prints
# one line per check; exit status 1 if any fails.

. "$(dirname "$0")/common"

# the loss rises throughout; sharpness beyond its limit from step 100 to 160, silent units from step 40 on
cat > "$work/run.py" << 'PY'
import sys, zlib, os
folder, first, last = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
os.makedirs(folder, exist_ok=True)
if first == 0:
    open(folder + "/run.json", "w").write('{"optimizer":{"name":"sgd","options":{"lr":"0.02"}}}')
with open(folder + "/events.jsonl", "ab" if first else "wb") as f:
    for i in range(first - (first == 0), last):
        body = '{"pitot":"0.1.0","segment":0,"step":0' if i < 0 else '{"step":%d,"wall":%d,"loss":%g,"sharpness":%g,"dormant_units":%g' % (
            i, 1600000000 + i, 1 + i / 100, 1.6 if 100 <= i < 160 else 0.5, 0.4 if i >= 40 else 0)
        f.write(body.encode() + b',"crc":"%08x"}\n' % zlib.crc32(body.encode()))
PY
grow() { python3 "$work/run.py" "$work/r" "$1" "$2"; }
screen() { tmux capture-pane -p -t main; }
wait_for() { # PATTERN: 5 seconds at most
    for _ in $(seq 100); do
        screen 2> /dev/null | grep -q -- "$1" && return 0
        sleep 0.05
    done
    echo "# never shown: $1"; screen 2> /dev/null | head -8 | sed 's/^/# /'
    return 1
}
never() { ! screen | grep -q -- "$1"; }
keys() { tmux send-keys -t main "$@"; }

grow 0 40
tmux new-session -d -s main -x 100 -y 24 "'$PITOT' watch --interval 0.1 $work/r; echo status \$?; sleep 5"
check "it starts" wait_for 'step 39'
check "no alarm, no line" never '^alarm\|^warning'
grow 40 80
check "a line when there is evidence" wait_for '^alarm dormant_units 0.4, above 0.2, for 39 steps while the loss rises'
grow 80 140
check "a second one" wait_for '^alarm dormant_units.*and 1 more'
keys a
check "a shows the page" wait_for '^alarm    sharpness 1.6, above 1.5, for 39 steps while the loss rises'
check "with what to try" wait_for 'below 0.012'
check "and on what evidence" wait_for '24 of the latest 24 values'
check "s is silence there" wait_for 's silence'
keys s
check "s silences" wait_for '^silenced dormant_units\|^silence.* dormant_units'
keys a
check "the line has the next" wait_for '^alarm sharpness'
check "and no more" never 'and 1 more'
grow 140 260
check "it clears by itself" eval 'for _ in $(seq 100); do screen | grep -q "step 259" && never "^alarm" && break; sleep 0.05; done; never "^alarm"'
keys a
check "what is over is on the page" wait_for 'sharpness 1.6, above 1.5, from step 100 to'
keys j Enter
check "Enter goes to its panel" wait_for 'panel [0-9] of'
check "which is the right one" wait_for '^ *sharpness'
for size in 8x3 1x1 200x60 40x6; do
    keys a
    tmux resize-window -t main -x "${size%x*}" -y "${size#*x}"
    sleep 0.1
done
tmux resize-window -t main -x 100 -y 24
check "it survives being resized" wait_for 'step 259'
keys '?' NPage
check "? explains the key" wait_for 'alarms: what, since when'
keys q q
check "q quits" wait_for 'status 0'
exit $failed
