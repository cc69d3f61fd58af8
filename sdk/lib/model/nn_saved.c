/* Save and load. A saved model is a .safetensors file: what the reader keeps as a tensor "reader" of bytes, then the
 * tensors of the network (dal_nn_tensor), so that a stored model opens in other programs as it is. Its metadata: format
 * "pt" (shapes and names are PyTorch's), the model's id, and a checksum of all tensors and of the texts below. A reader
 * that names the tensors itself has what it keeps in the metadata, too, and perhaps texts beside it (DAL_ST_BESIDE,
 * DAL_ST_ELSEWHERE). */
#include "nn_model.h"

#include <math.h>

#include <dal/fit.h>

#define NAME "a saved model"
#define READER "reader"

/* ---- what a reader keeps, in memory ------------------------------------------------------------- */

typedef struct kept {
    const dal_host *host;
    unsigned char *data;
    int64_t n, room, at;
} kept;

static dal_status keep_bytes(const dal_writer *w, const void *data, size_t n, dal_error *err)
{
    kept *b = w->impl;
    if (b->n + (int64_t)n > b->room) {
        const int64_t room = 2 * b->room + (int64_t)n;
        unsigned char *more = dal_array(b->host, room, 1);
        if (!more)
            return dal_fail(err, DAL_E_NOMEM, "", "no memory to save a model");
        if (b->n > 0)
            memcpy(more, b->data, (size_t)b->n);
        b->host->free(b->host, b->data);
        b->data = more;
        b->room = room;
    }
    if (n > 0)
        memcpy(b->data + b->n, data, n);
    b->n += (int64_t)n;
    return DAL_OK;
}

static dal_status give_bytes(const dal_reader *r, void *data, size_t n, size_t *got, dal_error *err)
{
    kept *b = r->impl;
    (void)err;
    *got = n < (size_t)(b->n - b->at) ? n : (size_t)(b->n - b->at);
    if (*got > 0)
        memcpy(data, b->data + b->at, *got);
    b->at += (int64_t)*got;
    return DAL_OK;
}

/* ---- save --------------------------------------------------------------------------------------- */

/* texts: those that are not there are NULL. */
static void checksum_of(const dal_tensor *all, int64_t n, const char *const *texts, int64_t n_texts, char out[17])
{
    uint64_t h = 0;
    for (int64_t i = 0; i < n; i++)
        h = dal_hash64(h, all[i].data, (size_t)all[i].bytes);
    for (int64_t i = 0; i < n_texts; i++)
        h = dal_hash64(h, texts[i] ? texts[i] : "", texts[i] ? strlen(texts[i]) : 0);
    snprintf(out, 17, "%016llx", (unsigned long long)h);
}

/* Has what the reader keeps a tensor of its own? */
static int has_reader_tensor(const dal_nn_model *m)
{
    return m->plan.reader && !m->plan.reader->tensors;
}

/* The network's tensors as a saved model has them: how many; out NULL: not wanted. */
static int64_t tensors_of(const dal_nn_model *m, dal_tensor *out)
{
    if (m->plan.reader && m->plan.reader->tensors)
        return m->plan.reader->tensors(m, out);
    const int64_t n = dal_nn_tensors(m->nn);
    for (int64_t i = 0; i < n && out; i++)
        dal_nn_tensor(m->nn, i, m->weights, m->state, &out[i]);
    return n;
}

/* Texts of the metadata: what the reader keeps, unless that is a tensor, then what goes beside. */
#define MOST_TEXTS 8
typedef struct texts {
    const char *key[MOST_TEXTS], *text[MOST_TEXTS];
    int64_t n;
} texts;

static void add_text(texts *t, const char *key, const char *text)
{
    t->key[t->n] = key;
    t->text[t->n++] = text;
}

static void texts_of(const dal_nn_model *m, const char *reader, texts *t)
{
    const char *key, *text;
    t->n = 0;
    if (!m->plan.reader || has_reader_tensor(m))
        return;
    add_text(t, READER, reader);
    for (int64_t i = 0; m->plan.reader->beside && t->n < MOST_TEXTS && (text = m->plan.reader->beside(m, i, &key)); i++)
        add_text(t, key, text);
}

