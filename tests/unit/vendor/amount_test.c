/* SPDX-License-Identifier: Apache-2.0
 *
 * What a request takes of a card, by the families' rules: scheduler.md section
 * 5, vendors.md sections 3 and 9.
 */
#include <string.h>

#include "scene.h"

struct row {
    const char *name; /* with the line of the specification */
    uint64_t card_mib;
    uint32_t card_cores, taken_cores;
    enum family_cores_kind kind;
    struct card_request ask;
    uint64_t want_mib;
    uint32_t want_cores;
};

static const struct row rows[] = {
    {.name = "5: percent is rounded down to MiB",
     .card_mib = 11264,
     .card_cores = 100,
     .kind = FAMILY_CORES_PERCENT,
     .ask = {.mem_percent = 33},
     .want_mib = 3717},
    {.name = "5: 0 percent and no bytes is the whole card",
     .card_mib = 11264,
     .card_cores = 100,
     .kind = FAMILY_CORES_PERCENT,
     .want_mib = 11264},
    {.name = "5: bytes win over percent",
     .card_mib = 11264,
     .card_cores = 100,
     .kind = FAMILY_CORES_PERCENT,
     .ask = {.mem_bytes = MIB(2000), .mem_percent = 50},
     .want_mib = 2000},
    {.name = "6.4 step 8: 120 % is 100 %",
     .card_mib = 100,
     .card_cores = 100,
     .kind = FAMILY_CORES_PERCENT,
     .ask = {.cores = 120, .mem_bytes = MIB(1)},
     .want_mib = 1,
     .want_cores = 100},
    {.name = "vendors 9.9: 1 % of 304 CUs is 3",
     .card_mib = 100,
     .card_cores = 304,
     .kind = FAMILY_CORES_OF_TOTAL,
     .ask = {.cores = 1, .mem_bytes = MIB(1)},
     .want_mib = 1,
     .want_cores = 3},
    {.name = "vendors 3.12: never less than one CU",
     .card_mib = 100,
     .card_cores = 60,
     .kind = FAMILY_CORES_OF_TOTAL,
     .ask = {.cores = 1, .mem_bytes = MIB(1)},
     .want_mib = 1,
     .want_cores = 1},
    {.name = "vendors 3.12: 100 % is all CUs",
     .card_mib = 100,
     .card_cores = 304,
     .kind = FAMILY_CORES_OF_TOTAL,
     .ask = {.cores = 100, .mem_bytes = MIB(1)},
     .want_mib = 1,
     .want_cores = 304},
    {.name = "vendors 3.5: units are counted as they are",
     .card_mib = 100,
     .card_cores = 16,
     .kind = FAMILY_CORES_UNITS,
     .ask = {.cores = 8, .mem_bytes = MIB(1)},
     .want_mib = 1,
     .want_cores = 8},
    {.name = "vendors 9.7: 24576 MiB of a P800 is 25 %",
     .card_mib = 98304,
     .card_cores = 100,
     .kind = FAMILY_CORES_OF_MEM,
     .ask = {.mem_bytes = MIB(24576)},
     .want_mib = 24576,
     .want_cores = 25},
    {.name = "vendors 9.7: the whole card is 100 %",
     .card_mib = 98304,
     .card_cores = 100,
     .kind = FAMILY_CORES_OF_MEM,
     .want_mib = 98304,
     .want_cores = 100},
    {.name = "vendors 9.8: the first core",
     .card_cores = 3,
     .kind = FAMILY_CORES_MASK,
     .ask = {.cores = 1, .mem_none = true},
     .want_cores = 1},
    {.name = "vendors 9.8: then the second",
     .card_cores = 3,
     .taken_cores = 1,
     .kind = FAMILY_CORES_MASK,
     .ask = {.cores = 1, .mem_none = true},
     .want_cores = 2},
    {.name = "vendors 3.11: the first again when the second is taken",
     .card_cores = 3,
     .taken_cores = 2,
     .kind = FAMILY_CORES_MASK,
     .ask = {.cores = 1, .mem_none = true},
     .want_cores = 1},
    {.name = "W22: the third of four cores",
     .card_cores = 15,
     .taken_cores = 3,
     .kind = FAMILY_CORES_MASK,
     .ask = {.cores = 1, .mem_none = true},
     .want_cores = 4},
};

