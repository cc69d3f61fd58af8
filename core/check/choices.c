/* Tests of what a model takes where it may choose (dal_model_choices): given, it is the same model. */
#include <stdlib.h>

#include <dal/model.h>

#include "check/model.h"
#include "util/text.h"

#define C 3
#define N 40

/* The same world, of the samples that the component takes as it is given. */
static world_shape samples_of(const subject *s)
{
    static const uint32_t kinds[] = {0, WORLD_IMAGES, WORLD_SPARSE, WORLD_TEXT};
    rig *r = rig_new(s, &(rig_options){0});
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        world_shape own = {.candidates = N, .labelled = 60, .c = C, .d = 8};
        stage st;
        dal_error err = DAL_ERROR_INIT;
        own.flags |= kinds[k];
        const bool takes = stage_exact(&st, r, &own, &err);
        if (takes)
            stage_close(&st, r);
        stage_free(&st);
        if (takes) {
            rig_free(r);
            return own;
        }
    }
    check_skip("it takes none of the samples there are");
}

/* A rig whose parameter p has this word; NULL: the component refuses it. */
static rig *rig_with(const subject *s, const world_shape *own, const param_desc *p, const char *word, stage *st)
{
    dal_error err = DAL_ERROR_INIT;
    char *why, *set = xasprintf("%s=%s", p->name, word);
    rig *r = rig_new(s, &(rig_options){0});
    component_spec *spec = rig_spec(s, (const char *const[]){set}, 1, &why);
    CHECK(spec, "the host refuses %s: %s", set, why);
    spec_free(r->spec);
    r->spec = spec;
    free(set);
    if (stage_exact(st, r, own, &err))
        return r;
    stage_free(st);
    rig_free(r);
    return NULL;
}

/* What parameter p became, where it is another word. */
static char *open_word(const stage *st, const param_desc *p, const char *word)
{
    const dal_model_choices *told = model_extension(st, DAL_CAP_CHOICES);
    CHECK(DAL_HAS(dal_model_choices, told, chosen), "the table of %s has no `chosen`", DAL_CAP_CHOICES);
    const char *chosen = told->chosen(st->instance->self, p->name);
    CHECK(!chosen || word_among(p->domain, chosen, strlen(chosen)),
          "it says that it chose '%s' for '%s', which takes %s", chosen, p->name, p->domain);
    return chosen && strcmp(chosen, word) != 0 ? xstrdup(chosen) : NULL;
}

static bool check_word(const subject *s, const world_shape *own, const param_desc *p, const char *word)
{
    stage st, again;
    rig *r = rig_with(s, own, p, word, &st);
    char *chosen = r ? open_word(&st, p, word) : NULL;
    if (!chosen)
        return false;
    rig *by_word = rig_with(s, own, p, chosen, &again);
    CHECK(by_word, "it chooses '%s' for '%s', and refuses it when it is given", chosen, p->name);
    CHECK(!open_word(&again, p, chosen), "given '%s' for '%s', which it chose before, it chooses another", chosen,
          p->name);
    model_fit(&st, 0, false);
    model_fit(&again, 0, false);
    CHECK(same_floats(model_predict_all(&st, N), model_predict_all(&again, N), N * C),
          "given '%s' for '%s', which it chose for '%s', it gives other bits", chosen, p->name, word);
    free(chosen);
    return true;
}

static void choices(const subject *s, int arg)
{
    (void)arg;
    if (!dal_has_word(s->component->provides, DAL_CAP_CHOICES))
        check_skip("it does not offer %s", DAL_CAP_CHOICES);
    const world_shape own = samples_of(s);
    int n_open = 0;
    for (int i = 0; i < s->component->n_params; i++) {
        const param_desc *p = &s->component->params[i];
        const char *at = p->type == DAL_PARAM_CHOICE ? p->domain : "";
        while (*at) {
            char *word = xstrndup(at, strcspn(at, "|"));
            n_open += check_word(s, &own, p, word);
            at += strlen(word);
            at += *at == '|';
            free(word);
        }
    }
    CHECK(n_open > 0, "it offers %s, but no word of a parameter leaves it a choice", DAL_CAP_CHOICES);
}

const check_test choice_tests[] = {
    {"offers/choices", "what it chose for a parameter, given, is the same model", KIND(MODEL), choices, 0},
    {0},
};
