/* Fully connected networks, which are trained in a way of their own. */
#include "tests/unit/models.h"

#include <dal/nn.h>

#include "tests/unit/dense_twin.h"

enum { N = 37, IN = 6, C = 4 };

/* A small network and a batch for it. Plain data: a copy is another one. */
typedef struct small {
    twin_net net;
    float weights[256], x[N * IN], sample_weights[N];
    int32_t classes[N];
    double l2, dropout;
} small;

static dal_nn *declare(const dal_host *host, const small *s)
{
    dal_nn *nn = dal_nn_new(host);
    dal_nn_value x = dal_nn_input(nn, s->net.layer[0].in, 1, 1);
    for (int32_t l = 0; l + 1 < s->net.n_layers; l++) {
        char name[16];
        snprintf(name, sizeof name, "hidden%d", (int)l);
        x = dal_nn_linear(nn, x, name, s->net.layer[l].out, DAL_NN_BIAS | DAL_NN_RELU);
        x = s->dropout > 0 ? dal_nn_dropout(nn, x, s->dropout) : x;
    }
    dal_nn_output(nn, dal_nn_linear(nn, x, "output", s->net.layer[s->net.n_layers - 1].out, DAL_NN_BIAS));
    cr_assert_eq(dal_nn_finish(nn, NULL), DAL_OK);
    return nn;
}

/* A network with its trainer, of the weights of `s`. */
typedef struct subject {
    dal_runtime *rt;
    dal_nn *nn;
    dal_nn_trainer *t;
} subject;

static subject open_subject(small *s, int threads)
{
    subject u = {.rt = fx_runtime(threads, 1)};
    const dal_host *host = dal_runtime_host(u.rt, "t");
    u.nn = declare(host, s);
    u.t = dal_nn_trainer_new(u.nn, host, s->weights, NULL, N, NULL);
    cr_assert(u.t);
    return u;
}

static void close_subject(subject *u)
{
    dal_nn_trainer_free(u->t);
    dal_nn_free(u->nn);
    cr_assert_eq(dal_runtime_allocated(u->rt), 0);
    dal_runtime_free(u->rt);
}

static small make(const int64_t *widths, int32_t n_layers)
{
    small s = {.net = twin_net_of(widths, n_layers)};
    const dal_rng stream = dal_rng_from_key(5);
    dal_rng rng = dal_rng_from_key(6);
    cr_assert_leq(s.net.n_weights, 256);
    dal_runtime *rt = fx_runtime(1, 1);
    dal_nn *nn = declare(dal_runtime_host(rt, "t"), &s);
    dal_nn_draw(nn, DAL_NN_GLOROT, &stream, s.weights, NULL);
    dal_nn_free(nn);
    dal_runtime_free(rt);
    for (int i = 0; i < N * IN; i++)
        s.x[i] = (float)dal_rng_normal(&rng);
    for (int i = 0; i < N; i++) {
        s.classes[i] = (int32_t)dal_rng_below(&rng, C);
        s.sample_weights[i] = (float)(i % 3);
    }
    return s;
}

/* What dal_nn_train says it minimises. */
static double weighted_loss(const void *ctx, const twin_net *net, const double *w)
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

static dal_nn_batch batch_of(const small *s)
{
    return (dal_nn_batch){.struct_size = sizeof(dal_nn_batch), .n = N, .n_labelled = N,
                             .classes = s->classes, .weights = s->sample_weights, .rows = s->x,
                             .dropout = dal_rng_from_key(9)};
}

static const dal_nn_rule plain_sgd = {.struct_size = sizeof plain_sgd, .optimizer = DAL_NN_SGD, .learning_rate = 1};

static dal_nn_result step(subject *u, const small *s, const dal_nn_rule *rule)
{
    const dal_nn_batch b = batch_of(s);
    dal_nn_result r = {.struct_size = sizeof r};
    cr_assert_eq(dal_nn_train(u->t, rule, &b, &r, NULL), DAL_OK);
    return r;
}

