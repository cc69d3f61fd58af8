/* Facility location and its kin: every target i is covered up to m_i, and j adds
 * sum_i max(0, min(s_ij, cap_i) - m_i).
 *
 * Similarities come in float tiles from matrix products, a batch of candidates against all targets at a time, with
 * a bound of their error (similarity.h); where a decision needs it a gain is summed again in double over those
 * targets alone that the float values cannot exclude, in a fixed order. Two bounds tell which candidates need not
 * be looked at: gains only fall, and (cover_limit) for x_i = s_ij - m_i
 *
 *     sum max(0, x_i) = (sum x_i + sum |x_i|) / 2 <= (sum x_i + sqrt(n sum x_i^2)) / 2,
 *
 * where for cosine and dot both sums follow from sum t_i, sum m_i t_i and G = sum t_i t_i' of the targets'
 * vectors: d^2 a candidate once and d each time instead of n d.
 */
#include "set_functions.h"

#include "clones.h"
#include "similarity.h"

#include <dal/linalg.h>
#include <math.h>

#define BATCH 512   /* candidates looked at together */
#define STRIP 64    /* of them in a tile */
#define SLICES 4    /* of the targets, for sums over them */
#define MOMENT 1024 /* targets whose outer products are added in float */
#define WIDEST 1024 /* features, for G */

typedef struct cover {
    dal_set_function f;
    const dal_host *host;
    dal_similarity s;
    const dal_points *candidates;
    dal_points targets;      /* borrowed, or packed: those that can be covered at all */
    sim_pack packed;         /* memory of the latter */
    double *covered;         /* [t] m_i */
    double *cap, *bonus;     /* [t], [n]; NULL: none */
    double largest;          /* of the targets' squares */
    double quantum;
    int64_t n_picks;
    int starts_at_zero;      /* no target had a floor or a cap */
    double *moment;          /* [n] t_j' G t_j, from above; NULL: not needed yet */
    sim_pack batch;          /* the candidates being looked at */
    double *partial, *count; /* [tiles, BATCH] */
} cover;

static cover *of(dal_set_function *f)
{
    return f->impl;
}

int same_points(const dal_points *p, int64_t i, int64_t j)
{
    const size_t x = (size_t)p->x.cols * sizeof(float), y = (size_t)p->y.cols * sizeof(float);
    return memcmp(p->x.data + i * p->x.stride, p->x.data + j * p->x.stride, x) == 0 &&
           (!p->y.data || memcmp(p->y.data + i * p->y.stride, p->y.data + j * p->y.stride, y) == 0);
}

static int64_t tiles(int64_t n, int64_t size)
{
    return n / size + (n % size != 0);
}

/* ---- a batch against a tile of targets -------------------------------------------------------- */

typedef enum look { ESTIMATE, EXACT, ADD } look;

typedef struct batch_job {
    cover *c;
    const int64_t *rows;
    look how;
} batch_job;

/* What a float similarity of a candidate of this square may be off by, m_i and cap_i in float included. */
static double pair_error(const cover *c, double square)
{
    const double size = c->s.kind == DAL_DOT ? sqrt(square * c->largest) : 1;
    return sim_error(&c->s, c->candidates, square, c->largest) + 0x1p-21 * size;
}

/* The sum of what s[n] would add, and how many targets it may add to. */
DAL_CLONES static void sum_row(const float *s, const float *covered, const float *cap, int64_t n, float error,
                               double *sum, double *count)
{
    float lane[16] = {0};
    int32_t some[16] = {0};
    int64_t i = 0;
    for (; i + 16 <= n; i += 16)
        for (int l = 0; l < 16; l++) {
            const float v = s[i + l] < cap[i + l] ? s[i + l] : cap[i + l], add = v - covered[i + l];
            lane[l] += add > 0 ? add : 0;
            some[l] += add > -error;
        }
    for (int l = 0; i < n; i++, l++) {
        const float v = s[i] < cap[i] ? s[i] : cap[i], add = v - covered[i];
        lane[l] += add > 0 ? add : 0;
        some[l] += add > -error;
    }
    *sum = *count = 0;
    for (int l = 0; l < 16; l++) {
        *sum += (double)lane[l];
        *count += some[l];
    }
}

