/* text_waves.h: what transforms share that go once through all texts of a split: some in memory at a time. */
#ifndef TRANSFORMS_TEXT_WAVES_H
#define TRANSFORMS_TEXT_WAVES_H

#include <dal/derived.h>

/* Texts first..first+n-1 of the split below; text j of them is data[offsets[j]..offsets[j + 1]). */
typedef struct text_wave {
    const dal_host *host;
    int64_t first, n;
    const int64_t *offsets;
    const char *data;
} text_wave;

/* [main] Show `use` all texts of a split in their order, wave by wave. `what` is told as progress, and when the user
 * stops it. */
dal_status text_waves(const dal_derived *d, uint32_t split, const char *what,
                      dal_status (*use)(void *ctx, const text_wave *w, dal_error *err), void *ctx, dal_error *err);

/* [main] Work on a wave with all threads: `work` gets texts from..to-1 of it, cut the same way whatever the number
 * of threads. The error is that of the first texts that fail. */
dal_status text_wave_parallel(const text_wave *w,
                              dal_status (*work)(void *ctx, const text_wave *w, int64_t from, int64_t to,
                                                 dal_error *err),
                              void *ctx, dal_error *err);

#endif
