/* Words to numbers, and the embedded words as an input of their own. */
#include "text_net.h"

#include "array_file.h"
#include "sample_block.h"
#include "text_tokens.h"
#include "token_table.h"

#define EMBEDDED ((dal_nn_value)1) /* the embedding is the first layer */
#define UNKNOWN 0

static const text_words *words_of(const dal_nn_model *m)
{
    return dal_nn_model_extra(m);
}

static const text_ngrams single_words = {.word_ngrams = 1};

/* ---- texts to ids -------------------------------------------------------------------------------- */

typedef struct row_of_ids {
    const token_table *table;
    int32_t *ids; /* [longest] */
    int64_t n, longest;
} row_of_ids;

static void number_word(void *ctx, uint64_t token)
{
    row_of_ids *r = ctx;
    if (r->n < r->longest)
        r->ids[r->n++] = (int32_t)(token_find(r->table, token) + 1);
}

static void number_words(const dal_nn_model *m, const char *text, int64_t n, int32_t *ids)
{
    row_of_ids r = {m->known, ids, 0, m->shape[0]};
    text_tokens(&single_words, text, n, number_word, &r);
    while (r.n < r.longest)
        ids[r.n++] = DAL_NN_NO_TOKEN;
}

static dal_status check(const dal_nn_model *m, const dal_sample_spec *spec, dal_error *err)
{
    return spec->modality == DAL_TEXT ? DAL_OK
                                      : dal_fail(err, DAL_E_INVALID, "",
                                                 "%s was made for texts; these samples are none", m->id);
}

/* Memory of the input holds ids. */
static int32_t *ids_at(float *rows)
{
    return (int32_t *)(void *)rows;
}

static dal_status read_tile(const dal_nn_model *m, const dal_batch *x, int64_t first, int64_t n, float *to,
                            dal_error *err)
{
    (void)err;
    for (int64_t i = 0; i < n; i++) {
        const int64_t *o = x->offsets + first + i;
        number_words(m, (const char *)x->data + o[0], o[1] - o[0], ids_at(to) + i * m->shape[0]);
    }
    return DAL_OK;
}

/* Each text of a list, in order. */
static dal_status for_texts(const dal_nn_model *m, const dal_samples *s, dal_error *err,
                            dal_status (*visit)(void *ctx, int64_t i, const char *text, int64_t n), void *ctx)
{
    sample_block *b = dal_array(m->host, 1, sizeof *b);
    dal_status st = b ? DAL_OK : dal_fail(err, DAL_E_NOMEM, "", "no memory to read %lld texts", (long long)s->n);
    if (b)
        *b = (sample_block){.host = m->host};
    for (int64_t first = 0; st == DAL_OK && first < s->n; first += SAMPLE_BLOCK) {
        const int64_t n = s->n - first < SAMPLE_BLOCK ? s->n - first : SAMPLE_BLOCK;
        st = sample_block_read(b, s, first, n, err);
        for (int64_t i = 0; st == DAL_OK && i < n; i++)
            st = visit(ctx, first + i, (const char *)b->batch.data + b->batch.offsets[i],
                       b->batch.offsets[i + 1] - b->batch.offsets[i]);
    }
    if (b)
        sample_block_free(b);
    m->host->free(m->host, b);
    return st;
}

typedef struct rows_job {
    const dal_nn_model *m;
    int32_t *ids;
} rows_job;

static dal_status number_text(void *ctx, int64_t i, const char *text, int64_t n)
{
    const rows_job *j = ctx;
    number_words(j->m, text, n, j->ids + i * j->m->shape[0]);
    return DAL_OK;
}

static dal_status read_rows(const dal_nn_model *m, const dal_samples *s, float *to, dal_error *err)
{
    rows_job j = {m, ids_at(to)};
    return for_texts(m, s, err, number_text, &j);
}

/* ---- the words of a training set ----------------------------------------------------------------- */

typedef struct count_job {
    token_table *table;
    dal_status status;
} count_job;

static void count_word(void *ctx, uint64_t token)
{
    count_job *j = ctx;
    if (j->status == DAL_OK && token_add(j->table, token) < 0)
        j->status = DAL_E_NOMEM;
}

