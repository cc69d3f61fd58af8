/* A step is a line of segments, forth and back, which meet at batch-norms. What lives in no segment together may lie in
 * the same place: values that the way back does not read, once the way forth has; and gradients where values of
 * segments that are gone lay. The largest are placed first, each as low as those that live beside it allow. */
#include "nn_places.h"

#include "nn_layout.h"

/* Of a block: the segments it lives in, how large it is and where it lies. */
typedef struct life {
    int64_t from, to, size, at;
} life;

typedef struct places {
    const dal_nn *nn;
    int64_t capacity;
    int64_t *value, *d; /* the block of each; d: -1: not wanted */
    life *block;
    int64_t n_blocks, n_norms;
} places;

/* ---- when --------------------------------------------------------------------------------------- */

/* The segment that makes value v. */
static int64_t time_forth(const dal_nn *nn, int32_t v)
{
    int64_t norms = 0;
    for (int32_t i = 1; i <= v; i++)
        norms += nn->node[i].op == &nn_norm_op;
    return norms;
}

/* The segment in which layer v reads its d: the last one for those before the first norm, and for that. */
static int64_t time_back(const places *p, int32_t v)
{
    return 2 * p->n_norms + 1 - (v > 0 ? time_forth(p->nn, v - 1) : 0);
}

static int is_pool(const nn_node *k)
{
    return k->op == &nn_max_pool_op || k->op == &nn_avg_pool_op;
}

/* Is the way back of the layer done without the value it made? Norms of strips and of bf16 find their ReLU again. */
static int needs_no_output(const nn_node *k)
{
    const int clamps = (k->flags & DAL_NN_RELU) != 0;
    return is_pool(k) || (k->op == &nn_add_op && !clamps) ||
        (k->op == &nn_norm_op && (!clamps || k->half || nn_has_strips(k)));
}

static int needs_no_input(const nn_node *k)
{
    return is_pool(k) || k->op == &nn_add_op || k->op == &nn_relu_op || k->op == &nn_relu6_op;
}

static int reads(const nn_node *k, int32_t x)
{
    return k->in[0] == x || k->in[1] == x;
}

/* The layer behind which nobody reads value x any more; 0: the way back does, or others may. */
static int32_t last_forth(const dal_nn *nn, int32_t x)
{
    const nn_node *k = &nn->node[x];
    int32_t last = 0;
    if (x == 0 || k->shown || k->tokens || !needs_no_output(k))
        return 0;
    for (int32_t r = x + 1; r < nn->n; r++)
        if (reads(&nn->node[r], x)) {
            if (!needs_no_input(&nn->node[r]))
                return 0;
            last = r;
        }
    return last;
}

/* ---- blocks ------------------------------------------------------------------------------------- */

static int64_t add_block(places *p, int32_t v, int64_t from, int64_t to)
{
    const int64_t whole_lines = (nn_room(&p->nn->node[v], p->capacity) + 15) / 16 * 16;
    p->block[p->n_blocks] = (life){from, to, whole_lines, -1};
    return p->n_blocks++;
}

static void lengthen(life *b, int64_t to)
{
    b->to = to > b->to ? to : b->to;
}

/* The input of sum v in whose place its own value lies; 0: none. Each number is read before it is written. */
static dal_nn_value input_in_place(const dal_nn *nn, int32_t v)
{
    const nn_node *k = &nn->node[v];
    for (int i = 0; i < 2 && k->op == &nn_add_op && !k->tokens && k->in[0] != k->in[1]; i++) {
        const dal_nn_value x = k->in[i];
        int readers = 0;
        for (int32_t r = x + 1; r < nn->n; r++)
            readers += reads(&nn->node[r], x);
        if (last_forth(nn, x) == v && readers == 1 && nn->node[x].half == k->half)
            return x;
    }
    return 0;
}

static void find_values(places *p)
{
    for (int32_t v = 0; v < p->nn->n; v++) {
        const int32_t last = last_forth(p->nn, v);
        const int64_t to = last > 0 ? time_forth(p->nn, last) : time_back(p, v);
        const dal_nn_value from = input_in_place(p->nn, v);
        p->value[v] = from > 0 ? p->value[from] : add_block(p, v, time_forth(p->nn, v), to);
        lengthen(&p->block[p->value[v]], to);
    }
}

