#include "dataset/write.h"

#include <stdlib.h>

#include "dataset/examine.h"
#include "dataset/npz_writer.h"
#include "util/new_file.h"
#include "util/text.h"

enum { BLOCK = 256 };

typedef struct job {
    source *source;
    const dal_host *host;
    FILE *out;
    uint32_t first, last; /* splits */
    int64_t done, total;
    npz_writer *npz;
} job;

typedef dal_status (*put_block)(job *j, uint32_t split, int64_t first, const dal_batch *b, dal_error *err);

/* All samples of a split in blocks. */
static dal_status each_block(job *j, uint32_t split, put_block put, dal_error *err)
{
    int64_t ids[BLOCK], rows[BLOCK];
    batch_buffer buffer = {0};
    dal_status st = DAL_OK;
    const int64_t size = j->source->info.n[split];
    for (int64_t first = 0; st == DAL_OK && first < size; first += BLOCK) {
        const int64_t n = size - first < BLOCK ? size - first : BLOCK;
        for (int64_t i = 0; i < BLOCK; i++) {
            ids[i] = first + i;
            rows[i] = i;
        }
        dal_samples *list = source_samples(j->source, split, ids, NULL, NULL, n);
        st = batch_read(&buffer, list, rows, n, err);
        free(list);
        if (st == DAL_OK)
            st = put(j, split, first, &buffer.batch, err);
        j->done += n;
        j->host->progress(j->host, j->done, j->total, "samples");
        if (st == DAL_OK && j->host->cancelled(j->host))
            st = dal_fail(err, DAL_E_CANCELLED, "", "interrupted");
    }
    batch_free(&buffer);
    return st;
}

/* ---- text files ---- */

static void put_field(FILE *out, const char *s, int64_t n)
{
    bool quote = n > 0 && (s[0] == ' ' || s[n - 1] == ' ');
    for (int64_t i = 0; i < n && !quote; i++)
        quote = s[i] == '"' || s[i] == ',' || s[i] == '\n' || s[i] == '\r';
    if (!quote) {
        fwrite(s, 1, (size_t)n, out);
        return;
    }
    putc('"', out);
    for (int64_t i = 0; i < n; i++) {
        if (s[i] == '"')
            putc('"', out);
        putc(s[i], out);
    }
    putc('"', out);
}

/* The shortest that reads back as the same float. */
static const char *number(float x, char out[32])
{
    for (int digits = 6; digits <= 9; digits++) {
        snprintf(out, 32, "%.*g", digits, (double)x);
        if (strtof(out, NULL) == x)
            break;
    }
    return out;
}

static void put_numbers(FILE *out, const dal_batch *b, int64_t i)
{
    const int64_t d = dal_sample_values(b->spec);
    char words[32];
    for (int64_t k = 0; k < d; k++)
        if (b->spec->dtype == DAL_U8)
            fprintf(out, ",%u", ((const uint8_t *)b->data)[i * d + k]);
        else
            fprintf(out, ",%s", number(((const float *)b->data)[i * d + k], words));
}

static dal_status put_csv(job *j, uint32_t split, int64_t first, const dal_batch *b, dal_error *err)
{
    (void)err;
    for (int64_t i = 0; i < b->n; i++) {
        const int32_t k = j->source->classes[split][first + i];
        if (j->first != j->last)
            fprintf(j->out, "%s,", split_words[split]);
        if (k >= 0)
            put_field(j->out, j->source->class_names[k], (int64_t)strlen(j->source->class_names[k]));
        if (b->spec->modality == DAL_TEXT) {
            putc(',', j->out);
            put_field(j->out, (const char *)b->data + b->offsets[i], b->offsets[i + 1] - b->offsets[i]);
        } else {
            put_numbers(j->out, b, i);
        }
        putc('\n', j->out);
    }
    return DAL_OK;
}

static void put_header(job *j)
{
    const dal_sample_spec *spec = &j->source->info.spec;
    fputs(j->first != j->last ? "split,label" : "label", j->out);
    if (spec->modality == DAL_TEXT)
        fputs(",text", j->out);
    for (int64_t k = 0; spec->modality != DAL_TEXT && k < dal_sample_values(spec); k++)
        fprintf(j->out, ",x%lld", (long long)k);
    putc('\n', j->out);
}

static dal_status put_svm(job *j, uint32_t split, int64_t first, const dal_batch *b, dal_error *err)
{
    (void)err;
    const bool sparse = b->spec->modality == DAL_SPARSE;
    const int64_t d = dal_sample_values(b->spec);
    char words[32];
    for (int64_t i = 0; i < b->n; i++) {
        fprintf(j->out, "%d", j->source->classes[split][first + i]);
        const int64_t from = sparse ? b->offsets[i] : i * d, to = sparse ? b->offsets[i + 1] : from + d;
        for (int64_t k = from; k < to; k++) {
            const float x = sparse || b->spec->dtype == DAL_F32 ? ((const float *)b->data)[k]
                                                                : (float)((const uint8_t *)b->data)[k];
            if (sparse || x != 0)
                fprintf(j->out, " %lld:%s", (long long)(sparse ? b->indices[k] : k - from) + 1, number(x, words));
        }
        putc('\n', j->out);
    }
    return DAL_OK;
}

