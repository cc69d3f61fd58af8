#include "tests/unit/texts.h"

#include "plugins/transforms/text_features.c"

/* What scikit-learn's definitions give for these, by a page of Python that shares nothing with us. */
static const char *const pool[] = {"the cat sat", "the cat sat on the mat", "dogs bark"};
static const char *const held_out[] = {"the dogs sat quietly sat"};

static const hashing_options hashing_defaults = {.n_features = 262144, .ngrams = 1, .shortest = 2, .is_signed = 1};
static const tfidf_options tfidf_defaults = {.ngrams = 1, .shortest = 2, .min_df = 1, .max_df = 1, .smooth = 1};

static fx_texts toy(void)
{
    fx_texts t = {.texts = {pool, NULL, held_out}, .n = {3, 0, 1}, .n_classes = 2};
    return t;
}

typedef struct made {
    dal_runtime *rt;
    fx_dataset d;
} made;

static made make(const dal_dataset_impl *impl, const void *options, const dal_dataset *input, int threads)
{
    made m = {.rt = fx_runtime(threads, 0)};
    m.d = fx_open(impl, dal_runtime_host(m.rt, "t"), options, input);
    return m;
}

static void drop(made *m)
{
    m->d.impl->destroy(m->d.self);
    cr_assert_eq(dal_runtime_allocated(m->rt), 0, "something is left");
    dal_runtime_free(m->rt);
}

static void refuse(const dal_dataset_impl *impl, const void *options, const dal_dataset *input, dal_status st,
                   const char *key, const char *words)
{
    dal_error err = DAL_ERROR_INIT;
    void *self = NULL;
    dal_runtime *rt = fx_runtime(1, 0);
    fx_expect(&err, impl->create(dal_runtime_host(rt, "t"), options, input, &self, &err), st, key, words);
    cr_assert_null(self);
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
}

Test(murmur3, gives_the_published_values)
{
    static const char fox[] = "The quick brown fox jumps over the lazy dog";
    cr_assert_eq(dal_murmur3(0, "", 0), 0);
    cr_assert_eq(dal_murmur3(1, "", 0), 0x514e28b7u);
    cr_assert_eq(dal_murmur3(0, "hello", 5), 0x248bfa47u);
    cr_assert_eq(dal_murmur3(0, fox, sizeof fox - 1), 0x2e4ff723u);
}

static const char *hashed(hashing_options o, int64_t id)
{
    fx_texts t = toy();
    fx_texts_open(&t);
    made m = make(&hashing_impl, &o, &t.dataset, 1);
    cr_assert_eq(m.d.info.spec.modality, DAL_SPARSE);
    cr_assert_eq(m.d.info.spec.shape[0], o.n_features);
    const char *out = fx_sparse_of(&m.d, DAL_SPLIT_TRAIN, id);
    drop(&m);
    return out;
}

Test(hashing, puts_words_where_scikit_learn_puts_them)
{
    hashing_options o = hashing_defaults;
    o.n_features = 1024;
    cr_assert_str_eq(hashed(o, 1), "158:-0.7071 567:-0.3536 807:0.3536 907:-0.3536 948:0.3536");
    o.ngrams = 2;
    o.n_features = 262144;
    cr_assert_str_eq(hashed(o, 1), "24734:-0.5547 34536:-0.2774 38695:0.2774 45409:0.2774 50743:-0.2774 70638:-0.2774 "
                                   "122804:0.2774 139147:-0.2774 174402:0.2774 210278:0.2774");
}

Test(hashing, lets_signs_cancel_or_adds_up_without_them)
{
    hashing_options o = hashing_defaults;
    o.n_features = 16;
    o.ngrams = 2;
    cr_assert_str_eq(hashed(o, 1), "1:0.2582 2:0.2582 4:0.2582 6:0.2582 8:-0.2582 11:-0.2582 14:-0.7746");
    o.is_signed = 0;
    o.norm = PLAIN;
    cr_assert_str_eq(hashed(o, 1), "1:1 2:1 4:1 6:1 7:2 8:1 11:1 14:3");
    o.binary = 1;
    cr_assert_str_eq(hashed(o, 1), "1:1 2:1 4:1 6:1 7:1 8:1 11:1 14:1");
    o.norm = L1;
    cr_assert_str_eq(hashed(o, 1), "1:0.125 2:0.125 4:0.125 6:0.125 7:0.125 8:0.125 11:0.125 14:0.125");
}

static void count_pieces(void *ctx, uint32_t kind, const char *piece, int64_t bytes)
{
    char *out = ctx;
    snprintf(out + strlen(out), 512 - strlen(out), "%s%.*s", kind == PIECE_CHARACTERS ? "/" : "|", (int)bytes, piece);
}

