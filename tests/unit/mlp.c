#include "tests/unit/models.h"

#include "plugins/models/mlp.c"
#include "tests/unit/dense_twin.h"

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
    subject s = make(&o, &train->s.spec, 4);
    fx_fit(&impl, s.self, train, 0, 0);
    float *want = fx_predict(&impl, s.self, train, 126);
    crowd c = {.list = train, .self = s.self};
    const dal_host *host = dal_runtime_host(s.rt, "mlp");
    cr_assert_eq(host->parallel_for(host, 40, predict_nine, &c), DAL_OK);
    for (int i = 0; i < 40; i++)
        cr_assert_arr_eq(c.out[i], want + i * 3 * 7, sizeof c.out[i]);
    free(want);
    drop_subject(&s);
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
    subject s = make(&o, &l->s.spec, 1);
    const dal_fit_report r = fx_fit(&impl, s.self, l, 0, 0);
    cr_assert_eq(r.train_accuracy, 1.0);
    cr_assert_lt(r.loss, 0.02);
    drop_subject(&s);
    fx_list_free(l);
}

Test(mlp, ends_when_the_loss_stands_still)
{
    fx_list *l = fx_clusters(50, 10, 2, DAL_F32, 0.1, 1);
    options o = defaults((const int64_t[]){8}, 1);
    o.learning_rate = 1e-12; /* nothing moves: the first epoch is the best */
    o.n_iter_no_change = 4;
    subject s = make(&o, &l->s.spec, 1);
    dal_fit_report r = fx_fit(&impl, s.self, l, 0, 0);
    cr_assert_eq(r.epochs, 1 + 5, "5 epochs more than 4 without progress");
    cr_assert_eq(r.converged, 1);
    drop_subject(&s);
    o.n_iter_no_change = 0; /* never */
    o.epochs = 30;
    s = make(&o, &l->s.spec, 1);
    r = fx_fit(&impl, s.self, l, 0, 0);
    cr_assert_eq(r.epochs, 30);
    cr_assert_eq(r.converged, 0);
    drop_subject(&s);
    fx_list_free(l);
}

Test(mlp, ends_when_the_training_accuracy_is_reached)
{
    fx_list *l = fx_clusters(200, 10, 3, DAL_F32, 0.1, 1);
    options o = defaults((const int64_t[]){16}, 1);
    o.stop_accuracy = 0.9;
    o.batch_size = 20;
    subject s = make(&o, &l->s.spec, 1);
    const dal_fit_report r = fx_fit(&impl, s.self, l, 0, 0);
    cr_assert_geq(r.train_accuracy, 0.9);
    cr_assert_lt(r.epochs, 100);
    cr_assert_eq(r.converged, 1);
    drop_subject(&s);
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
    subject s = make(&o, &l->s.spec, 1);
    const dal_fit f = {.struct_size = sizeof f, .train = &l->s};
    fx_expect(&err, impl.fit(s.self, &f, &r, &err), DAL_E_DIVERGED, "learning_rate", "with learning_rate 1e+25");
    cr_assert(strstr(err.text, "in epoch "), "%s", err.text);
    float z[2];
    const dal_batch x = fx_batch(l, 0, 1);
    fx_expect(&err, impl.predict(s.self, &x, z, &err), DAL_E_CONTRACT, "", "has not been trained");
    drop_subject(&s);
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
    subject s = make(&o, &l->s.spec, 2);
    fx_fit(&impl, s.self, l, 0, 0);
    for (int i = 0; i < 400; i++)
        l->classes[i] ^= i % 4 >= 2;
    float *z = fx_predict(&impl, s.self, l, 400);
    cr_assert_gt(fx_accuracy(z, l), 0.97);
    free(z);
    drop_subject(&s);
    fx_list_free(l);
}

Test(mlp, does_not_care_for_the_unit_of_weights)
{
    fx_list *l = fx_clusters(60, 8, 2, DAL_F32, 0.3, 1);
    options o = defaults((const int64_t[]){16}, 1);
    o.epochs = 5;
    subject s = make(&o, &l->s.spec, 1);
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
    drop_subject(&s);
    fx_list_free(l);
}

