/* What rules the training of models of layers: rates, held-out labels, stopping. */
#include "tests/unit/mlp_subject.h"

#include "sdk/lib/model/nn_holdout.h"
#include "sdk/lib/model/nn_rate.h"

/* ---- rates --------------------------------------------------------------------------------------- */

static dal_nn_training of_schedule(uint32_t schedule)
{
    return (dal_nn_training){.epochs = 20, .learning_rate = 0.5, .control = {.schedule = schedule, .gamma = 0.2,
                                                                             .step_epochs = 3}};
}

Test(nn_rate, follows_the_formula_of_each_schedule)
{
    static const int64_t milestones[] = {4, 9, 15};
    dal_nn_training constant = of_schedule(DAL_NN_RATE_CONSTANT), cosine = of_schedule(DAL_NN_RATE_COSINE),
        halves = of_schedule(DAL_NN_RATE_STEPS),
               steps = of_schedule(DAL_NN_RATE_STEPS), step = of_schedule(DAL_NN_RATE_STEP);
    steps.control.milestones = (dal_i64_list){milestones, 3};
    for (int e = 0; e < 20; e++)
        for (int s = 0; s < 4; s++) {
            const double at = e + 0.25 * s, end = at + 0.25;
            cr_assert_float_eq(nn_rate_at(&constant, at, end), 0.5, 1e-15);
            cr_assert_float_eq(nn_rate_at(&cosine, at, end), 0.25 * (1 + cos(M_PI * at / 20)), 1e-15);
            cr_assert_float_eq(nn_rate_at(&halves, at, end), e < 10 ? 0.5 : e < 15 ? 0.1 : 0.02, 1e-15);
            cr_assert_float_eq(nn_rate_at(&steps, at, end), e < 4 ? 0.5 : e < 9 ? 0.1 : e < 15 ? 0.02 : 0.004, 1e-15);
            cr_assert_float_eq(nn_rate_at(&step, at, end), 0.5 * pow(0.2, e / 3), 1e-15);
        }
}

Test(nn_rate, grows_from_nothing_while_warming_up)
{
    dal_nn_training o = of_schedule(DAL_NN_RATE_COSINE);
    o.control.warmup = 2;
    cr_assert_float_eq(nn_rate_at(&o, 0, 0.25), 0.5 * 0.125, 1e-15);
    cr_assert_float_eq(nn_rate_at(&o, 1, 1.25), 0.25 * (1 + cos(M_PI / 20)) * 0.625, 1e-15);
    cr_assert_float_eq(nn_rate_at(&o, 2, 2.25), 0.25 * (1 + cos(M_PI / 10)), 1e-15);
}

/* ---- labels held out ----------------------------------------------------------------------------- */

Test(nn_holdout, takes_its_share_of_each_class_but_never_the_last_label)
{
    static const int sizes[4] = {1, 2, 10, 31}, held[4] = {0, 1, 3, 9};
    fx_list *l = fx_clusters(44, 5, 4, DAL_F32, 0.1, 1);
    for (int i = 0, c = 0, n = 0; i < 44; i++, n++) {
        c += n == sizes[c] ? 1 + (n = 0) : 0;
        l->classes[i] = c;
    }
    fx_subject s = fx_mlp_new(&(fx_mlp){.n_hidden = 0}, &l->s.spec, 1);
    const dal_rng stream = dal_rng_from_key(3);
    nn_holdout h;
    int count[4] = {0}, seen[44] = {0};
    cr_assert_eq(nn_holdout_init(&h, s.self, &l->s, 0.3, &stream, NULL), DAL_OK);
    cr_assert(h.n == 13 && h.n_train == 31);
    for (int i = 0; i < 44; i++) {
        seen[h.rows[i]]++;
        count[l->classes[h.rows[i]]] += i >= h.n_train;
        cr_assert(i == 0 || i == h.n_train || h.rows[i - 1] < h.rows[i]);
    }
    for (int i = 0; i < 44; i++)
        cr_assert_eq(seen[i], 1);
    for (int c = 0; c < 4; c++)
        cr_assert_eq(count[c], held[c], "class %d", c);
    nn_holdout_fini(&h);
    cr_assert_eq(nn_holdout_init(&h, s.self, &l->s, 0, &stream, NULL), DAL_OK);
    cr_assert(h.n == 0 && h.n_train == 44);
    nn_holdout_fini(&h);
    fx_subject_drop(&s);
    fx_list_free(l);
}

/* Labels of which a fifth is wrong: the longer they are learned, the worse. */
static fx_list *noisy_labels(void)
{
    fx_list *l = fx_clusters(120, 10, 3, DAL_F32, 0.25, 1);
    for (int i = 0; i < 120; i += 5)
        l->classes[i] = (l->classes[i] + 1) % 3;
    return l;
}

