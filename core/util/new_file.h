/* util/new_file.h: a file that takes the place of what is at its path only when it is complete.
 *
 * A symbolic link is followed: what it leads to is replaced, the link stays. What replaces a file has its mode, and its
 * owner where that may be given. What is no regular file (a device, a FIFO), and an open descriptor named as
 * /dev/stdout or /dev/fd/N, is never replaced: complete, everything is written into it.
 */
#ifndef DALHOST_UTIL_NEW_FILE_H
#define DALHOST_UTIL_NEW_FILE_H

#include <dal/base.h>
#include <stdio.h>

typedef struct new_file {
    FILE *out; /* write here; may be read and sought in */
    char *path, *target, *other; /* as given; what is replaced; what will replace it, "": a file without a name */
    int into; /* a device or the like that takes everything in the end; -1: target is replaced */
} new_file;

/* Another file beside path; a FIFO waits for its reader here. After DAL_OK either commit or drop it. */
dal_status new_file_open(const char *path, new_file *f, dal_error *err);
/* Flush, fsync, rename. On failure whatever was at path is untouched, but a device may have got a part. */
dal_status new_file_commit(new_file *f, dal_error *err);
void new_file_drop(new_file *f); /* accepts one that was never opened */

#endif
