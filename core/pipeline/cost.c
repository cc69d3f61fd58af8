#include "pipeline/cost.h"

#include <math.h>
#include <stdlib.h>

#include "util/text.h"

struct cost_tree {
    composer *composer;
    const component_spec *spec;
    const dal_instance *strategy; /* NULL: could not be opened */
    const char *key;              /* the parameter that names it; "": the strategy itself */
    cost_tree **inner;
    int n_inner;
};

/* ---- opening ---- */

static cost_tree *new_tree(composer *c, const component_spec *spec, const dal_instance *strategy, const char *key);

static void open_inner(cost_tree *t, const component_spec *spec, const char *key)
{
    const dal_instance *strategy = NULL;
    dal_error err = DAL_ERROR_INIT;
    if (composer_open(t->composer, spec, NULL, &strategy, &err) != DAL_OK)
        strategy = NULL; /* who runs it has complained, or will */
    t->inner = xrealloc(t->inner, (size_t)(t->n_inner + 1) * sizeof *t->inner);
    t->inner[t->n_inner++] = new_tree(t->composer, spec, strategy, key);
}

static cost_tree *new_tree(composer *c, const component_spec *spec, const dal_instance *strategy, const char *key)
{
    cost_tree *t = xcalloc(1, sizeof *t);
    *t = (cost_tree){.composer = c, .spec = spec, .strategy = strategy, .key = key};
    for (int i = 0; i < spec->desc->n_params; i++) {
        const param_value *v = &spec->values[i];
        for (int64_t k = 0; v->component && k < v->n; k++)
            if (v->component[k] && v->component[k]->kind == DAL_KIND_STRATEGY)
                open_inner(t, v->component[k], v->desc->name);
    }
    return t;
}

cost_tree *cost_open(composer *c, const component_spec *spec, const dal_instance *strategy)
{
    return new_tree(c, spec, strategy, "");
}

void cost_close(cost_tree *t)
{
    if (!t)
        return;
    for (int i = 0; i < t->n_inner; i++) {
        composer_close(t->composer, t->inner[i]->strategy);
        cost_close(t->inner[i]);
    }
    free(t->inner);
    free(t);
}

/* ---- asking ---- */

static strategy_cost told_by(const dal_instance *strategy, const dal_problem *p)
{
    const dal_strategy_impl *impl = strategy ? strategy->impl : NULL;
    strategy_cost c = {0};
    if (!impl || !DAL_HAS(dal_strategy_impl, impl, cost))
        return c;
    dal_cost out = {.struct_size = sizeof out};
    call_begin(instance_desc(strategy), "cost");
    impl->cost(strategy->self, instance_options(strategy), p, &out);
    call_end(instance_desc(strategy), "cost", DAL_OK, NULL);
    c.told = !isnan(out.bytes);
    c.bytes = c.told ? fmax(out.bytes, 0) : 0;
    c.flops = fmax(out.flops, 0); /* also of NaN */
    memcpy(c.formula, out.formula, sizeof c.formula);
    c.formula[sizeof c.formula - 1] = '\0';
    return c;
}

strategy_cost cost_bound(const cost_tree *t, const dal_problem *p)
{
    strategy_cost c = told_by(t->strategy, p);
    for (int i = 0; !c.told && i < t->n_inner; i++) {
        /* all of them: they may keep what they hold while another runs */
        const strategy_cost inner = cost_bound(t->inner[i], p);
        c.bytes += inner.bytes;
        c.flops += inner.flops;
        if (i == t->n_inner - 1)
            c.told = c.bytes > 0 || c.flops > 0;
    }
    return c;
}

int64_t cost_most_candidates(const cost_tree *t, const dal_problem *p, double limit)
{
    dal_problem with = *p;
    int64_t low = p->n_query, high = p->n, most = 0; /* bounds grow with n */
    while (low <= high) {
        with.n = low + (high - low) / 2;
        if (cost_bound(t, &with).bytes <= limit) {
            most = with.n;
            low = with.n + 1;
        } else {
            high = with.n - 1;
        }
    }
    return most;
}

/* ---- words ---- */

char *cost_text(const strategy_cost *c)
{
    char bytes[32], flops[32];
    if (!c->told)
        return xstrdup("does not say what it takes");
    return xasprintf("%s%sat most %s of memory, about %s", c->formula, *c->formula ? "; " : "",
                     human_bytes(c->bytes, bytes), human_flops(c->flops, flops));
}

static void add_lines(const cost_tree *t, const dal_problem *p, const char *lead, int depth, text *out)
{
    const strategy_cost c = cost_bound(t, p);
    char *words = cost_text(&c);
    text_addf(out, "%s%*s%s%s%s: %s%s\n", lead, 2 * depth, "", t->key, *t->key ? " " : "", t->spec->desc->id, words,
              depth > 0 ? ", if given all candidates" : "");
    free(words);
    for (int i = 0; i < t->n_inner; i++)
        add_lines(t->inner[i], p, lead, depth + 1, out);
}

char *cost_lines(const cost_tree *t, const dal_problem *p, const char *lead)
{
    text out = {0};
    add_lines(t, p, lead, 0, &out);
    return text_take(&out);
}

/* ---- the limit ---- */

int64_t cost_candidates(const cost_tree *t, const dal_problem *p, const memory_rule *rule, place at, diags *d)
{
    const strategy_cost bound = cost_bound(t, p);
    char title[96], need[32], have[32], all[32], some[32];
    if (rule->limit <= 0 || bound.bytes <= rule->limit)
        return p->n;
    const int64_t most = cost_most_candidates(t, p, rule->limit);
    spec_title(t->spec, title);
    human_bytes(bound.bytes, need);
    human_bytes(rule->limit, have);
    if (strcmp(need, have) == 0) { /* the difference is what matters */
        snprintf(need, sizeof need, "%.0f B", bound.bytes);
        snprintf(have, sizeof have, "%.0f B", rule->limit);
    }
    human_count(p->n, all);
    if (most == 0)
        diags_error(d, at,
                    "%s needs up to %s of memory for %s candidates, more than the %s that %s allows, and more than "
                    "that even for as few candidates as it is to pick; raise %s, or use another strategy", title, need,
                    all, have, rule->by, rule->by);
    else if (!rule->subsample)
        diags_error(d, at,
                    "%s needs up to %s of memory for %s candidates, more than the %s that %s allows; raise %s, %s %lld "
                    "or fewer, or %s", title, need, all, have, rule->by, rule->by, rule->fewer, (long long)most,
                    rule->instead);
    else
        diags_note(d, at,
                   "%s needs up to %s of memory for %s candidates, more than the %s that %s allows: it is given %s of "
                   "them, drawn at random for each query", title, need, all, have, rule->by, human_count(most, some));
    return rule->subsample ? most : 0;
}
