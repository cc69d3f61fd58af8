/* One card: read like a manifest, from tables of what it may say. */
#include "manifest/card.h"

#include <stdlib.h>

#include "manifest/reader.h"
#include "util/text.h"

#define CARD_FORMAT 1
#define COUNT(array) ((int)(sizeof(array) / sizeof *(array)))

enum { CARD, NAME, TITLE, MODALITY, SHAPE, CLASSES, LICENCE, CITATION, HOME, NOTES, CARD_N };
static const param_desc card_params[CARD_N] = {
    [CARD] = {"card", DAL_PARAM_I64, DAL_REQUIRED, "1..", "", "version of the format of cards; write 'card: 1'"},
    [NAME] = {"name", DAL_PARAM_STR, DAL_REQUIRED, "nonempty", "", "what manifests call it: the file's name"},
    [TITLE] = {"title", DAL_PARAM_STR, DAL_REQUIRED, "nonempty", "", "what it is, in a line"},
    [MODALITY] = {"modality", DAL_PARAM_CHOICE, DAL_REQUIRED, "vector|image|text|sparse", "", "what a sample is"},
    [SHAPE] = {"shape", DAL_PARAM_I64S, "", "1..", "", "of a sample"},
    [CLASSES] = {"classes", DAL_PARAM_STRS, "", "nonempty", "", "their names, in order"},
    [LICENCE] = {"licence", DAL_PARAM_STR, "", "", "", ""},
    [CITATION] = {"citation", DAL_PARAM_STR, "", "", "", ""},
    [HOME] = {"home", DAL_PARAM_STR, "", "", "", "where its authors tell of it"},
    [NOTES] = {"notes", DAL_PARAM_STRS, "", "nonempty", "", "what one should know: a subset, lossy"},
};
static const char *const card_others[] = {"counts", "normalise", "dataset", "transforms", "files", NULL};

enum { PATH, URL, SHA256, SIZE, OPTIONAL, FILE_N };
static const param_desc file_params[FILE_N] = {
    [PATH] = {"path", DAL_PARAM_STR, DAL_REQUIRED, "nonempty", "", "relative to the folder of data"},
    [URL] = {"url", DAL_PARAM_STR, "", "", "", "where the original can be fetched"},
    [SHA256] = {"sha256", DAL_PARAM_STR, "", "", "", "of its bytes, in hexadecimal"},
    [SIZE] = {"size", DAL_PARAM_I64, "-1", "-1..", "", "in bytes; -1: not known"},
    [OPTIONAL] = {"optional", DAL_PARAM_BOOL, "false", "", "", "the dataset can be read without it"},
};

static const char *const split_names[DAL_SPLITS] = {"train", "validation", "test"};
static const param_desc count_params[DAL_SPLITS] = {
    {"train", DAL_PARAM_I64S, "", "0..", "", "samples"},
    {"validation", DAL_PARAM_I64S, "", "0..", "", "samples"},
    {"test", DAL_PARAM_I64S, "", "0..", "", "samples"},
};

enum { MEAN, STD, NORMALISE_N };
static const param_desc normalise_params[NORMALISE_N] = {
    [MEAN] = {"mean", DAL_PARAM_F64S, "", "", "", "of each channel"},
    [STD] = {"std", DAL_PARAM_F64S, "", "(0..", "", "of each channel"},
};

/* ---- parts ---- */

static const node *part_of(reader *rd, const node *root, const char *name, node_kind kind)
{
    const node_entry *e = node_entry_of(root, name);
    if (e && e->value->kind == kind)
        return e->value;
    if (e)
        complain(rd, e->value->at, "%s is %s; expected a %s", name, describe(rd, e->value),
                 kind == NODE_MAP ? "mapping" : "list");
    return NULL;
}

static void read_part(reader *rd, const char *name, place at, const param_desc *params, int n, const node *map,
                      param_value *out)
{
    const owner o = {
        .prefix = arena_printf(rd->mem, "%s.", name),
        .of = arena_printf(rd->mem, " of %s", name),
        .at = at,
        .params = params,
        .n_params = n,
    };
    read_params(rd, &o, map, out);
}

