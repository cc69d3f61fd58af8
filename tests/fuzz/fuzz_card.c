/* Any bytes as a dataset card: a card that keeps its promises, or complaints fit for a terminal. */
#include <stdlib.h>

#include "manifest/card.h"
#include "util/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define MUST(condition)                                                                                \
    do {                                                                                               \
        if (!(condition)) {                                                                            \
            fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition);                  \
            abort();                                                                                   \
        }                                                                                              \
    } while (0)

static void use_card(const card *c)
{
    MUST(*c->name && *c->title && *c->modality && c->dataset && c->dataset->kind == NODE_MAP);
    MUST(node_entry_of(c->dataset, "use"));
    for (int64_t i = 0; i < c->n_classes; i++)
        MUST(*c->classes[i]);
    for (uint32_t k = 0; k < DAL_SPLITS; k++)
        MUST(card_count(c, k) >= -1);
    for (int i = 0; i < c->n_files; i++) {
        const card_file *f = &c->files[i];
        MUST(*f->path && f->size >= -1 && (!*f->sha256 || strlen(f->sha256) == 64));
        MUST(*f->path == '/' ? !*f->url : !strstr(f->path, "/../") && strncmp(f->path, "../", 3) != 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    diags *d = diags_new();
    arena *mem = arena_new();
    const card *c = card_parse(mem, "cards/fuzz.yaml", (const char *)data, n, d);
    MUST((c != NULL) == (diags_errors(d) == 0));
    if (c)
        use_card(c);
    for (int i = 0; !c && diags_text(d, i) && i < 8; i++)
        MUST(!strchr(diags_text(d, i), '\n') && !strchr(diags_text(d, i), '\033'));
    arena_free(mem);
    diags_free(d);
    return 0;
}
