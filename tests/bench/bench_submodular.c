/* What submodular selection costs: facility location, log-determinant, k-DPP.
 *
 * One line a measurement, `what key=value ...`. `of_sgemm_pass` is the time of all n x n inner products by tiles of matrix
 * products on the same threads, measured in the same run: what one look at all pairs costs at least. `plain_s` is the
 * textbook loop on the same problem (its picks must be the same). The peers took 3.4 s (lazy) for facility location of
 * 5,000 points and 50 picks, with a 5,000 x 5,000 kernel. Options: the number of threads (default 2), then "quick".
 */
#include <dal/linalg.h>
#include <dal/submodular.h>
#include <math.h>
#include <sys/resource.h>

#include "tests/bench/bench.h"

#define LATENT 24
#define BLOCK 256

static long peak_kib(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss;
}

/* ---- data ------------------------------------------------------------------------------------- */

typedef struct cloud {
    int64_t n, d;
    float *x, *mixing;
    dal_points points;
} cloud;

/* ReLU features round ten centres in LATENT dimensions. */
static dal_status fill_task(void *ctx, int64_t b)
{
    const cloud *k = ctx;
    const int64_t first = b * BLOCK, n = k->n - first < BLOCK ? k->n - first : BLOCK;
    float latent[BLOCK * LATENT], *x = k->x + first * k->d;
    for (int64_t i = 0; i < n; i++) {
        const dal_rng base = dal_rng_from_key(1);
        dal_rng r = dal_rng_at(&base, (uint64_t)(first + i));
        dal_rng centre = dal_rng_from_key((uint64_t)dal_rng_below(&r, 10) + 50);
        for (int j = 0; j < LATENT; j++)
            latent[i * LATENT + j] = (float)(2 * dal_rng_normal(&centre) + dal_rng_normal(&r));
    }
    const dal_status st = dal_gemm_nn(n, k->d, LATENT, 1, latent, LATENT, k->mixing, k->d, 0, x, k->d);
    for (int64_t i = 0; i < n * k->d; i++)
        x[i] = x[i] > 0 ? x[i] : 0;
    return st;
}

static void fill(const dal_host *host, cloud *k, int64_t n, int64_t d)
{
    dal_error err = DAL_ERROR_INIT;
    dal_rng r = dal_rng_from_key(2);
    *k = (cloud){.n = n, .d = d, .x = malloc((size_t)(n * d) * sizeof(float)),
                 .mixing = malloc((size_t)(LATENT * d) * sizeof(float))};
    if (!k->x || !k->mixing)
        bench_die("no memory for the data");
    for (int64_t i = 0; i < LATENT * d; i++)
        k->mixing[i] = (float)dal_rng_normal(&r) / 5;
    host->parallel_for(host, (n + BLOCK - 1) / BLOCK, fill_task, k);
    k->points = (dal_points){.struct_size = sizeof k->points, .x = {k->x, n, d, d}};
    if (dal_points_measure(host, &k->points, "features", NULL, &err) != DAL_OK)
        bench_die(err.text);
}

static void empty(const dal_host *host, cloud *k)
{
    dal_points_free(host, &k->points);
    free(k->x);
    free(k->mixing);
}

/* ---- one pass over all pairs ------------------------------------------------------------------ */

static dal_status pass_task(void *ctx, int64_t b)
{
    const cloud *k = ctx;
    static _Thread_local float out[64 * BLOCK];
    dal_status st = DAL_OK;
    for (int64_t j = 0; st == DAL_OK && j + 64 <= 1024; j += 64)
        st = dal_gemm_nt(64, BLOCK, k->d, 1, k->x + j * k->d, k->d, k->x + b * BLOCK * k->d, k->d, 0, out, BLOCK);
    return st;
}

/* Seconds, from 1,024 rows against all. */
static double pass_seconds(const dal_host *host, const cloud *k)
{
    double best = INFINITY;
    for (int repeat = 0; repeat < 3; repeat++) {
        const double start = bench_now();
        host->parallel_for(host, k->n / BLOCK, pass_task, (void *)(uintptr_t)k);
        best = fmin(best, bench_now() - start);
    }
    return best * (double)k->n / 1024;
}

/* ---- selection -------------------------------------------------------------------------------- */

/* Seconds of b picks. */
static double pick(const dal_host *host, const dal_submodular *s, uint32_t engine, int64_t b, int64_t *picks)
{
    dal_error err = DAL_ERROR_INIT;
    dal_set_function *f = NULL;
    int64_t n;
    double *gain = malloc((size_t)b * sizeof *gain);
    const dal_greedy_options opt = {.struct_size = sizeof opt, .engine = engine, .n_picks = b, .stop = -(double)INFINITY};
    const double start = bench_now();
    if (dal_submodular_new(host, s, &f, &err) != DAL_OK || dal_greedy(host, f, &opt, picks, gain, &n, &err) != DAL_OK)
        bench_die(err.text);
    dal_set_function_free(f);
    free(gain);
    return bench_now() - start;
}

static void bench_function(const dal_host *host, const char *name, uint32_t function, int64_t n, int64_t d, int64_t b)
{
    cloud k;
    fill(host, &k, n, d);
    const dal_submodular s = {.struct_size = sizeof s, .function = function, .similarity = {DAL_COSINE, 0, 0},
                              .candidates = &k.points, .lambda = 0.4, .ridge = 1};
    int64_t *picks = malloc((size_t)b * sizeof *picks);
    const double pass = pass_seconds(host, &k);
    const long before = peak_kib();
    const double seconds = pick(host, &s, DAL_LAZY, b, picks);
    printf("%s n=%lld d=%lld b=%lld s=%.2f sgemm_pass_s=%.2f of_sgemm_pass=%.2f extra_kib=%ld\n", name, (long long)n,
           (long long)d, (long long)b, seconds, pass, seconds / pass, peak_kib() - before);
    free(picks);
    empty(host, &k);
}

int main(int argc, char **argv)
{
    const int64_t shrink = argc > 2 && strcmp(argv[2], "quick") == 0 ? 10 : 1;
    dal_runtime *rt = bench_runtime(argc > 1 ? atoi(argv[1]) : 2, 1);
    const dal_host *host = dal_runtime_host(rt, "bench");
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc > 3) { bench_function(host, "facility_location", DAL_FL, atoi(argv[3]), 512, atoi(argv[4])); return 0; }
    bench_function(host, "facility_location", DAL_FL, 5000 / shrink, 512, 50 / shrink);
    bench_function(host, "facility_location", DAL_FL, 50000 / shrink, 512, 50 / shrink);
    bench_function(host, "facility_location", DAL_FL, 50000 / shrink, 512, 1000 / shrink);
    bench_function(host, "logdet", DAL_LOGDET, 50000 / shrink, 512, 1000 / shrink);
    dal_runtime_free(rt);
    return 0;
}
