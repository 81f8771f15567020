/* SPDX-License-Identifier: Apache-2.0 */
#include <glib.h>

#include "base/json_members.h"

struct thing {
    int64_t n, m;
    struct json_text name;
};

static void read_int(struct json_scan *s, void *data, size_t at)
{
    json_scan_int(s, (int64_t *)(void *)((char *)data + at));
}

static void read_text(struct json_scan *s, void *data, size_t at)
{
    json_scan_text(s, (struct json_text *)(void *)((char *)data + at));
}

static void read_inner(struct json_scan *s, void *data, size_t at)
{
    static const struct json_member members[] = {JSON_MEMBER("m", read_int, offsetof(struct thing, m))};
    (void)at;
    json_members_read(s, members, G_N_ELEMENTS(members), data);
}

static const struct json_member members[] = {
    JSON_MEMBER("n", read_int, offsetof(struct thing, n)),
    JSON_MEMBER("name", read_text, offsetof(struct thing, name)),
    JSON_MEMBER("inner", read_inner, 0),
};

/* NULL, or the fault. */
static const char *read_thing(const char *text, bool once, struct thing *ret)
{
    struct json_scan s;
    *ret = (struct thing){0};
    json_scan_init(&s, text, strlen(text));
    s.once = once;
    json_members_read(&s, members, G_N_ELEMENTS(members), ret);
    json_scan_end(&s);
    return s.fault;
}

static void members_are_read_wherever_they_stand(void)
{
    static const struct {
        const char *text;
        int64_t n, m;
    } rows[] = {
        {"{\"n\":1,\"inner\":{\"m\":2},\"name\":\"x\"}", 1, 2},
        {"{\"inner\":{\"x\":[{}],\"m\":2,\"y\":null},\"z\":{\"n\":5},\"n\":1}", 1, 2},
        {"{\"N\":1,\"Inner\":{\"m\":2}}", 0, 0}, /* case counts */
        {"{\"\\u006e\":1,\"i\\u006Ener\":{\"\\u006d\":2}}", 1, 2},
        {"{\"n\":\"x\",\"inner\":[2]}", 0, 0},
        {"{\"n\":1,\"n\":3}", 3, 0},
        {"[1]", 0, 0},
        {"null", 0, 0},
        {"{}", 0, 0},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        struct thing t;
        g_test_message("%s", rows[i].text);
        g_assert_cmpstr(read_thing(rows[i].text, false, &t), ==, NULL);
        g_assert_cmpint(t.n, ==, rows[i].n);
        g_assert_cmpint(t.m, ==, rows[i].m);
    }
}

static void a_member_that_comes_twice_is_a_fault_where_that_counts(void)
{
    static const char *const rows[] = {"{\"n\":1,\"n\":1}", "{\"n\":null,\"name\":\"x\",\"\\u006e\":1}",
                                       "{\"inner\":{},\"inner\":{}}", "{\"inner\":{\"m\":1,\"m\":2}}"};
    struct thing t;
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_test_message("%s", rows[i]);
        g_assert_cmpstr(read_thing(rows[i], false, &t), ==, NULL);
        const char *fault = read_thing(rows[i], true, &t);
        g_assert_nonnull(fault);
        g_assert_nonnull(strstr(fault, "twice"));
    }
    g_assert_cmpstr(read_thing("{\"x\":1,\"x\":2,\"n\":{\"n\":1,\"n\":2},\"inner\":{\"n\":3}}", true, &t), ==,
                    NULL);
}

static void a_text_reads_as_what_its_escapes_stand_for(void)
{
    static const struct {
        const char *escaped, *plain;
        bool same;
    } rows[] = {
        {"abc", "abc", true},        {"abc", "abd", false},
        {"\\u0061bc", "abc", true},  {"a\\/c", "a/c", true},
        {"\\u0061bc", "abd", false}, {"\\ud83d\\ude00", "\xf0\x9f\x98\x80", true},
        {"\\ud83d", "\xf0", false},  {"a\\u0000", "a", false},
        {"\\x61", "a", false},       {"", "", true},
        {"\\n", "\n", true},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        struct json_text t = {rows[i].escaped, strlen(rows[i].escaped),
                              strchr(rows[i].escaped, '\\') != NULL};
        g_test_message("%s", rows[i].escaped);
        g_assert_cmpint(json_text_reads(t, rows[i].plain), ==, rows[i].same);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define TEST(name) g_test_add_func("/json-members/" #name, name)
    TEST(members_are_read_wherever_they_stand);
    TEST(a_member_that_comes_twice_is_a_fault_where_that_counts);
    TEST(a_text_reads_as_what_its_escapes_stand_for);
    return g_test_run();
}
