/* SPDX-License-Identifier: Apache-2.0
 *
 * Choosing a node. Three steps, so that the usual decision costs one look at
 * two or three cache lines per candidate and one fit:
 *   1. Of every candidate the hot rows say whether it might do and how good it
 *      can be at most. What they refuse, the rules would refuse as well.
 *   2. The best of those is fitted by the rules; if it does not do, the next
 *      best (a heap, made only then).
 *   3. Families that grade nodes (links, wings, networks) may turn out worse
 *      than their bound: fitting goes on until no bound is above the best answer.
 *
 * Nothing is allocated but the list of candidates, which grows to the largest
 * call and stays. Score: base as the reference's, `spread` turns its sign, and a
 * family's grade (0 to 1, times its weight) counts for good under both.
 */
#include <string.h>

#include "model/lists.h"
#include "sched/cluster_internal.h"

enum { UUIDS_MAX = 32, SELECTIONS_CHECKED = 4, REASONS_SAMPLED = 64 };

/* What one request needs of a card, in the measures of the hot rows. Never more than the rules ask. */
struct need {
    uint64_t family_bit;
    uint32_t n_cards;
    uint32_t mib;     /* fixed amount, or */
    uint32_t percent; /* of the card; 100 = all of it */
    uint32_t cores;
    bool cores_of_total, idle, whole_share, some_cores, mig;
    uint8_t family, modes;         /* modes 0 = any */
    uint8_t *verdicts;             /* by type; NULL = any type */
    const struct pod_selection *s; /* for them */
    uint32_t n_uuids;              /* 0 = any */
    uint32_t uuids[UUIDS_MAX];     /* hashes */
};

struct needs {
    uint32_t n;
    uint64_t families;
    uint32_t mib, cores, n_cards; /* the most that any request needs of any card */
    bool mig, soft, whole;        /* whole: all memory of some card */
    struct need need[POD_REQUESTS_MAX];
};

/* ---- needs ---------------------------------------------------------------------- */

static void need_memory(const struct family *f, const struct card_request *r, struct need *ret)
{
    if (r->mem_none || (f->mem_round == FAMILY_ROUND_CARD_SHAPE && r->mem_bytes == 0))
        return;
    if (r->mem_bytes)
        ret->mib = (uint32_t)MIN(r->mem_bytes / POD_MIB, UINT32_MAX);
    else
        ret->percent = r->mem_percent && r->mem_percent < 100 ? r->mem_percent : 100;
}

static void need_cores(const struct family *f, const struct card_request *r, const struct pod_request *pod,
                       struct need *ret)
{
    bool by_shape = f->mem_round == FAMILY_ROUND_CARD_SHAPE, online = pod->app_class == POD_CLASS_ONLINE;
    if (online || (by_shape && r->size))
        return;
    switch (f->cores_kind) {
    case FAMILY_CORES_PERCENT:
        ret->cores = MIN(r->cores, 100);
        ret->whole_share = f->exclusive_cores && ret->cores == 100;
        break;
    case FAMILY_CORES_UNITS:
    case FAMILY_CORES_OF_MEM:
        ret->cores = r->cores;
        break;
    case FAMILY_CORES_OF_TOTAL:
        ret->cores = MIN(r->cores, 100);
        ret->cores_of_total = true;
        break;
    case FAMILY_CORES_MASK:
    case FAMILY_CORES_NONE:
        return;
    }
    ret->some_cores = !by_shape && r->cores == 0 && f->cores_kind != FAMILY_CORES_OF_MEM;
}

static const struct pod_selection *selection_of(const struct pod_request *r, uint16_t family)
{
    for (uint8_t i = 0; i < r->n_selections; i++)
        if (r->selections[i].family == family)
            return &r->selections[i];
    return NULL;
}

/* Asked for by UUID: the hashes, unless there are too many to look through. */
static void need_uuids(const char *list, struct need *ret)
{
    size_t len;
    uint32_t n = 0;
    for (const char *uuid; (uuid = lists_next(&list, &len));) {
        if (n == UUIDS_MAX)
            return;
        ret->uuids[n++] = names_hash(uuid, len);
    }
    ret->n_uuids = n;
}

