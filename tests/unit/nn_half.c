/* bf16 beside its f32 twin. A rounding to bf16 is off by at most 2^-8 of the number; what a chain of linear layers
 * makes of it is bounded by the same chain over the magnitudes of all numbers. */
#include "tests/unit/nn_networks.h"

#define U (1.0 / 256) /* of a rounding */

/* Skips the test where there is no bf16. */
static void want_bf16(void)
{
    dal_runtime *rt = fx_runtime(1, 1);
    dal_error err = DAL_ERROR_INIT;
    dal_nn *nn = dal_nn_new(dal_runtime_host(rt, "nn"));
    dal_nn_use(nn, has_onednn(dal_runtime_host(rt, "nn")) ? DAL_NN_ONEDNN : DAL_NN_AUTO);
    dal_nn_train_in(nn, DAL_NN_BF16);
    const dal_nn_value x = conv(nn, dal_nn_input(nn, 1, 2, 2), 8, 1, 1, 0, 1, 0);
    dal_nn_output(nn, dal_nn_linear(nn, x, "output", 2, 0));
    const dal_status st = dal_nn_finish(nn, &err);
    dal_nn_free(nn);
    dal_runtime_free(rt);
    if (st == DAL_E_UNSUPPORTED) {
        cr_assert_str_eq(err.key, "precision");
        cr_skip_test("no bf16 here: %s", err.text);
    }
    cr_assert_eq(st, DAL_OK, "%s", err.text);
}

