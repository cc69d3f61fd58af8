/* A second module with the strategy 'orderly'. */
#include "good.h"

static dal_status pick(void *self, const dal_view *view, dal_picks *picks, dal_error *err)
{
    (void)self;
    (void)err;
    return pick_in_order(view, picks);
}

static const dal_strategy_impl impl = {.struct_size = sizeof(dal_strategy_impl), .select = pick};
#define COMPONENTS(C) \
    C(STRATEGY, "orderly", impl, "another of the same name", "-", "", "", dal_no_options, DAL_NO_PARAMS)
DAL_MODULE(same_id, "1.0", "Apache-2.0", COMPONENTS, NULL, NULL)