/* The same exactly, from the pairs the float values leave; with ADD the targets are covered, too. */
static double sum_exactly(cover *c, int64_t row, int64_t first, int64_t n, const float *s, double error, look how)
{
    double sum = 0;
    for (int64_t i = first; i < first + n; i++) {
        if ((double)s[i - first] <= c->covered[i] - error || (c->cap && c->cap[i] <= c->covered[i]))
            continue;
        const double alike = dal_alike(&c->s, c->candidates, row, &c->targets, i);
        const double v = c->cap ? fmin(alike, c->cap[i]) : alike;
        if (v <= c->covered[i])
            continue;
        sum += v - c->covered[i];
        if (how == ADD)
            c->covered[i] = v;
    }
    return sum;
}

static dal_status batch_task(void *ctx, int64_t t)
{
    const batch_job *j = ctx;
    cover *c = j->c;
    const int64_t first = t * SIM_TILE, left = c->targets.x.rows - first, n = left < SIM_TILE ? left : SIM_TILE;
    const sim_rows targets = sim_range(&c->targets, first, n), *all = &c->batch.rows;
    float covered[SIM_TILE], cap[SIM_TILE];
    float *tile = dal_array(c->host, 2 * STRIP * SIM_TILE, sizeof *tile);
    dal_status st = tile ? DAL_OK : DAL_E_NOMEM;
    for (int64_t i = 0; i < n; i++) {
        covered[i] = (float)c->covered[first + i];
        cap[i] = c->cap ? (float)c->cap[first + i] : INFINITY;
    }
    for (int64_t k = 0; st == DAL_OK && k < all->n; k += STRIP) {
        const sim_rows some = {all->x + k * all->ldx, all->y ? all->y + k * all->ldy : NULL, all->ldx, all->ldy,
                               all->squares + k, all->n - k < STRIP ? all->n - k : STRIP};
        st = sim_tile(&c->s, c->candidates, &some, &targets, tile, SIM_TILE, tile + STRIP * SIM_TILE);
        for (int64_t i = 0; st == DAL_OK && i < some.n; i++) {
            const double error = pair_error(c, some.squares[i]);
            double *sum = &c->partial[t * BATCH + k + i];
            if (j->how == ESTIMATE)
                sum_row(tile + i * SIM_TILE, covered, cap, n, (float)error, sum, &c->count[t * BATCH + k + i]);
            else
                *sum = sum_exactly(c, j->rows[k + i], first, n, tile + i * SIM_TILE, error, j->how);
        }
    }
    c->host->free(c->host, tile);
    return st;
}

/* Gains of up to BATCH rows; error [m] for ESTIMATE. */
static dal_status run_batch(cover *c, const int64_t *rows, int64_t m, look how, double *gain, double *error,
                            dal_error *err)
{
    batch_job j = {c, rows, how};
    const int64_t n_tiles = tiles(c->targets.x.rows, SIM_TILE);
    sim_pack_fill(&c->batch, c->candidates, rows, m);
    const dal_status st = c->host->parallel_for(c->host, n_tiles, batch_task, &j);
    if (st != DAL_OK)
        return dal_fail(err, st, "", st == DAL_E_NOMEM ? "no memory for similarities"
                                                       : "similarities could not be computed");
    for (int64_t i = 0; i < m; i++) {
        double sum = 0, count = 0;
        for (int64_t t = 0; t < n_tiles; t++) {
            sum += c->partial[t * BATCH + i];
            count += how == ESTIMATE ? c->count[t * BATCH + i] : 0;
        }
        gain[i] = snap(sum + (c->bonus ? c->bonus[rows[i]] : 0), c->quantum);
        if (how == ESTIMATE)
            error[i] = count * pair_error(c, c->batch.squares[i]) + 0x1p-19 * sum + 2 * c->quantum;
    }
    return DAL_OK;
}

static dal_status in_batches(cover *c, const int64_t *rows, int64_t m, look how, double *gain, double *error,
                             dal_error *err)
{
    dal_status st = DAL_OK;
    for (int64_t k = 0; st == DAL_OK && k < m; k += BATCH)
        st = run_batch(c, rows + k, m - k < BATCH ? m - k : BATCH, how, gain + k, error ? error + k : NULL, err);
    return st;
}

static dal_status cover_gains(dal_set_function *f, const int64_t *rows, int64_t m, double *gain, dal_error *err)
{
    return in_batches(of(f), rows, m, EXACT, gain, NULL, err);
}

static dal_status cover_estimate(dal_set_function *f, const int64_t *rows, int64_t m, double *gain, double *error,
                                 dal_error *err)
{
    return in_batches(of(f), rows, m, ESTIMATE, gain, error, err);
}

