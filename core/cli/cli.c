#include "cli/cli.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli/complete.h"
#include "cli/help.h"
#include "util/text.h"

const cli_option cli_global_options[] = {
    {"plugins", 0, "DIR", true, "look for plugins in this directory first", },
    {"help", 'h', NULL, false, "say what there is to say about the command"},
    {"version", 'V', NULL, false, "print the version and the plugin ABI"},
    {0},
};

typedef struct given {
    const cli_option *option;
    const char *value; /* NULL for a flag */
} given;

struct cli_args {
    const cli_command *command;
    given *given; /* by the option's name, those of one option in the order given */
    int n_given;
    const char **values; /* [n_given], theirs */
    const char **operands;
    int n_operands;
};

/* ---- reading what was given ---- */

static bool known(const cli_option *table, const char *name)
{
    for (const cli_option *o = table; o && o->name; o++)
        if (strcmp(o->name, name) == 0)
            return true;
    return false;
}

const char *cli_value(const cli_args *a, const char *name)
{
    assert(known(a->command->options, name) || known(cli_global_options, name));
    for (int i = a->n_given - 1; i >= 0; i--)
        if (strcmp(a->given[i].option->name, name) == 0)
            return a->given[i].value ? a->given[i].value : "";
    return NULL;
}

bool cli_flag(const cli_args *a, const char *name)
{
    return cli_value(a, name) != NULL;
}

const char *const *cli_values(const cli_args *a, const char *name, int *n)
{
    int first = 0;
    while (first < a->n_given && strcmp(a->given[first].option->name, name) != 0)
        first++;
    *n = 0;
    while (first + *n < a->n_given && strcmp(a->given[first + *n].option->name, name) == 0)
        ++*n;
    return a->values + first;
}

/* Puts what was given in order, which lets cli_values point into one array. */
static void group_given(cli_args *a)
{
    for (int i = 1; i < a->n_given; i++)
        for (int k = i; k > 0 && strcmp(a->given[k - 1].option->name, a->given[k].option->name) > 0; k--) {
            const given g = a->given[k];
            a->given[k] = a->given[k - 1];
            a->given[k - 1] = g;
        }
    a->values = xcalloc((size_t)a->n_given + 1, sizeof *a->values);
    for (int i = 0; i < a->n_given; i++)
        a->values[i] = a->given[i].value;
}

int cli_n_operands(const cli_args *a)
{
    return a->n_operands;
}

const char *cli_operand(const cli_args *a, int i)
{
    return i < a->n_operands ? a->operands[i] : NULL;
}

bool cli_int(const cli_args *a, const char *name, int64_t low, int64_t high, int64_t *value)
{
    const char *s = cli_value(a, name);
    if (!s)
        return true;
    char *end;
    errno = 0;
    const long long x = strtoll(s, &end, 10);
    if (errno || end == s || *end || x < low || x > high) {
        cli_bad(a, "--%s %s: expected a whole number from %lld to %lld", name, s, (long long)low,
                (long long)high);
        return false;
    }
    *value = x;
    return true;
}

/* ---- complaints ---- */

static const char *command_name(const cli_args *a)
{
    return a && a->command ? a->command->name : NULL;
}

DAL_PRINTF(2, 0)
static void complain(const cli_args *a, const char *fmt, va_list ap)
{
    const char *name = command_name(a);
    fflush(stdout);
    fprintf(stderr, "dalhost%s%s: ", name ? " " : "", name ? name : "");
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
}

int cli_bad(const cli_args *a, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    complain(a, fmt, ap);
    va_end(ap);
    return EXIT_BAD_INPUT;
}

int cli_error(const cli_args *a, int code, const dal_error *err)
{
    cli_bad(a, "%s%s%s", err->key, *err->key ? ": " : "", *err->text ? err->text : "failed");
    return code;
}

/* ---- parsing ---- */

const cli_option *cli_find_option(const cli_command *c, const char *name, size_t n)
{
    const cli_option *const tables[] = {c ? c->options : NULL, cli_global_options};
    for (int t = 0; t < 2; t++)
        for (const cli_option *o = tables[t]; o && o->name; o++)
            if ((n == 1 && o->letter == *name) || (strlen(o->name) == n && strncmp(o->name, name, n) == 0))
                return o;
    return NULL;
}

