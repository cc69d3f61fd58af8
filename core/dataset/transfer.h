/* dataset/transfer.h: one HTTP transfer by libcurl, which is loaded when it is wanted: it and what it needs would
 * double the time that every start of dalhost takes.
 */
#ifndef DALHOST_DATASET_TRANSFER_H
#define DALHOST_DATASET_TRANSFER_H

#include "dataset/fetch.h"

/* Bytes of job->url from *have on, to the end of fd; *have counts them. A server that does not know ranges sends
 * everything: then fd is emptied first. *again: it was cut, and going on may help. */
dal_status transfer(const fetch_job *job, int fd, const char *path, int64_t *have, bool *again, dal_error *err);

#endif