Test(dense_rows, gathers_the_same_values_from_memory_and_from_the_list)
{
    fx_list *l = fx_clusters(130, 30, 3, DAL_U8, 0.3, 1);
    float got[130 * 30], want[130 * 30];
    int64_t rows[130];
    dal_runtime *rt = fx_runtime(1, 1);
    dense_rows kept, read;
    for (int i = 0; i < 130; i++)
        rows[i] = (i * 7) % 130;
    cr_assert_eq(dense_rows_init(&kept, dal_runtime_host(rt, "t"), &l->s, 30, NULL), DAL_OK);
    read = kept;
    cr_assert(kept.all);
    read.all = NULL; /* as if there had been too many */
    cr_assert_eq(dense_rows_gather(&kept, rows, 130, want), DAL_OK);
    cr_assert_eq(dense_rows_gather(&read, rows, 130, got), DAL_OK);
    cr_assert_arr_eq(got, want, sizeof got);
    cr_assert_eq(want[30], (float)((uint8_t *)l->data)[7 * 30] / 255.0f);
    dense_rows_fini(&kept);
    dal_runtime_free(rt);
    fx_list_free(l);
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
    subject s = make(&o, &l->s.spec, 2);
    const dal_fit f = {.struct_size = sizeof f, .train = &l->s};
    fx_expect(&err, impl.fit(s.self, &f, &r, &err), want, "", words);
    drop_subject(&s);
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
    subject s = {.rt = dal_runtime_new(&config, &err)};
    cr_assert_eq(impl.create(dal_runtime_host(s.rt, "mlp"), &o, &l->s.spec, &s.self, &err), DAL_OK);
    const dal_fit f = {.struct_size = sizeof f, .train = &l->s};
    fx_expect(&err, impl.fit(s.self, &f, &r, &err), DAL_E_CANCELLED, "", "epoch 1");
    drop_subject(&s);
    fx_list_free(l);
}

