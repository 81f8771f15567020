/* SPDX-License-Identifier: Apache-2.0
 *
 * Any bytes as a grant file. What is accepted must be writable again, and what
 * was written must be read as the same grant.
 */
#include <stdlib.h>
#include <string.h>

#include "region/grant.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static char text[GRANT_FILE_BYTES];
    static struct grant first, second;
    struct grant_error error;
    if (grant_parse((const char *)data, n, &first, &error) < 0) {
        if (memchr(error.reason, '\0', sizeof error.reason) == NULL || error.reason[0] == '\0')
            abort();
        return 0;
    }
    /* Keys left out are written with their defaults, which may be too long. */
    if (grant_format(&first, text) < 0)
        return 0;
    if (grant_parse(text, sizeof text, &second, &error) < 0 || memcmp(&first, &second, sizeof first) != 0)
        abort();
    return 0;
}
