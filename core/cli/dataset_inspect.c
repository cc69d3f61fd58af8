/* dalhost dataset inspect: what is in a dataset: classes with counts, some samples, what transforms did. */
#include <stdlib.h>
#include <unistd.h>

#include "cli/dataset.h"
#include "cli/describe.h"
#include "cli/events.h"
#include "dataset/examine.h"
#include "dataset/files.h"
#include "dataset/picture.h"
#include "dataset/samples.h"
#include "dataset/sheet.h"
#include "pipeline/survey.h"
#include "util/table.h"
#include "util/text.h"

enum { SIDE = 28, WIDTH = 100, MOST_ROWS = 30 };

/* ---- what the card says ---- */

static void print_files(const card *c)
{
    char size[32];
    for (int i = 0; i < c->n_files; i++) {
        const card_file *f = &c->files[i];
        char *where = card_file_where(c, f);
        printf("  %-12s%s%s%s  %s\n", i ? "" : "files", f->path, f->size >= 0 ? ", " : "",
               f->size >= 0 ? human_bytes((double)f->size, size) : "",
               where ? "there" : f->optional ? "missing (optional)" : "missing");
        free(where);
    }
}

static void print_card(const card *c)
{
    printf("%s\n\n", c->name);
    print_field("title", c->title, stdout);
    print_field("card", c->path, stdout);
    print_files(c);
    if (*c->licence)
        print_field("licence", c->licence, stdout);
    if (*c->citation)
        print_field("cite", c->citation, stdout);
    if (*c->home)
        print_field("home", c->home, stdout);
    for (int64_t i = 0; i < c->n_notes; i++)
        print_field(i ? "" : "notes", c->notes[i], stdout);
    text t = {0};
    for (int64_t i = 0; i < c->n_mean && c->n_mean == c->n_std; i++)
        text_addf(&t, "%s%g +- %g", i ? ", " : "", c->mean[i], c->std[i]);
    if (t.n)
        print_field("channels", t.s, stdout);
    text_free(&t);
}

/* ---- what is in it ---- */

/* "image 1 x 28 x 28 of u8" */
static char *spec_words(const dal_sample_spec *spec)
{
    static const char *const modality[] = {"?", "vector", "image", "text", "sparse"};
    text t = {0};
    text_add(&t, modality[spec->modality <= DAL_SPARSE ? spec->modality : 0]);
    for (uint32_t i = 0; spec->modality != DAL_TEXT && i < spec->ndim && i < DAL_MAX_DIMS; i++)
        text_addf(&t, "%s%lld", i ? " x " : " ", (long long)spec->shape[i]);
    if (spec->modality != DAL_TEXT)
        text_addf(&t, " of %s", spec->dtype == DAL_U8 ? "u8" : "f32");
    return text_take(&t);
}

static void print_chain(const survey *v)
{
    static const char *const headings[] = {"AFTER", "SAMPLES", "CLASSES", "   TRAIN", "VALIDATION", "    TEST",
                                           "NO LABEL", "OUT OF CLASS", ""};
    char number[32];
    table *t = table_new(headings, 9);
    for (int k = 0; k < v->n; k++) {
        const survey_link *l = &v->links[k];
        char *words = spec_words(&l->spec);
        int64_t none = 0, outside = 0;
        table_cell(t, l->desc->id);
        table_cell(t, words);
        table_cellf(t, "%7lld", (long long)l->spec.n_classes);
        for (uint32_t split = 0; split < DAL_SPLITS; split++) {
            table_cellf(t, "%*s", (int)strlen(headings[3 + split]), human_count(l->n[split], number));
            none += l->unlabelled[split];
            outside += l->outside[split];
        }
        table_cellf(t, "%8s", human_count(none, number));
        table_cellf(t, "%12s", human_count(outside, number));
        table_cell(t, "");
        free(words);
    }
    putchar('\n');
    table_print(t, stdout, 0, 130);
    table_free(t);
}

static void count_row(table *t, const survey_link *l, const char *name, const int64_t *const counts[DAL_SPLITS],
                      int64_t k)
{
    char number[32];
    char *line = samples_line(name, (int64_t)strlen(name), 60);
    table_cell(t, line);
    free(line);
    for (uint32_t split = 0; split < DAL_SPLITS; split++)
        table_cellf(t, l->n[split] ? "%*s" : "%*.0s", split == DAL_SPLIT_VALIDATION ? 10 : 8,
                    human_count(counts[split][k], number));
    table_cell(t, "");
}

