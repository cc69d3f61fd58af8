#include "cli/describe.h"

#include <stdlib.h>

#include "pipeline/matrices.h"
#include "registry/names.h"
#include "util/table.h"
#include "util/text.h"

#define WIDTH 100
#define LABEL 12 /* columns of the labels */
#define LONG_DOMAIN 24

/* ---- JSON ---- */

/* The words of a list as an array. */
static json_t *words(const char *list)
{
    json_t *a = json_array();
    for (const char *p = list; *p;) {
        const size_t n = strcspn(p, " ");
        if (n)
            json_array_append_new(a, json_stringn(p, n));
        p += n + (p[n] == ' ');
    }
    return a;
}

static json_t *describe_param(const param_desc *p)
{
    const bool required = strcmp(p->def, DAL_REQUIRED) == 0;
    return json_pack("{s:s, s:s, s:b, s:o, s:s, s:s, s:s}", "name", p->name, "type", param_type_name(p->type),
                     "required", required, "default", required ? json_null() : json_string(p->def), "domain",
                     p->domain, "unit", p->unit, "summary", p->summary);
}

/* "a|b" as an array. */
static json_t *choices(const char *list)
{
    json_t *a = json_array();
    for (const char *p = list; *p;) {
        const size_t n = strcspn(p, "|");
        json_array_append_new(a, json_stringn(p, n));
        p += n + (p[n] == '|');
    }
    return a;
}

static json_t *describe_when(const component_desc *c)
{
    json_t *all = json_array();
    for (int i = 0; i < c->n_when; i++)
        json_array_append_new(all, json_pack("{s:s, s:s, s:o}", "capability", c->when[i].capability, "parameter",
                                             c->when[i].param, "values", choices(c->when[i].values)));
    return all;
}

json_t *describe_component(const component_desc *c)
{
    json_t *params = json_array();
    for (int i = 0; i < c->n_params; i++)
        json_array_append_new(params, describe_param(&c->params[i]));
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:o, s:o, s:o, s:o}", "kind", kind_name(c->kind), "id", c->id,
                     "module", c->module->name, "summary", c->summary, "reference", c->reference, "rule",
                     c->formula, "differences", c->differs, "needs", words(c->needs), "needs_when", describe_when(c),
                     "provides", words(c->provides), "parameters", params);
}

json_t *describe_module(const module_desc *m)
{
    json_t *components = json_array();
    for (int i = 0; i < m->n_components; i++)
        json_array_append_new(components, describe_component(&m->components[i]));
    json_t *j = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:o}", "module", m->name, "version", m->version,
                          "licence", m->licence, "file", m->path, "state", state_name(m->state), "why", m->why,
                          "skipped", m->skipped, "components", components);
    json_object_set_new(j, "abi",
                        m->abi_major < 0 ? json_null() : json_sprintf("%d.%d", m->abi_major, m->abi_minor));
    return j;
}

