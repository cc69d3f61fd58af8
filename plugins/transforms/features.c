/* Pieces of texts, and a vocabulary of them. */
#include "features.h"

#include <stdlib.h>

static dal_status no_memory(dal_error *err)
{
    return dal_fail(err, DAL_E_NOMEM, "", "no memory for the words of the texts");
}

/* Make *p hold `need` elements of `size`, keeping the first `used`. */
static dal_status reserve(const dal_host *host, void *p, int64_t *have, int64_t need, int64_t used, size_t size,
                          dal_error *err)
{
    void *old;
    if (need <= *have)
        return DAL_OK;
    const int64_t room = need > 2 * *have ? need : 2 * *have;
    void *larger = dal_array(host, room, size);
    if (!larger)
        return no_memory(err);
    memcpy(&old, p, sizeof old);
    if (used > 0)
        memcpy(larger, old, (size_t)used * size);
    host->free(host, old);
    memcpy(p, &larger, sizeof larger);
    *have = room;
    return DAL_OK;
}

/* ---- pieces ------------------------------------------------------------------------------------- */

void piece_room_free(piece_room *r, const dal_host *host)
{
    host->free(host, r->joined);
    host->free(host, r->at);
    host->free(host, r->word);
    *r = (piece_room){0};
}

/* All runs of from..to characters of <word>; a word with fewer than `from` has none. */
static void show_characters(const pieces *p, const char *word, int64_t n,
                            void (*show)(void *, uint32_t, const char *, int64_t), void *ctx)
{
    for (int64_t first = 0; first < n; first++) {
        int64_t end = first, count = 0;
        if (((unsigned char)word[first] & 0xc0) == 0x80)
            continue;
        while (end < n && count < p->char_to) {
            for (end++; end < n && ((unsigned char)word[end] & 0xc0) == 0x80; end++)
                ;
            if (++count >= p->char_from)
                show(ctx, PIECE_CHARACTERS, word + first, end - first);
        }
    }
}

/* The words of the text, joined; *n of them. */
static dal_status join_words(const pieces *p, const dal_host *host, const char *text, int64_t size, piece_room *r,
                             int64_t *n, dal_error *err)
{
    int64_t at = 0, bytes, characters, to = 0;
    const char *word;
    *n = 0;
    dal_status st = reserve(host, &r->joined, &r->n_joined, size + 1, 0, 1, err);
    if (st == DAL_OK)
        st = reserve(host, &r->at, &r->n_at, 64, 0, sizeof *r->at, err);
    while (st == DAL_OK && (word = dal_next_word(text, size, &at, &bytes, &characters))) {
        if (characters < p->shortest)
            continue;
        st = reserve(host, &r->at, &r->n_at, *n + 2, *n, sizeof *r->at, err);
        if (st != DAL_OK)
            break;
        r->at[(*n)++] = to;
        memcpy(r->joined + to, word, (size_t)bytes);
        to += bytes;
        r->joined[to++] = ' ';
    }
    if (st == DAL_OK)
        r->at[*n] = to;
    return st;
}

dal_status pieces_of(const pieces *p, const dal_host *host, const char *text, int64_t size, piece_room *r,
                     void (*show)(void *ctx, uint32_t kind, const char *piece, int64_t bytes), void *ctx,
                     dal_error *err)
{
    int64_t n = 0;
    dal_status st = join_words(p, host, text, size, r, &n, err);
    for (int64_t i = 0; i < n && st == DAL_OK; i++) {
        const char *word = r->joined + r->at[i];
        for (int64_t k = 1; k <= p->words && i + k <= n; k++)
            show(ctx, PIECE_WORDS, word, r->at[i + k] - 1 - r->at[i]);
        if (p->char_to == 0)
            continue;
        const int64_t bytes = r->at[i + 1] - 1 - r->at[i];
        st = reserve(host, &r->word, &r->n_word, bytes + 2, 0, 1, err);
        if (st != DAL_OK)
            break;
        r->word[0] = '<';
        memcpy(r->word + 1, word, (size_t)bytes);
        r->word[bytes + 1] = '>';
        show_characters(p, r->word, bytes + 2, show, ctx);
    }
    return st;
}

/* ---- vocabulary --------------------------------------------------------------------------------- */

static int32_t *slot_of(const vocabulary *v, const char *piece, int64_t size)
{
    uint64_t i = dal_hash64(0, piece, (size_t)size) & (uint64_t)(v->room - 1);
    for (; v->slots[i] >= 0; i = (i + 1) & (uint64_t)(v->room - 1)) {
        const vocabulary_piece *p = &v->pieces[v->slots[i]];
        if (p->size == size && memcmp(v->bytes + p->at, piece, (size_t)size) == 0)
            break;
    }
    return &v->slots[i];
}

