/* What scoring a pool costs from logits that lie in memory, the way `dalhost select` goes: the strategies' own module,
 * the view of a round, its blocks and the heaps of the best.
 *
 * Scores read each logit once and do a dozen operations on it: which of the two binds depends on the machine. So
 * beside the share of read bandwidth stands that of the lower of the two bounds, bandwidth and what the same
 * kernel does in the same number of threads on rows that stay in the cache.
 *
 * Options: the number of threads (default 2), then "quick" for a smaller pool.
 */
#include <dal/uncertainty.h>
#include <math.h>

#include "pipeline/compose.h"
#include "pipeline/view.h"
#include "tests/bench/machine.h"

enum { BEST = 1000, CACHED_ROWS = 256, CACHED_PASSES = 200, FILL_ROWS = 256 };

static const struct scorer {
    const char *id;
    void (*kernel)(const dal_outputs *o, double *out);
} scorers[] = {{"margin", dal_margin}, {"entropy", dal_entropy}, {"least-confidence", dal_least_confidence}};

/* ---- the pool --------------------------------------------------------------------------------- */

typedef struct pool {
    provider p;
    float *logits; /* [n, c] */
    int64_t n, c, *ids;
    dal_rng rng;
} pool;

/* Logits of a model that is fairly sure: one class raised in each row. */
static dal_status fill(void *ctx, int64_t b)
{
    const pool *j = ctx;
    const int64_t end = (b + 1) * FILL_ROWS < j->n ? (b + 1) * FILL_ROWS : j->n;
    for (int64_t i = b * FILL_ROWS; i < end; i++) {
        dal_rng r = dal_rng_at(&j->rng, (uint64_t)i);
        for (int64_t k = 0; k < j->c; k++)
            j->logits[i * j->c + k] = (float)(4 * dal_rng_uniform(&r));
        j->logits[i * j->c + dal_rng_below(&r, j->c)] += (float)(8 * dal_rng_uniform(&r));
    }
    return DAL_OK;
}

static dal_status outputs(const provider *p, scratch *s, const int64_t *ids, int64_t n, dal_matrix *out, dal_error *err)
{
    const pool *j = p->impl;
    (void)s, (void)err;
    *out = (dal_matrix){j->logits + ids[0] * j->c, n, j->c, j->c};
    return DAL_OK;
}

static void pool_init(pool *j, const dal_host *host, int64_t n, int64_t c)
{
    *j = (pool){.logits = take_floats(n * c), .n = n, .c = c, .rng = dal_rng_from_key(1)};
    j->p = (provider){.host = host, .block = BLOCK_READY, .n_classes = c, .n_pool = n, .output_kind = DAL_LOGITS,
                      .outputs = outputs, .impl = j};
    j->ids = malloc((size_t)n * sizeof *j->ids);
    if (!j->ids)
        bench_die("no memory for the pool");
    for (int64_t i = 0; i < n; i++)
        j->ids[i] = i;
    host->parallel_for(host, (n + FILL_ROWS - 1) / FILL_ROWS, fill, j);
}

static void pool_fini(pool *j)
{
    give_floats(j->logits, j->n * j->c);
    free(j->ids);
}

/* ---- the kernel alone ------------------------------------------------------------------------- */

typedef struct cached_job {
    const pool *pool;
    const struct scorer *by;
} cached_job;

static dal_status cached_task(void *ctx, int64_t i)
{
    const cached_job *j = ctx;
    const int64_t c = j->pool->c;
    const dal_outputs o = {{j->pool->logits + i * CACHED_ROWS * c, CACHED_ROWS, c, c}, DAL_LOGITS, 0};
    double scores[CACHED_ROWS];
    for (int k = 0; k < CACHED_PASSES; k++)
        j->by->kernel(&o, scores);
    return DAL_OK;
}

