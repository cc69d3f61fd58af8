/* @ID@: a crowd that votes: each of several annotators errs now and then, the most frequent class wins.
 *
 * Knows the truth the dataset came with. An annotator errs with probability `error`, and then names any of the
 * other classes alike. Votes on a sample are a pure function of (run seed, sample): asking again after a crash
 * gives the same answer. Equal votes: the lower class.
 */
#include <dal/oracle.h>

typedef struct options {
    int64_t annotators;
    double error, price;
} options;

#define PARAMS(P, T)                                                                       \
    P(T, annotators, I64, "3", "1..1001", "", "votes on each sample")                      \
    P(T, error, F64, "0.1", "0..1", "", "how often an annotator errs")                     \
    P(T, price, F64, "1", "0..", "", "cost of one vote")

typedef struct crowd {
    const dal_host *host;
    const options *options;
    const dal_oracle_task *task;
    int64_t *votes; /* [n_classes] */
} crowd;

static dal_status create(const dal_host *host, const void *given, const dal_oracle_task *task, void **self,
                         dal_error *err)
{
    if (!task->truth)
        return dal_fail(err, DAL_E_INVALID, "", "this dataset has no labels to vote on");
    crowd *o = host->alloc(host, sizeof *o, 0);
    int64_t *votes = dal_array(host, task->n_classes, sizeof *votes);
    if (!o || !votes) {
        host->free(host, o);
        host->free(host, votes);
        return dal_fail(err, DAL_E_NOMEM, "", "no memory");
    }
    *o = (crowd){host, given, task, votes};
    *self = o;
    return DAL_OK;
}

static void destroy(void *self)
{
    crowd *o = self;
    if (!o)
        return;
    o->host->free(o->host, o->votes);
    o->host->free(o->host, o);
}

/* One annotator's class of a sample whose true class is `truth`. */
static int64_t vote(const crowd *o, dal_rng *rng, int64_t truth)
{
    const int64_t c = o->task->n_classes;
    if (c < 2 || dal_rng_uniform(rng) >= o->options->error)
        return truth;
    const int64_t other = dal_rng_below(rng, c - 1);
    return other < truth ? other : other + 1;
}

static int32_t elect(const crowd *o, int64_t id)
{
    const dal_rng stream = o->host->rng(o->host, "votes", 0);
    dal_rng rng = dal_rng_at(&stream, (uint64_t)id);
    memset(o->votes, 0, (size_t)o->task->n_classes * sizeof *o->votes);
    for (int64_t i = 0; i < o->options->annotators; i++)
        o->votes[vote(o, &rng, o->task->truth[id])]++;
    int32_t best = 0;
    for (int32_t k = 1; k < o->task->n_classes; k++)
        if (o->votes[k] > o->votes[best])
            best = k;
    return best;
}

static dal_status label(void *self, const dal_question *q, char *waiting_for, size_t size, dal_error *err)
{
    const crowd *o = self;
    const double cost = o->options->price * (double)o->options->annotators;
    dal_status st = DAL_OK;
    (void)waiting_for; /* we never wait */
    (void)size;
    for (int64_t i = 0; i < q->n && st == DAL_OK; i++) {
        const int64_t id = q->ids[i];
        const int32_t truth = o->task->truth[id];
        if (truth >= 0)
            st = q->answer(q, i, DAL_ANSWER_CLASS, elect(o, id), cost, err);
        else if (truth == DAL_LABEL_OOD)
            st = q->answer(q, i, DAL_ANSWER_OUT_OF_CLASS, DAL_LABEL_OOD, cost, err);
        else
            st = q->answer(q, i, DAL_ANSWER_ABSTAIN, DAL_LABEL_NONE, cost, err);
    }
    return st;
}

static const dal_oracle_impl impl = {
    .struct_size = sizeof(dal_oracle_impl),
    .create = create,
    .destroy = destroy,
    .label = label,
};

#define COMPONENTS(C)                                                                         \
    C(ORACLE, "@ID@", impl, "a crowd that votes and errs", "", DAL_CAP_TRUTH, "", options, PARAMS)
DAL_MODULE(@MODULE@, "0.1", "MIT", COMPONENTS, NULL, NULL)
