#include "command_process.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define WAIT_MS 100 /* between looks at whether the user wants to stop */

extern char **environ;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- start ------------------------------------------------------------------------------------ */

/* This process's environment and three more lines, in one block to be freed; NULL without memory. */
static char **make_environment(const dal_host *host, const char *directory)
{
    size_t n = 0;
    while (environ[n])
        n++;
    const size_t room = strlen(directory) + 64;
    char **out = malloc((n + 4) * sizeof *out + 2 * room);
    if (!out)
        return NULL;
    char *text = (char *)(out + n + 4);
    size_t k = 0;
    for (size_t i = 0; i < n; i++)
        if (strncmp(environ[i], "DAL_MODEL_DIR=", 14) != 0 && strncmp(environ[i], "DAL_THREADS=", 12) != 0)
            out[k++] = environ[i];
    snprintf(text, room, "DAL_MODEL_DIR=%s", directory);
    snprintf(text + room, room, "DAL_THREADS=%d", host->threads(host));
    out[k++] = text;
    out[k++] = text + room;
    out[k] = NULL;
    return out;
}

static int spawn(command_process *p, char **argv, char **environment, int child_end)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    sigset_t none, usual;
    sigemptyset(&none);
    sigfillset(&usual);
    int why = posix_spawn_file_actions_init(&files);
    if (why != 0)
        return why;
    if ((why = posix_spawnattr_init(&attributes)) == 0) {
        posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
        posix_spawnattr_setpgroup(&attributes, 0);
        posix_spawnattr_setsigmask(&attributes, &none);
        posix_spawnattr_setsigdefault(&attributes, &usual);
        why = posix_spawn_file_actions_adddup2(&files, child_end, 0);
        if (why == 0)
            why = posix_spawn_file_actions_adddup2(&files, child_end, 1);
        if (why == 0)
            why = posix_spawn_file_actions_addopen(&files, 2, p->stderr_path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
        if (why == 0)
            why = posix_spawnp(&p->pid, argv[0], &files, &attributes, argv, environment);
        posix_spawnattr_destroy(&attributes);
    }
    posix_spawn_file_actions_destroy(&files);
    return why;
}

dal_status command_start(command_process *p, const char *const *argv, int64_t n, const char *directory, dal_error *err)
{
    int ends[2] = {-1, -1}, why = 0;
    p->program = argv[0];
    p->pid = 0;
    p->n_line = 0;
    snprintf(p->stderr_path, sizeof p->stderr_path, "%s/stderr.txt", directory);
    char **arguments = calloc((size_t)n + 1, sizeof *arguments), **environment = make_environment(p->host, directory);
    if (!arguments || !environment) {
        free(arguments);
        free(environment);
        return dal_fail(err, DAL_E_NOMEM, "", "no memory to start '%s'", argv[0]);
    }
    for (int64_t i = 0; i < n; i++)
        arguments[i] = (char *)(uintptr_t)argv[i]; /* which posix_spawn leaves alone */
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
        why = errno;
    else
        why = spawn(p, arguments, environment, ends[1]);
    free(arguments);
    free(environment);
    if (ends[1] >= 0)
        close(ends[1]);
    p->fd = ends[0];
    if (why == 0)
        return DAL_OK;
    if (ends[0] >= 0)
        close(ends[0]);
    p->pid = 0;
    return dal_fail(err, DAL_E_IO, "run", "'%s' cannot be started (%s); it is looked for in PATH, or give its path",
                    argv[0], strerror(why));
}

/* ---- talk ------------------------------------------------------------------------------------- */

/* The last line of what the program said on standard error, or "". */
static void last_words(const command_process *p, char *out, size_t size)
{
    char tail[1024];
    const int fd = open(p->stderr_path, O_RDONLY | O_CLOEXEC);
    out[0] = '\0';
    if (fd < 0)
        return;
    const off_t end = lseek(fd, 0, SEEK_END), from = end > (off_t)sizeof tail - 1 ? end - (off_t)sizeof tail + 1 : 0;
    ssize_t n = pread(fd, tail, sizeof tail - 1, from);
    close(fd);
    while (n > 0 && (tail[n - 1] == '\n' || tail[n - 1] == ' '))
        n--;
    if (n <= 0)
        return;
    tail[n] = '\0';
    const char *line = strrchr(tail, '\n');
    line = line ? line + 1 : tail;
    size_t at = 0;
    for (; line[at] && at + 1 < size; at++)
        out[at] = (unsigned char)line[at] < 32 ? ' ' : line[at];
    out[at] = '\0';
}

