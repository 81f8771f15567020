/* SPDX-License-Identifier: Apache-2.0
 *
 * See explain_pod.h. The reasons here, the hints in explain_figures.c and
 * explain_relax.c.
 */
#include "sched/explain_pod.h"

#include <string.h>

#include "sched/cluster_internal.h"
#include "sched/explain_view.h"

/* ---- reasons ---------------------------------------------------------------- */

static uint32_t free_cores(const struct family *f, const struct card *card, const struct card_use *use)
{
    if (f->cores_kind == FAMILY_CORES_MASK)
        return (uint32_t)__builtin_popcount(card->cores & ~use->cores);
    uint32_t total = choose_cores_total(f, card);
    return total > use->cores ? total - use->cores : 0;
}

static void add_card(const struct explain_view *v, const struct node_spec *spec, const struct card_use *use,
                     uint32_t card, uint8_t reason, GArray *cards)
{
    const struct card *c = &spec->cards[card];
    const struct card_use *u = &use[card];
    struct explain_card row = {
        .card = (uint16_t)card,
        .reason = (enum sched_reason)reason,
        .free_bytes = c->mem_bytes > u->mem_bytes ? c->mem_bytes - u->mem_bytes : 0,
        .free_cores = free_cores(v->families->rows[c->family], c, u),
        .free_slots = c->slots > u->slots ? c->slots - u->slots : 0,
    };
    g_array_append_val(cards, row);
}

static void look_at(struct explain_view *v, ClusterNode n, GArray *nodes, GArray *cards)
{
    const struct node_spec *spec = cluster_node_spec(v->cluster, n);
    const struct card_use *use = explain_use(v, n);
    struct explain_node node = {.node = n, .request = -1};
    struct fit_report report;
    node.reason = fit_pod(v->families, spec, use, &v->quota, v->pod, &v->steps, &v->grant, &report);
    if (node.reason != SCHED_FITS) {
        node.request = report.request;
        for (uint32_t i = 0; report.cards.tried && i < report.cards.n_cards; i++)
            add_card(v, spec, use, report.cards.first + i, report.cards.reasons[i], cards);
        node.n_cards = report.cards.tried ? report.cards.n_cards : 0;
    }
    g_array_append_val(nodes, node);
}

struct walk {
    struct explain_view *v;
    GArray *nodes, *cards;
};

static bool look_at_each(ClusterNode n, void *data)
{
    struct walk *w = data;
    look_at(w->v, n, w->nodes, w->cards);
    return true;
}

static void look_at_candidates(struct walk *w, const ClusterNode *candidates, uint32_t n)
{
    g_autoptr(GHashTable) seen = g_hash_table_new(NULL, NULL);
    for (uint32_t i = 0; i < n; i++)
        if (cluster_node_spec(w->v->cluster, candidates[i]) &&
            g_hash_table_add(seen, GUINT_TO_POINTER(candidates[i])))
            look_at(w->v, candidates[i], w->nodes, w->cards);
}

/* Nodes and cards in two blocks; a node's rows point into the second. */
static void look(struct explain_view *v, const ClusterNode *candidates, uint32_t n)
{
    struct walk w = {v, g_array_new(FALSE, FALSE, sizeof(struct explain_node)),
                     g_array_new(FALSE, FALSE, sizeof(struct explain_card))};
    if (candidates)
        look_at_candidates(&w, candidates, n);
    else
        cluster_node_each(v->cluster, look_at_each, &w);
    v->e->n_nodes = w.nodes->len;
    v->e->nodes = (struct explain_node *)(void *)g_array_free(w.nodes, FALSE);
    struct explain_card *cards = (struct explain_card *)(void *)g_array_free(w.cards, FALSE);
    for (uint32_t i = 0, at = 0; i < v->e->n_nodes; at += v->e->nodes[i++].n_cards)
        v->e->nodes[i].cards = cards ? cards + at : NULL;
    if (v->e->n_nodes == 0)
        g_free(cards);
}

/* ---- groups ----------------------------------------------------------------- */

