/* A shipped model of bench_nn, through its table: trained, then used. */
#include "tests/bench/bench_nn.h"

#include <dal/nn_model.h>
#include "tests/bench/bench.h"

#define MAX_STEPS 4000
#define REPEATS 5

/* ---- a component's options ---------------------------------------------------------------------- */

/* The place of `word` in "a|b|c". */
static uint32_t choice_of(const char *domain, const char *word)
{
    uint32_t at = 0;
    const size_t n = strlen(word);
    for (const char *p = domain; p; at++) {
        if (strncmp(p, word, n) == 0 && (p[n] == '|' || p[n] == '\0'))
            return at;
        p = strchr(p, '|');
        p = p ? p + 1 : NULL;
    }
    bench_die(word);
    return 0;
}

static void set_one(const dal_param *p, char *options, const char *text)
{
    static const int64_t hidden[] = {256};
    const int64_t i64 = atoll(text);
    const double f64 = atof(text);
    const int32_t yes = strcmp(text, "true") == 0;
    const uint32_t choice = p->type == DAL_PARAM_CHOICE ? choice_of(p->domain, text) : 0;
    const dal_i64_list list = {hidden, strcmp(p->name, "hidden") == 0};
    if (p->type == DAL_PARAM_F64)
        memcpy(options + p->offset, &f64, sizeof f64);
    else if (p->type == DAL_PARAM_I64)
        memcpy(options + p->offset, &i64, sizeof i64);
    else if (p->type == DAL_PARAM_BOOL)
        memcpy(options + p->offset, &yes, sizeof yes);
    else if (p->type == DAL_PARAM_CHOICE)
        memcpy(options + p->offset, &choice, sizeof choice);
    else if (p->type == DAL_PARAM_I64S)
        memcpy(options + p->offset, &list, sizeof list);
    else
        bench_die("a parameter of a type this does not know");
}

static void set(const dal_component *c, char *options, const char *name, const char *text)
{
    for (int64_t i = 0; i < c->n_params; i++) {
        const dal_param *p = (const dal_param *)((const char *)c->params + (size_t)i * c->param_size);
        if (!name)
            set_one(p, options, p->def);
        else if (strcmp(p->name, name) == 0)
            set_one(p, options, text);
    }
}

/* ---- what is measured --------------------------------------------------------------------------- */

typedef struct watch {
    /* when each step began; of a model that tells of epochs: when each was over */
    double at[MAX_STEPS], cpu[MAX_STEPS];
    int n;
} watch;

/* The median of what lies between n times; leaves them changed. */
static double median_step(double *at, int n)
{
    for (int i = n - 1; i > 0; i--)
        at[i] -= at[i - 1];
    return bench_median(at + 1, n - 1);
}

static void step_begins(void *ctx, const char *component, int64_t done, int64_t total, const char *what)
{
    watch *w = ctx;
    (void)component, (void)done, (void)total, (void)what;
    if (w->n == MAX_STEPS)
        return;
    w->cpu[w->n] = bench_cpu();
    w->at[w->n++] = bench_now();
}

static void *create(const dal_host *host, const dal_component *c, const bench_net *t, const char *backend,
                    const dal_sample_spec *spec)
{
    const dal_model_impl *impl = c->impl;
    static double options[64]; /* the model's as long as it lives; a process has one */
    char epochs[16];
    void *self = NULL;
    dal_error err = DAL_ERROR_INIT;
    if (c->options_size > sizeof options)
        bench_die("options");
    set(c, (char *)options, NULL, NULL);
    const int bf16 = strcmp(backend, "bf16") == 0;
    set(c, (char *)options, "backend", bf16 ? "onednn" : backend);
    if (bf16)
        set(c, (char *)options, "precision", "bf16");
    if (t->optimizer)
        set(c, (char *)options, "optimizer", t->optimizer);
    snprintf(epochs, sizeof epochs, "%d", t->epochs ? t->epochs : 1);
    set(c, (char *)options, "learning_rate", "0.001");
    set(c, (char *)options, "batch_size", "64");
    set(c, (char *)options, "epochs", epochs);
    set(c, (char *)options, "crop", "0");
    set(c, (char *)options, "flip", "false");
    const dal_status st = impl->create(host, options, spec, &self, &err);
    if (st == DAL_E_UNSUPPORTED && bf16) {
        printf("bench_nn net=%s backend=bf16 skipped (%s)\n", c->id, err.text);
        fflush(stdout);
        _exit(0);
    }
    if (st != DAL_OK)
        bench_die(err.text);
    return self;
}

static const dal_component *component_of(const bench_net *t)
{
    for (const dal_component *const *c = t->plugin->components; *c; c++)
        if (strcmp((*c)->id, t->id) == 0)
            return *c;
    bench_die(t->id);
    return NULL;
}

