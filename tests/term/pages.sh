#!/usr/bin/env bash
# The pages cockpit, layers and spectra of `pitot watch` in a real terminal by tmux: keys, sizes, colours and none, ASCII. PITOT is the
# command. Prints one line per check; exit status 1 if any fails.

. "$(dirname "$0")/common"

cat > "$work/run.py" << 'PY'
import math, os, sys, zlib
folder, last = sys.argv[1], int(sys.argv[2])
os.makedirs(folder, exist_ok=True)
open(folder + "/run.json", "w").write('{"optimizer":{"name":"sgd","options":{"lr":"0.02"}}}')
with open(folder + "/events.jsonl", "wb") as f:
    for i in range(-1, last):
        body = '{"pitot":"0.1.0","segment":0,"step":0'
        if i >= 0:
            body = '{"step":%d,"wall":%d,"loss":%g,"norm_test":1.5,"hess_max_ev":%d,"hess_max_ev.min":-1' % (
                i, 1600000000 + i, 1 + 1 / (i + 1), 20 + i)
            for k in range(30):
                body += ',"grad_norm/block%02d.weight":%g,"update_size/block%02d.weight":%g' % (k, 10 ** (-k / 10), k, k + 1)
            if i % 10 == 0:
                body += ',"hess_spectrum":%d,"hess_spectrum.parameters":50,"hess_spectrum.nodes":[-1,0,0.1,%d],' \
                        '"hess_spectrum.weights":[0.25,0.25,0.25,0.25]' % (i, 20 + i)
        f.write(body.encode() + b',"crc":"%08x"}\n' % zlib.crc32(body.encode()))
PY
python3 "$work/run.py" "$work/r" 50

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
begin() { # ENVIRONMENT...
    tmux kill-server 2> /dev/null && sleep 0.5
    tmux new-session -d -s main -x 100 -y 24 "env $* '$PITOT' watch --no-settings --interval 0.1 $work/r; echo status \$?; sleep 20"
}

begin TERM=xterm-256color
check "it starts" wait_for 'step 49'
keys c
check "c shows the cockpit" wait_for '^PERFORMANCE'
check "with what is not there" wait_for 'alpha .*add --probes alpha'
tmux resize-window -t main -x 120 -y 40
check "and the limit of plain descent" wait_for '1.4x below the limit'
tmux resize-window -t main -x 36 -y 12
check "narrow, it has to be scrolled" wait_for 'rows 1 to'
keys G
check "down to its end" wait_for 'staleness'
tmux resize-window -t main -x 100 -y 24
keys L
check "L shows the layers" wait_for '^block00.weight'
check "in sight of the first tensors" never 'block29'
keys G
check "End goes to the last" wait_for 'block29.weight  0.00125893 at step 49, tensor 30 of 30'
keys ']'
check "] is the next quantity" wait_for '^update_size .*30 tensors'
check "the colours change with y" eval 'keys y; wait_for "linear" && keys y && wait_for "log"'
check "in 256 colours heat is a background" eval 'tmux capture-pane -e -p -t main | grep -q "48;5;226m"'
keys Enter
check "Enter goes to its panel" wait_for 'panel [0-9]* of'
check "which is the right one" wait_for '^update_size'
keys d
check "d shows the newest spectrum" wait_for 'step 40, 5 of 5'
check "with the limit" wait_for '2/lr = 100'
check "and the time" wait_for '^0 ┴.*● 40$'
keys Left
check "Left goes back in time" wait_for 'step 30, 4 of 5'
keys Space Space
check "Space goes on, and around" wait_for 'step 0, 1 of 5'
for page in c L d; do
    keys Escape
    keys $page
    for size in 1x1 3x2 8x3 40x6 20x40 200x60; do
        tmux resize-window -t main -x "${size%x*}" -y "${size#*x}"
        sleep 0.1
        keys Down
    done
    check "$page in every size" wait_for 'q quit'
    tmux resize-window -t main -x 100 -y 24
done
keys q
check "and it ends well" wait_for 'status 0'

begin TERM=xterm
check "with 8 colours" wait_for 'step 49'
keys L
check "heat is a background of eight" eval 'wait_for "^block00.weight" && tmux capture-pane -e -p -t main | grep -a "block00" | grep -q "4[0-7]m"'
check "and no others" eval '! tmux capture-pane -e -p -t main | grep -q "38;5;"'
begin NO_COLOR=1 LC_ALL=C TERM=xterm-256color
check "without colour, in ASCII" wait_for 'step 49'
keys L
check "shades are characters" wait_for 'block00.weight @@@@'
check "no colour is sent" eval '! tmux capture-pane -e -p -t main | grep -q "[34]8;5;"'
keys c
check "gauges too" wait_for 'norm_test  *-*+O='
check "and nothing is left in doubt" never '?[^ ]'
exit $failed
