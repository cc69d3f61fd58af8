/* tokens.h: what the files of the tokenisers share. */
#ifndef LIB_TOKENS_H
#define LIB_TOKENS_H

#include <dal/tokens.h>

/* The tokens, and a trie of their bytes: an edge from node `from` by byte b leads to the node edge_to[slot] where
 * edge_key[slot] = from << 8 | b; nodes are numbered from 1, the root, in the order they came. */
typedef struct vocabulary {
    int64_t n;
    char *bytes;      /* all tokens, one after the other */
    int64_t *at;      /* [n + 1] */
    int64_t n_nodes, n_slots; /* slots: a power of two */
    uint64_t *edge_key; /* [n_slots]; 0: free */
    int32_t *edge_to;
    int32_t *token; /* [nodes + 1] the token that ends at a node, or -1 */
} vocabulary;

#define TRIE_ROOT 1

/* The node behind `from` (0: none) by byte b, or 0. */
static inline int32_t trie_step(const vocabulary *v, int32_t from, unsigned char b)
{
    const uint64_t key = (uint64_t)(uint32_t)from << 8 | b, mask = (uint64_t)v->n_slots - 1;
    if (from == 0)
        return 0;
    for (uint64_t i = (key * 0x9e3779b97f4a7c15u) >> 20 & mask; v->edge_key[i] != 0; i = (i + 1) & mask)
        if (v->edge_key[i] == key)
            return v->edge_to[i];
    return 0;
}

/* Of one pair of neighbours: which token they become, and how early. */
typedef struct merge {
    uint64_t pair; /* left << 32 | right */
    int32_t rank, token;
} merge;

typedef struct word_cache word_cache;

struct dal_tokens {
    const dal_host *host;
    uint32_t kind, cased, space_first;
    vocabulary words;
    int32_t special[DAL_TOKEN_MEANINGS];
    int32_t continued;   /* WordPiece: the node behind ## */
    int32_t byte[256];   /* BPE: the token of each byte */
    merge *merges;       /* BPE: [n_merges], open addressing; rank -1: free */
    int64_t n_merges;    /* a power of two */
    word_cache *cache;
};

/* What files are called in messages. */
typedef struct token_source {
    const char *path, *key;
} token_source;

/* n tokens, bytes[i] of text[i] each; by_line: token i is line i + 1 of the file. */
typedef struct token_list {
    int64_t n;
    const char **text;
    int64_t *bytes;
    const token_source *source;
    int by_line;
} token_list;
dal_status token_list_new(token_list *l, const dal_host *host, int64_t n, const token_source *source, dal_error *err);
void token_list_free(token_list *l, const dal_host *host);
/* The tokens, copied, and their trie. Empty, too long, no UTF-8 and twice there: one error with the place. */
dal_status vocabulary_build(vocabulary *v, const dal_host *host, const token_list *list, dal_error *err);
dal_status vocabulary_read_lines(vocabulary *v, const dal_host *host, const token_source *file, dal_error *err);
dal_status vocabulary_read_json(vocabulary *v, const dal_host *host, const token_source *file, dal_error *err);
void vocabulary_free(vocabulary *v, const dal_host *host);
/* The token of bytes[n], or -1. */
int32_t vocabulary_find(const vocabulary *v, const char *bytes, int64_t n);

/* White space as Unicode has it. */
int token_is_space(uint32_t c);

dal_status bpe_open(dal_tokens *t, const token_source *words, const token_source *merges, dal_error *err);
void bpe_close(dal_tokens *t);

/* The first `room` tokens of text[n], valid UTF-8. */
int64_t wordpiece_encode(const dal_tokens *t, const char *text, int64_t n, int32_t *out, int64_t room);
int64_t whitespace_encode(const dal_tokens *t, const char *text, int64_t n, int32_t *out, int64_t room);
dal_status bpe_encode(const dal_tokens *t, const char *text, int64_t n, int32_t *out, int64_t room, int64_t *count,
                      dal_error *err);

#endif
