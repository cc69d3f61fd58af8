/* Attention in bf16 (see nn_attention.c): queries, keys, values, the weights of values and the gradients of all these
 * are multiplied in bf16, sums and softmax are f32. A head is filled up with zeros to a length that oneDNN has a
 * primitive for. */
#include "nn_half_tokens.h"

#include <math.h>

#include "nn_half_lanes.h"
#include "nn_onednn_heads.h"
#include "nn_onednn_plan.h"

/* A head of a sample. Of what is filled up, [.., d] and [.., long]. */
typedef struct head {
    const nn_job *j;
    nn_heads *by;
    int64_t n, d, ld, length;  /* tokens; width; from a token to the next of queries, keys, values; filled up */
    float root, scale;         /* 1 / sqrt(d); of dropout */
    nn_bf16 *q, *k, *v, *dy;   /* [length, d] */
    nn_bf16 *p, *dp;           /* [length, length]: weights of values, behind dropout; the gradient of scores */
    float *scores, *d_weights; /* [length, length]; scores become weights before dropout */
    float *out;                /* [length, d] */
    unsigned char *keep;       /* [n, n]; NULL: no dropout */
    dnnl_status_t st;
} head;

/* Floats: two matrices of scores and twice their halves, four of rows and what comes out, which to keep. */
int64_t nn_half_attention_scratch(const nn_node *k, int64_t pad)
{
    const int64_t n = nn_heads_length(k->h), d = k->c / k->groups;
    return pad + 2 * n * n + 2 * nn_half_floats(n * n) + 4 * nn_half_floats(n * d) + n * d + (k->h * k->h + 3) / 4;
}

static head head_of(const nn_job *j, int32_t v, int64_t i)
{
    const nn_node *k = &j->nn->node[v];
    nn_heads *by = nn_heads_of(j->nn, v);
    const int64_t n = j->token_at[i + 1] - j->token_at[i], d = k->c / k->groups, length = nn_heads_length(n);
    const int64_t square = length * length, rows = length * d;
    float *at = j->scratch + nn_heads_pad(by);
    head h = {.j = j, .by = by, .n = n, .d = d, .ld = 3 * k->c, .length = length, .root = (float)(1 / sqrt((double)d)),
              .scores = at, .d_weights = at + square, .out = at + 2 * square};
    nn_bf16 *half = nn_half_to(at + 2 * square + rows);
    h.q = half;
    h.k = h.q + 2 * nn_half_floats(rows);
    h.v = h.k + 2 * nn_half_floats(rows);
    h.dy = h.v + 2 * nn_half_floats(rows);
    h.p = h.dy + 2 * nn_half_floats(rows);
    h.dp = h.p + 2 * nn_half_floats(square);
    if (j->training && k->rate > 0) {
        h.keep = (unsigned char *)(h.dp + 2 * nn_half_floats(square));
        h.scale = nn_dropout_scale(k->rate);
    }
    return h;
}

/* Head g of sample i: which of its weights dropout keeps. */
static void draw(head *h, int32_t v, int64_t i, int64_t g)
{
    const nn_job *j = h->j;
    if (!h->keep)
        return;
    const dal_rng layer = dal_rng_at(j->dropout, (uint64_t)DAL_NN_MAX_VALUES + (uint64_t)v);
    const dal_rng sample = dal_rng_at(&layer, (uint64_t)(j->first + i));
    nn_dropout_mask(dal_rng_at(&sample, (uint64_t)g), j->nn->node[v].rate, h->n * h->n, h->keep);
}

/* to [length, d] = from [n, d], zeros behind. */
static void take_rows(const head *h, const nn_bf16 *from, int64_t ld, nn_bf16 *to)
{
    for (int64_t i = 0; i < h->n; i++)
        memcpy(to + i * h->d, from + i * ld, (size_t)h->d * sizeof *to);
    memset(to + h->n * h->d, 0, (size_t)((h->length - h->n) * h->d) * sizeof *to);
}

