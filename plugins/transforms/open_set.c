/* open-set: some classes become unknown. Their samples stay in the pool, where they cost what any sample costs
 * when they are asked for and get the answer "none of the classes".
 *
 * The in-distribution (ID) classes are those of `classes`, else `n_classes` drawn at random, else
 * round((1 - ratio) C) drawn at random; with `ood`, all. They become 0..K-1 in the order of their old numbers; all
 * others are out of distribution (OOD). With N_I and N_O the samples of either sort that the pool has, and r the ratio,
 * the OOD share that is wanted, the new pool has n_I and n_O of them:
 *     exact     n_O = round(r/(1-r) N_I), n_I = N_I
 *     alscope   n_O = round(r (N_I + N_O)), n_I = N_I
 *     both, where that n_O > N_O:  n_O = N_O, n_I = round(N_O (1-r)/r)
 * alscope is ALScope's formula, whose share is r only when the classes divide that way already: on two and two
 * equal classes r = 0.2 gives 0.2857.
 *
 * With `ood` the pool of another dataset is out of distribution, too, whatever its samples are: classes from nearby, or
 * far ones. They lie behind those of this dataset. Images are converted to its size (bilinear) and to one channel or
 * three.
 *
 * What queries make of it (purity, ID and OOD recall of each round) is in `dalhost runs show`.
 *
 * Samples are drawn without replacement and stay in their old order. Validation and test keep the ID classes
 * only. Samples whose class is not known all stay; they count as neither.
 */
#include <dal/derived.h>

#include <math.h>

#include "parts.h"

typedef struct options {
    const dal_component_ref *ood;
    dal_str_list classes;
    int64_t n_classes, seed;
    double ratio;
    uint32_t formula;
} options;

enum { EXACT, ALSCOPE };

/* This dataset and the other one. */
typedef struct widened {
    parts base;
    dal_dataset dataset;
} widened;

typedef struct open_set {
    dal_derived base;
    const options *opt;
    widened *wide; /* what it is derived from; NULL: from the dataset below alone */
    int32_t *to;  /* [C below] the new class, or DAL_LABEL_OOD; freed when create is done */
    int32_t *old; /* [K] the class below of each new one; likewise */
    int64_t n_id; /* K */
} open_set;

/* ---- the other dataset ------------------------------------------------------------------------ */

static const dal_dataset_impl widened_impl = {
    .struct_size = sizeof widened_impl,
    .info = parts_info,
    .classes = parts_classes,
    .read = parts_read,
    .sizes = parts_sizes,
    .describe = parts_describe,
    .fingerprint = parts_fingerprint,
};

/* The pool is followed by that of the other dataset, out of distribution; the other splits stay as they are. */
static dal_status widen(const dal_host *host, const options *o, const dal_dataset *input, widened **out, dal_error *err)
{
    void *made = NULL;
    dal_status st = parts_new(host, input, 2, sizeof(widened), &made, err);
    if (st != DAL_OK)
        return st;
    widened *w = made;
    st = parts_add(&w->base, o->ood, 1, "ood", err);
    if (st == DAL_OK && w->base.items[1].n[DAL_SPLIT_TRAIN] == 0)
        st = dal_fail(err, DAL_E_INVALID, "ood", "its pool has no samples");
    if (st != DAL_OK) {
        parts_destroy(w);
        return st;
    }
    part *other = &w->base.items[1];
    other->outside = 1;
    other->n[DAL_SPLIT_VALIDATION] = other->n[DAL_SPLIT_TEST] = 0;
    w->base.info.n[DAL_SPLIT_TRAIN] += other->n[DAL_SPLIT_TRAIN];
    w->dataset = (dal_dataset){&widened_impl, w};
    *out = w;
    return DAL_OK;
}

/* ---- which classes ---------------------------------------------------------------------------- */

static dal_status settle_count(open_set *self, dal_error *err)
{
    const options *o = self->opt;
    const int64_t c = self->base.below.spec.n_classes;
    const char *key = o->classes.n ? "classes" : o->n_classes ? "n_classes" : "ratio";
    self->n_id = o->classes.n   ? o->classes.n
                 : o->n_classes ? o->n_classes
                 : o->ood       ? c
                                : (int64_t)round((1 - o->ratio) * (double)c);
    if (o->classes.n && o->n_classes && o->n_classes != o->classes.n)
        return dal_fail(err, DAL_E_INVALID, "n_classes", "n_classes is %lld, but %lld classes are named",
                        (long long)o->n_classes, (long long)o->classes.n);
    if (self->n_id < 1 || self->n_id > c)
        return dal_fail(err, DAL_E_INVALID, key, "%lld in-distribution classes wanted, expected 1..%lld",
                        (long long)self->n_id, (long long)c);
    return DAL_OK;
}

