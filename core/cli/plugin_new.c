/* dalhost plugin new: write the folder of a new plugin from the templates of the SDK. */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/cli.h"
#include "registry/note_text.h"
#include "util/paths.h"
#include "util/text.h"

#define MAX_TEMPLATE (1 << 20)

/* What the new plugin is called: a manifest says my-idea, the module and its files say my_idea. */
typedef struct names {
    const char *what, *kind; /* the template; of what kind the component in it is */
    char *id, *module;
} names;

static void names_free(names *n)
{
    free(n->id);
    free(n->module);
}

static bool names_from(const cli_args *a, names *out)
{
    const char *what = cli_value(a, "kind"), *name = cli_operand(a, 0);
    const char *kind = what && strcmp(what, "network") == 0 ? "model" : what;
    if (!kind || !kind_from_name(kind)) {
        cli_bad(a, "%s%s: expected dataset, transform, model, network, strategy or oracle, as in: dalhost plugin new "
                   "--kind strategy %s", kind ? "--kind " : "--kind is missing", kind ? kind : "", name);
        return false;
    }
    *out = (names){what, kind, xstrdup(name), xstrdup(name)};
    for (char *p = out->id; *p; p++)
        *p = *p == '_' ? '-' : *p;
    for (char *p = out->module; *p; p++)
        *p = *p == '-' ? '_' : *p;
    const size_t n = strlen(name);
    if (note_component_id_ok(out->id) && *name >= 'a' && *name <= 'z' && out->id[n - 1] != '-')
        return true;
    cli_bad(a, "'%s' cannot be a name; expected small letters, digits and dashes, beginning with a letter "
               "(at most 64), as in my-idea", name);
    names_free(out);
    return false;
}

/* Two modules with one id would both be unusable without `from:`. */
static bool name_is_free(const cli_args *a, const names *n)
{
    registry *r = cli_registry(a);
    if (!r)
        return false;
    const component_desc *taken = NULL;
    const module_desc *module = NULL;
    for (int i = 0; i < registry_n_components(r); i++) {
        const component_desc *c = registry_component(r, i);
        if (c->kind == kind_from_name(n->kind) && strcmp(c->id, n->id) == 0)
            taken = c;
        if (strcmp(c->module->name, n->module) == 0)
            module = c->module;
    }
    if (taken)
        cli_bad(a, "there is a %s '%s' already (%s); choose another name", n->kind, n->id, taken->module->path);
    else if (module)
        cli_bad(a, "there is a module '%s' already (%s); choose another name", n->module, module->path);
    registry_free(r);
    return !taken && !module;
}

/* ---- templates ---- */

static char *read_template(const char *path)
{
    FILE *f = fopen(path, "re");
    if (!f)
        return NULL;
    char *s = xcalloc(1, MAX_TEMPLATE + 1);
    const size_t n = fread(s, 1, MAX_TEMPLATE, f);
    const bool bad = ferror(f) || n == MAX_TEMPLATE;
    fclose(f);
    if (bad) {
        free(s);
        errno = EFBIG;
        return NULL;
    }
    return s;
}

/* A word between two @ signs stands for a name; anything else is copied. */
static char *fill_in(const char *s, const names *n)
{
    const bool data = strcmp(n->kind, "dataset") == 0 || strcmp(n->kind, "transform") == 0;
    const bool network = strcmp(n->what, "network") == 0;
    char *header = xasprintf("%s.h", data ? "dataset" : network ? "nn_model" : n->kind);
    const struct {
        const char *key, *value;
    } table[] = {{"@ID@", n->id}, {"@MODULE@", n->module}, {"@KIND@", n->kind}, {"@KIND_HEADER@", header},
                 {"@LIBS@", network ? "$(shell $(DAL) --libs) " : ""}};
    text t = {0};
    while (*s) {
        const size_t plain = strcspn(s, "@");
        text_addf(&t, "%.*s", (int)plain, s);
        s += plain;
        size_t used = 0;
        for (size_t i = 0; *s && !used && i < sizeof table / sizeof *table; i++)
            if (strncmp(s, table[i].key, strlen(table[i].key)) == 0) {
                text_add(&t, table[i].value);
                used = strlen(table[i].key);
            }
        if (*s && !used) {
            text_add(&t, "@");
            used = 1;
        }
        s += used;
    }
    free(header);
    return text_take(&t);
}

static bool write_new(const char *path, const char *s)
{
    FILE *f = fopen(path, "wxe");
    if (!f)
        return false;
    const bool good = fputs(s, f) >= 0 && fflush(f) == 0;
    return fclose(f) == 0 && good;
}

