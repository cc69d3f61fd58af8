/* Strategies that break the contract of select and score, each in one way. */
#include "good.h"

#include <math.h>
#include <stdlib.h>

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
TABLE(scores_nan, score)

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
    ONE(C, "scores-nan", scores_nan, "")            \
    ONE(C, "needs-stages", fails, DAL_CAP_STAGES)   \
    ONE(C, "needs-telepathy", fails, "org.example.telepathy/1")
DAL_MODULE(unruly, "1.0", "Apache-2.0", COMPONENTS, NULL, NULL)
