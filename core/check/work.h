/* check/work.h: one piece of each kind's work, for the tests that every kind has. */
#ifndef DAL_CHECK_WORK_H
#define DAL_CHECK_WORK_H

#include "check/stage.h"

/* A strategy selects, a model fits and predicts, a dataset reads, an oracle labels. Contract violations fail
 * the test; failures of the component are returned. */
dal_status work_once(stage *st, rig *r, dal_error *err);

/* strategy.c, model.c, dataset.c, oracle.c */
dal_status strategy_work(stage *st, rig *r, dal_error *err);
dal_status model_work(stage *st, rig *r, dal_error *err);
dal_status dataset_work(stage *st, rig *r, dal_error *err);
dal_status oracle_work(stage *st, rig *r, dal_error *err);

#endif
