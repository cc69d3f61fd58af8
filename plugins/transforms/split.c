/* split: samples of the pool become a validation split, a test split, or both.
 *
 * By size: `validation` and `test` are fractions of the pool below 1, or counts; drawn at random. Stratified, each
 * class gives its share: the shares are rounded down and the largest remainders get one more (equal ones: the
 * lower class), so that the sizes are exact; samples of no known class are shared out like one more class.
 *
 * By source (`by_source`, where the dataset tells which hospital, patient, person a sample is of): all samples of a
 * source go to the same split. In random order, sources are taken as long as they fit into what is left of the size,
 * first for the test split: the sizes are then the most there can be. A sample of no known source is one of its own.
 * Classes do not matter.
 *
 * By index files: train_ids, validation_ids, test_ids hold places in the pool, from 0, as text (one a line) or
 * .npy; without train_ids the pool keeps the rest. This repeats a split that somebody else has made.
 *
 * Samples stay in their old order. A split the dataset has already is kept, and may not be made twice. `seed` is
 * not that of the run unless it is 0: all trials are to be tested on the same samples.
 */
#include <dal/derived.h>
#include <dal/file.h>
#include <dal/npy.h>

typedef struct options {
    double validation, test;
    int32_t stratified, by_source;
    int64_t seed;
    const char *train_ids, *validation_ids, *test_ids;
} options;

static const char *const size_keys[DAL_SPLITS] = {"", "validation", "test"};
static const char *const file_keys[DAL_SPLITS] = {"train_ids", "validation_ids", "test_ids"};
static const char *const split_names[DAL_SPLITS] = {"train", "validation", "test"};

#define NOWHERE DAL_SPLITS /* a sample that no file names */

typedef struct split {
    dal_derived base;
    unsigned char *to; /* [n] the split each sample of the pool goes to; freed when create is done */
} split;

/* ---- by size ---------------------------------------------------------------------------------- */

/* The samples by class, drawn: order and first as dal_group_by_class gives them, taken[c] given away already. */
typedef struct groups {
    int64_t n;
    int64_t *order, *first, *taken, *share;
    int32_t *classes;
} groups;

static void free_groups(const dal_host *host, groups *g)
{
    host->free(host, g->order);
    host->free(host, g->first);
    host->free(host, g->taken);
    host->free(host, g->share);
    host->free(host, g->classes);
}

/* To be freed whether it succeeds or not. */
static dal_status make_groups(const dal_derived *d, int stratified, const dal_rng *root, groups *g, dal_error *err)
{
    const int64_t n = d->below.n[DAL_SPLIT_TRAIN], c = d->below.spec.n_classes;
    *g = (groups){.n = stratified ? c + 1 : 1};
    const dal_status st = dal_derived_classes_below(d, DAL_SPLIT_TRAIN, &g->classes, err);
    if (st != DAL_OK)
        return st;
    g->order = dal_array(d->host, n, sizeof *g->order);
    g->first = dal_array(d->host, g->n + 2, sizeof *g->first);
    g->taken = dal_array(d->host, g->n, sizeof *g->taken);
    g->share = dal_array(d->host, g->n, sizeof *g->share);
    if (!g->order || !g->first || !g->taken || !g->share)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory to split %lld samples", (long long)n);
    for (int64_t i = 0; i < n; i++)
        g->classes[i] = !stratified ? 0 : g->classes[i] >= 0 ? g->classes[i] : (int32_t)c;
    dal_group_by_class(g->classes, n, g->n, g->order, g->first);
    for (int64_t k = 0; k < g->n; k++) {
        dal_rng r = dal_rng_at(root, (uint64_t)k);
        dal_rng_shuffle(&r, g->order + g->first[k], g->first[k + 1] - g->first[k], g->first[k + 1] - g->first[k]);
        g->taken[k] = 0;
    }
    return DAL_OK;
}

