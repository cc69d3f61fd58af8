/* long-tail and imbalanced-classes: fewer samples of some classes.
 *
 * long-tail (Cui et al., "Class-balanced loss", CVPR 2019): with C classes in some order and imbalance factor
 * f = smallest / largest, class c = 0..C-1 keeps
 *     exponential   n_c = floor(N_c f^(c / (C-1)) + 1e-9)
 *     step          n_c = N_c for c < C/2, else floor(f N_c + 1e-9)
 * at least `minimum` and at most what it has. N_c is what class c has; with `of: largest` or `smallest` it is
 * what the largest or smallest class has (ALScope's text sets). ALScope itself loses the last sample of some
 * classes to logspace arithmetic (499 of CIFAR-10's 500 at f = 0.1); the 1e-9 is against that.
 *
 * imbalanced-classes (Kothawade et al., "SIMILAR", NeurIPS 2021): rare classes keep `rare_size` samples each,
 * the others `common_size`.
 *
 * Which samples stay is drawn class by class from streams of their own, so that what a smaller factor keeps
 * is part of what a larger one keeps. Samples stay in their old order; those of no class all stay.
 */
#include <dal/derived.h>

#include <math.h>

enum { EXPONENTIAL, STEP };
enum { GIVEN, RANDOM };
enum { EACH, LARGEST, SMALLEST };

typedef struct tail_options {
    uint32_t profile, order, of;
    double factor;
    int64_t minimum, seed;
    int32_t test;
} tail_options;

typedef struct rare_options {
    dal_str_list rare;
    int64_t n_rare, seed;
    double rare_size, common_size;
} rare_options;

/* ---- what both do ----------------------------------------------------------------------------- */

/* A split by class: order and first as dal_group_by_class gives them, flags to be set. */
typedef struct plan {
    dal_derived *d;
    uint32_t split;
    int64_t n_classes;
    int32_t *classes;     /* [n] */
    unsigned char *flags; /* [n] */
    int64_t *order, *first;
    int64_t *wanted; /* [C] */
} plan;

static void plan_free(plan *p)
{
    const dal_host *host = p->d->host;
    host->free(host, p->classes);
    host->free(host, p->flags);
    host->free(host, p->order);
    host->free(host, p->first);
    host->free(host, p->wanted);
}

static int64_t has(const plan *p, int64_t c)
{
    return p->first[c + 1] - p->first[c];
}

/* To be freed whether it succeeds or not. */
static dal_status plan_make(plan *p, dal_derived *d, uint32_t split, dal_error *err)
{
    const int64_t n = d->below.n[split], n_classes = d->below.spec.n_classes;
    *p = (plan){.d = d, .split = split, .n_classes = n_classes};
    const dal_status st = dal_derived_classes_below(d, split, &p->classes, err);
    if (st != DAL_OK)
        return st;
    p->flags = dal_array(d->host, n, 1);
    p->order = dal_array(d->host, n, sizeof *p->order);
    p->first = dal_array(d->host, n_classes + 2, sizeof *p->first);
    p->wanted = dal_array(d->host, n_classes, sizeof *p->wanted);
    if (!p->flags || !p->order || !p->first || !p->wanted)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory to choose from %lld samples", (long long)n);
    dal_group_by_class(p->classes, n, n_classes, p->order, p->first);
    return DAL_OK;
}

/* Keep wanted[c] samples of each class c. */
static dal_status plan_keep(plan *p, const dal_rng *stream, dal_error *err)
{
    for (int64_t i = 0; i < p->d->below.n[p->split]; i++)
        p->flags[i] = p->classes[i] < 0;
    for (int64_t c = 0; c < p->n_classes; c++) {
        dal_rng r = dal_rng_at(stream, (uint64_t)c);
        int64_t *of_class = p->order + p->first[c];
        dal_rng_shuffle(&r, of_class, has(p, c), p->wanted[c]);
        for (int64_t i = 0; i < p->wanted[c]; i++)
            p->flags[of_class[i]] = 1;
    }
    return dal_derived_keep(p->d, p->split, p->split, p->flags, 1, err);
}

static dal_status need_classes(const dal_derived *d, dal_error *err)
{
    if (d->below.spec.n_classes < 2)
        return dal_fail(err, DAL_E_INVALID, "", "the dataset has %lld classes, expected 2 or more",
                        (long long)d->below.spec.n_classes);
    return DAL_OK;
}

