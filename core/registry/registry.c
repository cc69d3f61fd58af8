/* Listing: which modules there are and what their notes say. Nothing here runs a module. */
#include "registry/registry.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include "registry/blame.h"
#include "registry/note.h"
#include "registry/private.h"
#include "util/paths.h"
#include "util/text.h"

/* ---- one file ---- */

/* foo of /dir/foo.so; NULL for other names. Caller frees. */
static char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
    const size_t n = strlen(base);
    return n > 3 && strcmp(base + n - 3, ".so") == 0 ? xstrndup(base, n - 3) : NULL;
}

static char *abi_refusal(int major, int minor)
{
    const char *newer = major == DAL_ABI_MAJOR && minor > DAL_ABI_MINOR ? "use a newer dalhost, or " : "";
    return xasprintf("speaks ABI %d.%d, this dalhost %d.%d: %srebuild it with this dalhost's SDK", major, minor,
                     DAL_ABI_MAJOR, DAL_ABI_MINOR, newer);
}

/* What the note says against loading the module. NULL: nothing. */
static char *note_refusal(const note_info *note, const char *name, const dal_error *parse_error)
{
    if (note->abi_major >= 0 && (note->abi_major != DAL_ABI_MAJOR || note->abi_minor > DAL_ABI_MINOR))
        return abi_refusal(note->abi_major, note->abi_minor);
    if (parse_error->status)
        return xstrdup(parse_error->text);
    if (strcmp(note->module, name) != 0)
        return xasprintf("its note names module '%s'; expected the file to be called %s.so", note->module,
                         note->module);
    if (note->unknown_param)
        return xstrdup(note->unknown_param);
    return NULL;
}

/* Messages of note.c begin with the path, which the reader of `why` knows. */
static char *without_path(const char *words, const char *path)
{
    const size_t n = strlen(path);
    return xstrdup(strncmp(words, path, n) == 0 && strncmp(words + n, ": ", 2) == 0 ? words + n + 2 : words);
}

/* Read the note of an open file into m; returns why the module is refused, or NULL. *no_note: it is a
 * shared object of somebody else. */
static char *read_note(module *m, int fd, bool *no_note)
{
    char *note;
    note_machine machine;
    dal_error err = DAL_ERROR_INIT;
    if (fstat(fd, &m->seen) != 0)
        return xstrdup(strerror(errno));
    char *why = S_ISREG(m->seen.st_mode) ? search_distrust(&m->seen) : xstrdup("not a regular file");
    if (why)
        return why;
    const dal_status st = note_read_fd(fd, m->path, &note, &machine, &err);
    *no_note = st == DAL_E_NOT_FOUND;
    if (st)
        return without_path(err.text, m->path);
    note_parse(note, &m->note, &err);
    why = note_refusal(&m->note, m->name, &err);
    if (!why && !note_machine_is_ours(&machine))
        why = xasprintf("built for another machine (%d-bit, %s-endian, ELF machine %d); rebuild it here",
                        machine.bits, machine.big_endian ? "big" : "little", machine.number);
    return why;
}

static void describe(module *m)
{
    const bool readable = m->note.module != NULL;
    m->desc = (module_desc){.path = m->path,
                            .name = m->name,
                            .version = readable ? m->note.version : "",
                            .licence = readable ? m->note.licence : "",
                            .abi_major = m->note.abi_major,
                            .abi_minor = m->note.abi_minor,
                            .components = m->note.components,
                            .n_components = m->note.n_components,
                            .state = m->why ? MODULE_REFUSED : MODULE_OK,
                            .why = m->why ? m->why : "",
                            .skipped = m->note.skipped ? m->note.skipped : ""};
    for (int i = 0; i < m->note.n_components; i++)
        m->note.components[i].module = &m->desc;
}

