#include <dal/image.h>

#include <math.h>

#include "clones.h"

#define MOST ((int64_t)1 << 20) /* pixels of a side */
#define BITS 22                 /* of a fixed-point weight: 8 of a pixel, 2 to spare */

/* One axis: output pixel i is the sum over j < n[i] of weights[i * room + j] * input[first[i] + j]. */
typedef struct axis {
    int64_t from, to, room;
    int64_t *first, *n; /* [to] */
    double *weights;    /* [to, room] */
    int32_t *fixed;     /* [to, room] */
} axis;

struct dal_resizer {
    const dal_host *host;
    axis x, y;
};

static void free_axis(const dal_host *host, axis *a)
{
    host->free(host, a->first);
    host->free(host, a->n);
    host->free(host, a->weights);
    host->free(host, a->fixed);
}

static void weigh(axis *a, int64_t i, double scale, double support)
{
    const double center = ((double)i + 0.5) * scale, width = scale > 1 ? scale : 1;
    int64_t low = (int64_t)(center - support + 0.5), high = (int64_t)(center + support + 0.5);
    double *w = a->weights + i * a->room, sum = 0;
    low = low < 0 ? 0 : low;
    high = high > a->from ? a->from : high;
    a->first[i] = low;
    a->n[i] = high - low;
    for (int64_t j = 0; j < high - low; j++) {
        const double d = fabs(((double)(j + low) - center + 0.5) * (1 / width));
        w[j] = d < 1 ? 1 - d : 0;
        sum += w[j];
    }
    for (int64_t j = 0; j < high - low; j++) {
        w[j] = sum > 0 ? w[j] / sum : w[j];
        a->fixed[i * a->room + j] = (int32_t)(0.5 + w[j] * (1 << BITS));
    }
}

static dal_status make_axis(const dal_host *host, axis *a, int64_t from, int64_t to, dal_error *err)
{
    const double scale = (double)from / (double)to, support = scale > 1 ? scale : 1;
    int64_t n;
    *a = (axis){.from = from, .to = to, .room = (int64_t)ceil(support) * 2 + 1};
    if (!dal_size_mul(to, a->room, &n))
        return dal_fail(err, DAL_E_OVERFLOW, "", "images of %lld pixels are too large", (long long)from);
    a->first = dal_array(host, to, sizeof *a->first);
    a->n = dal_array(host, to, sizeof *a->n);
    a->weights = dal_array(host, n, sizeof *a->weights);
    a->fixed = dal_array(host, n, sizeof *a->fixed);
    if (!a->first || !a->n || !a->weights || !a->fixed)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory to resize images");
    for (int64_t i = 0; i < to; i++)
        weigh(a, i, scale, support);
    return DAL_OK;
}

dal_status dal_resizer_new(const dal_host *host, int64_t from_height, int64_t from_width, int64_t to_height,
                           int64_t to_width, dal_resizer **resizer, dal_error *err)
{
    const int64_t sides[] = {from_height, from_width, to_height, to_width};
    for (int i = 0; i < 4; i++)
        if (sides[i] < 1 || sides[i] > MOST)
            return dal_fail(err, DAL_E_OVERFLOW, "", "an image side of %lld pixels, expected 1..%lld",
                            (long long)sides[i], (long long)MOST);
    dal_resizer *r = host->alloc(host, sizeof *r, 0);
    if (!r)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory to resize images");
    *r = (dal_resizer){.host = host};
    dal_status st = make_axis(host, &r->x, from_width, to_width, err);
    if (st == DAL_OK)
        st = make_axis(host, &r->y, from_height, to_height, err);
    if (st == DAL_OK)
        *resizer = r;
    else
        dal_resizer_free(r);
    return st;
}

void dal_resizer_free(dal_resizer *r)
{
    if (!r)
        return;
    free_axis(r->host, &r->x);
    free_axis(r->host, &r->y);
    r->host->free(r->host, r);
}

size_t dal_resizer_scratch(const dal_resizer *r)
{
    return (size_t)(r->y.from * r->x.to) * sizeof(double);
}

