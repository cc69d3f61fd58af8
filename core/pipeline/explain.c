#include "pipeline/explain.h"

#include <dal/linalg.h>
#include <math.h>
#include <stdlib.h>

#include "pipeline/view.h"
#include "util/text.h"

#define TILE 512 /* rows compared with at a time */

/* ---- the space ---- */

space space_of(const provider *p, const dal_sample_spec *spec)
{
    const bool dense = spec && p->inputs && spec_is_dense(spec);
    return (space){p, p->features ? p->d : dense ? dal_sample_values(spec) : 0};
}

/* Rows of n <= BLOCK_COMPUTED samples into out [n, width]. */
static dal_status fill_block(const space *s, scratch *buffers, const int64_t *ids, int64_t n, float *out,
                             dal_error *err)
{
    const provider *p = s->p;
    if (p->features) {
        dal_matrix x;
        const dal_status st = p->features(p, buffers, ids, n, &x, NULL, err);
        for (int64_t i = 0; st == DAL_OK && i < n; i++)
            memcpy(out + i * s->width, x.data + i * x.stride, (size_t)s->width * sizeof(float));
        return st;
    }
    dal_batch x;
    const dal_status st = p->inputs(p, buffers, ids, n, &x, err);
    if (st == DAL_OK)
        batch_as_floats(&x, s->width, out);
    return st;
}

/* ---- what is compared with ---- */

/* Rows that stay while others come by. */
typedef struct target {
    float *rows;     /* [n, d] */
    double *offsets; /* [n] (1 - kappa) |row|^2 */
    int64_t n, d;
    double shrink;   /* 1 - kappa, see sdk/lib/nearest.c */
} target;

static void target_fini(target *t)
{
    free(t->rows);
    free(t->offsets);
    *t = (target){0};
}

typedef struct numbered {
    int64_t id, row;
} numbered;

static int by_id(const void *a, const void *b)
{
    const numbered *x = a, *y = b;
    return (x->id > y->id) - (x->id < y->id);
}

/* Providers are asked in ascending order, the rows of the target are in that of ids. */
static dal_status fill_target(target *t, const space *s, const int64_t *ids, dal_error *err)
{
    numbered *sorted = xcalloc((size_t)t->n, sizeof *sorted);
    float *x = malloc((size_t)(BLOCK_COMPUTED * t->d) * sizeof *x);
    scratch *buffers = xcalloc(1, sizeof *buffers);
    dal_status st = x ? DAL_OK : dal_fail(err, DAL_E_NOMEM, "", "no memory to read samples");
    for (int64_t i = 0; i < t->n; i++)
        sorted[i] = (numbered){ids[i], i};
    qsort(sorted, (size_t)t->n, sizeof *sorted, by_id);
    for (int64_t first = 0; st == DAL_OK && first < t->n; first += BLOCK_COMPUTED) {
        int64_t block[BLOCK_COMPUTED], n = 0;
        for (; n < BLOCK_COMPUTED && first + n < t->n; n++)
            block[n] = sorted[first + n].id;
        st = fill_block(s, buffers, block, n, x, err);
        for (int64_t i = 0; st == DAL_OK && i < n; i++)
            memcpy(t->rows + sorted[first + i].row * t->d, x + i * t->d, (size_t)t->d * sizeof *x);
    }
    scratch_free(buffers);
    free(x);
    free(sorted);
    return st;
}

static dal_status target_init(target *t, const space *s, const int64_t *ids, int64_t n, dal_error *err)
{
    int64_t total;
    *t = (target){.n = n, .d = s->width};
    t->shrink = 1 - 1.1 * (2 * (double)t->d + (double)t->d / 16 + 64) * 0x1p-24;
    if (!dal_size_mul(n, t->d, &total) || !(t->rows = calloc((size_t)total + 1, sizeof *t->rows)))
        return dal_fail(err, DAL_E_NOMEM, "", "no memory to compare with %lld samples", (long long)n);
    t->offsets = xcalloc((size_t)n, sizeof *t->offsets);
    const dal_status st = fill_target(t, s, ids, err);
    for (int64_t i = 0; i < n; i++)
        t->offsets[i] = t->shrink * dal_dot(t->rows + i * t->d, t->rows + i * t->d, t->d);
    return st;
}

typedef struct nearest_row {
    int64_t row;    /* of the target, -1: none */
    float distance; /* squared */
} nearest_row;

