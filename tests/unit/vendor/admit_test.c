/* SPDX-License-Identifier: Apache-2.0
 *
 * What the webhook makes of pods, by scheduler.md sections 2 and 12 and
 * vendors.md sections 3, 8 and 9. Patches are applied by the small RFC 6902
 * applier of pods.c, and the resulting pod is compared.
 */
#include "pods.h"
#include "vendor/admit.h"

/* ---- asking ---- */

static struct admit_policy policy(void)
{
    return (struct admit_policy){.scheduler_name = "hami-scheduler",
                                 .force_overwrite = true,
                                 .defaults = {.node_policy = "binpack", .card_policy = "spread"}};
}

static json_t *load(const char *quoted)
{
    g_autofree char *text = pods_text(quoted);
    json_error_t error;
    json_t *pod = json_loads(text, 0, &error);
    if (!pod)
        g_error("%s at %d: %s", error.text, error.position, text);
    return pod;
}

static char *dump(const json_t *value)
{
    char *text = json_dumps(value, JSON_COMPACT | JSON_SORT_KEYS);
    char *copy = g_strdelimit(g_strdup(text ? text : ""), "\"", '\'');
    free(text);
    return copy;
}

/* Admits a pod that must pass; the pod afterwards, quoted by '. Caller frees. */
static char *admitted(const struct family_set *set, const struct admit_policy *p, const char *quoted,
                      bool *ret_ours)
{
    json_t *pod = load(quoted), *before = json_deep_copy(pod);
    struct admit_result r;
    vendor_admit(set, p, pod, "ns", &r);
    if (!r.allowed)
        g_error("refused: %s", r.message);
    g_assert_true(json_equal(pod, before)); /* the caller's tree is not touched */
    pods_apply(pod, r.patch);
    char *after = dump(pod);
    *ret_ours = r.ours;
    admit_result_clear(&r);
    json_decref(before);
    json_decref(pod);
    return after;
}

/* ---- containers ---- */

/* A pod around one container's members and a pod's annotations; the container is named c. */
static char *around(const char *container, const char *spec, const char *metadata)
{
    return g_strdup_printf("{'metadata':{%s},'spec':{%s%s'containers':[{'name':'c'%s%s}]}}", metadata, spec,
                           *spec ? "," : "", *container ? "," : "", container);
}

#define LIMITS(text) "'resources':{'limits':{" text "}}"
#define REQUESTS(text) "'resources':{'requests':{" text "}}"
#define BOTH(limits, requests) "'resources':{'limits':{" limits "},'requests':{" requests "}}"
#define EQUAL(text) BOTH(text, text)
#define OURS "'schedulerName':'hami-scheduler'"

struct mutation {
    const char *name, *container, *annotations;
    const char *expected;  /* members of the container afterwards */
    const char *annotated; /* annotations afterwards; NULL = as before */
    bool ours;
    const char *spec; /* further members of the spec afterwards */
};

static void check_mutations(const struct family_set *set, const struct mutation *rows, size_t n)
{
    struct admit_policy p = policy();
    for (size_t i = 0; i < n; i++) {
        const struct mutation *m = &rows[i];
        bool ours;
        const char *after = m->annotated ? m->annotated : m->annotations;
        g_autofree char *annotations = g_strdup_printf("'annotations':{%s}", m->annotations);
        g_autofree char *annotated = g_strdup_printf("'annotations':{%s}", after ? after : "");
        g_autofree char *spec = g_strdup_printf("%s%s%s", m->ours ? OURS : "", m->ours && m->spec ? "," : "",
                                                m->spec ? m->spec : "");
        g_autofree char *pod = around(m->container, "", *m->annotations ? annotations : "");
        g_autofree char *wanted_text = around(m->expected, spec, after && *after ? annotated : "");
        json_t *wanted_tree = load(wanted_text);
        g_autofree char *wanted = dump(wanted_tree);
        g_test_message("%s", m->name);
        g_autofree char *got = admitted(set, &p, pod, &ours);
        g_assert_cmpstr(got, ==, wanted);
        g_assert_cmpint(ours, ==, m->ours);
        json_decref(wanted_tree);
    }
}

