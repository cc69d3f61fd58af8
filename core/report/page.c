#include "report/page.h"

#include <dal/oracle.h>
#include <math.h>
#include <stdlib.h>
#include <time.h>

#include "report/curve.h"
#include "report/export.h"
#include "report/grid.h"
#include "report/queries.h"
#include "report/summary.h"
#include "store/chosen.h"
#include "util/text.h"

static void print_shown(FILE *out, const char *s, int max, bool utf8)
{
    char *shown = text_shown(s, max, utf8);
    fputs(shown, out);
    free(shown);
}

static void print_title(FILE *out, const char *title)
{
    fprintf(out, "\n%s\n", title);
}

/* ---- head ---- */

static void print_when(FILE *out, const run_head *h)
{
    char day[32] = "-", took[32];
    const time_t started = h->started > 0 && h->started < 1e11 ? (time_t)h->started : 0;
    struct tm t;
    if (localtime_r(&started, &t))
        strftime(day, sizeof day, "%Y-%m-%d %H:%M:%S", &t);
    fprintf(out, "  started %s, last written %s later\n", day,
            human_time(h->changed - h->started, took));
}

static void print_classes(FILE *out, const run_head *h, terminal to)
{
    text line = {0};
    char **names = class_names_of(h);
    text_addf(&line, "  %lld classes:", (long long)h->n_classes);
    for (int64_t c = 0; c < h->n_classes && line.n < 400; c++)
        text_addf(&line, "%s %s", c > 0 ? "," : "", names[c]);
    print_shown(out, line.s, to.columns > 0 ? to.columns : 120, to.utf8);
    fputc('\n', out);
    class_names_free(names, h->n_classes);
    text_free(&line);
}

static void print_head(FILE *out, const stored_run *r, int64_t writer, terminal to)
{
    const run_head *h = &r->head;
    char pool[32], test[32];
    text title = {0};
    text_addf(&title, "Run %lld: %s, %s", (long long)h->id, h->name, h->strategy);
    print_shown(out, title.s, 0, to.utf8);
    text_free(&title);
    fprintf(out, " (%s", run_state_shown(h, writer));
    if (writer > 0)
        fprintf(out, " in process %lld", (long long)writer);
    fputs(")\n", out);
    if (*h->message) {
        fputs("  ", out);
        print_shown(out, h->message, 0, to.utf8);
        fputc('\n', out);
    }
    fprintf(out, "  trial %lld, seed %llu, %lld initial labels\n", (long long)h->trial,
            (unsigned long long)h->seed, (long long)r->n_initial);
    fprintf(out, "  %s samples in the pool, %s to test on\n", human_count(h->n_pool, pool),
            human_count(h->n_test, test));
    print_classes(out, h, to);
    print_when(out, h);
    fprintf(out, "  data %016llx%016llx, dalhost ", (unsigned long long)h->data_fingerprint[0],
            (unsigned long long)h->data_fingerprint[1]);
    print_shown(out, h->host_version, 40, to.utf8);
    fputs(", ABI ", out);
    print_shown(out, h->abi, 20, to.utf8);
    fputc('\n', out);
}

/* ---- components ---- */

/* "hidden [100], epochs 20": all that is not the component's name. Of those in `chosen`, that the model chose them. */
static char *parameters_of(json_t *component, const json_t *chosen)
{
    text t = {0};
    const char *key;
    json_t *value;
    json_object_foreach(component, key, value)
    {
        if (strcmp(key, "use") == 0 || strcmp(key, "from") == 0 || strcmp(key, "version") == 0)
            continue;
        char *v = NULL;
        for (size_t digits = 15; digits <= 17 && !v; digits += 2) { /* 0.1, not 0.10000000000000001 */
            v = json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(digits));
            json_t *back = v ? json_loads(v, JSON_DECODE_ANY, NULL) : NULL;
            if (digits == 15 && !json_equal(back, value)) {
                free(v);
                v = NULL;
            }
            json_decref(back);
        }
        text_addf(&t, "%s%s %s", t.n ? ", " : "", key,
                  json_is_string(value) ? json_string_value(value)
                  : v                   ? v
                                        : "?");
        if (json_object_get(chosen, key))
            text_add(&t, " (chosen)");
        free(v);
    }
    return text_take(&t);
}

