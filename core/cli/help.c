#include "cli/help.h"

#include <ctype.h>
#include <stdlib.h>

#include "cli/roff.h"
#include "util/table.h"
#include "util/text.h"

typedef struct code_line {
    int code;
    const char *meaning;
} code_line;

static const code_line exit_codes[] = {
    {EXIT_OK, "success"},
    {EXIT_FAILED, "the work failed after it had started, or a check found faults"},
    {EXIT_BAD_INPUT, "bad usage, manifest, file or store; nothing was done"},
    {EXIT_WAITING, "the run waits for labels; answer, then go on with --resume"},
    {70, "out of memory for the program's own small needs"},
    {EXIT_INTERRUPTED, "interrupted; go on with --resume"},
};

static const struct {
    const char *name, *what;
} environment[] = {
    {"DAL_PLUGIN_PATH", "further plugin directories, colon-separated, searched after --plugins"},
    {"DAL_DATA_PATH", "where data files named in manifests are looked for, colon-separated; "
                      "default ../shared/data, then ~/.local/share/dalhost/data"},
    {"DAL_CARD_PATH", "where dataset cards are looked for, colon-separated, before ~/.local/share/dalhost/cards and "
                      "those that came with dalhost"},
    {"DAL_LOG", "how much components may say: error, warning (default), info or debug"},
    {"XDG_DATA_HOME", "where the user's folder dalhost of data, cards and plugins is; default ~/.local/share"},
    {"NO_COLOR", "if it is set and not empty: no colours"},
    {"TMPDIR", "where bulk data without a name is kept; default /tmp"},
};

static const char about[] =
    "dalhost runs deep active learning experiments: it trains a model on the labels there are, lets a "
    "query strategy choose which samples are worth labelling next, asks an oracle, and repeats. "
    "Datasets, transforms, models, strategies and oracles are plugins; a YAML manifest composes them.";

static void paragraphs(FILE *out, const char *s, int indent, int width)
{
    while (s && *s) {
        const char *end = strstr(s, "\n\n");
        char *one = xstrndup(s, end ? (size_t)(end - s) : strlen(s));
        fprintf(out, "%*s", indent, "");
        fold_text(out, one, indent, indent, width);
        free(one);
        s = end ? end + 2 : NULL;
        if (s)
            fputc('\n', out);
    }
}

static void print_options(FILE *out, const cli_option *o)
{
    for (; o && o->name; o++) {
        char left[64];
        snprintf(left, sizeof left, "  %c%c%s--%s%s%s", o->letter ? '-' : ' ', o->letter ? o->letter : ' ',
                 o->letter ? ", " : "  ", o->name, o->arg ? " " : "", o->arg ? o->arg : "");
        fprintf(out, "%-30s", left);
        if (strlen(left) >= 30)
            fprintf(out, "\n%30s", "");
        char *help = xasprintf("%s%s", o->help, o->repeat ? " (repeatable)" : "");
        fold_text(out, help, 30, 30, 96);
        free(help);
    }
}

/* Those of a group, or all. */
static void print_commands(const char *group, FILE *out)
{
    fprintf(out, "\nCommands:\n");
    for (int i = 0; cli_commands[i]; i++)
        if (!group || cli_in_group(cli_commands[i], group))
            fprintf(out, "  %-20s %s\n", cli_commands[i]->name, cli_commands[i]->summary);
}

void help_overview(FILE *out)
{
    fprintf(out, "Usage: dalhost [--plugins DIR]... COMMAND [OPTION]...\n\n");
    paragraphs(out, about, 0, 96);
    print_commands(NULL, out);
    fprintf(out, "\nOptions for every command:\n");
    print_options(out, cli_global_options);
    fprintf(out, "\n`dalhost COMMAND --help` tells about one command, `man dalhost` about all.\n");
}

void help_group(const char *group, FILE *out)
{
    fprintf(out, "Usage: dalhost %s COMMAND [OPTION]...\n", group);
    print_commands(group, out);
    fprintf(out, "\n`dalhost %s COMMAND --help` tells about one of them.\n", group);
}

