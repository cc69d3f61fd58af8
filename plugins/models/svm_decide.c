/* What a support vector classifier says of samples. */
#include "svm_machine.h"

#include <dal/dense.h>
#include <dal/linalg.h>

#include <math.h>

#define BLOCK 64 /* samples at a time; all are multiplied, so that what a sample gives depends on it alone */
#define TILE 256 /* support vectors at a time */

void svm_machine_forget(svm_machine *m)
{
    const dal_host *h = m->host;
    h->free(h, m->seen);
    h->free(h, m->owner);
    h->free(h, m->pairs);
    h->free(h, m->coef);
    h->free(h, m->squares);
    h->free(h, m->x);
    h->free(h, m->columns);
    h->free(h, m->column_at);
    h->free(h, m->row);
    *m = (svm_machine){.host = h, .c = m->c, .d = m->d, .sparse = m->sparse};
}

dal_status svm_machine_measure(svm_machine *m, dal_error *err)
{
    m->squares = dal_array(m->host, m->l, sizeof *m->squares);
    if (!m->squares)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld support vectors", (long long)m->l);
    for (int64_t s = 0; s < m->l; s++)
        m->squares[s] = m->sparse ? 0 : dal_dot(m->x + s * m->d, m->x + s * m->d, m->d);
    for (int64_t k = 0; m->sparse && k < m->column_at[m->n_columns]; k++)
        m->squares[m->row[k]] += (double)m->x[k] * (double)m->x[k];
    return DAL_OK;
}

static double kernel_of(const svm_kernel *k, double dot, double square, double other)
{
    if (k->kind == SVM_LINEAR)
        return dot;
    if (k->kind == SVM_RBF)
        return exp(-k->gamma * fmax(0, square + other - 2 * dot));
    double power = 1, base = k->gamma * dot + k->coef0;
    for (int64_t e = k->degree; e > 0; e >>= 1, base *= base)
        power *= e & 1 ? base : 1;
    return power;
}

/* Support vectors first..first+n-1 add what they say of one sample, dots [n] being their products with it. */
static void add(const svm_machine *m, int64_t first, int64_t n, const double *dots, double square, double *out)
{
    const int64_t k = m->n_seen;
    for (int64_t s = first; s < first + n; s++) {
        const double value = kernel_of(&m->kernel, dots[s - first], square, m->squares[s]),
            *coef = m->coef + s * (k - 1);
        const int64_t own = m->owner[s];
        for (int64_t j = 0; j < own; j++)
            out[svm_pair(k, j, own)] += coef[j] * value;
        for (int64_t j = own + 1; j < k; j++)
            out[svm_pair(k, own, j)] += coef[j - 1] * value;
    }
}

/* ---- dense samples ---------------------------------------------------------------------------- */

typedef struct scratch {
    float *read;                      /* [BLOCK, d] */
    double *x, *vectors, *dots;       /* [BLOCK, d], [TILE, d], [BLOCK, TILE] */
    double squares[BLOCK];
} scratch;

static dal_status decide_block(const svm_machine *m, scratch *s, int64_t n, double *out)
{
    dal_status st = DAL_OK;
    const int64_t d = m->d, pairs = svm_n_pairs(m->n_seen);
    for (int64_t i = 0; i < BLOCK * d; i++)
        s->x[i] = (double)s->read[i];
    for (int64_t i = 0; i < n; i++)
        s->squares[i] = dal_dot(s->read + i * d, s->read + i * d, d);
    for (int64_t first = 0; st == DAL_OK && first < m->l; first += TILE) {
        const int64_t rows = m->l - first < TILE ? m->l - first : TILE;
        for (int64_t i = 0; i < rows * d; i++)
            s->vectors[i] = (double)m->x[first * d + i];
        st = dal_dgemm_nt(BLOCK, rows, d, 1, s->x, d, s->vectors, d, 0, s->dots, TILE);
        for (int64_t i = 0; i < n; i++)
            add(m, first, rows, s->dots + i * TILE, s->squares[i], out + i * pairs);
    }
    return st;
}

static dal_status decide_dense(const svm_machine *m, const dal_batch *x, double *out, dal_error *err)
{
    const dal_host *h = m->host;
    const int64_t d = m->d, pairs = svm_n_pairs(m->n_seen);
    scratch s = {.read = dal_array(h, BLOCK * d, sizeof *s.read), .x = dal_array(h, BLOCK * d, sizeof *s.x),
                 .vectors = dal_array(h, TILE * d, sizeof *s.vectors),
                 .dots = dal_array(h, BLOCK * TILE, sizeof *s.dots)};
    dal_status st = s.read && s.x && s.vectors && s.dots ? DAL_OK
        : dal_fail(err, DAL_E_NOMEM, "", "no memory for kernels");
    for (int64_t first = 0; st == DAL_OK && first < x->n; first += BLOCK) {
        const int64_t n = x->n - first < BLOCK ? x->n - first : BLOCK;
        memset(s.read, 0, (size_t)(BLOCK * d) * sizeof *s.read);
        dal_dense_read(x, first, n, s.read);
        if ((st = decide_block(m, &s, n, out + first * pairs)) != DAL_OK)
            dal_fail(err, st, "", "a product of %lld samples failed", (long long)n);
    }
    h->free(h, s.read);
    h->free(h, s.x);
    h->free(h, s.vectors);
    h->free(h, s.dots);
    return st;
}

/* ---- sparse samples --------------------------------------------------------------------------- */

/* The place of a column among those of the support vectors, or -1. */
static int64_t find_column(const svm_machine *m, int32_t column)
{
    int64_t low = 0, high = m->n_columns;
    while (low < high) {
        const int64_t middle = low + (high - low) / 2;
        if (m->columns[middle] < column)
            low = middle + 1;
        else
            high = middle;
    }
    return low < m->n_columns && m->columns[low] == column ? low : -1;
}

static dal_status decide_sparse(const svm_machine *m, const dal_batch *x, double *out, dal_error *err)
{
    const int64_t pairs = svm_n_pairs(m->n_seen);
    double *dots = dal_array(m->host, m->l, sizeof *dots);
    if (!dots)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for kernels");
    for (int64_t i = 0; i < x->n; i++) {
        double square = 0;
        memset(dots, 0, (size_t)m->l * sizeof *dots);
        for (int64_t k = x->offsets[i]; k < x->offsets[i + 1]; k++) {
            const double v = (double)((const float *)x->data)[k];
            const int64_t at = find_column(m, x->indices[k]);
            square += v * v;
            for (int64_t p = at < 0 ? 0 : m->column_at[at]; at >= 0 && p < m->column_at[at + 1]; p++)
                dots[m->row[p]] += v * (double)m->x[p];
        }
        add(m, 0, m->l, dots, square, out + i * pairs);
    }
    m->host->free(m->host, dots);
    return DAL_OK;
}

dal_status svm_machine_decide(const svm_machine *m, const dal_batch *x, double *out, dal_error *err)
{
    const int64_t pairs = svm_n_pairs(m->n_seen);
    for (int64_t i = 0; i < x->n; i++)
        for (int64_t p = 0; p < pairs; p++)
            out[i * pairs + p] = -m->pairs[p];
    return m->sparse ? decide_sparse(m, x, out, err) : decide_dense(m, x, out, err);
}
