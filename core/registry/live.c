/* Is a loaded module's table sane, and does it say what its note says? */
#include <dal/dataset.h>
#include <dal/model.h>
#include <dal/oracle.h>
#include <dal/strategy.h>

#include "registry/note.h"
#include "registry/private.h"

/* Bytes a table must at least have: through its last field of ABI 1.0. */
#define LEAST(type, last) (offsetof(type, last) + sizeof(((type *)0)->last))
#define MOST 65536u /* bytes of any table; more is not a size */
#define MAX_OPTIONS (1u << 20)

DAL_PRINTF(3, 4)
static dal_status differs(const module *m, dal_error *err, const char *fmt, ...)
{
    va_list ap;
    char what[512];
    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    return dal_fail(err, DAL_E_CONTRACT, "", "%s: %s; rebuild the module with DAL_MODULE of dal/plugin.h",
                    m->path, what);
}

static bool equal(const char *a, const char *b)
{
    return a && b && strcmp(a, b) == 0;
}

/* ---- the tables of each kind: what must be there ---- */

typedef struct slots {
    bool all; /* of the mandatory slots are filled */
    const char *names;
} slots;

static slots dataset_slots(const dal_dataset_impl *d)
{
    return (slots){d->create && d->destroy && d->info && d->classes && d->read,
                   "create, destroy, info, classes and read"};
}

static slots model_slots(const dal_model_impl *d)
{
    return (slots){d->create && d->destroy && d->fit && d->predict && d->save && d->load,
                   "create, destroy, fit, predict, save and load"};
}

static slots strategy_slots(const dal_strategy_impl *d)
{
    return (slots){!d->score != !d->select && !d->create == !d->destroy && !d->save == !d->load &&
                       (d->order == DAL_LARGEST_FIRST || d->order == DAL_SMALLEST_FIRST),
                   "exactly one of score and select, create with destroy, save with load, a known order"};
}

static slots oracle_slots(const dal_oracle_impl *d)
{
    return (slots){d->create && d->destroy && d->label,
                   "create, destroy and label"};
}

static dal_status check_impl(const module *m, const dal_component *c, dal_error *err)
{
    uint32_t size;
    if (!c->impl)
        return differs(m, err, "%s '%s' has no table", kind_name(c->kind), c->id);
    memcpy(&size, c->impl, sizeof size);
    const size_t least = c->kind == DAL_KIND_MODEL      ? LEAST(dal_model_impl, get_extension)
                         : c->kind == DAL_KIND_STRATEGY ? LEAST(dal_strategy_impl, get_extension)
                         : c->kind == DAL_KIND_ORACLE   ? LEAST(dal_oracle_impl, label)
                                                        : LEAST(dal_dataset_impl, fingerprint);
    if (size < least || size > MOST)
        return differs(m, err, "the table of %s '%s' has %u bytes; expected at least %zu", kind_name(c->kind),
                       c->id, size, least);
    const slots s = c->kind == DAL_KIND_MODEL      ? model_slots(c->impl)
                    : c->kind == DAL_KIND_STRATEGY ? strategy_slots(c->impl)
                    : c->kind == DAL_KIND_ORACLE   ? oracle_slots(c->impl)
                                                   : dataset_slots(c->impl);
    if (!s.all)
        return differs(m, err, "the table of %s '%s' is not complete; expected %s", kind_name(c->kind), c->id,
                       s.names);
    return DAL_OK;
}

/* ---- parameters ---- */

static size_t member_size(uint32_t type)
{
    static const size_t sizes[] = {
        [DAL_PARAM_BOOL] = sizeof(int32_t),      [DAL_PARAM_I64] = sizeof(int64_t),
        [DAL_PARAM_F64] = sizeof(double),        [DAL_PARAM_STR] = sizeof(char *),
        [DAL_PARAM_PATH] = sizeof(char *),       [DAL_PARAM_CHOICE] = sizeof(uint32_t),
        [DAL_PARAM_I64S] = sizeof(dal_i64_list), [DAL_PARAM_F64S] = sizeof(dal_f64_list),
        [DAL_PARAM_STRS] = sizeof(dal_str_list), [DAL_PARAM_COMPONENT] = sizeof(void *),
        [DAL_PARAM_COMPONENTS] = sizeof(dal_ref_list), [DAL_PARAM_PATHS] = sizeof(dal_str_list),
    };
    return type < sizeof sizes / sizeof *sizes ? sizes[type] : 0;
}