static void amount_is_the_family_s(void)
{
    static struct scene s;
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        const struct row *r = &rows[i];
        struct card_grant g;
        scene_init(&s, 1, 1);
        s.family.cores_kind = r->kind;
        s.cards[0].mem_bytes = MIB(r->card_mib);
        s.cards[0].cores = r->card_cores;
        s.use[0].cores = r->taken_cores;
        s.pod.requests[0] = r->ask;
        g_test_message("%s", r->name);
        g_assert_true(choice_amount(&s.choice, 0, &g, NULL));
        g_assert_cmpuint(g.mem_bytes, ==, MIB(r->want_mib));
        g_assert_cmpuint(g.cores, ==, r->want_cores);
        g_assert_cmpuint(g.slices, ==, 1);
    }
}

static void percent_of_bytes_stays_exact(void)
{
    static struct scene s;
    struct card_grant g;
    scene_init(&s, 1, 1);
    s.family.mem_unit_bytes = 1;
    s.cards[0].mem_bytes = 1001;
    s.pod.requests[0].mem_percent = 50;
    g_assert_true(choice_amount(&s.choice, 0, &g, NULL));
    g_assert_cmpuint(g.mem_bytes, ==, 500);
}

static void no_core_is_left(void)
{
    static struct scene s;
    struct card_grant g;
    int reason;
    scene_init(&s, 1, 1);
    s.family.cores_kind = FAMILY_CORES_MASK;
    s.cards[0].cores = s.use[0].cores = 3;
    s.pod.requests[0].cores = 1;
    g_assert_false(choice_amount(&s.choice, 0, &g, &reason));
    g_assert_cmpint(reason, ==, SCHED_CORES);
}

/* Ascend 910B2: memory, aiCore, aiCPU of its templates (vendors.md section 3.1). */
static struct scene_shapes templates = {.n = 3,
                                        .shapes = {{.mem_bytes = MIB(8192), .aux = {3, 1}},
                                                   {.mem_bytes = MIB(16384), .aux = {6, 1}},
                                                   {.mem_bytes = MIB(32768), .aux = {12, 3}}}};

static void ascend(struct scene *s, uint64_t mib)
{
    scene_init(s, 1, 1);
    s->family.mem_round = FAMILY_ROUND_SHAPES;
    s->family.shapes = (struct card_shapes *)(void *)&templates;
    s->family.aux_total[0] = 24;
    s->family.aux_total[1] = 6;
    s->cards[0].mem_bytes = MIB(65536);
    s->pod.requests[0].mem_bytes = MIB(mib);
}

static void templates_charge_cores_and_cpus(void)
{
    static const struct {
        const char *name;
        uint64_t mib;
        bool soft;
        uint16_t core, cpu;
        uint8_t shape;
    } cases[] = {
        {"vir03_1c_8g", 8192, false, 3, 1, 0},
        {"vir12_3c_32g", 32768, false, 12, 3, 2},
        {"the whole card takes all", 65536, false, 24, 6, CARD_NO_SHAPE},
        {"soft slicing has no templates", 8192, true, 0, 0, CARD_NO_SHAPE},
    };
    static struct scene s;
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        struct card_grant g;
        ascend(&s, cases[i].mib);
        s.pod.soft = cases[i].soft;
        g_test_message("W7: %s", cases[i].name);
        g_assert_true(choice_amount(&s.choice, 0, &g, NULL));
        g_assert_cmpuint(g.aux[0], ==, cases[i].core);
        g_assert_cmpuint(g.aux[1], ==, cases[i].cpu);
        g_assert_cmpuint(g.shape, ==, cases[i].shape);
    }
}

/* Enflame: core share of a profile = ceil(size * 100 / 6) (vendors.md section 3.8). */
static struct scene_shapes profiles = {
    .n = 4,
    .shapes = {{.name = "6g.48gb", .mem_bytes = MIB(49152), .cores = 100, .slices = 6},
               {.name = "1g.8gb", .mem_bytes = MIB(8192), .cores = 17, .slices = 1},
               {.name = "2g.16gb", .mem_bytes = MIB(16384), .cores = 34, .slices = 2},
               {.name = "3g.24gb", .mem_bytes = MIB(24576), .cores = 50, .slices = 3}}};