/* share[k] of each group, in proportion to what it has left, `size` in all; size <= left in all. */
static void settle_shares(groups *g, int64_t size)
{
    int64_t left = 0, given = 0;
    for (int64_t k = 0; k < g->n; k++)
        left += g->first[k + 1] - g->first[k] - g->taken[k];
    for (int64_t k = 0; k < g->n; k++) {
        const int64_t has = g->first[k + 1] - g->first[k] - g->taken[k];
        g->share[k] = left > 0 ? (int64_t)((double)has * (double)size / (double)left) : 0;
        given += g->share[k];
    }
    for (; given < size; given++) { /* fewer times than there are groups */
        int64_t most = -1;
        double most_short = -1;
        for (int64_t k = 0; k < g->n; k++) {
            const int64_t has = g->first[k + 1] - g->first[k] - g->taken[k];
            const double missing = (double)has * (double)size / (double)left - (double)g->share[k];
            if (g->share[k] < has && missing > most_short) {
                most_short = missing;
                most = k;
            }
        }
        g->share[most]++;
    }
}

static void take(split *self, groups *g, uint32_t k, int64_t size)
{
    settle_shares(g, size);
    for (int64_t c = 0; c < g->n; c++) {
        const int64_t *from = g->order + g->first[c] + g->taken[c];
        for (int64_t i = 0; i < g->share[c]; i++)
            self->to[from[i]] = (unsigned char)k;
        g->taken[c] += g->share[c];
    }
}

/* How many samples of the pool the others get, want[DAL_SPLITS]. */
static dal_status settle_sizes(const split *self, const options *o, int64_t *want, dal_error *err)
{
    const int64_t n = self->base.below.n[DAL_SPLIT_TRAIN];
    const double sizes[DAL_SPLITS] = {0, o->validation, o->test};
    dal_status st = DAL_OK;
    for (uint32_t k = 1; k < DAL_SPLITS && st == DAL_OK; k++)
        if (sizes[k] > 0)
            st = dal_derived_size(sizes[k], n, size_keys[k], "the pool", &want[k], err);
    const int64_t both = want[DAL_SPLIT_VALIDATION] + want[DAL_SPLIT_TEST];
    if (st == DAL_OK && both > 0 && both >= n)
        st = dal_fail(err, DAL_E_INVALID, o->validation > 0 ? "validation" : "test",
                      "%lld to validate and test on leave nothing of a pool of %lld", (long long)both,
                      (long long)n);
    return st;
}

static dal_status split_by_size(split *self, const options *o, dal_error *err)
{
    const dal_derived *d = &self->base;
    const int64_t n = d->below.n[DAL_SPLIT_TRAIN];
    int64_t want[DAL_SPLITS] = {0};
    dal_status st = settle_sizes(self, o, want, err);
    if (st != DAL_OK)
        return st;
    memset(self->to, DAL_SPLIT_TRAIN, (size_t)n);
    groups g;
    const dal_rng root = dal_derived_rng(d->host, o->seed, "split");
    st = make_groups(d, o->stratified, &root, &g, err);
    if (st == DAL_OK) {
        take(self, &g, DAL_SPLIT_TEST, want[DAL_SPLIT_TEST]);
        take(self, &g, DAL_SPLIT_VALIDATION, want[DAL_SPLIT_VALIDATION]);
    }
    free_groups(d->host, &g);
    return st;
}

/* ---- by source -------------------------------------------------------------------------------- */

/* Sources are numbered as below; behind them, one for each sample of no known source. */
typedef struct sources {
    int32_t *groups; /* [samples] as below; then */
    int64_t *of;     /* [samples] */
    int64_t *sizes;  /* [n] */
    int64_t *order;  /* [n] */
    unsigned char *to;
    int64_t n;
} sources;

static void free_sources(const dal_host *host, sources *s)
{
    host->free(host, s->groups);
    host->free(host, s->of);
    host->free(host, s->sizes);
    host->free(host, s->order);
    host->free(host, s->to);
}

