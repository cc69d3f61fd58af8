/* glister.h: a selection of glister, which its regularisers add their terms to.
 */
#ifndef GLISTER_H
#define GLISTER_H

#include <dal/gradient.h>
#include <dal/strategy.h>

#define TILE 256 /* rows in a task */

#define PLAIN 0u
#define RANDOM 1u
#define FACILITY_LOCATION 2u
#define DIVERSITY 3u

typedef struct glister_options {
    double eta;
    int64_t refresh;
    uint32_t regulariser;
    double lambda;
} glister_options;

/* One of the sets V is made of. */
typedef struct glister_part {
    dal_gradients g;  /* outputs: z, which move */
    float *z;         /* [n, c] logits */
    int32_t *classes; /* [n] labels */
} glister_part;

typedef struct glister {
    const dal_host *host;
    double eta;
    dal_gradients pool;
    double *norms;        /* [n] of the pool's gradients */
    glister_part parts[2];
    int n_parts;
    int64_t c, d, width;  /* width: d + 1 */
    double *sum;          /* [c, width] */
    float *r;             /* [c, width] */
    double *gains;        /* [n] */
    char *taken;          /* [n] */
    /* a step: moves of Z are eta H step' */
    float *a, *h;         /* [refresh, c], [refresh, d] of the latest picks */
    int64_t n_latest;
    const glister_options *opt;
    /* regularisers */
    double *base;         /* [n] <g_i, r>, exact */
    double *nearest;      /* [n] D */
    double *extra;        /* [n] facility location: what a pick would add, or once would have; diversity: the sum */
    char *fresh;          /* [n] facility location: looked at since the last pick */
} glister;

/* The row is picked as the i-th of this r: the factors of its gradient. */
void glister_keep_factors(glister *s, int64_t i, int64_t row);

/* [main] Memory and first bounds of facility location and diversity; nothing for the others. */
dal_status glister_begin_regulariser(glister *s, dal_error *err);
/* [main] The next k by facility location or diversity, one after the other, of the current r. */
dal_status glister_take_regularised(glister *s, int64_t k, int64_t *rows, double *scores, dal_error *err);
void glister_end_regulariser(glister *s);

#endif
