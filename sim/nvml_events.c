/* SPDX-License-Identifier: Apache-2.0
 *
 * Event sets. The only events that happen are injected XIDs (`hami sim fault`);
 * each set sees those that came after its registration, once. Waiters sleep on
 * a futex in the machine's state.
 */
#include "nvml.h"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define SET_TAG 0x45565331u
#define SUPPORTED                                                                                            \
    (nvmlEventTypeSingleBitEccError | nvmlEventTypeDoubleBitEccError | nvmlEventTypePState |                 \
     nvmlEventTypeXidCriticalError | nvmlEventTypeClock)

struct set {
    uint32_t tag;
    pthread_mutex_t lock; /* of what follows; several threads may wait in one set */
    uint64_t types[SIM_DEVICES];
    uint32_t seen[SIM_DEVICES]; /* XIDs of the device before this number are past */
};

static struct set *set_of(nvmlEventSet_t handle)
{
    struct set *s = (struct set *)(void *)handle;
    return s != NULL && s->tag == SET_TAG ? s : NULL;
}

nvmlReturn_t nvmlEventSetCreate(nvmlEventSet_t *handle)
{
    nvmlReturn_t r = sim_nvml_ready();
    if (r == NVML_SUCCESS && handle == NULL)
        r = NVML_ERROR_INVALID_ARGUMENT;
    if (r != NVML_SUCCESS)
        return r;
    struct set *s = calloc(1, sizeof(*s));
    if (s == NULL)
        return NVML_ERROR_MEMORY;
    s->tag = SET_TAG;
    pthread_mutex_init(&s->lock, NULL);
    *handle = (nvmlEventSet_t)(void *)s;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlEventSetFree(nvmlEventSet_t handle)
{
    struct set *s = set_of(handle);
    nvmlReturn_t r = sim_nvml_ready();
    if (r != NVML_SUCCESS)
        return r;
    if (s == NULL)
        return NVML_ERROR_INVALID_ARGUMENT;
    s->tag = 0;
    pthread_mutex_destroy(&s->lock);
    free(s);
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetSupportedEventTypes(nvmlDevice_t device, unsigned long long *types)
{
    struct sim_nvml_device d;
    nvmlReturn_t r = sim_nvml_card(device, &d);
    if (r == NVML_SUCCESS && types == NULL)
        r = NVML_ERROR_INVALID_ARGUMENT;
    if (r == NVML_SUCCESS)
        *types = SUPPORTED;
    return r;
}

nvmlReturn_t nvmlDeviceRegisterEvents(nvmlDevice_t device, unsigned long long types, nvmlEventSet_t handle)
{
    struct sim_nvml_device d;
    struct set *s = set_of(handle);
    nvmlReturn_t r = sim_nvml_card(device, &d);
    if (r != NVML_SUCCESS)
        return r;
    if (s == NULL || types == 0)
        return NVML_ERROR_INVALID_ARGUMENT;
    if ((types & ~(unsigned long long)SUPPORTED) != 0)
        return NVML_ERROR_NOT_SUPPORTED;
    pthread_mutex_lock(&s->lock);
    if (s->types[d.index] == 0)
        s->seen[d.index] = atomic_load(&d.fault->xid_next);
    s->types[d.index] |= types;
    pthread_mutex_unlock(&s->lock);
    return NVML_SUCCESS;
}

/* The next event of a device of the set, if there is one. */
static bool take(struct set *s, unsigned index, nvmlEventData_t *data)
{
    const struct sim_fault_state *f = &sim_state->devices[index].fault;
    uint32_t next = atomic_load(&f->xid_next);
    if ((s->types[index] & nvmlEventTypeXidCriticalError) == 0 || s->seen[index] == next)
        return false;
    if (next - s->seen[index] > SIM_XIDS) /* the oldest have been overwritten */
        s->seen[index] = next - SIM_XIDS;
    sim_lock();
    uint64_t code = f->xids[s->seen[index]++ % SIM_XIDS].code;
    sim_unlock();
    *data = (nvmlEventData_t){.device = sim_nvml_handle(index, 0),
                              .eventType = nvmlEventTypeXidCriticalError,
                              .eventData = code,
                              .gpuInstanceId = SIM_NVML_UNKNOWN,
                              .computeInstanceId = SIM_NVML_UNKNOWN};
    return true;
}

/* SUCCESS with an event, GPU_IS_LOST, or TIMEOUT for nothing yet. */
static nvmlReturn_t look(struct set *s, nvmlEventData_t *data)
{
    nvmlReturn_t r = NVML_ERROR_TIMEOUT;
    pthread_mutex_lock(&s->lock);
    for (unsigned i = 0; i < sim_state->profile.n_devices && r == NVML_ERROR_TIMEOUT; i++)
        if (take(s, i, data))
            r = NVML_SUCCESS;
    for (unsigned i = 0; i < sim_state->profile.n_devices && r == NVML_ERROR_TIMEOUT; i++)
        if (s->types[i] != 0 && atomic_load(&sim_state->devices[i].fault.lost) != 0)
            r = NVML_ERROR_GPU_IS_LOST;
    pthread_mutex_unlock(&s->lock);
    return r;
}

static int64_t monotonic_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Waits in real time, whatever the machine's: nobody else would wake a reader of faults. */
nvmlReturn_t nvmlEventSetWait_v2(nvmlEventSet_t handle, nvmlEventData_t *data, unsigned int timeout_ms)
{
    struct set *s = set_of(handle);
    nvmlReturn_t r = sim_nvml_ready();
    if (r != NVML_SUCCESS)
        return r;
    if (s == NULL || data == NULL)
        return NVML_ERROR_INVALID_ARGUMENT;
    int64_t end = monotonic_ms() + timeout_ms;
    for (;;) {
        uint32_t turn = atomic_load(&sim_state->event_turn);
        r = look(s, data);
        int64_t left = end - monotonic_ms();
        if (r != NVML_ERROR_TIMEOUT || left <= 0)
            return r;
        struct timespec t = {.tv_sec = left / 1000, .tv_nsec = left % 1000 * 1000000};
        syscall(SYS_futex, &sim_state->event_turn, FUTEX_WAIT, turn, &t, NULL, 0);
    }
}

/* The first version ends before the instance ids. */
nvmlReturn_t nvmlEventSetWait(nvmlEventSet_t handle, nvmlEventData_t *data, unsigned int timeout_ms)
{
    nvmlEventData_t full;
    nvmlReturn_t r = nvmlEventSetWait_v2(handle, data != NULL ? &full : NULL, timeout_ms);
    if (r == NVML_SUCCESS)
        memcpy(data, &full, offsetof(nvmlEventData_t, gpuInstanceId));
    return r;
}
