/* Tests of what a model offers beyond predict: is everything there that `provides` names, and does it agree
 * with predict? */
#include <math.h>
#include <stdlib.h>

#include <dal/model.h>

#include "check/model.h"
#include "util/text.h"

#define C 3
#define N 40

static const world_shape shape = {.candidates = N, .labelled = 60, .c = C, .d = 8};

static const struct {
    const char *id;
    bool has_table;
    uint32_t least; /* bytes of its table in ABI 1.0 */
} known[] = {
    {DAL_CAP_OUTPUTS, false, 0},
    {DAL_CAP_CONCURRENT, false, 0},
    {DAL_CAP_WARM_START, false, 0},
    {DAL_CAP_MISSING, false, 0},
    {DAL_CAP_FEATURES, true, sizeof(dal_model_features)},
    {DAL_CAP_STAGES, true, sizeof(dal_model_stages)},
    {DAL_CAP_MC, true, sizeof(dal_model_mc)},
    {DAL_CAP_LAST_LAYER, true, sizeof(dal_model_last_layer)},
    {DAL_CAP_INPUT_GRADIENT, true, sizeof(dal_model_input_gradient)},
    {DAL_CAP_FEATURE_GRADIENT, true, sizeof(dal_model_feature_gradient)},
    {DAL_CAP_PERTURB, true, sizeof(dal_model_perturb)},
    {DAL_CAP_COMPANION, true, sizeof(dal_model_companion)},
    {DAL_CAP_CHOICES, true, sizeof(dal_model_choices)},
};

static void provides(const subject *s, int arg)
{
    (void)arg;
    rig *r = rig_new(s, &(rig_options){0});
    stage st;
    stage_open(&st, r, &shape);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        const bool named = dal_has_word(s->component->provides, known[i].id);
        const void *table = model_extension(&st, known[i].id);
        uint32_t size = 0;
        CHECK(named || !table, "get_extension gives %s, which provides does not name", known[i].id);
        if (!known[i].has_table || !named)
            continue;
        CHECK(table, "provides names %s, but get_extension gives nothing", known[i].id);
        memcpy(&size, table, sizeof size);
        CHECK(size >= known[i].least && size < 65536, "the table of %s has %u bytes, expected at least %u",
              known[i].id, size, known[i].least);
    }
    CHECK(dal_has_word(s->component->provides, DAL_CAP_OUTPUTS), "provides does not name %s, which every model has",
          DAL_CAP_OUTPUTS);
    CHECK(!model_extension(&st, "org.example.nobody-has-this/1"), "get_extension gives a table for an id nobody has");
}

/* ---- a trained model ---- */

typedef struct trained {
    rig *r;
    stage st;
    const int64_t *ids;
    dal_batch x; /* all N candidates */
    float *outputs;
} trained;

/* Skips the test when the model does not offer the capability. */
static const void *train(const subject *s, const char *capability, trained *t)
{
    if (!dal_has_word(s->component->provides, capability))
        check_skip("it does not offer %s", capability);
    t->r = rig_new(s, &(rig_options){0});
    stage_open(&t->st, t->r, &shape);
    model_fit(&t->st, 0, false);
    t->ids = t->st.w->sets.ids[DAL_ROWS_CANDIDATES];
    t->x = world_batch(t->st.w, t->ids, N);
    t->outputs = model_predict_all(&t->st, N);
    const void *table = model_extension(&t->st, capability);
    CHECK(table, "get_extension gives nothing for %s", capability);
    return table;
}

static void *self_of(const trained *t)
{
    return t->st.instance->self;
}

static void check_width(int64_t d, const char *what)
{
    CHECK(d > 0 && d < 1 << 24, "%s tells a width of %lld", what, (long long)d);
}

