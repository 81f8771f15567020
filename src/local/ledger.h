/* SPDX-License-Identifier: Apache-2.0
 *
 * The host's ledger: which slice holds what of which card. A SQLite database
 * in write-ahead mode; every change is one transaction, so a process that is
 * killed at any instruction leaves it as it was before or after.
 *
 * Invariants:
 *   1. A slice is in the ledger before any of its files, its control group or
 *      its processes exist. What outlives its end is swept by the next command.
 *   2. Writers take the lock file first: they wait for an event and in order,
 *      not in SQLite's polling.
 *   3. What a slice's grant file says is never more than the ledger says.
 *
 * One thread; the database is opened and closed by one command.
 */
#ifndef HAMI_LOCAL_LEDGER_H
#define HAMI_LOCAL_LEDGER_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "driver/driver.h"
#include "local/request.h"
#include "region/grant.h"

#define LEDGER_SCHEMA 1
#define LEDGER_ID_BYTES 9

enum ledger_state { LEDGER_STARTING, LEDGER_RUNNING, LEDGER_ENDED };
const char *ledger_state_name(enum ledger_state state);

/* A process that can be told from a later one with the same pid. */
struct ledger_process {
    int32_t pid; /* 0 = none */
    uint64_t start_ticks;
};

struct ledger_share {
    char uuid[DRIVER_UUID_BYTES];
    uint64_t mem_bytes;
    uint64_t pending_bytes; /* a smaller limit, taken over once use is below; 0 = none */
    uint32_t cores_pct;
};

struct ledger_slice {
    char id[LEDGER_ID_BYTES];
    char name[64];
    char machine[256]; /* profile of the simulated machine; empty = the system's driver */
    char sim_state[256];
    char cgroup[256]; /* full path of its folder; empty = none */
    char command[512];
    enum ledger_state state;
    struct ledger_process holder, main;
    enum grant_policy core_policy;
    int32_t priority;
    bool oversubscribe, exclusive, suspended, protected;
    bool walled; /* the driver holds the memory limits as well */
    uint32_t epoch;
    uint64_t created_ms, ended_ms; /* since 1970 */
    int32_t exit_status;
    uint32_t n_shares;
    struct ledger_share shares[REQUEST_DEVICES_MAX];
};

struct ledger;

/* Opens or creates. STATUS_CONFIG when it is of a newer schema or damaged. */
struct ledger *ledger_open(const char *folder, GError **error);
void ledger_close(struct ledger *l);

/* Whether what failed last did so because the disk is full. */
bool ledger_is_full(const struct ledger *l);
typedef struct ledger Ledger;
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Ledger, ledger_close)

/* A transaction that writes. One at a time; not nested. */
bool ledger_begin(struct ledger *l, GError **error);
bool ledger_commit(struct ledger *l, GError **error);
void ledger_rollback(struct ledger *l); /* no-op outside a transaction */

/* Slices: live ones, or all that are still remembered, oldest first. Caller
 * frees the array. */
GArray *ledger_slices(struct ledger *l, bool live_only, GError **error);
bool ledger_insert(struct ledger *l, const struct ledger_slice *s, GError **error);
bool ledger_update(struct ledger *l, const struct ledger_slice *s, GError **error);

/* By id, unique start of an id (4 characters or more), or name; live ones win.
 * STATUS_NO_SLICE, naming the nearest. */
bool ledger_find(struct ledger *l, const char *word, struct ledger_slice *ret, GError **error);

/* Cards as they were last seen on a machine. */
bool ledger_put_cards(struct ledger *l, const char *machine, const struct driver_inventory *inventory,
                      GError **error);
struct ledger_card {
    char machine[256];
    struct driver_card card;
};
GArray *ledger_cards(struct ledger *l, GError **error);

/* Events. `kind` is one word; text is for people. */
bool ledger_event(struct ledger *l, const char *slice, const char *kind, GError **error, const char *format,
                  ...) G_GNUC_PRINTF(5, 6);
struct ledger_event_row {
    int64_t sequence;
    uint64_t time_ms;
    char slice[LEDGER_ID_BYTES];
    char kind[24];
    char text[512];
};
GArray *ledger_events(struct ledger *l, int64_t after, const char *slice, GError **error);

/* The queue of `run --wait`: tickets in order of arrival. */
struct ledger_waiter {
    int64_t ticket;
    struct ledger_process process;
};
bool ledger_enqueue(struct ledger *l, const struct ledger_process *p, int64_t *ret_ticket, GError **error);
bool ledger_dequeue(struct ledger *l, int64_t ticket, GError **error);
GArray *ledger_waiters(struct ledger *l, GError **error);

/* Forgets ended slices beyond the last 200 and events beyond the last 5 000. */
bool ledger_prune(struct ledger *l, GError **error);

/* The boot the ledger's processes are of; all are gone after another. */
bool ledger_boot(struct ledger *l, const char *boot, bool *ret_changed, GError **error);

#endif
