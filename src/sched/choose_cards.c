/* SPDX-License-Identifier: Apache-2.0
 *
 * Where the reference is known to go wrong we differ (scheduler.md section 11):
 *   B3  the quota check knows which of the pod's containers run together.
 *   B12 with a set to choose, the quota counts what is taken, not every candidate.
 *   B13 the request's part of a card's score counts for the cards of its family.
 *   B14 a family is its row, not a part of the product's name.
 *   B15 a mode is a word, and a card without one offers none.
 */
#include "sched/choose_cards.h"

#include <glib.h>
#include <string.h>

#include "model/lists.h"
#include "sched/pick_group.h"
#include "sched/take.h"

/* One card under trial. */
struct trial {
    struct choice *c;
    const struct fit_quota *quota;
    const struct pod_selection *selection; /* NULL = none */
    const struct card *card;
    const struct card_use *use;
    uint32_t index;
    bool has_modes;
    uint32_t n_before; /* picks that count for the quota */
    struct card_grant *amount;
    int amount_reason;
};

uint32_t choose_cores_total(const struct family *f, const struct card *card)
{
    return f->soft_key ? 100 : card->cores; /* hard slices count aux instead (vendors.md 3.1) */
}

bool choose_may_merge(const struct family *f, const struct card_request *r)
{
    return f->cores_kind == FAMILY_CORES_MASK && f->pick && !r->whole;
}

bool choose_has_modes(const struct family *f)
{
    for (const struct family_write *w = f->writes; w < f->writes + FAMILY_WRITES_MAX && w->key; w++)
        if (w->format == FAMILY_WRITE_MIG)
            return true;
    return false;
}

/* ---- rules ------------------------------------------------------------------ */

static bool is_unhealthy(const struct trial *t)
{
    return !t->card->healthy;
}

static bool is_cordoned(const struct trial *t)
{
    return t->card->cordoned;
}

static bool mode_differs(const struct trial *t)
{
    return t->has_modes && t->c->pod->modes && !(t->c->pod->modes & 1u << t->card->mode);
}

static bool type_differs(const struct trial *t)
{
    const struct pod_selection *s = t->selection;
    return s && !lists_want_type(s->use_types, s->not_types, t->card->type);
}

static bool uuid_differs(const struct trial *t)
{
    const struct pod_selection *s = t->selection;
    return s && !(lists_want_uuid(s->use_uuids[0], s->not_uuids[0], t->card->uuid) &&
                  lists_want_uuid(s->use_uuids[1], s->not_uuids[1], t->card->uuid));
}

static bool slots_full(const struct trial *t)
{
    return t->use->slots >= t->card->slots;
}

static bool die_sibling_used(const struct trial *t)
{
    const struct choice *c = t->c;
    for (uint32_t i = 0; c->node->die_mode && t->card->group >= 0 && i < c->n_cards; i++)
        if (c->cards[i].family == t->card->family && c->cards[i].group == t->card->group && c->use[i].slots)
            return true;
    return false;
}

static bool must_be_idle(const struct trial *t)
{
    return t->c->pod->mutex || t->c->request->exclusive || t->c->family->idle_only;
}

static bool company_unwanted(const struct trial *t)
{
    if (t->use->exclusive)
        return true;
    return must_be_idle(t) && (t->use->slots || (t->c->pod->mutex && die_sibling_used(t)));
}

static bool other_card_of_pod(const struct trial *t)
{
    const struct choice *c = t->c;
    for (uint32_t i = 0; c->family->same_card_per_pod && i < c->n_earlier; i++)
        if (c->cards[c->earlier[i].card].family == c->family->id && c->earlier[i].card != t->index)
            return true;
    return false;
}

static bool quota_exceeded(const struct trial *t);

static bool memory_short(const struct trial *t)
{
    return t->card->mem_bytes < t->use->mem_bytes ||
           t->card->mem_bytes - t->use->mem_bytes < t->amount->mem_bytes;
}

/* MIG cards are limited by their slices, masks by choice_amount(). */
static bool cores_counted(const struct trial *t)
{
    return t->c->family->cores_kind != FAMILY_CORES_MASK && t->card->mode != CARD_MIG &&
           !(t->amount->flags & CARD_GRANT_ONLINE);
}

static bool cores_short(const struct trial *t)
{
    uint32_t total = choose_cores_total(t->c->family, t->card), wanted = t->amount->cores;
    return cores_counted(t) && wanted && (t->use->cores > total || total - t->use->cores < wanted);
}

static bool whole_share_in_company(const struct trial *t)
{
    return t->c->family->exclusive_cores && cores_counted(t) && t->amount->cores == 100 &&
           choose_cores_total(t->c->family, t->card) == 100 && t->use->slots > 0;
}

