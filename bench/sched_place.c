/* SPDX-License-Identifier: Apache-2.0
 *
 * What the scheduler's ledger costs, without any wire: choosing a node among
 * few and many candidates, in clusters with room, nearly full and full; taking
 * and giving; finding names; the memory of a large cluster. One thread.
 *
 *     sched_place [NODES [PODS_PER_NODE]]
 *
 * Prints the figure beside its target. Times are of the processor: the ledger
 * never waits, and neighbours on the machine must not count.
 */
#include <glib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "measure.h"
#include "sched/cluster.h"

#define MIB(n) ((uint64_t)(n) << 20)
#define CARDS 8
#define CARD_MIB 81920
#define ROUNDS 101

static struct family gpu = {.word = "NVIDIA",
                            .resource = {"nvidia.com/gpu", "nvidia.com/gpumem", NULL, "nvidia.com/gpucores"},
                            .cores_kind = FAMILY_CORES_PERCENT,
                            .quota = true,
                            .exclusive_cores = true,
                            .quota_mem_factor = 1};
static struct family_set families = {.n = 1, .rows = {&gpu}};

static double cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static long resident_kib(void)
{
    char line[256];
    long kib = 0;
    FILE *f = fopen("/proc/self/status", "re");
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "VmRSS: %ld kB", &kib) == 1)
            break;
    if (f)
        fclose(f);
    return kib;
}

static void name_node(char *ret, size_t size, unsigned i)
{
    snprintf(ret, size, "gpu-node-%05u.cluster.local", i);
}

static void add_nodes(Cluster *c, unsigned n)
{
    char name[64], uuids[CARDS][64];
    struct card cards[CARDS];
    for (unsigned i = 0; i < n; i++) {
        name_node(name, sizeof name, i);
        for (unsigned k = 0; k < CARDS; k++) {
            snprintf(uuids[k], sizeof uuids[k], "GPU-%08x-%04x-4e2b-9d3a-%012x", i * 2654435761u, k, i);
            cards[k] = (struct card){.uuid = uuids[k],
                                     .type = "NVIDIA-NVIDIA A100-SXM4-80GB",
                                     .mem_bytes = MIB(CARD_MIB),
                                     .cores = 100,
                                     .slots = 10,
                                     .group = -1,
                                     .index = (uint16_t)k,
                                     .numa = (int16_t)(k / 4),
                                     .mode = CARD_HAMI_CORE,
                                     .healthy = true};
        }
        cluster_node_set(c, &(struct node_spec){.name = name, .n_cards = CARDS, .cards = cards});
    }
}

/* The pods of a node take turns on its cards; the last take what `leave_mib` spares. */
static void add_pods(Cluster *c, unsigned n_nodes, unsigned per_node, uint64_t leave_mib)
{
    static const uint8_t app[1] = {SLOT_APP};
    char node[64], uid[64], name[64], space[32];
    for (unsigned i = 0; i < n_nodes * per_node; i++) {
        unsigned at = i % n_nodes, turn = i / n_nodes, per_card = (per_node + CARDS - 1) / CARDS;
        uint64_t share = (CARD_MIB - leave_mib) / per_card;
        struct pod_grant g = {.n = 1};
        g.grants[0] = (struct card_grant){.mem_bytes = MIB(share),
                                          .cores = 100 / per_card - 2,
                                          .card = (uint16_t)(turn % CARDS),
                                          .slices = 1,
                                          .shape = CARD_NO_SHAPE};
        name_node(node, sizeof node, at);
        snprintf(uid, sizeof uid, "%08x-%04x-4abc-8def-%012x", i * 2654435761u, i & 0xffff, i);
        snprintf(name, sizeof name, "llama-worker-%08x-%05x", i / 50, i & 0xfffff);
        snprintf(space, sizeof space, "team-%u", i % 100);
        cluster_bound(c, uid, space, name, node, &g, app, 1, 0, false);
    }
}

