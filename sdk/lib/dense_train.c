/* One optimiser step over a mini-batch, in two rounds of independent tasks:
 *
 *   pass     columns of the batch: fill inputs, forward, loss, gradients d down to the first layer.
 *            Reads all weights, writes its own columns.
 *   update   tiles of the weights: gradient = d a' over the whole batch by one GEMM, then the optimiser on
 *            the same tile while it is in cache. Reads all columns, writes its own weights.
 *
 * No sum crosses tasks, so there is nothing to reduce and the bits do not depend on the threads.
 */
#include <dal/dense.h>

#include <dal/linalg.h>
#include <math.h>

#include "clones.h"
#include "dense_layer.h"
#include "dense_step.h"

#define COLUMNS 32           /* of a batch, to a task */
#define TILE_OUT 16          /* of a weight matrix, to a task, at most: whole rows, so that what two */
#define TILE_IN 1024         /* threads write lies far apart and is fetched in long runs */
#define FEW_OUT 64           /* fewer rows than this make too few tasks: cut them */
#define TILE_IN_OF_FEW 128
#define WORTH_THREADS 2000000 /* multiply-adds: below, handing out tasks costs more than it saves */

typedef struct weight_tile {
    int32_t l;
    int64_t out, n_out, in, n_in; /* first and count */
} weight_tile;

struct dal_dense_trainer {
    const dal_host *host;
    dal_dense net;
    dal_dense_rule rule;
    float *weights;
    float *g, *m, *v;   /* [n_weights] gradient of the step, moments */
    int64_t capacity;   /* rows, and the leading dimension of all a and d */
    int64_t steps;      /* done */
    float *filled;      /* [capacity, in] what the batch's fill gave */
    const float *x;     /* [n, in] inputs of this batch: filled, or the caller's own rows */
    float *a[DAL_DENSE_MAX_LAYERS], *d[DAL_DENSE_MAX_LAYERS]; /* [out_l, capacity] */
    float *scale, *losses, *hits;                             /* [capacity] */
    weight_tile *tiles;
    double *squares; /* [n_tiles] */
    int64_t n_tiles;
    float *activations; /* the block filled, a, d, scale, losses and hits lie in */
};

