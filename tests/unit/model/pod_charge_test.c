/* SPDX-License-Identifier: Apache-2.0
 *
 * What a pod counts for on a card: rows of containers in the order of their
 * slots, and the peak that Kubernetes' start order makes of them (scheduler.md
 * section 4.6, with sidecars running beside what comes after them: B24).
 */
#include <glib.h>
#include <stdlib.h>

#include "../seed.h"
#include "model/pod.h"

#define G(n) ((uint64_t)(n) << 30)
#define END                                                                                                  \
    {                                                                                                        \
        .gib = -1                                                                                            \
    }

struct container {
    enum slot_kind kind;
    int gib, cores, slots;
    int card;
};

static const struct row {
    const char *name;
    struct container containers[8];          /* gib -1 ends */
    int gib, cores, slots;                   /* wanted of card 0 */
    int later_gib, later_cores, later_slots; /* once init containers are over */
} rows[] = {
    {"app containers add up", {{SLOT_APP, 4, 10, 1, 0}, {SLOT_APP, 6, 20, 1, 0}, END}, 10, 30, 2, 10, 30, 2},
    {"of init containers the largest counts",
     {{SLOT_INIT, 4, 10, 1, 0}, {SLOT_INIT, 6, 5, 1, 0}, END},
     6,
     10,
     1,
     0,
     0,
     0},
    {"an init container above the apps",
     {{SLOT_INIT, 20, 10, 1, 0}, {SLOT_APP, 10, 5, 1, 0}, END},
     20,
     10,
     1,
     10,
     5,
     1},
    {"an init container below the apps",
     {{SLOT_INIT, 5, 40, 1, 0}, {SLOT_APP, 10, 5, 1, 0}, END},
     10,
     40,
     1,
     10,
     5,
     1},
    {"memory, cores and slots peak at different times",
     {{SLOT_INIT, 20, 1, 1, 0},
      {SLOT_INIT, 1, 90, 1, 0},
      {SLOT_APP, 2, 2, 1, 0},
      {SLOT_APP, 2, 2, 1, 0},
      END},
     20,
     90,
     2,
     4,
     4,
     2},
    {"a sidecar runs beside the apps",
     {{SLOT_SIDECAR, 4, 10, 1, 0}, {SLOT_APP, 6, 20, 1, 0}, END},
     10,
     30,
     2,
     10,
     30,
     2},
    {"a sidecar runs beside a later init container",
     {{SLOT_SIDECAR, 4, 10, 1, 0}, {SLOT_INIT, 20, 20, 1, 0}, {SLOT_APP, 6, 20, 1, 0}, END},
     24,
     30,
     2,
     10,
     30,
     2},
    {"a sidecar does not run beside an earlier init container",
     {{SLOT_INIT, 20, 20, 1, 0}, {SLOT_SIDECAR, 4, 10, 1, 0}, {SLOT_APP, 6, 20, 1, 0}, END},
     20,
     30,
     2,
     10,
     30,
     2},
    {"sidecars add up",
     {{SLOT_SIDECAR, 4, 1, 1, 0}, {SLOT_SIDECAR, 5, 1, 1, 0}, {SLOT_INIT, 1, 1, 1, 0}, END},
     10,
     3,
     3,
     9,
     2,
     2},
    {"another card's containers do not count",
     {{SLOT_APP, 4, 10, 1, 1}, {SLOT_APP, 6, 20, 1, 0}, END},
     6,
     20,
     1,
     6,
     20,
     1},
    {"a slice of several slots",
     {{SLOT_APP, 24, 50, 3, 0}, {SLOT_APP, 6, 17, 1, 0}, END},
     30,
     67,
     4,
     30,
     67,
     4},
    {"nothing", {END}, 0, 0, 0, 0, 0, 0},
};

static unsigned build(const struct row *row, struct card_grant *grants, uint8_t *kinds)
{
    unsigned n = 0;
    for (; row->containers[n].gib >= 0; n++) {
        const struct container *c = &row->containers[n];
        kinds[n] = (uint8_t)c->kind;
        grants[n] = (struct card_grant){.mem_bytes = G(c->gib),
                                        .cores = (uint32_t)c->cores,
                                        .card = (uint16_t)c->card,
                                        .slices = (uint16_t)c->slots,
                                        .slot = (uint8_t)n,
                                        .shape = CARD_NO_SHAPE};
    }
    return n;
}