static dal_status draw_classes(open_set *self, dal_rng r, dal_error *err)
{
    const dal_derived *d = &self->base;
    const int64_t c = d->below.spec.n_classes;
    int64_t *order = dal_array(d->host, c, sizeof *order);
    if (!order)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for the transform");
    for (int64_t i = 0; i < c; i++)
        order[i] = i;
    dal_rng_shuffle(&r, order, c, self->n_id);
    for (int64_t i = 0; i < self->n_id; i++)
        self->old[i] = (int32_t)order[i];
    d->host->free(d->host, order);
    return DAL_OK;
}

static dal_status choose_classes(open_set *self, dal_rng r, dal_error *err)
{
    dal_derived *d = &self->base;
    const int64_t c = d->below.spec.n_classes;
    dal_status st = settle_count(self, err);
    if (st != DAL_OK)
        return st;
    self->to = dal_array(d->host, c, sizeof *self->to);
    self->old = dal_array(d->host, self->n_id, sizeof *self->old);
    if (!self->to || !self->old)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for the transform");
    if (self->opt->classes.n)
        st = dal_derived_find_classes(d, self->opt->classes.items, self->n_id, "classes", self->old, err);
    else
        st = draw_classes(self, r, err);
    for (int64_t k = 0; k < c; k++)
        self->to[k] = DAL_LABEL_OOD;
    for (int64_t i = 0; i < self->n_id && st == DAL_OK; i++)
        self->to[self->old[i]] = 0;
    for (int64_t k = 0, next = 0; k < c && st == DAL_OK; k++)
        if (self->to[k] == 0) {
            self->old[next] = (int32_t)k;
            self->to[k] = (int32_t)next++;
        }
    return st == DAL_OK ? dal_derived_name_classes(d, self->old, self->n_id, err) : st;
}

/* ---- which samples ---------------------------------------------------------------------------- */

/* How many of n_id ID and n_ood OOD samples to take. */
static dal_status settle_sizes(const options *o, int64_t n_id, int64_t n_ood, int64_t *take_id, int64_t *take_ood,
                               dal_error *err)
{
    const double r = o->ratio;
    const double wanted =
        o->formula == ALSCOPE ? round(r * (double)(n_id + n_ood)) : round(r / (1 - r) * (double)n_id);
    if (n_id == 0)
        return dal_fail(err, DAL_E_INVALID, "classes", "the pool has no samples of the in-distribution classes");
    if (wanted > 0 && n_ood == 0)
        return dal_fail(err, DAL_E_INVALID, "ratio",
                        "an out-of-distribution share of %g is wanted, but no class is left to be unknown", r);
    *take_id = n_id;
    *take_ood = (int64_t)wanted;
    if (wanted > (double)n_ood) {
        *take_ood = n_ood;
        *take_id = (int64_t)round((double)n_ood * (1 - r) / r);
    }
    if (*take_id == 0)
        return dal_fail(err, DAL_E_INVALID, "ratio",
                        "an out-of-distribution share of %g leaves no sample of a class", r);
    return DAL_OK;
}

/* Flag `take` of the n samples whose class is known and, as `ood` says, ID or OOD. */
static dal_status flag_some(const dal_derived *d, const int32_t *classes, int ood, int64_t n, int64_t take,
                            dal_rng r, unsigned char *flags, dal_error *err)
{
    int64_t *order = dal_array(d->host, n, sizeof *order), at = 0;
    if (!order)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory to choose from %lld samples", (long long)n);
    for (int64_t i = 0; i < d->below.n[DAL_SPLIT_TRAIN]; i++)
        if (classes[i] != DAL_LABEL_NONE && (classes[i] == DAL_LABEL_OOD) == ood)
            order[at++] = i;
    dal_rng_shuffle(&r, order, n, take);
    for (int64_t i = 0; i < take; i++)
        flags[order[i]] = 1;
    d->host->free(d->host, order);
    return DAL_OK;
}

/* The pool: classes are the new ones already. */
static dal_status choose_samples(open_set *self, const int32_t *classes, const dal_rng *root, unsigned char *flags,
                                 dal_error *err)
{
    const dal_derived *d = &self->base;
    int64_t n_id = 0, n_ood = 0, take_id = 0, take_ood = 0;
    for (int64_t i = 0; i < d->below.n[DAL_SPLIT_TRAIN]; i++) {
        n_id += classes[i] >= 0;
        n_ood += classes[i] == DAL_LABEL_OOD;
        flags[i] = classes[i] == DAL_LABEL_NONE;
    }
    dal_status st = settle_sizes(self->opt, n_id, n_ood, &take_id, &take_ood, err);
    if (st == DAL_OK)
        st = flag_some(d, classes, 0, n_id, take_id, dal_rng_at(root, 1), flags, err);
    if (st == DAL_OK)
        st = flag_some(d, classes, 1, n_ood, take_ood, dal_rng_at(root, 2), flags, err);
    return st;
}

