/* SPDX-License-Identifier: Apache-2.0
 *
 * How nodes compare: fullness before the pod, and what families think of their
 * cards on it, which outweighs fullness where the contract says so
 * (scheduler.md section 6.5 and appendix A, vendors.md sections 3.6 and 3.7).
 */
#include <string.h>

#include "world.h"

/* ---- MetaX GPU: what its plugin says of so many cards -------------------------- */

struct table_row {
    const char *name;
    enum node_policy policy;
    uint32_t losses[2], scores[2]; /* of one card, on the half used and on the empty node; 0 = not said */
    const char *want;
    double score; /* -1 = not compared */
};

static const struct table_row tables[] = {
    {"6.5 nothing said, binpack: the fuller", NODE_BINPACK, {0, 0}, {0, 0}, "used", 15},
    {"6.5 nothing said, spread: the emptier", NODE_SPREAD, {0, 0}, {0, 0}, "empty", 0},
    {"3.6 binpack: fewer losses before fullness", NODE_BINPACK, {1500, 321}, {0, 0}, "empty", 1679},
    {"3.6 spread: higher scores before emptiness", NODE_SPREAD, {0, 0}, {1500, 100}, "used", -1},
    {"3.6 binpack does not read scores", NODE_BINPACK, {0, 0}, {100, 1500}, "used", 15},
    {"3.6 spread does not read losses", NODE_SPREAD, {100, 1500}, {0, 0}, "empty", 0},
};

static void add_metax(struct world *w, struct card cards[2], struct node_spec *spec, const char *name,
                      const uint32_t losses[17], const uint32_t scores[17])
{
    for (uint16_t i = 0; i < 2; i++)
        cards[i] = (struct card){.uuid = i ? "m-1" : "m-0",
                                 .type = "Metax-GPU",
                                 .mem_bytes = MIB(65536),
                                 .cores = 100,
                                 .slots = 1,
                                 .group = -1,
                                 .index = i,
                                 .family = world_family(w, "Metax-GPU")->id,
                                 .healthy = true};
    *spec = (struct node_spec){
        .name = name, .n_cards = 2, .cards = cards, .topology_losses = losses, .topology_scores = scores};
    w->nodes[w->n_nodes++] = cluster_node_set(w->cluster, spec);
}

static void metax_gpu_nodes_compare_by_their_tables(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(tables); i++) {
        const struct table_row *row = &tables[i];
        struct world w;
        struct card cards[2][2];
        struct node_spec specs[2];
        uint32_t losses[2][17] = {{0}}, scores[2][17] = {{0}};
        struct pod_request r;
        struct cluster_answer a;
        const struct pod_grant half = {
            .n = 1, .grants = {{.mem_bytes = MIB(65536), .cores = 100, .card = 0, .slices = 1}}};
        const uint8_t app = SLOT_APP;
        world_init(&w, 1);
        for (int k = 0; k < 2; k++) {
            losses[k][1] = row->losses[k];
            scores[k][1] = row->scores[k];
            add_metax(&w, cards[k], &specs[k], k ? "empty" : "used", losses[k], scores[k]);
        }
        cluster_bound(w.cluster, "holder", "default", "holder", "used", &half, &app, 1, 0, false);
        world_request(&w, &r, "Metax-GPU", 1);
        r.requests[0].cores = 100;
        r.node_policy = row->policy;
        cluster_place(w.cluster, &r, w.nodes, 2, &a);
        g_test_message("%s", row->name);
        g_assert_cmpint(a.reason, ==, SCHED_FITS);
        g_assert_cmpstr(cluster_node_spec(w.cluster, a.node)->name, ==, row->want);
        if (row->score >= 0)
            g_assert_cmpfloat_with_epsilon(a.score, row->score, 1e-9);
        w.n_nodes = 0; /* the specs are ours */
        world_clear(&w);
    }
}

/* ---- MetaX sGPU: company, whatever the node policy -------------------------------- */

static void metax_online_pods_avoid_company_before_fullness(void)
{
    static const enum node_policy policies[] = {NODE_BINPACK, NODE_SPREAD};
    for (size_t i = 0; i < G_N_ELEMENTS(policies); i++) {
        struct world w;
        struct pod_request r;
        struct cluster_answer a;
        world_init(&w, 1);
        world_add_node(&w, "Metax-SGPU", 1);
        world_request(&w, &r, "Metax-SGPU", 1);
        r.app_class = POD_CLASS_ONLINE;
        r.requests[0].mem_bytes = MIB(32768);
        g_assert_true(world_run(&w, &r));
        world_add_node(&w, "Metax-SGPU", 1);
        world_request(&w, &r, "Metax-SGPU", 1);
        r.app_class = POD_CLASS_ONLINE;
        r.requests[0].mem_bytes = MIB(1024);
        r.node_policy = policies[i];
        cluster_place(w.cluster, &r, w.nodes, 2, &a);
        g_assert_cmpint(a.reason, ==, SCHED_FITS);
        g_assert_cmpstr(cluster_node_spec(w.cluster, a.node)->name, ==, w.names[1]);
        world_clear(&w);
    }
}

