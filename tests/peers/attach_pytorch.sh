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
python=
for p in /usr/bin/python3 python3; do
    "$p" -c 'import torch, numpy' 2>/dev/null && python=$p && break
done
if [ -z "$python" ]; then
    echo "no python3 with torch and numpy; apt-get install python3-torch"
    exit 77
fi
work=$(mktemp -d /tmp/pitot-attach-XXXXXX) || exit 1
trap 'rm -rf "$work"' EXIT
"$python" tests/peers/attach_pytorch.py "$work"
