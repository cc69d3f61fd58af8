/* What a trainer holds: values, their gradients, what layers keep; taken once, for the largest batch. */
#include "nn_trainer.h"

#include "nn_packed.h"
#include "nn_places.h"
#include "nn_way.h"

#define MANY_WEIGHTS ((int64_t)8 << 20) /* above it half as many shards, each of which reads them all */

static void *take(dal_nn_trainer *t, int64_t n, size_t size)
{
    void *p = dal_array(t->host, n, size);
    if (p)
        t->bytes += n * (int64_t)size;
    return p;
}

/* What layers keep are bytes to some, floats to others. */
static int64_t aux_room(const dal_nn_trainer *t, const nn_node *k)
{
    return (t->capacity * k->aux + 63) / 64 * 64;
}

static dal_status take_values(dal_nn_trainer *t)
{
    const dal_nn *nn = t->nn;
    int64_t *offset = dal_array(t->host, nn->n, sizeof *offset), *back = dal_array(t->host, nn->n, sizeof *back);
    const int64_t floats = offset && back ? nn_places(nn, t->host, t->capacity, offset, back) : -1;
    if (floats >= 0)
        t->values = take(t, floats, sizeof(float));
    for (int32_t v = 0; v < nn->n && t->values; v++) {
        t->value[v] = t->values + offset[v];
        t->d[v] = back[v] < 0 ? NULL : t->values + back[v];
    }
    t->host->free(t->host, back);
    t->host->free(t->host, offset);
    return t->values ? DAL_OK : DAL_E_NOMEM;
}

static dal_status take_kept(dal_nn_trainer *t)
{
    const dal_nn *nn = t->nn;
    int64_t bytes = 0, norms = 0, widest = 0, aux = 0, norm = 0;
    for (int32_t v = 0; v < nn->n; v++) {
        const nn_node *k = &nn->node[v];
        const int is_norm = k->op == &nn_norm_op;
        bytes += aux_room(t, k);
        norms += is_norm ? NN_NORM_ROWS * k->c : 0;
        widest = is_norm && k->c > widest ? k->c : widest;
    }
    t->aux_block = take(t, bytes, 1);
    t->norms = take(t, norms, sizeof(float));
    t->sums = take(t, t->shards * 2 * widest, sizeof(double));
    if (!t->aux_block || !t->norms || !t->sums)
        return DAL_E_NOMEM;
    for (int32_t v = 0; v < nn->n; v++) {
        const nn_node *k = &nn->node[v];
        t->aux[v] = t->aux_block + aux;
        t->norm[v] = t->norms + norm;
        aux += aux_room(t, k);
        norm += k->op == &nn_norm_op ? NN_NORM_ROWS * k->c : 0;
    }
    return DAL_OK;
}

/* Layers that need no memory for a shard's gradient. */
static int adds_in_place(const nn_node *k)
{
    return k->op == &nn_embedding_op || k->op == &nn_embedding_bag_op || k->op == &nn_token_linear_op;
}

int64_t nn_trainer_slices(const dal_nn *nn, int32_t v)
{
    const nn_way *by = nn->onednn ? nn_way_of(nn, v) : NULL;
    if (nn_is_token_product(nn, v))
        return nn_token_slices(nn, v);
    return by ? by->slices(nn, v) : nn_linear_slices(nn, v);
}