static void need_selection(const Cluster *c, const struct pod_selection *s, uint32_t *n_checked,
                           struct need *ret)
{
    struct scratch *scratch = c->scratch;
    if (!s)
        return;
    need_uuids(s->use_uuids[0], ret);
    if (!ret->n_uuids)
        need_uuids(s->use_uuids[1], ret);
    if ((!s->use_types && !s->not_types) || *n_checked == SELECTIONS_CHECKED)
        return;
    uint32_t n = SELECTIONS_CHECKED * MAX(c->n_types, 1);
    if (scratch->verdict_room < n) {
        scratch->verdict_room = 2 * n;
        scratch->verdicts = g_realloc(scratch->verdicts, scratch->verdict_room);
    }
    ret->s = s;
    ret->verdicts = scratch->verdicts + *n_checked * MAX(c->n_types, 1);
    memset(ret->verdicts, 0, MAX(c->n_types, 1));
    ++*n_checked;
}

static void make_needs(const Cluster *c, const struct pod_request *r, struct needs *ret)
{
    uint32_t n_checked = 0;
    ret->n = r->n_requests;
    ret->families = 0;
    ret->mib = ret->cores = ret->n_cards = 0;
    ret->mig = ret->soft = ret->whole = false;
    for (uint8_t i = 0; i < r->n_requests; i++) {
        const struct card_request *q = &r->requests[i];
        const struct family *f = c->families->rows[q->family];
        struct need *n = &ret->need[i];
        *n = (struct need){.family_bit = UINT64_C(1) << q->family,
                           .family = (uint8_t)q->family,
                           .n_cards = q->n_cards,
                           .idle = r->mutex || q->exclusive || f->idle_only};
        if (choose_has_modes(f)) {
            n->modes = r->modes;
            n->mig = !r->modes || r->modes & 1u << CARD_MIG;
        }
        need_memory(f, q, n);
        need_cores(f, q, r, n);
        need_selection(c, selection_of(r, q->family), &n_checked, n);
        ret->families |= n->family_bit;
        ret->mib = MAX(ret->mib, n->mib);
        ret->cores = MAX(ret->cores, n->cores_of_total ? MIN(n->cores, 1) : n->cores);
        ret->n_cards = MAX(ret->n_cards, n->n_cards);
        ret->mig |= n->mig;
        ret->whole |= n->percent == 100;
        ret->soft |= r->soft && f->soft_key;
    }
}

/* ---- the first look ------------------------------------------------------------- */

static bool type_wanted(const Cluster *c, const struct need *n, uint16_t type)
{
    if (type == 0)
        return true;
    if (n->verdicts[type] == 0)
        n->verdicts[type] = lists_want_type(n->s->use_types, n->s->not_types, c->types[type].name) ? 1 : 2;
    return n->verdicts[type] == 1;
}

static bool uuid_wanted(const struct need *n, uint32_t hash)
{
    for (uint32_t i = 0; i < n->n_uuids; i++)
        if (n->uuids[i] == hash)
            return true;
    return false;
}

static bool enough_cores(const struct need *n, const struct hot_card *k)
{
    if (!n->cores_of_total)
        return k->free_cores >= n->cores;
    uint32_t wanted =
        k->total_cores == UINT16_MAX ? 0 : (uint32_t)((uint64_t)k->total_cores * n->cores / 100);
    return k->free_cores >= (n->cores && k->total_cores ? MAX(wanted, 1) : 0);
}

static bool card_may_do(const Cluster *c, const struct need *n, const struct hot_card *k)
{
    if (!(k->flags & HOT_USABLE) || k->family != n->family || k->free_mib < n->mib)
        return false;
    if (n->percent && k->free_mib < (uint64_t)k->total_mib * n->percent / 100)
        return false;
    if (!enough_cores(n, k) || (n->some_cores && k->flags & HOT_EXHAUSTED))
        return false;
    if (!(k->flags & HOT_IDLE) && (n->idle || (n->whole_share && k->flags & HOT_UNDIVIDED)))
        return false;
    if (n->modes && !(n->modes & 1u << (k->flags >> HOT_MODE_SHIFT)))
        return false;
    return (!n->n_uuids || uuid_wanted(n, k->uuid_hash)) && (!n->verdicts || type_wanted(c, n, k->type));
}

