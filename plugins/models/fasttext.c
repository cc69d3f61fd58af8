/* fasttext: a text is the mean of its words' vectors, and those of its word n-grams.
 *
 * Joulin, Grave, Bojanowski, Mikolov, "Bag of tricks for efficient text classification", EACL 2017. A text has tokens:
 * its words in small letters, the sequences of 2..word_ngrams words, and the sequences of char_min..char_max characters
 * of <word>. With a vector e_t [dim] for each token,
 *
 *     h = mean of e_t over the text's tokens,     logits = W h + b,
 *
 * trained by stochastic gradient descent, a text at a time, the learning rate falling linearly to 0; e starts uniform
 * in +-1 / dim, W and b at 0. Weights of samples are divided by their mean. h is the features; Monte-Carlo passes mask
 * it.
 *
 * Differs from the authors' program: tokens have vectors of their own (64-bit hashes, no buckets), and tokens that the
 * training texts do not have are left out of a text, where a bucket would add its random start: with few labels almost
 * all are such. A model is as large as what it was trained on. There is a bias. One thread trains; texts differ in
 * length and steps follow each other, and a fit takes seconds.
 */
#include <dal/model.h>

#include <math.h>

#include "array_file.h"
#include <dal/fit.h>
#include "sample_block.h"
#include "text_tokens.h"
#include "token_table.h"

#define MAGIC "dalfast1"

typedef struct options {
    int64_t dim, word_ngrams, char_min, char_max, min_count, epochs;
    double learning_rate, dropout, mc_dropout;
} options;

#define PARAMS(P, T)                                                                                               \
    P(T, dim, I64, "64", "1..4096", "numbers", "width of the vectors, and so of the features")                    \
    P(T, word_ngrams, I64, "2", "1..8", "words", "longest sequence of words that has a vector of its own")         \
    P(T, char_min, I64, "0", "0..8", "characters", "shortest sequence inside a word; 0: none")                     \
    P(T, char_max, I64, "0", "0..8", "characters", "longest sequence inside a word; 0: none")                      \
    P(T, min_count, I64, "1", "1..", "times", "tokens of the training texts that occur less often are left out")   \
    P(T, epochs, I64, "25", "1..100000", "epochs", "passes over the training texts")                               \
    P(T, learning_rate, F64, "0.5", "(0..100]", "", "of the first step; falls to 0 in a straight line")            \
    P(T, dropout, F64, "0", "[0..1)", "", "rate on the features while training")                                   \
    P(T, mc_dropout, F64, "0.5", "(0..1)", "", "rate on the features in Monte-Carlo passes")

#define PROVIDES                                                                                                   \
    DAL_CAP_OUTPUTS " " DAL_CAP_CONCURRENT " " DAL_CAP_FEATURES " " DAL_CAP_MC " " DAL_CAP_LAST_LAYER

typedef struct fasttext {
    const dal_host *host;
    const options *opt;
    text_ngrams ngrams;
    int64_t c;
    token_table tokens; /* which have vectors */
    float *vectors;     /* [tokens.n, dim] */
    float *last;        /* W [c, dim], b [c] */
    int fitted;
} fasttext;

/* ---- a text's features ------------------------------------------------------------------------- */

typedef struct bag {
    const fasttext *m;
    float *sum; /* [dim] */
    int64_t n;
} bag;

static void add_vector(void *ctx, uint64_t token)
{
    bag *b = ctx;
    const int64_t row = token_find(&b->m->tokens, token), d = b->m->opt->dim;
    if (row < 0)
        return;
    const float *e = b->m->vectors + row * d;
    for (int64_t j = 0; j < d; j++)
        b->sum[j] += e[j];
    b->n++;
}

static void embed(const fasttext *m, const char *text, int64_t n, float *h)
{
    bag b = {m, h, 0};
    memset(h, 0, (size_t)m->opt->dim * sizeof *h);
    text_tokens(&m->ngrams, text, n, add_vector, &b);
    for (int64_t j = 0; b.n > 0 && j < m->opt->dim; j++)
        h[j] /= (float)b.n;
}