static void nvidia_containers_get_counts_and_cores(void)
{
    static const struct mutation rows[] = {
        {"2.6 gpu alone is exclusive", LIMITS("'nvidia.com/gpu':'1'"), "",
         LIMITS("'nvidia.com/gpu':'1','nvidia.com/gpucores':'100'"), NULL, true, NULL},
        {"2.6 with memory nothing is added", LIMITS("'nvidia.com/gpu':'1','nvidia.com/gpumem':'3000'"), "",
         LIMITS("'nvidia.com/gpu':'1','nvidia.com/gpumem':'3000'"), NULL, true, NULL},
        {"2.6 memory alone claims a card", LIMITS("'nvidia.com/gpumem':'3000'"), "",
         LIMITS("'nvidia.com/gpu':'1','nvidia.com/gpumem':'3000'"), NULL, true, NULL},
        {"12 cores alone claim a card", LIMITS("'nvidia.com/gpucores':'30'"), "",
         LIMITS("'nvidia.com/gpu':'1','nvidia.com/gpucores':'30'"), NULL, true, NULL},
        {"12 a percentage claims a card", LIMITS("'nvidia.com/gpumem-percentage':'50'"), "",
         LIMITS("'nvidia.com/gpu':'1','nvidia.com/gpumem-percentage':'50'"), NULL, true, NULL},
        {"2.4.5 all of the memory is exclusive",
         LIMITS("'nvidia.com/gpu':'1','nvidia.com/gpumem-percentage':'100'"), "",
         LIMITS("'nvidia.com/gpu':'1','nvidia.com/gpucores':'100','nvidia.com/gpumem-percentage':'100'"),
         NULL, true, NULL},
        {"2.4.5 half of it is not", LIMITS("'nvidia.com/gpu':'1','nvidia.com/gpumem-percentage':'50'"), "",
         LIMITS("'nvidia.com/gpu':'1','nvidia.com/gpumem-percentage':'50'"), NULL, true, NULL},
        {"12 cores 70 are kept", LIMITS("'nvidia.com/gpu':'1','nvidia.com/gpucores':'70'"), "",
         LIMITS("'nvidia.com/gpu':'1','nvidia.com/gpucores':'70'"), NULL, true, NULL},
        {"12 requested cores 55 are kept", BOTH("'nvidia.com/gpu':'1'", "'nvidia.com/gpucores':'55'"), "",
         BOTH("'nvidia.com/gpu':'1'", "'nvidia.com/gpucores':'55'"), NULL, true, NULL},
        {"2.4.4 the key counts, not the value", LIMITS("'nvidia.com/gpu':'0'"), "",
         LIMITS("'nvidia.com/gpu':'0','nvidia.com/gpucores':'100'"), NULL, true, NULL},
        {"2.4.1 percentage 0", LIMITS("'nvidia.com/gpu':'1','nvidia.com/gpumem-percentage':'0'"), "",
         LIMITS("'nvidia.com/gpu':'1','nvidia.com/gpumem-percentage':'0'"), NULL, true, NULL},
        {"2.4.2 priority", LIMITS("'nvidia.com/gpu':'1','nvidia.com/gpumem':'1','nvidia.com/priority':'5'"),
         "",
         LIMITS(
             "'nvidia.com/gpu':'1','nvidia.com/gpumem':'1','nvidia.com/priority':'5'") ",'env':[{'name':'"
                                                                                       "CUDA_TASK_PRIORITY','"
                                                                                       "value':'5'}]",
         NULL, true, NULL},
        {"B23 priority once",
         LIMITS(
             "'nvidia.com/gpu':'1','nvidia.com/gpumem':'1','nvidia.com/priority':'5'") ",'env':[{'name':'A','"
                                                                                       "value':'x'},{'name':'"
                                                                                       "CUDA_TASK_PRIORITY','"
                                                                                       "value':'1'}]",
         "",
         LIMITS(
             "'nvidia.com/gpu':'1','nvidia.com/gpumem':'1','nvidia.com/priority':'5'") ",'env':[{'name':'A','"
                                                                                       "value':'x'},{'name':'"
                                                                                       "CUDA_TASK_PRIORITY','"
                                                                                       "value':'5'}]",
         NULL, true, NULL},
        {"B23 of several the last counts",
         LIMITS(
             "'nvidia.com/gpu':'1','nvidia.com/gpumem':'1','nvidia.com/priority':'5'") ",'env':[{'name':'"
                                                                                       "CUDA_TASK_PRIORITY','"
                                                                                       "value':'1'},{'name':'"
                                                                                       "CUDA_TASK_PRIORITY','"
                                                                                       "valueFrom':{}}]",
         "",
         LIMITS(
             "'nvidia.com/gpu':'1','nvidia.com/gpumem':'1','nvidia.com/priority':'5'") ",'env':[{'name':'"
                                                                                       "CUDA_TASK_PRIORITY','"
                                                                                       "value':'1'},{'name':'"
                                                                                       "CUDA_TASK_PRIORITY','"
                                                                                       "value':'5'}]",
         NULL, true, NULL},
        {"12 no card", LIMITS("'cpu':'1'"), "", LIMITS("'cpu':'1'"), NULL, false, NULL},
        {"12 no resources", "", "", "", NULL, false, NULL},
        {"W35 a request that would differ follows",
         BOTH("'nvidia.com/gpu':'1'", "'nvidia.com/gpu':'1','memory':'1Gi'"), "",
         BOTH("'nvidia.com/gpu':'1','nvidia.com/gpucores':'100'", "'nvidia.com/gpu':'1','memory':'1Gi'"),
         NULL, true, NULL},
        {"S5 unknown fields stay", LIMITS("'nvidia.com/gpu':'1'") ",'futureField':{'a':[1,{'b':null}]}", "",
         LIMITS("'nvidia.com/gpu':'1','nvidia.com/gpucores':'100'") ",'futureField':{'a':[1,{'b':null}]}",
         NULL, true, NULL},
    };
    g_autoptr(FamilySet) set = pods_families();
    check_mutations(set, rows, G_N_ELEMENTS(rows));
}

