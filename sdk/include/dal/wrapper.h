/* dal/wrapper.h: (libdal) what strategies that run other strategies have in common.
 *
 * A wrapper's parameters of type COMPONENT (domain "strategy") name what it runs. It opens them when it is
 * created, closes them when it is destroyed, hands answers, state and companions through, and its own file says
 * only which rounds they see:
 *
 *     static dal_status my_create(const dal_host *host, const void *options, void **self, dal_error *err)
 *     {
 *         const my_options *opt = options;
 *         return dal_wrapper_create(host, options, &opt->inner, 1, self, err);
 *     }
 *
 * with dal_wrapper_destroy, _observe, _save, _load and _companion in the table's slots of these names. What the
 * inner strategies need need not be said again: the host adds it.
 */
#ifndef DAL_WRAPPER_H
#define DAL_WRAPPER_H

#include <dal/strategy.h>

#ifdef __cplusplus
extern "C" {
#endif

#define DAL_WRAPPER_MAX 2

typedef struct dal_wrapper {
    const dal_host *host;
    const void *options;
    const dal_instance *inner[DAL_WRAPPER_MAX]; /* NULL: the manifest names none */
} dal_wrapper;

/* [main] *self becomes a dal_wrapper over refs [n], n <= DAL_WRAPPER_MAX, each of which may be NULL. A model
 * trains along with one strategy at most: two that have a companion are refused. */
DAL_PUBLIC dal_status dal_wrapper_create(const dal_host *host, const void *options,
                                         const dal_component_ref *const *refs, int64_t n, void **self,
                                         dal_error *err);
DAL_PUBLIC void dal_wrapper_destroy(void *self);

/* Slots. Answers go to every inner strategy, with the view of the whole round; the state of each is kept apart.
 * */
DAL_PUBLIC dal_status dal_wrapper_observe(void *self, const dal_view *view, const dal_feedback *feedback,
                                          dal_error *err);
DAL_PUBLIC dal_status dal_wrapper_save(void *self, const dal_writer *w, dal_error *err);
DAL_PUBLIC dal_status dal_wrapper_load(void *self, const dal_reader *r, dal_error *err);
DAL_PUBLIC const dal_companion *dal_wrapper_companion(void *self);

/* [any] What inner strategy i says that one selection of `problem` takes: bytes NaN when it does not say, all 0
 * when there is none, and for self = NULL, when nobody knows yet what will be inside. */
DAL_PUBLIC dal_cost dal_wrapper_cost(const dal_wrapper *self, int64_t i, const dal_problem *problem);

/* [main] Sort pool indices, as a subview wants them. */
DAL_PUBLIC void dal_sort_ids(int64_t *ids, int64_t n);

#ifdef __cplusplus
}
#endif
#endif
