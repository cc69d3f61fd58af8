/* Linear layers over tokens in bf16: both factors of a product are rounded once, to the nearest; its sums are f32.
 * Weights lie as oneDNN likes them. The number of tokens differs from call to call and a primitive is of one shape, so
 * a product is made of pieces; the last is filled up with zeros. How it is cut depends on the number of tokens
 * alone. */
#include "nn_onednn_plan.h"

#include "nn_half_tokens.h"
#include "nn_onednn_heads.h"

enum { PIECES = 4, SUMS = 2 };
static const int64_t rows_of[PIECES] = {512, 128, 64, 16};
#define LEAST rows_of[PIECES - 1]

/* A block of the gradient of weights stays in the nearest large cache while all tokens are added to it. */
#define BLOCK_ROWS 384
#define BLOCK_COLS 768

/* Of all layers of one shape. FORWARD: x times weights; BACK_DATA: dy times weights; BACK_WEIGHTS: a block of dy' times
 * x. */
typedef struct shape {
    int64_t in, out;
    int half_in, half_out, biased; /* what goes in and comes out, and their gradients, in bf16? */
    int64_t rows, cols;            /* of a block of the gradient */
    dnnl_memory_desc_t plain[2], w[2]; /* weights as they are, and as oneDNN likes them: FORWARD, BACK_DATA */
    dnnl_primitive_t pack[2];
    matmul of[WAYS][PIECES][SUMS];
} shape;

struct nn_token_products {
    struct nn_onednn engine; /* its engine, stream and attributes alone */
    dnnl_primitive_attr_t attr_sum;
    shape *shapes;
    int32_t n, *of_layer; /* [n values] which shape, or which heads; -1: no such layer */
    nn_heads **heads;     /* [n_heads] */
    int32_t n_heads;
    int64_t pad, widest;  /* floats of the scratchpads; of a row */
};

/* ---- making ------------------------------------------------------------------------------------- */

static dnnl_data_type_t type_of(int half)
{
    return half ? dnnl_bf16 : dnnl_f32;
}

static dnnl_status_t matrix(dnnl_memory_desc_t *d, int64_t rows, int64_t cols, int64_t ld, dnnl_data_type_t type)
{
    const dnnl_dims_t dims = {rows, cols}, strides = {ld, 1};
    return dnnl_memory_desc_init_by_strides(d, 2, dims, type, strides);
}

/* Of a product of n tokens. */
static dnnl_status_t describe(const shape *s, int w, int64_t n, matmul *m)
{
    const dnnl_dims_t bias = {1, s->out};
    const int64_t from = w == FORWARD ? s->in : s->out, to = w == FORWARD ? s->out : s->in;
    if (w == BACK_WEIGHTS) {
        dnnl_status_t st = matrix(&m->a, s->rows, n, n, dnnl_bf16);
        if (st == dnnl_success)
            st = matrix(&m->b, n, s->cols, s->in, dnnl_bf16);
        return st == dnnl_success ? matrix(&m->c, s->rows, s->cols, s->in, dnnl_f32) : st;
    }
    m->b = s->w[w];
    dnnl_status_t st = matrix(&m->a, n, from, from, dnnl_bf16);
    if (st == dnnl_success)
        st = matrix(&m->c, n, to, to, type_of(w == FORWARD ? s->half_out : s->half_in));
    return st == dnnl_success ? dnnl_memory_desc_init_by_tag(&m->bias, 2, bias, dnnl_f32, dnnl_ab) : st;
}

static dnnl_status_t make_piece(nn_token_products *p, const shape *s, int w, int64_t rows, int sum, matmul *to)
{
    dnnl_status_t st = describe(s, w, rows, to);
    if (st == dnnl_success)
        st = nn_matmul_make(p->engine.engine, sum ? p->attr_sum : p->engine.attr, w == FORWARD && s->biased, to);
    if (st == dnnl_success)
        p->pad = floats_of(&to->scratchpad) > p->pad ? floats_of(&to->scratchpad) : p->pad;
    return st;
}

