/* dataset/samples.h: a few samples to look at, and their first words or numbers.
 */
#ifndef DALHOST_DATASET_SAMPLES_H
#define DALHOST_DATASET_SAMPLES_H

#include "pipeline/source.h"

typedef struct sample_choice {
    uint32_t split;
    int64_t *ids; /* [n] */
    int64_t n;
} sample_choice;

/* At most n samples of a split, the first of each class in turn, then the second, ...; those without a class come
 * last. ids: caller frees. */
sample_choice samples_choose(const source *s, uint32_t split, int64_t n);
/* Name of a sample's class: "ant", "(no label)", "(out of class)". */
const char *samples_class(const source *s, uint32_t split, int64_t id);

/* The beginning of sample i of a batch, at most `most` characters of one line: words of a text, numbers, column:value.
 * Caller frees. */
char *samples_words(const dal_batch *b, int64_t i, int64_t most);

/* Bytes s[n] as one line of at most `most` characters, fit for a terminal: what is not UTF-8 or not printable becomes
 * '?' or a blank. Caller frees. */
char *samples_line(const char *s, int64_t n, int64_t most);

#endif