static float *features_of(const trained *t, const dal_model_features *f, int64_t first, int64_t n, float **outputs)
{
    const int64_t d = f->width(self_of(t));
    dal_error err = DAL_ERROR_INIT;
    check_width(d, "features");
    dal_batch x = world_batch(t->st.w, t->ids + first, n);
    float *out = guard_new((size_t)(n * d) * sizeof *out), *z = outputs ? guard_new((size_t)(n * C) * sizeof *z) : NULL;
    CHECK(f->features(self_of(t), &x, out, z, &err) == DAL_OK, "features fails: %s", err.text);
    guard_check(out, "features");
    check_finite(out, n * d, "features");
    if (outputs) {
        guard_check(z, "features (outputs)");
        *outputs = z;
    }
    world_batch_free(&x);
    return out;
}

static void features(const subject *s, int arg)
{
    (void)arg;
    trained t;
    const dal_model_features *f = train(s, DAL_CAP_FEATURES, &t);
    const int64_t d = f->width(self_of(&t));
    float *z;
    const float *whole = features_of(&t, f, 0, N, &z);
    CHECK(relative_gap(t.outputs, z, N * C) < 1e-4, "outputs beside the features are not those of predict");
    for (int64_t i = 0; i < N; i += 7) {
        const int64_t n = N - i < 7 ? N - i : 7;
        float *part = features_of(&t, f, i, n, NULL);
        CHECK(same_floats(whole + i * d, part, n * d), "features of a sample depend on the block it is in");
        guard_free(part);
    }
}

/* logits = features W' + b: what gradient embeddings rest on. */
static void last_layer(const subject *s, int arg)
{
    (void)arg;
    trained t;
    const dal_model_last_layer *l = train(s, DAL_CAP_LAST_LAYER, &t);
    const dal_model_features *f = model_extension(&t.st, DAL_CAP_FEATURES);
    if (!f)
        check_skip("it offers no features to compare with");
    const int64_t d = f->width(self_of(&t));
    const float *x = features_of(&t, f, 0, N, NULL), *bias = NULL;
    dal_matrix w = {0};
    dal_error err = DAL_ERROR_INIT;
    float z[N * C];
    CHECK(l->last_layer(self_of(&t), &w, &bias, &err) == DAL_OK, "last_layer fails: %s", err.text);
    CHECK(w.rows == C && w.cols == d && w.stride >= d, "the last layer is [%lld, %lld], expected [%d, %lld]",
          (long long)w.rows, (long long)w.cols, C, (long long)d);
    const bool probs = ((const dal_model_impl *)t.st.instance->impl)->output == DAL_PROBS;
    for (int64_t i = 0; i < N; i++) {
        double sum = 0;
        for (int64_t k = 0; k < C; k++) {
            double v = bias ? (double)bias[k] : 0;
            for (int64_t j = 0; j < d; j++)
                v += (double)w.data[k * w.stride + j] * (double)x[i * d + j];
            z[i * C + k] = (float)v;
            sum += exp(v);
        }
        for (int64_t k = 0; probs && k < C; k++)
            z[i * C + k] = (float)(exp((double)z[i * C + k]) / sum);
    }
    CHECK(relative_gap(t.outputs, z, N * C) < 1e-3, "features times the last layer are not the outputs of predict");
}

static float *passes_of(const trained *t, const dal_model_mc *m, int64_t first_row, int64_t n, int64_t first, int64_t k)
{
    const dal_rng stream = dal_rng_from_key(99);
    dal_batch x = world_batch(t->st.w, t->ids + first_row, n);
    dal_error err = DAL_ERROR_INIT;
    float *out = guard_new((size_t)(k * n * C) * sizeof *out);
    CHECK(m->mc(self_of(t), &x, &stream, first, k, out, &err) == DAL_OK, "mc fails: %s", err.text);
    guard_check(out, "mc");
    check_finite(out, k * n * C, "mc");
    world_batch_free(&x);
    return out;
}

