/* distilbert, bert, roberta: pre-trained encoders of texts, fine-tuned or frozen.
 *
 * Devlin et al., "BERT: pre-training of deep bidirectional transformers for language understanding", NAACL 2019; Sanh
 * et al., "DistilBERT, a distilled version of BERT", arXiv:1910.01108; Liu et al., "RoBERTa: a robustly optimized BERT
 * pretraining approach", arXiv:1907.11692. The folder is as Hugging Face lays it out: config.json, model.safetensors,
 * and vocab.txt or vocab.json and merges.txt.
 *
 *   x = norm(word + position [+ segment 0])
 *   each layer: x = norm(x + out(attention(x))); x = norm(x + narrow(gelu(wide(x))))
 *   h = x of the first token; features u = relu(head h) (DistilBERT), tanh(head h); logits = last u
 *
 * Every fit that is not a warm one starts from the folder's weights; the last layer, unless that of the folder is asked
 * for (and the head where the file has none), is drawn anew, normal with deviation 0.02. A model is saved under the
 * folder's names, and carries what transformers wants beside them, or, of a frozen one, says where its encoder is.
 * Texts are tokenised once a fit; there is no padding, so none to mask. With `freeze` the encoder stays as it is: its
 * vector of each text is computed once a fit, and head and last layer are trained on those. Stages are the first
 * token's vectors behind four layers, evenly spaced.
 */
#include "text_net.h"

#include "bert_files.h"
#include "sample_block.h"

typedef struct options {
    dal_nn_training nn;
    const char *folder;
    int64_t length;
    int32_t freeze, cased;
    uint32_t last_layer;
} options;

#define NEW_LAYER 0u
#define FOLDERS_LAYER 1u

/* What a model and its copies share. */
typedef struct encoder {
    bert_files *files;
    int64_t length;
    int keep_output; /* the last layer begins as the folder's */
    bert_tensor *tensors; /* [n_tensors] of the network that is trained, under their names in a folder */
    int64_t n_tensors;
    dal_nn *nn;     /* frozen: up to the first token's vector; else NULL */
    float *weights; /* of nn */
    dal_nn_ready *ready;
    dal_nn_info info;
    uint64_t hash; /* of the folder */
} encoder;

/* ---- layers ------------------------------------------------------------------------------------- */

static dal_nn_value drop(dal_nn *nn, dal_nn_value x, double rate)
{
    return rate > 0 ? dal_nn_dropout(nn, x, rate) : x;
}

static const char *part(char name[48], int64_t layer, const char *what)
{
    snprintf(name, 48, "layer%lld.%s", (long long)layer + 1, what);
    return name;
}

static dal_nn_value layer(dal_nn *nn, dal_nn_value x, int64_t l, const bert_shape *s)
{
    char name[48];
    dal_nn_value y = dal_nn_linear(nn, x, part(name, l, "qkv"), 3 * s->width, DAL_NN_BIAS);
    y = dal_nn_linear(nn, dal_nn_attention(nn, y, s->heads, s->attention_dropout), part(name, l, "out"), s->width,
                      DAL_NN_BIAS);
    x = dal_nn_layer_norm(nn, dal_nn_add(nn, x, drop(nn, y, s->dropout), 0), part(name, l, "norm1"), s->eps);
    y = dal_nn_gelu(nn, dal_nn_linear(nn, x, part(name, l, "wide"), s->wide, DAL_NN_BIAS));
    y = dal_nn_linear(nn, y, part(name, l, "narrow"), s->width, DAL_NN_BIAS);
    return dal_nn_layer_norm(nn, dal_nn_add(nn, x, drop(nn, y, s->dropout), 0), part(name, l, "norm2"), s->eps);
}

/* The vector of the first token behind all layers. */
static dal_nn_value encode(dal_nn *nn, dal_nn_value x, const bert_shape *s, int stages)
{
    const dal_nn_embedding_shape shape = {.width = s->width, .positions = s->positions,
                                          .first_position = s->first_position, .segments = s->segments};
    x = dal_nn_layer_norm(nn, dal_nn_embedding(nn, x, "embedding", &shape), "norm", s->eps);
    x = drop(nn, x, s->dropout);
    for (int64_t l = 0; l < s->layers; l++) {
        x = layer(nn, x, l, s);
        if (stages && (l + 1) * 4 / s->layers > l * 4 / s->layers)
            dal_nn_stage(nn, dal_nn_first_token(nn, x));
    }
    return dal_nn_first_token(nn, x);
}

