#include "tests/unit/tar_make.h"
#include "tests/unit/zip_make.h"

#include <dal/archive.h>
#include <dal/files.h>

static char words[5000];

static const struct {
    const char *name, *data;
    int64_t n;
} some[] = {{"a/2.txt", words, sizeof words}, {"a/10.txt", "ten", 3}, {"a-b/x.txt", "x", 1}, {"a/.hidden", "h", 1},
            {".git/config", "h", 1}, {"__MACOSX/a/2.txt", "h", 1}, {"top.txt", "", 0}, {"note.md", "no", 2}};
static const char *const in_order[] = {"a/10.txt", "a/2.txt", "a-b/x.txt", "top.txt"};

static int is_text(void *ctx, const char *name)
{
    (void)ctx;
    return strstr(name, ".md") == NULL;
}

static void fill(void)
{
    for (size_t i = 0; i < sizeof words; i++)
        words[i] = (char)('a' + i * i % 7);
}

static const char *as_tar(const char *name, int gzip)
{
    static tar_maker t;
    fill();
    t.n = 0;
    for (size_t i = 0; i < sizeof some / sizeof *some; i++)
        tm_add(&t, some[i].name, some[i].data, (size_t)some[i].n);
    tm_end(&t);
    return gzip ? fx_gzip(name, t.data, t.n) : fx_write(name, t.data, t.n);
}

static const char *as_zip(const char *name, uint32_t wrong)
{
    static zip_maker z;
    fill();
    z = (zip_maker){.n = 0};
    zm_add(&z, "a/", "", 0, 0);
    for (size_t i = 0; i < sizeof some / sizeof *some; i++)
        zm_add(&z, some[i].name, some[i].data, (size_t)some[i].n, some[i].n > 3);
    z.data[z.n - 1] ^= (unsigned char)wrong;
    return zm_write(&z, name, 0, "");
}

static const char *as_folder(const char *name)
{
    static const char *const folders[] = {"a", "a-b", ".git", "__MACOSX", "__MACOSX/a"};
    static char root[128], path[256];
    fill();
    snprintf(root, sizeof root, "%s", fx_path(name));
    cr_assert_eq(mkdir(root, 0700), 0);
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        snprintf(path, sizeof path, "%s/%s", root, folders[i]);
        mkdir(path, 0700);
    }
    for (size_t i = 0; i < sizeof some / sizeof *some; i++) {
        snprintf(path, sizeof path, "%s/%s", name, some[i].name);
        fx_write(path, some[i].data, (size_t)some[i].n);
    }
    return root;
}

static void check(const char *path, char between)
{
    dal_error err = DAL_ERROR_INIT;
    dal_runtime *rt = fx_runtime(1, 0);
    dal_files *f = NULL;
    char got[sizeof words], place[300], want[300];
    cr_assert_eq(dal_files_open(dal_runtime_host(rt, "files"), path, "key", is_text, NULL, &f, &err), DAL_OK, "%s",
                 err.text);
    cr_assert_eq(dal_files_count(f), 4);
    for (int64_t i = 0; i < 4; i++) {
        cr_assert_str_eq(dal_files_name(f, i), in_order[i]);
        cr_assert_eq(dal_files_find(f, in_order[i]), i);
    }
    cr_assert_eq(dal_files_find(f, "a"), -1);
    cr_assert_eq(dal_files_size(f, 1), sizeof words);
    for (int64_t n = 0; n <= (int64_t)sizeof words; n += 1250) {
        cr_assert_eq(dal_files_read(f, 1, got, n, &err), DAL_OK, "%s", err.text);
        cr_assert(memcmp(got, words, (size_t)n) == 0);
    }
    cr_assert_eq(dal_files_read(f, 3, got, 0, &err), DAL_OK, "%s", err.text);
    fx_expect(&err, dal_files_read(f, 0, got, 4, &err), DAL_E_INVALID, "key",
              "4 bytes of 'a/10.txt' were asked for, there are 3");
    dal_files_place(f, 0, place, sizeof place);
    snprintf(want, sizeof want, "%s%ca/10.txt", path, between);
    cr_assert_str_eq(place, want);
    dal_files_close(f);
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
}

static dal_status open_close(const dal_host *host, const char *path, dal_error *err)
{
    dal_files *f = NULL;
    const dal_status st = dal_files_open(host, path, "key", NULL, NULL, &f, err);
    dal_files_close(f);
    return st;
}

static void refuse(const char *path, dal_status want, const char *message)
{
    dal_error err = DAL_ERROR_INIT;
    dal_runtime *rt = fx_runtime(1, 0);
    fx_expect(&err, open_close(dal_runtime_host(rt, "files"), path, &err), want, "key", message);
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
}

