#include "pipeline/trial.h"

#include <dal/model.h>
#include <dal/strategy.h>
#include <stdlib.h>

#include "pipeline/choices.h"
#include "util/text.h"

static void describe_pool(const dal_oracle_task *t, int64_t id, char *out, size_t size)
{
    source_describe(((trial *)t->impl)->source, DAL_SPLIT_TRAIN, id, out, size);
}

static dal_status pool_samples(const dal_oracle_task *t, const int64_t *ids, int64_t n, dal_samples **out,
                               dal_error *err)
{
    *out = source_samples(((trial *)t->impl)->source, DAL_SPLIT_TRAIN, ids, NULL, NULL, n);
    return *out ? DAL_OK : dal_fail(err, DAL_E_CONTRACT, "", "the oracle asks for samples outside the pool");
}

static void release_samples(const dal_oracle_task *t, dal_samples *s)
{
    (void)t;
    free(s);
}

dal_oracle_task trial_oracle_task(trial *t, const char *store_path, int64_t run)
{
    const bool truth = dal_has_word(t->m->oracle->desc->needs, DAL_CAP_TRUTH);
    return (dal_oracle_task){
        .struct_size = sizeof(dal_oracle_task),
        .n_pool = t->source->info.n[DAL_SPLIT_TRAIN],
        .n_classes = t->source->info.spec.n_classes,
        .class_names = t->source->class_names,
        .store_path = store_path,
        .run = run,
        .truth = truth ? t->source->classes[DAL_SPLIT_TRAIN] : NULL,
        .impl = t,
        .describe = describe_pool,
        .samples = pool_samples,
        .release = release_samples,
    };
}

/* Open and close again; a failure goes to d. `use`, when given, looks at the instance in between. */
static void try_open(trial *t, const component_spec *spec, const void *arg,
                     void (*use)(trial *t, const component_spec *spec, const dal_instance *i, void *ctx, diags *d),
                     void *ctx, diags *d)
{
    const dal_instance *instance = NULL;
    dal_error err = DAL_ERROR_INIT;
    if (composer_open(t->composer, spec, arg, &instance, &err) != DAL_OK) {
        tell_who(spec->desc, &err);
        diags_error(d, spec_place(spec, &err), "%s", err.text);
        return;
    }
    if (use)
        use(t, spec, instance, ctx, d);
    composer_close(t->composer, instance);
}

/* ---- values ---- */

/* Models compute with finite numbers, some with missing ones; who compares samples before there is a model, with finite
 * ones. */
static void rule_values(trial *t)
{
    source *s = t->source;
    char title[96];
    text models = {0};
    for (int i = 0; i < registry_n_components(t->registry); i++) {
        const component_desc *c = registry_component(t->registry, i);
        if (c->kind == DAL_KIND_MODEL && dal_has_word(c->provides, DAL_CAP_MISSING))
            text_addf(&models, "%s%s", models.n ? ", " : "", c->id);
    }
    const bool missing = dal_has_word(t->m->model->desc->provides, DAL_CAP_MISSING),
        compared = t->m->initial_strategy != NULL;
    s->values = missing && !compared ? VALUES_OR_MISSING : VALUES_FINITE;
    s->values_rule = missing && compared ? xasprintf("initial.strategy compares samples of finite numbers alone")
                     : missing ? xasprintf("%s takes finite numbers, and nan for missing ones",
                                           spec_title(t->m->model, title))
                               : xasprintf("%s takes finite numbers alone", spec_title(t->m->model, title));
    s->values_mend =
        xasprintf("clean the data, drop the sample, fill in what is missing (`missing` of some loaders)%s%s",
                               missing ? ", or leave initial.strategy out"
                               : models.n ? ", or use a model that takes missing values: " : "", missing ||
                               !models.n ? "" : models.s);
    text_free(&models);
}

/* ---- sizes ---- */

