/* dataset/look_text.h: the part of look.c that is about files of text. Private to core/dataset.
 */
#ifndef DALHOST_DATASET_LOOK_TEXT_H
#define DALHOST_DATASET_LOOK_TEXT_H

#include "dataset/look.h"

/* head[n]: the beginning of the file, inflated; whole: all of it. */
void look_at_text(const char *path, const char *head, size_t n, bool whole, look *l);

#endif
