/* dal/plugin.h: how a module says what it contains.
 *
 * One module is one .so with one exported const symbol, <module>_LTX_dal_plugin, and an ELF note that
 * says the same in text, so that a host can list, check and refuse without running any of it. Both come
 * from one macro list:
 *
 *     typedef struct { double temperature; int64_t votes; } options;
 *     #define PARAMS(P, T)                                                                    \
 *         P(T, temperature, F64, "1", "(0..100]", "", "divide the logits by this first")     \
 *         P(T, votes, I64, "10", "1..1000", "passes", "stochastic passes per sample")
 *     #define COMPONENTS(C)                                                                   \
 *         C(STRATEGY, "my-entropy", entropy_impl, "entropy of softened outputs",              \
 *           "Settles 2009", DAL_CAP_OUTPUTS, "", options, PARAMS)
 *     DAL_MODULE(my_entropy, "1.0", "MIT", COMPONENTS, NULL, NULL)
 *
 * Module names are [a-z0-9_]+ and equal the file's base name; component ids are [a-z0-9-]+.
 */
#ifndef DAL_PLUGIN_H
#define DAL_PLUGIN_H

#include <dal/base.h>
#include <dal/data.h>
#include <dal/host.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- parameters ------------------------------------------------------------------------------- */

/* Types, the member they fill in the options struct, and what `domain` may say:
 *   BOOL        int32_t (0 or 1)
 *   I64, F64    int64_t, double     an interval: "1..1000" "(0..1]" "0.." "..5"; "(" ")" exclude the end
 *               an I64 of unit "bytes" may be given with a suffix K, M or G (powers of 1024)
 *   STR         const char *        "" for anything, "nonempty"
 *   PATH        const char *        "file" | "directory" | "file or directory" must exist (searched beside the
 *                                   manifest, then in DAL_DATA_PATH); "" any, taken relative to the manifest; value
 *                                   absolute
 *   CHOICE      uint32_t            "sgd|adam": the member is the number of the word, from 0
 *   I64S, F64S  dal_i64_list, ...   interval each item lies in
 *   STRS        dal_str_list        as STR
 *   COMPONENT   const dal_component_ref *   the kind: "strategy"; open it with host->open
 *   COMPONENTS  dal_ref_list        the kind of each
 *   PATHS       dal_str_list        as PATH; one alone needs no brackets, and an empty one is none
 * `def` is the default as it would stand in a manifest (lists "[100, 50]"), DAL_REQUIRED for none; "" for
 * STR, PATH: empty string, for COMPONENT: NULL, for lists: empty. Everything a member points at lives
 * until the component's destroy returns. */
#define DAL_PARAM_BOOL 1u
#define DAL_PARAM_I64 2u
#define DAL_PARAM_F64 3u
#define DAL_PARAM_STR 4u
#define DAL_PARAM_PATH 5u
#define DAL_PARAM_CHOICE 6u
#define DAL_PARAM_I64S 7u
#define DAL_PARAM_F64S 8u
#define DAL_PARAM_STRS 9u
#define DAL_PARAM_COMPONENT 10u
#define DAL_PARAM_COMPONENTS 11u
#define DAL_PARAM_PATHS 12u
#define DAL_REQUIRED "<required>"

typedef struct dal_i64_list {
    const int64_t *items;
    int64_t n;
} dal_i64_list;
typedef struct dal_f64_list {
    const double *items;
    int64_t n;
} dal_f64_list;
typedef struct dal_str_list {
    const char *const *items;
    int64_t n;
} dal_str_list;
typedef struct dal_ref_list {
    const dal_component_ref *const *items;
    int64_t n;
} dal_ref_list;

typedef struct dal_param {
    uint32_t struct_size;
    uint32_t type;
    const char *name, *def, *domain, *unit, *summary;
    size_t offset; /* of the member in the options struct */
} dal_param;

/* ---- component and plugin --------------------------------------------------------------------- */

typedef struct dal_component {
    uint32_t struct_size;
    uint32_t kind; /* DAL_KIND_* */
    const char *id, *summary, *reference;
    const char *needs, *provides; /* capability ids, space-separated */
    const void *impl;             /* the kind's const table */
    const dal_param *params;      /* [n_params], param_size bytes apart */
    int64_t n_params;
    size_t param_size, options_size;
} dal_component;

