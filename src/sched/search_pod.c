/* SPDX-License-Identifier: Apache-2.0
 *
 * See search_pod.h. What is left out of a search, because it cannot help:
 *   - a pod of which one request finds nothing on the node even by itself, or
 *     whose quota is too small for the least that it could be charged;
 *   - other cards for a request that holds none of those that the one which
 *     found nothing could use (blame);
 *   - a card in place of one that is just like it.
 */
#include "sched/search_pod.h"

#include <glib.h>
#include <stddef.h>
#include <string.h>

#include "sched/take.h"

#define SETS (CARD_PER_NODE / 64)
#define WHOLE_CARD UINT16_MAX

/* What a request shall not take, and what it has: a card, or of a card in MIG
 * mode the slice at which an instance starts. */
struct place {
    uint16_t card, bits;
};

/* Cards whose holders may be the cause; all: whoever was placed before, on whatever card. */
struct blame {
    uint64_t cards[SETS];
    bool all;
};

struct level {                          /* one request */
    struct card_use use[CARD_PER_NODE]; /* by others, and by what of the pod runs beside it */
    uint16_t avoid[CARD_PER_NODE];      /* bits of places */
    uint16_t kept[CARD_PER_NODE];       /* places that are not given up in this branch */
    uint64_t could[SETS];               /* cards that would do if the pod had nothing else */
    uint64_t least_mib, least_cores;    /* of one of them */
};

struct search {
    const struct family_set *families;
    const struct node_spec *node;
    const struct fit_quota *quota;
    const struct pod_request *r;
    struct pod_grant *grant;
    struct level *levels;
    struct choice c;
    struct choose_report report;
    unsigned *steps;
    bool has_instances; /* cards in MIG mode might do */
    bool by_card;       /* they are given up as a whole */
};

static const struct family *family_of(const struct search *s, uint8_t i)
{
    return s->families->rows[s->r->requests[i].family];
}

static bool is_init(const struct search *s, uint8_t i)
{
    return s->r->slot_kind[s->r->requests[i].slot] == SLOT_INIT;
}

/* False when nothing does, or the search is cut off. The quota is looked at afterwards. */
static bool choose(struct search *s, uint8_t i)
{
    unsigned cost = 1 + s->node->n_cards * s->node->n_cards / 256; /* as long as sorting them takes */
    struct choice *c = &s->c;
    if (*s->steps < cost) {
        *s->steps = 0;
        return false;
    }
    *s->steps -= cost;
    c->family = family_of(s, i);
    c->request = &s->r->requests[i];
    c->use = s->levels[i].use;
    c->avoid = s->levels[i].avoid;
    c->earlier = s->grant->grants;
    c->n_earlier = s->grant->n;
    return choose_cards(c, NULL, &s->report) == SCHED_FITS && s->grant->n + c->n_picked <= POD_GRANTS_MAX;
}

static void begin_level(struct search *s, uint8_t i, const struct card_use *use)
{
    struct level *l = &s->levels[i];
    memcpy(l->use, use, s->node->n_cards * sizeof *use);
    memset(l->avoid, 0, s->node->n_cards * sizeof *l->avoid);
    memset(l->kept, 0, s->node->n_cards * sizeof *l->kept);
}

/* ---- each request by itself ---------------------------------------------------- */

/* The whole of a card in MIG mode is its largest profile (vendor/pick_nvidia.c, B11). */
static uint64_t least_bytes(const struct search *s, uint16_t card, uint64_t asked)
{
    const struct card *k = &s->node->cards[card];
    uint64_t largest = 0;
    for (uint32_t i = 0; k->shapes && i < k->shapes->n; i++)
        largest = MAX(largest, k->shapes->shapes[i].mem_bytes);
    return k->mode == CARD_MIG ? MIN(asked, largest) : asked;
}

static void note_candidate(struct search *s, struct level *l, uint16_t card)
{
    struct card_grant amount;
    l->could[card / 64] |= UINT64_C(1) << card % 64;
    if (!choice_amount(&s->c, card, &amount, NULL))
        return;
    l->least_mib = MIN(l->least_mib, least_bytes(s, card, amount.mem_bytes) / POD_MIB);
    s->has_instances |= s->node->cards[card].mode == CARD_MIG;
    bool known = s->c.family->cores_kind != FAMILY_CORES_MASK && s->node->cards[card].mode != CARD_MIG;
    l->least_cores = MIN(l->least_cores, known ? amount.cores : 0);
}

