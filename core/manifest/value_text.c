/* Values as they would stand in a manifest. */
#include <stdlib.h>

#include "manifest/reader.h"
#include "util/text.h"

static void add_number(text *t, double x)
{
    char digits[40];
    for (int precision = 15; precision <= 17; precision++) {
        snprintf(digits, sizeof digits, "%.*g", precision, x);
        if (strtod(digits, NULL) == x)
            break;
    }
    text_add(t, digits);
}

/* Bare where a YAML reader sees nothing but this text, in flow as well as in block context. */
static bool needs_quotes(const char *s)
{
    static const char safe[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./+-";
    const node n = {.kind = NODE_SCALAR, .plain = true, .text = s};
    int64_t i;
    double x;
    return node_is_null(&n) || boolean_parse(s) >= 0 || number_parse(s, &i, &x) != NUMBER_NONE ||
           *s == '-' || s[strspn(s, safe)] != '\0';
}

static void add_text(text *t, const char *s)
{
    if (!needs_quotes(s)) {
        text_add(t, s);
        return;
    }
    text_add(t, "\"");
    for (; *s; s++) {
        const unsigned char c = (unsigned char)*s;
        if (c == '"' || c == '\\')
            text_addf(t, "\\%c", c);
        else if (c < 0x20 || c == 0x7f)
            text_addf(t, "\\x%02x", c);
        else
            text_addf(t, "%c", c);
    }
    text_add(t, "\"");
}

static void add_value(text *t, const param_value *v);

/* Only what the manifest gave: the rest is in the component's description. */
static void add_component(text *t, const component_spec *s)
{
    bool bare = true;
    for (int i = 0; i < s->desc->n_params; i++)
        bare = bare && !s->values[i].given;
    if (bare) {
        add_text(t, s->desc->id);
        return;
    }
    text_add(t, "{use: ");
    add_text(t, s->desc->id);
    for (int i = 0; i < s->desc->n_params; i++) {
        if (!s->values[i].given)
            continue;
        text_addf(t, ", %s: ", s->desc->params[i].name);
        add_value(t, &s->values[i]);
    }
    text_add(t, "}");
}

static void add_item(text *t, const param_value *v, int64_t i)
{
    size_t n;
    const char *word;
    switch (v->desc->type) {
    case DAL_PARAM_BOOL:
        text_add(t, v->boolean ? "true" : "false");
        break;
    case DAL_PARAM_I64:
    case DAL_PARAM_I64S:
        text_addf(t, "%lld", (long long)v->i64[i]);
        break;
    case DAL_PARAM_F64:
    case DAL_PARAM_F64S:
        add_number(t, v->f64[i]);
        break;
    case DAL_PARAM_CHOICE:
        word = choice_word(v->desc->domain, v->choice, &n);
        text_addf(t, "%.*s", (int)n, word);
        break;
    case DAL_PARAM_COMPONENT:
    case DAL_PARAM_COMPONENTS:
        if (v->n)
            add_component(t, v->component[i]);
        else
            text_add(t, "\"\"");
        break;
    default:
        add_text(t, v->str[i]);
    }
}

static void add_value(text *t, const param_value *v)
{
    if (!param_is_list(v->desc->type)) {
        add_item(t, v, 0);
        return;
    }
    text_add(t, "[");
    for (int64_t i = 0; i < v->n; i++) {
        if (i)
            text_add(t, ", ");
        add_item(t, v, i);
    }
    text_add(t, "]");
}

char *param_value_text(const param_value *v)
{
    text t = {0};
    add_value(&t, v);
    return text_take(&t);
}
