/* SPDX-License-Identifier: Apache-2.0
 *
 * What pods ask for, by scheduler.md section 5 and appendix A and vendors.md
 * sections 3 and 9 (numbers in the rows).
 */
#include "pods.h"

static const struct pod_defaults defaults = {.node_policy = "binpack", .card_policy = "spread"};

static void append_request(const struct family_set *set, const struct card_request *r, GString *text)
{
    g_string_append_printf(text, "%s%s x%u", text->len ? "; " : "", set->rows[r->family]->word, r->n_cards);
    if (r->mem_none)
        g_string_append(text, " nomem");
    else if (r->mem_bytes)
        g_string_append_printf(text, " %lluMi", (unsigned long long)(r->mem_bytes / POD_MIB));
    else if (!r->mem_percent)
        g_string_append(text, " whole");
    if (r->mem_percent)
        g_string_append_printf(text, " %u%%", r->mem_percent);
    g_string_append_printf(text, " cores=%u", r->cores);
    if (r->size)
        g_string_append_printf(text, " size=%u", r->size);
    if (r->whole)
        g_string_append(text, " devices");
}

/* The requests as text, or the reason why there are none. */
static char *read_pod(const struct family_set *set, const char *text)
{
    g_autoptr(PodReader) reader = pod_reader_new(set);
    struct pod_object pod;
    struct pod_request request;
    const char *fault = NULL;
    char *why = NULL;
    GString *result = g_string_new(NULL);
    if (!pod_object_parse(reader, text, strlen(text), &pod, &fault))
        g_error("no pod (%s): %s", fault, text);
    if (vendor_request_parse(set, &pod, &defaults, &request, NULL, &why)) {
        for (unsigned i = 0; i < request.n_requests; i++)
            append_request(set, &request.requests[i], result);
        pod_request_clear(&request);
    } else {
        g_string_assign(result, why);
    }
    g_free(why);
    pod_object_clear(&pod);
    return g_string_free(result, FALSE);
}

#define HAMI_CORE "'huawei.com/vnpu-mode':'hami-core'"

