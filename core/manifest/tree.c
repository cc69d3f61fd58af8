#include "manifest/tree.h"

#include <stdlib.h>
#include <yaml.h>

#include "util/text.h"

typedef struct builder {
    yaml_parser_t parser;
    arena *mem;
    const char *file, *text;
    size_t size;
    bool placed;
    diags *d;
    int nodes, faults;
    bool failed; /* cannot go on */
} builder;

#define MAX_FAULTS 100 /* of keys, before reading stops: a hostile file may have very many */

/* ---- nodes ---------------------------------------------------------------------------------- */

node *node_new(arena *mem, node_kind kind, place at)
{
    node *n = arena_alloc(mem, 1, sizeof *n);
    n->kind = kind;
    n->at = at;
    return n;
}

/* Room for one more: the old array stays in the arena, so that growth costs at most as much again. */
static void *grown(arena *mem, node *n, void *array, size_t size)
{
    if (n->n < n->room)
        return array;
    n->room = n->room ? 2 * n->room : 4;
    void *larger = arena_alloc(mem, (size_t)n->room, size);
    if (n->n)
        memcpy(larger, array, (size_t)n->n * size);
    return larger;
}

void node_append(arena *mem, node *list, node *item)
{
    list->items = grown(mem, list, list->items, sizeof *list->items);
    list->items[list->n++] = item;
}

static void append_entry(arena *mem, node *map, node_entry entry)
{
    map->entries = grown(mem, map, map->entries, sizeof *map->entries);
    map->entries[map->n++] = entry;
}

const node_entry *node_entry_of(const node *map, const char *key)
{
    for (int i = 0; map && map->kind == NODE_MAP && i < map->n; i++)
        if (strcmp(map->entries[i].key, key) == 0)
            return &map->entries[i];
    return NULL;
}

void node_put(arena *mem, node *map, const char *key, place at, node *value)
{
    const node_entry entry = {arena_strn(mem, key, strlen(key)), at, value};
    for (int i = 0; i < map->n; i++)
        if (strcmp(map->entries[i].key, key) == 0) {
            map->entries[i] = entry;
            return;
        }
    append_entry(mem, map, entry);
}

bool node_is_null(const node *n)
{
    return n->kind == NODE_SCALAR && n->plain &&
           (!*n->text || strcmp(n->text, "~") == 0 || strcasecmp(n->text, "null") == 0);
}

/* ---- events --------------------------------------------------------------------------------- */

static place at_mark(const builder *b, yaml_mark_t mark)
{
    if (!b->placed)
        return (place){b->file, 0, 0};
    return (place){b->file, (int)mark.line + 1, (int)mark.column + 1};
}

static place at_offset(const builder *b, size_t offset)
{
    yaml_mark_t mark = {offset, 0, 0};
    for (size_t i = 0; i < offset && i < b->size; i++) {
        const unsigned char c = (unsigned char)b->text[i];
        if (c == '\n') {
            mark.line++;
            mark.column = 0;
        } else if ((c & 0xc0) != 0x80) {
            mark.column++;
        }
    }
    return at_mark(b, mark);
}

/* What usually is behind libyaml's words. */
static const char *hint(const char *problem, char found)
{
    static const struct {
        const char *problem, *hint;
    } hints[] = {
        {"mapping values are not allowed",
         "check the indentation, or put text that contains ': ' in quotes"},
        {"did not find expected key", "check the indentation of this line"},
        {"did not find expected '-' indicator", "check the indentation of this line"},
        {"',' or ']'", "close the list with ']'"},
        {"',' or '}'", "close the mapping with '}'"},
        {"unexpected end of stream", "close the quotes"},
        {"could not find expected ':'", "put ': ' between the key and its value"},
        {"tab character", "indent with spaces, not tabs"},
        {"control characters", "remove it, or write it as \"\\xNN\" in double quotes"},
    };
    if (strstr(problem, "cannot start any token"))
        return found == '\t' ? "indent with spaces, not tabs" : "put the value in quotes";
    for (size_t i = 0; i < sizeof hints / sizeof *hints; i++)
        if (strstr(problem, hints[i].problem))
            return hints[i].hint;
    return "check the indentation and the quotes around here";
}

/* Byte offset of a mark: libyaml counts characters, and the two differ after the first umlaut. */
static char byte_at(const builder *b, yaml_mark_t mark)
{
    size_t i = 0;
    for (size_t left = mark.index; i < b->size && left > 0; left--)
        for (i++; i < b->size && ((unsigned char)b->text[i] & 0xc0) == 0x80;)
            i++;
    return i < b->size ? b->text[i] : '\0';
}