/* Bytes a second of the scores alone, each thread on rows of its own that fit its cache. */
static double cached_rate(const pool *p, const struct scorer *by)
{
    const dal_host *host = p->p.host;
    const int64_t threads = host->threads(host);
    cached_job j = {p, by};
    double best = INFINITY;
    for (int r = 0; r < MAX_REPEATS; r++) {
        const double start = bench_now();
        host->parallel_for(host, threads, cached_task, &j);
        const double seconds = bench_now() - start;
        best = seconds < best ? seconds : best;
    }
    return (double)(threads * CACHED_ROWS * CACHED_PASSES * p->c) * sizeof(float) / best;
}

/* ---- a selection ------------------------------------------------------------------------------ */

static double select_seconds(const pool *p, const dal_instance *strategy)
{
    const row_sets sets = {.ids = {[DAL_ROWS_CANDIDATES] = p->ids, [DAL_ROWS_UNLABELLED] = p->ids},
                           .n = {[DAL_ROWS_CANDIDATES] = p->n, [DAL_ROWS_UNLABELLED] = p->n}};
    selection s = {0};
    dal_error err = DAL_ERROR_INIT;
    const double start = bench_now();
    round_view *v = view_new(&p->p, strategy->component, &sets, 0, NULL);
    if (view_select(v, strategy, BEST, &s, &err) != DAL_OK)
        bench_die(err.text);
    selection_free(&s);
    view_free(v);
    return bench_now() - start;
}

static void bench_score(const pool *p, const dal_instance *strategy, const struct scorer *by, double bandwidth)
{
    double seconds[MAX_REPEATS];
    const long before = peak_kib();
    for (int r = 0; r < MAX_REPEATS; r++)
        seconds[r] = select_seconds(p, strategy);
    const long extra = peak_kib() - before;
    const timing t = summarise(seconds, MAX_REPEATS);
    const double rate = (double)(p->n * p->c) * sizeof(float) / t.best, cached = cached_rate(p, by);
    printf("score strategy=%s n=%lld c=%lld b=%d ms=%.2f mad_ms=%.2f best_ms=%.2f gb_s=%.1f "
           "of_read_bandwidth=%.2f in_cache_gb_s=%.1f of_bound=%.2f extra_kib=%ld\n",
           by->id, (long long)p->n, (long long)p->c, BEST, 1e3 * t.median, 1e3 * t.mad, 1e3 * t.best, rate / 1e9,
           rate / bandwidth, cached / 1e9, rate / (cached < bandwidth ? cached : bandwidth), extra);
}

static void bench_pool(composer *with, registry *r, diags *d, int64_t n, int64_t c)
{
    pool p;
    dal_error err = DAL_ERROR_INIT;
    pool_init(&p, composer_host(with, "bench"), n, c);
    const double bandwidth = read_bandwidth(p.p.host, p.logits, n * c);
    printf("read_bandwidth bytes=%lld threads=%d gb_s=%.1f\n", (long long)(n * c) * 4, p.p.host->threads(p.p.host),
           bandwidth / 1e9);
    for (size_t i = 0; i < sizeof scorers / sizeof *scorers; i++) {
        component_spec *spec = spec_from_sets(DAL_KIND_STRATEGY, scorers[i].id, NULL, 0, r, d);
        const dal_instance *strategy = NULL;
        if (!spec || composer_open(with, spec, NULL, &strategy, &err) != DAL_OK) {
            diags_print(d, stderr);
            bench_die(err.text);
        }
        bench_score(&p, strategy, &scorers[i], bandwidth);
        composer_close(with, strategy);
        spec_free(spec);
    }
    pool_fini(&p);
}

int main(int argc, char **argv)
{
    const int64_t n = argc > 2 && strcmp(argv[2], "quick") == 0 ? 100000 : 1000000;
    const composer_events events = {0};
    dal_error err = DAL_ERROR_INIT;
    diags *d = diags_new();
    registry *r = registry_new(NULL, 0, d);
    composer *with;
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (composer_new(r, argc > 1 ? atoi(argv[1]) : 2, 1, &events, &with, &err) != DAL_OK)
        bench_die(err.text);
    bench_pool(with, r, d, n, 100);
    bench_pool(with, r, d, n, 10);
    composer_free(with);
    registry_free(r);
    diags_free(d);
    return 0;
}
