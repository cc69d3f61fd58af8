/* A training step. The batch is cut into shards; a shard runs layer after layer on one thread, on samples, memory and a
 * turn of its own to add its gradients. Only batch-norm looks at all shards: there the layers are cut into segments, and between two
 * segments the shards' sums are added in their order. So nothing depends on how many threads there are. */
#include "nn_layout.h"

#include "nn_chain.h"
#include "nn_arena.h"
#include "nn_onednn.h"
#include "nn_taps.h"

#define MANY_WEIGHTS ((int64_t)8 << 20) /* above it half as many shards, each of which reads them all */
#define MAX_PLANS 8 /* sizes of shards whose primitives are kept */

/* What a shard needs while it runs. */
typedef struct slot {
    atomic_int taken;
    float *scratch, *gradient; /* gradient: of one layer */
} slot;

struct dal_nn_trainer {
    const dal_nn *nn;
    const dal_host *host;
    float *weights, *state;
    nn_mover mover;
    nn_chain *chain; /* a fully connected network: nothing below is there */
    int64_t capacity, shards, bytes;
    float **value, **d, **norm; /* [n values] */
    void **aux;
    float *values, *gradients_of_values, *norms;
    char *aux_block;
    slot *slots; /* [n_slots] */
    int64_t n_slots, scratch;
    nn_turns turns;
    float *packed_weights, **packed; /* with oneDNN: [n values] */
    nn_plans *plans[MAX_PLANS];      /* the latest first; NULL: none */
    float **shown_value, **shown_d;  /* [n values] for whoever looks between the passes; NULL: nobody has */
    float *mirrors;
    int64_t *token_at; /* of texts: [capacity + shards], one number more a shard than it has samples */
    dal_error token_error; /* what was wrong with a text of this step */
    atomic_flag token_told;
    double *sums; /* [shards, 2 c] */
    float *losses;
    int32_t *hits;

    /* the step */
    const dal_nn_batch *batch;
    const dal_nn_rule *rule;
    int32_t from, to, norm_node; /* of the segment, both counted; the batch-norm that waits behind it, or -1 */
    int32_t sliced;              /* whose gradient is made in slices */
    int backward;
    atomic_int_least64_t begun; /* shards of the segment */
};

/* ---- memory ------------------------------------------------------------------------------------ */

static void *take(dal_nn_trainer *t, int64_t n, size_t size)
{
    void *p = dal_array(t->host, n, size);
    if (p)
        t->bytes += n * (int64_t)size;
    return p;
}

/* A sum gives its first input d as it is, where nobody has written to that yet: then both are the same memory. */
static int hands_over(const dal_nn *nn, int32_t k)
{
    const nn_node *sum = &nn->node[k];
    return sum->op == &nn_add_op && !sum->shown && sum->first_writer[0] && sum->in[0] > 0 && sum->in[0] != sum->in[1] &&
           nn_room(sum, 1) == nn_room(&nn->node[sum->in[0]], 1);
}

/* Where d of each value lies: as late as it is written and as long as it is read, by whole segments, since shards of
 * one segment are not at the same layer at the same time. offset [n]: -1: not wanted. */
static int64_t plan_gradients(const dal_nn_trainer *t, int64_t *offset, nn_hole *holes, int32_t *over)
{
    const dal_nn *nn = t->nn;
    nn_arena a = {holes, 0, 0};
    int32_t n_over = 0;
    for (int32_t v = 0; v < nn->n; v++)
        offset[v] = nn->node[v].shown ? nn_arena_take(&a, nn_room(&nn->node[v], t->capacity)) : -1;
    for (int32_t k = nn->n - 1; k > 0; k--) {
        if (nn->node[k].op == &nn_norm_op) { /* a new segment: what the old ones have read is free */
            for (int32_t i = 0; i < n_over; i++)
                nn_arena_give(&a, offset[over[i]], nn_room(&nn->node[over[i]], t->capacity));
            n_over = 0;
        }
        const int handed = hands_over(nn, k);
        if (handed)
            offset[nn->node[k].in[0]] = offset[k];
        for (int i = 0; i < 2; i++) {
            const dal_nn_value x = nn->node[k].in[i];
            if (x > 0 && offset[x] < 0)
                offset[x] = nn_arena_take(&a, nn_room(&nn->node[x], t->capacity));
        }
        if (!nn->node[k].shown && !handed)
            over[n_over++] = k;
    }
    return a.top;
}

