#include "critic.h"

#include <math.h>

#define TILE 32  /* rows of a task */
#define SLICE 64 /* units of a task */
#define BETA1 0.5
#define BETA2 0.9
#define EPSILON 1e-8

/* ---- life --------------------------------------------------------------------------------------- */

static dal_status declare(critic *c, dal_error *err)
{
    c->nn = dal_nn_new(c->host);
    if (!c->nn)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for a critic");
    dal_nn_value x = dal_nn_input(c->nn, c->d, 1, 1);
    x = dal_nn_linear(c->nn, x, "hidden1", c->h, DAL_NN_BIAS | DAL_NN_RELU);
    x = dal_nn_linear(c->nn, x, "hidden2", c->h, DAL_NN_BIAS | DAL_NN_RELU);
    dal_nn_output(c->nn, dal_nn_linear(c->nn, x, "value", 1, 0));
    const dal_status st = dal_nn_finish(c->nn, err);
    if (st != DAL_OK)
        return st;
    dal_nn_describe(c->nn, &c->info);
    int64_t *const at[] = {&c->w1, &c->b1, &c->w2, &c->b2, &c->w3};
    for (int64_t i = 0; i < 5; i++)
        *at[i] = dal_nn_parameter(c->nn, i)->offset;
    return DAL_OK;
}

dal_status critic_new(const dal_host *host, int64_t d, int64_t h, critic **out, dal_error *err)
{
    critic *c = host->alloc(host, sizeof *c, 0);
    *out = NULL;
    if (!c)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for a critic");
    *c = (critic){.host = host, .d = d, .h = h};
    dal_status st = declare(c, err);
    if (st == DAL_OK) {
        float **const all[] = {&c->weights, &c->gradient, &c->first, &c->second};
        for (int i = 0; i < 4; i++) {
            *all[i] = dal_array(host, c->info.n_weights, sizeof **all[i]);
            if (!*all[i])
                st = DAL_E_NOMEM;
        }
        if (st != DAL_OK)
            dal_fail(err, st, "hidden", "no memory for a critic of %lld weights", (long long)c->info.n_weights);
    }
    if (st == DAL_OK)
        *out = c;
    else
        critic_free(c);
    return st;
}

static void not_ready(critic *c)
{
    dal_nn_ready_free(c->ready);
    c->ready = NULL;
}

static void free_rows(critic *c)
{
    float **const all[] = {&c->x, &c->v0, &c->y0, &c->a1, &c->v1, &c->y1, &c->a2, &c->v2, &c->y2};
    double **const few[] = {&c->u, &c->value, &c->norm};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        c->host->free(c->host, *all[i]);
        *all[i] = NULL;
    }
    for (size_t i = 0; i < sizeof few / sizeof *few; i++) {
        c->host->free(c->host, *few[i]);
        *few[i] = NULL;
    }
    c->room = 0;
}

void critic_free(critic *c)
{
    if (!c)
        return;
    const dal_host *host = c->host;
    not_ready(c);
    free_rows(c);
    host->free(host, c->weights);
    host->free(host, c->gradient);
    host->free(host, c->first);
    host->free(host, c->second);
    dal_nn_free(c->nn);
    host->free(host, c);
}

void critic_draw(critic *c, const dal_rng *stream)
{
    dal_nn_draw(c->nn, DAL_NN_UNIFORM, stream, c->weights, NULL);
    c->steps = 0;
    critic_rest(c);
}

void critic_rest(critic *c)
{
    const size_t bytes = (size_t)c->info.n_weights * sizeof *c->first;
    not_ready(c);
    memset(c->first, 0, bytes);
    memset(c->second, 0, bytes);
    c->adam_steps = 0;
}

