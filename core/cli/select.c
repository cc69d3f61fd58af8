/* dalhost select: one selection over matrices, for people who train elsewhere. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <unistd.h>

#include <dal/strategy.h>
#include <jansson.h>

#include "cli/events.h"
#include "cli/cli.h"
#include "manifest/manifest.h"
#include "pipeline/cost.h"
#include "pipeline/explain.h"
#include "pipeline/matrices.h"
#include "pipeline/pool.h"
#include "pipeline/view.h"
#include "util/file.h"
#include "util/text.h"

static const cli_option options[] = {
    {"strategy", 0, "ID", false, "the strategy (dalhost component list --kind strategy)"},
    {"set", 0, "KEY=VALUE", true, "set a parameter of the strategy"},
    {"query", 0, "B", false, "how many samples to pick"},
    {"seed", 0, "N", false, "the seed of every random choice (default 1)"},
    {"round", 0, "K", false, "the round, from 0: another random stream for each (default 0)"},
    {"threads", 0, "N", false, "use N threads (default: as many as there are); results do not depend on it"},
    {"probs", 0, "FILE", false, "class probabilities [n, c]"},
    {"logits", 0, "FILE", false, "logits [n, c], instead of probabilities"},
    {"features", 0, "FILE", false, "penultimate features [n, d]"},
    {"mc", 0, "FILE", false, "class probabilities of stochastic passes [k, n, c]"},
    {"last-layer", 0, "FILE", false, "weights of the last layer [c, d], or [c, d+1] with the bias last"},
    {"labelled-features", 0, "FILE", false, "features of the labelled samples [n labelled, d]"},
    {"labelled-classes", 0, "FILE", false, "their classes [n labelled]"},
    {"labelled-outputs", 0, "FILE", false, "their outputs [n labelled, c], of the kind of --probs or --logits"},
    {"groups", 0, "FILE", false, "the number of the source of each row [n], from 0; -1: not known"},
    {"ids", 0, "FILE", false, "a name for each row, one a line; picks are then told by name"},
    {"output", 'o', "FILE", false, "write picks.csv, or row numbers to picks.npy, instead of printing CSV"},
    {"candidates", 0, "N", false, "choose among N rows, drawn at random (default: among all)"},
    {"memory", 0, "SIZE", false, "refuse when the strategy would need more memory, as in 512M or 4G"},
    {"over-memory", 0, "WHAT", false, "when it would: refuse, or subsample: choose among as many rows as fit"},
    {"explain", 0, NULL, false, "tell of each pick what it is near to and what it stands for, by the features"},
    {"json", 0, NULL, false, "print JSON"},
    {0},
};

/* ---- input ---- */

typedef struct row_names {
    char *data;
    char **lines;
    int64_t n; /* -1: no file */
} row_names;

static bool read_names(const cli_args *a, row_names *out)
{
    const char *path = cli_value(a, "ids");
    *out = (row_names){.n = -1};
    if (!path)
        return true;
    dal_error err = DAL_ERROR_INIT;
    size_t size, bad;
    if (file_read(path, (size_t)1 << 32, &out->data, &size, &err) != DAL_OK) {
        cli_error(a, EXIT_BAD_INPUT, &err);
        return false;
    }
    if (!utf8_valid(out->data, size, &bad)) {
        cli_bad(a, "%s: byte %zu is not UTF-8; expected one name a line in UTF-8", path, bad);
        return false;
    }
    int64_t room = 0;
    out->n = 0;
    for (char *line = out->data; line < out->data + size;) {
        char *end = memchr(line, '\n', (size_t)(out->data + size - line));
        if (out->n == room) {
            room = 2 * room + 1024;
            out->lines = xrealloc(out->lines, (size_t)room * sizeof *out->lines);
        }
        out->lines[out->n++] = line;
        if (!end)
            break;
        *end = '\0';
        if (end > line && end[-1] == '\r')
            end[-1] = '\0';
        line = end + 1;
    }
    return true;
}

/* "512M" as bytes; 0 when it is not given, -1 after a complaint. */
static double memory_limit(const cli_args *a)
{
    const char *s = cli_value(a, "memory");
    char *end;
    if (!s)
        return 0;
    const double x = strtod(s, &end);
    const double unit = strcmp(end, "K") == 0   ? 0x1p10
                        : strcmp(end, "M") == 0 ? 0x1p20
                        : strcmp(end, "G") == 0 ? 0x1p30
                        : strcmp(end, "T") == 0 ? 0x1p40
                        : *end == '\0'          ? 1
                                                : 0;
    if (end == s || !(x * unit >= 1) || isinf(x)) {
        cli_bad(a, "--memory %s: expected a number of bytes, perhaps with K, M, G or T", s);
        return -1;
    }
    return x * unit;
}

