#include <dal/runtime.h>

#include "pool.h"

#include <cblas.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* Address space a thread may take: a buffer of OpenBLAS, a heap of malloc; and what else a run needs. */
#define THREAD_SPACE ((size_t)(128 + 64) << 20)
#define OTHER_SPACE ((size_t)64 << 20)

#define MAX_THREADS 4096

/* The services of one component: the table, and who it is for. */
typedef struct component_host {
    dal_host table;
    dal_runtime *rt;
    char *component;
    struct component_host *next;
} component_host;

struct dal_runtime {
    dal_runtime_config config;
    char *temp_dir;
    pool *threads;
    component_host *hosts;
    pthread_mutex_t voice; /* log and progress, one at a time */
    atomic_int_least64_t allocated, most;
    atomic_int_least64_t fail_alloc;
};

static const component_host *self_of(const dal_host *h)
{
    return h->impl;
}

static dal_runtime *runtime_of(const dal_host *h)
{
    return self_of(h)->rt;
}

/* ---- log, progress, cancellation -------------------------------------------------------------- */

static void log_line(const dal_host *h, uint32_t level, const char *text)
{
    dal_runtime *rt = runtime_of(h);
    const char *component = self_of(h)->component;
    pthread_mutex_lock(&rt->voice);
    if (rt->config.log)
        rt->config.log(rt->config.ctx, component, level, text);
    else if (level >= DAL_LOG_WARNING)
        fprintf(stderr, "%s: %s: %s\n", component, level == DAL_LOG_WARNING ? "warning" : "error", text);
    pthread_mutex_unlock(&rt->voice);
}

static void progress(const dal_host *h, int64_t done, int64_t total, const char *what)
{
    dal_runtime *rt = runtime_of(h);
    if (!rt->config.progress)
        return;
    pthread_mutex_lock(&rt->voice);
    rt->config.progress(rt->config.ctx, self_of(h)->component, done, total, what);
    pthread_mutex_unlock(&rt->voice);
}

static int32_t cancelled(const dal_host *h)
{
    const dal_runtime_config *config = &runtime_of(h)->config;
    return config->cancelled ? config->cancelled(config->ctx) : 0;
}

/* ---- memory ----------------------------------------------------------------------------------- */

/* What lies just before the memory handed out. */
typedef struct header {
    void *base;
    int64_t bytes;
} header;

static void count(dal_runtime *rt, int64_t bytes)
{
    const int64_t now = atomic_fetch_add(&rt->allocated, bytes) + bytes;
    int64_t most = atomic_load(&rt->most);
    while (now > most && !atomic_compare_exchange_weak(&rt->most, &most, now))
        continue;
}

static void *take(const dal_host *h, size_t bytes, size_t align)
{
    dal_runtime *rt = runtime_of(h);
    if (align == 0)
        align = 64;
    if ((align & (align - 1)) != 0 || bytes > INT64_MAX || align > INT64_MAX - bytes)
        return NULL;
    if (atomic_load(&rt->fail_alloc) > 0 && atomic_fetch_sub(&rt->fail_alloc, 1) == 1)
        return NULL;
    const size_t room = align > sizeof(header) ? align : sizeof(header); /* keeps both aligned */
    void *base = NULL;
    if (bytes > INT64_MAX - room || posix_memalign(&base, room, room + bytes))
        return NULL;
    char *p = (char *)base + room;
    const header head = {base, (int64_t)bytes};
    memcpy(p - sizeof head, &head, sizeof head);
    count(rt, head.bytes);
    return p;
}

static void give_back(const dal_host *h, void *p)
{
    header head;
    if (!p)
        return;
    memcpy(&head, (char *)p - sizeof head, sizeof head);
    atomic_fetch_sub(&runtime_of(h)->allocated, head.bytes);
    free(head.base);
}

/* A file without a name: gone when the last map of it is. */
static int open_nameless(const char *dir)
{
    char name[4096];
    int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL))
        return fd;
    if (snprintf(name, sizeof name, "%s/dal-XXXXXX", dir) >= (int)sizeof name) {
        errno = ENAMETOOLONG;
        return -1;
    }
    fd = mkostemp(name, O_CLOEXEC);
    if (fd >= 0)
        unlink(name);
    return fd;
}

/* All blocks now: a full disk must be an error here, not a SIGBUS at the first write. */
static int reserve(int fd, size_t bytes)
{
    int failed;
    do
        failed = posix_fallocate(fd, 0, (off_t)bytes);
    while (failed == EINTR);
    return failed;
}