static bool fits_alone(struct search *s, uint8_t i, const struct card_use *use)
{
    struct level *l = &s->levels[i];
    begin_level(s, i, use);
    if (!choose(s, i))
        return false;
    l->least_mib = l->least_cores = UINT64_MAX;
    for (uint32_t k = 0; k < s->c.n_candidates; k++)
        note_candidate(s, l, s->c.candidates[k]);
    return true;
}

/* The least that request i is charged of a resource. */
static uint64_t least_of(const struct search *s, uint8_t i, uint16_t resource)
{
    const struct family *f = family_of(s, i);
    const struct level *l = &s->levels[i];
    uint64_t n = choose_may_merge(f, &s->r->requests[i]) ? 1 : s->r->requests[i].n_cards;
    if (s->quota->mem_resource[f->id] == resource)
        return n * l->least_mib;
    return s->quota->cores_resource[f->id] == resource ? n * l->least_cores : 0;
}

/* And of the pod: the peak of what runs together, by the rule of pod_charge(). */
static bool least_exceeds(const struct search *s, const struct fit_limit *limit)
{
    uint64_t beside = 0, peak = 0;
    for (uint8_t i = 0; i < s->r->n_requests;) {
        uint8_t slot = s->r->requests[i].slot;
        bool stays = !is_init(s, i);
        uint64_t here = beside;
        for (; i < s->r->n_requests && s->r->requests[i].slot == slot; i++)
            here += least_of(s, i, limit->resource);
        if (stays)
            beside = here;
        peak = MAX(peak, here);
    }
    for (uint8_t i = 0; i < s->r->n_requests; i++) {
        const struct family *f = family_of(s, i);
        int64_t most = f->quota ? choose_limit(s->quota, f, limit) : -1;
        if (most >= 0 && limit->used + (int64_t)MIN(peak, INT64_MAX / 2) > most)
            return true;
    }
    return false;
}

static bool is_hopeless(struct search *s, uint8_t failed, const struct card_use *use)
{
    if (!fits_alone(s, failed, use))
        return true;
    for (uint8_t i = 0; i < s->r->n_requests; i++)
        if (i != failed && !fits_alone(s, i, use))
            return true;
    for (uint32_t i = 0; s->quota && i < s->quota->n; i++)
        if (least_exceeds(s, &s->quota->limits[i]))
            return true;
    return false;
}

/* ---- the search ---------------------------------------------------------------- */

static uint32_t take(struct search *s, uint8_t i, struct place *ret)
{
    const struct choice *c = &s->c;
    for (uint32_t k = 0; k < c->n_picked; k++) {
        const struct card_grant *g = &c->picked[k];
        bool is_instance = s->node->cards[g->card].mode == CARD_MIG && g->mig_size;
        s->grant->grants[s->grant->n++] = *g;
        is_instance &= !s->by_card;
        ret[k] = (struct place){g->card, is_instance ? (uint16_t)(1U << MIN(g->mig_start, 15)) : WHOLE_CARD};
    }
    if (i + 1 == s->r->n_requests)
        return c->n_picked;
    begin_level(s, (uint8_t)(i + 1), s->levels[i].use);
    for (uint32_t k = 0; !is_init(s, i) && k < c->n_picked; k++)
        take_grant(c->family, &s->levels[i + 1].use[c->picked[k].card], &c->picked[k]);
    return c->n_picked;
}

static void add_blame(struct blame *to, const uint64_t cards[SETS], bool all)
{
    for (unsigned k = 0; k < SETS; k++)
        to->cards[k] |= cards[k];
    to->all |= all;
}

/* Request i found nothing. A card's neighbours matter where dies are shared out by the
 * card, other containers' cards where a pod has one card. */
static void blame_for(const struct search *s, uint8_t i, struct blame *ret)
{
    bool by_others = family_of(s, i)->same_card_per_pod || (s->r->mutex && s->node->die_mode);
    add_blame(ret, s->levels[i].could, by_others);
}

