/* Tests of models: fit and predict on small data, always the same, and what save gives, load takes. */
#include "check/model.h"

#include <math.h>
#include <stdlib.h>

#include <dal/model.h>

#include "check/work.h"
#include "util/text.h"

#define C 3 /* classes of every world here */

static const world_shape fit_world = {.candidates = 90, .labelled = 60, .c = C, .d = 8};

/* ---- helpers ---- */

static const dal_model_impl *impl_of(const stage *st)
{
    return st->instance->impl;
}

void check_finite(const float *x, int64_t n, const char *what)
{
    for (int64_t i = 0; i < n; i++)
        CHECK(isfinite(x[i]), "%s: value %lld is %g", what, (long long)i, (double)x[i]);
}

bool same_floats(const float *a, const float *b, int64_t n)
{
    return n == 0 || memcmp(a, b, (size_t)n * sizeof *a) == 0;
}

double relative_gap(const float *a, const float *b, int64_t n)
{
    double gap = 0, most = 0;
    for (int64_t i = 0; i < n; i++) {
        gap = fmax(gap, fabs((double)a[i] - (double)b[i]));
        most = fmax(most, fabs((double)a[i]));
    }
    return gap / (1 + most);
}

dal_status model_try_fit(stage *st, int64_t round, bool warm, dal_error *err)
{
    dal_samples *train = world_set(st->w, DAL_ROWS_LABELLED);
    dal_fit_report *report = guard_new(sizeof *report);
    *report = (dal_fit_report){.struct_size = sizeof *report};
    const dal_fit fit = {.struct_size = sizeof fit, .warm = warm, .round = round, .train = train};
    const dal_status status = impl_of(st)->fit(st->instance->self, &fit, report, err);
    guard_check(report, "fit (report)");
    rig_check_error(status, err, "fit");
    CHECK(status || (report->epochs >= 0 && report->steps >= 0), "fit reports %lld epochs and %lld steps",
          (long long)report->epochs, (long long)report->steps);
    CHECK(status || !isnan(report->loss), "fit reports a loss of NaN");
    guard_free(report);
    free(train);
    return status;
}

void model_fit(stage *st, int64_t round, bool warm)
{
    dal_error err = DAL_ERROR_INIT;
    CHECK(model_try_fit(st, round, warm, &err) == DAL_OK, "fit fails: %s", err.text);
}

static void check_outputs(const stage *st, const float *out, int64_t n)
{
    check_finite(out, n * C, "predict");
    for (int64_t i = 0; impl_of(st)->output == DAL_PROBS && i < n; i++) {
        double sum = 0;
        for (int k = 0; k < C; k++) {
            CHECK(out[i * C + k] >= 0, "predict: a probability is %g", (double)out[i * C + k]);
            sum += (double)out[i * C + k];
        }
        CHECK(fabs(sum - 1) < 1e-4, "predict: probabilities of a sample sum to %.6f", sum);
    }
}

const void *model_extension(const stage *st, const char *id)
{
    const dal_model_impl *impl = st->instance->impl;
    return DAL_HAS(dal_model_impl, impl, get_extension) ? impl->get_extension(st->instance->self, id) : NULL;
}

float *model_predict_ids(stage *st, const int64_t *ids, int64_t n, int64_t step)
{
    float *out = guard_new((size_t)(n * C) * sizeof *out);
    for (int64_t i = 0; i < n; i += step) {
        const int64_t k = n - i < step ? n - i : step;
        dal_batch x = world_batch(st->w, ids + i, k);
        dal_error err = DAL_ERROR_INIT;
        float *part = guard_new((size_t)(k * C) * sizeof *part);
        for (int64_t j = 0; j < k * C; j++)
            part[j] = NAN;
        CHECK(impl_of(st)->predict(st->instance->self, &x, part, &err) == DAL_OK, "predict fails: %s", err.text);
        guard_check(part, "predict");
        memcpy(out + i * C, part, (size_t)(k * C) * sizeof *part);
        guard_free(part);
        world_batch_free(&x);
    }
    check_outputs(st, out, n);
    return out;
}

float *model_predict_all(stage *st, int64_t step)
{
    return model_predict_ids(st, st->w->sets.ids[DAL_ROWS_CANDIDATES], st->w->sets.n[DAL_ROWS_CANDIDATES], step);
}

