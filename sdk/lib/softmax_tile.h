/* The loops of softmax.h over whatever `vec` is; included after one of the lanes_*.h. KERNELS names the
 * table to define.
 */
#include "softmax.h"

#include <math.h>

#define INLINE static inline __attribute__((always_inline))
#define BLOCK 128 /* columns summed in float, sixteen to a lane, before they are added in double */

/* Row r, or the last one again when the tile is not full. */
INLINE const float *row(const tile *t, int r)
{
    return t->z + (r < t->n ? r : t->n - 1) * t->ld;
}

/* Do something with each eight columns x, from k on, of columns first..end-1 of a row p of c; what lies
 * beyond the row counts as `fill`. Only the last block of a row ends within eight columns. */
#define FOR_COLUMNS(p, first, end, c, fill, ...)               \
    do {                                                       \
        int64_t k = first;                                     \
        for (; k + 8 <= (end); k += 8) {                       \
            const vec x = v_load((p) + k);                     \
            __VA_ARGS__                                        \
        }                                                      \
        if (k < (end)) {                                       \
            const vec x = v_load_part((p) + k, (c) - k, fill); \
            __VA_ARGS__                                        \
        }                                                      \
    } while (0)

/* ---- the largest ------------------------------------------------------------------------------ */

INLINE void find_top(const tile *t, tile_top *out, int want_second)
{
    vec max[TILE], second[TILE];
    for (int r = 0; r < TILE; r++) {
        const float *p = row(t, r);
        vec m = v_set(-INFINITY), s = m;
        FOR_COLUMNS(p, 0, t->c, t->c, -INFINITY, {
            if (want_second)
                s = v_max(v_min(x, m), s);
            m = v_max(x, m); /* NaN is passed over here and found by the sums */
        });
        max[r] = m;
        second[r] = s;
    }
    vec m, s;
    v_fold_top(max, second, &m, &s);
    v_store_part(out->max, TILE, m);
    v_store_part(out->second, TILE, s);
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
    vec nan[TILE];
    for (int r = 0; r < TILE; r++) {
        const float *p = row(t, r);
        vec n = v_set(0);
        FOR_COLUMNS(p, 0, t->c, t->c, 0, { n = v_fma(x, v_set(0), n); });
        nan[r] = n;
    }
    v_store_part(out, TILE, v_fold_add(nan));
}

/* ---- sums of exponentials --------------------------------------------------------------------- */

#define LOG2E 1.44269502f
#define LOG2E_REST 1.92596303e-8f
#define LN2_SMALLEST (-88.1f) /* where e^x becomes 0: the power of two below the smallest float */
#define SHIFT (12582912.0f + 127.0f) /* 1.5 2^23: adding it leaves a whole number in the low bits */

/* x = z - max, limited below; NaN stays NaN. */
INLINE vec shifted(vec z, vec max)
{
    return v_max(v_set(LN2_SMALLEST), v_sub(z, max));
}

/* e^x for x <= 0 to within 2e-7 of it: 2^n 2^f with |f| <= 1/2, and a polynomial that is exactly 1 at 0. */
INLINE vec exp_of(vec x)
{
    const vec t = v_add(v_mul(x, v_set(LOG2E)), v_set(SHIFT));
    const vec near = v_fma(x, v_set(LOG2E), v_sub(v_set(SHIFT), t)), f = v_fma(x, v_set(LOG2E_REST), near);
    vec p = v_fma(f, v_set(1.3264737e-3f), v_set(9.671512e-3f));
    p = v_fma(p, f, v_set(5.5507336e-2f));
    p = v_fma(p, f, v_set(2.4022242e-1f));
    p = v_fma(p, f, v_set(6.931470e-1f));
    p = v_fma(p, f, v_set(1));
    return v_scale(p, t);
}

INLINE void add_double(double *to, vec x)
{
    float f[TILE];
    v_store_part(f, TILE, x);
    for (int r = 0; r < TILE; r++)
        to[r] += (double)f[r];
}

