/* What the strategies on stochastic passes cost: scores beside the memory they read, the joint kernel beside
 * sgemm, coremse, corelog and batchbald as `dalhost select` would call them, through their modules.
 *
 * One line a measurement, `what key=value ...`; the best and the median of some repetitions. Options: the number
 * of threads (default 2), then "quick" for smaller problems.
 */
#include <dal/joint.h>
#include <dal/linalg.h>
#include <dal/mc.h>
#include <dal/strategy.h>
#include <dlfcn.h>
#include <math.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "tests/bench/machine.h"

#define REPEATS 5
#define BLOCK 256 /* rows a task */

/* Of all threads; what a machine shared with others does not disturb. */
static double cpu_seconds(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           1e-6 * (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

static int64_t tasks(int64_t n, int64_t size)
{
    return (n + size - 1) / size;
}

/* ---- passes ----------------------------------------------------------------------------------- */

typedef struct fill_job {
    float *z;
    int64_t passes, n, c;
    double sure;
} fill_job;

/* Logits round a common opinion; one class is raised by up to `sure`. */
static dal_status fill_task(void *ctx, int64_t b)
{
    const fill_job *j = ctx;
    const int64_t end = (b + 1) * BLOCK < j->n ? (b + 1) * BLOCK : j->n;
    const dal_rng stream = dal_rng_from_key(1);
    for (int64_t i = b * BLOCK; i < end; i++) {
        dal_rng r = dal_rng_at(&stream, (uint64_t)i);
        const int64_t top = dal_rng_below(&r, j->c);
        const double raised = j->sure * dal_rng_uniform(&r);
        for (int64_t k = 0; k < j->passes; k++)
            for (int64_t y = 0; y < j->c; y++)
                j->z[(k * j->n + i) * j->c + y] = (float)(3 * dal_rng_uniform(&r) + (y == top ? raised : 0));
    }
    return DAL_OK;
}

static float *make_passes(const dal_host *host, int64_t passes, int64_t n, int64_t c, double sure)
{
    const size_t bytes = (size_t)(passes * n * c) * sizeof(float);
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        bench_die("no memory for the passes");
    madvise(p, bytes, MADV_HUGEPAGE);
    fill_job j = {p, passes, n, c, sure};
    host->parallel_for(host, tasks(n, BLOCK), fill_task, &j);
    return p;
}

static void give_passes(float *z, int64_t passes, int64_t n, int64_t c)
{
    munmap(z, (size_t)(passes * n * c) * sizeof(float));
}

/* ---- scores ----------------------------------------------------------------------------------- */

typedef struct score_job {
    const dal_host *host;
    dal_tensor3 t;
    uint32_t kind;
    dal_mc_score *score;
    double *out;
} score_job;

static dal_status score_task(void *ctx, int64_t b)
{
    const score_job *j = ctx;
    const int64_t first = b * BLOCK, left = j->t.rows - first;
    return j->score(j->host, &j->t, j->kind, first, left < BLOCK ? left : BLOCK, j->out + first, NULL);
}

static void bench_scores(const dal_host *host, int64_t passes, int64_t n, int64_t c)
{
    static const struct {
        const char *name;
        dal_mc_score *score;
    } all[] = {{"least-confidence-mcd", dal_mc_least_confidence}, {"margin-mcd", dal_mc_margin},
               {"entropy-mcd", dal_mc_entropy},                   {"bald", dal_mc_bald},
               {"variation-ratios", dal_mc_variation_ratios},     {"mean-std", dal_mc_mean_std}};
    float *z = make_passes(host, passes, n, c, 8);
    score_job j = {host, {z, passes, n, c}, DAL_LOGITS, NULL, malloc((size_t)n * sizeof *j.out)};
    const double bytes = (double)(passes * n * c) * sizeof(float),
        floor = bytes / read_bandwidth(host, z, passes * n * c);
    printf("mc_read passes=%lld n=%lld c=%lld threads=%d gb_s=%.1f\n", (long long)passes, (long long)n,
           (long long)c, host->threads(host), bytes / floor / 1e9);
    for (j.kind = DAL_LOGITS; j.kind <= DAL_PROBS; j.kind++) {
        for (size_t s = 0; s < sizeof all / sizeof *all; s++) {
            double seconds[REPEATS];
            const long before = peak_kib();
            j.score = all[s].score;
            for (int r = 0; r < REPEATS; r++) {
                const double start = bench_now();
                if (host->parallel_for(host, tasks(n, BLOCK), score_task, &j) != DAL_OK)
                    bench_die("no memory for a block");
                seconds[r] = bench_now() - start;
            }
            const double median = bench_median(seconds, REPEATS); /* which sorts them */
            printf("mc_score strategy=%s kind=%s passes=%lld n=%lld c=%lld ms=%.0f best_ms=%.0f gb_s=%.1f "
                   "of_read_bandwidth=%.2f extra_kib=%ld target_extra_kib=8192\n",
                   all[s].name, j.kind == DAL_LOGITS ? "logits" : "probs", (long long)passes, (long long)n,
                   (long long)c, 1e3 * median, 1e3 * seconds[0], bytes / seconds[0] / 1e9, floor / seconds[0],
                   peak_kib() - before);
        }
        for (int64_t i = 0; i < passes * n && j.kind == DAL_LOGITS; i += n)
            dal_softmax(z + i * c, n, c, c);
    }
    free(j.out);
    give_passes(z, passes, n, c);
}

/* ---- the joint kernel ------------------------------------------------------------------------- */

typedef struct gemm_job {
    const float *x;
    float *out; /* [tasks, 256, 256] */
} gemm_job;

static dal_status gemm_task(void *ctx, int64_t i)
{
    const gemm_job *j = ctx;
    return dal_gemm_nt(256, 256, 256, 1, j->x, 256, j->x, 256, 0, j->out + i * 65536, 256);
}

/* Products and sums a second, of tiles in the cache. */
static double gemm_rate(const dal_host *host)
{
    enum { TILES = 64 };
    gemm_job j = {calloc(65536, sizeof *j.x), calloc(TILES * 65536, sizeof *j.out)};
    double best = INFINITY;
    for (int r = 0; r < REPEATS; r++) {
        const double start = bench_now();
        host->parallel_for(host, TILES, gemm_task, &j);
        best = fmin(best, bench_now() - start);
    }
    free((void *)(uintptr_t)j.x);
    free(j.out);
    return TILES * 256.0 * 65536.0 / best;
}

typedef struct joint_job {
    const dal_host *host;
    dal_tensor3 t;
    const dal_joint *targets;
    double *out;
} joint_job;

static dal_status joint_task(void *ctx, int64_t b)
{
    const joint_job *j = ctx;
    const int64_t first = b * BLOCK, left = j->t.rows - first;
    return dal_joint_rows(j->host, &j->t, DAL_LOGITS, first, left < BLOCK ? left : BLOCK, j->targets,
                          j->out + first, NULL, NULL);
}

static void bench_epig(const dal_host *host, int64_t passes, int64_t n, int64_t c, int64_t m, double gemm)
{
    float *z = make_passes(host, passes, n, c, 8);
    dal_joint targets;
    joint_job j = {host, {z, passes, n, c}, &targets, malloc((size_t)n * sizeof *j.out)};
    double best = INFINITY;
    if (dal_joint_pack(host, &j.t, DAL_LOGITS, NULL, m, &targets, NULL, NULL) != DAL_OK)
        bench_die("no memory for the targets");
    for (int r = 0; r < 3; r++) {
        const double start = bench_now();
        host->parallel_for(host, tasks(n, BLOCK), joint_task, &j);
        best = fmin(best, bench_now() - start);
    }
    const double products = (double)(n * m * passes) * (double)(c * c);
    printf("epig passes=%lld n=%lld c=%lld targets=%lld s=%.3f products_s=%.1fe9 of_sgemm=%.2f\n",
           (long long)passes, (long long)n, (long long)c, (long long)m, best, products / best / 1e9,
           products / best / gemm);
    dal_joint_free(&targets);
    free(j.out);
    give_passes(z, passes, n, c);
}

/* ---- whole selections ------------------------------------------------------------------------- */

typedef struct pool {
    dal_tensor3 t;
    int64_t *ids;
} pool;

static int64_t view_count(const dal_view *v, uint32_t set)
{
    return set == DAL_ROWS_CANDIDATES ? ((const pool *)v->impl)->t.rows : 0;
}

static const int64_t *view_ids(const dal_view *v, uint32_t set)
{
    (void)set;
    return ((const pool *)v->impl)->ids;
}

static dal_status view_mc(const dal_view *v, uint32_t set, int64_t passes, dal_tensor3 *out, dal_error *err)
{
    (void)set, (void)passes, (void)err;
    *out = ((const pool *)v->impl)->t;
    return DAL_OK;
}

static const dal_strategy_impl *impl_of(const char *module, const char *id)
{
    const char *dir = getenv("DAL_BUILDDIR");
    char path[1024], symbol[128];
    snprintf(path, sizeof path, "%s/plugins/strategies/.libs/%s.so", dir ? dir : ".", module);
    snprintf(symbol, sizeof symbol, "%s_LTX_dal_plugin", module);
    void *so = dlopen(path, RTLD_NOW);
    const dal_plugin *plugin = so ? dlsym(so, symbol) : NULL;
    for (int i = 0; plugin && plugin->components[i]; i++)
        if (strcmp(plugin->components[i]->id, id) == 0)
            return plugin->components[i]->impl;
    bench_die(path);
    return NULL;
}

/* One selection through the strategy's table; options are laid out as in its file. */
static void bench_select(const dal_host *host, const char *module, const char *id, const void *options,
                         int64_t passes, int64_t n, int64_t c, int64_t b, double sure, const char *target)
{
    const dal_strategy_impl *impl = impl_of(module, id);
    pool r = {{make_passes(host, passes, n, c, sure), passes, n, c}, malloc((size_t)n * sizeof *r.ids)};
    const dal_view view = {.struct_size = sizeof view, .mc_kind = DAL_LOGITS, .impl = &r, .n_classes = c,
                           .count = view_count, .ids = view_ids, .mc = view_mc};
    dal_picks picks = {.struct_size = sizeof picks, .want = b, .ids = malloc((size_t)b * sizeof(int64_t)),
                       .scores = malloc((size_t)b * sizeof(double))};
    dal_error err = DAL_ERROR_INIT;
    void *self = NULL;
    for (int64_t i = 0; i < n; i++)
        r.ids[i] = i;
    const long before = peak_kib();
    const double start = bench_now(), start_cpu = cpu_seconds();
    dal_status st = impl->create(host, options, &self, &err);
    if (st == DAL_OK)
        st = impl->select(self, &view, &picks, &err);
    const double seconds = bench_now() - start, cpu = cpu_seconds() - start_cpu;
    impl->destroy(self);
    if (st != DAL_OK)
        bench_die(err.text);
    printf("mc_select strategy=%s passes=%lld n=%lld c=%lld b=%lld sure=%g s=%.2f cpu_s=%.2f "
           "extra_mb=%.0f target=%s\n", id,
           (long long)passes, (long long)n, (long long)c, (long long)b, sure, seconds, cpu,
           (double)(peak_kib() - before) / 1024, target);
    free(picks.ids);
    free(picks.scores);
    free(r.ids);
    give_passes((float *)(uintptr_t)r.t.data, passes, n, c);
}

/* What dal/joint.h saves: J formed pair by pair, in float, by the book; seconds for all pairs from a few. */
static void bench_plain_core(const dal_host *host, int64_t passes, int64_t n, int64_t c, int64_t m)
{
    enum { SOME = 20 };
    float *z = make_passes(host, passes, SOME, c, 8), *J = malloc((size_t)(c * c) * sizeof *J);
    volatile double sink = 0;
    dal_softmax(z, passes * SOME, c, c);
    const double start = bench_now();
    for (int64_t a = 0; a < SOME; a++)
        for (int64_t x = 0; x < SOME; x++) {
            double sum = 0;
            dal_gemm_tn(c, c, passes, 1 / (float)passes, z + a * c, SOME * c, z + x * c, SOME * c, 0, J, c);
            for (int64_t i = 0; i < c * c; i++)
                sum += (double)(J[i] * logf(J[i] + 1e-30f));
            sink += sum;
        }
    const double each = (bench_now() - start) / (SOME * SOME);
    printf("corelog_plain passes=%lld n=%lld c=%lld xprime=%lld s=%.1f extrapolated_from=%d threads=1\n",
           (long long)passes, (long long)n, (long long)c, (long long)m, each * (double)(n * m), SOME * SOME);
    free(J);
    give_passes(z, passes, SOME, c);
}

int main(int argc, char **argv)
{
    const int64_t shrink = argc > 2 && strcmp(argv[2], "quick") == 0 ? 10 : 1;
    dal_runtime *rt = bench_runtime(argc > 1 ? atoi(argv[1]) : 2, 1);
    const dal_host *host = dal_runtime_host(rt, "bench");
    const struct {
        int64_t passes;
        double xprime_frac, top_frac;
        uint32_t batch_mode;
    } coremse = {10, 0.1, 0.5, 0}, corelog = {10, 0.01, 0.5, 0};
    const struct {
        int64_t passes, configurations, pool_subset;
    } batchbald = {100, 1000, 0};
    setvbuf(stdout, NULL, _IOLBF, 0);
    const double gemm = gemm_rate(host);
    printf("sgemm tile=256 threads=%d gf_s=%.0f\n", host->threads(host), 2 * gemm / 1e9);
    bench_epig(host, 10, 10000 / shrink, 10, 1000, gemm);
    bench_epig(host, 100, 10000 / shrink, 10, 100, gemm);
    bench_select(host, "bemps", "coremse", &coremse, 10, 10000 / shrink, 100, 100, 8, "3s,300mb");
    bench_select(host, "bemps", "coremse", &coremse, 10, 10000 / shrink, 100, 1000 / shrink, 8, "3s,300mb");
    bench_select(host, "bemps", "corelog", &corelog, 10, 10000 / shrink, 100, 100, 8, "3s,300mb");
    bench_plain_core(host, 10, 10000 / shrink, 100, 100 / shrink);
    bench_select(host, "batchbald", "batchbald", &batchbald, 100, 10000 / shrink, 10, 10, 8, "a_few_s");
    bench_select(host, "batchbald", "batchbald", &batchbald, 100, 10000 / shrink, 10, 10, 0, "a_few_s");
    bench_scores(host, 10, 200000 / shrink, 100); /* last: its peak would hide that of the others */
    dal_runtime_free(rt);
    return 0;
}
