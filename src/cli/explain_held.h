/* SPDX-License-Identifier: Apache-2.0
 *
 * What keeps a pod waiting besides its cards: gates, another scheduler, a
 * misspelt resource, and what kube-scheduler said of it last (conditions of a
 * pod's status, and its spec, of the Kubernetes API v1).
 */
#ifndef HAMI_CLI_EXPLAIN_HELD_H
#define HAMI_CLI_EXPLAIN_HELD_H

#include "model/family.h"

#include <glib.h>

/* Of a pod's text as the API server writes it: sentences (owned), without
 * control characters, the most certain first; none when nothing is known. */
GPtrArray *explain_held(const struct family_set *families, const char *text);

#endif
