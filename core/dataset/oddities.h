/* dataset/oddities.h: what is strange about an open dataset, in plain words.
 */
#ifndef DALHOST_DATASET_ODDITIES_H
#define DALHOST_DATASET_ODDITIES_H

#include "pipeline/survey.h"
#include "util/text.h"

/* Reads every sample once. A line each into out: classes with one sample or none, great imbalance, labels missing,
 * samples that are there twice (also in two splits, or with two classes), columns that never change, empty texts, no
 * test split. */
dal_status find_oddities(source *s, const survey *v, const dal_host *host, text *out, dal_error *err);

#endif
