/* cifar-binary: CIFAR-10 and CIFAR-100 in their binary version: plain, gzip, or all in the archive they come in.
 *
 * A file is nothing but records: one label byte (CIFAR-10), or a coarse and a fine one (CIFAR-100), then 3072
 * bytes of a 32 x 32 image, planar: 1024 red, 1024 green, 1024 blue, each row by row. Plain files are read where
 * they are mapped; gzip files are inflated once, into temporary space, and so is what is wanted of an archive
 * (cifar-10-binary.tar.gz), which has the pool, the test split and the names of the classes.
 */
#include <dal/archive.h>
#include <dal/dataset.h>
#include <dal/file.h>

typedef struct options {
    const char *train, *test, *names;
    int64_t batches;
    uint32_t labels;
} options;

enum { CIFAR10, FINE, COARSE };

#define PIXELS 3072
#define MAX_BATCHES 5
#define MAX_CLASSES 100
#define MAX_RECORDS ((int64_t)1000000) /* of one gzip file, which may promise anything; there are 50,000 at most */
#define MAX_NAMES_BYTES 65536

/* One file of records. */
typedef struct part {
    dal_file *file;
    unsigned char *room; /* temp_map of room_size bytes: what comes from an archive */
    int64_t room_size;
    const char *path; /* what messages call it */
    char *own;        /* path, when it is not the user's */
    const unsigned char *records;
    int64_t n;
} part;

typedef struct split {
    part parts[MAX_BATCHES];
    int64_t n_parts, n;
} split;

typedef struct cifar {
    const dal_host *host;
    const options *opt;
    int64_t n_labels, n_classes, record; /* label bytes, bytes of a record */
    split splits[DAL_SPLITS];
    char *name_text;
    const char *names[MAX_CLASSES];
} cifar;

/* ---- files ------------------------------------------------------------------------------------ */

/* The label bytes of a record, as far as they are read: fine labels come second. */
static int label_of(const cifar *self, const unsigned char *record)
{
    return record[self->opt->labels == FINE ? 1 : 0];
}

static dal_status check_labels(const cifar *self, const part *p, const char *path, const char *key, dal_error *err)
{
    static const int limits[][2] = {{10, 0}, {20, 100}, {20, 100}};
    for (int64_t i = 0; i < p->n; i++)
        for (int64_t j = 0; j < self->n_labels; j++) {
            const int label = p->records[i * self->record + j], limit = limits[self->opt->labels][j];
            if (label >= limit)
                return dal_fail(err, DAL_E_FORMAT, key,
                                "%s: %slabel %d at offset %lld (sample %lld), expected 0..%d", path,
                                self->n_labels == 1 ? ""
                                : j == 0            ? "coarse "
                                                    : "fine ",
                                label, (long long)(i * self->record + j), (long long)i, limit - 1);
        }
    return DAL_OK;
}

static dal_status check_size(const cifar *self, const part *p, int64_t size, const char *key, dal_error *err)
{
    const char *path = p->path, *where = p->file && dal_file_is_gzip(p->file) ? " of the inflated data" : "";
    const int64_t other = self->n_labels == 1 ? PIXELS + 2 : PIXELS + 1;
    if (size == 0)
        return dal_fail(err, DAL_E_FORMAT, key, "%s: there is nothing in it", path);
    if (size % self->record == 0)
        return DAL_OK;
    if (size % other == 0)
        return dal_fail(err, DAL_E_FORMAT, key,
                        "%s: %lld bytes are records of %lld, as CIFAR-%s has them; say labels: %s", path,
                        (long long)size, (long long)other, self->n_labels == 1 ? "100" : "10",
                        self->n_labels == 1 ? "fine or coarse" : "cifar10");
    return dal_fail(err, DAL_E_FORMAT, key,
                    "%s: truncated at offset %lld%s: sample %lld begins at %lld and takes %lld bytes",
                    path, (long long)size, where, (long long)(size / self->record),
                    (long long)(size / self->record * self->record), (long long)self->record);
}

/* The records of a part are there: are they good? */
static dal_status take_part(const cifar *self, split *s, part *p, int64_t size, const char *key, dal_error *err)
{
    dal_status st = check_size(self, p, size, key, err);
    p->n = size / self->record;
    if (st == DAL_OK)
        st = check_labels(self, p, p->path, key, err);
    s->n += p->n;
    return st;
}

static dal_status open_part(cifar *self, split *s, const char *path, const char *key, dal_error *err)
{
    part *p = &s->parts[s->n_parts++];
    int64_t size;
    p->path = path;
    dal_status st = dal_file_open(self->host, path, key, &p->file, err);
    if (st == DAL_OK)
        st = dal_file_load(p->file, MAX_RECORDS * self->record, 0, err);
    if (st != DAL_OK)
        return st;
    p->records = dal_file_data(p->file, &size);
    return take_part(self, s, p, size, key, err);
}

