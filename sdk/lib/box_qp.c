#include <dal/box_qp.h>

#include "clones.h"

#include <math.h>

#define TASK 64 /* rows of K a task */
#define COLUMNS 512 /* of K a task, where few components are not 0 */
#define BISECTIONS 200
#define WORTH_THREADS 1000 /* rows; waking a thread takes longer than the product of fewer */

static double weight(const double *w, int64_t i)
{
    return w ? w[i] : 1;
}

static double clip(double x)
{
    return x < 0 ? 0 : x > 1 ? 1 : x;
}

/* sum_i w_i clip(z_i - shift w_i): falls as shift grows. */
static double total_at(int64_t n, const double *z, const double *w, double shift)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += weight(w, i) * clip(z[i] - shift * weight(w, i));
    return sum;
}

/* The shift itself, once it is known which components it leaves between 0 and 1. */
static double solve_shift(int64_t n, const double *z, const double *w, double total, double shift)
{
    double fixed = 0, wz = 0, ww = 0;
    for (int64_t i = 0; i < n; i++) {
        const double x = z[i] - shift * weight(w, i);
        if (x >= 1) {
            fixed += weight(w, i);
        } else if (x > 0) {
            wz += weight(w, i) * z[i];
            ww += weight(w, i) * weight(w, i);
        }
    }
    return ww > 0 ? (wz + fixed - total) / ww : shift;
}

void dal_box_project(int64_t n, const double *z, const double *w, double total, double *x)
{
    double low = -1, high = 1;
    while (total_at(n, z, w, low) < total && low > -1e300)
        low *= 2;
    while (total_at(n, z, w, high) > total && high < 1e300)
        high *= 2;
    for (int k = 0; k < BISECTIONS; k++) {
        const double middle = low + (high - low) / 2;
        if (middle <= low || middle >= high)
            break;
        if (total_at(n, z, w, middle) >= total)
            low = middle;
        else
            high = middle;
    }
    const double shift = solve_shift(n, z, w, total, low);
    for (int64_t i = 0; i < n; i++)
        x[i] = clip(z[i] - shift * weight(w, i));
}

/* ---- the program ------------------------------------------------------------------------------ */

typedef struct solver {
    const dal_host *host;
    const dal_box_qp_problem *p;
    double *x, *kx;       /* the iterate and s K x */
    double *old, *kold;   /* the one before */
    double *y, *ky;       /* the point extrapolated to */
    double *next, *knext; /* the candidate for the next iterate */
    double step;          /* 1 / the curvature believed in */
    int64_t *used;        /* [n] components that are not 0 */
} solver;

DAL_CLONES static double dot(const double *a, const double *b, int64_t n)
{
    double lane[8] = {0};
    int64_t i = 0;
    for (; i + 8 <= n; i += 8)
        for (int l = 0; l < 8; l++)
            lane[l] += a[i + l] * b[i + l];
    for (int l = 0; i < n; i++, l++)
        lane[l] += a[i] * b[i];
    return ((lane[0] + lane[4]) + (lane[1] + lane[5])) + ((lane[2] + lane[6]) + (lane[3] + lane[7]));
}

typedef struct product_job {
    const dal_box_qp_problem *p;
    const double *x;
    double *out;
    const int64_t *used; /* [n_used] */
    int64_t n_used;
} product_job;

static dal_status product_task(void *ctx, int64_t t)
{
    const product_job *j = ctx;
    const int64_t end = (t + 1) * TASK < j->p->n ? (t + 1) * TASK : j->p->n;
    for (int64_t i = t * TASK; i < end; i++)
        j->out[i] = j->p->scale * dot(j->p->k + i * j->p->ld, j->x, j->p->n);
    return DAL_OK;
}

DAL_CLONES static void add_row(double *out, const double *row, double x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        out[i] += x * row[i];
}

/* The same from the rows of what is used, K being symmetric: a chosen batch is a small part of the pool, and K is
 * read from memory in every step. */
static dal_status sparse_task(void *ctx, int64_t t)
{
    const product_job *j = ctx;
    const int64_t first = t * COLUMNS, left = j->p->n - first, n = left < COLUMNS ? left : COLUMNS;
    double *out = j->out + first;
    memset(out, 0, (size_t)n * sizeof *out);
    for (int64_t k = 0; k < j->n_used; k++)
        add_row(out, j->p->k + j->used[k] * j->p->ld + first, j->x[j->used[k]], n);
    for (int64_t i = 0; i < n; i++)
        out[i] *= j->p->scale;
    return DAL_OK;
}

/* s K x */
static dal_status product(const solver *s, const double *x, double *out)
{
    product_job j = {s->p, x, out, s->used, 0};
    if (s->host->cancelled(s->host))
        return DAL_E_CANCELLED;
    for (int64_t i = 0; i < s->p->n; i++)
        if (x[i] < 0 || x[i] > 0)
            s->used[j.n_used++] = i;
    const int sparse = j.n_used < s->p->n / 4;
    const int64_t size = sparse ? COLUMNS : TASK, tasks = (s->p->n + size - 1) / size;
    if (s->p->n >= WORTH_THREADS)
        return s->host->parallel_for(s->host, tasks, sparse ? sparse_task : product_task, &j);
    for (int64_t t = 0; t < tasks; t++)
        (sparse ? sparse_task : product_task)(&j, t);
    return DAL_OK;
}

