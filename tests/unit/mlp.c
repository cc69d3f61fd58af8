#include "tests/unit/mlp_subject.h"

#include <dal/dense.h>
#include <float.h>
#include "plugins/models/mlp.c"

/* The defaults of the declaration. */
static options defaults(const int64_t *hidden, int64_t n_hidden)
{
    return (options){.hidden = {hidden, n_hidden}, .learning_rate = 1e-3, .beta1 = 0.9, .beta2 = 0.999,
                     .epsilon = 1e-8, .momentum = 0.9, .nesterov = 1, .alpha = 1e-4, .epochs = 200,
                     .tol = 1e-4, .n_iter_no_change = 10, .mc_dropout = 0.5};
}

static fx_subject make(const options *o, const dal_sample_spec *spec, int threads)
{
    dal_error err = DAL_ERROR_INIT;
    fx_subject s = {.rt = fx_runtime(threads, 7), .impl = &impl};
    cr_assert_eq(impl.create(dal_runtime_host(s.rt, "mlp"), o, spec, &s.self, &err), DAL_OK, "%s", err.text);
    return s;
}

fx_subject fx_mlp_new(const fx_mlp *how, const dal_sample_spec *spec, int threads)
{
    options o = defaults(how->hidden, how->n_hidden);
    o.control = how->control;
    o.optimizer = how->nadam ? 2 : o.optimizer;
    o.dropout = how->dropout;
    o.batch_size = how->batch_size;
    o.epochs = how->epochs ? how->epochs : o.epochs;
    o.mc_dropout = how->mc_dropout > 0 ? how->mc_dropout : o.mc_dropout;
    if (how->plain_rate > 0) {
        o.optimizer = 1;
        o.nesterov = 0;
        o.momentum = 0;
        o.learning_rate = how->plain_rate;
    }
    return make(&o, spec, threads);
}

Test(mlp, learns_clusters_it_has_not_seen)
{
    fx_list *train = fx_clusters(300, 20, 5, DAL_F32, 0.2, 1), *test = fx_clusters(200, 20, 5, DAL_F32, 0.2, 2);
    const options o = defaults((const int64_t[]){32}, 1);
    fx_subject s = make(&o, &train->s.spec, 2);
    const dal_fit_report r = fx_fit(&impl, s.self, train, 0, 0);
    float *z = fx_predict(&impl, s.self, test, 64);
    cr_assert_gt(fx_accuracy(z, test), 0.95);
    cr_assert_gt(r.train_accuracy, 0.95);
    cr_assert_eq(r.steps, r.epochs * 2, "300 samples are 2 batches of 200");
    free(z);
    fx_subject_drop(&s);
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
        fx_subject s = make(&o, &train->s.spec, threads);
        fx_fit(&impl, s.self, train, 3, 0);
        float *z = fx_predict(&impl, s.self, train, 333);
        if (want)
            cr_assert_eq(memcmp(z, want, 333 * 7 * sizeof *z), 0, "%d threads", threads);
        else
            want = z;
        if (z != want)
            free(z);
        fx_subject_drop(&s);
    }
    free(want);
    fx_list_free(train);
}

Test(mlp, predicts_the_same_bits_in_any_blocks)
{
    fx_list *train = fx_clusters(300, 301, 7, DAL_U8, 0.3, 1);
    options o = defaults((const int64_t[]){100, 37}, 2);
    o.epochs = 3;
    fx_subject s = make(&o, &train->s.spec, 2);
    fx_fit(&impl, s.self, train, 0, 0);
    float *want = fx_predict(&impl, s.self, train, 300);
    for (int64_t block = 1; block <= 256; block = block == 1 ? 7 : block == 7 ? 256 : 300) {
        float *z = fx_predict(&impl, s.self, train, block);
        cr_assert_eq(memcmp(z, want, 300 * 7 * sizeof *z), 0, "blocks of %d", (int)block);
        free(z);
    }
    free(want);
    fx_subject_drop(&s);
    fx_list_free(train);
}

typedef struct crowd {
    const fx_list *list;
    void *self;
    float out[40][9 * 7];
} crowd;

