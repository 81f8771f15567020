/* SPDX-License-Identifier: Apache-2.0
 *
 * The flags that describe a request for cards, shared by `hami yaml` and
 * `hami explain fit`.
 */
#ifndef HAMI_CLI_MANIFEST_FLAGS_H
#define HAMI_CLI_MANIFEST_FLAGS_H

#include "cli/cli.h"
#include "vendor/config.h"
#include "vendor/manifest.h"

struct manifest_flags {
    struct cli_list request;
    const char *vendor, *gpus, *size, *mem, *cores, *priority, *type, *not_type, *uuid, *not_uuid,
        *node_policy, *card_policy, *weights, *mode, *qos, *app_class, *topology, *device_config;
    bool numa;
};

#define MANIFEST_FLAGS(f)                                                                                    \
    {"vendor", 0, CLI_TEXT, "NAME", "family of cards: NVIDIA, MLU, Ascend910B3, amd, ... (NVIDIA)",          \
     &f.vendor},                                                                                             \
        {"request",                                                                                          \
         0,                                                                                                  \
         CLI_LIST,                                                                                           \
         "RESOURCE=N,...",                                                                                   \
         "limits by their Kubernetes names, instead of the flags below",                                     \
         &f.request},                                                                                        \
        {"gpus", 'g', CLI_TEXT, "N", "cards (1)", &f.gpus},                                                  \
        {"size", 0, CLI_TEXT, "N", "of the slice of one card, for Enflame DRS (1)", &f.size},                \
        {"mem", 'm', CLI_TEXT, "SIZE", "memory of each: MiB, 8G, or 30% of the card", &f.mem},               \
        {"cores", 'c', CLI_TEXT, "N", "compute of each in the family's unit, mostly percent", &f.cores},     \
        {"priority", 0, CLI_TEXT, "0|1", "of the task among those that share a card", &f.priority},          \
        {"type", 0, CLI_TEXT, "LIST", "product names to use", &f.type},                                      \
        {"not-type", 0, CLI_TEXT, "LIST", "product names to avoid", &f.not_type},                            \
        {"uuid", 0, CLI_TEXT, "LIST", "cards to use", &f.uuid},                                              \
        {"not-uuid", 0, CLI_TEXT, "LIST", "cards to avoid", &f.not_uuid},                                    \
        {"node-policy", 0, CLI_TEXT, "POLICY", "binpack or spread over nodes", &f.node_policy},              \
        {"gpu-policy",  0, CLI_TEXT, "POLICY", "binpack, spread, numa, mutex, topology-aware or a list",     \
         &f.card_policy},                                                                                    \
        {"weights", 0, CLI_TEXT, "LIST", "slot=N,core=N,memory=N: what makes a card full", &f.weights},      \
        {"mode", 0, CLI_TEXT, "MODE", "hami-core, mig or mps; hami-core for Ascend", &f.mode},               \
        {"qos", 0, CLI_TEXT, "POLICY", "MetaX sGPU: best-effort, fixed-share or burst-share", &f.qos},       \
        {"app-class", 0, CLI_TEXT, "CLASS", "MetaX sGPU: online or offline", &f.app_class},                  \
        {"topology", 0, CLI_TEXT, "BOOL", "MetaX sGPU: whether whole cards are linked ones", &f.topology},   \
        {"numa", 0, CLI_FLAG, NULL, "all cards on one NUMA node", &f.numa},                                  \
    {                                                                                                        \
        "device-config-file", 0, CLI_TEXT, "FILE",                                                           \
            "device-config.yaml of the cluster (the built-in defaults)", &f.device_config                    \
    }

struct manifest_options manifest_flags_options(const struct manifest_flags *f);

/* The families of --device-config-file, all chips enabled. NULL and *ret_status when it cannot be used
 * (said). */
struct family_set *manifest_flags_families(const struct verb *v, const struct manifest_flags *f,
                                           int *ret_status);

#endif
