/* Folders of pre-trained encoders, as Hugging Face lays them out. */
#include "bert_files.h"

#include <dal/file.h>
#include <dal/text.h>
#include <stdlib.h>

#define KEY "folder"
#define MOST_CONFIG ((int64_t)16 << 20) /* bytes of config.json */

#define BERT_LAYER                                                                                               \
    .layers = "encoder.layer.", .query = "attention.self.query", .key = "attention.self.key",                    \
    .value = "attention.self.value", .out = "attention.output.dense", .norm1 = "attention.output.LayerNorm",     \
    .wide = "intermediate.dense", .narrow = "output.dense", .norm2 = "output.LayerNorm"

const bert_family bert_family_distilbert = {
    .id = "distilbert", .prefix = "distilbert.", .layers = "transformer.layer.", .query = "attention.q_lin",
    .key = "attention.k_lin", .value = "attention.v_lin", .out = "attention.out_lin", .norm1 = "sa_layer_norm",
    .wide = "ffn.lin1", .narrow = "ffn.lin2", .norm2 = "output_layer_norm", .head = "/pre_classifier",
    .output = "classifier", .architecture = "DistilBertForSequenceClassification", .relu = 1,
    .tokeniser = DAL_WORDPIECE,
    .ignored = {"vocab_transform.", "vocab_layer_norm.", "vocab_projector.", "qa_outputs.", "classifier."}};
const bert_family bert_family_bert = {
    .id = "bert", .prefix = "bert.", BERT_LAYER, .head = "pooler.dense", .output = "classifier",
    .architecture = "BertForSequenceClassification", .segments = 1, .tokeniser = DAL_WORDPIECE,
    .ignored = {"cls.", "qa_outputs.", "classifier."}};
const bert_family bert_family_roberta = {
    .id = "roberta", .prefix = "roberta.", BERT_LAYER, .head = "/classifier.dense", .output = "classifier.out_proj",
    .architecture = "RobertaForSequenceClassification", .segments = 1, .tokeniser = DAL_BPE,
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
    name = json_object_get(c->root, name) || !v ? name : other;
    char shown[40];
    snprintf(shown, sizeof shown, "%s", v ? "no text" : "not there");
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
                      .attention_dropout = rate(c, distil ? "attention_dropout" : "attention_probs_dropout_prob", "",
                                                0.1)};
    s->head_dropout = distil ? rate(c, "seq_classif_dropout", "", 0.2) : rate(c, "classifier_dropout", "", s->dropout);
    if (f == &bert_family_roberta) /* positions count from behind the padding's */
        s->first_position = 1 + (member(c, "pad_token_id", "") ? whole(c, "pad_token_id", "", 0, 1 << 20) : 1);
    if (c->st == DAL_OK && s->positions - s->first_position < 3)
        c->st = dal_fail(c->err, DAL_E_FORMAT, KEY,
                         "%s: max_position_embeddings is %lld, and pad_token_id %lld: tokens count from behind that, "
                         "which leaves no room for 3 of them", c->path, (long long)s->positions,
                         (long long)s->first_position - 1);
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

static dal_status read_config(bert_files *f, const char *folder, dal_error *err)
{
    const dal_host *host = f->host;
    json_error_t e;
    char *path = path_of(host, folder, "config.json", err);
    if (!path)
        return DAL_E_NOMEM;
    dal_file *in = NULL;
    int64_t n = 0;
    config c = {.path = path, .err = err, .st = dal_file_open(host, path, KEY, &in, err)};
    if (c.st == DAL_OK)
        c.st = dal_file_load(in, MOST_CONFIG, 0, err);
    const char *text = c.st == DAL_OK ? (const char *)dal_file_data(in, &n) : NULL;
    if (n > MOST_CONFIG) {
        c.st = dal_fail(err, DAL_E_FORMAT, KEY, "%s: has %lld bytes; expected settings of at most %lld", path,
                        (long long)n, (long long)MOST_CONFIG);
        text = NULL;
    }
    f->config = text ? json_loadb(text, (size_t)n, JSON_REJECT_DUPLICATES, &e) : NULL;
    c.root = f->config;
    if (text && !json_is_object(c.root))
        c.st = dal_fail(err, DAL_E_FORMAT, KEY, "%s: line %d is no JSON object of settings", path, c.root ? 1 : e.line);
    else if (text)
        read_shape(&c, f->family, &f->shape);
    dal_file_close(in);
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
    if (st == DAL_OK && (dal_tokens_special(f->tokens, DAL_TOKEN_BEGIN) < 0 ||
                         dal_tokens_special(f->tokens, DAL_TOKEN_END) < 0))
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
    dal_status st = read_config(f, folder, err);
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
    json_decref(f->config);
    for (int i = 0; i < BERT_KEPT; i++)
        host->free(host, f->kept[i].text);
    host->free(host, f->path);
    host->free(host, f);
}