/* The mean loss of those held out. */
static double held_out_loss(const fx_subject *s, const fx_list *l, const nn_holdout *h)
{
    float *z = fx_predict(s->impl, s->self, l, 120);
    double loss = 0;
    for (int64_t i = h->n_train; i < h->n_train + h->n; i++) {
        double sum = 0;
        for (int k = 0; k < 3; k++)
            sum += exp((double)z[h->rows[i] * 3 + k]);
        loss += (log(sum) - (double)z[h->rows[i] * 3 + l->classes[h->rows[i]]]) / (double)h->n;
    }
    free(z);
    return loss;
}

/* A list of the rows to train on alone. */
static fx_list *to_train_on(const fx_list *l, const nn_holdout *h)
{
    fx_list *part = fx_clusters(h->n_train, 10, 3, DAL_F32, 0, 1);
    for (int64_t i = 0; i < h->n_train; i++) {
        memcpy((float *)part->data + i * 10, (float *)l->data + h->rows[i] * 10, 10 * sizeof(float));
        part->classes[i] = l->classes[h->rows[i]];
        part->ids[i] = l->ids[h->rows[i]];
    }
    return part;
}

Test(nn_holdout, keeps_the_weights_of_the_epoch_with_the_least_loss)
{
    fx_list *l = noisy_labels();
    fx_mlp how = {.hidden = {40}, .n_hidden = 1, .epochs = 120, .batch_size = 20, .nadam = 1,
                  .control = {.validation = 0.25, .patience = 6}};
    fx_subject stopped = fx_mlp_new(&how, &l->s.spec, 2);
    const dal_nn_model *m = stopped.self;
    const dal_rng stream = m->host->rng(m->host, "validation", 0);
    nn_holdout h;
    const dal_fit_report r = fx_fit(stopped.impl, stopped.self, l, 0, 0);
    cr_assert_eq(nn_holdout_init(&h, m, &l->s, 0.25, &stream, NULL), DAL_OK);
    cr_assert_eq(h.n, 30);
    fx_list *part = to_train_on(l, &h);
    double best = INFINITY;
    int64_t best_epoch = 0;
    how.control = (dal_nn_control){0};
    /* so many epochs on these rows, with nothing held out */
    for (how.epochs = 1; how.epochs <= r.epochs; how.epochs++) {
        fx_subject plain = fx_mlp_new(&how, &l->s.spec, 1);
        fx_fit(plain.impl, plain.self, part, 0, 0);
        const double loss = held_out_loss(&plain, l, &h);
        const dal_nn_model *p = plain.self;
        if (loss < best - 1e-9)
            best_epoch = how.epochs;
        best = fmin(best, loss);
        if (best_epoch == how.epochs && r.epochs == best_epoch + 6)
            cr_assert_arr_eq(m->weights, p->weights, (size_t)m->info.n_weights * sizeof *p->weights);
        fx_subject_drop(&plain);
    }
    cr_assert(r.converged && r.epochs < 120, "%lld epochs", (long long)r.epochs);
    cr_assert_eq(best_epoch, r.epochs - 6, "best after epoch %lld", (long long)best_epoch);
    cr_assert_float_eq(held_out_loss(&stopped, l, &h), best, 1e-6);
    nn_holdout_fini(&h);
    fx_subject_drop(&stopped);
    fx_list_free(part);
    fx_list_free(l);
}

Test(nn_holdout, trains_to_the_end_on_labels_too_few_to_hold_any_out)
{
    fx_list *l = fx_clusters(3, 10, 3, DAL_F32, 0.1, 1);
    fx_subject s = fx_mlp_new(&(fx_mlp){.hidden = {4}, .n_hidden = 1, .epochs = 7,
                                        .control = {.validation = 0.5, .patience = 1}},
                              &l->s.spec, 1);
    const dal_fit_report r = fx_fit(s.impl, s.self, l, 0, 0);
    cr_assert_eq(r.epochs, 7);
    fx_subject_drop(&s);
    fx_list_free(l);
}

/* ---- the same bits ------------------------------------------------------------------------------- */

static const fx_mlp everything = {.hidden = {200, 130}, .n_hidden = 2, .epochs = 6, .batch_size = 50, .nadam = 1,
                                  .dropout = 0.2, .control = {.schedule = DAL_NN_RATE_STEP, .gamma = 0.5,
                                                              .step_epochs = 2, .warmup = 1, .clip = 0.1,
                                              .validation = 0.2, .patience = 3}};

