/* dalhost plugin list|inspect: which modules there are and what they contain; runs none of them. */
#include <jansson.h>
#include <stdlib.h>

#include "cli/cli.h"
#include "cli/describe.h"
#include "util/table.h"
#include "util/text.h"

#define WIDTH 100

/* ---- plugin list ---- */

static const char *shown_dir(const registry *r, int i)
{
    const char *problem = registry_dir_problem(r, i);
    return problem ? problem : "ok";
}

static void print_dirs(const registry *r)
{
    puts("\nsearched, in this order:");
    for (int i = 0; i < registry_n_dirs(r); i++) {
        const char *origin, *path = registry_dir(r, i, &origin);
        const char *problem = registry_dir_problem(r, i);
        printf("  %s (%s)%s%s\n", path, origin, problem ? ": " : "", problem ? problem : "");
    }
}

/* "strategy margin, entropy; model mlp" */
static char *ids_by_kind(const module_desc *m)
{
    text t = {0};
    for (uint32_t kind = DAL_KIND_DATASET; kind <= DAL_KIND_ORACLE; kind++) {
        int n = 0;
        for (int i = 0; i < m->n_components; i++)
            if (m->components[i].kind == kind) {
                text_addf(&t, "%s%s", n ? ", " : t.n ? "; " : "", n ? "" : kind_name(kind));
                text_addf(&t, "%s%s", n ? "" : " ", m->components[i].id);
                n++;
            }
    }
    return text_take(&t);
}

static void print_modules(const registry *r)
{
    static const char *const headings[] = {"MODULE", "VERSION", "ABI", "LICENCE", "COMPONENTS"};
    table *t = table_new(headings, 5);
    for (int i = 0; i < registry_n_modules(r); i++) {
        const module_desc *m = registry_module(r, i);
        if (m->state != MODULE_OK)
            continue;
        char *ids = ids_by_kind(m);
        table_cell(t, m->name);
        table_cell(t, m->version);
        table_cellf(t, "%d.%d", m->abi_major, m->abi_minor);
        table_cell(t, m->licence);
        table_cell(t, ids);
        free(ids);
    }
    if (table_rows(t) > 0)
        table_print(t, stdout, 0, WIDTH);
    else
        puts("no modules found");
    table_free(t);
}

/* Files that are not used, or not whole, and why. */
static void print_unused(const registry *r)
{
    bool any = false;
    for (int i = 0; i < registry_n_modules(r); i++) {
        const module_desc *m = registry_module(r, i);
        if (m->state == MODULE_OK && !*m->skipped)
            continue;
        if (!any)
            puts("\nnot used:");
        any = true;
        char *line = xasprintf("%s: %s: %s", m->path, m->state == MODULE_OK ? "in part" : state_name(m->state),
                               m->state == MODULE_OK ? m->skipped : m->why);
        fputs("  ", stdout);
        fold_text(stdout, line, 2, 4, WIDTH);
        free(line);
    }
}

static void print_paths(const registry *r)
{
    static const char *const headings[] = {"MODULE", "FILE"};
    table *t = table_new(headings, 2);
    for (int i = 0; i < registry_n_modules(r); i++)
        if (registry_module(r, i)->state == MODULE_OK) {
            table_cell(t, registry_module(r, i)->name);
            table_cell(t, registry_module(r, i)->path);
        }
    if (table_rows(t) > 0) {
        putchar('\n');
        table_print(t, stdout, 0, WIDTH);
    }
    table_free(t);
}

static void print_json(const registry *r)
{
    json_t *dirs = json_array(), *modules = json_array();
    for (int i = 0; i < registry_n_dirs(r); i++) {
        const char *origin, *path = registry_dir(r, i, &origin);
        json_array_append_new(dirs, json_pack("{s:s, s:s, s:s}", "path", path, "origin", origin, "state",
                                              shown_dir(r, i)));
    }
    for (int i = 0; i < registry_n_modules(r); i++)
        json_array_append_new(modules, describe_module(registry_module(r, i)));
    describe_print(json_pack("{s:o, s:o}", "searched", dirs, "modules", modules));
}

static int list_main(const cli_args *a)
{
    registry *r = cli_registry(a);
    if (!r)
        return EXIT_BAD_INPUT;
    if (cli_flag(a, "json")) {
        print_json(r);
    } else {
        print_modules(r);
        print_paths(r);
        print_unused(r);
        print_dirs(r);
    }
    registry_free(r);
    return EXIT_OK;
}

