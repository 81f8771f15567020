/* SPDX-License-Identifier: Apache-2.0
 *
 * device-config.yaml: what it sets, what it warns about and what it refuses.
 * Expected values are those of scheduler.md sections 8.1, 10.4 and appendix A
 * and of vendors.md sections 1, 2.6 and 3.1.
 */
#include "vendor/config.h"

#include <string.h>

#include "base/status.h"
#include "model/quantity.h"

static const struct vendor_options all = {true, true};

static FamilySet *parse(const char *text, GPtrArray *warnings)
{
    g_autoptr(GError) error = NULL;
    FamilySet *set = vendor_config_parse(text, text ? strlen(text) : 0, &all, warnings, &error);
    if (!set)
        g_error("%s\n%s", text, error->message);
    return set;
}

static const struct family *family(const FamilySet *set, const char *word)
{
    const struct family *f = family_of_word(set, word);
    if (!f)
        g_error("there is no family %s", word);
    return f;
}

/* ---- built-in ---- */

static const struct {
    const char *word, *count, *mem, *cores;
    uint64_t unit_mib;
    uint32_t quota_factor, cores_default;
    const char *reg, *handshake, *to_allocate, *allocated;
    enum family_lock lock;
} built_in[] = {
    {"NVIDIA", "nvidia.com/gpu", "nvidia.com/gpumem", "nvidia.com/gpucores", 1, 1, 0,
     "hami.io/node-nvidia-register", "hami.io/node-handshake", "hami.io/vgpu-devices-to-allocate",
     "hami.io/vgpu-devices-allocated", FAMILY_LOCK_NODE},
    {"MLU", "cambricon.com/vmlu", "cambricon.com/mlu.smlu.vmemory", "cambricon.com/mlu.smlu.vcore", 256, 256,
     100, NULL, NULL, "hami.io/cambricon-mlu-devices-to-allocate", "hami.io/cambricon-mlu-devices-allocated",
     FAMILY_LOCK_CAMBRICON},
    {"DCU", "hygon.com/dcunum", "hygon.com/dcumem", "hygon.com/dcucores", 1, 1, 100,
     "hami.io/node-dcu-register", "hami.io/node-handshake-dcu", "hami.io/dcu-devices-to-allocate",
     "hami.io/dcu-devices-allocated", FAMILY_LOCK_NODE},
    {"BI-V150", "iluvatar.ai/BI-V150-vgpu", "iluvatar.ai/BI-V150.vMem", "iluvatar.ai/BI-V150.vCore", 256, 256,
     0, "hami.io/node-BI-V150-register", "hami.io/node-handshake-BI-V150",
     "hami.io/BI-V150-devices-to-allocate", "hami.io/BI-V150-devices-allocated", FAMILY_LOCK_NODE},
    {"Mthreads", "mthreads.com/vgpu", "mthreads.com/sgpu-memory", "mthreads.com/sgpu-core", 512, 512, 0, NULL,
     NULL, NULL, "hami.io/mthreads-vgpu-devices-allocated", FAMILY_LOCK_NONE},
    {"Metax-GPU", "metax-tech.com/gpu", NULL, NULL, 1, 1, 100, NULL, NULL,
     "hami.io/metax-gpu-devices-to-allocate", "hami.io/metax-gpu-devices-allocated", FAMILY_LOCK_NONE},
    {"Metax-SGPU", "metax-tech.com/sgpu", "metax-tech.com/vmemory", "metax-tech.com/vcore", 1024, 1024, 100,
     "metax-tech.com/node-gpu-devices", NULL, "hami.io/metax-sgpu-devices-to-allocate",
     "hami.io/metax-sgpu-devices-allocated", FAMILY_LOCK_NODE},
    {"GCU", "enflame.com/gcu", NULL, NULL, 1, 1, 100, NULL, NULL, "hami.io/enflame-gcu-devices-to-allocate",
     "hami.io/enflame-gcu-devices-allocated", FAMILY_LOCK_NONE},
    {"Enflame", "enflame.com/drs-gcu", "enflame.com/gcu-memory", "enflame.com/gcu-core", 1024, 1, 0,
     "enflame.com/gcu-drs-capacity", NULL, NULL, "hami.io/enflame-vgpu-devices-allocated", FAMILY_LOCK_NONE},
    {"kunlun", "kunlunxin.com/xpu", NULL, NULL, 1, 1, 100, NULL, NULL, NULL, "hami.io/kunlun-allocated",
     FAMILY_LOCK_NONE},
    {"XPU", "kunlunxin.com/vxpu", "kunlunxin.com/vxpu-memory", NULL, 1, 1, 0, "hami.io/node-register-xpu",
     "hami.io/node-handshake-xpu", "hami.io/xpu-devices-to-allocate", "hami.io/xpu-devices-allocated",
     FAMILY_LOCK_NODE},
    {"AWSNeuron", "aws.amazon.com/neuron", NULL, "aws.amazon.com/neuroncore", 0, 0, 0, NULL, NULL, NULL,
     "hami.io/aws-neuron-devices-allocated", FAMILY_LOCK_NONE},
    {"AMD", "amd.com/gpu", "amd.com/gpumem", "amd.com/gpucores", 1, 1, 100, "hami.io/node-amd-register", NULL,
     "hami.io/amd-devices-to-allocate", "hami.io/amd-devices-allocated", FAMILY_LOCK_NODE},
    {"Vastai", "vastaitech.com/va", NULL, NULL, 0, 0, 0, "hami.io/node-va-register",
     "hami.io/node-handshake-va", "hami.io/Vastai-devices-to-allocate", "hami.io/Vastai-devices-allocated",
     FAMILY_LOCK_NODE},
    {"Biren", "birentech.com/gpu", NULL, NULL, 0, 0, 0, "hami.io/node-biren-register",
     "hami.io/node-handshake-biren", "hami.io/Biren-devices-to-allocate", "hami.io/Biren-devices-allocated",
     FAMILY_LOCK_NODE},
    {"Ascend910B4-1", "huawei.com/Ascend910B4-1", "huawei.com/Ascend910B4-1-memory",
     "huawei.com/Ascend910B4-1-core", 1, 1, 0, "hami.io/node-register-Ascend910B4-1",
     "hami.io/node-handshake-Ascend910B4-1", "hami.io/Ascend910B4-1-devices-to-allocate",
     "hami.io/Ascend910B4-1-devices-allocated", FAMILY_LOCK_NODE},
};

