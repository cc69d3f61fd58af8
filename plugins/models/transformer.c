/* transformer: a small encoder over words, trained from scratch.
 *
 * Vaswani et al., "Attention is all you need", NeurIPS 2017, with learned positions, GELU, and layer-norm before each
 * part (Xiong et al., ICML 2020), which trains without a long warm-up. After the last layer-norm the mean over the
 * words are the features. Stages are the means over the words behind each layer. Monte-Carlo passes mask the features
 * alone.
 */
#include "text_net.h"

typedef struct options {
    dal_nn_training nn;
    int64_t dim, longest, min_count;
    double word_dropout;
    int64_t layers, heads, feed_forward;
} options;

static dal_nn_value drop(dal_nn *nn, dal_nn_value x, double rate)
{
    return rate > 0 ? dal_nn_dropout(nn, x, rate) : x;
}

static const char *part(char name[48], int64_t layer, const char *what)
{
    snprintf(name, 48, "layer%lld.%s", (long long)layer + 1, what);
    return name;
}

static dal_nn_value encoder(dal_nn *nn, dal_nn_value x, int64_t l, const options *o)
{
    const double rate = o->nn.dropout;
    char name[48];
    dal_nn_value y = dal_nn_layer_norm(nn, x, part(name, l, "norm1"), 1e-5);
    y = dal_nn_linear(nn, y, part(name, l, "qkv"), 3 * o->dim, DAL_NN_BIAS);
    y = dal_nn_linear(nn, dal_nn_attention(nn, y, o->heads, rate), part(name, l, "out"), o->dim, DAL_NN_BIAS);
    x = dal_nn_add(nn, x, drop(nn, y, rate), 0);
    y = dal_nn_layer_norm(nn, x, part(name, l, "norm2"), 1e-5);
    y = dal_nn_gelu(nn, dal_nn_linear(nn, y, part(name, l, "wide"), o->feed_forward, DAL_NN_BIAS));
    y = dal_nn_linear(nn, y, part(name, l, "narrow"), o->dim, DAL_NN_BIAS);
    return dal_nn_add(nn, x, drop(nn, y, rate), 0);
}

static void layers(dal_nn *nn, dal_nn_value x, int64_t c, const void *options_)
{
    const options *o = options_;
    const dal_nn_embedding_shape shape = {.width = o->dim, .positions = o->longest};
    x = drop(nn, dal_nn_embedding(nn, x, "embedding", &shape), o->nn.dropout);
    for (int64_t l = 0; l < o->layers; l++) {
        x = encoder(nn, x, l, o);
        dal_nn_stage(nn, dal_nn_token_mean(nn, x));
    }
    x = dal_nn_token_mean(nn, dal_nn_layer_norm(nn, x, "norm", 1e-5));
    dal_nn_features(nn, x);
    dal_nn_output(nn, dal_nn_linear(nn, x, "output", c, DAL_NN_BIAS));
}

static dal_status create(const dal_host *host, const void *options_, const dal_sample_spec *spec, void **self,
                         dal_error *err)
{
    const options *o = options_;
    const text_words words = {o->longest, o->min_count, o->word_dropout};
    if (o->dim % o->heads)
        return dal_fail(err, DAL_E_INVALID, "heads", "%lld heads do not divide vectors of %lld numbers (dim)",
                        (long long)o->heads, (long long)o->dim);
    return text_net_new(host, "transformer", DAL_NN_MODEL_PROVIDES, spec, &o->nn, DAL_NN_BERT, layers, o, &words, 1,
                        self, err);
}

static const dal_model_impl impl = TEXT_NET_IMPL(create);

#define PARAMS(P, T)                                                                        \
    TEXT_NET_PARAMS(P, dal_nn_training, "20", "32", "0.0005", "cosine", "0.1")                   \
    TEXT_NET_WORDS(P, T, "128", "128")                                                      \
    P(T, layers, I64, "2", "1..24", "layers", "of attention and feed-forward")              \
    P(T, heads, I64, "4", "1..64", "heads", "of attention; they divide dim")                \
    P(T, feed_forward, I64, "512", "1..16384", "numbers", "width inside the feed-forward part") \
    TEXT_NET_PRECISION(P, dal_nn_training)
#define COMPONENTS(C)                                                                                                 \
    C(MODEL, "transformer", impl, "a small encoder over the words of a text, trained from scratch",                   \
      "Vaswani et al., NeurIPS 2017", "", DAL_NN_MODEL_PROVIDES, options, PARAMS)
DAL_MODULE(transformer, "1.3", "Apache-2.0", COMPONENTS, NULL, NULL)
