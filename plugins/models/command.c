/* command: a model in another process and language.
 *
 * The program `run` is started once and asked line by line on its standard input; it answers each line with one on its
 * standard output and has all else (prints, progress bars) go to standard error. Arrays pass as NumPy files in a folder
 * of its own, DAL_MODEL_DIR in its environment (DAL_THREADS: how many threads it may use). A program in Python is some
 * forty lines: sdk/examples/sklearn_model.py.
 *
 * The lines and files of the protocol are in sdk/README.md, under "A model in another process". What the program writes
 * is checked like any file: shapes, and no NaN (by the host).
 */
#include <dal/model.h>
#include <dal/npy.h>

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "command_process.h"
#include <dal/fit.h>
#include "sample_block.h"

#define MAX_MODEL ((int64_t)4 << 30) /* bytes of a saved model */

typedef struct options {
    dal_str_list run;
    double timeout;
    int64_t features;
} options;

typedef struct command {
    const dal_host *host;
    const options *opt;
    const char *id;
    dal_sample_spec spec;
    command_process process;
    int fitted;
    char directory[256];
} command;

static void path_of(const command *c, const char *name, char out[512])
{
    snprintf(out, 512, "%s/%s", c->directory, name);
}

/* ---- questions -------------------------------------------------------------------------------- */

static dal_status ask(command *c, const char *request, char answer[COMMAND_LINE], dal_error *err)
{
    const dal_status st = command_ask(&c->process, request, answer, err);
    if (st != DAL_OK)
        return st;
    if (strcmp(answer, "ok") == 0 || strncmp(answer, "ok ", 3) == 0)
        return DAL_OK;
    if (strncmp(answer, "error ", 6) == 0)
        return dal_fail(err, DAL_E_FAILED, "run", "'%s' says to '%s': %.400s", c->process.program, request, answer + 6);
    return dal_fail(err, DAL_E_CONTRACT, "run",
                    "'%s' answers '%.100s' to '%s'; expected 'ok' or 'error MESSAGE' (what is printed belongs on "
                    "standard error)", c->process.program, answer, request);
}

static const char *modality_name(uint32_t m)
{
    static const char *const names[] = {"", "vector", "image", "text", "sparse"};
    return m <= DAL_SPARSE ? names[m] : "";
}

static dal_status greet(command *c, dal_error *err)
{
    char answer[COMMAND_LINE], request[256];
    dal_status st = command_ask(&c->process, NULL, answer, err);
    if (st != DAL_OK)
        return st;
    if (strcmp(answer, "dal-model 1") != 0)
        return dal_fail(err, DAL_E_CONTRACT, "run", "'%s' begins with '%.100s'; expected 'dal-model 1'",
                        c->process.program, answer);
    int at = snprintf(request, sizeof request, "spec modality=%s dtype=%s shape=", modality_name(c->spec.modality),
                      c->spec.dtype == DAL_U8 ? "u8" : "f32");
    for (uint32_t i = 0; i < c->spec.ndim; i++)
        at += snprintf(request + at, sizeof request - (size_t)at, "%s%lld", i ? "x" : "", (long long)c->spec.shape[i]);
    snprintf(request + at, sizeof request - (size_t)at, " classes=%lld", (long long)c->spec.n_classes);
    return ask(c, request, answer, err);
}

/* ---- samples into files ------------------------------------------------------------------------ */

/* Where a list of samples goes, block by block. */
typedef struct sink {
    const command *c;
    dal_npy_writer *x, *indices, *indptr; /* x: values of dense and sparse samples */
    FILE *text;
    int64_t nnz;
    char text_path[512];
} sink;

static dal_status fail_text(const sink *s, dal_error *err)
{
    return dal_fail(err, DAL_E_IO, "", "%s: cannot be written (%s)", s->text_path, strerror(errno));
}

