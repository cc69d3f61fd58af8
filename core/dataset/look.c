#include "dataset/look.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <dal/archive.h>
#include <dal/file.h>
#include <dal/runtime.h>

#include "dataset/look_archive.h"
#include "dataset/look_text.h"
#include "util/file.h"
#include "util/paths.h"

void look_fini(look *l)
{
    text_free(&l->words);
    text_free(&l->odd);
    for (int i = 0; i < l->n_sets; i++)
        free(l->sets[i]);
    free(l->sets);
    *l = (look){0};
}

void look_set(look *l, const char *key, char *value)
{
    l->sets = xrealloc(l->sets, (size_t)(l->n_sets + 1) * sizeof *l->sets);
    l->sets[l->n_sets++] = xasprintf("%s=%s", key, value);
    free(value);
}

char *yaml_quoted(const char *s, size_t n)
{
    text t = {0};
    text_add(&t, "\"");
    for (size_t i = 0; i < n; i++) {
        const unsigned char c = (unsigned char)s[i];
        if (c == '"' || c == '\\')
            text_addf(&t, "\\%c", c);
        else if (c < 0x20 || c == 0x7f)
            text_addf(&t, "\\x%02x", c);
        else
            text_addf(&t, "%c", c);
    }
    text_add(&t, "\"");
    return text_take(&t);
}

/* ---- folders ---- */

typedef struct tally {
    int pictures, texts, others, folders, depth;
    char odd[256]; /* a file that is neither */
} tally;

bool look_ends_as(const char *name, const char *const *ends)
{
    const size_t n = strlen(name);
    for (; *ends; ends++)
        if (n > strlen(*ends) && strcasecmp(name + n - strlen(*ends), *ends) == 0)
            return true;
    return false;
}

static bool is_picture(const char *name)
{
    static const char *const ends[] = {".jpg", ".jpeg", ".png", ".ppm", ".pgm", NULL};
    return look_ends_as(name, ends);
}

static void count_folder(const char *path, int depth, tally *t)
{
    enum { MOST = 20000 };
    DIR *d = depth < 6 ? opendir(path) : NULL;
    for (const struct dirent *e; d && (e = readdir(d)) && t->pictures + t->texts + t->others + t->folders < MOST;) {
        char *full = xasprintf("%s/%s", path, e->d_name);
        struct stat s;
        if (e->d_name[0] == '.' || stat(full, &s) != 0) {
            free(full);
            continue;
        }
        if (S_ISDIR(s.st_mode)) {
            t->folders++;
            t->depth = depth + 1 > t->depth ? depth + 1 : t->depth;
            count_folder(full, depth + 1, t);
        } else if (is_picture(e->d_name)) {
            t->pictures++;
        } else if (strchr(e->d_name, '.') ? look_ends_as(e->d_name, (const char *const[]){".txt", NULL}) : true) {
            t->texts++;
        } else if (t->others++ == 0) {
            snprintf(t->odd, sizeof t->odd, "%s", e->d_name);
        }
        free(full);
    }
    if (d)
        closedir(d);
}

static bool has_folder(const char *path, const char *name)
{
    char *full = xasprintf("%s/%s", path, name);
    struct stat s;
    const bool there = stat(full, &s) == 0 && S_ISDIR(s.st_mode);
    free(full);
    return there;
}

static void look_at_folder(const char *path, look *l)
{
    tally t = {0};
    count_folder(path, 0, &t);
    if (t.pictures > 0 && t.pictures >= t.texts) {
        l->format = has_folder(path, "train") ? "split-images" : "images";
        text_addf(&l->words, "a folder with %d pictures in %d folders", t.pictures, t.folders);
    } else if (t.texts > 0 && (t.folders > 0 || t.texts > t.others)) {
        l->format = has_folder(path, "train") ? "split-text-files" : "text-files";
        text_addf(&l->words, "a folder with %d texts in %d folders", t.texts, t.folders);
    } else {
        text_add(&l->words, "a folder with neither pictures nor texts in it");
        if (t.others)
            text_addf(&l->words, "; of tables and other files name one itself, as %s", t.odd);
    }
    if (l->format && t.folders == 0)
        text_add(&l->odd, "all files are in one folder: nothing says which class they are of\n");
    if (t.others)
        text_addf(&l->odd, "%d files are neither pictures nor texts, the first is %s\n", t.others, t.odd);
}

