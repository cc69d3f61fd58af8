#include <dal/derived.h>

#define BLOCK 8192 /* samples whose classes are asked for at once */

/* ---- opening ---------------------------------------------------------------------------------- */

dal_status dal_derived_new(const dal_host *host, const dal_dataset *input, size_t size, void **self,
                           dal_error *err)
{
    if (!input)
        return dal_fail(err, DAL_E_CONTRACT, "", "a transform needs a dataset to transform");
    dal_derived *d = host->alloc(host, size, 0);
    if (!d)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for the transform");
    memset(d, 0, size);
    d->host = host;
    d->input = input;
    d->below.struct_size = sizeof d->below;
    const dal_status st = input->impl->info(input->self, &d->below, err);
    d->info = d->below;
    for (uint32_t k = 0; k < DAL_SPLITS; k++)
        d->from[k] = k;
    if (st == DAL_OK)
        *self = d;
    else
        dal_derived_destroy(d);
    return st;
}

static void drop_names(dal_derived *d)
{
    for (int64_t c = 0; d->names && d->names[c]; c++)
        d->host->free(d->host, d->names[c]);
    d->host->free(d->host, d->names);
    d->names = NULL;
}

void dal_derived_destroy(void *self)
{
    dal_derived *d = self;
    if (!d)
        return;
    for (uint32_t k = 0; k < DAL_SPLITS; k++) {
        d->host->free(d->host, d->ids[k]);
        d->host->free(d->host, d->classes[k]);
    }
    drop_names(d);
    d->host->free(d->host, d);
}

/* ---- classes ---------------------------------------------------------------------------------- */

static dal_status check_classes(const int32_t *classes, int64_t first, int64_t n, int64_t n_classes,
                                dal_error *err)
{
    for (int64_t i = 0; i < n; i++)
        if (classes[i] < DAL_LABEL_OOD || classes[i] >= n_classes)
            return dal_fail(err, DAL_E_CONTRACT, "", "sample %lld has class %d of %lld", (long long)(first + i),
                            (int)classes[i], (long long)n_classes);
    return DAL_OK;
}

dal_status dal_derived_classes_below(const dal_derived *d, uint32_t split, int32_t **out, dal_error *err)
{
    const int64_t n = d->below.n[split];
    int64_t ids[BLOCK];
    int32_t *classes = dal_array(d->host, n, sizeof *classes);
    if (!classes)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for the classes of %lld samples", (long long)n);
    dal_status st = DAL_OK;
    for (int64_t first = 0; first < n && st == DAL_OK; first += BLOCK) {
        const int64_t m = n - first < BLOCK ? n - first : BLOCK;
        for (int64_t i = 0; i < m; i++)
            ids[i] = first + i;
        st = d->input->impl->classes(d->input->self, split, ids, m, classes + first, err);
        if (st == DAL_OK)
            st = check_classes(classes + first, first, m, d->below.spec.n_classes, err);
    }
    if (st == DAL_OK)
        *out = classes;
    else
        d->host->free(d->host, classes);
    return st;
}

dal_status dal_derived_groups_below(const dal_derived *d, uint32_t split, int32_t **out, int64_t *n_groups,
                                    dal_error *err)
{
    const dal_dataset_groups *table = dal_groups_of(d->input);
    const int64_t n = d->below.n[split];
    int64_t ids[BLOCK];
    if (!table)
        return dal_fail(err, DAL_E_UNSUPPORTED, "", "the dataset does not tell which source its samples are of");
    *n_groups = table->count(d->input->self);
    int32_t *groups = dal_array(d->host, n, sizeof *groups);
    if (!groups)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for the sources of %lld samples", (long long)n);
    dal_status st = DAL_OK;
    for (int64_t first = 0; first < n && st == DAL_OK; first += BLOCK) {
        const int64_t m = n - first < BLOCK ? n - first : BLOCK;
        for (int64_t i = 0; i < m; i++)
            ids[i] = first + i;
        st = table->groups(d->input->self, split, ids, m, groups + first, err);
        for (int64_t i = first; i < first + m && st == DAL_OK; i++)
            if (groups[i] < DAL_GROUP_NONE || groups[i] >= *n_groups)
                st = dal_fail(err, DAL_E_CONTRACT, "", "sample %lld is of source %d of %lld", (long long)i,
                              (int)groups[i], (long long)*n_groups);
    }
    if (st == DAL_OK)
        *out = groups;
    else
        d->host->free(d->host, groups);
    return st;
}

