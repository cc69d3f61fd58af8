#include "dataset/sheet.h"

#include <stdlib.h>

#include "dataset/examine.h"
#include "dataset/picture.h"
#include "dataset/samples.h"
#include "util/file.h"
#include "util/text.h"

enum { SIDE = 256, MOST_CLASSES = 1000, WORDS = 400 };

static const char style[] =
    "body{font:15px/1.4 sans-serif;margin:2em auto;max-width:70em;padding:0 1em;color:#222;background:#fff}"
    "table{border-collapse:collapse}td,th{padding:.2em .8em;text-align:right;border-bottom:1px solid #ddd}"
    "td:first-child,th:first-child{text-align:left}figure{display:inline-block;margin:.3em;text-align:center}"
    "figure img{min-width:64px;image-rendering:pixelated}figcaption{font-size:11px;color:#666}"
    "p.s{border-left:3px solid #ccc;padding-left:.6em;overflow-wrap:anywhere}p.s small{color:#666}"
    "@media(prefers-color-scheme:dark){body{background:#181818;color:#ddd}td,th{border-color:#444}}";

static void add_escaped(text *t, const char *s)
{
    for (const char *p = s; *p; p++) {
        const unsigned char c = (unsigned char)*p;
        if (c == '&')
            text_add(t, "&amp;");
        else if (c == '<')
            text_add(t, "&lt;");
        else if (c == '"')
            text_add(t, "&quot;");
        else if (c < 0x20 || c == 0x7f)
            text_add(t, " ");
        else
            text_addf(t, "%c", c);
    }
}

static void add_counts(text *t, const source *s, const survey *v)
{
    const survey_link *l = &v->links[v->n - 1];
    text_add(t, "<table><tr><th>class</th>");
    for (uint32_t k = 0; k < DAL_SPLITS; k++)
        if (l->n[k])
            text_addf(t, "<th>%s</th>", split_words[k]);
    text_add(t, "</tr>\n");
    for (int64_t c = 0; c < l->spec.n_classes && c < MOST_CLASSES; c++) {
        text_addf(t, "<tr><td><a href=\"#c%lld\">", (long long)c);
        add_escaped(t, s->class_names[c]);
        text_add(t, "</a></td>");
        for (uint32_t k = 0; k < DAL_SPLITS; k++)
            if (l->n[k])
                text_addf(t, "<td>%lld</td>", (long long)l->counts[k][c]);
        text_add(t, "</tr>\n");
    }
    text_add(t, "<tr><td>all</td>");
    for (uint32_t k = 0; k < DAL_SPLITS; k++)
        if (l->n[k])
            text_addf(t, "<td>%lld</td>", (long long)l->n[k]);
    text_add(t, "</tr></table>\n");
}

static dal_status add_sample(text *t, source *s, uint32_t split, int64_t id, batch_buffer *buffer, dal_error *err)
{
    const int64_t zero = 0;
    char where[200];
    dal_samples *list = source_samples(s, split, &id, NULL, NULL, 1);
    const dal_status st = batch_read(buffer, list, &zero, 1, err);
    free(list);
    if (st != DAL_OK)
        return st;
    source_describe(s, split, id, where, sizeof where);
    if (s->info.spec.modality == DAL_IMAGE) {
        picture p = picture_of(&s->info.spec, buffer->batch.data, SIDE);
        text_add(t, "<figure><img alt=\"\" src=\"data:image/png;base64,");
        picture_add_png(&p, t);
        picture_fini(&p);
        text_add(t, "\"><figcaption>");
        add_escaped(t, where);
        text_add(t, "</figcaption></figure>\n");
    } else {
        char *words = samples_words(&buffer->batch, 0, WORDS);
        text_add(t, "<p class=\"s\">");
        add_escaped(t, words);
        text_add(t, " <small>");
        add_escaped(t, where);
        text_add(t, "</small></p>\n");
        free(words);
    }
    return DAL_OK;
}

/* Samples of class c (-1, -2: of none) in their order. */
static dal_status add_class(text *t, source *s, uint32_t split, int32_t c, int64_t most, batch_buffer *buffer,
                            dal_error *err)
{
    dal_status st = DAL_OK;
    int64_t n = 0;
    for (int64_t i = 0; st == DAL_OK && i < s->info.n[split] && n < most; i++) {
        if (s->classes[split][i] != c)
            continue;
        if (n++ == 0) {
            text_addf(t, "<h2 id=\"c%d\">", c);
            add_escaped(t, samples_class(s, split, i));
            text_add(t, "</h2>\n");
        }
        st = add_sample(t, s, split, i, buffer, err);
    }
    return st;
}

static void add_card(text *t, const card *c)
{
    const char *const facts[][2] = {{"licence", c->licence}, {"cite", c->citation}, {"home", c->home}};
    for (int i = 0; i < 3; i++)
        if (*facts[i][1]) {
            text_addf(t, "<p>%s: ", facts[i][0]);
            add_escaped(t, facts[i][1]);
            text_add(t, "</p>\n");
        }
    for (int64_t i = 0; i < c->n_notes; i++) {
        text_add(t, "<p><em>");
        add_escaped(t, c->notes[i]);
        text_add(t, "</em></p>\n");
    }
}

dal_status sheet_write(const char *path, source *s, const survey *v, const card *c, const char *title, uint32_t split,
                       int64_t per_class, dal_error *err)
{
    text t = {0};
    batch_buffer buffer = {0};
    text_add(&t, "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>");
    add_escaped(&t, title);
    text_addf(&t, "</title><style>%s</style></head>\n<body><h1>", style);
    add_escaped(&t, title);
    text_add(&t, "</h1>\n");
    if (c)
        add_card(&t, c);
    add_counts(&t, s, v);
    text_addf(&t, "<p>The first %lld samples of each class of the %s split.</p>\n", (long long)per_class,
              split_words[split]);
    dal_status st = DAL_OK;
    for (int32_t k = DAL_LABEL_OOD; st == DAL_OK && k < s->info.spec.n_classes && k < MOST_CLASSES; k++)
        st = add_class(&t, s, split, k, per_class, &buffer, err);
    text_add(&t, "</body></html>\n");
    if (st == DAL_OK)
        st = file_write(path, t.s, t.n, err);
    batch_free(&buffer);
    text_free(&t);
    return st;
}
