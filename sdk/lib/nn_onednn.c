/* Which orders oneDNN wants, and making its primitives. */
#include "nn_onednn_plan.h"

#include "nn_few.h"
#include "nn_layout.h"
#include "nn_way.h"

static dal_status told(dnnl_status_t st, const nn_node *k, const char *what, dal_error *err)
{
    return st == dnnl_success ? DAL_OK
                              : dal_fail(err, status_of(st), "",
                                         "layer '%s': oneDNN cannot %s (its status %d): try back end openblas",
                                         k->name, what, (int)st);
}

/* As the network has a value. */
static dnnl_status_t describe_half(const nn_node *k, int64_t n, dnnl_memory_desc_t *out)
{
    const dnnl_dims_t dims = {n, k->c, k->h, k->w};
    return dnnl_memory_desc_init_by_tag(out, 4, dims, k->half ? dnnl_bf16 : dnnl_f32, k->half ? dnnl_nhwc : dnnl_nchw);
}

static dnnl_status_t describe(const nn_node *k, int64_t n, int any, int64_t lanes, dnnl_memory_desc_t *out)
{
    const dnnl_dims_t dims = {n, k->c, k->h, k->w};
    const int64_t block = k->block == 1 && k->h * k->w == 1 && k->c % lanes == 0 ? lanes : k->block;
    const dnnl_format_tag_t tag = block == 8 ? dnnl_nChw8c : block == 16 ? dnnl_nChw16c : any ? dnnl_format_tag_any
        : dnnl_nchw;
    return dnnl_memory_desc_init_by_tag(out, 4, dims, dnnl_f32, tag);
}

/* As bf16's primitives have it: AMX wants all channels of a place together. */
static dnnl_status_t describe_bf16(const nn_node *k, int64_t n, dnnl_memory_desc_t *out)
{
    const dnnl_dims_t dims = {n, k->c, k->h, k->w};
    return dnnl_memory_desc_init_by_tag(out, 4, dims, dnnl_bf16, dnnl_nhwc);
}

/* ---- making primitives ------------------------------------------------------------------------- */

/* What making one takes. */
typedef struct maker {
    const dal_nn *nn;
    const nn_node *k, *in;
    int32_t v;
    int64_t n;
    const conv_plan *plan; /* NULL: not yet */
    dnnl_memory_desc_t bias;
    const dnnl_memory_desc_t *w; /* [WAYS] */
} maker;

static dnnl_status_t describe_way(const maker *m, int w, int any, dnnl_primitive_desc_t hint,
                                  dnnl_primitive_desc_t *out)
{
    const nn_node *k = m->k;
    const dnnl_dims_t stride = {k->stride, k->stride}, pad = {k->pad, k->pad};
    const int biased = m->plan && w == FORWARD ? m->plan->biased : k->bias >= 0;
    const dnnl_memory_desc_t *bias = biased ? &m->bias : NULL;
    const int64_t lanes = nn_layout_lanes();
    dnnl_convolution_desc_t d;
    dnnl_memory_desc_t x, y;
    dnnl_status_t st = m->nn->is_half ? describe_bf16(m->in, m->n, &x) : describe(m->in, m->n, 1, lanes, &x);
    if (st == dnnl_success)
        st = m->nn->is_half ? describe_bf16(k, m->n, &y) : describe(k, m->n, 1, lanes, &y);
    if (any && x.format_kind == dnnl_blocked)
        x.format_kind = dnnl_format_kind_any;
    if (any && y.format_kind == dnnl_blocked)
        y.format_kind = dnnl_format_kind_any;
    if (st == dnnl_success && w == FORWARD)
        st = dnnl_convolution_forward_desc_init(&d, dnnl_forward_training, dnnl_convolution_direct, &x, &m->w[w], bias,
                                                &y, stride, pad, pad);
    if (st == dnnl_success && w == BACK_DATA)
        st = dnnl_convolution_backward_data_desc_init(&d, dnnl_convolution_direct, &x, &m->w[w], &y, stride, pad, pad);
    if (st == dnnl_success && w == BACK_WEIGHTS)
        st = dnnl_convolution_backward_weights_desc_init(&d, dnnl_convolution_direct, &x, &m->w[w], bias, &y, stride,
                                                         pad, pad);
    return st == dnnl_success ? dnnl_primitive_desc_create(out, &d, nn_attr_of(m->nn, m->v, w, m->plan),
                                                           m->nn->onednn->engine, hint) : st;
}

