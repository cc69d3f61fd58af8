#include "joint.h"

#include "clones.h"

#include <dal/linalg.h>
#include <float.h>
#include <math.h>

#define ACROSS DAL_JOINT_ACROSS
#define LANES 8

static int64_t groups(int64_t n, int64_t size)
{
    return n / size + (n % size != 0);
}

/* a b c elements, not cleared, or NULL. */
static void *take(const dal_host *host, int64_t a, int64_t b, int64_t c, size_t size)
{
    int64_t n;
    return dal_size_mul(a, b, &n) && dal_size_mul(n, c, &n) ? dal_array(host, n, size) : NULL;
}

/* ---- one sample ------------------------------------------------------------------------------- */

typedef struct sample {
    const dal_host *host;
    const dal_tensor3 *t;
    uint32_t kind;
    float *P;  /* [passes, classes] */
    double *p; /* [classes] */
} sample;

static dal_status sample_new(const dal_host *host, const dal_tensor3 *t, uint32_t kind, sample *out,
                             dal_error *err)
{
    *out = (sample){host, t, kind, take(host, t->passes, t->cols, 1, sizeof(float)),
                    take(host, t->cols, 1, 1, sizeof(double))};
    if (out->P && out->p)
        return DAL_OK;
    return dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld passes of %lld classes", (long long)t->passes,
                    (long long)t->cols);
}

static void sample_free(sample *s)
{
    s->host->free(s->host, s->P);
    s->host->free(s->host, s->p);
}

/* P and p of a row of t; 0 when there is NaN in it. */
static int sample_load(sample *s, int64_t row)
{
    const dal_tensor3 *t = s->t;
    const int64_t c = t->cols;
    double bad = 0;
    for (int64_t k = 0; k < t->passes; k++)
        memcpy(s->P + k * c, t->data + (k * t->rows + row) * c, (size_t)c * sizeof(float));
    if (s->kind == DAL_LOGITS)
        dal_softmax(s->P, t->passes, c, c);
    memset(s->p, 0, (size_t)c * sizeof *s->p);
    for (int64_t k = 0; k < t->passes; k++)
        for (int64_t y = 0; y < c; y++) {
            if (s->P[k * c + y] < FLT_MIN)
                s->P[k * c + y] = 0;
            s->p[y] += (double)s->P[k * c + y];
        }
    for (int64_t y = 0; y < c; y++) {
        s->p[y] /= (double)t->passes;
        bad += 0 * s->p[y]; /* NaN, also of infinities */
    }
    return !isnan(bad);
}

/* ---- samples side by side --------------------------------------------------------------------- */

typedef struct pack_job {
    const dal_tensor3 *t;
    uint32_t kind;
    const int64_t *rows;
    dal_joint *out;
} pack_job;

static void pack_sample(const sample *s, float *relative, float *mean)
{
    const int64_t c = s->t->cols, passes = s->t->passes;
    for (int64_t y = 0; y < c; y++) {
        mean[y * ACROSS] = (float)s->p[y];
        for (int64_t k = 0; k < passes; k++) {
            const double u = s->p[y] > 0 ? ((double)s->P[k * c + y] - s->p[y]) / s->p[y] : 0;
            relative[(y * passes + k) * ACROSS] = (float)u;
        }
    }
}

/* A sample with NaN in it gets a mean of NaN and is found afterwards. */
static dal_status pack_task(void *ctx, int64_t b)
{
    const pack_job *j = ctx;
    const dal_joint *out = j->out;
    const int64_t per = out->classes * ACROSS, left = out->n - b * ACROSS;
    float *relative = out->relative + b * per * out->passes, *mean = out->mean + b * per;
    sample s;
    const dal_status st = sample_new(out->host, j->t, j->kind, &s, NULL);
    if (st == DAL_OK) {
        memset(relative, 0, (size_t)(per * out->passes) * sizeof *relative);
        memset(mean, 0, (size_t)per * sizeof *mean);
        for (int64_t l = 0; l < ACROSS && l < left; l++)
            if (sample_load(&s, j->rows ? j->rows[b * ACROSS + l] : b * ACROSS + l))
                pack_sample(&s, relative + l, mean + l);
            else
                mean[l] = NAN;
    }
    sample_free(&s);
    return st;
}

