/* SPDX-License-Identifier: Apache-2.0
 *
 * A course of events that one number repeats (splitmix64).
 */
#ifndef HAMI_TESTS_SCHED_CHANCE_H
#define HAMI_TESTS_SCHED_CHANCE_H

#include <glib.h>
#include <stdint.h>

static uint64_t chance_state;

/* 0 ... n - 1. */
static inline uint32_t chance(uint32_t n)
{
    uint64_t z = chance_state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return (uint32_t)((z ^ z >> 31) >> 16) % n;
}

/* From HAMI_TEST_SEED or the framework's seed; printed with the number of operations (HAMI_TEST_OPS). */
static inline uint64_t chance_begin(uint64_t ops)
{
    const char *n = g_getenv("HAMI_TEST_OPS"), *seed = g_getenv("HAMI_TEST_SEED");
    ops = n ? g_ascii_strtoull(n, NULL, 10) : ops;
    chance_state = seed ? g_ascii_strtoull(seed, NULL, 10) : (uint64_t)(uint32_t)g_test_rand_int();
    g_test_message("HAMI_TEST_SEED=%" G_GUINT64_FORMAT " HAMI_TEST_OPS=%" G_GUINT64_FORMAT, chance_state,
                   ops);
    return ops;
}

#endif
