#include "tests/unit/fixture.h"

#include "plugins/oracles/file.c"
#include <dal/text.h>

static const char *const animals[] = {"cat", "dog", "polar bear"};

static void name_of(const dal_oracle_task *t, int64_t id, char *out, size_t size)
{
    (void)t;
    snprintf(out, size, "pen, \"%lld\"", (long long)id);
}

/* What the oracle answered in the last visit, by place in the question; 99: nothing. */
static struct {
    uint32_t answer[8];
    int32_t cls[8];
    double cost;
} got;

static dal_status note(const dal_question *q, int64_t i, uint32_t answer, int32_t cls, double cost, dal_error *err)
{
    (void)q, (void)err;
    cr_assert_eq(got.answer[i], 99, "answered twice");
    got.answer[i] = answer;
    got.cls[i] = cls;
    got.cost += cost;
    return DAL_OK;
}

typedef struct scene {
    dal_runtime *rt;
    dal_oracle_task task;
    options opt;
    void *self;
    char store[200], folder[220], waiting[1024];
} scene;

static void open_scene(scene *s, const char *const *names, int64_t n_names)
{
    dal_error err = DAL_ERROR_INIT;
    snprintf(s->store, sizeof s->store, "%s", fx_path("run.db"));
    snprintf(s->folder, sizeof s->folder, "%s-run7", s->store);
    s->rt = fx_runtime(1, 0);
    s->task = (dal_oracle_task){.struct_size = sizeof s->task, .n_pool = 100, .n_classes = n_names,
                                .class_names = names, .store_path = s->store, .run = 7, .describe = name_of};
    s->opt = (options){"", 1.5};
    cr_assert_eq(file_impl.create(dal_runtime_host(s->rt, "file"), &s->opt, &s->task, &s->self, &err), DAL_OK);
}

static dal_status ask(scene *s, const int64_t *ids, int64_t n, dal_error *err)
{
    static const double scores[8] = {0.5, 0.25, 0.125, (double)NAN, 1, 2, 3, 4};
    const dal_question q = {.struct_size = sizeof q, .round = 3, .n = n, .ids = ids, .scores = scores, .answer = note};
    for (int i = 0; i < 8; i++)
        got.answer[i] = 99;
    got.cost = 0;
    *err = (dal_error)DAL_ERROR_INIT;
    return file_impl.label(s->self, &q, s->waiting, sizeof s->waiting, err);
}

static void close_scene(scene *s)
{
    file_impl.destroy(s->self);
    cr_assert_eq(dal_runtime_allocated(s->rt), 0);
    dal_runtime_free(s->rt);
}

static void answer(const scene *s, const char *text)
{
    char name[64];
    snprintf(name, sizeof name, "run.db-run%lld/round-3.answers.csv", (long long)s->task.run);
    fx_text(name, text);
}

static const int64_t four[] = {42, 7, 99, 0};

Test(file_oracle, writes_what_it_asks_and_says_what_it_waits_for)
{
    scene s;
    dal_error err;
    char path[300];
    size_t n;
    open_scene(&s, animals, 3);
    cr_assert_eq(ask(&s, four, 4, &err), DAL_OK, "%s", err.text);
    snprintf(path, sizeof path, "%s/round-3.queries.csv", s.folder);
    unsigned char *text = fx_slurp(path, &n);
    cr_assert_str_eq((char *)text, "id,rank,score,describe\n"
                                   "42,1,0.5,\"pen, \"\"42\"\"\"\n"
                                   "7,2,0.25,\"pen, \"\"7\"\"\"\n"
                                   "99,3,0.125,\"pen, \"\"99\"\"\"\n"
                                   "0,4,,\"pen, \"\"0\"\"\"\n");
    free(text);
    cr_assert_eq(got.answer[0], 99);
    cr_assert(strstr(s.waiting, "round-3.answers.csv with the columns id,label for the 4 of 4 samples"), "%s",
              s.waiting);
    close_scene(&s);
}

Test(file_oracle, takes_names_numbers_abstentions_and_out_of_class)
{
    scene s;
    dal_error err;
    open_scene(&s, animals, 3);
    ask(&s, four, 4, &err);
    answer(&s, "\xef\xbb\xbfid,label\r\n7,polar bear\r\n\r\n42,1\r\n0,?\r\n99,ood\r\n");
    cr_assert_eq(ask(&s, four, 4, &err), DAL_OK, "%s", err.text);
    cr_assert_arr_eq(got.answer,
                     ((uint32_t[]){DAL_ANSWER_CLASS, DAL_ANSWER_CLASS, DAL_ANSWER_OUT_OF_CLASS, DAL_ANSWER_ABSTAIN}),
                     4 * sizeof(uint32_t));
    cr_assert_eq(got.cls[0], 1);
    cr_assert_eq(got.cls[1], 2);
    cr_assert_float_eq(got.cost, 6, 1e-9);
    cr_assert_str_eq(s.waiting, "");
    close_scene(&s);
}