static void layers(dal_nn *nn, dal_nn_value x, int64_t c, const void *known)
{
    const encoder *e = known;
    const bert_shape *s = &e->files->shape;
    const bert_family *y = e->files->family;
    if (!e->nn)
        x = encode(nn, x, s, 1);
    else
        dal_nn_stage(nn, x);
    if (y == &bert_family_roberta)
        x = drop(nn, x, s->head_dropout);
    x = dal_nn_linear(nn, x, "head", s->width, y->relu ? DAL_NN_BIAS | DAL_NN_RELU : DAL_NN_BIAS);
    x = drop(nn, y->relu ? x : dal_nn_tanh(nn, x), s->head_dropout);
    dal_nn_features(nn, x);
    dal_nn_output(nn, dal_nn_linear(nn, x, "output", c, DAL_NN_BIAS));
}

/* ---- texts -------------------------------------------------------------------------------------- */

/* Memory of an input holds ids. */
static int32_t *ids_at(float *rows)
{
    return (int32_t *)(void *)rows;
}

static dal_status number_texts(const encoder *e, const dal_batch *x, int64_t first, int64_t n, int32_t *ids,
                               dal_error *err)
{
    dal_status st = DAL_OK;
    for (int64_t i = 0; i < n && st == DAL_OK; i++) {
        const int64_t *o = x->offsets + first + i;
        int64_t used;
        st = dal_tokens_sequence(e->files->tokens, (const char *)x->data + o[0], o[1] - o[0], 0, ids + i * e->length,
                                 e->length, &used, err);
    }
    return st;
}

/* The encoder's vectors of a tile of texts. */
static dal_status run_encoder(const encoder *e, dal_nn_pass *p, const dal_batch *x, int64_t first, int64_t n, float *to,
                              dal_error *err)
{
    dal_status st = number_texts(e, x, first, n, ids_at(p->value[e->info.input]), err);
    if (st == DAL_OK)
        st = dal_nn_run(e->nn, e->weights, NULL, p, n, e->info.input, e->info.features, NULL);
    if (st == DAL_OK)
        memcpy(to, p->value[e->info.features], (size_t)(n * e->info.n_features) * sizeof *to);
    return st;
}

static dal_status check(const dal_nn_model *m, const dal_sample_spec *spec, dal_error *err)
{
    return spec->modality == DAL_TEXT ? DAL_OK
                                      : dal_fail(err, DAL_E_INVALID, "",
                                                 "%s was made for texts; these samples are none", m->id);
}

static dal_status read_tile(const dal_nn_model *m, const dal_batch *x, int64_t first, int64_t n, float *to,
                            dal_error *err)
{
    const encoder *e = m->known;
    if (!e->nn)
        return number_texts(e, x, first, n, ids_at(to), err);
    dal_nn_pass *p = dal_nn_ready_pass(e->ready, m->host, err);
    const dal_status st = p ? run_encoder(e, p, x, first, n, to, err) : DAL_E_NOMEM;
    dal_nn_pass_free(p);
    return st;
}

/* Tiles of a block of texts, on all threads. */
typedef struct tiles_job {
    const dal_nn_model *m;
    const dal_batch *x;
    float *to;
    dal_error err[(SAMPLE_BLOCK + DAL_NN_TILE - 1) / DAL_NN_TILE];
} tiles_job;

static dal_status read_task(void *ctx, int64_t i)
{
    tiles_job *j = ctx;
    const int64_t first = i * DAL_NN_TILE, left = j->x->n - first, n = left < DAL_NN_TILE ? left : DAL_NN_TILE;
    j->err[i] = (dal_error)DAL_ERROR_INIT;
    return read_tile(j->m, j->x, first, n, j->to + first * j->m->info.n_inputs, &j->err[i]);
}

static dal_status read_block(tiles_job *j, dal_error *err)
{
    const int64_t n = (j->x->n + DAL_NN_TILE - 1) / DAL_NN_TILE;
    for (int64_t i = 0; i < n; i++)
        j->err[i] = (dal_error)DAL_ERROR_INIT;
    const dal_status st = j->m->host->parallel_for(j->m->host, n, read_task, j);
    for (int64_t i = 0; i < n && st != DAL_OK && err; i++)
        if (j->err[i].status != DAL_OK) {
            *err = j->err[i];
            break;
        }
    return st;
}