/* Only an init container's cards are free again when others start. */
static bool is_blamed(const struct search *s, uint8_t i, const struct blame *b, uint16_t card)
{
    return b->all || (!is_init(s, i) && b->cards[card / 64] >> card % 64 & 1);
}

/* ---- cards that are alike ------------------------------------------------------- */

#define USE_BYTES (offsetof(struct card_use, qos) + sizeof(((struct card_use *)0)->qos))
_Static_assert(USE_BYTES == 28, "no gap between the figures, so that they compare as bytes");

static bool is_listed(const struct search *s, uint16_t family)
{
    for (uint8_t k = 0; k < s->r->n_selections; k++)
        if (s->r->selections[k].family == family)
            return true;
    return false;
}

/* May any card stand for another one with the same figures? Not where sets have a shape, where a card
 * is meant by name, or where what init containers had counts. */
static bool are_cards_equal(const struct search *s, uint8_t i)
{
    const struct family *f = family_of(s, i);
    bool has_shape = f->pick ? !f->pick_ranks || s->r->numa_bind
                             : f->grouping != FAMILY_GROUP_NONE && f->grouping != FAMILY_GROUP_LARGEST_FIRST;
    if (has_shape || s->node->die_mode || is_listed(s, f->id))
        return false;
    for (uint8_t k = 0; k < i; k++)
        if (is_init(s, k))
            return false;
    return true;
}

static bool is_like(const struct search *s, uint8_t i, uint16_t a, uint16_t b)
{
    const struct card *x = &s->node->cards[a], *y = &s->node->cards[b];
    const struct card_use *use = s->levels[i].use;
    return x->family == y->family && (x->mode != CARD_MIG || s->by_card) && x->mode == y->mode &&
           x->mem_bytes == y->mem_bytes && x->cores == y->cores && x->slots == y->slots &&
           memcmp(x->aux, y->aux, sizeof x->aux) == 0 && x->shapes == y->shapes && x->qos == y->qos &&
           memcmp(&use[a], &use[b], USE_BYTES) == 0;
}

/* The cards of the node that are like it and nobody's yet, as bits. */
static void find_like(const struct search *s, uint8_t i, uint16_t card, const struct place *taken, uint32_t n,
                      uint64_t ret[SETS])
{
    const struct level *l = &s->levels[i];
    memset(ret, 0, SETS * sizeof *ret);
    for (uint16_t k = 0; k < s->node->n_cards; k++)
        if (!l->avoid[k] && is_like(s, i, k, card))
            ret[k / 64] |= UINT64_C(1) << k % 64;
    for (uint32_t k = 0; k < n; k++)
        ret[taken[k].card / 64] &= ~(UINT64_C(1) << taken[k].card % 64);
}

static void avoid_all(struct level *l, const uint64_t cards[SETS], uint16_t bits)
{
    for (unsigned k = 0; k < SETS; k++)
        for (uint64_t left = cards[k]; left; left &= left - 1)
            l->avoid[64 * k + (unsigned)__builtin_ctzll(left)] = bits;
}

/* ---- other choices --------------------------------------------------------------- */

static bool place_from(struct search *s, uint8_t i, struct blame *blame);

static bool is_same(const struct place *a, const struct place *b)
{
    return a->card == b->card && a->bits == b->bits;
}

/* Of places on cards that are alike the last one only: it stands for one of them less. */
static uint32_t find_open(const struct search *s, uint8_t i, const struct place *places, uint32_t n,
                          const struct blame *why, struct place *ret)
{
    const struct level *l = &s->levels[i];
    bool alike = are_cards_equal(s, i);
    uint32_t n_open = 0;
    for (uint32_t k = 0; k < n; k++) {
        bool is_last = true;
        for (uint32_t m = k + 1; is_last && m < n; m++)
            is_last =
                !is_same(&places[k], &places[m]) && !(alike && is_like(s, i, places[k].card, places[m].card));
        if (is_last && !(l->kept[places[k].card] & places[k].bits) && is_blamed(s, i, why, places[k].card))
            ret[n_open++] = places[k];
    }
    return n_open;
}

