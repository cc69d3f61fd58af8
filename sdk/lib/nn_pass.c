/* Passes over a fitted network, a tile of samples on the calling thread. */
#include "nn_private.h"

typedef struct pass_memory {
    const dal_host *host;
    float *block, *scratch;
    void **aux;
    char *aux_block;
} pass_memory;

/* Room for values, their d and what layers keep; rows of each value lie together. */
static dal_status take(const dal_nn *nn, const dal_host *host, int gradients, dal_nn_pass *p, dal_error *err)
{
    pass_memory *m = p->impl;
    int64_t floats = 0, bytes = 0;
    for (int32_t v = 0; v < nn->n; v++) {
        floats += DAL_NN_TILE * ((nn->node[v].size + 15) / 16 * 16);
        bytes += DAL_NN_TILE * ((nn->node[v].aux + 15) / 16 * 16);
    }
    m->block = dal_array(host, (gradients ? 2 : 1) * floats, sizeof(float));
    m->scratch = dal_array(host, nn->scratch, sizeof(float));
    m->aux_block = dal_array(host, bytes, 1);
    if (!m->block || !m->scratch || !m->aux_block)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for a pass over a network of %d layers", (int)nn->n - 1);
    memset(m->block, 0, (size_t)floats * sizeof(float)); /* rows of a tile that are not in use are numbers, too */
    float *at = m->block;
    char *aux = m->aux_block;
    for (int32_t v = 0; v < nn->n; v++) {
        const int64_t size = DAL_NN_TILE * ((nn->node[v].size + 15) / 16 * 16);
        p->value[v] = at;
        p->d[v] = gradients ? at + floats : NULL;
        m->aux[v] = aux;
        at += size;
        aux += DAL_NN_TILE * ((nn->node[v].aux + 15) / 16 * 16);
    }
    return DAL_OK;
}

dal_nn_pass *dal_nn_pass_new(const dal_nn *nn, const dal_host *host, int gradients, dal_error *err)
{
    dal_nn_pass *p = host->alloc(host, sizeof *p, 0);
    pass_memory *m = host->alloc(host, sizeof *m, 0);
    if (!p || !m) {
        host->free(host, m);
        host->free(host, p);
        dal_fail(err, DAL_E_NOMEM, "", "no memory for a pass");
        return NULL;
    }
    *m = (pass_memory){.host = host, .aux = dal_array(host, nn->n, sizeof(void *))};
    *p = (dal_nn_pass){.struct_size = sizeof *p, .impl = m, .value = dal_array(host, nn->n, sizeof(float *)),
                       .d = dal_array(host, nn->n, sizeof(float *))};
    const dal_status st = m->aux && p->value && p->d ? take(nn, host, gradients, p, err)
                                                     : dal_fail(err, DAL_E_NOMEM, "", "no memory for a pass");
    if (st != DAL_OK) {
        dal_nn_pass_free(p);
        return NULL;
    }
    return p;
}

void dal_nn_pass_free(dal_nn_pass *p)
{
    if (!p)
        return;
    pass_memory *m = p->impl;
    const dal_host *host = m->host;
    host->free(host, m->aux_block);
    host->free(host, m->scratch);
    host->free(host, m->block);
    host->free(host, m->aux);
    host->free(host, p->d);
    host->free(host, p->value);
    host->free(host, m);
    host->free(host, p);
}

static nn_job job_of(const dal_nn *nn, const float *weights, const float *state, dal_nn_pass *p, int64_t n)
{
    const pass_memory *m = p->impl;
    return (nn_job){.nn = nn, .weights = weights, .state = state, .value = p->value, .d = p->d, .aux = m->aux,
                    .scratch = m->scratch, .n = n, .tile = 1};
}

dal_status dal_nn_run(const dal_nn *nn, const float *weights, const float *state, dal_nn_pass *p, int64_t n,
                      dal_nn_value from, dal_nn_value to, const float *const *masks)
{
    nn_job j = job_of(nn, weights, state, p, n);
    dal_status st = DAL_OK;
    j.masks = masks;
    for (int32_t v = from > 1 ? from : 1; v <= to && st == DAL_OK; v++)
        st = nn->node[v].op->forward(&j, v);
    return st;
}

dal_status dal_nn_run_back(const dal_nn *nn, const float *weights, const float *state, dal_nn_pass *p, int64_t n,
                           float *gradient)
{
    nn_job j = job_of(nn, weights, state, p, n);
    dal_status st = DAL_OK;
    j.gradient = gradient;
    for (int32_t v = 0; v < nn->n; v++)
        if (nn->node[v].shown && v != nn->output)
            memset(p->d[v], 0, (size_t)(n * nn->node[v].size) * sizeof(float));
    for (int32_t v = nn->n - 1; v > 0 && st == DAL_OK; v--)
        st = nn->node[v].op->backward(&j, v);
    return st;
}
