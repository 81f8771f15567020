/* SPDX-License-Identifier: Apache-2.0
 *
 * The HTTP side of a client: connections, TLS, and what an error of theirs
 * means. For src/kube only.
 */
#ifndef HAMI_KUBE_SESSION_H
#define HAMI_KUBE_SESSION_H

#include <libsoup/soup.h>
#include <stdbool.h>

#include "kube/client.h"

/* What signs the server's certificate; NULL without an error where no TLS is spoken. Caller unrefs. */
GTlsDatabase *kube_session_anchors(const struct kube_config *config, GError **error);
SoupSession *kube_session_new(const struct kube_config *config, const struct kube_client_options *options,
                              GTlsDatabase *anchors, unsigned connections);

/* A message for one attempt; NULL and KUBE_ERROR_INVALID for a path or query
 * that is none. `stream`: the answer has no end. Caller unrefs. */
SoupMessage *kube_session_message(const struct kube_config *config, const char *method, const char *path,
                                  const char *query, bool stream, GError **error);

/* Of a stream that was answered: the socket that it comes on; NULL if unknown. Borrowed from the message. */
GSocket *kube_session_socket(SoupMessage *message);

/* A failure below HTTP as KUBE_ERROR. Consumes `error`. */
GError *kube_session_error(const struct kube_config *config, SoupMessage *message, GError *error);

#endif
