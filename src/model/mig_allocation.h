/* SPDX-License-Identifier: Apache-2.0
 *
 * hami.io/vgpu-mig-allocations: which MIG instance a device of a pod is
 * (scheduler.md section 4.3 of the specification). The scheduler writes places, the
 * node's agent adds what it made there. Positions count in the NVIDIA
 * assignment: slot, and device within it.
 */
#ifndef HAMI_MODEL_MIG_ALLOCATION_H
#define HAMI_MODEL_MIG_ALLOCATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mig_allocation {
    uint16_t slot, device;
    uint8_t start, size; /* memory slices; within 16 */
    const char *gpu_uuid, *profile;
    const char *mig_uuid; /* NULL = not made yet */
    uint32_t gpu_instance, compute_instance;
};

struct mig_allocations {
    unsigned n;
    struct mig_allocation *rows;
    void *arena; /* base/arena.h: owns rows and texts */
};

/* False and *ret_why (caller frees) when anything is amiss: negative, empty,
 * size 0, half an instance, two for one device. ret is then empty. */
bool mig_allocation_parse(const char *text, size_t len, struct mig_allocations *ret, char **ret_why);
void mig_allocations_clear(struct mig_allocations *a);

/* NULL when there is none for that device. */
const struct mig_allocation *mig_allocation_find(const struct mig_allocations *a, unsigned slot,
                                                 unsigned device);

/* The annotation's text, in the order of the rows. Caller frees. */
char *mig_allocation_format(const struct mig_allocation *rows, unsigned n);

#endif
