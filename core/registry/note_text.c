#include "registry/note_text.h"

#include <ctype.h>
#include <stdlib.h>

#include "registry/note.h"
#include "util/text.h"

#define MAX_NAME 64
#define MAX_FIELDS 16

typedef struct parser {
    note_info *out;
    dal_error *err;
    int line;
    bool abi, done;
    component_desc *current; /* NULL before the first component and inside one that is passed over */
    bool in_components;
    text skipped;
} parser;

typedef struct fields {
    char *f[MAX_FIELDS];
    int n;
} fields;

DAL_PRINTF(2, 3)
static dal_status bad(const parser *p, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char what[512];
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    return dal_fail(p->err, DAL_E_FORMAT, "", "malformed note, line %d: %s", p->line, what);
}

/* ---- words ---- */

static bool made_of(const char *s, const char *extra)
{
    const size_t n = strlen(s);
    for (size_t i = 0; i < n; i++)
        if (!(s[i] >= 'a' && s[i] <= 'z') && !(s[i] >= '0' && s[i] <= '9') && !strchr(extra, s[i]))
            return false;
    return n > 0 && n <= MAX_NAME;
}

bool note_module_name_ok(const char *s)
{
    return made_of(s, "_");
}

bool note_component_id_ok(const char *s)
{
    return made_of(s, "-");
}

/* A C identifier, since it names a member of the options struct. */
static bool param_name_ok(const char *s)
{
    if (!isalpha((unsigned char)*s) && *s != '_')
        return false;
    size_t n = 1;
    while (s[n] && (isalnum((unsigned char)s[n]) || s[n] == '_'))
        n++;
    return s[n] == '\0' && n <= MAX_NAME;
}

static const struct {
    uint32_t value;
    const char *name;
} kinds[] = {
    {DAL_KIND_DATASET, DAL_KIND_NAME_DATASET}, {DAL_KIND_TRANSFORM, DAL_KIND_NAME_TRANSFORM},
    {DAL_KIND_MODEL, DAL_KIND_NAME_MODEL},     {DAL_KIND_STRATEGY, DAL_KIND_NAME_STRATEGY},
    {DAL_KIND_ORACLE, DAL_KIND_NAME_ORACLE},
}, types[] = {
    {DAL_PARAM_BOOL, "BOOL"}, {DAL_PARAM_I64, "I64"},       {DAL_PARAM_F64, "F64"},
    {DAL_PARAM_STR, "STR"},   {DAL_PARAM_PATH, "PATH"},     {DAL_PARAM_CHOICE, "CHOICE"},
    {DAL_PARAM_I64S, "I64S"}, {DAL_PARAM_F64S, "F64S"},     {DAL_PARAM_STRS, "STRS"},
    {DAL_PARAM_COMPONENT, "COMPONENT"}, {DAL_PARAM_COMPONENTS, "COMPONENTS"},
    {DAL_PARAM_PATHS, "PATHS"},
};
#define COUNT(a) (sizeof(a) / sizeof *(a))

const char *kind_name(uint32_t kind)
{
    for (size_t i = 0; i < COUNT(kinds); i++)
        if (kinds[i].value == kind)
            return kinds[i].name;
    return "component";
}

uint32_t kind_from_name(const char *name)
{
    for (size_t i = 0; i < COUNT(kinds); i++)
        if (strcmp(kinds[i].name, name) == 0)
            return kinds[i].value;
    return 0;
}

const char *param_type_name(uint32_t type)
{
    for (size_t i = 0; i < COUNT(types); i++)
        if (types[i].value == type)
            return types[i].name;
    return "?";
}

static uint32_t type_from_name(const char *name)
{
    for (size_t i = 0; i < COUNT(types); i++)
        if (strcmp(types[i].name, name) == 0)
            return types[i].value;
    return 0;
}

/* ---- lines ---- */

