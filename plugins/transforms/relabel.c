/* merge-classes and remap: the same samples under other classes, in all splits.
 *
 * merge-classes: `groups` such as "pet = cat, dog" make one class of several, named by name or number. Classes in
 * no group stay as they are; the new ones are numbered by the lowest old number in each.
 *
 * remap: class c becomes to[c]; -1: its samples lose their label, -2: they belong to none of the classes. A new
 * class has the name of the lowest old one in it unless class_names says otherwise.
 */
#include <dal/derived.h>

#include <ctype.h>

typedef struct merge_options {
    dal_str_list groups;
} merge_options;

typedef struct remap_options {
    dal_i64_list to;
    dal_str_list class_names;
} remap_options;

/* ---- what both do ----------------------------------------------------------------------------- */

/* Every split's classes c become to[c]. */
static dal_status apply(dal_derived *d, const int32_t *to, dal_error *err)
{
    dal_status st = DAL_OK;
    for (uint32_t k = 0; k < DAL_SPLITS && st == DAL_OK; k++) {
        st = dal_derived_classes_below(d, k, &d->classes[k], err);
        for (int64_t i = 0; i < d->info.n[k] && st == DAL_OK; i++)
            if (d->classes[k][i] >= 0)
                d->classes[k][i] = to[d->classes[k][i]];
    }
    return st;
}

/* origin[n]: the lowest old class in each new one, -1: there is none. */
static void find_origins(const int32_t *to, int64_t c, int32_t *origin, int64_t n)
{
    for (int64_t k = 0; k < n; k++)
        origin[k] = -1;
    for (int64_t k = c; k-- > 0;)
        if (to[k] >= 0)
            origin[to[k]] = (int32_t)k;
}

/* ---- merge-classes ---------------------------------------------------------------------------- */

typedef struct merge {
    dal_derived base;
    char *text;         /* the groups, cut into words; holds the names of the new classes */
    const char **names; /* [C] of the new classes */
} merge;

static void merge_destroy(void *p)
{
    merge *self = p;
    if (!self)
        return;
    self->base.host->free(self->base.host, self->text);
    self->base.host->free(self->base.host, self->names);
    dal_derived_destroy(self);
}

/* Without the blanks round it; s is changed. */
static char *trim(char *s)
{
    while (isspace((unsigned char)*s))
        s++;
    size_t n = strlen(s);
    while (n > 0 && isspace((unsigned char)s[n - 1]))
        n--;
    s[n] = '\0';
    return s;
}

/* Cut "name = class, class" in place. *n words are added to words, each of group g. */
static dal_status cut_group(char *s, const char *whole, int64_t g, char **name, const char **words, int32_t *group,
                            int64_t *n, dal_error *err)
{
    char *list = strchr(s, '=');
    if (!list)
        return dal_fail(err, DAL_E_INVALID, "groups",
                        "'%s': expected a name, '=' and classes, as in \"pet = cat, dog\"", whole);
    *list++ = '\0';
    *name = trim(s);
    if (!**name)
        return dal_fail(err, DAL_E_INVALID, "groups", "'%s': there is no name before the '='", whole);
    for (char *comma; list; list = comma) {
        comma = strchr(list, ',');
        if (comma)
            *comma++ = '\0';
        words[*n] = trim(list);
        group[(*n)++] = (int32_t)g;
    }
    return DAL_OK;
}

typedef struct grouping {
    const char **words; /* [room] what the groups list */
    int32_t *found, *group; /* [room] each word's class and its group */
    char **names; /* [groups] */
    int32_t *of;  /* [C] the group of each old class, or -1 */
    int32_t *to, *new_of; /* [C], [groups] new numbers */
} grouping;

static dal_status read_groups(merge *self, const dal_str_list *groups, grouping *g, int64_t *n, dal_error *err)
{
    dal_status st = DAL_OK;
    char *at = self->text;
    *n = 0;
    for (int64_t i = 0; i < groups->n && st == DAL_OK; i++) {
        const size_t bytes = strlen(groups->items[i]) + 1;
        memcpy(at, groups->items[i], bytes);
        st = cut_group(at, groups->items[i], i, &g->names[i], g->words, g->group, n, err);
        at += bytes;
    }
    return st == DAL_OK ? dal_derived_find_classes(&self->base, g->words, *n, "groups", g->found, err) : st;
}

