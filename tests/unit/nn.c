/* Networks of layers: numbers against slow twins and finite differences, the same bits everywhere. */
#include "tests/unit/fixture.h"

#include <dal/nn.h>
#include <dirent.h>
#include <math.h>

static float *draw(int64_t n, uint64_t seed)
{
    dal_rng r = dal_rng_from_key(seed);
    float *x = malloc((size_t)n * sizeof *x);
    for (int64_t i = 0; i < n; i++)
        x[i] = (float)dal_rng_normal(&r);
    return x;
}

/* ---- networks under test ----------------------------------------------------------------------- */

static dal_nn_value conv(dal_nn *nn, dal_nn_value x, int64_t out, int64_t kernel, int64_t stride, int64_t pad,
                         int64_t groups, uint32_t flags)
{
    char name[16];
    snprintf(name, sizeof name, "conv%d", (int)x);
    return dal_nn_conv(nn, x, name, &(dal_nn_conv_shape){.out = out, .kernel = kernel, .stride = stride, .pad = pad,
                                                         .groups = groups, .flags = flags});
}

/* What a test goes through: each back end there is, and numbers of channels that oneDNN keeps together or does not. A test
 * runs in a process of its own. */
static uint32_t backend = DAL_NN_OPENBLAS;
static int wide;

static int has_onednn(const dal_host *host)
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
static int next_case(int number)
{
    dal_runtime *rt = fx_runtime(1, 1);
    const int many = has_onednn(dal_runtime_host(rt, "nn")) ? 3 : 1;
    dal_runtime_free(rt);
    backend = number ? DAL_NN_ONEDNN : DAL_NN_OPENBLAS;
    wide = number == 2;
    return number < many;
}

/* Every layer there is, a residual, odd sizes. */
static dal_nn *every_layer(const dal_host *host, double dropout)
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