static void outputs_of(const fasttext *m, const float *h, float *z)
{
    const int64_t d = m->opt->dim;
    for (int64_t k = 0; k < m->c; k++) {
        float sum = m->last[m->c * d + k];
        for (int64_t j = 0; j < d; j++)
            sum += m->last[k * d + j] * h[j];
        z[k] = sum;
    }
}

static dal_status check_batch(const fasttext *m, const dal_batch *x, dal_error *err)
{
    if (!m->fitted)
        return dal_fail(err, DAL_E_CONTRACT, "", "fasttext has not been trained: fit or load comes first");
    return x->spec->modality == DAL_TEXT ? DAL_OK
                                         : dal_fail(err, DAL_E_INVALID, "",
                                                    "fasttext was made for texts; these samples are none");
}

static dal_status features(void *self, const dal_batch *x, float *out, float *outputs, dal_error *err)
{
    const fasttext *m = self;
    const dal_status st = check_batch(m, x, err);
    for (int64_t i = 0; st == DAL_OK && i < x->n; i++) {
        float *h = out + i * m->opt->dim;
        embed(m, (const char *)x->data + x->offsets[i], x->offsets[i + 1] - x->offsets[i], h);
        if (outputs)
            outputs_of(m, h, outputs + i * m->c);
    }
    return st;
}

/* Features of a block; NULL with err filled. */
static float *block_features(const fasttext *m, const dal_batch *x, dal_error *err)
{
    float *h = dal_array(m->host, x->n * m->opt->dim, sizeof *h);
    if (!h)
        dal_fail(err, DAL_E_NOMEM, "", "no memory for the features of %lld texts", (long long)x->n);
    else if (features((void *)(uintptr_t)m, x, h, NULL, err) != DAL_OK) {
        m->host->free(m->host, h);
        h = NULL;
    }
    return h;
}

static dal_status predict(void *self, const dal_batch *x, float *out, dal_error *err)
{
    const fasttext *m = self;
    dal_error why = DAL_ERROR_INIT;
    float *h = block_features(m, x, &why);
    for (int64_t i = 0; h && i < x->n; i++)
        outputs_of(m, h + i * m->opt->dim, out + i * m->c);
    m->host->free(m->host, h);
    if (!h && err)
        *err = why;
    return h ? DAL_OK : why.status;
}

static dal_status mc(void *self, const dal_batch *x, const dal_rng *stream, int64_t first, int64_t n_passes, float *out,
                     dal_error *err)
{
    const fasttext *m = self;
    const int64_t d = m->opt->dim;
    dal_error why = DAL_ERROR_INIT;
    float *h = block_features(m, x, &why), *masked = dal_array(m->host, 2 * d, sizeof *masked);
    if (h && !masked)
        dal_fail(&why, DAL_E_NOMEM, "", "no memory for a mask of %lld features", (long long)d);
    for (int64_t k = 0; h && masked && k < n_passes; k++) {
        dal_rng r = dal_rng_at(stream, (uint64_t)(first + k));
        for (int64_t j = 0; j < d; j++)
            masked[d + j] = dal_rng_uniform(&r) < m->opt->mc_dropout ? 0 : (float)(1 / (1 - m->opt->mc_dropout));
        for (int64_t i = 0; i < x->n; i++) {
            for (int64_t j = 0; j < d; j++)
                masked[j] = h[i * d + j] * masked[d + j];
            outputs_of(m, masked, out + (k * x->n + i) * m->c);
        }
    }
    const int fine = h && masked;
    m->host->free(m->host, h);
    m->host->free(m->host, masked);
    if (!fine && err)
        *err = why;
    return fine ? DAL_OK : why.status;
}

/* ---- fit -------------------------------------------------------------------------------------- */

/* The training texts as rows of the table. */
typedef struct corpus {
    const fasttext *m;
    int64_t n, room, used;
    int64_t *first; /* [n + 1] of each text's tokens */
    uint64_t *list; /* [used] tokens, then their rows */
    dal_status status;
} corpus;

