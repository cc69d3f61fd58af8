/* manifest/tree.h: YAML as a small tree that remembers where everything stood.
 *
 * Of YAML we take scalars, lists and mappings with text keys. Anchors, aliases, tags and several
 * documents are refused: nothing in a manifest needs them, and they are how small files become large.
 */
#ifndef DALHOST_MANIFEST_TREE_H
#define DALHOST_MANIFEST_TREE_H

#include <stdbool.h>

#include "manifest/arena.h"
#include "util/diag.h"

#define TREE_MAX_TEXT (16u << 20)
#define TREE_MAX_DEPTH 64
#define TREE_MAX_NODES 100000

typedef enum node_kind { NODE_SCALAR, NODE_LIST, NODE_MAP } node_kind;

typedef struct node node;

typedef struct node_entry {
    const char *key;
    place at; /* of the key */
    node *value;
} node_entry;

struct node {
    node_kind kind;
    place at; /* line 0: it came with --set */
    bool plain;          /* scalar without quotes: may be a number, a truth value, nothing */
    const char *text;    /* scalar */
    node **items;        /* list [n] */
    node_entry *entries; /* mapping [n], in file order */
    int n, room;
};

/* The one document in yaml[n], or NULL with errors in d. Duplicate keys and keys that are not text are
 * errors too, but there is a tree (where the first one counts), so that the other faults can be found.
 * placed: false puts every node at {file, 0, 0}. The tree lives in mem; file is borrowed by it. */
node *tree_parse(arena *mem, const char *file, const char *yaml, size_t n, bool placed, diags *d);

/* Apply "a.b.0.c=VALUE" (VALUE in YAML) to the tree, making missing mappings and, at the end of a list,
 * one new item. A component given by its id alone becomes {use: ID} when something is set inside it.
 * Errors, and later complaints about the value, stand at "--set a.b.0.c=VALUE". */
bool tree_set(arena *mem, node *root, const char *assignment, diags *d);

node *node_new(arena *mem, node_kind kind, place at);
void node_append(arena *mem, node *list, node *item);
void node_put(arena *mem, node *map, const char *key, place at, node *value); /* replaces or adds */
const node_entry *node_entry_of(const node *map, const char *key);            /* or NULL */
/* A plain scalar that says nothing: "", "~", "null". */
bool node_is_null(const node *n);

#endif
