/* Slow and obvious twins of set functions and greedy (dal/submodular.h): every gain from a table of the
 * similarities of all pairs, in double, and every pick from every gain. */
#ifndef TESTS_SUBMODULAR_TWIN_H
#define TESTS_SUBMODULAR_TWIN_H

#include <dal/submodular.h>
#include <math.h>
#include <stdlib.h>

#define INF ((double)INFINITY)

static double inner(const dal_points *a, int64_t i, const dal_points *b, int64_t j)
{
    double x = a->extra, y = 0;
    for (int64_t k = 0; k < a->x.cols; k++)
        x += (double)a->x.data[i * a->x.stride + k] * (double)b->x.data[j * b->x.stride + k];
    for (int64_t k = 0; k < a->y.cols; k++)
        y += (double)a->y.data[i * a->y.stride + k] * (double)b->y.data[j * b->y.stride + k];
    return a->y.data ? x * y : x;
}

static double alike(const dal_similarity *s, const dal_points *a, int64_t i, const dal_points *b, int64_t j)
{
    const double ij = inner(a, i, b, j), ii = inner(a, i, a, i), jj = inner(b, j, b, j);
    if (s->kind == DAL_DOT)
        return ij;
    if (s->kind == DAL_RBF)
        return exp(-fmax(0, ii + jj - 2 * ij) / (2 * s->width * s->width));
    return ii * jj > 0 ? (1 + fmax(-1, fmin(1, ij / sqrt(ii * jj)))) / 2 : 0.5;
}

static int64_t rows_of(const dal_points *p)
{
    return p ? p->x.rows : 0;
}

/* All similarities of candidates, queries and private samples, [n + q + p]^2, and what does not change, once. */
typedef struct table {
    const dal_submodular *s;
    int64_t n, q, p;
    double *all, *most_q, *most_p, *sum_v, *sum_q, *sum_p;
} table;

static double at(const table *t, int64_t i, int64_t j)
{
    return t->all[i * (t->n + t->q + t->p) + j];
}

static const dal_points *member(const table *t, int64_t *i)
{
    const dal_points *of[] = {t->s->candidates, t->s->queries, t->s->avoided};
    const int k = *i < t->n ? 0 : *i < t->n + t->q ? 1 : 2;
    *i -= k == 0 ? 0 : k == 1 ? t->n : t->n + t->q;
    return of[k];
}

/* of row i with rows first..first+n-1 */
static double *reduce(const table *t, int64_t first, int64_t n, int sum)
{
    double *out = malloc((size_t)(t->n + 1) * sizeof *out);
    for (int64_t i = 0; i < t->n; i++) {
        out[i] = 0;
        for (int64_t j = first; j < first + n; j++)
            out[i] = sum ? out[i] + at(t, i, j) : fmax(out[i], at(t, i, j));
    }
    return out;
}

static void reduce_table(table *t)
{
    t->most_q = reduce(t, t->n, t->q, 0);
    t->most_p = reduce(t, t->n + t->q, t->p, 0);
    t->sum_v = reduce(t, 0, t->n, 1);
    t->sum_q = reduce(t, t->n, t->q, 1);
    t->sum_p = reduce(t, t->n + t->q, t->p, 1);
}

static table make_table(const dal_submodular *s)
{
    table t = {.s = s, .n = s->candidates->x.rows, .q = rows_of(s->queries), .p = rows_of(s->avoided)};
    const int64_t width = t.n + t.q + t.p;
    t.all = malloc((size_t)(width * width + 1) * sizeof *t.all);
    for (int64_t i = 0; i < width; i++)
        for (int64_t j = 0; j < width; j++) {
            int64_t u = i, v = j;
            const dal_points *a = member(&t, &u), *b = member(&t, &v);
            t.all[i * width + j] = alike(&s->similarity, a, u, b, v);
        }
    reduce_table(&t);
    return t;
}

static void free_table(table *t)
{
    free(t->all);
    free(t->most_q);
    free(t->most_p);
    free(t->sum_v);
    free(t->sum_q);
    free(t->sum_p);
}

/* max_{j in A} s_ij over [of] columns */
static double covered(const table *t, int64_t i, const int64_t *a, int64_t n_a)
{
    double top = 0;
    for (int64_t k = 0; k < n_a; k++)
        top = fmax(top, at(t, i, a[k]));
    return top;
}

