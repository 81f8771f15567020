/* SPDX-License-Identifier: Apache-2.0
 *
 * Preemption: who would have to end so that a pod fits on a node.
 *
 * Sets are tried by size, and among equal sizes in the order of their most
 * important member, so the first that is enough is the one asked for. Where
 * there are too many sets to try, all pods of lower priority are thought away
 * and as many as possible brought back, the most important first: no set is
 * returned of which one member could stay. A node on which not even the end of
 * all of them makes room is given up: more room never hurts (search_pod.h).
 */
#include <string.h>

#include "sched/cluster_internal.h"
#include "sched/explain_pod.h"
#include "sched/fit_pod.h"

#define TRIES_MAX 4096             /* at about ten microseconds each */
#define STEPS_MAX (64 * FIT_STEPS) /* of searching in all tries: some 100 ms */
#define AT_ONCE_MAX 8              /* pods in a set that is searched for by size */

struct victim {
    uint32_t pod; /* handle */
    int32_t priority;
    uint32_t place; /* in the caller's list: the later, the younger */
    char uid[POD_UID_TEXT];
};

struct search {
    const Cluster *c;
    const struct pod_request *r;
    ClusterNode node;
    uint32_t own; /* the pod's own record, 0 = none */
    struct victim *victims;
    uint32_t n;
    unsigned tries, steps;
    uint32_t *removed; /* handles of one try */
    struct card_use use[CARD_PER_NODE];
    struct fit_quota quota, less;
    struct charges charges;
    struct pod_grant grant;
};

/* ---- one try ------------------------------------------------------------------ */

static void give_back(struct search *s, uint16_t resource, int64_t amount)
{
    for (uint32_t i = 0; i < s->less.n; i++)
        if (s->less.limits[i].resource == resource && resource != FIT_NO_RESOURCE)
            s->less.limits[i].used -= amount;
}

static bool has_quota(const struct search *s, const struct pod_record *p)
{
    return s->quota.n && p->namespace_ < s->c->namespaces->len &&
           g_ptr_array_index(s->c->namespaces, p->namespace_) ==
               (const void *)quota_find(s->c, s->r->namespace_);
}

/* What a victim of the pod's own namespace frees of its quota. */
static void free_quota(struct search *s, const struct pod_record *p)
{
    if (!has_quota(s, p))
        return;
    pod_charges(p, &s->charges);
    for (uint32_t i = 0; i < s->charges.n; i++) {
        const struct card_use *use = &s->charges.use[i];
        const struct family *f = node_family(s->c, &s->c->nodes[s->node], s->charges.card[i]);
        give_back(s, s->quota.mem_resource[f->id], (int64_t)(use->mem_bytes / POD_MIB));
        give_back(s, s->quota.cores_resource[f->id], family_cores(f, use->cores));
    }
}

static bool fits_without(struct search *s, uint32_t n)
{
    const struct node_spec *spec = cluster_node_spec(s->c, s->node);
    uint32_t gone = n;
    if (s->own && pod_store_at(s->c->pods, s->own)->node == s->node)
        s->removed[gone++] = s->own;
    node_use_without(s->c, s->node, s->removed, gone, s->use);
    s->less = s->quota;
    for (uint32_t i = 0; i < n; i++)
        free_quota(s, pod_store_at(s->c->pods, s->removed[i]));
    s->tries++;
    return fit_pod(s->c->families, spec, s->use, &s->less, s->r, &s->steps, &s->grant, NULL) == SCHED_FITS;
}

/* ---- search ------------------------------------------------------------------- */

static bool try_set(struct search *s, const uint32_t *set, uint32_t size)
{
    for (uint32_t i = 0; i < size; i++)
        s->removed[i] = s->victims[set[i]].pod;
    return fits_without(s, size);
}

/* The next set in the order of its last member, then the one before it. */
static bool next_set(uint32_t *set, uint32_t size, uint32_t n)
{
    for (uint32_t i = 0; i < size; i++) {
        if (set[i] + 1 == (i + 1 < size ? set[i + 1] : n))
            continue;
        set[i]++;
        for (uint32_t j = 0; j < i; j++)
            set[j] = j;
        return true;
    }
    return false;
}