static dal_status read_rows(const dal_nn_model *m, const dal_samples *s, float *to, dal_error *err)
{
    const dal_host *host = m->host;
    sample_block *b = dal_array(host, 1, sizeof *b);
    tiles_job *j = dal_array(host, 1, sizeof *j);
    dal_status st = b && j ? DAL_OK : dal_fail(err, DAL_E_NOMEM, "", "no memory to read %lld texts", (long long)s->n);
    if (b)
        *b = (sample_block){.host = host};
    for (int64_t first = 0; st == DAL_OK && first < s->n; first += SAMPLE_BLOCK) {
        const int64_t n = s->n - first < SAMPLE_BLOCK ? s->n - first : SAMPLE_BLOCK;
        st = sample_block_read(b, s, first, n, err);
        j->m = m;
        j->x = &b->batch;
        j->to = to + first * m->info.n_inputs;
        if (st == DAL_OK)
            st = read_block(j, err);
        if (st == DAL_OK && host->cancelled(host))
            st = dal_fail(err, DAL_E_CANCELLED, "", "stopped while reading texts");
        host->progress(host, first + n, s->n, "reading texts");
    }
    if (b)
        sample_block_free(b);
    host->free(host, j);
    host->free(host, b);
    return st;
}

/* ---- a fit, save and load ----------------------------------------------------------------------- */

static dal_status prepare(dal_nn_model *m, const dal_samples *train, dal_error *err)
{
    (void)m;
    (void)train;
    (void)err;
    return DAL_OK; /* the folder says it all */
}

static dal_status begin(dal_nn_model *m, dal_error *err)
{
    const encoder *e = m->known;
    return bert_files_copy(e->files, m->nn, e->keep_output, m->weights, err);
}

static void drop_known(dal_nn_model *m)
{
    encoder *e = m->known;
    dal_nn_ready_free(e->ready);
    dal_nn_free(e->nn);
    m->host->free(m->host, e->weights);
    m->host->free(m->host, e->tensors);
    bert_files_close(e->files);
    m->host->free(m->host, e);
}

static int64_t tensors(const dal_nn_model *m, dal_tensor *out)
{
    const encoder *e = m->known;
    for (int64_t i = 0; i < e->n_tensors && out; i++) {
        const bert_tensor *t = &e->tensors[i];
        const int64_t count = t->rows * (t->cols > 0 ? t->cols : 1);
        out[i] = (dal_tensor){.struct_size = sizeof *out, .dtype = DAL_ST_F32, .ndim = t->cols > 0 ? 2 : 1,
                              .shape = {t->rows, t->cols}, .name = t->name, .data = m->weights + t->offset,
                              .bytes = count * (int64_t)sizeof(float), .count = count};
    }
    return e->n_tensors;
}

static const char *beside(const dal_nn_model *m, int64_t i, const char **key)
{
    const bert_files *f = ((const encoder *)m->known)->files;
    *key = i < BERT_KEPT ? f->kept[i].key : NULL;
    return *key ? f->kept[i].text : NULL;
}

/* Only what may have changed since: where the folder is, is known better here. */
static dal_status put_text(dal_nn_model *m, const char *key, const char *text, dal_error *err)
{
    const encoder *e = m->known;
    return strcmp(key, DAL_ST_BESIDE "config.json") == 0 ? bert_files_put(e->files, key, text, err) : DAL_OK;
}

/* A last layer that was trained on the same classes in another order begins with the wrong ones. */
static void compare_names(const dal_nn_model *m, const encoder *e, const char *const *names)
{
    for (int64_t c = 0; c < m->n_classes; c++) {
        const char *theirs = bert_files_class(e->files, c);
        for (int64_t k = 0; theirs && k < m->n_classes; k++)
            if (k != c && strcmp(theirs, names[k]) == 0) {
                dal_logf(m->host, DAL_LOG_WARNING,
                         "last_layer: class %lld is '%.64s' in the folder, and '%.64s' here: training begins with the "
                         "wrong classes", (long long)c, theirs, names[c]);
                return;
            }
    }
}

