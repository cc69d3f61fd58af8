/* Running oneDNN's convolutions on the calling thread. */
#include "nn_onednn_plan.h"

#include "nn_few.h"
#include "nn_half.h"
#include "nn_layout.h"
#include "nn_way.h"

#define MAX_ARGS 6

typedef struct call {
    const struct nn_onednn *o;
    dnnl_exec_arg_t arg[MAX_ARGS];
    int n;
    dnnl_status_t st;
} call;

static void give(call *c, int what, const dnnl_memory_desc_t *d, const float *data)
{
    union {
        const float *read;
        void *any;
    } borrowed = {data};
    if (c->st != dnnl_success || c->n == MAX_ARGS)
        return;
    c->st = dnnl_memory_create(&c->arg[c->n].memory, d, c->o->engine, borrowed.any);
    c->arg[c->n].arg = what;
    c->n += c->st == dnnl_success;
}

static dnnl_status_t finish(call *c, dnnl_primitive_t p)
{
    const int width = narrow();
    if (c->st == dnnl_success)
        c->st = dnnl_primitive_execute(p, c->o->stream, c->n, c->arg);
    widen(width);
    for (int i = 0; i < c->n; i++)
        dnnl_memory_destroy(c->arg[i].memory);
    return c->st;
}

static dnnl_status_t move(const struct nn_onednn *o, dnnl_primitive_t p, const dnnl_memory_desc_t *from, const float *x,
                          const dnnl_memory_desc_t *to, float *y)
{
    call c = {.o = o};
    if (!p) {
        memcpy(y, x, dnnl_memory_desc_get_size(to));
        return dnnl_success;
    }
    give(&c, DNNL_ARG_FROM, from, x);
    give(&c, DNNL_ARG_TO, to, y);
    return finish(&c, p);
}

dnnl_status_t nn_reorder(const struct nn_onednn *o, dnnl_primitive_t p, const dnnl_memory_desc_t *from, const float *x,
                         const dnnl_memory_desc_t *to, float *y)
{
    return move(o, p, from, x, to, y);
}

dnnl_status_t nn_matmul_describe(int w, int64_t rows, int64_t in, int64_t out, dnnl_data_type_t y_type, matmul *m)
{
    const dnnl_dims_t x = {rows, in}, y = {rows, out}, y_turned = {out, rows}, weights = {out, in},
        weights_turned = {in, out};
    const int64_t *a = w == FORWARD ? x : w == BACK_DATA ? y : y_turned;
    const int64_t *b = w == FORWARD ? weights_turned : w == BACK_DATA ? weights : x;
    const int64_t *c = w == FORWARD ? y : w == BACK_DATA ? x : weights;
    dnnl_status_t st = dnnl_memory_desc_init_by_tag(&m->a, 2, a, dnnl_bf16, w == BACK_WEIGHTS ? dnnl_ba : dnnl_ab);
    if (st == dnnl_success)
        st = dnnl_memory_desc_init_by_tag(&m->b, 2, b, dnnl_bf16, w == FORWARD ? dnnl_ba : dnnl_ab);
    return st == dnnl_success ? dnnl_memory_desc_init_by_tag(&m->c, 2, c, w == FORWARD ? y_type : dnnl_f32, dnnl_ab)
        : st;
}

dnnl_status_t nn_matmul_make(dnnl_engine_t engine, dnnl_primitive_attr_t attr, int biased, matmul *m)
{
    dnnl_primitive_desc_t pd = NULL;
    dnnl_matmul_desc_t d;
    dnnl_status_t st = dnnl_matmul_desc_init(&d, &m->a, &m->b, biased ? &m->bias : NULL, &m->c);
    if (st == dnnl_success)
        st = dnnl_primitive_desc_create(&pd, &d, attr, engine, NULL);
    if (st == dnnl_success) {
        m->scratchpad = *dnnl_primitive_desc_query_md(pd, dnnl_query_scratchpad_md, 0);
        st = dnnl_primitive_create(&m->run, pd);
    }
    dnnl_primitive_desc_destroy(pd);
    return st;
}