static void other_families_write_what_their_plugins_read(void)
{
    static const struct mutation rows[] = {
        {"2.5 MLU", LIMITS("'cambricon.com/vmlu':'1','cambricon.com/mlu.smlu.vmemory':'20'"), "",
         LIMITS("'cambricon.com/vmlu':'1','cambricon.com/mlu.smlu.vmemory':'20'"), NULL, true, NULL},
        {"2.5 MLU parts alone are the vendor's", LIMITS("'cambricon.com/mlu.smlu.vmemory':'20'"), "",
         LIMITS("'cambricon.com/mlu.smlu.vmemory':'20'"), NULL, false, NULL},
        {"2.5 DCU", LIMITS("'hygon.com/dcunum':'1'"), "", LIMITS("'hygon.com/dcunum':'1'"), NULL, true, NULL},
        {"2.5 kunlun", LIMITS("'kunlunxin.com/xpu':'4'"), "", LIMITS("'kunlunxin.com/xpu':'4'"), NULL, true,
         NULL},
        {"2.5 limits only", REQUESTS("'hygon.com/dcunum':'1'"), "", REQUESTS("'hygon.com/dcunum':'1'"), NULL,
         false, NULL},
        {"9.1 Ascend template", LIMITS("'huawei.com/Ascend310P':'1','huawei.com/Ascend310P-memory':'2000'"),
         "",
         BOTH("'huawei.com/Ascend310P':'1','huawei.com/Ascend310P-memory':'3072'",
              "'huawei.com/Ascend310P-memory':'3072'"),
         NULL, true, NULL},
        {"9.1 Ascend beyond the templates",
         EQUAL("'huawei.com/Ascend310P':'1','huawei.com/Ascend310P-memory':'12289'"), "",
         EQUAL("'huawei.com/Ascend310P':'1','huawei.com/Ascend310P-memory':'21527'"), NULL, true, NULL},
        {"9.1 Ascend whole", EQUAL("'huawei.com/Ascend310P':'2'"), "",
         EQUAL("'huawei.com/Ascend310P':'2','huawei.com/Ascend310P-memory':'21527'"), NULL, true, NULL},
        {"9.2 910C one is two", EQUAL("'huawei.com/Ascend910C':'1'"), "",
         EQUAL("'huawei.com/Ascend910C':'2','huawei.com/Ascend910C-memory':'65536'"), NULL, true, NULL},
        {"9.2 910C requests follow only where they are", LIMITS("'huawei.com/Ascend910C':'1'"), "",
         BOTH("'huawei.com/Ascend910C':'2','huawei.com/Ascend910C-memory':'65536'",
              "'huawei.com/Ascend910C-memory':'65536'"),
         NULL, true, NULL},
        {"3.1 soft slicing keeps the memory",
         LIMITS("'huawei.com/Ascend910B3':'1','huawei.com/Ascend910B3-memory':'28672','huawei.com/"
                "Ascend910B3-core':'40'"),
         "'huawei.com/vnpu-mode':'hami-core'",
         BOTH("'huawei.com/Ascend910B3':'1','huawei.com/Ascend910B3-memory':'28672','huawei.com/"
              "Ascend910B3-core':'40'",
              "'huawei.com/Ascend910B3-memory':'28672'"),
         NULL, true, NULL},
        {"3.4 Iluvatar", LIMITS("'iluvatar.ai/MR-V100-vgpu':'1','iluvatar.ai/MR-V100.vCore':'50'"), "",
         LIMITS("'iluvatar.ai/MR-V100-vgpu':'1','iluvatar.ai/MR-V100.vCore':'50'") ",'env':[{'name':'SOL_"
                                                                                   "CONTINER_NAME','value':'"
                                                                                   "c'}]",
         NULL, true, NULL},
        {"3.4 W35 Iluvatar several",
         EQUAL("'iluvatar.ai/MR-V100-vgpu':'2','iluvatar.ai/MR-V100.vCore':'50'") ",'env':[{'name':'SOL_"
                                                                                  "CONTINER_NAME','value':'"
                                                                                  "mine'}]",
         "",
         EQUAL("'iluvatar.ai/MR-V100-vgpu':'2','iluvatar.ai/MR-V100.vCore':'200'") ",'env':[{'name':'SOL_"
                                                                                   "CONTINER_NAME','value':'"
                                                                                   "mine'}]",
         NULL, true, NULL},
        {"9.4 W35 Mthreads two", EQUAL("'mthreads.com/vgpu':'2'"), "'a':'b'",
         EQUAL("'mthreads.com/vgpu':'2','mthreads.com/sgpu-core':'32','mthreads.com/sgpu-memory':'192'"),
         "'a':'b','mthreads.com/request-gpu-num':'2'", true, NULL},
        {"3.5 Mthreads two, annotations made", EQUAL("'mthreads.com/vgpu':'2'"), "",
         EQUAL("'mthreads.com/vgpu':'2','mthreads.com/sgpu-core':'32','mthreads.com/sgpu-memory':'192'"),
         "'mthreads.com/request-gpu-num':'2'", true, NULL},
        {"3.5 Mthreads one", EQUAL("'mthreads.com/vgpu':'1'"), "",
         EQUAL("'mthreads.com/vgpu':'1','mthreads.com/sgpu-core':'16','mthreads.com/sgpu-memory':'96'"), NULL,
         true, NULL},
        {"3.5 Mthreads slice", EQUAL("'mthreads.com/vgpu':'1','mthreads.com/sgpu-memory':'32'"), "",
         EQUAL("'mthreads.com/vgpu':'1','mthreads.com/sgpu-memory':'32'"), NULL, true, NULL},
        {"3.7 MetaX default policy", LIMITS("'metax-tech.com/sgpu':'1'"), "",
         LIMITS("'metax-tech.com/sgpu':'1'"), "'metax-tech.com/sgpu-qos-policy':'best-effort'", true, NULL},
        {"3.7 MetaX policy is kept", LIMITS("'metax-tech.com/sgpu':'1'"),
         "'metax-tech.com/sgpu-qos-policy':'fixed-share'", LIMITS("'metax-tech.com/sgpu':'1'"), NULL, true,
         NULL},
        {"3.7 MetaX online has none", LIMITS("'metax-tech.com/sgpu':'1'"),
         "'metax-tech.com/sgpu-app-class':'online'", LIMITS("'metax-tech.com/sgpu':'1'"), NULL, true, NULL},
        {"3.8 DRS by size, limits to requests", LIMITS("'enflame.com/drs-gcu':'3'"), "",
         EQUAL("'enflame.com/drs-gcu':'3'"), NULL, true, NULL},
        {"3.8 DRS by size, requests to limits", REQUESTS("'enflame.com/drs-gcu':'3'"), "",
         EQUAL("'enflame.com/drs-gcu':'3'"), NULL, true, NULL},
        {"3.8 DRS by memory", LIMITS("'enflame.com/gcu-memory':'20480','enflame.com/gcu-core':'40'"), "",
         EQUAL("'enflame.com/gcu-memory':'20480','enflame.com/gcu-core':'40'"), NULL, true, NULL},
        {"3.10 9.7 vXPU", LIMITS("'kunlunxin.com/vxpu':'1','kunlunxin.com/vxpu-memory':'30000'"), "",
         BOTH("'kunlunxin.com/vxpu':'1','kunlunxin.com/vxpu-memory':'49152'",
              "'kunlunxin.com/vxpu-memory':'49152'"),
         NULL, true, NULL},
        {"3.10 vXPU without memory", LIMITS("'kunlunxin.com/vxpu':'1'"), "",
         LIMITS("'kunlunxin.com/vxpu':'1'"), NULL, true, NULL},
        {"3.11 Neuron cores", LIMITS("'aws.amazon.com/neuroncore':'4'"), "",
         LIMITS("'aws.amazon.com/neuroncore':'4'"), NULL, true, NULL},
        {"3.11 Neuron by requests", REQUESTS("'aws.amazon.com/neuron':'1'"), "",
         REQUESTS("'aws.amazon.com/neuron':'1'"), NULL, true, NULL},
        {"3.12 AMD", LIMITS("'amd.com/gpu':'1','amd.com/gpucores':'1'"), "",
         LIMITS("'amd.com/gpu':'1','amd.com/gpucores':'1'"), NULL, true, NULL},
        {"3.13 Biren", LIMITS("'birentech.com/gpu':'1'"), "", LIMITS("'birentech.com/gpu':'1'"), NULL, true,
         NULL},
        {"3.14 Vastai", LIMITS("'vastaitech.com/va':'1'"), "", LIMITS("'vastaitech.com/va':'1'"), NULL, true,
         NULL},
    };
    g_autoptr(FamilySet) set = pods_families();
    check_mutations(set, rows, G_N_ELEMENTS(rows));
}

