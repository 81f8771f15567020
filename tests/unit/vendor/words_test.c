/* SPDX-License-Identifier: Apache-2.0
 *
 * The words that every family's users, plugins and dashboards know: vendors.md
 * section 1, scheduler.md sections 3.1, 3.7, 7.1 and appendix A. A row that changes
 * one of them breaks somebody.
 */
#include <glib.h>
#include <string.h>

#include "tests/unit/model/families.h"

struct words {
    const char *family;
    const char *resources;     /* count, memory, percentage, cores, priority */
    const char *node;          /* register, handshake, pair scores */
    const char *pod;           /* to-allocate, allocated */
    const char *uuids, *types; /* use and nouse, pair after pair */
    const char *further;       /* what else is written on the pod, in any order */
    enum family_lock lock;
    enum family_cleanup cleanup;
};

#define HUAWEI(word)                                                                                         \
    {                                                                                                        \
        word, "huawei.com/" word " huawei.com/" word "-memory - huawei.com/" word "-core -",                 \
            "hami.io/node-register-" word " hami.io/node-handshake-" word " -",                              \
            "hami.io/" word "-devices-to-allocate hami.io/" word "-devices-allocated",                       \
            "hami.io/use-" word "-uuid hami.io/no-use-" word "-uuid", "", "predicate-time huawei.com/" word, \
            FAMILY_LOCK_NODE, FAMILY_CLEANUP_HANDSHAKE                                                       \
    }
#define ILUVATAR(word)                                                                                       \
    {                                                                                                        \
        word, "iluvatar.ai/" word "-vgpu iluvatar.ai/" word ".vMem - iluvatar.ai/" word ".vCore -",          \
            "hami.io/node-" word "-register hami.io/node-handshake-" word " -",                              \
            "hami.io/" word "-devices-to-allocate hami.io/" word "-devices-allocated",                       \
            "hami.io/use-" word "-uuid hami.io/no-use-" word "-uuid", "", "", FAMILY_LOCK_NODE,              \
            FAMILY_CLEANUP_NONE                                                                              \
    }

