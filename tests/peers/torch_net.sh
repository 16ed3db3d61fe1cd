# Losses, per-sample losses, gradients and trained weights against PyTorch, net by net. Skipped where PyTorch is not installed.
PITOT=${PITOT:-$PWD/build/pitot}
export PITOT
. "$(dirname "$0")/common"
"$python" tests/peers/torch_net.py "$work"