/* To be freed whether it succeeds or not. */
static dal_status make_sources(const dal_derived *d, sources *s, dal_error *err)
{
    const int64_t n = d->below.n[DAL_SPLIT_TRAIN];
    *s = (sources){0};
    const dal_status st = dal_derived_groups_below(d, DAL_SPLIT_TRAIN, &s->groups, &s->n, err);
    if (st != DAL_OK) {
        if (st == DAL_E_UNSUPPORTED && err)
            snprintf(err->key, sizeof err->key, "by_source");
        return st;
    }
    s->of = dal_array(d->host, n, sizeof *s->of);
    for (int64_t i = 0; i < n && s->of; i++)
        s->of[i] = s->groups[i] >= 0 ? s->groups[i] : s->n++;
    s->sizes = dal_array(d->host, s->n, sizeof *s->sizes);
    s->order = dal_array(d->host, s->n, sizeof *s->order);
    s->to = dal_array(d->host, s->n, 1);
    if (!s->of || !s->sizes || !s->order || !s->to)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory to split %lld samples", (long long)n);
    memset(s->to, DAL_SPLIT_TRAIN, (size_t)s->n);
    memset(s->sizes, 0, (size_t)s->n * sizeof *s->sizes);
    for (int64_t i = 0; i < n; i++)
        s->sizes[s->of[i]]++;
    for (int64_t g = 0; g < s->n; g++)
        s->order[g] = g;
    return DAL_OK;
}

/* Sources that fit, for split k. */
static dal_status take_sources(sources *s, uint32_t k, int64_t size, dal_error *err)
{
    int64_t left = size;
    for (int64_t i = 0; i < s->n; i++) {
        const int64_t g = s->order[i];
        if (s->to[g] != DAL_SPLIT_TRAIN || s->sizes[g] == 0 || s->sizes[g] > left)
            continue;
        s->to[g] = (unsigned char)k;
        left -= s->sizes[g];
    }
    return left < size || size == 0
               ? DAL_OK
               : dal_fail(err, DAL_E_INVALID, size_keys[k], "each source that is left has more than %lld samples",
                          (long long)size);
}

static dal_status split_by_source(split *self, const options *o, dal_error *err)
{
    const dal_derived *d = &self->base;
    int64_t want[DAL_SPLITS] = {0};
    sources s = {0};
    dal_status st = settle_sizes(self, o, want, err);
    if (st == DAL_OK)
        st = make_sources(d, &s, err);
    if (st == DAL_OK) {
        dal_rng r = dal_derived_rng(d->host, o->seed, "split by source");
        dal_rng_shuffle(&r, s.order, s.n, s.n);
        st = take_sources(&s, DAL_SPLIT_TEST, want[DAL_SPLIT_TEST], err);
    }
    if (st == DAL_OK)
        st = take_sources(&s, DAL_SPLIT_VALIDATION, want[DAL_SPLIT_VALIDATION], err);
    for (int64_t i = 0; i < d->below.n[DAL_SPLIT_TRAIN] && st == DAL_OK; i++)
        self->to[i] = s.to[s.of[i]];
    free_sources(d->host, &s);
    return st;
}

/* ---- by index files --------------------------------------------------------------------------- */

/* An id file and the row in it that is being read. */
typedef struct id_row {
    const char *path;
    int text; /* rows are lines, from 1 */
    int64_t row;
} id_row;

static dal_status bad_row(uint32_t k, const id_row *at, dal_status st, const char *what, dal_error *err)
{
    return at->text ? dal_fail(err, st, file_keys[k], "%s:%lld: %s", at->path, (long long)at->row, what)
                    : dal_fail(err, st, file_keys[k], "%s: row %lld: %s", at->path, (long long)at->row, what);
}

