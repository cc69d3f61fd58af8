/* ln det of what is picked, by a Cholesky factor that grows a row a pick (Chen, Zhang, Zhou, NeurIPS 2018):
 * candidate j keeps c_j = L^-1 S_Aj and its conditional variance d_j^2 = S_jj - |c_j|^2; after pick p
 *
 *     e = (S_jp - c_j . c_p) / d_p,   c_j gets e,   d_j^2 -= e^2,   gain of j: ln d_j^2.
 *
 * A given set R (queries, private samples) is as if picked before, with its similarities scaled: c_j begins with
 * scale L_R^-1 S_Rj. A candidate takes these steps when it is asked for: lazy greedy asks few.
 */
#include "set_functions.h"

#include "clones.h"

#include <dal/symmetric.h>
#include <math.h>

#define GROUP 8
#define GIVEN_GROUP 16     /* candidates conditioned together: a row of L_R is read once for all of them */
#define GIVEN_RIDGE 1e-6
#define NOTHING_NEW 1e-10

/* What candidate j knows. */
typedef struct known {
    double variance; /* d_j^2 given R and the first `seen` picks */
    double *c;       /* [n_given + seen] */
    int64_t seen, room;
} known;

/* One factor. */
typedef struct factor {
    const dal_host *host;
    dal_similarity s;
    const dal_points *points;
    double ridge;
    determinant_given given;
    int64_t n_given;
    double *given_l; /* [n_given, n_given] L_R; freed once all candidates have begun */
    known *known;    /* [n] */
    const int64_t *picks;
    int64_t n_picks;
    const int64_t *rows;
    int64_t n_rows;
} factor;

typedef struct determinant {
    dal_set_function f;
    const dal_host *host;
    const dal_points *points;
    factor of[2]; /* the second is taken off */
    int n_factors;
    double *log_weight; /* [n] 2 ln w, or NULL */
    int64_t *picks, n_picks;
} determinant;

DAL_CLONES static double dot(const double *x, const double *y, int64_t n)
{
    double lane[8] = {0};
    int64_t i = 0;
    for (; i + 8 <= n; i += 8)
        for (int l = 0; l < 8; l++)
            lane[l] += x[i + l] * y[i + l];
    for (; i < n; i++)
        lane[0] += x[i] * y[i];
    return ((lane[0] + lane[4]) + (lane[1] + lane[5])) + ((lane[2] + lane[6]) + (lane[3] + lane[7]));
}

/* ---- what is given ---------------------------------------------------------------------------- */

/* Row k of R: which points, and which row of them. */
static const dal_points *given_row(const determinant_given *g, int64_t *k, double *scale)
{
    const int second = !g->points[0] || *k >= g->points[0]->x.rows;
    if (second && g->points[0])
        *k -= g->points[0]->x.rows;
    *scale = g->scale[second];
    return g->points[second];
}

static dal_status given_row_task(void *ctx, int64_t i)
{
    const factor *f = ctx;
    double scale;
    int64_t row = i;
    const dal_points *a = given_row(&f->given, &row, &scale);
    for (int64_t j = 0; j <= i; j++) {
        int64_t other = j;
        const dal_points *b = given_row(&f->given, &other, &scale);
        f->given_l[i * f->n_given + j] = dal_alike(&f->s, a, row, b, other) + (i == j ? GIVEN_RIDGE : 0);
    }
    return DAL_OK;
}

static dal_status begin_task(void *ctx, int64_t t)
{
    const factor *f = ctx;
    const int64_t n = f->points->x.rows, first = t * GIVEN_GROUP;
    const int64_t end = first + GIVEN_GROUP < n ? first + GIVEN_GROUP : n;
    if (f->host->cancelled(f->host))
        return DAL_E_CANCELLED;
    for (int64_t j = first; j < end; j++) {
        known *my = &f->known[j];
        my->variance = dal_alike(&f->s, f->points, j, f->points, j) + f->ridge;
        my->room = f->n_given;
        my->c = f->n_given > 0 ? dal_array(f->host, f->n_given, sizeof *my->c) : NULL;
        if (f->n_given > 0 && !my->c)
            return DAL_E_NOMEM;
    }
    for (int64_t k = 0; k < f->n_given; k++) {
        double scale;
        int64_t row = k;
        const dal_points *r = given_row(&f->given, &row, &scale);
        const double *l = f->given_l + k * f->n_given;
        for (int64_t j = first; j < end; j++) {
            known *my = &f->known[j];
            const double e = (scale * dal_alike(&f->s, f->points, j, r, row) - dot(l, my->c, k)) / l[k];
            my->c[k] = e;
            my->variance -= e * e;
        }
    }
    return DAL_OK;
}