/* ---- what goes beside the weights --------------------------------------------------------------- */

/* A text for this key, in place of the one that it has. */
static dal_status keep(bert_files *f, const char *key, const char *text, int64_t n, dal_error *err)
{
    int i = 0;
    while (f->kept[i].key && strcmp(f->kept[i].key, key) != 0)
        i++;
    char *copy = f->host->alloc(f->host, (size_t)n + 1, 0);
    if (!copy)
        return dal_fail(err, DAL_E_NOMEM, KEY, "no memory for %s", key);
    memcpy(copy, text, (size_t)n);
    copy[n] = '\0';
    f->host->free(f->host, f->kept[i].text);
    f->kept[i] = (bert_kept){key, copy};
    return DAL_OK;
}

static dal_status keep_file(bert_files *f, const char *folder, const char *key, dal_error *err)
{
    dal_file *file = NULL;
    char *path = path_of(f->host, folder, key + strlen(DAL_ST_BESIDE), err);
    dal_status st = path ? dal_file_open(f->host, path, KEY, &file, err) : DAL_E_NOMEM;
    if (st == DAL_OK)
        st = dal_file_load(file, (int64_t)1 << 28, 0, err);
    if (st == DAL_OK) {
        int64_t n;
        const char *text = (const char *)dal_file_data(file, &n);
        const int64_t fault = dal_utf8_fault(text, n);
        st = fault >= 0 || memchr(text, '\0', (size_t)n)
                 ? dal_fail(err, DAL_E_FORMAT, KEY, "%s: is no text in UTF-8", path)
                 : keep(f, key, text, n, err);
    }
    dal_file_close(file);
    f->host->free(f->host, path);
    return st;
}

/* Are there names for all classes? */
static int has_names(const json_t *names, int64_t classes)
{
    const char *key;
    json_t *name;
    json_object_foreach((json_t *)(uintptr_t)names, key, name) /* jansson's loop takes no const */
        if (!json_is_string(name))
            return 0;
    return (int64_t)json_object_size(names) == classes;
}

const char *bert_files_class(const bert_files *f, int64_t c)
{
    char number[24];
    snprintf(number, sizeof number, "%lld", (long long)c);
    return json_string_value(json_object_get(json_object_get(f->config, "id2label"), number));
}

/* Classes are called so from here on; names NULL: LABEL_0 and so on. Are all of them names, and no two the same? */
static int set_names(json_t *root, const char *const *names, int64_t classes)
{
    json_t *of = json_object(), *numbers = json_object();
    for (int64_t c = 0; c < classes; c++) {
        char number[24], name[32];
        snprintf(number, sizeof number, "%lld", (long long)c);
        snprintf(name, sizeof name, "LABEL_%lld", (long long)c);
        const char *shown = names ? names[c] : name;
        json_object_set_new(of, number, json_string(shown));
        json_object_set_new(numbers, shown, json_integer((json_int_t)c));
    }
    const int good = (int64_t)json_object_size(of) == classes && (int64_t)json_object_size(numbers) == classes;
    if (good) {
        json_object_set(root, "id2label", of);
        json_object_set(root, "label2id", numbers);
        json_object_del(root, "num_labels");
    }
    json_decref(of);
    json_decref(numbers);
    return good;
}

/* The folder's settings, of a classifier with weights of float32. */
static json_t *config_of(const bert_files *f)
{
    json_t *root = json_deep_copy(f->config);
    json_object_set_new(root, "architectures", json_pack("[s]", f->family->architecture));
    const char *const types[] = {"torch_dtype", "dtype"};
    for (int i = 0; i < 2; i++)
        if (json_object_get(root, types[i]))
            json_object_set_new(root, types[i], json_string("float32"));
    return root;
}

static dal_status keep_config(bert_files *f, const json_t *root, dal_error *err)
{
    char *text = root ? json_dumps(root, JSON_INDENT(2)) : NULL;
    const dal_status st = text ? keep(f, DAL_ST_BESIDE "config.json", text, (int64_t)strlen(text), err)
                               : dal_fail(err, DAL_E_NOMEM, KEY, "no memory for config.json");
    free(text);
    return st;
}

