/* Losses over rows: values by their formulas, gradients against finite differences, what is refused, and networks that
 * learn by them. */
#include "tests/unit/nn_networks.h"

enum { N = 7, WIDTH = 5 };

#define SOFTMAX 0
#define MSE 1
#define BCE 2
#define RANKING 3

/* Rows of every loss; ranking has one number a row. */
typedef struct rows {
    float x[N * WIDTH], targets[N * WIDTH], weights[N];
    int32_t classes[N];
} rows;

static rows make_rows(int kind)
{
    rows r;
    dal_rng rng = dal_rng_from_key(31);
    for (int i = 0; i < N * WIDTH; i++) {
        r.x[i] = 2 * (float)dal_rng_normal(&rng);
        r.targets[i] = kind == BCE ? (float)dal_rng_uniform(&rng) : (float)dal_rng_normal(&rng);
    }
    for (int i = 0; i < N; i++) {
        r.weights[i] = i == 2 ? 0 : 0.5f + (float)dal_rng_uniform(&rng);
        r.classes[i] = (i * 3) % WIDTH;
    }
    return r;
}

static dal_status run_loss(int kind, const rows *r, const float *weights, float *d, double *loss, dal_error *err)
{
    const dal_nn_rows all = {.n = N, .width = kind == RANKING ? 1 : WIDTH, .x = r->x, .weights = weights, .d = d};
    if (kind == SOFTMAX)
        return dal_nn_cross_entropy(&all, r->classes, loss, err);
    if (kind == MSE)
        return dal_nn_mse(&all, r->targets, loss, err);
    return kind == BCE ? dal_nn_bce(&all, r->targets, loss, err)
        : dal_nn_margin_ranking(&all, r->targets, 0.7, loss, err);
}

static double loss_of(int kind, const rows *r, const float *weights)
{
    double loss = NAN;
    cr_assert_eq(run_loss(kind, r, weights, NULL, &loss, NULL), DAL_OK);
    return loss;
}

/* As textbooks write them. */
static double twin(int kind, const rows *r, const float *weights)
{
    double loss = 0;
    for (int i = 0; i < N && kind != RANKING; i++) {
        const float *x = r->x + i * WIDTH, *t = r->targets + i * WIDTH;
        double sum = 0, row = 0;
        for (int k = 0; k < WIDTH; k++) {
            const double p = 1 / (1 + exp(-(double)x[k]));
            sum += exp((double)x[k]);
            row += kind == MSE   ? pow((double)x[k] - (double)t[k], 2) / WIDTH
                   : kind == BCE ? -((double)t[k] * log(p) + (1 - (double)t[k]) * log(1 - p)) / WIDTH
                                 : 0;
        }
        loss += (weights ? (double)weights[i] : 1) / N * (kind == SOFTMAX ? -log(exp((double)x[r->classes[i]]) / sum)
                                                          : row);
    }
    for (int i = 0; i < N / 2 && kind == RANKING; i++) {
        const int k = N - 1 - i, first = r->targets[i] > r->targets[k];
        const double apart = (double)(first ? r->x[i] - r->x[k] : r->x[k] - r->x[i]);
        loss += (weights ? (double)weights[i] * (double)weights[k] : 1) * fmax(0, 0.7 - apart) / (N / 2);
    }
    return loss;
}

Test(nn_losses, are_what_their_formulas_say)
{
    for (int kind = SOFTMAX; kind <= RANKING; kind++) {
        const rows r = make_rows(kind);
        cr_assert_float_eq(loss_of(kind, &r, NULL), twin(kind, &r, NULL), 1e-6, "loss %d", kind);
        cr_assert_float_eq(loss_of(kind, &r, r.weights), twin(kind, &r, r.weights), 1e-6, "loss %d, weights", kind);
        cr_assert_gt(loss_of(kind, &r, NULL), 0.01, "loss %d", kind);
    }
}

