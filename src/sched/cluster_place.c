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

#include "sched/cluster_internal.h"
#include "sched/grade.h"
#include "sched/need.h"

enum {
    REASONS_SAMPLED = 64,
    STEPS_MAX = 16 * FIT_STEPS /* of searching, in one decision: some 20 ms */
};

/* ---- placing ---------------------------------------------------------------------- */

struct placing {
    const Cluster *c;
    const struct pod_request *r;
    uint32_t own; /* the pod's record, 0 = none */
    ClusterNode own_node;
    double sign;
    unsigned steps; /* left */
    struct fit_quota quota;
    struct grades grades;
};

static enum sched_reason fit_node(struct placing *p, ClusterNode at, struct pod_grant *grant,
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
    enum sched_reason reason =
        fit_pod(p->c->families, &n->spec, use, &p->quota, p->r, &p->steps, grant, report);
    if (reason == SCHED_FITS)
        *ret_score = p->sign * base + grade_sum(&p->grades, &n->spec, use, p->r, grant);
    return reason;
}

static void begin(const Cluster *c, const struct pod_request *r, struct placing *ret)
{
    ret->c = c;
    ret->r = r;
    ret->own = r->uid ? pod_store_find(c->pods, r->uid) : 0;
    ret->own_node = ret->own ? pod_store_at(c->pods, ret->own)->node : CLUSTER_NO_NODE;
    ret->steps = STEPS_MAX;
    ret->sign = r->node_policy == NODE_SPREAD ? -1 : 1;
    quota_view(c, r->namespace_, ret->own, &ret->quota);
    grade_find(c->families, r, &ret->grades);
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
    need_make(c, p->r, &needs);
    for (uint32_t i = 0; i < n; i++) {
        ClusterNode at = candidates[i];
        if (i + 4 < n && candidates[i + 4] < c->n_slots)
            __builtin_prefetch(&c->hot[candidates[i + 4]]);
        if (at >= c->n_slots)
            continue;
        if (at == p->own_node ? !c->nodes[at].present : !need_may_do(c, &needs, &c->hot[at]))
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

static void search(struct placing *p, uint32_t n, struct cluster_answer *ret)
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

static enum sched_reason fit_one(struct placing *p, ClusterNode at, struct cluster_answer *ret,
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
static enum sched_reason why_none(struct placing *p, const ClusterNode *candidates, uint32_t n,
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
    return ret->reason = fit_pod(c->families, &c->nodes[at].spec, use, &p.quota, r, NULL, &ret->grant, NULL);
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
        report.cards.reason = fit_pod(c->families, spec, idle, &p.quota, r, NULL, &ret->grant, &report);
    if (report.cards.reason == SCHED_FITS)
        ret->score = grade_sum(&p.grades, spec, idle, r, &ret->grant);
    else if (why)
        fit_report_format(&report, why);
    return ret->reason = report.cards.reason;
}
