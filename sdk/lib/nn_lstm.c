/* LSTM over tokens (Hochreiter & Schmidhuber 1997, with the forget gate of Gers et al. 2000), as PyTorch's: of one
 * direction or of both side by side. The products with the input are made for all tokens at once; those with the last
 * output step by step, for all texts of a group that are long enough, so that nothing is padded. They are by packed
 * weights, of which a text gives the same bits beside any others; in passes without these they have DAL_NN_TILE
 * columns, whoever is there. */
#include "nn_lstm.h"

#include <dal/linalg.h>

#include "clones.h"
#include "nn_math.h"
#include "nn_packed.h"
#include "nn_product.h"

#define GROUP 64 /* texts that go step by step together */

/* ---- what lies where ---------------------------------------------------------------------------- */

/* One direction of a layer, in a job. Rows of gates, cells and dgates are tokens. */
typedef struct direction {
    const nn_job *j;
    const nn_node *k;
    int32_t v;
    int reverse;
    int64_t in, w, out;                      /* out: width of the layer's value */
    const float *by_x, *by_h, *bias, *bias2; /* [4 w, in], [4 w, w], [4 w], [4 w] */
    const float *packed_x, *packed_h;        /* the first two in panels, of this way; NULL: none */
    /* [tokens, 4 w] input, forget, cell, output gates; [tokens, w]; as gates */
    float *gates, *cells, *dgates;
    float *y;                                /* of the layer, at this direction's columns */
    float *h, *product, *turned, *dc;        /* scratch: [GROUP, 4 w], alike, alike, [GROUP, w] */
} direction;

static int64_t weights_of(int64_t in, int64_t w)
{
    return 4 * w * (in + w + 2);
}

static int64_t packed_of(int64_t in, int64_t w, int backward)
{
    const int64_t by_x = backward ? nn_product_packed(in, 4 * w) : nn_product_packed(4 * w, in);
    return by_x + (backward ? nn_product_packed(w, 4 * w) : nn_product_packed(4 * w, w));
}

int64_t nn_lstm_packed(const dal_nn *nn, int32_t v)
{
    const nn_node *k = &nn->node[v];
    if (k->op != &nn_lstm_op || !nn_product_has_kernel())
        return 0;
    const int64_t in = nn->node[k->in[0]].c, w = k->c / k->groups, forward = packed_of(in, w, 0),
        back = packed_of(in, w, 1);
    return k->groups * (forward > back ? forward : back);
}

void nn_lstm_pack(const dal_nn *nn, int32_t v, int backward, const float *weights, float *to)
{
    const nn_node *k = &nn->node[v];
    const int64_t in = nn->node[k->in[0]].c, w = k->c / k->groups;
    for (int64_t d = 0; d < k->groups; d++, weights += weights_of(in, w), to += packed_of(in, w, backward)) {
        if (backward) {
            nn_product_pack_rows(in, 4 * w, weights, to);
            nn_product_pack_rows(w, 4 * w, weights + 4 * w * in, to + nn_product_packed(in, 4 * w));
        } else {
            nn_product_pack(4 * w, in, weights, to);
            nn_product_pack(4 * w, w, weights + 4 * w * in, to + nn_product_packed(4 * w, in));
        }
    }
}

static direction direction_of(const nn_job *j, int32_t v, int number, int backward)
{
    const nn_node *k = &j->nn->node[v];
    const int64_t in = j->nn->node[k->in[0]].c, w = k->c / k->groups, rows = j->n * k->h;
    const float *weights = j->weights + k->weight + number * weights_of(in, w);
    float *kept = (float *)(void *)((char *)j->aux[v] + j->first * k->aux) + number * rows * 9 * w;
    float *s = j->scratch;
    const float *packed = nn_packed_of(j, v);
    if (packed)
        packed += number * packed_of(in, w, backward);
    return (direction){.j = j, .k = k, .v = v, .packed_x = packed,
                       .packed_h = packed ? packed + nn_product_packed(backward ? in : 4 * w,
                                                                       backward ? 4 * w : in) : NULL,
                       .reverse = number == 1 || (k->flags & DAL_NN_BACKWARDS && k->groups == 1),
                       .in = in, .w = w, .out = k->c, .by_x = weights, .by_h = weights + 4 * w * in,
                       .bias = weights + 4 * w * (in + w), .bias2 = weights + 4 * w * (in + w + 1), .gates = kept,
                       .cells = kept + rows * 4 * w, .dgates = kept + rows * 5 * w,
                       .y = nn_row(j->value, k, v, j->first) + number * w, .h = s, .product = s + GROUP * 4 * w,
                       .turned = s + 2 * GROUP * 4 * w, .dc = s + 3 * GROUP * 4 * w};
}

