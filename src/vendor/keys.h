/* SPDX-License-Identifier: Apache-2.0
 *
 * Annotations of pods that belong to no single row of the family table
 * (scheduler.md sections 4.1 and 7.1, vendors.md 3.7), by the names that this
 * room has for them; the keys are in contract/annotations.def.
 */
#ifndef HAMI_VENDOR_KEYS_H
#define HAMI_VENDOR_KEYS_H

#include "model/annotation.h"

#define KEY_NODE_POLICY annotation_node_policy
#define KEY_CARD_POLICY annotation_card_policy
#define KEY_WEIGHTS annotation_scoring_weights
#define KEY_NUMA_BIND annotation_numa_bind
#define KEY_VGPU_MODE annotation_vgpu_mode
#define KEY_METAX_QOS annotation_metax_qos
#define KEY_METAX_CLASS annotation_metax_class
#define KEY_METAX_TOPOLOGY annotation_metax_topology

/* Written by the scheduler and by device plugins, never by users. */
#define KEY_ASSIGNED_NODE annotation_vgpu_node
#define KEY_ASSIGNED_TIME annotation_vgpu_time
#define KEY_BIND_PHASE annotation_bind_phase
#define KEY_BIND_TIME annotation_bind_time
#define KEY_MIG_ALLOCATIONS annotation_mig_allocations

/* The word by which a row of special rules is found. */
#define WORD_NVIDIA "NVIDIA"

#endif
