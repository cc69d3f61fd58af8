/* Networks of layers: back ends, learning, steps, what they refuse. */
#include "tests/unit/nn_networks.h"

#include <dirent.h>

/* ---- back ends ---------------------------------------------------------------------------------- */

/* The gradient of a step of the case's back end into g, the stage of a pass into stage, as many as there are. */
static void both_ways(float **g, float **stage, int64_t *n, int64_t *m,
                      dal_status (*between)(void *, const dal_nn_step_view *))
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

/* 3x3 convolutions so wide that they go by fewer products while training, over maps that no tile fits: large tiles,
 * then small. */
static dal_nn_value wide_layers(dal_nn *nn)
{
    const dal_nn_value x = conv(nn, dal_nn_input(nn, 1, 7, 5), 128, 1, 1, 0, 1, DAL_NN_BIAS | DAL_NN_RELU);
    const dal_nn_value y = conv(nn, x, 128, 3, 1, 1, 1, DAL_NN_BIAS | DAL_NN_RELU);
    return conv(nn, dal_nn_add(nn, x, y, 0), 144, 3, 1, 1, 1, 0);
}

static dal_nn_value narrow_layers(dal_nn *nn)
{
    const dal_nn_value x = conv(nn, dal_nn_input(nn, 1, 7, 5), 64, 4, 1, 0, 1, DAL_NN_BIAS | DAL_NN_RELU);
    const dal_nn_value y = conv(nn, x, 64, 3, 1, 1, 1, DAL_NN_BIAS | DAL_NN_RELU);
    return conv(nn, dal_nn_add(nn, x, y, 0), 80, 3, 1, 1, 1, 0);
}

/* Maps of 4x2, 2x1 and 1x1 places, which go tap by tap; some into sums. */
static dal_nn_value small_layers(dal_nn *nn)
{
    dal_nn_value x = conv(nn, dal_nn_input(nn, 1, 7, 5), 32, 4, 1, 0, 1, DAL_NN_RELU);
    x = conv(nn, x, 48, 3, 2, 1, 1, DAL_NN_BIAS | DAL_NN_RELU);
    const dal_nn_value y = conv(nn, x, 48, 3, 1, 1, 1, DAL_NN_BIAS);
    x = conv(nn, dal_nn_add(nn, x, y, DAL_NN_RELU), 32, 3, 2, 1, 1, 0);
    return dal_nn_add(nn, x, conv(nn, x, 32, 3, 1, 1, 1, DAL_NN_BIAS | DAL_NN_RELU), 0);
}

/* Maps of 2x2, whose zeros around are folded away. */
static dal_nn_value folded_layers(dal_nn *nn)
{
    dal_nn_value x = conv(nn, dal_nn_input(nn, 1, 7, 5), 32, 4, 3, 1, 1, DAL_NN_RELU);
    x = conv(nn, x, 48, 3, 1, 1, 1, DAL_NN_BIAS | DAL_NN_RELU);
    return conv(nn, dal_nn_add(nn, x, conv(nn, x, 48, 3, 1, 1, 1, DAL_NN_BIAS), DAL_NN_RELU), 32, 3, 1, 1, 1, 0);
}

/* 5x5 filters over maps of 7x5, 11x9, 11x9 again, to 7x5. */
static dal_nn_value five_layers(dal_nn *nn)
{
    const dal_nn_value x = conv(nn, dal_nn_input(nn, 1, 7, 5), 32, 1, 1, 0, 1, DAL_NN_BIAS | DAL_NN_RELU);
    const dal_nn_value y = conv(nn, x, 48, 5, 1, 4, 1, DAL_NN_BIAS | DAL_NN_RELU);
    return conv(nn, dal_nn_add(nn, y, conv(nn, y, 48, 5, 1, 2, 1, 0), 0), 32, 5, 1, 0, 1, DAL_NN_BIAS);
}

/* The gradient of 13 samples, and the logits of a tile by ready weights; returns how many weights. */
static int64_t gradient_of(dal_nn_value (*layers)(dal_nn *), int threads, float *g, float *logits)
{
    dal_runtime *rt = fx_runtime(threads, 1);
    const dal_host *host = dal_runtime_host(rt, "nn");
    fixture f = {.n = 13, .info = {.struct_size = sizeof f.info}};
    int32_t classes[13] = {0, 1, 2, 0, 1, 1};
    f.nn = dal_nn_new(host);
    dal_nn_use(f.nn, backend);
    dal_nn_output(f.nn, dal_nn_linear(f.nn, dal_nn_global_pool(f.nn, layers(f.nn)), "output", 3, DAL_NN_BIAS));
    cr_assert_eq(dal_nn_finish(f.nn, NULL), DAL_OK);
    dal_nn_describe(f.nn, &f.info);
    const int64_t n = f.info.n_weights;
    f.classes = classes;
    f.weights = draw(n, 1);
    for (int64_t i = 0; i < n; i++)
        f.weights[i] *= 0.05f;
    f.x = draw(13 * 35, 2);
    dal_nn_trainer *t = dal_nn_trainer_new(f.nn, host, f.weights, NULL, 13, NULL);
    loss_at(&f, t);
    memcpy(g, dal_nn_gradient(t), (size_t)n * sizeof *g);
    dal_nn_ready *r = dal_nn_ready_new(f.nn, host, f.weights, NULL, NULL);
    dal_nn_pass *p = dal_nn_ready_pass(r, host, NULL);
    memcpy(p->value[0], f.x, 13 * 35 * sizeof(float));
    cr_assert_eq(dal_nn_run(f.nn, f.weights, NULL, p, 13, 0, f.info.output, NULL), DAL_OK);
    memcpy(logits, p->value[f.info.output], 39 * sizeof *logits);
    dal_nn_pass_free(p);
    dal_nn_ready_free(r);
    dal_nn_trainer_free(t);
    dal_nn_free(f.nn);
    free(f.weights);
    free(f.x);
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
    return n;
}