dal_status model_work(stage *st, rig *r, dal_error *err)
{
    (void)r;
    const dal_status status = model_try_fit(st, 0, false, err);
    if (status)
        return status;
    dal_batch x = world_batch(st->w, st->w->sets.ids[DAL_ROWS_CANDIDATES], 20);
    float *out = guard_new(20 * C * sizeof *out);
    const dal_status predicted = impl_of(st)->predict(st->instance->self, &x, out, err);
    guard_check(out, "predict");
    guard_free(out);
    world_batch_free(&x);
    return predicted;
}

/* ---- tests ---- */

static void fit_predict(const subject *s, int arg)
{
    rig *r = rig_new(s, &(rig_options){0});
    stage st;
    world_shape shape = fit_world;
    shape.flags = (uint32_t)arg;
    stage_open(&st, r, &shape);
    dal_error err = DAL_ERROR_INIT;
    const dal_status status = model_try_fit(&st, 0, false, &err);
    if (arg != 0 && status)
        check_pass("refuses: %s", err.text);
    CHECK(status == DAL_OK, "fit fails: %s", err.text);
    guard_free(model_predict_all(&st, 90));
    stage_close(&st, r);
    rig_check_memory(r, "after fit, predict and destroy");
}

/* The order of samples, what else is in the batch, and how large it is must not show. */
static void block_bounds(const subject *s, int arg)
{
    (void)arg;
    rig *r = rig_new(s, &(rig_options){0});
    stage st;
    stage_open(&st, r, &fit_world);
    model_fit(&st, 0, false);
    const int64_t n = st.w->sets.n[DAL_ROWS_CANDIDATES], *ids = st.w->sets.ids[DAL_ROWS_CANDIDATES];
    float *whole = model_predict_all(&st, n);
    for (int64_t step = 1; step <= 64; step = 4 * step - 1 + (step == 1)) {
        float *parts = model_predict_all(&st, step);
        CHECK(same_floats(whole, parts, n * C), "predict gives other bits in blocks of %lld than in one of %lld",
              (long long)step, (long long)n);
        guard_free(parts);
    }
    int64_t *backwards = xcalloc((size_t)n, sizeof *backwards);
    for (int64_t i = 0; i < n; i++)
        backwards[i] = ids[n - 1 - i];
    float *turned = model_predict_ids(&st, backwards, n, n);
    for (int64_t i = 0; i < n; i++)
        CHECK(same_floats(whole + i * C, turned + (n - 1 - i) * C, C),
              "predict gives a sample other bits when the samples around it change");
}

static float *fresh(const subject *s, int threads, int64_t round)
{
    rig *r = rig_new(s, &(rig_options){.threads = threads});
    stage st;
    stage_open(&st, r, &fit_world);
    model_fit(&st, round, false);
    float *out = model_predict_all(&st, 90);
    stage_close(&st, r);
    stage_free(&st);
    rig_free(r);
    return out;
}

static void same_seed(const subject *s, int arg)
{
    (void)arg;
    const float *a = fresh(s, 1, 0), *b = fresh(s, 1, 0);
    CHECK(same_floats(a, b, 90 * C), "two models of the same seed predict other bits");
}

static void threads(const subject *s, int arg)
{
    (void)arg;
    const float *one = fresh(s, 1, 0);
    for (int n = 2; n <= 3; n++)
        CHECK(same_floats(one, fresh(s, n, 0), 90 * C), "1 and %d threads give other bits", n);
}

/* Earlier fits of an instance must not show: fit draws fresh weights by (seed, round). */
static void refit(const subject *s, int arg)
{
    (void)arg;
    rig *r = rig_new(s, &(rig_options){0});
    stage st;
    stage_open(&st, r, &fit_world);
    model_fit(&st, 0, false);
    model_fit(&st, 4, false);
    CHECK(same_floats(fresh(s, 1, 4), model_predict_all(&st, 90), 90 * C),
          "a second fit gives other bits than the same fit in a fresh instance");
}

static void warm_start(const subject *s, int arg)
{
    (void)arg;
    if (!dal_has_word(s->component->provides, DAL_CAP_WARM_START))
        check_skip("it does not offer %s", DAL_CAP_WARM_START);
    rig *r = rig_new(s, &(rig_options){0});
    stage st;
    stage_open(&st, r, &fit_world);
    model_fit(&st, 0, false);
    model_fit(&st, 1, true);
    guard_free(model_predict_all(&st, 90));
}

