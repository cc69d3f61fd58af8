#include "tests/unit/fake_registry.h"

#include <dal/plugin.h>
#include <stdlib.h>

#include "util/text.h"

#define FILES(P, T)                                                                         \
    P(T, images, PATH, DAL_REQUIRED, "file", "", "images of the pool")                      \
    P(T, folder, PATH, "", "directory", "", "a folder")                                     \
    P(T, log, PATH, "", "", "", "a file to write")                                          \
    P(T, noise, F64, "0.5", "(0..1]", "", "how noisy")                                      \
    P(T, n, I64, "10", "1..1000", "samples", "how many")                                    \
    P(T, label, STR, "", "", "", "class column")                                            \
    P(T, parts, PATHS, "", "file", "", "more images")
#define MLP(P, T)                                                                           \
    P(T, hidden, I64S, "[100]", "1..", "units", "widths of the layers")                     \
    P(T, solver, CHOICE, "adam", "sgd|adam|lbfgs", "", "optimiser")                         \
    P(T, rate, F64, "1e-3", "(0..", "", "learning rate")                                    \
    P(T, early_stop, BOOL, "false", "", "", "stop early")                                   \
    P(T, tags, STRS, "", "nonempty", "", "words")                                           \
    P(T, betas, F64S, "[0.9, 0.999]", "[0..1)", "", "decay of the averages")                \
    P(T, cache, I64, "1M", "0..", "bytes", "memory for inputs")
#define WRAP(P, T)                                                                          \
    P(T, base, COMPONENT, "margin", "strategy", "", "the inner one")                        \
    P(T, other, COMPONENT, "", "strategy", "", "perhaps another")                           \
    P(T, more, COMPONENTS, "", "strategy", "", "and more")                                  \
    P(T, label, STR, "x y", "nonempty", "", "shown in plots")

typedef struct faulty_options {
    int64_t n;
} faulty_options;
typedef struct deep_options {
    const dal_component_ref *base, *again;
} deep_options;
#define BAD_DEFAULT(P, T) P(T, n, I64, "0", "1..", "", "below its own bound")
#define BAD_YAML(P, T) P(T, n, I64, "[1", "1..", "", "no YAML")
#define BAD_DOMAIN(P, T) P(T, n, I64, "1", "one to ten", "", "no interval")
#define ENDLESS(P, T)                                                                       \
    P(T, base, COMPONENT, "endless", "strategy", "", "itself")                              \
    P(T, again, COMPONENT, "endless", "strategy", "", "and itself")
#define COMPARE(P, T)                                                                       \
    P(T, by, CHOICE, "features", "features|gradient|passes", "", "what is compared")        \
    P(T, twice, BOOL, "false", "", "", "with other weights, too")
static const need_when compare_when[] = {{DAL_CAP_OUTPUTS, "by", "gradient|passes"},
                                         {DAL_CAP_MC, "by", "passes"},
                                         {DAL_CAP_MC, "twice", "true"}};

