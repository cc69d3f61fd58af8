/* image_listing.h: a table in text, among the pictures it lists: the class, split and source of each. */
#ifndef IMAGE_LISTING_H
#define IMAGE_LISTING_H

#include <dal/dataset.h>
#include <dal/files.h>

/* Columns, by name in the header or by number from 0, from the end when negative; "": there is none. */
typedef struct listing_columns {
    const char *path, *label, *split, *group;
} listing_columns;

typedef struct listing_row {
    int64_t file; /* of the files */
    uint32_t split;
    const char *label, *group; /* "": not told */
} listing_row;

typedef struct listing {
    listing_row *rows; /* [n] in the order of the table */
    int64_t n;
    char *text; /* what labels and groups are in */
} listing;

/* [main] `name`: of the table, as it is called among the files or at the end of that ("metadata.csv" of
 * "birds/metadata.csv"). Paths in it are below its folder, or below the whole. Splits are called train, validation (or
 * val, valid, dev) and test, or 0, 1, 2. A picture that is not there or twice in the table is DAL_E_FORMAT with
 * file:line:column; errors are under the key "listing". */
dal_status listing_read(const dal_host *host, const dal_files *f, const char *name, const listing_columns *columns,
                        listing *out, dal_error *err);
void listing_free(const dal_host *host, listing *l);

/* Is this the name of the table, or does it end in it? */
int listing_is(const char *file, const char *name);

#endif
