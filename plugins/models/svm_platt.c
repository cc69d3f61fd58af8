/* From decisions to probabilities. */
#include "svm_machine.h"

#include <math.h>

/* ---- one pair: Platt's sigmoid ---------------------------------------------------------------- */

/* 1 / (1 + exp(u)) without overflow. */
static double falling(double u)
{
    return u >= 0 ? exp(-u) / (1 + exp(-u)) : 1 / (1 + exp(u));
}

double svm_platt_probability(double decision, double a, double b)
{
    return falling(a * decision + b);
}

typedef struct sigmoid {
    const double *f;
    const unsigned char *y;
    int64_t n;
    double high, low; /* the targets of the first class and of the second: the prior's samples are added */
} sigmoid;

/* sum -(t log p + (1 - t) log(1 - p)), p = 1 / (1 + exp(a f + b)), without a difference of large numbers. */
static double loss_of(const sigmoid *s, double a, double b)
{
    double sum = 0;
    for (int64_t i = 0; i < s->n; i++) {
        const double u = a * s->f[i] + b, t = s->y[i] ? s->high : s->low;
        sum += u >= 0 ? t * u + log1p(exp(-u)) : (t - 1) * u + log1p(exp(u));
    }
    return sum;
}

/* Lin, Lin & Weng, "A note on Platt's probabilistic outputs", Machine Learning 2007: Newton's method, the Hessian with
 * a ridge, steps halved until the loss falls by enough. */
void svm_platt_fit(const double *decision, const unsigned char *y, int64_t n, double *a, double *b)
{
    double first = 0;
    for (int64_t i = 0; i < n; i++)
        first += y[i] != 0;
    const double second = (double)n - first;
    const sigmoid s = {decision, y, n, (first + 1) / (first + 2), 1 / (second + 2)};
    *a = 0;
    *b = log((second + 1) / (first + 1));
    double loss = loss_of(&s, *a, *b);
    for (int step = 0; step < 100; step++) {
        double haa = 1e-12, hbb = 1e-12, hab = 0, ga = 0, gb = 0;
        for (int64_t i = 0; i < n; i++) {
            const double f = decision[i], p = falling(*a * f + *b), w = p * (1 - p), r = (y[i] ? s.high : s.low) - p;
            haa += f * f * w;
            hbb += w;
            hab += f * w;
            ga += f * r;
            gb += r;
        }
        if (fabs(ga) < 1e-5 && fabs(gb) < 1e-5)
            return;
        const double det = haa * hbb - hab * hab, da = -(hbb * ga - hab * gb) / det, db = -(haa * gb - hab * ga) / det;
        const double slope = ga * da + gb * db;
        double size = 1, next = INFINITY;
        for (; size >= 1e-10; size /= 2) {
            next = loss_of(&s, *a + size * da, *b + size * db);
            if (next < loss + 1e-4 * size * slope)
                break;
        }
        if (size < 1e-10) /* as good as it gets */
            return;
        *a += size * da;
        *b += size * db;
        loss = next;
    }
}

/* ---- many: coupling --------------------------------------------------------------------------- */

/* Wu, Lin & Weng, "Probability estimates for multi-class classification by pairwise coupling", JMLR 2004, the second
 * method: minimise sum_ij (r_ji p_i - r_ij p_j)^2 = 2 p' Q p over sum p = 1, Q_ii = sum_j r_ji^2, Q_ij = -r_ji r_ij; at
 * its end all (Q p)_i are p' Q p, which each turn enforces for one i after the other. */
void svm_platt_couple(const double *r, int64_t k, double *p, double *room)
{
    double *q = room, *qp = room + k * k;
    for (int64_t i = 0; i < k; i++) {
        p[i] = 1 / (double)k;
        q[i * k + i] = 0;
        for (int64_t j = 0; j < k; j++)
            if (j != i) {
                q[i * k + i] += r[j * k + i] * r[j * k + i];
                q[i * k + j] = -r[j * k + i] * r[i * k + j];
            }
    }
    for (int turn = 0; turn < 1000; turn++) {
        double all = 0, worst = 0;
        for (int64_t i = 0; i < k; i++) {
            qp[i] = 0;
            for (int64_t j = 0; j < k; j++)
                qp[i] += q[i * k + j] * p[j];
            all += p[i] * qp[i];
        }
        for (int64_t i = 0; i < k; i++)
            worst = fmax(worst, fabs(qp[i] - all));
        if (worst < 1e-7 / (double)k)
            return;
        for (int64_t i = 0; i < k; i++) {
            const double more = (all - qp[i]) / q[i * k + i], sum = 1 + more;
            p[i] += more; /* and all divided by their new sum */
            all = (all + more * (more * q[i * k + i] + 2 * qp[i])) / (sum * sum);
            for (int64_t j = 0; j < k; j++) {
                qp[j] = (qp[j] + more * q[i * k + j]) / sum;
                p[j] /= sum;
            }
        }
    }
}
