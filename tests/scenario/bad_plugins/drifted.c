/* Its note tells of another summary than its table: two macro lists, where there should be one. */
#include "good.h"

static dal_status pick(void *self, const dal_view *view, dal_picks *picks, dal_error *err)
{
    (void)self;
    (void)err;
    return pick_in_order(view, picks);
}

static const dal_strategy_impl impl = {.struct_size = sizeof(dal_strategy_impl), .select = pick};
#undef DAL_C_STRUCT_
#define DAL_C_STRUCT_(kind_, id_, impl_, summary_, reference_, needs_, provides_, T, PARAMS)     \
    &(const dal_component){sizeof(dal_component), DAL_KIND_##kind_, id_, "something else",       \
                           reference_, needs_, provides_, &impl_, NULL, 0, sizeof(dal_param), 1},
#define COMPONENTS(C) \
    C(STRATEGY, "drifted", impl, "what the note says", "-", "", "", dal_no_options, DAL_NO_PARAMS)
DAL_MODULE(drifted, "1.0", "Apache-2.0", COMPONENTS, NULL, NULL)
