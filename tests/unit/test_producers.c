#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "daemon/producers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct producer *open_one(struct producers *producers, uint64_t id, int64_t now) {
    uint64_t forgotten;
    return producers_open(producers, id, now, &forgotten);
}

static void names_and_numbers_are_apart(void **state) {
    (void)state;
    assert_true(producers_id_of_name("plant-7", 7) == producers_id_of_name("plant-7", 7));
    assert_true(producers_id_of_name("plant-7", 7) != producers_id_of_name("plant-8", 7));
    assert_true(producers_id_of_name("a", 1) >> 63 == 1);
    /* FNV-1a of "a" is af63dc4c8601ec8c, as its authors give it. */
    assert_true(producers_id_of_name("a", 1) == UINT64_C(0xaf63dc4c8601ec8c));
}

static void numbers_follow_each_other(void **state) {
    (void)state;
    struct producer producer = {.taken = 0};
    assert_int_equal(producer_judge(&producer, 1, 1), PRODUCER_NEXT);
    assert_int_equal(producer_judge(&producer, 2, 1), PRODUCER_GAP);
    producer.taken = 10;
    assert_int_equal(producer_judge(&producer, 11, 1000), PRODUCER_NEXT);
    assert_int_equal(producer_judge(&producer, 12, 1), PRODUCER_GAP);
    assert_int_equal(producer_judge(&producer, 10, 1), PRODUCER_REPEATED);
    assert_int_equal(producer_judge(&producer, 1, 10), PRODUCER_REPEATED);
    assert_int_equal(producer_judge(&producer, 3, 2), PRODUCER_REPEATED);
    /* One that begins before and ends behind is none that was taken, nor the next. */
    assert_int_equal(producer_judge(&producer, 1, 11), PRODUCER_GAP);
    assert_int_equal(producer_judge(&producer, 10, 2), PRODUCER_GAP);
    assert_int_equal(producer_judge(&producer, 1, UINT64_MAX), PRODUCER_GAP);
    assert_int_equal(producer_judge(&producer, UINT64_MAX, UINT64_MAX), PRODUCER_GAP);
    producer.taken = UINT64_MAX;
    assert_int_equal(producer_judge(&producer, UINT64_MAX, 1), PRODUCER_REPEATED);
}

static void a_producer_keeps_its_place(void **state) {
    (void)state;
    enum { MOST = 100 };
    struct producers *producers = producers_new(MOST, 10);
    for (uint64_t id = 1; id <= MOST; id++)
        open_one(producers, id, 0)->taken = 1000 + id;
    assert_int_equal(producers_count(producers), MOST);
    for (uint64_t id = 1; id <= MOST; id++) {
        struct producer *producer = open_one(producers, id, 1);
        assert_int_equal(producer->taken, 1000 + id);
        assert_ptr_equal(producers_at(producers, producers_place(producers, producer)), producer);
    }
    producers_free(producers);
    producers_free(NULL);
}

/* Not for another that gets its place. */
static void a_mark_is_a_producers_own(void **state) {
    (void)state;
    struct producers *producers = producers_new(2, 10);
    uint32_t marks[3];
    for (int i = 0; i < 3; i++) {
        struct producer *producer = open_one(producers, (uint64_t)i + 5, 10 * i);
        marks[i] = producers_mark(producers, producer);
        assert_ptr_equal(producers_marked(producers, marks[i]), producer);
    }
    assert_null(producers_marked(producers, marks[0]));
    assert_int_equal(producers_marked(producers, marks[1])->id, 6);
    assert_null(producers_marked(producers, 0));
    producers_free(producers);
}

