/* SPDX-License-Identifier: Apache-2.0
 *
 * Any bytes as /overrideEnv. Whatever it says, an environment that is asked
 * after it still counts where the file is silent.
 */
#include <stdlib.h>
#include <string.h>

#include "preload/config.h"
#include "preload/log.h"
#include "tests/fuzz/fuzz.h"

void log_line(enum log_level level, const char *file, int line, const char *format, ...)
{
    (void)level, (void)file, (void)line, (void)format;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static char limit[] = "CUDA_DEVICE_MEMORY_LIMIT=1g", *const environment[] = {limit, NULL};
    char *text = malloc(n ? n : 1); /* exact size: reading beyond it is seen */
    struct config alone, with;
    memcpy(text, data, n);
    struct config_texts texts = {.override = text, .override_bytes = n};
    config_parse(&texts, &alone);
    texts.environment = environment;
    config_parse(&texts, &with);
    for (unsigned d = 0; d < REGION_DEVICES; d++) {
        uint64_t expected = alone.mem_bytes[d] ? alone.mem_bytes[d] : UINT64_C(1) << 30;
        if (with.mem_bytes[d] != expected || with.cores_pct[d] != alone.cores_pct[d] ||
            with.cores_pct[d] > 99)
            abort();
    }
    if (!memchr(alone.cache_path, '\0', sizeof alone.cache_path))
        abort();
    free(text);
    return 0;
}
