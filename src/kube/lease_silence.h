/* SPDX-License-Identifier: Apache-2.0
 *
 * Gives back, for its holder, a Lease that is not renewed any more, long before
 * its duration ends: whoever waits for it takes it at its next attempt.
 *
 * The duration of a lease has to bear an API server that is slow for seconds,
 * so it says nothing about a dead holder for as long. Here the two are told
 * apart: the lease is looked at twice, and only where the server answered both
 * times, and both times said that nobody had renewed, is it released, under the
 * precondition that this is so still. A holder that lives after all finds
 * nobody's lease, or another's.
 *
 * after_ms has to be several times what the holder leaves between two renewals;
 * where it is not, a holder that lives would lose its lease again and again. So
 * its pace is learnt, and three renewals have to be missing. Until one was seen
 * it is taken for kube-scheduler's own default.
 *
 * 1. Nothing is written less than after_ms after the renewal that was seen last.
 * 2. Whoever decides by that lease stops KUBE_SILENCE_VALID_MS() after it, and
 *    gives up within KUBE_SILENCE_WRITE_MS() what it had sent: both pass before
 *    a release is sent.
 * Main thread of the client.
 */
#ifndef HAMI_KUBE_LEASE_SILENCE_H
#define HAMI_KUBE_LEASE_SILENCE_H

#include "kube/client.h"

/* Of after_ms: five eighths and a quarter, which leaves an eighth between the last write and the release. */
#define KUBE_SILENCE_VALID_MS(after_ms) ((int64_t)(after_ms)*5 / 8)
#define KUBE_SILENCE_WRITE_MS(after_ms) ((int64_t)(after_ms) / 4)

/* Strings are copied. */
struct kube_silence_options {
    const char *namespace, *name; /* of the lease */
    uint32_t after_ms;
};

struct kube_silence_vtable {
    /* It was given back; who had it, and how long it had not been renewed. */
    void (*released)(void *data, const char *holder, int64_t silent_ms);
    /* Once for each holder: it renews every pace_ms, for which after_ms is too short. */
    void (*seldom)(void *data, const char *holder, int64_t pace_ms);
    /* Once per streak of failures. The error is borrowed. */
    void (*error)(void *data, const GError *error);
};

typedef struct kube_silence KubeSilence;

KubeSilence *kube_silence_new(KubeClient *client, const struct kube_silence_options *options,
                              const struct kube_silence_vtable *vtable, void *data);
/* The lease was seen, by a watch: who holds it ("" = nobody), and its acquireTime and renewTime as text. */
void kube_silence_seen(KubeSilence *silence, const char *holder, const char *acquired, const char *renewed);
void kube_silence_free(KubeSilence *silence);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(KubeSilence, kube_silence_free)

#endif
