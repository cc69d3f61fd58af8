/* Faults of a manifest that is well formed, found without data and without running a plugin. */
#include "manifest/reader.h"

#include <stdlib.h>

#include "util/text.h"

#define MANIFEST_FORMAT 1

/* The next word of a list, from *at on, that is a capability which this model lacks; NULL: no more. Anybody may invent
 * one: the name does not matter. Truth and groups are the dataset's, which is looked at later. */
static const char *next_lacking(const reader *rd, const char **at, const component_desc *model)
{
    while (**at) {
        const size_t n = strcspn(*at, " ");
        const char *capability = arena_strn(rd->mem, *at, n);
        *at += n + ((*at)[n] == ' ');
        if (n > 0 && strcmp(capability, DAL_CAP_OUTPUTS) != 0 && strcmp(capability, DAL_CAP_TRUTH) != 0 &&
            strcmp(capability, DAL_CAP_GROUPS) != 0 && !dal_has_word(model->provides, capability))
            return capability;
    }
    return NULL;
}

/* "; models that do: mlp, convnet": those that offer all of a list. */
static const char *models_with(const reader *rd, const char *capabilities)
{
    text t = {0};
    for (int i = 0; i < registry_n_components(rd->reg); i++) {
        const component_desc *c = registry_component(rd->reg, i);
        const char *at = capabilities;
        if (c->kind == DAL_KIND_MODEL && !next_lacking(rd, &at, c))
            text_addf(&t, "%s%s", t.n ? ", " : "; models that do: ", c->id);
    }
    const char *list = arena_printf(rd->mem, "%s", t.s ? t.s : "; no installed model does");
    text_free(&t);
    return list;
}

/* Also of the strategies that this one runs on the same model. One complaint of all that is lacking. */
static void check_needs(reader *rd, const component_spec *s, const component_desc *model)
{
    const component_desc *c = s->desc;
    char *needs = spec_own_needs(s);
    const char *at = needs, *capability;
    text list = {0}, words = {0}; /* "a b" and "a and b" */
    while ((capability = next_lacking(rd, &at, model))) {
        text_addf(&list, "%s%s", list.n ? " " : "", capability);
        text_addf(&words, "%s%s", words.n ? " and " : "", capability);
    }
    if (list.n)
        complain(rd, s->at, "strategy '%s' needs %s, which model '%s' does not offer%s", c->id, words.s, model->id,
                 models_with(rd, list.s));
    text_free(&list);
    text_free(&words);
    free(needs);
    for (int i = 0; i < c->n_params; i++)
        for (int64_t k = 0; s->values[i].component && k < s->values[i].n; k++)
            if (s->values[i].component[k] && s->values[i].component[k]->kind == DAL_KIND_STRATEGY)
                check_needs(rd, s->values[i].component[k], model);
}

/* Before there is a model only the inputs can be looked at, which stand for features. */
static void check_initial_needs(reader *rd, const component_spec *s)
{
    const component_desc *c = s->desc;
    char *needs = spec_own_needs(s);
    for (const char *word = needs; *word;) {
        const size_t n = strcspn(word, " ");
        const char *capability = arena_strn(rd->mem, word, n);
        if (n && strcmp(capability, DAL_CAP_FEATURES) != 0 && strcmp(capability, DAL_CAP_TRUTH) != 0 &&
            strcmp(capability, DAL_CAP_GROUPS) != 0)
            complain(rd, s->at, "strategy '%s' needs %s, and no model is trained yet when the initial set is chosen; "
                     "expected a strategy that needs features alone, which the inputs then are, or nothing", c->id,
                     capability);
        word += n + (word[n] == ' ');
    }
    free(needs);
    for (int i = 0; i < c->n_params; i++)
        for (int64_t k = 0; s->values[i].component && k < s->values[i].n; k++)
            if (s->values[i].component[k] && s->values[i].component[k]->kind == DAL_KIND_STRATEGY)
                check_initial_needs(rd, s->values[i].component[k]);
}