static void monte_carlo(const subject *s, int arg)
{
    enum { K = 6 };
    (void)arg;
    trained t;
    const dal_model_mc *m = train(s, DAL_CAP_MC, &t);
    const float *whole = passes_of(&t, m, 0, N, 0, K);
    CHECK(same_floats(whole, passes_of(&t, m, 0, N, 0, K), K * N * C), "the same stream gives other passes");
    for (int64_t k = 0; k < K; k++)
        CHECK(same_floats(whole + k * N * C, passes_of(&t, m, 0, N, k, 1), N * C),
              "pass %lld alone is not pass %lld among others", (long long)k, (long long)k);
    const float *part = passes_of(&t, m, 10, 5, 0, K);
    for (int64_t k = 0; k < K; k++)
        CHECK(same_floats(whole + (k * N + 10) * C, part + k * 5 * C, 5 * C),
              "pass %lld of a sample depends on the block it is in", (long long)k);
    CHECK(same_floats(t.outputs, model_predict_all(&t.st, N), N * C), "predict changes after Monte-Carlo passes");
}

static void stages(const subject *s, int arg)
{
    (void)arg;
    trained t;
    const dal_model_stages *m = train(s, DAL_CAP_STAGES, &t);
    const int64_t n = m->count(self_of(&t));
    dal_error err = DAL_ERROR_INIT;
    CHECK(n > 0 && n < 1000, "it tells %lld stages", (long long)n);
    float **out = xcalloc((size_t)n, sizeof *out);
    for (int64_t i = 0; i < n; i++) {
        check_width(m->width(self_of(&t), i), "a stage");
        out[i] = i % 2 && n > 1 ? NULL : guard_new((size_t)(N * m->width(self_of(&t), i)) * sizeof(float));
    }
    CHECK(m->stages(self_of(&t), &t.x, out, &err) == DAL_OK, "stages fails: %s", err.text);
    for (int64_t i = 0; i < n; i++)
        if (out[i]) {
            guard_check(out[i], "stages");
            check_finite(out[i], N * m->width(self_of(&t), i), "stages");
        }
}

/* ---- gradients against finite differences ---- */

/* What is differentiated by the inputs: sum_k direction(k) f_k of outputs or features f. */
typedef struct slope {
    trained *t;
    dal_status (*forward)(void *self, const float *inputs, int64_t n, float *f, dal_error *err);
    dal_status (*gradient)(void *self, const float *inputs, int64_t n, const float *by, float *gradient,
                           dal_error *err);
    int64_t width, n_inputs;
    const char *what;
} slope;

static float direction(int64_t k)
{
    static const float some[] = {1.0f, -0.5f, 0.25f};
    return some[k % 3];
}

static double along(const float *f, int64_t width)
{
    double sum = 0;
    for (int64_t k = 0; k < width; k++)
        sum += (double)f[k] * (double)direction(k);
    return sum;
}

/* Does the model say that it multiplies numbers of few bits (see dal_model_choices)? Its outputs are no smooth ones
 * then. */
static bool is_rough(const trained *t)
{
    const dal_model_choices *told = model_extension(&t->st, DAL_CAP_CHOICES);
    const char *precision = told && DAL_HAS(dal_model_choices, told, chosen) ? told->chosen(self_of(t), "precision")
        : NULL;
    return precision && (strcmp(precision, "bf16") == 0 || strcmp(precision, "f16") == 0);
}

/* The rise of `along` by a step from `in`. moved [n_inputs], up [width]: scratch. */
static double rise_of(const slope *s, const float *in, const float *step, double times, double before, float *moved,
                      float *up)
{
    dal_error err = DAL_ERROR_INIT;
    for (int64_t j = 0; j < s->n_inputs; j++)
        moved[j] = in[j] + (float)(times * (double)step[j]);
    CHECK(s->forward(self_of(s->t), moved, 1, up, &err) == DAL_OK, "%s fails: %s", s->what, err.text);
    return along(up, s->width) - before;
}

/* How far steps of this length to and fro, in any direction, are from rising by nothing together: rounding, bends and
 * kinks, whatever the gradient is. */
