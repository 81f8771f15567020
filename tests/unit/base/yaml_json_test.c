/* SPDX-License-Identifier: Apache-2.0 */
#include "base/yaml_json.h"

#include <stdlib.h>
#include <string.h>

static char *read_as_json(const char *yaml, char **ret_why)
{
    g_autoptr(GError) error = NULL;
    json_t *all = yaml_json_parse(yaml, strlen(yaml), &error);
    if (!all) {
        *ret_why = g_strdup(error->message);
        return NULL;
    }
    char *text = json_dumps(all, JSON_COMPACT);
    json_decref(all);
    return text;
}

static void reads_as_kubernetes_does(void)
{
    static const struct {
        const char *yaml, *json;
    } rows[] = {
        {"a: 1\nb: [x, 'y', \"z\"]\n", "[{\"a\":1,\"b\":[\"x\",\"y\",\"z\"]}]"},
        {"a: \"1\"\nb: yes\nc: true\nd: ~\ne: 1.5\nf: 0x10\n",
         "[{\"a\":\"1\",\"b\":\"yes\",\"c\":true,\"d\":null,\"e\":1.5,\"f\":\"0x10\"}]"},
        {"nvidia.com/gpu: 1\n", "[{\"nvidia.com/gpu\":1}]"},
        {"---\na: 1\n---\n---\nb: 2\n...\n", "[{\"a\":1},{\"b\":2}]"},
        {"x: &a {k: 1}\ny: *a\n", "[{\"x\":{\"k\":1},\"y\":{\"k\":1}}]"},
        {"", "[]"},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        char *why = NULL, *json = read_as_json(rows[i].yaml, &why);
        g_assert_cmpstr(json, ==, rows[i].json);
        free(json);
    }
}

static void refuses_with_line_and_column(void)
{
    static const struct {
        const char *yaml, *where;
    } rows[] = {
        {"a: 1\na: 2\n", "2:1:"},
        {"a: [1\n", "2:1:"},
        {"{[a]: 1}: 2\n", "1:1:"},
        {"a: \"\\0\"\n", "1:4:"},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        char *why = NULL, *json = read_as_json(rows[i].yaml, &why);
        g_assert_null(json);
        g_assert_true(g_str_has_prefix(why, rows[i].where));
        g_free(why);
    }
}

static void aliases_do_not_explode(void)
{
    GString *bomb = g_string_new("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    char *why = NULL;
    for (int i = 1; i < 9; i++)
        g_string_append_printf(bomb, "a%d: &a%d [*a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d]\n", i, i,
                               i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1);
    g_assert_null(read_as_json(bomb->str, &why));
    g_assert_nonnull(strstr(why, "too many values"));
    g_free(why);
    g_string_free(bomb, TRUE);
}

static void what_is_written_reads_back(void)
{
    static const char *const rows[] = {
        "{\"apiVersion\":\"v1\",\"list\":[1,\"two\",{\"a\":{\"b\":[]},\"c\":{}},[1,[2]]],\"t\":true,\"n\":"
        "null,\"s\":\"30\",\"r\":1.5}",
        "{\"odd\":[\"\",\" lead\",\"trail \",\"- x\",\"a: b\",\"# "
        "c\",\"yes\",\"no\",\"null\",\"~\",\"1e3\",\"\\n\",\"\\u00e9\",\"*\",\"a,b\",\"true\"]}",
        "{\"nvidia.com/gpu\":\"1\",\"k: y\":\"v\"}",
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        json_t *value = json_loads(rows[i], 0, NULL);
        g_autofree char *yaml = yaml_json_format(value);
        json_t *back = yaml_json_parse(yaml, strlen(yaml), NULL);
        if (!json_equal(json_array_get(back, 0), value))
            g_error("does not read back:\n%s", yaml);
        json_decref(value);
        json_decref(back);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define TEST(name) g_test_add_func("/yaml-json/" #name, name)
    TEST(reads_as_kubernetes_does);
    TEST(refuses_with_line_and_column);
    TEST(aliases_do_not_explode);
    TEST(what_is_written_reads_back);
    return g_test_run();
}
