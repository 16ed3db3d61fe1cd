# stale_refresh: what a preconditioner that has aged does to training, and what mends it. Trains one net three times with K-FAC at the same
# learning rate and seed: with inverses renewed as often as by default, far too seldom, and as often as the probe precond_staleness advised in
# the run before. Prints a table and draws loss and probe against each other.
#
#     sh examples/stale_refresh.sh [-m MODEL] [-d DATA] [-s STEPS] [-b BATCH] [-t INTERVAL] [-r SEED] [-o FOLDER] [-p PITOT]
#
# INTERVAL is the one that is too long. Everything is left in FOLDER, a run directory for each.
model=examples/glyphs_cnn.json data=glyphs steps=200 batch=64 folder=runs/stale pitot=build/pitot long=100 seed=1
say() { sed -n 's/^# \{0,1\}//; 1,7p' "$0"; }
wrong() {
    echo "stale_refresh: $1" >&2
    exit 2
}

while getopts m:d:s:b:t:r:o:p:h-: option; do
    case $option in
    m) model=$OPTARG ;; d) data=$OPTARG ;; s) steps=$OPTARG ;; b) batch=$OPTARG ;; t) long=$OPTARG ;; r) seed=$OPTARG ;; o) folder=$OPTARG ;; p) pitot=$OPTARG ;;
    h) say; exit 0 ;;
    -) [ "$OPTARG" = help ] && say && exit 0; wrong "unknown flag --$OPTARG; --help says what there is" ;;
    *) wrong "--help says what there is" ;;
    esac
done
[ -r "$model" ] || wrong "$model: there is no such model file; run it from the source's folder, or give -m FILE"
command -v "$pitot" >/dev/null || wrong "$pitot: there is no such program; run make, or give -p FILE"
if [ -e "$folder" ] && [ ! -e "$folder/seldom" ] && [ -n "$(ls -A "$folder")" ]; then
    wrong "$folder: is there, and none of this script's; give another -o FOLDER"
fi
every=$(((steps + 9) / 10))
rm -rf "$folder"
mkdir -p "$folder" || exit 1

# One run: NAME [INTERVAL]
train() {
    "$pitot" train --model "$model" --data "$data" --optimizer kfac ${2:+--set T_inv=$2} --steps "$steps" --batch "$batch" --seed "$seed" \
        --probes "loss,precond_staleness@$every" --out "$folder/$1" --quiet || exit 1
}

# All values of one name in a run's log, a line each.
values() { grep -o "\"$2\":[^,}]*" "$folder/$1/events.jsonl" | cut -d: -f2; }
last() { values "$1" "$2" | tail -n 1; }
median() { values "$1" "$2" | sort -g | awk '{ x[NR] = $1 } END { print x[int((NR + 1) / 2)] }'; }
# Mean of the last twentieth of the losses: single batches scatter.
final() { values "$1" loss | tail -n $(((steps + 19) / 20)) | awk '{ sum += $1 } END { printf "%.3f", sum / NR }'; }
row() { printf '%-8s  %8s  %11.3f  %10.1f°  %7.1f%%\n' "$1" "$2" "$(final "$1")" "$(median "$1" precond_staleness.angle)" \
    "$(median "$1" precond_staleness.lost | awk '{ print 100 * $1 }')"; }

train default
train seldom "$long"
advice=$(last seldom precond_staleness.interval | awk '{ print $1 < 1 ? 1 : int($1 + 0.5) }')
[ -n "$advice" ] || { echo "stale_refresh: the run was too short for the probe to advise anything" >&2; exit 1; }
train advised "$advice"

echo "precond_staleness.interval after $steps steps with inverses every $long: $advice"
printf '%-8s  %8s  %11s  %11s  %8s\n' run interval "loss at end" angle lost
row default "$(grep -o '"T_inv":[^,}]*' "$folder/default/run.json" | head -n 1 | tr -dc 0-9)"
row seldom "$long"
row advised "$advice"
"$pitot" report "$folder"/default "$folder"/seldom "$folder"/advised -o "$folder/stale.png" \
    --panel loss,precond_staleness.lost,precond_staleness.inverse_error,precond_staleness.angle,precond_staleness.age,precond_staleness.interval --dpi 130