static const struct {
    const char *name, *limits, *annotations, *expected;
} amounts[] = {
    /* scheduler.md section 5, truth table */
    {"gpu alone is a whole card", "'nvidia.com/gpu':'1'", "", "NVIDIA x1 whole cores=0"},
    {"memory of each of two", "'nvidia.com/gpu':'2','nvidia.com/gpumem':'4096'", "",
     "NVIDIA x2 4096Mi cores=0"},
    {"percentage", "'nvidia.com/gpu':'1','nvidia.com/gpumem-percentage':'50'", "", "NVIDIA x1 50% cores=0"},
    {"percentage 150", "'nvidia.com/gpu':'1','nvidia.com/gpumem-percentage':'150'", "",
     "NVIDIA x1 100% cores=0"},
    {"percentage 101", "'nvidia.com/gpu':'1','nvidia.com/gpumem-percentage':'101'", "",
     "NVIDIA x1 100% cores=0"},
    {"percentage 2^32+50", "'nvidia.com/gpu':'1','nvidia.com/gpumem-percentage':'4294967346'", "",
     "NVIDIA x1 100% cores=0"},
    {"percentage 0 is unset", "'nvidia.com/gpu':'1','nvidia.com/gpumem-percentage':'0'", "",
     "NVIDIA x1 whole cores=0"},
    {"memory wins over percentage 0",
     "'nvidia.com/gpu':'1','nvidia.com/gpumem':'2000','nvidia.com/gpumem-percentage':'0'", "",
     "NVIDIA x1 2000Mi cores=0"},
    {"memory wins over a percentage",
     "'nvidia.com/gpu':'1','nvidia.com/gpumem':'2000','nvidia.com/gpumem-percentage':'50'", "",
     "NVIDIA x1 2000Mi cores=0"},
    {"memory 0 is unset", "'nvidia.com/gpu':'1','nvidia.com/gpumem':'0'", "", "NVIDIA x1 whole cores=0"},
    {"decimal suffix", "'nvidia.com/gpu':'1','nvidia.com/gpumem':'4k'", "", "NVIDIA x1 4000Mi cores=0"},
    {"a bare number", "'nvidia.com/gpu':1,'nvidia.com/gpumem':4096", "", "NVIDIA x1 4096Mi cores=0"},
    {"cores", "'nvidia.com/gpu':'1','nvidia.com/gpucores':'30'", "", "NVIDIA x1 whole cores=30"},
    {"cores 120 are clamped", "'nvidia.com/gpu':'1','nvidia.com/gpucores':'120'", "",
     "NVIDIA x1 whole cores=100"},
    {"count 0", "'nvidia.com/gpu':'0'", "", ""},
    {"no count (5.1)", "'nvidia.com/gpumem':'4096'", "", ""},
    {"nothing", "'cpu':'1'", "", ""},
    {"largest memory", "'nvidia.com/gpu':'1','nvidia.com/gpumem':'2147483647'", "",
     "NVIDIA x1 2147483647Mi cores=0"},
    /* vendors.md 3.1, 9.1, 9.2 */
    {"9.1 310P up to a template", "'huawei.com/Ascend310P':'1','huawei.com/Ascend310P-memory':'2000'", "",
     "Ascend310P x1 3072Mi cores=0"},
    {"9.1 310P above the templates", "'huawei.com/Ascend310P':'1','huawei.com/Ascend310P-memory':'12289'", "",
     "Ascend310P x1 21527Mi cores=0"},
    {"9.1 310P two without memory", "'huawei.com/Ascend310P':'2'", "", "Ascend310P x2 21527Mi cores=0"},
    {"9.2 910C one is two", "'huawei.com/Ascend910C':'1'", "", "Ascend910C x2 65536Mi cores=0"},
    {"3.1 soft keeps memory and cores",
     "'huawei.com/Ascend910B3':'1','huawei.com/Ascend910B3-memory':'28672','huawei.com/"
     "Ascend910B3-core':'40'",
     HAMI_CORE, "Ascend910B3 x1 28672Mi cores=40"},
    /* 3.2, 9.3 */
    {"9.3 MLU",
     "'cambricon.com/vmlu':'1','cambricon.com/mlu.smlu.vmemory':'20','cambricon.com/mlu.smlu.vcore':'10'", "",
     "MLU x1 5120Mi cores=10"},
    {"3.2 MLU whole", "'cambricon.com/vmlu':'1'", "", "MLU x1 whole cores=100"},
    {"3.3 DCU", "'hygon.com/dcunum':'1','hygon.com/dcumem':'2000','hygon.com/dcucores':'60'", "",
     "DCU x1 2000Mi cores=60"},
    {"3.3 DCU default cores", "'hygon.com/dcunum':'1','hygon.com/dcumem':'2000'", "",
     "DCU x1 2000Mi cores=100"},
    {"3.4 Iluvatar",
     "'iluvatar.ai/MR-V100-vgpu':'1','iluvatar.ai/MR-V100.vCore':'50','iluvatar.ai/MR-V100.vMem':'64'", "",
     "MR-V100 x1 16384Mi cores=50"},
    {"3.4 Iluvatar without cores", "'iluvatar.ai/MR-V100-vgpu':'1','iluvatar.ai/MR-V100.vMem':'64'", "",
     "MR-V100 x1 16384Mi cores=0"},
    {"3.4 Iluvatar several", "'iluvatar.ai/MR-V100-vgpu':'2','iluvatar.ai/MR-V100.vCore':'200'", "",
     "MR-V100 x2 whole cores=100"},
    /* 3.5, 9.4 */
    {"9.4 Mthreads two",
     "'mthreads.com/vgpu':'2','mthreads.com/sgpu-core':'32','mthreads.com/sgpu-memory':'192'", "",
     "Mthreads x2 whole cores=16"},
    {"3.5 Mthreads slice",
     "'mthreads.com/vgpu':'1','mthreads.com/sgpu-core':'8','mthreads.com/sgpu-memory':'32'", "",
     "Mthreads x1 16384Mi cores=8"},
    {"3.5 Mthreads one card",
     "'mthreads.com/vgpu':'1','mthreads.com/sgpu-core':'16','mthreads.com/sgpu-memory':'96'", "",
     "Mthreads x1 49152Mi cores=16"},
    {"3.6 MetaX GPU", "'metax-tech.com/gpu':'1'", "", "Metax-GPU x1 whole cores=100"},
    /* 3.7, 9.5 */
    {"9.5 MetaX GiB", "'metax-tech.com/sgpu':'1','metax-tech.com/vmemory':'4'", "",
     "Metax-SGPU x1 4096Mi cores=100"},
    {"9.5 MetaX Mi", "'metax-tech.com/sgpu':'1','metax-tech.com/vmemory':'2048Mi'", "",
     "Metax-SGPU x1 2048Mi cores=100"},
    {"9.5 MetaX Gi", "'metax-tech.com/sgpu':'1','metax-tech.com/vmemory':'4Gi','metax-tech.com/vcore':'60'",
     "", "Metax-SGPU x1 4096Mi cores=60"},
    {"9.5 MetaX omitted", "'metax-tech.com/sgpu':'1'", "", "Metax-SGPU x1 whole cores=100"},
    /* 3.8, 9.6 */
    {"3.8 GCU", "'enflame.com/gcu':'2'", "", "GCU x2 whole cores=100"},
    {"9.6 DRS by size", "'enflame.com/drs-gcu':'3'", "", "Enflame x1 whole cores=0 size=3"},
    {"9.6 DRS by memory in MiB", "'enflame.com/gcu-memory':'20480','enflame.com/gcu-core':'40'", "",
     "Enflame x1 20480Mi cores=40"},
    {"3.8 DRS by memory in GB", "'enflame.com/gcu-memory':'20'", "", "Enflame x1 20480Mi cores=0"},
    /* 3.9, 3.10, 9.7 */
    {"3.9 kunlun", "'kunlunxin.com/xpu':'4'", "", "kunlun x4 whole cores=100"},
    {"9.7 vXPU 1", "'kunlunxin.com/vxpu':'1','kunlunxin.com/vxpu-memory':'1'", "", "XPU x1 24576Mi cores=25"},
    {"9.7 vXPU 30000", "'kunlunxin.com/vxpu':'1','kunlunxin.com/vxpu-memory':'30000'", "",
     "XPU x1 49152Mi cores=50"},
    {"9.7 vXPU 60000", "'kunlunxin.com/vxpu':'1','kunlunxin.com/vxpu-memory':'60000'", "",
     "XPU x1 98304Mi cores=100"},
    {"3.10 vXPU beyond the last step", "'kunlunxin.com/vxpu':'1','kunlunxin.com/vxpu-memory':'200000'", "",
     "XPU x1 98304Mi cores=100"},
    {"3.10 vXPU without memory", "'kunlunxin.com/vxpu':'2'", "", "XPU x2 whole cores=100"},
    /* 3.11, 9.8 */
    {"3.11 Neuron devices", "'aws.amazon.com/neuron':'4'", "", "AWSNeuron x4 nomem cores=0 devices"},
    {"9.8 one core", "'aws.amazon.com/neuroncore':'1'", "", "AWSNeuron x1 nomem cores=1"},
    {"9.8 two cores", "'aws.amazon.com/neuroncore':'2'", "", "AWSNeuron x1 nomem cores=2"},
    {"9.8 four cores", "'aws.amazon.com/neuroncore':'4'", "", "AWSNeuron x2 nomem cores=2"},
    {"3.11 devices win", "'aws.amazon.com/neuron':'1','aws.amazon.com/neuroncore':'4'", "",
     "AWSNeuron x1 nomem cores=0 devices"},
    /* 3.12 to 3.14, 9.9 */
    {"9.9 AMD 1 %", "'amd.com/gpu':'1','amd.com/gpucores':'1'", "", "AMD x1 whole cores=1"},
    {"3.12 AMD", "'amd.com/gpu':'1','amd.com/gpumem':'8192'", "", "AMD x1 8192Mi cores=100"},
    {"3.13 Biren", "'birentech.com/gpu':'2'", "", "Biren x2 nomem cores=0"},
    {"3.14 Vastai", "'vastaitech.com/va':'1'", "", "Vastai x1 nomem cores=0"},
};

