/* Manifests under test, read against a registry of fake components (fake_registry.h) in a directory of their own. */
#ifndef TESTS_MANIFEST_PLACE_H
#define TESTS_MANIFEST_PLACE_H

#include <criterion/criterion.h>

#include <jansson.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "manifest/manifest.h"
#include "tests/unit/fake_registry.h"
#include "util/text.h"

/* A directory with files to find, and the working directory in it. */
static char *place_dir;

static inline void touch(const char *name)
{
    FILE *f = fopen(name, "w");
    cr_assert_not_null(f);
    fclose(f);
}

static inline void enter(void)
{
    char name[] = "/tmp/dalhost-manifest-XXXXXX";
    cr_assert_not_null(mkdtemp(name));
    place_dir = realpath(name, NULL);
    cr_assert_eq(chdir(place_dir), 0);
    cr_assert_eq(mkdir("data", 0700) | mkdir("data/sub", 0700), 0);
    touch("here.gz");
    touch("data/there.gz");
}

static inline void leave(void)
{
    const char *const names[] = {"here.gz", "data/there.gz", "data/sub", "data", "m.yaml"};
    cr_assert_eq(chdir(place_dir), 0);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        remove(names[i]);
    cr_assert_eq(chdir("/"), 0);
    rmdir(place_dir);
    free(place_dir);
}

/* ---- helpers -------------------------------------------------------------------------------- */

static inline manifest *read_with(const char *yaml, const char *const *sets, int n, fake_flavour flavour, diags *d)
{
    static const char *const data_path[] = {"data"};
    const manifest_options o = {sets, n, data_path, 1, NULL};
    return manifest_read("m.yaml", yaml, fake_registry(flavour), &o, d);
}

static inline manifest *read_good(const char *yaml, const char *const *sets, int n)
{
    diags *d = diags_new();
    manifest *m = read_with(yaml, sets, n, FAKE_USUAL, d);
    diags_print(d, stderr);
    cr_assert_not_null(m, "refused:\n%s", yaml);
    diags_free(d);
    return m;
}

/* All messages, one a line, with $PWD for the working directory. */
static inline char *messages(const diags *d)
{
    text t = {0};
    for (int i = 0; diags_text(d, i); i++) {
        const char *line = diags_text(d, i), *hit;
        text_add(&t, i ? "\n" : "");
        while ((hit = strstr(line, place_dir))) {
            text_addf(&t, "%.*s$PWD", (int)(hit - line), line);
            line = hit + strlen(place_dir);
        }
        text_add(&t, line);
    }
    return text_take(&t);
}

static inline void expect_messages(const char *yaml, const char *const *sets, int n, fake_flavour flavour,
                            const char *expected)
{
    diags *d = diags_new();
    manifest *m = read_with(yaml, sets, n, flavour, d);
    char *got = messages(d);
    cr_expect_null(m, "accepted:\n%s", yaml);
    cr_expect_str_eq(got, expected, "%s\n  got:  %s\n  want: %s", yaml, got, expected);
    manifest_free(m);
    free(got);
    diags_free(d);
}

#define BASE "dalhost: 1\ndataset: drawn\nmodel: mlp\nstrategy: margin\n"
#define PATH_HINT "; try an absolute path, or name its folder in DAL_DATA_PATH"

#endif
