/* Stored runs as CSV, JSON and pages. */
#include <criterion/criterion.h>

#include <dal/oracle.h>
#include <math.h>
#include <stdlib.h>

#include "report/export.h"
#include "report/page.h"
#include "util/text.h"

static const pick picks[] = {
    {.id = 17,
     .rank = 0,
     .score = 0.1,
     .nearest = 4,
     .distance = 1.0 / 3,
     .answer = DAL_ANSWER_CLASS,
     .cls = 1,
     .cost = 2.5},
    {.id = 3,
     .rank = 1,
     .score = NAN,
     .nearest = -1,
     .distance = NAN,
     .answer = DAL_ANSWER_PENDING,
     .cls = -1,
     .cost = NAN},
    {.id = 9,
     .rank = 2,
     .score = -1e-300,
     .nearest = 4,
     .distance = 0,
     .answer = DAL_ANSWER_OUT_OF_CLASS,
     .cls = -2,
     .cost = 1},
};
static const int64_t initial[] = {4, 5}, pseudo_ids[] = {8};
static const int32_t initial_classes[] = {0, DAL_LABEL_OOD}, pseudo_classes[] = {1};
static const float pseudo_weights[] = {0.5f};
static const double recall[] = {1, NAN};

/* Two rounds, with everything that is hard to write down. */
static stored_run make_run(round_record rounds[2])
{
    rounds[0] = (round_record){.n_labelled = 2,
                               .n_unlabelled = 98,
                               .picks = picks,
                               .n_picks = 3,
                               .reason = "",
                               .metrics = {.accuracy = 0.1, .macro_f1 = NAN, .log_loss = INFINITY},
                               .pseudo_ids = pseudo_ids,
                               .pseudo_classes = pseudo_classes,
                               .pseudo_weights = pseudo_weights,
                               .n_pseudo = 1};
    rounds[1] = (round_record){.round = 1,
                               .n_labelled = 3,
                               .n_unlabelled = 97,
                               .reason = "pool is empty",
                               .metrics = {.accuracy = 0.3, .recall = recall, .n_classes = 2}};
    return (stored_run){
        .head = {.id = 3,
                 .name = "a \"b\", c\x1b[2J",
                 .strategy = "margin",
                 .trial = 1,
                 .seed = UINT64_MAX,
                 .manifest = "{\"model\":{\"use\":\"mlp\"}}",
                 .components = "[{\"use\":\"mlp\",\"from\":\"nets\",\"version\":\"1\",\"rate\":0.1}]",
                 .host_version = "0.1.0",
                 .abi = "1.0",
                 .n_pool = 100,
                 .n_test = 10,
                 .n_classes = 2,
                 .class_names = "[\"cat, tabby\", 7]",
                 .message = "",
                 .state = RUN_RUNNING,
                 .started = 1e9,
                 .changed = 1e9 + 2},
        .initial = (int64_t *)(uintptr_t)initial,
        .initial_classes = (int32_t *)(uintptr_t)initial_classes,
        .n_initial = 2,
        .rounds = rounds,
        .n_rounds = 2};
}

#define printed(out, call)                                                                             \
    do {                                                                                               \
        size_t size_;                                                                                  \
        FILE *f = open_memstream(&(out), &size_);                                                      \
        call;                                                                                          \
        fclose(f);                                                                                     \
    } while (0)

Test(csv, quotes_text_and_leaves_unknown_fields_empty)
{
    round_record rounds[2];
    const stored_run r = make_run(rounds);
    char *got;
    printed(got, picks_csv_head(f); picks_csv(f, &r));
    cr_assert_str_eq(
        got,
        "run,name,strategy,trial,seed,round,rank,id,score,nearest_id,distance,answer,class,class_name,"
        "cost,nearest_pick_id,nearest_pick_distance,stands_for\n"
        "3,\"a \"\"b\"\", "
        "c\x1b[2J\",margin,1,18446744073709551615,0,0,17,0.1,4,0.3333333333333333,class,"
        "1,1,2.5,,,\n"
        "3,\"a \"\"b\"\", c\x1b[2J\",margin,1,18446744073709551615,0,1,3,,,,pending,,,,,,\n"
        "3,\"a \"\"b\"\", "
        "c\x1b[2J\",margin,1,18446744073709551615,0,2,9,-1e-300,4,0,out-of-class,,,1,,,\n");
    free(got);
}

Test(csv, has_as_many_fields_in_each_row_as_names)
{
    round_record rounds[2];
    stored_run r = make_run(rounds);
    r.head.name = "plain";
    char *got;
    printed(got, rounds_csv_head(f); rounds_csv(f, &r));
    int fields[3] = {0}, line = 0;
    for (const char *p = got; *p; p++) {
        fields[line] += *p == ',';
        line += *p == '\n';
    }
    cr_assert_eq(line, 3);
    cr_assert_eq(fields[1], fields[0]);
    cr_assert_eq(fields[2], fields[0]);
    cr_assert_not_null(strstr(got, "\n3,plain,margin,1,18446744073709551615,0,2,0,98,0.1,0,,inf,"),
                       "%s", got);
    free(got);
}

