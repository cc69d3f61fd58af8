/* pipeline/differ.h: in which keys two manifests differ, for people.
 */
#ifndef DALHOST_PIPELINE_DIFFER_H
#define DALHOST_PIPELINE_DIFFER_H

#include "util/text.h"

/* Of two effective manifests (JSON): how many keys differ. The first `most` are told in *out (NULL: none), as in
 * "query.size 10, here 20". */
int manifests_differ(const char *there, const char *here, int most, text *out);

#endif
