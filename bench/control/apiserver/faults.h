/* SPDX-License-Identifier: Apache-2.0
 *
 * Which request fails and which watch event is disturbed: decided by the seed
 * and by what is asked, never by time or by the order in which connections
 * happen to be served. The n-th "POST /api/v1/.../pods" of a run fails in every
 * run with the same seed; so does the event of revision r.
 */
#ifndef HAMI_FAKE_FAULTS_H
#define HAMI_FAKE_FAULTS_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/* What happens to a request. */
enum fault {
    FAULT_NONE,
    FAULT_500,
    FAULT_503,
    FAULT_429,
    FAULT_CUT,       /* the connection is cut, nothing was done */
    FAULT_CUT_AFTER, /* it was done, and the connection is cut instead of the reply */
    FAULT_KINDS
};

struct faults {
    uint64_t seed;
    double errors;                        /* share of requests, 0..1 */
    double duplicate, reorder, drop, cut; /* shares of watch events */
    GHashTable *asked;                    /* hash of method and path -> how often */
    GHashTable *cut_done;                 /* a stream is cut once at one revision */
};

void faults_init(struct faults *faults, uint64_t seed);
void faults_clear(struct faults *faults);
/* Counts the request. */
enum fault faults_request(struct faults *faults, const char *method, const char *path);

enum disturbance { DISTURB_NONE, DISTURB_DUPLICATE, DISTURB_REORDER, DISTURB_DROP, DISTURB_CUT };
enum disturbance faults_event(struct faults *faults, unsigned kind, uint64_t rv, uint64_t reader);

/* Well mixed 64 bits of two numbers, and of a text. */
uint64_t mix64(uint64_t a, uint64_t b);
uint64_t hash_text(uint64_t seed, const char *text);

#endif
