#include <dal/mc.h>

#include "clones.h"
#include "softmax.h"

#include <math.h>

#define ROOM (1 << 20) /* floats of softmaxed passes at once: 4 MB */
#define LANES 8

/* A few rows of all passes, as probabilities. */
typedef struct rows_of_passes {
    const softmax_kernels *kernels;
    const dal_tensor3 *tensor;
    uint32_t kind;
    int64_t room;     /* rows there is scratch for, at most TILE */
    int64_t end;      /* of the rows asked for */
    int64_t first, n; /* which of them */
    const float *p;   /* pass k, row r, class j: p[k * pass + r * c + j] */
    int64_t pass;
    float *softmaxed; /* [passes, room, c], for logits */
    double *mean;     /* [room, c] */
    float *rounded;   /* [room, c] for a statistic's own use */
    int32_t *votes;   /* [c], zero between rows */
    int64_t *ballot;  /* [passes] the class each votes for */
    double bad[TILE]; /* 0, or NaN for a row nothing can be said of */
} rows_of_passes;

/* One number for each of the n rows. */
typedef void statistic(rows_of_passes *w, double *out);

/* ---- probabilities and their mean ------------------------------------------------------------- */

static void softmax_passes(rows_of_passes *w)
{
    const dal_tensor3 *t = w->tensor;
    const int64_t c = t->cols, rest = t->rows - w->first - w->n;
    for (int64_t k = 0; k < t->passes; k++) {
        const float *z = t->data + (k * t->rows + w->first) * c;
        const tile rows = {z, w->n, c, c, rest >= TILE ? z + w->n * c : z};
        w->kernels->softmax(&rows, w->softmaxed + k * w->pass);
    }
}

DAL_CLONES static void add_row(const float *x, int64_t n, double *sum)
{
    for (int64_t i = 0; i < n; i++)
        sum[i] += (double)x[i];
}

DAL_CLONES static void divide_row(double *x, int64_t n, double by)
{
    for (int64_t i = 0; i < n; i++)
        x[i] /= by;
}

DAL_CLONES static double sum_row(const double *x, int64_t n)
{
    double lane[LANES] = {0}, sum = 0;
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int l = 0; l < LANES; l++)
            lane[l] += x[i + l];
    for (; i < n; i++)
        sum += x[i];
    for (int l = 0; l < LANES; l++)
        sum += lane[l];
    return sum;
}

static void mean_of_passes(rows_of_passes *w)
{
    const int64_t c = w->tensor->cols, all = w->n * c;
    memset(w->mean, 0, (size_t)all * sizeof *w->mean);
    for (int64_t k = 0; k < w->tensor->passes; k++)
        add_row(w->p + k * w->pass, all, w->mean);
    divide_row(w->mean, all, (double)w->tensor->passes);
    for (int64_t r = 0; r < w->n; r++)
        w->bad[r] = 0 * sum_row(w->mean + r * c, c); /* NaN of NaN and of infinities */
}

static void load_rows(rows_of_passes *w, int64_t first)
{
    const dal_tensor3 *t = w->tensor;
    w->first = first;
    w->n = w->end - first < w->room ? w->end - first : w->room;
    if (w->kind == DAL_LOGITS) {
        w->pass = w->room * t->cols;
        w->p = w->softmaxed;
        softmax_passes(w);
    } else {
        w->pass = t->rows * t->cols;
        w->p = t->data + first * t->cols;
    }
    mean_of_passes(w);
}

/* ---- of the mean ------------------------------------------------------------------------------ */

/* The top class of p (ties: the lowest) and what the others sum to. */
static int64_t top_class(const double *p, int64_t c, double *rest)
{
    int64_t top = 0;
    for (int64_t j = 1; j < c; j++)
        top = p[j] > p[top] ? j : top;
    *rest = sum_row(p, top) + sum_row(p + top + 1, c - top - 1);
    return top;
}

static void least_confidence(rows_of_passes *w, double *out)
{
    for (int64_t r = 0; r < w->n; r++) {
        double rest;
        top_class(w->mean + r * w->tensor->cols, w->tensor->cols, &rest);
        out[r] = 1 - rest;
    }
}

static void margin(rows_of_passes *w, double *out)
{
    const int64_t c = w->tensor->cols;
    for (int64_t r = 0; r < w->n; r++) {
        const double *p = w->mean + r * c;
        double rest, second = 0;
        const int64_t top = top_class(p, c, &rest);
        for (int64_t j = 0; j < c; j++)
            second = j != top && p[j] > second ? p[j] : second;
        out[r] = 1 - rest - second;
    }
}

