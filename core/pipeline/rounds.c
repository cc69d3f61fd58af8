/* The rounds of a run: train, evaluate, select, label, commit. */
#include <math.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#include "pipeline/evaluate.h"
#include "pipeline/run_private.h"
#include "pipeline/view_private.h"
#include "util/text.h"

/* ---- time ---- */

typedef struct stopwatch {
    int64_t wall;
    double cpu;
} stopwatch;

static double cpu_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static stopwatch start_watch(void)
{
    return (stopwatch){now_ns(), cpu_seconds()};
}

static double wall_of(stopwatch w)
{
    return (double)(now_ns() - w.wall) * 1e-9;
}

static int64_t peak_rss(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (int64_t)u.ru_maxrss * 1024;
}

void tell_phase(const run *r, const char *phase)
{
    if (r->events && r->events->phase)
        r->events->phase(r->events->ctx, phase, r->round, r->m->rounds);
}

static bool cancelled(const run *r)
{
    const dal_host *h = composer_host(r->t->composer, "run");
    return h->cancelled(h);
}

/* ---- phases of a round ---- */

void begin_round(run *r)
{
    const pool *p = &r->pool;
    pool_lists(&r->pool, r->candidates, composer_host(r->t->composer, "query"), r->round);
    r->committed = false;
    r->record = (round_record){
        .round = r->round,
        .n_labelled = p->count[SAMPLE_LABELLED],
        .n_ood = p->count[SAMPLE_OOD],
        .n_unlabelled = p->count[SAMPLE_UNLABELLED],
        .n_candidates = p->n_candidates,
        .reason = "",
        .metrics = {.accuracy = (double)NAN, .balanced_accuracy = (double)NAN, .macro_f1 = (double)NAN,
                    .log_loss = (double)NAN, .train_loss = (double)NAN, .train_accuracy = (double)NAN,
                    .epochs = -1},
    };
}

void drop_round(run *r)
{
    view_free(r->view);
    r->view = NULL;
    free(r->picks);
    r->picks = NULL;
    free(r->why);
    r->why = NULL;
    free(r->pseudo.ids);
    free(r->pseudo.classes);
    free(r->pseudo.weights);
    r->pseudo = r->next_pseudo;
    r->next_pseudo = (pseudo_labels){0};
}

/* Labelled pairs, then pseudo-labelled ones with their weights. */
typedef struct training_set {
    int64_t *ids;
    int32_t *classes;
    float *weights; /* NULL: all 1 */
    int64_t n;
} training_set;

static training_set gather_training_set(const run *r)
{
    const int64_t n_l = r->pool.count[SAMPLE_LABELLED], n_p = r->pseudo.n;
    training_set s = {.n = n_l + n_p};
    s.ids = xcalloc((size_t)s.n, sizeof *s.ids);
    s.classes = xcalloc((size_t)s.n, sizeof *s.classes);
    memcpy(s.ids, r->pool.labelled, (size_t)n_l * sizeof *s.ids);
    memcpy(s.classes, r->pool.labelled_classes, (size_t)n_l * sizeof *s.classes);
    if (n_p > 0) {
        s.weights = xcalloc((size_t)s.n, sizeof *s.weights);
        for (int64_t i = 0; i < n_l; i++)
            s.weights[i] = 1;
        memcpy(s.ids + n_l, r->pseudo.ids, (size_t)n_p * sizeof *s.ids);
        memcpy(s.classes + n_l, r->pseudo.classes, (size_t)n_p * sizeof *s.classes);
        memcpy(s.weights + n_l, r->pseudo.weights, (size_t)n_p * sizeof *s.weights);
    }
    return s;
}

static dal_samples *whole_split(source *s, uint32_t split, int64_t **ids)
{
    const int64_t n = s->info.n[split];
    *ids = xcalloc((size_t)n, sizeof **ids);
    for (int64_t i = 0; i < n; i++)
        (*ids)[i] = i;
    return source_samples(s, split, *ids, s->classes[split], NULL, n);
}