static fixture make(int threads, int64_t n, double dropout)
{
    fixture f = {.rt = fx_runtime(threads, 1), .n = n};
    dal_rng r = dal_rng_from_key(5);
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

static void drop(fixture *f)
{
    dal_nn_free(f->nn);
    free(f->weights);
    free(f->state);
    free(f->x);
    free(f->classes);
    cr_assert_eq(dal_runtime_allocated(f->rt), 0);
    dal_runtime_free(f->rt);
}

static dal_status fill(void *ctx, int64_t first, int64_t count, float *x)
{
    const fixture *f = ctx;
    memcpy(x, f->x + first * f->info.n_inputs, (size_t)(count * f->info.n_inputs) * sizeof *x);
    return DAL_OK;
}

static dal_nn_batch batch_of(fixture *f)
{
    return (dal_nn_batch){.struct_size = sizeof(dal_nn_batch), .n = f->n, .n_labelled = f->n, .classes = f->classes,
                          .fill = fill, .ctx = f, .dropout = dal_rng_from_key(99)};
}

/* ---- numbers ------------------------------------------------------------------------------------ */

static void convolve_all(void)
{
    static const struct {
        int64_t c, h, w, out, kernel, stride, pad, groups;
    } all[] = {{1, 5, 5, 1, 3, 1, 1, 1}, {3, 8, 6, 4, 3, 2, 1, 1}, {4, 7, 7, 6, 1, 1, 0, 2}, {4, 7, 9, 4, 5, 3, 2, 4},
               {2, 6, 6, 3, 1, 2, 0, 1}, {2, 4, 4, 5, 4, 1, 0, 1}, {3, 5, 5, 2, 7, 2, 3, 1}, {16, 5, 7, 32, 3, 1, 1, 1},
                  {16, 6, 5, 16, 3, 2, 1, 16}, {1, 9, 8, 16, 5, 1, 0, 1}, {32, 5, 5, 48, 1, 2, 0, 2}, {12, 5, 4, 20, 3, 1, 1, 2}};
    dal_runtime *rt = fx_runtime(1, 1);
    const dal_host *host = dal_runtime_host(rt, "nn");
    for (size_t s = 0; s < sizeof all / sizeof *all; s++) {
        dal_nn *nn = dal_nn_new(host);
        dal_nn_info info;
        int64_t o[3];
        dal_nn_use(nn, backend);
        const dal_nn_value y = conv(nn, dal_nn_input(nn, all[s].c, all[s].h, all[s].w), all[s].out, all[s].kernel,
                                    all[s].stride, all[s].pad, all[s].groups, DAL_NN_BIAS);
        dal_nn_output(nn, dal_nn_linear(nn, y, "output", 2, 0));
        cr_assert_eq(dal_nn_finish(nn, NULL), DAL_OK);
        dal_nn_describe(nn, &info);
        dal_nn_shape(nn, y, o);
        float *w = draw(info.n_weights, s + 1), *x = draw(3 * info.n_inputs, s + 50);
        dal_nn_pass *p = dal_nn_pass_new(nn, host, 0, NULL);
        memcpy(p->value[0], x, (size_t)(3 * info.n_inputs) * sizeof *x);
        cr_assert_eq(dal_nn_run(nn, w, NULL, p, 3, 0, y, NULL), DAL_OK);
        const int64_t cg = all[s].c / all[s].groups, og = all[s].out / all[s].groups, kk = all[s].kernel;
        const dal_parameter *bias = dal_nn_parameter(nn, 1);
        for (int64_t i = 0; i < 3; i++)
            for (int64_t f = 0; f < o[0]; f++)
                for (int64_t oy = 0; oy < o[1]; oy++)
                    for (int64_t ox = 0; ox < o[2]; ox++) {
                        double sum = (double)w[bias->offset + f];
                        for (int64_t c = 0; c < cg; c++)
                            for (int64_t ky = 0; ky < kk; ky++)
                                for (int64_t kx = 0; kx < kk; kx++) {
                                    const int64_t iy = oy * all[s].stride + ky - all[s].pad;
                                    const int64_t ix = ox * all[s].stride + kx - all[s].pad;
                                    if (iy >= 0 && iy < all[s].h && ix >= 0 && ix < all[s].w)
                                        sum += (double)w[((f * cg + c) * kk + ky) * kk + kx] *
                                               (double)x[i * info.n_inputs + ((f / og * cg + c) * all[s].h + iy) * all[s].w + ix];
                                }
                        cr_assert_float_eq((double)p->value[y][i * o[0] * o[1] * o[2] + (f * o[1] + oy) * o[2] + ox], sum,
                                           1e-4, "shape %zu", s);
                    }
        dal_nn_pass_free(p);
        dal_nn_free(nn);
        free(w);
        free(x);
    }
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
}

Test(nn, convolves_as_its_seven_loops_do)
{
    for (int i = 0; next_case(i); i++)
        convolve_all();
}

static double loss_at(fixture *f, dal_nn_trainer *t)
{
    const dal_nn_batch b = batch_of(f);
    dal_nn_result r = {.struct_size = sizeof r};
    cr_assert_eq(dal_nn_train(t, NULL, &b, &r, NULL), DAL_OK);
    return r.loss / (double)f->n;
}

static void differ_while_training(void)
{
    fixture f = make(2, 11, 0.4);
    dal_nn_trainer *t = dal_nn_trainer_new(f.nn, f.host, f.weights, f.state, f.n, NULL);
    loss_at(&f, t);
    float *g = malloc((size_t)f.info.n_weights * sizeof *g);
    memcpy(g, dal_nn_gradient(t), (size_t)f.info.n_weights * sizeof *g);
    int off = 0;
    const int64_t by = wide ? 7 : 1;
    for (int64_t i = 0; i < f.info.n_weights; i += by) {
        const float w = f.weights[i], e = 2e-3f;
        f.weights[i] = w + e;
        const double up = loss_at(&f, t);
        f.weights[i] = w - e;
        const double want = (up - loss_at(&f, t)) / (2 * (double)e);
        f.weights[i] = w;
        off += fabs(want - (double)g[i]) > 2e-3 + 0.03 * fabs(want); /* a ReLU or a maximum may change its mind */
    }
    cr_assert_leq(off, (int)(f.info.n_weights / by / 50), "%d of %lld gradients are off", off, (long long)f.info.n_weights);
    free(g);
    dal_nn_trainer_free(t);
    drop(&f);
}

Test(nn, has_the_gradient_of_finite_differences_while_training)
{
    for (int i = 0; next_case(i); i++)
        differ_while_training();
}

/* sum_c output_c * q_c of sample 0 in a pass */
static double answer(fixture *f, dal_nn_pass *p, const float *x, const float *q)
{
    double sum = 0;
    memcpy(p->value[0], x, (size_t)f->info.n_inputs * sizeof *x);
    cr_assert_eq(dal_nn_run(f->nn, f->weights, f->state, p, 1, 0, f->info.output, NULL), DAL_OK);
    for (int c = 0; c < 3; c++)
        sum += (double)p->value[f->info.output][c] * (double)q[c];
    return sum;
}

static void differ_in_passes(void)
{
    const float q[3] = {1, -2, 0.5f};
    fixture f = make(1, 4, 0.5);
    dal_nn_pass *p = dal_nn_pass_new(f.nn, f.host, 1, NULL);
    float *g = calloc((size_t)f.info.n_weights, sizeof *g);
    for (int64_t i = 0; i < f.info.n_state; i++) /* something to remember */
        f.state[i] = 0.5f + 0.1f * (float)(i % 5);
    answer(&f, p, f.x, q);
    memcpy(p->d[f.info.output], q, sizeof q);
    cr_assert_eq(dal_nn_run_back(f.nn, f.weights, f.state, p, 1, g), DAL_OK);
    float *dx = malloc((size_t)f.info.n_inputs * sizeof *dx);
    memcpy(dx, p->d[0], (size_t)f.info.n_inputs * sizeof *dx);
    int off = 0;
    const int64_t by = wide ? 7 : 1;
    for (int64_t i = 0; i < f.info.n_inputs + f.info.n_weights; i += by) {
        const int is_input = i < f.info.n_inputs;
        float *v = is_input ? &f.x[i] : &f.weights[i - f.info.n_inputs];
        const double have = is_input ? (double)dx[i] : (double)g[i - f.info.n_inputs];
        const float keep = *v, e = 2e-3f;
        *v = keep + e;
        const double up = answer(&f, p, f.x, q);
        *v = keep - e;
        const double want = (up - answer(&f, p, f.x, q)) / (2 * (double)e);
        *v = keep;
        off += fabs(want - have) > 3e-3 + 0.03 * fabs(want);
    }
    cr_assert_leq(off, (int)((f.info.n_inputs + f.info.n_weights) / by / 50), "%d gradients are off", off);
    free(g);
    free(dx);
    dal_nn_pass_free(p);
    drop(&f);
}

Test(nn, has_the_gradient_of_finite_differences_in_passes)
{
    for (int i = 0; next_case(i); i++)
        differ_in_passes();
}

Test(nn, remembers_the_mean_and_the_variance_of_its_batches)
{
    dal_runtime *rt = fx_runtime(2, 1);
    const dal_host *host = dal_runtime_host(rt, "nn");
    fixture f = {.n = 20};
    f.nn = dal_nn_new(host);
    dal_nn_value x = dal_nn_batch_norm(f.nn, dal_nn_input(f.nn, 2, 2, 2), "bn", 0);
    dal_nn_output(f.nn, dal_nn_linear(f.nn, x, "output", 2, 0));
    cr_assert_eq(dal_nn_finish(f.nn, NULL), DAL_OK);
    dal_nn_describe(f.nn, &f.info);
    float weights[20], state[4] = {0, 0, 1, 1};
    int32_t classes[20] = {0};
    for (int i = 0; i < 20; i++)
        weights[i] = i < 2 ? 2 : 0.5f;
    f.x = draw(20 * 8, 3);
    f.classes = classes;
    dal_nn_trainer *t = dal_nn_trainer_new(f.nn, host, weights, state, 20, NULL);
    loss_at(&f, t);
    for (int c = 0; c < 2; c++) {
        double mean = 0, square = 0;
        for (int i = 0; i < 20; i++)
            for (int p = 0; p < 4; p++) {
                mean += (double)f.x[i * 8 + c * 4 + p] / 80;
                square += pow((double)f.x[i * 8 + c * 4 + p], 2) / 80;
            }
        cr_assert_float_eq((double)state[c], 0.1 * mean, 1e-6);
        cr_assert_float_eq((double)state[2 + c], 0.9 + 0.1 * (square - mean * mean) * 80 / 79, 1e-5);
    }
    dal_nn_trainer_free(t);
    dal_nn_free(f.nn);
    free(f.x);
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
}

/* ---- the same bits ------------------------------------------------------------------------------ */

static uint64_t train_digest(int threads, int64_t n)
{
    fixture f = make(threads, n, 0.3);
    const dal_nn_rule rule = {.struct_size = sizeof rule, .optimizer = DAL_NN_SGD, .learning_rate = 0.05, .momentum = 0.9,
                              .weight_decay = 1e-3, .nesterov = 1};
    dal_nn_trainer *t = dal_nn_trainer_new(f.nn, f.host, f.weights, f.state, n, NULL);
    for (int step = 0; step < 5; step++) {
        const dal_nn_batch b = batch_of(&f);
        dal_nn_result r = {.struct_size = sizeof r};
        cr_assert_eq(dal_nn_train(t, &rule, &b, &r, NULL), DAL_OK);
    }
    uint64_t h = dal_hash64(0, f.weights, (size_t)f.info.n_weights * sizeof(float));
    h = dal_hash64(h, f.state, (size_t)f.info.n_state * sizeof(float));
    dal_nn_trainer_free(t);
    drop(&f);
    return h;
}

static void train_with_threads(void)
{
    for (int64_t n = 1; n <= 37; n += 12) {
        const uint64_t one = train_digest(1, n);
        cr_assert_eq(train_digest(2, n), one);
        cr_assert_eq(train_digest(5, n), one);
    }
}

Test(nn, trains_to_the_same_bits_with_any_number_of_threads)
{
    for (int i = 0; next_case(i); i++)
        train_with_threads();
}

static void place_samples(void)
{
    fixture f = make(1, DAL_NN_TILE, 0.3);
    dal_nn_pass *p = dal_nn_pass_new(f.nn, f.host, 1, NULL);
    const int64_t in = f.info.n_inputs;
    float alone[3], together[3 * DAL_NN_TILE], *d = malloc((size_t)in * sizeof *d);
    memcpy(p->value[0], f.x, (size_t)(DAL_NN_TILE * in) * sizeof(float));
    cr_assert_eq(dal_nn_run(f.nn, f.weights, f.state, p, DAL_NN_TILE, 0, f.info.output, NULL), DAL_OK);
    memcpy(together, p->value[f.info.output], sizeof together);
    for (int64_t n = 1; n < DAL_NN_TILE; n++) {
        memcpy(p->value[0], f.x, (size_t)(n * in) * sizeof(float));
        cr_assert_eq(dal_nn_run(f.nn, f.weights, f.state, p, n, 0, f.info.output, NULL), DAL_OK);
        cr_assert_eq(memcmp(p->value[f.info.output], together, (size_t)(3 * n) * sizeof(float)), 0, "%lld samples", (long long)n);
    }
    for (int64_t i = 0; i < DAL_NN_TILE; i++) {
        memcpy(p->value[0], f.x + i * in, (size_t)in * sizeof(float));
        cr_assert_eq(dal_nn_run(f.nn, f.weights, f.state, p, 1, 0, f.info.output, NULL), DAL_OK);
        memcpy(alone, p->value[f.info.output], sizeof alone);
        cr_assert_eq(memcmp(alone, together + 3 * i, sizeof alone), 0, "sample %lld", (long long)i);
        for (int k = 0; k < 3; k++)
            p->d[f.info.output][k] = (float)k - 1;
        cr_assert_eq(dal_nn_run_back(f.nn, f.weights, f.state, p, 1, NULL), DAL_OK);
        memcpy(d, p->d[0], (size_t)in * sizeof *d);
        memcpy(p->value[0] + 3 * in, f.x + i * in, (size_t)in * sizeof(float));
        cr_assert_eq(dal_nn_run(f.nn, f.weights, f.state, p, 4, 0, f.info.output, NULL), DAL_OK);
        for (int k = 0; k < 12; k++)
            p->d[f.info.output][k] = (float)(k % 3) - 1;
        cr_assert_eq(dal_nn_run_back(f.nn, f.weights, f.state, p, 4, NULL), DAL_OK);
        cr_assert_eq(memcmp(d, p->d[0] + 3 * in, (size_t)in * sizeof *d), 0, "gradient of sample %lld", (long long)i);
    }
    free(d);
    dal_nn_pass_free(p);
    drop(&f);
}

Test(nn, gives_a_sample_the_same_bits_in_any_place)
{
    for (int i = 0; next_case(i); i++)
        place_samples();
}

/* ---- back ends ---------------------------------------------------------------------------------- */

static double furthest(const float *a, const float *b, int64_t n)
{
    double most = 0, size = 0;
    for (int64_t i = 0; i < n; i++) {
        most = fmax(most, fabs((double)a[i] - (double)b[i]));
        size = fmax(size, fabs((double)a[i]));
    }
    return most / size;
}

/* The gradient of a step of the case's back end into g, the stage of a pass into stage, as many as there are. */
static void both_ways(float **g, float **stage, int64_t *n, int64_t *m, dal_status (*between)(void *, const dal_nn_step_view *))
{
    fixture f = make(2, 21, 0.3);
    int64_t shape[3];
    dal_nn_trainer *t = dal_nn_trainer_new(f.nn, f.host, f.weights, f.state, f.n, NULL);
    dal_nn_batch b = batch_of(&f);
    dal_nn_result r = {.struct_size = sizeof r};
    b.between = between;
    cr_assert_eq(dal_nn_train(t, NULL, &b, &r, NULL), DAL_OK);
    *n = f.info.n_weights;
    *g = malloc((size_t)*n * sizeof **g);
    memcpy(*g, dal_nn_gradient(t), (size_t)*n * sizeof **g);
    dal_nn_trainer_free(t);
    dal_nn_pass *p = dal_nn_pass_new(f.nn, f.host, 0, NULL);
    const dal_nn_value v = dal_nn_stage_value(f.nn, 0);
    memcpy(p->value[0], f.x, (size_t)(5 * f.info.n_inputs) * sizeof(float));
    cr_assert_eq(dal_nn_run(f.nn, f.weights, f.state, p, 5, 0, f.info.output, NULL), DAL_OK);
    dal_nn_shape(f.nn, v, shape);
    *m = 5 * shape[0] * shape[1] * shape[2];
    *stage = malloc((size_t)*m * sizeof **stage);
    memcpy(*stage, p->value[v], (size_t)*m * sizeof **stage);
    dal_nn_pass_free(p);
    drop(&f);
}

/* A loss of the first stage: each of its elements times a number of its place. */
static dal_status pull_stage(void *ctx, const dal_nn_step_view *view)
{
    fixture *f = ctx;
    int64_t shape[3];
    const dal_nn_value v = dal_nn_stage_value(f->nn, 0);
    dal_nn_shape(f->nn, v, shape);
    const int64_t size = shape[0] * shape[1] * shape[2];
    for (int64_t i = 0; i < view->n * size; i++)
        view->d[v][i] += (float)(i % size % 11 - 5) * view->value[v][i];
    return DAL_OK;
}

Test(nn, is_the_same_network_on_both_back_ends)
{
    dal_runtime *rt = fx_runtime(1, 1);
    const int there = has_onednn(dal_runtime_host(rt, "nn"));
    dal_runtime_free(rt);
    if (!there)
        cr_skip_test("no oneDNN in this build");
    for (int i = 0; i < 4; i++) {
        float *g[2], *stage[2];
        int64_t n, m;
        wide = i % 2;
        for (int k = 0; k < 2; k++) {
            backend = k ? DAL_NN_ONEDNN : DAL_NN_OPENBLAS;
            both_ways(&g[k], &stage[k], &n, &m, i < 2 ? NULL : pull_stage);
        }
        cr_assert_lt(furthest(g[0], g[1], n), 1e-4, "gradients, case %d", i);
        cr_assert_lt(furthest(stage[0], stage[1], m), 1e-5, "a stage, case %d", i);
        for (int k = 0; k < 2; k++) {
            free(g[k]);
            free(stage[k]);
        }
    }
}

/* 3x3 convolutions so wide that they go by fewer products while training, over maps that no tile fits. */
static void wide_gradient(int threads, float *g, int64_t n)
{
    dal_runtime *rt = fx_runtime(threads, 1);
    const dal_host *host = dal_runtime_host(rt, "nn");
    dal_nn_info info;
    fixture f = {.n = 13};
    int32_t classes[13] = {0, 1, 2, 0, 1, 1};
    f.nn = dal_nn_new(host);
    dal_nn_use(f.nn, backend);
    dal_nn_value x = conv(f.nn, dal_nn_input(f.nn, 1, 7, 5), 128, 1, 1, 0, 1, DAL_NN_BIAS | DAL_NN_RELU);
    const dal_nn_value y = conv(f.nn, x, 128, 3, 1, 1, 1, DAL_NN_BIAS | DAL_NN_RELU);
    x = conv(f.nn, dal_nn_add(f.nn, x, y, 0), 144, 3, 1, 1, 1, 0);
    dal_nn_output(f.nn, dal_nn_linear(f.nn, dal_nn_global_pool(f.nn, x), "output", 3, DAL_NN_BIAS));
    cr_assert_eq(dal_nn_finish(f.nn, NULL), DAL_OK);
    dal_nn_describe(f.nn, &info);
    cr_assert_eq(info.n_weights, n);
    f.info = info;
    f.classes = classes;
    f.weights = draw(n, 1);
    for (int64_t i = 0; i < n; i++)
        f.weights[i] *= 0.05f;
    f.x = draw(13 * 35, 2);
    dal_nn_trainer *t = dal_nn_trainer_new(f.nn, host, f.weights, NULL, 13, NULL);
    loss_at(&f, t);
    memcpy(g, dal_nn_gradient(t), (size_t)n * sizeof *g);
    dal_nn_trainer_free(t);
    dal_nn_free(f.nn);
    free(f.weights);
    free(f.x);
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
}

Test(nn, has_the_same_gradient_by_fewer_products)
{
    enum { N = 256 + 128 * 128 * 9 + 128 + 128 * 144 * 9 + 144 * 3 + 3 };
    float *plain = malloc(N * sizeof *plain), *few = malloc(N * sizeof *few), *again = malloc(N * sizeof *again);
    wide_gradient(2, plain, N);
    if (next_case(1)) {
        wide_gradient(1, few, N);
        for (int threads = 2; threads < 4; threads++) {
            wide_gradient(threads, again, N);
            cr_assert_eq(memcmp(few, again, N * sizeof *few), 0, "%d threads", threads);
        }
        /* each layer by its own size */
        const int64_t from[] = {0, 256, 256 + 128 * 128 * 9 + 128, N - 435, N};
        for (int i = 0; i < 4; i++)
            cr_assert_lt(furthest(plain + from[i], few + from[i], from[i + 1] - from[i]), 1e-4, "layer %d", i);
    }
    free(plain);
    free(few);
    free(again);
}

static int count_threads(void)
{
    DIR *d = opendir("/proc/self/task");
    int n = 0;
    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

Test(nn, makes_no_threads_but_those_of_the_host)
{
    for (int i = 0; next_case(i); i++) {
        fixture f = make(2, 16, 0);
        dal_nn_trainer *t = dal_nn_trainer_new(f.nn, f.host, f.weights, f.state, f.n, NULL);
        const int before = count_threads();
        loss_at(&f, t);
        cr_assert_eq(count_threads(), before);
        dal_nn_trainer_free(t);
        drop(&f);
    }
}

Test(nn, names_its_back_end)
{
    dal_error err = DAL_ERROR_INIT;
    for (int i = 0; next_case(i); i++) {
        fixture f = make(1, 1, 0);
        cr_assert(strstr(dal_nn_backend(f.nn), backend == DAL_NN_ONEDNN ? "oneDNN" : "OpenBLAS"));
        drop(&f);
    }
    dal_runtime *rt = fx_runtime(1, 1);
    dal_nn *nn = dal_nn_new(dal_runtime_host(rt, "nn"));
    dal_nn_use(nn, 7);
    dal_nn_output(nn, dal_nn_linear(nn, dal_nn_input(nn, 1, 1, 1), "output", 2, 0));
    cr_assert_eq(dal_nn_finish(nn, &err), DAL_E_INVALID);
    cr_assert(strstr(err.text, "7 is no back end"), "%s", err.text);
    dal_nn_free(nn);
    dal_runtime_free(rt);
}

/* ---- behaviour ---------------------------------------------------------------------------------- */

static void learn_by_heart(void)
{
    for (uint32_t optimizer = DAL_NN_SGD; optimizer <= DAL_NN_ADAM; optimizer++) {
        fixture f = make(2, 24, 0);
        const dal_nn_rule rule = {.struct_size = sizeof rule, .optimizer = optimizer, .momentum = 0.9, .beta1 = 0.9,
                                  .beta2 = 0.999, .epsilon = 1e-8, .learning_rate = optimizer == DAL_NN_SGD ? wide ? 0.01 : 0.05 : 0.01};
        dal_nn_trainer *t = dal_nn_trainer_new(f.nn, f.host, f.weights, f.state, f.n, NULL);
        dal_nn_result r = {.struct_size = sizeof r};
        for (int step = 0; step < 300; step++) {
            const dal_nn_batch b = batch_of(&f);
            cr_assert_eq(dal_nn_train(t, &rule, &b, &r, NULL), DAL_OK);
        }
        cr_assert_eq(r.hits, 24, "optimizer %u: %lld of 24", (unsigned)optimizer, (long long)r.hits);
        cr_assert_lt(r.loss / 24, 0.05);
        dal_nn_trainer_free(t);
        drop(&f);
    }
}

Test(nn, learns_a_batch_by_heart)
{
    for (int i = 0; next_case(i); i++)
        learn_by_heart();
}

Test(nn, masks_dropout_by_hand_in_passes)
{
    fixture f = make(1, 1, 0.5);
    dal_nn_pass *p = dal_nn_pass_new(f.nn, f.host, 0, NULL);
    const float zeros[7] = {0}, *masks[1] = {zeros};
    const dal_nn_value dropout = dal_nn_dropout_value(f.nn, 0);
    memcpy(p->value[0], f.x, (size_t)f.info.n_inputs * sizeof(float));
    cr_assert_eq(dal_nn_run(f.nn, f.weights, f.state, p, 1, 0, f.info.output, masks), DAL_OK);
    for (int c = 0; c < 3; c++) /* nothing but the bias is left */
        cr_assert(p->value[f.info.output][c] == f.weights[f.info.n_weights - 3 + c]);
    cr_assert_eq(dal_nn_run(f.nn, f.weights, f.state, p, 1, dropout, f.info.output, NULL), DAL_OK);
    cr_assert(p->value[f.info.output][0] != f.weights[f.info.n_weights - 3]);
    cr_assert_eq(dal_nn_dropout_value(f.nn, 1), -1);
    dal_nn_pass_free(p);
    drop(&f);
}

Test(nn, says_which_layer_does_not_fit)
{
    dal_runtime *rt = fx_runtime(1, 1);
    const dal_host *host = dal_runtime_host(rt, "nn");
    dal_error err = DAL_ERROR_INIT;
    for (int fault = 0; fault < 6; fault++) {
        static const char *const words[] = {"kernel of 9", "3 groups do not divide", "2 x 5 x 5 and 4 x 5 x 5",
                                            "no value of this network", "the network has no output", "no other layer reads"};
        dal_nn *nn = dal_nn_new(host);
        const dal_nn_value x = dal_nn_input(nn, 2, 5, 5);
        if (fault == 0)
            dal_nn_output(nn, dal_nn_linear(nn, conv(nn, x, 4, 9, 1, 0, 1, 0), "o", 2, 0));
        if (fault == 1)
            dal_nn_output(nn, dal_nn_linear(nn, conv(nn, x, 6, 3, 1, 0, 3, 0), "o", 2, 0));
        if (fault == 2)
            dal_nn_output(nn, dal_nn_linear(nn, dal_nn_add(nn, x, conv(nn, x, 4, 1, 1, 0, 1, 0), 0), "o", 2, 0));
        if (fault == 3)
            dal_nn_output(nn, dal_nn_linear(nn, x + 5, "o", 2, 0));
        if (fault == 5) {
            conv(nn, x, 4, 1, 1, 0, 1, 0);
            dal_nn_output(nn, dal_nn_linear(nn, x, "o", 2, 0));
        }
        cr_assert_eq(dal_nn_finish(nn, &err), DAL_E_INVALID);
        cr_assert(strstr(err.text, words[fault]), "%d: %s", fault, err.text);
        dal_nn_free(nn);
    }
    dal_runtime_free(rt);
}
