# Brings in what the build needs: where headers are missing and this is Debian with root or password-less sudo, installs the packages;
# otherwise stops with the line to type. Finds out in a few milliseconds that nothing is missing.
compiler=${1:-gcc}
packages="gcc libc6-dev make pkg-config libopenblas-openmp-dev liblapacke-dev libncurses-dev libpng-dev libcjson-dev zlib1g-dev libcairo2-dev libcmocka-dev fonts-dejavu-core"
case $compiler in *clang*) packages="$packages clang libomp-dev" ;; esac
complete() {
    command -v "$compiler" >/dev/null && command -v pkg-config >/dev/null &&
        pkg-config --exists libcjson zlib cairo cairo-svg cairo-pdf libpng ncursesw cmocka &&
        echo '#include <cblas.h>
#include <lapacke.h>
#include <cmocka_version.h>' | sed '/cmocka/d' | "$compiler" -E - >/dev/null 2>&1 &&
        [ -e "/usr/lib/$("$compiler" -print-multiarch 2>/dev/null)/openblas-openmp/libopenblas.so" ]
}
complete && exit 0
line="apt-get install -y --no-install-recommends $packages"
if [ -f /etc/debian_version ] && command -v apt-get >/dev/null; then
    if [ "$(id -u)" = 0 ]; then sudo=; elif sudo -n true 2>/dev/null; then sudo="sudo -n"; else sudo=no; fi
    if [ "$sudo" != no ]; then
        echo "installing: $packages"
        $sudo apt-get update -q >/dev/null && $sudo env DEBIAN_FRONTEND=noninteractive $line >/dev/null && complete && exit 0
        echo "pitot: the packages could not be installed; try: $sudo $line" >&2
        exit 1
    fi
fi
echo "pitot: some packages that the build needs are missing; type: sudo $line" >&2
exit 1
