/* SPDX-License-Identifier: Apache-2.0
 *
 * Physical objects (cuMemCreate) and where they are mapped.
 *
 * An object lives while a handle or a mapping refers to it; its physical
 * memory is given back with the last of them. All of this module's state is
 * guarded by one lock, taken after the arena lock of the reservations.
 */
#ifndef HAMI_SIM_MEM_VMM_H
#define HAMI_SIM_MEM_VMM_H

#include "mem_bytes.h"

#define SIM_VA_ARENA 120 /* reservations belong to no device */

struct sim_multicast;

struct sim_phys {
    struct sim_phys *next; /* in its bucket */
    uint64_t handle, size;
    uint64_t id;
    CUmemAllocationProp prop;
    unsigned refs;     /* handles given out: create, retain, import */
    unsigned mappings; /* and multicast bindings */
    CUdevice device;   /* -1: host */
    bool paid;         /* holds physical memory of the device */
    struct sim_bytes *bytes;
    struct sim_multicast *multicast; /* NULL unless a multicast object */
};

struct sim_mapping {
    uint64_t base, size, offset;
    struct sim_phys *phys;
    uint64_t readable, writable; /* bit per device; bit 63: the host */
};

struct sim_reservation {
    struct sim_mapping *mappings; /* by address */
    size_t n_mappings, room;
};

void sim_vmm_lock(void);
void sim_vmm_unlock(void);
/* All with the lock held. */
struct sim_phys *sim_phys_new(const CUmemAllocationProp *prop, uint64_t size);
struct sim_phys *sim_phys_find(uint64_t handle);
void sim_phys_unref(struct sim_phys *phys);    /* one handle less */
void sim_phys_unmapped(struct sim_phys *phys); /* one mapping less */
/* Every mapping of the object is mapped again: its bytes have moved. */
void sim_vmm_remap(struct sim_phys *phys);
void sim_multicast_free(struct sim_multicast *multicast);

/* The object mapped at an address, with one more mapping reference, and the
 * offset there; NULL when nothing is. Takes and drops both locks. */
struct sim_phys *sim_vmm_pin(uint64_t address, uint64_t bytes, uint64_t *ret_offset);

/* The CUDA ordinal of a device of the machine, or -1 when it is not visible. */
CUdevice sim_ordinal_of(unsigned machine);
CUresult sim_vmm_check_prop(const CUmemAllocationProp *prop, CUdevice *ret_device);

#endif
