/* Networks of layers under test. */
#ifndef TESTS_NN_NETWORKS_H
#define TESTS_NN_NETWORKS_H

#include "tests/unit/fixture.h"

#include <dal/nn.h>
#include <math.h>

static inline float *draw(int64_t n, uint64_t seed)
{
    dal_rng r = dal_rng_from_key(seed);
    float *x = malloc((size_t)n * sizeof *x);
    for (int64_t i = 0; i < n; i++)
        x[i] = (float)dal_rng_normal(&r);
    return x;
}

/* ---- networks under test ----------------------------------------------------------------------- */

static inline dal_nn_value conv(dal_nn *nn, dal_nn_value x, int64_t out, int64_t kernel, int64_t stride, int64_t pad,
                         int64_t groups, uint32_t flags)
{
    char name[16];
    snprintf(name, sizeof name, "conv%d", (int)x);
    return dal_nn_conv(nn, x, name, &(dal_nn_conv_shape){.out = out, .kernel = kernel, .stride = stride, .pad = pad,
                                                         .groups = groups, .flags = flags});
}

/* What a test goes through: each back end there is, and numbers of channels that oneDNN keeps together or does not. A
 * test runs in a process of its own. */
static uint32_t backend = DAL_NN_OPENBLAS;
static int wide;

static inline int has_onednn(const dal_host *host)
{
    dal_nn *nn = dal_nn_new(host);
    dal_nn_use(nn, DAL_NN_ONEDNN);
    dal_nn_output(nn, dal_nn_linear(nn, dal_nn_input(nn, 1, 1, 1), "output", 2, 0));
    const dal_status st = dal_nn_finish(nn, NULL);
    dal_nn_free(nn);
    cr_assert(st == DAL_OK || st == DAL_E_UNSUPPORTED);
    return st == DAL_OK;
}

/* Sets the case; 0: there are no more. */
static inline int next_case(int number)
{
    dal_runtime *rt = fx_runtime(1, 1);
    const int many = has_onednn(dal_runtime_host(rt, "nn")) ? 3 : 1;
    dal_runtime_free(rt);
    backend = number ? DAL_NN_ONEDNN : DAL_NN_OPENBLAS;
    wide = number == 2;
    return number < many;
}

/* Every layer there is, a residual, odd sizes. */
static inline dal_nn *every_layer(const dal_host *host, double dropout)
{
    dal_nn *nn = dal_nn_new(host);
    dal_nn_value x = dal_nn_input(nn, 2, 9, 7);
    dal_nn_use(nn, backend);
    x = conv(nn, x, wide ? 16 : 4, 3, 1, 1, 1, DAL_NN_BIAS);
    x = dal_nn_batch_norm(nn, x, "bn1", DAL_NN_RELU);
    const dal_nn_value skip = conv(nn, x, wide ? 32 : 6, 1, 2, 0, 1, 0);
    dal_nn_value y = conv(nn, x, wide ? 32 : 6, 3, 2, 1, 2, 0);
    y = dal_nn_batch_norm(nn, y, "bn2", 0);
    x = dal_nn_add(nn, skip, y, DAL_NN_RELU);
    dal_nn_stage(nn, x);
    x = dal_nn_max_pool(nn, x, 3, 2, 1);
    x = conv(nn, x, wide ? 16 : 5, 2, 1, 1, 1, DAL_NN_BIAS | DAL_NN_RELU);
    x = dal_nn_avg_pool(nn, x, 2, 1, 0);
    x = dal_nn_relu(nn, x);
    dal_nn_stage(nn, x);
    x = dal_nn_global_pool(nn, x);
    x = dal_nn_linear(nn, x, "hidden", 7, DAL_NN_BIAS | DAL_NN_RELU);
    if (dropout > 0)
        x = dal_nn_dropout(nn, x, dropout);
    dal_nn_output(nn, dal_nn_linear(nn, x, "output", 3, DAL_NN_BIAS));
    dal_error err = DAL_ERROR_INIT;
    cr_assert_eq(dal_nn_finish(nn, &err), DAL_OK, "%s", err.text);
    return nn;
}

typedef struct fixture {
    dal_runtime *rt;
    const dal_host *host;
    dal_nn *nn;
    dal_nn_info info;
    float *weights, *state, *x;
    int32_t *classes;
    int64_t n;
} fixture;

static inline fixture make(int threads, int64_t n, double dropout)
{
    fixture f = {.rt = fx_runtime(threads, 1), .n = n};
    dal_rng r = dal_rng_from_key(7);
    f.host = dal_runtime_host(f.rt, "nn");
    f.nn = every_layer(f.host, dropout);
    dal_nn_describe(f.nn, &f.info);
    f.weights = malloc((size_t)f.info.n_weights * sizeof(float));
    f.state = malloc((size_t)f.info.n_state * sizeof(float));
    dal_nn_draw(f.nn, DAL_NN_UNIFORM, &r, f.weights, f.state);
    for (int64_t i = 0; i < f.info.n_weights; i++) /* gains and biases of batch-norm, too */
        f.weights[i] += 0.3f * (float)dal_rng_normal(&r);
    f.x = draw(n * f.info.n_inputs, 7);
    f.classes = malloc((size_t)n * sizeof *f.classes);
    for (int64_t i = 0; i < n; i++)
        f.classes[i] = (int32_t)(i % 3);
    return f;
}

static inline void drop(fixture *f)
{
    dal_nn_free(f->nn);
    free(f->weights);
    free(f->state);
    free(f->x);
    free(f->classes);
    cr_assert_eq(dal_runtime_allocated(f->rt), 0);
    dal_runtime_free(f->rt);
}

static inline dal_status fill(void *ctx, int64_t first, int64_t count, float *x)
{
    const fixture *f = ctx;
    memcpy(x, f->x + first * f->info.n_inputs, (size_t)(count * f->info.n_inputs) * sizeof *x);
    return DAL_OK;
}

static inline dal_nn_batch batch_of(fixture *f)
{
    return (dal_nn_batch){.struct_size = sizeof(dal_nn_batch), .n = f->n, .n_labelled = f->n, .classes = f->classes,
                          .fill = fill, .ctx = f, .dropout = dal_rng_from_key(99)};
}

/* How far b is from a, by the largest of a. */
static inline double furthest(const float *a, const float *b, int64_t n)
{
    double most = 0, size = 0;
    for (int64_t i = 0; i < n; i++) {
        most = fmax(most, fabs((double)a[i] - (double)b[i]));
        size = fmax(size, fabs((double)a[i]));
    }
    return most / size;
}

static inline double loss_at(fixture *f, dal_nn_trainer *t)
{
    const dal_nn_batch b = batch_of(f);
    dal_nn_result r = {.struct_size = sizeof r};
    cr_assert_eq(dal_nn_train(t, NULL, &b, &r, NULL), DAL_OK);
    return r.loss / (double)f->n;
}

#endif
