/* Running a strategy of either shape on a view, and checking what comes back. */
#include <math.h>
#include <stdlib.h>

#include <dal/topk.h>

#include "pipeline/view_private.h"
#include "util/text.h"

void selection_free(selection *s)
{
    free(s->ids);
    free(s->scores);
    *s = (selection){0};
}

/* ---- score strategies: a stream, and the best of it ---- */

/* What one thread keeps while it scores blocks. */
typedef struct keeper {
    dal_topk best;
    struct keeper *next;
} keeper;

typedef struct score_job {
    const dal_strategy_impl *impl;
    const dal_instance *strategy;
    int64_t want;
    pthread_mutex_t lock;
    keeper *idle;
} score_job;

static keeper *take_keeper(score_job *j)
{
    pthread_mutex_lock(&j->lock);
    keeper *k = j->idle;
    if (k)
        j->idle = k->next;
    pthread_mutex_unlock(&j->lock);
    if (!k) {
        k = xcalloc(1, sizeof *k);
        dal_topk_init(&k->best, j->want, j->impl->order, xcalloc((size_t)j->want, sizeof(double)),
                      xcalloc((size_t)j->want, sizeof(int64_t)));
    }
    return k;
}

static dal_status score_block(void *ctx, const dal_block *b, dal_error *err)
{
    score_job *j = ctx;
    double scores[BLOCK_MOST];
    for (int64_t i = 0; i < b->n; i++)
        scores[i] = (double)NAN; /* what is not written counts as NaN */
    const dal_status st =
        CALL(instance_desc(j->strategy), score, j->impl->score(j->strategy->self, b, scores, err), err);
    if (st != DAL_OK)
        return st;
    keeper *k = take_keeper(j);
    dal_topk_push(&k->best, scores, b->first, b->n);
    pthread_mutex_lock(&j->lock);
    k->next = j->idle;
    j->idle = k;
    pthread_mutex_unlock(&j->lock);
    return DAL_OK;
}

/* All keepers into one, the others are freed. NULL when nothing was scored. */
static keeper *merge_keepers(score_job *j)
{
    keeper *all = j->idle;
    while (all && all->next) {
        keeper *other = all->next;
        all->next = other->next;
        dal_topk_merge(&all->best, &other->best);
        free(other->best.scores);
        free(other->best.index);
        free(other);
    }
    return all;
}

static dal_status select_by_score(round_view *v, const dal_instance *strategy, selection *out, dal_error *err)
{
    score_job j = {.impl = strategy->impl, .strategy = strategy, .want = out->want};
    pthread_mutex_init(&j.lock, NULL);
    const dal_status st = view_stream(v, DAL_ROWS_CANDIDATES, score_block, &j, err);
    keeper *best = merge_keepers(&j);
    if (best && st == DAL_OK) {
        dal_topk_sort(&best->best);
        out->n = best->best.n;
        for (int64_t i = 0; i < out->n; i++) {
            out->ids[i] = v->sets.ids[DAL_ROWS_CANDIDATES][best->best.index[i]];
            out->scores[i] = best->best.scores[i];
        }
        if (best->best.n_nan > 0)
            dal_logf(v->p->host, DAL_LOG_WARNING,
                     "strategy '%s' scored %lld of %lld samples NaN; they count as least wanted",
                     strategy->component->id, (long long)best->best.n_nan, (long long)v->sets.n[DAL_ROWS_CANDIDATES]);
    }
    if (best) {
        free(best->best.scores);
        free(best->best.index);
        free(best);
    }
    pthread_mutex_destroy(&j.lock);
    return st;
}

/* ---- select strategies ---- */

/* A strategy that picks by itself is not believed. Those that score have the host pick. */
static dal_status check_picks(const round_view *v, const char *id, const selection *s, dal_error *err)
{
    if (s->n < 0 || s->n > s->want)
        return dal_fail(err, DAL_E_CONTRACT, "", "strategy '%s' returns %lld picks, %lld were asked for", id,
                        (long long)s->n, (long long)s->want);
    if (s->n < s->want && !*s->reason)
        return dal_fail(err, DAL_E_CONTRACT, "", "strategy '%s' returns %lld picks of %lld without giving a reason", id,
                        (long long)s->n, (long long)s->want);
    const int64_t *candidates = v->sets.ids[DAL_ROWS_CANDIDATES], n = v->sets.n[DAL_ROWS_CANDIDATES];
    const int64_t last = n > 0 ? candidates[n - 1] : -1;
    uint8_t *seen = xcalloc((size_t)last / 8 + 1, 1); /* a bit a pool index */
    dal_status st = DAL_OK;
    for (int64_t i = 0; st == DAL_OK && i < s->n; i++) {
        const int64_t x = s->ids[i];
        if (!view_has(v, DAL_ROWS_CANDIDATES, x))
            st = dal_fail(err, DAL_E_CONTRACT, "", "strategy '%s' picks sample %lld, which is not a candidate", id,
                          (long long)x);
        else if (seen[x / 8] & (1u << (x % 8)))
            st = dal_fail(err, DAL_E_CONTRACT, "", "strategy '%s' picks sample %lld twice", id, (long long)x);
        else
            seen[x / 8] = (uint8_t)(seen[x / 8] | (1u << (x % 8)));
    }
    free(seen);
    return st;
}

static dal_status select_by_itself(round_view *v, const dal_instance *strategy, selection *out, dal_error *err)
{
    const dal_strategy_impl *impl = strategy->impl;
    dal_picks picks = {.struct_size = sizeof picks, .want = out->want, .ids = out->ids, .scores = out->scores};
    for (int64_t i = 0; i < out->want; i++) {
        out->ids[i] = -1;
        out->scores[i] = (double)NAN;
    }
    dal_status st = CALL(instance_desc(strategy), select, impl->select(strategy->self, &v->api, &picks, err), err);
    out->n = picks.n;
    picks.reason[sizeof picks.reason - 1] = '\0';
    memcpy(out->reason, picks.reason, sizeof out->reason);
    return st == DAL_OK ? check_picks(v, strategy->component->id, out, err) : st;
}

dal_status view_select(const round_view *view, const dal_instance *strategy, int64_t want, selection *out,
                       dal_error *err)
{
    round_view *v = view->api.impl; /* the view itself, to which what it computes is added */
    const dal_strategy_impl *impl = strategy->impl;
    dal_status st = DAL_OK;
    *out = (selection){.want = want < v->sets.n[DAL_ROWS_CANDIDATES] ? want : v->sets.n[DAL_ROWS_CANDIDATES]};
    out->ids = xcalloc((size_t)out->want, sizeof *out->ids);
    out->scores = xcalloc((size_t)out->want, sizeof *out->scores);
    if (DAL_HAS(dal_strategy_impl, impl, prepare))
        st = CALL(instance_desc(strategy), prepare, impl->prepare(strategy->self, &v->api, err), err);
    if (st == DAL_OK && out->want > 0)
        st = DAL_HAS(dal_strategy_impl, impl, score) ? select_by_score(v, strategy, out, err)
                                                     : select_by_itself(v, strategy, out, err);
    return st;
}