static void append_token(void *ctx, uint64_t token)
{
    corpus *t = ctx;
    const dal_host *h = t->m->host;
    if (t->status != DAL_OK)
        return;
    if (t->used == t->room) {
        const int64_t room = t->room ? 2 * t->room : 4096;
        uint64_t *more = dal_array(h, room, sizeof *more);
        if (!more) {
            t->status = DAL_E_NOMEM;
            return;
        }
        if (t->used)
            memcpy(more, t->list, (size_t)t->used * sizeof *more);
        h->free(h, t->list);
        t->list = more;
        t->room = room;
    }
    t->list[t->used++] = token;
}

static dal_status read_texts(corpus *t, const dal_samples *s, dal_error *err)
{
    sample_block b = {.host = t->m->host};
    dal_status st = DAL_OK;
    t->n = s->n;
    t->first = dal_array(t->m->host, s->n + 1, sizeof *t->first);
    if (!t->first)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld texts", (long long)s->n);
    for (int64_t at = 0; st == DAL_OK && at < s->n; at += SAMPLE_BLOCK) {
        const int64_t n = s->n - at < SAMPLE_BLOCK ? s->n - at : SAMPLE_BLOCK;
        st = sample_block_read(&b, s, at, n, err);
        for (int64_t i = 0; st == DAL_OK && i < n; i++) {
            const int64_t *o = b.batch.offsets + i;
            t->first[at + i] = t->used;
            text_tokens(&t->m->ngrams, (const char *)b.batch.data + o[0], o[1] - o[0], append_token, t);
            if (t->status != DAL_OK)
                st = dal_fail(err, t->status, "", "no memory for the words of %lld texts", (long long)s->n);
        }
    }
    t->first[s->n] = t->used;
    sample_block_free(&b);
    return st;
}

/* Tokens that are frequent enough get rows, in the order they come; the list keeps those rows alone. */
static dal_status number_tokens(corpus *t, token_table *table, dal_error *err)
{
    int64_t kept = 0, next = 0;
    for (int64_t i = 0; i < t->used; i++)
        if (token_add(table, t->list[i]) < 0)
            return dal_fail(err, DAL_E_NOMEM, "", "no memory for a table of %lld words", (long long)table->n);
    const dal_status st = token_keep(table, t->m->opt->min_count);
    if (st != DAL_OK)
        return dal_fail(err, st, "", "no memory for a table of %lld words", (long long)table->n);
    for (int64_t i = 0; i < t->n; i++) {
        const int64_t end = t->first[i + 1];
        t->first[i] = kept;
        for (; next < end; next++) {
            const int64_t row = token_find(table, t->list[next]);
            if (row >= 0)
                t->list[kept++] = (uint64_t)row;
        }
    }
    t->first[t->n] = kept;
    return DAL_OK;
}

typedef struct step {
    fasttext *m;
    const corpus *texts;
    float *h, *dh, *z, *mask; /* [d], [d], [c], [d] */
    double loss;
    int64_t hits;
} step;

/* z becomes the gradient of the loss by the logits. */
static void softmax_loss(step *s, int32_t y, float weight)
{
    const int64_t c = s->m->c;
    int64_t top = 0;
    double sum = 0;
    for (int64_t k = 1; k < c; k++)
        top = s->z[k] > s->z[top] ? k : top;
    const double max = (double)s->z[top], own = (double)s->z[y] - max;
    for (int64_t k = 0; k < c; k++)
        sum += exp((double)s->z[k] - max);
    for (int64_t k = 0; k < c; k++)
        s->z[k] = weight * (float)(exp((double)s->z[k] - max) / sum - (k == y));
    s->loss += (double)weight * (log(sum) - own);
    s->hits += top == y;
}

