#include "tests/unit/fixture.h"

#include "plugins/datasets/mrc.c"

static options with(const char *path)
{
    return (options){.path = path, .particles = "", .label = "", .label_file = "", .test_path = "",
                     .test_particles = "", .test_label_file = ""};
}

static void refuse(options o, dal_status want, const char *key, const char *words)
{
    fx_refuse(&mrc_impl, &o, want, key, words);
}

/* ---- files ------------------------------------------------------------------------------------- */

typedef struct made {
    int32_t n[3], axis[3], mode, extended;
    int big, stamp;
} made;

static void put(unsigned char *p, uint32_t v, int bytes, int big)
{
    for (int i = 0; i < bytes; i++)
        p[big ? bytes - 1 - i : i] = (unsigned char)(v >> 8 * i);
}

/* A header, `extended` bytes of 0xee, and values: value (x, y, z) is x + 10 y + 100 z - 40, in the order that axis
 * says. */
static const char *map_of(const char *name, const made *m, int64_t cut)
{
    static const int64_t size_of[] = {1, 2, 4, 0, 0, 0, 2, 0, 0, 0, 0, 0, 2};
    static unsigned char out[65536];
    const int64_t bytes = size_of[m->mode];
    memset(out, 0, sizeof out);
    for (int k = 0; k < 3; k++) {
        put(out + 4 * k, (uint32_t)m->n[k], 4, m->big);
        put(out + 64 + 4 * k, (uint32_t)m->axis[k], 4, m->big);
    }
    put(out + 12, (uint32_t)m->mode, 4, m->big);
    put(out + 92, (uint32_t)m->extended, 4, m->big);
    memcpy(out + 208, "MAP ", 4);
    if (m->stamp)
        memcpy(out + 212, m->big ? "\x11\x11" : "DD", 2);
    unsigned char *p = out + 1024;
    memset(p, 0xee, (size_t)m->extended);
    p += m->extended;
    for (int s = 0; s < m->n[2]; s++)
        for (int r = 0; r < m->n[1]; r++)
            for (int c = 0; c < m->n[0]; c++, p += bytes) {
                const int at[3] = {c, r, s};
                int v = m->mode == 6 ? 0 : -40;
                for (int k = 0; k < 3; k++)
                    v += at[k] * (m->axis[k] == 1 ? 1 : m->axis[k] == 2 ? 10 : 100);
                const float x = (float)v;
                uint32_t bits = (uint32_t)v;
                if (m->mode == 2)
                    memcpy(&bits, &x, 4);
                if (m->mode == 12) { /* of 16 or more, exactly */
                    const int a = abs(v), e = a ? 31 - __builtin_clz((unsigned)a) : 0;
                    bits = a ? (uint32_t)(v < 0) << 15 | (uint32_t)(e + 15) << 10 | ((uint32_t)a << (10 - e) & 1023)
                        : 0;
                }
                put(p, bits, (int)bytes, m->big);
            }
    return fx_write(name, out, (size_t)(p - out - cut));
}

static const made plain = {.n = {4, 3, 2}, .axis = {1, 2, 3}, .mode = 2, .stamp = 1};

static fx_dataset open_mrc(dal_runtime *rt, const options *o)
{
    return fx_open(&mrc_impl, dal_runtime_host(rt, "mrc"), o, NULL);
}

static void close_mrc(dal_runtime *rt, fx_dataset *d)
{
    mrc_impl.destroy(d->self);
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
}

/* ---- maps -------------------------------------------------------------------------------------- */

