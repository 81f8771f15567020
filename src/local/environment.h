/* SPDX-License-Identifier: Apache-2.0
 *
 * The environment of a workload.
 */
#ifndef HAMI_LOCAL_ENVIRONMENT_H
#define HAMI_LOCAL_ENVIRONMENT_H

#include "local/ledger.h"
#include "local/paths.h"

/* Ours with the slice's words. Caller frees with g_strfreev(). */
char **environment_of(const struct paths *p, const struct ledger_slice *s);

#endif
