/* Archives of tables: train.csv and test.csv in a .tar.gz or .zip, as many sets of texts are handed out. */
#include "dataset/look_archive.h"

#include <dal/archive.h>
#include <dal/file.h>
#include <stdlib.h>

#include "dataset/look_text.h"

enum { TRAIN, VALIDATION, TEST, ROLES };

typedef struct tables {
    int n, others;      /* tables, and files that are none */
    char *first;        /* the name of the first of them */
    char *role[ROLES];  /* the first whose name tells what it is for */
    int n_role[ROLES];
} tables;

static bool is_table(const char *name)
{
    static const char *const ends[] = {".csv", ".tsv", ".csv.gz", ".tsv.gz", NULL};
    return look_ends_as(name, ends);
}

static int role_of(const char *name)
{
    static const char *const words[] = {"train", "val", "dev", "test"};
    static const int roles[] = {TRAIN, VALIDATION, VALIDATION, TEST};
    const char *slash = strrchr(name, '/'), *base = slash ? slash + 1 : name;
    for (int i = 0; i < 4; i++)
        if (strcasestr(base, words[i]))
            return roles[i];
    return ROLES;
}

static void count_member(tables *t, const char *name)
{
    const int role = role_of(name);
    if (!is_table(name)) {
        t->others++;
        return;
    }
    if (t->n++ == 0)
        t->first = xstrdup(name);
    if (role < ROLES && t->n_role[role]++ == 0)
        t->role[role] = xstrdup(name);
}

static dal_status count_tables(const dal_host *host, const char *path, tables *t, dal_error *err)
{
    dal_archive *a = NULL;
    dal_archive_member m;
    int more = 1;
    dal_status st = dal_archive_open(host, path, "", 0, &a, err);
    while (st == DAL_OK && (st = dal_archive_next(a, &m, &more, err)) == DAL_OK && more)
        count_member(t, m.name);
    dal_archive_close(a);
    return st;
}

static void look_at_member(const dal_host *host, const char *path, const char *name, look *l)
{
    dal_file *f = NULL;
    dal_error err = DAL_ERROR_INIT;
    int64_t size;
    dal_status st = dal_file_open_member(host, path, name, LOOK_MOST, "", &f, &err);
    if (st == DAL_OK)
        st = dal_file_load(f, LOOK_MOST, 0, &err);
    if (st == DAL_OK) {
        const char *data = (const char *)dal_file_data(f, &size);
        look_at_text(name, data, (size_t)size, l);
    } else {
        text_addf(&l->words, "which cannot be read: %s", err.text);
    }
    dal_file_close(f);
}

/* The loader of texts takes members; that of numbers does not. */
static void look_at_tables(const dal_host *host, const char *path, const tables *t, look *l)
{
    static const char *const keys[ROLES] = {"member", "validation_member", "test_member"};
    const char *pool = t->n == 1 ? t->first : t->n_role[TRAIN] == 1 ? t->role[TRAIN] : NULL;
    text_addf(&l->words, "an archive of %d table%s, ", t->n, t->n == 1 ? "" : "s");
    if (!pool) {
        text_addf(&l->words, "the first is %s; which one is to train on their names do not say", t->first);
        return;
    }
    text_addf(&l->words, "of which %s is ", pool);
    look_at_member(host, path, pool, l);
    if (l->format && strcmp(l->format, "texts") != 0) {
        text_add(&l->words, "; inside archives only tables of texts are read: unpack it first");
        l->format = NULL;
    }
    if (!l->format)
        return;
    l->format = "member-texts";
    look_set(l, keys[TRAIN], yaml_quoted(pool, strlen(pool)));
    for (int k = VALIDATION; k < ROLES; k++)
        if (t->n > 1 && t->n_role[k] == 1)
            look_set(l, keys[k], yaml_quoted(t->role[k], strlen(t->role[k])));
}

void look_at_archive(const dal_host *host, const char *path, look *l)
{
    enum { FEW = 2 }; /* files that tell of the tables: readme.txt, classes.txt */
    tables t = {0};
    const dal_status st = count_tables(host, path, &t, NULL);
    if (st == DAL_OK && t.n > 0 && t.others <= t.n + FEW) {
        look_at_tables(host, path, &t, l);
    } else { /* also damaged ones: loaders find better words */
        l->format = "archive";
        text_add(&l->words, "an archive");
    }
    free(t.first);
    for (int k = 0; k < ROLES; k++)
        free(t.role[k]);
}