/* Without p, and without the cards that could take its place to no effect. */
static bool place_without(struct search *s, uint8_t i, struct place p, const struct place *places, uint32_t n,
                          struct blame *blame)
{
    struct level *l = &s->levels[i];
    uint64_t like[SETS] = {0};
    if (*s->steps == 0)
        return false;
    if (are_cards_equal(s, i))
        find_like(s, i, p.card, places, n, like);
    l->avoid[p.card] |= p.bits;
    avoid_all(l, like, WHOLE_CARD);
    bool found = place_from(s, i, blame);
    avoid_all(l, like, 0);
    l->avoid[p.card] = (uint16_t)(l->avoid[p.card] & ~p.bits);
    return found;
}

/* Every other choice of request i lacks one of its places. Those before the one that is given up are
 * kept, so that no set is chosen twice. */
static bool place_otherwise(struct search *s, uint8_t i, const struct place *places, uint32_t n,
                            const struct blame *why, struct blame *blame)
{
    struct level *l = &s->levels[i];
    struct place open[CARD_PER_NODE];
    uint32_t n_open = find_open(s, i, places, n, why, open);
    bool found = false;
    for (uint32_t k = 0; k < n_open; k++)
        l->kept[open[k].card] |= open[k].bits;
    while (n_open && !found) {
        struct place p = open[--n_open];
        l->kept[p.card] = (uint16_t)(l->kept[p.card] & ~p.bits);
        found = place_without(s, i, p, places, n, blame);
    }
    return found;
}

/* Request i and all behind it. */
static bool place_from(struct search *s, uint8_t i, struct blame *blame)
{
    struct place places[CARD_PER_NODE];
    struct blame why = {0};
    uint16_t first = s->grant->n;
    if (!choose(s, i)) {
        blame_for(s, i, blame);
        return false;
    }
    bool over = choose_over_quota(s->quota, &s->c);
    uint32_t n = take(s, i, places);
    if (!over && (i + 1 == s->r->n_requests || place_from(s, (uint8_t)(i + 1), &why)))
        return true;
    why.all |= over;
    s->grant->n = first;
    add_blame(blame, why.cards, why.all);
    blame_for(s, i, blame);
    return place_otherwise(s, i, places, n, &why, blame);
}

static bool is_by_quota(const struct choose_report *r)
{
    if (r->set_reason == SCHED_QUOTA)
        return true;
    for (uint32_t i = 0; i < r->n_cards; i++)
        if (r->reasons[i] == SCHED_QUOTA)
            return true;
    return false;
}

bool search_may_help(const struct choose_report *report, uint8_t request)
{
    return report->tried && (request > 0 || is_by_quota(report));
}

static bool search(struct search *s, const struct card_use *use)
{
    struct blame blame = {0};
    s->grant->n = 0;
    begin_level(s, 0, use);
    return place_from(s, 0, &blame);
}

/* On cards in MIG mode there are many places: other cards are tried first, with half of the steps, then other
 * places too. */
static bool search_all(struct search *s, const struct card_use *use)
{
    if (!s->has_instances)
        return search(s, use);
    unsigned later = *s->steps / 2;
    *s->steps -= later;
    s->by_card = true;
    bool found = search(s, use);
    *s->steps += later;
    s->by_card = false;
    return found || search(s, use);
}

bool search_pod(const struct family_set *families, const struct node_spec *node, const struct card_use *use,
                const struct fit_quota *quota, const struct pod_request *r, uint8_t failed, unsigned *steps,
                struct pod_grant *ret)
{
    struct search *s = g_new(struct search, 1);
    s->families = families;
    s->node = node;
    s->quota = quota;
    s->r = r;
    s->grant = ret;
    s->levels = g_new(struct level, r->n_requests);
    s->steps = steps;
    s->by_card = s->has_instances = false;
    s->c.node = node;
    s->c.cards = node->cards;
    s->c.n_cards = node->n_cards;
    s->c.pod = r;
    ret->n = 0;
    for (uint8_t i = 0; i < r->n_requests; i++)
        memset(s->levels[i].could, 0, sizeof s->levels[i].could);
    bool found = !is_hopeless(s, failed, use) && search_all(s, use);
    g_free(s->levels);
    g_free(s);
    return found;
}