static void amounts_follow_the_rules_of_each_family(void)
{
    g_autoptr(FamilySet) set = pods_families();
    for (size_t i = 0; i < G_N_ELEMENTS(amounts); i++) {
        g_autofree char *pod = pods_one(amounts[i].limits, amounts[i].annotations);
        g_autofree char *got = read_pod(set, pod);
        g_test_message("%s", amounts[i].name);
        g_assert_cmpstr(got, ==, amounts[i].expected);
    }
}

static const struct {
    const char *name, *limits, *annotations, *says[3];
} nonsense[] = {
    {"5.2 fraction",
     "'nvidia.com/gpu':'1','nvidia.com/gpumem':'16.0Gi'",
     "",
     {"container main: resources.limits[nvidia.com/gpumem] is \"16.0Gi\"", "not a whole number", "16384"}},
    {"5.2 too large (B17)",
     "'nvidia.com/gpu':'1','nvidia.com/gpumem':'16Gi'",
     "",
     {"[nvidia.com/gpumem] is \"16Gi\"", "larger than any card", "write 16384"}},
    {"2^31 MiB (B17)", "'nvidia.com/gpu':'1','nvidia.com/gpumem':'2147483648'", "", {"larger than any card"}},
    {"2^64", "'nvidia.com/gpu':'1','nvidia.com/gpumem':'18446744073709551617'", "", {"larger than any card"}},
    {"negative memory", "'nvidia.com/gpu':'1','nvidia.com/gpumem':'-1'", "", {"negative"}},
    {"word", "'nvidia.com/gpu':'one'", "", {"[nvidia.com/gpu] is \"one\"", "not a number", "from 1 to 128"}},
    {"negative count", "'nvidia.com/gpu':'-1'", "", {"negative"}},
    {"int32 truncation of the count (B17)", "'nvidia.com/gpu':'4294967297'", "", {"more than any node has"}},
    {"int32 truncation of cores (B17)",
     "'nvidia.com/gpu':'1','nvidia.com/gpucores':'4294967346'",
     "",
     {"[nvidia.com/gpucores]", "larger than any card", "from 0 to 100"}},
    {"percentage word",
     "'nvidia.com/gpu':'1','nvidia.com/gpumem-percentage':'x'",
     "",
     {"[nvidia.com/gpumem-percentage]", "not a number", "0 to 100"}},
    {"5.3 percentage -1: unset in the reference, whose webhook refuses it (2.4.1)",
     "'nvidia.com/gpu':'1','nvidia.com/gpumem-percentage':'-1'",
     "",
     {"[nvidia.com/gpumem-percentage] is \"-1\"", "negative", "0 to 100"}},
    {"a part of a card", "'nvidia.com/gpu':'500m'", "", {"not a whole number"}},
    {"9.1 310P beyond the card",
     "'huawei.com/Ascend310P':'1','huawei.com/Ascend310P-memory':'24577'",
     "",
     {"[huawei.com/Ascend310P-memory] is \"24577\"", "at most 24576"}},
    {"9.1 two with a template",
     "'huawei.com/Ascend310P':'2','huawei.com/Ascend310P-memory':'3072'",
     "",
     {"[huawei.com/Ascend310P-memory]", "leave it out"}},
    {"W4 910C with a template",
     "'huawei.com/Ascend910C':'1','huawei.com/Ascend910C-memory':'16384'",
     "",
     {"[huawei.com/Ascend910C-memory]", "leave it out"}},
    {"9.2 910C three", "'huawei.com/Ascend910C':'3'", "", {"\"3\"", "odd"}},
    {"3.1 cores without soft slicing",
     "'huawei.com/Ascend910B3':'1','huawei.com/Ascend910B3-core':'40'",
     "",
     {"[huawei.com/Ascend910B3-core] is 40", "huawei.com/vnpu-mode: hami-core"}},
    {"3.2 MLU beyond int32 MiB",
     "'cambricon.com/vmlu':'1','cambricon.com/mlu.smlu.vmemory':'8388608'",
     "",
     {"larger than any card", "256 MiB"}},
    {"9.4 Mthreads 3",
     "'mthreads.com/vgpu':'1','mthreads.com/sgpu-memory':'3'",
     "",
     {"\"3\"", "2, 4, 8, 16, 32, 64 or 96"}},
    {"3.5 Mthreads cores (W23)",
     "'mthreads.com/vgpu':'1','mthreads.com/sgpu-memory':'2','mthreads.com/sgpu-core':'17'",
     "",
     {"[mthreads.com/sgpu-core]", "more than a card has", "16"}},
    {"3.7 MetaX 1000 is 1k bytes",
     "'metax-tech.com/sgpu':'1','metax-tech.com/vmemory':'1000'",
     "",
     {"less than 1 MiB", "GiB"}},
    {"3.7 MetaX class",
     "'metax-tech.com/sgpu':'1'",
     "'metax-tech.com/sgpu-app-class':'onlin'",
     {"sgpu-app-class", "did you mean online"}},
    {"3.7 MetaX class with two",
     "'metax-tech.com/sgpu':'2'",
     "'metax-tech.com/sgpu-app-class':'online'",
     {"ask for 1"}},
    {"3.7 MetaX policy",
     "'metax-tech.com/sgpu':'1'",
     "'metax-tech.com/sgpu-qos-policy':'fixed'",
     {"sgpu-qos-policy", "best-effort, fixed-share and burst-share"}},
    {"3.8 DRS memory 0", "'enflame.com/gcu-memory':'0'", "", {"asks for nothing"}},
    {"3.8 DRS core 101", "'enflame.com/gcu-memory':'6','enflame.com/gcu-core':'101'", "", {"1 to 100"}},
    {"3.9 kunlun 3", "'kunlunxin.com/xpu':'3'", "", {"write 1, 2, 4 or 8"}},
    {"9.8 three cores", "'aws.amazon.com/neuroncore':'3'", "", {"[aws.amazon.com/neuroncore]"}},
    {"9.9 AMD 0", "'amd.com/gpu':'1','amd.com/gpucores':'0'", "", {"1 to 100"}},
    {"3.12 AMD 101", "'amd.com/gpu':'1','amd.com/gpucores':'101'", "", {"1 to 100"}},
    {"7.1 weights without one",
     "'nvidia.com/gpu':'1'",
     "'hami.io/device-scoring-weights':'slot=1,core=1'",
     {"device-scoring-weights", "slot=1,core=1,memory=1"}},
    {"7.1 weights all 0",
     "'nvidia.com/gpu':'1'",
     "'hami.io/device-scoring-weights':'slot=0,core=0,memory=0'",
     {"not three weights"}},
    {"7.1 weights twice",
     "'nvidia.com/gpu':'1'",
     "'hami.io/device-scoring-weights':'slot=1,slot=1,memory=1'",
     {"not three weights"}},
    {"7.1 weights with one again",
     "'nvidia.com/gpu':'1'",
     "'hami.io/device-scoring-weights':'slot=1,core=1,memory=1,slot=2'",
     {"not three weights"}},
    {"7.1 weights negative",
     "'nvidia.com/gpu':'1'",
     "'hami.io/device-scoring-weights':'slot=-1,core=1,memory=1'",
     {"not three weights"}},
    {"7.1 weights beyond 64 bits",
     "'nvidia.com/gpu':'1'",
     "'hami.io/device-scoring-weights':'slot=9223372036854775808,core=1,memory=1'",
     {"not three weights"}},
    {"7.1 weights with a stranger",
     "'nvidia.com/gpu':'1'",
     "'hami.io/device-scoring-weights':'slot=1,core=1,memory=1,numa=1'",
     {"not three weights"}},
};

