#include "report/summary.h"

#include <math.h>
#include <stdlib.h>

#include "report/curve.h"
#include "report/grid.h"
#include "util/text.h"

/* ---- one curve ---- */

learning_curve learning_curve_of(const stored_run *r)
{
    learning_curve c = {xcalloc((size_t)r->n_rounds, sizeof(double)),
                        xcalloc((size_t)r->n_rounds, sizeof(double)), 0};
    for (int64_t k = 0; k < r->n_rounds; k++)
        if (isfinite(r->rounds[k].metrics.accuracy)) {
            c.x[c.n] = (double)r->rounds[k].n_labelled;
            c.a[c.n++] = r->rounds[k].metrics.accuracy;
        }
    return c;
}

void learning_curve_fini(learning_curve *c)
{
    free(c->x);
    free(c->a);
    *c = (learning_curve){0};
}

double summary_aubc(const learning_curve *c)
{
    double area = 0, bought = 0;
    for (int64_t i = 0; i + 1 < c->n; i++) {
        const double b = c->x[i + 1] - c->x[i];
        area += 0.5 * (c->a[i] + c->a[i + 1]) * b;
        bought += b;
    }
    return bought > 0 ? area / bought : (double)NAN;
}

double summary_labels_at(const learning_curve *c, double a)
{
    for (int64_t i = 0; i < c->n; i++) /* what came before is below a, so a[i] lies on the envelope */
        if (c->a[i] >= a) {
            double best = -INFINITY;
            for (int64_t j = 0; j < i; j++)
                best = fmax(best, c->a[j]);
            return i == 0 ? c->x[0]
                          : c->x[i - 1] + (a - best) / (c->a[i] - best) * (c->x[i] - c->x[i - 1]);
        }
    return NAN;
}

double summary_efficiency(const learning_curve *baseline, const learning_curve *c, double a)
{
    return summary_labels_at(baseline, a) / summary_labels_at(c, a);
}

void summary_mean(const double *v, int64_t n, double *mean, double *deviation)
{
    double sum = 0, squares = 0;
    int64_t m = 0;
    for (int64_t i = 0; i < n; i++)
        if (!isnan(v[i])) {
            sum += v[i];
            m++;
        }
    *mean = m > 0 ? sum / (double)m : (double)NAN;
    for (int64_t i = 0; i < n; i++)
        if (!isnan(v[i]))
            squares += (v[i] - *mean) * (v[i] - *mean);
    *deviation = m > 1 ? sqrt(squares / (double)(m - 1)) : (double)NAN;
}

static double highest(const learning_curve *c)
{
    double best = NAN;
    for (int64_t i = 0; i < c->n; i++)
        best = fmax(best, c->a[i]);
    return best;
}

/* ---- trials of one strategy ---- */

/* Runs that differ only in trial and seed. */
typedef struct group {
    char *label;
    const stored_run **runs;
    learning_curve *curves;
    int n;
} group;

typedef struct groups {
    group *items;
    int n;
} groups;

static bool alike(const stored_run *a, const stored_run *b)
{
    return strcmp(a->head.strategy, b->head.strategy) == 0 &&
           strcmp(a->head.components, b->head.components) == 0;
}

static groups group_runs(const stored_run *const *runs, int n)
{
    groups g = {xcalloc((size_t)n, sizeof(group)), 0};
    for (int i = 0; i < n; i++) {
        int k = 0;
        while (k < g.n && !alike(g.items[k].runs[0], runs[i]))
            k++;
        group *into = &g.items[k];
        if (k == g.n) {
            g.n++;
            into->runs = xcalloc((size_t)n, sizeof *into->runs);
            into->curves = xcalloc((size_t)n, sizeof *into->curves);
        }
        into->runs[into->n] = runs[i];
        into->curves[into->n++] = learning_curve_of(runs[i]);
    }
    for (int k = 0; k < g.n; k++) { /* one strategy with several settings: tell them apart by run */
        bool unique = true;
        for (int j = 0; j < g.n; j++)
            unique = unique && (j == k || strcmp(g.items[j].runs[0]->head.strategy,
                                                 g.items[k].runs[0]->head.strategy));
        const run_head *h = &g.items[k].runs[0]->head;
        g.items[k].label =
            unique ? xstrdup(h->strategy) : xasprintf("%s (run %lld)", h->strategy, (long long)h->id);
    }
    return g;
}

static void groups_fini(groups *g)
{
    for (int k = 0; k < g->n; k++) {
        for (int i = 0; i < g->items[k].n; i++)
            learning_curve_fini(&g->items[k].curves[i]);
        free(g->items[k].label);
        free(g->items[k].runs);
        free(g->items[k].curves);
    }
    free(g->items);
}

static const group *find_baseline(const groups *g, const char *strategy)
{
    for (int k = 0; k < g->n; k++)
        if (!strategy || strcmp(g->items[k].runs[0]->head.strategy, strategy) == 0)
            return &g->items[k];
    return NULL;
}

