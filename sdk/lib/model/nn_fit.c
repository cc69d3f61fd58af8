/* Training: epochs of shuffled mini-batches, augmentation, companions, when to stop.
 *
 * The order of an epoch, the masks of a step and the shifts and mirrorings of an image are drawn from streams keyed by
 * (seed, round, epoch) and by the image's pool index, so that neither threads nor batches matter. A fit starts from
 * fresh weights; a warm one from the last weights if there are any, with the optimiser's moments at zero. Samples too
 * many to be kept in memory are read, decoded and moved by a thread of its own, a few batches ahead.
 */
#include "nn_model.h"

#include <math.h>

#include <dal/dense.h>
#include <dal/fit.h>
#include "nn_companions.h"
#include "nn_feed.h"
#include "nn_holdout.h"
#include "nn_rate.h"

/* Samples of a step: the labelled ones, then as many unlabelled ones where these are used. */
typedef struct picked {
    int64_t *rows, *ids; /* [2 batch] in their lists; in the pool */
    int64_t n_labelled, n;
} picked;

typedef struct training {
    dal_nn_model *m;
    const dal_fit *fit;
    dal_error *err;
    dal_dense_rows labelled, unlabelled;
    nn_companions companions;
    nn_holdout holdout; /* its rows are those to train on */
    dal_nn_trainer *trainer;
    int64_t batch, n_more; /* labelled rows of a step at most; samples of the unlabelled list, 0: unused */
    double weight_scale;   /* 1 / mean weight */
    int64_t *order, *more_order;
    picked now, ahead; /* of the step; of the batch that the feed's thread makes */
    nn_feed *feed;     /* NULL: batches are made by the step's own threads */
    int32_t *classes;
    float *weights;
    dal_rng augment; /* of the epoch */
    int64_t epoch, step, steps, hits, idle;
    double loss, best; /* of the epoch; the least of all */
    double rate;       /* of the last step */
} training;

/* ---- augmentation ------------------------------------------------------------------------------- */

/* The image moved by (dy, dx), mirrored or not, zeros where nothing was. `from` and `to` are apart. */
static void move_image(const int64_t shape[3], const float *from, int64_t dy, int64_t dx, int mirror, float *to)
{
    const int64_t h = shape[1], w = shape[2];
    for (int64_t c = 0; c < shape[0]; c++)
        for (int64_t y = 0; y < h; y++)
            for (int64_t x = 0; x < w; x++) {
                const int64_t sy = y + dy, sx = (mirror ? w - 1 - x : x) + dx;
                to[(c * h + y) * w + x] = sy < 0 || sy >= h || sx < 0 || sx >= w ? 0 : from[(c * h + sy) * w + sx];
            }
}

/* A number of -crop..crop, but of at most half the side: an image is never moved out of sight. */
static int64_t draw_shift(dal_rng *r, int64_t crop, int64_t side)
{
    const int64_t most = crop < side / 2 ? crop : side / 2;
    return dal_rng_below(r, 2 * most + 1) - most;
}

static dal_status augment(const training *t, const int64_t *ids, int64_t n, float *x)
{
    const dal_nn_model *m = t->m;
    const int64_t crop = m->options.crop, size = m->info.n_inputs;
    if (m->plan.reader && m->plan.reader->augment)
        m->plan.reader->augment(m, &t->augment, ids, n, x);
    if (m->plan.reader || (crop == 0 && !m->options.flip))
        return DAL_OK;
    float *copy = dal_array(m->host, size, sizeof *copy);
    if (!copy)
        return DAL_E_NOMEM;
    for (int64_t i = 0; i < n; i++) {
        dal_rng r = dal_rng_at(&t->augment, (uint64_t)ids[i]);
        const int64_t dy = draw_shift(&r, crop, m->shape[1]), dx = draw_shift(&r, crop, m->shape[2]);
        const int mirror = m->options.flip && dal_rng_below(&r, 2);
        memcpy(copy, x + i * size, (size_t)size * sizeof *copy);
        move_image(m->shape, copy, dy, dx, mirror, x + i * size);
    }
    m->host->free(m->host, copy);
    return DAL_OK;
}

