/* dal/tokens.h: (libdal) texts as numbers of a vocabulary: words between white space, WordPiece, byte-level BPE.
 *
 * WordPiece (Schuster & Nakajima, ICASSP 2012; as BERT has it, Devlin et al., NAACL 2019): control characters and
 * U+FFFD are dropped, CJK ideographs stand alone, words end at white space and at each punctuation character; uncased,
 * letters are made small and marks dropped (canonical decomposition, category Mn). Of each word the longest beginning
 * that is in the vocabulary, then the longest that goes on, written ##...; a word of more than 100 characters, or one
 * with a rest that no piece begins, is [UNK] as a whole.
 *
 * Byte-level BPE (Sennrich et al., ACL 2016; as GPT-2 and RoBERTa have it, Radford et al. 2019): contractions, letters,
 * digits and signs are split apart, the space before them theirs; each part is its UTF-8 bytes, and of all neighbours
 * the pair that merges.txt has first becomes one, wherever it stands, until no pair is there. O(n log n) for a part of
 * n bytes.
 *
 * White space: words are what stands between white space, found in the vocabulary or unknown.
 *
 * Texts are plain: "[SEP]" in a text is five characters, not the mark. Letters and categories are those of utf8proc's
 * Unicode version. Small letters are found character by character (a final capital sigma becomes a plain small one).
 *
 * Files are untrusted: bounded, checked whole, and refused with their path, line and what was expected.
 */
#ifndef DAL_TOKENS_H
#define DAL_TOKENS_H

#include <dal/host.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Tokenisers, in the order of the choice that components offer. */
#define DAL_TOKENISERS "wordpiece|bpe|whitespace"
#define DAL_WORDPIECE 0u
#define DAL_BPE 1u
#define DAL_WHITESPACE 2u

#define DAL_TOKENS_MOST ((int64_t)1 << 24) /* of a vocabulary; so each number is exact as a float */
#define DAL_TOKEN_BYTES 1024               /* of a token, at most */

typedef struct dal_tokens_options {
    uint32_t struct_size;
    uint32_t kind; /* DAL_WORDPIECE... */
    /* The files; keys are what messages call them. WordPiece and white space: one token a line, the first is 0.
     * BPE: a JSON object of token: number, each of 0..n-1 once. May be gzip. */
    const char *vocabulary, *vocabulary_key;
    const char *merges, *merges_key; /* BPE: two tokens a line, the first pair merges first */
    /* WordPiece and white space: instead of a file, the tokens in the order of their numbers. */
    const char *const *tokens;
    int64_t n_tokens;
    uint32_t cased;       /* WordPiece and white space: letters stay as they are */
    uint32_t space_first; /* BPE: as if a space stood before the text */
} dal_tokens_options;

/* A tokeniser: constant but for a cache that shows in nothing but time. [any] but for open and close. */
typedef struct dal_tokens dal_tokens;

/* [main] Strings of the options need not outlive the call. */
DAL_PUBLIC dal_status dal_tokens_open(const dal_host *host, const dal_tokens_options *options, dal_tokens **out,
                                      dal_error *err);
DAL_PUBLIC void dal_tokens_close(dal_tokens *t); /* [main] accepts NULL */

DAL_PUBLIC int64_t dal_tokens_count(const dal_tokens *t); /* numbers are 0..count-1 */
#define DAL_TOKEN_NONE (-1)
/* The number of a token as the vocabulary writes it, or DAL_TOKEN_NONE. */
DAL_PUBLIC int32_t dal_tokens_find(const dal_tokens *t, const char *token);
/* A token as the vocabulary writes it (BPE: one printable character for each byte), *bytes long, not ended by NUL. */
DAL_PUBLIC const char *dal_tokens_text(const dal_tokens *t, int32_t token, int64_t *bytes);

/* Tokens with a meaning of their own: [PAD] [UNK] [CLS] [SEP] [MASK] or <pad> <unk> <s> </s> <mask>, whichever is
 * there; a BPE vocabulary without <s> has <|endoftext|> for BEGIN and END (GPT-2). DAL_TOKEN_NONE: not in the
 * vocabulary. */
#define DAL_TOKEN_PAD 0u
#define DAL_TOKEN_UNKNOWN 1u
#define DAL_TOKEN_BEGIN 2u
#define DAL_TOKEN_END 3u
#define DAL_TOKEN_MASK 4u
#define DAL_TOKEN_MEANINGS 5u
DAL_PUBLIC int32_t dal_tokens_special(const dal_tokens *t, uint32_t meaning);

/* The first `room` tokens of text[n] into out; *count: how many were written. Text that is no UTF-8 is
 * DAL_E_INVALID. */
DAL_PUBLIC dal_status dal_tokens_encode(const dal_tokens *t, const char *text, int64_t n, int32_t *out, int64_t room,
                                        int64_t *count, dal_error *err);
/* A sequence of `length` >= 3: BEGIN, the first length - 2 tokens, END, then DAL_TOKEN_NONE from *used on. With
 * `plain`, neither BEGIN nor END; DAL_E_UNSUPPORTED where they are asked for and not in the vocabulary. */
DAL_PUBLIC dal_status dal_tokens_sequence(const dal_tokens *t, const char *text, int64_t n, int plain, int32_t *out,
                                          int64_t length, int64_t *used, dal_error *err);

/* ---- a vocabulary of the words there are --------------------------------------------------------- */

/* Counts words between white space, to make a DAL_WHITESPACE tokeniser of those that most texts have. One thread at a
 * time. */
typedef struct dal_word_counts dal_word_counts;
/* cased: as in the options. NULL without memory. */
DAL_PUBLIC dal_word_counts *dal_word_counts_new(const dal_host *host, uint32_t cased);
DAL_PUBLIC void dal_word_counts_free(dal_word_counts *w); /* accepts NULL */
/* One text more. Words of more than DAL_TOKEN_BYTES bytes are left out. */
DAL_PUBLIC dal_status dal_word_counts_add(dal_word_counts *w, const char *text, int64_t n, dal_error *err);
/* The tokeniser: <pad> 0, <unk> 1, then the words that `least` texts or more have, at most `most` (0: any number) of
 * them, those of most texts first, of equally many in byte order. */
DAL_PUBLIC dal_status dal_word_counts_tokens(const dal_word_counts *w, int64_t least, int64_t most, dal_tokens **out,
                                             dal_error *err);

#ifdef __cplusplus
}
#endif
#endif
