/* SPDX-License-Identifier: Apache-2.0
 *
 * Follows the pods and keeps the ledger's holders in step.
 *
 * What is believed: a pod that is bound, whose assignment names as many cards
 * as its containers ask for and no more of each. Where a container leaves its
 * memory to device-config.yaml, what was given followed the file of that day,
 * and is believed up to the whole card. An unbound pod's annotations mean nothing
 * (anyone may write them; a failed decision of another scheduler leaves them
 * behind), and one that claims more than it asks for is reported and not
 * counted: kubelet never gives it that.
 */
#include <string.h>

#include "kube/watch.h"
#include "model/annotation.h"
#include "model/pod_codec.h"
#include "model/quantity.h"
#include "scheduler/assigned.h"
#include "scheduler/nodelock.h"

#define STRANGER_AGAIN_MS 60000
#define MIG_TEXT_MAX (32u << 10) /* an instance is some 250 bytes */

/* Scratch of one pod; several KiB, hence not on the stack. */
static struct pod_grant grant;
static struct pod_request wanted;

static const char *annotation(const char *key, void *data)
{
    return pod_object_annotation(data, key);
}

/* Whether a grant is what was asked for, to the MiB. */
static bool is_exact(const struct family *f, const struct card_grant *g)
{
    return g->mig_size == 0 && f->mem_round == FAMILY_ROUND_NONE;
}

/* A pod's owner may write less into the assignment than was given; what its containers ask for cannot be
 * changed, and is counted at least. */
static void count_request(const struct family *f, const struct card_request *r, const struct card *card,
                          struct card_grant *g)
{
    uint64_t mem = r->mem_bytes     ? r->mem_bytes
                   : r->mem_percent ? quantity_percent_of(card->mem_bytes, r->mem_percent)
                                    : card->mem_bytes;
    if (!is_exact(f, g) || card->mode == CARD_MIG)
        return;
    if (r->mem_default)
        g->mem_bytes = MIN(g->mem_bytes, card->mem_bytes);
    if (!r->mem_none)
        g->mem_bytes = MAX(g->mem_bytes, MIN(mem, card->mem_bytes) / QUANTITY_MIB * QUANTITY_MIB);
    if (f->cores_kind == FAMILY_CORES_PERCENT && !(g->flags & CARD_GRANT_ONLINE))
        g->cores = MAX(g->cores, MIN(r->cores, card->cores));
}

/* More memory than the container itself writes. */
static bool is_too_much(const struct family *f, const struct card_request *r, const struct card_grant *g)
{
    return is_exact(f, g) && r->mem_bytes && !r->mem_default && g->mem_bytes > r->mem_bytes;
}

/* Puts the groups of one family's cards onto the containers that ask for some,
 * in order. Usually they lie there already; the reference leaves out the empty
 * slots of containers without cards on most nodes (scheduler.md, B1), and such pods
 * must count right too. False when numbers or amounts do not agree. */
static bool align_family(const struct family *f, const struct node_spec *node)
{
    unsigned next = 0;
    for (unsigned r = 0; r < wanted.n_requests; r++) {
        const struct card_request *request = &wanted.requests[r];
        if (request->family != f->id)
            continue;
        unsigned taken = 0;
        int slot = -1;
        for (; next < grant.n; next++) {
            struct card_grant *g = &grant.grants[next];
            if (node->cards[g->card].family != f->id)
                continue;
            if (slot >= 0 && g->slot != slot)
                break;
            slot = g->slot;
            if (is_too_much(f, request, g))
                return false;
            count_request(f, request, &node->cards[g->card], g);
            taken++;
        }
        if (taken != request->n_cards)
            return false;
        for (unsigned i = 0, left = taken; left && i < next; i++) {
            struct card_grant *g = &grant.grants[next - 1 - i];
            if (node->cards[g->card].family == f->id) {
                g->slot = request->slot;
                left--;
            }
        }
    }
    for (; next < grant.n; next++)
        if (node->cards[grant.grants[next].card].family == f->id)
            return false;
    return true;
}

static bool align(const struct scheduler *s, const struct node_spec *node)
{
    for (uint32_t i = 0; i < s->families->n; i++)
        if (!align_family(s->families->rows[i], node))
            return false;
    return true;
}

static void distrust(struct scheduler *s, const struct pod_object *p, const char *why)
{
    struct kube_object_ref about = {"v1", "Pod", p->namespace_, p->name, p->uid};
    s->count.forged_pods++;
    log_line(LOG_WARN, "assignment-refused", "namespace", p->namespace_, "pod", p->name, "node", p->node,
             "why", why, NULL);
    if (s->o.events != SCHEDULER_EVENTS_NONE)
        kube_events_emit(s->events, &about, "Warning", "AssignmentRefused", why);
}

