/* Convolutions over maps of few places, as products of matrices where they lie: what a tap of the filter sees of all
 * samples, [samples, channels in], times the weights of that tap. Taps that see only what is beyond the edge cost
 * nothing: over a map of one place a 3x3 filter has one that does not. Weights are many there and places few, so the
 * gradient is not made shard by shard and added: a slice of the weights is over all samples at once. */
#include "nn_way.h"

#include "clones.h"
#include "nn_filters.h"
#include "nn_window.h"

#define L NN_PANEL
#define MOST_PLACES 4  /* out, and in: from more on others are faster */
#define MOST_PLACES_IN 16

static int64_t places(const nn_node *k)
{
    return k->h * k->w;
}

/* Channels by sixteens, those of a place together; of one place all are. */
static int lies_well(const nn_node *k)
{
    return k->c % L == 0 && !k->tokens && (places(k) == 1 || k->block == L);
}

static int fits(const dal_nn *nn, int32_t v)
{
    const nn_node *k = &nn->node[v], *in = &nn->node[k->in[0]];
    return !nn->is_half && k->groups == 1 && places(k) <= MOST_PLACES && places(in) <= MOST_PLACES_IN && lies_well(k) &&
           lies_well(in) && k->kernel * k->kernel <= NN_MOST_TAPS && nn_product_has_kernel();
}

static int sees(const nn_node *k, const nn_node *in, int64_t tap)
{
    for (int64_t p = 0; p < places(k); p++)
        if (nn_seen(k, in, p, tap) >= 0)
            return 1;
    return 0;
}

static int64_t n_taps(const nn_node *k)
{
    return k->kernel * k->kernel;
}

/* ---- weights ----------------------------------------------------------------------------------- */

static int64_t weights(const dal_nn *nn, int32_t v)
{
    const nn_node *k = &nn->node[v], *in = &nn->node[k->in[0]];
    int64_t n = 0;
    for (int64_t t = 0; t < n_taps(k); t++)
        n += sees(k, in, t);
    return n * k->c * in->c;
}

/* Sixteen rows [taps] of lanes to the panels of the taps that are seen. */
INLINED void store_taps(const nn_node *k, const nn_node *in, const lanes *some, float *to)
{
    for (int64_t t = 0; t < n_taps(k); t++)
        if (sees(k, in, t)) {
            for (int64_t r = 0; r < L; r++)
                store_lanes(to + r * L, some[r * n_taps(k) + t]);
            to += in->c * k->c;
        }
}

DAL_CLONES static void pack(const dal_nn *nn, int32_t v, int backward, const float *from, float *to)
{
    const nn_node *k = &nn->node[v], *in = &nn->node[k->in[0]];
    const int64_t n = n_taps(k);
    lanes some[L * NN_MOST_TAPS], others[L * NN_MOST_TAPS];
    for (int64_t c = 0; c < k->c; c += L)
        for (int64_t i = 0; i < in->c; i += L) {
            load_filters(from + (c * in->c + i) * n, in->c * n, n, some);
            if (backward)
                other_way(some, n, 0, others);
            store_taps(k, in, backward ? others : some, to + (backward ? i * k->c + c * L : c * in->c + i * L));
        }
}

/* ---- the ways through -------------------------------------------------------------------------- */

/* Rows of a times a tap's weights, += c: a place of each. */
static void add_product(const nn_node *from, const nn_node *to, int64_t n, const float *a, const float *w, float *c)
{
    const nn_product_walk walk = {from->c / L, L, places(from) * L, 1, from->size, L, from->c * L, to->size,
                                  places(to) * L, 1};
    nn_product(&walk, n, to->c, a, w, c);
}

DAL_CLONES static void begin_place(const float *bias, int64_t c, int64_t step, float *y)
{
    for (int64_t i = 0; i < c; i += L)
        for (int64_t l = 0; l < L; l++)
            y[i * step + l] = bias ? bias[i + l] : 0;
}