/* from [n_layers + 1]: where the weights of each begin. */
static void has_the_same_gradient(dal_nn_value (*layers)(dal_nn *), const int64_t *from, int n_layers)
{
    const size_t bytes = (size_t)from[n_layers] * sizeof(float);
    float *plain = malloc(bytes), *few = malloc(bytes), *again = malloc(bytes), logits[2][39];
    next_case(0);
    cr_assert_eq(gradient_of(layers, 2, plain, logits[0]), from[n_layers]);
    if (next_case(1)) {
        gradient_of(layers, 1, few, logits[1]);
        for (int i = 0; i < n_layers; i++) /* each by its own size */
            cr_assert_lt(furthest(plain + from[i], few + from[i], from[i + 1] - from[i]), 1e-4, "layer %d", i);
        cr_assert_lt(furthest(logits[0], logits[1], 39), 1e-5);
        for (int threads = 2; threads < 4; threads++) {
            gradient_of(layers, threads, again, logits[1]);
            cr_assert_eq(memcmp(few, again, bytes), 0, "%d threads", threads);
        }
    }
    free(plain);
    free(few);
    free(again);
}

Test(nn, has_the_same_gradient_by_fewer_products)
{
    enum { A = 256, B = A + 128 * 128 * 9 + 128, C = B + 128 * 144 * 9, D = C + 144 * 3 + 3 };
    enum { E = 64 * 16 + 64, F = E + 64 * 64 * 9 + 64, G = F + 64 * 80 * 9, H = G + 80 * 3 + 3 };
    has_the_same_gradient(wide_layers, (const int64_t[]){0, A, B, C, D}, 4);
    has_the_same_gradient(narrow_layers, (const int64_t[]){0, E, F, G, H}, 4);
}

Test(nn, has_the_same_gradient_of_few_places_and_of_many_taps)
{
    enum { A = 32 * 16, B = A + 48 * 32 * 9 + 48, C = B + 48 * 48 * 9 + 48, D = C + 32 * 48 * 9, E = D + 32 * 3 + 3 };
    enum { F = 32 + 32, G = F + 48 * 32 * 25 + 48, H = G + 48 * 48 * 25, I = H + 32 * 48 * 25 + 32,
          J = I + 32 * 3 + 3 };
    has_the_same_gradient(folded_layers, (const int64_t[]){0, A, B, C, D, E}, 5);
    has_the_same_gradient(five_layers, (const int64_t[]){0, F, G, H, I, J}, 5);
}

Test(nn, has_the_same_gradient_tap_by_tap)
{
    enum { A = 32 * 16, B = A + 48 * 32 * 9 + 48, C = B + 48 * 48 * 9 + 48, D = C + 32 * 48 * 9,
          E = D + 32 * 32 * 9 + 32,
           F = E + 32 * 3 + 3 };
    has_the_same_gradient(small_layers, (const int64_t[]){0, A, B, C, D, E, F}, 6);
}

/* dx [3 samples] of the sum of squares of a convolution; to: room for them. */
static int64_t pull_image(const int64_t c[3], const int64_t conv_[4], float *to)
{
    dal_runtime *rt = fx_runtime(1, 1);
    const dal_host *host = dal_runtime_host(rt, "nn");
    dal_nn *nn = dal_nn_new(host);
    dal_nn_info info = {.struct_size = sizeof info};
    dal_nn_use(nn, backend);
    dal_nn_value y = conv(nn, dal_nn_input(nn, c[0], c[1], c[2]), conv_[0], conv_[1], conv_[2], conv_[3], 1,
                          DAL_NN_BIAS);
    y = dal_nn_relu(nn, y);
    dal_nn_output(nn, dal_nn_linear(nn, dal_nn_global_pool(nn, y), "output", 3, DAL_NN_BIAS));
    cr_assert_eq(dal_nn_finish(nn, NULL), DAL_OK);
    dal_nn_describe(nn, &info);
    float *w = draw(info.n_weights, 3), *x = draw(3 * info.n_inputs, 4);
    dal_nn_pass *p = dal_nn_pass_new(nn, host, 1, NULL);
    memcpy(p->value[0], x, (size_t)(3 * info.n_inputs) * sizeof *x);
    cr_assert_eq(dal_nn_run(nn, w, NULL, p, 3, 0, info.output, NULL), DAL_OK);
    memcpy(p->d[info.output], p->value[info.output], 9 * sizeof(float));
    cr_assert_eq(dal_nn_run_back(nn, w, NULL, p, 3, NULL), DAL_OK);
    memcpy(to, p->d[0], (size_t)(3 * info.n_inputs) * sizeof *to);
    dal_nn_pass_free(p);
    dal_nn_free(nn);
    free(w);
    free(x);
    dal_runtime_free(rt);
    return 3 * info.n_inputs;
}

