/* The loops of softmax.h over whatever `vec` is; included after one of the lanes_*.h. KERNELS names the
 * table to define.
 */
#include "lanes_log.h"
#include "softmax.h"

#include <math.h>
#include <string.h>

#define BLOCK 128 /* columns summed in float, sixteen to a lane, before they are added in double */

/* A vector holds eight columns of WIDE rows: of group g, rows g and (where WIDE is 2) g + GROUPS. */
#define GROUPS (TILE / WIDE)

/* Several vectors go step by step together, because one alone is a chain of operations that each wait for the
 * last; as many as there are registers for. */
#define TOGETHER (2 * WIDE)
#define EACH for (int i = 0; i < TOGETHER; i++)

/* Rows of a group; those a tile lacks are its last one again. */
INLINE void rows_of(const tile *t, int g, const float **p)
{
    for (int q = 0; q < WIDE; q++) {
        const int r = g + q * GROUPS;
        p[q] = t->z + (r < t->n ? r : t->n - 1) * t->ld;
    }
}

/* One number for each row of a group. */
INLINE vec of_rows(const float *x, int g)
{
    return v_rows(x[g], x[g + (WIDE - 1) * GROUPS]);
}

/* Do something with each eight columns x, from k on, of columns first..end-1 of rows p of c; what lies beyond
 * the row counts as `fill`. Only the last block of a row ends within eight columns. */
#define FOR_COLUMNS(p, first, end, c, fill, ...)             \
    do {                                                     \
        int64_t k = first;                                   \
        for (; k + 8 <= (end); k += 8) {                     \
            const vec x = v_load(p, k);                      \
            __VA_ARGS__                                      \
        }                                                    \
        if (k < (end)) {                                     \
            const vec x = v_load_part(p, k, (c) - k, fill);  \
            __VA_ARGS__                                      \
        }                                                    \
    } while (0)

/* Ask for a part of the tile to come, lines from..to-1 of the LINES that eight columns of TOGETHER groups are:
 * memory works while these sums are made. Into the second cache, which has more requests under way than the
 * first. */
#define LINES (TOGETHER * WIDE / 2)
INLINE void fetch(const tile *t, int64_t k, int g, int from, int to)
{
    const uintptr_t at = (uintptr_t)t->ahead + ((uintptr_t)k * TILE + (uintptr_t)g * WIDE * 8) * sizeof(float);
    for (int i = from; i < to; i++)
        __builtin_prefetch((const void *)(at + 64 * (uintptr_t)i), 0, 2);
}

/* ---- the largest ------------------------------------------------------------------------------ */

INLINE void add_top(const vec *x, vec *max, vec *second, int want_second)
{
    if (want_second)
        EACH second[i] = v_max(v_min(x[i], max[i]), second[i]);
    EACH max[i] = v_max(x[i], max[i]); /* NaN is passed over here and found by the sums */
}

INLINE void find_top(const tile *t, tile_top *out, int want_second)
{
    vec max[GROUPS], second[GROUPS];
    for (int g = 0; g < GROUPS; g += TOGETHER) {
        const float *p[TOGETHER][WIDE];
        vec m[TOGETHER], s[TOGETHER], x[TOGETHER];
        int64_t k = 0;
        EACH {
            rows_of(t, g + i, p[i]);
            m[i] = s[i] = v_set(-INFINITY);
        }
        for (; k + 8 <= t->c; k += 8) {
            EACH x[i] = v_load(p[i], k);
            fetch(t, k, g, 0, want_second ? LINES / 2 : 0); /* it takes long enough */
            add_top(x, m, s, want_second);
        }
        if (k < t->c) {
            EACH x[i] = v_load_part(p[i], k, t->c - k, -INFINITY);
            add_top(x, m, s, want_second);
        }
        EACH {
            max[g + i] = m[i];
            second[g + i] = s[i];
        }
    }
    if (want_second)
        v_fold_top(max, second, out->max, out->second);
    else
        v_fold_max(max, out->max);
}