/* Look at the rows first..first+n-1 of the target, whose products with x are given. x itself may be row `self`. */
static void look_at_tile(const target *t, const float *x, double norm, int64_t self, const float *products,
                         int64_t first, int64_t n, nearest_row *best)
{
    const double base = t->shrink * norm - (double)t->d * 0x1p-124; /* what underflow may have taken */
    double least = INFINITY;
    int64_t likely = -1;
    for (int64_t j = 0; j < n; j++) {
        const double bound = (double)products[j] + t->offsets[first + j];
        if (bound < least && first + j != self) {
            least = bound;
            likely = j;
        }
    }
    if (likely < 0 || (double)best->distance < least + base)
        return;
    /* a good limit first; then all that may be below it, in order */
    const float limit = dal_squared_distance(x, t->rows + (first + likely) * t->d, t->d);
    for (int64_t j = 0; j < n; j++) {
        const double bound = (double)products[j] + t->offsets[first + j] + base;
        if (first + j == self || bound > (double)limit || !(bound < (double)best->distance))
            continue;
        const float distance = dal_squared_distance(x, t->rows + (first + j) * t->d, t->d);
        if (distance < best->distance)
            *best = (nearest_row){first + j, distance};
    }
}

/* The nearest row of the target to each of x [n, d], n <= BLOCK_COMPUTED. self: x is these rows of the target, -1:
 * not. */
static dal_status find_nearest(const target *t, const float *x, int64_t n, int64_t self, nearest_row *best)
{
    float *products = malloc(sizeof(float) * BLOCK_COMPUTED * TILE);
    dal_status st = products ? DAL_OK : DAL_E_NOMEM;
    for (int64_t i = 0; i < n; i++)
        best[i] = (nearest_row){-1, INFINITY};
    for (int64_t first = 0; st == DAL_OK && first < t->n; first += TILE) {
        const int64_t m = t->n - first < TILE ? t->n - first : TILE;
        st = dal_gemm_nt(n, m, t->d, -2, x, t->d, t->rows + first * t->d, t->d, 0, products, TILE);
        for (int64_t i = 0; st == DAL_OK && i < n; i++)
            look_at_tile(t, x + i * t->d, dal_dot(x + i * t->d, x + i * t->d, t->d), self < 0 ? -1 : self + i,
                         products + i * TILE, first, m, &best[i]);
    }
    free(products);
    return st;
}

/* ---- all rows of one target against another ---- */

typedef struct rows_job {
    const target *from, *to;
    bool same; /* they are one */
    nearest_row *best;
} rows_job;

static dal_status rows_task(void *ctx, int64_t block)
{
    const rows_job *j = ctx;
    const int64_t first = block * BLOCK_COMPUTED;
    const int64_t n = j->from->n - first < BLOCK_COMPUTED ? j->from->n - first : BLOCK_COMPUTED;
    return find_nearest(j->to, j->from->rows + first * j->from->d, n, j->same ? first : -1, j->best + first);
}

static int64_t blocks_of(int64_t n)
{
    return n / BLOCK_COMPUTED + (n % BLOCK_COMPUTED != 0);
}

static dal_status nearest_rows(const dal_host *h, const target *from, const target *to, nearest_row *best,
                               dal_error *err)
{
    rows_job j = {from, to, from == to, best};
    const dal_status st = h->parallel_for(h, blocks_of(from->n), rows_task, &j);
    return st == DAL_OK ? st : dal_fail(err, st, "", "the nearest samples could not be found");
}

static double distance_of(const nearest_row *r)
{
    return r->row < 0 ? (double)NAN : sqrt((double)r->distance);
}

dal_status explain_nearest(const space *s, const int64_t *picks, int64_t n, const int64_t *labelled, int64_t n_labelled,
                           int64_t *nearest, double *distance, dal_error *err)
{
    target from = {0}, to = {0};
    nearest_row *best = xcalloc((size_t)n, sizeof *best);
    for (int64_t i = 0; i < n; i++)
        best[i].row = -1;
    dal_status st = DAL_OK;
    if (n > 0 && n_labelled > 0 && s->width > 0) {
        st = target_init(&from, s, picks, n, err);
        if (st == DAL_OK)
            st = target_init(&to, s, labelled, n_labelled, err);
        if (st == DAL_OK)
            st = nearest_rows(s->p->host, &from, &to, best, err);
    }
    for (int64_t i = 0; i < n; i++) {
        nearest[i] = best[i].row < 0 ? -1 : labelled[best[i].row];
        distance[i] = distance_of(&best[i]);
    }
    target_fini(&from);
    target_fini(&to);
    free(best);
    return st;
}

/* ---- what picks stand for ---- */

typedef struct pool_job {
    const space *s;
    const target *picks;
    const int64_t *candidates;
    int64_t n;
    const dal_matrix *features; /* or NULL */
    const int64_t *sorted;      /* the picks' pool indices */
    pthread_mutex_t lock;       /* of all below */
    scratch *idle;
    explanation *out;
    dal_error error;
} pool_job;

