/* check/strategy.h: one selection of the strategy under test, with everything it returned. */
#ifndef DAL_CHECK_STRATEGY_H
#define DAL_CHECK_STRATEGY_H

#include "check/stage.h"

typedef struct picking {
    dal_status status;
    dal_error err;
    int64_t want, n;
    int64_t *ids;
    double *scores;
    char reason[256];
    double *all; /* of every candidate; NULL for a strategy of select shape */
    int64_t n_candidates;
} picking;

/* Skips the test when the strategy needs what a made-up world cannot show. */
void strategy_check_needs(const subject *s);
/* Run prepare and score or select over `sets` of the stage's world. Writing outside the buffers fails the
 * test. picking_free in any case. */
void strategy_pick(stage *st, const row_sets *sets, int64_t round, int64_t want, picking *out);
void picking_free(picking *p);
/* Fails the test unless the picks are distinct candidates, as many as asked (or fewer with a reason), and no
 * score is NaN. */
void picking_check(const picking *p, const row_sets *sets);
/* Fails the test unless both are the same bits. */
void picking_same(const picking *a, const picking *b, const char *when);

#endif