/* Number the new classes in the order of their lowest old ones, and name them. */
static dal_status number_groups(merge *self, const dal_str_list *groups, grouping *g, int64_t n, dal_error *err)
{
    dal_derived *d = &self->base;
    const int64_t c = d->below.spec.n_classes;
    int32_t next = 0;
    for (int64_t k = 0; k < c; k++)
        g->of[k] = -1;
    for (int64_t i = 0; i < n; i++)
        g->of[g->found[i]] = g->group[i];
    for (int64_t i = 0; i < groups->n; i++)
        g->new_of[i] = -1;
    for (int64_t k = 0; k < c; k++) {
        const int32_t group = g->of[k];
        if (group < 0)
            g->to[k] = next++;
        else
            g->to[k] = g->new_of[group] >= 0 ? g->new_of[group] : (g->new_of[group] = next++);
    }
    find_origins(g->to, c, g->found, next);
    const dal_status st = dal_derived_name_classes(d, g->found, next, err);
    for (int64_t k = 0; k < next && st == DAL_OK; k++)
        self->names[k] = g->of[g->found[k]] >= 0 ? g->names[g->of[g->found[k]]] : d->names[k];
    for (int64_t i = 0; i < next && st == DAL_OK; i++)
        for (int64_t j = 0; j < i; j++)
            if (strcmp(self->names[i], self->names[j]) == 0)
                return dal_fail(err, DAL_E_INVALID, "groups", "two classes would be called '%s'", self->names[i]);
    d->info.class_names = self->names;
    return st;
}

static dal_status merge_groups(merge *self, const dal_str_list *groups, dal_error *err)
{
    dal_derived *d = &self->base;
    const dal_host *host = d->host;
    const int64_t c = d->below.spec.n_classes;
    int64_t bytes = 0, room = c + 1, n;
    for (int64_t i = 0; i < groups->n; i++)
        for (const char *p = groups->items[i];; p++, bytes++) {
            room += *p == ',' || *p == '\0';
            if (!*p)
                break;
        }
    self->text = dal_array(host, bytes + groups->n, 1);
    self->names = dal_array(host, c, sizeof *self->names);
    grouping g = {
        .words = dal_array(host, room, sizeof *g.words),
        .found = dal_array(host, room, sizeof *g.found),
        .group = dal_array(host, room, sizeof *g.group),
        .names = dal_array(host, groups->n, sizeof *g.names),
        .of = dal_array(host, c, sizeof *g.of),
        .to = dal_array(host, c, sizeof *g.to),
        .new_of = dal_array(host, groups->n, sizeof *g.new_of),
    };
    dal_status st = DAL_OK;
    if (!self->text || !self->names || !g.words || !g.found || !g.group || !g.names || !g.of || !g.to || !g.new_of)
        st = dal_fail(err, DAL_E_NOMEM, "", "no memory for the transform");
    if (st == DAL_OK)
        st = read_groups(self, groups, &g, &n, err);
    if (st == DAL_OK)
        st = number_groups(self, groups, &g, n, err);
    if (st == DAL_OK)
        st = apply(d, g.to, err);
    host->free(host, g.words);
    host->free(host, g.found);
    host->free(host, g.group);
    host->free(host, g.names);
    host->free(host, g.of);
    host->free(host, g.to);
    host->free(host, g.new_of);
    return st;
}

static dal_status merge_create(const dal_host *host, const void *opt, const dal_dataset *input, void **out,
                               dal_error *err)
{
    const merge_options *o = opt;
    void *self = NULL;
    dal_status st = dal_derived_new(host, input, sizeof(merge), &self, err);
    if (st == DAL_OK)
        st = merge_groups(self, &o->groups, err);
    if (st == DAL_OK)
        *out = self;
    else
        merge_destroy(self);
    return st;
}

/* ---- remap ------------------------------------------------------------------------------------ */

