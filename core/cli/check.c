/* dalhost check: would this run start? */
#include <stdlib.h>

#include "cli/events.h"
#include "cli/experiment.h"
#include "util/text.h"

static const cli_option options[] = {
    EXPERIMENT_OPTIONS,
    {0},
};

/* Its bound for the run's largest query, and those of the strategies it runs. */
static void print_strategy(const strategy_plan *p)
{
    char n[32];
    for (const char *line = p->lines; *line; line += strcspn(line, "\n") + 1)
        printf("  %-10s %.*s\n", line == p->lines ? "strategy" : "", (int)strcspn(line, "\n"), line);
    if (p->candidates > 0)
        printf("  %-10s of %s candidates, drawn at random for each query\n", "", human_count(p->candidates, n));
}

static void print_plan(const experiment *e, const trial *t)
{
    const manifest *m = e->m;
    const dal_dataset_info *info = &t->source->info;
    char a[32], b[32], c[32];
    printf("%s: would start\n", m->path);
    printf("  pool       %s samples (%s with a known class), %s to test on, %lld classes\n",
           human_count(info->n[DAL_SPLIT_TRAIN], a), human_count(t->known, b), human_count(info->n[DAL_SPLIT_TEST], c),
           (long long)info->spec.n_classes);
    if (m->dataset->card)
        printf("  data       %s (%s)\n", m->dataset->card->title, m->dataset->card->path);
    printf("  labels     %lld to start with%s%s, then %lld rounds of %lld\n", (long long)m->initial_size,
           m->initial_strategy ? ", chosen by " : "", m->initial_strategy ? m->initial_strategy->desc->id : "",
           (long long)m->rounds, (long long)m->query_size);
    printf("  model      %s%s%s%s\n", m->model->desc->id, *t->chosen ? " (chosen here: " : "", t->chosen,
           *t->chosen ? ")" : "");
    printf("  oracle     %s\n", m->oracle->desc->id);
    for (int i = 0; i < m->n_strategies; i++)
        print_strategy(&t->plans[i]);
    if (m->trials > 1)
        printf("  trials     %lld, seeds %llu to %llu\n", (long long)m->trials, (unsigned long long)m->seed,
               (unsigned long long)(m->seed + (uint64_t)m->trials - 1));
}

static int check(const cli_args *a)
{
    experiment e;
    int code = experiment_read(a, &e);
    if (code != EXIT_OK)
        return code;
    events_catch_interrupts();
    const composer_events events = events_for_terminal();
    trial *t = NULL;
    if (trial_open(e.m, e.registry, 0, (int32_t)e.threads, &events, &t, e.d) != DAL_OK)
        code = EXIT_BAD_INPUT;
    events_clear();
    diags_print(e.d, stderr);
    if (code == EXIT_OK)
        print_plan(&e, t);
    trial_close(t);
    experiment_free(&e);
    return code;
}

const cli_command cmd_check = {
    .name = "check",
    .operands = "[MANIFEST]",
    .max_operands = 1,
    .summary = "say whether a run of this manifest would start",
    .description =
        "Reads the manifest, opens its data, creates every component once and compares all sizes, as `run` does "
        "before it trains anything. All faults are printed, each with its place, what was found, what was "
        "expected and what to try.\n\n"
        "A run that would start is told in short, with what each strategy says it takes for the largest query of the "
        "run: its bound on the memory beside what it reads, and the order of its arithmetic.",
    .options = options,
    .examples = "  dalhost check experiment.yaml\n"
                "  dalhost check fashion-mnist --set query.size=500\n",
    .main = check,
};
