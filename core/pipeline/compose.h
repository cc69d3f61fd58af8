/* pipeline/compose.h: turn the components a manifest names into open instances on one runtime.
 *
 * Everything a component may do to us is checked here: missing slots, failures without words.
 */
#ifndef DALHOST_PIPELINE_COMPOSE_H
#define DALHOST_PIPELINE_COMPOSE_H

#include <dal/runtime.h>

#include "manifest/manifest.h"
#include "registry/registry.h"

typedef struct composer composer;

/* What the user sees of components at work; all may be NULL. [any], serialised by the runtime. */
typedef struct composer_events {
    void *ctx;
    void (*log)(void *ctx, const char *component, uint32_t level, const char *text);
    void (*progress)(void *ctx, const char *component, int64_t done, int64_t total, const char *what);
    int32_t (*cancelled)(void *ctx);
    int64_t fail_alloc; /* for tests, see dal_runtime_config */
} composer_events;

/* threads 0: all there are. events is borrowed until composer_free. */
dal_status composer_new(registry *r, int32_t threads, uint64_t seed, const composer_events *events,
                        composer **out, dal_error *err);
void composer_free(composer *c); /* every instance must be closed; accepts NULL */

dal_runtime *composer_runtime(const composer *c);
/* Services for the host's own random choices, under this name. */
const dal_host *composer_host(const composer *c, const char *name);

/* Load, fill the options, create. `arg` is what that kind's create takes (see dal_host.open). A dataset that has
 * transforms of its own is opened with them: the instance is the last of these. */
dal_status composer_open(composer *c, const component_spec *spec, const void *arg,
                         const dal_instance **out, dal_error *err);
void composer_close(composer *c, const dal_instance *instance); /* accepts NULL */

/* Where in the manifest a component's failure belongs: the parameter err->key names, or the component. */
place spec_place(const component_spec *spec, const dal_error *err);
/* "dataset 'idx'" */
const char *spec_title(const component_spec *spec, char out[96]);

/* Call a slot of a component: CALL(desc, fit, model->fit(self, ...), err). A crash in it is told by name. What
 * comes back is understood: an unknown code is DAL_E_FAILED; the words of a failure name the component, and a
 * failure without words gets some. */
#define CALL(desc, slot, call, err) (call_begin((desc), #slot), call_end((desc), #slot, (call), (err)))
void call_begin(const component_desc *c, const char *slot);
dal_status call_end(const component_desc *c, const char *slot, dal_status st, dal_error *err);
/* Put "strategy 'margin': " in front of the words, unless these name the component already. */
void tell_who(const component_desc *c, dal_error *err);

/* What composer_open makes; `base` comes first, so that the two pointers are one. Its struct_size tells it from
 * an instance that a plugin made up. base.component->needs is all that it may read: a strategy that runs others
 * hands them views and answers, so what they need is there for it, too. */
typedef struct live_instance {
    dal_instance base;
    const component_desc *desc;
    void *options;
    dal_component joined; /* of a strategy that runs others: its component, with their needs beside its own; of a
                             transform in a component: without what the dataset below does not offer */
    char *needs;
    const dal_instance *below; /* of a transform in a component: what it wraps, and closes; else NULL */
    dal_dataset input;         /* likewise, as it was given it */
} live_instance;

bool instance_is_ours(const dal_instance *instance);
/* What its note tells of an instance of ours. */
const component_desc *instance_desc(const dal_instance *instance);
const void *instance_options(const dal_instance *instance);
bool instance_is_concurrent(const dal_instance *instance);

#endif