/* The last digit before the first point of a file's name, if it is a lone 1: data_batch_1.bin.gz. */
static const char *find_number(const char *path)
{
    const char *name = strrchr(path, '/');
    name = name ? name + 1 : path;
    for (const char *p = name + strcspn(name, "."); p-- > name;)
        if (*p >= '0' && *p <= '9')
            return *p == '1' && (p == name || p[-1] < '0' || p[-1] > '9') ? p : NULL;
    return NULL;
}

static dal_status open_train(cifar *self, dal_error *err)
{
    const char *path = self->opt->train, *number = find_number(path);
    split *s = &self->splits[DAL_SPLIT_TRAIN];
    if (self->opt->batches > 1 && !number)
        return dal_fail(err, DAL_E_INVALID, "batches",
                        "%s: its name has no number 1 to count up from, as data_batch_1.bin has", path);
    dal_status st = open_part(self, s, path, "train", err);
    for (int64_t i = 1; i < self->opt->batches && st == DAL_OK; i++) {
        const size_t bytes = strlen(path) + 1;
        char *next = s->parts[i].own = dal_array(self->host, (int64_t)bytes, 1);
        if (!next)
            return dal_fail(err, DAL_E_NOMEM, "", "no memory for the dataset");
        memcpy(next, path, bytes);
        next[number - path] = (char)('1' + i);
        st = open_part(self, s, next, "train", err);
    }
    return st;
}

/* ---- class names ------------------------------------------------------------------------------ */

/* One name a line; blank lines at the end do not count. data[size] is copied. */
static dal_status take_names(cifar *self, const char *path, const void *data, int64_t size, dal_error *err)
{
    int64_t n = 0;
    if (size > MAX_NAMES_BYTES || memchr(data, 0, (size_t)size))
        return dal_fail(err, DAL_E_FORMAT, "names", "%s: expected class names, one a line", path);
    if (!(self->name_text = dal_array(self->host, size + 1, 1)))
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for the dataset");
    memcpy(self->name_text, data, (size_t)size);
    while (size > 0 && strchr("\r\n \t", self->name_text[size - 1]))
        size--;
    self->name_text[size] = '\0';
    for (char *at = self->name_text, *end; at; at = end, n++) {
        end = strchr(at, '\n');
        if (end)
            *end++ = '\0';
        at[strcspn(at, "\r")] = '\0';
        if (n < self->n_classes)
            self->names[n] = at;
        if (!*at)
            return dal_fail(err, DAL_E_FORMAT, "names", "%s: line %lld has no name", path, (long long)n + 1);
    }
    if (n != self->n_classes)
        return dal_fail(err, DAL_E_INVALID, "names", "%s: %lld names for %lld classes", path, (long long)n,
                        (long long)self->n_classes);
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < i; j++)
            if (strcmp(self->names[i], self->names[j]) == 0)
                return dal_fail(err, DAL_E_INVALID, "names", "%s: '%s' names class %lld and class %lld", path,
                                self->names[i], (long long)j, (long long)i);
    return DAL_OK;
}

static dal_status read_names(cifar *self, dal_error *err)
{
    const char *path = self->opt->names;
    dal_file *f = NULL;
    int64_t size;
    dal_status st = dal_file_open(self->host, path, "names", &f, err);
    if (st == DAL_OK)
        st = dal_file_load(f, MAX_NAMES_BYTES, 0, err);
    if (st == DAL_OK) {
        const unsigned char *data = dal_file_data(f, &size);
        st = take_names(self, path, data, size, err);
    }
    dal_file_close(f);
    return st;
}

/* ---- an archive ------------------------------------------------------------------------------- */

/* What of an archive is wanted: the batches of the pool, then these. */
enum { TEST = MAX_BATCHES, NAMES, MEMBERS };

/* Which of them a member is, by its name without folders; MEMBERS: none. */
static int member_number(const cifar *self, const char *name)
{
    static const char *const ten[MEMBERS] = {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin",
                                             "data_batch_4.bin", "data_batch_5.bin", "test_batch.bin",
                                             "batches.meta.txt"};
    static const char *const hundred[MEMBERS] = {[0] = "train.bin", [TEST] = "test.bin"};
    const char *slash = strrchr(name, '/'), *base = slash ? slash + 1 : name;
    if (self->opt->labels != CIFAR10 &&
        strcmp(base, self->opt->labels == FINE ? "fine_label_names.txt" : "coarse_label_names.txt") == 0)
        return NAMES;
    for (int i = 0; i < MEMBERS; i++) {
        const char *wanted = self->opt->labels == CIFAR10 ? ten[i] : hundred[i];
        if (wanted && strcmp(base, wanted) == 0)
            return i;
    }
    return MEMBERS;
}

