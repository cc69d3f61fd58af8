/* What the tests of learning-loss and tidal share: a model with stages, a fit that shows them to a strategy's
 * companion, and the head in double. */
#ifndef TESTS_STRATEGY_TRAINED_ALONG_H
#define TESTS_STRATEGY_TRAINED_ALONG_H

#include "tests/unit/models.h"
#include "tests/unit/strategies/round_parts.h"

#include "plugins/strategies/loss_head.h"

#include <math.h>

#define TA_STAGES 2
#define TA_SMALL 3 /* width of the second stage */

/* ---- the kit's model, with stages: the inputs, and three numbers made of them ------------------------- */

static inline void ta_small(const float *x, int64_t d, float *out)
{
    float sum = 0;
    for (int64_t j = 0; j < d; j++)
        sum += x[j];
    out[0] = sum / (float)d;
    out[1] = x[0] * x[d - 1];
    out[2] = sinf(3 * x[0]);
}

static int64_t ta_width_of_inputs;

static int64_t ta_count(void *self)
{
    (void)self;
    return TA_STAGES;
}

static int64_t ta_width(void *self, int64_t stage)
{
    (void)self;
    return stage ? TA_SMALL : ta_width_of_inputs;
}

static dal_status ta_stages(void *self, const dal_batch *x, float *const *out, dal_error *err)
{
    const int64_t d = ta_width_of_inputs;
    const float *data = x->data;
    (void)self, (void)err;
    memcpy(out[0], data, (size_t)(x->n * d) * sizeof *data);
    for (int64_t i = 0; i < x->n; i++)
        ta_small(data + i * d, d, out[1] + i * TA_SMALL);
    return DAL_OK;
}

static const void *ta_extension(void *self, const char *id)
{
    static const dal_model_stages table = {.struct_size = sizeof table, .count = ta_count, .width = ta_width,
                                           .stages = ta_stages};
    return strcmp(id, DAL_CAP_STAGES) == 0 ? &table : fx_model_impl.get_extension(self, id);
}

/* Labelled samples and candidates round the same centres; a model that takes several calls at once if c is odd. */
static inline fx_round *ta_round(int64_t n, int64_t n_labelled, int64_t c, int64_t d)
{
    static dal_model_impl impl;
    const fx_spec spec = {5, n, n_labelled, 0, c, d, 0, FX_LOGITS | FX_MODEL};
    fx_round *r = fx_round_random(&spec);
    impl = fx_model_impl;
    impl.get_extension = ta_extension;
    r->model.impl = &impl;
    ta_width_of_inputs = d;
    return r;
}

/* ---- a fit ------------------------------------------------------------------------------------------ */

/* Cross-entropy of a row of logits. */
static inline float ta_loss(const float *z, int64_t c, int64_t y)
{
    double top = (double)z[0], sum = 0;
    for (int64_t k = 1; k < c; k++)
        top = fmax(top, (double)z[k]);
    for (int64_t k = 0; k < c; k++)
        sum += exp((double)z[k] - top);
    return (float)(log(sum) + top - (double)z[y]);
}

/* Rows first..first+n-1 of a set as a companion sees them; of the candidates the class is what is likeliest. */
typedef struct ta_batch {
    dal_companion_batch b;
    float *x, *small, *losses, *logits, *d_x, *d_small, *d_logits;
    const float *stages[TA_STAGES];
    float *d_stages[TA_STAGES];
} ta_batch;

