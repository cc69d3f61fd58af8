/* dalhost plugin check: the conformance suite on one module. */
#include <jansson.h>
#include <stdlib.h>

#include "check/check.h"
#include "cli/cli.h"
#include "util/table.h"
#include "util/text.h"

#define WIDTH 100

/* What has been told so far. */
typedef struct reporter {
    const char *file;
    uint64_t seed;
    const component_desc *last; /* whose heading was printed */
    bool begun;
    json_t *results; /* NULL: print as they come */
    int counts[5];   /* by verdict */
} reporter;

static void print_heading(reporter *p, const component_desc *c)
{
    if (p->begun && c == p->last)
        return;
    if (c)
        printf("\n%s %s\n", kind_name(c->kind), c->id);
    p->last = c;
    p->begun = true;
}

/* The lines a failed child printed. */
static void print_output(const char *s)
{
    while (*s) {
        const size_t n = strcspn(s, "\n");
        if (n)
            printf("           | %.*s\n", (int)n, s);
        s += n + (s[n] == '\n');
    }
}

static void print_result(reporter *p, const check_result *r)
{
    const bool bad = r->verdict != CHECK_PASS && r->verdict != CHECK_SKIP;
    print_heading(p, r->component);
    printf("  %-7s  %s", check_verdict_name(r->verdict), r->test);
    if (*r->message) {
        fputs(": ", stdout);
        fold_text(stdout, r->message, 13 + (int)strlen(r->test), 11, WIDTH);
    } else {
        putchar('\n');
    }
    if (bad) {
        print_output(r->output);
        printf("           again: dalhost plugin check %s --seed %llu --test %s%s%s\n", p->file,
               (unsigned long long)p->seed, r->test, r->component ? " --component " : "",
               r->component ? r->component->id : "");
    }
    fflush(stdout);
}

static void report(void *ctx, const check_result *r)
{
    reporter *p = ctx;
    p->counts[r->verdict]++;
    if (!p->results) {
        print_result(p, r);
        return;
    }
    json_t *j = json_pack("{s:s, s:s, s:s, s:s, s:f}", "test", r->test, "verdict", check_verdict_name(r->verdict),
                          "message", utf8_valid(r->message, strlen(r->message), NULL) ? r->message : "(not UTF-8)",
                          "output", utf8_valid(r->output, strlen(r->output), NULL) ? r->output : "(not UTF-8)",
                          "seconds", r->seconds);
    json_object_set_new(j, "kind", r->component ? json_string(kind_name(r->component->kind)) : json_null());
    json_object_set_new(j, "component", r->component ? json_string(r->component->id) : json_null());
    json_array_append_new(p->results, j);
}

static void print_summary(const reporter *p, const module_desc *m, int n)
{
    const int bad = p->counts[CHECK_FAIL] + p->counts[CHECK_CRASH] + p->counts[CHECK_TIMEOUT];
    if (p->results) {
        json_t *all = json_pack("{s:s, s:s, s:I, s:i, s:i, s:i, s:O}", "module", m->name, "file", m->path, "seed",
                                (json_int_t)p->seed, "tests", n, "failed", bad, "skipped", p->counts[CHECK_SKIP],
                                "results", p->results);
        json_dumpf(all, stdout, JSON_INDENT(2));
        putchar('\n');
        json_decref(all);
        return;
    }
    printf("\n%s: %d tests, %d passed, %d failed, %d skipped (seed %llu)\n", m->name, n, p->counts[CHECK_PASS], bad,
           p->counts[CHECK_SKIP], (unsigned long long)p->seed);
}

static bool seconds_option(const cli_args *a, double *out)
{
    const char *s = cli_value(a, "time-limit");
    char *end;
    if (!s)
        return true;
    *out = strtod(s, &end);
    if (end != s && !*end && *out > 0 && *out <= 86400)
        return true;
    cli_bad(a, "--time-limit %s: expected seconds, more than 0 and at most 86400", s);
    return false;
}

/* A name without slash and .so is an installed module's. */
static char *file_of(const cli_args *a, const char *name)
{
    const size_t n = strlen(name);
    if (strchr(name, '/') || (n > 3 && strcmp(name + n - 3, ".so") == 0))
        return xstrdup(name);
    registry *r = cli_registry(a);
    char *path = NULL;
    for (int i = 0; r && i < registry_n_modules(r) && !path; i++) {
        const module_desc *m = registry_module(r, i);
        if (m->state == MODULE_OK && strcmp(m->name, name) == 0)
            path = xstrdup(m->path);
    }
    if (path && *path != '/') {
        cli_bad(a, "module '%s' is part of this program; expected a .so, as shared builds have them", name);
        free(path);
        registry_free(r);
        return NULL;
    }
    if (r && !path)
        cli_bad(a, "unknown module '%s'; expected a file, or an installed module (dalhost plugin list)", name);
    registry_free(r);
    return path;
}

