/* Any bytes as a manifest and --set options: no crash, and either a sound manifest or a complaint.
 *
 * The input up to the first byte 0xff is the manifest; what follows are options, separated by 0xff
 * (which no UTF-8 text has).
 */
#include <jansson.h>
#include <stdlib.h>

#include "manifest/manifest.h"
#include "tests/unit/fake_registry.h"
#include "util/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define MAX_SETS 8
#define MUST(condition)                                                                                \
    do {                                                                                               \
        if (!(condition)) {                                                                            \
            fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition);                  \
            abort();                                                                                   \
        }                                                                                              \
    } while (0)

/* All values of a component as text, and as an options struct where there is a live side. */
static void use_spec(const component_spec *s)
{
    for (int i = 0; i < s->desc->n_params; i++) {
        char *t = param_value_text(&s->values[i]);
        MUST(utf8_valid(t, strlen(t), NULL));
        free(t);
    }
    const dal_component *live = fake_live(s->desc->id);
    void *options = NULL;
    if (live && live->kind == s->kind)
        MUST(spec_options(s, live, &options, NULL) == DAL_OK);
    free(options);
}

static void use_manifest(const manifest *m)
{
    json_t *j = json_loads(m->effective, 0, NULL);
    MUST(json_is_object(j));
    json_decref(j);
    MUST(m->n_strategies > 0 && m->initial_size > 0 && m->query_size > 0 && m->rounds >= 0 &&
         m->trials > 0);
    use_spec(m->dataset);
    use_spec(m->model);
    use_spec(m->oracle);
    for (int i = 0; i < m->n_strategies; i++)
        use_spec(m->strategies[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    char *all = xstrndup((const char *)data, n), *sets[MAX_SETS];
    int n_sets = 0;
    for (char *p = memchr(all, 0xff, n); p && n_sets < MAX_SETS;
         p = memchr(p, 0xff, n - (size_t)(p - all))) {
        *p++ = '\0';
        sets[n_sets++] = p;
    }
    const manifest_options o = {(const char *const *)sets, n_sets, NULL, 0, NULL};
    diags *d = diags_new();
    manifest *m = manifest_read("fuzz.yaml", all, fake_registry(FAKE_USUAL), &o, d);
    MUST((m != NULL) == (diags_errors(d) == 0));
    if (m)
        use_manifest(m);
    for (int i = 0; !m && diags_text(d, i) && i < 8; i++)
        MUST(!strchr(diags_text(d, i), '\n') && !strchr(diags_text(d, i), '\033'));
    manifest_free(m);
    diags_free(d);
    free(all);
    return 0;
}