static bool cards_may_do(const Cluster *c, const struct need *n, const struct hot_node *h)
{
    uint32_t left = n->n_cards;
    for (uint16_t i = 0; i < h->n_cards; i++) {
        if (!card_may_do(c, n, &h->cards[i]))
            continue;
        if (--left == 0 || (n->mig && h->cards[i].flags >> HOT_MODE_SHIFT == CARD_MIG))
            return true;
    }
    return false;
}

static bool node_may_do(const Cluster *c, const struct needs *needs, const struct hot_node *h)
{
    if (!(h->flags & HOT_PRESENT) || (h->families & needs->families) != needs->families)
        return false;
    if (h->free_mib < needs->mib || h->free_cores < needs->cores || (needs->soft && !(h->flags & HOT_SOFT)))
        return false;
    if (h->n_usable < needs->n_cards && !(needs->mig && h->flags & HOT_MIG))
        return false;
    if (needs->whole && !(h->flags & HOT_WHOLE))
        return false;
    for (uint32_t i = 0; i < needs->n; i++) {
        const struct need *n = &needs->need[i];
        if ((n->verdicts && h->type && !type_wanted(c, n, h->type)) || !cards_may_do(c, n, h))
            return false;
    }
    return true;
}

/* ---- grades of families ----------------------------------------------------------- */

static bool is_graded(const struct family *f)
{
    return f->node_score || f->score == FAMILY_SCORE_MAXFRAC || f->score == FAMILY_SCORE_TABLE;
}

static double weight_of(const struct family *f)
{
    return f->score_weight ? f->score_weight : 10;
}

/* The share of each container's cards that are in its largest group, on average. */
static double largest_share(const struct node_spec *node, const struct card_grant *g, uint32_t n)
{
    double sum = 0;
    uint32_t n_slots = 0;
    for (uint32_t i = 0, end; i < n; i = end, n_slots++) {
        uint32_t most = 0;
        for (end = i; end < n && g[end].slot == g[i].slot; end++)
            ;
        for (uint32_t k = i; k < end; k++) {
            uint32_t same = 0;
            if (node->cards[g[k].card].group < 0)
                return 0;
            for (uint32_t m = i; m < end; m++)
                same += node->cards[g[m].card].group == node->cards[g[k].card].group;
            most = MAX(most, same);
        }
        sum += (double)most / (end - i);
    }
    return n_slots ? sum / n_slots : 0;
}

/* MetaX: what its plugin says about as many cards as the pod takes; 2000 at most. */
static double from_table(const struct node_spec *node, enum node_policy policy, uint32_t n)
{
    const uint32_t *table = policy == NODE_SPREAD ? node->topology_scores : node->topology_losses;
    if (!table || n < 1 || n > 16 || table[n] == 0)
        return 0;
    double share = MIN(table[n], 2000) / 2000.0;
    return policy == NODE_SPREAD ? share : 1 - share;
}

static double grade(const struct family *f, const struct node_spec *node, const struct card_use *use,
                    const struct pod_request *r, const struct pod_grant *grant)
{
    struct card_grant mine[POD_GRANTS_MAX];
    uint32_t n = 0;
    for (uint16_t i = 0; i < grant->n; i++)
        if (node->cards[grant->grants[i].card].family == f->id)
            mine[n++] = grant->grants[i];
    if (f->node_score)
        return CLAMP(f->node_score(f, node, use, r, mine, n), 0, 1);
    if (f->score == FAMILY_SCORE_MAXFRAC)
        return largest_share(node, mine, n);
    return from_table(node, r->node_policy, n);
}

struct grades {
    uint32_t n;
    const struct family *families[FAMILIES_MAX];
    double most; /* all of them at 1 */
};

