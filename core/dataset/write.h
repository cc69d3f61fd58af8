/* dataset/write.h: a dataset as one file for other programs.
 *
 *     .npz   dense samples: arrays train_images, train_labels, val_..., test_... ([n, h, w] or [n, c, h, w]) or, of
 *            vectors, x_train, y_train, x_val, ... ; classes from 0, -1 without a label, -2 of none of the classes.
 *            Stored, so that other programs can map them.
 *     .csv   a row a sample: label (its name; empty without one), then the text or the numbers; the name of the split
 *            first when there are several
 *     .svm   LIBSVM's: class number and column:value, columns from 1
 */
#ifndef DALHOST_DATASET_WRITE_H
#define DALHOST_DATASET_WRITE_H

#include "pipeline/source.h"

/* split: DAL_SPLITS for all. The kind follows from the name. Whole or not at all. */
dal_status dataset_write(const char *path, source *s, const dal_host *host, uint32_t split, dal_error *err);

#endif
