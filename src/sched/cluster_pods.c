/* SPDX-License-Identifier: Apache-2.0
 *
 * The ledger's pods. A pod is charged for its peak (model/pod.h) from the
 * moment it is reserved; what it is charged follows from its record alone, so
 * giving it back restores what was.
 *
 * Differences to the reference on purpose (scheduler.md section 11): B2 a
 * reservation ends at its deadline and never comes back from stale
 * annotations; B9, B24 slots keep their numbers and kinds; B20 whoever is
 * bound counts, terminating or not, until the API server says it is gone.
 */
#include <string.h>

#include "sched/cluster_internal.h"
#include "sched/take.h"

/* ---- charges ------------------------------------------------------------------ */

static void charges_of(const struct card_grant *grants, uint16_t n, const uint8_t *slot_kind, bool started,
                       struct charges *ret)
{
    struct card_grant local[POD_GRANTS_MAX];
    ret->n = 0;
    for (uint16_t i = 0; i < n; i++) {
        uint32_t row = 0;
        while (row < ret->n && ret->card[row] != grants[i].card)
            row++;
        if (row == ret->n)
            ret->card[ret->n++] = grants[i].card;
        local[i] = grants[i];
        local[i].card = (uint16_t)row;
    }
    pod_charge(local, n, slot_kind, started, ret->use, ret->n);
}

void pod_charges(const struct pod_record *p, struct charges *ret)
{
    struct card_grant grants[POD_GRANTS_MAX];
    pod_record_grants(p, grants);
    charges_of(grants, p->n_grants, pod_record_slots(p), p->flags & POD_RECORD_STARTED, ret);
}

void pod_take(Cluster *c, const struct pod_record *p)
{
    struct node *n = &c->nodes[p->node];
    struct charges charges;
    pod_charges(p, &charges);
    for (uint32_t i = 0; i < charges.n; i++)
        if (charges.card[i] < CLUSTER_CARD_GONE &&
            !take_add(node_family(c, n, charges.card[i]), &n->use[charges.card[i]], &charges.use[i]))
            n->inexact = true;
}

static void give_back(const Cluster *c, const struct node *n, const struct charges *charges,
                      struct card_use *use)
{
    for (uint32_t i = 0; i < charges->n; i++)
        if (charges->card[i] < CLUSTER_CARD_GONE)
            take_remove(node_family(c, n, charges->card[i]), &use[charges->card[i]], &charges->use[i]);
}

/* What a charge of a card of the family counts for a resource: MiB, or cores. */
static int64_t quota_amount_of(const Cluster *c, const struct family *f, const struct card_use *use,
                               uint16_t resource)
{
    if (c->mem_resource[f->id] == resource)
        return (int64_t)(use->mem_bytes / POD_MIB);
    if (c->cores_resource[f->id] != resource)
        return 0;
    return family_cores(f, use->cores);
}

void pod_count_quota(Cluster *c, const struct pod_record *p, int sign)
{
    const struct node *n = &c->nodes[p->node];
    struct charges charges;
    pod_charges(p, &charges);
    for (uint32_t i = 0; i < charges.n; i++) {
        const struct family *f = node_family(c, n, charges.card[i]);
        uint16_t mem = c->mem_resource[f->id], cores = c->cores_resource[f->id];
        quota_add(c, p->namespace_, mem, sign * quota_amount_of(c, f, &charges.use[i], mem));
        if (cores != mem)
            quota_add(c, p->namespace_, cores, sign * quota_amount_of(c, f, &charges.use[i], cores));
    }
}

int64_t pod_quota(const Cluster *c, const struct pod_record *p, uint16_t resource)
{
    const struct node *n = &c->nodes[p->node];
    struct charges charges;
    int64_t sum = 0;
    pod_charges(p, &charges);
    for (uint32_t i = 0; i < charges.n; i++)
        sum += quota_amount_of(c, node_family(c, n, charges.card[i]), &charges.use[i], resource);
    return sum;
}

static bool is_among(uint32_t pod, const uint32_t *pods, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (pods[i] == pod)
            return true;
    return false;
}