/* A sum gives its first input d as it is, where nobody has written to that yet, and a batch-norm changes it in its
 * place: then both are the same memory. */
static int hands_over(const dal_nn *nn, int32_t v)
{
    const nn_node *k = &nn->node[v];
    const int in_place = k->op == &nn_add_op || (k->op == &nn_norm_op && !k->half);
    return in_place && !k->shown && k->first_writer[0] && k->in[0] > 0 && k->in[0] != k->in[1] &&
           nn_room(k, 1) == nn_room(&nn->node[k->in[0]], 1);
}

static void share(places *p, int32_t from, int32_t to)
{
    p->d[to] = p->d[from];
    lengthen(&p->block[p->d[to]], time_back(p, to));
}

/* The loss clears d of what is shown while values of the last segment are still read. A dropout folded into a sum reads
 * its d right behind it, where the sum's own lies. */
static void find_gradients(places *p)
{
    const dal_nn *nn = p->nn;
    for (int32_t v = 0; v < nn->n; v++)
        p->d[v] = nn->node[v].shown ? add_block(p, v, p->n_norms, time_back(p, v)) : -1;
    for (int32_t k = nn->n - 1; k > 0; k--) {
        const nn_node *node = &nn->node[k];
        if (hands_over(nn, k))
            share(p, k, node->in[0]);
        if (node->in[1] > 0 && nn->node[node->in[1]].folded)
            share(p, k, node->in[1]);
        for (int i = 0; i < 2; i++)
            if (node->in[i] > 0 && p->d[node->in[i]] < 0)
                p->d[node->in[i]] = add_block(p, node->in[i], time_back(p, k), time_back(p, node->in[i]));
    }
}

/* ---- where -------------------------------------------------------------------------------------- */

/* The next to be placed: the largest; of these the first. */
static life *largest(const places *p)
{
    life *best = NULL;
    for (life *b = p->block; b < p->block + p->n_blocks; b++)
        if (b->at < 0 && (!best || b->size > best->size))
            best = b;
    return best;
}

/* The lowest place of b between or above those that live beside it. placed [n]: by their place. */
static int64_t lowest(const life *b, life *const *placed, int64_t n)
{
    int64_t at = 0;
    for (int64_t i = 0; i < n; i++) {
        const life *o = placed[i];
        if (o->to < b->from || b->to < o->from)
            continue;
        if (o->at >= at + b->size)
            break;
        at = o->at + o->size > at ? o->at + o->size : at;
    }
    return at;
}

/* Returns where the last one ends. placed: room for all. */
static int64_t place(const places *p, life **placed)
{
    int64_t top = 0, n = 0;
    for (life *b = largest(p); b; b = largest(p)) {
        b->at = lowest(b, placed, n);
        top = b->at + b->size > top ? b->at + b->size : top;
        int64_t i = n++;
        for (; i > 0 && placed[i - 1]->at > b->at; i--)
            placed[i] = placed[i - 1];
        placed[i] = b;
    }
    return top;
}

int64_t nn_places(const dal_nn *nn, const dal_host *host, int64_t capacity, int64_t *value, int64_t *d)
{
    life **placed = dal_array(host, 2 * (int64_t)nn->n, sizeof *placed);
    int64_t floats = -1;
    places p = {.nn = nn, .capacity = capacity, .value = value, .d = d, .n_norms = time_forth(nn, nn->n - 1),
                .block = dal_array(host, 2 * (int64_t)nn->n, sizeof *p.block)};
    if (placed && p.block) {
        find_values(&p);
        find_gradients(&p);
        floats = place(&p, placed);
        for (int32_t v = 0; v < nn->n; v++) {
            value[v] = p.block[value[v]].at;
            d[v] = d[v] < 0 ? -1 : p.block[d[v]].at;
        }
    }
    host->free(host, p.block);
    host->free(host, placed);
    return floats;
}
