/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster.h"

#include <string.h>

#include "faults.h"

#define NAMESPACES 20u
#define NODE_MEM_KIB 2113395720u

enum deal { DEAL_FREE, DEAL_WHOLE, DEAL_HALVES, DEAL_QUARTERS };

/* Fisher-Yates, from the seed. */
static void shuffle(uint8_t *deck, size_t n, uint64_t seed)
{
    for (size_t i = n; i > 1; i--) {
        size_t j = mix64(seed, i) % i;
        uint8_t kept = deck[i - 1];
        deck[i - 1] = deck[j];
        deck[j] = kept;
    }
}

/* One byte per card of the nodes that are not free as a whole. */
static uint8_t *deal_cards(const struct cluster *c, double pods_per_card, uint32_t *ret_free_nodes)
{
    size_t all = (size_t)c->nodes * c->cards;
    double pods = (double)all * pods_per_card;
    size_t whole = (size_t)(pods * 0.2), halves = (size_t)(pods * 0.3 / 2),
           quarters = (size_t)(pods * 0.5 / 4);
    size_t left = all - whole - halves - quarters;
    *ret_free_nodes = (uint32_t)(left / 2 / c->cards);
    uint8_t *deck = g_malloc0(all + 1);
    memset(deck, DEAL_WHOLE, whole);
    memset(deck + whole, DEAL_HALVES, halves);
    memset(deck + whole + halves, DEAL_QUARTERS, quarters);
    shuffle(deck, all - (size_t)*ret_free_nodes * c->cards, mix64(c->seed, 1));
    return deck;
}

void cluster_init(struct cluster *c, uint64_t seed, uint32_t nodes, uint32_t cards, double pods_per_card)
{
    static const uint8_t pods_of[] = {[DEAL_WHOLE] = 1, [DEAL_HALVES] = 2, [DEAL_QUARTERS] = 4};
    *c = (struct cluster){.seed = seed, .nodes = nodes, .cards = cards};
    if (!nodes || !cards)
        return;
    uint32_t free_nodes;
    g_autofree uint8_t *deck = deal_cards(c, pods_per_card, &free_nodes), *is_free = g_malloc0(nodes);
    memset(is_free, 1, free_nodes);
    shuffle(is_free, nodes, mix64(seed, 2));
    c->pods = g_new(struct cluster_pod, (size_t)nodes * cards * 4);
    const uint8_t *next = deck;
    for (uint32_t node = 0; node < nodes; node++)
        for (uint32_t card = 0; card < cards && !is_free[node]; card++, next++)
            for (uint16_t i = 0; i < pods_of[*next]; i++)
                c->pods[c->n_pods++] =
                    (struct cluster_pod){node, (uint8_t)card, (uint8_t)(100 / pods_of[*next]), i};
    c->pods = g_renew(struct cluster_pod, c->pods, MAX(c->n_pods, 1));
}

void cluster_clear(struct cluster *c)
{
    g_clear_pointer(&c->pods, g_free);
}

void cluster_node_name(const struct cluster *c, uint32_t node, char name[static 40])
{
    (void)c;
    g_snprintf(name, 40, "gpu-node-%05u.pool.internal", node);
}

static void uuid_text(uint64_t a, uint64_t b, char *text, size_t size, const char *prefix)
{
    g_snprintf(text, size, "%s%08x-%04x-4%03x-%04x-%012" G_GINT64_MODIFIER "x", prefix, (unsigned)(a >> 32),
               (unsigned)(a >> 16) & 0xffff, (unsigned)a & 0xfff, 0x8000u | ((unsigned)(b >> 48) & 0x3fff),
               (guint64)b & 0xffffffffffff);
}

void cluster_card_uuid(const struct cluster *c, uint32_t node, uint32_t card, char uuid[static 48])
{
    uint64_t a = mix64(mix64(c->seed, 3), (uint64_t)node * 64 + card);
    uuid_text(a, mix64(a, 1), uuid, 48, "GPU-");
}

static uint32_t namespace_of(const struct cluster *c, uint32_t pod)
{
    return (uint32_t)(mix64(mix64(c->seed, 4), pod) % NAMESPACES);
}

static void pod_name(const struct cluster *c, uint32_t pod, char name[static 40])
{
    g_snprintf(name, 40, "train-%07u-%05x", pod, (unsigned)mix64(mix64(c->seed, 5), pod) & 0xfffff);
}

void cluster_pod_key(const struct cluster *c, uint32_t pod, char key[static 64])
{
    char name[40];
    pod_name(c, pod, name);
    g_snprintf(key, 64, "team-%02u/%s", namespace_of(c, pod), name);
}

