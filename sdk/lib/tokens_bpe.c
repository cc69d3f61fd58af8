/* Byte-level BPE.
 *
 * Each part of a text starts as the tokens of its bytes, a linked list. Of the pairs of neighbours those of the lowest
 * rank merge first, from left to right, all that are there before any that the merging makes; a heap of rank << 32 |
 * place finds them. What became of short parts is kept in a cache.
 */
#include "tokens.h"

#include <dal/file.h>
#include <dal/text.h>
#include <limits.h>
#include <pthread.h>
#include <utf8proc.h>

/* ---- opening ------------------------------------------------------------------------------------ */

static uint64_t pair_slot(uint64_t pair)
{
    return (pair * 0x9e3779b97f4a7c15u) >> 24;
}

static merge *find_merge(const dal_tokens *t, int32_t left, int32_t right)
{
    const uint64_t pair = (uint64_t)(uint32_t)left << 32 | (uint32_t)right, mask = (uint64_t)t->n_merges - 1;
    uint64_t i = pair_slot(pair) & mask;
    while (t->merges[i].rank >= 0 && t->merges[i].pair != pair)
        i = (i + 1) & mask;
    return &t->merges[i];
}

/* The printable character that stands for a byte: itself, or one from U+0100 on. */
static uint32_t character_of(int byte)
{
    uint32_t next = 256;
    for (int b = 0; b < 256; b++) {
        const int itself = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
        if (b == byte)
            return itself ? (uint32_t)b : next;
        next += !itself;
    }
    return next;
}

static dal_status find_bytes(dal_tokens *t, const token_source *words, dal_error *err)
{
    for (int b = 0; b < 256; b++) {
        char c[5] = {0};
        const int n = dal_utf8_put(character_of(b), c);
        t->byte[b] = vocabulary_find(&t->words, c, n);
        if (t->byte[b] < 0)
            return dal_fail(err, DAL_E_FORMAT, words->key,
                            "%s: has no token '%s', which stands for byte %d; expected all 256 of a byte-level "
                            "vocabulary", words->path, c, b);
    }
    return DAL_OK;
}

typedef struct merge_file {
    const token_source *source;
    dal_file *file;
    dal_lines lines;
} merge_file;

static dal_status bad_line(const merge_file *f, const char *what, dal_error *err)
{
    return dal_fail(err, DAL_E_FORMAT, f->source->key, "%s:%lld: %s", f->source->path, (long long)f->lines.line - 1,
                    what);
}

/* The merge of a line of n bytes, of this rank. */
static dal_status take_line(dal_tokens *t, const merge_file *f, const char *line, int64_t n, int32_t rank,
                            dal_error *err)
{
    char joined[2 * DAL_TOKEN_BYTES];
    const char *blank = n > 0 ? memchr(line, ' ', (size_t)n) : NULL;
    const int64_t left = blank ? blank - line : 0, right = n - left - 1;
    if (left < 1 || right < 1 || memchr(blank + 1, ' ', (size_t)right))
        return bad_line(f, "expected two tokens with one space between", err);
    if (left > DAL_TOKEN_BYTES || right > DAL_TOKEN_BYTES)
        return bad_line(f, "a token of more than 1024 bytes", err);
    memcpy(joined, line, (size_t)left);
    memcpy(joined + left, blank + 1, (size_t)right);
    const int32_t a = vocabulary_find(&t->words, line, left), b = vocabulary_find(&t->words, blank + 1, right);
    const int32_t both = vocabulary_find(&t->words, joined, left + right);
    if (a < 0 || b < 0 || both < 0)
        return bad_line(f, a < 0 ? "the first token is not in the vocabulary; expected files that belong together"
                             : b < 0 ? "the second token is not in the vocabulary; expected files that belong together"
                                     : "what the two tokens become is not in the vocabulary; expected files that "
                                       "belong together",
                        err);
    merge *m = find_merge(t, a, b);
    if (m->rank >= 0)
        return bad_line(f, "this pair is in a line before", err);
    *m = (merge){(uint64_t)(uint32_t)a << 32 | (uint32_t)b, rank, both};
    return DAL_OK;
}

/* Every line but a first one "#version...": to take_line, or only counted when `count` is given. */
static dal_status each_line(dal_tokens *t, merge_file *f, int64_t *count, dal_error *err)
{
    int64_t size;
    const char *data = (const char *)dal_file_data(f->file, &size), *line;
    dal_status st = DAL_OK;
    int32_t rank = 0;
    f->lines = dal_lines_open(f->source->path, f->source->key, data, size);
    while (st == DAL_OK) {
        int64_t n;
        st = dal_lines_next(&f->lines, &line, &n, err);
        if (st != DAL_OK || n < 0)
            break;
        if (f->lines.line == 2 && n >= 8 && memcmp(line, "#version", 8) == 0)
            continue;
        if (count)
            ++*count;
        else
            st = take_line(t, f, line, n, rank++, err);
    }
    return st;
}

