#include "cli/describe.h"

#include <stdlib.h>

#include "util/table.h"
#include "util/text.h"

#define WIDTH 100
#define LABEL 12 /* columns of the labels */

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

json_t *describe_component(const component_desc *c)
{
    json_t *params = json_array();
    for (int i = 0; i < c->n_params; i++)
        json_array_append_new(params, describe_param(&c->params[i]));
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:o, s:o, s:o}", "kind", kind_name(c->kind), "id", c->id,
                     "module", c->module->name, "summary", c->summary, "reference", c->reference, "needs",
                     words(c->needs), "provides", words(c->provides), "parameters", params);
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

static void print_params(const component_desc *c, FILE *out)
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
        table_cell(t, *p->domain ? p->domain : "-");
        table_cell(t, *p->unit ? p->unit : "-");
        table_cell(t, p->summary);
    }
    fputc('\n', out);
    table_print(t, out, 2, WIDTH);
    table_free(t);
}

void print_component(const component_desc *c, bool with_module, FILE *out)
{
    fprintf(out, "%s %s\n", kind_name(c->kind), c->id);
    print_field("summary", c->summary, out);
    print_field("reference", c->reference, out);
    print_field("needs", c->needs, out);
    print_field("provides", c->provides, out);
    if (with_module) {
        const module_desc *m = c->module;
        char *line = xasprintf("%s %s (%s), %s", m->name, m->version, m->licence, m->path);
        print_field("module", line, out);
        free(line);
    }
    print_params(c, out);
}

/* Something a reader of the manifest can put another value for. */
static const char *example_value(const param_desc *p)
{
    if (strcmp(p->def, DAL_REQUIRED) != 0)
        return *p->def ? p->def : NULL;
    switch (p->type) {
    case DAL_PARAM_PATH:
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