/* A slot a thread, of which there are never more than shards. */
static dal_status take_slots(dal_nn_trainer *t)
{
    int64_t widest = 0;
    for (int32_t v = 0; v < t->nn->n; v++)
        if (!adds_in_place(&t->nn->node[v]) && nn_trainer_slices(t->nn, v) == 0)
            widest = t->nn->node[v].n_weights > widest ? t->nn->node[v].n_weights : widest;
    t->n_slots = t->host->threads(t->host) < t->shards ? t->host->threads(t->host) : t->shards;
    t->slots = take(t, t->n_slots, sizeof *t->slots);
    if (!t->slots)
        return DAL_E_NOMEM;
    for (int64_t i = 0; i < t->n_slots; i++) {
        t->slots[i].gradient = t->slots[i].scratch = NULL;
        atomic_init(&t->slots[i].taken, 0);
    }
    for (int64_t i = 0; i < t->n_slots; i++) {
        t->slots[i].gradient = take(t, widest, sizeof(float));
        t->slots[i].scratch = take(t, t->nn->scratch, sizeof(float));
        if (!t->slots[i].gradient || !t->slots[i].scratch)
            return DAL_E_NOMEM;
    }
    t->scratch = t->nn->scratch;
    return DAL_OK;
}

static dal_status take_packed(dal_nn_trainer *t)
{
    const dal_nn *nn = t->nn;
    int64_t floats = 0, at = 0;
    for (int32_t v = 0; v < nn->n; v++)
        floats += nn_packed_size(nn, v);
    if (floats == 0 && !nn->onednn)
        return DAL_OK;
    t->packed_weights = take(t, floats, sizeof(float));
    t->packed = take(t, nn->n, sizeof *t->packed);
    t->turns.packed = take(t, nn->onednn ? nn->n_weights : 0, sizeof(float));
    if (!t->packed_weights || !t->packed || !t->turns.packed)
        return DAL_E_NOMEM;
    for (int32_t v = 0; v < nn->n; v++) {
        t->packed[v] = t->packed_weights + at;
        at += nn_packed_size(nn, v);
    }
    return DAL_OK;
}

dal_status nn_trainer_plans(dal_nn_trainer *t, int64_t n, dal_error *err)
{
    int64_t at = 0;
    while (at < MAX_PLANS - 1 && t->plans[at] && nn_plans_rows(t->plans[at]) != n)
        at++;
    nn_plans *found = t->plans[at];
    if (!found || nn_plans_rows(found) != n) {
        nn_plans_free(t->nn, found);
        t->plans[at] = found = nn_plans_new(t->nn, n, err);
        if (!found)
            return DAL_E_FAILED;
    }
    memmove(t->plans + 1, t->plans, (size_t)at * sizeof *t->plans);
    t->plans[0] = found;
    if (nn_plans_scratch(found) <= t->scratch)
        return DAL_OK;
    t->scratch = nn_plans_scratch(found);
    for (int64_t i = 0; i < t->n_slots; i++) {
        t->host->free(t->host, t->slots[i].scratch);
        t->slots[i].scratch = take(t, t->scratch, sizeof(float));
        if (!t->slots[i].scratch) {
            t->scratch = 0;
            return dal_fail(err, DAL_E_NOMEM, "batch_size", "no memory to train with %lld samples a step: try fewer",
                            (long long)t->capacity);
        }
    }
    return DAL_OK;
}

static dal_status take_memory(dal_nn_trainer *t)
{
    const dal_nn *nn = t->nn;
    t->value = take(t, nn->n, sizeof *t->value);
    t->d = take(t, nn->n, sizeof *t->d);
    t->norm = take(t, nn->n, sizeof *t->norm);
    t->aux = take(t, nn->n, sizeof *t->aux);
    t->turns.sum = take(t, nn->n_weights, sizeof(float));
    t->turns.at = take(t, nn->n, sizeof *t->turns.at);
    t->losses = take(t, t->capacity, sizeof *t->losses);
    t->hits = take(t, t->capacity, sizeof *t->hits);
    t->token_at = take(t, t->capacity + t->shards, sizeof *t->token_at);
    if (!t->value || !t->d || !t->norm || !t->aux || !t->turns.sum || !t->turns.at || !t->losses || !t->hits ||
        !t->token_at)
        return DAL_E_NOMEM;
    dal_status st = take_values(t);
    if (st == DAL_OK)
        st = take_kept(t);
    if (st == DAL_OK)
        st = take_slots(t);
    return st == DAL_OK ? take_packed(t) : st;
}

