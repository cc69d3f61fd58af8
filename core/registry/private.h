/* registry/private.h: what the sources of the registry share. */
#ifndef DALHOST_REGISTRY_PRIVATE_H
#define DALHOST_REGISTRY_PRIVATE_H

#include <sys/stat.h>

#include "registry/note_text.h"
#include "registry/registry.h"

#define BUILT_IN "(built in)" /* the path of a module that is part of the program */

typedef struct search_dir {
    char *path;         /* absolute where it exists */
    const char *origin;
    char *problem;      /* why it is not read, or NULL */
    bool given;         /* by --plugins: everything in it that is not a module is worth a word */
} search_dir;

typedef struct module {
    module_desc desc; /* first: a module_desc of ours is a module */
    note_info note;
    char *path, *name, *why;
    struct stat seen; /* the file that was read */
    const dal_plugin *live;
    bool started;     /* init was run ... */
    dal_error failed; /* ... and this came of it */
} module;

struct registry {
    search_dir *dirs;
    int n_dirs;
    module **modules; /* search order, then name */
    int n_modules;
    module **files; /* of registry_file */
    int n_files;
    const component_desc **components;
    int n_components;
    module **started; /* in the order of their init */
    int n_started;
};

/* search.c */
void search_add_all(registry *r, const char *const *dirs, int n, diags *d);
/* NULL, or why a file or directory of these properties is not to be trusted. Caller frees. */
char *search_distrust(const struct stat *st);

/* live.c: is what the module's symbol leads to sane, and does it equal its note? */
dal_status live_check(const module *m, const dal_plugin *p, dal_error *err);
const dal_component *live_component(const dal_plugin *p, const component_desc *c);

static inline module *module_of(const module_desc *d)
{
    return (module *)(uintptr_t)d; /* every module_desc is the first member of a module of ours */
}

#endif
