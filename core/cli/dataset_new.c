/* dalhost dataset new: look at somebody's file or folder, say what it is and what is odd, and write a card for it. */
#include <ctype.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli/dataset.h"
#include "cli/describe.h"
#include "cli/events.h"
#include "dataset/card_writer.h"
#include "dataset/examine.h"
#include "dataset/fetch.h"
#include "dataset/look.h"
#include "dataset/oddities.h"
#include "dataset/samples.h"
#include "util/file.h"
#include "util/folders.h"
#include "util/text.h"

/* "/data/My Table.csv.gz" -> "my-table" */
static char *name_from(const char *path)
{
    static const char *const ends[] = {".gz", ".bz2", ".xz", ".zst", ".csv", ".tsv", ".txt", ".npz", ".npy", ".tar",
                                       ".tgz", ".zip", ".bin", ".data", ".arff", ".h5", ".hdf5", ".mrc", ".mrcs",
                                       ".map"};
    const char *slash = strrchr(path, '/');
    char *name = xstrdup(slash ? slash + 1 : path);
    for (int pass = 0; pass < 2; pass++)
        for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
            const size_t n = strlen(name), m = strlen(ends[i]);
            if (n > m && strcasecmp(name + n - m, ends[i]) == 0)
                name[n - m] = '\0';
        }
    for (char *p = name; *p; p++)
        *p = isalnum((unsigned char)*p) || *p == '.' || *p == '_' ? (char)tolower((unsigned char)*p) : '-';
    while (*name && !isalnum((unsigned char)*name))
        memmove(name, name + 1, strlen(name));
    return name;
}

static bool good_name(const char *s)
{
    bool good = isalnum((unsigned char)*s) && strlen(s) <= 90;
    for (; *s; s++)
        good = good && (isalnum((unsigned char)*s) || strchr("._-", *s));
    return good;
}

static void print_lines(const char *label, const char *lines)
{
    for (bool first = true; lines && *lines; first = false) {
        const size_t n = strcspn(lines, "\n");
        char *one = samples_line(lines, (int64_t)n, 2000);
        print_field(first ? label : "", one, stdout);
        free(one);
        lines += n + (lines[n] == '\n');
    }
}

/* Parameters for the loader: those of the look, then --set. */
static char **all_sets(const cli_args *a, const look *l, int *n)
{
    int n_given;
    const char *const *given = cli_values(a, "set", &n_given);
    char **sets = xcalloc((size_t)(l->n_sets + n_given) + 1, sizeof *sets);
    *n = 0;
    for (int i = 0; i < l->n_sets; i++)
        sets[(*n)++] = xstrdup(l->sets[i]);
    for (int i = 0; i < n_given; i++)
        sets[(*n)++] = xstrdup(given[i]);
    return sets;
}

static int resolve(const cli_args *a, const look *l, const char *loader, opened *o)
{
    int n, n_path;
    char **sets = all_sets(a, l, &n);
    const char *const *path = folders_of_data(&n_path);
    const manifest_options options = {(const char *const *)sets, n, path, n_path, NULL};
    o->m = manifest_of_dataset(loader, o->registry, &options, o->d);
    for (int i = 0; i < n; i++)
        free(sets[i]);
    free(sets);
    if (o->m)
        o->m->seed = 1;
    return dataset_open(a, o);
}

/* What a loader that cannot read it left behind; its words are kept. */
static void forget(opened *o, const char *loader, text *failures)
{
    for (int i = 0; diags_text(o->d, i); i++)
        text_addf(failures, "%s: %s\n", loader, diags_text(o->d, i));
    source_close(o->source);
    composer_free(o->composer);
    manifest_free(o->m);
    o->source = NULL;
    o->composer = NULL;
    o->m = NULL;
    diags_free(o->d);
    o->d = diags_new();
}