static int unknown_option(const cli_args *a, const char *word)
{
    const char *names[64];
    int n = 0;
    const cli_option *const tables[] = {a->command ? a->command->options : NULL, cli_global_options};
    for (int t = 0; t < 2; t++)
        for (const cli_option *o = tables[t]; o && o->name && n < 64; o++)
            names[n++] = o->name;
    char *bare = xstrndup(word + strspn(word, "-"), strcspn(word + strspn(word, "-"), "="));
    const char *near = nearest(bare, names, n);
    free(bare);
    const char *name = command_name(a);
    return cli_bad(a, "unknown option %s%s%s; try dalhost %s%s--help", word,
                   near ? ", did you mean --" : "", near ? near : "", name ? name : "", name ? " " : "");
}

/* One option word at argv[*i]; moves *i past its value. Returns false after a complaint. */
static bool parse_option(cli_args *a, int argc, char **argv, int *i)
{
    const char *word = argv[*i];
    const bool is_long = word[1] == '-';
    const char *name = word + 1 + is_long, *equals = is_long ? strchr(name, '=') : NULL;
    const size_t n = equals ? (size_t)(equals - name) : is_long ? strlen(name) : 1;
    const cli_option *o = cli_find_option(a->command, name, n);
    if (!o || (is_long && n == 1)) {
        unknown_option(a, word);
        return false;
    }
    const char *value = equals ? equals + 1 : !is_long && name[1] ? name + 1 : NULL;
    if (o->arg && !value) {
        if (*i + 1 >= argc) {
            cli_bad(a, "--%s needs a value: --%s %s", o->name, o->name, o->arg);
            return false;
        }
        value = argv[++*i];
    } else if (!o->arg && value) {
        cli_bad(a, "--%s takes no value", o->name);
        return false;
    }
    a->given = xrealloc(a->given, (size_t)(a->n_given + 1) * sizeof *a->given);
    a->given[a->n_given++] = (given){o, value};
    return true;
}

/* How many words of `words` name command c: "plugin list" takes two. 0: not this command. */
static int matches(const cli_command *c, char **words, int n)
{
    int used = 0;
    for (const char *p = c->name; *p; used++) {
        const size_t len = strcspn(p, " ");
        if (used >= n || strlen(words[used]) != len || strncmp(words[used], p, len) != 0)
            return 0;
        p += len + (p[len] == ' ');
    }
    return used;
}

bool cli_in_group(const cli_command *c, const char *group)
{
    const size_t n = strlen(group);
    return strncmp(c->name, group, n) == 0 && c->name[n] == ' ';
}

static bool is_group(const char *word)
{
    for (int i = 0; cli_commands[i]; i++)
        if (cli_in_group(cli_commands[i], word))
            return true;
    return false;
}

static int unknown_command(char **words, int n)
{
    if (is_group(words[0])) {
        text t = {0};
        for (int i = 0; cli_commands[i]; i++)
            if (cli_in_group(cli_commands[i], words[0]))
                text_addf(&t, "%s%s", t.n ? ", " : "", cli_commands[i]->name + strlen(words[0]) + 1);
        const int code = n > 1 ? cli_bad(NULL, "there is no command '%s %s'; %s knows: %s", words[0], words[1],
                                         words[0], t.s)
                               : cli_bad(NULL, "'%s' needs one more word: %s", words[0], t.s);
        text_free(&t);
        return code;
    }
    const char *names[64];
    int count = 0;
    for (int i = 0; cli_commands[i] && count < 64; i++)
        names[count++] = cli_commands[i]->name;
    const char *near = nearest(words[0], names, count);
    return cli_bad(NULL, "there is no command '%s'%s%s%s; dalhost --help lists them", words[0],
                   near ? ", did you mean '" : "", near ? near : "", near ? "'" : "");
}

static int print_version(void)
{
    printf("dalhost %s (plugin ABI %d.%d)\n", PACKAGE_VERSION, DAL_ABI_MAJOR, DAL_ABI_MINOR);
    return EXIT_OK;
}

/* Help of the command that these words name, of all without a word, or the man page. */
static int print_help(char **words, int n, bool man)
{
    const cli_command *c = NULL;
    if (man && n == 1 && strcmp(words[0], "manifest") == 0) {
        help_manifest(stdout);
        return EXIT_OK;
    }
    for (int i = 0; n > 0 && !c && cli_commands[i]; i++)
        c = matches(cli_commands[i], words, n) ? cli_commands[i] : NULL;
    if (n > 0 && !c && (n > 1 || man || !is_group(words[0])))
        return unknown_command(words, n);
    if (man)
        help_man(c, stdout);
    else if (c)
        help_command(c, stdout);
    else if (n > 0)
        help_group(words[0], stdout);
    else
        help_overview(stdout);
    return EXIT_OK;
}

