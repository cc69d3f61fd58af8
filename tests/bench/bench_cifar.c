/* The first batch of CIFAR-10 in a process of its own: open the files, read 128 samples from all over the pool. Files
 * of 10,000 random samples are made for it, and driven out of the page cache as far as the kernel lets us; the .gz file
 * holds the real ones where there are any, since random bytes do not pack.
 */
#include "bench.h"

#include "plugins/datasets/cifar_binary.c"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/wait.h>

enum { SAMPLES = 10000, BATCH = 128, REPEATS = 9 };

static void make_file(const char *path)
{
    FILE *f = fopen(path, "wb");
    dal_rng r = dal_rng_from_key(1);
    unsigned char record[PIXELS + 1];
    for (int64_t i = 0; f && i < SAMPLES; i++) {
        record[0] = (unsigned char)(i % 10);
        for (int j = 1; j <= PIXELS; j++)
            record[j] = (unsigned char)(dal_rng_u32(&r) & 255);
        if (fwrite(record, 1, sizeof record, f) != sizeof record)
            bench_die(path);
    }
    if (!f || fclose(f) != 0)
        bench_die(path);
}

static void drop_from_cache(const char *path)
{
    const int fd = open(path, O_RDONLY);
    if (fd < 0)
        bench_die(path);
    fsync(fd);
    posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    close(fd);
}

/* Seconds from the beginning of the process to the batch. */
static double first_batch(const char *path, int cold)
{
    double *seconds = mmap(NULL, sizeof *seconds, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (cold)
        drop_from_cache(path);
    const double start = bench_now();
    const pid_t child = fork();
    if (child == 0) {
        static unsigned char batch[BATCH * PIXELS];
        int64_t ids[BATCH];
        dal_runtime *rt = bench_runtime(0, 0);
        const options o = {.train = path, .test = "", .names = ""};
        void *self = NULL;
        dal_error err = DAL_ERROR_INIT;
        dal_dataset_info info = {.struct_size = sizeof info};
        for (int i = 0; i < BATCH; i++)
            ids[i] = i * 77;
        if (cifar_impl.create(dal_runtime_host(rt, "cifar"), &o, NULL, &self, &err) != DAL_OK)
            bench_die(err.text);
        cifar_impl.info(self, &info, &err);
        dal_batch b = {sizeof b, 0, &info.spec, BATCH, batch, NULL, NULL};
        if (cifar_impl.read(self, DAL_SPLIT_TRAIN, ids, BATCH, &b, &err) != DAL_OK)
            bench_die(err.text);
        *seconds = bench_now() - start;
        _exit(0);
    }
    int status;
    if (child < 0 || waitpid(child, &status, 0) < 0 || status != 0)
        bench_die("no first batch");
    const double found = *seconds;
    munmap(seconds, sizeof *seconds);
    return found;
}

static void report(const char *what, const char *path, int cold)
{
    double x[REPEATS];
    for (int i = 0; i < REPEATS; i++)
        x[i] = first_batch(path, cold);
    const double median = bench_median(x, REPEATS);
    printf("first_batch file=%s cache=%s ms=%.1f worst_ms=%.1f\n", what, cold ? "cold" : "warm", 1e3 * median,
           1e3 * x[REPEATS - 1]);
}

int main(void)
{
    char path[1024];
    const char *root = getenv("DAL_DATA_PATH"), *source = getenv("DAL_SRCDIR"), *tmp = getenv("TMPDIR");
    snprintf(path, sizeof path, "%s/bench-cifar-%ld.bin", tmp ? tmp : "/tmp", (long)getpid());
    make_file(path);
    report("bin", path, 1);
    report("bin", path, 0);
    unlink(path);
    if (root)
        snprintf(path, sizeof path, "%s/cifar10/data_batch_1.bin.gz", root);
    else
        snprintf(path, sizeof path, "%s/../shared/data/cifar10/data_batch_1.bin.gz", source ? source : "..");
    if (access(path, R_OK) == 0)
        report("bin.gz", path, 0);
    return 0;
}
