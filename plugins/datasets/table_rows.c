/* The rows of a table once all are there: splits, the order of classes, missing values; and the slots of a dataset. */
#include "table.h"

#include <math.h>
#include <stdlib.h>

static dal_status no_memory(dal_error *err)
{
    return dal_fail(err, DAL_E_NOMEM, "", "no memory for the table");
}

void table_destroy(void *self)
{
    table *t = self;
    if (!t)
        return;
    const dal_host *host = t->host;
    for (int64_t j = 0; j < t->width && t->columns; j++)
        words_free(host, &t->columns[j].values);
    host->free(host, t->columns);
    for (uint32_t k = 0; k < DAL_SPLITS; k++)
        host->free(host, t->split[k]);
    words_free(host, &t->class_names);
    words_free(host, &t->group_names);
    host->free(host, t->groups);
    host->free(host, t->lines);
    host->free(host, t->classes);
    if (t->x)
        host->temp_unmap(host, t->x, t->x_bytes);
    host->free(host, t);
}

/* Every row of every file to `take`. */
static dal_status each_file(table *t, const table_reader *reader, table_taker *take, dal_error *err)
{
    dal_status st = DAL_OK;
    for (int i = 0; i < t->n_files && st == DAL_OK; i++) {
        st = reader->rows(t, i, take, err);
        if (st == DAL_OK && t->files[i].n == 0)
            st = dal_fail(err, DAL_E_FORMAT, t->files[i].key, "%s: %s", t->files[i].path, reader->no_rows);
    }
    return st;
}

static dal_status build(table *t, const table_reader *reader, dal_error *err)
{
    dal_status st = DAL_OK;
    if (t->n_files == 2 && t->rule.test_fraction > 0)
        return dal_fail(err, DAL_E_INVALID, "test_fraction", "there is a test_path already; give one of the two");
    for (int i = 0; i < t->n_files && st == DAL_OK; i++)
        st = reader->open(t, i, err);
    if (st == DAL_OK)
        st = reader->columns(t, err);
    if (st == DAL_OK)
        st = each_file(t, reader, table_look, err);
    if (st == DAL_OK)
        st = table_shape(t, err);
    if (st == DAL_OK)
        st = each_file(t, reader, table_fill, err);
    return st == DAL_OK ? table_settle(t, err) : st;
}

dal_status table_create(const dal_host *host, const table_reader *reader, const void *options, const table_rule *rule,
                        const char *path, const char *test_path, void **out, dal_error *err)
{
    table *t = host->alloc(host, reader->size, 0);
    if (!t)
        return no_memory(err);
    memset(t, 0, reader->size);
    *t = (table){.host = host,
                 .rule = *rule,
                 .options = options,
                 .n_files = test_path[0] ? 2 : 1,
                 .files = {{.path = path, .key = "path"}, {.path = test_path, .key = "test_path"}}};
    const dal_status st = build(t, reader, err);
    reader->close(t); /* only the numbers stay */
    if (st == DAL_OK)
        *out = t;
    else
        table_destroy(t);
    return st;
}

/* ---- classes and splits ------------------------------------------------------------------------ */

/* Put names in order and give the rows their final numbers, of[n_rows]. */
static dal_status sort_names(table *t, word_list *names, int32_t *of, dal_error *err)
{
    if (names->n == 0)
        return DAL_OK;
    int32_t *numbers = dal_array(t->host, names->n, sizeof *numbers);
    if (!numbers)
        return no_memory(err);
    const dal_status st = words_sort(t->host, names, numbers, err);
    for (int64_t i = 0; i < t->n_rows && st == DAL_OK; i++)
        if (of[i] >= 0)
            of[i] = numbers[of[i]];
    t->host->free(t->host, numbers);
    return st;
}

/* The names of classes, unless the file has, and of sources. */
static dal_status sort_classes(table *t, dal_error *err)
{
    const int declared = t->label >= 0 && t->columns[t->label].declared;
    const dal_status st = declared ? DAL_OK : sort_names(t, &t->class_names, t->classes, err);
    return st == DAL_OK ? sort_names(t, &t->group_names, t->groups, err) : st;
}