/* One fit. f: ready is a time of the day until the caller knows when all began. */
static void train(const bench_net *t, const dal_model_impl *impl, void *self, const dal_samples *list, watch *w,
                  bench_figures *f)
{
    dal_error err = DAL_ERROR_INIT;
    dal_fit_report report = {.struct_size = sizeof report};
    const dal_fit fit = {.struct_size = sizeof fit, .warm = t->epochs == 0, .train = list};
    if (impl->fit(self, &fit, &report, &err) != DAL_OK)
        bench_die(err.text);
    const double per = t->epochs ? (double)t->steps : 1; /* steps from one time to the next */
    f->ready = w->at[0];
    f->ready_cpu = w->cpu[0];
    f->first = (w->at[1] - w->at[0]) / per;
    f->first_cpu = (w->cpu[1] - w->cpu[0]) / per;
    f->step = median_step(w->at, w->n) / per;
    f->step_cpu = median_step(w->cpu, w->n) / per;
    if (t->epochs) { /* the first time is the end of an epoch */
        f->ready -= f->step * per;
        f->ready_cpu -= f->step_cpu * per;
    }
}

/* A second one, of two batches. */
static void train_again(const bench_net *t, const dal_model_impl *impl, void *self, const dal_samples *list, watch *w,
                        bench_figures *f)
{
    dal_error err = DAL_ERROR_INIT;
    dal_fit_report report = {.struct_size = sizeof report};
    dal_samples two = *list;
    two.n = 2 * BENCH_BATCH;
    const dal_fit fit = {.struct_size = sizeof fit, .train = &two};
    const double start = bench_now(), start_cpu = bench_cpu();
    w->n = 0;
    if (impl->fit(self, &fit, &report, &err) != DAL_OK)
        bench_die(err.text);
    const int over = t->epochs ? 0 : 1; /* the second step begins where the first is over */
    const double steps = t->epochs ? 2 : 1;
    f->again = w->at[over] - start - steps * f->step;
    f->again_cpu = w->cpu[over] - start_cpu - steps * f->step_cpu;
}

typedef struct use {
    const dal_model_impl *impl;
    void *self;
    const bench_samples *samples;
    float *out;
} use;

static dal_status use_block(void *ctx, int64_t i)
{
    const use *u = ctx;
    const dal_batch x = bench_samples_batch(u->samples, i * BENCH_BATCH, BENCH_BATCH);
    return u->impl->predict(u->self, &x, u->out + i * BENCH_BATCH * BENCH_CLASSES, NULL);
}

static void use_it(const bench_net *t, const dal_host *host, use *u, bench_figures *f)
{
    double took[REPEATS], cpu[REPEATS];
    u->out = malloc((size_t)t->n_infer * BENCH_CLASSES * sizeof *u->out);
    for (int r = 0; r < REPEATS; r++) {
        const double start = bench_now(), start_cpu = bench_cpu();
        if (!u->out || host->parallel_for(host, t->n_infer / BENCH_BATCH, use_block, u) != DAL_OK)
            bench_die("a model could not be used");
        took[r] = (bench_now() - start) / (double)t->n_infer;
        cpu[r] = (bench_cpu() - start_cpu) / (double)t->n_infer;
    }
    free(u->out);
    f->sample = bench_median(took, REPEATS);
    f->sample_cpu = bench_median(cpu, REPEATS);
}

/* Networks count the longest text they take; most have half of that. */
static double adds_of(const bench_net *t, const void *self)
{
    const dal_nn_model *m = self;
    if (t->adds > 0)
        return t->adds;
    return (double)m->info.multiply_adds * (bench_is_texts(t) ? (BENCH_LEAST + BENCH_MOST) / 2.0 / (double)m->shape[0]
                                            : 1);
}

void bench_model(const bench_net *t, int threads, const char *backend, double born)
{
    watch w = {.n = 0};
    const dal_runtime_config config = {.struct_size = sizeof config, .threads = threads, .seed = 1, .ctx = &w,
                                       .progress = step_begins};
    dal_runtime *rt = dal_runtime_new(&config, NULL);
    const dal_host *host = dal_runtime_host(rt, t->id);
    const dal_component *c = component_of(t);
    const dal_model_impl *impl = c->impl;
    const double before = bench_now(), before_cpu = bench_cpu();
    bench_samples all;
    bench_samples_make(&all, t, t->n_infer > t->steps * BENCH_BATCH ? t->n_infer : t->steps * BENCH_BATCH);
    all.list.n = t->steps * BENCH_BATCH;
    born += bench_now() - before;
    const double made_cpu = bench_cpu() - before_cpu;
    bench_figures f = {.net = t->id, .backend = backend, .batch = BENCH_BATCH, .threads = threads};
    void *self = create(host, c, t, backend, &all.list.spec);
    train(t, impl, self, &all.list, &w, &f);
    f.ready -= born;
    f.ready_cpu -= made_cpu;
    use_it(t, host, &(use){impl, self, &all, NULL}, &f);
    train_again(t, impl, self, &all.list, &w, &f);
    f.adds = adds_of(t, self);
    bench_report(host, &f);
    impl->destroy(self);
    bench_samples_free(&all);
    dal_runtime_free(rt);
}
