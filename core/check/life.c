/* Tests of every component's life: create, work, destroy; again and again, without memory, interrupted. */
#include <dirent.h>
#include <malloc.h>
#include <stdlib.h>
#include <time.h>

#include "check/stage.h"
#include "check/work.h"
#include "util/text.h"

#define TIMES 1000
#define LEAST_TIMES 3 /* where one create takes long ... */
#define BUDGET 4.0    /* ... and these seconds are over */

static void work(const subject *s, int arg)
{
    (void)arg;
    rig *r = rig_new(s, &(rig_options){0});
    stage st;
    dal_error err = DAL_ERROR_INIT;
    stage_open(&st, r, &small_world);
    const dal_status status = work_once(&st, r, &err);
    rig_check_error(status, &err, "its work");
    CHECK(status == DAL_OK, "it fails: %s", err.text);
    stage_close(&st, r);
    rig_check_memory(r, "after destroy");
    stage_free(&st);
    rig_free(r);
}

static int open_files(void)
{
    int n = 0;
    DIR *d = opendir("/proc/self/fd");
    while (d && readdir(d))
        n++;
    if (d)
        closedir(d);
    return n;
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void growth(const subject *s, int arg)
{
    (void)arg;
    rig *r = rig_new(s, &(rig_options){0});
    stage st;
    stage_open(&st, r, &small_world); /* settles which inputs it takes */
    stage_close(&st, r);
    const world_shape shape = st.w->shape;
    const double begin = seconds();
    size_t before = 0;
    int files = 0, settled = 0, i = 0; /* what is kept for good is there after the first few times */
    stage_free(&st);
    while (i < TIMES && (i < settled + LEAST_TIMES || !settled || seconds() - begin < BUDGET)) {
        stage_open(&st, r, &shape);
        stage_close(&st, r);
        rig_check_memory(r, "after destroy");
        stage_free(&st);
        i++;
        if (!settled && (i == 25 || seconds() - begin > BUDGET / 4)) {
            settled = i;
            before = mallinfo2().uordblks;
            files = open_files();
        }
    }
    const size_t after = mallinfo2().uordblks, room = 32 * (size_t)(i - settled) + 4096;
    CHECK(after <= before + room, "%zu bytes more are in use after %d times create and destroy", after - before,
          i - settled);
    CHECK(open_files() <= files, "%d files more are open after %d times create and destroy", open_files() - files,
          i - settled);
    rig_free(r);
    if (i < TIMES)
        check_pass("%d times in %.0f s", i, BUDGET);
}

static void no_memory(const subject *s, int arg)
{
    (void)arg;
    const double begin = seconds();
    for (int n = 1; n <= 60 && (n < 4 || seconds() - begin < BUDGET); n++) {
        rig *r = rig_new(s, &(rig_options){.fail_alloc = n});
        stage st;
        dal_error err = DAL_ERROR_INIT;
        if (stage_try(&st, r, &small_world, &err)) {
            const dal_status status = work_once(&st, r, &err);
            rig_check_error(status, &err, "its work");
            stage_close(&st, r);
        }
        rig_check_memory(r, "when an allocation fails");
        stage_free(&st);
        rig_free(r);
    }
}

static void interrupted(const subject *s, int arg)
{
    static const int64_t after[] = {1, 2, 3, 5, 10, 50};
    (void)arg;
    for (size_t k = 0; k < sizeof after / sizeof *after; k++) {
        rig *r = rig_new(s, &(rig_options){.cancel_after = after[k]});
        stage st;
        dal_error err = DAL_ERROR_INIT;
        if (stage_try(&st, r, &small_world, &err)) {
            const dal_status status = work_once(&st, r, &err);
            CHECK(status == DAL_OK || status == DAL_E_CANCELLED, "it fails when the user wants to stop: %s", err.text);
            stage_close(&st, r);
        } else {
            CHECK(err.status == DAL_E_CANCELLED, "create fails when the user wants to stop: %s", err.text);
        }
        rig_check_memory(r, "when the user wants to stop");
        stage_free(&st);
        rig_free(r);
    }
}

const check_test life_tests[] = {
    {"life/work", "create, one piece of work, destroy: everything is given back", ALL_KINDS, work, 0},
    {"life/growth", "1000 times create and destroy take no more memory or files than one", ALL_KINDS, growth, 0},
    {"life/no-memory", "a failing allocation gives an error, no crash and no leak", ALL_KINDS, no_memory, 0},
    {"life/interrupted", "when the user wants to stop, it stops or finishes, and leaks nothing", ALL_KINDS,
     interrupted, 0},
    {0},
};
