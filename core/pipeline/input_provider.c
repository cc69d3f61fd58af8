/* The inputs of a dataset in the place of features: what can be known of samples before a model is trained. */
#include <stdlib.h>

#include "pipeline/provider.h"
#include "pipeline/view.h"

static dal_status read_block(const provider *base, scratch *s, const int64_t *ids, int64_t n, dal_error *err)
{
    const input_provider *p = base->impl;
    int64_t rows[BLOCK_COMPUTED];
    if (n > BLOCK_COMPUTED) /* whole matrices are put together from blocks */
        return dal_fail(err, DAL_E_UNSUPPORTED, "", "samples are read in blocks");
    for (int64_t i = 0; i < n; i++)
        rows[i] = i;
    dal_samples *list = source_samples(p->source, DAL_SPLIT_TRAIN, ids, NULL, NULL, n);
    const dal_status st = list ? batch_read(&s->batch, list, rows, n, err)
                               : dal_fail(err, DAL_E_CONTRACT, "", "a sample outside the pool was asked for");
    free(list);
    return st;
}

static dal_status inputs(const provider *base, scratch *s, const int64_t *ids, int64_t n, dal_batch *out,
                         dal_error *err)
{
    const dal_status st = read_block(base, s, ids, n, err);
    if (st == DAL_OK)
        *out = s->batch.batch;
    return st;
}

static dal_status features(const provider *base, scratch *s, const int64_t *ids, int64_t n, dal_matrix *out,
                           dal_matrix *both, dal_error *err)
{
    (void)both; /* there are no outputs */
    float *h = floats_reserve(&s->features, n, base->d, 1, err);
    const dal_status st = h ? read_block(base, s, ids, n, err) : DAL_E_NOMEM;
    if (st == DAL_OK)
        batch_as_floats(&s->batch.batch, base->d, h);
    *out = (dal_matrix){h, n, base->d, base->d};
    return st;
}

static dal_samples *samples(const provider *base, const int64_t *ids, const int32_t *classes, const float *weights,
                            int64_t n)
{
    const input_provider *p = base->impl;
    return source_samples(p->source, DAL_SPLIT_TRAIN, ids, classes, weights, n);
}

static const char *lacks(const provider *base, const char *capability)
{
    (void)base;
    (void)capability;
    return "no model is trained yet, the initial set is chosen by the inputs";
}

void input_provider_init(input_provider *p, source *s, const dal_host *host)
{
    const int64_t d = dal_sample_values(&s->info.spec);
    *p = (input_provider){.source = s};
    p->base = (provider){
        .host = host,
        .block = BLOCK_COMPUTED,
        .n_classes = s->info.spec.n_classes,
        .n_pool = s->info.n[DAL_SPLIT_TRAIN],
        .truth = s->classes[DAL_SPLIT_TRAIN],
        .groups = s->groups,
        .n_groups = s->n_groups,
        .group_names = s->group_names,
        .d = d,
        .impl = p,
        .features = features,
        .inputs = inputs,
        .samples = samples,
        .lacks = lacks,
    };
}
