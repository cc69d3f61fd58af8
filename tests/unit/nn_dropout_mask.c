/* What dropout keeps beside the numbers of the stream, one after the other. */
#include "tests/unit/fixture.h"

#include "sdk/lib/nn_private.h"

/* The halves of each number decide on two values. */
static void check(dal_rng r, double rate, int64_t n)
{
    const uint32_t limit = (uint32_t)(rate * 65536);
    unsigned char *keep = malloc((size_t)n + 1);
    dal_rng plain = r;
    uint32_t bits = 0;
    keep[n] = 7;
    nn_dropout_mask(r, rate, n, keep);
    for (int64_t i = 0; i < n; i++) {
        bits = i % 2 ? bits >> 16 : dal_rng_u32(&plain);
        cr_assert_eq(keep[i], (bits & 0xffff) >= limit, "value %d of %d at rate %g", (int)i, (int)n, rate);
    }
    cr_assert_eq(keep[n], 7);
    free(keep);
}

Test(nn_dropout_mask, keeps_by_the_halves_of_the_stream)
{
    static const double rates[] = {0, 0.1, 0.5, 0.9, 0.99999};
    for (size_t i = 0; i < sizeof rates / sizeof *rates; i++) {
        check(dal_rng_from_key(7 + i), rates[i], 128 * 5);
        check(dal_rng_from_key(7 + i), rates[i], 1001);
        check(dal_rng_from_key(7 + i), rates[i], 3);
    }
}

Test(nn_dropout_mask, goes_on_where_the_lower_half_of_the_counter_runs_over)
{
    dal_rng r = dal_rng_from_key(5);
    r.counter = (uint64_t)UINT32_MAX - 20;
    check(r, 0.3, 128 * 4);
}
