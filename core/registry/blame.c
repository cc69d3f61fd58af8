#include "registry/blame.h"

#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The calls a thread is in, outermost first. A crash is told by the thread it happens on. */
#define MAX_DEPTH 16
typedef struct call {
    const char *kind, *id, *module, *file, *what;
} call;
typedef struct calls {
    call in[MAX_DEPTH];
    volatile sig_atomic_t depth; /* may pass MAX_DEPTH: then an outer call is told */
} calls;

static _Thread_local calls mine;
/* Of the thread that called first. Threads of a parallel loop that have no call of their own work for it. */
static calls *volatile first;
static volatile sig_atomic_t all_exits;
static pid_t process; /* not of a forked child, which may exit */

static void say(char *line, size_t *n, size_t room, const char *s)
{
    while (*s && *n < room)
        line[(*n)++] = *s++;
}

static const call *innermost(void)
{
    const calls *c = mine.depth > 0 ? &mine : first;
    if (!c || c->depth <= 0)
        return NULL;
    return &c->in[(c->depth < MAX_DEPTH ? c->depth : MAX_DEPTH) - 1];
}

static void crashed(int number)
{
    char line[1024], digits[3] = {(char)('0' + number / 10), (char)('0' + number % 10), '\0'};
    size_t n = 0;
    const call *blamed = innermost();
    if (blamed) {
        const char *text = number == SIGSEGV   ? "Segmentation fault"
                           : number == SIGBUS  ? "Bus error"
                           : number == SIGFPE  ? "Arithmetic error"
                           : number == SIGILL  ? "Illegal instruction"
                                               : "Aborted";
        say(line, &n, sizeof line - 96, "dalhost: module '");
        say(line, &n, sizeof line - 96, blamed->module);
        say(line, &n, sizeof line - 96, "' (");
        say(line, &n, sizeof line - 96, blamed->file);
        say(line, &n, sizeof line - 96, ") crashed in ");
        say(line, &n, sizeof line - 96, blamed->what);
        say(line, &n, sizeof line, " (signal ");
        say(line, &n, sizeof line, digits + (number < 10));
        say(line, &n, sizeof line, ", ");
        say(line, &n, sizeof line, text);
        say(line, &n, sizeof line, ")\n");
        const ssize_t ignored = write(STDERR_FILENO, line, n);
        (void)ignored;
    }
    signal(number, SIG_DFL);
    raise(number); /* delivered when this handler returns */
}

/* Of an exit: the C library calls it before it writes out what is buffered. */
static void ended(void)
{
    char line[1024];
    size_t n = 0;
    const call *blamed = innermost();
    if (getpid() != process || (!blamed && !all_exits))
        return;
    say(line, &n, sizeof line - 96, "dalhost: ");
    if (blamed && blamed->kind) {
        say(line, &n, sizeof line - 96, blamed->kind);
        say(line, &n, sizeof line - 96, " '");
        say(line, &n, sizeof line - 96, blamed->id);
        say(line, &n, sizeof line - 96, "' of ");
    }
    say(line, &n, sizeof line - 96, blamed ? "module '" : "a thread that a module left running");
    if (blamed) {
        say(line, &n, sizeof line - 96, blamed->module);
        say(line, &n, sizeof line - 96, "' (");
        say(line, &n, sizeof line - 96, blamed->file);
        say(line, &n, sizeof line - 96, ")");
    }
    say(line, &n, sizeof line - 96, " called exit");
    say(line, &n, sizeof line - 96, blamed ? " in " : "");
    say(line, &n, sizeof line - 96, blamed ? blamed->what : "");
    say(line, &n, sizeof line, "; a component returns, with dal_fail where something is wrong\n");
    const ssize_t ignored = write(STDERR_FILENO, line, n);
    (void)ignored;
    signal(SIGABRT, SIG_DFL);
    abort();
}

static void install(void)
{
    static char stack[64 * 1024]; /* a stack overflow has no stack left */
    const stack_t alternative = {.ss_sp = stack, .ss_size = sizeof stack};
    stack_t old;
    if (sigaltstack(NULL, &old) == 0 && (old.ss_flags & SS_DISABLE))
        sigaltstack(&alternative, NULL);
    const int numbers[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        struct sigaction now, handler = {.sa_handler = crashed, .sa_flags = SA_ONSTACK};
        sigemptyset(&handler.sa_mask);
        if (sigaction(numbers[i], NULL, &now) == 0 && !(now.sa_flags & SA_SIGINFO) && now.sa_handler == SIG_DFL)
            sigaction(numbers[i], &handler, NULL);
    }
    process = getpid();
    atexit(ended);
    at_quick_exit(ended);
}

void blame_push(const char *kind, const char *id, const char *module, const char *file, const char *what)
{
    if (!first) { /* the main thread loads the first module before there is any other */
        install();
        first = &mine;
    }
    if (mine.depth < MAX_DEPTH)
        mine.in[mine.depth] = (call){kind, id, module, file, what};
    mine.depth++;
}

void blame_pop(void)
{
    mine.depth--;
}

void blame_all_exits(bool all)
{
    all_exits = all;
}
