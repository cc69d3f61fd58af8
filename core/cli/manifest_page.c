/* dalhost-manifest(5): what can stand in a manifest, from the table that reads it. */
#include <stdlib.h>

#include "cli/help.h"
#include "cli/roff.h"
#include "manifest/manifest.h"
#include "util/text.h"

static const char description[] =
    "A manifest says in YAML what an experiment is: which data, which model, which strategies, and how many labels. "
    "All of it is checked before any work, against the parameters that the installed components declare; all faults "
    "are told, each with its line and column, what was found, what was expected and what to try.\n\n"
    "Of its keys, dalhost, dataset, model and strategy have to be there. The others have defaults. dalhost run, check "
    "and the commands of datasets set single keys from outside, as in --set query.size=50 or --set "
    "model.hidden=[100,50].\n\n"
    "A file that a manifest names is looked for beside the manifest, then in the folders of DAL_DATA_PATH.";

static const char components[] =
    "dataset, transforms, model, strategy and oracle are components. One whose parameters all have defaults is its id "
    "alone; else it is a mapping of use, the id, and parameters, as in {use: mlp, hidden: [100]}. from: MODULE says "
    "which module is meant where two have the same id. Where a list is wanted, one alone will do. dalhost component "
    "list names the components that are installed, dalhost component inspect ID tells the parameters of one.\n\n"
    "A dataset may be the name of a card (dalhost dataset list), with parameters of its loader, as in {use: cifar-10, "
    "batches: 5}. One that stands inside a component, as the `with` of concat, may bring transforms of its own.";

static const char example[] =
    "# three strategies, five seeds each, from the same 50 labels of a seed\n"
    "dalhost: 1\n"
    "name: reviews\n"
    "trials: 5\n"
    "dataset: {use: text-csv, path: reviews.csv, label: stars, text: [review]}\n"
    "transforms: {use: split, test: 0.2}\n"
    "model: fasttext\n"
    "strategy:\n"
    "  - random\n"
    "  - margin\n"
    "  - {use: badge, seeding: k-dpp}\n"
    "initial: {size: 50, balanced: true}\n"
    "query: {size: 25, rounds: 10}\n"
    "stop: {accuracy: 0.95}\n";

static char *kind_of_value(const param_desc *p)
{
    switch (p->type) {
    case DAL_PARAM_BOOL:
        return xstrdup("true or false");
    case DAL_PARAM_CHOICE:
        return xstrdup(p->domain);
    case DAL_PARAM_COMPONENT:
        return xasprintf("%s %s", strchr("aeiou", p->domain[0]) ? "an" : "a", p->domain);
    case DAL_PARAM_COMPONENTS:
        return xasprintf("list of %ss", strcmp(p->domain, "strategy") == 0 ? "strategie" : p->domain);
    case DAL_PARAM_I64:
    case DAL_PARAM_F64:
        return xasprintf("%s in %s%s%s", p->type == DAL_PARAM_I64 ? "whole number" : "number", p->domain,
                         *p->unit ? " " : "", p->unit);
    default:
        return xstrdup("text");
    }
}

typedef struct page {
    FILE *out;
    const char *section; /* whose keys were told last */
} page;

static void tell_key(void *ctx, const char *section, const char *what, const param_desc *p)
{
    page *q = ctx;
    if (strcmp(q->section, section) != 0) {
        fprintf(q->out, ".SS ");
        roff(q->out, section);
        fprintf(q->out, ": ");
        roff(q->out, what);
        fputc('\n', q->out);
        q->section = section;
    }
    char *kind = kind_of_value(p);
    fputs(".TP\n\\fB", q->out);
    roff(q->out, p->name);
    fputs("\\fR (", q->out);
    roff(q->out, kind);
    if (strcmp(p->def, DAL_REQUIRED) == 0)
        fputs("; required", q->out);
    else if (*p->def) {
        fputs("; default ", q->out);
        roff(q->out, p->def);
    }
    fputs(")\n", q->out);
    roff_sentence(q->out, p->summary, "");
    free(kind);
}

void help_manifest(FILE *out)
{
    roff_head(out, "dalhost-manifest", 5, "what an experiment of dalhost is");
    fputs(".SH DESCRIPTION\n", out);
    roff_paragraphs(out, description);
    fputs(".SH KEYS\n", out);
    page q = {out, ""};
    manifest_each_key(tell_key, &q);
    fputs(".SH COMPONENTS\n", out);
    roff_paragraphs(out, components);
    fputs(".SH EXAMPLE\n.nf\n", out);
    roff(out, example);
    fputs(".fi\n.SH SEE ALSO\n.BR dalhost (1),\n.BR dalhost\\-run (1),\n.BR dalhost\\-check (1),\n"
          ".BR dalhost\\-schema (1),\n.BR dalhost\\-component\\-inspect (1),\n.BR dalhost\\-dataset\\-list (1)\n", out);
}
