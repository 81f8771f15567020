/* SPDX-License-Identifier: Apache-2.0
 *
 * What CUDA_VISIBLE_DEVICES means inside a slice. Expected: the driver's own
 * rules (CUDA programming guide, environment variables), with the slice's cards
 * in the place of the machine's.
 */
#include <errno.h>
#include <glib.h>
#include <string.h>

#include "preload/visible.h"

#define A "GPU-aaaaaaaa-0000-0000-0000-000000000001"
#define B "GPU-bbbbbbbb-0000-0000-0000-000000000002"
#define M "MIG-cccccccc-0000-0000-0000-000000000003"

static const struct grant two = {.n_devices = 2, .devices = {{.uuid = B}, {.uuid = A}}};
static const struct grant instance = {.n_devices = 1, .devices = {{.uuid = M}}};

static const struct row {
    const char *name;
    const struct grant *grant;
    const char *chosen, *meant; /* meant NULL = as it is */
} rows[] = {
    {"unset means all", &two, NULL, B "," A},
    {"numbers count the slice's cards", &two, "0", B},
    {"in any order", &two, "1,0", A "," B},
    {"with spaces", &two, " 1 , 0 ", A "," B},
    {"a number beyond ends the list", &two, "1,2,0", A},
    {"a negative one too", &two, "-1", ""},
    {"a huge one too", &two, "99999999999999999999999,0", ""},
    {"numbers with letters are none", &two, "0x1,1", ""},
    {"UUIDs stay", &two, B "," A, NULL},
    {"their beginnings are completed", &two, "GPU-aaa", A},
    {"in any case of letters", &two, "gpu-AAAA", A},
    {"the mere prefix is no card", &two, "GPU-", ""},
    {"a foreign UUID ends the list", &two, A ",GPU-dddddddd," B, A},
    {"empty means none", &two, "", NULL},
    {"nothing between commas ends the list", &two, "0,,1", B},
    {"an instance by its UUID", &instance, M, NULL},
    {"an instance by its number", &instance, "0", M},
    {"an instance of a card of ours by its old name", &two, "MIG-" A "/1/0", NULL},
};

static void list_is_meant_as(gconstpointer data)
{
    const struct row *row = data;
    char meant[VISIBLE_MAX];
    g_assert_cmpint(visible_meant(row->chosen, row->grant, meant), ==, row->meant != NULL);
    g_assert_cmpstr(meant, ==, row->meant ? row->meant : row->chosen);
}

static void long_lists_end_within_bounds(void)
{
    struct grant g = {.n_devices = REGION_DEVICES};
    g_autofree char *chosen = g_malloc0(200001);
    char meant[VISIBLE_MAX];
    for (unsigned i = 0; i < REGION_DEVICES; i++)
        memset(g.devices[i].uuid, 'u', REGION_UUID_BYTES - 1);
    for (unsigned i = 0; i < 200000; i++)
        chosen[i] = i % 2 ? ',' : '0';
    g_assert_true(visible_meant(chosen, &g, meant));
    g_assert_cmpuint(strlen(meant), <, VISIBLE_MAX);
    memset(chosen, 'M', 200000);
    memcpy(chosen, "MIG-", 4);
    g_assert_true(visible_meant(chosen, &g, meant));
    g_assert_cmpstr(meant, ==, "");
}

static void environment_is_what_it_was_afterwards(void)
{
    static const char *const before[] = {NULL, "1", A, ""};
    for (gsize i = 0; i < G_N_ELEMENTS(before); i++) {
        if (before[i])
            g_setenv("CUDA_VISIBLE_DEVICES", before[i], TRUE);
        else
            g_unsetenv("CUDA_VISIBLE_DEVICES");
        errno = EXDEV;
        struct visible visible = visible_set(&two);
        char meant[VISIBLE_MAX];
        visible_meant(before[i], &two, meant);
        g_assert_cmpstr(g_getenv("CUDA_VISIBLE_DEVICES"), ==, meant);
        visible_restore(&visible);
        g_assert_cmpstr(g_getenv("CUDA_VISIBLE_DEVICES"), ==, before[i]);
        g_assert_cmpint(errno, ==, EXDEV);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *path = g_strdup_printf("/visible/%s", rows[i].name);
        g_test_add_data_func(path, &rows[i], list_is_meant_as);
    }
    g_test_add_func("/visible/long_lists_end_within_bounds", long_lists_end_within_bounds);
    g_test_add_func("/visible/environment_is_what_it_was_afterwards", environment_is_what_it_was_afterwards);
    return g_test_run();
}