/* Rows class by class, those without one first: ends[c + 1] is where class c ends. */
static void sort_rows(const table *t, int64_t *rows, int64_t *ends)
{
    memset(ends, 0, (size_t)(t->class_names.n + 2) * sizeof *ends);
    for (int64_t i = 0; i < t->n_rows; i++)
        ends[t->classes[i] + 2]++;
    for (int64_t c = 1; c < t->class_names.n + 2; c++)
        ends[c] += ends[c - 1];
    for (int64_t i = 0; i < t->n_rows; i++)
        rows[ends[t->classes[i] + 1]++] = i;
}

/* Mark round(fraction * m) of the m rows of one class as test rows, but never all of them. */
static void set_aside(double fraction, dal_rng r, int64_t *rows, int64_t m, unsigned char *test)
{
    int64_t k = (int64_t)(fraction * (double)m + 0.5);
    k = k >= m ? m - 1 : k;
    dal_rng_shuffle(&r, rows, m, k);
    for (int64_t i = 0; i < k; i++)
        test[rows[i]] = 1;
}

static dal_status choose_test(table *t, int64_t *rows, unsigned char *test, dal_error *err)
{
    const table_rule *o = &t->rule;
    const dal_rng root = o->split_seed ? dal_rng_from_key(dal_hash64((uint64_t)o->split_seed, "split", 5))
                                       : t->host->rng(t->host, "split", 0);
    int64_t from = 0, *ends = dal_array(t->host, t->class_names.n + 2, sizeof *ends);
    if (!ends)
        return no_memory(err);
    sort_rows(t, rows, ends);
    for (int64_t c = 0; c <= t->class_names.n; c++) { /* 0: no class */
        set_aside(o->test_fraction, dal_rng_at(&root, (uint64_t)c), rows + from, ends[c] - from, test);
        from = ends[c];
    }
    t->host->free(t->host, ends);
    return DAL_OK;
}

static dal_status split_rows(table *t, dal_error *err)
{
    const dal_host *host = t->host;
    int64_t *train = t->split[DAL_SPLIT_TRAIN] = dal_array(host, t->n_rows, sizeof *train);
    int64_t *test = t->split[DAL_SPLIT_TEST] = dal_array(host, t->n_rows, sizeof *test);
    unsigned char *is_test = dal_array(host, t->n_rows, 1);
    dal_status st = train && test && is_test ? DAL_OK : no_memory(err);
    for (int64_t i = 0; i < t->n_rows && st == DAL_OK; i++)
        is_test[i] = i >= t->files[0].n;
    if (st == DAL_OK && t->rule.test_fraction > 0)
        st = choose_test(t, train, is_test, err);
    for (int64_t i = 0; i < t->n_rows && st == DAL_OK; i++) {
        if (is_test[i])
            test[t->n[DAL_SPLIT_TEST]++] = i;
        else
            train[t->n[DAL_SPLIT_TRAIN]++] = i;
    }
    host->free(host, is_test);
    if (st == DAL_OK && t->rule.test_fraction > 0 && t->n[DAL_SPLIT_TEST] == 0)
        return dal_fail(err, DAL_E_INVALID, "test_fraction", "%g of each class of %lld rows is no test row",
                        t->rule.test_fraction, (long long)t->n_rows);
    return st;
}

/* ---- missing values ----------------------------------------------------------------------------- */

