/* Its init says no. */
#include "good.h"

static dal_status init(const dal_host *host, dal_error *err)
{
    (void)host;
    return dal_fail(err, DAL_E_UNSUPPORTED, "", "no licence dongle found");
}

static dal_status pick(void *self, const dal_view *view, dal_picks *picks, dal_error *err)
{
    (void)self;
    (void)err;
    return pick_in_order(view, picks);
}

static const dal_strategy_impl impl = {.struct_size = sizeof(dal_strategy_impl), .select = pick};
#define COMPONENTS(C) \
    C(STRATEGY, "init-fails", impl, "fails in init", "-", "", "", dal_no_options, DAL_NO_PARAMS)
DAL_MODULE(init_fails, "1.0", "Apache-2.0", COMPONENTS, init, NULL)
