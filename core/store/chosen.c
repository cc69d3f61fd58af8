#include "store/chosen.h"

#include <stdlib.h>

#include "util/text.h"

/* Calls `each` for every parameter of the model whose words differ; both are borrowed. */
static void each_chosen(const run_head *h, json_t *components, void (*each)(void *ctx, const char *key, json_t *given,
                                                                           json_t *chosen), void *ctx)
{
    json_t *manifest = json_loads(h->manifest, 0, NULL), *asked = json_object_get(manifest, "model"), *given;
    const json_t *model = json_array_get(components, STORE_MODEL);
    const char *key;
    json_object_foreach(asked, key, given)
    {
        json_t *chosen = json_object_get(model, key);
        if (json_is_string(given) && json_is_string(chosen) && !json_equal(given, chosen))
            each(ctx, key, given, chosen);
    }
    json_decref(manifest);
}

static void keep(void *ctx, const char *key, json_t *given, json_t *chosen)
{
    (void)given;
    json_object_set(ctx, key, chosen);
}

json_t *chosen_json(const run_head *h)
{
    json_t *components = json_loads(h->components, 0, NULL), *all = json_object();
    each_chosen(h, components, keep, all);
    json_decref(components);
    return all;
}

char *chosen_text(const run_head *h, const char *of, const char *between)
{
    json_t *all = chosen_json(h), *word;
    const char *key;
    text t = {0};
    json_object_foreach(all, key, word)
        text_addf(&t, "%s%s%s%s", t.n ? between : "", key, of, json_string_value(word));
    json_decref(all);
    return text_take(&t);
}

static void put_back(void *ctx, const char *key, json_t *given, json_t *chosen)
{
    (void)chosen;
    json_object_set(ctx, key, given);
}

char *components_as_given(const run_head *h)
{
    json_t *components = json_loads(h->components, 0, NULL);
    each_chosen(h, components, put_back, json_array_get(components, STORE_MODEL));
    char *list = components ? json_dumps(components, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    json_decref(components);
    return list ? list : xstrdup("");
}