/* Text that goes to terminals and messages: UTF-8, no control characters but our separators. */
static dal_status check_characters(parser *p, const char *s)
{
    size_t bad_at = 0;
    p->line = 1;
    if (!utf8_valid(s, strlen(s), &bad_at))
        return bad(p, "not UTF-8 (byte %zu of the note)", bad_at);
    for (; *s; s++) {
        const unsigned char c = (unsigned char)*s, next = (unsigned char)s[1];
        if ((c < 0x20 && c != '\t' && c != '\n') || c == 0x7f || (c == 0xc2 && next >= 0x80 && next < 0xa0))
            return bad(p, "a control character");
        p->line += c == '\n';
    }
    return DAL_OK;
}

static fields split(char *line)
{
    fields x = {.n = 0};
    for (char *s = line; s && x.n < MAX_FIELDS;) {
        x.f[x.n++] = s;
        s = strchr(s, '\t');
        if (s)
            *s++ = '\0';
    }
    return x;
}

static dal_status version_number(const parser *p, const char *s, int *out)
{
    char *end;
    const long x = isdigit((unsigned char)*s) ? strtol(s, &end, 10) : -1;
    if (x < 0 || x > UINT16_MAX || *end)
        return bad(p, "an ABI version of '%.32s'; expected two numbers", s);
    *out = (int)x;
    return DAL_OK;
}

static dal_status parse_abi(parser *p, const fields *x)
{
    if (p->abi)
        return bad(p, "a second 'abi' line");
    p->abi = true;
    const dal_status st = version_number(p, x->f[1], &p->out->abi_major);
    return st ? st : version_number(p, x->f[2], &p->out->abi_minor);
}

static dal_status set_once(const parser *p, const char **slot, const char *key, const char *value)
{
    if (*slot)
        return bad(p, "a second '%s' line", key);
    *slot = value;
    return DAL_OK;
}

static dal_status parse_module(parser *p, const fields *x)
{
    if (p->in_components)
        return bad(p, "'%.32s' after the first component", x->f[0]);
    if (strcmp(x->f[0], "module") == 0) {
        if (!note_module_name_ok(x->f[1]))
            return bad(p, "the module name '%.64s'; expected [a-z0-9_]+", x->f[1]);
        return set_once(p, &p->out->module, "module", x->f[1]);
    }
    if (strcmp(x->f[0], "version") == 0)
        return set_once(p, &p->out->version, "version", x->f[1]);
    return set_once(p, &p->out->licence, "licence", x->f[1]);
}

static dal_status finish_component(const parser *p)
{
    const component_desc *c = p->current;
    if (c && (!c->summary || !c->reference || !c->needs || !c->provides))
        return bad(p, "component '%s' lacks its summary, reference, needs or provides line", c->id);
    return DAL_OK;
}

static dal_status parse_component(parser *p, const fields *x)
{
    note_info *out = p->out;
    const dal_status st = finish_component(p);
    if (st)
        return st;
    p->in_components = true;
    p->current = NULL;
    const uint32_t kind = kind_from_name(x->f[1]);
    if (!note_component_id_ok(x->f[2]))
        return bad(p, "the component id '%.64s'; expected [a-z0-9-]+", x->f[2]);
    if (kind == 0) {
        text_addf(&p->skipped, "%scomponent '%s' is of an unknown kind ('%.32s')", p->skipped.n ? "; " : "",
                  x->f[2], x->f[1]);
        return DAL_OK;
    }
    for (int i = 0; i < out->n_components; i++)
        if (out->components[i].kind == kind && strcmp(out->components[i].id, x->f[2]) == 0)
            return bad(p, "a second %s '%s'", x->f[1], x->f[2]);
    if (out->n_components == NOTE_MAX_COMPONENTS)
        return bad(p, "more than %d components", NOTE_MAX_COMPONENTS);
    out->components = xrealloc(out->components, (size_t)(out->n_components + 1) * sizeof *out->components);
    p->current = &out->components[out->n_components++];
    *p->current = (component_desc){.kind = kind, .id = x->f[2], .formula = "", .differs = ""};
    return DAL_OK;
}

