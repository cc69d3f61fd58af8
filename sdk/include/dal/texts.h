/* dal/texts.h: (libdal) a table of labelled texts: what datasets of text share, whatever their files look like.
 *
 * A dataset's object begins with a dal_texts. Its create is dal_texts_create with a function that adds a row for each
 * text in each of its files, which stay where they are (mapped, or inflated once), and numbers the classes with
 * dal_texts_settle. read asks its `decode` for the texts that are wanted. The other slots of the table are the
 * functions of DAL_TEXTS_SLOTS.
 */
#ifndef DAL_TEXTS_H
#define DAL_TEXTS_H

#include <dal/dataset.h>
#include <dal/text.h>

#ifdef __cplusplus
extern "C" {
#endif

#define DAL_TEXT_MOST ((int64_t)1 << 26) /* bytes of one text */

/* One text. 32 bytes, so that millions of them can be kept. */
typedef struct dal_text_row {
    int64_t at;   /* where it lies, as the dataset means it: an offset, the number of a member */
    int64_t line; /* in its file, from 1 */
    int64_t size; /* as UTF-8 */
    int32_t cls;  /* until dal_texts_settle what dal_texts_label gave; DAL_LABEL_NONE: none */
    uint32_t extra; /* the dataset's own */
} dal_text_row;

/* How labels become classes 0..C-1; in the order of the choice that loaders offer. */
#define DAL_LABELS "auto|from-0|from-1|names"
#define DAL_LABELS_AUTO 0u  /* distinct labels in numeric order when all are integers, else in byte order */
#define DAL_LABELS_FROM0 1u /* label k is class k */
#define DAL_LABELS_FROM1 2u /* label k is class k - 1 */
#define DAL_LABELS_NAMES 3u /* label is the name of a class */
typedef struct dal_label_rule {
    uint32_t kind;            /* DAL_LABELS_* */
    dal_str_list class_names; /* or none */
    const char *names;        /* a file with one name a line, or "" */
} dal_label_rule;

typedef struct dal_text_labels dal_text_labels;

typedef struct dal_texts {
    const dal_host *host;
    const char *path[DAL_SPLITS]; /* for names of samples; may stay NULL */
    int64_t n[DAL_SPLITS], room[DAL_SPLITS];
    dal_text_row *rows[DAL_SPLITS]; /* [n] */
    dal_text_labels *labels;
    int64_t n_classes;
    const char *const *class_names;
    /* [any] The text of a row into out[row->size]. */
    dal_status (*decode)(void *self, uint32_t split, const dal_text_row *row, char *out, dal_error *err);
} dal_texts;

/* [main] All of a dataset's create: an object of `size` bytes that begins with a dal_texts, the rest zero, is filled by
 * `build` and, when that fails, given to `destroy`; then *self is left alone. `destroy` ends with dal_texts_destroy. */
DAL_PUBLIC dal_status dal_texts_create(const dal_host *host, size_t size, const void *options,
                                       dal_status (*build)(void *self, const void *options, dal_error *err),
                                       void (*destroy)(void *self), void **self, dal_error *err);
/* [main] Its first step alone. */
DAL_PUBLIC dal_status dal_texts_new(const dal_host *host, size_t size, void **self, dal_error *err);
DAL_PUBLIC void dal_texts_destroy(void *self); /* accepts NULL; frees the object too */

/* [main] One text more. `key` and `path` are for the message when there are too many or it is too long. */
DAL_PUBLIC dal_status dal_texts_add(dal_texts *t, uint32_t split, const dal_text_row *row, const char *path,
                                    const char *key, dal_error *err);
/* [main] The number of a label, new or seen before, into *cls. Empty or "?": DAL_LABEL_NONE. */
DAL_PUBLIC dal_status dal_texts_label(dal_texts *t, const char *label, int64_t size, const char *path, const char *key,
                                      int64_t line, int32_t *cls, dal_error *err);
/* [main] Which source (DAL_CAP_GROUPS) the text is of that was added last. Empty or "?": not known. */
DAL_PUBLIC dal_status dal_texts_group(dal_texts *t, uint32_t split, const char *source, int64_t size, const char *path,
                                      const char *key, int64_t line, dal_error *err);
/* [main] All rows are there: give them their classes, and numbers to sources in the order of DAL_LABELS_AUTO. */
DAL_PUBLIC dal_status dal_texts_settle(dal_texts *t, const dal_label_rule *rule, dal_error *err);
/* [any] A text in this encoding must be text: DAL_E_FORMAT names path:line and the byte that is not. */
DAL_PUBLIC dal_status dal_text_check(uint32_t encoding, const void *data, int64_t n, const char *path, const char *key,
                                     int64_t line, dal_error *err);

/* The other slots. */
DAL_PUBLIC dal_status dal_texts_info(void *self, dal_dataset_info *info, dal_error *err);
DAL_PUBLIC dal_status dal_texts_classes(void *self, uint32_t split, const int64_t *ids, int64_t n, int32_t *out,
                                        dal_error *err);
DAL_PUBLIC dal_status dal_texts_sizes(void *self, uint32_t split, const int64_t *ids, int64_t n, int64_t *out,
                                      dal_error *err);
DAL_PUBLIC dal_status dal_texts_read(void *self, uint32_t split, const int64_t *ids, int64_t n, dal_batch *out,
                                     dal_error *err);
/* The file and the line. */
DAL_PUBLIC void dal_texts_describe(void *self, uint32_t split, int64_t id, char *out, size_t size);
/* DAL_CAP_GROUPS, where any text was given a source. */
DAL_PUBLIC const void *dal_texts_get_extension(void *self, const char *id);

#define DAL_TEXTS_SLOTS                                                                   \
    .info = dal_texts_info, .classes = dal_texts_classes, .sizes = dal_texts_sizes,       \
    .read = dal_texts_read, .describe = dal_texts_describe,                               \
    .get_extension = dal_texts_get_extension

#ifdef __cplusplus
}
#endif
#endif
