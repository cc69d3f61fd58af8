/* dataset/look_archive.h: the part of look.c that is about archives. Private to core/dataset.
 */
#ifndef DALHOST_DATASET_LOOK_ARCHIVE_H
#define DALHOST_DATASET_LOOK_ARCHIVE_H

#include <dal/host.h>

#include "dataset/look.h"

/* Tables of text in it are looked at, and named as the loader's members; of any other the loaders must tell. */
void look_at_archive(const dal_host *host, const char *path, look *l);

/* look.c: does the name end, in letters of any size, as one of these? NULL-ended. */
bool look_ends_as(const char *name, const char *const *ends);

#endif
