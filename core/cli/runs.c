/* dalhost runs list|show|export: what a run store holds. */
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <time.h>

#include "cli/cli.h"
#include "cli/runs_model.h"
#include "report/export.h"
#include "report/grid.h"
#include "report/page.h"
#include "report/summary.h"
#include "store/store.h"
#include "util/file.h"
#include "util/text.h"

#define STORE_OPTION                                                                                   \
    {                                                                                                  \
        "store", 's', "STORE", false, "the run store (default: " STORE_DEFAULT ")"                     \
    }

/* The store, for reading; NULL after a complaint. */
static store *open_store(const cli_args *a)
{
    const char *path = cli_value(a, "store");
    store *s = NULL;
    dal_error err = DAL_ERROR_INIT;
    if (store_open(path ? path : STORE_DEFAULT, false, true, &s, &err) != DAL_OK)
        cli_error(a, EXIT_BAD_INPUT, &err);
    return s;
}

/* ---- runs named by operands ---- */

typedef struct runs {
    stored_run **items;
    int n;
} runs;

static void runs_fini(runs *r)
{
    for (int i = 0; i < r->n; i++)
        stored_run_free(r->items[i]);
    free(r->items);
}

static bool read_one(const cli_args *a, store *s, runs *r, int64_t id)
{
    dal_error err = DAL_ERROR_INIT;
    r->items = xrealloc(r->items, (size_t)(r->n + 1) * sizeof *r->items);
    if (store_read_run(s, id, &r->items[r->n], &err) == DAL_OK) {
        r->n++;
        return true;
    }
    cli_error(a, EXIT_BAD_INPUT, &err);
    return false;
}

static bool is_there(const runs *r, int64_t id)
{
    bool there = false;
    for (int i = 0; i < r->n; i++)
        there |= r->items[i]->head.id == id;
    return there;
}

static bool read_all(const cli_args *a, store *s, runs *r)
{
    dal_error err = DAL_ERROR_INIT;
    run_head *heads;
    int64_t n;
    if (store_list(s, &heads, &n, &err) != DAL_OK) {
        cli_error(a, EXIT_BAD_INPUT, &err);
        return false;
    }
    bool good = true;
    for (int64_t i = 0; good && i < n; i++)
        good = is_there(r, heads[i].id) || read_one(a, s, r, heads[i].id);
    store_list_free(heads, n);
    return good;
}

/* Every operand is a run's number, or "all"; one named twice is one. False after a complaint. */
static bool read_runs(const cli_args *a, store *s, runs *r)
{
    for (int i = 0; i < cli_n_operands(a); i++) {
        const char *word = cli_operand(a, i);
        char *end;
        errno = 0;
        const long long id = strtoll(word, &end, 10);
        if (strcmp(word, "all") == 0) {
            if (!read_all(a, s, r))
                return false;
        } else if (errno || *end || end == word || id < 1) {
            cli_bad(a, "%s: expected the number of a run, or all; dalhost runs list shows them", word);
            return false;
        } else if (!is_there(r, id) && !read_one(a, s, r, id)) {
            return false;
        }
    }
    return true;
}

/* ---- runs list ---- */

static void started_cell(grid *g, double started)
{
    char day[32] = "-";
    const time_t when = started > 0 && started < 1e11 ? (time_t)started : 0;
    struct tm t;
    if (localtime_r(&when, &t))
        strftime(day, sizeof day, "%Y-%m-%d %H:%M", &t);
    grid_cell(g, "%s", day);
}

static void add_line(grid *g, const run_head *h, const run_standing *at, int64_t writer, bool wide)
{
    char labels[32];
    grid_cell(g, "%lld", (long long)h->id);
    grid_cell(g, "%s", h->name);
    grid_cell(g, "%s", h->strategy);
    grid_cell(g, "%lld", (long long)h->trial);
    grid_cell(g, "%llu", (unsigned long long)h->seed);
    grid_cell(g, "%lld", (long long)at->rounds);
    grid_cell(g, "%s", human_count(at->labels, labels));
    grid_real(g, at->accuracy, 4);
    grid_cell(g, "%s", run_state_shown(h, writer));
    if (wide)
        started_cell(g, h->started);
}

