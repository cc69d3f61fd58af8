/* What clustering and neighbours cost, beside the matrix product they rest on in the same minute.
 *
 * One line a measurement. Seconds of the processors (cpu_s) are what counts on a machine with other work.
 * product_s: all n x k (n x n) inner products by sgemm in tiles on all threads, which is what a plain
 * implementation does once an iteration; gf_s: how fast that was. The strategies are the built modules,
 * through their tables. extra_kib grows only beyond the peak before. Options: the number of threads (default 2),
 * then "quick" for smaller problems.
 */
#include <dal/kmeans.h>
#include <dal/linalg.h>
#include <dal/neighbours.h>
#include <dal/strategy.h>
#include <dlfcn.h>
#include <math.h>

#include "tests/bench/machine.h"
#include "tests/unit/kmeans_twin.h"

#define BLOCK 512
#define LATENT 24

static double cpu_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- data ------------------------------------------------------------------------------------- */

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
        for (int64_t k = 0; !j->clustered && k < j->d; k++)
            x[i * j->d + k] = (float)dal_rng_uniform(&r);
        dal_rng centre = dal_rng_from_key((uint64_t)dal_rng_below(&r, 10));
        for (int k = 0; k < LATENT; k++)
            latent[i * LATENT + k] = (float)(2 * dal_rng_normal(&centre) + dal_rng_normal(&r));
    }
    if (!j->clustered)
        return DAL_OK;
    dal_gemm_nn(n, j->d, LATENT, 1, latent, LATENT, j->mixing, j->d, 0, x, j->d);
    for (int64_t i = 0; i < n * j->d; i++)
        x[i] = x[i] > 0 ? x[i] : 0;
    return DAL_OK;
}

static dal_matrix features(const dal_host *host, int clustered, int64_t n, int64_t d)
{
    float *mixing = malloc((size_t)(LATENT * d) * sizeof *mixing), *data = malloc((size_t)(n * d) * sizeof *data);
    dal_rng r = dal_rng_from_key(2);
    if (!mixing || !data)
        bench_die("no memory for the data");
    for (int64_t i = 0; i < LATENT * d; i++)
        mixing[i] = (float)dal_rng_normal(&r) / 5;
    feature_job f = {data, n, d, clustered, mixing, r};
    host->parallel_for(host, (n + BLOCK - 1) / BLOCK, fill_features, &f);
    free(mixing);
    return (dal_matrix){data, n, d, d};
}

static void drop(dal_matrix m)
{
    free((void *)(uintptr_t)m.data);
}

/* ---- the product ------------------------------------------------------------------------------ */

typedef struct product_job {
    dal_matrix x, y;
} product_job;

static dal_status product_task(void *ctx, int64_t t)
{
    enum { TILE = 256 };
    const product_job *j = ctx;
    const int64_t n = j->x.rows - t * TILE < TILE ? j->x.rows - t * TILE : TILE;
    float *out = malloc(TILE * 512 * sizeof *out);
    for (int64_t c = 0; out && c < j->y.rows; c += 512)
        dal_gemm_nt(n, j->y.rows - c < 512 ? j->y.rows - c : 512, j->x.cols, 1, j->x.data + t * TILE * j->x.stride,
                    j->x.stride, j->y.data + c * j->y.stride, j->y.stride, 0, out, 512);
    free(out);
    return DAL_OK;
}

/* Seconds (of the wall and of the processors) of all products of rows of x and y. */
static double product(const dal_host *host, dal_matrix x, dal_matrix y, double *cpu)
{
    product_job j = {x, y};
    double start = bench_now(), processors = cpu_now();
    host->parallel_for(host, (x.rows + 255) / 256, product_task, &j);
    *cpu = cpu_now() - processors;
    return bench_now() - start;
}

/* ---- k-means ---------------------------------------------------------------------------------- */

static void bench_kmeans(const dal_host *host, int clustered, int64_t n, int64_t d, int64_t k)
{
    const dal_matrix x = features(host, clustered, n, d), y = {x.data, k, d, d};
    const dal_kmeans_problem p = {.struct_size = sizeof p, .x = x, .k = k, .starts = 1, .max_iterations = 300,
                                  .tolerance = 1e-4};
    dal_kmeans_result out = {.struct_size = sizeof out, .nearest = malloc((size_t)k * sizeof(int64_t))};
    const dal_rng stream = dal_rng_from_key(3);
    dal_error err = DAL_ERROR_INIT;
    double product_cpu;
    const long before = peak_kib();
    const double cpu = cpu_now(), start = bench_now();
    if (!out.nearest || dal_kmeans(host, &p, &stream, &out, &err) != DAL_OK)
        bench_die(err.text);
    const double s = bench_now() - start, cpu_s = cpu_now() - cpu, product_s = product(host, x, y, &product_cpu);
    printf("kmeans data=%s n=%lld d=%lld k=%lld starts=1 iterations=%lld s=%.3f cpu_s=%.3f product_s=%.3f "
           "product_cpu_s=%.3f cpu_gf_s=%.1f products=%.2f of_plain=%.2f extra_kib=%ld target_s=10 inertia=%.6g\n",
           clustered ? "clustered" : "uniform", (long long)n, (long long)d, (long long)k,
           (long long)out.iterations, s, cpu_s, product_s, product_cpu, 2e-9 * (double)(n * k * d) / product_cpu,
           cpu_s / product_cpu, cpu_s / product_cpu / (double)(2 + out.iterations), peak_kib() - before,
           out.inertia);
    free(out.nearest);
    drop(x);
}