Test(mrc, reads_every_mode_byte_order_and_order_of_axes)
{
    static const int32_t orders[][3] = {{1, 2, 3}, {1, 3, 2}, {2, 1, 3}, {2, 3, 1}, {3, 1, 2}, {3, 2, 1}};
    static const int32_t modes[] = {0, 1, 2, 6, 12};
    for (int m = 0; m < 5; m++)
        for (int big = 0; big < 2; big++)
            for (int a = 0; a < 6; a++) {
                made f = {.mode = modes[m], .big = big, .extended = 80 * (a % 2), .stamp = a != 3};
                const int32_t size[] = {4, 3, 2}; /* along x, y, z */
                for (int k = 0; k < 3; k++) {
                    f.axis[k] = orders[a][k];
                    f.n[k] = size[f.axis[k] - 1];
                }
                dal_runtime *rt = fx_runtime(1, 0);
                const options o = with(map_of("a.map", &f, 0));
                fx_dataset d = open_mrc(rt, &o);
                float x[12];
                cr_assert(d.info.n[0] == 2 && d.info.spec.modality == DAL_IMAGE && d.info.spec.n_classes == 0);
                cr_assert_arr_eq(d.info.spec.shape, ((int64_t[]){1, 3, 4}), 3 * sizeof(int64_t));
                for (int64_t z = 0; z < 2; z++) {
                    fx_read(&d, DAL_SPLIT_TRAIN, &z, 1, x);
                    for (int i = 0; i < 12; i++)
                        cr_assert_eq((int)x[i], i % 4 + 10 * (i / 4) + 100 * (int)z - (f.mode == 6 ? 0 : 40) -
                                                    (f.mode == 0 && i % 4 + 10 * (i / 4) + 100 * z - 40 > 127 ? 256
                                                     : 0),
                                     "mode %d, big %d, order %d: value %d of %lld is %g", f.mode, big, a, i,
                                     (long long)z, (double)x[i]);
                }
                close_mrc(rt, &d);
            }
}

Test(mrc, knows_halves)
{
    static const uint32_t bits[] = {0x3c00, 0xc000, 0x7bff, 0x0001, 0x8400};
    static const float values[] = {1, -2, 65504, 0x1p-24f, -0x1p-14f};
    const made f = {.n = {5, 1, 1}, .axis = {1, 2, 3}, .mode = 12, .stamp = 1};
    size_t n;
    unsigned char *bytes = fx_slurp(map_of("a", &f, 0), &n);
    for (int i = 0; i < 5; i++)
        put(bytes + 1024 + 2 * i, bits[i], 2, 0);
    const options o = with(fx_write("b", bytes, n));
    dal_runtime *rt = fx_runtime(1, 0);
    fx_dataset d = open_mrc(rt, &o);
    float x[5];
    fx_read(&d, 0, (const int64_t[]){0}, 1, x);
    cr_assert_arr_eq(x, values, sizeof x);
    free(bytes);
    close_mrc(rt, &d);
}

Test(mrc, takes_labels_from_the_lines_of_a_file)
{
    options o = with(map_of("a.mrcs", &plain, 0));
    o.label_file = fx_text("labels", "ribosome\n\n");
    o.test_path = o.path;
    o.test_label_file = fx_text("more", "virus\n?");
    dal_runtime *rt = fx_runtime(1, 0);
    fx_dataset d = open_mrc(rt, &o);
    char name[32];
    cr_assert(d.info.spec.n_classes == 2 && d.info.n[DAL_SPLIT_TEST] == 2);
    cr_assert_eq(fx_class(&d, DAL_SPLIT_TRAIN, 0), 0);
    cr_assert_eq(fx_class(&d, DAL_SPLIT_TRAIN, 1), DAL_LABEL_NONE);
    cr_assert_eq(fx_class(&d, DAL_SPLIT_TEST, 0), 1);
    cr_assert_eq(fx_class(&d, DAL_SPLIT_TEST, 1), DAL_LABEL_NONE);
    mrc_impl.describe(d.self, DAL_SPLIT_TEST, 1, name, sizeof name);
    cr_assert_str_eq(name, "a.mrcs 2");
    close_mrc(rt, &d);
    o.label_file = fx_text("few", "a\n");
    refuse(o, DAL_E_FORMAT, "label_file", ": found 1 lines of labels, expected one for each of 2 samples");
    o.label_file = fx_text("many", "a\nb\n\nc\n");
    refuse(o, DAL_E_FORMAT, "label_file", ":4: more labels than the 2 samples");
    o.label_file = fx_text("range", "0\n7\n");
    o.labels = DAL_LABELS_FROM1;
    refuse(o, DAL_E_FORMAT, "label_file", ":1: label '0', expected 1..");
}

/* ---- particles --------------------------------------------------------------------------------- */

/* micrograph.mrc: 20 x 10, value x + 10 y - 40 */
static const char *micrograph(void)
{
    const made f = {.n = {20, 10, 1}, .axis = {1, 2, 3}, .mode = 1, .stamp = 1};
    return map_of("mic.mrc", &f, 0);
}

