/* quire: informative and representative at once, by a min-max view of kernel regression.
 *
 * Huang, Jin, Zhou, "Active learning by querying informative and representative examples", NeurIPS 2010 (TPAMI
 * 2014). K is the kernel of labelled and unlabelled samples, M = (K + lambda I)^-1, u what is left when s is
 * taken:
 *
 *     s* = argmin_s max_{y_s = +-1} min_{y_u in R} y' M y                                   (exact)
 *
 * The inner minimum is y_o' S y_o with S the Schur complement of M at o = L and s, and the Schur complement of an
 * inverse is the inverse of the block: S = (K_oo + lambda I)^-1. So the unlabelled samples cancel, and with
 *
 *     a_s = k_ss + lambda - k_s' (K_LL + lambda I)^-1 k_s        f_s = k_s' (K_LL + lambda I)^-1 y_L
 *
 * the score is y_L' (K_LL + lambda I)^-1 y_L + (1 + |f_s|)^2 / a_s: no n x n matrix, O(n (n_l d + n_l^2)) time.
 * The same blocks give the formula that the paper ends with and peers implement (`variant: shortcut`),
 *
 *     M_ss - det(M_aa) / M_ss + 2 |(M_sl - M_su M_uu^-1 M_ul) y_L|,    a: all unlabelled; at the end 2 |f_s| / a_s;
 *
 * it needs M_ss, hence all of K: O(n^3) time, O(n^2) memory, refused above max_n rows.
 *
 * Several picks (the paper makes one a round): greedy. A pick joins o with y_s = f_s, the real label that costs
 * least, so f stays for everybody and a shrinks near it; M_ss and det(M_aa) stay the round's. A score can only
 * grow, so stale ones are lower bounds and only the best few are ever brought up to date. Classes: one against the
 * rest, scores summed over the classes seen. With nothing labelled f = 0 and the largest a goes first: samples
 * that are far apart. Ties go to the lowest pool index. The shortcut's M_ss is rounded differently for equal
 * samples: their order is free.
 *
 * Differs: gamma is 1/d unless given (the peers' 1 makes K the unit matrix in more than a few dimensions). libact
 * takes an inner for the outer product when it drops s from M_aa^-1; nothing is dropped here.
 */
#include <dal/kernel.h>
#include <dal/select.h>
#include <dal/symmetric.h>
#include <dal/tabular.h>
#include <dal/topk.h>

#include <math.h>

#define EXACT 0u
#define SHORTCUT 1u
#define TASK 16              /* groups of DAL_LANES candidates in a task of the first pass */
#define STALE (4 * DAL_LANES) /* scores brought up to date together */

typedef struct options {
    uint32_t variant, kernel;
    double gamma, lambda;
    int32_t standardise;
    int64_t max_n;
} options;

/* score_i = base_i + weight_i / a_i */
typedef struct quire {
    const dal_host *host;
    const options *opt;
    dal_kernel kernel;
    dal_table t;
    int64_t m;       /* |o|: labelled samples, then picks */
    const float **o; /* [n_l + b] their features */
    double *l;       /* packed factor of K_oo + lambda I */
    double *w;       /* [n_l, n_problems] L^-1 y */
    double known, log_det; /* sum over problems of y_L' (K_LL + lambda I)^-1 y_L; ln det (K_LL + lambda I) */
    double *base, *weight, *a, *score; /* [n] */
    int64_t *seen;   /* [n] how many of o are in a; -1: picked */
    int64_t *rows;   /* [STALE] to bring up to date */
    int64_t n_rows;
} quire;

/* ---- one group of candidates ------------------------------------------------------------------ */

