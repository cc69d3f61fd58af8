#include "tests/unit/text_net.h"

#include <math.h>

#include "plugins/models/bert.c"
#include "tests/unit/bert_golden.h"

/* ---- folders of tiny models --------------------------------------------------------------------- */

enum { WIDTH = 8, HEADS = 2, LAYERS = 2, WIDE = 12 };

/* One tensor of a folder; numbers as bert_golden.py has them, or drawn. */
typedef struct tiny {
    const bert_family *family;
    const char *folder;
    int64_t vocabulary, positions;
    int drawn;
    int64_t n;
    dal_tensor t[80];
    char names[80][96];
} tiny;

static void put(tiny *x, const char *name, int64_t rows, int64_t cols)
{
    const int64_t n = rows * (cols ? cols : 1);
    float *data = malloc((size_t)n * sizeof *data);
    const size_t length = strlen(name);
    const int is_gain = length > 16 && (strcmp(name + length - 16, "ayer_norm.weight") == 0 ||
                                        strcmp(name + length - 16, "LayerNorm.weight") == 0);
    dal_rng r = dal_rng_from_key(dal_hash64(1, name, length));
    double s = 0;
    for (size_t i = 0; i < length; i++)
        s += 0.01 * (double)(unsigned char)name[i];
    for (int64_t j = 0; j < n; j++)
        data[j] = (float)(x->drawn ? 0.3 * dal_rng_normal(&r) : 0.4 * sin(0.7 * (double)j + s)) +
        (is_gain ? 1.0f : 0.0f);
    snprintf(x->names[x->n], sizeof x->names[0], "%s", name);
    x->t[x->n] = (dal_tensor){.struct_size = sizeof(dal_tensor), .dtype = DAL_ST_F32, .ndim = cols ? 2 : 1,
                              .shape = {rows, cols}, .name = x->names[x->n], .data = data};
    x->n++;
}

static void put_layer(tiny *x, const char *prefix, const char *name, int64_t rows, int64_t cols)
{
    char full[96];
    snprintf(full, sizeof full, "%s%s.weight", prefix, name);
    put(x, full, rows, cols);
    snprintf(full, sizeof full, "%s%s.bias", prefix, name);
    put(x, full, rows, 0);
}

static void put_all(tiny *x)
{
    const bert_family *y = x->family;
    char name[96];
    snprintf(name, sizeof name, "%sembeddings.word_embeddings.weight", y->prefix);
    put(x, name, x->vocabulary, WIDTH);
    snprintf(name, sizeof name, "%sembeddings.position_embeddings.weight", y->prefix);
    put(x, name, x->positions, WIDTH);
    snprintf(name, sizeof name, "%sembeddings.token_type_embeddings.weight", y->prefix);
    if (y->segments)
        put(x, name, y == &bert_family_bert ? 2 : 1, WIDTH);
    put_layer(x, y->prefix, "embeddings.LayerNorm", WIDTH, 0);
    for (int l = 0; l < LAYERS; l++) {
        snprintf(name, sizeof name, "%s%s%d.", y->prefix, y->layers, l);
        put_layer(x, name, y->query, WIDTH, WIDTH);
        put_layer(x, name, y->key, WIDTH, WIDTH);
        put_layer(x, name, y->value, WIDTH, WIDTH);
        put_layer(x, name, y->out, WIDTH, WIDTH);
        put_layer(x, name, y->norm1, WIDTH, 0);
        put_layer(x, name, y->wide, WIDE, WIDTH);
        put_layer(x, name, y->narrow, WIDTH, WIDE);
        put_layer(x, name, y->norm2, WIDTH, 0);
    }
    if (y->head[0] == '/')
        put_layer(x, "", y->head + 1, WIDTH, WIDTH);
    else
        put_layer(x, y->prefix, y->head, WIDTH, WIDTH);
}

static const char *path_in(const tiny *x, const char *name)
{
    static char path[4][256];
    static int turn;
    char *out = path[turn++ % 4];
    snprintf(out, sizeof path[0], "%s/%s", x->folder, name);
    return out;
}

