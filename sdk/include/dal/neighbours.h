/* dal/neighbours.h: (libdal) exact nearest neighbours, and how many there are within a radius.
 *
 * Distances are dal_squared_distance (or the sum of |x - y| in double); every answer is as if all of them were
 * computed, ties go to the lower row, and it is the same for any number of threads. Matrix products in tiles tell
 * which distances are worth computing. Never an n x m matrix.
 */
#ifndef DAL_NEIGHBOURS_H
#define DAL_NEIGHBOURS_H

#include <dal/host.h>

#ifdef __cplusplus
extern "C" {
#endif

#define DAL_EUCLIDEAN 0u /* squared */
#define DAL_MANHATTAN 1u

typedef struct dal_neighbours_problem {
    uint32_t struct_size;
    uint32_t metric;
    dal_matrix x; /* [n, d] whose neighbours */
    dal_matrix y; /* [m, d] among whom */
    int64_t k;
    int32_t self; /* not 0: x and y are the same rows, and none is its own neighbour */
    uint32_t reserved;
    /* Both or neither: only rows of y whose group differs from that of the row of x count. */
    const int32_t *x_groups; /* [n] */
    const int32_t *y_groups; /* [m] */
} dal_neighbours_problem;

/* [main] The k nearest of each row, nearest first: index [n, k] rows of y, distance [n, k]. Where there are fewer
 * than k, -1 and infinity. Memory: 4 (n + m) bytes and a megabyte or two a thread. DAL_E_INVALID: k < 1, widths
 * that differ, features that are not finite or whose distances leave the range of float. */
DAL_PUBLIC dal_status dal_neighbours(const dal_host *host, const dal_neighbours_problem *problem, int64_t *index,
                                     float *distance, dal_error *err);

/* [main] ||x||^2 of each row into norms [rows]. DAL_E_INVALID naming `what` and the row when a value is not
 * finite, or so large that a squared distance could overflow. */
DAL_PUBLIC dal_status dal_row_norms(const dal_host *host, const dal_matrix *x, const char *what, float *norms,
                                    dal_error *err);

/* [main] counts[i] += how many rows of y have a squared distance below `radius` from row i of x. Norms: of
 * dal_row_norms. O(n m d), O(1) memory. */
DAL_PUBLIC dal_status dal_count_within(const dal_host *host, const dal_matrix *x, const float *x_norms,
                                       const dal_matrix *y, const float *y_norms, float radius, int64_t *counts,
                                       dal_error *err);

/* [main] Rows of x at unit length into out [n, d], which may be where they are (if their stride is d); rows of
 * zeros stay so. Equal rows give equal rows. DAL_E_INVALID naming a row that is not finite. */
DAL_PUBLIC dal_status dal_unit_rows(const dal_host *host, const dal_matrix *x, float *out, dal_error *err);

#ifdef __cplusplus
}
#endif
#endif