static dal_status named(dal_nn_model *m, const char *const *names, dal_error *err)
{
    const encoder *e = m->known;
    if (e->keep_output)
        compare_names(m, e, names);
    return bert_files_name(e->files, names, m->n_classes, err);
}

/* What a saved model depends on beside its weights. */
#define SAVED "length %lld, frozen %d, folder %016llx"

static dal_status save(const dal_nn_model *m, const dal_writer *w, dal_error *err)
{
    const encoder *e = m->known;
    char text[96];
    snprintf(text, sizeof text, SAVED, (long long)e->length, e->nn != NULL, (unsigned long long)e->hash);
    return w->write(w, text, strlen(text), err);
}

static dal_status load(dal_nn_model *m, const dal_reader *r, dal_error *err)
{
    const encoder *e = m->known;
    char text[96], again[96];
    size_t n;
    long long length = 0;
    int frozen = 0;
    unsigned long long hash = 0;
    dal_status st = r->read(r, text, sizeof text - 1, &n, err);
    if (st != DAL_OK)
        return st;
    text[n] = '\0';
    sscanf(text, "length %lld, frozen %d, folder %llx", &length, &frozen, &hash);
    snprintf(again, sizeof again, SAVED, length, frozen, hash);
    if (strcmp(text, again) != 0)
        return dal_fail(err, DAL_E_FORMAT, "", "a saved %s says '%s' of itself; expected '" SAVED "' or the like",
                        m->id, text, (long long)e->length, e->nn != NULL, (unsigned long long)e->hash);
    if (length != e->length || frozen != (e->nn != NULL))
        return dal_fail(err, DAL_E_FORMAT, "", "a saved %s%s of %lld tokens; here it is%s one of %lld", m->id,
                        frozen ? " with a frozen encoder" : "", length, e->nn ? " frozen and" : "",
                        (long long)e->length);
    if (hash != e->hash)
        return dal_fail(err, DAL_E_FORMAT, "folder",
                        "a saved %s that was made from another folder than this: from other weights, settings or "
                        "another vocabulary", m->id);
    return DAL_OK;
}

/* ---- life --------------------------------------------------------------------------------------- */

static dal_status freeze(encoder *e, const dal_host *host, uint32_t precision, dal_error *err)
{
    dal_error fault = DAL_ERROR_INIT;
    e->info.struct_size = sizeof e->info;
    e->nn = dal_nn_new(host);
    if (!e->nn)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for a network");
    dal_nn_train_in(e->nn, precision);
    const dal_nn_value x = encode(e->nn, dal_nn_tokens(e->nn, e->length, e->files->shape.vocabulary), &e->files->shape,
                                  0);
    dal_nn_features(e->nn, x);
    dal_nn_output(e->nn, dal_nn_linear(e->nn, x, "unused", 1, 0)); /* every network ends in one; none is run so far */
    dal_status st = dal_nn_finish(e->nn, &fault);
    if (st != DAL_OK)
        return dal_fail(err, st, fault.status == DAL_E_UNSUPPORTED ? "precision" : "length", "%s", fault.text);
    dal_nn_describe(e->nn, &e->info);
    e->weights = dal_array(host, e->info.n_weights, sizeof *e->weights);
    if (!e->weights)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld weights", (long long)e->info.n_weights);
    memset(e->weights, 0, (size_t)e->info.n_weights * sizeof *e->weights);
    st = bert_files_copy(e->files, e->nn, 0, e->weights, err);
    if (st == DAL_OK)
        st = bert_files_refer(e->files, e->nn, err);
    if (st == DAL_OK)
        e->ready = dal_nn_ready_new(e->nn, host, e->weights, NULL, err);
    return st != DAL_OK ? st : e->ready ? DAL_OK : DAL_E_NOMEM;
}

