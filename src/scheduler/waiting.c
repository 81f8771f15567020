/* SPDX-License-Identifier: Apache-2.0
 *
 * Pods that found no place, and waking them the moment one appears.
 *
 * kube-scheduler tries an unschedulable pod again when something happens that
 * concerns it, else after minutes. It cannot know that cards were freed in our
 * ledger, or may ask before we have seen it. So when capacity comes back,
 * the waiting pods are placed once more, in order of priority and age, each on top of
 * the ones before it; those that fit now get the annotation hami.io/wake, an
 * update that makes kube-scheduler take them up at once. No more pods are
 * woken than there is room for.
 *
 * Anyone's pods may wait, so: 1. texts are bounded one by one and together, and when the list is full the
 * namespace that has most of it gives way; 2. looking is done a few milliseconds at a time, and the next time
 * goes on where it stopped; 3. who was woken in vain (a selector that only kube-scheduler knows, or another
 * pod was faster) rests longer each time, and is looked at again when its rest ends if room came meanwhile;
 * 4. who has not been asked for lately, or is not there any more, is forgotten.
 */
#include <string.h>

#include "kube/patch.h"
#include "model/annotation.h"
#include "scheduler/service.h"

/* Beyond these kube-scheduler's own retries have to do. */
#define WAITING_COST (32u << 20) /* of all: bytes of text, */
#define POD_COST (8u << 10)      /* at least this many for each, thus 4096 pods */
#define POD_TEXT_MAX (128u << 10)
#define SETTLE_MS 5      /* what ends together is looked at together */
#define PASS_US 5000     /* then other work gets its turn, */
#define PAUSE_MS 20      /* for so long */
#define WOKEN_MS 10000   /* how long a woken pod has to come */
#define WOKEN_MAX 32     /* writes under way */
#define REST_MS 300000   /* at most */
#define FAILED_MS 5000   /* after a write that failed */
#define FORGET_MS 900000 /* kube-scheduler asks again within 5 minutes */

struct waiting {
    char *uid, *namespace_, *name;
    char *text;
    size_t len;
    int32_t priority;
    int64_t since_ms, asked_ms;
    int64_t woken_ms; /* and not asked for since; 0 = never */
    int64_t rest_until_ms;
    uint32_t vain;    /* how often it was woken in vain */
    bool passed_over; /* while it rested: room may have come */
    uint64_t round;   /* of looking, that saw it last */
    bool seen;        /* by the list of pods that is being read */
};

static struct pod_request wanted;
static struct cluster_answer answer;

static void waiting_destroy(gpointer data)
{
    struct waiting *w = data;
    g_free(w->uid);
    g_free(w->namespace_);
    g_free(w->name);
    g_free(w->text);
    g_free(w);
}

static size_t cost_of(size_t len)
{
    return MAX(len, POD_COST);
}

/* ---- room in the list ---------------------------------------------------- */

static size_t share_of(const struct scheduler *s, const char *namespace_)
{
    return GPOINTER_TO_SIZE(g_hash_table_lookup(s->waiting_shares, namespace_));
}

static void count_share(struct scheduler *s, const char *namespace_, size_t share)
{
    if (share)
        g_hash_table_replace(s->waiting_shares, g_strdup(namespace_), GSIZE_TO_POINTER(share));
    else
        g_hash_table_remove(s->waiting_shares, namespace_);
}

void waiting_remove(struct scheduler *s, const char *uid)
{
    struct waiting *w = s->waiting ? g_hash_table_lookup(s->waiting, uid) : NULL;
    if (!w)
        return;
    s->waiting_cost -= cost_of(w->len);
    count_share(s, w->namespace_, share_of(s, w->namespace_) - cost_of(w->len));
    g_hash_table_remove(s->waiting, uid);
}

static const char *largest_share(const struct scheduler *s)
{
    const char *largest = NULL;
    size_t most = 0;
    GHashTableIter i;
    gpointer name, share;
    g_hash_table_iter_init(&i, s->waiting_shares);
    while (g_hash_table_iter_next(&i, &name, &share))
        if (GPOINTER_TO_SIZE(share) > most) {
            most = GPOINTER_TO_SIZE(share);
            largest = name;
        }
    return largest;
}

