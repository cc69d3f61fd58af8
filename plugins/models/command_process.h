/* command_process.h: another program that answers line by line on its standard input and output.
 *
 * One thread at a time. The program runs in a process group of its own, so that Ctrl-C reaches it through us alone, and
 * ends when its input does, with all that it started there; what it says on standard error is kept in a file.
 */
#ifndef COMMAND_PROCESS_H
#define COMMAND_PROCESS_H

#include <dal/host.h>
#include <sys/types.h>

#define COMMAND_LINE 4096 /* longest answer */

typedef struct command_process {
    const dal_host *host;
    const char *program; /* for messages; borrowed */
    pid_t pid;           /* 0: none runs */
    int fd;
    double timeout;      /* seconds an answer may take; 0: for ever */
    char stderr_path[512];
    char line[COMMAND_LINE];
    size_t n_line;       /* bytes read beyond the last answer */
} command_process;

/* [main] Start argv[n] with directory in its environment as DAL_MODEL_DIR. p->host, p->timeout are set. */
dal_status command_start(command_process *p, const char *const *argv, int64_t n, const char *directory, dal_error *err);
/* Send `request` (one line, without its newline; NULL: nothing, an answer is due anyway) and wait for a line into
 * answer[COMMAND_LINE]. DAL_E_CANCELLED when the user stops; the program is not to be asked again after a failure. */
dal_status command_ask(command_process *p, const char *request, char *answer, dal_error *err);
/* Close its input, give it two seconds, then end it. */
void command_stop(command_process *p);

#endif