static dal_status take_rows(critic *c, int64_t n, dal_error *err)
{
    if (n <= c->room)
        return DAL_OK;
    free_rows(c);
    float **const wide[] = {&c->x, &c->v0, &c->y0}, **const hidden[] = {&c->a1, &c->v1, &c->y1, &c->a2, &c->v2, &c->y2};
    double **const few[] = {&c->u, &c->value, &c->norm};
    int64_t by_d, by_h;
    int there = dal_size_mul(n, c->d, &by_d) && dal_size_mul(n, c->h, &by_h);
    for (size_t i = 0; there && i < sizeof wide / sizeof *wide; i++)
        there = (*wide[i] = dal_array(c->host, by_d, sizeof **wide[i])) != NULL;
    for (size_t i = 0; there && i < sizeof hidden / sizeof *hidden; i++)
        there = (*hidden[i] = dal_array(c->host, by_h, sizeof **hidden[i])) != NULL;
    for (size_t i = 0; there && i < sizeof few / sizeof *few; i++)
        there = (*few[i] = dal_array(c->host, n, sizeof **few[i])) != NULL;
    c->room = there ? n : 0;
    return there ? DAL_OK : dal_fail(err, DAL_E_NOMEM, "", "no memory for a critic's step on %lld rows", (long long)n);
}

/* ---- its loss and gradient ---------------------------------------------------------------------- */

typedef struct look {
    critic *c;
    int64_t n; /* rows */
    double eta;
} look;

/* Both halves, and points between them. */
static void lay_out_rows(critic *c, const critic_batch *b, const dal_rng *stream)
{
    const int64_t d = c->d, n_u = b->n_unlabelled, n_l = b->n_labelled, n_mix = n_u > n_l ? n_u : n_l;
    dal_rng draw = *stream;
    memcpy(c->x, b->unlabelled, (size_t)(n_u * d) * sizeof *c->x);
    memcpy(c->x + n_u * d, b->labelled, (size_t)(n_l * d) * sizeof *c->x);
    for (int64_t i = 0; i < n_mix; i++) {
        const float *from = b->unlabelled + i % n_u * d, *to = b->labelled + i % n_l * d;
        const float share = (float)dal_rng_uniform(&draw);
        float *x = c->x + (n_u + n_l + i) * d;
        for (int64_t j = 0; j < d; j++)
            x[j] = from[j] + share * (to[j] - from[j]);
    }
    for (int64_t i = 0; i < n_u + n_l + n_mix; i++)
        c->u[i] = i < n_u ? -1 / (double)n_u : i < n_u + n_l ? b->gamma / (double)n_l : 0;
}

/* out [n, h] = relu(x [n, k] w' + bias) */
static dal_status forward(const float *x, int64_t n, int64_t k, const float *w, const float *bias, int64_t h,
                          float *out)
{
    for (int64_t i = 0; i < n; i++)
        memcpy(out + i * h, bias, (size_t)h * sizeof *out);
    const dal_status st = dal_gemm_nt(n, h, k, 1, x, k, w, k, 1, out, h);
    for (int64_t i = 0; i < n * h; i++)
        out[i] = out[i] < 0 ? 0 : out[i]; /* NaN stays */
    return st;
}

/* Where a unit is shut nothing passes. */
static void pass_open(const float *a, int64_t n, float *to)
{
    for (int64_t i = 0; i < n; i++)
        to[i] = a[i] > 0 ? to[i] : 0;
}

/* g and ||V0|| of a row; y0 becomes S0. */
static void look_at_row(const look *l, int64_t i)
{
    const critic *c = l->c;
    const float *v0 = c->v0 + i * c->d;
    const double norm = sqrt(dal_dot(v0, v0, c->d));
    const float scale = norm > 0 ? (float)(2 * l->eta / (double)l->n * (norm - 1) / norm) : 0;
    c->value[i] = dal_dot(c->a2 + i * c->h, c->weights + c->w3, c->h);
    c->norm[i] = norm;
    for (int64_t j = 0; j < c->d; j++)
        c->y0[i * c->d + j] = scale * v0[j];
}