static dal_status read_merges(dal_tokens *t, const token_source *source, dal_error *err)
{
    merge_file f = {.source = source};
    int64_t n = 0, size = 0;
    dal_status st = dal_file_open(t->host, source->path, source->key, &f.file, err);
    if (st == DAL_OK)
        st = dal_file_load(f.file, (int64_t)64 << 20, 0, err);
    if (st == DAL_OK)
        dal_file_data(f.file, &size);
    if (st == DAL_OK && size > (int64_t)64 << 20)
        st = dal_fail(err, DAL_E_FORMAT, source->key, "%s: %lld bytes are no list of merges, expected at most %lld",
                      source->path, (long long)size, (long long)64 << 20);
    if (st == DAL_OK)
        st = each_line(t, &f, &n, err);
    if (st == DAL_OK) {
        for (t->n_merges = 64; t->n_merges < 2 * n;)
            t->n_merges *= 2;
        t->merges = dal_array(t->host, t->n_merges, sizeof *t->merges);
        if (!t->merges)
            st = dal_fail(err, DAL_E_NOMEM, source->key, "%s: no memory for %lld merges", source->path, (long long)n);
    }
    for (int64_t i = 0; t->merges && i < t->n_merges; i++)
        t->merges[i].rank = -1;
    if (st == DAL_OK)
        st = each_line(t, &f, NULL, err);
    dal_file_close(f.file);
    return st;
}

/* ---- the cache ---------------------------------------------------------------------------------- */

#define CACHE_SLOTS 16384
#define CACHE_LOCKS 64
#define CACHE_BYTES 20 /* of a part that is kept, at most */
#define CACHE_TOKENS 8

typedef struct cache_entry {
    unsigned char size, n; /* size 0: free */
    char bytes[CACHE_BYTES];
    int32_t tokens[CACHE_TOKENS];
} cache_entry;

/* Who finds a slot locked does without: the cache is about time alone. */
struct word_cache {
    pthread_mutex_t locks[CACHE_LOCKS];
    cache_entry slots[CACHE_SLOTS];
};

/* The tokens of bytes[n] into out[CACHE_TOKENS], their number, or 0. */
static int cache_get(word_cache *c, uint64_t h, const char *bytes, int64_t n, int32_t *out)
{
    const cache_entry *e = &c->slots[h % CACHE_SLOTS];
    pthread_mutex_t *lock = &c->locks[h % CACHE_LOCKS];
    int count = 0;
    if (pthread_mutex_trylock(lock) != 0)
        return 0;
    if (e->size == n && memcmp(e->bytes, bytes, (size_t)n) == 0) {
        count = e->n;
        memcpy(out, e->tokens, (size_t)count * sizeof *out);
    }
    pthread_mutex_unlock(lock);
    return count;
}

static void cache_put(word_cache *c, uint64_t h, const char *bytes, int64_t n, const int32_t *tokens, int64_t count)
{
    cache_entry *e = &c->slots[h % CACHE_SLOTS];
    pthread_mutex_t *lock = &c->locks[h % CACHE_LOCKS];
    if (count > CACHE_TOKENS || pthread_mutex_trylock(lock) != 0)
        return;
    e->size = (unsigned char)n;
    e->n = (unsigned char)count;
    memcpy(e->bytes, bytes, (size_t)n);
    memcpy(e->tokens, tokens, (size_t)count * sizeof *tokens);
    pthread_mutex_unlock(lock);
}

dal_status bpe_open(dal_tokens *t, const token_source *words, const token_source *merges, dal_error *err)
{
    dal_status st = vocabulary_read_json(&t->words, t->host, words, err);
    if (st == DAL_OK)
        st = find_bytes(t, words, err);
    if (st == DAL_OK)
        st = read_merges(t, merges, err);
    if (st != DAL_OK)
        return st;
    t->cache = dal_array(t->host, 1, sizeof *t->cache);
    if (!t->cache)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for a tokeniser");
    memset(t->cache, 0, sizeof *t->cache);
    for (int i = 0; i < CACHE_LOCKS; i++)
        pthread_mutex_init(&t->cache->locks[i], NULL);
    return DAL_OK;
}

void bpe_close(dal_tokens *t)
{
    for (int i = 0; t->cache && i < CACHE_LOCKS; i++)
        pthread_mutex_destroy(&t->cache->locks[i]);
    t->host->free(t->host, t->cache);
    t->host->free(t->host, t->merges);
}