dal_status bert_files_keep(bert_files *f, const char *folder, uint32_t cased, int64_t classes, int their_names,
                           dal_error *err)
{
    const int bpe = f->family->tokeniser == DAL_BPE;
    const char *lower = cased ? "{\n  \"do_lower_case\": false\n}" : "{\n  \"do_lower_case\": true\n}";
    json_t *root = config_of(f);
    if (!their_names || !has_names(json_object_get(root, "id2label"), classes))
        set_names(root, NULL, classes);
    dal_status st = keep_config(f, root, err);
    json_decref(root);
    if (st == DAL_OK)
        st = keep_file(f, folder, bpe ? DAL_ST_BESIDE "vocab.json" : DAL_ST_BESIDE "vocab.txt", err);
    if (st == DAL_OK)
        st = bpe ? keep_file(f, folder, DAL_ST_BESIDE "merges.txt", err)
                 : keep(f, DAL_ST_BESIDE "tokenizer_config.json", lower, (int64_t)strlen(lower), err);
    return st;
}

dal_status bert_files_name(bert_files *f, const char *const *names, int64_t classes, dal_error *err)
{
    int64_t numbers = 0;
    for (int64_t c = 0; c < classes; c++) {
        char number[24];
        snprintf(number, sizeof number, "%lld", (long long)c);
        numbers += strcmp(names[c], number) == 0;
    }
    if (numbers == classes)
        return DAL_OK;
    json_t *root = config_of(f);
    const dal_status st = set_names(root, names, classes) ? keep_config(f, root, err) : DAL_OK;
    json_decref(root);
    return st;
}

dal_status bert_files_put(bert_files *f, const char *key, const char *text, dal_error *err)
{
    for (int i = 0; i < BERT_KEPT && f->kept[i].key; i++)
        if (strcmp(f->kept[i].key, key) == 0)
            return keep(f, f->kept[i].key, text, (int64_t)strlen(text), err);
    return DAL_OK;
}

uint64_t bert_files_hash(bert_files *f)
{
    uint64_t h = 0;
    for (int64_t i = 0; i < dal_safetensors_count(f->weights); i++) {
        const dal_tensor *t = dal_safetensors_tensor(f->weights, i);
        h = dal_hash64(h, t->name, strlen(t->name));
        h = dal_hash64(h, t->data, (size_t)t->bytes);
    }
    f->weights_hash = h;
    for (int i = 0; i < BERT_KEPT && f->kept[i].key; i++)
        h = dal_hash64(h, f->kept[i].text, strlen(f->kept[i].text));
    return h;
}

/* {name here: name in the folder} of what the network has. */
static json_t *referred(const bert_files *f, const dal_nn *nn)
{
    const int64_t n = bert_tensors(f, nn, NULL);
    bert_tensor *all = dal_array(f->host, n, sizeof *all);
    json_t *names = all ? json_object() : NULL;
    if (all)
        bert_tensors(f, nn, all);
    for (int64_t i = 0; i < n && names; i++) {
        const dal_tensor *t = bert_files_find(f, all[i].name);
        if (t && all[i].part == BERT_BODY)
            json_object_set_new(names, all[i].name, json_string(t->name));
    }
    f->host->free(f->host, all);
    return names;
}

dal_status bert_files_refer(bert_files *f, const dal_nn *nn, dal_error *err)
{
    char hash[17], *path = realpath(f->path, NULL);
    json_t *names = referred(f, nn);
    snprintf(hash, sizeof hash, "%016llx", (unsigned long long)f->weights_hash);
    /* a path that is no UTF-8 cannot be said in JSON, so nothing is */
    json_t *root = names ? json_pack("{s:s, s:s, s:O}", "file", path ? path : f->path, "hash", hash, "tensors", names)
        : NULL;
    char *text = root ? json_dumps(root, JSON_COMPACT) : NULL;
    const dal_status st = text     ? keep(f, DAL_ST_ELSEWHERE, text, (int64_t)strlen(text), err)
                          : names ? DAL_OK
                                  : dal_fail(err, DAL_E_NOMEM, KEY, "no memory for the names of tensors");
    free(text);
    free(path);
    json_decref(root);
    json_decref(names);
    return st;
}
