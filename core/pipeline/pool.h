/* pipeline/pool.h: what is known of each pool sample, and the lists a round works on. */
#ifndef DALHOST_PIPELINE_POOL_H
#define DALHOST_PIPELINE_POOL_H

#include <dal/host.h>
#include <stdbool.h>

#include "pipeline/view.h"
#include "store/store.h"

typedef enum sample_state { SAMPLE_UNLABELLED, SAMPLE_LABELLED, SAMPLE_OOD, SAMPLE_ABSTAINED,
                           SAMPLE_ASKED } sample_state;

typedef struct pool {
    int64_t n, n_classes, n_validation;
    uint8_t *state;   /* [n] sample_state */
    int32_t *classes; /* [n] of labelled ones */
    int64_t count[5]; /* per state */
    /* Index lists, ascending, after pool_lists. */
    int64_t *labelled, *ood, *unlabelled, *candidates, *validation;
    int32_t *labelled_classes;
    const int32_t *validation_classes; /* borrowed */
    int64_t n_candidates;
} pool;

/* validation: classes of the validation split [n_validation], borrowed. */
void pool_init(pool *p, int64_t n, int64_t n_classes, const int32_t *validation, int64_t n_validation);
void pool_fini(pool *p);

void pool_label(pool *p, int64_t id, int32_t cls);
/* Take over the answers of picks; pending ones become SAMPLE_ASKED. */
void pool_answer(pool *p, const pick *picks, int64_t n);
/* Make the lists; candidates: a uniform subset of that size drawn for this round, 0: all unlabelled. */
void pool_lists(pool *p, int64_t candidates, const dal_host *host, int64_t round);
/* `size` of from[n], ascending, at random: a fixed function of the host's seed and the round. */
void pool_draw_candidates(const int64_t *from, int64_t n, int64_t size, const dal_host *host, int64_t round,
                          int64_t *out);
row_sets pool_sets(const pool *p);

/* The initial set: `size` distinct samples among those whose class is known (0..C-1), ascending; balanced:
 * as even over the classes as they allow. The number drawn. */
int64_t pool_draw_initial(const pool *p, const int32_t *known, int64_t size, bool balanced, const dal_host *host,
                          int64_t *out);
/* `size` samples of the unlabelled list at random, in the order drawn (a query before there is a model). */
int64_t pool_draw_blind(const pool *p, int64_t size, const dal_host *host, int64_t round, int64_t *out);

#endif