/* ---- the parts of a text ------------------------------------------------------------------------ */

enum { LETTER, DIGIT, SPACE, SIGN };

static int class_of(uint32_t c)
{
    if (c < 0x80)
        return (c | 32) >= 'a' && (c | 32) <= 'z' ? LETTER : c >= '0' &&
        c <= '9' ? DIGIT : token_is_space(c) ? SPACE : SIGN;
    switch (utf8proc_category((utf8proc_int32_t)c)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO: return LETTER;
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO: return DIGIT;
    default: return token_is_space(c) ? SPACE : SIGN;
    }
}

/* Bytes of characters of class k at p. *last: of the last one. */
static int64_t run_of(int k, const unsigned char *p, const unsigned char *end, int64_t *last)
{
    const unsigned char *from = p;
    for (*last = 0; p < end;) {
        int bytes;
        if (class_of(dal_utf8_next(p, end, &bytes)) != k)
            break;
        p += bytes;
        *last = bytes;
    }
    return p - from;
}

static int64_t contraction(const unsigned char *p, const unsigned char *end)
{
    static const char *const all[] = {"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        const size_t n = strlen(all[i]);
        if ((size_t)(end - p) >= n && memcmp(p, all[i], n) == 0)
            return (int64_t)n;
    }
    return 0;
}

/* Bytes of the part that begins at p < end: GPT-2's pattern
 * 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+ */
static int64_t next_part(const unsigned char *p, const unsigned char *end)
{
    const int64_t short_form = contraction(p, end);
    const unsigned char *from = *p == ' ' && p + 1 < end ? p + 1 : p;
    int64_t last;
    int bytes;
    if (short_form > 0)
        return short_form;
    const int k = class_of(dal_utf8_next(from, end, &bytes));
    if (k != SPACE)
        return from - p + run_of(k, from, end, &last);
    const int64_t run = run_of(SPACE, p, end, &last);
    return p + run < end && run > last ? run - last : run;
}

/* ---- merging ------------------------------------------------------------------------------------ */

#define SMALL 64 /* bytes of a part that needs no memory */

/* A part of n bytes. Places are numbers of bytes; those that were merged into the one before are dead. */
typedef struct part {
    const dal_tokens *t;
    int64_t n;
    /* [n]; next n: none, before -1: none; rank of the pair that begins here, -1: none */
    int32_t *token, *next, *before, *rank;
    uint64_t *heap; /* [3 n], as many as pairs ever are: rank << 32 | place; those for later at its end */
    int64_t n_heap, n_later;
} part;

static void heap_push(part *w, uint64_t x)
{
    int64_t i = w->n_heap++;
    for (; i > 0 && w->heap[(i - 1) / 2] > x; i = (i - 1) / 2)
        w->heap[i] = w->heap[(i - 1) / 2];
    w->heap[i] = x;
}

static uint64_t heap_pop(part *w)
{
    const uint64_t top = w->heap[0], x = w->heap[--w->n_heap];
    int64_t i = 0;
    for (int64_t child; (child = 2 * i + 1) < w->n_heap; i = child) {
        child += child + 1 < w->n_heap && w->heap[child + 1] < w->heap[child];
        if (w->heap[child] >= x)
            break;
        w->heap[i] = w->heap[child];
    }
    w->heap[i] = x;
    return top;
}

/* The pair that begins at a place is another one now. */
static void new_pair(part *w, int64_t at)
{
    w->rank[at] = w->next[at] < w->n ? find_merge(w->t, w->token[at], w->token[w->next[at]])->rank : -1;
    if (w->rank[at] >= 0)
        w->heap[3 * w->n - ++w->n_later] = (uint64_t)w->rank[at] << 32 | (uint32_t)at;
}

static void merge_at(part *w, int64_t at)
{
    const int32_t right = w->next[at];
    w->token[at] = find_merge(w->t, w->token[at], w->token[right])->token;
    w->next[at] = w->next[right];
    w->rank[right] = -1;
    if (w->next[at] < w->n)
        w->before[w->next[at]] = (int32_t)at;
    new_pair(w, at);
    if (w->before[at] >= 0)
        new_pair(w, w->before[at]);
}