static const char *word_of(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s ? s : "?";
}

/* The parameters on as many lines as they need: they are what a reader looks up. */
static void print_parameters(FILE *out, const char *s, int indent, terminal to)
{
    const int width = (to.columns > 0 ? to.columns : 100) - indent;
    char *copy = text_shown(s, 0, to.utf8), *rest = copy;
    while ((int)strlen(rest) > width && width > 10) {
        int cut = width;
        while (cut > 0 && rest[cut] != ' ')
            cut--;
        if (cut == 0) /* a word that is too long has a line of its own */
            cut = (int)strcspn(rest, " ");
        if (!rest[cut])
            break;
        fprintf(out, "%.*s\n%*s", cut, rest, indent, "");
        rest += cut + 1;
    }
    fprintf(out, "%s\n", rest);
    free(copy);
}

static void print_components(FILE *out, const run_head *h, terminal to)
{
    json_t *list = json_loads(h->components, 0, NULL), *chosen = chosen_json(h);
    size_t i;
    json_t *c;
    if (json_array_size(list) > 0)
        print_title(out, "Components");
    json_array_foreach(list, i, c)
    {
        enum { NAME = 28 };
        const char *use = word_of(c, "use"), *from = word_of(c, "from"),
                   *version = word_of(c, "version");
        char *name = strcmp(use, from) == 0 ? xasprintf("%s %s", use, version)
                                            : xasprintf("%s (%s %s)", use, from, version);
        char *shown = text_shown(name, 0, to.utf8), *parameters = parameters_of(c, i == STORE_MODEL ? chosen : NULL);
        const int pad = NAME - text_columns(shown);
        fprintf(out, "  %s", shown);
        if (!*parameters)
            fputc('\n', out);
        else if (pad < 1)
            fprintf(out, "\n%*s", NAME + 2, "");
        else
            fprintf(out, "%*s", pad, "");
        if (*parameters)
            print_parameters(out, parameters, NAME + 2, to);
        free(name);
        free(shown);
        free(parameters);
    }
    json_decref(chosen);
    json_decref(list);
}

/* ---- rounds ---- */

/* At most six characters, so that all phases fit into 80 columns. */
static void time_cell(grid *g, double seconds)
{
    const long long whole = fabs(seconds) < 1e12 ? (long long)seconds : 0;
    if (!isfinite(seconds))
        grid_cell(g, "-");
    else if (seconds < 0.9995e-3)
        grid_cell(g, "%.0fus", seconds * 1e6);
    else if (seconds < 0.9995)
        grid_cell(g, "%.3gms", seconds * 1e3);
    else if (seconds < 99.95)
        grid_cell(g, "%.3gs", seconds);
    else if (seconds < 3600)
        grid_cell(g, "%lldm%02llds", whole / 60, whole % 60);
    else
        grid_cell(g, "%lldh%02lldm", whole / 3600, whole / 60 % 60);
}

void page_rounds(FILE *out, const stored_run *r, terminal to)
{
    static const char *const titles[] = {"round", "labels", "accuracy", "macro-F1", "train", "eval",
                                         "infer", "select", "label",    "picks",    "epochs"};
    const size_t n =
        to.columns == 0 || to.columns >= 90 ? 11 : 10; /* 80 columns have no room for epochs */
    grid *g = grid_new();
    for (size_t i = 0; i < n; i++)
        grid_column(g, titles[i], GRID_RIGHT);
    for (int64_t i = 0; i < r->n_rounds; i++) {
        const round_record *k = &r->rounds[i];
        const phase_times *t = &k->times;
        const double times[] = {t->train, t->evaluate, t->infer, t->select, t->label};
        char labels[32];
        grid_cell(g, "%lld", (long long)k->round);
        grid_cell(g, "%s", human_count(k->n_labelled, labels));
        grid_real(g, k->metrics.accuracy, 4);
        grid_real(g, k->metrics.macro_f1, 4);
        for (int x = 0; x < 5; x++) /* the round after the last query has only the first two phases */
            time_cell(g, x >= 2 && k->n_picks == 0 && times[x] == 0 ? (double)NAN : times[x]);
        grid_cell(g, "%lld", (long long)k->n_picks);
        if (n == 11)
            grid_cell(g, "%lld", (long long)k->metrics.epochs);
    }
    grid_print(g, out, to);
    grid_free(g);
}

