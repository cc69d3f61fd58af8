/* dataset/npz_writer.h: arrays into an .npz file, one after the other, without having any of them whole in memory.
 */
#ifndef DALHOST_DATASET_NPZ_WRITER_H
#define DALHOST_DATASET_NPZ_WRITER_H

#include <dal/base.h>
#include <stdio.h>

typedef struct npz_writer npz_writer;

/* To a file open for writing at its beginning, which must be one that can seek; path is for messages, borrowed. */
npz_writer *npz_new(FILE *out, const char *path);
void npz_free(npz_writer *z); /* accepts NULL; closes nothing */

/* An array `name` of elements of NumPy's type code ("<f4"), in C order: exactly its bytes through npz_put, then
 * npz_end. */
dal_status npz_begin(npz_writer *z, const char *name, const char *type, int64_t item, const int64_t *shape, int ndim,
                     dal_error *err);
dal_status npz_put(npz_writer *z, const void *data, size_t n, dal_error *err);
dal_status npz_end(npz_writer *z, dal_error *err);
/* The directory of the archive: the last call. */
dal_status npz_finish(npz_writer *z, dal_error *err);

#endif
