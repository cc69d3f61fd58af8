#include "manifest/manifest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "manifest/json.h"
#include "manifest/reader.h"
#include "util/text.h"

/* What a manifest_free or spec_free gives back together with what the caller sees. */
typedef struct whole_manifest {
    manifest m;
    arena *mem;
    char *effective;
} whole_manifest;

typedef struct whole_spec {
    component_spec spec;
    arena *mem;
} whole_spec;

/* ---- the text ------------------------------------------------------------------------------- */

static bool read_all(int fd, text *t, int *error)
{
    const size_t most = (size_t)TREE_MAX_TEXT + 1; /* one more than is allowed tells */
    for (size_t room = 0; t->n < most;) {
        if (t->n == room) {
            room = room ? 2 * room : 65536;
            room = room > most ? most : room;
            t->s = xrealloc(t->s, room + 1);
        }
        const ssize_t n = read(fd, t->s + t->n, room - t->n);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            *error = errno;
        if (n <= 0)
            break;
        t->n += (size_t)n;
    }
    return *error == 0;
}

/* The file's bytes, or a complaint. */
static bool load(const char *path, const char *file, text *t, diags *d)
{
    const bool standard_input = strcmp(path, "-") == 0;
    const int fd = standard_input ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    const place at = {file, 0, 0};
    struct stat s;
    char size[32];
    int error = 0;
    bool good = false;
    if (fd < 0 || fstat(fd, &s) != 0)
        diags_error(d, at, "cannot open it: %s; expected a manifest", strerror(errno));
    else if (S_ISDIR(s.st_mode))
        diags_error(d, at, "it is a directory; expected a manifest");
    else if (S_ISREG(s.st_mode) && s.st_size > (off_t)TREE_MAX_TEXT)
        diags_error(d, at, "%s of text; expected at most 16 MiB", human_bytes((double)s.st_size, size));
    else if (!read_all(fd, t, &error))
        diags_error(d, at, "cannot read it: %s", strerror(error));
    else if (t->n > TREE_MAX_TEXT)
        diags_error(d, at, "more than 16 MiB of text; expected at most 16 MiB");
    else
        good = true;
    if (fd >= 0 && !standard_input)
        close(fd);
    return good;
}

/* "runs/fashion.yaml" -> "fashion" */
static const char *base_name(arena *mem, const char *path)
{
    if (strcmp(path, "-") == 0)
        return "stdin";
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
    const char *dot = strrchr(base, '.');
    return arena_strn(mem, base, dot && dot > base ? (size_t)(dot - base) : strlen(base));
}

static const char *directory_of(arena *mem, const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        return ".";
    return slash == path ? "/" : arena_strn(mem, path, (size_t)(slash - path));
}

/* ---- the default oracle --------------------------------------------------------------------- */

static node *scalar(arena *mem, place at, const char *s)
{
    node *n = node_new(mem, NODE_SCALAR, at);
    n->text = s;
    return n;
}

/* Who answers when the manifest does not say: the only oracle that asks for the dataset's own labels.
 * The host knows it by what it needs, not by name. */
static void complete_oracle(reader *rd, node *root)
{
    const node_entry *e = node_entry_of(root, "oracle");
    if (e && (e->value->kind != NODE_MAP || node_entry_of(e->value, "use")))
        return;
    const place at = e ? e->value->at : (place){root->at.file, 0, 0};
    const component_desc *found = NULL;
    text names = {0};
    int n = 0;
    for (int i = 0; i < registry_n_components(rd->reg); i++) {
        const component_desc *c = registry_component(rd->reg, i);
        if (c->kind != DAL_KIND_ORACLE || !dal_has_word(c->needs, DAL_CAP_TRUTH))
            continue;
        text_addf(&names, "%s%s", n++ ? ", " : "", c->id);
        found = c;
    }
    if (n == 1) {
        node *oracle = e ? e->value : node_new(rd->mem, NODE_MAP, at);
        node_put(rd->mem, oracle, "use", at, scalar(rd->mem, at, found->id));
        node_put(rd->mem, root, "oracle", at, oracle);
    } else if (n > 1) {
        complain(rd, at,
                 "no oracle is named, and several answer from the dataset's labels: %s; name one, as "
                 "in 'oracle: %s'",
                 names.s, found->id);
    } else {
        complain(rd, at,
                 "no oracle is named, and none that is installed answers from the dataset's labels; "
                 "name one with 'oracle: ID'%s",
                 installed_list(rd, DAL_KIND_ORACLE));
    }
    text_free(&names);
}

