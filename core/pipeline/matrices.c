#include "pipeline/matrices.h"

#include <math.h>
#include <stdlib.h>

#include "util/text.h"

static matrices *self_of(const provider *p)
{
    return p->impl;
}

/* ---- what is offered ---- */

static const struct {
    const char *capability, *advice;
} advices[] = {
    {DAL_CAP_OUTPUTS, "give --probs P.npy or --logits Z.npy, [n, c]"},
    {DAL_CAP_FEATURES, "give --features F.npy, [n, d]"},
    {DAL_CAP_MC, "give --mc M.npy, probabilities of the passes [k, n, c]"},
    {DAL_CAP_LAST_LAYER, "give --last-layer W.npy, [c, d], or [c, d+1] with the bias last"},
    {DAL_CAP_GROUPS, "give --groups G.npy, the number of each row's source, [n]"},
};

const char *matrices_advice(const char *capability)
{
    for (size_t i = 0; i < sizeof advices / sizeof *advices; i++)
        if (strcmp(advices[i].capability, capability) == 0)
            return advices[i].advice;
    return NULL;
}

static const char *lacks(const provider *p, const char *capability)
{
    (void)p;
    const char *advice = matrices_advice(capability);
    return advice ? advice : "select works on matrices alone; use it with dalhost run";
}

const char *matrices_missing(const matrices *m, const char *capability)
{
    const matrix_files *f = &m->given;
    const bool there = strcmp(capability, DAL_CAP_OUTPUTS) == 0      ? f->probs || f->logits
                       : strcmp(capability, DAL_CAP_FEATURES) == 0   ? f->features != NULL
                       : strcmp(capability, DAL_CAP_MC) == 0         ? f->mc != NULL
                       : strcmp(capability, DAL_CAP_LAST_LAYER) == 0 ? f->last_layer != NULL
                       : strcmp(capability, DAL_CAP_GROUPS) == 0     ? f->groups != NULL
                                                                     : false;
    return there ? NULL : lacks(&m->base, capability);
}

/* ---- getters ---- */

static bool consecutive(const int64_t *ids, int64_t n)
{
    return n > 0 && ids[n - 1] - ids[0] == n - 1; /* they ascend */
}

/* Floats are read where they lie; other numbers become floats block by block. */
static bool is_ready(const dal_npy *npy)
{
    return !npy || dal_npy_type(npy) == DAL_NPY_F32;
}

/* Rows of a file: where they lie when they are floats in a row there, else through the buffer. */
static dal_status rows_of(const dal_npy *npy, const int64_t *ids, int64_t n, floats *buffer, dal_matrix *out,
                          dal_error *err)
{
    const int64_t width = dal_npy_width(npy);
    const float *data = is_ready(npy) ? dal_npy_data(npy) : NULL;
    if (data && consecutive(ids, n)) {
        *out = (dal_matrix){data + ids[0] * width, n, width, width};
        return DAL_OK;
    }
    float *copy = floats_reserve(buffer, n, width, 1, err);
    if (!copy)
        return DAL_E_NOMEM;
    *out = (dal_matrix){copy, n, width, width};
    return dal_npy_take_f32(npy, ids, n, copy, err);
}

/* Of a matrix [n_labelled, any]. Row sets never mix. */
static dal_status labelled_rows(const matrices *m, const dal_matrix *all, const int64_t *ids, int64_t n,
                                const char *what, const char *option, dal_matrix *out, dal_error *err)
{
    const int64_t first = ids[0] - m->n;
    if (!all->data)
        return dal_fail(err, DAL_E_UNSUPPORTED, "",
                        "the strategy reads %s of labelled samples: give them%s, or use it with dalhost run", what,
                        option);
    if (!consecutive(ids, n) || first + n > m->n_labelled)
        return dal_fail(err, DAL_E_CONTRACT, "", "labelled samples are read in part or out of order");
    *out = (dal_matrix){all->data + first * all->stride, n, all->cols, all->stride};
    return DAL_OK;
}

