/* A training step of a fully connected network, in two rounds of independent tasks:
 *
 *   pass     columns of the batch: fill inputs, forward, loss, gradients d down to the first layer.
 *            Reads all weights, writes its own columns.
 *   update   tiles of the weights: gradient = d a' over the whole batch by one GEMM, then the optimiser on
 *            the same tile while it is in cache. Reads all columns, writes its own weights.
 *
 * No sum crosses tasks, so there is nothing to reduce and the bits do not depend on the threads.
 */
#include "nn_chain.h"

#include <dal/linalg.h>
#include <math.h>

#define COLUMNS NN_CHAIN_COLUMNS
#define DROP_COLUMNS 16      /* to a stream of masks */
#define TILE_OUT 16          /* of a weight matrix, to a task, at most: whole rows, so that what two */
#define TILE_IN 1024         /* threads write lies far apart and is fetched in long runs */
#define FEW_OUT 64           /* fewer rows than this make too few tasks: cut them */
#define TILE_IN_OF_FEW 128
#define WORTH_THREADS 2000000 /* multiply-adds: below, handing out tasks costs more than it saves */

typedef struct weight_tile {
    int32_t l;
    int64_t out, n_out, in, n_in; /* first and count */
} weight_tile;

struct nn_chain {
    const dal_nn *nn;
    const dal_host *host;
    nn_mover *mover;
    const float *weights;
    nn_chain_layer layer[NN_CHAIN_MAX];
    int32_t n_layers;
    double dropout;   /* behind every hidden layer */
    float *g;         /* [n_weights] gradient of the step */
    int64_t capacity; /* rows: whole panels */
    int64_t wide;     /* of a panel */
    int64_t bytes;
    float *filled;    /* [capacity, in] what the batch's fill gave */
    const float *x;   /* [n, in] inputs of this batch: filled, or the caller's own rows */
    float *inputs;    /* the same in panels */
    float *a[NN_CHAIN_MAX], *d[NN_CHAIN_MAX]; /* panels of out_l */
    float *rows[NN_CHAIN_MAX]; /* [capacity, out_l] a in rows, of all but the last */
    float *scale, *losses, *hits;             /* [capacity] */
    weight_tile *tiles;
    double *squares; /* [n_tiles] */
    int64_t n_tiles;
    float *activations; /* the block filled, a, d, scale, losses and hits lie in */
    float **shown_value, **shown_d, *shown; /* [n values] rows for whoever looks between the passes; NULL: nobody has */
};

/* ---- what it is for ----------------------------------------------------------------------------- */

/* The layer at node v, and behind it: 1 linear, 2 linear and dropout; 0: something else. */
static int layer_at(const dal_nn *nn, int32_t v)
{
    const nn_node *k = &nn->node[v];
    const int last = v == nn->n - 1, dropped = !last && nn->node[v + 1].op == &nn_dropout_op;
    if (k->op != &nn_linear_op || k->in[0] != v - 1 || k->bias < 0 || ((k->flags & DAL_NN_RELU) == 0) != last)
        return 0;
    return dropped ? nn->node[v + 1].in[0] == v && !k->shown ? 2 : 0 : 1;
}

int nn_chain_fits(const dal_nn *nn)
{
    const double rate = nn->n > 2 && nn->node[2].op == &nn_dropout_op ? nn->node[2].rate : 0;
    int32_t layers = 0;
    for (int32_t v = 1, step; v < nn->n; v += step, layers++) {
        step = layer_at(nn, v);
        if (step == 0 || layers == NN_CHAIN_MAX)
            return 0;
        if (v + step < nn->n && (step == 2 ? nn->node[v + 1].rate != rate : rate > 0))
            return 0;
    }
    return 1;
}

static void find_layers(nn_chain *t)
{
    const dal_nn *nn = t->nn;
    for (int32_t v = 1, step; v < nn->n; v += step) {
        const nn_node *k = &nn->node[v];
        step = layer_at(nn, v);
        if (step == 2)
            t->dropout = nn->node[v + 1].rate;
        t->layer[t->n_layers++] = (nn_chain_layer){nn->node[v - 1].size, k->size, k->weight, k->bias, v + step - 1};
    }
}

/* ---- memory ------------------------------------------------------------------------------------- */