Test(file_oracle, takes_a_copy_of_the_queries_with_one_more_column)
{
    scene s;
    dal_error err;
    open_scene(&s, animals, 3);
    ask(&s, four, 4, &err);
    answer(&s, "id;rank;score;describe;label\n42;1;0.5;\"pen; \"\"42\"\"\";dog\n7;2;0.25;x;\n");
    cr_assert_eq(ask(&s, four, 4, &err), DAL_OK, "%s", err.text);
    cr_assert_eq(got.cls[0], 1);
    cr_assert_eq(got.answer[1], 99, "an empty label is still to come");
    close_scene(&s);
}

/* ---- texts ---- */

#define LONG 40000

static char long_text[LONG + 1];
static const char *const lines[] = {"plain", "one; \"two\",\nthree", "tab\tand\x01 escape", long_text};

static dal_status sizes_of(const dal_samples *s, const int64_t *rows, int64_t n, int64_t *out, dal_error *err)
{
    (void)s, (void)err;
    for (int64_t i = 0; i < n; i++)
        out[i] = (int64_t)strlen(lines[rows[i]]);
    return DAL_OK;
}

static dal_status read_lines(const dal_samples *s, const int64_t *rows, int64_t n, dal_batch *out, dal_error *err)
{
    (void)s, (void)err;
    for (int64_t i = 0; i < n; i++)
        memcpy((char *)out->data + out->offsets[i], lines[rows[i]], (size_t)(out->offsets[i + 1] - out->offsets[i]));
    return DAL_OK;
}

static dal_samples texts = {.struct_size = sizeof texts, .spec = {.struct_size = sizeof texts.spec,
                            .modality = DAL_TEXT}, .n = 4, .sizes = sizes_of, .read = read_lines};
static int borrowed;

static dal_status lend(const dal_oracle_task *t, const int64_t *ids, int64_t n, dal_samples **out, dal_error *err)
{
    (void)t, (void)ids, (void)err;
    cr_assert_eq(n, 4);
    borrowed++;
    *out = &texts;
    return DAL_OK;
}

static void take_back(const dal_oracle_task *t, dal_samples *s)
{
    (void)t;
    cr_assert_eq(s, &texts);
    borrowed--;
}

Test(file_oracle, shows_texts_and_takes_a_copy_of_them)
{
    scene s;
    dal_error err;
    char *written;
    size_t n;
    long_text[0] = 'a';
    for (int i = 1; i + 1 < LONG; i += 2) /* a cut after MAX_TEXT bytes would be within a character */
        memcpy(long_text + i, "\xc3\xa9", 2);
    open_scene(&s, animals, 3);
    s.task.samples = lend;
    s.task.release = take_back;
    cr_assert_eq(ask(&s, four, 4, &err), DAL_OK, "%s", err.text);
    cr_assert_eq(borrowed, 0);
    written = (char *)fx_slurp(fx_path("run.db-run7/round-3.queries.csv"), &n);
    cr_assert(strstr(written, "id,rank,score,describe,text\n42,1,0.5,\"pen, \"\"42\"\"\",plain\n"), "%.200s", written);
    cr_assert(strstr(written, ",\"one; \"\"two\"\",\nthree\"\n"));
    cr_assert(strstr(written, ",tab and  escape\n"));
    const char *cut = strstr(written, "\xa9...\n");
    cr_assert(cut && dal_utf8_fault(written, (int64_t)n) < 0);
    cr_assert_eq(cut + 1 - strstr(written, ",a\xc3\xa9") - 1, MAX_TEXT - 1);
    answer(&s, "id,rank,score,describe,text,label\n7,2,0.25,x,\"one; "
               "\"\"two\"\",\nthree\",cat\n42,1,0.5,y,plain,dog\n");
    cr_assert_eq(ask(&s, four, 4, &err), DAL_OK, "%s", err.text);
    cr_assert_eq(got.cls[0], 1);
    cr_assert_eq(got.cls[1], 0);
    free(written);
    close_scene(&s);
}

