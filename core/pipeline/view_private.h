/* pipeline/view_private.h: what view.c and select.c share. */
#ifndef DALHOST_PIPELINE_VIEW_PRIVATE_H
#define DALHOST_PIPELINE_VIEW_PRIVATE_H

#include "pipeline/view.h"

struct round_view {
    dal_view api;
    const provider *p;
    const dal_component *who;
    row_sets sets;
    pseudo_labels *pseudo;
    round_view *parent; /* of a subview */
    pthread_mutex_t lock;
    scratch *free_scratch;
    floats outputs[DAL_ROW_SETS], features[DAL_ROW_SETS], mc[DAL_ROW_SETS];
    int filled[DAL_ROW_SETS];
    int64_t block; /* rows */
    int64_t infer_ns;
    dal_view_truth truth;
    dal_view_groups groups;
};

/* A block while its callback runs. `api.impl` is set to it by who calls view_block. */
typedef struct live_block {
    dal_block api;
    round_view *v;
    scratch *s;
    dal_matrix outputs, features;
    bool have_outputs, have_features;
    int64_t infer_ns;
} live_block;

int64_t now_ns(void);
scratch *view_take_scratch(round_view *v);
void view_give_scratch(round_view *v, scratch *s);
live_block view_block(round_view *v, uint32_t set, int64_t first, scratch *s);
dal_status view_stream(round_view *v, uint32_t set, dal_status (*visit)(void *, const dal_block *, dal_error *),
                       void *ctx, dal_error *err);
bool view_has(const round_view *v, uint32_t set, int64_t id);

#endif