static void write_text(const tiny *x, const char *name, const char *text)
{
    FILE *f = fopen(path_in(x, name), "wb");
    cr_assert(f && fputs(text, f) >= 0 && fclose(f) == 0);
}

static void write_config(const tiny *x, const char *type, int heads)
{
    char text[1024];
    const int distil = x->family == &bert_family_distilbert;
    snprintf(text, sizeof text,
             "{\"model_type\": \"%s\", \"vocab_size\": %d, \"max_position_embeddings\": %d, \"%s\": %d, \"%s\": %d, "
             "\"%s\": %d, \"%s\": %d, \"type_vocab_size\": %d, \"layer_norm_eps\": %s, \"%s\": \"gelu\", "
             "\"pad_token_id\": 1}", type, (int)x->vocabulary, (int)x->positions, distil ? "dim" : "hidden_size", WIDTH,
             distil ? "n_layers" : "num_hidden_layers", LAYERS, distil ? "n_heads" : "num_attention_heads", heads,
             distil ? "hidden_dim" : "intermediate_size", WIDE, x->family == &bert_family_bert ? 2 : 1,
             x->family == &bert_family_roberta ? "1e-5" : "1e-12", distil ? "activation" : "hidden_act");
    write_text(x, "config.json", text);
}

static void write_weights(const tiny *x)
{
    dal_error err = DAL_ERROR_INIT;
    cr_assert_eq(dal_safetensors_write(path_in(x, "model.safetensors"), x->t, x->n, NULL, 0, &err), DAL_OK, "%s",
                 err.text);
}

static void write_bytes(const tiny *x)
{
    static char json[16384];
    int at = snprintf(json, sizeof json,
                      "{\"<s>\": 256, \"<pad>\": 257, \"</s>\": 258, \"<unk>\": 259, \"<mask>\": 260");
    for (int b = 0, next = 256; b < 256; b++) {
        const int itself = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
        at += snprintf(json + at, sizeof json - (size_t)at, ", \"\\u%04x\": %d", itself ? b : next, b);
        next += !itself;
    }
    snprintf(json + at, sizeof json - (size_t)at, "}");
    write_text(x, "vocab.json", json);
    write_text(x, "merges.txt", "#version: 0.2\n");
}

/* words: for WordPiece, one a line. */
static tiny *tiny_new(const bert_family *family, const char *words, int64_t positions, int drawn)
{
    tiny *x = calloc(1, sizeof *x);
    *x = (tiny){.family = family, .folder = fx_path(family->id), .positions = positions, .drawn = drawn};
    cr_assert_eq(mkdir(x->folder, 0700), 0);
    for (const char *p = words; *p; p++)
        x->vocabulary += *p == '\n';
    x->vocabulary = family == &bert_family_roberta ? 261 : x->vocabulary;
    put_all(x);
    write_config(x, family->id, HEADS);
    write_weights(x);
    if (family == &bert_family_roberta)
        write_bytes(x);
    else
        write_text(x, "vocab.txt", words);
    return x;
}

static void tiny_free(tiny *x)
{
    for (int64_t i = 0; i < x->n; i++)
        free((void *)(uintptr_t)x->t[i].data);
    free(x);
}

#define NINE "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nthe\ncat\n##s\nsat\n"
#define MANY "[PAD]\n[UNK]\n[CLS]\n[SEP]\ngood\nbad\nodd\nw\n##0\n##1\n##2\n##3\n##4\n##5\n##6\n##7\n##8\n##9\n"

static const struct {
    const bert_family *family;
    const dal_model_impl *impl;
    const double (*golden)[WIDTH];
    const char *texts[3];
} kinds[] = {{&bert_family_distilbert, &distilbert_impl, golden_distilbert, {"The CATS sat", "cat", "dog the"}},
             {&bert_family_bert, &bert_impl, golden_bert, {"The CATS sat", "cat", "dog the"}},
             {&bert_family_roberta, &roberta_impl, golden_roberta, {"ab c", "", "\xc3\xa9"}}};

