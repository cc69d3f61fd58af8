/* Losses over rows, and their gradients. */
#include "nn_private.h"

#include <math.h>

/* ---- what is asked for -------------------------------------------------------------------------- */

static dal_status check_rows(const dal_nn_rows *r, dal_error *err)
{
    if (r->n < 1 || r->width < 1)
        return dal_fail(err, DAL_E_CONTRACT, "", "a loss of %lld rows of %lld numbers; expected 1 or more of each",
                        (long long)r->n, (long long)r->width);
    for (int64_t i = 0; r->weights && i < r->n; i++)
        if (!(r->weights[i] >= 0) || !isfinite(r->weights[i]))
            return dal_fail(err, DAL_E_INVALID, "", "row %lld of a loss weighs %g; expected 0 or more", (long long)i,
                            (double)r->weights[i]);
    return DAL_OK;
}

static dal_status check_targets(const dal_nn_rows *r, const float *targets, float low, float high, dal_error *err)
{
    for (int64_t i = 0; i < r->n * r->width; i++)
        if (!(targets[i] >= low && targets[i] <= high) || !isfinite(targets[i]))
            return dal_fail(err, DAL_E_INVALID, "", "the target of number %lld of row %lld is %g; expected %s",
                            (long long)(i % r->width), (long long)(i / r->width), (double)targets[i],
                            high == 1 ? "0 to 1" : "a finite number");
    return DAL_OK;
}

/* What each number of row i counts for in the mean. */
static double share_of(const dal_nn_rows *r, int64_t i, int64_t width)
{
    return (r->weights ? (double)r->weights[i] : 1) / ((double)r->n * (double)width);
}

/* ---- softmax cross-entropy ---------------------------------------------------------------------- */

static double exponentials(const float *z, int64_t c, int64_t *top)
{
    double sum = 0;
    *top = 0;
    for (int64_t k = 1; k < c; k++)
        *top = z[k] > z[*top] ? k : *top;
    for (int64_t k = 0; k < c; k++)
        sum += exp((double)z[k] - (double)z[*top]);
    return sum;
}

/* Values below 1e-30 become 0. */
float nn_row_loss(const float *z, int64_t c, int32_t cls, double share, float *d, int32_t *hit)
{
    int64_t top;
    const double sum = exponentials(z, c, &top);
    for (int64_t k = 0; k < c; k++) {
        const double p = exp((double)z[k] - (double)z[top]) / sum, g = share * (p - (k == cls ? 1 : 0));
        d[k] = fabs(g) < 1e-30 ? 0 : (float)g;
    }
    *hit = top == cls;
    return (float)(log(sum) - ((double)z[cls] - (double)z[top]));
}

dal_status dal_nn_cross_entropy(const dal_nn_rows *r, const int32_t *classes, double *loss, dal_error *err)
{
    dal_status st = check_rows(r, err);
    for (int64_t i = 0; i < r->n && st == DAL_OK; i++)
        if (classes[i] < 0 || classes[i] >= r->width)
            st = dal_fail(err, DAL_E_INVALID, "", "row %lld of a loss has class %d; expected 0..%lld", (long long)i,
                          (int)classes[i], (long long)r->width - 1);
    if (st != DAL_OK)
        return st;
    *loss = 0;
    for (int64_t i = 0; i < r->n; i++) {
        const float *z = r->x + i * r->width;
        const double share = share_of(r, i, 1);
        int64_t top;
        const double sum = exponentials(z, r->width, &top);
        *loss += share * (log(sum) - ((double)z[classes[i]] - (double)z[top]));
        for (int64_t k = 0; r->d && k < r->width; k++)
            r->d[i * r->width + k] += (float)(share * (exp((double)z[k] - (double)z[top]) / sum -
                                                       (k == classes[i] ? 1 : 0)));
    }
    return DAL_OK;
}

/* ---- number by number --------------------------------------------------------------------------- */

/* The loss of one number x whose target is t, and its derivative. */
typedef double number_loss(double x, double t, double *slope);

static double squared(double x, double t, double *slope)
{
    *slope = 2 * (x - t);
    return (x - t) * (x - t);
}

/* log(1 + e^x) - t x, without an e^x that overflows. */
static double binary(double x, double t, double *slope)
{
    const double small = exp(-fabs(x)), p = x >= 0 ? 1 / (1 + small) : small / (1 + small);
    *slope = p - t;
    return (x > 0 ? x : 0) - x * t + log1p(small);
}

static dal_status by_numbers(const dal_nn_rows *r, number_loss *of, const float *targets, double *loss)
{
    *loss = 0;
    for (int64_t i = 0; i < r->n; i++) {
        const double share = share_of(r, i, r->width);
        double sum = 0, slope;
        for (int64_t k = i * r->width; k < (i + 1) * r->width; k++) {
            sum += of((double)r->x[k], (double)targets[k], &slope);
            if (r->d)
                r->d[k] += (float)(share * slope);
        }
        *loss += share * sum;
    }
    return DAL_OK;
}

dal_status dal_nn_mse(const dal_nn_rows *rows, const float *targets, double *loss, dal_error *err)
{
    dal_status st = check_rows(rows, err);
    if (st == DAL_OK)
        st = check_targets(rows, targets, -INFINITY, INFINITY, err);
    return st == DAL_OK ? by_numbers(rows, squared, targets, loss) : st;
}

dal_status dal_nn_bce(const dal_nn_rows *rows, const float *targets, double *loss, dal_error *err)
{
    dal_status st = check_rows(rows, err);
    if (st == DAL_OK)
        st = check_targets(rows, targets, 0, 1, err);
    return st == DAL_OK ? by_numbers(rows, binary, targets, loss) : st;
}

/* ---- pairs -------------------------------------------------------------------------------------- */

dal_status dal_nn_margin_ranking(const dal_nn_rows *r, const float *targets, double margin, double *loss,
                                 dal_error *err)
{
    const int64_t pairs = r->n / 2;
    dal_status st = check_rows(r, err);
    if (st == DAL_OK && r->width != 1)
        st = dal_fail(err, DAL_E_CONTRACT, "", "rows of %lld numbers cannot be ranked; expected 1",
                      (long long)r->width);
    if (st == DAL_OK && !(margin >= 0 && isfinite(margin)))
        st = dal_fail(err, DAL_E_INVALID, "", "the margin of a ranking is %g; expected 0 or more", margin);
    if (st == DAL_OK)
        st = check_targets(r, targets, -INFINITY, INFINITY, err);
    if (st != DAL_OK)
        return st;
    *loss = 0;
    for (int64_t i = 0; i < pairs; i++) {
        const int64_t k = r->n - 1 - i;
        const double sign = targets[i] > targets[k] ? 1 : -1, weight = r->weights
            ? (double)r->weights[i] * (double)r->weights[k] : 1;
        const double short_of = margin - sign * ((double)r->x[i] - (double)r->x[k]), share = weight / (double)pairs;
        if (short_of <= 0)
            continue;
        *loss += share * short_of; /* one that is no number, too */
        if (r->d) {
            r->d[i] -= (float)(share * sign);
            r->d[k] += (float)(share * sign);
        }
    }
    return DAL_OK;
}
