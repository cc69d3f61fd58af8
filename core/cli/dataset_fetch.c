/* dalhost dataset fetch: the files of a card from where their authors put them. */
#include <stdlib.h>
#include <unistd.h>

#include "cli/dataset.h"
#include "cli/events.h"
#include "dataset/fetch.h"
#include "dataset/files.h"
#include "util/folders.h"
#include "util/text.h"

typedef struct order {
    const cli_args *a;
    const card *card;
    const char *into; /* NULL: the user's folder */
    int64_t limit;
    composer_events events;
    const char *file; /* under way */
} order;

static int progress(void *ctx, int64_t done, int64_t total)
{
    const order *o = ctx;
    if (o->events.progress)
        o->events.progress(o->events.ctx, o->file, done, total, "bytes");
    return events_interrupted();
}

static void note(void *ctx, const char *words)
{
    const order *o = ctx;
    events_clear();
    fflush(stdout);
    fprintf(stderr, "%s: %s\n", o->file, words);
}

/* ---- one file ---- */

/* Is what is there what the card means? EXIT_OK, EXIT_FAILED after a complaint. */
static int look_at_what_is_there(const order *o, const card_file *f, const char *path)
{
    char digest[65], size[32];
    int64_t bytes;
    dal_error err = DAL_ERROR_INIT;
    if (file_sha256(path, NULL, digest, &bytes, &err) != DAL_OK)
        return cli_error(o->a, EXIT_FAILED, &err);
    if ((f->size >= 0 && bytes != f->size) || (*f->sha256 && strcmp(digest, f->sha256) != 0)) {
        cli_bad(o->a,
                "%s is there, but it is not what the card means (%lld bytes, SHA-256 %s); remove it, or fetch into "
                "another folder with --into", path, (long long)bytes, digest);
        return EXIT_FAILED;
    }
    printf("%s is there already (%s)\n", path, human_bytes((double)bytes, size));
    return EXIT_OK;
}

static int refuse(const order *o, const card_file *f)
{
    if (!*f->url)
        cli_bad(o->a, "no address is known to fetch %s from%s%s", f->path, *o->card->home ? "; see " : "",
                o->card->home);
    else
        cli_bad(o->a,
                "%s: its SHA-256 is not known, so nobody could tell whether what comes is right; --unverified takes it "
                "all the same", f->path);
    return EXIT_FAILED;
}

static int bring(order *o, const card_file *f, const char *path)
{
    char digest[65], size[32];
    int64_t bytes = 0;
    dal_error err = DAL_ERROR_INIT;
    const fetch_job job = {
        .url = f->url,
        .path = path,
        .sha256 = f->sha256,
        .size = f->size,
        .limit = o->limit,
        .retries = 4,
        .progress = progress,
        .note = note,
        .ctx = o,
    };
    o->file = f->path;
    const dal_status st = fetch_file(&job, &err);
    events_clear();
    if (st != DAL_OK)
        return cli_error(o->a, st == DAL_E_CANCELLED ? EXIT_INTERRUPTED : EXIT_FAILED, &err);
    if (file_sha256(path, NULL, digest, &bytes, &err) != DAL_OK)
        return cli_error(o->a, EXIT_FAILED, &err);
    if (*f->sha256)
        printf("%s: %s, the hash is right\n", path, human_bytes((double)bytes, size));
    else
        printf("%s: %s, not verified; its SHA-256 is %s\n", path, human_bytes((double)bytes, size), digest);
    return EXIT_OK;
}

static int fetch_one(order *o, const card_file *f)
{
    const char *into = o->into ? o->into : folder_of_user("data");
    char *path = into && *f->path != '/' ? xasprintf("%s/%s", into, f->path) : NULL;
    char *there = o->into ? NULL : card_file_where(o->card, f);
    int code;
    if (!there && path && access(path, F_OK) == 0)
        there = xstrdup(path);
    if (there)
        code = look_at_what_is_there(o, f, there);
    else if (!*f->url || (!*f->sha256 && !cli_flag(o->a, "unverified")))
        code = refuse(o, f);
    else if (!path)
        code = cli_bad(o->a, "there is no home folder to put files into; name one with --into");
    else
        code = bring(o, f, path);
    free(there);
    free(path);
    return code;
}

/* ---- the command ---- */

static int fetch_named(order *o, cards *all, const char *name)
{
    diags *d = diags_new();
    const card *c = o->card = cards_find(all, name, d);
    int worst = EXIT_OK;
    if (!c) {
        const char *near = cards_near(all, name);
        fflush(stdout);
        if (diags_errors(d))
            diags_print(d, stderr);
        else
            cli_bad(o->a, "no dataset '%s' is known%s%s%s; dalhost dataset list tells all", name,
                    near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
        diags_free(d);
        return EXIT_BAD_INPUT;
    }
    for (int i = 0; i < c->n_files && worst != EXIT_INTERRUPTED; i++)
        if (!c->files[i].optional || cli_flag(o->a, "all")) {
            const int code = fetch_one(o, &c->files[i]);
            worst = code > worst ? code : worst;
        }
    diags_free(d);
    return worst;
}

static bool limit_option(const cli_args *a, int64_t *limit)
{
    const char *s = cli_value(a, "limit");
    char *end = NULL;
    if (!s)
        return true;
    const long long n = strtoll(s, &end, 10);
    const int shift = *end == 'K' ? 10 : *end == 'M' ? 20 : *end == 'G' ? 30 : 0;
    if (end == s || n < 1 || n > INT64_MAX >> shift || (*end && (!shift || end[1]))) {
        cli_bad(a, "--limit %s: expected a size, as in 512M or 4G", s);
        return false;
    }
    *limit = (int64_t)n << shift;
    return true;
}

static int fetch_main(const cli_args *a)
{
    order o = {.a = a, .into = cli_value(a, "into"), .limit = (int64_t)20 << 30, .events = events_for_terminal()};
    const char *why = fetch_unavailable();
    int worst = EXIT_OK;
    if (!limit_option(a, &o.limit))
        return EXIT_BAD_INPUT;
    if (why)
        return cli_bad(a, "%s", why);
    events_catch_interrupts();
    cards *all = dataset_cards();
    for (int i = 0; i < cli_n_operands(a) && worst != EXIT_INTERRUPTED; i++) {
        const int code = fetch_named(&o, all, cli_operand(a, i));
        worst = code > worst ? code : worst;
    }
    cards_free(all);
    return worst;
}

static const cli_option options[] = {
    {"into", 0, "DIR", false, "put files below this folder of data, not below ~/.local/share/dalhost/data"},
    {"all", 0, NULL, false, "the optional files, too"},
    {"unverified", 0, NULL, false, "also files whose SHA-256 the card does not tell"},
    {"limit", 0, "SIZE", false, "take no more of a file whose size the card does not tell (default 20G)"},
    {0},
};

const cli_command cmd_dataset_fetch = {
    .name = "dataset fetch",
    .operands = "NAME...",
    .min_operands = 1,
    .max_operands = -1,
    .summary = "fetch the files of a dataset from where their authors put them",
    .description =
        "Files that are in a folder of data already are left alone. The others grow beside their place as FILE.part "
        "and take their name only when size and SHA-256 are those of the card. What was cut or interrupted is gone on "
        "with, by the same command again too; a second program that fetches the same file waits for the first.\n\n"
        "Redirects are followed, from https to https alone. See the dataset's licence before you use it: dalhost "
        "dataset inspect NAME.",
    .options = options,
    .examples = "  dalhost dataset fetch fashion-mnist\n"
                "  dalhost dataset fetch mnist --into /data/sets\n",
    .main = fetch_main,
};
