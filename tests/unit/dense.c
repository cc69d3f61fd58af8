#include "tests/unit/models.h"

#include "tests/unit/dense_twin.h"

enum { N = 37, IN = 6, C = 4 };

/* A small network and a batch for it. */
typedef struct small {
    dal_dense net;
    float weights[256], x[N * IN], sample_weights[N];
    int32_t classes[N];
    double l2;
} small;

static small make(const int64_t *widths, int64_t n_layers)
{
    small s = {.l2 = 0};
    const dal_rng stream = dal_rng_from_key(5);
    dal_rng rng = dal_rng_from_key(6);
    cr_assert_eq(dal_dense_shape(&s.net, widths, n_layers, NULL), DAL_OK);
    cr_assert_leq(s.net.n_weights, 256);
    dal_dense_draw(&s.net, &stream, s.weights);
    for (int i = 0; i < N * IN; i++)
        s.x[i] = (float)dal_rng_normal(&rng);
    for (int i = 0; i < N; i++) {
        s.classes[i] = (int32_t)dal_rng_below(&rng, C);
        s.sample_weights[i] = (float)(i % 3);
    }
    return s;
}

/* What dal_dense_train says it minimises. */
static double weighted_loss(const void *ctx, const dal_dense *net, const double *w)
{
    const small *s = ctx;
    double values_of[64], loss = 0, squares = 0;
    const double *values[4];
    for (int i = 0; i < N; i++) {
        twin_forward(net, w, s->x + i * IN, values_of, values);
        loss += (double)s->sample_weights[i] *
                twin_cross_entropy(values[net->n_layers - 1], C, s->classes[i]);
    }
    for (int32_t l = 0; l < net->n_layers; l++)
        for (int64_t i = net->layer[l].weight; i < net->layer[l].bias; i++)
            squares += w[i] * w[i];
    return loss / N + s->l2 / (2 * N) * squares;
}

static dal_dense_batch batch_of(const small *s)
{
    return (dal_dense_batch){.struct_size = sizeof(dal_dense_batch), .n = N, .n_labelled = N,
                             .classes = s->classes, .weights = s->sample_weights, .rows = s->x,
                             .dropout = dal_rng_from_key(9)};
}

static const dal_dense_rule plain_sgd = {.struct_size = sizeof plain_sgd, .optimizer = DAL_DENSE_SGD,
                                         .learning_rate = 1};

static void one_plain_step_is_the_gradient(const int64_t *widths, int64_t n_layers)
{
    small s = make(widths, n_layers), before = s;
    double want[256];
    dal_dense_result result;
    dal_runtime *rt = fx_runtime(2, 1);
    dal_dense_rule rule = plain_sgd;
    rule.l2 = s.l2 = 0.3;
    twin_gradient(weighted_loss, &s, &s.net, s.weights, want);
    dal_dense_trainer *t = dal_dense_trainer_new(dal_runtime_host(rt, "t"), &s.net, s.weights, &rule, N, NULL);
    const dal_dense_batch b = batch_of(&s);
    cr_assert_eq(dal_dense_train(t, &b, &result, NULL), DAL_OK);
    for (int64_t i = 0; i < s.net.n_weights; i++)
        cr_assert_float_eq((double)(before.weights[i] - s.weights[i]), want[i], 2e-6, "weight %d", (int)i);
    double w[256];
    for (int64_t i = 0; i < s.net.n_weights; i++)
        w[i] = (double)before.weights[i];
    cr_assert_float_eq(result.loss / N + s.l2 / (2 * N) * result.squares, weighted_loss(&s, &s.net, w), 1e-6);
    dal_dense_trainer_free(t);
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
}

Test(dense, steps_along_the_gradient_of_every_weight)
{
    one_plain_step_is_the_gradient((const int64_t[]){IN, 7, 5, C}, 3);
    one_plain_step_is_the_gradient((const int64_t[]){IN, 9, C}, 2);
    one_plain_step_is_the_gradient((const int64_t[]){IN, C}, 1);
}