Test(nn_losses, have_the_gradient_of_finite_differences)
{
    for (int kind = SOFTMAX; kind <= RANKING; kind++) {
        rows r = make_rows(kind);
        const int n = kind == RANKING ? N : N * WIDTH;
        float d[N * WIDTH];
        double loss;
        for (int i = 0; i < N * WIDTH; i++)
            d[i] = 0.25f; /* is added to */
        cr_assert_eq(run_loss(kind, &r, r.weights, d, &loss, NULL), DAL_OK);
        for (int i = 0; i < N * WIDTH; i++) {
            const float keep = r.x[i], e = 1e-3f;
            r.x[i] = keep + e;
            const double up = loss_of(kind, &r, r.weights);
            r.x[i] = keep - e;
            const double want = (up - loss_of(kind, &r, r.weights)) / (2 * (double)e);
            r.x[i] = keep;
            cr_assert_float_eq((double)d[i] - 0.25, i < n ? want : 0, 2e-4, "loss %d, number %d", kind, i);
        }
    }
}

Test(nn_losses, are_finite_however_sure_the_logits_are)
{
    const float x[2] = {1000, -1000}, wrong[2] = {0, 1}, right[2] = {1, 0};
    const dal_nn_rows r = {.n = 2, .width = 1, .x = x};
    double loss;
    cr_assert_eq(dal_nn_bce(&r, wrong, &loss, NULL), DAL_OK);
    cr_assert_float_eq(loss, 1000, 1e-9);
    cr_assert_eq(dal_nn_bce(&r, right, &loss, NULL), DAL_OK);
    cr_assert_float_eq(loss, 0, 1e-12);
    const dal_nn_rows one = {.n = 1, .width = 2, .x = x};
    cr_assert_eq(dal_nn_cross_entropy(&one, (const int32_t[]){1}, &loss, NULL), DAL_OK);
    cr_assert_float_eq(loss, 2000, 1e-9);
}

static void expect_refused(int kind, const rows *r, const char *words)
{
    float d[N * WIDTH] = {0};
    double loss;
    dal_error err = DAL_ERROR_INIT;
    const dal_status st = run_loss(kind, r, r->weights, d, &loss, &err);
    fx_expect(&err, st, DAL_E_INVALID, "", words);
    for (int i = 0; i < N * WIDTH; i++)
        cr_assert_eq(d[i], 0);
}

Test(nn_losses, tell_what_is_wrong_before_they_add_anything)
{
    dal_error err = DAL_ERROR_INIT;
    double loss;
    rows r = make_rows(BCE);
    r.targets[33] = 1.5f;
    expect_refused(BCE, &r, "the target of number 3 of row 6 is 1.5; expected 0 to 1");
    r.targets[33] = NAN;
    expect_refused(MSE, &r, "row 6 is nan; expected a finite number");
    r.classes[4] = WIDTH;
    expect_refused(SOFTMAX, &r, "row 4 of a loss has class 5; expected 0..4");
    r.weights[5] = -1;
    expect_refused(RANKING, &r, "row 5 of a loss weighs -1; expected 0 or more");
    const dal_nn_rows wide_rows = {.n = N, .width = 2, .x = r.x}, none = {.n = 0, .width = 2, .x = r.x};
    fx_expect(&err, dal_nn_margin_ranking(&wide_rows, r.targets, 1, &loss, &err), DAL_E_CONTRACT, "",
              "rows of 2 numbers cannot be ranked; expected 1");
    err = (dal_error)DAL_ERROR_INIT;
    fx_expect(&err, dal_nn_mse(&none, r.targets, &loss, &err), DAL_E_CONTRACT, "", "a loss of 0 rows of 2 numbers");
    const dal_nn_rows single = {.n = 2, .width = 1, .x = r.x};
    err = (dal_error)DAL_ERROR_INIT;
    fx_expect(&err, dal_nn_margin_ranking(&single, r.targets, NAN, &loss, &err), DAL_E_INVALID, "",
              "expected 0 or more");
}

/* ---- networks that learn by them ---------------------------------------------------------------- */

/* Rows 3k and 3k+1 are alike; an answer is 1 number or WIDTH. */
typedef struct task {
    int kind;
    fixture f;
    float *targets, *weights;
    double loss;
} task;

static dal_status look(void *ctx, const dal_nn_step_view *view)
{
    task *t = ctx;
    const dal_nn_value out = t->f.info.output;
    const dal_nn_rows r = {.n = view->n, .width = t->f.info.n_outputs, .x = view->value[out], .weights = t->weights,
                           .d = view->d[out]};
    return t->kind == MSE   ? dal_nn_mse(&r, t->targets, &t->loss, NULL)
           : t->kind == BCE ? dal_nn_bce(&r, t->targets, &t->loss, NULL)
                            : dal_nn_margin_ranking(&r, t->targets, 1, &t->loss, NULL);
}