static void the_built_in_families_are_those_of_the_chart(void)
{
    g_autoptr(FamilySet) set = parse(NULL, NULL);
    g_assert_cmpuint(set->n, ==, 14 + 4 + 7);
    for (size_t i = 0; i < G_N_ELEMENTS(built_in); i++) {
        const struct family *f = family(set, built_in[i].word);
        g_test_message("%s", built_in[i].word);
        g_assert_cmpstr(f->resource[FAMILY_COUNT], ==, built_in[i].count);
        g_assert_cmpstr(f->resource[FAMILY_MEM], ==, built_in[i].mem);
        g_assert_cmpstr(f->resource[FAMILY_CORES], ==, built_in[i].cores);
        g_assert_cmpuint(f->mem_unit_bytes, ==, built_in[i].unit_mib * QUANTITY_MIB);
        g_assert_cmpuint(f->quota_mem_factor, ==, built_in[i].quota_factor);
        g_assert_cmpuint(f->cores_default, ==, built_in[i].cores_default);
        g_assert_cmpstr(f->register_key, ==, built_in[i].reg);
        g_assert_cmpstr(f->handshake_key, ==, built_in[i].handshake);
        g_assert_cmpstr(f->to_allocate_key, ==, built_in[i].to_allocate);
        g_assert_cmpstr(f->allocated_key, ==, built_in[i].allocated);
        g_assert_cmpint(f->lock, ==, built_in[i].lock);
        g_assert_true(set->rows[f->id] == f);
    }
    g_assert_cmpuint(family(set, "NVIDIA")->default_count, ==, 1);
}

static void every_text_is_filled_in(void)
{
    g_autoptr(FamilySet) set = parse(NULL, NULL);
    for (uint32_t i = 0; i < set->n; i++) {
        const struct family *f = set->rows[i];
        const char *texts[] = {f->title,           f->register_key,    f->handshake_key, f->use_uuid_key[0],
                               f->not_uuid_key[0], f->to_allocate_key, f->allocated_key, f->use_type_key};
        for (size_t t = 0; t < G_N_ELEMENTS(texts); t++)
            g_assert_true(!texts[t] || !strchr(texts[t], '%'));
        for (const struct family_write *w = f->writes; w->key; w++)
            g_assert_null(strchr(w->key, '%'));
    }
}