/* ---- output ---- */

static void csv_field(text *out, const char *s)
{
    if (!strpbrk(s, ",\"\r\n")) {
        text_add(out, s);
        return;
    }
    text_add(out, "\"");
    for (; *s; s++)
        text_addf(out, *s == '"' ? "\"\"" : "%c", *s);
    text_add(out, "\"");
}

/* Where each pick lies; row numbers of the labelled samples begin at 0. */
typedef struct reasons {
    int64_t *labelled; /* [n] the nearest, -1: none */
    double *distance;
    explanation *why;
} reasons;

static void csv_row(text *out, int64_t row)
{
    text_addf(out, row < 0 ? "," : ",%lld", (long long)row);
}

static void csv_number(text *out, double x)
{
    text_addf(out, isnan(x) ? "," : ",%.9g", x);
}

static void add_reason(text *out, const reasons *r, int64_t i)
{
    const explanation *w = &r->why[i];
    csv_row(out, r->labelled[i]);
    csv_number(out, r->distance[i]);
    csv_row(out, w->other);
    csv_number(out, w->other_distance);
    text_addf(out, ",%lld,", (long long)w->stands_for);
    for (int k = 0; k < STORE_FEW && w->few[k] >= 0; k++)
        text_addf(out, "%s%lld", k ? " " : "", (long long)w->few[k]);
}

static char *picks_csv(const selection *s, const row_names *names, const reasons *r)
{
    text out = {0};
    text_add(&out, names->n >= 0 ? "rank,id,row,score" : "rank,row,score");
    text_add(&out,
             r ? ",nearest_labelled,distance,nearest_pick,nearest_pick_distance,stands_for,nearest_of_them\n" : "\n");
    for (int64_t i = 0; i < s->n; i++) {
        text_addf(&out, "%lld,", (long long)i);
        if (names->n >= 0) {
            csv_field(&out, names->lines[s->ids[i]]);
            text_add(&out, ",");
        }
        text_addf(&out, "%lld,", (long long)s->ids[i]);
        if (!isnan(s->scores[i]))
            text_addf(&out, "%.17g", s->scores[i]);
        if (r)
            add_reason(&out, r, i);
        text_add(&out, "\n");
    }
    return text_take(&out);
}

static json_t *row_json(int64_t row)
{
    return row < 0 ? json_null() : json_integer((json_int_t)row);
}

static json_t *real_json(double x)
{
    return isfinite(x) ? json_real(x) : json_null();
}

static json_t *reason_json(const reasons *r, int64_t i)
{
    const explanation *w = &r->why[i];
    json_t *few = json_array();
    for (int k = 0; k < STORE_FEW && w->few[k] >= 0; k++)
        json_array_append_new(few, json_pack("{s:o, s:o}", "row", row_json(w->few[k]), "distance",
                                             real_json(w->few_distance[k])));
    return json_pack("{s:o, s:o, s:o, s:o, s:I, s:o}", "nearest_labelled", row_json(r->labelled[i]), "distance",
                     real_json(r->distance[i]), "nearest_pick", row_json(w->other), "nearest_pick_distance",
                     real_json(w->other_distance), "stands_for", (json_int_t)w->stands_for, "nearest_of_them", few);
}

static json_t *cost_json(const strategy_cost *c)
{
    return c->told ? json_pack("{s:s, s:o, s:o}", "formula", c->formula, "bytes",
                               real_json(c->bytes), "flops", real_json(c->flops))
                   : json_null();
}

/* taken: bytes at most at once, of the strategy. */
static void print_json(const selection *s, const row_names *names, const char *strategy, int64_t n,
                       const strategy_cost *cost, int64_t taken, const reasons *r)
{
    json_t *picks = json_array();
    for (int64_t i = 0; i < s->n; i++) {
        json_t *p = json_pack("{s:I}", "row", (json_int_t)s->ids[i]);
        if (names->n >= 0)
            json_object_set_new(p, "id", json_string(names->lines[s->ids[i]]));
        json_object_set_new(p, "score", real_json(s->scores[i]));
        if (r)
            json_object_set_new(p, "explanation", reason_json(r, i));
        json_array_append_new(picks, p);
    }
    json_t *all = json_pack("{s:s, s:I, s:o, s:I, s:o, s:s}", "strategy", strategy, "candidates", (json_int_t)n, "cost",
                            cost_json(cost), "taken", (json_int_t)taken, "picks", picks, "reason", s->reason);
    char *json = json_dumps(all, JSON_INDENT(2) | JSON_REAL_PRECISION(17));
    puts(json);
    free(json);
    json_decref(all);
}