static struct family *family(const struct family_set *set, const char *word)
{
    for (uint32_t i = 0; i < set->n; i++)
        if (strcmp(set->rows[i]->word, word) == 0)
            return set->rows[i];
    g_error("no family %s", word);
}

static void the_configuration_adds_variables_and_a_runtime_class(void)
{
#define NONE "{'name':'NVIDIA_VISIBLE_DEVICES','value':'none'}"
#define NO_NPU "{'name':'ASCEND_VISIBLE_DEVICES','value':''}"
    static const struct mutation rows[] = {
        {"2.4.7 B23 no card: nothing but none, no policy", LIMITS("'cpu':'1'"), "",
         LIMITS("'cpu':'1'") ",'env':[" NONE "," NO_NPU "]", NULL, false, NULL},
        {"2.4.7 once", "'env':[" NONE "," NO_NPU "]", "", "'env':[" NONE "," NO_NPU "]", NULL, false, NULL},
        {"2.4.7 all becomes none", "'env':[{'name':'NVIDIA_VISIBLE_DEVICES','value':'all'}," NO_NPU "]", "",
         "'env':[" NONE "," NO_NPU "]", NULL, false, NULL},
        {"2.4.3 2.4.6 policy and class with a card", LIMITS("'nvidia.com/gpu':'1','nvidia.com/gpumem':'1'"),
         "",
         LIMITS("'nvidia.com/gpu':'1','nvidia.com/gpumem':'1'") ",'env':[{'name':'GPU_CORE_UTILIZATION_"
                                                                "POLICY','value':'force'}," NO_NPU "]",
         NULL, true, "'runtimeClassName':'nvidia'"},
        {"W6 another chip does not hide the NPU",
         EQUAL("'huawei.com/Ascend910B3':'1','huawei.com/Ascend910B3-memory':'16384'"), "",
         EQUAL("'huawei.com/Ascend910B3':'1','huawei.com/Ascend910B3-memory':'16384'") ",'env':[" NONE "]",
         NULL, true, "'runtimeClassName':'ascend'"},
    };
    g_autoptr(FamilySet) set = pods_families();
    struct family *nvidia = family(set, "NVIDIA");
    nvidia->core_policy = "force";
    nvidia->runtime_class = "nvidia";
    nvidia->overwrite_env = true;
    for (uint32_t i = 0; i < set->n; i++)
        if (strcmp(set->rows[i]->config_key, "vnpus") == 0) {
            set->rows[i]->overwrite_env = true;
            set->rows[i]->runtime_class = "ascend";
        }
    check_mutations(set, rows, G_N_ELEMENTS(rows));
}

/* TestMutateAdmissionDefaultsExclusiveCore: custom names, empty memory name. */
static void configured_names_are_used(void)
{
    static const struct mutation rows[] = {
        {"12 custom names", LIMITS("'x.io/a~b':'1'"), "", LIMITS("'x.io/a~b':'1','x.io/c~1':'100'"), NULL,
         true, NULL},
        {"12 no memory name", LIMITS("'x.io/a~b':'1','nvidia.com/gpumem':'5'"), "",
         LIMITS("'x.io/a~b':'1','x.io/c~1':'100','nvidia.com/gpumem':'5'"), NULL, true, NULL},
    };
    static const struct mutation unclaimed[] = {
        {"2.4.4 defaultGPUNum 0", LIMITS("'x.io/c~1':'5'"), "", LIMITS("'x.io/c~1':'5'"), NULL, false, NULL},
    };
    g_autoptr(FamilySet) set = pods_families();
    struct family *nvidia = family(set, "NVIDIA");
    nvidia->resource[FAMILY_COUNT] = "x.io/a~b";
    nvidia->resource[FAMILY_CORES] = "x.io/c~1";
    nvidia->resource[FAMILY_MEM] = "";
    check_mutations(set, rows, G_N_ELEMENTS(rows));
    nvidia->default_count = 0;
    check_mutations(set, unclaimed, G_N_ELEMENTS(unclaimed));
}

