#include <dal/select.h>

dal_status dal_stateless_create(const dal_host *host, const void *options, void **self, dal_error *err)
{
    dal_stateless *s = host->alloc(host, sizeof *s, 0);
    if (!s)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for the strategy");
    *s = (dal_stateless){host, options};
    *self = s;
    return DAL_OK;
}

void dal_stateless_destroy(void *self)
{
    dal_stateless *s = self;
    if (s)
        s->host->free(s->host, s);
}

static dal_status add_rows(const dal_matrix *x, dal_matrix *out, float *data, dal_error *err)
{
    if (x->cols != out->cols)
        return dal_fail(err, DAL_E_INVALID, "", "features of widths %lld and %lld, expected the same",
                        (long long)out->cols, (long long)x->cols);
    for (int64_t i = 0; i < x->rows; i++)
        memcpy(data + (out->rows + i) * x->cols, x->data + i * x->stride, (size_t)x->cols * sizeof *data);
    out->rows += x->rows;
    return DAL_OK;
}

dal_status dal_stack_features(const dal_host *host, const dal_view *view, const uint32_t *sets, int64_t n_sets,
                              float **data, dal_matrix *out, dal_error *err)
{
    dal_status st = DAL_OK;
    int64_t rows = 0, cells;
    *out = (dal_matrix){0};
    *data = NULL;
    for (int64_t s = 0; s < n_sets; s++)
        rows += view->count(view, sets[s]);
    for (int64_t s = 0; st == DAL_OK && s < n_sets; s++) {
        dal_matrix x;
        if (view->count(view, sets[s]) == 0)
            continue;
        st = view->features(view, sets[s], &x, err);
        if (st == DAL_OK && !*data) {
            out->cols = out->stride = x.cols;
            *data = dal_size_mul(rows, x.cols, &cells) ? dal_array(host, cells, sizeof **data) : NULL;
            out->data = *data;
            st = *data ? DAL_OK : dal_fail(err, DAL_E_NOMEM, "", "no memory for the features of %lld samples",
                                           (long long)rows);
        }
        if (st == DAL_OK)
            st = add_rows(&x, out, *data, err);
    }
    if (st != DAL_OK) {
        host->free(host, *data);
        *data = NULL;
    }
    return st;
}

void dal_pick_rows(const dal_view *view, const int64_t *rows, const double *scores, int64_t n, dal_picks *picks)
{
    const int64_t *ids = view->ids(view, DAL_ROWS_CANDIDATES);
    for (int64_t i = 0; i < n; i++) {
        picks->ids[i] = ids[rows[i]];
        if (scores)
            picks->scores[i] = scores[i];
    }
    picks->n = n;
}

void dal_class_need(const dal_view *view, int64_t c, int64_t b, double *out)
{
    const int64_t n = view->count(view, DAL_ROWS_LABELLED);
    const int32_t *classes = view->classes(view, DAL_ROWS_LABELLED);
    for (int64_t k = 0; k < c; k++)
        out[k] = (double)((n + b) / c);
    for (int64_t i = 0; i < n; i++)
        if (classes[i] >= 0 && classes[i] < c)
            out[classes[i]]--;
    for (int64_t k = 0; k < c; k++)
        out[k] = out[k] > 0 ? out[k] : 0;
}