static void check_sizes(trial *t, diags *d)
{
    const manifest *m = t->m;
    const int64_t n = t->source->info.n[DAL_SPLIT_TRAIN], c = t->source->info.spec.n_classes;
    if (n < 1)
        diags_error(d, m->dataset->at, "the train split has no samples; expected at least 1 to choose from");
    if (c < 2)
        diags_error(d, m->dataset->at,
                    "the dataset has %lld class%s; expected at least 2 (does it name its labels or classes?)",
                    (long long)c, c == 1 ? "" : "es");
    if (m->initial_size > n)
        diags_error(d, m->at_initial_size, "initial.size is %lld, but the pool has %lld samples; expected at most %lld",
                    (long long)m->initial_size, (long long)n, (long long)n);
    else if (t->known > 0 && !m->initial_strategy && m->initial_size > t->known)
        diags_error(d, m->at_initial_size,
                    "initial.size is %lld, but only %lld samples of the pool have a known class; expected at most "
                    "that many",
                    (long long)m->initial_size, (long long)t->known);
    else if (m->rounds > 0 && m->initial_size == n)
        diags_error(d, m->at_initial_size,
                    "initial.size is the whole pool of %lld, which leaves nothing to choose from; expected less, or "
                    "query.rounds: 0 to train on all labels once",
                    (long long)n);
    else if (m->rounds > 0 && m->query_size > n - m->initial_size)
        diags_error(d, m->at_query_size,
                    "query.size is %lld, but only %lld samples are left after the initial set of %lld; expected at "
                    "most %lld",
                    (long long)m->query_size, (long long)(n - m->initial_size), (long long)m->initial_size,
                    (long long)(n - m->initial_size));
    else if (m->rounds > 0 && m->query_size > (n - m->initial_size) / m->rounds)
        diags_note(d, m->at_rounds,
                   "%lld rounds of %lld would need %lld samples, the pool has %lld left: the run ends when it is empty",
                   (long long)m->rounds, (long long)m->query_size, (long long)(m->rounds * m->query_size),
                   (long long)(n - m->initial_size));
    if (t->source->info.n[DAL_SPLIT_TEST] == 0)
        diags_note(d, m->dataset->at, "there is no test split: no accuracy will be measured");
    if (m->stop_accuracy > 0 && t->source->info.n[DAL_SPLIT_TEST] == 0)
        diags_error(d, m->at_stop, "stop.accuracy needs a test split, and the dataset has none");
}

/* Loaders whose classes are given beforehand may find samples of one of them alone. Where people answer, they know
 * others. */
static void check_variety(const trial *t, diags *d)
{
    const int32_t *classes = t->source->classes[DAL_SPLIT_TRAIN];
    const int64_t n = t->source->info.n[DAL_SPLIT_TRAIN];
    int32_t only = DAL_LABEL_NONE;
    if (!dal_has_word(t->m->oracle->desc->needs, DAL_CAP_TRUTH) || t->source->info.spec.n_classes < 2)
        return;
    for (int64_t i = 0; i < n; i++) {
        if (classes[i] >= 0 && only >= 0 && classes[i] != only)
            return;
        only = classes[i] >= 0 ? classes[i] : only;
    }
    if (only >= 0)
        diags_error(d, t->m->dataset->at,
                    "all %lld samples of the pool with a class are of '%s'; expected at least 2 classes among them",
                    (long long)t->known, t->source->class_names[only]);
}

static void check_truth(const trial *t, const component_spec *spec, const char *needs, diags *d)
{
    if (!dal_has_word(needs, DAL_CAP_TRUTH))
        return;
    const int32_t *classes = t->source->classes[DAL_SPLIT_TRAIN];
    for (int64_t i = 0; i < t->source->info.n[DAL_SPLIT_TRAIN]; i++)
        if (classes[i] != DAL_LABEL_NONE)
            return;
    char title[96];
    diags_error(d, spec->at,
                "%s needs the true labels, and the dataset has none; expected a dataset with labels, or %s",
                spec_title(spec, title),
                spec->kind == DAL_KIND_ORACLE ? "another oracle such as 'file'" : "another strategy");
}

static void check_groups(const trial *t, const component_spec *spec, const char *needs, diags *d)
{
    char title[96];
    if (dal_has_word(needs, DAL_CAP_GROUPS) && !t->source->groups)
        diags_error(d, spec->at,
                    "%s needs to know which source each sample is of, and the dataset does not tell; expected one that "
                    "does, as concat of several datasets, or a loader with a `group` column", spec_title(spec, title));
}

/* ---- models and strategies ---- */

typedef struct model_facts {
    int64_t d;
    uint32_t offers; /* DAL_WANT_*: what it shows a companion */
} model_facts;