/* nnz: of all samples, where they are sparse. */
static dal_status sink_open(sink *s, const command *c, int64_t n, int64_t nnz, dal_error *err)
{
    char path[512];
    const int64_t zero = 0, pointers = n + 1;
    int64_t shape[DAL_MAX_DIMS + 1] = {n};
    dal_status st;
    *s = (sink){.c = c};
    if (c->spec.modality == DAL_TEXT) {
        path_of(c, "x.jsonl", s->text_path);
        s->text = fopen(s->text_path, "we");
        return s->text ? DAL_OK : fail_text(s, err);
    }
    if (c->spec.modality != DAL_SPARSE) {
        memcpy(shape + 1, c->spec.shape, sizeof c->spec.shape);
        path_of(c, "x.npy", path);
        return dal_npy_writer_open(path, c->spec.dtype == DAL_U8 ? DAL_NPY_U8 : DAL_NPY_F32, c->spec.ndim + 1, shape,
                                   &s->x, err);
    }
    path_of(c, "data.npy", path);
    st = dal_npy_writer_open(path, DAL_NPY_F32, 1, &nnz, &s->x, err);
    path_of(c, "indices.npy", path);
    if (st == DAL_OK)
        st = dal_npy_writer_open(path, DAL_NPY_I32, 1, &nnz, &s->indices, err);
    path_of(c, "indptr.npy", path);
    if (st == DAL_OK)
        st = dal_npy_writer_open(path, DAL_NPY_I64, 1, &pointers, &s->indptr, err);
    return st == DAL_OK ? dal_npy_writer_append(s->indptr, &zero, sizeof zero, err) : st;
}

static void put_json(FILE *f, const unsigned char *p, int64_t n)
{
    putc('"', f);
    for (int64_t i = 0; i < n; i++) {
        if (p[i] == '"' || p[i] == '\\')
            putc('\\', f);
        if (p[i] < 32)
            fprintf(f, "\\u%04x", p[i]);
        else
            putc(p[i], f);
    }
    fputs("\"\n", f);
}

static dal_status sink_write(sink *s, const dal_batch *b, dal_error *err)
{
    if (s->text) {
        for (int64_t i = 0; i < b->n; i++)
            put_json(s->text, (const unsigned char *)b->data + b->offsets[i], b->offsets[i + 1] - b->offsets[i]);
        return ferror(s->text) ? fail_text(s, err) : DAL_OK;
    }
    if (!s->indices)
        return dal_npy_writer_append(s->x, b->data, b->n * dal_sample_bytes(b->spec), err);
    const int64_t nnz = b->offsets[b->n];
    dal_status st = dal_npy_writer_append(s->x, b->data, nnz * (int64_t)sizeof(float), err);
    if (st == DAL_OK)
        st = dal_npy_writer_append(s->indices, b->indices, nnz * (int64_t)sizeof *b->indices, err);
    for (int64_t i = 0; st == DAL_OK && i < b->n; i++) {
        const int64_t end = s->nnz + b->offsets[i + 1];
        st = dal_npy_writer_append(s->indptr, &end, sizeof end, err);
    }
    s->nnz += nnz;
    return st;
}

/* Ends it; what was not completed leaves no file. */
static dal_status sink_close(sink *s, dal_status st, dal_error *err)
{
    dal_npy_writer *const writers[] = {s->x, s->indices, s->indptr};
    if (s->text && fclose(s->text) != 0 && st == DAL_OK)
        st = fail_text(s, err);
    for (int i = 0; i < 3; i++) {
        if (!writers[i])
            continue;
        if (st == DAL_OK)
            st = dal_npy_writer_close(writers[i], 0, err);
        else
            dal_npy_writer_abandon(writers[i]);
    }
    return st;
}

static dal_status count_values(const dal_samples *s, int64_t *nnz, dal_error *err)
{
    int64_t rows[SAMPLE_BLOCK], sizes[SAMPLE_BLOCK];
    dal_status st = DAL_OK;
    *nnz = 0;
    for (int64_t first = 0; s->spec.modality == DAL_SPARSE && st == DAL_OK && first < s->n; first += SAMPLE_BLOCK) {
        const int64_t n = s->n - first < SAMPLE_BLOCK ? s->n - first : SAMPLE_BLOCK;
        for (int64_t i = 0; i < n; i++)
            rows[i] = first + i;
        st = s->sizes(s, rows, n, sizes, err);
        for (int64_t i = 0; st == DAL_OK && i < n; i++)
            *nnz += sizes[i];
    }
    return st;
}

