/* SPDX-License-Identifier: Apache-2.0
 *
 * The ledger counted anew from its records alone, and compared.
 */
#include <string.h>

#include "sched/cluster_internal.h"
#include "sched/take.h"

static char *check_list(const Cluster *c, ClusterNode at, uint32_t *ret_pods)
{
    const struct node *n = &c->nodes[at];
    uint32_t prev = 0, count = 0;
    for (uint32_t pod = n->pods; pod; pod = pod_store_at(c->pods, pod)->next, count++) {
        const struct pod_record *p = pod_store_at(c->pods, pod);
        if (p->node != at || p->prev != prev || p->state == POD_NONE || count > n->n_pods)
            return g_strdup_printf("node %s: its list of pods is broken", n->name);
        prev = pod;
    }
    *ret_pods += count;
    return count == n->n_pods ? NULL
                              : g_strdup_printf("node %s: %u pods, %u counted", n->name, n->n_pods, count);
}

/* Equal but for padding. */
static bool same_use(const struct card_use *a, const struct card_use *b)
{
    return a->mem_bytes == b->mem_bytes && a->cores == b->cores && a->slots == b->slots &&
           a->mig_mask == b->mig_mask && memcmp(a->aux, b->aux, sizeof a->aux) == 0 &&
           a->exclusive == b->exclusive && a->online == b->online && a->offline == b->offline &&
           memcmp(a->qos, b->qos, sizeof a->qos) == 0;
}

static void count_use(const Cluster *c, ClusterNode at, struct card_use *ret)
{
    const struct node *n = &c->nodes[at];
    struct charges charges;
    memset(ret, 0, CARD_PER_NODE * sizeof *ret);
    for (uint32_t pod = n->pods; pod; pod = pod_store_at(c->pods, pod)->next) {
        pod_charges(pod_store_at(c->pods, pod), &charges);
        for (uint32_t i = 0; i < charges.n; i++)
            if (charges.card[i] < n->spec.n_cards)
                take_add(node_family(c, n, charges.card[i]), &ret[charges.card[i]], &charges.use[i]);
    }
}

static char *check_cards(const Cluster *c, ClusterNode at)
{
    const struct node *n = &c->nodes[at];
    struct card_use counted[CARD_PER_NODE];
    count_use(c, at, counted);
    for (uint32_t i = 0; i < n->spec.n_cards; i++) {
        const struct card *card = &n->spec.cards[i];
        const struct card_use *use = &n->use[i];
        if (!same_use(use, &counted[i]))
            return g_strdup_printf("node %s card %s: %" G_GUINT64_FORMAT " bytes, %u cores and %u slots are "
                                   "taken, pods hold %" G_GUINT64_FORMAT ", %u and %u",
                                   n->name, card->uuid, use->mem_bytes, use->cores, use->slots,
                                   counted[i].mem_bytes, counted[i].cores, counted[i].slots);
        if (!n->over && !take_within(c->families->rows[card->family], card, use))
            return g_strdup_printf("node %s card %s: more is taken than there is", n->name, card->uuid);
    }
    return NULL;
}

/* The hot rows must say what the cards say. */
static char *check_hot(const Cluster *c, ClusterNode at)
{
    const struct node *n = &c->nodes[at];
    const struct hot_node *h = &c->hot[at];
    double score = node_score(c, &n->spec, n->use);
    bool same = h->n_cards == n->spec.n_cards && !(h->score > score) && !(h->score < score) &&
                n->present == !!(h->flags & HOT_PRESENT);
    for (uint32_t i = 0; same && i < n->spec.n_cards; i++) {
        const struct card *card = &n->spec.cards[i];
        uint64_t free = card->mem_bytes > n->use[i].mem_bytes ? card->mem_bytes - n->use[i].mem_bytes : 0;
        bool usable =
            card->healthy && !card->cordoned && n->use[i].slots < card->slots && !n->use[i].exclusive;
        same = h->cards[i].free_mib == (free + POD_MIB - 1) / POD_MIB && h->cards[i].family == card->family &&
               usable == !!(h->cards[i].flags & HOT_USABLE) &&
               (!usable || h->free_mib >= h->cards[i].free_mib);
    }
    return same ? NULL : g_strdup_printf("node %s: what placing looks at is stale", n->name);
}

