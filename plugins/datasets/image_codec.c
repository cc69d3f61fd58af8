#include "image_codec.h"

#include <dal/image.h>

#include "image_decoders.h"

#include <strings.h>

/* ---- names and headers ------------------------------------------------------------------------ */

int image_has_name(const char *name)
{
    static const char *const ends[] = {".jpg", ".jpeg", ".png", ".ppm", ".pgm", ".pnm"};
    const char *dot = strrchr(name, '.');
    for (size_t i = 0; dot && i < sizeof ends / sizeof *ends; i++)
        if (strcasecmp(dot, ends[i]) == 0)
            return 1;
    return 0;
}

dal_status image_broken(const image_bytes *b, int64_t offset, const char *what, dal_error *err)
{
    return dal_fail(err, DAL_E_FORMAT, b->key, "%s: %s, at offset %lld of %lld", b->place, what, (long long)offset,
                    (long long)b->size);
}

/* n bytes at offset `at`: are they here? If not: is it for want of bytes that the file has? */
static int has(const image_bytes *b, int64_t at, int64_t n, int *more)
{
    if (at + n <= b->n)
        return 1;
    *more = at + n <= b->size;
    return 0;
}

static int64_t big16(const unsigned char *p)
{
    return (int64_t)p[0] << 8 | p[1];
}

static int64_t big32(const unsigned char *p)
{
    return big16(p) << 16 | big16(p + 2);
}

/* From marker to marker until a start of frame. */
static dal_status look_jpeg(const image_bytes *b, image_info *info, int *more, dal_error *err)
{
    int64_t at = 2;
    for (;;) {
        while (has(b, at, 2, more) && b->data[at] == 0xff && b->data[at + 1] == 0xff)
            at++;
        if (!has(b, at, 4, more))
            return *more ? DAL_OK : image_broken(b, b->size, "it ends within its header", err);
        const unsigned char *p = b->data + at;
        if (p[0] != 0xff)
            return image_broken(b, at, "no JPEG marker", err);
        if (p[1] >= 0xc0 && p[1] <= 0xcf && p[1] != 0xc4 && p[1] != 0xc8 && p[1] != 0xcc)
            break;
        if (p[1] == 0xda || p[1] == 0xd9)
            return image_broken(b, at, "JPEG data without a frame before them", err);
        const int alone = p[1] == 0x01 || (p[1] >= 0xd0 && p[1] <= 0xd8);
        if (!alone && big16(p + 2) < 2)
            return image_broken(b, at, "a JPEG marker of no length", err);
        at += alone ? 2 : 2 + big16(p + 2);
    }
    if (!has(b, at, 10, more))
        return *more ? DAL_OK : image_broken(b, b->size, "it ends within its header", err);
    const unsigned char *p = b->data + at;
    if (p[4] != 8)
        return image_broken(b, at + 4, "JPEG samples that are not of 8 bits", err);
    if (p[9] != 1 && p[9] != 3 && p[9] != 4)
        return image_broken(b, at + 9, "a JPEG of neither 1, 3 nor 4 components", err);
    *info = (image_info){big16(p + 5), big16(p + 7), p[9] == 1 ? 1 : 3, IMAGE_JPEG};
    return DAL_OK;
}

static dal_status look_png(const image_bytes *b, image_info *info, int *more, dal_error *err)
{
    if (!has(b, 0, 29, more))
        return *more ? DAL_OK : image_broken(b, b->size, "it ends within its header", err);
    const unsigned char *p = b->data + 8;
    if (memcmp(p + 4, "IHDR", 4) != 0 || big32(p) != 13)
        return image_broken(b, 8, "no PNG header (IHDR)", err);
    const int type = p[17];
    if (type != 0 && type != 2 && type != 3 && type != 4 && type != 6)
        return image_broken(b, 25, "a PNG of an unknown kind of colour", err);
    *info = (image_info){big32(p + 12), big32(p + 8), type == 0 || type == 4 ? 1 : 3, IMAGE_PNG};
    return DAL_OK;
}

/* The number after blanks and comments at *at, or -1. */
static int64_t pnm_number(const image_bytes *b, int64_t *at)
{
    int64_t i = *at, v = 0, digits = 0;
    while (i < b->n && (strchr(" \t\r\n\v\f", b->data[i]) ? b->data[i] != 0 : b->data[i] == '#'))
        if (b->data[i++] == '#')
            while (i < b->n && b->data[i] != '\n')
                i++;
    for (; i < b->n && b->data[i] >= '0' && b->data[i] <= '9' && digits < 9; i++, digits++)
        v = v * 10 + (b->data[i] - '0');
    *at = i;
    return digits > 0 && digits < 9 ? v : -1;
}

static dal_status look_pnm(const image_bytes *b, image_info *info, int *more, dal_error *err)
{
    int64_t at = 2;
    const int64_t width = pnm_number(b, &at), height = pnm_number(b, &at), top = pnm_number(b, &at);
    if (at >= b->n && b->n < b->size) {
        *more = 1;
        return DAL_OK;
    }
    if (width < 0 || height < 0 || top < 1 || top > 65535 || at >= b->n)
        return image_broken(b, at, "no PNM header: expected width, height and a largest value of 1..65535", err);
    *info = (image_info){height, width, b->data[1] == '3' || b->data[1] == '6' ? 3 : 1, IMAGE_PNM};
    return DAL_OK;
}

