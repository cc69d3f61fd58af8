/* dal/oracle.h: who knows the labels (kind "oracle"). */
#ifndef DAL_ORACLE_H
#define DAL_ORACLE_H

#include <dal/plugin.h>

#ifdef __cplusplus
extern "C" {
#endif

#define DAL_ANSWER_PENDING 0u      /* not yet; the run waits and can be resumed */
#define DAL_ANSWER_CLASS 1u        /* a class 0..C-1 */
#define DAL_ANSWER_OUT_OF_CLASS 2u /* belongs to none of the classes */
#define DAL_ANSWER_ABSTAIN 3u      /* the oracle cannot say; the sample is not asked again */

/* What an oracle is created for. Everything is valid until destroy. */
typedef struct dal_oracle_task {
    uint32_t struct_size;
    uint32_t reserved;
    int64_t n_pool, n_classes;
    const char *const *class_names; /* [n_classes]; never NULL */
    const char *store_path;         /* the run store's file; files for people go beside it */
    int64_t run;                    /* its number in the store */
    const int32_t *truth;           /* [n_pool]; NULL unless the component needs DAL_CAP_TRUTH */
    void *impl;
    /* [main] A short name of pool sample id, for people; at most `size` bytes. */
    void (*describe)(const struct dal_oracle_task *t, int64_t id, char *out, size_t size);
    /* [main] The samples ids[n] themselves, to be shown; give the list back with release. The ids must outlive
     * it. */
    dal_status (*samples)(const struct dal_oracle_task *t, const int64_t *ids, int64_t n, dal_samples **out,
                          dal_error *err);
    void (*release)(const struct dal_oracle_task *t, dal_samples *s);
} dal_oracle_task;

/* One question about n samples. Give each answer with `answer`, in any order, at most once each; it is
 * durable when flush returns, or at the latest before the host does anything else after label. What is
 * not answered is pending. */
typedef struct dal_question {
    uint32_t struct_size;
    uint32_t reserved;
    void *impl;
    int64_t round, n;
    const int64_t *ids;   /* [n] in the order picked */
    const double *scores; /* [n] NaN where the strategy gave none */
    dal_status (*answer)(const struct dal_question *q, int64_t i, uint32_t answer, int32_t cls,
                         double cost, dal_error *err);
    dal_status (*flush)(const struct dal_question *q, dal_error *err);
    /* Since 1.1: of the same round, what was answered on an earlier visit, [n_answered] each. It stays as it is. */
    int64_t n_answered;
    const int64_t *answered_ids;
    const uint32_t *answered_as;     /* DAL_ANSWER_CLASS, _OUT_OF_CLASS or _ABSTAIN */
    const int32_t *answered_classes; /* of DAL_ANSWER_CLASS */
} dal_question;

typedef struct dal_oracle_impl {
    uint32_t struct_size;
    uint32_t reserved;
    dal_status (*create)(const dal_host *host, const void *options, const dal_oracle_task *task,
                         void **self, dal_error *err); /* [main] */
    void (*destroy)(void *self);                       /* [main] accepts NULL */
    /* [main] Ask. DAL_OK also when answers are pending; `waiting_for` [size] may then tell the user what to
     * do ("fill in queries/round-3.csv"). Called again with the unanswered rest on resume. */
    dal_status (*label)(void *self, const dal_question *q, char *waiting_for, size_t size, dal_error *err);
} dal_oracle_impl;

#ifdef __cplusplus
}
#endif
#endif
