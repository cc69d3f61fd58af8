#include "tests/unit/tar_make.h"
#include "tests/unit/texts.h"

#include "plugins/datasets/text_folder.c"

static const char *const unsup[] = {"unsup"};

static options with(const char *path)
{
    return (options){.path = path, .train = "", .validation = "", .test = "", .suffix = "", .unlabelled = {unsup, 1}};
}

static void refuse(options o, dal_status want, const char *key, const char *words)
{
    fx_refuse(&text_folder_impl, &o, want, key, words);
}

static const char *split_text(options o, uint32_t split)
{
    return fx_split_of(&text_folder_impl, &o, split);
}

/* Names and contents, by turns, as files below a folder. */
static const char *folder(const char *name, const char *const *files)
{
    const char *root = fx_path(name);
    mkdir(root, 0700);
    for (; files[0]; files += 2) {
        char path[512];
        snprintf(path, sizeof path, "%s/%s", root, files[0]);
        for (char *p = path + strlen(root) + 1; (p = strchr(p, '/')); *p++ = '/') {
            *p = '\0';
            mkdir(path, 0700);
        }
        FILE *f = fopen(path, "w");
        cr_assert(f && fputs(files[1], f) >= 0 && fclose(f) == 0);
    }
    return root;
}

static const char *tar(const char *name, const char *const *files)
{
    static tar_maker t;
    t.n = 0;
    for (; files[0]; files += 2)
        tm_add(&t, files[0], files[1], strlen(files[1]));
    tm_end(&t);
    return fx_gzip(name, t.data, t.n);
}

static const char *const imdb[] = {"aclImdb/README", "about", "aclImdb/train/urls_pos.txt", "http",
                                   "aclImdb/train/pos/1_9.txt", "good", "aclImdb/train/pos/0_8.txt", "fine",
                                   "aclImdb/test/neg/0_2.txt", "bad", "aclImdb/train/neg/0_3.txt", "dull",
                                   "aclImdb/test/pos/0_9.txt", "", "aclImdb/train/unsup/0_0.txt", "unseen", NULL};

static void check_imdb(const char *path)
{
    options o = with(path);
    char name[64];
    cr_assert_str_eq(split_text(o, DAL_SPLIT_TRAIN), "neg:dull|pos:fine|pos:good|-:unseen");
    cr_assert_str_eq(split_text(o, DAL_SPLIT_TEST), "neg:bad|pos:");
    dal_runtime *rt = fx_runtime(1, 0);
    fx_dataset d = fx_open(&text_folder_impl, dal_runtime_host(rt, "t"), &o, NULL);
    text_folder_impl.describe(d.self, DAL_SPLIT_TRAIN, 2, name, sizeof name);
    cr_assert_str_eq(name, "train/pos/1_9.txt");
    text_folder_impl.destroy(d.self);
    dal_runtime_free(rt);
}

Test(text_folder, reads_folders_of_splits_and_classes)
{
    check_imdb(folder("imdb", imdb));
}

/* A build without libarchive has no archives to read. */
static int has_archives(void)
{
    dal_error err = DAL_ERROR_INIT;
    int is;
    dal_runtime *rt = fx_runtime(1, 0);
    const dal_status st = dal_archive_probe(dal_runtime_host(rt, "t"), fx_text("probe", "x"), "path", &is, &err);
    dal_runtime_free(rt);
    return st != DAL_E_UNSUPPORTED;
}

Test(text_folder, reads_the_same_from_an_archive)
{
    if (has_archives())
        check_imdb(tar("imdb.tar.gz", imdb));
}

