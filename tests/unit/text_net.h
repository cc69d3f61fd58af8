/* What textcnn and transformer are both tried by: each function is a test, TEXT_NET_TESTS makes them. */
#ifndef TESTS_TEXT_NET_H
#define TESTS_TEXT_NET_H

#include "plugins/models/text_net.h"
#include "tests/unit/models.h"

enum { TEXTS = 37, CLASSES = 3, MOST_WORDS = 14 };

/* Texts of 1..MOST_WORDS words; one of them says the class, i % CLASSES. Text 20 is text 2 again. */
typedef struct text_set {
    dal_samples s;
    char text[TEXTS][MOST_WORDS * 8];
    int64_t ids[TEXTS], offsets[TEXTS + 1];
    int32_t classes[TEXTS];
    char *data;
} text_set;

static inline dal_status text_sizes(const dal_samples *s, const int64_t *rows, int64_t n, int64_t *out, dal_error *err)
{
    const text_set *t = s->impl;
    (void)err;
    for (int64_t i = 0; i < n; i++)
        out[i] = (int64_t)strlen(t->text[rows[i]]);
    return DAL_OK;
}

static inline dal_status text_read(const dal_samples *s, const int64_t *rows, int64_t n, dal_batch *out, dal_error *err)
{
    const text_set *t = s->impl;
    (void)err;
    for (int64_t i = 0; i < n; i++)
        memcpy((char *)out->data + out->offsets[i], t->text[rows[i]], strlen(t->text[rows[i]]));
    return DAL_OK;
}

static inline text_set *text_set_new(void)
{
    static const char *const telling[CLASSES] = {"Good", "bad", "ODD"};
    text_set *t = calloc(1, sizeof *t);
    dal_rng r = dal_rng_from_key(4);
    t->data = malloc(TEXTS * sizeof t->text[0]);
    for (int64_t i = 0; i < TEXTS; i++) {
        const int64_t n = 1 + i * 5 % MOST_WORDS, where = dal_rng_below(&r, n);
        for (int64_t k = 0; k < n; k++) {
            char word[8];
            snprintf(word, sizeof word, "w%d", (int)dal_rng_below(&r, 25));
            strcat(strcat(t->text[i], k ? " " : ""), k == where ? telling[i % CLASSES] : word);
        }
        if (i == 20)
            strcpy(t->text[20], t->text[2]);
        t->classes[i] = (int32_t)(i % CLASSES);
        t->ids[i] = 500 + i;
        memcpy(t->data + t->offsets[i], t->text[i], strlen(t->text[i]));
        t->offsets[i + 1] = t->offsets[i] + (int64_t)strlen(t->text[i]);
    }
    t->s = (dal_samples){.struct_size = sizeof t->s, .impl = t, .n = TEXTS, .ids = t->ids, .classes = t->classes,
                         .sizes = text_sizes, .read = text_read,
                         .spec = {sizeof t->s.spec, DAL_TEXT, DAL_U8, 0, {0}, CLASSES}};
    return t;
}

static inline void text_set_free(text_set *t)
{
    free(t->data);
    free(t);
}

static inline dal_batch text_batch(text_set *t, int64_t first, int64_t n)
{
    return (dal_batch){sizeof(dal_batch), 0, &t->s.spec, n, t->data, t->offsets + first, NULL};
}

typedef struct text_subject {
    dal_runtime *rt;
    const dal_model_impl *impl;
    const void *options;
    void *self;
    text_set *texts;
} text_subject;

static inline text_subject subject_new(const dal_model_impl *impl, const void *options, int threads)
{
    text_subject s = {fx_runtime(threads, 7), impl, options, NULL, text_set_new()};
    dal_error err = DAL_ERROR_INIT;
    cr_assert_eq(impl->create(dal_runtime_host(s.rt, "text"), options, &s.texts->s.spec, &s.self, &err), DAL_OK, "%s",
                 err.text);
    return s;
}

static inline void subject_drop(text_subject *s)
{
    s->impl->destroy(s->self);
    cr_assert_eq(dal_runtime_allocated(s->rt), 0);
    dal_runtime_free(s->rt);
    text_set_free(s->texts);
}

