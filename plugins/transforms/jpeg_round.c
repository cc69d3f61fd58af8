#include "jpeg_round.h"

#ifdef DAL_HAVE_JPEG
#include <setjmp.h>
#include <stdlib.h>

#include <jpeglib.h>

/* libjpeg must not return from error_exit: it leaves by longjmp, over its own frames only. */
typedef struct complaint {
    struct jpeg_error_mgr base;
    jmp_buf out;
} complaint;

static void give_up(j_common_ptr jpeg)
{
    longjmp(((complaint *)(void *)jpeg->err)->out, 1);
}

static void say_nothing(j_common_ptr jpeg)
{
    (void)jpeg;
}

static void start(struct jpeg_error_mgr *e)
{
    jpeg_std_error(e);
    e->error_exit = give_up;
    e->output_message = say_nothing;
}

/* `out` is what libjpeg allocates with malloc; it is freed by the caller whatever happens. */
static int encode(const unsigned char *pixels, int64_t channels, int64_t height, int64_t width, int quality,
                  unsigned char **out, unsigned long *n)
{
    struct jpeg_compress_struct jpeg;
    complaint c;
    jpeg.err = &c.base;
    start(&c.base);
    if (setjmp(c.out)) {
        jpeg_destroy_compress(&jpeg);
        return 0;
    }
    jpeg_create_compress(&jpeg);
    jpeg_mem_dest(&jpeg, out, n);
    jpeg.image_height = (JDIMENSION)height;
    jpeg.image_width = (JDIMENSION)width;
    jpeg.input_components = (int)channels;
    jpeg.in_color_space = channels == 3 ? JCS_RGB : JCS_GRAYSCALE;
    jpeg_set_defaults(&jpeg);
    jpeg_set_quality(&jpeg, quality, TRUE);
    jpeg_start_compress(&jpeg, TRUE);
    while (jpeg.next_scanline < jpeg.image_height) {
        JSAMPROW row = (JSAMPROW)(uintptr_t)(pixels + (int64_t)jpeg.next_scanline * width * channels);
        jpeg_write_scanlines(&jpeg, &row, 1);
    }
    jpeg_finish_compress(&jpeg);
    jpeg_destroy_compress(&jpeg);
    return 1;
}

static int decode(const unsigned char *data, unsigned long n, int64_t channels, int64_t width, unsigned char *pixels)
{
    struct jpeg_decompress_struct jpeg;
    complaint c;
    jpeg.err = &c.base;
    start(&c.base);
    if (setjmp(c.out)) {
        jpeg_destroy_decompress(&jpeg);
        return 0;
    }
    jpeg_create_decompress(&jpeg);
    jpeg_mem_src(&jpeg, data, n);
    jpeg_read_header(&jpeg, TRUE);
    jpeg_start_decompress(&jpeg);
    while (jpeg.output_scanline < jpeg.output_height) {
        JSAMPROW row = pixels + (int64_t)jpeg.output_scanline * width * channels;
        jpeg_read_scanlines(&jpeg, &row, 1);
    }
    jpeg_finish_decompress(&jpeg);
    jpeg_destroy_decompress(&jpeg);
    return 1;
}

int jpeg_round_there(void)
{
    return 1;
}

dal_status jpeg_round(const dal_host *host, const unsigned char *from, int64_t channels, int64_t height, int64_t width,
                      int quality, unsigned char *to, dal_error *err)
{
    const int64_t n = height * width;
    unsigned char *pixels = dal_array(host, n, (size_t)channels), *packed = NULL;
    unsigned long size = 0;
    dal_status st = DAL_OK;
    if (!pixels)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory to transform a sample");
    for (int64_t i = 0; i < n; i++)
        for (int64_t c = 0; c < channels; c++)
            pixels[i * channels + c] = from[c * n + i];
    if (!encode(pixels, channels, height, width, quality, &packed, &size) ||
        !decode(packed, size, channels, width, pixels))
        st = dal_fail(err, DAL_E_FAILED, "", "libjpeg cannot encode an image of %lld x %lld pixels", (long long)height,
                      (long long)width);
    for (int64_t i = 0; i < n && st == DAL_OK; i++)
        for (int64_t c = 0; c < channels; c++)
            to[c * n + i] = pixels[i * channels + c];
    free(packed);
    host->free(host, pixels);
    return st;
}

#else

int jpeg_round_there(void)
{
    return 0;
}

dal_status jpeg_round(const dal_host *host, const unsigned char *from, int64_t channels, int64_t height, int64_t width,
                      int quality, unsigned char *to, dal_error *err)
{
    (void)host, (void)from, (void)channels, (void)height, (void)width, (void)quality, (void)to;
    return dal_fail(err, DAL_E_UNSUPPORTED, "", "this build has no JPEG");
}

#endif