static void a_number_that_makes_no_sense_is_an_error(void)
{
    g_autoptr(FamilySet) set = pods_families();
    for (size_t i = 0; i < G_N_ELEMENTS(nonsense); i++) {
        g_autofree char *pod = pods_one(nonsense[i].limits, nonsense[i].annotations);
        g_autofree char *got = read_pod(set, pod);
        g_test_message("%s: %s", nonsense[i].name, got);
        for (int s = 0; s < 3 && nonsense[i].says[s]; s++)
            g_assert_nonnull(strstr(got, nonsense[i].says[s]));
    }
}

static void requests_count_where_the_family_reads_them(void)
{
    static const struct {
        const char *name, *requests, *expected;
    } rows[] = {
        {"12 requests-only works", "'nvidia.com/gpu':'1','nvidia.com/gpumem':'4096'",
         "NVIDIA x1 4096Mi cores=0"},
        {"3.12 AMD reads limits only", "'amd.com/gpu':'1'", ""},
        {"3.7 MetaX reads limits only", "'metax-tech.com/sgpu':'1'", ""},
        {"3.5 Mthreads reads both", "'mthreads.com/vgpu':'1','mthreads.com/sgpu-memory':'2'",
         "Mthreads x1 1024Mi cores=0"},
    };
    g_autoptr(FamilySet) set = pods_families();
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *quoted = g_strdup_printf(
            "{'spec':{'containers':[{'name':'c','resources':{'requests':{%s}}}]}}", rows[i].requests);
        g_autofree char *pod = pods_text(quoted);
        g_autofree char *got = read_pod(set, pod);
        g_test_message("%s", rows[i].name);
        g_assert_cmpstr(got, ==, rows[i].expected);
    }
}