void help_command(const cli_command *c, FILE *out)
{
    fprintf(out, "Usage: dalhost %s%s%s [OPTION]...\n\n", c->name, *c->operands ? " " : "", c->operands);
    fprintf(out, "%c%s.\n", toupper((unsigned char)c->summary[0]), c->summary + 1);
    if (c->description) {
        fputc('\n', out);
        paragraphs(out, c->description, 0, 96);
    }
    fprintf(out, "\nOptions:\n");
    print_options(out, c->options);
    print_options(out, cli_global_options);
    if (c->examples)
        fprintf(out, "\nExamples:\n%s", c->examples);
    fprintf(out, "\nExit codes:\n");
    for (size_t i = 0; i < sizeof exit_codes / sizeof *exit_codes; i++)
        fprintf(out, "  %-4d %s\n", exit_codes[i].code, exit_codes[i].meaning);
}

/* ---- man pages ---- */

static void roff_options(FILE *out, const cli_option *o)
{
    for (; o && o->name; o++) {
        fputs(".TP\n\\fB", out);
        if (o->letter)
            fprintf(out, "\\-%c\\fR, \\fB", o->letter);
        fputs("\\-\\-", out);
        roff(out, o->name);
        fputs("\\fR", out);
        if (o->arg)
            fprintf(out, " \\fI%s\\fR", o->arg);
        fputc('\n', out);
        roff_sentence(out, o->help, o->repeat ? " (repeatable)" : "");
    }
}

static void roff_tail(FILE *out, const cli_command *self)
{
    fputs(".SH EXIT STATUS\n", out);
    for (size_t i = 0; i < sizeof exit_codes / sizeof *exit_codes; i++)
        fprintf(out, ".TP\n.B %d\n%s.\n", exit_codes[i].code, exit_codes[i].meaning);
    fputs(".SH ENVIRONMENT\n", out);
    for (size_t i = 0; i < sizeof environment / sizeof *environment; i++) {
        fprintf(out, ".TP\n.B %s\n", environment[i].name);
        roff_sentence(out, environment[i].what, "");
    }
    fputs(".SH SEE ALSO\n.BR dalhost\\-manifest (5)", out);
    if (self)
        fputs(",\n.BR dalhost (1)", out);
    for (int i = 0; cli_commands[i]; i++) {
        if (cli_commands[i] == self)
            continue;
        fputs(",\n.BR dalhost\\-", out);
        for (const char *p = cli_commands[i]->name; *p; p++)
            fputs(*p == ' ' || *p == '-' ? "\\-" : (char[2]){*p, 0}, out);
        fputs(" (1)", out);
    }
    fputc('\n', out);
}

static char *page_name(const cli_command *c)
{
    char *name = c ? xasprintf("dalhost-%s", c->name) : xstrdup("dalhost");
    for (char *p = name; *p; p++)
        if (*p == ' ')
            *p = '-';
    return name;
}

void help_man(const cli_command *c, FILE *out)
{
    char *name = page_name(c);
    roff_head(out, name, 1, c ? c->summary : "run deep active learning experiments");
    fputs(".SH SYNOPSIS\n.B dalhost", out);
    if (c) {
        fprintf(out, " %s\n", c->name);
        roff(out, c->operands);
        fputs(*c->operands ? " [\\fIOPTION\\fR]...\n" : "[\\fIOPTION\\fR]...\n", out);
        if (c->description) {
            fputs(".SH DESCRIPTION\n", out);
            roff_paragraphs(out, c->description);
        }
    } else {
        fputs("\n[\\fB\\-\\-plugins\\fR \\fIDIR\\fR]... \\fICOMMAND\\fR [\\fIOPTION\\fR]...\n", out);
        fputs(".SH DESCRIPTION\n", out);
        roff_paragraphs(out, about);
        fputs(".SH COMMANDS\n", out);
        for (int i = 0; cli_commands[i]; i++) {
            fprintf(out, ".TP\n.B %s\n", cli_commands[i]->name);
            roff_sentence(out, cli_commands[i]->summary, "");
        }
    }
    fputs(".SH OPTIONS\n", out);
    if (c)
        roff_options(out, c->options);
    roff_options(out, cli_global_options);
    if (c && c->examples) {
        fputs(".SH EXAMPLES\n.nf\n", out);
        roff(out, c->examples);
        fputs(".fi\n", out);
    }
    roff_tail(out, c);
    free(name);
}
