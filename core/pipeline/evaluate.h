/* pipeline/evaluate.h: how well a trained model does on labelled samples it never saw. */
#ifndef DALHOST_PIPELINE_EVALUATE_H
#define DALHOST_PIPELINE_EVALUATE_H

#include "pipeline/provider.h"
#include "store/store.h"

/* Of one class: samples that are it, that were said to be it, and both. */
typedef struct class_counts {
    int64_t truth, predicted, hit;
} class_counts;

/* Metrics from counts [c] and the summed log loss. Recall (caller's [c]) is NaN for classes without samples;
 * the mean F1 is over classes that occur in truth or prediction, balanced accuracy over those that occur in
 * truth. */
void metrics_from_counts(const class_counts *counts, int64_t c, double log_loss_sum, round_metrics *m,
                         double *recall);

/* Predict a split and compare; samples without a class 0..C-1 are left out. recall: caller's [c]. */
dal_status evaluate_split(model_provider *p, uint32_t split, round_metrics *m, double *recall, dal_error *err);

#endif