static dal_status fill_picked(training *t, const picked *p, int64_t first, int64_t count, float *x)
{
    const int64_t here = p->n_labelled - first < count ? p->n_labelled - first : count, n = here > 0 ? here : 0;
    dal_status st = DAL_OK;
    if (n > 0)
        st = dal_dense_rows_gather(&t->labelled, p->rows + first, n, x);
    if (n < count && st == DAL_OK)
        st = dal_dense_rows_gather(&t->unlabelled, p->rows + first + n, count - n, x + n * t->labelled.width);
    return st == DAL_OK ? augment(t, p->ids + first, count, x) : st;
}

static dal_status fill(void *ctx, int64_t first, int64_t count, float *x)
{
    training *t = ctx;
    return fill_picked(t, &t->now, first, count, x);
}

static dal_status between(void *ctx, const dal_nn_step_view *view)
{
    training *t = ctx;
    return nn_companions_run(&t->companions, t->epoch, t->step, t->now.ids, t->classes, view, t->err);
}

/* ---- the rule ----------------------------------------------------------------------------------- */

static dal_nn_rule rule_of(const training *t)
{
    const dal_nn_training *o = &t->m->options;
    const dal_nn_fine *fine = &t->m->fine;
    const double per_epoch = ceil((double)t->holdout.n_train / (double)t->batch), step = (double)t->step;
    static const uint32_t optimizers[] = {DAL_NN_SGD, DAL_NN_ADAM, DAL_NN_ADAM, DAL_NN_NADAM, DAL_NN_ADADELTA};
    const int zeiler = o->optimizer == DAL_NN_BY_ADADELTA; /* with his numbers */
    return (dal_nn_rule){.struct_size = sizeof(dal_nn_rule),
                         .optimizer = optimizers[o->optimizer],
                         .learning_rate = nn_rate_at(o, (double)t->epoch + step / per_epoch,
                                                     (double)t->epoch + (step + 1) / per_epoch),
                         .momentum = o->momentum,
                         .nesterov = (uint32_t)o->nesterov,
                         .beta1 = fine->beta1,
                         .beta2 = zeiler ? 0.95 : fine->beta2,
                         .epsilon = zeiler ? 1e-6 : fine->epsilon,
                         .max_norm = fine->max_norm,
                         .weight_decay = o->weight_decay,
                         .decoupled = fine->decoupled,
                         .l2 = fine->l2,
                         .clip = o->control.clip,
                         .spare = fine->spare,
                         .raw_epsilon = fine->raw_epsilon};
}

/* Samples with a reader are read once and kept. */
static dal_status begin_rows(training *t, dal_dense_rows *r, const dal_samples *s)
{
    const dal_nn_model *m = t->m;
    int64_t values;
    if (!m->plan.reader)
        return dal_dense_rows_init(r, m->host, s, m->info.n_inputs, t->err);
    *r = (dal_dense_rows){.host = m->host, .samples = s, .width = m->info.n_inputs, .error = DAL_ERROR_INIT};
    r->all = dal_size_mul(s->n, r->width, &values) ? dal_array(m->host, values, sizeof *r->all) : NULL;
    if (!r->all)
        return dal_fail(t->err, DAL_E_NOMEM, "", "no memory for %lld samples", (long long)s->n);
    return m->plan.reader->rows(m, s, r->all, t->err);
}

/* ---- one fit ------------------------------------------------------------------------------------ */

/* Of those trained on; if nothing of them weighs anything, what is held out does. */
static double mean_weight(const training *t)
{
    const dal_samples *s = t->fit->train;
    double sum = 0;
    for (int64_t i = 0; i < t->holdout.n_train; i++)
        sum += s->weights ? (double)s->weights[t->holdout.rows[i]] : 1;
    return sum > 0 ? sum / (double)t->holdout.n_train : 1;
}

/* Rows first.. of the epoch's order, then as many unlabelled ones. */
static void pick(const training *t, int64_t first, picked *p)
{
    const int64_t rest = t->holdout.n_train - first, n = rest < t->batch ? rest : t->batch;
    for (int64_t i = 0; i < n; i++) {
        p->rows[i] = t->holdout.rows[t->order[first + i]];
        p->ids[i] = dal_pool_id(t->fit->train, p->rows[i]);
    }
    for (int64_t i = 0; t->n_more > 0 && i < n; i++) {
        p->rows[n + i] = t->more_order[(first + i) % t->n_more];
        p->ids[n + i] = dal_pool_id(t->fit->unlabelled, p->rows[n + i]);
    }
    p->n_labelled = n;
    p->n = t->n_more > 0 ? 2 * n : n;
}

