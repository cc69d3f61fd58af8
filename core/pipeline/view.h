/* pipeline/view.h: one round as a strategy sees it (dal_view, dal_block), and running a strategy on it. */
#ifndef DALHOST_PIPELINE_VIEW_H
#define DALHOST_PIPELINE_VIEW_H

#include "pipeline/provider.h"

/* Index lists of a round, all ascending. Borrowed by the view. */
typedef struct row_sets {
    const int64_t *ids[DAL_ROW_SETS];
    int64_t n[DAL_ROW_SETS];
    const int32_t *classes, *validation_classes; /* of DAL_ROWS_LABELLED, DAL_ROWS_VALIDATION */
    /* Nobody knows the classes of the labelled samples: those above are made up, and how often a strategy has asked
     * for them, other than to hand them on to a subview, is counted here. NULL: they are known. */
    int64_t *classes_missed;
} row_sets;

/* Extra pairs for the next fit. */
typedef struct pseudo_labels {
    int64_t *ids;
    int32_t *classes;
    float *weights;
    int64_t n;
} pseudo_labels;

typedef struct round_view round_view;

/* `who`: the strategy it is for: it may read what it needs, no more. pseudo: where pseudo labels go. */
round_view *view_new(const provider *p, const dal_component *who, const row_sets *sets, int64_t round,
                     pseudo_labels *pseudo);
void view_free(round_view *v); /* accepts NULL */
const dal_view *view_api(const round_view *v);
/* The features of a row set [n, d], when a strategy has read them all; false when they would have to be computed. */
bool view_has_features(const round_view *v, uint32_t set, dal_matrix *out);
/* Wall seconds spent computing what was shown (to be told apart from selection). */
double view_infer_seconds(const round_view *v);

typedef struct selection {
    int64_t *ids;
    double *scores;
    int64_t n, want;
    char reason[256];
} selection;

/* Run a strategy of either shape: at most `want` picks, checked: candidates, distinct, no more than asked,
 * fewer only with a reason. selection_free in any case. */
dal_status view_select(const round_view *v, const dal_instance *strategy, int64_t want,
                       selection *out, dal_error *err);
void selection_free(selection *s);

#endif
