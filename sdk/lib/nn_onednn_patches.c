/* Convolutions of bf16 over small maps as one product with the patches of x, [places of all rows, kernel, kernel,
 * channels]: oneDNN's own go through all weights once a sample, which is most of the time where there are many of them
 * and few places. Weights and their gradient are [out, kernel, kernel, in]. */
#include "nn_onednn_plan.h"

#include "nn_half.h"
#include "nn_window.h"

#define FEW_PLACES 16
#define FEW_PLACES_OF_WEIGHTS 64 /* there it pays sooner */

int nn_patches_fit(const dal_nn *nn, int32_t v, int w)
{
    const nn_node *k = &nn->node[v];
    if (!nn->is_half || k->op != &nn_conv_op)
        return 0;
    return k->half && nn->node[k->in[0]].half && k->groups == 1 && k->bias < 0 &&
           k->h * k->w <= (w == BACK_WEIGHTS ? FEW_PLACES_OF_WEIGHTS : FEW_PLACES);
}

dnnl_status_t nn_patches_make(const dal_nn *nn, int32_t v, int w, conv_plan *p)
{
    const nn_node *k = &nn->node[v], *in = &nn->node[k->in[0]];
    const struct nn_onednn *o = nn->onednn;
    product *to = &p->product[w];
    const dnnl_dims_t bias = {1, k->c};
    const int biased = w == FORWARD && p->biased;
    dnnl_status_t st = nn_matmul_describe(w, p->n * k->h * k->w, k->kernel * k->kernel * in->c, k->c, dnnl_bf16,
                                          &to->by);
    if (st == dnnl_success && biased)
        st = dnnl_memory_desc_init_by_tag(&to->by.bias, 2, bias, dnnl_f32, dnnl_ab);
    if (st == dnnl_success)
        st = nn_matmul_make(o->engine, nn_attr_of(nn, v, w, p), biased, &to->by);
    if (st != dnnl_success)
        return st;
    to->scratch_patches = floats_of(&to->by.scratchpad);
    to->scratch_sums = to->scratch_patches + floats_of(w == FORWARD ? &to->by.a : w == BACK_DATA ? &to->by.c
                                                       : &to->by.b);
    to->scratch = to->scratch_sums + in->size;
    return st;
}

/* ---- patches ----------------------------------------------------------------------------------- */

/* Of rows first..first+n-1 of x. */
static void unfold(const nn_job *j, int32_t v, int64_t first, int64_t n, float *patches)
{
    const nn_node *k = &j->nn->node[v], *in = &j->nn->node[k->in[0]];
    nn_bf16 *to = (nn_bf16 *)(void *)patches;
    const size_t bytes = (size_t)in->c * sizeof *to;
    for (int64_t i = first; i < first + n; i++) {
        const nn_bf16 *x = (const nn_bf16 *)(const void *)nn_row(j->value, in, k->in[0], i);
        for (int64_t place = 0; place < k->h * k->w; place++)
            for (int64_t tap = 0; tap < k->kernel * k->kernel; tap++, to += in->c) {
                const int64_t at = nn_seen(k, in, place, tap);
                if (at >= 0)
                    memcpy(to, x + at * in->c, bytes);
                else
                    memset(to, 0, bytes);
            }
    }
}

/* The way back, summed in f32. */
static void fold(const nn_job *j, int32_t v, const float *patches, float *sums)
{
    const nn_node *k = &j->nn->node[v], *in = &j->nn->node[k->in[0]];
    for (int64_t i = j->first; i < j->first + j->n; i++) {
        memset(sums, 0, (size_t)in->size * sizeof *sums);
        for (int64_t place = 0; place < k->h * k->w; place++)
            for (int64_t tap = 0; tap < k->kernel * k->kernel; tap++, patches += in->c) {
                const int64_t at = nn_seen(k, in, place, tap);
                if (at >= 0)
                    nn_move(patches, sums + at * in->c, in->c, 1);
            }
        nn_half_round(sums, nn_row(j->d, in, k->in[0], i), in->size, !k->first_writer[0]);
    }
}

/* ---- the three ways ---------------------------------------------------------------------------- */

dal_status nn_patches_forward(const nn_job *j, int32_t v)
{
    const nn_node *k = &j->nn->node[v];
    const conv_plan *plan = &j->plans->conv[v];
    const product *p = &plan->product[FORWARD];
    float *patches = j->scratch + p->scratch_patches;
    dnnl_status_t st = dnnl_success;
    for (int64_t i = j->first; i < j->first + j->n && st == dnnl_success; i += plan->n) {
        float *y = nn_row(j->value, k, nn_conv_out(j, v), i);
        unfold(j, v, i, plan->n, patches);
        st = nn_matmul(j->nn->onednn, &p->by, patches, j->packed[v], plan->biased ? nn_conv_bias(j, v) : NULL, y,
                       j->scratch);
        if (nn_conv_relu(j, v) && !plan->fused)
            nn_half_relu(y, plan->n * k->size);
    }
    return nn_onednn_failed(j, v, "product of patches", st);
}

dal_status nn_patches_back_data(const nn_job *j, int32_t v)
{
    const nn_node *k = &j->nn->node[v];
    const product *p = &j->plans->conv[v].product[BACK_DATA];
    float *patches = j->scratch + p->scratch_patches;
    const dnnl_status_t st = nn_matmul(j->nn->onednn, &p->by, nn_row(j->d, k, v, j->first), j->packed[v], NULL, patches,
                                       j->scratch);
    if (st == dnnl_success)
        fold(j, v, patches, j->scratch + p->scratch_sums);
    return nn_onednn_failed(j, v, "product of gradients", st);
}

dal_status nn_patches_back_weights(const nn_job *j, int32_t v)
{
    const nn_node *k = &j->nn->node[v];
    const product *p = &j->plans->conv[v].product[BACK_WEIGHTS];
    float *gradient = nn_gradient_begin(j, k, 1), *patches = j->scratch + p->scratch_patches;
    unfold(j, v, j->first, j->n, patches);
    const dnnl_status_t st = nn_matmul(j->nn->onednn, &p->by, nn_row(j->d, k, v, j->first), patches, NULL, gradient,
                                       j->scratch);
    return st == dnnl_success ? nn_gradient_end(j, v, 1) : nn_onednn_failed(j, v, "product of patches", st);
}
