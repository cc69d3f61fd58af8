#include "name_set.h"

#include <dal/csv.h>
#include <dal/text.h>
#include <stdlib.h>

static int compare_bytes(const char *a, int64_t n_a, const char *b, int64_t n_b)
{
    const int order = memcmp(a, b, (size_t)(n_a < n_b ? n_a : n_b));
    return order ? order : (n_a > n_b) - (n_a < n_b);
}

static int whole_number(const char *text, int64_t size, int64_t *x)
{
    const dal_csv_field f = {.text = text, .size = size};
    return dal_csv_integer(&f, x);
}

static int compare_numbers(const char *a, int64_t n_a, const char *b, int64_t n_b)
{
    int64_t x, y;
    whole_number(a, n_a, &x);
    whole_number(b, n_b, &y);
    return x != y ? (x > y) - (x < y) : compare_bytes(a, n_a, b, n_b);
}

static int by_bytes(const void *a, const void *b)
{
    const name_slice *x = a, *y = b;
    return compare_bytes(x->text, x->size, y->text, y->size);
}

static int by_number(const void *a, const void *b)
{
    const name_slice *x = a, *y = b;
    return compare_numbers(x->text, x->size, y->text, y->size);
}

/* UTF-8 without control characters. */
static int is_text(const char *text, int64_t size)
{
    for (int64_t i = 0; i < size; i++)
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
            return 0;
    return dal_utf8_fault(text, size) < 0;
}

/* Sorted, without doubles and empty ones; how many are left. */
static int64_t sort_out(name_slice *all, int64_t n, int numbers)
{
    int64_t kept = 0;
    for (int64_t i = 0; i < n; i++)
        if (all[i].size > 0)
            all[kept++] = all[i];
    n = kept;
    kept = 0;
    qsort(all, (size_t)n, sizeof *all, numbers ? by_number : by_bytes);
    for (int64_t i = 0; i < n; i++)
        if (kept == 0 || by_bytes(&all[kept - 1], &all[i]) != 0)
            all[kept++] = all[i];
    return kept;
}

dal_status name_set_make(const dal_host *host, name_slice *all, int64_t n, int numeric, int64_t most, const char *what,
                         const char *key, name_set *out, dal_error *err)
{
    int64_t bytes = 0, x;
    *out = (name_set){.numbers = numeric};
    for (int64_t i = 0; i < n && out->numbers; i++)
        out->numbers = all[i].size == 0 || whole_number(all[i].text, all[i].size, &x);
    n = sort_out(all, n, out->numbers);
    if (n > most)
        return dal_fail(err, DAL_E_OVERFLOW, key, "%lld %s, expected at most %lld", (long long)n, what,
                        (long long)most);
    for (int64_t i = 0; i < n; i++) {
        bytes += all[i].size + 1;
        if (!is_text(all[i].text, all[i].size))
            return dal_fail(err, DAL_E_FORMAT, key, "name %lld of the %s is not UTF-8 text", (long long)i + 1, what);
    }
    out->text = dal_array(host, bytes, 1);
    out->names = dal_array(host, n, sizeof *out->names);
    if (!out->text || !out->names) {
        name_set_free(host, out);
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for the dataset");
    }
    char *to = out->text;
    for (int64_t i = 0; i < n; i++) {
        memcpy(to, all[i].text, (size_t)all[i].size);
        to[all[i].size] = '\0';
        out->names[out->n++] = to;
        to += all[i].size + 1;
    }
    return DAL_OK;
}

void name_set_free(const dal_host *host, name_set *s)
{
    host->free(host, s->names);
    host->free(host, s->text);
    *s = (name_set){0};
}

int32_t name_set_find(const name_set *s, const char *text, int64_t size)
{
    int64_t low = 0, high = s->n;
    while (low < high) {
        const int64_t middle = low + (high - low) / 2, length = (int64_t)strlen(s->names[middle]);
        const int order = s->numbers ? compare_numbers(text, size, s->names[middle], length)
                                     : compare_bytes(text, size, s->names[middle], length);
        if (order == 0)
            return (int32_t)middle;
        if (order > 0)
            low = middle + 1;
        else
            high = middle;
    }
    return -1;
}
