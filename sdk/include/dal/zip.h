/* dal/zip.h: (libdal) the members of a .zip file, stored or deflated: .npz files are such.
 *
 * Nothing here trusts the file. Its directory and every member are checked against the bytes there are; a member
 * inflates to the size the directory tells, which may be no more than deflate can reach, and its checksum must be
 * right. Zip64 is read; encrypted members, other methods and archives in several parts are refused.
 */
#ifndef DAL_ZIP_H
#define DAL_ZIP_H

#include <dal/host.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct dal_zip dal_zip;

/* [main] Open a file and read its directory. `key`: what errors call the file (the parameter it comes from). host,
 * path and key must live until dal_zip_close. */
DAL_PUBLIC dal_status dal_zip_open(const dal_host *host, const char *path, const char *key, dal_zip **zip,
                                   dal_error *err);
DAL_PUBLIC void dal_zip_close(dal_zip *z); /* accepts NULL */

/* Members in the order of the directory. Control characters in names read '?'. */
DAL_PUBLIC int64_t dal_zip_count(const dal_zip *z);
DAL_PUBLIC const char *dal_zip_name(const dal_zip *z, int64_t i);
DAL_PUBLIC int64_t dal_zip_size(const dal_zip *z, int64_t i); /* bytes of its content, as the directory tells */
/* Is it a file, and not a folder or a link? */
DAL_PUBLIC int dal_zip_is_file(const dal_zip *z, int64_t i);
/* The first member of this name, or -1. */
DAL_PUBLIC int64_t dal_zip_find(const dal_zip *z, const char *name);

/* [main] The content of member i, until dal_zip_close: where it lies in the file when it is stored (at any
 * alignment), else inflated once into temporary space. More than `limit` bytes are DAL_E_OVERFLOW. */
DAL_PUBLIC dal_status dal_zip_load(dal_zip *z, int64_t i, int64_t limit, const unsigned char **data, int64_t *size,
                                   dal_error *err);

/* [any] The first n bytes of member i into `to`, n at most its size; all of them are checked against its checksum. */
DAL_PUBLIC dal_status dal_zip_read(const dal_zip *z, int64_t i, void *to, int64_t n, dal_error *err);

#ifdef __cplusplus
}
#endif
#endif