/* ---- .npz ---- */

static dal_status put_values(job *j, uint32_t split, int64_t first, const dal_batch *b, dal_error *err)
{
    (void)split, (void)first;
    return npz_put(j->npz, b->data, (size_t)(b->n * dal_sample_bytes(b->spec)), err);
}

static dal_status put_split(job *j, uint32_t split, dal_error *err)
{
    static const char *const short_words[DAL_SPLITS] = {"train", "val", "test"};
    const dal_sample_spec *spec = &j->source->info.spec;
    const int64_t n = j->source->info.n[split];
    const bool image = spec->modality == DAL_IMAGE, flat = image && spec->shape[0] == 1;
    int64_t shape[DAL_MAX_DIMS + 1] = {n};
    int ndim = 1;
    char name[32];
    for (uint32_t i = flat; i < spec->ndim; i++)
        shape[ndim++] = spec->shape[i];
    snprintf(name, sizeof name, image ? "%s_images" : "x_%s", short_words[split]);
    dal_status st = npz_begin(j->npz, name, spec->dtype == DAL_U8 ? "|u1" : "<f4", spec->dtype == DAL_U8 ? 1 : 4, shape,
                              ndim, err);
    if (st == DAL_OK)
        st = each_block(j, split, put_values, err);
    if (st == DAL_OK)
        st = npz_end(j->npz, err);
    snprintf(name, sizeof name, image ? "%s_labels" : "y_%s", short_words[split]);
    if (st == DAL_OK)
        st = npz_begin(j->npz, name, "<i8", 8, shape, 1, err);
    for (int64_t i = 0; st == DAL_OK && i < n; i++) {
        const int64_t label = j->source->classes[split][i];
        st = npz_put(j->npz, &label, sizeof label, err);
    }
    return st == DAL_OK ? npz_end(j->npz, err) : st;
}

/* ---- which, and all of it ---- */

static bool ends(const char *path, const char *suffix)
{
    const size_t n = strlen(path), m = strlen(suffix);
    return n > m && strcmp(path + n - m, suffix) == 0;
}

static dal_status check_kind(const char *path, const source *s, uint32_t split, dal_error *err)
{
    const uint32_t modality = s->info.spec.modality;
    const bool npz = ends(path, ".npz"), csv = ends(path, ".csv"), svm = ends(path, ".svm");
    if (!npz && !csv && !svm)
        return dal_fail(err, DAL_E_INVALID, "", "%s: expected a name that ends in .npz, .csv or .svm", path);
    if (modality == DAL_TEXT && !csv)
        return dal_fail(err, DAL_E_INVALID, "", "%s: the samples are texts; expected a name that ends in .csv", path);
    if (modality == DAL_SPARSE && !svm)
        return dal_fail(err, DAL_E_INVALID, "", "%s: the samples are sparse; expected a name that ends in .svm", path);
    int splits = 0;
    for (uint32_t k = 0; k < DAL_SPLITS; k++)
        splits += s->info.n[k] > 0;
    if (svm && splits > 1 && split == DAL_SPLITS)
        return dal_fail(err, DAL_E_INVALID, "",
                        "%s: such a file has one split, and there are %d; say which with --split", path, splits);
    return DAL_OK;
}

static dal_status write_all(job *j, const char *path, dal_error *err)
{
    dal_status st = DAL_OK;
    if (ends(path, ".npz")) {
        j->npz = npz_new(j->out, path);
        for (uint32_t k = j->first; st == DAL_OK && k <= j->last; k++)
            if (j->source->info.n[k] > 0)
                st = put_split(j, k, err);
        if (st == DAL_OK)
            st = npz_finish(j->npz, err);
        npz_free(j->npz);
        return st;
    }
    const bool csv = ends(path, ".csv");
    if (csv)
        put_header(j);
    for (uint32_t k = j->first; st == DAL_OK && k <= j->last; k++)
        st = each_block(j, k, csv ? put_csv : put_svm, err);
    return st;
}

dal_status dataset_write(const char *path, source *s, const dal_host *host, uint32_t split, dal_error *err)
{
    job j = {.source = s, .host = host, .first = split < DAL_SPLITS ? split : 0,
             .last = split < DAL_SPLITS ? split : DAL_SPLITS - 1};
    new_file f = {0};
    while (j.first < j.last && s->info.n[j.first] == 0) /* one split alone needs no column for its name */
        j.first++;
    while (j.last > j.first && s->info.n[j.last] == 0)
        j.last--;
    for (uint32_t k = j.first; k <= j.last; k++)
        j.total += s->info.n[k];
    dal_status st = check_kind(path, s, split, err);
    if (st == DAL_OK && j.total == 0)
        st = dal_fail(err, DAL_E_INVALID, "", "there are no samples in the split to write");
    if (st == DAL_OK)
        st = new_file_open(path, &f, err);
    if (st != DAL_OK)
        return st;
    j.out = f.out;
    st = write_all(&j, path, err);
    if (st == DAL_OK)
        return new_file_commit(&f, err);
    new_file_drop(&f);
    return st;
}
