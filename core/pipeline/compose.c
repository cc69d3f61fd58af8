#include "pipeline/compose.h"

#include <dal/dataset.h>
#include <dal/model.h>
#include <dal/oracle.h>
#include <dal/strategy.h>
#include <stdlib.h>

#include "registry/blame.h"
#include "util/text.h"

struct composer {
    registry *registry;
    dal_runtime *runtime;
    composer_events events;
};

/* ---- the runtime's callbacks ---- */

static dal_status open_for_plugin(void *ctx, const dal_host *host, const dal_component_ref *ref,
                                  const void *arg, const dal_instance **out, dal_error *err)
{
    (void)host;
    if (!ref)
        return dal_fail(err, DAL_E_INVALID, "", "no component was given");
    return composer_open(ctx, ref_spec(ref), arg, out, err);
}

static void close_for_plugin(void *ctx, const dal_instance *instance)
{
    composer_close(ctx, instance);
}

static void log_event(void *ctx, const char *component, uint32_t level, const char *line)
{
    const composer *c = ctx;
    c->events.log(c->events.ctx, component, level, line);
}

static void progress_event(void *ctx, const char *component, int64_t done, int64_t total, const char *what)
{
    const composer *c = ctx;
    c->events.progress(c->events.ctx, component, done, total, what);
}

static int32_t cancelled_event(void *ctx)
{
    const composer *c = ctx;
    return c->events.cancelled(c->events.ctx);
}

/* ---- life ---- */

dal_status composer_new(registry *r, int32_t threads, uint64_t seed, const composer_events *events,
                        composer **out, dal_error *err)
{
    composer *c = xcalloc(1, sizeof *c);
    c->registry = r;
    if (events)
        c->events = *events;
    const dal_runtime_config config = {
        .struct_size = sizeof config,
        .threads = threads,
        .seed = seed,
        .ctx = c,
        .log = c->events.log ? log_event : NULL,
        .progress = c->events.progress ? progress_event : NULL,
        .cancelled = c->events.cancelled ? cancelled_event : NULL,
        .open = open_for_plugin,
        .close = close_for_plugin,
        .fail_alloc = c->events.fail_alloc,
    };
    c->runtime = dal_runtime_new(&config, err);
    if (!c->runtime) {
        free(c);
        return DAL_E_FAILED;
    }
    *out = c;
    return DAL_OK;
}

void composer_free(composer *c)
{
    if (!c)
        return;
    dal_runtime_free(c->runtime);
    free(c);
}

dal_runtime *composer_runtime(const composer *c)
{
    return c->runtime;
}

const dal_host *composer_host(const composer *c, const char *name)
{
    return dal_runtime_host(c->runtime, name);
}

/* ---- words ---- */

const char *spec_title(const component_spec *spec, char out[96])
{
    snprintf(out, 96, "%s '%s'", kind_name(spec->desc->kind), spec->desc->id);
    return out;
}

place spec_place(const component_spec *spec, const dal_error *err)
{
    for (int i = 0; err && *err->key && i < spec->desc->n_params; i++)
        if (strcmp(spec->values[i].desc->name, err->key) == 0 && spec->values[i].given)
            return spec->values[i].at;
    return spec->at;
}

void tell_who(const component_desc *c, dal_error *err)
{
    char title[96], words[sizeof err->text];
    snprintf(title, sizeof title, "%s '%s'", kind_name(c->kind), c->id);
    if (strstr(err->text, title))
        return;
    memcpy(words, err->text, sizeof words);
    snprintf(err->text, sizeof err->text, "%s: %.*s", title, (int)(sizeof words - sizeof title - 2), words);
}

void call_begin(const component_desc *c, const char *slot)
{
    blame_push(kind_name(c->kind), c->id, c->module->name, c->module->path, slot);
}

dal_status call_end(const component_desc *c, const char *slot, dal_status st, dal_error *err)
{
    blame_pop();
    if (st == DAL_OK)
        return DAL_OK;
    if (st > 0 || st < DAL_E_PENDING)
        st = DAL_E_FAILED;
    if (!err)
        return st;
    err->status = st;
    if (*err->text)
        tell_who(c, err);
    else
        snprintf(err->text, sizeof err->text, "%s '%s' failed in %s without saying why (status %d)",
                 kind_name(c->kind), c->id, slot, (int)st);
    return st;
}

