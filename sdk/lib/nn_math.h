/* nn_math.h: e^x, erf and tanh for loops that are compiled once per vector width: no calls, no branches, the same
 * roundings in every clone. The polynomials are Chebyshev fits, their errors far below float's. NaN stays NaN. */
#ifndef DAL_NN_MATH_H
#define DAL_NN_MATH_H

#include <math.h>
#include <stdint.h>
#include <string.h>

/* 2^n 2^f for |f| <= 1/2: adding 1.5 2^23 leaves n in the low bits. Within 2e-7 of itself; 0 below -87, e^88 above. */
static inline float nn_exp(float x)
{
    const float low = x < -87.0f ? -87.0f : x, in = low > 88.0f ? 88.0f : low;
    const float shifted = in * 1.44269504f + 12582912.0f, n = shifted - 12582912.0f;
    const float r = (in - n * 0.693359375f) + n * 2.12194440e-4f;
    const float p = 0.5f + r * (0.166665770f + r * (0.0416664648f + r * (0.00836317558f + r * 0.00139336566f)));
    uint32_t bits;
    float power;
    memcpy(&bits, &shifted, sizeof bits);
    bits = (bits - 0x4B400000u + 127u) << 23;
    memcpy(&power, &bits, sizeof power);
    const float e = (1.0f + (r + r * r * p)) * power;
    return x < -87.0f ? 0 : e;
}

/* Within 1e-7: x times a polynomial of x^2 up to 1, from there 1 - e^-q(x). */
static inline float nn_erf(float x)
{
    const float a = fabsf(x), capped = a > 4.0f ? 4.0f : a, u = x * x;
    const float small = x * (1.12837917f + u * (-0.376126269f + u * (0.112835975f + u * (-0.0268543288f +
                        u * (0.00518931194f + u * (-0.000801885499f + u * 7.8824971e-05f))))));
    const float q = -0.000303212976f + capped * (1.13016668f + capped * (0.631937094f + capped * (0.109978245f +
                    capped * (-0.0263647174f + capped * (0.00474022235f + capped * (-0.000592769539f +
                    capped * (4.55906226e-05f + capped * -1.61406161e-06f)))))));
    const float large = copysignf(1.0f - nn_exp(-q), x);
    return a <= 1.0f ? small : x != x ? x : large;
}

/* Within 1e-7 of itself. */
static inline float nn_tanh(float x)
{
    const float a = fabsf(x), u = x * x;
    const float small = x + x * u * (-0.333333286f + u * (0.13332731f + u * (-0.0538448283f + u * (0.0209676515f +
                                     u * -0.0060531025f))));
    const float large = copysignf(1.0f - 2.0f / (1.0f + nn_exp(2.0f * a)), x);
    return a <= 0.6f ? small : x != x ? x : large;
}

#endif