static int is_reference(dnnl_primitive_desc_t pd)
{
    const char *name = NULL;
    return dnnl_primitive_desc_query(pd, dnnl_query_impl_info_str, 0, (void *)&name) == dnnl_success && name &&
           strncmp(name, "ref", 3) == 0;
}

/* In the network's orders, or where oneDNN has only its slow reference for these, in any. */
static dnnl_status_t choose_way(const maker *m, int w, dnnl_primitive_desc_t hint, dnnl_primitive_desc_t *out)
{
    dnnl_primitive_desc_t other = NULL;
    dnnl_status_t st = describe_way(m, w, 0, hint, out);
    if (st != dnnl_success || !is_reference(*out))
        return st;
    if (describe_way(m, w, 1, hint, &other) == dnnl_success) {
        dnnl_primitive_desc_destroy(*out);
        *out = other;
    }
    return dnnl_success;
}

static dnnl_status_t make_move(const struct nn_onednn *o, const dnnl_memory_desc_t *from, const dnnl_memory_desc_t *to,
                               dnnl_primitive_t *out)
{
    dnnl_primitive_desc_t pd = NULL;
    if (dnnl_memory_desc_equal(from, to))
        return dnnl_success;
    dnnl_status_t st = dnnl_reorder_primitive_desc_create(&pd, from, o->engine, to, o->engine, o->attr);
    if (st == dnnl_success)
        st = dnnl_primitive_create(out, pd);
    dnnl_primitive_desc_destroy(pd);
    return st;
}

static const dnnl_memory_desc_t *md_of(dnnl_primitive_desc_t pd, int w, char which)
{
    static const dnnl_query_t x[WAYS] = {dnnl_query_src_md, dnnl_query_diff_src_md, dnnl_query_src_md};
    static const dnnl_query_t weights[WAYS] = {dnnl_query_weights_md, dnnl_query_weights_md,
                                               dnnl_query_diff_weights_md};
    static const dnnl_query_t y[WAYS] = {dnnl_query_dst_md, dnnl_query_diff_dst_md, dnnl_query_diff_dst_md};
    return dnnl_primitive_desc_query_md(pd, which == 'x' ? x[w] : which == 'w' ? weights[w] : y[w], 0);
}

static dnnl_status_t make_way(const maker *m, int w, conv_plan *p, dnnl_primitive_desc_t pd)
{
    const struct nn_onednn *o = m->nn->onednn;
    way *to = &p->way[w];
    to->x = *md_of(pd, w, 'x');
    to->w = *md_of(pd, w, 'w');
    to->y = *md_of(pd, w, 'y');
    to->scratchpad = *dnnl_primitive_desc_query_md(pd, dnnl_query_scratchpad_md, 0);
    dnnl_status_t st = dnnl_primitive_create(&to->run, pd);
    if (st == dnnl_success)
        st = w == BACK_DATA ? make_move(o, &to->x, &p->x, &to->move_x) : make_move(o, &p->x, &to->x, &to->move_x);
    if (st == dnnl_success)
        st = w == FORWARD ? make_move(o, &to->y, &p->y, &to->move_y) : make_move(o, &p->y, &to->y, &to->move_y);
    to->scratch_x = floats_of(&to->scratchpad);
    to->scratch_y = to->scratch_x + floats_of(w == BACK_DATA ? &p->x : &to->x) +
        (w == BACK_DATA ? floats_of(&to->x) : 0);
    to->scratch_w = to->scratch_y + (to->move_y ? floats_of(&to->y) : 0);
    to->scratch = to->scratch_w + floats_of(&to->w);
    if (w == BACK_WEIGHTS) /* see back_weights */
        to->scratch += floats_of(&o->conv[m->v].plain) + floats_of(&o->conv[m->v].bias);
    return st;
}