static int by_value(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* The mean or the median of values[n]. */
static float centre(uint32_t how, float *values, int64_t n)
{
    double sum = 0;
    if (how == TABLE_MEDIAN) {
        qsort(values, (size_t)n, sizeof *values, by_value);
        return (float)(((double)values[(n - 1) / 2] + (double)values[n / 2]) / 2);
    }
    for (int64_t i = 0; i < n; i++)
        sum += (double)values[i];
    return (float)(sum / (double)n);
}

/* Fill the holes of value `at`: with a number, or with the centre of what the pool has of it. */
static dal_status fill_missing(table *t, int64_t column, int64_t at, float *values, dal_error *err)
{
    const int64_t *train = t->split[DAL_SPLIT_TRAIN];
    const uint32_t how = t->rule.missing;
    float fill = (float)t->rule.fill; /* 0 unless it is the constant */
    int64_t n = 0, holes = 0;
    for (int64_t i = 0; i < t->n_rows; i++)
        holes += isnan(t->x[i * t->d + at]) != 0;
    if (holes == 0)
        return DAL_OK;
    for (int64_t i = 0; i < t->n[DAL_SPLIT_TRAIN]; i++) {
        const float v = t->x[train[i] * t->d + at];
        if (!isnan(v))
            values[n++] = v;
    }
    if (how == TABLE_MEAN || how == TABLE_MEDIAN) {
        if (n == 0)
            return dal_fail(err, DAL_E_INVALID, "missing", "column %lld has no value in the pool to take the %s of",
                            (long long)column, how == TABLE_MEAN ? "mean" : "median");
        fill = centre(how, values, n);
    }
    for (int64_t i = 0; i < t->n_rows; i++)
        if (isnan(t->x[i * t->d + at]))
            t->x[i * t->d + at] = fill;
    return DAL_OK;
}

dal_status table_settle(table *t, dal_error *err)
{
    for (int i = 0; i < 2; i++)
        if (t->files[i].filled != t->files[i].n)
            return dal_fail(err, DAL_E_IO, t->files[i].key, "%s: the file changed while it was read", t->files[i].path);
    dal_status st = sort_classes(t, err);
    if (st == DAL_OK)
        st = split_rows(t, err);
    if (st != DAL_OK || t->rule.missing == TABLE_ERROR || t->rule.missing == TABLE_KEEP)
        return st;
    float *values = dal_array(t->host, t->n_rows, sizeof *values);
    if (!values)
        return no_memory(err);
    for (int64_t j = 0; j < t->width && st == DAL_OK; j++)
        if (t->columns[j].kind == TABLE_NUMBERS)
            st = fill_missing(t, j, t->columns[j].at, values, err);
    t->host->free(t->host, values);
    t->names = NULL;
    return st;
}

/* ---- slots -------------------------------------------------------------------------------------- */

dal_status table_info(void *self, dal_dataset_info *info, dal_error *err)
{
    const table *t = self;
    (void)err;
    info->spec = (dal_sample_spec){sizeof info->spec, DAL_VECTOR, DAL_F32, 1, {t->d}, t->class_names.n};
    memcpy(info->n, t->n, sizeof info->n);
    info->class_names = t->class_names.n > 0 ? (const char *const *)t->class_names.texts : NULL;
    return DAL_OK;
}

dal_status table_classes(void *self, uint32_t split, const int64_t *ids, int64_t n, int32_t *out, dal_error *err)
{
    const table *t = self;
    const dal_status st = dal_check_ids(t->n[split], ids, n, err);
    for (int64_t i = 0; i < n && st == DAL_OK; i++)
        out[i] = t->classes[t->split[split][ids[i]]];
    return st;
}

dal_status table_read(void *self, uint32_t split, const int64_t *ids, int64_t n, dal_batch *out, dal_error *err)
{
    const table *t = self;
    float *to = out->data;
    const dal_status st = dal_check_ids(t->n[split], ids, n, err);
    for (int64_t i = 0; i < n && st == DAL_OK; i++)
        memcpy(to + i * t->d, t->x + t->split[split][ids[i]] * t->d, (size_t)t->d * sizeof *to);
    return st;
}

void table_describe(void *self, uint32_t split, int64_t id, char *out, size_t size)
{
    const table *t = self;
    if (dal_check_ids(t->n[split], &id, 1, NULL) != DAL_OK) {
        snprintf(out, size, "%lld", (long long)id);
        return;
    }
    const int64_t row = t->split[split][id];
    const char *path = t->files[row >= t->files[0].n].path, *slash = strrchr(path, '/');
    snprintf(out, size, "%s:%lld", slash ? slash + 1 : path, (long long)t->lines[row]);
}

/* ---- sources ----------------------------------------------------------------------------------- */

static int64_t count_groups(void *self)
{
    return ((const table *)self)->group_names.n;
}

static const char *name_group(void *self, int64_t g)
{
    return ((const table *)self)->group_names.texts[g];
}

static dal_status table_groups(void *self, uint32_t split, const int64_t *ids, int64_t n, int32_t *out, dal_error *err)
{
    const table *t = self;
    const dal_status st = dal_check_ids(t->n[split], ids, n, err);
    for (int64_t i = 0; i < n && st == DAL_OK; i++)
        out[i] = t->groups[t->split[split][ids[i]]];
    return st;
}

const void *table_get_extension(void *self, const char *id)
{
    static const dal_dataset_groups groups = {
        .struct_size = sizeof groups, .count = count_groups, .name = name_group, .groups = table_groups};
    return ((const table *)self)->group_names.n > 0 && strcmp(id, DAL_CAP_GROUPS) == 0 ? &groups : NULL;
}
