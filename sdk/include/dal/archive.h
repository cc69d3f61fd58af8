/* dal/archive.h: (libdal) the members of a .tar file, plain or packed with gzip, bzip2, xz or zstd, or of a .zip file,
 * one after the other, in memory: nothing is ever written to disk. Which it is, the content tells, never the name.
 *
 *     dal_archive *a = NULL;
 *     dal_archive_member m;
 *     int more = 1;
 *     dal_status st = dal_archive_open(host, path, key, limit, &a, err);
 *     while (st == DAL_OK && (st = dal_archive_next(a, &m, &more, err)) == DAL_OK && more)
 *         if (wanted(m.name))
 *             st = dal_archive_read(a, room, m.size, err);    // when there is room for m.size bytes
 *     dal_archive_close(a);
 *
 * Nothing here trusts the file: a truncated or damaged archive, content of more than `limit` bytes and content that
 * grows beyond all measure are errors that name the file, the member and the offset. Only regular files are shown;
 * folders, links and devices are passed over, and a name that leads elsewhere ("../x", "/x") is but a name. Without
 * libarchive at build time every call that opens is DAL_E_UNSUPPORTED.
 *
 * For members in any order and from several threads there is dal/files.h.
 */
#ifndef DAL_ARCHIVE_H
#define DAL_ARCHIVE_H

#include <dal/host.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct dal_archive dal_archive;

typedef struct dal_archive_member {
    const char *name; /* without "./" and "/" at its beginning, control characters read '?'; until the next call */
    int64_t size;     /* bytes */
    int64_t offset;   /* where the content lies in the file, when it lies there as it is; else -1 */
} dal_archive_member;

/* [main] Is this regular file an archive that dal_archive_open would take? Looks at its beginning only (a .zip file:
 * at its end). Damaged ones may say no. */
DAL_PUBLIC dal_status dal_archive_probe(const dal_host *host, const char *path, const char *key, int *is,
                                        dal_error *err);

/* [main] `key`: what errors call the file (the parameter it comes from). limit: bytes that all members together may
 * have, those passed over too; 0: any number, as long as it is not a thousand times what is read for it. host, path
 * and key must live until dal_archive_close. Calls for one archive: one at a time, from any thread. */
DAL_PUBLIC dal_status dal_archive_open(const dal_host *host, const char *path, const char *key, int64_t limit,
                                       dal_archive **archive, dal_error *err);
DAL_PUBLIC void dal_archive_close(dal_archive *a); /* accepts NULL */

/* Go on to the next regular file; *more is 0, and m as it was, at the end. */
DAL_PUBLIC dal_status dal_archive_next(dal_archive *a, dal_archive_member *m, int *more, dal_error *err);

/* The next n bytes of the member into `to`; n may be no more than what is left of m.size (DAL_E_INVALID). Checksums,
 * where the format has them, are checked with the last byte. */
DAL_PUBLIC dal_status dal_archive_read(dal_archive *a, void *to, int64_t n, dal_error *err);

/* Links that were passed over up to now: their content is not in the data. */
DAL_PUBLIC int64_t dal_archive_links(const dal_archive *a);

#ifdef __cplusplus
}
#endif
#endif
