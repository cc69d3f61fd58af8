/* What a run keeps: models and strategy states, the record of a round, the neighbours of its picks. */
#include <math.h>
#include <stdlib.h>

#include <dal/linalg.h>

#include "pipeline/run_private.h"
#include "pipeline/view_private.h"
#include "util/text.h"

/* ---- byte streams ---- */

static dal_status write_bytes(const dal_writer *w, const void *data, size_t n, dal_error *err)
{
    bytes *b = w->impl;
    if (n > SIZE_MAX / 4 - b->n)
        return dal_fail(err, DAL_E_OVERFLOW, "", "more than can be kept in memory");
    if (b->n + n > b->room) {
        const size_t room = 2 * b->room + n + 4096;
        unsigned char *more = realloc(b->data, room);
        if (!more)
            return dal_fail(err, DAL_E_NOMEM, "", "no memory for %zu bytes", room);
        b->data = more;
        b->room = room;
    }
    memcpy(b->data + b->n, data, n);
    b->n += n;
    return DAL_OK;
}

static dal_status read_bytes(const dal_reader *r, void *data, size_t n, size_t *got, dal_error *err)
{
    (void)err;
    bytes *b = r->impl;
    *got = n < b->n - b->at ? n : b->n - b->at;
    memcpy(data, b->data + b->at, *got);
    b->at += *got;
    return DAL_OK;
}

dal_status save_model(const run *r, bytes *b, dal_error *err)
{
    const dal_writer w = {sizeof w, 0, b, write_bytes};
    return CALL(r->m->model->desc, save, model_impl(r)->save(r->model->self, &w, err), err);
}

dal_status save_strategy(const run *r, bytes *b, dal_error *err)
{
    if (!DAL_HAS(dal_strategy_impl, strategy_impl(r), save))
        return DAL_OK;
    const dal_writer w = {sizeof w, 0, b, write_bytes};
    return CALL(r->spec->desc, save, strategy_impl(r)->save(r->strategy->self, &w, err), err);
}

static dal_status read_blob(const run *r, int64_t round, const char *what, bytes *b, dal_error *err)
{
    void *data = NULL;
    const dal_status st = store_read_blob(r->store, r->head.id, round, what, &data, &b->n, err);
    b->data = data;
    return st;
}

dal_status load_model(const run *r, int64_t round, dal_error *err)
{
    bytes b = {0};
    dal_status st = read_blob(r, round, "model", &b, err);
    const dal_reader reader = {sizeof reader, 0, &b, read_bytes};
    if (st == DAL_OK)
        st = CALL(r->m->model->desc, load, model_impl(r)->load(r->model->self, &reader, err), err);
    free(b.data);
    return st;
}

dal_status load_strategy(const run *r, int64_t round, dal_error *err)
{
    if (!DAL_HAS(dal_strategy_impl, strategy_impl(r), load))
        return DAL_OK;
    bytes b = {0};
    dal_status st = read_blob(r, round, "strategy", &b, err);
    const dal_reader reader = {sizeof reader, 0, &b, read_bytes};
    if (st == DAL_OK)
        st = CALL(r->spec->desc, load, strategy_impl(r)->load(r->strategy->self, &reader, err), err);
    free(b.data);
    return st;
}

bool keeps_model(const run *r)
{
    return r->m->keep != KEEP_NONE || r->m->warm_start || DAL_HAS(dal_strategy_impl, strategy_impl(r), observe);
}

/* ---- the record of a round ---- */

dal_status commit_round(run *r, dal_error *err)
{
    bytes model = {0}, strategy = {0};
    round_blob blobs[2];
    int n = 0;
    dal_status st = DAL_OK;
    const bool trained = r->record.metrics.epochs >= 0;
    if (trained && keeps_model(r)) {
        st = save_model(r, &model, err);
        blobs[n++] = (round_blob){"model", model.data, model.n};
    }
    if (st == DAL_OK)
        st = save_strategy(r, &strategy, err);
    if (st == DAL_OK && DAL_HAS(dal_strategy_impl, strategy_impl(r), save))
        blobs[n++] = (round_blob){"strategy", strategy.data, strategy.n};
    r->record.times.commit = r->last_commit;
    const int64_t start = now_ns();
    if (st == DAL_OK)
        st = store_commit_round(r->store, r->head.id, &r->record, blobs, n, r->m->keep == KEEP_ALL, err);
    r->last_commit = (double)(now_ns() - start) * 1e-9;
    r->committed = st == DAL_OK;
    free(model.data);
    free(strategy.data);
    return st;
}

