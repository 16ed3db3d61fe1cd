# make bench: our training step beside the machine's sgemm rate and beside PyTorch, rounds in turn, medians; then what configurations, curvature and
# optimizers cost. Everything of one run; what is being measured is said on standard error.
#
#     make bench ONLY=optim,matrix     some sections alone: step configurations probes products diagonals operators spectra vivit cheap optim matrix
#                                      overlap search hooks viewer
#
# ROUNDS, SECONDS_EACH and THREADS (step, overlap), NETS (of mnist_mlp fmnist_2c2d cifar10_3c3d; overlap: mnist_mlp) and METHODS (matrix, overlap) may
# be set from outside, too.
B=${B:-build}
rounds=${ROUNDS:-5} seconds=${SECONDS_EACH:-1.5} nets=${NETS:-mnist_mlp fmnist_2c2d cifar10_3c3d}
sections='step configurations probes products diagonals operators spectra vivit cheap optim matrix overlap search hooks viewer'
only=$(echo "${ONLY:-$sections}" | tr , ' ')
for name in $only; do
    case " $sections " in *" $name "*) ;; *) echo "bench: there is no section $name; there are: $sections" >&2; exit 2 ;; esac
done
measured() { # SECTION: whether it is asked for
    case " $only " in *" $1 "*) ;; *) return 1 ;; esac
    [ -z "$begun" ] || echo
    begun=1
    doing "$1"
}
doing() { # WHAT
    echo "bench: $*" >&2
}
core=$("$B"/pitot doctor --json 2>/dev/null | sed -n 's/.*OPENBLAS_CORETYPE=\([A-Za-z]*\).*/\1/p' | head -n 1)
[ -n "$core" ] && [ -z "$OPENBLAS_CORETYPE" ] && export OPENBLAS_CORETYPE=$core
# both sides run in the environment as it comes; GOMP_SPINCOUNT=2000 make bench gives both what the command gives itself
python=
case " $only " in
*" step "* | *" optim "*)
    for p in /usr/bin/python3 python3; do $p -c 'import torch' 2>/dev/null && python=$p && break; done
    [ -n "$python" ] || echo "(PyTorch is not installed: apt-get install python3-torch adds the comparison)" ;;
esac
median() { sort -g | awk '{v[NR]=$1} END {print v[int((NR+1)/2)]}'; }
two() { OMP_NUM_THREADS=2 "$B"/tests/bench/"$@"; }

if measured step; then
    echo "training step (forward, backward, SGD), batch 128, float32; medians of $rounds rounds in turn; kernel $("$B"/pitot doctor --json | sed -n '/blas core/,/}/s/.*"value":[^"]*"\(.*\)".*/\1/p')"
    printf '%-14s %7s %9s %12s %12s %10s %9s\n' net threads 'ours ms' 'sgemm GF/s' 'share of it' 'torch ms' 'speed-up'
    for threads in ${THREADS:-1 2}; do
        for net in $nets; do
            doing "$net"
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
fi

if measured configurations; then
    echo "configurations, tracked and logged at every step: a tracked step over a bare one, in turn (2 threads); limits in brackets"
    printf '%-14s %9s %13s %14s %14s %14s %16s\n' net 'bare ms' 'economy [2]' 'business [5 9]' 'sampled [2.5]' 'full [30 28]' 'memory [1.5]'
    sampled='tic_diag.curvature=ggn_mc hess_trace.curvature=ggn_mc'
    for net in $nets; do
        doing "$net"
        bare=$(two step examples/$net.json 128 2 $seconds)
        e=$(two step examples/$net.json 128 2 $seconds economy) b=$(two step examples/$net.json 128 2 $seconds business)
        s=$(two step examples/$net.json 128 2 $seconds business "$sampled") f=$(two step examples/$net.json 128 2 $seconds full)
        echo "$net $bare $e $b $s $f" |
            awk '{printf "%-14s %9.2f %13.2f %14.2f %14.2f %14.2f %16.2f\n", $1, $2, $12/$8, $18/$14, $24/$20, $30/$26, $13/$7}'
    done
fi