static bool is_npy(const char *path)
{
    const size_t n = path ? strlen(path) : 0;
    return n > 4 && strcmp(path + n - 4, ".npy") == 0;
}

static dal_status write_output(const char *path, const selection *s, const row_names *names, const reasons *r,
                               dal_error *err)
{
    if (is_npy(path))
        return dal_npy_write(path, DAL_NPY_I64, 1, &s->n, s->ids, err);
    char *csv = picks_csv(s, names, r);
    const dal_status st = file_write(path, csv, strlen(csv), err);
    free(csv);
    return st;
}

/* ---- the selection ---- */

/* Also of the strategies that this one runs on the same matrices. */
static void check_needs(const component_spec *spec, const matrices *m, diags *d)
{
    const component_desc *c = spec->desc;
    char *needs = spec_own_needs(spec), *save = NULL;
    for (char *id = strtok_r(needs, " ", &save); id; id = strtok_r(NULL, " ", &save)) {
        const char *missing = matrices_missing(m, id);
        if (missing)
            diags_error(d, (place){0}, "strategy '%s' needs %s: %s", c->id, id, missing);
    }
    free(needs);
    for (int i = 0; i < c->n_params; i++)
        for (int64_t k = 0; spec->values[i].component && k < spec->values[i].n; k++)
            if (spec->values[i].component[k] && spec->values[i].component[k]->kind == DAL_KIND_STRATEGY)
                check_needs(spec->values[i].component[k], m, d);
}

typedef struct job {
    int64_t query, seed, round, threads;
    int64_t candidates; /* asked for, then what there will be */
    memory_rule memory;
    row_names names;
    registry *registry;
    component_spec *spec;
    composer *composer;
    matrices m;
    const dal_instance *strategy;
    strategy_cost cost;
    char *cost_lines;
    int32_t *no_classes; /* [n_labelled] in the place of classes that were not given */
    int64_t taken;       /* bytes that the strategy had at most at once */
} job;

/* Row sets over ids [n + n_labelled] and, when not all rows are candidates, drawn [candidates]. */
static row_sets sets_of(const job *j, int64_t *ids, int64_t *drawn, int64_t *missed)
{
    const matrices *m = &j->m;
    for (int64_t i = 0; i < m->n + m->n_labelled; i++)
        ids[i] = i;
    if (j->candidates < m->n)
        pool_draw_candidates(ids, m->n, j->candidates, composer_host(j->composer, "query"), j->round, drawn);
    return (row_sets){
        .ids = {j->candidates < m->n ? drawn : ids, ids + m->n, ids, ids, ids},
        .n = {j->candidates, m->n_labelled, 0, m->n, 0},
        .classes = m->classes ? m->classes : j->no_classes,
        .classes_missed = m->classes ? NULL : missed,
    };
}

/* What was not given, or does not fit, shows itself at times only to the strategy. */
static int code_of(dal_status st)
{
    return st == DAL_E_CANCELLED ? EXIT_INTERRUPTED : st == DAL_E_INVALID ? EXIT_BAD_INPUT : EXIT_FAILED;
}

static int tell_picks(const cli_args *a, const job *j, const selection *s, const reasons *r)
{
    dal_error err = DAL_ERROR_INIT;
    const char *output = cli_value(a, "output");
    if (output && write_output(output, s, &j->names, r, &err) != DAL_OK)
        return cli_error(a, EXIT_FAILED, &err);
    if (output)
        return EXIT_OK;
    if (cli_flag(a, "json")) {
        print_json(s, &j->names, j->strategy->component->id, j->candidates, &j->cost, j->taken, r);
    } else {
        char *csv = picks_csv(s, &j->names, r);
        fputs(csv, stdout);
        free(csv);
    }
    return EXIT_OK;
}

static dal_status explain(const job *j, const row_sets *sets, const round_view *v, const selection *s, reasons *r,
                          dal_error *err)
{
    const space by = space_of(&j->m.base, NULL);
    dal_matrix features;
    const bool ready = view_has_features(v, DAL_ROWS_CANDIDATES, &features);
    r->labelled = xcalloc((size_t)s->n, sizeof *r->labelled);
    r->distance = xcalloc((size_t)s->n, sizeof *r->distance);
    r->why = xcalloc((size_t)s->n, sizeof *r->why);
    dal_status st = explain_nearest(&by, s->ids, s->n, sets->ids[DAL_ROWS_LABELLED],
                                    j->m.labelled.data ? sets->n[DAL_ROWS_LABELLED] : 0, r->labelled, r->distance, err);
    for (int64_t i = 0; i < s->n; i++)
        r->labelled[i] = r->labelled[i] < 0 ? -1 : r->labelled[i] - j->m.n;
    if (st == DAL_OK)
        st = explain_picks(&by, s->ids, s->n, sets->ids[DAL_ROWS_CANDIDATES], sets->n[DAL_ROWS_CANDIDATES],
                           ready ? &features : NULL, r->why, err);
    return st;
}

