/* Tensors of a folder and their places in a network's weights. */
#include "bert_files.h"

#include <math.h>
#include <stdlib.h>

#define KEY "folder"
#define NAME BERT_NAME

/* ---- the list ----------------------------------------------------------------------------------- */

typedef struct list {
    const bert_files *f;
    const dal_nn *nn;
    bert_tensor *out; /* NULL: they are counted */
    int64_t n;
} list;

/* Where the network keeps the parameter of this name; -1: nowhere. */
static int64_t parameter(const dal_nn *nn, const char *name)
{
    dal_nn_info info = {.struct_size = sizeof info};
    dal_nn_describe(nn, &info);
    for (int64_t i = 0; i < info.n_parameters; i++)
        if (strcmp(dal_nn_parameter(nn, i)->name, name) == 0)
            return dal_nn_parameter(nn, i)->offset;
    return -1;
}

/* Rows [rows, cols] from row `first` on of the network's parameter `ours`, if it has that. */
static void add(list *l, uint32_t part, const char *theirs, const char *ours, int64_t rows, int64_t cols, int64_t first)
{
    const int64_t at = parameter(l->nn, ours);
    if (at < 0)
        return;
    if (l->out) {
        bert_tensor *t = &l->out[l->n];
        *t = (bert_tensor){.rows = rows, .cols = cols, .offset = at + first * (cols > 0 ? cols : 1), .part = part};
        snprintf(t->name, sizeof t->name, "%s", theirs);
    }
    l->n++;
}

/* Weight [rows, cols] and bias [rows] of a layer. */
static void add_both(list *l, uint32_t part, const char *theirs, const char *ours, int64_t rows, int64_t cols,
                     int64_t first)
{
    for (int i = 0; i < 2; i++) {
        char full[NAME], name[64];
        snprintf(full, sizeof full, "%s.%s", theirs, i ? "bias" : "weight");
        snprintf(name, sizeof name, "%s.%s", ours, i ? "bias" : "weight");
        add(l, part, full, name, rows, i ? 0 : cols, first);
    }
}

static void add_table(list *l, const char *theirs, const char *ours, int64_t rows)
{
    char full[NAME];
    snprintf(full, sizeof full, "%sembeddings.%s.weight", l->f->family->prefix, theirs);
    add(l, BERT_BODY, full, ours, rows, l->f->shape.width, 0);
}

static void add_layer(list *to, int64_t l)
{
    const bert_family *y = to->f->family;
    const int64_t w = to->f->shape.width, wide = to->f->shape.wide;
    const struct {
        const char *theirs, *ours;
        int64_t rows, cols, first;
    } all[] = {{y->query, "qkv", w, w, 0},     {y->key, "qkv", w, w, w},      {y->value, "qkv", w, w, 2 * w},
               {y->out, "out", w, w, 0},       {y->norm1, "norm1", w, 0, 0},  {y->wide, "wide", wide, w, 0},
               {y->narrow, "narrow", w, wide, 0}, {y->norm2, "norm2", w, 0, 0}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        char theirs[NAME - 16], ours[48];
        snprintf(theirs, sizeof theirs, "%s%s%lld.%s", y->prefix, y->layers, (long long)l, all[i].theirs);
        snprintf(ours, sizeof ours, "layer%lld.%s", (long long)l + 1, all[i].ours);
        add_both(to, BERT_BODY, theirs, ours, all[i].rows, all[i].cols, all[i].first);
    }
}

static int64_t classes_of(const dal_nn *nn)
{
    dal_nn_info info = {.struct_size = sizeof info};
    dal_nn_describe(nn, &info);
    return info.n_outputs;
}

int64_t bert_tensors(const bert_files *f, const dal_nn *nn, bert_tensor *out)
{
    const bert_family *y = f->family;
    const bert_shape *s = &f->shape;
    list l = {f, nn, out, 0};
    char name[NAME - 16];
    add_table(&l, "word_embeddings", "embedding.words", s->vocabulary);
    add_table(&l, "position_embeddings", "embedding.positions", s->positions);
    add_table(&l, "token_type_embeddings", "embedding.segments", s->segments);
    snprintf(name, sizeof name, "%sembeddings.LayerNorm", y->prefix);
    add_both(&l, BERT_BODY, name, "norm", s->width, 0, 0);
    for (int64_t i = 0; i < s->layers; i++)
        add_layer(&l, i);
    if (y->head[0] == '/')
        snprintf(name, sizeof name, "%s", y->head + 1);
    else
        snprintf(name, sizeof name, "%s%s", y->prefix, y->head);
    add_both(&l, BERT_HEAD, name, "head", s->width, s->width, 0);
    add_both(&l, BERT_OUTPUT, y->output, "output", classes_of(nn), s->width, 0);
    return l.n;
}

/* ---- from the file ------------------------------------------------------------------------------ */

const dal_tensor *bert_files_find(const bert_files *f, const char *name)
{
    const size_t prefix = strlen(f->family->prefix), n = strlen(name);
    char other[NAME];
    const dal_tensor *t = dal_safetensors_find(f->weights, name);
    const char *bare = strncmp(name, f->family->prefix, prefix) == 0 ? name + prefix : name;
    if (!t)
        t = dal_safetensors_find(f->weights, bare);
    for (int i = 0; i < 2 && !t; i++) {
        const char *from = i ? "LayerNorm.bias" : "LayerNorm.weight";
        const size_t m = strlen(from);
        if (n < m || strcmp(name + n - m, from) != 0)
            continue;
        snprintf(other, sizeof other, "%.*sLayerNorm.%s", (int)(n - m), name, i ? "beta" : "gamma");
        t = dal_safetensors_find(f->weights, other);
        if (!t && bare != name)
            t = dal_safetensors_find(f->weights, other + prefix);
    }
    return t;
}