Test(mlp, gives_everything_back_whichever_allocation_fails)
{
    fx_list *l = fx_clusters(50, 5, 3, DAL_U8, 0.1, 1);
    const options o = defaults((const int64_t[]){8}, 1);
    int worked = 0;
    for (int n = 1; n < 60 && !worked; n++) {
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

static subject trained(const options *o, const fx_list *l)
{
    subject s = make(o, &l->s.spec, 2);
    fx_fit(&impl, s.self, l, 0, 0);
    return s;
}

Test(mlp, loads_the_same_bits_and_goes_on_from_them)
{
    fx_list *l = fx_clusters(100, 12, 3, DAL_U8, 0.3, 1);
    dal_error err = DAL_ERROR_INIT;
    options o = defaults((const int64_t[]){9, 7}, 2);
    o.epochs = 3;
    subject a = trained(&o, l), b = make(&o, &l->s.spec, 1);
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
    drop_subject(&a);
    drop_subject(&b);
    fx_list_free(l);
}

Test(mlp, trains_each_round_as_if_it_were_the_first)
{
    fx_list *l = fx_clusters(100, 12, 3, DAL_F32, 0.3, 1);
    options o = defaults((const int64_t[]){9}, 1);
    o.epochs = 3;
    subject a = trained(&o, l), b = make(&o, &l->s.spec, 1);
    fx_fit(&impl, a.self, l, 5, 0);
    fx_fit(&impl, b.self, l, 5, 0);
    float *want = fx_predict(&impl, a.self, l, 100), *got = fx_predict(&impl, b.self, l, 100);
    cr_assert_arr_eq(got, want, 300 * sizeof *got);
    fx_fit(&impl, b.self, l, 6, 0);
    float *other = fx_predict(&impl, b.self, l, 100);
    cr_assert_neq(memcmp(other, want, 300 * sizeof *got), 0, "another round draws other numbers");
    free(want), free(got), free(other);
    drop_subject(&a);
    drop_subject(&b);
    fx_list_free(l);
}

Test(mlp, refuses_bytes_that_are_no_model_of_its_kind_and_keeps_its_weights)
{
    fx_list *l = fx_clusters(40, 6, 3, DAL_F32, 0.3, 1);
    dal_error err = DAL_ERROR_INIT;
    options o = defaults((const int64_t[]){5}, 1), wider = defaults((const int64_t[]){6}, 1),
            deeper = defaults((const int64_t[]){5, 5}, 2);
    subject a = trained(&o, l), b = make(&wider, &l->s.spec, 1), c = make(&deeper, &l->s.spec, 1);
    fx_bytes good = fx_save(&impl, a.self);
    float *want = fx_predict(&impl, a.self, l, 40);

    fx_expect(&err, fx_load(&impl, b.self, &good, &err), DAL_E_FORMAT, "hidden", "5 units in layer 1; this one has 6");
    fx_expect(&err, fx_load(&impl, c.self, &good, &err), DAL_E_FORMAT, "hidden", "2 layers; this one has 3");
    for (size_t n = 0; n < good.n; n++) { /* cut short anywhere */
        fx_bytes cut = {good.data, n, 0, 0};
        fx_expect(&err, fx_load(&impl, a.self, &cut, &err), DAL_E_FORMAT, "", "ends in its");
    }
    for (size_t at = 0; at < good.n; at++) { /* any bit flipped */
        good.data[at] ^= 0x40;
        cr_assert_eq(fx_load(&impl, a.self, &good, &err), DAL_E_FORMAT, "byte %zu", at);
        good.data[at] ^= 0x40;
    }
    float *got = fx_predict(&impl, a.self, l, 40);
    cr_assert_arr_eq(got, want, 120 * sizeof *got);
    free(want), free(got), free(good.data);
    drop_subject(&a);
    drop_subject(&b);
    drop_subject(&c);
    fx_list_free(l);
}

/* ---- extensions ------------------------------------------------------------------------------------- */

Test(mlp, offers_a_table_for_every_capability_it_names_and_no_other)
{
    fx_list *l = fx_clusters(4, 6, 3, DAL_F32, 0.3, 1);
    const options o = defaults((const int64_t[]){5}, 1);
    subject s = make(&o, &l->s.spec, 1);
    char words[1024], *save = NULL;
    strcpy(words, mlp_LTX_dal_plugin.components[0]->provides);
    int n = 0;
    for (char *w = strtok_r(words, " ", &save); w; w = strtok_r(NULL, " ", &save), n++)
        cr_assert(impl.get_extension(s.self, w), "%s", w);
    cr_assert_eq(n, 10);
    cr_assert_null(impl.get_extension(s.self, "dal.model.embed-pretrained/1"));
    cr_assert_null(impl.get_extension(s.self, "dal.model"));
    drop_subject(&s);
    fx_list_free(l);
}

Test(mlp, shows_features_stages_and_a_last_layer_that_agree)
{
    fx_list *l = fx_clusters(50, 6, 3, DAL_F32, 0.3, 1);
    dal_error err = DAL_ERROR_INIT;
    options o = defaults((const int64_t[]){8, 5}, 2);
    o.epochs = 5;
    subject s = trained(&o, l);
    const dal_model_features *features = impl.get_extension(s.self, DAL_CAP_FEATURES);
    const dal_model_stages *stages = impl.get_extension(s.self, DAL_CAP_STAGES);
    const dal_model_last_layer *last = impl.get_extension(s.self, DAL_CAP_LAST_LAYER);
    const dal_batch x = fx_batch(l, 0, 50);
    float f[50 * 5], alone[50 * 5], z[50 * 3], first[50 * 8], second[50 * 5];
    const float *bias;
    dal_matrix w;
    cr_assert_eq(features->width(s.self), 5);
    cr_assert_eq(features->features(s.self, &x, f, z, &err), DAL_OK);
    cr_assert_eq(features->features(s.self, &x, alone, NULL, &err), DAL_OK);
    cr_assert_eq(stages->count(s.self), 2);
    cr_assert_eq(stages->width(s.self, 0), 8);
    cr_assert_eq(stages->stages(s.self, &x, (float *[]){first, second}, &err), DAL_OK);
    cr_assert_eq(stages->stages(s.self, &x, (float *[]){NULL, alone}, &err), DAL_OK);
    cr_assert_arr_eq(alone, f, sizeof f);
    cr_assert_arr_eq(second, f, sizeof f);
    float *want = fx_predict(&impl, s.self, l, 50);
    cr_assert_arr_eq(z, want, sizeof z);
    cr_assert_eq(last->last_layer(s.self, &w, &bias, &err), DAL_OK);
    cr_assert(w.rows == 3 && w.cols == 5);
    for (int i = 0; i < 50; i++)
        for (int k = 0; k < 3; k++) {
            double sum = (double)bias[k];
            for (int j = 0; j < 5; j++)
                sum += (double)f[i * 5 + j] * (double)w.data[k * w.stride + j];
            cr_assert_float_eq(sum, (double)z[i * 3 + k], 1e-5);
        }
    free(want);
    drop_subject(&s);
    fx_list_free(l);
}

/* Passes of all samples, in blocks of samples and of passes: [n_passes, n, c]. */
static float *mc_in_blocks(void *self, const fx_list *l, int64_t n_passes, int64_t block, int64_t passes)
{
    const dal_model_mc *ext = impl.get_extension(self, DAL_CAP_MC);
    const int64_t n = l->s.n, c = l->s.spec.n_classes;
    const dal_rng stream = dal_rng_from_key(77);
    dal_error err = DAL_ERROR_INIT;
    float *out = malloc((size_t)(n_passes * n * c) * sizeof *out), *part = malloc((size_t)(passes * block * c) * 4);
    for (int64_t i = 0; i < n; i += block)
        for (int64_t k = 0; k < n_passes; k += passes) {
            const int64_t rows = n - i < block ? n - i : block, here = n_passes - k < passes ? n_passes - k : passes;
            const dal_batch x = fx_batch(l, i, rows);
            cr_assert_eq(ext->mc(self, &x, &stream, k, here, part, &err), DAL_OK, "%s", err.text);
            for (int64_t p = 0; p < here; p++)
                memcpy(out + ((k + p) * n + i) * c, part + p * rows * c, (size_t)(rows * c) * sizeof *out);
        }
    free(part);
    return out;
}

static void masks_are_shared_and_pure(double dropout, const int64_t *hidden, int64_t n_hidden)
{
    enum { PASSES = 9, ROWS = 40 };
    fx_list *l = fx_clusters(ROWS, 12, 3, DAL_F32, 0.3, 1);
    options o = defaults(hidden, n_hidden);
    o.epochs = 5;
    o.dropout = dropout;
    /* equal samples 3 and 20 show whether a pass has one mask for all */
    memcpy((float *)l->data + 20 * 12, (float *)l->data + 3 * 12, 12 * sizeof(float));
    subject s = trained(&o, l);
    float *want = mc_in_blocks(s.self, l, PASSES, ROWS, PASSES), *got = mc_in_blocks(s.self, l, PASSES, 7, 2);
    cr_assert_arr_eq(got, want, PASSES * ROWS * 3 * sizeof *got);
    int differ = 0;
    for (int k = 0; k < PASSES; k++) {
        cr_assert_arr_eq(want + (k * ROWS + 3) * 3, want + (k * ROWS + 20) * 3, 3 * sizeof *want);
        differ += memcmp(want + k * ROWS * 3, want, ROWS * 3 * sizeof *want) != 0;
    }
    cr_assert_geq(differ, PASSES - 2, "passes must differ");
    free(want), free(got);
    drop_subject(&s);
    fx_list_free(l);
}

Test(mlp, masks_each_pass_alike_for_all_samples_and_blocks)
{
    masks_are_shared_and_pure(0, (const int64_t[]){30, 20}, 2);
    masks_are_shared_and_pure(0.3, (const int64_t[]){30, 20}, 2);
    masks_are_shared_and_pure(0, NULL, 0);
}

Test(mlp, drops_features_at_the_stated_rate_and_keeps_their_mean)
{
    enum { PASSES = 400 };
    fx_list *l = fx_clusters(20, 12, 3, DAL_F32, 0.3, 1);
    options o = defaults((const int64_t[]){40}, 1);
    o.epochs = 5;
    o.mc_dropout = 0.25;
    subject s = trained(&o, l);
    float *z = mc_in_blocks(s.self, l, PASSES, 20, PASSES), *plain = fx_predict(&impl, s.self, l, 20);
    for (int i = 0; i < 60; i++) { /* logits are linear in the features: their mean is the plain one */
        double mean = 0;
        for (int k = 0; k < PASSES; k++)
            mean += (double)z[k * 60 + i] / PASSES;
        cr_assert_float_eq(mean, (double)plain[i], 0.15);
    }
    free(z), free(plain);
    drop_subject(&s);
    fx_list_free(l);
}

/* The weights of a subject, in double for the twin. */
static void twin_weights(const subject *s, double *w)
{
    const dense_model *m = s->self;
    for (int64_t i = 0; i < m->net.n_weights; i++)
        w[i] = (double)m->weights[i];
}

Test(mlp, input_gradients_match_finite_differences)
{
    fx_list *l = fx_clusters(21, 6, 3, DAL_U8, 0.3, 1);
    dal_error err = DAL_ERROR_INIT;
    options o = defaults((const int64_t[]){8, 5}, 2);
    o.epochs = 20;
    subject s = trained(&o, l);
    const dal_dense *net = &((dense_model *)s.self)->net;
    const dal_model_input_gradient *ext = impl.get_extension(s.self, DAL_CAP_INPUT_GRADIENT);
    const dal_batch x = fx_batch(l, 0, 21);
    float inputs[21 * 6], z[21 * 3], along[21 * 3], g[21 * 6];
    double w[256], out[32];
    const double *values[3];
    cr_assert_eq(ext->width(s.self), 6);
    cr_assert_eq(ext->embed(s.self, &x, inputs, &err), DAL_OK);
    cr_assert_eq(ext->forward(s.self, inputs, 21, z, &err), DAL_OK);
    float *want = fx_predict(&impl, s.self, l, 21);
    cr_assert_arr_eq(z, want, sizeof z);
    for (int i = 0; i < 63; i++)
        along[i] = (float)(i % 5) - 2;
    cr_assert_eq(ext->gradient(s.self, inputs, 21, along, g, &err), DAL_OK);
    twin_weights(&s, w);
    for (int i = 0; i < 21; i++)
        for (int j = 0; j < 6; j++) {
            double change = 0;
            float moved[6];
            for (int side = -1; side <= 1; side += 2) {
                memcpy(moved, inputs + i * 6, sizeof moved);
                moved[j] += (float)side * 0x1p-13f;
                twin_forward(net, w, moved, out, values);
                for (int k = 0; k < 3; k++)
                    change += side * (double)along[i * 3 + k] * values[2][k];
            }
            cr_assert_float_eq((double)g[i * 6 + j], change / 0x1p-12, 2e-3, "sample %d, value %d", i, j);
        }
    free(want);
    drop_subject(&s);
    fx_list_free(l);
}

typedef struct soft_problem {
    const float *x, *targets;
    int n, in, c;
} soft_problem;

static double soft_mean_loss(const void *ctx, const dal_dense *net, const double *w)
{
    const soft_problem *p = ctx;
    double out[64], loss = 0;
    const double *values[8];
    for (int i = 0; i < p->n; i++) {
        twin_forward(net, w, p->x + i * p->in, out, values);
        for (int k = 0; k < p->c; k++)
            loss += (double)p->targets[i * p->c + k] * twin_cross_entropy(values[net->n_layers - 1], p->c, k);
    }
    return loss / p->n;
}

Test(mlp, loss_gradients_match_finite_differences_for_soft_targets)
{
    fx_list *l = fx_clusters(37, 6, 3, DAL_F32, 0.3, 1);
    dal_error err = DAL_ERROR_INIT;
    options o = defaults((const int64_t[]){8, 5}, 2);
    o.epochs = 10;
    subject s = trained(&o, l);
    const dense_model *m = s.self;
    const dal_model_perturb *ext = impl.get_extension(s.self, DAL_CAP_PERTURB);
    const dal_batch x = fx_batch(l, 0, 37);
    float targets[37 * 3], losses[37], g[256];
    double want[256], mean = 0, w[256];
    for (int i = 0; i < 37; i++)
        for (int k = 0; k < 3; k++)
            targets[i * 3 + k] = k == i % 3 ? 0.5f : 0.25f;
    cr_assert_eq(ext->loss_gradient(s.self, &x, targets, g, losses, &err), DAL_OK);
    const soft_problem p = {l->data, targets, 37, 6, 3};
    twin_gradient(soft_mean_loss, &p, &m->net, m->weights, want);
    cr_assert_eq(ext->n_weights(s.self), m->net.n_weights);
    for (int64_t i = 0; i < m->net.n_weights; i++)
        cr_assert_float_eq((double)g[i], want[i], 2e-6, "weight %d", (int)i);
    for (int i = 0; i < 37; i++)
        mean += (double)losses[i] / 37;
    twin_weights(&s, w);
    cr_assert_float_eq(mean, soft_mean_loss(&p, &m->net, w), 1e-6);
    drop_subject(&s);
    fx_list_free(l);
}

Test(mlp, copies_can_be_perturbed_without_the_original_noticing)
{
    fx_list *l = fx_clusters(20, 6, 3, DAL_F32, 0.3, 1);
    dal_error err = DAL_ERROR_INIT;
    options o = defaults((const int64_t[]){8, 5}, 2);
    o.epochs = 5;
    subject s = trained(&o, l);
    const dal_model_perturb *ext = impl.get_extension(s.self, DAL_CAP_PERTURB);
    void *copy = NULL;
    float *before = fx_predict(&impl, s.self, l, 20);
    cr_assert_eq(ext->copy(s.self, &copy, &err), DAL_OK);
    float *same = fx_predict(&impl, copy, l, 20);
    cr_assert_arr_eq(same, before, 60 * sizeof *same);
    int64_t next = 0;
    cr_assert_eq(ext->n_parameters(copy), 6);
    for (int64_t i = 0; i < 6; i++) { /* slices without gaps, weight and bias in turn */
        const dal_parameter *p = ext->parameter(copy, i);
        cr_assert_eq(p->offset, next);
        cr_assert_eq(p->role, i % 2 ? DAL_ROLE_BIAS : DAL_ROLE_WEIGHT);
        next += p->count;
    }
    cr_assert_eq(next, ext->n_weights(copy));
    cr_assert_str_eq(ext->parameter(copy, 2)->name, "hidden2.weight");
    cr_assert_str_eq(ext->parameter(copy, 5)->name, "output.bias");
    ext->weights(copy)[ext->parameter(copy, 5)->offset + 1] += 2;
    float *moved = fx_predict(&impl, copy, l, 20), *after = fx_predict(&impl, s.self, l, 20);
    cr_assert_arr_eq(after, before, 60 * sizeof *after);
    cr_assert_float_eq((double)moved[1], (double)before[1] + 2, 1e-5);
    cr_assert_eq(moved[0], before[0]);
    impl.destroy(copy);
    free(before), free(same), free(moved), free(after);
    drop_subject(&s);
    fx_list_free(l);
}

/* ---- companions ------------------------------------------------------------------------------------- */

enum { L_N = 30, U_N = 50, L_IN = 6, L_C = 3, L_D = 5, L_S = 8 };

/* A companion whose loss is linear in all it sees, so that its gradient is known: the sum over rows of
 * 0.01 (k + 1) logit_k + 0.02 (j + 1) feature_j + 0.03 (j + 1) stage0_j, twice that for unlabelled rows. */
typedef struct probe {
    uint32_t wants;
    int begun, epochs_ended;
    int64_t steps, rows, more_rows;
    int64_t seen[U_N]; /* unlabelled ids, of the first step */
    dal_status fail;
} probe;

static double probe_logit(int64_t k)
{
    return 0.01 * (double)(k + 1);
}

static double probe_feature(int64_t j)
{
    return 0.02 * (double)(j + 1);
}

static double probe_stage(int64_t j)
{
    return 0.03 * (double)(j + 1);
}

static dal_status probe_begin(void *self, const dal_companion_setup *setup, dal_error *err)
{
    probe *p = self;
    (void)err;
    p->begun++;
    cr_assert(setup->c == L_C && setup->d == L_D && setup->n_train == L_N && setup->n_stages == 2);
    cr_assert(setup->stage_widths[0] == L_S && setup->stage_widths[1] == L_D);
    return DAL_OK;
}

static void probe_half(const probe *p, const dal_companion_batch *b, double factor)
{
    cr_assert_eq(b->features != NULL, (p->wants & DAL_WANT_FEATURES) != 0);
    cr_assert_eq(b->stages != NULL, (p->wants & DAL_WANT_STAGES) != 0);
    for (int64_t i = 0; i < b->n; i++) {
        for (int64_t k = 0; k < L_C; k++) {
            cr_assert_eq(b->d_logits[i * L_C + k], 0.0f);
            b->d_logits[i * L_C + k] += (float)(factor * probe_logit(k));
        }
        for (int64_t j = 0; j < L_D && b->features; j++) {
            cr_assert_eq(b->d_features[i * L_D + j], 0.0f);
            if (b->stages)
                cr_assert_eq(b->stages[1][i * L_D + j], b->features[i * L_D + j]);
            b->d_features[i * L_D + j] += (float)(factor * probe_feature(j));
        }
        for (int64_t j = 0; j < L_S && b->stages; j++)
            b->d_stages[0][i * L_S + j] += (float)(factor * probe_stage(j));
    }
}

static dal_status probe_step(void *self, int64_t epoch, int64_t step, const dal_companion_batch *labelled,
                             const dal_companion_batch *unlabelled, dal_error *err)
{
    probe *p = self;
    cr_assert_eq(epoch, p->epochs_ended);
    cr_assert_geq(step, 0);
    p->steps++;
    p->rows += labelled->n;
    probe_half(p, labelled, 1);
    for (int64_t i = 0; i < labelled->n; i++) {
        const float *z = labelled->logits + i * L_C;
        double logits[L_C] = {(double)z[0], (double)z[1], (double)z[2]};
        cr_assert_eq(labelled->classes[i], (labelled->ids[i] - 1000) % L_C, "ids and classes go together");
        cr_assert_float_eq((double)labelled->losses[i], twin_cross_entropy(logits, L_C, labelled->classes[i]), 1e-5);
    }
    cr_assert_eq(unlabelled != NULL, (p->wants & DAL_WANT_UNLABELLED) != 0);
    if (unlabelled) {
        cr_assert_null(unlabelled->classes);
        cr_assert_null(unlabelled->losses);
        if (p->steps == 1)
            memcpy(p->seen, unlabelled->ids, (size_t)unlabelled->n * sizeof *p->seen);
        p->more_rows += unlabelled->n;
        probe_half(p, unlabelled, 2);
    }
    return p->fail ? dal_fail(err, p->fail, "probe", "enough") : DAL_OK;
}

static dal_status probe_epoch_end(void *self, int64_t epoch, dal_error *err)
{
    probe *p = self;
    (void)err;
    cr_assert_eq(epoch, p->epochs_ended++);
    return DAL_OK;
}

static dal_companion companion_of(probe *p)
{
    return (dal_companion){.struct_size = sizeof(dal_companion), .wants = p->wants, .self = p,
                           .begin = probe_begin, .step = probe_step, .epoch_end = probe_epoch_end};
}

/* All that two companions (one sees everything, one the logits alone) add to a full batch's loss. */
typedef struct probed {
    const fx_list *labelled, *unlabelled;
    const int64_t *more; /* [L_N] pool indices of the unlabelled rows */
} probed;

static double probe_loss(const void *ctx, const dal_dense *net, const double *w)
{
    const probed *p = ctx;
    double loss = 0, out[64];
    const double *values[3];
    for (int i = 0; i < 2 * L_N; i++) {
        const float *x = i < L_N ? (const float *)p->labelled->data + i * L_IN
                                 : (const float *)p->unlabelled->data + (p->more[i - L_N] - 1000) * L_IN;
        const double factor = i < L_N ? 1 : 2;
        twin_forward(net, w, x, out, values);
        for (int k = 0; k < L_C; k++)
            loss += (factor + (i < L_N)) * probe_logit(k) * values[2][k];
        for (int j = 0; j < L_D; j++)
            loss += factor * probe_feature(j) * values[1][j];
        for (int j = 0; j < L_S; j++)
            loss += factor * probe_stage(j) * values[0][j];
    }
    return loss;
}

/* The weights after one plain full-batch step at rate 1. */
static void one_step(subject *s, const dal_fit *f, float *after)
{
    dal_error err = DAL_ERROR_INIT;
    dal_fit_report r = {.struct_size = sizeof r};
    const dense_model *m = s->self;
    cr_assert_eq(impl.fit(s->self, f, &r, &err), DAL_OK, "%s", err.text);
    memcpy(after, m->weights, (size_t)m->net.n_weights * sizeof *after);
}

Test(mlp, companions_gradients_reach_every_weight)
{
    fx_list *l = fx_clusters(L_N, L_IN, L_C, DAL_F32, 0.3, 1), *u = fx_clusters(U_N, L_IN, L_C, DAL_F32, 0.3, 2);
    options o = defaults((const int64_t[]){L_S, L_D}, 2);
    o.optimizer = 1;
    o.momentum = 0;
    o.nesterov = 0;
    o.learning_rate = 1;
    o.epochs = 1;
    probe all = {.wants = DAL_WANT_FEATURES | DAL_WANT_STAGES | DAL_WANT_UNLABELLED}, logits = {.wants = 0};
    const dal_companion a = companion_of(&all), b = companion_of(&logits);
    const dal_companion *list[] = {&a, &b};
    const dal_fit alone = {.struct_size = sizeof alone, .train = &l->s};
    dal_fit along = alone;
    along.unlabelled = &u->s;
    along.companions = list;
    along.n_companions = 2;
    subject s = make(&o, &l->s.spec, 2);
    const dense_model *m = s.self;
    float start[256], without[256], with[256];
    double want[256];
    one_step(&s, &alone, without);
    one_step(&s, &along, with);
    cr_assert_eq(all.begun, 1);
    cr_assert_eq(all.epochs_ended, 1);
    cr_assert(all.rows == L_N && all.more_rows == L_N && logits.more_rows == 0);
    const dal_rng stream = m->host->rng(m->host, "weights", 0);
    dal_dense_draw(&m->net, &stream, start);
    const probed p = {l, u, all.seen};
    twin_gradient(probe_loss, &p, &m->net, start, want);
    int reached = 0;
    for (int64_t i = 0; i < m->net.n_weights; i++) {
        cr_assert_float_eq((double)without[i] - (double)with[i], want[i], 1e-5 * (1 + fabs(want[i])), "weight %d",
                           (int)i);
        reached += i < m->net.layer[0].bias && fabs(want[i]) > 1e-3;
    }
    cr_assert_gt(reached, 10, "the first layer must feel it");
    drop_subject(&s);
    fx_list_free(l);
    fx_list_free(u);
}

Test(mlp, companions_see_every_step_and_can_end_the_fit)
{
    fx_list *l = fx_clusters(L_N, L_IN, L_C, DAL_F32, 0.3, 1), *u = fx_clusters(7, L_IN, L_C, DAL_F32, 0.3, 2);
    options o = defaults((const int64_t[]){L_S, L_D}, 2);
    o.epochs = 3;
    o.batch_size = 8;
    o.dropout = 0.2;
    dal_error err = DAL_ERROR_INIT;
    dal_fit_report r = {.struct_size = sizeof r};
    probe p = {.wants = DAL_WANT_UNLABELLED};
    const dal_companion a = companion_of(&p);
    const dal_companion *list[] = {&a};
    const dal_fit f = {.struct_size = sizeof f, .train = &l->s, .unlabelled = &u->s, .companions = list,
                       .n_companions = 1};
    subject s = make(&o, &l->s.spec, 2);
    cr_assert_eq(impl.fit(s.self, &f, &r, &err), DAL_OK, "%s", err.text);
    cr_assert_eq(p.steps, 3 * 4);
    cr_assert(p.rows == 3 * L_N && p.more_rows == 3 * L_N, "7 unlabelled samples come round again");
    p = (probe){.wants = DAL_WANT_UNLABELLED, .fail = DAL_E_CONTRACT};
    fx_expect(&err, impl.fit(s.self, &f, &r, &err), DAL_E_CONTRACT, "probe", "enough");
    cr_assert_eq(p.steps, 1);
    drop_subject(&s);
    fx_list_free(l);
    fx_list_free(u);
}
