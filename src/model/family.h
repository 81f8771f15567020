/* SPDX-License-Identifier: Apache-2.0
 *
 * A family of accelerators as one row of data: what its resources are called,
 * how requests are read, how cards are found, chosen and written down. The
 * rows are in src/vendor/families.c; a set is built from them and the
 * device-config.yaml in force (vendor/config.h), since names, units and Ascend
 * and Iluvatar chips are configuration.
 *
 * Facts: vendors.md sections 1, 3, 6 and scheduler.md appendix A of the
 * specification; `docs/reference/vendors.md` is generated from the rows.
 */
#ifndef HAMI_MODEL_FAMILY_H
#define HAMI_MODEL_FAMILY_H

#include <stdbool.h>
#include <stdint.h>

#include "model/card.h"

#define FAMILIES_MAX 64

struct choice;
struct node_spec;
struct pod_request;
struct card_grant;
struct card_request;

enum family_source { FAMILY_LIMITS, FAMILY_LIMITS_OR_REQUESTS };
enum family_count_rule {
    FAMILY_COUNT_ANY,
    FAMILY_COUNT_POWER_8, /* 1, 2, 4 or 8 (Kunlunxin) */
    FAMILY_COUNT_EVEN,    /* 1 becomes 2, other odd ones are refused (Ascend910C) */
    FAMILY_COUNT_IS_SIZE  /* the number is a slice size, one card (Enflame DRS) */
};
enum family_mem_syntax { FAMILY_MEM_UNITS, FAMILY_MEM_GIB_OR_SUFFIX, FAMILY_MEM_GB_OR_MIB };
#define FAMILY_GB_AT_MOST 256 /* of one card: a larger number is MiB (FAMILY_MEM_GB_OR_MIB) */
enum family_mem_round {
    FAMILY_ROUND_NONE,
    FAMILY_ROUND_SHAPES,    /* up to the next shape of the family, else the whole card (Ascend) */
    FAMILY_ROUND_LADDER,    /* up to the next step, at most the last (vXPU) */
    FAMILY_ROUND_SET,       /* must be one of the steps (Moore Threads) */
    FAMILY_ROUND_CARD_SHAPE /* decided per card: its smallest sufficient shape (Enflame DRS) */
};
enum family_mem_default { FAMILY_MEM_WHOLE, FAMILY_MEM_CONST, FAMILY_MEM_NOTHING };
enum family_cores_kind {
    FAMILY_CORES_NONE,     /* not counted */
    FAMILY_CORES_PERCENT,  /* of one card, 100 = all */
    FAMILY_CORES_UNITS,    /* absolute units */
    FAMILY_CORES_OF_TOTAL, /* percent asked, max(1, total * p / 100) counted (AMD) */
    FAMILY_CORES_OF_MEM,   /* follow from memory (vXPU) */
    FAMILY_CORES_MASK      /* a set of cores (AWS Neuron) */
};
enum family_inventory {
    FAMILY_INV_JSON,
    FAMILY_INV_COLON,
    FAMILY_INV_CAPACITY,
    FAMILY_INV_METAX,
    FAMILY_INV_ENFLAME
};
enum family_health {
    FAMILY_HEALTH_HANDSHAKE,
    FAMILY_HEALTH_ALWAYS,
    FAMILY_HEALTH_CAPACITY,
    FAMILY_HEALTH_INVENTORY
};
enum family_cleanup { FAMILY_CLEANUP_NONE, FAMILY_CLEANUP_HANDSHAKE, FAMILY_CLEANUP_REGISTER };
enum family_grouping {
    FAMILY_GROUP_NONE,
    FAMILY_GROUP_LARGEST_FIRST, /* fill from the groups with most candidates (Ascend910*, Vastai dies) */
    FAMILY_GROUP_FULL_PAIRS,    /* only groups whose cards are all candidates (Ascend910C modules) */
    FAMILY_GROUP_WINDOW         /* consecutive idle cards (AWS Neuron devices) */
};
enum family_score {
    FAMILY_SCORE_NONE,
    FAMILY_SCORE_MAXFRAC,
    FAMILY_SCORE_TABLE,
    FAMILY_SCORE_PAIRLINK,
    FAMILY_SCORE_WINGS
};
enum family_lock { FAMILY_LOCK_NONE, FAMILY_LOCK_NODE, FAMILY_LOCK_CAMBRICON };

