/* k-means++ and farthest-first at the price of a matrix product for each block of picks.
 *
 * A block of picks is swept over all rows at once: two products in float give fl<a,a'> and fl<h,h'>, whose
 * errors are at most (c + 2) u |a||a'| and (d + 2) u |h||h'| whatever order BLAS adds in (Higham, "Accuracy and
 * Stability of Numerical Algorithms", 3.5), u = 2^-24. With 2 |g||g'| <= |g|^2 + |g'|^2 all of it together is
 * at most kappa (|g|^2 + |g'|^2), so
 *
 *     (1 - kappa) (|g|^2 + |g'|^2) - 2 fl<a,a'> fl<h,h'>  <=  ||g - g'||^2.
 *
 * Only where the left side is below the row's D is the distance computed, in double: some ln(picks) times a
 * row. In float everything is in units of max |a|^2 max |h|^2, so that small models do not underflow.
 */
#include <dal/gradient.h>

#include "clones.h"
#include "gradient.h"

#include <dal/linalg.h>
#include <float.h>
#include <math.h>

#define BLOCK DAL_SEED_BLOCK
#define TILE 256 /* rows in a task of a sweep */
#define STRIP 32 /* products looked at together */
#define COUNT 256 /* rows whose D are summed together */

typedef struct seeding {
    const dal_host *host;
    dal_gradients x;
    int64_t n, c, d;
    double *norms;      /* [n] ||g||^2 */
    gradient_rows rows;
    double *least;      /* [n] D at the last count; farthest-first: also later */
    int64_t *picks, n_picks;
    int64_t n_swept;    /* picks that are counted in least; the others, in order: */
    float *a, *h;       /* [BLOCK, c], [BLOCK, d] their factors, packed */
    double new_norms[BLOCK];
    float *row;         /* [c] factor of the row in hand */
    /* the filter of a sweep */
    float offsets[BLOCK]; /* (1 - kappa) ||g'||^2, rounded down */
    float alpha;        /* -2, in units */
    double unit, kappa, tiny;
    int64_t *heap;      /* farthest-first: rows, the largest (least, then lowest row) first */
    uint8_t *seen;      /* [n] how many of the new picks least counts already */
} seeding;

static int64_t tiles(int64_t n, int64_t size)
{
    return n / size + (n % size != 0);
}

static int64_t n_new(const seeding *s)
{
    return s->n_picks - s->n_swept;
}

static const float *features_of(const seeding *s, int64_t row)
{
    return s->x.features.data + row * s->x.features.stride;
}

/* ||g - g_k||^2 of a row given by its factors to new pick k. */
static double distance_to(const seeding *s, const float *a, const float *h, double norm, int64_t k)
{
    const double product = dal_gradient_product(&s->x, a, h, s->a + k * s->c, s->h + k * s->d);
    const double distance = (norm + s->new_norms[k]) - 2 * product;
    return distance > 0 ? distance : 0;
}

/* The least distance of a row to the new picks from `first` on, or `least` when that is less. */
static double least_of_row(seeding *s, int64_t row, int64_t first, double least)
{
    gradient_factor_known(&s->x, row, 1, s->rows.classes + row, s->rows.tops + row, s->row);
    for (int64_t k = first; k < n_new(s) && least > 0; k++)
        least = fmin(least, distance_to(s, s->row, features_of(s, row), s->norms[row], k));
    return least;
}

static void add_pick(seeding *s, int64_t row)
{
    const int64_t k = n_new(s);
    gradient_factor_known(&s->x, row, 1, s->rows.classes + row, s->rows.tops + row, s->a + k * s->c);
    memcpy(s->h + k * s->d, features_of(s, row), (size_t)s->d * sizeof *s->h);
    s->new_norms[k] = s->norms[row];
    s->picks[s->n_picks++] = row;
}

/* ---- a sweep ---------------------------------------------------------------------------------- */

/* Is any lower bound of a strip below the limit? Reads as integers, so that it vectorises. */
DAL_CLONES static int any_below(const float *aa, const float *hh, float bias, const float *offsets, float limit)
{
    int any = 0;
    for (int k = 0; k < STRIP; k++)
        any |= aa[k] * (hh[k] + bias) + offsets[k] < limit;
    return any;
}