/* Every other card has memory but no compute, the others the reverse: no bound of a whole node tells. */
static void add_crossed_pods(Cluster *c, unsigned n_nodes)
{
    static const uint8_t app[1] = {SLOT_APP};
    char node[64], uid[64];
    for (unsigned i = 0; i < n_nodes * CARDS; i++) {
        unsigned card = i % CARDS;
        struct pod_grant g = {.n = 1};
        g.grants[0] = (struct card_grant){.mem_bytes = MIB(card % 2 ? 4096 : CARD_MIB - 4096),
                                          .cores = card % 2 ? 95 : 5,
                                          .card = (uint16_t)card,
                                          .slices = 1,
                                          .shape = CARD_NO_SHAPE};
        name_node(node, sizeof node, i / CARDS);
        snprintf(uid, sizeof uid, "%08x-%04x-4abc-8def-%012x", i * 2654435761u, i & 0xffff, i);
        cluster_bound(c, uid, "default", "crossed", node, &g, app, 1, 0, false);
    }
}

static struct pod_request ask(uint64_t mib, uint32_t cores)
{
    return (struct pod_request){.n_slots = 1,
                                .slot_kind = {SLOT_APP},
                                .n_requests = 1,
                                .requests = {{.n_cards = 1, .mem_bytes = MIB(mib), .cores = cores}},
                                .card_policy = {CARD_SPREAD},
                                .n_card_policy = 1,
                                .weight_slot = 1,
                                .weight_core = 1,
                                .weight_mem = 1,
                                .uid = "7c8ff5b6-0000-4000-8000-000000000001",
                                .namespace_ = "team-1",
                                .name = "one-more"};
}

/* Each of two containers fits on any node, both on none: every choice of the first one's cards is tried, as
 * long as steps are left (fit_pod.h). */
static struct pod_request in_the_way(void)
{
    struct pod_request r = ask(8192, 2);
    r.n_slots = r.n_requests = 2;
    r.slot_kind[1] = SLOT_APP;
    r.requests[0].n_cards = CARDS / 2;
    r.requests[1] = r.requests[0];
    r.requests[1].slot = 1;
    r.requests[1].n_cards++;
    return r;
}

static ClusterNode *some_nodes(unsigned n_nodes, unsigned n)
{
    ClusterNode *nodes = g_new(ClusterNode, n_nodes);
    for (unsigned i = 0; i < n_nodes; i++)
        nodes[i] = i;
    srand(1);
    for (unsigned i = 0; i < n; i++) { /* kube-scheduler starts anywhere and keeps its own order */
        unsigned k = i + (unsigned)rand() % (n_nodes - i);
        ClusterNode t = nodes[i];
        nodes[i] = nodes[k];
        nodes[k] = t;
    }
    return nodes;
}

static void place(Cluster *c, unsigned n_nodes, const char *what, unsigned n, struct pod_request r,
                  bool expect_fit, double target_us)
{
    double us[ROUNDS];
    struct cluster_answer a;
    ClusterNode *nodes = some_nodes(n_nodes, MIN(n, n_nodes));
    n = MIN(n, n_nodes);
    for (int i = 0; i < ROUNDS; i++) {
        double start = cpu_ns();
        cluster_place(c, &r, nodes, n, &a);
        us[i] = (cpu_ns() - start) / 1e3;
        if ((a.reason == SCHED_FITS) != expect_fit) {
            fprintf(stderr, "sched_place: %s: unexpected answer %d\n", what, a.reason);
            exit(1);
        }
    }
    g_free(nodes);
    qsort(us, ROUNDS, sizeof *us, by_value);
    printf("place among %5u, %-28s target <= %-5.0f us  %8.1f    (p99 %.1f)\n", n, what, target_us,
           us[ROUNDS / 2], us[ROUNDS - 2]);
}

static void both(Cluster *c, unsigned n_nodes, const char *what, struct pod_request r, bool expect_fit,
                 double few_us, double all_us)
{
    place(c, n_nodes, what, 750, r, expect_fit, few_us);
    place(c, n_nodes, what, n_nodes, r, expect_fit, all_us);
}

