/* Folders of pre-trained encoders, as Hugging Face lays them out. */
#include "bert_files.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>

#define KEY "folder"

#define BERT_LAYER                                                                                               \
    .layers = "encoder.layer.", .query = "attention.self.query", .key = "attention.self.key",                    \
    .value = "attention.self.value", .out = "attention.output.dense", .norm1 = "attention.output.LayerNorm",     \
    .wide = "intermediate.dense", .narrow = "output.dense", .norm2 = "output.LayerNorm"

const bert_family bert_family_distilbert = {
    .id = "distilbert", .prefix = "distilbert.", .layers = "transformer.layer.", .query = "attention.q_lin",
    .key = "attention.k_lin", .value = "attention.v_lin", .out = "attention.out_lin", .norm1 = "sa_layer_norm",
    .wide = "ffn.lin1", .narrow = "ffn.lin2", .norm2 = "output_layer_norm", .head = "/pre_classifier", .relu = 1,
    .tokeniser = DAL_WORDPIECE,
    .ignored = {"vocab_transform.", "vocab_layer_norm.", "vocab_projector.", "qa_outputs.", "classifier."}};
const bert_family bert_family_bert = {
    .id = "bert", .prefix = "bert.", BERT_LAYER, .head = "pooler.dense", .segments = 1, .tokeniser = DAL_WORDPIECE,
    .ignored = {"cls.", "qa_outputs.", "classifier."}};
const bert_family bert_family_roberta = {
    .id = "roberta", .prefix = "roberta.", BERT_LAYER, .head = "/classifier.dense", .segments = 1, .tokeniser = DAL_BPE,
    .ignored = {"lm_head.", "qa_outputs.", "classifier.", "roberta.pooler.", "pooler."}};

/* ---- config.json -------------------------------------------------------------------------------- */

typedef struct config {
    const char *path;
    const json_t *root;
    dal_error *err;
    dal_status st;
} config;

/* The member of either name (DistilBERT has its own), NULL: neither. */
static const json_t *member(const config *c, const char *name, const char *other)
{
    const json_t *v = json_object_get(c->root, name);
    return v ? v : json_object_get(c->root, other);
}

static int64_t whole(config *c, const char *name, const char *other, int64_t least, int64_t most)
{
    const json_t *v = member(c, name, other);
    const json_int_t n = json_is_integer(v) ? json_integer_value(v) : INT64_MIN;
    if (n >= least && n <= most)
        return (int64_t)n;
    if (c->st == DAL_OK)
        c->st = dal_fail(c->err, DAL_E_FORMAT, KEY, "%s: %s is %s; expected a whole number %lld..%lld", c->path, name,
                         !v ? "not there" : json_is_integer(v) ? "out of range" : "no whole number", (long long)least,
                         (long long)most);
    return least;
}

static double rate(config *c, const char *name, const char *other, double otherwise)
{
    const json_t *v = member(c, name, other);
    if (!v || json_is_null(v))
        return otherwise;
    const double x = json_number_value(v);
    if (json_is_number(v) && x >= 0 && x < 1)
        return x;
    if (c->st == DAL_OK)
        c->st = dal_fail(c->err, DAL_E_FORMAT, KEY, "%s: %s is no number in [0..1)", c->path, name);
    return otherwise;
}

