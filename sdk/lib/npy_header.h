/* npy_header.h: (libdal, private) the header of a .npy file, read as hostile input. */
#ifndef DAL_LIB_NPY_HEADER_H
#define DAL_LIB_NPY_HEADER_H

#include <dal/npy.h>

typedef struct npy_header {
    uint32_t type; /* DAL_NPY_* */
    uint32_t ndim;
    int64_t shape[DAL_NPY_MAX_DIMS]; /* each >= 0 */
    int64_t item_bytes;
    int64_t data_offset; /* within the file */
    int fortran, swapped; /* swapped: the other byte order than this machine's */
} npy_header;

/* 1, or 0 with `problem` telling what was found and what was expected. */
int npy_parse_header(const unsigned char *file, size_t bytes, npy_header *head, char *problem,
                     size_t problem_size);

#endif
