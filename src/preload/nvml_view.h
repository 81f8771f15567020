/* SPDX-License-Identifier: Apache-2.0
 *
 * What the NVML wrappers share: whose device a handle is, and whose process a
 * pid is.
 */
#ifndef HAMI_PRELOAD_NVML_VIEW_H
#define HAMI_PRELOAD_NVML_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi/nvml.h"
#include "preload/slice.h"

#define NVML_VIEW_PROCESSES_MAX 4096

/* Whether this process has a view of its own at all. To be asked after the
 * library itself has answered, so that its own errors come first. */
enum slice_state nvml_view(void);

/* Region index of a handle; -1 = not one of the slice's devices. */
int nvml_view_device(nvmlDevice_t device);

/* The slot of the slice that NVML means by `pid`; -1 = a foreign process. */
int nvml_view_slot(unsigned pid);

/* The pid to show for a slot, and the pid that NVML knows the process of a
 * shown pid by (0 = not one of ours). */
unsigned nvml_view_pid(int slot);
unsigned nvml_view_host_pid(unsigned pid);

/* Memory for lists, from the kernel: lists can be long and an application's
 * allocator may be the one that asks. NULL when there is none. */
void *nvml_view_scratch(size_t bytes);
void nvml_view_scratch_free(void *scratch, size_t bytes);

#endif