static void multiply(head *h, int what, const nn_bf16 *a, const nn_bf16 *b, float *c)
{
    if (h->st == dnnl_success)
        h->st = nn_heads_multiply(h->by, what, h->length, a, b, c, h->j->scratch);
}

/* h->out [n, d] to bf16 rows, ld apart, = or +=. */
HALF_CODE static void give_rows(const head *h, int64_t ld, int add, nn_bf16 *to)
{
    const float *from = h->out;
    for (int64_t i = 0; i < h->n; i++, from += h->d, to += ld) {
        int64_t c = 0;
        for (; c + WIDE <= h->d; c += WIDE)
            l_narrow(to + c, add ? l_add(l_wide(to + c), l_load(from + c)) : l_load(from + c));
        if (c < h->d) {
            const lanes x = l_load_part(from + c, h->d - c, 0);
            l_narrow_part(to + c, h->d - c, add ? l_add(l_wide_part(to + c, h->d - c), x) : x);
        }
    }
}

/* A row of scores becomes its softmax; p: what dropout leaves of it, zeros from n on. exact: scores are wanted, too. */
HALF_CODE static void weigh_row(const head *h, const unsigned char *keep, int exact, float *s, nn_bf16 *p)
{
    const int64_t n = h->n, whole = n / WIDE * WIDE, rest = n - whole;
    const lanes root = l_set(h->root);
    lanes most = l_set(-INFINITY), sum = l_set(0);
    for (int64_t i = 0; i < whole; i += WIDE)
        most = l_max(most, l_load(s + i));
    if (rest)
        most = l_max(most, l_load_part(s + whole, rest, -INFINITY));
    const lanes least = l_set(-h->root * l_most(most));
    for (int64_t i = 0; i < n; i += WIDE) {
        const lanes e = l_exp(l_fma(n - i < WIDE ? l_load_part(s + i, n - i, -INFINITY) : l_load(s + i), root, least));
        l_store(s + i, e); /* rows are whole lanes */
        sum = l_add(sum, e);
    }
    const lanes inverse = l_set(1 / l_sum(sum)), scale = l_set(h->keep ? h->scale : 1);
    for (int64_t i = 0; i < n; i += WIDE) {
        const lanes weight = l_mul(l_load(s + i), inverse), left = l_mul(weight, scale);
        if (exact)
            l_store(s + i, weight);
        l_narrow(p + i, !keep ? left : n - i < WIDE ? l_keep_part(keep + i, n - i, left) : l_keep(keep + i, left));
    }
    for (int64_t i = (n + WIDE - 1) / WIDE * WIDE; i < h->length; i += WIDE)
        l_narrow(p + i, l_set(0));
}

/* p = softmax(q k' / sqrt(d)), behind dropout. */
static void weigh(head *h, int exact)
{
    multiply(h, NN_BY_ROWS, h->q, h->k, h->scores);
    for (int64_t i = 0; i < h->n && h->st == dnnl_success; i++)
        weigh_row(h, h->keep ? h->keep + i * h->n : NULL, exact, h->scores + i * h->length, h->p + i * h->length);
    memset(h->p + h->n * h->length, 0, (size_t)((h->length - h->n) * h->length) * sizeof *h->p);
}

static void take_inputs(head *h, const nn_bf16 *x, int64_t width)
{
    take_rows(h, x, h->ld, h->q);
    take_rows(h, x + width, h->ld, h->k);
    take_rows(h, x + 2 * width, h->ld, h->v);
}

dal_status nn_half_attention_forward(const nn_job *j, int32_t v)
{
    const nn_node *k = &j->nn->node[v], *a = &j->nn->node[k->in[0]];
    const nn_bf16 *x = nn_half_at(nn_row(j->value, a, k->in[0], j->first));
    float *y = nn_row(j->value, k, v, j->first);
    dnnl_status_t st = dnnl_success;
    for (int64_t i = 0; i < j->n; i++) {
        head h = head_of(j, v, i);
        for (int64_t g = 0; g < k->groups && h.n > 0 && st == dnnl_success; g++) {
            const int64_t to = j->token_at[i] * k->c + g * h.d;
            draw(&h, v, i, g);
            take_inputs(&h, x + j->token_at[i] * a->c + g * h.d, k->c);
            weigh(&h, 0);
            multiply(&h, NN_PLAIN, h.p, h.v, h.out);
            if (k->half)
                give_rows(&h, k->c, 0, nn_half_to(y) + to);
            for (int64_t r = 0; r < h.n && !k->half; r++)
                nn_move(h.out + r * h.d, y + to + r * k->c, h.d, 0);
            st = h.st;
        }
    }
    return nn_onednn_failed(j, v, "product of attention", st);
}

