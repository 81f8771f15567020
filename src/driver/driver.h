/* SPDX-License-Identifier: Apache-2.0
 *
 * The management library, asked in a helper process with a deadline: it may
 * hang, crash or leak, and must not take us along. Every function blocks for at
 * most its deadline and may be called from any thread.
 */
#ifndef HAMI_DRIVER_DRIVER_H
#define HAMI_DRIVER_DRIVER_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#define DRIVER_CARDS 64
#define DRIVER_UUID_BYTES 96
#define DRIVER_NO_LIMIT UINT64_MAX

/* Which driver: the system's, or a simulated one in a folder of its own. */
struct driver_source {
    const char *helper;    /* this executable */
    const char *directory; /* of the simulated libraries; NULL = the system's driver */
    const char *profile;   /* of the simulated machine; NULL = what the environment says */
    const char *state;     /* its state file; NULL = its default */
    unsigned deadline_ms;  /* 0 = 10 s */
};

struct driver_card {
    char uuid[DRIVER_UUID_BYTES];
    char name[96];
    char bus_id[32];
    uint32_t card;  /* physical card: index of the handle the slice of a MIG card belongs to */
    uint32_t index; /* the library's */
    uint64_t mem_bytes;
    uint64_t used_bytes;
    int32_t numa_node; /* -1 = unknown */
    uint32_t healthy;
    uint32_t is_mig;
    uint32_t unified; /* memory is the system's */
};

struct driver_inventory {
    uint32_t n;
    uint32_t can_limit; /* the per-cgroup memory limits exist */
    uint32_t n_silent;  /* cards that are counted and do not tell even their UUID: fallen off the bus */
    uint8_t silent[DRIVER_CARDS]; /* their numbers */
    char driver_version[80];
    struct driver_card cards[DRIVER_CARDS];
    uint8_t level[DRIVER_CARDS][DRIVER_CARDS]; /* nearest common bridge, NVML's numbers */
    uint8_t links[DRIVER_CARDS][DRIVER_CARDS]; /* NVLinks between the pair */
};

/* Fails with STATUS_NO_DRIVER. The message says what to do. */
bool driver_discover(const struct driver_source *source, struct driver_inventory *ret, GError **error);

/* The driver's own memory limit of a control group on one card (root).
 * hard_bytes DRIVER_NO_LIMIT lifts it. cgroup is the full path of its folder. */
bool driver_set_limit(const struct driver_source *source, const char *uuid, const char *cgroup,
                      uint64_t hard_bytes, GError **error);

struct driver_limit {
    uint64_t hard_bytes;
    uint64_t used_bytes;
};
bool driver_get_limit(const struct driver_source *source, const char *uuid, const char *cgroup,
                      struct driver_limit *ret, GError **error);

/* The helper's own main: `hami __driver WHAT ...` answers on standard output.
 * Returns the exit status. */
int driver_helper_main(int argc, char **argv);

#endif
