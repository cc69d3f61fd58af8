/* mrc_map.h: the values of an MRC or CCP4 file, wherever its header says they lie.
 *
 * Cheng et al., "MRC2014: Extensions to the MRC format header for electron cryo-microscopy and tomography", J. Struct.
 * Biol. 192 (2015): 1024 bytes of header, NSYMBT bytes more, then columns, rows and sections, of which MAPC, MAPR and
 * MAPS say which axis each is. Values of modes 0 (int8), 1 (int16), 2 (float32), 6 (uint16) and 12 (float16), in the
 * byte order that MACHST tells.
 */
#ifndef DATASETS_MRC_MAP_H
#define DATASETS_MRC_MAP_H

#include <dal/file.h>

enum { MRC_X, MRC_Y, MRC_Z };

typedef struct mrc_map {
    dal_file *file;
    const char *path, *key;    /* the caller's */
    const unsigned char *data; /* after both headers */
    int64_t size[3];           /* along x, y, z */
    int64_t stride[3];         /* values between neighbours along each */
    int32_t mode;
    int big; /* endian */
} mrc_map;

/* [main] Open a map, plain (mapped) or gzip (inflated once). host, path and key must live until mrc_close. */
dal_status mrc_open(const dal_host *host, const char *path, const char *key, mrc_map *m, dal_error *err);
void mrc_close(mrc_map *m); /* accepts a zeroed one */

/* [any] The values from (x, y) on in section z, [height, width], into out; they must lie inside. DAL_E_FORMAT: one of
 * them is not finite. */
dal_status mrc_read(const mrc_map *m, int64_t x, int64_t y, int64_t z, int64_t width, int64_t height, float *out,
                    dal_error *err);

#endif