static inline void ta_batch_init(ta_batch *t, const fx_round *r, uint32_t set, int64_t first, int64_t n)
{
    const fx_rows *rows = &r->set[set];
    const int64_t d = r->d, c = r->c;
    t->x = calloc((size_t)(n * d), sizeof(float));
    t->d_x = calloc((size_t)(n * d), sizeof(float));
    t->small = calloc((size_t)(n * TA_SMALL), sizeof(float));
    t->d_small = calloc((size_t)(n * TA_SMALL), sizeof(float));
    t->losses = calloc((size_t)n, sizeof(float));
    t->logits = calloc((size_t)(n * c), sizeof(float));
    t->d_logits = calloc((size_t)(n * c), sizeof(float));
    memcpy(t->x, rows->features + first * d, (size_t)(n * d) * sizeof(float));
    memcpy(t->logits, rows->outputs + first * c, (size_t)(n * c) * sizeof(float));
    for (int64_t i = 0; i < n; i++) {
        ta_small(t->x + i * d, d, t->small + i * TA_SMALL);
        t->losses[i] = ta_loss(t->logits + i * c, c, rows->classes ? rows->classes[first + i] : 0);
    }
    t->stages[0] = t->x;
    t->stages[1] = t->small;
    t->d_stages[0] = t->d_x;
    t->d_stages[1] = t->d_small;
    t->b = (dal_companion_batch){.struct_size = sizeof t->b, .n = n, .ids = rows->ids + first,
                                 .classes = rows->classes ? rows->classes + first : NULL, .losses = t->losses,
                                 .logits = t->logits, .stages = t->stages, .d_stages = t->d_stages,
                                 .d_logits = t->d_logits};
}

static inline void ta_batch_free(ta_batch *t)
{
    float *all[] = {t->x, t->small, t->losses, t->logits, t->d_x, t->d_small, t->d_logits};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
}

static inline dal_status ta_begin(const fx_round *r, const dal_companion *c, int64_t epochs, dal_error *err)
{
    const int64_t widths[] = {r->d, TA_SMALL};
    const dal_companion_setup setup = {sizeof setup, 0, r->round, r->set[DAL_ROWS_LABELLED].n, epochs, r->c, r->d,
                                       TA_STAGES, widths, 0};
    return c->begin(c->self, &setup, err);
}

/* All epochs over the labelled rows, `size` a step. */
static inline dal_status ta_fit(const fx_round *r, const dal_companion *c, int64_t epochs, int64_t size, dal_error *err)
{
    const int64_t n = r->set[DAL_ROWS_LABELLED].n;
    dal_status st = ta_begin(r, c, epochs, err);
    for (int64_t e = 0; e < epochs; e++)
        for (int64_t first = 0; st == DAL_OK && first < n; first += size) {
            ta_batch t;
            ta_batch_init(&t, r, DAL_ROWS_LABELLED, first, n - first < size ? n - first : size);
            st = c->step(c->self, e, first / size, &t.b, NULL, err);
            ta_batch_free(&t);
        }
    return st;
}

/* ---- a strategy's round ----------------------------------------------------------------------------- */

typedef struct ta_run {
    fx_round *r;
    dal_runtime *rt;
    const dal_strategy_impl *impl;
    void *self;
} ta_run;

static inline ta_run ta_open(fx_round *r, const dal_strategy_impl *impl, const void *options, int threads)
{
    ta_run t = {r, fx_runtime(threads, 3), impl, NULL};
    dal_error err = DAL_ERROR_INIT;
    r->host = dal_runtime_host(t.rt, "strategy");
    cr_assert_eq(impl->create(r->host, options, &t.self, &err), DAL_OK, "%s", err.text);
    return t;
}

static inline void ta_close(ta_run *t)
{
    t->impl->destroy(t->self);
    cr_assert_eq(dal_runtime_allocated(t->rt), 0, "%lld bytes were not given back",
                 (long long)dal_runtime_allocated(t->rt));
    dal_runtime_free(t->rt);
}

static inline dal_status ta_try(ta_run *t, int64_t b, fx_picks *out)
{
    dal_picks p = {.struct_size = sizeof p, .want = b, .ids = out->ids, .scores = out->scores};
    const dal_view view = fx_view_of(t->r);
    out->err = (dal_error)DAL_ERROR_INIT;
    t->r->host = dal_runtime_host(t->rt, "strategy");
    out->status = fx_run_on(&view, t->impl, t->self, &p, &out->err);
    out->n = p.n;
    return out->status;
}