/* Everything after the inputs are known to fit. */
static int select_from(const cli_args *a, job *j)
{
    const matrices *m = &j->m;
    int64_t *ids = xcalloc((size_t)(m->n + m->n_labelled), sizeof *ids);
    int64_t *drawn = xcalloc((size_t)j->candidates, sizeof *drawn);
    int64_t missed = 0;
    const row_sets sets = sets_of(j, ids, drawn, &missed);
    round_view *v = view_new(&m->base, j->strategy->component, &sets, j->round, NULL);
    selection s = {0};
    dal_error err = DAL_ERROR_INIT;
    reasons r = {0};
    const bool explained = cli_flag(a, "explain");
    const dal_runtime *rt = composer_runtime(j->composer);
    const int64_t before = dal_runtime_allocated(rt);
    dal_status st = view_select(v, j->strategy, j->query, &s, &err);
    j->taken = dal_runtime_most_allocated(rt) - before;
    if (st == DAL_OK && explained)
        st = explain(j, &sets, v, &s, &r, &err);
    events_clear();
    const bool lost = missed > 0 && m->n_labelled > 0 && st != DAL_E_CANCELLED;
    const int code = lost
        ? cli_bad(a, "strategy '%s' reads the classes of the labelled samples: give --labelled-classes "
                                    "C.npy, [n labelled]", j->strategy->component->id)
                     : st == DAL_OK ? tell_picks(a, j, &s, explained ? &r : NULL)
                                    : cli_error(a, code_of(st), &err);
    if (st == DAL_OK && !lost && *s.reason)
        fprintf(stderr, "dalhost select: %lld of %lld picked: %s\n", (long long)s.n, (long long)j->query, s.reason);
    selection_free(&s);
    free(r.labelled);
    free(r.distance);
    free(r.why);
    view_free(v);
    free(ids);
    free(drawn);
    return code;
}

/* ---- the command ---- */

/* False after a complaint. */
static bool over_memory_option(const cli_args *a, bool *fewer_rows)
{
    static const char *const words[] = {"refuse", "subsample"};
    const char *s = cli_value(a, "over-memory");
    int i = 0;
    while (s && i < 2 && strcmp(s, words[i]) != 0)
        i++;
    *fewer_rows = i == 1;
    return i < 2 || cli_bad(a, "--over-memory %s: expected refuse or subsample", s) == 0;
}

static bool read_arguments(const cli_args *a, job *j)
{
    *j = (job){.seed = 1, .names.n = -1};
    if (!cli_value(a, "strategy"))
        return cli_bad(a, "--strategy is missing; dalhost component list --kind strategy tells them") == 0;
    if (!cli_value(a, "query"))
        return cli_bad(a, "--query is missing: how many samples to pick") == 0;
    j->memory = (memory_rule){
        .limit = memory_limit(a),
        .by = "--memory",
        .fewer = "give --candidates",
        .instead = "give --over-memory subsample",
    };
    if (!over_memory_option(a, &j->memory.subsample))
        return false;
    if (cli_flag(a, "explain") && !cli_value(a, "features"))
        return cli_bad(a, "--explain compares features: give --features F.npy, [n, d]") == 0;
    if (cli_flag(a, "explain") && is_npy(cli_value(a, "output")))
        return cli_bad(a, "--explain is told in CSV or JSON: name an --output that does not end in .npy") == 0;
    return cli_int(a, "candidates", 1, INT64_MAX, &j->candidates) && cli_int(a, "query", 1, INT64_MAX, &j->query) &&
        cli_int(a, "seed", 0, INT64_MAX, &j->seed) &&
           cli_int(a, "round", 0, INT64_MAX, &j->round) && cli_int(a, "threads", 1, 1024, &j->threads) &&
           j->memory.limit >= 0 && read_names(a, &j->names);
}