/* The registration as a JSON text inside a JSON string: its quotes are escaped. Zero values are left out. */
static void append_register(const struct cluster *c, uint32_t node, GString *out)
{
    g_string_append(out, "\"hami.io/node-nvidia-register\":\"[");
    for (uint32_t card = 0; card < c->cards; card++) {
        char uuid[48], index[24] = "", numa[24] = "";
        cluster_card_uuid(c, node, card, uuid);
        if (card)
            g_snprintf(index, sizeof index, "\\\"index\\\":%u,", card);
        if (card >= c->cards / 2)
            g_snprintf(numa, sizeof numa, "\\\"numa\\\":1,");
        g_string_append_printf(
            out,
            "%s{\\\"id\\\":\\\"%s\\\",%s\\\"count\\\":%u,\\\"devmem\\\":%u,\\\"devcore\\\":%u,"
            "\\\"type\\\":\\\"NVIDIA H200\\\",%s\\\"mode\\\":\\\"hami-core\\\","
            "\\\"health\\\":true}",
            card ? "," : "", uuid, index, CARD_SLOTS, CARD_MEM_MIB, CARD_CORES, numa);
    }
    g_string_append(out, "]\"");
}

static void append_resources(const struct cluster *c, const char *name, GString *out)
{
    g_string_append_printf(
        out,
        "\"%s\":{\"cpu\":\"192\",\"ephemeral-storage\":\"7338294436Ki\",\"hugepages-1Gi\":\"0\","
        "\"hugepages-2Mi\":\"0\",\"memory\":\"%uKi\",\"nvidia.com/gpu\":\"%u\",\"pods\":\"110\"}",
        name, NODE_MEM_KIB, c->cards * CARD_SLOTS);
}

static void append_conditions(GString *out)
{
    static const char *const rows[][4] = {
        {"MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"},
        {"DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"},
        {"PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"},
        {"Ready", "True", "KubeletReady", "kubelet is posting ready status"}};
    g_string_append(out, "\"conditions\":[");
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++)
        g_string_append_printf(
            out,
            "%s{\"type\":\"%s\",\"status\":\"%s\",\"lastHeartbeatTime\":\"2026-11-01T06:00:00Z\","
            "\"lastTransitionTime\":\"2026-10-01T06:00:00Z\",\"reason\":\"%s\",\"message\":\"%s\"}",
            i ? "," : "", rows[i][0], rows[i][1], rows[i][2], rows[i][3]);
    g_string_append(out, "]");
}

void cluster_node_json(const struct cluster *c, uint32_t node, uint64_t rv, GString *out)
{
    char name[40], uid[48];
    uint64_t a = mix64(mix64(c->seed, 6), node);
    cluster_node_name(c, node, name);
    uuid_text(a, mix64(a, 1), uid, sizeof uid, "");
    g_string_append_printf(
        out,
        "{\"metadata\":{\"name\":\"%s\",\"uid\":\"%s\",\"resourceVersion\":\"%" G_GUINT64_FORMAT "\","
        "\"creationTimestamp\":\"2026-10-01T06:00:00Z\",\"labels\":{\"beta.kubernetes.io/arch\":\"amd64\","
        "\"beta.kubernetes.io/os\":\"linux\",\"gpu\":\"on\",\"kubernetes.io/arch\":\"amd64\","
        "\"kubernetes.io/hostname\":\"%s\",\"kubernetes.io/os\":\"linux\","
        "\"node.kubernetes.io/instance-type\":\"gpu.8x\",\"topology.kubernetes.io/region\":\"region-1\","
        "\"topology.kubernetes.io/zone\":\"zone-%u\"},\"annotations\":{",
        name, uid, rv, name, node % 3);
    append_register(c, node, out);
    g_string_append_printf(
        out,
        ",\"node.alpha.kubernetes.io/ttl\":\"0\","
        "\"volumes.kubernetes.io/controller-managed-attach-detach\":\"true\"}},"
        "\"spec\":{\"podCIDR\":\"10.%u.%u.0/24\",\"podCIDRs\":[\"10.%u.%u.0/24\"]},\"status\":{",
        node / 256 % 256, node % 256, node / 256 % 256, node % 256);
    append_resources(c, "capacity", out);
    g_string_append(out, ",");
    append_resources(c, "allocatable", out);
    g_string_append(out, ",");
    append_conditions(out);
    g_string_append_printf(
        out,
        ",\"addresses\":[{\"type\":\"InternalIP\",\"address\":\"172.%u.%u.%u\"},{\"type\":\"Hostname\","
        "\"address\":\"%s\"}],\"daemonEndpoints\":{\"kubeletEndpoint\":{\"Port\":10250}},\"nodeInfo\":{"
        "\"machineID\":\"%016" G_GINT64_MODIFIER "x%016" G_GINT64_MODIFIER
        "x\",\"kernelVersion\":\"6.8.0-60-generic\",\"osImage\":\"Debian GNU/Linux 12 (bookworm)\","
        "\"containerRuntimeVersion\":\"containerd://"
        "2.1.4\",\"kubeletVersion\":\"v1.34.4\",\"kubeProxyVersion\":\"\","
        "\"operatingSystem\":\"linux\",\"architecture\":\"amd64\"}}}",
        16 + node / 65536, node / 256 % 256, node % 256, name, (guint64)a, (guint64)mix64(a, 2));
}