/* Victims of the smallest sufficient set; their number, or -1 when there are too many sets. */
static int search_by_size(struct search *s, uint32_t set[AT_ONCE_MAX])
{
    for (uint32_t size = 1; size <= MIN(s->n, AT_ONCE_MAX); size++) {
        for (uint32_t i = 0; i < size; i++)
            set[i] = i;
        do {
            if (s->tries >= TRIES_MAX)
                return -1;
            if (try_set(s, set, size))
                return (int)size;
        } while (next_set(set, size, s->n));
    }
    return -1;
}

static bool fits_but_for(struct search *s, const bool *stays)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->n; i++)
        if (!stays[i])
            s->removed[n++] = s->victims[i].pod;
    return fits_without(s, n);
}

/* Victims are sorted from the least important, so the last is brought back first. */
static void bring_back(struct search *s, bool *stays)
{
    for (uint32_t i = s->n; i-- > 0;) {
        stays[i] = true;
        if (!fits_but_for(s, stays))
            stays[i] = false;
    }
}

/* ---- candidates --------------------------------------------------------------- */

static int by_importance(const void *a, const void *b)
{
    const struct victim *x = a, *y = b;
    if (x->priority != y->priority)
        return x->priority < y->priority ? -1 : 1;
    if (x->place != y->place)
        return x->place > y->place ? -1 : 1;
    return strcmp(x->uid, y->uid);
}

static GHashTable *places_of(const char *const *allowed)
{
    GHashTable *places = g_hash_table_new(g_str_hash, g_str_equal);
    for (uint32_t i = 0; allowed && allowed[i]; i++)
        g_hash_table_insert(places, (gpointer)(uintptr_t)allowed[i], GUINT_TO_POINTER(i + 1));
    return places;
}

static void find_candidates(struct search *s, const char *const *allowed)
{
    g_autoptr(GHashTable) places = places_of(allowed);
    GArray *found = g_array_new(FALSE, FALSE, sizeof(struct victim));
    for (uint32_t pod = s->c->nodes[s->node].pods; pod; pod = pod_store_at(s->c->pods, pod)->next) {
        const struct pod_record *p = pod_store_at(s->c->pods, pod);
        struct victim v = {.pod = pod, .priority = pod_record_priority(p)};
        pod_record_uid(p, v.uid);
        v.place = GPOINTER_TO_UINT(g_hash_table_lookup(places, v.uid));
        if (pod != s->own && p->state == POD_BOUND && v.priority < s->r->priority && (!allowed || v.place))
            g_array_append_val(found, v);
    }
    s->n = found->len;
    s->victims = (struct victim *)(void *)g_array_free(found, FALSE);
    if (s->n > 1)
        qsort(s->victims, s->n, sizeof *s->victims, by_importance);
}

static GPtrArray *uids_of(const struct search *s, const bool *stays)
{
    GPtrArray *uids = g_ptr_array_new_with_free_func(g_free);
    for (uint32_t i = 0; i < s->n; i++)
        if (!stays[i])
            g_ptr_array_add(uids, g_strdup(s->victims[i].uid));
    return uids;
}

static GPtrArray *search(struct search *s)
{
    g_autofree bool *stays = g_new0(bool, s->n + 1);
    uint32_t set[AT_ONCE_MAX];
    if (fits_without(s, 0)) {
        memset(stays, 1, s->n * sizeof *stays);
        return uids_of(s, stays);
    }
    if (s->n == 0 || !fits_but_for(s, stays))
        return NULL;
    int size = search_by_size(s, set);
    if (size < 0) {
        bring_back(s, stays);
        return uids_of(s, stays);
    }
    memset(stays, 1, s->n * sizeof *stays);
    for (int i = 0; i < size; i++)
        stays[set[i]] = false;
    return uids_of(s, stays);
}

GPtrArray *sched_victims(Cluster *c, const struct pod_request *r, ClusterNode node,
                         const char *const *allowed)
{
    if (!cluster_node_spec(c, node))
        return NULL;
    struct search *s = g_new0(struct search, 1);
    s->c = c;
    s->r = r;
    s->node = node;
    s->steps = STEPS_MAX;
    s->own = r->uid ? pod_store_find(c->pods, r->uid) : 0;
    quota_view(c, r->namespace_, s->own, &s->quota);
    find_candidates(s, allowed);
    s->removed = g_new(uint32_t, s->n + 1);
    GPtrArray *uids = search(s);
    g_free(s->removed);
    g_free(s->victims);
    g_free(s);
    return uids;
}