/* ---- what a card brings along ----------------------------------------------------------------- */

/* The transforms of the card that `dataset` names come before the manifest's own. */
static void add_card_transforms(reader *rd, node *root)
{
    const node_entry *e = node_entry_of(root, "dataset"), *own = node_entry_of(root, "transforms");
    const node_entry *use = e && e->value->kind == NODE_MAP ? node_entry_of(e->value, "use") : NULL;
    if (!e || (e->value->kind == NODE_MAP && (!use || node_entry_of(e->value, "from"))))
        return;
    const card *c = card_meant(rd, use ? use->value : e->value);
    node *all = c && !(own && node_is_null(own->value)) ? join_transforms(rd, c, own ? own->value : NULL) : NULL;
    if (all)
        node_put(rd->mem, root, "transforms", all->at, all);
}

/* ---- the manifest --------------------------------------------------------------------------- */

static void read_section(reader *rd, int k, const node *root, manifest_values *v)
{
    const section *s = &manifest_sections[k];
    const node_entry *e = node_entry_of(root, s->name);
    const node *map = e ? e->value : NULL;
    v->section_at[k] = map ? map->at : (place){root->at.file, 0, 0};
    if (map && map->kind != NODE_MAP) {
        const bool null = node_is_null(map);
        complain(rd, map->at, "%s is %s; expected a mapping, as in %s: {%s: %s}%s", s->name,
                 describe(rd, map), s->name, s->params[0].name, s->params[0].def,
                 null ? "; leave the key out for the defaults" : "");
        map = NULL;
    }
    const owner o = {
        .prefix = arena_printf(rd->mem, "%s.", s->name),
        .of = arena_printf(rd->mem, " of %s", s->name),
        .at = v->section_at[k],
        .params = s->params,
        .n_params = s->n_params,
    };
    read_params(rd, &o, map, v->sections[k]);
}

static void read_root(reader *rd, const node *root, manifest_values *v)
{
    const char *others[SECTION_N + 1] = {NULL};
    for (int k = 0; k < SECTION_N; k++)
        others[k] = manifest_sections[k].name;
    const owner o = {
        .prefix = "",
        .of = "",
        .at = {root->at.file, 0, 0},
        .params = manifest_root.params,
        .n_params = manifest_root.n_params,
        .others = others,
    };
    read_params(rd, &o, root, v->root);
    for (int k = 0; k < SECTION_N; k++)
        read_section(rd, k, root, v);
}

static place value_at(const manifest_values *v, int k, int i)
{
    return v->sections[k][i].given ? v->sections[k][i].at : v->section_at[k];
}

static component_spec **spec_array(arena *mem, const param_value *v)
{
    component_spec **specs = arena_alloc(mem, (size_t)v->n + 1, sizeof *specs);
    for (int64_t i = 0; i < v->n; i++)
        specs[i] = v->component[i];
    return specs;
}

