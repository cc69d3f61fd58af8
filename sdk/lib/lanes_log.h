/* lanes_log.h: (libdal, private) logarithms of vectors; included after one of the lanes_*.h. */
#ifndef DAL_LIB_LANES_LOG_H
#define DAL_LIB_LANES_LOG_H

#if defined(__SANITIZE_ADDRESS__) /* instrumented, one function of it all takes gcc many minutes */
#define INLINE static inline
#else
#define INLINE static inline __attribute__((always_inline))
#endif

/* ln(1 + f) - f for 1 + f in [sqrt(1/2), sqrt(2)), to within 1e-7 of it. */
INLINE vec log_tail(vec f)
{
    static const float c[] = {-7.6345131e-2f, 1.27615809e-1f, -1.31601781e-1f, 1.42017573e-1f,
                              -1.66233584e-1f, 2.00012267e-1f, -2.50008196e-1f, 3.33333313e-1f};
    vec p = v_set(c[0]);
    for (int i = 1; i < 8; i++)
        p = v_fma(p, f, v_set(c[i]));
    return v_mul(v_fma(p, f, v_set(-0.5f)), v_mul(f, f));
}

INLINE vec log_near_1(vec f)
{
    return v_add(f, log_tail(f));
}

#define LN2 0.693147181f

/* ln x of an ordinary positive float to within 2e-7 of it; NaN stays NaN. */
INLINE vec log_of(vec x)
{
    vec m, power;
    const vec e = v_split(x, &m, &power);
    return v_fma(e, v_set(LN2), log_near_1(v_sub(m, v_set(1))));
}

/* (1 + f) ln(1 + f) - f >= 0 for f >= -1, to within 1e-6 of it where |f| is above 1e-6 or so: near f = 0 from f
 * itself, as 1 + f has lost its end. */
INLINE vec divergence_of(vec f)
{
    vec m, power;
    const vec r = v_max(v_set(1.2e-38f), v_add(f, v_set(1)));
    const vec e = v_split(r, &m, &power);
    const vec near = v_choose_zero(e, f, v_sub(m, v_set(1))); /* ln r = e ln 2 + ln(1 + near) */
    const vec ln_less = v_fma(e, v_set(LN2), log_tail(near)); /* ln r - near */
    return v_fma(r, ln_less, v_fma(f, near, v_sub(near, f)));
}

#endif
