#include <dal/fit.h>

#include <dal/dense.h>
#include <math.h>

dal_status dal_check_width(const char *id, int64_t width, const dal_sample_spec *spec, dal_error *err)
{
    int64_t have;
    const dal_status st = dal_dense_inputs(spec, id, &have, err);
    if (st == DAL_OK && have != width)
        return dal_fail(err, DAL_E_INVALID, "", "%s was made for %lld values a sample; these have %lld", id,
                        (long long)width, (long long)have);
    return st;
}

static dal_status check_weights(const dal_samples *s, dal_error *err)
{
    double sum = 0;
    for (int64_t i = 0; i < s->n; i++) {
        if (!(s->weights[i] >= 0) || !isfinite(s->weights[i]))
            return dal_fail(err, DAL_E_INVALID, "", "training sample %lld has the weight %g; expected a "
                            "finite number, 0 or more", (long long)dal_pool_id(s, i), (double)s->weights[i]);
        sum += (double)s->weights[i];
    }
    if (!(sum > 0))
        return dal_fail(err, DAL_E_INVALID, "", "the weights of all training samples are 0");
    return DAL_OK;
}

dal_status dal_check_fit(const char *id, int64_t width, int64_t n_classes, const dal_fit *fit, dal_error *err)
{
    const dal_status st = dal_check_labels(id, n_classes, fit, err);
    return st == DAL_OK ? dal_check_width(id, width, &fit->train->spec, err) : st;
}

dal_status dal_check_labels(const char *id, int64_t n_classes, const dal_fit *fit, dal_error *err)
{
    const dal_samples *s = fit->train;
    if (!s || s->n < 1 || !s->classes)
        return dal_fail(err, DAL_E_INVALID, "", "%s was given no labelled samples to train on", id);
    for (int64_t i = 0; i < s->n; i++)
        if (s->classes[i] < 0 || s->classes[i] >= n_classes)
            return dal_fail(err, DAL_E_INVALID, "", "training sample %lld has class %d; expected 0..%lld",
                            (long long)dal_pool_id(s, i), (int)s->classes[i], (long long)n_classes - 1);
    return s->weights ? check_weights(s, err) : DAL_OK;
}

double dal_mean_weight(const dal_samples *s)
{
    double sum = 0;
    for (int64_t i = 0; i < s->n; i++)
        sum += s->weights ? (double)s->weights[i] : 1;
    return sum / (double)s->n;
}

dal_status dal_read_saved(const dal_reader *r, void *data, size_t n, const char *what, dal_error *err)
{
    char *p = data;
    for (size_t done = 0, got; done < n; done += got) {
        got = 0;
        const dal_status st = r->read(r, p + done, n - done, &got, err);
        if (st != DAL_OK)
            return st;
        if (got == 0 || got > n - done)
            return dal_fail(err, DAL_E_FORMAT, "", "a saved model ends in its %s: %zu bytes of %zu", what,
                            done, n);
    }
    return DAL_OK;
}

double dal_soft_loss(const float *z, int64_t stride, const float *y, int64_t c, double share, float *d)
{
    double max = (double)z[0], sum = 0, mass = 0, match = 0;
    for (int64_t k = 1; k < c; k++)
        max = (double)z[k * stride] > max ? (double)z[k * stride] : max;
    for (int64_t k = 0; k < c; k++) {
        sum += exp((double)z[k * stride] - max);
        mass += (double)y[k];
        match += (double)y[k] * ((double)z[k * stride] - max);
    }
    for (int64_t k = 0; k < c; k++)
        d[k * stride] = (float)(share * (mass * exp((double)z[k * stride] - max) / sum - (double)y[k]));
    return mass * log(sum) - match;
}