Test(dense, sums_gradients_without_moving)
{
    small s = make((const int64_t[]){IN, 7, 5, C}, 3);
    const small before = s;
    double want[256], got[256];
    dal_dense_result result;
    dal_runtime *rt = fx_runtime(2, 1);
    const dal_dense_rule rule = {.struct_size = sizeof rule, .l2 = 5, .dropout = 0.5};
    twin_gradient(weighted_loss, &s, &s.net, s.weights, want);
    dal_dense_trainer *t = dal_dense_trainer_new(dal_runtime_host(rt, "t"), &s.net, s.weights, &rule, N, NULL);
    const dal_dense_batch b = batch_of(&s);
    for (int64_t i = 0; i < s.net.n_weights; i++)
        got[i] = 1;
    cr_assert_eq(dal_dense_gradient(t, &b, got, &result, NULL), DAL_OK);
    for (int64_t i = 0; i < s.net.n_weights; i++)
        cr_assert_float_eq(got[i], 1 + N * want[i], 1e-4, "weight %d", (int)i);
    cr_assert_arr_eq(s.weights, before.weights, s.net.n_weights * (int64_t)sizeof *s.weights);
    dal_dense_trainer_free(t);
    dal_runtime_free(rt);
}

/* Loss and weights after one step with dropout, from weights where number i is moved by `by`. */
static double dropped_loss(const small *s, int64_t i, float by, float *stepped)
{
    small moved = *s;
    dal_dense_result result;
    dal_runtime *rt = fx_runtime(1, 1);
    dal_dense_rule rule = plain_sgd;
    rule.dropout = 0.4;
    moved.weights[i] += by;
    dal_dense_trainer *t =
        dal_dense_trainer_new(dal_runtime_host(rt, "t"), &s->net, moved.weights, &rule, N, NULL);
    const dal_dense_batch b = batch_of(s);
    cr_assert_eq(dal_dense_train(t, &b, &result, NULL), DAL_OK);
    if (stepped)
        memcpy(stepped, moved.weights, sizeof moved.weights);
    dal_dense_trainer_free(t);
    dal_runtime_free(rt);
    return result.loss / N;
}

Test(dense, sends_gradients_through_the_units_that_dropout_kept)
{
    const small s = make((const int64_t[]){IN, 7, 5, C}, 3);
    float stepped[256];
    double plain[256];
    int differ = 0;
    twin_gradient(weighted_loss, &s, &s.net, s.weights, plain);
    dropped_loss(&s, 0, 0, stepped);
    for (int64_t i = 0; i < s.net.n_weights; i += 3) {
        const double got = (double)s.weights[i] - (double)stepped[i];
        const double want = (dropped_loss(&s, i, 1e-3f, NULL) - dropped_loss(&s, i, -1e-3f, NULL)) / 2e-3;
        cr_assert_float_eq(got, want, 2e-3, "weight %d", (int)i);
        differ += fabs(got - plain[i]) > 0.02;
    }
    cr_assert_gt(differ, 5, "dropout must have changed the gradient");
}

Test(dense, adam_follows_its_definition)
{
    enum { STEPS = 5 };
    small s = make((const int64_t[]){IN, C}, 1);
    double w[256], m[256] = {0}, v[256] = {0}, g[256];
    dal_dense_result result;
    dal_runtime *rt = fx_runtime(1, 1);
    const dal_dense_rule rule = {.struct_size = sizeof rule, .optimizer = DAL_DENSE_ADAM, .learning_rate = 0.01,
                                 .beta1 = 0.9, .beta2 = 0.99, .epsilon = 1e-6, .weight_decay = 0.5};
    for (int64_t i = 0; i < s.net.n_weights; i++)
        w[i] = (double)s.weights[i];
    dal_dense_trainer *t = dal_dense_trainer_new(dal_runtime_host(rt, "t"), &s.net, s.weights, &rule, N, NULL);
    const dal_dense_batch b = batch_of(&s);
    for (int step = 1; step <= STEPS; step++) {
        twin_gradient(weighted_loss, &s, &s.net, s.weights, g);
        for (int64_t i = 0; i < s.net.n_weights; i++) {
            m[i] = 0.9 * m[i] + 0.1 * g[i];
            v[i] = 0.99 * v[i] + 0.01 * g[i] * g[i];
            const double rate = 0.01 * sqrt(1 - pow(0.99, step)) / (1 - pow(0.9, step));
            const double decay = i < s.net.layer[0].bias ? 0.01 * 0.5 * w[i] : 0;
            w[i] -= rate * m[i] / (sqrt(v[i]) + 1e-6) + decay;
        }
        cr_assert_eq(dal_dense_train(t, &b, &result, NULL), DAL_OK);
    }
    for (int64_t i = 0; i < s.net.n_weights; i++)
        cr_assert_float_eq((double)s.weights[i], w[i], 2e-5, "weight %d", (int)i);
    dal_dense_trainer_free(t);
    dal_runtime_free(rt);
}