/* A random order of the classes: place[c] is the rank of class c. */
static dal_status draw_places(const dal_derived *d, dal_rng r, int random, int64_t *place, dal_error *err)
{
    const int64_t n = d->below.spec.n_classes;
    int64_t *order = dal_array(d->host, n, sizeof *order);
    if (!order)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory to order %lld classes", (long long)n);
    for (int64_t c = 0; c < n; c++)
        order[c] = c;
    if (random)
        dal_rng_shuffle(&r, order, n, n);
    for (int64_t rank = 0; rank < n; rank++)
        place[order[rank]] = rank;
    d->host->free(d->host, order);
    return DAL_OK;
}

/* ---- long-tail -------------------------------------------------------------------------------- */

static int64_t tail_count(const tail_options *o, int64_t base, int64_t rank, int64_t n_classes)
{
    double share = pow(o->factor, (double)rank / (double)(n_classes - 1));
    if (o->profile == STEP)
        share = 2 * rank < n_classes ? 1 : o->factor;
    return (int64_t)floor((double)base * share + 1e-9);
}

static dal_status tail_split(dal_derived *d, const tail_options *o, uint32_t split, const int64_t *place,
                             const dal_rng *stream, dal_error *err)
{
    plan p;
    dal_status st = plan_make(&p, d, split, err);
    if (st == DAL_OK) {
        int64_t largest = 0, smallest = INT64_MAX; /* of the classes that occur */
        for (int64_t c = 0; c < p.n_classes; c++) {
            largest = has(&p, c) > largest ? has(&p, c) : largest;
            smallest = has(&p, c) > 0 && has(&p, c) < smallest ? has(&p, c) : smallest;
        }
        for (int64_t c = 0; c < p.n_classes; c++) {
            const int64_t base = o->of == EACH ? has(&p, c) : o->of == LARGEST ? largest : smallest;
            const int64_t n = has(&p, c) > 0 ? tail_count(o, base, place[c], p.n_classes) : 0;
            const int64_t least = n > o->minimum ? n : o->minimum;
            p.wanted[c] = least < has(&p, c) ? least : has(&p, c);
        }
        st = plan_keep(&p, stream, err);
    }
    plan_free(&p);
    return st;
}

static dal_status tail_create(const dal_host *host, const void *opt, const dal_dataset *input, void **out,
                              dal_error *err)
{
    const tail_options *o = opt;
    const dal_rng root = dal_derived_rng(host, o->seed, "long-tail");
    int64_t *place = NULL;
    void *self = NULL;
    dal_status st = dal_derived_new(host, input, sizeof(dal_derived), &self, err);
    if (st != DAL_OK)
        return st;
    dal_derived *d = self;
    st = need_classes(d, err);
    if (st == DAL_OK && !(place = dal_array(host, d->below.spec.n_classes, sizeof *place)))
        st = dal_fail(err, DAL_E_NOMEM, "", "no memory for the transform");
    if (st == DAL_OK)
        st = draw_places(d, dal_rng_at(&root, DAL_SPLITS), o->order == RANDOM, place, err);
    for (uint32_t k = 0; k < DAL_SPLITS && st == DAL_OK; k++) {
        const dal_rng stream = dal_rng_at(&root, k);
        if (k == DAL_SPLIT_TRAIN || (k == DAL_SPLIT_TEST && o->test))
            st = tail_split(d, o, k, place, &stream, err);
    }
    host->free(host, place);
    if (st == DAL_OK)
        *out = self;
    else
        dal_derived_destroy(self);
    return st;
}

/* ---- imbalanced-classes ----------------------------------------------------------------------- */

/* rare[C] flags: the named classes, else n_rare drawn at random, else a half of them (rounded down). */
static dal_status choose_rare(const dal_derived *d, const rare_options *o, dal_rng r, int64_t *rare,
                              dal_error *err)
{
    const int64_t n = d->below.spec.n_classes, named = o->rare.n;
    if (named > 0 && o->n_rare > 0 && o->n_rare != named)
        return dal_fail(err, DAL_E_INVALID, "n_rare", "n_rare is %lld, but %lld rare classes are named",
                        (long long)o->n_rare, (long long)named);
    if (o->n_rare >= n || named >= n)
        return dal_fail(err, DAL_E_INVALID, named ? "rare" : "n_rare",
                        "%lld of %lld classes are rare; some must not be", (long long)(named ? named : o->n_rare),
                        (long long)n);
    if (named == 0) {
        const int64_t wanted = o->n_rare ? o->n_rare : n / 2;
        const dal_status st = draw_places(d, r, 1, rare, err);
        for (int64_t c = 0; c < n && st == DAL_OK; c++)
            rare[c] = rare[c] < wanted;
        return st;
    }
    int32_t *found = dal_array(d->host, named, sizeof *found);
    dal_status st = found ? dal_derived_find_classes(d, o->rare.items, named, "rare", found, err)
                          : dal_fail(err, DAL_E_NOMEM, "", "no memory for the transform");
    for (int64_t c = 0; c < n; c++)
        rare[c] = 0;
    for (int64_t i = 0; i < named && st == DAL_OK; i++)
        rare[found[i]] = 1;
    d->host->free(d->host, found);
    return st;
}

