#include "kmeans.h"

#include "bound.h"
#include "clones.h"
#include "nearest.h"

#include <limits.h>

#define CLUSTERS 8 /* moved by one task */

/* What the iteration of one start needs beside the state. */
typedef struct lloyd {
    kmeans *s;
    int64_t *members;  /* [n] rows by cluster, ascending in each */
    int64_t *begin;    /* [all + 1] where each cluster's begin */
    int64_t *many;     /* [all] samples of positive weight */
    int32_t *before;   /* [n] the assignment that the centres are the means of */
    unsigned char *stale; /* [all] clusters that are not the same samples as then */
} lloyd;

/* ---- empty clusters --------------------------------------------------------------------------- */

static void count_clusters(lloyd *l)
{
    const kmeans *s = l->s;
    memset(l->many, 0, (size_t)s->all * sizeof *l->many);
    for (int64_t i = 0; i < s->n; i++)
        l->many[s->assignment[i]] += kmeans_weight(s, i) > 0;
}

/* The sample that costs most among those that leave company behind; -1: none costs anything. */
static int64_t farthest(const lloyd *l)
{
    const kmeans *s = l->s;
    int64_t best = -1;
    double most = 0;
    for (int64_t i = 0; i < s->n; i++) {
        const double cost = kmeans_weight(s, i) * (double)s->distance[i];
        if (cost > most && l->many[s->assignment[i]] > 1) {
            most = cost;
            best = i;
        }
    }
    return best;
}

static void fill_empty(lloyd *l)
{
    kmeans *s = l->s;
    count_clusters(l);
    for (int64_t c = 0; c < s->k; c++) {
        if (l->many[c] > 0)
            continue;
        const int64_t row = farthest(l);
        if (row < 0)
            return;
        l->many[s->assignment[row]]--;
        l->many[c]++;
        s->assignment[row] = (int32_t)c;
        s->distance[row] = 0;
        kmeans_forget(s, row);
    }
}

/* ---- moving the centres ----------------------------------------------------------------------- */

/* members and begin by counting. */
static void sort_members(lloyd *l)
{
    const kmeans *s = l->s;
    memset(l->begin, 0, (size_t)(s->all + 1) * sizeof *l->begin);
    for (int64_t i = 0; i < s->n; i++)
        l->begin[s->assignment[i] + 1]++;
    for (int64_t c = 0; c < s->all; c++)
        l->begin[c + 1] += l->begin[c];
    for (int64_t i = 0; i < s->n; i++)
        l->members[l->begin[s->assignment[i]]++] = i;
    for (int64_t c = s->all; c > 0; c--)
        l->begin[c] = l->begin[c - 1];
    l->begin[0] = 0;
}

DAL_CLONES static void add_row(double *sum, const float *x, double w, int64_t d)
{
    for (int64_t k = 0; k < d; k++)
        sum[k] += w * (double)x[k];
}

/* The same samples have the same mean. */
static void find_stale(lloyd *l)
{
    const kmeans *s = l->s;
    memset(l->stale, 0, (size_t)s->all);
    for (int64_t i = 0; i < s->n; i++) {
        if (l->before[i] == s->assignment[i])
            continue;
        if (l->before[i] != KMEANS_UNKNOWN)
            l->stale[l->before[i]] = 1;
        l->stale[s->assignment[i]] = 1;
        l->before[i] = s->assignment[i];
    }
}

/* The squared move. */
static double move_centre(const lloyd *l, int64_t c, double *sum)
{
    const kmeans *s = l->s;
    float *centre = s->centres + c * s->d;
    double weight = 0, shift = 0;
    memset(sum, 0, (size_t)s->d * sizeof *sum);
    for (int64_t m = l->begin[c]; m < l->begin[c + 1]; m++) {
        const double w = kmeans_weight(s, l->members[m]);
        weight += w;
        add_row(sum, kmeans_row(s, l->members[m]), w, s->d);
    }
    for (int64_t k = 0; weight > 0 && k < s->d; k++) {
        const float to = (float)(sum[k] / weight);
        shift += ((double)to - (double)centre[k]) * ((double)to - (double)centre[k]);
        centre[k] = to;
    }
    return shift;
}

static dal_status move_task(void *ctx, int64_t t)
{
    const lloyd *l = ctx;
    const kmeans *s = l->s;
    const int64_t end = (t + 1) * CLUSTERS < s->k ? (t + 1) * CLUSTERS : s->k;
    double *sum = dal_array(s->host, s->d, sizeof *sum);
    if (!sum)
        return DAL_E_NOMEM;
    for (int64_t c = t * CLUSTERS; c < end; c++)
        l->s->shifts[c] = l->stale[c] ? move_centre(l, c, sum) : 0;
    s->host->free(s->host, sum);
    return DAL_OK;
}