static void print_counts(const source *s, const survey *v)
{
    static const char *const headings[] = {"CLASS", "   TRAIN", "VALIDATION", "    TEST", ""};
    const survey_link *l = &v->links[v->n - 1];
    const int64_t *const counts[] = {l->counts[0], l->counts[1], l->counts[2]};
    const int64_t *const none[] = {&l->unlabelled[0], &l->unlabelled[1], &l->unlabelled[2]};
    const int64_t *const outside[] = {&l->outside[0], &l->outside[1], &l->outside[2]};
    const int64_t *const all[] = {&l->n[0], &l->n[1], &l->n[2]};
    const int64_t c = l->spec.n_classes, shown = c > MOST_ROWS + 5 ? MOST_ROWS : c;
    table *t = table_new(headings, 5); /* an empty last one: that would be folded, and not aligned */
    for (int64_t k = 0; k < shown; k++)
        count_row(t, l, s->class_names[k], counts, k);
    if (none[0][0] + none[1][0] + none[2][0] > 0)
        count_row(t, l, "(no label)", none, 0);
    if (outside[0][0] + outside[1][0] + outside[2][0] > 0)
        count_row(t, l, "(out of class)", outside, 0);
    count_row(t, l, "all", all, 0);
    putchar('\n');
    table_print(t, stdout, 0, 130);
    if (shown < c)
        printf("%lld more classes: --json tells them\n", (long long)(c - shown));
    table_free(t);
}

/* "sources: 3, north 20, south 12, ..." of the pool, where the dataset tells them. */
static void print_sources(const source *s)
{
    enum { MOST = 20 };
    char number[32];
    if (!s->groups)
        return;
    int64_t *counts = xcalloc((size_t)s->n_groups + 1, sizeof *counts);
    for (int64_t i = 0; i < s->info.n[DAL_SPLIT_TRAIN]; i++)
        counts[s->groups[i] >= 0 ? s->groups[i] : s->n_groups]++;
    text t = {0};
    text_addf(&t, "%s:", human_count(s->n_groups, number));
    for (int64_t g = 0; g < s->n_groups && g < MOST; g++) {
        char *name = samples_line(s->group_names[g], (int64_t)strlen(s->group_names[g]), 40);
        text_addf(&t, "%s %s %s", g ? "," : "", name, human_count(counts[g], number));
        free(name);
    }
    if (s->n_groups > MOST)
        text_addf(&t, ", %s more", human_count(s->n_groups - MOST, number));
    if (counts[s->n_groups] > 0)
        text_addf(&t, ", not known %s", human_count(counts[s->n_groups], number));
    putchar('\n');
    print_field("sources", t.s, stdout);
    text_free(&t);
    free(counts);
}

/* ---- samples ---- */

static void caption(const source *s, uint32_t split, int64_t id, int width)
{
    char *words = xasprintf("%lld %s", (long long)id, samples_class(s, split, id));
    char *line = samples_line(words, (int64_t)strlen(words), width);
    int columns = 0;
    for (char *p = line; *p; p++) {
        columns += ((unsigned char)*p & 0xc0) != 0x80;
        if (columns > width) /* the dots of one that was cut */
            *p-- = '\0', columns--;
    }
    printf("  %s%*s", line, width - columns, "");
    free(line);
    free(words);
}

/* Rows of pictures with their captions above. */
static dal_status print_pictures(source *s, const sample_choice *chosen, dal_error *err)
{
    enum { MOST = 8 };
    const bool colour = isatty(STDOUT_FILENO) && !(getenv("NO_COLOR") && *getenv("NO_COLOR"));
    batch_buffer buffer = {0};
    dal_samples *list = source_samples(s, chosen->split, chosen->ids, NULL, NULL, chosen->n);
    dal_status st = DAL_OK;
    for (int64_t i = 0; st == DAL_OK && i < chosen->n;) {
        picture p[MOST];
        int n = 0, column = 0;
        for (; st == DAL_OK && n < MOST && i < chosen->n; n++, i++) {
            st = batch_read(&buffer, list, &i, 1, err);
            if (st != DAL_OK)
                break;
            p[n] = picture_of(&s->info.spec, buffer.batch.data, SIDE);
            if (n && column + p[n].w + 2 > WIDTH) {
                picture_fini(&p[n]);
                break;
            }
            column += p[n].w + 2;
        }
        for (int k = 0; k < n; k++)
            caption(s, chosen->split, chosen->ids[i - n + k], p[k].w);
        putchar('\n');
        pictures_print(p, n, colour, stdout);
        for (int k = 0; k < n; k++)
            picture_fini(&p[k]);
    }
    free(list);
    batch_free(&buffer);
    return st;
}

