/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading a stream into a bounded buffer without blocking and without a turn of
 * the main loop per piece. For src/kube only.
 */
#ifndef HAMI_KUBE_READER_H
#define HAMI_KUBE_READER_H

#include <gio/gio.h>
#include <glib-unix.h>

enum kube_reader {
    KUBE_READER_WAIT,   /* all that was there is read */
    KUBE_READER_MORE,   /* the share of this turn is used up */
    KUBE_READER_END,    /* the stream is complete */
    KUBE_READER_FULL,   /* more than `max` bytes */
    KUBE_READER_FAILED, /* *error says why */
};

/* Appends at most `share` bytes. */
enum kube_reader kube_reader_fill(GInputStream *in, GByteArray *buffer, size_t max, size_t share,
                                  GError **error);

/* Calls back once when there is something to read, or when cancelled (may be
 * NULL). A new one for each time: streams that buffer decide when their source
 * is made whether it waits or is always ready. Caller destroys and unrefs. */
GSource *kube_reader_wait(GInputStream *in, GCancellable *cancellable, GMainContext *context,
                          GPollableSourceFunc callback, void *data);

/* For streams that last: remembers the socket below (referenced, may be NULL) with the stream. */
void kube_reader_set_socket(GInputStream *in, GSocket *socket);
/* Calls back each time there is something to read, until it returns G_SOURCE_REMOVE; NULL where the socket is
 * not known. Only after KUBE_READER_WAIT, when nothing is left in between. GLib's source for a stream of
 * several layers takes itself out of the loop and back at each call, and wakes the loop up for each layer
 * twice. Caller destroys before the stream is closed, and unrefs. */
GSource *kube_reader_watch(GInputStream *in, GMainContext *context, GUnixFDSourceFunc callback, void *data);

/* Closes a stream whose end nobody waits for; its connection goes with it. */
void kube_reader_abandon(GInputStream *in);

#endif
