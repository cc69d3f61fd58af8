/* bert_files.h: what a folder of a pre-trained encoder holds: config.json, model.safetensors, its vocabulary. */
#ifndef BERT_FILES_H
#define BERT_FILES_H

#include <dal/model.h>
#include <dal/nn.h>
#include <dal/safetensors.h>
#include <dal/tokens.h>
#include <jansson.h>

/* How one of the three architectures is written down. Names of layers stand behind the prefix and "layer.N."; a name
 * that begins with '/' has no prefix. */
typedef struct bert_family {
    const char *id;     /* of the component, and "model_type" of config.json */
    const char *prefix; /* "bert." */
    const char *layers; /* "encoder.layer." */
    const char *query, *key, *value, *out, *norm1, *wide, *narrow, *norm2;
    const char *head;   /* the layer before the last one */
    const char *output; /* the last layer; without prefix */
    const char *architecture; /* what transformers calls it with these two */
    int segments, relu; /* has segments; the head ends in ReLU, not tanh */
    uint32_t tokeniser; /* DAL_WORDPIECE: vocab.txt; DAL_BPE: vocab.json and merges.txt */
    const char *ignored[8]; /* beginnings of names that other heads have; NULL: the end */
} bert_family;

extern const bert_family bert_family_distilbert, bert_family_bert, bert_family_roberta;

typedef struct bert_shape {
    int64_t vocabulary, positions, segments, width, layers, heads, wide, first_position;
    double eps, dropout, attention_dropout, head_dropout;
} bert_shape;

#define BERT_KEPT 5
typedef struct bert_kept {
    const char *key; /* of the metadata: DAL_ST_BESIDE...; NULL: no more */
    char *text;
} bert_kept;

typedef struct bert_files {
    const dal_host *host;
    const bert_family *family;
    char *path; /* of model.safetensors */
    bert_shape shape;
    dal_tokens *tokens;
    dal_safetensors *weights;
    json_t *config;
    uint64_t weights_hash; /* see DAL_ST_ELSEWHERE; known once bert_files_hash was */
    bert_kept kept[BERT_KEPT];
} bert_files;

/* A tensor of a folder, and where it lies in the weights of a network of these layers. */
#define BERT_NAME 192
#define BERT_BODY 0u
#define BERT_HEAD 1u
#define BERT_OUTPUT 2u
typedef struct bert_tensor {
    char name[BERT_NAME];
    int64_t rows, cols, offset; /* cols 0: a vector */
    uint32_t part;
} bert_tensor;

/* [main] Everything opened and checked that can be without a network. cased: of WordPiece. */
dal_status bert_files_open(const dal_host *host, const bert_family *family, const char *folder, uint32_t cased,
                           bert_files **out, dal_error *err);
void bert_files_close(bert_files *f); /* accepts NULL */

/* [main] The texts that transformers wants beside the weights of a classifier, into f->kept: settings and vocabulary.
 * With their_names classes are called as in the folder, if all have a name there, else LABEL_0 and so on. */
dal_status bert_files_keep(bert_files *f, const char *folder, uint32_t cased, int64_t classes, int their_names,
                           dal_error *err);
/* [main] Then: the settings with these names; as they are, if the names are the classes' numbers or two are the
 * same. */
dal_status bert_files_name(bert_files *f, const char *const *names, int64_t classes, dal_error *err);
/* [main] Another text for a key that is there; others are of no use. */
dal_status bert_files_put(bert_files *f, const char *key, const char *text, dal_error *err);
/* [any] What the folder calls the class, NULL: nothing. */
const char *bert_files_class(const bert_files *f, int64_t c);

/* [main] After bert_files_keep: of all tensors, settings and the vocabulary. */
uint64_t bert_files_hash(bert_files *f);

/* [any] The tensors of a network of these layers (see bert.c): how many; out [n], NULL: not wanted. A network without
 * some of the layers has fewer. */
int64_t bert_tensors(const bert_files *f, const dal_nn *nn, bert_tensor *out);
/* [main] After bert_files_hash: which of the folder's tensors the network is made of, into f->kept
 * (DAL_ST_ELSEWHERE). */
dal_status bert_files_refer(bert_files *f, const dal_nn *nn, dal_error *err);
/* [any] The folder's tensor of this name, or of one that older files have: without the prefix, gamma for weight and
 * beta for bias. NULL: there is none. */
const dal_tensor *bert_files_find(const bert_files *f, const char *name);
/* [any] The folder's tensors into the weights of the network: all of the body, the head's where the file has one, the
 * last layer's if `output` is set; else it keeps what it has. A tensor that is missing, of another shape, or of no use
 * to this architecture is DAL_E_FORMAT. */
dal_status bert_files_copy(const bert_files *f, const dal_nn *nn, int output, float *weights, dal_error *err);

#endif
