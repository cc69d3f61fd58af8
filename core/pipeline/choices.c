#include "pipeline/choices.h"

#include <dal/model.h>
#include <stdlib.h>

#include "manifest/domain.h"
#include "store/chosen.h"
#include "util/text.h"

/* The number of a word of the parameter, or -1. */
static int64_t choice_of(const param_desc *p, const char *word)
{
    const char *w;
    size_t n;
    for (uint32_t i = 0; (w = choice_word(p->domain, i, &n)); i++)
        if (strlen(word) == n && memcmp(w, word, n) == 0)
            return i;
    return -1;
}

static component_spec *copy_of(const component_spec *s)
{
    const size_t n = (size_t)s->desc->n_params * sizeof *s->values;
    component_spec *copy = xcalloc(1, sizeof *copy + n);
    param_value *values = (param_value *)(void *)(copy + 1);
    *copy = *s;
    memcpy(values, s->values, n);
    copy->values = values;
    return copy;
}

static void choose(component_spec **s, const component_spec *given, int param, uint32_t choice)
{
    if (given->values[param].choice == choice)
        return;
    if (!*s)
        *s = copy_of(given);
    ((param_value *)(uintptr_t)(*s)->values)[param].choice = choice; /* of a copy, which is ours */
}

dal_status choices_of_model(const component_spec *given, const dal_instance *model, component_spec **out,
                            dal_error *err)
{
    const component_desc *desc = given->desc;
    const dal_model_impl *impl = model->impl;
    const dal_model_choices *told = NULL;
    *out = NULL;
    if (dal_has_word(desc->provides, DAL_CAP_CHOICES) && DAL_HAS(dal_model_impl, impl, get_extension)) {
        call_begin(desc, "get_extension");
        told = impl->get_extension(model->self, DAL_CAP_CHOICES);
        call_end(desc, "get_extension", DAL_OK, NULL);
    }
    for (int i = 0; DAL_HAS(dal_model_choices, told, chosen) && i < desc->n_params; i++) {
        const param_desc *p = &desc->params[i];
        const char *word = NULL;
        if (p->type == DAL_PARAM_CHOICE) {
            call_begin(desc, "chosen");
            word = told->chosen(model->self, p->name);
            call_end(desc, "chosen", DAL_OK, NULL);
        }
        const int64_t choice = word ? choice_of(p, word) : given->values[i].choice;
        if (choice < 0) {
            free(*out);
            *out = NULL;
            return dal_fail(err, DAL_E_CONTRACT, p->name,
                            "model '%s' says that it chose '%.60s' for '%s'; expected one of %s", desc->id, word,
                            p->name, p->domain);
        }
        choose(out, given, i, (uint32_t)choice);
    }
    return DAL_OK;
}

dal_status choices_of_run(const component_spec *given, const run_head *run, component_spec **out, dal_error *err)
{
    dal_status st = DAL_OK;
    json_t *chosen = chosen_json(run);
    *out = NULL;
    for (int i = 0; i < given->desc->n_params && st == DAL_OK; i++) {
        const param_desc *p = &given->desc->params[i];
        const char *word = json_string_value(json_object_get(chosen, p->name));
        const int64_t choice = word && p->type == DAL_PARAM_CHOICE ? choice_of(p, word) : -1;
        if (choice >= 0)
            choose(out, given, i, (uint32_t)choice);
        else if (word)
            st = dal_fail(err, DAL_E_INVALID, "",
                          "run %lld goes by %s '%.60s' of the model, which has %s: the store is damaged or was changed "
                          "by hand", (long long)run->id, p->name, word, p->domain);
    }
    json_decref(chosen);
    if (st != DAL_OK) {
        free(*out);
        *out = NULL;
    }
    return st;
}

bool choices_agree(const component_spec *a, const component_spec *b)
{
    for (int i = 0; i < a->desc->n_params; i++)
        if (a->values[i].choice != b->values[i].choice)
            return false;
    return true;
}

char *choices_text(const component_spec *given, const component_spec *chosen)
{
    text t = {0};
    for (int i = 0; chosen && i < given->desc->n_params; i++)
        if (chosen->values[i].choice != given->values[i].choice) {
            char *word = param_value_text(&chosen->values[i]);
            text_addf(&t, "%s%s %s", t.n ? ", " : "", given->desc->params[i].name, word);
            free(word);
        }
    return text_take(&t);
}