/* What is written into a pod's annotations beside hami.io/vgpu-node. */
enum family_write_format {
    FAMILY_WRITE_DEVICES,      /* UUID,TYPE,MiB,cores:...; of all containers */
    FAMILY_WRITE_INDICES,      /* "0,3" of all containers */
    FAMILY_WRITE_CORE_INDICES, /* Neuron: core numbers, or device numbers for whole devices */
    FAMILY_WRITE_SECONDS,
    FAMILY_WRITE_NANOSECONDS,
    FAMILY_WRITE_NODE,
    FAMILY_WRITE_CONST,        /* arg */
    FAMILY_WRITE_PROFILE_MLU,  /* <index>_<cores>_<mem/256 MiB> of the first card */
    FAMILY_WRITE_JSON_ASCEND,  /* [{"UUID","temp","memory","core"}] */
    FAMILY_WRITE_JSON_METAX,   /* [[{"uuid","compute","vRam"}],...] by container */
    FAMILY_WRITE_JSON_ENFLAME, /* {"ctr":{"allocated":false,"request":..}} */
    FAMILY_WRITE_ENFLAME_INDEX,
    FAMILY_WRITE_ENFLAME_ID,
    FAMILY_WRITE_ENFLAME_MINOR,
    FAMILY_WRITE_ENFLAME_SIZE,
    FAMILY_WRITE_MIG,        /* hami.io/vgpu-mig-allocations; left out when no card is in MIG mode */
    FAMILY_WRITE_NEURON_TYPE /* the neuroncore resource's name, in core mode only */
};
struct family_write {
    const char *key; /* in the rows "%s" stands for the family's word; expanded in a set */
    enum family_write_format format;
    const char *arg;
};
#define FAMILY_WRITES_MAX 12

/* Resource names; NULL or "" = the family has none. From the configuration. */
enum family_resource {
    FAMILY_COUNT,
    FAMILY_MEM,
    FAMILY_MEM_PERCENT,
    FAMILY_CORES,
    FAMILY_PRIORITY,
    FAMILY_RESOURCES
};

struct family {
    /* identity */
    uint16_t id;            /* row number in its set */
    const char *word;       /* the field's common word: "NVIDIA", "MLU", "Ascend910B3" */
    const char *title;      /* for people: "NVIDIA GPU" */
    const char *config_key; /* section of device-config.yaml */
    const char *chip;       /* chipName (Ascend, Iluvatar), else NULL */
    const char *resource[FAMILY_RESOURCES];
    bool enabled;

    /* reading a container's resources */
    enum family_source source_hook, source_parse;
    enum family_count_rule count_rule;
    uint32_t default_count;    /* claimed by memory or cores alone; 0 = not */
    bool parts_alone;          /* memory or cores stand in the place of the count (Enflame DRS, AWS Neuron) */
    uint64_t mem_unit_bytes;   /* of the number in the manifest, the configured factor included */
    uint32_t quota_mem_factor; /* limits.<mem> of a ResourceQuota times this is MiB */
    enum family_mem_syntax mem_syntax;
    enum family_mem_round mem_round;
    const uint32_t *ladder; /* steps in manifest units, ascending, 0 at the end */
    enum family_mem_default mem_default;
    uint64_t mem_default_bytes; /* for FAMILY_MEM_CONST, and NVIDIA's defaultMemory */
    bool mem_div_by_count;      /* the manifest's number is for all cards together */
    enum family_cores_kind cores_kind;
    uint32_t cores_unit; /* units of a whole card: 100, 16 */
    uint32_t cores_default;
    bool cores_div_by_count;
    bool multi_is_whole;               /* several cards take all cores of each */
    bool multi_mem_whole;              /* and all memory of each (Moore Threads) */
    bool equal_slices;                 /* all slices of a card have one size (vXPU) */
    bool quota;                        /* placement checks namespace quota */
    bool same_card_per_pod;            /* Moore Threads, MetaX GPU */
    bool idle_only;                    /* GCU, kunlun: only unused cards */
    bool super_pod;                    /* Ascend910C */
    const char *soft_key, *soft_value; /* pod annotation that selects soft slicing (Ascend) */
    const char *node_feature_key;      /* node annotation that allows it */
    bool node_feature_default;
    bool exclusive_cores; /* 100 % of an undivided card = alone on it */