static const cli_option list_options[] = {
    {"json", 0, NULL, false, "print JSON: modules, components, parameters, directories"},
    {0},
};

const cli_command cmd_plugin_list = {
    .name = "plugin list",
    .operands = "",
    .summary = "list the modules there are, the files not used and why, and where it looked",
    .description =
        "Searches the directories of --plugins in the order given, those of DAL_PLUGIN_PATH (separated by "
        "colons), the user's folder ($XDG_DATA_HOME/dalhost/plugins or ~/.local/share/dalhost/plugins) and "
        "the built-in directory; a dalhost that runs from its build tree uses the modules of that tree.\n\n"
        "The first usable module of a name wins; others of that name are listed as shadowed. Files and "
        "directories that others may write to, or that belong to neither root nor the user, are refused. "
        "Each module's note is read from its file; no module is loaded.",
    .options = list_options,
    .examples = "dalhost plugin list\nDAL_PLUGIN_PATH=~/my-plugins dalhost plugin list --json\n",
    .main = list_main,
};

/* ---- plugin inspect ---- */

/* FILE when it has a slash or ends in .so, else the name of an installed module. */
static const module_desc *named_module(const cli_args *a, registry *r, const char *name)
{
    const size_t n = strlen(name);
    if (strchr(name, '/') || (n > 3 && strcmp(name + n - 3, ".so") == 0))
        return registry_file(r, name);
    const char **names = xcalloc((size_t)registry_n_modules(r), sizeof *names);
    const module_desc *found = NULL;
    for (int i = registry_n_modules(r) - 1; i >= 0; i--) {
        const module_desc *m = registry_module(r, i);
        names[i] = m->name;
        if (strcmp(m->name, name) == 0 && (!found || m->state == MODULE_OK || found->state != MODULE_OK))
            found = m;
    }
    if (!found) {
        const char *near = nearest(name, names, registry_n_modules(r));
        cli_bad(a, "unknown module '%s'%s%s%s; expected a module's name (dalhost plugin list) or a file",
                name, near ? ", did you mean '" : "", near ? near : "", near ? "'?" : "");
    }
    free((void *)(uintptr_t)names);
    return found;
}

static void print_module(const module_desc *m)
{
    char *abi = m->abi_major < 0 ? xstrdup("") : xasprintf("%d.%d", m->abi_major, m->abi_minor);
    printf("module %s\n", m->name);
    print_field("version", m->version, stdout);
    print_field("licence", m->licence, stdout);
    print_field("abi", abi, stdout);
    print_field("file", m->path, stdout);
    print_field("state", state_name(m->state), stdout);
    print_field("why", m->why, stdout);
    print_field("passed over", m->skipped, stdout);
    for (int i = 0; i < m->n_components; i++) {
        putchar('\n');
        print_component(&m->components[i], false, stdout);
    }
    free(abi);
}

static int inspect_main(const cli_args *a)
{
    registry *r = cli_registry(a);
    if (!r)
        return EXIT_BAD_INPUT;
    const module_desc *m = named_module(a, r, cli_operand(a, 0));
    int code = m ? EXIT_OK : EXIT_BAD_INPUT;
    if (m && m->state == MODULE_REFUSED) {
        cli_bad(a, "%s: %s", m->path, m->why);
        code = EXIT_BAD_INPUT;
    }
    if (m && cli_flag(a, "json"))
        describe_print(describe_module(m));
    else if (m && (code == EXIT_OK || m->n_components > 0))
        print_module(m);
    registry_free(r);
    return code;
}

static const cli_option inspect_options[] = {
    {"json", 0, NULL, false, "print JSON"},
    {0},
};

const cli_command cmd_plugin_inspect = {
    .name = "plugin inspect",
    .operands = "FILE|MODULE",
    .min_operands = 1,
    .max_operands = 1,
    .summary = "tell what a module contains: components, capabilities, parameters",
    .description = "Reads the note of a module's file, or of an installed module; runs nothing of it. A file "
                   "dalhost would refuse to load is described as far as it can be read, with the reason; the "
                   "exit code is then 2.",
    .options = inspect_options,
    .examples = "dalhost plugin inspect uncertainty\ndalhost plugin inspect ./my_strategy.so\n",
    .main = inspect_main,
};