static void complain_syntax(builder *b)
{
    const yaml_parser_t *p = &b->parser;
    const char *problem = p->problem ? p->problem : "it cannot be read";
    b->failed = true;
    if (p->error == YAML_MEMORY_ERROR) {
        diags_error(b->d, (place){b->file, 0, 0}, "no memory to read it");
    } else if (p->error == YAML_READER_ERROR) {
        diags_error(b->d, at_offset(b, p->problem_offset), "not YAML: %s (byte %zu); %s", problem,
                    p->problem_offset, hint(problem, 0));
    } else {
        text context = {0};
        if (p->context && b->placed && p->context_mark.line != p->problem_mark.line)
            text_addf(&context, " %s that began in line %zu", p->context, p->context_mark.line + 1);
        else if (p->context)
            text_addf(&context, " %s", p->context);
        diags_error(b->d, at_mark(b, p->problem_mark), "not YAML: %s%s; %s", problem,
                    context.s ? context.s : "", hint(problem, byte_at(b, p->problem_mark)));
        text_free(&context);
    }
}

static bool next(builder *b, yaml_event_t *e)
{
    if (b->failed)
        return false;
    if (yaml_parser_parse(&b->parser, e))
        return true;
    complain_syntax(b);
    return false;
}

DAL_PRINTF(3, 4)
static void refuse(builder *b, place at, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char what[512];
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    diags_error(b->d, at, "%s", what);
    b->failed = true;
}

/* A fault after which the rest can still be read. */
DAL_PRINTF(3, 4)
static void complain_key(builder *b, place at, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    const char *what = arena_vprintf(b->mem, fmt, ap);
    va_end(ap);
    diags_error(b->d, at, "%s", what);
    if (++b->faults == MAX_FAULTS)
        refuse(b, (place){b->file, 0, 0}, "%d faulty keys; the rest was not read", MAX_FAULTS);
}

/* Anchor and tag of the three events that may have them. */
static void refuse_extras(builder *b, const yaml_event_t *e)
{
    const yaml_char_t *anchor = NULL, *tag = NULL;
    if (e->type == YAML_SCALAR_EVENT) {
        anchor = e->data.scalar.anchor;
        tag = e->data.scalar.tag;
    } else if (e->type == YAML_SEQUENCE_START_EVENT) {
        anchor = e->data.sequence_start.anchor;
        tag = e->data.sequence_start.tag;
    } else if (e->type == YAML_MAPPING_START_EVENT) {
        anchor = e->data.mapping_start.anchor;
        tag = e->data.mapping_start.tag;
    }
    const place at = at_mark(b, e->start_mark);
    if (anchor)
        refuse(b, at, "anchor '&%s'; aliases are not used in manifests; write the value out",
               shown(b->mem, (const char *)anchor, 40));
    else if (tag)
        refuse(b, at, "tag '%s'; tags are not used in manifests; remove it (quotes make text)",
               shown(b->mem, (const char *)tag, 40));
}

static node *build(builder *b, yaml_event_t *e, int depth);

static node *build_scalar(builder *b, const yaml_event_t *e, place at)
{
    const char *value = (const char *)e->data.scalar.value;
    const size_t length = e->data.scalar.length;
    if (memchr(value, 0, length)) {
        refuse(b, at, "text with a NUL character in it; expected none");
        return NULL;
    }
    node *n = node_new(b->mem, NODE_SCALAR, at);
    n->plain = e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    n->text = arena_strn(b->mem, value, length);
    return n;
}

static node *build_list(builder *b, place at, int depth)
{
    node *list = node_new(b->mem, NODE_LIST, at);
    yaml_event_t e;
    while (next(b, &e) && e.type != YAML_SEQUENCE_END_EVENT) {
        node *item = build(b, &e, depth + 1);
        if (item)
            node_append(b->mem, list, item);
    }
    if (!b->failed)
        yaml_event_delete(&e);
    return list;
}

static int by_key(const void *a, const void *b)
{
    const node_entry *x = *(const node_entry *const *)a, *y = *(const node_entry *const *)b;
    const int order = strcmp(x->key, y->key);
    return order ? order : x < y ? -1 : x > y;
}

/* Sorted, since a hostile mapping may have 100,000 keys. */
static void complain_duplicates(builder *b, const node *map)
{
    const node_entry **order = xcalloc((size_t)map->n, sizeof *order);
    for (int i = 0; i < map->n; i++)
        order[i] = &map->entries[i];
    qsort(order, (size_t)map->n, sizeof *order, by_key);
    for (int i = 1, first = 0; i < map->n && !b->failed; i++) {
        if (strcmp(order[i]->key, order[first]->key) != 0) {
            first = i;
            continue;
        }
        const place was = order[first]->at;
        const char *key = shown(b->mem, order[i]->key, 60);
        if (b->placed)
            complain_key(b, order[i]->at,
                         "duplicate key '%s', first given in line %d, column %d; keep one of them", key,
                         was.line, was.col);
        else
            complain_key(b, order[i]->at, "duplicate key '%s'; keep one of them", key);
    }
    free(order);
}