/* Sample `id` goes to split k. */
static dal_status send(split *self, uint32_t k, int64_t id, const id_row *at, dal_error *err)
{
    const int64_t n = self->base.below.n[DAL_SPLIT_TRAIN];
    char what[96];
    if (id < 0 || id >= n)
        snprintf(what, sizeof what, "sample %lld, expected 0..%lld", (long long)id, (long long)n - 1);
    else if (self->to[id] == k)
        snprintf(what, sizeof what, "sample %lld is there twice", (long long)id);
    else if (self->to[id] != NOWHERE)
        snprintf(what, sizeof what, "sample %lld is in %s too", (long long)id, file_keys[self->to[id]]);
    else {
        self->to[id] = (unsigned char)k;
        return DAL_OK;
    }
    return bad_row(k, at, DAL_E_INVALID, what, err);
}

static dal_status read_npy(split *self, uint32_t k, const char *path, dal_error *err)
{
    dal_npy *x = NULL;
    int64_t id;
    dal_status st = dal_npy_open(path, &x, err);
    if (st == DAL_OK && dal_npy_width(x) != 1)
        st = dal_fail(err, DAL_E_INVALID, "", "%s is %s, expected one number a row", path, dal_npy_describe(x));
    for (int64_t i = 0; st == DAL_OK && i < dal_npy_size(x, 0); i++) {
        st = dal_npy_to_i64(x, i, 1, &id, err);
        if (st == DAL_OK)
            st = send(self, k, id, &(id_row){path, 0, i}, err);
    }
    dal_npy_close(x);
    if (st != DAL_OK && err)
        snprintf(err->key, sizeof err->key, "%s", file_keys[k]);
    return st;
}

/* One whole number on the line text[n], or none. */
static dal_status read_line(split *self, uint32_t k, const unsigned char *text, int64_t n, const id_row *at,
                            dal_error *err)
{
    int64_t id = 0, digits = 0, i = 0;
    while (i < n && (text[i] == ' ' || text[i] == '\t' || text[i] == '\r'))
        i++;
    if (i == n)
        return DAL_OK;
    for (; i < n && text[i] >= '0' && text[i] <= '9' && digits < 18; i++, digits++)
        id = id * 10 + (text[i] - '0');
    while (digits > 0 && i < n && (text[i] == ' ' || text[i] == '\t' || text[i] == '\r'))
        i++;
    if (i < n)
        return bad_row(k, at, DAL_E_FORMAT, "expected one whole number", err);
    return send(self, k, id, at, err);
}

static dal_status read_text(split *self, uint32_t k, const char *path, const dal_file *f, dal_error *err)
{
    int64_t size, line = 1;
    const unsigned char *text = dal_file_data(f, &size);
    dal_status st = DAL_OK;
    for (int64_t at = 0; at < size && st == DAL_OK; line++) {
        const unsigned char *end = memchr(text + at, '\n', (size_t)(size - at));
        const int64_t n = end ? end - (text + at) : size - at;
        st = read_line(self, k, text + at, n, &(id_row){path, 1, line}, err);
        at += n + 1;
    }
    return st;
}

static dal_status read_ids(split *self, uint32_t k, const char *path, dal_error *err)
{
    enum { LONGEST = 24 }; /* bytes that a line takes at most, more or less */
    dal_file *f = NULL;
    int64_t n_head;
    dal_status st = dal_file_open(self->base.host, path, file_keys[k], &f, err);
    if (st != DAL_OK)
        return st;
    const unsigned char *head = dal_file_head(f, &n_head);
    if (n_head >= 6 && memcmp(head, "\x93NUMPY", 6) == 0 && !dal_file_is_gzip(f)) {
        st = read_npy(self, k, path, err);
    } else {
        st = dal_file_load(f, LONGEST * (self->base.below.n[DAL_SPLIT_TRAIN] + 1), 0, err);
        if (st == DAL_OK)
            st = read_text(self, k, path, f, err);
    }
    dal_file_close(f);
    return st;
}

