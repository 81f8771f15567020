/* SPDX-License-Identifier: Apache-2.0
 *
 * What the webhook makes of pods, by scheduler.md sections 2 and 12 and
 * vendors.md sections 3, 8 and 9. Patches are applied by the small RFC 6902
 * applier of pods.c, and the resulting pod is compared.
 */
#include "admit_scene.h"

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

static const struct mutation nvidia_rows[] = {
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
     LIMITS("'nvidia.com/gpu':'1','nvidia.com/gpucores':'100','nvidia.com/gpumem-percentage':'100'"), NULL,
     true, NULL},
    {"2.4.5 half of it is not", LIMITS("'nvidia.com/gpu':'1','nvidia.com/gpumem-percentage':'50'"), "",
     LIMITS("'nvidia.com/gpu':'1','nvidia.com/gpumem-percentage':'50'"), NULL, true, NULL},
    {"12 cores 70 are kept", LIMITS("'nvidia.com/gpu':'1','nvidia.com/gpucores':'70'"), "",
     LIMITS("'nvidia.com/gpu':'1','nvidia.com/gpucores':'70'"), NULL, true, NULL},
    {"12 requested cores 55 are kept", BOTH("'nvidia.com/gpu':'1'", "'nvidia.com/gpucores':'55'"), "",
     BOTH("'nvidia.com/gpu':'1'", "'nvidia.com/gpucores':'55'"), NULL, true, NULL},
    {"2.4.4 the key counts, not the value", LIMITS("'nvidia.com/gpu':'0'"), "",
     LIMITS("'nvidia.com/gpu':'0','nvidia.com/gpucores':'100'"), NULL, true, NULL},
    {"2.4.2 priority without a card is an environment all the same", LIMITS("'nvidia.com/priority':'5'"), "",
     LIMITS("'nvidia.com/priority':'5'") ",'env':[{'name':'CUDA_TASK_PRIORITY','value':'5'}]", NULL, false,
     NULL},
    {"2.4.2 priority counts in limits only", REQUESTS("'nvidia.com/priority':'5'"), "",
     REQUESTS("'nvidia.com/priority':'5'"), NULL, false, NULL},
    {"2.4.4 parts in requests claim nothing", REQUESTS("'nvidia.com/gpumem':'3000'"), "",
     REQUESTS("'nvidia.com/gpumem':'3000'"), NULL, false, NULL},
    {"2.4.5 requested memory 0 suppresses it too", BOTH("'nvidia.com/gpu':'1'", "'nvidia.com/gpumem':'0'"),
     "", BOTH("'nvidia.com/gpu':'1'", "'nvidia.com/gpumem':'0'"), NULL, true, NULL},
    {"2.4.5 a requested percentage of 100",
     BOTH("'nvidia.com/gpu':'1'", "'nvidia.com/gpumem-percentage':'100'"), "",
     BOTH("'nvidia.com/gpu':'1','nvidia.com/gpucores':'100'", "'nvidia.com/gpumem-percentage':'100'"), NULL,
     true, NULL},
    {"2.4.1 percentage 0", LIMITS("'nvidia.com/gpu':'1','nvidia.com/gpumem-percentage':'0'"), "",
     LIMITS("'nvidia.com/gpu':'1','nvidia.com/gpumem-percentage':'0'"), NULL, true, NULL},
    {"2.4.2 priority", LIMITS("'nvidia.com/gpu':'1','nvidia.com/gpumem':'1','nvidia.com/priority':'5'"), "",
     LIMITS("'nvidia.com/gpu':'1','nvidia.com/gpumem':'1','nvidia.com/priority':'5'") ",'env':[{'name':'"
                                                                                      "CUDA_TASK_PRIORITY','"
                                                                                      "value':'5'}]",
     NULL, true, NULL},
    {"B23 priority once",
     LIMITS("'nvidia.com/gpu':'1','nvidia.com/gpumem':'1','nvidia.com/priority':'5'") ",'env':[{'name':'A','"
                                                                                      "value':'x'},{'name':'"
                                                                                      "CUDA_TASK_PRIORITY','"
                                                                                      "value':'1'}]",
     "",
     LIMITS("'nvidia.com/gpu':'1','nvidia.com/gpumem':'1','nvidia.com/priority':'5'") ",'env':[{'name':'A','"
                                                                                      "value':'x'},{'name':'"
                                                                                      "CUDA_TASK_PRIORITY','"
                                                                                      "value':'5'}]",
     NULL, true, NULL},
    {"B23 of several the last counts",
     LIMITS("'nvidia.com/gpu':'1','nvidia.com/gpumem':'1','nvidia.com/priority':'5'") ",'env':[{'name':'"
                                                                                      "CUDA_TASK_PRIORITY','"
                                                                                      "value':'1'},{'name':'"
                                                                                      "CUDA_TASK_PRIORITY','"
                                                                                      "valueFrom':{}}]",
     "",
     LIMITS("'nvidia.com/gpu':'1','nvidia.com/gpumem':'1','nvidia.com/priority':'5'") ",'env':[{'name':'"
                                                                                      "CUDA_TASK_PRIORITY','"
                                                                                      "value':'1'},{'name':'"
                                                                                      "CUDA_TASK_PRIORITY','"
                                                                                      "value':'5'}]",
     NULL, true, NULL},
    {"12 no card", LIMITS("'cpu':'1'"), "", LIMITS("'cpu':'1'"), NULL, false, NULL},
    {"12 no resources", "", "", "", NULL, false, NULL},
    {"W35 a request that would differ follows",
     BOTH("'nvidia.com/gpu':'1'", "'nvidia.com/gpu':'1','memory':'1Gi'"), "",
     BOTH("'nvidia.com/gpu':'1','nvidia.com/gpucores':'100'", "'nvidia.com/gpu':'1','memory':'1Gi'"), NULL,
     true, NULL},
    {"S5 unknown fields stay", LIMITS("'nvidia.com/gpu':'1'") ",'futureField':{'a':[1,{'b':null}]}", "",
     LIMITS("'nvidia.com/gpu':'1','nvidia.com/gpucores':'100'") ",'futureField':{'a':[1,{'b':null}]}", NULL,
     true, NULL},
};