static dal_status cover_add(dal_set_function *f, int64_t row, double *gained, dal_error *err)
{
    of(f)->n_picks++;
    return in_batches(of(f), &row, 1, ADD, gained, NULL, err);
}

static int cover_same(dal_set_function *f, int64_t i, int64_t j)
{
    const cover *c = of(f);
    return same_points(c->candidates, i, j) &&
           (!c->bonus || (c->bonus[i] <= c->bonus[j] && c->bonus[j] <= c->bonus[i]));
}

/* ---- bounds without looking ------------------------------------------------------------------- */

/* s = alpha + beta t_i . t_j, t the vectors at length 1 for cosine, as they are for dot. */
typedef struct limit_job {
    cover *c;
    double alpha, beta;
    double *sums;  /* [SLICES, 2 d + 2]: sum t_i, sum mu_i t_i, sum mu_i, sum mu_i^2 with mu_i = m_i - alpha */
    double *gram;  /* [SLICES, d, d] */
    float *rounded; /* [d, d] of the sum of gram */
    double lengths; /* sum |t_i|^2 */
    double *bound;  /* [n] */
} limit_job;

static double inverse_length(const cover *c, double square)
{
    if (c->s.kind == DAL_DOT)
        return 1;
    return square > 0 ? 1 / sqrt(square) : 0;
}

static dal_status sums_task(void *ctx, int64_t slice)
{
    const limit_job *j = ctx;
    const cover *c = j->c;
    const dal_points *p = &c->targets;
    const int64_t d = p->x.cols, size = tiles(p->x.rows, SLICES);
    const int64_t end = (slice + 1) * size < p->x.rows ? (slice + 1) * size : p->x.rows;
    double *total = j->sums + slice * (2 * d + 2), *weighted = total + d, *mu_sums = weighted + d;
    memset(total, 0, (size_t)(2 * d + 2) * sizeof *total);
    for (int64_t i = slice * size; i < end; i++) {
        const double mu = c->covered[i] - j->alpha, inverse = inverse_length(c, p->squares[i]);
        const float *x = p->x.data + i * p->x.stride;
        for (int64_t k = 0; k < d; k++) {
            const double v = inverse * (double)x[k];
            total[k] += v;
            weighted[k] += mu * v;
        }
        mu_sums[0] += mu;
        mu_sums[1] += mu * mu;
    }
    return DAL_OK;
}

static dal_status gram_task(void *ctx, int64_t slice)
{
    const limit_job *j = ctx;
    const cover *c = j->c;
    const dal_points *p = &c->targets;
    const int64_t d = p->x.cols, size = tiles(p->x.rows, SLICES);
    const int64_t end = (slice + 1) * size < p->x.rows ? (slice + 1) * size : p->x.rows;
    double *gram = j->gram + slice * d * d;
    float *t = dal_array(c->host, (MOMENT + d) * d, sizeof *t), *some = t + MOMENT * d;
    if (!t)
        return DAL_E_NOMEM;
    memset(gram, 0, (size_t)(d * d) * sizeof *gram);
    dal_status st = DAL_OK;
    for (int64_t first = slice * size; st == DAL_OK && first < end; first += MOMENT) {
        const int64_t n = end - first < MOMENT ? end - first : MOMENT;
        for (int64_t i = 0; i < n; i++) {
            const float inverse = (float)inverse_length(c, p->squares[first + i]);
            for (int64_t k = 0; k < d; k++)
                t[i * d + k] = inverse * p->x.data[(first + i) * p->x.stride + k];
        }
        st = dal_gemm_tn(d, d, n, 1, t, d, t, d, 0, some, d);
        for (int64_t k = 0; k < d * d; k++)
            gram[k] += (double)some[k];
    }
    c->host->free(c->host, t);
    return st;
}

/* t_j' G t_j for a tile of candidates, rounded up: |t|'|G||t| <= |t_j|^2 sum |t_i|^2 bounds what float loses. */
static dal_status moment_task(void *ctx, int64_t tile)
{
    const limit_job *j = ctx;
    const cover *c = j->c;
    const dal_points *p = c->candidates;
    const int64_t d = p->x.cols, first = tile * SIM_TILE;
    const int64_t n = p->x.rows - first < SIM_TILE ? p->x.rows - first : SIM_TILE;
    const float *x = p->x.data + first * p->x.stride;
    float *product = dal_array(c->host, SIM_TILE * d, sizeof *product);
    if (!product)
        return DAL_E_NOMEM;
    const dal_status st = dal_gemm_nn(n, d, d, 1, x, p->x.stride, j->rounded, d, 0, product, d);
    for (int64_t i = 0; i < n; i++) {
        const double inverse = inverse_length(c, p->squares[first + i]);
        const double length = inverse * inverse * p->squares[first + i];
        c->moment[first + i] = inverse * inverse * dal_dot(x + i * p->x.stride, product + i * d, d) +
                               (double)(4 * d + 2 * MOMENT + 64) * 0x1p-24 * length * j->lengths;
    }
    c->host->free(c->host, product);
    return st;
}

