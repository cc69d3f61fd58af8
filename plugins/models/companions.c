#include "companions.h"

static dal_status take_buffers(companions *c, dal_error *err)
{
    const dal_dense *net = &c->model->net;
    const int32_t last = net->n_layers - 1;
    int64_t width = 2 * (net->layer[last].out + net->layer[last].in), count;
    for (int32_t l = 0; l < last; l++)
        width += 2 * net->layer[l].out;
    if (!dal_size_mul(width, c->capacity, &count) ||
        !(c->block = dal_array(c->model->host, count, sizeof *c->block)))
        return dal_fail(err, DAL_E_NOMEM, "", "no memory to show batches of %lld samples to companions",
                        (long long)c->capacity);
    float *next = c->block;
#define TAKE(p, w) (c->p = next, next += (w) * c->capacity)
    TAKE(logits, net->layer[last].out);
    TAKE(d_logits, net->layer[last].out);
    TAKE(features, net->layer[last].in);
    TAKE(d_features, net->layer[last].in);
    for (int32_t l = 0; l < last; l++) {
        TAKE(stages[l], net->layer[l].out);
        TAKE(d_stages[l], net->layer[l].out);
    }
#undef TAKE
    return DAL_OK;
}

dal_status companions_begin(companions *c, const dense_model *m, const dal_fit *fit, int64_t epochs,
                            int64_t capacity, dal_error *err)
{
    const int32_t n_stages = m->net.n_layers - 1;
    int64_t widths[DAL_DENSE_MAX_LAYERS];
    *c = (companions){.model = m, .fit = fit, .capacity = capacity};
    if (fit->n_companions == 0)
        return DAL_OK;
    for (int64_t i = 0; i < fit->n_companions; i++)
        c->wants |= fit->companions[i]->wants;
    dal_status st = take_buffers(c, err);
    for (int32_t l = 0; l < n_stages; l++)
        widths[l] = m->net.layer[l].out;
    const dal_companion_setup setup = {
        sizeof setup, 0, fit->round, fit->train->n, epochs, m->n_classes, m->net.layer[n_stages].in,
        n_stages, widths};
    for (int64_t i = 0; i < fit->n_companions && st == DAL_OK; i++)
        if (DAL_HAS(dal_companion, fit->companions[i], begin))
            st = fit->companions[i]->begin(fit->companions[i]->self, &setup, err);
    return st;
}

void companions_fini(companions *c)
{
    if (c->model)
        c->model->host->free(c->model->host, c->block);
    c->block = NULL;
}

/* The rows first..first+n-1 of the step as one companion may see them. */
typedef struct half {
    dal_companion_batch batch;
    const float *stages[DAL_DENSE_MAX_LAYERS];
    float *d_stages[DAL_DENSE_MAX_LAYERS];
} half;

static void make_half(const companions *c, uint32_t wants, const companions_step *at,
                      const dal_dense_pass *pass, int64_t first, int64_t n, half *h)
{
    const dal_dense *net = &c->model->net;
    const int32_t last = net->n_layers - 1;
    const int64_t k = net->layer[last].out, d = net->layer[last].in;
    const int labelled = first == 0;
    h->batch = (dal_companion_batch){.struct_size = sizeof h->batch,
                                     .n = n,
                                     .ids = at->ids + first,
                                     .classes = labelled ? at->classes : NULL,
                                     .losses = labelled ? pass->losses : NULL,
                                     .logits = c->logits + first * k,
                                     .d_logits = c->d_logits + first * k};
    if (wants & DAL_WANT_FEATURES) {
        h->batch.features = c->features + first * d;
        h->batch.d_features = c->d_features + first * d;
    }
    if (wants & DAL_WANT_STAGES) {
        for (int32_t l = 0; l < last; l++) {
            h->stages[l] = c->stages[l] + first * net->layer[l].out;
            h->d_stages[l] = c->d_stages[l] + first * net->layer[l].out;
        }
        h->batch.stages = h->stages;
        h->batch.d_stages = h->d_stages;
    }
}

