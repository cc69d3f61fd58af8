#include "tests/unit/text_net.h"

#include "plugins/models/bilstm.c"

static const options small = {.nn = {.epochs = 12, .batch_size = 8, .optimizer = DAL_NN_BY_ADAM, .learning_rate = 0.01,
                                     .dropout = 0.1, .mc_dropout = 0.5},
                              .dim = 10, .longest = 12, .min_count = 1, .word_dropout = 0.05, .width = 7, .layers = 2};

TEXT_NET_TESTS(bilstm, &impl, &small)

Test(bilstm, has_the_layers_it_says)
{
    options o = small;
    o.dim = 30;
    o.width = 20;
    text_subject s = subject_trained(&impl, &o, 2);
    const dal_model_perturb *ext = impl.get_extension(s.self, DAL_CAP_PERTURB);
    const int64_t words = ext->parameter(s.self, 0)->count / 30;
    const int64_t first = 2 * 4 * 20 * (30 + 20 + 2), second = 2 * 4 * 20 * (40 + 20 + 2);
    cr_assert_str_eq(ext->parameter(s.self, 1)->name, "lstm1.weight_ih_l0");
    cr_assert_eq(ext->n_weights(s.self), words * 30 + first + second + 40 * CLASSES + CLASSES);
    cr_assert_eq(((const dal_model_features *)impl.get_extension(s.self, DAL_CAP_FEATURES))->width(s.self), 40);
    cr_assert_eq(((const dal_model_stages *)impl.get_extension(s.self, DAL_CAP_STAGES))->count(s.self), 2);
    subject_drop(&s);
}
