# `make install` and what a program that uses the library needs of it.
. "$(dirname "$0")/common"
abi=$(sed -n 's/^#define PITOT_ABI \([0-9]*\).*/\1/p' include/pitot/base.h)
have pkg-config || { echo "there is no pkg-config"; exit 77; }
CC=${CC:-gcc} CXX=${CXX:-g++}
prefix=$here/opt/pitot

make_it() { make --no-print-directory CC="$CC" MODE="${MODE:-release}" "$@"; }
make_it install DESTDIR="$here/stage" PREFIX=/usr >"$here/log" 2>&1; check $? "install below DESTDIR" "$(tail -n 3 "$here/log")"
for f in bin/pitot bin/pitot_d lib/libpitot.a lib/libpitot_d.a lib/libpitot.so lib/libpitot_d.so lib/libpitot.so.$abi lib/pkgconfig/pitot.pc \
    lib/pkgconfig/pitot_d.pc include/pitot.h include/pitot/hooks.h; do
    [ -e "$here/stage/usr/$f" ] || not_ok "installed: $f" "is not there"
done
ls include/pitot | diff - <(ls "$here/stage/usr/include/pitot") >"$here/log"; check $? "every header is installed" "$(cat "$here/log")"
make_it uninstall DESTDIR="$here/stage" PREFIX=/usr >"$here/log" 2>&1; check $? "uninstall" "$(tail -n 3 "$here/log")"
[ -z "$(find "$here/stage" ! -type d)" ]; check $? "uninstall leaves nothing" "$(find "$here/stage" ! -type d | head -n 5)"