static double location_gain(const table *t, int64_t j, const int64_t *a, int64_t n_a, int mutual, int private)
{
    double sum = 0;
    for (int64_t i = 0; i < t->n; i++) {
        const double cap = mutual ? t->s->eta * t->most_q[i] : INF, floor = private ? t->s->nu * t->most_p[i] : 0;
        const double old = covered(t, i, a, n_a), now = fmax(old, at(t, i, j));
        sum += fmax(fmin(now, cap) - floor, 0) - fmax(fmin(old, cap) - floor, 0);
    }
    return sum;
}

static double query_gain(const table *t, int64_t j, const int64_t *a, int64_t n_a)
{
    double sum = 0;
    for (int64_t q = 0; q < t->q; q++) {
        double old = 0;
        for (int64_t k = 0; k < n_a; k++)
            old = fmax(old, at(t, a[k], t->n + q));
        sum += fmax(old, at(t, j, t->n + q)) - old;
    }
    return sum + t->s->eta * t->most_q[j];
}

static double cut_gain(const table *t, int64_t j, const int64_t *a, int64_t n_a)
{
    double pairs = 0;
    for (int64_t k = 0; k < n_a; k++)
        pairs += at(t, j, a[k]);
    return t->sum_v[j] - t->s->lambda * (2 * pairs + at(t, j, j)) -
           (t->s->function == DAL_GCCG ? 2 * t->s->lambda * t->s->nu * t->sum_p[j] : 0);
}

static double psi(uint32_t kind, double x)
{
    return kind == DAL_CONCAVE_LOG ? log(1 + x) : kind == DAL_CONCAVE_SQRT ? sqrt(x) : 1 - 1 / (1 + x);
}

static double concave_gain(const table *t, int64_t j, const int64_t *a, int64_t n_a)
{
    const int features = t->s->function == DAL_FEATURE_BASED;
    const dal_matrix *x = &t->s->candidates->x;
    double sum = features ? 0 : t->s->eta * psi(t->s->concave, t->sum_q[j]);
    for (int64_t k = 0; k < (features ? x->cols : t->q); k++) {
        double old = 0;
        for (int64_t i = 0; i < n_a; i++)
            old += features ? (double)x->data[a[i] * x->stride + k] : at(t, a[i], t->n + k);
        sum += psi(t->s->concave, old + (features ? (double)x->data[j * x->stride + k] : at(t, j, t->n + k))) -
               psi(t->s->concave, old);
    }
    return sum;
}

static double disparity_gain(const table *t, int64_t j, const int64_t *a, int64_t n_a)
{
    double sum = 0, least = INF;
    for (int64_t k = 0; k < n_a; k++) {
        sum += 1 - at(t, j, a[k]);
        least = fmin(least, 1 - at(t, j, a[k]));
    }
    return t->s->function == DAL_DISPARITY_SUM ? sum : least;
}

/* Similarity of members u, v of the list (queries, private, then picks and j), with scales and ridges. */
static double joint(const table *t, int64_t u, int64_t v, int64_t q, int64_t p, const int64_t *list)
{
    const dal_submodular *s = t->s;
    if (u < v)
        return joint(t, v, u, q, p, list);
    const int64_t i = u < q ? t->n + u : u < q + p ? t->n + t->q + u - q : list[u - q - p];
    const int64_t j = v < q ? t->n + v : v < q + p ? t->n + t->q + v - q : list[v - q - p];
    const double scale = u < q + p || v >= q + p ? 1 : v < q ? s->eta : s->nu;
    return scale * at(t, i, j) + (u == v ? (u < q + p ? 1e-6 : s->ridge) : 0);
}

/* The variance of the last of a list given all before, by elimination; picks with nothing new are passed over. */
static double last_variance(const table *t, int64_t q, int64_t p, const int64_t *list, int64_t n_list)
{
    const int64_t n = q + p + n_list;
    double *m = malloc((size_t)(n * n) * sizeof *m), last;
    for (int64_t u = 0; u < n; u++)
        for (int64_t v = 0; v < n; v++)
            m[u * n + v] = joint(t, u, v, q, p, list);
    for (int64_t k = 0; k + 1 < n; k++)
        for (int64_t u = k + 1; u < n && m[k * n + k] >= 1e-10; u++) {
            const double f = m[u * n + k] / m[k * n + k];
            for (int64_t v = k; v < n; v++)
                m[u * n + v] -= f * m[k * n + v];
        }
    last = m[n * n - 1];
    free(m);
    return last;
}