Test(nn, sends_the_same_gradient_to_images_of_few_channels)
{
    static const int64_t image[][3] = {{3, 19, 17}, {1, 9, 8}, {4, 33, 35}, {15, 6, 5}};
    /* in rows of several bands, too */
    static const int64_t with[][4] = {{32, 7, 2, 3}, {16, 5, 1, 0}, {48, 3, 1, 1}, {16, 1, 2, 0}};
    for (size_t i = 0; i < sizeof image / sizeof *image; i++) {
        float plain[3 * 4 * 33 * 35], other[3 * 4 * 33 * 35];
        next_case(0);
        const int64_t n = pull_image(image[i], with[i], plain);
        if (!next_case(1))
            return;
        pull_image(image[i], with[i], other);
        cr_assert_lt(furthest(plain, other, n), 1e-5, "image %zu", i);
    }
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
                                  .beta2 = 0.999, .epsilon = 1e-8,
                                  .learning_rate = optimizer == DAL_NN_SGD ? wide ? 0.01 : 0.05 : 0.01};
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
                                            "no value of this network", "the network has no output",
                                            "no other layer reads"};
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

/* ---- steps --------------------------------------------------------------------------------------- */

static dal_nn_result one_step(fixture *f, const dal_nn_rule *rule)
{
    dal_nn_trainer *t = dal_nn_trainer_new(f->nn, f->host, f->weights, f->state, f->n, NULL);
    const dal_nn_batch b = batch_of(f);
    dal_nn_result r = {.struct_size = sizeof r};
    cr_assert_eq(dal_nn_train(t, rule, &b, &r, NULL), DAL_OK);
    dal_nn_trainer_free(t);
    return r;
}

Test(nn_steps, shorten_the_gradient_of_all_layers_together)
{
    const dal_nn_rule plain = {.struct_size = sizeof plain, .optimizer = DAL_NN_SGD, .learning_rate = 1};
    dal_nn_rule clipped = plain;
    fixture whole = make(2, 11, 0), less = make(2, 11, 0);
    float *before = malloc((size_t)whole.info.n_weights * sizeof *before);
    double norm = 0;
    memcpy(before, whole.weights, (size_t)whole.info.n_weights * sizeof *before);
    one_step(&whole, &plain);
    for (int64_t i = 0; i < whole.info.n_weights; i++)
        norm += pow((double)before[i] - (double)whole.weights[i], 2);
    clipped.clip = sqrt(norm) / 8;
    one_step(&less, &clipped);
    for (int64_t i = 0; i < whole.info.n_weights; i++)
        cr_assert_float_eq(8 * ((double)before[i] - (double)less.weights[i]),
                           (double)before[i] - (double)whole.weights[i], 1e-5, "weight %d", (int)i);
    free(before);
    drop(&whole);
    drop(&less);
}

/* A rate so small that the loss moves nothing. */
Test(nn_steps, spare_biases_and_gains_when_they_are_told_to)
{
    for (uint32_t spare = 0; spare < 2; spare++) {
        const dal_nn_rule rule = {.struct_size = sizeof rule, .optimizer = DAL_NN_ADAM, .learning_rate = 1e-12,
                                  .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8, .weight_decay = 2.5e11,
                                  .decoupled = 1, .spare = spare, .l2 = 1e-9};
        fixture f = make(2, 11, 0);
        float *before = malloc((size_t)f.info.n_weights * sizeof *before);
        double squares = 0;
        memcpy(before, f.weights, (size_t)f.info.n_weights * sizeof *before);
        const dal_nn_result r = one_step(&f, &rule);
        for (int64_t p = 0; p < f.info.n_parameters; p++) {
            const dal_parameter *k = dal_nn_parameter(f.nn, p);
            const double keep = spare && k->role != DAL_ROLE_WEIGHT ? 1 : 0.75;
            for (int64_t i = k->offset; i < k->offset + k->count; i++) {
                cr_assert_float_eq((double)f.weights[i], keep * (double)before[i], 1e-6, "%s", k->name);
                squares += k->role == DAL_ROLE_WEIGHT ? pow((double)before[i], 2) : 0;
            }
        }
        cr_assert_float_eq(r.squares, squares, 1e-3);
        free(before);
        drop(&f);
    }
}
