/* sample_block.h: samples of any kind, some rows of a list at a time. */
#ifndef SAMPLE_BLOCK_H
#define SAMPLE_BLOCK_H

#include <dal/data.h>
#include <dal/host.h>

#define SAMPLE_BLOCK 256 /* rows, at most */

/* Zero-initialise but for host. */
typedef struct sample_block {
    const dal_host *host;
    dal_batch batch; /* what was read; buffers are the block's and are used again */
    int64_t rows[SAMPLE_BLOCK], sizes[SAMPLE_BLOCK];
    int64_t room; /* elements the buffers have room for */
} sample_block;

/* Rows first..first+n-1 of s into b->batch, n <= SAMPLE_BLOCK. */
dal_status sample_block_read(sample_block *b, const dal_samples *s, int64_t first, int64_t n, dal_error *err);
void sample_block_free(sample_block *b);

#endif
