/* SPDX-License-Identifier: Apache-2.0
 *
 * The ledger with the rows and hooks of all families: what placing answers is
 * what fitting node by node answers, no card is given away twice, and what was
 * taken comes back.
 */
#include <string.h>

#include "../seed.h"
#include "world.h"

static unsigned n_placed, n_refused;

static void check_sane(const struct world *w)
{
    g_autofree char *broken = cluster_check(w->cluster);
    if (broken)
        g_error("%s", broken);
}

/* No two pods hold one MIG slice or one core; nothing exceeds its card. */
static void check_cards(const struct world *w)
{
    for (uint32_t n = 0; n < w->n_nodes; n++) {
        const struct node_spec *spec = cluster_node_spec(w->cluster, w->nodes[n]);
        const struct card_use *use = cluster_node_use(w->cluster, w->nodes[n]);
        for (uint32_t i = 0; i < spec->n_cards; i++) {
            const struct card *c = &spec->cards[i];
            const struct family *f = w->families->rows[c->family];
            g_assert_cmpuint(use[i].mem_bytes, <=, c->mem_bytes);
            g_assert_cmpuint(use[i].slots, <=, c->slots);
            for (int a = 0; a < CARD_AUX; a++)
                g_assert_true(c->aux[a] == 0 || use[i].aux[a] <= c->aux[a]);
            if (f->cores_kind == FAMILY_CORES_MASK)
                g_assert_cmphex(use[i].cores & ~c->cores, ==, 0);
            else if (c->mode != CARD_MIG && !f->soft_key)
                g_assert_cmpuint(use[i].cores, <=, c->cores);
        }
    }
}

struct held {
    uint32_t mig[WORLD_NODES][CARD_PER_NODE], cores[WORLD_NODES][CARD_PER_NODE];
    const struct world *w;
};

/* Containers of one pod may follow each other on the same instance or cores. */
static bool add_pod(const struct cluster_pod *p, void *data)
{
    struct held *h = data;
    static struct card_use charge[CARD_PER_NODE];
    const struct node_spec *spec = cluster_node_spec(h->w->cluster, p->node);
    uint32_t at = 0;
    while (h->w->nodes[at] != p->node)
        at++;
    pod_charge(p->grants, p->n_grants, p->slot_kind, p->started, charge, spec->n_cards);
    for (uint32_t i = 0; i < spec->n_cards; i++) {
        g_assert_cmphex(h->mig[at][i] & charge[i].mig_mask, ==, 0);
        h->mig[at][i] |= charge[i].mig_mask;
        if (h->w->families->rows[spec->cards[i].family]->cores_kind != FAMILY_CORES_MASK)
            continue;
        g_assert_cmphex(h->cores[at][i] & charge[i].cores, ==, 0);
        h->cores[at][i] |= charge[i].cores;
    }
    return true;
}

static void check_holders(const struct world *w)
{
    struct held *h = g_new0(struct held, 1);
    h->w = w;
    cluster_pod_each(w->cluster, add_pod, h);
    g_free(h);
}

static void place_one(struct world *w)
{
    static struct pod_request r;
    static struct cluster_answer a;
    world_random_request(w, &r);
    uint32_t n = world_count(w, &r);
    cluster_place(w->cluster, &r, w->nodes, w->n_nodes, &a);
    g_assert_true((a.reason == SCHED_FITS) == (n > 0));
    n_placed += n > 0;
    n_refused += n == 0;
    if (a.reason == SCHED_FITS)
        g_assert_true(world_run(w, &r));
}

static bool collect_uid(const struct cluster_pod *p, void *uids)
{
    g_ptr_array_add(uids, g_strdup(p->uid));
    return true;
}

static void release_all(struct world *w)
{
    static const struct card_use nothing;
    g_autoptr(GPtrArray) uids = g_ptr_array_new_with_free_func(g_free);
    cluster_pod_each(w->cluster, collect_uid, uids);
    g_assert_cmpuint(uids->len, ==, w->n_pods);
    for (uint32_t i = 0; i < uids->len; i++)
        g_assert_true(cluster_release(w->cluster, uids->pdata[i]));
    for (uint32_t n = 0; n < w->n_nodes; n++)
        for (uint32_t i = 0; i < w->specs[n].n_cards; i++)
            g_assert_cmpint(memcmp(&cluster_node_use(w->cluster, w->nodes[n])[i], &nothing, sizeof nothing),
                            ==, 0);
}

static void all_families_share_one_ledger(void)
{
    uint32_t first = test_seed();
    for (uint32_t i = 0; i < 60; i++) {
        struct world w;
        g_test_message("seed %u", first + i);
        world_init(&w, first + i);
        world_add_random_nodes(&w, 10);
        for (int k = 0; k < 120; k++)
            place_one(&w);
        check_sane(&w);
        check_cards(&w);
        check_holders(&w);
        release_all(&w);
        check_sane(&w);
        world_clear(&w);
    }
    g_test_message("%u placed, %u refused", n_placed, n_refused);
    g_assert_cmpuint(n_placed, >, 0);
    g_assert_cmpuint(n_refused, >, 0);
}

/* What fits of three pods on one node; the last one's reasons. */
static void expect_last(struct world *w, struct pod_request *r, unsigned n, const char *want)
{
    static struct cluster_answer a;
    static const char *const uids[] = {"first", "second", "third", "fourth", "fifth"};
    g_autoptr(GString) why = g_string_new("");
    for (unsigned i = 0; i + 1 < n; i++) {
        r->uid = uids[i];
        g_assert_true(world_run(w, r));
    }
    r->uid = "last";
    g_assert_cmpint(cluster_fit(w->cluster, r, w->nodes[0], &a, why), !=, SCHED_FITS);
    g_assert_cmpstr(why->str, ==, want);
}

/* vendors.md W7: a template takes AI cores, which end before the memory where that is overcommitted. */
static void templates_end_with_the_ai_cores(void)
{
    struct world w;
    struct pod_request r;
    world_init(&w, 1);
    struct node_spec *spec = world_add_node(&w, "Ascend910B3", 1); /* 20 AI cores */
    spec->cards[0].mem_bytes = MIB(8 * 16384);
    spec->cards[0].slots = 8;
    world_set_node(&w, 0);
    world_request(&w, &r, "Ascend910B3", 1);
    r.requests[0].mem_bytes = MIB(16384); /* vir05_1c_16g: 5 of them */
    expect_last(&w, &r, 5, "1/1 CardInsufficientCore");
    world_clear(&w);
}

/* vendors.md 3.8: a slice of size 3 needs three of the card's six. */
static void slices_end_with_the_card_s_size(void)
{
    struct world w;
    struct pod_request r;
    world_init(&w, 1);
    struct node_spec *spec = world_add_node(&w, "Enflame", 1);
    spec->cards[0].mem_bytes = MIB(10 * 49152); /* never the memory */
    spec->cards[0].cores = 1000;
    world_set_node(&w, 0);
    world_request(&w, &r, "Enflame", 1);
    r.requests[0].size = 2;
    r.uid = "two";
    g_assert_true(world_run(&w, &r));
    r.requests[0].size = 3;
    expect_last(&w, &r, 2, "1/1 CardTimeSlicingExhausted");
    world_clear(&w);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/families/all_families_share_one_ledger", all_families_share_one_ledger);
    g_test_add_func("/families/templates_end_with_the_ai_cores", templates_end_with_the_ai_cores);
    g_test_add_func("/families/slices_end_with_the_card_s_size", slices_end_with_the_card_s_size);
    return g_test_run();
}