static dal_status print_words(source *s, const sample_choice *chosen, dal_error *err)
{
    static const char *const headings[] = {"SAMPLE", "CLASS", "BEGINS"};
    char where[128];
    batch_buffer buffer = {0};
    table *t = table_new(headings, 3);
    dal_samples *list = source_samples(s, chosen->split, chosen->ids, NULL, NULL, chosen->n);
    dal_status st = DAL_OK;
    for (int64_t i = 0; st == DAL_OK && i < chosen->n; i++) {
        st = batch_read(&buffer, list, &i, 1, err);
        if (st != DAL_OK)
            break;
        char *words = samples_words(&buffer.batch, 0, 160);
        source_describe(s, chosen->split, chosen->ids[i], where, sizeof where);
        const char *const class = samples_class(s, chosen->split, chosen->ids[i]);
        char *from = samples_line(where, (int64_t)strlen(where), 60),
            *name = samples_line(class, (int64_t)strlen(class), 40);
        table_cell(t, from);
        table_cell(t, name);
        free(from);
        free(name);
        table_cell(t, words);
        free(words);
    }
    if (st == DAL_OK)
        table_print(t, stdout, 0, 110);
    table_free(t);
    free(list);
    batch_free(&buffer);
    return st;
}

static dal_status print_samples(source *s, uint32_t split, int64_t n, dal_error *err)
{
    sample_choice chosen = samples_choose(s, split, n);
    dal_status st = DAL_OK;
    if (chosen.n > 0)
        putchar('\n');
    if (chosen.n > 0 && s->info.spec.modality == DAL_IMAGE)
        st = print_pictures(s, &chosen, err);
    else if (chosen.n > 0)
        st = print_words(s, &chosen, err);
    free(chosen.ids);
    return st;
}

/* ---- JSON ---- */

static json_t *describe_link(const survey_link *l)
{
    static const char *const modality[] = {"?", "vector", "image", "text", "sparse"};
    json_t *shape = json_array(), *splits = json_object();
    for (uint32_t i = 0; l->spec.modality != DAL_TEXT && i < l->spec.ndim && i < DAL_MAX_DIMS; i++)
        json_array_append_new(shape, json_integer(l->spec.shape[i]));
    for (uint32_t k = 0; k < DAL_SPLITS; k++) {
        json_t *counts = json_array();
        for (int64_t c = 0; c < l->spec.n_classes; c++)
            json_array_append_new(counts, json_integer(l->counts[k][c]));
        json_object_set_new(splits, split_words[k],
                            json_pack("{s:I, s:o, s:I, s:I}", "samples", (json_int_t)l->n[k], "counts", counts,
                                      "unlabelled", (json_int_t)l->unlabelled[k], "out_of_class",
                                      (json_int_t)l->outside[k]));
    }
    return json_pack("{s:s, s:s, s:o, s:s, s:I, s:o}", "after", l->desc->id, "modality",
                     modality[l->spec.modality <= DAL_SPARSE ? l->spec.modality : 0], "shape", shape, "dtype",
                     l->spec.modality == DAL_TEXT ? "utf-8" : l->spec.dtype == DAL_U8 ? "u8" : "f32", "classes",
                     (json_int_t)l->spec.n_classes, "splits", splits);
}

