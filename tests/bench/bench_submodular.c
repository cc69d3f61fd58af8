/* What submodular selection costs: facility location, log-determinant, k-DPP.
 *
 * One line a measurement, `what key=value ...`, once each (cpu_s: processor seconds of all threads, which a busy
 * machine disturbs less than s). `sgemm_pass_s` is the time of all n x n inner products by tiles of matrix
 * products on the same threads, measured in the same run: what one look of everybody at everybody costs at least;
 * facility location is to take a few of them. `plain_s` is the textbook loop over a kernel of all pairs; its picks
 * must be the same. For orientation: the peers took 3.4 s (lazy) for facility location of 5,000 points and 50
 * picks on a machine with AVX-512, after their 5,000 x 5,000 kernel was made. Options: the number of threads
 * (default 2), then "quick" for smaller problems or "all" for facility location of 50,000, too.
 */
#include <dal/dpp.h>
#include <dal/linalg.h>
#include <dal/submodular.h>
#include <math.h>

#include "tests/bench/machine.h"

#define LATENT 24
#define BLOCK 256
#define PASS_ROWS 256

static double cpu_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
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
    for (int64_t j = 0; st == DAL_OK && j < PASS_ROWS; j += 64)
        st = dal_gemm_nt(64, BLOCK, k->d, 1, k->x + j * k->d, k->d, k->x + b * BLOCK * k->d, k->d, 0, out, BLOCK);
    return st;
}

/* Seconds, from PASS_ROWS rows against all. */
static double pass_seconds(const dal_host *host, const cloud *k)
{
    double best = INFINITY;
    for (int repeat = 0; repeat < 3; repeat++) {
        const double start = bench_now();
        host->parallel_for(host, k->n / BLOCK, pass_task, (void *)(uintptr_t)k);
        best = fmin(best, bench_now() - start);
    }
    return best * (double)k->n / PASS_ROWS * (double)k->n / (double)(k->n / BLOCK * BLOCK);
}

/* ---- selection -------------------------------------------------------------------------------- */

/* Seconds of b picks. */
static double pick(const dal_host *host, const dal_submodular *s, uint32_t engine, int64_t b, int64_t *picks)
{
    dal_error err = DAL_ERROR_INIT;
    dal_set_function *f = NULL;
    int64_t n;
    double *gain = malloc((size_t)b * sizeof *gain);
    const dal_greedy_options opt = {
        .struct_size = sizeof opt, .engine = engine, .n_picks = b, .stop = -(double)INFINITY};
    const double start = bench_now();
    if (dal_submodular_new(host, s, &f, &err) != DAL_OK ||
        dal_greedy(host, f, &opt, picks, gain, &n, &err) != DAL_OK)
        bench_die(err.text);
    dal_set_function_free(f);
    free(gain);
    return bench_now() - start;
}

/* Facility location over all pairs, one gain after the other; seconds, the kernel apart. */
static double plain_location(const cloud *k, int64_t b, int64_t *picks)
{
    const int64_t n = k->n;
    const dal_similarity cosine = {DAL_COSINE, 0, 0};
    float *all = malloc((size_t)(n * n) * sizeof *all);
    double *cover = calloc((size_t)n, sizeof *cover);
    if (!all || !cover)
        bench_die("no memory for the kernel");
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j <= i; j++)
            all[i * n + j] = all[j * n + i] = (float)dal_alike(&cosine, &k->points, i, &k->points, j);
    const double start = bench_now();
    for (int64_t m = 0; m < b; m++) {
        double top = -1;
        for (int64_t j = 0; j < n; j++) {
            double gain = 0;
            for (int64_t i = 0; i < n; i++)
                gain += fmax(0, (double)all[j * n + i] - cover[i]);
            picks[m] = gain > top ? j : picks[m];
            top = fmax(top, gain);
        }
        for (int64_t i = 0; i < n; i++)
            cover[i] = fmax(cover[i], (double)all[picks[m] * n + i]);
    }
    free(all);
    free(cover);
    return bench_now() - start;
}

