/* manifest/manifest.h: a YAML manifest as a typed, fully checked description of runs.
 *
 *     dalhost: 1                      # version of this format (required)
 *     name: fashion                   # default: the file's base name
 *     seed: 1                         # default 1
 *     trials: 1                       # run t uses seed + t
 *     dataset: {use: idx, train_images: ...}
 *     transforms: [{use: scale}]      # applied in this order; default none
 *     model: {use: mlp, hidden: [100]}
 *     strategy: margin                # a component, or a list: one run each, same initial set
 *     oracle: simulated               # default: the one that answers from the dataset's own labels
 *     initial: {size: 100, balanced: false}        # at least 1: nothing is trained on nothing; or
 *                                     # {size: 100, strategy: ID}: chosen by the inputs, asked of the oracle
 *     query: {size: 100, rounds: 10, candidates: 0, over_memory: refuse}     # or subsample
 *     stop: {accuracy: 0.95, labels: 0, cost: 0}   # 0: no such rule
 *     train: {warm_start: false}
 *     record: {models: last, nearest: true, explain: false}    # models: none|last|all
 *     memory: 0                       # bytes a strategy may take (suffixes K M G); 0: no bound
 *
 * The values above are the defaults, but those of name, dataset, model, strategy and stop (no rule).
 * A component is its id, or a mapping with `use`, perhaps `from` (the module), and its parameters;
 * where a list of components is wanted, one alone will do. Where a dataset is wanted, the name of a card
 * (manifest/card.h) stands for the loader and the parameters in it; a component of the same name comes first. A dataset
 * inside a component, as the `with` of concat, may bring its own `transforms` along.
 * Everything is checked against the notes of the installed modules; nothing is loaded. All faults are
 * reported, not only the first.
 */
#ifndef DALHOST_MANIFEST_MANIFEST_H
#define DALHOST_MANIFEST_MANIFEST_H

#include "manifest/card.h"
#include "registry/registry.h"
#include "util/diag.h"

typedef struct component_spec component_spec;

/* One value, typed after the component's declaration. Lists are arrays of n. */
typedef struct param_value {
    const param_desc *desc;
    place at;      /* of the value in the manifest; line 0 when defaulted */
    bool given;
    int64_t n;     /* items of a list type; 1 or 0 (empty) for COMPONENT */
    int32_t boolean;
    uint32_t choice;
    const int64_t *i64;              /* I64 (1), I64S */
    const double *f64;               /* F64 (1), F64S */
    const char *const *str;          /* STR, PATH (1, resolved), STRS, PATHS (resolved) */
    component_spec *const *component; /* COMPONENT (1), COMPONENTS */
} param_value;

struct component_spec {
    uint32_t kind;
    const component_desc *desc;
    place at;
    const param_value *values; /* one per desc->params, same order, defaults filled in */
    const card *card;          /* that named it; NULL: none */
    component_spec *const *transforms; /* [n_transforms] of a dataset inside a component, in the order applied: whoever
                                          opens it gets it with them */
    int n_transforms;
};

/* What host->open is given is a component_spec in disguise. */
static inline const dal_component_ref *spec_ref(const component_spec *s)
{
    return (const dal_component_ref *)(const void *)s;
}
static inline const component_spec *ref_spec(const dal_component_ref *r)
{
    return (const component_spec *)(const void *)r;
}

typedef enum keep_models { KEEP_NONE, KEEP_LAST, KEEP_ALL } keep_models;
typedef enum over_memory { OVER_MEMORY_REFUSE, OVER_MEMORY_SUBSAMPLE } over_memory;

typedef struct manifest {
    const char *path, *name;
    uint64_t seed;
    int64_t trials;
    component_spec *dataset, *model, *oracle;
    component_spec **transforms;
    int n_transforms;
    component_spec **strategies;
    int n_strategies;
    int64_t initial_size;
    bool initial_balanced;
    component_spec *initial_strategy; /* NULL: at random */
    int64_t query_size, rounds, candidates; /* candidates 0: the whole pool */
    over_memory over_memory; /* what becomes of a strategy that needs more than `memory` */
    double stop_accuracy, stop_cost;        /* 0: none */
    int64_t stop_labels;
    bool warm_start;
    keep_models keep;
    bool record_nearest, record_explain;
    int64_t memory;
    place at_initial, at_query, at_stop, at_train, at_record; /* of the values, for later complaints */
    place at_initial_size, at_query_size, at_rounds;
    /* The manifest after --set and defaults, as canonical JSON: what the run store keeps, and what
     * decides whether two runs are the same. Without the keys that do not change results (name, trials,
     * and memory unless over_memory is subsample), and without `strategy`, of which each run has one of its own; paths
     * are absolute. */
    const char *effective;
} manifest;

typedef struct manifest_options {
    const char *const *sets; /* "model.hidden=[50]", "transforms.0.size=5", applied before checking */
    int n_sets;
    const char *const *data_path; /* where PATH parameters of domain file|directory are searched */
    int n_data_path;
    cards *cards; /* datasets known by name; NULL: none. Must outlive the manifest */
} manifest_options;

/* Read a file ("-": standard input), or a text that has no file (builtin, named `path` in messages). NULL
 * when there is any error in d. Limits: 16 MiB of text, 64 levels, 100,000 nodes, aliases refused. */
manifest *manifest_read(const char *path, const char *builtin, const registry *r,
                        const manifest_options *options, diags *d);
void manifest_free(manifest *m);

/* A component given outside a manifest (`dalhost select --strategy ID --set k=v`): sets[n] are k=v. */
component_spec *spec_from_sets(uint32_t kind, const char *id, const char *const *sets, int n,
                               const registry *r, diags *d);
void spec_free(component_spec *s); /* only for spec_from_sets */

/* A dataset with the transforms of its card, as a manifest without anything else (effective is NULL): `id` is a card
 * or a component, options->sets are parameters. NULL when there is any error in d. */
manifest *manifest_of_dataset(const char *id, const registry *r, const manifest_options *options, diags *d);

/* Fill an options struct for the live component (live->options_size bytes, zeroed, 16-aligned; caller frees
 * with free). Members point into the spec. Fails when live parameters differ from the note's. */
dal_status spec_options(const component_spec *s, const dal_component *live, void **options,
                        dal_error *err);

/* Values as text, as they would stand in a manifest: for `runs show`, check. Caller frees. */
char *param_value_text(const param_value *v);
/* The capabilities that a component with these parameters needs, without those of strategies that it runs, and with
 * them; each once. Caller frees. */
char *spec_own_needs(const component_spec *s);
char *spec_needs(const component_spec *s);
/* {"use":"mlp","from":"mlp","version":"0.1.0","hidden":[100],...} with defaults. Caller frees. */
char *spec_json(const component_spec *s);

/* JSON Schema (2020-12) of the manifest with the parameters of what is installed and the names of cards (NULL: of
 * none). Caller frees. */
char *manifest_schema(const registry *r, cards *c);

/* Does x lie in a declared interval? For conformance tests. NULL: yes; else what was expected. */
const char *domain_check_f64(const char *domain, double x, char out[96]);
/* Bounds of an interval domain; where there is none, +-INFINITY. 0 when malformed. */
int domain_interval(const char *domain, double *low, int *low_open, double *high, int *high_open);

/* The keys that are no component's parameters, in the order of their table: section "" and no `what` for those at the
 * top of a manifest; `what`: what the section is about. All live as long as the program. */
void manifest_each_key(void (*key)(void *ctx, const char *section, const char *what, const param_desc *p), void *ctx);

#endif