static bool are_labelled(const matrices *m, const int64_t *ids, int64_t n)
{
    return n > 0 && ids[0] >= m->n;
}

static dal_status outputs(const provider *p, scratch *s, const int64_t *ids, int64_t n, dal_matrix *out, dal_error *err)
{
    const matrices *m = self_of(p);
    return are_labelled(m, ids, n) ? labelled_rows(m, &m->labelled_outputs, ids, n, "outputs",
                                                   " with --labelled-outputs", out, err)
                                   : rows_of(m->outputs, ids, n, &s->outputs, out, err);
}

static dal_status features(const provider *p, scratch *s, const int64_t *ids, int64_t n, dal_matrix *out,
                           dal_matrix *both, dal_error *err)
{
    const matrices *m = self_of(p);
    dal_status st = are_labelled(m, ids, n)
                        ? labelled_rows(m, &m->labelled, ids, n, "features", " with --labelled-features", out, err)
                        : rows_of(m->features, ids, n, &s->features, out, err);
    if (st == DAL_OK && both)
        st = outputs(p, s, ids, n, both, err);
    return st;
}

static dal_status mc(const provider *p, scratch *s, const int64_t *ids, int64_t n, int64_t passes, dal_tensor3 *out,
                     dal_error *err)
{
    const matrices *m = self_of(p);
    const int64_t c = p->n_classes;
    const dal_status st = are_labelled(m, ids, n)
                              ? dal_fail(err, DAL_E_UNSUPPORTED, "",
                                         "the strategy reads Monte-Carlo passes of labelled samples, which select is "
                                         "not given; use it with dalhost run")
                              : DAL_OK;
    if (st != DAL_OK)
        return st;
    if (passes > m->passes)
        return dal_fail(err, DAL_E_INVALID, "", "the strategy wants %lld passes, %s has %lld; make more, or set its "
                        "number of passes", (long long)passes, m->given.mc, (long long)m->passes);
    float *z = floats_reserve(&s->mc, n, c, passes, err);
    if (!z)
        return DAL_E_NOMEM;
    for (int64_t k = 0; k < passes; k++)
        for (int64_t i = 0; i < n; i++)
            memcpy(z + (k * n + i) * c, m->mc.data + (k * m->n + ids[i]) * c, (size_t)c * sizeof *z);
    *out = (dal_tensor3){z, passes, n, c};
    return DAL_OK;
}

static dal_status last_layer(const provider *p, dal_matrix *weights, const float **bias, dal_error *err)
{
    (void)err;
    const matrices *m = self_of(p);
    *weights = m->weights;
    *bias = m->bias;
    return DAL_OK;
}

/* ---- opening ---- */

static dal_npy *open_file(const char *path, uint32_t dims, const char *shape, diags *d)
{
    if (!path)
        return NULL;
    dal_npy *npy = NULL;
    dal_error err = DAL_ERROR_INIT;
    if (dal_npy_open(path, &npy, &err) != DAL_OK) {
        diags_error(d, (place){0}, "%s", err.text);
        return NULL;
    }
    if (dal_npy_ndim(npy) != dims) {
        diags_error(d, (place){0}, "%s: is %s, expected %s", path, dal_npy_describe(npy), shape);
        dal_npy_close(npy);
        return NULL;
    }
    return npy;
}

static dal_matrix whole(const dal_npy *npy, float **owned, const dal_host *host, diags *d)
{
    dal_matrix x = {0};
    dal_error err = DAL_ERROR_INIT;
    if (npy && dal_npy_matrix(npy, host, &x, owned, &err) != DAL_OK)
        diags_error(d, (place){0}, "%s", err.text);
    return x;
}

