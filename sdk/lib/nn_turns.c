/* Gradients of a step's shards, added in their order whoever comes first: so their sum needs no memory a shard, and has
 * the same bits with any number of threads. */
#include "nn_private.h"

#include <sched.h>
#if defined(__SSE2__)
#include <xmmintrin.h>
#endif

/* How often to look before the processor is left to others: longer than the addition that is waited for. */
#define SPINS 20000

static float *goes_to(const nn_job *j, const nn_node *k, int packed)
{
    return (packed ? j->turns->packed : j->turns->sum) + k->weight;
}

float *nn_gradient_begin(const nn_job *j, const nn_node *k, int packed)
{
    if (!j->turns)
        return j->gradient + k->weight;
    float *to = j->turn == 0 ? goes_to(j, k, packed) : j->mine;
    if (!packed)
        memset(to, 0, (size_t)k->n_weights * sizeof *to);
    return to;
}

static dal_status await(const nn_turns *t, int32_t v, int32_t turn)
{
    for (int64_t i = 0; atomic_load_explicit(&t->at[v], memory_order_acquire) != turn; i++) {
        const int failed = atomic_load_explicit(&t->failed, memory_order_relaxed);
        if (failed)
            return failed;
        if (i >= SPINS)
            sched_yield();
#if defined(__SSE2__)
        else
            _mm_pause();
#endif
    }
    return DAL_OK;
}

dal_status nn_gradient_wait(const nn_job *j, int32_t v, int zero, float **to)
{
    const nn_node *k = &j->nn->node[v];
    if (!j->turns) {
        *to = j->gradient + k->weight;
        return DAL_OK;
    }
    *to = goes_to(j, k, 0);
    const dal_status st = await(j->turns, v, j->turn);
    if (st == DAL_OK && j->turn == 0 && zero)
        memset(*to, 0, (size_t)k->n_weights * sizeof **to);
    return st;
}

void nn_gradient_done(const nn_job *j, int32_t v)
{
    if (j->turns)
        atomic_store_explicit(&j->turns->at[v], j->turn + 1, memory_order_release);
}

dal_status nn_gradient_end(const nn_job *j, int32_t v, int packed)
{
    const nn_node *k = &j->nn->node[v];
    if (!j->turns)
        return DAL_OK;
    const dal_status st = await(j->turns, v, j->turn);
    if (st != DAL_OK)
        return st;
    if (j->turn > 0)
        nn_move(j->mine, goes_to(j, k, packed), k->n_weights, 1);
    atomic_store_explicit(&j->turns->at[v], j->turn + 1, memory_order_release);
    return DAL_OK;
}
