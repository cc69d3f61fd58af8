/* dataset/examine.h: every sample read once, and looked at as far as its kind allows.
 */
#ifndef DALHOST_DATASET_EXAMINE_H
#define DALHOST_DATASET_EXAMINE_H

#include "pipeline/source.h"

typedef struct examination {
    int64_t n;          /* samples read */
    bool faulty;
    uint32_t split;     /* of the first fault, in the order of splits and samples */
    int64_t id;
    char where[256];    /* what the dataset calls that sample */
    dal_error fault;    /* the loader's words, with file and offset as it knows them; or ours: not UTF-8, NaN */
} examination;

/* On all threads where the dataset permits. A fault of a sample is a finding, not a failure: DAL_OK. */
dal_status examine(source *s, const dal_host *host, examination *out, dal_error *err);

extern const char *const split_words[DAL_SPLITS]; /* "train", "validation", "test" */

#endif
