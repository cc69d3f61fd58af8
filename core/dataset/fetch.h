/* dataset/fetch.h: one file from the network, whole and right or not at all.
 *
 * It grows as PATH.part, which is locked while it does (two at once: the second waits), checked for size and SHA-256,
 * and only then takes its name. What there is of a .part is gone on with, where the hash will tell whether that was
 * right; without a hash everything is fetched anew.
 */
#ifndef DALHOST_DATASET_FETCH_H
#define DALHOST_DATASET_FETCH_H

#include <dal/base.h>
#include <stdbool.h>

typedef struct fetch_job {
    const char *url;    /* https:// or http://; redirects never leave https */
    const char *path;   /* where to; its folder is made */
    const char *sha256; /* "": not known */
    int64_t size;       /* -1: not known */
    int64_t limit;      /* bytes at most, when the size is not known */
    int retries;        /* how often to go on after a cut that brought nothing new */
    /* All may be NULL. not 0: stop. */
    int (*progress)(void *ctx, int64_t done, int64_t total);
    void (*note)(void *ctx, const char *words);
    void *ctx;
} fetch_job;

/* NULL: files can be fetched. Else why not: no libcurl at build time, or none now. */
const char *fetch_unavailable(void);

dal_status fetch_file(const fetch_job *job, dal_error *err);

/* mkdir -p of the folder that path is in. option: what names another one, for the error. */
dal_status make_folder_of(const char *path, const char *option, dal_error *err);

#endif
