#include "dataset/picture.h"

#include <math.h>
#include <stdlib.h>
#include <zlib.h>

/* ---- pixels ---- */

typedef struct planes {
    const dal_sample_spec *spec;
    const void *data;
    int64_t h, w;
    float low, scale; /* floats as 0..255 */
} planes;

static planes planes_of(const dal_sample_spec *spec, const void *data)
{
    planes p = {spec, data, spec->shape[1], spec->shape[2], 0, 1};
    if (spec->dtype != DAL_F32)
        return p;
    float low = INFINITY, high = -INFINITY;
    for (int64_t i = 0; i < dal_sample_values(spec); i++) {
        const float x = ((const float *)data)[i];
        low = x < low ? x : low; /* never by NaN */
        high = x > high ? x : high;
    }
    p.low = isfinite(low) ? low : 0;
    p.scale = isfinite(low) && isfinite(high) && high > low ? 255 / (high - low) : 1;
    return p;
}

static float pixel(const planes *p, int64_t channel, int64_t y, int64_t x)
{
    const int64_t at = (channel * p->h + y) * p->w + x;
    if (p->spec->dtype == DAL_U8)
        return ((const uint8_t *)p->data)[at];
    const float v = (((const float *)p->data)[at] - p->low) * p->scale;
    return v >= 0 && v <= 255 ? v : v > 255 ? 255 : 0;
}

static unsigned char mean(const planes *p, int64_t channel, int64_t y0, int64_t y1, int64_t x0, int64_t x1)
{
    double sum = 0;
    for (int64_t y = y0; y < y1; y++)
        for (int64_t x = x0; x < x1; x++)
            sum += (double)pixel(p, channel, y, x);
    return (unsigned char)(sum / (double)((y1 - y0) * (x1 - x0)) + 0.5);
}

picture picture_of(const dal_sample_spec *spec, const void *data, int most)
{
    const planes p = planes_of(spec, data);
    const int64_t side = p.h > p.w ? p.h : p.w;
    picture out = {(int)p.w, (int)p.h, NULL};
    if (side > most) {
        out.w = (int)(p.w * most / side > 0 ? p.w * most / side : 1);
        out.h = (int)(p.h * most / side > 0 ? p.h * most / side : 1);
    }
    out.rgb = xcalloc((size_t)out.w * (size_t)out.h, 3);
    const bool rgb = spec->shape[0] == 3 || spec->shape[0] == 4;
    unsigned char *to = out.rgb;
    for (int64_t y = 0; y < out.h; y++)
        for (int64_t x = 0; x < out.w; x++)
            for (int64_t k = 0; k < 3; k++)
                *to++ = mean(&p, rgb ? k : 0, y * p.h / out.h, (y + 1) * p.h / out.h, x * p.w / out.w,
                             (x + 1) * p.w / out.w);
    return out;
}

void picture_fini(picture *p)
{
    free(p->rgb);
    *p = (picture){0};
}

/* ---- on a terminal ---- */

static const unsigned char *at(const picture *p, int y, int x)
{
    static const unsigned char black[3];
    return y < p->h ? p->rgb + ((size_t)y * (size_t)p->w + (size_t)x) * 3 : black;
}

static int brightness(const unsigned char *c)
{
    return (299 * c[0] + 587 * c[1] + 114 * c[2]) / 1000;
}

static void print_cell(const picture *p, int y, int x, bool colour, FILE *out)
{
    static const char ramp[] = " .:-=+*#%@";
    const unsigned char *upper = at(p, y, x), *lower = at(p, y + 1, x);
    if (colour)
        fprintf(out, "\033[38;2;%d;%d;%dm\033[48;2;%d;%d;%dm\u2580", upper[0], upper[1], upper[2], lower[0], lower[1],
                lower[2]);
    else
        fputc(ramp[(brightness(upper) + brightness(lower)) / 2 * 10 / 256], out);
}

void pictures_print(const picture *p, int n, bool colour, FILE *out)
{
    int rows = 0;
    for (int i = 0; i < n; i++)
        rows = p[i].h > rows ? p[i].h : rows;
    for (int y = 0; y < rows; y += 2) {
        for (int i = 0; i < n; i++) {
            fputs("  ", out);
            for (int x = 0; x < p[i].w; x++)
                if (y < p[i].h)
                    print_cell(&p[i], y, x, colour, out);
                else
                    fputc(' ', out);
            if (colour)
                fputs("\033[0m", out);
        }
        fputc('\n', out);
    }
}

/* ---- as PNG ---- */

typedef struct bytes {
    unsigned char *data;
    size_t n;
} bytes;

static void put_u32(unsigned char *to, uint32_t x)
{
    for (int i = 0; i < 4; i++)
        to[i] = (unsigned char)(x >> (24 - 8 * i));
}

static void add_chunk(bytes *b, const char *type, const unsigned char *data, size_t n)
{
    b->data = xrealloc(b->data, b->n + n + 12);
    unsigned char *to = b->data + b->n;
    put_u32(to, (uint32_t)n);
    memcpy(to + 4, type, 4);
    if (n)
        memcpy(to + 8, data, n);
    put_u32(to + 8 + n, (uint32_t)crc32(0, to + 4, (uInt)(n + 4)));
    b->n += n + 12;
}

static void add_base64(const unsigned char *data, size_t n, text *out)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char line[65];
    size_t used = 0;
    for (size_t i = 0; i < n; i += 3) {
        const uint32_t x = (uint32_t)data[i] << 16 | (i + 1 < n ? (uint32_t)data[i + 1] << 8 : 0) |
                           (i + 2 < n ? (uint32_t)data[i + 2] : 0);
        line[used++] = digits[x >> 18];
        line[used++] = digits[x >> 12 & 63];
        line[used++] = i + 1 < n ? digits[x >> 6 & 63] : '=';
        line[used++] = i + 2 < n ? digits[x & 63] : '=';
        if (used == 64 || i + 3 >= n) {
            line[used] = '\0';
            text_add(out, line);
            used = 0;
        }
    }
}

bool picture_add_png(const picture *p, text *out)
{
    const size_t row = (size_t)p->w * 3, plain_size = (row + 1) * (size_t)p->h;
    uLongf packed_size = compressBound((uLong)plain_size);
    unsigned char *plain = xcalloc(1, plain_size), *packed = xcalloc(1, packed_size), head[13] = {0};
    for (int y = 0; y < p->h; y++) /* filter 0: as it is */
        memcpy(plain + (size_t)y * (row + 1) + 1, p->rgb + (size_t)y * row, row);
    const bool good = compress2(packed, &packed_size, plain, (uLong)plain_size, 9) == Z_OK;
    if (good) {
        static const unsigned char signature[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
        bytes b = {xcalloc(1, 8), 8};
        memcpy(b.data, signature, 8);
        put_u32(head, (uint32_t)p->w);
        put_u32(head + 4, (uint32_t)p->h);
        head[8] = 8; /* bits */
        head[9] = 2; /* red, green, blue */
        add_chunk(&b, "IHDR", head, sizeof head);
        add_chunk(&b, "IDAT", packed, packed_size);
        add_chunk(&b, "IEND", NULL, 0);
        add_base64(b.data, b.n, out);
        free(b.data);
    }
    free(plain);
    free(packed);
    return good;
}