Test(pieces, are_runs_of_words_and_of_characters)
{
    char out[512] = "";
    piece_room room = {0};
    dal_runtime *rt = fx_runtime(1, 0);
    const dal_host *h = dal_runtime_host(rt, "t");
    const pieces words = {3, 2, 0, 0}, characters = {0, 1, 2, 3};
    static const char text[] = "A cat's, on_2 \xc3\xa9t\xc3\xa9!";
    cr_assert_eq(pieces_of(&words, h, text, sizeof text - 1, &room, count_pieces, out, NULL), DAL_OK);
    cr_assert_str_eq(out, "|cat|cat on_2|cat on_2 \xc3\xa9t\xc3\xa9|on_2|on_2 \xc3\xa9t\xc3\xa9|\xc3\xa9t\xc3\xa9");
    out[0] = '\0';
    cr_assert_eq(pieces_of(&characters, h, "a \xc3\xa9t", 5, &room, count_pieces, out, NULL), DAL_OK);
    cr_assert_str_eq(out, "/<a/<a>/a>/<\xc3\xa9/<\xc3\xa9t/\xc3\xa9t/\xc3\xa9t>/t>");
    piece_room_free(&room, h);
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
}

Test(tf_idf, weighs_the_words_of_the_pool_alone)
{
    fx_texts t = toy();
    tfidf_options o = tfidf_defaults;
    fx_texts_open(&t);
    made m = make(&tfidf_impl, &o, &t.dataset, 1);
    cr_assert_eq(m.d.info.spec.shape[0], 7, "quietly is not in the pool");
    cr_assert_str_eq(fx_sparse_of(&m.d, DAL_SPLIT_TRAIN, 0), "1:0.5774 5:0.5774 6:0.5774");
    cr_assert_str_eq(fx_sparse_of(&m.d, DAL_SPLIT_TRAIN, 1), "1:0.3252 3:0.4276 4:0.4276 5:0.3252 6:0.6503");
    cr_assert_str_eq(fx_sparse_of(&m.d, DAL_SPLIT_TEST, 0), "2:0.5069 5:0.771 6:0.3855");
    drop(&m);
    o.sublinear = 1;
    m = make(&tfidf_impl, &o, &t.dataset, 1);
    cr_assert_str_eq(fx_sparse_of(&m.d, DAL_SPLIT_TRAIN, 1), "1:0.3466 3:0.4557 4:0.4557 5:0.3466 6:0.5868");
    cr_assert_str_eq(fx_sparse_of(&m.d, DAL_SPLIT_TEST, 0), "2:0.5559 5:0.7158 6:0.4227");
    drop(&m);
    t.texts[DAL_SPLIT_TEST] = pool; /* what the test split has changes nothing */
    t.n[DAL_SPLIT_TEST] = 3;
    o.sublinear = 0;
    m = make(&tfidf_impl, &o, &t.dataset, 1);
    cr_assert_str_eq(fx_sparse_of(&m.d, DAL_SPLIT_TEST, 1), "1:0.3252 3:0.4276 4:0.4276 5:0.3252 6:0.6503");
    drop(&m);
}

Test(tf_idf, leaves_out_rare_and_frequent_words)
{
    fx_texts t = toy();
    tfidf_options o = tfidf_defaults;
    fx_texts_open(&t);
    o.min_df = 2;
    made m = make(&tfidf_impl, &o, &t.dataset, 1);
    cr_assert_eq(m.d.info.spec.shape[0], 3); /* cat sat the */
    drop(&m);
    o.min_df = 1;
    o.max_df = 0.5;
    m = make(&tfidf_impl, &o, &t.dataset, 1);
    cr_assert_eq(m.d.info.spec.shape[0], 4); /* bark dogs mat on */
    cr_assert_str_eq(fx_sparse_of(&m.d, DAL_SPLIT_TRAIN, 0), "");
    drop(&m);
    o.max_df = 1;
    o.max_features = 4; /* cat sat the, and the first of the others */
    o.norm = PLAIN;
    o.binary = 1;
    m = make(&tfidf_impl, &o, &t.dataset, 1);
    cr_assert_eq(m.d.info.spec.shape[0], 4);
    cr_assert_str_eq(fx_sparse_of(&m.d, DAL_SPLIT_TRAIN, 1), "1:1.288 2:1.288 3:1.288");
    cr_assert_str_eq(fx_sparse_of(&m.d, DAL_SPLIT_TRAIN, 2), "0:1.693");
    drop(&m);
    o.min_df = 4;
    refuse(&tfidf_impl, &o, &t.dataset, DAL_E_INVALID, "min_df", "of 7 pieces of text in the pool none");
}

Test(tf_idf, takes_hashed_rows_too)
{
    fx_texts t = toy();
    hashing_options h = hashing_defaults;
    tfidf_options o = tfidf_defaults;
    fx_texts_open(&t);
    h.is_signed = 0;
    made below = make(&hashing_impl, &h, &t.dataset, 1);
    const dal_dataset input = {below.d.impl, below.d.self};
    made m = make(&tfidf_impl, &o, &input, 1);
    fx_ragged r = fx_read_ragged(&m.d, DAL_SPLIT_TEST, (const int64_t[]){0}, 1);
    /* quietly is known here: by a column that no text of the pool has */
    double idf[2] = {log(4.0 / 3) + 1, log(2) + 1}, rest = log(4) + 1, length = 0;
    const double want[4] = {idf[1], 2 * idf[0], idf[0], rest};
    int matched = 0;
    for (int i = 0; i < 4; i++)
        length += want[i] * want[i];
    cr_assert_eq(r.b.offsets[1], 4);
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++)
            matched += fabs((double)((float *)r.b.data)[i] - want[j] / sqrt(length)) < 1e-6;
    cr_assert_eq(matched, 4);
    fx_ragged_free(&r);
    drop(&m);
    drop(&below);
}

