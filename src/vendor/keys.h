/* SPDX-License-Identifier: Apache-2.0
 *
 * Annotations of pods that belong to no single row of the family table
 * (scheduler.md sections 4.1 and 7.1, vendors.md 3.7).
 */
#ifndef HAMI_VENDOR_KEYS_H
#define HAMI_VENDOR_KEYS_H

#define KEY_NODE_POLICY "hami.io/node-scheduler-policy"
#define KEY_CARD_POLICY "hami.io/gpu-scheduler-policy"
#define KEY_WEIGHTS "hami.io/device-scoring-weights"
#define KEY_NUMA_BIND "nvidia.com/numa-bind"
#define KEY_VGPU_MODE "nvidia.com/vgpu-mode"
#define KEY_METAX_QOS "metax-tech.com/sgpu-qos-policy"
#define KEY_METAX_CLASS "metax-tech.com/sgpu-app-class"
#define KEY_METAX_TOPOLOGY "metax-tech.com/sgpu-topology-aware"

/* Written by the scheduler and by device plugins, never by users. */
#define KEY_ASSIGNED_NODE "hami.io/vgpu-node"
#define KEY_ASSIGNED_TIME "hami.io/vgpu-time"
#define KEY_BIND_PHASE "hami.io/bind-phase"
#define KEY_BIND_TIME "hami.io/bind-time"
#define KEY_MIG_ALLOCATIONS "hami.io/vgpu-mig-allocations"

/* The word by which a row of special rules is found. */
#define WORD_NVIDIA "NVIDIA"

#endif
