/* nnls.h: least squares with weights that may not be negative, one unknown more at a time.
 *
 *     min_{w >= 0} 1/2 w' K w - q' w
 *
 * by active sets (Lawson & Hanson, "Solving least squares problems", 1974, chapter 23): `passive` are the unknowns of
 * positive weight, K over these has the factor L. Rows of K and L are `room` apart.
 */
#ifndef NNLS_H
#define NNLS_H

#include <dal/host.h>

typedef struct nnls {
    int64_t n, room, n_passive;
    double *k, *l;    /* [room, room] */
    double *q, *w;    /* [room] */
    double *s;        /* [room] scratch */
    int64_t *passive; /* [room] */
} nnls;

/* Room for so many unknowns, of which there are none yet; 0 without memory. Give it back whatever the answer. */
int nnls_take(nnls *p, const dal_host *host, int64_t room);
void nnls_drop(nnls *p, const dal_host *host);
/* [any] After the caller has added unknown n - 1 (row and column of k, q, w = 0): w of all n, from the w of the
 * others. */
void nnls_minimise(nnls *p);

#endif