static dal_status open_encoder(const dal_host *host, const bert_family *y, const options *o, int64_t classes,
                               encoder **out, dal_error *err)
{
    encoder *e = host->alloc(host, sizeof *e, 0);
    if (!e)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for a model");
    *e = (encoder){.length = o->length, .keep_output = o->last_layer == FOLDERS_LAYER};
    *out = e;
    dal_status st = bert_files_open(host, y, o->folder, (uint32_t)o->cased, &e->files, err);
    if (st != DAL_OK)
        return st;
    const bert_shape *s = &e->files->shape;
    if (o->length > s->positions - s->first_position)
        return dal_fail(err, DAL_E_INVALID, "length", "length is %lld; the %s in folder has positions for %lld tokens",
                        (long long)o->length, y->id, (long long)(s->positions - s->first_position));
    st = bert_files_keep(e->files, o->folder, (uint32_t)o->cased, classes, e->keep_output, err);
    if (st == DAL_OK)
        e->hash = bert_files_hash(e->files);
    return st == DAL_OK && o->freeze ? freeze(e, host, o->nn.precision, err) : st;
}

static dal_status list_tensors(dal_nn_model *m, dal_error *err)
{
    encoder *e = m->known;
    e->n_tensors = bert_tensors(e->files, m->nn, NULL);
    e->tensors = dal_array(m->host, e->n_tensors, sizeof *e->tensors);
    if (!e->tensors)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for a list of tensors");
    bert_tensors(e->files, m->nn, e->tensors);
    return DAL_OK;
}

/* Everything of the folder that a fit would need, before there is one. */
static dal_status try_weights(dal_nn_model *m, dal_error *err)
{
    const encoder *e = m->known;
    const dal_status st = list_tensors(m, err);
    return st == DAL_OK ? bert_files_copy(e->files, m->nn, e->keep_output, m->weights, err) : st;
}

static dal_status make(const dal_host *host, const bert_family *y, const options *o, const dal_sample_spec *spec,
                       void **self, dal_error *err)
{
#define READER                                                                                                        \
    .struct_size = sizeof(dal_nn_reader), .check = check, .read = read_tile, .rows = read_rows, .prepare = prepare,   \
    .begin = begin, .save = save, .load = load, .drop = drop_known, .tensors = tensors, .beside = beside,             \
    .put = put_text, .named = named
    static const dal_nn_reader tokens = {READER}, vectors = {READER, .vectors = 1};
    encoder *e = NULL;
    void *made = NULL;
    if (spec->modality != DAL_TEXT)
        return dal_fail(err, DAL_E_INVALID, "", "%s reads texts; these samples are %s", y->id,
                        spec->modality == DAL_IMAGE    ? "images"
                        : spec->modality == DAL_SPARSE ? "sparse rows"
                                                       : "vectors");
    dal_status st = open_encoder(host, y, o, spec->n_classes, &e, err);
    if (st == DAL_OK) {
        dal_nn_training training = o->nn;
        if (o->freeze)
            training.precision = DAL_NN_F32; /* of the head, which has no tokens */
        if (training.learning_rate == 0)
            training.learning_rate = o->freeze ? 1e-3 : 5e-5;
        const dal_nn_model_plan plan = {.struct_size = sizeof plan, .id = y->id, .layers = layers, .options = e,
                                        .training = &training, .training_size = sizeof training, .init = DAL_NN_BERT,
                                        .reader = e->nn ? &vectors : &tokens,
                                        .shape = {e->nn ? e->files->shape.width : o->length,
                                                  e->nn ? 1 : e->files->shape.vocabulary, 1}};
        st = dal_nn_model_new(host, &plan, spec, &made, err);
    }
    if (made) {
        dal_nn_model *m = made;
        m->known = e;
        m->mask_features = 1;
        m->fine.spare = 1;
        st = try_weights(m, err);
        if (st == DAL_OK)
            *self = m;
        else
            dal_nn_model_destroy(m);
        return st;
    }
    if (e) {
        dal_nn_model gone = {.host = host, .known = e};
        drop_known(&gone);
    }
    return st;
}

/* The precision is that of the encoder. */
static const char *frozen_chosen(void *self, const char *parameter)
{
    const encoder *e = ((const dal_nn_model *)self)->known;
    if (strcmp(parameter, "precision") != 0)
        return ((const dal_model_choices *)dal_nn_model_get_extension(self, DAL_CAP_CHOICES))->chosen(self, parameter);
    return dal_nn_precision_used(e->nn) == DAL_NN_BF16 ? "bf16" : "f32";
}

