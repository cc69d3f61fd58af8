/* A transform, a strategy and an oracle that do their work well until they kill their own process, at the
 * point the environment names: DAL_TEST_DIE=PLACE:N is the N-th time anybody comes by PLACE. With
 * DAL_TEST_ASKED=FILE the oracle writes down what it was asked and what is durable; with DAL_TEST_WAIT=FILE it
 * makes FILE.wanted and does not answer before there is a FILE. */
#include <dal/dataset.h>
#include <dal/oracle.h>
#include <dal/strategy.h>

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static void maybe_die(const char *place)
{
    static int passed; /* places that are passed by several threads count all of them */
    const char *die = getenv("DAL_TEST_DIE");
    const size_t n = strlen(place);
    if (die && strncmp(die, place, n) == 0 && die[n] == ':' &&
        __atomic_add_fetch(&passed, 1, __ATOMIC_RELAXED) == atoi(die + n + 1))
        kill(getpid(), SIGKILL);
}

/* ---- transform: the dataset below, unchanged ---- */

typedef struct veil {
    const dal_host *host;
    dal_dataset below;
} veil;

static dal_status veil_create(const dal_host *host, const void *options, const dal_dataset *input, void **self,
                              dal_error *err)
{
    (void)options;
    maybe_die("open");
    veil *v = dal_array(host, 1, sizeof *v);
    if (!v)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory");
    *v = (veil){host, *input};
    *self = v;
    return DAL_OK;
}

static void veil_destroy(void *self)
{
    veil *v = self;
    if (v)
        v->host->free(v->host, v);
}

static dal_status veil_info(void *self, dal_dataset_info *info, dal_error *err)
{
    const veil *v = self;
    return v->below.impl->info(v->below.self, info, err);
}

static dal_status veil_classes(void *self, uint32_t split, const int64_t *ids, int64_t n, int32_t *out,
                               dal_error *err)
{
    const veil *v = self;
    maybe_die("classes");
    return v->below.impl->classes(v->below.self, split, ids, n, out, err);
}

static dal_status veil_read(void *self, uint32_t split, const int64_t *ids, int64_t n, dal_batch *out,
                            dal_error *err)
{
    const veil *v = self;
    maybe_die("read");
    return v->below.impl->read(v->below.self, split, ids, n, out, err);
}

static const dal_dataset_impl veil_impl = {
    .struct_size = sizeof(dal_dataset_impl),
    .create = veil_create,
    .destroy = veil_destroy,
    .info = veil_info,
    .classes = veil_classes,
    .read = veil_read,
};

/* ---- strategy: its picks depend on all answers it ever observed ---- */

typedef struct memory {
    const dal_host *host;
    uint64_t past;
} memory;

static dal_status memory_create(const dal_host *host, const void *options, void **self, dal_error *err)
{
    (void)options;
    memory *m = dal_array(host, 1, sizeof *m);
    if (!m)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory");
    *m = (memory){host, 1};
    *self = m;
    return DAL_OK;
}

static void memory_destroy(void *self)
{
    memory *m = self;
    if (m)
        m->host->free(m->host, m);
}

static dal_status memory_prepare(void *self, const dal_view *view, dal_error *err)
{
    (void)self;
    (void)view;
    (void)err;
    maybe_die("prepare");
    return DAL_OK;
}

static dal_status memory_select(void *self, const dal_view *view, dal_picks *picks, dal_error *err)
{
    const memory *m = self;
    dal_outputs z;
    const dal_status st = view->outputs(view, DAL_ROWS_CANDIDATES, &z, err);
    if (st != DAL_OK)
        return st;
    maybe_die("select");
    const int64_t *ids = view->ids(view, DAL_ROWS_CANDIDATES), n = view->count(view, DAL_ROWS_CANDIDATES);
    const int64_t start = (int64_t)(m->past % (uint64_t)n);
    for (picks->n = 0; picks->n < picks->want; picks->n++) {
        const int64_t row = (start + picks->n) % n;
        picks->ids[picks->n] = ids[row];
        picks->scores[picks->n] = (double)z.values.data[row * z.values.stride];
    }
    return DAL_OK;
}

static dal_status memory_observe(void *self, const dal_view *view, const dal_feedback *f, dal_error *err)
{
    memory *m = self;
    dal_outputs z; /* the model that chose the picks must still be there */
    const dal_status st = view->outputs(view, DAL_ROWS_LABELLED, &z, err);
    if (st != DAL_OK)
        return st;
    maybe_die("observe");
    for (int64_t i = 0; i < f->n; i++)
        m->past = (m->past * 31 + (uint64_t)f->ids[i]) * 31 + f->answers[i] + (uint64_t)(f->classes[i] + 7);
    m->past += z.values.data[0] > 0;
    return DAL_OK;
}

