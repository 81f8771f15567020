/* SPDX-License-Identifier: Apache-2.0
 *
 * A node's cards as the ledger keeps them: one block with the cards, their use,
 * pair scores and UUIDs. Product names and shapes are the same on thousands of
 * nodes and kept once.
 */
#include <string.h>

#include "sched/cluster_internal.h"

enum { CHUNK_CARDS = 4096 };

/* ---- product names ------------------------------------------------------------ */

static uint16_t type_ref(Cluster *c, const char *text)
{
    uint32_t id = GPOINTER_TO_UINT(g_hash_table_lookup(c->type_ids, text));
    if (!id) {
        id = MAX(c->n_types, 1);
        if (g_hash_table_size(c->type_ids) + 1 < id) /* there is a hole */
            for (id = 1; c->types[id].refs; id++)
                ;
        if (id >= UINT16_MAX)
            return 0; /* more product names than anybody sells: such a card has none */
        if (id >= c->type_room) {
            c->type_room = MAX(64, c->type_room * 2);
            c->types = g_renew(struct type_row, c->types, c->type_room);
        }
        c->n_types = MAX(c->n_types, id + 1);
        c->types[id] = (struct type_row){.name = g_strdup(text)};
        g_hash_table_insert(c->type_ids, c->types[id].name, GUINT_TO_POINTER(id));
    }
    c->types[id].refs++;
    return (uint16_t)id;
}

static void type_unref(Cluster *c, uint16_t id)
{
    if (id == 0 || --c->types[id].refs)
        return;
    g_hash_table_remove(c->type_ids, c->types[id].name);
    g_clear_pointer(&c->types[id].name, g_free);
}

/* ---- shapes -------------------------------------------------------------------- */

/* A row is its count of users, then the shapes. */
#define SHAPES_HEAD sizeof(uint64_t)

static size_t shapes_bytes(const struct card_shapes *s)
{
    return offsetof(struct card_shapes, shapes) + s->n * sizeof s->shapes[0];
}

static guint shapes_hash(gconstpointer s)
{
    return names_hash(s, shapes_bytes(s));
}

static gboolean shapes_equal(gconstpointer a, gconstpointer b)
{
    const struct card_shapes *x = a, *y = b;
    return x->n == y->n && memcmp(x, y, shapes_bytes(x)) == 0;
}

static void shapes_free(gpointer s)
{
    g_free((char *)s - SHAPES_HEAD);
}

static uint64_t *shapes_refs(const struct card_shapes *s)
{
    return (uint64_t *)(uintptr_t)((const char *)s - SHAPES_HEAD);
}

static const struct card_shapes *shapes_ref(Cluster *c, const struct card_shapes *s)
{
    if (!s)
        return NULL;
    struct card_shapes *known = g_hash_table_lookup(c->shapes, s);
    if (!known) {
        known =
            (struct card_shapes *)(void *)((char *)g_malloc0(SHAPES_HEAD + shapes_bytes(s)) + SHAPES_HEAD);
        memcpy(known, s, shapes_bytes(s));
        g_hash_table_add(c->shapes, known);
    }
    ++*shapes_refs(known);
    return known;
}

static void shapes_unref(Cluster *c, const struct card_shapes *s)
{
    if (s && --*shapes_refs(s) == 0)
        g_hash_table_remove(c->shapes, s);
}

/* ---- hot rows ------------------------------------------------------------------ */

static unsigned room_class(uint32_t n)
{
    unsigned class = 0;
    while (1u << class < n)
        class ++;
    return class;
}

/* Side by side where possible: placing walks them in the order of slots. */
static struct hot_card *hot_new(Cluster *c, uint32_t n, uint16_t *ret_room)
{
    unsigned class = room_class(n);
    struct hot_card *cards = c->hot_free[class];
    *ret_room = (uint16_t)(1u << class);
    if (cards) {
        memcpy(&c->hot_free[class], cards, sizeof(void *));
        return cards;
    }
    if (c->hot_chunks->len == 0 || c->hot_chunk_used + *ret_room > CHUNK_CARDS) {
        g_ptr_array_add(c->hot_chunks, g_new(struct hot_card, CHUNK_CARDS));
        c->hot_chunk_used = 0;
    }
    cards = (struct hot_card *)g_ptr_array_index(c->hot_chunks, c->hot_chunks->len - 1) + c->hot_chunk_used;
    c->hot_chunk_used += *ret_room;
    return cards;
}

static void hot_give(Cluster *c, struct hot_card *cards, uint16_t room)
{
    unsigned class = room_class(room);
    memcpy(cards, &c->hot_free[class], sizeof(void *));
    c->hot_free[class] = cards;
}

/* ---- copies -------------------------------------------------------------------- */

