/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json_scan.h"

#include <glib.h>

static bool accepts(const char *text)
{
    struct json_scan s;
    json_scan_init(&s, text, strlen(text));
    json_scan_skip(&s);
    return json_scan_end(&s);
}

static void takes_well_formed_documents(void)
{
    static const char *const rows[] = {
        "{}",
        "[]",
        " [1, -2.5e+3 ,true,false,null,\"a\\u00e9\\n\"] ",
        "{\"a\":{\"b\":[{}]},\"c\":\"\"}",
        "0",
        "\"x\"",
        "{\"long enough for eight bytes\":\"\\\"quoted\\\" and \\\\ slashed at the end\\\\\"}",
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++)
        if (!accepts(rows[i]))
            g_error("refused: %s", rows[i]);
}

static void refuses_malformed_documents(void)
{
    static const char *const rows[] = {
        "",   "{",        "[1,]", "{\"a\":1,}", "{\"a\"}",   "{a:1}",    "[1 2]", "tru",
        "01", "1.",       "-",    "1e",         "\"",        "\"\\",     "[1]]",  "{}{}",
        "[}", "{\"a\":}", "nul",  "[,1]",       "{\"a\" 1}", "\"a\nb\"", "+1",    "[\"a\tbcdefghijk\"]",
        "[1",
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++)
        if (accepts(rows[i]))
            g_error("accepted: %s", rows[i]);
}

static void reads_members_and_skips_the_rest(void)
{
    const char text[] = "{\"skip\":[{\"x\":[1,2]},\"}]\"],\"n\":-42,\"list\":[\"a\",\"b\"],\"yes\":true}";
    struct json_scan s;
    struct json_text key, item;
    int64_t n = 0;
    bool yes = false;
    GString *items = g_string_new(NULL);
    json_scan_init(&s, text, sizeof text - 1);
    g_assert_true(json_scan_object(&s));
    while (json_scan_key(&s, &key)) {
        if (json_text_is(key, "n"))
            g_assert_true(json_scan_int(&s, &n));
        else if (json_text_is(key, "yes"))
            g_assert_true(json_scan_bool(&s, &yes));
        else if (json_text_is(key, "list") && json_scan_array(&s))
            while (json_scan_element(&s) && json_scan_text(&s, &item))
                g_string_append_len(items, item.at, (gssize)item.len);
        else
            json_scan_skip(&s);
    }
    g_assert_true(json_scan_end(&s));
    g_assert_cmpint(n, ==, -42);
    g_assert_true(yes);
    g_assert_cmpstr(items->str, ==, "ab");
    g_string_free(items, TRUE);
}

static void a_value_of_another_kind_is_skipped(void)
{
    const char text[] = "[{\"a\":1},null,\"5\",1.5,7]";
    struct json_scan s;
    struct json_text t;
    int64_t n = 0;
    bool b = false;
    json_scan_init(&s, text, sizeof text - 1);
    g_assert_true(json_scan_array(&s));
    g_assert_true(json_scan_element(&s));
    g_assert_false(json_scan_text(&s, &t));
    g_assert_true(json_scan_element(&s));
    g_assert_false(json_scan_object(&s));
    g_assert_true(json_scan_element(&s));
    g_assert_false(json_scan_int(&s, &n));
    g_assert_true(json_scan_element(&s));
    g_assert_false(json_scan_int(&s, &n));
    g_assert_true(json_scan_element(&s));
    g_assert_false(json_scan_bool(&s, &b));
    g_assert_false(json_scan_element(&s));
    g_assert_true(json_scan_end(&s));
    g_assert_cmpint(n, ==, 0);
}

static void integers_stop_at_the_borders_of_64_bits(void)
{
    static const struct {
        const char *text;
        bool fits;
        int64_t value;
    } rows[] = {
        {"9223372036854775807", true, INT64_MAX},  {"9223372036854775808", false, 0},
        {"-9223372036854775808", true, INT64_MIN}, {"-9223372036854775809", false, 0},
        {"99999999999999999999999", false, 0},     {"-0", true, 0},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        struct json_scan s;
        int64_t n = 0;
        json_scan_init(&s, rows[i].text, strlen(rows[i].text));
        g_test_message("%s", rows[i].text);
        g_assert_cmpint(json_scan_int(&s, &n), ==, rows[i].fits);
        g_assert_cmpint(n, ==, rows[i].value);
        g_assert_true(json_scan_end(&s));
    }
}

static char *nested(int depth)
{
    GString *deep = g_string_new(NULL);
    for (int i = 0; i < depth; i++)
        g_string_append(deep, i % 3 ? "[" : "{\"k\":");
    g_string_append_c(deep, '0');
    for (int i = depth; i-- > 0;)
        g_string_append_c(deep, i % 3 ? ']' : '}');
    return g_string_free(deep, FALSE);
}

static bool enters(const char *text)
{
    struct json_scan s;
    struct json_text key;
    json_scan_init(&s, text, strlen(text));
    while (json_scan_peek(&s) == JSON_IS_OBJECT ? json_scan_object(&s) && json_scan_key(&s, &key)
                                                : json_scan_array(&s) && json_scan_element(&s))
        ;
    return !s.fault;
}