/* ---- data ---- */

/* A count, of a split that there may not be. */
static void samples_cell(grid *g, int64_t n)
{
    char number[32];
    grid_cell(g, "%s", n < 0 ? "-" : human_count(n, number));
}

/* How many classes the pool has, the fewest samples of one, and the most. */
static void add_classes(grid *g, const store_link *l)
{
    json_t *counts = l ? json_loads(l->classes, 0, NULL) : NULL, *one;
    const size_t n = json_array_size(counts);
    int64_t least = n ? INT64_MAX : -1, most = -1;
    size_t c;
    json_array_foreach(counts, c, one)
    {
        const int64_t k = json_integer_value(one);
        least = k < least ? k : least;
        most = k > most ? k : most;
    }
    json_decref(counts);
    samples_cell(g, n ? (int64_t)n : -1);
    samples_cell(g, least);
    samples_cell(g, most);
}

/* One row for the dataset and for each transform. */
static void print_data(FILE *out, const run_head *h, terminal to)
{
    static const char *const titles[] = {"after",  "classes",    "fewest", "most",     "pool",
                                         "validation", "test", "no label", "OOD"};
    static const char *const splits[] = {"train", "validation", "test"};
    if (h->n_links == 0)
        return;
    grid *g = grid_new();
    for (int i = 0; i < 9; i++)
        grid_column(g, titles[i], i ? GRID_RIGHT : GRID_LEFT);
    for (int64_t i = 0; i < h->n_links;) {
        const int64_t position = h->links[i].position;
        const store_link *of[3] = {0};
        char *name = text_shown(h->links[i].component, 28, to.utf8);
        int64_t unlabelled = 0, outside = 0;
        for (; i < h->n_links && h->links[i].position == position; i++) {
            unlabelled += h->links[i].unlabelled;
            outside += h->links[i].out_of_class;
            for (int k = 0; k < 3; k++)
                if (strcmp(h->links[i].split, splits[k]) == 0)
                    of[k] = &h->links[i];
        }
        grid_cell(g, "%s", name);
        add_classes(g, of[0]);
        for (int k = 0; k < 3; k++)
            samples_cell(g, of[k] ? of[k]->samples : -1);
        samples_cell(g, unlabelled);
        samples_cell(g, outside);
        free(name);
    }
    print_title(out, "Data after the dataset and each transform (fewest, most: of a class in the pool)");
    grid_print(g, out, to);
    grid_free(g);
}

/* ---- pages ---- */

/* What the answers cost, and how many there are. */
static void print_cost(FILE *out, const stored_run *r)
{
    int64_t answers = 0;
    double cost = 0;
    for (int64_t k = 0; k < r->n_rounds; k++)
        for (int64_t i = 0; i < r->rounds[k].n_picks; i++) {
            const pick *p = &r->rounds[k].picks[i];
            answers += p->answer != DAL_ANSWER_PENDING;
            cost += isnan(p->cost) ? 0 : p->cost;
        }
    char n[32];
    if (answers > 0)
        fprintf(out, "%s answers for a cost of %.6g\n", human_count(answers, n), cost);
}