static void add_scaled(float *y, float u, const float *x, int64_t n)
{
    for (int64_t j = 0; j < n; j++)
        y[j] += u * x[j];
}

static dal_status look_at_tile(void *ctx, int64_t tile)
{
    const look *l = ctx;
    const critic *c = l->c;
    const int64_t first = tile * TILE, n = l->n - first < TILE ? l->n - first : TILE, d = c->d, h = c->h;
    const float *w1 = c->weights + c->w1, *w2 = c->weights + c->w2, *w3 = c->weights + c->w3;
    float *x = c->x + first * d, *v0 = c->v0 + first * d, *y0 = c->y0 + first * d;
    float *a1 = c->a1 + first * h, *v1 = c->v1 + first * h, *y1 = c->y1 + first * h;
    float *a2 = c->a2 + first * h, *v2 = c->v2 + first * h, *y2 = c->y2 + first * h;
    dal_status st = forward(x, n, d, w1, c->weights + c->b1, h, a1);
    if (st == DAL_OK)
        st = forward(a1, n, h, w2, c->weights + c->b2, h, a2);
    for (int64_t i = 0; i < n; i++)
        memcpy(v2 + i * h, w3, (size_t)h * sizeof *v2);
    pass_open(a2, n * h, v2);
    if (st == DAL_OK)
        st = dal_gemm_nn(n, h, h, 1, v2, h, w2, h, 0, v1, h);
    pass_open(a1, n * h, v1);
    if (st == DAL_OK)
        st = dal_gemm_nn(n, d, h, 1, v1, h, w1, d, 0, v0, d);
    for (int64_t i = first; st == DAL_OK && i < first + n; i++)
        look_at_row(l, i);
    if (st == DAL_OK)
        st = dal_gemm_nt(n, h, d, 1, y0, d, w1, d, 0, y1, h);
    pass_open(a1, n * h, y1);
    if (st == DAL_OK)
        st = dal_gemm_nt(n, h, h, 1, y1, h, w2, h, 0, y2, h);
    pass_open(a2, n * h, y2);
    for (int64_t i = 0; i < n; i++) {
        const float u = (float)c->u[first + i];
        add_scaled(y0 + i * d, u, x + i * d, d);
        add_scaled(y1 + i * h, u, a1 + i * h, h);
        add_scaled(y2 + i * h, u, a2 + i * h, h);
    }
    return st;
}

/* out[j] = the sum of factor times column j of v [n, h] over the rows, m columns from `first` on. */
static void sum_columns(const double *factor, const float *v, int64_t n, int64_t h, int64_t first, int64_t m,
                        float *out)
{
    double sum[SLICE] = {0};
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < m; j++)
            sum[j] += (factor ? factor[i] : 1) * (double)v[i * h + first + j];
    for (int64_t j = 0; j < m; j++)
        out[first + j] = (float)sum[j];
}

/* The gradient of all weights into some of the units of both hidden layers, and out of those of the second. */
static dal_status sum_slice(void *ctx, int64_t slice)
{
    const look *l = ctx;
    critic *c = l->c;
    const int64_t first = slice * SLICE, m = c->h - first < SLICE ? c->h - first : SLICE, d = c->d, h = c->h;
    float *g = c->gradient;
    dal_status st = dal_gemm_tn(m, d, l->n, 1, c->v1 + first, h, c->y0, d, 0, g + c->w1 + first * d, d);
    if (st == DAL_OK)
        st = dal_gemm_tn(m, h, l->n, 1, c->v2 + first, h, c->y1, h, 0, g + c->w2 + first * h, h);
    sum_columns(c->u, c->v1, l->n, h, first, m, g + c->b1);
    sum_columns(c->u, c->v2, l->n, h, first, m, g + c->b2);
    sum_columns(NULL, c->y2, l->n, h, first, m, g + c->w3);
    return st;
}

