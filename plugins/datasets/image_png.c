#include "image_decoders.h"

#ifdef DAL_HAVE_PNG
#include <png.h>

#define MAX_CHUNK ((png_alloc_size_t)8 << 20) /* inflated bytes of one chunk that is no picture */
#define MAX_CHUNKS 256

/* What the callbacks of libpng see. */
typedef struct source {
    const dal_host *host;
    const image_bytes *bytes;
    int64_t at;
    int no_memory;
    char what[128];
} source;

/* libpng wants no return from here: it leaves over its own frames only. */
static void give_up(png_structp png, png_const_charp what)
{
    source *s = png_get_error_ptr(png);
    snprintf(s->what, sizeof s->what, "%s", what);
    png_longjmp(png, 1);
}

/* Of colour profiles and times, mostly: nothing that changes pixels as we read them. */
static void take_no_notice(png_structp png, png_const_charp what)
{
    (void)png, (void)what;
}

static void take_bytes(png_structp png, png_bytep to, png_size_t n)
{
    source *s = png_get_io_ptr(png);
    if ((int64_t)n > s->bytes->n - s->at) {
        s->at = s->bytes->n;
        png_error(png, "the file ends within the picture");
    }
    memcpy(to, s->bytes->data + s->at, n);
    s->at += (int64_t)n;
}

static png_voidp take_memory(png_structp png, png_alloc_size_t n)
{
    source *s = png_get_mem_ptr(png);
    void *p = s->host->alloc(s->host, n, 0);
    s->no_memory |= !p;
    return p;
}

static void give_memory(png_structp png, png_voidp p)
{
    const source *s = png_get_mem_ptr(png);
    s->host->free(s->host, p);
}

/* 8 bits a sample, grey or RGB. */
static void settle_conversions(png_structp png, png_infop info)
{
    const int type = png_get_color_type(png, info), depth = png_get_bit_depth(png, info);
    if (type == PNG_COLOR_TYPE_PALETTE)
        png_set_palette_to_rgb(png);
    if (type == PNG_COLOR_TYPE_GRAY && depth < 8)
        png_set_expand_gray_1_2_4_to_8(png);
    if (depth == 16)
        png_set_scale_16(png);
    png_set_strip_alpha(png);
}

/* Interlaced pictures come in passes over all rows; others go row by row through rows[0]. */
static void decode(png_structp png, png_infop info, const image_info *want, int interlaced, unsigned char **rows,
                   const image_rows *to)
{
    png_read_info(png, info);
    settle_conversions(png, info);
    const int passes = png_set_interlace_handling(png);
    png_read_update_info(png, info);
    if ((int64_t)png_get_rowbytes(png, info) != want->width * want->channels || (passes > 1 && !interlaced) ||
        (int64_t)png_get_image_height(png, info) != want->height)
        png_error(png, "rows of an unexpected length");
    if (interlaced)
        png_read_image(png, rows);
    for (int64_t y = 0; y < want->height; y++) {
        if (!interlaced)
            png_read_row(png, rows[0], NULL);
        image_put_row(to, y, rows[interlaced ? y : 0]);
    }
    png_read_end(png, NULL);
}

/* `png` and `info` are never changed between setjmp and a jump. */
static int attempt(png_structp png, png_infop info, const image_info *want, int interlaced, unsigned char **rows,
                   const image_rows *to)
{
    if (setjmp(png_jmpbuf(png)))
        return 0;
    png_set_user_limits(png, IMAGE_MAX_SIDE, IMAGE_MAX_SIDE);
    png_set_chunk_malloc_max(png, MAX_CHUNK);
    png_set_chunk_cache_max(png, MAX_CHUNKS);
    png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, NULL, 0);
    decode(png, info, want, interlaced, rows, to);
    return 1;
}

dal_status image_decode_png(const dal_host *host, const image_bytes *b, const image_info *info, const image_rows *to,
                            dal_error *err)
{
    source s = {.host = host, .bytes = b};
    const int interlaced = b->data[28] != 0;
    const int64_t step = info->width * info->channels, n_rows = interlaced ? info->height : 1;
    unsigned char **rows = dal_array(host, n_rows, sizeof *rows), *pixels = dal_array(host, n_rows * step, 1);
    png_structp png = rows && pixels ? png_create_read_struct_2(PNG_LIBPNG_VER_STRING, &s, give_up, take_no_notice, &s,
                                                                take_memory, give_memory)
                                     : NULL;
    png_infop header = png ? png_create_info_struct(png) : NULL;
    dal_status st = DAL_OK;
    for (int64_t y = 0; header && y < n_rows; y++)
        rows[y] = pixels + y * step;
    if (!header)
        s.no_memory = 1;
    else
        png_set_read_fn(png, &s, take_bytes);
    if (!header || !attempt(png, header, info, interlaced, rows, to)) {
        char what[192];
        snprintf(what, sizeof what, "damaged PNG data: %s", s.what);
        st = s.no_memory ? dal_fail(err, DAL_E_NOMEM, b->key, "%s: no memory to decode it", b->place)
                         : image_broken(b, s.at, what, err);
    }
    png_destroy_read_struct(&png, &header, NULL);
    host->free(host, pixels);
    host->free(host, rows);
    return st;
}

#else

dal_status image_decode_png(const dal_host *host, const image_bytes *b, const image_info *info, const image_rows *to,
                            dal_error *err)
{
    (void)host, (void)info, (void)to;
    return dal_fail(err, DAL_E_UNSUPPORTED, b->key,
                    "%s: this build reads no PNG: it was configured without libpng (Debian: libpng-dev)", b->place);
}

#endif