static dal_status split_by_files(split *self, const options *o, dal_error *err)
{
    const char *const paths[DAL_SPLITS] = {o->train_ids, o->validation_ids, o->test_ids};
    const int64_t n = self->base.below.n[DAL_SPLIT_TRAIN];
    dal_status st = DAL_OK;
    if (o->validation > 0 || o->test > 0 || o->by_source)
        return dal_fail(err, DAL_E_INVALID, o->validation > 0 ? "validation" : o->test > 0 ? "test" : "by_source",
                        "there are index files: sizes and sources are for splits at random");
    memset(self->to, NOWHERE, (size_t)n);
    for (uint32_t k = 0; k < DAL_SPLITS && st == DAL_OK; k++)
        if (paths[k][0])
            st = read_ids(self, k, paths[k], err);
    for (int64_t i = 0; i < n && st == DAL_OK && !o->train_ids[0]; i++)
        if (self->to[i] == NOWHERE)
            self->to[i] = DAL_SPLIT_TRAIN;
    return st;
}

/* ---- the table -------------------------------------------------------------------------------- */

static dal_status apply(split *self, const options *o, dal_error *err)
{
    dal_derived *d = &self->base;
    const int wanted[DAL_SPLITS] = {1, o->validation > 0 || o->validation_ids[0], o->test > 0 || o->test_ids[0]};
    for (uint32_t k = 1; k < DAL_SPLITS; k++)
        if (wanted[k] && d->below.n[k] > 0)
            return dal_fail(
                err, DAL_E_INVALID,
                o->train_ids[0] || o->validation_ids[0] || o->test_ids[0] ? file_keys[k] : size_keys[k],
                "the dataset has a %s split of %lld samples already", split_names[k], (long long)d->below.n[k]);
    self->to = dal_array(d->host, d->below.n[DAL_SPLIT_TRAIN], 1);
    if (!self->to)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for the transform");
    dal_status st = o->train_ids[0] || o->validation_ids[0] || o->test_ids[0] ? split_by_files(self, o, err)
                    : o->by_source                                            ? split_by_source(self, o, err)
                                                                              : split_by_size(self, o, err);
    for (uint32_t k = 0; k < DAL_SPLITS && st == DAL_OK; k++)
        if (wanted[k])
            st = dal_derived_keep(d, k, DAL_SPLIT_TRAIN, self->to, (unsigned char)k, err);
    return st;
}

static dal_status split_create(const dal_host *host, const void *opt, const dal_dataset *input, void **out,
                               dal_error *err)
{
    void *made = NULL;
    dal_status st = dal_derived_new(host, input, sizeof(split), &made, err);
    if (st != DAL_OK)
        return st;
    split *self = made;
    st = apply(self, opt, err);
    host->free(host, self->to);
    self->to = NULL;
    if (st == DAL_OK)
        *out = self;
    else
        dal_derived_destroy(self);
    return st;
}

static const dal_dataset_impl split_impl = {
    .struct_size = sizeof split_impl, .create = split_create, DAL_DERIVED_SLOTS};

#define PARAMS(P, T)                                                                                    \
    P(T, validation, F64, "0", "0..", "samples",                                                        \
      "size of the validation split: a count, or a fraction of the pool below 1")                       \
    P(T, test, F64, "0", "0..", "samples", "size of the test split, likewise; 0: none is made")         \
    P(T, stratified, BOOL, "true", "", "", "each class gives its share (not by source)")                \
    P(T, by_source, BOOL, "false", "", "", "samples of one source stay together; the sizes are then the most") \
    P(T, seed, I64, "1", "", "", "of the choice; 0: it follows the seed of the run")                    \
    P(T, train_ids, PATH, "", "file", "",                                                               \
      "places of the pool that stay in it, from 0: text, one a line, or .npy")                          \
    P(T, validation_ids, PATH, "", "file", "", "places that become the validation split")               \
    P(T, test_ids, PATH, "", "file", "", "places that become the test split")
#define COMPONENTS(C)                                                                                   \
    C(TRANSFORM, "split", split_impl,                                                                   \
      "a part of the pool to validate or test on, at random or from index files", "",                   \
      "", DAL_CAP_CONCURRENT, options, PARAMS)
DAL_MODULE(split, "1.0", "Apache-2.0", COMPONENTS, NULL, NULL)
