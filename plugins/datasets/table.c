#include "table.h"

#include <dal/text.h>
#include <float.h>
#include <math.h>
#include <strings.h>

#define LISTED 12 /* columns or texts listed in a message */
#ifndef TABLE_MAX_BYTES
#define TABLE_MAX_BYTES ((int64_t)1 << 37)
#endif

static dal_status no_memory(dal_error *err)
{
    return dal_fail(err, DAL_E_NOMEM, "", "no memory for the table");
}

const char *table_shown(const dal_csv_field *f, char out[48])
{
    const int64_t n = dal_csv_text(f, out, 40);
    for (char *p = out; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = '?';
    return n >= 40 ? strcat(out, "...") : out;
}

/* "column 3 ('age')" */
static const char *column_name(const table *t, int64_t j, char out[96])
{
    char text[48];
    if (t->names)
        snprintf(out, 96, "column %lld ('%s')", (long long)j, table_shown(&t->names[j], text));
    else
        snprintf(out, 96, "column %lld", (long long)j);
    return out;
}

/* ---- columns ---------------------------------------------------------------------------------- */

static dal_status no_column(const table *t, const char *key, const char *name, dal_error *err)
{
    char list[700] = "", one[48];
    size_t at = 0;
    if (!t->names)
        return dal_fail(err, DAL_E_INVALID, key, "no column '%.60s': %s has no header, expected a number -%lld..%lld",
                        name, t->files[0].path, (long long)t->width, (long long)t->width - 1);
    for (int64_t j = 0; j < t->width && j < LISTED; j++)
        at += (size_t)snprintf(list + at, sizeof list - at, "%s%s", j ? ", " : "", table_shown(&t->names[j], one));
    if (t->width > LISTED)
        snprintf(list + at, sizeof list - at, " and %lld more", (long long)t->width - LISTED);
    return dal_fail(err, DAL_E_INVALID, key, "no column '%.60s' in %.200s; it has %s", name, t->files[0].path, list);
}

/* A column by its name, else by its number, from the end when negative. */
static dal_status find_column(const table *t, const char *key, const char *name, int64_t *column, dal_error *err)
{
    const dal_csv_field as_field = {.text = name, .size = (int64_t)strlen(name)};
    char text[256];
    int64_t found = -1;
    for (int64_t j = 0; t->names && j < t->width; j++) {
        if (dal_csv_text(&t->names[j], text, sizeof text) >= (int64_t)sizeof text || strcmp(text, name) != 0)
            continue;
        if (found >= 0)
            return dal_fail(err, DAL_E_INVALID, key, "columns %lld and %lld are both named '%.60s'; give a number",
                            (long long)found, (long long)j, name);
        found = j;
    }
    if (found < 0 && dal_csv_integer(&as_field, &found))
        found += found < 0 ? t->width : 0;
    if (found < 0 || found >= t->width)
        return no_column(t, key, name, err);
    *column = found;
    return DAL_OK;
}

/* The columns of a list become `kind`. */
static dal_status mark_columns(table *t, const char *key, const dal_str_list *list, int kind, dal_error *err)
{
    int64_t j;
    for (int64_t i = 0; i < list->n; i++) {
        const dal_status st = find_column(t, key, list->items[i], &j, err);
        if (st != DAL_OK)
            return st;
        if (j == t->label)
            return dal_fail(err, DAL_E_INVALID, key, "column '%.60s' is the label", list->items[i]);
        if (j == t->group)
            return dal_fail(err, DAL_E_INVALID, key, "column '%.60s' is the source", list->items[i]);
        if (kind == TABLE_WORDS && t->columns[j].kind == TABLE_DROPPED)
            return dal_fail(err, DAL_E_INVALID, key, "column '%.60s' is left out by drop", list->items[i]);
        t->columns[j].kind = kind;
        t->columns[j].asked = 1;
    }
    return DAL_OK;
}

/* The columns of classes and of sources, where there are any. */
static dal_status find_special(table *t, dal_error *err)
{
    const table_rule *r = &t->rule;
    dal_status st = r->label[0] ? find_column(t, "label", r->label, &t->label, err) : DAL_OK;
    if (st == DAL_OK && t->label >= 0)
        t->columns[t->label].kind = TABLE_CLASSES;
    if (st == DAL_OK && r->group && r->group[0])
        st = find_column(t, "group", r->group, &t->group, err);
    if (st == DAL_OK && t->group >= 0 && t->group == t->label)
        return dal_fail(err, DAL_E_INVALID, "group", "column '%.60s' is the label", r->group);
    if (st == DAL_OK && t->group >= 0)
        t->columns[t->group].kind = TABLE_GROUPS;
    return st;
}

dal_status table_columns(table *t, const dal_csv_field *names, int64_t width, dal_error *err)
{
    const table_rule *r = &t->rule;
    int64_t left = 0;
    dal_status st = DAL_OK;
    t->names = names;
    t->width = width;
    t->label = t->group = -1;
    t->columns = dal_array(t->host, width, sizeof *t->columns);
    if (!t->columns)
        return no_memory(err);
    memset(t->columns, 0, (size_t)width * sizeof *t->columns);
    st = find_special(t, err);
    if (st == DAL_OK)
        st = mark_columns(t, "drop", &r->drop, TABLE_DROPPED, err);
    if (st == DAL_OK)
        st = mark_columns(t, "one_hot", &r->one_hot, TABLE_WORDS, err);
    for (int64_t j = 0; j < width; j++)
        left += t->columns[j].kind == TABLE_NUMBERS || t->columns[j].kind == TABLE_WORDS;
    if (st == DAL_OK && left == 0)
        st = dal_fail(err, DAL_E_INVALID, "path", "%s: no columns of values are left of %lld", t->files[0].path,
                      (long long)width);
    if (st == DAL_OK && r->indicator && r->missing == TABLE_ERROR)
        st = dal_fail(err, DAL_E_INVALID, "indicator",
                      "missing values are errors: say with missing what else they become");
    if (st == DAL_OK && r->fill != 0 && r->missing != TABLE_CONSTANT)
        st = dal_fail(err, DAL_E_INVALID, "fill", "this number is filled in with missing: constant alone");
    return st;
}

/* ---- texts ------------------------------------------------------------------------------------ */

static int is_one_of(const dal_csv_field *f, const dal_str_list *list, int any_case)
{
    char text[64];
    if (f->size == 0)
        return 1;
    if (f->size >= (int64_t)sizeof text)
        return 0;
    dal_csv_text(f, text, sizeof text);
    for (int64_t i = 0; i < list->n; i++)
        if ((any_case ? strcasecmp(text, list->items[i]) : strcmp(text, list->items[i])) == 0)
            return 1;
    return 0;
}

static int is_number(const table *t, const dal_csv_field *f, double *x)
{
    return dal_csv_decimal(f, t->decimal ? t->decimal : '.', x) && fabs(*x) <= (double)FLT_MAX;
}

/* A field as a text that can be a name. */
static dal_status take_text(const table *t, int file, const dal_csv_field *f, const char *what, char out[WORDS_LONGEST],
                            dal_error *err)
{
    const table_file *in = &t->files[file];
    const int64_t n = dal_csv_text(f, out, WORDS_LONGEST);
    if (n >= WORDS_LONGEST)
        return dal_fail(err, DAL_E_FORMAT, in->key, "%s:%lld:%lld: %s of %lld bytes, expected fewer than %d", in->path,
                        (long long)f->line, (long long)f->column, what, (long long)n, WORDS_LONGEST);
    if (dal_utf8_fault(out, n) >= 0)
        return dal_fail(err, DAL_E_FORMAT, in->key, "%s:%lld:%lld: %s that is no UTF-8", in->path, (long long)f->line,
                        (long long)f->column, what);
    for (int64_t i = 0; i < n; i++)
        if ((unsigned char)out[i] < 0x20)
            return dal_fail(err, DAL_E_FORMAT, in->key, "%s:%lld:%lld: %s with the control character 0x%02x", in->path,
                            (long long)f->line, (long long)f->column, what, (unsigned)out[i]);
    return DAL_OK;
}

/* A text that the file has not told: what there is. */
static dal_status undeclared(const table *t, int file, const dal_csv_field *f, int64_t j, const word_list *known,
                             dal_error *err)
{
    const table_file *in = &t->files[file];
    char list[500] = "", text[48], name[96];
    size_t at = 0;
    for (int64_t i = 0; i < known->n && i < LISTED; i++)
        at += (size_t)snprintf(list + at, sizeof list - at, "%s%.30s", i ? ", " : "", known->texts[i]);
    return dal_fail(err, DAL_E_FORMAT, in->key, "%s:%lld:%lld: found '%s' in %s, expected one of %s%s", in->path,
                    (long long)f->line, (long long)f->column, table_shown(f, text), column_name(t, j, name), list,
                    known->n > LISTED ? ", ..." : "");
}

/* The number of a class; a new one unless the file has told them all. */
static dal_status take_class(table *t, int file, const dal_csv_field *f, int32_t *cls, dal_error *err)
{
    const table_file *in = &t->files[file];
    char text[WORDS_LONGEST];
    *cls = DAL_LABEL_NONE;
    if (is_one_of(f, &t->rule.no_label, 0))
        return DAL_OK;
    dal_status st = take_text(t, file, f, "a class name", text, err);
    if (st != DAL_OK)
        return st;
    *cls = words_find(&t->class_names, text);
    if (*cls >= 0)
        return DAL_OK;
    if (t->columns[t->label].declared)
        return undeclared(t, file, f, t->label, &t->class_names, err);
    if (t->class_names.n == TABLE_MAX_CLASSES)
        return dal_fail(err, DAL_E_FORMAT, in->key, "%s:%lld:%lld: more than %d classes; is this the right column?",
                        in->path, (long long)f->line, (long long)f->column, TABLE_MAX_CLASSES);
    return words_add(t->host, &t->class_names, text, cls, err);
}

/* The number of a source. */
static dal_status take_group(table *t, int file, const dal_csv_field *f, int32_t *group, dal_error *err)
{
    const table_file *in = &t->files[file];
    char text[WORDS_LONGEST];
    *group = DAL_GROUP_NONE;
    if (is_one_of(f, &t->rule.markers, 1))
        return DAL_OK;
    const dal_status st = take_text(t, file, f, "the name of a source", text, err);
    if (st != DAL_OK)
        return st;
    *group = words_find(&t->group_names, text);
    if (*group >= 0)
        return DAL_OK;
    if (t->group_names.n == TABLE_MAX_GROUPS)
        return dal_fail(err, DAL_E_FORMAT, in->key, "%s:%lld:%lld: more than %d sources; is this the right column?",
                        in->path, (long long)f->line, (long long)f->column, TABLE_MAX_GROUPS);
    return words_add(t->host, &t->group_names, text, group, err);
}

/* ---- the first look --------------------------------------------------------------------------- */

static int wants_look(const table *t)
{
    return t->rule.words != TABLE_REFUSE || t->rule.one_hot.n > 0 || t->rule.indicator;
}

static dal_status look_at_text(table *t, int file, table_column *c, const dal_csv_field *f, dal_error *err)
{
    char text[WORDS_LONGEST];
    int32_t number;
    if (!c->asked && t->rule.words == TABLE_DROP)
        return DAL_OK;
    if (c->values.n > t->rule.max_values) {
        c->many = 1;
        return DAL_OK;
    }
    const dal_status st = take_text(t, file, f, "a text", text, err);
    return st == DAL_OK ? words_add(t->host, &c->values, text, &number, err) : st;
}

dal_status table_look(table *t, int file, const dal_csv_field *fields, dal_error *err)
{
    double x;
    dal_status st = DAL_OK;
    t->files[file].n++;
    for (int64_t j = 0; j < t->width && st == DAL_OK && wants_look(t); j++) {
        table_column *c = &t->columns[j];
        const dal_csv_field *f = &fields[j];
        if (c->kind == TABLE_CLASSES || c->kind == TABLE_GROUPS || c->kind == TABLE_DROPPED ||
            (c->declared && !t->rule.indicator))
            continue;
        if (is_one_of(f, &t->rule.markers, 1)) {
            c->holes = 1;
            continue;
        }
        if (c->declared)
            continue;
        if (!c->odd[0] && (c->asked || !is_number(t, f, &x))) {
            table_shown(f, c->odd);
            c->odd_line = f->line;
            c->odd_column = f->column;
            c->odd_file = file;
        }
        if (c->kind == TABLE_WORDS || t->rule.words == TABLE_ONE_HOT)
            st = look_at_text(t, file, c, f, err);
    }
    return st;
}

/* What a column is, now that all of it was seen. */
static dal_status settle_column(table *t, int64_t j, dal_error *err)
{
    table_column *c = &t->columns[j];
    const table_file *in = &t->files[c->odd_file];
    char name[96];
    if (c->kind == TABLE_NUMBERS && c->odd[0] && t->rule.words != TABLE_REFUSE)
        c->kind = t->rule.words == TABLE_DROP ? TABLE_DROPPED : TABLE_WORDS;
    if (c->kind != TABLE_WORDS || c->declared) {
        /* texts of a group may be in use: those that a file tells */
        if (c->kind != TABLE_WORDS && c->kind != TABLE_GROUPS)
            words_free(t->host, &c->values);
        return DAL_OK;
    }
    if (c->many || c->values.n > t->rule.max_values)
        return dal_fail(err, DAL_E_FORMAT, in->key,
                        "%s:%lld:%lld: %s has texts ('%s' is the first) and more than %lld different ones, too many "
                        "for one-hot; drop the column or raise max_values",
                        in->path, (long long)c->odd_line, (long long)c->odd_column, column_name(t, j, name), c->odd,
                        (long long)t->rule.max_values);
    return words_sort(t->host, &c->values, NULL, err);
}

static void tell_column(const table *t, int64_t j)
{
    const table_column *c = &t->columns[j];
    char list[700] = "", name[96];
    size_t at = 0;
    if (c->kind == TABLE_DROPPED && !c->asked)
        dal_logf(t->host, DAL_LOG_INFO, "%s: %s has texts that are no numbers and is left out", t->files[0].path,
                 column_name(t, j, name));
    if (c->kind != TABLE_WORDS)
        return;
    for (int64_t i = 0; i < c->values.n && at + 64 < sizeof list; i++)
        at += (size_t)snprintf(list + at, sizeof list - at, "%s%.40s", i ? ", " : "", c->values.texts[i]);
    dal_logf(t->host, DAL_LOG_INFO, "%s: %s is one-hot: values %lld..%lld are %s", t->files[0].path,
             column_name(t, j, name), (long long)c->at, (long long)(c->at + c->values.n - 1), list);
}

/* Where the values of each column are among those of a sample. */
static dal_status settle_width(table *t, dal_error *err)
{
    for (int64_t j = 0; j < t->width; j++) {
        table_column *c = &t->columns[j];
        const dal_status st = settle_column(t, j, err);
        if (st != DAL_OK)
            return st;
        c->at = t->d;
        c->marker = -1;
        if (c->kind == TABLE_NUMBERS || c->kind == TABLE_WORDS)
            t->d += c->kind == TABLE_WORDS ? c->values.n : 1;
        tell_column(t, j);
    }
    for (int64_t j = 0; j < t->width; j++) {
        table_column *c = &t->columns[j];
        if (t->rule.indicator && c->holes && (c->kind == TABLE_NUMBERS || c->kind == TABLE_WORDS))
            c->marker = t->d++;
    }
    if (t->d == 0)
        return dal_fail(err, DAL_E_INVALID, "path", "%s: no columns of values are left of %lld", t->files[0].path,
                        (long long)t->width);
    return DAL_OK;
}

dal_status table_shape(table *t, dal_error *err)
{
    int64_t bytes;
    void *x = NULL;
    dal_status st = settle_width(t, err);
    if (st != DAL_OK)
        return st;
    t->n_rows = t->files[0].n + t->files[1].n;
    t->classes = dal_array(t->host, t->n_rows, sizeof *t->classes);
    t->lines = dal_array(t->host, t->n_rows, sizeof *t->lines);
    if (t->group >= 0)
        t->groups = dal_array(t->host, t->n_rows, sizeof *t->groups);
    if (!t->classes || !t->lines || (t->group >= 0 && !t->groups))
        return no_memory(err);
    if (!dal_size_mul(t->n_rows, t->d, &bytes) || !dal_size_mul(bytes, sizeof(float), &bytes) ||
        bytes > TABLE_MAX_BYTES)
        return dal_fail(err, DAL_E_OVERFLOW, "path",
                        "%s: %lld rows of %lld values are too many, expected at most %lld bytes", t->files[0].path,
                        (long long)t->n_rows, (long long)t->d, (long long)TABLE_MAX_BYTES);
    st = t->host->temp_map(t->host, (size_t)bytes, &x, err);
    if (st == DAL_OK) {
        t->x = x;
        t->x_bytes = (size_t)bytes;
    }
    return st;
}

/* ---- values ----------------------------------------------------------------------------------- */

static dal_status no_number(const table *t, int file, const dal_csv_field *f, int64_t j, dal_error *err)
{
    const table_file *in = &t->files[file];
    char text[48], name[96];
    double x;
    const char *mend = t->decimal != ',' && dal_csv_decimal(f, ',', &x)
                           ? "decimal: comma reads it as one (of a csv)"
                           : "columns may be left out with drop, or made one-hot";
    return dal_fail(err, DAL_E_FORMAT, in->key, "%s:%lld:%lld: found '%s' in %s, expected a number that fits f32; %s",
                    in->path, (long long)f->line, (long long)f->column, table_shown(f, text), column_name(t, j, name),
                    mend);
}

/* Fill `row` with what one field is; NaN stands for a missing number until the splits are known. */
static dal_status take_value(const table *t, int file, const dal_csv_field *f, int64_t j, float *row, dal_error *err)
{
    const table_file *in = &t->files[file];
    const table_column *c = &t->columns[j];
    const int missing = is_one_of(f, &t->rule.markers, 1);
    char text[WORDS_LONGEST];
    double x;
    if (missing && t->rule.missing == TABLE_ERROR)
        return dal_fail(err, DAL_E_FORMAT, in->key,
                        "%s:%lld:%lld: a missing value ('%s'), expected %s; missing: mean, median or zero would fill "
                        "it in, keep leaves it to the model", in->path, (long long)f->line, (long long)f->column,
                        table_shown(f, text), c->kind == TABLE_WORDS ? "a text" : "a number");
    if (c->marker >= 0)
        row[c->marker] = (float)missing;
    if (c->kind == TABLE_NUMBERS) {
        if (!missing && !is_number(t, f, &x))
            return no_number(t, file, f, j, err);
        row[c->at] = missing ? NAN : (float)x;
        return DAL_OK;
    }
    memset(row + c->at, 0, (size_t)c->values.n * sizeof *row);
    if (missing)
        return DAL_OK;
    const dal_status st = take_text(t, file, f, "a text", text, err);
    const int32_t k = st == DAL_OK ? words_find(&c->values, text) : -1;
    if (st == DAL_OK && k < 0)
        return undeclared(t, file, f, j, &c->values, err);
    if (st == DAL_OK)
        row[c->at + k] = 1;
    return st;
}

dal_status table_fill(table *t, int file, const dal_csv_field *fields, dal_error *err)
{
    table_file *in = &t->files[file];
    const int64_t row = (file ? t->files[0].n : 0) + in->filled;
    if (in->filled++ >= in->n)
        return dal_fail(err, DAL_E_IO, in->key, "%s: the file changed while it was read", in->path);
    t->lines[row] = fields[0].line;
    t->classes[row] = DAL_LABEL_NONE;
    dal_status st = DAL_OK;
    for (int64_t j = 0; j < t->width && st == DAL_OK; j++) {
        const int kind = t->columns[j].kind;
        if (kind == TABLE_CLASSES)
            st = take_class(t, file, &fields[j], &t->classes[row], err);
        else if (kind == TABLE_GROUPS)
            st = take_group(t, file, &fields[j], &t->groups[row], err);
        else if (kind != TABLE_DROPPED)
            st = take_value(t, file, &fields[j], j, t->x + row * t->d, err);
    }
    return st;
}