static dal_status move_centres(lloyd *l, double *shift)
{
    const kmeans *s = l->s;
    find_stale(l);
    sort_members(l);
    const dal_status st = s->host->parallel_for(s->host, bound_tiles(s->k, CLUSTERS), move_task, l);
    *shift = 0;
    for (int64_t c = 0; st == DAL_OK && c < s->k; c++)
        *shift += l->s->shifts[c];
    *shift = sqrt(*shift);
    return st;
}

/* ---- one start -------------------------------------------------------------------------------- */

static dal_status iterate(lloyd *l, int64_t *iterations)
{
    kmeans *s = l->s;
    double shift = INFINITY;
    for (int64_t i = 0; i < s->n; i++) {
        s->assignment[i] = l->before[i] = KMEANS_UNKNOWN;
        kmeans_forget(s, i);
    }
    memset(s->shifts, 0, (size_t)s->all * sizeof *s->shifts);
    dal_status st = kmeans_group(s);
    if (st == DAL_OK)
        st = kmeans_assign(s);
    for (*iterations = 0; st == DAL_OK && *iterations < s->p->max_iterations && !(shift < s->p->tolerance);
         ++*iterations) {
        s->host->progress(s->host, *iterations, s->p->max_iterations, "k-means");
        fill_empty(l);
        st = move_centres(l, &shift);
        if (st == DAL_OK)
            st = kmeans_assign(s);
    }
    return st;
}

static dal_status run_start(kmeans *s, const dal_rng *stream, int64_t start, int64_t *iterations, dal_error *err)
{
    const dal_host *host = s->host;
    dal_rng r = dal_rng_at(stream, (uint64_t)start);
    lloyd l = {.s = s};
    l.members = dal_array(host, s->n, sizeof *l.members);
    l.begin = dal_array(host, s->all + 1, sizeof *l.begin);
    l.many = dal_array(host, s->all, sizeof *l.many);
    l.before = dal_array(host, s->n, sizeof *l.before);
    l.stale = dal_array(host, s->all, 1);
    dal_status st = l.members && l.begin && l.many && l.before && l.stale ? DAL_OK : DAL_E_NOMEM;
    if (st == DAL_OK)
        st = kmeans_seed(s, &r, err);
    if (st == DAL_OK)
        st = iterate(&l, iterations);
    host->free(host, l.members);
    host->free(host, l.begin);
    host->free(host, l.many);
    host->free(host, l.before);
    host->free(host, l.stale);
    return st;
}

/* ---- a sample for each centre ----------------------------------------------------------------- */

typedef struct stray_job {
    const kmeans *s;
    const float *centre;
    float *distance; /* [n] */
} stray_job;

static dal_status stray_task(void *ctx, int64_t b)
{
    const stray_job *j = ctx;
    const int64_t end = (b + 1) * KMEANS_BLOCK < j->s->n ? (b + 1) * KMEANS_BLOCK : j->s->n;
    for (int64_t i = b * KMEANS_BLOCK; i < end; i++)
        j->distance[i] = dal_squared_distance(kmeans_row(j->s, i), j->centre, j->s->d);
    return DAL_OK;
}

/* The sample nearest to centre c that is not named, by measuring all. */
static dal_status name_stray(const kmeans *s, int64_t c, float *distance, unsigned char *named, int64_t *nearest)
{
    const stray_job j = {s, s->centres + c * s->d, distance};
    const dal_status st =
        s->host->parallel_for(s->host, bound_tiles(s->n, KMEANS_BLOCK), stray_task, (void *)(uintptr_t)&j);
    for (int64_t i = 0; st == DAL_OK && i < s->n; i++)
        if (!named[i] && (nearest[c] < 0 || distance[i] < distance[nearest[c]]))
            nearest[c] = i;
    if (st == DAL_OK)
        named[nearest[c]] = 1;
    return st;
}

static dal_status name_nearest(const kmeans *s, int64_t *nearest)
{
    float *distance = dal_array(s->host, s->n, sizeof *distance);
    unsigned char *named = dal_array(s->host, s->n, 1);
    dal_status st = distance && named ? DAL_OK : DAL_E_NOMEM;
    for (int64_t c = 0; c < s->k; c++)
        nearest[c] = -1;
    for (int64_t i = 0; st == DAL_OK && i < s->n; i++) {
        const int64_t c = s->assignment[i];
        named[i] = 0;
        if (c < s->k && (nearest[c] < 0 || s->distance[i] < s->distance[nearest[c]]))
            nearest[c] = i;
    }
    for (int64_t c = 0; st == DAL_OK && c < s->k; c++)
        if (nearest[c] >= 0)
            named[nearest[c]] = 1;
    for (int64_t c = 0; st == DAL_OK && c < s->k; c++)
        if (nearest[c] < 0)
            st = name_stray(s, c, distance, named, nearest);
    s->host->free(s->host, distance);
    s->host->free(s->host, named);
    return st;
}

/* ---- putting it together ---------------------------------------------------------------------- */