/* The parsed request of a pod that must be fine; remarks joined by newlines. */
static void parse(const struct family_set *set, const char *text, struct pod_request *ret, char **ret_remarks)
{
    g_autoptr(PodReader) reader = pod_reader_new(set);
    g_autoptr(GPtrArray) remarks = g_ptr_array_new_with_free_func(g_free);
    struct pod_object pod;
    const char *fault;
    char *why = NULL;
    g_assert_true(pod_object_parse(reader, text, strlen(text), &pod, &fault));
    if (!vendor_request_parse(set, &pod, &defaults, ret, remarks, &why))
        g_error("%s", why);
    g_ptr_array_add(remarks, NULL);
    *ret_remarks = g_strjoinv("\n", (char **)remarks->pdata);
    pod_object_clear(&pod); /* the request must not need it */
}

/* mutex, topology_aware, numa_bind */
enum { M = 1, T = 2, N = 4 };

static const struct {
    const char *name, *annotations;
    unsigned n, flags;
    enum card_policy order[3];
    const char *remark; /* part of it; NULL = none */
} policies[] = {
    {"6.3 the default", "", 1, 0, {CARD_SPREAD}, NULL},
    {"6.3 one", "'hami.io/gpu-scheduler-policy':'binpack'", 1, 0, {CARD_BINPACK}, NULL},
    {"6.3 chain",
     "'hami.io/gpu-scheduler-policy':' numa , binpack,numa'",
     2,
     0,
     {CARD_NUMA, CARD_BINPACK},
     NULL},
    {"6.3 mutex in a chain", "'hami.io/gpu-scheduler-policy':'mutex,binpack'", 1, M, {CARD_BINPACK}, NULL},
    {"6.3 topology-aware alone spreads",
     "'hami.io/gpu-scheduler-policy':'topology-aware'",
     1,
     T,
     {CARD_SPREAD},
     NULL},
    {"6.3 numa-bind puts numa first",
     "'hami.io/gpu-scheduler-policy':'binpack','nvidia.com/numa-bind':'true'",
     2,
     N,
     {CARD_NUMA, CARD_BINPACK},
     NULL},
    {"6.3 numa-bind moves numa",
     "'hami.io/gpu-scheduler-policy':'spread,numa','nvidia.com/numa-bind':'1'",
     2,
     N,
     {CARD_NUMA, CARD_SPREAD},
     NULL},
    {"B30 misspelt", "'hami.io/gpu-scheduler-policy':'binpak'", 1, 0, {CARD_SPREAD}, "did you mean binpack?"},
    {"B30 misspelt in a list", "'hami.io/gpu-scheduler-policy':'numa,binpak'", 1, 0, {CARD_NUMA}, "binpack"},
    {"B30 node policy",
     "'hami.io/node-scheduler-policy':'sprea'",
     1,
     0,
     {CARD_SPREAD},
     "did you mean spread?"},
    {"B30 switch", "'nvidia.com/numa-bind':'yes'", 1, 0, {CARD_SPREAD}, "true or false"},
    {"blank is absent", "'hami.io/gpu-scheduler-policy':'  '", 1, 0, {CARD_SPREAD}, NULL},
};