static json_t *line_json(const run_head *h, const run_standing *at, int64_t writer)
{
    json_t *j = head_json(h);
    json_object_del(j, "manifest");
    json_object_del(j, "components");
    json_object_del(j, "class_names");
    json_object_set_new(j, "state", json_string(run_state_shown(h, writer)));
    json_object_set_new(j, "rounds", json_integer(at->rounds));
    json_object_set_new(j, "labels", json_integer(at->labels));
    json_object_set_new(j, "accuracy", isfinite(at->accuracy) ? json_real(at->accuracy) : json_null());
    return j;
}

static int list_runs(const cli_args *a, store *s, const run_head *heads, int64_t n)
{
    static const char *const titles[] = {"run",    "name",   "strategy", "trial", "seed",
                                         "rounds", "labels", "accuracy", "state", "started"};
    const terminal to = terminal_of(stdout);
    const bool wide =
        to.columns == 0 || to.columns >= 98; /* 80 columns have no room for the last one */
    grid *g = grid_new();
    for (int i = 0; i < (wide ? 10 : 9); i++)
        grid_column(g, titles[i], i == 1 || i == 2 || i >= 8 ? GRID_LEFT : GRID_RIGHT);
    json_t *list = json_array();
    int code = EXIT_OK;
    for (int64_t i = 0; code == EXIT_OK && i < n; i++) {
        dal_error err = DAL_ERROR_INIT;
        run_standing at;
        if (store_read_standing(s, heads[i].id, &at, &err) != DAL_OK)
            code = cli_error(a, EXIT_BAD_INPUT, &err);
        const int64_t writer = store_writer(s, heads[i].id);
        add_line(g, &heads[i], &at, writer, wide);
        json_array_append_new(list, line_json(&heads[i], &at, writer));
    }
    if (code == EXIT_OK && cli_flag(a, "json"))
        json_write(stdout, list, true);
    else if (code == EXIT_OK && n == 0)
        printf("%s holds no runs yet\n", store_path(s));
    else if (code == EXIT_OK)
        grid_print(g, stdout, to);
    json_decref(list);
    grid_free(g);
    return code;
}

static int list_main(const cli_args *a)
{
    store *s = open_store(a);
    if (!s)
        return EXIT_BAD_INPUT;
    dal_error err = DAL_ERROR_INIT;
    run_head *heads = NULL;
    int64_t n = 0;
    const int code = store_list(s, &heads, &n, &err) == DAL_OK ? list_runs(a, s, heads, n)
                                                               : cli_error(a, EXIT_BAD_INPUT, &err);
    store_list_free(heads, n);
    store_close(s);
    return code;
}

static const cli_option list_options[] = {
    STORE_OPTION,
    {"json", 0, NULL, false, "print a JSON array"},
    {0},
};

const cli_command cmd_runs_list = {
    .name = "runs list",
    .operands = "",
    .summary = "list the runs of a store: strategy, labels, accuracy, state",
    .description = "The states: running (a process writes it now), interrupted (none does: dalhost run "
                   "--resume goes "
                   "on), waiting (for labels), done, failed.",
    .options = list_options,
    .examples = "  dalhost runs list\n"
                "  dalhost runs list --store fashion.sqlite --json\n",
    .main = list_main,
};

/* ---- runs show ---- */

/* The last round in which something was picked. */
static int64_t last_query(const stored_run *r)
{
    for (int64_t k = r->n_rounds; k-- > 0;)
        if (r->rounds[k].n_picks > 0)
            return k;
    return r->n_rounds - 1;
}

