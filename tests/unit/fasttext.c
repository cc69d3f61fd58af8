#include "tests/unit/models.h"

#include "plugins/models/fasttext.c"

static const options plain = {.dim = 8, .word_ngrams = 1, .min_count = 1, .epochs = 30, .learning_rate = 0.5,
                              .mc_dropout = 0.5};

/* Texts in memory. */
typedef struct text_list {
    dal_samples s;
    const char *const *texts;
    int32_t *classes;
    float *weights;
    char *data; /* one after the other, as a batch */
    int64_t *offsets;
} text_list;

static dal_status list_sizes(const dal_samples *s, const int64_t *rows, int64_t n, int64_t *out, dal_error *err)
{
    const text_list *l = s->impl;
    (void)err;
    for (int64_t i = 0; i < n; i++)
        out[i] = (int64_t)strlen(l->texts[rows[i]]);
    return DAL_OK;
}

static dal_status list_read(const dal_samples *s, const int64_t *rows, int64_t n, dal_batch *out, dal_error *err)
{
    const text_list *l = s->impl;
    (void)err;
    for (int64_t i = 0; i < n; i++)
        memcpy((char *)out->data + out->offsets[i], l->texts[rows[i]], strlen(l->texts[rows[i]]));
    return DAL_OK;
}

/* Text i is of class i % c. */
static text_list *list_of(const char *const *texts, int64_t n, int64_t c)
{
    text_list *l = calloc(1, sizeof *l);
    l->texts = texts;
    l->classes = malloc((size_t)n * sizeof *l->classes);
    l->offsets = calloc((size_t)n + 1, sizeof *l->offsets);
    for (int64_t i = 0; i < n; i++) {
        l->classes[i] = (int32_t)(i % c);
        l->offsets[i + 1] = l->offsets[i] + (int64_t)strlen(texts[i]);
    }
    l->data = malloc((size_t)l->offsets[n] + 1);
    for (int64_t i = 0; i < n; i++)
        memcpy(l->data + l->offsets[i], texts[i], strlen(texts[i]));
    l->s = (dal_samples){.struct_size = sizeof l->s, .impl = l, .n = n, .classes = l->classes, .sizes = list_sizes,
                         .read = list_read, .spec = {sizeof l->s.spec, DAL_TEXT, DAL_U8, 0, {0}, c}};
    return l;
}

static void free_list(text_list *l)
{
    free(l->classes);
    free(l->weights);
    free(l->data);
    free(l->offsets);
    free(l);
}

static const char *const small[] = {"a good film", "a bad film", "Good, good!", "bad BAD", "so good", "so bad a film"};

static void *make(dal_runtime *rt, const options *o, const text_list *l)
{
    void *m = NULL;
    dal_error err = DAL_ERROR_INIT;
    cr_assert_eq(impl.create(dal_runtime_host(rt, "fasttext"), o, &l->s.spec, &m, &err), DAL_OK, "%s", err.text);
    return m;
}

static dal_fit_report train_on(void *m, const text_list *l, int64_t round)
{
    dal_error err = DAL_ERROR_INIT;
    dal_fit_report report = {.struct_size = sizeof report};
    const dal_fit f = {.struct_size = sizeof f, .round = round, .train = &l->s};
    cr_assert_eq(impl.fit(m, &f, &report, &err), DAL_OK, "%s", err.text);
    return report;
}

static void outputs(void *m, const char *text, float *z, float *h)
{
    int64_t offsets[2] = {0, (int64_t)strlen(text)};
    const dal_sample_spec spec = {sizeof spec, DAL_TEXT, DAL_U8, 0, {0}, ((fasttext *)m)->c};
    const dal_batch x = {sizeof x, 0, &spec, 1, (void *)(uintptr_t)text, offsets, NULL};
    float room[64];
    dal_error err = DAL_ERROR_INIT;
    cr_assert_eq(features(m, &x, h ? h : room, z, &err), DAL_OK, "%s", err.text);
    cr_assert_eq(impl.predict(m, &x, z, &err), DAL_OK, "%s", err.text);
}

