/* mrc: images of cryo-electron microscopy, of f32, in MRC2014 and CCP4 files: the sections of a map or a stack, or
 * boxes round the particles that somebody has picked.
 *
 * Without `particles` each section (along z, whatever the order of the axes in the file) is a sample, its rows along y.
 * With a STAR file and no `box` the samples are what _rlnImageName names, "000012@stack.mrcs"; with a `box`, squares of
 * that side round _rlnCoordinateX and _rlnCoordinateY in _rlnMicrographName, of which the nearest value is the one in
 * the middle (of an even side, the first after it). Names are below `path` when that is a folder; when it is a file,
 * what does not bear its name is left out. EMAN's .box files ("x y width height" from the lower corner) have one
 * micrograph, `path`.
 *
 * Classes are a column of the STAR file, or the lines of a file of labels. Plain files are mapped, others inflated
 * once.
 */
#include "mrc_map.h"
#include "star.h"
#include "words.h"

#include <dal/texts.h>
#include <math.h>
#include <sys/stat.h>

typedef struct options {
    const char *path, *particles, *label, *label_file, *test_path, *test_particles, *test_label_file;
    int64_t box;
    uint32_t edge, labels;
    dal_str_list class_names;
} options;

enum { EDGE_REFUSE, EDGE_SKIP };

#define MAX_CONTENT ((int64_t)1 << 32)  /* a gzip file of coordinates or labels that inflates to more is refused */
#define MAX_MAPS 16384
#define MAX_SECTIONS (1 << 24)
#ifndef MRC_MAX_PIXELS
#define MRC_MAX_PIXELS ((int64_t)1 << 28) /* of a sample */
#endif

/* Where a sample lies. */
typedef struct place {
    int32_t map, x, y, z;
    int64_t record; /* of its file of particles, or its section: what its line in a file of labels is */
} place;

/* The files of one split. */
typedef struct part {
    const char *path, *particles, *label_file;
    const char *keys[3]; /* of these in messages */
    int is_folder;
    int64_t n_records, outside, others; /* particles; those beyond an edge; those of other micrographs */
} part;

typedef struct mrc {
    dal_texts texts; /* first: the shared slots see only this; a row's `at` is the number of its place */
    const options *opt;
    part parts[DAL_SPLITS];
    word_list names; /* of maps */
    mrc_map *maps;   /* [names.n] */
    int64_t maps_room;
    place *places;
    int64_t n_places, room;
    int64_t width, height; /* of a sample; 0: not known yet */
} mrc;

static dal_status no_memory(dal_error *err)
{
    return dal_fail(err, DAL_E_NOMEM, "", "no memory for the dataset");
}

/* ---- maps ------------------------------------------------------------------------------------- */