static dal_status count_text(void *ctx, int64_t i, const char *text, int64_t n)
{
    count_job *j = ctx;
    (void)i;
    text_tokens(&single_words, text, n, count_word, j);
    return j->status;
}

static void free_table(const dal_host *host, token_table *table)
{
    if (table)
        token_free(table);
    host->free(host, table);
}

static token_table *new_table(const dal_host *host, dal_error *err)
{
    token_table *t = dal_array(host, 1, sizeof *t);
    if (t)
        *t = (token_table){.host = host};
    else
        dal_fail(err, DAL_E_NOMEM, "", "no memory for a table of words");
    return t;
}

/* The network for the words of a table, which becomes the model's. */
static dal_status declare_for(dal_nn_model *m, token_table *table, dal_error *err)
{
    const int64_t shape[3] = {m->shape[0], table->n + 1, 1};
    return dal_nn_model_declare(m, shape, table, err);
}

static dal_status prepare(dal_nn_model *m, const dal_samples *train, dal_error *err)
{
    token_table *table = new_table(m->host, err);
    count_job j = {table, DAL_OK};
    if (!table)
        return DAL_E_NOMEM;
    dal_status st = for_texts(m, train, err, count_text, &j);
    if (j.status == DAL_OK && st == DAL_OK)
        j.status = token_keep(table, words_of(m)->min_count);
    if (j.status != DAL_OK)
        st = dal_fail(err, j.status, "", "no memory for a table of %lld words", (long long)table->n);
    if (st == DAL_OK)
        return declare_for(m, table, err);
    free_table(m->host, table);
    return st;
}

static void drop(dal_nn_model *m)
{
    free_table(m->host, m->known);
}

static void hide_words(const dal_nn_model *m, const dal_rng *epoch, const int64_t *ids, int64_t n, float *rows)
{
    const double rate = words_of(m)->word_dropout;
    for (int64_t i = 0; rate > 0 && i < n; i++) {
        dal_rng r = dal_rng_at(epoch, (uint64_t)ids[i]);
        int32_t *row = ids_at(rows) + i * m->shape[0];
        for (int64_t p = 0; p < m->shape[0] && row[p] != DAL_NN_NO_TOKEN; p++)
            row[p] = dal_rng_uniform(&r) < rate ? UNKNOWN : row[p];
    }
}

/* ---- save and load ------------------------------------------------------------------------------- */

#define MAGIC "dalwords"

static dal_status save(const dal_nn_model *m, const dal_writer *w, dal_error *err)
{
    token_table *t = m->known;
    int64_t longest = m->shape[0];
    const saved_array a[2] = {{&longest, sizeof longest}, {t->token, t->n * (int64_t)sizeof *t->token}};
    return arrays_save(w, MAGIC, a, 2, err);
}

static dal_status number_saved(const dal_nn_model *m, token_table *t, const saved_array *a, dal_error *err)
{
    const int64_t n = a[1].bytes / (int64_t)sizeof(uint64_t);
    int64_t longest;
    if (a[0].bytes != sizeof longest || a[1].bytes % (int64_t)sizeof(uint64_t))
        return dal_fail(err, DAL_E_FORMAT, "", "a saved %s has arrays of other sizes", m->id);
    memcpy(&longest, a[0].data, sizeof longest);
    if (longest != m->shape[0])
        return dal_fail(err, DAL_E_FORMAT, "", "a saved %s of texts of up to %lld words; here longest is %lld", m->id,
                        (long long)longest, (long long)m->shape[0]);
    for (int64_t i = 0; i < n; i++) {
        const int64_t row = token_add(t, ((const uint64_t *)a[1].data)[i]);
        if (row != i)
            return row < 0 ? dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld words", (long long)n)
                           : dal_fail(err, DAL_E_FORMAT, "", "a saved %s has word %lld twice", m->id, (long long)row);
    }
    return DAL_OK;
}

