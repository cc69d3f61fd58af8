/* What a run keeps: models and strategy states, the record of a round, where its picks lie. */
#include <stdlib.h>

#include "pipeline/explain.h"
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
    if (n > 0) /* of nothing data may be NULL */
        memcpy(b->data + b->n, data, n);
    b->n += n;
    return DAL_OK;
}

static dal_status read_bytes(const dal_reader *r, void *data, size_t n, size_t *got, dal_error *err)
{
    (void)err;
    bytes *b = r->impl;
    *got = n < b->n - b->at ? n : b->n - b->at;
    if (*got > 0)
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

/* ---- where picks lie ---- */

static space space_of_run(const run *r)
{
    return space_of(&r->provider.base, &r->t->source->info.spec);
}

static int64_t *ids_of_picks(const run *r)
{
    int64_t *ids = xcalloc((size_t)r->record.n_picks, sizeof *ids);
    for (int64_t i = 0; i < r->record.n_picks; i++)
        ids[i] = r->picks[i].id;
    return ids;
}

dal_status note_nearest(run *r, dal_error *err)
{
    const space s = space_of_run(r);
    const int64_t n = r->record.n_picks;
    if (!r->m->record_nearest)
        return DAL_OK;
    int64_t *ids = ids_of_picks(r), *nearest = xcalloc((size_t)n, sizeof *nearest);
    double *distance = xcalloc((size_t)n, sizeof *distance);
    const dal_status st =
        explain_nearest(&s, ids, n, r->pool.labelled, r->pool.count[SAMPLE_LABELLED], nearest, distance, err);
    for (int64_t i = 0; st == DAL_OK && i < n; i++) {
        r->picks[i].nearest = nearest[i];
        r->picks[i].distance = distance[i];
    }
    free(ids);
    free(nearest);
    free(distance);
    return st;
}

dal_status note_why(run *r, dal_error *err)
{
    const space s = space_of_run(r);
    const int64_t n = r->record.n_picks;
    if (!r->m->record_explain || n == 0 || s.width == 0)
        return DAL_OK;
    const row_sets sets = pool_sets(&r->pool);
    dal_matrix features;
    const bool ready = view_has_features(r->view, DAL_ROWS_CANDIDATES, &features);
    int64_t *ids = ids_of_picks(r);
    r->why = xcalloc((size_t)n, sizeof *r->why);
    const dal_status st = explain_picks(&s, ids, n, sets.ids[DAL_ROWS_CANDIDATES], sets.n[DAL_ROWS_CANDIDATES],
                                        ready ? &features : NULL, r->why, err);
    for (int64_t i = 0; st == DAL_OK && i < n; i++)
        r->picks[i].why = &r->why[i];
    free(ids);
    return st;
}
