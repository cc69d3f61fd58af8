/* report/curve.h: learning curves drawn with characters. */
#ifndef DALHOST_REPORT_CURVE_H
#define DALHOST_REPORT_CURVE_H

#include <dal/base.h>

#include "report/terminal.h"

typedef struct curve_series {
    const char *name;
    const double *x, *y; /* [n] x ascending; points with a y that is not finite are left out */
    int64_t n;
} curve_series;

/* All series in one frame of at most 72 x 16 characters beside the labels, and a legend when there are
 * several (after 8 the marks repeat). Prints nothing when no point is finite. */
void curve_print(FILE *out, const curve_series *series, int n, const char *x_title, const char *y_title,
                 terminal to);

#endif
