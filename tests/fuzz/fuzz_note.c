/* Any bytes as an ELF file with a note, and as the text of a note: no crash, and either a description that
 * keeps its own rules or a complaint. */
#include <stdlib.h>

#include "registry/note.h"
#include "registry/note_text.h"
#include "util/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define MUST(condition)                                                                                \
    do {                                                                                               \
        if (!(condition)) {                                                                            \
            fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition);                  \
            abort();                                                                                   \
        }                                                                                              \
    } while (0)

static void use_text(const char *s)
{
    MUST(s && utf8_valid(s, strlen(s), NULL));
    MUST(!strpbrk(s, "\t\n\x1b"));
}

static void use_component(const component_desc *c)
{
    MUST(note_component_id_ok(c->id) && strcmp(kind_name(c->kind), "component") != 0);
    use_text(c->summary);
    use_text(c->reference);
    use_text(c->needs);
    use_text(c->provides);
    MUST(c->n_params >= 0 && c->n_params <= NOTE_MAX_PARAMS);
    for (int i = 0; i < c->n_params; i++) {
        const param_desc *p = &c->params[i];
        use_text(p->name);
        use_text(p->def);
        use_text(p->domain);
        use_text(p->unit);
        use_text(p->summary);
    }
    MUST(c->n_when >= 0 && c->n_when <= NOTE_MAX_WHEN);
    for (int i = 0; i < c->n_when; i++) {
        MUST(dal_has_word(c->needs, c->when[i].capability));
        use_text(c->when[i].param);
        use_text(c->when[i].values);
    }
}

/* Takes the text. */
static void parse(char *note)
{
    note_info info;
    dal_error err = DAL_ERROR_INIT;
    const dal_status st = note_parse(note, &info, &err);
    if (st) {
        MUST(err.text[0] && info.n_components == 0 && !info.text);
        return;
    }
    MUST(note_module_name_ok(info.module) && info.n_components <= NOTE_MAX_COMPONENTS);
    use_text(info.version);
    use_text(info.licence);
    for (int i = 0; i < info.n_components; i++)
        use_component(&info.components[i]);
    note_info_free(&info);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    char *note;
    dal_error err = DAL_ERROR_INIT;
    if (note_find(data, n, &note, &err) == DAL_OK)
        parse(note);
    else
        MUST(!note && err.text[0]);
    parse(xstrndup((const char *)data, n));
    return 0;
}
