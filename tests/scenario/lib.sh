# What the scenario tests share; sourced. Makes $tmp (removed at the end) and goes there.
#
# The environment of the person who runs the tests must not matter: no plugin path, no data path, no home.
set -u
LC_ALL=C; export LC_ALL
unset DAL_PLUGIN_PATH DAL_LOG
ulimit -c 0 # some tests let plugins crash
tmp=$(mktemp -d "${TMPDIR:-/tmp}/dalhost-test.XXXXXX") || exit 99
XDG_DATA_HOME=$tmp/home; export XDG_DATA_HOME
# make install, which other tests run, relinks modules in place: not now
exec 9<"$DAL_BUILDDIR/config.status"
flock -s -w 600 9
modules=$DAL_BUILDDIR/tests/scenario/bad_plugins/.libs
failed=0
trap 'cd /; [ -z "${mounted:-}" ] || umount "$mounted"; chmod -R u+rwX "$tmp"; rm -rf "$tmp"' EXIT
cd "$tmp" || exit 99

fail() {
    printf 'FAIL: %s\n' "$*"
    failed=1
}

# die WORDS: nothing that follows would make sense.
die() {
    fail "$*"
    [ ! -s log ] || tail -n 3 log
    exit 1
}

skip() {
    printf 'skipped: %s\n' "$*"
    exit 77
}

# find_data FILE...: $data is the first folder of real data that has these. 1: there is none.
find_data() {
    local dir file found
    data=
    while IFS= read -r -d : dir; do
        found=$dir
        for file; do
            [ -n "$dir" ] && [ -e "$dir/$file" ] || found=
        done
        [ -z "$found" ] || { data=$(cd "$found" && pwd); return; }
    done <<< "${DAL_DATA_PATH:-}:$DAL_SRCDIR/../shared/data:$DAL_SRCDIR/../../shared/data:"
    return 1
}

# need_data FILE...: dalhost finds them, or the test is skipped.
need_data() {
    find_data "$@" || skip "no data: name the folder that has $* in DAL_DATA_PATH"
    DAL_DATA_PATH=$data; export DAL_DATA_PATH
}

# use_modules DIR NAME...: copies of test modules that nobody else may write to.
use_modules() {
    local dir=$1 name; shift
    mkdir -p "$dir"
    for name; do
        cp "$modules/$name.so" "$dir/" || exit 99
        chmod 644 "$dir/$name.so"
    done
}

need_sqlite3() { command -v sqlite3 >/dev/null || skip "no sqlite3 program"; }

# dump STORE [WHERE]: everything of a store that must not depend on when, where and how fast it ran. Runs in
# the order of strategy and trial, whatever their numbers. WHERE chooses runs, as in "strategy = 'margin'".
dump() {
    sqlite3 -batch "$1" <<SQL || echo "sqlite3 failed"
.mode list
.timeout 10000
CREATE TEMP TABLE r AS SELECT *, row_number() OVER (ORDER BY strategy, trial, seed, run) AS k
    FROM main.run WHERE ${2:-1};
SELECT 'run', k, name, strategy, trial, seed, manifest, components, data_fingerprint, n_pool, n_test, n_classes,
    class_names, state, message FROM r ORDER BY k;
SELECT 'data', k, position, component, split, samples, unlabelled, out_of_class, classes FROM data JOIN r USING (run)
    ORDER BY k, position, split;
SELECT 'initial', k, position, id, class FROM initial_label JOIN r USING (run) ORDER BY k, position;
SELECT 'round', k, round, n_labelled, n_ood, n_unlabelled, quote(accuracy), quote(balanced_accuracy),
    quote(macro_f1), quote(log_loss), quote(train_loss), quote(train_accuracy), epochs, converged, n_picks,
    n_pseudo, reason, n_candidates FROM round JOIN r USING (run) ORDER BY k, round;
SELECT 'recall', k, round, class, quote(recall) FROM recall JOIN r USING (run) ORDER BY k, round, class;
SELECT 'pick', k, round, rank, id, quote(score), nearest_id, quote(distance), answer, pick.class, quote(cost)
    FROM pick JOIN r USING (run) ORDER BY k, round, rank;
SELECT 'why', k, round, rank, other_id, quote(other_distance), stands_for FROM explanation JOIN r USING (run)
    ORDER BY k, round, rank;
SELECT 'few', k, round, rank, position, id, quote(distance) FROM stands_for JOIN r USING (run)
    ORDER BY k, round, rank, position;
SELECT 'pseudo', k, round, position, id, pseudo_label.class, weight FROM pseudo_label JOIN r USING (run)
    ORDER BY k, round, position;
SELECT 'blob', k, round, what, bytes, xxh3 FROM blob JOIN r USING (run) ORDER BY k, round, what;
SELECT 'part', k, round, what, part, hex(data) FROM blob_part JOIN r USING (run) ORDER BY k, round, what, part;
PRAGMA integrity_check;
SQL
}

# same A B WHAT: two files are alike.
same() {
    if ! cmp -s "$1" "$2"; then
        fail "$3: differs"
        diff "$1" "$2" | cut -c 1-200 | head -n 12
    fi
}