static bool cores_gone(const struct trial *t)
{
    uint32_t total = choose_cores_total(t->c->family, t->card);
    return cores_counted(t) && t->amount->cores == 0 && total && t->use->cores >= total;
}

static bool aux_short(const struct trial *t)
{
    for (int i = 0; i < CARD_AUX; i++)
        if (t->card->aux[i] && (uint32_t)t->use->aux[i] + t->amount->aux[i] > t->card->aux[i])
            return true;
    return false;
}

static bool slices_short(const struct trial *t)
{
    return t->card->slots - t->use->slots < t->amount->slices; /* after slots_full() */
}

/* In the order in which the field's schedulers test and report. */
static const struct rule {
    enum sched_reason reason;
    bool (*fails)(const struct trial *t);
} rules_of_card[] =
    {
        {SCHED_UNHEALTHY, is_unhealthy},     {SCHED_CORDONED, is_cordoned}, {SCHED_TYPE, mode_differs},
        {SCHED_TYPE, type_differs},          {SCHED_UUID, uuid_differs},    {SCHED_SLICES, slots_full},
        {SCHED_EXCLUSIVE, company_unwanted},
},
  rules_of_amount[] = {
      {SCHED_QUOTA, quota_exceeded},       {SCHED_MEMORY, memory_short},
      {SCHED_CORES, cores_short},          {SCHED_EXCLUSIVE, whole_share_in_company},
      {SCHED_CORES_EXHAUSTED, cores_gone}, {SCHED_CORES, aux_short},
      {SCHED_SLICES, slices_short},        {SCHED_CUSTOM, other_card_of_pod},
};

static enum sched_reason first_failing(const struct rule *rules, size_t n, const struct trial *t)
{
    for (size_t i = 0; i < n; i++)
        if (rules[i].fails(t))
            return rules[i].reason;
    return SCHED_FITS;
}

static enum sched_reason try_card(struct trial *t)
{
    enum sched_reason reason = first_failing(rules_of_card, G_N_ELEMENTS(rules_of_card), t);
    if (reason != SCHED_FITS)
        return reason;
    if (!choice_amount(t->c, t->index, t->amount, &t->amount_reason))
        return (enum sched_reason)t->amount_reason;
    reason = first_failing(rules_of_amount, G_N_ELEMENTS(rules_of_amount), t);
    if (reason != SCHED_FITS || !t->c->family->admits)
        return reason;
    return (enum sched_reason)t->c->family->admits(t->c, t->index);
}

/* ---- quota ------------------------------------------------------------------ */

static int64_t taken_of(const struct fit_quota *q, const struct choice *c, const struct card_use *charge,
                        const struct fit_limit *limit, bool memory)
{
    const uint16_t *resource = memory ? q->mem_resource : q->cores_resource;
    int64_t taken = 0;
    for (uint32_t i = 0; i < c->n_cards; i++) {
        const struct family *f = q->families->rows[c->cards[i].family];
        if (resource[f->id] != limit->resource)
            continue;
        if (memory)
            taken += (int64_t)(charge[i].mem_bytes / POD_MIB);
        else
            taken += family_cores(f, charge[i].cores);
    }
    return taken;
}

int64_t choose_limit(const struct fit_quota *q, const struct family *f, const struct fit_limit *limit)
{
    int64_t most = limit->limit > 0 ? limit->limit : 0,
            factor = f->quota_mem_factor > 1 ? f->quota_mem_factor : 1;
    if (limit->resource == q->mem_resource[f->id])
        return most > INT64_MAX / factor ? INT64_MAX : most * factor;
    return limit->resource == q->cores_resource[f->id] ? most : -1;
}

static bool exceeds(const struct fit_quota *q, const struct choice *c, const struct card_use *charge,
                    const struct fit_limit *limit)
{
    int64_t most = choose_limit(q, c->family, limit);
    bool memory = limit->resource == q->mem_resource[c->family->id];
    return most >= 0 && limit->used + taken_of(q, c, charge, limit, memory) > most;
}

/* With n picks and perhaps one more amount beside what earlier containers got. */
static bool over_quota(const struct fit_quota *q, const struct choice *c, uint32_t n_picks,
                       const struct card_grant *more)
{
    struct card_grant all[POD_GRANTS_MAX + CARD_PER_NODE + 1];
    struct card_use charge[CARD_PER_NODE];
    uint32_t n = 0;
    if (!q || q->n == 0 || !c->family->quota)
        return false;
    for (uint32_t i = 0; i < c->n_earlier; i++)
        all[n++] = c->earlier[i];
    for (uint32_t i = 0; i < n_picks; i++)
        all[n++] = c->picked[i];
    if (more)
        all[n++] = *more;
    pod_charge(all, n, c->pod->slot_kind, false, charge, c->n_cards);
    for (uint32_t i = 0; i < q->n; i++)
        if (exceeds(q, c, charge, &q->limits[i]))
            return true;
    return false;
}