static char *check_names(const Cluster *c)
{
    for (uint32_t i = 0; i < c->n_order; i++) {
        const struct node *n = &c->nodes[c->order[i]];
        if (cluster_node_find(c, n->name, n->name_len) != c->order[i])
            return g_strdup_printf("node %s is not found by its name", n->name);
        if (i && (strcmp(c->nodes[c->order[i - 1]].name, n->name) >= 0 ||
                  c->hot[c->order[i - 1]].rank >= c->hot[c->order[i]].rank))
            return g_strdup_printf("node %s is out of order", n->name);
    }
    return NULL;
}

/* ---- quota ------------------------------------------------------------------------ */

static int64_t *sums_of(int64_t *sums, const Cluster *c, uint32_t namespace_)
{
    return sums + (size_t)namespace_ * c->resources->len;
}

static void count_namespaces(const Cluster *c, int64_t *sums, uint32_t *pods)
{
    uint32_t at = 0;
    for (uint32_t pod; (pod = pod_store_next(c->pods, &at));) {
        const struct pod_record *p = pod_store_at(c->pods, pod);
        pods[p->namespace_]++;
        for (guint i = 0; i < c->resources->len; i++)
            sums_of(sums, c, p->namespace_)[i] += pod_quota(c, p, (uint16_t)i);
    }
}

static char *check_quota(const Cluster *c)
{
    g_autofree int64_t *sums = g_new0(int64_t, (size_t)c->namespaces->len * c->resources->len + 1);
    g_autofree uint32_t *pods = g_new0(uint32_t, c->namespaces->len + 1);
    count_namespaces(c, sums, pods);
    for (guint i = 0; i < c->namespaces->len; i++) {
        const struct namespace_ *space = g_ptr_array_index(c->namespaces, i);
        if (space ? space->n_pods != pods[i] : pods[i] != 0)
            return g_strdup_printf("namespace %s: its pods are miscounted", space ? space->name : "(none)");
        for (uint32_t k = 0; space && k < space->n_amounts; k++) {
            const struct quota_amount *a = &space->amounts[k];
            if (a->used != sums_of(sums, c, i)[a->resource])
                return g_strdup_printf(
                    "namespace %s: %" G_GINT64_FORMAT " of %s are used, pods hold %" G_GINT64_FORMAT,
                    space->name, a->used, (char *)g_ptr_array_index(c->resources, a->resource),
                    sums_of(sums, c, i)[a->resource]);
        }
    }
    return NULL;
}

static char *check_reserved(const Cluster *c)
{
    uint32_t at = 0, reserved = 0;
    for (uint32_t pod; (pod = pod_store_next(c->pods, &at));) {
        const struct pod_record *p = pod_store_at(c->pods, pod);
        char uid[POD_UID_TEXT];
        pod_record_uid(p, uid);
        if (pod_store_find(c->pods, uid) != pod)
            return g_strdup_printf("pod %s is not found by its UID", uid);
        reserved += p->state == POD_RESERVED;
    }
    return reserved == c->n_reserved ? NULL : g_strdup("reservations are miscounted");
}

static char *check_node(const Cluster *c, ClusterNode at, uint32_t *ret_pods)
{
    char *found = check_list(c, at, ret_pods);
    if (!found)
        found = check_cards(c, at);
    return found ? found : check_hot(c, at);
}

char *cluster_check(const Cluster *c)
{
    uint32_t pods = 0, mig = 0;
    char *found = c->broken ? g_strdup(c->broken) : check_names(c);
    for (ClusterNode n = 0; !found && n < c->n_slots; n++)
        if (c->nodes[n].exists)
            found = check_node(c, n, &pods);
    for (ClusterNode n = 0; n < c->n_slots; n++)
        mig += c->nodes[n].exists && c->hot[n].flags & HOT_MIG;
    if (!found && mig != c->n_mig_nodes)
        found = g_strdup("nodes with MIG cards are miscounted");
    if (!found && pods != pod_store_count(c->pods))
        found = g_strdup("a pod is on no node's list");
    if (!found)
        found = check_reserved(c);
    return found ? found : check_quota(c);
}
