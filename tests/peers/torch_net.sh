# Losses, per-sample losses, gradients and trained weights against PyTorch, net by net. Skipped where PyTorch is not installed.
PITOT=${PITOT:-$PWD/build/pitot}
export PITOT
python=
for p in /usr/bin/python3 python3; do
    "$p" -c 'import torch, numpy' 2>/dev/null && python=$p && break
done
if [ -z "$python" ]; then
    echo "no python3 with torch and numpy; apt-get install python3-torch"
    exit 77
fi
work=$(mktemp -d /tmp/pitot-torch-XXXXXX) || exit 1
trap 'rm -rf "$work"' EXIT
"$python" tests/peers/torch_net.py "$work"