static dal_status write_array(const command *c, const char *name, uint32_t type, const void *data, int64_t n,
                              dal_error *err)
{
    char path[512];
    dal_npy_writer *w;
    path_of(c, name, path);
    dal_status st = dal_npy_writer_open(path, type, 1, &n, &w, err);
    if (st != DAL_OK)
        return st;
    st = dal_npy_writer_append(w, data, n * 4, err);
    if (st == DAL_OK)
        return dal_npy_writer_close(w, 0, err);
    dal_npy_writer_abandon(w);
    return st;
}

static dal_status write_training_set(const command *c, const dal_samples *s, dal_error *err)
{
    int64_t nnz;
    sample_block b = {.host = c->host};
    sink to;
    dal_status st = count_values(s, &nnz, err);
    if (st != DAL_OK)
        return st;
    st = sink_open(&to, c, s->n, nnz, err);
    for (int64_t first = 0; st == DAL_OK && first < s->n; first += SAMPLE_BLOCK) {
        st = sample_block_read(&b, s, first, s->n - first < SAMPLE_BLOCK ? s->n - first : SAMPLE_BLOCK, err);
        if (st == DAL_OK)
            st = sink_write(&to, &b.batch, err);
    }
    st = sink_close(&to, st, err);
    sample_block_free(&b);
    if (st == DAL_OK)
        st = write_array(c, "y.npy", DAL_NPY_I32, s->classes, s->n, err);
    return st == DAL_OK && s->weights ? write_array(c, "w.npy", DAL_NPY_F32, s->weights, s->n, err) : st;
}

/* ---- answers from files ------------------------------------------------------------------------ */

/* The rows of a file the program has just written, [n, width]. */
static dal_status read_rows(const command *c, const char *name, int64_t n, int64_t width, float *out, dal_error *err)
{
    char path[512];
    dal_npy *npy;
    path_of(c, name, path);
    dal_status st = dal_npy_open(path, &npy, err);
    if (st != DAL_OK)
        return st;
    if (dal_npy_ndim(npy) != 2 || dal_npy_size(npy, 0) != n || dal_npy_size(npy, 1) != width)
        st = dal_fail(err, DAL_E_CONTRACT, "run", "'%s' wrote %s as %s; expected [%lld, %lld]", c->process.program,
                      name, dal_npy_describe(npy), (long long)n, (long long)width);
    if (st == DAL_OK)
        st = dal_npy_to_f32(npy, 0, n, out, err);
    dal_npy_close(npy);
    unlink(path); /* an old answer must never pass for a new one */
    return st;
}

static dal_status infer(command *c, const dal_batch *x, float *features, float *outputs, dal_error *err)
{
    char request[64], answer[COMMAND_LINE];
    sink to;
    if (!c->fitted)
        return dal_fail(err, DAL_E_CONTRACT, "", "%s has not been trained: fit or load comes first", c->id);
    dal_status st = sink_open(&to, c, x->n, c->spec.modality == DAL_SPARSE ? x->offsets[x->n] : 0, err);
    if (st == DAL_OK)
        st = sink_write(&to, x, err);
    st = sink_close(&to, st, err);
    snprintf(request, sizeof request, "%s n=%lld", features ? "features" : "predict", (long long)x->n);
    if (st == DAL_OK)
        st = ask(c, request, answer, err);
    if (st == DAL_OK && outputs)
        st = read_rows(c, "p.npy", x->n, c->spec.n_classes, outputs, err);
    return st == DAL_OK && features ? read_rows(c, "f.npy", x->n, c->opt->features, features, err) : st;
}

/* ---- the table -------------------------------------------------------------------------------- */

static void destroy(void *self)
{
    static const char *const names[] = {"x.npy", "x.jsonl", "data.npy", "indices.npy", "indptr.npy", "y.npy", "w.npy",
                                        "p.npy", "f.npy", "model.bin", "stderr.txt"};
    command *c = self;
    char path[512];
    if (!c)
        return;
    command_stop(&c->process);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        path_of(c, names[i], path);
        unlink(path);
    }
    if (rmdir(c->directory) != 0 && errno == ENOTEMPTY)
        dal_logf(c->host, DAL_LOG_WARNING, "%s: left there, the program put files of its own into it", c->directory);
    c->host->free(c->host, c);
}

