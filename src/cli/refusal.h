/* SPDX-License-Identifier: Apache-2.0
 *
 * Words for a request that does not fit: each card's reason and what would.
 */
#ifndef HAMI_CLI_REFUSAL_H
#define HAMI_CLI_REFUSAL_H

#include "cli/cli.h"
#include "local/launch.h"

/* On standard error. Who has waited is not told to. */
void refusal_print(const struct verb *v, const struct request *r, const struct launch_refusal *refusal,
                   bool waited);
json_t *refusal_json(const struct request *r, const struct launch_refusal *refusal);

#endif
