/* Reading back: heads, standings, blobs. The file may have been written by anybody: every number is checked against the
 * run's own sizes, counts come from the rows that are there, and memory grows with them. */
#include "store/columns.h"

#include <stdlib.h>
#include <xxhash.h>

#include "util/text.h"

/* ---- heads ---- */

/* The texts of a head, and the columns they come from. */
enum { N_TEXTS = 8 };
static const int text_column[N_TEXTS] = {1, 2, 5, 6, 7, 8, 13, 15};
static const char **text_slot(run_head *h, int i)
{
    const char **const slots[N_TEXTS] = {&h->name,        &h->strategy,     &h->manifest,
                                         &h->components,  &h->host_version, &h->abi,
                                         &h->class_names, &h->message};
    return slots[i];
}

/* Heads as they come, their texts as offsets into one string until all are there. */
typedef struct heads {
    run_head *items;
    size_t (*at)[N_TEXTS];
    int64_t n, room;
    text texts;
} heads;

static void heads_fini(heads *h)
{
    free(h->items);
    free(h->at);
    text_free(&h->texts);
}

static dal_status read_numbers(store *s, sqlite3_stmt *q, run_head *h, dal_error *err)
{
    h->id = sqlite3_column_int64(q, 0);
    h->trial = sqlite3_column_int64(q, 3);
    h->n_pool = sqlite3_column_int64(q, 10);
    h->n_test = sqlite3_column_int64(q, 11);
    h->n_classes = sqlite3_column_int64(q, 12);
    h->started = real(q, 16);
    h->changed = real(q, 17);
    const int state = store_state_of(words(q, 14));
    h->state = (run_state)state;
    char *end, low[17] = "", high[17] = "";
    const char *seed = words(q, 4), *print = words(q, 9);
    h->seed = strtoull(seed, &end, 10);
    if (state < 0 || h->id < 1 || h->trial < 0 || h->n_pool < 0 || h->n_test < 0 ||
        !within(h->n_classes, 1, STORE_MAX_CLASSES + 1) || !*seed || *end || strlen(print) != 32)
        return store_damaged(s, err, "run %lld: a number of its head is out of range",
                             (long long)h->id);
    memcpy(high, print, 16);
    memcpy(low, print + 16, 16);
    h->data_fingerprint[0] = strtoull(high, NULL, 16);
    h->data_fingerprint[1] = strtoull(low, NULL, 16);
    return DAL_OK;
}

static dal_status heads_add(heads *h, store *s, sqlite3_stmt *q, dal_error *err)
{
    if (h->n == h->room) {
        h->room = h->room ? 2 * h->room : 8;
        h->items = xrealloc(h->items, (size_t)h->room * sizeof *h->items);
        h->at = xrealloc(h->at, (size_t)h->room * sizeof *h->at);
    }
    run_head *head = &h->items[h->n];
    *head = (run_head){0};
    const dal_status st = read_numbers(s, q, head, err);
    if (st != DAL_OK)
        return st;
    for (int i = 0; i < N_TEXTS; i++) {
        const char *t = words(q, text_column[i]);
        if (!utf8_valid(t, strlen(t), NULL))
            return store_damaged(s, err, "run %lld: a text is not UTF-8", (long long)head->id);
        h->at[h->n][i] = h->texts.n;
        text_add(&h->texts, t);
        text_addf(&h->texts, "%c", 0);
    }
    h->n++;
    return DAL_OK;
}

/* One block: the heads, then their texts. */
static run_head *heads_take(heads *h)
{
    const size_t size = (size_t)h->n * sizeof *h->items;
    char *block = xcalloc(1, size + h->texts.n + 1);
    run_head *out = (run_head *)(void *)block;
    if (h->n > 0) {
        memcpy(out, h->items, size);
        memcpy(block + size, h->texts.s, h->texts.n);
    }
    for (int64_t i = 0; i < h->n; i++)
        for (int t = 0; t < N_TEXTS; t++)
            *text_slot(&out[i], t) = block + size + h->at[i][t];
    heads_fini(h);
    return out;
}

/* All rows of a statement that yields heads. */
dal_status store_read_heads(store *s, sqlite3_stmt *q, const char *doing, run_head **out, int64_t *n, dal_error *err)
{
    heads h = {0};
    dal_status st = q ? DAL_OK : s->status;
    int row = 0;
    while (st == DAL_OK && (row = store_step(s, q, doing, err)) == 1)
        st = heads_add(&h, s, q, err);
    if (st == DAL_OK && row < 0)
        st = s->status;
    if (st != DAL_OK) {
        if (q)
            sqlite3_reset(q);
        heads_fini(&h);
        return st;
    }
    *n = h.n;
    *out = heads_take(&h);
    return DAL_OK;
}

dal_status store_list(store *s, run_head **out, int64_t *n, dal_error *err)
{
    static const char doing[] = "list its runs";
    *out = NULL;
    *n = 0;
    return store_read_heads(s, store_bind(s, SQL_LIST_RUNS, NULL, 0, doing, err), doing, out, n, err);
}

void store_list_free(run_head *list, int64_t n)
{
    (void)n; /* one block */
    free(list);
}

