#include "manifest/domain.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "manifest/manifest.h"
#include "util/text.h"

/* ---- numbers -------------------------------------------------------------------------------- */

static size_t digits(const char *s)
{
    return strspn(s, "0123456789");
}

static bool is_special(const char *s)
{
    s += *s == '+' || *s == '-';
    s += *s == '.';
    return strcasecmp(s, "nan") == 0 || strcasecmp(s, "inf") == 0 || strcasecmp(s, "infinity") == 0;
}

/* Length of a well-written decimal number at s, 0: there is none. */
static size_t decimal(const char *s, bool *whole)
{
    const char *p = s + (*s == '+' || *s == '-');
    const size_t before = digits(p);
    p += before;
    *whole = *p != '.';
    const size_t after = *whole ? 0 : digits(p + 1);
    p += *whole ? 0 : 1 + after;
    if (before + after == 0)
        return 0;
    if (*p == 'e' || *p == 'E') {
        const size_t sign = p[1] == '+' || p[1] == '-', power = digits(p + 1 + sign);
        if (power == 0)
            return 0;
        *whole = false;
        p += 1 + sign + power;
    }
    return (size_t)(p - s);
}

/* 0x10, 0b1, 1_000: numbers in some language. */
static bool is_odd(const char *s)
{
    return (s[0] == '0' && s[1] && strchr("xXoObB", s[1])) ||
           (isdigit((unsigned char)s[0]) && strchr(s, '_') && s[strspn(s, "0123456789_.")] == '\0');
}

number_kind number_parse(const char *s, int64_t *i, double *x)
{
    bool whole;
    const size_t n = decimal(s, &whole);
    const char *first = s + (*s == '+' || *s == '-');
    if (is_special(s))
        return NUMBER_SPECIAL;
    if (n == 0 || s[n] != '\0')
        return is_odd(first) ? NUMBER_ODD : NUMBER_NONE;
    if (first[0] == '0' && isdigit((unsigned char)first[1]))
        return NUMBER_ODD;
    *x = strtod(s, NULL);
    if (!isfinite(*x))
        return NUMBER_TOO_LARGE;
    errno = 0;
    const long long value = strtoll(s, NULL, 10);
    if (!whole || errno == ERANGE)
        return NUMBER_FLOAT;
    *i = value;
    return NUMBER_INT;
}

int boolean_parse(const char *s)
{
    static const char *const yes[] = {"true", "True", "TRUE"};
    static const char *const no[] = {"false", "False", "FALSE"};
    for (int k = 0; k < 3; k++) {
        if (strcmp(s, yes[k]) == 0)
            return 1;
        if (strcmp(s, no[k]) == 0)
            return 0;
    }
    return -1;
}

/* ---- domains -------------------------------------------------------------------------------- */

static bool bound(const char *s, size_t n, double *x)
{
    char word[64];
    bool whole;
    if (n >= sizeof word)
        return false;
    memcpy(word, s, n);
    word[n] = '\0';
    if (decimal(word, &whole) != n)
        return false;
    *x = strtod(word, NULL);
    return isfinite(*x);
}

int domain_interval(const char *domain, double *low, int *low_open, double *high, int *high_open)
{
    const char *begin = domain, *end = domain + strlen(domain);
    *low = -HUGE_VAL; /* INFINITY is a float */
    *high = HUGE_VAL;
    *low_open = *high_open = 0;
    if (begin == end)
        return 1;
    if (*begin == '(' || *begin == '[')
        *low_open = *begin++ == '(';
    if (end > begin && (end[-1] == ')' || end[-1] == ']'))
        *high_open = *--end == ')';
    const char *dots = strstr(begin, "..");
    if (!dots || dots + 2 > end || (dots == begin && dots + 2 == end))
        return 0;
    if (dots > begin && !bound(begin, (size_t)(dots - begin), low))
        return 0;
    if (end > dots + 2 && !bound(dots + 2, (size_t)(end - dots - 2), high))
        return 0;
    return *low <= *high;
}

bool interval_holds(const char *domain, double x)
{
    double low, high;
    int low_open, high_open;
    if (!domain_interval(domain, &low, &low_open, &high, &high_open))
        return false;
    return (low_open ? x > low : x >= low) && (high_open ? x < high : x <= high);
}

/* "in 1..1000", "above 0", "at least 1", "below 5"; "" without bounds. */
static void say_interval(const char *domain, char out[96])
{
    double low, high;
    int low_open, high_open;
    if (!domain_interval(domain, &low, &low_open, &high, &high_open) || (isinf(low) && isinf(high)))
        out[0] = '\0';
    else if (isinf(high))
        snprintf(out, 96, low_open ? " above %.10g" : " of at least %.10g", low);
    else if (isinf(low))
        snprintf(out, 96, high_open ? " below %.10g" : " of at most %.10g", high);
    else
        snprintf(out, 96, " in %.80s", domain);
}

