/* SPDX-License-Identifier: Apache-2.0
 *
 * Address ranges against a map of units that says who owns each.
 */
#include <glib.h>
#include <string.h>

#include "../seed.h"
#include "sim/mem_space.h"

enum { UNITS = 4096, SHIFT = 9, BASE = 1 << 30 };

struct model {
    struct sim_space space;
    struct sim_region *region;
    struct sim_block *owner[UNITS];
};

static void model_init(struct model *m)
{
    memset(m, 0, sizeof *m);
    sim_space_init(&m->space, SHIFT);
    m->region = sim_region_new(BASE, (uint64_t)UNITS << SHIFT, SHIFT);
    g_assert_nonnull(m->region);
    g_assert_true(sim_space_add(&m->space, m->region));
}

static void paint(struct model *m, struct sim_block *b, struct sim_block *from, struct sim_block *to)
{
    for (uint64_t u = (b->base - BASE) >> SHIFT; u < (b->base + b->span - BASE) >> SHIFT; u++) {
        g_assert_true(m->owner[u] == from);
        m->owner[u] = to;
    }
}

/* Blocks cover the region in order, no two free ones touch, and every address
 * finds its block. */
static void check(const struct model *m)
{
    uint64_t at = BASE;
    const struct sim_block *before = NULL;
    for (struct sim_block *b = sim_region_first(m->region); b != NULL; b = b->after) {
        g_assert_cmpuint(b->base, ==, at);
        g_assert_true(b->before == before);
        g_assert_false(b->free && before != NULL && before->free);
        g_assert_true(sim_region_find(m->region, b->base + b->span - 1) == b);
        g_assert_true(m->owner[(b->base - BASE) >> SHIFT] == (b->free ? NULL : b));
        at += b->span;
        before = b;
    }
    g_assert_cmpuint(at, ==, m->region->base + m->region->span);
}

static void random_histories_keep_the_books(void)
{
    GRand *rand = g_rand_new_with_seed(test_seed());
    struct model *m = g_new(struct model, 1);
    model_init(m);
    for (unsigned step = 0; step < 20000; step++) {
        unsigned unit = (unsigned)g_rand_int_range(rand, 0, UNITS);
        struct sim_block *b = m->owner[unit];
        if (b != NULL) {
            paint(m, b, b, NULL);
            g_assert_true(sim_space_put(&m->space, b) == m->region);
        } else {
            uint64_t bytes = 1 + g_rand_int(rand) % (1U << g_rand_int_range(rand, 1, 18));
            uint64_t align = 1ULL << g_rand_int_range(rand, SHIFT, 16);
            b = step % 5 ? sim_space_take(&m->space, bytes, align)
                         : sim_space_take_at(&m->space, m->region, BASE + ((uint64_t)unit << SHIFT), bytes);
            if (b != NULL) {
                g_assert_cmpuint(b->span, >=, bytes);
                g_assert_cmpuint(b->span - bytes, <, 1U << SHIFT);
                g_assert_true(step % 5 == 0 || b->base % align == 0);
                paint(m, b, NULL, b);
            }
        }
        if (step % 50 == 0)
            check(m);
    }
    for (unsigned unit = 0; unit < UNITS; unit++)
        if (m->owner[unit] != NULL) {
            struct sim_block *b = m->owner[unit];
            paint(m, b, b, NULL);
            sim_space_put(&m->space, b);
        }
    g_assert_true(sim_region_unused(m->region));
    sim_space_remove(&m->space, m->region);
    sim_region_free(m->region);
    g_free(m);
    g_rand_free(rand);
}

static void impossible_requests_are_refused(void)
{
    struct model *m = g_new(struct model, 1);
    model_init(m);
    g_assert_null(sim_space_take(&m->space, 0, 1));
    g_assert_null(sim_space_take(&m->space, ((uint64_t)UNITS << SHIFT) + 1, 512));
    g_assert_null(sim_space_take(&m->space, UINT64_MAX, 512));
    g_assert_null(sim_space_take(&m->space, 1, 1ULL << 63));
    g_assert_null(sim_space_take_at(&m->space, m->region, BASE - 512, 512));
    g_assert_null(sim_space_take_at(&m->space, m->region, BASE + 1, 512));
    g_assert_null(sim_space_take_at(&m->space, m->region, BASE, UINT64_MAX));
    struct sim_block *all = sim_space_take(&m->space, (uint64_t)UNITS << SHIFT, 512);
    g_assert_nonnull(all);
    g_assert_null(sim_space_take(&m->space, 1, 512));
    sim_space_put(&m->space, all);
    g_assert_true(sim_region_unused(m->region));
    sim_region_free(m->region);
    g_free(m);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/space/random_histories_keep_the_books", random_histories_keep_the_books);
    g_test_add_func("/space/impossible_requests_are_refused", impossible_requests_are_refused);
    return g_test_run();
}