/* Below this a lower bound less the row's own part means "measure it". */
static float limit_of(const seeding *s, double least, double norm)
{
    return nextafterf((float)((least - (1 - s->kappa) * norm) / s->unit + s->tiny), INFINITY);
}

/* least of one row after the new picks; aa, hh: their products [BLOCK]. */
static double improve(const seeding *s, const float *a, int64_t row, const float *aa, const float *hh)
{
    const float bias = (float)s->x.bias, *h = features_of(s, row);
    double least = s->least[row];
    float limit = limit_of(s, least, s->norms[row]);
    for (int64_t from = 0; from < n_new(s) && least > 0; from += STRIP) {
        if (!any_below(aa + from, hh + from, bias, s->offsets + from, limit))
            continue;
        for (int64_t k = from; k < from + STRIP && k < n_new(s); k++) {
            if (!(aa[k] * (hh[k] + bias) + s->offsets[k] < limit))
                continue;
            const double distance = distance_to(s, a, h, s->norms[row], k);
            if (distance < least) {
                least = distance;
                limit = limit_of(s, least, s->norms[row]);
            }
        }
    }
    return least;
}

static dal_status sweep_task(void *ctx, int64_t t)
{
    seeding *s = ctx;
    const int64_t first = t * TILE, n = s->n - first < TILE ? s->n - first : TILE;
    const int64_t m = tiles(n_new(s), STRIP) * STRIP;
    if (s->host->cancelled(s->host))
        return DAL_E_CANCELLED;
    float *a = dal_array(s->host, TILE * s->c, sizeof *a);
    float *aa = dal_array(s->host, 2 * TILE * BLOCK, sizeof *aa), *hh = aa + TILE * BLOCK;
    dal_status st = a && aa ? DAL_OK : DAL_E_NOMEM;
    if (st == DAL_OK) {
        gradient_factor_known(&s->x, first, n, s->rows.classes + first, s->rows.tops + first, a);
        st = dal_gemm_nt(n, m, s->c, s->alpha, a, s->c, s->a, s->c, 0, aa, BLOCK);
    }
    if (st == DAL_OK)
        st = dal_gemm_nt(n, m, s->d, 1, features_of(s, first), s->x.features.stride, s->h, s->d, 0, hh, BLOCK);
    for (int64_t i = 0; st == DAL_OK && i < n; i++)
        s->least[first + i] = improve(s, a + i * s->c, first + i, aa + i * BLOCK, hh + i * BLOCK);
    s->host->free(s->host, a);
    s->host->free(s->host, aa);
    return st;
}

/* Count all new picks in least. */
static dal_status sweep(seeding *s)
{
    const int64_t last = tiles(n_new(s), STRIP) * STRIP;
    for (int64_t k = 0; k < last; k++) {
        if (k < n_new(s)) {
            s->offsets[k] =
                s->alpha < 0 ? nextafterf((float)((1 - s->kappa) * s->new_norms[k] / s->unit), -INFINITY) : 0;
            continue;
        }
        s->offsets[k] = INFINITY; /* never below anything */
        memset(s->a + k * s->c, 0, (size_t)s->c * sizeof *s->a);
        memset(s->h + k * s->d, 0, (size_t)s->d * sizeof *s->h);
    }
    const dal_status st = s->host->parallel_for(s->host, tiles(s->n, TILE), sweep_task, s);
    for (int64_t k = s->n_swept; st == DAL_OK && k < s->n_picks; k++)
        s->least[s->picks[k]] = 0;
    s->n_swept = s->n_picks;
    return st;
}

/* In units of the largest |a|^2 |h|^2 all bounds are moderate numbers; what flushed products can take from them is
 * tiny, or else everything is measured. */
static void set_filter(seeding *s)
{
    const double a2 = s->rows.largest_a, h2 = s->rows.largest_h, c = (double)s->c, d = (double)s->d;
    s->kappa = 1.1 * (c + d + 64) * 0x1p-24;
    s->unit = a2 * h2;
    s->alpha = (float)(-2 / s->unit);
    s->tiny = 4 * 0x1p-126 * (c / a2 + d / h2 + 2);
    if (!(s->unit > 0 && isfinite(s->alpha) && s->alpha < 0 && s->tiny < 1)) {
        s->unit = 1;
        s->alpha = 0;
        s->tiny = INFINITY;
    }
}