/* An open component. `impl` is the kind's table, `self` its object. */
struct dal_instance {
    uint32_t struct_size;
    uint32_t kind;
    const dal_component *component;
    const void *impl;
    void *self;
};

typedef struct dal_plugin {
    uint32_t struct_size;
    uint16_t abi_major, abi_minor; /* these eight bytes are frozen for ever */
    const char *module, *version, *licence;
    const dal_component *const *components; /* NULL-ended */
    dal_status (*init)(const dal_host *host, dal_error *err); /* [main] optional, once, before any create */
    void (*fini)(void);                                       /* [main] optional, after the last destroy */
} dal_plugin;

/* Is capability id one of the words of a space-separated list? */
static inline int dal_has_word(const char *list, const char *id)
{
    const size_t n = strlen(id);
    for (const char *p = list ? strstr(list, id) : NULL; p; p = strstr(p + 1, id))
        if ((p == list || p[-1] == ' ') && (p[n] == ' ' || p[n] == '\0'))
            return 1;
    return 0;
}

/* ---- the macro list --------------------------------------------------------------------------- */

typedef struct dal_no_options {
    char none;
} dal_no_options;
#define DAL_NO_PARAMS(P, T)

#define DAL_NOTE_OWNER "DAL"
#define DAL_NOTE_TYPE 1u
#define DAL_STR_(x) #x
#define DAL_STR(x) DAL_STR_(x)
#define DAL_KIND_NAME_DATASET "dataset"
#define DAL_KIND_NAME_TRANSFORM "transform"
#define DAL_KIND_NAME_MODEL "model"
#define DAL_KIND_NAME_STRATEGY "strategy"
#define DAL_KIND_NAME_ORACLE "oracle"

