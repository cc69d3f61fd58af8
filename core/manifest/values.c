/* One value: from a node to what its declaration says. */
#include <math.h>
#include <stdlib.h>

#include "manifest/reader.h"
#include "util/text.h"

/* ---- complaints ----------------------------------------------------------------------------- */

void complain(reader *rd, place at, const char *fmt, ...)
{
    rd->errors++;
    if (rd->errors > READER_MAX_ERRORS) {
        diags_error(rd->d, (place){at.file, 0, 0}, "more than %d errors; the others are not shown",
                    READER_MAX_ERRORS);
        return;
    }
    va_list ap;
    va_start(ap, fmt);
    const char *what = arena_vprintf(rd->mem, fmt, ap);
    va_end(ap);
    if (rd->blame)
        diags_error(rd->d, (place){rd->blame->module->path, 0, 0},
                    "%s is faulty: %s; tell the module's author", rd->blame->what, what);
    else
        diags_error(rd->d, at, "%s", what);
}

const char *describe(const reader *rd, const node *n)
{
    int64_t i;
    double x;
    if (n->kind != NODE_SCALAR)
        return n->kind == NODE_LIST ? "a list" : "a mapping";
    if (node_is_null(n))
        return "empty";
    const char *s = shown(rd->mem, n->text, 60);
    if (!n->plain)
        return arena_printf(rd->mem, "quoted text '%s'", s);
    const bool bare = boolean_parse(n->text) >= 0 || number_parse(n->text, &i, &x) != NUMBER_NONE;
    return bare ? s : arena_printf(rd->mem, "text '%s'", s);
}

static bool plain_text(const node *n)
{
    return n->kind == NODE_SCALAR && n->plain && !node_is_null(n);
}

/* "try", for numbers that are nearly right. */
static const char *number_hint(const reader *rd, const node *n, bool whole)
{
    int64_t i;
    double x;
    if (n->kind == NODE_LIST)
        return n->n == 1 ? "; try it without the brackets" : "";
    if (n->kind != NODE_SCALAR)
        return "";
    switch (number_parse(n->text, &i, &x)) {
    case NUMBER_INT:
    case NUMBER_FLOAT:
        if (!n->plain)
            return "; drop the quotes";
        if (whole && x == floor(x) && fabs(x) < 1e15)
            return arena_printf(rd->mem, "; try %.0f", x);
        return whole && fabs(x) > 9e18 ? "; it is too large" : "";
    case NUMBER_TOO_LARGE:
        return "; it is too large";
    case NUMBER_ODD:
        return "; write it in decimal, without '_' and leading zeros";
    case NUMBER_SPECIAL:
        return "; NaN and infinity are no values for a parameter";
    default:
        return "";
    }
}

static void complain_type(reader *rd, const char *label, const node *n, const param_desc *p, bool item,
                          const char *more)
{
    if (node_is_null(n) && !*more)
        more = item ? "" : "; leave the key out for the default";
    complain(rd, n->at, "%s is %s; expected %s%s", label, describe(rd, n),
             expected_text(rd->mem, p, item), more);
}

/* ---- single values -------------------------------------------------------------------------- */

static int64_t with_suffix(const char *s, bool *good)
{
    const size_t n = strlen(s);
    const char *unit = n ? strchr("KMG", s[n - 1]) : NULL;
    char number[32];
    int64_t i, bytes;
    double x;
    *good = false;
    if (!unit || n > sizeof number)
        return 0;
    memcpy(number, s, n - 1);
    number[n - 1] = '\0';
    const int shift = *unit == 'K' ? 10 : *unit == 'M' ? 20 : 30;
    *good = number_parse(number, &i, &x) == NUMBER_INT && dal_size_mul(i, (int64_t)1 << shift, &bytes);
    return *good ? bytes : 0;
}

