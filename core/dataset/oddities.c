#include "dataset/oddities.h"

#include <stdlib.h>
#include <xxhash.h>

#include "dataset/examine.h"

enum { BLOCK = 256, NAMED = 5 };

typedef struct print {
    XXH128_hash_t hash;
    int64_t id;
    uint32_t split;
    int32_t cls;
} print;

typedef struct search {
    source *source;
    const dal_host *host;
    print *prints;
    int64_t n, total, empty;
    float *low, *high; /* [d] of vectors, over everything */
    int64_t d;
} search;

/* ---- classes ---- */

static void add_names(text *out, const source *s, const survey_link *l, int64_t count, const char *before,
                      const char *after)
{
    int64_t n = 0;
    for (int64_t k = 0; k < l->spec.n_classes; k++)
        n += l->counts[0][k] + l->counts[1][k] + l->counts[2][k] == count;
    if (n == 0)
        return;
    text_addf(out, "%lld %s%s %s: ", (long long)n, n > 1 ? "classes have " : "class has ", before, after);
    for (int64_t k = 0, told = 0; k < l->spec.n_classes && told < NAMED; k++)
        if (l->counts[0][k] + l->counts[1][k] + l->counts[2][k] == count)
            text_addf(out, "%s%s", told++ ? ", " : "", s->class_names[k]);
    text_add(out, n > NAMED ? ", ...\n" : "\n");
}

static void look_at_classes(const source *s, const survey_link *l, text *out)
{
    int64_t least = INT64_MAX, most = 0, unlabelled = 0, all = 0;
    for (int64_t k = 0; k < l->spec.n_classes; k++) {
        const int64_t n = l->counts[DAL_SPLIT_TRAIN][k];
        least = n > 0 && n < least ? n : least;
        most = n > most ? n : most;
    }
    for (uint32_t k = 0; k < DAL_SPLITS; k++) {
        unlabelled += l->unlabelled[k];
        all += l->n[k];
    }
    if (l->spec.n_classes == 0)
        text_add(out, "there are no classes\n");
    else if (l->spec.n_classes == 1)
        text_add(out, "there is only one class\n");
    add_names(out, s, l, 0, "no", "sample");
    add_names(out, s, l, 1, "one", "sample");
    if (most > 0 && most / least >= 20)
        text_addf(out, "the largest class has %lld times as many samples to train on as the smallest\n",
                  (long long)(most / least));
    if (unlabelled > 0)
        text_addf(out, "%lld of %lld samples have no label\n", (long long)unlabelled, (long long)all);
    if (l->n[DAL_SPLIT_TEST] == 0)
        text_add(out, "there is no test split: the transform split makes one, as in transforms: [{use: split, test: "
                      "0.2}]\n");
}

/* ---- samples ---- */

static void look_at_values(search *q, const dal_batch *b)
{
    const int64_t d = q->d;
    for (int64_t i = 0; q->low && i < b->n; i++)
        for (int64_t k = 0; k < d; k++) {
            const float x = b->spec->dtype == DAL_U8 ? (float)((const uint8_t *)b->data)[i * d + k]
                                                     : ((const float *)b->data)[i * d + k];
            if (q->n + i == 0)
                q->low[k] = q->high[k] = x;
            q->low[k] = x < q->low[k] ? x : q->low[k];
            q->high[k] = x > q->high[k] ? x : q->high[k];
        }
}

static XXH128_hash_t hash_of(search *q, const dal_batch *b, int64_t i)
{
    const bool ragged = b->spec->modality == DAL_TEXT || b->spec->modality == DAL_SPARSE;
    if (!ragged) {
        const size_t bytes = (size_t)dal_sample_bytes(b->spec);
        return XXH3_128bits((const char *)b->data + (size_t)i * bytes, bytes);
    }
    const size_t n = (size_t)(b->offsets[i + 1] - b->offsets[i]), from = (size_t)b->offsets[i];
    q->empty += n == 0;
    if (b->spec->modality == DAL_TEXT)
        return XXH3_128bits((const char *)b->data + from, n);
    const XXH64_hash_t columns = XXH3_64bits(b->indices + from, n * sizeof *b->indices);
    return XXH3_128bits_withSeed((const float *)b->data + from, n * sizeof(float), columns);
}

