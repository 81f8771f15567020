/* SPDX-License-Identifier: Apache-2.0
 *
 * Quantities, devices and requests.
 */
#include <glib.h>
#include <string.h>

#include "../seed.h"
#include "base/words.h"
#include "model/lists.h"
#include "model/quantity.h"

static const struct {
    const char *text;
    uint64_t bytes;
} good[] = {{"8G", UINT64_C(8) << 30},
            {"8GiB", UINT64_C(8) << 30},
            {"8gb", UINT64_C(8) << 30},
            {"1.5G", UINT64_C(3) << 29},
            {"512m", 512 << 20},
            {"1", 1},
            {"0.5k", 512},
            {" 2G ", UINT64_C(2) << 30},
            {"08G", UINT64_C(8) << 30},
            {"1T", UINT64_C(1) << 40},
            {"17B", 17},
            {"18446744073709551615", UINT64_MAX},
            {"16777215T", UINT64_C(16777215) << 40}};

static const char *const bad[] = {"",
                                  "G",
                                  "-1",
                                  "8X",
                                  "0",
                                  "0.0G",
                                  "1.",
                                  "1..5G",
                                  "0x10",
                                  "8 8G",
                                  "nan",
                                  "1e9",
                                  "8Gx",
                                  "16777216T",
                                  "18446744073709551616",
                                  "99999999999999999999G",
                                  "+5",
                                  ".5G"};

static void test_bytes_are_read(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(good); i++) {
        uint64_t bytes = 0;
        g_assert_cmpstr(quantity_parse_bytes(good[i].text, &bytes), ==, NULL);
        g_assert_cmpuint(bytes, ==, good[i].bytes);
    }
}

static void test_nonsense_is_refused(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        uint64_t bytes = 77;
        g_test_message("%s", bad[i]);
        g_assert_nonnull(quantity_parse_bytes(bad[i], &bytes));
        g_assert_cmpuint(bytes, ==, 77);
    }
}

static void test_flag_reads_back(void)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(test_seed_or(4711));
    for (int i = 0; i < 20000; i++) {
        char text[QUANTITY_TEXT];
        uint64_t bytes =
                     ((uint64_t)g_rand_int(rand) << 32 | g_rand_int(rand)) >> g_rand_int_range(rand, 0, 63),
                 back = 0;
        bytes = (bytes | 1) << (10 * g_rand_int_range(rand, 0, 2));
        if (!bytes)
            continue;
        g_assert_cmpstr(quantity_parse_bytes(quantity_format_flag(bytes, text), &back), ==, NULL);
        g_assert_cmpuint(back, ==, bytes);
    }
}

static void test_percent_rounds_down(void)
{
    g_assert_cmpuint(quantity_percent_of(100, 30), ==, 30);
    g_assert_cmpuint(quantity_percent_of(101, 50), ==, 50);
    g_assert_cmpuint(quantity_percent_of(UINT64_MAX, 100), ==, UINT64_MAX);
    g_assert_cmpuint(quantity_scale(UINT64_MAX, 2000), ==, UINT64_MAX);
    g_assert_cmpuint(quantity_scale(1000, 1500), ==, 1500);
}

static void test_mib_border_is_checked(void)
{
    uint64_t bytes;
    g_assert_true(quantity_bytes_of_mib(8192, &bytes));
    g_assert_cmpuint(bytes, ==, UINT64_C(8) << 30);
    g_assert_false(quantity_bytes_of_mib(UINT64_MAX >> 19, &bytes));
    g_assert_cmpuint(quantity_mib_of_bytes((2 << 20) - 1), ==, 1);
}

static void test_people_can_read_it(void)
{
    char text[QUANTITY_TEXT];
    g_assert_cmpstr(quantity_format_bytes(0, text), ==, "0 B");
    g_assert_cmpstr(quantity_format_bytes(512 << 20, text), ==, "512 MiB");
    g_assert_cmpstr(quantity_format_bytes(UINT64_C(40) << 30, text), ==, "40.0 GiB");
    g_assert_cmpstr(quantity_format_bytes(1536, text), ==, "1.5 KiB");
}