static float rounded(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    bits = (bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000u;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* ---- a step of a network, looked at ------------------------------------------------------------- */

typedef dal_nn *declare(const dal_host *host, uint32_t precision);

typedef struct look {
    const dal_nn *nn;
    float *stage[8], *gradient; /* of all rows, of all weights */
    int64_t size[8], n, n_weights;
    int n_stages, magnitudes;
} look;

/* Keeps the stages; the last one is given a gradient of its own, exact in bf16. */
static dal_status look_between(void *ctx, const dal_nn_step_view *view)
{
    look *l = ctx;
    for (int s = 0; s < l->n_stages; s++) {
        const dal_nn_value v = dal_nn_stage_value(l->nn, s);
        memcpy(l->stage[s], view->value[v], (size_t)(l->n * l->size[s]) * sizeof(float));
        if (s + 1 < l->n_stages)
            continue;
        float *d = draw(l->n * l->size[s], 31);
        for (int64_t i = 0; i < l->n * l->size[s]; i++)
            view->d[v][i] = l->magnitudes ? fabsf(rounded(d[i])) : rounded(d[i]);
        free(d);
    }
    return DAL_OK;
}

/* Weights and samples are exact in bf16. */
static look look_at(declare *make_nn, uint32_t precision, int magnitudes, int threads, int64_t n)
{
    dal_runtime *rt = fx_runtime(threads, 1);
    const dal_host *host = dal_runtime_host(rt, "nn");
    look l = {.nn = make_nn(host, precision), .n = n, .magnitudes = magnitudes};
    dal_nn_info info;
    dal_error err = DAL_ERROR_INIT;
    dal_nn_describe(l.nn, &info);
    l.n_stages = (int)info.n_stages;
    l.n_weights = info.n_weights;
    for (int s = 0; s < l.n_stages; s++) {
        int64_t shape[3];
        dal_nn_shape(l.nn, dal_nn_stage_value(l.nn, s), shape);
        l.size[s] = shape[0] * shape[1] * shape[2];
        l.stage[s] = malloc((size_t)(n * l.size[s]) * sizeof(float));
    }
    fixture f = {.info = info, .n = n, .weights = draw(info.n_weights, 3), .x = draw(n * info.n_inputs, 7),
                 .state = calloc((size_t)info.n_state + 1, sizeof(float))};
    for (int64_t i = 0; i < info.n_weights; i++)
        f.weights[i] = magnitudes ? fabsf(rounded(0.2f * f.weights[i])) : rounded(0.2f * f.weights[i]);
    for (int64_t i = 0; i < n * info.n_inputs; i++)
        f.x[i] = magnitudes ? fabsf(rounded(f.x[i])) : rounded(f.x[i]);
    dal_nn_trainer *t = dal_nn_trainer_new(l.nn, host, f.weights, f.state, n, &err);
    cr_assert_not_null(t, "%s", err.text);
    const dal_nn_batch b = {.struct_size = sizeof b, .n = n, .rows = f.x, .between = look_between, .ctx = &l};
    dal_nn_result r = {.struct_size = sizeof r};
    cr_assert_eq(dal_nn_train(t, NULL, &b, &r, &err), DAL_OK, "%s", err.text);
    l.gradient = malloc((size_t)l.n_weights * sizeof(float));
    memcpy(l.gradient, dal_nn_gradient(t), (size_t)l.n_weights * sizeof(float));
    dal_nn_trainer_free(t);
    dal_nn_free((dal_nn *)(uintptr_t)l.nn);
    free(f.weights);
    free(f.state);
    free(f.x);
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
    return l;
}

static void forget(look *l)
{
    for (int s = 0; s < l->n_stages; s++)
        free(l->stage[s]);
    free(l->gradient);
}

/* All of got are within bound * magnitude of expected, some of which is not zero. */
static void within(const char *what, const float *expected, const float *got, const float *magnitude, double bound,
                   int64_t n)
{
    double largest = 0;
    for (int64_t i = 0; i < n; i++) {
        const double off = fabs((double)got[i] - (double)expected[i]), most = bound * fabs((double)magnitude[i]) + 1e-6;
        cr_assert(off <= most, "%s: number %d: %g, in f32 %g, of magnitudes %g", what, (int)i, (double)got[i],
                  (double)expected[i], (double)magnitude[i]);
        largest = fabs((double)expected[i]) > largest ? fabs((double)expected[i]) : largest;
    }
    cr_assert_gt(largest, 0.01, "%s is nothing", what);
}

static dal_nn *finish(dal_nn *nn, dal_nn_value x)
{
    dal_error err = DAL_ERROR_INIT;
    dal_nn_output(nn, dal_nn_linear(nn, dal_nn_global_pool(nn, x), "output", 3, DAL_NN_BIAS));
    cr_assert_eq(dal_nn_finish(nn, &err), DAL_OK, "%s", err.text);
    return nn;
}

static dal_nn *begin(const dal_host *host, uint32_t precision, int64_t c, int64_t h, int64_t w, dal_nn_value *x)
{
    dal_nn *nn = dal_nn_new(host);
    dal_nn_use(nn, DAL_NN_ONEDNN);
    dal_nn_train_in(nn, precision);
    *x = dal_nn_input(nn, c, h, w);
    return nn;
}

/* ---- linear chains: each number bounded --------------------------------------------------------- */

static int64_t kernel_of, stride_of, pad_of, groups_of, in_of, out_of;
static uint32_t flags_of;
static int small; /* maps of a few places, which are convolved by one product */

/* A convolution that takes planes of f32 and one that takes bf16. */
static dal_nn *two_convolutions(const dal_host *host, uint32_t precision)
{
    dal_nn_value x;
    dal_nn *nn = begin(host, precision, 3, small ? 4 : 9, small ? 3 : 7, &x);
    x = conv(nn, x, in_of, 3, 1, 1, 1, DAL_NN_BIAS);
    dal_nn_stage(nn, x);
    x = conv(nn, x, out_of, kernel_of, stride_of, pad_of, groups_of, flags_of);
    dal_nn_stage(nn, x);
    return finish(nn, x);
}

/* Roundings on the way: a map each; back the gradient of the map between. */
static void compare_linear(declare *net, int64_t n, double roundings)
{
    look f32 = look_at(net, DAL_NN_F32, 0, 1, n), bf16 = look_at(net, DAL_NN_BF16, 0, 1, n),
        all = look_at(net, DAL_NN_F32, 1, 1, n);
    for (int s = 0; s < f32.n_stages; s++)
        within("a map", f32.stage[s], bf16.stage[s], all.stage[s], roundings * U, n * f32.size[s]);
    within("the gradient", f32.gradient, bf16.gradient, all.gradient, roundings * U, f32.n_weights);
    forget(&f32);
    forget(&bf16);
    forget(&all);
}

Test(nn_half, convolves_as_f32_but_for_the_roundings)
{
    static const int64_t cases[][6] = {/* in, out, kernel, stride, pad, groups */
                                       {8, 16, 3, 1, 1, 1}, {64, 64, 3, 1, 1, 1}, {32, 24, 1, 1, 0, 1},
                                           {64, 32, 3, 2, 1, 1},
                                       {16, 16, 3, 1, 1, 16}, {16, 32, 5, 2, 2, 2}, {6, 10, 3, 1, 1, 1},
                                       {128, 40, 1, 2, 0, 1}};
    want_bf16();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        in_of = cases[i][0], out_of = cases[i][1], kernel_of = cases[i][2];
        stride_of = cases[i][3], pad_of = cases[i][4], groups_of = cases[i][5];
        for (int j = 0; j < 4; j++) {
            flags_of = j & 1 ? DAL_NN_BIAS : 0;
            small = j & 2;
            compare_linear(two_convolutions, i % 2 ? 16 : 11, 2);
        }
    }
}

/* A residual and both ways of making smaller maps. */
static dal_nn *sums_and_means(const dal_host *host, uint32_t precision)
{
    dal_nn_value x;
    dal_nn *nn = begin(host, precision, 2, small ? 4 : 9, small ? 3 : 7, &x);
    x = conv(nn, x, 24, 3, 1, 1, 1, 0);
    dal_nn_stage(nn, x);
    x = dal_nn_add(nn, x, conv(nn, x, 24, 3, 1, 1, 1, 0), 0);
    dal_nn_stage(nn, x);
    x = dal_nn_avg_pool(nn, x, 3, 2, 1);
    x = conv(nn, x, 16, 1, 1, 0, 1, 0);
    dal_nn_stage(nn, x);
    return finish(nn, x);
}

Test(nn_half, adds_and_averages_as_f32_but_for_the_roundings)
{
    want_bf16();
    for (small = 0; small < 2; small++)
        compare_linear(sums_and_means, 13, 5);
}

/* ---- what is exact ------------------------------------------------------------------------------ */

static dal_nn *largest(const dal_host *host, uint32_t precision)
{
    dal_nn_value x;
    dal_nn *nn = begin(host, precision, 8, 9, 7, &x);
    x = conv(nn, x, 8, 1, 1, 0, 8, DAL_NN_RELU); /* a number of 8 bits times one */
    dal_nn_stage(nn, x);
    x = dal_nn_max_pool(nn, x, 3, 2, 1);
    dal_nn_stage(nn, x);
    return finish(nn, x);
}

Test(nn_half, takes_the_largest_as_it_is)
{
    want_bf16();
    look f32 = look_at(largest, DAL_NN_F32, 0, 1, 9), bf16 = look_at(largest, DAL_NN_BF16, 0, 1, 9);
    within("what ReLU left", f32.stage[0], bf16.stage[0], f32.stage[0], U, 9 * f32.size[0]);
    for (int64_t i = 0; i < 9 * f32.size[1]; i++)
        cr_assert_float_eq(bf16.stage[1][i], rounded(f32.stage[1][i]), 0, "place %d", (int)i);
    forget(&f32);
    forget(&bf16);
}

/* ---- batch-norm --------------------------------------------------------------------------------- */

static uint32_t end_of_norm;

static dal_nn *normalised(const dal_host *host, uint32_t precision)
{
    dal_nn_value x;
    dal_nn *nn = begin(host, precision, 3, 9, 7, &x);
    x = conv(nn, x, 72, 3, 1, 1, 1, 0);
    x = dal_nn_batch_norm(nn, x, "bn", end_of_norm);
    dal_nn_stage(nn, x);
    x = conv(nn, x, 16, 3, 2, 1, 1, 0);
    x = dal_nn_batch_norm(nn, x, "bn2", 0);
    dal_nn_stage(nn, x);
    return finish(nn, x);
}

static double length(const float *x, const float *minus, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += ((double)x[i] - (minus ? (double)minus[i] : 0)) * ((double)x[i] - (minus ? (double)minus[i] : 0));
    return sqrt(sum);
}

/* Through deviations roundings have no bound by magnitudes: as a whole within some of them. Which ReLUs are open may
 * differ. */
Test(nn_half, normalises_as_f32_but_for_the_roundings)
{
    want_bf16();
    for (end_of_norm = 0; end_of_norm <= DAL_NN_RELU; end_of_norm += DAL_NN_RELU) {
        look f32 = look_at(normalised, DAL_NN_F32, 0, 1, 21), bf16 = look_at(normalised, DAL_NN_BF16, 0, 1, 21);
        for (int s = 0; s < 2; s++) {
            const double off = length(bf16.stage[s], f32.stage[s], 21 * f32.size[s]) /
                length(f32.stage[s], NULL, 21 * f32.size[s]);
            cr_assert(off > 0 && off < 2 * U, "stage %d is off by %g", s, off);
        }
        const double off = length(bf16.gradient, f32.gradient, f32.n_weights) /
            length(f32.gradient, NULL, f32.n_weights);
        cr_assert(off > 0 && off < (end_of_norm ? 16 : 4) * U, "the gradient is off by %g", off);
        forget(&f32);
        forget(&bf16);
    }
}

/* ---- training ----------------------------------------------------------------------------------- */

static dal_nn *residual(const dal_host *host, uint32_t precision)
{
    dal_nn_value x;
    dal_nn *nn = begin(host, precision, 2, 8, 7, &x);
    x = dal_nn_batch_norm(nn, conv(nn, x, 32, 3, 1, 1, 1, 0), "bn1", DAL_NN_RELU);
    dal_nn_value y = dal_nn_batch_norm(nn, conv(nn, x, 48, 3, 2, 1, 1, 0), "bn2", DAL_NN_RELU);
    y = dal_nn_batch_norm(nn, conv(nn, y, 48, 3, 1, 1, 1, 0), "bn3", 0);
    x = dal_nn_add(nn, dal_nn_batch_norm(nn, conv(nn, x, 48, 1, 2, 0, 1, 0), "bn4", 0), y, DAL_NN_RELU);
    dal_nn_stage(nn, x);
    x = dal_nn_max_pool(nn, x, 3, 2, 1);
    x = dal_nn_relu6(nn, conv(nn, x, 16, 3, 1, 1, 16, DAL_NN_BIAS));
    x = dal_nn_dropout(nn, conv(nn, dal_nn_avg_pool(nn, x, 2, 1, 0), 24, 1, 1, 0, 1, DAL_NN_BIAS | DAL_NN_RELU), 0.1);
    return finish(nn, dal_nn_relu(nn, conv(nn, x, 16, 1, 1, 0, 1, 0)));
}

#define ROWS 37

/* The weights after some steps over batches of several sizes; the loss of the last. */
static float *trained(int threads, int steps, double rate, int whole, int64_t *n, dal_nn_result *r)
{
    dal_runtime *rt = fx_runtime(threads, 1);
    const dal_host *host = dal_runtime_host(rt, "nn");
    dal_nn *nn = residual(host, DAL_NN_BF16);
    dal_nn_info info;
    dal_nn_describe(nn, &info);
    dal_rng stream = dal_rng_from_key(5);
    float *weights = malloc((size_t)(info.n_weights + info.n_state) * sizeof *weights),
        *state = weights + info.n_weights;
    float *x = draw(ROWS * info.n_inputs, 8);
    int32_t classes[ROWS];
    for (int i = 0; i < ROWS; i++)
        classes[i] = i % 3;
    dal_nn_draw(nn, DAL_NN_KAIMING, &stream, weights, state);
    dal_nn_trainer *t = dal_nn_trainer_new(nn, host, weights, state, ROWS, NULL);
    const dal_nn_rule rule = {.struct_size = sizeof rule, .optimizer = DAL_NN_ADAM, .learning_rate = rate, .beta1 = 0.9,
                              .beta2 = 0.999, .epsilon = 1e-8};
    *r = (dal_nn_result){.struct_size = sizeof *r};
    for (int s = 0; s < steps; s++) {
        const int64_t rows = whole || s % 3 == 0 ? ROWS : s % 3 == 1 ? 16 : 5;
        const dal_nn_batch b = {.struct_size = sizeof b, .n = rows, .n_labelled = rows, .classes = classes, .rows = x,
                                .dropout = dal_rng_from_key(100 + (uint64_t)s)};
        cr_assert_eq(dal_nn_train(t, &rule, &b, r, NULL), DAL_OK);
    }
    *n = info.n_weights + info.n_state;
    dal_nn_trainer_free(t);
    dal_nn_free(nn);
    free(x);
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
    return weights;
}

Test(nn_half, learns_a_batch_by_heart)
{
    want_bf16();
    int64_t n;
    dal_nn_result r;
    free(trained(2, 200, 0.005, 1, &n, &r));
    cr_assert(r.hits >= ROWS - 1 && r.loss / ROWS < 0.1, "%d hits of %d, loss %g", (int)r.hits, ROWS, r.loss / ROWS);
}

Test(nn_half, repeats_itself_with_any_number_of_threads)
{
    want_bf16();
    int64_t n;
    dal_nn_result r;
    float *one = trained(1, 12, 0.01, 0, &n, &r);
    for (int threads = 1; threads < 4; threads++) {
        float *again = trained(threads, 12, 0.01, 0, &n, &r);
        cr_assert_eq(memcmp(one, again, (size_t)n * sizeof *one), 0, "%d threads", threads);
        free(again);
    }
    free(one);
}

/* ---- passes ------------------------------------------------------------------------------------- */

/* Batch-norms that read what others read, too: none can be drawn into a convolution. */
static dal_nn *before(const dal_host *host, uint32_t precision)
{
    dal_nn_value x;
    dal_nn *nn = begin(host, precision, 3, 6, 5, &x);
    x = conv(nn, x, 24, 3, 1, 1, 1, DAL_NN_BIAS);
    for (int i = 0; i < 2; i++) {
        dal_nn_value y = dal_nn_batch_norm(nn, x, i ? "bn2" : "bn1", DAL_NN_RELU);
        y = dal_nn_dropout(nn, conv(nn, y, 24, 3, 1, 1, 1, 0), 0.2);
        x = dal_nn_add(nn, x, y, 0);
        dal_nn_stage(nn, x);
    }
    return finish(nn, dal_nn_batch_norm(nn, x, "bn3", DAL_NN_RELU));
}

typedef struct passes {
    dal_runtime *rt;
    const dal_host *host;
    dal_nn *nn;
    dal_nn_info info;
    dal_nn_ready *ready;
    dal_nn_pass *plain, *by_ready;
    float *weights, *state, *x;
} passes;

static passes passes_of(declare *make_nn, uint32_t precision)
{
    passes p = {.rt = fx_runtime(1, 1)};
    p.host = dal_runtime_host(p.rt, "nn");
    p.nn = make_nn(p.host, precision);
    dal_nn_describe(p.nn, &p.info);
    p.weights = draw(p.info.n_weights, 1);
    p.state = draw(p.info.n_state, 2);
    p.x = draw(DAL_NN_TILE * p.info.n_inputs, 3);
    for (int64_t i = 0; i < p.info.n_weights; i++)
        p.weights[i] *= 0.3f;
    for (int64_t i = 0; i < p.info.n_state; i++)
        p.state[i] = 0.5f + fabsf(p.state[i]);
    p.ready = dal_nn_ready_new(p.nn, p.host, p.weights, p.state, NULL);
    p.plain = dal_nn_pass_new(p.nn, p.host, 0, NULL);
    p.by_ready = dal_nn_ready_pass(p.ready, p.host, NULL);
    return p;
}

static void passes_end(passes *p)
{
    dal_nn_pass_free(p->by_ready);
    dal_nn_pass_free(p->plain);
    dal_nn_ready_free(p->ready);
    dal_nn_free(p->nn);
    free(p->weights);
    free(p->state);
    free(p->x);
    cr_assert_eq(dal_runtime_allocated(p->rt), 0);
    dal_runtime_free(p->rt);
}

static const float *pass(const passes *p, dal_nn_pass *by, int64_t sample, int64_t n, dal_nn_value from,
                         const float *const *masks)
{
    memcpy(by->value[0], p->x + sample * p->info.n_inputs, (size_t)(n * p->info.n_inputs) * sizeof(float));
    cr_assert_eq(dal_nn_run(p->nn, p->weights, p->state, by, n, from, p->info.output, masks), DAL_OK);
    return by->value[p->info.output];
}

/* A pass that is not by ready weights knows nothing of how they were trained. */
Test(nn_half, leaves_other_passes_alone)
{
    want_bf16();
    passes f32 = passes_of(residual, DAL_NN_F32), bf16 = passes_of(residual, DAL_NN_BF16);
    cr_assert(!strstr(dal_nn_backend(f32.nn), "bf16") && strstr(dal_nn_backend(bf16.nn), "bf16"));
    cr_assert_eq(memcmp(pass(&f32, f32.plain, 0, 5, 0, NULL), pass(&bf16, bf16.plain, 0, 5, 0, NULL),
                        5 * 3 * sizeof(float)), 0);
    passes_end(&f32);
    passes_end(&bf16);
}

static void near(const passes *p, dal_nn_value v, int64_t n)
{
    int64_t shape[3];
    dal_nn_shape(p->nn, v, shape);
    const int64_t all = n * shape[0] * shape[1] * shape[2];
    const double off = length(p->by_ready->value[v], p->plain->value[v], all) / length(p->plain->value[v], NULL, all);
    cr_assert(off > 0 && off < 4 * U, "value %d is off by %g", (int)v, off);
}

static void run_ready(declare *make_nn)
{
    enum { N = DAL_NN_TILE - 3 };
    passes p = passes_of(make_nn, DAL_NN_BF16);
    int64_t shape[3];
    dal_nn_shape(p.nn, dal_nn_dropout_value(p.nn, 0), shape);
    float *mask = draw(shape[0] * shape[1] * shape[2], 9), together[3 * N];
    const float *const masks[2] = {mask, NULL};
    pass(&p, p.plain, 0, N, 0, NULL);
    memcpy(together, pass(&p, p.by_ready, 0, N, 0, NULL), sizeof together);
    for (int64_t s = 0; s < p.info.n_stages; s++)
        near(&p, dal_nn_stage_value(p.nn, s), N);
    near(&p, p.info.output, N);
    pass(&p, p.plain, 0, N, dal_nn_dropout_value(p.nn, 0), masks);
    pass(&p, p.by_ready, 0, N, dal_nn_dropout_value(p.nn, 0), masks);
    near(&p, p.info.output, N);
    for (int64_t i = 0; i < N; i++) /* alone, in the first place; then on from a stage and from a dropout layer */
        for (int k = 0; k < 3; k++) {
            const dal_nn_value from = k == 0 ? 0 : k == 1 ? dal_nn_stage_value(p.nn, 0) + 1
                : dal_nn_dropout_value(p.nn, 0);
            cr_assert_eq(memcmp(pass(&p, p.by_ready, i, 1, from, NULL), together + 3 * i, 3 * sizeof(float)), 0,
                         "sample %d from %d", (int)i, (int)from);
        }
    free(mask);
    passes_end(&p);
}

Test(nn_half, runs_ready_weights_as_f32_but_for_the_roundings)
{
    want_bf16();
    run_ready(residual);
    run_ready(before);
}

/* ---- where there is none ------------------------------------------------------------------------ */

static dal_status refused(const dal_host *host, uint32_t backend_, int convolves, dal_error *err)
{
    dal_nn *nn = dal_nn_new(host);
    dal_nn_use(nn, backend_);
    dal_nn_train_in(nn, DAL_NN_BF16);
    dal_nn_value x = dal_nn_input(nn, 1, 3, 3);
    x = convolves ? conv(nn, x, 8, 3, 1, 1, 1, 0) : x;
    dal_nn_output(nn, dal_nn_linear(nn, x, "output", 2, 0));
    const dal_status st = dal_nn_finish(nn, err);
    dal_nn_free(nn);
    return st;
}

Test(nn_half, is_told_where_it_cannot_be_had)
{
    setenv("ONEDNN_MAX_CPU_ISA", "AVX2", 1);
    dal_runtime *rt = fx_runtime(1, 1);
    const dal_host *host = dal_runtime_host(rt, "nn");
    dal_error err = DAL_ERROR_INIT;
    cr_assert_eq(refused(host, DAL_NN_OPENBLAS, 1, &err), DAL_E_UNSUPPORTED);
    cr_assert_str_eq(err.key, "precision");
    cr_assert(strstr(err.text, has_onednn(host) ? "needs back end onednn" : "needs oneDNN"), "%s", err.text);
    cr_assert_eq(refused(host, DAL_NN_AUTO, 0, &err), DAL_E_UNSUPPORTED);
    cr_assert_str_eq(err.key, "precision");
    if (has_onednn(host)) {
        cr_assert_eq(refused(host, DAL_NN_AUTO, 1, &err), DAL_E_UNSUPPORTED);
        cr_assert_str_eq(err.key, "precision");
        cr_assert(strstr(err.text, "AMX-BF16 or AVX512-BF16") && strstr(err.text, "precision f32"), "%s", err.text);
    }
    dal_nn *nn = dal_nn_new(host);
    dal_nn_train_in(nn, 7);
    dal_nn_output(nn, dal_nn_linear(nn, dal_nn_input(nn, 1, 1, 1), "output", 2, 0));
    err = (dal_error)DAL_ERROR_INIT;
    cr_assert_eq(dal_nn_finish(nn, &err), DAL_E_INVALID);
    cr_assert(strstr(err.text, "7 is no precision"), "%s", err.text);
    dal_nn_free(nn);
    dal_runtime_free(rt);
}

/* ---- what DAL_NN_PRECISION_AUTO becomes --------------------------------------------------------- */

/* What a network becomes of a convolution to maps of side x side places, 0: of linear layers over tokens, -1: over
 * vectors. */
static uint32_t became(int side, uint32_t by, uint32_t precision, const char **told, uint32_t *used)
{
    static char text[64];
    dal_runtime *rt = fx_runtime(1, 1);
    dal_nn *nn = dal_nn_new(dal_runtime_host(rt, "nn"));
    dal_error err = DAL_ERROR_INIT;
    dal_nn_use(nn, by);
    dal_nn_train_in(nn, precision);
    dal_nn_value x;
    if (side > 0) {
        x = conv(nn, dal_nn_input(nn, 8, side, side), 8, 3, 1, 1, 1, 0);
    } else if (side < 0) {
        x = dal_nn_linear(nn, dal_nn_input(nn, 8, 1, 1), "wide", 8, DAL_NN_BIAS);
    } else {
        const dal_nn_embedding_shape shape = {.width = 8};
        x = dal_nn_embedding(nn, dal_nn_tokens(nn, 4, 10), "embedding", &shape);
        x = dal_nn_token_mean(nn, dal_nn_linear(nn, x, "wide", 8, DAL_NN_BIAS));
    }
    dal_nn_output(nn, dal_nn_linear(nn, x, "output", 2, 0));
    cr_assert_eq(dal_nn_finish(nn, &err), DAL_OK, "%s", err.text);
    const uint32_t is = dal_nn_precision_used(nn);
    *used = dal_nn_backend_used(nn);
    snprintf(text, sizeof text, "%s", dal_nn_backend(nn));
    *told = text;
    dal_nn_free(nn);
    dal_runtime_free(rt);
    return is;
}

Test(nn_half, is_chosen_where_it_is_faster)
{
    const char *told;
    uint32_t by;
    cr_assert_eq(became(-1, DAL_NN_AUTO, DAL_NN_PRECISION_AUTO, &told, &by), DAL_NN_F32);
    cr_assert_eq(by, DAL_NN_OPENBLAS);
    cr_assert_eq(became(7, DAL_NN_AUTO, DAL_NN_PRECISION_AUTO, &told, &by), DAL_NN_F32); /* few places */
    cr_assert_eq(became(8, DAL_NN_OPENBLAS, DAL_NN_PRECISION_AUTO, &told, &by), DAL_NN_F32);
    cr_assert_eq(by, DAL_NN_OPENBLAS);
    want_bf16();
    cr_assert_eq(became(8, DAL_NN_AUTO, DAL_NN_BF16, &told, &by), DAL_NN_BF16);
    cr_assert_eq(by, DAL_NN_ONEDNN);
    const int amx = strstr(told, "by AMX") != NULL; /* "oneDNN 2.6.0, in bf16 by AMX" */
#if defined(__x86_64__)
    __builtin_cpu_init();
    const int tokens = amx || __builtin_cpu_is("amd");
#else
    const int tokens = amx;
#endif
    cr_assert_eq(became(8, DAL_NN_AUTO, DAL_NN_PRECISION_AUTO, &told, &by), amx ? DAL_NN_BF16 : DAL_NN_F32);
    cr_assert_eq(by, DAL_NN_ONEDNN);
    cr_assert_eq(strstr(told, "bf16") != NULL, amx);
    cr_assert_eq(became(0, DAL_NN_AUTO, DAL_NN_PRECISION_AUTO, &told, &by), tokens ? DAL_NN_BF16 : DAL_NN_F32);
    cr_assert_eq(by, tokens ? DAL_NN_ONEDNN : DAL_NN_OPENBLAS);
}

Test(nn_half, refuses_what_is_no_precision)
{
    dal_runtime *rt = fx_runtime(1, 1);
    dal_error err = DAL_ERROR_INIT;
    dal_nn *nn = dal_nn_new(dal_runtime_host(rt, "nn"));
    dal_nn_train_in(nn, DAL_NN_PRECISION_AUTO + 1);
    dal_nn_output(nn, dal_nn_linear(nn, dal_nn_input(nn, 1, 1, 1), "output", 2, 0));
    cr_assert_eq(dal_nn_finish(nn, &err), DAL_E_INVALID);
    cr_assert(strstr(err.text, "3 is no precision"), "%s", err.text);
    dal_nn_free(nn);
    dal_runtime_free(rt);
}
