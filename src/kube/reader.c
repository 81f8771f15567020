/* SPDX-License-Identifier: Apache-2.0
 *
 * See reader.h.
 */
#include "kube/reader.h"

#define CHUNK (32u << 10)

enum kube_reader kube_reader_fill(GInputStream *in, GByteArray *buffer, size_t max, size_t share,
                                  GError **error)
{
    for (size_t taken = 0; taken < share;) {
        GError *why = NULL;
        guint used = buffer->len;
        g_byte_array_set_size(buffer, used + CHUNK);
        gssize n = g_pollable_input_stream_read_nonblocking(G_POLLABLE_INPUT_STREAM(in), buffer->data + used,
                                                            CHUNK, NULL, &why);
        g_byte_array_set_size(buffer, used + (guint)MAX(n, 0));
        if (n == 0)
            return KUBE_READER_END;
        if (n < 0) {
            if (g_error_matches(why, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK)) {
                g_error_free(why);
                return KUBE_READER_WAIT;
            }
            g_propagate_error(error, why);
            return KUBE_READER_FAILED;
        }
        if (buffer->len > max)
            return KUBE_READER_FULL;
        taken += (size_t)n;
    }
    return KUBE_READER_MORE;
}

GSource *kube_reader_wait(GInputStream *in, GCancellable *cancellable, GMainContext *context,
                          GPollableSourceFunc callback, void *data)
{
    GSource *source = g_pollable_input_stream_create_source(G_POLLABLE_INPUT_STREAM(in), cancellable);
    g_source_set_callback(source, G_SOURCE_FUNC(callback), data, NULL);
    g_source_attach(source, context);
    return source;
}

static const char socket_key[] = "kube-socket";

void kube_reader_set_socket(GInputStream *in, GSocket *socket)
{
    if (socket)
        g_object_set_data_full(G_OBJECT(in), socket_key, g_object_ref(socket), g_object_unref);
}

GSource *kube_reader_watch(GInputStream *in, GMainContext *context, GUnixFDSourceFunc callback, void *data)
{
    GSocket *socket = g_object_get_data(G_OBJECT(in), socket_key);
    if (!socket || g_socket_is_closed(socket))
        return NULL;
    GSource *source = g_unix_fd_source_new(g_socket_get_fd(socket), G_IO_IN | G_IO_HUP | G_IO_ERR);
    g_source_set_can_recurse(source, TRUE); /* else it is taken out of the loop meanwhile */
    g_source_set_callback(source, G_SOURCE_FUNC(callback), data, NULL);
    g_source_attach(source, context);
    return source;
}

void kube_reader_abandon(GInputStream *in)
{
    g_autoptr(GCancellable) cancelled = g_cancellable_new();
    g_cancellable_cancel(cancelled);
    g_input_stream_close(in, cancelled, NULL);
    g_object_unref(in);
}
