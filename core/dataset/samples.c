#include "dataset/samples.h"

#include <stdlib.h>

#include "util/text.h"

sample_choice samples_choose(const source *s, uint32_t split, int64_t n)
{
    const int64_t size = s->info.n[split], c = s->info.spec.n_classes;
    const int32_t *classes = s->classes[split];
    sample_choice out = {split, xcalloc((size_t)n, sizeof(int64_t)), 0};
    int64_t *taken = xcalloc((size_t)c + 1, sizeof *taken); /* of each class; [c]: of those without one */
    for (bool found = true; found && out.n < n;) {
        int64_t *next = xcalloc((size_t)c + 1, sizeof *next);
        for (int64_t k = 0; k <= c; k++)
            next[k] = -1;
        found = false;
        for (int64_t i = 0, left = c + 1; i < size && left > 0; i++) {
            const int64_t k = classes[i] >= 0 ? classes[i] : c;
            if (next[k] < 0 && i >= taken[k]) {
                next[k] = i;
                left--;
            }
        }
        for (int64_t k = 0; k <= c && out.n < n; k++)
            if (next[k] >= 0) {
                out.ids[out.n++] = next[k];
                taken[k] = next[k] + 1;
                found = true;
            }
        free(next);
    }
    free(taken);
    return out;
}

const char *samples_class(const source *s, uint32_t split, int64_t id)
{
    const int32_t k = s->classes[split][id];
    return k >= 0 ? s->class_names[k] : k == DAL_LABEL_OOD ? "(out of class)" : "(no label)";
}

char *samples_line(const char *s, int64_t n, int64_t most)
{
    text t = {0};
    bool blank = true;
    int64_t i = 0, count = 0;
    while (i < n && count < most) {
        const unsigned char c = (unsigned char)s[i];
        int64_t length = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
        if (length > n - i || !utf8_valid(s + i, (size_t)length, NULL))
            length = 1;
        if (c <= ' ' || c == 0x7f) {
            if (!blank)
                text_add(&t, " "), count++;
            blank = true;
        } else {
            if (length == 1 && c >= 0x80)
                text_add(&t, "?");
            else if (c == 0xc2 && (unsigned char)s[i + 1] < 0xa0) /* control characters again */
                text_add(&t, "?");
            else
                text_addf(&t, "%.*s", (int)length, s + i);
            blank = false;
            count++;
        }
        i += length;
    }
    if (i < n)
        text_add(&t, "...");
    return text_take(&t);
}

char *samples_words(const dal_batch *b, int64_t i, int64_t most)
{
    const dal_sample_spec *spec = b->spec;
    if (spec->modality == DAL_TEXT)
        return samples_line((const char *)b->data + b->offsets[i], b->offsets[i + 1] - b->offsets[i], most);
    text t = {0};
    const bool sparse = spec->modality == DAL_SPARSE;
    const int64_t from = sparse ? b->offsets[i] : i * dal_sample_values(spec);
    const int64_t to = sparse ? b->offsets[i + 1] : from + dal_sample_values(spec);
    for (int64_t k = from; k < to; k++) {
        char one[48];
        if (sparse)
            snprintf(one, sizeof one, "%s%d:%.6g", t.n ? " " : "", b->indices[k], (double)((const float *)b->data)[k]);
        else if (spec->dtype == DAL_U8)
            snprintf(one, sizeof one, "%s%u", t.n ? " " : "", ((const uint8_t *)b->data)[k]);
        else
            snprintf(one, sizeof one, "%s%.6g", t.n ? " " : "", (double)((const float *)b->data)[k]);
        if ((int64_t)(t.n + strlen(one)) > most) {
            text_add(&t, " ...");
            break;
        }
        text_add(&t, one);
    }
    return text_take(&t);
}
