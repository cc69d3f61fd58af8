/* columns.h: what comes back from the store: its columns, and the heads of its runs. */
#ifndef STORE_COLUMNS_H
#define STORE_COLUMNS_H

#include "store/internal.h"

#include <math.h>

static const char doing_read[] = "read the run";

static inline double real(sqlite3_stmt *q, int column)
{
    return sqlite3_column_type(q, column) == SQLITE_NULL ? (double)NAN
                                                         : sqlite3_column_double(q, column);
}

/* NULL reads as `missing`. */
static inline int64_t integer(sqlite3_stmt *q, int column, int64_t missing)
{
    return sqlite3_column_type(q, column) == SQLITE_NULL ? missing : sqlite3_column_int64(q, column);
}

static inline const char *words(sqlite3_stmt *q, int column)
{
    const char *t = (const char *)sqlite3_column_text(q, column);
    return t ? t : "";
}

static inline bool within(int64_t x, int64_t low, int64_t end)
{
    return x >= low && x < end;
}

/* The heads that q gives, and the texts they point to, in one block. */
dal_status store_read_heads(store *s, sqlite3_stmt *q, const char *doing, run_head **out, int64_t *n, dal_error *err);

#endif