static dal_status create_as(const char *id, const dal_host *host, const void *opts, const dal_sample_spec *spec,
                            void **self, dal_error *err)
{
    const options *opt = opts;
    const char *tmp = getenv("TMPDIR");
    if (opt->run.n == 0)
        return dal_fail(err, DAL_E_INVALID, "run", "names no program; expected one and its arguments: "
                        "run: [python3, model.py]");
    command *c = dal_array(host, 1, sizeof *c);
    if (!c)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for a model");
    *c = (command){.host = host, .opt = opt, .id = id, .spec = *spec,
                   .process = {.host = host, .timeout = opt->timeout, .fd = -1}};
    snprintf(c->directory, sizeof c->directory, "%s/dalhost-model-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    if (!mkdtemp(c->directory)) {
        const dal_status st = dal_fail(err, DAL_E_IO, "",
                                       "%s: no folder can be made there (%s); set TMPDIR to one where it can",
                                       c->directory, strerror(errno));
        host->free(host, c);
        return st;
    }
    dal_status st = command_start(&c->process, opt->run.items, opt->run.n, c->directory, err);
    if (st == DAL_OK)
        st = greet(c, err);
    if (st == DAL_OK)
        *self = c;
    else
        destroy(c);
    return st;
}

static dal_status create(const dal_host *host, const void *opts, const dal_sample_spec *spec, void **self,
                         dal_error *err)
{
    return create_as("command", host, opts, spec, self, err);
}

static dal_status create_with_features(const dal_host *host, const void *opts, const dal_sample_spec *spec, void **self,
                                       dal_error *err)
{
    return create_as("command-features", host, opts, spec, self, err);
}

/* The number behind `word` in an answer, or NaN. */
static double number_in(const char *answer, const char *word)
{
    const char *at = strstr(answer, word);
    char *end;
    if (!at)
        return (double)NAN;
    const double x = strtod(at + strlen(word), &end);
    return end == at + strlen(word) ? (double)NAN : x;
}

static dal_status fit(void *self, const dal_fit *f, dal_fit_report *report, dal_error *err)
{
    command *c = self;
    char request[256], answer[COMMAND_LINE];
    dal_rng r = c->host->rng(c->host, "fit", f->round);
    c->fitted = 0;
    dal_status st = dal_check_labels(c->id, c->spec.n_classes, f, err);
    if (st == DAL_OK)
        st = write_training_set(c, f->train, err);
    snprintf(request, sizeof request, "fit n=%lld round=%lld seed=%u warm=0 weights=%d", (long long)f->train->n,
             (long long)f->round, (unsigned)dal_rng_u32(&r) >> 1, f->train->weights != NULL);
    if (st == DAL_OK)
        st = ask(c, request, answer, err);
    if (st != DAL_OK)
        return st;
    const double accuracy = number_in(answer, " accuracy="), loss = number_in(answer, " loss=");
    report->train_accuracy = accuracy >= 0 && accuracy <= 1 ? accuracy : -1;
    report->loss = isfinite(loss) ? loss : 0;
    c->fitted = 1;
    return DAL_OK;
}

static dal_status predict(void *self, const dal_batch *x, float *out, dal_error *err)
{
    return infer(self, x, NULL, out, err);
}

static dal_status save(void *self, const dal_writer *w, dal_error *err)
{
    command *c = self;
    char answer[COMMAND_LINE], path[512], buffer[65536];
    struct stat info;
    path_of(c, "model.bin", path);
    unlink(path);
    if (!c->fitted)
        return dal_fail(err, DAL_E_CONTRACT, "", "%s has not been trained: there is nothing to save", c->id);
    dal_status st = ask(c, "save", answer, err);
    if (st != DAL_OK)
        return st;
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK); /* a pipe would be waited for */
    if (fd < 0 || fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
        if (fd >= 0)
            close(fd);
        return dal_fail(err, DAL_E_CONTRACT, "run", "'%s' answered 'ok' to 'save' but wrote no model.bin",
                        c->process.program);
    }
    uint64_t size = (uint64_t)info.st_size;
    st = w->write(w, &size, sizeof size, err);
    while (st == DAL_OK && size > 0) {
        const ssize_t n = read(fd, buffer, size < sizeof buffer ? (size_t)size : sizeof buffer);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            st = dal_fail(err, DAL_E_IO, "", "%s: cannot be read (%s)", path,
                          n < 0 ? strerror(errno) : "it became shorter");
        else
            st = w->write(w, buffer, (size_t)n, err);
        size -= n > 0 ? (uint64_t)n : 0;
    }
    close(fd);
    return st;
}