dal_status critic_look(critic *c, const critic_batch *b, const dal_rng *stream, double *loss, dal_error *err)
{
    const int64_t n_u = b->n_unlabelled, n_l = b->n_labelled;
    look l = {c, n_u + n_l + (n_u > n_l ? n_u : n_l), b->eta};
    dal_status st = take_rows(c, l.n, err);
    if (st != DAL_OK)
        return st;
    lay_out_rows(c, b, stream);
    st = c->host->parallel_for(c->host, (l.n + TILE - 1) / TILE, look_at_tile, &l);
    if (st == DAL_OK)
        st = c->host->parallel_for(c->host, (c->h + SLICE - 1) / SLICE, sum_slice, &l);
    *loss = 0;
    for (int64_t i = 0; st == DAL_OK && i < l.n; i++)
        *loss += c->u[i] * c->value[i] + b->eta / (double)l.n * (c->norm[i] - 1) * (c->norm[i] - 1);
    return st == DAL_OK ? st : dal_fail(err, st, "", "a critic's matrix product failed");
}

/* ---- a step -------------------------------------------------------------------------------------- */

typedef struct move {
    critic *c;
    double rate, correct1, correct2;
} move;

#define MOVED 8192 /* weights of a task */

static dal_status move_some(void *ctx, int64_t task)
{
    const move *m = ctx;
    critic *c = m->c;
    const int64_t first = task * MOVED, end = first + MOVED < c->info.n_weights ? first + MOVED : c->info.n_weights;
    const float rate = (float)(m->rate / m->correct1), root = (float)(1 / sqrt(m->correct2));
    const float b1 = (float)BETA1, b2 = (float)BETA2, epsilon = (float)EPSILON;
    for (int64_t i = first; i < end; i++) {
        const float g = c->gradient[i];
        c->first[i] = b1 * c->first[i] + (1 - b1) * g;
        c->second[i] = b2 * c->second[i] + (1 - b2) * g * g;
        c->weights[i] -= rate * c->first[i] / (root * sqrtf(c->second[i]) + epsilon);
    }
    return DAL_OK;
}

dal_status critic_move(critic *c, double rate, dal_error *err)
{
    not_ready(c);
    c->steps++;
    const double t = (double)++c->adam_steps;
    move m = {c, rate, 1 - pow(BETA1, t), 1 - pow(BETA2, t)};
    const dal_status st = c->host->parallel_for(c->host, (c->info.n_weights + MOVED - 1) / MOVED, move_some, &m);
    return st == DAL_OK ? st : dal_fail(err, st, "", "a critic could not be moved");
}

/* ---- what it says ------------------------------------------------------------------------------- */

dal_status critic_ready(critic *c, dal_error *err)
{
    if (!c->ready)
        c->ready = dal_nn_ready_new(c->nn, c->host, c->weights, NULL, err);
    return c->ready ? DAL_OK : DAL_E_NOMEM;
}

dal_status critic_values(const critic *c, const float *x, int64_t ld, int64_t n, double *out, dal_error *err)
{
    dal_nn_pass *p = dal_nn_ready_pass(c->ready, c->host, err);
    dal_status st = p ? DAL_OK : DAL_E_NOMEM;
    for (int64_t first = 0; st == DAL_OK && first < n; first += DAL_NN_TILE) {
        const int64_t m = n - first < DAL_NN_TILE ? n - first : DAL_NN_TILE;
        for (int64_t i = 0; i < m; i++)
            memcpy(p->value[c->info.input] + i * c->d, x + (first + i) * ld, (size_t)c->d * sizeof *x);
        st = dal_nn_run(c->nn, c->weights, NULL, p, m, c->info.input, c->info.output, NULL);
        for (int64_t i = 0; st == DAL_OK && i < m; i++)
            out[first + i] = (double)p->value[c->info.output][i];
        if (st != DAL_OK)
            dal_fail(err, st, "", "a critic could not be asked");
    }
    dal_nn_pass_free(p);
    return st;
}