static int64_t ceil_div(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

/* Cut n into the fewest parts of at most `most`, all about alike, in whole lines of 16 floats. */
static int64_t even_part(int64_t n, int64_t most)
{
    return ceil_div(ceil_div(n, ceil_div(n, most)), 16) * 16;
}

static int64_t cut_weights(const dal_dense *net, weight_tile *tiles)
{
    int64_t n = 0;
    for (int32_t l = 0; l < net->n_layers; l++) {
        const dal_dense_layer *layer = &net->layer[l];
        const int64_t rows = even_part(layer->out, TILE_OUT);
        const int64_t cols = even_part(layer->in, layer->out < FEW_OUT ? TILE_IN_OF_FEW : TILE_IN);
        for (int64_t i = 0; i < layer->out; i += rows)
            for (int64_t j = 0; j < layer->in; j += cols, n++)
                if (tiles)
                    tiles[n] = (weight_tile){l, i, layer->out - i < rows ? layer->out - i : rows, j,
                                             layer->in - j < cols ? layer->in - j : cols};
    }
    return n;
}

static dal_status take_activations(dal_dense_trainer *t)
{
    const int64_t in = t->net.layer[0].in;
    int64_t per_row = in + 3, count;
    for (int32_t l = 0; l < t->net.n_layers; l++)
        per_row += 2 * t->net.layer[l].out;
    if (!dal_size_mul(per_row, t->capacity, &count))
        return DAL_E_OVERFLOW;
    float *next = t->activations = dal_array(t->host, count, sizeof(float));
    if (!next)
        return DAL_E_NOMEM;
    t->filled = next;
    next += in * t->capacity;
    for (int32_t l = 0; l < t->net.n_layers; l++) {
        t->a[l] = next;
        t->d[l] = next + t->net.layer[l].out * t->capacity;
        next += 2 * t->net.layer[l].out * t->capacity;
    }
    t->scale = next;
    t->losses = next + t->capacity;
    t->hits = next + 2 * t->capacity;
    return DAL_OK;
}

dal_dense_trainer *dal_dense_trainer_new(const dal_host *host, const dal_dense *net, float *weights,
                                         const dal_dense_rule *rule, int64_t max_batch, dal_error *err)
{
    dal_dense_trainer *t = host->alloc(host, sizeof *t, 0);
    if (!t)
        goto fail;
    *t = (dal_dense_trainer){.host = host, .net = *net, .rule = *rule, .weights = weights};
    t->capacity = ceil_div(max_batch, 16) * 16;
    t->n_tiles = cut_weights(net, NULL);
    t->g = dal_array(host, net->n_weights, sizeof *t->g);
    t->m = dal_array(host, net->n_weights, sizeof *t->m);
    t->v = dal_array(host, net->n_weights, sizeof *t->v);
    t->tiles = dal_array(host, t->n_tiles, sizeof *t->tiles);
    t->squares = dal_array(host, t->n_tiles, sizeof *t->squares);
    if (!t->g || !t->m || !t->v || !t->tiles || !t->squares || take_activations(t) != DAL_OK)
        goto fail;
    memset(t->m, 0, (size_t)net->n_weights * sizeof *t->m);
    memset(t->v, 0, (size_t)net->n_weights * sizeof *t->v);
    cut_weights(net, t->tiles);
    return t;
fail:
    dal_fail(err, DAL_E_NOMEM, "", "no memory to train %lld weights with batches of %lld samples",
             (long long)net->n_weights, (long long)max_batch);
    dal_dense_trainer_free(t);
    return NULL;
}

void dal_dense_trainer_free(dal_dense_trainer *t)
{
    if (!t)
        return;
    const dal_host *h = t->host;
    h->free(h, t->activations);
    h->free(h, t->squares);
    h->free(h, t->tiles);
    h->free(h, t->v);
    h->free(h, t->m);
    h->free(h, t->g);
    h->free(h, t);
}

/* ---- round 1: the passes ---------------------------------------------------------------------- */

typedef struct pass_job {
    dal_dense_trainer *t;
    const dal_dense_batch *batch;
    int fill, forward, backward;
    int seeded; /* d holds gradients of `between` already */
    double dropout;
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

static dal_status forward(const pass_job *job, int64_t first, int64_t n)
{
    dal_dense_trainer *t = job->t;
    const dal_dense *net = &t->net;
    const int32_t last = net->n_layers - 1;
    dal_status st = DAL_OK;
    for (int32_t l = 0; l <= last && st == DAL_OK; l++) {
        const float *x = l ? t->a[l - 1] + first : t->x + first * net->layer[0].in;
        float *a = t->a[l] + first;
        st = dense_layer_forward(&net->layer[l], t->weights, x, l == 0, t->capacity, n, l < last, a);
        if (l < last && job->dropout > 0) {
            const dal_rng layer = dal_rng_at(&job->batch->dropout, (uint64_t)l);
            drop(a, net->layer[l].out, t->capacity, n, job->dropout, dal_rng_at(&layer, (uint64_t)first));
        }
    }
    return st;
}

static void loss(const pass_job *job, int64_t first, int64_t n)
{
    dal_dense_trainer *t = job->t;
    const int32_t last = t->net.n_layers - 1;
    const int64_t c = t->net.layer[last].out, known = job->batch->n_labelled - first;
    const int64_t n_labelled = known < 0 ? 0 : known < n ? known : n;
    float *d = t->d[last] + first;
    if (n_labelled > 0)
        dal_dense_cross_entropy(t->a[last] + first, c, t->capacity, n_labelled,
                                job->batch->classes + first, t->scale + first, t->losses + first,
                                t->hits + first, d);
    for (int64_t k = 0; k < c && n_labelled < n; k++)
        memset(d + k * t->capacity + n_labelled, 0, (size_t)(n - n_labelled) * sizeof *d);
}

static dal_status backward(const pass_job *job, int64_t first, int64_t n)
{
    dal_dense_trainer *t = job->t;
    const float scale = (float)(1 / (1 - job->dropout));
    dal_status st = DAL_OK;
    for (int32_t l = t->net.n_layers - 1; l > 0 && st == DAL_OK; l--) {
        const dal_dense_layer *layer = &t->net.layer[l];
        float *below = t->d[l - 1] + first;
        st = dense_layer_backward(layer, t->weights, t->d[l] + first, t->capacity, n,
                                  job->seeded ? 1.0f : 0.0f, below);
        dense_relu_backward(t->a[l - 1] + first, layer->in, t->capacity, n, scale, below);
    }
    return st;
}

static dal_status pass_task(void *ctx, int64_t i)
{
    const pass_job *job = ctx;
    const dal_dense_batch *batch = job->batch;
    const int64_t first = i * COLUMNS, rest = batch->n - first, n = rest < COLUMNS ? rest : COLUMNS;
    dal_status st = DAL_OK;
    if (job->fill)
        st = batch->fill(batch->ctx, first, n, job->t->filled + first * job->t->net.layer[0].in);
    if (job->forward && st == DAL_OK) {
        st = forward(job, first, n);
        loss(job, first, n);
    }
    if (job->backward && st == DAL_OK)
        st = backward(job, first, n);
    return st;
}

/* ---- round 2: gradient and update ------------------------------------------------------------- */

typedef struct update_job {
    dal_dense_trainer *t;
    int64_t n; /* columns */
    int product, update;
    dense_coefficients c, bias; /* bias: without l2 and decay */
    double *gradient;           /* add here instead of an update */
} update_job;

static dal_status tile_product(const update_job *job, const weight_tile *w, const dal_dense_layer *layer)
{
    const dal_dense_trainer *t = job->t;
    const float *d = t->d[w->l] + w->out * t->capacity;
    float *g = t->g + layer->weight + w->out * layer->in + w->in;
    if (w->l == 0)
        return dal_gemm_nn(w->n_out, w->n_in, job->n, 1, d, t->capacity, t->x + w->in, layer->in, 0, g,
                           layer->in);
    return dal_gemm_nt(w->n_out, w->n_in, job->n, 1, d, t->capacity, t->a[w->l - 1] + w->in * t->capacity,
                       t->capacity, 0, g, layer->in);
}

/* Gradient of the biases of this tile's rows. */
static void bias_product(const update_job *job, const weight_tile *w, float *g)
{
    const dal_dense_trainer *t = job->t;
    for (int64_t j = 0; j < w->n_out; j++) {
        const float *d = t->d[w->l] + (w->out + j) * t->capacity;
        double sum = 0;
        for (int64_t i = 0; i < job->n; i++)
            sum += (double)d[i];
        g[j] = (float)sum;
    }
}

static void move(const update_job *job, int64_t at, int64_t n, const dense_coefficients *c)
{
    const dal_dense_trainer *t = job->t;
    if (!job->gradient)
        dense_step(c, n, t->g + at, t->weights + at, t->m + at, t->v + at);
    else
        for (int64_t i = at; i < at + n; i++)
            job->gradient[i] += (double)t->g[i];
}

static dal_status update_task(void *ctx, int64_t i)
{
    const update_job *job = ctx;
    dal_dense_trainer *t = job->t;
    const weight_tile *w = &t->tiles[i];
    const dal_dense_layer *layer = &t->net.layer[w->l];
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
        squares += dense_squares(t->weights + at, w->n_in);
        move(job, at, w->n_in, &job->c);
    }
    if (w->in == 0)
        move(job, bias, w->n_out, &job->bias);
    t->squares[i] = squares;
    return DAL_OK;
}

/* ---- the step --------------------------------------------------------------------------------- */

static dal_status run(const dal_dense_trainer *t, int64_t n_tasks, dal_status (*task)(void *, int64_t),
                      void *job, int64_t rows)
{
    dal_status st = DAL_OK;
    if (n_tasks > 1 && (double)rows * (double)t->net.n_weights >= WORTH_THREADS)
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

/* The caller's own gradients come between the passes, into cleared d (the loss wrote the last one). */
static dal_status run_split_pass(pass_job *job)
{
    dal_dense_trainer *t = job->t;
    job->backward = 0;
    dal_status st = run_pass(job);
    if (st != DAL_OK)
        return st;
    for (int32_t l = 0; l + 1 < t->net.n_layers; l++)
        memset(t->d[l], 0, (size_t)(t->net.layer[l].out * t->capacity) * sizeof(float));
    const dal_dense_pass pass = {sizeof pass, 0, job->batch->n, job->batch->n_labelled, t->capacity, t->x,
                                 (const float *const *)t->a, t->d, t->losses};
    st = job->batch->between(job->batch->ctx, &pass);
    if (st != DAL_OK)
        return st;
    *job = (pass_job){t, job->batch, .backward = 1, .seeded = 1, .dropout = job->dropout};
    return run_pass(job);
}

static dal_status check_batch(const dal_dense_trainer *t, const dal_dense_batch *b, dal_error *err)
{
    if (b->n < 1 || b->n > t->capacity || b->n_labelled < 0 || b->n_labelled > b->n)
        return dal_fail(err, DAL_E_INVALID, "", "a batch of %lld rows, %lld of them labelled; at most %lld",
                        (long long)b->n, (long long)b->n_labelled, (long long)t->capacity);
    const int32_t c = (int32_t)t->net.layer[t->net.n_layers - 1].out;
    for (int64_t i = 0; i < b->n_labelled; i++)
        if (b->classes[i] < 0 || b->classes[i] >= c)
            return dal_fail(err, DAL_E_INVALID, "", "row %lld of a batch has class %d; expected 0..%d",
                            (long long)i, (int)b->classes[i], (int)c - 1);
    return DAL_OK;
}

static void sum_up(const dal_dense_trainer *t, const dal_dense_batch *b, dal_dense_result *result)
{
    double hits = 0;
    *result = (dal_dense_result){.struct_size = sizeof *result};
    for (int64_t i = 0; i < b->n_labelled; i++) {
        result->loss += (b->weights ? (double)b->weights[i] : 1) * (double)t->losses[i];
        hits += (double)t->hits[i];
    }
    for (int64_t i = 0; i < t->n_tiles; i++)
        result->squares += t->squares[i];
    result->hits = (int64_t)hits;
}

static dal_status both_rounds(dal_dense_trainer *t, const dal_dense_batch *b, double share, pass_job *pass,
                              update_job *update, dal_dense_result *result, dal_error *err)
{
    dal_status st = check_batch(t, b, err);
    if (st != DAL_OK)
        return st;
    t->x = b->rows ? b->rows : t->filled;
    pass->fill = !b->rows;
    for (int64_t i = 0; i < b->n_labelled; i++)
        t->scale[i] = (float)(share * (b->weights ? (double)b->weights[i] : 1));
    st = b->between && !update->gradient ? run_split_pass(pass) : run_pass(pass);
    if (st == DAL_OK)
        st = run_update(update);
    if (st == DAL_OK)
        sum_up(t, b, result);
    return st;
}

dal_status dal_dense_train(dal_dense_trainer *t, const dal_dense_batch *b, dal_dense_result *result,
                           dal_error *err)
{
    const int64_t n_labelled = b->n_labelled > 0 ? b->n_labelled : 1;
    pass_job pass = {t, b, .forward = 1, .backward = 1, .dropout = t->rule.dropout};
    update_job update = {t, b->n, .product = 1, .update = 1};
    update.c = update.bias = dense_coefficients_at(&t->rule, ++t->steps, n_labelled);
    update.bias.l2 = 0;
    update.bias.keep = 1;
    return both_rounds(t, b, 1 / (double)n_labelled, &pass, &update, result, err);
}

dal_status dal_dense_gradient(dal_dense_trainer *t, const dal_dense_batch *b, double *gradient,
                              dal_dense_result *result, dal_error *err)
{
    pass_job pass = {t, b, .forward = 1, .backward = 1};
    update_job update = {t, b->n, .product = 1, .update = 1, .gradient = gradient};
    return both_rounds(t, b, 1, &pass, &update, result, err);
}
