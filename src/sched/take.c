/* SPDX-License-Identifier: Apache-2.0 */
#include "sched/take.h"

#include <glib.h>

#include "sched/choose_cards.h"

static bool is_mask(const struct family *f)
{
    return f->cores_kind == FAMILY_CORES_MASK;
}

static uint64_t sum(uint64_t a, uint64_t b, uint64_t most, bool *exact)
{
    uint64_t s = a + b;
    if (s >= a && s <= most)
        return s;
    *exact = false;
    return most;
}

bool take_add(const struct family *f, struct card_use *use, const struct card_use *charge)
{
    bool exact = !(use->mig_mask & charge->mig_mask);
    use->mem_bytes = sum(use->mem_bytes, charge->mem_bytes, UINT64_MAX, &exact);
    use->slots = (uint16_t)sum(use->slots, charge->slots, UINT16_MAX, &exact);
    use->mig_mask |= charge->mig_mask;
    use->exclusive = (uint16_t)sum(use->exclusive, charge->exclusive, UINT16_MAX, &exact);
    use->online = (uint8_t)sum(use->online, charge->online, UINT8_MAX, &exact);
    use->offline = (uint8_t)sum(use->offline, charge->offline, UINT8_MAX, &exact);
    for (int i = 0; i < CARD_AUX; i++)
        use->aux[i] = (uint16_t)sum(use->aux[i], charge->aux[i], UINT16_MAX, &exact);
    for (int i = 0; i < CARD_QOS_KINDS; i++)
        use->qos[i] = (uint8_t)sum(use->qos[i], charge->qos[i], UINT8_MAX, &exact);
    if (is_mask(f)) {
        exact &= !(use->cores & charge->cores);
        use->cores |= charge->cores;
    } else {
        use->cores = (uint32_t)sum(use->cores, charge->cores, UINT32_MAX, &exact);
    }
    return exact;
}

void take_remove(const struct family *f, struct card_use *use, const struct card_use *charge)
{
    use->mem_bytes -= charge->mem_bytes;
    use->slots = (uint16_t)(use->slots - charge->slots);
    use->mig_mask = (uint16_t)(use->mig_mask & ~charge->mig_mask);
    use->exclusive = (uint16_t)(use->exclusive - charge->exclusive);
    use->online = (uint8_t)(use->online - charge->online);
    use->offline = (uint8_t)(use->offline - charge->offline);
    for (int i = 0; i < CARD_AUX; i++)
        use->aux[i] = (uint16_t)(use->aux[i] - charge->aux[i]);
    for (int i = 0; i < CARD_QOS_KINDS; i++)
        use->qos[i] = (uint8_t)(use->qos[i] - charge->qos[i]);
    use->cores = is_mask(f) ? use->cores & ~charge->cores : use->cores - charge->cores;
}

void take_grant(const struct family *f, struct card_use *use, const struct card_grant *g)
{
    unsigned qos = (g->flags & CARD_GRANT_QOS) >> CARD_GRANT_QOS_SHIFT;
    struct card_use charge = {.mem_bytes = g->mem_bytes,
                              .cores = g->cores,
                              .slots = g->slices,
                              .aux = {g->aux[0], g->aux[1]},
                              .exclusive = g->flags & CARD_GRANT_EXCLUSIVE ? 1 : 0,
                              .online = g->flags & CARD_GRANT_ONLINE ? 1 : 0,
                              .offline = g->flags & CARD_GRANT_OFFLINE ? 1 : 0};
    charge.mig_mask = (uint16_t)(((1u << MIN(g->mig_size, 16)) - 1) << MIN(g->mig_start, 16));
    if (qos)
        charge.qos[qos] = 1;
    take_add(f, use, &charge);
}

static bool cores_fit(const struct family *f, const struct card *card, uint32_t taken, uint32_t more)
{
    if (is_mask(f))
        return !(taken & more);
    if (card->mode == CARD_MIG || more == 0)
        return true;
    uint32_t total = choose_cores_total(f, card);
    return taken <= total && total - taken >= more;
}

bool take_fits(const struct family *f, const struct card *card, const struct card_use *use,
               const struct card_use *charge)
{
    if (use->slots > card->slots || card->slots - use->slots < charge->slots)
        return false;
    if (use->mem_bytes > card->mem_bytes || card->mem_bytes - use->mem_bytes < charge->mem_bytes)
        return false;
    if (use->exclusive || (charge->exclusive && use->slots) || (use->mig_mask & charge->mig_mask))
        return false;
    for (int i = 0; i < CARD_AUX; i++)
        if (card->aux[i] && (uint32_t)use->aux[i] + charge->aux[i] > card->aux[i])
            return false;
    return cores_fit(f, card, use->cores, charge->cores);
}

bool take_within(const struct family *f, const struct card *card, const struct card_use *use)
{
    static const struct card_use nothing;
    struct card_use all = *use;
    all.exclusive = 0;
    return take_fits(f, card, &nothing, &all);
}