static inline dal_fit_report subject_fit(text_subject *s, int64_t round, int warm)
{
    dal_error err = DAL_ERROR_INIT;
    dal_fit_report report = {.struct_size = sizeof report};
    const dal_fit f = {.struct_size = sizeof f, .round = round, .warm = (uint32_t)warm, .train = &s->texts->s};
    cr_assert_eq(s->impl->fit(s->self, &f, &report, &err), DAL_OK, "%s", err.text);
    return report;
}

static inline text_subject subject_trained(const dal_model_impl *impl, const void *options, int threads)
{
    text_subject s = subject_new(impl, options, threads);
    subject_fit(&s, 3, 0);
    return s;
}

static inline void subject_predict(const text_subject *s, void *self, float z[TEXTS * CLASSES], int64_t block)
{
    dal_error err = DAL_ERROR_INIT;
    for (int64_t i = 0; i < TEXTS; i += block) {
        const dal_batch x = text_batch(s->texts, i, TEXTS - i < block ? TEXTS - i : block);
        cr_assert_eq(s->impl->predict(self, &x, z + i * CLASSES, &err), DAL_OK, "%s", err.text);
    }
}

/* ---- the tests ----------------------------------------------------------------------------------- */

/* By the answers, for the loss of a fit has dropout in it. */
/* How many texts are of the class that is said, and the mean loss. */
static inline int heard(text_subject *s, double *loss)
{
    float z[TEXTS * CLASSES];
    int hits = 0;
    *loss = 0;
    subject_predict(s, s->self, z, TEXTS);
    for (int i = 0; i < TEXTS; i++) {
        const float *row = z + i * CLASSES, own = row[i % CLASSES];
        double sum = 0;
        hits += own >= row[0] && own >= row[1] && own >= row[2];
        for (int c = 0; c < CLASSES; c++)
            sum += exp((double)(row[c] - own));
        *loss += log(sum) / TEXTS;
    }
    return hits;
}

/* A constant rate leaps now and then, and where to is up to rounding: so it may take a while. */
static inline void learns_by_heart(const dal_model_impl *impl, const void *options)
{
    text_subject s = subject_new(impl, options, 2);
    const double first = subject_fit(&s, 0, 0).loss;
    double loss = first;
    int hits = 0;
    for (int i = 0; i < 40 && (hits < TEXTS || loss >= first / 3); i++) {
        subject_fit(&s, 0, 1);
        hits = heard(&s, &loss);
    }
    cr_assert_eq(hits, TEXTS, "%d texts", hits);
    cr_assert_lt(loss, first / 3);
    subject_drop(&s);
}

static inline void has_the_same_bits_with_any_number_of_threads(const dal_model_impl *impl, const void *options)
{
    text_subject one = subject_trained(impl, options, 1), two = subject_trained(impl, options, 2);
    fx_bytes a = fx_save(impl, one.self), b = fx_save(impl, two.self);
    cr_assert_eq(a.n, b.n);
    cr_assert_arr_eq(a.data, b.data, a.n);
    subject_fit(&two, 4, 0); /* another round, another start */
    free(b.data);
    b = fx_save(impl, two.self);
    cr_assert_neq(memcmp(a.data, b.data, a.n), 0);
    free(a.data);
    free(b.data);
    subject_drop(&one);
    subject_drop(&two);
}

