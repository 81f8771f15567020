/* SPDX-License-Identifier: Apache-2.0
 *
 * The ledger's pods looked at and swept.
 */
#include "sched/cluster_internal.h"

/* ---- sweep -------------------------------------------------------------------------- */

void cluster_sweep_begin(Cluster *c)
{
    c->mark ^= POD_RECORD_MARK;
    if (!c->sweeping) {
        c->sweeping = true;
        return;
    }
    c->mark ^= POD_RECORD_MARK; /* started over: nobody is touched any more */
    uint32_t at = 0;
    for (uint32_t pod; (pod = pod_store_next(c->pods, &at));) {
        struct pod_record *p = pod_store_at(c->pods, pod);
        p->flags = (uint8_t)((p->flags & ~POD_RECORD_MARK) | (c->mark ^ POD_RECORD_MARK));
    }
}

void cluster_touch(Cluster *c, const char *uid)
{
    uint32_t pod = pod_store_find(c->pods, uid);
    if (!pod)
        return;
    struct pod_record *p = pod_store_at(c->pods, pod);
    p->flags = (uint8_t)((p->flags & ~POD_RECORD_MARK) | c->mark);
}

void cluster_sweep_end(Cluster *c)
{
    g_autoptr(GArray) gone = g_array_new(FALSE, FALSE, sizeof(uint32_t));
    uint32_t at = 0;
    if (!c->sweeping)
        return;
    c->sweeping = false;
    for (uint32_t pod; (pod = pod_store_next(c->pods, &at));) {
        const struct pod_record *p = pod_store_at(c->pods, pod);
        if (p->state == POD_BOUND && (p->flags & POD_RECORD_MARK) != c->mark)
            g_array_append_val(gone, pod);
    }
    for (guint i = 0; i < gone->len; i++)
        pod_drop(c, g_array_index(gone, uint32_t, i), false);
    c->freed += gone->len != 0;
}

/* ---- looking ------------------------------------------------------------------------ */

static void view_without_uid(const Cluster *c, uint32_t pod, struct cluster_pod *ret)
{
    const struct pod_record *p = pod_store_at(c->pods, pod);
    const struct node *n = &c->nodes[p->node];
    const struct namespace_ *space = g_ptr_array_index(c->namespaces, p->namespace_);
    pod_record_grants(p, c->scratch->grants);
    *ret = (struct cluster_pod){.namespace_ = space->name,
                                .name = pod_record_name(p),
                                .node = n->present ? p->node : CLUSTER_NO_NODE,
                                .node_name = n->name,
                                .state = (enum pod_state)p->state,
                                .priority = pod_record_priority(p),
                                .started = p->flags & POD_RECORD_STARTED,
                                .n_slots = p->n_slots,
                                .slot_kind = pod_record_slots(p),
                                .n_grants = p->n_grants,
                                .grants = c->scratch->grants};
}

static void view(const Cluster *c, uint32_t pod, struct cluster_pod *ret)
{
    view_without_uid(c, pod, ret);
    pod_record_uid(pod_store_at(c->pods, pod), c->scratch->uid);
    ret->uid = c->scratch->uid;
}

bool cluster_pod_get(const Cluster *c, const char *uid, struct cluster_pod *ret)
{
    uint32_t pod = pod_store_find(c->pods, uid);
    if (pod)
        view(c, pod, ret);
    return pod != 0;
}

void cluster_pod_each(const Cluster *c, bool (*f)(const struct cluster_pod *p, void *data), void *data)
{
    struct cluster_pod p;
    uint32_t at = 0;
    for (uint32_t pod; (pod = pod_store_next(c->pods, &at));) {
        view(c, pod, &p);
        if (!f(&p, data))
            return;
    }
}

void cluster_node_pods(const Cluster *c, ClusterNode n, bool (*f)(const struct cluster_pod *p, void *data),
                       void *data)
{
    struct cluster_pod p;
    for (uint32_t pod = n < c->n_slots ? c->nodes[n].pods : 0, next; pod; pod = next) {
        next = pod_store_at(c->pods, pod)->next;
        if (next)
            __builtin_prefetch(pod_store_at(c->pods, next)); /* they lie anywhere */
        view_without_uid(c, pod, &p);
        if (!f(&p, data))
            return;
    }
}

uint32_t cluster_pod_count(const Cluster *c)
{
    return pod_store_count(c->pods);
}
