/* SPDX-License-Identifier: Apache-2.0
 *
 * Any bytes as an environment: strings that end with NUL, as /proc/1/environ
 * has them. The same settings must come out whether they are found in the own
 * environment or in pid 1's, and every figure must be in its range.
 */
#include <stdlib.h>
#include <string.h>

#include "preload/config.h"
#include "preload/log.h"
#include "tests/fuzz/fuzz.h"

enum { VARIABLES_MAX = 64 };

void log_line(enum log_level level, const char *file, int line, const char *format, ...)
{
    (void)level, (void)file, (void)line, (void)format;
}

static void check(const struct config *c)
{
    if (!memchr(c->cache_path, '\0', sizeof c->cache_path) || !c->cache_path[0])
        abort();
    if (c->priority != 0 && c->priority != 1)
        abort();
    for (unsigned d = 0; d < REGION_DEVICES; d++)
        if (c->cores_pct[d] > 99 || (c->mem_bytes[d] && c->source == REGION_SOURCE_NONE))
            abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    char *text = malloc(n + 1), *variables[VARIABLES_MAX + 1];
    struct config by_pid1, by_environment;
    unsigned count = 0;
    memcpy(text, data, n);
    text[n] = '\0';
    for (size_t i = 0; i < n && count < VARIABLES_MAX; i += strlen(text + i) + 1)
        variables[count++] = text + i;
    variables[count] = NULL;
    struct config_texts texts = {.pid1 = text, .pid1_bytes = n};
    config_parse(&texts, &by_pid1);
    check(&by_pid1);
    texts = (struct config_texts){.environment = variables};
    config_parse(&texts, &by_environment);
    check(&by_environment);
    uint64_t bytes = config_parse_bytes(text, n), percent = config_parse_percent(text, n);
    if (bytes && percent && bytes != percent)
        abort();
    free(text);
    return 0;
}
