#include "report/export.h"

#include <dal/oracle.h>
#include <math.h>
#include <stdlib.h>

#include "report/queries.h"
#include "report/summary.h"
#include "store/chosen.h"
#include "util/text.h"

char **class_names_of(const run_head *h)
{
    json_t *list = json_loads(h->class_names, 0, NULL);
    char **names = xcalloc((size_t)h->n_classes, sizeof *names);
    for (int64_t c = 0; c < h->n_classes; c++) {
        const char *name = json_string_value(json_array_get(list, (size_t)c));
        names[c] = name ? xstrdup(name) : xasprintf("%lld", (long long)c);
    }
    json_decref(list);
    return names;
}

void class_names_free(char **names, int64_t n)
{
    for (int64_t c = 0; names && c < n; c++)
        free(names[c]);
    free(names);
}

/* ---- JSON ---- */

static json_t *real(double x)
{
    return isfinite(x) ? json_real(x) : json_null();
}

static json_t *integer(int64_t x)
{
    return json_integer((json_int_t)x);
}

/* Text that should hold JSON; as a string when it does not. */
static json_t *parsed(const char *s)
{
    json_t *j = json_loads(s, JSON_DECODE_ANY, NULL);
    return j ? j : json_string(s);
}

static json_t *seed_json(uint64_t seed)
{
    char digits[24];
    snprintf(digits, sizeof digits, "%llu", (unsigned long long)seed);
    return seed <= INT64_MAX ? integer((int64_t)seed) : json_string(digits);
}

json_t *head_json(const run_head *h)
{
    char print[40];
    snprintf(print, sizeof print, "%016llx%016llx", (unsigned long long)h->data_fingerprint[0],
             (unsigned long long)h->data_fingerprint[1]);
    json_t *j = json_object();
    json_object_set_new(j, "run", integer(h->id));
    json_object_set_new(j, "name", json_string(h->name));
    json_object_set_new(j, "strategy", json_string(h->strategy));
    json_object_set_new(j, "trial", integer(h->trial));
    json_object_set_new(j, "seed", seed_json(h->seed));
    json_object_set_new(j, "state", json_string(run_state_name(h->state)));
    json_object_set_new(j, "message", json_string(h->message));
    json_object_set_new(j, "started_unix_s", real(h->started));
    json_object_set_new(j, "changed_unix_s", real(h->changed));
    json_object_set_new(j, "host_version", json_string(h->host_version));
    json_object_set_new(j, "abi", json_string(h->abi));
    json_object_set_new(j, "data_fingerprint", json_string(print));
    json_object_set_new(j, "n_pool", integer(h->n_pool));
    json_object_set_new(j, "n_test", integer(h->n_test));
    json_object_set_new(j, "n_classes", integer(h->n_classes));
    json_object_set_new(j, "class_names", parsed(h->class_names));
    json_object_set_new(j, "components", parsed(h->components));
    json_object_set_new(j, "manifest", parsed(h->manifest));
    json_object_set_new(j, "chosen", chosen_json(h));
    return j;
}

static json_t *why_json(const explanation *w)
{
    json_t *j = json_object(), *few = json_array();
    for (int i = 0; i < STORE_FEW && w->few[i] >= 0; i++)
        json_array_append_new(few, json_pack("{s:I, s:o}", "id", (json_int_t)w->few[i], "distance",
                                             real(w->few_distance[i])));
    json_object_set_new(j, "nearest_pick_id", w->other < 0 ? json_null() : integer(w->other));
    json_object_set_new(j, "nearest_pick_distance", real(w->other_distance));
    json_object_set_new(j, "stands_for", integer(w->stands_for));
    json_object_set_new(j, "nearest_of_them", few);
    return j;
}

static json_t *pick_json(const pick *p)
{
    json_t *j = json_object();
    json_object_set_new(j, "rank", integer(p->rank));
    json_object_set_new(j, "id", integer(p->id));
    json_object_set_new(j, "score", real(p->score));
    json_object_set_new(j, "nearest_id", p->nearest < 0 ? json_null() : integer(p->nearest));
    json_object_set_new(j, "distance", real(p->distance));
    json_object_set_new(j, "answer", json_string(answer_name(p->answer)));
    json_object_set_new(j, "class", p->answer == DAL_ANSWER_CLASS ? integer(p->cls) : json_null());
    json_object_set_new(j, "cost", real(p->cost));
    if (p->why)
        json_object_set_new(j, "explanation", why_json(p->why));
    return j;
}

static json_t *times_json(const phase_times *t)
{
    json_t *j = json_object();
    json_object_set_new(j, "train_s", real(t->train));
    json_object_set_new(j, "evaluate_s", real(t->evaluate));
    json_object_set_new(j, "infer_s", real(t->infer));
    json_object_set_new(j, "select_s", real(t->select));
    json_object_set_new(j, "label_s", real(t->label));
    json_object_set_new(j, "previous_commit_s", real(t->commit));
    json_object_set_new(j, "train_cpu_s", real(t->train_cpu));
    json_object_set_new(j, "infer_cpu_s", real(t->infer_cpu));
    json_object_set_new(j, "select_cpu_s", real(t->select_cpu));
    return j;
}