static bool read_i64(reader *rd, const char *label, const node *n, const param_desc *p, bool item,
                     int64_t *out)
{
    double x;
    bool good = plain_text(n) && number_parse(n->text, out, &x) == NUMBER_INT;
    if (!good && plain_text(n) && strcmp(p->unit, "bytes") == 0)
        *out = with_suffix(n->text, &good);
    if (!good) {
        const char *more = number_hint(rd, n, true);
        if (!*more && strcmp(p->unit, "bytes") == 0)
            more = "; try 512M or 4G";
        complain_type(rd, label, n, p, item, more);
    } else if (!interval_holds(p->domain, (double)*out)) {
        complain_type(rd, label, n, p, item, "");
        good = false;
    }
    return good;
}

static bool read_f64(reader *rd, const char *label, const node *n, const param_desc *p, bool item,
                     double *out)
{
    int64_t i;
    const number_kind kind = plain_text(n) ? number_parse(n->text, &i, out) : NUMBER_NONE;
    const bool number = kind == NUMBER_INT || kind == NUMBER_FLOAT;
    if (number && interval_holds(p->domain, *out))
        return true;
    complain_type(rd, label, n, p, item, number ? "" : number_hint(rd, n, false));
    return false;
}

static bool read_bool(reader *rd, const char *label, const node *n, const param_desc *p, int32_t *out)
{
    static const char *const yes[] = {"yes", "on", "y", "1"}, *const no[] = {"no", "off", "n", "0"};
    const int value = n->kind == NODE_SCALAR ? boolean_parse(n->text) : -1;
    *out = value == 1;
    if (value >= 0 && n->plain)
        return true;
    const char *more = value >= 0 ? "; drop the quotes" : "";
    for (int i = 0; i < 4 && n->kind == NODE_SCALAR && value < 0; i++)
        if (strcasecmp(n->text, yes[i]) == 0 || strcasecmp(n->text, no[i]) == 0)
            more = strcasecmp(n->text, yes[i]) == 0 ? "; did you mean true?" : "; did you mean false?";
    complain_type(rd, label, n, p, false, more);
    return false;
}

/* Any scalar but nothing: a number or truth value is text here. */
static bool read_str(reader *rd, const char *label, const node *n, const param_desc *p, bool item,
                     const char **out)
{
    if (n->kind != NODE_SCALAR || node_is_null(n)) {
        complain_type(rd, label, n, p, item,
                      n->kind != NODE_SCALAR || !*n->text ? "" : "; put it in quotes to mean the word");
        return false;
    }
    if (!*n->text && strcmp(p->domain, "nonempty") == 0) {
        complain_type(rd, label, n, p, item, "");
        return false;
    }
    *out = n->text;
    return true;
}

static bool read_choice(reader *rd, const char *label, const node *n, const param_desc *p,
                        uint32_t *out)
{
    const char *words[64], *word;
    size_t length;
    int n_words = 0;
    for (uint32_t i = 0; (word = choice_word(p->domain, i, &length)); i++) {
        if (n->kind == NODE_SCALAR && strlen(n->text) == length && memcmp(n->text, word, length) == 0) {
            *out = i;
            return true;
        }
        if (n_words < 64)
            words[n_words++] = arena_strn(rd->mem, word, length);
    }
    const char *near = n->kind == NODE_SCALAR ? nearest(n->text, words, n_words) : NULL;
    complain_type(rd, label, n, p, false,
                  near ? arena_printf(rd->mem, "; did you mean '%s'?", near) : "");
    return false;
}

/* ---- values --------------------------------------------------------------------------------- */

/* Item i of a list value, into the arrays read_list made. */
static bool read_item(reader *rd, const char *label, const node *n, const param_desc *p,
                      param_value *out, int64_t i)
{
    union { /* the arrays are const to everybody else */
        const void *given;
        void *ours;
    } array;
    switch (p->type) {
    case DAL_PARAM_I64S:
        array.given = out->i64;
        return read_i64(rd, label, n, p, true, (int64_t *)array.ours + i);
    case DAL_PARAM_F64S:
        array.given = out->f64;
        return read_f64(rd, label, n, p, true, (double *)array.ours + i);
    case DAL_PARAM_STRS:
        array.given = out->str;
        return read_str(rd, label, n, p, true, (const char **)array.ours + i);
    case DAL_PARAM_PATHS:
        array.given = out->str;
        return (((const char **)array.ours)[i] = resolve_path(rd, label, n, p)) != NULL;
    default:
        array.given = out->component;
        ((component_spec **)array.ours)[i] = read_component(rd, label, n, kind_from_name(p->domain));
        return out->component[i] != NULL;
    }
}