static dal_status find_moments(limit_job *j)
{
    cover *c = j->c;
    const dal_host *host = c->host;
    const int64_t d = c->candidates->x.cols;
    c->moment = dal_array(host, c->candidates->x.rows, sizeof *c->moment);
    j->gram = dal_array(host, SLICES * d * d, sizeof *j->gram);
    j->rounded = dal_array(host, d * d, sizeof *j->rounded);
    dal_status st = c->moment && j->gram && j->rounded ? DAL_OK : DAL_E_NOMEM;
    if (st == DAL_OK)
        st = host->parallel_for(host, SLICES, gram_task, j);
    for (int64_t k = 0; st == DAL_OK && k < d * d; k++) {
        double sum = 0;
        for (int64_t s = 0; s < SLICES; s++)
            sum += j->gram[s * d * d + k];
        j->rounded[k] = (float)sum;
        j->lengths += k % (d + 1) == 0 ? sum : 0;
    }
    if (st == DAL_OK)
        st = host->parallel_for(host, tiles(c->candidates->x.rows, SIM_TILE), moment_task, j);
    host->free(host, j->gram);
    host->free(host, j->rounded);
    return st;
}

static dal_status limit_task(void *ctx, int64_t tile)
{
    const limit_job *j = ctx;
    const cover *c = j->c;
    const dal_points *p = c->candidates;
    const int64_t d = p->x.cols, end = (tile + 1) * SIM_TILE < p->x.rows ? (tile + 1) * SIM_TILE : p->x.rows;
    const double n = (double)c->targets.x.rows, *mu = j->sums + 2 * d;
    for (int64_t i = tile * SIM_TILE; i < end; i++) {
        const float *x = p->x.data + i * p->x.stride;
        const double scale = j->beta * inverse_length(c, p->squares[i]);
        const double sum = scale * sim_mixed_dot(x, j->sums, d) - mu[0];
        const double squares =
            j->beta * j->beta * c->moment[i] - 2 * scale * sim_mixed_dot(x, j->sums + d, d) + mu[1];
        const double bound = 0.5 * (sum + sqrt(n * fmax(0, squares)));
        j->bound[i] =
            fmin(j->bound[i], bound + 1e-9 * (n + fabs(sum)) + c->quantum + (c->bonus ? c->bonus[i] : 0));
    }
    return DAL_OK;
}

static dal_status by_moments(cover *c, double *bound)
{
    const int64_t d = c->candidates->x.cols, wide = 2 * d + 2;
    const int cosine = c->s.kind == DAL_COSINE;
    limit_job j = {.c = c, .alpha = cosine ? 0.5 : 0, .beta = cosine ? 0.5 : 1, .bound = bound};
    j.sums = dal_array(c->host, SLICES * wide, sizeof *j.sums);
    dal_status st = j.sums ? DAL_OK : DAL_E_NOMEM;
    if (st == DAL_OK && !c->moment)
        st = find_moments(&j);
    if (st == DAL_OK)
        st = c->host->parallel_for(c->host, SLICES, sums_task, &j);
    for (int64_t k = 0; st == DAL_OK && k < wide; k++)
        for (int64_t s = 1; s < SLICES; s++)
            j.sums[k] += j.sums[s * wide + k];
    if (st == DAL_OK)
        st = c->host->parallel_for(c->host, tiles(c->candidates->x.rows, SIM_TILE), limit_task, &j);
    c->host->free(c->host, j.sums);
    return st;
}

/* While nothing is covered or capped and no similarity is negative the gain is a sum of similarities. */
static dal_status by_sum(cover *c, double *bound, dal_error *err)
{
    const int64_t n = c->candidates->x.rows;
    double *sum = dal_array(c->host, n, sizeof *sum);
    if (!sum)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld candidates", (long long)n);
    const dal_status st = dal_sum_alike(c->host, &c->s, c->candidates, &c->targets, sum, err);
    for (int64_t i = 0; st == DAL_OK && i < n; i++)
        bound[i] = fmin(bound[i], sum[i] * (1 + 1e-9) + c->quantum + (c->bonus ? c->bonus[i] : 0));
    c->host->free(c->host, sum);
    return st;
}

