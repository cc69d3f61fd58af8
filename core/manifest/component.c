/* Components: `margin`, or {use: margin, from: MODULE, temperature: 2}. */
#include <stdlib.h>

#include "manifest/reader.h"
#include "util/text.h"

static const char *const reserved[] = {"use", "from", NULL};
static const char *const reserved_inside[] = {"use", "from", "transforms", NULL};

/* Is what is being read a dataset inside a component? That of a manifest has its transforms beside it. */
static bool is_inside(const reader *rd, uint32_t kind)
{
    return kind == DAL_KIND_DATASET && rd->depth > 1;
}

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

/* A card that is nearer to what was written than every loader, or NULL. */
static const char *near_card(const reader *rd, const char *word)
{
    const char *near = rd->cards ? cards_near(rd->cards, word) : NULL;
    const int distance = near ? edit_distance(word, near) : 0;
    for (int i = 0; near && i < registry_n_components(rd->reg); i++) {
        const component_desc *c = registry_component(rd->reg, i);
        if (c->kind == DAL_KIND_DATASET && edit_distance(word, c->id) < distance)
            return NULL;
    }
    return near;
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
    const char *near = !c && !module && kind == DAL_KIND_DATASET ? near_card(rd, use->text) : NULL;
    if (near)
        complain(rd, use->at, "there is no dataset '%s'; did you mean '%s'? dalhost dataset list tells those known by "
                 "name, dalhost component list -k dataset the loaders", id, near);
    else if (!c)
        complain(rd, use->at, "%s%s", why ? why : "there is no such component",
                 kind == DAL_KIND_DATASET && rd->cards &&
                 !module ? "; dalhost dataset list tells those known by name" : "");
    free(why);
    return c;
}

/* of: the card that names it, or NULL. */
static component_spec *read_spec(reader *rd, const component_desc *c, place at, const node *map, const card *of)
{
    param_value *values = arena_alloc(rd->mem, (size_t)c->n_params + 1, sizeof *values);
    component_spec *spec = arena_alloc(rd->mem, 1, sizeof *spec);
    *spec = (component_spec){.kind = c->kind, .desc = c, .at = at, .values = values, .card = of};
    const char *what = of ? arena_printf(rd->mem, "%s '%s' (%s)", kind_name(c->kind), of->name, c->id)
                          : arena_printf(rd->mem, "%s '%s'", kind_name(c->kind), c->id);
    const owner o = {
        .prefix = arena_printf(rd->mem, "%s: ", what),
        .of = arena_printf(rd->mem, " of %s", what),
        .at = at,
        .module = c->module,
        .params = c->params,
        .n_params = c->n_params,
        .others = is_inside(rd, c->kind) ? reserved_inside : reserved,
    };
    read_params(rd, &o, map, values);
    return spec;
}

static bool has_value(const component_spec *s, const need_when *w)
{
    bool has = false;
    for (int i = 0; i < s->desc->n_params; i++)
        if (strcmp(s->desc->params[i].name, w->param) == 0) {
            char *value = param_value_text(&s->values[i]);
            has = word_among(w->values, value, strlen(value));
            free(value);
        }
    return has;
}

static bool is_needed(const component_spec *s, const char *capability)
{
    bool depends = false;
    for (int i = 0; i < s->desc->n_when; i++)
        if (strcmp(s->desc->when[i].capability, capability) == 0) {
            if (has_value(s, &s->desc->when[i]))
                return true;
            depends = true;
        }
    return !depends;
}

static void add_own_needs(const component_spec *s, text *all)
{
    for (const char *word = s->desc->needs; *word;) {
        const size_t n = strcspn(word, " ");
        char *capability = xasprintf("%.*s", (int)n, word);
        if (n && !dal_has_word(all->s, capability) && is_needed(s, capability))
            text_addf(all, "%s%s", all->n ? " " : "", capability);
        free(capability);
        word += n + (word[n] == ' ');
    }
}

char *spec_own_needs(const component_spec *s)
{
    text own = {0};
    add_own_needs(s, &own);
    return text_take(&own);
}

