/* What loops over threads and k-center greedy cost, beside what this machine could do in the same minute.
 *
 * One line a measurement, `what key=value ...`: the median of some repetitions, the median deviation from it
 * (mad), and the best. Options: the number of threads (default 2), then "quick" for smaller problems, or "large" for
 * one: coreset's [1M, 128, -, 1000].
 */
#include <dal/kcenter.h>
#include <dal/linalg.h>
#include <math.h>

#include "tests/bench/machine.h"

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

#define BLOCK 256 /* rows a task */

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
    for (int clustered = 1; clustered >= 0; clustered--)
        bench_kcenter(host, clustered, 50000 / shrink, 5000 / shrink, 512, 1000 / shrink);
    dal_runtime_free(rt);
    return 0;
}