static void find_grades(const Cluster *c, const struct pod_request *r, struct grades *ret)
{
    uint64_t left = 0;
    ret->n = 0;
    ret->most = 0;
    for (uint8_t i = 0; i < r->n_requests; i++)
        left |= UINT64_C(1) << r->requests[i].family;
    for (; left; left &= left - 1) {
        const struct family *f = c->families->rows[__builtin_ctzll(left)];
        if (!is_graded(f))
            continue;
        ret->families[ret->n++] = f;
        ret->most += weight_of(f);
    }
}

/* ---- placing ---------------------------------------------------------------------- */

struct placing {
    const Cluster *c;
    const struct pod_request *r;
    uint32_t own; /* the pod's record, 0 = none */
    ClusterNode own_node;
    double sign;
    struct fit_quota quota;
    struct grades grades;
};

static double graded(const struct placing *p, const struct node_spec *spec, const struct card_use *use,
                     const struct pod_grant *grant)
{
    double sum = 0;
    for (uint32_t i = 0; i < p->grades.n; i++)
        sum += weight_of(p->grades.families[i]) * grade(p->grades.families[i], spec, use, p->r, grant);
    return sum;
}

static enum sched_reason fit_node(const struct placing *p, ClusterNode at, struct pod_grant *grant,
                                  double *ret_score, struct fit_report *report)
{
    const struct node *n = &p->c->nodes[at];
    struct card_use mine[CARD_PER_NODE];
    const struct card_use *use = n->use;
    double base = p->c->hot[at].score;
    if (p->own && at == p->own_node) {
        node_use_without(p->c, at, &p->own, 1, mine);
        use = mine;
        base = node_score(p->c, &n->spec, use);
    }
    enum sched_reason reason = fit_pod(p->c->families, &n->spec, use, &p->quota, p->r, grant, report);
    if (reason == SCHED_FITS)
        *ret_score = p->sign * base + graded(p, &n->spec, use, grant);
    return reason;
}

static void begin(const Cluster *c, const struct pod_request *r, struct placing *ret)
{
    ret->c = c;
    ret->r = r;
    ret->own = r->uid ? pod_store_find(c->pods, r->uid) : 0;
    ret->own_node = ret->own ? pod_store_at(c->pods, ret->own)->node : CLUSTER_NO_NODE;
    ret->sign = r->node_policy == NODE_SPREAD ? -1 : 1;
    quota_view(c, r->namespace_, ret->own, &ret->quota);
    find_grades(c, r, &ret->grades);
}

/* The order of trying: best bound first, then the lower name. */
static bool is_better(const Cluster *c, const struct candidate *a, const struct candidate *b)
{
    if (a->bound > b->bound || a->bound < b->bound)
        return a->bound > b->bound;
    return c->hot[a->node].rank < c->hot[b->node].rank;
}

static double bound_of(const struct placing *p, ClusterNode at)
{
    double base = p->c->hot[at].score;
    if (at == p->own_node) {
        struct card_use use[CARD_PER_NODE];
        node_use_without(p->c, at, &p->own, 1, use);
        base = node_score(p->c, &p->c->nodes[at].spec, use);
    }
    return p->sign * base + p->grades.most;
}

/* Candidates that might do; the best is moved to the front. */
static uint32_t look(const struct placing *p, const ClusterNode *candidates, uint32_t n)
{
    const Cluster *c = p->c;
    struct needs needs;
    struct candidate *list = c->scratch->candidates;
    uint32_t found = 0, best = 0;
    make_needs(c, p->r, &needs);
    for (uint32_t i = 0; i < n; i++) {
        ClusterNode at = candidates[i];
        if (i + 4 < n && candidates[i + 4] < c->n_slots)
            __builtin_prefetch(&c->hot[candidates[i + 4]]);
        if (at >= c->n_slots)
            continue;
        if (at == p->own_node ? !c->nodes[at].present : !node_may_do(c, &needs, &c->hot[at]))
            continue;
        list[found] = (struct candidate){.bound = bound_of(p, at), .node = at};
        if (is_better(c, &list[found], &list[best]))
            best = found;
        found++;
    }
    if (found) {
        struct candidate first = list[best];
        list[best] = list[0];
        list[0] = first;
    }
    return found;
}

