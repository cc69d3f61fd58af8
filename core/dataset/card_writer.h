/* dataset/card_writer.h: a card for a dataset that is open.
 */
#ifndef DALHOST_DATASET_CARD_WRITER_H
#define DALHOST_DATASET_CARD_WRITER_H

#include "pipeline/survey.h"
#include "util/text.h"

/* The text of the card `name`. Paths of spec's parameters below a folder of data become relative to that; files get
 * size and SHA-256. notes: a line each. */
dal_status card_words(const char *name, const char *title, const source *s, const survey *v, const component_spec *spec,
                      const char *notes, text *out, dal_error *err);

#endif
