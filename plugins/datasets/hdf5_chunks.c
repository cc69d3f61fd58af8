#include "hdf5_chunks.h"
#include "hdf5_lzf.h"

#define ZLIB_CONST
#include <zlib.h>

#define SLACK 65536 /* bytes that a packed chunk may be larger than an unpacked one */

void hdf5_chunks_free(hdf5_chunks *c)
{
    if (c->host)
        c->host->free(c->host, c->known);
    *c = (hdf5_chunks){0};
}

#define FOREIGN(name) "packed by " name ", of which we know nothing; pack it anew with h5repack -f GZIP=6"

static const char *foreign(H5Z_filter_t filter)
{
    switch (filter) {
    case H5Z_FILTER_SZIP: return FOREIGN("szip");
    case H5Z_FILTER_NBIT: return FOREIGN("n-bit");
    case H5Z_FILTER_SCALEOFFSET: return FOREIGN("scale-offset");
    case 307: return FOREIGN("bzip2 (filter 307)");
    case 32001: return FOREIGN("blosc (filter 32001)");
    case 32004: return FOREIGN("lz4 (filter 32004)");
    case 32008: return FOREIGN("bitshuffle (filter 32008)");
    case 32015: return FOREIGN("zstd (filter 32015)");
    default: return FOREIGN("another filter than shuffle, deflate (gzip), lzf and fletcher32");
    }
}

/* The filters, in the order of packing; those whose result we can foretell. */
static dal_status take_filters(hdf5_chunks *c, hid_t plist, const char **what)
{
    c->n_filters = H5Pget_nfilters(plist);
    if (c->n_filters < 0 || c->n_filters > HDF5_FILTERS) {
        *what = "more filters than can be";
        return DAL_E_FORMAT;
    }
    for (int i = 0; i < c->n_filters; i++) {
        unsigned flags, info;
        size_t n = 0;
        c->filters[i] = H5Pget_filter2(plist, (unsigned)i, &flags, &n, NULL, 0, NULL, &info);
        if (c->filters[i] != H5Z_FILTER_DEFLATE && c->filters[i] != H5Z_FILTER_SHUFFLE &&
            c->filters[i] != H5Z_FILTER_FLETCHER32 && c->filters[i] != HDF5_FILTER_LZF) {
            *what = foreign(c->filters[i]);
            return DAL_E_UNSUPPORTED;
        }
    }
    return DAL_OK;
}

dal_status hdf5_chunks_open(const dal_host *host, hid_t set, const hsize_t *dims, int rank, int64_t most,
                            hdf5_chunks *c, const char **what)
{
    const hid_t plist = H5Dget_create_plist(set), type = H5Dget_type(set);
    int64_t n = 1;
    dal_status st = DAL_OK;
    *c = (hdf5_chunks){.host = host, .set = set, .rank = rank, .bytes = type >= 0 ? (int64_t)H5Tget_size(type) : 0};
    int fits = c->bytes > 0 && plist >= 0 && H5Pget_chunk(plist, rank, c->chunk) == rank;
    for (int i = 0; i < rank && fits; i++) {
        fits = c->chunk[i] >= 1 && c->chunk[i] <= (hsize_t)most &&
            dal_size_mul(c->bytes, (int64_t)c->chunk[i], &c->bytes) &&
               c->bytes <= most;
        if (fits)
            c->grid[i] = (int64_t)((dims[i] - 1) / c->chunk[i] + 1);
        fits = fits && dal_size_mul(n, c->grid[i], &n);
    }
    if (!fits) {
        *what = "chunks of more bytes than can be, or more of them";
        st = DAL_E_OVERFLOW;
    }
    if (st == DAL_OK)
        st = take_filters(c, plist, what);
    if (st == DAL_OK && !(c->known = dal_array(host, n / 8 + 1, 1))) {
        *what = "no memory for as many chunks";
        st = DAL_E_NOMEM;
    }
    if (st == DAL_OK)
        memset(c->known, 0, (size_t)(n / 8 + 1));
    if (type >= 0)
        H5Tclose(type);
    if (plist >= 0)
        H5Pclose(plist);
    return st;
}

