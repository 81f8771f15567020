/* SPDX-License-Identifier: Apache-2.0
 *
 * A card as the scheduler sees it, what is taken of it, and the whole set of a
 * node. Plain values: copied, never owned.
 */
#ifndef HAMI_MODEL_DEVICE_H
#define HAMI_MODEL_DEVICE_H

#include <stdbool.h>
#include <stdint.h>

#define DEVICE_MAX 64
#define DEVICE_UUID_BYTES 96
#define DEVICE_TYPE_BYTES 96

struct device {
    char uuid[DEVICE_UUID_BYTES];
    char type[DEVICE_TYPE_BYTES]; /* the product name */
    uint32_t card;                /* physical card; slices of one MIG card share it */
    uint32_t index;               /* the management library's number of the card */
    uint64_t mem_bytes;           /* what may be granted: physical size times the overcommit ratio */
    uint64_t physical_bytes;      /* what is there */
    uint32_t cores_pct;           /* what may be granted: 100 times the overcommit ratio; 0 = not divided */
    uint32_t split_count;         /* slices at most */
    int32_t numa_node;            /* -1 = unknown */
    bool healthy;
    bool cordoned;
};

/* What is granted of a device. */
struct device_use {
    uint64_t mem_bytes;
    uint32_t cores_pct;
    uint32_t slices;
    bool exclusive; /* somebody has the whole card */
};

/* The devices of one node with their use and the bandwidth score of each pair
 * (higher = nearer), both in the same order. */
struct device_set {
    uint32_t n;
    struct device devices[DEVICE_MAX];
    struct device_use use[DEVICE_MAX];
    uint32_t pair_score[DEVICE_MAX][DEVICE_MAX];
};

/* Index of a UUID; -1 when it is not there. */
int device_find(const struct device_set *set, const char *uuid);

/* Score of a pair from the nearest common bridge and the number of NVLinks:
 * the field's figures (10 for across sockets ... 60 same board, 100 per link). */
uint32_t device_pair_score(unsigned nvml_level, unsigned links);

#endif