static void policies_are_lists_in_order(void)
{
    g_autoptr(FamilySet) set = pods_families();
    for (size_t i = 0; i < G_N_ELEMENTS(policies); i++) {
        g_autofree char *pod = pods_one("'nvidia.com/gpu':'1'", policies[i].annotations);
        g_autofree char *remarks = NULL;
        struct pod_request r;
        parse(set, pod, &r, &remarks);
        g_test_message("%s: %s", policies[i].name, remarks);
        g_assert_cmpuint(r.n_card_policy, ==, policies[i].n);
        for (unsigned p = 0; p < policies[i].n; p++)
            g_assert_cmpint(r.card_policy[p], ==, policies[i].order[p]);
        g_assert_cmpuint((unsigned)r.mutex * M + (unsigned)r.topology_aware * T + (unsigned)r.numa_bind * N,
                         ==, policies[i].flags);
        g_assert_cmpint(r.node_policy, ==, NODE_BINPACK);
        g_assert_true(policies[i].remark ? strstr(remarks, policies[i].remark) != NULL : !*remarks);
        pod_request_clear(&r);
    }
}

static void modes_and_weights_are_read(void)
{
    static const struct {
        const char *name, *annotations;
        unsigned modes;
        uint32_t weights[3];
        const char *remark;
    } rows[] = {
        {"7.1 none", "", 0, {1, 1, 1}, NULL},
        {"7.1 mig", "'nvidia.com/vgpu-mode':'mig'", 1 << CARD_MIG, {1, 1, 1}, NULL},
        {"7.1 several",
         "'nvidia.com/vgpu-mode':'hami-core, mps'",
         1 << CARD_HAMI_CORE | 1 << CARD_MPS,
         {1, 1, 1},
         NULL},
        {"B30 unknown", "'nvidia.com/vgpu-mode':'migg'", 0, {1, 1, 1}, "did you mean mig?"},
        {"7.1 weights in any order",
         "'hami.io/device-scoring-weights':' memory = 3 ,slot=0, core=2 '",
         0,
         {0, 2, 3},
         NULL},
        {"7.1 large weights keep their proportion",
         "'hami.io/device-scoring-weights':'slot=9223372036854775807,core=4611686018427387904,memory=1'",
         0,
         {INT32_MAX, 1 << 30, 1},
         NULL},
    };
    g_autoptr(FamilySet) set = pods_families();
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *pod = pods_one("'nvidia.com/gpu':'1'", rows[i].annotations);
        g_autofree char *remarks = NULL;
        struct pod_request r;
        parse(set, pod, &r, &remarks);
        g_test_message("%s: %s", rows[i].name, remarks);
        g_assert_cmpuint(r.modes, ==, rows[i].modes);
        g_assert_cmpuint(r.weight_slot, ==, rows[i].weights[0]);
        g_assert_cmpuint(r.weight_core, ==, rows[i].weights[1]);
        g_assert_cmpuint(r.weight_mem, ==, rows[i].weights[2]);
        g_assert_true(rows[i].remark ? strstr(remarks, rows[i].remark) != NULL : !*remarks);
        pod_request_clear(&r);
    }
}