void describe_print(json_t *j)
{
    json_dumpf(j, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
    putchar('\n');
    json_decref(j);
}

/* ---- for people ---- */

const char *state_name(module_state s)
{
    return s == MODULE_OK ? "ok" : s == MODULE_REFUSED ? "refused" : "shadowed";
}

void print_field(const char *label, const char *value, FILE *out)
{
    if (!*value)
        return;
    fprintf(out, "  %-*s", LABEL, label);
    fold_text(out, value, 2 + LABEL, 2 + LABEL, WIDTH);
}

/* ---- what it can be combined with ---- */

static const struct {
    const char *id, *what;
} capabilities[] = {
    {DAL_CAP_OUTPUTS, "what the model says of each sample, logits or probabilities"},
    {DAL_CAP_FEATURES, "penultimate features"},
    {DAL_CAP_STAGES, "pooled maps of its stages"},
    {DAL_CAP_MC, "stochastic passes"},
    {DAL_CAP_LAST_LAYER, "weights and bias of the last layer"},
    {DAL_CAP_INPUT_GRADIENT, "gradients by the input"},
    {DAL_CAP_FEATURE_GRADIENT, "gradients of features by the input"},
    {DAL_CAP_PERTURB, "copies with other weights"},
    {DAL_CAP_CHOICES, "what it took where it may choose, as a back end"},
    {DAL_CAP_COMPANION, "losses of the strategy's own, trained along"},
    {DAL_CAP_WARM_START, "training that goes on from the last weights"},
    {DAL_CAP_MISSING, "samples with missing values (NaN)"},
    {DAL_CAP_TRUTH, "the labels that the dataset came with"},
    {DAL_CAP_GROUPS, "which source each sample is of, told by the dataset"},
    {DAL_CAP_CONCURRENT, "calls from several threads at once"},
};

static const char *what_is(const char *capability)
{
    for (size_t i = 0; i < sizeof capabilities / sizeof *capabilities; i++)
        if (strcmp(capabilities[i].id, capability) == 0)
            return capabilities[i].what;
    return "";
}

/* " when embedding is gradient", "" when it is always needed. Caller frees. */
static char *when_text(const component_desc *c, const char *capability)
{
    text t = {0};
    for (int i = 0; i < c->n_when; i++) {
        const need_when *w = &c->when[i];
        if (strcmp(w->capability, capability) != 0)
            continue;
        text_addf(&t, "%s %s is ", t.n ? ", or" : " when", w->param);
        for (const char *p = w->values; *p; p++)
            text_addf(&t, *p == '|' ? " or " : "%c", *p);
    }
    return text_take(&t);
}

/* "what 'inner' needs" of strategies that run others, "nothing" of those that need nothing; "" where capabilities say
 * it all. Caller frees. */
static char *further_needs(const component_desc *c)
{
    text t = {0};
    for (int i = 0; i < c->n_params; i++) {
        const param_desc *p = &c->params[i];
        if ((p->type == DAL_PARAM_COMPONENT || p->type == DAL_PARAM_COMPONENTS) &&
            kind_from_name(p->domain) == DAL_KIND_STRATEGY)
            text_addf(&t, "%s'%s'", t.n == 0 ? "what " : " and ", p->name);
    }
    if (t.n > 0)
        text_add(&t, strstr(t.s, " and ") ? " need" : " needs");
    else if (!*c->needs)
        text_add(&t, "nothing");
    return text_take(&t);
}

/* One capability of c a line, in words, with what to give `select` for it. */
static void print_capabilities(const char *label, const component_desc *c, const char *list, FILE *out)
{
    const bool select = c->kind == DAL_KIND_STRATEGY;
    char *copy = xstrdup(list), *save = NULL;
    for (char *id = strtok_r(copy, " ", &save); id; id = strtok_r(NULL, " ", &save)) {
        const char *what = what_is(id), *advice = select ? matrices_advice(id) : NULL;
        char *when = when_text(c, id);
        char *line = xasprintf("%s%s%s%s%s%s%s", id, when, *what ? ": " : "", what, advice ? " (select: " : "",
                               advice ? advice : "", advice ? ")" : "");
        print_field(label, line, out);
        free(line);
        free(when);
        label = "";
    }
    free(copy);
}

/* Of a model, the strategies it can serve; of a strategy, the models that offer what it needs. */
static void add_partners(const component_desc *c, const registry *r, json_t *list, text *words)
{
    for (int i = 0; i < registry_n_components(r); i++) {
        const component_desc *other = registry_component(r, i);
        const component_desc *model = c->kind == DAL_KIND_MODEL ? c : other;
        const component_desc *strategy = c->kind == DAL_KIND_MODEL ? other : c;
        if (model->kind != DAL_KIND_MODEL || strategy->kind != DAL_KIND_STRATEGY ||
            !component_offers(model, strategy->needs))
            continue;
        text_addf(words, "%s%s", words->n ? ", " : "", other->id);
        json_array_append_new(list, json_string(other->id));
    }
}

static void add_elsewhere(const component_desc *c, json_t *list, text *words)
{
    other_names names = names_read(c->kind);
    for (int i = 0; i < names.n; i++)
        if (strcmp(names.items[i].id, c->id) == 0) {
            const other_name *n = &names.items[i];
            text_addf(words, "%s%s (%s%s%s)", words->n ? ", " : "", n->name, n->by, *n->remark ? "; " : "",
                      n->remark);
            json_array_append_new(list, json_string(names.items[i].name));
        }
    names_free(&names);
}

void describe_relations(const component_desc *c, const registry *r, json_t *j, FILE *out)
{
    json_t *partners = json_array(), *elsewhere = json_array();
    text p = {0}, e = {0};
    const bool strategy = c->kind == DAL_KIND_STRATEGY, paired = strategy || c->kind == DAL_KIND_MODEL;
    if (paired)
        add_partners(c, r, partners, &p);
    add_elsewhere(c, elsewhere, &e);
    if (j) {
        if (paired)
            json_object_set(j, strategy ? "models" : "strategies", partners);
        json_object_set(j, "elsewhere", elsewhere);
    } else {
        if (paired)
            print_field(strategy ? "models" : "strategies", p.n ? p.s : "none of those installed", out);
        print_field("elsewhere", e.n ? e.s : "", out);
    }
    json_decref(partners);
    json_decref(elsewhere);
    text_free(&p);
    text_free(&e);
}

/* ---- parameters ---- */

/* "a|b|c" as "a | b | c", which can be folded. Caller frees. */
static char *spaced(const char *domain)
{
    text t = {0};
    for (; *domain; domain++)
        text_addf(&t, *domain == '|' ? " | " : "%c", *domain);
    return text_take(&t);
}

void print_params(const component_desc *c, FILE *out)
{
    static const char *const headings[] = {"PARAMETER", "TYPE", "DEFAULT", "DOMAIN", "UNIT", "MEANING"};
    if (c->n_params == 0) {
        print_field("parameters", "none", out);
        return;
    }
    table *t = table_new(headings, 6);
    for (int i = 0; i < c->n_params; i++) {
        const param_desc *p = &c->params[i];
        const bool required = strcmp(p->def, DAL_REQUIRED) == 0;
        table_cell(t, p->name);
        table_cell(t, param_type_name(p->type));
        table_cell(t, required ? "(required)" : *p->def ? p->def : "-");
        const bool words = strlen(p->domain) > LONG_DOMAIN; /* these would leave no room for the meaning */
        table_cell(t, words ? "one of *" : *p->domain ? p->domain : "-");
        table_cell(t, *p->unit ? p->unit : "-");
        char *domain = words ? spaced(p->domain) : NULL;
        table_cellf(t, words ? "%s; * %s" : "%s", p->summary, domain);
        free(domain);
    }
    fputc('\n', out);
    table_print(t, out, 2, WIDTH);
    table_free(t);
}

void print_head(const component_desc *c, bool with_module, FILE *out)
{
    fprintf(out, "%s %s\n", kind_name(c->kind), c->id);
    print_field("summary", c->summary, out);
    print_field("reference", c->reference, out);
    print_field("formula", c->formula, out);
    print_field("differs", c->differs, out);
    print_capabilities("needs", c, c->needs, out);
    if (c->kind == DAL_KIND_STRATEGY) {
        char *more = further_needs(c);
        print_field(*c->needs ? "" : "needs", more, out);
        free(more);
    }
    print_capabilities("provides", c, c->provides, out);
    if (with_module) {
        const module_desc *m = c->module;
        char *line = xasprintf("%s %s (%s), %s", m->name, m->version, m->licence, m->path);
        print_field("module", line, out);
        free(line);
    }
}

void print_component(const component_desc *c, bool with_module, FILE *out)
{
    print_head(c, with_module, out);
    print_params(c, out);
}

/* Something a reader of the manifest can put another value for. */
static const char *example_value(const param_desc *p)
{
    if (strcmp(p->def, DAL_REQUIRED) != 0)
        return *p->def ? p->def : NULL;
    switch (p->type) {
    case DAL_PARAM_PATH:
    case DAL_PARAM_PATHS:
        return strcmp(p->domain, "directory") == 0 ? "path/to/directory" : "path/to/file";
    case DAL_PARAM_I64S:
    case DAL_PARAM_F64S:
    case DAL_PARAM_STRS:
    case DAL_PARAM_COMPONENTS:
        return "[...]";
    default:
        return "...";
    }
}

/* Required parameters stand as they are, the others as comments with their defaults. */
void print_example(const component_desc *c, FILE *out)
{
    const bool list = c->kind == DAL_KIND_TRANSFORM;
    fprintf(out, "\nIn a manifest:\n  %s%s:\n    %suse: %s\n", kind_name(c->kind), list ? "s" : "",
            list ? "- " : "", c->id);
    const char *indent = list ? "      " : "    ";
    for (int i = 0; i < c->n_params; i++) {
        const param_desc *p = &c->params[i];
        const bool required = strcmp(p->def, DAL_REQUIRED) == 0;
        const char *value = example_value(p);
        if (!value)
            continue;
        fprintf(out, "%s%s%s: %s", indent, required ? "" : "# ", p->name, value);
        if (p->type == DAL_PARAM_CHOICE && required)
            fprintf(out, " # one of %s", p->domain);
        fputc('\n', out);
    }
}
