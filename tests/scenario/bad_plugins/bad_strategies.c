/* Strategies that break one promise each. */
#include "good.h"

#include <math.h>
#include <stdlib.h>
#include <unistd.h>

static dal_status duplicates(void *self, const dal_view *view, dal_picks *picks, dal_error *err)
{
    (void)self;
    (void)err;
    pick_in_order(view, picks);
    if (picks->n > 1)
        picks->ids[picks->n - 1] = picks->ids[0];
    return DAL_OK;
}

static dal_status out_of_range(void *self, const dal_view *view, dal_picks *picks, dal_error *err)
{
    (void)self;
    (void)err;
    pick_in_order(view, picks);
    picks->ids[0] = 1000000;
    return DAL_OK;
}

static dal_status too_few(void *self, const dal_view *view, dal_picks *picks, dal_error *err)
{
    (void)self;
    (void)err;
    pick_in_order(view, picks);
    picks->n /= 2;
    return DAL_OK;
}

static dal_status too_many(void *self, const dal_view *view, dal_picks *picks, dal_error *err)
{
    (void)self;
    (void)err;
    pick_in_order(view, picks);
    picks->ids[picks->n++] = 0;
    return DAL_OK;
}

static dal_status crash(void *self, const dal_view *view, dal_picks *picks, dal_error *err)
{
    (void)self;
    (void)view;
    (void)picks;
    (void)err;
    abort();
}

static dal_status hang(void *self, const dal_view *view, dal_picks *picks, dal_error *err)
{
    (void)self;
    (void)view;
    (void)picks;
    (void)err;
    for (volatile int forever = 1; forever;)
        pause();
    return DAL_OK;
}

static dal_status leave(void *self, const dal_view *view, dal_picks *picks, dal_error *err)
{
    (void)self;
    (void)view;
    (void)picks;
    (void)err;
    exit(0);
}

static dal_status silent(void *self, const dal_view *view, dal_picks *picks, dal_error *err)
{
    (void)self;
    (void)view;
    (void)picks;
    (void)err;
    return DAL_E_FAILED;
}

/* Another order each time it is asked. */
static dal_status fickle(void *self, const dal_view *view, dal_picks *picks, dal_error *err)
{
    static int64_t calls;
    (void)self;
    (void)err;
    pick_in_order(view, picks);
    if (picks->n > 1 && calls++ % 2) {
        const int64_t first = picks->ids[0];
        picks->ids[0] = picks->ids[1];
        picks->ids[1] = first;
    }
    return DAL_OK;
}

/* Half the picks on one thread, the other half on several. */
static dal_status counts_threads(void *self, const dal_view *view, dal_picks *picks, dal_error *err)
{
    const dal_host *host = *(const dal_host **)self;
    const int64_t *ids = view->ids(view, DAL_ROWS_CANDIDATES);
    const int64_t last = view->count(view, DAL_ROWS_CANDIDATES) - 1;
    (void)err;
    for (picks->n = 0; picks->n < picks->want; picks->n++)
        picks->ids[picks->n] = host->threads(host) > 1 ? ids[last - picks->n] : ids[picks->n];
    return DAL_OK;
}

static dal_status keep_host(const dal_host *host, const void *options, void **self, dal_error *err)
{
    const dal_host **kept = host->alloc(host, sizeof *kept, 0);
    (void)options;
    if (!kept)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory");
    *kept = host;
    *self = kept;
    return DAL_OK;
}

static void drop_host(void *self)
{
    if (self)
        (*(const dal_host **)self)->free(*(const dal_host **)self, self);
}

/* Never asks whether it got the memory. */
static dal_status careless(const dal_host *host, const void *options, void **self, dal_error *err)
{
    const dal_host **kept = host->alloc(host, sizeof *kept, 0);
    (void)options;
    (void)err;
    *kept = host;
    *self = kept;
    return DAL_OK;
}

static void forget(void *self)
{
    (void)self;
}

static dal_status in_order(void *self, const dal_view *view, dal_picks *picks, dal_error *err)
{
    (void)self;
    (void)err;
    return pick_in_order(view, picks);
}

static dal_status nan_scores(void *self, const dal_block *block, double *out, dal_error *err)
{
    (void)self;
    (void)err;
    for (int64_t i = 0; i < block->n; i++)
        out[i] = i % 5 == 4 ? (double)NAN : 1;
    return DAL_OK;
}

static dal_status overrun(void *self, const dal_block *block, double *out, dal_error *err)
{
    (void)self;
    (void)err;
    for (int64_t i = 0; i <= block->n; i++)
        out[i] = 1;
    return DAL_OK;
}

/* A score of the place in the block, not of the sample. */
static dal_status by_place(void *self, const dal_block *block, double *out, dal_error *err)
{
    (void)self;
    (void)err;
    for (int64_t i = 0; i < block->n; i++)
        out[i] = (double)i;
    return DAL_OK;
}

static dal_status reads_on_the_sly(void *self, const dal_block *block, double *out, dal_error *err)
{
    dal_matrix x;
    const dal_status st = block->features(block, &x, err);
    (void)self;
    for (int64_t i = 0; st == DAL_OK && i < block->n; i++)
        out[i] = (double)x.data[i * x.stride];
    return st;
}

static dal_status reads_whatever_it_is_told(void *self, const dal_block *block, double *out, dal_error *err)
{
    dal_outputs z;
    const dal_status st = block->outputs(block, &z, err);
    (void)self;
    for (int64_t i = 0; st == DAL_OK && i < block->n; i++)
        out[i] = (double)z.values.data[i * z.values.stride];
    return st;
}