/* Many texts of words drawn with a long tail. */
static const char *const *many(int64_t n)
{
    static const char **out;
    dal_rng rng = dal_rng_from_key(5);
    out = malloc((size_t)n * sizeof *out);
    for (int64_t i = 0; i < n; i++) {
        char *text = malloc(1024);
        text[0] = '\0';
        for (int64_t j = dal_rng_below(&rng, 40); j >= 0; j--)
            sprintf(text + strlen(text), "w%d ", (int)(1 / (1e-4 + dal_rng_uniform(&rng))));
        out[i] = text;
    }
    return out;
}

static uint64_t digest(const fx_dataset *d)
{
    uint64_t h = 0;
    for (uint32_t k = 0; k < DAL_SPLITS; k++)
        for (int64_t i = 0; i < d->info.n[k]; i++) {
            fx_ragged r = fx_read_ragged(d, k, &i, 1);
            h = dal_hash64(h, r.b.data, (size_t)r.b.offsets[1] * sizeof(float));
            h = dal_hash64(h, r.b.indices, (size_t)r.b.offsets[1] * sizeof(int32_t));
            for (int64_t j = 1; j < r.b.offsets[1]; j++)
                cr_assert_lt(r.b.indices[j - 1], r.b.indices[j]);
            fx_ragged_free(&r);
        }
    return h;
}

Test(text_features, are_the_same_bits_with_any_number_of_threads)
{
    const char *const *texts = many(5000);
    fx_texts t = {.texts = {texts, NULL, texts}, .n = {5000, 0, 100}, .n_classes = 2};
    hashing_options h = hashing_defaults;
    tfidf_options o = tfidf_defaults;
    uint64_t want[2] = {0};
    fx_texts_open(&t);
    h.ngrams = o.ngrams = 2;
    h.n_features = 4096;
    for (int threads = 1; threads <= 4; threads *= 2) {
        made a = make(&hashing_impl, &h, &t.dataset, threads), b = make(&tfidf_impl, &o, &t.dataset, threads);
        const uint64_t got[2] = {digest(&a.d), digest(&b.d)};
        if (threads == 1)
            memcpy(want, got, sizeof want);
        cr_assert_arr_eq(got, want, sizeof want, "%d threads", threads);
        drop(&a);
        drop(&b);
    }
}

Test(text_features, refuse_what_they_cannot_count)
{
    fx_texts t = toy();
    fx_toy numbers = {.spec = {sizeof numbers.spec, DAL_VECTOR, DAL_F32, 1, {1}, 2}, .n = {1, 0, 0}};
    hashing_options h = hashing_defaults;
    tfidf_options o = tfidf_defaults;
    fx_texts_open(&t);
    fx_toy_open(&numbers);
    refuse(&hashing_impl, &h, &numbers.dataset, DAL_E_UNSUPPORTED, "", "works on text");
    refuse(&tfidf_impl, &o, &numbers.dataset, DAL_E_UNSUPPORTED, "", "works on text and on sparse vectors");
    h.ngrams = 0;
    refuse(&hashing_impl, &h, &t.dataset, DAL_E_INVALID, "ngrams", "neither words nor characters");
    h.char_from = 3;
    h.char_to = 2;
    refuse(&hashing_impl, &h, &t.dataset, DAL_E_INVALID, "char_from", "expected from <= to");
    t.n[DAL_SPLIT_TRAIN] = 0;
    refuse(&tfidf_impl, &o, &t.dataset, DAL_E_INVALID, "", "the train split is empty");
}

Test(text_features, give_back_all_memory_when_there_is_none)
{
    fx_texts t = toy();
    fx_texts_open(&t);
    for (int which = 0; which < 2; which++)
        for (int64_t k = 1;; k++) {
            const dal_dataset_impl *impl = which ? &tfidf_impl : &hashing_impl;
            const void *o = which ? (const void *)&tfidf_defaults : &hashing_defaults;
            dal_error err = DAL_ERROR_INIT;
            void *self = NULL;
            dal_runtime_config config = {.struct_size = sizeof config, .threads = 1, .fail_alloc = k};
            dal_runtime *rt = dal_runtime_new(&config, &err);
            const dal_status st = impl->create(dal_runtime_host(rt, "t"), o, &t.dataset, &self, &err);
            if (st == DAL_OK)
                impl->destroy(self);
            else
                cr_assert_eq(st, DAL_E_NOMEM, "%s", err.text);
            cr_assert_eq(dal_runtime_allocated(rt), 0, "allocation %d", (int)k);
            dal_runtime_free(rt);
            if (st == DAL_OK) {
                cr_assert_gt(k, 12);
                break;
            }
        }
}