#define STAR                                                                                          \
    "# version 30001\n\ndata_optics\n\nloop_\n_rlnOpticsGroup #1\n1\n\ndata_particles\n\nloop_\n"      \
    "_rlnCoordinateX #1\n_rlnCoordinateY #2\n_rlnMicrographName #3\n_rlnClassNumber #4\n"

Test(mrc, cuts_boxes_round_the_coordinates_of_a_star_file)
{
    options o = with(micrograph());
    o.particles = fx_text("p.star",
                          STAR "  4.4 3.0 Micrographs/mic.mrc 2\n\n17.5 5 mic.mrc 10 # late\n1 1 'other mic.mrc' 2\n");
    o.label = "rlnClassNumber";
    o.box = 4;
    dal_runtime *rt = fx_runtime(1, 0);
    fx_dataset d = open_mrc(rt, &o);
    float x[16];
    char name[32];
    cr_assert_eq(d.info.n[0], 2);
    cr_assert_arr_eq(d.info.spec.shape, ((int64_t[]){1, 4, 4}), 3 * sizeof(int64_t));
    cr_assert(d.info.spec.n_classes == 2 && strcmp(d.info.class_names[1], "10") == 0);
    cr_assert(fx_class(&d, 0, 0) == 0 && fx_class(&d, 0, 1) == 1);
    for (int64_t k = 0; k < 2; k++) {
        fx_read(&d, DAL_SPLIT_TRAIN, &k, 1, x);
        const int x0 = k ? 16 : 2, y0 = k ? 3 : 1; /* the middle, 4,3 and 18,5, is value 2,2 of the box */
        for (int i = 0; i < 16; i++)
            cr_assert_eq((int)x[i], x0 + i % 4 + 10 * (y0 + i / 4) - 40);
    }
    mrc_impl.describe(d.self, 0, 1, name, sizeof name);
    cr_assert_str_eq(name, "mic.mrc at 16,3");
    close_mrc(rt, &d);
    o.box = 6;
    refuse(o, DAL_E_FORMAT, "particles",
           ":18: a box of 6 from 15, 2 on is not inside mic.mrc, which is 20 x 10; edge: skip");
    o.edge = EDGE_SKIP;
    rt = fx_runtime(1, 0);
    d = open_mrc(rt, &o);
    cr_assert_eq(d.info.n[0], 1);
    close_mrc(rt, &d);
    o.box = 12;
    refuse(o, DAL_E_FORMAT, "particles", ": none of 3 particles is a sample");
    o.box = 0;
    refuse(o, DAL_E_FORMAT, "particles",
           ": there is no column _rlnImageName; for boxes of a micrograph say the side with box");
    o.label = "rlnKlass";
    o.box = 4;
    refuse(o, DAL_E_INVALID, "label", "there is no column 'rlnKlass' in ");
}

Test(mrc, takes_the_images_that_a_star_file_names_below_a_folder)
{
    char folder[128];
    snprintf(folder, sizeof folder, "%s", map_of("stack.mrcs", &plain, 0));
    *strrchr(folder, '/') = '\0';
    options o = with(folder);
    refuse(o, DAL_E_INVALID, "particles", " is a folder: a STAR file has to say what is in it");
    o.particles = fx_text("p.star",
                          "data_\nloop_\n_rlnImageName\n_rlnKind\n000002@stack.mrcs 'a b'\n1@./stack.mrcs "
                          "?\nstack.mrcs c\n");
    o.label = "_rlnKind";
    dal_runtime *rt = fx_runtime(1, 0);
    fx_dataset d = open_mrc(rt, &o);
    float x[12];
    cr_assert(d.info.n[0] == 3 && d.info.spec.n_classes == 2 && strcmp(d.info.class_names[0], "a b") == 0);
    cr_assert_eq(fx_class(&d, 0, 1), DAL_LABEL_NONE);
    fx_read(&d, 0, (const int64_t[]){0}, 1, x);
    cr_assert_eq((int)x[5], 1 + 10 + 100 - 40);
    fx_read(&d, 0, (const int64_t[]){2}, 1, x);
    cr_assert_eq((int)x[5], 1 + 10 - 40);
    close_mrc(rt, &d);
    static const struct {
        const char *text, *words;
    } cases[] = {
        {"", ": found no table with a column _rlnImageName or _rlnCoordinateX"},
        {"loop_\n_rlnImageName\n", ": none of 0 particles is a sample"},
        {"loop_\n_rlnImageName\n_b\n1@stack.mrcs\n", ":4:1: found 1 values, expected 2"},
        {"loop_\n_rlnImageName\n_b\n1@stack.mrcs 'a\n", ":4:14: this quote is never closed"},
        {"loop_\n_rlnImageName\n3@stack.mrcs\n", ":3:1: section 3 of stack.mrcs, which has 2"},
        {"loop_\n_rlnImageName\n0@stack.mrcs\n", ":3:1: expected the number of a section before @"},
        {"loop_\n_rlnImageName\n1@../stack.mrcs\n", ":3:1: '../stack.mrcs' leads out of the folder"},
        {"loop_\n_rlnImageName\n1@a/../../stack.mrcs\n", ":3:1: 'a/../../stack.mrcs' leads out of the folder"},
        {"loop_\n_rlnImageName\n1@/etc/passwd\n", ":3:1: '/etc/passwd' leads out of the folder"},
        {"loop_\n_rlnImageName\n1@\033[2J\n", ":3:1: expected the name of a file"},
        {"loop_\n_rlnImageName\n1@p.star\n", "p.star: truncated: "},
    };
    o.label = "";
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        o.particles = fx_text("p.star", cases[i].text);
        refuse(o, DAL_E_FORMAT, "particles", cases[i].words);
    }
    o.particles = fx_text("p.star", "loop_\n_rlnImageName\n1@none.mrcs\n");
    refuse(o, DAL_E_NOT_FOUND, "particles", "/none.mrcs: cannot open");
}

