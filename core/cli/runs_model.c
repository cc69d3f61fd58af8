#include "cli/runs_model.h"

#include <dal/runtime.h>
#include <dal/safetensors.h>
#include <stdlib.h>

static dal_status find_model(store *s, const stored_run *r, int64_t round, int64_t *found, void **data, size_t *n,
                             dal_error *err)
{
    dal_status st = DAL_E_NOT_FOUND;
    const int64_t first = round >= 0 ? round : 0;
    for (int64_t at = round >= 0 ? round : r->n_rounds - 1; at >= first && st == DAL_E_NOT_FOUND; at--) {
        *err = (dal_error)DAL_ERROR_INIT;
        *found = at;
        st = store_read_blob(s, r->head.id, at, "model", data, n, err);
    }
    if (st != DAL_E_NOT_FOUND)
        return st;
    char which[32] = "of any round";
    if (round >= 0)
        snprintf(which, sizeof which, "of round %lld", (long long)round);
    dal_fail(err, st, "store", "%s: run %lld keeps no model %s: record.models says whose to keep (none, last or all rounds)",
             store_path(s), (long long)r->head.id, which);
    return st;
}

dal_status read_model_file(store *s, const stored_run *r, int64_t round, void **data, size_t *n, dal_error *err)
{
    const dal_runtime_config config = {.struct_size = sizeof config, .threads = 1};
    dal_error why = DAL_ERROR_INIT;
    dal_safetensors *f = NULL;
    int64_t found = -1;
    dal_status st = find_model(s, r, round, &found, data, n, err);
    if (st != DAL_OK)
        return st;
    dal_runtime *rt = dal_runtime_new(&config, err);
    if (!rt)
        st = DAL_E_FAILED;
    else if (dal_safetensors_view(dal_runtime_host(rt, "export"), "it", "", *data, (int64_t)*n, &f, &why) != DAL_OK)
        st = dal_fail(err, DAL_E_UNSUPPORTED, "", "the model of run %lld, round %lld, is kept in a form of its own, not as "
                      ".safetensors, which networks of layers are kept as (%s)", (long long)r->head.id, (long long)found, why.text);
    dal_safetensors_close(f);
    dal_runtime_free(rt);
    if (st != DAL_OK) {
        free(*data);
        *data = NULL;
    }
    return st;
}
