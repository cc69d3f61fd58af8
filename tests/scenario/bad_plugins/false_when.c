/* A strategy whose need depends on a value that its parameter cannot have. */
#include "good.h"

typedef struct options {
    uint32_t by;
} options;

static dal_status pick(void *self, const dal_view *view, dal_picks *picks, dal_error *err)
{
    (void)self;
    (void)err;
    return pick_in_order(view, picks);
}

static const dal_strategy_impl impl = {.struct_size = sizeof(dal_strategy_impl), .select = pick};
#define PARAMS(P, T) P(T, by, CHOICE, "features", "features|gradient", "", "what is compared")
#define COMPONENTS(C) \
    C(STRATEGY, "false-when", impl, "needs what nobody can ask for", "-", DAL_CAP_OUTPUTS, "", options, PARAMS)
#define WHEN(W) W(STRATEGY, "false-when", DAL_CAP_OUTPUTS, "by", "gradients")
DAL_MODULE_WHEN(false_when, "1.0", "Apache-2.0", COMPONENTS, DAL_NO_ABOUT, WHEN, NULL, NULL)
