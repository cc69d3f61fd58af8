#include "text_tokens.h"

#include <dal/text.h>

static uint64_t mix(uint64_t h)
{
    h ^= h >> 32;
    h *= 0xd6e8feb86659fd93u;
    h ^= h >> 32;
    return h;
}

/* FNV-1a, begun with h. */
static uint64_t hash(uint64_t h, const char *p, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        h = (h ^ (unsigned char)p[i]) * 0x100000001b3u;
    return h;
}

#define WORDS 0xcbf29ce484222325u
#define CHARACTERS 0x9ae16a3b2f90404fu

/* Sequences of characters of <word>, its characters beginning at start[0..n], start[n] its end. */
static void visit_characters(const text_ngrams *o, const char *word, const int64_t *start, int64_t n,
                             token_visit *visit, void *ctx)
{
    for (int64_t i = 0; i < n; i++)
        for (int64_t k = o->char_min; k <= o->char_max && i + k <= n; k++)
            visit(ctx, mix(hash(CHARACTERS, word + start[i], start[i + k] - start[i])));
}

#define MAX_WORD 256 /* characters; what is longer is no word of any language and counts as its beginning */

void text_tokens(const text_ngrams *o, const char *text, int64_t n, token_visit *visit, void *ctx)
{
    uint64_t before[TEXT_MAX_NGRAM] = {0}; /* hashes of the last words, the latest first */
    int64_t at = 0, bytes, characters, seen = 0, start[MAX_WORD + 3];
    char word[4 * (MAX_WORD + 2)];
    for (const char *w; (w = dal_next_word(text, n, &at, &bytes, &characters)); seen++) {
        int64_t size = 1, k = 1;
        word[0] = '<';
        start[0] = 0;
        for (const char *p = w; p < w + bytes && k <= MAX_WORD; k++) {
            int width;
            start[k] = size;
            size += dal_utf8_put(dal_lower(dal_utf8_next((const unsigned char *)p, (const unsigned char *)w + bytes,
                                                         &width)),
                                 word + size);
            p += width;
        }
        start[k] = size;
        word[size] = '>';
        start[k + 1] = size + 1;
        memmove(before + 1, before, sizeof before - sizeof *before);
        before[0] = hash(WORDS, word + 1, size - 1);
        uint64_t sequence = 0;
        for (int64_t i = 0; i < o->word_ngrams && i <= seen; i++) {
            sequence = mix(sequence * 0x9e3779b97f4a7c15u + before[i]);
            visit(ctx, sequence);
        }
        if (o->char_min > 0)
            visit_characters(o, word, start, k + 1, visit, ctx);
    }
}
