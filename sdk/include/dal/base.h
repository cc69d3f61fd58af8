/* dal/base.h: what every other header of the SDK rests on.
 *
 * Rules of the whole ABI (they bind both sides of the line):
 *  - every public struct begins with `uint32_t struct_size`; tables only ever grow at the end; a
 *    reader uses a field only if it lies inside struct_size (DAL_HAS);
 *  - text is NUL-ended UTF-8; sizes in bytes are size_t, counts and indices int64_t;
 *  - nobody frees the other side's pointers; what a call fills, the caller owns;
 *  - every slot carries a thread tag: [main] the thread that created the object, [worker] any thread,
 *    one call at a time per instance, [any] any thread, several calls at once.
 */
#ifndef DAL_BASE_H
#define DAL_BASE_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The ABI this SDK speaks. A host loads a module when the majors are equal and the module's minor is
 * not newer than the host's. It moves apart from the package's version. */
#define DAL_ABI_MAJOR 1
#define DAL_ABI_MINOR 1

/* True when table p (of `type`) is long enough to hold slot f and the slot is filled. */
#define DAL_HAS(type, p, f) \
    ((p) && (p)->struct_size >= offsetof(type, f) + sizeof((p)->f) && (p)->f)

#if defined(__GNUC__)
#define DAL_PUBLIC __attribute__((visibility("default")))
#define DAL_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define DAL_PUBLIC
#define DAL_PRINTF(fmt, args)
#endif

/* Status codes: fixed for ever, never reused. An unknown value is read as DAL_E_FAILED. */
typedef int32_t dal_status;
#define DAL_OK 0
#define DAL_E_FAILED (-1)      /* anything that has no code of its own */
#define DAL_E_INVALID (-2)     /* a value, shape or option that cannot be used */
#define DAL_E_NOMEM (-3)       /* no memory */
#define DAL_E_IO (-4)          /* a file or stream failed */
#define DAL_E_FORMAT (-5)      /* a file's content is not what its format says */
#define DAL_E_UNSUPPORTED (-6) /* not offered by this component */
#define DAL_E_CANCELLED (-7)   /* the user asked to stop */
#define DAL_E_OVERFLOW (-8)    /* a size does not fit */
#define DAL_E_NOT_FOUND (-9)   /* file, id or key is not there */
#define DAL_E_CONTRACT (-10)   /* the other side broke a rule of this ABI */
#define DAL_E_DIVERGED (-11)   /* numbers became infinite or NaN */
#define DAL_E_PENDING (-12)    /* answers are still to come */

/* The story of a failure. Caller-owned; filled once, by the layer that knows most. `key` names the
 * parameter or object it is about ("" when none); the host adds the place in the manifest. */
typedef struct dal_error {
    uint32_t struct_size;
    dal_status status;
    char key[64];
    char text[1024];
} dal_error;

#define DAL_ERROR_INIT {sizeof(dal_error), DAL_OK, {0}, {0}}

/* Fill err (which may be NULL) and return st, so that a slot can end `return dal_fail(...)`. The text is one line, fit
 * for a terminal: control characters, which names out of a file may hold, become '?'. */
DAL_PRINTF(4, 5)
static inline dal_status dal_fail(dal_error *err, dal_status st, const char *key, const char *fmt, ...)
{
    if (err && err->struct_size >= sizeof(dal_error)) {
        va_list ap;
        err->status = st;
        snprintf(err->key, sizeof err->key, "%s", key ? key : "");
        va_start(ap, fmt);
        vsnprintf(err->text, sizeof err->text, fmt, ap);
        va_end(ap);
        for (char *c = err->text; *c; c++)
            if ((unsigned char)*c < 0x20 || *c == 0x7f)
                *c = '?';
    }
    return st;
}

/* *product = a * b for non-negative sizes; 0 when it does not fit (or a factor is negative). */
static inline int dal_size_mul(int64_t a, int64_t b, int64_t *product)
{
    if (a < 0 || b < 0 || (b != 0 && a > INT64_MAX / b))
        return 0;
    *product = a * b;
    return 1;
}

/* A borrowed row-major matrix: element (i, j) is data[i * stride + j]. Frozen. */
typedef struct dal_matrix {
    const float *data;
    int64_t rows, cols, stride;
} dal_matrix;

/* Borrowed Monte-Carlo passes: element (k, i, c) is data[(k * rows + i) * cols + c]. Frozen. */
typedef struct dal_tensor3 {
    const float *data;
    int64_t passes, rows, cols;
} dal_tensor3;

/* What a classifier says of n samples, [n, c]. Frozen.
 * DAL_LOGITS: z with p = softmax(z); DAL_PROBS: p itself, rows summing to 1. */
#define DAL_LOGITS 0u
#define DAL_PROBS 1u
typedef struct dal_outputs {
    dal_matrix values;
    uint32_t kind, reserved;
} dal_outputs;

/* Class numbers: 0..C-1, or one of these. */
#define DAL_LABEL_NONE (-1) /* not known */
#define DAL_LABEL_OOD (-2)  /* known to belong to none of the C classes */

/* Groups (sources) of samples: 0..G-1, or this: not known. */
#define DAL_GROUP_NONE (-1)

/* Kinds of components. A host skips a kind it does not know, with a note. */
#define DAL_KIND_DATASET 1u
#define DAL_KIND_TRANSFORM 2u
#define DAL_KIND_MODEL 3u
#define DAL_KIND_STRATEGY 4u
#define DAL_KIND_ORACLE 5u

/* Capability ids the host itself knows; anybody may invent more (reversed domain as prefix). */
#define DAL_CAP_CONCURRENT "dal.concurrent/1"          /* [worker] slots may run several at once */
#define DAL_CAP_OUTPUTS "dal.model.outputs/1"          /* predict; every model */
#define DAL_CAP_FEATURES "dal.model.features/1"        /* penultimate features */
#define DAL_CAP_STAGES "dal.model.stages/1"            /* pooled intermediate maps */
#define DAL_CAP_MC "dal.model.mc/1"                    /* stochastic passes */
#define DAL_CAP_LAST_LAYER "dal.model.last-layer/1"    /* weights and bias of the last layer */
#define DAL_CAP_INPUT_GRADIENT "dal.model.input-gradient/1"
#define DAL_CAP_FEATURE_GRADIENT "dal.model.feature-gradient/1"
#define DAL_CAP_PERTURB "dal.model.perturb/1"          /* copies with other weights */
#define DAL_CAP_COMPANION "dal.model.companion/1"      /* a strategy's losses trained along */
#define DAL_CAP_WARM_START "dal.model.warm-start/1"    /* fit can go on from the last weights */
#define DAL_CAP_CHOICES "dal.model.choices/1"          /* what parameters that leave a choice to the machine became */
#define DAL_CAP_MISSING "dal.model.missing/1"          /* NaN in a sample is a missing value; since ABI 1.1 */
#define DAL_CAP_TRUTH "dal.oracle.truth/1"             /* the labels the dataset came with */
#define DAL_CAP_GROUPS "dal.dataset.groups/1"          /* which source each sample is of */

#ifdef __cplusplus
}
#endif
#endif
