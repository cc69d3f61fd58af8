/* Where a trainer's values lie, against a twin that runs a step over marks: whoever reads finds what was written for
 * it. */
#include "tests/unit/fixture.h"

#include "sdk/lib/nn_layout.h"
#include "sdk/lib/nn_places.h" /* linked in beside libdal, with operations that are but names */

const nn_op nn_norm_op = {"batch_norm", NULL, NULL}, nn_add_op = {"add", NULL, NULL}, nn_relu_op = {"relu", NULL, NULL},
            nn_relu6_op = {"relu6", NULL, NULL}, nn_max_pool_op = {"max_pool", NULL, NULL},
            nn_avg_pool_op = {"avg_pool", NULL, NULL};
static const nn_op product = {"product", NULL, NULL};

enum { SAMPLES = 4, SHARDS = 2, MOST = 40 };

/* ---- networks ------------------------------------------------------------------------------------ */

static int is_read(const dal_nn *nn, int32_t x, int32_t from)
{
    for (int32_t r = from; r < nn->n; r++)
        if (nn->node[r].in[0] == x || nn->node[r].in[1] == x)
            return 1;
    return 0;
}

/* Maps of 16 channels and of one of two sizes; what nobody reads is shown. */
static void draw_network(dal_rng *r, nn_node *node, dal_nn *nn)
{
    static const nn_op *const ops[] = {&product, &nn_norm_op, &nn_norm_op, &nn_add_op, &nn_relu_op, &nn_max_pool_op};
    *nn = (dal_nn){.node = node, .n = (int32_t)(3 + dal_rng_below(r, MOST - 3))};
    for (int32_t v = 0; v < nn->n; v++) {
        const int32_t a = v ? (int32_t)(v - 1 - dal_rng_below(r, v < 3 ? v : 3)) : -1;
        node[v] = (nn_node){.op = v ? ops[dal_rng_below(r, 6)] : NULL, .in = {a, -1}, .c = 16,
                            .block = dal_rng_below(r, 4) ? 16 : 1};
        node[v].h = v && node[v].op != &product ? node[a].h : 1 + dal_rng_below(r, 2);
        node[v].w = 2;
        node[v].flags = v && node[v].op != &nn_relu_op && dal_rng_below(r, 2) ? DAL_NN_RELU : 0;
        for (int32_t b = 0; v && node[v].op == &nn_add_op && b < v; b++)
            node[v].in[1] = node[b].h == node[a].h ? b : node[v].in[1];
        node[v].size = node[v].c * node[v].h * node[v].w;
    }
    for (int32_t v = 0; v < nn->n; v++)
        node[v].shown = !is_read(nn, v, 0) || (v > 0 && dal_rng_below(r, 8) == 0);
    for (int32_t v = 1; v < nn->n; v++)
        for (int i = 0; i < 2 && node[v].in[i] >= 0; i++)
            node[v].first_writer[i] = !node[node[v].in[i]].shown && !(i == 1 && node[v].in[0] == node[v].in[1]) &&
                                      !is_read(nn, node[v].in[i], v + 1);
}

/* ---- a step over marks --------------------------------------------------------------------------- */

typedef struct step {
    const dal_nn *nn;
    int64_t value[MOST], d[MOST];
    int *memory; /* whose number: v + 1 of a value, -v - 1 of its gradient */
} step;

static void mark(step *s, int64_t at, int32_t v, int shard, int whose)
{
    const int64_t n = s->nn->node[v].size * (SAMPLES / SHARDS);
    for (int64_t i = 0; i < n; i++)
        s->memory[at + shard * n + i] = whose;
}

static void expect(const step *s, int64_t at, int32_t v, int shard, int whose)
{
    const int64_t n = s->nn->node[v].size * (SAMPLES / SHARDS);
    for (int64_t i = 0; i < n; i++)
        cr_assert_eq(s->memory[at + shard * n + i], whose, "value %d (%s): %d lies where %d should", (int)v,
                     v ? s->nn->node[v].op->name : "input", s->memory[at + shard * n + i], whose);
}