static void the_longest_idle_one_is_forgotten(void **state) {
    (void)state;
    struct producers *producers = producers_new(3, 10);
    uint64_t forgotten = 9;
    for (uint64_t id = 1; id <= 3; id++) {
        struct producer *producer = producers_open(producers, id, (int64_t)id, &forgotten);
        assert_int_equal(forgotten, 0);
        producer->taken = producer->durable = 7;
    }
    open_one(producers, 1, 5);
    assert_null(producers_open(producers, 4, 11, &forgotten)); /* 2 was heard of 9 before */
    assert_int_equal(forgotten, 0);
    struct producer *fourth = producers_open(producers, 4, 12, &forgotten);
    assert_non_null(fourth);
    assert_int_equal(forgotten, 2);
    assert_int_equal(fourth->taken, 0);
    assert_int_equal(producers_count(producers), 3);
    assert_int_equal(open_one(producers, 1, 12)->taken, 7);
    assert_int_equal(open_one(producers, 3, 12)->taken, 7);
    producers_free(producers);
}

static void who_has_ticks_in_flight_or_something_due_is_kept(void **state) {
    (void)state;
    struct producers *producers = producers_new(2, 0);
    struct producer *first = open_one(producers, 1, 1), *second = open_one(producers, 2, 2);
    first->taken = 5;
    second->due = true;
    assert_null(open_one(producers, 3, 100));
    second->due = false;
    producers_bind(producers, second, "client", 6); /* who does not say anything is no reason */
    assert_ptr_equal(open_one(producers, 3, 100), second);
    assert_null(producers_of_client(producers, "client", 6));
    assert_int_equal(producers_clients(producers), 0);
    producers_free(producers);
}

static void a_client_speaks_for_one_producer(void **state) {
    (void)state;
    struct producers *producers = producers_new(200, 0);
    struct producer *a = open_one(producers, 1, 0), *b = open_one(producers, 2, 0);
    assert_null(producers_of_client(producers, "\0x", 2));
    producers_bind(producers, a, "\0x", 2);
    producers_bind(producers, a, "\0x", 2);
    assert_ptr_equal(producers_of_client(producers, "\0x", 2), a);
    assert_null(producers_of_client(producers, "\0x", 1));
    assert_int_equal(producers_clients(producers), 1);
    producers_bind(producers, b, "\0x", 2); /* it turns to another one */
    assert_ptr_equal(producers_of_client(producers, "\0x", 2), b);
    assert_int_equal(a->identity_n, 0);
    producers_bind(producers, b, "\0y", 2); /* and is taken over from */
    assert_null(producers_of_client(producers, "\0x", 2));
    assert_ptr_equal(producers_of_client(producers, "\0y", 2), b);
    assert_int_equal(producers_clients(producers), 1);
    producers_unbind(producers, b);
    producers_unbind(producers, b);
    assert_int_equal(producers_clients(producers), 0);
    /* Many of them share buckets. */
    for (uint32_t i = 0; i < 150; i++)
        producers_bind(producers, open_one(producers, 10 + i, 0), &i, sizeof i);
    for (uint32_t i = 0; i < 150; i += 2)
        producers_unbind(producers, open_one(producers, 10 + i, 0));
    for (uint32_t i = 0; i < 150; i++) {
        const struct producer *of = producers_of_client(producers, &i, sizeof i);
        assert_int_equal(of != NULL ? of->id : 0, i % 2 == 1 ? 10 + i : 0);
    }
    producers_free(producers);
}

static void refusals_are_told_in_order_up_to_what_is_durable(void **state) {
    (void)state;
    struct producers *producers = producers_new(1, 0);
    struct producer *producer = open_one(producers, 1, 0);
    producer->taken = 100;
    for (uint64_t n = 50; n > 0; n--)
        producer_refused(producer, 2 * n, 2 * n, n % 2 ? REASON_LATE : REASON_ID, "stream", 6);
    assert_int_equal(producer_refusals(producer), 0);
    producer->durable = 7;
    assert_int_equal(producer_refusals(producer), 3);
    for (uint64_t n = 0; n < 3; n++)
        assert_int_equal(producer->refusals[n].first, 2 * n + 2);
    assert_int_equal(producer->refusals[1].reason, REASON_ID);
    assert_string_equal(producer->refusals[1].stream, "stream");
    producer_told(producer, 3, UINT64_MAX);
    assert_int_equal(producer->n_refusals, 47);
    assert_int_equal(producer_refusals(producer), 0);
    producer->durable = 100;
    assert_int_equal(producer_refusals(producer), 47);
    assert_int_equal(producer->refusals[0].first, 8);
    assert_int_equal(producer->refusals[46].last, 100);
    producers_free(producers); /* with what has not been told */
}