static void nesting_is_limited_where_it_is_entered_and_where_it_is_skipped(void)
{
    g_autofree char *shallow = nested(JSON_SCAN_DEPTH), *deep = nested(JSON_SCAN_DEPTH + 1),
                    *deepest = nested(JSON_SKIP_DEPTH), *deeper = nested(JSON_SKIP_DEPTH + 1);
    g_assert_true(enters(shallow));
    g_assert_false(enters(deep));
    g_assert_true(accepts(deep));
    g_assert_true(accepts(deepest));
    g_assert_false(accepts(deeper));
    deepest[strlen(deepest) - 2] ^= ']' ^ '}'; /* the wrong bracket */
    g_assert_false(accepts(deepest));
}

static void copies_unescaped(void)
{
    static const struct {
        const char *json, *want; /* NULL = refused */
    } rows[] = {
        {"plain", "plain"},
        {"a\\\"b\\\\c\\/", "a\"b\\c/"},
        {"\\u0041\\u00e9", "A\xc3\xa9"},
        {"\\ud83d\\ude00", "\xf0\x9f\x98\x80"},
        {"\\ud83d", NULL},
        {"\\ude00", NULL},
        {"\\u0000", NULL},
        {"\\x", NULL},
        {"\xff", NULL},
        {"\\u12", NULL},
        {"", ""},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        struct json_text t = {rows[i].json, strlen(rows[i].json), true};
        char buf[32];
        g_assert_cmpint(json_text_copy(t, buf, sizeof buf), ==,
                        rows[i].want ? (int)strlen(rows[i].want) : -1);
        if (rows[i].want)
            g_assert_cmpstr(buf, ==, rows[i].want);
    }
    char tight[3];
    g_assert_cmpint(json_text_copy((struct json_text){"abc", 3, false}, tight, sizeof tight), ==, -1);
    g_assert_cmpint(json_text_copy((struct json_text){"ab", 2, false}, tight, sizeof tight), ==, 2);
}

static void no_read_passes_the_end(void)
{
    /* Every prefix of a document, each in a block of its own so that a
     * sanitizer sees one byte too many. */
    const char text[] = "{\"key\":[\"a long string \\u00e9\",-12.5e3,true,null,{\"b\":false}]}";
    for (size_t len = 0; len < sizeof text - 1; len++) {
        char *copy = g_memdup2(text, len ? len : 1);
        struct json_scan s;
        json_scan_init(&s, copy, len);
        json_scan_skip(&s);
        g_assert_false(json_scan_end(&s));
        g_assert_nonnull(s.fault);
        g_free(copy);
    }
}

/* Strings are looked through in blocks of some bytes: every special one at every place of them, with
 * every distance to the end of the text, beside its neighbours in the order of bytes and above 0x7f. */
static void special_bytes_are_seen_wherever_they_are(void)
{
    static const struct {
        unsigned char byte;
        bool ends, slash, fault;
    } rows[] = {
        {'"', true, false, false},   {'!', false, false, false},        {'#', false, false, false},
        {'\\', false, true, false},  {'[', false, false, false},        {']', false, false, false},
        {0x1f, false, false, true},  {0x00, false, false, true},        {0x20, false, false, false},
        {0x80, false, false, false}, {'"' | 0x80, false, false, false}, {'\\' | 0x80, false, false, false},
        {0x9f, false, false, false}, {0xff, false, false, false},       {0x7f, false, false, false}};
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++)
        for (size_t at = 0; at < 40; at++)
            for (size_t behind = 1; behind < 40; behind++) {
                size_t len = 1 + at + 1 + behind + 1; /* "aaaXbbb" */
                g_autofree char *text =
                    g_malloc(len); /* no byte more: a reader that passes the end is seen */
                memset(text, 'a', len);
                text[0] = text[len - 1] = '"';
                text[1 + at] = (char)rows[i].byte;
                struct json_scan s;
                struct json_text t = {0};
                json_scan_init(&s, text, len);
                bool read = json_scan_text(&s, &t);
                g_assert_cmpint(read, ==, !rows[i].fault);
                g_assert_true((s.fault != NULL) == rows[i].fault);
                if (rows[i].fault)
                    continue;
                g_assert_cmpuint(t.len, ==, rows[i].ends ? at : at + 1 + behind);
                g_assert_cmpint(t.escaped, ==, rows[i].slash);
                g_assert_true(s.at == t.at + t.len + 1);
            }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define TEST(name) g_test_add_func("/json-scan/" #name, name)
    TEST(takes_well_formed_documents);
    TEST(refuses_malformed_documents);
    TEST(reads_members_and_skips_the_rest);
    TEST(a_value_of_another_kind_is_skipped);
    TEST(integers_stop_at_the_borders_of_64_bits);
    TEST(nesting_is_limited_where_it_is_entered_and_where_it_is_skipped);
    TEST(copies_unescaped);
    TEST(no_read_passes_the_end);
    TEST(special_bytes_are_seen_wherever_they_are);
    return g_test_run();
}
