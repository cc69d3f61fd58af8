/* pipeline/survey.h: how many samples of which class a dataset has, and what each transform made of that.
 */
#ifndef DALHOST_PIPELINE_SURVEY_H
#define DALHOST_PIPELINE_SURVEY_H

#include "pipeline/source.h"

typedef struct survey_link {
    const component_desc *desc; /* the dataset's, then each transform's */
    dal_sample_spec spec;
    int64_t n[DAL_SPLITS];
    int64_t *counts[DAL_SPLITS]; /* [spec.n_classes] */
    int64_t unlabelled[DAL_SPLITS], outside[DAL_SPLITS]; /* DAL_LABEL_NONE, DAL_LABEL_OOD */
} survey_link;

typedef struct survey {
    survey_link *links; /* [n], as the source's chain */
    int n;
} survey;

/* Counts every sample's class after each link of s. */
dal_status survey_make(source *s, survey *out, dal_error *err);
void survey_fini(survey *v);

#endif
