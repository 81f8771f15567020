/* SPDX-License-Identifier: Apache-2.0
 *
 * Every name that a card has, asked for from inside a slice: those of its own
 * cards lead to them, those of the host's others to nothing, and CUDA agrees.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support.h"

#define MIB (UINT64_C(1) << 20)

/* ---- bodies ---- */

struct names {
    char uuid[96], serial[64], pci[NVML_DEVICE_PCI_BUS_ID_BUFFER_SIZE];
};

static nvmlDevice_t name_of(unsigned index, struct names *ret)
{
    const struct real_nvml *nv = kit_nvml();
    nvmlDevice_t device = NULL;
    nvmlPciInfo_t pci;
    if (nv->nvmlDeviceGetHandleByIndex_v2(index, &device) != NVML_SUCCESS ||
        nv->nvmlDeviceGetUUID(device, ret->uuid, sizeof ret->uuid) != NVML_SUCCESS ||
        nv->nvmlDeviceGetSerial(device, ret->serial, sizeof ret->serial) != NVML_SUCCESS ||
        nv->nvmlDeviceGetPciInfo_v3(device, &pci) != NVML_SUCCESS)
        return NULL;
    memcpy(ret->pci, pci.busId, sizeof ret->pci);
    return device;
}

/* uuid, serial number and bus address of every card, in NVML's order. */
static int tell_names(int argc, char **argv)
{
    struct names n;
    (void)argc, (void)argv;
    if (kit_nvml()->nvmlInit_v2() != NVML_SUCCESS)
        return 1;
    for (unsigned i = 0; name_of(i, &n); i++)
        kit_tell("%s %s %s", n.uuid, n.serial, n.pci);
    return 0;
}

/* What each of a card's names leads to; argv: uuid, serial number, address. */
static int find_by_names(int argc, char **argv)
{
    const struct real_nvml *nv = kit_nvml();
    nvmlUUID_t text = {.version = (unsigned)sizeof text | 1u << 24, .type = 1 /* ASCII */};
    nvmlDevice_t found[5] = {0}, first = NULL;
    nvmlReturn_t r[5];
    bool same = true;
    if (argc < 3 || nv->nvmlInit_v2() != NVML_SUCCESS)
        return 1;
    nv->nvmlDeviceGetHandleByIndex_v2(0, &first);
    g_strlcpy(text.value.str, argv[0], sizeof text.value.str);
    r[0] = nv->nvmlDeviceGetHandleByUUID(argv[0], &found[0]);
    r[1] = nv->nvmlDeviceGetHandleByUUIDV(&text, &found[1]);
    r[2] = nv->nvmlDeviceGetHandleBySerial(argv[1], &found[2]);
    r[3] = nv->nvmlDeviceGetHandleByPciBusId(argv[2], &found[3]);
    r[4] = nv->nvmlDeviceGetHandleByPciBusId_v2(argv[2], &found[4]);
    for (unsigned i = 0; i < G_N_ELEMENTS(r); i++)
        same = same && found[i] == first;
    kit_tell("%d %d %d %d %d, the first card %d", r[0], r[1], r[2], r[3], r[4], same);
    return 0;
}

/* CUDA's list, which is the grant's, beside NVML's. */
static int both_lists(int argc, char **argv)
{
    const struct real_nvml *nv = kit_nvml();
    const struct real_cuda *cu = kit_cuda();
    unsigned listed = 0, near_cpu = 0, units = 0;
    int counted = 0;
    nvmlEventSet_t set;
    bool same = true, watched = true;
    (void)argc, (void)argv;
    if (nv->nvmlInit_v2() != NVML_SUCCESS || cu->cuInit(0) != CUDA_SUCCESS ||
        nv->nvmlEventSetCreate(&set) != NVML_SUCCESS)
        return 1;
    nv->nvmlDeviceGetCount_v2(&listed);
    cu->cuDeviceGetCount(&counted);
    for (unsigned i = 0; i < listed; i++) {
        struct names n = {0};
        nvmlDevice_t device = name_of(i, &n);
        char pci[NVML_DEVICE_PCI_BUS_ID_BUFFER_SIZE];
        same = same && cu->cuDeviceGetPCIBusId(pci, sizeof pci, (CUdevice)i) == CUDA_SUCCESS &&
               g_ascii_strcasecmp(pci + strlen(pci) - 12, n.pci + strlen(n.pci) - 12) == 0;
        watched = watched &&
                  nv->nvmlDeviceRegisterEvents(device, nvmlEventTypeXidCriticalError, set) == NVML_SUCCESS;
    }
    nv->nvmlSystemGetTopologyGpuSet(0, &near_cpu, NULL);
    nv->nvmlUnitGetCount(&units);
    kit_tell("%u cards, CUDA %d, same order %d, watched %d, near processor 0 at most all %d, units %u",
             listed, counted, same, watched, near_cpu <= listed, units);
    return 0;
}