static void sift_down(const Cluster *c, struct candidate *list, uint32_t i, uint32_t n)
{
    struct candidate moving = list[i];
    for (uint32_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && is_better(c, &list[child + 1], &list[child]))
            child++;
        if (!is_better(c, &list[child], &moving))
            break;
        list[i] = list[child];
    }
    list[i] = moving;
}

/* Takes the first away; the next best comes to the front. */
static uint32_t next_best(const Cluster *c, struct candidate *list, uint32_t n, bool *is_heap)
{
    list[0] = list[--n];
    if (!*is_heap)
        for (uint32_t i = n / 2; i-- > 1;)
            sift_down(c, list, i, n);
    *is_heap = true;
    if (n)
        sift_down(c, list, 0, n);
    return n;
}

static void search(const struct placing *p, uint32_t n, struct cluster_answer *ret)
{
    const Cluster *c = p->c;
    struct candidate *list = c->scratch->candidates, best = {.node = CLUSTER_NO_NODE};
    struct pod_grant grant;
    bool is_heap = false;
    for (; n; n = next_best(c, list, n, &is_heap)) {
        struct candidate now = list[0];
        bool first = best.node == CLUSTER_NO_NODE;
        struct pod_grant *to = first ? &ret->grant : &grant;
        if (!first && !is_better(c, &now, &best))
            break;
        if (fit_node(p, now.node, to, &now.bound, NULL) != SCHED_FITS)
            continue;
        if (!first && !is_better(c, &now, &best))
            continue;
        best = now;
        if (!first) {
            ret->grant.n = grant.n;
            memcpy(ret->grant.grants, grant.grants, grant.n * sizeof *grant.grants);
        }
        if (p->grades.n == 0)
            break;
    }
    if (best.node == CLUSTER_NO_NODE)
        return;
    ret->reason = SCHED_FITS;
    ret->node = best.node;
    ret->score = best.bound;
}

static enum sched_reason fit_one(const struct placing *p, ClusterNode at, struct cluster_answer *ret,
                                 struct fit_report *report)
{
    ret->node = at;
    ret->score = 0;
    ret->grant.n = 0;
    report->request = 0;
    report->cards = (struct choose_report){.reason = SCHED_UNREGISTERED};
    if (at < p->c->n_slots && p->c->nodes[at].present)
        report->cards.reason = p->c->nodes[at].spec.n_cards
                                   ? fit_node(p, at, &ret->grant, &ret->score, report)
                                   : SCHED_NODE_DOWN;
    return ret->reason = report->cards.reason;
}

/* A node without such cards is no reason where others have them. */
static bool is_beside_the_point(uint32_t reason)
{
    return reason == SCHED_FITS || reason == SCHED_UNREGISTERED || reason == SCHED_NODE_DOWN ||
           reason == SCHED_FAMILY;
}

static enum sched_reason commonest(const uint32_t counts[SCHED_REASONS])
{
    uint32_t best = SCHED_UNREGISTERED;
    for (uint32_t i = 1; i < SCHED_REASONS; i++) {
        bool more = counts[i] > counts[best];
        if (is_beside_the_point(i) ? more && is_beside_the_point(best)
                                   : counts[i] && (more || is_beside_the_point(best)))
            best = i;
    }
    return (enum sched_reason)best;
}

/* Of some candidates, evenly spaced. */
static enum sched_reason why_none(const struct placing *p, const ClusterNode *candidates, uint32_t n,
                                  struct cluster_answer *scratch)
{
    uint32_t counts[SCHED_REASONS] = {0}, asked = MIN(n, REASONS_SAMPLED);
    struct fit_report report;
    for (uint32_t i = 0; i < asked; i++)
        counts[fit_one(p, candidates[(uint64_t)i * n / asked], scratch, &report)]++;
    return commonest(counts);
}