dal_status store_find_run(store *s, const run_head *like, bool finished, run_head *head, dal_error *err)
{
    static const char doing[] = "look for the run";
    char seed[24];
    snprintf(seed, sizeof seed, "%llu", (unsigned long long)like->seed);
    sqlite3_stmt *q =
        like->strategy ? store_query(s, SQL_FIND_RUN, doing, err, TEXT(like->strategy), INT(like->trial), TEXT(seed),
                                     TEXT(like->manifest), TEXT(like->components), INT(finished), INT(like->id))
                       : store_query(s, SQL_FIND_LIKE, doing, err, TEXT(like->manifest), TEXT(like->components),
                                     INT(finished), INT(like->id));
    int64_t n = 0;
    run_head *found = NULL;
    dal_status st = store_read_heads(s, q, doing, &found, &n, err);
    if (q)
        sqlite3_clear_bindings(q);
    if (st == DAL_OK && n == 0)
        st = dal_fail(err, DAL_E_NOT_FOUND, "store",
                      "%s: no %srun of this manifest with strategy %s, trial "
                      "%lld, seed %s",
                      s->path, finished ? "" : "unfinished ", like->strategy ? like->strategy : "any",
                      (long long)like->trial, seed);
    if (st != DAL_OK) {
        free(found);
        return st;
    }
    store_list_free(s->found, 1);
    s->found = found;
    *head = *found;
    return DAL_OK;
}

dal_status store_read_standing(store *s, int64_t run, run_standing *out, dal_error *err)
{
    *out = (run_standing){.accuracy = NAN};
    sqlite3_stmt *q = store_query(s, SQL_STANDING, doing_read, err, INT(run));
    const int row = q ? store_step(s, q, doing_read, err) : -1;
    if (row == 1) {
        *out = (run_standing){sqlite3_column_int64(q, 0), sqlite3_column_int64(q, 1), real(q, 2)};
        sqlite3_reset(q);
    }
    return row < 0 ? s->status : DAL_OK;
}

/* ---- blobs ---- */

static dal_status fill_blob(store *s, int64_t run, int64_t round, const char *what, char *data,
                            size_t n, dal_error *err)
{
    sqlite3_stmt *q = store_query(s, SQL_READ_PARTS, doing_read, err, INT(run), INT(round), TEXT(what));
    if (!q)
        return s->status;
    size_t at = 0;
    int row;
    while ((row = store_step(s, q, doing_read, err)) == 1) {
        const size_t part = (size_t)sqlite3_column_bytes(q, 0);
        const void *bytes = sqlite3_column_blob(q, 0);
        if (part > n - at || (part > 0 && !bytes))
            break;
        memcpy(data + at, bytes ? bytes : "", part);
        at += part;
    }
    sqlite3_reset(q);
    if (row < 0)
        return s->status;
    return at == n ? DAL_OK
                   : store_damaged(s, err, "run %lld, round %lld: its %s has another size than noted",
                                   (long long)run, (long long)round, what);
}

static dal_status read_blob(store *s, int64_t run, int64_t round, const char *what, void **data,
                            size_t *n, dal_error *err)
{
    sqlite3_stmt *q = store_query(s, SQL_READ_BLOB, doing_read, err, INT(run), INT(round), TEXT(what));
    const int row = q ? store_step(s, q, doing_read, err) : -1;
    if (row < 0)
        return s->status;
    if (row == 0)
        return dal_fail(err, DAL_E_NOT_FOUND, "store", "%s: run %lld keeps no %s of round %lld",
                        s->path, (long long)run, what, (long long)round);
    const int64_t bytes = sqlite3_column_int64(q, 0), there = integer(q, 2, 0);
    const uint64_t sum = strtoull(words(q, 1), NULL, 16);
    sqlite3_reset(q);
    if (bytes < 0 || bytes != there) /* so memory is only taken for bytes that exist */
        return store_damaged(s, err, "run %lld, round %lld: its %s has %lld bytes, %lld were noted",
                             (long long)run, (long long)round, what, (long long)there,
                             (long long)bytes);
    *n = (size_t)bytes;
    *data = malloc(*n ? *n : 1);
    if (!*data)
        return dal_fail(err, DAL_E_NOMEM, "store", "%s: no memory for %lld bytes: the %s of round %lld",
                        s->path, (long long)bytes, what, (long long)round);
    const dal_status st = fill_blob(s, run, round, what, *data, *n, err);
    if (st == DAL_OK && XXH3_64bits(*data, *n) != sum)
        return store_damaged(s, err, "run %lld, round %lld: its %s does not match its checksum",
                             (long long)run, (long long)round, what);
    return st;
}

dal_status store_read_blob(store *s, int64_t run, int64_t round, const char *what, void **data,
                           size_t *n, dal_error *err)
{
    *data = NULL;
    *n = 0;
    dal_status st = store_begin(s, SQL_BEGIN_READ, doing_read, err);
    if (st == DAL_OK)
        st = store_end(s, read_blob(s, run, round, what, data, n, err), doing_read, err);
    if (st != DAL_OK) {
        free(*data);
        *data = NULL;
        *n = 0;
    }
    return st;
}
