/* Passes over a fitted network, a tile of samples on the calling thread. */
#include "nn_layout.h"

#include "nn_arena.h"
#include "nn_onednn.h"

typedef struct pass_memory {
    const dal_host *host;
    const dal_nn_ready *ready; /* NULL: the weights as they are */
    const nn_plans *plans;     /* NULL without oneDNN */
    float *block, *scratch;
    float **value, **d; /* as layers keep them; those of the pass itself but for stages whose channels lie together */
    void **aux;
    char *aux_block;
    int64_t token_at[DAL_NN_TILE + 1]; /* of texts */
} pass_memory;

static int64_t room(int64_t size)
{
    return DAL_NN_TILE * ((size + 15) / 16 * 16);
}

/* Passes draw no masks. */
static int64_t aux_of(const nn_node *k)
{
    return k->op == &nn_dropout_op ? 0 : k->aux;
}

/* The convolution that value v may be made by, where v is a batch-norm's or that of a ReLU6 behind one; 0: none. */
static int32_t made_by(const dal_nn *nn, int32_t v)
{
    const int32_t norm = nn->node[v].op == &nn_relu6_op ? nn->node[v].in[0] : v, conv = nn->node[norm].in[0];
    return nn->node[norm].op == &nn_norm_op && nn->node[conv].op == &nn_conv_op ? conv : 0;
}

/* The last layer that reads value x while values lie over one another; n: it stays. A batch-norm, and a ReLU6 behind
 * it, may be in its convolution, which then reads while it writes their value, and a dropout in the sum behind it. */
static int32_t last_reader(const dal_nn *nn, int32_t x)
{
    int32_t last = x;
    for (int32_t r = x + 1; r < nn->n; r++) {
        const dal_nn_value a = nn->node[r].in[0];
        const int32_t conv = made_by(nn, r);
        const int behind = conv > x && nn->node[conv].in[0] == x;
        const dal_nn_value b = nn->node[r].in[1];
        const int folded = b > x && nn->node[b].folded && nn->node[b].in[0] == x;
        if (a == x || b == x || behind || folded)
            last = r;
    }
    return last;
}

/* Must it be there when a pass goes on from a stage or a dropout layer? Texts go on from their embedding alone. */
static int stays(const dal_nn *nn, int32_t x, int32_t last)
{
    int cut = x == 0 || nn->node[x].shown || nn->node[x].op == &nn_embedding_op;
    if (nn->node[x].tokens)
        return cut;
    for (int32_t c = x; c < last && !cut; c++)
        cut = nn->node[c].shown || nn->node[c + 1].dropout >= 0;
    return cut;
}

/* Where each value lies, offsets in floats; returns how many there are. together: none over another. */
static int64_t plan_values(const dal_nn *nn, int together, int64_t *offset, int32_t *last, nn_hole *holes)
{
    nn_arena a = {holes, 0, 0};
    for (int32_t v = 0; v < nn->n; v++) {
        last[v] = last_reader(nn, v);
        if (!together || stays(nn, v, last[v]))
            last[v] = nn->n;
    }
    for (int32_t v = 0; v < nn->n; v++) {
        offset[v] = nn_arena_take(&a, room(nn->node[v].size));
        for (int32_t x = 0; x <= v; x++)
            if (last[x] == v)
                nn_arena_give(&a, offset[x], room(nn->node[x].size));
    }
    return a.top;
}

/* Room for values, their d and what layers keep; rows of each value lie together. */
static dal_status take(const dal_nn *nn, const dal_host *host, int gradients, dal_nn_pass *p, int64_t *offset,
                       int32_t *last, nn_hole *holes, dal_error *err)
{
    pass_memory *m = p->impl;
    int64_t floats = plan_values(nn, !gradients, offset, last, holes), mirrors = 0, bytes = 0, scratch = nn->scratch;
    for (int32_t v = 0; v < nn->n; v++) {
        mirrors += nn_has_mirror(&nn->node[v]) ? room(nn->node[v].size) : 0;
        bytes += room(aux_of(&nn->node[v]));
    }
    if (nn->onednn) {
        m->plans = nn_tile_plans(nn, m->ready != NULL, err);
        if (!m->plans)
            return DAL_E_FAILED;
        scratch = nn_plans_scratch(m->plans) > scratch ? nn_plans_scratch(m->plans) : scratch;
    }
    const int64_t all = floats + mirrors;
    m->block = dal_array(host, (gradients ? 2 : 1) * all, sizeof(float));
    m->scratch = dal_array(host, scratch, sizeof(float));
    m->aux_block = dal_array(host, bytes, 1);
    if (!m->block || !m->scratch || !m->aux_block)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for a pass over a network of %d layers", (int)nn->n - 1);
    /* rows of a tile that are not in use are numbers, too */
    memset(m->block, 0, (size_t)((gradients ? 2 : 1) * all) * sizeof(float));
    float *mirror = m->block + floats;
    char *aux = m->aux_block;
    for (int32_t v = 0; v < nn->n; v++) {
        const nn_node *k = &nn->node[v];
        m->value[v] = p->value[v] = m->block + offset[v];
        m->d[v] = p->d[v] = gradients ? m->value[v] + all : NULL;
        if (nn_has_mirror(k)) {
            p->value[v] = mirror;
            p->d[v] = gradients ? mirror + all : NULL;
            mirror += room(k->size);
        }
        m->aux[v] = aux;
        aux += room(aux_of(k));
    }
    return DAL_OK;
}