/* TestOverrideScore: the reference's figure is times 10000, and times -10000 where the lower one wins:
 * whatever the policy and the fullness, more is better. Of two linked cards, 10 * A - (T - A - R) is 100
 * where they are all there is of their zone, and 60 where they are half of four (appendix A). */
static void metax_links_decide_before_fullness(void)
{
    for (unsigned row = 0; row < 8; row++) {
        bool spread = row & 1, busy_first = row & 2, wanted = row & 4;
        struct world w;
        struct pod_request r;
        struct cluster_answer a;
        const struct pod_grant held = {
            .n = 1,
            .grants = {{.mem_bytes = MIB(65536), .cores = 100, .card = busy_first ? 4 : 2, .slices = 1}}};
        const uint8_t app = SLOT_APP;
        world_init(&w, 1);
        world_add_node(&w, "Metax-SGPU", 5);                          /* four cards of a zone and another */
        struct node_spec *spec = world_add_node(&w, "Metax-SGPU", 3); /* two of a zone and another */
        spec->cards[2].group = 9;
        world_set_node(&w, 1);
        cluster_bound(w.cluster, "holder", "default", "holder", w.names[busy_first ? 0 : 1], &held, &app, 1,
                      0, false);
        world_request(&w, &r, "Metax-SGPU", 2);
        r.requests[0].cores = 100;
        r.topology_wanted = wanted;
        r.node_policy = spread ? NODE_SPREAD : NODE_BINPACK;
        cluster_place(w.cluster, &r, w.nodes, 2, &a);
        g_assert_cmpint(a.reason, ==, SCHED_FITS);
        bool first = spread != busy_first; /* by fullness alone */
        g_test_message("%s, the %s has a busy card, links %s", spread ? "spread" : "binpack",
                       busy_first ? "first" : "second", wanted ? "count" : "do not");
        g_assert_cmpstr(cluster_node_spec(w.cluster, a.node)->name, ==, w.names[wanted || !first]);
        world_clear(&w);
    }
}

/* ---- fullness --------------------------------------------------------------------- */

/* TestComputeDefaultScore: the sum of three shares times ten; 0 where one has no whole. */
static void fullness_is_the_sum_of_three_shares(void)
{
    static const struct {
        const char *name;
        uint32_t slots, cores, mib; /* of the only card */
        double want;
    } cases[] = {
        {"12 a half, a half, a quarter", 2, 100, 4000, 10 * (0.5 + 0.5 + 0.25)},
        {"12 no cores", 2, 0, 4000, 0},
        {"12 no memory", 2, 100, 0, 0},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        struct world w;
        struct pod_request r;
        struct cluster_answer a;
        const struct pod_grant held = {.n = 1,
                                       .grants = {{.mem_bytes = cases[i].mib ? MIB(1000) : 0,
                                                   .cores = cases[i].cores ? 50 : 0,
                                                   .card = 0,
                                                   .slices = 1}}};
        const uint8_t app = SLOT_APP;
        world_init(&w, 1);
        struct node_spec *spec = world_add_node(&w, "NVIDIA", 1);
        spec->cards[0].slots = (uint16_t)cases[i].slots;
        spec->cards[0].cores = cases[i].cores;
        spec->cards[0].mem_bytes = MIB(cases[i].mib);
        world_set_node(&w, 0);
        cluster_bound(w.cluster, "holder", "default", "holder", w.names[0], &held, &app, 1, 0, false);
        world_request(&w, &r, "NVIDIA", 1);
        r.requests[0].mem_none = cases[i].mib == 0;
        r.requests[0].mem_bytes = cases[i].mib ? MIB(1) : 0;
        r.requests[0].cores = cases[i].cores > 50 ? 1 : 0;
        g_test_message("%s", cases[i].name);
        enum sched_reason reason = cluster_fit(w.cluster, &r, w.nodes[0], &a, NULL);
        g_assert_cmpint(reason, ==, SCHED_FITS);
        g_assert_cmpfloat_with_epsilon(a.score, cases[i].want, 1e-9);
        world_clear(&w);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define TEST(name) g_test_add_func("/grade/" #name, name)
    TEST(metax_gpu_nodes_compare_by_their_tables);
    TEST(metax_online_pods_avoid_company_before_fullness);
    TEST(metax_links_decide_before_fullness);
    TEST(fullness_is_the_sum_of_three_shares);
    return g_test_run();
}
