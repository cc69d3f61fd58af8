/* dalhost component inspect: one component: what its note says, what it can be combined with, what it takes. */
#include <jansson.h>
#include <math.h>
#include <stdlib.h>

#include "cli/cli.h"
#include "cli/describe.h"
#include "cli/events.h"
#include "pipeline/cost.h"
#include "registry/names.h"
#include "util/table.h"
#include "util/text.h"

/* Sizes that people know: a toy, CIFAR-100 with a ResNet-18, ImageNet. */
static const dal_problem examples[] = {
    {sizeof examples[0], 0, 10000, 500, 100, 10, 64, 0},
    {sizeof examples[0], 0, 50000, 5000, 1000, 100, 512, 0},
    {sizeof examples[0], 0, 1000000, 100000, 1000, 1000, 2048, 0},
};
enum { N_EXAMPLES = sizeof examples / sizeof *examples };

/* ---- who it is ---- */

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

/* The kind of which other programs have a component of that name; 0: none. */
static uint32_t kind_elsewhere(const char *id)
{
    uint32_t kind = 0;
    for (uint32_t k = DAL_KIND_DATASET; !kind && k <= DAL_KIND_ORACLE; k++) {
        other_names others = names_read(k);
        kind = names_find(&others, id) ? k : 0;
        names_free(&others);
    }
    return kind;
}

/* Nothing of the name: say what registry_find says of the kind it is nearest to. */
static void complain(const cli_args *a, const registry *r, uint32_t kind)
{
    const char *id = cli_operand(a, 0);
    const int n = registry_n_components(r);
    const char **names = xcalloc((size_t)n, sizeof *names);
    for (int i = 0; i < n; i++)
        names[i] = registry_component(r, i)->id;
    if (!kind)
        kind = kind_elsewhere(id);
    const char *near = nearest(id, names, n);
    for (int i = 0; !kind && near && i < n; i++)
        if (names[i] == near || strcmp(names[i], id) == 0)
            kind = registry_component(r, i)->kind;
    free((void *)(uintptr_t)names);
    if (!kind) {
        cli_bad(a, "unknown component '%s'; dalhost component list tells what there is", id);
        return;
    }
    char *why = NULL;
    if (!registry_find(r, kind, id, cli_value(a, "from"), &why))
        cli_bad(a, "%s", why);
    free(why);
}

/* ---- what a selection takes ---- */

typedef struct bounds {
    bool known;
    char *why; /* not known */
    strategy_cost cost[N_EXAMPLES];
} bounds;

/* Load the strategy's module and ask an instance with these parameters. */
static void ask_bounds(const component_desc *c, registry *r, const char *const *sets, int n, bounds *out)
{
    diags *d = diags_new();
    dal_error err = DAL_ERROR_INIT;
    composer *made = NULL;
    const dal_instance *strategy = NULL;
    const composer_events events = events_for_terminal();
    char *from = xasprintf("from=%s", c->module->name);
    const char **all = xcalloc((size_t)n + 1, sizeof *all);
    memcpy(all, sets, (size_t)n * sizeof *all);
    all[n] = from;
    component_spec *spec = spec_from_sets(DAL_KIND_STRATEGY, c->id, all, n + 1, r, d);
    if (!spec)
        out->why = xasprintf("%s", diags_text(d, 0));
    else if (composer_new(r, 1, 1, &events, &made, &err) != DAL_OK ||
             composer_open(made, spec, NULL, &strategy, &err) != DAL_OK)
        out->why = xstrdup(err.text);
    else {
        cost_tree *t = cost_open(made, spec, strategy);
        for (int i = 0; i < N_EXAMPLES; i++)
            out->cost[i] = cost_bound(t, &examples[i]);
        out->known = out->cost[0].told;
        cost_close(t);
        composer_close(made, strategy);
    }
    composer_free(made);
    spec_free(spec);
    free((void *)(uintptr_t)all);
    free(from);
    diags_free(d);
}

/* " inner=... parts=...": what has no default. Caller frees. */
static char *required(const component_desc *c)
{
    text t = {0};
    for (int i = 0; i < c->n_params; i++)
        if (strcmp(c->params[i].def, DAL_REQUIRED) == 0)
            text_addf(&t, "%s%s=...", t.n ? " --set " : " ", c->params[i].name);
    return text_take(&t);
}