static void one_plain_step_is_the_gradient(const int64_t *widths, int32_t n_layers)
{
    small s = make(widths, n_layers), before = s;
    double want[256], w[256];
    dal_nn_rule rule = plain_sgd;
    rule.l2 = s.l2 = 0.3;
    twin_gradient(weighted_loss, &s, &s.net, s.weights, want);
    subject u = open_subject(&s, 2);
    const dal_nn_result r = step(&u, &s, &rule);
    for (int64_t i = 0; i < s.net.n_weights; i++) {
        cr_assert_float_eq((double)(before.weights[i] - s.weights[i]), want[i], 2e-6, "weight %d", (int)i);
        w[i] = (double)before.weights[i];
    }
    cr_assert_float_eq(r.loss / N + s.l2 / (2 * N) * r.squares, weighted_loss(&s, &s.net, w), 1e-6);
    close_subject(&u);
}

Test(nn_chain, steps_along_the_gradient_of_every_weight)
{
    one_plain_step_is_the_gradient((const int64_t[]){IN, 7, 5, C}, 3);
    one_plain_step_is_the_gradient((const int64_t[]){IN, 9, C}, 2);
    one_plain_step_is_the_gradient((const int64_t[]){IN, C}, 1);
}

Test(nn_chain, tells_the_gradient_without_moving)
{
    small s = make((const int64_t[]){IN, 7, 5, C}, 3);
    const small before = s;
    double want[256];
    twin_gradient(weighted_loss, &s, &s.net, s.weights, want);
    subject u = open_subject(&s, 2);
    step(&u, &s, NULL);
    for (int64_t i = 0; i < s.net.n_weights; i++)
        cr_assert_float_eq((double)dal_nn_gradient(u.t)[i], want[i], 2e-6, "weight %d", (int)i);
    cr_assert_arr_eq(s.weights, before.weights, s.net.n_weights * (int64_t)sizeof *s.weights);
    close_subject(&u);
}

/* Loss and weights after one step with dropout, from weights where number i is moved by `by`. */
static double dropped_loss(const small *s, int64_t i, float by, float *stepped)
{
    small moved = *s;
    moved.dropout = 0.4;
    moved.weights[i] += by;
    subject u = open_subject(&moved, 1);
    const dal_nn_result r = step(&u, s, &plain_sgd);
    if (stepped)
        memcpy(stepped, moved.weights, sizeof moved.weights);
    close_subject(&u);
    return r.loss / N;
}

Test(nn_chain, sends_gradients_through_the_units_that_dropout_kept)
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

Test(nn_chain, adam_follows_its_definition)
{
    enum { STEPS = 5 };
    small s = make((const int64_t[]){IN, C}, 1);
    double w[256], m[256] = {0}, v[256] = {0}, g[256];
    const dal_nn_rule rule = {.struct_size = sizeof rule, .optimizer = DAL_NN_ADAM, .learning_rate = 0.01, .beta1 = 0.9,
                              .beta2 = 0.99, .epsilon = 1e-6, .weight_decay = 0.5, .decoupled = 1, .spare = 1,
                              .raw_epsilon = 1};
    for (int64_t i = 0; i < s.net.n_weights; i++)
        w[i] = (double)s.weights[i];
    subject u = open_subject(&s, 1);
    for (int t = 1; t <= STEPS; t++) {
        twin_gradient(weighted_loss, &s, &s.net, s.weights, g);
        for (int64_t i = 0; i < s.net.n_weights; i++) {
            m[i] = 0.9 * m[i] + 0.1 * g[i];
            v[i] = 0.99 * v[i] + 0.01 * g[i] * g[i];
            const double rate = 0.01 * sqrt(1 - pow(0.99, t)) / (1 - pow(0.9, t));
            const double decay = i < s.net.layer[0].bias ? 0.01 * 0.5 * w[i] : 0;
            w[i] -= rate * m[i] / (sqrt(v[i]) + 1e-6) + decay;
        }
        step(&u, &s, &rule);
    }
    for (int64_t i = 0; i < s.net.n_weights; i++)
        cr_assert_float_eq((double)s.weights[i], w[i], 2e-5, "weight %d", (int)i);
    close_subject(&u);
}

