/* nearest.h: (libdal, private) the squared distance from each of many rows to the nearest of other rows. */
#ifndef DAL_LIB_NEAREST_H
#define DAL_LIB_NEAREST_H

#include <dal/base.h>
#include <dal/host.h>

/* ||x||^2 of each row into norms [rows]. DAL_E_INVALID naming `what` and the row when a value is not
 * finite, or so large that a squared distance could overflow. */
dal_status nearest_norms(const dal_host *host, const dal_matrix *x, const char *what, float *norms,
                         dal_error *err);

/* m[i] = min(m[i], dal_squared_distance of row i of x and every row of y), exactly. norms: of x. */
dal_status nearest_update(const dal_host *host, const dal_matrix *x, const float *norms, const dal_matrix *y,
                          float *m, dal_error *err);

#endif