static options options_for(const tiny *x, int64_t length, int freeze, double rate)
{
    return (options){.nn = {.epochs = 10, .batch_size = 8, .optimizer = DAL_NN_BY_ADAMW, .learning_rate = rate,
                            .mc_dropout = 0.5, .weight_decay = 0.01,
                            .control = {.schedule = DAL_NN_RATE_CONSTANT, .gamma = 0.1, .step_epochs = 1}},
                     .folder = x->folder, .length = length, .freeze = freeze};
}

/* ---- the values of the reference ---------------------------------------------------------------- */

static void compare(int kind, int freeze)
{
    tiny *x = tiny_new(kinds[kind].family, NINE, 16, 0);
    const options o = options_for(x, 12, freeze, 1e-30); /* steps too small to move a weight */
    text_subject s = subject_trained(kinds[kind].impl, &o, 2);
    const dal_model_features *features = s.impl->get_extension(s.self, DAL_CAP_FEATURES);
    char data[64] = "";
    int64_t offsets[4] = {0};
    for (int i = 0; i < 3; i++)
        offsets[i + 1] = (int64_t)strlen(strcat(data, kinds[kind].texts[i]));
    const dal_batch b = {sizeof b, 0, &s.texts->s.spec, 3, data, offsets, NULL};
    float u[3 * WIDTH];
    dal_error err = DAL_ERROR_INIT;
    cr_assert_eq(features->width(s.self), WIDTH);
    cr_assert_eq(features->features(s.self, &b, u, NULL, &err), DAL_OK, "%s", err.text);
    for (int i = 0; i < 3 * WIDTH; i++)
        cr_assert_float_eq((double)u[i], kinds[kind].golden[i / WIDTH][i % WIDTH], 2e-5,
                           "%s, text %d, %d: %.7f, expected %.7f", kinds[kind].family->id, i / WIDTH, i % WIDTH,
                           (double)u[i], kinds[kind].golden[i / WIDTH][i % WIDTH]);
    subject_drop(&s);
    tiny_free(x);
}

Test(bert, gives_the_values_of_an_independent_reference)
{
    for (int kind = 0; kind < 3; kind++)
        compare(kind, 0);
}

Test(bert, frozen_gives_them_too)
{
    for (int kind = 0; kind < 3; kind++)
        compare(kind, 1);
}

/* ---- what all networks of texts promise --------------------------------------------------------- */

#define KIT(name)                                                                                        \
    Test(bert, name)                                                                                     \
    {                                                                                                    \
        tiny *x = tiny_new(&bert_family_distilbert, MANY, 48, 1);                                        \
        const options o = options_for(x, 46, 0, 0.003);                                                  \
        (name)(&distilbert_impl, &o);                                                                    \
        tiny_free(x);                                                                                    \
    }
KIT(learns_by_heart)
KIT(has_the_same_bits_with_any_number_of_threads)
KIT(shows_features_that_agree_with_its_answers)
KIT(comes_back_from_a_file)
KIT(masks_all_texts_of_a_pass_alike)
KIT(has_a_gradient_by_its_embedded_words)
KIT(trains_with_companions)
KIT(refuses_what_is_no_text)

Test(bert, has_copies_that_outlive_a_fit)
{
    tiny *x = tiny_new(&bert_family_distilbert, MANY, 48, 1);
    const options o = options_for(x, 46, 0, 0.01); /* trained: the loss has a slope */
    has_copies_that_outlive_a_fit(&distilbert_impl, &o);
    tiny_free(x);
}

Test(bert, frozen_keeps_the_same_promises)
{
    tiny *x = tiny_new(&bert_family_bert, MANY, 48, 1);
    const options o = options_for(x, 46, 1, 0.1);
    has_the_same_bits_with_any_number_of_threads(&bert_impl, &o);
    shows_features_that_agree_with_its_answers(&bert_impl, &o);
    comes_back_from_a_file(&bert_impl, &o);
    masks_all_texts_of_a_pass_alike(&bert_impl, &o);
    has_copies_that_outlive_a_fit(&bert_impl, &o);
    trains_with_companions(&bert_impl, &o);
    tiny_free(x);
}

/* ---- the published sizes ------------------------------------------------------------------------ */