static void take_and_give(Cluster *c, unsigned n_nodes)
{
    enum { PAIRS = 20000, FINDS = 300000 };
    struct pod_request r = ask(1024, 1);
    struct cluster_answer a;
    char(*names)[64] = g_malloc(sizeof(char[64]) * n_nodes);
    double place_ns = 0, start = cpu_ns();
    for (int i = 0; i < PAIRS; i++) {
        ClusterNode at = ((unsigned)i * 7919u) % n_nodes;
        double before = cpu_ns();
        cluster_fit(c, &r, at, &a, NULL);
        place_ns += cpu_ns() - before;
        if (!cluster_reserve(c, &r, &a, i) || !cluster_release(c, r.uid))
            exit(1);
    }
    printf("fit on one node                           target <= 2000  ns  %8.0f\n", place_ns / PAIRS);
    printf("reserve and release                       target <= 3000  ns  %8.0f\n",
           (cpu_ns() - start - place_ns) / PAIRS);
    for (unsigned i = 0; i < n_nodes; i++)
        name_node(names[i], sizeof names[i], i * 7919u % n_nodes); /* in another order than they came */
    size_t len = strlen(names[0]);
    start = cpu_ns();
    for (unsigned i = 0; i < FINDS; i++)
        if (cluster_node_find(c, names[i % n_nodes], len) == CLUSTER_NO_NODE)
            exit(1);
    printf("find a node by name                       target <= 60    ns  %8.0f\n",
           (cpu_ns() - start) / FINDS);
    g_free(names);
}

static Cluster *cluster(unsigned n_nodes, unsigned per_node, uint64_t leave_mib, bool tell)
{
    Cluster *c = cluster_new(&families);
    long before = resident_kib();
    double start = cpu_ns();
    add_nodes(c, n_nodes);
    long with_nodes = resident_kib();
    double nodes_ms = (cpu_ns() - start) / 1e6;
    start = cpu_ns();
    add_pods(c, n_nodes, per_node, leave_mib);
    long with_pods = resident_kib();
    if (!tell)
        return c;
    printf("%u nodes of %d cards          %8.1f ms %8.1f MB\n", n_nodes, CARDS, nodes_ms,
           (double)(with_nodes - before) / 1024);
    printf("%u pods                      %8.1f ms %8.1f MB\n", cluster_pod_count(c), (cpu_ns() - start) / 1e6,
           (double)(with_pods - with_nodes) / 1024);
    printf("memory of the ledger                      target <= 40    MB  %8.1f\n",
           (double)(with_pods - before) / 1024);
    return c;
}

int main(int argc, char **argv)
{
    unsigned n_nodes = argc > 1 ? (unsigned)atoi(argv[1]) : 15000;
    unsigned per_node = argc > 2 ? (unsigned)atoi(argv[2]) : 16;
    struct pod_request small = ask(2048, 2), too_large = ask(40000, 50), whole = ask(0, 0), spread = small;
    struct pod_request listed = small;
    spread.node_policy = NODE_SPREAD;
    listed.n_selections = 1;
    listed.selections[0] = (struct pod_selection){.use_types = "A100,H100", .not_types = "V100"};
    Cluster *c = cluster(n_nodes, per_node, 8192, true);
    both(c, n_nodes, "binpack", small, true, 25, 600);
    both(c, n_nodes, "spread", spread, true, 25, 600);
    both(c, n_nodes, "type lists", listed, true, 25, 600);
    both(c, n_nodes, "nothing fits, nearly full", too_large, false, 3000, 3000);
    both(c, n_nodes, "no whole card is left", whole, false, 3000, 3000);
    both(c, n_nodes, "containers in each other's way", in_the_way(), false, 10000, 60000);
    listed.selections[0].use_types = "H100";
    both(c, n_nodes, "no such type", listed, false, 3000, 3000);
    listed.selections[0] = (struct pod_selection){.use_uuids = {"GPU-none", NULL}};
    both(c, n_nodes, "no such UUID", listed, false, 3000, 3000);
    cluster_quota_set(c, "team-1", "q", "nvidia.com/gpucores", 1);
    both(c, n_nodes, "quota of compute is used up", small, false, 3000, 3000);
    cluster_quota_remove(c, "team-1", "q");
    take_and_give(c, n_nodes);
    cluster_free(c);
    c = cluster(n_nodes, 0, 0, false);
    add_crossed_pods(c, n_nodes);
    both(c, n_nodes, "nothing fits, card by card", ask(20000, 30), false, 3000, 3000);
    cluster_free(c);
    c = cluster(n_nodes, 0, 0, false);
    both(c, n_nodes, "idle cluster", small, true, 25, 600);
    cluster_free(c);
    return 0;
}