static inline void ta_pick(ta_run *t, int64_t b, fx_picks *out)
{
    cr_assert_eq(ta_try(t, b, out), DAL_OK, "%s", out->err.text);
    cr_assert_eq(out->n, b);
    for (int64_t i = 0; i < b; i++) {
        out->rows[i] = fx_row_of(&t->r->set[DAL_ROWS_CANDIDATES], out->ids[i]);
        cr_assert_geq(out->rows[i], 0);
        for (int64_t j = 0; j < i; j++)
            cr_assert_neq(out->ids[i], out->ids[j]);
    }
}

static inline void ta_same_picks(const fx_picks *a, const fx_picks *b, const char *when)
{
    cr_assert_eq(a->n, b->n);
    cr_assert_eq(memcmp(a->ids, b->ids, (size_t)a->n * sizeof *a->ids), 0, "other picks %s", when);
    cr_assert_eq(memcmp(a->scores, b->scores, (size_t)a->n * sizeof *a->scores), 0, "other scores %s", when);
}

/* Trained for some epochs by so many threads, and its picks. */
static inline void ta_trained_picks(fx_round *r, const dal_strategy_impl *impl, const void *options, int threads,
                                    int64_t b, fx_picks *out)
{
    ta_run t = ta_open(r, impl, options, threads);
    cr_assert_eq(ta_fit(r, impl->companion(t.self), 5, 16, &out->err), DAL_OK, "%s", out->err.text);
    ta_pick(&t, b, out);
    ta_close(&t);
}

static inline fx_bytes ta_save(const ta_run *t)
{
    dal_error err = DAL_ERROR_INIT;
    fx_bytes b = {0};
    const dal_writer w = {.struct_size = sizeof w, .impl = &b, .write = fx_bytes_write};
    cr_assert_eq(t->impl->save(t->self, &w, &err), DAL_OK, "%s", err.text);
    return b;
}

static inline dal_status ta_load(ta_run *t, fx_bytes *b, dal_error *err)
{
    const dal_reader r = {.struct_size = sizeof r, .impl = b, .read = fx_bytes_read};
    b->at = 0;
    return t->impl->load(t->self, &r, err);
}

/* What was saved gives the same picks in a fresh instance; what breaks off, or is no head, is refused. */
static inline void ta_state_comes_back(const dal_strategy_impl *impl, const void *options)
{
    static fx_picks before, after;
    dal_error err = DAL_ERROR_INIT;
    fx_round *r = ta_round(90, 40, 4, 6);
    ta_run t = ta_open(r, impl, options, 2), u;
    fx_bytes empty = ta_save(&t);
    cr_assert_eq(ta_fit(r, impl->companion(t.self), 4, 8, &err), DAL_OK, "%s", err.text);
    ta_pick(&t, 30, &before);
    fx_bytes b = ta_save(&t), again;
    ta_close(&t);
    u = ta_open(r, impl, options, 1);
    b.chunk = 7;
    cr_assert_eq(ta_load(&u, &b, &err), DAL_OK, "%s", err.text);
    ta_pick(&u, 30, &after);
    ta_same_picks(&before, &after, "after load");
    again = ta_save(&u);
    cr_assert(again.n == b.n && memcmp(again.data, b.data, b.n) == 0);
    const size_t whole = b.n;
    for (b.n = 0; b.n < whole; b.n += b.n < 60 ? 1 : 97)
        cr_assert_eq(ta_load(&u, &b, &err), DAL_E_FORMAT, "%zu bytes of %zu", b.n, whole);
    b.n = whole;
    for (size_t i = 0; i < 48; i += 8) { /* each number of the head of the state */
        int64_t was;
        const int64_t bad[] = {-1, 0, INT64_MAX};
        memcpy(&was, b.data + i, sizeof was);
        for (int k = i == 0; k < 3; k++) {
            memcpy(b.data + i, &bad[i == 0 && k == 1 ? 0 : k] /* 0 there: nothing learned */, sizeof was);
            const dal_status st = ta_load(&u, &b, &err);
            cr_assert(st == DAL_E_FORMAT || st == DAL_E_NOMEM, "number %zu is %lld: status %d", i / 8,
                      (long long)bad[k], (int)st);
        }
        memcpy(b.data + i, &was, sizeof was);
    }
    const float nan = NAN;
    memcpy(b.data + b.n - sizeof nan, &nan, sizeof nan);
    cr_assert_eq(ta_load(&u, &b, &err), DAL_E_FORMAT);
    cr_assert_eq(ta_try(&u, 3, &after), DAL_E_INVALID, "half a head must not score");
    cr_assert_eq(ta_load(&u, &empty, &err), DAL_OK, "%s", err.text);
    cr_assert_eq(ta_try(&u, 3, &after), DAL_E_INVALID);
    cr_assert(strstr(after.err.text, "has learned nothing"), "%s", after.err.text);
    ta_close(&u);
    free(b.data);
    free(again.data);
    free(empty.data);
    fx_round_free(r);
}

