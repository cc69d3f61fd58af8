/* hdf5_make FILE NAME TYPE CHUNK PACK DIM...: values from standard input, as they lie in memory, become a dataset of an
 * HDF5 file. TYPE: u8, f4, f8, be-i2, i8; CHUNK: rows of a chunk, 0: none; PACK: 0..9, as gzip; a group in NAME is
 * made.
 */
#include <hdf5.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static hid_t type_of(const char *name)
{
    return strcmp(name, "u8") == 0      ? H5T_NATIVE_UINT8
           : strcmp(name, "f4") == 0    ? H5T_NATIVE_FLOAT
           : strcmp(name, "f8") == 0    ? H5T_NATIVE_DOUBLE
           : strcmp(name, "be-i2") == 0 ? H5T_STD_I16BE
           : strcmp(name, "i8") == 0    ? H5T_NATIVE_INT64
                                        : -1;
}

int main(int argc, char **argv)
{
    hsize_t dims[8], chunk[8];
    if (argc < 7 || argc > 14 || type_of(argv[3]) < 0)
        return 2;
    const int rank = argc - 6;
    const hid_t type = type_of(argv[3]);
    size_t bytes = H5Tget_size(type);
    for (int i = 0; i < rank; i++) {
        dims[i] = chunk[i] = strtoull(argv[6 + i], NULL, 10);
        bytes *= dims[i];
    }
    chunk[0] = strtoull(argv[4], NULL, 10);
    void *data = malloc(bytes + 1);
    if (!data || fread(data, 1, bytes, stdin) != bytes)
        return 3;
    FILE *there = fopen(argv[1], "rb");
    if (there)
        fclose(there);
    const hid_t file = there ? H5Fopen(argv[1], H5F_ACC_RDWR, H5P_DEFAULT)
        : H5Fcreate(argv[1], H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    const hid_t space = H5Screate_simple(rank, dims, NULL), plist = H5Pcreate(H5P_DATASET_CREATE),
        links = H5Pcreate(H5P_LINK_CREATE);
    int ok = file >= 0 && space >= 0 && H5Pset_create_intermediate_group(links, 1) >= 0;
    if (chunk[0] > 0)
        ok = ok && H5Pset_chunk(plist, rank, chunk) >= 0 && H5Pset_shuffle(plist) >= 0 &&
        H5Pset_deflate(plist, (unsigned)atoi(argv[5])) >= 0;
    const hid_t set = ok ? H5Dcreate2(file, argv[2], type, space, links, plist, H5P_DEFAULT) : -1;
    ok = set >= 0 && H5Dwrite(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) >= 0 && H5Dclose(set) >= 0 &&
        H5Fclose(file) >= 0;
    free(data);
    return ok ? 0 : 1;
}
