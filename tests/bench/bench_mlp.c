/* Samples a second of mlp's training step (784-100-10, batch 64, Adam, 2 threads) beside the bare GEMMs
 * of the same shapes: three forward and backward products of the first layer's and three of the second's
 * size, run by every thread on its own data with nothing between them and nobody to wait for. */
#include "tests/bench/bench.h"

#include "sdk/lib/dense_train.c"

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

/* ---- the step and its parts ---------------------------------------------------------------------- */

typedef struct part {
    const char *name;
    int fill, forward, backward, product, update;
} part;

static double part_seconds(dal_dense_trainer *t, const dal_dense_batch *b, const part *what)
{
    source *s = b->ctx;
    const double start = bench_now();
    for (int i = 0; i < STEPS; i++) {
        pass_job pass = {t, b, .fill = what->fill, .forward = what->forward, .backward = what->backward};
        update_job update = {t, b->n, .product = what->product, .update = what->update};
        update.c = update.bias = dense_coefficients_at(&t->rule, i + 1, b->n);
        s->at = i * 64;
        if (what->fill || what->forward || what->backward)
            run_pass(&pass);
        if (what->product || what->update)
            run_update(&update);
    }
    return (bench_now() - start) / STEPS;
}

static double step_seconds(dal_dense_trainer *t, const dal_dense_batch *b)
{
    source *s = b->ctx;
    dal_dense_result result;
    const double start = bench_now();
    for (int i = 0; i < STEPS; i++) {
        s->at = i * 64;
        dal_dense_train(t, b, &result, NULL);
    }
    return (bench_now() - start) / STEPS;
}

static void measure(const dal_host *host, dal_dense_trainer *t, const dal_dense_batch *b)
{
    static const part parts[] = {{"gather", 1, 0, 0, 0, 0},
                                 {"forward", 0, 1, 0, 0, 0},
                                 {"backward", 0, 0, 1, 1, 0},
                                 {"optimiser", 0, 0, 0, 0, 1}};
    enum { PARTS = sizeof parts / sizeof *parts };
    double bound[REPEATS], step[REPEATS], of_part[PARTS][REPEATS];
    products p[THREADS];
    for (int i = 0; i < THREADS; i++)
        products_init(&p[i]);
    for (int r = 0; r < REPEATS; r++) {
        bound[r] = products_seconds(host, p);
        step[r] = step_seconds(t, b);
        for (int i = 0; i < PARTS; i++)
            of_part[i][r] = part_seconds(t, b, &parts[i]);
    }
    for (int i = 0; i < THREADS; i++)
        products_fini(&p[i]);
    const double bound_median = bench_median(bound, REPEATS), step_median = bench_median(step, REPEATS);
    printf("bench_mlp shape=%d-%d-%d batch=%d threads=%d samples_per_s=%.0f gemm_samples_per_s=%.0f "
           "ratio=%.3f step_us=%.1f gemm_us=%.1f median_step_us=%.1f median_gemm_us=%.1f\n", IN, HIDDEN, C,
           BATCH, THREADS, BATCH / step[0], BATCH / bound[0], bound[0] / step[0], 1e6 * step[0],
           1e6 * bound[0], 1e6 * step_median, 1e6 * bound_median);
    for (int i = 0; i < PARTS; i++) {
        const double median = bench_median(of_part[i], REPEATS);
        printf("bench_mlp part=%s us=%.1f share=%.3f median_us=%.1f\n", parts[i].name, 1e6 * of_part[i][0],
               of_part[i][0] / step[0], 1e6 * median);
    }
}

int main(void)
{
    const int64_t widths[] = {IN, HIDDEN, C};
    const dal_dense_rule rule = {.struct_size = sizeof rule, .optimizer = DAL_DENSE_ADAM,
                                 .learning_rate = 1e-5, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8,
                                 .l2 = 1e-4};
    dal_runtime *rt = bench_runtime(THREADS, 1);
    const dal_host *host = dal_runtime_host(rt, "mlp");
    int32_t classes[BATCH];
    source rows = {filled((int64_t)N_TRAIN * IN), 0};
    dal_dense net;
    dal_dense_shape(&net, widths, 2, NULL);
    float *weights = filled(net.n_weights);
    const dal_rng stream = dal_rng_from_key(1);
    dal_dense_draw(&net, &stream, weights);
    for (int i = 0; i < BATCH; i++)
        classes[i] = i % C;
    dal_dense_trainer *t = dal_dense_trainer_new(host, &net, weights, &rule, BATCH, NULL);
    const dal_dense_batch b = {.struct_size = sizeof b, .n = BATCH, .n_labelled = BATCH, .classes = classes,
                               .fill = fill_rows, .ctx = &rows};
    if (!t)
        bench_die("no memory");
    t->x = t->filled;
    for (int i = 0; i < BATCH; i++)
        t->scale[i] = 1.0f / BATCH;

    measure(host, t, &b);
    dal_dense_trainer_free(t);
    free(weights);
    free(rows.rows);
    dal_runtime_free(rt);
    return 0;
}
