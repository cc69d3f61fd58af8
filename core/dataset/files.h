/* dataset/files.h: the files of a card: where they are, and whether they are those that the card means.
 */
#ifndef DALHOST_DATASET_FILES_H
#define DALHOST_DATASET_FILES_H

#include "manifest/card.h"

/* Where a file of a card is: in the first of the folders of data that has it, else beside the card. Caller frees;
 * NULL: nowhere. */
char *card_file_where(const card *c, const card_file *f);

typedef enum card_state { CARD_MISSING, CARD_PARTLY, CARD_THERE } card_state;
/* Of the files that are not optional; a card without files is there. *bytes (may be NULL): of all that are. */
card_state card_state_of(const card *c, int64_t *bytes);
const char *card_state_name(card_state s); /* "missing", "partly", "there" */

/* Told every so often; not 0: stop. */
typedef struct hash_watch {
    int (*tell)(void *ctx, int64_t done, int64_t total);
    void *ctx;
} hash_watch;

/* SHA-256 of a file's bytes as 64 digits, and how many bytes there are. watch may be NULL. DAL_E_CANCELLED when it says
 * so. */
dal_status file_sha256(const char *path, const hash_watch *watch, char out[65], int64_t *bytes, dal_error *err);

#endif
