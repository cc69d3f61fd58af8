/* Tests of strategies: are the picks legal, whatever the round looks like, and always the same? */
#include "check/strategy.h"

#include <math.h>
#include <stdlib.h>

#include "check/work.h"
#include "util/text.h"

/* ---- one selection ---- */

void strategy_check_needs(const subject *s)
{
    static const char *const shown[] = {DAL_CAP_OUTPUTS, DAL_CAP_FEATURES, DAL_CAP_MC, DAL_CAP_LAST_LAYER,
                                        DAL_CAP_TRUTH, DAL_CAP_GROUPS};
    char *needs = xstrdup(s->component->needs), *save = NULL;
    for (char *id = strtok_r(needs, " ", &save); id; id = strtok_r(NULL, " ", &save)) {
        bool there = false;
        for (size_t i = 0; i < sizeof shown / sizeof *shown; i++)
            there |= strcmp(id, shown[i]) == 0;
        if (!there)
            check_skip("needs %s, which takes a real model; try it with dalhost run", id);
    }
    free(needs);
}

typedef struct score_job {
    const dal_strategy_impl *impl;
    void *self;
    double *all;
} score_job;

static dal_status score_block(void *ctx, const dal_block *b, dal_error *err)
{
    const score_job *j = ctx;
    double *out = guard_new((size_t)b->n * sizeof *out);
    for (int64_t i = 0; i < b->n; i++)
        out[i] = (double)NAN;
    const dal_status st = j->impl->score(j->self, b, out, err);
    guard_check(out, "score");
    memcpy(j->all + b->first, out, (size_t)b->n * sizeof *out);
    guard_free(out);
    return st;
}

typedef struct ranked {
    double score;
    int64_t position;
} ranked;

static int best_first(const void *a, const void *b)
{
    const ranked *x = a, *y = b;
    if (x->score != y->score)
        return x->score > y->score ? -1 : 1;
    return x->position < y->position ? -1 : x->position > y->position;
}

/* What a host makes of scores: the best, ties by the lower position. NaN was checked before. */
static void rank_scores(const dal_strategy_impl *impl, const int64_t *ids, picking *p)
{
    ranked *r = xcalloc((size_t)p->n_candidates, sizeof *r);
    const double sign = impl->order == DAL_SMALLEST_FIRST ? -1 : 1;
    for (int64_t i = 0; i < p->n_candidates; i++)
        r[i] = (ranked){sign * p->all[i], i};
    qsort(r, (size_t)p->n_candidates, sizeof *r, best_first);
    for (p->n = 0; p->n < p->want; p->n++) {
        p->ids[p->n] = ids[r[p->n].position];
        p->scores[p->n] = p->all[r[p->n].position];
    }
    free(r);
}

static void check_scores(const picking *p, const int64_t *ids)
{
    for (int64_t i = 0; i < p->n_candidates; i++)
        CHECK(!isnan(p->all[i]), "the score of sample %lld (position %lld of %lld) is NaN", (long long)ids[i],
              (long long)i, (long long)p->n_candidates);
}

static void pick_by_score(const dal_instance *s, const dal_view *v, const int64_t *ids, picking *p)
{
    score_job j = {s->impl, s->self, NULL};
    p->all = j.all = xcalloc((size_t)p->n_candidates, sizeof(double));
    p->status = v->stream(v, DAL_ROWS_CANDIDATES, score_block, &j, &p->err);
    if (p->status == DAL_OK) {
        check_scores(p, ids);
        rank_scores(s->impl, ids, p);
    }
}

static void pick_by_select(const dal_instance *s, const dal_view *v, picking *p)
{
    const dal_strategy_impl *impl = s->impl;
    dal_picks *picks = guard_new(sizeof *picks);
    *picks = (dal_picks){.struct_size = sizeof *picks, .want = p->want, .ids = p->ids, .scores = p->scores};
    p->status = impl->select(s->self, v, picks, &p->err);
    guard_check(picks, "select");
    p->n = picks->n;
    CHECK(memchr(picks->reason, '\0', sizeof picks->reason), "select: its reason has no end");
    memcpy(p->reason, picks->reason, sizeof p->reason);
    guard_free(picks);
}

