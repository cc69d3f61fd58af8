/* The manifest's own keys: one table for reading, defaults, the effective JSON and the JSON Schema. */
#include "manifest/reader.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof *(array)))

/* The oracle's default is found among the installed ones: see default_oracle in manifest.c. */
static const param_desc root_params[ROOT_N] = {
    [ROOT_DALHOST] = {"dalhost", DAL_PARAM_I64, DAL_REQUIRED, "1..", "",
                      "version of the manifest format; write 'dalhost: 1'"},
    [ROOT_NAME] = {"name", DAL_PARAM_STR, "", "", "", "name of the runs; default: the file's name"},
    [ROOT_SEED] = {"seed", DAL_PARAM_I64, "1", "0..", "", "key of all random streams"},
    [ROOT_TRIALS] = {"trials", DAL_PARAM_I64, "1", "1..1000000", "runs",
                     "how often to repeat; trial t uses seed + t"},
    [ROOT_DATASET] = {"dataset", DAL_PARAM_COMPONENT, DAL_REQUIRED, "dataset", "",
                      "where samples come from"},
    [ROOT_TRANSFORMS] = {"transforms", DAL_PARAM_COMPONENTS, "", "transform", "",
                         "applied to the dataset in this order"},
    [ROOT_MODEL] = {"model", DAL_PARAM_COMPONENT, DAL_REQUIRED, "model", "", "what is trained"},
    [ROOT_STRATEGY] = {"strategy", DAL_PARAM_COMPONENTS, DAL_REQUIRED, "strategy", "",
                       "which samples to label next; a list makes one run each"},
    [ROOT_ORACLE] = {"oracle", DAL_PARAM_COMPONENT, "", "oracle", "",
                     "who labels; default: the one that answers from the dataset's own labels"},
    [ROOT_MEMORY] = {"memory", DAL_PARAM_I64, "0", "0..", "bytes",
                     "what a strategy may take; 0: no bound"},
};

/* At least one: no model can be trained on nothing, and every strategy starts from a trained model. */
static const param_desc initial_params[INITIAL_N] = {
    [INITIAL_SIZE] = {"size", DAL_PARAM_I64, "100", "1..", "samples",
                      "labelled before the first round"},
    [INITIAL_BALANCED] = {"balanced", DAL_PARAM_BOOL, "false", "", "",
                          "the same number of every class"},
    [INITIAL_STRATEGY] = {"strategy", DAL_PARAM_COMPONENT, "", "strategy", "",
                          "chooses them by the inputs, since there is no model yet; the oracle is asked. Default: at "
                          "random among those whose class the dataset knows"},
};

static const param_desc query_params[QUERY_N] = {
    [QUERY_SIZE] = {"size", DAL_PARAM_I64, "100", "1..", "samples", "labels asked for in each round"},
    [QUERY_ROUNDS] = {"rounds", DAL_PARAM_I64, "10", "0..", "", "how many times to ask"},
    [QUERY_CANDIDATES] = {"candidates", DAL_PARAM_I64, "0", "0..", "samples",
                          "drawn at random from the pool for each query; 0: the whole pool"},
    [QUERY_OVER_MEMORY] = {"over_memory", DAL_PARAM_CHOICE, "refuse", "refuse|subsample", "",
                           "a strategy that needs more than `memory`: do not run it, or give it as many "
                           "candidates, drawn at random for each query, as fit"},
};

static const param_desc stop_params[STOP_N] = {
    [STOP_ACCURACY] = {"accuracy", DAL_PARAM_F64, "0", "0..1", "",
                       "stop when the test accuracy reaches it; 0: no such rule"},
    [STOP_LABELS] = {"labels", DAL_PARAM_I64, "0", "0..", "samples",
                     "stop when so many are labelled; 0: no such rule"},
    [STOP_COST] = {"cost", DAL_PARAM_F64, "0", "0..", "",
                   "stop when labels have cost so much; 0: no such rule"},
};

static const param_desc train_params[TRAIN_N] = {
    [TRAIN_WARM_START] = {"warm_start", DAL_PARAM_BOOL, "false", "", "",
                          "go on from the last round's weights, not from new ones"},
};

static const param_desc record_params[RECORD_N] = {
    [RECORD_MODELS] = {"models", DAL_PARAM_CHOICE, "last", "none|last|all", "",
                       "which rounds' models to keep"},
    [RECORD_NEAREST] = {"nearest", DAL_PARAM_BOOL, "true", "", "",
                        "note the nearest labelled sample of each pick"},
    [RECORD_EXPLAIN] = {"explain", DAL_PARAM_BOOL, "false", "", "",
                        "note the nearest other pick of each, and how many candidates it stands for"},
};

const section manifest_root = {"", "", root_params, ROOT_N};

const section manifest_sections[SECTION_N] = {
    [SECTION_INITIAL] = {"initial", "the first labelled set", initial_params, COUNT(initial_params)},
    [SECTION_QUERY] = {"query", "the rounds", query_params, COUNT(query_params)},
    [SECTION_STOP] = {"stop", "when to stop early", stop_params, COUNT(stop_params)},
    [SECTION_TRAIN] = {"train", "how the model is trained from round to round", train_params,
                       COUNT(train_params)},
    [SECTION_RECORD] = {"record", "what the run store keeps", record_params, COUNT(record_params)},
};

static void each_of(const section *s, void (*key)(void *, const char *, const char *, const param_desc *), void *ctx)
{
    for (int i = 0; i < s->n_params; i++)
        key(ctx, s->name, s->summary, &s->params[i]);
}

void manifest_each_key(void (*key)(void *ctx, const char *section, const char *what, const param_desc *p), void *ctx)
{
    each_of(&manifest_root, key, ctx);
    for (int i = 0; i < SECTION_N; i++)
        each_of(&manifest_sections[i], key, ctx);
}
