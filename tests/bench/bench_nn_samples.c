/* What bench_nn's models read: random images, random texts. */
#include "tests/bench/bench_nn.h"

#include "tests/bench/bench.h"

int bench_is_texts(const bench_net *t)
{
    return t->shape[0] == 0;
}

static int64_t row_bytes(const bench_samples *s, int64_t row)
{
    return s->offsets ? s->offsets[row + 1] - s->offsets[row] : dal_sample_bytes(&s->list.spec);
}

static const unsigned char *row_at(const bench_samples *s, int64_t row)
{
    return s->data + (s->offsets ? s->offsets[row] : row * dal_sample_bytes(&s->list.spec));
}

static dal_status row_sizes(const dal_samples *list, const int64_t *rows, int64_t n, int64_t *out, dal_error *err)
{
    (void)err;
    for (int64_t i = 0; i < n; i++)
        out[i] = row_bytes(list->impl, rows[i]);
    return DAL_OK;
}

static dal_status read_rows(const dal_samples *list, const int64_t *rows, int64_t n, dal_batch *out, dal_error *err)
{
    const bench_samples *s = list->impl;
    unsigned char *to = out->data;
    (void)err;
    for (int64_t i = 0; i < n; i++) {
        memcpy(to, row_at(s, rows[i]), (size_t)row_bytes(s, rows[i]));
        to += row_bytes(s, rows[i]);
    }
    return DAL_OK;
}

/* Word k: three letters that tell it from all others, and up to five more. Returns how many. */
static int64_t spell(int64_t k, unsigned char *to)
{
    int64_t n = 0;
    for (int64_t rest = k; n < 3; n++, rest /= 26)
        to[n] = (unsigned char)('a' + rest % 26);
    for (int64_t more = k % 6; more > 0; more--)
        to[n++] = 'e';
    return n;
}

static void make_texts(bench_samples *s, int64_t n)
{
    dal_rng r = dal_rng_from_key(1);
    int64_t used = 0;
    s->data = malloc((size_t)(n * BENCH_MOST * 9));
    s->offsets = malloc((size_t)(n + 1) * sizeof *s->offsets);
    if (!s->data || !s->offsets)
        bench_die("no memory for texts");
    for (int64_t i = 0; i < n; i++) {
        s->offsets[i] = used;
        for (int64_t left = BENCH_LEAST + dal_rng_below(&r, BENCH_MOST - BENCH_LEAST + 1); left > 0; left--) {
            used += spell(dal_rng_below(&r, BENCH_WORDS), s->data + used);
            s->data[used++] = ' ';
        }
    }
    s->offsets[n] = used;
}

static void make_images(bench_samples *s, int64_t n)
{
    const int64_t bytes = n * dal_sample_bytes(&s->list.spec);
    dal_rng r = dal_rng_from_key(1);
    s->data = malloc((size_t)bytes);
    if (!s->data)
        bench_die("no memory for images");
    for (int64_t i = 0; i < bytes; i++)
        s->data[i] = (unsigned char)(dal_rng_u32(&r) >> 24);
}

void bench_samples_make(bench_samples *s, const bench_net *t, int64_t n)
{
    const int texts = bench_is_texts(t);
    *s = (bench_samples){.ids = malloc((size_t)n * sizeof *s->ids), .classes = malloc((size_t)n * sizeof *s->classes)};
    if (!s->ids || !s->classes)
        bench_die("no memory for samples");
    for (int64_t i = 0; i < n; i++) {
        s->ids[i] = i;
        s->classes[i] = (int32_t)(i % BENCH_CLASSES);
    }
    s->list = (dal_samples){.struct_size = sizeof s->list, .impl = s, .n = n, .ids = s->ids, .classes = s->classes,
                            .sizes = row_sizes, .read = read_rows};
    s->list.spec = (dal_sample_spec){.struct_size = sizeof s->list.spec, .modality = texts ? DAL_TEXT : DAL_IMAGE,
                                     .dtype = DAL_U8, .ndim = texts ? 0 : 3, .n_classes = BENCH_CLASSES};
    memcpy(s->list.spec.shape, t->shape, sizeof t->shape);
    (texts ? make_texts : make_images)(s, n);
}

dal_batch bench_samples_batch(const bench_samples *s, int64_t first, int64_t n)
{
    unsigned char *data = s->offsets ? s->data : s->data + first * row_bytes(s, 0);
    return (dal_batch){.struct_size = sizeof(dal_batch), .spec = &s->list.spec, .n = n, .data = data,
                       .offsets = s->offsets ? s->offsets + first : NULL};
}

void bench_samples_free(bench_samples *s)
{
    free(s->data);
    free(s->offsets);
    free(s->ids);
    free(s->classes);
}
