/* dalhost dataset list: the datasets that are known by name, and which of them are here. */
#include <jansson.h>
#include <stdlib.h>

#include "cli/dataset.h"
#include "cli/describe.h"
#include "dataset/examine.h"
#include "dataset/files.h"
#include "util/table.h"
#include "util/text.h"

/* "1 x 28 x 28"; "" when it is not told. */
static char *shape_words(const card *c)
{
    text t = {0};
    for (int64_t i = 0; i < c->n_shape; i++)
        text_addf(&t, "%s%lld", i ? "x" : "", (long long)c->shape[i]);
    return text_take(&t);
}

static int64_t known_bytes(const card *c)
{
    int64_t sum = 0;
    for (int i = 0; i < c->n_files; i++)
        sum += c->files[i].size > 0 && !c->files[i].optional ? c->files[i].size : 0;
    return sum;
}

static void add_row(table *t, const card *c)
{
    char number[32];
    int64_t bytes, samples = 0;
    const card_state state = card_state_of(c, &bytes);
    char *shape = shape_words(c);
    for (uint32_t k = 0; k < DAL_SPLITS; k++)
        samples += card_count(c, k) > 0 ? card_count(c, k) : 0;
    table_cell(t, c->name);
    table_cell(t, card_state_name(state));
    table_cell(t, c->modality);
    table_cell(t, shape);
    table_cellf(t, c->n_classes ? "%7lld" : "", (long long)c->n_classes);
    table_cellf(t, "%8s", samples ? human_count(samples, number) : "");
    if (state == CARD_MISSING)
        bytes = known_bytes(c);
    table_cellf(t, "%9s", bytes ? human_bytes((double)bytes, number) : "");
    table_cell(t, c->title);
    free(shape);
}

static json_t *strings(const char *const *s, int64_t n)
{
    json_t *all = json_array();
    for (int64_t i = 0; i < n; i++)
        json_array_append_new(all, json_string(s[i]));
    return all;
}

static json_t *describe_files(const card *c)
{
    json_t *all = json_array();
    for (int i = 0; i < c->n_files; i++) {
        const card_file *f = &c->files[i];
        char *where = card_file_where(c, f);
        json_t *j = json_pack("{s:s, s:b}", "path", f->path, "optional", f->optional);
        json_object_set_new(j, "size", f->size >= 0 ? json_integer(f->size) : json_null());
        json_object_set_new(j, "sha256", *f->sha256 ? json_string(f->sha256) : json_null());
        json_object_set_new(j, "url", *f->url ? json_string(f->url) : json_null());
        json_object_set_new(j, "where", where ? json_string(where) : json_null());
        json_array_append_new(all, j);
        free(where);
    }
    return all;
}

json_t *describe_card(const card *c)
{
    json_t *j = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "name", c->name, "title", c->title, "card",
                          c->path, "modality", c->modality, "licence", c->licence, "citation", c->citation, "home",
                          c->home, "state", card_state_name(card_state_of(c, NULL)));
    json_t *shape = json_array(), *counts = json_object();
    for (int64_t i = 0; i < c->n_shape; i++)
        json_array_append_new(shape, json_integer(c->shape[i]));
    for (uint32_t k = 0; k < DAL_SPLITS; k++)
        if (c->n_counts[k])
            json_object_set_new(counts, split_words[k], json_integer(card_count(c, k)));
    json_object_set_new(j, "loader", json_string(node_entry_of(c->dataset, "use")->value->text));
    json_object_set_new(j, "shape", shape);
    json_object_set_new(j, "classes", strings(c->classes, c->n_classes));
    json_object_set_new(j, "samples", counts);
    json_object_set_new(j, "files", describe_files(c));
    json_object_set_new(j, "notes", strings(c->notes, c->n_notes));
    if (c->n_mean || c->n_std) {
        json_t *mean = json_array(), *std = json_array();
        for (int64_t i = 0; i < c->n_mean; i++)
            json_array_append_new(mean, json_real(c->mean[i]));
        for (int64_t i = 0; i < c->n_std; i++)
            json_array_append_new(std, json_real(c->std[i]));
        json_object_set_new(j, "normalise", json_pack("{s:o, s:o}", "mean", mean, "std", std));
    }
    return j;
}

static bool wanted(const cli_args *a, const card *c)
{
    const card_state state = card_state_of(c, NULL);
    return (!cli_flag(a, "there") || state == CARD_THERE) && (!cli_flag(a, "missing") || state != CARD_THERE);
}

static int list_main(const cli_args *a)
{
    static const char *const headings[] = {"NAME", "FILES", "WHAT", "SHAPE", "CLASSES", " SAMPLES", "     SIZE",
                                           "TITLE"};
    cards *all = dataset_cards();
    diags *d = diags_new();
    json_t *list = json_array();
    table *t = table_new(headings, 8);
    for (int i = 0; i < cards_count(all); i++) {
        const card *c = cards_find(all, cards_name(all, i), d);
        if (c && wanted(a, c) && cli_flag(a, "json"))
            json_array_append_new(list, describe_card(c));
        else if (c && wanted(a, c))
            add_row(t, c);
    }
    if (cli_flag(a, "json"))
        describe_print(json_incref(list));
    else if (table_rows(t) > 0)
        table_print(t, stdout, 0, 118);
    else
        printf("no dataset is known by name%s\n", cli_flag(a, "there") || cli_flag(a, "missing") ? " and wanted" : "");
    fflush(stdout);
    diags_print(d, stderr);
    const int code = diags_errors(d) ? EXIT_BAD_INPUT : EXIT_OK;
    json_decref(list);
    table_free(t);
    diags_free(d);
    cards_free(all);
    return code;
}

static const cli_option options[] = {
    {"there", 0, NULL, false, "only those whose files are all here"},
    {"missing", 0, NULL, false, "only those whose files are not"},
    {"json", 0, NULL, false, "print JSON: all that the cards tell, and where each file is"},
    {0},
};

const cli_command cmd_dataset_list = {
    .name = "dataset list",
    .operands = "",
    .summary = "list the datasets that are known by name, and which of them are here",
    .description =
                   "A card tells of a dataset what its files are, which loader reads them, and what is in it; a "
                   "manifest then says no more than `dataset: NAME`. Cards are looked for in the folders of "
                   "DAL_CARD_PATH, in ~/.local/share/dalhost/cards, and among those that came with dalhost; their "
                   "files below DAL_DATA_PATH.\n\n"
                   "FILES is there, partly or missing: of those that are not optional. No file is opened.",
    .options = options,
    .examples = "  dalhost dataset list\n"
                "  dalhost dataset list --there --json\n",
    .main = list_main,
};
