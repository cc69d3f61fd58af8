/* registry/registry.h: which modules there are, what they contain, and loading the ones a run names.
 *
 * Listing reads each file's ELF note (registry/note.h) and runs none of it. Search order: --plugins
 * directories in the order given, $DAL_PLUGIN_PATH, the user's folder, the built-in directories; the first
 * usable module of a name wins, the others are listed as shadowed.
 *
 * A static build (--disable-shared) has the shipped modules inside the program: they come after all
 * directories, and their path is "(built in)".
 *
 * A module can do all that the user can, so files and directories are refused when others could have put
 * something there: the owner must be root or the user; nobody else may write, except the owner's private
 * group (the group of the owner's own name); a directory that everybody may write to passes when root owns
 * it and it is sticky, since the files in it are judged one by one.
 */
#ifndef DALHOST_REGISTRY_REGISTRY_H
#define DALHOST_REGISTRY_REGISTRY_H

#include <dal/plugin.h>
#include <stdbool.h>

#include "util/diag.h"

/* A parameter as the note tells it. Borrowed until registry_free, like everything below. */
typedef struct param_desc {
    const char *name;
    uint32_t type; /* DAL_PARAM_* */
    const char *def, *domain, *unit, *summary;
} param_desc;

/* One of a strategy's needs is there only while a CHOICE or BOOL parameter has one of these values. */
typedef struct need_when {
    const char *capability, *param;
    const char *values; /* "a|b" */
} need_when;

typedef struct module_desc module_desc;

typedef struct component_desc {
    uint32_t kind;
    const char *id, *summary, *reference, *needs, *provides;
    const param_desc *params;
    int n_params;
    const module_desc *module;
    const char *formula, *differs; /* "" when the note tells nothing of it */
    const need_when *when;         /* [n_when]; of several for one capability any will do */
    int n_when;
} component_desc;

typedef enum module_state {
    MODULE_OK,
    MODULE_REFUSED,  /* `why` says it: other ABI, malformed note, writable by others, ... */
    MODULE_SHADOWED, /* an earlier directory has a module of this name: `why` names the file */
} module_state;

struct module_desc {
    const char *path; /* absolute; "(built in)" when linked statically */
    const char *name, *version, *licence;
    int abi_major, abi_minor;
    const component_desc *components;
    int n_components;
    module_state state;
    const char *why;
    const char *skipped; /* what of the note this dalhost does not know, "" when nothing */
};

typedef struct registry registry;

/* dirs[n]: the --plugins options. A directory given there that cannot be read is an error in d; the others
 * are silently skipped when absent. Never NULL. */
registry *registry_new(const char *const *dirs, int n, diags *d);
/* The same with one file before all directories; what offers any of its components is shadowed. For trying a
 * module out beside the installed ones. *module describes it, whatever its state. */
registry *registry_new_with(const char *file, const char *const *dirs, int n, diags *d,
                            const module_desc **module);
void registry_free(registry *r); /* runs fini of what was loaded, in reverse order; modules stay mapped */

/* Where it looked, in order. origin: "--plugins", "DAL_PLUGIN_PATH", "user", "built in", "build tree". */
int registry_n_dirs(const registry *r);
const char *registry_dir(const registry *r, int i, const char **origin);
const char *registry_dir_problem(const registry *r, int i); /* why it was not read, or NULL */
int registry_n_modules(const registry *r);
const module_desc *registry_module(const registry *r, int i); /* search order, then name */

/* One file, wherever it lies: described as if it had been found alone (never shadowed), and its components
 * can be loaded; not listed. Borrowed like all else; never NULL. */
const module_desc *registry_file(registry *r, const char *path);

/* Components of MODULE_OK modules, sorted by kind then id. */
int registry_n_components(const registry *r);
const component_desc *registry_component(const registry *r, int i);

/* The component `id` of a kind, from module `from` (NULL: any). Otherwise NULL and *why (caller frees) tells
 * all: not found with near names and where it looked; there is one of another kind; two modules offer it
 * (both files; "say from: MODULE"); the module was refused and why. */
const component_desc *registry_find(const registry *r, uint32_t kind, const char *id, const char *from,
                                    char **why);

/* [main] Load the module of c (once), check the live tables against ABI and note, run its init. The live
 * component, or NULL with err (file, and the system loader's own reason). */
const dal_component *registry_load(registry *r, const component_desc *c, const dal_host *host,
                                   dal_error *err);

/* The live module that is or would be loaded by registry_load, checked like there, init not run. */
const dal_plugin *registry_open(registry *r, const module_desc *m, dal_error *err);

/* Does a model's note promise all of a strategy's needs (space-separated)? Every model has outputs, and the host
 * itself shows the dataset's labels to a strategy that needs them. */
bool component_offers(const component_desc *model, const char *needs);

const char *kind_name(uint32_t kind);      /* "strategy", ... */
uint32_t kind_from_name(const char *name); /* 0: none */
const char *param_type_name(uint32_t type); /* "I64", ... as in notes */

#endif
