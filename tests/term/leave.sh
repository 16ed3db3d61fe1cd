#!/usr/bin/env bash
# `pitot watch` gives the terminal back however it ends: settings, screen, cursor, keypad and mouse. In real terminals by tmux. PITOT is
# the command. Prints one line per check; exit status 1 if any fails.

. "$(dirname "$0")/common"
terminal xterm-256color
export ASAN_OPTIONS=${ASAN_OPTIONS:-}:handle_segv=0:handle_sigbus=0:handle_sigfpe=0 # under which crashes are as they are

mkdir "$work/r"
python3 - "$work/r" << 'PY'
import sys, zlib
with open(sys.argv[1] + "/events.jsonl", "wb") as f:
    for i in range(-1, 50):
        body = b'{"pitot":"0.1.0","segment":0,"step":0' if i < 0 else b'{"step":%d,"wall":%d,"loss":%g' % (i, 1600000000 + i, 1 + i % 7)
        f.write(body + b',"crc":"%08x"}\n' % zlib.crc32(body))
PY

screen() { tmux capture-pane -p -t "$1"; }
wait_for() { # SESSION PATTERN: 5 seconds at most
    for _ in $(seq 100); do
        screen "$1" 2> /dev/null | grep -q -- "$2" && return 0
        sleep 0.05
    done
    echo "# $1 never showed: $2"; screen "$1" 2> /dev/null | head -5 | sed 's/^/# /'
    return 1
}
state() { # what the terminal is in: other screen, cursor, mouse, keypad
    tmux display-message -p -t "$1" \
        '#{alternate_on} #{cursor_flag} #{mouse_any_flag}#{mouse_standard_flag}#{mouse_button_flag}#{mouse_sgr_flag} #{keypad_flag}#{keypad_cursor_flag}'
}
wait_state() { for _ in $(seq 100); do [ "$(state "$1")" = "$2" ] && return 0; sleep 0.05; done; echo "# $1: $(state "$1")"; return 1; }
pid_of() { cat "$work/$1.pid"; }

plain='0 1 0000 00'
# start NAME FLAGS...: the viewer in a shell that notes the terminal's settings before and after, its pid, and its status
start() {
    local name=$1; shift
    tmux new-session -d -s "$name" -x 80 -y 20 "stty -a > $work/$name.before
        sh -c 'echo \$\$ > $work/$name.pid; exec \"$PITOT\" watch $* $work/r' 2> $work/$name.err
        echo \$? > $work/$name.status; stty -a > $work/$name.after; echo over; sleep 60"
    wait_for "$name" 'loss'
}
left() { # NAME STATUS
    for _ in $(seq 100); do [ -s "$work/$1.after" ] && break; sleep 0.05; done
    [ "$(cat "$work/$1.status" 2> /dev/null)" = "$2" ] || { echo "# $1: status $(cat "$work/$1.status" 2> /dev/null), not $2"; return 1; }
    cmp -s "$work/$1.before" "$work/$1.after" || { diff "$work/$1.before" "$work/$1.after" | sed 's/^/# /'; return 1; }
    wait_state "$1" "$plain"
}

start q
check "while it is open: its own screen, no cursor, the mouse" wait_state q '1 0 1011 11'
tmux send-keys -t q q
check "q" left q 0
start nomouse --no-mouse
check "--no-mouse leaves the mouse" wait_state nomouse '1 0 0000 11'
tmux send-keys -t nomouse q
check "q without the mouse" left nomouse 0
start c
tmux send-keys -t c C-c
check "Ctrl-C" left c 0
start backslash
tmux send-keys -t backslash 'C-\'
check "Ctrl-\\" left backslash 0
for signal in TERM HUP QUIT INT; do
    start "s$signal"
    kill -$signal "$(pid_of "s$signal")"
    check "SIG$signal" left "s$signal" 0
done
for signal in SEGV:139 BUS:135 FPE:136 ABRT:134 ILL:132; do
    name=x${signal%:*}
    start "$name"
    (ulimit -c 0; kill -"${signal%:*}" "$(pid_of "$name")")
    check "a crash by SIG${signal%:*}" left "$name" "${signal#*:}"
done
start prompt
tmux send-keys -t prompt e x C-c
check "Ctrl-C while a line is typed" left prompt 0

# ---- jobs ----

tmux new-session -d -s shell -x 80 -y 20 "bash --norc --noprofile -i"
tmux send-keys -t shell "PS1='> '; stty -a > $work/shell.before" Enter "'$PITOT' watch $work/r" Enter
wait_for shell 'loss' > /dev/null
tmux send-keys -t shell C-z
check "Ctrl-Z stops it" wait_for shell 'Stopped'
check "stopped, the terminal is as before" wait_state shell '0 1 0000 00'
tmux resize-window -t shell -x 60 -y 12
tmux send-keys -t shell "clear; stty size" Enter
check "the shell works meanwhile" wait_for shell '^12 60'
tmux send-keys -t shell fg Enter
check "fg brings it back" wait_for shell 'loss'
check "with its screen and the mouse" wait_state shell '1 0 1011 11'
check "in the size that it has now" eval 'screen shell | tail -1 | grep -q "p plots"'
tmux send-keys -t shell q
check "then q" wait_state shell "$plain"
tmux send-keys -t shell "stty -a > $work/shell.after; echo no''ted" Enter
check "and all is as before" eval 'wait_for shell "^noted" && diff <(grep -v rows "$work/shell.before") <(grep -v rows "$work/shell.after")'
tmux send-keys -t shell "'$PITOT' watch $work/r" Enter
wait_state shell '1 0 1011 11'
pid=$(pgrep -n -f "^$PITOT watch $work/r\$")
kill -STOP "$pid"
wait_for shell 'Stopped' > /dev/null
tmux send-keys -t shell fg Enter
check "stopped from outside: fg draws all of it again" eval 'sleep 0.3; screen shell | head -1 | grep -q "^r .*step 49" && ! screen shell | grep -q Stopped'
tmux send-keys -t shell q
check "then q too" wait_state shell "$plain"

# ---- pipes and terminals that close ----

"$PITOT" watch --once --size 400x400 "$work/r" 2> "$work/pipe.err" | head -1 > "$work/pipe.out"
check "a closed pipe: the first line" grep -q 'loss' "$work/pipe.out"
check "and no complaint beyond one line" test "$(wc -l < "$work/pipe.err")" -le 1
start gone
pid=$(pid_of gone)
tmux kill-session -t gone
for _ in $(seq 60); do kill -0 "$pid" 2> /dev/null || break; sleep 0.05; done
check "a terminal that goes away ends it" eval '! kill -0 "$pid" 2> /dev/null'
cat > "$work/hang.py" << 'PY'
import os, pty, select, sys, time
pid, fd = pty.fork()
if pid == 0:
    import signal
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    os.environ["TERM"] = "xterm-256color"
    os.execv(sys.argv[1], [sys.argv[1], "watch", sys.argv[2]])
end = time.time() + 1
while time.time() < end:
    if select.select([fd], [], [], 0.1)[0]: os.read(fd, 65536)
os.close(fd)
for _ in range(60):
    time.sleep(0.05)
    done, status = os.waitpid(pid, os.WNOHANG)
    if done: sys.exit(0)
ticks = sum(map(int, open(f"/proc/{pid}/stat").read().rsplit(")")[1].split()[11:13]))
os.kill(pid, 9)
print(f"# still there, {ticks} ticks")
sys.exit(1)
PY
check "one that goes away without a signal too" timeout 10 python3 "$work/hang.py" "$PITOT" "$work/r"
exit $failed