static dal_status forward(const nn_job *j, int32_t v)
{
    const nn_node *k = &j->nn->node[v], *in = &j->nn->node[k->in[0]];
    const float *x = nn_row(j->value, in, k->in[0], j->first), *w = j->packed[v];
    float *y = nn_row(j->value, k, nn_conv_out(j, v), j->first);
    for (int64_t i = 0; i < j->n; i++)
        for (int64_t p = 0; p < places(k); p++)
            begin_place(nn_conv_bias(j, v), k->c, places(k), y + i * k->size + p * L);
    for (int64_t t = 0; t < n_taps(k); t++) {
        if (!sees(k, in, t))
            continue;
        for (int64_t p = 0; p < places(k); p++)
            if (nn_seen(k, in, p, t) >= 0)
                add_product(in, k, j->n, x + nn_seen(k, in, p, t) * L, w, y + p * L);
        w += k->c * in->c;
    }
    if (nn_conv_relu(j, v))
        nn_relu(y, j->n * k->size);
    return DAL_OK;
}

static dal_status back_data(const nn_job *j, int32_t v)
{
    const nn_node *k = &j->nn->node[v], *in = &j->nn->node[k->in[0]];
    const float *dy = nn_row(j->d, k, v, j->first), *w = j->packed[v];
    float *dx = nn_row(j->d, in, k->in[0], j->first);
    if (k->first_writer[0])
        memset(dx, 0, (size_t)(j->n * in->size) * sizeof *dx);
    for (int64_t t = 0; t < n_taps(k); t++) {
        if (!sees(k, in, t))
            continue;
        for (int64_t p = 0; p < places(k); p++)
            if (nn_seen(k, in, p, t) >= 0)
                add_product(k, in, j->n, dy + p * L, w, dx + nn_seen(k, in, p, t) * L);
        w += k->c * in->c;
    }
    return DAL_OK;
}

/* ---- the gradient of the weights --------------------------------------------------------------- */

static int64_t slices(const dal_nn *nn, int32_t v)
{
    return nn->node[v].c / L;
}

static int64_t scratch(const dal_nn *nn, int32_t v)
{
    const nn_node *k = &nn->node[v];
    return n_taps(k) * L * nn->node[k->in[0]].c;
}

/* g [taps, 16, c_in] as [16, c_in, taps]. */
DAL_CLONES static void interleave(const float *g, int64_t taps, int64_t c_in, float *to)
{
    lanes some[L * NN_MOST_TAPS];
    for (int64_t i = 0; i < c_in; i += L) {
        for (int64_t t = 0; t < taps; t++) {
            lanes v[L];
            EACH for (int f = 0; f < L; f++)
                v[f] = load_lanes(g + (t * L + f) * c_in + i);
            turn(v);
            EACH for (int c = 0; c < L; c++)
                some[c * taps + t] = v[c];
        }
        store_filters(some, c_in * taps, taps, 0, to + i * taps);
    }
}

static void slice(const nn_job *j, int32_t v, int64_t at)
{
    const nn_node *k = &j->nn->node[v], *in = &j->nn->node[k->in[0]];
    const int64_t taps = n_taps(k), size = L * in->c;
    const float *x = nn_row(j->value, in, k->in[0], j->first), *dy = nn_row(j->d, k, v, j->first);
    float *bias = j->turns->sum + k->bias + at * L;
    for (int64_t t = 0; t < taps; t++) {
        float *g = j->scratch + t * size;
        int any = 0;
        for (int64_t p = 0; p < places(k); p++) {
            const int64_t q = nn_seen(k, in, p, t);
            const nn_product_walk walk = {1, j->n, 0, k->size, 1, in->size, places(in) * L, in->c, L, any};
            if (q < 0)
                continue;
            nn_product(&walk, L, in->c, dy + (at * places(k) + p) * L, x + q * L, g);
            any = 1;
        }
        if (!any)
            memset(g, 0, (size_t)size * sizeof *g);
    }
    interleave(j->scratch, taps, in->c, j->turns->sum + k->weight + at * size * taps);
    if (k->bias < 0)
        return;
    memset(bias, 0, L * sizeof *bias);
    nn_way_bias(k, j->n, dy, at * L, bias);
}

const nn_way nn_taps_way = {fits, weights, scratch, pack, forward, back_data, NULL, slices, slice};