/* The tables of plugin.h hold live structs; the registry's descriptions are made from the same lists. */
#define DESC_PARAM(T, member, type, def_, domain_, unit_, summary_) \
    {#member, DAL_PARAM_##type, def_, domain_, unit_, summary_},
#define NONE(P, T)

static const int no_impl;
#define LIVE(C)                                                                                       \
    C(DATASET, "files", no_impl, "files on disk", "", "", "", files_options, FILES)                   \
    C(MODEL, "mlp", no_impl, "a network", "", "",                                                     \
      DAL_CAP_OUTPUTS " " DAL_CAP_MC " " DAL_CAP_WARM_START, mlp_options, MLP)                        \
    C(STRATEGY, "wrap", no_impl, "a wrapper", "", DAL_CAP_OUTPUTS, "", wrap_options, WRAP)
static const dal_component *const live[] = {LIVE(DAL_C_STRUCT_) NULL};

const dal_component *fake_live(const char *id)
{
    for (int i = 0; live[i]; i++)
        if (strcmp(live[i]->id, id) == 0)
            return live[i];
    return NULL;
}

static const module_desc fake = {.path = "/m/fake.so", .name = "fake", .version = "1.0", .licence = "MIT",
                                 .abi_major = 1};
static const module_desc second = {.path = "/m/second.so", .name = "second", .version = "2.0", .licence = "MIT",
                                   .abi_major = 1};
static const module_desc faulty = {.path = "/m/faulty.so", .name = "faulty", .version = "0", .licence = "MIT",
                                   .abi_major = 1};

#define PARAMS_OF(LIST) ((const param_desc[]){LIST(DESC_PARAM, T){0}})
#define COUNT_OF(LIST) ((int)(sizeof PARAMS_OF(LIST) / sizeof(param_desc)) - 1)
#define COMPONENT(module, kind, id, summary, needs, provides, LIST) \
    {DAL_KIND_##kind, id, summary, "", needs, provides, PARAMS_OF(LIST), COUNT_OF(LIST), &module, "", "", NULL, 0}

/* Sorted by kind and id, as a registry is. The last two oracles come and go with the flavour. */
static const component_desc components[] = {
    COMPONENT(fake, DATASET, "drawn", "drawn by us", "", "", NONE),
    COMPONENT(fake, DATASET, "files", "files on disk", "", "", FILES),
    COMPONENT(fake, TRANSFORM, "scale", "to 0..1", "", "", NONE),
    COMPONENT(fake, MODEL, "convnet", "a larger network", "", DAL_CAP_OUTPUTS " " DAL_CAP_MC, NONE),
    COMPONENT(fake, MODEL, "linear", "a small model", "", DAL_CAP_OUTPUTS " " DAL_CAP_FEATURES, NONE),
    COMPONENT(fake, MODEL, "mlp", "a network", "", DAL_CAP_OUTPUTS " " DAL_CAP_MC " " DAL_CAP_WARM_START, MLP),
    COMPONENT(faulty, STRATEGY, "bad-default", "", "", "", BAD_DEFAULT),
    COMPONENT(faulty, STRATEGY, "bad-domain", "", "", "", BAD_DOMAIN),
    COMPONENT(faulty, STRATEGY, "bad-yaml", "", "", "", BAD_YAML),
    COMPONENT(fake, STRATEGY, "bald", "mutual information", DAL_CAP_OUTPUTS " " DAL_CAP_MC, "", NONE),
    {DAL_KIND_STRATEGY, "compare", "two of a kind", "", DAL_CAP_FEATURES " " DAL_CAP_OUTPUTS " " DAL_CAP_MC, "",
     PARAMS_OF(COMPARE), COUNT_OF(COMPARE), &fake, "", "", compare_when, 3},
    COMPONENT(faulty, STRATEGY, "endless", "", "", "", ENDLESS),
    COMPONENT(fake, STRATEGY, "foreign", "wants what nobody has", "dal.model.odd/1 org.example.thing/1", "", NONE),
    COMPONENT(fake, STRATEGY, "margin", "two best classes", DAL_CAP_OUTPUTS, "", NONE),
    COMPONENT(fake, STRATEGY, "twin", "one of two", "", "", NONE),
    COMPONENT(second, STRATEGY, "twin", "the other one", "", "", NONE),
    COMPONENT(fake, STRATEGY, "wrap", "a wrapper", DAL_CAP_OUTPUTS, "", WRAP),
    COMPONENT(fake, ORACLE, "paper", "asks a person", "", "", NONE),
    COMPONENT(fake, ORACLE, "truth", "the dataset's labels", DAL_CAP_TRUTH, "", NONE),
    COMPONENT(second, ORACLE, "truth-too", "the dataset's labels", DAL_CAP_TRUTH, "", NONE),
};
#define N_COMPONENTS ((int)(sizeof components / sizeof *components))

struct registry {
    int n;
};

const registry *fake_registry(fake_flavour flavour)
{
    static const registry flavours[] = {
        [FAKE_USUAL] = {N_COMPONENTS - 1},
        [FAKE_NO_TRUTH] = {N_COMPONENTS - 2},
        [FAKE_TWO_TRUTHS] = {N_COMPONENTS},
        [FAKE_EMPTY] = {0},
    };
    return &flavours[flavour];
}

int registry_n_components(const registry *r)
{
    return r->n;
}

const component_desc *registry_component(const registry *r, int i)
{
    return i >= 0 && i < r->n ? &components[i] : NULL;
}

const component_desc *registry_find(const registry *r, uint32_t kind, const char *id, const char *from, char **why)
{
    const component_desc *found = NULL;
    int n = 0;
    for (int i = 0; i < r->n; i++)
        if (components[i].kind == kind && strcmp(components[i].id, id) == 0 &&
            (!from || strcmp(components[i].module->name, from) == 0)) {
            found = &components[i];
            n++;
        }
    if (n == 1)
        return found;
    *why = n ? xasprintf("two modules offer '%s'", id)
             : xasprintf("no %s '%s'%s%s", kind_name(kind), id, from ? " from " : "", from ? from : "");
    return NULL;
}

static const char *const kinds[] = {"", "dataset", "transform", "model", "strategy", "oracle"};

const char *kind_name(uint32_t kind)
{
    return kind < sizeof kinds / sizeof *kinds ? kinds[kind] : "component";
}

uint32_t kind_from_name(const char *name)
{
    for (uint32_t i = 1; i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(kinds[i], name) == 0)
            return i;
    return 0;
}
