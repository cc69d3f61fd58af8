/* JSON Schema of the manifest, for editors: the same tables that reading uses. */
#include <math.h>
#include <stdlib.h>

#include "manifest/json.h"
#include "util/text.h"

#define BYTES_PATTERN "^[0-9]+[KMG]$"

static json_t *typed(const char *type)
{
    return json_must(json_pack("{s:s}", "type", type));
}

static json_t *bound(double x, bool whole)
{
    return whole && fabs(x) < 9e15 ? json_integer((json_int_t)x) : json_real(x);
}

static json_t *number(const char *type, const char *domain)
{
    const bool whole = strcmp(type, "integer") == 0;
    double low, high;
    int low_open, high_open;
    json_t *j = typed(type);
    if (!domain_interval(domain, &low, &low_open, &high, &high_open))
        return j;
    if (isfinite(low))
        json_put(j, low_open ? "exclusiveMinimum" : "minimum", bound(low, whole));
    if (isfinite(high))
        json_put(j, high_open ? "exclusiveMaximum" : "maximum", bound(high, whole));
    return j;
}

static json_t *string(const char *domain)
{
    json_t *j = typed("string");
    if (strcmp(domain, "nonempty") == 0)
        json_put(j, "minLength", json_integer(1));
    return j;
}

/* A number is text where text is wanted. */
static json_t *words(const char *domain)
{
    json_t *j = json_must(json_pack("{s:[s, s, s]}", "type", "string", "number", "boolean"));
    if (strcmp(domain, "nonempty") == 0)
        json_put(j, "minLength", json_integer(1)); /* of those that are strings */
    return j;
}

static json_t *choices(const char *domain)
{
    json_t *words = json_must(json_array());
    const char *word;
    size_t n;
    for (uint32_t i = 0; (word = choice_word(domain, i, &n)); i++)
        json_append(words, json_stringn(word, n));
    return json_must(json_pack("{s:o}", "enum", words));
}

static json_t *list_of(json_t *items)
{
    return json_must(json_pack("{s:s, s:o}", "type", "array", "items", items));
}

static json_t *reference(const char *kind)
{
    char target[64];
    snprintf(target, sizeof target, "#/$defs/%.40s", kind);
    return json_must(json_pack("{s:s}", "$ref", target));
}

static json_t *either(json_t *a, json_t *b)
{
    return json_must(json_pack("{s:[o, o]}", "oneOf", a, b));
}

/* Inside a component a dataset may have transforms. */
#define INSIDE "dataset-inside"

/* in: of a component, not of the manifest itself. */
static json_t *component_reference(const param_desc *p, bool in)
{
    return reference(in && strcmp(p->domain, "dataset") == 0 ? INSIDE : p->domain);
}

static json_t *type_of(const param_desc *p, bool in)
{
    switch (p->type) {
    case DAL_PARAM_BOOL:
        return typed("boolean");
    case DAL_PARAM_I64:
        if (strcmp(p->unit, "bytes") == 0)
            return either(
                number("integer", p->domain),
                json_must(json_pack("{s:s, s:s}", "type", "string", "pattern", BYTES_PATTERN)));
        return number("integer", p->domain);
    case DAL_PARAM_F64:
        return number("number", p->domain);
    case DAL_PARAM_CHOICE:
        return choices(p->domain);
    case DAL_PARAM_I64S:
        return list_of(number("integer", p->domain));
    case DAL_PARAM_F64S:
        return list_of(number("number", p->domain));
    case DAL_PARAM_STR:
        return words(p->domain);
    case DAL_PARAM_PATH:
        return string("");
    case DAL_PARAM_PATHS:
        return either(string(""), list_of(string("")));
    case DAL_PARAM_STRS:
        return list_of(words(p->domain));
    case DAL_PARAM_COMPONENT:
        return component_reference(p, in);
    default:
        return either(component_reference(p, in), list_of(component_reference(p, in)));
    }
}

static json_t *property(const registry *r, const param_desc *p, bool in)
{
    json_t *j = type_of(p, in);
    arena *mem = arena_new();
    param_value v;
    if (*p->summary || *p->unit)
        json_put(j, "description",
                 json_string(arena_printf(mem, "%s%s%s%s", p->summary, *p->unit ? " [" : "", p->unit,
                                          *p->unit ? "]" : "")));
    if (try_default(r, mem, p, &v))
        json_put(j, "default", json_of_value(&v));
    arena_free(mem);
    return j;
}

/* Properties and required keys of declared parameters, added to what is there. */
static void add_params(const registry *r, json_t *properties, json_t *required,
                       const param_desc *params, int n, bool in)
{
    for (int i = 0; i < n; i++) {
        json_put(properties, params[i].name, property(r, &params[i], in));
        if (strcmp(params[i].def, DAL_REQUIRED) == 0)
            json_append(required, json_string(params[i].name));
    }
}

static json_t *object_schema(json_t *properties, json_t *required)
{
    json_t *j = json_must(json_pack("{s:s, s:o, s:b}", "type", "object", "properties", properties,
                                    "additionalProperties", 0));
    if (json_array_size(required))
        json_put(j, "required", json_incref(required));
    json_decref(required);
    return j;
}