/* v [m, DAL_LANES] = L^-1 K(o, rows), a of each row. */
static void solve_group(const quire *q, const int64_t *rows, int64_t n, double *v)
{
    const int64_t d = q->t.all.cols;
    memset(v, 0, (size_t)q->m * DAL_LANES * sizeof *v);
    for (int64_t i = 0; i < q->m; i++)
        for (int64_t c = 0; c < n; c++)
            v[i * DAL_LANES + c] = dal_kernel_value(&q->kernel, q->o[i], q->t.candidates.data + rows[c] * d, d);
    dal_packed_solve(q->m, q->l, v);
    for (int64_t c = 0; c < n; c++) {
        const float *x = q->t.candidates.data + rows[c] * d;
        double a = dal_kernel_value(&q->kernel, x, x, d) + q->opt->lambda;
        for (int64_t i = 0; i < q->m; i++)
            a -= v[i * DAL_LANES + c] * v[i * DAL_LANES + c];
        q->a[rows[c]] = fmax(a, q->opt->lambda); /* lambda but for rounding at least */
        q->seen[rows[c]] = q->m;
    }
}

static void score_row(const quire *q, int64_t row)
{
    q->score[row] = q->base[row] + q->weight[row] / q->a[row];
}

/* The weight of candidate c of a group: (1 + |f|)^2, or 2 |f|, over the problems. */
static double weigh(const quire *q, const double *v, int64_t c)
{
    double sum = q->t.n_problems == 0 && q->opt->variant == EXACT ? 1 : 0;
    for (int64_t p = 0; p < q->t.n_problems; p++) {
        double f = 0;
        for (int64_t i = 0; i < q->t.labelled.rows; i++)
            f += v[i * DAL_LANES + c] * q->w[i * q->t.n_problems + p];
        sum += q->opt->variant == EXACT ? (1 + fabs(f)) * (1 + fabs(f)) : 2 * fabs(f);
    }
    return sum;
}

static double *take_group(const quire *q)
{
    return dal_array(q->host, (q->m + 1) * DAL_LANES, sizeof(double));
}

static dal_status first_pass_task(void *ctx, int64_t task)
{
    const quire *q = ctx;
    double *v = q->host->cancelled(q->host) ? NULL : take_group(q);
    if (!v)
        return q->host->cancelled(q->host) ? DAL_E_CANCELLED : DAL_E_NOMEM;
    const int64_t end = (task + 1) * TASK * DAL_LANES < q->t.candidates.rows ? (task + 1) * TASK * DAL_LANES
                                                                             : q->t.candidates.rows;
    for (int64_t first = task * TASK * DAL_LANES; first < end; first += DAL_LANES) {
        int64_t rows[DAL_LANES], n = 0;
        for (; n < DAL_LANES && first + n < end; n++)
            rows[n] = first + n;
        solve_group(q, rows, n, v);
        for (int64_t c = 0; c < n; c++) {
            q->weight[rows[c]] = weigh(q, v, c);
            score_row(q, rows[c]);
        }
    }
    q->host->free(q->host, v);
    return DAL_OK;
}

static dal_status refresh_task(void *ctx, int64_t task)
{
    const quire *q = ctx;
    const int64_t *rows = q->rows + task * DAL_LANES, left = q->n_rows - task * DAL_LANES;
    const int64_t n = left < DAL_LANES ? left : DAL_LANES;
    double *v = take_group(q);
    if (!v)
        return DAL_E_NOMEM;
    solve_group(q, rows, n, v);
    for (int64_t c = 0; c < n; c++)
        score_row(q, rows[c]);
    q->host->free(q->host, v);
    return DAL_OK;
}

/* ---- the labelled samples --------------------------------------------------------------------- */

