/* report/summary.h: numbers over whole runs, and over their trials. */
#ifndef DALHOST_REPORT_SUMMARY_H
#define DALHOST_REPORT_SUMMARY_H

#include <dal/base.h>

#include "report/terminal.h"
#include "store/store.h"

/* A learning curve: accuracy a[i] with x[i] labels, x ascending. */
typedef struct learning_curve {
    double *x, *a;
    int64_t n;
} learning_curve;

/* The rounds of a run whose accuracy is known. */
learning_curve learning_curve_of(const stored_run *r);
void learning_curve_fini(learning_curve *c);

/* Area under the curve over the labels bought: sum of (a[i] + a[i+1]) / 2 b[i] over sum of b[i], where
 * b[i] = x[i+1] - x[i]. NaN for fewer than two rounds. */
double summary_aubc(const learning_curve *c);
/* Labels at which the best accuracy so far first reaches a, between rounds by interpolation. NaN:
 * never. */
double summary_labels_at(const learning_curve *c, double a);
/* labels_at(baseline, a) / labels_at(c, a): 1.5 means that the baseline needs 1.5 times the labels. */
double summary_efficiency(const learning_curve *baseline, const learning_curve *c, double a);
/* Mean and sample standard deviation (n - 1) of the values that are not NaN; NaN where undefined. */
void summary_mean(const double *v, int64_t n, double *mean, double *deviation);

/* A table with one line a strategy: trials, labels, final accuracy, AUBC, and against the baseline
 * strategy (NULL: that of the first run) the labelling efficiency at the highest accuracy that both
 * reach, and trials won/tied/lost by AUBC. Runs of the same trial are paired. */
void summary_print(FILE *out, const stored_run *const *runs, int n, const char *baseline, terminal to);
/* The curves of these runs in one frame; several trials of a strategy are drawn as their mean. Ends
 * with an empty line; says nothing where no run has two rounds. */
void summary_curves(FILE *out, const stored_run *const *runs, int n, terminal to);

#endif
