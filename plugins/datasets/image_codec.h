/* image_codec.h: one picture from its encoded bytes: JPEG, PNG, or PNM (PGM and PPM, plain and binary).
 *
 * Nothing here trusts the bytes. What a header claims is bounded before memory is taken; a picture that is cut short or
 * damaged is an error that names the file and the offset, as is whatever libjpeg only warns of; no library prints,
 * exits or jumps over other people's frames.
 */
#ifndef IMAGE_CODEC_H
#define IMAGE_CODEC_H

#include <dal/host.h>

#define IMAGE_MAX_SIDE 65535
#ifndef IMAGE_MAX_PIXELS
#define IMAGE_MAX_PIXELS ((int64_t)1 << 27) /* width x height: 128 Mi */
#endif
#define IMAGE_HEAD 4096                     /* bytes in which most headers end */

enum { IMAGE_JPEG, IMAGE_PNG, IMAGE_PNM };

typedef struct image_info {
    int64_t height, width;
    int channels; /* 1: grey, 3: colour */
    int format;
} image_info;

/* Encoded bytes, and what messages say of them. Borrowed. */
typedef struct image_bytes {
    const unsigned char *data;
    int64_t n, size; /* bytes there are here, and in the whole file */
    const char *place, *key;
} image_bytes;

/* Does the name end as one of a picture that can be read (.jpg .jpeg .png .ppm .pgm .pnm, in any case)? */
int image_has_name(const char *name);

/* [any] What the header says, without decoding. *more: n is too little to tell, although size has more. */
dal_status image_look(const image_bytes *b, image_info *info, int *more, dal_error *err);

/* [any] The whole picture, planar u8 [channels, height, width] of info, which is what image_look said but for
 * channels: 1 or 3, as wanted. Grey becomes colour by repeating it, colour becomes grey by dal_grey_u8; transparency
 * is dropped; CMYK is converted; 16-bit samples are scaled. */
dal_status image_decode(const dal_host *host, const image_bytes *b, const image_info *info, unsigned char *out,
                        dal_error *err);


#endif
