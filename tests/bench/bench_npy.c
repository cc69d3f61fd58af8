/* A pool of ten million rows in a .npy file: how soon it is open, how fast it streams through the loader beside plain
 * copies out of the same pages, and how much memory of its own that takes. The file (1.3 GB, and 80 MB of labels) is
 * made first and deleted at the end; it stays in the page cache, so what is measured is the loader and not the disk.
 */
#include "bench.h"

#include "plugins/datasets/npy.c"

#include <fcntl.h>
#include <sys/mman.h>

enum { ROWS = 10000000, COLS = 32, BLOCK = 4096, REPEATS = 5 };

static void must(dal_status st, const dal_error *err)
{
    if (st != DAL_OK)
        bench_die(err->text);
}

static void make_files(const char *x_path, const char *y_path)
{
    static float x[BLOCK * COLS];
    static int64_t y[BLOCK];
    dal_error err = DAL_ERROR_INIT;
    dal_npy_writer *xs, *ys;
    must(dal_npy_writer_open(x_path, DAL_NPY_F32, 2, (const int64_t[]){ROWS, COLS}, &xs, &err), &err);
    must(dal_npy_writer_open(y_path, DAL_NPY_I64, 1, (const int64_t[]){ROWS}, &ys, &err), &err);
    for (int64_t first = 0; first < ROWS; first += BLOCK) {
        const int64_t n = ROWS - first < BLOCK ? ROWS - first : BLOCK;
        for (int64_t i = 0; i < n * COLS; i++)
            x[i] = (float)((first + i) % 1000);
        for (int64_t i = 0; i < n; i++)
            y[i] = (first + i) % 10;
        must(dal_npy_writer_append(xs, x, n * COLS * (int64_t)sizeof *x, &err), &err);
        must(dal_npy_writer_append(ys, y, n * (int64_t)sizeof *y, &err), &err);
    }
    must(dal_npy_writer_close(xs, 0, &err), &err);
    must(dal_npy_writer_close(ys, 0, &err), &err);
}

/* Anonymous memory of this process at its largest so far would need a sampler; what it holds now does, for nothing is
 * given back between. */
static long own_kib(void)
{
    char line[256];
    long kib = 0;
    FILE *f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "RssAnon: %ld kB", &kib) == 1)
            break;
    if (f)
        fclose(f);
    return kib;
}

/* ---- block by block, through the loader or by plain copies ---------------------------------------- */

typedef struct stream {
    void *loader;      /* or NULL: copy from plain */
    const float *plain;
    dal_sample_spec spec;
} stream;

static dal_status read_one(void *ctx, int64_t block)
{
    static _Thread_local float out[BLOCK * COLS];
    static _Thread_local int64_t ids[BLOCK];
    const stream *s = ctx;
    const int64_t first = block * BLOCK, n = ROWS - first < BLOCK ? ROWS - first : BLOCK;
    dal_error err = DAL_ERROR_INIT;
    if (!s->loader) {
        memcpy(out, s->plain + first * COLS, (size_t)(n * COLS) * sizeof *out);
        __asm__ volatile("" ::"r"(out) : "memory");
        return DAL_OK;
    }
    for (int64_t i = 0; i < n; i++)
        ids[i] = first + i;
    dal_batch b = {sizeof b, 0, &s->spec, n, out, NULL, NULL};
    must(npy_impl.read(s->loader, DAL_SPLIT_TRAIN, ids, n, &b, &err), &err);
    return DAL_OK;
}

static double gb_s(const dal_host *host, stream *s)
{
    double x[REPEATS];
    for (int i = 0; i < REPEATS; i++) {
        const double start = bench_now();
        host->parallel_for(host, (ROWS + BLOCK - 1) / BLOCK, read_one, s);
        x[i] = bench_now() - start;
    }
    return 1e-9 * ROWS * COLS * sizeof(float) / bench_median(x, REPEATS);
}

static const float *map_file(const char *path, size_t *size)
{
    const int fd = open(path, O_RDONLY);
    const off_t end = fd < 0 ? -1 : lseek(fd, 0, SEEK_END);
    if (end < 0)
        bench_die(path);
    *size = (size_t)end;
    const char *p = mmap(NULL, *size, PROT_READ, MAP_SHARED, fd, 0);
    if (p == MAP_FAILED)
        bench_die(path);
    close(fd);
    return (const float *)(p + *size - (size_t)ROWS * COLS * sizeof(float));
}

static void measure(dal_runtime *rt, const char *x_path, const char *y_path)
{
    const dal_host *host = dal_runtime_host(rt, "npy");
    const options o = {.train_x = x_path, .train_y = y_path, .test_x = "", .test_y = ""};
    dal_error err = DAL_ERROR_INIT;
    dal_dataset_info info = {.struct_size = sizeof info};
    size_t size;
    stream s = {.loader = NULL};
    const long before = own_kib();
    const double start = bench_now();
    must(npy_impl.create(host, &o, NULL, &s.loader, &err), &err);
    must(npy_impl.info(s.loader, &info, &err), &err);
    const double opened = bench_now() - start;
    s.spec = info.spec;
    const double loader = gb_s(host, &s);
    const long after = own_kib();
    stream plain = {.plain = map_file(x_path, &size)};
    const double copy = gb_s(host, &plain);
    printf("npy_pool rows=%d cols=%d open_ms=%.1f gb_s=%.1f copy_gb_s=%.1f of_copy=%.2f own_mib=%.0f labels_mib=%.0f\n",
           ROWS, COLS, 1e3 * opened, loader, copy, loader / copy, (double)(after - before) / 1024,
           ROWS * sizeof(int32_t) / 1048576.0);
    npy_impl.destroy(s.loader);
}

int main(void)
{
    const char *tmp = getenv("TMPDIR");
    char dir[512], x_path[600], y_path[600];
    snprintf(dir, sizeof dir, "%s/bench-npy-XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(dir))
        bench_die(dir);
    snprintf(x_path, sizeof x_path, "%s/x.npy", dir);
    snprintf(y_path, sizeof y_path, "%s/y.npy", dir);
    make_files(x_path, y_path);
    dal_runtime *rt = bench_runtime(0, 0);
    measure(rt, x_path, y_path);
    dal_runtime_free(rt);
    unlink(x_path);
    unlink(y_path);
    rmdir(dir);
    return 0;
}
