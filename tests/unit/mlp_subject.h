/* Perceptrons under test. */
#ifndef TESTS_MLP_SUBJECT_H
#define TESTS_MLP_SUBJECT_H

#include "sdk/lib/model/nn_model.h"
#include "tests/unit/models.h"

typedef struct fx_subject {
    dal_runtime *rt;
    const dal_model_impl *impl;
    void *self;
} fx_subject;

/* What differs from mlp's defaults; 0: does not. */
typedef struct fx_mlp {
    int64_t hidden[4], n_hidden, epochs, batch_size;
    double dropout, mc_dropout, plain_rate; /* plain_rate: of SGD without momentum */
    dal_nn_control control;
    int nadam;
} fx_mlp;

/* In tests/unit/mlp.c. */
fx_subject fx_mlp_new(const fx_mlp *how, const dal_sample_spec *spec, int threads);

static inline fx_subject fx_mlp_trained(const fx_mlp *how, const fx_list *l)
{
    const fx_subject s = fx_mlp_new(how, &l->s.spec, 2);
    fx_fit(s.impl, s.self, l, 0, 0);
    return s;
}

static inline void fx_subject_drop(fx_subject *s)
{
    s->impl->destroy(s->self);
    cr_assert_eq(dal_runtime_allocated(s->rt), 0, "a destroyed model must give everything back");
    dal_runtime_free(s->rt);
}

#endif