/* Of what was taken before the start it is known only then what its client has heard. */
static void refusals_of_before_the_start_are_told_to_who_has_not_heard(void **state) {
    (void)state;
    struct producers *producers = producers_new(1, 0);
    struct producer *producer = open_one(producers, 1, 0);
    producer->taken = producer->durable = producer->again = 20;
    for (uint64_t n = 2; n <= 10; n += 2)
        producer_refused(producer, n, n, REASON_LATE, "stream", 6);
    producer_heard(producer, 5);
    producer_refused(producer, 3, 5, REASON_LATE, "stream", 6);
    producer_refused(producer, 6, 6, REASON_LATE, "stream", 6); /* once more */
    producer_refused(producer, 9, 9, REASON_ID, "stream", 6);
    assert_int_equal(producer_refusals(producer), 4);
    static const uint64_t left[] = {6, 8, 9, 10};
    for (int i = 0; i < 4; i++)
        assert_int_equal(producer->refusals[i].first, left[i]);
    producer_heard(producer, 3); /* it asks again, from further back */
    assert_int_equal(producer_refusals(producer), 4);
    producer_refused(producer, 22, 22, REASON_ID, "stream", 6);
    producer_heard(producer, UINT64_MAX);
    producer->durable = 22;
    assert_int_equal(producer_refusals(producer), 1);
    assert_int_equal(producer->refusals[0].first, 22);
    producers_free(producers);
}

/* What was told is kept for who says how far it has heard: in bounds, and neither sorted nor told with each reply. */
static void what_was_told_is_kept_in_bounds(void **state) {
    (void)state;
    enum { KEPT = 100 };
    struct producers *producers = producers_new(1, 0);
    struct producer *producer = open_one(producers, 1, 0);
    for (uint64_t n = 1; n <= 10 * KEPT; n++) {
        producer->taken = producer->durable = n;
        producer_refused(producer, n, n, REASON_LATE, "stream", 6);
        assert_int_equal(producer_refusals(producer), producer->n_told + 1);
        producer_told(producer, producer->n_refusals, n > KEPT ? n - KEPT + 1 : 1);
        assert_in_range(producer->n_refusals, n < KEPT ? n : KEPT, 2 * KEPT);
    }
    producer_refused(producer, 900, 900, REASON_ID, "late", 4);
    assert_int_equal(producer_refusals(producer), producer->n_told + 1);
    assert_int_equal(producer->refusals[producer->n_told].first, 900);
    producer_told(producer, producer->n_refusals, 901);
    producer_heard(producer, 990);
    assert_int_equal(producer->n_told, 10);
    assert_int_equal(producer->n_refusals, 10);
    producer_refused(producer, 980, 980, REASON_ID, "later", 5);
    producer_heard(producer, 995);
    assert_int_equal(producer->n_told, 5);
    producer_tell_again(producer, 1);
    assert_int_equal(producer_refusals(producer), 6);
    assert_int_equal(producer->refusals[0].first, 980);
    producers_free(producers);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_and_numbers_are_apart),
        cmocka_unit_test(numbers_follow_each_other),
        cmocka_unit_test(a_producer_keeps_its_place),
        cmocka_unit_test(a_mark_is_a_producers_own),
        cmocka_unit_test(the_longest_idle_one_is_forgotten),
        cmocka_unit_test(who_has_ticks_in_flight_or_something_due_is_kept),
        cmocka_unit_test(a_client_speaks_for_one_producer),
        cmocka_unit_test(refusals_are_told_in_order_up_to_what_is_durable),
        cmocka_unit_test(refusals_of_before_the_start_are_told_to_who_has_not_heard),
        cmocka_unit_test(what_was_told_is_kept_in_bounds),
    };
    return cmocka_run_group_tests_name("producers", tests, NULL, NULL);
}