static double noise_of(const slope *s, const float *in, double length, double before, float *moved, float *up)
{
    float *step = guard_new((size_t)s->n_inputs * sizeof *step);
    dal_rng rng = dal_rng_from_key(7);
    double most = 0;
    for (int k = 0; k < 6; k++) {
        double norm = 0;
        for (int64_t j = 0; j < s->n_inputs; j++) {
            step[j] = (float)dal_rng_normal(&rng);
            norm += (double)step[j] * (double)step[j];
        }
        const double times = length / sqrt(norm);
        most = fmax(most, fabs(rise_of(s, in, step, times, before, moved, up) +
                               rise_of(s, in, step, -times, before, moved, up)));
    }
    guard_free(step);
    return most;
}

/* A small step along the gradient itself: it rises by step * |g|^2. Networks have kinks: where the first step is too
 * long a shorter one has to do. Rough outputs want long ones; a step whose rise is lost in their noise says nothing,
 * nor does a long one that disagrees. */
static void check_step(const slope *s, const float *in, const float *grad, const float *f)
{
    const int64_t d = s->n_inputs;
    float *moved = guard_new((size_t)d * sizeof *moved), *up = guard_new((size_t)s->width * sizeof *up);
    const double before = along(f, s->width);
    const bool rough = is_rough(s->t);
    double norm = 0, rise = 0, expected = 0;
    bool agrees = false, tried = false;
    for (int64_t j = 0; j < d; j++)
        norm += (double)grad[j] * (double)grad[j];
    for (double length = rough ? 0.81 : 1e-2; norm >= 1e-10 && !agrees && length > 5e-4; length /= 3) {
        const double noise = rough ? noise_of(s, in, length, before, moved, up) : 0;
        if (length * sqrt(norm) < 2 * noise)
            continue;
        expected = length * sqrt(norm);
        rise = rise_of(s, in, grad, length / sqrt(norm), before, moved, up);
        agrees = fabs(rise - expected) < 0.1 * expected + 1e-2 * length * (1 + fabs(before)) + noise;
        tried |= length < 0.05;
    }
    CHECK(agrees || !tried, "a step along the gradient raises what %s gives by %g, expected %g", s->what, rise,
          expected);
    guard_free(up);
    guard_free(moved);
}

/* f of the first samples' inputs is what the model says of the samples, [rows, width] of `want`; its gradients agree
 * with differences. */
static void check_slope(const subject *who, const slope *s, const dal_model_input_gradient *space, const float *want)
{
    enum { ROWS = 4 };
    const int64_t d = s->n_inputs, width = s->width;
    dal_error err = DAL_ERROR_INIT;
    dal_batch x = world_batch(s->t->st.w, s->t->ids, ROWS);
    float *in = guard_new((size_t)(ROWS * d) * sizeof *in), *grad = guard_new((size_t)(ROWS * d) * sizeof *grad);
    float *f = guard_new((size_t)(ROWS * width) * sizeof *f), *by = guard_new((size_t)(ROWS * width) * sizeof *by);
    for (int64_t i = 0; i < ROWS * width; i++)
        by[i] = direction(i % width);
    CHECK(space->embed(self_of(s->t), &x, in, &err) == DAL_OK, "embed fails: %s", err.text);
    guard_check(in, "embed");
    CHECK(s->forward(self_of(s->t), in, ROWS, f, &err) == DAL_OK, "%s fails: %s", s->what, err.text);
    guard_check(f, s->what);
    CHECK(relative_gap(want, f, ROWS * width) < 1e-4, "embed and %s are not what the model says of the samples",
          s->what);
    /* Equal pixels give equal numbers all over a map, and a maximum over equals has no gradient. */
    dal_rng jitter = dal_rng_from_key(who->seed);
    for (int64_t i = 0; i < ROWS * d; i++)
        in[i] += (float)(0.1 * dal_rng_uniform(&jitter));
    CHECK(s->forward(self_of(s->t), in, ROWS, f, &err) == DAL_OK, "%s fails: %s", s->what, err.text);
    CHECK(s->gradient(self_of(s->t), in, ROWS, by, grad, &err) == DAL_OK, "gradient fails: %s", err.text);
    guard_check(grad, "gradient");
    check_finite(grad, ROWS * d, "gradient");
    for (int i = 0; i < ROWS; i++)
        check_step(s, in + i * d, grad + i * d, f + i * width);
}