/* What the strategy wants trained along, or NULL. */
static dal_status find_companion(const run *r, const dal_companion **out, dal_error *err)
{
    const dal_strategy_impl *s = strategy_impl(r);
    *out = DAL_HAS(dal_strategy_impl, s, companion) ? s->companion(r->strategy->self) : NULL;
    if (*out && !dal_has_word(r->strategy->component->needs, DAL_CAP_COMPANION))
        return dal_fail(err, DAL_E_CONTRACT, "", "strategy '%s' has a companion, but does not name %s in its needs",
                        r->spec->desc->id, DAL_CAP_COMPANION);
    return DAL_OK;
}

static dal_status train(run *r, dal_error *err)
{
    source *s = r->t->source;
    const stopwatch w = start_watch();
    const dal_companion *companion;
    if (find_companion(r, &companion, err) != DAL_OK)
        return DAL_E_CONTRACT;
    training_set set = gather_training_set(r);
    int64_t *validation_ids = NULL;
    dal_samples *labelled = source_samples(s, DAL_SPLIT_TRAIN, set.ids, set.classes, set.weights, set.n);
    dal_samples *validation =
        s->info.n[DAL_SPLIT_VALIDATION] > 0 ? whole_split(s, DAL_SPLIT_VALIDATION, &validation_ids) : NULL;
    dal_samples *unlabelled = NULL;
    if (companion && (companion->wants & DAL_WANT_UNLABELLED))
        unlabelled = source_samples(s, DAL_SPLIT_TRAIN, r->pool.unlabelled, NULL, NULL,
                                    r->pool.count[SAMPLE_UNLABELLED]);
    const dal_fit fit = {
        .struct_size = sizeof fit,
        .warm = r->m->warm_start && r->round > 0,
        .round = r->round,
        .train = labelled,
        .validation = validation,
        .unlabelled = unlabelled,
        .companions = companion ? &companion : NULL,
        .n_companions = companion ? 1 : 0,
        .class_names = s->class_names,
    };
    dal_fit_report report = {.struct_size = sizeof report, .loss = (double)NAN, .train_accuracy = -1};
    const dal_status st =
        CALL(r->m->model->desc, fit, model_impl(r)->fit(r->model->self, &fit, &report, err), err);
    round_metrics *m = &r->record.metrics;
    m->train_loss = report.loss;
    m->train_accuracy = report.train_accuracy >= 0 ? report.train_accuracy : (double)NAN;
    m->epochs = report.epochs;
    m->converged = report.converged;
    free(labelled);
    free(validation);
    free(validation_ids);
    free(unlabelled);
    free(set.ids);
    free(set.classes);
    free(set.weights);
    model_provider_round(&r->provider, r->round);
    r->record.times.train = wall_of(w);
    r->record.times.train_cpu = cpu_seconds() - w.cpu;
    return st;
}

static dal_status evaluate(run *r, dal_error *err)
{
    if (r->t->source->info.n[DAL_SPLIT_TEST] == 0)
        return DAL_OK;
    const stopwatch w = start_watch();
    const dal_status st = evaluate_split(&r->provider, DAL_SPLIT_TEST, &r->record.metrics, r->recall, err);
    r->record.times.evaluate = wall_of(w);
    return st;
}

static void take_picks(run *r, const int64_t *ids, const double *scores, int64_t n)
{
    r->picks = xcalloc((size_t)n, sizeof *r->picks);
    for (int64_t i = 0; i < n; i++)
        r->picks[i] = (pick){.id = ids[i], .rank = i, .score = scores ? scores[i] : (double)NAN, .nearest = -1,
                             .distance = (double)NAN, .answer = DAL_ANSWER_PENDING, .cls = DAL_LABEL_NONE};
    r->record.picks = r->picks;
    r->record.n_picks = n;
}

