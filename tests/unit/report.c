#include <criterion/criterion.h>

#include <math.h>
#include <stdlib.h>

#include "report/curve.h"
#include "report/grid.h"
#include "report/summary.h"
#include "util/text.h"

/* ---- text in columns ---- */

Test(text_columns, counts_what_a_terminal_shows)
{
    cr_assert_eq(text_columns("abc"), 3);
    cr_assert_eq(text_columns("Grüße"), 5);
    cr_assert_eq(text_columns("数据"), 4);
    cr_assert_eq(text_columns("e\u0301"), 1); /* combining accent */
    cr_assert_eq(text_columns("\xff\xfe"), 2);
    cr_assert_eq(text_columns(""), 0);
}

static void shown(const char *s, int max, bool utf8, const char *want)
{
    char *got = text_shown(s, max, utf8);
    cr_assert_str_eq(got, want);
    free(got);
}

Test(text_shown, cuts_cleans_and_falls_back_to_ascii)
{
    shown("entropy", 7, true, "entropy");
    shown("entropy", 5, true, "entr…");
    shown("entropy", 5, false, "ent..");
    shown("entropy", 2, true, "en");
    shown("数据集", 4, true, "数…"); /* a wide character is not cut in half */
    shown("Grüße", 0, false, "Gr??e");
    shown("a\x1b[31mb\n\tc", 0, true, "a?[31mb??c");
    shown("\xe2\x80\xae"
          "abc",
          0, true, "?abc"); /* right-to-left override */
    shown("\xc2\x9b"
          "1m\xff",
          0, true, "?1m?");
}

/* ---- grids ---- */

/* What a function prints, as a string to be freed. */
#define printed(out, call)                                                                             \
    do {                                                                                               \
        size_t size_;                                                                                  \
        FILE *f = open_memstream(&(out), &size_);                                                      \
        call;                                                                                          \
        fclose(f);                                                                                     \
    } while (0)

Test(grid, aligns_numbers_right_and_text_left)
{
    grid *g = grid_new();
    grid_column(g, "name", GRID_LEFT);
    grid_column(g, "accuracy", GRID_RIGHT);
    grid_column(g, "note", GRID_LEFT);
    grid_cell(g, "数");
    grid_real(g, 0.5, 4);
    grid_cell(g, "%d of %d", 3, 10);
    grid_rule(g);
    grid_cell(g, "margin");
    grid_real(g, NAN, 4);
    grid_cell(g, "%s", "");
    char *got;
    printed(got, grid_print(g, f, (terminal){0, true}));
    cr_assert_str_eq(got, "name    accuracy  note\n"
                          "──────  ────────  ───────\n"
                          "数        0.5000  3 of 10\n"
                          "──────  ────────  ───────\n"
                          "margin         -\n");
    free(got);
    grid_free(g);
}

Test(grid, cuts_its_widest_text_to_fit_the_terminal)
{
    grid *g = grid_new();
    grid_column(g, "a", GRID_LEFT);
    grid_column(g, "n", GRID_RIGHT);
    grid_cell(g, "a text of thirty-one characters");
    grid_cell(g, "%d", 1234567);
    char *got;
    printed(got, grid_print(g, f, (terminal){24, false}));
    cr_assert_str_eq(got, "a                      n\n"
                          "---------------  -------\n"
                          "a text of thi..  1234567\n");
    free(got);
    grid_free(g);
}

/* ---- curves ---- */

Test(curve, puts_points_where_they_belong)
{
    const double x[] = {100, 200, 300}, y[] = {0.5, 0.7, 0.6};
    const curve_series s = {"margin", x, y, 3};
    char *got;
    printed(got, curve_print(f, &s, 1, "labels", "accuracy", (terminal){0, false}));
    const char *want_first = "accuracy\n0.70 +                                   .*..\n";
    cr_assert_eq(strncmp(got, want_first, strlen(want_first)), 0, "%s", got);
    cr_assert_not_null(strstr(got, "\n0.50 +*.\n"));
    int marks = 0, lines = 0;
    for (const char *p = got; *p; p++) {
        marks += *p == '*';
        lines += *p == '\n';
        cr_assert((*p >= ' ' && *p < 0x7f) || *p == '\n');
    }
    cr_assert_eq(marks, 3);
    cr_assert_eq(lines, 1 + 16 + 2); /* title, rows, axis, numbers; no legend for one series */
    cr_assert_not_null(strstr(got, " labels\n"));
    free(got);
}

Test(curve, names_several_series_and_fits_the_width)
{
    double x[20], y[9][20];
    curve_series s[9];
    for (int k = 0; k < 9; k++) {
        for (int i = 0; i < 20; i++) {
            x[i] = 1000.0 * i;
            y[k][i] = i == 3 ? (double)NAN : 0.1 * k + 0.001 * i;
        }
        s[k] = (curve_series){"a-strategy", x, y[k], 20};
    }
    char *got;
    printed(got, curve_print(f, s, 9, "labels", "accuracy", (terminal){60, true}));
    for (char *line = strtok(got, "\n"); line; line = strtok(NULL, "\n"))
        cr_assert_leq(text_columns(line), 60, "%s", line);
    free(got);
}