static void find_max(const tile *t, tile_top *out)
{
    find_top(t, out, 0);
}

static void find_two(const tile *t, tile_top *out)
{
    find_top(t, out, 1);
}

static void find_nan(const tile *t, float *out)
{
    vec nan[GROUPS];
    for (int g = 0; g < GROUPS; g++) {
        const float *p[WIDE];
        vec n = v_set(0);
        rows_of(t, g, p);
        FOR_COLUMNS(p, 0, t->c, t->c, 0, { n = v_fma(x, v_set(0), n); });
        nan[g] = n;
    }
    v_fold_add(nan, out);
}

/* ---- sums of exponentials --------------------------------------------------------------------- */

#define LOG2E 1.44269502f
#define LN2_SMALLEST (-88.1f) /* where e^x becomes 0: the power of two below the smallest float */
#define SHIFT (12582912.0f + 127.0f) /* 1.5 2^23: adding it leaves a whole number in the low bits */

/* x = z - max, limited below; NaN stays NaN. */
INLINE vec shifted(vec z, vec max)
{
    return v_max(v_set(LN2_SMALLEST), v_sub(z, max));
}

/* e^x = 2^n 2^f for x <= 0, with |f| <= 1/2: p f = 2^f - 1 to within 1e-7 of it, and t with n in its low bits,
 * for v_scale. */
INLINE void exp_parts(const vec *x, vec *p, vec *f, vec *t)
{
    EACH t[i] = v_fma(x[i], v_set(LOG2E), v_set(SHIFT));
    EACH f[i] = v_fma(x[i], v_set(LOG2E), v_sub(v_set(SHIFT), t[i]));
    EACH p[i] = v_fma(f[i], v_set(1.3264737e-3f), v_set(9.671512e-3f));
    EACH p[i] = v_fma(p[i], f[i], v_set(5.5507336e-2f));
    EACH p[i] = v_fma(p[i], f[i], v_set(2.4022242e-1f));
    EACH p[i] = v_fma(p[i], f[i], v_set(6.931470e-1f));
}

/* e = e^x, exactly 1 at 0. */
INLINE void exp_of(const vec *x, vec *e)
{
    vec f[TOGETHER], t[TOGETHER];
    exp_parts(x, e, f, t);
    EACH e[i] = v_fma(e[i], f[i], v_set(1));
    EACH e[i] = v_scale(e[i], t[i]);
}

INLINE void add_double(double *to, const vec *groups)
{
    float f[TILE];
    v_fold_add(groups, f);
    for (int r = 0; r < TILE; r++)
        to[r] += (double)f[r];
}

/* The state of the sums of TOGETHER groups. */
typedef struct sums_at {
    vec max[TOGETHER], sum[TOGETHER], ties[TOGETHER], dot[TOGETHER];
} sums_at;

/* Add eight columns. The maximum is left out of the sum where ties are counted: of a sample that is almost
 * certain the rest is what matters, and would drown beside 1. */
INLINE void add_columns(sums_at *s, const vec *z, int want_ties, int want_dot)
{
    vec x[TOGETHER], e[TOGETHER];
    EACH x[i] = want_ties ? v_below(v_sub(z[i], s->max[i]), v_set(LN2_SMALLEST), &s->ties[i])
                          : shifted(z[i], s->max[i]);
    exp_of(x, e);
    if (want_dot)
        EACH s->dot[i] = v_fma(e[i], x[i], s->dot[i]);
    EACH s->sum[i] = v_add(s->sum[i], e[i]);
}