static void read_counts(reader *rd, const node *root, card *c)
{
    const node *map = part_of(rd, root, "counts", NODE_MAP);
    param_value v[DAL_SPLITS];
    if (!map)
        return;
    for (int i = 0; i < map->n; i++) /* train: 60000 is train: [60000] */
        if (map->entries[i].value->kind == NODE_SCALAR) {
            node *list = node_new(rd->mem, NODE_LIST, map->entries[i].value->at);
            node_append(rd->mem, list, map->entries[i].value);
            map->entries[i].value = list;
        }
    read_part(rd, "counts", map->at, count_params, DAL_SPLITS, map, v);
    for (uint32_t k = 0; k < DAL_SPLITS; k++) {
        c->counts[k] = v[k].i64;
        c->n_counts[k] = v[k].i64 ? v[k].n : 0;
        if (c->n_counts[k] > 1 && c->n_counts[k] != c->n_classes)
            complain(rd, v[k].at, "counts.%s has %lld numbers, but there are %lld classes; expected one of each class, "
                     "or one of all", split_names[k], (long long)c->n_counts[k], (long long)c->n_classes);
    }
}

static void read_normalise(reader *rd, const node *root, card *c)
{
    const node *map = part_of(rd, root, "normalise", NODE_MAP);
    param_value v[NORMALISE_N];
    if (!map)
        return;
    read_part(rd, "normalise", map->at, normalise_params, NORMALISE_N, map, v);
    c->mean = v[MEAN].f64;
    c->n_mean = v[MEAN].f64 ? v[MEAN].n : 0;
    c->std = v[STD].f64;
    c->n_std = v[STD].f64 ? v[STD].n : 0;
}

/* Relative, and never out of the folder it is relative to: fetch writes there. */
static bool stays_inside(const char *path)
{
    for (const char *p = path; *p;) {
        const size_t n = strcspn(p, "/");
        if (n == 0 || (n == 1 && *p == '.') || (n == 2 && p[0] == '.' && p[1] == '.'))
            return false;
        p += n + (p[n] == '/' && p[n + 1]);
        if (*p == '/' && !p[1])
            return false;
    }
    return *path != '/';
}

static void check_file(reader *rd, const card_file *f)
{
    const size_t hex = strspn(f->sha256, "0123456789abcdef");
    if (*f->sha256 && (hex != 64 || f->sha256[64]))
        complain(rd, f->at, "sha256 of %s is '%s'; expected 64 digits 0-9a-f", shown(rd->mem, f->path, 80),
                 shown(rd->mem, f->sha256, 80));
    if (*f->url && strncmp(f->url, "https://", 8) != 0 && strncmp(f->url, "http://", 7) != 0)
        complain(rd, f->at, "url of %s is '%s'; expected https://... or http://...", shown(rd->mem, f->path, 80),
                 shown(rd->mem, f->url, 80));
    if (*f->path == '/' ? *f->url != '\0' : !stays_inside(f->path))
        complain(rd, f->at, "path '%s'; expected one below a folder of data, without '.' and '..'%s",
                 shown(rd->mem, f->path, 80), *f->path == '/' ? ", since it has a url" : "");
}

static void read_files(reader *rd, const node *root, card *c)
{
    const node *list = part_of(rd, root, "files", NODE_LIST);
    c->files = arena_alloc(rd->mem, (size_t)(list ? list->n : 0) + 1, sizeof *c->files);
    for (int i = 0; list && i < list->n; i++) {
        const node *item = list->items[i];
        param_value v[FILE_N];
        const int errors = rd->errors;
        if (item->kind != NODE_MAP) {
            complain(rd, item->at, "files[%d] is %s; expected a mapping, as in {path: FILE, size: N}", i,
                     describe(rd, item));
            continue;
        }
        read_part(rd, arena_printf(rd->mem, "files[%d]", i), item->at, file_params, FILE_N, item, v);
        if (rd->errors > errors)
            continue;
        card_file *f = &c->files[c->n_files++];
        *f = (card_file){v[PATH].str[0], v[URL].str[0], v[SHA256].str[0], v[SIZE].i64[0], v[OPTIONAL].boolean,
                         item->at};
        check_file(rd, f);
    }
}