/* Has the program ended? It is not waited for yet: until then its number, which is that of the group, stays its own. */
static int has_ended(const command_process *p)
{
    siginfo_t info = {.si_pid = 0};
    return p->pid > 0 && waitid(P_PID, (id_t)p->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == p->pid;
}

/* Of a program that has ended: what it left running goes with it. */
static void collect(command_process *p, int *status)
{
    kill(-p->pid, SIGKILL);
    waitpid(p->pid, status, 0);
    p->pid = 0;
}

/* Why there will be no answer. */
static dal_status tell_end(command_process *p, dal_error *err)
{
    char words[512], how[64] = "it closed its output";
    int status = 0;
    for (int i = 0; p->pid > 0 && i < 20; i++) { /* it may be on its way out */
        if (has_ended(p)) {
            collect(p, &status);
            if (WIFEXITED(status))
                snprintf(how, sizeof how, "it ended with exit status %d", WEXITSTATUS(status));
            else
                snprintf(how, sizeof how, "it was ended by signal %d", WTERMSIG(status));
            break;
        }
        poll(NULL, 0, 50);
    }
    last_words(p, words, sizeof words);
    return dal_fail(err, DAL_E_IO, "run", "'%s' did not answer: %s%s%s", p->program, how,
                    words[0] ? "; its last words: " : "", words);
}

/* Until the socket is ready for `events`. */
static dal_status wait_for(command_process *p, short events, double deadline, dal_error *err)
{
    for (;;) {
        struct pollfd f = {.fd = p->fd, .events = events};
        const int n = poll(&f, 1, WAIT_MS);
        if (n > 0)
            return DAL_OK;
        if (n == 0 && has_ended(p) && poll(&f, 1, 0) == 0) /* something it left running holds the line open */
            return tell_end(p, err);
        if (n < 0 && errno != EINTR)
            return dal_fail(err, DAL_E_IO, "run", "'%s' cannot be listened to (%s)", p->program, strerror(errno));
        if (p->host->cancelled(p->host))
            return dal_fail(err, DAL_E_CANCELLED, "", "stopped while '%s' was at work", p->program);
        if (now() > deadline)
            return dal_fail(err, DAL_E_IO, "timeout", "'%s' has not answered within %g seconds", p->program,
                            p->timeout);
    }
}

static dal_status send_line(command_process *p, const char *request, double deadline, dal_error *err)
{
    char text[COMMAND_LINE];
    const int n = snprintf(text, sizeof text, "%s\n", request);
    for (int at = 0; at < n;) {
        const dal_status st = wait_for(p, POLLOUT, deadline, err);
        if (st != DAL_OK)
            return st;
        const ssize_t sent = send(p->fd, text + at, (size_t)(n - at), MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent >= 0)
            at += (int)sent;
        else if (errno != EINTR && errno != EAGAIN)
            return tell_end(p, err);
    }
    return DAL_OK;
}

/* What it says before it is asked would pass for the answer. */
static dal_status check_silence(command_process *p, const char *request, dal_error *err)
{
    const ssize_t n = p->n_line > 0 ? 0 : recv(p->fd, p->line, sizeof p->line, MSG_DONTWAIT);
    p->n_line += n > 0 ? (size_t)n : 0;
    if (p->n_line == 0)
        return DAL_OK;
    const char *end = memchr(p->line, '\n', p->n_line);
    const size_t length = end ? (size_t)(end - p->line) : p->n_line;
    return dal_fail(err, DAL_E_CONTRACT, "run", "'%s' says '%.*s' before it is asked to '%s'; expected one line for "
                    "each line it is given (what is printed belongs on standard error)", p->program,
                    (int)(length < 100 ? length : 100), p->line, request);
}

dal_status command_ask(command_process *p, const char *request, char *answer, dal_error *err)
{
    const double deadline = p->timeout > 0 ? now() + p->timeout : (double)INFINITY;
    dal_status st = p->pid > 0 ? DAL_OK : dal_fail(err, DAL_E_FAILED, "run", "'%s' is not running any more",
                                                   p->program);
    if (st == DAL_OK && request)
        st = check_silence(p, request, err);
    if (st == DAL_OK && request)
        st = send_line(p, request, deadline, err);
    while (st == DAL_OK) {
        const char *end = memchr(p->line, '\n', p->n_line);
        if (end) {
            const size_t n = (size_t)(end - p->line);
            memcpy(answer, p->line, n);
            answer[n] = '\0';
            p->n_line -= n + 1;
            memmove(p->line, end + 1, p->n_line);
            return DAL_OK;
        }
        if (p->n_line == sizeof p->line)
            return dal_fail(err, DAL_E_CONTRACT, "run",
                            "'%s' wrote a line of more than %d bytes to its standard output, which is for answers "
                            "alone; have it print to standard error", p->program, COMMAND_LINE);
        if ((st = wait_for(p, POLLIN, deadline, err)) != DAL_OK)
            break;
        const ssize_t n = recv(p->fd, p->line + p->n_line, sizeof p->line - p->n_line, MSG_DONTWAIT);
        if (n > 0)
            p->n_line += (size_t)n;
        else if (n == 0 || (errno != EINTR && errno != EAGAIN))
            st = tell_end(p, err);
    }
    return st;
}

/* ---- stop ------------------------------------------------------------------------------------- */

static int gone(command_process *p, int tries)
{
    for (int i = 0; i < tries; i++) {
        if (has_ended(p))
            return 1;
        poll(NULL, 0, 20);
    }
    return 0;
}

void command_stop(command_process *p)
{
    if (p->fd >= 0)
        close(p->fd);
    p->fd = -1;
    if (p->pid <= 0)
        return;
    if (!gone(p, 100)) {
        kill(-p->pid, SIGTERM);
        gone(p, 50);
    }
    collect(p, NULL);
}
