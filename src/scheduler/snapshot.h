/* SPDX-License-Identifier: Apache-2.0
 *
 * The whole ledger as one JSON document, and back: what GET /debug/snapshot
 * answers and `hami explain --snapshot FILE` asks off line.
 *
 *   {"version":1,"families":[...words],"config":"device-config.yaml text" or null,
 *    "nodes":[{"name","flags",["pairs"],["losses"],["scores"],"cards":[{...}]}],
 *    "pods":[{"uid","namespace","name","node","state","priority","started","slots":[..],"grants":[{...}]}],
 *    "quotas":[{"namespace","resource","limit"}],
 *    "waiting":[<Pod objects>]}
 *
 * A snapshot is hostile like any file: reading it checks as the registers do.
 */
#ifndef HAMI_SCHEDULER_SNAPSHOT_H
#define HAMI_SCHEDULER_SNAPSHOT_H

#include "sched/cluster.h"
#include "vendor/config.h"

struct snapshot_source {
    const struct family_set *families;
    const Cluster *cluster;
    const char *config; /* may be NULL */
    bool enable_ascend, enable_iluvatar;
    void (*append_waiting)(GString *out, void *data); /* Pod objects, comma-separated; NULL = none */
    void *data;
};

/* Caller frees with g_string_free(). */
GString *snapshot_format(const struct snapshot_source *from);

typedef struct Snapshot {
    FamilySet *families;
    Cluster *cluster;
    char **waiting; /* texts of pods, NULL-terminated */
} Snapshot;

/* NULL and error (STATUS_USAGE) naming what cannot be read. Caller frees. */
Snapshot *snapshot_parse(const char *json, size_t len, GError **error);
void snapshot_free(Snapshot *s);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Snapshot, snapshot_free)

#endif