/* The same picks as the slow twin, and how much sooner. */
static void bench_kmeans_twin(const dal_host *host, int64_t n, int64_t d, int64_t k)
{
    const dal_matrix x = features(host, 1, n, d);
    const dal_kmeans_problem p = {.struct_size = sizeof p, .x = x, .k = k, .starts = 1, .max_iterations = 300,
                                  .tolerance = 1e-4};
    const dal_rng stream = dal_rng_from_key(3);
    dal_kmeans_result fast = {.struct_size = sizeof fast}, slow = fast;
    fast.nearest = malloc((size_t)k * sizeof *fast.nearest);
    slow.nearest = malloc((size_t)k * sizeof *slow.nearest);
    slow.centres = malloc((size_t)(k * d) * sizeof *slow.centres);
    slow.assignment = malloc((size_t)n * sizeof *slow.assignment);
    slow.distance = malloc((size_t)n * sizeof *slow.distance);
    if (!fast.nearest || !slow.nearest || !slow.centres || !slow.assignment || !slow.distance)
        bench_die("no memory");
    double start = bench_now();
    dal_kmeans(host, &p, &stream, &fast, NULL);
    const double fast_s = bench_now() - start;
    start = bench_now();
    kmeans_twin_run(&p, &stream, &slow);
    const double slow_s = bench_now() - start;
    const int same = memcmp(fast.nearest, slow.nearest, (size_t)k * sizeof *slow.nearest) == 0;
    printf("kmeans_twin n=%lld d=%lld k=%lld s=%.3f twin_s=%.3f ratio=%.0f same_picks=%s\n", (long long)n,
           (long long)d, (long long)k, fast_s, slow_s, slow_s / fast_s, same ? "yes" : "no");
    if (!same)
        bench_die("dal_kmeans differs from its twin");
    free(fast.nearest);
    free(slow.nearest);
    free(slow.centres);
    free(slow.assignment);
    free(slow.distance);
    drop(x);
}

/* ---- neighbours ------------------------------------------------------------------------------- */

static void bench_neighbours(const dal_host *host, int64_t n, int64_t d, int64_t k)
{
    const dal_matrix x = features(host, 1, n, d);
    const dal_neighbours_problem p = {.struct_size = sizeof p, .x = x, .y = x, .k = k, .self = 1};
    int64_t *index = malloc((size_t)(n * k) * sizeof *index), *counts = calloc((size_t)n, sizeof *counts);
    float *distance = malloc((size_t)(n * k) * sizeof *distance), *norms = malloc((size_t)n * sizeof *norms);
    dal_error err = DAL_ERROR_INIT;
    double product_cpu;
    product(host, x, x, &product_cpu);
    const long before = peak_kib();
    double cpu = cpu_now(), start = bench_now();
    if (!index || !counts || !distance || !norms || dal_neighbours(host, &p, index, distance, &err) != DAL_OK)
        bench_die(err.text);
    cpu = cpu_now() - cpu;
    printf("neighbours n=%lld d=%lld k=%lld s=%.3f cpu_s=%.3f product_cpu_s=%.3f products=%.2f extra_kib=%ld "
           "matrix_kib=%lld\n", (long long)n, (long long)d, (long long)k, bench_now() - start, cpu, product_cpu,
           cpu / product_cpu, peak_kib() - before, (long long)(n * n / 256));
    const float radius = distance[k - 1];
    cpu = cpu_now();
    start = bench_now();
    if (dal_row_norms(host, &x, "x", norms, &err) != DAL_OK ||
        dal_count_within(host, &x, norms, &x, norms, radius, counts, &err) != DAL_OK)
        bench_die(err.text);
    cpu = cpu_now() - cpu;
    printf("count_within n=%lld d=%lld s=%.3f cpu_s=%.3f products=%.2f\n", (long long)n, (long long)d,
           bench_now() - start, cpu, cpu / product_cpu);
    free(index);
    free(counts);
    free(distance);
    free(norms);
    drop(x);
}

/* ---- strategies ------------------------------------------------------------------------------- */

static int64_t view_count(const dal_view *v, uint32_t set)
{
    return set == DAL_ROWS_CANDIDATES ? ((const dal_matrix *)v->impl)->rows : 0;
}

