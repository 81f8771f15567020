/* SPDX-License-Identifier: Apache-2.0
 *
 * Pods made to be read in one way here and in another by the API server, or to
 * be dear. Its reader: keys differ by case, escapes in them are resolved, of
 * two members the last counts (here: both are refused).
 */
#include "admit_scene.h"

#define GPU "'resources':{'limits':{'nvidia.com/gpu':'1'}}"
#define ROOT "'securityContext':{'privileged':true}"

static void admit_quoted(const char *quoted, struct admit_result *ret)
{
    static struct family_set *set;
    g_autofree char *text = pods_text(quoted);
    struct admit_policy p = policy();
    if (!set)
        set = pods_families();
    vendor_admit_text(set, NULL, &p, text, strlen(text), "ns", ret);
}

static void what_reads_in_two_ways_is_refused_by_its_name(void)
{
    static const struct {
        const char *pod, *says;
    } rows[] = {
        {"{'spec':{'containers':[{'name':'c'," GPU "}],'containers':[{'name':'c'}]}}", "containers twice"},
        {"{'spec':{'containers':[{'name':'c'}],'\\u0063ontainers':[{'name':'c'," GPU "}]}}",
         "containers twice"},
        {"{'spec':{'containers':[{'name':'c'}]},'spec':{'containers':[{'name':'c'," GPU "}]}}", "spec twice"},
        {"{'metadata':{},'metadata':{'annotations':{}},'spec':{'containers':[{}]}}", "metadata twice"},
        {"{'metadata':{'annotations':{},'annotations':{'a':'b'}},'spec':{'containers':[{}]}}",
         "annotations twice"},
        {"{'metadata':{'annotations':{'nvidia.com/vgpu-mode':'mig','nvidia.com/vgpu-mode':'mps'}},"
         "'spec':{'containers':[{}]}}",
         "annotation of ours twice"},
        {"{'metadata':{'annotations':{'nvidia.com/vgpu-mode':'mig','nvidia.com/vgpu-mod\\u0065':null}},"
         "'spec':{'containers':[{}]}}",
         "annotation of ours twice"},
        {"{'spec':{'schedulerName':'volcano','schedulerName':'','containers':[{}]}}", "schedulerName twice"},
        {"{'spec':{'nodeName':'','nodeName':'n','containers':[{" GPU "}]}}", "nodeName twice"},
        {"{'spec':{'containers':[{" ROOT ",'securityContext':{}," GPU "}]}}", "securityContext twice"},
        {"{'spec':{'containers':[{'securityContext':{'privileged':true,'privileged':false}}]}}",
         "privileged twice"},
        {"{'spec':{'containers':[{" GPU ",'resources':{}}]}}", "resources twice"},
        {"{'spec':{'containers':[{'resources':{'limits':{},'limits':{'nvidia.com/gpu':'1'}}}]}}",
         "limits twice"},
        {"{'spec':{'containers':[{'resources':{'limits':{'nvidia.com/gpu':'1','nvidia.com\\/gpu':null}}}]}}",
         "resource of ours twice"},
        {"{'spec':{'containers':[{'env':[],'env':[{'name':'NVIDIA_VISIBLE_DEVICES','value':'all'}]}]}}",
         "env twice"},
        {"{'spec':{'containers':[{'env':[{'name':'A','name':'NVIDIA_VISIBLE_DEVICES'}]}]}}", "name twice"},
        {"{'spec':{'containers':[{'name':'a\\u0000'}]}}", "not UTF-8 or has a broken escape"},
        {"{'spec':{'containers':[{'name':'a\xff'}]}}", "not UTF-8"},
        {"{'spec':{'containers':[{'name':'\\ud800'}]}}", "broken escape"},
        {"{'spec':{'containers':[{}]}} x", "something follows"},
        {"", "a pod is an object"},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        struct admit_result r;
        admit_quoted(rows[i].pod, &r);
        g_test_message("row %zu: %s", i, r.message);
        g_assert_false(r.allowed);
        g_assert_null(r.patch);
        g_assert_nonnull(strstr(r.message, "the pod cannot be read: "));
        g_assert_nonnull(strstr(r.message, rows[i].says));
        admit_result_clear(&r);
    }
}