static dal_status temp_map(const dal_host *h, size_t bytes, void **data, dal_error *err)
{
    const char *dir = runtime_of(h)->temp_dir;
    if (bytes == 0 || bytes > INT64_MAX)
        return dal_fail(err, DAL_E_OVERFLOW, "temp_map", "cannot map %zu bytes of temporary space", bytes);
    const int fd = open_nameless(dir);
    if (fd < 0)
        return dal_fail(err, DAL_E_IO, "temp_map",
                        "%s: cannot create a temporary file (%s); set TMPDIR to a directory with room",
                        dir, strerror(errno));
    dal_status st = DAL_OK;
    const int failed = reserve(fd, bytes);
    if (failed) {
        st = dal_fail(err, DAL_E_IO, "temp_map",
                      "%s: no room for %zu bytes of temporary space (%s); free some, or set TMPDIR to a "
                      "directory with room", dir, bytes, strerror(failed));
    } else {
        void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (p == MAP_FAILED)
            st = dal_fail(err, DAL_E_NOMEM, "temp_map", "%s: cannot map %zu bytes of temporary space (%s)",
                          dir, bytes, strerror(errno));
        else
            *data = p;
    }
    close(fd);
    return st;
}

static void temp_unmap(const dal_host *h, void *data, size_t bytes)
{
    (void)h;
    if (data)
        munmap(data, bytes);
}

/* ---- random streams and threads --------------------------------------------------------------- */

static uint64_t hash_text(uint64_t h, const char *text)
{
    return dal_hash64(h, text, strlen(text) + 1); /* with the NUL: "ab" "c" is not "a" "bc" */
}

static dal_rng rng(const dal_host *h, const char *purpose, int64_t round)
{
    uint64_t key = hash_text(runtime_of(h)->config.seed, self_of(h)->component);
    unsigned char bytes[8]; /* the same on machines of either byte order */
    for (int i = 0; i < 8; i++)
        bytes[i] = (unsigned char)((uint64_t)round >> (8 * i));
    key = hash_text(key, purpose);
    return dal_rng_from_key(dal_hash64(key, bytes, sizeof bytes));
}

static dal_status parallel_for(const dal_host *h, int64_t n, dal_status (*task)(void *ctx, int64_t i),
                               void *ctx)
{
    return pool_run(runtime_of(h)->threads, n, task, ctx);
}

static int32_t threads(const dal_host *h)
{
    return pool_threads(runtime_of(h)->threads);
}

/* OpenBLAS's OpenMP build would narrow the program's own OpenMP loops (a plugin may bring oneDNN) for
 * ever along with itself: linalg.c narrows that one call by call. */
static void blas_on_one_thread(void)
{
    if (openblas_get_parallel() == OPENBLAS_THREAD)
        openblas_set_num_threads(1);
}

/* ---- one rank of one -------------------------------------------------------------------------- */

static dal_status sum_f64(const dal_comm *c, double *x, int64_t n)
{
    (void)c, (void)x, (void)n;
    return DAL_OK;
}

static dal_status max_at(const dal_comm *c, double *value, int64_t *index)
{
    (void)c, (void)value, (void)index;
    return DAL_OK;
}

static dal_status gather(const dal_comm *c, const void *mine, size_t n, void *all)
{
    (void)c;
    memmove(all, mine, n);
    return DAL_OK;
}

static dal_status broadcast(const dal_comm *c, void *data, size_t n, int32_t root)
{
    (void)data, (void)n;
    return root == c->rank ? DAL_OK : DAL_E_INVALID;
}

static dal_status barrier(const dal_comm *c)
{
    (void)c;
    return DAL_OK;
}

static const dal_comm serial = {.struct_size = sizeof serial, .rank = 0, .size = 1, .sum_f64 = sum_f64,
                                .max_at = max_at, .gather = gather, .broadcast = broadcast,
                                .barrier = barrier};

/* ---- components ------------------------------------------------------------------------------- */

static dal_status open_component(const dal_host *h, const dal_component_ref *ref, const void *arg,
                                 const dal_instance **instance, dal_error *err)
{
    const dal_runtime_config *config = &runtime_of(h)->config;
    if (!config->open)
        return dal_fail(err, DAL_E_UNSUPPORTED, "open", "this program has no components to open");
    return config->open(config->ctx, h, ref, arg, instance, err);
}

static void close_component(const dal_host *h, const dal_instance *instance)
{
    const dal_runtime_config *config = &runtime_of(h)->config;
    if (instance && config->close)
        config->close(config->ctx, instance);
}

