/* A registry without files: a few components that have every kind of parameter, and some that are faulty.
 * Linked instead of core/registry, so that what the tests expect does not change with the built-in modules.
 */
#ifndef DALHOST_TESTS_FAKE_REGISTRY_H
#define DALHOST_TESTS_FAKE_REGISTRY_H

#include "registry/registry.h"

typedef enum fake_flavour {
    FAKE_USUAL,
    FAKE_NO_TRUTH,    /* no oracle answers from the dataset's labels */
    FAKE_TWO_TRUTHS,  /* two do */
    FAKE_EMPTY,       /* nothing is installed */
} fake_flavour;

/* Static; nothing to free. */
const registry *fake_registry(fake_flavour flavour);
/* The live side of strategy "wrap", model "mlp" and dataset "files": equal to what the registry says. */
const dal_component *fake_live(const char *id);

/* The options structs of those. */
typedef struct files_options {
    const char *images, *folder, *log;
    double noise;
    int64_t n;
    const char *label;
    dal_str_list parts;
} files_options;
typedef struct mlp_options {
    dal_i64_list hidden;
    uint32_t solver;
    double rate;
    int32_t early_stop;
    dal_str_list tags;
    dal_f64_list betas;
    int64_t cache;
} mlp_options;
typedef struct wrap_options {
    const dal_component_ref *base, *other;
    dal_ref_list more;
    const char *label;
} wrap_options;

#endif
