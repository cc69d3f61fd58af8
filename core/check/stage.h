/* check/stage.h: a world with one open component in it. */
#ifndef DAL_CHECK_STAGE_H
#define DAL_CHECK_STAGE_H

#include <dal/oracle.h>

#include "check/suite.h"
#include "check/world.h"

extern const world_shape small_world; /* 60 candidates, 24 labelled, 3 classes, 8 features; vectors */

typedef struct stage {
    world *w;
    dal_dataset dataset;  /* what a transform is wrapped round */
    dal_oracle_task task; /* what an oracle is made for */
    char store[256];
    const dal_instance *instance;
} stage;

/* Make the world and open the component in it. Models and transforms that refuse vectors get images,
 * then sparse samples, then texts; those that refuse all skip the test. NULL with err filled when create fails in
 * another way. */
const dal_instance *stage_try(stage *st, rig *r, const world_shape *shape, dal_error *err);
/* The same in this very world. */
const dal_instance *stage_exact(stage *st, rig *r, const world_shape *shape, dal_error *err);
/* The same as stage_try, but any failure fails the test. */
void stage_open(stage *st, rig *r, const world_shape *shape);
void stage_close(stage *st, rig *r);
/* Frees what belongs to the stage; the instance must be closed. */
void stage_free(stage *st);

#endif
