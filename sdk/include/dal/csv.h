/* dal/csv.h: (libdal) records and fields of delimited text in memory, with the place of each.
 *
 * RFC 4180 with what files really look like: LF or CRLF, a byte order mark, blank lines, blanks round a
 * field, any one-byte delimiter or runs of blanks. Fields are slices of the caller's memory.
 */
#ifndef DAL_CSV_H
#define DAL_CSV_H

#include <dal/base.h>

#ifdef __cplusplus
extern "C" {
#endif

#define DAL_CSV_BLANKS '\0' /* as delimiter: one or more blanks or tabs */

/* A reader is a value: copy it to come back to a place. Every member but `at` and `line` is constant. */
typedef struct dal_csv {
    const char *path; /* in messages */
    const char *key;  /* of errors: the parameter the file comes from */
    const char *data;
    int64_t size, at;
    int64_t line;       /* of `at`, from 1 */
    int64_t line_start; /* where that line begins */
    char delimiter;
} dal_csv;

/* Without its quotes and the blanks round it. `escaped`: pairs of quotes inside stand for one quote. */
typedef struct dal_csv_field {
    const char *text;
    int64_t size;
    int64_t line, column; /* in bytes, from 1 */
    uint32_t escaped, quoted;
} dal_csv_field;

/* A reader at the first record of data[size] (which need not end in NUL). */
DAL_PUBLIC dal_csv dal_csv_open(const char *path, const char *key, const void *data, int64_t size,
                                char delimiter);
/* The delimiter that data most likely uses: the most frequent of comma, semicolon and tab in the first
 * record, blanks when there is none of them. */
DAL_PUBLIC char dal_csv_guess(const void *data, int64_t size);

/* The next record: its first `room` fields, and how many there are (0: the end). DAL_E_FORMAT names
 * path:line:column. */
DAL_PUBLIC dal_status dal_csv_next(dal_csv *r, dal_csv_field *fields, int64_t room, int64_t *n,
                                   dal_error *err);

/* The text of a field, unescaped and ended by NUL, cut to fit `size` bytes; its whole length. */
DAL_PUBLIC int64_t dal_csv_text(const dal_csv_field *f, char *out, size_t size);
/* The number a field is, always with a point for decimals. 0 when it is none or not finite. */
DAL_PUBLIC int dal_csv_number(const dal_csv_field *f, double *out);
/* The same with this sign for decimals, '.' or ','; the other one makes it no number. */
DAL_PUBLIC int dal_csv_decimal(const dal_csv_field *f, char sign, double *out);
DAL_PUBLIC int dal_csv_integer(const dal_csv_field *f, int64_t *out);

#ifdef __cplusplus
}
#endif
#endif
