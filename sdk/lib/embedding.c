#include <dal/embedding.h>

#include <dal/gradient.h>
#include <math.h>

#define TASK 256

typedef struct embed_job {
    const dal_host *host;
    const dal_view *view;
    const dal_embed_spec *spec;
    dal_gradients from; /* all rows of the set */
    int64_t n, c, width;
    float *y; /* [n, width] */
} embed_job;

static int64_t row_at(const dal_embed_spec *s, int64_t i)
{
    return s->rows ? s->rows[i] : i;
}

/* p - e_predicted becomes p - e_y */
static void relabel(const embed_job *j, int64_t row, float *a, int32_t predicted)
{
    const uint32_t label = j->spec->label;
    const int32_t y = label == DAL_EMBED_CLASS ? j->view->classes(j->view, j->spec->set)[row] : predicted;
    if (j->spec->further)
        a[j->c] = label == DAL_EMBED_NONE ? -1 : 0;
    if (label == DAL_EMBED_NONE)
        a[predicted] += 1;
    if (y == predicted)
        return;
    a[predicted] += 1;
    a[y] -= 1;
}

/* To length 1. Products of floats as small as 1 - p of a certain model would underflow. */
static void normalise(float *a, int64_t n)
{
    double square = 0;
    for (int64_t k = 0; k < n; k++)
        square += (double)a[k] * (double)a[k];
    for (int64_t k = 0; square > 0 && k < n; k++)
        a[k] = (float)((double)a[k] / sqrt(square));
}

static dal_status factor_task(void *ctx, int64_t t)
{
    const embed_job *j = ctx;
    const int64_t end = (t + 1) * TASK < j->n ? (t + 1) * TASK : j->n;
    for (int64_t i = t * TASK; i < end; i++) {
        const int64_t row = row_at(j->spec, i);
        float *a = j->y + i * j->width;
        int32_t predicted;
        dal_gradient_factor(&j->from, row, 1, a, &predicted);
        relabel(j, row, a, predicted);
        if (j->spec->directions)
            normalise(a, j->width);
    }
    return DAL_OK;
}

/* Whoever brings outputs and classes from files may bring some that do not go together, or no classes. */
static dal_status check_classes(const embed_job *j, dal_error *err)
{
    if (j->spec->label != DAL_EMBED_CLASS || j->n == 0)
        return DAL_OK;
    const int32_t *classes = j->view->classes(j->view, j->spec->set);
    if (!classes)
        return dal_fail(err, DAL_E_INVALID, "", "the classes of the labelled samples are not known, which their "
                        "gradients depend on; compare features instead");
    for (int64_t i = 0; i < j->n; i++)
        if (classes[row_at(j->spec, i)] < 0 || classes[row_at(j->spec, i)] >= j->c)
            return dal_fail(err, DAL_E_INVALID, "", "sample %lld has class %d; the model has outputs for %lld",
                            (long long)j->view->ids(j->view, j->spec->set)[row_at(j->spec, i)],
                            (int)classes[row_at(j->spec, i)], (long long)j->c);
    return DAL_OK;
}

static dal_status take_factors(embed_job *j, dal_embedding *out, dal_error *err)
{
    int64_t size;
    dal_status st = j->view->outputs(j->view, j->spec->set, &j->from.outputs, err);
    j->c = st == DAL_OK ? j->from.outputs.values.cols : 0;
    if (st == DAL_OK)
        st = check_classes(j, err);
    if (st != DAL_OK)
        return st;
    j->width = j->c + (j->spec->further ? 1 : 0);
    j->y = dal_size_mul(j->n, j->width, &size) ? dal_array(j->host, size, sizeof *j->y) : NULL;
    out->owned[1] = j->y;
    if (!j->y)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for the gradients of %lld samples", (long long)j->n);
    out->points.y = (dal_matrix){j->y, j->n, j->width, j->width};
    out->points.extra = 1;
    return j->host->parallel_for(j->host, (j->n + TASK - 1) / TASK, factor_task, j);
}

/* Features of some rows, packed. */
static dal_status take_rows(const embed_job *j, dal_embedding *out, dal_error *err)
{
    const dal_matrix *h = &j->from.features;
    int64_t size;
    float *x = dal_size_mul(j->n, h->cols, &size) ? dal_array(j->host, size, sizeof *x) : NULL;
    out->owned[0] = x;
    if (!x)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for the features of %lld samples", (long long)j->n);
    for (int64_t i = 0; i < j->n; i++)
        memcpy(x + i * h->cols, h->data + j->spec->rows[i] * h->stride, (size_t)h->cols * sizeof *x);
    out->points.x = (dal_matrix){x, j->n, h->cols, h->cols};
    return DAL_OK;
}

static dal_status measure(const embed_job *j, dal_embedding *out, dal_error *err)
{
    const int64_t *all = j->view->ids(j->view, j->spec->set);
    const char *what = j->y ? "outputs and features" : "features";
    if (!j->spec->rows)
        return dal_points_measure(j->host, &out->points, what, all, err);
    int64_t *ids = dal_array(j->host, j->n, sizeof *ids);
    if (!ids)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld samples", (long long)j->n);
    for (int64_t i = 0; i < j->n; i++)
        ids[i] = all[j->spec->rows[i]];
    const dal_status st = dal_points_measure(j->host, &out->points, what, ids, err);
    j->host->free(j->host, ids);
    return st;
}

dal_status dal_embed(const dal_host *host, const dal_view *view, const dal_embed_spec *spec, dal_embedding *out,
                     dal_error *err)
{
    embed_job j = {.host = host, .view = view, .spec = spec,
                   .n = spec->rows ? spec->n : view->count(view, spec->set)};
    *out = (dal_embedding){.points = {.struct_size = sizeof out->points}};
    dal_status st = view->features(view, spec->set, &j.from.features, err);
    if (st == DAL_OK)
        out->points.x = j.from.features;
    if (st == DAL_OK && spec->rows)
        st = take_rows(&j, out, err);
    if (st == DAL_OK && spec->embedding == DAL_EMBED_GRADIENT)
        st = take_factors(&j, out, err);
    return st == DAL_OK ? measure(&j, out, err) : st;
}

void dal_embedding_free(const dal_host *host, dal_embedding *e)
{
    dal_points_free(host, &e->points);
    host->free(host, e->owned[0]);
    host->free(host, e->owned[1]);
    e->owned[0] = e->owned[1] = NULL;
}
