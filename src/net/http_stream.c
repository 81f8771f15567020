/* SPDX-License-Identifier: Apache-2.0
 *
 * See http_stream.h.
 */
#include "net/http_stream.h"

#include <string.h>

static const char broken_request[] = "x\r\n\r\n";

/* The input half. */
typedef struct {
    GFilterInputStream parent;
    GSocket *socket;
    bool idle;
    bool ended;
    size_t given; /* bytes of the broken request */
} HttpInput;
typedef struct {
    GFilterInputStreamClass parent;
} HttpInputClass;

static void http_input_pollable_init(GPollableInputStreamInterface *interface, void *data);
GType http_input_get_type(void);
G_DEFINE_TYPE_WITH_CODE(HttpInput, http_input, G_TYPE_FILTER_INPUT_STREAM,
                        G_IMPLEMENT_INTERFACE(G_TYPE_POLLABLE_INPUT_STREAM, http_input_pollable_init))

#define HTTP_INPUT(object) (G_TYPE_CHECK_INSTANCE_CAST((object), http_input_get_type(), HttpInput))

static GPollableInputStream *base_of(HttpInput *in)
{
    return G_POLLABLE_INPUT_STREAM(g_filter_input_stream_get_base_stream(G_FILTER_INPUT_STREAM(in)));
}

static gssize give(HttpInput *in, void *buffer, size_t count)
{
    size_t n = MIN(count, sizeof broken_request - 1 - in->given);
    memcpy(buffer, broken_request + in->given, n);
    in->given += n;
    return (gssize)n;
}

static gssize http_input_read_nonblocking(GPollableInputStream *stream, void *buffer, gsize count,
                                          GError **error)
{
    HttpInput *in = HTTP_INPUT(stream);
    GError *why = NULL;
    if (in->ended)
        return give(in, buffer, count);
    gssize n = g_pollable_input_stream_read_nonblocking(base_of(in), buffer, count, NULL, &why);
    bool end = n == 0 || (n < 0 && !g_error_matches(why, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK));
    if (!end || !in->idle) {
        if (why)
            g_propagate_error(error, why);
        return n;
    }
    g_clear_error(&why);
    in->ended = true;
    g_socket_shutdown(in->socket, TRUE, TRUE, NULL);
    return give(in, buffer, count);
}

static gssize http_input_read(GInputStream *stream, void *buffer, gsize count, GCancellable *cancellable,
                              GError **error)
{
    GInputStream *base = g_filter_input_stream_get_base_stream(G_FILTER_INPUT_STREAM(stream));
    return g_input_stream_read(base, buffer, count, cancellable, error);
}

static gboolean http_input_can_poll(GPollableInputStream *stream)
{
    return g_pollable_input_stream_can_poll(base_of(HTTP_INPUT(stream)));
}

static gboolean http_input_is_readable(GPollableInputStream *stream)
{
    HttpInput *in = HTTP_INPUT(stream);
    return in->ended || g_pollable_input_stream_is_readable(base_of(in));
}

static GSource *http_input_create_source(GPollableInputStream *stream, GCancellable *cancellable)
{
    HttpInput *in = HTTP_INPUT(stream);
    g_autoptr(GSource) base = NULL;
    if (in->ended)
        base = g_timeout_source_new(0);
    else
        base = g_pollable_input_stream_create_source(base_of(in), NULL);
    return g_pollable_source_new_full(stream, base, cancellable);
}

static void http_input_pollable_init(GPollableInputStreamInterface *interface, void *data)
{
    (void)data;
    interface->can_poll = http_input_can_poll;
    interface->is_readable = http_input_is_readable;
    interface->create_source = http_input_create_source;
    interface->read_nonblocking = http_input_read_nonblocking;
}

static void http_input_finalize(GObject *object)
{
    g_clear_object(&HTTP_INPUT(object)->socket);
    G_OBJECT_CLASS(http_input_parent_class)->finalize(object);
}

static void http_input_class_init(HttpInputClass *class)
{
    G_OBJECT_CLASS(class)->finalize = http_input_finalize;
    G_INPUT_STREAM_CLASS(class)->read_fn = http_input_read;
}

static void http_input_init(HttpInput *in)
{
    (void)in;
}

/* Both halves. */
typedef struct {
    GIOStream parent;
    GIOStream *base;
    HttpInput *input;
} HttpStream;
typedef struct {
    GIOStreamClass parent;
} HttpStreamClass;

GType http_stream_get_type(void);
G_DEFINE_TYPE(HttpStream, http_stream, G_TYPE_IO_STREAM)

#define HTTP_STREAM(object) (G_TYPE_CHECK_INSTANCE_CAST((object), http_stream_get_type(), HttpStream))

static GInputStream *http_stream_input(GIOStream *stream)
{
    return G_INPUT_STREAM(HTTP_STREAM(stream)->input);
}

static GOutputStream *http_stream_output(GIOStream *stream)
{
    return g_io_stream_get_output_stream(HTTP_STREAM(stream)->base);
}

static gboolean http_stream_close(GIOStream *stream, GCancellable *cancellable, GError **error)
{
    return g_io_stream_close(HTTP_STREAM(stream)->base, cancellable, error);
}

static void http_stream_finalize(GObject *object)
{
    HttpStream *stream = HTTP_STREAM(object);
    g_clear_object(&stream->input);
    g_clear_object(&stream->base);
    G_OBJECT_CLASS(http_stream_parent_class)->finalize(object);
}

static void http_stream_class_init(HttpStreamClass *class)
{
    G_OBJECT_CLASS(class)->finalize = http_stream_finalize;
    G_IO_STREAM_CLASS(class)->get_input_stream = http_stream_input;
    G_IO_STREAM_CLASS(class)->get_output_stream = http_stream_output;
    G_IO_STREAM_CLASS(class)->close_fn = http_stream_close;
}

static void http_stream_init(HttpStream *stream)
{
    (void)stream;
}

GIOStream *http_stream_new(GIOStream *base, GSocket *socket)
{
    HttpStream *stream = g_object_new(http_stream_get_type(), NULL);
    stream->base = g_object_ref(base);
    stream->input = g_object_new(http_input_get_type(), "base-stream", g_io_stream_get_input_stream(base),
                                 "close-base-stream", FALSE, NULL);
    stream->input->socket = g_object_ref(socket);
    return G_IO_STREAM(stream);
}

void http_stream_set_idle(GIOStream *stream, bool idle)
{
    HTTP_STREAM(stream)->input->idle = idle;
}