dnnl_status_t nn_matmul(const struct nn_onednn *o, const matmul *m, const float *a, const float *b, const float *bias,
                        float *c, float *scratch)
{
    call all = {.o = o};
    give(&all, DNNL_ARG_SRC, &m->a, a);
    give(&all, DNNL_ARG_WEIGHTS, &m->b, b);
    if (bias)
        give(&all, DNNL_ARG_BIAS, &m->bias, bias);
    give(&all, DNNL_ARG_DST, &m->c, c);
    give(&all, DNNL_ARG_SCRATCHPAD, &m->scratchpad, scratch);
    return finish(&all, m->run);
}

dal_status nn_onednn_pack(const dal_nn *nn, int32_t v, int backward, const float *weights, float *to)
{
    if (nn_token_packed_size(nn, v) > 0)
        return nn_token_pack(nn, v, backward, weights, to);
    const conv_orders *c = &nn->onednn->conv[v];
    const int w = backward ? BACK_DATA : FORWARD;
    const nn_way *by = nn_way_of(nn, v);
    if (by) {
        by->pack(nn, v, backward, weights, to);
        return DAL_OK;
    }
    return status_of(move(nn->onednn, c->pack[w], &c->plain, weights, &c->w[w], to));
}

dal_status nn_unpack(const dal_nn *nn, int32_t v, const nn_turns *turns)
{
    const nn_node *k = &nn->node[v];
    const conv_orders *c = &nn->onednn->conv[v];
    if (k->op != &nn_conv_op || !c->sum_packed || nn_way_of(nn, v))
        return DAL_OK;
    if (k->bias >= 0)
        memcpy(turns->sum + k->bias, turns->packed + k->bias, (size_t)k->c * sizeof *turns->sum);
    return status_of(move(nn->onednn, c->unpack, &c->w[BACK_WEIGHTS], turns->packed + k->weight, &c->plain,
                          turns->sum + k->weight));
}

dal_status nn_onednn_failed(const nn_job *j, int32_t v, const char *what, dnnl_status_t st)
{
    char text[256];
    if (st == dnnl_success)
        return DAL_OK;
    snprintf(text, sizeof text, "layer '%s': oneDNN's %s failed with its status %d", j->nn->node[v].name, what,
             (int)st);
    j->nn->host->log(j->nn->host, DAL_LOG_ERROR, text);
    return status_of(st);
}

/* Weights of this way: packed by the caller for all shards, or now. */
static const float *weights_of(const nn_job *j, int32_t v, const way *w, int backward, dnnl_status_t *st)
{
    if (j->packed)
        return j->packed[v];
    float *to = j->scratch + w->scratch_w;
    const conv_orders *c = &j->nn->onednn->conv[v];
    *st = move(j->nn->onednn, c->pack[backward], &c->plain, j->weights + j->nn->node[v].weight, &c->w[backward], to);
    return to;
}

/* x in the order of a primitive, by way of the scratch if need be. */
static const float *ordered(const nn_job *j, dnnl_primitive_t how, const dnnl_memory_desc_t *from, const float *x,
                            const dnnl_memory_desc_t *to, int64_t scratch, dnnl_status_t *st)
{
    if (!how || *st != dnnl_success)
        return x;
    *st = move(j->nn->onednn, how, from, x, to, j->scratch + scratch);
    return j->scratch + scratch;
}

/* Rows first..first+n of the plan. */
static dnnl_status_t forward_rows(const nn_job *j, int32_t v, int64_t first, const float *weights)
{
    const nn_node *k = &j->nn->node[v], *in = &j->nn->node[k->in[0]];
    const conv_plan *p = &j->plans->conv[v];
    const way *w = &p->way[FORWARD];
    const struct nn_onednn *o = j->nn->onednn;
    float *out = nn_row(j->value, k, nn_conv_out(j, v), first), *y = w->move_y ? j->scratch + w->scratch_y : out;
    call c = {.o = o, .st = dnnl_success};
    const float *x = ordered(j, w->move_x, &p->x, nn_row(j->value, in, k->in[0], first), &w->x, w->scratch_x, &c.st);
    give(&c, DNNL_ARG_SRC, &w->x, x);
    give(&c, DNNL_ARG_WEIGHTS, &w->w, weights);
    if (p->biased)
        give(&c, DNNL_ARG_BIAS, &o->conv[v].bias, nn_conv_bias(j, v));
    give(&c, DNNL_ARG_DST, &w->y, y);
    give(&c, DNNL_ARG_SCRATCHPAD, &w->scratchpad, j->scratch);
    const dnnl_status_t st = finish(&c, w->run);
    return st == dnnl_success && w->move_y ? move(o, w->move_y, &w->y, y, &p->y, out) : st;
}