/* Dozat 2016, as PyTorch's NAdam writes it. */
Test(nn_chain, nadam_follows_its_definition)
{
    small s = make((const int64_t[]){IN, C}, 1);
    double w[256], m[256] = {0}, v[256] = {0}, g[256], product = 1;
    const dal_nn_rule rule = {.struct_size = sizeof rule, .optimizer = DAL_NN_NADAM, .learning_rate = 0.01,
                              .beta1 = 0.9, .beta2 = 0.99, .epsilon = 1e-6, .weight_decay = 0.1};
    for (int64_t i = 0; i < s.net.n_weights; i++)
        w[i] = (double)s.weights[i];
    subject u = open_subject(&s, 1);
    for (int t = 1; t <= 6; t++) {
        const double mu = 0.9 * (1 - 0.5 * pow(0.96, 0.004 * t)), next = 0.9 * (1 - 0.5 * pow(0.96, 0.004 * (t + 1)));
        twin_gradient(weighted_loss, &s, &s.net, s.weights, g);
        product *= mu;
        for (int64_t i = 0; i < s.net.n_weights; i++) {
            const double d = g[i] + 0.1 * w[i];
            m[i] = 0.9 * m[i] + 0.1 * d;
            v[i] = 0.99 * v[i] + 0.01 * d * d;
            const double root = sqrt(v[i] / (1 - pow(0.99, t))) + 1e-6;
            w[i] -= 0.01 * (1 - mu) / (1 - product) * d / root + 0.01 * next / (1 - product * next) * m[i] / root;
        }
        step(&u, &s, &rule);
    }
    for (int64_t i = 0; i < s.net.n_weights; i++)
        cr_assert_float_eq((double)s.weights[i], w[i], 2e-5, "weight %d", (int)i);
    close_subject(&u);
}

Test(nn_chain, shortens_gradients_that_are_too_long)
{
    small s = make((const int64_t[]){IN, 7, 5, C}, 3), clipped = s, free_to_move = s;
    const small before = s;
    dal_nn_rule rule = plain_sgd;
    double norm = 0;
    subject u = open_subject(&s, 2), c = open_subject(&clipped, 2), f = open_subject(&free_to_move, 2);
    step(&u, &s, &rule);
    for (int64_t i = 0; i < s.net.n_weights; i++)
        norm += pow((double)before.weights[i] - (double)s.weights[i], 2);
    norm = sqrt(norm);
    rule.clip = norm / 4;
    step(&c, &clipped, &rule);
    rule.clip = norm * 4;
    step(&f, &free_to_move, &rule);
    for (int64_t i = 0; i < s.net.n_weights; i++) {
        const double whole = (double)before.weights[i] - (double)s.weights[i];
        cr_assert_float_eq((double)before.weights[i] - (double)clipped.weights[i], whole / 4, 1e-6, "weight %d",
                           (int)i);
    }
    cr_assert_arr_eq(free_to_move.weights, s.weights, (size_t)s.net.n_weights * sizeof *s.weights);
    close_subject(&u);
    close_subject(&c);
    close_subject(&f);
}

