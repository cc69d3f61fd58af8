/* dalhost run: the main job. */
#include <math.h>
#include <stdlib.h>
#include <unistd.h>

#include <jansson.h>

#include "cli/events.h"
#include "cli/experiment.h"
#include "pipeline/run.h"
#include "report/queries.h"
#include "report/summary.h"
#include "store/chosen.h"
#include "util/text.h"

static const cli_option options[] = {
    EXPERIMENT_OPTIONS,
    {"resume", 0, NULL, false, "go on with the unfinished runs of this manifest; finished ones are left alone"},
    {"store", 'o', "STORE", false, "keep everything in this file (default: " STORE_DEFAULT ")"},
    {"json", 0, NULL, false, "print one JSON object a line instead of tables: run, round and end"},
    {0},
};

typedef struct printer {
    bool json;
    const strategy_plan *plan; /* of the run at hand */
    pool_sorts pool;           /* its pool, without the initial set once the first round is there */
    int64_t n_initial;         /* samples in a class, each */
    int64_t *runs; /* begun by this command */
    int n_runs;
} printer;

/* ---- JSON lines ---- */

static void print_json(json_t *o)
{
    char *s = json_dumps(o, JSON_COMPACT | JSON_REAL_PRECISION(17));
    puts(s);
    fflush(stdout);
    free(s);
    json_decref(o);
}

static json_t *number(double x)
{
    return isfinite(x) ? json_real(x) : json_null();
}

static json_t *cost_json(const strategy_cost *c)
{
    return c->told ? json_pack("{s:s, s:o, s:o}", "formula", c->formula, "bytes", number(c->bytes), "flops",
                               number(c->flops))
                   : json_null();
}

static json_t *times_json(const phase_times *t)
{
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "train_s", number(t->train), "evaluate_s",
                     number(t->evaluate), "infer_s", number(t->infer), "select_s", number(t->select), "label_s",
                     number(t->label), "previous_commit_s", number(t->commit));
}

static json_t *round_json(const run_head *h, const round_record *r, const printer *to)
{
    const pool_sorts found = {r->n_labelled - to->n_initial, r->n_ood};
    const round_purity p = purity_of_round(r, found, to->pool);
    json_t *picks = json_array();
    for (int64_t i = 0; i < r->n_picks; i++)
        json_array_append_new(picks, json_integer(r->picks[i].id));
    return json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "event",
                     "round", "run", (json_int_t)h->id, "round", (json_int_t)r->round, "labels",
                     (json_int_t)r->n_labelled, "out_of_class", (json_int_t)r->n_ood, "unlabelled",
                     (json_int_t)r->n_unlabelled, "accuracy", number(r->metrics.accuracy), "balanced_accuracy",
                     number(r->metrics.balanced_accuracy), "macro_f1", number(r->metrics.macro_f1), "log_loss",
                     number(r->metrics.log_loss), "purity", number(p.purity), "purity_so_far", number(p.purity_so_far),
                     "id_recall", number(p.id_recall), "ood_recall", number(p.ood_recall), "times",
                     times_json(&r->times), "picks", picks);
}

/* ---- tables ---- */

static void print_headings(void)
{
    printf("%6s %7s %9s %9s %10s %10s %10s %10s %10s\n", "round", "labels", "accuracy", "macro-F1", "train",
           "evaluate", "infer", "select", "label");
}

static const char *share(double x, char out[16])
{
    snprintf(out, 16, isfinite(x) ? "%.4f" : "-", x);
    return out;
}

static void print_row(const round_record *r)
{
    char a[16], f[16], t[5][32];
    const double seconds[5] = {r->times.train, r->times.evaluate, r->times.infer, r->times.select, r->times.label};
    for (int i = 0; i < 5; i++)
        human_time(seconds[i], t[i]);
    const bool asked = r->n_picks > 0;
    printf("%6lld %7lld %9s %9s %10s %10s %10s %10s %10s\n", (long long)r->round, (long long)r->n_labelled,
           share(r->metrics.accuracy, a), share(r->metrics.macro_f1, f), t[0], t[1], asked ? t[2] : "-",
           asked ? t[3] : "-", asked ? t[4] : "-");
    fflush(stdout);
}

/* ---- events ---- */

/* What the largest query takes. */
static void print_plan(const strategy_plan *p)
{
    char n[32];
    for (const char *line = p->lines; *line; line += strcspn(line, "\n") + 1)
        printf("  %.*s\n", (int)strcspn(line, "\n"), line);
    if (p->candidates > 0)
        printf("  %s candidates, drawn at random for each query\n", human_count(p->candidates, n));
}