static dal_status make_ahead(void *ctx, int64_t batch, float *rows)
{
    training *t = ctx;
    pick(t, batch * t->batch, &t->ahead);
    return fill_picked(t, &t->ahead, 0, t->ahead.n, rows);
}

/* Worth a thread where samples are read while it trains: those in memory are a copy away. */
static void begin_feed(training *t)
{
    const dal_nn_model *m = t->m;
    const int read = !t->labelled.all || (t->n_more > 0 && !t->unlabelled.all);
    const int wanted = m->fine.feed == DAL_NN_FEED_AUTO ? read && m->host->threads(m->host) > 1
        : m->fine.feed == DAL_NN_FEED_ALWAYS;
    if (wanted && !m->plan.reader)
        t->feed = nn_feed_new(m->host, 2 * t->batch * m->info.n_inputs, make_ahead, t);
}

static int take_picked(const training *t, picked *p)
{
    p->rows = dal_array(t->m->host, 2 * t->batch, sizeof *p->rows);
    p->ids = dal_array(t->m->host, 2 * t->batch, sizeof *p->ids);
    return p->rows && p->ids;
}

static dal_status begin(training *t)
{
    const dal_nn_model *m = t->m;
    const dal_host *h = m->host;
    const dal_rng held = h->rng(h, "validation", t->fit->round);
    const dal_status split = nn_holdout_init(&t->holdout, m, t->fit->train, m->options.control.validation, &held,
                                             t->err);
    if (split != DAL_OK)
        return split;
    const int64_t n = t->holdout.n_train;
    t->batch = m->options.batch_size < n ? m->options.batch_size : n;
    t->weight_scale = 1 / mean_weight(t);
    dal_status st = begin_rows(t, &t->labelled, t->fit->train);
    if (st == DAL_OK)
        st = nn_companions_begin(&t->companions, m, t->fit, m->options.epochs, 2 * t->batch, t->err);
    if (st == DAL_OK && (t->companions.wants & DAL_WANT_UNLABELLED) && t->fit->unlabelled) {
        t->n_more = t->fit->unlabelled->n;
        st = begin_rows(t, &t->unlabelled, t->fit->unlabelled);
    }
    if (st != DAL_OK)
        return st;
    t->order = dal_array(h, n, sizeof *t->order);
    t->more_order = dal_array(h, t->n_more, sizeof *t->more_order);
    const int there = take_picked(t, &t->now) && take_picked(t, &t->ahead);
    t->classes = dal_array(h, t->batch, sizeof *t->classes);
    t->weights = dal_array(h, t->batch, sizeof *t->weights);
    if (!t->order || !t->more_order || !there || !t->classes || !t->weights)
        return dal_fail(t->err, DAL_E_NOMEM, "", "no memory to train on %lld samples", (long long)n);
    t->trainer = dal_nn_trainer_new(m->nn, h, m->weights, m->state, t->n_more > 0 ? 2 * t->batch : t->batch, t->err);
    if (!t->trainer)
        return DAL_E_NOMEM;
    begin_feed(t);
    return DAL_OK;
}

static void end(training *t)
{
    const dal_host *h = t->m->host;
    nn_feed_free(t->feed);
    dal_nn_trainer_free(t->trainer);
    h->free(h, t->weights);
    h->free(h, t->classes);
    h->free(h, t->ahead.ids);
    h->free(h, t->ahead.rows);
    h->free(h, t->now.ids);
    h->free(h, t->now.rows);
    h->free(h, t->more_order);
    h->free(h, t->order);
    dal_dense_rows_fini(&t->unlabelled);
    nn_companions_fini(&t->companions);
    dal_dense_rows_fini(&t->labelled);
    nn_holdout_fini(&t->holdout);
}

static dal_rng epoch_stream(const training *t, const char *purpose)
{
    const dal_rng base = t->m->host->rng(t->m->host, purpose, t->fit->round);
    return dal_rng_at(&base, (uint64_t)t->epoch);
}

/* The order of a list in an epoch, as far as the first k that will be used. */
static void shuffle(const training *t, const char *purpose, int64_t *order, int64_t n, int64_t k)
{
    dal_rng r = epoch_stream(t, purpose);
    for (int64_t i = 0; i < n; i++)
        order[i] = i;
    dal_rng_shuffle(&r, order, n, k);
}

