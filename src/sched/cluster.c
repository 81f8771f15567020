/* SPDX-License-Identifier: Apache-2.0
 *
 * The ledger's nodes. See cluster.h for the invariants.
 */
#include "sched/cluster.h"

#include <string.h>

#include "model/lists.h"
#include "sched/cluster_internal.h"
#include "sched/take.h"

/* ---- what placing looks at ------------------------------------------------------ */

/* How full a node is over all its cards, before the pod; 0 when it lacks a
 * measure (scheduler.md 6.5). */
double node_score(const Cluster *c, const struct node_spec *spec, const struct card_use *use)
{
    double slots = 0, cores = 0, mem = 0, all_slots = 0, all_cores = 0, all_mem = 0;
    for (uint32_t i = 0; i < spec->n_cards; i++) {
        const struct card *k = &spec->cards[i];
        const struct family *f = c->families->rows[k->family];
        bool mask = f->cores_kind == FAMILY_CORES_MASK;
        slots += use[i].slots;
        all_slots += k->slots;
        cores += family_cores(f, use[i].cores);
        all_cores += mask ? family_cores(f, k->cores) : choose_cores_total(f, k);
        mem += (double)use[i].mem_bytes;
        all_mem += (double)k->mem_bytes;
    }
    if (all_slots <= 0 || all_cores <= 0 || all_mem <= 0)
        return 0;
    return 10 * (slots / all_slots + cores / all_cores + mem / all_mem);
}

static uint32_t mib_up(uint64_t bytes)
{
    uint64_t mib = bytes / POD_MIB + (bytes % POD_MIB != 0);
    return (uint32_t)MIN(mib, UINT32_MAX);
}

static void refresh_card(const Cluster *c, const struct card *card, const struct card_use *use,
                         struct hot_card *ret)
{
    const struct family *f = c->families->rows[card->family];
    uint32_t total = choose_cores_total(f, card);
    bool counted = f->cores_kind != FAMILY_CORES_MASK && card->mode != CARD_MIG;
    unsigned flags = (unsigned)card->mode << HOT_MODE_SHIFT;
    ret->free_mib = card->mem_bytes > use->mem_bytes ? mib_up(card->mem_bytes - use->mem_bytes) : 0;
    ret->free_cores = !counted ? UINT32_MAX : total > use->cores ? total - use->cores : 0;
    ret->free_slots = card->slots > use->slots ? (uint16_t)MIN(card->slots - use->slots, UINT16_MAX) : 0;
    if (card->healthy && !card->cordoned && ret->free_slots && !use->exclusive)
        flags |= HOT_USABLE;
    if (use->slots == 0)
        flags |= HOT_IDLE;
    if (counted && total == 100)
        flags |= HOT_UNDIVIDED;
    if (counted && total && ret->free_cores == 0)
        flags |= HOT_EXHAUSTED;
    ret->flags = (uint8_t)flags;
}

/* The bounds of all usable cards together. */
static void summarise(struct hot_node *h)
{
    h->families = 0;
    h->free_mib = h->free_cores = 0;
    h->n_usable = 0;
    h->type = h->n_cards ? h->cards[0].type : 0;
    h->flags &= HOT_PRESENT | HOT_SOFT;
    for (uint16_t i = 0; i < h->n_cards; i++) {
        const struct hot_card *k = &h->cards[i];
        if (k->flags >> HOT_MODE_SHIFT == CARD_MIG)
            h->flags |= HOT_MIG;
        if (k->type != h->type)
            h->type = 0;
        if (!(k->flags & HOT_USABLE))
            continue;
        h->families |= UINT64_C(1) << k->family;
        h->free_mib = MAX(h->free_mib, k->free_mib);
        h->free_cores = MAX(h->free_cores, k->free_cores);
        h->n_usable++;
        if (k->free_mib >= k->total_mib)
            h->flags |= HOT_WHOLE;
    }
}

