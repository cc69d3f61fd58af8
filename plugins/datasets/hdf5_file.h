/* hdf5_file.h: a dataset of an HDF5 file that nobody vouches for.
 */
#ifndef DATASETS_HDF5_FILE_H
#define DATASETS_HDF5_FILE_H

#include "hdf5_chunks.h"

/* libhdf5 takes one caller at a time, and prints pages on every fault unless it is told not to: all that follows, and
 * every other call of it, stands between these two. */
typedef struct hdf5_quiet {
    H5E_auto2_t func;
    void *data;
} hdf5_quiet;
hdf5_quiet hdf5_enter(void);
void hdf5_leave(const hdf5_quiet *q);

/* DAL_E_FORMAT: "train.h5: /x: WHAT: the innermost reason that the library has". `name` may be empty. */
dal_status hdf5_fault(const char *key, const char *path, const char *name, const char *what, dal_error *err);

/* Open a dataset by its path in a file, with room for `cache` bytes of chunks; the caller closes it. keys: of the file,
 * and of the name. Its values lie in this file and, where it has no chunks, are all there. */
dal_status hdf5_open_set(const dal_host *host, const char *path, const char *name, const char *key,
                         const char *name_key, int64_t cache, hid_t *set, dal_error *err);
/* Is it of numbers, or of an enumeration? *u8: they are unsigned bytes. */
dal_status hdf5_check_type(hid_t set, const char *path, const char *key, const char *name, int *u8, dal_error *err);
/* dims[*rank], none of them 0; *rank is 1..HDF5_RANK. */
dal_status hdf5_take_shape(hid_t set, const char *path, const char *key, const char *name, hsize_t *dims, int *rank,
                           dal_error *err);

#define HDF5_MEMBERS 65536 /* of an enumeration whose names are taken */
#define HDF5_NAME 256
/* The names of an enumeration 0..n-1, as many of them, to be freed; 0: it is none, or its values or names are
 * others. */
int64_t hdf5_enum_names(const dal_host *host, hid_t set, char ***names);
void hdf5_free_names(const dal_host *host, char **names, int64_t n);

#endif
