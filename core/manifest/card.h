/* manifest/card.h: datasets known by name. The card NAME.yaml says which files a dataset has, which loader reads
 * them, and what is in it:
 *
 *     card: 1                         # version of this format
 *     name: mnist                     # the file's name
 *     title: MNIST, handwritten digits
 *     modality: image                 # vector, image, text or sparse
 *     shape: [1, 28, 28]              # of a sample; not of text
 *     classes: ["0", "1", ...]        # names, in order
 *     counts: {train: [...], validation: [...], test: [...]}     # of each class, or of all in one number
 *     normalise: {mean: [0.1307], std: [0.3081]}    # per channel, of values in 0..1
 *     dataset: {use: idx, train_images: mnist/train-images-idx3-ubyte.gz, ...}
 *     transforms: [...]               # what belongs to it; those of a manifest come after
 *     files:
 *       - {path: mnist/train-images-idx3-ubyte.gz, size: 9912422, sha256: 440f..., url: https://..., optional: false}
 *     licence: ..., citation: ..., home: ..., notes: [...]
 *
 * card, name, title, modality and dataset must be there. Paths are relative to the folders of data, and stay in
 * them; an absolute one has no url. A manifest that says `dataset: {use: mnist}` means the loader with these
 * parameters, and those beside `use` instead of the card's.
 */
#ifndef DALHOST_MANIFEST_CARD_H
#define DALHOST_MANIFEST_CARD_H

#include <dal/dataset.h>

#include "manifest/tree.h"

typedef struct card_file {
    const char *path, *url, *sha256; /* url, sha256: "" when there is none */
    int64_t size;                    /* -1: not known */
    bool optional;
    place at;
} card_file;

typedef struct card {
    const char *path; /* of the card; what places in it name */
    const char *name, *title, *modality, *licence, *citation, *home;
    const int64_t *shape;
    int64_t n_shape;
    const char *const *classes;
    int64_t n_classes; /* 0: not told */
    const int64_t *counts[DAL_SPLITS]; /* [n_counts]: of all, or of each class */
    int64_t n_counts[DAL_SPLITS];
    const double *mean, *std; /* [n_mean], [n_std] */
    int64_t n_mean, n_std;
    const char *const *notes;
    int64_t n_notes;
    const node *dataset;    /* a mapping with `use` */
    const node *transforms; /* a list, or NULL */
    card_file *files;
    int n_files;
} card;

/* The card yaml[n], or NULL with errors in d. All of it lives in mem; path is borrowed. */
card *card_parse(arena *mem, const char *path, const char *yaml, size_t n, diags *d);
/* Samples of a split that it tells, -1: it does not. */
int64_t card_count(const card *c, uint32_t split);

/* ---- all there are ---- */

typedef struct cards cards;

/* Over these folders; the first that has a card of a name wins. Nothing is read yet; folders may be missing. */
cards *cards_new(const char *const *dirs, int n);
void cards_free(cards *c); /* and all cards; accepts NULL */

/* NULL: there is none, or it is faulty (errors in d). Lives as long as c. */
const card *cards_find(cards *c, const char *name, diags *d);
/* Was it found faulty? */
bool cards_faulty(const cards *c, const char *name);
/* Their names, in order. */
int cards_count(cards *c);
const char *cards_name(cards *c, int i);
/* The one that a slip of this kind may mean, or NULL. */
const char *cards_near(cards *c, const char *name);
/* "; looked in A, B", for messages. Caller frees. */
char *cards_looked(const cards *c);

#endif