static const struct words rows[] = {
    {"NVIDIA",
     "nvidia.com/gpu nvidia.com/gpumem nvidia.com/gpumem-percentage nvidia.com/gpucores nvidia.com/priority",
     "hami.io/node-nvidia-register hami.io/node-handshake hami.io/node-nvidia-score",
     "hami.io/vgpu-devices-to-allocate hami.io/vgpu-devices-allocated",
     "nvidia.com/use-gpuuuid nvidia.com/nouse-gpuuuid", "nvidia.com/use-gputype nvidia.com/nouse-gputype",
     "hami.io/vgpu-mig-allocations", FAMILY_LOCK_NODE, FAMILY_CLEANUP_HANDSHAKE},
    {"MLU", "cambricon.com/vmlu cambricon.com/mlu.smlu.vmemory - cambricon.com/mlu.smlu.vcore -", "- - -",
     "hami.io/cambricon-mlu-devices-to-allocate hami.io/cambricon-mlu-devices-allocated",
     "cambricon.com/use-gpuuuid cambricon.com/nouse-gpuuuid", "",
     "CAMBRICON_DSMLU_ASSIGNED CAMBRICON_DSMLU_ASSIGHED CAMBRICON_DSMLU_PROFILE", FAMILY_LOCK_CAMBRICON,
     FAMILY_CLEANUP_NONE},
    {"DCU", "hygon.com/dcunum hygon.com/dcumem - hygon.com/dcucores -",
     "hami.io/node-dcu-register hami.io/node-handshake-dcu -",
     "hami.io/dcu-devices-to-allocate hami.io/dcu-devices-allocated",
     "hygon.com/use-gpuuuid hygon.com/nouse-gpuuuid", "hygon.com/use-dcutype hygon.com/nouse-dcutype", "",
     FAMILY_LOCK_NODE, FAMILY_CLEANUP_HANDSHAKE},
    ILUVATAR("MR-V100"),
    ILUVATAR("MR-V50"),
    ILUVATAR("BI-V150"),
    ILUVATAR("BI-V100"),
    {"Mthreads", "mthreads.com/vgpu mthreads.com/sgpu-memory - mthreads.com/sgpu-core -", "- - -",
     "- hami.io/mthreads-vgpu-devices-allocated", "mthreads.ai/use-gpuuuid mthreads.ai/nouse-gpuuuid", "",
     "mthreads.com/gpu-index mthreads.com/predicate-node mthreads.com/predicate-time", FAMILY_LOCK_NONE,
     FAMILY_CLEANUP_NONE},
    {"Metax-GPU", "metax-tech.com/gpu - - - -", "- - -",
     "hami.io/metax-gpu-devices-to-allocate hami.io/metax-gpu-devices-allocated", "", "", "",
     FAMILY_LOCK_NONE, FAMILY_CLEANUP_NONE},
    {"Metax-SGPU", "metax-tech.com/sgpu metax-tech.com/vmemory - metax-tech.com/vcore -",
     "metax-tech.com/node-gpu-devices - -",
     "hami.io/metax-sgpu-devices-to-allocate hami.io/metax-sgpu-devices-allocated",
     "metax-tech.com/use-gpuuuid metax-tech.com/nouse-gpuuuid", "",
     "metax-tech.com/gpu-devices-allocated metax-tech.com/predicate-time", FAMILY_LOCK_NODE,
     FAMILY_CLEANUP_NONE},
    {"GCU", "enflame.com/gcu - - - -", "- - -",
     "hami.io/enflame-gcu-devices-to-allocate hami.io/enflame-gcu-devices-allocated", "", "", "",
     FAMILY_LOCK_NONE, FAMILY_CLEANUP_NONE},
    {"Enflame", "enflame.com/drs-gcu enflame.com/gcu-memory - enflame.com/gcu-core -",
     "enflame.com/gcu-drs-capacity - -", "- hami.io/enflame-vgpu-devices-allocated",
     "enflame.com/use-gpuuuid enflame.com/nouse-gpuuuid", "",
     "enflame.com/gcu-assigned enflame.com/gcu-assigned-time enflame.com/gcu-assigned-index "
     "enflame.com/gcu-assigned-id enflame.com/gcu-assigned-minor enflame.com/gcu-request-size "
     "assigned-containers",
     FAMILY_LOCK_NONE, FAMILY_CLEANUP_NONE},
    {"kunlun", "kunlunxin.com/xpu - - - -", "- - -", "- hami.io/kunlun-allocated",
     "baidu.com/use-gpuuuid baidu.com/nouse-gpuuuid hami.io/use-xpu-uuid hami.io/no-use-xpu-uuid", "",
     "BAIDU_COM_DEVICE_IDX", FAMILY_LOCK_NONE, FAMILY_CLEANUP_NONE},
    {"XPU", "kunlunxin.com/vxpu kunlunxin.com/vxpu-memory - - -",
     "hami.io/node-register-xpu hami.io/node-handshake-xpu -",
     "hami.io/xpu-devices-to-allocate hami.io/xpu-devices-allocated",
     "baidu.com/use-gpuuuid baidu.com/nouse-gpuuuid hami.io/use-xpu-uuid hami.io/no-use-xpu-uuid", "", "",
     FAMILY_LOCK_NODE, FAMILY_CLEANUP_HANDSHAKE},
    {"AWSNeuron", "aws.amazon.com/neuron - - aws.amazon.com/neuroncore -", "- - -",
     "- hami.io/aws-neuron-devices-allocated",
     "aws.amazon.com/use-neuron-uuid aws.amazon.com/nouse-neuron-uuid", "",
     "AWS_NEURON_IDS NEURON_RESOURCE_TYPE NEURON_ALLOC_TIME NEURON_ALLOCATED aws.amazon.com/predicate-node",
     FAMILY_LOCK_NONE, FAMILY_CLEANUP_NONE},
    {"AMD", "amd.com/gpu amd.com/gpumem - amd.com/gpucores -", "hami.io/node-amd-register - -",
     "hami.io/amd-devices-to-allocate hami.io/amd-devices-allocated",
     "amd.com/use-gpu-uuid amd.com/nouse-gpu-uuid", "amd.com/use-gputype amd.com/nouse-gputype", "",
     FAMILY_LOCK_NODE, FAMILY_CLEANUP_REGISTER},
    {"Vastai", "vastaitech.com/va - - - -", "hami.io/node-va-register hami.io/node-handshake-va -",
     "hami.io/Vastai-devices-to-allocate hami.io/Vastai-devices-allocated",
     "vastaitech.com/use-gpuuuid vastaitech.com/nouse-gpuuuid", "", "", FAMILY_LOCK_NODE,
     FAMILY_CLEANUP_HANDSHAKE},
    {"Biren", "birentech.com/gpu - - - -", "hami.io/node-biren-register hami.io/node-handshake-biren -",
     "hami.io/Biren-devices-to-allocate hami.io/Biren-devices-allocated",
     "birentech.com/use-gpuuuid birentech.com/nouse-gpuuuid", "", "", FAMILY_LOCK_NODE,
     FAMILY_CLEANUP_HANDSHAKE},
    HUAWEI("Ascend910A"),
    HUAWEI("Ascend910B2"),
    HUAWEI("Ascend910B3"),
    HUAWEI("Ascend910B4-1"),
    HUAWEI("Ascend910B4"),
    HUAWEI("Ascend310P"),
    HUAWEI("Ascend910C"),
};

