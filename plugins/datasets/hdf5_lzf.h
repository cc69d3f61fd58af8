/* hdf5_lzf.h: LZF, by which h5py packs chunks (filter 32000), and which libhdf5 does not know.
 */
#ifndef DATASETS_HDF5_LZF_H
#define DATASETS_HDF5_LZF_H

#include <stdint.h>

#define HDF5_FILTER_LZF 32000

/* [main] Make it known to libhdf5, to unpack by. */
void hdf5_lzf_register(void);
/* Unpacks in[n] into out[room], or only counts when out is NULL. Bytes of it, or -1: damaged, or more than there is
 * room. */
int64_t hdf5_lzf_unpack(const unsigned char *in, int64_t n, unsigned char *out, int64_t room);

#endif
