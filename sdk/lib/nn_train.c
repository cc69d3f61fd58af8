/* A training step. The batch is cut into shards; a shard runs layer after layer on one thread, on samples, memory and a
 * turn of its own to add its gradients. Only batch-norm looks at all shards: there the layers are cut into segments,
 * and between two segments the shards' sums are added in their order. So nothing depends on how many threads there
 * are. */
#include "nn_trainer.h"

#include "nn_packed.h"
#include "nn_way.h"

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
                                   weight / (double)t->batch->n_labelled, nn_row(t->d, out, t->nn->output, i),
                                   &t->hits[i]);
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
                .scratch = mine->scratch, .mine = mine->gradient, .turns = &t->turns, .packed = t->packed,
                .first = first, .n = shard_begin(t, shard + 1) - first, .token_at = tokens_of(t, shard), .training = 1,
                .dropout = &t->batch->dropout, .norm = t->norm};
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
    return t->packed ? t->host->parallel_for(t->host, t->nn->n, pack_task, t) : DAL_OK;
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
    const nn_job j = {.nn = t->nn, .value = t->value, .d = t->d, .aux = t->aux, .scratch = mine->scratch,
                      .turns = &t->turns, .n = t->batch->n, .token_at = t->token_at, .parts = t->shards, .training = 1};
    const nn_way *by = nn_way_of(t->nn, t->sliced);
    dal_status st = DAL_OK;
    if (nn_is_token_product(t->nn, t->sliced))
        st = nn_token_slice(&j, t->sliced, slice);
    else
        (by ? by->slice : nn_linear_slice)(&j, t->sliced, slice);
    atomic_store(&mine->taken, 0);
    return st;
}

/* Gradients that are not made shard by shard, of the segment that is over: d is still there. */
static dal_status run_slices(dal_nn_trainer *t)
{
    dal_status st = DAL_OK;
    for (t->sliced = t->from; t->sliced >= t->to && st == DAL_OK; t->sliced--) {
        const int64_t n = nn_trainer_slices(t->nn, t->sliced);
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

static dal_status look_between(dal_nn_trainer *t)
{
    const dal_nn *nn = t->nn;
    const dal_nn_batch *b = t->batch;
    dal_status st = nn_trainer_mirrors(t);
    if (st != DAL_OK)
        return st;
    for (int32_t v = 0; v < nn->n; v++)
        if (nn_has_mirror(&nn->node[v])) {
            nn_to_planes(&nn->node[v], b->n, t->value[v], t->shown_value[v]);
            memset(t->shown_d[v], 0, (size_t)(b->n * nn->node[v].size) * sizeof(float));
        }
    const dal_nn_step_view view = {.struct_size = sizeof view, .n = b->n, .n_labelled = b->n_labelled,
                                   .value = t->shown_value, .d = t->shown_d, .losses = t->losses};
    st = b->between(b->ctx, &view);
    for (int32_t v = 0; v < nn->n; v++)
        if (nn_has_mirror(&nn->node[v]))
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
        st = nn_trainer_plans(t, batch->n / t->shards, err);
    if (st == DAL_OK && t->nn->onednn && batch->n % t->shards)
        st = nn_trainer_plans(t, batch->n / t->shards + 1, err);
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
        return dal_fail(err, DAL_E_CONTRACT, "",
                        "%lld rows with a class for a network whose output is %lld x %lld x %lld; expected none, or a "
                        "vector of classes", (long long)batch->n_labelled, (long long)out->c, (long long)out->h,
                        (long long)out->w);
    if (rule && DAL_HAS(dal_nn_rule, rule, max_norm) && rule->max_norm > 0 && out->op != &nn_linear_op)
        return dal_fail(err, DAL_E_CONTRACT, "",
                        "rows of the output layer are to be shortened to %g; it is '%s', and only linear ones have "
                        "rows", rule->max_norm, out->op->name);
    memcpy(&own, batch, batch->struct_size < sizeof own ? batch->struct_size : sizeof own);
    t->batch = &own;
    atomic_flag_clear(&t->token_told);
    t->token_error = (dal_error)DAL_ERROR_INIT;
    t->rule = rule;
    dal_status st = rule ? nn_mover_begin(&t->mover, rule, batch->n_labelled) : DAL_OK;
    if (st == DAL_OK)
        st = t->chain ? nn_chain_train(t->chain, rule, &own, result, err) : run_step(t, result, err);
    if (st == DAL_OK && rule)
        nn_mover_end(&t->mover);
    if (st != DAL_OK && t->token_error.status != DAL_OK && err)
        *err = t->token_error;
    else if (st != DAL_OK && err && err->status == DAL_OK)
        dal_fail(err, st, "", "a training step failed");
    return st;
}
