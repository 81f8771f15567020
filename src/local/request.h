/* SPDX-License-Identifier: Apache-2.0
 *
 * What `hami run` asks for, and what it is given. Plain values; the word lists
 * are borrowed from the caller.
 */
#ifndef HAMI_LOCAL_REQUEST_H
#define HAMI_LOCAL_REQUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "model/quantity.h"

#define REQUEST_DEVICES_MAX 16

enum request_policy { REQUEST_BINPACK, REQUEST_SPREAD, REQUEST_NUMA, REQUEST_TOPOLOGY, REQUEST_POLICIES };

struct request {
    uint32_t n_devices;      /* distinct physical cards */
    struct quantity_mem mem; /* of each */
    uint32_t cores_pct;      /* of each; 0 = no compute limit is asked for */
    enum request_policy policy;
    bool exclusive; /* nobody else on the cards */
    /* As in struct pod_selection. */
    const char *use_types;
    const char *not_types;
    const char *use_uuids;
    const char *not_uuids;
};

/* A grant: index into the machine's cards, bytes and percent of each. */
struct request_grant {
    uint32_t n;
    struct {
        uint32_t device;
        uint64_t mem_bytes;
        uint32_t cores_pct; /* 0 = no compute limit */
    } shares[REQUEST_DEVICES_MAX];
    bool exclusive;
};

/* Bytes that the amount means on a card of that size; all of it when none are asked. */
uint64_t request_mem_of(const struct quantity_mem *mem, uint64_t card_bytes);

/* "binpack" ... and back; -1 when there is no such policy. */
const char *request_policy_name(enum request_policy policy);
int request_policy_parse(const char *name);
extern const char *const request_policy_names[REQUEST_POLICIES + 1];

#endif