static int64_t length(const nn_job *j, int64_t i)
{
    return j->token_at[i + 1] - j->token_at[i];
}

/* The row of what sample i reads in step t. */
static int64_t row_at(const direction *d, int64_t i, int64_t t)
{
    return d->reverse ? d->j->token_at[i + 1] - 1 - t : d->j->token_at[i] + t;
}

static int64_t longest_of(const nn_job *j, int64_t first, int64_t end)
{
    int64_t n = 0;
    for (int64_t i = first; i < end; i++)
        n = length(j, i) > n ? length(j, i) : n;
    return n;
}

/* ---- products ----------------------------------------------------------------------------------- */

static void transpose(const float *from, int64_t rows, int64_t cols, float *to)
{
    for (int64_t i = 0; i < rows; i++)
        for (int64_t c = 0; c < cols; c++)
            to[c * rows + i] = from[i * cols + c];
}

/* c [rows, cols] = or += a [rows, k] b, which is in panels. */
static dal_status by_panels(int64_t rows, int64_t cols, int64_t k, const float *a, const float *b, int add, float *c)
{
    const nn_product_walk walk = {1, k, 0, 1, k, NN_PANEL, k * NN_PANEL, cols, NN_PANEL, add};
    nn_product(&walk, rows, cols, a, b, c);
    return DAL_OK;
}

/* Are rows of what a step multiplies those of texts that are still there? Else those of a whole tile. */
static int is_dense(const direction *d)
{
    return d->packed_h || !d->j->tile;
}

/* product [m, 4 w] = h [m, w] times by_h turned. */
static dal_status recur(const direction *d, int64_t m)
{
    const int64_t w = d->w;
    if (d->packed_h)
        return by_panels(m, 4 * w, w, d->h, d->packed_h, 0, d->product);
    if (!d->j->tile)
        return dal_gemm_nt(m, 4 * w, w, 1, d->h, w, d->by_h, w, 0, d->product, 4 * w);
    const dal_status st = dal_gemm_nt(4 * w, DAL_NN_TILE, w, 1, d->by_h, w, d->h, w, 0, d->turned, DAL_NN_TILE);
    transpose(d->turned, 4 * w, DAL_NN_TILE, d->product);
    return st;
}

/* product [m, w] = h [m, 4 w], gradients of gates, times by_h. */
static dal_status recur_back(const direction *d, int64_t m)
{
    const int64_t w = d->w;
    if (d->packed_h)
        return by_panels(m, w, 4 * w, d->h, d->packed_h, 0, d->product);
    if (!d->j->tile)
        return dal_gemm_nn(m, w, 4 * w, 1, d->h, 4 * w, d->by_h, w, 0, d->product, w);
    float *sums = d->h;
    transpose(d->h, DAL_NN_TILE, 4 * w, d->turned);
    const dal_status st = dal_gemm_tn(w, DAL_NN_TILE, 4 * w, 1, d->by_h, w, d->turned, DAL_NN_TILE, 0, sums,
                                      DAL_NN_TILE);
    transpose(sums, w, DAL_NN_TILE, d->product);
    return st;
}

/* In passes a sample's numbers must not depend on what is beside it: a product a sample. */
static int64_t n_spans(const nn_job *j)
{
    return j->tile ? j->n : 1;
}

static int64_t span_first(const nn_job *j, int64_t i)
{
    return j->tile ? j->token_at[i] : 0;
}

static int64_t span_rows(const nn_job *j, int64_t i)
{
    return j->tile ? length(j, i) : j->token_at[j->n];
}

/* ---- forward ------------------------------------------------------------------------------------ */

static inline float sigmoid(float x)
{
    return 1.0f / (1.0f + nn_exp(-x));
}