static dal_status fill_task(void *ctx, int64_t first, int64_t count, float *x)
{
    return fill(&((task *)ctx)->f, first, count, x);
}

/* maps: convolutions come before; else it is the fully connected kind that trains another way. */
static task make_task(int kind, int maps, int threads)
{
    enum { ROWS = 24 };
    task t = {.kind = kind, .f = {.rt = fx_runtime(threads, 1), .n = ROWS}};
    fixture *f = &t.f;
    dal_rng r = dal_rng_from_key(4);
    f->host = dal_runtime_host(f->rt, "nn");
    f->nn = dal_nn_new(f->host);
    dal_nn_use(f->nn, backend);
    dal_nn_value x = dal_nn_input(f->nn, 2, 5, 3);
    if (maps)
        x = dal_nn_batch_norm(f->nn, conv(f->nn, x, wide ? 16 : 4, 3, 1, 1, 1, 0), "norm", DAL_NN_RELU);
    x = dal_nn_linear(f->nn, x, "hidden", 16, DAL_NN_BIAS | DAL_NN_RELU);
    dal_nn_output(f->nn, dal_nn_linear(f->nn, x, "output", kind == RANKING ? 1 : WIDTH, DAL_NN_BIAS));
    cr_assert_eq(dal_nn_finish(f->nn, NULL), DAL_OK);
    dal_nn_describe(f->nn, &f->info);
    f->weights = malloc((size_t)f->info.n_weights * sizeof(float));
    f->state = malloc((size_t)f->info.n_state * sizeof(float) + 1);
    dal_nn_draw(f->nn, DAL_NN_UNIFORM, &r, f->weights, f->state);
    f->x = draw(ROWS * f->info.n_inputs, 7);
    t.targets = draw(ROWS * f->info.n_outputs, 8);
    t.weights = draw(ROWS, 9);
    for (int i = 0; i < ROWS; i++)
        t.weights[i] = 1 + 0.1f * (float)(i % 5);
    for (int64_t i = 0; kind == BCE && i < ROWS * f->info.n_outputs; i++)
        t.targets[i] = t.targets[i] > 0;
    return t;
}

/* The loss of the first step and after 300; returns the digest of the weights. */
static uint64_t learn(int kind, int maps, int threads, double loss[2])
{
    task t = make_task(kind, maps, threads);
    const dal_nn_rule rule = {.struct_size = sizeof rule, .optimizer = DAL_NN_ADAM, .learning_rate = 0.01, .beta1 = 0.9,
                              .beta2 = 0.999, .epsilon = 1e-8};
    dal_nn_trainer *trainer = dal_nn_trainer_new(t.f.nn, t.f.host, t.f.weights, t.f.state, t.f.n, NULL);
    for (int step = 0; step < 300; step++) {
        const dal_nn_batch b = {.struct_size = sizeof b, .n = t.f.n, .fill = fill_task, .between = look, .ctx = &t};
        dal_nn_result r = {.struct_size = sizeof r};
        cr_assert_eq(dal_nn_train(trainer, &rule, &b, &r, NULL), DAL_OK);
        loss[step > 0] = t.loss;
    }
    const uint64_t h = dal_hash64(0, t.f.weights, (size_t)t.f.info.n_weights * sizeof(float));
    dal_nn_trainer_free(trainer);
    free(t.targets);
    free(t.weights);
    drop(&t.f);
    return h;
}

Test(nn_losses, teach_a_network_from_between_its_passes)
{
    for (int i = 0; next_case(i); i++)
        for (int kind = MSE; kind <= RANKING; kind++)
            for (int maps = 0; maps < 2; maps++) {
                double one[2], two[2];
                const uint64_t bits = learn(kind, maps, 1, one);
                cr_assert_lt(one[1], 0.1 * one[0], "loss %d falls from %g to %g", kind, one[0], one[1]);
                cr_assert_eq(learn(kind, maps, 2, two), bits, "loss %d", kind);
            }
}
