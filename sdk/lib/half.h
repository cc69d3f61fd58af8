/* half.h: 16-bit floats. */
#ifndef LIB_HALF_H
#define LIB_HALF_H

#include <stdint.h>
#include <string.h>

/* IEEE 754 binary16 as float, exactly. */
static inline float half_value(uint16_t h)
{
    const uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = h >> 10 & 0x1f, fraction = h & 0x3ff;
    uint32_t bits = sign | (exponent + 112) << 23 | fraction << 13;
    float value;
    if (exponent == 0x1f) /* infinity, NaN */
        bits = sign | 0x7f800000u | fraction << 13;
    if (exponent == 0) { /* denormal as a half, an ordinary float */
        const float tiny = (float)fraction * 0x1p-24f;
        return sign ? -tiny : tiny;
    }
    memcpy(&value, &bits, sizeof value);
    return value;
}

#endif