static dal_status write_all(const dal_nn_model *m, const dal_writer *w, const dal_tensor *all, int64_t n,
                            const char *reader, dal_error *err)
{
    char checksum[17];
    const char *metadata[2 * (3 + MOST_TEXTS)] = {"format", "pt", "model", m->id, "checksum", checksum};
    texts t;
    texts_of(m, reader, &t);
    checksum_of(all, n, t.text, t.n, checksum);
    for (int64_t i = 0; i < t.n; i++) {
        metadata[2 * (3 + i)] = t.key[i];
        metadata[2 * (3 + i) + 1] = t.text[i];
    }
    return dal_safetensors_save(w, NAME, all, n, metadata, 3 + t.n, err);
}

dal_status dal_nn_model_save(void *self, const dal_writer *w, dal_error *err)
{
    const dal_nn_model *m = self;
    kept reader = {.host = m->host};
    const dal_writer memory = {sizeof memory, 0, &reader, keep_bytes};
    dal_status st = dal_nn_model_ready(m, NULL, err);
    if (st == DAL_OK && m->plan.reader)
        st = m->plan.reader->save(m, &memory, err);
    if (st == DAL_OK && m->plan.reader && !has_reader_tensor(m))
        st = keep_bytes(&memory, "", 1, err); /* the end of a text */
    if (st != DAL_OK) {
        m->host->free(m->host, reader.data);
        return st;
    }
    int64_t n = tensors_of(m, NULL);
    dal_tensor *all = dal_array(m->host, n + 1, sizeof *all);
    if (all) {
        tensors_of(m, all);
        if (has_reader_tensor(m))
            all[n++] = (dal_tensor){.struct_size = sizeof *all, .dtype = DAL_ST_U8, .ndim = 1, .shape = {reader.n},
                                    .name = READER, .data = reader.data, .bytes = reader.n, .count = reader.n};
        st = write_all(m, w, all, n, (const char *)reader.data, err);
    } else {
        st = dal_fail(err, DAL_E_NOMEM, "", "no memory to save a model");
    }
    m->host->free(m->host, all);
    m->host->free(m->host, reader.data);
    return st;
}

/* ---- load --------------------------------------------------------------------------------------- */

static dal_status check_id(const dal_nn_model *m, const dal_safetensors *f, dal_error *err)
{
    const char *format = dal_safetensors_metadata(f, "format"), *id = dal_safetensors_metadata(f, "model");
    if (!format || strcmp(format, "pt") != 0 || !id)
        return dal_fail(err, DAL_E_FORMAT, "", NAME ": its metadata name no model, where %s writes its own name",
                        m->id);
    return strcmp(id, m->id) == 0 ? DAL_OK
                                  : dal_fail(err, DAL_E_FORMAT, "", NAME ": it is one of %.64s; expected one of %s",
                                             id, m->id);
}

static dal_status load_text(dal_nn_model *m, const dal_safetensors *f, dal_error *err)
{
    const char *text = dal_safetensors_metadata(f, READER);
    if (!text)
        return dal_fail(err, DAL_E_FORMAT, "",
                        NAME ": its metadata have no '" READER "', where %s keeps what it was made with", m->id);
    kept bytes = {.data = (unsigned char *)(uintptr_t)text, .n = (int64_t)strlen(text)};
    const dal_reader r = {sizeof r, 0, &bytes, give_bytes};
    return m->plan.reader->load(m, &r, err);
}

static dal_status load_reader(dal_nn_model *m, const dal_safetensors *f, dal_error *err)
{
    if (!has_reader_tensor(m))
        return load_text(m, f, err);
    const dal_tensor *t = dal_safetensors_find(f, READER);
    if (!t || t->dtype != DAL_ST_U8)
        return dal_fail(err, DAL_E_FORMAT, "",
                        NAME ": it has no tensor '" READER "' of U8, which %s keeps its words in", m->id);
    kept bytes = {.data = (unsigned char *)(uintptr_t)t->data, .n = t->bytes};
    const dal_reader r = {sizeof r, 0, &bytes, give_bytes};
    return m->plan.reader->load(m, &r, err);
}