static dal_status cover_limit(dal_set_function *f, double *bound, dal_error *err)
{
    cover *c = of(f);
    if (c->n_picks == 0 && c->starts_at_zero && c->s.kind == DAL_COSINE)
        return by_sum(c, bound, err);
    if (c->s.kind == DAL_RBF || c->candidates->y.data || c->candidates->x.cols > WIDEST ||
        c->targets.x.rows < 4 * BATCH)
        return DAL_OK;
    const dal_status st = by_moments(c, bound);
    return st == DAL_OK ? st : dal_fail(err, st, "", "no memory for bounds of the gains");
}

/* ---- making one ------------------------------------------------------------------------------- */

static void cover_destroy(dal_set_function *f)
{
    cover *c = of(f);
    const dal_host *host = c->host;
    sim_pack_free(host, &c->packed);
    sim_pack_free(host, &c->batch);
    host->free(host, c->covered);
    host->free(host, c->cap);
    host->free(host, c->bonus);
    host->free(host, c->moment);
    host->free(host, c->partial);
    host->free(host, c->count);
    host->free(host, c);
}

/* Targets that can never be covered (cap <= floor) are left out, if that is worth a copy. */
static dal_status keep_targets(cover *c, const dal_points *all)
{
    int64_t n = 0;
    for (int64_t i = 0; i < all->x.rows; i++)
        n += !c->cap || c->cap[i] > c->covered[i];
    c->targets = *all;
    if (n > all->x.rows / 2)
        return DAL_OK;
    int64_t *rows = dal_array(c->host, n, sizeof *rows), kept = 0;
    if (!rows || !sim_pack_take(c->host, all, n, &c->packed)) {
        c->host->free(c->host, rows);
        return DAL_E_NOMEM;
    }
    for (int64_t i = 0; i < all->x.rows; i++)
        if (c->cap[i] > c->covered[i]) {
            c->cap[kept] = c->cap[i];
            c->covered[kept] = c->covered[i];
            rows[kept++] = i;
        }
    sim_pack_fill(&c->packed, all, rows, n);
    c->targets.x = (dal_matrix){c->packed.x, n, all->x.cols, all->x.cols};
    c->targets.y = (dal_matrix){all->y.data ? c->packed.y : NULL, n, all->y.cols, all->y.cols};
    c->targets.squares = c->packed.squares;
    c->host->free(c->host, rows);
    return DAL_OK;
}

dal_status cover_new(const dal_host *host, const dal_similarity *s, const dal_points *candidates,
                     const dal_points *targets, double *floor, double *cap, double *bonus, dal_set_function **out,
                     dal_error *err)
{
    const int64_t n_tiles = tiles(targets->x.rows, SIM_TILE) + 1;
    cover *c = dal_array(host, 1, sizeof *c);
    if (!c) {
        host->free(host, floor);
        host->free(host, cap);
        host->free(host, bonus);
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for the set function");
    }
    *c = (cover){.host = host, .s = *s, .candidates = candidates, .covered = floor, .cap = cap, .bonus = bonus,
                 .starts_at_zero = !floor && !cap};
    c->f = (dal_set_function){.struct_size = sizeof c->f, .falls = 1, .n = candidates->x.rows, .impl = c,
                              .gains = cover_gains, .add = cover_add, .destroy = cover_destroy,
                              .estimate = cover_estimate, .limit = cover_limit, .same = cover_same};
    if (!floor) {
        c->covered = dal_array(host, targets->x.rows, sizeof *c->covered);
        for (int64_t i = 0; c->covered && i < targets->x.rows; i++)
            c->covered[i] = 0;
    }
    c->partial = dal_array(host, n_tiles * BATCH, sizeof *c->partial);
    c->count = dal_array(host, n_tiles * BATCH, sizeof *c->count);
    if (!c->covered || !c->partial || !c->count || !sim_pack_take(host, candidates, BATCH, &c->batch) ||
        keep_targets(c, targets) != DAL_OK) {
        cover_destroy(&c->f);
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld targets", (long long)targets->x.rows);
    }
    c->largest = sim_largest(&c->targets);
    c->quantum = quantum_of(largest_alike(s, candidates, targets) * (double)targets->x.rows);
    *out = &c->f;
    return DAL_OK;
}
