# make demo: trains a small convolutional net on generated digits, probes on every step (curvature every 10 or 20), and draws what happened. In a terminal the
# viewer opens beside it (q closes it, the training goes on; it closes by itself ten seconds after the end).
pitot=${1:-build/pitot}
run=runs/demo
rm -rf "$run"
watch=
[ -t 1 ] && [ -t 0 ] && watch=--watch
"$pitot" train --model examples/glyphs_cnn.json --data glyphs --optimizer adam --set lr=0.002 --batch 64 --epochs 12 \
    --probes economy,update_ratio,noise_scale,mean_gsnr,cabs,early_stopping,grad_hist_2d@10,hess_trace@10,tic_diag@10,tic_trace@10,hess_max_ev@20,sharpness@20 \
    --set grad_hist_2d.keep_individual=true --seed 1 --out "$run" --save "$run/trained.safetensors" $watch || exit 1
mkdir -p "$run/figures"
"$pitot" report "$run" -o "$run/figures/report.png" || exit 1
"$pitot" report "$run" -o "$run/figures/report.svg" || exit 1
echo
echo "log      $run/events.jsonl"
echo "figures  $run/figures/report.png"
echo "         $run/figures/report.svg"
echo "look     $pitot watch $run"
