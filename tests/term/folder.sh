#!/usr/bin/env bash
# `pitot watch FOLDER` in a real terminal by tmux: runs that come by themselves, the table, the mouse, themes, files of the view, and
# settings that outlive a viewer. PITOT is the command. Prints one line per check; exit status 1 if any fails.

. "$(dirname "$0")/common"
terminal xterm-256color

cat > "$work/run.py" << 'PY'
import os, sys, zlib
folder, optimizer, steps, loss, wall = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4]), float(sys.argv[5])
os.makedirs(folder, exist_ok=True)
open(folder + "/run.json", "w").write('{"optimizer":{"name":"%s","options":{"lr":"%g"}},"batch":32}' % (optimizer, loss / 10))
with open(folder + "/events.jsonl", "wb") as f:
    for i in range(-1, steps):
        body = b'{"pitot":"0.1.0","segment":0,"step":0,"wall":%d' % wall if i < 0 else b'{"step":%d,"wall":%d,"loss":%g' % (i, wall + i, loss + 1 / (i + 1))
        f.write(body + b',"crc":"%08x"}\n' % zlib.crc32(body))
    body = b'{"end":"done","wall":%d' % (wall + steps)
    f.write(body + b',"crc":"%08x"}\n' % zlib.crc32(body))
os.utime(folder + "/events.jsonl", (wall, wall))
PY
run() { python3 "$work/run.py" "$work/runs/$1" "$2" "$3" "$4" "$5"; }
screen() { tmux capture-pane "$@" -p -t main; }
wait_for() { # PATTERN: 6 seconds at most
    for _ in $(seq 120); do
        screen 2> /dev/null | grep -q -- "$1" && return 0
        sleep 0.05
    done
    echo "# never shown: $1"; screen 2> /dev/null | head -8 | sed 's/^/# /'
    return 1
}
keys() { tmux send-keys -t main "$@"; }
type() { tmux send-keys -t main -l "$1"; }
start() {
    tmux kill-session -t main 2> /dev/null
    tmux new-session -d -s main -x 100 -y 20 "cd $work/out; '$PITOT' watch $* $work/runs; echo status \$?; sleep 60"
    wait_for 'step'
}
mkdir "$work/out"

mkdir "$work/runs"
"$PITOT" watch --once "$work/runs" > "$work/a" 2>&1; check "an empty folder: exit status 1" test $? -eq 1
check "an empty folder: says so" grep -q 'there is no run in it' "$work/a"
run first sgd 40 1 1600000000
run sweep/second adam 50 2 1600001000
"$PITOT" watch --once --page runs --size 80x6 "$work/runs" > "$work/a"
check "--once shows the table, last active first" eval 'sed -n 3p "$work/a" | grep -q "sweep/second *done *49 *2.02 *2.02"'
check "and one frame of it" test "$(wc -l < "$work/a")" -eq 6
check "with what differs, and not what does not" eval 'grep -q "optimizer *lr" "$work/a" && ! grep -q batch "$work/a"'
for theme in dark light high-contrast colour-blind mono; do
    "$PITOT" watch --png "$work/$theme.png" --theme $theme --page runs --size 60x10 "$work/runs"
    check "--png in $theme" eval 'head -c 4 "$work/$theme.png" | grep -q PNG'
done
check "themes differ in pictures" eval '! cmp -s "$work/dark.png" "$work/light.png"'
"$PITOT" watch --theme pink "$work/runs" > "$work/a" 2>&1; check "no such theme: a usage error" test $? -eq 2

start
check "a folder opens at its last active run" wait_for '^sweep/second  done'
keys r
check "r shows all" wait_for 'first *done *39'
run later/third kfac 60 0.5 1600002000
check "a run that comes is there by itself" wait_for 'later/third *done *59'
rm -rf "$work/runs/first"
check "one that is deleted says so" wait_for 'first *deleted'
type $'\033[<0;10;3M'; type $'\033[<0;10;3m'
check "a click selects" wait_for '^later/third  done'
type $'\033[<65;10;3M'
check "the wheel goes down" wait_for '^first  deleted'
type $'\033[<64;10;3M'
keys C-l
check "and up" wait_for '^later/third  done'
type $'\033[<0;3;20M'
check "a click on a page's name opens it" wait_for 'e enlarge\|Enter enlarge'
keys r F; type 'lr=0.05$'; keys Enter
check "F filters by KEY=VALUE" wait_for '1 of 3 runs: lr=0.05'
check "the others are not there" eval '! screen | grep -q "sweep/second"'
keys T
check "T: next theme" wait_for 'theme: light'
check "in its colours" eval 'screen -e | grep -aq "38;5;22m"'
keys e
check "e proposes a name" wait_for 'write to: later-third-runs.png'
keys C-u; type 'x.txt'; keys Enter
check "and writes" wait_for 'wrote x.txt'
check "the frame, without keys" eval 'grep -q "later/third" "$work/out/x.txt" && ! grep -q "q quit" "$work/out/x.txt"'
echo precious > "$work/out/x.txt"
keys e C-u; type 'x.txt'; keys Enter
check "not over another file without asking" wait_for 'x.txt is there; overwrite? n'
keys Enter
sleep 0.2
check "n leaves it" grep -q precious "$work/out/x.txt"
keys e C-u; type 'x.txt'; keys Enter
wait_for 'overwrite' > /dev/null
keys C-u y Enter
check "y does not" wait_for 'wrote x.txt'
keys e C-u; type '/nowhere/x.csv'; keys Enter
check "what fails is said" wait_for 'not written'
keys p e C-u; type 'p.svg'; keys Enter
check "plots as a figure" eval 'wait_for "wrote p.svg" && grep -q "<svg" "$work/out/p.svg"'
keys e C-u; type 'p.csv'; keys Enter
check "values as a table" eval 'wait_for "wrote p.csv" && grep -q "^later/third,loss,0,1600002000,1.5" "$work/out/p.csv"'
keys r q
check "it quits" wait_for 'status 0'
check "settings were kept" grep -q '"theme":.*"light"' "$work/runs/.pitot-watch.json"
cp "$work/runs/.pitot-watch.json" "$work/kept"
start
check "the next viewer is as the last was" wait_for '1 of 2 runs: lr=0.05'
check "in its theme" eval 'screen -e | grep -aq "38;5;22m"'
keys q
wait_for 'status 0' > /dev/null
check "nothing changed, nothing written" cmp -s "$work/kept" "$work/runs/.pitot-watch.json"
start --no-settings
check "--no-settings uses none" wait_for 'Enter enlarge'
keys q
"$PITOT" watch --once --size 80x6 "$work/runs" > "$work/a"
check "--once uses none" eval '! grep -q "^  run" "$work/a"'
"$PITOT" watch --once --settings "$work/kept" --size 80x6 "$work/runs" > "$work/a"
check "--once --settings does" grep -q '^  run' "$work/a"
echo '{' > "$work/runs/.pitot-watch.json"
start
check "damaged ones are not used" wait_for 'Enter enlarge\|is damaged: not used'
keys q
exit $failed
