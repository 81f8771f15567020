/* SPDX-License-Identifier: Apache-2.0
 *
 * Profiles: the shipped ones, what may be changed, and what is refused how.
 */
#include <glib.h>
#include <string.h>

#include "sim/sim.h"

static void load(const char *text, struct sim_profile *p)
{
    char err[1024] = "";
    if (sim_profile_parse("x.yaml", text, strlen(text), p, err, sizeof(err)) != 0)
        g_error("%s", err);
}

static void test_shipped(void)
{
    static const struct {
        const char *name;
        unsigned devices, mig;
        guint64 mem_mib;
    } rows[] = {{"t4", 1, 0, 15360},    {"2xa100-40g", 2, 0, 40960}, {"8xh200", 8, 0, 143771},
                {"gb10", 1, 0, 122880}, {"a100-mig", 1, 3, 40960},   {"t4-null", 1, 0, 15360}};
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        static struct sim_profile p;
        char err[1024] = "";
        g_assert_cmpint(sim_profile_load(rows[i].name, &p, err, sizeof(err)), ==, 0);
        g_assert_cmpuint(p.n_devices, ==, rows[i].devices);
        g_assert_cmpuint(p.devices[0].n_mig, ==, rows[i].mig);
        g_assert_cmpuint(p.devices[0].mem_bytes, ==, rows[i].mem_mib << 20);
        g_assert_cmpuint(strlen(p.devices[0].uuid), ==, 40);
    }
}

static void test_every_shipped_loads(void)
{
    for (const struct sim_profile_shipped *s = sim_profiles_shipped; s->name != NULL; s++) {
        static struct sim_profile p;
        load(s->text, &p);
        g_assert_cmpuint(p.n_devices, >, 0);
    }
}

static void test_uuid_is_stable(void)
{
    static struct sim_profile p;
    char err[256];
    g_assert_cmpint(sim_profile_load("2xa100-40g", &p, err, sizeof(err)), ==, 0);
    g_assert_cmpstr(p.devices[0].uuid, ==, "GPU-bbec0b01-1e2a-54f5-a93c-b6959d27d151");
    g_assert_cmpstr(p.devices[1].uuid, !=, p.devices[0].uuid);
}

static void test_topology(void)
{
    static struct sim_profile p;
    char err[256];
    g_assert_cmpint(sim_profile_load("8xh200", &p, err, sizeof(err)), ==, 0);
    g_assert_cmpuint(p.nvlinks[0][7], ==, 18);
    g_assert_cmpuint(p.nvlinks[3][3], ==, 0);
    g_assert_cmpuint(p.pcie[0][3], ==, 40); /* same NUMA node */
    g_assert_cmpuint(p.pcie[0][4], ==, 50);
    g_assert_cmpuint(p.pcie[2][2], ==, 0);
}

static void test_base(void)
{
    static struct sim_profile p;
    load("base: t4\nname: mine\nschedule: time-sliced\nquantum: 500us\nmissing: [cuMemAllocAsync]\n"
         "costs: {gemm*: 1.5ms, tiny: 800ns}\nmemory_limits: no\nreal_bytes_max: 1G\n"
         "device: {memory: 8G, host_bandwidth: 1.5GB/s}\n",
         &p);
    g_assert_cmpstr(p.name, ==, "mine");
    g_assert_cmpuint(p.schedule, ==, SIM_TIME_SLICED);
    g_assert_cmpuint(p.quantum_ns, ==, 500000);
    g_assert_cmpstr(p.missing[0], ==, "cuMemAllocAsync");
    g_assert_cmpuint(p.n_costs, ==, 2);
    g_assert_cmpuint(p.costs[0].duration_ns, ==, 1500000);
    g_assert_false(p.memory_limits);
    g_assert_cmpuint(p.real_bytes_max, ==, 1 << 30);
    g_assert_cmpuint(p.devices[0].mem_bytes, ==, 8ULL << 30);
    g_assert_cmpuint(p.devices[0].host_bytes_per_s, ==, 1500000000);
    g_assert_cmpuint(p.devices[0].sm_count, ==, 40); /* what is not named stays */
}

static void test_links(void)
{
    static struct sim_profile p;
    load("device: {name: G, memory: 1G}\ndevices: [{count: 3}]\n"
         "links: [{between: all, pcie: hostbridge}, {between: [0, 2], nvlinks: 4, pcie: single}]\n",
         &p);
    g_assert_cmpuint(p.n_devices, ==, 3);
    g_assert_cmpuint(p.pcie[0][1], ==, 30);
    g_assert_cmpuint(p.pcie[2][0], ==, 10);
    g_assert_cmpuint(p.nvlinks[2][0], ==, 4);
    g_assert_cmpuint(p.nvlinks[1][0], ==, 0);
    g_assert_cmpstr(p.devices[2].pci_bus_id, ==, "00000000:03:00.0");
    g_assert_cmpstr(p.name, ==, "x");
}