void node_use_without(const Cluster *c, ClusterNode at, const uint32_t *pods, uint32_t n_pods,
                      struct card_use *ret)
{
    const struct node *n = &c->nodes[at];
    struct charges charges;
    if (!n->inexact) {
        memcpy(ret, n->use, n->spec.n_cards * sizeof *ret);
        for (uint32_t i = 0; i < n_pods; i++)
            if (pods[i] && pod_store_at(c->pods, pods[i])->node == at) {
                pod_charges(pod_store_at(c->pods, pods[i]), &charges);
                give_back(c, n, &charges, ret);
            }
        return;
    }
    memset(ret, 0, n->spec.n_cards * sizeof *ret);
    for (uint32_t pod = n->pods; pod; pod = pod_store_at(c->pods, pod)->next) {
        if (is_among(pod, pods, n_pods))
            continue;
        pod_charges(pod_store_at(c->pods, pod), &charges);
        for (uint32_t i = 0; i < charges.n; i++)
            if (charges.card[i] < CLUSTER_CARD_GONE)
                take_add(node_family(c, n, charges.card[i]), &ret[charges.card[i]], &charges.use[i]);
    }
}

/* ---- coming and going ----------------------------------------------------------- */

static void link_pod(Cluster *c, uint32_t pod)
{
    struct pod_record *p = pod_store_at(c->pods, pod);
    struct node *n = &c->nodes[p->node];
    p->prev = 0;
    p->next = n->pods;
    if (n->pods)
        pod_store_at(c->pods, n->pods)->prev = pod;
    n->pods = pod;
    n->n_pods++;
}

static void unlink_pod(Cluster *c, uint32_t pod)
{
    struct pod_record *p = pod_store_at(c->pods, pod);
    struct node *n = &c->nodes[p->node];
    if (p->prev)
        pod_store_at(c->pods, p->prev)->next = p->next;
    else
        n->pods = p->next;
    if (p->next)
        pod_store_at(c->pods, p->next)->prev = p->prev;
    n->n_pods--;
}

struct arrival {
    struct pod_facts facts;
    const char *namespace_;
    ClusterNode node;
    enum pod_state state;
    bool started;
};

static void add_pod(Cluster *c, const struct arrival *a)
{
    uint32_t pod = pod_store_insert(c->pods, &a->facts);
    if (!pod)
        return;
    struct pod_record *p = pod_store_at(c->pods, pod);
    p->node = a->node;
    p->namespace_ = quota_namespace(c, a->namespace_);
    p->state = a->state & 3;
    p->flags |= (uint8_t)((a->started ? POD_RECORD_STARTED : 0) | c->mark);
    link_pod(c, pod);
    pod_take(c, p);
    pod_count_quota(c, p, 1);
    c->n_reserved += a->state == POD_RESERVED;
    node_refresh(c, a->node, a->state == POD_BOUND);
}

/* Takes the pod off its node; the node itself may go with it unless kept. */
void pod_drop(Cluster *c, uint32_t pod, bool keep_node)
{
    struct pod_record *p = pod_store_at(c->pods, pod);
    ClusterNode at = p->node;
    struct charges charges;
    pod_charges(p, &charges);
    pod_count_quota(c, p, -1);
    unlink_pod(c, pod);
    if (c->nodes[at].inexact)
        node_recount(c, at);
    else
        give_back(c, &c->nodes[at], &charges, c->nodes[at].use);
    node_refresh(c, at, false);
    c->n_reserved -= p->state == POD_RESERVED;
    quota_namespace_unref(c, p->namespace_);
    pod_store_remove(c->pods, pod);
    if (!keep_node)
        cluster_node_drop_if_unused(c, at);
}

void pods_renumber(Cluster *c, ClusterNode at, uint16_t (*to)(uint16_t card, const void *data),
                   const void *data)
{
    struct card_grant grants[POD_GRANTS_MAX];
    char uid[POD_UID_TEXT];
    for (uint32_t pod = c->nodes[at].pods, next; pod; pod = next) {
        struct pod_record *p = pod_store_at(c->pods, pod), old = *p;
        next = p->next;
        pod_record_grants(p, grants);
        pod_record_uid(p, uid);
        for (uint16_t i = 0; i < p->n_grants; i++)
            grants[i].card = to(grants[i].card, data);
        g_autofree char *name = g_strdup(pod_record_name(p));
        g_autofree uint8_t *slots = g_memdup2(pod_record_slots(p), p->n_slots);
        struct pod_facts facts = {.uid = uid,
                                  .name = name,
                                  .slot_kind = slots,
                                  .n_slots = p->n_slots,
                                  .n_grants = p->n_grants,
                                  .grants = grants,
                                  .timed = p->flags & POD_RECORD_TIMED,
                                  .priority = pod_record_priority(p)};
        facts.deadline = facts.timed ? pod_record_deadline(p) : 0;
        unlink_pod(c, pod);
        pod_store_remove(c->pods, pod);
        pod = pod_store_insert(c->pods, &facts);
        p = pod_store_at(c->pods, pod);
        p->node = at;
        p->namespace_ = old.namespace_;
        p->state = old.state;
        p->flags |= old.flags & (POD_RECORD_STARTED | POD_RECORD_MARK);
        link_pod(c, pod);
        if (p->state == POD_RESERVED)
            deadline_push(c, facts.deadline, pod);
    }
}

