#include <dal/minimise.h>

#include <math.h>

#include "clones.h"

#define MAX_TRIALS 40 /* of a step length: 2^-40 of the first one moves nothing in double */

typedef struct search {
    const dal_lbfgs *how;
    const dal_host *host;
    dal_lbfgs_result *result;
    dal_error *err;
    int64_t n, memory, kept, newest; /* pairs kept; slot of the newest */
    double *x, *g;                   /* here; x is the caller's */
    double *next_x, *next_g, *d;     /* trial point, direction */
    double *s, *y, *rho, *alpha;     /* [memory, n] twice, [memory] twice */
    double *block;
} search;

DAL_CLONES static double dot(const double *a, const double *b, int64_t n)
{
    double lane[8] = {0};
    int64_t i = 0;
    for (; i + 8 <= n; i += 8)
        for (int l = 0; l < 8; l++)
            lane[l] += a[i + l] * b[i + l];
    for (; i < n; i++)
        lane[0] += a[i] * b[i];
    return ((lane[0] + lane[4]) + (lane[1] + lane[5])) + ((lane[2] + lane[6]) + (lane[3] + lane[7]));
}

/* y += a x */
DAL_CLONES static void add(double a, const double *x, double *y, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        y[i] += a * x[i];
}

static double largest(const double *g, int64_t n)
{
    double max = 0;
    for (int64_t i = 0; i < n; i++)
        max = fabs(g[i]) > max ? fabs(g[i]) : max;
    return max;
}

static dal_status search_init(search *s, int64_t n)
{
    int64_t count;
    s->memory = s->how->memory ? s->how->memory : 10;
    if (!dal_size_mul(n, 4 + 2 * s->memory, &count))
        return DAL_E_OVERFLOW;
    s->block = dal_array(s->host, count, sizeof(double));
    s->rho = dal_array(s->host, 2 * s->memory, sizeof(double));
    if (!s->block || !s->rho)
        return dal_fail(s->err, DAL_E_NOMEM, "", "no memory to minimise over %lld variables", (long long)n);
    s->g = s->block;
    s->next_g = s->block + n;
    s->next_x = s->block + 2 * n;
    s->d = s->block + 3 * n;
    s->s = s->block + 4 * n;
    s->y = s->s + s->memory * n;
    s->alpha = s->rho + s->memory;
    return DAL_OK;
}

static dal_status evaluate(search *s, const double *x, double *value, double *g)
{
    s->result->evaluations++;
    return s->how->evaluate(s->how->ctx, x, value, g, s->err);
}

/* d = -H g by the two loops of Nocedal 1980, from the newest pair to the oldest and back. */
static void direction(search *s)
{
    const int64_t n = s->n;
    for (int64_t i = 0; i < n; i++)
        s->d[i] = -s->g[i];
    for (int64_t k = 0; k < s->kept; k++) {
        const int64_t at = (s->newest - k + s->memory) % s->memory;
        s->alpha[at] = s->rho[at] * dot(s->s + at * n, s->d, n);
        add(-s->alpha[at], s->y + at * n, s->d, n);
    }
    /* the scale of H: of the newest pair; a step of length 1 at most while there is none */
    double scale = 1 / fmax(1, sqrt(dot(s->g, s->g, n)));
    if (s->kept > 0)
        scale = 1 / (s->rho[s->newest] * dot(s->y + s->newest * n, s->y + s->newest * n, n));
    for (int64_t i = 0; i < n; i++)
        s->d[i] *= scale;
    for (int64_t k = s->kept - 1; k >= 0; k--) {
        const int64_t at = (s->newest - k + s->memory) % s->memory;
        const double beta = s->rho[at] * dot(s->y + at * n, s->d, n);
        add(s->alpha[at] - beta, s->s + at * n, s->d, n);
    }
}

/* A point along d with enough decrease and enough curvature, in next_x and next_g. *found 0: none within
 * the precision of the values. */
static dal_status line_search(search *s, double *value, int *found)
{
    const double slope = dot(s->g, s->d, s->n), slack = s->how->noise * fabs(s->result->value);
    double low = 0, high = INFINITY, t = 1;
    *found = 0;
    for (int trial = 0; trial < MAX_TRIALS && slope < 0; trial++) {
        for (int64_t i = 0; i < s->n; i++)
            s->next_x[i] = s->x[i] + t * s->d[i];
        const dal_status st = evaluate(s, s->next_x, value, s->next_g);
        if (st != DAL_OK)
            return st;
        if (!(*value <= s->result->value + 1e-4 * t * slope + slack)) /* NaN: too far */
            high = t;
        else if (dot(s->next_g, s->d, s->n) < 0.9 * slope)
            low = t;
        else {
            *found = 1;
            return DAL_OK;
        }
        t = isinf(high) ? 2 * low : (low + high) / 2;
    }
    return DAL_OK;
}

/* Go to next_x; keep the pair when it says something about the curvature. */
static void move(search *s, double value)
{
    const int64_t n = s->n, at = (s->newest + 1) % s->memory;
    double *step = s->s + at * n, *change = s->y + at * n;
    for (int64_t i = 0; i < n; i++) {
        step[i] = s->next_x[i] - s->x[i];
        change[i] = s->next_g[i] - s->g[i];
    }
    const double curvature = dot(step, change, n);
    if (curvature > 1e-12 * dot(change, change, n)) {
        s->rho[at] = 1 / curvature;
        s->newest = at;
        s->kept += s->kept < s->memory;
    }
    memcpy(s->x, s->next_x, (size_t)n * sizeof *s->x);
    memcpy(s->g, s->next_g, (size_t)n * sizeof *s->g);
    s->result->value = value;
}

static dal_status iterate(search *s)
{
    dal_lbfgs_result *r = s->result;
    dal_status st = evaluate(s, s->x, &r->value, s->g);
    if (st == DAL_OK && !isfinite(r->value))
        st = dal_fail(s->err, DAL_E_DIVERGED, "", "the function to minimise is %g at the start", r->value);
    while (st == DAL_OK) {
        r->largest_gradient = largest(s->g, s->n);
        r->converged = r->largest_gradient <= s->how->tolerance;
        if (s->how->visit)
            st = s->how->visit(s->how->ctx, r->iterations, r->value, r->largest_gradient, s->err);
        if (st != DAL_OK || r->converged || r->iterations >= s->how->max_iterations)
            return st;
        double value;
        int found;
        direction(s);
        st = line_search(s, &value, &found);
        if (st != DAL_OK)
            return st;
        if (!found && s->kept == 0)
            return DAL_OK;
        if (found)
            move(s, value);
        else
            s->kept = 0; /* a direction spoilt by noise: once more along the plain gradient */
        r->iterations += found;
    }
    return st;
}

dal_status dal_minimise(const dal_host *host, const dal_lbfgs *how, int64_t n, double *x,
                        dal_lbfgs_result *result, dal_error *err)
{
    search s = {.how = how, .host = host, .result = result, .err = err, .n = n, .newest = -1, .x = x};
    *result = (dal_lbfgs_result){.struct_size = sizeof *result};
    dal_status st = search_init(&s, n);
    if (st == DAL_OK)
        st = iterate(&s);
    host->free(host, s.rho);
    host->free(host, s.block);
    return st;
}
