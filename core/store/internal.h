/* store/internal.h: what the files of the store share. Nobody else includes it (but its unit test). */
#ifndef DALHOST_STORE_INTERNAL_H
#define DALHOST_STORE_INTERNAL_H

#include "store/store.h"

#include <sqlite3.h>

#define STORE_APPLICATION_ID 0x44414c52 /* "DALR" */
#define STORE_BUSY_MS 30000             /* how long to wait for another process's transaction */
#define STORE_PICK_ROWS      8
#define STORE_CHUNK ((size_t)1 << 20)   /* largest part of a blob */

/* Statements, prepared on first use and kept. Their text is in schema.c. */
typedef enum store_sql {
    SQL_BEGIN_WRITE,
    SQL_BEGIN_READ,
    SQL_COMMIT,
    SQL_ROLLBACK,
    SQL_ADD_RUN,
    SQL_ADD_INITIAL,
    SQL_ADD_LINK,
    SQL_TOUCH_RUN,
    SQL_SET_STATE,
    SQL_SHAPE,
    SQL_READ_ASKED,
    SQL_ADD_ROUND,
    SQL_ADD_RECALL,
    SQL_ADD_PICK,
    SQL_ADD_PICKS, /* STORE_PICK_ROWS at once */
    SQL_ADD_WHY,
    SQL_ADD_FEW,
    SQL_ADD_PSEUDO,
    SQL_DROP_OLD_PARTS,
    SQL_DROP_OLD_BLOBS,
    SQL_ADD_BLOB,
    SQL_ADD_PART,
    SQL_ANSWER,
    SQL_PICK_ANSWER,
    SQL_FIND_RUN,
    SQL_FIND_LIKE,
    SQL_LIST_RUNS,
    SQL_READ_RUN,
    SQL_STANDING,
    SQL_READ_INITIAL,
    SQL_READ_LINKS,
    SQL_READ_ROUNDS,
    SQL_READ_ROUNDS_1, /* of format 1 */
    SQL_READ_RECALL,
    SQL_READ_PICKS,
    SQL_READ_WHY,
    SQL_READ_FEW,
    SQL_READ_PSEUDO,
    SQL_READ_BLOB,
    SQL_READ_PARTS,
    SQL_COUNT
} store_sql;

extern const char *const store_sql_text[SQL_COUNT];
extern const char store_tables[], store_tables_2[], store_tables_3[], store_views[];
extern const char store_upgrade[]; /* of a table of format 1 */

/* A run this handle may write, and what its rounds must fit; read on the first write. */
typedef struct held_run {
    int64_t run;
    int64_t n_pool, n_classes, next_round;
    unsigned char *asked; /* one bit a sample: labelled at the start, or picked; NULL: not read yet */
} held_run;

struct store {
    sqlite3 *db;
    char *path;
    bool read_only;
    int64_t format;
    dal_status status; /* of the last failure of SQLite */
    int lock_fd;     /* -1 until the first lock */
    held_run **held; /* runs this handle may write */
    int64_t n_held;
    run_head *found; /* result of the last store_find_run */
    sqlite3_stmt *statement[SQL_COUNT];
};

/* A value to bind. NaN and a NULL string are stored as NULL. */
typedef struct store_value {
    char kind; /* i d s b */
    int64_t i; /* also the length of bytes */
    double d;
    const void *p;
} store_value;
#define INT(x)      ((store_value){.kind = 'i', .i = (x)})
#define REAL(x)     ((store_value){.kind = 'd', .d = (x)})
#define TEXT(x)     ((store_value){.kind = 's', .p = (x)})
#define BYTES(x, n) ((store_value){.kind = 'b', .p = (x), .i = (int64_t)(n)})
#define NONE        ((store_value){.kind = 0})

/* The statement, reset and bound; NULL (err filled) when that fails. */
sqlite3_stmt *store_bind(store *s, store_sql which, const store_value *v, int n, const char *doing,
                         dal_error *err);
/* Bind, run to the end, reset. `doing` completes "cannot ..." in the message. */
dal_status store_exec_values(store *s, store_sql which, const store_value *v, int n, const char *doing,
                             dal_error *err);
#define store_exec(s, which, doing, err, ...)                              \
    store_exec_values(s, which, (const store_value[]){__VA_ARGS__},        \
                      (int)(sizeof((const store_value[]){__VA_ARGS__}) / sizeof(store_value)), doing, err)
#define store_query(s, which, doing, err, ...)                             \
    store_bind(s, which, (const store_value[]){__VA_ARGS__},               \
               (int)(sizeof((const store_value[]){__VA_ARGS__}) / sizeof(store_value)), doing, err)
/* One row? 1: a row, 0: no more, -1: failed (err filled). Resets the statement unless there is a row. */
int store_step(store *s, sqlite3_stmt *q, const char *doing, dal_error *err);

/* What SQLite says of its last failure, with what to do about it. */
dal_status store_sqlite_error(store *s, int rc, const char *doing, dal_error *err);
/* The content is not what a run store holds. */
dal_status store_damaged(const store *s, dal_error *err, const char *fmt, ...) DAL_PRINTF(3, 4);

/* Begin a transaction, and end it: commit when st is DAL_OK, else roll back. Returns the final status. */
dal_status store_begin(store *s, store_sql how, const char *doing, dal_error *err);
dal_status store_end(store *s, dal_status st, const char *doing, dal_error *err);

/* Locks live in `<store>.lock`, 16 bytes a run; record 0 guards the making of the store. */
dal_status store_lock_record(store *s, int64_t record, bool wait, dal_error *err);
void store_unlock_record(store *s, int64_t record);
void store_forget_run(store *s, int64_t run); /* unlock a run that did not come to be */
/* The run, when this handle may write it; NULL with err filled when not. */
held_run *store_held(store *s, int64_t run, dal_error *err);

/* The words of the tables. -1: no such word. */
int store_answer_of(const char *name);
int store_state_of(const char *name);

#endif
