/* registry/names.h: what other programs call our components: data, in the file names/KIND.tsv of the data folder.
 */
#ifndef DALHOST_REGISTRY_NAMES_H
#define DALHOST_REGISTRY_NAMES_H

#include <dal/base.h>
#include <stdbool.h>

typedef struct other_name {
    const char *name, *id; /* theirs, ours */
    const char *by;        /* who calls it so: "DeepAL+, DISTIL" */
    const char *remark;    /* how theirs differs; "" */
} other_name;

typedef struct other_names {
    other_name *items; /* in the order of the file */
    int n;
    char *data;
} other_names;

/* None when there is no such file; lines that are not of its form are left out. */
other_names names_read(uint32_t kind);
void names_free(other_names *n);

/* Letter case, '-', '_' and spaces do not matter. NULL: nobody calls anything so. */
const other_name *names_find(const other_names *n, const char *name);
bool names_alike(const char *a, const char *b);
/* "what DeepAL+ calls so is 'bald' here". Caller frees. */
char *names_hint(const other_name *n);

#endif