static inline void shows_features_that_agree_with_its_answers(const dal_model_impl *impl, const void *options)
{
    text_subject s = subject_trained(impl, options, 1);
    const dal_model_features *features = impl->get_extension(s.self, DAL_CAP_FEATURES);
    const dal_model_last_layer *last = impl->get_extension(s.self, DAL_CAP_LAST_LAYER);
    const dal_model_stages *stages = impl->get_extension(s.self, DAL_CAP_STAGES);
    const int64_t d = features->width(s.self);
    float *h = malloc((size_t)(TEXTS * d) * sizeof *h), z[TEXTS * CLASSES], alone[TEXTS * CLASSES];
    dal_error err = DAL_ERROR_INIT;
    dal_matrix w;
    const float *bias;
    const dal_batch x = text_batch(s.texts, 0, TEXTS);
    subject_predict(&s, s.self, alone, 1);
    cr_assert_eq(features->features(s.self, &x, h, z, &err), DAL_OK, "%s", err.text);
    cr_assert_arr_eq(z, alone, sizeof z, "whichever texts are beside one");
    cr_assert_eq(last->last_layer(s.self, &w, &bias, &err), DAL_OK);
    for (int64_t i = 0; i < TEXTS * CLASSES; i++) {
        double sum = (double)bias[i % CLASSES];
        for (int64_t k = 0; k < d; k++)
            sum += (double)w.data[i % CLASSES * w.stride + k] * (double)h[i / CLASSES * d + k];
        cr_assert_float_eq((double)z[i], sum, 1e-4);
    }
    cr_assert_geq(stages->count(s.self), 1);
    float **out = calloc((size_t)stages->count(s.self), sizeof *out),
        *stage = malloc((size_t)(TEXTS * stages->width(s.self, 0)) * 4);
    out[0] = stage;
    cr_assert_eq(stages->stages(s.self, &x, out, &err), DAL_OK, "%s", err.text);
    cr_assert_arr_eq(stage + 2 * stages->width(s.self, 0), stage + 20 * stages->width(s.self, 0),
                     (size_t)stages->width(s.self, 0) * 4);
    free(out);
    free(stage);
    free(h);
    subject_drop(&s);
}

static inline void comes_back_from_a_file(const dal_model_impl *impl, const void *options)
{
    text_subject s = subject_trained(impl, options, 1);
    float want[TEXTS * CLASSES], got[TEXTS * CLASSES];
    fx_bytes b = fx_save(impl, s.self);
    dal_error err = DAL_ERROR_INIT;
    void *other = NULL;
    subject_predict(&s, s.self, want, TEXTS);
    cr_assert_eq(impl->create(dal_runtime_host(s.rt, "text"), options, &s.texts->s.spec, &other, &err), DAL_OK);
    cr_assert_eq(fx_load(impl, other, &b, &err), DAL_OK, "%s", err.text);
    subject_predict(&s, other, got, TEXTS);
    cr_assert_arr_eq(got, want, sizeof want);
    for (size_t n = 0; n < b.n; n += n < 400 ? 13 : 1 + b.n / 17) {
        fx_bytes part = {.data = b.data, .n = n};
        cr_assert_eq(fx_load(impl, other, &part, &err), DAL_E_FORMAT, "%zu bytes", n);
    }
    for (size_t at = 0; at < b.n; at += at < 400 ? 7 : 1 + b.n / 23) {
        b.data[at] ^= 0x40;
        const dal_status st = fx_load(impl, other, &b, &err);
        cr_assert(st == DAL_E_FORMAT || st == DAL_E_NOMEM, "byte %zu: %d", at, (int)st);
        b.data[at] ^= 0x40;
    }
    cr_assert_eq(fx_load(impl, other, &b, &err), DAL_OK, "%s", err.text);
    impl->destroy(other);
    free(b.data);
    subject_drop(&s);
}

static inline void masks_all_texts_of_a_pass_alike(const dal_model_impl *impl, const void *options)
{
    enum { PASSES = 7, ROW = TEXTS * CLASSES };
    text_subject s = subject_trained(impl, options, 1);
    const dal_model_mc *mc = impl->get_extension(s.self, DAL_CAP_MC);
    const dal_rng stream = dal_rng_from_key(77);
    float *all = malloc(PASSES * ROW * sizeof *all), part[2 * ROW];
    dal_error err = DAL_ERROR_INIT;
    const dal_batch x = text_batch(s.texts, 0, TEXTS);
    int differ = 0;
    cr_assert_eq(mc->mc(s.self, &x, &stream, 0, PASSES, all, &err), DAL_OK, "%s", err.text);
    for (int64_t k = 0; k < PASSES; k++) {
        const dal_batch few = text_batch(s.texts, 18, 5);
        cr_assert_eq(mc->mc(s.self, &few, &stream, k, 1, part, &err), DAL_OK, "%s", err.text);
        cr_assert_arr_eq(part, all + k * ROW + 18 * CLASSES, 5 * CLASSES * sizeof *part);
        cr_assert_arr_eq(all + k * ROW + 2 * CLASSES, all + k * ROW + 20 * CLASSES, CLASSES * sizeof *all);
        differ += memcmp(all + k * ROW, all, ROW * sizeof *all) != 0;
    }
    cr_assert_geq(differ, PASSES - 2);
    free(all);
    subject_drop(&s);
}