/* Models that the head cannot be used with. */
static inline void ta_refuses_other_models(const dal_strategy_impl *impl, const void *options)
{
    static fx_picks p;
    dal_error err = DAL_ERROR_INIT;
    fx_round *r = ta_round(20, 12, 3, 5);
    ta_run t = ta_open(r, impl, options, 1);
    const dal_companion *c = impl->companion(t.self);
    const dal_companion_setup none = {sizeof none, 0, 0, 12, 3, 3, 5, 0, NULL, 0};
    cr_assert_eq(c->wants, DAL_WANT_STAGES);
    fx_expect(&err, c->begin(c->self, &none, &err), DAL_E_UNSUPPORTED, "", "the model shows no stages");
    cr_assert_eq(ta_fit(r, c, 2, 6, &err), DAL_OK);
    ta_width_of_inputs = 4;
    fx_expect(&p.err, ta_try(&t, 3, &p), DAL_E_INVALID, "", "a model of another shape");
    ta_width_of_inputs = 5;
    const dal_model live = r->model;
    r->model.impl = &fx_model_impl;
    fx_expect(&p.err, ta_try(&t, 3, &p), DAL_E_UNSUPPORTED, "", DAL_CAP_STAGES);
    r->model.impl = NULL;
    fx_expect(&p.err, ta_try(&t, 3, &p), DAL_E_UNSUPPORTED, "", "no live model");
    r->model = live;
    ta_pick(&t, 3, &p);
    ta_batch b;
    ta_batch_init(&b, r, DAL_ROWS_LABELLED, 0, 4);
    for (int k = 0; k < 5; k++)
        b.small[3] = k == 4 ? INFINITY : b.small[3];
    fx_expect(&err, c->step(c->self, 6, 0, &b.b, NULL, &err), DAL_E_DIVERGED, "", "in epoch 7");
    b.b.stages = NULL;
    fx_expect(&err, c->step(c->self, 0, 0, &b.b, NULL, &err), DAL_E_CONTRACT, "", "shows none");
    ta_batch_free(&b);
    ta_close(&t);
    fx_round_free(r);
}

/* With `keep` the next fit goes on from the weights there are, else from new ones of its round; keep: options that say
 * so. */