static void input_gradient(const subject *s, int arg)
{
    (void)arg;
    trained t;
    const dal_model_input_gradient *g = train(s, DAL_CAP_INPUT_GRADIENT, &t);
    const slope by_outputs = {&t, g->forward, g->gradient, C, g->width(self_of(&t)), "forward"};
    check_width(by_outputs.n_inputs, "input-gradient");
    check_slope(s, &by_outputs, g, t.outputs);
}

static void feature_gradient(const subject *s, int arg)
{
    (void)arg;
    trained t;
    const dal_model_feature_gradient *g = train(s, DAL_CAP_FEATURE_GRADIENT, &t);
    const dal_model_input_gradient *space = model_extension(&t.st, DAL_CAP_INPUT_GRADIENT);
    const dal_model_features *f = model_extension(&t.st, DAL_CAP_FEATURES);
    CHECK(space && f, "a model with %s has %s and %s, too", DAL_CAP_FEATURE_GRADIENT, DAL_CAP_INPUT_GRADIENT,
          DAL_CAP_FEATURES);
    const slope by_features = {&t, g->features, g->gradient, f->width(self_of(&t)), space->width(self_of(&t)),
                               "features"};
    check_width(by_features.n_inputs, "input-gradient");
    check_slope(s, &by_features, space, features_of(&t, f, 0, N, NULL));
}

/* Mean cross-entropy of the first ROWS candidates against targets, by loss_gradient's own losses. */
static double mean_loss(const dal_model_perturb *p, void *model, const dal_batch *x, const float *targets,
                        float *gradient)
{
    dal_error err = DAL_ERROR_INIT;
    float *losses = guard_new((size_t)x->n * sizeof *losses);
    double sum = 0;
    CHECK(p->loss_gradient(model, x, targets, gradient, losses, &err) == DAL_OK, "loss_gradient fails: %s", err.text);
    guard_check(losses, "loss_gradient (losses)");
    check_finite(losses, x->n, "losses");
    for (int64_t i = 0; i < x->n; i++)
        sum += (double)losses[i];
    guard_free(losses);
    return sum / (double)x->n;
}

static void check_slices(const dal_model_perturb *p, void *model, int64_t n)
{
    int64_t covered = 0;
    const int64_t parts = p->n_parameters(model);
    CHECK(parts > 0 && parts <= n, "it tells %lld parameters of %lld weights", (long long)parts, (long long)n);
    for (int64_t i = 0; i < parts; i++) {
        const dal_parameter *q = p->parameter(model, i);
        CHECK(q && q->name && q->offset >= 0 && q->count > 0 && q->offset + q->count <= n,
              "parameter %lld is no slice of the weights", (long long)i);
        CHECK(q->role >= DAL_ROLE_WEIGHT && q->role <= DAL_ROLE_SCALE, "parameter '%s' has the role %u", q->name,
              q->role);
        covered += q->count;
    }
    CHECK(covered == n, "its parameters are %lld of %lld weights", (long long)covered, (long long)n);
}