/* How the largest piece wants weights is how all have them. */
static dnnl_status_t choose_order(const nn_token_products *p, shape *s, int w)
{
    const dnnl_dims_t dims = {w == FORWARD ? s->in : s->out, w == FORWARD ? s->out : s->in};
    dnnl_primitive_desc_t pd = NULL;
    dnnl_matmul_desc_t d;
    matmul m;
    dnnl_status_t st = dnnl_memory_desc_init_by_tag(&s->w[w], 2, dims, dnnl_bf16, dnnl_format_tag_any);
    if (st == dnnl_success)
        st = dnnl_memory_desc_init_by_tag(&s->plain[w], 2, dims, dnnl_f32, w == FORWARD ? dnnl_ba : dnnl_ab);
    if (st == dnnl_success)
        st = describe(s, w, rows_of[0], &m);
    if (st == dnnl_success)
        st = dnnl_matmul_desc_init(&d, &m.a, &m.b, w == FORWARD && s->biased ? &m.bias : NULL, &m.c);
    if (st == dnnl_success)
        st = dnnl_primitive_desc_create(&pd, &d, p->engine.attr, p->engine.engine, NULL);
    if (st != dnnl_success)
        return st;
    s->w[w] = *dnnl_primitive_desc_query_md(pd, dnnl_query_weights_md, 0);
    dnnl_primitive_desc_destroy(pd);
    pd = NULL;
    st = dnnl_reorder_primitive_desc_create(&pd, &s->plain[w], p->engine.engine, &s->w[w], p->engine.engine, NULL);
    if (st == dnnl_success)
        st = dnnl_primitive_create(&s->pack[w], pd);
    dnnl_primitive_desc_destroy(pd);
    return st;
}

static dnnl_status_t make_shape(nn_token_products *p, shape *s)
{
    dnnl_status_t st = dnnl_success;
    for (int w = FORWARD; w <= BACK_DATA && st == dnnl_success; w++)
        st = choose_order(p, s, w);
    for (int w = 0; w < WAYS; w++)
        for (int i = 0; i < PIECES; i++)
            for (int sum = 0; sum < SUMS && st == dnnl_success; sum++)
                if (w != FORWARD || !sum)
                    st = make_piece(p, s, w, rows_of[i], sum, &s->of[w][i][sum]);
    return st;
}

static dnnl_status_t make_engine(nn_token_products *p)
{
    dnnl_post_ops_t then = NULL;
    dnnl_status_t st = nn_engine_open(&p->engine);
    if (st == dnnl_success)
        st = dnnl_primitive_attr_clone(&p->attr_sum, p->engine.attr);
    if (st == dnnl_success)
        st = dnnl_post_ops_create(&then);
    if (st == dnnl_success)
        st = dnnl_post_ops_append_sum(then, 1);
    if (st == dnnl_success)
        st = dnnl_primitive_attr_set_post_ops(p->attr_sum, then);
    if (then)
        dnnl_post_ops_destroy(then);
    return st;
}

/* The largest divisor of n in least..most; n: there is none. */
static int64_t divisor(int64_t n, int64_t least, int64_t most)
{
    for (int64_t d = n < most ? n : most; d >= least; d--)
        if (n % d == 0)
            return d;
    return n;
}

/* The shape of the layer, made if it is the first of it. */
static dnnl_status_t find_shape(nn_token_products *p, const nn_node *a, const nn_node *k, int32_t *found)
{
    for (int32_t i = 0; i < p->n; i++) {
        const shape *s = &p->shapes[i];
        if (s->in == a->c && s->out == k->c && s->half_in == a->half && s->half_out == k->half &&
            s->biased == (k->bias >= 0)) {
            *found = i;
            return dnnl_success;
        }
    }
    *found = p->n++;
    shape *s = &p->shapes[*found];
    *s = (shape){.in = a->c, .out = k->c, .half_in = a->half, .half_out = k->half, .biased = k->bias >= 0,
                 .rows = divisor(k->c, BLOCK_ROWS / 6, BLOCK_ROWS), .cols = divisor(a->c, BLOCK_COLS / 6, BLOCK_COLS)};
    p->widest = a->c > p->widest ? a->c : p->widest;
    p->widest = k->c > p->widest ? k->c : p->widest;
    return make_shape(p, s);
}

