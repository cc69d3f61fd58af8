#include "tests/unit/zip_make.h"

#include <dal/zip.h>

static char words[5000]; /* text that deflates well */

static zip_maker two(void)
{
    zip_maker z = {.n = 0};
    for (size_t i = 0; i < sizeof words; i++)
        words[i] = (char)('a' + i * i % 7);
    zm_add(&z, "stored", "hello", 5, 0);
    zm_add(&z, "deflated", words, sizeof words, 1);
    return z;
}

/* Open, and load one member. */
static dal_status load(dal_runtime *rt, const char *path, const char *member, int64_t limit, dal_error *err)
{
    dal_zip *z = NULL;
    const unsigned char *data;
    int64_t n;
    dal_status st = dal_zip_open(dal_runtime_host(rt, "zip"), path, "key", &z, err);
    if (st == DAL_OK) {
        const int64_t i = dal_zip_find(z, member);
        cr_assert_geq(i, 0);
        st = dal_zip_load(z, i, limit, &data, &n, err);
    }
    dal_zip_close(z);
    return st;
}

static void refuse(const char *path, const char *member, dal_status want, const char *message)
{
    dal_error err = DAL_ERROR_INIT;
    dal_runtime *rt = fx_runtime(1, 0);
    fx_expect(&err, load(rt, path, member, 1 << 20, &err), want, "key", message);
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
}

static void check_two(const char *path)
{
    dal_error err = DAL_ERROR_INIT;
    dal_runtime *rt = fx_runtime(1, 0);
    dal_zip *z = NULL;
    const unsigned char *data, *again;
    int64_t n;
    cr_assert_eq(dal_zip_open(dal_runtime_host(rt, "zip"), path, "key", &z, &err), DAL_OK, "%s", err.text);
    cr_assert_eq(dal_zip_count(z), 2);
    cr_assert_str_eq(dal_zip_name(z, 1), "deflated");
    cr_assert_eq(dal_zip_find(z, "none"), -1);
    for (int turn = 0; turn < 2; turn++) {
        cr_assert_eq(dal_zip_load(z, 1, sizeof words, &data, &n, &err), DAL_OK, "%s", err.text);
        cr_assert_eq(n, sizeof words);
        cr_assert_arr_eq(data, words, sizeof words);
        cr_assert(turn == 0 || data == again, "inflated once");
        again = data;
    }
    cr_assert_eq(dal_zip_load(z, 0, 5, &data, &n, &err), DAL_OK, "%s", err.text);
    cr_assert(n == 5 && memcmp(data, "hello", 5) == 0);
    fx_expect(&err, dal_zip_load(z, 1, 4999, &data, &n, &err), DAL_E_OVERFLOW, "key",
              "'deflated' has 5000 bytes, expected at most 4999");
    dal_zip_close(z);
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
}

Test(zip, reads_stored_and_deflated_members)
{
    zip_maker z = two();
    check_two(zm_write(&z, "plain.zip", 0, ""));
    check_two(zm_write(&z, "comment.zip", 0, "PK\5\6 is how the end of a .zip file begins"));
    check_two(zm_write(&z, "zip64.zip", 1, ""));
}

Test(zip, reads_sizes_from_zip64_extra_fields)
{
    zip_maker z = two();
    /* move both sizes of the last entry into an extra field, behind another one */
    const size_t at = z.n_directory - 46 - strlen("deflated");
    uint64_t packed = 0;
    memcpy(&packed, z.directory + at + 20, 4);
    memset(z.directory + at + 20, 0xff, 8);
    z.directory[at + 30] = 7 + 20;
    zm_put(z.directory, &z.n_directory, 0x5455, 2);
    zm_put(z.directory, &z.n_directory, 3, 2);
    zm_put(z.directory, &z.n_directory, 0, 3);
    zm_put(z.directory, &z.n_directory, 1, 2);
    zm_put(z.directory, &z.n_directory, 16, 2);
    zm_put(z.directory, &z.n_directory, sizeof words, 8);
    zm_put(z.directory, &z.n_directory, packed, 8);
    check_two(zm_write(&z, "extra.zip", 0, ""));
    z.directory[z.n_directory - 18] = 8; /* the field is too short for both */
    refuse(zm_write(&z, "short-extra.zip", 0, ""), "stored", DAL_E_FORMAT,
           "a directory entry without its zip64 sizes at offset");
}

Test(zip, refuses_what_is_no_zip_file)
{
    zip_maker z = two();
    size_t n;
    unsigned char *whole = fx_slurp(zm_write(&z, "good.zip", 0, ""), &n);
    refuse("/nowhere/x", "stored", DAL_E_NOT_FOUND, "/nowhere/x: cannot open");
    refuse(fx_text("words", "no zip file at all, but some words"), "stored", DAL_E_FORMAT,
           "words: is not a .zip file");
    refuse(fx_text("empty", ""), "stored", DAL_E_FORMAT, "empty: is not a .zip file");
    refuse(fx_gzip("packed.zip", whole, n), "stored", DAL_E_FORMAT, "is a packed file, expected a .zip file");
    for (size_t cut = 4; cut < n; cut += 97)
        refuse(fx_write("cut.zip", whole, cut), "stored", DAL_E_FORMAT, "cut.zip: a .zip file that is cut short");
    free(whole);
}

