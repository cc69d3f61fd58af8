/* tokenise: texts as sequences of tokens, all of one length, for models that read them in order.
 *
 * A sample becomes a vector of `length` numbers of tokens (dal/tokens.h), each exact as a float: begin, the first
 * length - 2 tokens, end, then -1, which is no token. White-space words need no vocabulary file: without one it is made
 * of the pool's words (never of the test split's). All sequences are made once, in temporary space, 4 bytes a token.
 */
#include "text_waves.h"

#include <dal/tokens.h>

typedef struct options {
    uint32_t tokeniser;
    const char *vocabulary, *merges;
    int64_t length;
    int32_t ends, cased, space_first;
    int64_t max_words, min_texts;
} options;

typedef struct sequences {
    dal_derived d; /* first: the shared slots see only this */
    const options *opt;
    dal_tokens *tokens;
    int64_t length;
    float *rows[DAL_SPLITS]; /* [n, length], temp_map */
    size_t bytes[DAL_SPLITS];
} sequences;

/* ---- texts -------------------------------------------------------------------------------------- */

/* A pass over a split: its words counted, or without counts its sequences made. */
typedef struct reading {
    sequences *s;
    uint32_t split;
    dal_word_counts *counts;
} reading;

static dal_status encode_texts(void *ctx, const text_wave *w, int64_t from, int64_t to, dal_error *err)
{
    const reading *r = ctx;
    const sequences *s = r->s;
    int32_t *ids = dal_array(w->host, s->length, sizeof *ids);
    dal_status st = ids ? DAL_OK : dal_fail(err, DAL_E_NOMEM, "", "no memory for a sequence");
    for (int64_t j = from; j < to && st == DAL_OK; j++) {
        float *row = s->rows[r->split] + (w->first + j) * s->length;
        int64_t used;
        st = dal_tokens_sequence(s->tokens, w->data + w->offsets[j], w->offsets[j + 1] - w->offsets[j], !s->opt->ends,
                                 ids, s->length, &used, err);
        for (int64_t k = 0; k < s->length && st == DAL_OK; k++)
            row[k] = (float)ids[k];
    }
    w->host->free(w->host, ids);
    return st;
}

static dal_status use_wave(void *ctx, const text_wave *w, dal_error *err)
{
    const reading *r = ctx;
    dal_status st = DAL_OK;
    if (!r->counts)
        return text_wave_parallel(w, encode_texts, ctx, err);
    for (int64_t j = 0; j < w->n && st == DAL_OK; j++)
        st = dal_word_counts_add(r->counts, w->data + w->offsets[j], w->offsets[j + 1] - w->offsets[j], err);
    return st;
}

static dal_status pass(sequences *s, uint32_t split, dal_word_counts *counts, dal_error *err)
{
    reading r = {s, split, counts};
    return text_waves(&s->d, split, counts ? "counting words" : "tokenising", use_wave, &r, err);
}

/* ---- create ------------------------------------------------------------------------------------- */

static dal_status learn_words(sequences *s, dal_error *err)
{
    dal_word_counts *counts = dal_word_counts_new(s->d.host, (uint32_t)s->opt->cased);
    dal_status st = counts ? pass(s, DAL_SPLIT_TRAIN, counts, err)
        : dal_fail(err, DAL_E_NOMEM, "", "no memory for words");
    if (st == DAL_OK)
        st = dal_word_counts_tokens(counts, s->opt->min_texts, s->opt->max_words, &s->tokens, err);
    dal_word_counts_free(counts);
    if (st == DAL_OK && dal_tokens_count(s->tokens) == 2)
        st = dal_fail(err, DAL_E_INVALID, "min_texts", "no word is in %lld texts of the pool or more",
                      (long long)s->opt->min_texts);
    return st;
}

static dal_status open_tokens(sequences *s, dal_error *err)
{
    const options *o = s->opt;
    const int learns = o->tokeniser == DAL_WHITESPACE && !o->vocabulary[0];
    if (s->d.below.spec.modality != DAL_TEXT)
        return dal_fail(err, DAL_E_UNSUPPORTED, "", "works on text; this dataset has other samples");
    if (!learns && !o->vocabulary[0])
        return dal_fail(err, DAL_E_INVALID, "vocabulary", "%s needs the vocabulary of a model: %s",
                        o->tokeniser == DAL_BPE ? "bpe" : "wordpiece",
                        o->tokeniser == DAL_BPE ? "vocab.json, and merges.txt as merges" : "vocab.txt");
    if (o->tokeniser == DAL_BPE && !o->merges[0])
        return dal_fail(err, DAL_E_INVALID, "merges", "bpe needs the merges that belong to the vocabulary: merges.txt");
    if (o->tokeniser != DAL_BPE && o->merges[0])
        return dal_fail(err, DAL_E_INVALID, "merges", "only bpe has merges; leave it out");
    if (learns)
        return learn_words(s, err);
    const dal_tokens_options t = {.struct_size = sizeof t,
                                  .kind = o->tokeniser,
                                  .vocabulary = o->vocabulary,
                                  .vocabulary_key = "vocabulary",
                                  .merges = o->merges,
                                  .merges_key = "merges",
                                  .cased = (uint32_t)o->cased,
                                  .space_first = (uint32_t)o->space_first};
    return dal_tokens_open(s->d.host, &t, &s->tokens, err);
}

