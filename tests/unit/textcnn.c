#include "tests/unit/text_net.h"

#include "plugins/models/textcnn.c"

static const options small = {.nn = {.epochs = 10, .batch_size = 8, .optimizer = DAL_NN_BY_ADAM,
                                     .learning_rate = 0.005, .dropout = 0.3, .mc_dropout = 0.5},
                              .dim = 10, .longest = 12, .min_count = 1, .word_dropout = 0.05, .maps = 6};

TEXT_NET_TESTS(textcnn, &impl, &small)

Test(textcnn, has_the_layers_of_the_paper)
{
    options kim = small;
    kim.dim = 300;
    kim.maps = 100;
    text_subject s = subject_trained(&impl, &kim, 2);
    const dal_model_perturb *ext = impl.get_extension(s.self, DAL_CAP_PERTURB);
    const int64_t words = ext->parameter(s.self, 0)->count / 300;
    cr_assert_str_eq(ext->parameter(s.self, 0)->name, "embedding.words");
    cr_assert_eq(ext->n_weights(s.self), words * 300 + (3 + 4 + 5) * 300 * 100 + 300 + 300 * CLASSES + CLASSES);
    cr_assert_eq(((const dal_model_features *)impl.get_extension(s.self, DAL_CAP_FEATURES))->width(s.self), 300);
    subject_drop(&s);
}

Test(textcnn, counts_only_words_that_come_often_enough)
{
    options rare = small;
    int64_t words[2];
    for (int i = 0; i < 2; i++) {
        rare.min_count = i ? 12 : 1;
        text_subject s = subject_trained(&impl, &rare, 1);
        const dal_model_perturb *ext = impl.get_extension(s.self, DAL_CAP_PERTURB);
        words[i] = ext->parameter(s.self, 0)->count / rare.dim;
        subject_drop(&s);
    }
    cr_assert_eq(words[0], 1 + 25 + CLASSES);
    cr_assert_lt(words[1], words[0]);
    cr_assert_geq(words[1], 2);
}

Test(textcnn, reads_no_more_words_than_the_longest)
{
    text_subject s = subject_trained(&impl, &small, 1);
    float z[TEXTS * CLASSES], again[TEXTS * CLASSES];
    const char more[] = "w1 w2 w3 w4 w5 w6 w7 w8 w9 w10 w11 w12 good bad odd";
    int64_t offsets[2][2] = {{0, (int64_t)strlen(more)}, {0, (int64_t)(strstr(more, " good") - more)}};
    dal_error err = DAL_ERROR_INIT;
    for (int i = 0; i < 2; i++) {
        const dal_batch x = {sizeof x, 0, &s.texts->s.spec, 1, (void *)(uintptr_t)more, offsets[i], NULL};
        cr_assert_eq(impl.predict(s.self, &x, i ? again : z, &err), DAL_OK);
    }
    cr_assert_arr_eq(again, z, CLASSES * sizeof *z);
    subject_drop(&s);
}

Test(textcnn, keeps_the_rows_of_its_last_layer_short)
{
    options kim = small;
    kim.nn.optimizer = DAL_NN_BY_ADADELTA;
    kim.nn.learning_rate = 1;
    for (int limit = 0; limit < 2; limit++) {
        kim.max_norm = limit ? 0.3 : 0;
        text_subject s = subject_trained(&impl, &kim, 2);
        const dal_model_last_layer *last = impl.get_extension(s.self, DAL_CAP_LAST_LAYER);
        const float *bias;
        dal_matrix w;
        double longest = 0;
        cr_assert_eq(last->last_layer(s.self, &w, &bias, NULL), DAL_OK);
        for (int64_t c = 0; c < w.rows; c++) {
            double square = 0;
            for (int64_t i = 0; i < w.cols; i++)
                square += pow((double)w.data[c * w.stride + i], 2);
            longest = fmax(longest, sqrt(square));
        }
        cr_assert(limit ? longest < 0.3 + 1e-6 && longest > 0.29 : longest > 0.4, "%g", longest);
        subject_drop(&s);
    }
}
