/* image_decoders.h: libjpeg and libpng, each behind one function of image_codec.c. */
#ifndef IMAGE_DECODERS_H
#define IMAGE_DECODERS_H

#include "image_codec.h"

/* Where decoded rows go: planes out[wanted, n]. */
typedef struct image_rows {
    unsigned char *out;
    int64_t n, width; /* pixels of a plane and of a row */
    int channels, wanted;
    unsigned char *scratch; /* [3, width], when colour becomes grey */
} image_rows;

/* Row y, row[width, channels]. */
void image_put_row(const image_rows *to, int64_t y, const unsigned char *row);

/* All rows of a picture of which the header says info. */
dal_status image_decode_jpeg(const dal_host *host, const image_bytes *b, const image_info *info, const image_rows *to,
                             dal_error *err);
dal_status image_decode_png(const dal_host *host, const image_bytes *b, const image_info *info, const image_rows *to,
                            dal_error *err);

/* "PLACE: WHAT, at offset O of N" */
dal_status image_broken(const image_bytes *b, int64_t offset, const char *what, dal_error *err);

#endif