Test(fasttext, learns_which_words_matter)
{
    float z[2];
    dal_runtime *rt = fx_runtime(1, 1);
    text_list *l = list_of(small, 6, 2);
    void *m = make(rt, &plain, l);
    const dal_fit_report report = train_on(m, l, 0);
    cr_assert_eq(report.train_accuracy, 1);
    cr_assert_eq(report.steps, 180);
    outputs(m, "what a GOOD thing", z, NULL);
    cr_assert_gt(z[0], z[1] + 1);
    outputs(m, "bad.", z, NULL);
    cr_assert_gt(z[1], z[0] + 1);
    impl.destroy(m);
    free_list(l);
    dal_runtime_free(rt);
}

Test(fasttext, learns_the_same_with_any_number_of_threads)
{
    dal_runtime *one = fx_runtime(1, 7), *two = fx_runtime(2, 7);
    text_list *l = list_of(small, 6, 2);
    void *a = make(one, &plain, l), *b = make(two, &plain, l);
    train_on(a, l, 3);
    train_on(b, l, 3);
    fx_bytes x = fx_save(&impl, a), y = fx_save(&impl, b);
    cr_assert_eq(x.n, y.n);
    cr_assert_arr_eq(x.data, y.data, x.n);
    train_on(b, l, 4); /* another round, another start */
    free(y.data);
    y = fx_save(&impl, b);
    cr_assert_neq(memcmp(x.data, y.data, x.n), 0);
    free(x.data);
    free(y.data);
    impl.destroy(a);
    impl.destroy(b);
    free_list(l);
    dal_runtime_free(one);
    dal_runtime_free(two);
}

/* One step on one text, in double, from the vectors that a fit with a learning rate of almost nothing leaves. */
Test(fasttext, takes_the_gradient_step_of_its_loss)
{
    static const char *const text[] = {"one two two"};
    const options still = {.dim = 3, .word_ngrams = 1, .min_count = 1, .epochs = 1, .learning_rate = 1e-30};
    const options moving = {.dim = 3, .word_ngrams = 1, .min_count = 1, .epochs = 2, .learning_rate = 0.8};
    dal_runtime *rt = fx_runtime(1, 5);
    text_list *l = list_of(text, 1, 2);
    void *a = make(rt, &still, l), *b = make(rt, &moving, l);
    train_on(a, l, 0);
    train_on(b, l, 0);
    double e[2][3], w[2][3] = {{0}}, bias[2] = {0}, h[3];
    for (int i = 0; i < 2; i++)
        for (int j = 0; j < 3; j++)
            e[i][j] = (double)((fasttext *)a)->vectors[i * 3 + j];
    for (int k = 0; k < 2; k++) { /* the rates are .8 and .4 */
        double z[2], g[2], dh[3], rate = 0.8 - 0.4 * k;
        for (int j = 0; j < 3; j++)
            h[j] = (e[0][j] + 2 * e[1][j]) / 3;
        for (int c = 0; c < 2; c++)
            z[c] = bias[c] + w[c][0] * h[0] + w[c][1] * h[1] + w[c][2] * h[2];
        for (int c = 0; c < 2; c++)
            g[c] = exp(z[c]) / (exp(z[0]) + exp(z[1])) - (c == 0);
        for (int j = 0; j < 3; j++)
            dh[j] = g[0] * w[0][j] + g[1] * w[1][j];
        for (int c = 0; c < 2; c++) {
            bias[c] -= rate * g[c];
            for (int j = 0; j < 3; j++)
                w[c][j] -= rate * g[c] * h[j];
        }
        for (int j = 0; j < 3; j++) {
            e[0][j] -= rate * dh[j] / 3;
            e[1][j] -= 2 * rate * dh[j] / 3;
        }
    }
    const fasttext *m = b;
    for (int j = 0; j < 3; j++) {
        for (int i = 0; i < 2; i++) {
            cr_assert_float_eq(m->vectors[i * 3 + j], e[i][j], 1e-6);
            cr_assert_float_eq(m->last[i * 3 + j], w[i][j], 1e-6);
        }
    }
    cr_assert_float_eq(m->last[6], bias[0], 1e-6);
    impl.destroy(a);
    impl.destroy(b);
    free_list(l);
    dal_runtime_free(rt);
}

/* ---- tokens ----------------------------------------------------------------------------------- */

