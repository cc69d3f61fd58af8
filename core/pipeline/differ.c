#include "pipeline/differ.h"

#include <jansson.h>
#include <stdlib.h>

typedef struct differing {
    int n, most;
    text *out;
} differing;

static char *shown(const json_t *value)
{
    char *whole = value ? json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    char *cut = whole ? xasprintf("%.40s%s", whole, strlen(whole) > 40 ? "..." : "") : xstrdup("not given");
    free(whole);
    return cut;
}

static void tell(differing *d, const char *path, const json_t *there, const json_t *here)
{
    if (d->n++ >= d->most || !d->out)
        return;
    char *then = shown(there), *now = shown(here);
    text_addf(d->out, "%s%s %s, here %s", d->out->n ? "; " : "", path, then, now);
    free(then);
    free(now);
}

/* The values at `path`, "query.size"; NULL where there is none. */
static void compare(differing *d, const char *path, const json_t *there, const json_t *here)
{
    const char *key;
    json_t *value;
    if (json_equal(there, here))
        return;
    if (!json_is_object(there) || !json_is_object(here)) {
        tell(d, path, there, here);
        return;
    }
    json_t *both = json_copy((json_t *)(uintptr_t)there);
    json_object_update_missing(both, (json_t *)(uintptr_t)here);
    json_object_foreach(both, key, value)
    {
        char *below = xasprintf("%s%s%s", path, *path ? "." : "", key);
        compare(d, below, json_object_get(there, key), json_object_get(here, key));
        free(below);
    }
    json_decref(both);
}

int manifests_differ(const char *there, const char *here, int most, text *out)
{
    differing d = {.most = most, .out = out};
    json_t *a = json_loads(there, 0, NULL), *b = json_loads(here, 0, NULL);
    compare(&d, "", a, b);
    json_decref(a);
    json_decref(b);
    return d.n;
}
