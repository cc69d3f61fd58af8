/* A run's start, its going on after an interruption, and its end. */
#include "pipeline/run.h"

#include <math.h>
#include <stdlib.h>

#include <jansson.h>

#include "pipeline/run_private.h"
#include "pipeline/survey.h"
#include "util/text.h"

/* ---- what makes a run ---- */

static char *components_json(const run *r)
{
    const manifest *m = r->m;
    json_t *all = json_array();
    /* STORE_MODEL: the model's place */
    const component_spec *specs[] = {m->dataset, model_spec(r), r->spec, m->oracle};
    const component_spec *initial = m->initial_strategy;
    for (int i = 0; i < 4 + m->n_transforms + !!initial; i++) {
        char *one = spec_json(i < 4 ? specs[i] : i < 4 + m->n_transforms ? m->transforms[i - 4] : initial);
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
    free(r->components);
    free(r->class_names);
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
    if (!r->events || !r->events->note || find_earlier(r, false, &found, &err) != DAL_OK)
        return;
    char *note = xasprintf("run %lld of the same manifest is unfinished (%s); this is a new run, --resume would go on "
                           "with that one", (long long)found.id,
                           run_state_shown(&found, store_writer(r->store, found.id)));
    r->events->note(r->events->ctx, note);
    free(note);
}

/* Who goes on with an experiment of days does not want to find that it began anew, as after a changed key. */
static void note_nothing_to_resume(const run *r)
{
    if (!r->events || !r->events->note || r->head.trial != 0 || r->spec != r->m->strategies[0])
        return; /* what comes first is in the store, if anything is */
    char *nearest = nearest_run(r);
    char *note = xasprintf("nothing to go on with: %s has no run of this manifest with these very keys and this "
                           "seed%s%s%s; a new one begins", store_path(r->store), nearest ? " (" : "",
                           nearest ? nearest : "", nearest ? ")" : "");
    r->events->note(r->events->ctx, note);
    free(nearest);
    free(note);
}

/* What each link of the dataset's chain has, as rows of the store. */
typedef struct data_rows {
    store_link *links; /* [n] */
    int64_t n;
} data_rows;

static void free_rows(data_rows *d)
{
    for (int64_t i = 0; i < d->n; i++)
        free((void *)(uintptr_t)d->links[i].classes);
    free(d->links);
    *d = (data_rows){0};
}

static char *counts_json(const int64_t *counts, int64_t n)
{
    json_t *all = json_array();
    for (int64_t c = 0; c < n; c++)
        json_array_append_new(all, json_integer(counts[c]));
    char *list = json_dumps(all, JSON_COMPACT);
    json_decref(all);
    return list;
}

static dal_status survey_data(source *s, data_rows *out, dal_error *err)
{
    static const char *const splits[DAL_SPLITS] = {"train", "validation", "test"};
    survey v;
    const dal_status st = survey_make(s, &v, err);
    if (st != DAL_OK)
        return st;
    *out = (data_rows){xcalloc((size_t)v.n * DAL_SPLITS, sizeof *out->links), 0};
    for (int k = 0; k < v.n; k++)
        for (uint32_t split = 0; split < DAL_SPLITS; split++) {
            const survey_link *l = &v.links[k];
            if (l->n[split] > 0)
                out->links[out->n++] = (store_link){k,
                                                    l->desc->id,
                                                    splits[split],
                                                    l->n[split],
                                                    l->unlabelled[split],
                                                    l->outside[split],
                                                    counts_json(l->counts[split], l->spec.n_classes)};
        }
    survey_fini(&v);
    return DAL_OK;
}

static dal_status start_new(run *r, dal_error *err)
{
    data_rows data = {0};
    const int32_t *known = r->t->source->classes[DAL_SPLIT_TRAIN];
    int64_t *ids = xcalloc((size_t)r->m->initial_size, sizeof *ids), n = 0;
    int32_t *classes = xcalloc((size_t)r->m->initial_size, sizeof *classes);
    if (r->t->known > 0 && !r->m->initial_strategy)
        n = pool_draw_initial(&r->pool, known, r->m->initial_size, r->m->initial_balanced,
                              composer_host(r->t->composer, "initial"), ids);
    for (int64_t i = 0; i < n; i++) {
        classes[i] = known[ids[i]];
        pool_label(&r->pool, ids[i], classes[i]);
    }
    dal_status st = survey_data(r->t->source, &data, err);
    r->head.links = data.links;
    r->head.n_links = data.n;
    if (st == DAL_OK)
        st = store_new_run(r->store, &r->head, ids, classes, n, err);
    r->owned = st == DAL_OK;
    r->head.links = NULL;
    r->head.n_links = 0;
    free_rows(&data);
    free(ids);
    free(classes);
    return st;
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
    for (int64_t i = 0; i < old->n_picks; i++)
        r->picks[i].why = NULL; /* in the store, and soon gone from here */
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
    /* also where training does not go on from it: what it was made of besides the data, as a folder of weights, may be
     * another now */
    if (last->n_labelled > 0 && last->metrics.epochs >= 0 && keeps_model(r) &&
        (st = load_model(r, last->round, err)) != DAL_OK)
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
    const dal_status st = open_model(r, r->m->model, err);
    return st == DAL_OK ? composer_open(r->t->composer, r->spec, NULL, &r->strategy, err) : st;
}

static void start_provider(run *r)
{
    model_provider_init(&r->provider, r->t->source, r->model, model_spec(r), composer_host(r->t->composer, "run"));
    r->provider_ready = true;
}

/* The stored run to go on with; *fresh: there is none, so a new one begins. */
static dal_status find_resumed(run *r, run_head *found, bool *fresh, dal_error *err)
{
    dal_error none = DAL_ERROR_INIT;
    dal_status st = find_earlier(r, true, found, &none);
    *fresh = st == DAL_E_NOT_FOUND;
    if (st != DAL_OK && !*fresh) {
        *err = none;
        return st;
    }
    const int64_t id = r->head.id = *fresh ? 0 : found->id;
    st = go_by_earlier(r, *fresh ? NULL : found, err);
    describe_head(r);
    r->head.id = id;
    return st;
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
    free(r->chosen);
}

static void tell_end(const run *r)
{
    if (r->events && r->events->end)
        r->events->end(r->events->ctx, &r->head);
}

static run_state state_after(dal_status st)
{
    return st == DAL_OK ? RUN_DONE : st == DAL_E_PENDING ? RUN_WAITING : st == DAL_E_CANCELLED ? RUN_RUNNING
        : RUN_FAILED;
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
    run r = {.t = t, .m = t->m, .spec = t->m->strategies[strategy], .candidates = t->plans[strategy].candidates,
             .store = s, .events = o->events};
    const source *src = t->source;
    pool_init(&r.pool, src->info.n[DAL_SPLIT_TRAIN], src->info.spec.n_classes, src->classes[DAL_SPLIT_VALIDATION],
              src->info.n[DAL_SPLIT_VALIDATION]);
    r.recall = xcalloc((size_t)r.pool.n_classes, sizeof *r.recall);
    bool done = false, fresh = !o->resume;
    run_head found = {0};
    *state = RUN_FAILED;
    dal_status st = open_components(&r, err);
    if (st == DAL_OK) {
        describe_head(&r);
        if (o->resume)
            st = find_resumed(&r, &found, &fresh, err);
    }
    if (st == DAL_OK && fresh) {
        if (o->resume)
            note_nothing_to_resume(&r);
        else
            note_unfinished(&r);
        st = start_new(&r, err);
    }
    if (st == DAL_OK)
        start_provider(&r);
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