static int64_t words_of(const options *o, const char *text, int64_t *distinct)
{
    const char *const texts[] = {text};
    dal_runtime *rt = fx_runtime(1, 1);
    text_list *l = list_of(texts, 1, 2);
    fasttext *m = make(rt, o, l);
    int64_t all = 0;
    train_on(m, l, 0);
    for (int64_t i = 0; i < m->tokens.n; i++)
        all += m->tokens.count[i];
    *distinct = m->tokens.n;
    impl.destroy(m);
    free_list(l);
    dal_runtime_free(rt);
    return all;
}

Test(fasttext, counts_words_and_their_sequences)
{
    options o = plain;
    int64_t distinct;
    cr_assert_eq(words_of(&o, "To be, or not to be?", &distinct), 6);
    cr_assert_eq(distinct, 4);
    o.word_ngrams = 3; /* 5 pairs, 4 triples; "to be" comes twice */
    cr_assert_eq(words_of(&o, "To be, or not to be?", &distinct), 15);
    cr_assert_eq(distinct, 12);
    o.word_ngrams = 1;
    o.char_min = 3;
    o.char_max = 4; /* <été>: 5 characters: 3 of three, 2 of four */
    cr_assert_eq(words_of(&o, "Été", &distinct), 6);
    cr_assert_eq(words_of(&o, "", &distinct), 0);
    o = plain;
    o.min_count = 2;
    cr_assert_eq(words_of(&o, "To be, or not to be?", &distinct), 4);
    cr_assert_eq(distinct, 2);
}

Test(fasttext, knows_the_order_of_words_by_their_sequences_alone)
{
    float a[2], b[2];
    options o = plain;
    dal_runtime *rt = fx_runtime(1, 1);
    text_list *l = list_of(small, 6, 2);
    void *m = make(rt, &o, l);
    train_on(m, l, 0);
    outputs(m, "good so bad film", a, NULL);
    outputs(m, "film bad so good", b, NULL);
    cr_assert_float_eq(a[0], b[0], 1e-5);
    impl.destroy(m);
    o.word_ngrams = 2;
    m = make(rt, &o, l);
    train_on(m, l, 0);
    outputs(m, "good so bad film", a, NULL);
    outputs(m, "film bad so good", b, NULL);
    cr_assert_gt(fabsf(a[0] - b[0]), 1e-3f);
    impl.destroy(m);
    free_list(l);
    dal_runtime_free(rt);
}

Test(fasttext, takes_texts_of_unknown_words_by_its_bias_alone)
{
    float z[2], h[8];
    dal_runtime *rt = fx_runtime(1, 1);
    text_list *l = list_of(small, 6, 2);
    fasttext *m = make(rt, &plain, l);
    train_on(m, l, 0);
    outputs(m, "xyzzy", z, h);
    for (int j = 0; j < 8; j++)
        cr_assert_eq(h[j], 0);
    cr_assert_eq(z[0], m->last[16]);
    outputs(m, "", z, h);
    cr_assert_eq(z[1], m->last[17]);
    impl.destroy(m);
    free_list(l);
    dal_runtime_free(rt);
}

/* ---- what it offers --------------------------------------------------------------------------- */

Test(fasttext, gives_outputs_that_follow_from_features_and_last_layer)
{
    float z[2], h[8];
    dal_matrix w;
    const float *b;
    dal_runtime *rt = fx_runtime(1, 1);
    text_list *l = list_of(small, 6, 2);
    void *m = make(rt, &plain, l);
    const dal_model_last_layer *last = impl.get_extension(m, DAL_CAP_LAST_LAYER);
    train_on(m, l, 0);
    outputs(m, "so good a film", z, h);
    cr_assert_eq(last->last_layer(m, &w, &b, NULL), DAL_OK);
    for (int k = 0; k < 2; k++) {
        double sum = (double)b[k];
        for (int j = 0; j < 8; j++)
            sum += (double)w.data[k * w.stride + j] * (double)h[j];
        cr_assert_float_eq(z[k], sum, 1e-5);
    }
    impl.destroy(m);
    free_list(l);
    dal_runtime_free(rt);
}