static void escapes_hide_nothing(void)
{
    static const struct {
        const char *pod, *says;
    } rows[] = {
        {"{'m\\u0065tadata':{'\\u0061nnotations':{'hami.io\\/"
         "vgpu\\u002dnode':'n'}},'spec':{'containers':[{}]}}",
         "annotation hami.io/vgpu-node"},
        {"{'metadata':{'annotations':{'\\u0068ami.io/vgpu-new':'n'}},'spec':{'containers':[{}]}}",
         "annotation hami.io/vgpu-new"},
        {"{'metadata':{'labels':{'hami.io\\/vgpu-node':'n'}},'spec':{'containers':[{}]}}",
         "label hami.io/vgpu-node"},
        {"{'spec':{'containers':[{" GPU "},{'securityC\\u006fntext':{'privile\\u0067ed':true}}]}}",
         "is privileged"},
        {"{'spec':{'containers':[{" GPU
         ",'env':[{'name':'NVIDIA\\u005fVISIBLE_DEVICES','value':'\\u0061ll'}]}]}}",
         "NVIDIA_VISIBLE_DEVICES"},
        {"{'spec':{'nodeN\\u0061me':'n','containers':[{" GPU "}]}}", "nodeName is"},
        {"{'spec':{'containers':[{'resources':{'\\u006cimits':{'nvidia.com\\/gpu':'\\u0078'}}}]}}",
         "is \"x\""},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        struct admit_result r;
        admit_quoted(rows[i].pod, &r);
        g_test_message("row %zu: %s", i, r.message);
        g_assert_false(r.allowed);
        g_assert_nonnull(strstr(r.message, rows[i].says));
        admit_result_clear(&r);
    }
}

/* The API server's reader is exact about case, so this is no "limits". */
static void another_case_is_another_member(void)
{
    struct admit_result r;
    admit_quoted("{'spec':{'containers':[{'resources':{'Limits':{'nvidia.com/gpu':'1'}}}]}}", &r);
    g_assert_true(r.allowed && !r.ours);
    admit_result_clear(&r);
}

static void what_is_not_read_may_be_anything(void)
{
    g_autoptr(GString) deep = g_string_new("{'metadata':{'managedFields':");
    struct admit_result r;
    for (int i = 0; i < 9000; i++)
        g_string_append_c(deep, '[');
    for (int i = 0; i < 9000; i++)
        g_string_append_c(deep, ']');
    g_string_append(deep, "},'x':1e400,'x':'\xff\\u0000\\ud800','spec':{'containers':[{" GPU
                          "}]},'status':{'phase':[]}}");
    admit_quoted(deep->str, &r);
    g_assert_cmpstr(r.message, ==, NULL);
    g_assert_true(r.allowed && r.ours && r.patch);
    admit_result_clear(&r);
}

static void numbers_beyond_any_card_are_refused(void)
{
    static const char *const rows[] = {"1e400", "-1e400", "99999999999999999999", "1e-400", "-1",
                                       "1.5",   "'1e400'"};
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        struct admit_result r;
        g_autofree char *pod = g_strdup_printf(
            "{'spec':{'containers':[{'name':'c','resources':{'limits':{'nvidia.com/gpu':%s}}}]}}", rows[i]);
        admit_quoted(pod, &r);
        g_test_message("%s: %s", rows[i], r.message);
        g_assert_false(r.allowed);
        g_assert_nonnull(strstr(r.message, "container c: resources.limits[nvidia.com/gpu] is "));
        admit_result_clear(&r);
    }
}

static char *many(const char *container, int n, const char *last)
{
    GString *pod = g_string_new("{'spec':{'containers':[");
    for (int i = 0; i < n; i++)
        g_string_append_printf(pod, "%s,", container);
    g_string_append_printf(pod, "%s]}}", last);
    return g_string_free(pod, FALSE);
}

static void a_card_behind_thousands_of_containers_is_seen(void)
{
    static const struct {
        const char *container, *last, *says;
    } rows[] = {
        {"{}", "{}", NULL},
        {"{}", "{" GPU "}", "more containers than a pod can have"},
        {"{" ROOT "}", "{" GPU "}", "and 19969 more"},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        struct admit_result r;
        g_autofree char *pod = many(rows[i].container, 20000, rows[i].last);
        admit_quoted(pod, &r);
        g_assert_cmpint(r.allowed, ==, rows[i].says == NULL);
        if (rows[i].says)
            g_assert_nonnull(strstr(r.message, rows[i].says));
        g_assert_true(!r.message || strlen(r.message) < 10000);
        admit_result_clear(&r);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define TEST(name) g_test_add_func("/admit-hostile/" #name, name)
    TEST(what_reads_in_two_ways_is_refused_by_its_name);
    TEST(escapes_hide_nothing);
    TEST(another_case_is_another_member);
    TEST(what_is_not_read_may_be_anything);
    TEST(numbers_beyond_any_card_are_refused);
    TEST(a_card_behind_thousands_of_containers_is_seen);
    return g_test_run();
}
