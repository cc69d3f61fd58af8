/* manifest/reader.h: from the tree to typed values. Private to core/manifest. */
#ifndef DALHOST_MANIFEST_READER_H
#define DALHOST_MANIFEST_READER_H

#include "manifest/card.h"
#include "manifest/domain.h"
#include "manifest/manifest.h"
#include "manifest/tree.h"

#define READER_MAX_ERRORS 100      /* more help nobody, and would take long to sort */
#define READER_MAX_COMPONENTS 2048 /* of one manifest, with those that defaults name */

/* A default that is being read: its faults are the module's. */
typedef struct blame {
    const module_desc *module;
    const char *what; /* "the default of 'hidden' of model 'mlp'" */
} blame;

typedef struct reader {
    arena *mem;
    const registry *reg;
    diags *d;
    const blame *blame;    /* NULL: values of the user */
    const char *directory; /* of the manifest */
    const char *const *data_path;
    int n_data_path;
    cards *cards;     /* NULL: there are none */
    const card *card; /* of the component that is being read; NULL: none. Its nodes are those in its file */
    int errors, depth, components;
} reader;

/* Who has parameters: the manifest itself, one of its sections, a component. */
typedef struct owner {
    const char *prefix; /* before a parameter's name in messages: "", "query.", "model 'mlp': " */
    const char *of;     /* "", " of query", " of model 'mlp'" */
    place at;           /* where a missing parameter is missed */
    const module_desc *module; /* whose defaults they are; NULL: ours */
    const param_desc *params;
    int n_params;
    const char *const *others; /* keys it may have that somebody else reads; NULL-ended, or NULL */
} owner;

/* values.c: an error in the user's text, or in the module that is to blame. */
void complain(reader *rd, place at, const char *fmt, ...) DAL_PRINTF(3, 4);
/* What a node is, after "is": "5", "text 'abc'", "quoted text '5'", "a list", "empty". */
const char *describe(const reader *rd, const node *n);

/* n as a value of p; false after a complaint. label: what it is called, "model 'mlp': hidden". */
bool read_value(reader *rd, const char *label, const node *n, const param_desc *p, param_value *out);

/* params.c: all parameters of o from map (NULL: all defaults) into out[o->n_params]. */
void read_params(reader *rd, const owner *o, const node *map, param_value *out);
/* The default of p alone; the same complaints. */
void read_default(reader *rd, const owner *o, const param_desc *p, param_value *out);
/* A default without complaints, for the schema; false: there is none, or it is bad. */
bool try_default(const registry *reg, arena *mem, const param_desc *p, param_value *out);

/* paths.c: a PATH value as an absolute path, or NULL after a complaint. */
const char *resolve_path(reader *rd, const char *label, const node *n, const param_desc *p);
/* Does a file of the card itself exist in none of the folders it may be in? */
bool card_file_missing(reader *rd, const card *c, const char *path);
/* "A, B": those folders. */
const char *data_folders_list(reader *rd, const card *c);

/* component.c: n as a component of a kind; NULL after a complaint. label: "model". */
component_spec *read_component(reader *rd, const char *label, const node *n, uint32_t kind);
/* A list of the card's transforms, and behind them `own` (NULL: none); NULL when the card has none. */
node *join_transforms(reader *rd, const card *c, node *own);
/* The card that n means by its name; NULL: it means a component, or nothing. A faulty card is complained about. */
const card *card_meant(reader *rd, const node *n);
/* "; installed: a, b, c", at most a dozen; "" when there are none. */
const char *installed_list(const reader *rd, uint32_t kind);

/* sections.c: the manifest's own keys, declared like a component's. */
typedef struct section {
    const char *name, *summary;
    const param_desc *params;
    int n_params;
} section;

enum { ROOT_DALHOST, ROOT_NAME, ROOT_SEED, ROOT_TRIALS, ROOT_DATASET, ROOT_TRANSFORMS, ROOT_MODEL,
       ROOT_STRATEGY, ROOT_ORACLE, ROOT_MEMORY, ROOT_N };
enum { INITIAL_SIZE, INITIAL_BALANCED, INITIAL_STRATEGY, INITIAL_N };
enum { QUERY_SIZE, QUERY_ROUNDS, QUERY_CANDIDATES, QUERY_OVER_MEMORY, QUERY_N };
enum { STOP_ACCURACY, STOP_LABELS, STOP_COST, STOP_N };
enum { TRAIN_WARM_START, TRAIN_N };
enum { RECORD_MODELS, RECORD_NEAREST, RECORD_EXPLAIN, RECORD_N };
enum { SECTION_INITIAL, SECTION_QUERY, SECTION_STOP, SECTION_TRAIN, SECTION_RECORD, SECTION_N };
#define SECTION_MAX_PARAMS 4

extern const section manifest_root;
extern const section manifest_sections[SECTION_N];

/* All values of a manifest, as read. */
typedef struct manifest_values {
    param_value root[ROOT_N];
    param_value sections[SECTION_N][SECTION_MAX_PARAMS];
    place section_at[SECTION_N];
} manifest_values;

/* checks.c: what needs no data and no plugin code. */
void check_manifest(reader *rd, const manifest_values *v);

#endif
