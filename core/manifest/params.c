/* All parameters of one owner: which keys there may be, which must, and the defaults of the others. */
#include "manifest/reader.h"
#include "util/text.h"

/* ---- defaults ------------------------------------------------------------------------------- */

/* The default "" means: empty text, no component, an empty list. */
static bool empty_default(arena *mem, const param_desc *p, param_value *out)
{
    if (*p->def || p->type == DAL_PARAM_BOOL || p->type == DAL_PARAM_I64 || p->type == DAL_PARAM_F64 ||
        p->type == DAL_PARAM_CHOICE)
        return false;
    const char **str = arena_alloc(mem, 1, sizeof *str);
    *str = "";
    out->n = p->type == DAL_PARAM_STR || p->type == DAL_PARAM_PATH;
    out->str = str;
    return true;
}

void read_default(reader *rd, const owner *o, const param_desc *p, param_value *out)
{
    *out = (param_value){.desc = p, .at = {o->at.file, 0, 0}};
    if (empty_default(rd->mem, p, out))
        return;
    const blame fault = {o->module, arena_printf(rd->mem, "the default of '%s'%s", p->name, o->of)};
    const blame *const outer = rd->blame;
    if (o->module)
        rd->blame = &fault;
    diags *aside = diags_new();
    node *n = tree_parse(rd->mem, o->at.file, p->def, strlen(p->def), false, aside);
    if (!n) {
        complain(rd, o->at, "'%s' is not YAML", p->def);
    } else {
        const char *label = arena_printf(rd->mem, "'%s'", p->def);
        if (param_is_path(p->type)) { /* a file that is not there is no fault of the module */
            rd->blame = outer;
            n->at = o->at;
            label = arena_printf(rd->mem, "%s%s", o->prefix, p->name);
        }
        read_value(rd, label, n, p, out);
        out->at = (place){o->at.file, 0, 0};
    }
    diags_free(aside);
    rd->blame = outer;
}

bool try_default(const registry *reg, arena *mem, const param_desc *p, param_value *out)
{
    if (strcmp(p->def, DAL_REQUIRED) == 0 || p->type == DAL_PARAM_COMPONENT ||
        p->type == DAL_PARAM_COMPONENTS || param_is_path(p->type))
        return false;
    reader rd = {.mem = mem, .reg = reg, .d = diags_new()};
    const owner o = {"", "", {"", 0, 0}, NULL, p, 1, NULL};
    read_default(&rd, &o, p, out);
    const bool good = diags_errors(rd.d) == 0;
    diags_free(rd.d);
    return good;
}

/* ---- all parameters of one owner ------------------------------------------------------------- */

static bool is_other(const owner *o, const char *key)
{
    for (int i = 0; o->others && o->others[i]; i++)
        if (strcmp(o->others[i], key) == 0)
            return true;
    return false;
}

static void complain_unknown(reader *rd, const owner *o, const node_entry *e)
{
    if (rd->errors >= READER_MAX_ERRORS) { /* no more lists and distances for messages nobody sees */
        complain(rd, e->at, "unknown key");
        return;
    }
    int n_others = 0;
    while (o->others && o->others[n_others])
        n_others++;
    const char **names = arena_alloc(rd->mem, (size_t)(o->n_params + n_others), sizeof *names);
    text list = {0};
    for (int i = 0; i < o->n_params + n_others; i++) {
        names[i] = i < o->n_params ? o->params[i].name : o->others[i - o->n_params];
        if (i < o->n_params || !o->module) /* 'use' and 'from' go without saying */
            text_addf(&list, "%s%s", i ? ", " : "; expected one of ", names[i]);
    }
    const char *near = nearest(e->key, names, o->n_params + n_others);
    complain(rd, e->at, "unknown key '%s'%s%s%s%s", shown(rd->mem, e->key, 60), o->of,
             near     ? "; did you mean '"
             : list.s ? list.s
                      : ", which has no parameters",
             near ? near : "", near ? "'?" : "");
    text_free(&list);
}

static void complain_missing(reader *rd, const owner *o, const param_desc *p)
{
    complain(rd, o->at, "'%s'%s is missing; expected %s%s%s", p->name, o->of,
             expected_text(rd->mem, p, false), *p->summary ? ": " : "", p->summary);
}

/* A module may declare what cannot be. */
static bool sound(reader *rd, const owner *o, const param_desc *p)
{
    const place at = {o->module ? o->module->path : o->at.file, 0, 0};
    if (p->type < DAL_PARAM_BOOL || p->type > DAL_PARAM_PATHS)
        complain(rd, at, "parameter '%s'%s has an unknown type; tell the module's author", p->name,
                 o->of);
    else if (!domain_well_formed(p))
        complain(rd, at, "parameter '%s'%s has a faulty domain '%s'; tell the module's author", p->name,
                 o->of, p->domain);
    else if (is_other(o, p->name) || strcmp(p->name, "version") == 0)
        complain(rd, at, "parameter '%s'%s has a reserved name; tell the module's author", p->name,
                 o->of);
    else
        return true;
    return false;
}

void read_params(reader *rd, const owner *o, const node *map, param_value *out)
{
    for (int i = 0; map && i < map->n; i++) {
        bool known = is_other(o, map->entries[i].key);
        for (int k = 0; k < o->n_params && !known; k++)
            known = strcmp(o->params[k].name, map->entries[i].key) == 0;
        if (!known)
            complain_unknown(rd, o, &map->entries[i]);
    }
    for (int i = 0; i < o->n_params; i++) {
        const param_desc *p = &o->params[i];
        const node_entry *e = node_entry_of(map, p->name);
        out[i] = (param_value){.desc = p};
        if (!sound(rd, o, p))
            continue;
        if (e) {
            read_value(rd, arena_printf(rd->mem, "%s%s", o->prefix, p->name), e->value, p, &out[i]);
            out[i].given = true;
        } else if (strcmp(p->def, DAL_REQUIRED) == 0) {
            complain_missing(rd, o, p);
        } else {
            read_default(rd, o, p, &out[i]);
        }
    }
}
