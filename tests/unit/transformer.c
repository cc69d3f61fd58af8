#include "tests/unit/text_net.h"

#include "plugins/models/transformer.c"

static const options small = {.nn = {.epochs = 10, .batch_size = 8, .optimizer = DAL_NN_BY_ADAM,
                                     .learning_rate = 0.003, .dropout = 0.1, .mc_dropout = 0.5},
                              .dim = 12, .longest = 12, .min_count = 1, .word_dropout = 0.05, .layers = 2, .heads = 3,
                              .feed_forward = 20};

TEXT_NET_TESTS(transformer, &impl, &small)

Test(transformer, has_the_layers_of_the_paper)
{
    options o = small;
    o.dim = 128;
    o.heads = 4;
    o.feed_forward = 512;
    text_subject s = subject_trained(&impl, &o, 2);
    const dal_model_perturb *ext = impl.get_extension(s.self, DAL_CAP_PERTURB);
    const int64_t layer = 2 * 2 * 128 + 4 * (128 * 128 + 128) + 2 * 128 * 512 + 512 + 128;
    const int64_t words = ext->parameter(s.self, 0)->count / 128;
    cr_assert_eq(ext->n_weights(s.self), (words + 12) * 128 + 2 * layer + 2 * 128 + 128 * CLASSES + CLASSES);
    cr_assert_eq(((const dal_model_stages *)impl.get_extension(s.self, DAL_CAP_STAGES))->count(s.self), 2);
    subject_drop(&s);
}

Test(transformer, says_that_heads_do_not_divide)
{
    options o = small;
    o.heads = 5;
    text_set *t = text_set_new();
    dal_runtime *rt = fx_runtime(1, 1);
    dal_error err = DAL_ERROR_INIT;
    void *self = NULL;
    cr_assert_eq(impl.create(dal_runtime_host(rt, "m"), &o, &t->s.spec, &self, &err), DAL_E_INVALID);
    cr_assert(strstr(err.text, "5 heads do not divide vectors of 12 numbers"), "%s", err.text);
    dal_runtime_free(rt);
    text_set_free(t);
}
