/* cli/runs_model.h: the model of a stored run as a file of its own. */
#ifndef DALHOST_CLI_RUNS_MODEL_H
#define DALHOST_CLI_RUNS_MODEL_H

#include "store/store.h"

/* What the run keeps of round `round`'s model (-1: of the last round that has one); *data is the caller's: free(). A
 * model that did not save itself as .safetensors is refused. */
dal_status read_model_file(store *s, const stored_run *r, int64_t round, void **data, size_t *n, dal_error *err);
/* What that gave, to `path`, without the files that it carries (DAL_ST_BESIDE), with the tensors that it leaves
 * elsewhere (DAL_ST_ELSEWHERE; where they are gone, or others: DAL_E_INVALID). Where path ends in '/' or is a folder:
 * into that folder as model.safetensors, and these files beside it; it is made, or has to be empty (DAL_E_INVALID). All
 * or nothing. */
dal_status write_model(const char *path, const void *data, size_t n, dal_error *err);

#endif