static dal_status predict_nine(void *ctx, int64_t i)
{
    crowd *c = ctx;
    const dal_batch x = fx_batch(c->list, i * 3, 9);
    return impl.predict(c->self, &x, c->out[i], NULL);
}

Test(mlp, predicts_on_several_threads_at_once)
{
    fx_list *train = fx_clusters(126, 300, 7, DAL_U8, 0.3, 1);
    options o = defaults((const int64_t[]){100, 37}, 2);
    o.epochs = 3;
    fx_subject s = make(&o, &train->s.spec, 4);
    fx_fit(&impl, s.self, train, 0, 0);
    float *want = fx_predict(&impl, s.self, train, 126);
    crowd c = {.list = train, .self = s.self};
    const dal_host *host = dal_runtime_host(s.rt, "mlp");
    cr_assert_eq(host->parallel_for(host, 40, predict_nine, &c), DAL_OK);
    for (int i = 0; i < 40; i++)
        cr_assert_arr_eq(c.out[i], want + i * 3 * 7, sizeof c.out[i]);
    free(want);
    fx_subject_drop(&s);
    fx_list_free(train);
}

/* ---- training ------------------------------------------------------------------------------------ */

Test(mlp, overfits_a_batch_of_noise)
{
    fx_list *l = fx_clusters(32, 20, 4, DAL_F32, 5, 1);
    options o = defaults((const int64_t[]){64}, 1);
    o.alpha = 0;
    o.learning_rate = 0.01;
    o.epochs = 300;
    fx_subject s = make(&o, &l->s.spec, 1);
    const dal_fit_report r = fx_fit(&impl, s.self, l, 0, 0);
    cr_assert_eq(r.train_accuracy, 1.0);
    cr_assert_lt(r.loss, 0.02);
    fx_subject_drop(&s);
    fx_list_free(l);
}

Test(mlp, ends_when_the_loss_stands_still)
{
    fx_list *l = fx_clusters(50, 10, 2, DAL_F32, 0.1, 1);
    options o = defaults((const int64_t[]){8}, 1);
    o.learning_rate = 1e-12; /* nothing moves: the first epoch is the best */
    o.n_iter_no_change = 4;
    fx_subject s = make(&o, &l->s.spec, 1);
    dal_fit_report r = fx_fit(&impl, s.self, l, 0, 0);
    cr_assert_eq(r.epochs, 1 + 5, "5 epochs more than 4 without progress");
    cr_assert_eq(r.converged, 1);
    fx_subject_drop(&s);
    o.n_iter_no_change = 0; /* never */
    o.epochs = 30;
    s = make(&o, &l->s.spec, 1);
    r = fx_fit(&impl, s.self, l, 0, 0);
    cr_assert_eq(r.epochs, 30);
    cr_assert_eq(r.converged, 0);
    fx_subject_drop(&s);
    fx_list_free(l);
}

Test(mlp, ends_when_the_training_accuracy_is_reached)
{
    fx_list *l = fx_clusters(200, 10, 3, DAL_F32, 0.1, 1);
    options o = defaults((const int64_t[]){16}, 1);
    o.stop_accuracy = 0.9;
    o.batch_size = 20;
    fx_subject s = make(&o, &l->s.spec, 1);
    const dal_fit_report r = fx_fit(&impl, s.self, l, 0, 0);
    cr_assert_geq(r.train_accuracy, 0.9);
    cr_assert_lt(r.epochs, 100);
    cr_assert_eq(r.converged, 1);
    fx_subject_drop(&s);
    fx_list_free(l);
}

