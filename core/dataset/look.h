/* dataset/look.h: what a file or folder most likely is, from its content.
 *
 * Formats have words here, and the table names/format.tsv of the data folder says which loader reads which: the host
 * knows no loader. A guess is only a guess: the loader itself then says what it thinks of the file.
 */
#ifndef DALHOST_DATASET_LOOK_H
#define DALHOST_DATASET_LOOK_H

#include "registry/registry.h"
#include "util/text.h"

typedef struct look {
    const char *format; /* "table", "idx-images", ...; NULL: not recognised, and `words` says what it is */
    text words;         /* "a table (packed), commas between 5 columns, the first line names them" */
    text odd;           /* a line each: what one should know */
    char **sets;        /* [n_sets] KEY=VALUE for a loader, guessed from the content; those it has not are left out */
    int n_sets;
    int n_guessed;     /* of these from the content alone, once a loader was looked for */
    const char *label; /* as given */
} look;

/* label: the column that somebody says has the classes, by name or number; NULL: nobody did. */
void look_at_path(const char *path, const char *label, look *out);
void look_fini(look *l);
void look_set(look *l, const char *key, char *value); /* takes value, which is YAML */

/* The loader of l->format number `which` (from 0; some formats have several that may read them): its component, and in
 * l->sets its parameters: path, companions that are there. NULL after *why (caller frees) was filled. */
const component_desc *look_for_loader(look *l, int which, const char *path, const registry *r, char **why);

/* A text as it can stand in YAML. Caller frees. */
char *yaml_quoted(const char *s, size_t n);

#endif