void page_run(FILE *out, const stored_run *r, int64_t writer, terminal to)
{
    print_head(out, r, writer, to);
    print_components(out, &r->head, to);
    print_data(out, &r->head, to);
    if (r->n_rounds == 0) {
        fputs("\nNo round is stored yet.\n", out);
        return;
    }
    print_title(out, "Rounds");
    page_rounds(out, r, to);
    for (int64_t k = 0; k < r->n_rounds; k++)
        if (*r->rounds[k].reason && strcmp(r->rounds[k].reason, r->head.message) != 0) {
            fprintf(out, "round %lld: ", (long long)k);
            print_shown(out, r->rounds[k].reason, 0, to.utf8);
            fputc('\n', out);
        }
    learning_curve c = learning_curve_of(r);
    if (c.n > 0) {
        fputc('\n', out);
        curve_print(out, &(curve_series){r->head.strategy, c.x, c.a, c.n}, 1, "labels", "Test accuracy",
                    to);
        fprintf(out, "\nFinal accuracy %.4f", c.a[c.n - 1]);
        if (c.n > 1)
            fprintf(out, ", area under the curve (AUBC) %.4f", summary_aubc(&c));
        fputc('\n', out);
    }
    learning_curve_fini(&c);
    print_cost(out, r);
    page_queries(out, r, to);
}

/* ---- picks of a round ---- */

static void distance_cell(grid *g, double x)
{
    if (isnan(x))
        grid_cell(g, "-");
    else
        grid_cell(g, "%.4g", x);
}

static void sample_cell(grid *g, int64_t id)
{
    if (id < 0)
        grid_cell(g, "-");
    else
        grid_cell(g, "%lld", (long long)id);
}

static void add_pick(grid *g, const pick *p, char **classes)
{
    grid_cell(g, "%lld", (long long)p->rank);
    grid_cell(g, "%lld", (long long)p->id);
    if (isnan(p->score))
        grid_cell(g, "-");
    else
        grid_cell(g, "%.6g", p->score);
    sample_cell(g, p->nearest);
    distance_cell(g, p->distance);
    grid_cell(g, "%s", p->answer == DAL_ANSWER_CLASS ? classes[p->cls] : answer_name(p->answer));
    grid_real(g, p->cost, 2);
}

static void print_picks(FILE *out, const round_record *k, int64_t n, char **classes, terminal to)
{
    static const char *const titles[] = {"rank", "sample", "score", "nearest", "distance", "answer", "cost"};
    grid *g = grid_new();
    for (int i = 0; i < 7; i++)
        grid_column(g, titles[i], i == 5 ? GRID_LEFT : GRID_RIGHT);
    for (int64_t i = 0; i < n; i++)
        add_pick(g, &k->picks[i], classes);
    print_title(out, "Picks, in the order picked; nearest: the nearest sample that had a label then");
    grid_print(g, out, to);
    grid_free(g);
}

bool page_has_explanations(const round_record *k)
{
    for (int64_t i = 0; i < k->n_picks; i++)
        if (k->picks[i].why)
            return true;
    return false;
}

/* What was known of every pool sample before round k: its class, DAL_LABEL_NONE, DAL_LABEL_OOD. Caller frees. */
static int32_t *labels_before(const stored_run *r, int64_t round)
{
    int32_t *labels = xcalloc((size_t)r->head.n_pool, sizeof *labels);
    for (int64_t i = 0; i < r->head.n_pool; i++)
        labels[i] = DAL_LABEL_NONE;
    for (int64_t i = 0; i < r->n_initial; i++)
        labels[r->initial[i]] = r->initial_classes[i];
    for (int64_t k = 0; k < round; k++)
        for (int64_t i = 0; i < r->rounds[k].n_picks; i++)
            labels[r->rounds[k].picks[i].id] = r->rounds[k].picks[i].cls;
    return labels;
}

static void add_explanation(grid *g, const pick *p, char **classes, const int32_t *labels, bool wide)
{
    const explanation *w = p->why;
    grid_cell(g, "%lld", (long long)p->rank);
    grid_cell(g, "%lld", (long long)p->id);
    if (isnan(p->score))
        grid_cell(g, "-");
    else
        grid_cell(g, "%.3g", p->score);
    if (wide)
        grid_cell(g, "%s", p->answer == DAL_ANSWER_CLASS ? classes[p->cls] : answer_name(p->answer));
    if (p->nearest >= 0 && labels[p->nearest] >= 0)
        grid_cell(g, "%lld (%s)", (long long)p->nearest, classes[labels[p->nearest]]);
    else
        sample_cell(g, p->nearest);
    distance_cell(g, p->distance);
    sample_cell(g, w ? w->other : -1);
    distance_cell(g, w ? w->other_distance : (double)NAN);
    sample_cell(g, w ? w->stands_for : -1);
    text few = {0};
    for (int i = 0; w && i < STORE_FEW && w->few[i] >= 0; i++)
        text_addf(&few, "%s%lld", few.n ? " " : "", (long long)w->few[i]);
    if (wide)
        grid_cell(g, "%s", few.n ? few.s : "-");
    text_free(&few);
}

