# make bench: our training step beside the machine's sgemm rate and beside PyTorch, rounds in turn, medians; everything of one run.
# ROUNDS, SECONDS and THREADS may be set from outside.
B=${B:-build}
rounds=${ROUNDS:-5} seconds=${SECONDS_EACH:-1.5}
core=$("$B"/pitot doctor --json 2>/dev/null | sed -n 's/.*OPENBLAS_CORETYPE=\([A-Za-z]*\).*/\1/p' | head -n 1)
[ -n "$core" ] && [ -z "$OPENBLAS_CORETYPE" ] && export OPENBLAS_CORETYPE=$core
# both sides run in the environment as it comes; GOMP_SPINCOUNT=2000 make bench gives both what the command gives itself
python=
for p in /usr/bin/python3 python3; do $p -c 'import torch' 2>/dev/null && python=$p && break; done
[ -n "$python" ] || echo "(PyTorch is not installed: apt-get install python3-torch adds the comparison)"
median() { sort -g | awk '{v[NR]=$1} END {print v[int((NR+1)/2)]}'; }
echo "training step (forward, backward, SGD), batch 128, float32; medians of $rounds rounds in turn; kernel $("$B"/pitot doctor --json | sed -n '/blas core/,/}/s/.*"value":[^"]*"\(.*\)".*/\1/p')"
printf '%-14s %7s %9s %12s %12s %10s %9s\n' net threads 'ours ms' 'sgemm GF/s' 'share of it' 'torch ms' 'speed-up'
for threads in ${THREADS:-1 2}; do
    for net in mnist_mlp fmnist_2c2d cifar10_3c3d; do
        : >"$B/bench.ours"; : >"$B/bench.torch"
        for r in $(seq "$rounds"); do
            OMP_NUM_THREADS=$threads "$B"/tests/bench/step examples/$net.json 128 "$threads" "$seconds" >>"$B/bench.ours" || exit 1
            [ -n "$python" ] && OMP_NUM_THREADS=$threads $python tests/bench/torch_step.py examples/$net.json 128 "$threads" "$seconds" >>"$B/bench.torch"
        done
        ours=$(awk '{print $1}' "$B/bench.ours" | median) peak=$(awk '{print $4}' "$B/bench.ours" | sort -g | tail -n 1)
        flops=$(awk '{print $3; exit}' "$B/bench.ours") torch=$(awk '{print $1}' "$B/bench.torch" | median)
        echo "$net $threads $ours $peak $flops ${torch:-0}" |
            awk '{printf "%-14s %7d %9.2f %12.0f %11.0f%% %10s %9s\n", $1, $2, $3, $4, 100*$5/$3/1e6/$4, ($6 > 0 ? sprintf("%.2f",$6) : "-"), ($6 > 0 ? sprintf("%.2fx",$6/$3) : "-")}'
    done
done
echo
echo "one step with all probes tracked and logged, over one without, steps in turn (2 threads)"
for net in mnist_mlp fmnist_2c2d cifar10_3c3d; do
    OMP_NUM_THREADS=2 "$B"/tests/bench/step examples/$net.json 128 2 "$(echo "$seconds * 2" | bc 2>/dev/null || echo 3)" all |
        awk -v net=$net '{printf "%-14s %9.2f ms %9.2f ms %8.2fx\n", net, $1, $5, $5/$1}'
done
rm -rf /tmp/pitot-bench-??????
