/* Networks of layers: numbers against slow twins and finite differences, the same bits everywhere. */
#include "tests/unit/nn_networks.h"

/* ---- numbers ------------------------------------------------------------------------------------ */

static void convolve_all(void)
{
    static const struct {
        int64_t c, h, w, out, kernel, stride, pad, groups;
    } all[] = {{1, 5, 5, 1, 3, 1, 1, 1}, {3, 8, 6, 4, 3, 2, 1, 1}, {4, 7, 7, 6, 1, 1, 0, 2}, {4, 7, 9, 4, 5, 3, 2, 4},
               {2, 6, 6, 3, 1, 2, 0, 1}, {2, 4, 4, 5, 4, 1, 0, 1}, {3, 5, 5, 2, 7, 2, 3, 1}, {16, 5, 7, 32, 3, 1, 1, 1},
                  {16, 6, 5, 16, 3, 2, 1, 16}, {1, 9, 8, 16, 5, 1, 0, 1}, {32, 5, 5, 48, 1, 2, 0, 2},
                  {12, 5, 4, 20, 3, 1, 1, 2}};
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
                                               (double)x[i * info.n_inputs + ((f / og * cg + c) * all[s].h +
                                                                              iy) * all[s].w + ix];
                                }
                        cr_assert_float_eq((double)p->value[y][i * o[0] * o[1] * o[2] + (f * o[1] + oy) * o[2] + ox],
                                           sum, 1e-4, "shape %zu", s);
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
    cr_assert_leq(off, (int)(f.info.n_weights / by / 50), "%d of %lld gradients are off", off,
                  (long long)f.info.n_weights);
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
    const dal_nn_rule rule = {.struct_size = sizeof rule, .optimizer = DAL_NN_SGD, .learning_rate = 0.05,
                              .momentum = 0.9, .weight_decay = 1e-3, .nesterov = 1};
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
        cr_assert_eq(memcmp(p->value[f.info.output], together, (size_t)(3 * n) * sizeof(float)), 0, "%lld samples",
                     (long long)n);
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
