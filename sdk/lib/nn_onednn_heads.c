/* The products of attention in bf16. A head of a text is filled up to one of a few lengths; the primitives of a length
 * are made when a text first needs them. */
#include "nn_onednn_plan.h"

#include "nn_onednn_heads.h"

typedef struct products {
    atomic_int made;
    matmul of[NN_HEAD_PRODUCTS];
} products;

struct nn_heads {
    const struct nn_onednn *engine;
    const dal_host *host;
    pthread_mutex_t lock;
    int64_t width, longest, pad;
    int n;
    products *length; /* [n] */
};

/* Lengths in steps of 16 up to 128, then four times the step up to four times the length, and so on. */
static int64_t length_at(int i)
{
    int64_t step = 16, length = 0;
    for (; i >= 0; i--) {
        step = length >= 8 * step ? 4 * step : step;
        length += step;
    }
    return length;
}

static int class_of(int64_t n)
{
    int i = 0;
    while (length_at(i) < n)
        i++;
    return i;
}

int64_t nn_heads_length(int64_t n)
{
    return length_at(class_of(n));
}

static dnnl_status_t describe(const nn_heads *h, int what, int64_t n, matmul *m)
{
    const int64_t d = h->width, wide = what == NN_BY_ROWS ? n : d, deep = what == NN_BY_ROWS ? d : n;
    const dnnl_dims_t a = {n, deep}, b = {deep, wide}, c = {n, wide};
    dnnl_status_t st = dnnl_memory_desc_init_by_tag(&m->a, 2, a, dnnl_bf16, what == NN_TURNED ? dnnl_ba : dnnl_ab);
    if (st == dnnl_success)
        st = dnnl_memory_desc_init_by_tag(&m->b, 2, b, dnnl_bf16, what == NN_BY_ROWS ? dnnl_ba : dnnl_ab);
    return st == dnnl_success ? dnnl_memory_desc_init_by_tag(&m->c, 2, c, dnnl_f32, dnnl_ab) : st;
}

/* How much scratch oneDNN will want. */
static dnnl_status_t measure(nn_heads *h, int what, int64_t n)
{
    dnnl_primitive_desc_t pd = NULL;
    dnnl_matmul_desc_t d;
    matmul m;
    dnnl_status_t st = describe(h, what, n, &m);
    if (st == dnnl_success)
        st = dnnl_matmul_desc_init(&d, &m.a, &m.b, NULL, &m.c);
    if (st == dnnl_success)
        st = dnnl_primitive_desc_create(&pd, &d, h->engine->attr, h->engine->engine, NULL);
    if (st != dnnl_success)
        return st;
    const int64_t pad = floats_of(dnnl_primitive_desc_query_md(pd, dnnl_query_scratchpad_md, 0));
    h->pad = pad > h->pad ? pad : h->pad;
    return dnnl_primitive_desc_destroy(pd);
}

dnnl_status_t nn_heads_open(const struct nn_onednn *engine, const dal_host *host, int64_t width, int64_t longest,
                            nn_heads **out)
{
    nn_heads *h = *out = host->alloc(host, sizeof *h, 0);
    if (!h)
        return dnnl_out_of_memory;
    *h = (nn_heads){.engine = engine, .host = host, .width = width, .longest = longest, .n = class_of(longest) + 1};
    pthread_mutex_init(&h->lock, NULL);
    h->length = dal_array(host, h->n, sizeof *h->length);
    if (!h->length)
        return dnnl_out_of_memory;
    memset(h->length, 0, (size_t)h->n * sizeof *h->length);
    dnnl_status_t st = dnnl_success;
    for (int i = 0; i < h->n; i++)
        for (int what = 0; what < NN_HEAD_PRODUCTS && st == dnnl_success; what++)
            st = measure(h, what, length_at(i));
    return st;
}

void nn_heads_close(nn_heads *h)
{
    if (!h)
        return;
    for (int i = 0; h->length && i < h->n; i++)
        for (int what = 0; what < NN_HEAD_PRODUCTS; what++)
            if (h->length[i].of[what].run)
                dnnl_primitive_destroy(h->length[i].of[what].run);
    pthread_mutex_destroy(&h->lock);
    h->host->free(h->host, h->length);
    h->host->free(h->host, h);
}

int nn_heads_fit(const nn_heads *h, int64_t width, int64_t longest)
{
    return h->width == width && h->longest == longest;
}

int64_t nn_heads_pad(const nn_heads *h)
{
    return h->pad;
}

static dnnl_status_t make(nn_heads *h, int i)
{
    products *p = &h->length[i];
    const int width = narrow();
    dnnl_status_t st = dnnl_success;
    for (int what = 0; what < NN_HEAD_PRODUCTS && st == dnnl_success; what++) {
        st = describe(h, what, length_at(i), &p->of[what]);
        if (st == dnnl_success && !p->of[what].run)
            st = nn_matmul_make(h->engine->engine, h->engine->attr, 0, &p->of[what]);
    }
    widen(width);
    if (st == dnnl_success)
        atomic_store_explicit(&p->made, 1, memory_order_release);
    return st;
}

/* Made by whoever comes first. */
static dnnl_status_t prepare(nn_heads *h, int i)
{
    dnnl_status_t st = dnnl_success;
    if (atomic_load_explicit(&h->length[i].made, memory_order_acquire))
        return st;
    pthread_mutex_lock(&h->lock);
    if (!atomic_load_explicit(&h->length[i].made, memory_order_relaxed))
        st = make(h, i);
    pthread_mutex_unlock(&h->lock);
    return st;
}

dnnl_status_t nn_heads_multiply(nn_heads *h, int what, int64_t n, const nn_bf16 *a, const nn_bf16 *b, float *c,
                                float *scratch)
{
    const int i = class_of(n);
    const dnnl_status_t st = prepare(h, i);
    return st != dnnl_success ? st : nn_matmul(h->engine, &h->length[i].of[what], (const float *)(const void *)a,
                                               (const float *)(const void *)b, NULL, c, scratch);
}