Test(mlp, says_where_training_diverged_and_forgets_the_weights)
{
    fx_list *l = fx_clusters(50, 10, 2, DAL_F32, 0.5, 1);
    dal_error err = DAL_ERROR_INIT;
    dal_fit_report r = {.struct_size = sizeof r};
    options o = defaults((const int64_t[]){8, 8}, 2);
    o.optimizer = 1;
    o.learning_rate = 1e25;
    fx_subject s = make(&o, &l->s.spec, 1);
    const dal_fit f = {.struct_size = sizeof f, .train = &l->s};
    fx_expect(&err, impl.fit(s.self, &f, &r, &err), DAL_E_DIVERGED, "learning_rate", "with a rate of 1e+25");
    cr_assert(strstr(err.text, "in epoch "), "%s", err.text);
    float z[2];
    const dal_batch x = fx_batch(l, 0, 1);
    fx_expect(&err, impl.predict(s.self, &x, z, &err), DAL_E_CONTRACT, "", "has not been trained");
    fx_subject_drop(&s);
    fx_list_free(l);
}

Test(mlp, gives_samples_without_weight_no_influence)
{
    fx_list *l = fx_clusters(400, 8, 2, DAL_F32, 0.1, 1);
    options o = defaults((const int64_t[]){16}, 1);
    o.learning_rate = 0.01;
    l->weights = malloc(400 * sizeof *l->weights);
    l->s.weights = l->weights;
    for (int i = 0; i < 400; i++) { /* half of the labels are wrong, and weigh nothing */
        l->weights[i] = i % 4 < 2 ? 3 : 0;
        l->classes[i] ^= i % 4 >= 2;
    }
    fx_subject s = make(&o, &l->s.spec, 2);
    fx_fit(&impl, s.self, l, 0, 0);
    for (int i = 0; i < 400; i++)
        l->classes[i] ^= i % 4 >= 2;
    float *z = fx_predict(&impl, s.self, l, 400);
    cr_assert_gt(fx_accuracy(z, l), 0.97);
    free(z);
    fx_subject_drop(&s);
    fx_list_free(l);
}

Test(mlp, does_not_care_for_the_unit_of_weights)
{
    fx_list *l = fx_clusters(60, 8, 2, DAL_F32, 0.3, 1);
    options o = defaults((const int64_t[]){16}, 1);
    o.epochs = 5;
    fx_subject s = make(&o, &l->s.spec, 1);
    fx_fit(&impl, s.self, l, 0, 0);
    float *plain = fx_predict(&impl, s.self, l, 60);
    l->weights = malloc(60 * sizeof *l->weights);
    l->s.weights = l->weights;
    for (int i = 0; i < 60; i++)
        l->weights[i] = 4;
    fx_fit(&impl, s.self, l, 0, 0);
    float *weighted = fx_predict(&impl, s.self, l, 60);
    cr_assert_arr_eq(plain, weighted, 120 * sizeof *plain);
    free(plain);
    free(weighted);
    fx_subject_drop(&s);
    fx_list_free(l);
}

Test(dal_dense_rows, gathers_the_same_values_from_memory_and_from_the_list)
{
    fx_list *l = fx_clusters(130, 30, 3, DAL_U8, 0.3, 1);
    float got[130 * 30], want[130 * 30];
    int64_t rows[130];
    dal_runtime *rt = fx_runtime(1, 1);
    dal_dense_rows kept, read;
    for (int i = 0; i < 130; i++)
        rows[i] = (i * 7) % 130;
    cr_assert_eq(dal_dense_rows_init(&kept, dal_runtime_host(rt, "t"), &l->s, 30, NULL), DAL_OK);
    read = kept;
    cr_assert(kept.all);
    read.all = NULL; /* as if there had been too many */
    cr_assert_eq(dal_dense_rows_gather(&kept, rows, 130, want), DAL_OK);
    cr_assert_eq(dal_dense_rows_gather(&read, rows, 130, got), DAL_OK);
    cr_assert_arr_eq(got, want, sizeof got);
    cr_assert_eq(want[30], (float)((uint8_t *)l->data)[7 * 30] / 255.0f);
    dal_dense_rows_fini(&kept);
    dal_runtime_free(rt);
    fx_list_free(l);
}

/* What dal_first_not_finite promises, value by value. */
static int64_t slow_first(const float *x, int64_t n, int missing)
{
    for (int64_t i = 0; i < n; i++)
        if (isinf(x[i]) || (isnan(x[i]) && !missing))
            return i;
    return -1;
}

