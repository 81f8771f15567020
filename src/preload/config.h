/* SPDX-License-Identifier: Apache-2.0
 *
 * What /overrideEnv, the environment and pid 1's environment say about this
 * process's slice. All three may be written by the workload: the parsers bound
 * everything, and what they say counts only where no grant and no region does.
 */
#ifndef HAMI_PRELOAD_CONFIG_H
#define HAMI_PRELOAD_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "region/grant.h"
#include "region/region.h"

#define CONFIG_OVERRIDE_PATH "/overrideEnv"
#define CONFIG_PID1_PATH "/proc/1/environ"
#define CONFIG_CACHE_PATH "/tmp/cudevshr.cache"
#define CONFIG_PATH_MAX 1024

/* Bytes: decimal, blanks around, an exact fraction, K M G with optional i and
 * B, all binary. 0 = nothing usable (which means unset). */
uint64_t config_parse_bytes(const char *text, size_t n);

/* Percent: as bytes, and a percent sign is welcome. 0 = nothing usable. */
uint64_t config_parse_percent(const char *text, size_t n);

enum grant_policy config_parse_policy(const char *text, size_t n);
int32_t config_parse_priority(const char *text, size_t n);
bool config_parse_bool(const char *text, size_t n);

/* Where a setting may come from, in the order of precedence. A text is a
 * block of KEY=VALUE lines (override) or strings (environ). */
struct config_texts {
    const char *override;
    size_t override_bytes;
    char *const *environment; /* as environ; may be NULL */
    const char *pid1;
    size_t pid1_bytes;
};

struct config {
    char cache_path[CONFIG_PATH_MAX];
    bool cache_named; /* somebody named it: the slice is somebody's, not a default */
    uint64_t mem_bytes[REGION_DEVICES];
    uint32_t cores_pct[REGION_DEVICES]; /* 1..99; 0 = unlimited */
    enum grant_policy policy;
    int32_t priority;
    bool oversubscribe;
    enum region_source source; /* of the limits */
};

/* Pure: no file, no environment of its own. Unusable values are logged. */
void config_parse(const struct config_texts *texts, struct config *ret);

/* Reads the three places of this process and parses them. */
void config_read(struct config *ret);

#endif