void dal_group_by_class(const int32_t *classes, int64_t n, int64_t n_classes, int64_t *order, int64_t *first)
{
    memset(first, 0, (size_t)(n_classes + 2) * sizeof *first);
    for (int64_t i = 0; i < n; i++)
        if (classes[i] >= 0)
            first[classes[i] + 2]++;
    for (int64_t c = 2; c < n_classes + 2; c++)
        first[c] += first[c - 1];
    for (int64_t i = 0; i < n; i++) /* first[c + 1] runs from the start of class c to its end */
        if (classes[i] >= 0)
            order[first[classes[i] + 1]++] = i;
}

const char *dal_derived_class_below(const dal_derived *d, int64_t c, char room[24])
{
    if (d->below.class_names && d->below.class_names[c])
        return d->below.class_names[c];
    snprintf(room, 24, "%lld", (long long)c);
    return room;
}

dal_status dal_derived_name_classes(dal_derived *d, const int32_t *origin, int64_t n, dal_error *err)
{
    drop_names(d);
    d->names = dal_array(d->host, n + 1, sizeof *d->names);
    for (int64_t c = 0; d->names && c < n; c++) {
        char room[24];
        const char *name = dal_derived_class_below(d, origin[c], room);
        const size_t bytes = strlen(name) + 1;
        if ((d->names[c] = dal_array(d->host, (int64_t)bytes, 1)))
            memcpy(d->names[c], name, bytes);
        else
            drop_names(d); /* which ends here, at the NULL */
    }
    if (!d->names)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for the names of %lld classes", (long long)n);
    d->names[n] = NULL;
    d->info.class_names = (const char *const *)d->names;
    d->info.spec.n_classes = n;
    return DAL_OK;
}

/* "cat, dog, ...": some classes there are, for messages. */
static void list_classes(const dal_derived *d, char *out, size_t size)
{
    size_t at = 0;
    out[0] = '\0';
    for (int64_t c = 0; c < d->below.spec.n_classes; c++) {
        char room[24];
        const char *name = dal_derived_class_below(d, c, room);
        if (at + strlen(name) + 8 > size) {
            snprintf(out + at, size - at, ", ...");
            return;
        }
        at += (size_t)snprintf(out + at, size - at, "%s%s", c ? ", " : "", name);
    }
}

/* The class that a word names, or -1. */
static int64_t find_class(const dal_derived *d, const char *word)
{
    const int64_t n = d->below.spec.n_classes;
    int64_t number = 0;
    for (int64_t c = 0; d->below.class_names && c < n; c++)
        if (d->below.class_names[c] && strcmp(d->below.class_names[c], word) == 0)
            return c;
    if (!*word || strspn(word, "0123456789") != strlen(word) || strlen(word) > 9)
        return -1;
    for (const char *p = word; *p; p++)
        number = number * 10 + (*p - '0');
    return number < n ? number : -1;
}

dal_status dal_derived_find_classes(const dal_derived *d, const char *const *words, int64_t n, const char *key,
                                    int32_t *out, dal_error *err)
{
    for (int64_t i = 0; i < n; i++) {
        const int64_t c = find_class(d, words[i]);
        char all[256];
        if (c < 0) {
            list_classes(d, all, sizeof all);
            return dal_fail(err, DAL_E_INVALID, key,
                            "there is no class '%s'; expected one of %s, or a number in 0..%lld", words[i], all,
                            (long long)d->below.spec.n_classes - 1);
        }
        out[i] = (int32_t)c;
        for (int64_t j = 0; j < i; j++)
            if (out[j] == out[i])
                return dal_fail(err, DAL_E_INVALID, key, "'%s' and '%s' name the same class", words[j], words[i]);
    }
    return DAL_OK;
}

