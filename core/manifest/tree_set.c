/* One --set: "model.hidden=[50]" applied to a tree. */
#include <ctype.h>
#include <stdlib.h>

#include "manifest/tree.h"
#include "util/text.h"

typedef struct edit {
    arena *mem;
    diags *d;
    place at;         /* "--set model.hidden=[50]", line 0 */
    const char *done; /* the part of the path walked so far: "model", "" at the root */
} edit;

DAL_PRINTF(2, 3)
static bool fail(const edit *e, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char what[512];
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    diags_error(e->d, e->at, "%s", what);
    return false;
}

static bool is_number(const char *s)
{
    const size_t n = strlen(s);
    return n > 0 && n < 7 && strspn(s, "0123456789") == n;
}

/* The place in `list` that step names: an item, or one past the end to add one. -1: complained. */
static int index_in(const edit *e, const node *list, const char *step)
{
    const int i = is_number(step) ? atoi(step) : -1;
    if (i >= 0 && i <= list->n)
        return i;
    const char *path = shown(e->mem, e->done, 60), *wrong = shown(e->mem, step, 60);
    if (list->n == 0)
        fail(e, "'%s' is an empty list, so '%s' is not in it; expected 0 to add an item", path, wrong);
    else
        fail(e, "'%s' is a list of %d, so '%s' is not in it; expected 0..%d, or %d to add an item",
             path, list->n, wrong, list->n - 1, list->n);
    return -1;
}

/* Setting inside `strategy: margin` means setting inside `strategy: {use: margin}`. */
static void open_scalar(const edit *e, node *n)
{
    node *use = node_new(e->mem, NODE_SCALAR, n->at);
    use->plain = n->plain;
    use->text = n->text;
    const bool nothing = node_is_null(n);
    *n = (node){.kind = NODE_MAP, .at = e->at};
    if (!nothing)
        node_put(e->mem, n, "use", use->at, use);
}

/* What a missing step becomes: a list when the next step is a number. */
static node *fresh(const edit *e, const char *following)
{
    return node_new(e->mem, is_number(following) ? NODE_LIST : NODE_MAP, e->at);
}

/* The child of n that step names, made when missing; NULL: complained. */
static node *descend(const edit *e, node *n, const char *step, const char *following)
{
    if (n->kind == NODE_SCALAR)
        open_scalar(e, n);
    if (n->kind == NODE_LIST) {
        const int i = index_in(e, n, step);
        if (i == n->n)
            node_append(e->mem, n, fresh(e, following));
        return i < 0 ? NULL : n->items[i];
    }
    if (!node_entry_of(n, step))
        node_put(e->mem, n, step, e->at, fresh(e, following));
    return node_entry_of(n, step)->value;
}

static bool assign(const edit *e, node *n, const char *step, node *value)
{
    if (n->kind == NODE_SCALAR)
        open_scalar(e, n);
    if (n->kind == NODE_MAP) {
        node_put(e->mem, n, step, e->at, value);
        return true;
    }
    const int i = index_in(e, n, step);
    if (i == n->n)
        node_append(e->mem, n, value);
    else if (i >= 0)
        n->items[i] = value;
    return i >= 0;
}

/* path: "a.b.0.c", cut up in place. */
static bool walk(edit *e, node *n, char *path, node *value)
{
    int depth = 0;
    for (char *step = path, *dot; n; step = dot + 1) {
        dot = strchr(step, '.');
        if (dot)
            *dot = '\0';
        if (!*step)
            return fail(e, "an empty part in the path; expected KEY.KEY=VALUE");
        if (++depth > TREE_MAX_DEPTH)
            return fail(e, "a path of more than %d parts", TREE_MAX_DEPTH);
        if (!dot)
            return assign(e, n, step, value);
        char *following = arena_strn(e->mem, dot + 1, strcspn(dot + 1, "."));
        n = descend(e, n, step, following);
        e->done = *e->done ? arena_printf(e->mem, "%s.%s", e->done, step) : step;
    }
    return false;
}

bool tree_set(arena *mem, node *root, const char *assignment, diags *d)
{
    const char *name = arena_printf(mem, "--set %s", shown(mem, assignment, 120));
    edit e = {mem, d, {name, 0, 0}, ""};
    const char *equals = strchr(assignment, '=');
    if (!equals || equals == assignment)
        return fail(&e, "no '%s' in it; expected KEY=VALUE, as in model.epochs=5",
                    equals ? "KEY" : "=");
    size_t bad;
    if (!utf8_valid(assignment, strlen(assignment), &bad))
        return fail(&e, "byte %zu is not UTF-8; expected UTF-8 text", bad);
    node *value = tree_parse(mem, name, equals + 1, strlen(equals + 1), false, d);
    if (!value)
        return false;
    return walk(&e, root, arena_strn(mem, assignment, (size_t)(equals - assignment)), value);
}