static void selections_are_of_the_families_asked_for(void)
{
    g_autoptr(FamilySet) set = pods_families();
    g_autofree char *pod = pods_one(
        "'nvidia.com/gpu':'1','kunlunxin.com/xpu':'1'",
        "'nvidia.com/use-gputype':'A100,V100','nvidia.com/nouse-gpuuuid':'GPU-1','nvidia.com/use-gpuuuid':' "
        "',"
        "'baidu.com/use-gpuuuid':'k0','hami.io/no-use-xpu-uuid':'k1','hygon.com/use-dcutype':'Z100'");
    g_autofree char *remarks = NULL;
    struct pod_request r;
    parse(set, pod, &r, &remarks);
    g_assert_cmpuint(r.n_selections, ==, 2);
    const struct pod_selection *nvidia = &r.selections[0], *kunlun = &r.selections[1];
    g_assert_cmpstr(set->rows[nvidia->family]->word, ==, "NVIDIA");
    g_assert_cmpstr(nvidia->use_types, ==, "A100,V100");
    g_assert_null(nvidia->not_types);
    g_assert_null(nvidia->use_uuids[0]);
    g_assert_cmpstr(nvidia->not_uuids[0], ==, "GPU-1");
    g_assert_cmpstr(set->rows[kunlun->family]->word, ==, "kunlun");
    g_assert_cmpstr(kunlun->use_uuids[0], ==, "k0");
    g_assert_null(kunlun->use_uuids[1]);
    g_assert_cmpstr(kunlun->not_uuids[1], ==, "k1");
    pod_request_clear(&r);
}

static void metax_annotations_choose_class_and_policy(void)
{
    static const struct {
        const char *name, *annotations;
        enum pod_class class;
        enum card_qos qos;
        int topology;
    } rows[] = {
        {"3.7 default", "", POD_CLASS_NONE, CARD_QOS_BEST_EFFORT, -1},
        {"3.7 fixed", "'metax-tech.com/sgpu-qos-policy':'fixed-share'", POD_CLASS_NONE, CARD_QOS_FIXED_SHARE,
         -1},
        {"3.7 online", "'metax-tech.com/sgpu-app-class':'online'", POD_CLASS_ONLINE, CARD_QOS_NONE, -1},
        {"3.7 offline", "'metax-tech.com/sgpu-app-class':'offline'", POD_CLASS_OFFLINE, CARD_QOS_BEST_EFFORT,
         -1},
        {"3.7 topology", "'metax-tech.com/sgpu-topology-aware':'true'", POD_CLASS_NONE, CARD_QOS_BEST_EFFORT,
         1},
        {"3.7 no topology", "'metax-tech.com/sgpu-topology-aware':'False'", POD_CLASS_NONE,
         CARD_QOS_BEST_EFFORT, 0},
    };
    g_autoptr(FamilySet) set = pods_families();
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *pod = pods_one("'metax-tech.com/sgpu':'1'", rows[i].annotations);
        g_autofree char *remarks = NULL;
        struct pod_request r;
        parse(set, pod, &r, &remarks);
        g_test_message("%s", rows[i].name);
        g_assert_cmpint(r.app_class, ==, rows[i].class);
        g_assert_cmpint(r.qos, ==, rows[i].qos);
        g_assert_cmpint(r.topology_wanted, ==, rows[i].topology);
        pod_request_clear(&r);
    }
}

