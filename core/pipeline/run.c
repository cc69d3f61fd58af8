#include "pipeline/run.h"

#include <math.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#include <jansson.h>

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

static void tell_phase(const run *r, const char *phase)
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

static void begin_round(run *r)
{
    const pool *p = &r->pool;
    pool_lists(&r->pool, r->m->candidates, composer_host(r->t->composer, "query"), r->round);
    r->committed = false;
    r->record = (round_record){
        .round = r->round,
        .n_labelled = p->count[SAMPLE_LABELLED],
        .n_ood = p->count[SAMPLE_OOD],
        .n_unlabelled = p->count[SAMPLE_UNLABELLED],
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
    if (*out && !dal_has_word(r->spec->desc->needs, DAL_CAP_COMPANION))
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
        unlabelled = source_samples(s, DAL_SPLIT_TRAIN, r->pool.unlabelled, NULL, NULL, r->pool.count[SAMPLE_UNLABELLED]);
    const dal_fit fit = {
        .struct_size = sizeof fit,
        .warm = r->m->warm_start && r->round > 0,
        .round = r->round,
        .train = labelled,
        .validation = validation,
        .unlabelled = unlabelled,
        .companions = companion ? &companion : NULL,
        .n_companions = companion ? 1 : 0,
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

/* Nothing is labelled yet, so there is no model: the first question is asked at random. */
static void select_blind(run *r)
{
    const int64_t n = query_size(r);
    int64_t *ids = xcalloc((size_t)n, sizeof *ids);
    take_picks(r, ids, NULL, pool_draw_blind(&r->pool, n, composer_host(r->t->composer, "query"), r->round, ids));
    free(ids);
}

static void open_view(run *r)
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
        take_picks(r, s.ids, s.scores, s.n);
        snprintf(r->message, sizeof r->message, "%s", s.reason);
        r->record.reason = r->message;
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

/* Without any known class the initial set is a question of its own, before the first query. */
static bool starts_blind(const run *r)
{
    return r->t->known == 0 && r->m->initial_size > 0;
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
        why = xasprintf("all %lld rounds are done", (long long)m->rounds);
    else if (r->pool.count[SAMPLE_UNLABELLED] == 0)
        why = xasprintf("the pool is empty");
    if (!why)
        return false;
    snprintf(r->message, sizeof r->message, "%s", why);
    free(why);
    return true;
}

static double cost_of(const pick *picks, int64_t n)
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

/* All picks are answered: let the strategy know, move them, go to the next round. */
static dal_status close_round(run *r, dal_error *err)
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

/* The loop. Returns DAL_OK at the end of the run, DAL_E_PENDING when the oracle wants time. */
static dal_status run_rounds(run *r, dal_error *err)
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
            if (blind)
                select_blind(r);
            else if ((st = select_picks(r, err)) != DAL_OK || (st = note_nearest(r, err)) != DAL_OK)
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

/* ---- starting and going on ---- */

static char *components_json(const run *r)
{
    const manifest *m = r->m;
    json_t *all = json_array();
    const component_spec *specs[] = {m->dataset, m->model, r->spec, m->oracle};
    for (int i = 0; i < 4 + m->n_transforms; i++) {
        char *one = spec_json(i < 4 ? specs[i] : m->transforms[i - 4]);
        json_array_append_new(all, json_loads(one, 0, NULL));
        free(one);
    }
    char *list = json_dumps(all, JSON_COMPACT | JSON_SORT_KEYS);
    json_decref(all);
    return list;
}

static char *class_names_json(const source *s)
{
    json_t *all = json_array();
    for (int64_t k = 0; k < s->info.spec.n_classes; k++) {
        json_t *name = json_string(s->class_names[k]); /* NULL when it is not UTF-8 */
        json_array_append_new(all, name ? name : json_integer(k));
    }
    char *list = json_dumps(all, JSON_COMPACT);
    json_decref(all);
    return list;
}

static void describe_head(run *r)
{
    r->components = components_json(r);
    r->class_names = class_names_json(r->t->source);
    r->head = (run_head){
        .name = r->m->name,
        .strategy = r->spec->desc->id,
        .trial = r->t->number,
        .seed = r->t->seed,
        .manifest = r->m->effective,
        .components = r->components,
        .host_version = PACKAGE_VERSION,
        .abi = DAL_STR(DAL_ABI_MAJOR) "." DAL_STR(DAL_ABI_MINOR),
        .data_fingerprint = {r->t->fingerprint[0], r->t->fingerprint[1]},
        .n_pool = r->pool.n,
        .n_test = r->t->source->info.n[DAL_SPLIT_TEST],
        .n_classes = r->pool.n_classes,
        .class_names = r->class_names,
        .state = RUN_RUNNING,
        .message = "",
    };
}

/* People forget --resume: say so when there is something to resume. */
static void note_unfinished(run *r)
{
    run_head found;
    dal_error err = DAL_ERROR_INIT;
    if (!r->events || !r->events->note || store_find_run(r->store, &r->head, false, &found, &err) != DAL_OK)
        return;
    char *note = xasprintf("run %lld of the same manifest is unfinished (%s); this is a new run, --resume would go on "
                           "with that one", (long long)found.id, run_state_name(found.state));
    r->events->note(r->events->ctx, note);
    free(note);
}

static dal_status start_new(run *r, dal_error *err)
{
    const int32_t *known = r->t->source->classes[DAL_SPLIT_TRAIN];
    int64_t *ids = xcalloc((size_t)r->m->initial_size, sizeof *ids), n = 0;
    int32_t *classes = xcalloc((size_t)r->m->initial_size, sizeof *classes);
    if (r->t->known > 0)
        n = pool_draw_initial(&r->pool, known, r->m->initial_size, r->m->initial_balanced,
                              composer_host(r->t->composer, "initial"), ids);
    for (int64_t i = 0; i < n; i++) {
        classes[i] = known[ids[i]];
        pool_label(&r->pool, ids[i], classes[i]);
    }
    const dal_status st = store_new_run(r->store, &r->head, ids, classes, n, err);
    r->owned = st == DAL_OK;
    free(ids);
    free(classes);
    return st;
}

/* The components without their versions: what the manifest says of them. */
static char *without_versions(const char *components)
{
    json_t *all = json_loads(components, 0, NULL), *one;
    size_t i;
    json_array_foreach(all, i, one) json_object_del(one, "version");
    char *list = all ? json_dumps(all, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    json_decref(all);
    return list ? list : xstrdup("");
}

/* Is there a run that differs in nothing but the versions of its modules? */
static dal_status refuse_other_versions(run *r, dal_error *err)
{
    run_head like = r->head, found;
    dal_error none = DAL_ERROR_INIT;
    like.components = NULL;
    if (store_find_run(r->store, &like, true, &found, &none) != DAL_OK)
        return DAL_E_NOT_FOUND;
    char *a = without_versions(found.components), *b = without_versions(r->components);
    const bool same = strcmp(a, b) == 0;
    free(a);
    free(b);
    return !same ? DAL_E_NOT_FOUND
                 : dal_fail(err, DAL_E_INVALID, "",
                            "run %lld was made with other versions of the components; install those again, or start a "
                            "new run without --resume; it used %s",
                            (long long)found.id, found.components);
}

static dal_status same_data(const run *r, const run_head *old, dal_error *err)
{
    if (old->data_fingerprint[0] != r->head.data_fingerprint[0] ||
        old->data_fingerprint[1] != r->head.data_fingerprint[1] || old->n_pool != r->pool.n)
        return dal_fail(err, DAL_E_INVALID, "",
                        "the data have changed since run %lld was started; restore them, or start a new run without "
                        "--resume",
                        (long long)old->id);
    return DAL_OK;
}

/* Picks of a stored round, and the view it was made in where the strategy wants to observe. */
static dal_status reopen_round(run *r, const round_record *old, dal_error *err)
{
    begin_round(r);
    r->record = *old;
    r->record.metrics.recall = NULL;
    r->picks = xcalloc((size_t)old->n_picks, sizeof *r->picks);
    memcpy(r->picks, old->picks, (size_t)old->n_picks * sizeof *r->picks);
    r->record.picks = r->picks;
    r->record.reason = "";
    r->committed = true;
    if (old->n_labelled > 0 && DAL_HAS(dal_strategy_impl, strategy_impl(r), observe)) {
        const dal_status st = load_model(r, old->round, err);
        if (st != DAL_OK)
            return st;
        model_provider_round(&r->provider, r->round);
        open_view(r);
    }
    return DAL_OK;
}

static pseudo_labels copy_pseudo(const round_record *old)
{
    pseudo_labels p = {.n = old->n_pseudo};
    p.ids = xcalloc((size_t)p.n, sizeof *p.ids);
    p.classes = xcalloc((size_t)p.n, sizeof *p.classes);
    p.weights = xcalloc((size_t)p.n, sizeof *p.weights);
    memcpy(p.ids, old->pseudo_ids, (size_t)p.n * sizeof *p.ids);
    memcpy(p.classes, old->pseudo_classes, (size_t)p.n * sizeof *p.classes);
    memcpy(p.weights, old->pseudo_weights, (size_t)p.n * sizeof *p.weights);
    return p;
}

static bool all_answered(const round_record *r)
{
    for (int64_t i = 0; i < r->n_picks; i++)
        if (r->picks[i].answer == DAL_ANSWER_PENDING)
            return false;
    return true;
}

/* Bring pool, strategy and model to where the stored run stopped, and close its last round. */
static dal_status catch_up(run *r, const stored_run *old, dal_error *err)
{
    dal_status st = DAL_OK;
    for (int64_t i = 0; i < old->n_initial; i++)
        pool_label(&r->pool, old->initial[i], old->initial_classes[i]);
    for (int64_t k = 0; k < old->n_rounds; k++) {
        if (r->events && r->events->round)
            r->events->round(r->events->ctx, &r->head, &old->rounds[k]);
        if (k + 1 < old->n_rounds) {
            pool_answer(&r->pool, old->rounds[k].picks, old->rounds[k].n_picks);
            r->spent += cost_of(old->rounds[k].picks, old->rounds[k].n_picks);
        }
    }
    r->round = old->n_rounds;
    if (old->n_rounds == 0)
        return DAL_OK;
    const round_record *last = &old->rounds[old->n_rounds - 1];
    r->round = last->round;
    if ((st = load_strategy(r, last->round, err)) != DAL_OK)
        return st;
    if (last->n_labelled > 0 && r->m->warm_start && (st = load_model(r, last->round, err)) != DAL_OK)
        return st;
    if ((st = reopen_round(r, last, err)) != DAL_OK)
        return st;
    r->next_pseudo = copy_pseudo(last);
    if (!all_answered(last)) {
        int64_t pending;
        tell_phase(r, "label");
        if ((st = ask_oracle(r, &pending, err)) != DAL_OK)
            return st;
        if (pending > 0)
            return DAL_E_PENDING;
    }
    return close_round(r, err);
}

/* A run whose last round has no picks had reached its end, only nobody wrote so. */
static bool reached_end(const stored_run *old)
{
    return old->n_rounds > 0 && old->rounds[old->n_rounds - 1].n_picks == 0;
}

static void tell_begin(run *r, int64_t rounds_done)
{
    if (r->events && r->events->begin)
        r->events->begin(r->events->ctx, &r->head, rounds_done);
}

static dal_status go_on(run *r, const run_head *found, bool *done, dal_error *err)
{
    stored_run *old = NULL;
    dal_status st = store_lock_run(r->store, found->id, err);
    if (st == DAL_OK)
        st = store_read_run(r->store, found->id, &old, err);
    if (st == DAL_OK)
        st = same_data(r, &old->head, err);
    if (st == DAL_OK) {
        r->owned = true;
        r->head.started = old->head.started;
        r->head.state = old->head.state;
        *done = old->head.state == RUN_DONE || reached_end(old);
        tell_begin(r, old->n_rounds);
        if (*done) {
            const char *why = old->n_rounds > 0 ? old->rounds[old->n_rounds - 1].reason : "";
            snprintf(r->message, sizeof r->message, "%s", why);
            for (int64_t k = 0; r->events && r->events->round && k < old->n_rounds; k++)
                r->events->round(r->events->ctx, &r->head, &old->rounds[k]);
        } else {
            st = store_set_state(r->store, r->head.id, RUN_RUNNING, "", err);
            if (st == DAL_OK)
                st = catch_up(r, old, err);
        }
    }
    stored_run_free(old);
    return st;
}

static dal_status open_components(run *r, dal_error *err)
{
    composer *c = r->t->composer;
    dal_status st = composer_open(c, r->m->model, &r->t->source->info.spec, &r->model, err);
    if (st == DAL_OK)
        st = composer_open(c, r->spec, NULL, &r->strategy, err);
    if (st != DAL_OK)
        return st;
    model_provider_init(&r->provider, r->t->source, r->model, r->m->model, composer_host(c, "run"));
    r->provider_ready = true;
    return DAL_OK;
}

static dal_status open_oracle(run *r, dal_error *err)
{
    r->task = trial_oracle_task(r->t, store_path(r->store), r->head.id);
    return composer_open(r->t->composer, r->m->oracle, &r->task, &r->oracle, err);
}

static void close_all(run *r)
{
    drop_round(r);
    drop_round(r); /* twice: the pseudo labels for a round that never came */
    composer_close(r->t->composer, r->oracle);
    composer_close(r->t->composer, r->strategy);
    if (r->provider_ready)
        model_provider_fini(&r->provider);
    composer_close(r->t->composer, r->model);
    pool_fini(&r->pool);
    free(r->recall);
    free(r->components);
    free(r->class_names);
}

static void tell_end(const run *r)
{
    if (r->events && r->events->end)
        r->events->end(r->events->ctx, &r->head);
}

static run_state state_after(dal_status st)
{
    return st == DAL_OK ? RUN_DONE : st == DAL_E_PENDING ? RUN_WAITING : st == DAL_E_CANCELLED ? RUN_RUNNING : RUN_FAILED;
}

/* Write down how it ended, as well as that can be done. */
static dal_status write_end(run *r, dal_status st, run_state *state, dal_error *err)
{
    *state = state_after(st);
    const char *message = *state == RUN_FAILED ? err->text : *state == RUN_RUNNING ? "interrupted" : r->message;
    dal_error late = DAL_ERROR_INIT;
    const dal_status written = store_set_state(r->store, r->head.id, *state, message, &late);
    if (st == DAL_OK && written != DAL_OK) {
        *err = late;
        *state = RUN_FAILED;
        st = written;
    }
    r->head.state = *state;
    r->head.message = message;
    tell_end(r);
    return *state == RUN_WAITING ? DAL_OK : st;
}

dal_status run_strategy(trial *t, int strategy, store *s, const run_options *o, run_state *state, dal_error *err)
{
    run r = {.t = t, .m = t->m, .spec = t->m->strategies[strategy], .store = s, .events = o->events};
    const source *src = t->source;
    pool_init(&r.pool, src->info.n[DAL_SPLIT_TRAIN], src->info.spec.n_classes, src->classes[DAL_SPLIT_VALIDATION],
              src->info.n[DAL_SPLIT_VALIDATION]);
    r.recall = xcalloc((size_t)r.pool.n_classes, sizeof *r.recall);
    describe_head(&r);
    bool done = false;
    run_head found = {0};
    *state = RUN_FAILED;
    dal_status st = open_components(&r, err);
    if (st == DAL_OK && o->resume) {
        st = store_find_run(s, &r.head, true, &found, err);
        if (st == DAL_E_NOT_FOUND)
            st = refuse_other_versions(&r, err);
        if (st == DAL_OK)
            r.head.id = found.id;
    } else if (st == DAL_OK)
        st = DAL_E_NOT_FOUND;
    const bool fresh = st == DAL_E_NOT_FOUND;
    if (fresh) {
        if (!o->resume)
            note_unfinished(&r);
        st = start_new(&r, err);
    }
    if (st == DAL_OK)
        st = open_oracle(&r, err);
    if (st == DAL_OK && fresh)
        tell_begin(&r, 0);
    else if (st == DAL_OK)
        st = go_on(&r, &found, &done, err);
    if (st == DAL_OK && !done)
        st = run_rounds(&r, err);
    if (done && r.head.state == RUN_DONE) {
        *state = RUN_DONE;
        r.head.message = r.message;
        tell_end(&r);
    } else if (r.owned) /* never touch a run that is somebody else's, or of other data */
        st = write_end(&r, st, state, err);
    close_all(&r);
    return st;
}
