/* SPDX-License-Identifier: Apache-2.0
 *
 * What the webhook refuses and how it says so, by scheduler.md sections 2, 11
 * and 12 and vendors.md sections 3, 8 and 9.
 */
#include "admit_scene.h"

/* ---- refusals ---- */

static const char *over_quota(const struct pod_request *r, const char *namespace_, void *data)
{
    g_assert_cmpstr(namespace_, ==, "ns");
    g_assert_cmpstr(r->namespace_, ==, "ns");
    return r->requests[0].family == 0 && r->requests[0].mem_bytes > 1000 * POD_MIB ? data : NULL; /* NVIDIA */
}

static char *never(const struct pod_request *r, void *data)
{
    (void)data;
    return r->requests[0].n_cards > 8 ? g_strdup("no node has more than 8 cards") : NULL;
}

static const struct {
    const char *name, *container, *spec, *metadata, *says[4];
    int check; /* that can be lowered; ADMIT_RULE = none */
} refusals[] = {
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
    {"2.4.1 percentage 150",
     LIMITS("'nvidia.com/gpu':'1','nvidia.com/gpumem-percentage':'150'"),
     "",
     "",
     {"container c", "[nvidia.com/gpumem-percentage] is 150", "0 to 100"},
     ADMIT_RULE},
    {"2.4.1 percentage -1",
     LIMITS("'nvidia.com/gpu':'1','nvidia.com/gpumem-percentage':'-1'"),
     "",
     "",
     {"container c", "[nvidia.com/gpumem-percentage]", "0 to 100"},
     ADMIT_QUANTITY},
    {"2.4.1 percentage of a request",
     REQUESTS("'nvidia.com/gpu':'1','nvidia.com/gpumem-percentage':'101'"),
     "",
     "",
     {"container c", "[nvidia.com/gpumem-percentage] is 101"},
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
    {"W6 cards by number",
     LIMITS("'nvidia.com/gpu':'1'") ",'env':[{'name':'NVIDIA_VISIBLE_DEVICES','value':'0'}]",
     "",
     "",
     {"container c", "NVIDIA_VISIBLE_DEVICES is \"0\"", "remove", "nvidia.com/use-gpuuuid"},
     ADMIT_VISIBLE_CARDS},
    {"W6 cards by UUID",
     LIMITS("'nvidia.com/gpumem':'100'") ",'env':[{'name':'NVIDIA_VISIBLE_DEVICES','value':'GPU-1,GPU-2'}]",
     "",
     "",
     {"container c", "is \"GPU-1,GPU-2\"", "remove"},
     ADMIT_VISIBLE_CARDS},
    {"W6 cards from elsewhere",
     LIMITS("'nvidia.com/gpu':'1'") ",'env':[{'name':'NVIDIA_VISIBLE_DEVICES','valueFrom':{'fieldRef':{}}}]",
     "",
     "",
     {"container c", "valueFrom", "remove"},
     ADMIT_VISIBLE_CARDS},
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
    {"2.5 Neuron 0 cores",
     LIMITS("'aws.amazon.com/neuroncore':'0'"),
     "",
     "",
     {"neuroncore] is 0"},
     ADMIT_RULE},
    {"2.5 Neuron 0 cores beside a device",
     BOTH("'aws.amazon.com/neuron':'1'", "'aws.amazon.com/neuroncore':'0'"),
     "",
     "",
     {"neuroncore] is 0"},
     ADMIT_RULE},
    {"3.11 Neuron devices and cores",
     LIMITS("'aws.amazon.com/neuron':'1','aws.amazon.com/neuroncore':'1'"),
     "",
     "",
     {"container c", "limits[aws.amazon.com/neuron]", "[aws.amazon.com/neuroncore] exclude each other"},
     ADMIT_CONTRADICTION},
    {"3.8 DRS size and memory",
     LIMITS("'enflame.com/drs-gcu':'1','enflame.com/gcu-memory':'30'"),
     "",
     "",
     {"container c", "limits[enflame.com/drs-gcu]", "[enflame.com/gcu-memory] exclude each other"},
     ADMIT_CONTRADICTION},
    {"3.8 DRS size and compute of a request",
     BOTH("'enflame.com/drs-gcu':'1'", "'enflame.com/gcu-core':'30'"),
     "",
     "",
     {"container c", "limits[enflame.com/drs-gcu]", "[enflame.com/gcu-core] exclude each other"},
     ADMIT_CONTRADICTION},
    {"3.1 a mode that Ascend has not",
     LIMITS("'huawei.com/Ascend910B3':'1'"),
     "",
     "'annotations':{'huawei.com/vnpu-mode':'hamicore'}",
     {"huawei.com/vnpu-mode", "\"hamicore\"", "did you mean hami-core?"},
     ADMIT_MODE},
    {"9.8 Neuron three cores", LIMITS("'aws.amazon.com/neuroncore':'3'"), "", "", {"multiple"}, ADMIT_RULE},
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

static void what_is_wrong_is_refused_with_a_remedy(void)
{
    g_autoptr(FamilySet) set = pods_families();
    for (size_t i = 0; i < G_N_ELEMENTS(refusals); i++) {
        struct admit_policy p = policy();
        struct admit_result r;
        p.quota = over_quota;
        p.impossible = never;
        p.data = (char[]){"nvidia.com/gpumem"};
        g_autofree char *text = around(refusals[i].container, refusals[i].spec, refusals[i].metadata);
        json_t *pod = load(text);
        admit(set, &p, pod, &r);
        g_test_message("%s: %s", refusals[i].name, r.message);
        g_assert_false(r.allowed);
        g_assert_null(r.patch);
        for (int s = 0; s < 4 && refusals[i].says[s]; s++)
            g_assert_nonnull(strstr(r.message, refusals[i].says[s]));
        admit_result_clear(&r);
        for (int level = ADMIT_WARN; refusals[i].check != ADMIT_RULE && level <= ADMIT_OFF; level++) {
            p.level[refusals[i].check] = (enum admit_level)level;
            admit(set, &p, pod, &r);
            g_assert_true(r.allowed);
            g_assert_cmpint(r.warnings != NULL, ==, level == ADMIT_WARN);
            if (r.warnings)
                g_assert_nonnull(strstr(r.warnings->pdata[0], refusals[i].says[0]));
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
        "{'spec':{'containers':[{'name':'c','env':[{'name':'NVIDIA_VISIBLE_DEVICES','value':'0'}]}]}}",
        ("{'spec':{'containers':[{'name':'c','env':[{'name':'NVIDIA_VISIBLE_DEVICES','value':'void'}],"
         "'resources':{'limits':{'nvidia.com/gpu':'1'}}}]}}"),
        ("{'spec':{'containers':[{'name':'c','env':[{'name':'CUDA_VISIBLE_DEVICES','value':'0'}],"
         "'resources':{'limits':{'nvidia.com/gpu':'1'}}}]}}"),
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
    admit(set, &p, pod, &r);
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
    admit(set, &p, pod, &r);
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
        admit(set, &p, pod, &r);
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
#define TEST(name) g_test_add_func("/admit-refuse/" #name, name)
    TEST(what_is_wrong_is_refused_with_a_remedy);
    TEST(a_trusted_requester_may_write_assignments);
    TEST(privileged_pods_without_cards_pass);
    TEST(a_privileged_neighbour_is_refused);
    TEST(all_faults_are_said_at_once);
    TEST(what_is_no_pod_is_refused);
    return g_test_run();
}