/* The file's tensor for each of the network's, in `found`. */
static dal_status match(const dal_nn_model *m, const dal_safetensors *f, const dal_tensor *all, int64_t n,
                        dal_tensor *found, dal_error *err)
{
    char have[160], want[160];
    for (int64_t i = 0; i < n; i++) {
        const dal_tensor mine = all[i];
        const dal_tensor *t = dal_safetensors_find(f, mine.name);
        if (!t)
            return dal_fail(err, DAL_E_FORMAT, "", NAME " of other layers: it has no tensor '%s'; %s has one here, %s",
                            mine.name, m->id, dal_tensor_describe(&mine, want));
        if (t->dtype != mine.dtype || t->ndim != mine.ndim || memcmp(t->shape, mine.shape, sizeof mine.shape) != 0)
            return dal_fail(err, DAL_E_FORMAT, "", NAME " of other layers: tensor '%s' is %s; %s has %s here",
                            mine.name, dal_tensor_describe(t, have), m->id, dal_tensor_describe(&mine, want));
        found[i] = *t;
    }
    if (has_reader_tensor(m))
        found[n++] = *dal_safetensors_find(f, READER);
    return dal_safetensors_count(f) == n
               ? DAL_OK
               : dal_fail(err, DAL_E_FORMAT, "", NAME " of other layers: it has %lld tensors; %s has %lld here",
                          (long long)dal_safetensors_count(f), m->id, (long long)n);
}

static dal_status check_finite(const dal_tensor *t, dal_error *err)
{
    for (int64_t i = 0; i < t->count; i++) {
        float x;
        memcpy(&x, (const char *)t->data + i * (int64_t)sizeof x, sizeof x);
        if (!isfinite(x))
            return dal_fail(err, DAL_E_FORMAT, "", NAME ": number %lld of tensor '%s' is %g", (long long)i, t->name,
                            (double)x);
    }
    return DAL_OK;
}

static dal_status check_numbers(const dal_nn_model *m, const dal_safetensors *f, const dal_tensor *found, int64_t n,
                                dal_error *err)
{
    const char *said = dal_safetensors_metadata(f, "checksum");
    char checksum[17];
    dal_status st = DAL_OK;
    texts t;
    texts_of(m, NULL, &t);
    for (int64_t i = 0; i < t.n; i++)
        t.text[i] = dal_safetensors_metadata(f, t.key[i]);
    checksum_of(found, n + has_reader_tensor(m), t.text, t.n, checksum);
    if (!said || strcmp(said, checksum) != 0)
        return dal_fail(err, DAL_E_FORMAT, "", NAME " is damaged: its checksum does not fit");
    for (int64_t i = 0; i < n && st == DAL_OK; i++)
        st = check_finite(&found[i], err);
    return st;
}

static dal_status take_tensors(dal_nn_model *m, const dal_safetensors *f, dal_error *err)
{
    const int64_t n = tensors_of(m, NULL);
    dal_tensor *all = dal_array(m->host, n, sizeof *all), *found = dal_array(m->host, n + 1, sizeof *found);
    dal_status st = all && found ? DAL_OK : dal_fail(err, DAL_E_NOMEM, "", "no memory to load a model");
    if (st == DAL_OK) {
        tensors_of(m, all);
        st = match(m, f, all, n, found, err);
    }
    if (st == DAL_OK)
        st = check_numbers(m, f, found, n, err);
    if (st == DAL_OK)
        dal_nn_model_changed(m);
    for (int64_t i = 0; i < n && st == DAL_OK; i++)
        memcpy((void *)(uintptr_t)all[i].data, found[i].data, (size_t)all[i].bytes);
    m->host->free(m->host, found);
    m->host->free(m->host, all);
    return st;
}

/* Of texts that older models lack, the present ones stay. */
static dal_status take_texts(dal_nn_model *m, const dal_safetensors *f, dal_error *err)
{
    dal_status st = DAL_OK;
    texts t;
    texts_of(m, NULL, &t);
    for (int64_t i = 1; i < t.n && st == DAL_OK; i++) {
        const char *text = dal_safetensors_metadata(f, t.key[i]);
        st = text ? m->plan.reader->put(m, t.key[i], text, err) : DAL_OK;
    }
    return st;
}

dal_status dal_nn_model_load(void *self, const dal_reader *r, dal_error *err)
{
    dal_nn_model *m = self;
    dal_safetensors *f = NULL;
    dal_status st = dal_safetensors_read(m->host, r, NAME, "", &f, err);
    if (st == DAL_OK)
        st = check_id(m, f, err);
    if (st == DAL_OK && m->plan.reader)
        st = load_reader(m, f, err);
    if (st == DAL_OK)
        st = take_tensors(m, f, err);
    if (st == DAL_OK)
        st = take_texts(m, f, err);
    dal_safetensors_close(f);
    m->fitted = st == DAL_OK ? 1 : m->fitted;
    return st;
}