void node_refresh(Cluster *c, ClusterNode at, bool forced)
{
    struct node *n = &c->nodes[at];
    struct hot_node *h = &c->hot[at];
    bool within = true;
    for (uint32_t i = 0; i < n->spec.n_cards; i++) {
        const struct card *card = &n->spec.cards[i];
        refresh_card(c, card, &n->use[i], &h->cards[i]);
        within &= take_within(c->families->rows[card->family], card, &n->use[i]);
    }
    bool was_mig = h->flags & HOT_MIG;
    h->n_cards = (uint16_t)n->spec.n_cards;
    h->flags = (uint8_t)((n->present ? HOT_PRESENT : 0) | (n->spec.soft_slicing ? HOT_SOFT : 0));
    h->score = node_score(c, &n->spec, n->use);
    summarise(h);
    c->n_mig_nodes += (uint32_t) !!(h->flags & HOT_MIG) - (uint32_t)was_mig;
    if (!within && !forced && !n->over && !c->broken)
        c->broken = "a card was given more than it has";
    n->over = !within;
}

/* ---- slots ---------------------------------------------------------------------- */

static void grow_slots(Cluster *c)
{
    c->room = MAX(64, c->room * 2);
    c->nodes = g_renew(struct node, c->nodes, c->room);
    c->hot = g_renew(struct hot_node, c->hot, c->room);
    c->order = g_renew(uint32_t, c->order, c->room);
}

static uint32_t free_slot(Cluster *c)
{
    if (c->free_slots->len) {
        uint32_t slot = g_array_index(c->free_slots, uint32_t, c->free_slots->len - 1);
        g_array_set_size(c->free_slots, c->free_slots->len - 1);
        return slot;
    }
    if (c->n_slots == c->room)
        grow_slots(c);
    return c->n_slots++;
}

uint32_t cluster_node_slot(Cluster *c, const char *name)
{
    size_t len = strlen(name);
    ClusterNode at = cluster_node_find(c, name, len);
    if (at != CLUSTER_NO_NODE)
        return at;
    at = free_slot(c);
    struct node *n = &c->nodes[at];
    memset(n, 0, sizeof *n);
    memset(&c->hot[at], 0, sizeof c->hot[at]);
    n->exists = true;
    names_enter(c, at, name);
    n->spec.name = n->name;
    return at;
}

static void free_ghosts(struct ghost *ghosts, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        g_free(ghosts[i].uuid);
    g_free(ghosts);
}

static void free_node(Cluster *c, ClusterNode at)
{
    struct node *n = &c->nodes[at];
    cards_free(c, at);
    free_ghosts(n->ghosts, n->n_ghosts);
    g_free(n->cordon);
    memset(n, 0, sizeof *n);
    memset(&c->hot[at], 0, sizeof c->hot[at]);
}

void cluster_node_drop_if_unused(Cluster *c, ClusterNode at)
{
    struct node *n = &c->nodes[at];
    if (!n->exists || n->present || n->n_pods)
        return;
    names_leave(c, at);
    free_node(c, at);
    g_array_append_val(c->free_slots, at);
}

/* ---- cards come and go ------------------------------------------------------------ */

/* Old card numbers to new ones: of cards, then of ghosts. */
struct renumbering {
    uint32_t n_cards, n_ghosts;
    uint16_t *cards, *ghosts;
};

static uint16_t renumbered(uint16_t card, const void *data)
{
    const struct renumbering *r = data;
    return card < CLUSTER_CARD_GONE ? r->cards[card] : r->ghosts[card - CLUSTER_CARD_GONE];
}

static uint16_t find_uuid(const struct node_spec *spec, const char *uuid, uint32_t guess)
{
    if (guess < spec->n_cards && strcmp(spec->cards[guess].uuid, uuid) == 0)
        return (uint16_t)guess;
    for (uint32_t i = 0; i < spec->n_cards; i++)
        if (strcmp(spec->cards[i].uuid, uuid) == 0)
            return (uint16_t)i;
    return UINT16_MAX;
}