void strategy_pick(stage *st, const row_sets *sets, int64_t round, int64_t want, picking *out)
{
    const dal_instance *s = st->instance;
    const dal_strategy_impl *impl = s->impl;
    pseudo_labels pseudo = {0};
    round_view *view = view_new(&st->w->base, s->component, sets, round, &pseudo);
    const dal_view *v = view_api(view);
    const int64_t n = sets->n[DAL_ROWS_CANDIDATES];
    *out = (picking){.err = DAL_ERROR_INIT, .want = want < n ? want : n, .n_candidates = n};
    out->ids = guard_new((size_t)out->want * sizeof *out->ids);
    out->scores = guard_new((size_t)out->want * sizeof *out->scores);
    for (int64_t i = 0; i < out->want; i++) {
        out->ids[i] = -1;
        out->scores[i] = (double)NAN;
    }
    if (DAL_HAS(dal_strategy_impl, impl, prepare))
        out->status = impl->prepare(s->self, v, &out->err);
    if (out->status == DAL_OK && DAL_HAS(dal_strategy_impl, impl, score))
        pick_by_score(s, v, sets->ids[DAL_ROWS_CANDIDATES], out);
    else if (out->status == DAL_OK)
        pick_by_select(s, v, out);
    guard_check(out->ids, "select (ids)");
    guard_check(out->scores, "select (scores)");
    rig_check_error(out->status, &out->err, "the selection");
    view_free(view);
    free(pseudo.ids);
    free(pseudo.classes);
    free(pseudo.weights);
}

void picking_free(picking *p)
{
    guard_free(p->ids);
    guard_free(p->scores);
    free(p->all);
    *p = (picking){0};
}

static bool holds(const int64_t *ids, int64_t n, int64_t id)
{
    for (int64_t i = 0; i < n; i++)
        if (ids[i] == id)
            return true;
    return false;
}

/* The world has matrices, but no model to call or to train. */
static void skip_unsupported(dal_status status, const dal_error *err)
{
    if (status == DAL_E_UNSUPPORTED)
        check_skip("%s; try it with dalhost run", err->text);
}

void picking_check(const picking *p, const row_sets *sets)
{
    skip_unsupported(p->status, &p->err);
    CHECK(p->status == DAL_OK, "it fails: %s", p->err.text);
    CHECK(p->n >= 0 && p->n <= p->want, "it returns %lld picks, %lld were asked for", (long long)p->n,
          (long long)p->want);
    CHECK(p->n == p->want || *p->reason, "it returns %lld picks of %lld without a reason", (long long)p->n,
          (long long)p->want);
    for (int64_t i = 0; i < p->n; i++) {
        CHECK(holds(sets->ids[DAL_ROWS_CANDIDATES], sets->n[DAL_ROWS_CANDIDATES], p->ids[i]),
              "pick %lld is sample %lld, which is not a candidate", (long long)i, (long long)p->ids[i]);
        CHECK(!holds(p->ids, i, p->ids[i]), "sample %lld is picked twice", (long long)p->ids[i]);
    }
}

static bool same_bits(const double *a, const double *b, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (memcmp(&a[i], &b[i], sizeof *a) != 0 && !(isnan(a[i]) && isnan(b[i])))
            return false;
    return true;
}

void picking_same(const picking *a, const picking *b, const char *when)
{
    CHECK(a->status == b->status, "it fails in one case and not in the other %s: %s", when,
          a->status ? a->err.text : b->err.text);
    if (a->status)
        return;
    CHECK(a->n == b->n, "%lld picks and %lld %s", (long long)a->n, (long long)b->n, when);
    for (int64_t i = 0; i < a->n; i++)
        CHECK(a->ids[i] == b->ids[i], "pick %lld is sample %lld and %lld %s", (long long)i, (long long)a->ids[i],
              (long long)b->ids[i], when);
    CHECK(same_bits(a->scores, b->scores, a->n), "the scores of the picks differ %s", when);
    CHECK(!a->all || !b->all || same_bits(a->all, b->all, a->n_candidates), "the scores differ %s", when);
}