static void learn(step *s, int64_t text, int32_t y, float weight, float rate, dal_rng *dropout)
{
    fasttext *m = s->m;
    const int64_t d = m->opt->dim, c = m->c, from = s->texts->first[text], n = s->texts->first[text + 1] - from;
    const uint64_t *rows = s->texts->list + from;
    const float share = n > 0 ? 1 / (float)n : 0;
    float *w = m->last, *b = m->last + c * d;
    memset(s->h, 0, (size_t)d * sizeof *s->h);
    memset(s->dh, 0, (size_t)d * sizeof *s->dh);
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < d; j++)
            s->h[j] += m->vectors[(int64_t)rows[i] * d + j];
    for (int64_t j = 0; j < d; j++) {
        s->mask[j] = m->opt->dropout > 0 && dal_rng_uniform(dropout) < m->opt->dropout ? 0
            : (float)(1 / (1 - m->opt->dropout));
        s->h[j] *= share * s->mask[j];
    }
    outputs_of(m, s->h, s->z);
    softmax_loss(s, y, weight);
    for (int64_t k = 0; k < c; k++) {
        const float move = rate * s->z[k];
        for (int64_t j = 0; j < d; j++) {
            s->dh[j] += s->z[k] * w[k * d + j];
            w[k * d + j] -= move * s->h[j];
        }
        b[k] -= move;
    }
    for (int64_t j = 0; j < d; j++)
        s->dh[j] *= rate * share * s->mask[j];
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < d; j++)
            m->vectors[(int64_t)rows[i] * d + j] -= s->dh[j];
}

static dal_status train(step *s, const dal_samples *samples, int64_t round, dal_fit_report *report, dal_error *err)
{
    const fasttext *m = s->m;
    const dal_host *host = m->host;
    const options *o = m->opt;
    const double mean = dal_mean_weight(samples), steps = (double)(o->epochs * samples->n);
    dal_rng order = host->rng(host, "order", round), dropout = host->rng(host, "dropout", round);
    int64_t *rows = dal_array(host, samples->n, sizeof *rows), done = 0;
    dal_status st = rows ? DAL_OK : dal_fail(err, DAL_E_NOMEM, "", "no memory for an order of texts");
    for (int64_t i = 0; rows && i < samples->n; i++)
        rows[i] = i;
    for (int64_t epoch = 0; st == DAL_OK && epoch < o->epochs; epoch++) {
        s->loss = 0;
        s->hits = 0;
        dal_rng_shuffle(&order, rows, samples->n, samples->n);
        for (int64_t i = 0; st == DAL_OK && i < samples->n; i++, done++) {
            const double weight = samples->weights ? (double)samples->weights[rows[i]] / mean : 1;
            learn(s, rows[i], samples->classes[rows[i]], (float)weight,
                  (float)(o->learning_rate * (1 - (double)done / steps)), &dropout);
            if (i % 256 == 0 && host->cancelled(host))
                st = dal_fail(err, DAL_E_CANCELLED, "", "stopped in epoch %lld", (long long)epoch);
        }
        host->progress(host, epoch + 1, o->epochs, "epochs");
        if (st == DAL_OK && !isfinite(s->loss))
            st = dal_fail(err, DAL_E_DIVERGED, "learning_rate",
                          "the training loss is not finite in epoch %lld at a learning rate of %g; lower it",
                          (long long)epoch + 1, o->learning_rate);
    }
    host->free(host, rows);
    *report = (dal_fit_report){.struct_size = report->struct_size, .epochs = o->epochs, .steps = done,
                               .loss = s->loss / (double)samples->n,
                               .train_accuracy = (double)s->hits / (double)samples->n};
    return st;
}

static dal_status begin(fasttext *m, const corpus *texts, int64_t round, step *s, dal_error *err)
{
    const dal_host *host = m->host;
    const int64_t d = m->opt->dim, n = m->tokens.n;
    dal_rng start = host->rng(host, "vectors", round);
    int64_t cells;
    m->vectors = dal_size_mul(n, d, &cells) ? dal_array(host, cells, sizeof *m->vectors) : NULL;
    m->last = dal_array(host, m->c * (d + 1), sizeof *m->last);
    s->h = dal_array(host, 3 * d + m->c, sizeof *s->h);
    if (!m->vectors || !m->last || !s->h)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for the vectors of %lld words", (long long)n);
    for (int64_t i = 0; i < cells; i++)
        m->vectors[i] = (float)((2 * dal_rng_uniform(&start) - 1) / (double)d);
    memset(m->last, 0, (size_t)(m->c * (d + 1)) * sizeof *m->last);
    s->m = m;
    s->texts = texts;
    s->dh = s->h + d;
    s->mask = s->h + 2 * d;
    s->z = s->h + 3 * d;
    return DAL_OK;
}

