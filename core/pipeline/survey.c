#include "pipeline/survey.h"

#include <stdlib.h>

#include "util/text.h"

static void count(survey_link *l, uint32_t split, const int32_t *classes, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        if (classes[i] >= 0 && classes[i] < l->spec.n_classes)
            l->counts[split][classes[i]]++;
        else if (classes[i] == DAL_LABEL_OOD)
            l->outside[split]++;
        else
            l->unlabelled[split]++;
    }
}

/* Of a link below the top, whose classes the source does not keep. */
static dal_status read_and_count(const source *s, int k, survey_link *l, uint32_t split, dal_error *err)
{
    enum { BLOCK = 4096 };
    const dal_dataset *d = &s->links[k];
    int64_t ids[BLOCK];
    int32_t classes[BLOCK];
    dal_status st = DAL_OK;
    for (int64_t first = 0; st == DAL_OK && first < l->n[split]; first += BLOCK) {
        const int64_t n = l->n[split] - first < BLOCK ? l->n[split] - first : BLOCK;
        for (int64_t i = 0; i < n; i++) {
            ids[i] = first + i;
            classes[i] = DAL_LABEL_NONE;
        }
        st = CALL(s->descs[k], classes, d->impl->classes(d->self, split, ids, n, classes, err), err);
        if (st == DAL_OK)
            count(l, split, classes, n);
    }
    return st;
}

static dal_status look_at(const source *s, int k, survey_link *l, dal_error *err)
{
    const bool top = k == s->n_chain - 1;
    dal_dataset_info info = {.struct_size = sizeof info, .spec.struct_size = sizeof info.spec};
    l->desc = s->descs[k];
    dal_status st = DAL_OK;
    if (top)
        info = s->info;
    else
        st = CALL(l->desc, info, s->links[k].impl->info(s->links[k].self, &info, err), err);
    if (st == DAL_OK && (info.spec.n_classes < 0 || info.spec.n_classes > 1 << 24))
        st = dal_fail(err, DAL_E_CONTRACT, "", "says it has %lld classes", (long long)info.spec.n_classes);
    l->spec = info.spec;
    for (uint32_t split = 0; st == DAL_OK && split < DAL_SPLITS; split++) {
        l->n[split] = info.n[split];
        l->counts[split] = xcalloc((size_t)info.spec.n_classes, sizeof *l->counts[split]);
        if (top)
            count(l, split, s->classes[split], info.n[split]);
        else
            st = read_and_count(s, k, l, split, err);
    }
    return st;
}

dal_status survey_make(source *s, survey *out, dal_error *err)
{
    *out = (survey){xcalloc((size_t)s->n_chain, sizeof *out->links), s->n_chain};
    dal_status st = DAL_OK;
    for (int k = 0; st == DAL_OK && k < s->n_chain; k++) {
        st = look_at(s, k, &out->links[k], err);
        if (st != DAL_OK)
            tell_who(s->descs[k], err);
    }
    if (st != DAL_OK)
        survey_fini(out);
    return st;
}

void survey_fini(survey *v)
{
    for (int k = 0; k < v->n; k++)
        for (uint32_t split = 0; split < DAL_SPLITS; split++)
            free(v->links[k].counts[split]);
    free(v->links);
    *v = (survey){0};
}