/* What it takes, and whether that is too much. */
static void weigh(job *j, diags *d)
{
    const matrices *m = &j->m;
    dal_problem p = {sizeof p, 0, j->candidates, m->n_labelled, j->query, m->base.n_classes, m->base.d, 0};
    cost_tree *t = cost_open(j->composer, j->spec, j->strategy);
    const int64_t n = cost_candidates(t, &p, &j->memory, (place){0}, d);
    if (n > 0) {
        p.n = j->candidates = n;
        j->cost = cost_bound(t, &p);
        j->cost_lines = cost_lines(t, &p, "");
    }
    cost_close(t);
}

static void open_all(const cli_args *a, job *j, diags *d)
{
    int n;
    const char *const *sets = cli_values(a, "set", &n);
    const composer_events events = events_for_terminal();
    dal_error err = DAL_ERROR_INIT;
    const matrix_files files = {
        .probs = cli_value(a, "probs"),
        .logits = cli_value(a, "logits"),
        .features = cli_value(a, "features"),
        .mc = cli_value(a, "mc"),
        .last_layer = cli_value(a, "last-layer"),
        .labelled_features = cli_value(a, "labelled-features"),
        .labelled_classes = cli_value(a, "labelled-classes"),
        .labelled_outputs = cli_value(a, "labelled-outputs"),
        .groups = cli_value(a, "groups"),
    };
    if (composer_new(j->registry, (int32_t)j->threads, (uint64_t)j->seed, &events, &j->composer, &err) != DAL_OK) {
        diags_error(d, (place){0}, "%s", err.text);
        return;
    }
    j->spec = spec_from_sets(DAL_KIND_STRATEGY, cli_value(a, "strategy"), sets, n, j->registry, d);
    matrices_open(&j->m, &files, j->names.n, composer_host(j->composer, "select"), d);
    if (j->spec)
        check_needs(j->spec, &j->m, d);
    if (j->candidates == 0 || j->candidates > j->m.n)
        j->candidates = j->m.n;
    if (j->m.n >= 0 && j->query > j->candidates)
        diags_error(d, (place){0}, "--query %lld: there are %lld candidates; expected at most that many",
                    (long long)j->query, (long long)j->candidates);
    if (diags_errors(d))
        return;
    if (composer_open(j->composer, j->spec, NULL, &j->strategy, &err) != DAL_OK) {
        tell_who(j->spec->desc, &err);
        diags_error(d, (place){0}, "%s%s%s", err.key, *err.key ? ": " : "", err.text);
    } else
        weigh(j, d);
}

static int select_main(const cli_args *a)
{
    job j;
    int code = EXIT_BAD_INPUT;
    if (read_arguments(a, &j) && (j.registry = cli_registry(a))) {
        diags *d = diags_new();
        events_catch_interrupts();
        open_all(a, &j, d);
        diags_print(d, stderr);
        if (diags_errors(d) == 0) {
            fputs(j.cost_lines, stderr);
            j.no_classes = xcalloc((size_t)j.m.n_labelled, sizeof *j.no_classes);
            code = select_from(a, &j);
        }
        diags_free(d);
        free(j.cost_lines);
        free(j.no_classes);
        if (j.composer) {
            matrices_close(&j.m);
            composer_close(j.composer, j.strategy);
        }
        composer_free(j.composer);
        spec_free(j.spec);
        registry_free(j.registry);
    }
    free(j.names.lines);
    free(j.names.data);
    return code;
}

const cli_command cmd_select = {
    .name = "select",
    .operands = "",
    .summary = "pick samples from matrices of a model trained elsewhere",
    .description =
        "Runs a strategy, the same plugin as `run` uses, on .npy matrices and prints the rows it picks, in the order "
        "picked, with their scores where it gives any. Which matrices are needed, the strategy says (dalhost "
        "component inspect ID). Files are mapped, not read: float16, float32 and float64, C and Fortran order.\n\n"
        "What the strategy says it takes for these sizes is told on standard error, and with --json: its bound on the "
        "memory beside the matrices, and the order of its arithmetic; with --json also how many bytes it then took at "
        "most (taken). --memory refuses one that takes more before it "
        "begins; with --over-memory subsample it is given as many rows, drawn at random, as stay within the limit.\n\n"
        "--explain adds to each pick, by distances of features: the nearest labelled sample and the nearest other "
        "pick, how many candidates have it as their nearest pick, which is what it stands for, and the nearest few of "
        "these.",
    .options = options,
    .examples = "  dalhost select --strategy margin --query 100 --logits Z.npy\n"
                "  dalhost select --strategy coreset --query 100 --features F.npy --labelled-features L.npy -o "
                "picks.npy\n"
                "  dalhost select --strategy margin --query 100 --logits Z.npy --features F.npy --explain\n",
    .main = select_main,
};