static inline void ta_goes_on(const dal_strategy_impl *impl, const void *anew, const void *keep,
                              loss_head *(*head_of)(void *self))
{
    dal_error err = DAL_ERROR_INIT;
    fx_round *r = ta_round(20, 12, 3, 5);
    for (int kept = 0; kept < 2; kept++) {
        ta_run t = ta_open(r, impl, kept ? keep : anew, 1);
        loss_head *h = head_of(t.self);
        r->round = 0;
        cr_assert_eq(ta_fit(r, impl->companion(t.self), 3, 6, &err), DAL_OK, "%s", err.text);
        const size_t bytes = (size_t)h->n_weights * sizeof(float);
        float *was = malloc(bytes);
        memcpy(was, h->weights, bytes);
        r->round = 1;
        cr_assert_eq(ta_begin(r, impl->companion(t.self), 3, &err), DAL_OK, "%s", err.text);
        cr_assert_eq(memcmp(was, h->weights, bytes) == 0, kept);
        cr_assert_eq(h->learned, kept);
        free(was);
        ta_close(&t);
    }
    fx_round_free(r);
}

/* Every allocation fails in turn, from create to the picks. */
static inline void ta_survives_no_memory(const dal_strategy_impl *impl, const void *options)
{
    static fx_picks p;
    fx_round *r = ta_round(30, 12, 3, 5);
    dal_status st = DAL_E_NOMEM;
    int64_t k = 0;
    while (st != DAL_OK && ++k < 200) {
        dal_error err = DAL_ERROR_INIT;
        const dal_runtime_config config = {.struct_size = sizeof config, .threads = 1, .fail_alloc = k};
        ta_run t = {r, dal_runtime_new(&config, &err), impl, NULL};
        st = impl->create(dal_runtime_host(t.rt, "strategy"), options, &t.self, &err);
        if (st == DAL_OK)
            st = ta_fit(r, impl->companion(t.self), 2, 6, &err);
        if (st == DAL_OK && (st = ta_try(&t, 5, &p)) != DAL_OK)
            err = p.err;
        cr_assert(st == DAL_OK || (st == DAL_E_NOMEM && err.text[0]), "allocation %lld: status %d, '%s'", (long long)k,
                  (int)st, err.text);
        ta_close(&t);
    }
    cr_assert(st == DAL_OK && k > 12, "%lld allocations", (long long)k);
    fx_round_free(r);
}

/* ---- the head in double, unit by unit ------------------------------------------------------------------ */

/* y of row i of stages, from weights in double, laid out as h has them. */
static inline void ta_twin(const loss_head *h, const double *weights, double *const *stages, int64_t i, double *y)
{
    const double *w = weights;
    double *units = calloc((size_t)h->n_units, sizeof *units);
    for (int64_t s = 0; s < h->n_stages; s++) {
        const int64_t c = h->widths[s], width = h->rule.width;
        for (int64_t u = 0; u < width; u++) {
            double sum = w[c * width + u];
            for (int64_t j = 0; j < c; j++)
                sum += w[u * c + j] * stages[s][i * c + j];
            units[s * width + u] = sum > 0 ? sum : 0;
        }
        w += (c + 1) * width;
    }
    for (int64_t k = 0; k < h->n_outputs; k++) {
        y[k] = w[h->n_units * h->n_outputs + k];
        for (int64_t u = 0; u < h->n_units; u++)
            y[k] += w[k * h->n_units + u] * units[u];
    }
    free(units);
}

static inline double *ta_doubles(const float *x, int64_t n)
{
    double *out = malloc((size_t)n * sizeof *out);
    for (int64_t i = 0; i < n; i++)
        out[i] = (double)x[i];
    return out;
}

/* y of all candidates, in malloc'ed [n, n_outputs]. */
static inline double *ta_twin_of_candidates(const fx_round *r, const loss_head *h)
{
    const fx_rows *pool = &r->set[DAL_ROWS_CANDIDATES];
    double *w = ta_doubles(h->weights, h->n_weights), *y = malloc((size_t)(pool->n * h->n_outputs) * sizeof *y);
    ta_batch t;
    ta_batch_init(&t, r, DAL_ROWS_CANDIDATES, 0, pool->n);
    double *stages[] = {ta_doubles(t.x, pool->n * r->d), ta_doubles(t.small, pool->n * TA_SMALL)};
    for (int64_t i = 0; i < pool->n; i++)
        ta_twin(h, w, stages, i, y + i * h->n_outputs);
    ta_batch_free(&t);
    free(stages[0]);
    free(stages[1]);
    free(w);
    return y;
}