static void bench_function(const dal_host *host, const char *name, uint32_t function, int64_t n, int64_t d,
                           int64_t b, int plain)
{
    cloud k;
    fill(host, &k, n, d);
    const dal_submodular s = {.struct_size = sizeof s, .function = function, .similarity = {DAL_COSINE, 0, 0},
                              .candidates = &k.points, .lambda = 0.4, .ridge = 1};
    int64_t *picks = malloc((size_t)b * sizeof *picks), *same = malloc((size_t)b * sizeof *same);
    const double pass = pass_seconds(host, &k), cpu = cpu_seconds();
    const long before = peak_kib();
    const double seconds = pick(host, &s, DAL_LAZY, b, picks);
    printf("%s n=%lld d=%lld b=%lld s=%.2f cpu_s=%.2f sgemm_pass_s=%.2f of_sgemm_pass=%.2f extra_kib=%ld\n", name,
           (long long)n, (long long)d, (long long)b, seconds, cpu_seconds() - cpu, pass, seconds / pass,
           peak_kib() - before);
    if (plain) {
        const double slow = plain_location(&k, b, same);
        const int equal = memcmp(picks, same, (size_t)b * sizeof *picks) == 0;
        printf("%s_plain n=%lld b=%lld plain_s=%.2f same_picks=%s\n", name, (long long)n, (long long)b, slow,
               equal ? "yes" : "no");
        if (!equal)
            bench_die("lazy greedy differs from the plain loop");
    }
    free(picks);
    free(same);
    empty(host, &k);
}

static void bench_dpp(const dal_host *host, int64_t n, int64_t d, int64_t b)
{
    cloud k;
    fill(host, &k, n, d);
    dal_error err = DAL_ERROR_INIT;
    const dal_dpp dpp = {.struct_size = sizeof dpp, .similarity = {DAL_COSINE, 0, 0}, .points = &k.points};
    const dal_rng rng = dal_rng_from_key(4);
    int64_t *picks = malloc((size_t)b * sizeof *picks), made;
    double *gain = malloc((size_t)b * sizeof *gain);
    for (int sample = 0; sample < 2; sample++) {
        const long before = peak_kib();
        const double start = bench_now(), cpu = cpu_seconds();
        if ((sample ? dal_dpp_sample(host, &dpp, b, &rng, picks, &made, &err)
                    : dal_dpp_map(host, &dpp, b, picks, gain, &made, &err)) != DAL_OK)
            bench_die(err.text);
        printf("kdpp mode=%s n=%lld d=%lld b=%lld s=%.2f cpu_s=%.2f extra_kib=%ld\n", sample ? "sample" : "map",
               (long long)n, (long long)d, (long long)b, bench_now() - start, cpu_seconds() - cpu,
               peak_kib() - before);
    }
    free(picks);
    free(gain);
    empty(host, &k);
}

int main(int argc, char **argv)
{
    const int64_t shrink = argc > 2 && strcmp(argv[2], "quick") == 0 ? 10 : 1;
    dal_runtime *rt = bench_runtime(argc > 1 ? atoi(argv[1]) : 2, 1);
    const dal_host *host = dal_runtime_host(rt, "bench");
    setvbuf(stdout, NULL, _IOLBF, 0);
    bench_function(host, "facility_location", DAL_FL, 5000 / shrink, 512, 50 / shrink, 1);
    bench_function(host, "facility_location", DAL_FL, 20000 / shrink, 512, 50 / shrink, 0);
    if (argc > 2 && strcmp(argv[2], "all") == 0)
        bench_function(host, "facility_location", DAL_FL, 50000, 512, 50, 0);
    bench_function(host, "logdet", DAL_LOGDET, 50000 / shrink, 512, 1000 / shrink, 0);
    bench_dpp(host, 1500 / shrink, 512, 100 / shrink);
    dal_runtime_free(rt);
    return 0;
}
