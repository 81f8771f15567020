/* SPDX-License-Identifier: Apache-2.0
 *
 * See status.h.
 */
#include "base/status.h"

#include <string.h>

G_DEFINE_QUARK(hami - status - error - quark, status_error)

int status_of_error(const GError *error)
{
    return error && error->domain == STATUS_ERROR ? error->code : STATUS_FAILED;
}

const char *status_reason(const GError *error)
{
    const char *colon = strrchr(error->message, ':');
    return colon && colon[1] ? colon + 1 + strspn(colon + 1, " ") : error->message;
}