static void on_begin(void *ctx, const run_head *h, int64_t rounds_done)
{
    printer *p = ctx;
    char pool[32], test[32];
    events_clear();
    p->runs = xrealloc(p->runs, (size_t)(p->n_runs + 1) * sizeof *p->runs);
    p->runs[p->n_runs++] = h->id;
    if (p->json) {
        print_json(json_pack("{s:s, s:I, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o}", "event", "run", "run",
                             (json_int_t)h->id, "name", h->name, "strategy", h->strategy, "trial",
                             (json_int_t)h->trial, "seed", (json_int_t)h->seed, "pool", (json_int_t)h->n_pool, "test",
                             (json_int_t)h->n_test, "classes", (json_int_t)h->n_classes, "rounds_done",
                             (json_int_t)rounds_done, "candidates", (json_int_t)p->plan->problem.n, "cost",
                             cost_json(&p->plan->cost), "chosen", chosen_json(h)));
        return;
    }
    printf("run %lld  %s  strategy %s  seed %llu  (%s in the pool, %s to test on, %lld classes)\n", (long long)h->id,
           h->name, h->strategy, (unsigned long long)h->seed, human_count(h->n_pool, pool),
           human_count(h->n_test, test), (long long)h->n_classes);
    char *chosen = chosen_text(h, " ", ", ");
    if (*chosen)
        printf("  chosen by the model, and kept with the run: %s\n", chosen);
    free(chosen);
    print_plan(p->plan);
    if (rounds_done > 0)
        printf("resumed: the first %lld %s from the store\n", (long long)rounds_done,
               rounds_done == 1 ? "row is" : "rows are");
    print_headings();
}

static void on_phase(void *ctx, const char *phase, int64_t round, int64_t rounds)
{
    (void)ctx;
    char stage[64];
    snprintf(stage, sizeof stage, "round %lld/%lld  %s", (long long)round, (long long)rounds, phase);
    events_stage(stage);
}

static void on_round(void *ctx, const run_head *h, const round_record *r)
{
    printer *p = ctx;
    events_stage("");
    events_clear();
    if (r->round == 0) {
        p->n_initial = r->n_labelled;
        p->pool.in_class -= p->pool.in_class < 0 ? 0 : r->n_labelled;
    }
    if (p->json)
        print_json(round_json(h, r, p));
    else
        print_row(r);
}

static void on_end(void *ctx, const run_head *h)
{
    const printer *p = ctx;
    events_stage("");
    events_clear();
    if (p->json)
        print_json(json_pack("{s:s, s:I, s:s, s:s}", "event", "end", "run", (json_int_t)h->id, "state",
                             run_state_name(h->state), "message", h->message));
    else if (h->state == RUN_DONE)
        printf("done: %s\n\n", h->message);
    else if (h->state == RUN_WAITING)
        printf("run %lld waits for labels: %s\n\n", (long long)h->id, h->message);
}

static void on_note(void *ctx, const char *what)
{
    (void)ctx;
    events_clear();
    fprintf(stderr, "dalhost run: note: %s\n", what);
}

/* ---- the command ---- */

/* One strategy on one trial; *waiting is set when it waits for labels. */
static int run_one(trial *t, int strategy, store *s, const run_options *o, const printer *p, bool *waiting)
{
    dal_error err = DAL_ERROR_INIT;
    run_state state;
    const dal_status st = run_strategy(t, strategy, s, o, &state, &err);
    events_stage("");
    events_clear();
    if (st == DAL_E_CANCELLED) {
        fprintf(stderr, "dalhost run: interrupted; everything labelled is in %s, go on with --resume\n", store_path(s));
        return EXIT_INTERRUPTED;
    }
    if (st != DAL_OK) {
        fflush(stdout);
        const char *key = *err.key ? err.key : "";
        fprintf(stderr, "dalhost run: %s%s%s\n", key, *key ? ": " : "", *err.text ? err.text : "failed");
        const bool refused = p->n_runs == 0 && (st == DAL_E_INVALID || st == DAL_E_UNSUPPORTED);
        return refused ? EXIT_BAD_INPUT : EXIT_FAILED;
    }
    *waiting |= state == RUN_WAITING;
    return EXIT_OK;
}

static int open_store(const cli_args *a, store **s)
{
    const char *path = cli_value(a, "store");
    dal_error err = DAL_ERROR_INIT;
    if (store_open(path ? path : STORE_DEFAULT, true, false, s, &err) != DAL_OK)
        return cli_error(a, EXIT_BAD_INPUT, &err);
    return EXIT_OK;
}

/* The pool before anything is labelled. */
static pool_sorts count_pool(const source *s)
{
    pool_sorts pool = {0};
    const int64_t n = s->info.n[DAL_SPLIT_TRAIN];
    for (int64_t i = 0; i < n; i++) {
        pool.in_class += s->classes[DAL_SPLIT_TRAIN][i] >= 0;
        pool.outside += s->classes[DAL_SPLIT_TRAIN][i] == DAL_LABEL_OOD;
    }
    return pool.in_class + pool.outside == n ? pool : (pool_sorts){-1, -1};
}

