/* dal/refit.h: (libdal) a classifier like the task's, trained on what a strategy likes: committees, what-if
 * questions.
 *
 * It is opened from view->model_ref, apart from the task's own model, which stays as it is. All [main].
 */
#ifndef DAL_REFIT_H
#define DAL_REFIT_H

#include <dal/live_model.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct dal_refit {
    const dal_host *host;
    const dal_view *view;
    const dal_instance *instance;
    dal_live_model live; /* its lock for predictions on all threads */
    dal_model model;
} dal_refit;

/* DAL_E_UNSUPPORTED where there is no model to make another of (`dalhost select`). Close it also after a
 * failure. */
DAL_PUBLIC dal_status dal_refit_open(dal_refit *r, const dal_host *host, const dal_view *view, dal_error *err);
DAL_PUBLIC void dal_refit_close(dal_refit *r);

/* Train from fresh weights on pool samples ids [n] (some perhaps several times) with these classes. `key` stands
 * for the round: the same key and the same samples give the same model. */
DAL_PUBLIC dal_status dal_refit_fit(dal_refit *r, const int64_t *ids, const int32_t *classes, int64_t n,
                                    int64_t key, dal_error *err);

/* Class probabilities of a row set of a view (this round's or a subview of it) into out [count, c].
 * DAL_E_INVALID naming the sample when they are not numbers. */
DAL_PUBLIC dal_status dal_refit_probs(dal_refit *r, const dal_view *view, uint32_t set, float *out,
                                      dal_error *err);

#ifdef __cplusplus
}
#endif
#endif