static dal_status fill(const bert_files *f, const bert_tensor *p, int optional, float *to, dal_error *err)
{
    const dal_tensor *t = bert_files_find(f, p->name);
    char have[160];
    if (!t && optional)
        return DAL_OK;
    if (!t)
        return dal_fail(err, DAL_E_FORMAT, KEY, "%s: has no tensor '%s', which %s needs; expected the weights of a %s",
                        f->path, p->name, f->family->id, f->family->id);
    const int64_t want[2] = {p->rows, p->cols};
    const uint32_t ndim = p->cols > 0 ? 2 : 1;
    int same = t->ndim == ndim;
    for (uint32_t i = 0; same && i < ndim; i++)
        same = t->shape[i] == want[i];
    if (!same && p->cols > 0)
        return dal_fail(err, DAL_E_FORMAT, KEY, "%s: tensor '%s' is %s; config.json makes it [%lld, %lld]", f->path,
                        p->name, dal_tensor_describe(t, have), (long long)p->rows, (long long)p->cols);
    if (!same)
        return dal_fail(err, DAL_E_FORMAT, KEY, "%s: tensor '%s' is %s; config.json makes it [%lld]", f->path, p->name,
                        dal_tensor_describe(t, have), (long long)p->rows);
    dal_error e = DAL_ERROR_INIT;
    const dal_status st = dal_tensor_to_f32(t, to, &e);
    if (st != DAL_OK)
        return dal_fail(err, st, KEY, "%s: %s", f->path, e.text);
    for (int64_t i = 0; i < t->count; i++)
        if (!isfinite(to[i]))
            return dal_fail(err, DAL_E_FORMAT, KEY, "%s: number %lld of tensor '%s' is %g", f->path, (long long)i,
                            p->name, (double)to[i]);
    return DAL_OK;
}

static int begins(const char *name, const char *with)
{
    return strncmp(name, with, strlen(with)) == 0;
}

/* Has the architecture a use for a tensor of this name, or has another head of it? */
static int is_known(const bert_files *f, const char *name)
{
    const bert_family *y = f->family;
    for (int i = 0; i < 8 && y->ignored[i]; i++)
        if (begins(name, y->ignored[i]))
            return 1;
    if ((y->head[0] == '/' && begins(name, y->head + 1)) || begins(name, y->output))
        return 1;
    name += begins(name, y->prefix) ? strlen(y->prefix) : 0;
    if (begins(name, "embeddings.") || (y->head[0] != '/' && begins(name, y->head)))
        return 1;
    if (!begins(name, y->layers))
        return 0;
    char *end;
    const long long l = strtoll(name + strlen(y->layers), &end, 10);
    const char *const parts[] = {y->query, y->key, y->value, y->out, y->norm1, y->wide, y->narrow, y->norm2};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (l >= 0 && l < f->shape.layers && *end == '.' && begins(end + 1, parts[i]))
            return 1;
    return 0;
}

static dal_status check_names(const bert_files *f, dal_error *err)
{
    for (int64_t i = 0; i < dal_safetensors_count(f->weights); i++) {
        const dal_tensor *t = dal_safetensors_tensor(f->weights, i);
        char have[160], name[96];
        if (is_known(f, t->name))
            continue;
        snprintf(name, sizeof name, "%.90s", t->name);
        for (char *p = name; *p; p++)
            if ((unsigned char)*p < 0x20 || *p == 0x7f)
                *p = '?';
        return dal_fail(err, DAL_E_FORMAT, KEY,
                        "%s: tensor '%s', %s, is none that %s of %lld layers has; is this the folder of another "
                        "architecture?", f->path, name, dal_tensor_describe(t, have), f->family->id,
                        (long long)f->shape.layers);
    }
    return DAL_OK;
}

/* Where the last layer is to be the folder's: what it lacks for that. */
static dal_status check_output(const bert_files *f, const bert_tensor *p, dal_error *err)
{
    const dal_tensor *t = bert_files_find(f, p->name);
    char have[160];
    if (!t)
        return dal_fail(err, DAL_E_FORMAT, "last_layer",
                        "%s: has no tensor '%s', so last_layer cannot be that of the folder; expected new", f->path,
                        p->name);
    if (t->ndim > 0 && t->shape[0] != p->rows)
        return dal_fail(err, DAL_E_FORMAT, "last_layer",
                        "%s: tensor '%s' is %s, but there are %lld classes here; last_layer has to be new", f->path,
                        p->name, dal_tensor_describe(t, have), (long long)p->rows);
    return DAL_OK;
}

dal_status bert_files_copy(const bert_files *f, const dal_nn *nn, int output, float *weights, dal_error *err)
{
    const int64_t n = bert_tensors(f, nn, NULL);
    bert_tensor *all = dal_array(f->host, n, sizeof *all);
    dal_status st = all ? DAL_OK : dal_fail(err, DAL_E_NOMEM, KEY, "no memory for a list of tensors");
    if (st == DAL_OK)
        bert_tensors(f, nn, all);
    for (int64_t i = 0; i < n && st == DAL_OK; i++) {
        const bert_tensor *p = &all[i];
        if (p->part == BERT_OUTPUT && !output)
            continue;
        if (p->part == BERT_OUTPUT)
            st = check_output(f, p, err);
        if (st == DAL_OK)
            st = fill(f, p, p->part == BERT_HEAD, weights + p->offset, err);
    }
    f->host->free(f->host, all);
    return st == DAL_OK ? check_names(f, err) : st;
}