static node *build_map(builder *b, place at, int depth)
{
    node *map = node_new(b->mem, NODE_MAP, at);
    yaml_event_t e;
    while (next(b, &e) && e.type != YAML_MAPPING_END_EVENT) {
        const place key_at = at_mark(b, e.start_mark);
        const node *key = build(b, &e, depth + 1);
        if (!key || !next(b, &e))
            return map;
        node *value = build(b, &e, depth + 1);
        if (!value)
            return map;
        if (key->kind == NODE_SCALAR)
            append_entry(b->mem, map, (node_entry){key->text, key_at, value});
        else
            complain_key(b, key_at, "a key that is a %s; expected text",
                         key->kind == NODE_LIST ? "list" : "mapping");
    }
    if (!b->failed) {
        yaml_event_delete(&e);
        complain_duplicates(b, map);
    }
    return map;
}

/* The node that event e begins; e is given back. NULL when there is none. */
static node *build(builder *b, yaml_event_t *e, int depth)
{
    const place at = at_mark(b, e->start_mark);
    node *n = NULL;
    const yaml_event_type_t type = e->type;
    refuse_extras(b, e);
    if (type == YAML_ALIAS_EVENT)
        refuse(b, at, "alias '*%s'; aliases are not used in manifests; write the value out",
               shown(b->mem, (const char *)e->data.alias.anchor, 40));
    else if (++b->nodes > TREE_MAX_NODES)
        refuse(b, at, "more than %d values; expected a smaller manifest", TREE_MAX_NODES);
    else if (depth > TREE_MAX_DEPTH)
        refuse(b, at, "nested more than %d levels deep; expected a flatter manifest", TREE_MAX_DEPTH);
    else if (!b->failed && type == YAML_SCALAR_EVENT)
        n = build_scalar(b, e, at);
    yaml_event_delete(e);
    if (!b->failed && type == YAML_SEQUENCE_START_EVENT)
        n = build_list(b, at, depth);
    else if (!b->failed && type == YAML_MAPPING_START_EVENT)
        n = build_map(b, at, depth);
    return n;
}

/* ---- the document --------------------------------------------------------------------------- */

static node *build_document(builder *b)
{
    node *root = NULL;
    yaml_event_t e;
    for (bool ended = false; !ended && next(b, &e);) {
        switch (e.type) {
        case YAML_DOCUMENT_START_EVENT:
            if (root)
                refuse(b, at_mark(b, e.start_mark),
                       "a second document; expected one; remove '---' and what follows");
            yaml_event_delete(&e);
            break;
        case YAML_SCALAR_EVENT:
        case YAML_SEQUENCE_START_EVENT:
        case YAML_MAPPING_START_EVENT:
        case YAML_ALIAS_EVENT:
            root = build(b, &e, 1);
            break;
        default:
            ended = e.type == YAML_STREAM_END_EVENT || e.type == YAML_NO_EVENT;
            yaml_event_delete(&e);
        }
    }
    return root;
}

static bool check_text(builder *b)
{
    size_t bad;
    if (b->size > TREE_MAX_TEXT) {
        char size[32];
        refuse(b, (place){b->file, 0, 0}, "%s of text; expected at most 16 MiB",
               human_bytes((double)b->size, size));
    } else if (!utf8_valid(b->text, b->size, &bad)) {
        refuse(b, at_offset(b, bad),
               "byte %zu (0x%02x) is not UTF-8; expected UTF-8 text; try iconv -t utf-8", bad,
               (unsigned char)b->text[bad]);
    }
    return !b->failed;
}

node *tree_parse(arena *mem, const char *file, const char *yaml, size_t n, bool placed, diags *d)
{
    static const char mark[] = "\xef\xbb\xbf"; /* of UTF-8, from editors that write one */
    const size_t skip = n >= 3 && memcmp(yaml, mark, 3) == 0 ? 3 : 0;
    yaml += skip;
    n -= skip;
    builder b = {.mem = mem, .file = file, .text = yaml, .size = n, .placed = placed, .d = d};
    if (!check_text(&b))
        return NULL;
    if (!yaml_parser_initialize(&b.parser)) {
        diags_error(d, (place){file, 0, 0}, "no memory to read it");
        return NULL;
    }
    yaml_parser_set_encoding(&b.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&b.parser, (const unsigned char *)yaml, n);
    node *root = build_document(&b);
    yaml_parser_delete(&b.parser);
    if (!b.failed && !root) { /* nothing but comments */
        root = node_new(mem, NODE_SCALAR, (place){file, placed, placed});
        root->plain = true;
        root->text = "";
    }
    return b.failed ? NULL : root;
}
