/* SPDX-License-Identifier: Apache-2.0
 *
 * Pods arrive, are placed as kube-scheduler places them and leave again.
 *
 *   creators -> waiting -> one filter thread -> binders -> bound -> leavers
 *
 * Filter calls are made one at a time, binds beside them. A bound pod leaves
 * when `keep` more pods came to their end, so that the load is constant. A call
 * that fails is made again later (100 ms, doubling to 2 s). A pod that fits
 * nowhere is given up at once, or with --retry after its third time.
 *
 * Invariants:
 *   1. Every pod that was created ends in exactly one of bound, unschedulable,
 *      gone and lost; lost is one that had no end when the time was over.
 *   2. Bound is what the API server says: a bind whose reply did not come is
 *      looked up there.
 */
#include <stdio.h>
#include <string.h>

#include "bench/measure.h"
#include "load.h"
#include "samples.h"
#include "verbs.h"

#define WAITING_MAX 256 /* pods between creation and their end */
#define THREADS_MAX 64

enum outcome { OUT_BOUND, OUT_UNSCHEDULABLE, OUT_GONE, OUT_LOST, OUTCOMES };

struct replay {
    const struct options *options;
    struct names names;
    struct arrival *arrivals;
    GAsyncQueue *waiting, *binding, *leaving;
    GQueue later; /* by due time; the filter thread's own */
    GMutex lock;
    GCond room;
    /* Under lock. */
    unsigned next, created, ended, out[OUTCOMES], late, filter_errors, bind_errors, no_fit;
    GQueue staying; /* bound, the oldest first */
    GArray *bound_at, *latency, *filter_latency;
    FILE *placements;
    bool all_created;
    double deadline_ns, last_end_ns;
};

static struct arrival stop_mark;

static void connect_to(struct http *http, const struct options *o, const char *url, const char *agent)
{
    http_init(http, url, agent);
    http->timeout_ms = o->timeout_s * 1000;
}

/* ---- ends */

static void note_placement(struct replay *r, const struct arrival *a, const GString *pod)
{
    static const char word[] = "\"hami.io/vgpu-devices-allocated\":\"";
    const char *at = strstr(pod->str, word);
    int size = at ? (int)strcspn(at + sizeof word - 1, "\"") : 0;
    fprintf(r->placements, "%u %s %s %.*s\n", a->number, a->shape->name, a->node, size,
            at ? at + sizeof word - 1 : "");
}

/* Bound pods whose time is over, by the order in which they were bound. Under lock. */
static struct arrival *next_leaver(struct replay *r)
{
    struct arrival *first = g_queue_peek_head(&r->staying);
    return first && first->ended_as + (unsigned)r->options->keep <= r->ended ? g_queue_pop_head(&r->staying)
                                                                             : NULL;
}

/* Takes no lock but the replay's. */
static void end(struct replay *r, struct arrival *a, enum outcome how)
{
    g_mutex_lock(&r->lock);
    r->out[how]++;
    a->ended_as = ++r->ended;
    r->last_end_ns = now_ns();
    if (how == OUT_BOUND) {
        a->bound_ns = r->last_end_ns;
        samples_add(r->bound_at, a->bound_ns);
        samples_add(r->latency, a->bound_ns - a->created_ns);
        g_queue_push_tail(&r->staying, a);
    } else if (how == OUT_UNSCHEDULABLE) {
        g_async_queue_push(r->leaving, a);
    }
    for (struct arrival *leaver; (leaver = next_leaver(r));)
        g_async_queue_push(r->leaving, leaver);
    bool over = r->all_created && r->ended == r->created;
    g_cond_broadcast(&r->room);
    g_mutex_unlock(&r->lock);
    if (over)
        g_async_queue_push(r->waiting, &stop_mark);
}

static void count(struct replay *r, unsigned *what)
{
    g_mutex_lock(&r->lock);
    ++*what;
    g_mutex_unlock(&r->lock);
}

/* ---- creators */

static struct arrival *next_arrival(struct replay *r, double begun)
{
    struct arrival *a = NULL;
    g_mutex_lock(&r->lock);
    unsigned count = (unsigned)r->options->count;
    while (r->next < count && r->created - r->ended >= WAITING_MAX && now_ns() < r->deadline_ns)
        g_cond_wait_until(&r->room, &r->lock, g_get_monotonic_time() + 100000);
    if (r->next < count && now_ns() < r->deadline_ns) {
        a = &r->arrivals[r->next++];
        r->created++;
    }
    g_mutex_unlock(&r->lock);
    double due = a && r->options->rate > 0 ? begun + a->number / r->options->rate * 1e9 : 0, now = now_ns();
    if (due > now)
        g_usleep((gulong)((due - now) / 1e3));
    return a;
}