/* ---- the whole ---- */

/* "cards/mnist.yaml" is called mnist. */
static void check_name(reader *rd, const card *c, const param_value *name)
{
    const char *slash = strrchr(c->path, '/'), *base = slash ? slash + 1 : c->path;
    const char *dot = strrchr(base, '.');
    const size_t n = dot ? (size_t)(dot - base) : strlen(base);
    if (strlen(c->name) != n || strncmp(c->name, base, n) != 0)
        complain(rd, name->at, "name is '%s', but the file is %s; expected the same", shown(rd->mem, c->name, 60),
                 base);
}

static void read_card(reader *rd, const node *root, card *c)
{
    param_value v[CARD_N];
    const owner o = {
        .prefix = "",
        .of = "",
        .at = {c->path, 0, 0},
        .params = card_params,
        .n_params = CARD_N,
        .others = card_others,
    };
    read_params(rd, &o, root, v);
    if (rd->errors)
        return;
    size_t n;
    const char *word = choice_word(card_params[MODALITY].domain, v[MODALITY].choice, &n);
    c->modality = arena_strn(rd->mem, word, n);
    c->name = v[NAME].str[0];
    c->title = v[TITLE].str[0];
    c->licence = v[LICENCE].str[0];
    c->citation = v[CITATION].str[0];
    c->home = v[HOME].str[0];
    c->shape = v[SHAPE].i64;
    c->n_shape = v[SHAPE].n;
    c->classes = v[CLASSES].str;
    c->n_classes = v[CLASSES].n;
    c->notes = v[NOTES].str;
    c->n_notes = v[NOTES].n;
    if (v[CARD].i64[0] > CARD_FORMAT)
        complain(rd, v[CARD].at, "card is %lld; expected %d, the format of cards that this program reads",
                 (long long)v[CARD].i64[0], CARD_FORMAT);
    check_name(rd, c, &v[NAME]);
    read_counts(rd, root, c);
    read_normalise(rd, root, c);
    read_files(rd, root, c);
    c->transforms = part_of(rd, root, "transforms", NODE_LIST);
    c->dataset = part_of(rd, root, "dataset", NODE_MAP);
    if (!node_entry_of(root, "dataset"))
        complain(rd, o.at,
                 "'dataset' is missing; expected the loader and its parameters, as in {use: csv, path: FILE}");
    else if (c->dataset && !node_entry_of(c->dataset, "use"))
        complain(rd, c->dataset->at, "dataset has no 'use'; expected the loader's id");
}

card *card_parse(arena *mem, const char *path, const char *yaml, size_t n, diags *d)
{
    card *c = arena_alloc(mem, 1, sizeof *c);
    *c = (card){.path = path};
    const int before = diags_errors(d);
    const node *root = tree_parse(mem, path, yaml, n, true, d);
    reader rd = {.mem = mem, .d = d};
    if (!root || diags_errors(d) > before)
        return NULL;
    if (root->kind != NODE_MAP) {
        complain(&rd, root->at, "%s; expected a card, a mapping that begins with 'card: 1'",
                 node_is_null(root) ? "it is empty" : root->kind == NODE_LIST ? "it is a list" : "it is plain text");
        return NULL;
    }
    read_card(&rd, root, c);
    return rd.errors ? NULL : c;
}

int64_t card_count(const card *c, uint32_t split)
{
    int64_t n = 0;
    for (int64_t i = 0; i < c->n_counts[split]; i++)
        n = c->counts[split][i] > INT64_MAX - n ? INT64_MAX : n + c->counts[split][i];
    return c->n_counts[split] ? n : -1;
}