static dal_status rehash(vocabulary *v, const dal_host *host, dal_error *err)
{
    const int64_t room = v->room ? 2 * v->room : 4096;
    int32_t *slots = dal_array(host, room, sizeof *slots);
    if (!slots)
        return no_memory(err);
    host->free(host, v->slots);
    v->slots = slots;
    v->room = room;
    memset(slots, 0xff, (size_t)room * sizeof *slots);
    for (int64_t i = 0; i < v->n; i++)
        *slot_of(v, v->bytes + v->pieces[i].at, v->pieces[i].size) = (int32_t)i;
    return DAL_OK;
}

dal_status vocabulary_add(vocabulary *v, const dal_host *host, const char *piece, int64_t size, int64_t text,
                          dal_error *err)
{
    dal_status st = 2 * v->n >= v->room ? rehash(v, host, err) : DAL_OK;
    if (st != DAL_OK)
        return st;
    int32_t *slot = slot_of(v, piece, size);
    if (*slot < 0) {
        if (v->n >= INT32_MAX / 4)
            return dal_fail(err, DAL_E_OVERFLOW, "", "more than %d different pieces of text; use hashing",
                            INT32_MAX / 4);
        st = reserve(host, &v->bytes, &v->room_bytes, v->n_bytes + size, v->n_bytes, 1, err);
        if (st == DAL_OK)
            st = reserve(host, &v->pieces, &v->room_n, v->n + 1, v->n, sizeof *v->pieces, err);
        if (st != DAL_OK)
            return st;
        memcpy(v->bytes + v->n_bytes, piece, (size_t)size);
        v->pieces[v->n] = (vocabulary_piece){v->n_bytes, size, 0, -1};
        v->n_bytes += size;
        *slot = (int32_t)v->n++;
    }
    vocabulary_piece *p = &v->pieces[*slot];
    p->df += p->last != text;
    p->last = text;
    return DAL_OK;
}

int32_t vocabulary_find(const vocabulary *v, const char *piece, int64_t bytes)
{
    const int32_t i = v->room ? *slot_of(v, piece, bytes) : -1;
    return i < 0 ? -1 : v->column[i];
}

typedef struct entry {
    const char *bytes;
    int64_t n, df;
    int32_t index;
} entry;

static int by_bytes(const void *a, const void *b)
{
    const entry *x = a, *y = b;
    const int c = memcmp(x->bytes, y->bytes, (size_t)(x->n < y->n ? x->n : y->n));
    return c ? c : (x->n > y->n) - (x->n < y->n);
}

static int by_df(const void *a, const void *b)
{
    const entry *x = a, *y = b;
    return x->df != y->df ? (x->df < y->df) - (x->df > y->df) : by_bytes(a, b);
}

dal_status vocabulary_settle(vocabulary *v, const dal_host *host, int64_t least, int64_t most, int64_t limit,
                             int64_t *n, int64_t **df, dal_error *err)
{
    entry *order = dal_array(host, v->n, sizeof *order);
    v->column = dal_array(host, v->n, sizeof *v->column);
    *df = NULL;
    *n = 0;
    if (!order || !v->column) {
        host->free(host, order);
        return no_memory(err);
    }
    for (int64_t i = 0; i < v->n; i++) {
        v->column[i] = -1;
        const vocabulary_piece *p = &v->pieces[i];
        if (p->df >= least && p->df <= most)
            order[(*n)++] = (entry){v->bytes + p->at, p->size, p->df, (int32_t)i};
    }
    if (limit > 0 && *n > limit) {
        qsort(order, (size_t)*n, sizeof *order, by_df);
        *n = limit;
    }
    qsort(order, (size_t)*n, sizeof *order, by_bytes);
    *df = dal_array(host, *n, sizeof **df);
    for (int64_t i = 0; i < *n && *df; i++) {
        v->column[order[i].index] = (int32_t)i;
        (*df)[i] = order[i].df;
    }
    host->free(host, order);
    return *df ? DAL_OK : no_memory(err);
}

void vocabulary_free(vocabulary *v, const dal_host *host)
{
    host->free(host, v->bytes);
    host->free(host, v->pieces);
    host->free(host, v->slots);
    host->free(host, v->column);
    *v = (vocabulary){0};
}
