/* The words of many texts, and the tokeniser of those that most of them have. */
#include "tokens.h"

#include <dal/text.h>
#include <stdlib.h>
#include <utf8proc.h>

typedef struct counted {
    int64_t at, bytes;  /* in dal_word_counts.bytes */
    int64_t texts, last; /* how many have it, and the last that has */
} counted;

struct dal_word_counts {
    const dal_host *host;
    uint32_t cased;
    char *bytes; /* [room_bytes] all words, each ended by NUL */
    int64_t n_bytes, room_bytes;
    counted *words; /* [n] */
    int32_t *slots; /* [room] number of a word, -1: free; room = 2 * memory for words */
    int64_t n, room, n_texts;
};

dal_word_counts *dal_word_counts_new(const dal_host *host, uint32_t cased)
{
    dal_word_counts *w = host->alloc(host, sizeof *w, 0);
    if (w)
        *w = (dal_word_counts){.host = host, .cased = cased};
    return w;
}

void dal_word_counts_free(dal_word_counts *w)
{
    if (!w)
        return;
    const dal_host *host = w->host;
    host->free(host, w->bytes);
    host->free(host, w->words);
    host->free(host, w->slots);
    host->free(host, w);
}

static int32_t *slot_of(const dal_word_counts *w, const char *word, int64_t bytes)
{
    uint64_t i = dal_hash64(0, word, (size_t)bytes) & (uint64_t)(w->room - 1);
    for (; w->slots[i] >= 0; i = (i + 1) & (uint64_t)(w->room - 1)) {
        const counted *c = &w->words[w->slots[i]];
        if (c->bytes == bytes && memcmp(w->bytes + c->at, word, (size_t)bytes) == 0)
            break;
    }
    return &w->slots[i];
}

/* Room for a word more. */
static dal_status grow(dal_word_counts *w)
{
    const int64_t room = w->room ? 2 * w->room : 1024;
    if (2 * w->n < w->room)
        return DAL_OK;
    if (room > INT32_MAX)
        return DAL_E_OVERFLOW;
    counted *words = dal_array(w->host, room / 2, sizeof *words);
    int32_t *slots = dal_array(w->host, room, sizeof *slots);
    if (!words || !slots) {
        w->host->free(w->host, words);
        w->host->free(w->host, slots);
        return DAL_E_NOMEM;
    }
    if (w->n > 0)
        memcpy(words, w->words, (size_t)w->n * sizeof *words);
    w->host->free(w->host, w->words);
    w->host->free(w->host, w->slots);
    w->words = words;
    w->slots = slots;
    w->room = room;
    memset(slots, 0xff, (size_t)room * sizeof *slots);
    for (int64_t i = 0; i < w->n; i++)
        *slot_of(w, w->bytes + words[i].at, words[i].bytes) = (int32_t)i;
    return DAL_OK;
}

static dal_status grow_bytes(dal_word_counts *w, int64_t more)
{
    int64_t room = w->room_bytes ? w->room_bytes : 65536;
    if (w->n_bytes + more <= w->room_bytes)
        return DAL_OK;
    while (room < w->n_bytes + more)
        room *= 2;
    char *bytes = dal_array(w->host, room, 1);
    if (!bytes)
        return DAL_E_NOMEM;
    if (w->n_bytes > 0)
        memcpy(bytes, w->bytes, (size_t)w->n_bytes);
    w->host->free(w->host, w->bytes);
    w->bytes = bytes;
    w->room_bytes = room;
    return DAL_OK;
}

static dal_status count_word(dal_word_counts *w, const char *word, int64_t bytes)
{
    dal_status st = grow(w);
    if (st != DAL_OK)
        return st;
    int32_t *slot = slot_of(w, word, bytes);
    if (*slot < 0) {
        st = grow_bytes(w, bytes + 1);
        if (st != DAL_OK)
            return st;
        memcpy(w->bytes + w->n_bytes, word, (size_t)bytes);
        w->bytes[w->n_bytes + bytes] = '\0';
        w->words[w->n] = (counted){w->n_bytes, bytes, 0, -1};
        w->n_bytes += bytes + 1;
        *slot = (int32_t)w->n++;
    }
    counted *c = &w->words[*slot];
    c->texts += c->last != w->n_texts;
    c->last = w->n_texts;
    return DAL_OK;
}

dal_status dal_word_counts_add(dal_word_counts *w, const char *text, int64_t n, dal_error *err)
{
    const unsigned char *p = (const unsigned char *)text, *end = p + n;
    const int64_t fault = dal_utf8_fault(text, n);
    char word[DAL_TOKEN_BYTES + 4];
    int64_t size = 0;
    if (fault >= 0)
        return dal_fail(err, DAL_E_INVALID, "", "a text to count words of is no UTF-8 at byte %lld", (long long)fault);
    while (p < end || size > 0) {
        int bytes = 0;
        const uint32_t c = p < end ? dal_utf8_next(p, end, &bytes) : ' ';
        p += bytes;
        if (!token_is_space(c)) {
            if (size <= DAL_TOKEN_BYTES)
                size += dal_utf8_put(w->cased ? c : (uint32_t)utf8proc_tolower((utf8proc_int32_t)c), word + size);
            continue;
        }
        const dal_status st = size > 0 && size <= DAL_TOKEN_BYTES ? count_word(w, word, size) : DAL_OK;
        if (st != DAL_OK)
            return dal_fail(err, st, "", "no memory for %lld different words", (long long)w->n + 1);
        size = 0;
    }
    w->n_texts++;
    return DAL_OK;
}

typedef struct ranked {
    const char *word;
    int64_t texts;
} ranked;

static int by_texts(const void *a, const void *b)
{
    const ranked *x = a, *y = b;
    return x->texts != y->texts ? (x->texts < y->texts) - (x->texts > y->texts) : strcmp(x->word, y->word);
}

dal_status dal_word_counts_tokens(const dal_word_counts *w, int64_t least, int64_t most, dal_tokens **out,
                                  dal_error *err)
{
    const dal_host *host = w->host;
    const int64_t limit = most > 0 && most < DAL_TOKENS_MOST - 2 ? most : DAL_TOKENS_MOST - 2;
    ranked *all = dal_array(host, w->n, sizeof *all);
    const char **tokens = dal_array(host, w->n + 2, sizeof *tokens);
    dal_status st = all && tokens ? DAL_OK : dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld words",
                                                      (long long)w->n);
    int64_t n = 0, kept = 2;
    for (int64_t i = 0; i < w->n && st == DAL_OK; i++) {
        const ranked r = {w->bytes + w->words[i].at, w->words[i].texts};
        if (r.texts >= least && strcmp(r.word, "<pad>") != 0 && strcmp(r.word, "<unk>") != 0)
            all[n++] = r;
    }
    if (st == DAL_OK && n > 0)
        qsort(all, (size_t)n, sizeof *all, by_texts);
    if (st == DAL_OK) {
        tokens[0] = "<pad>";
        tokens[1] = "<unk>";
        for (int64_t i = 0; i < n && i < limit; i++)
            tokens[kept++] = all[i].word;
        const dal_tokens_options o = {.struct_size = sizeof o, .kind = DAL_WHITESPACE, .tokens = tokens,
                                      .n_tokens = kept, .cased = w->cased};
        st = dal_tokens_open(host, &o, out, err);
    }
    host->free(host, tokens);
    host->free(host, all);
    return st;
}