static int64_t weights_of(const bert_family *y, const bert_shape *shape, int64_t c)
{
    dal_runtime *rt = fx_runtime(1, 0);
    dal_nn *nn = dal_nn_new(dal_runtime_host(rt, "nn"));
    bert_files files = {.family = y, .shape = *shape};
    const encoder e = {.files = &files};
    dal_error err = DAL_ERROR_INIT;
    dal_nn_info info = {.struct_size = sizeof info};
    layers(nn, dal_nn_tokens(nn, 128, shape->vocabulary), c, &e);
    cr_assert_eq(dal_nn_finish(nn, &err), DAL_OK, "%s", err.text);
    dal_nn_describe(nn, &info);
    dal_nn_free(nn);
    dal_runtime_free(rt);
    return info.n_weights;
}

Test(bert, has_as_many_weights_as_published)
{
    bert_shape s = {.vocabulary = 30522, .positions = 512, .width = 768, .layers = 6, .heads = 12, .wide = 3072,
                    .eps = 1e-12, .dropout = 0.1, .attention_dropout = 0.1, .head_dropout = 0.2};
    cr_assert_eq(weights_of(&bert_family_distilbert, &s, 4), 66362880 + 590592 + 769 * 4);
    s.layers = 12;
    s.segments = 2;
    cr_assert_eq(weights_of(&bert_family_bert, &s, 4), 109482240 + 769 * 4); /* with its pooler, which is the head */
    s.vocabulary = 50265;
    s.positions = 514;
    s.segments = 1;
    s.first_position = 2;
    cr_assert_eq(weights_of(&bert_family_roberta, &s, 4), 124055040 + 590592 + 769 * 4);
}

/* ---- folders that do not fit -------------------------------------------------------------------- */

static void refused(const tiny *x, const dal_model_impl *impl, int64_t length, dal_status st, const char *key,
                    const char *words)
{
    for (int freeze = 0; freeze < 2; freeze++) {
        const options o = options_for(x, length, freeze, 0);
        const dal_sample_spec spec = {.struct_size = sizeof spec, .modality = DAL_TEXT, .dtype = DAL_U8,
                                      .n_classes = 3};
        dal_runtime *rt = fx_runtime(1, 0);
        dal_error err = DAL_ERROR_INIT;
        void *self = NULL;
        fx_expect(&err, impl->create(dal_runtime_host(rt, "bert"), &o, &spec, &self, &err), st, key, words);
        cr_assert_eq(dal_runtime_allocated(rt), 0);
        dal_runtime_free(rt);
    }
}

Test(bert, says_which_tensor_does_not_fit)
{
    tiny *x = tiny_new(&bert_family_bert, NINE, 16, 0);
    refused(x, &bert_impl, 17, DAL_E_INVALID, "length", "length is 17; the bert in folder has positions for 16 tokens");
    free((void *)(uintptr_t)x->t[--x->n].data); /* the bias of the pooler: half a head */
    x->t[5].shape[0] = 4;
    x->t[5].shape[1] = 16;
    write_weights(x);
    refused(x, &bert_impl, 12, DAL_E_FORMAT, "folder",
            "tensor 'bert.encoder.layer.0.attention.self.query.weight' is F32 [4, 16]; config.json makes it [8, 8]");
    x->t[5].shape[0] = x->t[5].shape[1] = 8;
    const dal_tensor keep = x->t[7];
    x->t[7].name = "bert.encoder.layer.0.attention.self.key.wait";
    write_weights(x);
    refused(x, &bert_impl, 12, DAL_E_FORMAT, "folder",
            "has no tensor 'bert.encoder.layer.0.attention.self.key.weight', which bert needs");
    x->t[7] = keep;
    x->t[x->n] = (dal_tensor){.struct_size = sizeof *x->t, .dtype = DAL_ST_F32, .ndim = 1, .shape = {8},
                              .name = "decoder.bias", .data = x->t[3].data};
    x->n++;
    write_weights(x);
    refused(x, &bert_impl, 12, DAL_E_FORMAT, "folder",
            "tensor 'decoder.bias', F32 [8], is none that bert of 2 layers has");
    x->n--;
    ((float *)(uintptr_t)x->t[3].data)[2] = NAN;
    write_weights(x);
    refused(x, &bert_impl, 12, DAL_E_FORMAT, "folder", "number 2 of tensor 'bert.embeddings.LayerNorm.weight' is nan");
    tiny_free(x);
}