static dal_status rare_sizes(plan *p, const rare_options *o, const int64_t *rare, dal_error *err)
{
    dal_status st = DAL_OK;
    for (int64_t c = 0; c < p->n_classes && st == DAL_OK; c++) {
        char room[24], what[160];
        snprintf(what, sizeof what, "class '%.128s'", dal_derived_class_below(p->d, c, room));
        st = dal_derived_size(rare[c] ? o->rare_size : o->common_size, has(p, c),
                              rare[c] ? "rare_size" : "common_size", what, &p->wanted[c], err);
    }
    return st;
}

static dal_status rare_create(const dal_host *host, const void *opt, const dal_dataset *input, void **out,
                              dal_error *err)
{
    const rare_options *o = opt;
    const dal_rng root = dal_derived_rng(host, o->seed, "imbalanced-classes");
    const dal_rng stream = dal_rng_at(&root, 0);
    int64_t *rare = NULL;
    void *self = NULL;
    dal_status st = dal_derived_new(host, input, sizeof(dal_derived), &self, err);
    if (st != DAL_OK)
        return st;
    dal_derived *d = self;
    st = need_classes(d, err);
    if (st == DAL_OK && !(rare = dal_array(host, d->below.spec.n_classes, sizeof *rare)))
        st = dal_fail(err, DAL_E_NOMEM, "", "no memory for the transform");
    if (st == DAL_OK)
        st = choose_rare(d, o, dal_rng_at(&root, 1), rare, err);
    if (st == DAL_OK) {
        plan p;
        st = plan_make(&p, d, DAL_SPLIT_TRAIN, err);
        if (st == DAL_OK)
            st = rare_sizes(&p, o, rare, err);
        if (st == DAL_OK)
            st = plan_keep(&p, &stream, err);
        plan_free(&p);
    }
    host->free(host, rare);
    if (st == DAL_OK)
        *out = self;
    else
        dal_derived_destroy(self);
    return st;
}

static const dal_dataset_impl tail_impl = {
    .struct_size = sizeof tail_impl, .create = tail_create, DAL_DERIVED_SLOTS};
static const dal_dataset_impl rare_impl = {
    .struct_size = sizeof rare_impl, .create = rare_create, DAL_DERIVED_SLOTS};

#define SEED(P, T) P(T, seed, I64, "0", "", "", "of the choice; 0: it follows the seed of the run")
#define TAIL_PARAMS(P, T)                                                                               \
    P(T, profile, CHOICE, "exponential", "exponential|step", "", "how the sizes of the classes fall")   \
    P(T, factor, F64, "0.1", "(0..1]", "", "share that the last class keeps")                           \
    P(T, order, CHOICE, "given", "given|random", "", "of the classes, from the first (the head) to the last") \
    P(T, of, CHOICE, "each", "each|largest|smallest", "",                                               \
      "the shares are of what each class has, or the largest, or the smallest class")                   \
    P(T, minimum, I64, "1", "0..", "samples", "kept of each class in any case, when it has so many")    \
    P(T, test, BOOL, "false", "", "", "the test split too, with the same order of classes")             \
    SEED(P, T)
#define RARE_PARAMS(P, T)                                                                               \
    P(T, rare, STRS, "", "nonempty", "", "the rare classes, by name or number; none: drawn at random")  \
    P(T, n_rare, I64, "0", "0..", "classes", "how many to draw; 0: half of them")                       \
    P(T, rare_size, F64, "0.1", "0..", "samples",                                                       \
      "of each rare class in the pool: a count, or a fraction below 1; 0: all")                         \
    P(T, common_size, F64, "0", "0..", "samples", "of each other class, likewise")                      \
    SEED(P, T)
#define COMPONENTS(C)                                                                                   \
    C(TRANSFORM, "long-tail", tail_impl, "class sizes that fall from head to tail",                     \
      "Cui et al., CVPR 2019 (arXiv:1901.05555)", "", DAL_CAP_CONCURRENT, tail_options, TAIL_PARAMS)    \
    C(TRANSFORM, "imbalanced-classes", rare_impl, "some classes rare in the pool, the others common",   \
      "Kothawade et al., NeurIPS 2021 (arXiv:2107.00717)", "", DAL_CAP_CONCURRENT, rare_options, RARE_PARAMS)
DAL_MODULE(imbalance, "1.0", "Apache-2.0", COMPONENTS, NULL, NULL)