static bool has_component(const cli_args *a, const module_desc *m)
{
    const char *id = cli_value(a, "component");
    bool found = !id;
    const char **names = xcalloc((size_t)m->n_components, sizeof *names);
    for (int i = 0; i < m->n_components; i++) {
        names[i] = m->components[i].id;
        found |= id && strcmp(names[i], id) == 0;
    }
    if (!found) {
        const char *near = nearest(id, names, m->n_components);
        cli_bad(a, "module '%s' has no component '%s'%s%s%s", m->name, id, near ? "; did you mean '" : "",
                near ? near : "", near ? "'?" : "");
    }
    free((void *)(uintptr_t)names);
    return found;
}

static int check_file(const cli_args *a, const char *file, check_options *o)
{
    diags *d = diags_new();
    const module_desc *m;
    int n_dirs, n, code = EXIT_BAD_INPUT;
    const char *const *dirs = cli_values(a, "plugins", &n_dirs);
    registry *r = registry_new_with(file, dirs, n_dirs, d, &m);
    reporter p = {.file = cli_operand(a, 0), .seed = o->seed, .results = cli_flag(a, "json") ? json_array() : NULL};
    o->report = report;
    o->ctx = &p;
    if (diags_errors(d)) {
        diags_print(d, stderr);
    } else if (m->state != MODULE_OK) {
        cli_bad(a, "%s: %s", m->path, m->why);
        code = m->n_components || m->abi_major >= 0 ? EXIT_FAILED : EXIT_BAD_INPUT;
    } else if (has_component(a, m)) {
        if (!p.results)
            printf("module %s %s (%s), ABI %d.%d, seed %llu\n", m->name, m->version, m->path, m->abi_major,
                   m->abi_minor, (unsigned long long)o->seed);
        const int bad = check_module(r, m, o, &n);
        print_summary(&p, m, n);
        code = bad ? EXIT_FAILED : EXIT_OK;
        if (n == 0)
            code = cli_bad(a, "no test is called '%s'; dalhost plugin check --list names them", o->only);
    }
    json_decref(p.results);
    registry_free(r);
    diags_free(d);
    return code;
}

static int check_main(const cli_args *a)
{
    int64_t seed = 1;
    check_options o = {.time_limit = 20, .only = cli_value(a, "test"), .component = cli_value(a, "component")};
    if (cli_flag(a, "list")) {
        check_list(stdout);
        return EXIT_OK;
    }
    if (cli_n_operands(a) == 0)
        return cli_bad(a, "FILE|MODULE is missing; usage: dalhost plugin check FILE|MODULE [OPTION]...");
    if (!cli_int(a, "seed", 0, INT64_MAX, &seed) || !seconds_option(a, &o.time_limit))
        return EXIT_BAD_INPUT;
    o.seed = (uint64_t)seed;
    o.sets = cli_values(a, "set", &o.n_sets);
    char *file = file_of(a, cli_operand(a, 0));
    const int code = file ? check_file(a, file, &o) : EXIT_BAD_INPUT;
    free(file);
    return code;
}

static const cli_option options[] = {
    {"seed", 0, "N", false, "the seed of everything that is drawn (default 1)"},
    {"set", 0, "KEY=VALUE", true, "set a parameter, as datasets need to be opened at all"},
    {"component", 0, "ID", false, "only this component of the module"},
    {"test", 0, "NAME", false, "only this test, or all below it: picks, picks/all"},
    {"time-limit", 0, "SECONDS", false, "how long a test may take (default 20)"},
    {"list", 0, NULL, false, "name the tests and what each stands for"},
    {"json", 0, NULL, false, "print JSON"},
    {0},
};

const cli_command cmd_plugin_check = {
    .name = "plugin check",
    .operands = "FILE|MODULE",
    .max_operands = 1,
    .summary = "try out whether a module keeps the promises of the plugin ABI",
    .description = "Runs the conformance suite: every test in a process of its own with a time limit, so that a "
                   "module that crashes or hangs is reported by the test's name. The same seed gives the same "
                   "tests. Components with required parameters are opened only with --set. Exit code 1: a test "
                   "failed, crashed or ran out of time.",
    .options = options,
    .examples = "dalhost plugin check ./my_strategy.so\n"
                "dalhost plugin check ./my_data.so --set path=samples.bin\n"
                "dalhost plugin check ./my_strategy.so --test picks/duplicates --seed 7\n",
    .main = check_main,
};