/* Which cards and ghosts do pods hold? */
static void mark_held(const Cluster *c, const struct node *n, bool *cards, bool *ghosts)
{
    struct card_grant grants[POD_GRANTS_MAX];
    for (uint32_t pod = n->pods; pod; pod = pod_store_at(c->pods, pod)->next) {
        const struct pod_record *p = pod_store_at(c->pods, pod);
        pod_record_grants(p, grants);
        for (uint16_t i = 0; i < p->n_grants; i++)
            if (grants[i].card < CLUSTER_CARD_GONE)
                cards[grants[i].card] = true;
            else
                ghosts[grants[i].card - CLUSTER_CARD_GONE] = true;
    }
}

struct ghost_list {
    uint32_t n;
    struct ghost *ghosts;
};

static uint16_t new_ghost(struct ghost_list *list, const char *uuid, uint16_t family)
{
    list->ghosts = g_renew(struct ghost, list->ghosts, list->n + 1);
    list->ghosts[list->n] = (struct ghost){.uuid = g_strdup(uuid), .family = family};
    return (uint16_t)(CLUSTER_CARD_GONE + list->n++);
}

static uint16_t new_number(const struct node_spec *spec, const char *uuid, uint16_t family, uint32_t guess,
                           struct ghost_list *ghosts)
{
    uint16_t card = find_uuid(spec, uuid, guess);
    return card != UINT16_MAX ? card : new_ghost(ghosts, uuid, family);
}

/* Pods' numbers become those of `spec`; what it lacks lives on as ghosts. */
static void renumber(Cluster *c, ClusterNode at, const struct node_spec *spec)
{
    struct node *n = &c->nodes[at];
    bool held[CARD_PER_NODE] = {0}, same = n->n_ghosts == 0;
    g_autofree bool *held_ghosts = g_new0(bool, n->n_ghosts + 1);
    uint16_t cards[CARD_PER_NODE];
    g_autofree uint16_t *old_ghosts = g_new0(uint16_t, n->n_ghosts + 1);
    struct ghost_list ghosts = {0};
    struct renumbering r = {
        .n_cards = n->spec.n_cards, .n_ghosts = n->n_ghosts, .cards = cards, .ghosts = old_ghosts};
    mark_held(c, n, held, held_ghosts);
    for (uint32_t i = 0; i < n->spec.n_cards; i++) {
        cards[i] = held[i] ? new_number(spec, n->spec.cards[i].uuid, n->spec.cards[i].family, i, &ghosts)
                           : (uint16_t)i;
        same &= cards[i] == i;
    }
    for (uint32_t i = 0; i < n->n_ghosts; i++)
        if (held_ghosts[i])
            old_ghosts[i] = new_number(spec, n->ghosts[i].uuid, n->ghosts[i].family, UINT32_MAX, &ghosts);
    if (!same)
        pods_renumber(c, at, renumbered, &r);
    free_ghosts(n->ghosts, n->n_ghosts);
    n->ghosts = ghosts.ghosts;
    n->n_ghosts = ghosts.n;
}

static void count_quota_of_node(Cluster *c, const struct node *n, int sign)
{
    for (uint32_t pod = n->pods; pod; pod = pod_store_at(c->pods, pod)->next)
        pod_count_quota(c, pod_store_at(c->pods, pod), sign);
}

void node_recount(Cluster *c, ClusterNode at)
{
    struct node *n = &c->nodes[at];
    memset(n->use, 0, n->spec.n_cards * sizeof *n->use);
    n->inexact = false;
    for (uint32_t pod = n->pods; pod; pod = pod_store_at(c->pods, pod)->next)
        pod_take(c, pod_store_at(c->pods, pod));
}

static void apply_cordon(struct node *n)
{
    for (uint32_t i = 0; n->cordon && i < n->spec.n_cards; i++)
        if (!lists_want_uuid(NULL, n->cordon, n->spec.cards[i].uuid))
            n->spec.cards[i].cordoned = true;
}

static void replace_cards(Cluster *c, ClusterNode at, const struct node_spec *spec)
{
    struct node *n = &c->nodes[at];
    struct detached_cards old;
    count_quota_of_node(c, n, -1);
    if (n->n_pods)
        renumber(c, at, spec);
    cards_detach(c, at, &old);
    cards_copy(c, at, spec); /* perhaps of the old cards' texts */
    cards_discard(c, &old);
    apply_cordon(n);
    node_recount(c, at);
    count_quota_of_node(c, n, 1);
    node_refresh(c, at, true);
    c->freed++;
}