static int is_wanted(const cifar *self, int number)
{
    const options *o = self->opt;
    return number == TEST ? !o->test[0] : number == NAMES ? !o->names[0] : o->batches == 0 || number < o->batches;
}

/* A member, whole, into temporary space. */
static dal_status take_member(const cifar *self, dal_archive *a, const dal_archive_member *m, part *p, int number,
                              dal_error *err)
{
    const char *archive = self->opt->train;
    const int64_t limit = number == NAMES ? MAX_NAMES_BYTES : MAX_RECORDS * self->record;
    const size_t bytes = strlen(archive) + strlen(m->name) + 2;
    void *room = NULL;
    if (p->path)
        return dal_fail(err, DAL_E_FORMAT, "train", "%s: '%.200s' and %s: which of them?", archive, m->name, p->path);
    p->path = p->own = dal_array(self->host, (int64_t)bytes, 1);
    if (!p->own)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for the dataset");
    snprintf(p->own, bytes, "%s:%s", archive, m->name);
    if (m->size == 0 || m->size > limit)
        return dal_fail(err, DAL_E_FORMAT, "train", "%s: %lld bytes, expected 1 to %lld", p->path, (long long)m->size,
                        (long long)limit);
    dal_status st = self->host->temp_map(self->host, (size_t)m->size, &room, err);
    if (st != DAL_OK)
        return st;
    p->room = room;
    p->room_size = m->size;
    p->records = room;
    return dal_archive_read(a, room, m->size, err);
}

static void drop_part(const dal_host *host, part *p)
{
    dal_file_close(p->file);
    if (p->room)
        host->temp_unmap(host, p->room, (size_t)p->room_size);
    host->free(host, p->own);
}

/* Parts find their place in the splits; what found none is dropped by the caller. */
static dal_status place_members(cifar *self, part *found, dal_error *err)
{
    const options *o = self->opt;
    split *train = &self->splits[DAL_SPLIT_TRAIN], *test = &self->splits[DAL_SPLIT_TEST];
    dal_status st = DAL_OK;
    for (int i = 0; i <= TEST && st == DAL_OK; i++) {
        split *s = i == TEST ? test : train;
        if (found[i].path) {
            part *p = &s->parts[s->n_parts++];
            *p = found[i];
            found[i] = (part){0};
            st = take_part(self, s, p, p->room_size, "train", err);
        } else if (i < o->batches || i == 0) {
            char name[24] = "train.bin";
            if (self->n_labels == 1)
                snprintf(name, sizeof name, "data_batch_%d.bin", i + 1);
            st = dal_fail(err, DAL_E_FORMAT, "train", "%s: an archive without %s; say labels: %s if it is of CIFAR-%s",
                          o->train, name, self->n_labels == 1 ? "fine or coarse" : "cifar10",
                          self->n_labels == 1 ? "100" : "10");
        }
    }
    if (st == DAL_OK && found[NAMES].path)
        st = take_names(self, found[NAMES].path, found[NAMES].room, found[NAMES].room_size, err);
    return st;
}

static dal_status open_archive(cifar *self, dal_error *err)
{
    part found[MEMBERS] = {{0}};
    dal_archive *a = NULL;
    dal_archive_member m;
    int more = 1;
    dal_status st = dal_archive_open(self->host, self->opt->train, "train", 0, &a, err);
    while (st == DAL_OK && (st = dal_archive_next(a, &m, &more, err)) == DAL_OK && more) {
        const int number = member_number(self, m.name);
        if (number < MEMBERS && is_wanted(self, number))
            st = take_member(self, a, &m, &found[number], number, err);
    }
    dal_archive_close(a);
    if (st == DAL_OK)
        st = place_members(self, found, err);
    for (int i = 0; i < MEMBERS; i++)
        drop_part(self->host, &found[i]);
    return st;
}

/* ---- the table -------------------------------------------------------------------------------- */

static void cifar_destroy(void *p)
{
    cifar *self = p;
    if (!self)
        return;
    for (uint32_t k = 0; k < DAL_SPLITS; k++)
        for (int64_t i = 0; i < MAX_BATCHES; i++)
            drop_part(self->host, &self->splits[k].parts[i]);
    self->host->free(self->host, self->name_text);
    self->host->free(self->host, self);
}

