/* Inverted dropout (Srivastava et al. 2014). Sample i of a batch draws from a stream of its own, so that shards do not
 * matter. Of texts a sample's part are its tokens. */
#include "nn_private.h"

#include "clones.h"
#include "nn_half_tokens.h"

#define BLOCKS 16       /* of a stream, side by side */
#define VALUES (BLOCKS * 8) /* a block is four numbers, of which each half decides on one value */

/* dal_philox4x32 of the blocks counter..counter+BLOCKS-1, lane by lane. */
DAL_CLONES static void keep_blocks(uint64_t key, uint64_t nonce, uint64_t counter, uint32_t limit, unsigned char *keep)
{
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32), c[4][BLOCKS], bits[4 * BLOCKS];
    for (int b = 0; b < BLOCKS; b++) {
        c[0][b] = (uint32_t)(counter + (uint64_t)b);
        c[1][b] = (uint32_t)((counter + (uint64_t)b) >> 32);
        c[2][b] = (uint32_t)nonce;
        c[3][b] = (uint32_t)(nonce >> 32);
    }
    for (int round = 0; round < 10; round++) {
        for (int b = 0; b < BLOCKS; b++) {
            const uint64_t p0 = (uint64_t)0xD2511F53u * c[0][b], p1 = (uint64_t)0xCD9E8D57u * c[2][b];
            const uint32_t n0 = (uint32_t)(p1 >> 32) ^ c[1][b] ^ k0, n2 = (uint32_t)(p0 >> 32) ^ c[3][b] ^ k1;
            c[1][b] = (uint32_t)p1;
            c[3][b] = (uint32_t)p0;
            c[0][b] = n0;
            c[2][b] = n2;
        }
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    for (int b = 0; b < BLOCKS; b++)
        for (int w = 0; w < 4; w++)
            bits[4 * b + w] = c[w][b];
    for (int i = 0; i < 4 * BLOCKS; i++) {
        keep[2 * i] = (bits[i] & 0xffffu) >= limit;
        keep[2 * i + 1] = bits[i] >> 16 >= limit;
    }
}

void nn_dropout_mask(dal_rng r, double rate, int64_t n, unsigned char *keep)
{
    const uint32_t limit = (uint32_t)(rate * 65536);
    int64_t at = 0;
    for (; at + VALUES <= n; at += VALUES)
        keep_blocks(r.key, r.nonce, r.counter + (uint64_t)(at / 8), limit, keep + at);
    if (at < n) {
        unsigned char last[VALUES];
        keep_blocks(r.key, r.nonce, r.counter + (uint64_t)(at / 8), limit, last);
        memcpy(keep + at, last, (size_t)(n - at));
    }
}

/* Where sample i of the job's own has its numbers, and how many. */
static int64_t sample_at(const nn_job *j, const nn_node *k, int64_t i, int64_t *n)
{
    const int64_t at = k->tokens ? j->token_at[i] : i;
    *n = (k->tokens ? j->token_at[i + 1] - at : 1) * nn_width(k);
    return at * nn_width(k);
}

DAL_CLONES static void keep_some(const unsigned char *keep, float scale, const float *x, int64_t n, float *y)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = keep[i] ? scale * x[i] : 0;
}

DAL_CLONES static void multiply(const float *mask, const float *x, int64_t n, float *y)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = mask[i] * x[i];
}

/* keep: NULL: all; mask: what to multiply by, NULL: nothing. */
static void drop(const nn_node *in, const float *x, int64_t at, const unsigned char *keep, float scale, const float *mask, int64_t n,
                 float *y)
{
    const nn_bf16 *half = nn_half_at(x) + at;
    if (in->half && mask)
        nn_half_masked(half, mask, n, y + at);
    else if (in->half)
        nn_half_dropout(half, keep, scale, n, y + at);
    else if (keep)
        keep_some(keep, scale, x + at, n, y + at);
    else if (mask)
        multiply(mask, x + at, n, y + at);
    else
        nn_move(x + at, y + at, n, 0);
}

static dal_status forward(const nn_job *j, int32_t v)
{
    const nn_node *k = &j->nn->node[v], *in = &j->nn->node[k->in[0]];
    const float *mask = j->masks ? j->masks[k->dropout] : NULL, *x = nn_row(j->value, in, k->in[0], j->first);
    for (int64_t i = 0; i < j->n; i++) {
        int64_t n;
        const int64_t at = sample_at(j, k, i, &n);
        unsigned char *keep = j->training ? (unsigned char *)j->aux[v] + j->first * k->size + at : NULL;
        if (keep) {
            const dal_rng layer = dal_rng_at(j->dropout, (uint64_t)k->dropout);
            nn_dropout_mask(dal_rng_at(&layer, (uint64_t)(j->first + i)), k->rate, n, keep);
        }
        drop(in, x, at, keep, keep ? nn_dropout_scale(k->rate) : 1, mask, n, nn_row(j->value, k, v, j->first));
    }
    return DAL_OK;
}

static dal_status backward(const nn_job *j, int32_t v)
{
    const nn_node *k = &j->nn->node[v], *in = &j->nn->node[k->in[0]];
    const int64_t n = nn_count(j, k);
    const unsigned char *keep = (const unsigned char *)j->aux[v] + j->first * k->size;
    const float scale = nn_dropout_scale(k->rate);
    float *dy = nn_row(j->d, k, v, j->first);
    if (in->half) { /* trainers alone have these */
        nn_half_dropout_back(dy, keep, scale, n, !k->first_writer[0], nn_half_to(nn_row(j->d, in, k->in[0], j->first)));
        return DAL_OK;
    }
    if (j->training)
        keep_some(keep, scale, dy, n, dy);
    if (j->d[k->in[0]])
        nn_move(dy, nn_row(j->d, in, k->in[0], j->first), n, !k->first_writer[0]);
    return DAL_OK;
}

const nn_op nn_dropout_op = {"dropout", forward, backward};