json_t *round_json(const round_record *k, const round_purity *p)
{
    const round_metrics *m = &k->metrics;
    json_t *j = json_object(), *picks = json_array(), *recall = json_array(), *pseudo = json_array();
    json_object_set_new(j, "round", integer(k->round));
    json_object_set_new(j, "labels", integer(k->n_labelled));
    json_object_set_new(j, "out_of_class", integer(k->n_ood));
    json_object_set_new(j, "unlabelled", integer(k->n_unlabelled));
    json_object_set_new(j, "candidates", k->n_candidates < 0 ? json_null() : integer(k->n_candidates));
    json_object_set_new(j, "accuracy", real(m->accuracy));
    json_object_set_new(j, "balanced_accuracy", real(m->balanced_accuracy));
    json_object_set_new(j, "macro_f1", real(m->macro_f1));
    json_object_set_new(j, "log_loss", real(m->log_loss));
    for (int64_t c = 0; m->recall && c < m->n_classes; c++)
        json_array_append_new(recall, real(m->recall[c]));
    json_object_set_new(j, "recall", recall);
    json_object_set_new(j, "purity", real(p->purity));
    json_object_set_new(j, "purity_so_far", real(p->purity_so_far));
    json_object_set_new(j, "id_recall", real(p->id_recall));
    json_object_set_new(j, "ood_recall", real(p->ood_recall));
    json_object_set_new(j, "train_loss", real(m->train_loss));
    json_object_set_new(j, "train_accuracy", real(m->train_accuracy));
    json_object_set_new(j, "epochs", integer(m->epochs));
    json_object_set_new(j, "converged", json_boolean(m->converged != 0));
    json_object_set_new(j, "times", times_json(&k->times));
    json_object_set_new(j, "peak_rss_bytes", integer(k->times.peak_rss));
    json_object_set_new(j, "reason", json_string(k->reason));
    for (int64_t i = 0; i < k->n_picks; i++)
        json_array_append_new(picks, pick_json(&k->picks[i]));
    json_object_set_new(j, "picks", picks);
    for (int64_t i = 0; i < k->n_pseudo; i++)
        json_array_append_new(pseudo, json_pack("{s:I, s:I, s:f}", "id", (json_int_t)k->pseudo_ids[i],
                                                "class", (json_int_t)k->pseudo_classes[i], "weight",
                                                (double)k->pseudo_weights[i]));
    json_object_set_new(j, "pseudo_labels", pseudo);
    return j;
}

static json_t *link_json(const store_link *l)
{
    return json_pack("{s:I, s:s, s:s, s:I, s:I, s:I, s:o}", "position", (json_int_t)l->position, "component",
                     l->component, "split", l->split, "samples", (json_int_t)l->samples, "unlabelled",
                     (json_int_t)l->unlabelled, "out_of_class", (json_int_t)l->out_of_class, "classes",
                     parsed(l->classes));
}

json_t *run_json(const stored_run *r)
{
    json_t *j = head_json(&r->head), *rounds = json_array(), *initial = json_array(), *data = json_array();
    for (int64_t i = 0; i < r->head.n_links; i++)
        json_array_append_new(data, link_json(&r->head.links[i]));
    for (int64_t i = 0; i < r->n_initial; i++) {
        const int32_t cls = r->initial_classes[i];
        json_array_append_new(initial, json_pack("{s:I, s:o}", "id", (json_int_t)r->initial[i], "class",
                                                 cls < 0 ? json_null() : integer(cls)));
    }
    round_purity *pure = purity_of(r);
    for (int64_t k = 0; k < r->n_rounds; k++)
        json_array_append_new(rounds, round_json(&r->rounds[k], &pure[k]));
    free(pure);
    learning_curve c = learning_curve_of(r);
    json_object_set_new(j, "final_accuracy", real(c.n > 0 ? c.a[c.n - 1] : (double)NAN));
    json_object_set_new(j, "aubc", real(summary_aubc(&c)));
    learning_curve_fini(&c);
    json_object_set_new(j, "data", data);
    json_object_set_new(j, "initial", initial);
    json_object_set_new(j, "rounds", rounds);
    return j;
}

void json_write(FILE *out, const json_t *j, bool indent)
{
    json_dumpf(j, out,
               (indent ? JSON_INDENT(1) : JSON_COMPACT) | JSON_ENCODE_ANY | JSON_REAL_PRECISION(17));
    fputc('\n', out);
}

/* ---- CSV ---- */

