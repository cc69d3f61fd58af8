/* Values of components: options structs, text, JSON, the schema, domains. */
#include <criterion/criterion.h>

#include <jansson.h>
#include <math.h>
#include <stdlib.h>

#include "manifest/domain.h"
#include "manifest/manifest.h"
#include "tests/unit/fake_registry.h"
#include "util/text.h"

static component_spec *spec_of(uint32_t kind, const char *id, const char *const *sets, int n)
{
    diags *d = diags_new();
    component_spec *s = spec_from_sets(kind, id, sets, n, fake_registry(FAKE_USUAL), d);
    diags_print(d, stderr);
    diags_free(d);
    return s;
}

Test(spec, fills_the_options_struct_by_live_offsets)
{
    const char *const sets[] = {"hidden=[50,20]", "solver=lbfgs", "rate=2", "early_stop=true", "tags=[a, 'b c']",
                                "cache=3K"};
    component_spec *s = spec_of(DAL_KIND_MODEL, "mlp", sets, 6);
    void *block = NULL;
    dal_error err = DAL_ERROR_INIT;
    cr_assert_not_null(s);
    cr_assert_eq(spec_options(s, fake_live("mlp"), &block, &err), DAL_OK, "%s", err.text);
    const mlp_options *o = block;
    cr_assert(o->hidden.n == 2 && o->hidden.items[0] == 50 && o->hidden.items[1] == 20);
    cr_assert(o->solver == 2 && o->early_stop == 1 && o->cache == 3072);
    cr_assert_float_eq(o->rate, 2, 0);
    cr_assert(o->tags.n == 2 && strcmp(o->tags.items[1], "b c") == 0);
    cr_assert(o->betas.n == 2 && o->betas.items[1] > 0.998);
    free(block);
    spec_free(s);
}

Test(spec, hands_over_components_as_references)
{
    const char *const sets[] = {"more=[bald, {use: wrap, label: in}]"};
    component_spec *s = spec_of(DAL_KIND_STRATEGY, "wrap", sets, 1);
    void *block = NULL;
    cr_assert_eq(spec_options(s, fake_live("wrap"), &block, NULL), DAL_OK);
    const wrap_options *o = block;
    cr_assert_str_eq(ref_spec(o->base)->desc->id, "margin");
    cr_assert_null(o->other);
    cr_assert_eq(o->more.n, 2);
    cr_assert_str_eq(ref_spec(o->more.items[0])->desc->id, "bald");
    cr_assert_str_eq(ref_spec(o->more.items[1])->values[3].str[0], "in");
    cr_assert_str_eq(o->label, "x y");
    free(block);
    spec_free(s);
}

/* A module built with a later SDK: each entry of its table is longer than ours. */
typedef struct later_param {
    dal_param p;
    uint64_t news[2];
} later_param;

Test(spec, walks_a_longer_parameter_table_by_its_stride)
{
    const dal_component *live = fake_live("wrap");
    later_param params[4];
    for (int i = 0; i < 4; i++)
        params[i] = (later_param){live->params[i], {~0ull, ~0ull}};
    dal_component later = *live;
    later.params = &params[0].p;
    later.param_size = sizeof params[0];
    component_spec *s = spec_of(DAL_KIND_STRATEGY, "wrap", NULL, 0);
    void *block = NULL;
    cr_assert_eq(spec_options(s, &later, &block, NULL), DAL_OK);
    cr_assert_str_eq(((const wrap_options *)block)->label, "x y");
    free(block);
    spec_free(s);
}

Test(spec, refuses_a_live_table_that_is_not_the_notes)
{
    const dal_component *live = fake_live("wrap");
    const struct {
        int i;
        const char *name, *def, *domain;
        uint32_t type;
        size_t offset;
    } cases[] = {
        {3, "lable", "x y", "nonempty", DAL_PARAM_STR, 0},
        {3, "label", "x", "nonempty", DAL_PARAM_STR, 0},
        {3, "label", "x y", "", DAL_PARAM_STR, 0},
        {3, "label", NULL, "nonempty", DAL_PARAM_STR, 0},
        {3, "label", "x y", "nonempty", DAL_PARAM_PATH, 0},
        {3, "label", "x y", "nonempty", DAL_PARAM_STR, sizeof(wrap_options) - 4},
        {3, "label", "x y", "nonempty", DAL_PARAM_STR, SIZE_MAX},
    };
    component_spec *s = spec_of(DAL_KIND_STRATEGY, "wrap", NULL, 0);
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        dal_param params[4];
        memcpy(params, live->params, sizeof params);
        dal_param *p = &params[cases[k].i];
        p->name = cases[k].name;
        p->def = cases[k].def;
        p->domain = cases[k].domain;
        p->type = cases[k].type;
        p->offset = cases[k].offset;
        dal_component other = *live;
        other.params = params;
        void *block = NULL;
        dal_error err = DAL_ERROR_INIT;
        cr_expect_eq(spec_options(s, &other, &block, &err), DAL_E_CONTRACT, "case %zu", k);
        cr_expect_not_null(strstr(err.text, "/m/fake.so"));
        cr_expect_null(block);
    }
    dal_component shorter = *live;
    shorter.n_params = 3;
    void *block = NULL;
    cr_expect_eq(spec_options(s, &shorter, &block, NULL), DAL_E_CONTRACT);
    shorter = *live;
    shorter.param_size = 8;
    cr_expect_eq(spec_options(s, &shorter, &block, NULL), DAL_E_CONTRACT);
    spec_free(s);
}