/* A first belief: the curvature along (1, ..., 1), which is the largest there is for a kernel, or less. */
static double first_step(const solver *s)
{
    double sum = 0, diagonal = 0;
    for (int64_t i = 0; i < s->p->n; i++) {
        diagonal = fmax(diagonal, s->p->k[i * s->p->ld + i]);
        sum += s->p->k[i]; /* of the first row */
    }
    const double curvature = s->p->scale * fmax(diagonal, fabs(sum) / 64);
    return curvature > 0 ? 1 / curvature : 1;
}

/* next = the projected gradient step from y, shortened until the parabola above y really is above. */
static dal_status descend(solver *s)
{
    const int64_t n = s->p->n;
    for (;;) {
        double length = 0, curvature = 0;
        for (int64_t i = 0; i < n; i++)
            s->next[i] = s->y[i] - s->step * (s->ky[i] + s->p->q[i]);
        dal_box_project(n, s->next, s->p->w, s->p->total, s->next);
        const dal_status st = product(s, s->next, s->knext);
        if (st != DAL_OK)
            return st;
        for (int64_t i = 0; i < n; i++) {
            const double d = s->next[i] - s->y[i];
            length += d * d;
            curvature += d * (s->knext[i] - s->ky[i]);
        }
        if (curvature * s->step <= length * (1 + 1e-9) + 1e-30)
            return DAL_OK;
        s->step /= 2;
    }
}

/* How far a whole step from x would move it. */
static double residual_of(const solver *s, double *room)
{
    const int64_t n = s->p->n;
    double largest = 0;
    for (int64_t i = 0; i < n; i++)
        room[i] = s->x[i] - s->step * (s->kx[i] + s->p->q[i]);
    dal_box_project(n, room, s->p->w, s->p->total, room);
    for (int64_t i = 0; i < n; i++)
        largest = fmax(largest, fabs(room[i] - s->x[i]));
    return largest;
}

static void swap(double **a, double **b)
{
    double *t = *a;
    *a = *b;
    *b = t;
}

static dal_status iterate(solver *s, double *residual)
{
    const int64_t n = s->p->n;
    double momentum = 1;
    dal_status st = product(s, s->x, s->kx);
    if (st != DAL_OK)
        return st;
    memcpy(s->y, s->x, (size_t)n * sizeof *s->y);
    memcpy(s->ky, s->kx, (size_t)n * sizeof *s->ky);
    for (int64_t it = 0; it < s->p->max_iterations; it++) {
        double turn = 0;
        st = descend(s);
        if (st != DAL_OK)
            return st;
        swap(&s->old, &s->x);
        swap(&s->kold, &s->kx);
        swap(&s->x, &s->next);
        swap(&s->kx, &s->knext);
        for (int64_t i = 0; i < n; i++)
            turn += (s->y[i] - s->x[i]) * (s->x[i] - s->old[i]);
        const double next = turn > 0 ? 1 : (1 + sqrt(1 + 4 * momentum * momentum)) / 2;
        const double beta = turn > 0 ? 0 : (momentum - 1) / next;
        momentum = next;
        *residual = residual_of(s, s->y);
        if (*residual <= s->p->tolerance)
            break;
        for (int64_t i = 0; i < n; i++) {
            s->y[i] = s->x[i] + beta * (s->x[i] - s->old[i]);
            s->ky[i] = s->kx[i] + beta * (s->kx[i] - s->kold[i]);
        }
    }
    return DAL_OK;
}

static dal_status check(const dal_box_qp_problem *p, dal_error *err)
{
    double most = 0;
    for (int64_t i = 0; i < p->n; i++)
        most += weight(p->w, i);
    if (!(p->total >= 0 && p->total <= most * (1 + 1e-12)))
        return dal_fail(err, DAL_E_INVALID, "", "no point of the box has a total of %g; at most %g", p->total,
                        most);
    return DAL_OK;
}

dal_status dal_box_qp(const dal_host *host, const dal_box_qp_problem *problem, double *x, double *residual,
                      dal_error *err)
{
    const int64_t n = problem->n;
    solver s = {.host = host, .p = problem};
    double *room[8] = {0};
    dal_status st = check(problem, err);
    *residual = 0;
    if (st != DAL_OK || n == 0)
        return st;
    for (int i = 0; i < 8 && st == DAL_OK; i++)
        if (!(room[i] = dal_array(host, n, sizeof **room)))
            st = dal_fail(err, DAL_E_NOMEM, "", "no memory for a program of %lld variables", (long long)n);
    s.used = dal_array(host, n, sizeof *s.used);
    if (st == DAL_OK && !s.used)
        st = dal_fail(err, DAL_E_NOMEM, "", "no memory for a program of %lld variables", (long long)n);
    if (st == DAL_OK) {
        s.x = room[0], s.kx = room[1], s.old = room[2], s.kold = room[3];
        s.y = room[4], s.ky = room[5], s.next = room[6], s.knext = room[7];
        s.step = first_step(&s);
        dal_box_project(n, x, problem->w, problem->total, s.x);
        st = iterate(&s, residual);
        memcpy(x, s.x, (size_t)n * sizeof *x);
        if (st == DAL_E_CANCELLED)
            dal_fail(err, st, "", "interrupted");
    }
    for (int i = 0; i < 8; i++)
        host->free(host, room[i]);
    host->free(host, s.used);
    return st;
}
