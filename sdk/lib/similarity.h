/* similarity.h: (libdal, private) similarities in float tiles, with a bound of what rounding took. */
#ifndef DAL_LIB_SIMILARITY_H
#define DAL_LIB_SIMILARITY_H

#include <dal/similarity.h>

#define SIM_TILE 256 /* rows of one side in a tile */

/* Consecutive rows of points, ready for matrix products. */
typedef struct sim_rows {
    const float *x, *y; /* y: NULL without */
    int64_t ldx, ldy;
    const double *squares;
    int64_t n;
} sim_rows;

/* Gathered rows: x and y packed. */
typedef struct sim_pack {
    sim_rows rows;
    float *x, *y;
    double *squares;
} sim_pack;

sim_rows sim_range(const dal_points *p, int64_t first, int64_t n);
/* Room for n gathered rows of the widths of p. 0 without memory; free in any case. */
int sim_pack_take(const dal_host *host, const dal_points *p, int64_t n, sim_pack *out);
void sim_pack_fill(sim_pack *k, const dal_points *p, const int64_t *rows, int64_t n);
void sim_pack_free(const dal_host *host, sim_pack *k);

/* out [a.n, b.n], rows `ld` apart; scratch: as large, used where there is a y (else may be NULL). b.n <= SIM_TILE.
 */
dal_status sim_tile(const dal_similarity *s, const dal_points *shape, const sim_rows *a, const sim_rows *b,
                    float *out, int64_t ld, float *scratch);
/* No entry of a tile with samples whose squares are at most a2 and b2 is farther from dal_alike than this. */
double sim_error(const dal_similarity *s, const dal_points *shape, double a2, double b2);

/* The largest square. */
double sim_largest(const dal_points *p);
/* x . w in a fixed order. */
double sim_mixed_dot(const float *x, const double *w, int64_t n);

#endif
