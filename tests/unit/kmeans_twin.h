/* k-means as dal/kmeans.h defines it, with every distance computed: for its own test and for strategies. */
#ifndef TESTS_KMEANS_TWIN_H
#define TESTS_KMEANS_TWIN_H

#include <dal/kmeans.h>
#include <dal/linalg.h>
#include <math.h>
#include <stdlib.h>

typedef struct kmeans_twin {
    const dal_kmeans_problem *p;
    int64_t n, d, k, all;
    float *centres; /* [all, d] */
    float *m;       /* [n] */
    int32_t *a;     /* [n] */
} kmeans_twin;

static double kt_weight(const kmeans_twin *t, int64_t i)
{
    return t->p->weights ? t->p->weights[i] : 1;
}

static float kt_distance(const kmeans_twin *t, int64_t i, int64_t c)
{
    return dal_squared_distance(t->p->x.data + i * t->p->x.stride, t->centres + c * t->d, t->d);
}

/* w m, or w while m is infinite: nothing to measure from yet */
static double kt_potential(const kmeans_twin *t, const float *m, int64_t i)
{
    return isinf(m[i]) ? kt_weight(t, i) : kt_weight(t, i) * (double)m[i];
}

static double kt_block(const kmeans_twin *t, const float *m, int64_t b)
{
    double sum = 0;
    for (int64_t i = 512 * b; i < t->n && i < 512 * (b + 1); i++)
        sum += kt_potential(t, m, i);
    return sum;
}

static double kt_total(const kmeans_twin *t, const float *m)
{
    double sum = 0;
    for (int64_t b = 0; 512 * b < t->n; b++)
        sum += kt_block(t, m, b);
    return sum;
}

static int64_t kt_draw(const kmeans_twin *t, const float *m, double target)
{
    int64_t b = 0, last = t->n - 1;
    for (; 512 * (b + 1) < t->n && target >= kt_block(t, m, b); b++)
        target -= kt_block(t, m, b);
    for (int64_t i = 512 * b; i < t->n; i++) {
        if (kt_potential(t, m, i) > 0 && target < kt_potential(t, m, i))
            return i;
        target -= kt_potential(t, m, i);
    }
    while (last > 0 && !(kt_potential(t, m, last) > 0))
        last--;
    return last;
}

static void kt_add(kmeans_twin *t, int64_t *seeds, int64_t *n, int64_t row)
{
    seeds[*n] = row;
    memcpy(t->centres + *n * t->d, t->p->x.data + row * t->p->x.stride, t->d * sizeof(float));
    for (int64_t i = 0; i < t->n; i++)
        t->m[i] = fminf(t->m[i], kt_distance(t, i, *n));
    ++*n;
}

/* The true potentials are known after every seed; only the draws are from those of the turn's beginning. */
static void kt_seed(kmeans_twin *t, dal_rng *r)
{
    int64_t n = 0, *seeds = malloc(t->k * sizeof *seeds);
    float *old = malloc(t->n * sizeof *old);
    for (int64_t i = 0; i < t->n; i++) {
        t->m[i] = INFINITY;
        for (int64_t f = t->k; f < t->all; f++)
            t->m[i] = fminf(t->m[i], kt_distance(t, i, f));
    }
    if (t->all == t->k)
        kt_add(t, seeds, &n, kt_total(t, t->m) > 0 ? kt_draw(t, t->m, dal_rng_uniform(r) * kt_total(t, t->m)) : 0);
    while (n < t->k) {
        const int64_t so_far = n + t->all - t->k, first = n;
        const double total = kt_total(t, t->m);
        int64_t turn = so_far / 8 > 128 ? 128 : so_far / 8 < 1 ? 1 : so_far / 8;
        turn = turn > t->k - n ? t->k - n : turn;
        memcpy(old, t->m, t->n * sizeof *old);
        for (int64_t draw = 0; total > 0 && draw < 2 * turn && n < first + turn; draw++) {
            const int64_t row = kt_draw(t, old, dal_rng_uniform(r) * total);
            if (dal_rng_uniform(r) * (double)old[row] < (double)t->m[row])
                kt_add(t, seeds, &n, row);
        }
        for (int64_t i = 0; total <= 0 && n < t->k; i++) {
            int seen = 0;
            for (int64_t j = 0; j < n; j++)
                seen |= seeds[j] == i;
            if (!seen)
                kt_add(t, seeds, &n, i);
        }
    }
    free(seeds);
    free(old);
}

static void kt_assign(kmeans_twin *t)
{
    for (int64_t i = 0; i < t->n; i++) {
        t->m[i] = INFINITY;
        for (int64_t c = 0; c < t->all; c++) {
            const float m = kt_distance(t, i, c);
            if (m < t->m[i]) {
                t->m[i] = m;
                t->a[i] = (int32_t)c;
            }
        }
    }
}