static dnnl_status_t find_heads(nn_token_products *p, const dal_host *host, const nn_node *k, int32_t *found)
{
    const int64_t width = k->c / k->groups;
    for (*found = 0; *found < p->n_heads; ++*found)
        if (nn_heads_fit(p->heads[*found], width, k->h))
            return dnnl_success;
    return nn_heads_open(&p->engine, host, width, k->h, &p->heads[p->n_heads++]);
}

/* Behind the scratchpad: rows that fill up a piece, what comes out of it, and a block of the gradient's dy'. */
static int64_t scratch_of(const nn_token_products *p)
{
    int64_t rows = 0;
    for (int32_t i = 0; i < p->n; i++)
        rows = p->shapes[i].rows > rows ? p->shapes[i].rows : rows;
    return p->pad + nn_half_floats(LEAST * p->widest) + LEAST * p->widest + nn_half_floats(rows * rows_of[0]);
}

static void take_scratch(dal_nn *nn, const nn_token_products *p)
{
    nn->scratch = scratch_of(p) > nn->scratch ? scratch_of(p) : nn->scratch;
    for (int32_t v = 1; v < nn->n; v++) {
        const nn_node *k = &nn->node[v];
        const int64_t own = k->op == &nn_attention_op && p->of_layer[v] >= 0
                                ? nn_half_attention_scratch(k, nn_heads_pad(p->heads[p->of_layer[v]]))
                                : 0;
        nn->scratch = own > nn->scratch ? own : nn->scratch;
    }
}

nn_heads *nn_heads_of(const dal_nn *nn, int32_t v)
{
    return nn->token_products->heads[nn->token_products->of_layer[v]];
}

dal_status nn_token_products_open(dal_nn *nn, dal_error *err)
{
    const dal_host *host = nn->host;
    nn_token_products *p = host->alloc(host, sizeof *p, 0);
    if (!p)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for a network");
    *p = (nn_token_products){.shapes = dal_array(host, nn->n, sizeof *p->shapes),
                             .of_layer = dal_array(host, nn->n, sizeof *p->of_layer),
                             .heads = dal_array(host, nn->n, sizeof *p->heads)};
    nn->token_products = p;
    if (!p->shapes || !p->of_layer || !p->heads)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for a network");
    const int width = narrow();
    dnnl_status_t st = make_engine(p);
    for (int32_t v = 0; v < nn->n; v++) {
        const nn_node *k = &nn->node[v];
        p->of_layer[v] = -1;
        if (k->op == &nn_token_linear_op && st == dnnl_success)
            st = find_shape(p, &nn->node[k->in[0]], k, &p->of_layer[v]);
        if (k->op == &nn_attention_op && nn->node[k->in[0]].half && st == dnnl_success)
            st = find_heads(p, host, k, &p->of_layer[v]);
    }
    widen(width);
    if (st == dnnl_success)
        take_scratch(nn, p);
    return st == dnnl_success ? DAL_OK
                              : dal_fail(err, status_of(st), "precision",
                                         "oneDNN cannot multiply tokens in bf16 (its status %d): take precision f32",
                                         (int)st);
}

static void drop_shape(shape *s)
{
    for (int w = 0; w < 2; w++)
        if (s->pack[w])
            dnnl_primitive_destroy(s->pack[w]);
    for (int w = 0; w < WAYS; w++)
        for (int r = 0; r < PIECES; r++)
            for (int sum = 0; sum < SUMS; sum++)
                if (s->of[w][r][sum].run)
                    dnnl_primitive_destroy(s->of[w][r][sum].run);
}

