/* concat: the samples of other datasets behind those of this one, split by split.
 *
 *     - {use: concat, with: [{use: kmnist}, {use: csv, path: more.csv, transforms: [{use: scale}]}]}
 *
 * Classes: `by-name`, those of the same name are one class (a class without a name is called by its number), new names
 * come behind the old ones in the order of the datasets; `by-number`, class k is class k everywhere; `apart`, each
 * dataset has its own classes, all of them one dataset after the other, and a name that was there before gets the
 * number of its dataset: "cat (2)".
 *
 * All samples must be of one kind, type and shape. `splits: train` takes only pools together; what is validated and
 * tested on stays that of the dataset below.
 *
 * A sample is of the source that its dataset is, called by `names`, the first for the dataset below, else by its number
 * from 1: quotas by source and splits by source can then treat the datasets alike. Sources inside a dataset are not
 * told any more.
 */
#include "parts.h"

typedef struct options {
    dal_ref_list with;
    uint32_t classes, splits;
    dal_str_list names;
} options;

enum { BY_NAME, BY_NUMBER, APART };
enum { ALL_SPLITS, TRAIN_ONLY };

typedef struct concat {
    parts base;
    const options *opt;
    char (*numbers)[24]; /* [parts] names of sources that have none */
    char **names;        /* [n_classes + 1] NULL-ended */
    int64_t n_names, room;
    int32_t *slots; /* [2 * room] hash table of the names: their numbers, -1: free; freed when create is done */
    int64_t *last;  /* [room] the last part that has a class of this name; likewise */
} concat;

/* ---- names ------------------------------------------------------------------------------------ */

static int32_t *slot_of(const concat *self, const char *name)
{
    const uint64_t mask = 2 * (uint64_t)self->room - 1;
    uint64_t i = dal_hash64(0, name, strlen(name)) & mask;
    while (self->slots[i] >= 0 && strcmp(self->names[self->slots[i]], name) != 0)
        i = (i + 1) & mask;
    return &self->slots[i];
}

static dal_status no_memory(dal_error *err)
{
    return dal_fail(err, DAL_E_NOMEM, "", "no memory for the classes of the datasets");
}

/* Room for all classes of all parts, were they all different. */
static dal_status make_room(concat *self, dal_error *err)
{
    const dal_host *host = self->base.host;
    int64_t all = 0;
    for (int64_t i = 0; i < self->base.n; i++)
        all += self->base.items[i].info.spec.n_classes; /* each is at most PARTS_MOST_CLASSES */
    if (all > PARTS_MOST_CLASSES)
        return dal_fail(err, DAL_E_OVERFLOW, "with", "%lld classes in all, expected at most %lld", (long long)all,
                        (long long)PARTS_MOST_CLASSES);
    for (self->room = 8; self->room < all + 1;)
        self->room *= 2;
    self->names = dal_array(host, self->room, sizeof *self->names);
    self->slots = dal_array(host, 2 * self->room, sizeof *self->slots);
    self->last = dal_array(host, self->room, sizeof *self->last);
    if (!self->names || !self->slots || !self->last)
        return no_memory(err);
    memset(self->slots, 0xff, 2 * (size_t)self->room * sizeof *self->slots);
    self->names[0] = NULL;
    return DAL_OK;
}

static dal_status add_name(concat *self, const char *name, int32_t *number, dal_error *err)
{
    const size_t bytes = strlen(name) + 1;
    char *copy = dal_array(self->base.host, (int64_t)bytes, 1);
    if (!copy)
        return no_memory(err);
    int32_t *slot = slot_of(self, name);
    *number = (int32_t)self->n_names;
    if (*slot < 0)
        *slot = *number;
    self->names[self->n_names++] = memcpy(copy, name, bytes);
    self->names[self->n_names] = NULL;
    return DAL_OK;
}

/* ---- classes ---------------------------------------------------------------------------------- */

static dal_status name_apart(concat *self, int64_t number, const char *name, int32_t *to, dal_error *err)
{
    char other[512];
    if (*slot_of(self, name) < 0)
        return add_name(self, name, to, err);
    snprintf(other, sizeof other, "%.480s (%lld)", name, (long long)number + 1);
    return add_name(self, other, to, err);
}

static dal_status name_joined(concat *self, int64_t number, const char *name, int32_t *to, dal_error *err)
{
    const int32_t there = *slot_of(self, name);
    dal_status st = DAL_OK;
    if (there < 0)
        st = add_name(self, name, to, err);
    else if (self->last[there] == number)
        return dal_fail(err, DAL_E_INVALID, "classes",
                        "two classes of dataset %lld are called '%.200s'; expected by-number or apart, or other names",
                        (long long)number + 1, name);
    else
        *to = there;
    if (st == DAL_OK)
        self->last[*to] = number;
    return st;
}

static dal_status join_classes(concat *self, int64_t i, uint32_t how, dal_error *err)
{
    part *q = &self->base.items[i];
    const int64_t n = q->info.spec.n_classes;
    dal_status st = DAL_OK;
    q->to = dal_array(self->base.host, n, sizeof *q->to);
    if (!q->to)
        return no_memory(err);
    for (int64_t c = 0; c < n && st == DAL_OK; c++) {
        char room[24];
        const char *name = parts_class(q, c, room);
        q->to[c] = (int32_t)c;
        if (how == BY_NUMBER && c < self->n_names)
            continue;
        st = how == BY_NAME ? name_joined(self, i, name, &q->to[c], err)
             : how == APART ? name_apart(self, i, name, &q->to[c], err)
                            : add_name(self, name, &q->to[c], err);
    }
    return st;
}