Test(text_folder, tells_splits_by_names_or_has_one_pool)
{
    static const char *const news[] = {"20news-bydate-train/sci.med/2", "b", "20news-bydate-train/alt.atheism/1", "a",
                                       "20news-bydate-test/sci.med/3", "c", NULL};
    static const char *const plain[] = {"cat/1.txt", "a", "dog/1.txt", "b", "dog/notes.md", "c", ".hidden/x", "d",
                                        "top", "e", NULL};
    static const char *const own[] = {"part1/cat/1", "a", "part2/cat/1", "b", "part3/cat/1", "c", NULL};
    static const char *const order[] = {"dog", "cat"};
    cr_assert_str_eq(split_text(with(folder("news", news)), DAL_SPLIT_TRAIN), "alt.atheism:a|sci.med:b");
    cr_assert_str_eq(split_text(with(folder("news", news)), DAL_SPLIT_TEST), "sci.med:c");
    options o = with(folder("plain", plain));
    cr_assert_str_eq(split_text(o, DAL_SPLIT_TRAIN), "cat:a|dog:b|dog:c");
    o.suffix = ".txt";
    o.class_names = (dal_str_list){order, 2};
    cr_assert_str_eq(split_text(o, DAL_SPLIT_TRAIN), "cat:a|dog:b");
    dal_runtime *rt = fx_runtime(1, 0);
    fx_dataset d = fx_open(&text_folder_impl, dal_runtime_host(rt, "t"), &o, NULL);
    cr_assert_eq(fx_class(&d, DAL_SPLIT_TRAIN, 0), 1, "cat is the second name");
    text_folder_impl.destroy(d.self);
    dal_runtime_free(rt);
    o = with(folder("own", own));
    o.train = "part2";
    o.test = "part1";
    cr_assert_str_eq(split_text(o, DAL_SPLIT_TRAIN), "cat:b");
    cr_assert_str_eq(split_text(o, DAL_SPLIT_TEST), "cat:a");
}

/* By hand from the lines of scikit-learn's strip_newsgroup_header, _quoting and _footer. */
Test(text_folder, strips_mail_as_scikit_learn_does)
{
    static const char *const mail[] =
        {"a/1", "From: x\nSubject: y\n\nIn article <1>:\n> old\nnew\nJoe writes:\nmore\n---\nJoe\n", NULL};
    static const char *const bare[] = {"a/1", "one line\nanother", NULL};
    options o = with(folder("mail", mail));
    o.strip_headers = 1;
    cr_assert_str_eq(split_text(o, DAL_SPLIT_TRAIN), "a:In article <1>:\n> old\nnew\nJoe writes:\nmore\n---\nJoe\n");
    o.strip_quotes = 1;
    cr_assert_str_eq(split_text(o, DAL_SPLIT_TRAIN), "a:new\nmore\n---\nJoe\n");
    o.strip_footers = 1;
    cr_assert_str_eq(split_text(o, DAL_SPLIT_TRAIN), "a:new\nmore");
    o.path = folder("bare", bare);
    cr_assert_str_eq(split_text(o, DAL_SPLIT_TRAIN), "a:one line\nanother");
}

Test(text_folder, refuses_what_has_no_texts)
{
    static const char *const none[] = {"top", "x", NULL}, *const latin[] = {"a/1", "ok\ncaf\xe9\n", NULL};
    refuse(with(folder("none", none)), DAL_E_FORMAT, "path", "found no texts for the pool");
    refuse(with("/nowhere/at/all"), DAL_E_NOT_FOUND, "path", "no such file or folder");
    options o = with(folder("latin", latin));
    refuse(o, DAL_E_FORMAT, "path", "a/1:2: byte 0xe9 is no UTF-8");
    o.encoding = DAL_LATIN1;
    cr_assert_str_eq(split_text(o, DAL_SPLIT_TRAIN), "a:ok\ncaf\xc3\xa9\n");
    o.class_names = (dal_str_list){unsup, 1};
    refuse(o, DAL_E_FORMAT, "path", "label 'a' is the name of no class");
    o = with(folder("imdb", imdb));
    o.test = "aclImdb/test";
    refuse(o, DAL_E_INVALID, "test", "no text lies in a folder of a folder called 'aclImdb/test'");
    if (!has_archives())
        return;
    refuse(with(fx_text("no.tar.gz", "just a text")), DAL_E_FORMAT, "path", "no.tar.gz");
}

Test(text_folder, does_not_read_a_file_of_40_gigabytes)
{
    static const char *const few[] = {"a/1", "x", NULL};
    char path[512];
    const char *root = folder("big", few);
    snprintf(path, sizeof path, "%s/a/2", root);
    cr_assert_eq(close(open(path, O_CREAT | O_WRONLY, 0600)), 0);
    cr_assert_eq(truncate(path, (off_t)40 << 30), 0);
    refuse(with(root), DAL_E_FORMAT, "path", "a/2: a text of 42949672960 bytes");
    cr_assert_eq(unlink(path), 0);
}