/* One step against central differences: by the stages (what is added to d_stages, times 1 / weight of the loss) and by
 * the head's weights (head->gradient). loss: of y [n, n_outputs] in double, all that the step sees given as ctx. */
static inline void ta_gradients_agree(ta_run *t, loss_head *h, ta_batch *b,
                                      double (*loss)(void *ctx, const double *y, int64_t n), void *ctx)
{
    const int64_t n = b->b.n, d = t->r->d, sizes[] = {n * d, n * TA_SMALL};
    const dal_companion *c = t->impl->companion(t->self);
    dal_error err = DAL_ERROR_INIT;
    double *w = ta_doubles(h->weights, h->n_weights), *y = malloc((size_t)(n * h->n_outputs) * sizeof *y);
    double *stages[] = {ta_doubles(b->x, sizes[0]), ta_doubles(b->small, sizes[1])}, biggest = 0;
    cr_assert_eq(c->step(c->self, 0, 0, &b->b, NULL, &err), DAL_OK, "%s", err.text);
    for (int what = 0; what < 3; what++) {
        double *at = what < 2 ? stages[what] : w;
        const float *got = what < 2 ? b->d_stages[what] : h->gradient;
        for (int64_t v = 0; v < (what < 2 ? sizes[what] : h->n_weights); v++) {
            const double was = at[v], e = 1e-6;
            double side[2];
            for (int k = 0; k < 2; k++) {
                at[v] = was + (k ? -e : e);
                for (int64_t i = 0; i < n; i++)
                    ta_twin(h, w, stages, i, y + i * h->n_outputs);
                side[k] = loss(ctx, y, n);
            }
            at[v] = was;
            const double want = (side[0] - side[1]) / (2 * e);
            cr_assert_float_eq((double)got[v], want, 2e-5 * (1 + fabs(want)), "%s %lld: %g, by differences %g",
                               what < 2 ? "stage value" : "weight", (long long)v, (double)got[v], want);
            biggest = fmax(biggest, fabs(want));
        }
    }
    cr_assert_gt(biggest, 0.05, "there is nothing to compare");
    free(stages[0]);
    free(stages[1]);
    free(w);
    free(y);
}

/* Detached from an epoch on: nothing more for the model, and the head still moves. */
static inline void ta_detaches(const dal_strategy_impl *impl, const void *options, loss_head *(*head_of)(void *self),
                               int64_t epochs, int64_t from)
{
    dal_error err = DAL_ERROR_INIT;
    fx_round *r = ta_round(20, 12, 3, 5);
    ta_run t = ta_open(r, impl, options, 1);
    const dal_companion *c = impl->companion(t.self);
    loss_head *h = head_of(t.self);
    cr_assert_eq(ta_begin(r, c, epochs, &err), DAL_OK);
    for (int64_t e = 0; e < epochs; e++) {
        float most = 0;
        const size_t bytes = (size_t)h->n_weights * sizeof(float);
        float *was = malloc(bytes);
        ta_batch b;
        ta_batch_init(&b, r, DAL_ROWS_LABELLED, 0, 12);
        memcpy(was, h->weights, bytes);
        cr_assert_eq(c->step(c->self, e, 0, &b.b, NULL, &err), DAL_OK);
        for (int64_t i = 0; i < 12 * r->d; i++)
            most = fmaxf(most, fabsf(b.d_x[i]));
        for (int64_t i = 0; i < 12 * r->c; i++)
            cr_assert_eq(b.d_logits[i], 0);
        cr_assert_eq(most > 0, e < from, "epoch %lld: %g", (long long)e, (double)most);
        cr_assert_neq(memcmp(was, h->weights, bytes), 0);
        ta_batch_free(&b);
        free(was);
    }
    ta_close(&t);
    fx_round_free(r);
}

#endif