dal_status image_look(const image_bytes *b, image_info *info, int *more, dal_error *err)
{
    const unsigned char *p = b->data;
    dal_status st;
    *more = 0;
    if (b->n >= 3 && p[0] == 0xff && p[1] == 0xd8 && p[2] == 0xff)
        st = look_jpeg(b, info, more, err);
    else if (b->n >= 8 && memcmp(p, "\x89PNG\r\n\x1a\n", 8) == 0)
        st = look_png(b, info, more, err);
    else if (b->n >= 2 && p[0] == 'P' && (p[1] == '2' || p[1] == '3' || p[1] == '5' || p[1] == '6'))
        st = look_pnm(b, info, more, err);
    else
        return dal_fail(err, DAL_E_FORMAT, b->key, "%s: %s", b->place,
                        b->size == 0 ? "there is nothing in it"
                                     : "is no picture of a known format: it begins neither as JPEG nor PNG nor PNM");
    if (st != DAL_OK || *more)
        return st;
    if (info->height < 1 || info->width < 1 || info->height > IMAGE_MAX_SIDE || info->width > IMAGE_MAX_SIDE ||
        info->height * info->width > IMAGE_MAX_PIXELS)
        return dal_fail(err, DAL_E_FORMAT, b->key, "%s: is said to have %lld x %lld pixels, expected 1 to %d million",
                        b->place, (long long)info->height, (long long)info->width, (int)(IMAGE_MAX_PIXELS >> 20));
    return DAL_OK;
}

/* ---- PNM -------------------------------------------------------------------------------------- */

/* Value i of a plain or binary file, *at moving on; -1: there is none. */
static int64_t pnm_value(const image_bytes *b, int plain, int64_t top, int64_t *at)
{
    if (plain)
        return pnm_number(b, at);
    const int64_t bytes = top > 255 ? 2 : 1;
    if (b->n - *at < bytes)
        return -1;
    const int64_t v = bytes == 2 ? big16(b->data + *at) : b->data[*at];
    *at += bytes;
    return v;
}

static dal_status decode_pnm(const dal_host *host, const image_bytes *b, const image_info *info, const image_rows *to,
                             dal_error *err)
{
    int64_t at = 2;
    const int plain = b->data[1] < '5';
    const int64_t step = info->width * info->channels;
    unsigned char *row = dal_array(host, step, 1);
    dal_status st = DAL_OK;
    if (!row)
        return dal_fail(err, DAL_E_NOMEM, b->key, "%s: no memory to decode it", b->place);
    pnm_number(b, &at);
    pnm_number(b, &at);
    const int64_t top = pnm_number(b, &at);
    at += !plain; /* the one blank before the values */
    for (int64_t y = 0; y < info->height && st == DAL_OK; y++) {
        for (int64_t i = 0; i < step && st == DAL_OK; i++) {
            const int64_t before = at, v = pnm_value(b, plain, top, &at);
            if (v < 0)
                st = image_broken(b, before, "the picture is cut short", err);
            else if (v > top)
                st = image_broken(b, before, "a value above the largest that its header tells", err);
            else
                row[i] = (unsigned char)(top == 255 ? v : (v * 255 + top / 2) / top);
        }
        if (st == DAL_OK)
            image_put_row(to, y, row);
    }
    host->free(host, row);
    return st;
}

/* ---- all -------------------------------------------------------------------------------------- */

void image_put_row(const image_rows *to, int64_t y, const unsigned char *row)
{
    const int64_t w = to->width;
    unsigned char *out = to->out + y * w;
    if (to->channels == 1) {
        for (int c = 0; c < to->wanted; c++)
            memcpy(out + c * to->n, row, (size_t)w);
    } else if (to->wanted == 3) {
        dal_planes_u8(row, w, out, out + to->n, out + 2 * to->n);
    } else {
        dal_planes_u8(row, w, to->scratch, to->scratch + w, to->scratch + 2 * w);
        dal_grey_u8(to->scratch, w, out);
    }
}

dal_status image_decode(const dal_host *host, const image_bytes *b, const image_info *info, unsigned char *out,
                        dal_error *err)
{
    image_info found = {0};
    int more;
    dal_status st = image_look(b, &found, &more, err);
    if (st != DAL_OK)
        return st;
    if (more || found.height != info->height || found.width != info->width)
        return image_broken(b, 0, "it has changed", err);
    image_rows to = {.out = out, .n = info->height * info->width, .width = info->width, .channels = found.channels,
                     .wanted = info->channels};
    if (to.channels > to.wanted && !(to.scratch = dal_array(host, 3 * to.width, 1)))
        return dal_fail(err, DAL_E_NOMEM, b->key, "%s: no memory to decode it", b->place);
    if (found.format == IMAGE_JPEG)
        st = image_decode_jpeg(host, b, &found, &to, err);
    else if (found.format == IMAGE_PNG)
        st = image_decode_png(host, b, &found, &to, err);
    else
        st = decode_pnm(host, b, &found, &to, err);
    host->free(host, to.scratch);
    return st;
}
