/* dal/files.h: (libdal) all files below a folder, or all members of an archive, read by number, at random, from any
 * thread: data sets of many small files.
 *
 * A folder is listed once, links followed. A .zip file and a plain .tar file are read where they lie. What is wanted
 * of a packed .tar file (gzip, bzip2, xz, zstd) is unpacked once, when it is opened, into temporary space (temp_map:
 * no memory is needed for it), just as it is in there: pictures stay JPEG. Other archives than .zip need libarchive.
 *
 * The order is that of the names as bytes, where '/' comes first: all of folder "a", then "a-b". Hidden files and
 * folders (their names begin with a dot) and macOS's __MACOSX are left out.
 */
#ifndef DAL_FILES_H
#define DAL_FILES_H

#include <dal/host.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct dal_files dal_files;

/* [main] `wanted` (NULL: all) says of a name below the folder, "train/cat/0012.png", whether it is to be among the
 * files. `key`: what errors call the folder or archive (the parameter it comes from). host, path and key must live
 * until dal_files_close. A name that is there twice, a link that leads back to where it lies, and a file that cannot
 * be read are errors. */
DAL_PUBLIC dal_status dal_files_open(const dal_host *host, const char *path, const char *key,
                                     int (*wanted)(void *ctx, const char *name), void *ctx, dal_files **files,
                                     dal_error *err);
DAL_PUBLIC void dal_files_close(dal_files *f); /* accepts NULL */

DAL_PUBLIC int64_t dal_files_count(const dal_files *f);
/* The name of file i, and its size in bytes; until dal_files_close. */
DAL_PUBLIC const char *dal_files_name(const dal_files *f, int64_t i);
DAL_PUBLIC int64_t dal_files_size(const dal_files *f, int64_t i);
/* The file of this name, or -1. */
DAL_PUBLIC int64_t dal_files_find(const dal_files *f, const char *name);

/* [any] The first n bytes of file i into `to`; n is at most its size, which must be what it was when the folder was
 * opened. A checksum, where there is one (.zip), is checked when n is the whole size. */
DAL_PUBLIC dal_status dal_files_read(const dal_files *f, int64_t i, void *to, int64_t n, dal_error *err);

/* [any] What messages call file i: "folder/cat/0012.png", "set.tar.gz:cat/0012.png"; control characters read '?'. */
DAL_PUBLIC void dal_files_place(const dal_files *f, int64_t i, char *out, size_t size);

#ifdef __cplusplus
}
#endif
#endif
