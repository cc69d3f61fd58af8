#include "registry/blame.h"

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

/* Read by a signal handler, hence static. Set on the main thread only. */
static const char *volatile blamed_module, *volatile blamed_file, *volatile blamed_what;

static void say(char *line, size_t *n, size_t room, const char *s)
{
    while (*s && *n < room)
        line[(*n)++] = *s++;
}

static void crashed(int number)
{
    char line[1024], digits[3] = {(char)('0' + number / 10), (char)('0' + number % 10), '\0'};
    size_t n = 0;
    if (blamed_module) {
        const char *text = number == SIGSEGV   ? "Segmentation fault"
                           : number == SIGBUS  ? "Bus error"
                           : number == SIGFPE  ? "Arithmetic error"
                           : number == SIGILL  ? "Illegal instruction"
                                               : "Aborted";
        say(line, &n, sizeof line - 96, "dalhost: module '");
        say(line, &n, sizeof line - 96, blamed_module);
        say(line, &n, sizeof line - 96, "' (");
        say(line, &n, sizeof line - 96, blamed_file ? blamed_file : "?");
        say(line, &n, sizeof line - 96, ") crashed in ");
        say(line, &n, sizeof line - 96, blamed_what ? blamed_what : "?");
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
}

void blame_set(const char *module, const char *file, const char *what)
{
    static bool installed;
    if (!installed) {
        install();
        installed = true;
    }
    blamed_file = file;
    blamed_what = what;
    blamed_module = module;
}
