/* A trained model over a dataset, as a provider. */
#include <math.h>
#include <stdlib.h>

#include "pipeline/provider.h"
#include "util/text.h"

float *floats_reserve(floats *f, int64_t rows, int64_t cols, int64_t times, dal_error *err)
{
    int64_t n;
    if (!dal_size_mul(rows, cols, &n) || !dal_size_mul(n, times, &n) || n > INT64_MAX / 8) {
        dal_fail(err, DAL_E_OVERFLOW, "", "a block of %lld x %lld x %lld numbers does not fit in memory",
                 (long long)times, (long long)rows, (long long)cols);
        return NULL;
    }
    if ((size_t)n > f->n || !f->data) {
        free(f->data);
        f->n = (size_t)n;
        f->data = aligned_alloc(64, ((size_t)n * sizeof(float) + 127) / 64 * 64);
        if (!f->data) {
            f->n = 0;
            dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld numbers", (long long)n);
        }
    }
    return f->data;
}

void scratch_free(scratch *s)
{
    while (s) {
        scratch *next = s->next;
        batch_free(&s->batch);
        free(s->outputs.data);
        free(s->features.data);
        free(s->mc.data);
        free(s);
        s = next;
    }
}

static model_provider *self_of(const provider *p)
{
    return p->impl;
}

static void enter(model_provider *p)
{
    if (!p->base.concurrent)
        pthread_mutex_lock(&p->lock);
}

static void leave(model_provider *p)
{
    if (!p->base.concurrent)
        pthread_mutex_unlock(&p->lock);
}

/* Outputs a strategy can rank: NaN and +inf are refused (-inf is a probability of 0). */
static dal_status check_finite(const model_provider *p, const char *what, const float *x, int64_t n, dal_error *err)
{
    for (int64_t i = 0; i < n; i++)
        if (isnan(x[i]) || x[i] == INFINITY)
            return dal_fail(err, DAL_E_CONTRACT, "", "model '%s' gives %s that are not numbers (%f)", p->desc->id,
                            what, (double)x[i]);
    return DAL_OK;
}

/* The same of n rows of classes; probabilities are such. */
static dal_status check_outputs(const model_provider *p, const char *what, const float *x, int64_t n, dal_error *err)
{
    const int64_t c = p->base.n_classes;
    const dal_status st = check_finite(p, what, x, n * c, err);
    for (int64_t i = 0; st == DAL_OK && p->base.output_kind == DAL_PROBS && i < n; i++) {
        double sum = 0;
        float least = 0;
        for (int64_t k = 0; k < c; k++) {
            sum += (double)x[i * c + k];
            least = x[i * c + k] < least ? x[i * c + k] : least;
        }
        if (least < 0 || !(fabs(sum - 1) < 1e-2))
            return dal_fail(err, DAL_E_CONTRACT, "", "model '%s' gives %s that are no probabilities: those of a sample "
                            "sum to %g%s; expected numbers from 0 that sum to 1", p->desc->id, what, sum,
                            least < 0 ? ", with negative ones" : "");
    }
    return st;
}

dal_status model_predict(model_provider *p, const dal_batch *x, float *out, dal_error *err)
{
    enter(p);
    const dal_status st = CALL(p->desc, predict, p->handle.impl->predict(p->handle.self, x, out, err), err);
    leave(p);
    return st == DAL_OK ? check_outputs(p, "outputs", out, x->n, err) : st;
}

static bool of_validation(const provider *base, const int64_t *ids, int64_t n)
{
    return n > 0 && ids[0] >= base->n_pool; /* row sets never mix */
}

static dal_status read_rows(const provider *base, scratch *s, const int64_t *ids, int64_t n, dal_error *err)
{
    enum { FEW = 1024 };
    int64_t few[2][FEW], *rows = n <= FEW ? few[0] : xcalloc((size_t)(2 * n), sizeof *rows);
    int64_t *shifted = n <= FEW ? few[1] : rows + n;
    const bool validation = of_validation(base, ids, n);
    for (int64_t i = 0; i < n; i++) {
        rows[i] = i;
        shifted[i] = validation ? ids[i] - base->n_pool : ids[i];
    }
    dal_samples *list = source_samples(self_of(base)->source, validation ? DAL_SPLIT_VALIDATION : DAL_SPLIT_TRAIN,
                                       shifted, NULL, NULL, n);
    const dal_status st = list ? batch_read(&s->batch, list, rows, n, err)
                               : dal_fail(err, DAL_E_CONTRACT, "", "a sample outside the pool was asked for");
    free(list);
    if (rows != few[0])
        free(rows);
    return st;
}

static dal_status inputs(const provider *base, scratch *s, const int64_t *ids, int64_t n, dal_batch *out,
                         dal_error *err)
{
    const dal_status st = read_rows(base, s, ids, n, err);
    if (st == DAL_OK)
        *out = s->batch.batch;
    return st;
}

static dal_status outputs(const provider *base, scratch *s, const int64_t *ids, int64_t n, dal_matrix *out,
                          dal_error *err)
{
    float *z = floats_reserve(&s->outputs, n, base->n_classes, 1, err);
    dal_status st = z ? read_rows(base, s, ids, n, err) : DAL_E_NOMEM;
    if (st == DAL_OK)
        st = model_predict(self_of(base), &s->batch.batch, z, err);
    *out = (dal_matrix){z, n, base->n_classes, base->n_classes};
    return st;
}

