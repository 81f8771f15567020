/* SPDX-License-Identifier: Apache-2.0
 *
 * The seed of a property test: HAMI_TEST_SEED, else the framework's, new in each run, or the test's own.
 */
#ifndef HAMI_TESTS_SEED_H
#define HAMI_TESTS_SEED_H

#include <glib.h>
#include <stdint.h>

static inline uint32_t test_seed_or(uint32_t own)
{
    const char *text = g_getenv("HAMI_TEST_SEED");
    uint32_t seed = text ? (uint32_t)g_ascii_strtoull(text, NULL, 10) : own;
    g_test_message("HAMI_TEST_SEED=%u", seed);
    return seed;
}

static inline uint32_t test_seed(void)
{
    return test_seed_or((uint32_t)g_test_rand_int());
}

#endif