static void forget(fasttext *m)
{
    m->fitted = 0;
    token_free(&m->tokens);
    m->host->free(m->host, m->vectors);
    m->host->free(m->host, m->last);
    m->vectors = m->last = NULL;
}

static dal_status fit(void *self, const dal_fit *f, dal_fit_report *report, dal_error *err)
{
    fasttext *m = self;
    corpus texts = {.m = m};
    step s = {0};
    forget(m);
    dal_status st = dal_check_labels("fasttext", m->c, f, err);
    if (st == DAL_OK)
        st = read_texts(&texts, f->train, err);
    if (st == DAL_OK)
        st = number_tokens(&texts, &m->tokens, err);
    if (st == DAL_OK)
        st = begin(m, &texts, f->round, &s, err);
    if (st == DAL_OK)
        st = train(&s, f->train, f->round, report, err);
    m->host->free(m->host, texts.first);
    m->host->free(m->host, texts.list);
    m->host->free(m->host, s.h);
    if (st != DAL_OK)
        forget(m);
    m->fitted = st == DAL_OK;
    return st;
}

/* ---- save and load ----------------------------------------------------------------------------- */

#define ARRAYS 4 /* shape, tokens, vectors, last layer */

static void shape_of(const fasttext *m, int64_t n, int64_t shape[6])
{
    const options *o = m->opt;
    const int64_t all[6] = {m->c, o->dim, o->word_ngrams, o->char_min, o->char_max, n};
    memcpy(shape, all, sizeof all);
}

static dal_status save(void *self, const dal_writer *w, dal_error *err)
{
    const fasttext *m = self;
    int64_t shape[6];
    const int64_t n = m->tokens.n, d = m->opt->dim;
    if (!m->fitted)
        return dal_fail(err, DAL_E_CONTRACT, "", "fasttext has not been trained: there is nothing to save");
    shape_of(m, n, shape);
    const saved_array a[ARRAYS] = {{shape, sizeof shape},
                                   {m->tokens.token, n * (int64_t)sizeof *m->tokens.token},
                                   {m->vectors, n * d * (int64_t)sizeof *m->vectors},
                                   {m->last, m->c * (d + 1) * (int64_t)sizeof *m->last}};
    return arrays_save(w, MAGIC, a, ARRAYS, err);
}

static dal_status check_arrays(const fasttext *m, const saved_array *a, dal_error *err)
{
    int64_t have[6], want[6];
    const int64_t d = m->opt->dim;
    if (a[0].bytes != sizeof have)
        return dal_fail(err, DAL_E_FORMAT, "", "a saved fasttext has a shape of %lld bytes", (long long)a[0].bytes);
    memcpy(have, a[0].data, sizeof have);
    shape_of(m, have[5], want);
    if (memcmp(have, want, sizeof have) != 0)
        return dal_fail(err, DAL_E_FORMAT, "",
                        "a saved fasttext of other options: %lld classes, dim %lld, word_ngrams %lld, characters "
                        "%lld..%lld; here they are %lld, %lld, %lld, %lld..%lld", (long long)have[0],
                        (long long)have[1], (long long)have[2], (long long)have[3], (long long)have[4],
                        (long long)want[0], (long long)want[1], (long long)want[2], (long long)want[3],
                        (long long)want[4]);
    const int64_t n = have[5];
    if (n < 0 || n > (int64_t)1 << 30 || a[1].bytes != n * (int64_t)sizeof(uint64_t) ||
        a[2].bytes / (int64_t)sizeof(float) != n * d || a[3].bytes != m->c * (d + 1) * (int64_t)sizeof(float))
        return dal_fail(err, DAL_E_FORMAT, "", "a saved fasttext of %lld words has arrays of other sizes",
                        (long long)n);
    const dal_status st = arrays_finite("fasttext", a[2].data, n * d, err);
    return st == DAL_OK ? arrays_finite("fasttext", a[3].data, m->c * (d + 1), err) : st;
}

static dal_status number_saved(token_table *t, const uint64_t *token, int64_t n, dal_error *err)
{
    for (int64_t i = 0; i < n; i++) {
        const int64_t row = token_add(t, token[i]);
        if (row != i)
            return row < 0 ? dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld words", (long long)n)
                           : dal_fail(err, DAL_E_FORMAT, "", "a saved fasttext has word %lld twice", (long long)row);
    }
    return DAL_OK;
}