/* What a real server tells about who wrote which field: of no use to anybody here, but it is read by all. */
static const char managed[] =
    "\"managedFields\":[{\"manager\":\"kube-controller-manager\",\"operation\":\"Update\",\"apiVersion\":"
    "\"v1\","
    "\"time\":\"2026-11-01T06:00:00Z\",\"fieldsType\":\"FieldsV1\",\"fieldsV1\":{\"f:metadata\":{\"f:"
    "labels\":{"
    "\".\":{},\"f:app\":{}}},\"f:spec\":{\"f:containers\":{\"k:{\\\"name\\\":\\\"main\\\"}\":{\".\":{},"
    "\"f:image\":{},\"f:imagePullPolicy\":{},\"f:name\":{},\"f:resources\":{\".\":{},\"f:limits\":{\".\":{},"
    "\"f:nvidia.com/gpu\":{},\"f:nvidia.com/gpucores\":{},\"f:nvidia.com/gpumem\":{}}}}},"
    "\"f:restartPolicy\":{},\"f:schedulerName\":{}}}}]";

void cluster_pod_json(const struct cluster *c, uint32_t pod, uint64_t rv, GString *out)
{
    const struct cluster_pod *p = &c->pods[pod];
    char name[40], node[40], card[48], uid[48];
    uint64_t a = mix64(mix64(c->seed, 7), pod);
    unsigned mem = CARD_MEM_MIB * p->share_pct / 100;
    pod_name(c, pod, name);
    cluster_node_name(c, p->node, node);
    cluster_card_uuid(c, p->node, p->card, card);
    uuid_text(a, mix64(a, 1), uid, sizeof uid, "");
    g_string_append_printf(
        out,
        "{\"metadata\":{\"name\":\"%s\",\"namespace\":\"team-%02u\",\"uid\":\"%s\",\"resourceVersion\":\""
        "%" G_GUINT64_FORMAT
        "\",\"creationTimestamp\":\"2026-11-01T06:00:00Z\",\"labels\":{\"app\":\"train\","
        "\"hami.io/vgpu-node\":\"%s\"},\"annotations\":{\"hami.io/bind-phase\":\"success\","
        "\"hami.io/bind-time\":\"1793512801\",\"hami.io/vgpu-devices-allocated\":\"%s,NVIDIA,%u,%u:;\","
        "\"hami.io/vgpu-devices-to-allocate\":\";\",\"hami.io/vgpu-node\":\"%s\",\"hami.io/"
        "vgpu-time\":\"1793512800\"},",
        name, namespace_of(c, pod), uid, rv, node, card, mem, p->share_pct, node);
    g_string_append_len(out, managed, sizeof managed - 1);
    g_string_append_printf(
        out,
        "},\"spec\":{\"containers\":[{\"name\":\"main\",\"image\":\"registry.internal/"
        "train:1\",\"resources\":{"
        "\"limits\":{\"nvidia.com/gpu\":\"1\",\"nvidia.com/gpucores\":\"%u\",\"nvidia.com/gpumem\":\"%u\"},"
        "\"requests\":{\"nvidia.com/gpu\":\"1\",\"nvidia.com/gpucores\":\"%u\",\"nvidia.com/"
        "gpumem\":\"%u\"}},"
        "\"terminationMessagePath\":\"/dev/termination-log\",\"terminationMessagePolicy\":\"File\","
        "\"imagePullPolicy\":\"IfNotPresent\"}],\"restartPolicy\":\"Always\","
        "\"terminationGracePeriodSeconds\":30,"
        "\"dnsPolicy\":\"ClusterFirst\",\"serviceAccountName\":\"default\",\"serviceAccount\":\"default\","
        "\"nodeName\":\"%s\",\"securityContext\":{},\"schedulerName\":\"hami-scheduler\",\"priority\":0,"
        "\"enableServiceLinks\":true,\"preemptionPolicy\":\"PreemptLowerPriority\"},\"status\":{\"phase\":"
        "\"Running\","
        "\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\",\"lastTransitionTime\":\"2026-11-01T06:00:"
        "05Z\"},"
        "{\"type\":\"PodScheduled\",\"status\":\"True\",\"lastTransitionTime\":\"2026-11-01T06:00:00Z\"}],"
        "\"podIP\":\"10.%u.%u.%u\",\"startTime\":\"2026-11-01T06:00:00Z\",\"qosClass\":\"BestEffort\"}}",
        p->share_pct, mem, p->share_pct, mem, node, p->node / 256 % 256, p->node % 256,
        2 + p->card * 8u + p->on_card);
}
