#include "tests/unit/models.h"

#include "plugins/models/mlp.c"

/* The defaults of the declaration. */
static options defaults(const int64_t *hidden, int64_t n_hidden)
{
    return (options){.hidden = {hidden, n_hidden}, .learning_rate = 1e-3, .beta1 = 0.9, .beta2 = 0.999,
                     .epsilon = 1e-8, .momentum = 0.9, .nesterov = 1, .alpha = 1e-4, .epochs = 200,
                     .tol = 1e-4, .n_iter_no_change = 10, .mc_dropout = 0.5};
}

typedef struct subject {
    dal_runtime *rt;
    void *self;
} subject;

static subject make(const options *o, const dal_sample_spec *spec, int threads)
{
    dal_error err = DAL_ERROR_INIT;
    subject s = {.rt = fx_runtime(threads, 7)};
    cr_assert_eq(impl.create(dal_runtime_host(s.rt, "mlp"), o, spec, &s.self, &err), DAL_OK, "%s", err.text);
    return s;
}

static void drop_subject(subject *s)
{
    impl.destroy(s->self);
    cr_assert_eq(dal_runtime_allocated(s->rt), 0, "a destroyed model must give everything back");
    dal_runtime_free(s->rt);
}

Test(mlp, learns_clusters_it_has_not_seen)
{
    fx_list *train = fx_clusters(300, 20, 5, DAL_F32, 0.2, 1), *test = fx_clusters(200, 20, 5, DAL_F32, 0.2, 2);
    const options o = defaults((const int64_t[]){32}, 1);
    subject s = make(&o, &train->s.spec, 2);
    const dal_fit_report r = fx_fit(&impl, s.self, train, 0, 0);
    float *z = fx_predict(&impl, s.self, test, 64);
    cr_assert_gt(fx_accuracy(z, test), 0.95);
    cr_assert_gt(r.train_accuracy, 0.95);
    cr_assert_eq(r.steps, r.epochs * 2, "300 samples are 2 batches of 200");
    free(z);
    drop_subject(&s);
    fx_list_free(train);
    fx_list_free(test);
}

Test(mlp, gives_the_same_bits_with_any_number_of_threads)
{
    fx_list *train = fx_clusters(333, 300, 7, DAL_U8, 0.3, 1);
    options o = defaults((const int64_t[]){200, 130}, 2);
    o.epochs = 4;
    o.dropout = 0.2;
    float *want = NULL;
    for (int threads = 1; threads <= 4; threads *= 2) {
        subject s = make(&o, &train->s.spec, threads);
        fx_fit(&impl, s.self, train, 3, 0);
        float *z = fx_predict(&impl, s.self, train, 333);
        if (want)
            cr_assert_eq(memcmp(z, want, 333 * 7 * sizeof *z), 0, "%d threads", threads);
        else
            want = z;
        if (z != want)
            free(z);
        drop_subject(&s);
    }
    free(want);
    fx_list_free(train);
}

Test(mlp, predicts_the_same_bits_in_any_blocks)
{
    fx_list *train = fx_clusters(300, 301, 7, DAL_U8, 0.3, 1);
    options o = defaults((const int64_t[]){100, 37}, 2);
    o.epochs = 3;
    subject s = make(&o, &train->s.spec, 2);
    fx_fit(&impl, s.self, train, 0, 0);
    float *want = fx_predict(&impl, s.self, train, 300);
    for (int64_t block = 1; block <= 256; block = block == 1 ? 7 : block == 7 ? 256 : 300) {
        float *z = fx_predict(&impl, s.self, train, block);
        cr_assert_eq(memcmp(z, want, 300 * 7 * sizeof *z), 0, "blocks of %d", (int)block);
        free(z);
    }
    free(want);
    drop_subject(&s);
    fx_list_free(train);
}
