/* lowercase and truncate: texts made from texts.
 *
 * How long each text becomes is found out once, when the transform is opened; texts are made anew when they are read.
 */
#include <dal/derived.h>
#include <dal/text.h>

typedef struct lowercase_options {
    int32_t unused; /* there is nothing to choose */
} lowercase_options;

typedef struct truncate_options {
    int64_t words, characters;
    uint32_t keep;
} truncate_options;

enum { BEGINNING, END };

#define BLOCK_BYTES ((int64_t)8 << 20) /* texts held at once when sizes are found out */
#define BLOCK_TEXTS 1024

typedef struct maker {
    dal_derived d; /* first: the shared slots see only this */
    const truncate_options *cut; /* NULL: lowercase */
    int64_t *sizes[DAL_SPLITS];  /* [n] bytes */
} maker;

/* Texts ids[n] of the input, in memory of the host. */
typedef struct texts {
    int64_t offsets[BLOCK_TEXTS + 1];
    char *data;
} texts;

/* ---- one text ----------------------------------------------------------------------------------- */

/* The small letters of text[n] into out, or only how many bytes they take when out is NULL. */
static int64_t make_small(const char *text, int64_t n, char *out)
{
    const unsigned char *p = (const unsigned char *)text, *end = p + n;
    int64_t size = 0;
    char one[4];
    while (p < end) {
        int length;
        const uint32_t c = dal_utf8_next(p, end, &length);
        size += dal_utf8_put(dal_lower(c), out ? out + size : one);
        p += length;
    }
    return size;
}

/* Bytes of the first `most` words and what lies between them; *count is how many there are at most. */
static int64_t words_end(const char *text, int64_t n, int64_t most, int64_t *count)
{
    int64_t at = 0, end = 0, bytes, characters;
    for (*count = 0; *count < most && dal_next_word(text, n, &at, &bytes, &characters); ++*count)
        end = at;
    return end;
}

static int64_t characters_end(const char *text, int64_t n, int64_t most)
{
    int64_t at = 0;
    for (int64_t i = 0; i < n; i++) /* a character begins with any byte but 10xxxxxx */
        if (((unsigned char)text[i] & 0xc0) != 0x80 && at++ == most)
            return i;
    return n;
}

/* The bytes first..first+result-1 of the text are kept. */
static int64_t cut(const truncate_options *o, const char *text, int64_t n, int64_t *first)
{
    int64_t size = n, count;
    *first = 0;
    if (o->words > 0 && o->keep == BEGINNING) {
        const int64_t end = words_end(text, n, o->words, &count);
        int64_t at = end, bytes, characters;
        size = dal_next_word(text, n, &at, &bytes, &characters) ? end : n;
    } else if (o->words > 0) {
        words_end(text, n, INT64_MAX, &count);
        int64_t at = 0, bytes, characters;
        const char *word = text;
        for (int64_t i = count - o->words; i >= 0; i--)
            word = dal_next_word(text, n, &at, &bytes, &characters);
        *first = count > o->words && word ? word - text : 0;
        size = n - *first;
    }
    if (o->characters > 0 && o->keep == BEGINNING)
        return characters_end(text, size, o->characters);
    if (o->characters > 0) {
        int64_t all = 0;
        for (int64_t i = *first; i < n; i++)
            all += ((unsigned char)text[i] & 0xc0) != 0x80;
        if (all > o->characters)
            *first += characters_end(text + *first, n - *first, all - o->characters);
        size = n - *first;
    }
    return size;
}

static int64_t make(const maker *m, const char *text, int64_t n, char *out)
{
    int64_t first;
    if (!m->cut)
        return make_small(text, n, out);
    const int64_t size = cut(m->cut, text, n, &first);
    if (out)
        memcpy(out, text + first, (size_t)size);
    return size;
}

/* ---- reading below ------------------------------------------------------------------------------ */

static void texts_free(const maker *m, texts *t)
{
    m->d.host->free(m->d.host, t->data);
    t->data = NULL;
}

/* As many of the texts ids[n] as are held at once, at least one: *got. */
static dal_status texts_read(const maker *m, uint32_t k, const int64_t *ids, int64_t n, texts *t, int64_t *got,
                             dal_error *err)
{
    const dal_dataset *in = m->d.input;
    const int64_t most = n < BLOCK_TEXTS ? n : BLOCK_TEXTS;
    dal_status st = in->impl->sizes(in->self, k, ids, most, t->offsets + 1, err);
    t->data = NULL;
    t->offsets[0] = *got = 0;
    if (st != DAL_OK)
        return st;
    while (*got < most && (*got == 0 || t->offsets[*got] + t->offsets[*got + 1] <= BLOCK_BYTES)) {
        if (t->offsets[*got + 1] < 0 || t->offsets[*got + 1] > INT64_MAX / 2)
            return dal_fail(err, DAL_E_CONTRACT, "", "the dataset says text %lld has %lld bytes", (long long)ids[*got],
                            (long long)t->offsets[*got + 1]);
        t->offsets[*got + 1] += t->offsets[*got];
        ++*got;
    }
    t->data = dal_array(m->d.host, t->offsets[*got], 1);
    if (!t->data)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for a text of %lld bytes", (long long)t->offsets[*got]);
    dal_batch b = {sizeof b, 0, &m->d.below.spec, *got, t->data, t->offsets, NULL};
    st = in->impl->read(in->self, k, ids, *got, &b, err);
    if (st != DAL_OK)
        texts_free(m, t);
    return st;
}