static void choose_rows(training *t, int64_t first)
{
    const dal_samples *s = t->fit->train;
    pick(t, first, &t->now);
    for (int64_t i = 0; i < t->now.n_labelled; i++) {
        t->classes[i] = s->classes[t->now.rows[i]];
        t->weights[i] = s->weights ? (float)((double)s->weights[t->now.rows[i]] * t->weight_scale) : 1;
    }
}

/* epoch: from 0. */
static dal_status diverged(const training *t, const char *what, double value, int64_t epoch)
{
    return dal_fail(t->err, DAL_E_DIVERGED, "learning_rate",
                    "%s became %s in epoch %lld with a rate of %g: try a smaller learning_rate, or scale the "
                    "inputs (transforms: scale, standardize)", what, isnan(value) ? "not a number" : "infinite",
                    (long long)epoch + 1, t->rate);
}

static dal_status train(training *t, const dal_nn_rule *rule, const float *rows, dal_nn_result *result)
{
    const dal_rng epoch = epoch_stream(t, "dropout");
    const dal_nn_batch batch = {.struct_size = sizeof batch,
                                .n = t->now.n,
                                .n_labelled = t->now.n_labelled,
                                .classes = t->classes,
                                .weights = t->fit->train->weights ? t->weights : NULL,
                                .fill = fill,
                                .rows = rows,
                                .between = t->fit->n_companions > 0 ? between : NULL,
                                .ctx = t,
                                .dropout = dal_rng_at(&epoch, (uint64_t)t->step)};
    return dal_nn_train(t->trainer, rule, &batch, result, t->err);
}

static dal_status run_step(training *t, int64_t first)
{
    const dal_nn_rule rule = rule_of(t);
    const float *rows = NULL;
    dal_nn_result result = {.struct_size = sizeof result};
    t->rate = rule.learning_rate;
    choose_rows(t, first);
    dal_status st = t->feed ? nn_feed_take(t->feed, &rows) : DAL_OK;
    if (st == DAL_OK)
        st = train(t, &rule, rows, &result);
    if (t->feed)
        nn_feed_give(t->feed);
    if (st != DAL_OK) { /* reading failed in some thread: the list keeps the story */
        const dal_dense_rows *bad = t->labelled.error.status != DAL_OK     ? &t->labelled
                                : t->unlabelled.error.status != DAL_OK ? &t->unlabelled
                                                                       : NULL;
        if (bad && t->err)
            *t->err = bad->error;
        else if (t->err && t->err->status == DAL_OK)
            dal_fail(t->err, st, "batch_size", "a batch of %lld samples could not be made", (long long)t->now.n);
        return st;
    }
    t->loss += result.loss + 0.5 * t->m->fine.l2 * result.squares;
    t->hits += result.hits;
    t->steps++;
    return isfinite(t->loss) ? DAL_OK : diverged(t, "the training loss", t->loss, t->epoch);
}

static dal_status run_epoch(training *t)
{
    const dal_host *h = t->m->host;
    const int64_t n = t->holdout.n_train;
    dal_status st = DAL_OK;
    t->loss = 0;
    t->hits = 0;
    t->augment = epoch_stream(t, "augment");
    shuffle(t, "shuffle", t->order, n, n);
    shuffle(t, "unlabelled", t->more_order, t->n_more, n);
    if (t->feed)
        nn_feed_begin(t->feed, (n + t->batch - 1) / t->batch);
    for (int64_t first = 0; first < n && st == DAL_OK; first += t->batch) {
        if (h->cancelled(h))
            return dal_fail(t->err, DAL_E_CANCELLED, "", "stopped in epoch %lld", (long long)t->epoch + 1);
        t->step = first / t->batch;
        h->progress(h, t->epoch * n + first, t->m->options.epochs * n, "training samples");
        st = run_step(t, first);
    }
    t->loss /= (double)n;
    return st == DAL_OK ? nn_companions_epoch_end(&t->companions, t->epoch, t->err) : st;
}

/* After an epoch: is it the last? */
static uint32_t is_over(training *t, const dal_fit_report *report)
{
    const dal_nn_training *o = &t->m->options;
    const dal_nn_fine *fine = &t->m->fine;
    t->idle = t->loss > t->best - fine->tol ? t->idle + 1 : 0;
    t->best = t->loss < t->best ? t->loss : t->best;
    return (fine->n_idle > 0 && t->idle > fine->n_idle) ||
           (o->stop_accuracy > 0 && report->train_accuracy >= o->stop_accuracy) ||
           (t->holdout.n > 0 && t->holdout.idle >= o->control.patience);
}