dal_status strategy_work(stage *st, rig *r, dal_error *err)
{
    picking p;
    strategy_check_needs(r->s);
    strategy_pick(st, &st->w->sets, 0, 10, &p);
    const dal_status status = p.status;
    *err = p.err;
    skip_unsupported(status, err);
    if (status == DAL_OK)
        picking_check(&p, &st->w->sets);
    picking_free(&p);
    return status;
}

/* ---- rounds of all sorts ---- */

typedef struct round_case {
    world_shape shape;
    int64_t want;
    bool may_refuse; /* a strategy may say that it cannot work like this */
} round_case;

static const round_case cases[] = {
    {{.candidates = 300, .labelled = 40, .c = 5, .d = 8}, 20, false},
    {{.candidates = 24, .labelled = 20, .c = 3, .d = 6}, 24, false},
    {{.candidates = 50, .labelled = 20, .c = 3, .d = 6}, 1, false},
    {{.candidates = 1, .labelled = 20, .c = 3, .d = 6}, 1, false},
    {{.candidates = 60, .labelled = 0, .c = 3, .d = 6}, 10, true},
    {{.candidates = 60, .labelled = 20, .c = 3, .d = 6, .flags = WORLD_ONE_CLASS}, 10, true},
    {{.candidates = 120, .labelled = 20, .c = 3, .d = 6, .flags = WORLD_DUPLICATES}, 40, false},
    {{.candidates = 60, .labelled = 20, .c = 3, .d = 6, .flags = WORLD_CONSTANT}, 10, true},
    {{.candidates = 80, .labelled = 20, .ood = 15, .others = 70, .c = 4, .d = 6}, 10, false},
    {{.candidates = 60, .labelled = 20, .c = 2, .d = 3}, 10, false},
    {{.candidates = 1500, .labelled = 100, .c = 7, .d = 16}, 64, false},
};
enum {
    PLAIN,
    ALL,
    ONE,
    ONE_CANDIDATE,
    NO_LABELLED,
    ONE_CLASS,
    DUPLICATES,
    CONSTANT,
    OPEN_SET,
    TWO_CLASSES,
    BLOCKS
};

static void picks(const subject *s, int arg)
{
    const round_case *k = &cases[arg];
    strategy_check_needs(s);
    for (uint32_t kind = DAL_LOGITS; kind <= DAL_PROBS; kind++) {
        rig *r = rig_new(s, &(rig_options){0});
        world_shape shape = k->shape;
        stage st;
        picking p;
        shape.output_kind = kind;
        stage_open(&st, r, &shape);
        strategy_pick(&st, &st.w->sets, 0, k->want, &p);
        if (k->may_refuse && p.status)
            check_pass("refuses: %s", p.err.text);
        picking_check(&p, &st.w->sets);
        picking_free(&p);
        stage_close(&st, r);
        rig_check_memory(r, "after destroy");
        stage_free(&st);
        rig_free(r);
    }
}

/* ---- the same bits ---- */

/* One fresh selection of the many-block round; the caller frees it. */
static picking fresh(const subject *s, int threads, uint64_t seed, int64_t round)
{
    rig *r = rig_new(s, &(rig_options){.threads = threads, .seed = seed});
    world_shape shape = cases[BLOCKS].shape;
    stage st;
    picking p;
    shape.seed = s->seed; /* the world stays, whatever the run's seed */
    stage_open(&st, r, &shape);
    strategy_pick(&st, &st.w->sets, round, cases[BLOCKS].want, &p);
    picking_check(&p, &st.w->sets);
    stage_close(&st, r);
    stage_free(&st);
    rig_free(r);
    return p;
}

static void same_seed(const subject *s, int arg)
{
    (void)arg;
    strategy_check_needs(s);
    picking a = fresh(s, 1, s->seed, 0), b = fresh(s, 1, s->seed, 0);
    picking_same(&a, &b, "with the same seed");
}

