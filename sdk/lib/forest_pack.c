/* A forest as bytes, and back from bytes nobody vouches for. */
#include "forest_private.h"

#include <math.h>

#define MAGIC "DALTREES"
#define FORMAT_VERSION 1u

/* In the byte order of the machine (another order shows as an unknown version). */
typedef struct head {
    char magic[8];
    uint32_t version, reserved;
    int64_t n_trees, d, c;
} head;

typedef struct tree_head {
    int64_t n_nodes, n_shares, depth;
} tree_head;

/* Bytes behind `at`; out NULL: only counted. */
static int64_t put(char *out, int64_t at, const void *data, int64_t n)
{
    if (out && n > 0)
        memcpy(out + at, data, (size_t)n);
    return at + n;
}

int64_t dal_forest_pack(const dal_forest *f, void *out)
{
    head h = {.version = FORMAT_VERSION, .n_trees = f->n_trees, .d = f->d, .c = f->c};
    memcpy(h.magic, MAGIC, sizeof h.magic);
    int64_t at = put(out, 0, &h, (int64_t)sizeof h);
    for (int64_t i = 0; i < f->n_trees; i++) {
        const forest_tree *t = &f->trees[i];
        const tree_head th = {t->n_nodes, t->n_shares, t->depth};
        at = put(out, at, &th, (int64_t)sizeof th);
        at = put(out, at, t->importance, f->d * (int64_t)sizeof *t->importance);
        at = put(out, at, t->nodes, t->n_nodes * (int64_t)sizeof *t->nodes);
        at = put(out, at, t->shares, t->n_shares * f->c * (int64_t)sizeof *t->shares);
    }
    return at;
}

typedef struct source {
    const char *data;
    int64_t n, at;
} source;

/* n elements of `size` bytes, or 0 where there are not so many. */
static int get(source *s, void *out, int64_t n, int64_t size)
{
    if (n < 0 || n > (s->n - s->at) / size)
        return 0;
    if (n > 0)
        memcpy(out, s->data + s->at, (size_t)(n * size));
    s->at += n * size;
    return 1;
}

static dal_status damaged(const char *what, int64_t tree, dal_error *err)
{
    return dal_fail(err, DAL_E_FORMAT, "", "a saved forest is damaged: %s of tree %lld", what, (long long)tree);
}

/* Every way down ends: children lie behind their parents. */
static int nodes_are_sound(const dal_forest *f, const forest_tree *t)
{
    for (int64_t i = 0; i < t->n_nodes; i++) {
        const forest_node *n = &t->nodes[i];
        if (!isfinite(n->value) || !isfinite(n->threshold) || n->feature < FOREST_LEAF || n->feature >= f->d)
            return 0;
        if (n->feature != FOREST_LEAF && (n->child <= i || n->child >= t->n_nodes - 1))
            return 0;
        if (n->feature == FOREST_LEAF && (n->child >= (f->c > 0 ? t->n_shares : 1) || n->child < -f->c))
            return 0;
    }
    return 1;
}

static int shares_are_sound(const dal_forest *f, const forest_tree *t)
{
    for (int64_t i = 0; i < t->n_shares * f->c; i++)
        if (!(t->shares[i] >= 0 && t->shares[i] <= 1))
            return 0;
    for (int64_t j = 0; j < f->d; j++)
        if (!(t->importance[j] >= 0) || !isfinite(t->importance[j]))
            return 0;
    return 1;
}

static dal_status read_tree(dal_forest *f, int64_t i, source *s, dal_error *err)
{
    const dal_host *host = f->host;
    forest_tree *t = &f->trees[i];
    tree_head h;
    int64_t cells;
    /* nothing is allocated for which there are no bytes */
    if (!get(s, &h, 1, (int64_t)sizeof h) || h.n_nodes < 1 || h.n_nodes > INT32_MAX || h.n_shares < 0 ||
        h.n_nodes > (s->n - s->at) / (int64_t)sizeof *t->nodes ||
        f->d > (s->n - s->at) / (int64_t)sizeof *t->importance || !dal_size_mul(h.n_shares, f->c, &cells) ||
        cells > (s->n - s->at) / (int64_t)sizeof *t->shares || h.depth < 0 || (f->c == 0 && h.n_shares != 0))
        return damaged("sizes", i, err);
    t->n_nodes = h.n_nodes;
    t->n_shares = h.n_shares;
    t->depth = h.depth;
    t->nodes = dal_array(host, h.n_nodes, sizeof *t->nodes);
    t->importance = dal_array(host, f->d, sizeof *t->importance);
    t->shares = dal_array(host, cells, sizeof *t->shares);
    if (!t->nodes || !t->importance || !t->shares)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for a tree of %lld nodes", (long long)h.n_nodes);
    if (!get(s, t->importance, f->d, (int64_t)sizeof *t->importance) ||
        !get(s, t->nodes, h.n_nodes, (int64_t)sizeof *t->nodes) ||
        !get(s, t->shares, cells, (int64_t)sizeof *t->shares))
        return damaged("the end", i, err);
    return nodes_are_sound(f, t) && shares_are_sound(f, t) ? DAL_OK : damaged("numbers", i, err);
}

dal_status dal_forest_unpack(const dal_host *host, const void *data, int64_t n, dal_forest **out, dal_error *err)
{
    source s = {data, n, 0};
    head h;
    if (!get(&s, &h, 1, (int64_t)sizeof h) || memcmp(h.magic, MAGIC, sizeof h.magic) != 0)
        return dal_fail(err, DAL_E_FORMAT, "", "these bytes are no saved forest: they do not begin with %s", MAGIC);
    if (h.version != FORMAT_VERSION)
        return dal_fail(err, DAL_E_FORMAT, "", "a saved forest of format version %u; expected %u", (unsigned)h.version,
                        FORMAT_VERSION);
    if (h.n_trees < 1 || h.n_trees > n / (int64_t)sizeof(tree_head) || h.d < 1 || h.d > INT32_MAX || h.c < 0 ||
        h.c > INT32_MAX)
        return dal_fail(err, DAL_E_FORMAT, "",
                        "a saved forest of %lld trees, %lld features and %lld classes in %lld bytes",
                        (long long)h.n_trees, (long long)h.d, (long long)h.c, (long long)n);
    dal_forest *f = dal_array(host, 1, sizeof *f);
    if (!f)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for a forest");
    *f = (dal_forest){.host = host, .n_trees = h.n_trees, .d = h.d, .c = h.c,
                      .trees = dal_array(host, h.n_trees, sizeof *f->trees)};
    dal_status st = f->trees ? DAL_OK : dal_fail(err, DAL_E_NOMEM, "", "no memory for a forest");
    if (st == DAL_OK)
        memset(f->trees, 0, (size_t)h.n_trees * sizeof *f->trees);
    for (int64_t i = 0; i < h.n_trees && st == DAL_OK; i++)
        st = read_tree(f, i, &s, err);
    if (st == DAL_OK && s.at != n)
        st = dal_fail(err, DAL_E_FORMAT, "", "a saved forest ends %lld bytes before its bytes do",
                      (long long)(n - s.at));
    if (st == DAL_OK)
        *out = f;
    else
        dal_forest_free(f);
    return st;
}