dal_status nn_onednn_forward(const nn_job *j, int32_t v)
{
    const nn_node *k = &j->nn->node[v];
    const conv_plan *p = &j->plans->conv[v];
    dnnl_status_t st = dnnl_success;
    const nn_way *by = j->training || j->ready ? nn_way_of(j->nn, v) : NULL;
    if (by)
        return by->forward(j, v);
    if (nn_patches_fit(j->nn, v, FORWARD))
        return nn_patches_forward(j, v);
    const float *weights = weights_of(j, v, &p->way[FORWARD], FORWARD, &st);
    const float *late = p->biased ? NULL : nn_conv_bias(j, v); /* one the primitive does not know of */
    for (int64_t i = 0; i < j->n && st == dnnl_success; i += p->n) {
        const int64_t n = j->n - i < p->n ? j->n - i : p->n;
        st = forward_rows(j, v, j->first + i, weights);
        float *y = nn_row(j->value, k, nn_conv_out(j, v), j->first + i);
        if (late)
            nn_strips_add_bias(k, n, late, y);
        if (nn_conv_relu(j, v) && !p->fused)
            (k->half ? nn_half_relu : nn_relu)(y, n * k->size);
    }
    return nn_onednn_failed(j, v, "forward convolution", st);
}

static dnnl_status_t back_data_rows(const nn_job *j, int32_t v, int64_t first, const float *weights)
{
    const nn_node *k = &j->nn->node[v], *in = &j->nn->node[k->in[0]];
    const conv_plan *p = &j->plans->conv[v];
    const way *w = &p->way[BACK_DATA];
    const struct nn_onednn *o = j->nn->onednn;
    const int add = !k->first_writer[0];
    /* dx: as the primitive makes it; last: in the network's order, to be added or already in its place */
    float *out = nn_row(j->d, in, k->in[0], first), *last = add ? j->scratch + w->scratch_x : out;
    float *dx = w->move_x ? j->scratch + w->scratch_x + floats_of(&p->x) : last;
    call c = {.o = o, .st = dnnl_success};
    const float *dy = ordered(j, w->move_y, &p->y, nn_row(j->d, k, v, first), &w->y, w->scratch_y, &c.st);
    give(&c, DNNL_ARG_DIFF_DST, &w->y, dy);
    give(&c, DNNL_ARG_WEIGHTS, &w->w, weights);
    give(&c, DNNL_ARG_DIFF_SRC, &w->x, dx);
    give(&c, DNNL_ARG_SCRATCHPAD, &w->scratchpad, j->scratch);
    dnnl_status_t st = finish(&c, w->run);
    if (st == dnnl_success && w->move_x)
        st = move(o, w->move_x, &w->x, dx, &p->x, last);
    if (add && in->half)
        nn_half_sum(last, out, p->n * in->size);
    else if (add)
        nn_move(last, out, p->n * in->size, 1);
    return st;
}

static dal_status back_data(const nn_job *j, int32_t v)
{
    const conv_plan *p = &j->plans->conv[v];
    dnnl_status_t st = dnnl_success;
    const float *weights = weights_of(j, v, &p->way[BACK_DATA], BACK_DATA, &st);
    for (int64_t i = 0; i < j->n && st == dnnl_success; i += p->n)
        st = back_data_rows(j, v, j->first + i, weights);
    return nn_onednn_failed(j, v, "backward convolution of data", st);
}

