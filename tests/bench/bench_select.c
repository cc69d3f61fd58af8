/* What selection costs, beside what this machine could do in the same minute.
 *
 * Scores read each logit once and do a dozen operations on it: which of the two binds depends on the machine. So
 * beside the share of read bandwidth stands that of the lower of the two bounds, bandwidth and what the same
 * kernel does in the same number of threads on rows that stay in the cache.
 *
 * One line a measurement, `what key=value ...`: the median of some repetitions, the median deviation from it
 * (mad), and the best. Read bandwidth is the best of several access patterns, and it is the best repetition
 * that is held against it: a machine shared with others disturbs both alike. Options: the number of threads
 * (default 2), then "quick" for smaller problems, or "large" for one: coreset's [1M, 128, -, 1000].
 */
#include <dal/kcenter.h>
#include <dal/linalg.h>
#include <dal/topk.h>
#include <dal/uncertainty.h>
#include <math.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "sdk/lib/clones.h"
#include "tests/bench/bench.h"

#define MAX_REPEATS 15
#define SLICES 256 /* tasks of the bandwidth test */

typedef struct timing {
    double median, mad, best;
} timing;

static timing summarise(double *seconds, int n)
{
    timing t = {.median = bench_median(seconds, n)}; /* which sorts them */
    t.best = seconds[0];
    for (int i = 0; i < n; i++)
        seconds[i] = fabs(seconds[i] - t.median);
    t.mad = bench_median(seconds, n);
    return t;
}

static long peak_kib(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss;
}

