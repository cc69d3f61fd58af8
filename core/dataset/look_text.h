/* dataset/look_text.h: the part of look.c that is about files of text. Private to core/dataset.
 */
#ifndef DALHOST_DATASET_LOOK_TEXT_H
#define DALHOST_DATASET_LOOK_TEXT_H

#include "dataset/look.h"

#define LOOK_HEAD 1048576           /* bytes from the beginning that say what it is */
#define LOOK_MOST ((int64_t)1 << 36) /* bytes of a file, unpacked */

/* data[size]: the file, unpacked. */
void look_at_text(const char *path, const char *data, size_t size, look *l);

#endif
