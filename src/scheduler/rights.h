/* SPDX-License-Identifier: Apache-2.0
 *
 * Rights that the API server denies us, said so that whoever installs the
 * scheduler knows which line of deploy/scheduler/rbac.yaml is missing and what
 * does not work without it.
 */
#ifndef HAMI_SCHEDULER_RIGHTS_H
#define HAMI_SCHEDULER_RIGHTS_H

#include <glib.h>

struct rights;

struct rights *rights_new(void);
void rights_free(struct rights *rights);
/* A kube_client_options.refused: logs a missing right once, and again while it stays missing.
 * data: struct rights. What is refused for another reason is left to who asked. */
void rights_refused(void *data, const GError *error);

#endif
