/* dalhost component list|names: what the installed modules offer, read from their notes, and under which names. */
#include <jansson.h>
#include <stdlib.h>

#include "cli/cli.h"
#include "cli/describe.h"
#include "registry/names.h"
#include "util/table.h"
#include "util/text.h"

bool kind_option(const cli_args *a, uint32_t *kind)
{
    static const char *const names[] = {"dataset", "transform", "model", "strategy", "oracle"};
    const char *s = cli_value(a, "kind");
    *kind = s ? kind_from_name(s) : 0;
    if (!s || *kind)
        return true;
    const char *near = nearest(s, names, 5);
    cli_bad(a, "--kind %s: expected dataset, transform, model, strategy or oracle%s%s%s", s,
            near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
    return false;
}

/* ---- component list ---- */

static void print_list(const registry *r, uint32_t kind)
{
    static const char *const headings[] = {"KIND", "ID", "MODULE", "SUMMARY"};
    table *t = table_new(headings, 4);
    for (int i = 0; i < registry_n_components(r); i++) {
        const component_desc *c = registry_component(r, i);
        if (kind && c->kind != kind)
            continue;
        table_cell(t, kind_name(c->kind));
        table_cell(t, c->id);
        table_cell(t, c->module->name);
        table_cell(t, c->summary);
    }
    if (table_rows(t) > 0)
        table_print(t, stdout, 0, 100);
    else
        printf("no %s is installed; dalhost plugin list tells where it looked\n",
               kind ? kind_name(kind) : "component");
    table_free(t);
}

static int list_main(const cli_args *a)
{
    uint32_t kind;
    if (!kind_option(a, &kind))
        return EXIT_BAD_INPUT;
    registry *r = cli_registry(a);
    if (!r)
        return EXIT_BAD_INPUT;
    if (cli_flag(a, "json")) {
        json_t *all = json_array();
        for (int i = 0; i < registry_n_components(r); i++)
            if (!kind || registry_component(r, i)->kind == kind)
                json_array_append_new(all, describe_component(registry_component(r, i)));
        describe_print(all);
    } else {
        print_list(r, kind);
    }
    registry_free(r);
    return EXIT_OK;
}

static const cli_option list_options[] = {
    {"kind", 'k', "KIND", false, "only dataset, transform, model, strategy or oracle"},
    {"json", 0, NULL, false, "print JSON: all that the modules tell of each component"},
    {0},
};

const cli_command cmd_component_list = {
    .name = "component list",
    .operands = "",
    .summary = "list the datasets, transforms, models, strategies and oracles there are",
    .description = "Reads the notes of all installed modules; runs none of them.",
    .options = list_options,
    .examples = "dalhost component list --kind strategy\n",
    .main = list_main,
};

/* ---- component names ---- */

/* Is it what somebody looks for: the name, the id, or who calls it so? */
static bool is_wanted(const other_name *n, const char *word)
{
    return !word || names_alike(n->name, word) || strcmp(n->id, word) == 0 || strcasestr(n->by, word);
}

static void print_names(const other_names *names, const char *word)
{
    static const char *const headings[] = {"NAME", "HERE", "CALLED SO BY (HOW THEIRS DIFFERS)"};
    table *t = table_new(headings, 3);
    for (int i = 0; i < names->n; i++) {
        const other_name *n = &names->items[i];
        if (!is_wanted(n, word))
            continue;
        table_cell(t, n->name);
        table_cell(t, n->id);
        table_cellf(t, *n->remark ? "%s (%s)" : "%s", n->by, n->remark);
    }
    if (table_rows(t) > 0)
        table_print(t, stdout, 0, 100);
    else
        printf("no component here is known by another name like '%s': dalhost component list has all ids\n",
               word ? word : "");
    table_free(t);
}

static int names_main(const cli_args *a)
{
    uint32_t kind;
    if (!kind_option(a, &kind))
        return EXIT_BAD_INPUT;
    other_names names = names_read(kind ? kind : DAL_KIND_STRATEGY);
    const char *word = cli_operand(a, 0);
    if (cli_flag(a, "json")) {
        json_t *all = json_array();
        for (int i = 0; i < names.n; i++)
            if (is_wanted(&names.items[i], word))
                json_array_append_new(all, json_pack("{s:s, s:s, s:s, s:s}", "name", names.items[i].name, "id",
                                                     names.items[i].id, "by", names.items[i].by, "remark",
                                                     names.items[i].remark));
        describe_print(all);
    } else {
        print_names(&names, word);
    }
    names_free(&names);
    return EXIT_OK;
}

static const cli_option names_options[] = {
    {"kind", 'k', "KIND", false, "names of this kind of component (default: strategy)"},
    {"json", 0, NULL, false, "print JSON"},
    {0},
};

const cli_command cmd_component_names = {
    .name = "component names",
    .operands = "[WORD]",
    .max_operands = 1,
    .summary = "tell what other programs call the strategies, and what the same is called here",
    .description = "WORD is a name of theirs, an id of ours, or a program; without it all are told. The same table is "
                   "behind the advice that an unknown strategy in a manifest or on the command line gets. It is a "
                   "file, names/strategy.tsv in the data folder.",
    .options = names_options,
    .examples = "  dalhost component names\n"
                "  dalhost component names DISTIL\n"
                "  dalhost component names KCenterGreedy\n",
    .main = names_main,
};