static void *create(void *user)
{
    struct replay *r = user;
    struct http api;
    double begun = now_ns();
    connect_to(&api, r->options, r->options->api, "replay");
    for (struct arrival *a; (a = next_arrival(r, begun));) {
        bool made = false;
        a->created_ns = now_ns();
        while (!made && now_ns() < r->deadline_ns)
            if (!(made = load_create(&api, a))) {
                g_usleep(20000);
                if (load_look(&api, a) == 0) { /* the reply was lost, the pod was made */
                    load_delete(&api, a);
                    *a->node = 0;
                }
            }
        if (made)
            g_async_queue_push(r->waiting, a);
        else
            end(r, a, OUT_LOST);
    }
    http_clear(&api);
    return NULL;
}

/* ---- the filter thread */

static void ask_later(struct replay *r, struct arrival *a, double first_ms)
{
    a->due_ns = now_ns() + MIN(first_ms * (1u << MIN(a->tries, 5)), MAX(first_ms, 2000)) * 1e6;
    a->tries++;
    GList *after = r->later.tail;
    while (after && ((struct arrival *)after->data)->due_ns > a->due_ns)
        after = after->prev;
    if (after)
        g_queue_insert_after(&r->later, after, a);
    else
        g_queue_push_head(&r->later, a);
}

/* kube-scheduler would know from its watch of a pod that was bound or deleted behind its back: so does who
 * was told neither by a bind's reply nor by the look after it. True: that was its end. */
static bool has_ended(struct replay *r, struct http *api, struct arrival *a)
{
    int seen = load_look(api, a);
    if (seen != 1 && seen != -1)
        return false;
    if (seen == 1)
        count(r, &r->late);
    end(r, a, seen == 1 ? OUT_BOUND : OUT_GONE);
    return true;
}

static void filter_one(struct replay *r, struct http *extender, struct http *api, struct arrival *a,
                       size_t candidates)
{
    g_autoptr(GString) request = load_filter_request(extender, a, &r->names, candidates);
    http_connect(extender);
    double before = now_ns();
    int code = http_exchange(extender, request->str, request->len);
    double after = now_ns();
    enum verdict v =
        code == 200 ? load_filter_verdict(extender->body, a->node, sizeof a->node) : VERDICT_ERROR;
    if (v == VERDICT_NODE) {
        samples_add(r->filter_latency, after - before);
        g_async_queue_push(r->binding, a);
        return;
    }
    count(r, v == VERDICT_ERROR ? &r->filter_errors : &r->no_fit);
    if (v == VERDICT_ERROR && has_ended(r, api, a))
        return;
    bool again = v == VERDICT_ERROR || (r->options->retry && a->tries < 3);
    if (!again)
        end(r, a, OUT_UNSCHEDULABLE);
    else
        ask_later(r, a, v == VERDICT_ERROR ? 100 : 1000);
}

static struct arrival *next_waiting(struct replay *r)
{
    struct arrival *first = g_queue_peek_head(&r->later);
    double now = now_ns();
    if (first && first->due_ns <= now)
        return g_queue_pop_head(&r->later);
    double wait_us = first ? (first->due_ns - now) / 1e3 : 100000;
    return g_async_queue_timeout_pop(r->waiting, (guint64)MIN(wait_us, 100000) + 1);
}

static void *filter(void *user)
{
    struct replay *r = user;
    struct http extender, api;
    size_t n = r->options->all ? r->names.nodes->len : load_sample_size(r->names.nodes->len);
    connect_to(&extender, r->options, r->options->extender, "Go-http-client/1.1");
    connect_to(&api, r->options, r->options->api, "replay");
    for (;;) {
        struct arrival *a = next_waiting(r);
        if (a == &stop_mark || now_ns() > r->deadline_ns)
            break;
        if (!a)
            continue;
        if (a->failed_bind) {
            a->failed_bind = false;
            ask_later(r, a, 100);
        } else {
            filter_one(r, &extender, &api, a, n);
        }
    }
    http_clear(&extender);
    http_clear(&api);
    return NULL;
}

/* ---- binders and leavers */

static void *bind_pods(void *user)
{
    struct replay *r = user;
    struct http extender, api;
    connect_to(&extender, r->options, r->options->extender, "Go-http-client/1.1");
    connect_to(&api, r->options, r->options->api, "replay");
    for (struct arrival *a; (a = g_async_queue_pop(r->binding)) != &stop_mark;) {
        g_autoptr(GString) request = load_bind_request(&extender, a);
        bool bound =
            http_exchange(&extender, request->str, request->len) == 200 && load_bind_done(extender.body);
        int seen = bound && !r->placements ? 1 : load_look(&api, a);
        if (!bound)
            count(r, seen == 1 ? &r->late : &r->bind_errors);
        if (seen == 1) {
            if (r->placements) {
                g_mutex_lock(&r->lock);
                note_placement(r, a, api.body);
                g_mutex_unlock(&r->lock);
            }
            end(r, a, OUT_BOUND);
        } else if (seen == -1) {
            end(r, a, OUT_GONE);
        } else {
            a->failed_bind = true;
            g_async_queue_push(r->waiting, a);
        }
    }
    http_clear(&extender);
    http_clear(&api);
    return NULL;
}

