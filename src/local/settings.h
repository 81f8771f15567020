/* SPDX-License-Identifier: Apache-2.0
 *
 * The configuration file: a key file ("[section]", "key = value", "#"
 * comments; values may stand in double quotes as in TOML). Its keys are the
 * rows of contract/config.def; docs/configuration.md explains them.
 */
#ifndef HAMI_LOCAL_SETTINGS_H
#define HAMI_LOCAL_SETTINGS_H

#include <glib.h>
#include <stdbool.h>

#include "local/request.h"
#include "region/grant.h"

struct settings {
    uint32_t split_count;        /* slices per card at most */
    uint32_t memory_scale_milli; /* overcommit ratios in thousandths */
    uint32_t core_scale_milli;
    char *cordon; /* comma list of UUIDs that get no new slice; NULL = none */
    struct quantity_mem memory;
    uint32_t cores_pct;
    enum request_policy policy;
    enum grant_policy core_policy;
    uint64_t grace_ms; /* between TERM and KILL */
    uint64_t driver_deadline_ms;
    bool protect;         /* use cgroup and namespace as root */
    bool driver_wall;     /* use the driver's own memory limits where they exist */
    bool user_namespaces; /* allow them inside a slice */
};

/* A missing file gives the defaults. STATUS_CONFIG with file, key and remedy. */
struct settings *settings_load(const char *path, GError **error);
void settings_free(struct settings *s);
typedef struct settings Settings;
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Settings, settings_free)

/* "default", "force", "disable"; -1 when it is none of them. */
int settings_core_policy_parse(const char *word);
const char *settings_core_policy_name(enum grant_policy policy);

#endif