static const void *get_extension(void *self, const char *id)
{
    static const dal_model_choices frozen = {.struct_size = sizeof frozen, .chosen = frozen_chosen};
    const encoder *e = ((const dal_nn_model *)self)->known;
    if (e->nn && strcmp(id, DAL_CAP_CHOICES) == 0)
        return &frozen;
    return e->nn ? dal_nn_model_get_extension(self, id) : text_net_get_extension(self, id);
}

#define MODEL(name)                                                                                                   \
    static dal_status create_##name(const dal_host *host, const void *o, const dal_sample_spec *spec, void **self,    \
                                    dal_error *err)                                                                   \
    {                                                                                                                 \
        return make(host, &bert_family_##name, o, spec, self, err);                                                   \
    }                                                                                                                 \
    static const dal_model_impl name##_impl = {.struct_size = sizeof(dal_model_impl), .output = DAL_LOGITS,           \
                                               .create = create_##name, .destroy = dal_nn_model_destroy,               \
                                               .fit = dal_nn_model_fit, .predict = dal_nn_model_predict,               \
                                               .save = dal_nn_model_save, .load = dal_nn_model_load,                   \
                                               .get_extension = get_extension};
MODEL(distilbert)
MODEL(bert)
MODEL(roberta)

#define PARAMS(P, T)                                                                                                  \
    P(T, folder, PATH, DAL_REQUIRED, "directory", "",                                                                  \
      "config.json, model.safetensors and the vocabulary of the model")                                                \
    P(T, length, I64, "128", "3..65536", "tokens", "of a longer text the first so many count, marks included")        \
    P(T, freeze, BOOL, "false", "", "", "leave the encoder as it is and train head and last layer alone")             \
    P(T, last_layer, CHOICE, "new", "new|folder", "",                                                                  \
      "what the last layer begins as; folder: as it is there, as of an exported model, for as many classes as "        \
      "there are here")                                                                                                \
    P(T, cased, BOOL, "false", "", "", "distilbert, bert: keep capitals and accents, as a cased vocabulary wants")     \
    P(dal_nn_training, epochs, I64, "3", "1..1000000", "epochs", "passes over the training set, at most")              \
    P(dal_nn_training, batch_size, I64, "16", "1..65536", "samples", "samples a step")                                 \
    P(dal_nn_training, optimizer, CHOICE, "adamw", "sgd|adam|adamw|nadam", "", "how weights are moved")                \
    P(dal_nn_training, learning_rate, F64, "0", "0..", "", "size of a step; 0: 5e-5, with freeze 1e-3")                \
    P(dal_nn_training, momentum, F64, "0.9", "[0..1)", "", "sgd: share of the last step in the next")                  \
    P(dal_nn_training, weight_decay, F64, "0.01", "0..", "",                                                           \
      "adamw: share of a weight lost a step, times the rate; not of biases and norms")                                 \
    DAL_NN_CONTROL_OF(P, "linear", "1")                                                                            \
    P(dal_nn_training, stop_accuracy, F64, "0", "0..1", "",                                                            \
      "stop once an epoch's training accuracy is this; 0: never")                                                      \
    P(dal_nn_training, mc_dropout, F64, "0.5", "(0..1)", "", "rate on the features in Monte-Carlo passes")             \
    P(dal_nn_training, backend, CHOICE, "auto", "auto|openblas|onednn", "",                                            \
      "who multiplies; only the same one repeats a run")                                                               \
    TEXT_NET_PRECISION(P, dal_nn_training)
#define COMPONENTS(C)                                                                                                 \
    C(MODEL, "distilbert", distilbert_impl, "DistilBERT from a folder, fine-tuned or frozen",                         \
      "Sanh et al., 2019 (arXiv:1910.01108)", "", DAL_NN_MODEL_PROVIDES, options, PARAMS)                              \
    C(MODEL, "bert", bert_impl, "BERT from a folder, fine-tuned or frozen", "Devlin et al., NAACL 2019", "",           \
      DAL_NN_MODEL_PROVIDES, options, PARAMS)                                                                          \
    C(MODEL, "roberta", roberta_impl, "RoBERTa from a folder, fine-tuned or frozen",                                  \
      "Liu et al., 2019 (arXiv:1907.11692)", "", DAL_NN_MODEL_PROVIDES, options, PARAMS)
DAL_MODULE(bert, DAL_NN_TRAINING_VERSION, "Apache-2.0", COMPONENTS, NULL, NULL)