static void print_facts(const source *s)
{
    char a[32], b[32], c[32];
    text t = {0};
    text_addf(&t, "%s samples to train on, %s to validate, %s to test; %lld classes", human_count(s->info.n[0], a),
              human_count(s->info.n[1], b), human_count(s->info.n[2], c), (long long)s->info.spec.n_classes);
    for (int64_t k = 0; k < s->info.spec.n_classes && k < 8; k++)
        text_addf(&t, "%s%s", k ? ", " : ": ", s->class_names[k]);
    if (s->info.spec.n_classes > 8)
        text_add(&t, ", ...");
    char *line = samples_line(t.s, (int64_t)t.n, 1000);
    print_field("found", line, stdout);
    free(line);
    text_free(&t);
}

static int write_card(const cli_args *a, const char *name, const opened *o, const survey *v, const char *notes)
{
    dal_error err = DAL_ERROR_INIT;
    const char *folder = folder_of_user("cards"), *wanted = cli_value(a, "output"), *title = cli_value(a, "title");
    char *path = wanted ? xstrdup(wanted) : folder ? xasprintf("%s/%s.yaml", folder, name) : NULL;
    text words = {0};
    int code = EXIT_OK;
    if (!path)
        code = cli_bad(a, "there is no home folder to put the card into; say where with -o %s.yaml", name);
    else if (!cli_flag(a, "force") && access(path, F_OK) == 0)
        code = cli_bad(a, "%s is there already; --force writes over it, --name gives the card another name", path);
    else if (card_words(name, title ? title : name, o->source, v, o->m->dataset, notes, &words, &err) != DAL_OK ||
             make_folder_of(path, "--output", &err) != DAL_OK || file_write(path, words.s, words.n, &err) != DAL_OK)
        code = cli_error(a, EXIT_FAILED, &err);
    if (code == EXIT_OK) {
        print_field("card", path, stdout);
        printf("\nA manifest reads it with  dataset: %s%s\n", name,
               wanted ? "  when its folder is in DAL_CARD_PATH" : "");
    }
    text_free(&words);
    free(path);
    return code;
}

static int tell(const cli_args *a, const char *name, const look *l, opened *o)
{
    survey v;
    text odd = {0};
    dal_error err = DAL_ERROR_INIT;
    int code = EXIT_OK;
    dal_status st = survey_make(o->source, &v, &err);
    if (st != DAL_OK)
        return cli_error(a, EXIT_FAILED, &err);
    if (l->odd.s)
        text_add(&odd, l->odd.s);
    print_facts(o->source);
    st = find_oddities(o->source, &v, composer_host(o->composer, "new"), &odd, &err);
    events_clear();
    print_lines("odd", odd.s);
    if (st != DAL_OK)
        code = cli_error(a, st == DAL_E_CANCELLED ? EXIT_INTERRUPTED : EXIT_FAILED, &err);
    else if (!cli_flag(a, "look"))
        code = write_card(a, name, o, &v, odd.s ? odd.s : "");
    text_free(&odd);
    survey_fini(&v);
    return code;
}

/* The value of --set label=..., or NULL. */
static const char *given_label(const cli_args *a)
{
    int n;
    const char *const *given = cli_values(a, "set", &n);
    for (int i = n - 1; i >= 0; i--)
        if (strncmp(given[i], "label=", 6) == 0)
            return given[i] + 6;
    return NULL;
}

/* The loaders for what it looks like, until one can read it; if none can, what each has to say. */
static int try_loaders(const cli_args *a, look *l, const char *path, opened *o)
{
    char *why = NULL;
    text failures = {0};
    int code = EXIT_BAD_INPUT, tried = 0;
    const component_desc *c;
    o->quiet = true;
    for (int i = 0; code != EXIT_OK && (c = look_for_loader(l, i, path, o->registry, &why)); i++) {
        code = resolve(a, l, c->id, o);
        tried++;
        if (code == EXIT_OK) {
            print_field("read with", c->id, stdout);
            for (int k = 0; k < l->n_sets; k++)
                print_lines("", l->sets[k]);
        } else {
            forget(o, c->id, &failures);
        }
    }
    fflush(stdout);
    if (code != EXIT_OK && failures.n) {
        fputs(failures.s, stderr);
        cli_bad(a, "%s: %s; --set KEY=VALUE comes before what was guessed, --loader ID names another loader", path,
                tried > 1 ? "none of these loaders can read it" : "it cannot be read like this");
    } else if (code != EXIT_OK) {
        cli_bad(a, "%s: %s; --loader and --set say how to read it", path, why);
    }
    free(why);
    text_free(&failures);
    return code;
}

