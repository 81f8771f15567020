/* SPDX-License-Identifier: Apache-2.0
 *
 * A small cluster for tests of the scheduling core: families of our own making
 * (the field's are tested in tests/unit/vendor), cards and requests in MiB.
 */
#ifndef HAMI_TESTS_SCHED_FIXTURE_H
#define HAMI_TESTS_SCHED_FIXTURE_H

#include <glib.h>
#include <string.h>

#include "sched/cluster.h"

#define MIB(n) ((uint64_t)(n) << 20)

enum { GPU, MLU, NPU, DIE, CORE, CU, FAMILIES };

static struct family families_[FAMILIES] = {
    [GPU] = {.word = "NVIDIA",
             .resource = {[FAMILY_COUNT] = "nvidia.com/gpu",
                          [FAMILY_MEM] = "nvidia.com/gpumem",
                          [FAMILY_CORES] = "nvidia.com/gpucores"},
             .quota_mem_factor = 1,
             .cores_kind = FAMILY_CORES_PERCENT,
             .quota = true,
             .exclusive_cores = true,
             .writes = {{.key = "hami.io/vgpu-mig-allocations", .format = FAMILY_WRITE_MIG}}},
    [MLU] = {.word = "MLU",
             .resource = {[FAMILY_COUNT] = "cambricon.com/vmlu",
                          [FAMILY_MEM] = "cambricon.com/mlu.smlu.vmemory",
                          [FAMILY_CORES] = "cambricon.com/mlu.smlu.vcore"},
             .quota_mem_factor = 256,
             .cores_kind = FAMILY_CORES_PERCENT,
             .quota = true,
             .exclusive_cores = true},
    [NPU] = {.word = "Ascend910B3",
             .resource =
                 {[FAMILY_COUNT] = "huawei.com/Ascend910B3", [FAMILY_MEM] = "huawei.com/Ascend910B3-memory"},
             .quota_mem_factor = 1,
             .cores_kind = FAMILY_CORES_PERCENT,
             .soft_key = "huawei.com/vnpu-mode",
             .grouping = FAMILY_GROUP_LARGEST_FIRST,
             .score = FAMILY_SCORE_MAXFRAC,
             .score_weight = 10},
    [DIE] = {.word = "Ascend910C",
             .resource = {[FAMILY_COUNT] = "huawei.com/Ascend910"},
             .cores_kind = FAMILY_CORES_NONE,
             .grouping = FAMILY_GROUP_FULL_PAIRS},
    [CORE] =
        {.word = "AWSNeuron",
         .resource = {[FAMILY_COUNT] = "aws.amazon.com/neuron", [FAMILY_CORES] = "aws.amazon.com/neuroncore"},
         .cores_kind = FAMILY_CORES_MASK,
         .grouping = FAMILY_GROUP_WINDOW},
    [CU] = {.word = "AMD",
            .resource = {[FAMILY_COUNT] = "amd.com/gpu"},
            .cores_kind = FAMILY_CORES_OF_TOTAL,
            .cores_unit = 100},
};

static inline const struct family_set *families(void)
{
    static struct family_set set;
    for (uint16_t i = 0; i < FAMILIES; i++) {
        families_[i].id = i;
        set.rows[i] = &families_[i];
    }
    set.n = FAMILIES;
    return &set;
}

static inline struct card card(uint16_t family, const char *uuid, uint64_t mib)
{
    return (struct card){.uuid = uuid,
                         .type = family == GPU ? "NVIDIA-Tesla V100" : families_[family].word,
                         .mem_bytes = MIB(mib),
                         .cores = 100,
                         .slots = 10,
                         .group = -1,
                         .family = family,
                         .healthy = true};
}

static inline struct pod_request ask(const char *uid, uint16_t family, uint32_t n_cards, uint64_t mib,
                                     uint32_t cores)
{
    return (struct pod_request){
        .n_slots = 1,
        .slot_kind = {SLOT_APP},
        .n_requests = 1,
        .requests = {{.family = family, .n_cards = n_cards, .mem_bytes = MIB(mib), .cores = cores}},
        .node_policy = NODE_BINPACK,
        .card_policy = {CARD_SPREAD},
        .n_card_policy = 1,
        .weight_slot = 1,
        .weight_core = 1,
        .weight_mem = 1,
        .topology_wanted = -1,
        .uid = uid,
        .namespace_ = "default",
        .name = uid};
}

/* One card for each of two containers: an init container, then an app. */
static inline struct pod_request ask_twice(const char *uid, uint64_t init_mib, uint64_t app_mib,
                                           uint32_t cores)
{
    struct pod_request r = ask(uid, GPU, 1, init_mib, cores);
    r.n_slots = r.n_requests = 2;
    r.slot_kind[0] = SLOT_INIT;
    r.slot_kind[1] = SLOT_APP;
    r.requests[1] = r.requests[0];
    r.requests[1].slot = 1;
    r.requests[1].mem_bytes = MIB(app_mib);
    return r;
}

static inline void assert_sound(const Cluster *c)
{
    g_autofree char *broken = cluster_check(c);
    g_assert_cmpstr(broken, ==, NULL);
}

#endif