static void print_json(const opened *o, const survey *v)
{
    json_t *j = o->card ? describe_card(o->card) : json_object(), *chain = json_array(), *names = json_array();
    char *spec = spec_json(o->m->dataset);
    for (int k = 0; k < v->n; k++)
        json_array_append_new(chain, describe_link(&v->links[k]));
    for (int64_t c = 0; c < o->source->info.spec.n_classes; c++) {
        json_t *name = json_string(o->source->class_names[c]);
        json_array_append_new(names, name ? name : json_integer(c));
    }
    if (o->source->groups) {
        json_t *sources = json_array(), *counts = json_array();
        for (int64_t g = 0; g < o->source->n_groups; g++) {
            json_t *name = json_string(o->source->group_names[g]);
            json_array_append_new(sources, name ? name : json_integer(g));
        }
        for (int64_t g = 0; g < o->source->n_groups; g++)
            json_array_append_new(counts, json_integer(0));
        for (int64_t i = 0; i < o->source->info.n[DAL_SPLIT_TRAIN]; i++)
            if (o->source->groups[i] >= 0) {
                json_t *one = json_array_get(counts, (size_t)o->source->groups[i]);
                json_integer_set(one, json_integer_value(one) + 1);
            }
        json_object_set_new(j, "sources", json_pack("{s:o, s:o}", "names", sources, "samples", counts));
    }
    json_object_set_new(j, "chain", chain);
    json_object_set_new(j, "classes", names);
    json_object_set_new(j, "dataset", json_loads(spec, 0, NULL));
    free(spec);
    describe_print(j);
}

/* ---- the command ---- */

bool split_option(const cli_args *a, uint32_t *split)
{
    const char *s = cli_value(a, "split");
    for (uint32_t k = 0; s && k < DAL_SPLITS; k++)
        if (strcmp(s, split_words[k]) == 0) {
            *split = k;
            return true;
        }
    if (s)
        cli_bad(a, "--split %s: expected train, validation or test", s);
    return !s;
}

static int show(const cli_args *a, opened *o, uint32_t split, int64_t n)
{
    survey v;
    dal_error err = DAL_ERROR_INIT;
    const char *page = cli_value(a, "html");
    if (survey_make(o->source, &v, &err) != DAL_OK)
        return cli_error(a, EXIT_FAILED, &err);
    dal_status st = DAL_OK;
    if (page) {
        st = sheet_write(page, o->source, &v, o->card, o->card ? o->card->title : o->m->name, split, n, &err);
        if (st == DAL_OK)
            printf("the page is %s\n", page);
    } else if (cli_flag(a, "json")) {
        print_json(o, &v);
    } else {
        print_chain(&v);
        print_counts(o->source, &v);
        print_sources(o->source);
        st = print_samples(o->source, split, n, &err);
    }
    survey_fini(&v);
    return st == DAL_OK ? EXIT_OK : cli_error(a, EXIT_FAILED, &err);
}

static int inspect_main(const cli_args *a)
{
    opened o;
    uint32_t split = DAL_SPLIT_TRAIN;
    int64_t n = cli_flag(a, "html") ? 10 : 6;
    if (!split_option(a, &split) || !cli_int(a, "samples", 0, 10000, &n))
        return EXIT_BAD_INPUT;
    const bool quiet = cli_flag(a, "json") || cli_flag(a, "html");
    int code = dataset_resolve(a, cli_operand(a, 0), &o);
    if (o.card && !quiet)
        print_card(o.card);
    if (code == EXIT_OK || o.cards)
        code = dataset_open(a, &o);
    if (code == EXIT_OK)
        code = show(a, &o, split, n);
    dataset_close(&o);
    return code;
}

static const cli_option options[] = {
    DATASET_OPTIONS,
    {"split", 0, "SPLIT", false, "samples of train (default), validation or test"},
    {"samples", 'n', "N", false, "show so many samples (default 6), with --html of each class (default 10)"},
    {"html", 0, "FILE", false, "write a contact sheet instead: a page that needs no other file"},
    {"json", 0, NULL, false, "print JSON: the card, and counts of each class after each transform"},
    {0},
};

const cli_command cmd_dataset_inspect = {
    .name = "dataset inspect",
    .operands = "[NAME]",
    .max_operands = 1,
    .summary = "tell what is in a dataset: classes with counts, some samples, what transforms did",
    .description =
        "NAME is one that dalhost dataset list tells, or the id of a loader, whose parameters then are --set; instead "
        "of it --manifest takes the dataset of a manifest with its transforms, and tells what each of these made of "
        "it.\n\n"
        "Samples are the first of each class: images as pictures of half blocks in colour, or of ASCII characters when "
        "standard output is no terminal or NO_COLOR is set; the first words of a text; the first numbers of a vector.",
    .options = options,
    .examples = "  dalhost dataset inspect mnist\n"
                "  dalhost dataset inspect csv --set path=table.csv --set label=kind\n"
                "  dalhost dataset inspect --manifest fashion-mnist-imbalanced\n"
                "  dalhost dataset inspect cifar-10 --split test --html cifar.html\n",
    .main = inspect_main,
};