static dal_status check_remap(const remap_options *o, int64_t c, int64_t *n_new, dal_error *err)
{
    int64_t largest = -1;
    if (o->to.n != c)
        return dal_fail(err, DAL_E_INVALID, "to", "%lld numbers for %lld classes", (long long)o->to.n,
                        (long long)c);
    for (int64_t k = 0; k < c; k++) {
        if (o->to.items[k] >= c)
            return dal_fail(err, DAL_E_INVALID, "to", "class %lld becomes %lld, expected -2..%lld", (long long)k,
                            (long long)o->to.items[k], (long long)c - 1);
        largest = o->to.items[k] > largest ? o->to.items[k] : largest;
    }
    *n_new = largest + 1;
    if (o->class_names.n > 0 && o->class_names.n != *n_new)
        return dal_fail(err, DAL_E_INVALID, "class_names", "%lld names for %lld classes",
                        (long long)o->class_names.n, (long long)*n_new);
    return DAL_OK;
}

static dal_status remap_classes(dal_derived *d, const remap_options *o, dal_error *err)
{
    const int64_t c = d->below.spec.n_classes;
    int64_t n = 0;
    dal_status st = check_remap(o, c, &n, err);
    if (st != DAL_OK)
        return st;
    int32_t *to = dal_array(d->host, c, sizeof *to), *origin = dal_array(d->host, n, sizeof *origin);
    if (!to || !origin) {
        st = dal_fail(err, DAL_E_NOMEM, "", "no memory for the transform");
        goto out;
    }
    for (int64_t k = 0; k < c; k++)
        to[k] = (int32_t)o->to.items[k];
    find_origins(to, c, origin, n);
    for (int64_t k = 0; k < n && st == DAL_OK; k++)
        if (origin[k] < 0)
            st = dal_fail(err, DAL_E_INVALID, "to", "no class becomes %lld, but one becomes %lld", (long long)k,
                          (long long)n - 1);
    if (st == DAL_OK)
        st = dal_derived_name_classes(d, origin, n, err);
    if (st == DAL_OK && o->class_names.n > 0)
        d->info.class_names = o->class_names.items;
    if (st == DAL_OK)
        st = apply(d, to, err);
out:
    d->host->free(d->host, to);
    d->host->free(d->host, origin);
    return st;
}

static dal_status remap_create(const dal_host *host, const void *opt, const dal_dataset *input, void **out,
                               dal_error *err)
{
    void *self = NULL;
    dal_status st = dal_derived_new(host, input, sizeof(dal_derived), &self, err);
    if (st == DAL_OK)
        st = remap_classes(self, opt, err);
    if (st == DAL_OK)
        *out = self;
    else
        dal_derived_destroy(self);
    return st;
}

static const dal_dataset_impl merge_impl = {
    .struct_size = sizeof merge_impl,
    .create = merge_create,
    .destroy = merge_destroy,
    .info = dal_derived_info,
    .classes = dal_derived_classes,
    .read = dal_derived_read,
    .sizes = dal_derived_sizes,
    .describe = dal_derived_describe,
    .fingerprint = dal_derived_fingerprint,
    .get_extension = dal_derived_get_extension,
};
static const dal_dataset_impl remap_impl = {
    .struct_size = sizeof remap_impl, .create = remap_create, DAL_DERIVED_SLOTS};

#define MERGE_PARAMS(P, T)                                                                                        \
    P(T, groups, STRS, DAL_REQUIRED, "nonempty", "",                                                              \
      "each 'name = class, class, ...', with classes by name or number")
#define REMAP_PARAMS(P, T)                                                                              \
    P(T, to, I64S, DAL_REQUIRED, "-2..", "", "the new number of each class; -1: no label, -2: out of class") \
    P(T, class_names, STRS, "", "nonempty", "", "of the new classes, in order")
#define COMPONENTS(C)                                                                                   \
    C(TRANSFORM, "merge-classes", merge_impl, "several classes made one", "", "", DAL_CAP_CONCURRENT,   \
      merge_options, MERGE_PARAMS)                                                                      \
    C(TRANSFORM, "remap", remap_impl, "other numbers for the classes", "", "", DAL_CAP_CONCURRENT,      \
      remap_options, REMAP_PARAMS)
DAL_MODULE(relabel, "1.0", "Apache-2.0", COMPONENTS, NULL, NULL)