INLINE void sum_tile(const tile *t, const float *max, tile_sums *out, int want_ties, int want_dot)
{
    *out = (tile_sums){{0}, {0}, {0}};
    for (int64_t first = 0; first < t->c; first += BLOCK) {
        const int64_t end = first + BLOCK < t->c ? first + BLOCK : t->c;
        vec sum[GROUPS], ties[GROUPS], dot[GROUPS];
        for (int g = 0; g < GROUPS; g += TOGETHER) {
            const float *p[TOGETHER][WIDE];
            sums_at s;
            int64_t k = first;
            EACH {
                rows_of(t, g + i, p[i]);
                s.max[i] = of_rows(max, g + i);
                s.sum[i] = s.dot[i] = v_set(0);
                s.ties[i] = v_set((float)((end - first + 7) / 8)); /* less all that differ */
            }
            for (; k + 8 <= end; k += 8) {
                vec z[TOGETHER];
                EACH z[i] = v_load(p[i], k);
                fetch(t, k, g, want_ties ? 0 : LINES / 2, LINES);
                add_columns(&s, z, want_ties, want_dot);
            }
            if (k < end) {
                vec z[TOGETHER];
                EACH z[i] = v_load_part(p[i], k, t->c - k, -INFINITY);
                add_columns(&s, z, want_ties, want_dot);
            }
            EACH {
                sum[g + i] = s.sum[i];
                ties[g + i] = s.ties[i];
                dot[g + i] = s.dot[i];
            }
        }
        add_double(out->rest, sum);
        if (want_ties)
            add_double(out->ties, ties);
        if (want_dot)
            add_double(out->dot, dot);
    }
}

static void sum_exp(const tile *t, const float *max, tile_sums *out)
{
    sum_tile(t, max, out, 0, 0);
}

static void sum_rest(const tile *t, const float *max, tile_sums *out)
{
    sum_tile(t, max, out, 1, 0);
}

static void sum_entropy(const tile *t, const float *max, tile_sums *out)
{
    sum_tile(t, max, out, 1, 1);
}

/* Numbers of rows, those of vector i of TOGETHER from the tiles that it holds. */
#define TILES_TOGETHER (TOGETHER * WIDE) /* tiles */
INLINE vec of_tiles(const float *x, int i)
{
    const float *p[2] = {x + i * WIDE * TILE, x + (i * WIDE + WIDE - 1) * TILE};
    return v_load(p, 0);
}

/* 1 - e^(second - max), to within 2e-7 of it at either end. */
static void find_gaps(const tile_top *top, double *out)
{
    for (int first = 0; first < TILES; first += TILES_TOGETHER, out += TILES_TOGETHER * TILE) {
        float max[TILES_TOGETHER * TILE], second[TILES_TOGETHER * TILE];
        float p[TILES_TOGETHER * TILE], power[TILES_TOGETHER * TILE];
        vec x[TOGETHER], q[TOGETHER], f[TOGETHER], n[TOGETHER];
        for (int t = 0; t < TILES_TOGETHER; t++) {
            memcpy(max + t * TILE, top[first + t].max, sizeof top->max);
            memcpy(second + t * TILE, top[first + t].second, sizeof top->second);
        }
        EACH x[i] = shifted(of_tiles(second, i), of_tiles(max, i));
        exp_parts(x, q, f, n);
        EACH v_store(p + i * WIDE * TILE, v_mul(q[i], f[i]));
        EACH v_store(power + i * WIDE * TILE, v_scale(v_set(1), n[i]));
        for (int r = 0; r < TILES_TOGETHER * TILE; r++)
            out[r] = 1 - (1 + (double)p[r]) * (double)power[r];
    }
}

/* e^(z - max) by of c columns, TOGETHER vectors at a time; out may be z. */
static void scale_row(const float *z, int64_t c, float max, float by, float *out)
{
    for (int64_t first = 0; first < c; first += 8 * TOGETHER) {
        vec x[TOGETHER], e[TOGETHER];
        EACH {
            const int64_t k = first + 8 * i, n = c - k < 8 ? c - k : 8;
            const float *p[2] = {z + k, z + k};
            x[i] = shifted(v_load_part(p, 0, n > 0 ? n : 0, -INFINITY), v_set(max));
        }
        exp_of(x, e);
        for (int i = 0; i < TOGETHER && first + 8 * i < c; i++) {
            const int64_t k = first + 8 * i;
            v_store_first(out + k, c - k < 8 ? c - k : 8, v_mul(e[i], v_set(by)));
        }
    }
}

