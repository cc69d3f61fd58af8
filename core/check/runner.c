/* Runs tests, each in a child process, and tells what became of them. */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "check/suite.h"
#include "registry/blame.h"
#include "util/text.h"

#define OUTPUT_KEPT 2000 /* bytes of what a failed child printed */

static const check_test *const groups[] = {
    module_tests,  param_tests,      life_tests,    strategy_tests,
    model_tests,   capability_tests, choice_tests,  dataset_tests,
    oracle_tests,
};
#define N_GROUPS (sizeof groups / sizeof *groups)

const char *check_verdict_name(check_verdict v)
{
    static const char *const names[] = {"pass", "skip", "FAIL", "CRASH", "TIMEOUT"};
    return names[v];
}

/* ---- in the child ---- */

static int verdict_fd = -1; /* of this process, which runs one test */

DAL_PRINTF(2, 0)
static noreturn void deliver(char verdict, const char *fmt, va_list ap)
{
    char message[1024] = {verdict};
    vsnprintf(message + 1, sizeof message - 1, fmt, ap);
    const ssize_t ignored = write(verdict_fd, message, strlen(message));
    (void)ignored;
    fflush(NULL);
    _exit(0);
}

void check_fail(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    deliver('F', fmt, ap);
}

void check_skip(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    deliver('S', fmt, ap);
}

void check_pass(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    deliver('P', fmt, ap);
}

static noreturn void run_child(const check_test *t, const subject *s, int fd, int output)
{
    const struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    setpgid(0, 0);
    blame_all_exits(false); /* the parent tells of it, and by which test */
    const int null = open("/dev/null", O_RDONLY);
    dup2(null, STDIN_FILENO);
    dup2(output, STDOUT_FILENO);
    dup2(output, STDERR_FILENO);
    verdict_fd = fd;
    subject mine = *s; /* with a folder of its own */
    char *dir = xasprintf("%s/%d", s->dir, (int)getpid());
    mine.dir = mkdir(dir, 0700) == 0 ? dir : s->dir;
    t->run(&mine, t->arg);
    check_pass("%s", "");
}

/* ---- in the parent ---- */

typedef struct child {
    pid_t pid;
    int verdict, output; /* where both come from */
    char said[1024];
    size_t n_said;
} child;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static bool start(child *k, const check_test *t, const subject *s)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) != 0)
        return false;
    *k = (child){.verdict = fds[0], .output = memfd_create("output", MFD_CLOEXEC)};
    fflush(NULL);
    k->pid = fork();
    if (k->pid == 0) {
        close(fds[0]);
        run_child(t, s, fds[1], k->output);
    }
    close(fds[1]);
    return k->pid > 0;
}

/* Reads the verdict until the child ends; false when the time is up first. */
static bool listen_to(child *k, double limit)
{
    const double end = now() + limit;
    for (;;) {
        const double left = end - now();
        struct pollfd p = {k->verdict, POLLIN, 0};
        if (left <= 0)
            return false;
        const int ready = poll(&p, 1, (int)(left * 1000) + 1);
        if (ready < 0 && errno != EINTR)
            return false;
        if (ready <= 0)
            continue;
        const ssize_t n = read(k->verdict, k->said + k->n_said, sizeof k->said - 1 - k->n_said);
        if (n <= 0)
            return true;
        k->n_said += (size_t)n;
    }
}

/* The end of what it printed. */
static char *take_output(const child *k)
{
    const off_t size = k->output < 0 ? 0 : lseek(k->output, 0, SEEK_END);
    const off_t from = size > OUTPUT_KEPT ? size - OUTPUT_KEPT : 0;
    char *s = xcalloc(1, OUTPUT_KEPT + 1);
    const ssize_t n = size > 0 ? pread(k->output, s, OUTPUT_KEPT, from) : 0;
    s[n > 0 ? n : 0] = '\0';
    for (char *p = s; *p; p++) /* it goes to a terminal */
        if ((unsigned char)*p < ' ' && *p != '\n' && *p != '\t')
            *p = '?';
    return s;
}