/* The map of this path, opened when it is new. */
static dal_status need_map(mrc *self, const char *path, const char *key, int32_t *number, dal_error *err)
{
    const dal_host *host = self->texts.host;
    *number = words_find(&self->names, path);
    if (*number >= 0)
        return DAL_OK;
    if (self->names.n == MAX_MAPS)
        return dal_fail(err, DAL_E_OVERFLOW, key, "%s: more than %d files of images", path, MAX_MAPS);
    if (self->names.n == self->maps_room) {
        const int64_t room = self->maps_room ? 2 * self->maps_room : 16;
        mrc_map *larger = dal_array(host, room, sizeof *larger);
        if (!larger)
            return no_memory(err);
        if (self->names.n > 0)
            memcpy(larger, self->maps, (size_t)self->names.n * sizeof *larger);
        host->free(host, self->maps);
        self->maps = larger;
        self->maps_room = room;
    }
    const dal_status st = words_add(host, &self->names, path, number, err);
    if (st != DAL_OK)
        return st;
    self->maps[*number] = (mrc_map){0};
    return mrc_open(host, self->names.texts[*number], key, &self->maps[*number], err);
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* The map that a file of particles calls f. *number -1: it is another than the one that was asked for. */
static dal_status named_map(mrc *self, part *p, const dal_csv_field *f, int32_t *number, dal_error *err)
{
    char name[1024], path[4096];
    int plain = f->size > 0 && f->size < (int64_t)sizeof name;
    for (int64_t i = 0; plain && i < f->size; i++)
        plain = (unsigned char)f->text[i] >= 0x20 && f->text[i] != 0x7f;
    if (!plain)
        return dal_fail(err, DAL_E_FORMAT, p->keys[1], "%s:%lld:%lld: expected the name of a file", p->particles,
                        (long long)f->line, (long long)f->column);
    memcpy(name, f->text, (size_t)f->size);
    name[f->size] = '\0';
    *number = -1;
    if (!p->is_folder)
        return strcmp(base_name(name), base_name(p->path)) == 0 ? need_map(self, p->path, p->keys[0], number,
                                                                           err) : DAL_OK;
    if (name[0] == '/' || strcmp(name, "..") == 0 || strncmp(name, "../", 3) == 0 || strstr(name, "/../"))
        return dal_fail(err, DAL_E_FORMAT, p->keys[1], "%s:%lld:%lld: '%.200s' leads out of the folder %.200s",
                        p->particles, (long long)f->line, (long long)f->column, name, p->path);
    if (snprintf(path, sizeof path, "%s/%s", p->path, name) >= (int)sizeof path)
        return dal_fail(err, DAL_E_FORMAT, p->keys[1], "%s:%lld:%lld: a name that is too long", p->particles,
                        (long long)f->line, (long long)f->column);
    return need_map(self, path, p->keys[1], number, err);
}

/* ---- samples ---------------------------------------------------------------------------------- */

static dal_status add_place(mrc *self, uint32_t k, const place *at, int64_t width, int64_t height, int64_t line,
                            int32_t cls, dal_error *err)
{
    const dal_host *host = self->texts.host;
    const part *p = &self->parts[k];
    const dal_text_row row = {.at = self->n_places, .line = line, .cls = cls};
    if (self->width == 0) {
        self->width = width;
        self->height = height;
    }
    if (width != self->width || height != self->height)
        return dal_fail(err, DAL_E_FORMAT, p->keys[0], "%s: images of %lld x %lld, others have %lld x %lld",
                        self->names.texts[at->map], (long long)width, (long long)height, (long long)self->width,
                        (long long)self->height);
    if (width > MRC_MAX_PIXELS / height)
        return dal_fail(err, DAL_E_OVERFLOW, p->keys[0], "%s: images of %lld x %lld, expected at most %lld values",
                        self->names.texts[at->map], (long long)width, (long long)height, (long long)MRC_MAX_PIXELS);
    if (self->n_places == self->room) {
        const int64_t room = self->room ? 2 * self->room : 256;
        place *larger = dal_array(host, room, sizeof *larger);
        if (!larger)
            return no_memory(err);
        if (self->n_places > 0)
            memcpy(larger, self->places, (size_t)self->n_places * sizeof *larger);
        host->free(host, self->places);
        self->places = larger;
        self->room = room;
    }
    self->places[self->n_places++] = *at;
    return dal_texts_add(&self->texts, k, &row, p->path, p->keys[0], err);
}

/* A whole section, from 0. */
static dal_status add_section(mrc *self, uint32_t k, int32_t map, int64_t z, int64_t record, int64_t line, int32_t cls,
                              dal_error *err)
{
    const mrc_map *m = &self->maps[map];
    const place at = {map, 0, 0, (int32_t)z, record};
    return add_place(self, k, &at, m->size[MRC_X], m->size[MRC_Y], line, cls, err);
}

/* A square of `side` from (x, y) on, in a micrograph. */
static dal_status add_box(mrc *self, uint32_t k, int32_t map, double x, double y, int64_t side, int64_t line,
                          int32_t cls, dal_error *err)
{
    const mrc_map *m = &self->maps[map];
    part *p = &self->parts[k];
    if (m->size[MRC_Z] != 1)
        return dal_fail(err, DAL_E_FORMAT, p->keys[0], "%s: %lld sections, expected a micrograph of one", m->path,
                        (long long)m->size[MRC_Z]);
    if (!(x >= 0 && y >= 0 && x + (double)side <= (double)m->size[MRC_X] &&
          y + (double)side <= (double)m->size[MRC_Y])) {
        if (self->opt->edge == EDGE_REFUSE)
            return dal_fail(err, DAL_E_FORMAT, p->keys[1],
                            "%s:%lld: a box of %lld from %g, %g on is not inside %s, which is %lld x %lld; edge: skip "
                            "leaves such out", p->particles, (long long)line, (long long)side, x, y,
                            base_name(m->path), (long long)m->size[MRC_X], (long long)m->size[MRC_Y]);
        p->outside++;
        return DAL_OK;
    }
    const place at = {map, (int32_t)x, (int32_t)y, 0, p->n_records - 1};
    return add_place(self, k, &at, side, side, line, cls, err);
}

static dal_status add_all_sections(mrc *self, uint32_t k, dal_error *err)
{
    part *p = &self->parts[k];
    int32_t map;
    if (p->is_folder)
        return dal_fail(err, DAL_E_INVALID, p->keys[1], "%s is a folder: a STAR file has to say what is in it",
                        p->path);
    dal_status st = need_map(self, p->path, p->keys[0], &map, err);
    if (st == DAL_OK && self->maps[map].size[MRC_Z] > MAX_SECTIONS)
        st = dal_fail(err, DAL_E_OVERFLOW, p->keys[0], "%s: %lld sections, expected at most %d", p->path,
                      (long long)self->maps[map].size[MRC_Z], MAX_SECTIONS);
    for (int64_t z = 0; st == DAL_OK && z < self->maps[map].size[MRC_Z]; z++)
        st = add_section(self, k, map, z, z, z + 1, DAL_LABEL_NONE, err);
    p->n_records = self->texts.n[k];
    return st;
}

/* ---- files of particles ----------------------------------------------------------------------- */

static dal_status number(const part *p, const dal_csv_field *f, double *x, dal_error *err)
{
    char text[48];
    if (dal_csv_number(f, x) && fabs(*x) < 1e9)
        return DAL_OK;
    dal_csv_text(f, text, 40);
    for (char *c = text; *c; c++)
        *c = (unsigned char)*c < 0x20 || *c == 0x7f ? '?' : *c;
    return dal_fail(err, DAL_E_FORMAT, p->keys[1], "%s:%lld:%lld: found '%s', expected a coordinate", p->particles,
                    (long long)f->line, (long long)f->column, text);
}

/* Columns of a STAR file, -1: it has not. */
typedef struct columns {
    int64_t image, micrograph, x, y, label;
} columns;

static dal_status find_columns(const mrc *self, const part *p, const star *s, columns *c, dal_error *err)
{
    const char *label = self->opt->label;
    *c = (columns){star_column(s, "rlnImageName"), star_column(s, "rlnMicrographName"),
                   star_column(s, "rlnCoordinateX"), star_column(s, "rlnCoordinateY"), -1};
    if (self->opt->box > 0 && (c->x < 0 || c->y < 0 || (c->micrograph < 0 && p->is_folder)))
        return dal_fail(err, DAL_E_FORMAT, p->keys[1],
                        "%s: for boxes there have to be columns _rlnCoordinateX, _rlnCoordinateY%s", p->particles,
                        p->is_folder ? " and _rlnMicrographName" : "");
    if (self->opt->box == 0 && c->image < 0)
        return dal_fail(err, DAL_E_FORMAT, p->keys[1],
                        "%s: there is no column _rlnImageName; for boxes of a micrograph say the side with box",
                        p->particles);
    if (!label[0])
        return DAL_OK;
    c->label = star_column(s, label[0] == '_' ? label + 1 : label);
    if (c->label < 0)
        return dal_fail(err, DAL_E_INVALID, "label", "there is no column '%.60s' in %.300s", label, p->particles);
    return DAL_OK;
}

/* "000012@stack.mrcs": a section from 1 and its file. */
static dal_status add_image(mrc *self, uint32_t k, const dal_csv_field *f, int64_t line, int32_t cls, dal_error *err)
{
    part *p = &self->parts[k];
    const char *at = memchr(f->text, '@', (size_t)f->size);
    dal_csv_field name = *f, digits = {.text = f->text, .size = at ? at - f->text : 0};
    int64_t z = 1;
    int32_t map;
    if (at) {
        name.text = at + 1;
        name.size = f->size - digits.size - 1;
    }
    if (at && (!dal_csv_integer(&digits, &z) || z < 1))
        return dal_fail(err, DAL_E_FORMAT, p->keys[1],
                        "%s:%lld:%lld: expected the number of a section before @, from 1", p->particles,
                        (long long)line, (long long)f->column);
    const dal_status st = named_map(self, p, &name, &map, err);
    if (st != DAL_OK)
        return st;
    p->others += map < 0;
    if (map < 0)
        return DAL_OK;
    if (z > self->maps[map].size[MRC_Z])
        return dal_fail(err, DAL_E_FORMAT, p->keys[1], "%s:%lld:%lld: section %lld of %s, which has %lld", p->particles,
                        (long long)line, (long long)f->column, (long long)z, base_name(self->names.texts[map]),
                        (long long)self->maps[map].size[MRC_Z]);
    return add_section(self, k, map, z - 1, p->n_records - 1, line, cls, err);
}

static dal_status add_coordinates(mrc *self, uint32_t k, const columns *c, const dal_csv_field *fields, int32_t cls,
                                  dal_error *err)
{
    part *p = &self->parts[k];
    const int64_t side = self->opt->box;
    double x = 0, y = 0;
    int32_t map;
    dal_status st = number(p, &fields[c->x], &x, err);
    if (st == DAL_OK)
        st = number(p, &fields[c->y], &y, err);
    if (st == DAL_OK && c->micrograph >= 0)
        st = named_map(self, p, &fields[c->micrograph], &map, err);
    else if (st == DAL_OK)
        st = need_map(self, p->path, p->keys[0], &map, err);
    if (st != DAL_OK)
        return st;
    p->others += map < 0;
    if (map < 0)
        return DAL_OK;
    return add_box(self, k, map, floor(x + 0.5) - (double)(side / 2), floor(y + 0.5) - (double)(side / 2), side,
                   fields[0].line, cls, err);
}

static dal_status read_star(mrc *self, uint32_t k, const void *data, int64_t size, dal_error *err)
{
    static const char *const wanted[] = {"rlnImageName", "rlnCoordinateX", NULL};
    part *p = &self->parts[k];
    dal_csv_field fields[STAR_MAX_COLUMNS];
    columns c;
    star s;
    int more = 1;
    dal_status st = star_find(&s, p->particles, p->keys[1], data, size, wanted, err);
    if (st == DAL_OK)
        st = find_columns(self, p, &s, &c, err);
    while (st == DAL_OK && (st = star_next(&s, fields, &more, err)) == DAL_OK && more) {
        int32_t cls = DAL_LABEL_NONE;
        p->n_records++;
        if (c.label >= 0)
            st = dal_texts_label(&self->texts, fields[c.label].text, fields[c.label].size, p->particles, p->keys[1],
                                 fields[0].line, &cls, err);
        if (st == DAL_OK && self->opt->box > 0)
            st = add_coordinates(self, k, &c, fields, cls, err);
        else if (st == DAL_OK)
            st = add_image(self, k, &fields[c.image], fields[0].line, cls, err);
        if (p->n_records % 4096 == 0 && self->texts.host->cancelled(self->texts.host))
            st = dal_fail(err, DAL_E_CANCELLED, p->keys[1], "stopped while reading %s", p->particles);
    }
    return st;
}

/* EMAN's: x, y of the lower corner, width, height. */
static dal_status read_boxes(mrc *self, uint32_t k, dal_csv r, dal_error *err)
{
    part *p = &self->parts[k];
    dal_csv_field f[5];
    double v[4];
    int64_t n;
    int32_t map;
    if (p->is_folder)
        return dal_fail(err, DAL_E_INVALID, p->keys[0], "%s is a folder; a .box file belongs to one micrograph",
                        p->path);
    if (self->opt->label[0])
        return dal_fail(err, DAL_E_INVALID, "label", "a .box file has no classes; give a file of labels");
    dal_status st = need_map(self, p->path, p->keys[0], &map, err);
    while (st == DAL_OK && (st = dal_csv_next(&r, f, 5, &n, err)) == DAL_OK && n > 0) {
        p->n_records++;
        if (n < 4)
            return dal_fail(err, DAL_E_FORMAT, p->keys[1],
                            "%s:%lld:1: found %lld numbers, expected x, y, width and height", p->particles,
                            (long long)f[0].line, (long long)n);
        for (int i = 0; i < 4 && st == DAL_OK; i++)
            st = number(p, &f[i], &v[i], err);
        if (st == DAL_OK && (v[2] < 1 || v[2] != floor(v[2]) || v[2] != v[3]))
            return dal_fail(err, DAL_E_FORMAT, p->keys[1], "%s:%lld:%lld: a box of %g x %g, expected a square",
                            p->particles, (long long)f[2].line, (long long)f[2].column, v[2], v[3]);
        const double side = self->opt->box > 0 ? (double)self->opt->box : v[2];
        if (st == DAL_OK)
            st = add_box(self, k, map, floor(v[0] + floor(v[2] / 2) - floor(side / 2) + 0.5),
                         floor(v[1] + floor(v[2] / 2) - floor(side / 2) + 0.5), (int64_t)side, f[0].line,
                         DAL_LABEL_NONE, err);
    }
    return st;
}

/* A .box file begins with numbers. */
static int is_box_file(dal_csv r)
{
    dal_csv_field f[4];
    double x;
    int64_t n;
    if (dal_csv_next(&r, f, 4, &n, NULL) != DAL_OK || n < 1)
        return 0;
    return dal_csv_number(&f[0], &x);
}

static dal_status read_particles(mrc *self, uint32_t k, dal_error *err)
{
    part *p = &self->parts[k];
    const dal_host *host = self->texts.host;
    dal_file *f = NULL;
    int64_t size;
    dal_status st = dal_file_open(host, p->particles, p->keys[1], &f, err);
    if (st == DAL_OK)
        st = dal_file_load(f, MAX_CONTENT, 0, err);
    if (st == DAL_OK) {
        const void *data = dal_file_data(f, &size);
        const dal_csv boxes = dal_csv_open(p->particles, p->keys[1], data, size, DAL_CSV_BLANKS);
        st = is_box_file(boxes) ? read_boxes(self, k, boxes, err) : read_star(self, k, data, size, err);
    }
    dal_file_close(f);
    if (st == DAL_OK && p->outside + p->others > 0)
        dal_logf(host, DAL_LOG_INFO,
                 "%s: of %lld particles %lld are not inside their micrograph and %lld belong to others", p->particles,
                 (long long)p->n_records, (long long)p->outside, (long long)p->others);
    return st;
}

/* ---- files of labels -------------------------------------------------------------------------- */

static dal_status take_labels(mrc *self, uint32_t k, dal_lines lines, dal_error *err)
{
    const part *p = &self->parts[k];
    const char *line;
    int64_t n, record = -1, at = 0;
    for (;;) {
        dal_status st = dal_lines_next(&lines, &line, &n, err);
        if (st != DAL_OK)
            return st;
        if (n < 0)
            break;
        while (n > 0 && (line[n - 1] == ' ' || line[n - 1] == '\t'))
            n--;
        if (++record >= p->n_records) {
            if (n > 0)
                return dal_fail(err, DAL_E_FORMAT, p->keys[2], "%s:%lld: more labels than the %lld samples",
                                p->label_file, (long long)lines.line - 1, (long long)p->n_records);
            continue;
        }
        if (at == self->texts.n[k] || self->places[self->texts.rows[k][at].at].record != record)
            continue; /* of a particle that was left out */
        st = dal_texts_label(&self->texts, line, n, p->label_file, p->keys[2], lines.line - 1,
                             &self->texts.rows[k][at++].cls, err);
        if (st != DAL_OK)
            return st;
    }
    if (record + 1 < p->n_records)
        return dal_fail(err, DAL_E_FORMAT, p->keys[2],
                        "%s: found %lld lines of labels, expected one for each of %lld samples", p->label_file,
                        (long long)record + 1, (long long)p->n_records);
    return DAL_OK;
}

static dal_status read_labels(mrc *self, uint32_t k, dal_error *err)
{
    const part *p = &self->parts[k];
    dal_file *f = NULL;
    int64_t size;
    if (self->opt->label[0])
        return dal_fail(err, DAL_E_INVALID, p->keys[2],
                        "a column has the classes already (label); give one of the two");
    dal_status st = dal_file_open(self->texts.host, p->label_file, p->keys[2], &f, err);
    if (st == DAL_OK)
        st = dal_file_load(f, MAX_CONTENT, 0, err);
    if (st == DAL_OK) {
        const void *data = dal_file_data(f, &size);
        st = take_labels(self, k, dal_lines_open(p->label_file, p->keys[2], data, size), err);
    }
    dal_file_close(f);
    return st;
}

/* ---- create ------------------------------------------------------------------------------------- */

static dal_status build_part(mrc *self, uint32_t k, dal_error *err)
{
    part *p = &self->parts[k];
    struct stat s;
    p->is_folder = stat(p->path, &s) == 0 && S_ISDIR(s.st_mode);
    dal_status st = p->particles[0] ? read_particles(self, k, err) : add_all_sections(self, k, err);
    if (st == DAL_OK && self->texts.n[k] == 0)
        st = dal_fail(err, DAL_E_FORMAT, p->keys[1], "%s: none of %lld particles is a sample", p->particles,
                      (long long)p->n_records);
    if (st == DAL_OK && p->label_file[0])
        st = read_labels(self, k, err);
    return st;
}

static dal_status build(void *object, const void *opt, dal_error *err)
{
    mrc *self = object;
    const options *o = self->opt = opt;
    const dal_label_rule rule = {o->labels, o->class_names, ""};
    self->parts[DAL_SPLIT_TRAIN] = (part){.path = o->path, .particles = o->particles, .label_file = o->label_file,
                                          .keys = {"path", "particles", "label_file"}};
    self->parts[DAL_SPLIT_TEST] = (part){.path = o->test_path, .particles = o->test_particles,
                                         .label_file = o->test_label_file,
                                         .keys = {"test_path", "test_particles", "test_label_file"}};
    if ((o->label[0] || o->box > 0) && !o->particles[0])
        return dal_fail(err, DAL_E_INVALID, o->label[0] ? "label" : "box",
                        "this is about particles, and there is no file of them");
    if (!o->test_path[0] && (o->test_particles[0] || o->test_label_file[0]))
        return dal_fail(err, DAL_E_INVALID, "test_path", "there is a file of %s for the test split, but no test_path",
                        o->test_particles[0] ? "particles" : "labels");
    dal_status st = build_part(self, DAL_SPLIT_TRAIN, err);
    if (st == DAL_OK && o->test_path[0])
        st = build_part(self, DAL_SPLIT_TEST, err);
    return st == DAL_OK ? dal_texts_settle(&self->texts, &rule, err) : st;
}

static void mrc_destroy(void *p)
{
    mrc *self = p;
    if (!self)
        return;
    const dal_host *host = self->texts.host;
    for (int64_t i = 0; i < self->names.n; i++)
        mrc_close(&self->maps[i]);
    words_free(host, &self->names);
    host->free(host, self->maps);
    host->free(host, self->places);
    dal_texts_destroy(self);
}

static dal_status mrc_create(const dal_host *host, const void *opt, const dal_dataset *input, void **out,
                             dal_error *err)
{
    (void)input;
    return dal_texts_create(host, sizeof(mrc), opt, build, mrc_destroy, out, err);
}

/* ---- the table ---------------------------------------------------------------------------------- */

static dal_status mrc_info(void *p, dal_dataset_info *info, dal_error *err)
{
    const mrc *self = p;
    const dal_status st = dal_texts_info(p, info, err);
    info->spec = (dal_sample_spec){sizeof info->spec, DAL_IMAGE, DAL_F32, 3, {1, self->height, self->width},
                                   self->texts.n_classes};
    return st;
}

static dal_status mrc_read_samples(void *p, uint32_t k, const int64_t *ids, int64_t n, dal_batch *out, dal_error *err)
{
    const mrc *self = p;
    float *to = out->data;
    dal_status st = dal_check_ids(self->texts.n[k], ids, n, err);
    for (int64_t i = 0; i < n && st == DAL_OK; i++) {
        const place *at = &self->places[self->texts.rows[k][ids[i]].at];
        st = mrc_read(&self->maps[at->map], at->x, at->y, at->z, self->width, self->height,
                      to + i * self->width * self->height, err);
    }
    return st;
}

/* "stack.mrcs 12", "mic.mrc at 100,250" */
static void mrc_describe(void *p, uint32_t k, int64_t id, char *out, size_t size)
{
    const mrc *self = p;
    if (dal_check_ids(self->texts.n[k], &id, 1, NULL) != DAL_OK) {
        snprintf(out, size, "%lld", (long long)id);
        return;
    }
    const place *at = &self->places[self->texts.rows[k][id].at];
    const mrc_map *m = &self->maps[at->map];
    if (self->width == m->size[MRC_X] && self->height == m->size[MRC_Y])
        snprintf(out, size, "%s %d", base_name(m->path), at->z + 1);
    else
        snprintf(out, size, "%s at %d,%d", base_name(m->path), at->x, at->y);
}

static const dal_dataset_impl mrc_impl = {
    .struct_size = sizeof mrc_impl,
    .create = mrc_create,
    .destroy = mrc_destroy,
    .info = mrc_info,
    .classes = dal_texts_classes,
    .read = mrc_read_samples,
    .describe = mrc_describe,
};

#define PARAMS(P, T)                                                                                     \
    P(T, path, PATH, DAL_REQUIRED, "file or directory", "",                                                            \
      "a map, stack or micrograph, plain or packed; or the folder that names in a STAR file are below")                \
    P(T, particles, PATH, "", "file", "",                                                                              \
      "a STAR file, or a .box file for one micrograph; none: each section is a sample")                                \
    P(T, label, STR, "", "", "", "column of the STAR file with the classes, as rlnClassNumber; empty: none") \
    P(T, label_file, PATH, "", "file", "", "the classes in another file, a line for each sample; empty or ?: none") \
    P(T, test_path, PATH, "", "file or directory", "", "likewise, for the test split")                   \
    P(T, test_particles, PATH, "", "file", "", "its particles")                                          \
    P(T, test_label_file, PATH, "", "file", "", "its classes")                                           \
    P(T, box, I64, "0", "0..16384", "pixels",                                                                          \
      "side of the squares cut out round coordinates; 0: what the STAR file names as images, or the .box file says")   \
    P(T, edge, CHOICE, "refuse", "refuse|skip", "", "a box that is not wholly inside its micrograph")     \
    P(T, labels, CHOICE, "auto", DAL_LABELS, "",                                                                       \
      "auto: distinct labels in order; or counted from 0 or 1, or names of classes")                                   \
    P(T, class_names, STRS, "", "nonempty", "", "a name for each class, in order")
#define COMPONENTS(C)                                                                                    \
    C(DATASET, "mrc", mrc_impl, "sections and particles in MRC and CCP4 files of cryo-electron microscopy", \
      "Cheng et al., J. Struct. Biol. 192 (2015)", "", DAL_CAP_CONCURRENT, options, PARAMS)
DAL_MODULE(mrc, "1.0", "Apache-2.0", COMPONENTS, NULL, NULL)
