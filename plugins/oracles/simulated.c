/* simulated: an oracle that knows the truth, and errs, abstains and costs as it is told.
 *
 * What it says of a sample is a pure function of (run seed, pool index): it does not depend on when, in
 * which round or beside which others it is asked (so a resumed run hears the same answers).
 *   - The sample's class is known: abstains with probability `abstain`, else says a wrong class with
 *     probability `noise`, else the right one.
 *   - It belongs to none of the classes: abstains as above, else says so.
 *   - Nothing is known of it: abstains always; a pool of which nothing is known is refused.
 * Every answer costs `cost`, an abstention too: somebody has looked.
 */
#include <dal/oracle.h>

typedef struct options {
    double noise, abstain, cost;
    uint32_t noise_kind;
} options;

enum { SYMMETRIC, PAIR };

typedef struct simulated {
    const dal_host *host;
    const options *opt;
    const dal_oracle_task *task;
    dal_rng answers;
} simulated;

static void simulated_destroy(void *p)
{
    simulated *self = p;
    if (self)
        self->host->free(self->host, self);
}

static dal_status check_truth(const dal_host *host, const dal_oracle_task *task, dal_error *err)
{
    int64_t unknown = 0;
    for (int64_t i = 0; i < task->n_pool; i++) {
        if (task->truth[i] >= task->n_classes)
            return dal_fail(err, DAL_E_INVALID, "", "sample %lld has class %d, expected 0..%lld", (long long)i,
                            task->truth[i], (long long)task->n_classes - 1);
        unknown += task->truth[i] < 0 && task->truth[i] != DAL_LABEL_OOD;
    }
    if (unknown == task->n_pool)
        return dal_fail(err, DAL_E_INVALID, "",
                        "the pool has no labels, so there is no truth to answer with; give the dataset its "
                        "labels or choose an oracle that asks people");
    if (unknown > 0)
        dal_logf(host, DAL_LOG_WARNING, "%lld of %lld samples have no label: asked for one, the oracle abstains",
                 (long long)unknown, (long long)task->n_pool);
    return DAL_OK;
}

static dal_status simulated_create(const dal_host *host, const void *opt, const dal_oracle_task *task,
                                   void **out, dal_error *err)
{
    const options *o = opt;
    if (!task->truth)
        return dal_fail(err, DAL_E_CONTRACT, "", "created without the truth it needs");
    if (o->noise > 0 && task->n_classes < 2)
        return dal_fail(err, DAL_E_INVALID, "noise", "with one class there is no wrong answer; expected 0");
    const dal_status st = check_truth(host, task, err);
    if (st != DAL_OK)
        return st;
    simulated *self = host->alloc(host, sizeof *self, 0);
    if (!self)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for the oracle");
    *self = (simulated){host, o, task, host->rng(host, "answers", 0)};
    *out = self;
    return DAL_OK;
}

static int32_t wrong_class(const simulated *self, int32_t right, dal_rng *r)
{
    const int64_t n = self->task->n_classes;
    const int64_t step = self->opt->noise_kind == PAIR ? 1 : 1 + dal_rng_below(r, n - 1);
    return (int32_t)((right + step) % n);
}

/* All draws are made in one order, so that changing one probability changes no other draw. */
static uint32_t answer_for(const simulated *self, int64_t id, int32_t *cls)
{
    dal_rng r = dal_rng_at(&self->answers, (uint64_t)id);
    const int abstains = dal_rng_uniform(&r) < self->opt->abstain;
    const int errs = dal_rng_uniform(&r) < self->opt->noise;
    const int32_t truth = self->task->truth[id];
    *cls = DAL_LABEL_NONE;
    if (abstains || (truth < 0 && truth != DAL_LABEL_OOD))
        return DAL_ANSWER_ABSTAIN;
    if (truth == DAL_LABEL_OOD)
        return DAL_ANSWER_OUT_OF_CLASS;
    *cls = errs ? wrong_class(self, truth, &r) : truth;
    return DAL_ANSWER_CLASS;
}

static dal_status simulated_label(void *p, const dal_question *q, char *waiting_for, size_t size, dal_error *err)
{
    const simulated *self = p;
    if (size > 0)
        waiting_for[0] = '\0';
    for (int64_t i = 0; i < q->n; i++) {
        int32_t cls;
        if (q->ids[i] < 0 || q->ids[i] >= self->task->n_pool)
            return dal_fail(err, DAL_E_CONTRACT, "", "asked for sample %lld of a pool of %lld",
                            (long long)q->ids[i], (long long)self->task->n_pool);
        const uint32_t answer = answer_for(self, q->ids[i], &cls);
        const dal_status st = q->answer(q, i, answer, cls, self->opt->cost, err);
        if (st != DAL_OK)
            return st;
    }
    return DAL_OK;
}

static const dal_oracle_impl simulated_impl = {
    .struct_size = sizeof simulated_impl,
    .create = simulated_create,
    .destroy = simulated_destroy,
    .label = simulated_label,
};

#define PARAMS(P, T)                                                                                    \
    P(T, noise, F64, "0", "0..1", "", "probability that a label is a wrong class")                      \
    P(T, noise_kind, CHOICE, "symmetric", "symmetric|pair", "",                                         \
      "which: any other class alike, or always the next one (the last: the first)")                     \
    P(T, abstain, F64, "0", "0..1", "", "probability of no answer")                                     \
    P(T, cost, F64, "1", "0..", "", "of each answer, abstentions too")
#define COMPONENTS(C)                                                                                   \
    C(ORACLE, "simulated", simulated_impl, "answers with the dataset's own labels, on request with errors", \
      "", DAL_CAP_TRUTH, "", options, PARAMS)
DAL_MODULE(simulated, "1.0", "Apache-2.0", COMPONENTS, NULL, NULL)