/* Of the namespace's pods the least important, of those the last to come. */
static struct waiting *least_of(const struct scheduler *s, const char *namespace_)
{
    struct waiting *least = NULL;
    GHashTableIter i;
    gpointer value;
    g_hash_table_iter_init(&i, s->waiting);
    while (g_hash_table_iter_next(&i, NULL, &value)) {
        struct waiting *w = value;
        if (strcmp(w->namespace_, namespace_) == 0 &&
            (!least || w->priority < least->priority ||
             (w->priority == least->priority && w->since_ms > least->since_ms)))
            least = w;
    }
    return least;
}

static bool make_room(struct scheduler *s, const char *namespace_, size_t cost)
{
    while (s->waiting_cost + cost > WAITING_COST) {
        const char *largest = largest_share(s);
        if (!largest || share_of(s, largest) <= share_of(s, namespace_) + cost)
            return false;
        waiting_remove(s, least_of(s, largest)->uid);
    }
    return true;
}

/* The first time another may just have been faster. */
static int64_t rest_ms(uint32_t vain)
{
    return vain < 2 ? 0 : MIN((int64_t)WOKEN_MS << MIN(vain - 2, 8), REST_MS);
}

void waiting_add(struct scheduler *s, const struct pod_request *r, const char *pod, size_t len)
{
    int64_t now = scheduler_now_ms();
    if (!s->waiting) {
        s->waiting = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, waiting_destroy);
        s->waiting_shares = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    }
    struct waiting *old = g_hash_table_lookup(s->waiting, r->uid);
    struct waiting *w = g_new0(struct waiting, 1);
    *w = (struct waiting){.since_ms = now, .asked_ms = now, .priority = r->priority, .seen = true};
    if (old) {
        w->since_ms = old->since_ms;
        w->vain = old->vain + (old->woken_ms != 0);
        w->rest_until_ms = old->woken_ms ? now + rest_ms(w->vain) : old->rest_until_ms;
        waiting_remove(s, r->uid);
    }
    if (len > POD_TEXT_MAX || !make_room(s, r->namespace_, cost_of(len))) {
        g_free(w);
        return;
    }
    w->uid = g_strdup(r->uid);
    w->namespace_ = g_strdup(r->namespace_);
    w->name = g_strdup(r->name);
    w->text = g_memdup2(pod, len);
    w->len = len;
    s->waiting_cost += cost_of(len);
    count_share(s, w->namespace_, share_of(s, w->namespace_) + cost_of(len));
    g_hash_table_replace(s->waiting, w->uid, w);
}

/* ---- whether they are still there ------------------------------------------ */

static void remove_if(struct scheduler *s, bool (*is_over)(const struct waiting *w, int64_t now_ms))
{
    g_autoptr(GPtrArray) over = g_ptr_array_new_with_free_func(g_free);
    int64_t now = scheduler_now_ms();
    GHashTableIter i;
    gpointer value;
    if (!s->waiting)
        return;
    g_hash_table_iter_init(&i, s->waiting);
    while (g_hash_table_iter_next(&i, NULL, &value))
        if (is_over(value, now))
            g_ptr_array_add(over, g_strdup(((struct waiting *)value)->uid));
    for (guint k = 0; k < over->len; k++)
        waiting_remove(s, over->pdata[k]);
}

static bool is_forgotten(const struct waiting *w, int64_t now_ms)
{
    return now_ms - w->asked_ms > FORGET_MS;
}

static bool is_unseen(const struct waiting *w, int64_t now_ms)
{
    (void)now_ms;
    return !w->seen;
}

void waiting_sweep_begin(struct scheduler *s)
{
    GHashTableIter i;
    gpointer value;
    if (!s->waiting)
        return;
    g_hash_table_iter_init(&i, s->waiting);
    while (g_hash_table_iter_next(&i, NULL, &value))
        ((struct waiting *)value)->seen = false;
}

bool waiting_seen(struct scheduler *s, const char *uid)
{
    struct waiting *w = s->waiting ? g_hash_table_lookup(s->waiting, uid) : NULL;
    if (w)
        w->seen = true;
    return w != NULL;
}

int64_t waiting_ms(const struct scheduler *s, const char *uid)
{
    const struct waiting *w = s->waiting ? g_hash_table_lookup(s->waiting, uid) : NULL;
    return w ? scheduler_now_ms() - w->since_ms : 0;
}

void waiting_sweep_end(struct scheduler *s)
{
    remove_if(s, is_unseen);
}

/* ---- waking -------------------------------------------------------------- */

static int by_priority_and_age(gconstpointer a, gconstpointer b)
{
    const struct waiting *x = *(struct waiting *const *)a, *y = *(struct waiting *const *)b;
    if (x->priority != y->priority)
        return x->priority > y->priority ? -1 : 1;
    return (x->since_ms > y->since_ms) - (x->since_ms < y->since_ms);
}