void nn_token_products_close(dal_nn *nn)
{
    nn_token_products *p = nn->token_products;
    if (!p)
        return;
    for (int32_t i = 0; p->shapes && i < p->n; i++)
        drop_shape(&p->shapes[i]);
    for (int32_t i = 0; i < p->n_heads; i++)
        nn_heads_close(p->heads[i]);
    if (p->attr_sum)
        dnnl_primitive_attr_destroy(p->attr_sum);
    nn_engine_close(&p->engine);
    nn->host->free(nn->host, p->heads);
    nn->host->free(nn->host, p->of_layer);
    nn->host->free(nn->host, p->shapes);
    nn->host->free(nn->host, p);
    nn->token_products = NULL;
}

/* ---- running ------------------------------------------------------------------------------------ */

/* A layer at work. */
typedef struct work {
    const nn_job *j;
    const nn_token_products *p;
    const shape *s;
    dnnl_status_t st;
} work;

static work begin(const nn_job *j, int32_t v)
{
    const nn_token_products *p = j->nn->token_products;
    return (work){j, p, &p->shapes[p->of_layer[v]], dnnl_success};
}

static const float *as_floats(const nn_bf16 *x)
{
    return (const float *)(const void *)x;
}

static void multiply(work *m, int w, int i, int sum, const nn_bf16 *a, const nn_bf16 *b, const float *bias, float *c)
{
    if (m->st == dnnl_success)
        m->st = nn_matmul(&m->p->engine, &m->s->of[w][i][sum], as_floats(a), as_floats(b), bias, c, m->j->scratch);
}

/* The largest piece that n rows fill, or the smallest. */
static int piece_of(int64_t n)
{
    int i = 0;
    while (i + 1 < PIECES && n < rows_of[i])
        i++;
    return i;
}

/* The last n rows of [n, width], fewer than the smallest piece, with zeros behind. */
static const nn_bf16 *filled(const work *m, const nn_bf16 *rows, int64_t n, int64_t width)
{
    nn_bf16 *to = nn_half_to(m->j->scratch + m->p->pad);
    memcpy(to, rows, (size_t)(n * width) * sizeof *to);
    memset(to + n * width, 0, (size_t)((LEAST - n) * width) * sizeof *to);
    return to;
}

/* n rows of what the smallest piece made. */
static void move_rest(const float *rest, int64_t n, int half, int add, float *to)
{
    if (!half)
        nn_move(rest, to, n, add);
    else if (add)
        nn_half_sum(rest, to, n);
    else
        memcpy(to, rest, (size_t)n * sizeof(nn_bf16));
}

/* to = or += from [n, from_width] times the layer's weights, and bias. */
static dal_status rows_by_weights(const nn_job *j, int32_t v, int w, int64_t n, const nn_bf16 *from, int add, float *to)
{
    work m = begin(j, v);
    const int64_t from_width = w == FORWARD ? m.s->in : m.s->out, to_width = w == FORWARD ? m.s->out : m.s->in;
    const int half = w == FORWARD ? m.s->half_out : m.s->half_in;
    const float *bias = w == FORWARD && m.s->biased ? j->weights + j->nn->node[v].bias : NULL;
    const nn_bf16 *weights = nn_half_at(j->packed[v]);
    float *rest = j->scratch + m.p->pad + nn_half_floats(LEAST * m.p->widest);
    for (int64_t at = 0; at < n; at += rows_of[piece_of(n - at)]) {
        const int i = piece_of(n - at);
        const int64_t here = n - at;
        const nn_bf16 *rows = from + at * from_width;
        float *out = half ? (float *)(void *)(nn_half_to(to) + at * to_width) : to + at * to_width;
        if (here >= rows_of[i]) {
            multiply(&m, w, i, add, rows, weights, bias, out);
        } else {
            multiply(&m, w, i, 0, filled(&m, rows, here, from_width), weights, bias, rest);
            move_rest(rest, here * to_width, half, add, out);
        }
    }
    return nn_onednn_failed(j, v, "product of tokens", m.st);
}

