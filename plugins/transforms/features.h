/* features.h: what `hashing` and `tf-idf` share: the words of texts as rows of a sparse matrix. */
#ifndef TRANSFORMS_FEATURES_H
#define TRANSFORMS_FEATURES_H

#include <dal/derived.h>
#include <dal/text.h>

/* Which pieces of a text count: runs of 1..words words, and inside each word, written <word>, runs of
 * char_from..char_to characters. */
typedef struct pieces {
    int64_t words, shortest; /* shortest: characters of a word that counts */
    int64_t char_from, char_to; /* 0: none */
} pieces;

#define PIECE_WORDS 0u
#define PIECE_CHARACTERS 1u

/* Memory for one text at a time; zeroed, then kept from text to text. */
typedef struct piece_room {
    char *joined;    /* the words of the text with one blank between */
    int64_t *at;     /* [n_words + 1] where each begins */
    char *word;      /* one word in < and > */
    int64_t n_joined, n_at, n_word; /* sizes of the three */
} piece_room;

/* [any] Show each piece of text[n], in the order of the text. */
dal_status pieces_of(const pieces *p, const dal_host *host, const char *text, int64_t n, piece_room *room,
                     void (*show)(void *ctx, uint32_t kind, const char *piece, int64_t bytes), void *ctx,
                     dal_error *err);
void piece_room_free(piece_room *room, const dal_host *host);

/* The pieces of many texts, numbered in the order of their coming: a hash table. */
typedef struct vocabulary_piece {
    int64_t at, size; /* in bytes */
    int64_t df;       /* texts that have it */
    int64_t last;     /* the text that had it last */
} vocabulary_piece;

typedef struct vocabulary {
    char *bytes; /* all pieces, one after the other */
    vocabulary_piece *pieces; /* [n] */
    int32_t *slots; /* [room] number of a piece, -1: free */
    int32_t *column; /* [n] after settling: its column, or -1: left out */
    int64_t n, n_bytes, room_n, room_bytes, room;
} vocabulary;

dal_status vocabulary_add(vocabulary *v, const dal_host *host, const char *piece, int64_t bytes, int64_t text,
                          dal_error *err);
/* [any] Its column, or -1. */
int32_t vocabulary_find(const vocabulary *v, const char *piece, int64_t bytes);
/* Columns for the pieces that least..most texts have, in byte order; of more than `limit` (0: any number) those that
 * most texts have. *n: how many columns. *df: in how many texts each is, [*n],
 * the caller's to free. */
dal_status vocabulary_settle(vocabulary *v, const dal_host *host, int64_t least, int64_t most, int64_t limit,
                             int64_t *n, int64_t **df, dal_error *err);
void vocabulary_free(vocabulary *v, const dal_host *host);

#endif
