/* SPDX-License-Identifier: Apache-2.0
 *
 * See status.h.
 */
#include "base/status.h"

G_DEFINE_QUARK(hami - status - error - quark, status_error)

int status_of_error(const GError *error)
{
    return error && error->domain == STATUS_ERROR ? error->code : STATUS_FAILED;
}
