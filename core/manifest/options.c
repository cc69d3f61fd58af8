/* From a component's values to the options struct its plugin reads. */
#include <stdlib.h>

#include "manifest/manifest.h"

/* Member sizes by type, as plugin.h promises them. */
static size_t member_size(uint32_t type)
{
    static const size_t size[] = {
        [DAL_PARAM_BOOL] = sizeof(int32_t),
        [DAL_PARAM_I64] = sizeof(int64_t),
        [DAL_PARAM_F64] = sizeof(double),
        [DAL_PARAM_STR] = sizeof(char *),
        [DAL_PARAM_PATH] = sizeof(char *),
        [DAL_PARAM_CHOICE] = sizeof(uint32_t),
        [DAL_PARAM_I64S] = sizeof(dal_i64_list),
        [DAL_PARAM_F64S] = sizeof(dal_f64_list),
        [DAL_PARAM_STRS] = sizeof(dal_str_list),
        [DAL_PARAM_COMPONENT] = sizeof(void *),
        [DAL_PARAM_COMPONENTS] = sizeof(dal_ref_list),
        [DAL_PARAM_PATHS] = sizeof(dal_str_list),
    };
    return type < sizeof size / sizeof *size ? size[type] : 0;
}

/* Parameter i of a live table whose entries may be longer than ours. */
static const dal_param *live_param(const dal_component *live, int64_t i)
{
    return (const dal_param *)(const void *)((const char *)live->params + (size_t)i * live->param_size);
}

static bool same(const char *note, const char *live)
{
    return live && strcmp(note, live) == 0;
}

static dal_status check_live(const component_desc *c, const dal_component *live, dal_error *err)
{
    if (live->n_params != c->n_params)
        return dal_fail(err, DAL_E_CONTRACT, "",
                        "'%s' in %s has %lld parameters, but its note lists %d; rebuild it", c->id,
                        c->module->path, (long long)live->n_params, c->n_params);
    if (c->n_params > 0 && (!live->params || live->param_size < sizeof(dal_param) ||
                            live->param_size % _Alignof(dal_param) != 0))
        return dal_fail(err, DAL_E_CONTRACT, "",
                        "'%s' in %s has a parameter table of the wrong size; rebuild it", c->id,
                        c->module->path);
    for (int i = 0; i < c->n_params; i++) {
        const param_desc *p = &c->params[i];
        const dal_param *q = live_param(live, i);
        if (!same(p->name, q->name) || p->type != q->type || !same(p->def, q->def) ||
            !same(p->domain, q->domain))
            return dal_fail(err, DAL_E_CONTRACT, p->name,
                            "parameter '%s' of '%s' in %s differs from what its note says; rebuild it",
                            p->name, c->id, c->module->path);
        const size_t size = member_size(p->type);
        if (size == 0 || q->offset > live->options_size || live->options_size - q->offset < size)
            return dal_fail(err, DAL_E_CONTRACT, p->name,
                            "parameter '%s' of '%s' in %s lies outside its options struct; rebuild it",
                            p->name, c->id, c->module->path);
    }
    return DAL_OK;
}

/* memcpy: nobody promises that a foreign offset is aligned. */
static void fill(void *member, const param_value *v)
{
    const dal_i64_list i64s = {v->i64, v->n};
    const dal_f64_list f64s = {v->f64, v->n};
    const dal_str_list strs = {v->str, v->n};
    /* a list of specs is a list of references: both are pointers to the same objects */
    const dal_ref_list refs = {(const dal_component_ref *const *)(const void *)v->component, v->n};
    const dal_component_ref *ref = v->component && v->n ? spec_ref(v->component[0]) : NULL;
    const void *from = NULL;
    switch (v->desc->type) {
    case DAL_PARAM_BOOL:
        from = &v->boolean;
        break;
    case DAL_PARAM_CHOICE:
        from = &v->choice;
        break;
    case DAL_PARAM_I64:
        from = v->i64;
        break;
    case DAL_PARAM_F64:
        from = v->f64;
        break;
    case DAL_PARAM_STR:
    case DAL_PARAM_PATH:
        from = v->str;
        break;
    case DAL_PARAM_I64S:
        from = &i64s;
        break;
    case DAL_PARAM_F64S:
        from = &f64s;
        break;
    case DAL_PARAM_STRS:
    case DAL_PARAM_PATHS:
        from = &strs;
        break;
    case DAL_PARAM_COMPONENT:
        from = &ref;
        break;
    default:
        from = &refs;
    }
    memcpy(member, from, member_size(v->desc->type));
}

dal_status spec_options(const component_spec *s, const dal_component *live, void **options,
                        dal_error *err)
{
    const dal_status st = check_live(s->desc, live, err);
    if (st != DAL_OK)
        return st;
    if (live->options_size > SIZE_MAX - 32)
        return dal_fail(err, DAL_E_CONTRACT, "",
                        "'%s' in %s has an options struct without end; rebuild it", s->desc->id,
                        s->desc->module->path);
    const size_t bytes = (live->options_size + 16) / 16 * 16;
    char *block = aligned_alloc(16, bytes);
    if (!block)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for the options of '%s'", s->desc->id);
    memset(block, 0, bytes);
    for (int i = 0; i < s->desc->n_params; i++)
        fill(block + live_param(live, i)->offset, &s->values[i]);
    *options = block;
    return DAL_OK;
}