static void ascend_chips_have_their_templates(void)
{
    static const struct {
        const char *word;
        uint32_t allocatable, capacity, cores, cpus, n, first_mib, last_mib, last_core, last_cpu;
    } chips[] = {
        {"Ascend910A", 32768, 32768, 30, 0, 4, 2184, 17476, 16, 0},
        {"Ascend910B2", 65536, 65536, 24, 6, 3, 8192, 32768, 12, 3},
        {"Ascend910B3", 65536, 65536, 20, 7, 2, 16384, 32768, 10, 3},
        {"Ascend910B4-1", 65536, 65536, 20, 7, 2, 16384, 32768, 10, 3},
        {"Ascend910B4", 32768, 32768, 20, 7, 2, 8192, 16384, 10, 3},
        {"Ascend310P", 21527, 24576, 8, 7, 3, 3072, 12288, 4, 4},
        {"Ascend910C", 65536, 65536, 20, 7, 2, 16384, 32768, 10, 3},
    };
    g_autoptr(FamilySet) set = parse(NULL, NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(chips); i++) {
        const struct family *f = family(set, chips[i].word);
        const struct card_shape *last = &f->shapes->shapes[f->shapes->n - 1];
        g_test_message("%s", chips[i].word);
        g_assert_cmpuint(f->mem_allocatable_bytes, ==, chips[i].allocatable * QUANTITY_MIB);
        g_assert_cmpuint(f->mem_capacity_bytes, ==, chips[i].capacity * QUANTITY_MIB);
        g_assert_cmpuint(f->aux_total[0], ==, chips[i].cores);
        g_assert_cmpuint(f->aux_total[1], ==, chips[i].cpus);
        g_assert_cmpuint(f->shapes->n, ==, chips[i].n);
        g_assert_cmpuint(f->shapes->shapes[0].mem_bytes, ==, chips[i].first_mib * QUANTITY_MIB);
        g_assert_cmpuint(last->mem_bytes, ==, chips[i].last_mib * QUANTITY_MIB);
        g_assert_cmpuint(last->aux[0], ==, chips[i].last_core);
        g_assert_cmpuint(last->aux[1], ==, chips[i].last_cpu);
    }
    g_assert_cmpint(family(set, "Ascend910C")->count_rule, ==, FAMILY_COUNT_EVEN);
    g_assert_cmpint(family(set, "Ascend910C")->grouping, ==, FAMILY_GROUP_FULL_PAIRS);
    g_assert_cmpint(family(set, "Ascend910B3")->grouping, ==, FAMILY_GROUP_LARGEST_FIRST);
    g_assert_cmpint(family(set, "Ascend310P")->grouping, ==, FAMILY_GROUP_NONE);
    g_assert_cmpstr(family(set, "Ascend910C")->chip, ==, "Ascend910");
}

