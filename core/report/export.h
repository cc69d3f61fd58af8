/* report/export.h: stored runs as CSV and JSON, for other programs. */
#ifndef DALHOST_REPORT_EXPORT_H
#define DALHOST_REPORT_EXPORT_H

#include <dal/base.h>
#include <jansson.h>

#include "report/queries.h"

/* A run with all its rounds and picks. Numbers have full double precision; NaN is null, and so is an
 * infinite number, which JSON lacks. A seed beyond 2^63 - 1 is a string. */
json_t *run_json(const stored_run *r);
/* Its head alone, and one round alone. */
json_t *head_json(const run_head *h);
json_t *round_json(const round_record *k, const round_purity *p);
/* On one line or indented, ending in a newline. */
void json_write(FILE *out, const json_t *j, bool indent);

/* RFC 4180 with a line of column names; NaN and what is not known are empty fields. One line a round,
 * or a pick. */
void rounds_csv_head(FILE *out);
void rounds_csv(FILE *out, const stored_run *r);
void picks_csv_head(FILE *out);
void picks_csv(FILE *out, const stored_run *r);

/* The names of the classes from the run's JSON: an array of n_classes strings, made up where the JSON has
 * none. Free with class_names_free. */
char **class_names_of(const run_head *h);
void class_names_free(char **names, int64_t n);

#endif