/* Tokens of bytes[n] into w->token, in a list from place 0. */
static void merge_part(part *w, const unsigned char *bytes)
{
    for (int64_t i = 0; i < w->n; i++) {
        w->token[i] = w->t->byte[bytes[i]];
        w->next[i] = (int32_t)(i + 1);
        w->before[i] = (int32_t)(i - 1);
    }
    for (int64_t i = 0; i < w->n; i++)
        new_pair(w, i);
    while (w->n_heap > 0 || w->n_later > 0) {
        for (; w->n_later > 0; w->n_later--)
            heap_push(w, w->heap[3 * w->n - w->n_later]);
        const uint64_t rank = w->heap[0] >> 32;
        while (w->n_heap > 0 && w->heap[0] >> 32 == rank) {
            const int64_t at = (int64_t)(heap_pop(w) & 0xffffffff);
            if (w->rank[at] == (int32_t)rank)
                merge_at(w, at);
        }
    }
}

/* Up to `room` tokens of the part into out; in all: *count. */
static int64_t take_tokens(const part *w, int32_t *out, int64_t room, int64_t *count)
{
    int64_t n = 0;
    *count = 0;
    for (int64_t at = 0; at < w->n; at = w->next[at], ++*count)
        if (n < room)
            out[n++] = w->token[at];
    return n;
}

static int64_t small_part(const dal_tokens *t, const unsigned char *bytes, int64_t n, int32_t *out, int64_t room)
{
    int32_t places[4][SMALL], kept[SMALL];
    uint64_t heap[3 * SMALL];
    int64_t count = 0;
    const int cached = n <= CACHE_BYTES;
    const uint64_t h = cached ? dal_hash64(0, bytes, (size_t)n) : 0;
    if (cached)
        count = cache_get(t->cache, h, (const char *)bytes, n, kept);
    if (count == 0) {
        part w = {t, n, places[0], places[1], places[2], places[3], heap, 0, 0};
        merge_part(&w, bytes);
        take_tokens(&w, kept, SMALL, &count);
        if (cached)
            cache_put(t->cache, h, (const char *)bytes, n, kept, count);
    }
    const int64_t take = count < room ? count : room;
    memcpy(out, kept, (size_t)take * sizeof *out);
    return take;
}

static dal_status large_part(const dal_tokens *t, const unsigned char *bytes, int64_t n, int32_t *out, int64_t room,
                             int64_t *taken, dal_error *err)
{
    const dal_host *host = t->host;
    dal_status st = DAL_OK;
    int64_t count;
    int32_t *places = n < INT32_MAX / 8 ? dal_array(host, 4 * n, sizeof *places) : NULL;
    uint64_t *heap = n < INT32_MAX / 8 ? dal_array(host, 3 * n, sizeof *heap) : NULL;
    if (places && heap) {
        part w = {t, n, places, places + n, places + 2 * n, places + 3 * n, heap, 0, 0};
        merge_part(&w, bytes);
        *taken = take_tokens(&w, out, room, &count);
    } else {
        st = dal_fail(err, DAL_E_NOMEM, "", "no memory for a word of %lld bytes", (long long)n);
    }
    host->free(host, heap);
    host->free(host, places);
    return st;
}

static dal_status encode_part(const dal_tokens *t, const unsigned char *bytes, int64_t n, int32_t *out, int64_t room,
                              int64_t *taken, dal_error *err)
{
    if (n > SMALL)
        return large_part(t, bytes, n, out, room, taken, err);
    *taken = small_part(t, bytes, n, out, room);
    return DAL_OK;
}

/* The first part of a text that takes a space before it, unless it begins with a space already (RoBERTa's rule). */
static dal_status first_part(const dal_tokens *t, const unsigned char *p, int64_t n, int32_t *out, int64_t room,
                             int64_t *bytes, int64_t *taken, dal_error *err)
{
    unsigned char *spaced = dal_array(t->host, n + 1, 1);
    if (!spaced)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for a text of %lld bytes", (long long)n);
    spaced[0] = ' ';
    memcpy(spaced + 1, p, (size_t)n);
    const int64_t size = next_part(spaced, spaced + n + 1);
    const dal_status st = encode_part(t, spaced, size, out, room, taken, err);
    *bytes = size - 1;
    t->host->free(t->host, spaced);
    return st;
}

dal_status bpe_encode(const dal_tokens *t, const char *text, int64_t n, int32_t *out, int64_t room, int64_t *count,
                      dal_error *err)
{
    const unsigned char *p = (const unsigned char *)text, *end = p + n;
    dal_status st = DAL_OK;
    int64_t taken = 0, bytes = 0;
    *count = 0;
    if (t->space_first && n > 0 && room > 0 && !token_is_space(dal_utf8_next(p, end, &(int){0}))) {
        st = first_part(t, p, n, out, room, &bytes, count, err);
        p += bytes;
    }
    while (p < end && *count < room && st == DAL_OK) {
        bytes = next_part(p, end);
        st = encode_part(t, p, bytes, out + *count, room - *count, &taken, err);
        *count += st == DAL_OK ? taken : 0;
        p += bytes;
    }
    return st;
}