static int64_t rows_of(const dal_points *p)
{
    return p ? p->x.rows : 0;
}

static dal_status factor_init(const dal_host *host, const dal_submodular *spec, const determinant_given *given,
                              const int64_t *picks, factor *f, dal_error *err)
{
    const int64_t n = spec->candidates->x.rows;
    int64_t size;
    *f = (factor){.host = host,
                  .s = spec->similarity,
                  .points = spec->candidates,
                  .ridge = spec->ridge,
                  .given = *given,
                  .picks = picks,
                  .n_given = rows_of(given->points[0]) + rows_of(given->points[1])};
    f->known = dal_array(host, n, sizeof *f->known);
    for (int64_t i = 0; f->known && i < n; i++)
        f->known[i] = (known){0};
    f->given_l = dal_size_mul(f->n_given, f->n_given, &size) ? dal_array(host, size, sizeof *f->given_l) : NULL;
    dal_status st = f->known && f->given_l ? DAL_OK : DAL_E_NOMEM;
    if (st == DAL_OK)
        st = host->parallel_for(host, f->n_given, given_row_task, f);
    if (st == DAL_OK && f->n_given > 0) {
        st = dal_cholesky(f->n_given, f->given_l, err);
        if (st != DAL_OK)
            return st;
    }
    if (st == DAL_OK)
        st = host->parallel_for(host, (n + GIVEN_GROUP - 1) / GIVEN_GROUP, begin_task, f);
    host->free(host, f->given_l);
    f->given_l = NULL;
    if (st == DAL_OK)
        return DAL_OK;
    return dal_fail(err, st, "",
                    st == DAL_E_CANCELLED ? "interrupted while %lld candidates were conditioned on %lld samples"
                    : st == DAL_E_NOMEM ? "no memory for %lld candidates, each with %lld numbers for what is given"
                                        : "%lld candidates could not be conditioned on %lld samples",
                    (long long)n, (long long)f->n_given);
}

static void factor_fini(factor *f)
{
    for (int64_t i = 0; f->known && i < f->points->x.rows; i++)
        f->host->free(f->host, f->known[i].c);
    if (f->host) {
        f->host->free(f->host, f->known);
        f->host->free(f->host, f->given_l);
    }
}

/* ---- steps ------------------------------------------------------------------------------------ */

static int make_room(const factor *f, known *my)
{
    const int64_t used = f->n_given + my->seen, want = f->n_given + f->n_picks;
    if (my->room >= want)
        return 1;
    const int64_t grown = my->room + (my->room - f->n_given) + 8, room = grown > want ? grown : want;
    double *c = dal_array(f->host, room, sizeof *c);
    if (!c)
        return 0;
    if (my->c)
        memcpy(c, my->c, (size_t)used * sizeof *c);
    f->host->free(f->host, my->c);
    my->c = c;
    my->room = room;
    return 1;
}

static dal_status step_task(void *ctx, int64_t t)
{
    const factor *f = ctx;
    const int64_t end = (t + 1) * GROUP < f->n_rows ? (t + 1) * GROUP : f->n_rows;
    for (int64_t i = t * GROUP; i < end; i++) {
        known *my = &f->known[f->rows[i]];
        if (!make_room(f, my))
            return DAL_E_NOMEM;
        for (; my->seen < f->n_picks; my->seen++) {
            const known *p = &f->known[f->picks[my->seen]];
            const int64_t n = f->n_given + my->seen;
            double e = 0;
            if (p->variance >= NOTHING_NEW)
                e = (dal_alike(&f->s, f->points, f->rows[i], f->points, f->picks[my->seen]) -
                     dot(my->c, p->c, n)) /
                    sqrt(p->variance);
            my->c[n] = e;
            my->variance -= e * e;
        }
    }
    return DAL_OK;
}

