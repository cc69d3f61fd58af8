/* text_tokens.h: what of a text a bag of words looks at, as 64-bit hashes. */
#ifndef TEXT_TOKENS_H
#define TEXT_TOKENS_H

#include <dal/base.h>

#define TEXT_MAX_NGRAM 8

/* A text's words in small letters, its sequences of 2..word_ngrams words (at most TEXT_MAX_NGRAM), and the sequences of
 * char_min..char_max characters of <word> (char_min 0: none). */
typedef struct text_ngrams {
    int64_t word_ngrams, char_min, char_max;
} text_ngrams;

typedef void token_visit(void *ctx, uint64_t token);

/* Every token of text[n], valid UTF-8, as often as it occurs, in a fixed order. */
void text_tokens(const text_ngrams *o, const char *text, int64_t n, token_visit *visit, void *ctx);

#endif