/* 100 in the pool, 30 of them in no class; the initial set has one of either sort. */
static const store_link links[] = {
    {0, "glyphs", "train", 200, 0, 0, "[100,100]"},
    {1, "open-set", "train", 100, 0, 30, "[50,20]"},
    {1, "open-set", "test", 10, 0, 0, "[5,5]"},
};

Test(purity, is_of_answers_and_recall_of_what_was_there_to_find)
{
    round_record rounds[2];
    stored_run r = make_run(rounds);
    const pick more[] = {{.answer = DAL_ANSWER_CLASS}, {.answer = DAL_ANSWER_CLASS}, {.answer = DAL_ANSWER_ABSTAIN}};
    rounds[1].picks = more;
    rounds[1].n_picks = 3;
    r.head.links = links;
    r.head.n_links = 3;
    round_purity *p = purity_of(&r);
    cr_assert_eq(p[0].purity, 1.0 / 2);
    cr_assert_eq(p[0].purity_so_far, 1.0 / 2);
    cr_assert_eq(p[0].id_recall, 1.0 / 69);
    cr_assert_eq(p[0].ood_recall, 1.0 / 29);
    cr_assert_eq(p[1].purity, 1);
    cr_assert_eq(p[1].purity_so_far, 3.0 / 4);
    cr_assert_eq(p[1].id_recall, 3.0 / 69);
    cr_assert_eq(p[1].ood_recall, 1.0 / 29);
    free(p);
    rounds[1].n_picks = 0; /* nobody was asked */
    p = purity_of(&r);
    cr_assert(isnan(p[1].purity));
    cr_assert_eq(p[1].purity_so_far, 1.0 / 2);
    free(p);
}

Test(purity, has_no_recall_where_the_pool_is_not_known)
{
    round_record rounds[2];
    stored_run r = make_run(rounds);
    round_purity *p = purity_of(&r); /* of an older store */
    cr_assert_eq(p[0].purity, 1.0 / 2);
    cr_assert(isnan(p[0].id_recall) && isnan(p[0].ood_recall));
    free(p);
    store_link some = links[1];
    some.unlabelled = 1;
    r.head.links = &some;
    r.head.n_links = 1;
    p = purity_of(&r);
    cr_assert(isnan(p[0].id_recall) && isnan(p[0].ood_recall));
    free(p);
}

Test(json, holds_every_number_as_it_is_stored)
{
    round_record rounds[2];
    stored_run r = make_run(rounds);
    r.head.links = links;
    r.head.n_links = 3;
    char *got;
    json_t *j = run_json(&r);
    printed(got, json_write(f, j, true));
    json_decref(j);
    j = json_loads(got, 0, NULL);
    cr_assert_not_null(j);
    cr_assert_str_eq(json_string_value(json_object_get(j, "seed")), "18446744073709551615");
    cr_assert_eq(json_number_value(json_object_get(j, "final_accuracy")), 0.3);
    cr_assert_eq(json_number_value(json_object_get(j, "aubc")), 0.5 * (0.1 + 0.3));
    cr_assert(json_is_object(json_object_get(j, "manifest")));
    cr_assert(json_is_null(json_object_get(json_array_get(json_object_get(j, "initial"), 1), "class")));
    const json_t *first = json_array_get(json_object_get(j, "rounds"), 0);
    const json_t *second = json_array_get(json_object_get(j, "rounds"), 1);
    cr_assert(json_is_null(json_object_get(first, "macro_f1")));
    cr_assert(json_is_null(json_object_get(first, "log_loss")));
    cr_assert(json_is_null(json_array_get(json_object_get(second, "recall"), 1)));
    const json_t *p = json_object_get(first, "picks");
    cr_assert_eq(json_array_size(p), 3);
    cr_assert_eq(json_number_value(json_object_get(json_array_get(p, 0), "distance")), 1.0 / 3);
    cr_assert_eq(json_number_value(json_object_get(json_array_get(p, 2), "score")), -1e-300);
    cr_assert(json_is_null(json_object_get(json_array_get(p, 1), "nearest_id")));
    cr_assert_str_eq(json_string_value(json_object_get(json_array_get(p, 2), "answer")),
                     "out-of-class");
    cr_assert_eq(json_number_value(json_object_get(first, "ood_recall")), 1.0 / 29);
    const json_t *second_link = json_array_get(json_object_get(j, "data"), 1);
    cr_assert_str_eq(json_string_value(json_object_get(second_link, "component")), "open-set");
    cr_assert_eq(json_integer_value(json_object_get(second_link, "out_of_class")), 30);
    cr_assert_eq(json_integer_value(json_array_get(json_object_get(second_link, "classes"), 1)), 20);
    json_decref(j);
    free(got);
}

Test(json, keeps_text_that_should_be_json_and_is_not)
{
    round_record rounds[2];
    stored_run r = make_run(rounds);
    r.head.manifest = "{not json";
    r.head.components = "";
    json_t *j = run_json(&r);
    cr_assert_str_eq(json_string_value(json_object_get(j, "manifest")), "{not json");
    cr_assert_str_eq(json_string_value(json_object_get(j, "components")), "");
    json_decref(j);
}