/* What is no command but tells about them: help [COMMAND...], GROUP --help, and, not in --help, man [COMMAND...], which
 * is how the man pages are built, and complete [WORD...], which shells ask. -1: none of these. */
static int about_commands(char **words, int n)
{
    if (n > 0 && (strcmp(words[0], "man") == 0 || strcmp(words[0], "help") == 0))
        return print_help(words + 1, n - 1, *words[0] == 'm');
    if (n > 0 && strcmp(words[0], "complete") == 0)
        return complete_words((const char *const *)words + 1, n - 1);
    if (n == 2 && is_group(words[0]) && (strcmp(words[1], "--help") == 0 || strcmp(words[1], "-h") == 0))
        return print_help(words, 1, false);
    return -1;
}

static int dispatch(cli_args *a)
{
    const cli_command *c = a->command;
    if (cli_flag(a, "help")) {
        help_command(c, stdout);
        return EXIT_OK;
    }
    if (cli_flag(a, "version"))
        return print_version();
    if (a->n_operands < c->min_operands)
        return cli_bad(a, "%s is missing; usage: dalhost %s %s [OPTION]...", c->operands, c->name, c->operands);
    if (c->max_operands >= 0 && a->n_operands > c->max_operands)
        return cli_bad(a, "unexpected '%s'; usage: dalhost %s%s%s [OPTION]...", a->operands[c->max_operands],
                       c->name, *c->operands ? " " : "", c->operands);
    return c->main(a);
}

/* Words before the command may be global options; the command is the first words that are not. */
static const cli_command *find_command(cli_args *a, int argc, char **argv, int *first, int *words)
{
    int i = 1;
    for (; i < argc && argv[i][0] == '-' && argv[i][1]; i++)
        if (!parse_option(a, argc, argv, &i))
            return NULL;
    *first = i;
    *words = 0;
    for (int k = 0; i < argc && cli_commands[k]; k++) {
        const int used = matches(cli_commands[k], argv + i, argc - i);
        if (used) {
            *words = used;
            return cli_commands[k];
        }
    }
    return NULL;
}

static int parse_and_run(cli_args *a, int argc, char **argv)
{
    int first = argc, words = 0;
    const cli_command *c = find_command(a, argc, argv, &first, &words);
    if (!c) {
        const int told = about_commands(argv + first, argc - first);
        if (told >= 0)
            return told;
        for (int i = 0; i < a->n_given; i++) {
            if (strcmp(a->given[i].option->name, "version") == 0)
                return print_version();
            if (strcmp(a->given[i].option->name, "help") == 0) {
                help_overview(stdout);
                return EXIT_OK;
            }
        }
        if (first < argc)
            return argv[first][0] == '-' ? EXIT_BAD_INPUT : unknown_command(argv + first, argc - first);
        if (argc > 1 && a->n_given == 0)
            return EXIT_BAD_INPUT; /* a bad option: said already */
        help_overview(stderr);
        return EXIT_BAD_INPUT;
    }
    a->command = c;
    bool options = true;
    for (int i = first + words; i < argc; i++) {
        if (options && strcmp(argv[i], "--") == 0)
            options = false;
        else if (options && argv[i][0] == '-' && argv[i][1]) {
            if (!parse_option(a, argc, argv, &i))
                return EXIT_BAD_INPUT;
        } else
            a->operands[a->n_operands++] = argv[i];
    }
    group_given(a);
    return dispatch(a);
}

/* What went to standard output is really there, or the command has failed. */
static int printed(int code)
{
    const bool flushed = fflush(stdout) == 0;
    if (flushed && !ferror(stdout))
        return code;
    fprintf(stderr, "dalhost: standard output: %s\n", flushed ? "some of it could not be written" : strerror(errno));
    return code ? code : EXIT_FAILED;
}

int cli_main(int argc, char **argv)
{
    cli_args a = {.operands = xcalloc((size_t)argc + 1, sizeof(char *))};
    const int code = printed(parse_and_run(&a, argc, argv));
    free(a.given);
    free(a.values);
    free(a.operands);
    return code;
}
