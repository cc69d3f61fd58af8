/* dataset/sheet.h: a contact sheet: counts and some samples of each class in one page of HTML that needs no other file.
 */
#ifndef DALHOST_DATASET_SHEET_H
#define DALHOST_DATASET_SHEET_H

#include "pipeline/survey.h"

/* per_class samples of each class of a split. Written whole or not at all. */
dal_status sheet_write(const char *path, source *s, const survey *v, const card *c, const char *title, uint32_t split,
                       int64_t per_class, dal_error *err);

#endif