static dal_status take_gradients(dal_nn_trainer *t)
{
    const dal_nn *nn = t->nn;
    int64_t *offset = dal_array(t->host, nn->n, sizeof *offset);
    nn_hole *holes = dal_array(t->host, nn->n, sizeof *holes);
    int32_t *over = dal_array(t->host, nn->n, sizeof *over);
    if (offset && holes && over) {
        t->gradients_of_values = take(t, plan_gradients(t, offset, holes, over), sizeof(float));
        for (int32_t v = 0; v < nn->n && t->gradients_of_values; v++)
            t->d[v] = offset[v] < 0 ? NULL : t->gradients_of_values + offset[v];
    }
    t->host->free(t->host, over);
    t->host->free(t->host, holes);
    t->host->free(t->host, offset);
    return t->gradients_of_values ? DAL_OK : DAL_E_NOMEM;
}

/* What layers keep are bytes to some, floats to others. */
static int64_t aux_room(const dal_nn_trainer *t, const nn_node *k)
{
    return (t->capacity * k->aux + 63) / 64 * 64;
}

static dal_status take_values(dal_nn_trainer *t)
{
    const dal_nn *nn = t->nn;
    int64_t floats = 0, bytes = 0, norms = 0, widest = 0, at = 0, aux = 0, norm = 0;
    for (int32_t v = 0; v < nn->n; v++) {
        const nn_node *k = &nn->node[v];
        const int is_norm = k->op == &nn_norm_op;
        floats += nn_room(k, t->capacity);
        bytes += aux_room(t, k);
        norms += is_norm ? NN_NORM_ROWS * k->c : 0;
        widest = is_norm && k->c > widest ? k->c : widest;
    }
    t->values = take(t, floats, sizeof(float));
    t->aux_block = take(t, bytes, 1);
    t->norms = take(t, norms, sizeof(float));
    t->sums = take(t, t->shards * 2 * widest, sizeof(double));
    if (!t->values || !t->aux_block || !t->norms || !t->sums)
        return DAL_E_NOMEM;
    for (int32_t v = 0; v < nn->n; v++) {
        const nn_node *k = &nn->node[v];
        t->value[v] = t->values + at;
        t->aux[v] = t->aux_block + aux;
        t->norm[v] = t->norms + norm;
        at += nn_room(k, t->capacity);
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

/* In how many slices the gradient of a layer's weights is made behind its segment; 0: shard by shard. */
static int64_t slices_of(const dal_nn *nn, int32_t v)
{
    return nn->onednn && nn_taps_fits(nn, v) ? nn_taps_slices(nn, v) : nn_linear_slices(nn, v);
}

/* A slot a thread, of which there are never more than shards. */
static dal_status take_slots(dal_nn_trainer *t)
{
    int64_t widest = 0;
    for (int32_t v = 0; v < t->nn->n; v++)
        if (!adds_in_place(&t->nn->node[v]) && slices_of(t->nn, v) == 0)
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

/* The primitives for shards of n rows, and the scratch they need; made when first asked for. */
static dal_status plans_for(dal_nn_trainer *t, int64_t n, dal_error *err)
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
    if (!t->value || !t->d || !t->norm || !t->aux || !t->turns.sum || !t->turns.at || !t->losses || !t->hits || !t->token_at)
        return DAL_E_NOMEM;
    dal_status st = take_values(t);
    if (st == DAL_OK)
        st = take_gradients(t);
    if (st == DAL_OK)
        st = take_slots(t);
    return st == DAL_OK && (nn->onednn || nn->token_products) ? take_packed(t) : st;
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
    void *all[] = {t->token_at, t->hits, t->losses, t->sums, t->aux_block, t->norms, t->mirrors, t->shown_d, t->shown_value,
                   t->turns.packed, t->packed, t->packed_weights, t->slots, t->turns.at,
                   t->turns.sum, t->gradients_of_values, t->values, t->aux, t->norm, t->d, t->value};
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

/* ---- loss -------------------------------------------------------------------------------------- */

static void shard_loss(dal_nn_trainer *t, int64_t first, int64_t n)
{
    const nn_node *out = &t->nn->node[t->nn->output];
    for (int32_t v = 0; v < t->nn->n; v++)
        if (t->nn->node[v].shown && t->d[v])
            memset(nn_row(t->d, &t->nn->node[v], v, first), 0, (size_t)nn_room(&t->nn->node[v], n) * sizeof(float));
    for (int64_t i = first; i < first + n && i < t->batch->n_labelled; i++) {
        const double weight = t->batch->weights ? (double)t->batch->weights[i] : 1;
        t->losses[i] = nn_row_loss(nn_row(t->value, out, t->nn->output, i), out->c, t->batch->classes[i],
                                   weight / (double)t->batch->n_labelled, nn_row(t->d, out, t->nn->output, i), &t->hits[i]);
    }
}

/* ---- segments ---------------------------------------------------------------------------------- */

static slot *take_slot(dal_nn_trainer *t)
{
    for (int64_t i = 0;; i = (i + 1) % t->n_slots) {
        int was = 0;
        if (atomic_compare_exchange_strong(&t->slots[i].taken, &was, 1))
            return &t->slots[i];
    }
}

static const nn_plans *plans_of(const dal_nn_trainer *t, int64_t n)
{
    for (int64_t i = 0; i < MAX_PLANS && t->plans[i]; i++)
        if (nn_plans_rows(t->plans[i]) == n)
            return t->plans[i];
    return NULL;
}

static int64_t shard_begin(const dal_nn_trainer *t, int64_t shard)
{
    return t->batch->n * shard / t->shards;
}

static int64_t *tokens_of(const dal_nn_trainer *t, int64_t shard)
{
    return t->token_at + shard_begin(t, shard) + shard;
}

static dal_status fill_shard(dal_nn_trainer *t, int64_t shard, const nn_job *j)
{
    const dal_nn_batch *b = t->batch;
    const int64_t in = t->nn->node[0].size, at = j->first * in;
    float *x = t->value[0] + at;
    dal_error why = DAL_ERROR_INIT;
    dal_status st = DAL_OK;
    if (b->rows)
        memcpy(x, b->rows + at, (size_t)(j->n * in) * sizeof(float));
    else
        st = b->fill(b->ctx, j->first, j->n, x);
    if (st != DAL_OK || t->nn->vocabulary == 0)
        return st;
    st = nn_find_tokens(t->nn, x, j->n, tokens_of(t, shard), &why);
    if (st != DAL_OK && !atomic_flag_test_and_set(&t->token_told))
        t->token_error = why;
    return st;
}

static dal_status run_layers(dal_nn_trainer *t, int64_t shard, const nn_job *j)
{
    const dal_nn *nn = t->nn;
    double *sums = t->sums + (t->norm_node < 0 ? 0 : shard * 2 * nn->node[t->norm_node].c);
    dal_status st = DAL_OK;
    if (!t->backward && t->from == 0 && j->n > 0)
        st = fill_shard(t, shard, j);
    for (int32_t v = t->from; !t->backward && v <= t->to && st == DAL_OK && j->n > 0; v++)
        st = v > 0 ? nn->node[v].op->forward(j, v) : st;
    for (int32_t v = t->from; t->backward && v >= t->to && st == DAL_OK && j->n > 0; v--)
        st = nn->node[v].op->backward(j, v);
    if (st == DAL_OK && t->norm_node >= 0)
        (t->backward ? nn_norm_back_sums : nn_norm_sums)(j, t->norm_node, sums);
    if (st == DAL_OK && !t->backward && t->norm_node < 0)
        shard_loss(t, j->first, j->n);
    return st;
}

/* Shards are numbered as they begin, whatever index the host hands out: so one that waits for its turn waits for others
 * that run. */
static dal_status run_shard(void *ctx, int64_t index)
{
    dal_nn_trainer *t = ctx;
    (void)index;
    const int64_t shard = atomic_fetch_add(&t->begun, 1), first = shard_begin(t, shard);
    slot *mine = take_slot(t);
    nn_job j = {.nn = t->nn, .weights = t->weights, .state = t->state, .value = t->value, .d = t->d, .aux = t->aux,
                .scratch = mine->scratch, .mine = mine->gradient, .turns = &t->turns, .packed = t->packed, .first = first,
                .n = shard_begin(t, shard + 1) - first, .token_at = tokens_of(t, shard), .training = 1, .dropout = &t->batch->dropout, .norm = t->norm};
    for (int64_t s = 0; s < shard; s++)
        j.turn += shard_begin(t, s + 1) > shard_begin(t, s);
    j.plans = t->nn->onednn ? plans_of(t, j.n) : NULL;
    const dal_status st = run_layers(t, shard, &j);
    if (st != DAL_OK)
        atomic_store(&t->turns.failed, st);
    atomic_store(&mine->taken, 0);
    return st;
}

static dal_status run_segment(dal_nn_trainer *t)
{
    atomic_store(&t->begun, 0);
    return t->host->parallel_for(t->host, t->shards, run_shard, t);
}

static dal_status pack_task(void *ctx, int64_t v)
{
    dal_nn_trainer *t = ctx;
    return nn_packed_size(t->nn, (int32_t)v)
               ? nn_pack(t->nn, (int32_t)v, t->backward, t->weights + t->nn->node[v].weight, t->packed[v])
               : DAL_OK;
}

static dal_status pack(dal_nn_trainer *t)
{
    const int wanted = t->nn->onednn || (t->nn->token_products && !t->backward); /* these are the same both ways */
    return wanted ? t->host->parallel_for(t->host, t->nn->n, pack_task, t) : DAL_OK;
}

static void add_sums(dal_nn_trainer *t, int64_t c)
{
    for (int64_t s = 1; s < t->shards; s++)
        for (int64_t i = 0; i < 2 * c; i++)
            t->sums[i] += t->sums[s * 2 * c + i];
}

static dal_status run_forward(dal_nn_trainer *t)
{
    const dal_nn *nn = t->nn;
    t->backward = 0;
    dal_status st = pack(t);
    /* the first segment begins at the input, which has nothing to run */
    for (t->from = 0; t->from < nn->n && st == DAL_OK; t->from = t->to + 1) {
        t->norm_node = -1;
        for (t->to = t->from; t->to + 1 < nn->n && nn->node[t->to + 1].op != &nn_norm_op; t->to++)
            ;
        if (t->to + 1 < nn->n)
            t->norm_node = t->to + 1;
        st = run_segment(t);
        if (st == DAL_OK && t->norm_node >= 0) {
            const nn_node *k = &nn->node[t->norm_node];
            add_sums(t, k->c);
            nn_norm_statistics(k, t->weights, t->state, t->sums, t->batch->n, t->norm[t->norm_node]);
        }
    }
    return st;
}

static dal_status slice_task(void *ctx, int64_t slice)
{
    dal_nn_trainer *t = ctx;
    slot *mine = take_slot(t);
    const nn_job j = {.nn = t->nn, .value = t->value, .d = t->d, .scratch = mine->scratch, .turns = &t->turns, .n = t->batch->n,
                      .training = 1};
    (t->nn->node[t->sliced].op == &nn_linear_op ? nn_linear_slice : nn_taps_slice)(&j, t->sliced, slice);
    atomic_store(&mine->taken, 0);
    return DAL_OK;
}

/* Gradients that are not made shard by shard, of the segment that is over: d is still there. */
static dal_status run_slices(dal_nn_trainer *t)
{
    dal_status st = DAL_OK;
    for (t->sliced = t->from; t->sliced >= t->to && st == DAL_OK; t->sliced--) {
        const int64_t n = slices_of(t->nn, t->sliced);
        st = n > 0 ? t->host->parallel_for(t->host, n, slice_task, t) : DAL_OK;
    }
    return st;
}

static dal_status run_backward(dal_nn_trainer *t)
{
    const dal_nn *nn = t->nn;
    t->backward = 1;
    dal_status st = pack(t);
    for (t->from = nn->n - 1; t->from > 0 && st == DAL_OK; t->from = t->to - 1) {
        t->norm_node = -1;
        for (t->to = t->from; t->to - 1 > 0 && nn->node[t->to - 1].op != &nn_norm_op; t->to--)
            ;
        if (t->to - 1 > 0)
            t->norm_node = t->to - 1;
        st = run_segment(t);
        st = st == DAL_OK ? run_slices(t) : st;
        if (st == DAL_OK && t->norm_node >= 0) {
            const nn_node *k = &nn->node[t->norm_node];
            add_sums(t, k->c);
            nn_norm_back_statistics(k, t->sums, t->batch->n, t->norm[t->norm_node], t->turns.sum);
        }
    }
    return st;
}

/* ---- the step ---------------------------------------------------------------------------------- */

static dal_status unpack_task(void *ctx, int64_t v)
{
    dal_nn_trainer *t = ctx;
    return nn_unpack(t->nn, (int32_t)v, &t->turns);
}

static dal_status step(dal_nn_trainer *t, double *squares)
{
    dal_status st = DAL_OK;
    *squares = 0;
    if (t->nn->onednn)
        st = t->host->parallel_for(t->host, t->nn->n, unpack_task, t);
    if (st == DAL_OK && t->rule)
        st = nn_mover_clip(&t->mover, t->turns.sum);
    return st == DAL_OK && t->rule ? nn_mover_run(&t->mover, t->turns.sum, squares) : st;
}

/* ---- who looks between the passes -------------------------------------------------------------- */

static int has_mirror(const nn_node *k)
{
    return k->shown && k->block > 1;
}

/* Stages are shown as planes, whatever they are to the layers. */
static dal_status take_mirrors(dal_nn_trainer *t)
{
    const dal_nn *nn = t->nn;
    int64_t floats = 0, at = 0;
    if (t->shown_value)
        return DAL_OK;
    for (int32_t v = 0; v < nn->n; v++)
        floats += has_mirror(&nn->node[v]) ? 2 * t->capacity * nn->node[v].size : 0;
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
        const int64_t room = has_mirror(&nn->node[v]) ? t->capacity * nn->node[v].size : 0;
        value[v] = room ? t->mirrors + at : t->value[v];
        d[v] = room ? t->mirrors + at + room : t->d[v];
        at += 2 * room;
    }
    t->shown_value = value;
    t->shown_d = d;
    return DAL_OK;
}

static dal_status look_between(dal_nn_trainer *t)
{
    const dal_nn *nn = t->nn;
    const dal_nn_batch *b = t->batch;
    dal_status st = take_mirrors(t);
    if (st != DAL_OK)
        return st;
    for (int32_t v = 0; v < nn->n; v++)
        if (has_mirror(&nn->node[v])) {
            nn_to_planes(&nn->node[v], b->n, t->value[v], t->shown_value[v]);
            memset(t->shown_d[v], 0, (size_t)(b->n * nn->node[v].size) * sizeof(float));
        }
    const dal_nn_step_view view = {.struct_size = sizeof view, .n = b->n, .n_labelled = b->n_labelled,
                                   .value = t->shown_value, .d = t->shown_d, .losses = t->losses};
    st = b->between(b->ctx, &view);
    for (int32_t v = 0; v < nn->n; v++)
        if (has_mirror(&nn->node[v]))
            nn_from_planes(&nn->node[v], b->n, t->shown_d[v], t->d[v]);
    return st;
}

static void sum_up(const dal_nn_trainer *t, dal_nn_result *result)
{
    const dal_nn_batch *b = t->batch;
    result->loss = 0;
    result->hits = 0;
    for (int64_t i = 0; i < b->n_labelled; i++) {
        result->loss += (b->weights ? (double)b->weights[i] : 1) * (double)t->losses[i];
        result->hits += t->hits[i];
    }
}

static dal_status run_step(dal_nn_trainer *t, dal_nn_result *result, dal_error *err)
{
    const dal_nn_batch *batch = t->batch;
    double squares = 0;
    dal_status st = DAL_OK;
    atomic_store(&t->turns.failed, DAL_OK);
    for (int32_t v = 0; v < t->nn->n; v++)
        atomic_store(&t->turns.at[v], 0);
    if (t->nn->onednn && batch->n >= t->shards)
        st = plans_for(t, batch->n / t->shards, err);
    if (st == DAL_OK && t->nn->onednn && batch->n % t->shards)
        st = plans_for(t, batch->n / t->shards + 1, err);
    if (st == DAL_OK)
        st = run_forward(t);
    if (st == DAL_OK)
        sum_up(t, result);
    if (st == DAL_OK && batch->between)
        st = look_between(t);
    if (st == DAL_OK)
        st = run_backward(t);
    if (st == DAL_OK)
        st = step(t, &squares);
    if (result->struct_size >= sizeof *result)
        result->squares = squares;
    return st;
}

dal_status dal_nn_train(dal_nn_trainer *t, const dal_nn_rule *rule, const dal_nn_batch *batch, dal_nn_result *result,
                        dal_error *err)
{
    dal_nn_batch own = {.struct_size = sizeof own};
    if (batch->n < 1 || batch->n > t->capacity || batch->n_labelled < 0 || batch->n_labelled > batch->n)
        return dal_fail(err, DAL_E_CONTRACT, "", "a batch of %lld rows, %lld of them labelled, for a trainer of %lld",
                        (long long)batch->n, (long long)batch->n_labelled, (long long)t->capacity);
    const nn_node *out = &t->nn->node[t->nn->output];
    if (batch->n_labelled > 0 && out->c != out->size)
        return dal_fail(err, DAL_E_CONTRACT, "", "%lld rows with a class for a network whose output is %lld x %lld x %lld; expected "
                        "none, or a vector of classes", (long long)batch->n_labelled, (long long)out->c, (long long)out->h,
                        (long long)out->w);
    if (rule && DAL_HAS(dal_nn_rule, rule, max_norm) && rule->max_norm > 0 && out->op != &nn_linear_op)
        return dal_fail(err, DAL_E_CONTRACT, "", "rows of the output layer are to be shortened to %g; it is '%s', and only linear ones "
                        "have rows", rule->max_norm, out->op->name);
    memcpy(&own, batch, batch->struct_size < sizeof own ? batch->struct_size : sizeof own);
    t->batch = &own;
    atomic_flag_clear(&t->token_told);
    t->token_error = (dal_error)DAL_ERROR_INIT;
    t->rule = rule;
    dal_status st = rule ? nn_mover_begin(&t->mover, rule, batch->n_labelled) : DAL_OK;
    if (st == DAL_OK)
        st = t->chain ? nn_chain_train(t->chain, rule, &own, result, err) : run_step(t, result, err);
    if (st == DAL_OK && rule)
        nn_mover_cap(&t->mover);
    if (st != DAL_OK && t->token_error.status != DAL_OK && err)
        *err = t->token_error;
    else if (st != DAL_OK && err && err->status == DAL_OK)
        dal_fail(err, st, "", "a training step failed");
    return st;
}