/* ---- choosing --------------------------------------------------------------------------------- */

dal_status dal_derived_keep(dal_derived *d, uint32_t k, uint32_t from, const unsigned char *flags,
                            unsigned char flag, dal_error *err)
{
    const int64_t n = d->below.n[from];
    int64_t kept = 0, at = 0;
    for (int64_t i = 0; i < n; i++)
        kept += flags[i] == flag;
    int64_t *ids = dal_array(d->host, kept, sizeof *ids);
    if (!ids)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for a list of %lld samples", (long long)kept);
    for (int64_t i = 0; i < n; i++)
        if (flags[i] == flag)
            ids[at++] = i;
    d->host->free(d->host, d->ids[k]);
    d->ids[k] = ids;
    d->from[k] = from;
    d->info.n[k] = kept;
    return DAL_OK;
}

dal_status dal_derived_size(double size, int64_t n, const char *key, const char *what, int64_t *out,
                            dal_error *err)
{
    *out = size < 1 ? (int64_t)(size * (double)n + 0.5) : size <= 0x1p53 ? (int64_t)size : INT64_MAX;
    if (size == 0)
        *out = n;
    if (size >= 1 && (double)*out != size)
        return dal_fail(err, DAL_E_INVALID, key, "found %g, expected a whole number or a fraction below 1", size);
    if (*out > n)
        return dal_fail(err, DAL_E_INVALID, key, "%lld samples wanted, but %s has %lld", (long long)*out, what,
                        (long long)n);
    if (n > 0 && *out == 0)
        return dal_fail(err, DAL_E_INVALID, key, "a fraction of %g of %lld samples is none", size, (long long)n);
    return DAL_OK;
}

dal_rng dal_derived_rng(const dal_host *host, int64_t seed, const char *purpose)
{
    return seed ? dal_rng_from_key(dal_hash64((uint64_t)seed, purpose, strlen(purpose)))
                : host->rng(host, purpose, 0);
}

/* ---- the slots -------------------------------------------------------------------------------- */

dal_status dal_derived_info(void *self, dal_dataset_info *info, dal_error *err)
{
    const uint32_t size = info->struct_size;
    (void)err;
    *info = ((const dal_derived *)self)->info;
    info->struct_size = size;
    return DAL_OK;
}

/* The ids below of ids[n]: *below is ids itself where nothing is mapped, else *mapped, the caller's to free. */
static dal_status map_ids(const dal_derived *d, uint32_t k, const int64_t *ids, int64_t n, int64_t **mapped,
                          const int64_t **below, dal_error *err)
{
    const dal_status st = dal_check_ids(d->info.n[k], ids, n, err);
    *mapped = NULL;
    *below = ids;
    if (st != DAL_OK || !d->ids[k])
        return st;
    *below = *mapped = dal_array(d->host, n, sizeof **mapped);
    if (!*mapped)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory to read %lld samples", (long long)n);
    for (int64_t i = 0; i < n; i++)
        (*mapped)[i] = d->ids[k][ids[i]];
    return DAL_OK;
}

dal_status dal_derived_classes(void *self, uint32_t k, const int64_t *ids, int64_t n, int32_t *out, dal_error *err)
{
    const dal_derived *d = self;
    const int64_t *below;
    int64_t *mapped;
    if (d->classes[k]) {
        const dal_status st = dal_check_ids(d->info.n[k], ids, n, err);
        for (int64_t i = 0; i < n && st == DAL_OK; i++)
            out[i] = d->classes[k][ids[i]];
        return st;
    }
    dal_status st = map_ids(d, k, ids, n, &mapped, &below, err);
    if (st == DAL_OK)
        st = d->input->impl->classes(d->input->self, d->from[k], below, n, out, err);
    d->host->free(d->host, mapped);
    return st;
}