static void perturb(const subject *s, int arg)
{
    enum { ROWS = 16 };
    (void)arg;
    trained t;
    const dal_model_perturb *p = train(s, DAL_CAP_PERTURB, &t);
    const dal_model_impl *impl = t.st.instance->impl;
    dal_error err = DAL_ERROR_INIT;
    void *copy = NULL;
    float targets[ROWS * C], z[N * C];
    for (int i = 0; i < ROWS * C; i++)
        targets[i] = i % C == 0 ? 0.7f : 0.15f;
    CHECK(p->copy(self_of(&t), &copy, &err) == DAL_OK && copy, "copy fails: %s", err.text);
    CHECK(impl->predict(copy, &t.x, z, &err) == DAL_OK, "the copy does not predict: %s", err.text);
    CHECK(same_floats(t.outputs, z, N * C), "a copy predicts other bits");
    const int64_t n = p->n_weights(copy);
    CHECK(n > 0, "it tells %lld weights", (long long)n);
    check_slices(p, copy, n);
    float *w = p->weights(copy), *grad = guard_new((size_t)n * sizeof *grad);
    CHECK(w, "it gives no weights");
    dal_batch x = t.x;
    x.n = ROWS;
    const double before = mean_loss(p, copy, &x, targets, grad);
    guard_check(grad, "loss_gradient");
    check_finite(grad, n, "loss_gradient");
    double norm = 0;
    for (int64_t i = 0; i < n; i++)
        norm += (double)grad[i] * (double)grad[i];
    const double step = 1e-3 / fmax(sqrt(norm), 1e-6);
    for (int64_t i = 0; i < n; i++)
        w[i] -= (float)(step * (double)grad[i]);
    float *unused = guard_new((size_t)n * sizeof *unused);
    const double fall = before - mean_loss(p, copy, &x, targets, unused), expected = step * norm;
    CHECK(fabs(fall - expected) < 0.1 * expected + 1e-6, "a step down the gradient lowers the loss by %g, expected %g",
          fall, expected);
    CHECK(same_floats(t.outputs, model_predict_all(&t.st, N), N * C), "changing a copy changes the model");
    impl->destroy(copy);
    world_batch_free(&t.x);
    stage_close(&t.st, t.r);
    rig_check_memory(t.r, "after destroying model and copy");
}

/* ---- companions ---- */

typedef struct watcher {
    int64_t begun, steps, epochs, n_train;
    int64_t c, d;
    uint32_t offers;
    bool pulls; /* adds a gradient */
} watcher;

static dal_status watch_begin(void *self, const dal_companion_setup *setup, dal_error *err)
{
    watcher *w = self;
    (void)err;
    w->begun++;
    w->c = setup->c;
    w->d = setup->d;
    w->n_train = setup->n_train;
    return DAL_OK;
}

static dal_status watch_step(void *self, int64_t epoch, int64_t step, const dal_companion_batch *b,
                             const dal_companion_batch *unlabelled, dal_error *err)
{
    watcher *w = self;
    (void)epoch;
    (void)step;
    (void)unlabelled;
    (void)err;
    w->steps++;
    CHECK(b && b->n > 0 && b->ids && b->classes && b->losses && b->logits && b->d_logits,
          "a companion's step lacks ids, classes, losses or logits");
    check_finite(b->logits, b->n * C, "logits of a step");
    for (int64_t i = 0; i < b->n * C; i++)
        CHECK(!(fabs((double)b->d_logits[i]) > 0), "d_logits is not zeroed");
    CHECK(!(w->offers & DAL_WANT_FEATURES) || (b->features && b->d_features),
          "a companion's step lacks the features it offers");
    for (int64_t i = 0; w->pulls && i < b->n * C; i++)
        b->d_logits[i] += i % C == 0 ? 0.1f : -0.05f;
    return DAL_OK;
}

static dal_status watch_epoch(void *self, int64_t epoch, dal_error *err)
{
    (void)epoch;
    (void)err;
    ((watcher *)self)->epochs++;
    return DAL_OK;
}