/* W5: a factor neither spoils the template nor multiplies twice. */
static void a_memory_factor_and_templates_agree(void)
{
    static const struct mutation rows[] = {
        {"W5 template", LIMITS("'huawei.com/Ascend310P':'1','huawei.com/Ascend310P-memory':'2'"), "",
         BOTH("'huawei.com/Ascend310P':'1','huawei.com/Ascend310P-memory':'3'",
              "'huawei.com/Ascend310P-memory':'3'"),
         NULL, true, NULL},
        {"W5 whole", LIMITS("'huawei.com/Ascend310P':'1'"), "",
         BOTH("'huawei.com/Ascend310P':'1','huawei.com/Ascend310P-memory':'21'",
              "'huawei.com/Ascend310P-memory':'21'"),
         NULL, true, NULL},
    };
    g_autoptr(FamilySet) set = pods_families();
    family(set, "Ascend310P")->mem_unit_bytes = 1024 * POD_MIB;
    check_mutations(set, rows, G_N_ELEMENTS(rows));
}

/* ---- the operations themselves ---- */

static void operations_are_the_example_of_the_contract(void)
{
    g_autoptr(FamilySet) set = pods_families();
    struct admit_policy p = policy();
    struct admit_result r;
    json_t *pod = load("{'metadata':{},'spec':{'schedulerName':'default-scheduler','containers':"
                       "[{'name':'c','resources':{'limits':{'nvidia.com/gpu':'1'}}}]}}");
    vendor_admit(set, &p, pod, "ns", &r);
    g_autofree char *ops = dump(r.patch);
    g_assert_cmpstr(
        ops, ==,
        "[{'op':'add','path':'/spec/containers/0/resources/limits/nvidia.com~1gpucores','value':'100'},"
        "{'op':'replace','path':'/spec/schedulerName','value':'hami-scheduler'}]");
    admit_result_clear(&r);
    json_decref(pod);
}

static void missing_parents_are_made(void)
{
    g_autoptr(FamilySet) set = pods_families();
    struct admit_policy p = policy();
    bool ours;
    g_autofree char *got = admitted(set, &p,
                                    "{'spec':{'containers':[{'name':'c','resources':{'limits':null,'requests'"
                                    ":{'mthreads.com/vgpu':'2'}}}]}}",
                                    &ours);
    g_assert_cmpstr(
        got, ==,
        "{'metadata':{'annotations':{'mthreads.com/request-gpu-num':'2'}},'spec':{'containers':[{'name':'c',"
        "'resources':{'limits':{'mthreads.com/sgpu-core':'32','mthreads.com/sgpu-memory':'192'},"
        "'requests':{'mthreads.com/sgpu-core':'32','mthreads.com/sgpu-memory':'192','mthreads.com/"
        "vgpu':'2'}}}],"
        "'schedulerName':'hami-scheduler'}}");
}

static void init_containers_and_sidecars_are_changed_too(void)
{
    g_autoptr(FamilySet) set = pods_families();
    struct admit_policy p = policy();
    bool ours;
    g_autofree char *got = admitted(
        set, &p,
        "{'spec':{'initContainers':[{'name':'i','resources':{'limits':{'nvidia.com/gpumem':'1000'}}},"
        "{'name':'s','restartPolicy':'Always','resources':{'limits':{'nvidia.com/"
        "gpu':'1'}}}],'containers':[{'name':'c'}]}}",
        &ours);
    g_assert_true(ours);
    g_assert_nonnull(strstr(got, "{'limits':{'nvidia.com/gpu':'1','nvidia.com/gpumem':'1000'}}"));
    g_assert_nonnull(strstr(got, "{'limits':{'nvidia.com/gpu':'1','nvidia.com/gpucores':'100'}}"));
}

/* ---- whose pod it is ---- */

static void pods_of_other_schedulers_are_left_alone(void)
{
    static const struct {
        const char *name, *its, *own;
        bool force, taken;
    } rows[] = {
        {"2.3.3 none, force off", "", "hami-scheduler", false, true},
        {"2.3.3 default, force on", "default-scheduler", "hami-scheduler", true, true},
        {"2.3.3 default, force off", "default-scheduler", "hami-scheduler", false, false},
        {"2.3.3 ours", "hami-scheduler", "hami-scheduler", false, true},
        {"2.3.3 another", "volcano", "hami-scheduler", true, false},
        {"2.3.3 default, no name configured", "default-scheduler", "", true, true},
        {"2.3.3 another, no name configured", "volcano", "", true, false},
    };
    g_autoptr(FamilySet) set = pods_families();
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        struct admit_policy p = policy();
        struct admit_result r;
        p.scheduler_name = rows[i].own;
        p.force_overwrite = rows[i].force;
        g_autofree char *spec = g_strdup_printf("'schedulerName':'%s'", rows[i].its);
        /* privileged: TestPodHasDifferentScheduler */
        g_autofree char *container =
            g_strdup_printf(LIMITS("'nvidia.com/gpu':'1'") "%s",
                            rows[i].taken ? "" : ",'securityContext':{'privileged':true}");
        g_autofree char *text = around(container, *rows[i].its ? spec : "", "");
        json_t *pod = load(text);
        vendor_admit(set, &p, pod, "ns", &r);
        g_test_message("%s", rows[i].name);
        g_assert_true(r.allowed);
        g_assert_cmpint(r.ours, ==, rows[i].taken);
        g_assert_cmpint(r.patch != NULL, ==, rows[i].taken);
        if (!rows[i].taken)
            g_assert_cmpstr(r.message, ==, "pod already has different scheduler assigned");
        pods_apply(pod, r.patch);
        const char *name = json_string_value(json_object_get(json_object_get(pod, "spec"), "schedulerName"));
        g_assert_cmpstr(name, ==, rows[i].taken && *rows[i].own ? rows[i].own : rows[i].its);
        admit_result_clear(&r);
        json_decref(pod);
    }
}