Test(curve, copes_with_no_point_one_point_and_flat_lines)
{
    const double x[] = {10, 10, 20}, y[] = {NAN, 1, 1}, zero[] = {0, 0, 0}, huge[] = {-1e300, 0, 1e300};
    char *got;
    printed(got, curve_print(f, &(curve_series){"m", x, y, 1}, 1, "x", "y", (terminal){0, true}));
    cr_assert_str_eq(got, "");
    free(got);
    const curve_series series[] = {
        {"m", x, y, 2}, {"m", x, y, 3}, {"m", zero, zero, 3}, {"m", x, huge, 3}};
    for (int i = 0; i < 4; i++) {
        printed(got, curve_print(f, &series[i], 1, "x", "y", (terminal){0, true}));
        cr_assert_not_null(strstr(got, "●"));
        free(got);
    }
}

/* ---- numbers over runs ---- */

static void near(double got, double want, double tolerance)
{
    cr_assert(fabs(got - want) <= tolerance, "%.9g is not %.9g", got, want);
}

static double aubc_of(const double *x, const double *a, int64_t n)
{
    double xs[8], as[8];
    for (int64_t i = 0; i < n; i++) {
        xs[i] = x[i];
        as[i] = a[i];
    }
    const learning_curve c = {xs, as, n};
    return summary_aubc(&c);
}

Test(summary, area_under_the_curve_weighs_the_last_smaller_step)
{
    const double a[] = {0.5, 0.6, 0.7, 0.75};
    near(aubc_of((double[]){0, 100, 200, 300}, a, 4), 0.641667, 5e-7);
    near(aubc_of((double[]){0, 100, 200, 250}, a, 4), 0.625, 1e-12);
    cr_assert(isnan(aubc_of((double[]){100}, a, 1)));
    cr_assert(isnan(aubc_of(NULL, a, 0)));
}

Test(summary, labelling_efficiency_follows_the_monotone_envelope)
{
    double x[] = {100, 200, 300, 400}, random[] = {0.5, 0.58, 0.64, 0.70},
           better[] = {0.5, 0.64, 0.70, 0.72};
    const learning_curve base = {x, random, 4}, c = {x, better, 4};
    near(summary_efficiency(&base, &c, 0.64), 1.5, 1e-12);
    near(summary_efficiency(&base, &c, 0.70), 400.0 / 300, 1e-12);
    cr_assert(isnan(summary_efficiency(&base, &c, 0.71)), "above the baseline's highest");
    near(summary_labels_at(&base, 0.61), 250, 1e-9);
    near(summary_labels_at(&base, 0.4), 100, 0);
    double dip[] = {0.6, 0.5, 0.7, 0.7};
    const learning_curve dented = {x, dip, 4};
    near(summary_labels_at(&dented, 0.65), 250, 1e-9); /* from the envelope's 0.6, not from the dip */
}

Test(summary, deviation_is_that_of_a_sample)
{
    double mean, deviation;
    summary_mean((double[]){1, NAN, 2, 3, 4}, 5, &mean, &deviation);
    near(mean, 2.5, 1e-15);
    near(deviation, 1.2909944487358056, 1e-15);
    summary_mean((double[]){7}, 1, &mean, &deviation);
    near(mean, 7, 0);
    cr_assert(isnan(deviation));
    summary_mean(NULL, 0, &mean, &deviation);
    cr_assert(isnan(mean) && isnan(deviation));
}

Test(summary, pairs_trials_and_compares_with_the_baseline)
{
    static const double accuracy[4][3] = {{0.5, 0.6, 0.7},
                                          {0.5, 0.6, 0.7},
                                          {0.5, 0.7, 0.8},
                                          {0.5, 0.5, 0.6}}; /* twice random, then margin */
    round_record rounds[4][3];
    stored_run runs[4];
    const stored_run *all[4];
    for (int i = 0; i < 4; i++) {
        for (int k = 0; k < 3; k++)
            rounds[i][k] =
                (round_record){.n_labelled = 100 + 100 * k, .metrics = {.accuracy = accuracy[i][k]}};
        runs[i] = (stored_run){.head = {.id = i + 1,
                                        .strategy = i < 2 ? "random" : "margin",
                                        .trial = i % 2,
                                        .components = i < 2 ? "r" : "m"},
                               .rounds = rounds[i],
                               .n_rounds = 3};
        all[i] = &runs[i];
    }
    char *got;
    printed(got, summary_print(f, all, 4, "random", (terminal){0, false}));
    cr_assert_not_null(strstr(got, "random         2     300  0.7000 +- 0.0000  0.6000 +- 0.0000"),
                       "%s", got);
    cr_assert_not_null(strstr(got, "margin         2     300  0.7000 +- 0.1414  0.6000 +- 0.1061"),
                       "%s", got);
    /* trial 0: both reach 0.7 at 300 and 200 labels; trial 1: both reach 0.6 at 200 and 300 */
    cr_assert_not_null(strstr(got, "1.08 +- 0.59          1/0/1"), "%s", got);
    free(got);
}
