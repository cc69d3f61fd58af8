#include "nnls.h"

#include <math.h>

int nnls_take(nnls *p, const dal_host *host, int64_t room)
{
    int64_t square;
    *p = (nnls){.room = room};
    if (!dal_size_mul(room, room, &square))
        return 0;
    p->k = dal_array(host, square, sizeof *p->k);
    p->l = dal_array(host, square, sizeof *p->l);
    p->q = dal_array(host, room, sizeof *p->q);
    p->w = dal_array(host, room, sizeof *p->w);
    p->s = dal_array(host, room, sizeof *p->s);
    p->passive = dal_array(host, room, sizeof *p->passive);
    return p->k && p->l && p->q && p->w && p->s && p->passive;
}

void nnls_drop(nnls *p, const dal_host *host)
{
    void *const all[] = {p->k, p->l, p->q, p->w, p->s, p->passive};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        host->free(host, all[i]);
}

/* L gets a row for unknown j; 0 when it adds nothing that the others do not have. */
static int grow_factor(nnls *p, int64_t j)
{
    const int64_t m = p->n_passive;
    double *row = p->l + m * p->room, rest = p->k[j * p->room + j];
    for (int64_t a = 0; a < m; a++) {
        double sum = p->k[j * p->room + p->passive[a]];
        for (int64_t b = 0; b < a; b++)
            sum -= row[b] * p->l[a * p->room + b];
        row[a] = sum / p->l[a * p->room + a];
        rest -= row[a] * row[a];
    }
    if (!(rest > 1e-13 * p->k[j * p->room + j]))
        return 0;
    row[m] = sqrt(rest);
    p->passive[p->n_passive++] = j;
    return 1;
}

/* s [n_passive]: the minimum over the passive, of any sign. */
static void solve_passive(nnls *p)
{
    for (int64_t a = 0; a < p->n_passive; a++) {
        p->s[a] = p->q[p->passive[a]];
        for (int64_t b = 0; b < a; b++)
            p->s[a] -= p->l[a * p->room + b] * p->s[b];
        p->s[a] /= p->l[a * p->room + a];
    }
    for (int64_t a = p->n_passive - 1; a >= 0; a--) {
        for (int64_t b = a + 1; b < p->n_passive; b++)
            p->s[a] -= p->l[b * p->room + a] * p->s[b];
        p->s[a] /= p->l[a * p->room + a];
    }
}

/* How far unknown a may go towards s, of the whole way: no further than to 0. */
static double way(const nnls *p, int64_t a)
{
    const double w = p->w[p->passive[a]];
    return p->s[a] > 0 ? 1 : w > 0 ? w / (w - p->s[a]) : 0;
}

/* From w towards s as far as all stay positive; what becomes 0 is passive no more. 0: s was reached. */
static int walk(nnls *p)
{
    double step = 1;
    int64_t n = 0;
    int stopped = 0;
    for (int64_t a = 0; a < p->n_passive; a++) {
        step = fmin(step, way(p, a));
        stopped |= !(p->s[a] > 0);
    }
    for (int64_t a = 0; a < p->n_passive; a++) {
        double *w = &p->w[p->passive[a]];
        const int ends = !(p->s[a] > 0) && way(p, a) <= step;
        *w = ends ? 0 : *w + step * (p->s[a] - *w);
        if (!ends)
            p->passive[n++] = p->passive[a];
    }
    if (stopped) { /* the factor anew, of those that are left: grow_factor writes where this has read */
        p->n_passive = 0;
        for (int64_t a = 0; a < n; a++)
            if (!grow_factor(p, p->passive[a]))
                p->w[p->passive[a]] = 0;
    }
    return stopped;
}

/* The unknown of weight 0 whose growth lowers the sum most, or -1. */
static int64_t steepest(const nnls *p)
{
    int64_t best = -1;
    double most = 0;
    for (int64_t j = 0; j < p->n; j++) {
        double slope = p->q[j], scale = fabs(p->q[j]);
        for (int64_t a = 0; p->w[j] <= 0 && a < p->n_passive; a++) {
            slope -= p->k[j * p->room + p->passive[a]] * p->w[p->passive[a]];
            scale += fabs(p->k[j * p->room + p->passive[a]] * p->w[p->passive[a]]);
        }
        if (p->w[j] <= 0 && slope > 1e-12 * scale && slope > most) {
            most = slope;
            best = j;
        }
    }
    return best;
}

void nnls_minimise(nnls *p)
{
    int64_t j = p->n - 1;
    for (int64_t turn = 0; j >= 0 && turn < 3 * p->n && grow_factor(p, j); turn++) {
        do
            solve_passive(p);
        while (walk(p));
        j = steepest(p);
    }
}
