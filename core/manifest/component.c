/* Components: `margin`, or {use: margin, from: MODULE, temperature: 2}. */
#include <stdlib.h>

#include "manifest/reader.h"
#include "util/text.h"

static const char *const reserved[] = {"use", "from", NULL};

const char *installed_list(const reader *rd, uint32_t kind)
{
    text t = {0};
    int n = 0;
    for (int i = 0; i < registry_n_components(rd->reg); i++) {
        const component_desc *c = registry_component(rd->reg, i);
        if (c->kind == kind && n++ < 12)
            text_addf(&t, "%s%s", n == 1 ? "; installed: " : ", ", c->id);
    }
    const char *list = arena_printf(rd->mem, "%s%s", t.s ? t.s : "", n > 12 ? ", ..." : "");
    text_free(&t);
    return list;
}

/* An id or a module's name, fit to be repeated in a message; true ones are much shorter. */
static const char *word(reader *rd, const char *label, const node *n, const char *expected)
{
    if (n->kind == NODE_SCALAR && !node_is_null(n) && *n->text)
        return shown(rd->mem, n->text, 80);
    complain(rd, n->at, "%s is %s; expected %s", label, describe(rd, n), expected);
    return NULL;
}

/* from: NULL when the manifest does not say. */
static const component_desc *find(reader *rd, const char *label, uint32_t kind, const node *use,
                                  const node *from)
{
    const char *a_kind = with_article(rd->mem, kind_name(kind));
    const char *id =
        word(rd, label, use, arena_printf(rd->mem, "the id of %s%s", a_kind, installed_list(rd, kind)));
    const char *module = from ? word(rd, "'from'", from, "the name of a module") : NULL;
    if (!id || (from && !module))
        return NULL;
    char *why = NULL;
    const component_desc *c = registry_find(rd->reg, kind, id, module, &why);
    if (!c)
        complain(rd, use->at, "%s", why ? why : "there is no such component");
    free(why);
    return c;
}

static component_spec *read_spec(reader *rd, const component_desc *c, place at, const node *map)
{
    param_value *values = arena_alloc(rd->mem, (size_t)c->n_params + 1, sizeof *values);
    component_spec *spec = arena_alloc(rd->mem, 1, sizeof *spec);
    *spec = (component_spec){c->kind, c, at, values};
    const char *what = arena_printf(rd->mem, "%s '%s'", kind_name(c->kind), c->id);
    const owner o = {
        .prefix = arena_printf(rd->mem, "%s: ", what),
        .of = arena_printf(rd->mem, " of %s", what),
        .at = at,
        .module = c->module,
        .params = c->params,
        .n_params = c->n_params,
        .others = reserved,
    };
    read_params(rd, &o, map, values);
    return spec;
}

static void join_needs(const component_spec *s, text *all)
{
    for (const char *word = s->desc->needs; *word;) {
        const size_t n = strcspn(word, " ");
        char *capability = xasprintf("%.*s", (int)n, word);
        if (n && !dal_has_word(all->s, capability))
            text_addf(all, "%s%s", all->n ? " " : "", capability);
        free(capability);
        word += n + (word[n] == ' ');
    }
    for (int i = 0; i < s->desc->n_params; i++)
        for (int64_t k = 0; s->values[i].component && k < s->values[i].n; k++)
            if (s->values[i].component[k] && s->values[i].component[k]->kind == DAL_KIND_STRATEGY)
                join_needs(s->values[i].component[k], all);
}

char *spec_needs(const component_spec *s)
{
    text all = {0};
    join_needs(s, &all);
    return text_take(&all);
}

component_spec *read_component(reader *rd, const char *label, const node *n, uint32_t kind)
{
    const char *a_kind = with_article(rd->mem, kind_name(kind));
    const node *use = n, *from = NULL;
    const char *id_label = label;
    if (n->kind == NODE_LIST || node_is_null(n)) {
        complain(rd, n->at, "%s is %s; expected %s (its id, or a mapping with 'use')%s", label,
                 describe(rd, n), a_kind, installed_list(rd, kind));
        return NULL;
    }
    if (n->kind == NODE_MAP) {
        const node_entry *e = node_entry_of(n, "use"), *f = node_entry_of(n, "from");
        if (!e) {
            complain(rd, n->at, "%s has no 'use'; expected 'use' with the id of %s%s", label, a_kind,
                     installed_list(rd, kind));
            return NULL;
        }
        use = e->value;
        id_label = arena_printf(rd->mem, "'use' of %s", label);
        from = f ? f->value : NULL;
    }
    if (rd->depth >= TREE_MAX_DEPTH || rd->components >= READER_MAX_COMPONENTS) {
        complain(rd, use->at,
                 "%s is more than %d components deep, or one of more than %d; expected fewer", label,
                 TREE_MAX_DEPTH, READER_MAX_COMPONENTS);
        return NULL;
    }
    rd->depth++;
    rd->components++;
    const component_desc *c = find(rd, id_label, kind, use, from);
    component_spec *spec = c ? read_spec(rd, c, use->at, n->kind == NODE_MAP ? n : NULL) : NULL;
    rd->depth--;
    return spec;
}
