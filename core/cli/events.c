#include "cli/events.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
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

/* A line that is wrapped cannot be rewritten: no more than the terminal is wide. */
static void draw_locked(const char *words)
{
    struct winsize size;
    const int columns = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1 ? size.ws_col - 1 : 79;
    int bytes = 0, characters = 0;
    for (; words[bytes]; bytes++) {
        characters += ((unsigned char)words[bytes] & 0xc0) != 0x80; /* each character begins once */
        if (characters > columns)
            break;
    }
    clear_locked();
    fprintf(stderr, "%.*s", bytes, words);
    line.shown = true;
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
        if (*stage)
            draw_locked(stage);
        else
            clear_locked();
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
        char words[256], bar[WIDTH + 4] = "", count[32];
        line.last = now;
        const int full = total > 0 && done <= total ? (int)(WIDTH * done / total) : 0;
        if (total > 0) {
            memset(bar, '.', sizeof bar - 1);
            memcpy(bar, " [", 2);
            memset(bar + 2, '#', (size_t)full);
            bar[WIDTH + 2] = ']';
        }
        snprintf(words, sizeof words, "%s%s%s%s %s %s", line.stage, *line.stage ? "  " : "", component, bar,
                 human_count(done, count), what);
        draw_locked(words);
    }
    pthread_mutex_unlock(&line.lock);
}

static const char *const level_name[] = {[DAL_LOG_DEBUG] = "debug", [DAL_LOG_INFO] = "info",
                                         [DAL_LOG_WARNING] = "warning", [DAL_LOG_ERROR] = "error"};
static uint32_t least = DAL_LOG_WARNING; /* what is told */

static void read_level(void)
{
    const char *wanted = getenv("DAL_LOG");
    if (!wanted || !*wanted)
        return;
    for (uint32_t level = DAL_LOG_DEBUG; level <= DAL_LOG_ERROR; level++)
        if (strcmp(wanted, level_name[level]) == 0) {
            least = level;
            return;
        }
    fprintf(stderr, "dalhost: DAL_LOG=%s: expected debug, info, warning or error; warnings and errors are told\n",
            wanted);
}

static void log_line(void *ctx, const char *component, uint32_t level, const char *words)
{
    (void)ctx;
    if (level < least)
        return;
    pthread_mutex_lock(&line.lock);
    clear_locked();
    fprintf(stderr, "%s: %s: %s\n", component, level_name[level < DAL_LOG_ERROR ? level : DAL_LOG_ERROR], words);
    pthread_mutex_unlock(&line.lock);
}

composer_events events_for_terminal(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, read_level);
    return (composer_events){
        .log = log_line,
        .progress = isatty(STDERR_FILENO) ? progress : NULL,
        .cancelled = cancelled,
    };
}
