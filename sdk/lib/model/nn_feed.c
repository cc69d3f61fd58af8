#include "nn_feed.h"

#include <pthread.h>
#include <signal.h>

#define DEPTH 3 /* batches, one of them in use */

struct nn_feed {
    const dal_host *host;
    nn_feed_make *make;
    void *ctx;
    float *rows[DEPTH];
    dal_status status[DEPTH];
    pthread_t thread;
    pthread_mutex_t lock; /* all below */
    pthread_cond_t changed;
    int64_t n, made, taken, given; /* batches of the epoch, how many are made, were taken, are free again */
    int stop;
};

typedef struct making {
    nn_feed *f;
    int64_t batch;
} making;

static dal_status make_batch(void *ctx, int64_t i)
{
    const making *m = ctx;
    (void)i;
    return m->f->make(m->f->ctx, m->batch, m->f->rows[m->batch % DEPTH]);
}

static int has_work(const nn_feed *f)
{
    return f->made < f->n && f->made - f->given < DEPTH;
}

static void *run(void *arg)
{
    nn_feed *f = arg;
    pthread_mutex_lock(&f->lock);
    while (!f->stop) {
        if (!has_work(f)) {
            pthread_cond_wait(&f->changed, &f->lock);
            continue;
        }
        making m = {f, f->made};
        pthread_mutex_unlock(&f->lock);
        /* a loop of one: numbers count in it as in every task of the host */
        const dal_status st = f->host->parallel_for(f->host, 1, make_batch, &m);
        pthread_mutex_lock(&f->lock);
        f->status[m.batch % DEPTH] = st;
        f->made++;
        pthread_cond_broadcast(&f->changed);
    }
    pthread_mutex_unlock(&f->lock);
    return NULL;
}

/* Signals are for the program's own threads. */
static int start(nn_feed *f)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const int failed = pthread_create(&f->thread, NULL, run, f);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return failed;
}

static void drop(nn_feed *f)
{
    for (int i = 0; i < DEPTH; i++)
        f->host->free(f->host, f->rows[i]);
    pthread_cond_destroy(&f->changed);
    pthread_mutex_destroy(&f->lock);
    f->host->free(f->host, f);
}

nn_feed *nn_feed_new(const dal_host *host, int64_t n_values, nn_feed_make *make, void *ctx)
{
    nn_feed *f = dal_array(host, 1, sizeof *f);
    int there = f != NULL;
    if (!f)
        return NULL;
    *f = (nn_feed){.host = host, .make = make, .ctx = ctx};
    pthread_mutex_init(&f->lock, NULL);
    pthread_cond_init(&f->changed, NULL);
    for (int i = 0; i < DEPTH; i++) {
        f->rows[i] = dal_array(host, n_values, sizeof(float));
        there = there && f->rows[i];
    }
    if (there && start(f) == 0)
        return f;
    drop(f);
    return NULL;
}

void nn_feed_free(nn_feed *f)
{
    if (!f)
        return;
    pthread_mutex_lock(&f->lock);
    f->stop = 1;
    pthread_cond_broadcast(&f->changed);
    pthread_mutex_unlock(&f->lock);
    pthread_join(f->thread, NULL);
    drop(f);
}

void nn_feed_begin(nn_feed *f, int64_t n)
{
    pthread_mutex_lock(&f->lock);
    f->n = n;
    f->made = f->taken = f->given = 0;
    pthread_cond_broadcast(&f->changed);
    pthread_mutex_unlock(&f->lock);
}

dal_status nn_feed_take(nn_feed *f, const float **rows)
{
    pthread_mutex_lock(&f->lock);
    while (f->made == f->taken)
        pthread_cond_wait(&f->changed, &f->lock);
    const int64_t slot = f->taken++ % DEPTH;
    const dal_status st = f->status[slot];
    pthread_mutex_unlock(&f->lock);
    *rows = f->rows[slot];
    return st;
}

void nn_feed_give(nn_feed *f)
{
    pthread_mutex_lock(&f->lock);
    f->given++;
    pthread_cond_broadcast(&f->changed);
    pthread_mutex_unlock(&f->lock);
}
