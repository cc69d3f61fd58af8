# shellcheck shell=bash
# Sourced: what tests of an installation begin with. Installs below $tmp/root, and $PKG_CONFIG tells of it there, wherever
# it was configured for. Sets libdir, bindir and the paths of both. Without shared modules the test is skipped.
[ -f "$DAL_BUILDDIR/tests/scenario/bad_plugins/.libs/orderly.so" ] || { echo "skipped: a build without shared modules"; exit 77; }
tmp=$(mktemp -d); trap 'rm -rf "$tmp"' EXIT
unset MAKEFLAGS MFLAGS MAKELEVEL DAL_PLUGIN_PATH DESTDIR DALHOST # the installed one is tried
export XDG_DATA_HOME=$tmp/data
# make install relinks inside the build tree: one at a time
flock -w 600 "$DAL_BUILDDIR/config.status" make -s -C "$DAL_BUILDDIR" install DESTDIR="$tmp/root" >"$tmp/install.log" 2>&1 || {
    cat "$tmp/install.log"
    echo "FAIL: make install"
    exit 1
}
pc=$(find "$tmp/root" -name dal.pc)
export PKG_CONFIG_PATH=${pc%/*}
export PKG_CONFIG="pkg-config --define-variable=prefix=$tmp/root$(pkg-config --variable=prefix dal)"
libdir=$($PKG_CONFIG --variable=libdir dal) bindir=$($PKG_CONFIG --variable=bindir dal)
export LD_LIBRARY_PATH=$libdir${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} PATH=$bindir:$PATH
