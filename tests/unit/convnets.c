/* Models of layers, shown on the small networks. */
#include "tests/unit/saved.h"

#include "plugins/models/convnets.c"
#include "sdk/lib/model/nn_model.h"

static const options plain = {{.epochs = 15, .batch_size = 16, .optimizer = DAL_NN_BY_ADAM, .learning_rate = 0.003,
                               .momentum = 0.9, .mc_dropout = 0.5}};

/* Clusters of 12 x 12 images, u8. */
static fx_list *images(int64_t n, uint64_t seed)
{
    fx_list *l = fx_clusters(n, 144, 4, DAL_U8, 0.15, seed);
    l->s.spec.modality = DAL_IMAGE;
    l->s.spec.ndim = 3;
    l->s.spec.shape[0] = 1;
    l->s.spec.shape[1] = l->s.spec.shape[2] = 12;
    return l;
}

static void *make(dal_runtime *rt, const options *o, const dal_sample_spec *spec)
{
    void *self = NULL;
    dal_error err = DAL_ERROR_INIT;
    cr_assert_eq(cnn_small_impl.create(dal_runtime_host(rt, "cnn-small"), o, spec, &self, &err), DAL_OK, "%s",
                 err.text);
    return self;
}

Test(convnets, learn_what_there_is_to_learn)
{
    dal_runtime *rt = fx_runtime(2, 1);
    fx_list *train = images(80, 1), *test = images(100, 2);
    void *self = make(rt, &plain, &train->s.spec);
    const dal_fit_report r = fx_fit(&cnn_small_impl, self, train, 0, 0);
    float *z = fx_predict(&cnn_small_impl, self, test, 100);
    cr_assert(r.epochs == 15 && r.steps == 75 && r.train_accuracy > 0.95);
    cr_assert_gt(fx_accuracy(z, test), 0.9);
    free(z);
    cnn_small_impl.destroy(self);
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
    fx_list_free(train);
    fx_list_free(test);
}

static uint32_t backend; /* of the test's models */
static uint32_t feed;    /* DAL_NN_FEED_... */

static float *outputs_of(int threads, int64_t block, fx_bytes *saved)
{
    dal_runtime *rt = fx_runtime(threads, 1);
    options o = plain;
    o.nn.backend = backend;
    o.nn.epochs = 2;
    o.nn.crop = 2;
    o.nn.flip = 1;
    o.nn.dropout = 0.3;
    fx_list *train = images(50, 1);
    void *self = make(rt, &o, &train->s.spec);
    ((dal_nn_model *)self)->fine.feed = feed;
    fx_fit(&cnn_small_impl, self, train, 3, 0);
    float *z = fx_predict(&cnn_small_impl, self, train, block);
    if (saved)
        *saved = fx_save(&cnn_small_impl, self);
    cnn_small_impl.destroy(self);
    dal_runtime_free(rt);
    fx_list_free(train);
    return z;
}

static void give_the_same_bits(void)
{
    fx_bytes saved;
    float *one = outputs_of(1, 50, &saved), *many = outputs_of(3, 7, NULL);
    cr_assert_eq(memcmp(one, many, 200 * sizeof *one), 0);
    dal_runtime *rt = fx_runtime(1, 9);
    fx_list *train = images(50, 1);
    options o = plain;
    o.nn.backend = backend;
    o.nn.dropout = 0.3;
    void *self = make(rt, &o, &train->s.spec);
    dal_error err = DAL_ERROR_INIT;
    cr_assert_eq(fx_load(&cnn_small_impl, self, &saved, &err), DAL_OK, "%s", err.text);
    float *loaded = fx_predict(&cnn_small_impl, self, train, 50);
    cr_assert_eq(memcmp(one, loaded, 200 * sizeof *one), 0);
    saved.data[saved.n - 1] ^= 1;
    fx_expect(&err, fx_load(&cnn_small_impl, self, &saved, &err), DAL_E_FORMAT, "", "damaged");
    saved.n -= 5;
    fx_expect(&err, fx_load(&cnn_small_impl, self, &saved, &err), DAL_E_FORMAT, "",
              "a saved model: tensor 'stage3.norm2.running_var' lies at bytes");
    cnn_small_impl.destroy(self);
    dal_runtime_free(rt);
    fx_list_free(train);
    free(saved.data);
    free(one);
    free(many);
    free(loaded);
}