/* A write under way. */
struct call {
    struct scheduler *s;
    char *uid, *pod;
};

static gboolean look(gpointer data);

static gboolean due(gpointer data)
{
    struct scheduler *s = data;
    s->due_timer = 0;
    if (!s->wake_timer)
        s->wake_timer = g_timeout_add(SETTLE_MS, look, s);
    return G_SOURCE_REMOVE;
}

/* The end of the first rest in which somebody was passed over, or of the first
 * time that a woken pod has to come: its room is another's then. */
static void look_when_due(struct scheduler *s)
{
    int64_t now = scheduler_now_ms(), at = INT64_MAX;
    GHashTableIter i;
    gpointer value;
    g_hash_table_iter_init(&i, s->waiting);
    while (g_hash_table_iter_next(&i, NULL, &value)) {
        const struct waiting *w = value;
        if (w->passed_over)
            at = MIN(at, w->rest_until_ms);
        if (w->woken_ms)
            at = MIN(at, w->woken_ms + WOKEN_MS);
    }
    g_clear_handle_id(&s->due_timer, g_source_remove);
    if (at != INT64_MAX)
        s->due_timer = g_timeout_add((guint)MAX(at + 1 - now, 1), due, s);
}

/* It cannot have heard of it. */
static void wake_failed(struct scheduler *s, const char *uid)
{
    struct waiting *w = s->waiting ? g_hash_table_lookup(s->waiting, uid) : NULL;
    if (!w || !w->woken_ms)
        return;
    w->woken_ms = 0;
    w->rest_until_ms = scheduler_now_ms() + FAILED_MS;
    w->passed_over = true;
    look_when_due(s);
}

static void woken(GObject *source, GAsyncResult *result, gpointer data)
{
    struct call *call = data;
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) done = kube_request_finish(result, NULL, &error);
    (void)source;
    call->s->waking--;
    if (done)
        log_line(LOG_INFO, "woken", "pod", call->pod, NULL);
    else if (g_error_matches(error, KUBE_ERROR, KUBE_ERROR_NOT_FOUND) ||
             g_error_matches(error, KUBE_ERROR, KUBE_ERROR_CONFLICT)) /* gone, or another of its name */
        waiting_remove(call->s, call->uid);
    else {
        log_line(LOG_WARN, "wake-failed", "pod", call->pod, "why", error->message, NULL);
        wake_failed(call->s, call->uid);
    }
    g_free(call->uid);
    g_free(call->pod);
    g_free(call);
}

static void wake(struct scheduler *s, struct waiting *w)
{
    g_autofree char *now = g_strdup_printf("%" G_GINT64_FORMAT, g_get_real_time() / 1000);
    struct kube_annotation a = {annotation_wake, now};
    struct kube_target target = {w->namespace_, w->name, w->uid, NULL};
    w->woken_ms = scheduler_now_ms();
    s->count.wakes++;
    struct call *call = g_new(struct call, 1);
    *call = (struct call){s, g_strdup(w->uid), g_strdup_printf("%s/%s", w->namespace_, w->name)};
    s->waking++;
    kube_patch_async(s->client, &target, &a, NULL, woken, call);
}

static bool collect(ClusterNode n, void *data)
{
    g_array_append_val((GArray *)data, n);
    return true;
}

/* Places the pod for a moment, so that the next one sees it there. */
static bool fits_now(struct scheduler *s, const struct waiting *w, const GArray *nodes)
{
    struct pod_object pod;
    const char *fault;
    g_autofree char *why = NULL;
    bool fits = false;
    if (!pod_object_parse(s->reader, w->text, w->len, &pod, &fault))
        return false;
    if (vendor_request_parse(s->families, &pod, &s->defaults, &wanted, NULL, &why)) {
        cluster_place(s->cluster, &wanted, (const ClusterNode *)(const void *)nodes->data, nodes->len,
                      &answer);
        fits = answer.reason == SCHED_FITS && cluster_reserve(s->cluster, &wanted, &answer, INT64_MAX);
        pod_request_clear(&wanted);
    }
    pod_object_clear(&pod);
    return fits;
}

/* One pass, with what it placed for a moment. */
struct pass {
    struct scheduler *s;
    GPtrArray *order, *placed;
    GArray *nodes;
    int64_t now, until_us;
};

