/* text_net.h: what networks of layers over words share (textcnn.c, transformer.c).
 *
 * The words of a text, in small letters, are its tokens. Each fit numbers the words of its training texts: a word that
 * occurs min_count times or more has a number of its own, all others are 0, "unknown". Of a longer text the first
 * `longest` words count. While training, a share of the words is shown as unknown, so that there is something to learn
 * about these.
 *
 * The real-valued inputs of DAL_CAP_INPUT_GRADIENT are [longest, dim], the embedded words; a text ends before the rows
 * at the end that are all zeros (their gradient is 0, so steps along it leave them alone).
 */
#ifndef TEXT_NET_H
#define TEXT_NET_H

#include <dal/nn_model.h>

#define TEXT_NET_PARAMS(P, T, EPOCHS, BATCH, RATE, SCHEDULE, DROPOUT)                                     \
    P(T, epochs, I64, EPOCHS, "1..1000000", "epochs", "passes over the training set, at most")            \
    P(T, batch_size, I64, BATCH, "1..65536", "samples", "samples a step")                                 \
    P(T, optimizer, CHOICE, "adam", "sgd|adam|adamw|nadam|adadelta", "",                                  \
      "how weights are moved; adadelta: as Zeiler 2012, with a learning_rate of about 1")                 \
    P(T, learning_rate, F64, RATE, "(0..", "", "size of a step")                                          \
    P(T, momentum, F64, "0.9", "[0..1)", "", "sgd: share of the last step in the next")                   \
    P(T, weight_decay, F64, "0", "0..", "", "decay * weight is added to the gradient (adamw: decoupled)") \
    DAL_NN_CONTROL(P, SCHEDULE)                                                                           \
    P(T, stop_accuracy, F64, "0", "0..1", "", "stop once an epoch's training accuracy is this; 0: never") \
    P(T, dropout, F64, DROPOUT, "[0..1)", "", "rate of dropout while training")                           \
    P(T, mc_dropout, F64, "0.5", "(0..1)", "", "rate on the features in Monte-Carlo passes, where they have no dropout")

#define TEXT_NET_WORDS(P, T, DIM, LONGEST)                                                                          \
    P(T, dim, I64, DIM, "1..4096", "numbers", "width of a word's vector")                                           \
    P(T, longest, I64, LONGEST, "1..4096", "words", "of a longer text the first so many count")                     \
    P(T, min_count, I64, "1", "1..", "times", "words of the training texts that occur less often are unknown ones") \
    P(T, word_dropout, F64, "0.05", "[0..1)", "", "share of the words that are shown as unknown while training")

/* Of networks with linear layers over tokens. */
#define TEXT_NET_PRECISION(P, T)                                                                                      \
    P(T, precision, CHOICE, "f32", "f32|bf16|auto", "",                                                               \
      "what linear layers over tokens multiply; bf16, by onednn where the processor has AMX-BF16 or AVX512-BF16: "    \
      "faster, with another result: factors are rounded to 8 bits; sums, weights and gradients of inputs stay f32. "  \
      "auto: bf16 by onednn on processors with AMX, and AMD's with AVX512-BF16; else f32")

typedef struct text_words {
    int64_t longest, min_count;
    double word_dropout;
} text_words;

/* The create of an architecture, which begins with an embedding. mask_features: see dal_nn_model. */
dal_status text_net_new(const dal_host *host, const char *id, const char *provides, const dal_sample_spec *spec,
                        const dal_nn_training *training, uint32_t init, dal_nn_layers *layers, const void *options,
                        const text_words *words, int mask_features, void **self, dal_error *err);
const void *text_net_get_extension(void *self, const char *id);

/* The table of an architecture, its create given. */
#define TEXT_NET_IMPL(create_)                                                                                        \
    {.struct_size = sizeof(dal_model_impl), .output = DAL_LOGITS, .create = create_, .destroy = dal_nn_model_destroy, \
     .fit = dal_nn_model_fit, .predict = dal_nn_model_predict, .save = dal_nn_model_save, .load = dal_nn_model_load,  \
     .get_extension = text_net_get_extension}

#endif