/* L, w, known and log_det from K_LL + lambda I. */
static dal_status factor_labelled(quire *q, dal_error *err)
{
    const int64_t n = q->t.labelled.rows, problems = q->t.n_problems;
    int64_t cells;
    double *k = dal_size_mul(n, n, &cells) ? dal_array(q->host, cells, sizeof *k) : NULL;
    if (!k)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for the kernel of %lld labelled samples", (long long)n);
    dal_status st = dal_kernel_matrix(q->host, &q->kernel, &q->t.labelled, &q->t.labelled, k, n, err);
    for (int64_t i = 0; i < n; i++)
        k[i * n + i] += q->opt->lambda;
    if (st == DAL_OK)
        st = dal_cholesky(n, k, err);
    for (int64_t i = 0; st == DAL_OK && i < n; i++) {
        for (int64_t p = 0; p < problems; p++)
            q->w[i * problems + p] = dal_table_sign(&q->t, p, i);
        memcpy(q->l + i * (i + 1) / 2, k + i * n, (size_t)(i + 1) * sizeof *k);
        q->log_det += 2 * log(k[i * n + i]);
        q->o[q->m++] = q->t.labelled.data + i * q->t.labelled.stride;
    }
    if (st == DAL_OK)
        st = dal_lower_solve(n, k, problems, q->w, err);
    for (int64_t i = 0; st == DAL_OK && i < n * problems; i++)
        q->known += q->w[i] * q->w[i];
    q->host->free(q->host, k);
    return st;
}

/* base_s = M_ss - det(M_aa) / M_ss for each problem, det(M_aa) = det(K_LL + lambda I) / det(K + lambda I). */
static dal_status base_of_shortcut(quire *q, dal_error *err)
{
    const int64_t n = q->t.all.rows, n_l = q->t.labelled.rows;
    const double problems = q->t.n_problems ? (double)q->t.n_problems : 1;
    double log_det = q->log_det;
    int64_t cells;
    double *k = dal_size_mul(n, n, &cells) ? dal_array(q->host, cells, sizeof *k) : NULL;
    if (!k)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for the kernel of %lld samples", (long long)n);
    dal_status st = dal_kernel_matrix(q->host, &q->kernel, &q->t.all, &q->t.all, k, n, err);
    for (int64_t i = 0; i < n; i++)
        k[i * n + i] += q->opt->lambda;
    if (st == DAL_OK)
        st = dal_cholesky(n, k, err);
    for (int64_t i = 0; st == DAL_OK && i < n; i++)
        log_det -= 2 * log(k[i * n + i]);
    if (st == DAL_OK && !isfinite(exp(log_det)))
        st = dal_fail(err, DAL_E_INVALID, "lambda",
                      "det(M_aa) is e^%.0f, beyond any number: raise lambda, or use the exact variant", log_det);
    if (st == DAL_OK)
        st = dal_lower_inverse(n, k, err);
    for (int64_t s = 0; st == DAL_OK && s < n - n_l; s++) {
        double m = 0; /* column s of L^-1, squared */
        for (int64_t i = n_l + s; i < n; i++)
            m += k[i * n + n_l + s] * k[i * n + n_l + s];
        q->base[s] = problems * (m - exp(log_det) / m);
    }
    q->host->free(q->host, k);
    return st;
}

/* ---- the greedy loop -------------------------------------------------------------------------- */

/* Append pick `row` to o: one more row of L. v: room for a group. */
static void join(quire *q, int64_t row, double *v)
{
    double *l = q->l + q->m * (q->m + 1) / 2;
    solve_group(q, &row, 1, v);
    for (int64_t i = 0; i < q->m; i++)
        l[i] = v[i * DAL_LANES];
    l[q->m] = sqrt(q->a[row]);
    q->o[q->m++] = q->t.candidates.data + row * q->t.candidates.stride;
    q->seen[row] = -1;
    q->score[row] = (double)NAN;
}