static dal_status cifar_create(const dal_host *host, const void *opt, const dal_dataset *input, void **out,
                               dal_error *err)
{
    static const int64_t n_classes[] = {10, 100, 20};
    const options *o = opt;
    (void)input;
    cifar *self = host->alloc(host, sizeof *self, 0);
    if (!self)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for the dataset");
    *self = (cifar){
        .host = host, .opt = o, .n_classes = n_classes[o->labels], .n_labels = o->labels == CIFAR10 ? 1 : 2};
    self->record = self->n_labels + PIXELS;
    int packed = 0;
    dal_status st = dal_archive_probe(host, o->train, "train", &packed, err);
    if (st == DAL_OK)
        st = packed ? open_archive(self, err) : open_train(self, err);
    if (st == DAL_OK && o->test[0])
        st = open_part(self, &self->splits[DAL_SPLIT_TEST], o->test, "test", err);
    if (st == DAL_OK && o->names[0])
        st = read_names(self, err);
    if (st == DAL_OK)
        *out = self;
    else
        cifar_destroy(self);
    return st;
}

static dal_status cifar_info(void *p, dal_dataset_info *info, dal_error *err)
{
    const cifar *self = p;
    (void)err;
    info->spec = (dal_sample_spec){sizeof info->spec, DAL_IMAGE, DAL_U8, 3, {3, 32, 32}, self->n_classes};
    for (uint32_t k = 0; k < DAL_SPLITS; k++)
        info->n[k] = self->splits[k].n;
    info->class_names = self->name_text ? self->names : NULL;
    return DAL_OK;
}

/* Which part sample id of a split is in; *id becomes its number there. */
static const part *find_part(const split *s, int64_t *id)
{
    const part *p = s->parts;
    while (*id >= p->n)
        *id -= p++->n;
    return p;
}

static dal_status cifar_classes(void *p, uint32_t k, const int64_t *ids, int64_t n, int32_t *out, dal_error *err)
{
    const cifar *self = p;
    const dal_status st = dal_check_ids(self->splits[k].n, ids, n, err);
    for (int64_t i = 0; st == DAL_OK && i < n; i++) {
        int64_t at = ids[i];
        const part *of = find_part(&self->splits[k], &at);
        out[i] = label_of(self, of->records + at * self->record);
    }
    return st;
}

static dal_status cifar_read(void *p, uint32_t k, const int64_t *ids, int64_t n, dal_batch *out, dal_error *err)
{
    const cifar *self = p;
    unsigned char *to = out->data;
    const dal_status st = dal_check_ids(self->splits[k].n, ids, n, err);
    for (int64_t i = 0; st == DAL_OK && i < n; i++, to += PIXELS) {
        int64_t at = ids[i];
        const part *of = find_part(&self->splits[k], &at);
        memcpy(to, of->records + at * self->record + self->n_labels, PIXELS);
    }
    return st;
}

/* "data_batch_3.bin 17" */
static void cifar_describe(void *p, uint32_t k, int64_t id, char *out, size_t size)
{
    const cifar *self = p;
    if (id < 0 || id >= self->splits[k].n) {
        snprintf(out, size, "%lld", (long long)id);
        return;
    }
    const part *of = find_part(&self->splits[k], &id);
    const char *name = strrchr(of->path, '/');
    snprintf(out, size, "%s %lld", name ? name + 1 : of->path, (long long)id);
}

static const dal_dataset_impl cifar_impl = {
    .struct_size = sizeof cifar_impl,
    .create = cifar_create,
    .destroy = cifar_destroy,
    .info = cifar_info,
    .classes = cifar_classes,
    .read = cifar_read,
    .describe = cifar_describe,
};

#define PARAMS(P, T)                                                                                    \
    P(T, train, PATH, DAL_REQUIRED, "file", "",                                                         \
      "records of the pool: data_batch_1.bin, train.bin; or the archive with all: cifar-10-binary.tar.gz") \
    P(T, batches, I64, "0", "0..5", "files",                                                            \
      "more than 1: the number in the first one's name counts up; 0: 1, or all of an archive")          \
    P(T, test, PATH, "", "file", "",                                                                    \
      "records of the test split: test_batch.bin, test.bin; empty: what an archive has")                \
    P(T, labels, CHOICE, "cifar10", "cifar10|fine|coarse", "",                                          \
      "CIFAR-10's 10 classes, CIFAR-100's 100 or its 20 superclasses")                                  \
    P(T, names, PATH, "", "file", "",                                                                                  \
      "class names, one a line: batches.meta.txt, fine_label_names.txt; empty: what an archive has")
#define COMPONENTS(C)                                                                                   \
    C(DATASET, "cifar-binary", cifar_impl, "CIFAR-10 and CIFAR-100 in binary files, plain, gzip or in their .tar.gz", \
      "Krizhevsky: Learning multiple layers of features from tiny images, 2009", "", DAL_CAP_CONCURRENT, options, \
      PARAMS)
DAL_MODULE(cifar_binary, "1.0", "Apache-2.0", COMPONENTS, NULL, NULL)
