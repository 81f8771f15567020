/* SPDX-License-Identifier: Apache-2.0
 *
 * The one-host broker: no daemon, but what every command does with the ledger.
 * Opening it settles what others left: slices of dead holders are freed,
 * smaller limits that were pending are taken over, left-over files removed.
 */
#ifndef HAMI_LOCAL_BROKER_H
#define HAMI_LOCAL_BROKER_H

#include "local/ledger.h"
#include "local/paths.h"
#include "local/settings.h"
#include "local/why.h"

struct broker {
    struct paths *paths;
    struct settings *settings;
    struct ledger *ledger;
};

struct broker *broker_open(GError **error);
void broker_close(struct broker *b);
typedef struct broker Broker;
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Broker, broker_close)

/* As broker_open() does; for commands that stay. */
bool broker_settle(struct broker *b, GError **error);

/* What is asked for by `hami run`. Strings are borrowed. */
struct broker_request {
    struct request request;
    const char *name;      /* NULL = none */
    const char *machine;   /* simulated; NULL or "" = the system's driver */
    const char *sim_state; /* of it; NULL = its default */
    const char *command;   /* for people */
    enum grant_policy core_policy;
    int32_t priority;
    bool oversubscribe;
};

/* Name of the control group that ours lie in. Brokers with other state folders
 * have their own beside it. Caller frees. */
char *broker_cgroup_base(const struct paths *p);
/* Its path; NULL where no control groups are. Caller frees. */
char *broker_cgroup_folder(const struct paths *p);
/* Paths of the groups in that folder (may be NULL) whose slice is not among these (struct ledger_slice). */
GPtrArray *broker_unowned_groups(const char *folder, GArray *slices);

/* The driver of a machine; sim_state as in the request. */
struct driver_source broker_source(const struct broker *b, const char *machine, const char *sim_state);

/* Canonical names: profile files become absolute. Caller frees. */
char *broker_machine(const char *profile);
char *broker_sim_state(const char *machine);

/* Asks the driver and notes the cards in the ledger. */
bool broker_discover(struct broker *b, const char *machine, const char *sim_state,
                     struct driver_inventory *ret, GError **error);

/* Does the configuration keep new slices off the card? */
bool broker_is_cordoned(const struct broker *b, const char *uuid);

/* The cards of an inventory with what the live slices of that machine (NULL or empty: the system's driver)
 * hold of them: cards of two simulated machines may have the same UUIDs. */
bool broker_cards(struct broker *b, const char *machine, const struct driver_inventory *inventory,
                  struct machine *ret, GError **error);

/* Reserves. On a refusal: false without error, and *ret_why and *ret_machine tell. */
bool broker_reserve(struct broker *b, const struct broker_request *r,
                    const struct driver_inventory *inventory, struct ledger_slice *ret,
                    struct machine *ret_machine, struct why *ret_why, GError **error);

/* The slice has ended: ledger, files, control group. */
bool broker_release(struct broker *b, const char *id, int exit_status, GError **error);

/* Changes a slice row in a transaction of its own. */
bool broker_update(struct broker *b, const struct ledger_slice *s, const char *kind, const char *text,
                   GError **error);

/* Bytes the slice's processes use of its device i, as far as its region is to
 * be believed. False when it cannot be read: then they may use all they have. */
bool broker_used(struct broker *b, const struct ledger_slice *s, uint32_t i, uint64_t *ret);

struct broker_resize {
    bool has_mem, has_cores, pending;
    struct quantity_mem mem;
    uint32_t cores_pct;
};
/* Live change, both directions. STATUS_IN_USE and STATUS_NO_FIT with figures. */
bool broker_resize(struct broker *b, struct ledger_slice *s, const struct broker_resize *change,
                   GError **error);

/* Applies or clears the driver's own limits of a slice. False only on errors
 * of a driver that has them. */
bool broker_wall(struct broker *b, const struct ledger_slice *s, bool clear, GError **error);

/* Sends a signal to every process of the slice that we can name. */
void broker_signal(struct broker *b, const struct ledger_slice *s, int signal);

#endif
