/* Exports a symbol more than it may. */
#include "good.h"

extern DAL_PUBLIC int two_symbols_LTX_dal_plugin_helper_LTX_dal_plugin;
int two_symbols_LTX_dal_plugin_helper_LTX_dal_plugin = 1;

static dal_status pick(void *self, const dal_view *view, dal_picks *picks, dal_error *err)
{
    (void)self;
    (void)err;
    return pick_in_order(view, picks);
}

static const dal_strategy_impl impl = {.struct_size = sizeof(dal_strategy_impl), .select = pick};
#define COMPONENTS(C) \
    C(STRATEGY, "two-symbols", impl, "exports two symbols", "-", "", "", dal_no_options, DAL_NO_PARAMS)
DAL_MODULE(two_symbols, "1.0", "Apache-2.0", COMPONENTS, NULL, NULL)