/* ---- files ---- */

static bool begins(const unsigned char *p, size_t n, const char *magic, size_t m)
{
    return n >= m && memcmp(p, magic, m) == 0;
}

/* CIFAR's records: a byte or two of labels that stay small, every 3073 or 3074 bytes. */
static bool is_cifar(const unsigned char *p, size_t n, size_t record, int most_coarse, int most)
{
    if (n < 2 * record)
        return false;
    for (size_t at = 0; at + record <= n; at += record)
        if (p[at] > (most_coarse >= 0 ? most_coarse : most) || (most_coarse >= 0 && p[at + 1] > most))
            return false;
    return true;
}

/* A .zip file like others, but for its name. */
static bool is_npz(const char *path)
{
    return look_ends_as(path, (const char *const[]){".npz", NULL});
}

static bool look_at_magic(const unsigned char *p, size_t n, const char *path, look *l)
{
    if (begins(p, n, "\x93NUMPY", 6)) {
        l->format = "npy";
        text_add(&l->words, "an array of NumPy");
    } else if (begins(p, n, "PK\3\4", 4) && is_npz(path)) {
        l->format = "npz";
        text_add(&l->words, "arrays of NumPy under their names");
    } else if (begins(p, n, "PK\3\4", 4) || (n > 262 && memcmp(p + 257, "ustar", 5) == 0)) {
        l->format = "archive"; /* a damaged one, or there is no libarchive: its loaders say so */
        text_add(&l->words, "an archive");
    } else if (begins(p, n, "MATLAB 5.0", 10)) {
        l->format = "matlab";
        text_add(&l->words, "a file of MATLAB");
    } else if (begins(p, n, "\x89HDF", 4)) {
        l->format = "hdf5";
        text_add(&l->words, "an HDF5 file");
    } else if (n > 212 && memcmp(p + 208, "MAP ", 4) == 0) {
        l->format = "mrc";
        text_add(&l->words, "an MRC or CCP4 map");
    } else if (n > 8 && p[0] == 0 && p[1] == 0 && p[2] == 8 && p[3] >= 1 && p[3] <= 4) {
        l->format = p[3] == 1 ? NULL : "idx-images";
        text_addf(&l->words, p[3] == 1 ? "labels in IDX: name the file of their images instead" : "images in IDX");
    } else if (is_cifar(p, n, 3073, -1, 9)) {
        l->format = "cifar-10";
        text_add(&l->words, "records of CIFAR-10");
    } else if (is_cifar(p, n, 3074, 19, 99)) {
        l->format = "cifar-100";
        text_add(&l->words, "records of CIFAR-100");
    } else {
        return false;
    }
    return true;
}

static void look_at_content(const dal_host *host, const char *path, look *l)
{
    dal_file *f = NULL;
    dal_error err = DAL_ERROR_INIT;
    dal_status st = dal_file_open(host, path, "", &f, &err);
    if (st == DAL_OK)
        st = dal_file_load(f, LOOK_MOST, 0, &err);
    if (st == DAL_OK) {
        int64_t size;
        const unsigned char *data = dal_file_data(f, &size);
        const size_t head = (size_t)(size < LOOK_HEAD ? size : LOOK_HEAD);
        if (size == 0)
            text_add(&l->words, "an empty file");
        else if (!look_at_magic(data, head, path, l))
            look_at_text(path, (const char *)data, (size_t)size, l);
        if (dal_file_is_gzip(f) && size > 0)
            text_add(&l->words, " (packed)");
    } else {
        text_addf(&l->words, "a file that cannot be read: %s", err.text);
    }
    dal_file_close(f);
}

static void look_at_file(const char *path, look *l)
{
    const dal_runtime_config config = {.struct_size = sizeof config, .threads = 1};
    dal_error err = DAL_ERROR_INIT;
    dal_runtime *rt = dal_runtime_new(&config, &err);
    const dal_host *host = rt ? dal_runtime_host(rt, "look") : NULL;
    int is_archive = 0;
    if (rt && !is_npz(path))
        dal_archive_probe(host, path, "", &is_archive, NULL);
    if (is_archive)
        look_at_archive(host, path, l);
    else if (rt)
        look_at_content(host, path, l);
    else
        text_addf(&l->words, "a file that cannot be read: %s", err.text);
    dal_runtime_free(rt);
}

