/* SPDX-License-Identifier: Apache-2.0 */
#include "scheduler/candidates.h"

#include <limits.h>

#define WORTH_KEEPING 4096 /* bytes; shorter lists are read as fast as compared */

/* Of the last call. Grows to the largest one and stays. */
static struct {
    ClusterNode *nodes;
    uint32_t n, room;
    GString *text; /* empty: not kept */
    uint64_t generation;
} last;

/* Which node came after which, in whatever call: kube-scheduler's lists are stretches of one order of its
 * own, each going on where the one before ended. A guess that is compared is a tenth of the work of a
 * look-up. */
static struct {
    ClusterNode *after; /* by slot */
    ClusterNode before; /* the last one that was read */
    uint32_t room;
} order;

static ClusterNode guess(void)
{
    return order.before < order.room ? order.after[order.before] : CLUSTER_NO_NODE;
}

static void learn(ClusterNode n)
{
    uint32_t room = order.room;
    if (order.before == CLUSTER_NO_NODE)
        return;
    if (order.before >= room) {
        order.room = MAX(1024, order.before + order.before / 2 + 1);
        order.after = g_renew(ClusterNode, order.after, order.room);
        for (; room < order.room; room++)
            order.after[room] = CLUSTER_NO_NODE;
    }
    order.after[order.before] = n;
}

static void add(ClusterNode n)
{
    if (last.n == last.room) {
        last.room = last.room ? last.room * 2 : 1024;
        last.nodes = g_renew(ClusterNode, last.nodes, last.room);
    }
    last.nodes[last.n++] = n;
    order.before = n;
}

static bool is_same(const struct scheduler *s, const struct json_scan *scan)
{
    return last.text && last.text->len && last.generation == s->node_generation &&
           (size_t)(scan->end - scan->at) >= last.text->len &&
           memcmp(scan->at, last.text->str, last.text->len) == 0;
}

/* A stretch of the nodes will not come again with the next call; all of them will. */
static void keep(const struct scheduler *s, const char *at, size_t len)
{
    if (!last.text)
        last.text = g_string_new(NULL);
    g_string_truncate(last.text, 0);
    if (len >= WORTH_KEEPING && last.n >= cluster_node_count(s->cluster) / 2)
        g_string_append_len(last.text, at, (gssize)len);
    last.generation = s->node_generation;
}

ClusterNode candidates_find(const struct scheduler *s, struct json_text name)
{
    char plain[NAME_MAX + 1]; /* a node's name has at most 253 */
    int len;
    if (!name.escaped)
        return cluster_node_find(s->cluster, name.at, name.len);
    len = json_text_copy(name, plain, sizeof plain);
    return len < 0 ? CLUSTER_NO_NODE : cluster_node_find(s->cluster, plain, (size_t)len);
}

static void read_names(const struct scheduler *s, struct json_scan *scan)
{
    struct json_text name;
    last.n = 0;
    if (!json_scan_array(scan))
        return;
    while (json_scan_element(scan)) {
        ClusterNode n = guess();
        size_t len = cluster_node_spelled(s->cluster, n, scan->at, scan->end);
        scan->at += len;
        if (!len) {
            n = json_scan_text(scan, &name) ? candidates_find(s, name) : CLUSTER_NO_NODE;
            if (n == CLUSTER_NO_NODE)
                continue;
            learn(n);
        }
        add(n);
    }
}

void candidates_read(struct scheduler *s, struct json_scan *scan, struct candidates *ret)
{
    *ret = (struct candidates){0};
    if (json_scan_peek(scan) != JSON_IS_ARRAY) {
        json_scan_skip(scan);
        return;
    }
    const char *start = scan->at;
    if (is_same(s, scan)) {
        scan->at += last.text->len;
    } else {
        read_names(s, scan);
        keep(s, start, scan->fault ? 0 : (size_t)(scan->at - start));
    }
    *ret = (struct candidates){last.nodes, last.n, start, (size_t)(scan->at - start)};
}
