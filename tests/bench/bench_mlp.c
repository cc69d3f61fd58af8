/* Samples a second of mlp's training step (784-100-10, batch 64, Adam, 2 threads) beside the bare GEMMs
 * of the same shapes: three forward and backward products of the first layer's and three of the second's
 * size, run by every thread on its own data with nothing between them and nobody to wait for. */
#include "tests/bench/bench.h"

#include <dal/linalg.h>
#include <dal/nn.h>

#define BATCH 64
#define N_TRAIN 10000
#define STEPS 10    /* a slice: shorter than a scheduler's, so that some are undisturbed */
#define REPEATS 400 /* slices; bound and step in turn, the best and the median of each are told */
#define IN 784
#define HIDDEN 100
#define C 10
#define THREADS 2

typedef struct source {
    float *rows; /* [N_TRAIN, IN] */
    int64_t at;
} source;

static dal_status fill_rows(void *ctx, int64_t first, int64_t count, float *x)
{
    const source *s = ctx;
    for (int64_t i = 0; i < count; i++)
        memcpy(x + i * IN, s->rows + ((s->at + (first + i) * 37) % N_TRAIN) * IN, IN * sizeof *x);
    return DAL_OK;
}

/* ---- the bound ---------------------------------------------------------------------------------- */

typedef struct products {
    float *x, *z1, *z2, *w1, *w2;
} products;

static float *filled(int64_t n)
{
    float *x = aligned_alloc(64, (size_t)(n * 4 + 63) / 64 * 64);
    for (int64_t i = 0; i < n; i++)
        x[i] = (float)(i % 101) * 0.01f - 0.5f;
    return x;
}

static dal_status run_products(void *ctx, int64_t thread)
{
    products *p = (products *)ctx + thread;
    for (int step = 0; step < STEPS / THREADS; step++) {
        dal_gemm_nt(BATCH, HIDDEN, IN, 1, p->x, IN, p->w1, IN, 0, p->z1, HIDDEN);
        dal_gemm_nt(BATCH, C, HIDDEN, 1, p->z1, HIDDEN, p->w2, HIDDEN, 0, p->z2, C);
        dal_gemm_nn(BATCH, HIDDEN, C, 1, p->z2, C, p->w2, HIDDEN, 0, p->z1, HIDDEN);
        dal_gemm_tn(C, HIDDEN, BATCH, 1, p->z2, C, p->z1, HIDDEN, 0, p->w2, HIDDEN);
        dal_gemm_tn(HIDDEN, IN, BATCH, 1e-3f, p->z1, HIDDEN, p->x, IN, 0, p->w1, IN);
    }
    return DAL_OK;
}

static void products_init(products *p)
{
    *p = (products){filled(BATCH * IN), filled(BATCH * HIDDEN), filled(BATCH * C), filled(HIDDEN * IN),
                    filled(C * HIDDEN)};
}

static void products_fini(products *p)
{
    free(p->x);
    free(p->z1);
    free(p->z2);
    free(p->w1);
    free(p->w2);
}

static double products_seconds(const dal_host *host, products *p)
{
    const double start = bench_now();
    host->parallel_for(host, THREADS, run_products, p);
    return (bench_now() - start) / STEPS;
}

/* ---- the step ----------------------------------------------------------------------------------- */

static double step_seconds(dal_nn_trainer *t, const dal_nn_rule *rule, const dal_nn_batch *b)
{
    source *s = b->ctx;
    dal_nn_result result = {.struct_size = sizeof result};
    const double start = bench_now();
    for (int i = 0; i < STEPS; i++) {
        s->at = i * 64;
        dal_nn_train(t, rule, b, &result, NULL);
    }
    return (bench_now() - start) / STEPS;
}

static void measure(const dal_host *host, dal_nn_trainer *t, const dal_nn_rule *rule, const dal_nn_batch *b)
{
    double bound[REPEATS], step[REPEATS];
    products p[THREADS];
    for (int i = 0; i < THREADS; i++)
        products_init(&p[i]);
    for (int r = 0; r < REPEATS; r++) {
        bound[r] = products_seconds(host, p);
        step[r] = step_seconds(t, rule, b);
    }
    for (int i = 0; i < THREADS; i++)
        products_fini(&p[i]);
    const double bound_median = bench_median(bound, REPEATS), step_median = bench_median(step, REPEATS);
    printf("bench_mlp shape=%d-%d-%d batch=%d threads=%d samples_per_s=%.0f gemm_samples_per_s=%.0f "
           "ratio=%.3f step_us=%.1f gemm_us=%.1f median_step_us=%.1f median_gemm_us=%.1f\n", IN, HIDDEN, C,
           BATCH, THREADS, BATCH / step[0], BATCH / bound[0], bound[0] / step[0], 1e6 * step[0],
           1e6 * bound[0], 1e6 * step_median, 1e6 * bound_median);
}

int main(void)
{
    const dal_nn_rule rule = {.struct_size = sizeof rule, .optimizer = DAL_NN_ADAM, .learning_rate = 1e-5, .beta1 = 0.9,
                              .beta2 = 0.999, .epsilon = 1e-8, .l2 = 1e-4};
    dal_runtime *rt = bench_runtime(THREADS, 1);
    const dal_host *host = dal_runtime_host(rt, "mlp");
    int32_t classes[BATCH];
    source rows = {filled((int64_t)N_TRAIN * IN), 0};
    dal_nn *nn = dal_nn_new(host);
    dal_nn_value x = dal_nn_input(nn, IN, 1, 1);
    x = dal_nn_linear(nn, x, "hidden", HIDDEN, DAL_NN_BIAS | DAL_NN_RELU);
    dal_nn_output(nn, dal_nn_linear(nn, x, "output", C, DAL_NN_BIAS));
    dal_nn_info info;
    dal_error err = DAL_ERROR_INIT;
    if (dal_nn_finish(nn, &err) != DAL_OK)
        bench_die(err.text);
    dal_nn_describe(nn, &info);
    float *weights = filled(info.n_weights);
    const dal_rng stream = dal_rng_from_key(1);
    dal_nn_draw(nn, DAL_NN_GLOROT, &stream, weights, NULL);
    for (int i = 0; i < BATCH; i++)
        classes[i] = i % C;
    dal_nn_trainer *t = dal_nn_trainer_new(nn, host, weights, NULL, BATCH, NULL);
    const dal_nn_batch b = {.struct_size = sizeof b, .n = BATCH, .n_labelled = BATCH, .classes = classes,
                            .fill = fill_rows, .ctx = &rows};
    if (!t)
        bench_die("no memory");
    measure(host, t, &rule, &b);
    dal_nn_trainer_free(t);
    dal_nn_free(nn);
    free(weights);
    free(rows.rows);
    dal_runtime_free(rt);
    return 0;
}