dal_status nn_trainer_mirrors(dal_nn_trainer *t)
{
    const dal_nn *nn = t->nn;
    int64_t floats = 0, at = 0;
    if (t->shown_value)
        return DAL_OK;
    for (int32_t v = 0; v < nn->n; v++)
        floats += nn_has_mirror(&nn->node[v]) ? 2 * t->capacity * nn->node[v].size : 0;
    float **value = take(t, nn->n, sizeof *value), **d = take(t, nn->n, sizeof *d);
    t->mirrors = take(t, floats, sizeof(float));
    if (!value || !d || !t->mirrors) {
        t->host->free(t->host, value);
        t->host->free(t->host, d);
        t->host->free(t->host, t->mirrors);
        t->mirrors = NULL;
        return DAL_E_NOMEM;
    }
    for (int32_t v = 0; v < nn->n; v++) {
        const int64_t room = nn_has_mirror(&nn->node[v]) ? t->capacity * nn->node[v].size : 0;
        value[v] = room ? t->mirrors + at : t->value[v];
        d[v] = room ? t->mirrors + at + room : t->d[v];
        at += 2 * room;
    }
    t->shown_value = value;
    t->shown_d = d;
    return DAL_OK;
}

dal_nn_trainer *dal_nn_trainer_new(const dal_nn *nn, const dal_host *host, float *weights, float *state,
                                   int64_t max_batch, dal_error *err)
{
    dal_nn_trainer *t = host->alloc(host, sizeof *t, 0);
    nn = nn->half ? nn->half : nn;
    if (t) {
        *t = (dal_nn_trainer){.nn = nn, .host = host, .weights = weights, .state = state, .capacity = max_batch};
        t->shards = nn->n_weights <= MANY_WEIGHTS ? DAL_NN_SHARDS : DAL_NN_SHARDS / 2;
        dal_status st = nn_mover_init(&t->mover, nn, host, weights);
        if (st == DAL_OK && nn_chain_fits(nn))
            st = (t->chain = nn_chain_new(nn, &t->mover, max_batch)) ? DAL_OK : DAL_E_NOMEM;
        else if (st == DAL_OK)
            st = take_memory(t);
        if (st == DAL_OK)
            return t;
    }
    dal_fail(err, DAL_E_NOMEM, "batch_size", "no memory to train %lld weights with %lld samples a step: try fewer",
             (long long)nn->n_weights, (long long)max_batch);
    dal_nn_trainer_free(t);
    return NULL;
}

void dal_nn_trainer_free(dal_nn_trainer *t)
{
    if (!t)
        return;
    const dal_host *h = t->host;
    for (int64_t i = 0; t->slots && i < t->n_slots; i++) {
        h->free(h, t->slots[i].scratch);
        h->free(h, t->slots[i].gradient);
    }
    for (int64_t i = 0; i < MAX_PLANS; i++)
        nn_plans_free(t->nn, t->plans[i]);
    nn_chain_free(t->chain);
    nn_mover_fini(&t->mover);
    void *all[] = {t->token_at, t->hits, t->losses, t->sums, t->aux_block, t->norms, t->mirrors, t->shown_d,
                   t->shown_value, t->turns.packed, t->packed, t->packed_weights, t->slots, t->turns.at,
                   t->turns.sum, t->values, t->aux, t->norm, t->d, t->value};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        h->free(h, all[i]);
    h->free(h, t);
}

int64_t dal_nn_trainer_bytes(const dal_nn_trainer *t)
{
    const int64_t moments = (t->mover.second ? 2 : 1) * t->nn->n_weights * (int64_t)sizeof(float);
    return t->bytes + moments + (t->chain ? nn_chain_bytes(t->chain) : 0);
}

const float *dal_nn_gradient(const dal_nn_trainer *t)
{
    return t->chain ? nn_chain_gradient(t->chain) : t->turns.sum;
}