static double determinant_gain(const table *t, int64_t j, const int64_t *a, int64_t n_a, int mutual, int private)
{
    int64_t *list = malloc((size_t)(n_a + 1) * sizeof *list);
    memcpy(list, a, (size_t)n_a * sizeof *list);
    list[n_a] = j;
    const double own = last_variance(t, 0, private ? t->p : 0, list, n_a + 1);
    const double conditional = mutual ? last_variance(t, t->q, private ? t->p : 0, list, n_a + 1) : 1;
    const double weight = t->s->weights ? 2 * log(t->s->weights[j]) : 0;
    free(list);
    return own < 1e-10 ? -INF : log(own) + weight - log(fmax(1e-10, conditional));
}

static double twin_gain(const table *t, int64_t j, const int64_t *a, int64_t n_a)
{
    switch (t->s->function) {
    case DAL_FL: return location_gain(t, j, a, n_a, 0, 0);
    case DAL_FL1MI: return location_gain(t, j, a, n_a, 1, 0);
    case DAL_FLCG: return location_gain(t, j, a, n_a, 0, 1);
    case DAL_FLCMI: return location_gain(t, j, a, n_a, 1, 1);
    case DAL_FL2MI: return query_gain(t, j, a, n_a);
    case DAL_GC:
    case DAL_GCCG: return cut_gain(t, j, a, n_a);
    case DAL_GCMI: return t->sum_q[j];
    case DAL_COM:
    case DAL_FEATURE_BASED: return concave_gain(t, j, a, n_a);
    case DAL_DISPARITY_SUM:
    case DAL_DISPARITY_MIN: return disparity_gain(t, j, a, n_a);
    case DAL_LOGDETMI: return determinant_gain(t, j, a, n_a, 1, 0);
    case DAL_LOGDETCG: return determinant_gain(t, j, a, n_a, 0, 1);
    case DAL_LOGDETCMI: return determinant_gain(t, j, a, n_a, 1, 1);
    default: return determinant_gain(t, j, a, n_a, 0, 0);
    }
}

/* Greedy over rows allowed(step, row); gains of the picks. */
static int64_t twin_greedy(const table *t, const dal_greedy_options *opt, int64_t *picks, double *gain)
{
    int64_t n = 0, *left = malloc((size_t)(t->n + 1) * sizeof *left), n_left = t->n;
    for (int64_t i = 0; i < t->n; i++)
        left[i] = i;
    while (n < opt->n_picks && n_left > 0) {
        int64_t m = n_left, best = -1;
        double top = -INF, *all = malloc((size_t)n_left * sizeof *all);
        if (opt->engine == DAL_STOCHASTIC) {
            dal_rng draw = dal_rng_at(opt->rng, (uint64_t)n);
            m = (int64_t)fmax(
                1, fmin((double)n_left, ceil((double)t->n / (double)opt->n_picks * log(1 / opt->epsilon))));
            dal_rng_shuffle(&draw, left, n_left, m);
        }
        for (int64_t k = 0; k < m; k++)
            top = fmax(top, all[k] = twin_gain(t, left[k], picks, n));
        for (int64_t k = 0; k < m; k++) /* what rounding alone tells apart is equal */
            if ((all[k] >= top || top - all[k] <= 1e-11 * (1 + fabs(top)) * (double)t->n) &&
                (best < 0 || left[k] < best))
                best = left[k];
        free(all);
        if (top <= opt->stop && opt->stop > -INF)
            break;
        picks[n] = best;
        gain[n++] = top;
        int64_t kept = 0;
        for (int64_t row = 0; row < t->n; row++) { /* ascending again, without the pick */
            int taken = 0;
            for (int64_t k = 0; k < n; k++)
                taken |= picks[k] == row;
            if (!taken)
                left[kept++] = row;
        }
        n_left = kept;
    }
    free(left);
    return n;
}

#endif