Test(bert, says_what_is_wrong_with_the_rest_of_a_folder)
{
    tiny *x = tiny_new(&bert_family_distilbert, NINE, 16, 0);
    refused(x, &bert_impl, 12, DAL_E_FORMAT, "folder", "model_type is 'distilbert'; expected 'bert'");
    write_config(x, "distilbert", 3);
    refused(x, &distilbert_impl, 12, DAL_E_FORMAT, "folder", "3 heads do not divide vectors of 8 numbers");
    write_text(x, "config.json", "{\"model_type\": \"distilbert\"}");
    refused(x, &distilbert_impl, 12, DAL_E_FORMAT, "folder", "vocab_size is not there");
    write_text(x, "config.json", "{\"model_type\": [\"distilbert\"]}");
    refused(x, &distilbert_impl, 12, DAL_E_FORMAT, "folder", "model_type is no text; expected 'distilbert'");
    write_text(x, "config.json", "{\"model_type\": \"bert\", \"hidden_act\": \"relu\"}");
    refused(x, &bert_impl, 12, DAL_E_FORMAT, "folder", "hidden_act is 'relu'; expected 'gelu'");
    cr_assert_eq(unlink(path_in(x, "config.json")), 0);
    cr_assert_eq(mkfifo(path_in(x, "config.json"), 0600), 0); /* nobody will ever write to it */
    refused(x, &distilbert_impl, 12, DAL_E_IO, "folder", "found a device or pipe, expected a regular file");
    cr_assert_eq(unlink(path_in(x, "config.json")), 0);
    write_text(x, "config.json", "{");
    refused(x, &distilbert_impl, 12, DAL_E_FORMAT, "folder", "no JSON object");
    write_config(x, "distilbert", HEADS);
    write_text(x, "vocab.txt", NINE "more\n");
    refused(x, &distilbert_impl, 12, DAL_E_FORMAT, "folder", "has 10 tokens; config.json says vocab_size is 9");
    write_text(x, "vocab.txt", "[UNK]\na\n");
    refused(x, &distilbert_impl, 12, DAL_E_FORMAT, "folder", "has no [CLS] and [SEP]");
    write_text(x, "vocab.txt", NINE);
    write_text(x, "model.safetensors", "nothing");
    refused(x, &distilbert_impl, 12, DAL_E_FORMAT, "folder", "no safetensors file");
    cr_assert_eq(unlink(path_in(x, "model.safetensors")), 0);
    refused(x, &distilbert_impl, 12, DAL_E_NOT_FOUND, "folder", "model.safetensors: cannot open");
    cr_assert_eq(unlink(path_in(x, "config.json")), 0);
    refused(x, &distilbert_impl, 12, DAL_E_NOT_FOUND, "folder", "config.json: cannot open");
    tiny_free(x);
}

/* The setting `from` of config.json as `to`. */
static void change_config(const tiny *x, const char *from, const char *to)
{
    char text[1024] = "", *at;
    FILE *f = fopen(path_in(x, "config.json"), "rb");
    cr_assert(f && fread(text, 1, sizeof text - 1, f) > 0 && fclose(f) == 0);
    at = strstr(text, from);
    cr_assert(at);
    f = fopen(path_in(x, "config.json"), "wb");
    cr_assert(f && fprintf(f, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from)) > 0 && fclose(f) == 0);
}

Test(bert, says_when_the_padding_leaves_no_positions)
{
    tiny *x = tiny_new(&bert_family_roberta, "", 16, 0);
    change_config(x, "\"pad_token_id\": 1", "\"pad_token_id\": 13");
    refused(x, &roberta_impl, 3, DAL_E_FORMAT, "folder",
            "max_position_embeddings is 16, and pad_token_id 13: tokens count from behind");
    change_config(x, "\"pad_token_id\": 13", "\"pad_token_id\": 12");
    refused(x, &roberta_impl, 4, DAL_E_INVALID, "length",
            "length is 4; the roberta in folder has positions for 3 tokens");
    tiny_free(x);
}