static void nvidia_containers_get_counts_and_cores(void)
{
    g_autoptr(FamilySet) set = pods_families();
    check_mutations(set, nvidia_rows, G_N_ELEMENTS(nvidia_rows));
}

static const struct mutation family_rows_of_others[] = {
    {"2.5 MLU", LIMITS("'cambricon.com/vmlu':'1','cambricon.com/mlu.smlu.vmemory':'20'"), "",
     LIMITS("'cambricon.com/vmlu':'1','cambricon.com/mlu.smlu.vmemory':'20'"), NULL, true, NULL},
    {"2.5 MLU parts alone are the vendor's", LIMITS("'cambricon.com/mlu.smlu.vmemory':'20'"), "",
     LIMITS("'cambricon.com/mlu.smlu.vmemory':'20'"), NULL, false, NULL},
    {"2.5 DCU", LIMITS("'hygon.com/dcunum':'1'"), "", LIMITS("'hygon.com/dcunum':'1'"), NULL, true, NULL},
    {"2.5 kunlun", LIMITS("'kunlunxin.com/xpu':'4'"), "", LIMITS("'kunlunxin.com/xpu':'4'"), NULL, true,
     NULL},
    {"2.5 limits only", REQUESTS("'hygon.com/dcunum':'1'"), "", REQUESTS("'hygon.com/dcunum':'1'"), NULL,
     false, NULL},
    {"9.1 Ascend template", LIMITS("'huawei.com/Ascend310P':'1','huawei.com/Ascend310P-memory':'2000'"), "",
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
    {"3.7 MetaX default policy", LIMITS("'metax-tech.com/sgpu':'1'"), "", LIMITS("'metax-tech.com/sgpu':'1'"),
     "'metax-tech.com/sgpu-qos-policy':'best-effort'", true, NULL},
    {"3.7 MetaX policy is kept", LIMITS("'metax-tech.com/sgpu':'1'"),
     "'metax-tech.com/sgpu-qos-policy':'fixed-share'", LIMITS("'metax-tech.com/sgpu':'1'"), NULL, true, NULL},
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
    {"3.10 vXPU without memory", LIMITS("'kunlunxin.com/vxpu':'1'"), "", LIMITS("'kunlunxin.com/vxpu':'1'"),
     NULL, true, NULL},
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

static void other_families_write_what_their_plugins_read(void)
{
    g_autoptr(FamilySet) set = pods_families();
    check_mutations(set, family_rows_of_others, G_N_ELEMENTS(family_rows_of_others));
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

/* Test_MutateAdmission_RuntimeClassName, 2.4.6: only a pod that has none gets one. */
static void a_pod_keeps_the_runtime_class_that_it_has(void)
{
    static const struct {
        const char *name, *spec, *class;
    } rows[] = {
        {"another one", "'runtimeClassName':'kata'", "'runtimeClassName':'kata'"},
        {"the same", "'runtimeClassName':'nvidia'", "'runtimeClassName':'nvidia'"},
        {"none", "'restartPolicy':'Never'", "'runtimeClassName':'nvidia'"},
    };
    g_autoptr(FamilySet) set = pods_families();
    struct admit_policy p = policy();
    family(set, "NVIDIA")->runtime_class = "nvidia";
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        bool ours;
        g_autofree char *pod = around(LIMITS("'nvidia.com/gpu':'1'"), rows[i].spec, "");
        g_autofree char *got = admitted(set, &p, pod, &ours);
        g_test_message("%s: %s", rows[i].name, got);
        g_assert_true(ours);
        g_assert_nonnull(strstr(got, rows[i].class));
    }
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
    admit(set, &p, pod, &r);
    g_strdelimit(r.patch, "\"", '\'');
    g_assert_cmpstr(
        r.patch, ==,
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
        admit(set, &p, pod, &r);
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

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define TEST(name) g_test_add_func("/admit/" #name, name)
    TEST(nvidia_containers_get_counts_and_cores);
    TEST(other_families_write_what_their_plugins_read);
    TEST(the_configuration_adds_variables_and_a_runtime_class);
    TEST(a_pod_keeps_the_runtime_class_that_it_has);
    TEST(configured_names_are_used);
    TEST(a_memory_factor_and_templates_agree);
    TEST(operations_are_the_example_of_the_contract);
    TEST(missing_parents_are_made);
    TEST(init_containers_and_sidecars_are_changed_too);
    TEST(pods_of_other_schedulers_are_left_alone);
    return g_test_run();
}
