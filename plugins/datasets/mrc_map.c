#include "mrc_map.h"

#include <math.h>

#define HEADER 1024
#define MAX_CONTENT ((int64_t)1 << 36) /* a gzip file that inflates to more is refused */

/* Offsets of what we read of the header. */
enum { NX = 0, MODE = 12, MAPC = 64, NSYMBT = 92, MAP = 208, MACHST = 212 };

static uint32_t word(const mrc_map *m, const unsigned char *p)
{
    return m->big ? (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3]
                  : (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0];
}

static uint16_t half_word(const mrc_map *m, const unsigned char *p)
{
    return m->big ? (uint16_t)(p[0] << 8 | p[1]) : (uint16_t)(p[1] << 8 | p[0]);
}

static int64_t value_bytes(int32_t mode)
{
    switch (mode) {
    case 0: return 1;
    case 1:
    case 6:
    case 12: return 2;
    case 2: return 4;
    default: return 0;
    }
}

/* Of IEEE 754 binary16. */
static float half(uint16_t h)
{
    const int exponent = h >> 10 & 31, fraction = h & 1023;
    const double sign = h >> 15 ? -1 : 1;
    if (exponent == 31)
        return fraction ? NAN : sign > 0 ? INFINITY : -INFINITY;
    return (float)(sign * (exponent ? ldexp(1024 + fraction, exponent - 25) : ldexp(fraction, -24)));
}

static float value_at(const mrc_map *m, int64_t i)
{
    const unsigned char *p = m->data + i * value_bytes(m->mode);
    uint32_t bits;
    float x;
    switch (m->mode) {
    case 0: return (float)(int8_t)*p;
    case 1: return (float)(int16_t)half_word(m, p);
    case 6: return (float)half_word(m, p);
    case 12: return half(half_word(m, p));
    default:
        bits = word(m, p);
        memcpy(&x, &bits, sizeof x);
        return x;
    }
}

/* ---- header ----------------------------------------------------------------------------------- */

/* MACHST begins "DD" or "DA" in little-endian files; where it says nothing, mode and axes have to make sense. */
static dal_status find_order(mrc_map *m, const unsigned char *h, dal_error *err)
{
    const unsigned char stamp = h[MACHST];
    m->big = stamp == 0x11;
    if (stamp != 0x11 && stamp != 0x44)
        m->big = value_bytes((int32_t)word(m, h + MODE)) == 0 || word(m, h + MAPC) > 3;
    m->mode = (int32_t)word(m, h + MODE);
    if (value_bytes(m->mode) == 0)
        return dal_fail(err, DAL_E_FORMAT, m->key,
                        "%s: values of mode %d, expected 0 (int8), 1 (int16), 2 (float32), 6 (uint16) or 12 (float16)",
                        m->path, m->mode);
    return DAL_OK;
}

/* Sizes of columns, rows and sections, and which axis each is. */
static dal_status take_axes(mrc_map *m, const unsigned char *h, dal_error *err)
{
    int64_t n[3], stride = 1;
    uint32_t axis[3], seen = 0;
    for (int k = 0; k < 3; k++) {
        n[k] = (int32_t)word(m, h + NX + 4 * k);
        axis[k] = word(m, h + MAPC + 4 * k);
    }
    if (axis[0] == 0 && axis[1] == 0 && axis[2] == 0) /* files from before the format had them */
        for (uint32_t k = 0; k < 3; k++)
            axis[k] = k + 1;
    for (int k = 0; k < 3; k++)
        seen |= axis[k] >= 1 && axis[k] <= 3 ? 1u << axis[k] : 0;
    if (seen != 0xe)
        return dal_fail(err, DAL_E_FORMAT, m->key,
                        "%s: MAPC, MAPR, MAPS at offset %d are %u, %u, %u, expected 1, 2, 3 in any order", m->path,
                        MAPC, axis[0], axis[1], axis[2]);
    if (n[0] < 1 || n[1] < 1 || n[2] < 1)
        return dal_fail(err, DAL_E_FORMAT, m->key,
                        "%s: the header says %lld x %lld x %lld values, expected at least one", m->path,
                        (long long)n[0], (long long)n[1], (long long)n[2]);
    for (int k = 0; k < 3; k++) {
        m->size[axis[k] - 1] = n[k];
        m->stride[axis[k] - 1] = stride;
        if (!dal_size_mul(stride, n[k], &stride) || stride > INT64_MAX / 8)
            return dal_fail(err, DAL_E_OVERFLOW, m->key,
                            "%s: the header says %lld x %lld x %lld values, which is too many", m->path,
                            (long long)n[0], (long long)n[1], (long long)n[2]);
    }
    return DAL_OK;
}