static dal_status check(const dal_kmeans_problem *p, dal_error *err)
{
    const dal_matrix *x = &p->x;
    if (x->cols < 1)
        return dal_fail(err, DAL_E_INVALID, "", "features of width %lld, expected at least 1", (long long)x->cols);
    if (p->fixed.rows > 0 && p->fixed.cols != x->cols)
        return dal_fail(err, DAL_E_INVALID, "", "samples are %lld wide and fixed centres %lld", (long long)x->cols,
                        (long long)p->fixed.cols);
    if (p->k < 1 || p->k > x->rows || p->fixed.rows > INT32_MAX / 2 - p->k)
        return dal_fail(err, DAL_E_INVALID, "", "%lld clusters of %lld samples", (long long)p->k,
                        (long long)x->rows);
    if (p->starts < 1 || p->max_iterations < 0)
        return dal_fail(err, DAL_E_INVALID, "", "%lld starts of up to %lld iterations", (long long)p->starts,
                        (long long)p->max_iterations);
    for (int64_t i = 0; p->weights && i < x->rows; i++)
        if (!(p->weights[i] >= 0) || isinf(p->weights[i]))
            return dal_fail(err, DAL_E_INVALID, "", "the weight of sample %lld is %g", (long long)i,
                            p->weights[i]);
    return DAL_OK;
}

/* 0 without memory. */
static int take_state(kmeans *s)
{
    int64_t cells;
    if (!dal_size_mul(s->all, s->d, &cells))
        return 0;
    s->norms = dal_array(s->host, s->n > s->all ? s->n : s->all, sizeof *s->norms);
    s->sums = dal_array(s->host, bound_tiles(s->n, KMEANS_BLOCK), sizeof *s->sums);
    s->centres = dal_array(s->host, cells, sizeof *s->centres);
    s->shifts = dal_array(s->host, s->all, sizeof *s->shifts);
    s->assignment = dal_array(s->host, s->n, sizeof *s->assignment);
    s->distance = dal_array(s->host, s->n, sizeof *s->distance);
    if (!s->norms || !s->sums || !s->centres || !s->shifts || !s->assignment || !s->distance ||
        !kmeans_take_groups(s))
        return 0;
    for (int64_t f = 0; f < s->all - s->k; f++)
        memcpy(s->centres + (s->k + f) * s->d, s->p->fixed.data + f * s->p->fixed.stride,
               (size_t)s->d * sizeof *s->centres);
    return 1;
}

static void drop_state(kmeans *s)
{
    s->host->free(s->host, s->norms);
    s->host->free(s->host, s->sums);
    s->host->free(s->host, s->centres);
    s->host->free(s->host, s->shifts);
    kmeans_drop_groups(s);
    s->host->free(s->host, s->assignment);
    s->host->free(s->host, s->distance);
}

static dal_status write_result(const kmeans *s, dal_kmeans_result *out)
{
    if (out->centres)
        memcpy(out->centres, s->centres, (size_t)(s->k * s->d) * sizeof *out->centres);
    if (out->assignment)
        memcpy(out->assignment, s->assignment, (size_t)s->n * sizeof *out->assignment);
    if (out->distance)
        memcpy(out->distance, s->distance, (size_t)s->n * sizeof *out->distance);
    return out->nearest ? name_nearest(s, out->nearest) : DAL_OK;
}

static dal_status run_all(kmeans *s, const dal_rng *stream, dal_kmeans_result *out, dal_error *err)
{
    dal_status st = nearest_norms(s->host, &s->p->fixed, "centre", s->norms, err);
    if (st == DAL_OK)
        st = nearest_norms(s->host, &s->p->x, "sample", s->norms, err);
    out->inertia = INFINITY;
    for (int64_t start = 0; st == DAL_OK && start < s->p->starts; start++) {
        int64_t iterations = 0;
        double inertia = 0;
        st = run_start(s, stream, start, &iterations, err);
        if (st == DAL_OK)
            st = kmeans_potential(s, 0, &inertia);
        if (st == DAL_OK && inertia < out->inertia) {
            out->inertia = inertia;
            out->iterations = iterations;
            st = write_result(s, out);
        }
    }
    return st;
}

dal_status dal_kmeans(const dal_host *host, const dal_kmeans_problem *problem, const dal_rng *stream,
                      dal_kmeans_result *out, dal_error *err)
{
    dal_status st = check(problem, err);
    if (st != DAL_OK)
        return st;
    dal_error cause = DAL_ERROR_INIT;
    kmeans s = {.host = host, .p = problem, .n = problem->x.rows, .d = problem->x.cols, .k = problem->k,
                .all = problem->k + problem->fixed.rows};
    st = take_state(&s) ? run_all(&s, stream, out, &cause) : DAL_E_NOMEM;
    drop_state(&s);
    if (st == DAL_OK)
        return DAL_OK;
    if (cause.text[0])
        return dal_fail(err, st, "", "%s", cause.text);
    return dal_fail(err, st, "", st == DAL_E_NOMEM      ? "no memory to cluster %lld samples"
                                 : st == DAL_E_CANCELLED ? "cancelled while clustering %lld samples"
                                                         : "%lld samples could not be clustered",
                    (long long)s.n);
}