/* State that comes back as something else. */
static dal_status save_nothing(void *self, const dal_writer *w, dal_error *err)
{
    return w->write(w, "x", self ? 1 : 0, err);
}

static dal_status load_turned(void *self, const dal_reader *r, dal_error *err)
{
    size_t got;
    char c;
    const dal_status st = r->read(r, &c, 1, &got, err);
    if (st == DAL_OK && got == 1)
        ((int64_t *)self)[1] = 1;
    return st;
}

static dal_status remember(const dal_host *host, const void *options, void **self, dal_error *err)
{
    void **kept = host->alloc(host, 2 * sizeof(int64_t), 0);
    (void)options;
    if (!kept)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory");
    memset(kept, 0, 2 * sizeof(int64_t));
    memcpy(kept, &host, sizeof host);
    *self = kept;
    return DAL_OK;
}

static dal_status one_end_or_the_other(void *self, const dal_view *view, dal_picks *picks, dal_error *err)
{
    const int64_t *ids = view->ids(view, DAL_ROWS_CANDIDATES);
    const int64_t last = view->count(view, DAL_ROWS_CANDIDATES) - 1;
    (void)err;
    for (picks->n = 0; picks->n < picks->want; picks->n++)
        picks->ids[picks->n] = ((int64_t *)self)[1] ? ids[last - picks->n] : ids[picks->n];
    return DAL_OK;
}

#define BY_SELECT(name, function) \
    static const dal_strategy_impl name = {.struct_size = sizeof(dal_strategy_impl), .select = function}
#define BY_SCORE(name, function) \
    static const dal_strategy_impl name = {.struct_size = sizeof(dal_strategy_impl), .score = function}
BY_SELECT(duplicates_impl, duplicates);
BY_SELECT(out_of_range_impl, out_of_range);
BY_SELECT(too_few_impl, too_few);
BY_SELECT(too_many_impl, too_many);
BY_SELECT(crash_impl, crash);
BY_SELECT(hang_impl, hang);
BY_SELECT(leave_impl, leave);
BY_SELECT(silent_impl, silent);
BY_SELECT(fickle_impl, fickle);
BY_SCORE(nan_impl, nan_scores);
BY_SCORE(overrun_impl, overrun);
BY_SCORE(place_impl, by_place);
BY_SCORE(sly_impl, reads_on_the_sly);
BY_SCORE(deaf_impl, reads_whatever_it_is_told);
static const dal_strategy_impl threads_impl = {.struct_size = sizeof(dal_strategy_impl),
                                               .create = keep_host,
                                               .destroy = drop_host,
                                               .select = counts_threads};
static const dal_strategy_impl leak_impl = {
    .struct_size = sizeof(dal_strategy_impl), .create = keep_host, .destroy = forget, .select = in_order};
static const dal_strategy_impl careless_impl = {
    .struct_size = sizeof(dal_strategy_impl), .create = careless, .destroy = drop_host, .select = in_order};
static const dal_strategy_impl forgetful_impl = {.struct_size = sizeof(dal_strategy_impl),
                                                 .create = remember,
                                                 .destroy = drop_host,
                                                 .select = one_end_or_the_other,
                                                 .save = save_nothing,
                                                 .load = load_turned};

typedef struct deaf_options {
    uint32_t by;
} deaf_options;
#define DEAF(P, T) P(T, by, CHOICE, "outputs", "outputs|place", "", "what is scored")
#define PLAIN(C, id, impl) C(STRATEGY, id, impl, "breaks one promise", "-", "", "", dal_no_options, DAL_NO_PARAMS)
#define COMPONENTS(C)                                                                                     \
    PLAIN(C, "duplicates", duplicates_impl)                                                               \
    PLAIN(C, "out-of-range", out_of_range_impl)                                                           \
    PLAIN(C, "too-few", too_few_impl)                                                                     \
    PLAIN(C, "too-many", too_many_impl)                                                                   \
    PLAIN(C, "crash", crash_impl)                                                                         \
    PLAIN(C, "hang", hang_impl)                                                                           \
    PLAIN(C, "leave", leave_impl)                                                                         \
    PLAIN(C, "silent", silent_impl)                                                                       \
    PLAIN(C, "fickle", fickle_impl)                                                                       \
    PLAIN(C, "nan-scores", nan_impl)                                                                      \
    PLAIN(C, "overrun", overrun_impl)                                                                     \
    PLAIN(C, "by-place", place_impl)                                                                      \
    PLAIN(C, "counts-threads", threads_impl)                                                              \
    PLAIN(C, "leak", leak_impl)                                                                           \
    PLAIN(C, "careless", careless_impl)                                                                   \
    PLAIN(C, "forgetful", forgetful_impl)                                                                 \
    C(STRATEGY, "sly", sly_impl, "reads what it does not name", "-", DAL_CAP_OUTPUTS, "", dal_no_options, \
      DAL_NO_PARAMS)                                                                                      \
    C(STRATEGY, "deaf", deaf_impl, "reads what it said it would not", "-", DAL_CAP_OUTPUTS, "", deaf_options, DEAF)
#define WHEN(W) W(STRATEGY, "deaf", DAL_CAP_OUTPUTS, "by", "outputs")
DAL_MODULE_WHEN(bad_strategies, "1.0", "Apache-2.0", COMPONENTS, DAL_NO_ABOUT, WHEN, NULL, NULL)