bool choose_over_quota(const struct fit_quota *q, const struct choice *c)
{
    return over_quota(q, c, c->n_picked, NULL);
}

static bool quota_exceeded(const struct trial *t)
{
    return over_quota(t->quota, t->c, t->n_before, t->amount);
}

/* ---- order ------------------------------------------------------------------ */

/* How full the card would be (scheduler.md 6.3); 0 when it lacks a measure. */
static double card_score(const struct choice *c, uint32_t card)
{
    const struct card *k = &c->cards[card];
    const struct card_use *u = &c->use[card];
    const struct card_request *r = c->request;
    uint32_t total = choose_cores_total(c->family, k);
    uint64_t mem = r->mem_bytes;
    if (k->slots == 0 || total == 0 || k->mem_bytes == 0 || c->family->cores_kind == FAMILY_CORES_MASK)
        return 0;
    if (mem == 0 && !r->mem_none)
        mem = r->mem_percent && r->mem_percent < 100 ? k->mem_bytes / POD_MIB * r->mem_percent / 100 * POD_MIB
                                                     : k->mem_bytes;
    return 10 * (c->pod->weight_slot * (1.0 + u->slots) / k->slots +
                 c->pod->weight_core * ((double)r->cores + u->cores) / total +
                 c->pod->weight_mem * ((double)mem + (double)u->mem_bytes) / (double)k->mem_bytes);
}

static int by_number(double a, double b)
{
    return (a > b) - (a < b);
}

/* Negative when a comes first. Within one policy the field's schedulers walk
 * from the end of an ascending list, so the higher NUMA node and index win ties. */
static int by_policy(const struct choice *c, const double *score, uint16_t a, uint16_t b)
{
    const struct pod_request *p = c->pod;
    int numa = by_number(c->cards[b].numa, c->cards[a].numa), by_score = by_number(score[a], score[b]);
    bool single = p->n_card_policy <= 1 && p->card_policy[0] != CARD_NUMA;
    if (single) {
        bool fullest = p->card_policy[0] == CARD_BINPACK;
        by_score = fullest ? -by_score : by_score;
        if (p->numa_bind)
            return numa ? (fullest ? -numa : numa) : by_score;
        return by_score ? by_score : numa;
    }
    if (p->numa_bind && numa)
        return numa;
    for (uint8_t i = 0; i < p->n_card_policy && i < CARD_POLICIES; i++) {
        int d = p->card_policy[i] == CARD_NUMA      ? numa
                : p->card_policy[i] == CARD_BINPACK ? -by_score
                                                    : by_score;
        if (d)
            return d;
    }
    return 0;
}

static void sort_cards(const struct choice *c, uint32_t first, uint32_t n, uint16_t *ret)
{
    double score[CARD_PER_NODE];
    for (uint32_t i = first; i < first + n; i++)
        score[i] = card_score(c, i);
    for (uint32_t i = 0; i < n; i++) {
        uint16_t moving = (uint16_t)(first + n - 1 - i); /* highest index first */
        uint32_t j = i;
        for (; j > 0 && by_policy(c, score, moving, ret[j - 1]) < 0; j--)
            ret[j] = ret[j - 1];
        ret[j] = moving;
    }
}

/* ---- choice ----------------------------------------------------------------- */

static bool find_cards(const struct choice *c, struct choose_report *ret)
{
    uint32_t first = 0;
    while (first < c->n_cards && c->cards[first].family != c->family->id)
        first++;
    ret->first = first;
    ret->n_cards = 0;
    while (first + ret->n_cards < c->n_cards && c->cards[first + ret->n_cards].family == c->family->id)
        ret->n_cards++;
    return ret->n_cards > 0;
}

/* Several instances of one MIG card may answer one request. */
static bool may_be_cut(const struct choice *c, const struct choose_report *cards)
{
    if (!choose_has_modes(c->family) || (c->pod->modes && !(c->pod->modes & 1u << CARD_MIG)))
        return false;
    for (uint32_t i = cards->first; i < cards->first + cards->n_cards; i++)
        if (c->cards[i].mode == CARD_MIG)
            return true;
    return false;
}