static void make_room(reader *rd, const param_desc *p, param_value *out, int n)
{
    const size_t room = (size_t)n + 1;
    if (p->type == DAL_PARAM_I64S)
        out->i64 = arena_alloc(rd->mem, room, sizeof(int64_t));
    else if (p->type == DAL_PARAM_F64S)
        out->f64 = arena_alloc(rd->mem, room, sizeof(double));
    else if (p->type == DAL_PARAM_STRS || p->type == DAL_PARAM_PATHS)
        out->str = arena_alloc(rd->mem, room, sizeof(char *));
    else
        out->component = arena_alloc(rd->mem, room, sizeof(component_spec *));
    out->n = n;
}

static bool read_list(reader *rd, const char *label, const node *n, const param_desc *p,
                      param_value *out)
{
    const bool one_will_do = p->type == DAL_PARAM_COMPONENTS || p->type == DAL_PARAM_PATHS;
    if (p->type == DAL_PARAM_PATHS && n->kind == NODE_SCALAR && !node_is_null(n) && !*n->text && !*p->def) {
        make_room(rd, p, out, 0); /* "": as PATH, none */
        return true;
    }
    if (one_will_do && n->kind != NODE_LIST && !node_is_null(n)) {
        make_room(rd, p, out, 1);
        return read_item(rd, label, n, p, out, 0);
    }
    if (n->kind != NODE_LIST) {
        complain_type(rd, label, n, p, false,
                      plain_text(n) ? arena_printf(rd->mem, "; try [%s]", shown(rd->mem, n->text, 60))
                                    : "");
        return false;
    }
    make_room(rd, p, out, n->n);
    bool good = true;
    for (int i = 0; i < n->n; i++)
        good &= read_item(rd, arena_printf(rd->mem, "%s[%d]", label, i), n->items[i], p, out, i);
    return good;
}

static bool read_single(reader *rd, const char *label, const node *n, const param_desc *p,
                        param_value *out)
{
    int64_t *i64 = arena_alloc(rd->mem, 1, sizeof *i64);
    double *f64 = arena_alloc(rd->mem, 1, sizeof *f64);
    const char **str = arena_alloc(rd->mem, 1, sizeof *str);
    component_spec **component = arena_alloc(rd->mem, 1, sizeof(component_spec *));
    out->n = 1;
    out->i64 = i64;
    out->f64 = f64;
    out->str = str;
    out->component = component;
    switch (p->type) {
    case DAL_PARAM_BOOL:
        return read_bool(rd, label, n, p, &out->boolean);
    case DAL_PARAM_I64:
        return read_i64(rd, label, n, p, false, i64);
    case DAL_PARAM_F64:
        return read_f64(rd, label, n, p, false, f64);
    case DAL_PARAM_STR:
        return read_str(rd, label, n, p, false, str);
    case DAL_PARAM_PATH:
        return (*str = resolve_path(rd, label, n, p)) != NULL;
    case DAL_PARAM_CHOICE:
        return read_choice(rd, label, n, p, &out->choice);
    default:
        *component = read_component(rd, label, n, kind_from_name(p->domain));
        return *component != NULL;
    }
}

bool read_value(reader *rd, const char *label, const node *n, const param_desc *p, param_value *out)
{
    *out = (param_value){.desc = p, .at = n->at};
    const bool good = param_is_list(p->type) ? read_list(rd, label, n, p, out) : read_single(rd, label, n, p, out);
    if (!good && p->type != DAL_PARAM_COMPONENT && p->type != DAL_PARAM_COMPONENTS)
        *out = (param_value){.desc = p, .at = n->at}; /* the checks to come shall not trust it */
    return good;
}