/* ---- reservations ---------------------------------------------------------------- */

static bool quota_allows(Cluster *c, const struct pod_request *r, ClusterNode at,
                         const struct charges *charges, uint32_t without)
{
    struct fit_quota quota;
    quota_view(c, r->namespace_, without, &quota);
    for (uint32_t i = 0; i < quota.n; i++) {
        struct fit_limit *limit = &quota.limits[i];
        int64_t wanted = 0;
        bool checked = false;
        for (uint32_t k = 0; k < charges->n; k++) {
            const struct family *f = node_family(c, &c->nodes[at], charges->card[k]);
            checked |= f->quota;
            wanted += quota_amount_of(c, f, &charges->use[k], limit->resource);
        }
        if (checked && wanted && limit->used + wanted > quota_scaled(c, limit->resource, limit->limit))
            return false;
    }
    return true;
}

static bool still_fits(Cluster *c, const struct pod_request *r, const struct cluster_answer *a,
                       uint32_t known)
{
    const struct node *n = &c->nodes[a->node];
    struct card_use use[CARD_PER_NODE];
    struct charges charges;
    for (uint16_t i = 0; i < a->grant.n; i++)
        if (a->grant.grants[i].card >= n->spec.n_cards || a->grant.grants[i].slot >= r->n_slots)
            return false;
    charges_of(a->grant.grants, a->grant.n, r->slot_kind, false, &charges);
    node_use_without(c, a->node, &known, 1, use);
    for (uint32_t i = 0; i < charges.n; i++) {
        uint16_t card = charges.card[i];
        if (!take_fits(node_family(c, n, card), &n->spec.cards[card], &use[card], &charges.use[i]))
            return false;
    }
    return quota_allows(c, r, a->node, &charges, known);
}

/* Does the record hold exactly this? Then replacing it frees nothing. */
static bool holds(const struct pod_record *p, ClusterNode at, const struct card_grant *grants, uint16_t n)
{
    struct card_grant mine[POD_GRANTS_MAX];
    if (p->node != at || p->n_grants != n)
        return false;
    pod_record_grants(p, mine);
    for (uint16_t i = 0; i < n; i++)
        if (mine[i].card != grants[i].card || mine[i].mem_bytes != grants[i].mem_bytes ||
            mine[i].cores != grants[i].cores || mine[i].slot != grants[i].slot)
            return false;
    return true;
}

static void replace_pod(Cluster *c, uint32_t known, const struct arrival *a)
{
    if (known) {
        const struct pod_record *p = pod_store_at(c->pods, known);
        ClusterNode left = p->node;
        c->freed += !holds(p, a->node, a->facts.grants, a->facts.n_grants);
        pod_drop(c, known, true);
        add_pod(c, a);
        cluster_node_drop_if_unused(c, left);
        return;
    }
    add_pod(c, a);
}

bool cluster_reserve(Cluster *c, const struct pod_request *r, const struct cluster_answer *a,
                     int64_t deadline_ms)
{
    uint32_t known = pod_store_find(c->pods, r->uid);
    if (a->node >= c->n_slots || !c->nodes[a->node].present || a->grant.n > POD_GRANTS_MAX)
        return false;
    if (known && pod_store_at(c->pods, known)->state != POD_RESERVED)
        return false;
    if (!still_fits(c, r, a, known))
        return false;
    struct arrival arrival = {.facts = {.uid = r->uid,
                                        .name = r->name ? r->name : "",
                                        .slot_kind = r->slot_kind,
                                        .n_slots = r->n_slots,
                                        .n_grants = a->grant.n,
                                        .grants = a->grant.grants,
                                        .timed = true,
                                        .deadline = deadline_ms,
                                        .priority = r->priority},
                              .namespace_ = r->namespace_,
                              .node = a->node,
                              .state = POD_RESERVED};
    replace_pod(c, known, &arrival);
    uint32_t pod = pod_store_find(c->pods, r->uid);
    if (pod)
        deadline_push(c, deadline_ms, pod);
    return pod != 0;
}

