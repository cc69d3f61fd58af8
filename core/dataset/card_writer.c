#include "dataset/card_writer.h"

#include <stdlib.h>
#include <sys/stat.h>

#include "dataset/examine.h"
#include "dataset/files.h"
#include "dataset/look.h"
#include "dataset/samples.h"
#include "manifest/domain.h"
#include "util/folders.h"

/* path below the first folder of data that holds it, or as it is. */
static const char *relative(const char *path)
{
    int n;
    const char *const *dirs = folders_of_data(&n), *found = path;
    for (int i = 0; i < n && found == path; i++) {
        char *real = realpath(dirs[i], NULL);
        const size_t length = real ? strlen(real) : 0;
        if (length > 1 && strncmp(path, real, length) == 0 && path[length] == '/')
            found = path + length + 1;
        free(real);
    }
    return found;
}

static void add_quoted(text *out, const char *s)
{
    char *quoted = yaml_quoted(s, strlen(s));
    text_add(out, quoted);
    free(quoted);
}

static void add_shape(text *out, const dal_sample_spec *spec)
{
    static const char *const modality[] = {"?", "vector", "image", "text", "sparse"};
    text_addf(out, "modality: %s\n", modality[spec->modality]);
    if (spec->modality == DAL_TEXT)
        return;
    for (uint32_t i = 0; i < spec->ndim; i++)
        text_addf(out, "%s%lld", i ? ", " : "shape: [", (long long)spec->shape[i]);
    text_add(out, "]\n");
}

static void add_classes(text *out, const source *s, const survey_link *l)
{
    const int64_t c = l->spec.n_classes;
    if (c == 0)
        return;
    text_add(out, "classes:\n");
    for (int64_t k = 0; k < c; k++) {
        text_add(out, "  - ");
        add_quoted(out, utf8_valid(s->class_names[k], strlen(s->class_names[k]), NULL) ? s->class_names[k] : "?");
        text_add(out, "\n");
    }
}

static void add_counts(text *out, const survey_link *l)
{
    text_add(out, "counts:\n");
    for (uint32_t split = 0; split < DAL_SPLITS; split++) {
        const int64_t c = l->spec.n_classes;
        if (l->n[split] == 0)
            continue;
        if (c < 2 || l->unlabelled[split] || l->outside[split]) {
            text_addf(out, "  %s: %lld\n", split_words[split], (long long)l->n[split]);
            continue;
        }
        text_addf(out, "  %s: [", split_words[split]);
        for (int64_t k = 0; k < c; k++)
            text_addf(out, "%s%lld", k ? k % 16 ? ", " : ",\n    " : "", (long long)l->counts[split][k]);
        text_add(out, "]\n");
    }
}

static void add_dataset(text *out, const component_spec *spec)
{
    text_addf(out, "dataset:\n  use: %s\n", spec->desc->id);
    for (int i = 0; i < spec->desc->n_params; i++) {
        const param_value *v = &spec->values[i];
        if (!v->given)
            continue;
        text_addf(out, "  %s: ", v->desc->name);
        if (param_is_path(v->desc->type) && v->n == 1) {
            add_quoted(out, relative(v->str[0]));
        } else if (v->desc->type == DAL_PARAM_PATHS) {
            for (int64_t k = 0; k < v->n; k++) {
                text_add(out, k ? ", " : "[");
                add_quoted(out, relative(v->str[k]));
            }
            text_add(out, v->n ? "]" : "[]");
        } else {
            char *words = param_value_text(v);
            text_add(out, words);
            free(words);
        }
        text_add(out, "\n");
    }
}

static dal_status add_file(text *out, const char *path, bool first, dal_error *err)
{
    char digest[65];
    int64_t bytes;
    const dal_status st = file_sha256(path, NULL, digest, &bytes, err);
    if (st != DAL_OK)
        return st;
    text_add(out, first ? "files:\n  - path: " : "  - path: ");
    add_quoted(out, relative(path));
    text_addf(out, "\n    size: %lld\n    sha256: %s\n", (long long)bytes, digest);
    return DAL_OK;
}

static dal_status add_files(text *out, const component_spec *spec, dal_error *err)
{
    int n = 0;
    dal_status st = DAL_OK;
    for (int i = 0; i < spec->desc->n_params; i++) {
        const param_value *v = &spec->values[i];
        struct stat s;
        for (int64_t k = 0; v->given && param_is_path(v->desc->type) && k < v->n && st == DAL_OK; k++)
            if (stat(v->str[k], &s) == 0 && S_ISREG(s.st_mode))
                st = add_file(out, v->str[k], n++ == 0, err);
    }
    return st;
}

static void add_notes(text *out, const char *notes)
{
    if (*notes)
        text_add(out, "notes:\n");
    while (*notes) {
        const size_t n = strcspn(notes, "\n");
        char *line = samples_line(notes, (int64_t)n, 2000); /* names in it may be of any bytes */
        text_add(out, "  - ");
        add_quoted(out, line);
        text_add(out, "\n");
        free(line);
        notes += n + (notes[n] == '\n');
    }
}

dal_status card_words(const char *name, const char *title, const source *s, const survey *v, const component_spec *spec,
                      const char *notes, text *out, dal_error *err)
{
    const survey_link *l = &v->links[v->n - 1];
    text_addf(out, "card: 1\nname: %s\ntitle: ", name);
    add_quoted(out, title);
    text_add(out, "\n");
    add_shape(out, &l->spec);
    add_classes(out, s, l);
    add_counts(out, l);
    add_dataset(out, spec);
    const dal_status st = add_files(out, spec, err);
    add_notes(out, notes);
    return st;
}
