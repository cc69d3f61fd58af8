#include "report/curve.h"

#include <math.h>
#include <stdlib.h>

#include "util/text.h"

enum { MARKS = 8, DOT = 1, MARK = 2, MOST_COLUMNS = 72, ROWS = 16 };

static const char *const marks_utf8[MARKS] = {"●", "○", "■", "□", "▲", "△", "◆", "◇"};
static const char *const marks_ascii[MARKS] = {"*", "o", "#", "x", "@", "+", "%", "&"};

/* A scale whose ticks are at multiples of step, a round number. */
typedef struct scale {
    double low, high, step;
    int digits; /* after the point, in its labels */
} scale;

static double round_step(double span, int ticks)
{
    const double raw = span / ticks, power = pow(10, floor(log10(raw)));
    const double f = raw / power;
    return power * (f <= 1 ? 1 : f <= 2 ? 2 : f <= 5 ? 5 : 10);
}

static int digits_of(double step)
{
    const double d = -floor(log10(step) + 1e-9);
    return d > 0 ? (int)d : 0;
}

typedef struct canvas {
    int columns;
    unsigned char cell[ROWS][MOST_COLUMNS]; /* 0, DOT or MARK + series */
    scale x, y;
} canvas;

/* The box around all points; false when there are none. */
static bool find_box(const curve_series *s, int n, scale *x, scale *y)
{
    bool any = false;
    for (int k = 0; k < n; k++)
        for (int64_t i = 0; i < s[k].n; i++) {
            const double px = s[k].x[i], py = s[k].y[i];
            if (!isfinite(px) || !isfinite(py))
                continue;
            x->low = any ? fmin(x->low, px) : px;
            x->high = any ? fmax(x->high, px) : px;
            y->low = any ? fmin(y->low, py) : py;
            y->high = any ? fmax(y->high, py) : py;
            any = true;
        }
    return any;
}

static void choose_scales(canvas *c)
{
    if (c->x.high - c->x.low <= 1e-9 * fabs(c->x.high)) { /* one point: give it room on both sides */
        const double room = fmax(1, fabs(c->x.high) / 10);
        c->x.low -= room;
        c->x.high += room;
    }
    c->x.step = fmax(1, round_step(c->x.high - c->x.low, c->columns / 11 > 0 ? c->columns / 11 : 1));
    double span = c->y.high - c->y.low;
    if (span <= 1e-6 * fmax(1, fabs(c->y.high))) {
        span = fmax(1e-3, 0.02 * fabs(c->y.high));
        c->y.low -= span / 2;
        c->y.high += span / 2;
    }
    c->y.step = round_step(span, 7);
    c->y.low = c->y.step * floor(c->y.low / c->y.step + 1e-6);
    c->y.high = c->y.step * ceil(c->y.high / c->y.step - 1e-6);
    c->y.digits = digits_of(c->y.step);
}

static int column_of(const canvas *c, double x)
{
    return (int)lround((x - c->x.low) / (c->x.high - c->x.low) * (c->columns - 1));
}

static int row_of(const canvas *c, double y)
{
    return (int)lround((c->y.high - y) / (c->y.high - c->y.low) * (ROWS - 1));
}

static void draw_line(canvas *c, int x0, int y0, int x1, int y1)
{
    const int steps = abs(x1 - x0) > abs(y1 - y0) ? abs(x1 - x0) : abs(y1 - y0);
    for (int i = 1; i < steps; i++) {
        const int x = (int)lround(x0 + (double)(x1 - x0) * i / steps);
        const int y = (int)lround(y0 + (double)(y1 - y0) * i / steps);
        if (!c->cell[y][x])
            c->cell[y][x] = DOT;
    }
}

static void draw(canvas *c, const curve_series *s, int which)
{
    int last_x = -1, last_y = -1;
    for (int64_t i = 0; i < s->n; i++) {
        if (!isfinite(s->x[i]) || !isfinite(s->y[i]))
            continue;
        const int x = column_of(c, s->x[i]), y = row_of(c, s->y[i]);
        if (last_x >= 0)
            draw_line(c, last_x, last_y, x, y);
        c->cell[y][x] = (unsigned char)(MARK + which % MARKS);
        last_x = x;
        last_y = y;
    }
}