static void sgd_follows(uint32_t nesterov)
{
    small s = make((const int64_t[]){IN, C}, 1);
    double w[256], velocity[256] = {0}, g[256];
    dal_dense_result result;
    dal_runtime *rt = fx_runtime(1, 1);
    dal_dense_rule rule = plain_sgd;
    rule.learning_rate = 0.1;
    rule.momentum = 0.8;
    rule.nesterov = nesterov;
    for (int64_t i = 0; i < s.net.n_weights; i++)
        w[i] = (double)s.weights[i];
    dal_dense_trainer *t = dal_dense_trainer_new(dal_runtime_host(rt, "t"), &s.net, s.weights, &rule, N, NULL);
    const dal_dense_batch b = batch_of(&s);
    for (int step = 0; step < 4; step++) {
        twin_gradient(weighted_loss, &s, &s.net, s.weights, g);
        for (int64_t i = 0; i < s.net.n_weights; i++) {
            velocity[i] = 0.8 * velocity[i] - 0.1 * g[i];
            w[i] += nesterov ? 0.8 * velocity[i] - 0.1 * g[i] : velocity[i];
        }
        cr_assert_eq(dal_dense_train(t, &b, &result, NULL), DAL_OK);
    }
    for (int64_t i = 0; i < s.net.n_weights; i++)
        cr_assert_float_eq((double)s.weights[i], w[i], 1e-5, "weight %d", (int)i);
    dal_dense_trainer_free(t);
    dal_runtime_free(rt);
}

Test(dense, momentum_follows_its_definition)
{
    sgd_follows(0);
    sgd_follows(1);
}

Test(dense, keeps_the_loss_of_absurd_logits_exact)
{
    /* two columns of three logits: certain and right, certain and wrong */
    const float z[6] = {1000, 1000, -1000, -1000, 0, 0}, scale[2] = {1, 1};
    const int32_t classes[2] = {0, 1};
    float losses[2], hits[2], d[6];
    dal_dense_cross_entropy(z, 3, 2, 2, classes, scale, losses, hits, d);
    cr_assert_eq(losses[0], 0.0f);
    cr_assert_eq(losses[1], 2000.0f);
    cr_assert_eq(hits[0], 1.0f);
    cr_assert_eq(hits[1], 0.0f);
    cr_assert_arr_eq(d, ((float[]){0, 1, 0, -1, 0, 0}), 6 * sizeof *d);
}

Test(dense, counts_the_lowest_of_equal_classes)
{
    const float z[6] = {1, 1, 1, 1, 0, 0}, scale[2] = {1, 1};
    float losses[2], hits[2], d[6];
    dal_dense_cross_entropy(z, 3, 2, 2, (const int32_t[]){0, 1}, scale, losses, hits, d);
    cr_assert_eq(hits[0], 1.0f);
    cr_assert_eq(hits[1], 0.0f);
}

Test(dense, refuses_shapes_that_cannot_be)
{
    dal_dense net;
    dal_error err = DAL_ERROR_INIT;
    int64_t many[80];
    for (int i = 0; i < 80; i++)
        many[i] = 2;
    fx_expect(&err, dal_dense_shape(&net, many, 65, &err), DAL_E_INVALID, "hidden", "65 layers");
    fx_expect(&err, dal_dense_shape(&net, (const int64_t[]){4, 0, 2}, 2, &err), DAL_E_OVERFLOW, "hidden",
              "layer 0 would have 4 inputs and 0 outputs");
    fx_expect(&err, dal_dense_shape(&net, (const int64_t[]){4, (int64_t)1 << 40, 2}, 2, &err), DAL_E_OVERFLOW,
              "hidden", "cannot be held");
    for (int i = 0; i < 80; i++)
        many[i] = INT32_MAX;
    fx_expect(&err, dal_dense_shape(&net, many, 60, &err), DAL_E_OVERFLOW, "hidden", "cannot be held");
}

Test(dense, refuses_batches_the_network_has_no_outputs_for)
{
    small s = make((const int64_t[]){IN, C}, 1);
    dal_error err = DAL_ERROR_INIT;
    dal_dense_result result;
    dal_runtime *rt = fx_runtime(1, 1);
    dal_dense_trainer *t =
        dal_dense_trainer_new(dal_runtime_host(rt, "t"), &s.net, s.weights, &plain_sgd, 16, NULL);
    dal_dense_batch b = batch_of(&s);
    fx_expect(&err, dal_dense_train(t, &b, &result, &err), DAL_E_INVALID, "", "a batch of 37 rows");
    b.n = b.n_labelled = 5;
    s.classes[3] = C;
    fx_expect(&err, dal_dense_train(t, &b, &result, &err), DAL_E_INVALID, "", "class 4; expected 0..3");
    dal_dense_trainer_free(t);
    dal_runtime_free(rt);
}
