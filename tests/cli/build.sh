# The build itself: a second make has nothing to do, what is touched is rebuilt and nothing else, and a plugin is added by adding its
# file. In a copy of the tree, with the compiler's optimizer off.
. "$(dirname "$0")/common"

mkdir "$here/tree"
cp -r Makefile LICENSE include src probes viewer "$here/tree" && mkdir -p "$here/tree/tests" && cp tests/*.sh "$here/tree/tests"
cd "$here/tree" || exit 1
unset MODE
make_it() { make --no-print-directory -j2 CC="${CC:-gcc}" CFLAGS=-O0 B=build build/pitot; }
pitot=$here/tree/build/pitot
compiled() { grep -c '^  CC ' "$here/log"; }

make_it >"$here/log" 2>&1; check $? "the command builds" "$(tail -n 5 "$here/log")"
! grep -qi warning "$here/log"; check $? "without warnings" "$(grep -i warning "$here/log" | head -n 3)"
make_it >"$here/log" 2>&1; check $? "make again" "$(tail -n 5 "$here/log")"
! grep -Eq '^  (CC|LD|AR) ' "$here/log"; check $? "nothing is compiled or linked when nothing has changed" "$(head -n 5 "$here/log")"
touch src/train/train.h
make_it >"$here/log" 2>&1
[ "$(compiled)" = "$(grep -l 'train/train.h' src/*/*.c viewer/*.c viewer/*/*.c | wc -l)" ]
check $? "a header brings in those that include it" "$(compiled) files: $(head -n 5 "$here/log")"

# A new file of the folder, made from another by renaming it: adds NAME REGISTRY FOLDER FROM SED-SCRIPT
adds() {
    sed "$5" "$3/$4.c" >"$3/$1.c"
    make_it >"$here/log" 2>&1; check $? "$2: builds with $1.c" "$(tail -n 5 "$here/log")"
    [ "$(compiled)" = 2 ]; check $? "$2: only $1.c and the table are compiled" "$(cat "$here/log")"
    "$pitot" list "$2" 2>/dev/null | grep -q "^  $1 "; check $? "$2: $1 is listed" "$("$pitot" list "$2" 2>&1 | tail -n 3)"
}
adds zz_probe probes probes loss 's/pitot_probe_loss/pitot_probe_zz_probe/; s/"loss"/"zz_probe"/'
adds aa_method optimizers src/optim sgd 's/pitot_optimizer_sgd/pitot_optimizer_aa_method/; s/"sgd"/"aa_method"/'
adds mm_op ops src/net/ops relu 's/op_relu/op_mm_op/; s/"relu"/"mm_op"/'

cat >m.json <<'END'
{"input": [1, 16, 16], "loss": "cross_entropy", "layers": [{"op": "flatten"}, {"op": "mm_op"}, {"op": "linear", "out_features": 10}]}
END
works "all three at work" "$pitot" train --model m.json --data glyphs:60 --optimizer aa_method --probes zz_probe --steps 3 --out run
grep -q '"zz_probe":' run/events.jsonl; check $? "its values are in the log" "$(head -c 300 run/events.jsonl)"
rm probes/zz_probe.c
make_it >"$here/log" 2>&1; check $? "builds without it again" "$(tail -n 5 "$here/log")"
! "$pitot" list probes | grep -q zz_probe; check $? "it is gone" "it is still listed"
finish
