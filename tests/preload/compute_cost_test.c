/* SPDX-License-Identifier: Apache-2.0
 *
 * What a launch may cost more than the driver's own, in instructions.
 */
#include <stdlib.h>

#include "cost.h"

/* In runs of 100, so that a count is not the start of things. */
static int launches(int argc, char **argv)
{
    (void)argc;
    const struct real_cuda *cu = kit_cuda();
    kit_context(0);
    CUfunction f = (CUfunction)(uintptr_t)0x1230;
    CUstream stream = (CUstream)(uintptr_t)0x4560;
    for (int i = 0; i < 100; i++)
        if (cu->cuLaunchKernel(f, 132, 1, 1, 128, 1, 1, 0, stream, NULL, NULL))
            return 1;
    for (int i = atoi(argv[0]) * 20; i > 0; i--)
        if (cu->cuLaunchKernel(f, 132, 1, 1, 128, 1, 1, 0, stream, NULL, NULL))
            return 1;
    return 0;
}

struct gate {
    const char *name;
    const char *limit; /* percent; NULL = none */
    double most;       /* instructions per launch that the library may add */
};

static const struct gate gates[] = {{"launch_without_limit", NULL, 60},
                                    {"launch_within_its_limit", "90", 100}};

static void costs_no_more_than(gconstpointer data)
{
    const struct gate *gate = data;
    struct kit *kit = cost_kit_new();
    if (!kit)
        return;
    kit_env(kit, "CUDA_DEVICE_SM_LIMIT", gate->limit ? "%s" : NULL, gate->limit);
    double with = cost_instructions(kit, "launches") / 20;
    kit_no_preload(kit);
    double added = with - cost_instructions(kit, "launches") / 20;
    g_test_message("%s: %.1f instructions added, at most %.0f allowed", gate->name, added, gate->most);
    g_assert_cmpfloat(added, <=, gate->most);
    kit_free(kit);
}

int main(int argc, char **argv)
{
    static const struct kit_body bodies[] = {{"launches", launches}, {0}};
    if (kit_is_child(argc, argv))
        return kit_child(argc, argv, bodies);
    g_test_init(&argc, &argv, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(gates); i++) {
        g_autofree char *path = g_strdup_printf("/compute_cost/%s_stays_below_its_gate", gates[i].name);
        g_test_add_data_func(path, &gates[i], costs_no_more_than);
    }
    return g_test_run();
}