/* The maximum is left out of `rest` where that is wanted: of a sample that is almost certain the rest is
 * what matters, and would drown beside 1. */
INLINE void sum_tile(const tile *t, const float *max, tile_sums *out, int want_ties, int want_dot)
{
    *out = (tile_sums){{0}, {0}, {0}};
    for (int64_t first = 0; first < t->c; first += BLOCK) {
        const int64_t end = first + BLOCK < t->c ? first + BLOCK : t->c;
        vec sum[TILE], ties[TILE], dot[TILE];
        for (int r = 0; r < TILE; r++) {
            const float *p = row(t, r);
            const vec m = v_set(max[r]);
            vec s = v_set(0), tie = v_set(0), d = v_set(0);
            FOR_COLUMNS(p, first, end, t->c, -INFINITY, {
                const vec y = shifted(x, m), e = exp_of(y);
                s = v_add(s, want_ties ? v_unless_zero(y, e) : e);
                if (want_ties)
                    tie = v_add(tie, v_if_zero(y, v_set(1)));
                if (want_dot)
                    d = v_fma(e, y, d);
            });
            sum[r] = s;
            ties[r] = tie;
            dot[r] = d;
        }
        add_double(out->rest, v_fold_add(sum));
        if (want_ties)
            add_double(out->ties, v_fold_add(ties));
        if (want_dot)
            add_double(out->dot, v_fold_add(dot));
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

static void softmax(const tile *t, float *out)
{
    tile_top top;
    tile_sums sums;
    find_max(t, &top);
    sum_exp(t, top.max, &sums);
    for (int r = 0; r < t->n; r++) {
        const vec m = v_set(top.max[r]), scale = v_set((float)(1.0 / sums.rest[r]));
        float *to = out + r * t->ld;
        FOR_COLUMNS(row(t, r), 0, t->c, t->c, -INFINITY, {
            v_store_part(to + k, t->c - k < 8 ? t->c - k : 8, v_mul(exp_of(shifted(x, m)), scale));
        });
    }
}

/* ---- probabilities ---------------------------------------------------------------------------- */

/* ln x of an ordinary positive float to within 1e-7 of it; NaN stays NaN. */
INLINE vec log_of(vec x)
{
    static const float c[] = {-7.6345131e-2f, 1.27615809e-1f, -1.31601781e-1f, 1.42017573e-1f,
                              -1.66233584e-1f, 2.00012267e-1f, -2.50008196e-1f, 3.33333313e-1f};
    vec m;
    const vec e = v_split(x, &m), f = v_sub(m, v_set(1));
    vec p = v_set(c[0]);
    for (int i = 1; i < 8; i++)
        p = v_fma(p, f, v_set(c[i]));
    p = v_mul(v_fma(p, f, v_set(-0.5f)), v_mul(f, f)); /* ln(1 + f) - f */
    return v_fma(e, v_set(0.693147181f), v_add(f, p));
}

static void sum_p_ln_p(const tile *t, double *out)
{
    for (int r = 0; r < TILE; r++)
        out[r] = 0;
    for (int64_t first = 0; first < t->c; first += BLOCK) {
        const int64_t end = first + BLOCK < t->c ? first + BLOCK : t->c;
        vec sum[TILE];
        for (int r = 0; r < TILE; r++) {
            const float *p = row(t, r);
            vec s = v_set(0);
            FOR_COLUMNS(p, first, end, t->c, 0, {
                s = v_fma(x, log_of(v_max(v_set(1.2e-38f), x)), s); /* 0 ln 0 = 0 */
            });
            sum[r] = s;
        }
        add_double(out, v_fold_add(sum));
    }
}

const softmax_kernels KERNELS = {.max = find_max, .top = find_two, .nan = find_nan,
                                 .sum_exp = sum_exp, .sum_rest = sum_rest, .sum_entropy = sum_entropy,
                                 .sum_p_ln_p = sum_p_ln_p, .softmax = softmax};