static void threads(const subject *s, int arg)
{
    (void)arg;
    strategy_check_needs(s);
    picking one = fresh(s, 1, s->seed, 0);
    for (int n = 2; n <= 3; n++) {
        char when[40];
        picking more = fresh(s, n, s->seed, 0);
        snprintf(when, sizeof when, "with 1 and %d threads", n);
        picking_same(&one, &more, when);
        picking_free(&more);
    }
}

/* Two instances on one runtime: what the one does must not show in the other. */
static void two_instances(const subject *s, int arg)
{
    (void)arg;
    strategy_check_needs(s);
    picking alone = fresh(s, 1, s->seed, 0), first, other, again;
    rig *r = rig_new(s, &(rig_options){0});
    world_shape shape = cases[BLOCKS].shape;
    shape.seed = s->seed;
    stage a, b;
    stage_open(&a, r, &shape);
    stage_open(&b, r, &cases[PLAIN].shape);
    strategy_pick(&b, &b.w->sets, 3, cases[PLAIN].want, &other);
    strategy_pick(&a, &a.w->sets, 0, cases[BLOCKS].want, &first);
    picking_same(&alone, &first, "alone and beside another instance");
    stage_close(&b, r);
    stage_close(&a, r);
    stage_open(&a, r, &shape);
    strategy_pick(&a, &a.w->sets, 0, cases[BLOCKS].want, &again);
    picking_same(&alone, &again, "in a second instance of the process");
}

/* A score depends on the sample's block alone, so not on where blocks begin. */
static void block_bounds(const subject *s, int arg)
{
    (void)arg;
    strategy_check_needs(s);
    rig *r = rig_new(s, &(rig_options){0});
    stage st;
    picking whole, part;
    stage_open(&st, r, &cases[BLOCKS].shape);
    const dal_strategy_impl *impl = st.instance->impl;
    if (!DAL_HAS(dal_strategy_impl, impl, score))
        check_skip("it is of select shape");
    if (DAL_HAS(dal_strategy_impl, impl, prepare))
        check_skip("prepare may look at all candidates");
    row_sets fewer = st.w->sets;
    const int64_t gone = 100;
    fewer.ids[DAL_ROWS_CANDIDATES] += gone;
    fewer.n[DAL_ROWS_CANDIDATES] -= gone;
    strategy_pick(&st, &st.w->sets, 0, 10, &whole);
    strategy_pick(&st, &fewer, 0, 10, &part);
    picking_check(&whole, &st.w->sets);
    picking_check(&part, &fewer);
    CHECK(same_bits(whole.all + gone, part.all, part.n_candidates),
          "a sample's score changes with the block it is in; expected a function of the sample alone");
}

/* ---- rounds one after the other ---- */

static void tell_answers(stage *st, const picking *p, const row_sets *sets, int64_t round)
{
    const dal_strategy_impl *impl = st->instance->impl;
    if (!DAL_HAS(dal_strategy_impl, impl, observe) || p->n == 0)
        return;
    uint32_t *answers = xcalloc((size_t)p->n, sizeof *answers);
    int32_t *classes = xcalloc((size_t)p->n, sizeof *classes);
    for (int64_t i = 0; i < p->n; i++) {
        answers[i] = i % 7 == 6 ? DAL_ANSWER_ABSTAIN : DAL_ANSWER_CLASS;
        classes[i] = answers[i] == DAL_ANSWER_CLASS ? st->w->classes[p->ids[i]] : DAL_LABEL_NONE;
    }
    round_view *view = view_new(&st->w->base, st->instance->component, sets, round, NULL);
    const dal_feedback feedback = {sizeof feedback, 0, p->n, p->ids, answers, classes};
    dal_error err = DAL_ERROR_INIT;
    const dal_status status = impl->observe(st->instance->self, view_api(view), &feedback, &err);
    rig_check_error(status, &err, "observe");
    CHECK(status == DAL_OK, "observe fails: %s", err.text);
    view_free(view);
    free(answers);
    free(classes);
}