/* ---- k-means++ -------------------------------------------------------------------------------- */

/* Pieces of lengths x[n] lie one after the other from *start on: which one is at `place`, and where it begins.
 * The last one of any length, should rounding lead beyond the end. */
static int64_t piece_at(const double *x, int64_t n, double place, double *start)
{
    int64_t hit = 0;
    double at = *start;
    for (int64_t i = 0; i < n; i++) {
        if (x[i] > 0) {
            hit = i;
            *start = at;
        }
        if (place < at + x[i])
            break;
        at += x[i];
    }
    return hit;
}

static double sum_of(const double *x, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += x[i];
    return sum;
}

/* Darts at the line as it was counted: its pieces are least, their sums by COUNT rows `sums`. */
static void throw_darts(seeding *s, const double *sums, int64_t want, dal_rng *stream, double *distance)
{
    const int64_t n_sums = tiles(s->n, COUNT), room = s->n_picks < BLOCK ? s->n_picks : BLOCK;
    const double length = sum_of(sums, n_sums);
    for (int misses = 0; n_new(s) < room && s->n_picks < want && misses < DAL_SEED_MISSES;) {
        const double place = dal_rng_uniform(stream) * length;
        double start = 0;
        const int64_t first = COUNT * piece_at(sums, n_sums, place, &start);
        const int64_t row = first + piece_at(s->least + first, s->n - first < COUNT ? s->n - first : COUNT, place,
                                             &start);
        const double least = least_of_row(s, row, 0, s->least[row]);
        if (place - start < least) {
            distance[s->n_picks] = least;
            add_pick(s, row);
        } else {
            misses++;
        }
    }
}

static dal_status draw_all(seeding *s, int64_t want, dal_rng stream, double *distance)
{
    const int64_t n_sums = tiles(s->n, COUNT);
    double *sums = dal_array(s->host, n_sums, sizeof *sums);
    dal_status st = sums ? DAL_OK : DAL_E_NOMEM;
    while (st == DAL_OK && s->n_picks < want) {
        st = sweep(s);
        for (int64_t k = 0; k < n_sums; k++)
            sums[k] = sum_of(s->least + k * COUNT, s->n - k * COUNT < COUNT ? s->n - k * COUNT : COUNT);
        if (st != DAL_OK || !(sum_of(sums, n_sums) > 0))
            break;
        throw_darts(s, sums, want, &stream, distance);
        s->host->progress(s->host, s->n_picks, want, "picks");
    }
    s->host->free(s->host, sums);
    return st;
}

/* ---- farthest first --------------------------------------------------------------------------- */

static int before(const seeding *s, int64_t a, int64_t b)
{
    return s->least[a] > s->least[b] || (!(s->least[a] < s->least[b]) && a < b);
}

static void sink(seeding *s, int64_t at)
{
    const int64_t row = s->heap[at];
    for (int64_t child = 2 * at + 1; child < s->n; at = child, child = 2 * at + 1) {
        if (child + 1 < s->n && before(s, s->heap[child + 1], s->heap[child]))
            child++;
        if (!before(s, s->heap[child], row))
            break;
        s->heap[at] = s->heap[child];
    }
    s->heap[at] = row;
}

/* Picks off a heap of upper bounds, of which only those that come to the top are brought up to date; until a
 * block is full or so many bounds were stale that a sweep is cheaper. */
static int pick_farthest(seeding *s, int64_t want, double *distance)
{
    for (int64_t stale = 0; n_new(s) < BLOCK && s->n_picks < want && stale <= s->n / 32;) {
        const int64_t row = s->heap[0];
        if (!(s->least[row] > 0))
            return 0; /* nothing left but copies of picks */
        if (s->seen[row] == n_new(s)) {
            distance[s->n_picks] = s->least[row];
            add_pick(s, row);
            s->least[row] = 0;
        } else {
            s->least[row] = least_of_row(s, row, s->seen[row], s->least[row]);
            s->seen[row] = (uint8_t)n_new(s);
            stale++;
        }
        sink(s, 0);
    }
    return 1;
}

