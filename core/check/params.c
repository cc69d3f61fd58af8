/* Tests of parameters: are the declarations sane, does the host refuse what lies outside, does create take
 * what lies at the bounds? */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "check/stage.h"
#include "util/text.h"

static bool is_required(const param_desc *p)
{
    return strcmp(p->def, DAL_REQUIRED) == 0;
}

static bool is_number(const param_desc *p)
{
    return p->type == DAL_PARAM_I64 || p->type == DAL_PARAM_F64;
}

static void check_declaration(const param_desc *p)
{
    double low, high;
    int low_open, high_open;
    const bool interval = is_number(p) || p->type == DAL_PARAM_I64S || p->type == DAL_PARAM_F64S;
    CHECK(p->type, "parameter '%s' has an unknown type", p->name);
    CHECK(!interval || domain_interval(p->domain, &low, &low_open, &high, &high_open),
          "parameter '%s': its domain '%s' is no interval; expected \"1..10\", \"(0..1]\", \"0..\"", p->name,
          p->domain);
    CHECK(!interval || low <= high, "parameter '%s': its domain '%s' is empty", p->name, p->domain);
    CHECK(p->type != DAL_PARAM_CHOICE || *p->domain, "parameter '%s': its domain names no choices", p->name);
    CHECK(p->type != DAL_PARAM_CHOICE || is_required(p) || word_among(p->domain, p->def, strlen(p->def)),
          "parameter '%s': its default '%s' is not one of %s", p->name, p->def, p->domain);
    CHECK((p->type != DAL_PARAM_COMPONENT && p->type != DAL_PARAM_COMPONENTS) || kind_from_name(p->domain),
          "parameter '%s': its domain '%s' is no kind of component", p->name, p->domain);
    CHECK(*p->summary, "parameter '%s' has no summary", p->name);
}

/* "name=number", as it would stand in a manifest. */
static char *setting(const param_desc *p, double x)
{
    return p->type == DAL_PARAM_I64 ? xasprintf("%s=%" PRId64, p->name, (int64_t)x)
                                    : xasprintf("%s=%.17g", p->name, x);
}

static void declared(const subject *s, int arg)
{
    (void)arg;
    bool required = false;
    for (int i = 0; i < s->component->n_params; i++) {
        check_declaration(&s->component->params[i]);
        required |= is_required(&s->component->params[i]);
    }
    if (required)
        return; /* nothing can be said of the whole without values */
    char *why;
    component_spec *spec = rig_spec(s, NULL, 0, &why);
    CHECK(spec, "the host refuses its defaults: %s", why);
    spec_free(spec);
}

static void refuse(const subject *s, const param_desc *p, double x)
{
    char *set = setting(p, x), *why;
    const char *const sets[] = {set};
    component_spec *spec = rig_spec(s, sets, 1, &why);
    CHECK(!spec, "%s is accepted, outside its domain '%s'", set, p->domain);
    free(set);
    free(why);
}

static void outside(const subject *s, int arg)
{
    (void)arg;
    int tried = 0;
    for (int i = 0; i < s->component->n_params; i++) {
        const param_desc *p = &s->component->params[i];
        double low, high;
        int low_open, high_open;
        if (!is_number(p) || !domain_interval(p->domain, &low, &low_open, &high, &high_open))
            continue;
        if (fabs(low) < 1e15)
            refuse(s, p, low_open ? low : low - 1);
        if (fabs(high) < 1e15)
            refuse(s, p, high_open ? high : high + 1);
        tried++;
    }
    if (!tried)
        check_skip("it has no numeric parameters");
}

/* ---- create at the bounds ---- */

/* Does a refusal name another parameter? Then the two do not go together, and each may be right alone. */
static bool names_another(const subject *s, const param_desc *p, const dal_error *err)
{
    for (int i = 0; i < s->component->n_params; i++) {
        const param_desc *other = &s->component->params[i];
        if (other != p && (strcmp(err->key, other->name) == 0 || strstr(err->text, other->name)))
            return err->status == DAL_E_INVALID;
    }
    return false;
}

static void create_with(const subject *s, const param_desc *p, const world_shape *shape, const char *set)
{
    const char *const more[] = {set};
    rig *r = rig_new(s, &(rig_options){0});
    char *why;
    spec_free(r->spec);
    r->spec = rig_spec(s, more, 1, &why);
    CHECK(r->spec, "the host refuses %s, a bound of its domain: %s", set, why);
    stage st;
    dal_error err;
    const dal_instance *i = stage_exact(&st, r, shape, &err);
    CHECK(i || err.status == DAL_E_NOMEM || names_another(s, p, &err), "create refuses %s, a bound of its domain: %s",
          set, err.text);
    if (i)
        rig_close(r, i);
    rig_check_memory(r, "at a bound of a parameter");
    stage_free(&st);
    rig_free(r);
}

/* Datasets may make all their samples in create: only their lower bounds are tried. */
static void at_bounds(const subject *s, int arg)
{
    (void)arg;
    int tried = 0;
    const uint32_t kind = s->component->kind;
    rig *r = rig_new(s, &(rig_options){0});
    stage st;
    stage_open(&st, r, &small_world); /* settles which inputs it takes */
    stage_close(&st, r);
    const world_shape shape = st.w->shape;
    stage_free(&st);
    rig_free(r);
    for (int i = 0; i < s->component->n_params; i++) {
        const param_desc *p = &s->component->params[i];
        double low, high;
        int low_open, high_open;
        if (!is_number(p) || !domain_interval(p->domain, &low, &low_open, &high, &high_open))
            continue;
        if (!low_open && fabs(low) < 1e15) {
            char *set = setting(p, low);
            create_with(s, p, &shape, set);
            free(set);
            tried++;
        }
        if (!high_open && fabs(high) < 1e15 && kind != DAL_KIND_DATASET && kind != DAL_KIND_TRANSFORM) {
            char *set = setting(p, high);
            create_with(s, p, &shape, set);
            free(set);
            tried++;
        }
    }
    if (!tried)
        check_skip("no numeric parameter has a bound");
}

const check_test param_tests[] = {
    {"params/declared", "domains can be read, defaults lie inside, everything is explained", ALL_KINDS, declared, 0},
    {"params/outside", "values outside their domain are refused before any code runs", ALL_KINDS, outside, 0},
    {"params/bounds", "create takes every bound of every numeric parameter, or names the one it clashes with",
     ALL_KINDS, at_bounds, 0},
    {0},
};