static void forth(step *s, int32_t v, int shard)
{
    for (int i = 0; i < 2 && s->nn->node[v].in[i] >= 0; i++)
        expect(s, s->value[s->nn->node[v].in[i]], s->nn->node[v].in[i], shard, s->nn->node[v].in[i] + 1);
    mark(s, s->value[v], v, shard, v + 1);
}

/* Of norms whose channels do not lie together, and of what else ends in a ReLU or is one, the output; of products and
 * norms the input. */
static void read_back(const step *s, int32_t v, int shard)
{
    const nn_node *k = &s->nn->node[v];
    if (k->op == &nn_relu_op || ((k->flags & DAL_NN_RELU) && k->op != &nn_max_pool_op &&
                                 !(k->op == &nn_norm_op && k->block > 1)))
        expect(s, s->value[v], v, shard, v + 1);
    if (k->op == &product || k->op == &nn_norm_op)
        expect(s, s->value[k->in[0]], k->in[0], shard, k->in[0] + 1);
    expect(s, s->d[v], v, shard, -v - 1);
}

static void back(step *s, int32_t v, int shard)
{
    const nn_node *k = &s->nn->node[v];
    read_back(s, v, shard);
    for (int i = 0; i < 2; i++) {
        if (k->in[i] <= 0)
            continue;
        if (!k->first_writer[i])
            expect(s, s->d[k->in[i]], k->in[i], shard, -k->in[i] - 1);
        mark(s, s->d[k->in[i]], k->in[i], shard, -k->in[i] - 1);
    }
}

static int ends_segment(const dal_nn *nn, int32_t v)
{
    return nn->node[v].op == &nn_norm_op;
}

/* One shard is through a segment before the other begins it. */
static void run(step *s)
{
    const dal_nn *nn = s->nn;
    for (int32_t from = 0, to; from < nn->n; from = to) {
        for (to = from + 1; to < nn->n && !ends_segment(nn, to); to++)
            ;
        for (int shard = 0; shard < SHARDS; shard++) {
            for (int32_t v = from; v < to; v++)
                forth(s, v, shard);
            for (int32_t v = 0; v < nn->n && to == nn->n; v++)
                if (nn->node[v].shown)
                    mark(s, s->d[v], v, shard, -v - 1);
        }
    }
    for (int shard = 0; shard < SHARDS; shard++)
        for (int32_t v = 0; v < nn->n; v++)
            if (nn->node[v].shown)
                expect(s, s->value[v], v, shard, v + 1);
    for (int32_t from = nn->n - 1, to; from > 0; from = to) {
        for (to = from - 1; to > 0 && !ends_segment(nn, to); to--)
            ;
        for (int shard = 0; shard < SHARDS; shard++) {
            for (int32_t v = from; v > to; v--)
                back(s, v, shard);
            if (to > 0)
                read_back(s, to, shard);
        }
    }
}

Test(nn_places, holds_each_value_and_gradient_as_long_as_it_is_read)
{
    dal_runtime *rt = fx_runtime(1, 1);
    const dal_host *host = dal_runtime_host(rt, "nn");
    int64_t used = 0, all = 0;
    for (uint64_t draw = 0; draw < 3000; draw++) {
        nn_node node[MOST];
        dal_nn nn;
        step s = {.nn = &nn};
        dal_rng r = dal_rng_from_key(draw);
        draw_network(&r, node, &nn);
        const int64_t floats = nn_places(&nn, host, SAMPLES, s.value, s.d);
        s.memory = calloc((size_t)floats, sizeof *s.memory);
        for (int32_t v = 0; v < nn.n; v++) {
            cr_assert(s.value[v] >= 0 && s.value[v] % 16 == 0 && s.value[v] + SAMPLES * node[v].size <= floats);
            cr_assert(v == 0 || (s.d[v] >= 0 && s.d[v] % 16 == 0 && s.d[v] + SAMPLES * node[v].size <= floats));
            all += SAMPLES * node[v].size * (v ? 2 : 1);
        }
        used += floats;
        run(&s);
        run(&s); /* over what the first one left */
        free(s.memory);
    }
    cr_assert_lt(used, all * 3 / 4, "%lld floats for %lld", (long long)used, (long long)all);
    dal_runtime_free(rt);
}