bool cluster_binding(Cluster *c, const char *uid)
{
    uint32_t pod = pod_store_find(c->pods, uid);
    if (!pod || pod_store_at(c->pods, pod)->state != POD_RESERVED)
        return false;
    pod_store_at(c->pods, pod)->state = POD_BINDING;
    c->n_reserved--;
    return true;
}

bool cluster_unbind(Cluster *c, const char *uid, int64_t deadline_ms)
{
    uint32_t pod = pod_store_find(c->pods, uid);
    if (!pod || pod_store_at(c->pods, pod)->state != POD_BINDING)
        return false;
    pod_store_at(c->pods, pod)->state = POD_RESERVED;
    pod_record_set_deadline(pod_store_at(c->pods, pod), deadline_ms);
    c->n_reserved++;
    deadline_push(c, deadline_ms, pod);
    return true;
}

/* ---- what the API server says ------------------------------------------------------ */

/* Only what exists, in the order of slots: hostile until proven otherwise. */
static uint16_t keep_sane(const Cluster *c, const struct node *n, const struct pod_grant *g, unsigned n_slots,
                          struct card_grant *ret)
{
    uint16_t kept = 0;
    for (uint32_t i = 0; i < MIN(g->n, POD_GRANTS_MAX); i++) {
        struct card_grant grant = g->grants[i];
        if (grant.card >= n->spec.n_cards || grant.slot >= n_slots)
            continue;
        bool mask = node_family(c, n, grant.card)->cores_kind == FAMILY_CORES_MASK;
        grant.flags = (uint8_t)((grant.flags & ~CARD_GRANT_MASK) | (mask ? CARD_GRANT_MASK : 0));
        uint16_t at = kept++;
        for (; at && ret[at - 1].slot > grant.slot; at--)
            ret[at] = ret[at - 1];
        ret[at] = grant;
    }
    return kept;
}

void cluster_bound(Cluster *c, const char *uid, const char *namespace_, const char *name, const char *node,
                   const struct pod_grant *g, const uint8_t *slot_kind, unsigned n_slots, int32_t priority,
                   bool started)
{
    struct card_grant grants[POD_GRANTS_MAX];
    uint8_t slots[POD_SLOTS_MAX] = {0};
    uint32_t known = pod_store_find(c->pods, uid);
    if (!node || !*node)
        return;
    ClusterNode at = cluster_node_slot(c, node);
    struct arrival a = {.facts = {.uid = uid,
                                  .name = name ? name : "",
                                  .slot_kind = slots,
                                  .grants = grants,
                                  .priority = priority},
                        .namespace_ = namespace_,
                        .node = at,
                        .state = POD_BOUND,
                        .started = started};
    if (g) {
        a.facts.n_slots = (uint8_t)MIN(n_slots, POD_SLOTS_MAX);
        memcpy(slots, slot_kind, a.facts.n_slots);
        a.facts.n_grants = keep_sane(c, &c->nodes[at], g, a.facts.n_slots, grants);
    } else if (known && pod_store_at(c->pods, known)->node == at) {
        const struct pod_record *p = pod_store_at(c->pods, known);
        a.facts.n_slots = p->n_slots;
        memcpy(slots, pod_record_slots(p), p->n_slots);
        a.facts.n_grants = p->n_grants;
        pod_record_grants(p, grants);
    }
    replace_pod(c, known, &a);
    cluster_node_drop_if_unused(c, at); /* a UID that cannot be kept */
}

void cluster_started(Cluster *c, const char *uid)
{
    uint32_t pod = pod_store_find(c->pods, uid);
    if (!pod || pod_store_at(c->pods, pod)->flags & POD_RECORD_STARTED)
        return;
    struct pod_record *p = pod_store_at(c->pods, pod);
    struct charges charges;
    pod_charges(p, &charges);
    pod_count_quota(c, p, -1);
    p->flags |= POD_RECORD_STARTED;
    if (c->nodes[p->node].inexact) {
        node_recount(c, p->node);
    } else {
        give_back(c, &c->nodes[p->node], &charges, c->nodes[p->node].use);
        pod_take(c, p);
    }
    pod_count_quota(c, p, 1);
    node_refresh(c, p->node, false);
    c->freed++;
}

bool cluster_release(Cluster *c, const char *uid)
{
    uint32_t pod = pod_store_find(c->pods, uid);
    if (!pod)
        return false;
    pod_drop(c, pod, false);
    c->freed++;
    return true;
}
