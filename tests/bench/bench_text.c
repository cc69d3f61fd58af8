/* Text: how fast a table of texts is indexed and read again. The table is made here: AG News'
 * columns, every third text with quotes in it, every tenth with letters beyond ASCII.
 */
#include "bench.h"

#include <sys/resource.h>

#include "plugins/datasets/text_csv.c"

enum { MEGABYTES = 256, REPEATS = 5, BLOCK = 256 };

static int64_t write_table(const char *path)
{
    static const char *const words[] = {"shares", "of", "the", "company", "fell", "after", "a", "report", "on",
                                        "Tuesday", "that", "profits", "were", "lower", "than", "expected", "team",
                                        "wins", "match"};
    dal_rng rng = dal_rng_from_key(1);
    FILE *f = fopen(path, "wb");
    int64_t size = 0;
    if (!f)
        bench_die(path);
    for (int64_t row = 0; size < (int64_t)MEGABYTES << 20; row++) {
        size += fprintf(f, "\"%d\",\"", 1 + (int)dal_rng_below(&rng, 4));
        for (int i = 0; i < 40; i++)
            size += fprintf(f, "%s%s", i == 8 ? "\",\"" : i ? " " : "", words[dal_rng_below(&rng, 19)]);
        size += fprintf(f, "%s%s\"\n", row % 3 ? "" : " \"\"quoted\"\"", row % 10 ? "" : " caf\xc3\xa9");
    }
    if (fclose(f) != 0)
        bench_die("cannot write the table");
    return size;
}

static void *open_table(const dal_host *h, const options *o)
{
    dal_error err = DAL_ERROR_INIT;
    void *self = NULL;
    if (text_csv_impl.create(h, o, NULL, &self, &err) != DAL_OK)
        bench_die(err.text);
    return self;
}

/* Every text once, in blocks. */
static int64_t read_all(void *self)
{
    dal_dataset_info info = {.struct_size = sizeof info};
    int64_t bytes = 0, ids[BLOCK], offsets[BLOCK + 1];
    char *data = malloc(1 << 22);
    text_csv_impl.info(self, &info, NULL);
    for (int64_t first = 0; first < info.n[0]; first += BLOCK) {
        const int64_t n = info.n[0] - first < BLOCK ? info.n[0] - first : BLOCK;
        for (int64_t i = 0; i < n; i++)
            ids[i] = first + i;
        text_csv_impl.sizes(self, 0, ids, n, offsets + 1, NULL);
        offsets[0] = 0;
        for (int64_t i = 0; i < n; i++)
            offsets[i + 1] += offsets[i];
        dal_batch b = {sizeof b, 0, &info.spec, n, data, offsets, NULL};
        if (text_csv_impl.read(self, 0, ids, n, &b, NULL) != DAL_OK)
            bench_die("cannot read the texts");
        bytes += offsets[n];
    }
    free(data);
    return bytes;
}

int main(void)
{
    char path[] = "/tmp/dal-bench-text-XXXXXX";
    const int fd = mkstemp(path);
    double index[REPEATS], read[REPEATS];
    if (fd < 0)
        bench_die(path);
    close(fd);
    const double megabytes = (double)write_table(path) / 1e6;
    dal_runtime *rt = bench_runtime(2, 1);
    const dal_host *h = dal_runtime_host(rt, "text-csv");
    const options o = {.path = path, .validation_path = "", .test_path = "", .delimiter = "comma", .label = "0",
                       .join = " ", .names = "", .group = "", .member = "", .validation_member = "", .test_member = ""};
    for (int i = 0; i < REPEATS; i++) {
        double start = bench_now();
        void *self = open_table(h, &o);
        index[i] = bench_now() - start;
        start = bench_now();
        read_all(self);
        read[i] = bench_now() - start;
        text_csv_impl.destroy(self);
    }
    struct rusage use;
    getrusage(RUSAGE_SELF, &use);
    printf("text_csv_index MB=%.0f threads=1 median_MB_s=%.0f limit_MB_s=300\n", megabytes,
           megabytes / bench_median(index, REPEATS));
    printf("text_csv_read MB=%.0f threads=1 median_MB_s=%.0f\n", megabytes, megabytes / bench_median(read, REPEATS));
    printf("text_csv_memory peak_MB=%ld (the table is mapped: its pages count while they are used)\n",
           use.ru_maxrss / 1024);
    dal_runtime_free(rt);
    unlink(path);
    return 0;
}
