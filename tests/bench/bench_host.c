/* What the host itself costs: a round around nothing, and reading the notes of many modules. */
#include "bench.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "manifest/manifest.h"
#include "pipeline/run.h"
#include "util/text.h"

enum { POOL = 60000, QUERY = 100, ROUNDS = 400, MODULES = 100, REPEATS = 9 };

static char *modules_dir(void)
{
    const char *build = getenv("DAL_BUILDDIR");
    return xasprintf("%s/tests/bench/.libs", build ? build : ".");
}

/* Wall seconds of a run of so many rounds, its store in dir. */
static double run_seconds(registry *r, const char *dir, int64_t rounds)
{
    char *yaml = xasprintf("dalhost: 1\n"
                           "dataset: {use: blobs, n_train: %d, n_test: 10, d: 2}\n"
                           "model: bench-nothing\nstrategy: bench-first\n"
                           "initial: {size: 100}\nquery: {size: %d, rounds: %lld}\n"
                           "record: {nearest: false}\n",
                           POOL, QUERY, (long long)rounds);
    char *path = xasprintf("%s/%lld.sqlite", dir, (long long)rounds);
    diags *d = diags_new();
    const manifest_options none = {0};
    manifest *m = manifest_read("bench", yaml, r, &none, d);
    trial *t = NULL;
    store *s = NULL;
    dal_error err = DAL_ERROR_INIT;
    if (!m || trial_open(m, r, 0, 0, NULL, &t, d) != DAL_OK) {
        diags_print(d, stderr);
        exit(1);
    }
    if (store_open(path, true, false, &s, &err) != DAL_OK)
        bench_die(err.text);
    const run_options o = {0};
    run_state state;
    const double start = bench_now();
    if (run_strategy(t, 0, s, &o, &state, &err) != DAL_OK)
        bench_die(err.text);
    const double seconds = bench_now() - start;
    store_close(s);
    trial_close(t);
    manifest_free(m);
    diags_free(d);
    free(path);
    free(yaml);
    return seconds;
}

static void time_rounds(const char *dir)
{
    char *modules = modules_dir();
    diags *d = diags_new();
    const char *dirs[] = {modules};
    registry *r = registry_new(dirs, 1, d);
    double per_round[REPEATS];
    for (int i = 0; i < REPEATS; i++) {
        char *sub = xasprintf("%s/%d", dir, i);
        mkdir(sub, 0700);
        const double few = run_seconds(r, sub, 1), many = run_seconds(r, sub, ROUNDS + 1);
        per_round[i] = (many - few) / ROUNDS;
        free(sub);
    }
    printf("host_round pool=%d query=%d median_ms=%.3f limit_ms=1 (store on a memory disk: without fsync)\n", POOL,
           QUERY, 1e3 * bench_median(per_round, REPEATS));
    registry_free(r);
    diags_free(d);
    free(modules);
}

/* Copies of one module under other names of the same length, in its note too. */
static void make_modules(const char *dir)
{
    char *modules = modules_dir(), *from = xasprintf("%s/bench0.so", modules);
    FILE *f = fopen(from, "rb");
    struct stat st;
    if (!f || fstat(fileno(f), &st))
        bench_die(from);
    const size_t n = (size_t)st.st_size;
    char *bytes = xcalloc(1, n);
    if (fread(bytes, 1, n, f) != n)
        bench_die(from);
    fclose(f);
    char *name = memmem(bytes, n, "module\tbench0\n", 14);
    if (!name)
        bench_die("no note in bench0.so");
    for (int i = 0; i < MODULES; i++) {
        char *to = xasprintf("%s/mod%03d.so", dir, i), word[8];
        snprintf(word, sizeof word, "mod%03d", i);
        memcpy(name + 7, word, 6);
        FILE *out = fopen(to, "wb");
        if (!out || fwrite(bytes, 1, n, out) != n || fclose(out))
            bench_die(to);
        chmod(to, 0644);
        free(to);
    }
    free(bytes);
    free(from);
    free(modules);
}

static void list_modules(const char *dir)
{
    char *sub = xasprintf("%s/modules", dir);
    mkdir(sub, 0700);
    make_modules(sub);
    const char *dirs[] = {sub};
    double seconds[REPEATS];
    int found = 0;
    for (int i = 0; i < REPEATS; i++) {
        const double start = bench_now();
        diags *d = diags_new();
        registry *r = registry_new(dirs, 1, d);
        found = registry_n_modules(r);
        registry_free(r);
        diags_free(d);
        seconds[i] = bench_now() - start;
    }
    printf("plugin_list modules=%d median_ms=%.3f limit_ms=20\n", found, 1e3 * bench_median(seconds, REPEATS));
    free(sub);
}

int main(void)
{
    char dir[] = "/dev/shm/dal-bench-XXXXXX";
    if (!mkdtemp(dir))
        bench_die("no memory disk at /dev/shm");
    time_rounds(dir);
    list_modules(dir);
    char *clean = xasprintf("rm -rf '%s'", dir);
    const int code = system(clean);
    free(clean);
    return code != 0;
}