static bool has_assignment(const struct scheduler *s, const struct pod_object *p)
{
    for (uint32_t i = 0; i < s->families->n; i++)
        if (s->families->rows[i]->allocated_key &&
            pod_object_annotation(p, s->families->rows[i]->allocated_key))
            return true;
    return false;
}

/* Grows by what the device plugin writes once instances exist; metrics show it.
 * Only of pods that hold cards, for anyone's annotations may be 256 KiB long. */
static void remember_mig(struct scheduler *s, const struct pod_object *p)
{
    const char *text = pod_object_annotation(p, annotation_mig_allocations);
    if (text && strlen(text) <= MIG_TEXT_MAX)
        g_hash_table_replace(s->mig_texts, g_strdup(p->uid), g_strdup(text));
}

/* It was bound, and not as we had decided: another was faster. */
static void give_up_reservation(struct scheduler *s, const struct pod_object *p)
{
    waiting_remove(s, p->uid);
    assigned_drop(s, p->uid);
    if (cluster_release(s->cluster, p->uid)) {
        log_line(LOG_INFO, "reservation-lost", "namespace", p->namespace_, "pod", p->name, "node", p->node,
                 NULL);
        waiting_capacity_changed(s);
    }
}

/* Somebody gave cards away while we decide: both count only what they have seen of the other, so sooner or
 * later a card is given twice. Loud, for nobody means this: two instances without election, or another HAMi
 * beside us. */
static void notice_stranger(struct scheduler *s, const struct pod_object *p, bool known)
{
    static const char why[] =
        "the pod was given cards by another scheduler while this one decides: run one, or several with "
        "--leader-elect and one lease, else cards are given twice";
    struct kube_object_ref about = {"v1", "Pod", p->namespace_, p->name, p->uid};
    if (known || !s->pods_live || !scheduler_may_decide(s) || assigned_get(s, p->uid))
        return;
    s->count.strangers++;
    if (s->o.events != SCHEDULER_EVENTS_NONE)
        kube_events_emit(s->events, &about, "Warning", "SecondScheduler", why);
    if (s->stranger_ms && scheduler_now_ms() - s->stranger_ms < STRANGER_AGAIN_MS)
        return;
    g_autofree char *total = g_strdup_printf("%" G_GUINT64_FORMAT, s->count.strangers);
    s->stranger_ms = scheduler_now_ms();
    log_line(LOG_ERROR, "second-scheduler", "namespace", p->namespace_, "pod", p->name, "node", p->node,
             "pods_so_far", total, "why", why, NULL);
}

static void count_bound(struct scheduler *s, struct pod_object *p)
{
    g_autofree char *why = NULL;
    unsigned unknown = 0;
    ClusterNode n = cluster_node_find(s->cluster, p->node, strlen(p->node));
    struct cluster_pod known;
    bool held = cluster_pod_get(s->cluster, p->uid, &known);
    if (held && known.state == POD_BOUND) {
        cluster_touch(s->cluster, p->uid);
        remember_mig(s, p);
        if (p->inits_done && !known.started) {
            cluster_started(s->cluster, p->uid);
            waiting_capacity_changed(s);
        }
        return;
    }
    const struct node_spec *node = n == CLUSTER_NO_NODE ? NULL : cluster_node_spec(s->cluster, n);
    vendor_request_of_bound(s->families, p, &s->defaults, &wanted);
    bool asks = !pod_request_is_empty(&wanted);
    bool is_counted = false;
    if (!node || !node->n_cards) {
        is_counted = has_assignment(s, p); /* once the node registers: what was reserved there stays so */
        if (asks || is_counted)
            reload_owe(s, p->node);
    } else if (!has_assignment(s, p)) {
        s->count.foreign_pods += asks;
        if (asks)
            log_line(LOG_WARN, "unassigned-pod", "namespace", p->namespace_, "pod", p->name, "node", p->node,
                     "why", "it asks for cards and was bound without us: what it uses is not known", NULL);
    } else if (!asks) {
        distrust(s, p, "the pod has an assignment of cards and asks for none");
    } else if (!pod_codec_restore(s->families, node, annotation, p, &grant, &unknown, &why)) {
        distrust(s, p, why);
    } else if (unknown == 0 && !align(s, node)) {
        distrust(s, p, "the assigned cards are not what the containers ask for");
    } else {
        notice_stranger(s, p, held);
        cluster_bound(s->cluster, p->uid, p->namespace_, p->name, p->node, &grant, wanted.slot_kind,
                      wanted.n_slots, p->priority, p->inits_done);
        remember_mig(s, p);
        waiting_remove(s, p->uid);
        is_counted = true;
    }
    if (!is_counted)
        give_up_reservation(s, p);
    pod_request_clear(&wanted);
}