static dal_status features(const provider *base, scratch *s, const int64_t *ids, int64_t n, dal_matrix *out,
                           dal_matrix *both, dal_error *err)
{
    model_provider *p = self_of(base);
    float *h = floats_reserve(&s->features, n, base->d, 1, err);
    float *z = both ? floats_reserve(&s->outputs, n, base->n_classes, 1, err) : NULL;
    if (!h || (both && !z))
        return DAL_E_NOMEM;
    dal_status st = read_rows(base, s, ids, n, err);
    if (st != DAL_OK)
        return st;
    enter(p);
    st = CALL(p->desc, features, p->features->features(p->handle.self, &s->batch.batch, h, z, err), err);
    leave(p);
    if (st == DAL_OK)
        st = check_finite(p, "features", h, n * base->d, err);
    if (st == DAL_OK && both)
        st = check_outputs(p, "outputs", z, n, err);
    *out = (dal_matrix){h, n, base->d, base->d};
    if (both)
        *both = (dal_matrix){z, n, base->n_classes, base->n_classes};
    return st;
}

static dal_status mc(const provider *base, scratch *s, const int64_t *ids, int64_t n, int64_t passes,
                     dal_tensor3 *out, dal_error *err)
{
    model_provider *p = self_of(base);
    float *z = floats_reserve(&s->mc, n, base->n_classes, passes, err);
    dal_status st = z ? read_rows(base, s, ids, n, err) : DAL_E_NOMEM;
    if (st != DAL_OK)
        return st;
    enter(p);
    st = CALL(p->desc, mc, p->mc->mc(p->handle.self, &s->batch.batch, &p->stream, 0, passes, z, err), err);
    leave(p);
    if (st == DAL_OK)
        st = check_outputs(p, "Monte-Carlo outputs", z, passes * n, err);
    *out = (dal_tensor3){z, passes, n, base->n_classes};
    return st;
}

static dal_status last_layer(const provider *base, dal_matrix *weights, const float **bias, dal_error *err)
{
    const model_provider *p = self_of(base);
    *weights = (dal_matrix){0};
    *bias = NULL;
    dal_status st =
        CALL(p->desc, last_layer, p->last_layer->last_layer(p->handle.self, weights, bias, err), err);
    if (st == DAL_OK && (!weights->data || weights->rows != base->n_classes || weights->stride < weights->cols ||
                         (base->d && weights->cols != base->d)))
        st = dal_fail(err, DAL_E_CONTRACT, "",
                      "model '%s' gives last-layer weights [%lld, %lld], expected [%lld, %lld]", p->desc->id,
                      (long long)weights->rows, (long long)weights->cols, (long long)base->n_classes,
                      (long long)base->d);
    return st;
}

static dal_samples *samples(const provider *base, const int64_t *ids, const int32_t *classes,
                            const float *weights, int64_t n)
{
    return source_samples(self_of(base)->source, DAL_SPLIT_TRAIN, ids, classes, weights, n);
}

static const char *lacks(const provider *base, const char *capability)
{
    (void)base;
    (void)capability;
    return "use a model that offers it (dalhost component list --kind model)";
}

static const void *extension(const dal_instance *model, const char *id)
{
    const dal_model_impl *impl = model->impl;
    if (!dal_has_word(model->component->provides, id) || !DAL_HAS(dal_model_impl, impl, get_extension))
        return NULL;
    return impl->get_extension(model->self, id);
}

void model_provider_init(model_provider *p, source *s, const dal_instance *model, const component_spec *spec,
                         const dal_host *host)
{
    *p = (model_provider){.source = s, .model = model, .desc = spec->desc};
    p->handle = (dal_model){model->impl, model->self};
    p->features = extension(model, DAL_CAP_FEATURES);
    p->mc = extension(model, DAL_CAP_MC);
    p->last_layer = extension(model, DAL_CAP_LAST_LAYER);
    pthread_mutex_init(&p->lock, NULL);
    p->base = (provider){
        .host = host,
        .block = BLOCK_COMPUTED,
        .n_classes = s->info.spec.n_classes,
        .n_pool = s->info.n[DAL_SPLIT_TRAIN],
        .truth = s->classes[DAL_SPLIT_TRAIN],
        .groups = s->groups,
        .n_groups = s->n_groups,
        .group_names = s->group_names,
        .d = p->features ? p->features->width(model->self) : 0,
        .output_kind = p->handle.impl->output,
        .mc_kind = p->handle.impl->output,
        .model = &p->handle,
        .concurrent = instance_is_concurrent(model),
        .model_ref = spec_ref(spec),
        .impl = p,
        .outputs = outputs,
        .features = p->features ? features : NULL,
        .mc = p->mc ? mc : NULL,
        .inputs = inputs,
        .last_layer = p->last_layer ? last_layer : NULL,
        .samples = samples,
        .lacks = lacks,
    };
}

void model_provider_round(model_provider *p, int64_t round)
{
    p->stream = p->base.host->rng(p->base.host, "monte-carlo passes", round);
    if (p->features)
        p->base.d = p->features->width(p->handle.self);
}

void model_provider_fini(model_provider *p)
{
    pthread_mutex_destroy(&p->lock);
}
