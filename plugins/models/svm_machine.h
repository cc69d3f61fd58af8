/* svm_machine.h: a support vector classifier: what is kept of it, how it is trained, and what it says. */
#ifndef SVM_MACHINE_H
#define SVM_MACHINE_H

#include <dal/model.h>

#define SVM_LINEAR 0u
#define SVM_RBF 1u
#define SVM_POLY 2u
#define SVM_PLATT 0u   /* probabilities: a sigmoid for each pair of classes, coupled */
#define SVM_MARGINS 1u /* softmax of margins */

typedef struct svm_options {
    uint32_t kernel;
    double C;
    const char *gamma; /* scale, auto or a number */
    int64_t degree;
    double coef0, tol;
    int64_t cache;
    int32_t balanced;
    dal_f64_list class_weights;
    uint32_t probability, features;
} svm_options;

/* K(x, z) = <x, z> | exp(-gamma |x - z|^2) | (gamma <x, z> + coef0)^degree */
typedef struct svm_kernel {
    uint32_t kind;
    uint32_t platt; /* 1: pairs have a and b */
    double gamma, coef0;
    int64_t degree;
} svm_kernel;

/* One against one: the machine of classes i < j says sum_s coef_s K(x_s, x) - rho over the support vectors of both
 * classes, above 0 for i. Classes are those that had samples, `seen`; pairs go (0, 1), (0, 2), ... (1, 2), ... */
typedef struct svm_machine {
    const dal_host *host;
    svm_kernel kernel;
    int64_t c, d, n_seen, l; /* classes, values of a sample, classes seen, support vectors; n_seen 0: not fitted */
    int32_t sparse;
    int32_t *seen;  /* [n_seen] ascending */
    int32_t *owner; /* [l] index in seen */
    double *pairs;  /* [3, pairs] rho, then the sigmoid's a and b: P(i | i or j) = 1 / (1 + exp(a f + b)) */
    double *coef;   /* [l, n_seen - 1] against each other class, in the order of seen */
    double *squares; /* [l] |x_s|^2 */
    float *x;        /* dense: [l, d]; sparse: the values by column */
    int64_t n_columns; /* sparse: columns with a value, */
    int32_t *columns;  /* [n_columns] ascending, */
    int64_t *column_at; /* [n_columns + 1] where each begins, */
    int32_t *row;       /* and whose each value is */
} svm_machine;

static inline int64_t svm_n_pairs(int64_t k)
{
    return k * (k - 1) / 2;
}

/* Of i < j among k classes. */
static inline int64_t svm_pair(int64_t k, int64_t i, int64_t j)
{
    return i * (2 * k - i - 1) / 2 + j - i - 1;
}

/* gamma as the options have it: a number above 0, 0 for scale, -1 for auto. */
dal_status svm_read_gamma(const char *text, double *out, dal_error *err);
/* [main] Train a zeroed machine but for host, c, d and sparse; checked samples (dal_check_labels) of its shape. */
dal_status svm_machine_train(svm_machine *m, const svm_options *o, const dal_fit *f, dal_error *err);
void svm_machine_forget(svm_machine *m);
/* Measure |x_s|^2 once x is there. */
dal_status svm_machine_measure(svm_machine *m, dal_error *err);
/* [any] What the pairs say of each sample, out [n, pairs]. */
dal_status svm_machine_decide(const svm_machine *m, const dal_batch *x, double *out, dal_error *err);

/* The sigmoid of n decisions, y not 0 where the first class was right (svm_platt.c). */
void svm_platt_fit(const double *decision, const unsigned char *y, int64_t n, double *a, double *b);
double svm_platt_probability(double decision, double a, double b);
/* r [k, k]: r_ij estimates P(i | i or j), r_ij + r_ji = 1. p [k]; room [k (k + 1)]. */
void svm_platt_couple(const double *r, int64_t k, double *p, double *room);

#endif