/* d [n] of weights behind dropout becomes that of scores: p (d - sum d p) / sqrt(d), zeros from n on. */
HALF_CODE static void back_row(const head *h, const float *p, const unsigned char *keep, float *d, nn_bf16 *to)
{
    const int64_t n = h->n;
    const lanes scale = l_set(h->scale), root = l_set(h->root);
    lanes sum = l_set(0);
    for (int64_t i = 0; i < n; i += WIDE) {
        const lanes all = n - i < WIDE ? l_load_part(d + i, n - i, 0) : l_load(d + i), left = l_mul(all, scale);
        const lanes here = !keep ? all : n - i < WIDE ? l_keep_part(keep + i, n - i, left) : l_keep(keep + i, left);
        l_store(d + i, here);
        sum = l_fma(here, l_load(p + i), sum);
    }
    const lanes mean = l_set(l_sum(sum));
    for (int64_t i = 0; i < n; i += WIDE) /* p is 0 behind n */
        l_narrow(to + i, l_mul(l_mul(root, l_load(p + i)), l_sub(l_load(d + i), mean)));
    for (int64_t i = (n + WIDE - 1) / WIDE * WIDE; i < h->length; i += WIDE)
        l_narrow(to + i, l_set(0));
}

/* dy: of the head's output; dx: of its queries, keys and values, as they lie. */
static void back(head *h, int64_t width, int add, nn_bf16 *dx)
{
    weigh(h, 1);
    multiply(h, NN_TURNED, h->p, h->dy, h->out);
    give_rows(h, h->ld, add, dx + 2 * width);
    multiply(h, NN_BY_ROWS, h->dy, h->v, h->d_weights);
    for (int64_t i = 0; i < h->n && h->st == dnnl_success; i++)
        back_row(h, h->scores + i * h->length, h->keep ? h->keep + i * h->n : NULL, h->d_weights + i * h->length,
                 h->dp + i * h->length);
    memset(h->dp + h->n * h->length, 0, (size_t)((h->length - h->n) * h->length) * sizeof *h->dp);
    multiply(h, NN_PLAIN, h->dp, h->k, h->out);
    give_rows(h, h->ld, add, dx);
    multiply(h, NN_TURNED, h->dp, h->q, h->out);
    give_rows(h, h->ld, add, dx + width);
}

dal_status nn_half_attention_backward(const nn_job *j, int32_t v)
{
    const nn_node *k = &j->nn->node[v], *a = &j->nn->node[k->in[0]];
    const nn_bf16 *x = nn_half_at(nn_row(j->value, a, k->in[0], j->first));
    nn_bf16 *dx = nn_half_to(nn_row(j->d, a, k->in[0], j->first)), *dy = nn_half_to(nn_row(j->d, k, v, j->first));
    dnnl_status_t st = dnnl_success;
    if (!k->half)
        nn_half_narrow(nn_row(j->d, k, v, j->first), nn_count(j, k), dy);
    for (int64_t i = 0; i < j->n; i++) {
        head h = head_of(j, v, i);
        for (int64_t g = 0; g < k->groups && h.n > 0 && st == dnnl_success; g++) {
            const int64_t at = j->token_at[i] * a->c + g * h.d;
            draw(&h, v, i, g);
            take_inputs(&h, x + at, k->c);
            take_rows(&h, dy + j->token_at[i] * k->c + g * h.d, k->c, h.dy);
            back(&h, k->c, !k->first_writer[0], dx + at);
            st = h.st;
        }
    }
    return nn_onednn_failed(j, v, "product of attention", st);
}
