/* Tests of oracles: legal answers, each at most once, and the same when asked again. */
#include <dal/oracle.h>

#include <math.h>
#include <stdlib.h>

#include "check/work.h"
#include "util/text.h"

typedef struct asked {
    dal_question api;
    int64_t n_classes, answered, flushed;
    uint32_t *answers; /* [n], DAL_ANSWER_PENDING until given */
    int32_t *classes;
    double *costs;
} asked;

static dal_status answer(const dal_question *q, int64_t i, uint32_t kind, int32_t cls, double cost, dal_error *err)
{
    asked *a = q->impl;
    (void)err;
    CHECK(i >= 0 && i < q->n, "it answers question %lld of %lld", (long long)i, (long long)q->n);
    CHECK(a->answers[i] == DAL_ANSWER_PENDING, "it answers twice for question %lld", (long long)i);
    CHECK(kind >= DAL_ANSWER_CLASS && kind <= DAL_ANSWER_ABSTAIN, "it gives an answer of the unknown kind %u", kind);
    CHECK(kind != DAL_ANSWER_CLASS || (cls >= 0 && cls < a->n_classes), "it answers class %d of %lld", (int)cls,
          (long long)a->n_classes);
    CHECK(isfinite(cost) && cost >= 0, "an answer costs %g", cost);
    a->answers[i] = kind;
    a->classes[i] = kind == DAL_ANSWER_CLASS ? cls : DAL_LABEL_NONE;
    a->costs[i] = cost;
    a->answered++;
    return DAL_OK;
}

static dal_status flush(const dal_question *q, dal_error *err)
{
    (void)err;
    ((asked *)q->impl)->flushed++;
    return DAL_OK;
}

static asked *ask(stage *st, const int64_t *ids, int64_t n, int64_t round, dal_status *status, dal_error *err)
{
    const dal_oracle_impl *impl = st->instance->impl;
    asked *a = xcalloc(1, sizeof *a);
    double *scores = xcalloc((size_t)n, sizeof *scores);
    a->n_classes = st->w->shape.c;
    a->answers = xcalloc((size_t)n, sizeof *a->answers);
    a->classes = xcalloc((size_t)n, sizeof *a->classes);
    a->costs = xcalloc((size_t)n, sizeof *a->costs);
    for (int64_t i = 0; i < n; i++)
        scores[i] = i % 2 ? (double)NAN : 0.5;
    a->api = (dal_question){.struct_size = sizeof a->api, .impl = a, .round = round, .n = n, .ids = ids,
                            .scores = scores, .answer = answer, .flush = flush};
    char *waiting = guard_new(128);
    *status = impl->label(st->instance->self, &a->api, waiting, 128, err);
    guard_check(waiting, "label (waiting_for)");
    CHECK(memchr(waiting, '\0', 128), "label: waiting_for has no end");
    CHECK(*status || a->answered == n || *waiting, "%lld answers are pending, and waiting_for does not say why",
          (long long)(n - a->answered));
    guard_free(waiting);
    free(scores);
    rig_check_error(*status, err, "label");
    return a;
}

static void asked_free(asked *a)
{
    free(a->answers);
    free(a->classes);
    free(a->costs);
    free(a);
}

dal_status oracle_work(stage *st, rig *r, dal_error *err)
{
    dal_status status;
    (void)r;
    asked_free(ask(st, st->w->sets.ids[DAL_ROWS_CANDIDATES], 10, 0, &status, err));
    return status;
}

static const world_shape open_world = {.candidates = 60, .labelled = 24, .ood = 10, .c = 3, .d = 8};

static asked *fresh(const subject *s, int64_t n, bool backwards)
{
    rig *r = rig_new(s, &(rig_options){0});
    stage st;
    world_shape shape = open_world;
    dal_status status;
    dal_error err = DAL_ERROR_INIT;
    shape.seed = s->seed;
    stage_open(&st, r, &shape);
    int64_t *ids = xcalloc((size_t)n, sizeof *ids);
    for (int64_t i = 0; i < n; i++)
        ids[i] = st.w->sets.ids[DAL_ROWS_CANDIDATES][backwards ? n - 1 - i : i];
    asked *a = ask(&st, ids, n, 0, &status, &err);
    CHECK(status == DAL_OK, "label fails: %s", err.text);
    stage_close(&st, r);
    rig_check_memory(r, "after destroy");
    return a;
}

static void answers(const subject *s, int arg)
{
    (void)arg;
    fresh(s, 50, false);
}

/* A process that dies between answer and commit asks again: the label must not change. */
static void again(const subject *s, int arg)
{
    (void)arg;
    enum { N = 50 };
    const asked *a = fresh(s, N, false), *b = fresh(s, N, false), *c = fresh(s, N, true);
    if (a->answered < N)
        check_skip("it waits for people");
    for (int64_t i = 0; i < N; i++) {
        CHECK(a->answers[i] == b->answers[i] && a->classes[i] == b->classes[i],
              "question %lld gets another answer when it is asked again", (long long)i);
        CHECK(a->answers[i] == c->answers[N - 1 - i] && a->classes[i] == c->classes[N - 1 - i],
              "an answer depends on the order of the questions");
    }
}

const check_test oracle_tests[] = {
    {"answers", "every answer is legal and given once", KIND(ORACLE), answers, 0},
    {"answers/again", "the same question gets the same answer, in any order", KIND(ORACLE), again, 0},
    {0},
};
