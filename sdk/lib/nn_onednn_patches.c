/* The gradient of a bf16 convolution's weights over small maps as one product, dy' times the patches of x: oneDNN's own goes
 * through all weights once a sample, which is most of the time where there are many of them and few places. */
#include "nn_onednn_plan.h"

#include "nn_half.h"

#define FEW_PLACES 64

int nn_patches_fit(const dal_nn *nn, int32_t v)
{
    const nn_node *k = &nn->node[v];
    if (!nn->is_half || k->op != &nn_conv_op)
        return 0;
    return k->half && nn->node[k->in[0]].half && k->groups == 1 && k->bias < 0 && k->h * k->w <= FEW_PLACES;
}

dnnl_status_t nn_patches_make(const dal_nn *nn, int32_t v, conv_plan *p)
{
    const nn_node *k = &nn->node[v], *in = &nn->node[k->in[0]];
    const int64_t rows = p->n * k->h * k->w, width = k->kernel * k->kernel * in->c;
    const dnnl_dims_t dy = {k->c, rows}, patches = {rows, width}, gradient = {k->c, width};
    const struct nn_onednn *o = nn->onednn;
    product *to = &p->product;
    dnnl_primitive_desc_t pd = NULL;
    dnnl_matmul_desc_t d;
    dnnl_status_t st = dnnl_memory_desc_init_by_tag(&to->dy, 2, dy, dnnl_bf16, dnnl_ba);
    if (st == dnnl_success)
        st = dnnl_memory_desc_init_by_tag(&to->patches, 2, patches, dnnl_bf16, dnnl_ab);
    if (st == dnnl_success)
        st = dnnl_memory_desc_init_by_tag(&to->gradient, 2, gradient, dnnl_f32, dnnl_ab);
    if (st == dnnl_success)
        st = dnnl_matmul_desc_init(&d, &to->dy, &to->patches, NULL, &to->gradient);
    if (st == dnnl_success)
        st = dnnl_primitive_desc_create(&pd, &d, o->attr, o->engine, NULL);
    if (st == dnnl_success) {
        to->scratchpad = *dnnl_primitive_desc_query_md(pd, dnnl_query_scratchpad_md, 0);
        to->scratch_patches = floats_of(&to->scratchpad);
        to->scratch = to->scratch_patches + floats_of(&to->patches);
        st = dnnl_primitive_create(&to->run, pd);
    }
    dnnl_primitive_desc_destroy(pd);
    return st;
}

/* Of a row of x: for each place what the filter sees, [kernel, kernel, channels]. */
static nn_bf16 *unfold(const nn_node *k, const nn_node *in, const nn_bf16 *x, nn_bf16 *to)
{
    const size_t bytes = (size_t)in->c * sizeof *to;
    for (int64_t place = 0; place < k->h * k->w; place++)
        for (int64_t tap = 0; tap < k->kernel * k->kernel; tap++, to += in->c) {
            const int64_t y = place / k->w * k->stride + tap / k->kernel - k->pad;
            const int64_t at = place % k->w * k->stride + tap % k->kernel - k->pad;
            if (y >= 0 && y < in->h && at >= 0 && at < in->w)
                memcpy(to, x + (y * in->w + at) * in->c, bytes);
            else
                memset(to, 0, bytes);
        }
    return to;
}

dal_status nn_patches_back_weights(const nn_job *j, int32_t v)
{
    const nn_node *k = &j->nn->node[v], *in = &j->nn->node[k->in[0]];
    const product *p = &j->plans->conv[v].product;
    const struct nn_onednn *o = j->nn->onednn;
    float *gradient = nn_gradient_begin(j, k, 1), *patches = j->scratch + p->scratch_patches;
    nn_bf16 *to = (nn_bf16 *)(void *)patches;
    for (int64_t i = j->first; i < j->first + j->n; i++)
        to = unfold(k, in, (const nn_bf16 *)(const void *)nn_row(j->value, in, k->in[0], i), to);
    const dnnl_memory_desc_t *what[4] = {&p->dy, &p->patches, &p->gradient, &p->scratchpad};
    float *const where[4] = {nn_row(j->d, k, v, j->first), patches, gradient, j->scratch};
    dnnl_exec_arg_t arg[4] = {{DNNL_ARG_SRC, NULL}, {DNNL_ARG_WEIGHTS, NULL}, {DNNL_ARG_DST, NULL}, {DNNL_ARG_SCRATCHPAD, NULL}};
    dnnl_status_t st = dnnl_success;
    int n = 0;
    for (; n < 4 && st == dnnl_success; n += st == dnnl_success)
        st = dnnl_memory_create(&arg[n].memory, what[n], o->engine, where[n]);
    const int width = narrow();
    if (st == dnnl_success)
        st = dnnl_primitive_execute(p->run, o->stream, 4, arg);
    widen(width);
    for (int i = 0; i < n; i++)
        dnnl_memory_destroy(arg[i].memory);
    return st == dnnl_success ? nn_gradient_end(j, v, 1) : nn_onednn_failed(j, v, "product of patches", st);
}