/* Bytes that data[n] inflates to, or -1: it is damaged, or they are more than `most`. */
static int64_t inflated_size(const unsigned char *data, int64_t n, int64_t most)
{
    unsigned char block[16384];
    z_stream z = {0};
    int64_t size = 0;
    int rc = inflateInit(&z);
    z.next_in = data;
    z.avail_in = (uInt)n;
    while (rc == Z_OK && size <= most) {
        z.next_out = block;
        z.avail_out = sizeof block;
        rc = inflate(&z, Z_NO_FLUSH);
        size += (int64_t)(sizeof block - z.avail_out);
    }
    inflateEnd(&z);
    return rc == Z_STREAM_END && size <= most ? size : -1;
}

/* Bytes of a chunk that is packed[n] once it is unpacked; `skipped`: a bit for each filter that it did not go
 * through. */
static int64_t unpacked_size(const hdf5_chunks *c, const unsigned char *packed, int64_t n, uint32_t skipped)
{
    int unpacked = 0;
    for (int i = c->n_filters - 1; i >= 0 && n >= 0; i--) {
        if (skipped >> i & 1)
            continue;
        if (c->filters[i] == H5Z_FILTER_FLETCHER32) {
            n -= 4; /* its checksum; libhdf5 checks it */
        } else if (c->filters[i] != H5Z_FILTER_SHUFFLE) {
            const int64_t most = c->bytes + 4 * HDF5_FILTERS;
            n = unpacked                                  ? -1
                : c->filters[i] == H5Z_FILTER_DEFLATE ? inflated_size(packed, n, most)
                                                          : hdf5_lzf_unpack(packed, n, NULL, most);
            unpacked = 1;
        }
    }
    return n;
}

static dal_status look(const hdf5_chunks *c, const hsize_t *offset, const char **what)
{
    hsize_t stored = 0;
    uint32_t skipped = 0;
    *what = "a chunk that cannot be found: damaged";
    if (H5Dget_chunk_storage_size(c->set, offset, &stored) < 0)
        return DAL_E_FORMAT;
    if (stored == 0) /* never written */
        return DAL_OK;
    *what = "a chunk that has not the size it should have: damaged";
    if (stored > (hsize_t)(c->bytes + c->bytes / 8 + SLACK))
        return DAL_E_FORMAT;
    unsigned char *packed = dal_array(c->host, (int64_t)stored, 1);
    if (!packed) {
        *what = "no memory to read a chunk";
        return DAL_E_NOMEM;
    }
    const int ok = H5Dread_chunk(c->set, H5P_DEFAULT, offset, &skipped, packed) >= 0 &&
                   unpacked_size(c, packed, (int64_t)stored, skipped) == c->bytes;
    c->host->free(c->host, packed);
    return ok ? DAL_OK : DAL_E_FORMAT;
}

dal_status hdf5_chunks_check(hdf5_chunks *c, int64_t first, int64_t count, const char **what)
{
    if (c->rank == 0)
        return DAL_OK;
    const int64_t from = first / (int64_t)c->chunk[0], to = (first + count - 1) / (int64_t)c->chunk[0];
    int64_t others = 1;
    for (int i = 1; i < c->rank; i++)
        others *= c->grid[i];
    for (int64_t k = from * others; k < (to + 1) * others; k++) {
        hsize_t offset[HDF5_RANK];
        int64_t rest = k;
        if (c->known[k / 8] >> k % 8 & 1)
            continue;
        for (int i = c->rank - 1; i >= 0; i--) {
            offset[i] = (hsize_t)(rest % c->grid[i]) * c->chunk[i];
            rest /= c->grid[i];
        }
        const dal_status st = look(c, offset, what);
        if (st != DAL_OK)
            return st;
        c->known[k / 8] |= (unsigned char)(1u << k % 8);
    }
    return DAL_OK;
}
