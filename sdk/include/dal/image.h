/* dal/image.h: (libdal) sizes and colours of images in memory, planar as samples are: [channels, height, width].
 */
#ifndef DAL_IMAGE_H
#define DAL_IMAGE_H

#include <dal/host.h>

#ifdef __cplusplus
extern "C" {
#endif

/* How to get images of one size from images of another: made once, used from any thread. */
typedef struct dal_resizer dal_resizer;

/* [main] Bilinear, with antialiasing: an output pixel is the mean of the input under a triangle as wide as two output
 * pixels (or two input pixels, when it grows), cut at the border; rows first, then columns. u8 images get, bit by
 * bit, what the Python library Pillow gives for Image.resize(..., BILINEAR), whose fixed-point weights of 22 bits
 * and rounding to u8 between rows and columns they share; f32 images are computed in double and not rounded between.
 * All sizes are at least 1; more than 2^20 is DAL_E_OVERFLOW. */
DAL_PUBLIC dal_status dal_resizer_new(const dal_host *host, int64_t from_height, int64_t from_width,
                                      int64_t to_height, int64_t to_width, dal_resizer **resizer, dal_error *err);
DAL_PUBLIC void dal_resizer_free(dal_resizer *r); /* accepts NULL */

/* [any] from[channels, from_height, from_width] to to[channels, to_height, to_width]. scratch: bytes as
 * dal_resizer_scratch tells, aligned for double; one call at a time may use them. */
DAL_PUBLIC size_t dal_resizer_scratch(const dal_resizer *r);
DAL_PUBLIC void dal_resize_u8(const dal_resizer *r, const unsigned char *from, int64_t channels, unsigned char *to,
                              void *scratch);
DAL_PUBLIC void dal_resize_f32(const dal_resizer *r, const float *from, int64_t channels, float *to, void *scratch);

/* [any] The brightness of n pixels rgb[3, n] into grey[n], which may be rgb itself: 0.299 R + 0.587 G + 0.114 B
 * (ITU-R 601), for u8 in fixed point of 16 bits and rounded, as Pillow's convert("L") does. */
DAL_PUBLIC void dal_grey_u8(const unsigned char *rgb, int64_t n, unsigned char *grey);
DAL_PUBLIC void dal_grey_f32(const float *rgb, int64_t n, float *grey);

/* [any] n pixels side by side, rgb[n, 3], into three planes that do not overlap it. */
DAL_PUBLIC void dal_planes_u8(const unsigned char *rgb, int64_t n, unsigned char *red, unsigned char *green,
                              unsigned char *blue);

#ifdef __cplusplus
}
#endif
#endif
