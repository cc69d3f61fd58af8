/* Runs of the same manifest that the store has already: which one goes on, and what the model has to be for that. */
#include <limits.h>
#include <stdlib.h>

#include "pipeline/choices.h"
#include "pipeline/differ.h"
#include "pipeline/run_private.h"
#include "pipeline/versions.h"
#include "store/chosen.h"
#include "util/text.h"

/* Is it the run that this one would be, whatever its model chose? else, when it differs in nothing but versions of
 * modules, `what` is told these. */
static bool is_alike(const run_head *earlier, const run_head *now, text *what)
{
    char *then = components_as_given(earlier), *here = components_as_given(now);
    const bool same = strcmp(then, here) == 0;
    if (!same)
        versions_differ(then, here, what);
    free(then);
    free(here);
    return same;
}

dal_status find_earlier(const run *r, bool finished, run_head *found, dal_error *err)
{
    run_head like = r->head;
    dal_error none = DAL_ERROR_INIT;
    text other = {0}; /* of the last run made with other versions */
    int64_t other_id = 0;
    bool alike = false;
    like.components = NULL;
    while (!alike && store_find_run(r->store, &like, finished, found, &none) == DAL_OK) {
        text what = {0};
        alike = is_alike(found, &r->head, &what);
        if (what.n > 0 && !other_id) {
            other = what;
            other_id = found->id;
        } else {
            text_free(&what);
        }
        like.id = found->id;
    }
    dal_status st = alike ? DAL_OK : none.status == DAL_E_NOT_FOUND ? DAL_E_NOT_FOUND : none.status;
    if (st == DAL_E_NOT_FOUND && other_id)
        st = dal_fail(err, DAL_E_INVALID, "",
                      "run %lld was made with other versions of modules (%s); install those again, or start a new run "
                      "without --resume", (long long)other_id, other.s);
    else if (st != DAL_OK && err)
        *err = none;
    text_free(&other);
    return st;
}

/* In how many places the runs differ; told in *out, at most three of them. */
static int run_differs(const run_head *there, const run *here, text *out)
{
    const bool other = strcmp(there->strategy, here->head.strategy) != 0;
    if (other && out)
        text_addf(out, "strategy %s, here %s", there->strategy, here->head.strategy);
    return other + manifests_differ(there->manifest, here->head.manifest, 3 - other, out);
}

char *nearest_run(const run *r)
{
    run_head *heads = NULL;
    int64_t n = 0, at = -1;
    int least = INT_MAX;
    dal_error none = DAL_ERROR_INIT;
    if (store_list(r->store, &heads, &n, &none) != DAL_OK)
        return NULL;
    for (int64_t i = 0; i < n; i++) {
        const int differs = run_differs(&heads[i], r, NULL);
        if (differs <= least) { /* the last of those alike */
            least = differs;
            at = i;
        }
    }
    text what = {0};
    if (at >= 0 && least > 0)
        run_differs(&heads[at], r, &what);
    char *words = at < 0 ? NULL
                         : xasprintf("run %lld comes nearest: %s%s", (long long)heads[at].id,
                                     least > 0 ? what.s : "its strategy has other parameters",
                                     least > 3 ? "; and more" : "");
    text_free(&what);
    store_list_free(heads, n);
    return words;
}

dal_status open_model(run *r, const component_spec *spec, dal_error *err)
{
    component_spec *more = NULL;
    dal_status st = composer_open(r->t->composer, spec, &r->t->source->info.spec, &r->model, err);
    if (st == DAL_OK)
        st = choices_of_model(spec, r->model, &more, err);
    if (more) {
        free(r->chosen);
        r->chosen = more;
    }
    return st;
}

/* Why the model cannot be what that run has; err tells why from here on. */
static dal_status tell_impossible(const run *r, const run_head *of, dal_error *err)
{
    const dal_error why = *err;
    char *then = choices_text(r->m->model, r->chosen);
    dal_fail(err, why.status, "",
             "run %lld%s goes by %s of the model, chosen where it began, and this machine cannot: %s; go on there, or "
             "start a new run without --resume", (long long)of->id,
             of->id == r->head.id ? "" : ", of the same manifest,", then, why.text);
    free(then);
    return why.status;
}

/* The model as that run has it: opened anew where it chose otherwise here. */
static dal_status go_by(run *r, const run_head *of, dal_error *err)
{
    component_spec *theirs = NULL, *ours = r->chosen;
    dal_status st = choices_of_run(r->m->model, of, &theirs, err);
    if (st != DAL_OK || !theirs || (ours && choices_agree(theirs, ours))) {
        free(theirs);
        return st;
    }
    r->chosen = theirs;
    free(ours);
    if (of->state == RUN_DONE && of->id == r->head.id) /* nothing is left to do for a model */
        return DAL_OK;
    composer_close(r->t->composer, r->model);
    r->model = NULL;
    st = open_model(r, theirs, err);
    return st == DAL_OK ? st : tell_impossible(r, of, err);
}

dal_status go_by_earlier(run *r, const run_head *found, dal_error *err)
{
    run_head like = {.manifest = r->m->effective}, any;
    dal_error none = DAL_ERROR_INIT;
    if (found)
        return go_by(r, found, err);
    /* another run of the experiment: what is compared was made alike */
    return store_find_run(r->store, &like, true, &any, &none) == DAL_OK ? go_by(r, &any, err) : DAL_OK;
}