static void print_explanations(FILE *out, const stored_run *r, int64_t round, int64_t n, char **classes, terminal to)
{
    static const char *const titles[] = {"rank",     "sample", "score",    "answer",     "label",
                                         "distance", "pick",   "distance", "stands for", "such as"};
    const bool wide = to.columns == 0 || to.columns >= 98; /* 80 columns have no room for answer and such as */
    int32_t *labels = labels_before(r, round);
    grid *g = grid_new();
    for (int i = 0; i < 10; i++)
        if (wide || (i != 3 && i != 9))
            grid_column(g, titles[i], i == 3 || i == 4 || i == 9 ? GRID_LEFT : GRID_RIGHT);
    for (int64_t i = 0; i < n; i++)
        add_explanation(g, &r->rounds[round].picks[i], classes, labels, wide);
    print_title(out, "Picks, in the order picked, and where they lie");
    fprintf(out, "  label       the nearest sample that had a label then, and its class\n"
                 "  pick        the nearest other pick of the round\n"
                 "  stands for  so many candidates have it as their nearest pick%s\n\n",
            wide ? ", such as these nearest ones" : "");
    grid_print(g, out, to);
    grid_free(g);
    free(labels);
}

void page_round(FILE *out, const stored_run *r, int64_t round, int64_t n_picks, bool explain, terminal to)
{
    const round_record *k = &r->rounds[round];
    const int64_t n = k->n_picks < n_picks ? k->n_picks : n_picks;
    char labels[32], unlabelled[32], rss[32];
    text title = {0};
    text_addf(&title, "Run %lld: %s, %s, round %lld", (long long)r->head.id, r->head.name,
              r->head.strategy, (long long)round);
    print_shown(out, title.s, 0, to.utf8);
    text_free(&title);
    fprintf(out, "\n  trained on %s labels, %s samples unlabelled", human_count(k->n_labelled, labels),
            human_count(k->n_unlabelled, unlabelled));
    if (k->n_candidates >= 0 && k->n_candidates < k->n_unlabelled)
        fprintf(out, ", chosen among %s of them", human_count(k->n_candidates, rss));
    if (k->n_ood > 0)
        fprintf(out, ", %lld out of class", (long long)k->n_ood);
    fputs("\n  ", out);
    if (!isnan(k->metrics.accuracy))
        fprintf(out, "accuracy %.4f, balanced %.4f, macro-F1 %.4f, log loss %.4f\n  ",
                k->metrics.accuracy, k->metrics.balanced_accuracy, k->metrics.macro_f1,
                k->metrics.log_loss);
    fprintf(out, "peak memory %s\n", human_bytes((double)k->times.peak_rss, rss));
    if (k->n_pseudo > 0)
        fprintf(out, "  %lld pseudo labels for the next training\n", (long long)k->n_pseudo);
    if (*k->reason) {
        fputs("  ", out);
        print_shown(out, k->reason, 0, to.utf8);
        fputc('\n', out);
    }
    if (k->n_picks == 0) {
        fputs("\nNothing was picked in this round.\n", out);
        return;
    }
    char **classes = class_names_of(&r->head);
    if (explain)
        print_explanations(out, r, round, n, classes, to);
    else
        print_picks(out, k, n, classes, to);
    class_names_free(classes, r->head.n_classes);
    if (n < k->n_picks)
        fprintf(out, "... and %lld more (--picks %lld shows all)\n", (long long)(k->n_picks - n),
                (long long)k->n_picks);
}
