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
