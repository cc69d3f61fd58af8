/* file_unpack.h: what dal_file unpacks by libarchive: bzip2, xz and zstd. (gzip it unpacks itself.) */
#ifndef DAL_FILE_UNPACK_H
#define DAL_FILE_UNPACK_H

#include <dal/host.h>

/* Do these bytes begin as one of them? */
int file_is_packed(const unsigned char *raw, int64_t n);

/* The content of raw[n] into out[room], or only its size when out is NULL. More than `room` bytes are DAL_E_OVERFLOW,
 * or left where they are when only the beginning is wanted. */
dal_status file_unpack(const dal_host *host, const char *path, const char *key, const unsigned char *raw, int64_t n,
                       unsigned char *out, int64_t room, int only_begin, int64_t *size, dal_error *err);

#endif