static void want_word(config *c, const char *name, const char *other, const char *want, int must)
{
    const json_t *v = member(c, name, other);
    const char *have = json_string_value(v);
    if ((!v && !must) || (have && strcmp(have, want) == 0) || c->st != DAL_OK)
        return;
    char shown[40] = "not there";
    if (have)
        snprintf(shown, sizeof shown, "'%.30s'", have);
    for (char *p = shown; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = '?';
    c->st = dal_fail(c->err, DAL_E_FORMAT, KEY, "%s: %s is %s; expected '%s'", c->path, name, shown, want);
}

static void read_shape(config *c, const bert_family *f, bert_shape *s)
{
    want_word(c, "model_type", "model_type", f->id, 1);
    want_word(c, "activation", "hidden_act", "gelu", 0);
    want_word(c, "position_embedding_type", "position_embedding_type", "absolute", 0);
    const int distil = f == &bert_family_distilbert;
    *s = (bert_shape){.vocabulary = whole(c, "vocab_size", "", 1, DAL_TOKENS_MOST),
                      .positions = whole(c, "max_position_embeddings", "", 3, 1 << 20),
                      .segments = f->segments ? whole(c, "type_vocab_size", "", 1, 65536) : 0,
                      .width = whole(c, distil ? "dim" : "hidden_size", "", 1, 65536),
                      .layers = whole(c, distil ? "n_layers" : "num_hidden_layers", "", 1, 96),
                      .heads = whole(c, distil ? "n_heads" : "num_attention_heads", "", 1, 1024),
                      .wide = whole(c, distil ? "hidden_dim" : "intermediate_size", "", 1, 1 << 20),
                      .eps = rate(c, "layer_norm_eps", "", 1e-12),
                      .dropout = rate(c, distil ? "dropout" : "hidden_dropout_prob", "", 0.1),
                      .attention_dropout = rate(c, distil ? "attention_dropout" : "attention_probs_dropout_prob", "", 0.1)};
    s->head_dropout = distil ? rate(c, "seq_classif_dropout", "", 0.2) : rate(c, "classifier_dropout", "", s->dropout);
    if (f == &bert_family_roberta) /* positions count from behind the padding's */
        s->first_position = 1 + (member(c, "pad_token_id", "") ? whole(c, "pad_token_id", "", 0, 1 << 20) : 1);
    if (c->st == DAL_OK && s->width % s->heads != 0)
        c->st = dal_fail(c->err, DAL_E_FORMAT, KEY, "%s: %lld heads do not divide vectors of %lld numbers", c->path,
                         (long long)s->heads, (long long)s->width);
}

/* folder/name in memory of the host. */
static char *path_of(const dal_host *host, const char *folder, const char *name, dal_error *err)
{
    const size_t n = strlen(folder) + strlen(name) + 2;
    char *path = host->alloc(host, n, 0);
    if (path)
        snprintf(path, n, "%s/%s", folder, name);
    else
        dal_fail(err, DAL_E_NOMEM, KEY, "no memory for a path");
    return path;
}

static dal_status read_config(const dal_host *host, const bert_family *family, const char *folder, bert_shape *shape,
                              dal_error *err)
{
    json_error_t e;
    char *path = path_of(host, folder, "config.json", err);
    if (!path)
        return DAL_E_NOMEM;
    FILE *in = fopen(path, "rb");
    json_t *root = in ? json_loadf(in, JSON_REJECT_DUPLICATES, &e) : NULL;
    config c = {.path = path, .root = root, .err = err};
    if (!in)
        c.st = dal_fail(err, errno == ENOENT ? DAL_E_NOT_FOUND : DAL_E_IO, KEY, "%s: cannot open: %s", path, strerror(errno));
    else if (!json_is_object(root))
        c.st = dal_fail(err, DAL_E_FORMAT, KEY, "%s: line %d is no JSON object of settings", path, root ? 1 : e.line);
    else
        read_shape(&c, family, shape);
    json_decref(root);
    if (in)
        fclose(in);
    host->free(host, path);
    return c.st;
}

/* ---- the folder --------------------------------------------------------------------------------- */

static dal_status open_tokens(bert_files *f, const char *folder, uint32_t cased, dal_error *err)
{
    const dal_host *host = f->host;
    const int bpe = f->family->tokeniser == DAL_BPE;
    char *words = path_of(host, folder, bpe ? "vocab.json" : "vocab.txt", err);
    char *merges = words ? path_of(host, folder, "merges.txt", err) : NULL;
    const dal_tokens_options o = {.struct_size = sizeof o, .kind = f->family->tokeniser, .vocabulary = words,
                                  .vocabulary_key = KEY, .merges = merges, .merges_key = KEY, .cased = cased};
    dal_status st = words && merges ? dal_tokens_open(host, &o, &f->tokens, err) : DAL_E_NOMEM;
    if (st == DAL_OK && dal_tokens_count(f->tokens) > f->shape.vocabulary)
        st = dal_fail(err, DAL_E_FORMAT, KEY, "%s: has %lld tokens; config.json says vocab_size is %lld", words,
                      (long long)dal_tokens_count(f->tokens), (long long)f->shape.vocabulary);
    if (st == DAL_OK && (dal_tokens_special(f->tokens, DAL_TOKEN_BEGIN) < 0 || dal_tokens_special(f->tokens, DAL_TOKEN_END) < 0))
        st = dal_fail(err, DAL_E_FORMAT, KEY, "%s: has no %s", words, bpe ? "<s> and </s>" : "[CLS] and [SEP]");
    host->free(host, merges);
    host->free(host, words);
    return st;
}

dal_status bert_files_open(const dal_host *host, const bert_family *family, const char *folder, uint32_t cased,
                           bert_files **out, dal_error *err)
{
    bert_files *f = host->alloc(host, sizeof *f, 0);
    if (!f)
        return dal_fail(err, DAL_E_NOMEM, KEY, "no memory for a model");
    *f = (bert_files){.host = host, .family = family};
    dal_status st = read_config(host, family, folder, &f->shape, err);
    if (st == DAL_OK)
        st = open_tokens(f, folder, cased, err);
    if (st == DAL_OK)
        st = (f->path = path_of(host, folder, "model.safetensors", err)) ? DAL_OK : DAL_E_NOMEM;
    if (st == DAL_OK)
        st = dal_safetensors_open(host, f->path, KEY, &f->weights, err);
    if (st == DAL_OK)
        *out = f;
    else
        bert_files_close(f);
    return st;
}

void bert_files_close(bert_files *f)
{
    if (!f)
        return;
    const dal_host *host = f->host;
    dal_safetensors_close(f->weights);
    dal_tokens_close(f->tokens);
    host->free(host, f->path);
    host->free(host, f);
}

/* ---- tensors ------------------------------------------------------------------------------------ */

#define NAME 192

/* One tensor and where it goes. */
typedef struct place {
    char name[NAME];
    int64_t rows, cols; /* cols 0: a vector */
    float *to;
} place;

/* The tensor of this name, or of one that older files have: without the prefix, gamma for weight and beta for bias. */
static const dal_tensor *find(const bert_files *f, const char *name)
{
    const size_t prefix = strlen(f->family->prefix), n = strlen(name);
    char other[NAME];
    const dal_tensor *t = dal_safetensors_find(f->weights, name);
    const char *bare = strncmp(name, f->family->prefix, prefix) == 0 ? name + prefix : name;
    if (!t)
        t = dal_safetensors_find(f->weights, bare);
    for (int i = 0; i < 2 && !t; i++) {
        const char *from = i ? "LayerNorm.bias" : "LayerNorm.weight";
        const size_t m = strlen(from);
        if (n < m || strcmp(name + n - m, from) != 0)
            continue;
        snprintf(other, sizeof other, "%.*sLayerNorm.%s", (int)(n - m), name, i ? "beta" : "gamma");
        t = dal_safetensors_find(f->weights, other);
        if (!t && bare != name)
            t = dal_safetensors_find(f->weights, other + prefix);
    }
    return t;
}

static dal_status fill(const bert_files *f, const place *p, int optional, dal_error *err)
{
    const dal_tensor *t = find(f, p->name);
    char have[160];
    if (!t && optional)
        return DAL_OK;
    if (!t)
        return dal_fail(err, DAL_E_FORMAT, KEY, "%s: has no tensor '%s', which %s needs; expected the weights of a %s", f->path,
                        p->name, f->family->id, f->family->id);
    const int64_t want[2] = {p->rows, p->cols};
    const uint32_t ndim = p->cols > 0 ? 2 : 1;
    int same = t->ndim == ndim;
    for (uint32_t i = 0; same && i < ndim; i++)
        same = t->shape[i] == want[i];
    if (!same && p->cols > 0)
        return dal_fail(err, DAL_E_FORMAT, KEY, "%s: tensor '%s' is %s; config.json makes it [%lld, %lld]", f->path, p->name,
                        dal_tensor_describe(t, have), (long long)p->rows, (long long)p->cols);
    if (!same)
        return dal_fail(err, DAL_E_FORMAT, KEY, "%s: tensor '%s' is %s; config.json makes it [%lld]", f->path, p->name,
                        dal_tensor_describe(t, have), (long long)p->rows);
    dal_error e = DAL_ERROR_INIT;
    const dal_status st = dal_tensor_to_f32(t, p->to, &e);
    if (st != DAL_OK)
        return dal_fail(err, st, KEY, "%s: %s", f->path, e.text);
    for (int64_t i = 0; i < t->count; i++)
        if (!isfinite(p->to[i]))
            return dal_fail(err, DAL_E_FORMAT, KEY, "%s: number %lld of tensor '%s' is %g", f->path, (long long)i, p->name,
                            (double)p->to[i]);
    return DAL_OK;
}

/* Where the network keeps the parameter of this name. */
static float *parameter(const dal_nn *nn, float *weights, const char *name)
{
    dal_nn_info info = {.struct_size = sizeof info};
    dal_nn_describe(nn, &info);
    for (int64_t i = 0; i < info.n_parameters; i++)
        if (strcmp(dal_nn_parameter(nn, i)->name, name) == 0)
            return weights + dal_nn_parameter(nn, i)->offset;
    return NULL;
}

/* Weight [rows, cols] and bias [rows] of a layer, at row `first` of what the network has as `ours`. */
typedef struct layer_job {
    const bert_files *f;
    const dal_nn *nn;
    float *weights;
    dal_error *err;
    dal_status st;
} layer_job;

static void copy(layer_job *j, const char *theirs, const char *ours, int64_t rows, int64_t cols, int64_t first, int optional)
{
    for (int i = 0; i < 2 && j->st == DAL_OK; i++) {
        char name[64];
        const char *kind = i ? "bias" : "weight";
        place p = {.rows = rows, .cols = i ? 0 : cols};
        snprintf(name, sizeof name, "%s.%s", ours, kind);
        snprintf(p.name, sizeof p.name, "%s.%s", theirs, kind);
        float *to = parameter(j->nn, j->weights, name);
        if (!to) /* the network has no such layer: a frozen encoder has no head */
            return;
        p.to = to + first * (p.cols > 0 ? p.cols : 1);
        j->st = fill(j->f, &p, optional, j->err);
    }
}

static void copy_table(layer_job *j, const char *theirs, const char *ours, int64_t rows)
{
    place p = {.rows = rows, .cols = j->f->shape.width};
    p.to = parameter(j->nn, j->weights, ours);
    snprintf(p.name, sizeof p.name, "%sembeddings.%s.weight", j->f->family->prefix, theirs);
    if (j->st == DAL_OK && p.to)
        j->st = fill(j->f, &p, 0, j->err);
}

static void copy_layer(layer_job *j, int64_t l)
{
    const bert_family *y = j->f->family;
    const int64_t w = j->f->shape.width, wide = j->f->shape.wide;
    const struct {
        const char *theirs, *ours;
        int64_t rows, cols, first;
    } all[] = {{y->query, "qkv", w, w, 0},     {y->key, "qkv", w, w, w},      {y->value, "qkv", w, w, 2 * w},
               {y->out, "out", w, w, 0},       {y->norm1, "norm1", w, 0, 0},  {y->wide, "wide", wide, w, 0},
               {y->narrow, "narrow", w, wide, 0}, {y->norm2, "norm2", w, 0, 0}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        char theirs[NAME - 16], ours[48];
        snprintf(theirs, sizeof theirs, "%s%s%lld.%s", y->prefix, y->layers, (long long)l, all[i].theirs);
        snprintf(ours, sizeof ours, "layer%lld.%s", (long long)l + 1, all[i].ours);
        copy(j, theirs, ours, all[i].rows, all[i].cols, all[i].first, 0);
    }
}

static int begins(const char *name, const char *with)
{
    return strncmp(name, with, strlen(with)) == 0;
}

/* Has the architecture a use for a tensor of this name, or has another head of it? */
static int is_known(const bert_files *f, const char *name)
{
    const bert_family *y = f->family;
    for (int i = 0; i < 8 && y->ignored[i]; i++)
        if (begins(name, y->ignored[i]))
            return 1;
    if (y->head[0] == '/' && begins(name, y->head + 1))
        return 1;
    name += begins(name, y->prefix) ? strlen(y->prefix) : 0;
    if (begins(name, "embeddings.") || (y->head[0] != '/' && begins(name, y->head)))
        return 1;
    if (!begins(name, y->layers))
        return 0;
    char *end;
    const long long l = strtoll(name + strlen(y->layers), &end, 10);
    const char *const parts[] = {y->query, y->key, y->value, y->out, y->norm1, y->wide, y->narrow, y->norm2};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (l >= 0 && l < f->shape.layers && *end == '.' && begins(end + 1, parts[i]))
            return 1;
    return 0;
}

static dal_status check_names(const bert_files *f, dal_error *err)
{
    for (int64_t i = 0; i < dal_safetensors_count(f->weights); i++) {
        const dal_tensor *t = dal_safetensors_tensor(f->weights, i);
        char have[160], name[96];
        if (is_known(f, t->name))
            continue;
        snprintf(name, sizeof name, "%.90s", t->name);
        for (char *p = name; *p; p++)
            if ((unsigned char)*p < 0x20 || *p == 0x7f)
                *p = '?';
        return dal_fail(err, DAL_E_FORMAT, KEY, "%s: tensor '%s', %s, is none that %s of %lld layers has; is this the folder "
                        "of another architecture?", f->path, name, dal_tensor_describe(t, have), f->family->id,
                        (long long)f->shape.layers);
    }
    return DAL_OK;
}

dal_status bert_files_copy(const bert_files *f, const dal_nn *nn, float *weights, dal_error *err)
{
    const bert_family *y = f->family;
    const bert_shape *s = &f->shape;
    layer_job j = {f, nn, weights, err, DAL_OK};
    char name[NAME - 16];
    copy_table(&j, "word_embeddings", "embedding.words", s->vocabulary);
    copy_table(&j, "position_embeddings", "embedding.positions", s->positions);
    copy_table(&j, "token_type_embeddings", "embedding.segments", s->segments);
    snprintf(name, sizeof name, "%sembeddings.LayerNorm", y->prefix);
    copy(&j, name, "norm", s->width, 0, 0, 0);
    for (int64_t l = 0; l < s->layers && j.st == DAL_OK; l++)
        copy_layer(&j, l);
    if (y->head[0] == '/')
        snprintf(name, sizeof name, "%s", y->head + 1);
    else
        snprintf(name, sizeof name, "%s%s", y->prefix, y->head);
    copy(&j, name, "head", s->width, s->width, 0, 1);
    return j.st == DAL_OK ? check_names(f, err) : j.st;
}
