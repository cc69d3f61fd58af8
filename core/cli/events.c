#include "cli/events.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "util/text.h"

static volatile sig_atomic_t interrupts;

static void on_interrupt(int signal_number)
{
    interrupts++;
    signal(signal_number, SIG_DFL); /* the next one ends it */
}

void events_catch_interrupts(void)
{
    signal(SIGINT, on_interrupt);
    signal(SIGTERM, on_interrupt);
}

bool events_interrupted(void)
{
    return interrupts > 0;
}

static int32_t cancelled(void *ctx)
{
    (void)ctx;
    return interrupts > 0;
}

/* ---- one line that is rewritten ---- */

static struct {
    pthread_mutex_t lock;
    char stage[64];
    bool shown;
    double last; /* when it was drawn, seconds */
} line = {.lock = PTHREAD_MUTEX_INITIALIZER};

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void clear_locked(void)
{
    if (line.shown)
        fputs("\r\033[K", stderr);
    line.shown = false;
}

void events_clear(void)
{
    pthread_mutex_lock(&line.lock);
    clear_locked();
    pthread_mutex_unlock(&line.lock);
}

void events_stage(const char *stage)
{
    pthread_mutex_lock(&line.lock);
    snprintf(line.stage, sizeof line.stage, "%s", stage);
    if (isatty(STDERR_FILENO)) {
        clear_locked();
        if (*stage) {
            fputs(stage, stderr);
            line.shown = true;
        }
    }
    pthread_mutex_unlock(&line.lock);
}

static void progress(void *ctx, const char *component, int64_t done, int64_t total, const char *what)
{
    (void)ctx;
    enum { WIDTH = 24 };
    const double now = seconds();
    pthread_mutex_lock(&line.lock);
    if (now - line.last >= 0.1) { /* ten times a second at most */
        char bar[WIDTH + 1], count[32];
        line.last = now;
        const int full = total > 0 && done <= total ? (int)(WIDTH * done / total) : 0;
        for (int i = 0; i < WIDTH; i++)
            bar[i] = i < full ? '#' : '.';
        bar[WIDTH] = '\0';
        clear_locked();
        fprintf(stderr, "%s%s%s", line.stage, *line.stage ? "  " : "", component);
        if (total > 0)
            fprintf(stderr, " [%s]", bar);
        fprintf(stderr, " %s %s", human_count(done, count), what);
        line.shown = true;
    }
    pthread_mutex_unlock(&line.lock);
}

static void log_line(void *ctx, const char *component, uint32_t level, const char *words)
{
    (void)ctx;
    static const char *const name[] = {"debug", "info", "warning", "error"};
    const char *wanted = getenv("DAL_LOG");
    const uint32_t least = wanted && strcmp(wanted, "debug") == 0  ? DAL_LOG_DEBUG
                           : wanted && strcmp(wanted, "info") == 0 ? DAL_LOG_INFO
                                                                   : DAL_LOG_WARNING;
    if (level < least)
        return;
    pthread_mutex_lock(&line.lock);
    clear_locked();
    fprintf(stderr, "%s: %s: %s\n", component, name[level < 4 ? level : 3], words);
    pthread_mutex_unlock(&line.lock);
}

composer_events events_for_terminal(void)
{
    return (composer_events){
        .log = log_line,
        .progress = isatty(STDERR_FILENO) ? progress : NULL,
        .cancelled = cancelled,
    };
}