/* One template into `dir`; component.c becomes MODULE.c. */
static bool write_one(const cli_args *a, const char *from, const char *file, const char *dir, const names *n)
{
    char *source = xasprintf("%s/%s", from, file), *raw = read_template(source);
    bool good = raw != NULL;
    if (!good)
        cli_bad(a, "%s: %s; expected a template of the SDK", source, strerror(errno));
    if (good) {
        char *target = strcmp(file, "component.c") == 0 ? xasprintf("%s/%s.c", dir, n->module)
                                                        : xasprintf("%s/%s", dir, file);
        char *filled = fill_in(raw, n);
        good = write_new(target, filled);
        if (!good)
            cli_bad(a, "%s: %s", target, strerror(errno));
        free(filled);
        free(target);
    }
    free(raw);
    free(source);
    return good;
}

/* Every file of template/WHAT. */
static bool write_templates(const cli_args *a, const char *what, const char *dir, const names *n)
{
    char *name = xasprintf("template/%s", what), *from = paths_data(name);
    free(name);
    DIR *d = opendir(from);
    bool good = d != NULL;
    if (!d)
        cli_bad(a, "%s: %s; expected the templates of the SDK: is dalhost installed whole?", from, strerror(errno));
    for (struct dirent *e; good && (e = readdir(d));) {
        const size_t length = strlen(e->d_name);
        if (e->d_name[0] != '.' && e->d_name[length - 1] != '~')
            good = write_one(a, from, e->d_name, dir, n);
    }
    if (d)
        closedir(d);
    free(from);
    return good;
}

/* ---- the folder ---- */

/* Of a folder we made and nobody else knows of. */
static void remove_folder(const char *dir)
{
    DIR *d = opendir(dir);
    for (struct dirent *e; d && (e = readdir(d));)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            unlinkat(dirfd(d), e->d_name, 0);
    if (d)
        closedir(d);
    rmdir(dir);
}

static bool exists(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0;
}

/* Written beside its place and then renamed: all of it or nothing. */
static int write_folder(const cli_args *a, const char *dir, const names *n)
{
    if (exists(dir))
        return cli_bad(a, "%s: is there already; choose another name, or another place with --dir", dir);
    char *draft = xasprintf("%s.XXXXXX", dir);
    int code = EXIT_OK;
    if (!mkdtemp(draft)) {
        code = cli_bad(a, "%s: %s; expected a place where a folder can be made", dir, strerror(errno));
    } else {
        const mode_t mask = umask(0);
        umask(mask);
        bool good = write_templates(a, "common", draft, n) && write_templates(a, n->what, draft, n);
        if (good && (chmod(draft, 0777 & ~mask) != 0 || rename(draft, dir) != 0)) {
            cli_bad(a, "%s: %s", dir, strerror(errno));
            good = false;
        }
        if (!good) {
            remove_folder(draft);
            code = EXIT_FAILED;
        }
    }
    free(draft);
    return code;
}

static int new_main(const cli_args *a)
{
    names n;
    if (!names_from(a, &n))
        return EXIT_BAD_INPUT;
    char *dir = xstrdup(cli_value(a, "dir") ? cli_value(a, "dir") : n.id);
    for (size_t end = strlen(dir); end > 1 && dir[end - 1] == '/'; end--)
        dir[end - 1] = '\0';
    const int code = !*dir              ? cli_bad(a, "--dir is empty; expected a folder to make")
                     : !name_is_free(a, &n) ? EXIT_BAD_INPUT
                                            : write_folder(a, dir, &n);
    if (code == EXIT_OK)
        printf("%s/: the %s '%s' in %s.c\nnext: make -C %s test\n", dir, n.kind, n.id, n.module, dir);
    free(dir);
    names_free(&n);
    return code;
}

static const cli_option options[] = {
    {"kind", 'k', "KIND", false,
     "dataset, transform, model, network (a model from a list of layers), strategy or oracle"},
    {"dir", 0, "DIR", false, "the folder to make (default: NAME in the current directory)"},
    {0},
};

const cli_command cmd_plugin_new = {
    .name = "plugin new",
    .operands = "NAME",
    .min_operands = 1,
    .max_operands = 1,
    .summary = "write the folder of a new plugin: a small working component, its build and its test",
    .description = "The folder builds with plain make against the installed SDK (pkg-config dal) and needs "
                   "nothing of dalhost's sources. `make test` runs dalhost plugin check and, for a strategy, "
                   "known matrices with known picks. What is there already is never touched.",
    .options = options,
    .examples = "dalhost plugin new --kind strategy my-idea\nmake -C my-idea test\n"
                "dalhost --plugins my-idea component inspect my-idea\n",
    .main = new_main,
};