/* ---- tests ---- */

static void grant_of(struct kit *kit, const char *const uuids[], unsigned n)
{
    struct grant g = {.n_devices = n};
    for (unsigned i = 0; i < n; i++) {
        g.devices[i].mem_bytes = 2048 * MIB;
        g_strlcpy(g.devices[i].uuid, uuids[i], sizeof g.devices[i].uuid);
    }
    kit_grant(kit, &g);
}

static void assert_found(struct kit *kit, char **names, const char *expected)
{
    g_autofree char *out = kit_run(kit, "find_by_names", names[0], names[1], names[2], NULL);
    g_assert_cmpstr(out, ==, expected);
}

#define NOT_FOUND "6 6 6 6 6, the first card 0\n"

static void a_foreign_card_is_found_by_none_of_its_names(void)
{
    struct kit *kit = kit_new("8xh200"), *bare = kit_new("8xh200");
    kit_no_preload(bare);
    g_autofree char *all = kit_run(bare, "tell_names", NULL);
    g_auto(GStrv) lines = g_strsplit(g_strchomp(all), "\n", -1);
    g_assert_cmpuint(g_strv_length(lines), ==, 8);
    for (unsigned own = 0; own < 8; own += 5) {
        g_auto(GStrv) mine = g_strsplit(lines[own], " ", -1);
        grant_of(kit, (const char *const *)mine, 1);
        g_autofree char *seen = kit_run(kit, "tell_names", NULL);
        g_assert_cmpstr(g_strchomp(seen), ==, lines[own]);
        assert_found(kit, mine, "0 0 0 0 0, the first card 1\n");
        for (unsigned i = 0; i < 8; i++) {
            g_auto(GStrv) names = g_strsplit(lines[i], " ", -1);
            if (i != own)
                assert_found(kit, names, NOT_FOUND);
        }
    }
    kit_free(bare);
    kit_free(kit);
}

static void cuda_counts_the_cards_that_nvml_lists(void)
{
    struct kit *kit = kit_new("8xh200");
    for (unsigned n = 1; n <= 3; n++) {
        const char *const uuids[] = {kit_uuid(kit, 1), kit_uuid(kit, 4), kit_uuid(kit, 6)};
        grant_of(kit, uuids, n);
        g_autofree char *out = kit_run(kit, "both_lists", NULL);
        g_autofree char *expected =
            g_strdup_printf("%u cards, CUDA %u, same order 1, watched 1, near processor "
                            "0 at most all 1, units 0\n",
                            n, n);
        g_assert_cmpstr(out, ==, expected);
    }
    kit_free(kit);
}

static const struct kit_body bodies[] = {
    {"tell_names", tell_names}, {"find_by_names", find_by_names}, {"both_lists", both_lists}, {0}};

int main(int argc, char **argv)
{
    if (kit_is_child(argc, argv))
        return kit_child(argc, argv, bodies);
    g_test_init(&argc, &argv, NULL);
#define TEST(name) g_test_add_func("/nvml_names/" #name, name)
    TEST(a_foreign_card_is_found_by_none_of_its_names);
    TEST(cuda_counts_the_cards_that_nvml_lists);
    return g_test_run();
}