static dal_status load(dal_nn_model *m, const dal_reader *r, dal_error *err)
{
    saved_array a[2];
    token_table *table = NULL;
    dal_status st = arrays_load(m->host, r, m->id, MAGIC, a, 2, err);
    if (st == DAL_OK)
        st = (table = new_table(m->host, err)) ? number_saved(m, table, a, err) : DAL_E_NOMEM;
    arrays_free(m->host, a, 2);
    if (st == DAL_OK)
        return declare_for(m, table, err);
    free_table(m->host, table);
    return st;
}

/* ---- embedded words as input --------------------------------------------------------------------- */

static int64_t embedded_width(const dal_nn_model *m)
{
    int64_t shape[3];
    dal_nn_shape(m->nn, EMBEDDED, shape);
    return shape[0];
}

static int64_t input_width(void *self)
{
    const dal_nn_model *m = self;
    return m->shape[0] * embedded_width(m);
}

static int64_t length_of(const dal_nn_model *m, const int32_t *ids)
{
    int64_t n = 0;
    while (n < m->shape[0] && ids[n] != DAL_NN_NO_TOKEN)
        n++;
    return n;
}

/* Words of a tile, which lie one behind the other in `tight`, to rows [n, longest, dim]. */
static void unpack(const dal_nn_model *m, const dal_nn_pass *p, int64_t n, const float *tight, float *rows)
{
    const int64_t longest = m->shape[0], d = embedded_width(m);
    for (int64_t i = 0; i < n; i++) {
        const int64_t here = length_of(m, ids_at(p->value[0]) + i * longest);
        float *row = rows + i * longest * d;
        memcpy(row, tight, (size_t)(here * d) * sizeof *row);
        memset(row + here * d, 0, (size_t)((longest - here) * d) * sizeof *row);
        tight += here * d;
    }
}

/* The way back; where the rows are all zeros a text has ended. */
static void pack(const dal_nn_model *m, dal_nn_pass *p, int64_t n, const float *rows)
{
    const int64_t longest = m->shape[0], d = embedded_width(m);
    float *tight = p->value[EMBEDDED];
    for (int64_t i = 0; i < n; i++) {
        const float *row = rows + i * longest * d;
        int32_t *ids = ids_at(p->value[0]) + i * longest;
        int64_t values = longest * d;
        while (values > 0 && row[values - 1] == 0)
            values--;
        const int64_t here = (values + d - 1) / d;
        for (int64_t k = 0; k < longest; k++)
            ids[k] = k < here ? UNKNOWN : DAL_NN_NO_TOKEN;
        memcpy(tight, row, (size_t)(here * d) * sizeof *row);
        tight += here * d;
    }
}

typedef struct embed_job {
    const dal_nn_model *m;
    float *inputs;
} embed_job;

static dal_status embed_tile(void *ctx, dal_nn_pass *p, int64_t first, int64_t n)
{
    const embed_job *j = ctx;
    unpack(j->m, p, n, p->value[EMBEDDED], j->inputs + first * j->m->shape[0] * embedded_width(j->m));
    return DAL_OK;
}

static dal_status embed(void *self, const dal_batch *x, float *inputs, dal_error *err)
{
    embed_job j = {self, inputs};
    return dal_nn_model_tiles(self, x, EMBEDDED, 0, embed_tile, &j, err);
}

/* Forward from embedded words to a value of `width` numbers a text, or back from there to their gradient where that is
 * asked for. */
static dal_status run_embedded(const dal_nn_model *m, const float *inputs, int64_t n, dal_nn_value to, int64_t width,
                               float *values, const float *by, float *gradient, dal_error *err)
{
    const int64_t embedded = m->shape[0] * embedded_width(m);
    dal_status st = dal_nn_model_ready(m, NULL, err);
    dal_nn_model_pass by_model;
    if (st == DAL_OK)
        st = dal_nn_model_pass_open(m, gradient != NULL, &by_model, err);
    if (st != DAL_OK)
        return st;
    dal_nn_pass *p = by_model.pass;
    for (int64_t first = 0; first < n && st == DAL_OK; first += DAL_NN_TILE) {
        const int64_t here = n - first < DAL_NN_TILE ? n - first : DAL_NN_TILE;
        pack(m, p, here, inputs + first * embedded);
        st = dal_nn_run(m->nn, m->weights, m->state, p, here, EMBEDDED + 1, to, NULL);
        if (st == DAL_OK && values)
            memcpy(values + first * width, p->value[to], (size_t)(here * width) * sizeof *values);
        if (st != DAL_OK || !gradient)
            continue;
        memset(p->d[to], 0, (size_t)(DAL_NN_TILE * width) * sizeof(float));
        memcpy(p->d[to], by + first * width, (size_t)(here * width) * sizeof(float));
        st = dal_nn_run_back_from(m->nn, m->weights, m->state, p, here, to, NULL);
        unpack(m, p, here, p->d[EMBEDDED], gradient + first * embedded);
    }
    dal_nn_model_pass_close(&by_model);
    return st;
}