Test(page, shows_a_run_without_letting_it_drive_the_terminal)
{
    round_record rounds[2];
    const stored_run r = make_run(rounds);
    char *got;
    printed(got, page_run(f, &r, 0, (terminal){80, false}));
    for (const char *p = got; *p; p++)
        cr_assert((*p >= ' ' && *p < 0x7f) || *p == '\n', "%02x in:\n%s", (unsigned char)*p, got);
    cr_assert_not_null(strstr(got, "Run 3: a \"b\", c?[2J, margin (interrupted)"));
    cr_assert_not_null(strstr(got, "mlp (nets 1)"));
    cr_assert_not_null(strstr(got, "rate 0.1\n"));
    cr_assert_not_null(strstr(got, "round 1: pool is empty"));
    cr_assert_not_null(strstr(got,
                              "Final accuracy 0.3000, area under the curve (AUBC) 0.2000\n2 answers for a cost of "
                              "3.5\n"));
    free(got);
    printed(got, page_run(f, &r, 4242, (terminal){0, true}));
    cr_assert_not_null(strstr(got, "(running in process 4242)"));
    free(got);
}

Test(page, shows_what_transforms_made_of_the_data)
{
    round_record rounds[2];
    stored_run r = make_run(rounds);
    r.head.links = links;
    r.head.n_links = 3;
    char *got;
    printed(got, page_run(f, &r, 0, (terminal){0, false}));
    cr_assert_not_null(strstr(got, "\nglyphs          2     100   100   200           -     -         0    0\n"), "%s",
                       got);
    cr_assert_not_null(strstr(got, "\nopen-set        2      20    50   100           -    10         0   30\n"), "%s",
                       got);
    cr_assert_not_null(strstr(got, "\nround  ID  OOD  purity  so far  ID recall  OOD recall\n"));
    cr_assert_not_null(strstr(got, "\n    0   1    1    0.50    0.50      0.014       0.034\n"), "%s", got);
    free(got);
}

Test(page, explains_each_pick)
{
    round_record rounds[2];
    const stored_run r = make_run(rounds);
    char *got;
    printed(got, page_round(f, &r, 0, 2, false, (terminal){0, false}));
    cr_assert_not_null(strstr(got, "   0      17    0.1        4    0.3333  1        2.50\n"), "%s",
                       got);
    cr_assert_not_null(strstr(got, "   1       3      -        -         -  pending     -\n"), "%s",
                       got);
    cr_assert_not_null(strstr(got, "... and 1 more (--picks 3 shows all)\n"));
    cr_assert_not_null(strstr(got, "1 pseudo labels"));
    free(got);
    printed(got, page_round(f, &r, 1, 2, false, (terminal){0, false}));
    cr_assert_not_null(strstr(got, "Nothing was picked in this round.\n"));
    free(got);
}

Test(page, tells_what_picks_stand_for)
{
    round_record rounds[2];
    const stored_run r = make_run(rounds);
    cr_assert_not(page_has_explanations(&rounds[0]));
    const explanation why = {3, 0.25, 40, {12, 13, -1}, {0.5, 1, NAN}};
    pick two[2] = {rounds[0].picks[0], rounds[0].picks[1]};
    two[0].why = &why;
    rounds[0].picks = two;
    rounds[0].n_picks = 2;
    cr_assert(page_has_explanations(&rounds[0]));
    char *got;
    printed(got, page_round(f, &r, 0, 2, true, (terminal){0, false}));
    cr_assert_not_null(strstr(got, "such as these nearest ones"));
    cr_assert_not_null(strstr(got, "     3      0.25          40  12 13\n"), "%s", got);
    cr_assert_not_null(strstr(got, "pending  -                      -     -         -           -  -\n"), "%s", got);
    free(got);
}

Test(page, shows_runs_with_odd_heads)
{
    round_record rounds[2];
    stored_run r = make_run(rounds);
    static const char *const odd[] = {"",    "{", "[]", "[1,2]", "[{}]", "[{\"use\":7,\"x\":[[[]]]}]",
                                      "null"};
    store_link data = {0, "\x1b[2J", "elsewhere", 1, 0, 0, ""};
    r.head.links = &data;
    r.head.n_links = 1;
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        r.head.components = r.head.class_names = r.head.manifest = data.classes = odd[i];
        r.head.started = i % 2 ? (double)NAN : 1e300;
        char *got;
        printed(got, page_run(f, &r, -1, (terminal){20, true});
                page_round(f, &r, 0, 9, i % 2, (terminal){20, true}));
        cr_assert_not_null(strstr(got, "Run 3"));
        free(got);
        json_decref(run_json(&r));
    }
    r.n_rounds = 0;
    char *got;
    printed(got, page_run(f, &r, 0, (terminal){80, true}));
    cr_assert_not_null(strstr(got, "No round is stored yet."));
    free(got);
}