Test(files, are_the_same_in_a_folder_and_in_archives)
{
    check(as_folder("folder"), '/');
    check(as_zip("zip", 0), ':');
#ifdef DAL_HAVE_ARCHIVE
    check(as_tar("tar", 0), ':');
    check(as_tar("tar.gz", 1), ':');
#endif
}

Test(files, follows_links_but_not_round_in_circles)
{
    char path[200];
    const char *root = as_folder("folder");
    dal_error err = DAL_ERROR_INIT;
    dal_runtime *rt = fx_runtime(1, 0);
    dal_files *f = NULL;
    snprintf(path, sizeof path, "%s/linked", root);
    cr_assert_eq(symlink("a", path), 0);
    cr_assert_eq(dal_files_open(dal_runtime_host(rt, "files"), root, "key", is_text, NULL, &f, &err), DAL_OK, "%s",
                 err.text);
    cr_assert_geq(dal_files_find(f, "linked/2.txt"), 0);
    dal_files_close(f);
    dal_runtime_free(rt);
    snprintf(path, sizeof path, "%s/a/round", root);
    cr_assert_eq(symlink("..", path), 0);
    refuse(root, DAL_E_FORMAT, "/round: a link that leads back to a folder it lies in");
    unlink(path);
    cr_assert_eq(symlink("round", path), 0);
    refuse(root, DAL_E_IO, "/round: cannot look at it: Too many levels");
    unlink(path);
    cr_assert_eq(symlink("nothing", path), 0);
    refuse(root, DAL_E_IO, "/round: a symbolic link to nothing; remove it");
}

Test(files, tells_when_a_file_has_changed)
{
    dal_error err = DAL_ERROR_INIT;
    dal_runtime *rt = fx_runtime(1, 0);
    dal_files *f = NULL;
    char got[8];
    const char *root = as_folder("folder");
    cr_assert_eq(dal_files_open(dal_runtime_host(rt, "files"), root, "key", is_text, NULL, &f, &err), DAL_OK, "%s",
                 err.text);
    fx_write("folder/a/10.txt", "eleven", 6);
    fx_expect(&err, dal_files_read(f, 0, got, 3, &err), DAL_E_IO, "key",
              "folder/a/10.txt: it has changed: 6 bytes, expected 3");
    dal_files_close(f);
    dal_runtime_free(rt);
}

Test(files, refuses_what_cannot_be_read)
{
    dal_error err = DAL_ERROR_INIT;
    dal_runtime *rt = fx_runtime(1, 0);
    dal_files *f = NULL;
    char got[8];
    refuse("/nowhere/x", DAL_E_NOT_FOUND, "/nowhere/x: cannot open: No such file");
    refuse(fx_text("empty", ""), DAL_E_FORMAT, "empty: there is nothing in it");
    refuse("/dev/null", DAL_E_IO, "/dev/null: found a device or pipe");
    cr_assert_eq(dal_files_open(dal_runtime_host(rt, "files"), as_zip("zip", 1), "key", NULL, NULL, &f, &err), DAL_OK,
                 "%s", err.text);
    const int64_t i = dal_files_find(f, "note.md");
    cr_assert_eq(dal_files_read(f, i, got, 1, &err), DAL_OK);
    fx_expect(&err, dal_files_read(f, i, got, 2, &err), DAL_E_FORMAT, "key", "a wrong checksum of 'note.md'");
    dal_files_close(f);
    dal_runtime_free(rt);
#ifdef DAL_HAVE_ARCHIVE
    static tar_maker t;
    t.n = 0;
    tm_add(&t, "x", "1", 1);
    tm_add(&t, "./x", "2", 1);
    tm_end(&t);
    refuse(fx_write("twice", t.data, t.n), DAL_E_FORMAT, "twice: 'x' is in it twice");
    t.n = 0;
    tm_header(&t, "x", '0', "", (uint64_t)7 << 30);
    tm_end(&t);
    refuse(fx_gzip("lies", t.data, t.n), DAL_E_OVERFLOW, "lies: 'x' is said to have 7516192768 bytes, in a file of");
#endif
}

Test(files, survives_every_failed_allocation)
{
    const char *const paths[] = {as_folder("folder"), as_zip("zip", 0),
#ifdef DAL_HAVE_ARCHIVE
                                 as_tar("tar.gz", 1)
#endif
    };
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        for (int64_t k = 1;; k++) {
            dal_error err = DAL_ERROR_INIT;
            dal_runtime_config config = {.struct_size = sizeof config, .threads = 1, .fail_alloc = k};
            dal_runtime *rt = dal_runtime_new(&config, &err);
            const dal_status st = open_close(dal_runtime_host(rt, "files"), paths[i], &err);
            cr_assert_eq(dal_runtime_allocated(rt), 0);
            dal_runtime_free(rt);
            if (st == DAL_OK) {
                cr_assert_gt(k, 3);
                break;
            }
            cr_assert_eq(st, DAL_E_NOMEM, "%s", err.text);
        }
}