/* The top class apart, where rounding 1 - rest to a float would lose what makes the entropy. */
static void entropy(rows_of_passes *w, double *out)
{
    const int64_t c = w->tensor->cols;
    double rest[TILE], others[TILE];
    for (int64_t i = 0; i < w->n * c; i++)
        w->rounded[i] = (float)w->mean[i];
    for (int64_t r = 0; r < w->n; r++)
        w->rounded[r * c + top_class(w->mean + r * c, c, &rest[r])] = 0;
    const tile rows = {w->rounded, w->n, c, c, w->rounded};
    w->kernels->sum_p_ln_p(&rows, others);
    for (int64_t r = 0; r < w->n; r++)
        out[r] = 0 - others[r] - (1 - rest[r]) * log1p(-rest[r]);
}

/* ---- of the passes about the mean ------------------------------------------------------------- */

static void bald(rows_of_passes *w, double *out)
{
    const int64_t c = w->tensor->cols, passes = w->tensor->passes;
    for (int64_t i = 0; i < w->n * c; i++)
        w->rounded[i] = (float)w->mean[i];
    for (int64_t r = 0; r < w->n; r++)
        out[r] = 0;
    const tile mean = {w->rounded, w->n, c, c, w->rounded};
    for (int64_t k = 0; k < passes; k++) {
        double divergence[TILE];
        const tile rows = {w->p + k * w->pass, w->n, c, c, w->p};
        w->kernels->sum_divergence(&rows, &mean, divergence);
        for (int64_t r = 0; r < w->n; r++)
            out[r] += divergence[r] / (double)passes;
    }
}

/* The lowest class of the largest value. */
DAL_CLONES static int64_t vote_of(const float *x, int64_t c)
{
    float lane[32];
    float max = x[0];
    int64_t j = 0;
    for (int l = 0; l < 32; l++)
        lane[l] = x[0];
    for (; j + 32 <= c; j += 32)
        for (int l = 0; l < 32; l++)
            lane[l] = x[j + l] > lane[l] ? x[j + l] : lane[l];
    for (; j < c; j++)
        max = x[j] > max ? x[j] : max;
    for (int l = 0; l < 32; l++)
        max = lane[l] > max ? lane[l] : max;
    for (j = 0; j < c && x[j] < max; j++)
        continue;
    return j < c ? j : 0; /* NaN everywhere: the row is bad anyway */
}

static void variation_ratios(rows_of_passes *w, double *out)
{
    const dal_tensor3 *t = w->tensor;
    const int64_t c = t->cols;
    entropy(w, out);
    for (int64_t r = 0; r < w->n; r++) {
        const float *x = t->data + (w->first + r) * c; /* a softmax keeps the order */
        int32_t most = 0;
        for (int64_t k = 0; k < t->passes; k++) {
            w->ballot[k] = vote_of(x + k * t->rows * c, c);
            const int32_t n = ++w->votes[w->ballot[k]];
            most = n > most ? n : most;
        }
        for (int64_t k = 0; k < t->passes; k++)
            w->votes[w->ballot[k]] = 0;
        const double tie = c > 1 ? 1e-6 * out[r] / log((double)c) : 0;
        out[r] = ((double)(t->passes - most) + tie) / (double)t->passes;
    }
}

DAL_CLONES static void add_squares(const float *x, const double *mean, int64_t n, double *sum)
{
    for (int64_t i = 0; i < n; i++) {
        const double d = (double)x[i] - mean[i];
        sum[i] += d * d;
    }
}

#define STRIP 64 /* classes whose squares are summed together */

static void mean_std(rows_of_passes *w, double *out)
{
    const int64_t c = w->tensor->cols, passes = w->tensor->passes;
    for (int64_t r = 0; r < w->n; r++) {
        double sum = 0;
        for (int64_t first = 0; first < c; first += STRIP) {
            const int64_t at = r * c + first, n = c - first < STRIP ? c - first : STRIP;
            double squares[STRIP] = {0};
            for (int64_t k = 0; k < passes; k++)
                add_squares(w->p + k * w->pass + at, w->mean + at, n, squares);
            for (int64_t j = 0; j < n; j++)
                sum += sqrt(squares[j] / (double)passes);
        }
        out[r] = sum / (double)c;
    }
}

/* ---- a block ---------------------------------------------------------------------------------- */

/* n elements for each class, or for each pass and class. */
static void *scratch(const dal_host *host, int64_t n, int64_t passes, int64_t c, size_t size)
{
    int64_t all;
    return dal_size_mul(n, passes, &all) && dal_size_mul(all, c, &all) ? dal_array(host, all, size) : NULL;
}

