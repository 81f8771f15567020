/* SPDX-License-Identifier: Apache-2.0
 *
 * The field's own cases of filtering (scheduler.md section 12).
 */
#include "fixture.h"

/* Two nodes of two cards of 8000 MiB, the first and the last in use. */
struct filter_row {
    const char *name;
    enum node_policy node;
    enum card_policy card;
    const char *want_node, *want_card; /* NULL = either */
};

static const struct filter_row filter_rows[] = {
    {"binpack and binpack", NODE_BINPACK, CARD_BINPACK, "node2", "device4"},
    {"binpack and spread", NODE_BINPACK, CARD_SPREAD, "node2", NULL},
    {"spread and binpack", NODE_SPREAD, CARD_BINPACK, "node1", "device1"},
    {"spread and spread", NODE_SPREAD, CARD_SPREAD, "node1", "device2"},
};

static Cluster *two_nodes(void)
{
    Cluster *c = cluster_new(families());
    struct card one[2] = {card(GPU, "device1", 8000), card(GPU, "device2", 8000)};
    struct card two[2] = {card(GPU, "device3", 8000), card(GPU, "device4", 8000)};
    uint8_t app = SLOT_APP;
    cluster_node_set(c, &(struct node_spec){.name = "node1", .n_cards = 2, .cards = one});
    cluster_node_set(c, &(struct node_spec){.name = "node2", .n_cards = 2, .cards = two});
    struct pod_grant g = {.n = 1, .grants = {{.mem_bytes = MIB(2000), .cores = 25, .card = 0, .slices = 1}}};
    cluster_bound(c, "uid-a", "default", "a", "node1", &g, &app, 1, 0, false);
    g.grants[0] = (struct card_grant){.mem_bytes = MIB(6000), .cores = 75, .card = 1, .slices = 1};
    cluster_bound(c, "uid-b", "default", "b", "node2", &g, &app, 1, 0, false);
    assert_sound(c);
    return c;
}

static void filter_chooses_node_and_card_by_policy(void)
{
    g_autoptr(GString) why = g_string_new(NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(filter_rows); i++) {
        const struct filter_row *row = &filter_rows[i];
        Cluster *c = two_nodes();
        struct pod_request r = ask("uid-c", GPU, 1, 1000, 20);
        struct cluster_answer a;
        r.node_policy = row->node;
        r.card_policy[0] = row->card;
        cluster_place(c, &r, (ClusterNode[]){0, 1}, 2, &a);
        g_assert_cmpint(a.reason, ==, SCHED_FITS);
        const struct node_spec *n = cluster_node_spec(c, a.node);
        g_test_message("%s", row->name);
        g_assert_cmpstr(n->name, ==, row->want_node);
        if (row->want_card)
            g_assert_cmpstr(n->cards[a.grant.grants[0].card].uuid, ==, row->want_card);
        g_assert_true(cluster_reserve(c, &r, &a, 1000));
        assert_sound(c);
        cluster_free(c);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/place/filter_chooses_node_and_card_by_policy", filter_chooses_node_and_card_by_policy);
    return g_test_run();
}
