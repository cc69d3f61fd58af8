/* textcnn: convolutions over words, and the largest of each map.
 *
 * Kim, "Convolutional neural networks for sentence classification", EMNLP 2014 (CNN-rand): words of 300 numbers, 100
 * maps each of 3, 4 and 5 words, ReLU, the largest over the text, dropout, a linear layer; d = 300. Differs: a map has
 * as many places as the text has words, each window around its word, where Kim pads all texts to the longest; Adam in
 * place of Adadelta, and any norm of the last layer's rows, unless asked for: optimizer adadelta, learning_rate 1,
 * max_norm 3.
 */
#include "text_net.h"

typedef struct options {
    dal_nn_training nn;
    int64_t dim, longest, min_count;
    double word_dropout;
    int64_t maps;
    double max_norm;
} options;

static void layers(dal_nn *nn, dal_nn_value x, int64_t c, const void *options_)
{
    const options *o = options_;
    dal_nn_value maxima = -1;
    x = dal_nn_embedding(nn, x, "embedding", &(dal_nn_embedding_shape){.width = o->dim});
    for (int width = 3; width <= 5; width++) {
        char name[16];
        snprintf(name, sizeof name, "conv%d", width);
        const dal_nn_value y = dal_nn_token_max(nn, dal_nn_token_conv(nn, x, name, o->maps, width,
                                                                      DAL_NN_BIAS | DAL_NN_RELU));
        maxima = width == 3 ? y : dal_nn_join(nn, maxima, y);
    }
    dal_nn_stage(nn, maxima);
    if (o->nn.dropout > 0)
        maxima = dal_nn_dropout(nn, maxima, o->nn.dropout);
    dal_nn_features(nn, maxima);
    dal_nn_output(nn, dal_nn_linear(nn, maxima, "output", c, DAL_NN_BIAS));
}

static dal_status create(const dal_host *host, const void *options_, const dal_sample_spec *spec, void **self,
                         dal_error *err)
{
    const options *o = options_;
    const text_words words = {o->longest, o->min_count, o->word_dropout};
    const dal_status st = text_net_new(host, "textcnn", DAL_NN_MODEL_PROVIDES_FIXED, spec, &o->nn, DAL_NN_UNIFORM,
                                       layers, o, &words, 0, self, err);
    if (st == DAL_OK)
        ((dal_nn_model *)*self)->fine.max_norm = o->max_norm;
    return st;
}

static const dal_model_impl impl = TEXT_NET_IMPL(create);

#define PARAMS(P, T)                                                                        \
    TEXT_NET_PARAMS(P, dal_nn_training, "20", "50", "0.001", "constant", "0.5")                  \
    TEXT_NET_WORDS(P, T, "300", "64")                                                       \
    P(T, maps, I64, "100", "1..4096", "maps", "of each width; the features are three times as many") \
    P(T, max_norm, F64, "0", "0..", "", "rows of the last layer that are longer are shortened to it (Kim: 3); 0: any")
#define COMPONENTS(C)                                                                                                 \
    C(MODEL, "textcnn", impl,                                                                                          \
      "convolutions over the words of a text, and the largest of each map", "Kim, EMNLP 2014", "",                     \
      DAL_NN_MODEL_PROVIDES_FIXED, options, PARAMS)
DAL_MODULE(textcnn, "1.3", "Apache-2.0", COMPONENTS, NULL, NULL)
