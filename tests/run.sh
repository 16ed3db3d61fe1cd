# Runs the suite: every program that make built from tests/unit, tests/fuzz, tests/fault and examples, and every script in tests/term,
# tests/peers and tests/cli. Each counts as one; scripts may count their own cases by lines "ok ..." and "not ok ...". A script that
# exits with 77 is skipped and says why. Closes with "N passed, N failed".
B=${B:-build}
MODE=${MODE:-release}
export PITOT=$PWD/$B/pitot PITOT_D=$PWD/$B/pitot_d B MODE
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-2} GOMP_SPINCOUNT=${GOMP_SPINCOUNT:-2000}
unset MAKEFLAGS MFLAGS MAKELEVEL # scripts that call make start anew
log=$B/tests/log
mkdir -p "$log"
passed=0 failed=0 skipped=0 limit=300 # seconds a program
wrap=
case $MODE in
asan)
    export ASAN_OPTIONS=detect_leaks=1:allocator_may_return_null=1:detect_stack_use_after_return=1:strict_string_checks=1
    export LSAN_OPTIONS=suppressions=$PWD/tests/lsan.supp:print_suppressions=0 UBSAN_OPTIONS=print_stacktrace=1 PITOT_FUZZ_SCALE=0.2
    ;;
tsan) export TSAN_OPTIONS=ignore_noninstrumented_modules=1:history_size=7 PITOT_FUZZ_SCALE=0.1 limit=1200 ;;
valgrind)
    limit=1200
    export PITOT_FUZZ_SCALE=0.02 OPENBLAS_CORETYPE=Haswell OMP_NUM_THREADS=1
    wrap="valgrind -q --error-exitcode=9 --leak-check=full --errors-for-leak-kinds=definite --suppressions=tests/valgrind.supp" ;;
esac
# the kernel that the command would choose for itself
if [ -z "$OPENBLAS_CORETYPE" ] && [ -x "$PITOT" ]; then
    core=$("$PITOT" doctor --json 2>/dev/null | sed -n 's/.*OPENBLAS_CORETYPE=\([A-Za-z]*\).*/\1/p' | head -n 1)
    [ -n "$core" ] && export OPENBLAS_CORETYPE=$core
fi

judge() { # NAME STATUS FILE: counts
    cases=$(grep -c '^ok[ :]' "$3")
    bad=$(grep -c '^not ok[ :]' "$3")
    units=$(sed -n 's/^\[  PASSED  \] \([0-9]*\) test.*/\1/p' "$3" | tail -n 1)
    broken=$(sed -n 's/^\[  FAILED  \] \([0-9]*\) test.*/\1/p' "$3" | tail -n 1)
    cases=$((cases + ${units:-0})) bad=$((bad + ${broken:-0}))
    if [ "$2" = 77 ]; then
        skipped=$((skipped + 1))
        printf '  skip  %s: %s\n' "$1" "$(tail -n 1 "$3")"
        return
    fi
    [ "$2" != 0 ] && [ "$bad" = 0 ] && bad=1
    [ "$2" = 0 ] && [ "$cases" = 0 ] && cases=1
    passed=$((passed + cases)) failed=$((failed + bad))
    if [ "$2" = 0 ] && [ "$bad" = 0 ]; then printf '  ok    %s (%s)\n' "$1" "$cases"
    else
        printf '  FAIL  %s (exit status %s)\n' "$1" "$2"
        grep -E '^not ok|ERROR|FAILED|error|runtime|==' "$3" | head -n 20 | sed 's/^/        /'
    fi
}

one() { # NAME COMMAND...
    name=$1
    shift
    out=$log/$(echo "$name" | tr / _).log
    timeout $limit "$@" >"$out" 2>&1 </dev/null
    judge "$name" $? "$out"
}

for t in "$B"/tests/test_*; do [ -x "$t" ] && [ -f "$t" ] && one "unit/${t##*/}" $wrap "$t"; done
for t in "$B"/tests/fuzz/* "$B"/tests/fault/*; do [ -x "$t" ] && [ -f "$t" ] && one "${t#"$B"/tests/}" $wrap "$t"; done
if [ "$MODE" != valgrind ] && [ "$MODE" != tsan ]; then
    for t in tests/cli/*.sh tests/term/*.sh tests/peers/*.sh; do [ -f "$t" ] && one "${t#tests/}" bash "$t"; done
fi
if [ "$skipped" != 0 ]; then echo "$passed passed, $failed failed, $skipped skipped"; else echo "$passed passed, $failed failed"; fi
[ "$failed" = 0 ] && [ "$passed" != 0 ]