static dal_status find_bad(const dal_joint *j, const int64_t *rows, int64_t *bad, dal_error *err)
{
    for (int64_t i = 0; i < j->n; i++)
        if (isnan(j->mean[i / ACROSS * j->classes * ACROSS + i % ACROSS])) {
            const int64_t row = rows ? rows[i] : i;
            if (bad)
                *bad = row;
            return dal_fail(err, DAL_E_INVALID, "", "the passes hold a value that is not a number in row %lld; "
                            "did the model diverge?", (long long)row);
        }
    return DAL_OK;
}

dal_status dal_joint_pack(const dal_host *host, const dal_tensor3 *t, uint32_t kind, const int64_t *rows,
                          int64_t n, dal_joint *out, int64_t *bad, dal_error *err)
{
    const int64_t blocks = groups(n, ACROSS);
    int64_t per;
    if (bad)
        *bad = -1;
    *out = (dal_joint){.host = host, .n = n, .classes = t->cols, .passes = t->passes};
    if (t->cols < 1 || t->passes < 1)
        return dal_fail(err, DAL_E_INVALID, "", "%lld passes of %lld classes, expected some", (long long)t->passes,
                        (long long)t->cols);
    if (dal_size_mul(t->cols, ACROSS, &per)) {
        out->relative = take(host, blocks, per, t->passes, sizeof *out->relative);
        out->mean = take(host, blocks, per, 1, sizeof *out->mean);
    }
    dal_status st = out->relative && out->mean ? DAL_OK : DAL_E_NOMEM;
    if (st == DAL_OK) {
        pack_job j = {t, kind, rows, out};
        st = host->parallel_for(host, blocks, pack_task, &j);
    }
    if (st != DAL_OK)
        return dal_fail(err, st, "", "no memory for %lld passes of %lld samples", (long long)t->passes,
                        (long long)n);
    return find_bad(out, rows, bad, err);
}

void dal_joint_free(dal_joint *j)
{
    if (!j->host)
        return;
    j->host->free(j->host, j->relative);
    j->host->free(j->host, j->mean);
    *j = (dal_joint){0};
}

/* ---- events ----------------------------------------------------------------------------------- */

dal_status dal_joint_events_new(const dal_host *host, int64_t n, int64_t passes, dal_joint_events *out,
                                dal_error *err)
{
    const int64_t of_eight = groups(n, JOINT_DOWN);
    *out = (dal_joint_events){.host = host, .room = of_eight * JOINT_DOWN, .passes = passes};
    out->relative = take(host, of_eight, JOINT_DOWN, passes, sizeof *out->relative);
    out->weight = take(host, of_eight, JOINT_DOWN, 1, sizeof *out->weight);
    if (!out->relative || !out->weight)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld events in %lld passes", (long long)n,
                        (long long)passes);
    out->n = out->room;
    dal_joint_events_clear(out);
    return DAL_OK;
}

void dal_joint_events_free(dal_joint_events *e)
{
    if (!e->host)
        return;
    e->host->free(e->host, e->relative);
    e->host->free(e->host, e->weight);
    *e = (dal_joint_events){0};
}

void dal_joint_events_clear(dal_joint_events *e)
{
    const int64_t used = groups(e->n, JOINT_DOWN) * JOINT_DOWN;
    memset(e->relative, 0, (size_t)(used * e->passes) * sizeof *e->relative);
    memset(e->weight, 0, (size_t)used * sizeof *e->weight);
    e->n = 0;
}

void dal_joint_events_add(dal_joint_events *e, double weight, const double *given)
{
    float *u = e->relative + e->n / JOINT_DOWN * JOINT_DOWN * e->passes + e->n % JOINT_DOWN;
    const double passes = (double)e->passes;
    double mean = 0;
    for (int64_t k = 0; k < e->passes; k++)
        mean += given[k] / passes;
    if (weight == 0 || mean == 0 || e->n == e->room)
        return;
    for (int64_t k = 0; k < e->passes; k++)
        u[k * JOINT_DOWN] = (float)((given[k] - mean) / mean / passes);
    e->weight[e->n++] = (float)weight;
}

/* ---- information ------------------------------------------------------------------------------ */

static joint_kernel *best_kernel(void)
{
#ifdef HAVE_X86_KERNELS
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        return joint_avx512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return joint_avx2;
#endif
    return joint_plain;
}

void dal_joint_information(const dal_joint_events *e, const dal_joint *samples, int64_t block, double *out)
{
    const int64_t per = samples->classes * ACROSS;
    for (int l = 0; l < ACROSS; l++)
        out[l] = 0;
    best_kernel()(e, samples->relative + block * per * samples->passes, samples->mean + block * per,
                  samples->classes, out);
}