/* The store is made once the first trial's data and components are found to be good. */
static int run_trials(const cli_args *a, experiment *e, store **s, const run_options *o, printer *p)
{
    int code = EXIT_OK;
    bool waiting = false;
    const composer_events events = events_for_terminal();
    for (int64_t k = 0; code == EXIT_OK && k < e->m->trials; k++) {
        trial *t = NULL;
        diags *d = k == 0 ? e->d : diags_new();
        events_stage("open data");
        if (trial_open(e->m, e->registry, k, (int32_t)e->threads, &events, &t, d) != DAL_OK)
            code = events_interrupted() ? EXIT_INTERRUPTED : EXIT_BAD_INPUT;
        events_stage("");
        events_clear();
        if (k == 0 || code != EXIT_OK) {
            fflush(stdout);
            diags_print(d, stderr);
        }
        if (code == EXIT_OK && !*s)
            code = open_store(a, s);
        for (int i = 0; code == EXIT_OK && i < e->m->n_strategies; i++) {
            p->plan = &t->plans[i];
            p->pool = count_pool(t->source);
            code = run_one(t, i, *s, o, p, &waiting);
        }
        trial_close(t);
        if (k > 0)
            diags_free(d);
    }
    return code == EXIT_OK && waiting ? EXIT_WAITING : code;
}

/* What all others must beat: a strategy that reads nothing of the model, where there is one. */
static const char *baseline_of(const manifest *m)
{
    const char *id = NULL;
    for (int i = 0; i < m->n_strategies && !id; i++) {
        char *needs = spec_needs(m->strategies[i]);
        if (!*needs)
            id = m->strategies[i]->desc->id;
        free(needs);
    }
    return id;
}

/* The learning curves of this command's runs, and what they come to. */
static void print_summary(store *s, const printer *p, const manifest *m)
{
    stored_run **runs = xcalloc((size_t)p->n_runs, sizeof *runs);
    dal_error err = DAL_ERROR_INIT;
    int n = 0;
    while (n < p->n_runs && store_read_run(s, p->runs[n], &runs[n], &err) == DAL_OK)
        n++;
    const terminal to = terminal_of(stdout);
    summary_curves(stdout, (const stored_run *const *)runs, n, to);
    summary_print(stdout, (const stored_run *const *)runs, n, baseline_of(m), to);
    for (int i = 0; i < n; i++)
        stored_run_free(runs[i]);
    free(runs);
}

static int run(const cli_args *a)
{
    experiment e;
    int code = experiment_read(a, &e);
    if (code != EXIT_OK)
        return code;
    events_catch_interrupts();
    printer p = {.json = cli_flag(a, "json")};
    const run_events events = {&p, on_begin, on_phase, on_round, on_end, on_note};
    const run_options o = {cli_flag(a, "resume"), &events};
    store *s = NULL;
    code = run_trials(a, &e, &s, &o, &p);
    if (code == EXIT_WAITING && !p.json)
        printf("answer, then go on with --resume (everything is in %s)\n", store_path(s));
    if (code == EXIT_OK && !p.json) {
        print_summary(s, &p, e.m);
        printf("\neverything is in %s: dalhost runs list --store %s\n", store_path(s), store_path(s));
    }
    free(p.runs);
    store_close(s);
    experiment_free(&e);
    return code;
}

const cli_command cmd_run = {
    .name = "run",
    .operands = "[MANIFEST]",
    .max_operands = 1,
    .summary = "run the experiment a manifest describes",
    .description =
        "Trains the model on the labelled samples, measures it on the test split, lets the strategy choose what to "
        "label next, asks the oracle, and repeats. MANIFEST is a file, - for standard input, or the name of one that "
        "came with dalhost, as fashion-mnist (dalhost check lists them where there is none of a name); without it "
        "glyphs is run, which needs no data.\n\n"
        "A manifest with several strategies or trials is several runs; strategies of one trial start from the same "
        "labelled set. Every round is one transaction in the run store, durable before the next begins: a run "
        "that was interrupted, killed, or waits for labels goes on with --resume and ends exactly as it would have "
        "ended undisturbed. Results do not depend on the number of threads.\n\n"
        "Where the manifest leaves a choice to the model, as `backend: auto` and `precision: auto` do, the head of a "
        "run says what was chosen (with --json, \"chosen\" of the event \"run\"). It is kept with the run: --resume, "
        "and other runs of the manifest that --resume begins, go by it, or are refused where this machine cannot.\n\n"
        "With --json, the event \"round\" has the metrics before the query, and of its answers purity, purity_so_far, "
        "id_recall and ood_recall, as runs export; a number that is not known is null.\n\n"
        "The line below the head of a run is what its strategy says it takes for the largest query: its bound on the "
        "memory beside what it reads, and the order of its arithmetic.",
    .options = options,
    .examples = "  dalhost run\n"
                "  dalhost run fashion-mnist -o fashion.sqlite\n"
                "  dalhost run experiment.yaml --set strategy=entropy --set model.hidden=[200,100] --seed 7\n"
                "  dalhost run experiment.yaml --resume\n",
    .main = run,
};