/* Two sizes that must be one; said with both shapes. */
static void same_size(int64_t a, const char *path_a, const dal_npy *npy_a, int64_t b, const char *path_b,
                      const dal_npy *npy_b, const char *what, diags *d)
{
    if (npy_a && npy_b && a != b)
        diags_error(d, (place){0}, "%s is %s and %s is %s: expected the same %s, found %lld and %lld", path_a,
                    dal_npy_describe(npy_a), path_b, dal_npy_describe(npy_b), what, (long long)a, (long long)b);
}

static void check_probabilities(const dal_npy *npy, const char *path, diags *d)
{
    enum { ROWS = 4096 };
    const int64_t n = dal_npy_size(npy, 0), c = dal_npy_width(npy), step = n > ROWS ? n / ROWS : 1;
    float *row = xcalloc((size_t)c, sizeof *row);
    dal_error err = DAL_ERROR_INIT;
    for (int64_t i = 0; i < n; i += step) {
        double sum = 0;
        bool negative = false;
        if (dal_npy_to_f32(npy, i, 1, row, &err) != DAL_OK)
            break;
        for (int64_t k = 0; k < c; k++) {
            sum += (double)row[k];
            negative |= row[k] < 0;
        }
        if (negative || fabs(sum - 1) > 1e-2) {
            diags_error(d, (place){0},
                        "%s: row %lld %s %g, expected probabilities that sum to 1; logits go to --logits", path,
                        (long long)i, negative ? "has negative values and sums to" : "sums to", sum);
            break;
        }
    }
    free(row);
}

static void read_classes(matrices *m, const char *path, diags *d)
{
    dal_error err = DAL_ERROR_INIT;
    int64_t *wide = xcalloc((size_t)m->n_labelled, sizeof *wide);
    m->classes = xcalloc((size_t)m->n_labelled, sizeof *m->classes);
    if (dal_npy_to_i64(m->classes_file, 0, m->n_labelled, wide, &err) != DAL_OK)
        diags_error(d, (place){0}, "%s", err.text);
    for (int64_t i = 0; i < m->n_labelled && !*err.text; i++) {
        m->classes[i] = (int32_t)wide[i];
        if (wide[i] < 0 || wide[i] > INT32_MAX || (m->base.n_classes && wide[i] >= m->base.n_classes)) {
            diags_error(d, (place){0}, "%s: row %lld is class %lld, expected 0..%lld", path, (long long)i,
                        (long long)wide[i], (long long)(m->base.n_classes ? m->base.n_classes - 1 : INT32_MAX));
            break;
        }
    }
    free(wide);
}

/* Sources are numbered as in the file; there are as many as the largest number tells. */
static void read_groups(matrices *m, const char *path, diags *d)
{
    enum { MOST = 1 << 24 };
    dal_error err = DAL_ERROR_INIT;
    int64_t *wide = xcalloc((size_t)m->n, sizeof *wide), most = 0;
    m->groups = xcalloc((size_t)(m->n + m->n_labelled), sizeof *m->groups);
    if (dal_npy_to_i64(m->groups_file, 0, m->n, wide, &err) != DAL_OK)
        diags_error(d, (place){0}, "%s", err.text);
    for (int64_t i = 0; i < m->n && !*err.text; i++) {
        if (wide[i] < DAL_GROUP_NONE || wide[i] >= MOST) {
            diags_error(d, (place){0}, "%s: row %lld is of source %lld, expected 0..%d, or -1: not known", path,
                        (long long)i, (long long)wide[i], MOST - 1);
            break;
        }
        m->groups[i] = (int32_t)wide[i];
        most = wide[i] > most ? wide[i] : most;
    }
    for (int64_t i = m->n; i < m->n + m->n_labelled; i++)
        m->groups[i] = DAL_GROUP_NONE;
    free(wide);
    m->group_names = xcalloc((size_t)most + 2, sizeof(char *));
    for (int64_t g = 0; g <= most; g++)
        m->group_names[g] = xasprintf("%lld", (long long)g);
    m->base.groups = m->groups;
    m->base.n_groups = most + 1;
    m->base.group_names = (const char *const *)m->group_names;
}

