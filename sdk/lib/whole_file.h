/* whole_file.h: a file that is there whole or not at all: written beside its place, then onto the disk, then
 * renamed. */
#ifndef LIB_WHOLE_FILE_H
#define LIB_WHOLE_FILE_H

#include <dal/base.h>

typedef struct whole_file whole_file;

/* what: for messages, "a .npy file". A link is followed; the mode of a file that is there is kept; what
 * is there and no regular file is refused. */
dal_status whole_file_open(const char *path, const char *what, whole_file **out, dal_error *err);
dal_status whole_file_append(whole_file *w, const void *data, int64_t bytes, dal_error *err);
/* Renames (durable: when it is on the disk) and ends w whatever it returns. */
dal_status whole_file_close(whole_file *w, int durable, dal_error *err);
void whole_file_abandon(whole_file *w); /* without a trace; accepts NULL */
const char *whole_file_path(const whole_file *w);

#endif