/* gates [4 w] hold what comes of the input and become the gates; more: of the last output, c0: the last cell; NULL:
 * none. */
DAL_CLONES static void step_forward(int64_t w, float *restrict gates, const float *restrict more,
                                    const float *restrict c0, float *restrict c, float *restrict h)
{
    for (int64_t l = 0; l < 4 * w && more; l++)
        gates[l] += more[l];
    for (int64_t l = 0; l < w; l++) {
        const float in = sigmoid(gates[l]), forget = sigmoid(gates[w + l]), cell = nn_tanh(gates[2 * w + l]);
        const float show = sigmoid(gates[3 * w + l]);
        gates[l] = in;
        gates[w + l] = forget;
        gates[2 * w + l] = cell;
        gates[3 * w + l] = show;
        c[l] = in * cell + (c0 ? forget * c0[l] : 0);
        h[l] = show * nn_tanh(c[l]);
    }
}

/* Samples first..end-1, step t. */
static dal_status forward_step(const direction *d, int64_t first, int64_t end, int64_t t)
{
    const nn_job *j = d->j;
    const int64_t w = d->w;
    int64_t m = 0;
    dal_status st = DAL_OK;
    if (t > 0 && !is_dense(d))
        memset(d->h, 0, (size_t)(DAL_NN_TILE * w) * sizeof *d->h);
    for (int64_t i = first; i < end && t > 0; i++)
        if (length(j, i) > t) {
            const int64_t slot = is_dense(d) ? m : i - first;
            nn_move(d->y + row_at(d, i, t - 1) * d->out, d->h + slot * w, w, 0);
            m++;
        }
    if (m > 0)
        st = recur(d, m);
    m = 0;
    for (int64_t i = first; i < end && st == DAL_OK; i++)
        if (length(j, i) > t) {
            const int64_t row = row_at(d, i, t), slot = is_dense(d) ? m++ : i - first;
            step_forward(w, d->gates + row * 4 * w, t > 0 ? d->product + slot * 4 * w : NULL,
                         t > 0 ? d->cells + row_at(d, i, t - 1) * w : NULL, d->cells + row * w, d->y + row * d->out);
        }
    return st;
}

static dal_status forward_direction(const direction *d)
{
    const nn_job *j = d->j;
    const float *x = nn_row(j->value, &j->nn->node[d->k->in[0]], d->k->in[0], j->first);
    dal_status st = DAL_OK;
    if (d->packed_x)
        st = by_panels(nn_rows(j, d->k), 4 * d->w, d->in, x, d->packed_x, 0, d->gates);
    for (int64_t i = 0; i < n_spans(j) && !d->packed_x && st == DAL_OK; i++)
        st = dal_gemm_nt(span_rows(j, i), 4 * d->w, d->in, 1, x + span_first(j, i) * d->in, d->in, d->by_x, d->in, 0,
                         d->gates + span_first(j, i) * 4 * d->w, 4 * d->w);
    nn_add_bias(d->bias, nn_rows(j, d->k), 4 * d->w, 0, d->gates);
    nn_add_bias(d->bias2, nn_rows(j, d->k), 4 * d->w, 0, d->gates);
    for (int64_t first = 0; first < j->n; first += GROUP) {
        const int64_t end = first + GROUP < j->n ? first + GROUP : j->n, steps = longest_of(j, first, end);
        for (int64_t t = 0; t < steps && st == DAL_OK; t++)
            st = forward_step(d, first, end, t);
    }
    return st;
}

static dal_status forward(const nn_job *j, int32_t v)
{
    dal_status st = DAL_OK;
    for (int number = 0; number < j->nn->node[v].groups && st == DAL_OK; number++) {
        const direction d = direction_of(j, v, number, 0);
        st = forward_direction(&d);
    }
    return st;
}

/* ---- backward ----------------------------------------------------------------------------------- */