static void look_at_model(trial *t, const component_spec *spec, const dal_instance *i, void *ctx, diags *d)
{
    const dal_model_impl *impl = i->impl;
    model_facts *facts = ctx;
    char title[96];
    /* what the note promises must be there */
    char *provides = xstrdup(spec->desc->provides), *save = NULL;
    for (char *id = strtok_r(provides, " ", &save); id; id = strtok_r(NULL, " ", &save)) {
        if (strncmp(id, "dal.model.", 10) != 0 || strcmp(id, DAL_CAP_OUTPUTS) == 0 ||
            strcmp(id, DAL_CAP_WARM_START) == 0 || strcmp(id, DAL_CAP_MISSING) == 0)
            continue;
        call_begin(spec->desc, "get_extension");
        const void *table = DAL_HAS(dal_model_impl, impl, get_extension) ? impl->get_extension(i->self, id) : NULL;
        call_end(spec->desc, "get_extension", DAL_OK, NULL);
        if (!table)
            diags_error(d, spec->at, "%s says it provides %s, but does not hand it out; its module is faulty",
                        spec_title(spec, title), id);
        else if (strcmp(id, DAL_CAP_FEATURES) == 0)
            facts->d = ((const dal_model_features *)table)->width(i->self);
        else if (strcmp(id, DAL_CAP_COMPANION) == 0)
            facts->offers = ((const dal_model_companion *)table)->offers;
    }
    free(provides);
    component_spec *chosen = NULL;
    dal_error err = DAL_ERROR_INIT;
    if (choices_of_model(spec, i, &chosen, &err) != DAL_OK)
        diags_error(d, spec_place(spec, &err), "%s", err.text);
    t->chosen = choices_text(spec, chosen);
    free(chosen);
}

typedef struct plan_job {
    strategy_plan *plan;
    model_facts model;
} plan_job;

/* The sizes of the run's largest query. */
static dal_problem largest_query(const trial *t, int64_t d)
{
    const manifest *m = t->m;
    const int64_t n = t->source->info.n[DAL_SPLIT_TRAIN] - m->initial_size;
    return (dal_problem){
        .struct_size = sizeof(dal_problem),
        .n = m->candidates > 0 && m->candidates < n ? m->candidates : n,
        .n_labelled = m->initial_size + (m->rounds > 0 ? (m->rounds - 1) * m->query_size : 0),
        .n_query = m->query_size,
        .c = t->source->info.spec.n_classes,
        .d = d,
        .inputs = spec_is_dense(&t->source->info.spec) ? dal_sample_values(&t->source->info.spec) : 0,
    };
}

/* What is trained along must be shown all that it wants. */
static void check_companion(const trial *t, const component_spec *spec, const dal_instance *i, uint32_t offers,
                            diags *d)
{
    static const char *const what[] = {"features", "stages", "unlabelled samples"}; /* DAL_WANT_*, bit by bit */
    const dal_strategy_impl *impl = i->impl;
    char title[96];
    if (!DAL_HAS(dal_strategy_impl, impl, companion) || !dal_has_word(t->m->model->desc->provides, DAL_CAP_COMPANION))
        return;
    call_begin(spec->desc, "companion");
    const dal_companion *companion = impl->companion(i->self);
    call_end(spec->desc, "companion", DAL_OK, NULL);
    for (size_t k = 0; companion && k < sizeof what / sizeof *what; k++)
        if (companion->wants & ~offers & (1u << k)) {
            diags_error(d, spec->at,
                        "%s is trained along with the model and wants to see its %s, which model '%s' does not show; "
                        "expected another model, or another strategy", spec_title(spec, title), what[k],
                        t->m->model->desc->id);
            return;
        }
}

static void look_at_strategy(trial *t, const component_spec *spec, const dal_instance *i, void *ctx, diags *d)
{
    const plan_job *job = ctx;
    const manifest *m = t->m;
    strategy_plan *plan = job->plan;
    const memory_rule rule = {
        .limit = (double)m->memory,
        .subsample = m->over_memory == OVER_MEMORY_SUBSAMPLE,
        .by = "`memory`",
        .fewer = "set query.candidates to",
        .instead = "set query.over_memory to subsample",
    };
    plan->problem = largest_query(t, job->model.d);
    check_truth(t, spec, i->component->needs, d);
    check_groups(t, spec, i->component->needs, d);
    check_companion(t, spec, i, job->model.offers, d);
    cost_tree *tree = cost_open(t->composer, spec, i);
    const int64_t n = plan->problem.n > 0 ? cost_candidates(tree, &plan->problem, &rule, spec->at, d) : 0;
    plan->candidates = n > 0 && n < plan->problem.n ? n : m->candidates;
    if (n > 0)
        plan->problem.n = n;
    plan->cost = cost_bound(tree, &plan->problem);
    plan->lines = cost_lines(tree, &plan->problem, "");
    cost_close(tree);
}