/* Do two modules offer it? Then the manifest must say which. */
static bool ambiguous(const registry *r, const component_desc *c)
{
    int n = 0;
    for (int i = 0; i < registry_n_components(r); i++) {
        const component_desc *other = registry_component(r, i);
        n += other->kind == c->kind && strcmp(other->id, c->id) == 0;
    }
    return n > 1;
}

static bool needs_parameters(const component_desc *c)
{
    for (int i = 0; i < c->n_params; i++)
        if (strcmp(c->params[i].def, DAL_REQUIRED) == 0)
            return true;
    return false;
}

static json_t *component_schema(const registry *r, const component_desc *c, bool in)
{
    json_t *properties = json_must(json_object()), *required = json_must(json_pack("[s]", "use"));
    json_put(properties, "use", json_pack("{s:s}", "const", c->id));
    json_put(properties, "from",
             json_pack("{s:s, s:s}", "const", c->module->name, "description", "the module"));
    if (ambiguous(r, c))
        json_append(required, json_string("from"));
    add_params(r, properties, required, c->params, c->n_params, true);
    if (in)
        json_put(properties, "transforms", either(reference("transform"), list_of(reference("transform"))));
    json_t *j = object_schema(properties, required);
    json_put(j, "title", json_string(c->id));
    json_put(j, "description", json_string(c->summary));
    return j;
}

static const component_desc *component_of(const registry *r, uint32_t kind, const char *id)
{
    for (int i = 0; i < registry_n_components(r); i++)
        if (registry_component(r, i)->kind == kind && strcmp(registry_component(r, i)->id, id) == 0)
            return registry_component(r, i);
    return NULL;
}

/* A card, where no component has its name: alone, or with some of its loader's parameters. */
static void add_card(const registry *r, const card *c, bool in, json_t *shapes)
{
    const node_entry *use = node_entry_of(c->dataset, "use");
    const component_desc *loader = component_of(r, DAL_KIND_DATASET, use->value->text ? use->value->text : "");
    if (!loader || component_of(r, DAL_KIND_DATASET, c->name))
        return;
    json_t *properties = json_must(json_object()), *none = json_must(json_array());
    json_put(properties, "use", json_pack("{s:s}", "const", c->name));
    add_params(r, properties, none, loader->params, loader->n_params, true);
    if (in)
        json_put(properties, "transforms", either(reference("transform"), list_of(reference("transform"))));
    json_decref(none);
    json_t *j = object_schema(properties, json_must(json_pack("[s]", "use")));
    json_put(j, "title", json_string(c->name));
    json_put(j, "description", json_string(c->title));
    json_append(shapes, json_pack("{s:s, s:s}", "const", c->name, "description", c->title));
    json_append(shapes, j);
}

static void add_cards(const registry *r, cards *all, bool in, json_t *shapes)
{
    diags *d = diags_new(); /* a faulty card is no business of an editor */
    for (int i = 0; i < cards_count(all); i++) {
        const card *c = cards_find(all, cards_name(all, i), d);
        if (c)
            add_card(r, c, in, shapes);
    }
    diags_free(d);
}

/* Every component of a kind: as a mapping, and as its id alone where that suffices. */
static json_t *kind_schema(const registry *r, uint32_t kind, cards *named, bool in)
{
    json_t *shapes = json_must(json_array());
    for (int i = 0; i < registry_n_components(r); i++) {
        const component_desc *c = registry_component(r, i);
        if (c->kind != kind)
            continue;
        if (!ambiguous(r, c) && !needs_parameters(c))
            json_append(shapes, json_pack("{s:s, s:s}", "const", c->id, "description", c->summary));
        json_append(shapes, component_schema(r, c, in));
    }
    if (named && kind == DAL_KIND_DATASET)
        add_cards(r, named, in, shapes);
    if (json_array_size(shapes) == 0) { /* nothing installed: nothing is valid */
        json_decref(shapes);
        return json_must(json_pack("{s:{}}", "not"));
    }
    return json_must(json_pack("{s:o}", "oneOf", shapes));
}

static json_t *section_schema(const registry *r, const section *s)
{
    json_t *properties = json_must(json_object()), *required = json_must(json_array());
    add_params(r, properties, required, s->params, s->n_params, false);
    json_t *j = object_schema(properties, required);
    json_put(j, "description", json_string(s->summary));
    return j;
}

char *manifest_schema(const registry *r, cards *c)
{
    json_t *properties = json_must(json_object()), *required = json_must(json_array()),
           *kinds = json_must(json_object());
    add_params(r, properties, required, manifest_root.params, manifest_root.n_params, false);
    for (int k = 0; k < SECTION_N; k++)
        json_put(properties, manifest_sections[k].name, section_schema(r, &manifest_sections[k]));
    for (uint32_t kind = DAL_KIND_DATASET; kind <= DAL_KIND_ORACLE; kind++)
        json_put(kinds, kind_name(kind), kind_schema(r, kind, c, false));
    json_put(kinds, INSIDE, kind_schema(r, DAL_KIND_DATASET, c, true));
    json_t *root = object_schema(properties, required);
    json_put(root, "$schema", json_string("https://json-schema.org/draft/2020-12/schema"));
    json_put(root, "title", json_string("dalhost manifest"));
    json_put(root, "$defs", kinds);
    char *s = json_dumps(root, JSON_INDENT(2) | JSON_SORT_KEYS | JSON_REAL_PRECISION(15));
    json_decref(root);
    if (!s)
        json_must(NULL);
    return s;
}