Test(file_oracle, keeps_pending_what_a_partial_file_leaves_out_and_goes_on_with_the_rest)
{
    scene s;
    dal_error err;
    open_scene(&s, animals, 3);
    ask(&s, four, 4, &err);
    answer(&s, "42,cat\n99,dog\n");
    cr_assert_eq(ask(&s, four, 4, &err), DAL_OK, "%s", err.text);
    cr_assert_eq(got.answer[0], DAL_ANSWER_CLASS);
    cr_assert_eq(got.answer[2], DAL_ANSWER_CLASS);
    cr_assert_eq(got.answer[1], 99);
    cr_assert(strstr(s.waiting, "for the 2 of 4 samples"), "%s", s.waiting);
    answer(&s, "42,cat\n99,dog\n7,cat\n0,0\n");
    const int64_t rest[] = {7, 0};
    cr_assert_eq(ask(&s, rest, 2, &err), DAL_OK, "%s", err.text);
    cr_assert_eq(got.answer[0], DAL_ANSWER_CLASS);
    cr_assert_eq(got.answer[1], DAL_ANSWER_CLASS);
    cr_assert_str_eq(s.waiting, "");
    close_scene(&s);
}

Test(file_oracle, reads_numbers_as_names_where_names_are_numbers)
{
    static const char *const numbers[] = {"1", "2", "3"};
    scene s;
    dal_error err;
    open_scene(&s, numbers, 3);
    ask(&s, four, 4, &err);
    answer(&s, "42,1\n");
    cr_assert_eq(ask(&s, four, 4, &err), DAL_OK, "%s", err.text);
    cr_assert_eq(got.cls[0], 0);
    answer(&s, "42,0\n");
    fx_expect(&err, ask(&s, four, 4, &err), DAL_E_FORMAT, "", ":1:4: unknown class '0'");
    close_scene(&s);
}

Test(file_oracle, takes_nothing_from_a_file_with_one_fault)
{
    static const struct {
        const char *text, *words;
    } cases[] = {
        {"42,cat\n1000,dog\n", ":2:1: unknown id '1000', expected one of those in "},
        {"42,cat\nx,dog\n", ":2:1: unknown id 'x'"},
        {"42,cat\n8,dog\n", ":2:1: sample 8 was not asked in this round"},
        {"42,cat\n7,dog\n42,dog\n", ":3:4: sample 42 has another answer here than in line 1; keep one of them"},
        {"42,cat\n7,dgo\n", ":2:3: unknown class 'dgo'; did you mean 'dog'? Classes: cat, dog, polar bear"},
        {"42,cat\n7,3\n", ":2:3: unknown class '3'; Classes: cat, dog, polar bear"},
        {"42,cat\n7,\x1b[31m\n", ":2:3: unknown class '?[31m'"},
        {"42,cat\n7\n", ":2:1: found 1 column, expected an id and a label"},
        {"42,cat\n7,\"dog\n", ":2:3: this quote is never closed"},
        {"42,cat\n7,\"dog\"x\n", ":2:8: found text after the closing quote, expected a delimiter"},
        {"id,class\n42,cat\n", ":1:1: found no column 'label' in the first line"},
        {"id,label,id\n42,cat,1\n", ":1:10: a second column 'id'"},
    };
    scene s;
    dal_error err;
    open_scene(&s, animals, 3);
    ask(&s, four, 4, &err);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        answer(&s, cases[i].text);
        fx_expect(&err, ask(&s, four, 4, &err), DAL_E_FORMAT, "", cases[i].words);
        for (int k = 0; k < 4; k++)
            cr_assert_eq(got.answer[k], 99, "case %d gave an answer", (int)i);
    }
    answer(&s, "42,cat\n42,cat\n"); /* said twice, but the same */
    cr_assert_eq(ask(&s, four, 4, &err), DAL_OK, "%s", err.text);
    close_scene(&s);
}

Test(file_oracle, refuses_the_folder_of_another_run)
{
    scene s;
    dal_error err;
    open_scene(&s, animals, 3);
    ask(&s, four, 4, &err);
    const int64_t others[] = {42, 13};
    fx_expect(&err, ask(&s, others, 2, &err), DAL_E_INVALID, "directory",
              "does not ask for sample 13, which this run wants: it was written by another run");
    fx_text("run.db-run7/round-3.queries.csv", "id,rank,score,describe\n42,1\nhello\n");
    fx_expect(&err, ask(&s, four, 1, &err), DAL_E_FORMAT, "", "3:1: this is not a sample's id");
    close_scene(&s);
}

Test(file_oracle, says_so_when_the_folder_cannot_be_made)
{
    scene s;
    dal_error err;
    open_scene(&s, animals, 3);
    file_oracle *self = s.self;
    snprintf(self->directory, sizeof self->directory, "/proc/none");
    fx_expect(&err, ask(&s, four, 4, &err), DAL_E_IO, "", "/proc/none: cannot make this folder: ");
    close_scene(&s);
}