/* ---- save and load ---- */

static void save(stage *st, bytes *b)
{
    dal_error err = DAL_ERROR_INIT;
    const dal_writer w = bytes_writer(b);
    CHECK(impl_of(st)->save(st->instance->self, &w, &err) == DAL_OK, "save fails: %s", err.text);
    CHECK(b->n > 0, "save writes nothing");
}

static dal_status load(stage *st, bytes *b, dal_error *err)
{
    const dal_reader rd = bytes_reader(b);
    *err = (dal_error)DAL_ERROR_INIT;
    const dal_status status = impl_of(st)->load(st->instance->self, &rd, err);
    rig_check_error(status, err, "load");
    return status;
}

static void save_load(const subject *s, int arg)
{
    (void)arg;
    rig *r = rig_new(s, &(rig_options){0});
    stage st, copy;
    bytes kept = {0}, again = {0};
    dal_error err;
    stage_open(&st, r, &fit_world);
    stage_open(&copy, r, &fit_world);
    model_fit(&st, 0, false);
    save(&st, &kept);
    CHECK(load(&copy, &kept, &err) == DAL_OK, "load fails on what save wrote: %s", err.text);
    CHECK(same_floats(model_predict_all(&st, 90), model_predict_all(&copy, 90), 90 * C),
          "a loaded model predicts other bits than the one that was saved");
    save(&copy, &again);
    CHECK(kept.n == again.n && memcmp(kept.data, again.data, kept.n) == 0,
          "a loaded model saves other bytes than the one that was saved");
    if (dal_has_word(s->component->provides, DAL_CAP_WARM_START)) {
        model_fit(&st, 1, true);
        model_fit(&copy, 1, true);
        CHECK(same_floats(model_predict_all(&st, 90), model_predict_all(&copy, 90), 90 * C),
              "a warm start goes on differently after save and load");
    }
}

static void broken_state(const subject *s, int arg)
{
    (void)arg;
    rig *r = rig_new(s, &(rig_options){0});
    stage st;
    bytes kept = {0};
    dal_error err;
    stage_open(&st, r, &fit_world);
    model_fit(&st, 0, false);
    save(&st, &kept);
    for (size_t k = 0; k < 100; k++) { /* cut short */
        bytes cut = {kept.data, kept.n * k / 100, 0};
        CHECK(load(&st, &cut, &err) != DAL_OK, "load takes %zu of %zu bytes for a model", cut.n, kept.n);
    }
    dal_rng rng = dal_rng_from_key(s->seed);
    for (int k = 0; k < 400; k++) { /* flipped; most often in the first bytes, where sizes stand */
        const size_t room = k % 2 && kept.n > 256 ? 256 : kept.n;
        const size_t at = (size_t)dal_rng_below(&rng, (int64_t)room);
        const unsigned char old = kept.data[at];
        kept.data[at] ^= (unsigned char)(1u << dal_rng_below(&rng, 8));
        load(&st, &kept, &err);
        kept.data[at] = old;
    }
    CHECK(load(&st, &kept, &err) == DAL_OK, "load fails on a whole model after broken ones: %s", err.text);
    guard_free(model_predict_all(&st, 90));
    stage_close(&st, r);
    rig_check_memory(r, "after loading broken models");
}

const check_test model_tests[] = {
    {"fit/plain", "fit and predict; outputs are finite, probabilities sum to 1", KIND(MODEL), fit_predict, 0},
    {"fit/one-class", "the same when all training samples are of one class, or a refusal", KIND(MODEL), fit_predict,
     WORLD_ONE_CLASS},
    {"fit/constant", "the same when all samples are alike, or a refusal", KIND(MODEL), fit_predict, WORLD_CONSTANT},
    {"fit/again", "a second fit does not remember the first", KIND(MODEL), refit, 0},
    {"fit/warm", "a warm start goes on", KIND(MODEL), warm_start, 0},
    {"same/blocks", "predictions do not depend on blocks and order", KIND(MODEL), block_bounds, 0},
    {"same/seed", "the same seed gives the same bytes", KIND(MODEL), same_seed, 0},
    {"same/threads", "1, 2 and 3 threads give the same bytes", KIND(MODEL), threads, 0},
    {"state", "load gives the bits back that save took", KIND(MODEL), save_load, 0},
    {"state/broken", "cut and flipped bytes do no harm", KIND(MODEL), broken_state, 0},
    {0},
};