static void split_bias(matrices *m, const char *path, const char *features_path, diags *d)
{
    m->weights = whole(m->last_layer_file, &m->own_weights, m->base.host, d);
    same_size(dal_npy_size(m->last_layer_file, 0), path, m->last_layer_file, m->base.n_classes, "the outputs",
              m->outputs, "number of classes", d);
    if (!m->base.d || m->weights.cols == m->base.d)
        return;
    if (m->weights.cols != m->base.d + 1) {
        diags_error(d, (place){0}, "%s is %s and %s is %s: expected %lld columns, or one more with the bias", path,
                    dal_npy_describe(m->last_layer_file), features_path, dal_npy_describe(m->features),
                    (long long)m->base.d);
        return;
    }
    m->bias = xcalloc((size_t)m->weights.rows, sizeof *m->bias);
    for (int64_t k = 0; k < m->weights.rows; k++)
        m->bias[k] = m->weights.data[k * m->weights.stride + m->base.d];
    m->weights.cols = m->base.d;
}

static void check_rows(matrices *m, const matrix_files *f, int64_t n_known, diags *d)
{
    const char *outputs_path = f->probs ? f->probs : f->logits;
    const int64_t n_o = m->outputs ? dal_npy_size(m->outputs, 0) : -1;
    const int64_t n_f = m->features ? dal_npy_size(m->features, 0) : -1;
    const int64_t n_m = m->mc_file ? dal_npy_size(m->mc_file, 1) : -1;
    same_size(n_o, outputs_path, m->outputs, n_f, f->features, m->features, "number of rows", d);
    same_size(n_o, outputs_path, m->outputs, n_m, f->mc, m->mc_file, "number of samples", d);
    same_size(n_f, f->features, m->features, n_m, f->mc, m->mc_file, "number of samples", d);
    if (m->outputs && m->mc_file)
        same_size(dal_npy_size(m->outputs, 1), outputs_path, m->outputs, dal_npy_size(m->mc_file, 2), f->mc,
                  m->mc_file, "number of classes", d);
    m->n = n_o >= 0 ? n_o : n_f >= 0 ? n_f : n_m >= 0 ? n_m : n_known;
    if (n_known >= 0 && m->n >= 0 && m->n != n_known)
        diags_error(d, (place){0}, "there are %lld ids and %lld rows; expected one id a row", (long long)n_known,
                    (long long)m->n);
    if (m->n < 0 && !outputs_path && !f->features && !f->mc)
        diags_error(d, (place){0}, "nothing says how many samples there are; expected one of --probs, --logits, "
                                   "--features, --mc, --ids");
}

/* How many there are, by the first file that tells; the others must agree. */
static void check_labelled(matrices *m, const matrix_files *f, const char *outputs_path, diags *d)
{
    const struct {
        const dal_npy *npy;
        const char *path;
    } all[] = {{m->labelled_file, f->labelled_features},
               {m->classes_file, f->labelled_classes},
               {m->labelled_outputs_file, f->labelled_outputs}};
    int first = -1;
    for (int i = 0; i < 3; i++) {
        if (all[i].npy && first < 0) {
            first = i;
            m->n_labelled = dal_npy_size(all[i].npy, 0);
        } else if (all[i].npy) {
            same_size(m->n_labelled, all[first].path, all[first].npy, dal_npy_size(all[i].npy, 0), all[i].path,
                      all[i].npy, "number of rows", d);
        }
    }
    if (m->labelled_file)
        same_size(dal_npy_size(m->labelled_file, 1), f->labelled_features, m->labelled_file, m->base.d, f->features,
                  m->features, "number of features", d);
    if (m->labelled_outputs_file)
        same_size(dal_npy_size(m->labelled_outputs_file, 1), f->labelled_outputs, m->labelled_outputs_file,
                  m->base.n_classes, outputs_path, m->outputs, "number of classes", d);
}

