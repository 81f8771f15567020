/* SPDX-License-Identifier: Apache-2.0
 *
 * What memory calls may cost, counted in instructions; see cost.h.
 */
#include <stdlib.h>

#include "cost.h"

#define MIB (UINT64_C(1) << 20)

/* ---- bodies ---- */

static int pairs(int argc, char **argv)
{
    const struct real_cuda *cu = kit_cuda();
    CUdeviceptr p;

    (void)argc;
    kit_context(0);
    for (int i = atoi(argv[0]); i > 0; i--)
        if (cu->cuMemAlloc_v2(&p, 512) != CUDA_SUCCESS || cu->cuMemFree_v2(p) != CUDA_SUCCESS)
            return 1;
    return 0;
}

static int refusals(int argc, char **argv)
{
    const struct real_cuda *cu = kit_cuda();
    CUdeviceptr p;

    (void)argc;
    kit_context(0);
    if (cu->cuMemAlloc_v2(&p, 4 * MIB) != CUDA_SUCCESS)
        return 1;
    for (int i = atoi(argv[0]) + 100; i > 0; i--) /* the first ones search, and log a line */
        if (cu->cuMemAlloc_v2(&p, 1020 * MIB + 1) != CUDA_ERROR_OUT_OF_MEMORY)
            return 1;
    return 0;
}

static int queries(int argc, char **argv)
{
    size_t left, total;

    (void)argc;
    kit_context(0);
    for (int i = atoi(argv[0]); i > 0; i--)
        if (kit_cuda()->cuMemGetInfo_v2(&left, &total) != CUDA_SUCCESS)
            return 1;
    return 0;
}

/* ---- the gates ---- */

struct gate {
    const char *body;
    bool against_driver;
    double most; /* instructions per call or pair that the library may add */
};

static void costs_no_more_than(gconstpointer data)
{
    const struct gate *gate = data;
    struct kit *kit = cost_kit_new();
    double with, without = 0;

    if (!kit)
        return;
    kit_env(kit, "CUDA_DEVICE_MEMORY_LIMIT", "1G");
    with = cost_instructions(kit, gate->body);
    if (gate->against_driver) {
        kit_no_preload(kit);
        without = cost_instructions(kit, gate->body);
    }
    g_test_message("%s: %.1f instructions added, at most %.0f allowed", gate->body, with - without,
                   gate->most);
    g_assert_cmpfloat(with - without, <=, gate->most);
    kit_free(kit);
}

static const struct gate gates[] = {
    {"pairs", true, 620},
    {"refusals", false, 380},
    {"queries", true, 150},
};

static const struct kit_body bodies[] = {{"pairs", pairs}, {"refusals", refusals}, {"queries", queries}, {0}};

int main(int argc, char **argv)
{
    if (kit_is_child(argc, argv))
        return kit_child(argc, argv, bodies);
    g_test_init(&argc, &argv, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(gates); i++) {
        g_autofree char *path =
            g_strdup_printf("/memory_cost/%s_cost_no_more_than_their_gate", gates[i].body);
        g_test_add_data_func(path, &gates[i], costs_no_more_than);
    }
    return g_test_run();
}
