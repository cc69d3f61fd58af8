/* util/file.h: whole files, read with a bound and written whole or not at all. */
#ifndef DALHOST_UTIL_FILE_H
#define DALHOST_UTIL_FILE_H

#include <dal/base.h>

/* *data is NUL-ended beyond its *n bytes; caller frees. Larger than `most`: DAL_E_INVALID. */
dal_status file_read(const char *path, size_t most, char **data, size_t *n, dal_error *err);
/* By util/new_file.h: links are followed, devices written into. On failure a file that was at path is untouched. */
dal_status file_write(const char *path, const void *data, size_t n, dal_error *err);

#endif