Test(fasttext, masks_the_same_features_of_all_texts_of_a_pass)
{
    enum { PASSES = 400 };
    static float all[PASSES * 6 * 2], some[2 * 6 * 2];
    float z[2];
    dal_runtime *rt = fx_runtime(1, 1);
    text_list *l = list_of(small, 6, 2);
    void *m = make(rt, &plain, l);
    const dal_model_mc *table = impl.get_extension(m, DAL_CAP_MC);
    const dal_rng stream = dal_rng_from_key(3);
    const dal_batch x = {sizeof x, 0, &l->s.spec, 6, l->data, l->offsets, NULL};
    double mean = 0;
    train_on(m, l, 0);
    cr_assert_eq(table->mc(m, &x, &stream, 0, PASSES, all, NULL), DAL_OK);
    cr_assert_eq(table->mc(m, &x, &stream, 7, 2, some, NULL), DAL_OK);
    cr_assert_arr_eq(some, all + 7 * 12, sizeof some);
    outputs(m, small[0], z, NULL);
    for (int k = 0; k < PASSES; k++)
        mean += (double)all[k * 12] / PASSES;
    cr_assert_float_eq(mean, z[0], 0.2 * fabs((double)z[0]) + 0.1);
    impl.destroy(m);
    free_list(l);
    dal_runtime_free(rt);
}

Test(fasttext, comes_back_from_bytes_it_does_not_trust)
{
    float z[2], again[2];
    dal_error err = DAL_ERROR_INIT;
    dal_runtime *rt = fx_runtime(1, 1);
    text_list *l = list_of(small, 6, 2);
    void *m = make(rt, &plain, l), *back = make(rt, &plain, l);
    train_on(m, l, 0);
    fx_bytes b = fx_save(&impl, m);
    outputs(m, "so good", z, NULL);
    b.chunk = 7;
    cr_assert_eq(fx_load(&impl, back, &b, &err), DAL_OK, "%s", err.text);
    outputs(back, "so good", again, NULL);
    cr_assert_arr_eq(z, again, sizeof z);
    for (size_t i = 0; i < b.n; i += 3) { /* any one byte */
        b.data[i] ^= 0x40;
        cr_assert_eq(fx_load(&impl, back, &b, &err), DAL_E_FORMAT, "byte %zu: %s", i, err.text);
        b.data[i] ^= 0x40;
    }
    for (size_t n = 0; n < b.n; n += 5) {
        fx_bytes cut = {b.data, n, 0, 0};
        cr_assert_eq(fx_load(&impl, back, &cut, &err), DAL_E_FORMAT, "%zu bytes: %s", n, err.text);
    }
    outputs(back, "so good", again, NULL); /* what it was before, it still is */
    cr_assert_arr_eq(z, again, sizeof z);
    free(b.data);
    impl.destroy(m);
    impl.destroy(back);
    free_list(l);
    dal_runtime_free(rt);
}

Test(fasttext, says_what_it_cannot_work_with)
{
    void *m = NULL;
    options o = plain;
    dal_error err = DAL_ERROR_INIT;
    dal_runtime *rt = fx_runtime(1, 1);
    const dal_host *host = dal_runtime_host(rt, "fasttext");
    const dal_sample_spec image = {sizeof image, DAL_IMAGE, DAL_U8, 3, {1, 2, 2}, 2};
    const dal_sample_spec text = {sizeof text, DAL_TEXT, DAL_U8, 0, {0}, 2};
    cr_assert_eq(impl.create(host, &o, &image, &m, &err), DAL_E_INVALID);
    cr_assert_str_eq(err.text, "fasttext reads texts; these samples are images");
    o.char_max = 3;
    cr_assert_eq(impl.create(host, &o, &text, &m, &err), DAL_E_INVALID);
    cr_assert_str_eq(err.key, "char_max");
    o = plain;
    o.learning_rate = 100;
    o.epochs = 2000;
    text_list *l = list_of(small, 6, 2);
    l->weights = calloc(6, sizeof *l->weights);
    l->s.weights = l->weights;
    m = make(rt, &plain, l);
    dal_fit_report report = {.struct_size = sizeof report};
    const dal_fit f = {.struct_size = sizeof f, .train = &l->s};
    cr_assert_eq(impl.fit(m, &f, &report, &err), DAL_E_INVALID); /* all weights are 0 */
    impl.destroy(m);
    free_list(l);
    dal_runtime_free(rt);
}