static int by_value(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* Candidate id has this pick as its nearest: count it, keep it if it is among the nearest few. */
static void stand_for(explanation *e, int64_t id, double distance)
{
    e->stands_for++;
    int at = STORE_FEW;
    while (at > 0 && (e->few[at - 1] < 0 || distance < e->few_distance[at - 1] ||
                      (!(distance > e->few_distance[at - 1]) && id < e->few[at - 1])))
        at--;
    for (int i = STORE_FEW - 1; i > at; i--) {
        e->few[i] = e->few[i - 1];
        e->few_distance[i] = e->few_distance[i - 1];
    }
    if (at < STORE_FEW) {
        e->few[at] = id;
        e->few_distance[at] = distance;
    }
}

static scratch *take_scratch(pool_job *j)
{
    pthread_mutex_lock(&j->lock);
    scratch *s = j->idle;
    if (s)
        j->idle = s->next;
    pthread_mutex_unlock(&j->lock);
    return s ? s : xcalloc(1, sizeof *s);
}

/* Rows of a block of candidates into x. */
static dal_status read_block(pool_job *j, int64_t first, int64_t n, float *x)
{
    if (j->features) {
        for (int64_t i = 0; i < n; i++)
            memcpy(x + i * j->s->width, j->features->data + (first + i) * j->features->stride,
                   (size_t)j->s->width * sizeof *x);
        return DAL_OK;
    }
    dal_error err = DAL_ERROR_INIT;
    scratch *s = take_scratch(j);
    const dal_status st = fill_block(j->s, s, j->candidates + first, n, x, &err);
    pthread_mutex_lock(&j->lock);
    s->next = j->idle;
    j->idle = s;
    if (st != DAL_OK && !*j->error.text)
        j->error = err;
    pthread_mutex_unlock(&j->lock);
    return st;
}

static dal_status pool_task(void *ctx, int64_t block)
{
    pool_job *j = ctx;
    const dal_host *h = j->s->p->host;
    const int64_t first = block * BLOCK_COMPUTED, n = j->n - first < BLOCK_COMPUTED ? j->n - first : BLOCK_COMPUTED;
    nearest_row best[BLOCK_COMPUTED];
    if (h->cancelled(h))
        return DAL_E_CANCELLED;
    float *x = dal_array(h, n, (size_t)j->s->width * sizeof *x);
    dal_status st = x ? read_block(j, first, n, x) : DAL_E_NOMEM;
    if (st == DAL_OK)
        st = find_nearest(j->picks, x, n, -1, best);
    h->free(h, x);
    pthread_mutex_lock(&j->lock);
    for (int64_t i = 0; st == DAL_OK && i < n; i++) {
        const int64_t id = j->candidates[first + i];
        if (best[i].row >= 0 && !bsearch(&id, j->sorted, (size_t)j->picks->n, sizeof id, by_value))
            stand_for(&j->out[best[i].row], id, distance_of(&best[i]));
    }
    pthread_mutex_unlock(&j->lock);
    h->progress(h, first + n, j->n, "candidates near to picks");
    return st;
}

/* Counts add up and the nearest few are the same in whatever order the blocks come. */
static dal_status explain_pool(pool_job *j, dal_error *err)
{
    const dal_host *h = j->s->p->host;
    pthread_mutex_init(&j->lock, NULL);
    const dal_status st = h->parallel_for(h, blocks_of(j->n), pool_task, j);
    pthread_mutex_destroy(&j->lock);
    scratch_free(j->idle);
    if (st == DAL_OK)
        return DAL_OK;
    if (*j->error.text) {
        *err = j->error;
        return st;
    }
    return dal_fail(err, st, "", st == DAL_E_CANCELLED ? "interrupted" : "the picks could not be explained");
}

dal_status explain_picks(const space *s, const int64_t *picks, int64_t n, const int64_t *candidates,
                         int64_t n_candidates, const dal_matrix *features, explanation *out, dal_error *err)
{
    target t = {0};
    nearest_row *other = xcalloc((size_t)n, sizeof *other);
    int64_t *sorted = xcalloc((size_t)n, sizeof *sorted);
    memcpy(sorted, picks, (size_t)n * sizeof *sorted);
    qsort(sorted, (size_t)n, sizeof *sorted, by_value);
    for (int64_t i = 0; i < n; i++) {
        out[i] = (explanation){.other = -1, .other_distance = (double)NAN};
        for (int k = 0; k < STORE_FEW; k++) {
            out[i].few[k] = -1;
            out[i].few_distance[k] = (double)NAN;
        }
    }
    dal_status st = target_init(&t, s, picks, n, err);
    if (st == DAL_OK)
        st = nearest_rows(s->p->host, &t, &t, other, err);
    for (int64_t i = 0; st == DAL_OK && i < n; i++) {
        out[i].other = other[i].row < 0 ? -1 : picks[other[i].row];
        out[i].other_distance = distance_of(&other[i]);
    }
    if (st == DAL_OK) {
        pool_job j = {.s = s, .picks = &t, .candidates = candidates, .n = n_candidates, .features = features,
                      .sorted = sorted, .out = out, .error = DAL_ERROR_INIT};
        st = explain_pool(&j, err);
    }
    target_fini(&t);
    free(other);
    free(sorted);
    return st;
}
