/* hdf5_chunks.h: are the chunks of an HDF5 dataset what they should be once they are unpacked?
 *
 * libhdf5 (1.10, 1.12) takes it that a chunk unpacks to its full size and reads behind the end of one that does not;
 * nor does it bound what one unpacks to. So each chunk is looked at before libhdf5 reads it for the first time.
 */
#ifndef DATASETS_HDF5_CHUNKS_H
#define DATASETS_HDF5_CHUNKS_H

#include <dal/host.h>

#define H5_USE_110_API /* later ones ask and answer in other words */
#include <hdf5.h>

#define HDF5_RANK 4
#define HDF5_FILTERS 8

/* Zero: a dataset without chunks. */
typedef struct hdf5_chunks {
    const dal_host *host;
    hid_t set;
    int rank, n_filters;
    hsize_t chunk[HDF5_RANK];
    int64_t grid[HDF5_RANK]; /* chunks along each axis */
    int64_t bytes;           /* of a chunk */
    H5Z_filter_t filters[HDF5_FILTERS];
    unsigned char *known; /* a bit for each chunk: it was looked at */
} hdf5_chunks;

/* [main] What the chunks of an open dataset dims[rank] are like. On failure *what tells why in words, and there is
 * nothing to free. `most`: bytes of a chunk. */
dal_status hdf5_chunks_open(const dal_host *host, hid_t set, const hsize_t *dims, int rank, int64_t most,
                            hdf5_chunks *c, const char **what);
void hdf5_chunks_free(hdf5_chunks *c); /* accepts a zeroed one */
/* [any, one at a time] Look at those that have rows from `first` on. *what likewise. */
dal_status hdf5_chunks_check(hdf5_chunks *c, int64_t first, int64_t count, const char **what);

#endif