make_it install PREFIX="$prefix" >"$here/log" 2>&1; check $? "install into a prefix" "$(tail -n 3 "$here/log")"
grep -qx "prefix=$prefix" "$prefix/lib/pkgconfig/pitot.pc" && grep -qx "prefix=$prefix" "$prefix/lib/pkgconfig/pitot_d.pc"
check $? "pitot.pc has the prefix it was installed into" "$(head -n 1 "$prefix/lib/pkgconfig/pitot.pc")"
sed -i "s|^prefix=.*|prefix=$prefix|" "$prefix"/lib/pkgconfig/*.pc # so that what follows does not fail for that
export PKG_CONFIG_PATH=$prefix/lib/pkgconfig
pkg-config --exists pitot pitot_d; check $? "pkg-config knows it" "$(pkg-config --print-errors --exists pitot pitot_d 2>&1)"
[ "$(pkg-config --modversion pitot)" = "$("$PITOT" --version | awk '{print $2}')" ]; check $? "and its version" "$(pkg-config --modversion pitot)"
"$prefix/bin/pitot" list >/dev/null 2>&1; check $? "the installed command runs" "$?"

cat >"$here/use.c" <<'END'
#include <pitot.h>
#include <stdio.h>

int main(void) {
    pitot_real x[3] = { 3, 4, 12 }, g[3] = { 3, 4, 12 };
    double norm = 0;
    pitot_config config = { 0 };
    pitot_param param = { 0 };
    pitot_batch batch = { 0 };
    config.struct_size = sizeof config;
    config.probes = "loss, grad_norm";
    param.struct_size = sizeof param;
    param.name = "w";
    param.data = x;
    param.grad = g;
    param.shape[0] = 3;
    batch.struct_size = sizeof batch;
    batch.n = 1;
    batch.loss = 0.5;
    pitot_run *run = pitot_open(NULL, &config);
    pitot_add_param(run, &param);
    pitot_begin(run, 0);
    pitot_after_forward(run, &batch);
    pitot_after_backward(run);
    pitot_after_update(run, 0.1);
    pitot_value(run, "grad_norm", &norm, NULL);
    pitot_close(run, PITOT_DONE);
    printf("%s %d %g\n", pitot_version(), (int)pitot_real_size(), norm);
    return norm == 13 && pitot_real_size() == (int)sizeof(pitot_real) ? 0 : 1;
}
END
sed 's/= { 0 };/= {};/' "$here/use.c" >"$here/use.cc"
flags="-Wall -Wextra -Werror"
[ "${MODE:-release}" = asan ] && flags="$flags -fsanitize=address,undefined"

# build NAME COMPILER SOURCE PACKAGE static|dynamic
build() {
    local libs
    if [ "$5" = static ]; then libs="$(pkg-config --cflags "$4") $prefix/lib/lib$4.a $(pkg-config --static --libs-only-l "$4" | sed "s/-l$4 //")"
    else libs="$(pkg-config --cflags --libs "$4") -Wl,-rpath,$prefix/lib"; fi
    $2 $flags -o "$here/$1" "$here/$3" $libs >"$here/log" 2>&1
    check $? "$1: compiles and links" "$(head -n 5 "$here/log")"
    "$here/$1" >"$here/out" 2>&1
    check $? "$1: runs" "$(cat "$here/out")"
}
for p in pitot pitot_d; do
    for kind in dynamic static; do
        build "c_${p}_$kind" "$CC -std=c11" use.c $p $kind
        have "${CXX%% *}" && build "cc_${p}_$kind" "$CXX -std=c++11" use.cc $p $kind
    done
done
$CC -o "$here/mixed" "$here/use.c" $(pkg-config --cflags pitot) -L"$prefix/lib" -lpitot_d >"$here/log" 2>&1
[ $? != 0 ] && grep -q "undefined reference to .pitot_open" "$here/log"; check $? "a float program does not link with libpitot_d" "$(head -n 3 "$here/log")"
$CC -o "$here/mixed" "$here/use.c" $(pkg-config --cflags pitot_d) -L"$prefix/lib" -lpitot >"$here/log" 2>&1
[ $? != 0 ] && grep -q "undefined reference to .pitot_open_double" "$here/log"; check $? "nor the other way round" "$(head -n 3 "$here/log")"

# ---- names ----

for l in libpitot libpitot_d; do
    nm -D --defined-only "$prefix/lib/$l.so" | awk '{print $3}' | grep -v '^PITOT_0.1$' | grep -v '^PITOT_0.1@' >"$here/names"
    [ -s "$here/names" ] && ! grep -qv '^pitot_[a-z0-9_]*@@PITOT_0\.1$' "$here/names"
    check $? "$l.so exports pitot_* of version PITOT_0.1 and nothing else" \
        "$(grep -v '^pitot_[a-z0-9_]*@@PITOT_0\.1$' "$here/names" | head -n 5)"
    nm --defined-only --extern-only "$prefix/lib/$l.a" 2>/dev/null | awk 'NF == 3 {print $3}' >"$here/names"
    [ -s "$here/names" ] && ! grep -qv '^pitot_' "$here/names"
    check $? "$l.a defines pitot_* and nothing else" "$(grep -v '^pitot_' "$here/names" | head -n 5 | tr '\n' ' ')"
    readelf -d "$prefix/lib/$l.so" | grep -q "SONAME.*\[$l.so.$abi\]"
    check $? "$l.so has its soname" "$(readelf -d "$prefix/lib/$l.so" | grep SONAME)"
done
# every function of the headers is there
$CC -E -Iinclude include/pitot.h | grep -o 'visibility("default")[^;]*' | grep -o 'pitot_[a-z0-9_]*(' | tr -d '(' | sort -u >"$here/declared"
nm -D --defined-only "$prefix/lib/libpitot.so" | sed -n 's/.* \(pitot_[a-z0-9_]*\)@.*/\1/p' | sort -u >"$here/defined"
[ "$(wc -l <"$here/declared")" -gt 40 ] && [ -z "$(comm -23 "$here/declared" "$here/defined")" ]
check $? "all that is declared is defined" "$(comm -23 "$here/declared" "$here/defined" | head -n 5 | tr '\n' ' ')"
# loading it leaves the floating-point mode of the process alone (objects of -ffast-math set it when they are loaded)
! nm "$prefix/lib/libpitot.so" 2>/dev/null | grep -q set_fast_math; check $? "no start-up code that changes the floating-point mode" "set_fast_math"
make_it uninstall PREFIX="$prefix" >/dev/null 2>&1
[ -z "$(find "$prefix" ! -type d)" ]; check $? "uninstalled" "$(find "$prefix" ! -type d | head -n 3)"
finish