/* How many to ask for in this round: the query size, within what is left of pool and budget. */
static int64_t query_size(const run *r)
{
    int64_t n = r->record.n_labelled > 0 || r->m->initial_size == 0 ? r->m->query_size : r->m->initial_size;
    if (n > r->pool.n_candidates)
        n = r->pool.n_candidates;
    if (r->m->stop_labels > 0 && n > r->m->stop_labels - r->record.n_labelled)
        n = r->m->stop_labels - r->record.n_labelled;
    return n;
}

/* The picks of a finished selection. */
static void keep_selection(run *r, const selection *s)
{
    take_picks(r, s->ids, s->scores, s->n);
    snprintf(r->message, sizeof r->message, "%s", s->reason);
    r->record.reason = r->message;
}

/* By the inputs, with a strategy of its own. */
static dal_status select_initial(run *r, dal_error *err)
{
    const component_spec *spec = r->m->initial_strategy;
    const stopwatch w = start_watch();
    const row_sets sets = pool_sets(&r->pool);
    const dal_instance *strategy = NULL;
    input_provider p;
    selection s = {0};
    dal_status st = composer_open(r->t->composer, spec, NULL, &strategy, err);
    if (st != DAL_OK)
        return st;
    input_provider_init(&p, r->t->source, composer_host(r->t->composer, "initial"));
    round_view *v = view_new(&p.base, strategy->component, &sets, r->round, NULL);
    st = view_select(v, strategy, query_size(r), &s, err);
    if (st == DAL_OK)
        keep_selection(r, &s);
    r->record.times.infer = fmin(view_infer_seconds(v), wall_of(w));
    r->record.times.select = wall_of(w) - r->record.times.infer;
    view_free(v);
    selection_free(&s);
    composer_close(r->t->composer, strategy);
    return st;
}

/* Nothing is labelled yet, so there is no model: the first question is asked at random. */
static void select_blind(run *r)
{
    const int64_t n = query_size(r);
    int64_t *ids = xcalloc((size_t)n, sizeof *ids);
    take_picks(r, ids, NULL, pool_draw_blind(&r->pool, n, composer_host(r->t->composer, "query"), r->round, ids));
    free(ids);
}

void open_view(run *r)
{
    const row_sets sets = pool_sets(&r->pool);
    r->view = view_new(&r->provider.base, r->strategy->component, &sets, r->round, &r->next_pseudo);
}

static dal_status select_picks(run *r, dal_error *err)
{
    const stopwatch w = start_watch();
    open_view(r);
    selection s = {0};
    const dal_status st = view_select(r->view, r->strategy, query_size(r), &s, err);
    const double wall = wall_of(w), cpu = cpu_seconds() - w.cpu, infer = fmin(view_infer_seconds(r->view), wall);
    r->record.times.infer = infer;
    r->record.times.select = wall - infer;
    r->record.times.infer_cpu = wall > 0 ? cpu * infer / wall : 0;
    r->record.times.select_cpu = cpu - r->record.times.infer_cpu;
    if (st == DAL_OK) {
        keep_selection(r, &s);
        r->record.pseudo_ids = r->next_pseudo.ids;
        r->record.pseudo_classes = r->next_pseudo.classes;
        r->record.pseudo_weights = r->next_pseudo.weights;
        r->record.n_pseudo = r->next_pseudo.n;
    }
    selection_free(&s);
    return st;
}

static dal_status observe(run *r, dal_error *err)
{
    if (!r->view || !DAL_HAS(dal_strategy_impl, strategy_impl(r), observe))
        return DAL_OK;
    const int64_t n = r->record.n_picks;
    int64_t *ids = xcalloc((size_t)n, sizeof *ids);
    uint32_t *answers = xcalloc((size_t)n, sizeof *answers);
    int32_t *classes = xcalloc((size_t)n, sizeof *classes);
    for (int64_t i = 0; i < n; i++) {
        ids[i] = r->picks[i].id;
        answers[i] = r->picks[i].answer;
        classes[i] = r->picks[i].cls;
    }
    const dal_feedback f = {sizeof f, 0, n, ids, answers, classes};
    const dal_status st = CALL(
        r->spec->desc, observe, strategy_impl(r)->observe(r->strategy->self, view_api(r->view), &f, err), err);
    free(ids);
    free(answers);
    free(classes);
    return st;
}

