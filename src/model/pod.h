/* SPDX-License-Identifier: Apache-2.0
 *
 * What a pod asks of accelerators, and what it is given.
 *
 * A pod has slots, one per container in the field's order: init containers
 * first (sidecars among them), then the others. A slot's position is its
 * number in every annotation (scheduler.md section 4.2).
 */
#ifndef HAMI_MODEL_POD_H
#define HAMI_MODEL_POD_H

#include <stdbool.h>
#include <stdint.h>

#include "model/card.h"
#include "model/family.h"

#define POD_SLOTS_MAX 64     /* containers that ask for cards */
#define POD_REQUESTS_MAX 128 /* over all slots */
#define POD_GRANTS_MAX 512   /* cards over all slots */
#define POD_MIB (UINT64_C(1) << 20)

enum slot_kind { SLOT_INIT, SLOT_SIDECAR, SLOT_APP };

/* One container's request for cards of one family; amounts are per card. */
struct card_request {
    uint16_t family;
    uint8_t slot;
    uint32_t n_cards;
    uint64_t mem_bytes;   /* 0 = see below */
    uint32_t mem_percent; /* 1..100 of whatever card; 0 with mem_bytes 0 = the whole card */
    bool mem_none;        /* memory is not counted */
    bool mem_default;     /* mem_bytes are the configuration's: the pod says nothing of memory */
    uint32_t cores;       /* the family's unit; percent for FAMILY_CORES_OF_TOTAL */
    uint32_t aux[CARD_AUX];
    uint16_t size;  /* Enflame: slice size; 0 = by memory and cores */
    bool whole;     /* whole devices were asked for (Neuron device mode) */
    bool exclusive; /* alone on the card, whatever the figures (hami run --exclusive) */
};

enum card_policy { CARD_BINPACK, CARD_SPREAD, CARD_NUMA, CARD_POLICIES };
enum node_policy { NODE_BINPACK, NODE_SPREAD };
enum pod_class { POD_CLASS_NONE, POD_CLASS_ONLINE, POD_CLASS_OFFLINE }; /* MetaX sgpu-app-class */

/* Lists are comma lists, NULL or blank = no constraint. Types match a part of
 * the product name whatever the case, UUIDs exactly; not-lists win. One row
 * per family that the pod asks for. */
struct pod_selection {
    uint16_t family;
    const char *use_types, *not_types;
    const char *use_uuids[2], *not_uuids[2];
};

struct pod_request {
    uint8_t n_slots;
    uint8_t slot_kind[POD_SLOTS_MAX];
    const char *slot_name[POD_SLOTS_MAX]; /* container names */
    uint8_t n_requests;                   /* ordered by slot, then family */
    struct card_request requests[POD_REQUESTS_MAX];
    uint8_t n_selections;
    struct pod_selection selections[FAMILIES_MAX];

    enum node_policy node_policy;
    enum card_policy card_policy[CARD_POLICIES]; /* sort keys in order */
    uint8_t n_card_policy;                       /* at least 1 */
    bool mutex, topology_aware, numa_bind;
    uint32_t weight_slot, weight_core, weight_mem; /* not all 0 */
    uint8_t modes;                                 /* bit 1 << enum card_mode; 0 = any */
    bool soft;                                     /* soft slicing selected (Ascend) */
    uint8_t qos;                                   /* enum card_qos */
    uint8_t app_class;                             /* enum pod_class */
    int8_t topology_wanted;                        /* MetaX per pod: -1 = as configured */

    int32_t priority;
    const char *uid, *namespace_, *name;
    void *arena; /* base/arena.h: owns all strings above; see pod_request_clear() */
};

/* Frees what the strings live in. */
void pod_request_clear(struct pod_request *r);
static inline bool pod_request_is_empty(const struct pod_request *r)
{
    return r->n_requests == 0;
}

/* One card given to one container. */
struct card_grant {
    uint64_t mem_bytes;
    uint32_t cores; /* what is counted: CUs, or a core mask */
    uint16_t card;  /* index into the node's cards */
    uint16_t aux[CARD_AUX];
    uint16_t slices; /* slots taken of the card: 1, or an Enflame size */
    uint8_t slot;
    uint8_t flags;               /* enum card_grant_flag */
    uint8_t mig_start, mig_size; /* size 0 = not a MIG instance */
    uint8_t shape;               /* of the card's or family's shapes; CARD_NO_SHAPE */
};
#define CARD_NO_SHAPE 255
enum card_grant_flag {
    CARD_GRANT_EXCLUSIVE = 1,
    CARD_GRANT_ONLINE = 2,
    CARD_GRANT_OFFLINE = 4,
    CARD_GRANT_MASK = 8,
    CARD_GRANT_QOS = 0x30 /* enum card_qos of the holder << 4 (MetaX); from the pod's annotation */
};
#define CARD_GRANT_QOS_SHIFT 4

struct pod_grant {
    uint16_t n;
    struct card_grant grants[POD_GRANTS_MAX]; /* ordered by slot */
};

/* What a pod counts for on one card: the peak over its life. A card that only
 * init containers use counts the largest of them, sidecars and containers that
 * run together add up; memory, cores and slots each on their own. With
 * `started` set, init containers are over and count nothing.
 * Fills at most n_cards rows of ret (zeroed first, one per card of the node). */
void pod_charge(const struct card_grant *grants, uint32_t n, const uint8_t *slot_kind, bool started,
                struct card_use *ret, uint32_t n_cards);

#endif
