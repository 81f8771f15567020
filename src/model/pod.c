/* SPDX-License-Identifier: Apache-2.0
 *
 * What a pod counts for. Containers start in the order of their slots: init
 * containers one after the other, a sidecar beside everything that comes after
 * it, then all others together. So a card's peak is the largest of
 *   - what the sidecars so far and one init container take, and
 *   - what all sidecars and all app containers take.
 * The field's scheduler counts a sidecar like an init container and so too
 * little (B24 in section 11 of scheduler.md of the specification).
 */
#include "model/pod.h"

#include <glib.h>
#include <string.h>

#include "base/arena.h"

void pod_request_clear(struct pod_request *r)
{
    arena_free(r->arena);
    memset(r, 0, sizeof *r);
}

/* card_use with room: 512 grants of hostile size add up without wrapping. */
struct sum {
    uint64_t mem_bytes, cores, slots, aux[CARD_AUX];
    uint32_t exclusive, online, offline, qos[CARD_QOS_KINDS];
    uint32_t core_mask, mig_mask;
};

static void add(struct sum *s, const struct card_grant *g)
{
    if (__builtin_add_overflow(s->mem_bytes, g->mem_bytes, &s->mem_bytes))
        s->mem_bytes = UINT64_MAX;
    if (g->flags & CARD_GRANT_MASK)
        s->core_mask |= g->cores;
    else
        s->cores += g->cores;
    s->slots += g->slices;
    for (int i = 0; i < CARD_AUX; i++)
        s->aux[i] += g->aux[i];
    s->mig_mask |= ((UINT32_C(1) << MIN(g->mig_size, 16)) - 1) << MIN(g->mig_start, 16);
    s->exclusive += (g->flags & CARD_GRANT_EXCLUSIVE) != 0;
    s->online += (g->flags & CARD_GRANT_ONLINE) != 0;
    s->offline += (g->flags & CARD_GRANT_OFFLINE) != 0;
    s->qos[(g->flags & CARD_GRANT_QOS) >> CARD_GRANT_QOS_SHIFT]++;
}

/* Peaks: each figure on its own; masks are what is touched at any time. */
static void raise_to(struct sum *peak, const struct sum *s)
{
    peak->mem_bytes = MAX(peak->mem_bytes, s->mem_bytes);
    peak->cores = MAX(peak->cores, s->cores);
    peak->slots = MAX(peak->slots, s->slots);
    for (int i = 0; i < CARD_AUX; i++)
        peak->aux[i] = MAX(peak->aux[i], s->aux[i]);
    peak->exclusive = MAX(peak->exclusive, s->exclusive);
    peak->online = MAX(peak->online, s->online);
    peak->offline = MAX(peak->offline, s->offline);
    for (int i = 0; i < CARD_QOS_KINDS; i++)
        peak->qos[i] = MAX(peak->qos[i], s->qos[i]);
    peak->core_mask |= s->core_mask;
    peak->mig_mask |= s->mig_mask;
}

/* The grants of one card, in the order of slots. `beside` is what runs on:
 * sidecars first, app containers behind them. */
static struct sum peak_of(const struct card_grant *grants, uint32_t n, const uint8_t *slot_kind, bool started,
                          uint16_t card)
{
    struct sum beside = {0}, peak = {0};
    for (uint32_t i = 0; i < n;) {
        uint8_t slot = grants[i].slot;
        struct sum here = beside;
        uint32_t end = i;
        for (; end < n && grants[end].slot == slot; end++)
            if (grants[end].card == card)
                add(&here, &grants[end]);
        i = end;
        if (slot_kind[slot] != SLOT_INIT)
            beside = here;
        if (slot_kind[slot] != SLOT_INIT || !started)
            raise_to(&peak, &here);
    }
    return peak;
}

static uint16_t at_most16(uint64_t n)
{
    return (uint16_t)MIN(n, UINT16_MAX);
}

_Static_assert(CARD_GRANT_QOS >> CARD_GRANT_QOS_SHIFT < CARD_QOS_KINDS, "every value has a place in sum.qos");

static struct card_use use_of(const struct sum *s)
{
    struct card_use use = {.mem_bytes = s->mem_bytes,
                           .cores = s->core_mask ? s->core_mask : (uint32_t)MIN(s->cores, UINT32_MAX),
                           .slots = at_most16(s->slots),
                           .mig_mask = (uint16_t)s->mig_mask,
                           .exclusive = at_most16(s->exclusive),
                           .online = (uint8_t)MIN(s->online, UINT8_MAX),
                           .offline = (uint8_t)MIN(s->offline, UINT8_MAX)};
    for (int i = 0; i < CARD_AUX; i++)
        use.aux[i] = at_most16(s->aux[i]);
    for (int i = CARD_QOS_NONE + 1; i < CARD_QOS_KINDS; i++)
        use.qos[i] = (uint8_t)MIN(s->qos[i], UINT8_MAX);
    return use;
}

static bool is_first_of_card(const struct card_grant *grants, uint32_t at)
{
    for (uint32_t i = 0; i < at; i++)
        if (grants[i].card == grants[at].card)
            return false;
    return true;
}

void pod_charge(const struct card_grant *grants, uint32_t n, const uint8_t *slot_kind, bool started,
                struct card_use *ret, uint32_t n_cards)
{
    memset(ret, 0, n_cards * sizeof *ret);
    for (uint32_t i = 0; i < n; i++)
        if (grants[i].card < n_cards && is_first_of_card(grants, i)) {
            struct sum peak = peak_of(grants, n, slot_kind, started, grants[i].card);
            ret[grants[i].card] = use_of(&peak);
        }
}