/* The words with blanks between; "-" for none. Caller frees. */
static char *joined(const char *const *texts, size_t n)
{
    GString *all = g_string_new("");
    for (size_t i = 0; i < n; i++)
        g_string_append_printf(all, "%s%s", i ? " " : "", texts[i] && *texts[i] ? texts[i] : "-");
    return g_string_free(all, FALSE);
}

static void check(const char *what, const char *const *texts, size_t n, const char *want)
{
    g_autofree char *got = joined(texts, n);
    g_test_message("%s", what);
    g_assert_cmpstr(got, ==, want);
}

static void check_pairs(const char *what, const char *const *pairs, const char *want)
{
    size_t n = 0;
    while (n < 4 && pairs[n])
        n++;
    g_autofree char *got = joined(pairs, n);
    g_test_message("%s", what);
    g_assert_cmpstr(got, ==, want);
}

static void check_writes(const struct family *f, const char *further)
{
    g_auto(GStrv) wanted = g_strsplit(further, " ", -1);
    unsigned left = g_strv_length(wanted);
    for (const struct family_write *w = f->writes; w->key; w++) {
        if (g_strcmp0(w->key, f->to_allocate_key) == 0 || g_strcmp0(w->key, f->allocated_key) == 0)
            continue;
        g_test_message("writes %s", w->key);
        g_assert_true(g_strv_contains((const char *const *)wanted, w->key));
        left--;
    }
    g_assert_cmpuint(left, ==, 0);
}

static void every_family_keeps_its_words(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        const struct words *w = &rows[i];
        const struct family *f = family(w->family);
        const char *const node[] = {f->register_key, f->handshake_key, f->score_key};
        const char *const pod[] = {f->to_allocate_key, f->allocated_key};
        const char *const uuids[] = {f->use_uuid_key[0], f->not_uuid_key[0], f->use_uuid_key[1],
                                     f->not_uuid_key[1]};
        const char *const types[] = {f->use_type_key, f->not_type_key, NULL, NULL};
        g_test_message("%s", w->family);
        check("resources", f->resource, FAMILY_RESOURCES, w->resources);
        check("on the node", node, G_N_ELEMENTS(node), w->node);
        check("on the pod", pod, G_N_ELEMENTS(pod), w->pod);
        check_pairs("UUIDs", uuids, w->uuids);
        check_pairs("types", types, w->types);
        check_writes(f, w->further);
        g_assert_cmpint(f->lock, ==, w->lock);
        g_assert_cmpint(f->cleanup, ==, w->cleanup);
    }
    g_assert_cmpuint(families()->n, ==, G_N_ELEMENTS(rows));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/families/every_family_keeps_its_words", every_family_keeps_its_words);
    return g_test_run();
}