static int show_round(const cli_args *a, const stored_run *r)
{
    int64_t round = last_query(r), picks = 20;
    if (!cli_int(a, "picks", 0, INT64_MAX, &picks))
        return EXIT_BAD_INPUT;
    if (r->n_rounds == 0)
        return cli_bad(a, "run %lld has no round yet", (long long)r->head.id);
    if (!cli_int(a, "round", 0, r->n_rounds - 1, &round))
        return EXIT_BAD_INPUT;
    if (cli_flag(a, "explain") && !page_has_explanations(&r->rounds[round]))
        return cli_bad(a, "round %lld of run %lld keeps no explanations; a run with record.explain=true does",
                       (long long)round, (long long)r->head.id);
    if (cli_flag(a, "json")) {
        round_purity *pure = purity_of(r);
        json_t *j = round_json(&r->rounds[round], &pure[round]);
        json_write(stdout, j, true);
        json_decref(j);
        free(pure);
    } else {
        page_round(stdout, r, round, picks, cli_flag(a, "explain"), terminal_of(stdout));
    }
    return EXIT_OK;
}

static bool about_picks(const cli_args *a)
{
    return cli_flag(a, "round") || cli_flag(a, "picks") || cli_flag(a, "explain");
}

static int compare(const cli_args *a, const runs *r)
{
    if (about_picks(a))
        return cli_bad(a, "--round, --picks and --explain are about the picks of one run, %d were named", r->n);
    const stored_run *const *list = (const stored_run *const *)r->items;
    const char *baseline = cli_value(a, "baseline");
    bool found = !baseline;
    for (int i = 0; i < r->n; i++)
        found = found || strcmp(list[i]->head.strategy, baseline) == 0;
    if (!found)
        return cli_bad(a, "--baseline %s: none of these runs has this strategy", baseline);
    const terminal to = terminal_of(stdout);
    summary_curves(stdout, list, r->n, to);
    summary_print(stdout, list, r->n, baseline, to);
    return EXIT_OK;
}

static int show(const cli_args *a, store *s, const runs *r)
{
    if (r->n > 1 && !cli_flag(a, "json"))
        return compare(a, r);
    if (r->n == 1 && about_picks(a))
        return show_round(a, r->items[0]);
    if (cli_flag(a, "json")) {
        json_t *list = json_array();
        for (int i = 0; i < r->n; i++)
            json_array_append_new(list, run_json(r->items[i]));
        json_write(stdout, r->n == 1 ? json_array_get(list, 0) : list, true);
        json_decref(list);
    } else if (r->n == 0) {
        printf("%s holds no runs yet\n", store_path(s));
    } else {
        page_run(stdout, r->items[0], store_writer(s, r->items[0]->head.id), terminal_of(stdout));
    }
    return EXIT_OK;
}

static int show_main(const cli_args *a)
{
    store *s = open_store(a);
    if (!s)
        return EXIT_BAD_INPUT;
    runs r = {0};
    const int code = read_runs(a, s, &r) ? show(a, s, &r) : EXIT_BAD_INPUT;
    runs_fini(&r);
    store_close(s);
    return code;
}

static const cli_option show_options[] = {
    STORE_OPTION,
    {"round", 'r', "K", false, "explain the picks of round K"},
    {"picks", 'n', "N", false,
     "show N of them (default 20; the last round that picked unless --round says another)"},
    {"explain", 0, NULL, false, "tell what each pick is near to and stands for, when the run kept it (record.explain)"},
    {"baseline", 'b', "STRATEGY", false,
     "compare with this strategy (default: that of the first run named)"},
    {"json", 0, NULL, false, "print JSON: all that is stored, or one round"},
    {0},
};

const cli_command cmd_runs_show = {
    .name = "runs show",
    .operands = "RUN...|all",
    .min_operands = 1,
    .max_operands = -1,
    .summary =
        "show a run: components, rounds, learning curve, why samples were picked; or compare several",
    .description =
        "One RUN (its number in dalhost runs list): its parameters, what each transform made of the data, a table of "
        "its rounds, its learning curve, and how many samples of each class were asked for; where some were of no "
        "class, also how pure queries were and what share of either sort they found. --round K tells of each pick its "
        "score, the nearest labelled "
        "sample and the distance to it, and the answer. With --explain, of a run with record.explain=true, also the "
        "nearest other pick, how many candidates have it as their nearest pick, which is what it stands for, and the "
        "nearest few of these: distances of the model's features (of the inputs, when it has none).\n\n"
        "Several runs: their learning curves, trials of a strategy as their mean, and a table of final "
        "accuracy and "
        "AUBC (area under the curve), mean and sample standard deviation over trials. efficiency is "
        "how many times as "
        "many labels the baseline needs to get as far; won/tied/lost compares AUBC trial by trial.",
    .options = show_options,
    .examples = "  dalhost runs show 1\n"
                "  dalhost runs show 1 --round 3 --picks 100\n"
                "  dalhost runs show 1 --round 3 --explain\n"
                "  dalhost runs show all --baseline random\n",
    .main = show_main,
};

