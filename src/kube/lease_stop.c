/* SPDX-License-Identifier: Apache-2.0
 *
 * Giving a lease back: the one way from stop to done. What is under way is
 * waited for first, as its answer is the object that the release goes out from.
 */
#include "kube/client_private.h"
#include "kube/lease_private.h"

static void stop_done(KubeLease *l)
{
    void (*done)(void *data) = l->done;
    kube_lease_drop_source(&l->stop_timer);
    l->stopped = true;
    l->done = NULL;
    if (done)
        done(l->done_data);
}

static void release(KubeLease *l)
{
    if (l->term.object && kube_lease_is_mine(l) && l->releases++ < 3)
        kube_lease_send(l, KUBE_LEASE_RELEASE);
    else
        stop_done(l);
}

void kube_lease_stop_answer(KubeLease *l, enum flight flight, GBytes *body, const GError *error)
{
    struct kube_lease_record record;
    json_t *object = flight != RELEASING ? kube_lease_read_body(body, &record, NULL) : NULL;
    if (l->stopped) {
        json_decref(object);
    } else if (object) {
        kube_lease_observe(l, object, &record);
        release(l);
    } else if (flight != LOOKING && !body && kube_lease_is_race(error)) {
        kube_lease_look(l);
    } else {
        stop_done(l);
    }
}

static gboolean on_stop_timer(void *data)
{
    KubeLease *l = data;
    l->references++;
    stop_done(l);
    kube_lease_unref(l);
    return G_SOURCE_REMOVE;
}

void kube_lease_stop(KubeLease *l, void (*done)(void *data), void *data)
{
    if (l->stopping)
        return;
    l->references++;
    l->stopping = true;
    l->done = done;
    l->done_data = data;
    kube_lease_drop_source(&l->timer);
    g_clear_pointer(&l->watch, kube_watch_free);
    l->stop_timer = kube_client_timer(l->client, (gint64)KUBE_LEASE_STOP_MS * 1000, on_stop_timer, l);
    kube_lease_lose(l);
    if (!l->freed && l->flight == NOTHING)
        release(l);
    kube_lease_unref(l);
}
