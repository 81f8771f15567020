/* SPDX-License-Identifier: Apache-2.0
 *
 * Node names: an open-addressing table from name to slot, and the order of all
 * names as 64-bit ranks with room between them, so that a tie between two nodes
 * is decided by comparing two numbers.
 */
#include <string.h>

#include "sched/cluster_internal.h"

uint32_t names_hash(const char *text, size_t len)
{
    uint64_t h = len * UINT64_C(0x9e3779b97f4a7c15), word;
    for (; len >= sizeof word; text += sizeof word, len -= sizeof word) {
        memcpy(&word, text, sizeof word);
        h = (h ^ word) * UINT64_C(0xd6e8feb86659fd93);
        h ^= h >> 32;
    }
    word = 0;
    memcpy(&word, text, len);
    h = (h ^ word) * UINT64_C(0xd6e8feb86659fd93);
    h ^= h >> 32;
    h *= UINT64_C(0xd6e8feb86659fd93);
    return (uint32_t)(h >> 32);
}

ClusterNode cluster_node_find(const Cluster *c, const char *name, size_t len)
{
    uint32_t hash = names_hash(name, len);
    for (uint32_t i = hash & c->name_mask; c->names[i].slot; i = (i + 1) & c->name_mask) {
        const struct node *n = &c->nodes[c->names[i].slot - 1];
        if (c->names[i].hash == hash && n->name_len == len && memcmp(n->name, name, len) == 0)
            return c->names[i].slot - 1;
    }
    return CLUSTER_NO_NODE;
}

static void enter_table(Cluster *c, ClusterNode n)
{
    uint32_t i = c->nodes[n].name_hash & c->name_mask;
    while (c->names[i].slot)
        i = (i + 1) & c->name_mask;
    c->names[i].hash = c->nodes[n].name_hash;
    c->names[i].slot = n + 1;
}

static void grow_table(Cluster *c)
{
    c->name_mask = c->name_mask * 2 + 1;
    c->names = g_realloc_n(c->names, (size_t)c->name_mask + 1, sizeof *c->names);
    memset(c->names, 0, ((size_t)c->name_mask + 1) * sizeof *c->names);
    for (uint32_t i = 0; i < c->n_order; i++)
        enter_table(c, c->order[i]);
}

static void leave_table(Cluster *c, ClusterNode n)
{
    uint32_t mask = c->name_mask, gap = c->nodes[n].name_hash & mask;
    while (c->names[gap].slot != n + 1)
        gap = (gap + 1) & mask;
    for (uint32_t i = (gap + 1) & mask; c->names[i].slot; i = (i + 1) & mask) {
        if (((i - c->names[i].hash) & mask) < ((i - gap) & mask))
            continue;
        c->names[gap] = c->names[i];
        gap = i;
    }
    c->names[gap].slot = 0;
}

/* Where the name is, or would be, in the order. */
static uint32_t place_of(const Cluster *c, const char *name)
{
    uint32_t low = 0, high = c->n_order;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (strcmp(c->nodes[c->order[middle]].name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void rank_all(Cluster *c)
{
    for (uint32_t i = 0; i < c->n_order; i++)
        c->hot[c->order[i]].rank = (uint64_t)(i + 1) << 32;
}

static void rank(Cluster *c, uint32_t place)
{
    uint64_t before = place ? c->hot[c->order[place - 1]].rank : 0;
    uint64_t after = place + 1 < c->n_order ? c->hot[c->order[place + 1]].rank : before + (UINT64_C(2) << 32);
    if (after - before < 2 || after < before) {
        rank_all(c);
        return;
    }
    c->hot[c->order[place]].rank = before + (after - before) / 2;
}

void names_enter(Cluster *c, ClusterNode n)
{
    uint32_t place = place_of(c, c->nodes[n].name);
    memmove(&c->order[place + 1], &c->order[place], (c->n_order - place) * sizeof *c->order);
    c->order[place] = n;
    c->n_order++;
    rank(c, place);
    if ((uint64_t)c->n_order * 2 > c->name_mask)
        grow_table(c);
    else
        enter_table(c, n);
}

void names_leave(Cluster *c, ClusterNode n)
{
    uint32_t place = place_of(c, c->nodes[n].name);
    leave_table(c, n);
    c->n_order--;
    memmove(&c->order[place], &c->order[place + 1], (c->n_order - place) * sizeof *c->order);
}

void names_init(Cluster *c)
{
    c->name_mask = 63;
    c->names = g_malloc0((c->name_mask + 1) * sizeof *c->names);
}

void names_clear(Cluster *c)
{
    g_free(c->names);
}