static const void *get_extension(const dal_host *h, const char *id)
{
    (void)h, (void)id;
    return NULL;
}

/* ---- life ------------------------------------------------------------------------------------- */

/* Fields a caller built with an older header does not have stay zero, which is their default. */
static dal_status read_config(dal_runtime_config *to, const dal_runtime_config *from, dal_error *err)
{
    const dal_runtime_config none = {.struct_size = sizeof none};
    from = from ? from : &none;
    *to = none;
    memcpy(to, from, from->struct_size < sizeof *to ? from->struct_size : sizeof *to);
    if (to->threads < 0 || to->threads > MAX_THREADS)
        return dal_fail(err, DAL_E_INVALID, "threads", "%d threads asked for, expected 0 (all) or 1..%d",
                        to->threads, MAX_THREADS);
    if (to->fail_alloc < 0)
        return dal_fail(err, DAL_E_INVALID, "fail_alloc", "is %lld, expected 0 (never) or more",
                        (long long)to->fail_alloc);
    return DAL_OK;
}

/* OpenBLAS takes a buffer for each thread that multiplies, and where it gets none it asks again for ever.
 * Better to see now that there is room for them. */
static dal_status room_for_blas(int32_t threads, dal_error *err)
{
    const size_t bytes = (size_t)threads * THREAD_SPACE + OTHER_SPACE;
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        return dal_fail(err, DAL_E_NOMEM, "",
                        "%d threads need %zu MiB of address space, most of it for OpenBLAS, and there is less; raise "
                        "the limit (ulimit -v), or use fewer threads", (int)threads, bytes >> 20);
    munmap(p, bytes);
    return DAL_OK;
}

dal_runtime *dal_runtime_new(const dal_runtime_config *config, dal_error *err)
{
    dal_runtime *rt = calloc(1, sizeof *rt);
    if (!rt) {
        dal_fail(err, DAL_E_NOMEM, "", "no memory for the runtime");
        return NULL;
    }
    pthread_mutex_init(&rt->voice, NULL);
    if (read_config(&rt->config, config, err) != DAL_OK)
        goto fail;
    const char *tmp = getenv("TMPDIR");
    const char *dir = rt->config.temp_dir ? rt->config.temp_dir : tmp && *tmp ? tmp : "/tmp";
    rt->temp_dir = strdup(dir);
    if (!rt->temp_dir) {
        dal_fail(err, DAL_E_NOMEM, "", "no memory for the runtime");
        goto fail;
    }
    atomic_store(&rt->fail_alloc, rt->config.fail_alloc);
    blas_on_one_thread();
    const int32_t threads = rt->config.threads ? rt->config.threads : pool_cpus();
    if (room_for_blas(threads, err) != DAL_OK)
        goto fail;
    rt->threads = pool_new(threads, err);
    if (!rt->threads)
        goto fail;
    return rt;
fail:
    dal_runtime_free(rt);
    return NULL;
}

void dal_runtime_free(dal_runtime *rt)
{
    if (!rt)
        return;
    pool_free(rt->threads);
    while (rt->hosts) {
        component_host *host = rt->hosts;
        rt->hosts = host->next;
        free(host->component);
        free(host);
    }
    pthread_mutex_destroy(&rt->voice);
    free(rt->temp_dir);
    free(rt);
}

const dal_host *dal_runtime_host(dal_runtime *rt, const char *component)
{
    for (component_host *host = rt->hosts; host; host = host->next)
        if (strcmp(host->component, component) == 0)
            return &host->table;
    component_host *host = calloc(1, sizeof *host);
    char *name = strdup(component);
    if (!host || !name) {
        free(host);
        free(name);
        return NULL;
    }
    *host = (component_host){
        .table = {.struct_size = sizeof host->table, .abi_major = DAL_ABI_MAJOR,
                  .abi_minor = DAL_ABI_MINOR, .impl = host, .log = log_line, .alloc = take,
                  .free = give_back, .rng = rng, .parallel_for = parallel_for, .threads = threads,
                  .progress = progress, .cancelled = cancelled, .temp_map = temp_map,
                  .temp_unmap = temp_unmap, .comm = rt->config.comm ? rt->config.comm : &serial,
                  .open = open_component, .close = close_component, .get_extension = get_extension},
        .rt = rt, .component = name, .next = rt->hosts};
    rt->hosts = host;
    return &host->table;
}

int64_t dal_runtime_allocated(const dal_runtime *rt)
{
    return atomic_load(&rt->allocated);
}

int64_t dal_runtime_most_allocated(const dal_runtime *rt)
{
    return atomic_load(&rt->most);
}