static int64_t kt_many(const kmeans_twin *t, int64_t c)
{
    int64_t many = 0;
    for (int64_t i = 0; i < t->n; i++)
        many += t->a[i] == c && kt_weight(t, i) > 0;
    return many;
}

static void kt_fill(kmeans_twin *t)
{
    for (int64_t c = 0; c < t->k; c++) {
        int64_t best = -1;
        if (kt_many(t, c) > 0)
            continue;
        for (int64_t i = 0; i < t->n; i++) {
            const double cost = kt_weight(t, i) * (double)t->m[i];
            if (cost > 0 && (best < 0 || cost > kt_weight(t, best) * (double)t->m[best]) && kt_many(t,
                                                                                                    t->a[i]) > 1)
                best = i;
        }
        if (best >= 0) {
            t->a[best] = (int32_t)c;
            t->m[best] = 0;
        }
    }
}

static double kt_move(kmeans_twin *t)
{
    double all = 0;
    double *sums = calloc(t->k * t->d, sizeof *sums), *weights = calloc(t->k, sizeof *weights);
    for (int64_t i = 0; i < t->n; i++)
        for (int64_t f = 0; t->a[i] < t->k && f < t->d; f++) {
            sums[t->a[i] * t->d + f] += kt_weight(t, i) * (double)t->p->x.data[i * t->p->x.stride + f];
            weights[t->a[i]] += f == 0 ? kt_weight(t, i) : 0;
        }
    for (int64_t c = 0; c < t->k; c++) {
        double shift = 0;
        for (int64_t f = 0; f < t->d; f++) {
            float *at = t->centres + c * t->d + f;
            const float to = weights[c] > 0 ? (float)(sums[c * t->d + f] / weights[c]) : *at;
            shift += ((double)to - (double)*at) * ((double)to - (double)*at);
            *at = to;
        }
        all += shift;
    }
    free(sums);
    free(weights);
    return sqrt(all);
}

static void kt_nearest(const kmeans_twin *t, int64_t *nearest)
{
    for (int stray = 0; stray < 2; stray++)
        for (int64_t c = 0; c < t->k; c++) {
            int64_t best = -1;
            for (int64_t i = 0; i < t->n && (!stray || nearest[c] < 0); i++) {
                int named = 0;
                for (int64_t o = 0; stray && o < t->k; o++)
                    named |= nearest[o] == i;
                if ((stray ? !named : t->a[i] == c) && (best < 0 || kt_distance(t, i, c) < kt_distance(t, best,
                                                                                                       c)))
                    best = i;
            }
            nearest[c] = stray && nearest[c] >= 0 ? nearest[c] : best;
        }
}

static void kt_run(kmeans_twin *t, dal_rng *r, int64_t *iterations)
{
    double shift = INFINITY;
    kt_seed(t, r);
    kt_assign(t);
    for (*iterations = 0; *iterations < t->p->max_iterations && !(shift < t->p->tolerance); ++*iterations) {
        kt_fill(t);
        shift = kt_move(t);
        kt_assign(t);
    }
}

/* Fills centres, assignment, distance and nearest, all of which must be there. */
static inline void kmeans_twin_run(const dal_kmeans_problem *p, const dal_rng *stream, dal_kmeans_result *out)
{
    kmeans_twin t = {p, p->x.rows, p->x.cols, p->k, p->k + p->fixed.rows, NULL, NULL, NULL};
    t.centres = malloc(t.all * t.d * sizeof *t.centres);
    t.m = malloc(t.n * sizeof *t.m);
    t.a = malloc(t.n * sizeof *t.a);
    out->inertia = INFINITY;
    for (int64_t f = 0; f < p->fixed.rows; f++)
        memcpy(t.centres + (t.k + f) * t.d, p->fixed.data + f * p->fixed.stride, t.d * sizeof(float));
    for (int64_t s = 0; s < p->starts; s++) {
        dal_rng r = dal_rng_at(stream, (uint64_t)s);
        int64_t iterations;
        kt_run(&t, &r, &iterations);
        if (kt_total(&t, t.m) < out->inertia) {
            out->inertia = kt_total(&t, t.m);
            out->iterations = iterations;
            memcpy(out->centres, t.centres, t.k * t.d * sizeof *t.centres);
            memcpy(out->assignment, t.a, t.n * sizeof *t.a);
            memcpy(out->distance, t.m, t.n * sizeof *t.m);
            kt_nearest(&t, out->nearest);
        }
    }
    free(t.centres);
    free(t.m);
    free(t.a);
}

#endif