/* Only after everything was read without an error. */
static void fill_manifest(manifest *m, arena *mem, const manifest_values *v)
{
    const param_value *root = v->root, *initial = v->sections[SECTION_INITIAL];
    const param_value *query = v->sections[SECTION_QUERY], *stop = v->sections[SECTION_STOP];
    const param_value *record = v->sections[SECTION_RECORD];
    if (*root[ROOT_NAME].str[0])
        m->name = root[ROOT_NAME].str[0];
    m->seed = (uint64_t)root[ROOT_SEED].i64[0];
    m->trials = root[ROOT_TRIALS].i64[0];
    m->memory = root[ROOT_MEMORY].i64[0];
    m->dataset = root[ROOT_DATASET].component[0];
    m->model = root[ROOT_MODEL].component[0];
    m->oracle = root[ROOT_ORACLE].component[0];
    m->transforms = spec_array(mem, &root[ROOT_TRANSFORMS]);
    m->n_transforms = (int)root[ROOT_TRANSFORMS].n;
    m->strategies = spec_array(mem, &root[ROOT_STRATEGY]);
    m->n_strategies = (int)root[ROOT_STRATEGY].n;
    m->initial_size = initial[INITIAL_SIZE].i64[0];
    m->initial_balanced = initial[INITIAL_BALANCED].boolean;
    if (initial[INITIAL_STRATEGY].n > 0)
        m->initial_strategy = initial[INITIAL_STRATEGY].component[0];
    m->query_size = query[QUERY_SIZE].i64[0];
    m->rounds = query[QUERY_ROUNDS].i64[0];
    m->candidates = query[QUERY_CANDIDATES].i64[0];
    m->over_memory = (over_memory)query[QUERY_OVER_MEMORY].choice;
    m->stop_accuracy = stop[STOP_ACCURACY].f64[0];
    m->stop_labels = stop[STOP_LABELS].i64[0];
    m->stop_cost = stop[STOP_COST].f64[0];
    m->warm_start = v->sections[SECTION_TRAIN][TRAIN_WARM_START].boolean;
    m->keep = (keep_models)record[RECORD_MODELS].choice;
    m->record_nearest = record[RECORD_NEAREST].boolean;
    m->record_explain = record[RECORD_EXPLAIN].boolean;
    m->at_initial = v->section_at[SECTION_INITIAL];
    m->at_query = v->section_at[SECTION_QUERY];
    m->at_stop = v->section_at[SECTION_STOP];
    m->at_train = v->section_at[SECTION_TRAIN];
    m->at_record = v->section_at[SECTION_RECORD];
    m->at_initial_size = value_at(v, SECTION_INITIAL, INITIAL_SIZE);
    m->at_query_size = value_at(v, SECTION_QUERY, QUERY_SIZE);
    m->at_rounds = value_at(v, SECTION_QUERY, QUERY_ROUNDS);
}

/* The tree with all --set applied, or NULL. */
static node *read_tree(arena *mem, const char *path, const char *file, const char *builtin,
                       const manifest_options *o, diags *d)
{
    text t = {0};
    node *root = NULL;
    if (builtin)
        root = tree_parse(mem, file, builtin, strlen(builtin), true, d);
    else if (load(path, file, &t, d))
        root = tree_parse(mem, file, t.s, t.n, true, d);
    text_free(&t);
    if (root && root->kind != NODE_MAP) {
        diags_error(d, (place){file, 0, 0}, "%s; expected a mapping that begins with 'dalhost: 1'",
                    node_is_null(root)        ? "it is empty"
                    : root->kind == NODE_LIST ? "it is a list"
                                              : "it is plain text");
        return NULL;
    }
    for (int i = 0; root && i < o->n_sets; i++)
        tree_set(mem, root, o->sets[i], d);
    return root;
}

