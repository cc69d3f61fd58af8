/* manifest/json.h: typed values as JSON. Private to core/manifest. */
#ifndef DALHOST_MANIFEST_JSON_H
#define DALHOST_MANIFEST_JSON_H

#include <jansson.h>

#include "manifest/reader.h"

/* jansson that never fails: without memory the program ends, as in util/text.h. They take value. */
json_t *json_must(json_t *j);
void json_put(json_t *object, const char *key, json_t *value);
void json_append(json_t *array, json_t *value);

json_t *json_of_value(const param_value *v);
json_t *json_of_spec(const component_spec *s, bool version);
/* Sorted keys, compact, numbers as short as they can be read back exactly. Takes root; caller frees. */
char *json_canonical(json_t *root);
/* What decides whether two runs are the same: see manifest.effective. */
char *effective_json(const manifest_values *v);

#endif