static dal_status open_split(open_set *self, uint32_t split, const dal_rng *root, dal_error *err)
{
    dal_derived *d = &self->base;
    const int64_t n = d->below.n[split];
    int32_t *classes = NULL;
    dal_status st = dal_derived_classes_below(d, split, &classes, err);
    if (st != DAL_OK)
        return st;
    unsigned char *flags = dal_array(d->host, n, 1);
    if (!flags)
        st = dal_fail(err, DAL_E_NOMEM, "", "no memory to choose from %lld samples", (long long)n);
    for (int64_t i = 0; i < n && st == DAL_OK; i++) {
        classes[i] = classes[i] >= 0 ? self->to[classes[i]] : classes[i];
        flags[i] = classes[i] != DAL_LABEL_OOD;
    }
    if (st == DAL_OK && split == DAL_SPLIT_TRAIN)
        st = choose_samples(self, classes, root, flags, err);
    if (st == DAL_OK)
        st = dal_derived_keep(d, split, split, flags, 1, err);
    for (int64_t i = 0; i < d->info.n[split] && st == DAL_OK;
         i++) /* ids ascend: each is read before it is written */
        classes[i] = classes[d->ids[split][i]];
    d->host->free(d->host, flags);
    if (st == DAL_OK)
        d->classes[split] = classes;
    else
        d->host->free(d->host, classes);
    return st;
}

static void open_set_destroy(void *p)
{
    open_set *self = p;
    widened *wide = self ? self->wide : NULL;
    dal_derived_destroy(self);
    parts_destroy(wide);
}

static dal_status open_set_create(const dal_host *host, const void *opt, const dal_dataset *input, void **out,
                                  dal_error *err)
{
    void *made = NULL;
    widened *wide = NULL;
    const options *o = opt;
    const dal_rng root = dal_derived_rng(host, o->seed, "open-set");
    dal_status st = o->ood ? widen(host, o, input, &wide, err) : DAL_OK;
    if (st == DAL_OK)
        st = dal_derived_new(host, wide ? &wide->dataset : input, sizeof(open_set), &made, err);
    if (st != DAL_OK) {
        parts_destroy(wide);
        return st;
    }
    open_set *self = made;
    self->opt = o;
    self->wide = wide;
    if (self->base.below.spec.n_classes < 2)
        st = dal_fail(err, DAL_E_INVALID, "", "the dataset has %lld classes, expected 2 or more",
                      (long long)self->base.below.spec.n_classes);
    if (st == DAL_OK)
        st = choose_classes(self, dal_rng_at(&root, 0), err);
    for (uint32_t k = 0; k < DAL_SPLITS && st == DAL_OK; k++)
        st = open_split(self, k, &root, err);
    host->free(host, self->to);
    host->free(host, self->old);
    self->to = self->old = NULL;
    if (st == DAL_OK)
        *out = self;
    else
        open_set_destroy(self);
    return st;
}

static const dal_dataset_impl open_set_impl = {
    .struct_size = sizeof open_set_impl,
    .create = open_set_create,
    .destroy = open_set_destroy,
    .info = dal_derived_info,
    .classes = dal_derived_classes,
    .read = dal_derived_read,
    .sizes = dal_derived_sizes,
    .describe = dal_derived_describe,
    .fingerprint = dal_derived_fingerprint,
    .get_extension = dal_derived_get_extension, /* none with `ood`: the source would tell the label */
};

#define PARAMS(P, T)                                                                                    \
    P(T, classes, STRS, "", "nonempty", "",                                                             \
      "the classes that stay known, by name or number; none: drawn at random, or with ood all")                        \
    P(T, n_classes, I64, "0", "0..", "classes", "how many to draw; 0: (1 - ratio) of them, rounded; with ood: all") \
    P(T, ratio, F64, "0.4", "[0..1)", "", "share of out-of-distribution samples in the pool")           \
    P(T, formula, CHOICE, "exact", "exact|alscope", "",                                                 \
      "how many that are: the share of the new pool, or ALScope's share of the old one")                \
    P(T, ood, COMPONENT, "", "dataset", "", "a dataset whose pool is out of distribution, too")         \
    P(T, seed, I64, "0", "", "", "of classes and samples; 0: it follows the seed of the run")
#define COMPONENTS(C)                                                                                   \
    C(TRANSFORM, "open-set", open_set_impl, "some classes unknown: their samples stay in the pool, and cost", \
      "the open-set setting of the ALScope toolkit", "", DAL_CAP_CONCURRENT, options, PARAMS)
DAL_MODULE(open_set, "1.0", "Apache-2.0", COMPONENTS, NULL, NULL)