static dal_status take_scratch(const dal_host *host, rows_of_passes *w, dal_error *err)
{
    const int64_t c = w->tensor->cols, passes = w->kind == DAL_LOGITS ? w->tensor->passes : 1;
    const int64_t fit = ROOM / c / (passes > 1 ? passes : 1);
    w->room = fit < 1 ? 1 : fit < TILE ? fit : TILE;
    w->softmaxed = w->kind == DAL_LOGITS ? scratch(host, w->room, passes, c, sizeof *w->softmaxed) : NULL;
    w->mean = scratch(host, w->room, 1, c, sizeof *w->mean);
    w->rounded = scratch(host, w->room, 1, c, sizeof *w->rounded);
    w->votes = dal_array(host, c, sizeof *w->votes);
    w->ballot = dal_array(host, w->tensor->passes, sizeof *w->ballot);
    if ((w->kind == DAL_LOGITS && !w->softmaxed) || !w->mean || !w->rounded || !w->votes || !w->ballot)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld passes of %lld classes", (long long)passes,
                        (long long)c);
    memset(w->votes, 0, (size_t)c * sizeof *w->votes);
    return DAL_OK;
}

static void give_scratch(const dal_host *host, rows_of_passes *w)
{
    host->free(host, w->softmaxed);
    host->free(host, w->mean);
    host->free(host, w->rounded);
    host->free(host, w->votes);
    host->free(host, w->ballot);
}

static dal_status reduce(const dal_host *host, const dal_tensor3 *t, uint32_t kind, int64_t first, int64_t n,
                         statistic *of, double *out, dal_error *err)
{
    rows_of_passes w = {.kernels = softmax_best(), .tensor = t, .kind = kind, .end = first + n};
    if (t->cols < 1 || t->passes < 1) { /* of nothing nothing can be said */
        for (int64_t i = 0; i < n; i++)
            out[i] = (double)NAN;
        return DAL_OK;
    }
    const dal_status st = take_scratch(host, &w, err);
    for (int64_t i = 0; st == DAL_OK && i < n; i += w.n) {
        load_rows(&w, first + i);
        of(&w, out + i);
        for (int64_t r = 0; r < w.n; r++)
            out[i + r] += w.bad[r];
    }
    give_scratch(host, &w);
    return st;
}

dal_status dal_mc_least_confidence(const dal_host *host, const dal_tensor3 *t, uint32_t kind, int64_t first,
                                   int64_t n, double *out, dal_error *err)
{
    return reduce(host, t, kind, first, n, least_confidence, out, err);
}

dal_status dal_mc_margin(const dal_host *host, const dal_tensor3 *t, uint32_t kind, int64_t first, int64_t n,
                         double *out, dal_error *err)
{
    return reduce(host, t, kind, first, n, margin, out, err);
}

dal_status dal_mc_entropy(const dal_host *host, const dal_tensor3 *t, uint32_t kind, int64_t first, int64_t n,
                          double *out, dal_error *err)
{
    return reduce(host, t, kind, first, n, entropy, out, err);
}

dal_status dal_mc_bald(const dal_host *host, const dal_tensor3 *t, uint32_t kind, int64_t first, int64_t n,
                       double *out, dal_error *err)
{
    return reduce(host, t, kind, first, n, bald, out, err);
}

dal_status dal_mc_variation_ratios(const dal_host *host, const dal_tensor3 *t, uint32_t kind, int64_t first,
                                   int64_t n, double *out, dal_error *err)
{
    return reduce(host, t, kind, first, n, variation_ratios, out, err);
}

dal_status dal_mc_mean_std(const dal_host *host, const dal_tensor3 *t, uint32_t kind, int64_t first, int64_t n,
                           double *out, dal_error *err)
{
    return reduce(host, t, kind, first, n, mean_std, out, err);
}

dal_status dal_mc_mean(const dal_host *host, const dal_tensor3 *t, uint32_t kind, int64_t first, int64_t n,
                       float *out, dal_error *err)
{
    const int64_t c = t->cols;
    rows_of_passes w = {.kernels = softmax_best(), .tensor = t, .kind = kind, .end = first + n};
    if (c < 1 || t->passes < 1)
        return dal_fail(err, DAL_E_INVALID, "", "%lld passes of %lld classes have no mean", (long long)t->passes,
                        (long long)c);
    const dal_status st = take_scratch(host, &w, err);
    for (int64_t i = 0; st == DAL_OK && i < n; i += w.n) {
        load_rows(&w, first + i);
        for (int64_t j = 0; j < w.n * c; j++)
            out[i * c + j] = (float)(w.mean[j] + w.bad[j / c]);
    }
    give_scratch(host, &w);
    return st;
}