static bool place(struct pass *p, struct waiting *w)
{
    struct cluster_pod known;
    if (cluster_pod_get(p->s->cluster, w->uid, &known) || !fits_now(p->s, w, p->nodes))
        return false;
    g_ptr_array_add(p->placed, w->uid);
    return true;
}

static bool is_over(const struct pass *p)
{
    return g_get_monotonic_time() > p->until_us || p->s->waking >= WOKEN_MAX;
}

static bool is_coming(const struct waiting *w)
{
    return w->woken_ms != 0;
}

/* Who was woken and did not come was woken in vain. */
static void stop_expecting(struct waiting *w, int64_t now_ms)
{
    if (!w->woken_ms || now_ms - w->woken_ms <= WOKEN_MS)
        return;
    w->woken_ms = 0;
    w->vain++;
    w->rest_until_ms = now_ms + rest_ms(w->vain);
}

/* False when time ran out. Who was woken and has not come yet keeps the room. */
static bool look_at_all(struct pass *p)
{
    for (guint k = 0; k < p->order->len; k++) {
        struct waiting *w = p->order->pdata[k];
        stop_expecting(w, p->now);
        if (is_coming(w)) {
            place(p, w);
            if (is_over(p))
                return false;
        }
    }
    for (guint k = 0; k < p->order->len; k++) {
        struct waiting *w = p->order->pdata[k];
        if (w->round == p->s->wake_round || is_coming(w))
            continue;
        w->passed_over = w->rest_until_ms > p->now;
        if (w->passed_over)
            continue;
        w->round = p->s->wake_round;
        if (place(p, w))
            wake(p->s, w);
        if (is_over(p))
            return false;
    }
    return true;
}

static gboolean look(gpointer data)
{
    struct scheduler *s = data;
    g_autoptr(GPtrArray) order = g_ptr_array_new(), placed = g_ptr_array_new();
    g_autoptr(GArray) nodes = g_array_new(FALSE, FALSE, sizeof(ClusterNode));
    struct pass pass = {.s = s,
                        .order = order,
                        .placed = placed,
                        .nodes = nodes,
                        .now = scheduler_now_ms(),
                        .until_us = g_get_monotonic_time() + PASS_US};
    uint64_t before = cluster_freed(s->cluster);
    GHashTableIter i;
    gpointer value;
    s->wake_timer = 0;
    if (!scheduler_may_decide(s))
        return G_SOURCE_REMOVE;
    if (!s->wake_unfinished) {
        s->wake_round++;
        s->freed_seen = before;
        remove_if(s, is_forgotten);
    }
    g_hash_table_iter_init(&i, s->waiting);
    while (g_hash_table_iter_next(&i, NULL, &value))
        g_ptr_array_add(order, value);
    g_ptr_array_sort(order, by_priority_and_age);
    cluster_node_each(s->cluster, collect, nodes);
    s->wake_unfinished = !look_at_all(&pass);
    for (guint k = 0; k < placed->len; k++)
        cluster_release(s->cluster, placed->pdata[k]);
    s->freed_seen += cluster_freed(s->cluster) - before; /* our own doing */
    if (s->wake_unfinished)
        s->wake_timer = g_timeout_add(PAUSE_MS, look, s);
    else
        waiting_capacity_changed(s);
    look_when_due(s);
    return G_SOURCE_REMOVE;
}

void waiting_capacity_changed(struct scheduler *s)
{
    if (s->wake_timer || !s->waiting || g_hash_table_size(s->waiting) == 0 ||
        cluster_freed(s->cluster) == s->freed_seen)
        return;
    s->wake_timer = g_timeout_add(SETTLE_MS, look, s);
}

void waiting_free(struct scheduler *s)
{
    g_clear_handle_id(&s->wake_timer, g_source_remove);
    g_clear_handle_id(&s->due_timer, g_source_remove);
    g_clear_pointer(&s->waiting, g_hash_table_unref);
    g_clear_pointer(&s->waiting_shares, g_hash_table_unref);
}

void waiting_append(GString *out, void *data)
{
    struct scheduler *s = data;
    GHashTableIter i;
    gpointer value;
    bool first = true;
    if (!s->waiting)
        return;
    g_hash_table_iter_init(&i, s->waiting);
    while (g_hash_table_iter_next(&i, NULL, &value)) {
        const struct waiting *w = value;
        g_string_append(out, first ? "\n" : ",\n");
        g_string_append_len(out, w->text, (gssize)w->len);
        first = false;
    }
}
