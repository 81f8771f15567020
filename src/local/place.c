/* SPDX-License-Identifier: Apache-2.0
 *
 * See place.h. Invariants:
 *   1. A grant never has two shares on one physical card.
 *   2. What place_choose() grants, place_add() can add.
 */
#include "local/place.h"

#include <glib.h>
#include <string.h>

#include "sched/choose_cards.h"
#include "sched/take.h"
#include "vendor/hooks.h"

static bool pick(struct choice *c);

/* The host's cards as a family of the engine. */
static const struct family host_cards = {.word = "NVIDIA",
                                         .title = "NVIDIA GPU",
                                         .mem_unit_bytes = 1,
                                         .cores_kind = FAMILY_CORES_PERCENT,
                                         .cores_unit = 100,
                                         .exclusive_cores = true,
                                         .pick = pick};

/* One question. The engine takes the higher of equal positions, as the field
 * does; here position 0 is the machine's last card. */
struct question {
    struct node_spec node;
    struct card cards[MACHINE_CARDS];
    struct card_use use[MACHINE_CARDS];
    uint16_t pairs[MACHINE_CARDS * MACHINE_CARDS];
    struct pod_request pod;
    struct choice choice;
    struct choose_report report;
};
typedef struct question Question;
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Question, g_free)

static void fill_node(struct question *q, const struct machine *m, bool bind)
{
    uint32_t n = m->n;
    q->node =
        (struct node_spec){.name = "this host", .n_cards = n, .cards = q->cards, .pair_score = q->pairs};
    for (uint32_t i = 0; i < n; i++) {
        uint32_t from = n - 1 - i;
        q->cards[i] = m->cards[from];
        q->use[i] = m->use[from];
        if (!bind) /* nodes of memory are no preference of their own */
            q->cards[i].numa = 0;
        for (uint32_t j = 0; j < n; j++)
            q->pairs[i * n + j] = m->pair_score[from][n - 1 - j];
    }
}

static void fill_pod(struct question *q, const struct request *r)
{
    struct pod_request *p = &q->pod;
    p->n_slots = p->n_requests = p->n_selections = p->n_card_policy = 1;
    p->slot_kind[0] = SLOT_APP;
    p->requests[0] = (struct card_request){.n_cards = r->n_devices,
                                           .mem_bytes = r->mem.bytes,
                                           .mem_percent = r->mem.percent,
                                           .cores = r->cores_pct,
                                           .exclusive = r->exclusive};
    p->selections[0] = (struct pod_selection){.use_types = r->use_types,
                                              .not_types = r->not_types,
                                              .use_uuids = {r->use_uuids},
                                              .not_uuids = {r->not_uuids}};
    p->card_policy[0] = r->policy == REQUEST_SPREAD ? CARD_SPREAD : CARD_BINPACK;
    p->numa_bind = r->policy == REQUEST_NUMA;
    p->topology_aware = r->policy == REQUEST_TOPOLOGY;
    p->weight_slot = p->weight_core = p->weight_mem = 1;
    p->topology_wanted = -1;
}

static struct question *ask(const struct machine *m, const struct request *r)
{
    struct question *q = g_new0(struct question, 1);
    fill_node(q, m, r->policy == REQUEST_NUMA);
    fill_pod(q, r);
    q->choice.family = &host_cards;
    q->choice.node = &q->node;
    q->choice.cards = q->cards;
    q->choice.use = q->use;
    q->choice.n_cards = m->n;
    q->choice.pod = &q->pod;
    q->choice.request = &q->pod.requests[0];
    return q;
}

/* Keeps the first candidate of each physical card, then as for any NVIDIA card. */
static bool pick(struct choice *c)
{
    struct choice one = *c;
    one.n_candidates = 0;
    for (uint32_t i = 0; i < c->n_candidates; i++) {
        bool seen = false;
        for (uint32_t j = 0; j < one.n_candidates; j++)
            seen |= c->cards[one.candidates[j]].group == c->cards[c->candidates[i]].group;
        if (!seen)
            one.candidates[one.n_candidates++] = c->candidates[i];
    }
    bool picked = pick_nvidia(&one);
    c->n_picked = one.n_picked;
    memcpy(c->picked, one.picked, one.n_picked * sizeof *one.picked);
    c->reason = one.reason;
    return picked;
}

static uint32_t physical_cards(const struct machine *m)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < m->n; i++) {
        uint32_t j = 0;
        while (j < i && m->cards[j].group != m->cards[i].group)
            j++;
        n += j == i;
    }
    return n;
}