/* scheduler.md 4.2 and 5: init containers first; config_test.go: the position of the container is its slot.
 */
static void slots_are_init_containers_first(void)
{
    g_autoptr(FamilySet) set = pods_families();
    g_autofree char *pod =
        pods_text("{'spec':{'containers':[{'name':'mesh'},{'name':'gpu','resources':{'limits':{'nvidia.com/"
                  "gpu':'1'}}}],"
                  "'initContainers':[{'name':'load','resources':{'limits':{'nvidia.com/gpu':'2'}}},"
                  "{'name':'proxy','restartPolicy':'Always'}]}}");
    g_autofree char *remarks = NULL;
    struct pod_request r;
    parse(set, pod, &r, &remarks);
    g_assert_cmpuint(r.n_slots, ==, 4);
    g_assert_cmpstr(r.slot_name[0], ==, "load");
    g_assert_cmpstr(r.slot_name[1], ==, "proxy");
    g_assert_cmpstr(r.slot_name[3], ==, "gpu");
    g_assert_cmpint(r.slot_kind[0], ==, SLOT_INIT);
    g_assert_cmpint(r.slot_kind[1], ==, SLOT_SIDECAR);
    g_assert_cmpint(r.slot_kind[2], ==, SLOT_APP);
    g_assert_cmpuint(r.n_requests, ==, 2);
    g_assert_cmpuint(r.requests[0].slot, ==, 0);
    g_assert_cmpuint(r.requests[1].slot, ==, 3);
    pod_request_clear(&r);
}

static void a_container_beyond_the_slots_is_an_error(void)
{
    g_autoptr(FamilySet) set = pods_families();
    GString *text = g_string_new("{'spec':{'containers':[");
    for (int i = 0; i < POD_SLOTS_MAX; i++)
        g_string_append_printf(text, "{'name':'c%d'},", i);
    g_string_append(text, "{'name':'last','resources':{'limits':{'nvidia.com/gpu':'1'}}}]}}");
    g_autofree char *pod = pods_text(text->str);
    g_autofree char *got = read_pod(set, pod);
    g_assert_nonnull(strstr(got, "container last"));
    g_string_free(text, TRUE);
}

/* scheduler.md 5.4 and 8.1: memoryFactor scales gpumem, not defaultMemory. */
static void configured_factors_and_defaults_apply(void)
{
    static const struct {
        const char *name, *limits, *expected;
    } rows[] = {
        {"12 _MemoryFactor", "'nvidia.com/gpu':'1','nvidia.com/gpumem':'2'", "NVIDIA x1 2048Mi cores=7"},
        {"12 _DefaultMemory", "'nvidia.com/gpu':'1'", "NVIDIA x1 512Mi cores=7"},
        {"12 percentage 0 and memory 0 alike",
         "'nvidia.com/gpu':'1','nvidia.com/gpumem':'0','nvidia.com/gpumem-percentage':'0'",
         "NVIDIA x1 512Mi cores=7"},
    };
    g_autoptr(FamilySet) set = pods_families();
    struct family *nvidia = set->rows[0];
    g_assert_cmpstr(nvidia->word, ==, "NVIDIA");
    nvidia->mem_unit_bytes = 1024 * POD_MIB;
    nvidia->mem_default_bytes = 512 * POD_MIB;
    nvidia->cores_default = 7;
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *pod = pods_one(rows[i].limits, "");
        g_autofree char *got = read_pod(set, pod);
        g_test_message("%s", rows[i].name);
        g_assert_cmpstr(got, ==, rows[i].expected);
    }
    g_autofree char *pod = pods_one("'nvidia.com/gpu':'1','nvidia.com/gpumem':'1Gi'", "");
    g_autofree char *got = read_pod(set, pod);
    g_assert_nonnull(strstr(got, "larger than any card"));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define TEST(name) g_test_add_func("/vendor-request/" #name, name)
    TEST(amounts_follow_the_rules_of_each_family);
    TEST(a_number_that_makes_no_sense_is_an_error);
    TEST(requests_count_where_the_family_reads_them);
    TEST(policies_are_lists_in_order);
    TEST(modes_and_weights_are_read);
    TEST(selections_are_of_the_families_asked_for);
    TEST(metax_annotations_choose_class_and_policy);
    TEST(slots_are_init_containers_first);
    TEST(a_container_beyond_the_slots_is_an_error);
    TEST(configured_factors_and_defaults_apply);
    return g_test_run();
}
