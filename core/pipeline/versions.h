/* pipeline/versions.h: what tells a run apart from one of the same experiment made with other modules. */
#ifndef DALHOST_PIPELINE_VERSIONS_H
#define DALHOST_PIPELINE_VERSIONS_H

#include <stdbool.h>

#include "util/text.h"

/* Of two lists of components as a run_head keeps them: are they alike but for the versions of modules? Then
 * `what` is told which: "mlp 1.0, now 1.1". */
bool versions_differ(const char *then, const char *now, text *what);

#endif