/* ---- the last layer ----------------------------------------------------------------------------- */

/* The tensors of a folder, and those of its last layer, for so many classes. */
static void put_output(tiny *x, int64_t classes)
{
    put_layer(x, "", x->family->output, classes, WIDTH);
    write_weights(x);
}

Test(bert, begins_with_the_last_layer_of_the_folder_where_it_is_asked_for)
{
    for (int kind = 0; kind < 3; kind++) {
        tiny *x = tiny_new(kinds[kind].family, NINE, 16, 1);
        put_output(x, CLASSES);
        for (int freeze = 0; freeze < 2; freeze++) {
            options o = options_for(x, 12, freeze, 1e-30);
            o.last_layer = FOLDERS_LAYER;
            text_subject s = subject_trained(kinds[kind].impl, &o, 1);
            const dal_model_last_layer *l = s.impl->get_extension(s.self, DAL_CAP_LAST_LAYER);
            dal_matrix w;
            const float *bias;
            dal_error err = DAL_ERROR_INIT;
            cr_assert_eq(l->last_layer(s.self, &w, &bias, &err), DAL_OK);
            cr_assert_arr_eq(w.data, x->t[x->n - 2].data, CLASSES * WIDTH * sizeof(float));
            cr_assert_arr_eq(bias, x->t[x->n - 1].data, CLASSES * sizeof(float));
            subject_drop(&s);
        }
        tiny_free(x);
    }
}

Test(bert, saves_what_a_folder_of_it_has)
{
    for (int kind = 0; kind < 3; kind++) {
        tiny *x = tiny_new(kinds[kind].family, NINE, 16, 1);
        put_output(x, CLASSES);
        options o = options_for(x, 12, 0, 1e-30);
        o.last_layer = FOLDERS_LAYER;
        text_subject s = subject_trained(kinds[kind].impl, &o, 1);
        fx_bytes b = fx_save(kinds[kind].impl, s.self);
        dal_safetensors *f = NULL;
        dal_error err = DAL_ERROR_INIT;
        cr_assert_eq(dal_safetensors_view(dal_runtime_host(s.rt, "file"), "it", "", b.data, (int64_t)b.n, &f, &err),
                     DAL_OK, "%s", err.text);
        cr_assert_eq(dal_safetensors_count(f), x->n);
        for (int64_t i = 0; i < x->n; i++) {
            const dal_tensor *t = dal_safetensors_find(f, x->t[i].name);
            cr_assert(t, "no tensor %s", x->t[i].name);
            cr_assert(t->ndim == x->t[i].ndim && memcmp(t->shape, x->t[i].shape, sizeof t->shape) == 0);
            cr_assert_arr_eq(t->data, x->t[i].data, (size_t)t->bytes);
        }
        cr_assert(strstr(dal_safetensors_metadata(f, "file:config.json"), "ForSequenceClassification"));
        const bool by_bytes = kinds[kind].family == &bert_family_roberta;
        cr_assert(dal_safetensors_metadata(f, by_bytes ? "file:merges.txt" : "file:vocab.txt"));
        dal_safetensors_close(f);
        free(b.data);
        subject_drop(&s);
        tiny_free(x);
    }
}

static void fit_named(text_subject *s, const char *const *names)
{
    dal_error err = DAL_ERROR_INIT;
    dal_fit_report report = {.struct_size = sizeof report};
    const dal_fit f = {.struct_size = sizeof f, .train = &s->texts->s, .class_names = names};
    cr_assert_eq(s->impl->fit(s->self, &f, &report, &err), DAL_OK, "%s", err.text);
}

