/* words.h: distinct texts and their numbers: names of classes, values of a column. Shared by loaders of tables.
 */
#ifndef DATASETS_WORDS_H
#define DATASETS_WORDS_H

#include <dal/host.h>

#define WORDS_LONGEST 256 /* bytes of a text, with the NUL */

/* Zero: none. */
typedef struct word_list {
    char **texts;   /* [n] */
    int32_t *slots; /* [room] index of a text, -1: free; a hash table with open addressing */
    int64_t n, room;
} word_list;

void words_free(const dal_host *host, word_list *w);
/* The number of a text, or -1. */
int32_t words_find(const word_list *w, const char *text);
/* Its number, new or seen before, into *number. DAL_E_NOMEM. */
dal_status words_add(const dal_host *host, word_list *w, const char *text, int32_t *number, dal_error *err);
/* Numeric order when all are integers, else byte order. numbers (NULL: not wanted): [n] the new number of each. */
dal_status words_sort(const dal_host *host, word_list *w, int32_t *numbers, dal_error *err);

#endif