/* A loader given with --loader takes PATH in no parameter: those are --set, too. */
static int new_main(const cli_args *a)
{
    char *real = realpath(cli_operand(a, 0), NULL);
    const char *path = real ? real : cli_operand(a, 0), *loader = cli_value(a, "loader");
    char *name = cli_value(a, "name") ? xstrdup(cli_value(a, "name")) : name_from(path);
    opened o = {.d = diags_new()};
    look l;
    int code = EXIT_OK;
    look_at_path(path, given_label(a), &l);
    char *words = samples_line(l.words.s, (int64_t)l.words.n, 1000);
    print_field("looks like", words, stdout);
    fflush(stdout);
    if (!good_name(name))
        code = cli_bad(a, "'%s' cannot be the name of a card; expected letters, digits, '.', '_' and '-': --name says "
                          "which",
                       name);
    else if (!l.format && !loader)
        code = cli_bad(a, "%s: no dataset that is known here; --loader and --set say how to read it (dalhost component "
                       "list -k dataset)", path);
    if (code == EXIT_OK && !(o.registry = cli_registry(a)))
        code = EXIT_BAD_INPUT;
    if (code == EXIT_OK) {
        o.cards = dataset_cards();
        if (loader)
            look_fini(&l);
        code = loader ? resolve(a, &l, loader, &o) : try_loaders(a, &l, path, &o);
    }
    if (code == EXIT_OK)
        code = tell(a, name, &l, &o);
    dataset_close(&o);
    look_fini(&l);
    free(words);
    free(name);
    free(real);
    return code;
}

static const cli_option options[] = {
    {"name", 0, "NAME", false, "what manifests shall call it (default: from the file's name)"},
    {"title", 0, "WORDS", false, "what it is, in a line"},
    {"loader", 0, "ID", false, "read it with this loader, whose parameters then are all --set"},
    {"set", 0, "KEY=VALUE", true, "a parameter of the loader, instead of what was guessed"},
    {"output", 'o', "FILE", false, "write the card here, not to ~/.local/share/dalhost/cards"},
    {"force", 0, NULL, false, "write over a card that is there"},
    {"look", 0, NULL, false, "write no card"},
    {"threads", 0, "N", false, "use N threads (default: as many as there are)"},
    {0},
};

const cli_command cmd_dataset_new = {
    .name = "dataset new",
    .operands = "PATH",
    .min_operands = 1,
    .max_operands = 1,
    .summary = "look at a file or folder, say what it is and what is odd, and write a card for it",
    .description =
        "What the file is is told by its content: arrays, images, tables, texts, lines with labels, folders and "
        "archives of pictures or texts, archives of tables of texts; packed by gzip, bzip2, xz, zstd or plain; in "
        "tables, which column has the classes. The loader then reads all of it. Told as odd are: classes with one "
        "sample or none, great imbalance, samples that are there twice (also in two splits, or with two classes), "
        "columns that never change, missing labels and values, two encodings in one file.\n\n"
        "The card has size and SHA-256 of each file, so that dalhost dataset check can tell later whether they are "
        "still the same. Files stay where they are; below a folder of data their names in the card are relative to "
        "that.",
    .options = options,
    .examples = "  dalhost dataset new measurements.csv --title 'Measurements of 2026'\n"
                "  dalhost dataset new pictures/ --name cells\n"
                "  dalhost dataset new table.csv --set label=kind --look\n",
    .main = new_main,
};
