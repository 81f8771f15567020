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
        if (c->names[i].hash == hash && strncmp(c->names[i].name, name, len) == 0 && !c->names[i].name[len])
            return c->names[i].slot - 1;
    }
    return CLUSTER_NO_NODE;
}

size_t cluster_node_spelled(const Cluster *c, ClusterNode n, const char *at, const char *end)
{
    const struct node *node = n < c->n_slots ? &c->nodes[n] : NULL;
    if (!node || !node->plain || (size_t)(end - at) < (size_t)node->name_len + 2)
        return 0;
    size_t len = node->name_len;
    return at[0] == '"' && at[len + 1] == '"' && memcmp(at + 1, node->name, len) == 0 ? len + 2 : 0;
}

static bool is_plain(const char *name)
{
    for (; *name; name++)
        if ((unsigned char)*name < 0x20 || *name == '"' || *name == '\\')
            return false;
    return true;
}

static void enter_table(Cluster *c, ClusterNode n)
{
    uint32_t i = c->nodes[n].name_hash & c->name_mask;
    while (c->names[i].slot)
        i = (i + 1) & c->name_mask;
    c->names[i].name = c->nodes[n].name;
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

/* ---- text ----------------------------------------------------------------------- */

enum { NAME_CHUNK = 1 << 14 };

static unsigned name_class(size_t len)
{
    return (unsigned)(len / 8); /* with the zero byte: rooms of 8, 16 ... */
}

static char *name_new(Cluster *c, const char *text, size_t len)
{
    unsigned class = name_class(len);
    size_t room = (class + 1) * 8;
    if (class >= CLUSTER_NAME_CLASSES)
        return g_strdup(text); /* longer than any node's name may be */
    char *name = c->name_free[class];
    if (name) {
        memcpy(&c->name_free[class], name, sizeof(char *));
        return memcpy(name, text, len + 1);
    }
    if (c->name_chunks->len == 0 || c->name_chunk_used + room > NAME_CHUNK) {
        g_ptr_array_add(c->name_chunks, g_malloc(NAME_CHUNK));
        c->name_chunk_used = 0;
    }
    name = (char *)g_ptr_array_index(c->name_chunks, c->name_chunks->len - 1) + c->name_chunk_used;
    c->name_chunk_used += (uint32_t)room;
    return memcpy(name, text, len + 1);
}

static void name_give(Cluster *c, char *name, size_t len)
{
    unsigned class = name_class(len);
    if (class >= CLUSTER_NAME_CLASSES) {
        g_free(name);
        return;
    }
    memcpy(name, &c->name_free[class], sizeof(char *));
    c->name_free[class] = name;
}

void names_enter(Cluster *c, ClusterNode n, const char *name)
{
    struct node *node = &c->nodes[n];
    size_t len = strlen(name);
    node->name = name_new(c, name, len);
    node->name_len = (uint32_t)len;
    node->name_hash = names_hash(name, len);
    node->plain = is_plain(name);
    uint32_t place = place_of(c, name);
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
    name_give(c, c->nodes[n].name, c->nodes[n].name_len);
    c->nodes[n].name = NULL;
    c->nodes[n].plain = false;
}

void names_init(Cluster *c)
{
    c->name_mask = 63;
    c->names = g_malloc0((c->name_mask + 1) * sizeof *c->names);
    c->name_chunks = g_ptr_array_new_with_free_func(g_free);
}

void names_clear(Cluster *c)
{
    for (uint32_t i = 0; i < c->n_order; i++)
        if (name_class(c->nodes[c->order[i]].name_len) >= CLUSTER_NAME_CLASSES)
            g_free(c->nodes[c->order[i]].name);
    g_ptr_array_free(c->name_chunks, TRUE);
    g_free(c->names);
}