static void sgd_follows(uint32_t nesterov)
{
    small s = make((const int64_t[]){IN, C}, 1);
    double w[256], velocity[256] = {0}, g[256];
    dal_nn_rule rule = plain_sgd;
    rule.learning_rate = 0.1;
    rule.momentum = 0.8;
    rule.nesterov = nesterov;
    for (int64_t i = 0; i < s.net.n_weights; i++)
        w[i] = (double)s.weights[i];
    subject u = open_subject(&s, 1);
    for (int t = 0; t < 4; t++) {
        twin_gradient(weighted_loss, &s, &s.net, s.weights, g);
        for (int64_t i = 0; i < s.net.n_weights; i++) {
            velocity[i] = 0.8 * velocity[i] - 0.1 * g[i];
            w[i] += nesterov ? 0.8 * velocity[i] - 0.1 * g[i] : velocity[i];
        }
        step(&u, &s, &rule);
    }
    for (int64_t i = 0; i < s.net.n_weights; i++)
        cr_assert_float_eq((double)s.weights[i], w[i], 1e-5, "weight %d", (int)i);
    close_subject(&u);
}

Test(nn_chain, momentum_follows_its_definition)
{
    sgd_follows(0);
    sgd_follows(1);
}

/* The losses of a batch and their gradient by the logits. */
typedef struct losses {
    float losses[2], d[6];
} losses;

static dal_status keep_losses(void *ctx, const dal_nn_step_view *view)
{
    losses *l = ctx;
    memcpy(l->losses, view->losses, sizeof l->losses);
    memcpy(l->d, view->d[1], sizeof l->d);
    return DAL_OK;
}

/* Two samples whose logits are z [2, 3]: the weights are. */
static dal_nn_result losses_of(const float *z, const int32_t *classes, losses *out)
{
    small s = {.net = twin_net_of((const int64_t[]){2, 3}, 1)};
    const float rows[4] = {1, 0, 0, 1};
    dal_nn_result r = {.struct_size = sizeof r};
    for (int k = 0; k < 6; k++)
        s.weights[k] = z[k % 2 * 3 + k / 2];
    subject u = open_subject(&s, 1);
    const dal_nn_batch b = {.struct_size = sizeof b, .n = 2, .n_labelled = 2, .classes = classes, .rows = rows,
                            .between = keep_losses, .ctx = out};
    cr_assert_eq(dal_nn_train(u.t, NULL, &b, &r, NULL), DAL_OK);
    close_subject(&u);
    return r;
}

Test(nn_chain, keeps_the_loss_of_absurd_logits_exact)
{
    /* certain and right, certain and wrong */
    const float z[6] = {1000, -1000, 0, 1000, -1000, 0};
    losses l;
    const dal_nn_result r = losses_of(z, (const int32_t[]){0, 1}, &l);
    cr_assert_eq(l.losses[0], 0.0f);
    cr_assert_eq(l.losses[1], 2000.0f);
    cr_assert_eq(r.hits, 1);
    cr_assert_arr_eq(l.d, ((float[]){0, 0, 0, 0.5f, -0.5f, 0}), 6 * sizeof *l.d);
}

Test(nn_chain, counts_the_lowest_of_equal_classes)
{
    const float z[6] = {1, 1, 0, 1, 1, 0};
    losses l;
    cr_assert_eq(losses_of(z, (const int32_t[]){0, 0}, &l).hits, 2);
    cr_assert_eq(losses_of(z, (const int32_t[]){1, 1}, &l).hits, 0);
}

Test(nn_chain, refuses_batches_the_network_has_no_outputs_for)
{
    small s = make((const int64_t[]){IN, C}, 1);
    dal_error err = DAL_ERROR_INIT;
    dal_nn_result r = {.struct_size = sizeof r};
    subject u = open_subject(&s, 1);
    dal_nn_batch b = batch_of(&s);
    b.n = N + 1;
    fx_expect(&err, dal_nn_train(u.t, NULL, &b, &r, &err), DAL_E_CONTRACT, "", "a batch of 38 rows");
    b.n = b.n_labelled = 5;
    s.classes[3] = C;
    fx_expect(&err, dal_nn_train(u.t, NULL, &b, &r, &err), DAL_E_INVALID, "", "class 4; expected 0..3");
    close_subject(&u);
}