/* The value of the tick in this row; false when it has none. */
static bool tick_in_row(const canvas *c, int row, double *value)
{
    const int ticks = (int)lround((c->y.high - c->y.low) / c->y.step);
    for (int i = 0; i <= ticks; i++) {
        *value = c->y.low + i * c->y.step;
        if (row_of(c, *value) == row)
            return true;
    }
    return false;
}

static int label_width(const canvas *c)
{
    const int low = snprintf(NULL, 0, "%.*f", c->y.digits, c->y.low);
    const int high = snprintf(NULL, 0, "%.*f", c->y.digits, c->y.high);
    return low > high ? low : high;
}

static void print_rows(const canvas *c, FILE *out, bool utf8)
{
    const char *const *marks = utf8 ? marks_utf8 : marks_ascii;
    const int width = label_width(c);
    for (int row = 0; row < ROWS; row++) {
        double value;
        if (tick_in_row(c, row, &value))
            fprintf(out, "%*.*f %s", width, c->y.digits, value, utf8 ? "┤" : "+");
        else
            fprintf(out, "%*s %s", width, "", utf8 ? "│" : "|");
        int end = c->columns;
        while (end > 0 && !c->cell[row][end - 1])
            end--;
        for (int x = 0; x < end; x++) {
            const int what = c->cell[row][x];
            fputs(what == 0 ? " " : what == DOT ? (utf8 ? "·" : ".") : marks[what - MARK], out);
        }
        fputc('\n', out);
    }
}

/* The axis with its ticks and title, and under each tick its number, as far as there is room. */
static void print_axis(const canvas *c, FILE *out, const char *title, bool utf8)
{
    const int width = label_width(c);
    text numbers = {0};
    text_addf(&numbers, "%*s", width + 2, "");
    bool tick[MOST_COLUMNS] = {false};
    for (double v = c->x.step * ceil(c->x.low / c->x.step - 1e-9);
         v <= c->x.high + 1e-9 * fabs(c->x.high); v += c->x.step) {
        char number[32];
        const int n = snprintf(number, sizeof number, "%.0f", v), at = column_of(c, v);
        int start = width + 2 + at - (n - 1) / 2;
        if (at == 0 && start < width + 2)
            start = width + 2;
        if (start < (int)numbers.n + (numbers.n > (size_t)width + 2 ? 2 : 0) &&
            numbers.n > (size_t)width + 2)
            continue;
        tick[at] = true;
        if (start > (int)numbers.n)
            text_addf(&numbers, "%*s", start - (int)numbers.n, "");
        text_add(&numbers, number);
    }
    fprintf(out, "%*s %s", width, "", utf8 ? "└" : "+");
    for (int x = 0; x < c->columns; x++)
        fputs(tick[x] ? (utf8 ? "┴" : "+") : utf8 ? "─" : "-", out);
    char *line = text_take(&numbers);
    fprintf(out, " %s\n%s\n", title, line);
    free(line);
}

static void print_legend(FILE *out, const curve_series *s, int n, int indent, int columns, bool utf8)
{
    int at = 0;
    for (int k = 0; k < n; k++) {
        char *name = text_shown(s[k].name, columns > 8 ? columns - 4 : 4, utf8);
        const int width = text_columns(name) + 2;
        if (at > 0 && at + 3 + width > columns) {
            fputc('\n', out);
            at = 0;
        }
        fprintf(out, "%*s%s %s", at > 0 ? 3 : indent, "", (utf8 ? marks_utf8 : marks_ascii)[k % MARKS],
                name);
        at += width + (at > 0 ? 3 : 0);
        free(name);
    }
    fputc('\n', out);
}

void curve_print(FILE *out, const curve_series *series, int n, const char *x_title, const char *y_title,
                 terminal to)
{
    canvas c = {.columns = MOST_COLUMNS};
    if (!find_box(series, n, &c.x, &c.y))
        return;
    const int margin =
        8 + (int)strlen(x_title) + 1; /* number and tick on the left, title on the right */
    if (to.columns > 0 && to.columns - margin < c.columns)
        c.columns = to.columns - margin > 16 ? to.columns - margin : 16;
    choose_scales(&c);
    for (int k = n - 1; k >= 0; k--) /* the first series lies on top */
        draw(&c, &series[k], k);
    fprintf(out, "%s\n", y_title);
    print_rows(&c, out, to.utf8);
    print_axis(&c, out, x_title, to.utf8);
    if (n > 1)
        print_legend(out, series, n, label_width(&c) + 2, c.columns, to.utf8);
}