static dal_status parse_about(parser *p, const fields *x)
{
    if (!p->in_components)
        return bad(p, "'%.32s' before the first component", x->f[0]);
    component_desc *c = p->current;
    if (!c)
        return DAL_OK;
    const char **slot = strcmp(x->f[0], "summary") == 0     ? &c->summary
                        : strcmp(x->f[0], "reference") == 0 ? &c->reference
                        : strcmp(x->f[0], "needs") == 0     ? &c->needs
                                                            : &c->provides;
    return set_once(p, slot, x->f[0], x->f[1]);
}

static dal_status parse_param(parser *p, const fields *x)
{
    if (!p->in_components)
        return bad(p, "'param' before the first component");
    component_desc *c = p->current;
    if (!c)
        return DAL_OK;
    if (!param_name_ok(x->f[1]))
        return bad(p, "the parameter name '%.64s'; expected a C identifier", x->f[1]);
    for (int i = 0; i < c->n_params; i++)
        if (strcmp(c->params[i].name, x->f[1]) == 0)
            return bad(p, "a second parameter '%s'", x->f[1]);
    if (c->n_params == NOTE_MAX_PARAMS)
        return bad(p, "more than %d parameters", NOTE_MAX_PARAMS);
    const param_desc d = {x->f[1], type_from_name(x->f[2]), x->f[3], x->f[4], x->f[5], x->f[6]};
    if (d.type == 0 && !p->out->unknown_param)
        p->out->unknown_param = xasprintf("parameter '%s' of '%s' has the unknown type '%.32s'", d.name, c->id,
                                          x->f[2]);
    param_desc *grown = xrealloc((void *)(uintptr_t)c->params, (size_t)(c->n_params + 1) * sizeof d);
    grown[c->n_params++] = d;
    c->params = grown;
    return DAL_OK;
}

/* The component that a later line is of; NULL after a complaint, and where its kind is not known. */
static component_desc *above(const parser *p, const fields *x, dal_status *st)
{
    const uint32_t kind = kind_from_name(x->f[1]);
    for (int i = 0; i < p->out->n_components; i++)
        if (p->out->components[i].kind == kind && strcmp(p->out->components[i].id, x->f[2]) == 0)
            return &p->out->components[i];
    if (kind)
        *st = bad(p, "'%s' a %s '%.64s' that is not above it", x->f[0], x->f[1], x->f[2]);
    return NULL;
}

static dal_status parse_rule(parser *p, const fields *x)
{
    dal_status st = DAL_OK;
    component_desc *c = above(p, x, &st);
    if (!c)
        return st;
    if (*c->formula || *c->differs)
        return bad(p, "a second 'about' line of '%s'", c->id);
    c->formula = x->f[3];
    c->differs = x->f[4];
    return DAL_OK;
}

/* Is every word of "a|b" a value that the parameter can have? */
static bool are_values(const param_desc *d, const char *values)
{
    const char *domain = d->type == DAL_PARAM_BOOL ? "true|false" : d->domain;
    for (const char *word = values;; word++) {
        const size_t n = strcspn(word, "|");
        if (n == 0 || !word_among(domain, word, n))
            return false;
        word += n;
        if (!*word)
            return true;
    }
}

/* What is wrong with a condition, or NULL; the words are about c's parameter d (NULL: it has none of the name). */
static const char *when_fault(const component_desc *c, const need_when *w, const param_desc *d)
{
    return c->kind != DAL_KIND_STRATEGY
        ? "only strategies have needs that depend on something"
           : !*w->capability || strchr(w->capability, ' ') ||
                   !dal_has_word(c->needs, w->capability)                  ? "its needs do not name the capability"
           : !d                                                            ? "it has no such parameter"
           : d->type != DAL_PARAM_CHOICE && d->type != DAL_PARAM_BOOL &&
                   d->type != 0                                            ? "the parameter has no choices"
           : d->type != 0 && !are_values(d, w->values)                     ? "the parameter has no such values"
                                                                           : NULL;
}