/* ---- runs export ---- */

static void export_runs(FILE *out, const runs *r, bool json, bool picks, bool array)
{
    if (!json)
        (picks ? picks_csv_head : rounds_csv_head)(out);
    if (json && array)
        fputs("[\n", out);
    for (int i = 0; i < r->n; i++) {
        if (!json) {
            (picks ? picks_csv : rounds_csv)(out, r->items[i]);
            continue;
        }
        json_t *j = run_json(r->items[i]); /* one at a time: a run with many picks is large as JSON */
        if (i > 0)
            fputs(",\n", out);
        json_write(out, j, false);
        json_decref(j);
    }
    if (json && array)
        fputs("]\n", out);
}

/* Whole or not at all. */
static int export_to(const cli_args *a, const char *path, const runs *r, bool json, bool picks,
                     bool array)
{
    dal_error err = DAL_ERROR_INIT;
    char *data = NULL;
    size_t n = 0;
    FILE *memory = open_memstream(&data, &n);
    if (memory)
        export_runs(memory, r, json, picks, array);
    int code = EXIT_OK;
    if (!memory || ferror(memory) || fclose(memory) != 0) {
        dal_fail(&err, DAL_E_NOMEM, "", "%s: no memory for what it should hold", path);
        code = cli_error(a, EXIT_FAILED, &err);
    } else if (file_write(path, data, n, &err) != DAL_OK) {
        code = cli_error(a, EXIT_FAILED, &err);
    }
    free(data);
    return code;
}

static bool ends_in(const char *s, const char *end)
{
    const size_t n = strlen(s), m = strlen(end);
    return n >= m && strcmp(s + n - m, end) == 0;
}

static int model_main(const cli_args *a, const char *path)
{
    int64_t round = -1;
    dal_error err = DAL_ERROR_INIT;
    runs r = {0};
    void *data = NULL;
    size_t n = 0;
    if (cli_flag(a, "csv") || cli_flag(a, "json") || cli_flag(a, "picks"))
        return cli_bad(a, "--model goes without --csv, --json and --picks");
    if (!path)
        return cli_bad(a, "--model: say where to with -o FILE");
    if (cli_value(a, "round") && !cli_int(a, "round", 0, INT64_MAX, &round))
        return EXIT_BAD_INPUT;
    store *s = open_store(a);
    if (!s)
        return EXIT_BAD_INPUT;
    int code = read_runs(a, s, &r) ? EXIT_OK : EXIT_BAD_INPUT;
    if (code == EXIT_OK && r.n != 1)
        code = cli_bad(a, "--model: name one run, not %d", r.n);
    else if (code == EXIT_OK && round >= r.items[0]->n_rounds)
        code = cli_bad(a, "--round %lld: run %lld has rounds 0 to %lld", (long long)round,
                       (long long)r.items[0]->head.id, (long long)r.items[0]->n_rounds - 1);
    else if (code == EXIT_OK && read_model_file(s, r.items[0], round, &data, &n, &err) != DAL_OK)
        code = cli_error(a, EXIT_BAD_INPUT, &err);
    else if (code == EXIT_OK && write_model(path, data, n, &err) != DAL_OK)
        code = cli_error(a, err.status == DAL_E_INVALID ? EXIT_BAD_INPUT : EXIT_FAILED, &err);
    free(data);
    runs_fini(&r);
    store_close(s);
    return code;
}

