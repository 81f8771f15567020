/* SPDX-License-Identifier: Apache-2.0 */
#include <glib.h>
#include <string.h>

#include "region/grant.h"

#define HEAD "hami-grant   1  00000007\n"
#define BODY "id a1\nregion /run/r\n"
#define DEVICE "device 0 GPU-5f mem 100 cores 30\n"
#define END "end 00000007\n"

static void everything_set_comes_back(void)
{
    struct grant g = {.epoch = 12345678,
                      .id = "6f1e9c02",
                      .name = "my trainer",
                      .region = "/run/hami/6f 1/vgpu.cache",
                      .policy = GRANT_POLICY_FORCE,
                      .priority = 1,
                      .oversubscribe = true,
                      .n_devices = 2};
    struct grant back;
    struct grant_error error;
    char text[GRANT_FILE_BYTES];
    strcpy(g.devices[0].uuid, "GPU-5f");
    g.devices[0].mem_bytes = UINT64_MAX;
    g.devices[0].cores_pct = 30;
    strcpy(g.devices[0].board, "/run/hami/board/GPU 5f");
    strcpy(g.devices[1].uuid, "MIG-7");
    g_assert_cmpint(grant_format(&g, text), ==, 0);
    g_assert_cmpint(grant_parse(text, sizeof text, &back, &error), ==, 0);
    g_assert_true(memcmp(&g, &back, sizeof g) == 0);
    g_assert_true(memcmp(text + GRANT_EPOCH_OFFSET, "12345678", 8) == 0);
    g_assert_cmpint(text[GRANT_FILE_BYTES - 1], ==, '\n');
}

static void keys_left_out_have_defaults(void)
{
    struct grant g;
    struct grant_error error;
    const char *text = HEAD BODY DEVICE END;
    g_assert_cmpint(grant_parse(text, strlen(text), &g, &error), ==, 0);
    g_assert_cmpint(g.policy, ==, GRANT_POLICY_DEFAULT);
    g_assert_cmpint(g.priority, ==, 0);
    g_assert_false(g.oversubscribe);
    g_assert_cmpstr(g.name, ==, "");
    g_assert_cmpstr(g.devices[0].board, ==, "");
}

static void largest_grant_fits_the_file(void)
{
    struct grant g = {.n_devices = REGION_DEVICES};
    char text[GRANT_FILE_BYTES];
    memset(g.id, 'i', sizeof g.id - 1);
    memset(g.name, 'n', sizeof g.name - 1);
    memset(g.region, '/', sizeof g.region - 1);
    for (unsigned d = 0; d < REGION_DEVICES; d++) {
        memset(g.devices[d].uuid, 'u', REGION_UUID_BYTES - 1);
        memset(g.devices[d].board, '/', GRANT_TEXT_MAX - 1);
        g.devices[d].mem_bytes = UINT64_MAX;
        g.devices[d].cores_pct = 100;
    }
    g_assert_cmpint(grant_format(&g, text), ==, 0);
}

static const struct refusal {
    const char *what, *text;
    unsigned line;
    const char *key, *reason; /* the reason contains this */
} refusals[] = {
    {"nothing", "", 1, "hami-grant", "first line"},
    {"another_version", "hami-grant   2  00000007\n" BODY DEVICE END, 1, "hami-grant", "first line"},
    {"epoch_with_letters", "hami-grant   1  0000000x\n" BODY DEVICE END, 1, "hami-grant", "0000000x"},
    {"no_end", HEAD BODY DEVICE, 0, "end", "cut short"},
    {"half_written", HEAD BODY DEVICE "end 00000008\n", 5, "end", "read again"},
    {"text_after_end", HEAD BODY DEVICE END "id b\n", 5, "end", "after"},
    {"no_region", HEAD "id a\n" DEVICE END, 0, "region", "missing"},
    {"no_device", HEAD BODY END, 0, "device", "missing"},
    {"unknown_key", HEAD "idd a1\n", 2, "", "\"idd\""},
    {"key_twice", HEAD BODY "id a2\n" DEVICE END, 4, "id", "twice"},
    {"id_empty", HEAD "id \n" DEVICE END, 2, "id", "empty"},
    {"name_with_escape", HEAD BODY "name a\033[2J\n" DEVICE END, 4, "name", "a?[2J"},
    {"name_ends_in_space", HEAD BODY "name a \n" DEVICE END, 4, "name", "ends with a space"},
    {"relative_region", HEAD "region run/r\n", 2, "region", "\"run/r\" is not an absolute path"},
    {"policy_unknown", HEAD BODY "policy Force\n", 4, "policy",
     "\"Force\" is none of default, force, disable"},
    {"priority_negative", HEAD BODY "priority -1\n", 4, "priority", "\"-1\" is not a number from 0 to 1"},
    {"priority_two", HEAD BODY "priority 2\n", 4, "priority", "\"2\""},
    {"oversubscribe_maybe", HEAD BODY "oversubscribe maybe\n", 4, "oversubscribe", "none of no, yes"},
    {"device_index_skips", HEAD BODY "device 1 U mem 1 cores 1\n", 4, "device", "index 1 where 0 is next"},
    {"device_index_too_big", HEAD BODY "device 16 U mem 1 cores 1\n", 4, "device", "from 0 to 15"},
    {"device_memory_overflows", HEAD BODY "device 0 U mem 18446744073709551616 cores 1\n", 4, "device",
     "\"18446744073709551616\""},
    {"device_cores_101", HEAD BODY "device 0 U mem 1 cores 101\n", 4, "device", "from 0 to 100"},
    {"device_words_swapped", HEAD BODY "device 0 U cores 1 mem 1\n", 4, "device", "\"cores\" where \"mem\""},
    {"device_cut", HEAD BODY "device 0 U mem\n", 4, "device", "\"\" is not a number"},
    {"device_board_relative", HEAD BODY "device 0 U mem 1 cores 1 board b\n", 4, "device", "absolute"},
    {"device_trailing_word", HEAD BODY "device 0 U mem 1 cores 1 bored /b\n", 4, "device", "\"bored\""},
};