Test(dal_dense, finds_the_first_value_that_is_not_finite)
{
    static const float odd[] = {NAN, -NAN, INFINITY, -INFINITY, FLT_MAX, -FLT_MAX, 0x1p-149f, -0.0f};
    float x[67] = {0};
    for (int64_t n = 0; n <= 67; n++)
        for (int64_t at = 0; at < n; at++)
            for (size_t k = 0; k < sizeof odd / sizeof *odd; k++) {
                x[at] = odd[k];
                x[n - 1] = odd[(k + 3) % (sizeof odd / sizeof *odd)];
                for (int missing = 0; missing < 2; missing++)
                    cr_assert_eq(dal_first_not_finite(x, n, missing), slow_first(x, n, missing), "%g of %lld at %lld",
                                 (double)odd[k], (long long)n, (long long)at);
                x[at] = x[n - 1] = 1;
            }
}

/* ---- what it refuses ------------------------------------------------------------------------------- */

static void refuse_spec(dal_sample_spec spec, dal_status want, const char *words)
{
    dal_error err = DAL_ERROR_INIT;
    const options o = defaults((const int64_t[]){8}, 1);
    dal_runtime *rt = fx_runtime(1, 0);
    void *self = NULL;
    fx_expect(&err, impl.create(dal_runtime_host(rt, "mlp"), &o, &spec, &self, &err), want, "", words);
    cr_assert_null(self);
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
}

Test(mlp, says_what_samples_it_takes)
{
    dal_sample_spec spec = fx_vector_spec(8, DAL_F32, 3);
    spec.modality = DAL_TEXT;
    refuse_spec(spec, DAL_E_UNSUPPORTED, "mlp takes dense vectors or images; this dataset has text samples");
    spec.modality = DAL_SPARSE;
    refuse_spec(spec, DAL_E_UNSUPPORTED, "sparse samples");
    spec = fx_vector_spec(8, DAL_F32, 1);
    refuse_spec(spec, DAL_E_INVALID, "needs 2 or more classes; this dataset has 1");
    spec = fx_vector_spec(0, DAL_F32, 3);
    refuse_spec(spec, DAL_E_INVALID, "dimension 0 is 0");
    spec = (dal_sample_spec){.struct_size = sizeof spec, .modality = DAL_IMAGE, .dtype = DAL_U8, .ndim = 3,
                             .shape = {1 << 20, 1 << 20, 1 << 20}, .n_classes = 3};
    refuse_spec(spec, DAL_E_INVALID, "at most");
    spec = fx_vector_spec(8, 9, 3);
    refuse_spec(spec, DAL_E_UNSUPPORTED, "this is type 9");
}

static void refuse_fit(fx_list *l, dal_status want, const char *words)
{
    dal_error err = DAL_ERROR_INIT;
    dal_fit_report r = {.struct_size = sizeof r};
    const options o = defaults((const int64_t[]){8}, 1);
    fx_subject s = make(&o, &l->s.spec, 2);
    const dal_fit f = {.struct_size = sizeof f, .train = &l->s};
    fx_expect(&err, impl.fit(s.self, &f, &r, &err), want, "", words);
    fx_subject_drop(&s);
    fx_list_free(l);
}

Test(mlp, refuses_samples_it_cannot_learn_from)
{
    fx_list *l = fx_clusters(600, 5, 3, DAL_F32, 0.1, 1);
    ((float *)l->data)[300 * 5 + 2] = NAN;
    refuse_fit(l, DAL_E_INVALID, "training sample 1300 has the value nan at place 2");
    l = fx_clusters(600, 5, 3, DAL_F32, 0.1, 1);
    l->fail = DAL_E_IO;
    refuse_fit(l, DAL_E_IO, "the disk is gone");
    l = fx_clusters(600, 5, 3, DAL_F32, 0.1, 1);
    l->classes[7] = DAL_LABEL_OOD;
    refuse_fit(l, DAL_E_INVALID, "training sample 1007 has class -2; expected 0..2");
    l = fx_clusters(4, 5, 3, DAL_F32, 0.1, 1);
    l->s.weights = l->weights = calloc(4, sizeof *l->weights);
    refuse_fit(l, DAL_E_INVALID, "the weights of all training samples are 0");
    l = fx_clusters(4, 5, 3, DAL_F32, 0.1, 1);
    l->s.weights = l->weights = calloc(4, sizeof *l->weights);
    l->weights[1] = -1;
    refuse_fit(l, DAL_E_INVALID, "training sample 1001 has the weight -1");
    l = fx_clusters(4, 5, 3, DAL_F32, 0.1, 1);
    l->s.n = 0;
    refuse_fit(l, DAL_E_INVALID, "no labelled samples");
}

