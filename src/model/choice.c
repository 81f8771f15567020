/* SPDX-License-Identifier: Apache-2.0
 *
 * See choice.h. Pure; any thread.
 */
#include "model/choice.h"

#include "model/quantity.h"
#include "model/reason.h"

/* Annotations count whole MiB, so what a percentage comes to is rounded down
 * to them; a family that counts bytes (hami run) keeps the odd ones. */
static uint64_t memory(const struct family *f, const struct card *card, const struct card_request *r)
{
    if (r->mem_none)
        return 0;
    if (r->mem_bytes)
        return r->mem_bytes;
    if (r->mem_percent == 0 || r->mem_percent >= 100)
        return card->mem_bytes;
    uint64_t bytes = quantity_percent_of(card->mem_bytes, r->mem_percent);
    return f->mem_unit_bytes == 1 ? bytes : bytes - bytes % POD_MIB;
}

static uint32_t at_most(uint64_t value, uint32_t most)
{
    return value < most ? (uint32_t)value : most;
}

/* The lowest `n` cores that are free; 0 when there are fewer (W22: any number
 * of cores per device, and a third request never gets an empty mask). */
uint32_t choice_free_cores(const struct choice *c, uint32_t card, uint32_t n)
{
    uint32_t mask = 0;
    for (uint32_t left = c->cards[card].cores & ~c->use[card].cores; left && n; left &= left - 1, n--)
        mask |= left & -left;
    return n ? 0 : mask;
}

static uint32_t compute(const struct choice *c, uint32_t card, uint64_t mem_bytes)
{
    const struct card_request *r = c->request;
    uint32_t total = c->cards[card].cores, unit = c->family->cores_unit ? c->family->cores_unit : 100;
    switch (c->family->cores_kind) {
    case FAMILY_CORES_PERCENT:
        return at_most(r->cores, 100);
    case FAMILY_CORES_UNITS:
        return r->cores;
    case FAMILY_CORES_OF_TOTAL: /* AMD: never less than one CU */
        if (total == 0 || r->cores == 0)
            return 0;
        return at_most((uint64_t)total * r->cores / 100 > 0 ? (uint64_t)total * r->cores / 100 : 1, total);
    case FAMILY_CORES_OF_MEM:
        if (r->cores || c->cards[card].mem_bytes < POD_MIB)
            return r->cores;
        return at_most(mem_bytes / POD_MIB * unit / (c->cards[card].mem_bytes / POD_MIB), unit);
    case FAMILY_CORES_MASK:
        if (r->whole)
            return c->use[card].cores ? 0 : total;
        return choice_free_cores(c, card, r->cores);
    case FAMILY_CORES_NONE:
        break;
    }
    return 0;
}

static const struct card_shapes *shapes_of(const struct choice *c, uint32_t card)
{
    return c->cards[card].shapes ? c->cards[card].shapes : c->family->shapes;
}

static void cut(const struct card_shapes *shapes, uint32_t i, struct card_grant *ret)
{
    const struct card_shape *s = &shapes->shapes[i];
    ret->mem_bytes = s->mem_bytes;
    for (int a = 0; a < CARD_AUX; a++)
        ret->aux[a] = (uint16_t)s->aux[a];
    ret->shape = (uint8_t)i;
}

/* Ascend: a template charges its aiCore and aiCPU too, and a whole card all of
 * them, so that eight 8 GiB templates do not share six aiCPU (W7). */
static void cut_template(const struct choice *c, uint32_t card, struct card_grant *ret)
{
    const struct card_shapes *shapes = shapes_of(c, card);
    if (c->pod->soft)
        return;
    for (uint32_t i = 0; shapes && i < shapes->n && i < CARD_NO_SHAPE; i++)
        if (shapes->shapes[i].mem_bytes == ret->mem_bytes) {
            cut(shapes, i, ret);
            return;
        }
    for (int a = 0; a < CARD_AUX; a++)
        ret->aux[a] = (uint16_t)c->family->aux_total[a];
}

static bool is_smaller(const struct card_shape *a, const struct card_shape *b)
{
    return a->slices != b->slices ? a->slices < b->slices : a->mem_bytes < b->mem_bytes;
}

/* Enflame: the profile of exactly the size that is asked for, or the smallest
 * with enough memory and compute. It takes as many of the card's slots as it
 * has slices (W25: the room for them is checked, not just for one). */
static bool cut_profile(const struct choice *c, uint32_t card, struct card_grant *ret)
{
    const struct card_request *r = c->request;
    const struct card_shapes *shapes = shapes_of(c, card);
    uint32_t best = UINT32_MAX;
    for (uint32_t i = 0; shapes && i < shapes->n && i < CARD_NO_SHAPE; i++) {
        const struct card_shape *s = &shapes->shapes[i];
        bool enough = r->size ? s->slices == r->size : s->mem_bytes >= r->mem_bytes && s->cores >= r->cores;
        if (enough && (best == UINT32_MAX || is_smaller(s, &shapes->shapes[best])))
            best = i;
    }
    if (best == UINT32_MAX)
        return false;
    cut(shapes, best, ret);
    ret->cores = shapes->shapes[best].cores;
    ret->slices = shapes->shapes[best].slices;
    return true;
}

/* MetaX sGPU: classes and policies are counted per card; an online pod takes
 * no compute share. A whole card is held under no policy. */
static unsigned sgpu_flags(const struct choice *c)
{
    switch (c->pod->app_class) {
    case POD_CLASS_ONLINE:
        return CARD_GRANT_ONLINE;
    case POD_CLASS_OFFLINE:
        return CARD_GRANT_OFFLINE | (unsigned)c->pod->qos << CARD_GRANT_QOS_SHIFT;
    default:
        return c->request->cores >= 100 ? 0 : (unsigned)c->pod->qos << CARD_GRANT_QOS_SHIFT;
    }
}

static uint8_t flags(const struct choice *c)
{
    unsigned f = c->request->exclusive ? CARD_GRANT_EXCLUSIVE : 0;
    if (c->family->cores_kind == FAMILY_CORES_MASK)
        f |= CARD_GRANT_MASK;
    if (c->family->score == FAMILY_SCORE_PAIRLINK)
        f |= sgpu_flags(c);
    return (uint8_t)f;
}

bool choice_amount(const struct choice *c, uint32_t card, struct card_grant *ret, int *ret_reason)
{
    const struct card *on = &c->cards[card];
    int ignored;
    int *reason = ret_reason ? ret_reason : &ignored;
    *ret = (struct card_grant){.card = (uint16_t)card,
                               .slot = c->request->slot,
                               .slices = 1,
                               .shape = CARD_NO_SHAPE,
                               .flags = flags(c),
                               .mem_bytes = memory(c->family, on, c->request)};
    *reason = 0;
    ret->cores = ret->flags & CARD_GRANT_ONLINE ? 0 : compute(c, card, ret->mem_bytes);
    if (c->family->mem_round == FAMILY_ROUND_SHAPES)
        cut_template(c, card, ret);
    if (c->family->mem_round == FAMILY_ROUND_CARD_SHAPE && !cut_profile(c, card, ret)) {
        *reason = SCHED_MODE;
        return false;
    }
    if (c->family->cores_kind == FAMILY_CORES_MASK && ret->cores == 0) {
        *reason = SCHED_CORES;
        return false;
    }
    return true;
}