static void *leave(void *user)
{
    struct replay *r = user;
    struct http api;
    connect_to(&api, r->options, r->options->api, "replay");
    for (struct arrival *a; (a = g_async_queue_pop(r->leaving)) != &stop_mark;)
        while (!load_delete(&api, a) && now_ns() < r->deadline_ns)
            g_usleep(20000);
    http_clear(&api);
    return NULL;
}

/* ---- all of it */

static void start_threads(GThread **threads, unsigned n, GThreadFunc run, struct replay *r)
{
    for (unsigned i = 0; i < n; i++)
        threads[i] = g_thread_new("replay", run, r);
}

static void stop_threads(GThread **threads, unsigned n, GAsyncQueue *queue)
{
    for (unsigned i = 0; queue && i < n; i++)
        g_async_queue_push(queue, &stop_mark);
    for (unsigned i = 0; i < n; i++)
        g_thread_join(threads[i]);
}

static void run(struct replay *r)
{
    GThread *creators[8], *binders[THREADS_MAX], *leavers[8], *filterer;
    unsigned n_binders = (unsigned)CLAMP(r->options->binders, 1, THREADS_MAX);
    start_threads(creators, G_N_ELEMENTS(creators), create, r);
    start_threads(binders, n_binders, bind_pods, r);
    start_threads(leavers, G_N_ELEMENTS(leavers), leave, r);
    start_threads(&filterer, 1, filter, r);
    stop_threads(creators, G_N_ELEMENTS(creators), NULL);
    g_mutex_lock(&r->lock);
    r->all_created = true;
    bool over = r->ended == r->created;
    g_mutex_unlock(&r->lock);
    if (over)
        g_async_queue_push(r->waiting, &stop_mark);
    g_thread_join(filterer);
    stop_threads(binders, n_binders, r->binding);
    stop_threads(leavers, G_N_ELEMENTS(leavers), r->leaving);
    r->out[OUT_LOST] += r->created - r->ended;
}

static json_t *report(struct replay *r, double span_s)
{
    json_t *latency = samples_json(r->latency), *filters = samples_json(r->filter_latency);
    return json_pack("{s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:f, s:f, s:f, s:o, s:o}", "created",
                     (int)r->created, "bound", (int)r->out[OUT_BOUND], "unschedulable",
                     (int)r->out[OUT_UNSCHEDULABLE], "gone", (int)r->out[OUT_GONE], "lost",
                     (int)r->out[OUT_LOST], "late_binds", (int)r->late, "filter_errors",
                     (int)r->filter_errors, "bind_errors", (int)r->bind_errors, "no_fit", (int)r->no_fit,
                     "seconds", span_s, "per_s", r->out[OUT_BOUND] / span_s, "middle_per_s",
                     samples_middle_rate(r->bound_at), "pod", latency, "filter", filters);
}

int verb_arrive(const struct options *o, json_t **ret_result)
{
    struct http api;
    struct replay r = {.options = o, .deadline_ns = now_ns() + o->seconds * 1e9};
    if (!o->extender || !o->api || !http_init(&api, o->api, "replay")) {
        g_printerr("replay: --extender URL and --api URL are needed\n");
        return 2;
    }
    if (!load_names(&api, &r.names) || (o->placements && !(r.placements = fopen(o->placements, "we")))) {
        g_printerr("replay: no nodes at %s, or no file %s\n", o->api, o->placements ? o->placements : "");
        return 1;
    }
    r.arrivals = g_new0(struct arrival, (size_t)o->count);
    for (int i = 0; i < o->count; i++)
        load_arrival(&r.arrivals[i], (uint64_t)o->seed, (unsigned)i, o->arrivals ? MIX_ARRIVALS : MIX_ONE);
    r.waiting = g_async_queue_new();
    r.binding = g_async_queue_new();
    r.leaving = g_async_queue_new();
    r.bound_at = samples_new();
    r.latency = samples_new();
    r.filter_latency = samples_new();
    double begun = now_ns();
    run(&r);
    *ret_result = report(&r, (r.last_end_ns - begun) / 1e9);
    if (r.placements)
        fclose(r.placements);
    GArray *arrays[] = {r.bound_at, r.latency, r.filter_latency};
    for (size_t i = 0; i < G_N_ELEMENTS(arrays); i++)
        g_array_unref(arrays[i]);
    g_async_queue_unref(r.waiting);
    g_async_queue_unref(r.binding);
    g_async_queue_unref(r.leaving);
    g_queue_clear(&r.later);
    g_queue_clear(&r.staying);
    g_free(r.arrivals);
    load_names_clear(&r.names);
    http_clear(&api);
    return r.out[OUT_LOST] ? 1 : 0;
}