static int32_t now(void *ctx)
{
    (void)ctx;
    return 1;
}

Test(mlp, stops_when_the_user_wants)
{
    fx_list *l = fx_clusters(50, 5, 3, DAL_F32, 0.1, 1);
    dal_error err = DAL_ERROR_INIT;
    dal_fit_report r = {.struct_size = sizeof r};
    const options o = defaults((const int64_t[]){8}, 1);
    const dal_runtime_config config = {.struct_size = sizeof config, .threads = 1, .cancelled = now};
    fx_subject s = {.rt = dal_runtime_new(&config, &err), .impl = &impl};
    cr_assert_eq(impl.create(dal_runtime_host(s.rt, "mlp"), &o, &l->s.spec, &s.self, &err), DAL_OK);
    const dal_fit f = {.struct_size = sizeof f, .train = &l->s};
    fx_expect(&err, impl.fit(s.self, &f, &r, &err), DAL_E_CANCELLED, "", "epoch 1");
    fx_subject_drop(&s);
    fx_list_free(l);
}

Test(mlp, gives_everything_back_whichever_allocation_fails)
{
    fx_list *l = fx_clusters(50, 5, 3, DAL_U8, 0.1, 1);
    options o = defaults((const int64_t[]){8}, 1);
    o.control.validation = 0.2;
    o.control.patience = 3;
    int worked = 0;
    for (int n = 1; n < 200 && !worked; n++) {
        dal_error err = DAL_ERROR_INIT;
        dal_fit_report r = {.struct_size = sizeof r};
        dal_runtime_config config = {.struct_size = sizeof config, .threads = 1, .fail_alloc = n};
        dal_runtime *rt = dal_runtime_new(&config, &err);
        const dal_host *host = dal_runtime_host(rt, "mlp");
        const dal_fit f = {.struct_size = sizeof f, .train = &l->s};
        float z[50 * 3];
        void *self = NULL;
        const dal_batch x = fx_batch(l, 0, 50);
        dal_status st = impl.create(host, &o, &l->s.spec, &self, &err);
        if (st == DAL_OK)
            st = impl.fit(self, &f, &r, &err);
        if (st == DAL_OK)
            st = impl.predict(self, &x, z, &err);
        worked = st == DAL_OK;
        cr_assert(worked || st == DAL_E_NOMEM, "allocation %d: status %d: %s", n, st, err.text);
        impl.destroy(self);
        cr_assert_eq(dal_runtime_allocated(rt), 0, "allocation %d", n);
        dal_runtime_free(rt);
    }
    cr_assert(worked);
    fx_list_free(l);
}

/* ---- save, load, go on ------------------------------------------------------------------------------ */

static fx_subject trained(const options *o, const fx_list *l)
{
    fx_subject s = make(o, &l->s.spec, 2);
    fx_fit(&impl, s.self, l, 0, 0);
    return s;
}