/* The row whose true score is smallest: until the best is up to date, bring the best few up to date. */
static dal_status settle(quire *q, int64_t *best)
{
    double scores[STALE];
    int64_t index[STALE];
    for (;;) {
        dal_topk top;
        dal_topk_init(&top, STALE, DAL_SMALLEST_FIRST, scores, index);
        dal_topk_push(&top, q->score, 0, q->t.candidates.rows);
        dal_topk_sort(&top);
        *best = index[0];
        if (q->seen[index[0]] == q->m)
            return DAL_OK;
        q->n_rows = 0;
        for (int64_t i = 0; i < top.n; i++)
            if (q->seen[index[i]] >= 0 && q->seen[index[i]] < q->m)
                q->rows[q->n_rows++] = index[i];
        dal_status st = q->host->cancelled(q->host) ? DAL_E_CANCELLED : DAL_OK;
        if (st == DAL_OK)
            st = q->host->parallel_for(q->host, (q->n_rows + DAL_LANES - 1) / DAL_LANES, refresh_task, q);
        if (st != DAL_OK)
            return st;
    }
}

static dal_status pick_all(quire *q, const dal_view *view, dal_picks *picks, dal_error *err)
{
    const int64_t *ids = view->ids(view, DAL_ROWS_CANDIDATES), n = q->t.candidates.rows;
    double *v = dal_array(q->host, (q->m + picks->want + 1) * DAL_LANES, sizeof *v);
    const int64_t tasks = (n + TASK * DAL_LANES - 1) / (TASK * DAL_LANES);
    dal_status st = v ? q->host->parallel_for(q->host, tasks, first_pass_task, q) : DAL_E_NOMEM;
    for (int64_t k = 0, best; st == DAL_OK && k < picks->want; k++) {
        st = settle(q, &best);
        if (st != DAL_OK)
            break;
        picks->ids[k] = ids[best];
        picks->scores[k] = q->score[best];
        picks->n = k + 1;
        join(q, best, v);
        q->host->progress(q->host, k + 1, picks->want, "picks");
    }
    q->host->free(q->host, v);
    if (st == DAL_E_NOMEM)
        dal_fail(err, st, "", "no memory for %lld samples to be scored by", (long long)q->m);
    else if (st == DAL_E_CANCELLED)
        dal_fail(err, st, "", "interrupted");
    return st;
}

/* ---- putting it together ---------------------------------------------------------------------- */

static dal_status take_arrays(quire *q, int64_t b, dal_error *err)
{
    const int64_t n = q->t.candidates.rows, n_l = q->t.labelled.rows, cap = n_l + b;
    int64_t square, targets;
    if (!dal_size_mul(cap, cap + 1, &square) || !dal_size_mul(n_l, q->t.n_problems, &targets))
        return dal_fail(err, DAL_E_OVERFLOW, "", "too many labelled samples");
    q->o = dal_array(q->host, cap, sizeof *q->o);
    q->l = dal_array(q->host, square / 2, sizeof *q->l);
    q->w = dal_array(q->host, targets, sizeof *q->w);
    q->base = dal_array(q->host, n, sizeof *q->base);
    q->weight = dal_array(q->host, n, sizeof *q->weight);
    q->a = dal_array(q->host, n, sizeof *q->a);
    q->score = dal_array(q->host, n, sizeof *q->score);
    q->seen = dal_array(q->host, n, sizeof *q->seen);
    q->rows = dal_array(q->host, STALE, sizeof *q->rows);
    if (!q->o || !q->l || !q->w || !q->base || !q->weight || !q->a || !q->score || !q->seen || !q->rows)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld candidates and %lld labelled samples",
                        (long long)n, (long long)n_l);
    return DAL_OK;
}

static void free_arrays(quire *q)
{
    void *all[] = {q->o, q->l, q->w, q->base, q->weight, q->a, q->score, q->seen, q->rows};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        q->host->free(q->host, all[i]);
    dal_table_free(&q->t);
}