static dal_status load(void *self, const dal_reader *r, dal_error *err)
{
    fasttext *m = self;
    saved_array a[ARRAYS];
    token_table tokens = {.host = m->host};
    dal_status st = arrays_load(m->host, r, "fasttext", MAGIC, a, ARRAYS, err);
    if (st == DAL_OK)
        st = check_arrays(m, a, err);
    if (st == DAL_OK)
        st = number_saved(&tokens, a[1].data, a[1].bytes / (int64_t)sizeof(uint64_t), err);
    if (st == DAL_OK) {
        forget(m);
        m->tokens = tokens;
        m->vectors = a[2].data;
        m->last = a[3].data;
        m->fitted = 1;
        a[2].data = a[3].data = NULL;
    } else {
        token_free(&tokens);
    }
    arrays_free(m->host, a, ARRAYS);
    return st;
}

/* ---- the table --------------------------------------------------------------------------------- */

static dal_status create(const dal_host *host, const void *opts, const dal_sample_spec *spec, void **self,
                         dal_error *err)
{
    const options *o = opts;
    if (spec->modality != DAL_TEXT)
        return dal_fail(err, DAL_E_INVALID, "", "fasttext reads texts; these samples are %s",
                        spec->modality == DAL_IMAGE
                        ? "images" : spec->modality == DAL_SPARSE ? "sparse rows" : "vectors");
    if (o->char_min > o->char_max || (o->char_min == 0) != (o->char_max == 0))
        return dal_fail(err, DAL_E_INVALID, "char_max",
                        "sequences of %lld to %lld characters are none; expected char_max to be at least char_min, or "
                        "both 0", (long long)o->char_min, (long long)o->char_max);
    fasttext *m = dal_array(host, 1, sizeof *m);
    if (!m)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for a model");
    *m = (fasttext){.host = host, .opt = o, .ngrams = {o->word_ngrams, o->char_min, o->char_max}, .c = spec->n_classes,
                    .tokens = {.host = host}};
    *self = m;
    return DAL_OK;
}

static void destroy(void *self)
{
    fasttext *m = self;
    if (!m)
        return;
    forget(m);
    m->host->free(m->host, m);
}

static int64_t width(void *self)
{
    return ((const fasttext *)self)->opt->dim;
}

static dal_status last_layer(void *self, dal_matrix *weights, const float **bias, dal_error *err)
{
    const fasttext *m = self;
    if (!m->fitted)
        return dal_fail(err, DAL_E_CONTRACT, "", "fasttext has not been trained: fit or load comes first");
    *weights = (dal_matrix){m->last, m->c, m->opt->dim, m->opt->dim};
    *bias = m->last + m->c * m->opt->dim;
    return DAL_OK;
}

static const void *get_extension(void *self, const char *id)
{
    static const dal_model_features features_table = {.struct_size = sizeof features_table, .width = width,
                                                      .features = features};
    static const dal_model_mc mc_table = {.struct_size = sizeof mc_table, .mc = mc};
    static const dal_model_last_layer last_table = {.struct_size = sizeof last_table, .last_layer = last_layer};
    (void)self;
    return strcmp(id, DAL_CAP_FEATURES) == 0     ? (const void *)&features_table
           : strcmp(id, DAL_CAP_MC) == 0         ? (const void *)&mc_table
           : strcmp(id, DAL_CAP_LAST_LAYER) == 0 ? (const void *)&last_table
                                                 : NULL;
}

static const dal_model_impl impl = {
    .struct_size = sizeof(dal_model_impl),
    .output = DAL_LOGITS,
    .create = create,
    .destroy = destroy,
    .fit = fit,
    .predict = predict,
    .save = save,
    .load = load,
    .get_extension = get_extension,
};

#define COMPONENTS(C)                                                                                              \
    C(MODEL, "fasttext", impl, "a text as the mean of its words' vectors, and a linear layer",                     \
      "Joulin et al., EACL 2017", "", PROVIDES, options, PARAMS)
DAL_MODULE(fasttext, "1.0", "Apache-2.0", COMPONENTS, NULL, NULL)