/* Rows of a tile that are not in use must add nothing. */
static void clear_unused(const nn_job *j, int32_t v)
{
    const nn_node *k = &j->nn->node[v], *in = &j->nn->node[k->in[0]];
    const int64_t n = j->plans->conv[v].n, rest = (n - j->n % n) % n;
    memset(nn_row(j->d, k, v, j->first + j->n), 0, (size_t)nn_room(k, rest) * sizeof(float));
    memset(nn_row(j->value, in, k->in[0], j->first + j->n), 0, (size_t)nn_room(in, rest) * sizeof(float));
}

/* packed: straight to where it belongs, in one call; else by way of the scratch it is added to what is plain. */
static dnnl_status_t back_weights_rows(const nn_job *j, int32_t v, int64_t first, int packed, float *gradient)
{
    const nn_node *k = &j->nn->node[v], *in = &j->nn->node[k->in[0]];
    const conv_plan *p = &j->plans->conv[v];
    const way *w = &p->way[BACK_WEIGHTS];
    const struct nn_onednn *o = j->nn->onednn;
    const conv_orders *orders = &o->conv[v];
    const int64_t count = k->n_weights - (k->bias >= 0 ? k->c : 0);
    float *own = j->scratch + w->scratch_w, *plain = own + floats_of(&w->w), *bias = plain + floats_of(&orders->plain);
    call c = {.o = o, .st = dnnl_success};
    const float *x = ordered(j, w->move_x, &p->x, nn_row(j->value, in, k->in[0], first), &w->x, w->scratch_x, &c.st);
    const float *dy = ordered(j, w->move_y, &p->y, nn_row(j->d, k, v, first), &w->y, w->scratch_y, &c.st);
    give(&c, DNNL_ARG_SRC, &w->x, x);
    give(&c, DNNL_ARG_DIFF_DST, &w->y, dy);
    give(&c, DNNL_ARG_DIFF_WEIGHTS, &w->w, packed ? gradient : own);
    if (k->bias >= 0)
        give(&c, DNNL_ARG_DIFF_BIAS, &orders->bias, packed ? gradient + count : bias);
    give(&c, DNNL_ARG_SCRATCHPAD, &w->scratchpad, j->scratch);
    dnnl_status_t st = finish(&c, w->run);
    if (st != dnnl_success || packed)
        return st;
    st = move(o, orders->unpack, &w->w, own, &orders->plain, plain);
    nn_move(plain, gradient, count, 1);
    if (k->bias >= 0)
        nn_move(bias, gradient + count, k->c, 1);
    return st;
}

static dal_status back_weights(const nn_job *j, int32_t v)
{
    const int packed = j->turns && j->nn->onednn->conv[v].sum_packed;
    float *gradient = nn_gradient_begin(j, &j->nn->node[v], packed);
    dnnl_status_t st = dnnl_success;
    clear_unused(j, v);
    for (int64_t i = 0; i < j->n && st == dnnl_success; i += j->plans->conv[v].n)
        st = back_weights_rows(j, v, j->first + i, packed, gradient);
    return st == dnnl_success ? nn_gradient_end(j, v, packed)
        : nn_onednn_failed(j, v, "backward convolution of weights", st);
}

dal_status nn_onednn_backward(const nn_job *j, int32_t v)
{
    const nn_node *k = &j->nn->node[v];
    dal_status st = DAL_OK;
    if (k->flags & DAL_NN_RELU)
        (k->half ? nn_half_relu_back : nn_relu_back)(nn_row(j->value, k, v, j->first), nn_row(j->d, k, v, j->first),
                                                     j->n * k->size);
    const nn_way *by = j->training ? nn_way_of(j->nn, v) : NULL;
    const int sliced = by && by->slices(j->nn, v) > 0; /* then the trainer asks for the gradient of the weights */
    if (nn_wants_gradient(j) && !sliced)
        st = by ? by->back_weights(j, v)
                : nn_patches_fit(j->nn, v, BACK_WEIGHTS) ? nn_patches_back_weights(j, v) : back_weights(j, v);
    if (st != DAL_OK || !j->d[k->in[0]])
        return st;
    if (nn_few_fits(j->nn, v))
        return nn_few_back_data(j, v);
    return by ? by->back_data(j, v) : nn_patches_fit(j->nn, v, BACK_DATA) ? nn_patches_back_data(j, v)
        : back_data(j, v);
}