/* dh: of the output; more: what the next step adds to it, NULL: it is the last. dc becomes that of the cell before. */
DAL_CLONES static void step_backward(int64_t w, const float *restrict gates, const float *restrict c,
                                     const float *restrict c0, const float *restrict dh, const float *restrict more,
                                     float *restrict dc, float *restrict dgates)
{
    for (int64_t l = 0; l < w; l++) {
        const float in = gates[l], forget = gates[w + l], cell = gates[2 * w + l], show = gates[3 * w + l],
            s = nn_tanh(c[l]);
        const float d = dh[l] + (more ? more[l] : 0), by_cell = (more ? dc[l] : 0) + d * show * (1 - s * s);
        dgates[l] = by_cell * cell * in * (1 - in);
        dgates[w + l] = c0 ? by_cell * c0[l] * forget * (1 - forget) : 0;
        dgates[2 * w + l] = by_cell * in * (1 - cell * cell);
        dgates[3 * w + l] = d * s * show * (1 - show);
        dc[l] = by_cell * forget;
    }
}

static dal_status backward_step(const direction *d, const float *dy, int64_t first, int64_t end, int64_t t)
{
    const nn_job *j = d->j;
    const int64_t w = d->w;
    int64_t m = 0;
    dal_status st = DAL_OK;
    if (!is_dense(d))
        memset(d->h, 0, (size_t)(DAL_NN_TILE * 4 * w) * sizeof *d->h);
    for (int64_t i = first; i < end; i++)
        if (length(j, i) > t + 1) {
            const int64_t slot = is_dense(d) ? m : i - first;
            nn_move(d->dgates + row_at(d, i, t + 1) * 4 * w, d->h + slot * 4 * w, 4 * w, 0);
            m++;
        }
    if (m > 0)
        st = recur_back(d, m);
    m = 0;
    for (int64_t i = first; i < end && st == DAL_OK; i++) {
        if (length(j, i) <= t)
            continue;
        const int64_t row = row_at(d, i, t);
        const float *more = NULL;
        if (length(j, i) > t + 1)
            more = d->product + (is_dense(d) ? m++ : i - first) * w;
        step_backward(w, d->gates + row * 4 * w, d->cells + row * w, t > 0 ? d->cells + row_at(d, i, t - 1) * w : NULL,
                      dy + row * d->out, more, d->dc + (i - first) * w, d->dgates + row * 4 * w);
    }
    return st;
}

/* The gradient of weights by output: of each token the output before it, so many of them at a time as there is room for
 * in scratch. */
static dal_status add_by_output(const direction *d, float *by_h)
{
    const nn_job *j = d->j;
    const int64_t w = d->w, room = 4 * GROUP, all = j->token_at[j->n];
    dal_status st = DAL_OK;
    for (int64_t i = 0, first = 0, row = 0; row < all && st == DAL_OK; row++) {
        float *to = d->h + (row - first) * w;
        while (j->token_at[i + 1] <= row)
            i++;
        if (row == (d->reverse ? j->token_at[i + 1] - 1 : j->token_at[i]))
            memset(to, 0, (size_t)w * sizeof *to);
        else
            nn_move(d->y + (d->reverse ? row + 1 : row - 1) * d->out, to, w, 0);
        if (row + 1 == all || row + 1 - first == room) {
            st = dal_gemm_tn(4 * w, w, row + 1 - first, 1, d->dgates + first * 4 * w, 4 * w, d->h, w, 1, by_h, w);
            first = row + 1;
        }
    }
    return st;
}

/* Of what a direction has: weights by input and by output, biases. gradient: its part. */
static dal_status add_gradients(const direction *d, const float *x, float *gradient)
{
    const nn_job *j = d->j;
    const int64_t w = d->w, n = nn_rows(j, d->k);
    float *by_h = gradient + 4 * w * d->in, *bias = by_h + 4 * w * w;
    dal_status st = n > 0 ? dal_gemm_tn(4 * w, d->in, n, 1, d->dgates, 4 * w, x, d->in, 1, gradient, d->in) : DAL_OK;
    if (st == DAL_OK)
        st = add_by_output(d, by_h);
    for (int64_t i = 0; i < n; i++) {
        nn_move(d->dgates + i * 4 * w, bias, 4 * w, 1);
        nn_move(d->dgates + i * 4 * w, bias + 4 * w, 4 * w, 1);
    }
    return st;
}

