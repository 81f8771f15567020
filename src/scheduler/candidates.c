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

static void add(ClusterNode n)
{
    if (last.n == last.room) {
        last.room = last.room ? last.room * 2 : 1024;
        last.nodes = g_renew(ClusterNode, last.nodes, last.room);
    }
    last.nodes[last.n++] = n;
}

static bool is_same(const struct scheduler *s, const struct json_scan *scan)
{
    return last.text && last.text->len && last.generation == s->node_generation &&
           (size_t)(scan->end - scan->at) >= last.text->len &&
           memcmp(scan->at, last.text->str, last.text->len) == 0;
}

static void keep(const struct scheduler *s, const char *at, size_t len)
{
    if (!last.text)
        last.text = g_string_new(NULL);
    g_string_truncate(last.text, 0);
    if (len >= WORTH_KEEPING)
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

void candidates_read(struct scheduler *s, struct json_scan *scan, struct candidates *ret)
{
    struct json_text name;
    *ret = (struct candidates){0};
    if (json_scan_peek(scan) != JSON_IS_ARRAY) {
        json_scan_skip(scan);
        return;
    }
    const char *start = scan->at;
    if (is_same(s, scan)) {
        scan->at += last.text->len;
    } else {
        last.n = 0;
        json_scan_array(scan);
        while (json_scan_element(scan)) {
            if (!json_scan_text(scan, &name))
                continue;
            ClusterNode n = candidates_find(s, name);
            if (n != CLUSTER_NO_NODE)
                add(n);
        }
        keep(s, start, scan->fault ? 0 : (size_t)(scan->at - start));
    }
    *ret = (struct candidates){last.nodes, last.n, start, (size_t)(scan->at - start)};
}
