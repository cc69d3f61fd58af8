#include "manifest/json.h"

#include <stdlib.h>

#include "util/text.h"

json_t *json_must(json_t *j)
{
    if (!j)
        out_of_memory();
    return j;
}

void json_put(json_t *object, const char *key, json_t *value)
{
    if (json_object_set_new(object, key, json_must(value)) != 0)
        json_must(NULL);
}

void json_append(json_t *array, json_t *value)
{
    if (json_array_append_new(array, json_must(value)) != 0)
        json_must(NULL);
}

static json_t *json_of_item(const param_value *v, int64_t i)
{
    size_t n;
    const char *word;
    switch (v->desc->type) {
    case DAL_PARAM_BOOL:
        return json_boolean(v->boolean);
    case DAL_PARAM_I64:
    case DAL_PARAM_I64S:
        return json_integer(v->i64[i]);
    case DAL_PARAM_F64:
    case DAL_PARAM_F64S:
        return json_real(v->f64[i]);
    case DAL_PARAM_CHOICE:
        word = choice_word(v->desc->domain, v->choice, &n);
        return json_stringn(word, n);
    case DAL_PARAM_COMPONENT:
    case DAL_PARAM_COMPONENTS:
        return v->n ? json_of_spec(v->component[i], false) : json_null();
    default:
        return json_string(v->str[i]);
    }
}

json_t *json_of_value(const param_value *v)
{
    if (!param_is_list(v->desc->type))
        return json_must(json_of_item(v, 0));
    json_t *list = json_must(json_array());
    for (int64_t i = 0; i < v->n; i++)
        json_append(list, json_of_item(v, i));
    return list;
}

json_t *json_of_spec(const component_spec *s, bool version)
{
    json_t *j = json_must(json_object());
    for (int i = 0; i < s->desc->n_params; i++)
        json_put(j, s->desc->params[i].name, json_of_value(&s->values[i]));
    json_put(j, "use", json_string(s->desc->id));
    json_put(j, "from", json_string(s->desc->module->name));
    if (s->card)
        json_put(j, "card", json_string(s->card->name));
    if (s->n_transforms > 0) {
        json_t *list = json_must(json_array());
        for (int i = 0; i < s->n_transforms; i++)
            json_append(list, json_of_spec(s->transforms[i], false));
        json_put(j, "transforms", list);
    }
    if (version)
        json_put(j, "version", json_string(s->desc->module->version));
    return j;
}

/* 0.95 and not 0.94999999999999996: the first precision that reads back as the same document. */
char *json_canonical(json_t *root)
{
    char *s = NULL;
    for (unsigned digits = 15; digits <= 17; digits++) {
        free(s);
        s = json_dumps(root,
                       JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY | JSON_REAL_PRECISION(digits));
        if (!s)
            json_must(NULL);
        json_t *again = digits < 17 ? json_loads(s, JSON_DECODE_ANY, NULL) : NULL;
        const bool same = again && json_equal(root, again);
        json_decref(again);
        if (same)
            break;
    }
    json_decref(root);
    return s;
}

char *spec_json(const component_spec *s)
{
    return json_canonical(json_of_spec(s, true));
}

/* Trial t is a run of its own, known by its number: how many others there are does not matter to it. */
char *effective_json(const manifest_values *v)
{
    const bool memory = v->sections[SECTION_QUERY][QUERY_OVER_MEMORY].choice == OVER_MEMORY_SUBSAMPLE;
    json_t *root = json_must(json_object());
    for (int i = 0; i < ROOT_N; i++)
        if (i != ROOT_NAME && (i != ROOT_MEMORY || memory) && i != ROOT_TRIALS && i != ROOT_STRATEGY)
            json_put(root, v->root[i].desc->name, json_of_value(&v->root[i]));
    for (int k = 0; k < SECTION_N; k++) {
        json_t *object = json_must(json_object());
        for (int i = 0; i < manifest_sections[k].n_params; i++)
            json_put(object, v->sections[k][i].desc->name, json_of_value(&v->sections[k][i]));
        json_put(root, manifest_sections[k].name, object);
    }
    return json_canonical(root);
}
