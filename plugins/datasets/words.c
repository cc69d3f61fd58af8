#include "words.h"

#include <dal/csv.h>
#include <stdlib.h>

static dal_status no_memory(dal_error *err)
{
    return dal_fail(err, DAL_E_NOMEM, "", "no memory for the table");
}

void words_free(const dal_host *host, word_list *w)
{
    for (int64_t i = 0; i < w->n; i++)
        host->free(host, w->texts[i]);
    host->free(host, w->texts);
    host->free(host, w->slots);
    *w = (word_list){0};
}

static int32_t *slot_of(const word_list *w, const char *text)
{
    uint64_t i = dal_hash64(0, text, strlen(text)) & (uint64_t)(w->room - 1);
    while (w->slots[i] >= 0 && strcmp(w->texts[w->slots[i]], text) != 0)
        i = (i + 1) & (uint64_t)(w->room - 1);
    return &w->slots[i];
}

int32_t words_find(const word_list *w, const char *text)
{
    return w->room > 0 ? *slot_of(w, text) : -1;
}

static dal_status grow(const dal_host *host, word_list *w, dal_error *err)
{
    const int64_t room = w->room ? 2 * w->room : 16;
    word_list larger = {dal_array(host, room / 2, sizeof(char *)), dal_array(host, room, sizeof(int32_t)), w->n, room};
    if (!larger.texts || !larger.slots) {
        host->free(host, larger.texts);
        host->free(host, larger.slots);
        return no_memory(err);
    }
    memset(larger.slots, 0xff, (size_t)room * sizeof *larger.slots);
    for (int64_t i = 0; i < w->n; i++) {
        larger.texts[i] = w->texts[i];
        *slot_of(&larger, w->texts[i]) = (int32_t)i;
    }
    host->free(host, w->texts);
    host->free(host, w->slots);
    *w = larger;
    return DAL_OK;
}

dal_status words_add(const dal_host *host, word_list *w, const char *text, int32_t *number, dal_error *err)
{
    if (2 * w->n >= w->room) {
        const dal_status st = grow(host, w, err);
        if (st != DAL_OK)
            return st;
    }
    int32_t *slot = slot_of(w, text);
    if (*slot < 0) {
        const size_t bytes = strlen(text) + 1;
        char *copy = dal_array(host, (int64_t)bytes, 1);
        if (!copy)
            return no_memory(err);
        w->texts[w->n] = memcpy(copy, text, bytes);
        *slot = (int32_t)w->n++;
    }
    *number = *slot;
    return DAL_OK;
}

/* ---- order ------------------------------------------------------------------------------------ */

static int integer_text(const char *s, int64_t *x)
{
    const dal_csv_field f = {.text = s, .size = (int64_t)strlen(s)};
    return dal_csv_integer(&f, x);
}

static int by_number(const void *a, const void *b)
{
    const char *s = *(char *const *)a, *t = *(char *const *)b;
    int64_t x, y;
    integer_text(s, &x);
    integer_text(t, &y);
    return x != y ? (x > y) - (x < y) : strcmp(s, t);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

dal_status words_sort(const dal_host *host, word_list *w, int32_t *numbers, dal_error *err)
{
    int integers = 1;
    int64_t x;
    if (w->n == 0)
        return DAL_OK;
    char **old = dal_array(host, w->n, sizeof *old);
    if (!old)
        return no_memory(err);
    memcpy(old, w->texts, (size_t)w->n * sizeof *old);
    for (int64_t i = 0; i < w->n; i++)
        integers &= integer_text(old[i], &x);
    qsort(w->texts, (size_t)w->n, sizeof *w->texts, integers ? by_number : by_text);
    memset(w->slots, 0xff, (size_t)w->room * sizeof *w->slots);
    for (int64_t i = 0; i < w->n; i++)
        *slot_of(w, w->texts[i]) = (int32_t)i;
    for (int64_t i = 0; i < w->n && numbers; i++)
        numbers[i] = *slot_of(w, old[i]);
    host->free(host, old);
    return DAL_OK;
}