static inline void has_a_gradient_by_its_embedded_words(const dal_model_impl *impl, const void *options)
{
    text_subject s = subject_trained(impl, options, 1);
    const dal_model_input_gradient *ext = impl->get_extension(s.self, DAL_CAP_INPUT_GRADIENT);
    const int64_t width = ext->width(s.self);
    const float q[CLASSES] = {1, -0.5f, 2};
    float *x = malloc((size_t)(TEXTS * width) * sizeof *x), *g = malloc((size_t)(TEXTS * width) * sizeof *g);
    float by[TEXTS * CLASSES], want[TEXTS * CLASSES], got[TEXTS * CLASSES];
    dal_error err = DAL_ERROR_INIT;
    const dal_batch all = text_batch(s.texts, 0, TEXTS);
    int off = 0;
    subject_predict(&s, s.self, want, TEXTS);
    cr_assert_eq(ext->embed(s.self, &all, x, &err), DAL_OK, "%s", err.text);
    cr_assert_eq(ext->forward(s.self, x, TEXTS, got, &err), DAL_OK, "%s", err.text);
    cr_assert_arr_eq(got, want, sizeof want);
    for (int i = 0; i < TEXTS * CLASSES; i++)
        by[i] = q[i % CLASSES];
    cr_assert_eq(ext->gradient(s.self, x, TEXTS, by, g, &err), DAL_OK, "%s", err.text);
    for (int64_t k = 0; k < width; k += 3) { /* text 7 has eight words */
        float *v = x + 7 * width + k, keep = *v;
        double answer[2];
        for (int side = 0; side < 2; side++) {
            *v = keep + (side ? -2e-3f : 2e-3f);
            cr_assert_eq(ext->forward(s.self, x + 7 * width, 1, got, &err), DAL_OK);
            answer[side] = (double)got[0] * (double)q[0] + (double)got[1] * (double)q[1] + (double)got[2] *
                (double)q[2];
        }
        *v = keep;
        const double have = (double)g[7 * width + k], diff = (answer[0] - answer[1]) / 4e-3;
        if (keep == 0)
            cr_assert(have == 0);
        else
            off += fabs(diff - have) > 2e-3 + 0.05 * fabs(diff);
    }
    cr_assert_leq(off, 3, "%d are off", off);
    free(x);
    free(g);
    subject_drop(&s);
}

static inline void has_copies_that_outlive_a_fit(const dal_model_impl *impl, const void *options)
{
    text_subject s = subject_trained(impl, options, 1);
    const dal_model_perturb *ext = impl->get_extension(s.self, DAL_CAP_PERTURB);
    const int64_t n = ext->n_weights(s.self);
    float want[TEXTS * CLASSES], got[TEXTS * CLASSES], targets[TEXTS * CLASSES], losses[2][TEXTS];
    float *g = malloc((size_t)n * sizeof *g), *w = ext->weights(s.self);
    dal_error err = DAL_ERROR_INIT;
    void *copy = NULL;
    const dal_batch x = text_batch(s.texts, 0, TEXTS);
    for (int i = 0; i < TEXTS * CLASSES; i++)
        targets[i] = 1.0f / CLASSES;
    cr_assert_eq(ext->loss_gradient(s.self, &x, targets, g, losses[0], &err), DAL_OK, "%s", err.text);
    double length = 0, change = 0;
    for (int64_t i = 0; i < n; i++)
        length += (double)g[i] * (double)g[i];
    cr_assert_eq(ext->copy(s.self, &copy, &err), DAL_OK, "%s", err.text);
    for (int64_t i = 0; i < n; i++) /* a small step along the gradient raises the mean loss by its length */
        ext->weights(copy)[i] = w[i] + (float)(2e-4 * (double)g[i] / length);
    cr_assert_eq(ext->loss_gradient(copy, &x, targets, g, losses[1], &err), DAL_OK, "%s", err.text);
    for (int i = 0; i < TEXTS; i++)
        change += ((double)losses[1][i] - (double)losses[0][i]) / TEXTS;
    cr_assert_float_eq(change, 2e-4, 2e-5, "%g", change);
    subject_predict(&s, copy, want, TEXTS);
    s.texts->s.n = 5; /* fewer words: the original gets another network */
    subject_fit(&s, 1, 0);
    s.texts->s.n = TEXTS;
    subject_predict(&s, copy, got, TEXTS);
    cr_assert_arr_eq(got, want, sizeof want);
    impl->destroy(copy);
    free(g);
    subject_drop(&s);
}

