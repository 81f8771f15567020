/* SPDX-License-Identifier: Apache-2.0
 *
 * MetaX sGPU: pods of an application class share cards among themselves,
 * slices of a card have one QoS policy, whole cards come from one link zone
 * (vendors.md section 3.7).
 *
 * W52: the policy of a card is known from the pods that hold it (their
 * annotation survives a restart of the scheduler), not from a memory that is
 * lost; zones are taken in a fixed order.
 */
#include <stddef.h>

#include "model/reason.h"
#include "vendor/hooks.h"

static bool is_used(const struct choice *c, uint32_t card)
{
    return c->use[card].slots > 0;
}

/* A card in use takes pods with a class if it has such pods, and none otherwise;
 * offline pods stay away from online ones. */
static bool class_differs(const struct choice *c, uint32_t card)
{
    const struct card_use *use = &c->use[card];
    bool has_class = use->online || use->offline, wants_class = c->pod->app_class != POD_CLASS_NONE;
    return has_class != wants_class || (c->pod->app_class == POD_CLASS_OFFLINE && use->online);
}

/* The policy of the pods on the card; of none, what its node reports. */
static bool qos_differs(const struct choice *c, uint32_t card)
{
    const struct card_use *use = &c->use[card];
    bool held = false;
    if (c->pod->app_class == POD_CLASS_ONLINE || c->request->cores >= 100 || c->pod->qos == CARD_QOS_NONE)
        return false;
    for (unsigned q = CARD_QOS_NONE + 1; q < CARD_QOS_KINDS; q++) {
        if (use->qos[q] && q != c->pod->qos)
            return true;
        held |= use->qos[q] > 0;
    }
    uint8_t reported = c->cards[card].qos;
    return !held && reported != CARD_QOS_NONE && reported != c->pod->qos;
}

int admits_metax_sgpu(const struct choice *c, uint32_t card)
{
    if (!is_used(c, card))
        return 0;
    if (class_differs(c, card))
        return SCHED_CLASS;
    return qos_differs(c, card) ? SCHED_QOS : 0;
}

/* Cards with the fewest online pods, then the fewest offline ones; a card with
 * offline pods alone comes last, since an online pod would slow all of them. */
static uint32_t online_rank(const struct card_use *use)
{
    uint32_t offline_only = use->offline && !use->online;
    return offline_only << 16 | (uint32_t)use->online << 8 | use->offline;
}

static void order_online(const struct choice *c, uint16_t *cards, uint32_t n)
{
    for (uint32_t i = 1; i < n; i++) {
        uint16_t moving = cards[i];
        uint32_t j = i;
        for (; j > 0 && online_rank(&c->use[moving]) < online_rank(&c->use[cards[j - 1]]); j--)
            cards[j] = cards[j - 1];
        cards[j] = moving;
    }
}

/* 0 = none: the field numbers its zones from 1. */
static int32_t zone_of(const struct card *card)
{
    return card->group > 0 ? card->group : 0;
}

static uint32_t zone_size(const struct choice *c, int32_t zone)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < c->n_candidates; i++)
        n += zone_of(&c->cards[c->candidates[i]]) == zone;
    return n;
}

static uint32_t append_zone(const struct choice *c, int32_t zone, uint16_t *cards, uint32_t n)
{
    for (uint32_t i = 0; i < c->n_candidates; i++)
        if (zone_of(&c->cards[c->candidates[i]]) == zone)
            cards[n++] = c->candidates[i];
    return n;
}

/* The smallest zone with at least `least` candidates and a size above the one
 * given in *size (then zone): walks zones by (size, zone). 0 at the end. */
static int32_t next_zone(const struct choice *c, uint32_t *size, int32_t zone)
{
    int32_t best = 0;
    uint32_t best_size = UINT32_MAX;
    for (uint32_t i = 0; i < c->n_candidates; i++) {
        int32_t z = zone_of(&c->cards[c->candidates[i]]);
        uint32_t s = zone_size(c, z);
        bool later = s > *size || (s == *size && z > zone);
        if (z && later && (s < best_size || (s == best_size && z < best))) {
            best = z;
            best_size = s;
        }
    }
    *size = best_size;
    return best;
}