static bool is_sane(const Cluster *c, const struct node_spec *spec)
{
    for (uint32_t i = 0; i < spec->n_cards; i++)
        if (spec->cards[i].family >= c->families->n ||
            (i && spec->cards[i].family < spec->cards[i - 1].family))
            return false;
    return spec->n_cards <= CARD_PER_NODE;
}

ClusterNode cluster_node_set(Cluster *c, const struct node_spec *spec)
{
    g_return_val_if_fail(is_sane(c, spec), CLUSTER_NO_NODE);
    ClusterNode at = cluster_node_slot(c, spec->name);
    c->n_present += !c->nodes[at].present;
    c->nodes[at].present = true;
    replace_cards(c, at, spec);
    return at;
}

void cluster_node_remove(Cluster *c, const char *name)
{
    ClusterNode at = cluster_node_find(c, name, strlen(name));
    if (at == CLUSTER_NO_NODE || !c->nodes[at].present)
        return;
    c->nodes[at].present = false;
    c->n_present--;
    g_clear_pointer(&c->nodes[at].cordon, g_free);
    replace_cards(c, at, &(struct node_spec){.name = c->nodes[at].name});
    cluster_node_drop_if_unused(c, at);
}

bool cluster_node_cordon(Cluster *c, ClusterNode at, const char *uuids)
{
    if (at >= c->n_slots || !c->nodes[at].present)
        return false;
    struct node *n = &c->nodes[at];
    for (uint32_t i = 0; i < n->spec.n_cards; i++)
        n->spec.cards[i].cordoned = false;
    g_free(n->cordon);
    n->cordon = g_strdup(uuids && *uuids ? uuids : NULL);
    apply_cordon(n);
    node_refresh(c, at, n->over);
    c->freed++;
    return true;
}

/* ---- looking ---------------------------------------------------------------------- */

const struct node_spec *cluster_node_spec(const Cluster *c, ClusterNode n)
{
    return n < c->n_slots && c->nodes[n].present ? &c->nodes[n].spec : NULL;
}

const struct card_use *cluster_node_use(const Cluster *c, ClusterNode n)
{
    return n < c->n_slots && c->nodes[n].present ? c->nodes[n].use : NULL;
}

uint32_t cluster_node_count(const Cluster *c)
{
    return c->n_present;
}

void cluster_node_each(const Cluster *c, bool (*f)(ClusterNode n, void *data), void *data)
{
    for (ClusterNode n = 0; n < c->n_slots; n++)
        if (c->nodes[n].present && c->nodes[n].spec.n_cards && !f(n, data))
            return;
}

uint64_t cluster_freed(const Cluster *c)
{
    return c->freed;
}

Cluster *cluster_new(const struct family_set *families)
{
    Cluster *c = g_new0(Cluster, 1);
    c->families = families;
    c->pods = pod_store_new();
    c->deadlines = g_array_new(FALSE, FALSE, sizeof(struct deadline));
    c->free_slots = g_array_new(FALSE, FALSE, sizeof(uint32_t));
    c->scratch = g_new0(struct scratch, 1);
    names_init(c);
    cards_init(c);
    quota_init(c);
    return c;
}

void cluster_free(Cluster *c)
{
    if (!c)
        return;
    names_clear(c);
    for (ClusterNode n = 0; n < c->n_slots; n++)
        if (c->nodes[n].exists)
            free_node(c, n);
    quota_clear(c);
    cards_clear(c);
    pod_store_free(c->pods);
    g_array_free(c->deadlines, TRUE);
    g_array_free(c->free_slots, TRUE);
    g_free(c->scratch->candidates);
    g_free(c->scratch->verdicts);
    g_free(c->scratch);
    g_free(c->nodes);
    g_free(c->hot);
    g_free(c->order);
    g_free(c);
}