static dal_status plan_and_take(const dal_nn *nn, const dal_host *host, int gradients, dal_nn_pass *p, dal_error *err)
{
    int64_t *offset = dal_array(host, nn->n, sizeof *offset);
    int32_t *last = dal_array(host, nn->n, sizeof *last);
    nn_hole *holes = dal_array(host, nn->n, sizeof *holes);
    const dal_status st = offset && last && holes ? take(nn, host, gradients, p, offset, last, holes, err)
                                                  : dal_fail(err, DAL_E_NOMEM, "", "no memory for a pass");
    host->free(host, holes);
    host->free(host, last);
    host->free(host, offset);
    return st;
}

static dal_nn_pass *pass_new(const dal_nn *nn, const dal_nn_ready *ready, const dal_host *host, int gradients,
                             dal_error *err)
{
    dal_nn_pass *p = host->alloc(host, sizeof *p, 0);
    pass_memory *m = host->alloc(host, sizeof *m, 0);
    if (!p || !m) {
        host->free(host, m);
        host->free(host, p);
        dal_fail(err, DAL_E_NOMEM, "", "no memory for a pass");
        return NULL;
    }
    *m = (pass_memory){.host = host, .ready = ready, .aux = dal_array(host, nn->n, sizeof(void *)),
                       .value = dal_array(host, nn->n, sizeof(float *)), .d = dal_array(host, nn->n, sizeof(float *))};
    *p = (dal_nn_pass){.struct_size = sizeof *p, .impl = m, .value = dal_array(host, nn->n, sizeof(float *)),
                       .d = dal_array(host, nn->n, sizeof(float *))};
    const dal_status st = m->aux && m->value && m->d && p->value && p->d
                              ? plan_and_take(nn, host, gradients, p, err)
                              : dal_fail(err, DAL_E_NOMEM, "", "no memory for a pass");
    if (st != DAL_OK) {
        dal_nn_pass_free(p);
        return NULL;
    }
    return p;
}

dal_nn_pass *dal_nn_pass_new(const dal_nn *nn, const dal_host *host, int gradients, dal_error *err)
{
    return pass_new(nn, NULL, host, gradients, err);
}

dal_nn_pass *dal_nn_ready_pass(const dal_nn_ready *r, const dal_host *host, dal_error *err)
{
    return pass_new(r->nn, r, host, 0, err);
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
    host->free(host, m->d);
    host->free(host, m->value);
    host->free(host, m->aux);
    host->free(host, p->d);
    host->free(host, p->value);
    host->free(host, m);
    host->free(host, p);
}

static nn_job job_of(const dal_nn *nn, const float *weights, const float *state, dal_nn_pass *p, int64_t n)
{
    const pass_memory *m = p->impl;
    const dal_nn_ready *r = m->ready;
    return (nn_job){.nn = r ? r->nn : nn, .weights = weights, .state = state, .value = m->value, .d = m->d,
                    .aux = m->aux, .scratch = m->scratch, .plans = m->plans, .ready = r, .packed = r &&
                    (r->nn->onednn || r->nn->token_products) ? r->weights : NULL, .n = n, .token_at = m->token_at,
                    .tile = 1};
}

dal_status dal_nn_run(const dal_nn *network, const float *weights, const float *state, dal_nn_pass *p, int64_t n,
                      dal_nn_value from, dal_nn_value to, const float *const *masks)
{
    nn_job j = job_of(network, weights, state, p, n);
    const dal_nn *nn = j.nn;
    pass_memory *m = p->impl;
    j.masks = masks;
    while (j.ready && from > 1 && j.ready->drawn[from])
        from = nn->node[from].in[0];
    dal_status st = nn->vocabulary > 0 ? nn_find_tokens(nn, m->value[0], j.n, m->token_at, NULL) : DAL_OK;
    for (int32_t v = 1; !p->no_stages && v < from; v++) /* the caller may have changed them */
        if (nn_has_mirror(&nn->node[v]))
            nn_from_planes(&nn->node[v], j.n, p->value[v], m->value[v]);
    for (int32_t v = from > 1 ? from : 1; v <= to && st == DAL_OK; v++) {
        if (!j.ready || !j.ready->drawn[v])
            st = nn->node[v].op->forward(&j, v);
        if (!p->no_stages && nn_has_mirror(&nn->node[v]))
            nn_to_planes(&nn->node[v], j.n, m->value[v], p->value[v]);
    }
    return st;
}

dal_status dal_nn_run_back_from(const dal_nn *nn, const float *weights, const float *state, dal_nn_pass *p, int64_t n,
                                dal_nn_value from, float *gradient)
{
    const pass_memory *m = p->impl;
    nn_job j = job_of(nn, weights, state, p, n);
    dal_status st = DAL_OK;
    j.gradient = gradient;
    for (int32_t v = 0; v < from; v++) /* what lies behind may be the one that writes, not adds */
        if (nn->node[v].shown || from < nn->output)
            memset(m->d[v], 0, (size_t)(n * nn->node[v].size) * sizeof(float));
    if (nn_has_mirror(&nn->node[from]))
        nn_from_planes(&nn->node[from], n, p->d[from], m->d[from]);
    for (int32_t v = from; v > 0 && st == DAL_OK; v--) {
        if (v < from && nn_has_mirror(&nn->node[v]))
            nn_to_planes(&nn->node[v], n, m->d[v], p->d[v]);
        st = nn->node[v].op->backward(&j, v);
    }
    return st;
}

dal_status dal_nn_run_back(const dal_nn *nn, const float *weights, const float *state, dal_nn_pass *p, int64_t n,
                           float *gradient)
{
    return dal_nn_run_back_from(nn, weights, state, p, n, nn->output, gradient);
}
