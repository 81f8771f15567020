/* SPDX-License-Identifier: Apache-2.0
 *
 * Any bytes as LIBCUDA_LOG_LEVEL: a digit is that level, more digits are the
 * most talkative, and what does not begin with one raises nothing.
 */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "preload/log.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    char *text = malloc(n + 1);
    memcpy(text, data, n);
    text[n] = '\0';
    int level = log_level_parse(text);
    bool digit = text[0] >= '0' && text[0] <= '9';
    if (level < 0 || level > 9 || (!digit && level != LOG_ERROR))
        abort();
    if (digit && !text[1] && level != text[0] - '0')
        abort();
    free(text);
    return 0;
}