static void the_peak_follows_the_start_order(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        struct card_grant grants[8];
        uint8_t kinds[8];
        struct card_use use[2];
        unsigned n = build(&rows[i], grants, kinds);
        g_test_message("%s", rows[i].name);
        pod_charge(grants, n, kinds, false, use, 2);
        g_assert_cmpuint(use[0].mem_bytes, ==, G(rows[i].gib));
        g_assert_cmpint(use[0].cores, ==, rows[i].cores);
        g_assert_cmpint(use[0].slots, ==, rows[i].slots);
        pod_charge(grants, n, kinds, true, use, 2);
        g_assert_cmpuint(use[0].mem_bytes, ==, G(rows[i].later_gib));
        g_assert_cmpint(use[0].cores, ==, rows[i].later_cores);
        g_assert_cmpint(use[0].slots, ==, rows[i].later_slots);
    }
}

static void masks_are_united(void)
{
    static const uint8_t kinds[] = {SLOT_INIT, SLOT_APP, SLOT_APP};
    const struct card_grant grants[] = {
        {.cores = 1, .flags = CARD_GRANT_MASK, .slot = 0, .mig_start = 0, .mig_size = 2},
        {.cores = 1, .flags = CARD_GRANT_MASK, .slot = 1, .mig_start = 4, .mig_size = 4},
        {.cores = 6, .flags = CARD_GRANT_MASK, .slot = 2},
    };
    struct card_use use;
    pod_charge(grants, 3, kinds, false, &use, 1);
    g_assert_cmphex(use.cores, ==, 7);
    g_assert_cmphex(use.mig_mask, ==, 0xf3);
    pod_charge(grants, 3, kinds, true, &use, 1);
    g_assert_cmphex(use.cores, ==, 7);
    g_assert_cmphex(use.mig_mask, ==, 0xf0);
}

static void several_instances_of_one_container_add_up(void)
{
    static const uint8_t kinds[] = {SLOT_INIT};
    const struct card_grant grants[] = {
        {.mem_bytes = G(5), .cores = 15, .slices = 1, .mig_start = 3, .mig_size = 1},
        {.mem_bytes = G(5), .cores = 15, .slices = 1, .mig_start = 2, .mig_size = 1}};
    struct card_use use;
    pod_charge(grants, 2, kinds, false, &use, 1);
    g_assert_cmpuint(use.mem_bytes, ==, G(10));
    g_assert_cmpuint(use.cores, ==, 30);
    g_assert_cmpuint(use.slots, ==, 2);
    g_assert_cmphex(use.mig_mask, ==, 0xc);
}

static void classes_and_further_resources_are_counted(void)
{
    static const uint8_t kinds[] = {SLOT_APP, SLOT_APP, SLOT_APP};
    const struct card_grant grants[] = {
        {.slot = 0, .slices = 1, .flags = CARD_GRANT_ONLINE, .aux = {3, 1}},
        {.slot = 1,
         .slices = 1,
         .flags = CARD_GRANT_OFFLINE | CARD_QOS_FIXED_SHARE << CARD_GRANT_QOS_SHIFT,
         .aux = {12, 3}},
        {.slot = 2, .slices = 1, .flags = CARD_GRANT_EXCLUSIVE},
    };
    struct card_use use;
    pod_charge(grants, 3, kinds, false, &use, 1);
    g_assert_cmpuint(use.online, ==, 1);
    g_assert_cmpuint(use.offline, ==, 1);
    g_assert_cmpuint(use.exclusive, ==, 1);
    g_assert_cmpuint(use.qos[CARD_QOS_FIXED_SHARE], ==, 1);
    g_assert_cmpuint(use.qos[CARD_QOS_NONE], ==, 0);
    g_assert_cmpuint(use.aux[0], ==, 15);
    g_assert_cmpuint(use.aux[1], ==, 4);
}

