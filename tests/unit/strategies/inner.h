/* Strategies for the tests of wrappers to run inside. */
#ifndef TESTS_STRATEGY_INNER_H
#define TESTS_STRATEGY_INNER_H

#include "tests/unit/strategies/round.h"

#include <float.h>

/* The largest first output. */
static dal_status inner_score(void *self, const dal_block *b, double *out, dal_error *err)
{
    dal_outputs o;
    (void)self;
    const dal_status st = b->outputs(b, &o, err);
    for (int64_t i = 0; st == DAL_OK && i < b->n; i++)
        out[i] = (double)o.values.data[i * o.values.stride];
    return st;
}

static const dal_strategy_impl inner_first_output = {.struct_size = sizeof(dal_strategy_impl),
                                                     .score = inner_score};

/* Denormal numbers count as zero where strategies run. */
static inline float inner_output(const fx_round *r, int64_t row)
{
    const float x = r->set[DAL_ROWS_CANDIDATES].outputs[row * r->c];
    return x > -FLT_MIN && x < FLT_MIN ? 0 : x;
}

/* A twin's view of it: rows of r that are in use (in[row] != 0), best first, up to b; returns how many. */
static inline int64_t inner_best(const fx_round *r, const char *in, int64_t b, int64_t *rows)
{
    const fx_rows *pool = &r->set[DAL_ROWS_CANDIDATES];
    char *left = malloc((size_t)pool->n);
    int64_t n = 0;
    memcpy(left, in, (size_t)pool->n);
    for (; n < b; n++) {
        int64_t best = -1;
        for (int64_t i = 0; i < pool->n; i++)
            if (left[i] && (best < 0 || inner_output(r, i) > inner_output(r, best)))
                best = i;
        if (best < 0)
            break;
        left[best] = 0;
        rows[n] = best;
    }
    free(left);
    return n;
}

/* Picks one sample less than asked, from the lowest on, and keeps how many answers it has seen. */
typedef struct inner_lazy_state {
    const dal_host *host;
    int64_t seen;
} inner_lazy_state;

static dal_status inner_lazy_create(const dal_host *host, const void *options, void **self, dal_error *err)
{
    (void)options;
    inner_lazy_state *s = host->alloc(host, sizeof *s, 0);
    if (!s)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for the strategy inside");
    *s = (inner_lazy_state){host, 0};
    *self = s;
    return DAL_OK;
}

static void inner_lazy_destroy(void *self)
{
    inner_lazy_state *s = self;
    if (s)
        s->host->free(s->host, s);
}

static dal_status inner_lazy_select(void *self, const dal_view *v, dal_picks *picks, dal_error *err)
{
    (void)self, (void)err;
    for (picks->n = 0; picks->n < picks->want - 1; picks->n++)
        picks->ids[picks->n] = v->ids(v, DAL_ROWS_CANDIDATES)[picks->n];
    snprintf(picks->reason, sizeof picks->reason, "lazy");
    return DAL_OK;
}

static dal_status inner_lazy_observe(void *self, const dal_view *v, const dal_feedback *f, dal_error *err)
{
    (void)v, (void)err;
    ((inner_lazy_state *)self)->seen += f->n;
    return DAL_OK;
}

static dal_status inner_lazy_save(void *self, const dal_writer *w, dal_error *err)
{
    dal_status st = DAL_OK;
    const char *bytes = (const void *)&((inner_lazy_state *)self)->seen;
    for (size_t i = 0; st == DAL_OK && i < sizeof(int64_t); i++) /* in small pieces */
        st = w->write(w, bytes + i, 1, err);
    return st;
}

static dal_status inner_lazy_load(void *self, const dal_reader *r, dal_error *err)
{
    size_t got = 0;
    const dal_status st = r->read(r, &((inner_lazy_state *)self)->seen, sizeof(int64_t), &got, err);
    return st == DAL_OK && got < sizeof(int64_t) ? dal_fail(err, DAL_E_FORMAT, "", "too short") : st;
}

static const dal_companion *inner_lazy_companion(void *self)
{
    static const dal_companion c = {.struct_size = sizeof c};
    (void)self;
    return &c;
}

static const dal_strategy_impl inner_lazy = {.struct_size = sizeof(dal_strategy_impl), .create = inner_lazy_create,
                                             .destroy = inner_lazy_destroy, .select = inner_lazy_select,
                                             .observe = inner_lazy_observe, .save = inner_lazy_save,
                                             .load = inner_lazy_load, .companion = inner_lazy_companion};

static inline const dal_component_ref *inner_ref(const fx_ref *ref)
{
    return (const void *)ref;
}

static const fx_ref first_output = {&inner_first_output, NULL}, lazy = {&inner_lazy, NULL};
#define FIRST_OUTPUT inner_ref(&first_output)
#define LAZY inner_ref(&lazy)

#endif
