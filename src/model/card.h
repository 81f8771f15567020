/* SPDX-License-Identifier: Apache-2.0
 *
 * A card of a node as its agent registered it, and what is taken of it. Plain
 * values. One struct for every family of accelerators: what a family calls its
 * resources is data (model/family.h).
 *
 * Units: memory in bytes everywhere (annotations count MiB: model/pod_codec.h and
 * model/node_codec.h convert). Compute in the family's own unit: percent for most, CUs for
 * AMD, sixteenths for Moore Threads, a bit mask of cores for AWS Neuron.
 */
#ifndef HAMI_MODEL_CARD_H
#define HAMI_MODEL_CARD_H

#include <stdbool.h>
#include <stdint.h>

#define CARD_AUX 2        /* further resources: aiCore and aiCPU (Ascend), slices (Enflame) */
#define CARD_PER_NODE 128 /* a node that registers more is refused */
#define CARD_UUID_MAX 319 /* characters; synthesised ones hold the name of a node */
#define CARD_TYPE_MAX 127
#define CARD_MIB_MAX (INT32_MAX) /* the field's annotations are signed 32-bit MiB */

enum card_mode { CARD_MODE_NONE, CARD_HAMI_CORE, CARD_MIG, CARD_MPS, CARD_MODES };
extern const char *const card_mode_names[CARD_MODES]; /* "", "hami-core", "mig", "mps" */

#define CARD_PLACEMENTS_MAX 16

/* A shape that the card can be cut into: a MIG profile, an Ascend template, an
 * Enflame DRS profile. Owned by the family or by the node's `struct card_shapes`. */
struct card_shape {
    char name[32];
    char id[16]; /* the vendor's number of it (DRS), else "" */
    uint64_t mem_bytes;
    uint32_t cores;
    uint32_t aux[CARD_AUX];
    uint16_t slices; /* MIG slice count, DRS size */
    uint16_t n_placements;
    struct {
        uint8_t start, size;
    } placements[CARD_PLACEMENTS_MAX]; /* MIG only */
};

struct card_shapes {
    uint32_t n;
    struct card_shape shapes[];
};

/* Immutable between two registrations. Strings and shapes are borrowed: they
 * belong to whoever owns the array of cards. */
struct card {
    const char *uuid;
    const char *type;                 /* product name, or the family's word */
    const struct card_shapes *shapes; /* NULL = the family's, or none */
    uint64_t mem_bytes;               /* what may be granted (after overcommit) */
    uint32_t cores;                   /* what may be granted, in the family's unit */
    int32_t group;          /* network, module, die group, link zone, or Enflame's minor; -1 = none */
    uint16_t slots;         /* pods at most; a card that registers more has UINT16_MAX */
    uint16_t aux[CARD_AUX]; /* 0 = not counted */
    uint16_t index;         /* the vendor library's number */
    uint16_t family;        /* row of the family set */
    int16_t numa;           /* -1 = unknown */
    uint8_t mode;           /* enum card_mode */
    bool healthy;
    bool cordoned;
    uint8_t qos; /* MetaX: what the card reports, enum card_qos */
};
_Static_assert(sizeof(struct card) == 56, "no byte lost: there are a hundred thousand");

enum card_qos {
    CARD_QOS_NONE,
    CARD_QOS_BEST_EFFORT,
    CARD_QOS_FIXED_SHARE,
    CARD_QOS_BURST_SHARE,
    CARD_QOS_KINDS
};
extern const char *const card_qos_names[CARD_QOS_KINDS];

/* What is taken of a card. All zero = idle. */
struct card_use {
    uint64_t mem_bytes;
    uint32_t cores; /* a sum, or a mask (family.cores_kind == FAMILY_CORES_MASK) */
    uint16_t slots;
    uint16_t mig_mask; /* occupied memory slices: bit i = slice i */
    uint16_t aux[CARD_AUX];
    uint16_t exclusive;          /* holders that asked to be alone */
    uint8_t online, offline;     /* MetaX: slices of each class */
    uint8_t qos[CARD_QOS_KINDS]; /* MetaX: slices of each policy; [0] is not counted */
};

#endif
