#include "pipeline/versions.h"

#include <jansson.h>

static void tell(const json_t *then, const json_t *now, text *what)
{
    const char *module = json_string_value(json_object_get(then, "from"));
    const char *old = json_string_value(json_object_get(then, "version"));
    const char *new = json_string_value(json_object_get(now, "version"));
    text_addf(what, "%s%s %s, now %s", what->n ? "; " : "", module ? module : "?", old ? old : "?", new ? new : "?");
}

static bool alike(const json_t *then, const json_t *now, text *what)
{
    if (json_is_array(then) && json_array_size(then) == json_array_size(now)) {
        for (size_t i = 0; i < json_array_size(then); i++)
            if (!alike(json_array_get(then, i), json_array_get(now, i), what))
                return false;
        return true;
    }
    if (!json_is_object(then) || json_object_size(then) != json_object_size(now))
        return json_equal(then, now);
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)then, key, value) /* jansson's loop takes no const */
    {
        const json_t *other = json_object_get(now, key);
        if (strcmp(key, "version") == 0 && !json_equal(value, other))
            tell(then, now, what);
        else if (!alike(value, other, what))
            return false;
    }
    return true;
}

bool versions_differ(const char *then, const char *now, text *what)
{
    json_t *a = json_loads(then, 0, NULL), *b = json_loads(now, 0, NULL);
    const bool differ = a && b && alike(a, b, what) && what->n > 0;
    json_decref(a);
    json_decref(b);
    return differ;
}