static dal_status forward(void *self, const float *inputs, int64_t n, float *outputs, dal_error *err)
{
    const dal_nn_model *m = self;
    return run_embedded(m, inputs, n, m->info.output, m->n_classes, outputs, NULL, NULL, err);
}

static dal_status gradient(void *self, const float *inputs, int64_t n, const float *by_outputs, float *out,
                           dal_error *err)
{
    const dal_nn_model *m = self;
    return run_embedded(m, inputs, n, m->info.output, m->n_classes, NULL, by_outputs, out, err);
}

static dal_status forward_to_features(void *self, const float *inputs, int64_t n, float *out, dal_error *err)
{
    const dal_nn_model *m = self;
    return run_embedded(m, inputs, n, m->info.features, m->info.n_features, out, NULL, NULL, err);
}

static dal_status gradient_by_features(void *self, const float *inputs, int64_t n, const float *by_features, float *out,
                                       dal_error *err)
{
    const dal_nn_model *m = self;
    return run_embedded(m, inputs, n, m->info.features, m->info.n_features, NULL, by_features, out, err);
}

const void *text_net_get_extension(void *self, const char *id)
{
    static const dal_model_input_gradient by_outputs = {.struct_size = sizeof by_outputs, .width = input_width,
                                                        .embed = embed, .forward = forward, .gradient = gradient};
    static const dal_model_feature_gradient by_features = {.struct_size = sizeof by_features,
                                                           .features = forward_to_features,
                                                           .gradient = gradient_by_features};
    if (strcmp(id, DAL_CAP_INPUT_GRADIENT) == 0)
        return &by_outputs;
    return strcmp(id, DAL_CAP_FEATURE_GRADIENT) == 0 ? (const void *)&by_features
        : dal_nn_model_get_extension(self, id);
}

/* ---- life ---------------------------------------------------------------------------------------- */

dal_status text_net_new(const dal_host *host, const char *id, const char *provides, const dal_sample_spec *spec,
                        const dal_nn_training *training, uint32_t init, dal_nn_layers *layers, const void *options,
                        const text_words *words, int mask_features, void **self, dal_error *err)
{
    static const dal_nn_reader reader = {.struct_size = sizeof reader, .check = check, .read = read_tile,
                                         .rows = read_rows, .prepare = prepare, .augment = hide_words, .save = save,
                                         .load = load, .drop = drop};
    const dal_nn_model_plan plan = {.struct_size = sizeof plan, .id = id, .layers = layers, .options = options,
                                    .training = training, .training_size = sizeof *training, .init = init,
                                    .provides = provides, .extra = sizeof *words, .reader = &reader,
                                    .shape = {words->longest, 1, 1}}; /* until the first fit there are no words */
    if (spec->modality != DAL_TEXT)
        return dal_fail(err, DAL_E_INVALID, "", "%s reads texts; these samples are %s", id,
                        spec->modality == DAL_IMAGE    ? "images: try model lenet"
                        : spec->modality == DAL_SPARSE ? "sparse rows: try model sparse-logistic"
                                                       : "vectors: try model mlp");
    const dal_status st = dal_nn_model_new(host, &plan, spec, self, err);
    if (st != DAL_OK)
        return st;
    dal_nn_model *m = *self;
    *(text_words *)dal_nn_model_extra(m) = *words;
    m->mask_features = mask_features;
    return DAL_OK;
}
