#include <dal/wrapper.h>

#include <math.h>
#include <stdlib.h>

/* ---- life ------------------------------------------------------------------------------------- */

static const dal_strategy_impl *table_of(const dal_wrapper *w, int64_t i)
{
    return w && w->inner[i] ? w->inner[i]->impl : NULL;
}

static int trains_along(const dal_wrapper *w, int64_t i)
{
    return DAL_HAS(dal_strategy_impl, table_of(w, i), companion) && table_of(w, i)->companion(w->inner[i]->self);
}

dal_status dal_wrapper_create(const dal_host *host, const void *options, const dal_component_ref *const *refs,
                              int64_t n, void **self, dal_error *err)
{
    dal_wrapper *w = host->alloc(host, sizeof *w, 0);
    if (!w)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for the strategy");
    *w = (dal_wrapper){.host = host, .options = options};
    dal_status st = DAL_OK;
    for (int64_t i = 0; st == DAL_OK && i < n; i++)
        if (refs[i])
            st = host->open(host, refs[i], NULL, &w->inner[i], err);
    if (st == DAL_OK && trains_along(w, 0) && trains_along(w, 1))
        st = dal_fail(err, DAL_E_INVALID, "",
                      "two of the strategies inside want to be trained along with the model; "
                      "expected at most one");
    if (st == DAL_OK)
        *self = w;
    else
        dal_wrapper_destroy(w);
    return st;
}

void dal_wrapper_destroy(void *self)
{
    dal_wrapper *w = self;
    if (!w)
        return;
    for (int64_t i = 0; i < DAL_WRAPPER_MAX; i++)
        if (w->inner[i])
            w->host->close(w->host, w->inner[i]);
    w->host->free(w->host, w);
}

/* ---- answers, companions, costs ----------------------------------------------------------------- */

dal_status dal_wrapper_observe(void *self, const dal_view *view, const dal_feedback *feedback, dal_error *err)
{
    const dal_wrapper *w = self;
    dal_status st = DAL_OK;
    for (int64_t i = 0; st == DAL_OK && i < DAL_WRAPPER_MAX; i++)
        if (DAL_HAS(dal_strategy_impl, table_of(w, i), observe))
            st = table_of(w, i)->observe(w->inner[i]->self, view, feedback, err);
    return st;
}

const dal_companion *dal_wrapper_companion(void *self)
{
    const dal_wrapper *w = self;
    const dal_companion *found = NULL;
    for (int64_t i = 0; !found && i < DAL_WRAPPER_MAX; i++)
        if (DAL_HAS(dal_strategy_impl, table_of(w, i), companion))
            found = table_of(w, i)->companion(w->inner[i]->self);
    return found;
}

dal_cost dal_wrapper_cost(const dal_wrapper *self, int64_t i, const dal_problem *problem)
{
    dal_cost cost = {.struct_size = sizeof cost};
    if (DAL_HAS(dal_strategy_impl, table_of(self, i), cost))
        table_of(self, i)->cost(self->inner[i]->self, NULL, problem, &cost);
    else if (table_of(self, i))
        cost.bytes = (double)NAN;
    return cost;
}

/* ---- state: of each inner strategy what it wrote, in pieces of (size, bytes), ended by size 0 ------- */

static dal_status write_piece(const dal_writer *outer, const void *data, uint32_t n, dal_error *err)
{
    dal_status st = outer->write(outer, &n, sizeof n, err);
    if (st == DAL_OK && n > 0)
        st = outer->write(outer, data, n, err);
    return st;
}

static dal_status write_pieces(const dal_writer *w, const void *data, size_t n, dal_error *err)
{
    const char *at = data;
    dal_status st = DAL_OK;
    while (st == DAL_OK && n > 0) {
        const uint32_t piece = n < UINT32_MAX ? (uint32_t)n : UINT32_MAX;
        st = write_piece(w->impl, at, piece, err);
        at += piece;
        n -= piece;
    }
    return st;
}

dal_status dal_wrapper_save(void *self, const dal_writer *outer, dal_error *err)
{
    const dal_wrapper *w = self;
    union {
        const dal_writer *read;
        void *impl;
    } borrowed = {outer};
    const dal_writer inner = {.struct_size = sizeof inner, .impl = borrowed.impl, .write = write_pieces};
    dal_status st = DAL_OK;
    for (int64_t i = 0; st == DAL_OK && i < DAL_WRAPPER_MAX; i++) {
        if (DAL_HAS(dal_strategy_impl, table_of(w, i), save))
            st = table_of(w, i)->save(w->inner[i]->self, &inner, err);
        if (st == DAL_OK)
            st = write_piece(outer, NULL, 0, err);
    }
    return st;
}

typedef struct pieces {
    const dal_reader *outer;
    uint32_t left; /* of the piece begun */
    int ended;
} pieces;

/* Begin the next piece where the last is used up. */
static dal_status next_piece(pieces *p, dal_error *err)
{
    size_t got = 0;
    if (p->left > 0 || p->ended)
        return DAL_OK;
    const dal_status st = p->outer->read(p->outer, &p->left, sizeof p->left, &got, err);
    if (st == DAL_OK && got != sizeof p->left)
        return dal_fail(err, DAL_E_FORMAT, "", "the state of a strategy inside breaks off");
    p->ended = st == DAL_OK && p->left == 0;
    return st;
}

static dal_status read_pieces(const dal_reader *r, void *data, size_t n, size_t *got, dal_error *err)
{
    pieces *p = r->impl;
    dal_status st = DAL_OK;
    *got = 0;
    while (st == DAL_OK && *got < n && (st = next_piece(p, err)) == DAL_OK && !p->ended) {
        const size_t want = n - *got < p->left ? n - *got : p->left;
        size_t some = 0;
        st = p->outer->read(p->outer, (char *)data + *got, want, &some, err);
        if (st == DAL_OK && some < want)
            st = dal_fail(err, DAL_E_FORMAT, "", "the state of a strategy inside breaks off");
        *got += some;
        p->left -= (uint32_t)some;
    }
    return st;
}

dal_status dal_wrapper_load(void *self, const dal_reader *outer, dal_error *err)
{
    const dal_wrapper *w = self;
    dal_status st = DAL_OK;
    for (int64_t i = 0; st == DAL_OK && i < DAL_WRAPPER_MAX; i++) {
        pieces p = {.outer = outer};
        const dal_reader inner = {.struct_size = sizeof inner, .impl = &p, .read = read_pieces};
        char rest[256];
        size_t got = 1;
        if (DAL_HAS(dal_strategy_impl, table_of(w, i), load))
            st = table_of(w, i)->load(w->inner[i]->self, &inner, err);
        while (st == DAL_OK && got > 0) /* what it did not want */
            st = read_pieces(&inner, rest, sizeof rest, &got, err);
    }
    return st;
}

/* ---- ids ---------------------------------------------------------------------------------------- */

static int by_number(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

void dal_sort_ids(int64_t *ids, int64_t n)
{
    qsort(ids, (size_t)n, sizeof *ids, by_number);
}
