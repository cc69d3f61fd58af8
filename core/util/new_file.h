/* util/new_file.h: a file that takes the place of what is at its path only when it is complete.
 */
#ifndef DALHOST_UTIL_NEW_FILE_H
#define DALHOST_UTIL_NEW_FILE_H

#include <dal/base.h>
#include <stdio.h>

typedef struct new_file {
    FILE *out; /* write here */
    char *path, *other;
} new_file;

/* Another file beside path. After DAL_OK either commit or drop it. */
dal_status new_file_open(const char *path, new_file *f, dal_error *err);
/* Flush, fsync, rename. On failure whatever was at path is untouched. */
dal_status new_file_commit(new_file *f, dal_error *err);
void new_file_drop(new_file *f); /* accepts one that was never opened */

#endif