static void print_bounds(const component_desc *c, const bounds *b)
{
    static const char *const headings[] = {"CANDIDATES", "LABELLED", "CLASSES", "FEATURES", "PICKS", "    MEMORY",
                                           "ARITHMETIC"};
    char words[32];
    putchar('\n');
    if (!b->known) {
        char *sets = required(c);
        char *line = !b->why ? xstrdup("it does not say")
                     : *sets ? xasprintf("not known without --set%s", sets)
                             : xasprintf("not known: %s", b->why);
        print_field("takes", line, stdout);
        free(line);
        free(sets);
        return;
    }
    print_field("takes", b->cost[0].formula, stdout);
    table *t = table_new(headings, 7);
    for (int i = 0; i < N_EXAMPLES; i++) {
        const dal_problem *p = &examples[i];
        const int64_t sizes[] = {p->n, p->n_labelled, p->c, p->d, p->n_query};
        for (int k = 0; k < 5; k++)
            table_cellf(t, "%*s", (int)strlen(headings[k]), human_count(sizes[k], words));
        table_cellf(t, "%*s", (int)strlen(headings[5]), human_bytes(b->cost[i].bytes, words));
        table_cellf(t, "%*s", (int)strlen(headings[6]), human_flops(b->cost[i].flops, words));
    }
    table_print(t, stdout, 2, 100);
    table_free(t);
}

static json_t *bounds_json(const bounds *b)
{
    json_t *all = json_array();
    for (int i = 0; b->known && i < N_EXAMPLES; i++) {
        const dal_problem *p = &examples[i];
        const strategy_cost *c = &b->cost[i];
        json_array_append_new(
            all, json_pack("{s:I, s:I, s:I, s:I, s:I, s:o, s:o}", "candidates", (json_int_t)p->n, "labelled",
                           (json_int_t)p->n_labelled, "classes", (json_int_t)p->c, "features", (json_int_t)p->d,
                           "picks", (json_int_t)p->n_query, "bytes",
                           isfinite(c->bytes) ? json_real(c->bytes) : json_null(), "flops",
                           isfinite(c->flops) ? json_real(c->flops) : json_null()));
    }
    return all;
}

/* ---- the command ---- */

/* False after a complaint: --set is not what the strategy takes. */
static bool inspect_strategy(const cli_args *a, const component_desc *c, registry *r, json_t *j)
{
    int n;
    const char *const *sets = cli_values(a, "set", &n);
    bounds b = {0};
    if (!j)
        fflush(stdout); /* what the note says stays said, whatever the module does */
    ask_bounds(c, r, sets, n, &b);
    if (j) {
        json_object_set_new(j, "formula", b.known ? json_string(b.cost[0].formula) : json_null());
        json_object_set_new(j, "bounds", bounds_json(&b));
    } else if (!b.why || n == 0) {
        print_bounds(c, &b);
    }
    if (b.why && n > 0)
        cli_bad(a, "%s", b.why);
    const bool good = !b.why || n == 0;
    free(b.why);
    return good;
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
    json_t *j = c && cli_flag(a, "json") ? describe_component(c) : NULL;
    if (!c) {
        complain(a, r, kind);
        code = EXIT_BAD_INPUT;
    } else if (cli_flag(a, "set") && c->kind != DAL_KIND_STRATEGY) {
        code = cli_bad(a, "--set is for strategies, whose bounds depend on it; '%s' is not one", c->id);
    } else if (!j) {
        print_head(c, true, stdout);
    }
    if (code == EXIT_OK)
        describe_relations(c, r, j, stdout);
    if (code == EXIT_OK && !j)
        print_params(c, stdout);
    if (code == EXIT_OK && c->kind == DAL_KIND_STRATEGY && !inspect_strategy(a, c, r, j))
        code = EXIT_BAD_INPUT;
    if (code == EXIT_OK && !j)
        print_example(c, stdout);
    if (code == EXIT_OK && j)
        describe_print(j);
    else
        json_decref(j);
    registry_free(r);
    return code;
}

static const cli_option inspect_options[] = {
    {"kind", 'k', "KIND", false, "dataset, transform, model, strategy or oracle, where an id is of several kinds"},
    {"from", 0, "MODULE", false, "the module, where several offer the id"},
    {"set", 0, "KEY=VALUE", true, "tell the bounds of a strategy with this parameter"},
    {"json", 0, NULL, false, "print JSON"},
    {0},
};

const cli_command cmd_component_inspect = {
    .name = "component inspect",
    .operands = "ID",
    .min_operands = 1,
    .max_operands = 1,
    .summary = "tell all about one component: paper, needs, parameters, bounds, an example",
    .description =
        "Of every component what the note of its module says: what it is, the paper, its rule in a line and how it "
        "differs from the paper or from what others run under its name, what it needs of the model (and "
        "which models and which options of dalhost select offer that), the parameters with their types, ranges and "
        "defaults, and how it is named in a manifest.\n\n"
        "A strategy is also asked what one selection takes at three sizes: the most memory beside the matrices it "
        "reads, and the order of its arithmetic. For that its module is loaded; plugin inspect runs nothing of one.",
    .options = inspect_options,
    .examples = "  dalhost component inspect margin\n"
                "  dalhost component inspect coreset --json\n"
                "  dalhost component inspect csv --kind dataset\n",
    .main = inspect_main,
};