Test(mlp, loads_the_same_bits_and_goes_on_from_them)
{
    fx_list *l = fx_clusters(100, 12, 3, DAL_U8, 0.3, 1);
    dal_error err = DAL_ERROR_INIT;
    options o = defaults((const int64_t[]){9, 7}, 2);
    o.epochs = 3;
    fx_subject a = trained(&o, l), b = make(&o, &l->s.spec, 1);
    fx_bytes saved = fx_save(&impl, a.self);
    saved.chunk = 5; /* a slow stream */
    cr_assert_eq(fx_load(&impl, b.self, &saved, &err), DAL_OK, "%s", err.text);
    float *want = fx_predict(&impl, a.self, l, 100), *got = fx_predict(&impl, b.self, l, 100);
    cr_assert_arr_eq(got, want, 300 * sizeof *got);
    fx_fit(&impl, a.self, l, 1, 1);
    fx_fit(&impl, b.self, l, 1, 1);
    float *want_warm = fx_predict(&impl, a.self, l, 100), *got_warm = fx_predict(&impl, b.self, l, 100);
    cr_assert_arr_eq(got_warm, want_warm, 300 * sizeof *got);
    fx_fit(&impl, b.self, l, 1, 0);
    float *cold = fx_predict(&impl, b.self, l, 100);
    cr_assert_neq(memcmp(cold, want_warm, 300 * sizeof *got), 0);
    free(want), free(got), free(want_warm), free(got_warm), free(cold), free(saved.data);
    fx_subject_drop(&a);
    fx_subject_drop(&b);
    fx_list_free(l);
}

Test(mlp, trains_each_round_as_if_it_were_the_first)
{
    fx_list *l = fx_clusters(100, 12, 3, DAL_F32, 0.3, 1);
    options o = defaults((const int64_t[]){9}, 1);
    o.epochs = 3;
    fx_subject a = trained(&o, l), b = make(&o, &l->s.spec, 1);
    fx_fit(&impl, a.self, l, 5, 0);
    fx_fit(&impl, b.self, l, 5, 0);
    float *want = fx_predict(&impl, a.self, l, 100), *got = fx_predict(&impl, b.self, l, 100);
    cr_assert_arr_eq(got, want, 300 * sizeof *got);
    fx_fit(&impl, b.self, l, 6, 0);
    float *other = fx_predict(&impl, b.self, l, 100);
    cr_assert_neq(memcmp(other, want, 300 * sizeof *got), 0, "another round draws other numbers");
    free(want), free(got), free(other);
    fx_subject_drop(&a);
    fx_subject_drop(&b);
    fx_list_free(l);
}

Test(mlp, refuses_bytes_that_are_no_model_of_its_kind_and_keeps_its_weights)
{
    fx_list *l = fx_clusters(40, 6, 3, DAL_F32, 0.3, 1);
    dal_error err = DAL_ERROR_INIT;
    options o = defaults((const int64_t[]){5}, 1), wider = defaults((const int64_t[]){6}, 1),
            deeper = defaults((const int64_t[]){5, 5}, 2);
    fx_subject a = trained(&o, l), b = make(&wider, &l->s.spec, 1), c = make(&deeper, &l->s.spec, 1);
    fx_bytes good = fx_save(&impl, a.self);
    float *want = fx_predict(&impl, a.self, l, 40);

    fx_expect(&err, fx_load(&impl, b.self, &good, &err), DAL_E_FORMAT, "",
              "tensor 'hidden1.weight' is F32 [5, 6]; mlp has F32 [6, 6] here");
    fx_expect(&err, fx_load(&impl, c.self, &good, &err), DAL_E_FORMAT, "", "mlp has ");
    for (size_t n = 0; n < good.n; n++) { /* cut short anywhere */
        fx_bytes cut = {good.data, n, 0, 0};
        fx_expect(&err, fx_load(&impl, a.self, &cut, &err), DAL_E_FORMAT, "", "a saved model: ");
    }
    for (size_t at = 0; at < good.n; at++) { /* any bit flipped */
        good.data[at] ^= 0x40;
        cr_assert_eq(fx_load(&impl, a.self, &good, &err), DAL_E_FORMAT, "byte %zu", at);
        good.data[at] ^= 0x40;
    }
    float *got = fx_predict(&impl, a.self, l, 40);
    cr_assert_arr_eq(got, want, 120 * sizeof *got);
    free(want), free(got), free(good.data);
    fx_subject_drop(&a);
    fx_subject_drop(&b);
    fx_subject_drop(&c);
    fx_list_free(l);
}
