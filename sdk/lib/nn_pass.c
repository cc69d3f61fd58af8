/* Passes over a fitted network, a tile of samples on the calling thread. */
#include "nn_layout.h"
#include "nn_onednn.h"

typedef struct pass_memory {
    const dal_host *host;
    const nn_plans *plans; /* NULL without oneDNN */
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

/* A stage is shown as planes, whatever it is to the layers. */
static int has_mirror(const nn_node *k)
{
    return k->shown && k->block > 1;
}

/* Passes draw no masks. */
static int64_t aux_of(const nn_node *k)
{
    return k->op == &nn_dropout_op ? 0 : k->aux;
}

/* Of texts without gradients: values of tokens share memory once all who read them have run. But the embedding's is kept. */
static int may_share(const nn_node *k)
{
    return k->tokens && k->op != &nn_embedding_op;
}

static int32_t last_reader(const dal_nn *nn, int32_t v)
{
    int32_t last = v;
    for (int32_t k = v + 1; k < nn->n; k++)
        last = nn->node[k].in[0] == v || nn->node[k].in[1] == v ? k : last;
    return last;
}

typedef struct place {
    int64_t at, size;
    int32_t until; /* the last reader of what is there */
} place;

/* at[v] of all that may share, in floats; returns how many they are together. places: [n values]. */
static int64_t share(const dal_nn *nn, place *places, int64_t *at)
{
    int64_t top = 0, n = 0;
    for (int32_t v = 0; v < nn->n; v++) {
        const int64_t size = room(nn->node[v].size);
        place *best = NULL;
        if (!may_share(&nn->node[v]))
            continue;
        for (int64_t i = 0; i < n; i++)
            if (places[i].until < v && places[i].size >= size && (!best || places[i].size < best->size))
                best = &places[i];
        if (!best) {
            best = &places[n++];
            *best = (place){.at = top, .size = size};
            top += size;
        }
        best->until = last_reader(nn, v);
        at[v] = best->at;
    }
    return top;
}

/* How many floats all values need, and where those lie that share. */
static dal_status plan_values(const dal_nn *nn, const dal_host *host, int gradients, int64_t *at, int64_t *shared,
                              int64_t *floats)
{
    place *places = gradients ? NULL : dal_array(host, nn->n, sizeof *places);
    if (!gradients && !places)
        return DAL_E_NOMEM;
    *shared = *floats = gradients ? 0 : share(nn, places, at);
    for (int32_t v = 0; v < nn->n; v++)
        if (gradients || !may_share(&nn->node[v]))
            *floats += (has_mirror(&nn->node[v]) ? 2 : 1) * room(nn->node[v].size);
    host->free(host, places);
    return DAL_OK;
}

/* Room for values, their d and what layers keep; rows of each value lie together. */
static dal_status take(const dal_nn *nn, const dal_host *host, int gradients, dal_nn_pass *p, dal_error *err)
{
    pass_memory *m = p->impl;
    int64_t floats, bytes = 0, scratch = nn->scratch, at_shared[DAL_NN_MAX_VALUES], shared;
    if (plan_values(nn, host, gradients, at_shared, &shared, &floats) != DAL_OK)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for a pass");
    for (int32_t v = 0; v < nn->n; v++)
        bytes += room(aux_of(&nn->node[v]));
    if (nn->onednn) {
        m->plans = nn_tile_plans(nn, err);
        if (!m->plans)
            return DAL_E_FAILED;
        scratch = nn_plans_scratch(m->plans) > scratch ? nn_plans_scratch(m->plans) : scratch;
    }
    m->block = dal_array(host, (gradients ? 2 : 1) * floats, sizeof(float));
    m->scratch = dal_array(host, scratch, sizeof(float));
    m->aux_block = dal_array(host, bytes, 1);
    if (!m->block || !m->scratch || !m->aux_block)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for a pass over a network of %d layers", (int)nn->n - 1);
    /* rows of a tile that are not in use are numbers, too */
    memset(m->block, 0, (size_t)((gradients ? 2 : 1) * floats) * sizeof(float));
    float *at = m->block + shared;
    char *aux = m->aux_block;
    for (int32_t v = 0; v < nn->n; v++) {
        const nn_node *k = &nn->node[v];
        const int own = gradients || !may_share(k);
        m->value[v] = p->value[v] = own ? at : m->block + at_shared[v];
        m->d[v] = p->d[v] = gradients ? at + floats : NULL;
        at += own ? room(k->size) : 0;
        if (has_mirror(k)) {
            p->value[v] = at;
            p->d[v] = gradients ? at + floats : NULL;
            at += room(k->size);
        }
        m->aux[v] = aux;
        aux += room(aux_of(k));
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
    *m = (pass_memory){.host = host, .aux = dal_array(host, nn->n, sizeof(void *)),
                       .value = dal_array(host, nn->n, sizeof(float *)), .d = dal_array(host, nn->n, sizeof(float *))};
    *p = (dal_nn_pass){.struct_size = sizeof *p, .impl = m, .value = dal_array(host, nn->n, sizeof(float *)),
                       .d = dal_array(host, nn->n, sizeof(float *))};
    const dal_status st = m->aux && m->value && m->d && p->value && p->d
                              ? take(nn, host, gradients, p, err)
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
    return (nn_job){.nn = nn, .weights = weights, .state = state, .value = m->value, .d = m->d, .aux = m->aux,
                    .scratch = m->scratch, .plans = m->plans, .n = n, .token_at = m->token_at, .tile = 1};
}

dal_status dal_nn_run(const dal_nn *nn, const float *weights, const float *state, dal_nn_pass *p, int64_t n,
                      dal_nn_value from, dal_nn_value to, const float *const *masks)
{
    pass_memory *m = p->impl;
    nn_job j = job_of(nn, weights, state, p, n);
    dal_status st = nn->vocabulary > 0 ? nn_find_tokens(nn, m->value[0], n, m->token_at, NULL) : DAL_OK;
    j.masks = masks;
    for (int32_t v = 1; v < from; v++) /* the caller may have changed them */
        if (has_mirror(&nn->node[v]))
            nn_from_planes(&nn->node[v], n, p->value[v], m->value[v]);
    for (int32_t v = from > 1 ? from : 1; v <= to && st == DAL_OK; v++) {
        st = nn->node[v].op->forward(&j, v);
        if (has_mirror(&nn->node[v]))
            nn_to_planes(&nn->node[v], n, m->value[v], p->value[v]);
    }
    return st;
}

dal_status dal_nn_run_back(const dal_nn *nn, const float *weights, const float *state, dal_nn_pass *p, int64_t n,
                           float *gradient)
{
    const pass_memory *m = p->impl;
    nn_job j = job_of(nn, weights, state, p, n);
    dal_status st = DAL_OK;
    j.gradient = gradient;
    for (int32_t v = 0; v < nn->n; v++)
        if (nn->node[v].shown && v != nn->output)
            memset(m->d[v], 0, (size_t)(n * nn->node[v].size) * sizeof(float));
    for (int32_t v = nn->n - 1; v > 0 && st == DAL_OK; v--) {
        if (has_mirror(&nn->node[v]))
            nn_to_planes(&nn->node[v], n, m->d[v], p->d[v]);
        st = nn->node[v].op->backward(&j, v);
    }
    return st;
}