Test(spec, complains_about_what_was_given_on_the_command_line)
{
    diags *d = diags_new();
    const char *const sets[] = {"lable=x", "base=ball"};
    cr_assert_null(spec_from_sets(DAL_KIND_STRATEGY, "wrap", sets, 2, fake_registry(FAKE_USUAL), d));
    cr_assert_str_eq(diags_text(d, 0), "--set base=ball: no strategy 'ball'");
    cr_assert_str_eq(diags_text(d, 1), "--set lable=x: unknown key 'lable' of strategy 'wrap'; did you mean 'label'?");
    diags_free(d);
    d = diags_new();
    cr_assert_null(spec_from_sets(DAL_KIND_STRATEGY, "wrp", NULL, 0, fake_registry(FAKE_USUAL), d));
    cr_assert_str_eq(diags_text(d, 0), "--strategy wrp: no strategy 'wrp'");
    diags_free(d);
}

Test(spec, is_told_as_json_with_its_version)
{
    component_spec *s = spec_of(DAL_KIND_STRATEGY, "wrap", NULL, 0);
    char *json = spec_json(s);
    cr_assert_str_eq(json, "{\"base\":{\"from\":\"fake\",\"use\":\"margin\"},\"from\":\"fake\",\"label\":\"x y\","
                           "\"more\":[],\"other\":null,\"use\":\"wrap\",\"version\":\"1.0\"}");
    free(json);
    spec_free(s);
}

/* What stands in a manifest reads back as what was said. */
Test(value_text, reads_back_as_the_same_value)
{
    const char *const words[] = {"plain", "7", "true", "null", "", "a b", "it's", "say \"x\"", "back\\slash",
                                 "tab\there", "# no", "a: b", "- x", "-", "~", "[1]", "{a}", "gr\xc3\xbc\xc3\x9f",
                                 "1e5", ".nan", "x,y"};
    const param_desc p = {"label", DAL_PARAM_STR, "x y", "", "", ""};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        const param_value v = {.desc = &p, .n = 1, .str = &words[i]};
        char *t = param_value_text(&v), *set = xasprintf("more=[{use: wrap, label: %s}]", t);
        component_spec *s = words[i][0] ? spec_of(DAL_KIND_STRATEGY, "wrap", (const char *const[]){set}, 1) : NULL;
        if (words[i][0]) { /* label must not be empty */
            cr_assert_not_null(s, "%s", set);
            cr_expect_str_eq(s->values[2].component[0]->values[3].str[0], words[i]);
        } else {
            cr_expect_str_eq(t, "\"\"");
        }
        spec_free(s);
        free(set);
        free(t);
    }
}

Test(value_text, shows_numbers_as_short_as_they_are)
{
    const param_desc p = {"x", DAL_PARAM_F64S, "", "", "", ""};
    const param_value v = {.desc = &p, .n = 4, .f64 = (const double[]){0.1, 1e-10, 100, 1.0 / 3}};
    char *t = param_value_text(&v);
    cr_assert_str_eq(t, "[0.1, 1e-10, 100, 0.3333333333333333]");
    free(t);
}

Test(schema, is_json_and_has_every_component_and_parameter)
{
    char *s = manifest_schema(fake_registry(FAKE_TWO_TRUTHS), NULL);
    json_error_t why;
    json_t *root = json_loads(s, 0, &why), *shapes, *shape;
    cr_assert_not_null(root, "%s", why.text);
    cr_assert_str_eq(json_string_value(json_object_get(root, "$schema")),
                     "https://json-schema.org/draft/2020-12/schema");
    shapes = json_object_get(json_object_get(json_object_get(root, "$defs"), "model"), "oneOf");
    cr_assert_eq(json_array_size(shapes), 6); /* three models, by id and as mappings */
    size_t i;
    bool found = false;
    json_array_foreach(shapes, i, shape) {
        const json_t *p = json_object_get(shape, "properties");
        const json_t *use = json_object_get(json_object_get(p, "use"), "const");
        if (!use || strcmp(json_string_value(use), "mlp") != 0)
            continue;
        found = true;
        const json_t *rate = json_object_get(p, "rate"), *hidden = json_object_get(p, "hidden");
        cr_assert_float_eq(json_real_value(json_object_get(rate, "exclusiveMinimum")), 0, 0);
        cr_assert_float_eq(json_real_value(json_object_get(rate, "default")), 1e-3, 0);
        cr_assert_eq(json_integer_value(json_object_get(json_object_get(hidden, "items"), "minimum")), 1);
        cr_assert_eq(json_array_size(json_object_get(json_object_get(p, "solver"), "enum")), 3);
    }
    cr_assert(found);
    json_decref(root);
    free(s);
    s = manifest_schema(fake_registry(FAKE_EMPTY), NULL);
    root = json_loads(s, 0, &why);
    cr_assert_not_null(root);
    json_decref(root);
    free(s);
}

