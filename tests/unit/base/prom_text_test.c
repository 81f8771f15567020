/* SPDX-License-Identifier: Apache-2.0 */
#include "base/prom_text.h"

#include "../seed.h"

static void label_values_are_escaped_wherever_they_need_it(void)
{
    static const char specials[] = {'"', '\\', '\n'};
    for (size_t len = 0; len < 70; len++) {
        g_autofree char *plain = g_strnfill(len, 'x');
        for (size_t at = 0; at <= len * G_N_ELEMENTS(specials); at++) { /* the last one: none */
            g_autofree char *value = g_strdup(plain);
            g_autoptr(GString) expected = g_string_new("key=\""), out = g_string_new("");
            if (at < len * G_N_ELEMENTS(specials))
                value[at / G_N_ELEMENTS(specials)] = specials[at % G_N_ELEMENTS(specials)];
            for (const char *c = value; *c; c++) {
                if (*c != 'x')
                    g_string_append_c(expected, '\\');
                g_string_append_c(expected, *c == '\n' ? 'n' : *c);
            }
            g_string_append(expected, "\",");
            prom_add_label(out, "key", value);
            g_assert_cmpstr(out->str, ==, expected->str);
        }
    }
}

static void many_specials_find_room(void)
{
    g_autoptr(GString) out = g_string_new("");
    for (size_t len = 1; len < 5000; len *= 3) {
        g_autofree char *value = g_strnfill(len, '\n');
        gsize before = out->len;
        prom_add_label(out, "k", value);
        g_assert_cmpuint(out->len - before, ==, 2 * len + 5);
    }
}

static void numbers_have_their_digits(void)
{
    g_autoptr(GRand) chance = g_rand_new_with_seed(test_seed());
    guint64 edge = 1;
    for (unsigned row = 0; row < 20 * 3 + 1000; row++) {
        guint64 any = (guint64)g_rand_int(chance) << 32 | g_rand_int(chance);
        guint64 value = row < 60 ? edge + row % 3 - 1 : any >> g_rand_int_range(chance, 0, 64);
        char at[PROM_NUMBER], expected[PROM_NUMBER];
        if (row < 60 && row % 3 == 2)
            edge *= 10;
        g_snprintf(expected, sizeof expected, "%" G_GUINT64_FORMAT, value);
        *prom_number(at, value) = '\0';
        g_assert_cmpstr(at, ==, expected);
    }
    char at[PROM_NUMBER];
    *prom_number(at, G_MAXUINT64) = '\0';
    g_assert_cmpstr(at, ==, "18446744073709551615");
}

static void values_may_be_negative(void)
{
    static const struct {
        gint64 value;
        const char *expected;
    } rows[] = {{0, "0\n"},
                {-1, "-1\n"},
                {G_MAXINT64, "9223372036854775807\n"},
                {G_MININT64, "-9223372036854775808\n"}};
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GString) out = g_string_new("");
        prom_add_value(out, rows[i].value);
        g_assert_cmpstr(out->str, ==, rows[i].expected);
    }
}

static void ratios_are_exact_to_nine_decimals(void)
{
    static const struct {
        guint64 part, whole;
        const char *expected;
    } rows[] = {{0, 7, "0"},
                {1, 2, "0.5"},
                {7, 7, "1"},
                {1, 3, "0.333333333"},
                {2, 3, "0.666666667"},
                {3, 2, "1.5"},
                {1, 1000000000, "0.000000001"},
                {1, 4000000000, "0"},
                {3999999999, 4000000000, "1"},
                {7999999999, 4000000000, "2"},
                {G_MAXUINT64, 1, "18446744073709551615"},
                {G_MAXUINT64 - 1, G_MAXUINT64, "1"}};
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        char at[PROM_NUMBER];
        *prom_ratio(at, rows[i].part, rows[i].whole) = '\0';
        g_test_message("%" G_GUINT64_FORMAT " / %" G_GUINT64_FORMAT, rows[i].part, rows[i].whole);
        g_assert_cmpstr(at, ==, rows[i].expected);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/prom_text/label_values_are_escaped_wherever_they_need_it",
                    label_values_are_escaped_wherever_they_need_it);
    g_test_add_func("/prom_text/many_specials_find_room", many_specials_find_room);
    g_test_add_func("/prom_text/numbers_have_their_digits", numbers_have_their_digits);
    g_test_add_func("/prom_text/values_may_be_negative", values_may_be_negative);
    g_test_add_func("/prom_text/ratios_are_exact_to_nine_decimals", ratios_are_exact_to_nine_decimals);
    return g_test_run();
}