static dnnl_status_t make_conv(const maker *m, conv_plan *p)
{
    const int64_t lanes = nn_layout_lanes();
    dnnl_primitive_desc_t pd[WAYS] = {NULL};
    const int half = m->nn->is_half;
    dnnl_status_t st = half ? describe_half(m->in, m->n, &p->x) : describe(m->in, m->n, 0, lanes, &p->x);
    if (st == dnnl_success)
        st = half ? describe_half(m->k, m->n, &p->y) : describe(m->k, m->n, 0, lanes, &p->y);
    const int ways = p->fused ? FORWARD + 1 : WAYS;
    for (int w = 0; w < ways && st == dnnl_success; w++) {
        if (w == BACK_DATA && nn_few_fits(m->nn, m->v))
            continue;
        if (nn_patches_fit(m->nn, m->v, w)) {
            st = nn_patches_make(m->nn, m->v, w, p);
            continue;
        }
        st = choose_way(m, w, pd[FORWARD], &pd[w]);
        if (st == dnnl_success)
            st = make_way(m, w, p, pd[w]);
    }
    for (int w = 0; w < WAYS; w++)
        dnnl_primitive_desc_destroy(pd[w]);
    return st;
}

static maker maker_of(const dal_nn *nn, int32_t v, int64_t n)
{
    const nn_node *k = &nn->node[v];
    const conv_orders *c = &nn->onednn->conv[v];
    return (maker){nn, k, &nn->node[k->in[0]], v, n, NULL, c->bias, c->w};
}

/* Passes take so many rows a call, whatever the number of samples, so that all have the same bits; unused ones are
 * computed for nothing. Many weights are read for more of them at a time. */
#define MANY_WEIGHTS (128 << 10)
#define FEW_PRODUCTS (256 << 10)

static int64_t rows_of_pass(const nn_node *k)
{
    return k->n_weights > MANY_WEIGHTS || k->n_weights * k->h * k->w < FEW_PRODUCTS ? 4 : 1;
}

/* By ready weights, as all passes over bf16 are, what follows a convolution is done before its numbers are written, and
 * rounded. */
static void plan_rows(const dal_nn *nn, int32_t v, int64_t n, conv_plan *p)
{
    p->n = n > 0 ? n : nn_patches_fit(nn, v, FORWARD) ? DAL_NN_TILE : rows_of_pass(&nn->node[v]);
    p->fused = n == NN_READY_PASSES;
    p->biased = nn->node[v].bias >= 0 || (p->fused && nn_norm_of(nn, v));
}

dnnl_primitive_attr_t nn_attr_of(const dal_nn *nn, int32_t v, int w, const conv_plan *p)
{
    const struct nn_onednn *o = nn->onednn;
    const int32_t norm = nn_norm_of(nn, v);
    if (!p || !p->fused || w != FORWARD)
        return o->attr;
    if (nn->node[norm ? norm : v].flags & DAL_NN_RELU)
        return o->attr_relu;
    return nn_clip_of(nn, v) ? o->attr_relu6 : o->attr;
}

/* Making them takes the time of some steps: on all threads. */
typedef struct plans_job {
    const dal_nn *nn;
    nn_plans *plans;
} plans_job;

/* Has a shard, or a row of a pass, another way? Passes without ready weights have not. */
static int is_left_out(const dal_nn *nn, int32_t v, int64_t n)
{
    return nn->node[v].op != &nn_conv_op || (n != NN_PASSES && nn_way_of(nn, v));
}