static int by_size(const void *a, const void *b)
{
    const struct explain_group *x = a, *y = b;
    if (x->n_nodes != y->n_nodes)
        return x->n_nodes > y->n_nodes ? -1 : 1;
    if (x->n_cards != y->n_cards)
        return x->n_cards > y->n_cards ? -1 : 1;
    return (x->reason > y->reason) - (x->reason < y->reason);
}

static void group(Explanation *e)
{
    struct explain_group all[SCHED_REASONS] = {0};
    for (uint32_t i = 0; i < e->n_nodes; i++) {
        all[e->nodes[i].reason].n_nodes++;
        for (uint32_t c = 0; c < e->nodes[i].n_cards; c++)
            all[e->nodes[i].cards[c].reason].n_cards++;
    }
    e->groups = g_new0(struct explain_group, SCHED_REASONS);
    for (int r = SCHED_FITS + 1; r < SCHED_REASONS; r++)
        if (all[r].n_nodes || all[r].n_cards) {
            all[r].reason = (enum sched_reason)r;
            e->groups[e->n_groups++] = all[r];
        }
    qsort(e->groups, e->n_groups, sizeof *e->groups, by_size);
}

static bool is_fitting(const Explanation *e)
{
    for (uint32_t i = 0; i < e->n_nodes; i++)
        if (e->nodes[i].reason == SCHED_FITS)
            return true;
    return false;
}

/* ---- hints ------------------------------------------------------------------ */

/* Order of kinds, the gentlest first: fewer figures, a habit given up, the
 * choice of cards, fewer cards; then what an administrator changes. */
static const uint8_t rank[] = {
    [EXPLAIN_MEM] = 0,   [EXPLAIN_CORES] = 0,  [EXPLAIN_MEM_AND_CORES] = 1, [EXPLAIN_NUMA] = 2,
    [EXPLAIN_MUTEX] = 2, [EXPLAIN_MODE] = 3,   [EXPLAIN_TYPES] = 3,         [EXPLAIN_UUIDS] = 3,
    [EXPLAIN_COUNT] = 4, [EXPLAIN_CORDON] = 5, [EXPLAIN_SLOTS] = 6,         [EXPLAIN_QUOTA] = 6,
    [EXPLAIN_WAIT] = 7,
};

/* Part of a figure that is given up, in thousandths; the whole card counts as one. */
static uint64_t loss(const struct explain_hint *h)
{
    if (h->change != EXPLAIN_MEM && h->change != EXPLAIN_CORES)
        return 0;
    return h->from > h->to ? (h->from - h->to) / (h->from / 1000 + 1) : 1000;
}

static int by_gentleness(gconstpointer a, gconstpointer b)
{
    const struct explain_hint *x = a, *y = b;
    if (rank[x->change] != rank[y->change])
        return rank[x->change] < rank[y->change] ? -1 : 1;
    if (loss(x) != loss(y))
        return loss(x) < loss(y) ? -1 : 1;
    if (x->n_nodes != y->n_nodes)
        return x->n_nodes > y->n_nodes ? -1 : 1;
    if (x->change != y->change)
        return x->change < y->change ? -1 : 1;
    return x->request != y->request ? (x->request < y->request ? -1 : 1)
                                    : (x->from > y->from) - (x->from < y->from);
}

static void find_hints(struct explain_view *v)
{
    v->hints = g_array_new(FALSE, FALSE, sizeof(struct explain_hint));
    explain_figures(v);
    explain_relax(v);
    g_array_sort(v->hints, by_gentleness);
    v->e->n_hints = v->hints->len;
    v->e->hints = (struct explain_hint *)(void *)g_array_free(v->hints, FALSE);
}

Explanation *sched_explain_pod(Cluster *c, const struct pod_request *r, const ClusterNode *candidates,
                               uint32_t n)
{
    Explanation *e = g_new0(Explanation, 1);
    struct explain_view *v = g_new0(struct explain_view, 1);
    v->cluster = c;
    v->families = c->families;
    v->pod = r;
    v->e = e;
    v->steps = EXPLAIN_STEPS_MAX;
    v->own = r->uid ? pod_store_find(c->pods, r->uid) : 0;
    quota_view(c, r->namespace_, v->own, &v->quota);
    look(v, candidates, n);
    group(e);
    e->reason = e->n_groups ? e->groups[0].reason : SCHED_UNREGISTERED;
    if (is_fitting(e)) {
        g_autofree ClusterNode *nodes = g_new(ClusterNode, e->n_nodes);
        for (uint32_t i = 0; i < e->n_nodes; i++)
            nodes[i] = e->nodes[i].node;
        e->reason = SCHED_FITS;
        e->answer = g_new(struct cluster_answer, 1);
        cluster_place(c, r, nodes, e->n_nodes, e->answer);
    } else {
        find_hints(v);
    }
    g_free(v);
    return e;
}