Test(zip, refuses_directories_that_lie)
{
    zip_maker z = two();
    z.members = 3;
    refuse(zm_write(&z, "a", 0, ""), "stored", DAL_E_FORMAT, "an end record that leads nowhere at offset");
    z = two();
    z.directory[46 + strlen("stored")]++;
    refuse(zm_write(&z, "b", 0, ""), "stored", DAL_E_FORMAT, "no directory entry at offset");
    z = two();
    z.directory[28] = 0xff; /* the length of the first name */
    refuse(zm_write(&z, "c", 0, ""), "stored", DAL_E_FORMAT,
           "a directory entry that ends outside of the directory");
    z = two();
    memset(z.directory + 20, 0x7f, 4);
    refuse(zm_write(&z, "d", 0, ""), "stored", DAL_E_FORMAT,
           "a directory entry with sizes beyond the file at offset");
    z = two();
    z.directory[42]++;
    refuse(zm_write(&z, "e", 0, ""), "stored", DAL_E_FORMAT, "no header of 'stored' at offset 1");
    z = two();
}

Test(zip, shows_no_control_characters_in_names)
{
    zip_maker z = two();
    dal_error err = DAL_ERROR_INIT;
    dal_runtime *rt = fx_runtime(1, 0);
    z.directory[46] = '\n';
    cr_assert_eq(load(rt, zm_write(&z, "a", 0, ""), "?tored", 5, &err), DAL_OK, "%s", err.text);
    dal_runtime_free(rt);
}

Test(zip, refuses_members_that_lie)
{
    const size_t second = 46 + strlen("stored");
    zip_maker z = two();
    z.directory[24]++; /* size of the stored one */
    refuse(zm_write(&z, "a", 0, ""), "stored", DAL_E_FORMAT,
           "'stored' is said to have 6 bytes, packed into 5, at offset 0");
    z = two();
    z.directory[16] ^= 1;
    refuse(zm_write(&z, "b", 0, ""), "stored", DAL_E_FORMAT,
           "a wrong checksum of 'stored', which begins at offset 36");
    z = two();
    z.directory[second + 24]--;
    refuse(zm_write(&z, "c", 0, ""), "deflated", DAL_E_FORMAT,
           "'deflated' is not of the 4999 bytes that the directory tells");
    z = two();
    z.directory[second + 24]++;
    refuse(zm_write(&z, "d", 0, ""), "deflated", DAL_E_FORMAT,
           "'deflated' is not of the 5001 bytes that the directory tells");
    z = two();
    z.directory[second + 20] -= 5; /* packed bytes */
    refuse(zm_write(&z, "e", 0, ""), "deflated", DAL_E_FORMAT,
           "damaged data of 'deflated' (the stream is cut short)");
    z = two();
    memset(z.data + z.n - 20, 0xff, 16);
    refuse(zm_write(&z, "f", 0, ""), "deflated", DAL_E_FORMAT, "'deflated'");
    z = two();
    z.directory[second + 8] |= 1;
    refuse(zm_write(&z, "g", 0, ""), "deflated", DAL_E_UNSUPPORTED, "'deflated' is encrypted");
    z = two();
    z.directory[second + 10] = 12;
    refuse(zm_write(&z, "h", 0, ""), "deflated", DAL_E_UNSUPPORTED,
           "'deflated' is packed by method 12, expected 0 (stored) or 8 (deflate)");
    z = two();
    z.directory[second + 27] = 0x7f; /* two gigabytes from a few hundred bytes */
    refuse(zm_write(&z, "i", 0, ""), "deflated", DAL_E_FORMAT, "'deflated' is said to have 21");
}

Test(zip, survives_every_failed_allocation)
{
    zip_maker z = two();
    const char *path = zm_write(&z, "good.zip", 0, "");
    for (int64_t k = 1;; k++) {
        dal_error err = DAL_ERROR_INIT;
        dal_runtime_config config = {.struct_size = sizeof config, .threads = 1, .fail_alloc = k};
        dal_runtime *rt = dal_runtime_new(&config, &err);
        const dal_status st = load(rt, path, "deflated", 1 << 20, &err);
        cr_assert_eq(dal_runtime_allocated(rt), 0);
        dal_runtime_free(rt);
        if (st == DAL_OK) {
            cr_assert_gt(k, 5);
            break;
        }
        cr_assert_eq(st, DAL_E_NOMEM, "%s", err.text);
    }
}