void cluster_place(Cluster *c, const struct pod_request *r, const ClusterNode *candidates, uint32_t n,
                   struct cluster_answer *ret)
{
    struct placing p;
    begin(c, r, &p);
    ret->reason = SCHED_QUOTA;
    ret->node = CLUSTER_NO_NODE;
    ret->score = 0;
    ret->grant.n = 0;
    if (c->scratch->room < n) {
        c->scratch->room = n + n / 2;
        c->scratch->candidates = g_renew(struct candidate, c->scratch->candidates, c->scratch->room);
    }
    if (quota_refuses(c, r, &p.quota))
        return;
    search(&p, look(&p, candidates, n), ret);
    if (ret->node != CLUSTER_NO_NODE)
        return;
    enum sched_reason reason = why_none(&p, candidates, n, ret);
    ret->reason = reason;
    ret->node = CLUSTER_NO_NODE;
    ret->score = 0;
    ret->grant.n = 0;
}

/* ---- one node ---------------------------------------------------------------------- */

enum sched_reason cluster_fit_report(const Cluster *c, const struct pod_request *r, ClusterNode n,
                                     struct cluster_answer *ret, struct fit_report *ret_report)
{
    struct placing p;
    begin(c, r, &p);
    return fit_one(&p, n, ret, ret_report);
}

enum sched_reason cluster_fit(const Cluster *c, const struct pod_request *r, ClusterNode n,
                              struct cluster_answer *ret, GString *why)
{
    struct fit_report report;
    enum sched_reason reason = cluster_fit_report(c, r, n, ret, &report);
    if (reason != SCHED_FITS && why)
        fit_report_format(&report, why);
    return reason;
}

static int64_t held_in(const Cluster *c, uint32_t pod, const char *namespace_, uint16_t resource)
{
    const struct pod_record *p = pod ? pod_store_at(c->pods, pod) : NULL;
    if (!p || g_ptr_array_index(c->namespaces, p->namespace_) != quota_find(c, namespace_))
        return 0;
    return pod_quota(c, p, resource);
}

enum sched_reason cluster_fit_without(const Cluster *c, const struct pod_request *r, ClusterNode at,
                                      const char *const *uids, unsigned n_uids, struct cluster_answer *ret)
{
    struct placing p;
    struct card_use use[CARD_PER_NODE];
    g_autofree uint32_t *pods = g_new(uint32_t, n_uids + 1);
    begin(c, r, &p);
    for (unsigned i = 0; i < n_uids; i++)
        pods[i] = pod_store_find(c->pods, uids[i]);
    pods[n_uids] = p.own;
    ret->node = at;
    ret->score = 0;
    ret->grant.n = 0;
    if (at >= c->n_slots || !c->nodes[at].present)
        return ret->reason = SCHED_UNREGISTERED;
    node_use_without(c, at, pods, n_uids + 1, use);
    for (uint32_t i = 0; i < p.quota.n; i++)
        for (unsigned k = 0; k < n_uids; k++)
            p.quota.limits[i].used -= held_in(c, pods[k], r->namespace_, p.quota.limits[i].resource);
    return ret->reason = fit_pod(c->families, &c->nodes[at].spec, use, &p.quota, r, &ret->grant, NULL);
}

enum sched_reason cluster_fit_spec(const Cluster *c, const struct pod_request *r,
                                   const struct node_spec *spec, struct cluster_answer *ret, GString *why)
{
    static const struct card_use idle[CARD_PER_NODE];
    struct placing p;
    struct fit_report report;
    begin(c, r, &p);
    ret->node = CLUSTER_NO_NODE;
    ret->score = 0;
    ret->grant.n = 0;
    report.request = 0;
    report.cards = (struct choose_report){.reason = SCHED_UNREGISTERED};
    if (spec->n_cards && spec->n_cards <= CARD_PER_NODE)
        report.cards.reason = fit_pod(c->families, spec, idle, &p.quota, r, &ret->grant, &report);
    if (report.cards.reason == SCHED_FITS)
        ret->score = graded(&p, spec, idle, &ret->grant);
    else if (why)
        fit_report_format(&report, why);
    return ret->reason = report.cards.reason;
}
