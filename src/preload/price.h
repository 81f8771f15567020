/* SPDX-License-Identifier: Apache-2.0
 *
 * What a launch of a function, or of an executable graph, is expected to take.
 * Estimates bound the work in flight; they are what is charged only where a
 * measurement cannot be had, or would cost more than it tells. Keyed by handle and size class (log2 of the
 * blocks). A fixed table; a full neighbourhood forgets its oldest entry. The caller locks (price_lock of
 * throttle.c).
 */
#ifndef HAMI_PRELOAD_PRICE_H
#define HAMI_PRELOAD_PRICE_H

#include <stdbool.h>
#include <stdint.h>

enum { PRICE_ENTRIES = 2048, PRICE_PROBES = 8 };
enum { PRICE_FEW = 8 }; /* measurements: below, a price is a guess */

struct price {
    const void *function;
    uint32_t size;    /* log2 of the number of blocks */
    uint32_t samples; /* 0 = nothing known */
    uint64_t mean_ns;
    uint32_t spread_pm; /* how far batches were off, per mille of the estimate, averaged */
    uint32_t doubts;    /* measurements not believed before the first that was */
};

struct prices {
    struct price at[PRICE_ENTRIES];
};

/* The entry of (function, size), made when new; valid until it is forgotten. */
struct price *price_of(struct prices *prices, const void *function, uint32_t size);

/* One measurement: `launches` launches took total_ns. */
void price_learn(struct price *price, uint64_t total_ns, uint32_t launches);

/* The first measurement looks wrong: shall another be waited for? Not for ever:
 * some hosts are always slow. */
bool price_doubt(struct price *price);

/* A measurement is believed: how many before it were not. */
uint32_t price_doubts_end(struct price *price);

/* The measured batch took ratio times what its prices said. */
void price_scale(struct price *price, double ratio, double part);

/* The function changed or is gone. */
void price_forget(struct prices *prices, const void *function);

#endif