if measured probes; then
    echo "some probes alone: what they add to a step, as a share of it"
    printf '%-14s %24s %14s %14s %14s\n' net 'noise_scale+mean_gsnr' grad_hist_1d grad_hist_2d alpha
    for net in $nets; do
        doing "$net"
        echo "$net $(two step examples/$net.json 128 2 $seconds noise_scale,mean_gsnr) $(two step examples/$net.json 128 2 $seconds grad_hist_1d)" \
             "$(two step examples/$net.json 128 2 $seconds grad_hist_2d) $(two step examples/$net.json 128 2 $seconds alpha)" |
            awk '{printf "%-14s %24.2f %14.2f %14.2f %14.2f\n", $1, $6/$2-1, $12/$8-1, $18/$14-1, $24/$20-1}'
    done
fi

if measured products; then
    echo "exact Hessian-vector products, and hess_max_ev (both ends to 1e-2) along 50 steps of gradient descent on one batch (2 threads)"
    printf '%-14s %12s %12s %8s %20s\n' net 'gradient ms' 'product ms' ratio 'products a step'
    for net in $nets; do
        doing "$net"
        two hooks examples/$net.json 128 2 $seconds | awk -v net=$net '{printf "%-14s %12.2f %12.2f %8.2f %20.1f\n", net, $1, $2, $3, $4}'
    done
fi

if measured diagonals; then
    echo "diagonals of curvature, batch 128: time over a step's, medians of ratios in turn, and what is said beforehand in gradients (2 threads)"
    printf '%-14s %10s %16s %16s %16s\n' net 'step ms' 'exact GGN' 'one draw' 'HesScale'
    for net in $nets; do
        doing "$net"
        two diagonals examples/$net.json 128 2 $seconds | awk -v net=$net '{printf "%-14s %10.2f %8.2f (%5.2f) %8.2f (%5.2f) %8.2f (%5.2f)\n", net, $1, $2, $3, $4, $5, $6, $7}'
    done
fi

if measured operators; then
    echo "operators' products over a gradient of the same 512 samples: in one chunk, in four, in four with four vectors at once (2 threads)"
    printf '%-14s %12s %16s %16s %16s %16s %16s\n' net 'gradient ms' hessian ggn ggn_mc 'empirical fisher' 'ggn, last layer'
    for net in $nets; do
        doing "$net"
        two curve_ops examples/$net.json 512 2 $seconds | awk -v net=$net '{printf "%-14s %12.2f", net, $1; for (i = 2; i <= NF; i += 3) printf "   %4.2f %4.2f %4.2f", $i, $(i+1), $(i+2); print ""}'
    done
fi

if measured spectra; then
    echo "the Hessian's spectrum, batch 128, made-up samples, weights as initialised (2 threads): products, ten largest eigenvalues to 1e-3, 100 Lanczos steps"
    printf '%-14s %12s %11s %7s %10s %14s %8s %10s %13s\n' net 'gradient ms' 'product ms' 'ratio' 'of sgemm' '8 at once ms' 'top 10' 'products' 'density ms'
    for net in $nets; do
        doing "$net"
        two spectra examples/$net.json 128 2 $seconds |
            awk -v net=$net '{printf "%-14s %12.2f %11.2f %7.2f %9.0f%% %14.2f %8.0f %10d %13.0f\n", net, $1, $2, $2/$1, 100*$3, $4, $5, $6, $8}'
    done
fi

if measured vivit; then
    echo "the GGN's spectrum in Gram space (ViViT), 128 samples x 9 columns, over a training step: all eigenvalues, ten leading pairs, those with derivatives and a Newton step"
    printf '%-14s %10s %16s %12s %22s\n' net 'step ms' 'all eigenvalues' 'ten pairs' 'derivatives and step'
    for net in $nets; do
        doing "$net"
        two vivit examples/$net.json 128 2 $seconds | awk -v net=$net '{printf "%-14s %10.2f %16.1f %12.1f %22.1f\n", net, $1, $2, $3, $4}'
    done
fi

if measured cheap; then
    echo "cheap diagonals beside the exact Hessian's (relative L1 error, cosine, rank correlation; gradients they cost)"
    two cheap_diagonals 300 $seconds
fi