static dal_status check_param(const module *m, const component_desc *d, const dal_component *c, int i,
                              dal_error *err)
{
    const dal_param *p = (const dal_param *)(const void *)((const char *)c->params + (size_t)i * c->param_size);
    const param_desc *n = &d->params[i];
    if (p->struct_size < LEAST(dal_param, offset) || p->struct_size > c->param_size)
        return differs(m, err, "parameter %d of '%s' has a size of %u bytes", i, c->id, p->struct_size);
    if (!equal(p->name, n->name) || p->type != n->type || !equal(p->def, n->def) ||
        !equal(p->domain, n->domain) || !equal(p->unit, n->unit) || !equal(p->summary, n->summary))
        return differs(m, err, "parameter '%s' of '%s' is not the one its note tells of", n->name, c->id);
    const size_t size = member_size(p->type);
    if (size == 0 || p->offset > c->options_size || size > c->options_size - p->offset ||
        p->offset % (size < sizeof(void *) ? size : sizeof(void *)))
        return differs(m, err, "parameter '%s' of '%s' lies outside its options struct", p->name, c->id);
    return DAL_OK;
}

/* ---- components ---- */

static dal_status check_component(const module *m, const component_desc *d, const dal_component *c,
                                  dal_error *err)
{
    if (!equal(c->summary, d->summary) || !equal(c->reference, d->reference) || !equal(c->needs, d->needs) ||
        !equal(c->provides, d->provides))
        return differs(m, err, "%s '%s' is not the one its note tells of (summary, reference, needs, provides)",
                       kind_name(d->kind), d->id);
    if (c->n_params != d->n_params)
        return differs(m, err, "%s '%s' has %lld parameters, its note %d", kind_name(d->kind), d->id,
                       (long long)c->n_params, d->n_params);
    if (c->options_size > MAX_OPTIONS || (c->n_params > 0 && !c->params) ||
        c->param_size < LEAST(dal_param, offset) || c->param_size > MOST ||
        c->param_size % _Alignof(dal_param))
        return differs(m, err, "%s '%s' has impossible parameter or option sizes", kind_name(d->kind), d->id);
    for (int i = 0; i < d->n_params; i++) {
        const dal_status st = check_param(m, d, c, i, err);
        if (st)
            return st;
    }
    return check_impl(m, c, err);
}

const dal_component *live_component(const dal_plugin *p, const component_desc *d)
{
    for (int i = 0; i < NOTE_MAX_COMPONENTS && p->components[i]; i++)
        if (p->components[i]->kind == d->kind && equal(p->components[i]->id, d->id))
            return p->components[i];
    return NULL;
}

static dal_status check_plugin(const module *m, const dal_plugin *p, dal_error *err)
{
    const note_info *n = &m->note;
    if (p->struct_size < LEAST(dal_plugin, fini) || p->struct_size > MOST)
        return differs(m, err, "its symbol's table has %u bytes; expected at least %zu", p->struct_size,
                       LEAST(dal_plugin, fini));
    if (p->abi_major != n->abi_major || p->abi_minor != n->abi_minor)
        return differs(m, err, "it speaks ABI %u.%u, its note says %d.%d", p->abi_major, p->abi_minor,
                       n->abi_major, n->abi_minor);
    if (!equal(p->module, n->module) || !equal(p->version, n->version) || !equal(p->licence, n->licence))
        return differs(m, err, "its module name, version or licence is not its note's");
    if (!p->components)
        return differs(m, err, "it has no list of components");
    return DAL_OK;
}

/* Components of a kind the note parser passed over are passed over here. */
static dal_status check_count(const module *m, const dal_plugin *p, dal_error *err)
{
    int n = 0;
    for (int i = 0; p->components[i]; i++) {
        const dal_component *c = p->components[i];
        if (i == NOTE_MAX_COMPONENTS || c->struct_size < LEAST(dal_component, options_size) ||
            c->struct_size > MOST || !c->id)
            return differs(m, err, "component %d is not a component", i);
        n += c->kind >= DAL_KIND_DATASET && c->kind <= DAL_KIND_ORACLE;
    }
    if (n != m->note.n_components)
        return differs(m, err, "it has %d components, its note %d", n, m->note.n_components);
    return DAL_OK;
}

dal_status live_check(const module *m, const dal_plugin *p, dal_error *err)
{
    dal_status st = check_plugin(m, p, err);
    if (st == DAL_OK)
        st = check_count(m, p, err);
    for (int i = 0; st == DAL_OK && i < m->note.n_components; i++) {
        const component_desc *d = &m->note.components[i];
        const dal_component *c = live_component(p, d);
        st = c ? check_component(m, d, c, err)
               : differs(m, err, "it lacks the %s '%s' of its note", kind_name(d->kind), d->id);
    }
    return st;
}