enum { TOPOLOGY_ROWS = 17 }; /* by number of cards 1..16 */

static void *place(char **at, const void *from, size_t bytes)
{
    void *copy = *at;
    if (!from)
        return NULL;
    memcpy(copy, from, bytes);
    *at += (bytes + 7) & ~(size_t)7;
    return copy;
}

static size_t block_bytes(const struct node_spec *spec)
{
    size_t n = spec->n_cards, bytes = n * (sizeof(struct card) + sizeof(struct card_use)) + 16;
    bytes += spec->pair_score ? n * n * sizeof *spec->pair_score : 0;
    bytes += spec->topology_losses ? TOPOLOGY_ROWS * sizeof(uint32_t) : 0;
    bytes += spec->topology_scores ? TOPOLOGY_ROWS * sizeof(uint32_t) : 0;
    for (uint32_t i = 0; i < spec->n_cards; i++)
        bytes += strlen(spec->cards[i].uuid) + 1;
    return bytes;
}

static void copy_cards(Cluster *c, ClusterNode n, char *uuids)
{
    struct node *node = &c->nodes[n];
    struct hot_node *hot = &c->hot[n];
    for (uint32_t i = 0; i < node->spec.n_cards; i++) {
        struct card *card = &node->spec.cards[i];
        size_t len = strlen(card->uuid);
        uint16_t type = type_ref(c, card->type);
        uint64_t total_mib = card->mem_bytes / POD_MIB;
        card->uuid = memcpy(uuids, card->uuid, len + 1);
        uuids += len + 1;
        card->type = type ? c->types[type].name : "";
        card->shapes = shapes_ref(c, card->shapes);
        hot->cards[i] = (struct hot_card){.total_mib = (uint32_t)MIN(total_mib, UINT32_MAX),
                                          .uuid_hash = names_hash(card->uuid, len),
                                          .type = type,
                                          .total_cores = (uint16_t)MIN(card->cores, UINT16_MAX),
                                          .family = (uint8_t)card->family};
    }
}

void cards_copy(Cluster *c, ClusterNode n, const struct node_spec *spec)
{
    struct node *node = &c->nodes[n];
    char *at = g_malloc(block_bytes(spec));
    node->block = at;
    node->spec = *spec;
    node->spec.name = node->name;
    node->spec.cards = place(&at, spec->cards, spec->n_cards * sizeof *spec->cards);
    node->use = (struct card_use *)(void *)at;
    memset(node->use, 0, spec->n_cards * sizeof *node->use);
    at += spec->n_cards * sizeof *node->use;
    node->spec.topology_losses = place(&at, spec->topology_losses, TOPOLOGY_ROWS * sizeof(uint32_t));
    node->spec.topology_scores = place(&at, spec->topology_scores, TOPOLOGY_ROWS * sizeof(uint32_t));
    node->spec.pair_score =
        place(&at, spec->pair_score, (size_t)spec->n_cards * spec->n_cards * sizeof *spec->pair_score);
    if (spec->n_cards)
        c->hot[n].cards = hot_new(c, spec->n_cards, &node->hot_room);
    if (spec->n_cards)
        copy_cards(c, n, at);
}

void cards_detach(Cluster *c, ClusterNode n, struct detached_cards *ret)
{
    struct node *node = &c->nodes[n];
    *ret = (struct detached_cards){
        .spec = node->spec, .block = node->block, .hot = c->hot[n].cards, .hot_room = node->hot_room};
    c->hot[n].cards = NULL;
    node->block = NULL;
    node->spec = (struct node_spec){.name = node->name};
    node->use = NULL;
}

void cards_discard(Cluster *c, struct detached_cards *cards)
{
    for (uint32_t i = 0; i < cards->spec.n_cards; i++) {
        type_unref(c, cards->hot[i].type);
        shapes_unref(c, cards->spec.cards[i].shapes);
    }
    if (cards->hot)
        hot_give(c, cards->hot, cards->hot_room);
    g_free(cards->block);
}

void cards_free(Cluster *c, ClusterNode n)
{
    struct detached_cards cards;
    cards_detach(c, n, &cards);
    cards_discard(c, &cards);
}

void cards_init(Cluster *c)
{
    c->type_ids = g_hash_table_new(g_str_hash, g_str_equal);
    c->shapes = g_hash_table_new_full(shapes_hash, shapes_equal, shapes_free, NULL);
    c->hot_chunks = g_ptr_array_new_with_free_func(g_free);
}

void cards_clear(Cluster *c)
{
    g_hash_table_destroy(c->type_ids);
    g_hash_table_destroy(c->shapes);
    g_ptr_array_free(c->hot_chunks, TRUE);
    g_free(c->types);
}
