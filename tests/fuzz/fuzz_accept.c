/* SPDX-License-Identifier: Apache-2.0
 *
 * Accept-Encoding: whatever stands before it, the last word on gzip counts.
 */
#include "net/http_gzip.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

static bool asks_with(const char *text, const char *end)
{
    g_autofree char *whole = g_strconcat(text, end, NULL);
    return http_asks_for_gzip(whole);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autofree char *text = g_strndup((const char *)data, size);
    http_asks_for_gzip(text);
    if (!asks_with(text, ",gzip") || asks_with(text, ", gzip;q=0.000"))
        abort();
    return 0;
}
