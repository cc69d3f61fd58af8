/* nn_feed.h: batches made ahead by a thread of their own, where samples have to be read and decoded while a network
 * trains.
 *
 * A queue of a few batches is filled in their order and emptied in their order. What is in a batch depends on its
 * number alone, so it is the same with and without the thread.
 */
#ifndef NN_FEED_H
#define NN_FEED_H

#include <dal/host.h>

typedef struct nn_feed nn_feed;

/* [the feed's thread] All rows of batch number `batch` of the epoch. */
typedef dal_status nn_feed_make(void *ctx, int64_t batch, float *rows);

/* [main] Batches of up to n_values numbers. NULL where there is no memory or no thread for it: then make them as they
 * are needed. */
nn_feed *nn_feed_new(const dal_host *host, int64_t n_values, nn_feed_make *make, void *ctx);
void nn_feed_free(nn_feed *f); /* [main] at any time; accepts NULL */
/* [main] Batches 0..n-1 of a new epoch, after all of the last one were taken. What make looks at must not change until
 * all of these are. */
void nn_feed_begin(nn_feed *f, int64_t n);
/* [main] The rows of the next batch, until nn_feed_give; waits for them. */
dal_status nn_feed_take(nn_feed *f, const float **rows);
void nn_feed_give(nn_feed *f);

#endif