static int says(const text_subject *s, const fx_bytes *b, const char *key, const char *what)
{
    dal_safetensors *f = NULL;
    dal_error err = DAL_ERROR_INIT;
    cr_assert_eq(dal_safetensors_view(dal_runtime_host(s->rt, "file"), "it", "", b->data, (int64_t)b->n, &f, &err),
                 DAL_OK);
    const char *text = dal_safetensors_metadata(f, key);
    const int found = text && strstr(text, what);
    dal_safetensors_close(f);
    return found;
}

Test(bert, calls_classes_as_the_last_fit_was_told)
{
    static const char *const names[] = {"fein", "na ja", "b\"os"}, *const numbers[] = {"0", "1", "2"},
        *const twice[] = {"a", "b", "a"},
                            *const no_text[] = {"a", "\xff", "c"};
    tiny *x = tiny_new(&bert_family_bert, NINE, 16, 1);
    for (int freeze = 0; freeze < 2; freeze++) {
        const options o = options_for(x, 12, freeze, 1e-30);
        text_subject s = subject_trained(&bert_impl, &o, 1), other = subject_trained(&bert_impl, &o, 1);
        fx_bytes none = fx_save(s.impl, s.self);
        cr_assert(says(&s, &none, "file:config.json", "\"2\": \"LABEL_2\""));
        const char *const *const bad[] = {numbers, twice, no_text};
        for (int i = 0; i < 3; i++) {
            fit_named(&s, bad[i]);
            fx_bytes b = fx_save(s.impl, s.self);
            cr_assert(says(&s, &b, "file:config.json", "\"2\": \"LABEL_2\""), "case %d", i);
            free(b.data);
        }
        fit_named(&s, names);
        fx_bytes b = fx_save(s.impl, s.self);
        cr_assert(says(&s, &b, "file:config.json", "\"2\": \"b\\\"os\"") &&
                  says(&s, &b, "file:config.json", "\"na ja\": 1"));
        dal_error err = DAL_ERROR_INIT;
        cr_assert_eq(fx_load(s.impl, other.self, &b, &err), DAL_OK, "%s", err.text);
        fx_bytes again = fx_save(other.impl, other.self);
        cr_assert(again.n == b.n && memcmp(again.data, b.data, b.n) == 0, "loaded, and saved again");
        cr_assert_eq(fx_load(s.impl, other.self, &none, &err), DAL_OK, "%s", err.text);
        free(again.data);
        free(b.data);
        free(none.data);
        subject_drop(&s);
        subject_drop(&other);
    }
    tiny_free(x);
}

Test(bert, old_names_and_no_prefix_are_taken)
{
    tiny *x = tiny_new(&bert_family_bert, NINE, 16, 0);
    const options o = options_for(x, 12, 0, 1e-30);
    text_subject a = subject_trained(&bert_impl, &o, 1);
    for (int64_t i = 0; i < x->n; i++) { /* "bert.x.LayerNorm.weight" becomes "x.LayerNorm.gamma" */
        char *name = x->names[i];
        memmove(name, name + 5, strlen(name) - 4);
        char *kind = strstr(name, "LayerNorm.weight");
        if (kind)
            strcpy(kind, "LayerNorm.gamma");
        kind = strstr(name, "LayerNorm.bias");
        if (kind)
            strcpy(kind, "LayerNorm.beta");
    }
    write_weights(x);
    text_subject b = subject_trained(&bert_impl, &o, 1);
    float z[2][TEXTS * CLASSES];
    subject_predict(&a, a.self, z[0], TEXTS);
    subject_predict(&b, b.self, z[1], TEXTS);
    cr_assert_arr_eq(z[0], z[1], sizeof z[0]);
    const options frozen = options_for(x, 12, 1, 1e-30);
    text_subject c = subject_trained(&bert_impl, &frozen, 1);
    fx_bytes saved = fx_save(c.impl, c.self);
    cr_assert(says(&c, &saved, "elsewhere", "\"bert.embeddings.LayerNorm.weight\":\"embeddings.LayerNorm.gamma\""));
    cr_assert(says(&c, &saved, "elsewhere", "\"file\":\"/") && !says(&c, &saved, "elsewhere", "pooler"));
    free(saved.data);
    subject_drop(&c);
    subject_drop(&a);
    subject_drop(&b);
    tiny_free(x);
}
