/* jpeg_round.h: an image through JPEG and back. */
#ifndef JPEG_ROUND_H
#define JPEG_ROUND_H

#include <dal/host.h>

/* Is libjpeg there? */
int jpeg_round_there(void);

/* [any] from[channels, height, width] encoded with a quality of 1..100 (colour with half the resolution, as most
 * programs do) and decoded again into `to`. 1 or 3 channels. */
dal_status jpeg_round(const dal_host *host, const unsigned char *from, int64_t channels, int64_t height, int64_t width,
                      int quality, unsigned char *to, dal_error *err);

#endif