static void softmax(const tile *t, float *out)
{
    tile_top top;
    tile_sums sums;
    find_max(t, &top);
    sum_exp(t, top.max, &sums);
    for (int r = 0; r < t->n; r++)
        scale_row(t->z + r * t->ld, t->c, top.max[r], (float)(1.0 / sums.rest[r]), out + r * t->ld);
}

/* ---- probabilities ---------------------------------------------------------------------------- */

/* ln(ties + rest), ties >= 1, as exact in a tiny rest as in a large one. */
static void log_sums(const tile_sums *sums, double *out)
{
    for (int first = 0; first < TILES; first += TILES_TOGETHER, out += TILES_TOGETHER * TILE) {
        float ties[TILES_TOGETHER * TILE], rest[TILES_TOGETHER * TILE], ln[TILES_TOGETHER * TILE];
        vec n[TOGETHER], x[TOGETHER], m, power[TOGETHER] /* 2^-e */, e[TOGETHER];
        for (int t = 0; t < TILES_TOGETHER; t++)
            for (int r = 0; r < TILE; r++) {
                ties[t * TILE + r] = (float)sums[first + t].ties[r];
                rest[t * TILE + r] = (float)sums[first + t].rest[r];
            }
        EACH n[i] = of_tiles(ties, i);
        EACH x[i] = of_tiles(rest, i);
        EACH e[i] = v_split(v_add(n[i], x[i]), &m, &power[i]);
        EACH x[i] = log_near_1(v_fma(x[i], power[i], v_fma(n[i], power[i], v_set(-1))));
        EACH v_store(ln + i * WIDE * TILE, v_fma(e[i], v_set(LN2), x[i]));
        for (int r = 0; r < TILES_TOGETHER * TILE; r++)
            out[r] = (double)ln[r];
    }
}

static void sum_p_ln_p(const tile *t, double *out)
{
    for (int r = 0; r < TILE; r++)
        out[r] = 0;
    for (int64_t first = 0; first < t->c; first += BLOCK) {
        const int64_t end = first + BLOCK < t->c ? first + BLOCK : t->c;
        vec sum[GROUPS];
        for (int g = 0; g < GROUPS; g++) {
            const float *p[WIDE];
            vec s = v_set(0);
            rows_of(t, g, p);
            FOR_COLUMNS(p, first, end, t->c, 0, {
                s = v_fma(x, log_of(v_max(v_set(1.2e-38f), x)), s); /* 0 ln 0 = 0 */
            });
            sum[g] = s;
        }
        add_double(out, sum);
    }
}

static void sum_divergence(const tile *p, const tile *q, double *out)
{
    for (int r = 0; r < TILE; r++)
        out[r] = 0;
    for (int64_t first = 0; first < p->c; first += BLOCK) {
        const int64_t end = first + BLOCK < p->c ? first + BLOCK : p->c;
        vec sum[GROUPS];
        for (int g = 0; g < GROUPS; g++) {
            const float *at[WIDE], *theirs[WIDE];
            vec s = v_set(0);
            rows_of(p, g, at);
            rows_of(q, g, theirs);
            FOR_COLUMNS(at, first, end, p->c, 0, {
                const vec y = k + 8 <= p->c ? v_load(theirs, k) : v_load_part(theirs, k, p->c - k, 0);
                const vec f = v_div(v_sub(x, y), v_max(v_set(1.2e-38f), y));
                s = v_fma(y, divergence_of(f), s);
            });
            sum[g] = s;
        }
        add_double(out, sum);
    }
}

const softmax_kernels KERNELS = {.max = find_max, .top = find_two, .nan = find_nan,
                                 .sum_exp = sum_exp, .sum_rest = sum_rest, .sum_entropy = sum_entropy,
                                 .gaps = find_gaps, .log_sums = log_sums, .sum_p_ln_p = sum_p_ln_p,
                                 .sum_divergence = sum_divergence, .softmax = softmax};
