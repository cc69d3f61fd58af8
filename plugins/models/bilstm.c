/* bilstm: an LSTM over the words of a text in both directions, and the largest of each number.
 *
 * Hochreiter & Schmidhuber 1997; Schuster & Paliwal, "Bidirectional recurrent neural networks", 1997; the largest over
 * the words as Conneau et al., EMNLP 2017, found it better than the last output or the mean. Layers after the first
 * read both directions of the one before. Stages are the means over the words behind each layer. Monte-Carlo passes
 * mask the features alone.
 */
#include "text_net.h"

typedef struct options {
    dal_nn_training nn;
    int64_t dim, longest, min_count;
    double word_dropout;
    int64_t width, layers;
} options;

static void layers(dal_nn *nn, dal_nn_value x, int64_t c, const void *options_)
{
    const options *o = options_;
    const double rate = o->nn.dropout;
    x = dal_nn_embedding(nn, x, "embedding", &(dal_nn_embedding_shape){.width = o->dim});
    for (int64_t l = 0; l < o->layers; l++) {
        char name[24];
        snprintf(name, sizeof name, "lstm%lld", (long long)l + 1);
        x = rate > 0 ? dal_nn_dropout(nn, x, rate) : x;
        x = dal_nn_lstm(nn, x, name, o->width, DAL_NN_FORWARDS | DAL_NN_BACKWARDS);
        dal_nn_stage(nn, dal_nn_token_mean(nn, x));
    }
    x = dal_nn_token_max(nn, x);
    x = rate > 0 ? dal_nn_dropout(nn, x, rate) : x;
    dal_nn_features(nn, x);
    dal_nn_output(nn, dal_nn_linear(nn, x, "output", c, DAL_NN_BIAS));
}

static dal_status create(const dal_host *host, const void *options_, const dal_sample_spec *spec, void **self,
                         dal_error *err)
{
    const options *o = options_;
    const text_words words = {o->longest, o->min_count, o->word_dropout};
    return text_net_new(host, "bilstm", DAL_NN_MODEL_PROVIDES_FIXED, spec, &o->nn, DAL_NN_UNIFORM, layers, o, &words,
                        1, self, err);
}

static const dal_model_impl impl = TEXT_NET_IMPL(create);

#define PARAMS(P, T)                                                                        \
    TEXT_NET_PARAMS(P, dal_nn_training, "15", "32", "0.002", "cosine", "0.5")                    \
    TEXT_NET_WORDS(P, T, "200", "128")                                                      \
    P(T, width, I64, "128", "1..4096", "numbers", "of each direction; the features are twice as many") \
    P(T, layers, I64, "1", "1..8", "layers", "of LSTM, one on the other")
#define COMPONENTS(C)                                                                                                 \
    C(MODEL, "bilstm", impl, "an LSTM over the words of a text in both directions, and the largest of each number",   \
      "Schuster & Paliwal 1997; Conneau et al., EMNLP 2017", "", DAL_NN_MODEL_PROVIDES_FIXED, options, PARAMS)
DAL_MODULE(bilstm, "1.2", "Apache-2.0", COMPONENTS, NULL, NULL)