static dal_status make_task(void *ctx, int64_t v)
{
    const plans_job *j = ctx;
    conv_plan *to = &j->plans->conv[v];
    if (is_left_out(j->nn, (int32_t)v, j->plans->n))
        return DAL_OK;
    const int width = narrow();
    plan_rows(j->nn, (int32_t)v, j->plans->n, to);
    maker m = maker_of(j->nn, (int32_t)v, to->n);
    m.plan = to;
    to->made = make_conv(&m, to);
    widen(width);
    return DAL_OK;
}

static void grow(int64_t *most, int64_t n)
{
    *most = n > *most ? n : *most;
}

static int64_t scratch_of(const nn_plans *p, const dal_nn *nn)
{
    int64_t most = 0;
    for (int32_t v = 1; v < nn->n; v++) {
        const nn_way *by = nn_way_of(nn, v);
        if (by) /* passes without ready weights do not use it */
            grow(&most, by->scratch(nn, v));
        if (nn_few_fits(nn, v))
            grow(&most, nn_few_scratch(nn, v));
        for (int w = 0; w < WAYS; w++)
            grow(&most, p->conv[v].product[w].by.run ? p->conv[v].product[w].scratch : p->conv[v].way[w].scratch);
    }
    return most;
}

nn_plans *nn_plans_new(const dal_nn *nn, int64_t n, dal_error *err)
{
    nn_plans *p = nn->host->alloc(nn->host, sizeof *p, 0);
    conv_plan *conv = dal_array(nn->host, nn->n, sizeof *conv);
    if (!p || !conv) {
        nn->host->free(nn->host, conv);
        nn->host->free(nn->host, p);
        dal_fail(err, DAL_E_NOMEM, "", "no memory for a network of %d layers", (int)nn->n - 1);
        return NULL;
    }
    *p = (nn_plans){.n = n, .conv = conv};
    memset(conv, 0, (size_t)nn->n * sizeof *conv);
    plans_job j = {nn, p};
    nn->host->parallel_for(nn->host, nn->n, make_task, &j);
    for (int32_t v = 1; v < nn->n; v++)
        if (told(conv[v].made, &nn->node[v], "make a convolution of this shape", err) != DAL_OK) {
            nn_plans_free(nn, p);
            return NULL;
        }
    p->scratch = scratch_of(p, nn);
    return p;
}

static void drop(dnnl_primitive_t p)
{
    if (p)
        dnnl_primitive_destroy(p);
}

void nn_plans_free(const dal_nn *nn, nn_plans *p)
{
    if (!p)
        return;
    for (int32_t v = 0; p->conv && v < nn->n; v++)
        for (int w = 0; w < WAYS; w++) {
            drop(p->conv[v].way[w].run);
            drop(p->conv[v].way[w].move_x);
            drop(p->conv[v].way[w].move_y);
            drop(p->conv[v].product[w].by.run);
        }
    nn->host->free(nn->host, p->conv);
    nn->host->free(nn->host, p);
}

int64_t nn_plans_rows(const nn_plans *p)
{
    return p->n;
}

int64_t nn_plans_scratch(const nn_plans *p)
{
    return p->scratch;
}

const nn_plans *nn_tile_plans(const dal_nn *nn, int ready, dal_error *err)
{
    struct nn_onednn *o = nn->onednn;
    nn_plans **plans = ready ? &o->ready_tile : &o->tile;
    pthread_mutex_lock(&o->lock);
    if (!*plans)
        *plans = nn_plans_new(nn, ready ? NN_READY_PASSES : NN_PASSES, err);
    const nn_plans *made = *plans;
    pthread_mutex_unlock(&o->lock);
    return made;
}

/* ---- orders of weights ------------------------------------------------------------------------- */