static const learning_curve *same_trial(const group *g, const stored_run *as)
{
    for (int i = 0; g && i < g->n; i++)
        if (g->runs[i]->head.trial == as->head.trial)
            return &g->curves[i];
    return NULL;
}

static void mean_cell(grid *t, const double *v, int n, int digits, bool utf8)
{
    double mean, deviation;
    summary_mean(v, n, &mean, &deviation);
    if (isnan(deviation))
        grid_real(t, mean, digits);
    else
        grid_cell(t, "%.*f %s %.*f", digits, mean, utf8 ? "±" : "+-", digits, deviation);
}

/* Efficiency, and the score in AUBC, against the baseline's run of the same trial. */
static void compare_cells(grid *t, const group *g, const group *base, bool utf8)
{
    double *efficiency = xcalloc((size_t)g->n, sizeof *efficiency);
    int won = 0, tied = 0, lost = 0;
    for (int i = 0; i < g->n; i++) {
        const learning_curve *c = &g->curves[i], *b = same_trial(base, g->runs[i]);
        efficiency[i] = b ? summary_efficiency(b, c, fmin(highest(b), highest(c))) : (double)NAN;
        const double mine = summary_aubc(c), other = b ? summary_aubc(b) : (double)NAN;
        won += mine > other;
        lost += mine < other;
        tied += mine == other;
    }
    if (g == base) {
        grid_cell(t, "1");
        grid_cell(t, "-");
    } else {
        mean_cell(t, efficiency, g->n, 2, utf8);
        grid_cell(t, "%d/%d/%d", won, tied, lost);
    }
    free(efficiency);
}

static void add_group(grid *t, const group *g, const group *base, bool utf8)
{
    double *labels = xcalloc((size_t)g->n, sizeof(double)),
           *final = xcalloc((size_t)g->n, sizeof(double));
    double *area = xcalloc((size_t)g->n, sizeof(double)), mean, deviation;
    for (int i = 0; i < g->n; i++) {
        const learning_curve *c = &g->curves[i];
        labels[i] = c->n > 0 ? c->x[c->n - 1] : (double)NAN;
        final[i] = c->n > 0 ? c->a[c->n - 1] : (double)NAN;
        area[i] = summary_aubc(c);
    }
    grid_cell(t, "%s", g->label);
    grid_cell(t, "%d", g->n);
    summary_mean(labels, g->n, &mean, &deviation);
    grid_real(t, mean, 0);
    mean_cell(t, final, g->n, 4, utf8);
    mean_cell(t, area, g->n, 4, utf8);
    compare_cells(t, g, base, utf8);
    free(labels);
    free(final);
    free(area);
}

void summary_print(FILE *out, const stored_run *const *runs, int n, const char *baseline, terminal to)
{
    groups g = group_runs(runs, n);
    const group *base = find_baseline(&g, baseline);
    grid *t = grid_new();
    static const char *const titles[] = {"strategy", "trials",     "labels",       "accuracy",
                                         "AUBC",     "efficiency", "won/tied/lost"};
    for (int i = 0; i < 7; i++)
        grid_column(t, titles[i], i == 0 ? GRID_LEFT : GRID_RIGHT);
    for (int k = 0; k < g.n; k++)
        add_group(t, &g.items[k], base, to.utf8);
    grid_print(t, out, to);
    grid_free(t);
    groups_fini(&g);
}

/* ---- curves ---- */

/* Round by round over the trials, as far as all of them go. */
static learning_curve mean_curve(const group *g)
{
    int64_t n = g->curves[0].n;
    for (int i = 1; i < g->n; i++)
        n = g->curves[i].n < n ? g->curves[i].n : n;
    learning_curve m = {xcalloc((size_t)n, sizeof(double)), xcalloc((size_t)n, sizeof(double)), n};
    for (int64_t k = 0; k < n; k++) {
        for (int i = 0; i < g->n; i++) {
            m.x[k] += g->curves[i].x[k];
            m.a[k] += g->curves[i].a[k];
        }
        m.x[k] /= g->n;
        m.a[k] /= g->n;
    }
    return m;
}

void summary_curves(FILE *out, const stored_run *const *runs, int n, terminal to)
{
    groups g = group_runs(runs, n);
    learning_curve *means = xcalloc((size_t)g.n, sizeof *means);
    curve_series *series = xcalloc((size_t)g.n, sizeof *series);
    for (int k = 0; k < g.n; k++) {
        means[k] = mean_curve(&g.items[k]);
        series[k] = (curve_series){g.items[k].label, means[k].x, means[k].a, means[k].n};
    }
    int64_t points = 0;
    for (int k = 0; k < g.n; k++)
        points = means[k].n > points ? means[k].n : points;
    if (points > 1) {
        curve_print(out, series, g.n, "labels", "test accuracy", to);
        fputc('\n', out);
    }
    for (int k = 0; k < g.n; k++)
        learning_curve_fini(&means[k]);
    free(means);
    free(series);
    groups_fini(&g);
}
