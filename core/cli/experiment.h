/* cli/experiment.h: what `run` and `check` have in common: the manifest and everything it takes to read it. */
#ifndef DALHOST_CLI_EXPERIMENT_H
#define DALHOST_CLI_EXPERIMENT_H

#include "cli/cli.h"
#include "manifest/manifest.h"
#include "pipeline/trial.h"

typedef struct experiment {
    registry *registry;
    cards *cards;
    manifest *m;
    int64_t threads;
    diags *d; /* notes of what was read; errors were printed */
    char *own[3]; /* the manifest's file, --seed and --memory as --set: places in messages point there */
} experiment;

/* Options shared by run and check, for their tables. */
#define EXPERIMENT_OPTIONS                                                                                    \
    {"set", 0, "KEY=VALUE", true, "set a key of the manifest, as in model.hidden=[50] or strategy.use=entropy"}, \
    {"seed", 0, "N", false, "the seed of every random choice, instead of the manifest's"},                      \
    {"threads", 0, "N", false, "use N threads (default: as many as there are); results do not depend on it"},   \
    {"memory", 0, "SIZE", false, "refuse strategies that would need more memory, as in 512M or 4G "         \
                                   "(or give them fewer candidates: --set query.over_memory=subsample)"}

/* Reads operand 0: a file, "-" for standard input, or the name of a manifest that came with dalhost (none:
 * "glyphs"). EXIT_OK, or the code to return after everything that is wrong has been printed. */
int experiment_read(const cli_args *a, experiment *e);
void experiment_free(experiment *e);
/* The names of the manifests that came with the program, in order; freed by experiment_free_names. */
const char **experiment_manifests(int *n);
void experiment_free_names(const char **names, int n);
/* The file that a word without a slash names when it is none here: a manifest that came with the program. NULL:
 * "glyphs". Caller frees. */
char *find_manifest(const char *operand);

#endif