static void refuses(gconstpointer data)
{
    const struct refusal *row = data;
    struct grant g = {.epoch = 99}, untouched = g;
    struct grant_error error;
    g_assert_cmpint(grant_parse(row->text, strlen(row->text), &g, &error), ==, -1);
    g_assert_cmpuint(error.line, ==, row->line);
    g_assert_cmpstr(error.key, ==, row->key);
    if (!strstr(error.reason, row->reason))
        g_error("reason is: %s", error.reason);
    g_assert_true(memcmp(&g, &untouched, sizeof g) == 0);
}

static void refuses_every_cut(void)
{
    const char *text = HEAD BODY DEVICE END;
    struct grant g;
    struct grant_error error;
    for (size_t n = 0; n + 1 < strlen(text); n++)
        g_assert_cmpint(grant_parse(text, n, &g, &error), ==, -1);
}

static void refuses_seventeen_devices(void)
{
    GString *text = g_string_new(HEAD BODY);
    struct grant g;
    struct grant_error error;
    for (int d = 0; d < 17; d++)
        g_string_append_printf(text, "device %d U%d mem 1 cores 1\n", d, d);
    g_string_append(text, END);
    g_assert_cmpint(grant_parse(text->str, text->len, &g, &error), ==, -1);
    g_assert_cmpuint(error.line, ==, 20);
    g_assert_cmpstr(error.reason, ==, "more than 16 devices");
    g_string_free(text, TRUE);
}

static void format_refuses_what_would_not_come_back(void)
{
    struct grant good = {.id = "a", .region = "/r", .n_devices = 1, .devices = {{.uuid = "U"}}}, g;
    char text[GRANT_FILE_BYTES];
    g_assert_cmpint(grant_format(&good, text), ==, 0);
#define BAD(change)                                                                                          \
    g = good;                                                                                                \
    change;                                                                                                  \
    g_assert_cmpint(grant_format(&g, text), ==, -1)
    BAD(g.epoch = 100000000);
    BAD(g.id[0] = '\0');
    BAD(strcpy(g.id, "a\nregion /etc"));
    BAD(strcpy(g.name, " a"));
    BAD(strcpy(g.region, "r"));
    BAD(memset(g.region, '/', sizeof g.region));
    BAD(g.n_devices = 0);
    BAD(g.n_devices = 17);
    BAD(g.priority = 2);
    BAD(g.policy = (enum grant_policy)3);
    BAD(strcpy(g.devices[0].uuid, "U V"));
    BAD(g.devices[0].cores_pct = 101);
    BAD(strcpy(g.devices[0].board, "b"));
#undef BAD
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/grant/everything_set_comes_back", everything_set_comes_back);
    g_test_add_func("/grant/keys_left_out_have_defaults", keys_left_out_have_defaults);
    g_test_add_func("/grant/largest_grant_fits_the_file", largest_grant_fits_the_file);
    g_test_add_func("/grant/refuses_every_cut", refuses_every_cut);
    g_test_add_func("/grant/refuses_seventeen_devices", refuses_seventeen_devices);
    g_test_add_func("/grant/format_refuses_what_would_not_come_back",
                    format_refuses_what_would_not_come_back);
    for (size_t i = 0; i < G_N_ELEMENTS(refusals); i++) {
        char *name = g_strdup_printf("/grant/refuses_%s", refusals[i].what);
        g_test_add_data_func(name, &refusals[i], refuses);
        g_free(name);
    }
    return g_test_run();
}