void look_at_path(const char *path, const char *label, look *out)
{
    struct stat s;
    *out = (look){.label = label, .n_guessed = -1};
    if (stat(path, &s) != 0)
        text_addf(&out->words, "nothing: %s", strerror(errno));
    else if (S_ISDIR(s.st_mode))
        look_at_folder(path, out);
    else if (S_ISREG(s.st_mode))
        look_at_file(path, out);
    else
        text_add(&out->words, "neither a file nor a folder");
}

/* ---- its loader ---- */

/* "labels=images>labels": the value is the path with one part of its name replaced, when there is such a file; "a=b":
 * a plain value; "a=/b": what is there below the path. */
static void add_companion(look *l, const char *path, const char *rule)
{
    const char *equals = strchr(rule, '='), *arrow = strchr(rule, '>'), *slash = strrchr(path, '/');
    char *key = xstrndup(rule, (size_t)(equals - rule)), *other = NULL;
    if (equals[1] == '/') {
        other = xasprintf("%s%s", path, equals + 1);
    } else if (arrow) {
        char *from = xstrndup(equals + 1, (size_t)(arrow - equals - 1));
        const char *hit = strstr(slash ? slash : path, from);
        if (hit)
            other = xasprintf("%.*s%s%s", (int)(hit - path), path, arrow + 1, hit + strlen(from));
        free(from);
    } else {
        look_set(l, key, xstrdup(equals + 1));
    }
    if (other && access(other, R_OK) == 0)
        look_set(l, key, yaml_quoted(other, strlen(other)));
    free(other);
    free(key);
}

static void add_rules(look *l, const char *path, char *rules)
{
    char *save = NULL;
    for (char *rule = strtok_r(rules, " ", &save); rule; rule = strtok_r(NULL, " ", &save))
        if (strchr(rule, '='))
            add_companion(l, path, rule);
}

/* Guesses that this loader has no parameter for. */
static void drop_unknown(look *l, const component_desc *c)
{
    int kept = 0;
    for (int i = 0; i < l->n_sets; i++) {
        const size_t n = strcspn(l->sets[i], "=");
        bool known = false;
        for (int k = 0; k < c->n_params && !known; k++)
            known = strlen(c->params[k].name) == n && strncmp(c->params[k].name, l->sets[i], n) == 0;
        if (known)
            l->sets[kept++] = l->sets[i];
        else
            free(l->sets[i]);
        if (i + 1 == l->n_guessed)
            l->n_guessed = kept;
    }
    l->n_sets = kept;
}

/* The fields of the format's line number `which`; false: it has none. */
static bool find_line(char *data, const char *format, int which, char *fields[4])
{
    char *save = NULL;
    for (char *line = strtok_r(data, "\r\n", &save); line; line = strtok_r(NULL, "\r\n", &save)) {
        int n = 0;
        for (char *next = line; next && n < 4; n++) {
            fields[n] = next;
            next = strchr(next, '\t');
            if (next)
                *next++ = '\0';
        }
        for (; n < 4; n++)
            fields[n] = line + strlen(line);
        if (*line != '#' && strcmp(fields[0], format) == 0 && *fields[1] && *fields[2] && which-- == 0)
            return true;
    }
    return false;
}

const component_desc *look_for_loader(look *l, int which, const char *path, const registry *r, char **why)
{
    char *table = paths_data("names/format.tsv"), *data = NULL, *fields[4];
    size_t n;
    dal_error err = DAL_ERROR_INIT;
    const component_desc *c = NULL;
    *why = NULL;
    if (l->n_guessed < 0)
        l->n_guessed = l->n_sets;
    while (l->n_sets > l->n_guessed) /* those of the loader before */
        free(l->sets[--l->n_sets]);
    if (file_read(table, (size_t)1 << 20, &data, &n, &err) != DAL_OK)
        *why = xstrdup(err.text);
    else if (!find_line(data, l->format, which, fields))
        *why = xasprintf("no loader is known for that (%s)", l->format);
    else if (!(c = registry_find(r, DAL_KIND_DATASET, fields[1], NULL, why)) && !*why)
        *why = xasprintf("the loader %s is not installed", fields[1]);
    if (c) {
        add_rules(l, path, fields[3]);
        if (strcmp(fields[2], "-") != 0)
            look_set(l, fields[2], yaml_quoted(path, strlen(path)));
        drop_unknown(l, c);
    }
    free(data);
    free(table);
    return c;
}
