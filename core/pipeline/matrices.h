/* pipeline/matrices.h: ready matrices as a provider: the data behind `dalhost select`.
 *
 * Candidates are the rows 0..n-1; labelled samples are numbered n..n+n_l-1.
 */
#ifndef DALHOST_PIPELINE_MATRICES_H
#define DALHOST_PIPELINE_MATRICES_H

#include <dal/npy.h>

#include "pipeline/provider.h"

typedef struct matrix_files {
    const char *probs, *logits, *features, *mc, *last_layer, *labelled_features, *labelled_classes,
        *labelled_outputs; /* of the kind of the candidates */
    const char *groups;
} matrix_files;

typedef struct matrices {
    provider base;
    dal_npy *outputs, *features, *mc_file, *last_layer_file, *labelled_file, *classes_file, *labelled_outputs_file,
        *groups_file;
    matrix_files given;
    dal_matrix mc, weights, labelled, labelled_outputs;
    float *own_mc, *own_weights, *own_labelled, *own_labelled_outputs, *bias;
    int64_t n, n_labelled, passes;
    int32_t *classes; /* [n_labelled] or NULL */
    int32_t *groups;  /* [n + n_labelled] or NULL; those of labelled samples are not known */
    char **group_names; /* [base.n_groups], NULL-ended */
} matrices;

/* Map the files and check their shapes against each other; every fault goes to d. matrices_close in any
 * case. n_known: rows told otherwise (an ids file), -1 when not. */
dal_status matrices_open(matrices *m, const matrix_files *files, int64_t n_known, const dal_host *host, diags *d);
void matrices_close(matrices *m);

/* NULL when capability `id` is there, or its file was given but is faulty; else what to give on the command
 * line. */
const char *matrices_missing(const matrices *m, const char *capability);

/* What to give `select` for a capability; NULL: it cannot offer it. */
const char *matrices_advice(const char *capability);

#endif