/* ---- refusals ---- */

static const char *over_quota(const struct pod_request *r, const char *namespace_, void *data)
{
    g_assert_cmpstr(namespace_, ==, "ns");
    g_assert_cmpstr(r->namespace_, ==, "ns");
    return r->requests[0].mem_bytes > 1000 * POD_MIB ? data : NULL;
}

static char *never(const struct pod_request *r, void *data)
{
    (void)data;
    return r->requests[0].n_cards > 8 ? g_strdup("no node has more than 8 cards") : NULL;
}

static void what_is_wrong_is_refused_with_a_remedy(void)
{
    static const struct {
        const char *name, *container, *spec, *metadata, *says[3];
        int check; /* that can be lowered; ADMIT_RULE = none */
    } rows[] = {
        {"2.3.6 privileged",
         LIMITS("'nvidia.com/gpu':'1'") ",'securityContext':{'privileged':true}",
         "",
         "",
         {"container c is privileged"},
         ADMIT_PRIVILEGED},
        {"2.3.7 node assigned",
         LIMITS("'nvidia.com/gpu':'1'"),
         "'nodeName':'n1'",
         "",
         {"pod has node assigned", "n1"},
         ADMIT_RULE},
        {"2.3.8 quota",
         LIMITS("'nvidia.com/gpu':'1','nvidia.com/gpumem':'1001'"),
         "",
         "",
         {"exceeding resource quota", "nvidia.com/gpumem", "namespace ns"},
         ADMIT_RULE},
        {"2.4.1 percentage 101",
         LIMITS("'nvidia.com/gpu':'1','nvidia.com/gpumem-percentage':'101'"),
         "",
         "",
         {"container c", "[nvidia.com/gpumem-percentage] is 101", "0 to 100"},
         ADMIT_RULE},
        {"B17 memory",
         LIMITS("'nvidia.com/gpu':'1','nvidia.com/gpumem':'16Gi'"),
         "",
         "",
         {"container c", "[nvidia.com/gpumem] is \"16Gi\"", "write 16384"},
         ADMIT_QUANTITY},
        {"2.4.2 priority",
         LIMITS("'nvidia.com/gpu':'1','nvidia.com/gpumem':'1','nvidia.com/priority':'high'"),
         "",
         "",
         {"[nvidia.com/priority]"},
         ADMIT_QUANTITY},
        {"impossible", LIMITS("'nvidia.com/gpu':'9'"), "", "", {"more than 8 cards"}, ADMIT_IMPOSSIBLE},
        {"S2 forged node",
         LIMITS("'nvidia.com/gpu':'1'"),
         "",
         "'annotations':{'hami.io/vgpu-node':'n'}",
         {"annotation hami.io/vgpu-node", "only the scheduler"},
         ADMIT_FORGED},
        {"S2 forged label",
         LIMITS("'nvidia.com/gpu':'1'"),
         "",
         "'labels':{'hami.io/vgpu-node':'n'}",
         {"label hami.io/vgpu-node"},
         ADMIT_FORGED},
        {"S2 forged devices of another family",
         LIMITS("'cpu':'1'"),
         "",
         "'annotations':{'hami.io/Ascend910B3-devices-allocated':'x'}",
         {"hami.io/Ascend910B3-devices-allocated"},
         ADMIT_FORGED},
        {"S2 forged compute units",
         LIMITS("'amd.com/gpu':'1'"),
         "",
         "'annotations':{'hami.io/amd-cu-allocated':'{}'}",
         {"annotation hami.io/amd-cu-allocated"},
         ADMIT_FORGED},
        {"S2 forged, another scheduler's pod",
         "",
         "'schedulerName':'volcano'",
         "'annotations':{'hami.io/bind-phase':'success'}",
         {"hami.io/bind-phase"},
         ADMIT_FORGED},
        {"all cards visible",
         LIMITS("'nvidia.com/gpu':'1'") ",'env':[{'name':'NVIDIA_VISIBLE_DEVICES','value':'all'}]",
         "",
         "",
         {"container c", "NVIDIA_VISIBLE_DEVICES", "remove"},
         ADMIT_VISIBLE_ALL},
        {"B30 policy",
         LIMITS("'nvidia.com/gpu':'1'"),
         "",
         "'annotations':{'hami.io/gpu-scheduler-policy':'binpak'}",
         {"gpu-scheduler-policy", "\"binpak\"", "did you mean binpack?"},
         ADMIT_POLICY},
        {"B30 node policy",
         LIMITS("'nvidia.com/gpu':'1'"),
         "",
         "'annotations':{'hami.io/node-scheduler-policy':'x'}",
         {"node-scheduler-policy", "binpack and spread"},
         ADMIT_POLICY},
        {"B30 mode",
         LIMITS("'nvidia.com/gpu':'1'"),
         "",
         "'annotations':{'nvidia.com/vgpu-mode':'hamicore'}",
         {"vgpu-mode", "did you mean hami-core?"},
         ADMIT_MODE},
        {"weights",
         LIMITS("'nvidia.com/gpu':'1'"),
         "",
         "'annotations':{'hami.io/device-scoring-weights':'slot=1'}",
         {"device-scoring-weights", "slot=1,core=1,memory=1"},
         ADMIT_WEIGHTS},
        {"switch",
         LIMITS("'nvidia.com/gpu':'1'"),
         "",
         "'annotations':{'nvidia.com/numa-bind':'on'}",
         {"numa-bind", "true or false"},
         ADMIT_SWITCH},
        {"contradiction of UUIDs",
         LIMITS("'nvidia.com/gpu':'1'"),
         "",
         "'annotations':{'nvidia.com/use-gpuuuid':'GPU-1, GPU-2','nvidia.com/nouse-gpuuuid':'GPU-2'}",
         {"nvidia.com/use-gpuuuid", "nvidia.com/nouse-gpuuuid", "\"GPU-2\""},
         ADMIT_CONTRADICTION},
        {"contradiction of types",
         LIMITS("'nvidia.com/gpu':'1'"),
         "",
         "'annotations':{'nvidia.com/use-gputype':'A100','nvidia.com/nouse-gputype':'a10'}",
         {"unwanted as well"},
         ADMIT_CONTRADICTION},
        {"contradiction of number",
         LIMITS("'hygon.com/dcunum':'2'"),
         "",
         "'annotations':{'hygon.com/use-gpuuuid':'D1'}",
         {"asks for 2 cards", "hygon.com/use-gpuuuid"},
         ADMIT_CONTRADICTION},
        {"9.1 24577",
         LIMITS("'huawei.com/Ascend310P':'1','huawei.com/Ascend310P-memory':'24577'"),
         "",
         "",
         {"at most 24576"},
         ADMIT_RULE},
        {"9.1 two with a template",
         LIMITS("'huawei.com/Ascend310P':'2','huawei.com/Ascend310P-memory':'3000'"),
         "",
         "",
         {"leave it out"},
         ADMIT_RULE},
        {"9.2 910C three", LIMITS("'huawei.com/Ascend910C':'3'"), "", "", {"odd", "even"}, ADMIT_RULE},
        {"W4 910C with a template",
         LIMITS("'huawei.com/Ascend910C':'1','huawei.com/Ascend910C-memory':'16384'"),
         "",
         "",
         {"leave it out"},
         ADMIT_RULE},
        {"3.1 cores without soft slicing",
         LIMITS("'huawei.com/Ascend910B3':'1','huawei.com/Ascend910B3-core':'40'"),
         "",
         "",
         {"huawei.com/vnpu-mode: hami-core"},
         ADMIT_RULE},
        {"9.4 Mthreads 3",
         LIMITS("'mthreads.com/vgpu':'1','mthreads.com/sgpu-memory':'3'"),
         "",
         "",
         {"2, 4, 8"},
         ADMIT_RULE},
        {"2.5 Mthreads 0", LIMITS("'mthreads.com/vgpu':'0'"), "", "", {"is 0"}, ADMIT_RULE},
        {"2.5 DRS 0", LIMITS("'enflame.com/drs-gcu':'0'"), "", "", {"is 0"}, ADMIT_RULE},
        {"2.5 DRS core 0",
         LIMITS("'enflame.com/gcu-memory':'6','enflame.com/gcu-core':'0'"),
         "",
         "",
         {"1 to 100"},
         ADMIT_RULE},
        {"2.5 Neuron 0", LIMITS("'aws.amazon.com/neuron':'0'"), "", "", {"is 0"}, ADMIT_RULE},
        {"9.8 Neuron three cores",
         LIMITS("'aws.amazon.com/neuroncore':'3'"),
         "",
         "",
         {"multiple"},
         ADMIT_RULE},
        {"9.9 AMD 0", LIMITS("'amd.com/gpu':'1','amd.com/gpucores':'0'"), "", "", {"1 to 100"}, ADMIT_RULE},
        {"W49 AMD part without a card",
         LIMITS("'amd.com/gpumem':'100'"),
         "",
         "",
         {"add resources.limits[amd.com/gpu]: 1"},
         ADMIT_RULE},
        {"3.7 MetaX class",
         LIMITS("'metax-tech.com/sgpu':'1'"),
         "",
         "'annotations':{'metax-tech.com/sgpu-app-class':'x'}",
         {"online and offline"},
         ADMIT_RULE},
        {"3.7 MetaX class with two",
         LIMITS("'metax-tech.com/sgpu':'2'"),
         "",
         "'annotations':{'metax-tech.com/sgpu-app-class':'online'}",
         {"ask for 1"},
         ADMIT_RULE},
    };
    g_autoptr(FamilySet) set = pods_families();
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        struct admit_policy p = policy();
        struct admit_result r;
        p.quota = over_quota;
        p.impossible = never;
        p.data = (char[]){"nvidia.com/gpumem"};
        g_autofree char *text = around(rows[i].container, rows[i].spec, rows[i].metadata);
        json_t *pod = load(text);
        vendor_admit(set, &p, pod, "ns", &r);
        g_test_message("%s: %s", rows[i].name, r.message);
        g_assert_false(r.allowed);
        g_assert_null(r.patch);
        for (int s = 0; s < 3 && rows[i].says[s]; s++)
            g_assert_nonnull(strstr(r.message, rows[i].says[s]));
        admit_result_clear(&r);
        for (int level = ADMIT_WARN; rows[i].check != ADMIT_RULE && level <= ADMIT_OFF; level++) {
            p.level[rows[i].check] = (enum admit_level)level;
            vendor_admit(set, &p, pod, "ns", &r);
            g_assert_true(r.allowed);
            g_assert_cmpint(r.warnings != NULL, ==, level == ADMIT_WARN);
            if (r.warnings)
                g_assert_nonnull(strstr(r.warnings->pdata[0], rows[i].says[0]));
            admit_result_clear(&r);
        }
        json_decref(pod);
    }
}

