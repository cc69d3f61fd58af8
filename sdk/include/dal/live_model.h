/* dal/live_model.h: (libdal) calling the round's trained model from a strategy, on all threads where it allows
 * that.
 *
 * The [worker] slots of a model take one call at a time, unless it provides DAL_CAP_CONCURRENT. Callbacks of
 * view->stream and host->parallel_for run at once: put every call of such a slot between enter and leave.
 */
#ifndef DAL_LIVE_MODEL_H
#define DAL_LIVE_MODEL_H

#include <dal/strategy.h>

#include <pthread.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct dal_live_model {
    const dal_model *model;
    const void *table; /* of the capability it was opened for */
    int32_t concurrent;
    pthread_mutex_t lock;
} dal_live_model;

/* [main] The model behind a view and its table of a capability ("" for none). DAL_E_UNSUPPORTED where there is
 * no model, or it has no such table. Close it also after a failure. */
DAL_PUBLIC dal_status dal_live_model_open(dal_live_model *m, const dal_view *view, const char *capability,
                                          dal_error *err);
DAL_PUBLIC void dal_live_model_close(dal_live_model *m);

/* [any] */
DAL_PUBLIC void dal_live_model_enter(dal_live_model *m);
DAL_PUBLIC void dal_live_model_leave(dal_live_model *m);

#ifdef __cplusplus
}
#endif
#endif