static unsigned char clip(int32_t sum)
{
    const int32_t v = sum >> BITS;
    return (unsigned char)(v < 0 ? 0 : v > 255 ? 255 : v);
}

/* Rows of one channel: from[height, a->from] to to[height, a->to]. */
static void rows_u8(const axis *a, int64_t height, const unsigned char *from, unsigned char *to)
{
    for (int64_t y = 0; y < height; y++, from += a->from)
        for (int64_t i = 0; i < a->to; i++, to++) {
            const int32_t *w = a->fixed + i * a->room;
            int32_t sum = 1 << (BITS - 1);
            for (int64_t j = 0; j < a->n[i]; j++)
                sum += from[a->first[i] + j] * w[j];
            *to = clip(sum);
        }
}

static void columns_u8(const axis *a, int64_t width, const unsigned char *from, unsigned char *to)
{
    for (int64_t i = 0; i < a->to; i++)
        for (int64_t x = 0; x < width; x++, to++) {
            const int32_t *w = a->fixed + i * a->room;
            int32_t sum = 1 << (BITS - 1);
            for (int64_t j = 0; j < a->n[i]; j++)
                sum += from[(a->first[i] + j) * width + x] * w[j];
            *to = clip(sum);
        }
}

void dal_resize_u8(const dal_resizer *r, const unsigned char *from, int64_t channels, unsigned char *to, void *scratch)
{
    const axis *x = &r->x, *y = &r->y;
    for (int64_t c = 0; c < channels; c++, from += x->from * y->from, to += x->to * y->to) {
        const unsigned char *rows = from;
        if (x->from != x->to) {
            rows_u8(x, y->from, from, y->from == y->to ? to : scratch);
            rows = scratch;
        }
        if (y->from != y->to)
            columns_u8(y, x->to, rows, to);
        else if (x->from == x->to)
            memcpy(to, from, (size_t)(x->to * y->to));
    }
}

void dal_resize_f32(const dal_resizer *r, const float *from, int64_t channels, float *to, void *scratch)
{
    const axis *a = &r->x, *b = &r->y;
    double *rows = scratch;
    for (int64_t c = 0; c < channels; c++, from += a->from * b->from) {
        for (int64_t y = 0; y < b->from; y++)
            for (int64_t i = 0; i < a->to; i++) {
                double sum = 0;
                for (int64_t j = 0; j < a->n[i]; j++)
                    sum += (double)from[y * a->from + a->first[i] + j] * a->weights[i * a->room + j];
                rows[y * a->to + i] = sum;
            }
        for (int64_t i = 0; i < b->to; i++)
            for (int64_t x = 0; x < a->to; x++, to++) {
                double sum = 0;
                for (int64_t j = 0; j < b->n[i]; j++)
                    sum += rows[(b->first[i] + j) * a->to + x] * b->weights[i * b->room + j];
                *to = (float)sum;
            }
    }
}

DAL_CLONES
static void split_rgb(const unsigned char *restrict rgb, int64_t n, unsigned char *restrict red,
                      unsigned char *restrict green, unsigned char *restrict blue)
{
    for (int64_t i = 0; i < n; i++) {
        red[i] = rgb[3 * i];
        green[i] = rgb[3 * i + 1];
        blue[i] = rgb[3 * i + 2];
    }
}

void dal_planes_u8(const unsigned char *rgb, int64_t n, unsigned char *red, unsigned char *green, unsigned char *blue)
{
    split_rgb(rgb, n, red, green, blue);
}

void dal_grey_u8(const unsigned char *rgb, int64_t n, unsigned char *grey)
{
    for (int64_t i = 0; i < n; i++)
        grey[i] = (unsigned char)((19595u * rgb[i] + 38470u * rgb[n + i] + 7471u * rgb[2 * n + i] + 0x8000u) >> 16);
}

void dal_grey_f32(const float *rgb, int64_t n, float *grey)
{
    for (int64_t i = 0; i < n; i++)
        grey[i] = (float)(0.299 * (double)rgb[i] + 0.587 * (double)rgb[n + i] + 0.114 * (double)rgb[2 * n + i]);
}