static char *judge(const child *k, int status, bool in_time, double limit, check_verdict *verdict)
{
    *verdict = k->said[0] == 'P' ? CHECK_PASS : k->said[0] == 'S' ? CHECK_SKIP : CHECK_FAIL;
    if (k->n_said > 0 && in_time)
        return xstrdup(k->said + 1);
    if (!in_time) {
        *verdict = CHECK_TIMEOUT;
        return xasprintf("not done after %g s", limit);
    }
    *verdict = CHECK_CRASH;
    if (WIFSIGNALED(status))
        return xasprintf("signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
    return xasprintf("it ended the process, with exit code %d", WEXITSTATUS(status));
}

static check_verdict run_one(const check_test *t, const subject *s, const check_options *o)
{
    check_result r = {.test = t->name, .component = s->component};
    const double begin = now();
    child k;
    char *message, *output = NULL;
    if (!start(&k, t, s)) {
        r.verdict = CHECK_FAIL;
        message = xasprintf("no process for it: %s", strerror(errno));
    } else {
        const bool in_time = listen_to(&k, o->time_limit);
        int status = 0;
        if (!in_time && kill(-k.pid, SIGKILL) != 0)
            kill(k.pid, SIGKILL);
        while (waitpid(k.pid, &status, 0) < 0 && errno == EINTR) {
        }
        kill(-k.pid, SIGKILL); /* what it may have left behind */
        message = judge(&k, status, in_time, o->time_limit, &r.verdict);
        output = take_output(&k);
        close(k.verdict);
        close(k.output);
    }
    r.message = message;
    r.output = output ? output : "";
    r.seconds = now() - begin;
    o->report(o->ctx, &r);
    free(message);
    free(output);
    return r.verdict;
}

/* "picks" chooses picks/plain, picks/all, ... */
static bool chosen(const char *name, const char *only)
{
    const size_t n = only ? strlen(only) : 0;
    return !only || (strncmp(name, only, n) == 0 && (name[n] == '\0' || name[n] == '/'));
}

static void run_all(const subject *s, const check_options *o, int *bad, int *n)
{
    for (size_t g = 0; g < N_GROUPS; g++)
        for (const check_test *t = groups[g]; t->name; t++) {
            const bool fits = s->component ? (t->kinds >> s->component->kind & 1u) != 0 : t->kinds == 0;
            if (!fits || !chosen(t->name, o->only))
                continue;
            const check_verdict v = run_one(t, s, o);
            *bad += v != CHECK_PASS && v != CHECK_SKIP;
            *n += 1;
        }
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *where)
{
    (void)st;
    (void)type;
    (void)where;
    return remove(path);
}

int check_module(registry *r, const module_desc *m, const check_options *o, int *n)
{
    int bad = 0, of_components = 0;
    const char *tmp = getenv("TMPDIR");
    char *dir = xasprintf("%s/dalhost-check-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    subject s = {.r = r, .module = m, .seed = o->seed, .sets = o->sets, .n_sets = o->n_sets, .dir = dir};
    *n = 0;
    if (!mkdtemp(dir))
        s.dir = "/nowhere";
    if (!o->component)
        run_all(&s, o, &bad, n);
    /* a module that does not load has no components to try */
    for (int i = 0; i < m->n_components && !bad; i++)
        if (!o->component || strcmp(m->components[i].id, o->component) == 0) {
            int mine = 0;
            s.component = &m->components[i];
            run_all(&s, o, &mine, n);
            of_components += mine;
        }
    nftw(dir, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    free(dir);
    return bad + of_components;
}

void check_list(FILE *out)
{
    for (size_t g = 0; g < N_GROUPS; g++)
        for (const check_test *t = groups[g]; t->name; t++)
            fprintf(out, "  %-22s %s\n", t->name, t->promise);
}
