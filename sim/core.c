/* SPDX-License-Identifier: Apache-2.0
 *
 * The driver's life in one process: cuInit, the calls that need nothing else,
 * and which machine device an ordinal means. Any thread.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "abi/cuda_api.h"
#include "objects.h"

_Atomic bool sim_null_model;

static _Atomic bool initialized;
static _Atomic bool forked; /* a child of a process that used the driver */
static pthread_mutex_t init_lock = PTHREAD_MUTEX_INITIALIZER;
static struct sim_part ordinals[SIM_DEVICES * SIM_MIG_SLICES];
static unsigned n_ordinals;

static void in_child(void)
{
    if (atomic_load(&initialized))
        atomic_store(&forked, true);
    atomic_store(&initialized, false);
    atomic_store(&sim_null_model, false);
}

bool sim_initialized(void)
{
    return atomic_load_explicit(&initialized, memory_order_relaxed);
}

const struct sim_profile *sim_machine(void)
{
    return &sim_state->profile;
}

/* ---- which devices are visible, in which order ---- */

static bool add_ordinal(unsigned device, unsigned part)
{
    for (unsigned i = 0; i < n_ordinals; i++)
        if (ordinals[i].device == device && ordinals[i].part == part)
            return false;
    ordinals[n_ordinals++] = (struct sim_part){device, part};
    return true;
}

static bool has_mig(unsigned device)
{
    const struct sim_device_profile *d = &sim_state->profile.devices[device];
    return d->mig_enabled && d->n_mig > 0;
}

/* As the driver: "GPU-..." or "MIG-..." or a unique prefix of one. */
static bool find_uuid(const char *word, struct sim_part *ret)
{
    unsigned found = 0;
    size_t n = strlen(word);
    for (unsigned d = 0; d < sim_state->profile.n_devices; d++) {
        const struct sim_device_profile *p = &sim_state->profile.devices[d];
        if (strncmp(p->uuid, word, n) == 0) {
            *ret = (struct sim_part){d, has_mig(d) ? 1 : 0};
            found++;
        }
        for (unsigned m = 0; has_mig(d) && m < p->n_mig; m++) {
            if (strncmp(p->mig[m].uuid, word, n) != 0)
                continue;
            *ret = (struct sim_part){d, 1 + m};
            found++;
        }
    }
    return found == 1;
}

/* Fastest first as CUDA's default order has it: by SMs times clock, ties in bus order. */
static void device_order(unsigned *order)
{
    const struct sim_profile *p = &sim_state->profile;
    const char *how = getenv("CUDA_DEVICE_ORDER");
    for (unsigned i = 0; i < p->n_devices; i++)
        order[i] = i;
    if (how != NULL && strcmp(how, "PCI_BUS_ID") == 0)
        return;
    for (unsigned i = 1; i < p->n_devices; i++) {
        for (unsigned j = i; j > 0; j--) {
            const struct sim_device_profile *a = &p->devices[order[j - 1]], *b = &p->devices[order[j]];
            if ((uint64_t)a->sm_count * a->clock_mhz >= (uint64_t)b->sm_count * b->clock_mhz)
                break;
            unsigned t = order[j];
            order[j] = order[j - 1];
            order[j - 1] = t;
        }
    }
}

/* One word of CUDA_VISIBLE_DEVICES; false ends the list, as the driver does. */
static bool add_word(const char *word, const unsigned *order)
{
    struct sim_part part;
    if (strncmp(word, "GPU-", 4) == 0 || strncmp(word, "MIG-", 4) == 0)
        return find_uuid(word, &part) && add_ordinal(part.device, part.part);
    char *end;
    long n = strtol(word, &end, 10);
    if (end == word || n < 0 || n >= (long)sim_state->profile.n_devices)
        return false;
    return add_ordinal(order[n], has_mig(order[n]) ? 1 : 0);
}

static void choose_ordinals(void)
{
    unsigned order[SIM_DEVICES];
    device_order(order);
    n_ordinals = 0;
    const char *visible = getenv("CUDA_VISIBLE_DEVICES");
    if (visible == NULL) {
        for (unsigned i = 0; i < sim_state->profile.n_devices; i++)
            add_ordinal(order[i], has_mig(order[i]) ? 1 : 0);
        return;
    }
    char text[2048], *save = NULL;
    snprintf(text, sizeof(text), "%s", visible);
    for (char *word = strtok_r(text, ",", &save); word != NULL; word = strtok_r(NULL, ",", &save)) {
        while (*word == ' ')
            word++;
        word[strcspn(word, " ")] = '\0';
        if (!add_word(word, order))
            break;
    }
}

