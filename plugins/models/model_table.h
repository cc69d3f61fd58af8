/* model_table.h: the table `impl` of a model of one instance that offers its features and nothing else: from create,
 * destroy, fit, predict, save, load, width and features of its file. */
#ifndef MODEL_TABLE_H
#define MODEL_TABLE_H

#include <dal/fit.h>

#define MODEL_TABLE_PROVIDES DAL_CAP_OUTPUTS " " DAL_CAP_CONCURRENT " " DAL_CAP_FEATURES
#define MODEL_TABLE(output_)                                                                                           \
    static const void *get_extension(void *self, const char *id)                                                       \
    {                                                                                                                  \
        static const dal_model_features table = {.struct_size = sizeof table, .width = width, .features = features};   \
        (void)self;                                                                                                    \
        return strcmp(id, DAL_CAP_FEATURES) == 0 ? &table : NULL;                                                      \
    }                                                                                                                  \
    static const dal_model_impl impl = {.struct_size = sizeof(dal_model_impl), .output = output_, .create = create,    \
                                        .destroy = destroy, .fit = fit, .predict = predict, .save = save,              \
                                        .load = load, .get_extension = get_extension};

#endif