static const int64_t *view_ids(const dal_view *v, uint32_t set)
{
    static int64_t *ids;
    const int64_t n = view_count(v, DAL_ROWS_CANDIDATES);
    (void)set;
    ids = realloc(ids, (size_t)n * sizeof *ids);
    for (int64_t i = 0; ids && i < n; i++)
        ids[i] = i;
    return ids;
}

static dal_status view_features(const dal_view *v, uint32_t set, dal_matrix *out, dal_error *err)
{
    (void)set, (void)err;
    *out = *(const dal_matrix *)v->impl;
    return DAL_OK;
}

/* Options at their defaults; numbers and truths are all these have. */
static void *defaults(const dal_component *c)
{
    char *options = calloc(1, c->options_size);
    for (int64_t i = 0; options && i < c->n_params; i++) {
        const int64_t whole = atoll(c->params[i].def);
        const double number = atof(c->params[i].def);
        const int32_t truth = strcmp(c->params[i].def, "true") == 0;
        void *at = options + c->params[i].offset;
        switch (c->params[i].type) {
        case DAL_PARAM_I64: memcpy(at, &whole, sizeof whole); break;
        case DAL_PARAM_F64: memcpy(at, &number, sizeof number); break;
        case DAL_PARAM_BOOL: memcpy(at, &truth, sizeof truth); break;
        default: bench_die("a parameter of another type");
        }
    }
    return options;
}

static const dal_component *load(const char *module)
{
    char path[1024], symbol[128];
    const char *build = getenv("DAL_BUILDDIR");
    snprintf(path, sizeof path, "%s/plugins/strategies/.libs/%s.so", build ? build : ".", module);
    snprintf(symbol, sizeof symbol, "%s_LTX_dal_plugin", module);
    void *object = dlopen(path, RTLD_NOW);
    const dal_plugin *plugin = object ? dlsym(object, symbol) : NULL;
    if (!plugin)
        bench_die(dlerror());
    return plugin->components[0];
}

/* Nothing is labelled. */
static const int32_t *view_classes(const dal_view *v, uint32_t set)
{
    (void)v, (void)set;
    return NULL;
}

static void bench_strategy(const dal_host *host, const char *module, int64_t n, int64_t d, int64_t b)
{
    const dal_component *component = load(module);
    const dal_strategy_impl *impl = component->impl;
    dal_matrix x = features(host, 1, n, d);
    const dal_view view = {.struct_size = sizeof view, .impl = &x, .n_classes = 10, .count = view_count,
                           .ids = view_ids, .classes = view_classes, .features = view_features};
    dal_picks picks = {.struct_size = sizeof picks, .want = b, .ids = malloc((size_t)b * sizeof(int64_t)),
                       .scores = malloc((size_t)b * sizeof(double))};
    void *options = defaults(component), *self = NULL;
    dal_error err = DAL_ERROR_INIT;
    double product_cpu;
    const double product_s = product(host, x, x, &product_cpu);
    const long before = peak_kib();
    const double cpu = cpu_now(), start = bench_now();
    if (!options || !picks.ids || !picks.scores || impl->create(host, options, &self, &err) != DAL_OK ||
        impl->select(self, &view, &picks, &err) != DAL_OK)
        bench_die(err.text);
    printf("%s n=%lld d=%lld b=%lld s=%.3f cpu_s=%.3f product_s=%.3f product_cpu_s=%.3f products=%.2f "
           "extra_kib=%ld matrix_kib=%lld\n", component->id, (long long)n, (long long)d, (long long)b,
           bench_now() - start, cpu_now() - cpu, product_s, product_cpu, (cpu_now() - cpu) / product_cpu,
           peak_kib() - before, (long long)(n * n / 256));
    impl->destroy(self);
    free(options);
    free(picks.ids);
    free(picks.scores);
    drop(x);
}

int main(int argc, char **argv)
{
    const int64_t shrink = argc > 2 && strcmp(argv[2], "quick") == 0 ? 10 : 1;
    dal_runtime *rt = bench_runtime(argc > 1 ? atoi(argv[1]) : 2, 1);
    const dal_host *host = dal_runtime_host(rt, "bench");
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (int clustered = 1; clustered >= 0; clustered--)
        bench_kmeans(host, clustered, 50000 / shrink, 512, 1000 / shrink);
    bench_kmeans_twin(host, 2000, 32, 100);
    bench_neighbours(host, 10000 / shrink, 512, 20);
    bench_strategy(host, "typiclust", 20000 / shrink, 512, 500 / shrink);
    bench_strategy(host, "probcover", 10000 / shrink, 512, 200 / shrink);
    bench_strategy(host, "graph_density", 10000 / shrink, 512, 200 / shrink);
    bench_strategy(host, "hier", 10000 / shrink, 512, 200 / shrink);
    dal_runtime_free(rt);
    return 0;
}