static dal_status backward_direction(const direction *d, int number, float *gradient)
{
    const nn_job *j = d->j;
    const nn_node *a = &j->nn->node[d->k->in[0]];
    const int64_t w = d->w;
    const float *dy = nn_row(j->d, d->k, d->v, j->first) + number * w;
    dal_status st = DAL_OK;
    for (int64_t first = 0; first < j->n; first += GROUP) {
        const int64_t end = first + GROUP < j->n ? first + GROUP : j->n;
        for (int64_t t = longest_of(j, first, end) - 1; t >= 0 && st == DAL_OK; t--)
            st = backward_step(d, dy, first, end, t);
    }
    if (st == DAL_OK && gradient)
        st = add_gradients(d, nn_row(j->value, a, d->k->in[0], j->first), gradient + number * weights_of(d->in, w));
    if (st != DAL_OK || !j->d[d->k->in[0]])
        return st;
    float *dx = nn_row(j->d, a, d->k->in[0], j->first);
    const int add = d->k->first_writer[0] && number == 0 ? 0 : 1;
    if (d->packed_x)
        return by_panels(nn_rows(j, d->k), d->in, 4 * w, d->dgates, d->packed_x, add, dx);
    for (int64_t i = 0; i < n_spans(j) && st == DAL_OK; i++)
        st = dal_gemm_nn(span_rows(j, i), d->in, 4 * w, 1, d->dgates + span_first(j, i) * 4 * w, 4 * w, d->by_x, d->in,
                         (float)add, dx + span_first(j, i) * d->in, d->in);
    return st;
}

static dal_status backward(const nn_job *j, int32_t v)
{
    const nn_node *k = &j->nn->node[v];
    float *gradient = nn_wants_gradient(j) ? nn_gradient_begin(j, k, 0) : NULL;
    dal_status st = DAL_OK;
    for (int number = 0; number < k->groups && st == DAL_OK; number++) {
        const direction d = direction_of(j, v, number, 1);
        st = backward_direction(&d, number, gradient);
    }
    return st == DAL_OK && gradient ? nn_gradient_end(j, v, 0) : st;
}

const nn_op nn_lstm_op = {"lstm", forward, backward};

/* ---- declaring ---------------------------------------------------------------------------------- */

dal_nn_value dal_nn_lstm(dal_nn *nn, dal_nn_value x, const char *name, int64_t width, uint32_t directions)
{
    static const char *const what[2][4] = {{"weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"},
                                           {"weight_ih_l0_reverse", "weight_hh_l0_reverse", "bias_ih_l0_reverse",
                                            "bias_hh_l0_reverse"}};
    if (!nn_takes_tokens(nn, x, name))
        return -1;
    const int64_t in = nn->node[x].c, both = directions == (DAL_NN_FORWARDS | DAL_NN_BACKWARDS) ? 2 : 1;
    if (directions == 0 || directions > (DAL_NN_FORWARDS | DAL_NN_BACKWARDS))
        return nn_fault(nn, name, "its directions are %u; expected DAL_NN_FORWARDS, DAL_NN_BACKWARDS or both",
                        (unsigned)directions);
    if (width < 1 || width > 65536 || in > 1 << 20)
        return nn_fault(nn, name, "%lld numbers a direction of %lld; expected 1..65536 of up to %d", (long long)width,
                        (long long)in, 1 << 20);
    nn_node *k = nn_add_node(nn, &nn_lstm_op, name, x, -1, both * width, nn->node[x].h, 1);
    if (!k)
        return -1;
    k->tokens = 1;
    k->groups = both;
    k->flags = directions;
    k->aux = both * k->h * 9 * width * (int64_t)sizeof(float);
    k->scratch = GROUP * 13 * width;
    for (int64_t d = 0; d < both; d++)
        for (int i = 0; i < 4; i++) {
            const int backwards = d == 1 || directions == DAL_NN_BACKWARDS;
            const int64_t at = nn_take_weights(nn, k, what[backwards][i], i < 2 ? DAL_ROLE_WEIGHT : DAL_ROLE_BIAS,
                                               4 * width * (i == 0 ? in : i == 1 ? width : 1));
            k->weight = d == 0 && i == 0 ? at : k->weight;
        }
    return nn_done(nn, both * k->h * 4 * width * (in + width));
}
