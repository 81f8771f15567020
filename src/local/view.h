/* SPDX-License-Identifier: Apache-2.0
 *
 * What `ps`, `top` and `doctor` show: the ledger's word of each slice beside
 * what its region says. The region is the workload's word: it is shown, and
 * never used to give anything away.
 */
#ifndef HAMI_LOCAL_VIEW_H
#define HAMI_LOCAL_VIEW_H

#include <jansson.h>

#include "local/broker.h"
#include "region/region.h"

struct view_slice {
    struct ledger_slice slice;
    struct region_view *region; /* NULL when it cannot be read */
    gint64 taken_us;            /* monotonic */
};

/* Elements are freed with the array. */
GPtrArray *view_slices(struct broker *b, bool live_only, GError **error);

/* Shares of device time and of waiting between two looks at one slice, in
 * tenths of a percent; 0 when there is no earlier look. */
struct view_rate {
    uint32_t busy_permille;
    uint32_t throttled_permille;
    uint64_t launches_per_s;
};
struct view_rate view_rate(const struct view_slice *before, const struct view_slice *now, uint32_t share);
const struct view_slice *view_find(GPtrArray *views, const char *id);

/* One slice as JSON; before may be NULL. */
json_t *view_json(const struct view_slice *before, const struct view_slice *now);

/* Cards with what is granted of them. */
struct view_card {
    struct ledger_card card;
    uint64_t grantable_bytes, granted_bytes, used_bytes;
    uint32_t grantable_cores, granted_cores, slices;
    uint32_t busy_permille;
    bool cordoned;
};
/* Takes out the cards of simulated machines on which no slice runs, but for
 * those of one machine (may be NULL). */
void view_drop_idle_machines(GArray *cards, const char *but);

GArray *view_cards(struct broker *b, GPtrArray *before, GPtrArray *now, GError **error);
json_t *view_card_json(const struct view_card *c);

#endif
