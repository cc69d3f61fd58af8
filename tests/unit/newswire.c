#include "tests/unit/texts.h"

#include "plugins/datasets/newswire.c"

static const options plain = {.n_train = 4000, .n_test = 100, .n_classes = 4, .words = 20, .topical = 0.2, .noise = 0.3,
                              .seed = 1};

Test(newswire, makes_the_same_items_in_any_order)
{
    dal_runtime *rt = fx_runtime(1, 0), *other = fx_runtime(4, 99);
    fx_dataset a = fx_open(&newswire_impl, dal_runtime_host(rt, "n"), &plain, NULL);
    fx_dataset b = fx_open(&newswire_impl, dal_runtime_host(other, "n"), &plain, NULL);
    for (int64_t i = 0; i < 100; i++) {
        cr_assert_str_eq(fx_text_of(&a, DAL_SPLIT_TRAIN, i), fx_text_of(&b, DAL_SPLIT_TRAIN, 99 - (99 - i)));
        cr_assert_str_neq(fx_text_of(&a, DAL_SPLIT_TRAIN, i), fx_text_of(&a, DAL_SPLIT_TEST, i));
    }
    newswire_impl.destroy(a.self);
    newswire_impl.destroy(b.self);
    dal_runtime_free(rt);
    dal_runtime_free(other);
}

/* A judge that only counts the words of each topic. */
static double judge(options o)
{
    dal_runtime *rt = fx_runtime(1, 0);
    fx_dataset d = fx_open(&newswire_impl, dal_runtime_host(rt, "n"), &o, NULL);
    int64_t hits = 0, counts[TOPICS] = {0};
    for (int64_t i = 0; i < 2000; i++) {
        char text[MOST];
        int64_t found[TOPICS] = {0}, best = 0;
        const int32_t c = fx_class(&d, DAL_SPLIT_TRAIN, i);
        strcpy(text, fx_text_of(&d, DAL_SPLIT_TRAIN, i));
        for (char *p = text; *p; p++)
            *p = *p >= 'A' && *p <= 'Z' ? (char)(*p + 32) : *p == '.' || *p == ',' ? ' ' : *p;
        for (char *word = strtok(text, " "); word; word = strtok(NULL, " "))
            for (int t = 0; t < o.n_classes; t++)
                for (int w = 0; w < OWN; w++)
                    found[t] += strcmp(word, own[t][w]) == 0;
        for (int t = 1; t < o.n_classes; t++)
            best = found[t] > found[best] ? t : best;
        hits += best == c;
        counts[c]++;
    }
    for (int t = 0; t < o.n_classes; t++)
        cr_assert(counts[t] > 400 && counts[t] < 600, "%d of topic %d", (int)counts[t], t);
    newswire_impl.destroy(d.self);
    dal_runtime_free(rt);
    return (double)hits / 2000;
}

Test(newswire, is_hard_as_it_is_told_to_be)
{
    options o = plain;
    const double usual = judge(o);
    o.noise = 0;
    const double clean = judge(o);
    o.topical = 0;
    const double nothing = judge(o);
    cr_assert(usual > 0.7 && usual < 0.95, "%g", usual);
    cr_assert_gt(clean, usual + 0.03);
    cr_assert_lt(nothing, 0.35);
}

Test(newswire, never_writes_more_than_there_is_room_for)
{
    options o = plain;
    o.words = 130;
    o.n_classes = 8;
    o.topical = 1;
    dal_runtime *rt = fx_runtime(1, 0);
    fx_dataset d = fx_open(&newswire_impl, dal_runtime_host(rt, "n"), &o, NULL);
    int64_t longest = 0;
    for (int64_t i = 0; i < 2000; i++) {
        int64_t n;
        newswire_impl.sizes(d.self, DAL_SPLIT_TRAIN, &i, 1, &n, NULL);
        longest = n > longest ? n : longest;
    }
    for (int t = 0; t < TOPICS; t++)
        for (int w = 0; w < OWN; w++)
            cr_assert(own[t][w] && strlen(own[t][w]) <= 14);
    cr_assert_lt(longest, (130 / 2 + 1 + 129) * 16 + 1);
    newswire_impl.destroy(d.self);
    dal_runtime_free(rt);
}