static void test_durations(void)
{
    uint64_t ms = 0;
    g_assert_cmpstr(quantity_parse_duration("30s", &ms), ==, NULL);
    g_assert_cmpuint(ms, ==, 30000);
    g_assert_cmpstr(quantity_parse_duration("1.5m", &ms), ==, NULL);
    g_assert_cmpuint(ms, ==, 90000);
    g_assert_cmpstr(quantity_parse_duration("7", &ms), ==, NULL);
    g_assert_cmpuint(ms, ==, 7000);
    g_assert_cmpstr(quantity_parse_duration("5m0s", &ms), ==, NULL); /* as Go writes it */
    g_assert_cmpuint(ms, ==, 300000);
    g_assert_cmpstr(quantity_parse_duration("1h1m1.5s", &ms), ==, NULL);
    g_assert_cmpuint(ms, ==, 3661500);
    g_assert_nonnull(quantity_parse_duration("", &ms));
    g_assert_nonnull(quantity_parse_duration("1m30", &ms));
    g_assert_nonnull(quantity_parse_duration("0s5", &ms));
    g_assert_nonnull(quantity_parse_duration("1mm", &ms));
    g_assert_nonnull(quantity_parse_duration("300d200d", &ms));
    g_assert_nonnull(quantity_parse_duration("3 weeks", &ms));
    g_assert_nonnull(quantity_parse_duration("99999999999h", &ms));
}

static void test_memory_is_bytes_or_percent(void)
{
    struct quantity_mem m;
    g_assert_cmpstr(quantity_parse_mem("30%", &m), ==, NULL);
    g_assert_cmpuint(m.percent, ==, 30);
    g_assert_cmpuint(m.bytes, ==, 0);
    g_assert_nonnull(quantity_parse_mem("0%", &m));
    g_assert_nonnull(quantity_parse_mem("101%", &m));
    g_assert_nonnull(quantity_parse_mem("1.5%", &m));
    g_assert_nonnull(quantity_parse_mem("-5%", &m));
    g_assert_cmpstr(quantity_parse_mem("1M", &m), ==, NULL);
    g_assert_cmpuint(m.bytes, ==, QUANTITY_MIB);
    char text[QUANTITY_TEXT];
    g_assert_cmpstr(quantity_format_share(30, text), ==, " and 30 %");
    g_assert_cmpstr(quantity_format_share(0, text), ==, "");
    g_assert_nonnull(quantity_parse_mem("8", &m)); /* a forgotten unit */
    g_assert_nonnull(quantity_parse_mem("1023K", &m));
}

static void test_lists(void)
{
    static const char use[] = "a100, H100 ,,", not [] = "pcie";
    g_assert_true(lists_want_type(use, not, "NVIDIA A100-SXM4-40GB"));
    g_assert_true(lists_want_type(use, not, "NVIDIA h100"));
    g_assert_false(lists_want_type(use, not, "NVIDIA A100-PCIE-40GB"));
    g_assert_false(lists_want_type(use, not, "Tesla T4"));
    g_assert_true(lists_want_uuid(" ", "GPU-2", "GPU-1"));
    g_assert_false(lists_want_uuid(" ", "GPU-2", "GPU-2"));
    g_assert_true(lists_want_uuid(" ", "GPU-2", "GPU-22"));
    g_assert_false(lists_want_uuid("GPU-2", "GPU-2", "GPU-2"));
}

static void test_nearest_word(void)
{
    static const char *const list[] = {"resize", "resume", "run", NULL};
    g_assert_cmpstr(words_nearest("rezise", list), ==, "resize");
    g_assert_cmpstr(words_nearest("resum", list), ==, "resume");
    g_assert_cmpstr(words_nearest("kubernetes", list), ==, NULL);
    g_autofree char *joined = words_join(list);
    g_assert_cmpstr(joined, ==, "resize, resume and run");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/model/bytes_are_read_with_binary_suffixes", test_bytes_are_read);
    g_test_add_func("/model/nonsense_and_overflow_are_refused", test_nonsense_is_refused);
    g_test_add_func("/model/a_printed_flag_reads_back_to_the_same_bytes", test_flag_reads_back);
    g_test_add_func("/model/percent_rounds_down_and_never_wraps", test_percent_rounds_down);
    g_test_add_func("/model/mib_to_bytes_is_checked_for_overflow", test_mib_border_is_checked);
    g_test_add_func("/model/figures_for_people", test_people_can_read_it);
    g_test_add_func("/model/durations_have_units", test_durations);
    g_test_add_func("/model/memory_is_bytes_or_percent", test_memory_is_bytes_or_percent);
    g_test_add_func("/model/type_lists_match_parts_and_uuid_lists_exactly", test_lists);
    g_test_add_func("/model/the_nearest_word_is_suggested", test_nearest_word);
    return g_test_run();
}