static int64_t ceil_div(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

/* Cut n into the fewest parts of at most `most`, all about alike, in whole lines of 16 floats. */
static int64_t even_part(int64_t n, int64_t most)
{
    return ceil_div(ceil_div(n, ceil_div(n, most)), 16) * 16;
}

static int64_t cut_weights(const nn_chain *t, weight_tile *tiles)
{
    int64_t n = 0;
    for (int32_t l = 0; l < t->n_layers; l++) {
        const nn_chain_layer *layer = &t->layer[l];
        const int64_t pairs = ceil_div(layer->out, 2 * TILE_OUT); /* that two threads have as much to do */
        const int64_t rows = ceil_div(layer->out, 2 * pairs);
        const int64_t cols = even_part(layer->in, layer->out < FEW_OUT ? TILE_IN_OF_FEW : TILE_IN);
        for (int64_t i = 0; i < layer->out; i += rows)
            for (int64_t j = 0; j < layer->in; j += cols, n++)
                if (tiles)
                    tiles[n] = (weight_tile){l, i, layer->out - i < rows ? layer->out - i : rows, j,
                                             layer->in - j < cols ? layer->in - j : cols};
    }
    return n;
}

static void *take(nn_chain *t, int64_t n, size_t size)
{
    void *p = dal_array(t->host, n, size);
    if (p)
        t->bytes += n * (int64_t)size;
    return p;
}

static dal_status take_activations(nn_chain *t)
{
    const int64_t in = t->layer[0].in;
    int64_t per_row = 2 * in + 3, count;
    for (int32_t l = 0; l < t->n_layers; l++)
        per_row += 3 * t->layer[l].out;
    if (!dal_size_mul(per_row, t->capacity, &count))
        return DAL_E_OVERFLOW;
    float *next = t->activations = take(t, count, sizeof(float));
    if (!next)
        return DAL_E_NOMEM;
    t->filled = next;
    t->inputs = next + in * t->capacity;
    next += 2 * in * t->capacity;
    for (int32_t l = 0; l < t->n_layers; l++) {
        t->a[l] = next;
        t->d[l] = next + t->layer[l].out * t->capacity;
        t->rows[l] = next + 2 * t->layer[l].out * t->capacity;
        next += 3 * t->layer[l].out * t->capacity;
    }
    t->scale = next;
    t->losses = next + t->capacity;
    t->hits = next + 2 * t->capacity;
    return DAL_OK;
}

nn_chain *nn_chain_new(const dal_nn *nn, nn_mover *mover, int64_t max_batch)
{
    nn_chain *t = mover->host->alloc(mover->host, sizeof *t, 0);
    if (!t)
        return NULL;
    *t = (nn_chain){.nn = nn, .host = mover->host, .mover = mover, .weights = mover->weights};
    t->wide = nn_chain_wide();
    t->capacity = ceil_div(max_batch, t->wide) * t->wide;
    find_layers(t);
    t->n_tiles = cut_weights(t, NULL);
    t->g = take(t, nn->n_weights, sizeof *t->g);
    t->tiles = take(t, t->n_tiles, sizeof *t->tiles);
    t->squares = take(t, t->n_tiles, sizeof *t->squares);
    if (!t->g || !t->tiles || !t->squares || take_activations(t) != DAL_OK) {
        nn_chain_free(t);
        return NULL;
    }
    cut_weights(t, t->tiles);
    return t;
}

void nn_chain_free(nn_chain *t)
{
    if (!t)
        return;
    const dal_host *h = t->host;
    void *all[] = {t->shown, t->shown_d, t->shown_value, t->activations, t->squares, t->tiles, t->g};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        h->free(h, all[i]);
    h->free(h, t);
}

const float *nn_chain_gradient(const nn_chain *t)
{
    return t->g;
}

int64_t nn_chain_bytes(const nn_chain *t)
{
    return t->bytes;
}

/* ---- round 1: the passes ---------------------------------------------------------------------- */

typedef struct pass_job {
    nn_chain *t;
    const dal_nn_batch *batch;
    int fill, forward, backward;
    int seeded; /* d holds gradients of `between` already */
} pass_job;

/* Zero a share `rate` of the columns' activations, scale the rest; 16 random bits each. */
static void drop(float *a, int64_t width, int64_t ld, int64_t n, double rate, dal_rng rng)
{
    const uint32_t dropped = (uint32_t)(rate * 65536 + 0.5);
    const float scale = (float)(1 / (1 - rate));
    uint32_t bits = 0, left = 0;
    for (int64_t j = 0; j < width; j++)
        for (int64_t i = 0; i < n; i++, bits >>= 16, left--) {
            if (left == 0) {
                bits = dal_rng_u32(&rng);
                left = 2;
            }
            a[j * ld + i] = (bits & 0xffffu) < dropped ? 0 : scale * a[j * ld + i];
        }
}

/* Columns first..first+n of layer l; the same masks whatever the width of a panel. */
static void drop_columns(const pass_job *job, int32_t l, int64_t first, int64_t n)
{
    const nn_chain *t = job->t;
    const dal_rng layer = dal_rng_at(&job->batch->dropout, (uint64_t)l);
    for (int64_t i = first; i < first + n; i += DROP_COLUMNS)
        drop(t->a[l] + (i - i % t->wide) * t->layer[l].out + i % t->wide, t->layer[l].out, t->wide,
             first + n - i < DROP_COLUMNS ? first + n - i : DROP_COLUMNS, t->dropout, dal_rng_at(&layer, (uint64_t)i));
}

/* first: of a panel, here and below. */
static dal_status forward(const pass_job *job, int64_t first, int64_t n)
{
    nn_chain *t = job->t;
    const int32_t last = t->n_layers - 1;
    dal_status st = DAL_OK;
    nn_chain_to_columns(t->x + first * t->layer[0].in, n, t->layer[0].in, t->wide, t->inputs + first * t->layer[0].in);
    for (int32_t l = 0; l <= last && st == DAL_OK; l++) {
        const int64_t in = t->layer[l].in, out = t->layer[l].out;
        const float *x = (l ? t->a[l - 1] : t->inputs) + first * in;
        st = nn_chain_forward(&t->layer[l], t->weights, x, t->wide, n, l < last, t->a[l] + first * out);
        if (l < last && t->dropout > 0)
            drop_columns(job, l, first, n);
        if (l < last)
            nn_chain_to_rows(t->a[l] + first * out, out, t->wide, n, t->rows[l] + first * out);
    }
    return st;
}

/* Of one panel; columns without a class or a sample have no gradient. */
static void loss(const pass_job *job, int64_t first)
{
    nn_chain *t = job->t;
    const int32_t last = t->n_layers - 1;
    const int64_t c = t->layer[last].out, known = job->batch->n_labelled - first;
    const int64_t n = known < 0 ? 0 : known < t->wide ? known : t->wide;
    float *d = t->d[last] + first * c;
    if (n > 0)
        nn_chain_loss(t->a[last] + first * c, c, t->wide, n, job->batch->classes + first, t->scale + first,
                      t->losses + first, t->hits + first, d);
    for (int64_t k = 0; k < c && n < t->wide; k++)
        memset(d + k * t->wide + n, 0, (size_t)(t->wide - n) * sizeof *d);
}

static dal_status backward(const pass_job *job, int64_t first, int64_t n)
{
    nn_chain *t = job->t;
    const float scale = (float)(1 / (1 - t->dropout));
    dal_status st = DAL_OK;
    for (int32_t l = t->n_layers - 1; l > 0 && st == DAL_OK; l--) {
        const nn_chain_layer *layer = &t->layer[l];
        float *below = t->d[l - 1] + first * layer->in;
        st = nn_chain_backward(layer, t->weights, t->d[l] + first * layer->out, t->wide, n, job->seeded, below);
        nn_chain_relu_back(t->a[l - 1] + first * layer->in, ceil_div(n, t->wide) * t->wide * layer->in, scale, below);
    }
    return st;
}

static dal_status pass_task(void *ctx, int64_t i)
{
    const pass_job *job = ctx;
    const dal_nn_batch *batch = job->batch;
    const int64_t first = i * COLUMNS, rest = batch->n - first, n = rest < COLUMNS ? rest : COLUMNS;
    dal_status st = DAL_OK;
    if (job->fill)
        st = batch->fill(batch->ctx, first, n, job->t->filled + first * job->t->layer[0].in);
    if (job->forward && st == DAL_OK) {
        st = forward(job, first, n);
        for (int64_t panel = first; panel < first + n; panel += job->t->wide)
            loss(job, panel);
    }
    if (job->backward && st == DAL_OK)
        st = backward(job, first, n);
    return st;
}

/* ---- round 2: gradient and update ------------------------------------------------------------- */

typedef struct update_job {
    nn_chain *t;
    int64_t n; /* columns */
    int product, update;
} update_job;

static dal_status tile_product(const update_job *job, const weight_tile *w, const nn_chain_layer *layer)
{
    const nn_chain *t = job->t;
    const float *x = w->l ? t->rows[w->l - 1] : t->x;
    return nn_chain_product(w->n_out, w->n_in, job->n, t->d[w->l] + w->out * t->wide, layer->out * t->wide, t->wide,
                            x + w->in, layer->in, t->g + layer->weight + w->out * layer->in + w->in);
}

/* Gradient of the biases of this tile's rows. */
static void bias_product(const update_job *job, const weight_tile *w, float *g)
{
    const nn_chain *t = job->t;
    const int64_t wide = t->wide, panel = t->layer[w->l].out * wide;
    for (int64_t j = 0; j < w->n_out; j++) {
        const float *d = t->d[w->l] + (w->out + j) * wide;
        double sum = 0;
        for (int64_t first = 0; first < job->n; first += wide, d += panel)
            for (int64_t i = 0; i < wide && first + i < job->n; i++)
                sum += (double)d[i];
        g[j] = (float)sum;
    }
}

static dal_status update_task(void *ctx, int64_t i)
{
    const update_job *job = ctx;
    nn_chain *t = job->t;
    const weight_tile *w = &t->tiles[i];
    const nn_chain_layer *layer = &t->layer[w->l];
    const int64_t bias = layer->bias + w->out;
    double squares = 0;
    if (job->product) {
        const dal_status st = tile_product(job, w, layer);
        if (st != DAL_OK)
            return st;
        if (w->in == 0)
            bias_product(job, w, t->g + bias);
    }
    if (!job->update)
        return DAL_OK;
    for (int64_t j = w->out; j < w->out + w->n_out; j++) {
        const int64_t at = layer->weight + j * layer->in + w->in;
        squares += t->mover->rule.l2 > 0 ? nn_squares(t->weights + at, w->n_in) : 0;
        nn_mover_move(t->mover, 1, at, w->n_in, t->g + at);
    }
    if (w->in == 0)
        nn_mover_move(t->mover, 0, bias, w->n_out, t->g + bias);
    t->squares[i] = squares;
    return DAL_OK;
}

/* ---- who looks between the passes --------------------------------------------------------------- */

/* Rows of what the network shows; layer l makes value layer[l].value. */
static dal_status take_shown(nn_chain *t)
{
    const dal_nn *nn = t->nn;
    int64_t floats = 0;
    if (t->shown)
        return DAL_OK;
    for (int32_t v = 0; v < nn->n; v++)
        floats += nn->node[v].shown ? 2 * t->capacity * nn->node[v].size : 0;
    t->shown_value = take(t, nn->n, sizeof *t->shown_value);
    t->shown_d = take(t, nn->n, sizeof *t->shown_d);
    t->shown = take(t, floats, sizeof *t->shown);
    if (!t->shown_value || !t->shown_d || !t->shown)
        return DAL_E_NOMEM;
    float *next = t->shown;
    for (int32_t v = 0; v < nn->n; v++) {
        const int64_t room = nn->node[v].shown ? t->capacity * nn->node[v].size : 0;
        t->shown_value[v] = room ? next : NULL;
        t->shown_d[v] = room ? next + room : NULL;
        next += 2 * room;
    }
    return DAL_OK;
}

/* Into cleared d: the loss wrote the last one. What is added to d of the input has nowhere to go. */
static dal_status look_between(nn_chain *t, const dal_nn_batch *b)
{
    const int32_t last = t->n_layers - 1;
    dal_status st = take_shown(t);
    if (st != DAL_OK)
        return st;
    if (b->rows)
        memcpy(t->filled, b->rows, (size_t)(b->n * t->layer[0].in) * sizeof(float));
    t->x = t->shown_value[0] = t->filled;
    if (t->shown_d[0])
        memset(t->shown_d[0], 0, (size_t)(b->n * t->layer[0].in) * sizeof(float));
    for (int32_t l = 0; l <= last; l++) {
        const dal_nn_value v = t->layer[l].value;
        if (l < last)
            memset(t->d[l], 0, (size_t)(t->layer[l].out * t->capacity) * sizeof(float));
        if (!t->nn->node[v].shown)
            continue;
        nn_chain_to_rows(t->a[l], t->layer[l].out, t->wide, b->n, t->shown_value[v]);
        nn_chain_to_rows(t->d[l], t->layer[l].out, t->wide, b->n, t->shown_d[v]);
    }
    const dal_nn_step_view view = {.struct_size = sizeof view, .n = b->n, .n_labelled = b->n_labelled,
                                   .value = t->shown_value, .d = t->shown_d, .losses = t->losses};
    st = b->between(b->ctx, &view);
    for (int32_t l = 0; l <= last; l++)
        if (t->nn->node[t->layer[l].value].shown)
            nn_chain_to_columns(t->shown_d[t->layer[l].value], b->n, t->layer[l].out, t->wide, t->d[l]);
    return st;
}

/* ---- the step ----------------------------------------------------------------------------------- */

static dal_status run(const nn_chain *t, int64_t n_tasks, dal_status (*task)(void *, int64_t), void *job, int64_t rows)
{
    dal_status st = DAL_OK;
    if (n_tasks > 1 && (double)rows * (double)t->nn->n_weights >= WORTH_THREADS)
        return t->host->parallel_for(t->host, n_tasks, task, job);
    for (int64_t i = 0; i < n_tasks && st == DAL_OK; i++)
        st = task(job, i);
    return st;
}

static dal_status run_pass(pass_job *job)
{
    return run(job->t, ceil_div(job->batch->n, COLUMNS), pass_task, job, job->batch->n);
}

static dal_status run_update(update_job *job)
{
    return run(job->t, job->t->n_tiles, update_task, job, job->n);
}

static dal_status run_passes(nn_chain *t, const dal_nn_batch *b)
{
    pass_job whole = {t, b, .fill = !b->rows, .forward = 1, .backward = !b->between};
    pass_job rest = {t, b, .backward = 1, .seeded = 1};
    dal_status st = run_pass(&whole);
    if (st != DAL_OK || !b->between)
        return st;
    st = look_between(t, b);
    return st == DAL_OK ? run_pass(&rest) : st;
}

/* Where the whole gradient is asked about before anything moves, gradient and update are rounds of their own. */
static dal_status run_updates(nn_chain *t, const dal_nn_rule *rule, int64_t n, int clip)
{
    update_job gradient = {t, n, .product = 1, .update = rule && !clip}, rest = {t, n, .update = 1};
    dal_status st = run_update(&gradient);
    if (st != DAL_OK || !clip)
        return st;
    st = nn_mover_clip(t->mover, t->g);
    return st == DAL_OK ? run_update(&rest) : st;
}

static dal_status check_classes(const nn_chain *t, const dal_nn_batch *b, dal_error *err)
{
    const int32_t c = (int32_t)t->layer[t->n_layers - 1].out;
    for (int64_t i = 0; i < b->n_labelled; i++)
        if (b->classes[i] < 0 || b->classes[i] >= c)
            return dal_fail(err, DAL_E_INVALID, "", "row %lld of a batch has class %d; expected 0..%d",
                            (long long)i, (int)b->classes[i], (int)c - 1);
    return DAL_OK;
}

static void sum_up(const nn_chain *t, const dal_nn_batch *b, int moved, dal_nn_result *result)
{
    double hits = 0;
    result->loss = 0;
    for (int64_t i = 0; i < b->n_labelled; i++) {
        result->loss += (b->weights ? (double)b->weights[i] : 1) * (double)t->losses[i];
        hits += (double)t->hits[i];
    }
    result->hits = (int64_t)hits;
    if (result->struct_size < sizeof *result)
        return;
    result->squares = 0;
    for (int64_t i = 0; moved && i < t->n_tiles; i++)
        result->squares += t->squares[i];
}

dal_status nn_chain_train(nn_chain *t, const dal_nn_rule *rule, const dal_nn_batch *b, dal_nn_result *result,
                          dal_error *err)
{
    const double share = 1 / (double)(b->n_labelled > 0 ? b->n_labelled : 1);
    dal_status st = check_classes(t, b, err);
    if (st != DAL_OK)
        return st;
    t->x = b->rows ? b->rows : t->filled;
    for (int64_t i = 0; i < b->n_labelled; i++)
        t->scale[i] = (float)(share * (b->weights ? (double)b->weights[i] : 1));
    st = run_passes(t, b);
    if (st == DAL_OK)
        st = run_updates(t, rule, b->n, rule && t->mover->rule.clip > 0);
    if (st == DAL_OK)
        sum_up(t, b, rule != NULL, result);
    return st;
}