/* The smallest zone that is large enough; else all zones together, else the
 * cards without one, else whatever comes first. */
static void order_whole(const struct choice *c, uint16_t *cards, uint32_t *n)
{
    uint32_t wanted = c->request->n_cards, size = 0, zoned = 0;
    uint16_t across[CARD_PER_NODE];
    for (int32_t zone = 0; (zone = next_zone(c, &size, zone)) != 0;) {
        if (size >= wanted) {
            *n = append_zone(c, zone, cards, 0);
            return;
        }
        zoned = append_zone(c, zone, across, zoned);
    }
    if (zoned >= wanted) {
        for (uint32_t i = 0; i < zoned; i++) /* the largest zones first */
            cards[i] = across[zoned - 1 - i];
        *n = zoned;
    } else if (zone_size(c, 0) >= wanted) {
        *n = append_zone(c, 0, cards, 0);
    }
}

bool pick_metax_sgpu(struct choice *c)
{
    uint32_t n = c->n_candidates, wanted = c->request->n_cards;
    uint16_t cards[CARD_PER_NODE];
    for (uint32_t i = 0; i < n; i++)
        cards[i] = c->candidates[i];
    if (n > wanted && c->pod->app_class == POD_CLASS_ONLINE)
        order_online(c, cards, n);
    else if (n > wanted && c->request->cores >= 100 && c->pod->app_class == POD_CLASS_NONE)
        order_whole(c, cards, &n);
    c->n_picked = 0;
    for (uint32_t i = 0; i < n && c->n_picked < wanted; i++)
        if (choice_amount(c, cards[i], &c->picked[c->n_picked], NULL))
            c->n_picked++;
    c->reason = SCHED_COUNT;
    return c->n_picked == wanted;
}

/* ---- how good a node's cards are --------------------------------------- */

/* Any figure to 0..1, keeping the order of figures across nodes. */
static double squash(double raw)
{
    return 0.5 + raw / (2 * (100 + (raw < 0 ? -raw : raw)));
}

/* Linked pairs among the marked cards, 10 each. */
static double links(const struct node_spec *node, const bool *marked)
{
    double sum = 0;
    for (uint32_t i = 0; i < node->n_cards; i++)
        for (uint32_t j = i + 1; j < node->n_cards; j++)
            if (marked[i] && marked[j] && zone_of(&node->cards[i]) &&
                zone_of(&node->cards[i]) == zone_of(&node->cards[j]))
                sum += 10;
    return sum;
}

static double company(const struct card_use *use)
{
    if (use->offline && !use->online)
        return -100.0 * use->offline;
    return -20.0 * use->online - 2.0 * use->offline;
}

static double online_score(const struct node_spec *node, const struct card_use *use, const bool *given)
{
    double sum = 0;
    for (uint32_t i = 0; i < node->n_cards; i++)
        if (given[i])
            sum += company(&use[i]);
    return sum;
}

/* Links that the pod gets, against those that its cards take away from later ones. */
static double link_score(const struct family *f, const struct node_spec *node, const struct card_use *use,
                         const bool *given)
{
    bool idle[CARD_PER_NODE] = {false}, rest[CARD_PER_NODE] = {false};
    for (uint32_t i = 0; i < node->n_cards; i++) {
        idle[i] = node->cards[i].family == f->id && use[i].slots == 0;
        rest[i] = idle[i] && !given[i];
    }
    double got = links(node, given), lost = links(node, idle) - got - links(node, rest);
    return 10 * got - lost;
}

double score_metax_sgpu(const struct family *f, const struct node_spec *node, const struct card_use *use,
                        const struct pod_request *pod, const struct card_grant *grants, uint32_t n)
{
    bool given[CARD_PER_NODE] = {false}, whole = false;
    bool wanted = pod->topology_wanted < 0 ? f->topology_aware : pod->topology_wanted > 0;
    for (uint32_t i = 0; i < n; i++)
        if (node->cards[grants[i].card].family == f->id) {
            given[grants[i].card] = true;
            whole |= grants[i].cores >= 100;
        }
    if (pod->app_class == POD_CLASS_ONLINE)
        return squash(online_score(node, use, given));
    return whole && wanted ? squash(link_score(f, node, use, given)) : 0.5;
}
