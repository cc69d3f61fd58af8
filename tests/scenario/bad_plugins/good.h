/* What the bad modules have in common: a strategy that would be fine (the candidates in order). */
#ifndef BAD_PLUGINS_GOOD_H
#define BAD_PLUGINS_GOOD_H

#include <dal/strategy.h>

static inline dal_status pick_in_order(const dal_view *view, dal_picks *picks)
{
    const int64_t *ids = view->ids(view, DAL_ROWS_CANDIDATES);
    for (picks->n = 0; picks->n < picks->want; picks->n++)
        picks->ids[picks->n] = ids[picks->n];
    return DAL_OK;
}

#endif
