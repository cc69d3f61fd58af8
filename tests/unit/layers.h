/* The shape of a model of layers: how many weights, stages of how many places a side, how wide its features are. */
#ifndef TESTS_LAYERS_H
#define TESTS_LAYERS_H

#include "sdk/lib/model/nn_model.h"
#include "tests/unit/models.h"

static inline void fx_layers(const dal_model_impl *impl, const void *o, int64_t channels, int64_t side, int64_t c,
                             int64_t weights,
                   const int64_t *stages, int64_t d)
{
    dal_runtime *rt = fx_runtime(1, 1);
    const dal_sample_spec spec = {.struct_size = sizeof spec, .modality = DAL_IMAGE, .dtype = DAL_U8, .ndim = 3,
                                  .shape = {channels, side, side}, .n_classes = c};
    void *self = NULL;
    dal_error err = DAL_ERROR_INIT;
    cr_assert_eq(impl->create(dal_runtime_host(rt, "m"), o, &spec, &self, &err), DAL_OK, "%s", err.text);
    const dal_nn_model *m = self;
    cr_assert_eq(m->info.n_weights, weights, "%lld weights", (long long)m->info.n_weights);
    cr_assert_eq(m->info.n_features, d);
    for (int64_t s = 0; s < m->info.n_stages; s++) {
        int64_t shape[3];
        dal_nn_shape(m->nn, dal_nn_stage_value(m->nn, s), shape);
        cr_assert_eq(shape[1], stages[s], "stage %lld has %lld places a side", (long long)s, (long long)shape[1]);
    }
    impl->destroy(self);
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
}

#endif
