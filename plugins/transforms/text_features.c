/* hashing and tf-idf: texts as sparse vectors of what is in them.
 *
 * hashing counts words (and runs of words or of characters) under column |h| mod n_features, with the sign of h, where
 * h is the MurmurHash3 of the piece: what scikit-learn's HashingVectorizer does (Weinberger et al. 2009). tf-idf weighs
 * counts by idf = ln((1 + n) / (1 + df)) + 1, of n texts df have the piece, and scales each row to length 1; it takes
 * texts, and then makes a vocabulary, or the sparse vectors of hashing. Vocabulary and idf are fitted on the train
 * split (the pool), never on test data.
 *
 * The counts of all texts are made once, in temporary space (8 bytes for each piece that is in a text); weights are
 * put on when rows are read. Rows do not depend on threads: each is made by one.
 */
#include "features.h"
#include "text_waves.h"

#include <math.h>
#include <stdlib.h>

typedef struct hashing_options {
    int64_t n_features, ngrams, shortest, char_from, char_to;
    int32_t is_signed, binary;
    uint32_t norm;
} hashing_options;

typedef struct tfidf_options {
    int64_t ngrams, shortest, char_from, char_to, max_features, min_df;
    double max_df;
    int32_t smooth, sublinear, binary;
    uint32_t norm;
} tfidf_options;

enum { L2, L1, PLAIN };

/* Rows of a split. */
typedef struct rows {
    int64_t *offsets; /* [n + 1] */
    int32_t *columns; /* [offsets[n]], followed by the values */
    float *values;
    size_t bytes; /* mapped at columns */
} rows;

typedef struct features {
    dal_derived d; /* first: the shared slots see only this */
    pieces pieces;
    int stored;    /* 0: the rows are those of the input */
    int is_signed, binary, sublinear;
    uint32_t norm;
    int64_t width;
    vocabulary words; /* tf-idf of texts */
    float *idf;       /* [width], or NULL: no weights */
    rows split[DAL_SPLITS];
} features;

/* ---- one row ------------------------------------------------------------------------------------ */

/* What is found in a text: column << 1 | negative, as often as it is there. */
typedef struct finds {
    const features *f;
    uint64_t *all;
    int64_t n, room;
    piece_room pieces;
    dal_status st;
} finds;

static void find(void *ctx, uint32_t kind, const char *piece, int64_t bytes)
{
    finds *s = ctx;
    const dal_host *host = s->f->d.host;
    uint64_t what;
    if (s->f->words.n > 0) {
        const int32_t column = vocabulary_find(&s->f->words, piece, bytes);
        if (column < 0)
            return;
        what = (uint64_t)column << 1;
    } else {
        const int64_t h = (int32_t)dal_murmur3(kind, piece, bytes);
        what = (uint64_t)((h < 0 ? -h : h) % s->f->width) << 1 | (s->f->is_signed && h < 0);
    }
    if (s->n == s->room && s->st == DAL_OK) {
        const int64_t room = s->room ? 2 * s->room : 1024;
        uint64_t *larger = dal_array(host, room, sizeof *larger);
        if (!larger) {
            s->st = DAL_E_NOMEM;
            return;
        }
        if (s->n > 0)
            memcpy(larger, s->all, (size_t)s->n * sizeof *larger);
        host->free(host, s->all);
        s->all = larger;
        s->room = room;
    }
    if (s->st == DAL_OK)
        s->all[s->n++] = what;
}