    /* whole-card figures of a chip from the configuration (Ascend) */
    uint64_t mem_allocatable_bytes, mem_capacity_bytes;
    uint32_t aux_total[CARD_AUX];
    struct card_shapes *shapes; /* templates, ascending by memory; owned by the set */
    const char *runtime_class;
    bool overwrite_env;
    const char *core_policy; /* NVIDIA gpuCorePolicy */
    bool topology_aware;     /* MetaX sgpuTopologyAware */

    /* finding cards */
    enum family_inventory inventory;
    const char *register_key;  /* node annotation */
    const char *handshake_key; /* NULL = none */
    const char *score_key;     /* pair scores */
    enum family_health health;
    enum family_cleanup cleanup;
    const char *capacity_id;   /* "%s-cambricon-mlu-%u": node, index */
    uint32_t capacity_divisor; /* capacity units of one card */
    uint32_t capacity_slots;
    uint64_t capacity_mem_bytes; /* 0 = from the capacity of the memory resource */
    uint32_t force_cores;        /* registered cores are replaced by this; 0 = not */
    const char *info_group;      /* key of custominfo that is the group */

    /* selecting: annotation keys, NULL = none */
    const char *use_type_key, *not_type_key;
    const char *use_uuid_key[2], *not_uuid_key[2];

    /* choosing */
    enum family_grouping grouping;
    enum family_score score;
    uint32_t score_weight;
    bool policy_neutral;
    /* What data cannot say; NULL = the generic way. See model/choice.h. */
    bool (*pick)(struct choice *c);
    bool pick_ranks; /* pick prefers some sets of cards and, but for numa-bind, refuses none */
    int (*admits)(const struct choice *c, uint32_t card); /* 0 or an enum sched_reason */
    /* How good a pod's cards of this family are on this node, from 0 (worst) to
     * 1, beside how full the node is: the policy's sign does not turn it
     * around. `use` is the node's before the pod. NULL = by `score`. */
    double (*node_score)(const struct family *f, const struct node_spec *node, const struct card_use *use,
                         const struct pod_request *pod, const struct card_grant *grants, uint32_t n);

    /* writing */
    const char *to_allocate_key, *allocated_key;
    bool type_is_product;                          /* the TYPE field is the product name (AMD) */
    struct family_write writes[FAMILY_WRITES_MAX]; /* ends with a NULL key */
    enum family_lock lock;
};

/* All families in force. Built by vendor_config_*; rows are owned by the set. */
struct family_set {
    uint32_t n;
    struct family *rows[FAMILIES_MAX];
};

const struct family *family_of_word(const struct family_set *set, const char *word);
bool family_writes(const struct family *f, enum family_write_format format);

/* `cores` of a card of the family, or of what is taken of it, as a number: those of a mask are counted. */
static inline uint32_t family_cores(const struct family *f, uint32_t cores)
{
    return f->cores_kind == FAMILY_CORES_MASK ? (uint32_t)__builtin_popcount(cores) : cores;
}

#endif