dal_status matrices_open(matrices *m, const matrix_files *f, int64_t n_known, const dal_host *host, diags *d)
{
    *m = (matrices){.given = *f};
    const char *outputs_path = f->probs ? f->probs : f->logits;
    if (f->probs && f->logits)
        diags_error(d, (place){0}, "both --probs and --logits are given; expected one of them");
    m->outputs = open_file(outputs_path, 2, "[n, c]", d);
    m->features = open_file(f->features, 2, "[n, d]", d);
    m->mc_file = open_file(f->mc, 3, "[k, n, c]", d);
    m->last_layer_file = open_file(f->last_layer, 2, "[c, d]", d);
    m->labelled_file = open_file(f->labelled_features, 2, "[n labelled, d]", d);
    m->classes_file = open_file(f->labelled_classes, 1, "[n labelled]", d);
    m->labelled_outputs_file = open_file(f->labelled_outputs, 2, "[n labelled, c]", d);
    m->groups_file = open_file(f->groups, 1, "[n]", d);
    check_rows(m, f, n_known, d);
    m->base = (provider){
        .host = host,
        .block = is_ready(m->outputs) && is_ready(m->features) ? BLOCK_READY : BLOCK_COMPUTED,
        .n_classes = m->outputs ? dal_npy_size(m->outputs, 1) : m->mc_file ? dal_npy_size(m->mc_file, 2) : 0,
        .d = m->features ? dal_npy_size(m->features, 1) : 0,
        .output_kind = f->probs ? DAL_PROBS : DAL_LOGITS,
        .mc_kind = DAL_PROBS,
        .impl = m,
        .outputs = m->outputs ? outputs : NULL,
        .features = m->features ? features : NULL,
        .mc = m->mc_file ? mc : NULL,
        .last_layer = m->last_layer_file ? last_layer : NULL,
        .lacks = lacks,
    };
    check_labelled(m, f, outputs_path, d);
    if (m->groups_file && m->n >= 0 && dal_npy_size(m->groups_file, 0) != m->n)
        diags_error(d, (place){0}, "%s is %s, and there are %lld rows; expected one source a row", f->groups,
                    dal_npy_describe(m->groups_file), (long long)m->n);
    if (diags_errors(d))
        return DAL_E_INVALID;
    m->base.n_pool = m->n + m->n_labelled;
    m->passes = m->mc_file ? dal_npy_size(m->mc_file, 0) : 0;
    m->mc = whole(m->mc_file, &m->own_mc, host, d);
    m->labelled = whole(m->labelled_file, &m->own_labelled, host, d);
    m->labelled_outputs = whole(m->labelled_outputs_file, &m->own_labelled_outputs, host, d);
    if (m->last_layer_file)
        split_bias(m, f->last_layer, f->features, d);
    if (m->classes_file)
        read_classes(m, f->labelled_classes, d);
    if (m->groups_file)
        read_groups(m, f->groups, d);
    if (f->probs)
        check_probabilities(m->outputs, f->probs, d);
    if (f->probs && m->labelled_outputs_file)
        check_probabilities(m->labelled_outputs_file, f->labelled_outputs, d);
    return diags_errors(d) ? DAL_E_INVALID : DAL_OK;
}

void matrices_close(matrices *m)
{
    const dal_host *h = m->base.host;
    float *owned[] = {m->own_mc, m->own_weights, m->own_labelled, m->own_labelled_outputs};
    for (int i = 0; i < 4; i++)
        if (owned[i])
            h->free(h, owned[i]);
    dal_npy *files[] = {m->outputs,       m->features,     m->mc_file,              m->last_layer_file,
                        m->labelled_file, m->classes_file, m->labelled_outputs_file, m->groups_file};
    for (int i = 0; i < 8; i++)
        dal_npy_close(files[i]);
    free(m->bias);
    free(m->classes);
    free(m->groups);
    for (int64_t g = 0; m->group_names && m->group_names[g]; g++)
        free(m->group_names[g]);
    free(m->group_names);
    *m = (matrices){0};
}
