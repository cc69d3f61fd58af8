/* Rules of a step that other tests do not know: Adadelta, and rows that are kept short. */
#include "tests/unit/nn_networks.h"

static void gradient_of(fixture *f, dal_nn_trainer *t, float *g)
{
    loss_at(f, t);
    memcpy(g, dal_nn_gradient(t), (size_t)f->info.n_weights * sizeof *g);
}

/* A fully connected network trains another way than the others. */
static fixture make_kind(int connected)
{
    fixture f = make(2, 11, 0);
    if (!connected)
        return f;
    const dal_rng r = dal_rng_from_key(5);
    dal_nn_free(f.nn);
    f.nn = dal_nn_new(f.host);
    dal_nn_value x = dal_nn_linear(f.nn, dal_nn_input(f.nn, 2, 9, 7), "hidden", 13, DAL_NN_BIAS | DAL_NN_RELU);
    dal_nn_output(f.nn, dal_nn_linear(f.nn, x, "output", 3, DAL_NN_BIAS));
    cr_assert_eq(dal_nn_finish(f.nn, NULL), DAL_OK);
    dal_nn_describe(f.nn, &f.info);
    free(f.weights);
    f.weights = malloc((size_t)f.info.n_weights * sizeof *f.weights);
    dal_nn_draw(f.nn, DAL_NN_UNIFORM, &r, f.weights, f.state);
    return f;
}

static void step(fixture *f, dal_nn_trainer *t, const dal_nn_rule *rule)
{
    const dal_nn_batch b = batch_of(f);
    dal_nn_result r = {.struct_size = sizeof r};
    cr_assert_eq(dal_nn_train(t, rule, &b, &r, NULL), DAL_OK);
}

/* Zeiler 2012, algorithm 1. */
static void adadelta_by_hand(int connected)
{
    fixture f = make_kind(connected);
    const int64_t n = f.info.n_weights;
    const dal_nn_rule rule = {.struct_size = sizeof rule, .optimizer = DAL_NN_ADADELTA, .learning_rate = 0.8,
                              .beta2 = 0.95, .epsilon = 1e-6, .weight_decay = 0.01};
    dal_nn_trainer *t = dal_nn_trainer_new(f.nn, f.host, f.weights, f.state, f.n, NULL);
    float *g = malloc((size_t)n * sizeof *g);
    double *moves = calloc((size_t)n, sizeof *moves), *squares = calloc((size_t)n, sizeof *squares);
    for (int s = 0; s < 4; s++) {
        double *want = malloc((size_t)n * sizeof *want);
        gradient_of(&f, t, g);
        for (int64_t i = 0; i < n; i++) {
            const double d = (double)g[i] + 0.01 * (double)f.weights[i];
            squares[i] = 0.95 * squares[i] + 0.05 * d * d;
            const double move = sqrt(moves[i] + 1e-6) / sqrt(squares[i] + 1e-6) * d;
            moves[i] = 0.95 * moves[i] + 0.05 * move * move;
            want[i] = (double)f.weights[i] - 0.8 * move;
        }
        step(&f, t, &rule);
        for (int64_t i = 0; i < n; i++)
            cr_assert_float_eq((double)f.weights[i], want[i], 1e-5, "step %d, weight %lld", s, (long long)i);
        free(want);
    }
    free(g), free(moves), free(squares);
    dal_nn_trainer_free(t);
    drop(&f);
}

Test(nn_rules, adadelta_follows_its_definition)
{
    for (int i = 0; next_case(i); i++)
        for (int connected = 0; connected < 2; connected++)
            adadelta_by_hand(connected);
}

/* Rows of the last layer are what they were without a limit, or that shortened to it. */
static void shorten(int connected)
{
    fixture f = make_kind(connected), free_one = make_kind(connected);
    dal_nn_rule rule = {.struct_size = sizeof rule, .optimizer = DAL_NN_SGD, .learning_rate = 0.5};
    dal_nn_trainer *t = dal_nn_trainer_new(f.nn, f.host, f.weights, f.state, f.n, NULL);
    dal_nn_trainer *u = dal_nn_trainer_new(free_one.nn, free_one.host, free_one.weights, free_one.state, f.n, NULL);
    const dal_parameter *last = dal_nn_parameter(f.nn, f.info.n_parameters - 2);
    const int64_t in = last->count / 3;
    double norm[3], middle = 0;
    step(&free_one, u, &rule);
    for (int c = 0; c < 3; c++) {
        norm[c] = 0;
        for (int64_t i = 0; i < in; i++)
            norm[c] += pow((double)free_one.weights[last->offset + c * in + i], 2);
        norm[c] = sqrt(norm[c]);
    }
    middle = fmax(fmin(norm[0], norm[1]), fmin(fmax(norm[0], norm[1]), norm[2]));
    rule.max_norm = 0.99 * middle; /* two are longer */
    step(&f, t, &rule);
    for (int64_t i = 0; i < f.info.n_weights; i++) {
        const int64_t at = i - last->offset;
        const double was = (double)free_one.weights[i], length = at >= 0 && at < last->count ? norm[at / in] : 0;
        cr_assert_float_eq((double)f.weights[i], length > rule.max_norm ? was * rule.max_norm / length : was, 1e-6,
                           "%lld", (long long)i);
    }
    dal_nn_trainer_free(t);
    dal_nn_trainer_free(u);
    drop(&f);
    drop(&free_one);
}

Test(nn_rules, shortens_rows_that_are_too_long)
{
    for (int i = 0; next_case(i); i++)
        for (int connected = 0; connected < 2; connected++)
            shorten(connected);
}
