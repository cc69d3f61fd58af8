/* Built for an ABI that is one minor version ahead. */
#include <dal/base.h>
#undef DAL_ABI_MINOR
#define DAL_ABI_MINOR 2
#include "good.h"

static dal_status pick(void *self, const dal_view *view, dal_picks *picks, dal_error *err)
{
    (void)self;
    (void)err;
    return pick_in_order(view, picks);
}

static const dal_strategy_impl impl = {.struct_size = sizeof(dal_strategy_impl), .select = pick};
#define COMPONENTS(C) \
    C(STRATEGY, "newer-minor", impl, "never loaded", "-", "", "", dal_no_options, DAL_NO_PARAMS)
DAL_MODULE(newer_minor, "1.0", "Apache-2.0", COMPONENTS, NULL, NULL)
