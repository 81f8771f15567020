/* SPDX-License-Identifier: Apache-2.0
 *
 * What a process's first cuInit may cost more than the driver's own: the
 * settings, the region and a place in it. In instructions; what the kernel does
 * is told by system calls.
 */
#include <stdlib.h>

#include "cost.h"

/* The kit compares a long with a short body: here they differ by one cuInit. */
enum { LONGER_THAN = 1000, DIFFERENCE = 2000, INITS = 20000 };

static int init(int argc, char **argv)
{
    const struct real_cuda *cu = kit_cuda();

    (void)argc;
    return atoi(argv[0]) > LONGER_THAN && cu->cuInit(0) != CUDA_SUCCESS;
}

/* ... or by as many that find everything done. */
static int init_again(int argc, char **argv)
{
    const struct real_cuda *cu = kit_cuda();

    (void)argc;
    cu->cuInit(0);
    for (int i = 0; atoi(argv[0]) > LONGER_THAN && i < INITS; i++)
        if (cu->cuInit(0) != CUDA_SUCCESS)
            return 1;
    return 0;
}

/* Half of the first ones' is room for what pid 1 has in its environment, which is read: some 50 for each
 * variable. */
static const struct gate {
    const char *name;
    const char *body;
    bool limited;
    double most; /* instructions that the library may add */
} gates[] = {
    {"first_init_without_limits", "init", false, 140000},
    {"first_init_with_limits", "init", true, 140000},
    {"twenty_thousand_more_inits", "init_again", true, 75.0 * INITS},
};

static double instructions(const struct gate *gate, bool preloaded)
{
    struct kit *kit = cost_kit_new();

    if (!kit)
        return -1;
    if (!preloaded)
        kit_no_preload(kit);
    if (gate->limited) {
        kit_env(kit, "CUDA_DEVICE_MEMORY_LIMIT", "512m");
        kit_env(kit, "CUDA_DEVICE_SM_LIMIT", "30");
    }
    double n = cost_instructions(kit, gate->body) * DIFFERENCE;
    kit_free(kit);
    return n;
}

static void costs_no_more_than(gconstpointer data)
{
    const struct gate *gate = data;
    double with = instructions(gate, true);

    if (with < 0)
        return;
    double added = with - instructions(gate, false);
    g_test_message("%s: %.0f instructions added, at most %.0f allowed", gate->name, added, gate->most);
    g_assert_cmpfloat(added, <=, gate->most);
    g_assert_cmpfloat(with, >, 0);
}

int main(int argc, char **argv)
{
    static const struct kit_body bodies[] = {{"init", init}, {"init_again", init_again}, {0}};

    if (kit_is_child(argc, argv))
        return kit_child(argc, argv, bodies);
    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions(); /* one gate passed does not hide the others */
    for (gsize i = 0; i < G_N_ELEMENTS(gates); i++) {
        g_autofree char *path = g_strdup_printf("/init_cost/%s_stays_below_its_gate", gates[i].name);
        g_test_add_data_func(path, &gates[i], costs_no_more_than);
    }
    return g_test_run();
}