static void show(companions *c, const dal_dense_pass *pass)
{
    const dal_dense *net = &c->model->net;
    const int32_t last = net->n_layers - 1;
    dal_dense_to_rows(pass->a[last], net->layer[last].out, pass->ld, pass->n, c->logits);
    if (c->wants & DAL_WANT_STAGES)
        for (int32_t l = 0; l < last; l++)
            dal_dense_to_rows(pass->a[l], net->layer[l].out, pass->ld, pass->n, c->stages[l]);
    if (!(c->wants & DAL_WANT_FEATURES))
        return;
    if (last > 0)
        dal_dense_to_rows(pass->a[last - 1], net->layer[last].in, pass->ld, pass->n, c->features);
    else
        memcpy(c->features, pass->x, (size_t)(pass->n * net->layer[0].in) * sizeof *c->features);
}

static void clear(float *rows, int64_t n, int64_t width)
{
    memset(rows, 0, (size_t)(n * width) * sizeof *rows);
}

/* d [width, ld] += rows [n, width] */
static void add_rows(const float *rows, int64_t n, int64_t width, float *d, int64_t ld)
{
    for (int64_t j = 0; j < width; j++)
        for (int64_t i = 0; i < n; i++)
            d[j * ld + i] += rows[i * width + j];
}

static void clear_gradients(companions *c, uint32_t wants, int64_t n)
{
    const dal_dense *net = &c->model->net;
    const int32_t last = net->n_layers - 1;
    clear(c->d_logits, n, net->layer[last].out);
    if (wants & DAL_WANT_FEATURES)
        clear(c->d_features, n, net->layer[last].in);
    for (int32_t l = 0; l < last && (wants & DAL_WANT_STAGES); l++)
        clear(c->d_stages[l], n, net->layer[l].out);
}

/* Gradients by features end here when the features are the input itself. */
static void add_gradients(const companions *c, uint32_t wants, const dal_dense_pass *pass)
{
    const dal_dense *net = &c->model->net;
    const int32_t last = net->n_layers - 1;
    add_rows(c->d_logits, pass->n, net->layer[last].out, pass->d[last], pass->ld);
    if ((wants & DAL_WANT_FEATURES) && last > 0)
        add_rows(c->d_features, pass->n, net->layer[last].in, pass->d[last - 1], pass->ld);
    for (int32_t l = 0; l < last && (wants & DAL_WANT_STAGES); l++)
        add_rows(c->d_stages[l], pass->n, net->layer[l].out, pass->d[l], pass->ld);
}

dal_status companions_run(companions *c, const companions_step *at, const dal_dense_pass *pass,
                          dal_error *err)
{
    const int64_t n_more = pass->n - pass->n_labelled;
    half labelled, unlabelled;
    dal_status st = DAL_OK;
    show(c, pass);
    for (int64_t i = 0; i < c->fit->n_companions && st == DAL_OK; i++) {
        const dal_companion *companion = c->fit->companions[i];
        const int both = n_more > 0 && (companion->wants & DAL_WANT_UNLABELLED);
        clear_gradients(c, companion->wants, pass->n);
        make_half(c, companion->wants, at, pass, 0, pass->n_labelled, &labelled);
        if (both)
            make_half(c, companion->wants, at, pass, pass->n_labelled, n_more, &unlabelled);
        st = companion->step(companion->self, at->epoch, at->step, &labelled.batch,
                             both ? &unlabelled.batch : NULL, err);
        if (st == DAL_OK)
            add_gradients(c, companion->wants, pass);
    }
    return st;
}

dal_status companions_epoch_end(companions *c, int64_t epoch, dal_error *err)
{
    dal_status st = DAL_OK;
    for (int64_t i = 0; i < c->fit->n_companions && st == DAL_OK; i++)
        if (DAL_HAS(dal_companion, c->fit->companions[i], epoch_end))
            st = c->fit->companions[i]->epoch_end(c->fit->companions[i]->self, epoch, err);
    return st;
}
