#include "nn_companions.h"

static int64_t stage_shape(const dal_nn_model *m, int64_t stage, int64_t shape[3])
{
    dal_nn_shape(m->nn, dal_nn_stage_value(m->nn, stage), shape);
    return shape[0];
}

static dal_status take_buffers(nn_companions *c, int64_t capacity, dal_error *err)
{
    const dal_host *h = c->m->host;
    const int64_t n = c->m->info.n_stages;
    const int64_t k = c->m->n_classes, d = c->m->info.n_features;
    int64_t width = 0, shape[3], count;
    for (int64_t s = 0; s < n; s++)
        width += stage_shape(c->m, s, shape);
    c->stages = dal_array(h, n, sizeof *c->stages);
    c->d_stages = dal_array(h, n, sizeof *c->d_stages);
    c->half_stages = dal_array(h, 2 * n, sizeof *c->half_stages);
    c->half_d_stages = dal_array(h, 2 * n, sizeof *c->half_d_stages);
    if (dal_size_mul(2 * width + k + d, capacity, &count))
        c->block = dal_array(h, count, sizeof *c->block);
    if (!c->block || !c->stages || !c->d_stages || !c->half_stages || !c->half_d_stages)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory to show batches of %lld samples to companions",
                        (long long)capacity);
    float *at = c->block;
    for (int64_t s = 0; s < n; s++) {
        c->stages[s] = at;
        c->d_stages[s] = at + capacity * stage_shape(c->m, s, shape);
        at += 2 * capacity * shape[0];
    }
    c->d_logits = at;
    c->d_features = at + capacity * k;
    return DAL_OK;
}

dal_status nn_companions_begin(nn_companions *c, const dal_nn_model *m, const dal_fit *fit, int64_t epochs,
                               int64_t capacity, dal_error *err)
{
    *c = (nn_companions){.m = m, .fit = fit};
    if (fit->n_companions == 0)
        return DAL_OK;
    for (int64_t i = 0; i < fit->n_companions; i++)
        c->wants |= fit->companions[i]->wants;
    dal_status st = take_buffers(c, capacity, err);
    int64_t *widths = st == DAL_OK ? dal_array(m->host, m->info.n_stages, sizeof *widths) : NULL;
    if (st == DAL_OK && !widths)
        st = dal_fail(err, DAL_E_NOMEM, "", "no memory for companions");
    for (int64_t s = 0; s < m->info.n_stages && st == DAL_OK; s++) {
        int64_t shape[3];
        widths[s] = stage_shape(m, s, shape);
    }
    const dal_companion_setup setup = {sizeof setup, 0, fit->round, fit->train->n, epochs, m->n_classes,
                                       m->info.n_features, m->info.n_stages, widths,
                                       fit->unlabelled ? fit->unlabelled->n : 0};
    for (int64_t i = 0; i < fit->n_companions && st == DAL_OK; i++)
        if (DAL_HAS(dal_companion, fit->companions[i], begin))
            st = fit->companions[i]->begin(fit->companions[i]->self, &setup, err);
    m->host->free(m->host, widths);
    return st;
}

void nn_companions_fini(nn_companions *c)
{
    if (!c->m)
        return;
    const dal_host *h = c->m->host;
    h->free(h, c->half_d_stages);
    h->free(h, (void *)c->half_stages);
    h->free(h, c->d_stages);
    h->free(h, c->stages);
    h->free(h, c->block);
    c->m = NULL;
}

static void pool_stages(nn_companions *c, const dal_nn_step_view *view)
{
    for (int64_t s = 0; s < c->m->info.n_stages; s++) {
        const dal_nn_value v = dal_nn_stage_value(c->m->nn, s);
        int64_t shape[3];
        const int64_t width = stage_shape(c->m, s, shape), size = width * shape[1] * shape[2];
        for (int64_t i = 0; i < view->n; i++)
            nn_model_pool(c->m, v, view->value[v] + i * size, c->stages[s] + i * width);
    }
}