if measured optim; then
    echo "optimizers' updates on mnist_mlp's tensors (1.34 M values), and on ten times as many (2 threads): limit is the memory's rate times what each reads and writes"
    echo "beside PyTorch: both in one process, in turn, on the same parameters and gradients; PyTorch's fastest of for-loop, foreach and fused; the ratio is the median over rounds"
    printf '%-22s %7s %10s %18s %18s %14s %12s %15s\n' method size 'ours ms' 'time / limit [1.5]' 'or roots if more' 'ours beside ms' 'PyTorch ms' 'PyTorch / ours'
    for scale in 1 10; do
        two optim 2 $seconds $scale >"$B/bench.ours"
        : >"$B/bench.torch"
        [ -n "$python" ] && OMP_NUM_THREADS=2 $python tests/bench/torch_optim.py "$B/libpitot.so" 2 $seconds $scale >"$B/bench.torch"
        awk -v scale=$scale 'FILENAME ~ /torch/ {own[$1] = $2; t[$1] = $3; ratio[$1] = $4; next}
            {printf "%-22s %6dx %10.3f %18.2f %18.2f %14s %12s %15s\n", $1, scale, $2, $4, $5, ($1 in t ? own[$1] : "-"), ($1 in t ? t[$1] : "-"), ($1 in t ? sprintf("%.2f", ratio[$1]) : "-")}' \
            "$B/bench.torch" "$B/bench.ours"
    done
fi

if measured matrix; then
    echo "methods on matrices, batch 128 (2 threads): a step without decompositions (or the fitting of factors), and one with them (seldom), over SGD's in"
    echo "turn, and on average over as many steps as have one of the latter by default; milliseconds of the update and of its parts; and the update over"
    echo "its own products, decompositions and passes one after the other [1.3] (decompositions are made side by side)"
    printf '%-14s %-14s %-7s %9s %9s %9s %8s %14s %15s %7s %7s %11s\n' net method step 'over SGD' average 'update ms' factors decompositions preconditioning passes rest 'over needed'
    for net in $nets; do
        for method in ${METHODS:-muon shampoo soap eshampoo psgd_kron kfac ekfac singd singd_diagonal}; do
            doing "$net $method"
            two optim_matrix examples/$net.json 128 2 $seconds $method | awk -v net=$net \
                '{average = $2 == "often" ? (once = $13) : ((($3-1)*once + $13)/$3)}
                {printf "%-14s %-14s %-7s %9.2f %9s %9.2f %8.2f %14.2f %15.2f %7.2f %7.2f %11s\n", net, $1, $2, $13,
                 ($2 == "often" ? "" : sprintf("%.2f (%d)", average, $3)), $6, $7, $8, $9, $10, $11, ($14 > 0 ? sprintf("%.2f", $14) : "-")}'
        done
    done
fi

if measured overlap; then
    echo "decompositions beside the steps and used a period later, over decompositions within their step: milliseconds of a step, means over periods, on"
    echo "all of the machine's cores (2 threads) and with one left over (1 thread)"
    printf '%-14s %-14s %7s %7s %10s %10s %7s\n' net method threads period within beside ratio
    for threads in ${THREADS:-2 1}; do
        for net in ${NETS:-mnist_mlp}; do
            for method in ${METHODS:-kfac soap shampoo}; do
                doing "$net $method, threads: $threads"
                OMP_NUM_THREADS=$threads "$B"/tests/bench/optim_overlap examples/$net.json 128 $threads $seconds $method |
                    awk -v net=$net -v threads=$threads '{printf "%-14s %-14s %7d %7d %10.2f %10.2f %7.2f\n", net, $1, threads, $2, $3, $4, $5}'
            done
        done
    done
fi

if measured search; then
    echo "hess_max_ev along a training run, another mini-batch each time: products at each tracked step, the first left out"
    runs=$(mktemp -d /tmp/pitot-bench-XXXXXX)
    OMP_NUM_THREADS=2 "$B"/pitot train --quiet --model examples/glyphs_cnn.json --data glyphs:4000 --batch 128 --steps 300 --optimizer adam --set lr=0.001 \
        --probes loss,hess_max_ev@10 --set hess_max_ev.warm=100 --out "$runs/a"
    grep -o '"hess_max_ev.products":[0-9]*' "$runs/a/events.jsonl" | awk -F: 'NR > 1 {s += $2; n++} END {printf "glyphs_cnn     %10.1f\n", s/n}'
    rm -rf "$runs"
fi

if measured hooks; then
    two hooks | awk '{printf "the hooks of a step with nothing due: %.0f ns; a tracked step with one value: %.1f us, of which its log record %.1f us\n", $1, $2, $3}'
fi

if measured viewer; then
    echo "viewer: a frame of 200 by 60 cells, all values in sight"
    "$B"/tests/bench/plots
fi
rm -rf /tmp/pitot-bench-??????