/* ---- neighbours ---- */

/* Rows of a space in which samples are compared: features, or the inputs as they are. */
typedef struct space {
    run *r;
    int64_t d;
    float *picks, *labelled; /* [n_picks, d], [n_l, d] */
    const int64_t *labelled_ids;
    int64_t n_labelled;
} space;

static void inputs_as_floats(const dal_batch *x, int64_t d, float *out)
{
    if (x->spec->dtype == DAL_F32)
        memcpy(out, x->data, (size_t)(x->n * d) * sizeof(float));
    else
        for (int64_t i = 0; i < x->n * d; i++)
            out[i] = (float)((const uint8_t *)x->data)[i];
}

static dal_status fill_space(const run *r, const int64_t *ids, int64_t n, int64_t d, float *out, dal_error *err)
{
    const provider *p = &r->provider.base;
    scratch *s = xcalloc(1, sizeof *s);
    dal_status st = DAL_OK;
    for (int64_t first = 0; st == DAL_OK && first < n; first += VIEW_BLOCK) {
        const int64_t m = n - first < VIEW_BLOCK ? n - first : VIEW_BLOCK;
        if (p->features) {
            dal_matrix x;
            st = p->features(p, s, ids + first, m, &x, NULL, err);
            for (int64_t i = 0; st == DAL_OK && i < m; i++)
                memcpy(out + (first + i) * d, x.data + i * x.stride, (size_t)d * sizeof(float));
        } else {
            dal_batch x;
            st = p->inputs(p, s, ids + first, m, &x, err);
            if (st == DAL_OK)
                inputs_as_floats(&x, d, out + first * d);
        }
    }
    scratch_free(s);
    return st;
}

static dal_status nearest_of_pick(void *ctx, int64_t i)
{
    const space *s = ctx;
    pick *p = &s->r->picks[i];
    float best = INFINITY;
    for (int64_t l = 0; l < s->n_labelled; l++) {
        const float distance = dal_squared_distance(s->picks + i * s->d, s->labelled + l * s->d, s->d);
        if (distance < best) {
            best = distance;
            p->nearest = s->labelled_ids[l];
        }
    }
    p->distance = sqrt((double)best);
    return DAL_OK;
}

dal_status note_nearest(run *r, dal_error *err)
{
    const dal_sample_spec *spec = &r->t->source->info.spec;
    const int64_t n = r->record.n_picks, n_labelled = r->pool.count[SAMPLE_LABELLED];
    const bool dense = spec->modality == DAL_VECTOR || spec->modality == DAL_IMAGE;
    const int64_t d = r->provider.base.features ? r->provider.base.d : dense ? dal_sample_values(spec) : 0;
    int64_t total;
    if (!r->m->record_nearest || n == 0 || n_labelled == 0 || d == 0 || !dal_size_mul(n_labelled, d, &total))
        return DAL_OK;
    space s = {.r = r, .d = d, .labelled_ids = r->pool.labelled, .n_labelled = n_labelled};
    int64_t *ids = xcalloc((size_t)n, sizeof *ids);
    for (int64_t i = 0; i < n; i++)
        ids[i] = r->picks[i].id;
    s.picks = xcalloc((size_t)(n * d), sizeof(float));
    s.labelled = xcalloc((size_t)total, sizeof(float));
    dal_status st = fill_space(r, ids, n, d, s.picks, err);
    if (st == DAL_OK)
        st = fill_space(r, s.labelled_ids, n_labelled, d, s.labelled, err);
    const dal_host *h = r->provider.base.host;
    if (st == DAL_OK)
        st = h->parallel_for(h, n, nearest_of_pick, &s);
    free(ids);
    free(s.picks);
    free(s.labelled);
    return st;
}