static float *fit_with(const subject *s, watcher *w)
{
    rig *r = rig_new(s, &(rig_options){0});
    stage st;
    stage_open(&st, r, &shape);
    const dal_model_impl *impl = st.instance->impl;
    const dal_model_companion *m = model_extension(&st, DAL_CAP_COMPANION);
    CHECK(m, "get_extension gives nothing for %s", DAL_CAP_COMPANION);
    w->offers = m->offers & DAL_WANT_FEATURES;
    const dal_companion companion = {sizeof companion, w->offers, w, watch_begin, watch_step, watch_epoch};
    const dal_companion *const list[] = {&companion};
    dal_samples *train_set = world_set(st.w, DAL_ROWS_LABELLED);
    dal_fit_report report = {.struct_size = sizeof report};
    dal_error err = DAL_ERROR_INIT;
    const dal_fit fit = {.struct_size = sizeof fit, .train = train_set, .companions = list, .n_companions = 1};
    CHECK(impl->fit(st.instance->self, &fit, &report, &err) == DAL_OK, "fit fails with a companion: %s", err.text);
    CHECK(w->begun == 1, "begin is called %lld times", (long long)w->begun);
    CHECK(w->steps > 0, "step is never called");
    CHECK(w->c == C && w->n_train == 60, "begin tells %lld classes and %lld samples, expected %d and 60",
          (long long)w->c, (long long)w->n_train, C);
    free(train_set);
    return model_predict_all(&st, N);
}

static void companion(const subject *s, int arg)
{
    (void)arg;
    if (!dal_has_word(s->component->provides, DAL_CAP_COMPANION))
        check_skip("it does not offer %s", DAL_CAP_COMPANION);
    rig *r = rig_new(s, &(rig_options){0});
    stage st;
    stage_open(&st, r, &shape);
    model_fit(&st, 0, false);
    const float *alone = model_predict_all(&st, N);
    watcher idle = {0}, pulling = {.pulls = true};
    CHECK(same_floats(alone, fit_with(s, &idle), N * C), "a companion that adds no gradient changes the training");
    CHECK(!same_floats(alone, fit_with(s, &pulling), N * C), "a companion's gradient has no effect");
}

/* Each value missing somewhere, in training, too. */
static void missing(const subject *s, int arg)
{
    (void)arg;
    if (!dal_has_word(s->component->provides, DAL_CAP_MISSING))
        check_skip("it does not offer %s", DAL_CAP_MISSING);
    world_shape holes = shape;
    holes.flags |= WORLD_MISSING;
    trained t = {.r = rig_new(s, &(rig_options){0})};
    stage_open(&t.st, t.r, &holes);
    if (t.st.w->spec.dtype != DAL_F32 || t.st.w->spec.modality != DAL_VECTOR)
        check_skip("it takes no vectors of real values");
    model_fit(&t.st, 0, false);
    t.ids = t.st.w->sets.ids[DAL_ROWS_CANDIDATES];
    float *whole = model_predict_all(&t.st, N), *parts = model_predict_all(&t.st, 7);
    CHECK(same_floats(whole, parts, N * C),
          "predictions of samples with missing values depend on the block they are in");
    const dal_model_features *f = model_extension(&t.st, DAL_CAP_FEATURES);
    if (f)
        features_of(&t, f, 0, N, NULL);
}

const check_test capability_tests[] = {
    {"offers", "provides and get_extension name the same capabilities", KIND(MODEL), provides, 0},
    {"offers/features", "features are finite, agree with predict, do not depend on blocks", KIND(MODEL), features, 0},
    {"offers/last-layer", "features times the last layer are the outputs", KIND(MODEL), last_layer, 0},
    {"offers/mc", "each pass is a function of stream and number, the same for every block", KIND(MODEL),
     monte_carlo, 0},
    {"offers/stages", "stages have the widths they tell", KIND(MODEL), stages, 0},
    {"offers/input-gradient", "gradients agree with differences, embed and forward with predict", KIND(MODEL),
     input_gradient, 0},
    {"offers/feature-gradient", "gradients of features by the input agree with differences", KIND(MODEL),
     feature_gradient, 0},
    {"offers/perturb", "copies are independent; gradients by the weights agree with differences", KIND(MODEL),
     perturb, 0},
    {"offers/missing", "outputs and features of samples with missing values are finite", KIND(MODEL), missing, 0},
    {"offers/companion", "a companion sees every step, and only its gradient shows", KIND(MODEL), companion, 0},
    {0},
};