#ifndef __cplusplus
/* A parameter whose member has another C type than its declaration says does not compile. */
#define DAL_CTYPE_BOOL int32_t
#define DAL_CTYPE_I64 int64_t
#define DAL_CTYPE_F64 double
#define DAL_CTYPE_STR const char *
#define DAL_CTYPE_PATH const char *
#define DAL_CTYPE_CHOICE uint32_t
#define DAL_CTYPE_I64S dal_i64_list
#define DAL_CTYPE_F64S dal_f64_list
#define DAL_CTYPE_STRS dal_str_list
#define DAL_CTYPE_COMPONENT const dal_component_ref *
#define DAL_CTYPE_COMPONENTS dal_ref_list
#define DAL_CTYPE_PATHS dal_str_list
#define DAL_TYPED_(T, member, type) \
    (0 * sizeof(char[_Generic(((T *)0)->member, DAL_CTYPE_##type: 1, default: -1)]))
#else
#define DAL_TYPED_(T, member, type) 0
#endif

#define DAL_P_STRUCT_(T, member, type, def_, domain_, unit_, summary_)                        \
    {sizeof(dal_param), DAL_PARAM_##type, #member, def_, domain_, unit_, summary_,            \
     offsetof(T, member) + DAL_TYPED_(T, member, type)},
#define DAL_P_NOTE_(T, member, type, def_, domain_, unit_, summary_) \
    "param\t" #member "\t" #type "\t" def_ "\t" domain_ "\t" unit_ "\t" summary_ "\n"

#define DAL_C_STRUCT_(kind_, id_, impl_, summary_, reference_, needs_, provides_, T, PARAMS)   \
    &(const dal_component){sizeof(dal_component), DAL_KIND_##kind_, id_, summary_, reference_, \
                           needs_, provides_, &impl_,                                          \
                           (const dal_param[]){PARAMS(DAL_P_STRUCT_, T){0}},                   \
                           (int64_t)(sizeof((dal_param[]){PARAMS(DAL_P_STRUCT_, T){0}}) /      \
                                     sizeof(dal_param)) - 1,                                   \
                           sizeof(dal_param), sizeof(T)},
#define DAL_C_NOTE_(kind_, id_, impl_, summary_, reference_, needs_, provides_, T, PARAMS)          \
    "component\t" DAL_KIND_NAME_##kind_ "\t" id_ "\n"                                               \
    "summary\t" summary_ "\nreference\t" reference_ "\nneeds\t" needs_ "\nprovides\t" provides_ "\n" \
    PARAMS(DAL_P_NOTE_, T)

/* About a component of the list: its rule as a formula, and how it differs from what it cites. */
#define DAL_A_NOTE_(kind_, id_, formula_, differs_) \
    "about\t" DAL_KIND_NAME_##kind_ "\t" id_ "\t" formula_ "\t" differs_ "\n"
#define DAL_NO_ABOUT(A)

/* When a strategy of the list has one of its needs. */
#define DAL_W_NOTE_(kind_, id_, capability_, param_, values_) \
    "when\t" DAL_KIND_NAME_##kind_ "\t" id_ "\t" capability_ "\t" param_ "\t" values_ "\n"
#define DAL_NO_WHEN(W)

#define DAL_NOTE_TEXT_(module_, version_, licence_, COMPONENTS, ABOUT, WHEN)               \
    "abi\t" DAL_STR(DAL_ABI_MAJOR) "\t" DAL_STR(DAL_ABI_MINOR) "\n"                        \
    "module\t" #module_ "\nversion\t" version_ "\nlicence\t" licence_ "\n"                 \
    COMPONENTS(DAL_C_NOTE_) ABOUT(DAL_A_NOTE_) WHEN(DAL_W_NOTE_) "end\n"

/* Defines the module's symbol and its note. Texts are one line each, without tabs. */
#define DAL_MODULE(module_, version_, licence_, COMPONENTS, init_, fini_) \
    DAL_MODULE_ABOUT(module_, version_, licence_, COMPONENTS, DAL_NO_ABOUT, init_, fini_)

/* The same with what `dalhost component inspect` should tell about components: a macro list ABOUT(A) of
 * A(STRATEGY, "id", "formula", "differences"), either of which may be "". Hosts that do not know it pass it over. */
#define DAL_MODULE_ABOUT(module_, version_, licence_, COMPONENTS, ABOUT, init_, fini_) \
    DAL_MODULE_WHEN(module_, version_, licence_, COMPONENTS, ABOUT, DAL_NO_WHEN, init_, fini_)

/* The same with needs that depend on parameters: a macro list WHEN(W) of
 * W(STRATEGY, "id", DAL_CAP_OUTPUTS, "parameter", "value|other"): the strategy needs (and may read) the capability only
 * while its CHOICE or BOOL parameter ("true", "false") has one of the values; of several entries for one capability any
 * will do. The component's `needs` name it all the same: so hosts that do not know of this ask for it always. */
#define DAL_MODULE_WHEN(module_, version_, licence_, COMPONENTS, ABOUT, WHEN, init_, fini_)         \
    _Pragma("GCC diagnostic push") _Pragma("GCC diagnostic ignored \"-Woverlength-strings\"")       \
    static const struct {                                                                           \
        uint32_t name_size, text_size, type;                                                        \
        char name[4];                                                                               \
        char text[(sizeof(DAL_NOTE_TEXT_(module_, version_, licence_, COMPONENTS, ABOUT, WHEN)) + 3) / 4 * 4]; \
    } dal_note_ __attribute__((section(".note.dal"), used, aligned(4))) = {                         \
        4, sizeof(DAL_NOTE_TEXT_(module_, version_, licence_, COMPONENTS, ABOUT, WHEN)), DAL_NOTE_TYPE,   \
        DAL_NOTE_OWNER, DAL_NOTE_TEXT_(module_, version_, licence_, COMPONENTS, ABOUT, WHEN)};            \
    _Pragma("GCC diagnostic pop")                                                                   \
    extern DAL_PUBLIC const dal_plugin module_##_LTX_dal_plugin;                                    \
    const dal_plugin module_##_LTX_dal_plugin = {                                                   \
        sizeof(dal_plugin), DAL_ABI_MAJOR, DAL_ABI_MINOR, #module_, version_, licence_,             \
        (const dal_component *const[]){COMPONENTS(DAL_C_STRUCT_) NULL}, init_, fini_};

#ifdef __cplusplus
}
#endif
#endif
