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

SoupSession *kube_session_new(const struct kube_config *config, const struct kube_client_options *options,
                              GError **error);

/* A message for one attempt; NULL and KUBE_ERROR_INVALID for a path or query
 * that is none. `stream`: the answer has no end. Caller unrefs. */
SoupMessage *kube_session_message(const struct kube_config *config, const char *method, const char *path,
                                  const char *query, bool stream, GError **error);

/* A failure below HTTP as KUBE_ERROR. Consumes `error`. */
GError *kube_session_error(const struct kube_config *config, SoupMessage *message, GError *error);

#endif
