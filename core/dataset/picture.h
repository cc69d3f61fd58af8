/* dataset/picture.h: image samples for people: on a terminal, and as PNG in a page.
 */
#ifndef DALHOST_DATASET_PICTURE_H
#define DALHOST_DATASET_PICTURE_H

#include <dal/data.h>
#include <stdbool.h>

#include "util/text.h"

typedef struct picture {
    int w, h;
    unsigned char *rgb; /* [h, w, 3] */
} picture;

/* One image sample; larger than `most` on a side: made smaller, each pixel the mean of what it covers. One channel is
 * grey, three or four are red, green and blue, of any other number the first is shown. Floats are stretched from their
 * least to their largest. */
picture picture_of(const dal_sample_spec *spec, const void *data, int most);
void picture_fini(picture *p);

/* n pictures beside each other. colour: two pixels a character as half blocks in 24-bit colour; else a ramp of ASCII
 * characters. */
void pictures_print(const picture *p, int n, bool colour, FILE *out);

/* The picture as the body of <img src="data:image/png;base64,...">. False without memory. */
bool picture_add_png(const picture *p, text *out);

#endif
