/* Inverted dropout (Srivastava et al. 2014). Sample i of a batch draws from a stream of its own, so that shards do not
 * matter. Of texts a sample's part are its tokens. */
#include "nn_private.h"

#include "clones.h"
#include "nn_half_tokens.h"

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

/* keep: NULL: all; mask: what to multiply by, NULL: nothing. and: what to add, of an input in bf16 alone; NULL:
 * nothing. */
static void drop(const nn_node *in, const float *x, int64_t at, const unsigned char *keep, float scale,
                 const float *mask, const float *and, int64_t n, float *y)
{
    const nn_bf16 *half = nn_half_at(x) + at;
    if (in->half && mask)
        nn_half_masked(half, mask, and, n, y + at);
    else if (in->half)
        nn_half_dropout(half, keep, scale, and, n, y + at);
    else if (keep)
        keep_some(keep, scale, x + at, n, y + at);
    else if (mask)
        multiply(mask, x + at, n, y + at);
    else
        nn_move(x + at, y + at, n, 0);
}

/* Layer v, and what lies at `and` (NULL: nothing), to y. */
static void drop_all(const nn_job *j, int32_t v, const float *and, float *y)
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
        drop(in, x, at, keep, keep ? nn_dropout_scale(k->rate) : 1, mask, and ? and + at : NULL, n, y);
    }
}

static dal_status forward(const nn_job *j, int32_t v)
{
    const nn_node *k = &j->nn->node[v];
    if (!k->folded)
        drop_all(j, v, NULL, nn_row(j->value, k, v, j->first));
    return DAL_OK;
}

void nn_dropout_add(const nn_job *j, int32_t v)
{
    const nn_node *k = &j->nn->node[v], *a = &j->nn->node[k->in[0]];
    drop_all(j, k->in[1], nn_row(j->value, a, k->in[0], j->first), nn_row(j->value, k, v, j->first));
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