static void a_trusted_requester_may_write_assignments(void)
{
    g_autoptr(FamilySet) set = pods_families();
    struct admit_policy p = policy();
    bool ours;
    p.trusted = true;
    g_free(admitted(
        set, &p,
        "{'metadata':{'annotations':{'hami.io/vgpu-node':'n'}},'spec':{'containers':[{'name':'c'}]}}",
        &ours));
    g_assert_false(ours);
}

static void privileged_pods_without_cards_pass(void)
{
    static const char *const rows[] = {
        "{'spec':{'containers':[{'name':'c','securityContext':{'privileged':true}}]}}",
        ("{'spec':{'securityContext':{'privileged':true},'containers':[{'name':'c','resources':{'limits':"
         "{'nvidia.com/gpu':'1'}}}]}}"), /* 2.3.4: at container level only */
        "{'spec':{'containers':[{'name':'c','env':[{'name':'NVIDIA_VISIBLE_DEVICES','value':'all'}]}]}}",
        ("{'spec':{'containers':[{'name':'c','env':[{'name':'NVIDIA_VISIBLE_DEVICES','value':'all'}],"
         "'resources':{'limits':{'hygon.com/dcunum':'1'}}}]}}"),
    };
    g_autoptr(FamilySet) set = pods_families();
    struct admit_policy p = policy();
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        bool ours;
        g_free(admitted(set, &p, rows[i], &ours));
    }
}

