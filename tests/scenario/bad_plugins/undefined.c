/* Calls a function that nobody has. */
#include "good.h"

extern dal_status function_nobody_has(const dal_view *view, dal_picks *picks);

static dal_status pick(void *self, const dal_view *view, dal_picks *picks, dal_error *err)
{
    (void)self;
    (void)err;
    return function_nobody_has(view, picks);
}

static const dal_strategy_impl impl = {.struct_size = sizeof(dal_strategy_impl), .select = pick};
#define COMPONENTS(C) \
    C(STRATEGY, "undefined", impl, "does not load", "-", "", "", dal_no_options, DAL_NO_PARAMS)
DAL_MODULE(undefined, "1.0", "Apache-2.0", COMPONENTS, NULL, NULL)
