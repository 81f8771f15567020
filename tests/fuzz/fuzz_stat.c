/* SPDX-License-Identifier: Apache-2.0
 *
 * Any bytes as /proc/<pid>/stat, and any bytes as the name in such a text: a
 * process names itself, and must not be taken for a dead one by it.
 */
#include <stdlib.h>
#include <string.h>

#include "region/identity.h"
#include "tests/fuzz/fuzz.h"

#define BEFORE "4711 ("
#define AFTER ") S 1 4711 4711 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 3 0 98765 10 11 12\n"

static void as_a_name(const uint8_t *name, size_t n)
{
    size_t before = strlen(BEFORE), after = strlen(AFTER);
    char *text = malloc(before + n + after), state = 0;
    uint64_t threads = 0, start = 0;
    memcpy(text, BEFORE, before);
    memcpy(text + before, name, n);
    memcpy(text + before + n, AFTER, after);
    if (!region_stat_parse(text, before + n + after, &state, &threads, &start) || state != 'S' ||
        threads != 3 || start != 98765)
        abort();
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    char state = 0;
    uint64_t threads, start;
    if (region_stat_parse((const char *)data, n, &state, &threads, &start) && (!n || !memchr(data, ')', n)))
        abort();
    as_a_name(data, n);
    return 0;
}
