/* SPDX-License-Identifier: Apache-2.0
 *
 * Any bytes as the reply of the host-pid broker: a pid that Linux could give, or
 * none; what is written in either form comes out again.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "region/identity.h"
#include "tests/fuzz/fuzz.h"

enum { PID_LIMIT = 1 << 22 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    int32_t pid = region_hostpid_parse((const char *)data, n);
    if (pid < 0 || pid >= PID_LIMIT)
        abort();
    if (pid) {
        char text[16], binary[sizeof pid];
        int length = snprintf(text, sizeof text, "%d\n", pid);
        memcpy(binary, &pid, sizeof pid);
        if (region_hostpid_parse(text, (size_t)length) != pid ||
            region_hostpid_parse(binary, sizeof binary) != pid)
            abort();
    }
    return 0;
}
