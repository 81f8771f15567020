/* SPDX-License-Identifier: Apache-2.0
 *
 * Expected values follow Quantity.AsInt64 (scheduler.md section 0), by what
 * Kubernetes documents of its notation.
 */
#include "model/kube_quantity.h"

#include <glib.h>
#include <string.h>

static void integers_are_read_as_kubernetes_reads_them(void)
{
    static const struct {
        const char *text;
        enum kube_quantity kind;
        int64_t value;
    } rows[] = {
        {"0", KUBE_QUANTITY_INTEGER, 0},
        {"1", KUBE_QUANTITY_INTEGER, 1},
        {" 7 ", KUBE_QUANTITY_INTEGER, 7},
        {"+5", KUBE_QUANTITY_INTEGER, 5},
        {"-5", KUBE_QUANTITY_INTEGER, -5},
        {"007", KUBE_QUANTITY_INTEGER, 7},
        {"4k", KUBE_QUANTITY_INTEGER, 4000},
        {"2M", KUBE_QUANTITY_INTEGER, 2000000},
        {"1E", KUBE_QUANTITY_INTEGER, 1000000000000000000},
        {"10E", KUBE_QUANTITY_LARGE, 0},
        {"16Gi", KUBE_QUANTITY_INTEGER, INT64_C(16) << 30},
        {"512Ki", KUBE_QUANTITY_INTEGER, 512 * 1024},
        {"-1Mi", KUBE_QUANTITY_INTEGER, -1048576},
        {"1Ei", KUBE_QUANTITY_LARGE, 0},
        {"1e3", KUBE_QUANTITY_INTEGER, 1000},
        {"1E+3", KUBE_QUANTITY_INTEGER, 1000},
        {"1e-3", KUBE_QUANTITY_FRACTION, 0},
        {"1e99999999999999999999", KUBE_QUANTITY_LARGE, 0},
        {"0e99999999999999999999", KUBE_QUANTITY_INTEGER, 0},
        {"1.5k", KUBE_QUANTITY_INTEGER, 1500},
        {".5k", KUBE_QUANTITY_INTEGER, 500},
        {"1.k", KUBE_QUANTITY_INTEGER, 1000},
        {"16.0Gi", KUBE_QUANTITY_FRACTION, 0}, /* section 5.2: not an exact integer */
        {"1.5Gi", KUBE_QUANTITY_FRACTION, 0},
        {"4.0", KUBE_QUANTITY_FRACTION, 0},
        {"1000m", KUBE_QUANTITY_FRACTION, 0},
        {"0m", KUBE_QUANTITY_FRACTION, 0},
        {"5n", KUBE_QUANTITY_FRACTION, 0},
        {"5u", KUBE_QUANTITY_FRACTION, 0},
        {"999999999999999999", KUBE_QUANTITY_INTEGER, 999999999999999999},
        {"9223372036854775807", KUBE_QUANTITY_LARGE, 0}, /* 19 digits are kept as a big decimal */
        {"99999999999999999999999999", KUBE_QUANTITY_LARGE, 0},
        {"", KUBE_QUANTITY_MALFORMED, 0},
        {" ", KUBE_QUANTITY_MALFORMED, 0},
        {"-", KUBE_QUANTITY_MALFORMED, 0},
        {"one", KUBE_QUANTITY_MALFORMED, 0},
        {"1 Gi", KUBE_QUANTITY_MALFORMED, 0},
        {"1GB", KUBE_QUANTITY_MALFORMED, 0},
        {"1g", KUBE_QUANTITY_MALFORMED, 0},
        {"1K", KUBE_QUANTITY_MALFORMED, 0},
        {"1ki", KUBE_QUANTITY_MALFORMED, 0},
        {"1e", KUBE_QUANTITY_MALFORMED, 0},
        {"1e+", KUBE_QUANTITY_MALFORMED, 0},
        {"1e3e", KUBE_QUANTITY_MALFORMED, 0},
        {"1.2.3", KUBE_QUANTITY_MALFORMED, 0},
        {"--1", KUBE_QUANTITY_MALFORMED, 0},
        {"0x10", KUBE_QUANTITY_MALFORMED, 0},
        {"10%", KUBE_QUANTITY_MALFORMED, 0},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        int64_t value = 0;
        g_test_message("%s", rows[i].text);
        g_assert_cmpint(kube_quantity_parse(rows[i].text, strlen(rows[i].text), &value), ==, rows[i].kind);
        g_assert_cmpint(value, ==, rows[i].value);
    }
}

static void a_suffix_is_seen_as_kubernetes_rewrites_the_text(void)
{
    static const struct {
        const char *text;
        bool suffix;
    } rows[] = {{"4", false}, {"2048Mi", true}, {"4Gi", true}, {"1000", true}, {"1024", false}, {"0", false}};
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_test_message("%s", rows[i].text);
        g_assert_cmpint(kube_quantity_has_suffix(rows[i].text, strlen(rows[i].text)), ==, rows[i].suffix);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/kube-quantity/integers_are_read_as_kubernetes_reads_them",
                    integers_are_read_as_kubernetes_reads_them);
    g_test_add_func("/kube-quantity/a_suffix_is_seen_as_kubernetes_rewrites_the_text",
                    a_suffix_is_seen_as_kubernetes_rewrites_the_text);
    return g_test_run();
}
