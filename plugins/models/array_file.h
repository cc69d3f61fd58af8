/* array_file.h: a saved model as a few arrays, for models that are no list of weights. */
#ifndef ARRAY_FILE_H
#define ARRAY_FILE_H

#include <dal/model.h>

#define ARRAY_FILE_MOST 8

typedef struct saved_array {
    void *data;
    int64_t bytes;
} saved_array;

/* The arrays a[n], n <= ARRAY_FILE_MOST, after a header that begins with magic (8 characters). */
dal_status arrays_save(const dal_writer *w, const char *magic, const saved_array *a, int n, dal_error *err);
/* Back into a[n], each allocated here and the caller's (arrays_free, also after a failure). Bytes that were not written
 * by arrays_save with this magic and n are DAL_E_FORMAT; what the arrays hold is for the caller to check. A header that
 * lies about sizes costs no more memory than there are bytes. id: of the model, for messages. */
dal_status arrays_load(const dal_host *host, const dal_reader *r, const char *id, const char *magic, saved_array *a,
                       int n, dal_error *err);
void arrays_free(const dal_host *host, saved_array *a, int n);
/* All numbers of an array finite? */
dal_status arrays_finite(const char *id, const float *x, int64_t n, dal_error *err);

#endif