static dal_status take_header(const dal_host *host, mrc_map *m, dal_error *err)
{
    int64_t size;
    const unsigned char *h = dal_file_data(m->file, &size);
    if (size < HEADER)
        return dal_fail(err, DAL_E_FORMAT, m->key, "%s: truncated: %lld bytes, an MRC file has %d of header alone",
                        m->path, (long long)size, HEADER);
    if (memcmp(h + MAP, "MAP", 3) != 0)
        return dal_fail(err, DAL_E_FORMAT, m->key, "%s: found no MAP at offset %d: is this an MRC or CCP4 file?",
                        m->path, MAP);
    dal_status st = find_order(m, h, err);
    if (st == DAL_OK)
        st = take_axes(m, h, err);
    if (st != DAL_OK)
        return st;
    const int64_t extended = (int32_t)word(m, h + NSYMBT);
    const int64_t bytes = m->size[0] * m->size[1] * m->size[2] * value_bytes(m->mode);
    if (extended < 0 || extended > size - HEADER)
        return dal_fail(err, DAL_E_FORMAT, m->key,
                        "%s: the extended header is said to have %lld bytes, in a file of %lld", m->path,
                        (long long)extended, (long long)size);
    if (bytes > size - HEADER - extended)
        return dal_fail(err, DAL_E_FORMAT, m->key,
                        "%s: truncated at offset %lld: the header says %lld x %lld x %lld values of mode %d, which is "
                        "%lld bytes in all", m->path, (long long)size, (long long)m->size[0], (long long)m->size[1],
                        (long long)m->size[2], m->mode, (long long)(HEADER + extended + bytes));
    if (bytes < size - HEADER - extended)
        dal_logf(host, DAL_LOG_WARNING, "%s: %lld bytes behind the values are passed over", m->path,
                 (long long)(size - HEADER - extended - bytes));
    m->data = h + HEADER + extended;
    return DAL_OK;
}

dal_status mrc_open(const dal_host *host, const char *path, const char *key, mrc_map *m, dal_error *err)
{
    *m = (mrc_map){.path = path, .key = key};
    dal_status st = dal_file_open(host, path, key, &m->file, err);
    if (st == DAL_OK)
        st = dal_file_load(m->file, MAX_CONTENT, 0, err);
    if (st == DAL_OK)
        st = take_header(host, m, err);
    if (st != DAL_OK)
        mrc_close(m);
    return st;
}

void mrc_close(mrc_map *m)
{
    dal_file_close(m->file);
    *m = (mrc_map){0};
}

/* ---- values ----------------------------------------------------------------------------------- */

dal_status mrc_read(const mrc_map *m, int64_t x, int64_t y, int64_t z, int64_t width, int64_t height, float *out,
                    dal_error *err)
{
    for (int64_t j = 0; j < height; j++) {
        int64_t at = x * m->stride[MRC_X] + (y + j) * m->stride[MRC_Y] + z * m->stride[MRC_Z];
        for (int64_t i = 0; i < width; i++, at += m->stride[MRC_X], out++) {
            *out = value_at(m, at);
            if (!isfinite(*out))
                return dal_fail(err, DAL_E_FORMAT, m->key, "%s: the value at x %lld, y %lld, z %lld is not finite",
                                m->path, (long long)(x + i), (long long)(y + j), (long long)z);
        }
    }
    return DAL_OK;
}
