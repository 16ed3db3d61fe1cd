# optimizer_race: trains one net with several optimizers at several learning rates and draws them against each other: loss over steps and over
# seconds, validation, sharpness against each one's limit, noise scale, how stale each preconditioner is, on one page.
#
#     sh examples/optimizer_race.sh [-m MODEL] [-d DATA] [-s STEPS] [-b BATCH] [-o FOLDER] [-p PITOT] [OPTIMIZER@LR[,LR...][:KEY=VALUE...]]...
#
#     sh examples/optimizer_race.sh sgd@0.1:momentum=0.9 adam@0.001,0.003 kfac soap
#     sh examples/optimizer_race.sh -m examples/mnist_mlp.json -d mnist:DIR -s 500 "sgd+cosine@0.3" muon
#
# An optimizer without "@" runs at its default learning rate. Everything is left in FOLDER, a run directory for each.
model=examples/glyphs_cnn.json data=glyphs steps=300 batch=64 folder=runs/race pitot=build/pitot
while getopts m:d:s:b:o:p: option; do
    case $option in
    m) model=$OPTARG ;; d) data=$OPTARG ;; s) steps=$OPTARG ;; b) batch=$OPTARG ;; o) folder=$OPTARG ;; p) pitot=$OPTARG ;;
    *) sed -n 's/^# \{0,1\}//; 4,7p' "$0" >&2; exit 2 ;;
    esac
done
shift $((OPTIND - 1))
[ $# -gt 0 ] || set -- sgd@0.05:momentum=0.9 adam@0.001,0.004 muon shampoo soap kfac
probes=loss,grad_norm@10,noise_scale@10,sharpness@30,precond_staleness@20
rm -rf "$folder"
mkdir -p "$folder" || exit 1

# One run: NAME LR (or nothing) KEY=VALUE...
race() {
    name=$1 lr=$2
    shift 2
    run=$folder/$name${lr:+@$lr}
    set=
    for item in ${lr:+lr=$lr} "$@"; do set="$set --set $item"; done
    echo "$run"
    "$pitot" train --model "$model" --data "$data" --optimizer "$name" $set --steps "$steps" --batch "$batch" --seed 1 \
        --probes "$probes" --out "$run" --quiet || exit 1
}

for racer in "$@"; do
    what=${racer%%:*} settings=
    [ "$what" = "$racer" ] || settings=$(echo "${racer#*:}" | tr ':' ' ')
    name=${what%%@*} rates=
    [ "$name" = "$what" ] || rates=$(echo "${what#*@}" | tr ',' ' ')
    if [ -n "$rates" ]; then
        for lr in $rates; do race "$name" "$lr" $settings; done
    else
        race "$name" "" $settings
    fi
done

panels=loss,loss@seconds
for more in val/loss val/accuracy grad_norm sharpness noise_scale precond_staleness precond_staleness.lost; do
    grep -qF "\"$more\":" "$folder"/*/events.jsonl && panels=$panels,$more
done
"$pitot" report "$folder"/*/ -o "$folder/race.png" --panel "$panels" --dpi 130