/* ---- the rules that end a run ---- */

/* Without any known class, or when a strategy chooses it, the initial set is a question of its own, before the
 * first query. */
static bool starts_blind(const run *r)
{
    return (r->t->known == 0 || r->m->initial_strategy) && r->m->initial_size > 0;
}

static bool finished(run *r)
{
    const manifest *m = r->m;
    const double accuracy = r->record.metrics.accuracy;
    char *why = NULL;
    if (m->stop_accuracy > 0 && accuracy >= m->stop_accuracy)
        why = xasprintf("reached accuracy %.4f (stop.accuracy %.4f)", accuracy, m->stop_accuracy);
    else if (m->stop_labels > 0 && r->record.n_labelled >= m->stop_labels)
        why = xasprintf("spent the budget of %lld labels", (long long)m->stop_labels);
    else if (m->stop_cost > 0 && r->spent >= m->stop_cost)
        why = xasprintf("spent the budget: %.6g of %.6g", r->spent, m->stop_cost);
    else if (r->round >= m->rounds + (starts_blind(r) ? 1 : 0))
        why = m->rounds > 0 ? xasprintf("all %lld rounds are done", (long long)m->rounds)
                            : xasprintf("no query was asked for (query.rounds is 0)");
    else if (r->pool.count[SAMPLE_UNLABELLED] == 0)
        why = xasprintf("the pool is empty");
    if (!why)
        return false;
    snprintf(r->message, sizeof r->message, "%s", why);
    free(why);
    return true;
}

double cost_of(const pick *picks, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += picks[i].answer != DAL_ANSWER_PENDING ? picks[i].cost : 0;
    return sum;
}

static void tell_round(run *r)
{
    if (r->events && r->events->round)
        r->events->round(r->events->ctx, &r->head, &r->record);
}

dal_status close_round(run *r, dal_error *err)
{
    const dal_status st = observe(r, err);
    if (st == DAL_OK) {
        pool_answer(&r->pool, r->picks, r->record.n_picks);
        r->spent += cost_of(r->picks, r->record.n_picks);
        r->round++;
        drop_round(r);
    }
    return st;
}

dal_status run_rounds(run *r, dal_error *err)
{
    dal_status st = DAL_OK;
    for (;;) {
        int64_t pending = 0;
        if (cancelled(r))
            return dal_fail(err, DAL_E_CANCELLED, "", "interrupted");
        begin_round(r);
        const bool blind = r->record.n_labelled == 0;
        if (!blind) {
            tell_phase(r, "train");
            if ((st = train(r, err)) != DAL_OK)
                return st;
            tell_phase(r, "evaluate");
            if ((st = evaluate(r, err)) != DAL_OK)
                return st;
        }
        const bool last = finished(r);
        if (last)
            r->record.reason = r->message;
        else {
            tell_phase(r, "select");
            if (blind && r->m->initial_strategy) {
                if ((st = select_initial(r, err)) != DAL_OK)
                    return st;
            } else if (blind)
                select_blind(r);
            else if ((st = select_picks(r, err)) != DAL_OK || (st = note_nearest(r, err)) != DAL_OK ||
                     (st = note_why(r, err)) != DAL_OK)
                return st;
            tell_phase(r, "label");
        }
        r->record.times.peak_rss = peak_rss();
        st = last ? commit_round(r, err) : ask_oracle(r, &pending, err);
        if (r->committed)
            tell_round(r);
        if (st != DAL_OK || last)
            return st;
        if (pending > 0)
            return DAL_E_PENDING;
        if ((st = close_round(r, err)) != DAL_OK)
            return st;
    }
}
