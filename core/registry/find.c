/* Finding one component by kind and id, and saying all there is to say when it is not there. */
#include <stdlib.h>

#include "registry/names.h"
#include "registry/private.h"
#include "util/paths.h"
#include "util/text.h"

#define SHOWN 12 /* names, directories or files told in one message */

static bool same(const component_desc *c, uint32_t kind, const char *id)
{
    return c->kind == kind && strcmp(c->id, id) == 0;
}

static bool from_module(const component_desc *c, const char *from)
{
    return !from || strcmp(c->module->name, from) == 0;
}

static char *ambiguity(const registry *r, uint32_t kind, const char *id)
{
    text t = {0};
    text_addf(&t, "several modules offer the %s '%s': ", kind_name(kind), id);
    const char *name = NULL;
    for (int i = 0, n = 0; i < r->n_components; i++)
        if (same(r->components[i], kind, id)) {
            text_addf(&t, "%s%s", n++ ? ", " : "", r->components[i]->module->path);
            name = r->components[i]->module->name;
        }
    text_addf(&t, "; say which with from: MODULE (from: %s)", name);
    return text_take(&t);
}

/* "entropy, margin, random": the names of a kind (or the modules' names, kind 0). */
static int names_of(const registry *r, uint32_t kind, const char *from, const char ***names)
{
    *names = xcalloc((size_t)r->n_components + (size_t)r->n_modules, sizeof **names);
    int n = 0;
    if (kind == 0)
        for (int i = 0; i < r->n_modules; i++)
            if (r->modules[i]->desc.state == MODULE_OK)
                (*names)[n++] = r->modules[i]->name;
    for (int i = 0; kind && i < r->n_components; i++)
        if (r->components[i]->kind == kind && from_module(r->components[i], from) &&
            (n == 0 || strcmp((*names)[n - 1], r->components[i]->id) != 0))
            (*names)[n++] = r->components[i]->id;
    return n;
}

/* "; expected one of a, b, c; did you mean 'b'?" */
static void add_names(text *t, const registry *r, uint32_t kind, const char *from, const char *wanted)
{
    const char **names;
    const int n = names_of(r, kind, from, &names);
    if (n > 0) {
        text_add(t, n > 1 ? "; expected one of " : "; expected ");
        for (int i = 0; i < n && i < SHOWN; i++)
            text_addf(t, "%s%s", i ? ", " : "", names[i]);
        if (n > SHOWN)
            text_addf(t, " and %d more (dalhost component list)", n - SHOWN);
        const char *near = nearest(wanted, names, n);
        if (near)
            text_addf(t, "; did you mean '%s'?", near);
    }
    free((void *)(uintptr_t)names);
}

static const char *article(uint32_t kind)
{
    return kind == DAL_KIND_ORACLE ? "an" : "a";
}

static void add_other_kinds(text *t, const registry *r, uint32_t kind, const char *id)
{
    for (int i = 0; i < r->n_components; i++)
        if (r->components[i]->kind != kind && strcmp(r->components[i]->id, id) == 0)
            text_addf(t, "; '%s' is %s %s, not %s %s", id, article(r->components[i]->kind),
                      kind_name(r->components[i]->kind), article(kind), kind_name(kind));
}

/* Modules that were refused and have it, or might. */
static void add_refused(text *t, const registry *r, uint32_t kind, const char *id, const char *from)
{
    int told = 0;
    for (int i = 0; i < r->n_modules && told < SHOWN; i++) {
        const module_desc *m = &r->modules[i]->desc;
        if (m->state != MODULE_REFUSED)
            continue;
        bool has = false;
        for (int c = 0; c < m->n_components; c++)
            has |= same(&m->components[c], kind, id);
        if (from ? strcmp(m->name, from) == 0 : has || m->n_components == 0) {
            text_addf(t, "; %s%s was refused: %s", m->path, has ? " has it but" : "", m->why);
            told++;
        }
    }
}

/* The five directories of a build tree are told as one. */
static void add_directories(text *t, const registry *r)
{
    bool build = false;
    text_add(t, " (looked in");
    for (int i = 0, n = 0; i < r->n_dirs; i++) {
        const search_dir *d = &r->dirs[i];
        const bool tree = strcmp(d->origin, "build tree") == 0;
        if (d->problem || (tree && build))
            continue;
        text_addf(t, "%s %s%s (%s)", n++ ? "," : "", tree ? paths_build_tree() : d->path,
                  tree ? "/plugins" : "", d->origin);
        build |= tree;
    }
    text_add(t, ")");
}

/* The names of other programs are as good as ours to say what is meant. */
static char *known_elsewhere(const registry *r, uint32_t kind, const char *id)
{
    char *why = NULL;
    other_names names = names_read(kind);
    const other_name *name = names_find(&names, id);
    for (int i = 0; name && !why && i < r->n_components; i++)
        if (same(r->components[i], kind, name->id)) {
            char *hint = names_hint(name);
            why = xasprintf("unknown %s '%s': %s", kind_name(kind), id, hint);
            free(hint);
        }
    names_free(&names);
    return why;
}

static char *not_found(const registry *r, uint32_t kind, const char *id, const char *from)
{
    text t = {0};
    bool known = !from, elsewhere = false;
    for (int i = 0; from && i < r->n_modules; i++)
        known |= r->modules[i]->desc.state == MODULE_OK && strcmp(r->modules[i]->name, from) == 0;
    if (!known) {
        text_addf(&t, "unknown module '%s'", from);
        add_refused(&t, r, kind, id, from);
        add_names(&t, r, 0, NULL, from);
    } else {
        text_addf(&t, "unknown %s '%s'", kind_name(kind), id);
        if (from)
            text_addf(&t, " in module '%s'", from);
        for (int i = 0; from && i < r->n_components; i++)
            if (same(r->components[i], kind, id)) {
                text_addf(&t, "; module '%s' has it", r->components[i]->module->name);
                elsewhere = true;
            }
        add_other_kinds(&t, r, kind, id);
        add_refused(&t, r, kind, id, from);
        if (!elsewhere)
            add_names(&t, r, kind, from, id);
    }
    add_directories(&t, r);
    return text_take(&t);
}

const component_desc *registry_find(const registry *r, uint32_t kind, const char *id, const char *from,
                                    char **why)
{
    const component_desc *found = NULL;
    int n = 0;
    for (int i = 0; i < r->n_components; i++)
        if (same(r->components[i], kind, id) && from_module(r->components[i], from)) {
            found = r->components[i];
            n++;
        }
    if (n == 1)
        return found;
    if (why) {
        *why = n > 1 ? ambiguity(r, kind, id) : from ? NULL : known_elsewhere(r, kind, id);
        if (!*why)
            *why = not_found(r, kind, id, from);
    }
    return NULL;
}

bool component_offers(const component_desc *model, const char *needs)
{
    bool all = true;
    char *copy = xstrdup(needs), *save = NULL;
    for (char *id = strtok_r(copy, " ", &save); id; id = strtok_r(NULL, " ", &save))
        all = all && (strcmp(id, DAL_CAP_OUTPUTS) == 0 || strcmp(id, DAL_CAP_TRUTH) == 0 ||
                      strcmp(id, DAL_CAP_GROUPS) == 0 ||
                      dal_has_word(model->provides, id));
    free(copy);
    return all;
}