/* The layer's input in bf16, of the samples from `first` on: the value itself, or what the way forward has rounded. */
static nn_bf16 *input_of(const nn_job *j, int32_t v, int64_t first)
{
    const nn_node *k = &j->nn->node[v], *a = &j->nn->node[k->in[0]];
    return a->half ? nn_half_to(nn_row(j->value, a, k->in[0], first))
        : (nn_bf16 *)(void *)((char *)j->aux[v] + first * k->aux);
}

dal_status nn_token_forward(const nn_job *j, int32_t v)
{
    const nn_node *k = &j->nn->node[v], *a = &j->nn->node[k->in[0]];
    nn_bf16 *x = input_of(j, v, j->first);
    float *y = nn_row(j->value, k, v, j->first);
    dal_status st = DAL_OK;
    if (!a->half)
        nn_half_narrow(nn_row(j->value, a, k->in[0], j->first), nn_count(j, a), x);
    /* in passes a text gives the same bits beside any others */
    for (int64_t i = 0; i < (j->tile ? j->n : 1) && st == DAL_OK; i++) {
        const int64_t at = j->tile ? j->token_at[i] : 0, n = (j->tile ? j->token_at[i + 1] : j->token_at[j->n]) - at;
        float *out = k->half ? (float *)(void *)(nn_half_to(y) + at * k->c) : y + at * k->c;
        st = rows_by_weights(j, v, FORWARD, n, x + at * a->c, 0, out);
    }
    if (k->flags & DAL_NN_RELU)
        (k->half ? nn_half_relu : nn_relu)(y, nn_count(j, k));
    return st;
}

/* The gradient of the weights is made behind the segment, in slices. */
dal_status nn_token_backward(const nn_job *j, int32_t v)
{
    const nn_node *k = &j->nn->node[v], *a = &j->nn->node[k->in[0]];
    const float *y = nn_row(j->value, k, v, j->first);
    float *dy = nn_row(j->d, k, v, j->first);
    if (k->flags & DAL_NN_RELU)
        (k->half ? nn_half_relu_back : nn_relu_back)(y, dy, nn_count(j, k));
    if (!k->half)
        nn_half_narrow(dy, nn_count(j, k), nn_half_to(dy));
    return !j->d[k->in[0]] ? DAL_OK
                           : rows_by_weights(j, v, BACK_DATA, nn_rows(j, k), nn_half_at(dy), !k->first_writer[0],
                                             nn_row(j->d, a, k->in[0], j->first));
}

/* ---- the gradient of weights -------------------------------------------------------------------- */

int64_t nn_token_slices(const dal_nn *nn, int32_t v)
{
    const nn_token_products *p = nn->token_products;
    if (!p || nn->node[v].op != &nn_token_linear_op)
        return 0;
    const shape *s = &p->shapes[p->of_layer[v]];
    return s->out / s->rows * (s->in / s->cols);
}

/* Of n tokens, whose dy and x begin there. */
static void add_tokens(work *m, int64_t n, const nn_bf16 *dy, const nn_bf16 *x, int fresh, float *gradient, float *bias)
{
    const shape *s = m->s;
    nn_bf16 *turned = nn_half_to(m->j->scratch + m->p->pad + nn_half_floats(LEAST * m->p->widest) + LEAST *
                                 m->p->widest);
    for (int64_t at = 0; at < n; at += rows_of[piece_of(n - at)]) {
        const int i = piece_of(n - at);
        const int64_t here = n - at < rows_of[i] ? n - at : rows_of[i];
        const nn_bf16 *rows = x + at * s->in;
        nn_half_transpose(dy + at * s->out, here, s->rows, s->out, rows_of[i], turned);
        if (bias)
            nn_half_add_rows(turned, s->rows, rows_of[i], bias);
        if (here < rows_of[i]) { /* as rows of the whole width: the last may end before it */
            nn_bf16 *to = nn_half_to(m->j->scratch + m->p->pad);
            memset(to, 0, (size_t)(LEAST * s->in) * sizeof *to);
            for (int64_t r = 0; r < here; r++)
                memcpy(to + r * s->in, rows + r * s->in, (size_t)s->cols * sizeof *to);
            rows = to;
        }
        multiply(m, BACK_WEIGHTS, i, !fresh || at > 0, turned, rows, NULL, gradient);
    }
}