static dal_status determinant_gains(dal_set_function *sf, const int64_t *rows, int64_t m, double *gain,
                                    dal_error *err)
{
    determinant *d = sf->impl;
    dal_status st = DAL_OK;
    for (int k = 0; st == DAL_OK && k < d->n_factors; k++) {
        d->of[k].rows = rows;
        d->of[k].n_rows = m;
        st = d->host->parallel_for(d->host, (m + GROUP - 1) / GROUP, step_task, &d->of[k]);
    }
    if (st != DAL_OK)
        return dal_fail(err, st, "", "no memory for the factors of %lld candidates", (long long)m);
    for (int64_t i = 0; i < m; i++) {
        const double own = d->of[0].known[rows[i]].variance;
        gain[i] = own < NOTHING_NEW ? -(double)INFINITY : log(own) + (d->log_weight ? d->log_weight[rows[i]] : 0);
        if (d->n_factors > 1)
            gain[i] -= log(fmax(NOTHING_NEW, d->of[1].known[rows[i]].variance));
        gain[i] = snap(gain[i], 0x1p-30);
    }
    return DAL_OK;
}

static dal_status determinant_add(dal_set_function *sf, int64_t row, double *gained, dal_error *err)
{
    determinant *d = sf->impl;
    const dal_status st = determinant_gains(sf, &row, 1, gained, err);
    d->picks[d->n_picks++] = row;
    for (int k = 0; k < d->n_factors; k++)
        d->of[k].n_picks = d->n_picks;
    return st;
}

/* ---- making one ------------------------------------------------------------------------------- */

static void determinant_destroy(dal_set_function *sf)
{
    determinant *d = sf->impl;
    const dal_host *host = d->host;
    factor_fini(&d->of[0]);
    factor_fini(&d->of[1]);
    host->free(host, d->log_weight);
    host->free(host, d->picks);
    host->free(host, d);
}

static dal_status take_weights(determinant *d, const double *weights, dal_error *err)
{
    const int64_t n = d->points->x.rows;
    if (!weights)
        return DAL_OK;
    d->log_weight = dal_array(d->host, n, sizeof *d->log_weight);
    if (!d->log_weight)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld weights", (long long)n);
    for (int64_t i = 0; i < n; i++) {
        if (!(weights[i] > 0) || isinf(weights[i]))
            return dal_fail(err, DAL_E_INVALID, "", "weight %lld is %g, expected a positive number", (long long)i,
                            weights[i]);
        d->log_weight[i] = 2 * log(weights[i]);
    }
    return DAL_OK;
}

dal_status determinant_new(const dal_host *host, const dal_submodular *spec, const determinant_given *given,
                           const determinant_given *less, dal_set_function **out, dal_error *err)
{
    const int64_t n = spec->candidates->x.rows;
    determinant *d = dal_array(host, 1, sizeof *d);
    if (!d)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for the set function");
    *d = (determinant){.host = host, .points = spec->candidates, .n_factors = less ? 2 : 1};
    d->f = (dal_set_function){.struct_size = sizeof d->f,
                              .falls = !less,
                              .n = n,
                              .least = -(double)INFINITY,
                              .impl = d,
                              .gains = determinant_gains,
                              .add = determinant_add,
                              .destroy = determinant_destroy};
    d->picks = dal_array(host, n, sizeof *d->picks);
    dal_status st = d->picks ? DAL_OK : dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld picks", (long long)n);
    if (st == DAL_OK)
        st = take_weights(d, spec->weights, err);
    if (st == DAL_OK)
        st = factor_init(host, spec, given, d->picks, &d->of[0], err);
    if (st == DAL_OK && less)
        st = factor_init(host, spec, less, d->picks, &d->of[1], err);
    if (st == DAL_OK)
        *out = &d->f;
    else
        determinant_destroy(&d->f);
    return st;
}
