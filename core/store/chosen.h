/* store/chosen.h: what a run's model made of parameters that leave it a choice (DAL_CAP_CHOICES). Nothing of this has a
 * column of its own: a run's manifest has the word that was given ("auto"), its components the word that was chosen. */
#ifndef DALHOST_STORE_CHOSEN_H
#define DALHOST_STORE_CHOSEN_H

#include <jansson.h>

#include "store/store.h"

#define STORE_MODEL 1 /* the model's place in run_head.components */

/* {"precision": "bf16"}: those that differ, {} when none does. New reference. */
json_t *chosen_json(const run_head *h);
/* "backend onednn" and "precision bf16", with `of` for the space and `between` two of them; "" when none does;
 * free(). */
char *chosen_text(const run_head *h, const char *of, const char *between);
/* The components with the given words in place of the chosen ones; free(). */
char *components_as_given(const run_head *h);

#endif
