#include "image_decoders.h"

#ifdef DAL_HAVE_JPEG
#include <setjmp.h>

#include <jpeglib.h>
#include <jerror.h>

#define ODD 8 /* libjpeg-turbo writes rows that are aligned past the cache: we read them at once, so ours is not */
#define MAX_SCANS 1000 /* of a progressive file: more is an attack, each takes as long as the picture is large */

/* What libjpeg gets for its errors: it must not return from error_exit, so it leaves by longjmp, over its own frames
 * only. */
typedef struct complaint {
    struct jpeg_error_mgr base;
    jmp_buf out;
    char what[JMSG_LENGTH_MAX];
} complaint;

static void give_up(j_common_ptr jpeg)
{
    complaint *c = (complaint *)(void *)jpeg->err;
    c->base.format_message(jpeg, c->what);
    longjmp(c->out, 1);
}

/* Warnings are of damaged data, but for two that are of no weight for pixels. */
static void weigh(j_common_ptr jpeg, int level)
{
    const int code = jpeg->err->msg_code;
    if (level < 0 && code != JWRN_JFIF_MAJOR && code != JWRN_ADOBE_XFORM)
        give_up(jpeg);
}

static void say_nothing(j_common_ptr jpeg)
{
    (void)jpeg;
}

static void count_scans(j_common_ptr jpeg)
{
    if (jpeg->is_decompressor && ((j_decompress_ptr)(void *)jpeg)->input_scan_number > MAX_SCANS) {
        snprintf(((complaint *)(void *)jpeg->err)->what, JMSG_LENGTH_MAX, "more than %d scans", MAX_SCANS);
        longjmp(((complaint *)(void *)jpeg->err)->out, 1);
    }
}

/* Adobe's programs write CMYK upside down. */
static void from_cmyk(unsigned char *p, int64_t n, int inverted)
{
    for (int64_t i = 0; i < n; i++) {
        const unsigned char *q = p + 4 * i;
        const int white = inverted ? q[3] : 255 - q[3];
        unsigned char rgb[3];
        for (int c = 0; c < 3; c++) {
            const int ink = inverted ? 255 - q[c] : q[c], v = ink * white + 128;
            rgb[c] = (unsigned char)(white - ((v + (v >> 8)) >> 8));
        }
        memcpy(p + 3 * i, rgb, 3);
    }
}

/* Between setjmp and here there is nothing that a jump could lose: `row` is the caller's. */
static void decode(struct jpeg_decompress_struct *jpeg, const image_bytes *b, const image_info *info,
                   unsigned char *row, const image_rows *to)
{
    jpeg_mem_src(jpeg, b->data, (unsigned long)b->n);
    jpeg_read_header(jpeg, TRUE);
    if ((int64_t)jpeg->image_height != info->height || (int64_t)jpeg->image_width != info->width)
        ERREXIT(jpeg, JERR_CONVERSION_NOTIMPL);
    const int inks = jpeg->num_components == 4;
    jpeg->out_color_space = inks ? JCS_CMYK : info->channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
    jpeg->dct_method = JDCT_ISLOW;
    jpeg_start_decompress(jpeg);
    while (jpeg->output_scanline < jpeg->output_height) {
        const int64_t y = jpeg->output_scanline;
        jpeg_read_scanlines(jpeg, &row, 1);
        if (inks)
            from_cmyk(row, info->width, jpeg->saw_Adobe_marker);
        image_put_row(to, y, row);
    }
    jpeg_finish_decompress(jpeg);
}

dal_status image_decode_jpeg(const dal_host *host, const image_bytes *b, const image_info *info, const image_rows *to,
                             dal_error *err)
{
    struct jpeg_decompress_struct jpeg;
    struct jpeg_progress_mgr progress = {.progress_monitor = count_scans};
    complaint c;
    unsigned char *row = dal_array(host, ODD + 4 * info->width, 1);
    dal_status st = DAL_OK;
    if (!row)
        return dal_fail(err, DAL_E_NOMEM, b->key, "%s: no memory to decode it", b->place);
    memset(&jpeg, 0, sizeof jpeg);
    jpeg.err = jpeg_std_error(&c.base);
    c.base.error_exit = give_up;
    c.base.emit_message = weigh;
    c.base.output_message = say_nothing;
    c.what[0] = '\0';
    if (setjmp(c.out) == 0) {
        jpeg_create_decompress(&jpeg);
        jpeg.progress = &progress;
        decode(&jpeg, b, info, row + ODD, to);
    } else if (c.base.msg_code == JERR_OUT_OF_MEMORY) {
        st = dal_fail(err, DAL_E_NOMEM, b->key, "%s: no memory to decode it", b->place);
    } else {
        const int64_t left = jpeg.src ? (int64_t)jpeg.src->bytes_in_buffer : b->n;
        const int64_t at = c.base.msg_code == JWRN_JPEG_EOF || left > b->n ? b->n : b->n - left;
        char what[JMSG_LENGTH_MAX + 32];
        snprintf(what, sizeof what, "damaged JPEG data: %s", c.what);
        st = image_broken(b, at, what, err);
    }
    jpeg_destroy_decompress(&jpeg);
    host->free(host, row);
    return st;
}

#else

dal_status image_decode_jpeg(const dal_host *host, const image_bytes *b, const image_info *info, const image_rows *to,
                             dal_error *err)
{
    (void)host, (void)info, (void)to;
    return dal_fail(err, DAL_E_UNSUPPORTED, b->key,
                    "%s: this build reads no JPEG: it was configured without libjpeg (Debian: libjpeg62-turbo-dev)",
                    b->place);
}

#endif