typedef struct text_probe {
    int64_t labelled, unlabelled, d;
    float push;
} text_probe;

static inline dal_status probe_all(void *self, int64_t epoch, int64_t step, const dal_companion_batch *labelled,
                                   const dal_companion_batch *unlabelled, dal_error *err)
{
    text_probe *p = self;
    (void)epoch, (void)step, (void)err;
    p->labelled += labelled->n;
    p->unlabelled += unlabelled ? unlabelled->n : 0;
    for (int64_t i = 0; unlabelled && i < unlabelled->n; i++)
        unlabelled->d_features[i] += p->push * unlabelled->features[i];
    return DAL_OK;
}

static inline void trains_with_companions(const dal_model_impl *impl, const void *options)
{
    text_probe p = {.push = 0};
    const dal_companion companion = {.struct_size = sizeof companion, .wants = DAL_WANT_FEATURES | DAL_WANT_STAGES |
                                     DAL_WANT_UNLABELLED, .self = &p, .step = probe_all};
    const dal_companion *const list[1] = {&companion};
    fx_bytes b[2];
    for (int push = 0; push < 2; push++) {
        text_subject s = subject_new(impl, options, 2);
        dal_error err = DAL_ERROR_INIT;
        dal_fit_report report = {.struct_size = sizeof report};
        const dal_fit f = {.struct_size = sizeof f, .train = &s.texts->s, .unlabelled = &s.texts->s, .companions = list,
                           .n_companions = 1};
        p = (text_probe){.push = (float)push};
        cr_assert_eq(impl->fit(s.self, &f, &report, &err), DAL_OK, "%s", err.text);
        cr_assert_eq(p.labelled, report.epochs * TEXTS);
        cr_assert_eq(p.unlabelled, p.labelled);
        b[push] = fx_save(impl, s.self);
        subject_drop(&s);
    }
    cr_assert_neq(memcmp(b[0].data, b[1].data, b[0].n), 0);
    free(b[0].data);
    free(b[1].data);
}

static inline void refuses_what_is_no_text(const dal_model_impl *impl, const void *options)
{
    dal_runtime *rt = fx_runtime(1, 1);
    const dal_sample_spec spec = {.struct_size = sizeof spec, .modality = DAL_IMAGE, .dtype = DAL_U8, .ndim = 3,
                                  .shape = {1, 8, 8}, .n_classes = 3};
    dal_error err = DAL_ERROR_INIT;
    void *self = NULL;
    cr_assert_eq(impl->create(dal_runtime_host(rt, "text"), options, &spec, &self, &err), DAL_E_INVALID);
    cr_assert(strstr(err.text, "reads texts; these samples are images"), "%s", err.text);
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
}

#define TEXT_NET_TEST(suite, impl, options, name) \
    Test(suite, name)                             \
    {                                             \
        (name)(impl, options);                    \
    }
#define TEXT_NET_TESTS(suite, impl, options)                                                  \
    TEXT_NET_TEST(suite, impl, options, learns_by_heart)                                      \
    TEXT_NET_TEST(suite, impl, options, has_the_same_bits_with_any_number_of_threads)         \
    TEXT_NET_TEST(suite, impl, options, shows_features_that_agree_with_its_answers)           \
    TEXT_NET_TEST(suite, impl, options, comes_back_from_a_file)                               \
    TEXT_NET_TEST(suite, impl, options, masks_all_texts_of_a_pass_alike)                      \
    TEXT_NET_TEST(suite, impl, options, has_a_gradient_by_its_embedded_words)                 \
    TEXT_NET_TEST(suite, impl, options, has_copies_that_outlive_a_fit)                        \
    TEXT_NET_TEST(suite, impl, options, trains_with_companions)                               \
    TEXT_NET_TEST(suite, impl, options, refuses_what_is_no_text)

#endif