static void join_needs(const component_spec *s, text *all)
{
    add_own_needs(s, all);
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

/* ---- cards ---- */

const card *card_meant(reader *rd, const node *n)
{
    if (!rd->cards || n->kind != NODE_SCALAR || node_is_null(n))
        return NULL;
    for (int i = 0; i < registry_n_components(rd->reg); i++) {
        const component_desc *c = registry_component(rd->reg, i);
        if (c->kind == DAL_KIND_DATASET && strcmp(c->id, n->text) == 0)
            return NULL;
    }
    return cards_find(rd->cards, n->text, rd->d);
}

/* Files of a card that are nowhere: their names, and whether any can be fetched. */
typedef struct missing {
    const char *list;
    int n;
    bool fetchable;
} missing;

static void add_if_missing(reader *rd, const card *c, const node *value, missing *m)
{
    if (value->kind != NODE_SCALAR || value->at.file != c->path || !*value->text ||
        !card_file_missing(rd, c, value->text))
        return;
    m->list = arena_printf(rd->mem, "%s%s%s", m->list, m->n++ ? ", " : "", shown(rd->mem, value->text, 200));
    for (int k = 0; k < c->n_files; k++)
        m->fetchable |= *c->files[k].url && strcmp(c->files[k].path, value->text) == 0;
}

/* Of the files that the card itself names to the loader, those that are nowhere: told in one complaint. */
static bool has_its_files(reader *rd, const card *c, const component_desc *loader, const node *map, place at)
{
    missing m = {.list = ""};
    for (int i = 0; i < loader->n_params; i++) {
        const node_entry *e = node_entry_of(map, loader->params[i].name);
        if (!param_is_path(loader->params[i].type) || !*loader->params[i].domain || !e)
            continue;
        add_if_missing(rd, c, e->value, &m);
        for (int k = 0; e->value->kind == NODE_LIST && k < e->value->n; k++)
            add_if_missing(rd, c, e->value->items[k], &m);
    }
    if (m.n == 0)
        return true;
    const char *advice = "put it there, or name its folder in DAL_DATA_PATH";
    if (m.fetchable)
        advice = arena_printf(rd->mem, "get it with: dalhost dataset fetch %s", c->name);
    else if (*c->home)
        advice = arena_printf(rd->mem, "no address is known to fetch it from; see %s", shown(rd->mem, c->home, 200));
    complain(rd, at, "dataset '%s': there is no %s; looked in %s; %s", c->name, m.list, data_folders_list(rd, c),
             advice);
    return false;
}

/* The loader of a card: its parameters, those beside `use` in n before the card's. */
static component_spec *read_carded(reader *rd, const card *c, const node *n, place at)
{
    node *map = node_new(rd->mem, NODE_MAP, at);
    for (int i = 0; i < c->dataset->n; i++)
        node_put(rd->mem, map, c->dataset->entries[i].key, c->dataset->entries[i].at, c->dataset->entries[i].value);
    for (int i = 0; n->kind == NODE_MAP && i < n->n; i++)
        if (strcmp(n->entries[i].key, "use") != 0)
            node_put(rd->mem, map, n->entries[i].key, n->entries[i].at, n->entries[i].value);
    const node_entry *from = node_entry_of(map, "from");
    const component_desc *loader = find(rd, arena_printf(rd->mem, "'use' of the card '%s'", c->name), DAL_KIND_DATASET,
                                        node_entry_of(map, "use")->value, from ? from->value : NULL);
    if (!loader || !has_its_files(rd, c, loader, map, at))
        return NULL;
    const card *outer = rd->card;
    rd->card = c;
    component_spec *spec = read_spec(rd, loader, at, map, c);
    rd->card = outer;
    return spec;
}

node *join_transforms(reader *rd, const card *c, node *own)
{
    if (!c || !c->transforms || c->transforms->n == 0)
        return NULL;
    node *all = node_new(rd->mem, NODE_LIST, own ? own->at : c->transforms->at);
    for (int i = 0; i < c->transforms->n; i++)
        node_append(rd->mem, all, c->transforms->items[i]);
    for (int i = 0; own && own->kind == NODE_LIST && i < own->n; i++)
        node_append(rd->mem, all, own->items[i]);
    if (own && own->kind != NODE_LIST)
        node_append(rd->mem, all, own);
    return all;
}

/* of: the card that named the dataset, or NULL. */
static void read_transforms(reader *rd, const char *label, const card *of, const node *n, component_spec *spec)
{
    static const param_desc p = {"transforms", DAL_PARAM_COMPONENTS, "", "transform", "", "applied in this order"};
    const node_entry *e = n->kind == NODE_MAP ? node_entry_of(n, p.name) : NULL;
    node *own = e ? e->value : NULL, *joined = own && node_is_null(own) ? NULL : join_transforms(rd, of, own);
    param_value v = {0};
    if (!own && !joined)
        return;
    read_value(rd, arena_printf(rd->mem, "transforms of %s", label), joined ? joined : own, &p, &v);
    spec->transforms = v.component;
    spec->n_transforms = (int)v.n;
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
    const card *of = kind == DAL_KIND_DATASET && !from ? card_meant(rd, use) : NULL;
    component_spec *spec = NULL;
    const bool faulty = !of && kind == DAL_KIND_DATASET && !from && rd->cards && use->kind == NODE_SCALAR &&
                        cards_faulty(rd->cards, use->text); /* that has been told */
    const component_desc *c = of || faulty ? NULL : find(rd, id_label, kind, use, from);
    if (of)
        spec = read_carded(rd, of, n, use->at);
    else if (c)
        spec = read_spec(rd, c, use->at, n->kind == NODE_MAP ? n : NULL, NULL);
    if (spec && is_inside(rd, kind))
        read_transforms(rd, label, of, n, spec);
    rd->depth--;
    return spec;
}
