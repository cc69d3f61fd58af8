/* dalhost dataset check: are the files those of the card, and can every sample be read? */
#include <stdlib.h>

#include "cli/dataset.h"
#include "cli/events.h"
#include "dataset/examine.h"
#include "dataset/files.h"
#include "pipeline/survey.h"
#include "util/text.h"

typedef struct watched {
    const composer_events *events;
    const char *name;
} watched;

static int tell(void *ctx, int64_t done, int64_t total)
{
    const watched *w = ctx;
    if (w->events->progress)
        w->events->progress(w->events->ctx, w->name, done, total, "bytes");
    return events_interrupted();
}

/* ---- files ---- */

/* True: it is as the card says, as far as that says anything. */
static bool check_file(const card *c, const card_file *f, const composer_events *events)
{
    char *where = card_file_where(c, f), digest[65], size[32];
    dal_error err = DAL_ERROR_INIT;
    int64_t bytes = 0;
    watched w = {events, f->path};
    const hash_watch watch = {tell, &w};
    bool good = false;
    if (!where) {
        printf("  %s: %s\n", f->path, f->optional ? "missing, and optional" : "MISSING");
        return f->optional;
    }
    const dal_status st = file_sha256(where, &watch, digest, &bytes, &err);
    events_clear();
    if (st != DAL_OK)
        printf("  %s\n", err.text);
    else if (f->size >= 0 && bytes != f->size)
        printf("  %s: %lld bytes, expected %lld; it is %s\n", where, (long long)bytes, (long long)f->size,
               bytes < f->size ? "cut short, or another file" : "another file");
    else if (*f->sha256 && strcmp(digest, f->sha256) != 0)
        printf("  %s: SHA-256 is %s, expected %s: other content of the right size\n", where, digest, f->sha256);
    else {
        printf("  %s: %s, %s\n", where, human_bytes((double)bytes, size),
               *f->sha256 ? "the hash is right" : f->size >= 0 ? "the size is right, no hash is known"
                                                               : "no hash is known");
        good = true;
    }
    free(where);
    return good;
}

/* ---- samples ---- */

/* Counts against the card's; only when nothing was set beside it. */
static bool check_counts(const opened *o)
{
    survey v;
    dal_error err = DAL_ERROR_INIT;
    bool good = true;
    if (survey_make(o->source, &v, &err) != DAL_OK) {
        printf("  %s\n", err.text);
        return false;
    }
    const survey_link *l = &v.links[v.n - 1];
    const card *c = o->card;
    for (uint32_t k = 0; k < DAL_SPLITS; k++) {
        const int64_t expected = card_count(c, k);
        if (expected >= 0 && l->n[k] != expected) {
            printf("  %s split: %lld samples, the card says %lld\n", split_words[k], (long long)l->n[k],
                   (long long)expected);
            good = false;
        }
        for (int64_t i = 0; good && i < c->n_classes && c->n_counts[k] > 1 && i < l->spec.n_classes; i++)
            if (l->counts[k][i] != c->counts[k][i]) {
                printf("  %s split: %lld samples of class %s, the card says %lld\n", split_words[k],
                       (long long)l->counts[k][i], c->classes[i], (long long)c->counts[k][i]);
                good = false;
            }
    }
    for (int64_t i = 0; i < c->n_classes && i < l->spec.n_classes; i++)
        if (strcmp(c->classes[i], o->source->class_names[i]) != 0) {
            printf("  class %lld is called %s, in the card %s\n", (long long)i, o->source->class_names[i],
                   c->classes[i]);
            good = false;
            break;
        }
    if (c->n_classes && c->n_classes != l->spec.n_classes) {
        printf("  %lld classes, the card says %lld\n", (long long)l->spec.n_classes, (long long)c->n_classes);
        good = false;
    }
    survey_fini(&v);
    return good;
}

/* EXIT_OK, EXIT_FAILED: a fault was found. */
static int check_samples(const cli_args *a, const opened *o)
{
    examination x;
    dal_error err = DAL_ERROR_INIT;
    char n[32];
    const dal_status st = examine(o->source, composer_host(o->composer, "check"), &x, &err);
    events_clear();
    if (st != DAL_OK)
        return cli_error(a, st == DAL_E_CANCELLED ? EXIT_INTERRUPTED : EXIT_FAILED, &err);
    if (x.faulty) {
        printf("  %s split, sample %lld (%s): %s\n", split_words[x.split], (long long)x.id, x.where, x.fault.text);
        return EXIT_FAILED;
    }
    const bool compare = o->card && !cli_flag(a, "set");
    if (compare && !check_counts(o))
        return EXIT_FAILED;
    printf("  %s samples were read%s\n", human_count(x.n, n),
           compare && o->card->n_counts[0] ? ", as many of each class as the card says" : "");
    return EXIT_OK;
}

/* ---- the command ---- */

static int check_one(const cli_args *a, const char *name)
{
    opened o;
    int faults = 0;
    int code = dataset_resolve(a, name, &o);
    if (!o.cards) {
        dataset_close(&o);
        return code;
    }
    events_catch_interrupts();
    o.events = events_for_terminal();
    printf("%s\n", name ? name : cli_value(a, "manifest"));
    for (int i = 0; o.card && i < o.card->n_files && !events_interrupted(); i++)
        faults += !check_file(o.card, &o.card->files[i], &o.events);
    if (events_interrupted()) {
        dataset_close(&o);
        return EXIT_INTERRUPTED;
    }
    code = dataset_open(a, &o);
    if (code == EXIT_OK)
        code = check_samples(a, &o);
    if (code == EXIT_BAD_INPUT && o.card) /* the files, and not the words of the command */
        code = EXIT_FAILED;
    dataset_close(&o);
    return code == EXIT_OK && faults ? EXIT_FAILED : code;
}

static int check_main(const cli_args *a)
{
    int worst = EXIT_OK;
    if (cli_n_operands(a) == 0)
        return check_one(a, NULL);
    for (int i = 0; i < cli_n_operands(a); i++) {
        const int code = check_one(a, cli_operand(a, i));
        worst = code > worst ? code : worst;
        if (code == EXIT_INTERRUPTED)
            break;
    }
    return worst;
}

static const cli_option options[] = {
    DATASET_OPTIONS,
    {0},
};

const cli_command cmd_dataset_check = {
    .name = "dataset check",
    .operands = "[NAME...]",
    .max_operands = -1,
    .summary = "verify a dataset's files, and read every sample of it",
    .description =
        "Of a dataset known by name the size and the SHA-256 of each file are compared with its card. Then every "
        "sample is read on all threads: what its loader finds wrong is told with file and offset, and the first sample "
        "that cannot be read by name; texts must be UTF-8 and numbers finite. At last the counts of each class are "
        "compared with the card's.\n\n"
        "NAME may also be the id of a loader, with its parameters as --set. The exit code is 1 when a fault was found.",
    .options = options,
    .examples = "  dalhost dataset check mnist fashion-mnist\n"
                "  dalhost dataset check csv --set path=table.csv\n",
    .main = check_main,
};
