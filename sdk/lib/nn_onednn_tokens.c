/* Linear layers over tokens in bf16: both factors of a product are rounded once, to the nearest; its sums are f32. The number
 * of tokens differs from call to call and a primitive is of one shape, so a product is made of pieces of 256, 64 and 16 rows;
 * the last is filled up with zeros. How it is cut depends on the number of tokens alone. */
#include "nn_onednn_plan.h"

#include "nn_half.h"

enum { PIECES = 3, SUMS = 2 };
static const int64_t rows_of[PIECES] = {256, 64, 16};

/* Of all layers of one shape. FORWARD: x times weights; BACK_DATA: dy times weights; BACK_WEIGHTS: dy times x. */
typedef struct shape {
    int64_t in, out;
    matmul of[WAYS][PIECES][SUMS];
} shape;

struct nn_token_products {
    struct nn_onednn engine; /* its engine, stream and attributes alone */
    dnnl_primitive_attr_t attr_sum;
    shape *shapes;
    int32_t n, *of_layer; /* [n values] which shape; -1: no such layer */
    int64_t pad, widest;  /* floats of the scratchpads; of a row */
};

/* ---- making ------------------------------------------------------------------------------------- */

static dnnl_status_t make_piece(nn_token_products *p, const shape *s, int w, int64_t rows, int sum, matmul *to)
{
    dnnl_status_t st = nn_matmul_describe(w, rows, s->in, s->out, dnnl_f32, to);
    if (st == dnnl_success)
        st = nn_matmul_make(p->engine.engine, sum ? p->attr_sum : p->engine.attr, 0, to);
    if (st == dnnl_success)
        p->pad = floats_of(&to->scratchpad) > p->pad ? floats_of(&to->scratchpad) : p->pad;
    return st;
}

