/* SPDX-License-Identifier: Apache-2.0
 *
 * The simulated machine: what libcuda.so.1 and libnvidia-ml.so.1 of sim/ share.
 *
 * One state file per simulated machine (by default in /dev/shm, named after
 * profile and user) is mapped by every process that uses it. It holds the
 * devices, the processes that use them with their memory, each device's work
 * queue and the log of completed intervals. A robust process-shared mutex
 * guards it; the lock is held for bounded, short work only.
 *
 * Time is simulated lazily: submitting work computes when it will start and
 * end, given what is queued; nobody computes anything while nobody asks. In
 * real time "now" is CLOCK_MONOTONIC; in virtual time it is a counter in the
 * state file that waiting moves forward to the next event once every process
 * that takes part is waiting, or that a test moves by hand.
 *
 * What is left out: no kernel computes anything (its parameters are checked
 * and its duration passes); NVIDIA's private export tables are refused.
 */
#ifndef HAMI_SIM_H
#define HAMI_SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define SIM_DEVICES 16
#define SIM_PROCESSES 2048
#define SIM_MIG_SLICES 7

enum sim_schedule { SIM_FIFO, SIM_TIME_SLICED, SIM_SPATIAL };

/* ---- profile (sim/profile.c): the YAML file that describes a machine ---- */

struct sim_device_profile {
    char name[96];
    char uuid[48]; /* "GPU-...", stable: derived from profile name and index when not given */
    char pci_bus_id[32];
    uint64_t mem_bytes;
    uint64_t context_bytes; /* what one context takes */
    uint32_t sm_count, cc_major, cc_minor, clock_mhz, mem_clock_mhz, bus_width_bits, l2_kib;
    uint32_t power_limit_w, power_idle_w, temperature_c; /* the last two: idle */
    uint32_t pcie_gen, pcie_width;
    uint32_t pci_device_id, pci_subsystem_id; /* device << 16 | vendor */
    uint64_t bar1_bytes;
    uint64_t host_bytes_per_s;   /* copies across the bus; 0: what PCIe 3.0 x16 gives */
    uint64_t device_bytes_per_s; /* of device memory; 0: from clock and bus width */
    bool ecc, mig_capable, fan;
    uint32_t numa_node;
    bool unified_memory; /* device memory is system memory (gb10) */
    bool mig_enabled;
    uint32_t n_mig;
    struct {
        char profile[24];
        char uuid[48];
        uint64_t mem_bytes;
        uint32_t sm_count, gi_id, ci_id, gi_slices, ci_slices;
    } mig[SIM_MIG_SLICES];
};

struct sim_profile {
    char name[64];
    char driver_version[32];
    char nvml_version[32];
    uint32_t cuda_version; /* 13000 */
    uint32_t n_devices;
    struct sim_device_profile devices[SIM_DEVICES];
    uint8_t nvlinks[SIM_DEVICES][SIM_DEVICES]; /* number of links */
    uint8_t pcie[SIM_DEVICES][SIM_DEVICES];    /* nvmlGpuTopologyLevel_t */
    enum sim_schedule schedule;
    uint32_t engines;    /* of SIM_SPATIAL */
    uint64_t quantum_ns; /* of SIM_TIME_SLICED */
    bool virtual_time;
    bool null_model;         /* launches take no time at all and are not queued */
    uint64_t real_bytes_max; /* allocations above are only counted */
    bool memory_limits;      /* the per-cgroup limits of driver R615 exist */
    bool interval_log;
    uint64_t utilization_window_ns; /* over which NVML's percentages are taken */
    uint64_t kernel_ns;             /* a kernel that nothing else prices: kernel_ns ... */
    uint64_t wave_ns;               /* ... plus wave_ns for every wave of sm_count blocks */
    uint32_t n_costs;
    struct {
        char function[64]; /* exact name, or a prefix when it ends in '*' */
        uint64_t duration_ns;
    } costs[64];
    uint32_t n_missing;
    char missing[64][64]; /* symbols this driver does not have */
};

/* Reads a shipped profile's name, or a path (it holds a '/' or ends in .yaml).
 * Settings may follow: `t4,time=virtual,kernel=20us`; NAME-null and
 * NAME-virtual are short for the two most used. 0, or -1 with a message in err
 * that names file, line, key and remedy; *ret is written only on success. */
int sim_profile_load(const char *name_or_path, struct sim_profile *ret, char *err, size_t err_size);

/* The same from text; `file` is for messages. */
int sim_profile_parse(const char *file, const char *text, size_t n, struct sim_profile *ret, char *err,
                      size_t err_size);

/* The profiles that are built in, ended by one without a name. */
struct sim_profile_shipped {
    const char *name, *text;
};
extern const struct sim_profile_shipped sim_profiles_shipped[];

#endif