static void csv_text(FILE *out, const char *s)
{
    if (!strpbrk(s, ",\"\r\n")) {
        fputs(s, out);
        return;
    }
    fputc('"', out);
    for (; *s; s++)
        fprintf(out, *s == '"' ? "\"%c" : "%c", *s);
    fputc('"', out);
}

static void csv_real(FILE *out, double x)
{
    char digits[40] = "";
    for (int n = 15; !isnan(x) && n <= 17; n++) { /* the shortest that reads back as x */
        snprintf(digits, sizeof digits, "%.*g", n, x);
        if (strtod(digits, NULL) == x)
            break;
    }
    fprintf(out, ",%s", digits);
}

static void csv_run(FILE *out, const run_head *h)
{
    fprintf(out, "%lld,", (long long)h->id);
    csv_text(out, h->name);
    fputc(',', out);
    csv_text(out, h->strategy);
    fprintf(out, ",%lld,%llu", (long long)h->trial, (unsigned long long)h->seed);
}

void rounds_csv_head(FILE *out)
{
    fputs(
        "run,name,strategy,trial,seed,round,labels,out_of_class,unlabelled,accuracy,balanced_accuracy,"
        "macro_f1,log_loss,train_loss,train_accuracy,epochs,converged,train_s,evaluate_s,infer_s,"
        "select_s,"
        "label_s,previous_commit_s,train_cpu_s,infer_cpu_s,select_cpu_s,peak_rss_bytes,picks,candidates,"
        "purity,purity_so_far,id_recall,ood_recall,chosen\n",
        out);
}

void rounds_csv(FILE *out, const stored_run *r)
{
    round_purity *pure = purity_of(r);
    char *chosen = chosen_text(&r->head, "=", " ");
    for (int64_t i = 0; i < r->n_rounds; i++) {
        const round_record *k = &r->rounds[i];
        const round_metrics *m = &k->metrics;
        const phase_times *t = &k->times;
        const double metrics[] = {m->accuracy, m->balanced_accuracy, m->macro_f1,
                                  m->log_loss, m->train_loss,        m->train_accuracy};
        const double times[] = {t->train,  t->evaluate,  t->infer,     t->select,    t->label,
                                t->commit, t->train_cpu, t->infer_cpu, t->select_cpu};
        csv_run(out, &r->head);
        fprintf(out, ",%lld,%lld,%lld,%lld", (long long)k->round, (long long)k->n_labelled,
                (long long)k->n_ood, (long long)k->n_unlabelled);
        for (size_t x = 0; x < sizeof metrics / sizeof *metrics; x++)
            csv_real(out, metrics[x]);
        fprintf(out, ",%lld,%d", (long long)m->epochs, m->converged != 0);
        for (size_t x = 0; x < sizeof times / sizeof *times; x++)
            csv_real(out, times[x]);
        fprintf(out, ",%lld,%lld,", (long long)t->peak_rss, (long long)k->n_picks);
        fprintf(out, k->n_candidates < 0 ? "" : "%lld", (long long)k->n_candidates);
        csv_real(out, pure[i].purity);
        csv_real(out, pure[i].purity_so_far);
        csv_real(out, pure[i].id_recall);
        csv_real(out, pure[i].ood_recall);
        fputc(',', out);
        csv_text(out, chosen);
        fputc('\n', out);
    }
    free(chosen);
    free(pure);
}

void picks_csv_head(FILE *out)
{
    fputs("run,name,strategy,trial,seed,round,rank,id,score,nearest_id,distance,answer,class,class_"
          "name,cost,nearest_pick_id,nearest_pick_distance,stands_for\n",
          out);
}

static void pick_csv(FILE *out, const pick *p, char **classes)
{
    fprintf(out, ",%lld,%lld", (long long)p->rank, (long long)p->id);
    csv_real(out, p->score);
    if (p->nearest < 0)
        fputc(',', out);
    else
        fprintf(out, ",%lld", (long long)p->nearest);
    csv_real(out, p->distance);
    fprintf(out, ",%s,", answer_name(p->answer));
    if (p->answer == DAL_ANSWER_CLASS) {
        fprintf(out, "%d,", p->cls);
        csv_text(out, classes[p->cls]);
    } else {
        fputc(',', out);
    }
    csv_real(out, p->cost);
    if (!p->why) {
        fputs(",,,\n", out);
        return;
    }
    fprintf(out, p->why->other < 0 ? "," : ",%lld", (long long)p->why->other);
    csv_real(out, p->why->other_distance);
    fprintf(out, ",%lld\n", (long long)p->why->stands_for);
}

void picks_csv(FILE *out, const stored_run *r)
{
    char **classes = class_names_of(&r->head);
    for (int64_t k = 0; k < r->n_rounds; k++)
        for (int64_t i = 0; i < r->rounds[k].n_picks; i++) {
            csv_run(out, &r->head);
            fprintf(out, ",%lld", (long long)k);
            pick_csv(out, &r->rounds[k].picks[i], classes);
        }
    class_names_free(classes, r->head.n_classes);
}
