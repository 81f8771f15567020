/* SPDX-License-Identifier: Apache-2.0
 *
 * What SoupServer reads a connection through. libsoup 3.2 forgets a connection
 * whose client leaves between two requests: no message is under way that could
 * end it, and its objects and descriptor stay until the server goes. Here the
 * end of an idle connection looks like a broken request, which ends it.
 * For src/net only.
 */
#ifndef HAMI_NET_HTTP_STREAM_H
#define HAMI_NET_HTTP_STREAM_H

#include <gio/gio.h>
#include <stdbool.h>

/* Over `base`, which is referenced; `socket` is shut down at an idle end, so
 * that no answer to the broken request goes out. */
GIOStream *http_stream_new(GIOStream *base, GSocket *socket);

/* Whether no request is under way. */
void http_stream_set_idle(GIOStream *stream, bool idle);

#endif
