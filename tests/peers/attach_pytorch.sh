# examples/pitot.py on PyTorch loops: numbers, bit-identity, callbacks, layers. Skipped where PyTorch is not installed.
PITOT=${PITOT:-$PWD/build/pitot}
PITOT_LIBRARY=${PITOT_LIBRARY:-$PWD/${B:-build}/libpitot.so}
export PITOT PITOT_LIBRARY PYTHONDONTWRITEBYTECODE=1
case ${MODE:-release} in
release) ;;
*)
    echo "python cannot load the library of a $MODE build"
    exit 77
    ;;
esac
. "$(dirname "$0")/common"
"$python" tests/peers/attach_pytorch.py "$work"