Test(domain, reads_intervals)
{
    const struct {
        const char *domain;
        double low, high;
        int low_open, high_open, good;
    } cases[] = {
        {"1..1000", 1, 1000, 0, 0, 1},   {"(0..1]", 0, 1, 1, 0, 1},      {"[0..1)", 0, 1, 0, 1, 1},
        {"0..", 0, INFINITY, 0, 0, 1},   {"..5", -INFINITY, 5, 0, 0, 1}, {"(0..", 0, INFINITY, 1, 0, 1},
        {"..5)", -INFINITY, 5, 0, 1, 1}, {"", -INFINITY, INFINITY, 0, 0, 1},
        {"-1.5..2.5", -1.5, 2.5, 0, 0, 1}, {"1e-8..1", 1e-8, 1, 0, 0, 1}, {"0...5", 0, 0.5, 0, 0, 1},
        {"..", 0, 0, 0, 0, 0},           {"5", 0, 0, 0, 0, 0},           {"5..1", 0, 0, 0, 0, 0},
        {"a..b", 0, 0, 0, 0, 0},         {"1..2..3", 0, 0, 0, 0, 0},     {"(", 0, 0, 0, 0, 0},
        {"1.. 2", 0, 0, 0, 0, 0},        {"..inf", 0, 0, 0, 0, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        double low, high;
        int low_open, high_open;
        const int good = domain_interval(cases[i].domain, &low, &low_open, &high, &high_open);
        cr_expect_eq(good, cases[i].good, "%s", cases[i].domain);
        if (good && cases[i].good)
            cr_expect(low == cases[i].low && high == cases[i].high && low_open == cases[i].low_open &&
                      high_open == cases[i].high_open, "%s", cases[i].domain);
    }
}

Test(domain, says_what_was_expected)
{
    char out[96];
    cr_assert_null(domain_check_f64("(0..1]", 1, out));
    cr_assert_str_eq(domain_check_f64("(0..1]", 0, out), "a number in (0..1]");
    cr_assert_str_eq(domain_check_f64("(0..", 0, out), "a number above 0");
    cr_assert_str_eq(domain_check_f64("0..", -1, out), "a number of at least 0");
    cr_assert_str_eq(domain_check_f64("..5", 6, out), "a number of at most 5");
    cr_assert_not_null(domain_check_f64("0..", NAN, out));
}

Test(number, knows_what_is_one)
{
    const struct {
        const char *s;
        number_kind kind;
        double x;
    } cases[] = {
        {"0", NUMBER_INT, 0},         {"-12", NUMBER_INT, -12},   {"+3", NUMBER_INT, 3},
        {"1.5", NUMBER_FLOAT, 1.5},   {"1e-3", NUMBER_FLOAT, 1e-3}, {".5", NUMBER_FLOAT, 0.5},
        {"5.", NUMBER_FLOAT, 5},      {"1E5", NUMBER_FLOAT, 1e5},
        {"9223372036854775807", NUMBER_INT, 9223372036854775807.0},
        {"9223372036854775808", NUMBER_FLOAT, 9223372036854775808.0}, {"1e999", NUMBER_TOO_LARGE, 0},
        {".inf", NUMBER_SPECIAL, 0},  {"-.INF", NUMBER_SPECIAL, 0}, {"NaN", NUMBER_SPECIAL, 0},
        {"0x10", NUMBER_ODD, 0},      {"1_000", NUMBER_ODD, 0},   {"010", NUMBER_ODD, 0},
        {"-0x1p3", NUMBER_ODD, 0},    {"", NUMBER_NONE, 0},       {".", NUMBER_NONE, 0},
        {"1e", NUMBER_NONE, 0},       {"e5", NUMBER_NONE, 0},     {"1 2", NUMBER_NONE, 0},
        {"--1", NUMBER_NONE, 0},      {"1.2.3", NUMBER_NONE, 0},  {"five", NUMBER_NONE, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t whole = 0;
        double x = 0;
        const number_kind kind = number_parse(cases[i].s, &whole, &x);
        cr_expect_eq(kind, cases[i].kind, "'%s' is %d", cases[i].s, kind);
        if (kind == NUMBER_INT || kind == NUMBER_FLOAT)
            cr_expect_float_eq(x, cases[i].x, 0, "'%s'", cases[i].s);
    }
}