static void flags_gate_ascend_and_iluvatar(void)
{
    static const struct vendor_options none = {false, false};
    g_autoptr(GError) error = NULL;
    g_autoptr(FamilySet) set = vendor_config_parse(NULL, 0, &none, NULL, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(set->n, ==, 14);
    g_assert_null(family_of_word(set, "Ascend910B3"));
    g_assert_null(family_of_word(set, "MR-V100"));
}

static void managed_resources_leave_out_what_plugins_advertise(void)
{
    static const char *const there[] = {"nvidia.com/gpu",       "nvidia.com/gpumem",
                                        "nvidia.com/gpucores",  "nvidia.com/gpumem-percentage",
                                        "nvidia.com/priority",  "cambricon.com/vmlu",
                                        "mthreads.com/vgpu",    "aws.amazon.com/neuroncore",
                                        "metax-tech.com/gpu",   "metax-tech.com/vmemory",
                                        "enflame.com/gcu-core", "huawei.com/Ascend910C-core"};
    static const char *const missing[] = {"cambricon.com/mlu.smlu.vmemory", "cambricon.com/mlu.smlu.vcore",
                                          "mthreads.com/sgpu-memory", "mthreads.com/sgpu-core", ""};
    g_autoptr(FamilySet) set = parse(NULL, NULL);
    g_auto(GStrv) names = vendor_config_resources(set);
    for (size_t i = 0; i < G_N_ELEMENTS(there); i++)
        if (!g_strv_contains((const char *const *)names, there[i]))
            g_error("%s is missing", there[i]);
    for (size_t i = 0; i < G_N_ELEMENTS(missing); i++)
        if (g_strv_contains((const char *const *)names, missing[i]))
            g_error("%s is there", missing[i]);
    for (int i = 0; i < 5; i++) /* in the chart's order */
        g_assert_cmpstr(names[i], ==, there[i]);
}

/* ---- a file ---- */

static void keys_that_are_absent_are_empty(void)
{
    g_autoptr(FamilySet) set = parse("nvidia:\n  resourceCountName: example.com/gpu\n", NULL);
    const struct family *f = family(set, "NVIDIA");
    g_assert_cmpuint(set->n, ==, 1); /* sections that are absent switch their families off */
    g_assert_cmpstr(f->resource[FAMILY_COUNT], ==, "example.com/gpu");
    g_assert_null(f->resource[FAMILY_MEM]);
    g_assert_cmpuint(f->default_count, ==, 0);
    g_assert_cmpuint(f->mem_unit_bytes, ==, QUANTITY_MIB);
    g_assert_cmpuint(f->quota_mem_factor, ==, 1);
}

static void values_reach_their_families(void)
{
    static const char text[] =
        "nvidia: {resourceCountName: a/gpu, resourcePriorityName: a/prio, overwriteEnv: yes, defaultMemory: "
        "512,\n"
        "  defaultCores: 10, defaultGPUNum: 2, memoryFactor: 1.024e+03, gpuCorePolicy: force,\n"
        "  runtimeClassName: nvidia, deviceMemoryScaling: 1.5}\n"
        "hygon: {resourceCountName: h/n, memoryFactor: 0}\n"
        "metax: {resourceVCountName: m/s, sgpuTopologyAware: true}\n"
        "enflame: ~\n"
        "vnpus:\n  configs:\n  - {commonWord: AscendX, chipName: 310, resourceName: h/x, memoryAllocatable: "
        "100,\n"
        "     templates: [{name: b, memory: 50, aiCore: 2}, {name: a, memory: 25, aiCore: 1}]}\n"
        "  hamiVnpuCore: true\n";
    g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(FamilySet) set = parse(text, warnings);
    const struct family *nvidia = family(set, "NVIDIA"), *ascend = family(set, "AscendX");
    g_assert_cmpuint(warnings->len, ==, 0);
    g_assert_cmpuint(set->n, ==, 4); /* Metax-GPU has no name, enflame is null */
    g_assert_cmpstr(nvidia->resource[FAMILY_PRIORITY], ==, "a/prio");
    g_assert_true(nvidia->overwrite_env);
    g_assert_cmpuint(nvidia->mem_default_bytes, ==, 512 * QUANTITY_MIB);
    g_assert_cmpuint(nvidia->cores_default, ==, 10);
    g_assert_cmpuint(nvidia->default_count, ==, 2);
    g_assert_cmpuint(nvidia->mem_unit_bytes, ==, 1024 * QUANTITY_MIB);
    g_assert_cmpuint(nvidia->quota_mem_factor, ==, 1024);
    g_assert_cmpstr(nvidia->core_policy, ==, "force");
    g_assert_cmpstr(nvidia->runtime_class, ==, "nvidia");
    g_assert_cmpuint(family(set, "DCU")->quota_mem_factor, ==, 1);
    g_assert_true(family(set, "Metax-SGPU")->topology_aware);
    g_assert_cmpstr(ascend->chip, ==, "310");
    g_assert_cmpstr(ascend->register_key, ==, "hami.io/node-register-AscendX");
    g_assert_cmpstr(ascend->shapes->shapes[0].name, ==, "a"); /* ascending by memory */
    g_assert_cmpuint(ascend->mem_capacity_bytes, ==, 100 * QUANTITY_MIB);
    g_assert_true(ascend->node_feature_default);
}

static void unknown_keys_are_warned_about(void)
{
    static const struct {
        const char *text, *want;
    } rows[] = {
        {"nvidia:\n  resourceCountName: a/b\n  resourceCountname: a/c\n",
         "device-config.yaml:3:3: nvidia.resourceCountname: there is no such key, it is ignored; did you "
         "mean resourceCountName?"},
        {"nvidia: {resourceCountName: a/b}\nnvida: {}\n",
         "device-config.yaml:2:1: nvida: there is no such key, it is ignored; did you mean nvidia?"},
        {"nvidia: {resourceCountName: a/b, knownMigGeometries: []}\n",
         "device-config.yaml:1:54: nvidia.knownMigGeometries: has no effect"},
        {"vnpus:\n  configs:\n  - {commonWord: A, resourceName: a/b, memoryAllocatable: 1, templates: "
         "[{name: x, memory: 1, aiCores: 2}]}\n",
         "device-config.yaml:3:95: vnpus.configs[0].templates[0].aiCores: there is no such key, it is "
         "ignored; did you mean aiCore?"},
        {"nvidia: {resourceCountName: a/b, migProfileAllowlist: [{models: [A30], profiles: [1g.6gb], x: "
         "1}]}\n",
         "device-config.yaml:1:92: nvidia.migProfileAllowlist: the key x is unknown and ignored; an entry "
         "holds models and profiles"},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
        g_autoptr(FamilySet) set = parse(rows[i].text, warnings);
        g_assert_cmpuint(set->n, ==, 1);
        g_assert_cmpuint(warnings->len, ==, 1);
        g_assert_cmpstr(warnings->pdata[0], ==, rows[i].want);
    }
}

static void useless_values_refuse_the_file(void)
{
    static const struct {
        const char *text, *want; /* its beginning, behind "device-config.yaml:" */
    } rows[] = {
        {"", "1:1: the file: is empty"},
        {"# nothing\n", "1:1: the file: is empty"},
        {"{}", "1:1: the file: has no section"},
        {"nvidia: ~\n", "1:1: the file: has no section"},
        {"- a\n", "1:1: the file: must be a mapping"},
        {"apiVersion: v1\nkind: ConfigMap\ndata: {a: b}\n",
         "1:1: the file: is a manifest of Kubernetes, not what it holds"},
        {"nvidia: [\n", "2:1: is not YAML"},
        {"nvidia: 5\n", "1:9: nvidia: must be a mapping (key: value), not a single value"},
        {"nvidia:\n  defaultMemory: lots\n", "2:18: nvidia.defaultMemory: \"lots\" is not a whole number"},
        {"nvidia:\n  defaultMemory: -1\n", "2:18: nvidia.defaultMemory: -1 is not within 0 and 2147483647"},
        {"nvidia:\n  defaultMemory: 2147483648\n", "2:18: nvidia.defaultMemory: 2147483648 is not within"},
        {"nvidia:\n  defaultMemory: .nan\n", "2:18: nvidia.defaultMemory: \".nan\" is not a whole number"},
        {"nvidia:\n  defaultMemory: 1e999\n", "2:18: nvidia.defaultMemory: \"1e999\" is not a whole number"},
        {"nvidia:\n  defaultMemory: 1.5\n", "2:18: nvidia.defaultMemory: \"1.5\" is not a whole number"},
        {"nvidia:\n  defaultCores: 101\n", "2:17: nvidia.defaultCores: 101 is not within 0 and 100"},
        {"nvidia:\n  deviceSplitCount: 0\n", "2:21: nvidia.deviceSplitCount: 0 is not within 1 and 65535"},
        {"nvidia:\n  deviceMemoryScaling: -1\n", "2:24: nvidia.deviceMemoryScaling: \"-1\""},
        {"nvidia:\n  overwriteEnv: 3\n", "2:17: nvidia.overwriteEnv: \"3\" is neither true nor false"},
        {"nvidia:\n  gpuCorePolicy: forced\n", "2:18: nvidia.gpuCorePolicy: \"forced\" is none of"},
        {"nvidia:\n  resourceCountName: [a]\n",
         "2:22: nvidia.resourceCountName: must be a single value, not a list"},
        {"nvidia:\n  resourceCountName: a b\n",
         "2:22: nvidia.resourceCountName: \"a b\" is no resource name"},
        {"nvidia:\n  resourceCountName: a/b/c\n",
         "2:22: nvidia.resourceCountName: \"a/b/c\" is no resource name"},
        {"nvidia:\n  resourceCountName: \"a\\0b\"\n",
         "2:22: nvidia.resourceCountName: must not hold control characters"},
        {"nvidia:\n  resourceCountName: a/b\n  resourceMemoryName: a/b\n",
         "3:23: nvidia.resourceMemoryName: a/b is already nvidia.resourceCountName"},
        {"nvidia:\n  overwriteEnv: true\n  overwriteEnv: false\n",
         "3:3: nvidia.overwriteEnv: the key is given twice"},
        {"nvidia:\n  migProfileAllowlist: [{models: [A30], profiles: [6gb]}]\n",
         "2:52: nvidia.migProfileAllowlist: \"6gb\" is no MIG profile"},
        {"nvidia:\n  migProfileAllowlist: [{models: [], profiles: [1g.6gb]}]\n",
         "2:34: nvidia.migProfileAllowlist: must not be empty"},
        {"nvidia:\n  migProfileAllowlist: [{models: [A30]}]\n",
         "2:25: nvidia.migProfileAllowlist: an entry needs models and profiles"},
        {"vnpus:\n- {commonWord: A}\n",
         "2:1: vnpus: must be a mapping: write the list under its key configs"},
        {"vnpus: {configs: [{chipName: A}]}\n", "1:19: vnpus.configs[0]: commonWord is missing"},
        {"vnpus: {configs: [{commonWord: A}]}\n", "1:19: vnpus.configs[0]: memoryAllocatable is missing"},
        {"vnpus: {configs: [{commonWord: 'a,b', memoryAllocatable: 1}]}\n",
         "1:32: vnpus.configs[0].commonWord: must be a word"},
        {"vnpus: {configs: [{commonWord: A, memoryAllocatable: 2, memoryCapacity: 1}]}\n",
         "1:19: vnpus.configs[0]: memoryCapacity is below"},
        {"vnpus: {configs: [{commonWord: A, memoryAllocatable: 2, templates: [{name: t, memory: 3}]}]}\n",
         "1:19: vnpus.configs[0]: template t has more memory"},
        {"vnpus: {configs: [{commonWord: A, memoryAllocatable: 2, templates: [{name: t}]}]}\n",
         "1:69: vnpus.configs[0].templates[0]: a template needs name and memory"},
        {"iluvatars: [{commonWord: MR-V100}, {commonWord: MR-V100}]\n",
         "1:36: iluvatars[1]: there is a family MR-V100 already"},
        {"iluvatars: [{commonWord: NVIDIA}]\n", "1:13: iluvatars[0]: there is a family NVIDIA already"},
        {"? [a]\n: b\n", "1:3: the file: a key must be a short word"},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) error = NULL;
        g_autofree char *want = g_strconcat("device-config.yaml:", rows[i].want, NULL);
        g_test_message("%s", rows[i].text);
        g_assert_null(vendor_config_parse(rows[i].text, strlen(rows[i].text), &all, NULL, &error));
        g_assert_error(error, STATUS_ERROR, STATUS_CONFIG);
        if (!g_str_has_prefix(error->message, want))
            g_error("\"%s\" does not begin with \"%s\"", error->message, want);
    }
}