/* The strategy that chooses the initial set: by the inputs, within the same limit. */
static void look_at_initial(trial *t, const component_spec *spec, const dal_instance *i, void *ctx, diags *d)
{
    (void)ctx;
    check_groups(t, spec, i->component->needs, d);
    const dal_sample_spec *inputs = &t->source->info.spec;
    const int64_t n = t->source->info.n[DAL_SPLIT_TRAIN];
    const memory_rule rule = {
        .limit = (double)t->m->memory,
        .by = "`memory`",
        .fewer = "set query.candidates to",
        .instead = "draw the initial set at random",
    };
    if (!spec_is_dense(inputs)) {
        diags_error(d, spec->at, "initial.strategy compares inputs, and those of this dataset are neither vectors nor "
                    "images; leave it out for a set drawn at random");
        return;
    }
    const dal_problem p = {sizeof p, 0, t->m->candidates > 0 && t->m->candidates < n ? t->m->candidates : n, 0,
                           t->m->initial_size, inputs->n_classes, dal_sample_values(inputs),
                           dal_sample_values(inputs)};
    cost_tree *tree = cost_open(t->composer, spec, i);
    cost_candidates(tree, &p, &rule, spec->at, d);
    cost_close(tree);
}

static void check_components(trial *t, diags *d)
{
    const manifest *m = t->m;
    model_facts facts = {.offers = UINT32_MAX}; /* until the model is open and says */
    if (t->source->info.spec.n_classes >= 2)
        try_open(t, m->model, &t->source->info.spec, look_at_model, &facts, d);
    for (int i = 0; i < m->n_strategies; i++) {
        plan_job job = {&t->plans[i], facts};
        try_open(t, m->strategies[i], NULL, look_at_strategy, &job, d);
    }
    if (m->initial_strategy)
        try_open(t, m->initial_strategy, NULL, look_at_initial, NULL, d);
    const dal_oracle_task task = trial_oracle_task(t, "", 0);
    check_truth(t, m->oracle, m->oracle->desc->needs, d);
    try_open(t, m->oracle, &task, NULL, NULL, d);
}

dal_status trial_open(const manifest *m, registry *r, int64_t number, int32_t threads,
                      const composer_events *events, trial **out, diags *d)
{
    trial *t = xcalloc(1, sizeof *t);
    dal_error err = DAL_ERROR_INIT;
    t->m = m;
    t->plans = xcalloc((size_t)m->n_strategies, sizeof *t->plans);
    t->registry = r;
    t->number = number;
    t->seed = m->seed + (uint64_t)number;
    dal_status st = composer_new(r, threads, t->seed, events, &t->composer, &err);
    if (st != DAL_OK)
        diags_error(d, (place){m->path, 0, 0}, "%s", err.text);
    else
        st = source_open(t->composer, m, &t->source, d);
    if (st == DAL_OK) {
        rule_values(t);
        for (int64_t i = 0; i < t->source->info.n[DAL_SPLIT_TRAIN]; i++)
            t->known += t->source->classes[DAL_SPLIT_TRAIN][i] >= 0;
        check_sizes(t, d);
        check_variety(t, d);
        check_components(t, d);
        st = source_fingerprint(t->source, t->fingerprint, &err);
        if (st != DAL_OK)
            diags_error(d, m->dataset->at, "the data cannot be used: %s", err.text);
    }
    if (diags_errors(d)) {
        trial_close(t);
        return st == DAL_OK ? DAL_E_INVALID : st;
    }
    *out = t;
    return DAL_OK;
}

void trial_close(trial *t)
{
    if (!t)
        return;
    source_close(t->source);
    composer_free(t->composer);
    for (int i = 0; i < t->m->n_strategies; i++)
        free(t->plans[i].lines);
    free(t->plans);
    free(t->chosen);
    free(t);
}