static dal_status load(void *self, const dal_reader *r, dal_error *err)
{
    command *c = self;
    char answer[COMMAND_LINE], path[512], buffer[65536];
    uint64_t size = 0;
    dal_status st = dal_read_saved(r, &size, sizeof size, c->id, err);
    if (st == DAL_OK && size > (uint64_t)MAX_MODEL)
        st = dal_fail(err, DAL_E_FORMAT, "", "a saved %s of %llu bytes; expected at most %lld", c->id,
                      (unsigned long long)size, (long long)MAX_MODEL);
    path_of(c, "model.bin", path);
    if (st != DAL_OK)
        return st;
    FILE *f = fopen(path, "we");
    if (!f)
        return dal_fail(err, DAL_E_IO, "", "%s: cannot be written (%s)", path, strerror(errno));
    while (st == DAL_OK && size > 0) {
        const size_t n = size < sizeof buffer ? (size_t)size : sizeof buffer;
        st = dal_read_saved(r, buffer, n, c->id, err);
        if (st == DAL_OK && fwrite(buffer, 1, n, f) != n)
            st = dal_fail(err, DAL_E_IO, "", "%s: cannot be written (%s)", path, strerror(errno));
        size -= n;
    }
    if (fclose(f) != 0 && st == DAL_OK)
        st = dal_fail(err, DAL_E_IO, "", "%s: cannot be written (%s)", path, strerror(errno));
    if (st == DAL_OK)
        st = ask(c, "load", answer, err);
    c->fitted = st == DAL_OK;
    return st;
}

static int64_t feature_width(void *self)
{
    return ((const command *)self)->opt->features;
}

static dal_status get_features(void *self, const dal_batch *x, float *features, float *outputs, dal_error *err)
{
    return infer(self, x, features, outputs, err);
}

static const void *get_extension(void *self, const char *id)
{
    static const dal_model_features table = {.struct_size = sizeof table, .width = feature_width,
                                             .features = get_features};
    const command *c = self;
    return strcmp(c->id, "command-features") == 0 && strcmp(id, DAL_CAP_FEATURES) == 0 ? &table : NULL;
}

#define IMPL(name, make)                                                                                          \
    static const dal_model_impl name = {.struct_size = sizeof(dal_model_impl), .output = DAL_PROBS,               \
                                        .create = make, .destroy = destroy, .fit = fit, .predict = predict,       \
                                        .save = save, .load = load, .get_extension = get_extension};
IMPL(plain_impl, create)
IMPL(features_impl, create_with_features)

#define PARAMS(P, T)                                                                                              \
    P(T, run, STRS, DAL_REQUIRED, "nonempty", "", "the program and its arguments")                                \
    P(T, timeout, F64, "0", "0..", "seconds", "an answer may take; 0: for ever")
#define FEATURE_PARAMS(P, T)                                                                                      \
    PARAMS(P, T)                                                                                                  \
    P(T, features, I64, DAL_REQUIRED, "1..", "numbers", "width d of the features the program gives")
#define COMPONENTS(C)                                                                                             \
    C(MODEL, "command", plain_impl, "a model in another process and language", "", "", DAL_CAP_OUTPUTS, options,  \
      PARAMS)                                                                                                     \
    C(MODEL, "command-features", features_impl, "the same, which also tells its penultimate features", "", "",    \
      DAL_CAP_OUTPUTS " " DAL_CAP_FEATURES, options, FEATURE_PARAMS)
DAL_MODULE(command, "1.0", "Apache-2.0", COMPONENTS, NULL, NULL)
