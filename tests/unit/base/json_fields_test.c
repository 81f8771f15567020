/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json_fields.h"

struct thing {
    int64_t number;
    bool flag;
    struct json_text text, raw;
};
static const struct json_field fields[] = {
    {"number", JSON_FIELD_INT, offsetof(struct thing, number), 0, 100},
    {"flag", JSON_FIELD_BOOL, offsetof(struct thing, flag), 0, 0},
    {"text", JSON_FIELD_TEXT, offsetof(struct thing, text), 0, 0},
    {"raw", JSON_FIELD_RAW, offsetof(struct thing, raw), 0, 0},
};

static char *read_thing(const char *json, struct thing *ret)
{
    struct json_scan s;
    char *why = NULL;
    json_scan_init(&s, json, strlen(json));
    if (json_fields_read(&s, fields, G_N_ELEMENTS(fields), ret, &why))
        g_assert_true(json_scan_end(&s));
    return why;
}

static void members_reach_the_struct(void)
{
    struct thing t = {.number = 7};
    g_assert_null(read_thing(
        "{\"NUMBER\":5,\"flag\":true,\"text\":\"a\\\"b\",\"raw\": [1, 2] ,\"other\":{\"number\":9}}", &t));
    g_assert_cmpint(t.number, ==, 5);
    g_assert_true(t.flag);
    g_assert_true(json_text_equal((struct json_text){t.text.at, t.text.len, false}, "a\\\"b"));
    g_assert_true(t.text.escaped);
    g_assert_true(json_text_equal(t.raw, "[1, 2]"));
}

static void null_and_absence_leave_a_member_alone(void)
{
    struct thing t = {.number = 7, .flag = true};
    g_assert_null(read_thing("{\"number\":null,\"flag\":null,\"raw\":null}", &t));
    g_assert_cmpint(t.number, ==, 7);
    g_assert_true(t.flag);
    g_assert_cmpuint(t.raw.len, ==, 0);
    g_assert_null(read_thing("{}", &t));
}

static void useless_members_say_why(void)
{
    static const struct {
        const char *json, *why;
    } rows[] = {
        {"{\"number\":-1}", "number -1 is negative"},
        {"{\"number\":101}", "number 101 is not within 0 and 100"},
        {"{\"number\":1.5}", "number 1.5 is not an integer"},
        {"{\"number\":\"5\"}", "number \"5\" is not an integer"},
        {"{\"flag\":1}", "flag 1 is neither true nor false"},
        {"{\"text\":[]}", "text [] is not a string"},
        {"{\"text\":[\"0123456789012345678901234567890123456789\"]}",
         "text [\"01234567890123456789012345678901234567... is not a string"},
        {"[]", "it is not an object"},
        {"", "it is not an object"},
        {"{\"number\":5", "a comma or a closing bracket is missing"},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        struct thing t = {0};
        g_autofree char *why = read_thing(rows[i].json, &t);
        g_test_message("%s", rows[i].json);
        g_assert_cmpstr(why, ==, rows[i].why);
    }
}

static void strings_are_quoted_as_agents_expect(void)
{
    static const struct {
        const char *text, *want;
    } rows[] = {
        {"plain", "\"plain\""},
        {"a\"b\\c", "\"a\\\"b\\\\c\""},
        {"\b\f\n\r\t\x01", "\"\\b\\f\\n\\r\\t\\u0001\""},
        {"<a>&b", "\"\\u003ca\\u003e\\u0026b\""},
        {"\xe2\x80\xa8\xe2\x80\xa9\xe2\x80\xaa", "\"\\u2028\\u2029\xe2\x80\xaa\""},
        {"", "\"\""},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        GString *s = g_string_new(NULL);
        json_quote(s, rows[i].text);
        g_assert_cmpstr(s->str, ==, rows[i].want);
        g_string_free(s, TRUE);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define TEST(name) g_test_add_func("/json-fields/" #name, name)
    TEST(members_reach_the_struct);
    TEST(null_and_absence_leave_a_member_alone);
    TEST(useless_members_say_why);
    TEST(strings_are_quoted_as_agents_expect);
    return g_test_run();
}