static void hostile_sums_stop_at_the_top(void)
{
    static const uint8_t kinds[POD_SLOTS_MAX] = {SLOT_APP};
    struct card_grant grants[POD_GRANTS_MAX];
    struct card_use use;
    for (unsigned i = 0; i < POD_GRANTS_MAX; i++)
        grants[i] = (struct card_grant){.mem_bytes = UINT64_MAX / 2,
                                        .cores = INT32_MAX,
                                        .slices = UINT16_MAX,
                                        .aux = {UINT16_MAX, 0},
                                        .mig_start = 255,
                                        .mig_size = 255,
                                        .flags = CARD_GRANT_ONLINE};
    pod_charge(grants, POD_GRANTS_MAX, kinds, false, &use, 1);
    g_assert_cmpuint(use.mem_bytes, ==, UINT64_MAX);
    g_assert_cmpuint(use.cores, ==, UINT32_MAX);
    g_assert_cmpuint(use.slots, ==, UINT16_MAX);
    g_assert_cmpuint(use.aux[0], ==, UINT16_MAX);
    g_assert_cmpuint(use.online, ==, UINT8_MAX);
}

static void cards_that_the_node_does_not_have_are_left_out(void)
{
    static const uint8_t kinds[] = {SLOT_APP};
    const struct card_grant grants[] = {{.card = 5, .mem_bytes = G(1), .slices = 1}};
    struct card_use use[2] = {{.slots = 9}, {.slots = 9}};
    pod_charge(grants, 1, kinds, false, use, 2);
    g_assert_cmpuint(use[0].slots + use[1].slots, ==, 0);
}

/* Simulates the life of a pod second by second: what runs at the same time. */
static uint64_t lived_peak(const struct card_grant *grants, unsigned n, const uint8_t *kinds,
                           unsigned n_slots)
{
    uint64_t by_slot[POD_SLOTS_MAX] = {0}, peak = 0, sidecars = 0, apps = 0;
    for (unsigned i = 0; i < n; i++)
        by_slot[grants[i].slot] += grants[i].card == 0 ? grants[i].mem_bytes : 0;
    for (unsigned s = 0; s < n_slots; s++) {
        uint64_t now = sidecars + by_slot[s];
        if (kinds[s] == SLOT_APP)
            apps += by_slot[s];
        else
            peak = MAX(peak, now);
        if (kinds[s] == SLOT_SIDECAR)
            sidecars = now;
    }
    return MAX(peak, sidecars + apps);
}

static void any_pod_is_charged_what_it_lives(void)
{
    uint32_t seed = test_seed_or(2611);
    g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
    for (int round = 0; round < 1000; round++) {
        struct card_grant grants[24];
        uint8_t kinds[8];
        unsigned n = 0, inits = (unsigned)g_rand_int_range(rand, 0, 5);
        for (unsigned s = 0; s < 8; s++) {
            kinds[s] = s >= inits ? SLOT_APP : g_rand_boolean(rand) ? SLOT_SIDECAR : SLOT_INIT;
            for (int k = g_rand_int_range(rand, 0, 4); k > 0; k--)
                grants[n++] = (struct card_grant){.mem_bytes = (uint64_t)g_rand_int_range(rand, 0, 100),
                                                  .slices = 1,
                                                  .card = (uint16_t)g_rand_int_range(rand, 0, 3),
                                                  .slot = (uint8_t)s};
        }
        struct card_use use[3];
        pod_charge(grants, n, kinds, false, use, 3);
        if (use[0].mem_bytes != lived_peak(grants, n, kinds, 8))
            g_error("seed %u, round %d", seed, round);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define TEST(name) g_test_add_func("/pod-charge/" #name, name)
    TEST(the_peak_follows_the_start_order);
    TEST(masks_are_united);
    TEST(several_instances_of_one_container_add_up);
    TEST(classes_and_further_resources_are_counted);
    TEST(hostile_sums_stop_at_the_top);
    TEST(cards_that_the_node_does_not_have_are_left_out);
    TEST(any_pod_is_charged_what_it_lives);
    return g_test_run();
}