static void test_refusals(void)
{
    static const struct {
        const char *text, *message;
    } rows[] = {
        {"schedule: fast\n",
         "x.yaml:1: schedule: 'fast' does not do: give one of fifo, time-sliced, spatial"},
        {"base: t4\nquantum: 5\n", "x.yaml:2: quantum: '5' does not do: give a time such as 5us, 2ms or 1s"},
        {"base: t4\nengines: 17\n", "x.yaml:2: engines: '17' does not do: give at least 1 and at most 16"},
        {"base: t9\n", "x.yaml:1: base: 't9' is not a shipped profile: give one of"},
        {"base: t4\ncolour: red\n", "x.yaml:2: colour: no such key: there are name, driver,"},
        {"base: t4\nkernel: 1us\nkernel: 2us\n", "x.yaml:3: kernel: is given twice: remove one"},
        {"devices: [{name: A}]\n", "device 0 has no memory: give it"},
        {"devices: [{name: A, memory: 4Q}]\n",
         "memory: '4Q' does not do: give a size such as 512KiB, 15360MiB or 40GiB"},
        {"devices: [{name: A, memory: 99999999999999999999G}]\n",
         "memory: '99999999999999999999G' does not do"},
        {"devices: [{name: A, memory: 1G, pci: ab}]\n",
         "pci: 'ab' does not do: give one such as 0000:3b:00.0"},
        {"devices: [{name: A, memory: 1G, uuid: GPU-1}]\n", "uuid: 'GPU-1' does not do"},
        {"devices: [{name: A, memory: 1G, pci: '0:1:0.0', count: 2}]\n", "devices 0 and 1 both have"},
        {"devices: [{name: A, memory: 1G, count: 17}]\n", "count: '17' does not do: give at least 1"},
        {"devices: [{name: A, memory: 1G, mig: [{profile: 1g.5gb, memory: 5G, sms: 14}]}]\n", "take less"},
        {"devices: [{name: A, memory: 1G, mig: [{profile: big, memory: 5G, sms: 14}]}]\n", "such as 1g.5gb"},
        {"base: t4\nlinks: [{between: [0, 1]}]\n", "between: there are 1 devices: give two of 0 to 0"},
        {"base: t4\nlinks: [{nvlinks: 1}]\n", "links: between is missing"},
        {"a: [b\n", "x.yaml:2: is not YAML: "},
        {"- a\n", "x.yaml:1: the profile: is not a mapping"},
        {"", "x.yaml:1: the profile: is not a mapping"},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        static struct sim_profile p;
        char err[1024] = "";
        p.n_devices = 77;
        int r = sim_profile_parse("x.yaml", rows[i].text, strlen(rows[i].text), &p, err, sizeof(err));
        if (r == 0 || strstr(err, rows[i].message) == NULL)
            g_error("row %" G_GSIZE_FORMAT ": '%s' is not '%s'", i, err, rows[i].message);
        g_assert_cmpuint(p.n_devices, ==, 77); /* untouched */
    }
}

static void test_unknown_name(void)
{
    static struct sim_profile p;
    char err[512];
    g_assert_cmpint(sim_profile_load("a1000", &p, err, sizeof(err)), ==, -1);
    g_assert_nonnull(strstr(err, "'a1000' is no shipped profile: give one of t4, 2xa100-40g, 8xh200,"));
    g_assert_cmpint(sim_profile_load("/does/not/exist", &p, err, sizeof(err)), ==, -1);
    g_assert_cmpstr(err, ==, "/does/not/exist: cannot read the profile: No such file or directory");
}

static void test_settings(void)
{
    static struct sim_profile p;
    char err[512] = "";
    g_assert_cmpint(sim_profile_load("t4,time=virtual,kernel=20us,memory_limits=true", &p, err, sizeof(err)),
                    ==, 0);
    g_assert_true(p.virtual_time && p.memory_limits);
    g_assert_cmpuint(p.kernel_ns, ==, 20000);
    g_assert_cmpint(sim_profile_load("8xh200-null", &p, err, sizeof(err)), ==, 0);
    g_assert_true(p.null_model);
    g_assert_cmpint(sim_profile_load("t4,time=slow", &p, err, sizeof(err)), ==, -1);
    g_assert_cmpstr(err, ==, "HAMI_SIM: time: 'slow' does not do: give one of real, virtual");
    g_assert_cmpint(sim_profile_load("t4,nonsense", &p, err, sizeof(err)), ==, -1);
    g_assert_nonnull(strstr(err, "'nonsense' is no setting: give key=value"));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/profile/shipped_ones_describe_their_cards", test_shipped);
    g_test_add_func("/profile/every_shipped_one_loads", test_every_shipped_loads);
    g_test_add_func("/profile/uuid_is_the_same_on_every_host", test_uuid_is_stable);
    g_test_add_func("/profile/topology_follows_numa_nodes_and_links", test_topology);
    g_test_add_func("/profile/base_keeps_what_is_not_named", test_base);
    g_test_add_func("/profile/later_link_wins", test_links);
    g_test_add_func("/profile/refusal_names_line_key_value_and_remedy", test_refusals);
    g_test_add_func("/profile/settings_follow_the_name", test_settings);
    g_test_add_func("/profile/unknown_name_lists_those_that_exist", test_unknown_name);
    return g_test_run();
}
