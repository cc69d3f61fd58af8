/* dalhost component list|inspect: what the installed modules offer, read from their notes. */
#include <jansson.h>
#include <stdlib.h>

#include "cli/cli.h"
#include "cli/describe.h"
#include "registry/names.h"
#include "util/table.h"
#include "util/text.h"

/* --kind as a number; 0: not given. False after a complaint. */
static bool kind_option(const cli_args *a, uint32_t *kind)
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

/* ---- component inspect ---- */

static const component_desc *find_any_kind(const cli_args *a, const registry *r, uint32_t kind)
{
    const char *id = cli_operand(a, 0), *from = cli_value(a, "from");
    const component_desc *found = NULL;
    text kinds = {0};
    for (uint32_t k = DAL_KIND_DATASET; k <= DAL_KIND_ORACLE; k++) {
        const component_desc *c = (!kind || k == kind) ? registry_find(r, k, id, from, NULL) : NULL;
        if (c) {
            text_addf(&kinds, "%s%s", found ? ", " : "", kind_name(k));
            found = found ? found : c;
        }
    }
    const bool several = found && strchr(kinds.s, ',');
    if (several)
        cli_bad(a, "there are components '%s' of several kinds: %s; say which with --kind", id, kinds.s);
    text_free(&kinds);
    return several ? NULL : found;
}

/* Nothing of the name: say what registry_find says of the kind it is nearest to. */
static void complain(const cli_args *a, const registry *r, uint32_t kind)
{
    const char *id = cli_operand(a, 0);
    const char **names = xcalloc((size_t)registry_n_components(r), sizeof *names);
    const int n = registry_n_components(r);
    for (int i = 0; i < n; i++)
        names[i] = registry_component(r, i)->id;
    const char *near = nearest(id, names, n);
    for (int i = 0; !kind && near && i < n; i++)
        if (names[i] == near || strcmp(names[i], id) == 0)
            kind = registry_component(r, i)->kind;
    free((void *)(uintptr_t)names);
    for (uint32_t k = DAL_KIND_DATASET; !kind && k <= DAL_KIND_ORACLE; k++) {
        other_names others = names_read(k);
        kind = names_find(&others, id) ? k : 0;
        names_free(&others);
    }
    if (!kind) {
        cli_bad(a, "unknown component '%s'; dalhost component list tells what there is", id);
        return;
    }
    char *why = NULL;
    if (!registry_find(r, kind, id, cli_value(a, "from"), &why))
        cli_bad(a, "%s", why);
    free(why);
}

static int inspect_main(const cli_args *a)
{
    uint32_t kind;
    if (!kind_option(a, &kind))
        return EXIT_BAD_INPUT;
    registry *r = cli_registry(a);
    if (!r)
        return EXIT_BAD_INPUT;
    int code = EXIT_OK;
    const component_desc *c = find_any_kind(a, r, kind);
    if (c && cli_flag(a, "json")) {
        describe_print(describe_component(c));
    } else if (c) {
        print_component(c, true, stdout);
        print_example(c, stdout);
    } else {
        complain(a, r, kind);
        code = EXIT_BAD_INPUT;
    }
    registry_free(r);
    return code;
}

static const cli_option inspect_options[] = {
    {"kind", 'k', "KIND", false, "dataset, transform, model, strategy or oracle, where an id is of several kinds"},
    {"from", 0, "MODULE", false, "the module, where several offer the id"},
    {"json", 0, NULL, false, "print JSON"},
    {0},
};

const cli_command cmd_component_inspect = {
    .name = "component inspect",
    .operands = "ID",
    .min_operands = 1,
    .max_operands = 1,
    .summary = "tell all about one component: paper, needs, parameters, an example",
    .description = "Reads the note of its module; runs nothing of it.",
    .options = inspect_options,
    .examples = "dalhost component inspect margin\ndalhost component inspect csv --kind dataset\n",
    .main = inspect_main,
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
        printf("nobody is known to call a component so%s%s\n", word ? ": " : "", word ? word : "");
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
