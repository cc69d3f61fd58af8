/* dal/file.h: (libdal) the whole content of a file as bytes: read when it is small, mapped when it is
 * plain, unpacked once into temp_map memory when it is gzip or, with libarchive, bzip2, xz or zstd. Which
 * is told by the content, never by the name.
 *
 * Nothing here trusts the file: a truncated or damaged stream, bytes after its end and content that is
 * larger than the caller allows are errors that name the file and the offset.
 */
#ifndef DAL_FILE_H
#define DAL_FILE_H

#include <dal/host.h>

#ifdef __cplusplus
extern "C" {
#endif

#define DAL_FILE_HEAD 64 /* as much of the beginning as dal_file_head shows */

typedef struct dal_file dal_file;

/* [any] Open a regular file and look at its beginning. `key`: what errors call the file (the parameter
 * it comes from). host, path and key must live until dal_file_close. */
DAL_PUBLIC dal_status dal_file_open(const dal_host *host, const char *path, const char *key,
                                    dal_file **file, dal_error *err);
/* [any] The same of a member of an archive (dal/archive.h), which may itself be packed; it is kept in
 * temp_map memory. member "": the file itself. limit: bytes that it may have. */
DAL_PUBLIC dal_status dal_file_open_member(const dal_host *host, const char *path, const char *member, int64_t limit,
                                           const char *key, dal_file **file, dal_error *err);
DAL_PUBLIC void dal_file_close(dal_file *f); /* accepts NULL */

DAL_PUBLIC const char *dal_file_path(const dal_file *f);
/* Is it packed, by whatever of these? */
DAL_PUBLIC int dal_file_is_gzip(const dal_file *f);
/* The first *n bytes of the (inflated) content, at most DAL_FILE_HEAD. */
DAL_PUBLIC const unsigned char *dal_file_head(const dal_file *f, int64_t *n);

/* [any] Make the whole content available, once. Packed content of more than `limit` bytes is
 * DAL_E_OVERFLOW and takes no more memory than that; `exact` says that it should have just that size,
 * which saves a first pass to count. Plain files of more than 1 MiB are mapped whatever their size; who
 * truncates one while it is in use ends the process, as with every mapping. */
DAL_PUBLIC dal_status dal_file_load(dal_file *f, int64_t limit, int exact, dal_error *err);
/* The content after dal_file_load, until dal_file_close; never NULL, aligned to 64 bytes. */
DAL_PUBLIC const unsigned char *dal_file_data(const dal_file *f, int64_t *size);

#ifdef __cplusplus
}
#endif
#endif