/* The candidates without what was picked; the caller frees. */
static int64_t *take_out(const row_sets *sets, const picking *p, int64_t *n)
{
    int64_t *rest = xcalloc((size_t)sets->n[DAL_ROWS_CANDIDATES], sizeof *rest);
    *n = 0;
    for (int64_t i = 0; i < sets->n[DAL_ROWS_CANDIDATES]; i++)
        if (!holds(p->ids, p->n, sets->ids[DAL_ROWS_CANDIDATES][i]))
            rest[(*n)++] = sets->ids[DAL_ROWS_CANDIDATES][i];
    return rest;
}

/* The next round: its picks are gone from the candidates. Returns the new list, which sets borrows. */
static int64_t *next_round(stage *st, row_sets *sets, int64_t round, picking *p)
{
    strategy_pick(st, sets, round, 20, p);
    picking_check(p, sets);
    tell_answers(st, p, sets, round);
    int64_t n, *rest = take_out(sets, p, &n);
    sets->ids[DAL_ROWS_CANDIDATES] = sets->ids[DAL_ROWS_UNLABELLED] = rest;
    sets->n[DAL_ROWS_CANDIDATES] = sets->n[DAL_ROWS_UNLABELLED] = n;
    return rest;
}

static void several_rounds(const subject *s, int arg)
{
    (void)arg;
    strategy_check_needs(s);
    rig *r = rig_new(s, &(rig_options){0});
    stage st;
    stage_open(&st, r, &cases[PLAIN].shape);
    row_sets sets = st.w->sets;
    for (int64_t round = 0; round < 5; round++) {
        picking p;
        next_round(&st, &sets, round, &p);
        picking_free(&p);
    }
    stage_close(&st, r);
    rig_check_memory(r, "after five rounds");
}

static void save_load(const subject *s, int arg)
{
    (void)arg;
    strategy_check_needs(s);
    rig *r = rig_new(s, &(rig_options){0});
    stage st, copy;
    picking p, went_on, resumed;
    bytes kept = {0};
    dal_error err = DAL_ERROR_INIT;
    stage_open(&st, r, &cases[PLAIN].shape);
    stage_open(&copy, r, &cases[PLAIN].shape);
    const dal_strategy_impl *impl = st.instance->impl;
    if (!DAL_HAS(dal_strategy_impl, impl, save))
        check_skip("it keeps no state");
    row_sets sets = st.w->sets;
    next_round(&st, &sets, 0, &p);
    const dal_writer w = bytes_writer(&kept);
    CHECK(impl->save(st.instance->self, &w, &err) == DAL_OK, "save fails: %s", err.text);
    const dal_reader rd = bytes_reader(&kept);
    CHECK(impl->load(copy.instance->self, &rd, &err) == DAL_OK, "load fails: %s", err.text);
    strategy_pick(&st, &sets, 1, 20, &went_on);
    strategy_pick(&copy, &sets, 1, 20, &resumed);
    picking_same(&went_on, &resumed, "when it goes on and when it resumes from what it saved");
    for (size_t n = 0; n < kept.n; n += 1 + kept.n / 50) { /* cut short: an error, or as if it were whole */
        bytes cut = {kept.data, n, 0};
        const dal_reader short_reader = bytes_reader(&cut);
        err = (dal_error)DAL_ERROR_INIT;
        rig_check_error(impl->load(copy.instance->self, &short_reader, &err), &err, "load of a cut state");
    }
}

/* The host refuses to show what these parameters make no need of. */
static void pick_with(const subject *s, const param_desc *p, const char *value, int n)
{
    char *set = xasprintf("%s=%.*s", p->name, n, value), *why;
    const char *const more[] = {set};
    rig *r = rig_new(s, &(rig_options){0});
    stage st;
    picking picked;
    spec_free(r->spec);
    r->spec = rig_spec(s, more, 1, &why);
    CHECK(r->spec, "the host refuses %s: %s", set, why);
    stage_open(&st, r, &small_world);
    strategy_pick(&st, &st.w->sets, 0, 10, &picked);
    CHECK(picked.status != DAL_E_CONTRACT, "with %s: %s", set, picked.err.text);
    picking_check(&picked, &st.w->sets);
    picking_free(&picked);
    stage_close(&st, r);
    stage_free(&st);
    rig_free(r);
    free(set);
}