static void check_initial(reader *rd, const manifest_values *v)
{
    const param_value *initial = v->sections[SECTION_INITIAL], *strategy = &initial[INITIAL_STRATEGY];
    if (!strategy->component || strategy->n == 0 || !strategy->component[0])
        return;
    check_initial_needs(rd, strategy->component[0]);
    if (initial[INITIAL_BALANCED].boolean)
        complain(rd, initial[INITIAL_BALANCED].at,
                 "initial.balanced is about a set drawn at random, and initial.strategy chooses it; expected one of "
                 "them");
}

static void check_capabilities(reader *rd, const manifest_values *v)
{
    const param_value *models = &v->root[ROOT_MODEL], *strategies = &v->root[ROOT_STRATEGY];
    const component_desc *model =
        models->component && models->component[0] ? models->component[0]->desc : NULL;
    const param_value *warm = &v->sections[SECTION_TRAIN][TRAIN_WARM_START];
    if (!model)
        return;
    for (int64_t i = 0; strategies->component && i < strategies->n; i++)
        if (strategies->component[i])
            check_needs(rd, strategies->component[i], model);
    if (warm->boolean && !dal_has_word(model->provides, DAL_CAP_WARM_START))
        complain(rd, warm->at, "train.warm_start needs %s, which model '%s' does not offer%s",
                 DAL_CAP_WARM_START, model->id, models_with(rd, DAL_CAP_WARM_START));
}

/* The value of a parameter that was read without an error, else 0. */
static int64_t whole(const param_value *v)
{
    return v->i64 ? v->i64[0] : 0;
}

static void check_sizes(reader *rd, const manifest_values *v)
{
    const param_value *query = v->sections[SECTION_QUERY];
    const int64_t size = whole(&query[QUERY_SIZE]), candidates = whole(&query[QUERY_CANDIDATES]);
    if (candidates > 0 && candidates < size)
        complain(rd, query[QUERY_CANDIDATES].at,
                 "query.candidates is %lld, but each query picks %lld of them; expected at least %lld, "
                 "or 0 for the "
                 "whole pool",
                 (long long)candidates, (long long)size, (long long)size);
    int64_t asked;
    if (!dal_size_mul(size, whole(&query[QUERY_ROUNDS]), &asked) ||
        asked > INT64_MAX - whole(&v->sections[SECTION_INITIAL][INITIAL_SIZE]))
        complain(rd, query[QUERY_SIZE].given ? query[QUERY_SIZE].at : query[QUERY_ROUNDS].at,
                 "query.size x query.rounds is more labels than can be counted; expected fewer");
}

static void check_root(reader *rd, const manifest_values *v)
{
    const param_value *format = &v->root[ROOT_DALHOST];
    if (format->i64 && format->i64[0] > MANIFEST_FORMAT)
        complain(rd, format->at, "dalhost is %lld; expected %d, the manifest format this program reads",
                 (long long)format->i64[0], MANIFEST_FORMAT);
    const param_value *name = &v->root[ROOT_NAME], *strategy = &v->root[ROOT_STRATEGY];
    for (const char *p = name->str && name->str[0] ? name->str[0] : ""; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f) {
            complain(rd, name->at, "name has a control character in it; expected one line of text");
            break;
        }
    if (strategy->given && strategy->component && strategy->n == 0)
        complain(rd, strategy->at, "strategy is an empty list; expected at least one strategy");
}

/* Two of a kind would be the same run twice, and --resume could not tell them apart. */
static void check_twins(reader *rd, const manifest_values *v)
{
    const param_value *list = &v->root[ROOT_STRATEGY];
    if (diags_errors(rd->d) || !list->component)
        return;
    for (int64_t i = 1; i < list->n; i++)
        for (int64_t k = 0; k < i; k++) {
            char *a = spec_json(list->component[i]), *b = spec_json(list->component[k]);
            const bool twins = strcmp(a, b) == 0;
            free(a);
            free(b);
            if (twins) {
                complain(rd, list->component[i]->at, "strategy '%s' is listed twice with the same parameters; expected "
                         "each once; to repeat a run, set 'trials'", list->component[i]->desc->id);
                break;
            }
        }
}

void check_manifest(reader *rd, const manifest_values *v)
{
    check_root(rd, v);
    check_sizes(rd, v);
    check_capabilities(rd, v);
    check_initial(rd, v);
    check_twins(rd, v);
}
