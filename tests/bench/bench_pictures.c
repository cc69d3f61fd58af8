/* How fast image-folder decodes JPEG: against libjpeg alone, decoding the same pictures in memory on as many threads.
 */
#include "bench.h"

#include "plugins/datasets/image_folder.c"

#include <sys/stat.h>

#ifdef DAL_HAVE_JPEG
#include <jpeglib.h>

enum { PICTURES = 256, REPEATS = 5 };
static const int sides[] = {32, 64, 224};

typedef struct pictures {
    int side;
    unsigned char *data[PICTURES];
    unsigned long size[PICTURES];
    unsigned char *out; /* all pictures, decoded: both ways write as much */
} pictures;

/* Smooth colours with some noise, quality 90. */
static void make_one(pictures *p, int i)
{
    struct jpeg_compress_struct jpeg;
    struct jpeg_error_mgr e;
    dal_rng r = dal_rng_from_key((uint64_t)i);
    unsigned char *row = malloc((size_t)(3 * p->side));
    jpeg.err = jpeg_std_error(&e);
    jpeg_create_compress(&jpeg);
    p->data[i] = NULL;
    jpeg_mem_dest(&jpeg, &p->data[i], &p->size[i]);
    jpeg.image_width = jpeg.image_height = (JDIMENSION)p->side;
    jpeg.input_components = 3;
    jpeg.in_color_space = JCS_RGB;
    jpeg_set_defaults(&jpeg);
    jpeg_set_quality(&jpeg, 90, TRUE);
    jpeg_start_compress(&jpeg, TRUE);
    for (int y = 0; y < p->side; y++) {
        for (int x = 0; x < 3 * p->side; x++)
            row[x] = (unsigned char)(100 + 60 * (x % 3) + (x + y * (i % 5)) * 40 / p->side +
                                     (int)dal_rng_below(&r, 24));
        jpeg_write_scanlines(&jpeg, &row, 1);
    }
    jpeg_finish_compress(&jpeg);
    jpeg_destroy_compress(&jpeg);
    free(row);
}

static dal_status decode_alone(void *ctx, int64_t i)
{
    const pictures *p = ctx;
    struct jpeg_decompress_struct jpeg;
    struct jpeg_error_mgr e;
    unsigned char *all = p->out + i * 3 * p->side * p->side;
    jpeg.err = jpeg_std_error(&e);
    jpeg_create_decompress(&jpeg);
    jpeg_mem_src(&jpeg, p->data[i], p->size[i]);
    jpeg_read_header(&jpeg, TRUE);
    jpeg_start_decompress(&jpeg);
    while (jpeg.output_scanline < jpeg.output_height) {
        unsigned char *row = all + jpeg.output_scanline * 3 * (unsigned)p->side;
        jpeg_read_scanlines(&jpeg, &row, 1);
    }
    jpeg_finish_decompress(&jpeg);
    jpeg_destroy_decompress(&jpeg);
    return DAL_OK;
}

static double alone(dal_runtime *rt, pictures *p)
{
    const dal_host *host = dal_runtime_host(rt, "alone");
    double x[REPEATS];
    for (int i = 0; i < REPEATS; i++) {
        const double start = bench_now();
        host->parallel_for(host, PICTURES, decode_alone, p);
        x[i] = bench_now() - start;
    }
    return bench_median(x, REPEATS);
}

/* All in one batch, from files. */
static double by_loader(dal_runtime *rt, const char *dir, unsigned char *out)
{
    const options o = {.train = dir, .validation = "", .test = "", .level = 1, .only = "", .listing = "",
                       .listing_path = "0", .listing_label = "1", .listing_split = "", .listing_group = ""};
    void *self = NULL;
    dal_error err = DAL_ERROR_INIT;
    dal_dataset_info info = {.struct_size = sizeof info};
    int64_t ids[PICTURES];
    double x[REPEATS];
    if (folder_impl.create(dal_runtime_host(rt, "folder"), &o, NULL, &self, &err) != DAL_OK)
        bench_die(err.text);
    folder_impl.info(self, &info, &err);
    for (int i = 0; i < PICTURES; i++)
        ids[i] = i;
    dal_batch b = {sizeof b, 0, &info.spec, PICTURES, out, NULL, NULL};
    for (int i = 0; i < REPEATS; i++) {
        const double start = bench_now();
        if (folder_impl.read(self, DAL_SPLIT_TRAIN, ids, PICTURES, &b, &err) != DAL_OK)
            bench_die(err.text);
        x[i] = bench_now() - start;
    }
    folder_impl.destroy(self);
    return bench_median(x, REPEATS);
}

static void measure(int side)
{
    static pictures p;
    char dir[64] = "/tmp/bench-pictures-XXXXXX", path[128];
    if (!mkdtemp(dir))
        bench_die(dir);
    p.side = side;
    p.out = calloc(PICTURES * 3, (size_t)(side * side));
    if (!p.out)
        bench_die("no memory");
    for (int i = 0; i < PICTURES; i++) {
        make_one(&p, i);
        snprintf(path, sizeof path, "%s/%03d.jpg", dir, i);
        FILE *f = fopen(path, "wb");
        if (!f || fwrite(p.data[i], 1, p.size[i], f) != p.size[i] || fclose(f) != 0)
            bench_die(path);
    }
    dal_runtime *rt = bench_runtime(0, 0);
    const double raw = alone(rt, &p), loader = by_loader(rt, dir, p.out), mpx = 1e-6 * PICTURES * side * side;
    printf("jpeg side=%d libjpeg_mpx_s=%.0f image_folder_mpx_s=%.0f of_libjpeg=%.2f\n", side, mpx / raw, mpx / loader,
           raw / loader);
    dal_runtime_free(rt);
    for (int i = 0; i < PICTURES; i++) {
        snprintf(path, sizeof path, "%s/%03d.jpg", dir, i);
        unlink(path);
        free(p.data[i]);
    }
    rmdir(dir);
    free(p.out);
}

int main(void)
{
    for (size_t i = 0; i < sizeof sides / sizeof *sides; i++)
        measure(sides[i]);
    return 0;
}
#else
int main(void)
{
    printf("jpeg left_out=no_libjpeg\n");
    return 0;
}
#endif