static enum sched_reason node_reason(const struct choice *c, struct choose_report *ret)
{
    if (!find_cards(c, ret))
        return SCHED_FAMILY;
    if (c->request->n_cards == 0 || c->request->n_cards > CARD_PER_NODE)
        return SCHED_NO_CARDS;
    if (c->request->n_cards > ret->n_cards && !may_be_cut(c, ret) && !choose_may_merge(c->family, c->request))
        return SCHED_NO_CARDS;
    if (c->pod->soft && c->family->soft_key && !c->node->soft_slicing)
        return SCHED_MODE;
    return SCHED_FITS;
}

static const struct pod_selection *selection_of(const struct pod_request *pod, uint16_t family)
{
    for (uint8_t i = 0; i < pod->n_selections; i++)
        if (pod->selections[i].family == family)
            return &pod->selections[i];
    return NULL;
}

/* Single places on a card in MIG mode are left out where they are looked for (vendor/mig.h). */
static bool is_avoided(const struct choice *c, uint32_t card)
{
    return c->avoid && c->avoid[card] && (c->cards[card].mode != CARD_MIG || c->avoid[card] == UINT16_MAX);
}

static void try_cards(struct choice *c, const struct fit_quota *quota, bool need_all,
                      struct choose_report *ret)
{
    uint16_t order[CARD_PER_NODE];
    struct card_grant amount;
    struct trial t = {.c = c, .quota = quota, .amount = &amount, .has_modes = choose_has_modes(c->family)};
    t.selection = selection_of(c->pod, c->family->id);
    sort_cards(c, ret->first, ret->n_cards, order);
    c->n_candidates = c->n_picked = 0;
    memset(ret->reasons, SCHED_FITS, ret->n_cards);
    for (uint32_t i = 0; i < ret->n_cards && (need_all || c->n_picked < c->request->n_cards); i++) {
        t.index = order[i];
        t.card = &c->cards[t.index];
        t.use = &c->use[t.index];
        t.n_before = MIN(c->n_picked, c->request->n_cards - 1);
        enum sched_reason reason = is_avoided(c, t.index) ? SCHED_CUSTOM : try_card(&t);
        ret->reasons[t.index - ret->first] = (uint8_t)reason;
        if (reason != SCHED_FITS)
            continue;
        c->candidates[c->n_candidates++] = (uint16_t)t.index;
        if (c->n_picked < c->request->n_cards)
            c->picked[c->n_picked++] = amount;
    }
    ret->n_fitting = c->n_candidates;
}

static bool pick_by_table(struct choice *c, struct choose_report *ret)
{
    uint16_t cards[CARD_PER_NODE];
    uint32_t found = pick_group(c, ret->first, ret->n_cards, cards);
    c->reason = SCHED_COUNT;
    if (found < c->request->n_cards) {
        if (c->n_candidates >= c->request->n_cards) { /* as the field says it: of those asked for */
            ret->set_n = found;
            ret->set_of = c->request->n_cards;
        }
        return false;
    }
    c->n_picked = 0;
    for (uint32_t i = 0; i < found; i++)
        choice_amount(c, cards[i], &c->picked[c->n_picked++], NULL);
    return true;
}

/* The commonest; of equals the one of cards rather than of the set, then the earlier rule. */
static enum sched_reason main_reason(const struct choose_report *r)
{
    uint32_t counts[SCHED_REASONS] = {0}, best = r->set_reason;
    for (uint32_t i = 0; i < r->n_cards; i++)
        counts[r->reasons[i]]++;
    counts[SCHED_FITS] = 0;
    counts[best] += r->n_fitting;
    for (uint32_t i = 1; i < SCHED_REASONS; i++)
        if (counts[i] > counts[best] || (counts[i] == counts[best] && counts[i] && best == SCHED_COUNT))
            best = i;
    return (enum sched_reason)best;
}

enum sched_reason choose_cards(struct choice *c, const struct fit_quota *quota, struct choose_report *ret)
{
    const struct family *f = c->family;
    bool by_set = f->pick || f->grouping != FAMILY_GROUP_NONE;
    ret->n_fitting = ret->set_of = ret->set_n = 0;
    ret->set_reason = SCHED_COUNT;
    ret->reason = node_reason(c, ret);
    ret->tried = ret->reason == SCHED_FITS;
    if (!ret->tried)
        return ret->reason;
    try_cards(c, quota, by_set || c->avoid, ret);
    c->reason = SCHED_COUNT;
    bool picked = c->n_candidates > 0;
    if (picked && f->pick)
        picked = f->pick(c);
    else if (picked && by_set)
        picked = pick_by_table(c, ret);
    else
        picked = c->n_picked >= c->request->n_cards;
    if (picked && by_set && choose_over_quota(quota, c)) {
        picked = false;
        c->reason = SCHED_QUOTA;
    }
    if (picked)
        return ret->reason = SCHED_FITS;
    ret->set_reason = (enum sched_reason)c->reason;
    return ret->reason = main_reason(ret);
}