/* ---- opening ---- */

/* Slots a table cannot do without. Every slot is a pointer to a function. */
typedef struct slot {
    uint32_t kind;
    const char *name;
    size_t offset;
} slot;

#define SLOT(kind, type, member) {kind, #member, offsetof(type, member)}
static const slot mandatory[] = {
    SLOT(DAL_KIND_DATASET, dal_dataset_impl, create), SLOT(DAL_KIND_DATASET, dal_dataset_impl, destroy),
    SLOT(DAL_KIND_DATASET, dal_dataset_impl, info),   SLOT(DAL_KIND_DATASET, dal_dataset_impl, classes),
    SLOT(DAL_KIND_DATASET, dal_dataset_impl, read),   SLOT(DAL_KIND_MODEL, dal_model_impl, create),
    SLOT(DAL_KIND_MODEL, dal_model_impl, destroy),    SLOT(DAL_KIND_MODEL, dal_model_impl, fit),
    SLOT(DAL_KIND_MODEL, dal_model_impl, predict),    SLOT(DAL_KIND_MODEL, dal_model_impl, save),
    SLOT(DAL_KIND_MODEL, dal_model_impl, load),       SLOT(DAL_KIND_ORACLE, dal_oracle_impl, create),
    SLOT(DAL_KIND_ORACLE, dal_oracle_impl, destroy),  SLOT(DAL_KIND_ORACLE, dal_oracle_impl, label),
};

static bool has_slot(const void *impl, size_t offset)
{
    uint32_t size;
    void (*f)(void);
    memcpy(&size, impl, sizeof size);
    if (size < offset + sizeof f)
        return false;
    memcpy(&f, (const char *)impl + offset, sizeof f);
    return f != NULL;
}

static const char *strategy_fault(const dal_strategy_impl *s)
{
    const bool score = DAL_HAS(dal_strategy_impl, s, score), select = DAL_HAS(dal_strategy_impl, s, select);
    const bool create = DAL_HAS(dal_strategy_impl, s, create), end = DAL_HAS(dal_strategy_impl, s, destroy);
    const bool save = DAL_HAS(dal_strategy_impl, s, save), load = DAL_HAS(dal_strategy_impl, s, load);
    return score == select   ? "exactly one of score and select"
           : create != end ? "both or neither of create and destroy"
           : save != load  ? "both or neither of save and load"
                           : NULL;
}

/* What a table lacks, or NULL. */
static const char *missing_slot(uint32_t kind, const void *impl)
{
    if (!impl)
        return "its table";
    if (kind == DAL_KIND_STRATEGY)
        return strategy_fault(impl);
    const uint32_t like = kind == DAL_KIND_TRANSFORM ? DAL_KIND_DATASET : kind;
    for (size_t i = 0; i < sizeof mandatory / sizeof *mandatory; i++)
        if (mandatory[i].kind == like && !has_slot(impl, mandatory[i].offset))
            return mandatory[i].name;
    return NULL;
}

static dal_status create(const live_instance *o, const dal_host *host, const void *arg, void **self, dal_error *err)
{
    switch (o->base.kind) {
    case DAL_KIND_DATASET:
    case DAL_KIND_TRANSFORM:
        return ((const dal_dataset_impl *)o->base.impl)->create(host, o->options, arg, self, err);
    case DAL_KIND_MODEL:
        return ((const dal_model_impl *)o->base.impl)->create(host, o->options, arg, self, err);
    case DAL_KIND_ORACLE:
        return ((const dal_oracle_impl *)o->base.impl)->create(host, o->options, arg, self, err);
    default: {
        const dal_strategy_impl *s = o->base.impl;
        return DAL_HAS(dal_strategy_impl, s, create) ? s->create(host, o->options, self, err) : DAL_OK;
    }
    }
}

