/* SPDX-License-Identifier: Apache-2.0
 *
 * The ledger with the rows and hooks of all families: what placing answers is
 * what fitting node by node answers, no card is given away twice, and what was
 * taken comes back.
 */
#include <string.h>

#include "../seed.h"
#include "vendor/parse.h"
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

/* TestCalcScoreUsesDeviceScoringWeightsAsTopologyTieBreaker: of two cards with the same links the emptier
 * one, by the weights: 16 and 15, then 26 and 27 (6.3). */
static void weights_decide_between_equally_near_cards(void)
{
    static const uint16_t pairs[] = {0, 1, 1, 0};
    const struct pod_grant held = {.n = 2,
                                   .grants = {{.mem_bytes = MIB(4096), .cores = 90, .card = 0, .slices = 1},
                                              {.mem_bytes = MIB(8192), .cores = 10, .card = 1, .slices = 7}}};
    const uint8_t app = SLOT_APP;
    struct world w;
    struct pod_request r;
    struct cluster_answer a;
    world_init(&w, 1);
    struct node_spec *spec = world_add_node(&w, "NVIDIA", 2);
    spec->pair_score = pairs;
    world_set_node(&w, 0);
    cluster_bound(w.cluster, "holder", "default", "holder", w.names[0], &held, &app, 1, 0, false);
    g_assert_cmpuint(cluster_node_use(w.cluster, w.nodes[0])[1].slots, ==, 7);
    world_request(&w, &r, "NVIDIA", 1);
    r.topology_aware = true;
    r.requests[0].mem_percent = 40;
    for (uint32_t memory = 1; memory <= 3; memory += 2) {
        r.weight_mem = memory;
        g_assert_cmpint(cluster_fit(w.cluster, &r, w.nodes[0], &a, NULL), ==, SCHED_FITS);
        g_assert_cmpuint(a.grant.grants[0].card, ==, memory == 1);
    }
    world_clear(&w);
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

/* ---- which cards a pod wants ------------------------------------------------------ */

/* vendors.md, the table of families: SEL, with what a pod asks for to get one card. Kunlunxin's two families
 * have two pairs of annotations, and both hold. */
static const struct uuid_row {
    const char *word, *limits, *use, *not ;
} uuid_rows[] = {
    {"NVIDIA", "\"nvidia.com/gpu\":\"1\"", "nvidia.com/use-gpuuuid", "nvidia.com/nouse-gpuuuid"},
    {"MLU", "\"cambricon.com/vmlu\":\"1\"", "cambricon.com/use-gpuuuid", "cambricon.com/nouse-gpuuuid"},
    {"DCU", "\"hygon.com/dcunum\":\"1\"", "hygon.com/use-gpuuuid", "hygon.com/nouse-gpuuuid"},
    {"Ascend910B3", "\"huawei.com/Ascend910B3\":\"1\"", "hami.io/use-Ascend910B3-uuid",
     "hami.io/no-use-Ascend910B3-uuid"},
    {"Ascend310P", "\"huawei.com/Ascend310P\":\"1\"", "hami.io/use-Ascend310P-uuid",
     "hami.io/no-use-Ascend310P-uuid"},
    {"Mthreads", "\"mthreads.com/vgpu\":\"1\"", "mthreads.ai/use-gpuuuid", "mthreads.ai/nouse-gpuuuid"},
    {"Metax-SGPU", "\"metax-tech.com/sgpu\":\"1\"", "metax-tech.com/use-gpuuuid",
     "metax-tech.com/nouse-gpuuuid"},
    {"Enflame", "\"enflame.com/drs-gcu\":\"1\"", "enflame.com/use-gpuuuid", "enflame.com/nouse-gpuuuid"},
    {"kunlun", "\"kunlunxin.com/xpu\":\"1\"", "baidu.com/use-gpuuuid", "baidu.com/nouse-gpuuuid"},
    {"kunlun", "\"kunlunxin.com/xpu\":\"1\"", "hami.io/use-xpu-uuid", "hami.io/no-use-xpu-uuid"},
    {"XPU", "\"kunlunxin.com/vxpu\":\"1\"", "baidu.com/use-gpuuuid", "baidu.com/nouse-gpuuuid"},
    {"XPU", "\"kunlunxin.com/vxpu\":\"1\"", "hami.io/use-xpu-uuid", "hami.io/no-use-xpu-uuid"},
    {"AWSNeuron", "\"aws.amazon.com/neuron\":\"1\"", "aws.amazon.com/use-neuron-uuid",
     "aws.amazon.com/nouse-neuron-uuid"},
    {"AMD", "\"amd.com/gpu\":\"1\"", "amd.com/use-gpu-uuid", "amd.com/nouse-gpu-uuid"},
    {"Biren", "\"birentech.com/gpu\":\"1\"", "birentech.com/use-gpuuuid", "birentech.com/nouse-gpuuuid"},
};

enum { BOARD = 8 };

/* The card that a pod with these annotations gets of a board whose cards are <word>-0-0, -1, ...; -1 = none,
 * and every card says that it is not the one that was wanted. */
static int card_for(const struct uuid_row *row, const char *annotations)
{
    struct world w;
    static struct pod_request r;
    static struct cluster_answer a;
    static const struct pod_defaults defaults = {"binpack", "spread"};
    struct pod_object p;
    const char *fault = NULL;
    g_autofree char *why = NULL;
    g_autoptr(GString) reasons = g_string_new("");
    world_init(&w, 1);
    world_add_node(&w, row->word, BOARD);
    g_autoptr(PodReader) reader = pod_reader_new(w.families);
    g_autofree char *text = g_strdup_printf(
        "{\"metadata\":{\"name\":\"p\",\"namespace\":\"n\",\"uid\":\"00000000-0000-4000-8000-000000000001\","
        "\"annotations\":{%s}},\"spec\":{\"containers\":[{\"name\":\"c\",\"resources\":{\"limits\":{%s}}}]}}",
        annotations, row->limits);
    g_assert_true(pod_object_parse(reader, text, strlen(text), &p, &fault));
    if (!vendor_request_parse(w.families, &p, &defaults, &r, NULL, &why))
        g_error("%s: %s", row->word, why);
    g_assert_cmpuint(r.n_requests, ==, 1);
    g_assert_cmpstr(w.families->rows[r.requests[0].family]->word, ==, row->word);
    int card = -1;
    if (cluster_fit(w.cluster, &r, w.nodes[0], &a, reasons) == SCHED_FITS)
        card = a.grant.grants[0].card;
    else
        g_assert_nonnull(strstr(reasons->str, "CardUuidMismatch"));
    pod_request_clear(&r);
    pod_object_clear(&p);
    world_clear(&w);
    return card;
}

static void every_uuid_annotation_of_every_family_holds(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(uuid_rows); i++) {
        const struct uuid_row *row = &uuid_rows[i];
        g_test_message("%s: %s", row->word, row->use);
        for (int wanted = 0; wanted < BOARD; wanted += 3) {
            g_autofree char *use = g_strdup_printf("\"%s\":\"x, %s-0-%d\"", row->use, row->word, wanted);
            g_autoptr(GString) not = g_string_new("");
            for (int c = 0; c < BOARD; c++)
                if (c != wanted)
                    g_string_append_printf(not, "%s%s-0-%d", not ->len ? "," : "", row->word, c);
            g_autofree char *others = g_strdup_printf("\"%s\":\"%s\"", row->not, not ->str);
            g_assert_cmpint(card_for(row, use), ==, wanted);
            g_assert_cmpint(card_for(row, others), ==, wanted);
        }
        g_autofree char *none = g_strdup_printf("\"%s\":\"%s-0-9\"", row->use, row->word);
        g_assert_cmpint(card_for(row, none), ==, -1);
    }
}