static dal_status make_rows(sequences *s, uint32_t split, dal_error *err)
{
    int64_t bytes;
    void *p = NULL;
    const int64_t n = s->d.below.n[split];
    if (n == 0)
        return DAL_OK;
    if (!dal_size_mul(n, s->length * (int64_t)sizeof(float), &bytes))
        return dal_fail(err, DAL_E_OVERFLOW, "length", "%lld sequences of %lld tokens are too large", (long long)n,
                        (long long)s->length);
    const dal_status st = s->d.host->temp_map(s->d.host, (size_t)bytes, &p, err);
    if (st != DAL_OK)
        return st;
    s->rows[split] = p;
    s->bytes[split] = (size_t)bytes;
    return pass(s, split, NULL, err);
}

static void tokenise_destroy(void *p)
{
    sequences *s = p;
    if (!s)
        return;
    for (uint32_t k = 0; k < DAL_SPLITS; k++)
        if (s->rows[k])
            s->d.host->temp_unmap(s->d.host, s->rows[k], s->bytes[k]);
    dal_tokens_close(s->tokens);
    dal_derived_destroy(s);
}

static dal_status tokenise_create(const dal_host *host, const void *opt, const dal_dataset *input, void **out,
                                  dal_error *err)
{
    void *p = NULL;
    dal_status st = dal_derived_new(host, input, sizeof(sequences), &p, err);
    if (st != DAL_OK)
        return st;
    sequences *s = p;
    s->opt = opt;
    s->length = s->opt->length;
    st = open_tokens(s, err);
    for (uint32_t k = 0; k < DAL_SPLITS && st == DAL_OK; k++)
        st = make_rows(s, k, err);
    dal_sample_spec *spec = &s->d.info.spec;
    *spec = (dal_sample_spec){.struct_size = spec->struct_size, .modality = DAL_VECTOR, .dtype = DAL_F32, .ndim = 1,
                              .shape = {s->length}, .n_classes = spec->n_classes};
    if (st == DAL_OK) {
        dal_logf(host, DAL_LOG_INFO, "%lld tokens in the vocabulary", (long long)dal_tokens_count(s->tokens));
        *out = s;
    } else {
        tokenise_destroy(s);
    }
    return st;
}

static dal_status tokenise_read(void *p, uint32_t k, const int64_t *ids, int64_t n, dal_batch *out, dal_error *err)
{
    const sequences *s = p;
    const dal_status st = dal_check_ids(s->d.info.n[k], ids, n, err);
    for (int64_t i = 0; i < n && st == DAL_OK; i++)
        memcpy((float *)out->data + i * s->length, s->rows[k] + ids[i] * s->length, (size_t)s->length * sizeof(float));
    return st;
}

static const dal_dataset_impl tokenise_impl = {
    .struct_size = sizeof tokenise_impl, .create = tokenise_create, .destroy = tokenise_destroy,
    .info = dal_derived_info, .classes = dal_derived_classes, .read = tokenise_read, .describe = dal_derived_describe};

#define PARAMS(P, T)                                                                                       \
    P(T, tokeniser, CHOICE, "whitespace", DAL_TOKENISERS, "", "how texts are cut")                         \
    P(T, vocabulary, PATH, "", "file", "",                                                                 \
      "a token a line (vocab.txt), of bpe a JSON object (vocab.json); whitespace: none makes one of the pool") \
    P(T, merges, PATH, "", "file", "", "bpe: which pairs merge, the first one first (merges.txt)")         \
    P(T, length, I64, "128", "3..65536", "tokens", "of each sequence, marks included; longer texts are cut") \
    P(T, ends, BOOL, "false", "", "",                                                                                  \
      "put the vocabulary's marks at the beginning and the end: [CLS] and [SEP], <s> and </s>")                        \
    P(T, cased, BOOL, "false", "", "", "wordpiece, whitespace: keep capitals (and accents)")               \
    P(T, space_first, BOOL, "false", "", "", "bpe: as if each text began with a space")                    \
    P(T, max_words, I64, "30000", "0..16777214", "words",                                                              \
      "of a vocabulary made of the pool: those in most texts; 0: all")                                                 \
    P(T, min_texts, I64, "1", "1..", "texts", "likewise: leave out what fewer texts have")
#define COMPONENTS(C)                                                                                      \
    C(TRANSFORM, "tokenise", tokenise_impl, "texts as sequences of tokens: words, WordPiece or byte-level BPE", \
      "Schuster & Nakajima, ICASSP 2012; Sennrich et al., ACL 2016", "", DAL_CAP_CONCURRENT, options, PARAMS)
DAL_MODULE(tokenise, "1.0", "Apache-2.0", COMPONENTS, NULL, NULL)