static void profiles_are_the_smallest_sufficient(void)
{
    static const struct {
        const char *name, *want;
        struct card_request ask;
    } cases[] = {
        {"vendors 9.6: 20480 MiB and 40 %", "3g.24gb", {.mem_bytes = MIB(20480), .cores = 40}},
        {"vendors 9.6: size 3", "3g.24gb", {.size = 3}},
        {"compute decides", "6g.48gb", {.mem_bytes = MIB(1024), .cores = 51}},
        {"memory decides", "2g.16gb", {.mem_bytes = MIB(8193), .cores = 1}},
        {"the rounded share is enough", "1g.8gb", {.mem_bytes = MIB(8192), .cores = 17}},
        {"no profile has this size", NULL, {.size = 4}},
        {"more than the largest", NULL, {.mem_bytes = MIB(49153)}},
    };
    static struct scene s;
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        struct card_grant g;
        int reason;
        scene_init(&s, 1, 1);
        s.family.mem_round = FAMILY_ROUND_CARD_SHAPE;
        s.cards[0].shapes = (const struct card_shapes *)(const void *)&profiles;
        s.pod.requests[0] = cases[i].ask;
        g_test_message("%s", cases[i].name);
        g_assert_true(choice_amount(&s.choice, 0, &g, &reason) == (cases[i].want != NULL));
        if (!cases[i].want) {
            g_assert_cmpint(reason, ==, SCHED_MODE);
            continue;
        }
        g_assert_cmpstr(profiles.shapes[g.shape].name, ==, cases[i].want);
        g_assert_cmpuint(g.slices, ==, profiles.shapes[g.shape].slices);
        g_assert_cmpuint(g.cores, ==, profiles.shapes[g.shape].cores);
        g_assert_cmpuint(g.mem_bytes, ==, profiles.shapes[g.shape].mem_bytes);
    }
}

static void sgpu_flags_follow_the_pod(void)
{
    static const struct {
        const char *name;
        uint8_t app_class, qos;
        uint32_t cores, want_cores;
        unsigned want;
    } cases[] = {
        {"vendors 3.7: online takes no compute", POD_CLASS_ONLINE, CARD_QOS_BEST_EFFORT, 50, 0,
         CARD_GRANT_ONLINE},
        {"offline has a policy", POD_CLASS_OFFLINE, CARD_QOS_BURST_SHARE, 50, 50,
         CARD_GRANT_OFFLINE | CARD_QOS_BURST_SHARE << CARD_GRANT_QOS_SHIFT},
        {"a whole card has none", POD_CLASS_NONE, CARD_QOS_FIXED_SHARE, 100, 100, 0},
        {"a share has one", POD_CLASS_NONE, CARD_QOS_FIXED_SHARE, 99, 99,
         CARD_QOS_FIXED_SHARE << CARD_GRANT_QOS_SHIFT},
    };
    static struct scene s;
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        struct card_grant g;
        scene_init(&s, 1, 1);
        s.family.score = FAMILY_SCORE_PAIRLINK;
        s.pod.app_class = cases[i].app_class;
        s.pod.qos = cases[i].qos;
        s.pod.requests[0].cores = cases[i].cores;
        g_test_message("%s", cases[i].name);
        g_assert_true(choice_amount(&s.choice, 0, &g, NULL));
        g_assert_cmpuint(g.flags, ==, cases[i].want);
        g_assert_cmpuint(g.cores, ==, cases[i].want_cores);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/vendor/amount_is_the_family_s", amount_is_the_family_s);
    g_test_add_func("/vendor/percent_of_bytes_stays_exact", percent_of_bytes_stays_exact);
    g_test_add_func("/vendor/no_core_is_left", no_core_is_left);
    g_test_add_func("/vendor/templates_charge_cores_and_cpus", templates_charge_cores_and_cpus);
    g_test_add_func("/vendor/profiles_are_the_smallest_sufficient", profiles_are_the_smallest_sufficient);
    g_test_add_func("/vendor/sgpu_flags_follow_the_pod", sgpu_flags_follow_the_pod);
    return g_test_run();
}
