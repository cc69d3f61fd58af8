/* pipeline/choices.h: parameters of the model that leave a choice to the machine, and what became of them. */
#ifndef DALHOST_PIPELINE_CHOICES_H
#define DALHOST_PIPELINE_CHOICES_H

#include "pipeline/compose.h"
#include "store/store.h"

/* A component with words of its own in place of some that the manifest gives; free(). NULL: none differs. Words are
 * borrowed from the component's note. */

/* Those that an open model says it chose. */
dal_status choices_of_model(const component_spec *given, const dal_instance *model, component_spec **out,
                            dal_error *err);
/* Those that a stored run of this model went by; one that the model does not know is refused. */
dal_status choices_of_run(const component_spec *given, const run_head *run, component_spec **out, dal_error *err);
/* Do two agree? */
bool choices_agree(const component_spec *a, const component_spec *b);
/* "precision bf16, backend onednn": where `chosen` (NULL: nothing) differs from `given`; free(). */
char *choices_text(const component_spec *given, const component_spec *chosen);

#endif