static void needs_follow(const subject *s, int arg)
{
    const component_desc *c = s->component;
    (void)arg;
    strategy_check_needs(s);
    if (c->n_when == 0)
        check_skip("its needs depend on no parameter");
    for (int k = 0; k < c->n_when; k++)
        for (int i = 0; i < c->n_params; i++) {
            const param_desc *p = &c->params[i];
            if (strcmp(p->name, c->when[k].param) != 0)
                continue;
            for (const char *word = p->type == DAL_PARAM_BOOL ? "true|false" : p->domain; *word;) {
                const size_t n = strcspn(word, "|");
                pick_with(s, p, word, (int)n);
                word += n + (word[n] == '|');
            }
        }
}

static void cost(const subject *s, int arg)
{
    (void)arg;
    rig *r = rig_new(s, &(rig_options){0});
    stage st;
    stage_open(&st, r, &small_world);
    const dal_strategy_impl *impl = st.instance->impl;
    if (!DAL_HAS(dal_strategy_impl, impl, cost))
        check_skip("it tells no cost");
    double last = 0;
    for (int64_t n = 1; n <= 1000000; n *= 1000) {
        const dal_problem problem = {sizeof problem, 0, n, n / 2, n / 10 + 1, 10, n > 1 ? 128 : 0, 0};
        dal_cost *c = guard_new(sizeof *c);
        *c = (dal_cost){.struct_size = sizeof *c};
        impl->cost(st.instance->self, NULL, &problem, c);
        guard_check(c, "cost");
        CHECK(isfinite(c->bytes) && isfinite(c->flops) && c->bytes >= 0 && c->flops >= 0,
              "cost tells %g bytes and %g operations of %lld samples", c->bytes, c->flops, (long long)n);
        CHECK(memchr(c->formula, '\0', sizeof c->formula) && *c->formula, "cost gives no formula");
        CHECK(c->flops >= last, "cost tells fewer operations of more samples");
        last = c->flops;
        guard_free(c);
    }
}

#define PICKS(name, promise, which) {"picks/" name, promise, KIND(STRATEGY), picks, which}
const check_test strategy_tests[] = {
    PICKS("plain", "picks are distinct candidates, as many as asked, and no score is NaN", PLAIN),
    PICKS("all", "the same when all candidates are asked for", ALL),
    PICKS("one", "the same when one is asked for", ONE),
    PICKS("one-candidate", "the same when there is one candidate only", ONE_CANDIDATE),
    PICKS("no-labelled", "the same without labelled samples, or a refusal in words", NO_LABELLED),
    PICKS("one-class", "the same when all labels are of one class, or a refusal in words", ONE_CLASS),
    PICKS("duplicates", "the same when most samples are there several times", DUPLICATES),
    PICKS("constant", "the same when all samples are alike, or a refusal in words", CONSTANT),
    PICKS("open-set", "the same beside out-of-class samples, and when candidates are a part of the pool",
          OPEN_SET),
    PICKS("two-classes", "the same with two classes", TWO_CLASSES),
    PICKS("blocks", "the same over several blocks", BLOCKS),
    {"same/seed", "the same seed gives the same bytes", KIND(STRATEGY), same_seed, 0},
    {"same/threads", "1, 2 and 3 threads give the same bytes", KIND(STRATEGY), threads, 0},
    {"same/instances", "instances do not disturb each other", KIND(STRATEGY), two_instances, 0},
    {"same/blocks", "scores do not depend on where blocks begin", KIND(STRATEGY), block_bounds, 0},
    {"rounds", "five rounds in a row, with answers, and picks stay legal", KIND(STRATEGY), several_rounds, 0},
    {"state", "what it saves makes another instance go on as it would; cut states do no harm", KIND(STRATEGY),
     save_load, 0},
    {"needs", "of what it needs for some values of a parameter only, it reads nothing with the others", KIND(STRATEGY),
     needs_follow, 0},
    {"cost", "the cost is a finite bound with a formula", KIND(STRATEGY), cost, 0},
    {0},
};