static dal_status measure(maker *m, uint32_t k, dal_error *err)
{
    const dal_host *host = m->d.host;
    const int64_t n = m->d.below.n[k];
    int64_t ids[BLOCK_TEXTS], got;
    texts t;
    dal_status st = DAL_OK;
    m->sizes[k] = dal_array(host, n, sizeof *m->sizes[k]);
    if (!m->sizes[k])
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for the sizes of %lld texts", (long long)n);
    for (int64_t first = 0; first < n && st == DAL_OK; first += got) {
        const int64_t here = n - first < BLOCK_TEXTS ? n - first : BLOCK_TEXTS;
        for (int64_t i = 0; i < here; i++)
            ids[i] = first + i;
        st = texts_read(m, k, ids, here, &t, &got, err);
        for (int64_t i = 0; i < got && st == DAL_OK; i++)
            m->sizes[k][first + i] = make(m, t.data + t.offsets[i], t.offsets[i + 1] - t.offsets[i], NULL);
        if (st == DAL_OK)
            texts_free(m, &t);
        if (st == DAL_OK && host->cancelled(host))
            st = dal_fail(err, DAL_E_CANCELLED, "", "stopped while measuring texts");
    }
    return st;
}

/* ---- the table ---------------------------------------------------------------------------------- */

static void maker_destroy(void *p)
{
    maker *m = p;
    for (uint32_t k = 0; m && k < DAL_SPLITS; k++)
        m->d.host->free(m->d.host, m->sizes[k]);
    dal_derived_destroy(m);
}

static dal_status open_maker(const dal_host *host, const truncate_options *o, const dal_dataset *input, void **out,
                             dal_error *err)
{
    void *p = NULL;
    dal_status st = dal_derived_new(host, input, sizeof(maker), &p, err);
    if (st != DAL_OK)
        return st;
    maker *m = p;
    m->cut = o;
    if (m->d.below.spec.modality != DAL_TEXT)
        st = dal_fail(err, DAL_E_UNSUPPORTED, "", "works on text; this dataset has other samples");
    for (uint32_t k = 0; k < DAL_SPLITS && st == DAL_OK; k++)
        st = measure(m, k, err);
    if (st == DAL_OK)
        *out = m;
    else
        maker_destroy(m);
    return st;
}

static dal_status lowercase_create(const dal_host *host, const void *opt, const dal_dataset *input, void **out,
                                   dal_error *err)
{
    (void)opt;
    return open_maker(host, NULL, input, out, err);
}

static dal_status truncate_create(const dal_host *host, const void *opt, const dal_dataset *input, void **out,
                                  dal_error *err)
{
    const truncate_options *o = opt;
    if (o->words == 0 && o->characters == 0)
        return dal_fail(err, DAL_E_INVALID, "words", "nothing to cut: give words, characters or both");
    return open_maker(host, o, input, out, err);
}

static dal_status maker_sizes(void *p, uint32_t k, const int64_t *ids, int64_t n, int64_t *out, dal_error *err)
{
    const maker *m = p;
    const dal_status st = dal_check_ids(m->d.info.n[k], ids, n, err);
    for (int64_t i = 0; i < n && st == DAL_OK; i++)
        out[i] = m->sizes[k][ids[i]];
    return st;
}

static dal_status maker_read(void *p, uint32_t k, const int64_t *ids, int64_t n, dal_batch *out, dal_error *err)
{
    const maker *m = p;
    int64_t got = 0;
    texts t;
    dal_status st = dal_check_ids(m->d.info.n[k], ids, n, err);
    for (int64_t first = 0; first < n && st == DAL_OK; first += got) {
        st = texts_read(m, k, ids + first, n - first, &t, &got, err);
        if (st != DAL_OK)
            break;
        for (int64_t i = 0; i < got && st == DAL_OK; i++) {
            const int64_t to = out->offsets[first + i], room = out->offsets[first + i + 1] - to;
            const char *text = t.data + t.offsets[i];
            const int64_t size = t.offsets[i + 1] - t.offsets[i];
            if (make(m, text, size, NULL) != room)
                st = dal_fail(err, DAL_E_CONTRACT, "", "text %lld has another size than before",
                              (long long)ids[first + i]);
            else
                make(m, text, size, (char *)out->data + to);
        }
        texts_free(m, &t);
    }
    return st;
}

#define SLOTS                                                                                            \
    .destroy = maker_destroy, .info = dal_derived_info, .classes = dal_derived_classes,                  \
    .sizes = maker_sizes, .read = maker_read, .describe = dal_derived_describe,                  \
    .get_extension = dal_derived_get_extension

static const dal_dataset_impl lowercase_impl = {
    .struct_size = sizeof lowercase_impl, .create = lowercase_create, SLOTS};
static const dal_dataset_impl truncate_impl = {.struct_size = sizeof truncate_impl, .create = truncate_create, SLOTS};


#define TRUNCATE_PARAMS(P, T)                                                                            \
    P(T, words, I64, "256", "0..", "words", "keep so many; 0: any number")                               \
    P(T, characters, I64, "0", "0..", "characters", "keep so many; 0: any number")                       \
    P(T, keep, CHOICE, "beginning", "beginning|end", "", "of the text")
#define COMPONENTS(C)                                                                                    \
    C(TRANSFORM, "lowercase", lowercase_impl, "small letters for capitals, in any script", "", "",       \
      DAL_CAP_CONCURRENT, lowercase_options, DAL_NO_PARAMS)                                           \
    C(TRANSFORM, "truncate", truncate_impl, "the first or last words or characters of a text", "", "",   \
      DAL_CAP_CONCURRENT, truncate_options, TRUNCATE_PARAMS)
DAL_MODULE(text, "1.0", "Apache-2.0", COMPONENTS, NULL, NULL)