static dal_status quire_select(void *p, const dal_view *view, dal_picks *picks, dal_error *err)
{
    const dal_stateless *self = p;
    const options *opt = self->options;
    const int64_t n_l = view->count(view, DAL_ROWS_LABELLED), n = view->count(view, DAL_ROWS_CANDIDATES);
    quire q = {.host = self->host, .opt = opt};
    picks->n = 0;
    if (picks->want <= 0)
        return DAL_OK;
    dal_status st = dal_table_bound(n_l + (opt->variant == EXACT ? picks->want : n), opt->max_n, err);
    if (st == DAL_OK)
        st = dal_table_make(self->host, view, opt->standardise, 0, &q.t, err);
    if (st != DAL_OK)
        return st;
    q.kernel = (dal_kernel){opt->kernel, 0, opt->gamma > 0 ? opt->gamma : 1 / (double)q.t.all.cols};
    st = take_arrays(&q, picks->want, err);
    if (st == DAL_OK)
        st = factor_labelled(&q, err);
    for (int64_t i = 0; st == DAL_OK && i < n; i++)
        q.base[i] = q.known;
    if (st == DAL_OK && opt->variant == SHORTCUT)
        st = base_of_shortcut(&q, err);
    if (st == DAL_OK)
        st = pick_all(&q, view, picks, err);
    free_arrays(&q);
    return st;
}

static void quire_cost(void *self, const void *options_, const dal_problem *problem, dal_cost *out)
{
    const options *opt = dal_stateless_options(self, options_);
    const double n = (double)problem->n, n_l = (double)problem->n_labelled, b = (double)problem->n_query;
    const double d = (double)problem->d, all = n + n_l;
    out->bytes = 4 * all * d + 40 * n + 4 * (n_l + b) * (n_l + b + 1) + 8 * n_l * (n_l + (double)problem->c) +
                 3 * 8.0 * DAL_LANES * (n_l + b);
    out->flops = n * n_l * (n_l + 3 * d) + 64 * b * (n_l + b) * (n_l + b + 3 * d);
    snprintf(out->formula, sizeof out->formula, "O(n n_l (n_l + d)) time, O(n d + (n_l + b)^2) memory");
    if (opt->variant == SHORTCUT) {
        out->bytes += 8 * all * all;
        out->flops += all * all * (all + 1.5 * d);
        snprintf(out->formula, sizeof out->formula, "O(n^3 + n^2 d) time, O(n^2) memory");
    }
}

static const dal_strategy_impl quire_impl = {
    .struct_size = sizeof quire_impl,
    .create = dal_stateless_create,
    .destroy = dal_stateless_destroy,
    .select = quire_select,
    .cost = quire_cost,
};

#define PARAMS(P, T)                                                                                        \
    P(T, variant, CHOICE, "exact", "exact|shortcut", "", "the min-max itself, or the paper's last formula") \
    P(T, kernel, CHOICE, "rbf", "rbf|linear", "", "similarity of two samples")                              \
    P(T, gamma, F64, "0", "0..", "", "of rbf: exp(-gamma distance^2); 0: 1 / features")                   \
    P(T, lambda, F64, "1", "(0..)", "", "ridge added to the kernel")                                        \
    P(T, standardise, BOOL, "true", "", "", "bring features to mean 0 and variance 1 first")                \
    P(T, max_n, I64, "10000", "1..32768", "rows", "refuse a matrix of more rows (exact: labelled + picks)")
#define COMPONENTS(C)                                                                                       \
    C(STRATEGY, "quire", quire_impl, "least worst-case error of kernel regression once labelled",           \
      "Huang, Jin & Zhou, NeurIPS 2010", DAL_CAP_FEATURES, "", options, PARAMS)
#define ABOUT(A)                                                                                      \
    A(STRATEGY, "quire",                                                                              \
      "argmin_s max_{y_s} min_{y_u} y' M y, M = (K + lambda I)^-1",                                   \
      "exact without n x n; variant: shortcut is the formula at the end of the paper; libact has an " \
      "inner for an outer product; rbf gamma 1/d")
DAL_MODULE_ABOUT(quire, "1.0", "Apache-2.0", COMPONENTS, ABOUT, NULL, NULL)
