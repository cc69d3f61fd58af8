/* Strategies that break the contract of select and score, each in one way. */
#include "good.h"

#include <dal/dataset.h>
#include <math.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static dal_status picks_twice(void *self, const dal_view *view, dal_picks *picks, dal_error *err)
{
    (void)self;
    (void)err;
    pick_in_order(view, picks);
    picks->ids[picks->n - 1] = picks->ids[0];
    return DAL_OK;
}

static dal_status picks_outside(void *self, const dal_view *view, dal_picks *picks, dal_error *err)
{
    (void)self;
    (void)err;
    pick_in_order(view, picks);
    picks->ids[0] = INT64_MAX;
    return DAL_OK;
}

static dal_status picks_labelled(void *self, const dal_view *view, dal_picks *picks, dal_error *err)
{
    (void)self;
    (void)err;
    pick_in_order(view, picks);
    picks->ids[0] = view->ids(view, DAL_ROWS_LABELLED)[0];
    return DAL_OK;
}

static dal_status picks_too_few(void *self, const dal_view *view, dal_picks *picks, dal_error *err)
{
    (void)self;
    (void)err;
    pick_in_order(view, picks);
    picks->n--;
    return DAL_OK;
}

static dal_status picks_too_many(void *self, const dal_view *view, dal_picks *picks, dal_error *err)
{
    (void)self;
    (void)err;
    pick_in_order(view, picks);
    picks->n += 1000000;
    return DAL_OK;
}

static dal_status fails(void *self, const dal_view *view, dal_picks *picks, dal_error *err)
{
    (void)self;
    (void)view;
    (void)picks;
    return dal_fail(err, DAL_E_FAILED, "", "the moon is not full");
}

static dal_status fails_silently(void *self, const dal_view *view, dal_picks *picks, dal_error *err)
{
    (void)self;
    (void)view;
    (void)picks;
    (void)err;
    return 12345;
}

static dal_status crashes(void *self, const dal_view *view, dal_picks *picks, dal_error *err)
{
    (void)self;
    (void)view;
    (void)picks;
    (void)err;
    abort();
}

static dal_status leaves(void *self, const dal_view *view, dal_picks *picks, dal_error *err)
{
    (void)self;
    (void)view;
    (void)picks;
    (void)err;
    exit(0);
}

static dal_status leaves_fast(void *self, const dal_view *view, dal_picks *picks, dal_error *err)
{
    (void)self;
    (void)view;
    (void)picks;
    (void)err;
    quick_exit(0);
}

/* Each block is scored on any thread. */
static dal_status leaves_scoring(void *self, const dal_block *block, double *out, dal_error *err)
{
    (void)self;
    (void)block;
    (void)out;
    (void)err;
    exit(0);
}

/* What a forked child does with its end is nobody's business. Not exit: a sanitizer would look for leaks in the child,
 * whose other threads are not there. */
static dal_status forks(void *self, const dal_view *view, dal_picks *picks, dal_error *err)
{
    int status = 1;
    const pid_t child = fork();
    (void)self;
    if (child == 0)
        quick_exit(0);
    if (child < 0 || waitpid(child, &status, 0) != child || status != 0)
        return dal_fail(err, DAL_E_FAILED, "", "the child ended with status %d", status);
    pick_in_order(view, picks);
    return DAL_OK;
}

static dal_status scores_nan(void *self, const dal_block *block, double *out, dal_error *err)
{
    (void)self;
    (void)err;
    for (int64_t i = 0; i < block->n; i++)
        out[i] = (double)NAN;
    return DAL_OK;
}

#define TABLE(name, slot) \
    static const dal_strategy_impl name##_impl = {.struct_size = sizeof(dal_strategy_impl), .slot = name};
TABLE(picks_twice, select)
TABLE(picks_outside, select)
TABLE(picks_labelled, select)
TABLE(picks_too_few, select)
TABLE(picks_too_many, select)
TABLE(fails, select)
TABLE(fails_silently, select)
TABLE(crashes, select)
TABLE(leaves, select)
TABLE(leaves_fast, select)
TABLE(leaves_scoring, score)
TABLE(forks, select)
TABLE(scores_nan, score)

/* Sparse samples: sample i has columns i mod 5 and 7, in which the tenth of each split has no number. */
static dal_status create(const dal_host *host, const void *options, const dal_dataset *input, void **self,
                         dal_error *err)
{
    (void)host, (void)options, (void)input, (void)self, (void)err;
    return DAL_OK;
}

static void destroy(void *self)
{
    (void)self;
}

static dal_status info(void *self, dal_dataset_info *i, dal_error *err)
{
    (void)self, (void)err;
    i->spec = (dal_sample_spec){sizeof i->spec, DAL_SPARSE, DAL_F32, 1, {8}, 2};
    i->n[DAL_SPLIT_TRAIN] = i->n[DAL_SPLIT_TEST] = 60;
    return DAL_OK;
}

static dal_status classes(void *self, uint32_t split, const int64_t *ids, int64_t n, int32_t *out, dal_error *err)
{
    (void)self, (void)split, (void)err;
    for (int64_t i = 0; i < n; i++)
        out[i] = (int32_t)(ids[i] % 2);
    return DAL_OK;
}

static dal_status sizes(void *self, uint32_t split, const int64_t *ids, int64_t n, int64_t *out, dal_error *err)
{
    (void)self, (void)split, (void)ids, (void)err;
    for (int64_t i = 0; i < n; i++)
        out[i] = 2;
    return DAL_OK;
}

static dal_status read_block(void *self, uint32_t split, const int64_t *ids, int64_t n, dal_batch *out,
                             dal_error *err)
{
    float *x = out->data;
    (void)self, (void)split, (void)err;
    for (int64_t i = 0; i < n; i++) {
        const int64_t at = out->offsets[i];
        out->indices[at] = (int32_t)(ids[i] % 5);
        out->indices[at + 1] = 7;
        x[at] = 1;
        x[at + 1] = ids[i] == 10 ? NAN : (float)(ids[i] % 2);
    }
    return DAL_OK;
}

static const dal_dataset_impl holed_impl = {.struct_size = sizeof holed_impl, .create = create, .destroy = destroy,
                                            .info = info, .classes = classes, .read = read_block, .sizes = sizes};

#define ONE(C, id, name, needs) \
    C(STRATEGY, id, name##_impl, "not to be used", "-", needs, "", dal_no_options, DAL_NO_PARAMS)
#define COMPONENTS(C)                               \
    ONE(C, "picks-twice", picks_twice, "")          \
    ONE(C, "picks-outside", picks_outside, "")      \
    ONE(C, "picks-labelled", picks_labelled, "")    \
    ONE(C, "picks-too-few", picks_too_few, "")      \
    ONE(C, "picks-too-many", picks_too_many, "")    \
    ONE(C, "fails", fails, "")                      \
    ONE(C, "fails-silently", fails_silently, "")    \
    ONE(C, "crashes", crashes, "")                  \
    ONE(C, "leaves", leaves, "")                    \
    ONE(C, "leaves-fast", leaves_fast, "")          \
    ONE(C, "leaves-scoring", leaves_scoring, "")    \
    ONE(C, "forks", forks, "")                      \
    ONE(C, "scores-nan", scores_nan, "")            \
    ONE(C, "needs-stages", fails, DAL_CAP_STAGES)   \
    C(DATASET, "holed", holed_impl, "not to be used", "-", "", "", dal_no_options, DAL_NO_PARAMS) \
    ONE(C, "needs-telepathy", fails, "org.example.telepathy/1")
DAL_MODULE(unruly, "1.0", "Apache-2.0", COMPONENTS, NULL, NULL)