/* The answers to a sample. */
static void add_answers(const sample *s, double *given, dal_joint_events *e)
{
    const int64_t c = s->t->cols;
    dal_joint_events_clear(e);
    for (int64_t y = 0; y < c; y++) {
        for (int64_t k = 0; k < e->passes; k++)
            given[k] = (double)s->P[k * c + y];
        dal_joint_events_add(e, s->p[y], given);
    }
}

static double tell_all(const dal_joint_events *e, const dal_joint *samples, float *each)
{
    double total = 0;
    for (int64_t b = 0; b < groups(samples->n, ACROSS); b++) {
        double told[ACROSS];
        dal_joint_information(e, samples, b, told);
        for (int64_t l = 0; l < ACROSS && b * ACROSS + l < samples->n; l++) {
            total += told[l];
            if (each)
                each[b * ACROSS + l] = (float)told[l];
        }
    }
    return total;
}

dal_status dal_joint_rows(const dal_host *host, const dal_tensor3 *t, uint32_t kind, int64_t first, int64_t n,
                          const dal_joint *samples, double *total, float *each, dal_error *err)
{
    sample s = {.host = host};
    dal_joint_events e = {.host = host};
    double *given = dal_array(host, t->passes, sizeof *given);
    dal_status st = given ? sample_new(host, t, kind, &s, err)
                          : dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld passes", (long long)t->passes);
    if (st == DAL_OK)
        st = dal_joint_events_new(host, t->cols, t->passes, &e, err);
    for (int64_t i = 0; st == DAL_OK && i < n; i++) {
        if (host->cancelled(host)) {
            st = dal_fail(err, DAL_E_CANCELLED, "", "interrupted");
        } else if (sample_load(&s, first + i)) {
            add_answers(&s, given, &e);
            total[i] = tell_all(&e, samples, each ? each + i * samples->n : NULL);
        } else {
            total[i] = (double)NAN;
            for (int64_t x = 0; each && x < samples->n; x++)
                each[i * samples->n + x] = NAN;
        }
    }
    sample_free(&s);
    dal_joint_events_free(&e);
    host->free(host, given);
    return st;
}

/* ---- Gram matrices ---------------------------------------------------------------------------- */

DAL_CLONES static double dot(const double *x, const double *y, int64_t n)
{
    double lane[LANES] = {0}, sum = 0;
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int l = 0; l < LANES; l++)
            lane[l] += x[i + l] * y[i + l];
    for (; i < n; i++)
        lane[0] += x[i] * y[i];
    for (int l = 0; l < LANES; l++)
        sum += lane[l];
    return sum;
}

/* v [passes, classes], and w = v / p, or v itself. */
static void deviations(const sample *s, int weighted, double *v, double *w)
{
    const int64_t c = s->t->cols;
    for (int64_t k = 0; k < s->t->passes; k++)
        for (int64_t y = 0; y < c; y++) {
            v[k * c + y] = (double)s->P[k * c + y] - s->p[y];
            w[k * c + y] = !weighted ? v[k * c + y] : s->p[y] > 0 ? v[k * c + y] / s->p[y] : 0;
        }
}

static void gram(const double *v, const double *w, int64_t passes, int64_t c, int weighted, float *out)
{
    const double one = weighted ? 1 / ((double)passes * (double)passes) : 1;
    for (int64_t k = 0; k < passes; k++)
        for (int64_t l = 0; l <= k; l++)
            *out++ = (float)(dot(v + k * c, w + l * c, c) * (weighted && l < k ? 2 * one : one));
}

dal_status dal_joint_grams(const dal_host *host, const dal_tensor3 *t, uint32_t kind, const int64_t *rows,
                           int64_t first, int64_t n, int weighted, float *out, dal_error *err)
{
    const int64_t c = t->cols, passes = t->passes, width = passes * (passes + 1) / 2;
    double *v = take(host, passes, c, 1, sizeof *v), *w = take(host, passes, c, 1, sizeof *w);
    sample s = {.host = host};
    dal_status st = v && w ? sample_new(host, t, kind, &s, err)
                           : dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld passes of %lld classes",
                                      (long long)passes, (long long)c);
    for (int64_t i = 0; st == DAL_OK && i < n; i++) {
        if (sample_load(&s, rows ? rows[i] : first + i)) {
            deviations(&s, weighted, v, w);
            gram(v, w, passes, c, weighted, out + i * width);
        } else {
            for (int64_t g = 0; g < width; g++)
                out[i * width + g] = NAN;
        }
    }
    sample_free(&s);
    host->free(host, v);
    host->free(host, w);
    return st;
}
