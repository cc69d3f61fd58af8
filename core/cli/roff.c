#include "cli/roff.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>

#include "util/table.h"
#include "util/text.h"

void roff(FILE *out, const char *s)
{
    for (bool start = true; *s; s++) {
        if (start && (*s == '.' || *s == '\''))
            fputs("\\&", out);
        if (*s == '\\')
            fputs("\\e", out);
        else if (*s == '-')
            fputs("\\-", out);
        else
            fputc(*s, out);
        start = *s == '\n';
    }
}

/* One paragraph in lines of the length that roff's own tools ask for. */
static void roff_folded(FILE *out, const char *s)
{
    char *folded = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&folded, &n);
    if (f) {
        fold_text(f, s, 0, 0, 76);
        fclose(f);
    }
    roff(out, f ? folded : s);
    free(folded);
}

void roff_paragraphs(FILE *out, const char *s)
{
    while (s && *s) {
        const char *end = strstr(s, "\n\n");
        char *one = xstrndup(s, end ? (size_t)(end - s) : strlen(s));
        roff_folded(out, one);
        free(one);
        s = end ? end + 2 : NULL;
        if (s)
            fputs(".PP\n", out);
    }
}

void roff_sentence(FILE *out, const char *s, const char *end)
{
    char *sentence = xasprintf("%s%s.", s, end);
    roff_folded(out, sentence);
    free(sentence);
}

void roff_head(FILE *out, const char *name, int section, const char *what)
{
    fputs(".TH ", out);
    for (const char *p = name; *p; p++)
        fputs(*p == '-' ? "\\-" : (char[2]){(char)toupper((unsigned char)*p), 0}, out);
    fprintf(out, " %d " DAL_RELEASE_DATE " \"dalhost %s\" \"%s\"\n.SH NAME\n", section, PACKAGE_VERSION,
            section == 1 ? "User Commands" : "File Formats");
    roff(out, name);
    fputs(" \\- ", out);
    roff(out, what);
    fputc('\n', out);
}