/* The first number that is none, or 0. */
static double first_fault(const float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(x[i]))
            return (double)x[i];
    return 0;
}

/* Of the first sample, by the weights as they are. */
static dal_status look_at_output(training *t, double *fault)
{
    const dal_nn_model *m = t->m;
    dal_nn_pass *p = dal_nn_pass_new(m->nn, m->host, 0, t->err);
    if (!p)
        return DAL_E_NOMEM;
    p->no_stages = 1;
    dal_status st = dal_dense_rows_gather(&t->labelled, t->holdout.rows, 1, p->value[m->info.input]);
    if (st == DAL_OK)
        st = dal_nn_run(m->nn, m->weights, m->state, p, 1, m->info.input, m->info.output, NULL);
    else if (t->err)
        *t->err = t->labelled.error;
    *fault = st == DAL_OK ? first_fault(p->value[m->info.output], m->info.n_outputs) : 0;
    dal_nn_pass_free(p);
    return st;
}

/* What the last step did to the weights shows in no loss. */
static dal_status check_result(training *t)
{
    const dal_nn_model *m = t->m;
    double fault = first_fault(m->weights, m->info.n_weights);
    const char *what = "a weight";
    dal_status st = DAL_OK;
    if (fault == 0)
        fault = first_fault(m->state, m->info.n_state);
    if (fault == 0) {
        what = "the model's output";
        st = look_at_output(t, &fault);
    }
    return st == DAL_OK && fault != 0 ? diverged(t, what, fault, t->epoch - 1) : st;
}

static dal_status run_epochs(training *t, dal_fit_report *report)
{
    const dal_host *h = t->m->host;
    t->best = INFINITY;
    if (t->m->options.control.validation > 0 && t->holdout.n == 0)
        dal_logf(h, DAL_LOG_INFO, "too few labels to hold any out for validation: training to the end");
    for (t->epoch = 0; t->epoch < t->m->options.epochs && !report->converged; t->epoch++) {
        dal_status st = run_epoch(t);
        if (st == DAL_OK && t->holdout.n > 0)
            st = nn_holdout_look(&t->holdout, &t->labelled, t->err);
        if (st != DAL_OK)
            return st;
        report->epochs = t->epoch + 1;
        report->loss = t->loss;
        report->train_accuracy = (double)t->hits / (double)t->holdout.n_train;
        report->converged = is_over(t, report);
    }
    nn_holdout_restore(&t->holdout, t->m);
    report->steps = t->steps;
    return check_result(t);
}

dal_status dal_nn_model_fit(void *self, const dal_fit *f, dal_fit_report *report, dal_error *err)
{
    dal_nn_model *m = self;
    training t = {.m = m, .fit = f, .err = err};
    const int warm = f->warm && m->fitted;
    dal_status st = m->plan.reader ? dal_check_labels(m->id, m->n_classes, f, err)
                              : dal_check_fit(m->id, m->info.n_inputs, m->n_classes, f, err);
    if (st == DAL_OK && m->plan.reader)
        st = m->plan.reader->check(m, &f->train->spec, err);
    if (st == DAL_OK && m->plan.reader && !warm)
        st = m->plan.reader->prepare(m, f->train, err);
    if (st == DAL_OK && m->plan.reader && m->plan.reader->named && DAL_HAS(dal_fit, f, class_names))
        st = m->plan.reader->named(m, f->class_names, err);
    if (st != DAL_OK)
        return st;
    char who[128];
    snprintf(who, sizeof who, "convolutions by %s", dal_nn_backend(m->nn));
    m->host->log(m->host, DAL_LOG_DEBUG, who);
    dal_nn_model_changed(m);
    m->fitted = 0; /* until the end: a broken fit leaves nothing to predict with */
    if (!warm) {
        const dal_rng stream = m->host->rng(m->host, "weights", f->round);
        dal_nn_draw(m->nn, m->plan.init, &stream, m->weights, m->state);
    }
    if (!warm && m->plan.reader && m->plan.reader->begin)
        st = m->plan.reader->begin(m, err);
    if (st == DAL_OK)
        st = begin(&t);
    if (st == DAL_OK)
        st = run_epochs(&t, report);
    end(&t);
    m->fitted = st == DAL_OK;
    return st;
}