static dal_status parse_when(parser *p, const fields *x)
{
    const need_when w = {x->f[3], x->f[4], x->f[5]};
    dal_status st = DAL_OK;
    component_desc *c = above(p, x, &st);
    if (!c)
        return st;
    const param_desc *d = NULL;
    for (int i = 0; i < c->n_params; i++)
        if (strcmp(c->params[i].name, w.param) == 0)
            d = &c->params[i];
    const char *fault = when_fault(c, &w, d);
    if (fault)
        return bad(p, "'when' %s '%s' needs '%.64s', for '%.64s' of '%.64s': %s", x->f[1], c->id, w.capability, w.param,
                   w.values, fault);
    if (c->n_when == NOTE_MAX_WHEN)
        return bad(p, "more than %d 'when' lines of '%s'", NOTE_MAX_WHEN, c->id);
    need_when *grown = xrealloc((void *)(uintptr_t)c->when, (size_t)(c->n_when + 1) * sizeof w);
    grown[c->n_when++] = w;
    c->when = grown;
    return DAL_OK;
}

static dal_status parse_end(parser *p, const fields *x)
{
    (void)x;
    p->done = true;
    return finish_component(p);
}

static dal_status parse_line(parser *p, char *line)
{
    static const struct {
        const char *word;
        int least; /* fields */
        dal_status (*parse)(parser *p, const fields *x);
    } table[] = {
        {"abi", 3, parse_abi},         {"module", 2, parse_module},  {"version", 2, parse_module},
        {"licence", 2, parse_module},  {"component", 3, parse_component},
        {"summary", 2, parse_about},   {"reference", 2, parse_about}, {"needs", 2, parse_about},
        {"provides", 2, parse_about},  {"param", 7, parse_param},    {"about", 5, parse_rule},
        {"when", 6, parse_when},       {"end", 1, parse_end},
    };
    const fields x = split(line);
    for (size_t i = 0; i < COUNT(table); i++)
        if (strcmp(x.f[0], table[i].word) == 0) {
            if (x.n < table[i].least)
                return bad(p, "'%s' has %d fields; expected %d", x.f[0], x.n, table[i].least);
            if (i > 0 && !p->abi)
                return bad(p, "'%s' before 'abi'", x.f[0]);
            return table[i].parse(p, &x);
        }
    if (!p->abi)
        return bad(p, "it does not begin with 'abi'");
    return DAL_OK; /* a newer SDK knows more */
}

dal_status note_parse(char *note, note_info *out, dal_error *err)
{
    parser p = {.out = out, .err = err};
    *out = (note_info){.text = note, .abi_major = -1, .abi_minor = -1};
    dal_status st = check_characters(&p, note);
    p.line = 0;
    for (char *line = note, *next; st == DAL_OK && !p.done; line = next) {
        p.line++;
        next = strchr(line, '\n');
        if (!next) {
            st = bad(&p, "cut off: there is no 'end' line");
            break;
        }
        *next++ = '\0';
        st = parse_line(&p, line);
        if (st == DAL_OK && p.done && *next)
            st = bad(&p, "text after the 'end' line");
    }
    if (st == DAL_OK && (!out->module || !out->version || !out->licence))
        st = bad(&p, "there is no 'module', 'version' or 'licence' line");
    out->skipped = text_take(&p.skipped);
    if (st) {
        const int major = out->abi_major, minor = out->abi_minor;
        note_info_free(out);
        out->abi_major = major;
        out->abi_minor = minor;
    }
    return st;
}

void note_info_free(note_info *n)
{
    for (int i = 0; i < n->n_components; i++) {
        free((void *)(uintptr_t)n->components[i].params);
        free((void *)(uintptr_t)n->components[i].when);
    }
    free(n->components);
    free(n->skipped);
    free(n->unknown_param);
    free(n->text);
    *n = (note_info){0};
}