static int export_main(const cli_args *a)
{
    const char *path = cli_value(a, "output");
    if (cli_flag(a, "model"))
        return model_main(a, path);
    if (cli_value(a, "round"))
        return cli_bad(a, "--round is for --model");
    bool csv = cli_flag(a, "csv"), json = cli_flag(a, "json");
    const bool picks = cli_flag(a, "picks");
    if (csv && json)
        return cli_bad(a, "--csv and --json: only one of them");
    if (!csv && !json && path) {
        csv = ends_in(path, ".csv");
        json = ends_in(path, ".json");
    }
    if (!csv && !json)
        return cli_bad(a, "say --csv or --json, or --model");
    if (json && picks)
        return cli_bad(a, "--picks is for --csv: the JSON holds the picks with the rounds");
    store *s = open_store(a);
    if (!s)
        return EXIT_BAD_INPUT;
    runs r = {0};
    int code = EXIT_BAD_INPUT;
    if (read_runs(a, s, &r)) {
        code = EXIT_OK;
        const bool array = cli_n_operands(a) > 1 || strcmp(cli_operand(a, 0), "all") == 0;
        if (path)
            code = export_to(a, path, &r, json, picks, array);
        else
            export_runs(stdout, &r, json, picks, array);
    }
    runs_fini(&r);
    store_close(s);
    return code;
}

static const cli_option export_options[] = {
    STORE_OPTION,
    {"csv", 0, NULL, false, "write CSV: one line a round"},
    {"picks", 0, NULL, false, "with --csv: one line a pick"},
    {"json", 0, NULL, false, "write JSON: an object a run, an array of them for several runs or all"},
    {"model", 0, NULL, false, "write the model of one run as .safetensors"},
    {"round", 'r', "K", false, "with --model: that of round K (default: the last one kept)"},
    {"output", 'o', "FILE", false,
     "write this file, whole or not at all (default: standard output); with --model also a folder, as in model/"},
    {0},
};

const cli_command cmd_runs_export = {
    .name = "runs export",
    .operands = "RUN...|all",
    .min_operands = 1,
    .max_operands = -1,
    .summary = "write runs as CSV or JSON for other programs, or a model as .safetensors",
    .description = "The first line of the CSV names its columns: the run (run, name, strategy, trial, "
                   "seed), the round, labels "
                   "when trained, the metrics on the test split, wall and CPU seconds of each phase "
                   "(previous_commit_s is that of "
                   "the round before), peak memory of the process, and how many samples were picked. "
                   "With --picks: round, rank "
                   "(from 0), id (pool index), score, nearest labelled sample and distance, answer, "
                   "class, cost, and of explained picks the nearest other pick, the distance to it and how many "
                   "candidates the pick stands for. What is not "
                   "known is an empty field; numbers read back as the same doubles.\n\n"
                   "The JSON holds all that is stored of a run but the models: head, effective "
                   "manifest, components with all "
                   "parameters, initial labels, rounds with their picks. What is not known is null. "
                   "Without --csv and --json the "
                   "name of FILE tells.\n\n"
                   "With --model FILE is a .safetensors file of the weights that were kept (record.models) of a model "
                   "that is a network of layers. Names and shapes are those of PyTorch: conv1.weight [out, in, height, "
                   "width], output.weight [out, in], norm.running_mean. Such a network takes pixels of 0 to 255 as 0 "
                   "to 1, and what the transforms of the run make of other values. Of a model of words, the tensor "
                   "reader holds the hashes of the words that have rows.\n\n"
                   "distilbert, bert and roberta have the names of Hugging Face. Where FILE ends in / or is a folder, "
                   "which must be new or empty, it becomes one that transformers opens, by "
                   "AutoModelForSequenceClassification.from_pretrained(FOLDER), and `folder` of these models takes, "
                   "too (with last_layer: folder to go on from the same classes): model.safetensors, config.json, with "
                   "the classes' names, and the vocabulary, which the store keeps with the model. With freeze, the "
                   "store keeps only what was trained, head and last layer: the encoder comes from the folder that the "
                   "model was made from, which has to be where it was, and the same.",
    .options = export_options,
    .examples = "  dalhost runs export all --csv -o rounds.csv\n"
                "  dalhost runs export 3 --csv --picks\n"
                "  dalhost runs export 1 2 --json | jq '.[].aubc'\n"
                "  dalhost runs export 3 --model -o model.safetensors\n"
                "  dalhost runs export 3 --model -o tuned/\n",
    .main = export_main,
};