static module *read_file(const char *path, bool *no_note)
{
    module *m = xcalloc(1, sizeof *m);
    m->path = xstrdup(path);
    m->name = base_name(path);
    m->note.abi_major = m->note.abi_minor = -1;
    *no_note = false;
    const char *slash = strrchr(path, '/');
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        m->why = xstrdup(strerror(errno));
    else if (!m->name || !note_module_name_ok(m->name))
        m->why = xstrdup("modules are called [a-z0-9_]+.so; rename it and its module");
    else
        m->why = read_note(m, fd, no_note);
    if (fd >= 0)
        close(fd);
    if (!m->name)
        m->name = xstrdup(slash ? slash + 1 : path);
    describe(m);
    return m;
}

static void free_module(module *m)
{
    note_info_free(&m->note);
    free(m->path);
    free(m->name);
    free(m->why);
    free(m);
}

/* ---- directories ---- */

static int is_so(const struct dirent *e)
{
    const size_t n = strlen(e->d_name);
    return n > 3 && strcmp(e->d_name + n - 3, ".so") == 0;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static const module *winner(const registry *r, const char *name)
{
    for (int i = 0; i < r->n_modules; i++)
        if (r->modules[i]->desc.state == MODULE_OK && strcmp(r->modules[i]->name, name) == 0)
            return r->modules[i];
    return NULL;
}

static void add_module(registry *r, module *m)
{
    const module *first = m->desc.state == MODULE_OK ? winner(r, m->name) : NULL;
    if (first) {
        m->why = xasprintf("%s has the same name and comes first", first->path);
        m->desc.why = m->why;
        m->desc.state = MODULE_SHADOWED;
    }
    r->modules = xrealloc(r->modules, (size_t)(r->n_modules + 1) * sizeof(module *));
    r->modules[r->n_modules++] = m;
}

static void scan(registry *r, search_dir *dir)
{
    struct dirent **entries;
    const int n = scandir(dir->path, &entries, is_so, by_name);
    if (n < 0) {
        dir->problem = xstrdup(strerror(errno));
        return;
    }
    for (int i = 0; i < n; i++) {
        char *path = xasprintf("%s/%s", dir->path, entries[i]->d_name);
        bool no_note;
        module *m = read_file(path, &no_note);
        if (!dir->given && (no_note || !note_module_name_ok(m->name)))
            free_module(m);
        else
            add_module(r, m);
        free(path);
        free(entries[i]);
    }
    free(entries);
}

static int by_kind_and_id(const void *a, const void *b)
{
    const component_desc *x = *(const component_desc *const *)a, *y = *(const component_desc *const *)b;
    if (x->kind != y->kind)
        return x->kind < y->kind ? -1 : 1;
    const int order = strcmp(x->id, y->id);
    return order ? order : strcmp(x->module->name, y->module->name);
}

static void list_components(registry *r)
{
    for (int i = 0; i < r->n_modules; i++)
        if (r->modules[i]->desc.state == MODULE_OK)
            r->n_components += r->modules[i]->desc.n_components;
    r->components = xcalloc((size_t)r->n_components, sizeof *r->components);
    int k = 0;
    for (int i = 0; i < r->n_modules; i++)
        for (int c = 0; r->modules[i]->desc.state == MODULE_OK && c < r->modules[i]->desc.n_components; c++)
            r->components[k++] = &r->modules[i]->desc.components[c];
    qsort((void *)(uintptr_t)r->components, (size_t)k, sizeof *r->components, by_kind_and_id);
}

/* ---- the registry ---- */

/* ---- modules that are part of the program ---- */

/* A static build (--disable-shared) has their notes in its own file. */
static void add_built_in_modules(registry *r)
{
    char **notes;
    int n;
    dal_error err = DAL_ERROR_INIT;
    if (!paths_self() || note_read_all(paths_self(), &notes, &n, &err) != DAL_OK)
        return;
    for (int i = 0; i < n; i++) {
        module *m = xcalloc(1, sizeof *m);
        note_parse(notes[i], &m->note, &err);
        m->path = xstrdup(BUILT_IN);
        m->name = xstrdup(m->note.module ? m->note.module : "?");
        m->why = note_refusal(&m->note, m->name, &err);
        describe(m);
        add_module(r, m);
    }
    free(notes);
}

static void fill(registry *r, const char *const *dirs, int n, diags *d)
{
    search_add_all(r, dirs, n, d);
    for (int i = 0; i < r->n_dirs; i++)
        if (!r->dirs[i].problem) {
            scan(r, &r->dirs[i]);
            if (r->dirs[i].problem && r->dirs[i].given)
                diags_error(d, (place){0}, "--plugins %s: %s; expected a directory with modules",
                            r->dirs[i].path, r->dirs[i].problem);
        }
    add_built_in_modules(r);
}

registry *registry_new(const char *const *dirs, int n, diags *d)
{
    registry *r = xcalloc(1, sizeof *r);
    fill(r, dirs, n, d);
    list_components(r);
    return r;
}

static module *read_any_file(const char *path)
{
    char absolute[PATH_MAX];
    bool no_note;
    return read_file(realpath(path, absolute) ? absolute : path, &no_note);
}

static bool overlap(const module_desc *a, const module_desc *b)
{
    for (int i = 0; i < a->n_components; i++)
        for (int j = 0; j < b->n_components; j++)
            if (a->components[i].kind == b->components[j].kind &&
                strcmp(a->components[i].id, b->components[j].id) == 0)
                return true;
    return false;
}

registry *registry_new_with(const char *file, const char *const *dirs, int n, diags *d,
                            const module_desc **out)
{
    registry *r = xcalloc(1, sizeof *r);
    module *first = read_any_file(file);
    add_module(r, first);
    fill(r, dirs, n, d);
    for (int i = 1; i < r->n_modules; i++) {
        module *m = r->modules[i];
        if (m->desc.state == MODULE_OK && overlap(&first->desc, &m->desc)) {
            m->why = xasprintf("%s offers the same and comes first", first->path);
            m->desc.why = m->why;
            m->desc.state = MODULE_SHADOWED;
        }
    }
    list_components(r);
    *out = &first->desc;
    return r;
}

const module_desc *registry_file(registry *r, const char *path)
{
    module *m = read_any_file(path);
    r->files = xrealloc(r->files, (size_t)(r->n_files + 1) * sizeof(module *));
    r->files[r->n_files++] = m;
    return &m->desc;
}

void registry_free(registry *r)
{
    if (!r)
        return;
    while (r->n_started > 0) {
        const module *m = r->started[--r->n_started];
        if (DAL_HAS(dal_plugin, m->live, fini)) {
            blame_push(NULL, NULL, m->name, m->path, "fini");
            m->live->fini();
            blame_pop();
        }
    }
    for (int i = 0; i < r->n_modules; i++)
        free_module(r->modules[i]);
    for (int i = 0; i < r->n_files; i++)
        free_module(r->files[i]);
    for (int i = 0; i < r->n_dirs; i++) {
        free(r->dirs[i].path);
        free(r->dirs[i].problem);
    }
    free(r->dirs);
    free(r->modules);
    free(r->files);
    free((void *)(uintptr_t)r->components);
    free(r->started);
    free(r);
}

int registry_n_dirs(const registry *r)
{
    return r->n_dirs;
}

const char *registry_dir(const registry *r, int i, const char **origin)
{
    if (origin)
        *origin = r->dirs[i].origin;
    return r->dirs[i].path;
}

const char *registry_dir_problem(const registry *r, int i)
{
    return r->dirs[i].problem;
}

int registry_n_modules(const registry *r)
{
    return r->n_modules;
}

const module_desc *registry_module(const registry *r, int i)
{
    return &r->modules[i]->desc;
}

int registry_n_components(const registry *r)
{
    return r->n_components;
}

const component_desc *registry_component(const registry *r, int i)
{
    return r->components[i];
}
