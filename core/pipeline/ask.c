/* Asking the oracle: every answer is checked, and durable before anything else happens (law 4). */
#include <math.h>
#include <stdlib.h>

#include "pipeline/run_private.h"
#include "pipeline/view_private.h"
#include "util/text.h"

typedef struct question {
    dal_question api;
    run *r;
    int64_t *ids, *position; /* of each question among the picks; behind the open ones of ids, those answered before */
    uint32_t *answered_as;
    int32_t *answered_classes;
    double *scores;
    bool *answered;
    pick *fresh; /* answered, not yet in the store */
    int64_t n_fresh;
} question;

static dal_status answer(const dal_question *api, int64_t i, uint32_t kind, int32_t cls, double cost, dal_error *err)
{
    question *q = api->impl;
    const char *who = q->r->m->oracle->desc->id;
    if (i < 0 || i >= api->n)
        return dal_fail(err, DAL_E_CONTRACT, "", "oracle '%s' answers question %lld of %lld", who, (long long)i,
                        (long long)api->n);
    if (q->answered[i])
        return dal_fail(err, DAL_E_CONTRACT, "", "oracle '%s' answers twice for sample %lld", who,
                        (long long)q->ids[i]);
    if (kind != DAL_ANSWER_CLASS && kind != DAL_ANSWER_OUT_OF_CLASS && kind != DAL_ANSWER_ABSTAIN)
        return dal_fail(err, DAL_E_CONTRACT, "", "oracle '%s' gives an answer of unknown kind %u", who, kind);
    if (kind == DAL_ANSWER_CLASS && (cls < 0 || cls >= q->r->pool.n_classes))
        return dal_fail(err, DAL_E_CONTRACT, "", "oracle '%s' says sample %lld is of class %d, expected 0..%lld", who,
                        (long long)q->ids[i], (int)cls, (long long)q->r->pool.n_classes - 1);
    if (!(cost >= 0) || isinf(cost))
        return dal_fail(err, DAL_E_CONTRACT, "", "oracle '%s' says the label of sample %lld costs %f", who,
                        (long long)q->ids[i], cost);
    pick *p = &q->r->picks[q->position[i]];
    p->answer = kind;
    p->cls = kind == DAL_ANSWER_CLASS ? cls : DAL_LABEL_NONE;
    p->cost = cost;
    q->answered[i] = true;
    q->fresh[q->n_fresh++] = *p;
    return DAL_OK;
}

static dal_status flush(const dal_question *api, dal_error *err)
{
    question *q = api->impl;
    run *r = q->r;
    dal_status st = DAL_OK;
    if (!r->committed)
        st = commit_round(r, err);
    else if (q->n_fresh > 0) {
        const int64_t start = now_ns();
        st = store_add_answers(r->store, r->head.id, r->record.round, q->fresh, q->n_fresh, err);
        r->last_commit += (double)(now_ns() - start) * 1e-9;
    }
    if (st == DAL_OK)
        q->n_fresh = 0;
    return st;
}

static void pose(question *q, run *r)
{
    const int64_t n = r->record.n_picks;
    q->r = r;
    q->ids = xcalloc((size_t)n, sizeof *q->ids);
    q->position = xcalloc((size_t)n, sizeof *q->position);
    q->scores = xcalloc((size_t)n, sizeof *q->scores);
    q->answered = xcalloc((size_t)n, sizeof *q->answered);
    q->fresh = xcalloc((size_t)n, sizeof *q->fresh);
    q->answered_as = xcalloc((size_t)n, sizeof *q->answered_as);
    q->answered_classes = xcalloc((size_t)n, sizeof *q->answered_classes);
    int64_t open = 0, before = 0;
    for (int64_t i = 0; i < n; i++)
        if (r->picks[i].answer == DAL_ANSWER_PENDING) {
            q->ids[open] = r->picks[i].id;
            q->scores[open] = r->picks[i].score;
            q->position[open++] = i;
        }
    for (int64_t i = 0; i < n; i++)
        if (r->picks[i].answer != DAL_ANSWER_PENDING) {
            q->ids[open + before] = r->picks[i].id;
            q->answered_as[before] = r->picks[i].answer;
            q->answered_classes[before++] = r->picks[i].cls;
        }
    q->api = (dal_question){
        .struct_size = sizeof q->api,
        .impl = q,
        .round = r->record.round,
        .n = open,
        .ids = q->ids,
        .scores = q->scores,
        .answer = answer,
        .flush = flush,
        .n_answered = before,
        .answered_ids = q->ids + open,
        .answered_as = q->answered_as,
        .answered_classes = q->answered_classes,
    };
}

dal_status ask_oracle(run *r, int64_t *pending, dal_error *err)
{
    question q = {0};
    pose(&q, r);
    const dal_oracle_impl *impl = r->oracle->impl;
    char waiting[1024] = "";
    const int64_t start = now_ns();
    dal_status st = CALL(r->m->oracle->desc, label,
                         impl->label(r->oracle->self, &q.api, waiting, sizeof waiting, err), err);
    waiting[sizeof waiting - 1] = '\0';
    if (!r->committed) /* commits happen inside a flush too: only the first is not the oracle's time */
        r->record.times.label = (double)(now_ns() - start) * 1e-9;
    /* what was answered is kept, whatever else went wrong */
    dal_error late = DAL_ERROR_INIT;
    const dal_status kept = !r->committed || q.n_fresh > 0 ? flush(&q.api, &late) : DAL_OK;
    if (st == DAL_OK && kept != DAL_OK) {
        *err = late;
        st = kept;
    }
    *pending = 0;
    for (int64_t i = 0; i < q.api.n; i++)
        *pending += !q.answered[i];
    if (*pending > 0 && st == DAL_OK)
        snprintf(r->message, sizeof r->message, "%s", *waiting ? waiting : "the oracle has pending answers");
    free(q.ids);
    free(q.position);
    free(q.scores);
    free(q.answered);
    free(q.answered_as);
    free(q.answered_classes);
    free(q.fresh);
    return st;
}
