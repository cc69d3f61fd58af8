#include <dal/tabular.h>

#include <math.h>

dal_status dal_table_bound(int64_t rows, int64_t max_n, dal_error *err)
{
    if (rows <= max_n)
        return DAL_OK;
    return dal_fail(err, DAL_E_INVALID, "max_n",
                    "%lld rows, and this takes the square of that in memory or time: bound the candidates "
                    "(query.candidates, or the wrapper `subsample`), or raise max_n (now %lld)",
                    (long long)rows, (long long)max_n);
}

/* Copy a row set into the table from row `first` on. */
static dal_status copy_set(const dal_view *view, uint32_t set, dal_table *t, int64_t first, dal_error *err)
{
    const int64_t n = view->count(view, set), *ids = view->ids(view, set);
    dal_matrix m;
    if (n == 0)
        return DAL_OK;
    const dal_status st = view->features(view, set, &m, err);
    if (st != DAL_OK)
        return st;
    if (m.cols != t->all.cols)
        return dal_fail(err, DAL_E_INVALID, "",
                        "features of candidates are %lld wide and those of labelled samples %lld",
                        (long long)t->all.cols, (long long)m.cols);
    for (int64_t i = 0; i < n; i++) {
        const float *x = m.data + i * m.stride;
        for (int64_t j = 0; j < m.cols; j++)
            if (!isfinite(x[j]))
                return dal_fail(err, DAL_E_INVALID, "", "feature %lld of sample %lld is not finite", (long long)j,
                                (long long)ids[i]);
        memcpy(t->x + (first + i) * m.cols, x, (size_t)m.cols * sizeof *x);
    }
    return DAL_OK;
}

static void standardise_column(dal_table *t, int64_t j)
{
    const int64_t n = t->all.rows, d = t->all.cols;
    double sum = 0, squares = 0, largest = 0;
    for (int64_t i = 0; i < n; i++)
        sum += (double)t->x[i * d + j];
    const double mean = sum / (double)n;
    for (int64_t i = 0; i < n; i++) {
        const double x = (double)t->x[i * d + j], u = x - mean;
        squares += u * u;
        largest = fmax(largest, fabs(x));
    }
    double spread = sqrt(squares / (double)n);
    if (spread <= 1e-7 * largest) /* constant but for rounding */
        spread = INFINITY;
    for (int64_t i = 0; i < n; i++)
        t->x[i * d + j] = (float)(((double)t->x[i * d + j] - mean) / spread);
}

/* The classes of the labelled rows, each once, ascending. */
static dal_status find_classes(const dal_view *view, dal_table *t, dal_error *err)
{
    const int64_t n = t->labelled.rows, *ids = view->ids(view, DAL_ROWS_LABELLED);
    t->classes = view->classes(view, DAL_ROWS_LABELLED);
    for (int64_t i = 0; i < n; i++) {
        if (!t->classes || t->classes[i] < 0)
            return dal_fail(err, DAL_E_INVALID, "", "labelled sample %lld has no class", (long long)ids[i]);
        int64_t at = t->n_seen;
        while (at > 0 && t->seen[at - 1] > t->classes[i])
            at--;
        if (at > 0 && t->seen[at - 1] == t->classes[i])
            continue;
        memmove(t->seen + at + 1, t->seen + at, (size_t)(t->n_seen - at) * sizeof *t->seen);
        t->seen[at] = t->classes[i];
        t->n_seen++;
    }
    t->n_problems = n == 0 ? 0 : t->n_seen <= 2 ? 1 : t->n_seen;
    return DAL_OK;
}

dal_status dal_table_make(const dal_host *host, const dal_view *view, int standardise, int64_t max_rows,
                          dal_table *t, dal_error *err)
{
    const int64_t n_l = view->count(view, DAL_ROWS_LABELLED), n = view->count(view, DAL_ROWS_CANDIDATES);
    dal_matrix first;
    int64_t cells;
    *t = (dal_table){.host = host};
    dal_status st = max_rows > 0 ? dal_table_bound(n_l + n, max_rows, err) : DAL_OK;
    if (st == DAL_OK)
        st = view->features(view, DAL_ROWS_CANDIDATES, &first, err);
    if (st != DAL_OK)
        return st;
    if (first.cols < 1)
        return dal_fail(err, DAL_E_INVALID, "", "features of width %lld, expected at least 1",
                        (long long)first.cols);
    if (!dal_size_mul(n_l + n, first.cols, &cells))
        return dal_fail(err, DAL_E_OVERFLOW, "", "too many features");
    t->x = dal_array(host, cells, sizeof *t->x);
    t->seen = dal_array(host, n_l + 1, sizeof *t->seen);
    t->all = (dal_matrix){t->x, n_l + n, first.cols, first.cols};
    t->labelled = (dal_matrix){t->x, n_l, first.cols, first.cols};
    if (!t->x || !t->seen)
        st = dal_fail(err, DAL_E_NOMEM, "", "no memory for a table of %lld rows", (long long)(n_l + n));
    if (st == DAL_OK) {
        t->candidates = (dal_matrix){t->x + n_l * first.cols, n, first.cols, first.cols};
        st = copy_set(view, DAL_ROWS_LABELLED, t, 0, err);
    }
    if (st == DAL_OK)
        st = copy_set(view, DAL_ROWS_CANDIDATES, t, n_l, err);
    if (st == DAL_OK)
        st = find_classes(view, t, err);
    for (int64_t j = 0; st == DAL_OK && standardise && j < first.cols; j++)
        standardise_column(t, j);
    if (st != DAL_OK)
        dal_table_free(t);
    return st;
}

void dal_table_free(dal_table *t)
{
    if (!t->host)
        return;
    t->host->free(t->host, t->x);
    t->host->free(t->host, t->seen);
    *t = (dal_table){0};
}

double dal_table_sign(const dal_table *t, int64_t problem, int64_t row)
{
    const int32_t about = t->n_problems == 1 ? t->seen[t->n_seen - 1] : t->seen[problem];
    return t->classes[row] == about ? 1 : -1;
}