Test(mrc, cuts_the_boxes_of_a_box_file)
{
    options o = with(micrograph());
    o.particles = fx_text("p.box", "2\t1\t4\t4\n\n16 6 4 4 -3\n");
    o.label_file = fx_text("labels", "good\nbad\n");
    dal_runtime *rt = fx_runtime(1, 0);
    fx_dataset d = open_mrc(rt, &o);
    float x[16];
    cr_assert_eq(d.info.n[0], 2);
    cr_assert(fx_class(&d, 0, 0) == 1 && fx_class(&d, 0, 1) == 0);
    fx_read(&d, 0, (const int64_t[]){1}, 1, x);
    cr_assert_eq((int)x[0], 16 + 60 - 40);
    cr_assert_eq((int)x[15], 19 + 90 - 40);
    close_mrc(rt, &d);
    o.box = 2; /* round the same middle */
    rt = fx_runtime(1, 0);
    d = open_mrc(rt, &o);
    fx_read(&d, 0, (const int64_t[]){0}, 1, x);
    cr_assert_eq((int)x[0], 3 + 20 - 40);
    close_mrc(rt, &d);
    o.box = 6;
    o.edge = EDGE_SKIP; /* the first stays, and so does its label */
    rt = fx_runtime(1, 0);
    d = open_mrc(rt, &o);
    cr_assert_eq(d.info.n[0], 1);
    cr_assert_str_eq(d.info.class_names[fx_class(&d, 0, 0)], "good");
    close_mrc(rt, &d);
    o = with(o.path);
    o.particles = fx_text("q.box", "2 1 4\n");
    refuse(o, DAL_E_FORMAT, "particles", ":1:1: found 3 numbers, expected x, y, width and height");
    o.particles = fx_text("q.box", "2 1 4 5\n");
    refuse(o, DAL_E_FORMAT, "particles", ":1:5: a box of 4 x 5, expected a square");
    o.particles = fx_text("q.box", "2 1 4 4\n2 1 2 2\n");
    refuse(o, DAL_E_FORMAT, "path", ": images of 2 x 2, others have 4 x 4");
    o.label = "x";
    refuse(o, DAL_E_INVALID, "label", "a .box file has no classes");
    o = with(map_of("s.mrcs", &plain, 0));
    o.particles = fx_text("q.box", "0 0 2 2\n");
    refuse(o, DAL_E_FORMAT, "path", ": 2 sections, expected a micrograph of one");
    o.particles = "";
    o.box = 4;
    refuse(o, DAL_E_INVALID, "box", "this is about particles, and there is no file of them");
}

/* ---- hostile files ----------------------------------------------------------------------------- */