static int by_column(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* The row of a text, or only its length when columns is NULL. What adds up to 0 is left out. */
static dal_status make_row(finds *s, const char *text, int64_t size, int32_t *columns, float *values, int64_t *n,
                           dal_error *err)
{
    s->n = 0;
    dal_status st = pieces_of(&s->f->pieces, s->f->d.host, text, size, &s->pieces, find, s, err);
    if (st != DAL_OK || s->st != DAL_OK)
        return st != DAL_OK ? st : dal_fail(err, s->st, "", "no memory for the words of a text");
    if (s->n > 0)
        qsort(s->all, (size_t)s->n, sizeof *s->all, by_column);
    *n = 0;
    for (int64_t i = 0; i < s->n;) {
        const uint64_t column = s->all[i] >> 1;
        int64_t sum = 0;
        for (; i < s->n && s->all[i] >> 1 == column; i++)
            sum += s->all[i] & 1 ? -1 : 1;
        if (sum == 0)
            continue;
        if (columns) {
            columns[*n] = (int32_t)column;
            values[*n] = s->f->binary ? (sum > 0 ? 1 : -1) : (float)sum;
        }
        ++*n;
    }
    return DAL_OK;
}

static void finds_free(finds *s)
{
    s->f->d.host->free(s->f->d.host, s->all);
    piece_room_free(&s->pieces, s->f->d.host);
}

/* ---- all rows ----------------------------------------------------------------------------------- */

enum { LEARN, MEASURE, FILL };

/* A pass over a split, and what to do with its texts. */
typedef struct reading {
    features *f;
    uint32_t split;
    int what;
    piece_room room; /* LEARN's */
} reading;

static dal_status make_rows(void *ctx, const text_wave *w, int64_t from, int64_t to, dal_error *err)
{
    reading *r = ctx;
    rows *x = &r->f->split[r->split];
    const int fill = r->what == FILL;
    finds s = {.f = r->f};
    dal_status st = DAL_OK;
    for (int64_t j = from; j < to && st == DAL_OK; j++) {
        const int64_t at = x->offsets[w->first + j];
        int64_t n = 0;
        st = make_row(&s, w->data + w->offsets[j], w->offsets[j + 1] - w->offsets[j], fill ? x->columns + at : NULL,
                      fill ? x->values + at : NULL, &n, err);
        if (!fill)
            x->offsets[w->first + j + 1] = n;
    }
    finds_free(&s);
    return st;
}

/* The words of the pool are numbered in the order of the texts, by one thread. */
typedef struct learner {
    features *f;
    int64_t text;
    dal_status st;
    dal_error *err;
} learner;

static void learn(void *ctx, uint32_t kind, const char *piece, int64_t bytes)
{
    learner *l = ctx;
    (void)kind;
    if (l->st == DAL_OK)
        l->st = vocabulary_add(&l->f->words, l->f->d.host, piece, bytes, l->text, l->err);
}

static dal_status use_wave(void *ctx, const text_wave *w, dal_error *err)
{
    reading *r = ctx;
    if (r->what != LEARN)
        return text_wave_parallel(w, make_rows, r, err);
    learner l = {.f = r->f, .err = err};
    dal_status st = DAL_OK;
    for (int64_t j = 0; j < w->n && st == DAL_OK && l.st == DAL_OK; j++) {
        l.text = w->first + j;
        st = pieces_of(&r->f->pieces, w->host, w->data + w->offsets[j], w->offsets[j + 1] - w->offsets[j], &r->room,
                       learn, &l, err);
    }
    return st == DAL_OK ? l.st : st;
}

/* Go through all texts of a split. */
static dal_status pass(features *f, uint32_t split, int what, dal_error *err)
{
    reading r = {.f = f, .split = split, .what = what};
    const dal_status st = text_waves(&f->d, split, what == FILL ? "counting words" : "looking at words", use_wave, &r,
                                     err);
    piece_room_free(&r.room, f->d.host);
    return st;
}

static dal_status store_rows(features *f, uint32_t split, dal_error *err)
{
    const dal_host *host = f->d.host;
    const int64_t n = f->d.below.n[split];
    rows *r = &f->split[split];
    int64_t bytes;
    void *p = NULL;
    r->offsets = dal_array(host, n + 1, sizeof *r->offsets);
    if (!r->offsets)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld rows", (long long)n);
    r->offsets[0] = 0;
    dal_status st = pass(f, split, MEASURE, err);
    for (int64_t i = 0; i < n && st == DAL_OK; i++)
        r->offsets[i + 1] += r->offsets[i];
    if (st != DAL_OK || n == 0 || r->offsets[n] == 0)
        return st;
    if (!dal_size_mul(r->offsets[n], sizeof(float) + sizeof(int32_t), &bytes))
        return dal_fail(err, DAL_E_OVERFLOW, "", "the rows are too large");
    st = host->temp_map(host, (size_t)bytes, &p, err);
    if (st != DAL_OK)
        return st;
    r->columns = p;
    r->values = (float *)p + r->offsets[n];
    r->bytes = (size_t)bytes;
    return pass(f, split, FILL, err);
}

/* ---- idf ---------------------------------------------------------------------------------------- */

/* In how many rows of the pool below each column is. */
static dal_status count_rows(const features *f, int64_t *df, dal_error *err)
{
    enum { BLOCK = 1024 };
    const dal_host *host = f->d.host;
    const dal_dataset *in = f->d.input;
    const int64_t n = f->d.below.n[DAL_SPLIT_TRAIN];
    int64_t ids[BLOCK], offsets[BLOCK + 1];
    dal_status st = DAL_OK;
    memset(df, 0, (size_t)f->width * sizeof *df);
    for (int64_t first = 0; first < n && st == DAL_OK; first += BLOCK) {
        const int64_t here = n - first < BLOCK ? n - first : BLOCK;
        for (int64_t i = 0; i < here; i++)
            ids[i] = first + i;
        st = in->impl->sizes(in->self, DAL_SPLIT_TRAIN, ids, here, offsets + 1, err);
        offsets[0] = 0;
        for (int64_t i = 0; i < here && st == DAL_OK; i++)
            offsets[i + 1] += offsets[i];
        if (st != DAL_OK)
            break;
        float *values = dal_array(host, offsets[here], sizeof *values);
        int32_t *columns = dal_array(host, offsets[here], sizeof *columns);
        dal_batch b = {sizeof b, 0, &f->d.below.spec, here, values, offsets, columns};
        st = values && columns ? in->impl->read(in->self, DAL_SPLIT_TRAIN, ids, here, &b, err)
                               : dal_fail(err, DAL_E_NOMEM, "", "no memory to count words");
        for (int64_t i = 0; st == DAL_OK && i < offsets[here]; i++) {
            if (columns[i] < 0 || columns[i] >= f->width)
                st = dal_fail(err, DAL_E_CONTRACT, "", "the dataset has column %d of %lld", (int)columns[i],
                              (long long)f->width);
            else
                df[columns[i]] += values[i] != 0;
        }
        host->free(host, values);
        host->free(host, columns);
    }
    return st;
}

static dal_status fit_idf(features *f, const tfidf_options *o, const int64_t *df, dal_error *err)
{
    const double n = (double)f->d.below.n[DAL_SPLIT_TRAIN], one = o->smooth ? 1 : 0;
    f->idf = dal_array(f->d.host, f->width, sizeof *f->idf);
    if (!f->idf)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld weights", (long long)f->width);
    /* without smoothing a column that the pool has not weighs as if one text had it */
    for (int64_t j = 0; j < f->width; j++)
        f->idf[j] = (float)(log((n + one) / ((double)(df[j] > 0 || o->smooth ? df[j] : 1) + one)) + 1);
    return DAL_OK;
}

static dal_status fit_vocabulary(features *f, const tfidf_options *o, int64_t **df, dal_error *err)
{
    const double n = (double)f->d.below.n[DAL_SPLIT_TRAIN];
    dal_status st = pass(f, DAL_SPLIT_TRAIN, LEARN, err);
    if (st == DAL_OK)
        st = vocabulary_settle(&f->words, f->d.host, o->min_df, (int64_t)(o->max_df * n), o->max_features, &f->width,
                               df, err);
    if (st == DAL_OK && f->width == 0)
        st = dal_fail(err, DAL_E_INVALID, "min_df",
                      "of %lld pieces of text in the pool none is in %lld..%lld of its %lld texts",
                      (long long)f->words.n, (long long)o->min_df, (long long)(o->max_df * n), (long long)n);
    return st;
}

/* ---- create ------------------------------------------------------------------------------------- */

static void features_destroy(void *p)
{
    features *f = p;
    if (!f)
        return;
    const dal_host *host = f->d.host;
    for (uint32_t k = 0; k < DAL_SPLITS; k++) {
        host->free(host, f->split[k].offsets);
        if (f->split[k].columns)
            host->temp_unmap(host, f->split[k].columns, f->split[k].bytes);
    }
    vocabulary_free(&f->words, host);
    host->free(host, f->idf);
    dal_derived_destroy(f);
}

static dal_status check_pieces(const pieces *p, dal_error *err)
{
    if (p->char_from > p->char_to)
        return dal_fail(err, DAL_E_INVALID, "char_from", "char_from is %lld and char_to %lld; expected from <= to",
                        (long long)p->char_from, (long long)p->char_to);
    if (p->char_to > 0 && p->char_from == 0)
        return dal_fail(err, DAL_E_INVALID, "char_from", "char_from is 0; expected 1..%lld", (long long)p->char_to);
    if (p->words == 0 && p->char_to == 0)
        return dal_fail(err, DAL_E_INVALID, "ngrams",
                        "ngrams is 0 and char_to is 0: neither words nor characters are counted");
    return DAL_OK;
}

static void settle_info(features *f)
{
    dal_sample_spec *s = &f->d.info.spec;
    *s = (dal_sample_spec){.struct_size = s->struct_size, .modality = DAL_SPARSE, .dtype = DAL_F32, .ndim = 1,
                           .shape = {f->width}, .n_classes = s->n_classes};
}

static dal_status hashing_create(const dal_host *host, const void *opt, const dal_dataset *input, void **out,
                                 dal_error *err)
{
    const hashing_options *o = opt;
    void *p = NULL;
    dal_status st = dal_derived_new(host, input, sizeof(features), &p, err);
    if (st != DAL_OK)
        return st;
    features *f = p;
    f->pieces = (pieces){o->ngrams, o->shortest, o->char_from, o->char_to};
    f->stored = 1;
    f->width = o->n_features;
    f->is_signed = o->is_signed;
    f->binary = o->binary;
    f->norm = o->norm;
    st = check_pieces(&f->pieces, err);
    if (st == DAL_OK && f->d.below.spec.modality != DAL_TEXT)
        st = dal_fail(err, DAL_E_UNSUPPORTED, "", "works on text; this dataset has other samples");
    for (uint32_t k = 0; k < DAL_SPLITS && st == DAL_OK; k++)
        st = store_rows(f, k, err);
    settle_info(f);
    if (st == DAL_OK)
        *out = f;
    else
        features_destroy(f);
    return st;
}

static dal_status fit_tfidf(features *f, const tfidf_options *o, dal_error *err)
{
    const dal_host *host = f->d.host;
    int64_t *df = NULL;
    dal_status st = DAL_OK;
    if (f->d.below.n[DAL_SPLIT_TRAIN] == 0)
        return dal_fail(err, DAL_E_INVALID, "", "the train split is empty: there is nothing to fit on");
    if (f->stored) {
        st = check_pieces(&f->pieces, err);
        if (st == DAL_OK)
            st = fit_vocabulary(f, o, &df, err);
    } else {
        f->width = f->d.below.spec.shape[0];
        df = dal_array(host, f->width, sizeof *df);
        st = df ? count_rows(f, df, err) : dal_fail(err, DAL_E_NOMEM, "", "no memory to count words");
    }
    if (st == DAL_OK)
        st = fit_idf(f, o, df, err);
    host->free(host, df);
    return st;
}

static dal_status tfidf_create(const dal_host *host, const void *opt, const dal_dataset *input, void **out,
                               dal_error *err)
{
    const tfidf_options *o = opt;
    void *p = NULL;
    dal_status st = dal_derived_new(host, input, sizeof(features), &p, err);
    if (st != DAL_OK)
        return st;
    features *f = p;
    const dal_sample_spec *below = &f->d.below.spec;
    f->pieces = (pieces){o->ngrams, o->shortest, o->char_from, o->char_to};
    f->stored = below->modality == DAL_TEXT;
    f->binary = o->binary;
    f->sublinear = o->sublinear;
    f->norm = o->norm;
    if (below->modality != DAL_TEXT && !(below->modality == DAL_SPARSE && below->dtype == DAL_F32))
        st = dal_fail(err, DAL_E_UNSUPPORTED, "",
                      "works on text and on sparse vectors; this dataset has other samples");
    if (st == DAL_OK)
        st = fit_tfidf(f, o, err);
    for (uint32_t k = 0; k < DAL_SPLITS && st == DAL_OK && f->stored; k++)
        st = store_rows(f, k, err);
    settle_info(f);
    if (st == DAL_OK)
        *out = f;
    else
        features_destroy(f);
    return st;
}

/* ---- reading ------------------------------------------------------------------------------------ */

static dal_status features_sizes(void *p, uint32_t k, const int64_t *ids, int64_t n, int64_t *out, dal_error *err)
{
    const features *f = p;
    if (!f->stored)
        return f->d.input->impl->sizes(f->d.input->self, k, ids, n, out, err);
    const dal_status st = dal_check_ids(f->d.info.n[k], ids, n, err);
    for (int64_t i = 0; i < n && st == DAL_OK; i++)
        out[i] = f->split[k].offsets[ids[i] + 1] - f->split[k].offsets[ids[i]];
    return st;
}

/* Counts become weights. */
static void weigh(const features *f, const int32_t *columns, float *values, int64_t n)
{
    double length = 0;
    for (int64_t i = 0; i < n; i++) {
        double v = (double)values[i];
        if (f->binary)
            v = v > 0 ? 1 : v < 0 ? -1 : 0;
        if (f->sublinear && v != 0)
            v = v > 0 ? 1 + log(v) : -(1 + log(-v));
        if (f->idf)
            v *= (double)f->idf[columns[i]];
        length += f->norm == L2 ? v * v : fabs(v);
        values[i] = (float)v;
    }
    if (f->norm == L2)
        length = sqrt(length);
    for (int64_t i = 0; i < n && f->norm != PLAIN && length > 0; i++)
        values[i] = (float)((double)values[i] / length);
}

static dal_status features_read(void *p, uint32_t k, const int64_t *ids, int64_t n, dal_batch *out, dal_error *err)
{
    const features *f = p;
    const rows *r = &f->split[k];
    float *values = out->data;
    dal_status st = DAL_OK;
    if (!f->stored) {
        dal_batch below = *out;
        below.spec = &f->d.below.spec;
        st = f->d.input->impl->read(f->d.input->self, k, ids, n, &below, err);
    } else {
        st = dal_check_ids(f->d.info.n[k], ids, n, err);
    }
    for (int64_t i = 0; i < n && st == DAL_OK; i++) {
        const int64_t to = out->offsets[i], m = out->offsets[i + 1] - to;
        if (f->stored) {
            const int64_t from = r->offsets[ids[i]];
            if (m != r->offsets[ids[i] + 1] - from)
                return dal_fail(err, DAL_E_CONTRACT, "", "room for %lld values of row %lld, which has %lld",
                                (long long)m, (long long)ids[i], (long long)(r->offsets[ids[i] + 1] - from));
            if (m > 0) {
                memcpy(values + to, r->values + from, (size_t)m * sizeof *values);
                memcpy(out->indices + to, r->columns + from, (size_t)m * sizeof *out->indices);
            }
        }
        for (int64_t j = to; j < to + m; j++)
            if (out->indices[j] < 0 || out->indices[j] >= f->width)
                return dal_fail(err, DAL_E_CONTRACT, "", "column %d of %lld", (int)out->indices[j],
                                (long long)f->width);
        if (m > 0)
            weigh(f, out->indices + to, values + to, m);
    }
    return st;
}

#define SLOTS                                                                                            \
    .destroy = features_destroy, .info = dal_derived_info, .classes = dal_derived_classes,               \
    .sizes = features_sizes, .read = features_read, .describe = dal_derived_describe,            \
    .get_extension = dal_derived_get_extension

static const dal_dataset_impl hashing_impl = {.struct_size = sizeof hashing_impl, .create = hashing_create, SLOTS};
static const dal_dataset_impl tfidf_impl = {.struct_size = sizeof tfidf_impl, .create = tfidf_create, SLOTS};

#define PIECES(P, T)                                                                                     \
    P(T, ngrams, I64, "1", "0..8", "words", "count runs of 1 to so many words; 0: no words")             \
    P(T, shortest, I64, "2", "1..64", "characters", "of a word that counts")                             \
    P(T, char_from, I64, "0", "0..16", "characters", "count runs of so many characters inside <word>, at least") \
    P(T, char_to, I64, "0", "0..16", "characters", "at most; 0: none")
#define HASHING_PARAMS(P, T)                                                                             \
    P(T, n_features, I64, "262144", "2..268435456", "columns", "width of the sparse vectors")            \
    PIECES(P, T)                                                                                         \
    P(T, is_signed, BOOL, "true", "", "",                                                                              \
      "a column's entries count up or down by their hash, so that collisions cancel out")                              \
    P(T, binary, BOOL, "false", "", "", "only whether it is there, not how often")                       \
    P(T, norm, CHOICE, "l2", "l2|l1|none", "", "what each row is divided by")
#define TFIDF_PARAMS(P, T)                                                                               \
    PIECES(P, T)                                                                                         \
    P(T, max_features, I64, "0", "0..", "columns", "keep the pieces that most texts have; 0: all")       \
    P(T, min_df, I64, "1", "1..", "texts", "leave out what fewer texts of the pool have")                \
    P(T, max_df, F64, "1", "(0..1]", "", "leave out what a larger part of them has")                     \
    P(T, smooth, BOOL, "true", "", "", "as if one more text had every piece")                            \
    P(T, sublinear, BOOL, "false", "", "", "1 + ln(count) for the count")                                \
    P(T, binary, BOOL, "false", "", "", "only whether it is there, not how often")                       \
    P(T, norm, CHOICE, "l2", "l2|l1|none", "", "what each row is divided by")
#define COMPONENTS(C)                                                                                    \
    C(TRANSFORM, "hashing", hashing_impl, "texts as sparse vectors: hashed words and runs of them",      \
      "Weinberger et al., ICML 2009", "", DAL_CAP_CONCURRENT, hashing_options, HASHING_PARAMS)           \
    C(TRANSFORM, "tf-idf", tfidf_impl, "words weighed by how few texts of the pool have them",           \
      "Sparck Jones 1972", "", DAL_CAP_CONCURRENT, tfidf_options, TFIDF_PARAMS)
DAL_MODULE(text_features, "1.0", "Apache-2.0", COMPONENTS, NULL, NULL)