manifest *manifest_read(const char *path, const char *builtin, const registry *r,
                        const manifest_options *options, diags *d)
{
    static const manifest_options none = {0};
    const manifest_options *o = options ? options : &none;
    arena *mem = arena_new();
    const bool standard_input = !builtin && strcmp(path, "-") == 0;
    const char *file = standard_input ? "<stdin>" : arena_strn(mem, path, strlen(path));
    whole_manifest *w = xcalloc(1, sizeof *w);
    *w = (whole_manifest){.m = {.path = file, .name = base_name(mem, path)}, .mem = mem};
    node *root = read_tree(mem, path, file, builtin, o, d);
    if (root) {
        manifest_values *v = arena_alloc(mem, 1, sizeof *v);
        reader rd = {
            .mem = mem,
            .reg = r,
            .d = d,
            .directory = builtin || standard_input ? "." : directory_of(mem, path),
            .data_path = o->data_path,
            .n_data_path = o->n_data_path,
            .cards = o->cards,
        };
        complete_oracle(&rd, root);
        add_card_transforms(&rd, root);
        read_root(&rd, root, v);
        check_manifest(&rd, v);
        if (diags_errors(d) == 0) {
            fill_manifest(&w->m, mem, v);
            w->m.effective = w->effective = effective_json(v);
        }
    }
    if (diags_errors(d) == 0)
        return &w->m;
    manifest_free(&w->m);
    return NULL;
}

void manifest_free(manifest *m)
{
    if (!m)
        return;
    whole_manifest *w = (whole_manifest *)(void *)m; /* its first member */
    free(w->effective);
    arena_free(w->mem);
    free(w);
}

/* ---- a dataset from the command line ---------------------------------------------------------- */

manifest *manifest_of_dataset(const char *id, const registry *r, const manifest_options *o, diags *d)
{
    arena *mem = arena_new();
    whole_manifest *w = xcalloc(1, sizeof *w);
    const char *name = arena_strn(mem, id, strlen(id));
    *w = (whole_manifest){.m = {.path = name, .name = name}, .mem = mem};
    const place at = {"dataset", 0, 0};
    node *map = node_new(mem, NODE_MAP, at), *root = node_new(mem, NODE_MAP, at);
    node_put(mem, map, "use", at, scalar(mem, at, name));
    for (int i = 0; i < o->n_sets; i++)
        tree_set(mem, map, o->sets[i], d);
    node_put(mem, root, "dataset", at, map);
    reader rd = {.mem = mem, .reg = r, .d = d, .data_path = o->data_path, .n_data_path = o->n_data_path,
                 .cards = o->cards};
    add_card_transforms(&rd, root);
    w->m.dataset = read_component(&rd, "dataset", map, DAL_KIND_DATASET);
    const node_entry *transforms = node_entry_of(root, "transforms");
    param_value v = {0};
    if (transforms && read_value(&rd, "transforms", transforms->value, &manifest_root.params[ROOT_TRANSFORMS], &v)) {
        w->m.transforms = spec_array(mem, &v);
        w->m.n_transforms = (int)v.n;
    }
    if (w->m.dataset && diags_errors(d) == 0)
        return &w->m;
    manifest_free(&w->m);
    return NULL;
}

/* ---- one component from the command line ------------------------------------------------------ */

component_spec *spec_from_sets(uint32_t kind, const char *id, const char *const *sets, int n,
                               const registry *r, diags *d)
{
    arena *mem = arena_new();
    const place at = {arena_printf(mem, "--%s %s", kind_name(kind), shown(mem, id, 60)), 0, 0};
    node *map = node_new(mem, NODE_MAP, at);
    node_put(mem, map, "use", at, scalar(mem, at, arena_strn(mem, id, strlen(id))));
    for (int i = 0; i < n; i++)
        tree_set(mem, map, sets[i], d);
    reader rd = {.mem = mem, .reg = r, .d = d};
    const component_spec *spec = read_component(&rd, kind_name(kind), map, kind);
    if (!spec || diags_errors(d) > 0) {
        arena_free(mem);
        return NULL;
    }
    whole_spec *w = xcalloc(1, sizeof *w);
    *w = (whole_spec){*spec, mem};
    return &w->spec;
}

void spec_free(component_spec *s)
{
    if (!s)
        return;
    whole_spec *w = (whole_spec *)(void *)s; /* its first member */
    arena_free(w->mem);
    free(w);
}