/* Touched memory in huge pages where there are any; the program ends when there is none. */
static float *take_floats(int64_t n)
{
    void *p = mmap(NULL, (size_t)n * sizeof(float), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        bench_die("no memory for the data");
    madvise(p, (size_t)n * sizeof(float), MADV_HUGEPAGE);
    return p;
}

static void give_floats(float *p, int64_t n)
{
    munmap(p, (size_t)n * sizeof(float));
}

/* ---- the machine ------------------------------------------------------------------------------ */

typedef struct read_job {
    const uint32_t *data;
    int64_t n, streams;
    uint32_t sums[SLICES];
} read_job;

DAL_CLONES static uint32_t read_slice(const uint32_t *p, int64_t n, int64_t streams)
{
    uint32_t lane[32] = {0}, sum = 0;
    const int64_t each = n / streams / 32 * 32;
    for (int64_t k = 0; k < each; k += 32)
        for (int64_t s = 0; s < streams; s++)
            for (int l = 0; l < 32; l++)
                lane[l] += p[s * each + k + l];
    for (int l = 0; l < 32; l++)
        sum += lane[l];
    return sum;
}

static dal_status read_task(void *ctx, int64_t i)
{
    read_job *j = ctx;
    const int64_t each = j->n / SLICES;
    j->sums[i] = read_slice(j->data + i * each, each, j->streams);
    return DAL_OK;
}

/* Bytes a second, the best of 1 to 8 streams a thread, over n floats. */
static double read_bandwidth(const dal_host *host, const float *data, int64_t n)
{
    static const int64_t streams[] = {1, 2, 4, 8};
    double best = INFINITY;
    read_job j = {.data = (const uint32_t *)(const void *)data, .n = n};
    for (int repeat = 0; repeat < 5; repeat++)
        for (int s = 0; s < 4; s++) {
            j.streams = streams[s];
            const double start = bench_now();
            host->parallel_for(host, SLICES, read_task, &j);
            const double seconds = bench_now() - start;
            best = seconds < best ? seconds : best;
        }
    return (double)n * sizeof(float) / best;
}

static dal_status nothing(void *ctx, int64_t i)
{
    (void)ctx, (void)i;
    return DAL_OK;
}

static void bench_pool(const dal_host *host)
{
    double seconds[MAX_REPEATS];
    for (int r = 0; r < MAX_REPEATS; r++) {
        const double start = bench_now();
        for (int i = 0; i < 2000; i++)
            host->parallel_for(host, 4, nothing, NULL);
        seconds[r] = (bench_now() - start) / 2000;
    }
    const timing t = summarise(seconds, MAX_REPEATS);
    printf("parallel_for tasks=4 threads=%d us=%.2f mad_us=%.2f\n", host->threads(host), 1e6 * t.median,
           1e6 * t.mad);
}

/* ---- score + top-k ---------------------------------------------------------------------------- */

#define BLOCK 256 /* rows a task: as many as `run` and `select` take at a time */

typedef struct fill_job {
    float *data;
    int64_t n, width;
    dal_rng rng;
} fill_job;

/* Logits of a model that is fairly sure: one class raised in each row. */
static dal_status fill_logits(void *ctx, int64_t b)
{
    const fill_job *j = ctx;
    const int64_t end = (b + 1) * BLOCK < j->n ? (b + 1) * BLOCK : j->n;
    for (int64_t i = b * BLOCK; i < end; i++) {
        dal_rng r = dal_rng_at(&j->rng, (uint64_t)i);
        for (int64_t k = 0; k < j->width; k++)
            j->data[i * j->width + k] = (float)(4 * dal_rng_uniform(&r));
        j->data[i * j->width + dal_rng_below(&r, j->width)] += (float)(8 * dal_rng_uniform(&r));
    }
    return DAL_OK;
}

enum { BEST = 1000, KEEPERS = 64 };

/* What one thread at a time keeps, as `run` and `select` do: nobody waits for another's heap. */
typedef struct keeper {
    atomic_flag taken;
    dal_topk best;
    double scores[BEST];
    int64_t index[BEST];
} keeper;

typedef struct score_job {
    dal_matrix logits;
    void (*score)(const dal_outputs *o, double *out);
    keeper *keepers; /* [KEEPERS] */
} score_job;

static dal_status score_task(void *ctx, int64_t b)
{
    score_job *j = ctx;
    double scores[BLOCK];
    dal_outputs o = {j->logits, DAL_LOGITS, 0};
    int at = 0;
    o.values.data += b * BLOCK * o.values.stride;
    o.values.rows = o.values.rows - b * BLOCK < BLOCK ? o.values.rows - b * BLOCK : BLOCK;
    j->score(&o, scores);
    while (atomic_flag_test_and_set(&j->keepers[at].taken))
        at = (at + 1) % KEEPERS;
    dal_topk_push(&j->keepers[at].best, scores, b * BLOCK, o.values.rows);
    atomic_flag_clear(&j->keepers[at].taken);
    return DAL_OK;
}

#define CACHED_PASSES 200

static dal_status cached_task(void *ctx, int64_t i)
{
    const score_job *j = ctx;
    double scores[BLOCK];
    dal_outputs o = {j->logits, DAL_LOGITS, 0};
    o.values.data += i * BLOCK * o.values.stride;
    o.values.rows = BLOCK;
    for (int k = 0; k < CACHED_PASSES; k++)
        j->score(&o, scores);
    return DAL_OK;
}

/* Bytes a second of the scores alone, each thread on a block of its own that fits its cache. */
static double cached_rate(const dal_host *host, score_job *j)
{
    const int64_t threads = host->threads(host);
    double best = INFINITY;
    for (int r = 0; r < MAX_REPEATS; r++) {
        const double start = bench_now();
        host->parallel_for(host, threads, cached_task, j);
        const double seconds = bench_now() - start;
        best = seconds < best ? seconds : best;
    }
    return (double)(threads * BLOCK * CACHED_PASSES * j->logits.cols) * sizeof(float) / best;
}

static void bench_score(const dal_host *host, const char *name, void (*score)(const dal_outputs *o, double *out),
                        uint32_t order, const float *logits, int64_t n, int64_t c, double bandwidth)
{
    static keeper keepers[KEEPERS];
    double seconds[MAX_REPEATS];
    score_job j = {.logits = {logits, n, c, c}, .score = score, .keepers = keepers};
    const long before = peak_kib();
    for (int r = 0; r < MAX_REPEATS; r++) {
        const double start = bench_now();
        for (int k = 0; k < KEEPERS; k++)
            dal_topk_init(&keepers[k].best, BEST, order, keepers[k].scores, keepers[k].index);
        host->parallel_for(host, (n + BLOCK - 1) / BLOCK, score_task, &j);
        for (int k = 1; k < KEEPERS; k++)
            dal_topk_merge(&keepers[0].best, &keepers[k].best);
        dal_topk_sort(&keepers[0].best);
        seconds[r] = bench_now() - start;
    }
    const long extra = peak_kib() - before;
    const timing t = summarise(seconds, MAX_REPEATS);
    const double rate = (double)(n * c) * sizeof(float) / t.best, cached = cached_rate(host, &j);
    printf("score strategy=%s n=%lld c=%lld b=%d ms=%.2f mad_ms=%.2f best_ms=%.2f gb_s=%.1f "
           "of_read_bandwidth=%.2f in_cache_gb_s=%.1f of_bound=%.2f extra_kib=%ld\n",
           name, (long long)n, (long long)c, BEST, 1e3 * t.median, 1e3 * t.mad, 1e3 * t.best, rate / 1e9,
           rate / bandwidth, cached / 1e9, rate / (cached < bandwidth ? cached : bandwidth), extra);
}

static void bench_scores(const dal_host *host, int64_t n, int64_t c)
{
    fill_job f = {take_floats(n * c), n, c, dal_rng_from_key(1)};
    host->parallel_for(host, (n + BLOCK - 1) / BLOCK, fill_logits, &f);
    const double bandwidth = read_bandwidth(host, f.data, n * c);
    printf("read_bandwidth bytes=%lld threads=%d gb_s=%.1f\n", (long long)(n * c) * 4, host->threads(host),
           bandwidth / 1e9);
    bench_score(host, "margin", dal_margin, DAL_SMALLEST_FIRST, f.data, n, c, bandwidth);
    bench_score(host, "entropy", dal_entropy, DAL_LARGEST_FIRST, f.data, n, c, bandwidth);
    bench_score(host, "least-confidence", dal_least_confidence, DAL_SMALLEST_FIRST, f.data, n, c, bandwidth);
    give_floats(f.data, n * c);
}

/* ---- k-center --------------------------------------------------------------------------------- */

#define LATENT 24

typedef struct feature_job {
    float *data;
    int64_t n, d;
    int clustered;
    const float *mixing; /* [LATENT, d] */
    dal_rng rng;
} feature_job;

/* Clustered: ReLU features round ten centres in LATENT dimensions. Otherwise uniform in the unit cube. */
static dal_status fill_features(void *ctx, int64_t b)
{
    const feature_job *j = ctx;
    const int64_t first = b * BLOCK, n = j->n - first < BLOCK ? j->n - first : BLOCK;
    float latent[BLOCK * LATENT], *x = j->data + first * j->d;
    for (int64_t i = 0; i < n; i++) {
        dal_rng r = dal_rng_at(&j->rng, (uint64_t)(first + i));
        if (!j->clustered) {
            for (int64_t k = 0; k < j->d; k++)
                x[i * j->d + k] = (float)dal_rng_uniform(&r);
            continue;
        }
        dal_rng centre = dal_rng_from_key((uint64_t)dal_rng_below(&r, 10));
        for (int k = 0; k < LATENT; k++)
            latent[i * LATENT + k] = (float)(2 * dal_rng_normal(&centre) + dal_rng_normal(&r));
    }
    if (j->clustered) {
        dal_gemm_nn(n, j->d, LATENT, 1, latent, LATENT, j->mixing, j->d, 0, x, j->d);
        for (int64_t i = 0; i < n * j->d; i++)
            x[i] = x[i] > 0 ? x[i] : 0;
    }
    return DAL_OK;
}

/* One pass of the plain algorithm, a pick against all: what "a pass per pick" takes when it is written well. */
typedef struct pass_job {
    const float *x, *centre;
    int64_t n, d;
    float *m;
} pass_job;

static dal_status pass_task(void *ctx, int64_t b)
{
    const pass_job *j = ctx;
    const int64_t end = (b + 1) * BLOCK < j->n ? (b + 1) * BLOCK : j->n;
    for (int64_t i = b * BLOCK; i < end; i++) {
        const float distance = dal_squared_distance(j->x + i * j->d, j->centre, j->d);
        j->m[i] = distance < j->m[i] ? distance : j->m[i];
    }
    return DAL_OK;
}

/* b picks with nothing labelled; seconds. */
static double plain_kcenter(const dal_host *host, const float *x, int64_t n, int64_t d, int64_t b, int64_t *picks)
{
    pass_job j = {x, x, n, d, malloc((size_t)n * sizeof(float))};
    const double start = bench_now();
    for (int64_t i = 0; j.m && i < n; i++)
        j.m[i] = INFINITY;
    for (int64_t k = 0; j.m && k < b; k++) {
        int64_t best = 0;
        for (int64_t i = 1; i < n; i++)
            best = j.m[i] > j.m[best] ? i : best;
        picks[k] = best;
        j.centre = x + best * d;
        host->parallel_for(host, (n + BLOCK - 1) / BLOCK, pass_task, &j);
        j.m[best] = -1;
    }
    free(j.m);
    return bench_now() - start;
}

/* Seconds of dal_kcenter; the program ends when it fails. */
static double fast_kcenter(const dal_host *host, const dal_kcenter_problem *p, int64_t *picks)
{
    int64_t n;
    dal_error err = DAL_ERROR_INIT;
    float *distance = malloc((size_t)p->n_picks * sizeof *distance);
    const double start = bench_now();
    if (!distance || dal_kcenter(host, p, picks, distance, &n, &err) != DAL_OK)
        bench_die(distance ? err.text : "no memory");
    free(distance);
    return bench_now() - start;
}

static void bench_kcenter(const dal_host *host, int clustered, int64_t n, int64_t n_labelled, int64_t d, int64_t b)
{
    enum { REPEATS = 3, SOME = 20 };
    const char *data = clustered ? "clustered" : "uniform";
    float *mixing = take_floats(LATENT * d);
    dal_rng r = dal_rng_from_key(2);
    for (int64_t i = 0; i < LATENT * d; i++)
        mixing[i] = (float)dal_rng_normal(&r) / 5;
    feature_job f = {take_floats((n + n_labelled) * d), n + n_labelled, d, clustered, mixing, r};
    host->parallel_for(host, (f.n + BLOCK - 1) / BLOCK, fill_features, &f);
    const dal_matrix labelled = {f.data + n * d, n_labelled, d, d};
    dal_kcenter_problem p = {.struct_size = sizeof p, .candidates = {f.data, n, d, d}, .centres = &labelled,
                             .n_centres = 1, .n_picks = b};
    const double pass = (double)(n * d) * sizeof(float) / read_bandwidth(host, f.data, n * d);
    int64_t *picks = malloc((size_t)b * sizeof *picks), plain[SOME];
    double seconds[REPEATS];
    for (int with = n_labelled > 0; picks && with >= 0; with--) {
        p.n_centres = with;
        const long before = peak_kib();
        for (int i = 0; i < REPEATS; i++)
            seconds[i] = fast_kcenter(host, &p, picks);
        const timing t = summarise(seconds, REPEATS);
        printf("kcenter data=%s n=%lld d=%lld n_labelled=%lld b=%lld s=%.3f mad_s=%.3f best_s=%.3f "
               "pass_per_pick_s=%.3f of_pass_per_pick=%.2f extra_kib=%ld\n",
               data, (long long)n, (long long)d, (long long)(with ? n_labelled : 0), (long long)b, t.median, t.mad,
               t.best, pass * (double)b, t.best / (pass * (double)b), peak_kib() - before);
    }
    p.n_picks = SOME;
    const double fast = fast_kcenter(host, &p, picks), slow = plain_kcenter(host, f.data, n, d, SOME, plain);
    const int same = memcmp(picks, plain, sizeof plain) == 0;
    printf("kcenter_plain data=%s n=%lld d=%lld n_labelled=0 b=%d s=%.3f plain_s=%.3f same_picks=%s\n", data,
           (long long)n, (long long)d, SOME, fast, slow, same ? "yes" : "no");
    if (!same)
        bench_die("dal_kcenter differs from the plain algorithm");
    free(picks);
    give_floats(f.data, f.n * d);
    give_floats(mixing, LATENT * d);
}

int main(int argc, char **argv)
{
    const int64_t shrink = argc > 2 && strcmp(argv[2], "quick") == 0 ? 10 : 1;
    dal_runtime *rt = bench_runtime(argc > 1 ? atoi(argv[1]) : 2, 1);
    const dal_host *host = dal_runtime_host(rt, "bench");
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc > 2 && strcmp(argv[2], "large") == 0) {
        bench_kcenter(host, 1, 1000000, 0, 128, 1000);
        dal_runtime_free(rt);
        return 0;
    }
    bench_pool(host);
    bench_scores(host, 1000000 / shrink, 100);
    bench_scores(host, 1000000 / shrink, 10);
    for (int clustered = 1; clustered >= 0; clustered--)
        bench_kcenter(host, clustered, 50000 / shrink, 5000 / shrink, 512, 1000 / shrink);
    dal_runtime_free(rt);
    return 0;
}