static dnnl_status_t make_shape(nn_token_products *p, shape *s)
{
    dnnl_status_t st = dnnl_success;
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

/* The shape of the layer, made if it is the first of it. */
static dnnl_status_t find_shape(nn_token_products *p, int64_t in, int64_t out, int32_t *found)
{
    for (int32_t i = 0; i < p->n; i++)
        if (p->shapes[i].in == in && p->shapes[i].out == out) {
            *found = i;
            return dnnl_success;
        }
    *found = p->n++;
    shape *s = &p->shapes[*found];
    *s = (shape){.in = in, .out = out};
    p->widest = in > p->widest ? in : p->widest;
    p->widest = out > p->widest ? out : p->widest;
    return make_shape(p, s);
}

static int is_token_linear(const nn_node *k)
{
    return k->op == &nn_token_linear_op;
}

/* Floats of `rows` rows of bf16, and of the widest. */
static int64_t room_of(const nn_token_products *p)
{
    return rows_of[0] * ((p->widest + 31) / 32 * 16);
}

dal_status nn_token_products_open(dal_nn *nn, dal_error *err)
{
    const dal_host *host = nn->host;
    nn_token_products *p = host->alloc(host, sizeof *p, 0);
    if (!p)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for a network");
    *p = (nn_token_products){.shapes = dal_array(host, nn->n, sizeof *p->shapes),
                             .of_layer = dal_array(host, nn->n, sizeof *p->of_layer)};
    nn->token_products = p;
    if (!p->shapes || !p->of_layer)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for a network");
    const int width = narrow();
    dnnl_status_t st = make_engine(p);
    for (int32_t v = 0; v < nn->n; v++) {
        const nn_node *k = &nn->node[v];
        p->of_layer[v] = -1;
        if (is_token_linear(k) && st == dnnl_success)
            st = find_shape(p, nn->node[k->in[0]].c, k->c, &p->of_layer[v]);
    }
    widen(width);
    const int64_t scratch = p->pad + 2 * room_of(p) + rows_of[PIECES - 1] * p->widest;
    nn->scratch = scratch > nn->scratch ? scratch : nn->scratch;
    return st == dnnl_success ? DAL_OK
                              : dal_fail(err, status_of(st), "precision", "oneDNN cannot multiply tokens in bf16 (its status "
                                         "%d): take precision f32", (int)st);
}

void nn_token_products_close(dal_nn *nn)
{
    nn_token_products *p = nn->token_products;
    if (!p)
        return;
    for (int32_t i = 0; p->shapes && i < p->n; i++)
        for (int w = 0; w < WAYS; w++)
            for (int r = 0; r < PIECES; r++)
                for (int sum = 0; sum < SUMS; sum++)
                    if (p->shapes[i].of[w][r][sum].run)
                        dnnl_primitive_destroy(p->shapes[i].of[w][r][sum].run);
    if (p->attr_sum)
        dnnl_primitive_attr_destroy(p->attr_sum);
    nn_engine_close(&p->engine);
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

static void multiply(work *m, int w, int i, int sum, const float *a, const float *b, float *c)
{
    if (m->st == dnnl_success)
        m->st = nn_matmul(&m->p->engine, &m->s->of[w][i][sum], a, b, NULL, c, m->j->scratch);
}

/* The largest piece that n rows fill, or the smallest. */
static int piece_of(int64_t n)
{
    int i = 0;
    while (i + 1 < PIECES && n < rows_of[i])
        i++;
    return i;
}

/* n <= rows rows in bf16, the others zero. */
static const float *rounded(const float *x, int64_t n, int64_t rows, int64_t width, float *to)
{
    nn_half_round(x, to, n * width, 0);
    memset((nn_bf16 *)(void *)to + n * width, 0, (size_t)((rows - n) * width) * sizeof(nn_bf16));
    return to;
}

/* to = or += from [n, from_width] times the layer's weights. */
static dal_status rows_by_weights(const nn_job *j, int32_t v, int w, int64_t n, const float *from, int add, float *to)
{
    work m = begin(j, v);
    const int64_t from_width = w == FORWARD ? m.s->in : m.s->out, to_width = w == FORWARD ? m.s->out : m.s->in;
    float *half = j->scratch + m.p->pad, *rest = half + 2 * room_of(m.p);
    for (int64_t at = 0; at < n; at += rows_of[piece_of(n - at)]) {
        const int i = piece_of(n - at);
        const int64_t here = n - at < rows_of[i] ? n - at : rows_of[i];
        const int whole = here == rows_of[i];
        float *out = to + at * to_width;
        multiply(&m, w, i, whole && add, rounded(from + at * from_width, here, rows_of[i], from_width, half), j->packed[v],
                 whole ? out : rest);
        if (!whole)
            nn_move(rest, out, here * to_width, add);
    }
    return nn_onednn_failed(j, v, "product of tokens", m.st);
}

dal_status nn_token_forward(const nn_job *j, int32_t v, int64_t n, const float *x, float *y)
{
    return rows_by_weights(j, v, FORWARD, n, x, 0, y);
}

dal_status nn_token_back_data(const nn_job *j, int32_t v, int64_t n, const float *dy, int add, float *dx)
{
    return rows_by_weights(j, v, BACK_DATA, n, dy, add, dx);
}

dal_status nn_token_back_weights(const nn_job *j, int32_t v, int64_t n, const float *dy, const float *x, int add,
                                 float *gradient)
{
    work m = begin(j, v);
    float *half_dy = j->scratch + m.p->pad, *half_x = half_dy + room_of(m.p);
    for (int64_t at = 0; at < n; at += rows_of[piece_of(n - at)]) {
        const int i = piece_of(n - at);
        const int64_t here = n - at < rows_of[i] ? n - at : rows_of[i];
        rounded(dy + at * m.s->out, here, rows_of[i], m.s->out, half_dy);
        rounded(x + at * m.s->in, here, rows_of[i], m.s->in, half_x);
        multiply(&m, BACK_WEIGHTS, i, add || at > 0, half_dy, half_x, gradient);
    }
    return nn_onednn_failed(j, v, "product of the gradient of tokens", m.st);
}

int64_t nn_token_packed_size(const dal_nn *nn, int32_t v)
{
    const nn_token_products *p = nn->token_products;
    if (!p || p->of_layer[v] < 0)
        return 0;
    const shape *s = &p->shapes[p->of_layer[v]];
    return (s->in * s->out + 31) / 32 * 16;
}

void nn_token_pack(const dal_nn *nn, int32_t v, const float *weights, float *to)
{
    const shape *s = &nn->token_products->shapes[nn->token_products->of_layer[v]];
    nn_half_round(weights, to, s->in * s->out, 0);
}