dal_status nn_token_slice(const nn_job *j, int32_t v, int64_t slice)
{
    work m = begin(j, v);
    const nn_node *k = &j->nn->node[v];
    const shape *s = m.s;
    const int64_t across = s->in / s->cols, row = slice / across * s->rows, col = slice % across * s->cols;
    float *gradient = j->turns->sum + k->weight + row * s->in + col;
    float *bias = k->bias >= 0 && col == 0 ? j->turns->sum + k->bias + row : NULL;
    int fresh = 1;
    if (bias)
        memset(bias, 0, (size_t)s->rows * sizeof *bias);
    for (int64_t part = 0; part < j->parts; part++) {
        const int64_t first = j->n * part / j->parts, next = j->n * (part + 1) / j->parts;
        const int64_t n = next > first ? j->token_at[next + part] : 0; /* each part has one number more than samples */
        if (n > 0)
            add_tokens(&m, n, nn_half_at(nn_row(j->d, k, v, first)) + row, input_of(j, v, first) + col, fresh,
                       gradient, bias);
        fresh = fresh && n == 0;
    }
    for (int64_t r = 0; fresh && r < s->rows; r++)
        memset(gradient + r * s->in, 0, (size_t)s->cols * sizeof *gradient);
    return nn_onednn_failed(j, v, "product of the gradient of tokens", m.st);
}

/* ---- weights ------------------------------------------------------------------------------------ */

int64_t nn_token_packed_size(const dal_nn *nn, int32_t v)
{
    const nn_token_products *p = nn->token_products;
    if (!p || nn->node[v].op != &nn_token_linear_op)
        return 0;
    const shape *s = &p->shapes[p->of_layer[v]];
    return floats_of(&s->w[FORWARD]) > floats_of(&s->w[BACK_DATA]) ? floats_of(&s->w[FORWARD])
        : floats_of(&s->w[BACK_DATA]);
}

/* Is it the one of nn_half_pack? */
static int is_ours(const dnnl_memory_desc_t *d)
{
    const dnnl_blocking_desc_t *b = &d->format_desc.blocking;
    return d->format_kind == dnnl_blocked && d->offset0 == 0 && d->dims[0] % NN_PACK_ROWS == 0 &&
        d->dims[1] % NN_PACK_COLS == 0 &&
           b->inner_nblks == 3 && b->inner_idxs[0] == 0 && b->inner_idxs[1] == 1 && b->inner_idxs[2] == 0 &&
           b->inner_blks[0] == NN_PACK_ROWS / 2 && b->inner_blks[1] == NN_PACK_COLS && b->inner_blks[2] == 2 &&
           b->strides[0] == NN_PACK_ROWS * NN_PACK_COLS && b->strides[1] == d->dims[0] * NN_PACK_COLS;
}

dal_status nn_token_pack(const dal_nn *nn, int32_t v, int backward, const float *weights, float *to)
{
    const nn_token_products *p = nn->token_products;
    const shape *s = &p->shapes[p->of_layer[v]];
    const int w = backward ? BACK_DATA : FORWARD;
    if (is_ours(&s->w[w])) {
        nn_half_pack(weights, s->out, s->in, w == FORWARD, nn_half_to(to));
        return DAL_OK;
    }
    return status_of(nn_reorder(&p->engine, s->pack[w], &s->plain[w], weights, &s->w[w], to));
}