static dnnl_status_t describe_weights(const maker *m, conv_orders *c, dnnl_memory_desc_t *any)
{
    const nn_node *k = m->k;
    const int64_t out = k->c / k->groups, in = m->in->c / k->groups;
    const dnnl_dims_t grouped = {k->groups, out, in, k->kernel, k->kernel}, single = {out, in, k->kernel, k->kernel};
    const dnnl_dims_t bias = {k->c};
    const int many = k->groups > 1;
    dnnl_status_t st = dnnl_memory_desc_init_by_tag(&c->plain, many ? 5 : 4, many ? grouped : single, dnnl_f32,
                                                    many ? dnnl_goihw : dnnl_oihw);
    if (st == dnnl_success)
        st = dnnl_memory_desc_init_by_tag(any, many ? 5 : 4, many ? grouped : single, dnnl_f32, dnnl_format_tag_any);
    return st == dnnl_success ? dnnl_memory_desc_init_by_tag(&c->bias, 1, bias, dnnl_f32, dnnl_a) : st;
}

static dnnl_status_t choose_orders(dal_nn *nn, int32_t v)
{
    struct nn_onednn *o = nn->onednn;
    conv_orders *c = &o->conv[v];
    dnnl_memory_desc_t any;
    maker m = maker_of(nn, v, DAL_NN_TILE);
    dnnl_primitive_desc_t pd[WAYS] = {NULL};
    dnnl_status_t st = describe_weights(&m, c, &any);
    m.bias = c->bias;
    for (int w = 0; w < WAYS && st == dnnl_success; w++) {
        c->w[w] = any;
        c->w[w].data_type = nn->is_half && w != BACK_WEIGHTS ? dnnl_bf16 : dnnl_f32;
        if (w == BACK_DATA && nn_few_fits(nn, v)) { /* takes them as they are */
            c->w[w] = c->plain;
            continue;
        }
        if (nn_patches_fit(nn, v, w)) {
            st = dnnl_memory_desc_init_by_tag(&c->w[w], 4, c->plain.dims, c->w[w].data_type, dnnl_ohwi);
            continue;
        }
        st = choose_way(&m, w, pd[FORWARD], &pd[w]);
        if (st == dnnl_success)
            c->w[w] = *md_of(pd[w], w, 'w');
    }
    for (int w = 0; w < WAYS; w++)
        dnnl_primitive_desc_destroy(pd[w]);
    for (int w = FORWARD; w <= BACK_DATA && st == dnnl_success; w++) {
        st = make_move(o, &c->plain, &c->w[w], &c->pack[w]);
        c->packed = floats_of(&c->w[w]) > c->packed ? floats_of(&c->w[w]) : c->packed;
    }
    c->sum_packed = dnnl_memory_desc_get_size(&c->w[BACK_WEIGHTS]) == dnnl_memory_desc_get_size(&c->plain);
    return st == dnnl_success ? make_move(o, &c->w[BACK_WEIGHTS], &c->plain, &c->unpack) : st;
}

dnnl_status_t nn_engine_open(struct nn_onednn *o)
{
    dnnl_status_t st = dnnl_engine_create(&o->engine, dnnl_cpu, 0);
    if (st == dnnl_success)
        st = dnnl_stream_create(&o->stream, o->engine, dnnl_stream_default_flags);
    if (st == dnnl_success)
        st = dnnl_primitive_attr_create(&o->attr);
    return st == dnnl_success ? dnnl_primitive_attr_set_scratchpad_mode(o->attr, dnnl_scratchpad_mode_user) : st;
}

void nn_engine_close(struct nn_onednn *o)
{
    if (o->attr)
        dnnl_primitive_attr_destroy(o->attr);
    if (o->stream)
        dnnl_stream_destroy(o->stream);
    if (o->engine)
        dnnl_engine_destroy(o->engine);
}

/* The plain attributes with a function of each number behind. */
static dnnl_status_t make_ending(const struct nn_onednn *o, dnnl_alg_kind_t what, float alpha, float beta,
                                 dnnl_primitive_attr_t *out)
{
    dnnl_post_ops_t then = NULL;
    dnnl_status_t st = dnnl_primitive_attr_clone(out, o->attr);
    if (st == dnnl_success)
        st = dnnl_post_ops_create(&then);
    if (st == dnnl_success)
        st = dnnl_post_ops_append_eltwise(then, 1, what, alpha, beta);
    if (st == dnnl_success)
        st = dnnl_primitive_attr_set_post_ops(*out, then);
    if (then)
        dnnl_post_ops_destroy(then);
    return st;
}

