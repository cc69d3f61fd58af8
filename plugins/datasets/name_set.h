/* name_set.h: distinct words in order, each with a number: the classes and sources of loaders of pictures. */
#ifndef NAME_SET_H
#define NAME_SET_H

#include <dal/host.h>

/* Some bytes of somebody else's text. */
typedef struct name_slice {
    const char *text;
    int64_t size;
} name_slice;

typedef struct name_set {
    char *text; /* of all names, NUL-ended */
    const char **names; /* [n], by number when all are whole numbers and it was asked for, else by bytes */
    int64_t n;
    int numbers;
} name_set;

/* The distinct ones of all[n], which it reorders; empty ones do not count. A word that is no UTF-8 or has control
 * characters, and more than `most` of them, are errors about `what` ("classes") under `key`. */
dal_status name_set_make(const dal_host *host, name_slice *all, int64_t n, int by_number, int64_t most,
                         const char *what, const char *key, name_set *out, dal_error *err);
void name_set_free(const dal_host *host, name_set *s);

/* Its number, or -1. */
int32_t name_set_find(const name_set *s, const char *text, int64_t size);

#endif
