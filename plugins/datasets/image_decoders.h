/* image_decoders.h: libjpeg and libpng, each behind one function of image_codec.c. */
#ifndef IMAGE_DECODERS_H
#define IMAGE_DECODERS_H

#include "image_codec.h"

/* Into pixels[height, width, channels] of info, which is what the header says. */
dal_status image_decode_jpeg(const dal_host *host, const image_bytes *b, const image_info *info, unsigned char *pixels,
                             dal_error *err);
dal_status image_decode_png(const dal_host *host, const image_bytes *b, const image_info *info, unsigned char *pixels,
                            dal_error *err);

/* "PLACE: WHAT, at offset O of N" */
dal_status image_broken(const image_bytes *b, int64_t offset, const char *what, dal_error *err);

#endif
