#include "tests/unit/fixture.h"

#include "plugins/oracles/simulated.c"

#define N 20000

/* A question that notes its answers. */
typedef struct notes {
    uint32_t answer[N];
    int32_t cls[N];
    double cost;
} notes;

static dal_status note(const dal_question *q, int64_t i, uint32_t answer, int32_t cls, double cost, dal_error *err)
{
    notes *to = q->impl;
    (void)err;
    to->answer[q->ids[i]] = answer;
    to->cls[q->ids[i]] = cls;
    to->cost += cost;
    return DAL_OK;
}

static int32_t truth[N];
static notes first, second;

static dal_oracle_task task(int64_t n_classes)
{
    for (int64_t i = 0; i < N; i++)
        truth[i] = (int32_t)(i % n_classes);
    return (dal_oracle_task){.struct_size = sizeof(dal_oracle_task), .n_pool = N, .n_classes = n_classes,
                             .store_path = "", .truth = truth};
}

/* Ask for ids from, from + step, ... in one question. */
static void ask(void *self, notes *to, int64_t from, int64_t step)
{
    static int64_t ids[N];
    char waiting[64] = "x";
    dal_error err = DAL_ERROR_INIT;
    dal_question q = {.struct_size = sizeof q, .impl = to, .ids = ids, .answer = note};
    for (int64_t i = from; i >= 0 && i < N; i += step)
        ids[q.n++] = i;
    cr_assert_eq(simulated_impl.label(self, &q, waiting, sizeof waiting, &err), DAL_OK, "%s", err.text);
    cr_assert_str_eq(waiting, "");
}

static void *open_oracle(dal_runtime *rt, const options *o, const dal_oracle_task *t)
{
    void *self = NULL;
    dal_error err = DAL_ERROR_INIT;
    cr_assert_eq(simulated_impl.create(dal_runtime_host(rt, "simulated"), o, t, &self, &err), DAL_OK, "%s", err.text);
    return self;
}

Test(simulated, tells_the_truth_when_it_should)
{
    dal_runtime *rt = fx_runtime(1, 1);
    options o = {.cost = 2.5};
    dal_oracle_task t = task(7);
    void *self = open_oracle(rt, &o, &t);
    ask(self, &first, 0, 1);
    for (int64_t i = 0; i < N; i++)
        cr_assert(first.answer[i] == DAL_ANSWER_CLASS && first.cls[i] == truth[i]);
    cr_assert_float_eq(first.cost, 2.5 * N, 1e-6);
    simulated_impl.destroy(self);
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
}

Test(simulated, errs_and_abstains_as_often_as_asked)
{
    dal_runtime *rt = fx_runtime(1, 1);
    options o = {.noise = 0.3, .abstain = 0.1, .cost = 1};
    dal_oracle_task t = task(4);
    int64_t wrong[4] = {0}, abstained = 0;
    void *self = open_oracle(rt, &o, &t);
    ask(self, &first, 0, 1);
    for (int64_t i = 0; i < N; i++) {
        if (first.answer[i] == DAL_ANSWER_ABSTAIN)
            abstained++;
        else
            wrong[(first.cls[i] - truth[i] + 4) % 4]++;
    }
    cr_assert(llabs(abstained - N / 10) < 4 * sqrt(N * 0.09), "%lld abstentions", (long long)abstained);
    for (int k = 1; k < 4; k++) /* each other class: 0.9 * 0.3 / 3 */
        cr_assert(llabs(wrong[k] - (int64_t)(N * 0.09)) < 4 * sqrt(N * 0.0819), "%lld", (long long)wrong[k]);
    cr_assert_float_eq(first.cost, N, 1e-6, "abstentions cost too");
    simulated_impl.destroy(self);
    dal_runtime_free(rt);
}

Test(simulated, pair_noise_names_the_next_class)
{
    dal_runtime *rt = fx_runtime(1, 1);
    options o = {.noise = 1, .noise_kind = PAIR};
    dal_oracle_task t = task(5);
    void *self = open_oracle(rt, &o, &t);
    ask(self, &first, 0, 1);
    for (int64_t i = 0; i < N; i++)
        cr_assert_eq(first.cls[i], (truth[i] + 1) % 5);
    simulated_impl.destroy(self);
    dal_runtime_free(rt);
}

Test(simulated, answers_the_same_whenever_it_is_asked)
{
    dal_runtime *rt = fx_runtime(1, 1);
    options o = {.noise = 0.5, .abstain = 0.2};
    dal_oracle_task t = task(10);
    void *a = open_oracle(rt, &o, &t), *b = open_oracle(rt, &o, &t);
    ask(a, &first, 0, 1);
    ask(b, &second, N - 1, -2); /* other order, in two questions */
    ask(b, &second, N - 2, -2);
    cr_assert_arr_eq(first.answer, second.answer, sizeof first.answer);
    cr_assert_arr_eq(first.cls, second.cls, sizeof first.cls);
    simulated_impl.destroy(a);
    simulated_impl.destroy(b);
    dal_runtime_free(rt);
    rt = fx_runtime(1, 2);
    a = open_oracle(rt, &o, &t);
    ask(a, &second, 0, 1);
    cr_assert(memcmp(first.cls, second.cls, sizeof first.cls) != 0, "another seed, other errors");
    simulated_impl.destroy(a);
    dal_runtime_free(rt);
}

Test(simulated, says_out_of_class_and_abstains_where_nothing_is_known)
{
    dal_runtime *rt = fx_runtime(1, 1);
    options o = {.noise = 1};
    dal_oracle_task t = task(3);
    truth[4] = DAL_LABEL_OOD;
    truth[5] = DAL_LABEL_NONE;
    void *self = open_oracle(rt, &o, &t);
    ask(self, &first, 0, 1);
    cr_assert_eq(first.answer[4], DAL_ANSWER_OUT_OF_CLASS);
    cr_assert_eq(first.answer[5], DAL_ANSWER_ABSTAIN);
    simulated_impl.destroy(self);
    dal_runtime_free(rt);
}

static void refuse(const options *o, const dal_oracle_task *t, dal_status want, const char *key, const char *words)
{
    dal_error err = DAL_ERROR_INIT;
    void *self = NULL;
    dal_runtime *rt = fx_runtime(1, 0);
    fx_expect(&err, simulated_impl.create(dal_runtime_host(rt, "simulated"), o, t, &self, &err), want, key, words);
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
}

Test(simulated, refuses_a_pool_it_cannot_answer_for)
{
    options o = {.noise = 0.1};
    dal_oracle_task t = task(1);
    refuse(&o, &t, DAL_E_INVALID, "noise", "with one class there is no wrong answer");
    t = task(3);
    truth[7] = 3;
    refuse(&o, &t, DAL_E_INVALID, "", "sample 7 has class 3, expected 0..2");
    for (int i = 0; i < N; i++)
        truth[i] = DAL_LABEL_NONE;
    refuse(&o, &t, DAL_E_INVALID, "", "the pool has no labels, so there is no truth to answer with");
    t.truth = NULL;
    refuse(&o, &t, DAL_E_CONTRACT, "", "created without the truth it needs");
}
