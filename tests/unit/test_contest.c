/* Who stands beside the version that serves, and how that ends. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "engine/contest.h"
#include "tests/support/fixtures.h"

#include <string.h>

static void a_challenger_that_has_passed(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture, 2);
    struct version *network = fixture_version(&fixture.model, 1, 1), *none = version_new(2, NULL);
    const int network_alone = COMBINE_ONLY + EXPERT_NETWORK;
    const struct {
        enum promotion_policy promote;
        int combine;
        const struct version *champion;
        enum contest_kind kind;
    } cases[] = {
        {PROMOTE_AUTO, COMBINE_ONLINE, NULL, CONTEST_NONE},
        {PROMOTE_AUTO, COMBINE_ONLINE, network, CONTEST_NONE},
        {PROMOTE_AUTO, network_alone, network, CONTEST_NONE},
        {PROMOTE_SHADOW, COMBINE_ONLINE, NULL, CONTEST_NONE}, /* nothing that it has to beat */
        {PROMOTE_SHADOW, COMBINE_ONLINE, none, CONTEST_NONE},
        {PROMOTE_SHADOW, COMBINE_ONLINE, network, CONTEST_SHADOW},
        {PROMOTE_SHADOW, network_alone, NULL, CONTEST_SHADOW},
        {PROMOTE_SHADOW, network_alone, none, CONTEST_SHADOW},
        {PROMOTE_MANUAL, COMBINE_ONLINE, NULL, CONTEST_HELD},
        {PROMOTE_MANUAL, network_alone, network, CONTEST_HELD},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fixture.model.promote = cases[i].promote;
        fixture.model.combine = cases[i].combine;
        if (contest_of_challenger(&fixture.model, cases[i].champion) != cases[i].kind)
            fail_msg("case %zu", i);
    }
    fixture.model.combine = COMBINE_ONLINE;
    assert_int_equal(contest_of_replaced(&fixture.model, NULL), CONTEST_NONE);
    assert_int_equal(contest_of_replaced(&fixture.model, none), CONTEST_NONE);
    assert_int_equal(contest_of_replaced(&fixture.model, network), CONTEST_PROBATION);
    fixture.model.combine = network_alone;
    assert_int_equal(contest_of_replaced(&fixture.model, none), CONTEST_PROBATION);
    fixture.model.head = HEAD_EVENT;
    fixture.model.promote = PROMOTE_AUTO;
    assert_int_equal(contest_of_replaced(&fixture.model, network), CONTEST_NONE);
    assert_int_equal(contest_of_challenger(&fixture.model, network), CONTEST_NONE);
    version_release(network);
    version_release(none);
}

/* Losses of so many steps: what serves has `serving`, the other `shadow`, and both some noise. */
static struct shadow_losses losses_of(int steps, double serving, double shadow) {
    struct shadow_losses losses = {0};
    for (int i = 0; i < steps; i++) {
        loss_series_add(&losses.serving, (uint64_t)i, serving + 0.01 * (i % 3), 1);
        loss_series_add(&losses.shadow, (uint64_t)i, shadow + 0.01 * (i % 5), 1);
    }
    return losses;
}

static void how_it_ends(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture, 2);
    enum { LONG = 4 * PROMOTION_LIVE_MOST + 100 };
    const struct {
        enum contest_kind kind;
        int answered;
        double serving, shadow;
        uint64_t steps;
        enum promotion decision;
    } cases[] = {
        {CONTEST_SHADOW, 50, 1, 0.5, 50, PROMOTION_WAIT},
        {CONTEST_SHADOW, 400, 1, 0.5, 400, PROMOTION_PROMOTE},
        {CONTEST_SHADOW, 400, 0.5, 1, 400, PROMOTION_CHAMPION},
        {CONTEST_SHADOW, 0, 1, 1, 400, PROMOTION_WAIT},
        {CONTEST_SHADOW, 0, 1, 1, LONG, PROMOTION_CHANCE},
        {CONTEST_PROBATION, 50, 1, 0.5, 50, PROMOTION_WAIT},
        {CONTEST_PROBATION, 400, 1, 0.5, 400, PROMOTION_ROLL_BACK},
        {CONTEST_PROBATION, PROMOTION_LIVE_MOST + 1, 0.5, 1, 2000, PROMOTION_KEEP},
        {CONTEST_PROBATION, 50, 1, 1, LONG, PROMOTION_KEEP},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct shadow_losses losses = losses_of(cases[i].answered, cases[i].serving, cases[i].shadow);
        enum promotion decision = contest_judge(cases[i].kind, &fixture.model, &losses, cases[i].steps).decision;
        if (decision != cases[i].decision)
            fail_msg("case %zu: %s", i, promotion_name(decision));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_challenger_that_has_passed),
        cmocka_unit_test(how_it_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