static dal_status join(concat *self, const options *o, dal_error *err)
{
    parts *p = &self->base;
    dal_status st = make_room(self, err);
    for (int64_t i = 0; i < p->n && st == DAL_OK; i++)
        st = join_classes(self, i, o->classes, err);
    p->info.spec.n_classes = self->n_names;
    p->info.class_names = (const char *const *)self->names;
    for (int64_t i = 1; i < p->n && st == DAL_OK; i++)
        for (uint32_t k = 0; k < DAL_SPLITS; k++) {
            if (k != DAL_SPLIT_TRAIN && o->splits == TRAIN_ONLY)
                p->items[i].n[k] = 0;
            p->info.n[k] += p->items[i].n[k];
        }
    return st;
}

static void concat_destroy(void *p)
{
    concat *self = p;
    if (!self)
        return;
    const dal_host *host = self->base.host;
    for (int64_t c = 0; c < self->n_names; c++)
        host->free(host, self->names[c]);
    host->free(host, self->names);
    host->free(host, self->numbers);
    host->free(host, self->slots);
    host->free(host, self->last);
    parts_destroy(self);
}

/* ---- sources ---------------------------------------------------------------------------------- */

static dal_status name_sources(concat *self, dal_error *err)
{
    const dal_str_list *names = &self->opt->names;
    const int64_t n = self->base.n;
    if (names->n > 0 && names->n != n)
        return dal_fail(err, DAL_E_INVALID, "names",
                        "%lld names for %lld datasets, the first of which is the one below", (long long)names->n,
                        (long long)n);
    self->numbers = dal_array(self->base.host, n, sizeof *self->numbers);
    if (!self->numbers)
        return no_memory(err);
    for (int64_t i = 0; i < n; i++)
        snprintf(self->numbers[i], sizeof self->numbers[i], "%lld", (long long)i + 1);
    return DAL_OK;
}

static int64_t count_sources(void *p)
{
    return ((const concat *)p)->base.n;
}

static const char *name_source(void *p, int64_t g)
{
    const concat *self = p;
    return self->opt->names.n > 0 ? self->opt->names.items[g] : self->numbers[g];
}

static const void *concat_get_extension(void *p, const char *id)
{
    static const dal_dataset_groups table = {
        .struct_size = sizeof table, .count = count_sources, .name = name_source, .groups = parts_groups};
    (void)p;
    return strcmp(id, DAL_CAP_GROUPS) == 0 ? &table : NULL;
}

/* ---- the table -------------------------------------------------------------------------------- */

static dal_status concat_create(const dal_host *host, const void *opt, const dal_dataset *input, void **out,
                                dal_error *err)
{
    const options *o = opt;
    void *made = NULL;
    if (o->with.n < 1)
        return dal_fail(err, DAL_E_INVALID, "with",
                        "it is empty; expected at least one dataset to put behind this one");
    dal_status st = parts_new(host, input, o->with.n + 1, sizeof(concat), &made, err);
    if (st != DAL_OK)
        return st;
    concat *self = made;
    self->opt = o;
    for (int64_t i = 0; i < o->with.n && st == DAL_OK; i++)
        st = parts_add(&self->base, o->with.items[i], 0, "with", err);
    if (st == DAL_OK)
        st = join(self, o, err);
    if (st == DAL_OK)
        st = name_sources(self, err);
    host->free(host, self->slots);
    host->free(host, self->last);
    self->slots = NULL;
    self->last = NULL;
    if (st == DAL_OK)
        *out = self;
    else
        concat_destroy(self);
    return st;
}

static const dal_dataset_impl concat_impl = {
    .struct_size = sizeof concat_impl,
    .create = concat_create,
    .destroy = concat_destroy,
    .info = parts_info,
    .classes = parts_classes,
    .read = parts_read,
    .sizes = parts_sizes,
    .describe = parts_describe,
    .fingerprint = parts_fingerprint,
    .get_extension = concat_get_extension,
};

#define PARAMS(P, T)                                                                                    \
    P(T, with, COMPONENTS, DAL_REQUIRED, "dataset", "", "the datasets to put behind this one, in this order") \
    P(T, classes, CHOICE, "by-name", "by-name|by-number|apart", "",                                     \
      "which classes are the same: those of one name, of one number, or none")                          \
    P(T, splits, CHOICE, "all", "all|train", "", "which splits become longer")                          \
    P(T, names, STRS, "", "nonempty", "", "of the datasets as sources, that below first; none: 1, 2, ...")
#define COMPONENTS(C)                                                                                   \
    C(TRANSFORM, "concat", concat_impl, "the samples of other datasets behind those of this one", "", "", \
      DAL_CAP_CONCURRENT, options, PARAMS)
DAL_MODULE(concat, "1.0", "Apache-2.0", COMPONENTS, NULL, NULL)
