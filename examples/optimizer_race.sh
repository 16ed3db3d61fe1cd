# optimizer_race: trains one net with several optimizers at several learning rates and draws them against each other on one page: loss over
# steps and over seconds, accuracy, largest eigenvalue of the Hessian, sharpness against each one's limit, noise scale, how stale each
# preconditioner is.
#
#     sh examples/optimizer_race.sh [-m MODEL] [-d DATA] [-s STEPS] [-b BATCH] [-r SEED] [-o FOLDER] [-p PITOT] [RACER]...
#
# A racer is OPTIMIZER[@LR[,LR...]][:KEY=VALUE...], one run for each LR; without "@" it runs at its default learning rate.
#
#     sh examples/optimizer_race.sh sgd@0.1:momentum=0.9 adam@0.001,0.003 kfac soap
#     sh examples/optimizer_race.sh -m examples/mnist_mlp.json -d mnist:DIR -s 500 "sgd+cosine@0.3" muon@0.01,0.02
#
# `pitot list optimizers` names them, `pitot list optimizers NAME` says what can be set. Seconds are those of training: what the probes take is
# left out. A run that fails is left out of the figure, and the exit status is then 1. FOLDER (runs/race) is written anew: a run directory for
# each, race.png and race.list.
model=examples/glyphs_cnn.json data=glyphs steps=300 batch=64 seed=1 folder=runs/race pitot=build/pitot
probes=loss,hess_max_ev@30,noise_scale@10,sharpness@30,precond_staleness@20

say() { sed -n 's/^# \{0,1\}//; 1,14p' "$0"; }
wrong() {
    echo "optimizer_race: $1" >&2
    exit 2
}

while getopts m:d:s:b:r:o:p:h-: option; do
    case $option in
    m) model=$OPTARG ;; d) data=$OPTARG ;; s) steps=$OPTARG ;; b) batch=$OPTARG ;; r) seed=$OPTARG ;; o) folder=$OPTARG ;; p) pitot=$OPTARG ;;
    h) say; exit 0 ;;
    -) [ "$OPTARG" = help ] && say && exit 0; wrong "unknown flag --$OPTARG; --help says what there is" ;;
    *) wrong "--help says what there is" ;;
    esac
done
shift $((OPTIND - 1))
[ $# -gt 0 ] || set -- sgd@0.05:momentum=0.9 adam@0.001,0.004 muon shampoo soap kfac@0.02
[ -r "$model" ] || wrong "$model: there is no such model file; run it from the source's folder, or give -m FILE"
command -v "$pitot" >/dev/null || wrong "$pitot: there is no such program; run make, or give -p FILE"
if [ -e "$folder" ] && [ ! -e "$folder/race.list" ] && [ -n "$(ls -A "$folder")" ]; then
    wrong "$folder: is there, and no race's; give another -o FOLDER"
fi
rm -rf "$folder"
mkdir -p "$folder" || exit 1
: >"$folder/race.list"

# One run: NAME LR (or nothing) KEY=VALUE...; a folder of its own even where only settings differ.
failed=
race() {
    name=$1 lr=$2
    shift 2
    set= run=$folder/$name${lr:+@$lr}
    for item in ${lr:+lr=$lr} "$@"; do set="$set --set $item"; done
    [ -e "$run" ] && for item in "$@"; do run=$run:$item; done
    if [ -e "$run" ]; then
        echo "optimizer_race: ${run##*/} is named twice: it races once" >&2
        return
    fi
    echo "${run##*/}: --optimizer $name$set" >>"$folder/race.list"
    if said=$("$pitot" train --model "$model" --data "$data" --optimizer "$name" $set --steps "$steps" --batch "$batch" --seed "$seed" \
        --probes "$probes" --out "$run" 2>"$folder/errors"); then
        echo "${run##*/}: $(echo "$said" | head -n 1)"
    else
        failed="$failed ${run##*/}"
    fi
    grep '^pitot: ' "$folder/errors" >&2 # not the progress
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
rm -f "$folder/errors"
[ -z "$failed" ] || echo "optimizer_race: failed:$failed" >&2
ls "$folder"/*/run.json >/dev/null 2>&1 || exit 1

panels=loss@log@top,loss@seconds@log@top
for more in val/accuracy hess_max_ev@log sharpness@log noise_scale precond_staleness.angle@linear precond_staleness.lost@linear \
    precond_staleness.moment_overlap@linear; do
    grep -qF "\"${more%%@*}\":" "$folder"/*/events.jsonl && panels=$panels,$more
done
"$pitot" report "$folder"/*/ -o "$folder/race.png" --panel "$panels" --dpi 130 || exit 1
[ -z "$failed" ]