static dal_status open_engine(dal_nn *nn, dal_error *err)
{
    struct nn_onednn *o = nn->host->alloc(nn->host, sizeof *o, 0);
    if (!o)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for a network");
    *o = (struct nn_onednn){.conv = dal_array(nn->host, nn->n, sizeof *o->conv)};
    nn->onednn = o;
    pthread_mutex_init(&o->lock, NULL);
    if (!o->conv)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for a network");
    memset(o->conv, 0, (size_t)nn->n * sizeof *o->conv);
    dnnl_status_t st = nn_engine_open(o);
    if (st == dnnl_success)
        st = make_ending(o, dnnl_eltwise_relu, 0, 0, &o->attr_relu);
    if (st == dnnl_success)
        st = make_ending(o, dnnl_eltwise_clip, 0, 6, &o->attr_relu6);
    return st == dnnl_success ? DAL_OK
                              : dal_fail(err, status_of(st), "",
                                         "oneDNN does not start (its status %d): try back end openblas", (int)st);
}

dal_status nn_onednn_open(dal_nn *nn, dal_error *err)
{
    const int width = narrow();
    dal_status st = open_engine(nn, err);
    nn_layout_choose(nn);
    for (int32_t v = 1; v < nn->n && st == DAL_OK; v++)
        if (nn->node[v].op == &nn_conv_op)
            st = told(choose_orders(nn, v), &nn->node[v], "run a convolution of this shape", err);
    widen(width);
    return st;
}

void nn_onednn_close(dal_nn *nn)
{
    struct nn_onednn *o = nn->onednn;
    if (!o)
        return;
    nn_plans_free(nn, o->tile);
    nn_plans_free(nn, o->ready_tile);
    for (int32_t v = 0; o->conv && v < nn->n; v++) {
        drop(o->conv[v].pack[FORWARD]);
        drop(o->conv[v].pack[BACK_DATA]);
        drop(o->conv[v].unpack);
    }
    if (o->attr_relu)
        dnnl_primitive_attr_destroy(o->attr_relu);
    if (o->attr_relu6)
        dnnl_primitive_attr_destroy(o->attr_relu6);
    nn_engine_close(o);
    pthread_mutex_destroy(&o->lock);
    nn->host->free(nn->host, o->conv);
    nn->host->free(nn->host, o);
    nn->onednn = NULL;
}

int64_t nn_onednn_packed_size(const dal_nn *nn, int32_t v)
{
    if (nn->node[v].op != &nn_conv_op || !nn->onednn)
        return nn_token_packed_size(nn, v);
    const nn_way *by = nn_way_of(nn, v);
    return by ? by->weights(nn, v) : nn->onednn->conv[v].packed;
}

static int has_isa(int isa)
{
    return ((int)dnnl_get_effective_cpu_isa() & isa) == isa;
}

const char *nn_onednn_bf16(void)
{
    return has_isa(dnnl_cpu_isa_avx512_core_amx) ? "AMX" : has_isa(dnnl_cpu_isa_avx512_core_bf16) ? "AVX512-BF16"
        : NULL;
}

static int is_amd(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_cpu_init();
    return __builtin_cpu_is("amd");
#else
    return 0;
#endif
}

int nn_onednn_gains_by_bf16(int tokens)
{
    return has_isa(dnnl_cpu_isa_avx512_core_amx) || (tokens && is_amd() && has_isa(dnnl_cpu_isa_avx512_core_bf16));
}

const char *nn_onednn_version(void)
{
    static char text[32];
    const dnnl_version_t *v = dnnl_version();
    snprintf(text, sizeof text, "oneDNN %d.%d.%d", v->major, v->minor, v->patch);
    return text;
}

