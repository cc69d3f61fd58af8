/* pipeline/explain.h: where picks lie: the labelled sample nearest to each, and what it stands for.
 *
 * Distances are those of the model's features; of the inputs as they are, when the model has no features and
 * they are vectors or images. Each is the root of dal_squared_distance, and the nearest is the nearest by it;
 * ties: the first of those compared with. Matrix products only tell which need not be measured, so nothing
 * depends on threads or tiles. Numbers that are not finite are near to nothing.
 */
#ifndef DALHOST_PIPELINE_EXPLAIN_H
#define DALHOST_PIPELINE_EXPLAIN_H

#include "pipeline/provider.h"
#include "store/store.h"

/* Where samples are compared. width 0: nowhere, for want of features and of dense inputs. */
typedef struct space {
    const provider *p;
    int64_t width;
} space;

/* spec: of the inputs, or NULL when only features count. */
space space_of(const provider *p, const dal_sample_spec *spec);

/* The nearest of labelled[n_labelled] to each of picks[n]: its pool index and the distance; -1 and NaN while
 * there is none. Memory: 4 (n + n_labelled) width bytes and some megabytes. [main] */
dal_status explain_nearest(const space *s, const int64_t *picks, int64_t n, const int64_t *labelled, int64_t n_labelled,
                           int64_t *nearest, double *distance, dal_error *err);

/* All of out[n] for picks[n], distinct members of candidates[n_candidates], which ascend. features: those of the
 * candidates where they lie ready, or NULL: they are computed. n_candidates x n x width multiplications; memory:
 * 4 n width bytes and a block of BLOCK_COMPUTED candidates a thread. [main] */
dal_status explain_picks(const space *s, const int64_t *picks, int64_t n, const int64_t *candidates,
                         int64_t n_candidates, const dal_matrix *features, explanation *out, dal_error *err);

#endif