Test(nn_training, gives_the_same_bits_with_any_number_of_threads_whatever_rules_it)
{
    fx_list *l = fx_clusters(333, 300, 7, DAL_U8, 0.3, 1);
    float *want = NULL;
    for (int threads = 1; threads <= 4; threads *= 2) {
        fx_subject s = fx_mlp_new(&everything, &l->s.spec, threads);
        fx_fit(s.impl, s.self, l, 3, 0);
        float *z = fx_predict(s.impl, s.self, l, 333);
        if (want)
            cr_assert_eq(memcmp(z, want, 333 * 7 * sizeof *z), 0, "%d threads", threads);
        else
            want = z;
        if (z != want)
            free(z);
        fx_subject_drop(&s);
    }
    free(want);
    fx_list_free(l);
}

Test(nn_training, goes_on_from_a_file_as_if_it_had_never_ended)
{
    fx_list *l = fx_clusters(120, 30, 3, DAL_F32, 0.3, 1);
    dal_error err = DAL_ERROR_INIT;
    fx_subject a = fx_mlp_new(&everything, &l->s.spec, 2), b = fx_mlp_new(&everything, &l->s.spec, 1);
    fx_fit(a.impl, a.self, l, 0, 0);
    fx_bytes saved = fx_save(a.impl, a.self);
    cr_assert_eq(fx_load(b.impl, b.self, &saved, &err), DAL_OK, "%s", err.text);
    for (int64_t round = 1; round < 3; round++) {
        fx_fit(a.impl, a.self, l, round, 1);
        fx_fit(b.impl, b.self, l, round, 1);
    }
    float *want = fx_predict(a.impl, a.self, l, 120), *got = fx_predict(b.impl, b.self, l, 7);
    cr_assert_arr_eq(got, want, 360 * sizeof *got);
    free(want), free(got), free(saved.data);
    fx_subject_drop(&a);
    fx_subject_drop(&b);
    fx_list_free(l);
}

/* ---- batches made ahead ------------------------------------------------------------------------- */

enum { WIDE_ROW = 70000, ROWS = 1000 }; /* more numbers than are kept in memory */

typedef struct far_list {
    dal_samples s;
    int32_t classes[ROWS];
    int64_t fails_at; /* a row that cannot be read; -1: none */
} far_list;

/* A sample is made of its row. */
static dal_status read_far(const dal_samples *s, const int64_t *rows, int64_t n, dal_batch *out, dal_error *err)
{
    const far_list *l = s->impl;
    for (int64_t i = 0; i < n; i++) {
        uint8_t *to = (uint8_t *)out->data + i * WIDE_ROW;
        if (rows[i] == l->fails_at)
            return dal_fail(err, DAL_E_IO, "", "row %lld is gone", (long long)rows[i]);
        for (int64_t k = 0; k < WIDE_ROW; k++)
            to[k] = (uint8_t)((rows[i] * 2654435761 + k * (rows[i] % 3 + 1)) >> 3);
    }
    return DAL_OK;
}

static uint64_t fit_far(uint32_t feed, int threads, int64_t fails_at, dal_error *err)
{
    far_list l = {.fails_at = fails_at};
    l.s = (dal_samples){.struct_size = sizeof l.s, .impl = &l, .spec = fx_vector_spec(WIDE_ROW, DAL_U8, 3), .n = ROWS,
                        .classes = l.classes, .read = read_far};
    for (int i = 0; i < ROWS; i++)
        l.classes[i] = i % 3;
    fx_subject s = fx_mlp_new(&(fx_mlp){.hidden = {2}, .n_hidden = 1, .epochs = 2, .batch_size = 96}, &l.s.spec,
                              threads);
    dal_nn_model *m = s.self;
    dal_fit_report report = {.struct_size = sizeof report};
    const dal_fit f = {.struct_size = sizeof f, .train = &l.s};
    m->fine.feed = feed;
    const dal_status st = s.impl->fit(s.self, &f, &report, err);
    cr_assert_eq(st, fails_at < 0 ? DAL_OK : DAL_E_IO, "%s", err->text);
    const uint64_t h = dal_hash64(0, m->weights, (size_t)m->info.n_weights * sizeof(float));
    fx_subject_drop(&s);
    return h;
}

Test(nn_feed, makes_the_batches_that_would_have_been_made)
{
    dal_error err = DAL_ERROR_INIT;
    const uint64_t never = fit_far(DAL_NN_FEED_NEVER, 2, -1, &err);
    cr_assert_eq(fit_far(DAL_NN_FEED_AUTO, 2, -1, &err), never);
    cr_assert_eq(fit_far(DAL_NN_FEED_ALWAYS, 1, -1, &err), never);
}

Test(nn_feed, tells_what_could_not_be_read)
{
    for (uint32_t feed = DAL_NN_FEED_AUTO; feed <= DAL_NN_FEED_NEVER; feed++) {
        dal_error err = DAL_ERROR_INIT;
        fit_far(feed, 2, 517, &err);
        cr_assert_str_eq(err.text, "row 517 is gone", "%s", err.text);
    }
}