static void destroy(const live_instance *o)
{
    switch (o->base.kind) {
    case DAL_KIND_DATASET:
    case DAL_KIND_TRANSFORM:
        ((const dal_dataset_impl *)o->base.impl)->destroy(o->base.self);
        break;
    case DAL_KIND_MODEL:
        ((const dal_model_impl *)o->base.impl)->destroy(o->base.self);
        break;
    case DAL_KIND_ORACLE:
        ((const dal_oracle_impl *)o->base.impl)->destroy(o->base.self);
        break;
    default:
        if (DAL_HAS(dal_strategy_impl, (const dal_strategy_impl *)o->base.impl, destroy))
            ((const dal_strategy_impl *)o->base.impl)->destroy(o->base.self);
    }
}

static void join_needs(live_instance *o, const component_spec *spec)
{
    o->needs = spec_needs(spec);
    o->joined = *o->base.component;
    o->joined.struct_size = sizeof o->joined;
    o->joined.needs = o->needs;
    o->base.component = &o->joined;
}

static void drop(live_instance *o)
{
    free(o->options);
    free(o->needs);
    free(o);
}

/* A transform is no better than what it wraps. */
static void join_below(live_instance *o, const dal_instance *below)
{
    o->below = below;
    o->input = (dal_dataset){below->impl, below->self};
    if (instance_is_concurrent(below))
        return;
    o->joined = *o->base.component;
    o->joined.struct_size = sizeof o->joined;
    o->joined.provides = "";
    o->base.component = &o->joined;
}

/* below: the instance that a transform wraps and, once open, closes; NULL: arg is what it wraps. */
static dal_status open_one(composer *c, const component_spec *spec, const void *arg, const dal_instance *below,
                           const dal_instance **out, dal_error *err)
{
    const component_desc *desc = spec->desc;
    const dal_host *host = dal_runtime_host(c->runtime, desc->id);
    if (!host)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for %s '%s'", kind_name(desc->kind), desc->id);
    const dal_component *live = registry_load(c->registry, desc, host, err);
    if (!live)
        return err->status ? err->status : DAL_E_FAILED;
    const char *missing = missing_slot(desc->kind, live->impl);
    if (missing)
        return dal_fail(err, DAL_E_CONTRACT, "", "%s '%s' of %s lacks %s", kind_name(desc->kind), desc->id,
                        desc->module->path, missing);
    live_instance *o = xcalloc(1, sizeof *o);
    o->base = (dal_instance){sizeof *o, desc->kind, live, live->impl, NULL};
    o->desc = desc;
    dal_status st = spec_options(spec, live, &o->options, err);
    if (desc->kind == DAL_KIND_STRATEGY)
        join_needs(o, spec);
    if (below)
        join_below(o, below);
    if (st == DAL_OK)
        st = CALL(desc, create, create(o, host, below ? &o->input : arg, &o->base.self, err), err);
    if (st != DAL_OK) {
        drop(o);
        return st;
    }
    *out = &o->base;
    return DAL_OK;
}

dal_status composer_open(composer *c, const component_spec *spec, const void *arg, const dal_instance **out,
                         dal_error *err)
{
    const dal_instance *top = NULL;
    dal_status st = open_one(c, spec, arg, NULL, &top, err);
    for (int i = 0; st == DAL_OK && i < spec->n_transforms; i++)
        st = open_one(c, spec->transforms[i], NULL, top, &top, err);
    if (st == DAL_OK)
        *out = top;
    else
        composer_close(c, top);
    return st;
}

void composer_close(composer *c, const dal_instance *instance)
{
    (void)c;
    while (instance) {
        live_instance *o = (live_instance *)(uintptr_t)instance; /* made by composer_open, which wrote it */
        instance = o->below;
        call_begin(o->desc, "destroy");
        destroy(o);
        blame_pop();
        drop(o);
    }
}

bool instance_is_ours(const dal_instance *instance)
{
    return instance && instance->struct_size == sizeof(live_instance);
}

const component_desc *instance_desc(const dal_instance *instance)
{
    return ((const live_instance *)(const void *)instance)->desc;
}

const void *instance_options(const dal_instance *instance)
{
    return ((const live_instance *)(const void *)instance)->options;
}

bool instance_is_concurrent(const dal_instance *instance)
{
    return dal_has_word(instance->component->provides, DAL_CAP_CONCURRENT);
}