Test(convnets, give_the_same_bits_with_any_threads_in_any_blocks_and_after_loading)
{
    for (backend = DAL_NN_AUTO; backend <= DAL_NN_OPENBLAS; backend++)
        give_the_same_bits();
}

Test(convnets, move_and_mirror_alike_in_batches_made_ahead)
{
    float *made[3];
    for (feed = DAL_NN_FEED_AUTO; feed <= DAL_NN_FEED_NEVER; feed++)
        made[feed] = outputs_of(2, 50, NULL);
    cr_assert_eq(memcmp(made[DAL_NN_FEED_ALWAYS], made[DAL_NN_FEED_NEVER], 200 * sizeof(float)), 0);
    cr_assert_eq(memcmp(made[DAL_NN_FEED_ALWAYS], made[DAL_NN_FEED_AUTO], 200 * sizeof(float)), 0);
    for (int i = 0; i < 3; i++)
        free(made[i]);
}

Test(convnets, take_one_back_end_as_well_as_another)
{
    backend = DAL_NN_AUTO;
    float *best = outputs_of(2, 50, NULL);
    backend = DAL_NN_OPENBLAS;
    float *plain_one = outputs_of(2, 50, NULL);
    for (int i = 0; i < 200; i++)
        cr_assert_float_eq((double)best[i], (double)plain_one[i], 0.05 + 0.05 * fabs((double)best[i]), "output %d", i);
    free(best);
    free(plain_one);
}

Test(convnets, mask_all_samples_of_a_pass_alike)
{
    dal_runtime *rt = fx_runtime(1, 1);
    const dal_rng stream = dal_rng_from_key(4);
    for (int own = 0; own < 2; own++) {
        options o = plain;
        o.nn.epochs = 1;
        o.nn.dropout = own ? 0.4 : 0;
        fx_list *train = images(40, 1);
        void *self = make(rt, &o, &train->s.spec);
        fx_fit(&cnn_small_impl, self, train, 0, 0);
        float all[3 * 40 * 4], one[4], features[40 * 128], z[4];
        const dal_model_mc *mc = cnn_small_impl.get_extension(self, DAL_CAP_MC);
        const dal_model_features *f = cnn_small_impl.get_extension(self, DAL_CAP_FEATURES);
        const dal_model_last_layer *last = cnn_small_impl.get_extension(self, DAL_CAP_LAST_LAYER);
        dal_batch x = fx_batch(train, 0, 40);
        cr_assert_eq(mc->mc(self, &x, &stream, 0, 3, all, NULL), DAL_OK);
        cr_assert_neq(memcmp(all, all + 160, sizeof one), 0);
        for (int64_t i = 0; i < 40; i += 13) { /* alone, and from pass 2 on: the same numbers */
            const dal_batch alone = fx_batch(train, i, 1);
            cr_assert_eq(mc->mc(self, &alone, &stream, 2, 1, one, NULL), DAL_OK);
            cr_assert_eq(memcmp(one, all + (2 * 40 + i) * 4, sizeof one), 0);
        }
        dal_matrix w;
        const float *bias;
        cr_assert_eq(f->width(self), 128);
        cr_assert_eq(f->features(self, &x, features, NULL, NULL), DAL_OK);
        cr_assert_eq(last->last_layer(self, &w, &bias, NULL), DAL_OK);
        x = fx_batch(train, 5, 1);
        cr_assert_eq(cnn_small_impl.predict(self, &x, z, NULL), DAL_OK);
        for (int c = 0; c < 4; c++) {
            double sum = (double)bias[c];
            for (int64_t d = 0; d < 128; d++)
                sum += (double)w.data[c * w.stride + d] * (double)features[5 * 128 + d];
            cr_assert_float_eq(sum, (double)z[c], 1e-4);
        }
        cnn_small_impl.destroy(self);
        fx_list_free(train);
    }
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
}