static dal_status memory_save(void *self, const dal_writer *w, dal_error *err)
{
    const memory *m = self;
    maybe_die("save");
    return w->write(w, &m->past, sizeof m->past, err);
}

static dal_status memory_load(void *self, const dal_reader *r, dal_error *err)
{
    memory *m = self;
    size_t got = 0;
    maybe_die("load");
    const dal_status st = r->read(r, &m->past, sizeof m->past, &got, err);
    return st == DAL_OK && got != sizeof m->past ? dal_fail(err, DAL_E_FORMAT, "", "the state is cut short") : st;
}

static const dal_strategy_impl memory_impl = {
    .struct_size = sizeof(dal_strategy_impl),
    .create = memory_create,
    .destroy = memory_destroy,
    .prepare = memory_prepare,
    .select = memory_select,
    .observe = memory_observe,
    .save = memory_save,
    .load = memory_load,
};

/* ---- oracle: the truth, a few answers at a time ---- */

typedef struct clerk {
    const dal_host *host;
    const int32_t *truth;
} clerk;

static dal_status clerk_create(const dal_host *host, const void *options, const dal_oracle_task *task, void **self,
                               dal_error *err)
{
    (void)options;
    clerk *c = dal_array(host, 1, sizeof *c);
    if (!c)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory");
    *c = (clerk){host, task->truth};
    *self = c;
    return DAL_OK;
}

static void clerk_destroy(void *self)
{
    clerk *c = self;
    if (c)
        c->host->free(c->host, c);
}

static void note(const char *what, int64_t id)
{
    const char *file = getenv("DAL_TEST_ASKED");
    const int fd = file ? open(file, O_WRONLY | O_CREAT | O_APPEND, 0666) : -1;
    if (fd >= 0) {
        dprintf(fd, "%s %lld\n", what, (long long)id);
        close(fd);
    }
}

static void wait_for_file(void)
{
    char wanted[4096];
    const char *file = getenv("DAL_TEST_WAIT");
    if (!file || access(file, F_OK) == 0)
        return;
    snprintf(wanted, sizeof wanted, "%s.wanted", file);
    const int fd = open(wanted, O_WRONLY | O_CREAT, 0666);
    if (fd >= 0)
        close(fd);
    while (access(file, F_OK) != 0)
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
}

static dal_status clerk_label(void *self, const dal_question *q, char *waiting_for, size_t size, dal_error *err)
{
    enum { AT_ONCE = 3 };
    const clerk *c = self;
    dal_status st = DAL_OK;
    wait_for_file();
    (void)waiting_for;
    (void)size;
    for (int64_t i = 0; st == DAL_OK && i < q->n; i++) {
        const int64_t id = q->ids[i];
        note("asked", id);
        maybe_die("ask");
        st = id % 7 == 0 ? q->answer(q, i, DAL_ANSWER_ABSTAIN, DAL_LABEL_NONE, 0.5, err)
                         : q->answer(q, i, DAL_ANSWER_CLASS, c->truth[id], 1, err);
        maybe_die("answer");
        if (st == DAL_OK && (i + 1) % AT_ONCE == 0) {
            st = q->flush(q, err);
            for (int64_t k = i + 1 - AT_ONCE; st == DAL_OK && k <= i; k++)
                note("safe", q->ids[k]);
            maybe_die("flush");
        }
    }
    return st;
}

static const dal_oracle_impl clerk_impl = {
    .struct_size = sizeof(dal_oracle_impl),
    .create = clerk_create,
    .destroy = clerk_destroy,
    .label = clerk_label,
};

#define COMPONENTS(C)                                                                                        \
    C(TRANSFORM, "mortal", veil_impl, "the dataset below; may die", "-", "", "", dal_no_options,             \
      DAL_NO_PARAMS)                                                                                         \
    C(STRATEGY, "mortal", memory_impl, "what follows from the past; may die", "-", DAL_CAP_OUTPUTS, "",      \
      dal_no_options, DAL_NO_PARAMS)                                                                         \
    C(ORACLE, "mortal", clerk_impl, "the truth, three answers at a time; may die", "-", DAL_CAP_TRUTH, "",   \
      dal_no_options, DAL_NO_PARAMS)
DAL_MODULE(mortal, "1.0", "Apache-2.0", COMPONENTS, NULL, NULL)