/* What is a matter of the request's choice or of the host's: such a card is named only where all are such. */
static bool is_out_of_question(enum sched_reason reason)
{
    return reason == SCHED_UNHEALTHY || reason == SCHED_CORDONED || reason == SCHED_TYPE ||
           reason == SCHED_UUID;
}

/* The reason of most cards, of those that could do. */
static enum sched_reason why_not(const struct choose_report *report)
{
    uint32_t counts[SCHED_REASONS] = {0}, best = SCHED_NO_CARDS, in_question = 0;
    if (!report->tried)
        return report->reason;
    if (report->n_fitting)
        return report->set_reason;
    for (uint32_t i = 0; i < report->n_cards; i++)
        in_question += !is_out_of_question(report->reasons[i]);
    for (uint32_t i = 0; i < report->n_cards; i++)
        if (!in_question || !is_out_of_question(report->reasons[i]))
            counts[report->reasons[i]]++;
    for (uint32_t i = 0; i < SCHED_REASONS; i++)
        if (counts[i] > counts[best])
            best = i;
    return (enum sched_reason)best;
}

static void give(const struct question *q, bool exclusive, struct request_grant *ret)
{
    *ret = (struct request_grant){.n = q->choice.n_picked, .exclusive = exclusive};
    for (uint32_t i = 0; i < ret->n; i++) {
        ret->shares[i].device = q->node.n_cards - 1 - q->choice.picked[i].card;
        ret->shares[i].mem_bytes = q->choice.picked[i].mem_bytes;
        ret->shares[i].cores_pct = q->choice.picked[i].cores;
    }
}

enum sched_reason place_choose(const struct machine *m, const struct request *r, struct request_grant *ret)
{
    if (r->n_devices < 1 || r->n_devices > REQUEST_DEVICES_MAX || r->n_devices > physical_cards(m))
        return SCHED_NO_CARDS;
    g_autoptr(Question) q = ask(m, r);
    if (choose_cards(&q->choice, NULL, &q->report) != SCHED_FITS)
        return why_not(&q->report);
    give(q, r->exclusive, ret);
    return SCHED_FITS;
}

void place_reasons(const struct machine *m, const struct request *r, enum sched_reason ret[MACHINE_CARDS])
{
    struct request one = *r;
    one.n_devices = 1;
    if (m->n == 0)
        return;
    g_autoptr(Question) q = ask(m, &one);
    choose_cards(&q->choice, NULL, &q->report); /* with a pick to make, every card is tried */
    for (uint32_t i = 0; i < m->n; i++)
        ret[i] = (enum sched_reason)q->report.reasons[m->n - 1 - i];
}

/* ---- use ----------------------------------------------------------------------- */

static struct card_use charge_of(const struct request_grant *g, uint32_t share)
{
    return (struct card_use){.mem_bytes = g->shares[share].mem_bytes,
                             .cores = g->shares[share].cores_pct,
                             .slots = 1,
                             .exclusive = g->exclusive};
}

static bool shares_a_card(const struct machine *m, const struct request_grant *g, uint32_t share)
{
    for (uint32_t i = 0; i < share; i++)
        if (m->cards[g->shares[i].device].group == m->cards[g->shares[share].device].group)
            return true;
    return false;
}

static bool can_add(const struct machine *m, const struct request_grant *g)
{
    if (g->n == 0 || g->n > REQUEST_DEVICES_MAX)
        return false;
    for (uint32_t i = 0; i < g->n; i++) {
        uint32_t d = g->shares[i].device;
        struct card_use charge = charge_of(g, i);
        if (d >= m->n || shares_a_card(m, g, i) || !take_fits(&host_cards, &m->cards[d], &m->use[d], &charge))
            return false;
    }
    return true;
}

bool place_add(struct machine *m, const struct request_grant *g)
{
    if (!can_add(m, g))
        return false;
    for (uint32_t i = 0; i < g->n; i++) {
        struct card_use charge = charge_of(g, i);
        take_add(&host_cards, &m->use[g->shares[i].device], &charge);
    }
    return true;
}

static bool holds(const struct card_use *use, const struct card_use *charge)
{
    return use->slots >= charge->slots && use->mem_bytes >= charge->mem_bytes &&
           use->cores >= charge->cores && use->exclusive >= charge->exclusive;
}

bool place_remove(struct machine *m, const struct request_grant *g)
{
    for (uint32_t i = 0; i < g->n; i++) {
        struct card_use charge = charge_of(g, i);
        if (g->shares[i].device >= m->n || !holds(&m->use[g->shares[i].device], &charge))
            return false;
    }
    for (uint32_t i = 0; i < g->n; i++) {
        struct card_use charge = charge_of(g, i);
        take_remove(&host_cards, &m->use[g->shares[i].device], &charge);
    }
    return true;
}