Test(convnets, say_what_images_they_take)
{
    dal_runtime *rt = fx_runtime(1, 1);
    const dal_host *host = dal_runtime_host(rt, "lenet");
    dal_error err = DAL_ERROR_INIT;
    void *self = NULL;
    fx_list *l = images(4, 1);
    fx_expect(&err, lenet_impl.create(host, &plain, &l->s.spec, &self, &err), DAL_E_INVALID, "",
              "lenet does not take images of 1 x 12 x 12: layer 'conv2': a kernel of 5");
    const dal_sample_spec vectors = fx_vector_spec(144, DAL_F32, 3);
    fx_expect(&err, lenet_impl.create(host, &plain, &vectors, &self, &err), DAL_E_INVALID, "", "try model mlp");
    cr_assert_null(self);
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
    fx_list_free(l);
}

/* ---- in other programs -------------------------------------------------------------------------- */

Test(convnets, give_the_same_logits_in_numpy_once_saved)
{
    dal_runtime *rt = fx_runtime(2, 1);
    fx_list *train = fx_clusters(40, 2 * 17 * 19, 4, DAL_U8, 0.15, 3); /* odd sides, not square */
    options o = plain;
    void *self = NULL;
    o.nn.epochs = 3;
    train->s.spec.modality = DAL_IMAGE;
    train->s.spec.ndim = 3;
    memcpy(train->s.spec.shape, (const int64_t[]){2, 17, 19}, 3 * sizeof(int64_t));
    const struct {
        const char *id;
        const dal_model_impl *impl;
    } all[] = {{"lenet", &lenet_impl}, {"cnn-small", &cnn_small_impl}};
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(all[i].impl->create(dal_runtime_host(rt, all[i].id), &o, &train->s.spec, &self, NULL), DAL_OK);
        fx_fit(all[i].impl, self, train, 0, 0);
        fx_numpy_agrees(all[i].impl, self, all[i].id, train, 40);
        all[i].impl->destroy(self);
    }
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
    fx_list_free(train);
}

Test(convnets, survive_each_allocation_that_fails_while_saved_and_loaded)
{
    fx_list *train = images(20, 1);
    options o = plain;
    o.nn.epochs = 1;
    fx_memory_ends_while_saving(&cnn_small_impl, &o, train);
    fx_list_free(train);
}

Test(convnets, are_saved_as_tensors_of_the_shapes_that_pytorch_has)
{
    static const struct {
        const char *name, *what;
    } all[] = {{"stage2.conv1.weight", "F32 [64, 32, 3, 3]"}, {"stage2.norm1.weight", "F32 [64]"},
               {"stage3.norm2.running_var", "F32 [128]"}, {"output.weight", "F32 [4, 128]"},
               {"output.bias", "F32 [4]"}};
    dal_runtime *rt = fx_runtime(1, 1);
    fx_list *train = images(20, 1);
    options o = plain;
    o.nn.epochs = 1;
    void *self = make(rt, &o, &train->s.spec);
    dal_safetensors *f;
    char text[160];
    dal_error err = DAL_ERROR_INIT;
    fx_fit(&cnn_small_impl, self, train, 0, 0);
    fx_bytes b = fx_save(&cnn_small_impl, self);
    cr_assert_eq(dal_safetensors_view(dal_runtime_host(rt, "st"), "saved", "", b.data, (int64_t)b.n, &f, &err), DAL_OK);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        const dal_tensor *t = dal_safetensors_find(f, all[i].name);
        cr_assert(t, "no tensor %s", all[i].name);
        cr_assert_str_eq(dal_tensor_describe(t, text), all[i].what);
    }
    cr_assert_eq(dal_safetensors_count(f), 6 * 5 + 2);
    cr_assert_str_eq(dal_safetensors_metadata(f, "model"), "cnn-small");
    cr_assert_null(dal_safetensors_metadata(f, "nothing"));
    dal_safetensors_close(f);
    void *other = NULL;
    cr_assert_eq(mnist_net_impl.create(dal_runtime_host(rt, "o"), &o, &train->s.spec, &other, &err), DAL_OK);
    fx_expect(&err, fx_load(&mnist_net_impl, other, &b, &err), DAL_E_FORMAT, "",
              "it is one of cnn-small; expected one of mnist-net");
    mnist_net_impl.destroy(other);
    cnn_small_impl.destroy(self);
    free(b.data);
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
    fx_list_free(train);
}
