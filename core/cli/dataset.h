/* cli/dataset.h: what the `dataset` commands share: the cards, and one dataset opened by whatever names it.
 */
#ifndef DALHOST_CLI_DATASET_H
#define DALHOST_CLI_DATASET_H

#include <jansson.h>

#include "cli/cli.h"
#include "manifest/manifest.h"
#include "pipeline/source.h"

typedef struct opened {
    registry *registry;
    cards *cards;
    const card *card; /* that names it; NULL: none does */
    manifest *m;      /* only dataset and transforms are sure to be there */
    composer *composer;
    source *source;
    diags *d;
    char *own[2];
    composer_events events;
    bool quiet; /* complaints stay in d */
} opened;

#define DATASET_OPTIONS                                                                                            \
    {"set", 0, "KEY=VALUE", true,                                                                                      \
     "a parameter of the loader, as in batches=5; with --manifest a key of the manifest"},                             \
    {"manifest", 'm', "FILE", false, "the dataset of this manifest, after its transforms"},                        \
    {"seed", 0, "N", false, "the seed of every random choice (default 1, or the manifest's)"},                      \
    {"threads", 0, "N", false, "use N threads (default: as many as there are)"}

/* All cards, where they are looked for. cards_free. */
cards *dataset_cards(void);

/* Find out what `name` (a card or a loader; NULL: what --manifest says) means. EXIT_OK, or the code to return after
 * the complaints are printed; then o->card is still there when it was found. dataset_close in any case. */
int dataset_resolve(const cli_args *a, const char *name, opened *o);
/* ... and open it. */
int dataset_open(const cli_args *a, opened *o);
void dataset_close(opened *o);

/* A card, with where its files are. */
json_t *describe_card(const card *c);
/* --split; false after a complaint. */
bool split_option(const cli_args *a, uint32_t *split);

#endif