static void large_and_long_files_are_refused(void)
{
    g_autoptr(GError) large = NULL, many = NULL;
    g_autofree char *blanks = g_strnfill((1 << 20) + 1, ' ');
    g_autoptr(GString) chips = g_string_new("iluvatars:\n");
    g_assert_null(vendor_config_parse(blanks, strlen(blanks), &all, NULL, &large));
    g_assert_nonnull(strstr(large->message, "more than 1048576 bytes"));
    for (int i = 0; i < 100; i++)
        g_string_append_printf(chips, "- {commonWord: w%d, resourceCountName: a/w%d}\n", i, i);
    g_assert_null(vendor_config_parse(chips->str, chips->len, &all, NULL, &many));
    g_assert_nonnull(strstr(many->message, "iluvatars: more than 24 entries"));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define TEST(name) g_test_add_func("/device-config/" #name, name)
    TEST(the_built_in_families_are_those_of_the_chart);
    TEST(every_text_is_filled_in);
    TEST(ascend_chips_have_their_templates);
    TEST(flags_gate_ascend_and_iluvatar);
    TEST(managed_resources_leave_out_what_plugins_advertise);
    TEST(keys_that_are_absent_are_empty);
    TEST(values_reach_their_families);
    TEST(unknown_keys_are_warned_about);
    TEST(useless_values_refuse_the_file);
    TEST(large_and_long_files_are_refused);
    return g_test_run();
}