static void forget(struct scheduler *s, const struct pod_object *p)
{
    reload_saw_end(s, p->uid);
    waiting_remove(s, p->uid);
    assigned_drop(s, p->uid);
    g_hash_table_remove(s->mig_texts, p->uid);
    if (s->o.compat_node_lock && p->node)
        nodelock_pod_gone(s, p->node);
    if (cluster_release(s->cluster, p->uid)) {
        log_line(LOG_DEBUG, "released", "namespace", p->namespace_, "pod", p->name, NULL);
        waiting_capacity_changed(s);
    }
}

/* kube-scheduler tried it and found no place: it waits, though it has not asked us since we decide. Whom we
 * refuse ourselves is remembered there (extender.c). */
static void remember_waiting(struct scheduler *s, const struct pod_object *p, const char *json, size_t len)
{
    static const char tried[] = "\"PodScheduled\"";
    g_autofree char *why = NULL;
    const char *own = s->o.scheduler_name;
    if (p->gated || !memmem(json, len, tried, sizeof tried - 1) ||
        (own && *own && g_strcmp0(p->scheduler, own) != 0))
        return;
    if (!vendor_request_parse(s->families, p, &s->defaults, &wanted, NULL, &why))
        return;
    if (!pod_request_is_empty(&wanted))
        waiting_add(s, &wanted, json, len);
    pod_request_clear(&wanted);
}

/* aside: from a list of our own, whose place among the watch's events is not known. */
static void apply(struct scheduler *s, enum kube_event event, const char *json, size_t len, bool aside)
{
    struct pod_object p;
    const char *why;
    if (!pod_object_parse(s->reader, json, len, &p, &why) &&
        !pod_object_parse_leniently(s->reader, json, len, &p, &why)) {
        log_line(LOG_WARN, "pod-unreadable", "why", why, NULL);
        return;
    }
    const char *marker = s->marker ? pod_object_annotation(&p, annotation_leading) : NULL;
    bool is_bound = p.node && *p.node;
    if (event == KUBE_DELETED || p.phase == POD_SUCCEEDED || p.phase == POD_FAILED ||
        (p.deleting && !is_bound)) {
        forget(s, &p);
    } else if (is_bound) {
        count_bound(s, &p);
    } else {
        cluster_touch(s->cluster, p.uid);
        if (!waiting_seen(s, p.uid) && !scheduler_may_decide(s))
            remember_waiting(s, &p, json, len);
    }
    if (marker && s->pods_live)
        leader_saw_marker(s, marker);
    else if (marker && !aside)
        s->marker_listed |= strcmp(marker, s->marker) == 0;
    pod_object_clear(&p);
}

static void begin(void *data, uint64_t number)
{
    struct scheduler *s = data;
    (void)number;
    s->pods_live = s->marker_listed = false;
    cluster_sweep_begin(s->cluster);
    waiting_sweep_begin(s);
}

static void object_event(void *data, enum kube_event event, const char *json, size_t len)
{
    struct scheduler *s = data;
    s->count.pod_events++;
    apply(s, event, json, len, false);
}

static gboolean holds_nothing(gpointer uid, gpointer text, gpointer data)
{
    struct cluster_pod known;
    (void)text;
    return !cluster_pod_get(((struct scheduler *)data)->cluster, uid, &known);
}

static void synced(void *data)
{
    struct scheduler *s = data;
    cluster_sweep_end(s->cluster);
    waiting_sweep_end(s);
    g_hash_table_foreach_remove(s->mig_texts, holds_nothing, s);
    waiting_capacity_changed(s);
    bool first = !s->pods_synced;
    s->pods_synced = s->pods_live = true;
    leader_saw_list(s);
    if (s->marker_listed && s->marker)
        leader_saw_marker(s, s->marker);
    if (!first)
        return;
    g_autofree char *n = g_strdup_printf("%u", cluster_pod_count(s->cluster));
    log_line(LOG_INFO, "pods-synced", "with_cards", n, NULL);
    scheduler_became_ready(s);
}

static void failed(void *data, const GError *error)
{
    scheduler_watch_failed(data, "pods", error);
}

void pods_start(struct scheduler *s)
{
    static const struct kube_watch_vtable vtable = {begin, object_event, synced, failed};
    s->pod_watch =
        kube_watch_new(s->client, &(struct kube_watch_options){.path = "/api/v1/pods"}, &vtable, s);
    kube_watch_start(s->pod_watch);
}

void pods_stop(struct scheduler *s)
{
    g_clear_pointer(&s->pod_watch, kube_watch_free);
}

void pods_listed_again(struct scheduler *s, const char *json, size_t len)
{
    struct pod_object p;
    const char *why;
    bool ended, was_live = s->pods_live;
    s->pods_live = false;
    ended =
        pod_object_parse_leniently(s->reader, json, len, &p, &why) && g_hash_table_contains(s->ended, p.uid);
    pod_object_clear(&p);
    if (!ended)
        apply(s, KUBE_MODIFIED, json, len, true);
    s->pods_live = was_live;
}