static dal_status read_split(search *q, uint32_t split, dal_error *err)
{
    int64_t ids[BLOCK] = {0}, rows[BLOCK] = {0};
    batch_buffer buffer = {0};
    dal_status st = DAL_OK;
    const int64_t size = q->source->info.n[split];
    for (int64_t first = 0; st == DAL_OK && first < size; first += BLOCK) {
        const int64_t n = size - first < BLOCK ? size - first : BLOCK;
        for (int64_t i = 0; i < n; i++) {
            ids[i] = first + i;
            rows[i] = i;
        }
        dal_samples *list = source_samples(q->source, split, ids, NULL, NULL, n);
        st = batch_read(&buffer, list, rows, n, err);
        free(list);
        if (st != DAL_OK)
            break;
        look_at_values(q, &buffer.batch);
        for (int64_t i = 0; i < n; i++)
            q->prints[q->n++] = (print){hash_of(q, &buffer.batch, i), first + i, split,
                                        q->source->classes[split][first + i]};
        q->host->progress(q->host, q->n, q->total, "samples");
        if (q->host->cancelled(q->host))
            st = dal_fail(err, DAL_E_CANCELLED, "", "interrupted");
    }
    batch_free(&buffer);
    return st;
}

static int by_hash(const void *a, const void *b)
{
    const print *x = a, *y = b;
    if (x->hash.high64 != y->hash.high64)
        return x->hash.high64 < y->hash.high64 ? -1 : 1;
    if (x->hash.low64 != y->hash.low64)
        return x->hash.low64 < y->hash.low64 ? -1 : 1;
    if (x->split != y->split)
        return x->split < y->split ? -1 : 1;
    return x->id < y->id ? -1 : 1;
}

static void name_pair(const search *q, const print *first, const print *second, text *out)
{
    char a[200], b[200];
    source_describe(q->source, first->split, first->id, a, sizeof a);
    source_describe(q->source, second->split, second->id, b, sizeof b);
    text_addf(out, "; the first are %s of %s and %s of %s\n", a, split_words[first->split], b,
              split_words[second->split]);
}

static void find_twins(search *q, text *out)
{
    int64_t twins = 0, across = 0, quarrels = 0;
    const print *pair = NULL, *quarrel = NULL, *over = NULL;
    qsort(q->prints, (size_t)q->n, sizeof *q->prints, by_hash);
    for (int64_t i = 1, first = 0; i < q->n; i++) {
        const print *a = &q->prints[first], *b = &q->prints[i];
        if (a->hash.low64 != b->hash.low64 || a->hash.high64 != b->hash.high64) {
            first = i;
            continue;
        }
        if (twins++ == 0)
            pair = b;
        if (a->split != b->split && across++ == 0)
            over = b;
        if (a->cls != b->cls && a->cls >= 0 && b->cls >= 0 && quarrels++ == 0)
            quarrel = b;
    }
    const struct {
        const print *second;
        int64_t n;
        const char *words;
    } finds[] = {
        {pair, twins, "the same as an earlier one"},
        {over, across, "in two splits, so what is measured on the second is too good"},
        {quarrel, quarrels, "the same as an earlier one of another class"},
    };
    for (int k = 0; k < 3; k++) {
        if (!finds[k].second)
            continue;
        const print *first = finds[k].second; /* the earliest of its kind */
        while (first > q->prints && first[-1].hash.low64 == first->hash.low64 &&
               first[-1].hash.high64 == first->hash.high64)
            first--;
        text_addf(out, "%lld %s %s", (long long)finds[k].n, finds[k].n > 1 ? "samples are" : "sample is",
                  finds[k].words);
        name_pair(q, first, finds[k].second, out);
    }
}

static void find_still_columns(const search *q, text *out)
{
    int64_t still = 0;
    for (int64_t k = 0; q->low && q->n > 1 && k < q->d; k++)
        still += !(q->low[k] < q->high[k]);
    if (still == 0)
        return;
    text_addf(out, "%lld of %lld columns never change: ", (long long)still, (long long)q->d);
    for (int64_t k = 0, told = 0; k < q->d && told < NAMED; k++)
        if (!(q->low[k] < q->high[k]))
            text_addf(out, "%s%lld", told++ ? ", " : "", (long long)k);
    text_add(out, still > NAMED ? ", ... (from 0)\n" : " (from 0)\n");
}

dal_status find_oddities(source *s, const survey *v, const dal_host *host, text *out, dal_error *err)
{
    search q = {.source = s, .host = host, .total = s->info.n[0] + s->info.n[1] + s->info.n[2]};
    dal_status st = DAL_OK;
    q.prints = xcalloc((size_t)q.total, sizeof *q.prints);
    if (s->info.spec.modality == DAL_VECTOR) {
        q.d = dal_sample_values(&s->info.spec);
        q.low = xcalloc((size_t)q.d, sizeof *q.low);
        q.high = xcalloc((size_t)q.d, sizeof *q.high);
    }
    for (uint32_t split = 0; st == DAL_OK && split < DAL_SPLITS; split++)
        st = read_split(&q, split, err);
    if (st == DAL_OK) {
        look_at_classes(s, &v->links[v->n - 1], out);
        find_twins(&q, out);
        find_still_columns(&q, out);
        if (q.empty)
            text_addf(out, "%lld samples are empty\n", (long long)q.empty);
    }
    free(q.prints);
    free(q.low);
    free(q.high);
    return st;
}