void explanation_free(Explanation *e)
{
    if (!e)
        return;
    if (e->n_nodes)
        g_free(e->nodes[0].cards); /* the block of all */
    g_free(e->nodes);
    g_free(e->groups);
    g_free(e->hints);
    g_free(e->answer);
    g_free(e);
}

/* ---- trying ----------------------------------------------------------------- */

static const struct card_request *failed_request(const struct explain_view *v, uint32_t i)
{
    int request = v->e->nodes[i].request;
    return request < 0 ? NULL : &v->pod->requests[request];
}

/* One card may serve several times in MIG mode, and cores of one device stand
 * for several devices. */
static bool may_share_cards(const struct explain_view *v, uint32_t i, const struct card_request *r)
{
    const struct family *f = v->families->rows[r->family];
    const struct node_spec *spec = cluster_node_spec(v->cluster, v->e->nodes[i].node);
    if (f->cores_kind == FAMILY_CORES_MASK)
        return true;
    for (uint32_t k = 0; choose_has_modes(f) && k < v->e->nodes[i].n_cards; k++)
        if (spec->cards[v->e->nodes[i].cards[k].card].mode == CARD_MIG)
            return true;
    return false;
}

uint32_t explain_needed(const struct explain_view *v, uint32_t i)
{
    const struct card_request *r = failed_request(v, i);
    return !r || r->n_cards == 0 || may_share_cards(v, i, r) ? 1 : r->n_cards;
}

bool explain_is_plausible(const struct explain_view *v, uint32_t i, uint64_t mask)
{
    const struct explain_node *node = &v->e->nodes[i];
    uint32_t n = 0, needed;
    if (v->pod->n_requests > 1 || mask == EXPLAIN_ANY)
        return true;
    mask |= EXPLAIN_BIT(SCHED_FITS);
    needed = explain_needed(v, i);
    for (uint32_t c = 0; c < node->n_cards && n < needed; c++)
        n += (mask & EXPLAIN_BIT(node->cards[c].reason)) != 0;
    return n >= needed;
}

bool explain_has_reason(const struct explain_view *v, uint32_t i, uint64_t mask)
{
    const struct explain_node *node = &v->e->nodes[i];
    if (mask & EXPLAIN_BIT(node->reason))
        return true;
    for (uint32_t c = 0; c < node->n_cards; c++)
        if (mask & EXPLAIN_BIT(node->cards[c].reason))
            return true;
    return false;
}

const struct card_use *explain_use(struct explain_view *v, ClusterNode n)
{
    if (v->own == 0 || pod_store_at(v->cluster->pods, v->own)->node != n)
        return cluster_node_use(v->cluster, n);
    node_use_without(v->cluster, n, &v->own, 1, v->use);
    return v->use;
}

bool explain_try(struct explain_view *v, uint32_t i)
{
    ClusterNode n = v->e->nodes[i].node;
    return fit_pod(v->families, cluster_node_spec(v->cluster, n), explain_use(v, n), &v->quota, &v->changed,
                   &v->steps, &v->grant, NULL) == SCHED_FITS;
}

bool explain_add(struct explain_view *v, struct explain_hint hint, uint64_t mask)
{
    hint.n_nodes = 0;
    for (uint32_t i = 0; i < v->e->n_nodes; i++)
        if (explain_is_plausible(v, i, mask) && explain_try(v, i) && hint.n_nodes++ == 0)
            hint.example = v->e->nodes[i].node;
    if (hint.n_nodes)
        g_array_append_val(v->hints, hint);
    return hint.n_nodes > 0;
}
