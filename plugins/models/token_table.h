/* token_table.h: which of many 64-bit tokens have a row, and how often each came. */
#ifndef TOKEN_TABLE_H
#define TOKEN_TABLE_H

#include <dal/host.h>

/* Zero-initialise but for host. Rows are numbered in the order their tokens came. */
typedef struct token_table {
    const dal_host *host;
    int64_t n;
    uint64_t *token; /* [n] of each row */
    int64_t *count;  /* [n] */
    int64_t room;    /* rows there is memory for */
    int32_t *slot;   /* [slots] row + 1, or 0 */
    int64_t slots;   /* a power of two, or 0 */
} token_table;

/* The row of a token, or -1. */
int64_t token_find(const token_table *t, uint64_t token);
/* Count it once more; its row, -1 without memory (or beyond 2^31 rows). */
int64_t token_add(token_table *t, uint64_t token);
/* Only rows counted `least` times or more, in their order. */
dal_status token_keep(token_table *t, int64_t least);
void token_free(token_table *t);

#endif
