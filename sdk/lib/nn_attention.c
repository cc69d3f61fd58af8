/* Multi-head attention (Vaswani et al. 2017), a head of a sample at a time: so no number of a sample depends on its
 * place, and the scores stay in cache. They are made again on the way back: at 512 tokens they would be most of the
 * memory. */
#include "nn_private.h"

#include <dal/linalg.h>
#include <math.h>

#include "clones.h"
#include "nn_half_tokens.h"

#define LANES 16

/* A head of a sample. */
typedef struct head {
    int64_t n, d, ld;        /* tokens; width; from a token to the next in x */
    const float *q, *k, *v;  /* [n, d] */
    float root;              /* 1 / sqrt(d) */
    float *p, *other;        /* [n, n] */
    unsigned char *keep;     /* [n, n]; NULL: no dropout */
    float scale;
} head;

static head head_of(const nn_job *j, int32_t v, int64_t i, int64_t h)
{
    const nn_node *k = &j->nn->node[v], *a = &j->nn->node[k->in[0]];
    const int64_t longest = k->h, n = j->token_at[i + 1] - j->token_at[i], d = k->c / k->groups;
    const float *x = nn_row(j->value, a, k->in[0], j->first) + j->token_at[i] * a->c + h * d;
    head r = {.n = n, .d = d, .ld = a->c, .q = x, .k = x + k->c, .v = x + 2 * k->c,
              .root = (float)(1 / sqrt((double)d)), .p = j->scratch, .other = j->scratch + longest * longest};
    if (j->training && k->rate > 0) {
        const dal_rng layer = dal_rng_at(j->dropout, (uint64_t)DAL_NN_MAX_VALUES + (uint64_t)v);
        const dal_rng sample = dal_rng_at(&layer, (uint64_t)(j->first + i));
        r.keep = (unsigned char *)(j->scratch + 2 * longest * longest);
        r.scale = nn_dropout_scale(k->rate);
        nn_dropout_mask(dal_rng_at(&sample, (uint64_t)h), k->rate, n * n, r.keep);
    }
    return r;
}

/* p = softmax(q k' / sqrt(d)) */
static dal_status weigh(const head *h)
{
    const dal_status st = dal_gemm_nt(h->n, h->n, h->d, h->root, h->q, h->ld, h->k, h->ld, 0, h->p, h->n);
    if (st == DAL_OK)
        dal_softmax(h->p, h->n, h->n, h->n);
    return st;
}

DAL_CLONES static void drop(const float *p, const unsigned char *keep, float scale, int64_t n, float *to)
{
    for (int64_t i = 0; i < n; i++)
        to[i] = keep[i] ? scale * p[i] : 0;
}

static dal_status forward(const nn_job *j, int32_t v)
{
    const nn_node *k = &j->nn->node[v];
    dal_status st = DAL_OK;
    if (j->nn->node[k->in[0]].half)
        return nn_half_attention_forward(j, v);
    for (int64_t i = 0; i < j->n; i++)
        for (int64_t g = 0; g < k->groups && st == DAL_OK; g++) {
            const head h = head_of(j, v, i, g);
            st = weigh(&h);
            if (h.keep)
                drop(h.p, h.keep, h.scale, h.n * h.n, h.p);
            if (st == DAL_OK)
                st = dal_gemm_nn(h.n, h.d, h.n, 1, h.p, h.n, h.v, h.ld, 0,
                                 nn_row(j->value, k, v, j->first) + j->token_at[i] * k->c + g * h.d, k->c);
        }
    return st;
}

/* d [n], of what was multiplied by the values, becomes that of the scores: p (d - sum d p). */
DAL_CLONES static void back_row(const float *p, float root, int64_t n, float *restrict d)
{
    float lane[LANES] = {0};
    double sum = 0;
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int l = 0; l < LANES; l++)
            lane[l] += p[i + l] * d[i + l];
    for (int l = 0; i + l < n; l++)
        lane[l] += p[i + l] * d[i + l];
    for (int l = 0; l < LANES; l++)
        sum += (double)lane[l];
    const float mean = (float)sum;
    for (i = 0; i < n; i++)
        d[i] = root * p[i] * (d[i] - mean);
}

/* dy: of the head's output, ld_y apart; dx: of its queries, keys and values, as they lie. */
static dal_status back(const head *h, const float *dy, int64_t ld_y, int64_t width, float beta, float *dx)
{
    float *dq = dx, *dk = dx + width, *dv = dx + 2 * width;
    const float *dropped = h->p;
    dal_status st = weigh(h);
    if (h->keep) {
        drop(h->p, h->keep, h->scale, h->n * h->n, h->other);
        dropped = h->other;
    }
    if (st == DAL_OK)
        st = dal_gemm_tn(h->n, h->d, h->n, 1, dropped, h->n, dy, ld_y, beta, dv, h->ld);
    if (st == DAL_OK)
        st = dal_gemm_nt(h->n, h->n, h->d, 1, dy, ld_y, h->v, h->ld, 0, h->other, h->n);
    if (h->keep)
        drop(h->other, h->keep, h->scale, h->n * h->n, h->other);
    for (int64_t i = 0; i < h->n; i++)
        back_row(h->p + i * h->n, h->root, h->n, h->other + i * h->n);
    if (st == DAL_OK)
        st = dal_gemm_nn(h->n, h->d, h->n, 1, h->other, h->n, h->k, h->ld, beta, dq, h->ld);
    if (st == DAL_OK)
        st = dal_gemm_tn(h->n, h->d, h->n, 1, h->other, h->n, h->q, h->ld, beta, dk, h->ld);
    return st;
}

static dal_status backward(const nn_job *j, int32_t v)
{
    const nn_node *k = &j->nn->node[v], *a = &j->nn->node[k->in[0]];
    dal_status st = DAL_OK;
    if (!j->d[k->in[0]])
        return DAL_OK;
    if (a->half)
        return nn_half_attention_backward(j, v);
    for (int64_t i = 0; i < j->n; i++)
        for (int64_t g = 0; g < k->groups && st == DAL_OK; g++) {
            const head h = head_of(j, v, i, g);
            st = back(&h, nn_row(j->d, k, v, j->first) + j->token_at[i] * k->c + g * h.d, k->c, k->c,
                      k->first_writer[0] ? 0 : 1, nn_row(j->d, a, k->in[0], j->first) + j->token_at[i] * a->c + g *
                      h.d);
        }
    return st;
}

const nn_op nn_attention_op = {"attention", forward, backward};