bool sim_ordinal_part(CUdevice ordinal, struct sim_part *ret)
{
    if (ordinal < 0 || (unsigned)ordinal >= n_ordinals)
        return false;
    *ret = ordinals[ordinal];
    return true;
}

int sim_device(CUdevice ordinal)
{
    struct sim_part p;
    return sim_ordinal_part(ordinal, &p) ? (int)p.device : -1;
}

unsigned sim_device_count(void)
{
    return n_ordinals;
}

/* ---- cuInit ---- */

static CUresult attach_locked(void)
{
    static bool hooked;
    char err[512];
    if (sim_state_open(err, sizeof(err)) != 0) {
        fprintf(stderr, "simulated CUDA driver: %s\n", err);
        return CUDA_ERROR_NO_DEVICE;
    }
    if (sim_self == NULL && sim_process_attach() == NULL) {
        fprintf(stderr, "simulated CUDA driver: all %u process slots of the machine are taken\n",
                SIM_PROCESSES);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    choose_ordinals();
    for (unsigned i = 0; i < n_ordinals; i++)
        sim_self->part[ordinals[i].device] = (uint8_t)ordinals[i].part;
    if (!hooked)
        pthread_atfork(NULL, NULL, in_child);
    hooked = true;
    if (n_ordinals == 0)
        return CUDA_ERROR_NO_DEVICE;
    atomic_store(&sim_null_model, sim_state->profile.null_model);
    atomic_store(&initialized, true);
    return CUDA_SUCCESS;
}

CUresult sim_attach(void)
{
    if (sim_initialized())
        return CUDA_SUCCESS;
    if (atomic_load(&forked))
        return CUDA_ERROR_NOT_INITIALIZED;
    pthread_mutex_lock(&init_lock);
    CUresult r = sim_initialized() ? CUDA_SUCCESS : attach_locked();
    pthread_mutex_unlock(&init_lock);
    return r;
}

CUresult cuInit(unsigned int flags)
{
    if (flags != 0)
        return CUDA_ERROR_INVALID_VALUE;
    return sim_attach();
}

CUresult cuDriverGetVersion(int *version)
{
    char err[512];
    if (version == NULL)
        return CUDA_ERROR_INVALID_VALUE;
    if (sim_state_open(err, sizeof(err)) != 0) {
        *version = 0;
        return CUDA_SUCCESS;
    }
    *version = (int)sim_state->profile.cuda_version;
    return CUDA_SUCCESS;
}

/* ---- physical memory ---- */

CUresult sim_memory_take(unsigned device, uint64_t bytes)
{
    unsigned part = sim_self->part[device];
    struct sim_device_state *d = &sim_state->devices[device];
    CUresult r = CUDA_ERROR_OUT_OF_MEMORY;
    sim_lock();
    for (int attempt = 0; attempt < 2 && r != CUDA_SUCCESS; attempt++) {
        uint64_t total = sim_part_bytes(device, part);
        if (bytes <= total && d->mem_used[part] <= total - bytes &&
            bytes <= sim_limit_room(device, sim_self->cgroup)) {
            sim_self->mem_bytes[device] += bytes;
            d->mem_used[part] += bytes;
            r = CUDA_SUCCESS;
        } else if (attempt == 0 && !sim_reap(0)) {
            break;
        }
    }
    sim_unlock();
    return r;
}

void sim_memory_give(unsigned device, uint64_t bytes)
{
    unsigned part = sim_self->part[device];
    sim_lock();
    if (bytes > sim_self->mem_bytes[device])
        bytes = sim_self->mem_bytes[device];
    sim_self->mem_bytes[device] -= bytes;
    sim_state->devices[device].mem_used[part] -= bytes;
    sim_unlock();
}

uint64_t sim_memory_free(unsigned device)
{
    unsigned part = sim_self->part[device];
    sim_lock();
    sim_reap(1000000);
    uint64_t total = sim_part_bytes(device, part), used = sim_state->devices[device].mem_used[part];
    uint64_t room = sim_limit_room(device, sim_self->cgroup);
    uint64_t left = used < total ? total - used : 0;
    sim_unlock();
    return room < left ? room : left;
}
