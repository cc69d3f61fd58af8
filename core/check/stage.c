#include "check/stage.h"

#include <stdlib.h>

#include "check/work.h"
#include "util/text.h"

const world_shape small_world = {.candidates = 60, .labelled = 24, .c = 3, .d = 8};

static void describe(const dal_oracle_task *t, int64_t id, char *out, size_t size)
{
    (void)t;
    snprintf(out, size, "sample %lld", (long long)id);
}

/* The world's own numbers, as text. */
static const char *const *class_names(int64_t n)
{
    static const char *names[64];
    static char words[64][32];
    for (int64_t i = 0; i < n && i < 64; i++) {
        snprintf(words[i], sizeof words[i], "class %lld", (long long)i);
        names[i] = words[i];
    }
    return names;
}

static void make(stage *st, const rig *r, const world_shape *shape)
{
    const component_desc *c = r->s->component;
    world_shape own = *shape;
    own.seed = own.seed ? own.seed : r->s->seed;
    *st = (stage){.w = world_new(&own, rig_host(r))};
    st->dataset = world_dataset(st->w);
    snprintf(st->store, sizeof st->store, "%s/%s.sqlite", r->s->dir, c->id);
    st->task = (dal_oracle_task){.struct_size = sizeof st->task,
                                 .n_pool = st->w->n,
                                 .n_classes = own.c,
                                 .class_names = class_names(own.c),
                                 .store_path = st->store,
                                 .run = 1,
                                 .truth = dal_has_word(c->needs, DAL_CAP_TRUTH) ? st->w->classes : NULL,
                                 .describe = describe};
}

static const void *argument(const stage *st, uint32_t kind)
{
    return kind == DAL_KIND_MODEL       ? (const void *)&st->w->spec
           : kind == DAL_KIND_TRANSFORM ? (const void *)&st->dataset
           : kind == DAL_KIND_ORACLE    ? (const void *)&st->task
                                        : NULL;
}

/* A component may take some inputs only; then it says so with one of these. */
static bool not_for_it(uint32_t kind, dal_status status)
{
    return (kind == DAL_KIND_MODEL || kind == DAL_KIND_TRANSFORM) &&
           (status == DAL_E_UNSUPPORTED || status == DAL_E_INVALID);
}

const dal_instance *stage_exact(stage *st, rig *r, const world_shape *shape, dal_error *err)
{
    make(st, r, shape);
    const dal_status status = rig_try(r, argument(st, r->s->component->kind), &st->instance, err);
    rig_check_error(status, err, "create");
    return status == DAL_OK ? st->instance : NULL;
}

const dal_instance *stage_try(stage *st, rig *r, const world_shape *shape, dal_error *err)
{
    static const uint32_t kinds[] = {0, WORLD_IMAGES, WORLD_SPARSE, WORLD_TEXT};
    static const char *const names[] = {"vectors", "images", "sparse samples", "texts"};
    const uint32_t kind = r->s->component->kind, given = shape->flags & WORLD_KINDS;
    dal_status status = DAL_OK;
    text why = {0};
    for (int k = 0; k < (given ? 1 : 4); k++) {
        world_shape own = *shape;
        own.flags |= given ? 0 : kinds[k];
        make(st, r, &own);
        status = rig_try(r, argument(st, kind), &st->instance, err);
        rig_check_error(status, err, "create");
        if (!not_for_it(kind, status))
            break;
        text_addf(&why, "%s%s (%s)", k > 0 ? ", " : "", given ? "these samples" : names[k], err->text);
        stage_free(st);
    }
    if (not_for_it(kind, status))
        check_skip("takes none of: %s", why.s);
    text_free(&why);
    return status == DAL_OK ? st->instance : NULL;
}

void stage_open(stage *st, rig *r, const world_shape *shape)
{
    dal_error err;
    CHECK(stage_try(st, r, shape, &err), "create fails: %s%s%s", err.key, *err.key ? ": " : "", err.text);
}

void stage_close(stage *st, rig *r)
{
    rig_close(r, st->instance);
    st->instance = NULL;
}

void stage_free(stage *st)
{
    world_free(st->w);
    *st = (stage){0};
}

dal_status work_once(stage *st, rig *r, dal_error *err)
{
    *err = (dal_error)DAL_ERROR_INIT;
    switch (st->instance->kind) {
    case DAL_KIND_STRATEGY:
        return strategy_work(st, r, err);
    case DAL_KIND_MODEL:
        return model_work(st, r, err);
    case DAL_KIND_ORACLE:
        return oracle_work(st, r, err);
    default:
        return dataset_work(st, r, err);
    }
}
