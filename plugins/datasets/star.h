/* star.h: a table (a loop_) of a STAR file, as RELION writes them: Hall, J. Chem. Inf. Comput. Sci. 31 (1991).
 *
 * A row is a line of values between blanks; a value with blanks in it stands in ' or ". Texts of several lines are not
 * taken.
 */
#ifndef DATASETS_STAR_H
#define DATASETS_STAR_H

#include <dal/csv.h>
#include <dal/text.h>

#define STAR_MAX_COLUMNS 256

typedef struct star {
    dal_lines lines; /* before the first row */
    dal_csv_field names[STAR_MAX_COLUMNS]; /* without their underscore */
    int64_t width;
} star;

/* The first table of data[size] that has one of these columns ("rlnImageName", ..., NULL). DAL_E_FORMAT: there is
 * none. */
dal_status star_find(star *s, const char *path, const char *key, const void *data, int64_t size,
                     const char *const *wanted, dal_error *err);
/* The number of a column, or -1. */
int64_t star_column(const star *s, const char *name);
/* The next row, fields[s->width], or *more 0 at the end of the table. */
dal_status star_next(star *s, dal_csv_field *fields, int *more, dal_error *err);

#endif