const char *domain_check_f64(const char *domain, double x, char out[96])
{
    if (interval_holds(domain, x))
        return NULL;
    char where[96];
    say_interval(domain, where);
    snprintf(out, 96, "a number%.80s", where);
    return out;
}

const char *choice_word(const char *domain, uint32_t i, size_t *n)
{
    for (const char *p = domain;; p++) {
        *n = strcspn(p, "|");
        if (i-- == 0)
            return *n ? p : NULL;
        p += *n;
        if (!*p)
            return NULL;
    }
}

bool param_is_list(uint32_t type)
{
    return type == DAL_PARAM_I64S || type == DAL_PARAM_F64S || type == DAL_PARAM_STRS || type == DAL_PARAM_COMPONENTS ||
           type == DAL_PARAM_PATHS;
}

bool param_is_path(uint32_t type)
{
    return type == DAL_PARAM_PATH || type == DAL_PARAM_PATHS;
}

bool domain_well_formed(const param_desc *p)
{
    double low, high;
    int low_open, high_open;
    const size_t length = strlen(p->domain);
    switch (p->type) {
    case DAL_PARAM_I64:
    case DAL_PARAM_F64:
    case DAL_PARAM_I64S:
    case DAL_PARAM_F64S:
        return domain_interval(p->domain, &low, &low_open, &high, &high_open);
    case DAL_PARAM_CHOICE:
        return length > 0 && p->domain[0] != '|' && p->domain[length - 1] != '|' &&
               !strstr(p->domain, "||");
    case DAL_PARAM_PATH:
    case DAL_PARAM_PATHS:
        return !*p->domain || strcmp(p->domain, "file") == 0 || strcmp(p->domain, "directory") == 0 ||
               strcmp(p->domain, "file or directory") == 0;
    case DAL_PARAM_STR:
    case DAL_PARAM_STRS:
        return !*p->domain || strcmp(p->domain, "nonempty") == 0;
    case DAL_PARAM_COMPONENT:
    case DAL_PARAM_COMPONENTS:
        return kind_from_name(p->domain) != 0;
    default:
        return !*p->domain;
    }
}

/* ---- what was expected ---------------------------------------------------------------------- */

const char *with_article(arena *mem, const char *noun)
{
    return arena_printf(mem, "%s %s", strchr("aeio", *noun) ? "an" : "a", noun);
}

static const char *choice_list(arena *mem, const char *domain)
{
    text t = {0};
    const char *word;
    size_t n;
    for (uint32_t i = 0; (word = choice_word(domain, i, &n)); i++)
        text_addf(&t, "%s%.*s", i ? ", " : "one of ", (int)n, word);
    const char *list = arena_printf(mem, "%s", t.s ? t.s : "");
    text_free(&t);
    return list;
}

static const char *number_text(arena *mem, const param_desc *p, const char *noun)
{
    char where[96];
    say_interval(p->domain, where);
    return *p->unit ? arena_printf(mem, "%s%s (%s)", noun, where, p->unit)
                    : arena_printf(mem, "%s%s", noun, where);
}

const char *expected_text(arena *mem, const param_desc *p, bool item)
{
    const bool full = *p->domain != '\0';
    switch (p->type) {
    case DAL_PARAM_BOOL:
        return "true or false";
    case DAL_PARAM_I64:
        return number_text(mem, p, "a whole number");
    case DAL_PARAM_F64:
        return number_text(mem, p, "a number");
    case DAL_PARAM_STR:
        return full ? "text that is not empty" : "text";
    case DAL_PARAM_PATH:
        return full ? arena_printf(mem, "the path of a %s", p->domain) : "a path";
    case DAL_PARAM_PATHS:
        return arena_printf(mem, "the path of a %s%s", full ? p->domain : "file or directory",
                            item ? "" : ", or a list of them");
    case DAL_PARAM_CHOICE:
        return choice_list(mem, p->domain);
    case DAL_PARAM_I64S:
        return number_text(mem, p, item ? "a whole number" : "a list of whole numbers");
    case DAL_PARAM_F64S:
        return number_text(mem, p, item ? "a number" : "a list of numbers");
    case DAL_PARAM_STRS:
        return arena_printf(mem, "%s%s", item ? "text" : "a list of texts",
                            !full  ? ""
                            : item ? " that is not empty"
                                   : " that are not empty");
    case DAL_PARAM_COMPONENT:
        return arena_printf(mem, "%s (its id, or a mapping with 'use')", with_article(mem, p->domain));
    case DAL_PARAM_COMPONENTS:
        return arena_printf(mem, "%s%s (its id, or a mapping with 'use')", with_article(mem, p->domain),
                            item ? "" : " or a list of them");
    default:
        return "a value";
    }
}