/* 2.3.6: a privileged container beside the one with the card, init containers included. */
static void a_privileged_neighbour_is_refused(void)
{
    g_autoptr(FamilySet) set = pods_families();
    struct admit_policy p = policy();
    struct admit_result r;
    json_t *pod = load("{'spec':{'initContainers':[{'name':'i','securityContext':{'privileged':true}}],"
                       "'containers':[{'name':'c','resources':{'limits':{'hygon.com/dcunum':'1'}}}]}}");
    vendor_admit(set, &p, pod, "ns", &r);
    g_assert_false(r.allowed);
    g_assert_nonnull(strstr(r.message, "container i is privileged"));
    admit_result_clear(&r);
    json_decref(pod);
}

static void all_faults_are_said_at_once(void)
{
    g_autoptr(FamilySet) set = pods_families();
    struct admit_policy p = policy();
    struct admit_result r;
    json_t *pod =
        load("{'spec':{'containers':[{'name':'a','resources':{'limits':{'nvidia.com/gpu':'x'}}},"
             "{'name':'b','resources':{'limits':{'nvidia.com/gpu':'1','nvidia.com/gpumem':'1.5'}}}]}}");
    vendor_admit(set, &p, pod, "ns", &r);
    g_assert_false(r.allowed);
    g_assert_nonnull(strstr(r.message, "container a"));
    g_assert_nonnull(strstr(r.message, "container b"));
    admit_result_clear(&r);
    json_decref(pod);
}

static void what_is_no_pod_is_refused(void)
{
    static const char *const rows[] = {
        "{}",
        "[]",
        "{'spec':{'containers':[]}}",
        "{'spec':{'containers':'x'}}",
        "{'spec':{'containers':[{'name':'c','resources':{'limits':{'mthreads.com/"
        "vgpu':'2'},'requests':'x'}}]}}",
        "{'metadata':'x','spec':{'containers':[{'name':'c','resources':{'limits':{'mthreads.com/"
        "vgpu':'2'}}}]}}",
        "{'metadata':{'annotations':[]},'spec':{'containers':[{'name':'c','resources':{'limits':{'mthreads."
        "com/vgpu':'2'}}}]}}",
        "{'spec':{'containers':[{'name':'c','env':{},'resources':{'limits':{'iluvatar.ai/"
        "MR-V100-vgpu':'1'}}}]}}",
        "{'spec':{'containers':[{'name':'c','resources':{'limits':{'nvidia.com/gpu':{}}}}]}}",
    };
    g_autoptr(FamilySet) set = pods_families();
    struct admit_policy p = policy();
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        json_t *pod = load(rows[i]);
        struct admit_result r;
        vendor_admit(set, &p, pod, "ns", &r);
        g_test_message("%s: %s", rows[i], r.message);
        g_assert_false(r.allowed);
        g_assert_nonnull(r.message);
        admit_result_clear(&r);
        json_decref(pod);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define TEST(name) g_test_add_func("/admit/" #name, name)
    TEST(nvidia_containers_get_counts_and_cores);
    TEST(other_families_write_what_their_plugins_read);
    TEST(the_configuration_adds_variables_and_a_runtime_class);
    TEST(configured_names_are_used);
    TEST(a_memory_factor_and_templates_agree);
    TEST(operations_are_the_example_of_the_contract);
    TEST(missing_parents_are_made);
    TEST(init_containers_and_sidecars_are_changed_too);
    TEST(pods_of_other_schedulers_are_left_alone);
    TEST(what_is_wrong_is_refused_with_a_remedy);
    TEST(a_trusted_requester_may_write_assignments);
    TEST(privileged_pods_without_cards_pass);
    TEST(a_privileged_neighbour_is_refused);
    TEST(all_faults_are_said_at_once);
    TEST(what_is_no_pod_is_refused);
    return g_test_run();
}