static dal_status farthest_all(seeding *s, int64_t want, double *distance)
{
    dal_status st = DAL_OK;
    int any = 1;
    s->heap = dal_array(s->host, s->n, sizeof *s->heap);
    s->seen = dal_array(s->host, s->n, sizeof *s->seen);
    if (!s->heap || !s->seen)
        return DAL_E_NOMEM;
    for (int64_t i = 0; i < s->n; i++)
        s->heap[i] = i;
    while (st == DAL_OK && any && s->n_picks < want) {
        st = sweep(s);
        memset(s->seen, 0, (size_t)s->n);
        for (int64_t i = s->n / 2; st == DAL_OK && i-- > 0;)
            sink(s, i);
        any = st == DAL_OK && pick_farthest(s, want, distance);
        s->host->progress(s->host, s->n_picks, want, "picks");
    }
    return st;
}

/* ---- putting it together ---------------------------------------------------------------------- */

static int take_memory(seeding *s)
{
    const dal_host *host = s->host;
    int64_t a, h;
    if (!dal_size_mul(BLOCK, s->c, &a) || !dal_size_mul(BLOCK, s->d, &h))
        return 0;
    s->norms = dal_array(host, s->n, sizeof *s->norms);
    s->least = dal_array(host, s->n, sizeof *s->least);
    s->rows.classes = dal_array(host, s->n, sizeof *s->rows.classes);
    s->rows.tops = dal_array(host, s->n, sizeof *s->rows.tops);
    s->a = dal_array(host, a, sizeof *s->a);
    s->h = dal_array(host, h, sizeof *s->h);
    s->row = dal_array(host, s->c, sizeof *s->row);
    return s->norms && s->least && s->rows.classes && s->rows.tops && s->a && s->h && s->row;
}

static void give_memory(seeding *s)
{
    void *const all[] = {s->norms, s->least, s->rows.classes, s->rows.tops, s->a, s->h, s->row, s->heap, s->seen};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        s->host->free(s->host, all[i]);
}

static int64_t first_pick(const seeding *s, int64_t first, dal_rng *stream)
{
    int64_t row = first;
    if (first == DAL_SEED_DRAWN)
        return dal_rng_below(stream, s->n);
    if (first == DAL_SEED_LARGEST) {
        row = 0;
        for (int64_t i = 1; i < s->n; i++)
            row = s->norms[i] > s->norms[row] ? i : row;
    }
    return row;
}

dal_status dal_seed(const dal_host *host, const dal_seed_problem *problem, int64_t *picks, double *distance,
                    int64_t *n, dal_error *err)
{
    const dal_gradients *x = &problem->points;
    const int64_t rows = x->features.rows, want = problem->n_picks < rows ? problem->n_picks : rows;
    dal_rng stream = problem->stream;
    *n = 0;
    if (want <= 0)
        return DAL_OK;
    if (problem->first < DAL_SEED_DRAWN || problem->first >= rows)
        return dal_fail(err, DAL_E_INVALID, "", "row %lld is to be picked first of %lld",
                        (long long)problem->first, (long long)rows);
    seeding s = {
        .host = host, .x = *x, .n = rows, .c = dal_gradient_width(x), .d = x->features.cols, .picks = picks};
    dal_status st = take_memory(&s)
                        ? gradient_measure(host, x, s.norms, &s.rows, err)
                        : dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld samples", (long long)rows);
    if (st == DAL_OK) {
        set_filter(&s);
        for (int64_t i = 0; i < rows; i++)
            s.least[i] = INFINITY;
        distance[0] = INFINITY;
        add_pick(&s, first_pick(&s, problem->first, &stream));
        st = problem->rule == DAL_SEED_FARTHEST ? farthest_all(&s, want, distance)
                                                : draw_all(&s, want, stream, distance);
        if (st != DAL_OK)
            dal_fail(err, st, "", st == DAL_E_CANCELLED ? "cancelled after %lld of %lld picks"
                                                        : "no memory after %lld of %lld picks",
                     (long long)s.n_picks, (long long)want);
    }
    *n = s.n_picks;
    give_memory(&s);
    return st;
}