Test(mrc, refuses_headers_that_promise_what_is_not_there)
{
    made f = plain;
    refuse(with(map_of("a", &f, 1)), DAL_E_FORMAT, "path",
           ": truncated at offset 1119: the header says 4 x 3 x 2 values of mode 2, which is 1120 bytes in all");
    refuse(with(fx_text("b", "short")), DAL_E_FORMAT, "path",
           ": truncated: 5 bytes, an MRC file has 1024 of header alone");
    static unsigned char zeros[2000];
    refuse(with(fx_write("c", zeros, sizeof zeros)), DAL_E_FORMAT, "path", ": found no MAP at offset 208");
    size_t n;
    unsigned char *good = fx_slurp(map_of("a", &f, 0), &n);
    static const struct {
        int at;
        uint32_t value;
        dal_status st;
        const char *words;
    } cases[] = {
        {0, 0, DAL_E_FORMAT, ": the header says 0 x 3 x 2 values, expected at least one"},
        {4, 0x80000000u, DAL_E_FORMAT, ": the header says 4 x -2147483648 x 2 values"},
        {8, 0x7fffffff, DAL_E_FORMAT, ": truncated at offset 1120: the header says 4 x 3 x 2147483647 values"},
        {12, 3, DAL_E_FORMAT, ": values of mode 3, expected 0 (int8)"},
        {12, 0xffffffffu, DAL_E_FORMAT, ": values of mode -1, expected"},
        {64, 2, DAL_E_FORMAT, ": MAPC, MAPR, MAPS at offset 64 are 2, 2, 3"},
        {68, 4, DAL_E_FORMAT, ": MAPC, MAPR, MAPS at offset 64 are 1, 4, 3"},
        {92, 97, DAL_E_FORMAT, ": the extended header is said to have 97 bytes, in a file of 1120"},
        {92, 0xffffff00u, DAL_E_FORMAT, ": the extended header is said to have -256 bytes"},
        {92, 8, DAL_E_FORMAT, ": truncated at offset 1120"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        unsigned char *bad = malloc(n);
        memcpy(bad, good, n);
        put(bad + cases[i].at, cases[i].value, 4, 0);
        refuse(with(fx_write("bad", bad, n)), cases[i].st, "path", cases[i].words);
        free(bad);
    }
    for (int k = 0; k < 3; k++)
        put(good + 4 * k, 0x7fffffff, 4, 0);
    refuse(with(fx_write("huge", good, n)), DAL_E_OVERFLOW, "path", "which is too many");
    free(good);
    refuse(with("/nowhere"), DAL_E_NOT_FOUND, "path", "/nowhere: cannot open");
}

Test(mrc, says_where_a_value_is_not_finite)
{
    size_t n;
    unsigned char *bytes = fx_slurp(map_of("a", &plain, 0), &n);
    put(bytes + 1024 + 4 * (12 + 6), 0x7f800000, 4, 0);
    const options o = with(fx_write("b", bytes, n));
    dal_runtime *rt = fx_runtime(1, 0);
    fx_dataset d = open_mrc(rt, &o);
    dal_error err = DAL_ERROR_INIT;
    float x[12];
    dal_batch b = {sizeof b, 0, &d.info.spec, 1, x, NULL, NULL};
    fx_read(&d, 0, (const int64_t[]){0}, 1, x);
    fx_expect(&err, mrc_impl.read(d.self, 0, (const int64_t[]){1}, 1, &b, &err), DAL_E_FORMAT, "path",
              ": the value at x 2, y 1, z 1 is not finite");
    free(bytes);
    close_mrc(rt, &d);
}

Test(mrc, survives_every_failed_allocation)
{
    options o = with(micrograph());
    o.particles = fx_text("p.star", STAR "4 3 mic.mrc 2\n7 5 mic.mrc 10\n");
    o.box = 4;
    o.label_file = fx_text("labels", "a\nb\n");
    for (int64_t k = 1;; k++) {
        dal_error err = DAL_ERROR_INIT;
        void *self = NULL;
        dal_runtime_config config = {.struct_size = sizeof config, .threads = 1, .fail_alloc = k};
        dal_runtime *rt = dal_runtime_new(&config, &err);
        const dal_status st = mrc_impl.create(dal_runtime_host(rt, "mrc"), &o, NULL, &self, &err);
        mrc_impl.destroy(self);
        cr_assert_eq(dal_runtime_allocated(rt), 0);
        dal_runtime_free(rt);
        if (st == DAL_OK) {
            cr_assert_gt(k, 12);
            break;
        }
        cr_assert_eq(st, DAL_E_NOMEM, "%s", err.text);
    }
}