dal_status dal_derived_read(void *self, uint32_t k, const int64_t *ids, int64_t n, dal_batch *out, dal_error *err)
{
    const dal_derived *d = self;
    const int64_t *below;
    int64_t *mapped;
    dal_status st = map_ids(d, k, ids, n, &mapped, &below, err);
    if (st == DAL_OK)
        st = d->input->impl->read(d->input->self, d->from[k], below, n, out, err);
    d->host->free(d->host, mapped);
    return st;
}

dal_status dal_derived_sizes(void *self, uint32_t k, const int64_t *ids, int64_t n, int64_t *out, dal_error *err)
{
    const dal_derived *d = self;
    const int64_t *below;
    int64_t *mapped;
    if (!DAL_HAS(dal_dataset_impl, d->input->impl, sizes))
        return dal_fail(err, DAL_E_UNSUPPORTED, "", "samples of this dataset are all of one size");
    dal_status st = map_ids(d, k, ids, n, &mapped, &below, err);
    if (st == DAL_OK)
        st = d->input->impl->sizes(d->input->self, d->from[k], below, n, out, err);
    d->host->free(d->host, mapped);
    return st;
}

void dal_derived_describe(void *self, uint32_t k, int64_t id, char *out, size_t size)
{
    const dal_derived *d = self;
    if (id >= 0 && id < d->info.n[k] && d->ids[k])
        id = d->ids[k][id];
    if (DAL_HAS(dal_dataset_impl, d->input->impl, describe))
        d->input->impl->describe(d->input->self, d->from[k], id, out, size);
    else
        snprintf(out, size, "%lld", (long long)id);
}

dal_status dal_derived_fingerprint(void *self, uint64_t out[2], dal_error *err)
{
    const dal_derived *d = self;
    if (!DAL_HAS(dal_dataset_impl, d->input->impl, fingerprint))
        return DAL_E_UNSUPPORTED;
    const dal_status st = d->input->impl->fingerprint(d->input->self, out, err);
    for (uint32_t k = 0; k < DAL_SPLITS && st == DAL_OK; k++) {
        const int64_t n = d->info.n[k], size[2] = {n, d->from[k]};
        out[0] = dal_hash64(out[0] + k, size, sizeof size);
        if (d->ids[k])
            out[0] = dal_hash64(out[0], d->ids[k], (size_t)n * sizeof *d->ids[k]);
        if (d->classes[k])
            out[0] = dal_hash64(out[0] + 1, d->classes[k], (size_t)n * sizeof *d->classes[k]);
        out[1] = dal_hash64(out[1], out, sizeof *out);
    }
    return st;
}

/* ---- groups ----------------------------------------------------------------------------------- */

static int64_t count_groups(void *self)
{
    const dal_dataset *in = ((const dal_derived *)self)->input;
    return dal_groups_of(in)->count(in->self);
}

static const char *name_group(void *self, int64_t g)
{
    const dal_dataset *in = ((const dal_derived *)self)->input;
    const dal_dataset_groups *below = dal_groups_of(in);
    return DAL_HAS(dal_dataset_groups, below, name) ? below->name(in->self, g) : NULL;
}

static dal_status map_groups(void *self, uint32_t k, const int64_t *ids, int64_t n, int32_t *out, dal_error *err)
{
    const dal_derived *d = self;
    const int64_t *below;
    int64_t *mapped;
    dal_status st = map_ids(d, k, ids, n, &mapped, &below, err);
    if (st == DAL_OK)
        st = dal_groups_of(d->input)->groups(d->input->self, d->from[k], below, n, out, err);
    d->host->free(d->host, mapped);
    return st;
}

const void *dal_derived_get_extension(void *self, const char *id)
{
    static const dal_dataset_groups table = {
        .struct_size = sizeof table, .count = count_groups, .name = name_group, .groups = map_groups};
    const dal_derived *d = self;
    return strcmp(id, DAL_CAP_GROUPS) == 0 && dal_groups_of(d->input) ? &table : NULL;
}