static void both_pairs_of_a_family_hold_together(void)
{
    static const char *const words[] = {"kunlun", "XPU"};
    static const struct {
        const char *name, *first, *second; /* keys and cards of the two pairs */
        int want;
    } cases[] = {
        {"wanted by both", "use-gpuuuid:123", "use-xpu-uuid:345", 3},
        {"wanted by one, unwanted by the other", "use-gpuuuid:56", "no-use-xpu-uuid:5", 6},
        {"unwanted by one, wanted by the other", "nouse-gpuuuid:2", "use-xpu-uuid:27", 7},
        {"unwanted by one each", "nouse-gpuuuid:0123", "no-use-xpu-uuid:567", 4},
        {"none is wanted by both", "use-gpuuuid:12", "use-xpu-uuid:34", -1},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(words); i++)
        for (size_t k = 0; k < G_N_ELEMENTS(cases); k++) {
            const struct uuid_row *row = uuid_rows;
            const char *pairs[] = {cases[k].first, cases[k].second};
            static const char *const domains[] = {"baidu.com", "hami.io"};
            g_autoptr(GString) text = g_string_new("");
            while (strcmp(row->word, words[i]) != 0)
                row++;
            for (int p = 0; p < 2; p++) {
                g_auto(GStrv) parts = g_strsplit(pairs[p], ":", 2);
                g_string_append_printf(text, "%s\"%s/%s\":\"", p ? "," : "", domains[p], parts[0]);
                for (const char *c = parts[1]; *c; c++)
                    g_string_append_printf(text, "%s%s-0-%c", c == parts[1] ? "" : ",", words[i], *c);
                g_string_append_c(text, '"');
            }
            g_test_message("%s: %s", words[i], cases[k].name);
            g_assert_cmpint(card_for(row, text->str), ==, cases[k].want);
        }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/families/all_families_share_one_ledger", all_families_share_one_ledger);
    g_test_add_func("/families/weights_decide_between_equally_near_cards",
                    weights_decide_between_equally_near_cards);
    g_test_add_func("/families/templates_end_with_the_ai_cores", templates_end_with_the_ai_cores);
    g_test_add_func("/families/slices_end_with_the_card_s_size", slices_end_with_the_card_s_size);
    g_test_add_func("/families/every_uuid_annotation_of_every_family_holds",
                    every_uuid_annotation_of_every_family_holds);
    g_test_add_func("/families/both_pairs_of_a_family_hold_together", both_pairs_of_a_family_hold_together);
    return g_test_run();
}
