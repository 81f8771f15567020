/* SPDX-License-Identifier: Apache-2.0
 *
 * Bodies of writes. Shapes: Kubernetes API reference, Binding v1 and
 * DeleteOptions v1; rules for keys: apimachinery IsQualifiedName and
 * ValidateAnnotations.
 */
#include <stdbool.h>
#include <string.h>

#include "kube/body.h"
#include "kube/error.h"

static const struct kube_target pod = {"ns", "p", "u-1", "42"};

static void test_binding_has_annotations_and_preconditions(void)
{
    GError *error = NULL;
    const struct kube_annotation a[] = {{"hami.io/vgpu-node", "n\"1"}, {"hami.io/bind-time", "1705054797"}};
    g_autofree char *body = kube_body_binding(&pod, "n1", a, 2, &error);
    g_assert_no_error(error);
    g_assert_cmpstr(
        body, ==,
        "{\"apiVersion\":\"v1\",\"kind\":\"Binding\",\"metadata\":{\"uid\":\"u-1\",\"resourceVersion\":"
        "\"42\",\"annotations\":{\"hami.io/vgpu-node\":\"n\\\"1\",\"hami.io/bind-time\":\"1705054797\"},"
        "\"name\":\"p\",\"namespace\":\"ns\"},\"target\":{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"name\":"
        "\"n1\"}}");
}

static void test_binding_of_a_pod_without_preconditions(void)
{
    GError *error = NULL;
    const struct kube_target bare = {.namespace = "ns", .name = "p"};
    g_autofree char *body = kube_body_binding(&bare, "n1", NULL, 0, &error);
    g_assert_no_error(error);
    g_assert_cmpstr(body, ==,
                    "{\"apiVersion\":\"v1\",\"kind\":\"Binding\",\"metadata\":{\"annotations\":{},\"name\":"
                    "\"p\",\"namespace\":\"ns\"},\"target\":{\"apiVersion\":\"v1\",\"kind\":\"Node\","
                    "\"name\":\"n1\"}}");
}

static void test_patch_sets_and_removes(void)
{
    GError *error = NULL;
    const struct kube_annotation a[] = {{"a", "1"}, {"x.example/b", NULL}};
    const struct kube_annotation l[] = {{"hami.io/vgpu-node", "n1"}};
    g_autofree char *body = kube_body_annotate(&pod, a, 2, l, 1, &error);
    g_assert_no_error(error);
    g_assert_cmpstr(body, ==,
                    "{\"metadata\":{\"uid\":\"u-1\",\"resourceVersion\":\"42\",\"annotations\":{\"a\":\"1\","
                    "\"x.example/b\":null},\"labels\":{\"hami.io/vgpu-node\":\"n1\"}}}");
    const struct kube_target bare = {.namespace = "ns", .name = "p"};
    g_autofree char *plain = kube_body_annotate(&bare, a, 1, NULL, 0, &error);
    g_assert_cmpstr(plain, ==, "{\"metadata\":{\"annotations\":{\"a\":\"1\"}}}");
}

static void test_delete_has_preconditions(void)
{
    g_autofree char *body = kube_body_delete(&pod, 0);
    g_assert_cmpstr(body, ==,
                    "{\"apiVersion\":\"v1\",\"kind\":\"DeleteOptions\",\"preconditions\":{\"uid\":\"u-1\","
                    "\"resourceVersion\":\"42\"},\"gracePeriodSeconds\":0}");
}

static const struct {
    const char *key;
    bool ok;
} keys[] = {
    {"a", true},
    {"hami.io/vgpu-node", true},
    {"Example.Com/A_b.c-9", true}, /* prefixes of annotations are compared in lower case */
    {"not a key!!", false},        /* what a Binding would take */
    {"", false},
    {"/a", false},
    {"a/", false},
    {"a/b/c", false},
    {"-a", false},
    {"a-", false},
    {".x/a", false},
    {"x./a", false},
    {"x..y/a", false},
    {"x-.y/a", false},
    {"x.-y/a", false},
    {"x_y/a", false},
    {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", true},
    {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false},
};

static void test_keys_are_checked(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(keys); i++) {
        g_autoptr(GError) error = NULL;
        const struct kube_annotation a = {keys[i].key, "v"};
        g_test_message("%s", keys[i].key);
        g_autofree char *body = kube_body_binding(&pod, "n", &a, 1, &error);
        g_assert_cmpint(body != NULL, ==, keys[i].ok);
        if (!keys[i].ok) {
            g_assert_error(error, KUBE_ERROR, KUBE_ERROR_INVALID);
            g_assert_nonnull(strstr(error->message, keys[i].key));
        }
    }
}

static void test_sum_is_bounded(void)
{
    g_autofree char *fits = g_strnfill(KUBE_ANNOTATIONS_MAX - 2, 'x');
    const struct kube_annotation a[] = {{"a", fits}, {"b", ""}, {"c", ""}};
    g_autoptr(GError) error = NULL;
    g_autofree char *ok = kube_body_binding(&pod, "n", a, 2, &error);
    g_assert_no_error(error);
    g_assert_nonnull(ok);
    g_assert_null(kube_body_binding(&pod, "n", a, 3, &error));
    g_assert_nonnull(strstr(error->message, "262144"));
}

static void test_nonsense_is_refused(void)
{
    const struct kube_annotation twice[] = {{"a", "1"}, {"a", "2"}}, latin = {"a", "\xe9"},
                                 none = {"a", NULL};
    const struct kube_annotation label = {"a", "no label"};
    const struct kube_target nameless = {.namespace = "ns", .name = ""};
    g_autoptr(GError) error = NULL;
    g_assert_null(kube_body_binding(&pod, "n", twice, 2, &error));
    g_clear_error(&error);
    g_assert_null(kube_body_binding(&pod, "n", &latin, 1, &error));
    g_clear_error(&error);
    g_assert_null(kube_body_binding(&pod, "n", &none, 1, &error));
    g_clear_error(&error);
    g_assert_null(kube_body_binding(&pod, "", NULL, 0, &error));
    g_clear_error(&error);
    g_assert_null(kube_body_binding(&nameless, "n", NULL, 0, &error));
    g_clear_error(&error);
    g_assert_null(kube_body_annotate(&pod, NULL, 0, &label, 1, &error));
    g_assert_error(error, KUBE_ERROR, KUBE_ERROR_INVALID);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define ADD(name) g_test_add_func("/kube/body/" #name, test_##name)
    ADD(binding_has_annotations_and_preconditions);
    ADD(binding_of_a_pod_without_preconditions);
    ADD(patch_sets_and_removes);
    ADD(delete_has_preconditions);
    ADD(keys_are_checked);
    ADD(sum_is_bounded);
    ADD(nonsense_is_refused);
    return g_test_run();
}
