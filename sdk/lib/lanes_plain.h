/* Eight floats in standard C; the same values as lanes_avx2.h, bit by bit. */
#include <math.h>
#include <stdint.h>
#include <string.h>

typedef struct vec {
    float f[8];
} vec;

#define WIDE 1
#define LANES for (int l = 0; l < 8; l++)
#define DEFINE_OP(name, ...)          \
    static inline vec name            \
    {                                 \
        vec r;                        \
        LANES r.f[l] = (__VA_ARGS__); \
        return r;                     \
    }

DEFINE_OP(v_load(const float *const *p, int64_t k), p[0][k + l])
DEFINE_OP(v_load_part(const float *const *p, int64_t k, int64_t n, float fill), l < n ? p[0][k + l] : fill)
DEFINE_OP(v_rows(float first, float second), (void)second, first) /* one number for each row */
DEFINE_OP(v_set(float x), x)
DEFINE_OP(v_add(vec a, vec b), a.f[l] + b.f[l])
DEFINE_OP(v_sub(vec a, vec b), a.f[l] - b.f[l])
DEFINE_OP(v_mul(vec a, vec b), a.f[l] * b.f[l])
DEFINE_OP(v_div(vec a, vec b), a.f[l] / b.f[l])
DEFINE_OP(v_fma(vec a, vec b, vec c), fmaf(a.f[l], b.f[l], c.f[l]))
DEFINE_OP(v_max(vec a, vec b), a.f[l] > b.f[l] ? a.f[l] : b.f[l]) /* b when either is NaN */
DEFINE_OP(v_min(vec a, vec b), a.f[l] < b.f[l] ? a.f[l] : b.f[l])
DEFINE_OP(v_choose_zero(vec x, vec a, vec b), x.f[l] == 0 ? a.f[l] : b.f[l])

/* The larger of x and low, and *count less one; where x is 0, low and *count as it is. NaN stays NaN. */
static inline vec v_below(vec x, vec low, vec *count)
{
    LANES {
        const int same = x.f[l] == 0;
        count->f[l] -= same ? 0.0f : 1.0f;
        x.f[l] = same || low.f[l] > x.f[l] ? low.f[l] : x.f[l];
    }
    return x;
}

/* All of it, the rows one after the other. */
static inline void v_store(float *p, vec a)
{
    memcpy(p, a.f, sizeof a.f);
}

/* The first n columns of the first row. */
static inline void v_store_first(float *p, int64_t n, vec a)
{
    memcpy(p, a.f, (size_t)n * sizeof *p);
}

/* p times the float whose exponent field is the low bits of t. */
static inline vec v_scale(vec p, vec t)
{
    LANES {
        uint32_t bits;
        float power;
        memcpy(&bits, &t.f[l], sizeof bits);
        bits <<= 23;
        memcpy(&power, &bits, sizeof power);
        p.f[l] *= power;
    }
    return p;
}

/* x = m 2^e with m in [sqrt(1/2), sqrt(2)): e, m, and 2^-e in *power. */
static inline vec v_split(vec x, vec *m, vec *power)
{
    vec e;
    LANES {
        uint32_t bits;
        memcpy(&bits, &x.f[l], sizeof bits);
        const int32_t exponent = (int32_t)(bits - 0x3f3504f3u) >> 23;
        bits -= (uint32_t)exponent << 23;
        memcpy(&m->f[l], &bits, sizeof bits);
        bits = (uint32_t)(127 - exponent) << 23;
        memcpy(&power->f[l], &bits, sizeof bits);
        e.f[l] = (float)exponent;
    }
    return e;
}

/* Lanes to one value a row: l and l + 4, then l and l + 2, then the last two. */
#define FOLD(op, f) op(op(op(f[0], f[4]), op(f[2], f[6])), op(op(f[1], f[5]), op(f[3], f[7])))
#define SUM(a, b) ((a) + (b))
#define LARGER(a, b) ((a) > (b) ? (a) : (b))

static inline void v_fold_add(const vec *rows, float *out)
{
    LANES out[l] = FOLD(SUM, rows[l].f);
}

static inline void v_fold_max(const vec *rows, float *out)
{
    LANES out[l] = FOLD(LARGER, rows[l].f);
}

static inline void v_fold_top(const vec *max, const vec *second, float *out_max, float *out_second)
{
    LANES {
        vec a = max[l], b = second[l];
        for (int w = 4; w > 0; w /= 2)
            for (int i = 0; i < w; i++) {
                const float low = a.f[i] < a.f[i + w] ? a.f[i] : a.f[i + w];
                const float next = b.f[i] > b.f[i + w] ? b.f[i] : b.f[i + w];
                a.f[i] = a.f[i] > a.f[i + w] ? a.f[i] : a.f[i + w];
                b.f[i] = low > next ? low : next;
            }
        out_max[l] = a.f[0];
        out_second[l] = b.f[0];
    }
}