/* Each companion adds to zeros. */
static void clear_gradients(nn_companions *c, int64_t n)
{
    int64_t shape[3];
    memset(c->d_logits, 0, (size_t)(n * c->m->n_classes) * sizeof(float));
    memset(c->d_features, 0, (size_t)(n * c->m->info.n_features) * sizeof(float));
    for (int64_t s = 0; s < c->m->info.n_stages; s++)
        memset(c->d_stages[s], 0, (size_t)(n * stage_shape(c->m, s, shape)) * sizeof(float));
}

/* The gradient by the mean of a map goes to all its places alike. */
static void add_gradients(const nn_companions *c, const dal_nn_step_view *view)
{
    const dal_nn_info *info = &c->m->info;
    for (int64_t i = 0; i < view->n * info->n_outputs; i++)
        view->d[info->output][i] += c->d_logits[i];
    for (int64_t i = 0; i < view->n * info->n_features; i++)
        view->d[info->features][i] += c->d_features[i];
    for (int64_t s = 0; s < c->m->info.n_stages; s++) {
        const dal_nn_value v = dal_nn_stage_value(c->m->nn, s);
        int64_t shape[3];
        const int64_t width = stage_shape(c->m, s, shape), map = shape[1] * shape[2];
        for (int64_t i = 0; i < view->n * width; i++)
            for (int64_t p = 0; p < map; p++)
                view->d[v][i * map + p] += c->d_stages[s][i] / (float)map;
    }
}

/* Rows first..first+n-1 as one companion may see them. */
static dal_companion_batch half(nn_companions *c, uint32_t wants, const int64_t *ids, const int32_t *classes,
                                const dal_nn_step_view *view, int64_t first, int64_t n)
{
    const dal_nn_model *m = c->m;
    const int64_t k = m->n_classes, d = m->info.n_features;
    const int labelled = first == 0;
    dal_companion_batch b = {.struct_size = sizeof b,
                             .n = n,
                             .ids = ids + first,
                             .classes = labelled ? classes : NULL,
                             .losses = labelled ? view->losses : NULL,
                             .logits = view->value[m->info.output] + first * k,
                             .d_logits = c->d_logits + first * k};
    if (wants & DAL_WANT_FEATURES) {
        b.features = view->value[m->info.features] + first * d;
        b.d_features = c->d_features + first * d;
    }
    if (wants & DAL_WANT_STAGES) {
        const int64_t list = labelled ? 0 : m->info.n_stages;
        for (int64_t s = 0; s < m->info.n_stages; s++) {
            int64_t shape[3];
            const int64_t width = stage_shape(m, s, shape);
            c->half_stages[list + s] = c->stages[s] + first * width;
            c->half_d_stages[list + s] = c->d_stages[s] + first * width;
        }
        b.stages = c->half_stages + list;
        b.d_stages = c->half_d_stages + list;
    }
    return b;
}

dal_status nn_companions_run(nn_companions *c, int64_t epoch, int64_t step, const int64_t *ids, const int32_t *classes,
                             const dal_nn_step_view *view, dal_error *err)
{
    const int64_t n_more = view->n - view->n_labelled;
    dal_status st = DAL_OK;
    if (c->wants & DAL_WANT_STAGES)
        pool_stages(c, view);
    for (int64_t i = 0; i < c->fit->n_companions && st == DAL_OK; i++) {
        const dal_companion *companion = c->fit->companions[i];
        const int both = n_more > 0 && (companion->wants & DAL_WANT_UNLABELLED);
        const dal_companion_batch labelled = half(c, companion->wants, ids, classes, view, 0, view->n_labelled);
        const dal_companion_batch unlabelled =
            both ? half(c, companion->wants, ids, classes, view, view->n_labelled, n_more) : (dal_companion_batch){0};
        clear_gradients(c, view->n);
        st = companion->step(companion->self, epoch, step, &labelled, both ? &unlabelled : NULL, err);
        if (st == DAL_OK)
            add_gradients(c, view);
    }
    return st;
}

dal_status nn_companions_epoch_end(nn_companions *c, int64_t epoch, dal_error *err)
{
    dal_status st = DAL_OK;
    for (int64_t i = 0; i < c->fit->n_companions && st == DAL_OK; i++)
        if (DAL_HAS(dal_companion, c->fit->companions[i], epoch_end))
            st = c->fit->companions[i]->epoch_end(c->fit->companions[i]->self, epoch, err);
    return st;
}
