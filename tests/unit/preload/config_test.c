/* SPDX-License-Identifier: Apache-2.0
 *
 * The settings' parsers, value by value, and the order of their places.
 */
#include <glib.h>
#include <stdarg.h>
#include <string.h>

#include "preload/config.h"
#include "preload/log.h"

static unsigned complaints;
static char last_complaint[1024];

void log_line(enum log_level level, const char *file, int line, const char *format, ...)
{
    (void)file, (void)line;
    va_list arguments;
    va_start(arguments, format);
    g_vsnprintf(last_complaint, sizeof last_complaint, format, arguments);
    va_end(arguments);
    complaints += level == LOG_ERROR;
}

#define GIB (UINT64_C(1) << 30)

static const struct {
    const char *text;
    uint64_t bytes;
    uint64_t percent;
} values[] = {
    {"1g", GIB, GIB},
    {"1G", GIB, GIB},
    {"1024m", GIB, GIB},
    {"1048576k", GIB, GIB},
    {"1073741824", GIB, GIB},
    {"4Gi", 4 * GIB, 4 * GIB},
    {"4GB", 4 * GIB, 4 * GIB},
    {"4GiB", 4 * GIB, 4 * GIB},
    {"4gib", 4 * GIB, 4 * GIB},
    {" 1g ", GIB, GIB},
    {"\t1 g\n", GIB, GIB},
    {"1.5G", GIB + GIB / 2, GIB + GIB / 2},
    {"0.5k", 512, 512},
    {"08G", 8 * GIB, 8 * GIB},
    {"0x10", 0, 0},
    {"-1", 0, 0},
    {"+1", 0, 0},
    {"abc", 0, 0},
    {"1gx", 0, 0},
    {"g", 0, 0},
    {"1.", 0, 0},
    {".5g", 0, 0},
    {"1.2.3g", 0, 0},
    {"", 0, 0},
    {"   ", 0, 0},
    {"0", 0, 0},
    {"0g", 0, 0},
    {"99999999999G", 0, 0},
    {"18446744073709551615", UINT64_MAX, UINT64_MAX},
    {"18446744073709551616", 0, 0},
    {"16777215.999999999999999999999G", (UINT64_C(1) << 54) - 1, (UINT64_C(1) << 54) - 1},
    {"50", 50, 50},
    {"50%", 0, 50},
    {" 50 % ", 0, 50},
    {"%", 0, 0},
    {"33.4%", 0, 33},
};

static void values_parse_as_documented(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(values); i++) {
        g_test_message("\"%s\"", values[i].text);
        g_assert_cmpuint(config_parse_bytes(values[i].text, strlen(values[i].text)), ==, values[i].bytes);
        g_assert_cmpuint(config_parse_percent(values[i].text, strlen(values[i].text)), ==, values[i].percent);
    }
}

static void policies_and_priorities_parse_in_any_case(void)
{
    static const struct {
        const char *text;
        enum grant_policy policy;
    } policies[] = {{"force", GRANT_POLICY_FORCE},     {"FORCE", GRANT_POLICY_FORCE},
                    {" Force ", GRANT_POLICY_FORCE},   {"disable", GRANT_POLICY_DISABLE},
                    {"DISABLE", GRANT_POLICY_DISABLE}, {"default", GRANT_POLICY_DEFAULT},
                    {"", GRANT_POLICY_DEFAULT},        {"forced", GRANT_POLICY_DEFAULT},
                    {"Force", GRANT_POLICY_FORCE},     {"fOrCe", GRANT_POLICY_FORCE},
                    {"Disable", GRANT_POLICY_DISABLE}, {"dISABLE", GRANT_POLICY_DISABLE},
                    {"Default", GRANT_POLICY_DEFAULT}, {"DEFAULT", GRANT_POLICY_DEFAULT},
                    {"dEfAuLt", GRANT_POLICY_DEFAULT}, {"FORCE DISABLE", GRANT_POLICY_DEFAULT},
                    {"disabled", GRANT_POLICY_DEFAULT}};
    static const struct {
        const char *text;
        int32_t priority;
    } priorities[] = {{"0", 0}, {" 0 ", 0}, {"1", 1}, {"5", 1}, {"-1", 1}, {"text", 1}, {"", 1}, {"00", 1}};
    for (gsize i = 0; i < G_N_ELEMENTS(policies); i++)
        g_assert_cmpint(config_parse_policy(policies[i].text, strlen(policies[i].text)), ==,
                        policies[i].policy);
    for (gsize i = 0; i < G_N_ELEMENTS(priorities); i++)
        g_assert_cmpint(config_parse_priority(priorities[i].text, strlen(priorities[i].text)), ==,
                        priorities[i].priority);
}

static struct config parse(const char *override, char *const *environment, const char *pid1,
                           size_t pid1_bytes)
{
    struct config c;
    struct config_texts t = {.override = override,
                             .override_bytes = override ? strlen(override) : 0,
                             .environment = environment,
                             .pid1 = pid1,
                             .pid1_bytes = pid1_bytes};
    complaints = 0;
    config_parse(&t, &c);
    return c;
}

#define ENVIRONMENT(...) ((char *[]){__VA_ARGS__, NULL})
#define S(text) ((char *)(uintptr_t)(text))

static void own_index_wins_over_the_general_limit(void)
{
    struct config c = parse(
        NULL, ENVIRONMENT(S("CUDA_DEVICE_MEMORY_LIMIT=1g"), S("CUDA_DEVICE_MEMORY_LIMIT_1=2g")), NULL, 0);
    g_assert_cmpuint(c.mem_bytes[0], ==, GIB);
    g_assert_cmpuint(c.mem_bytes[1], ==, 2 * GIB);
    g_assert_cmpuint(c.mem_bytes[15], ==, GIB);
    g_assert_cmpint(c.source, ==, REGION_SOURCE_ENV);
}

static void an_indexed_zero_does_not_lift_the_general_limit(void)
{
    struct config c = parse(
        NULL, ENVIRONMENT(S("CUDA_DEVICE_MEMORY_LIMIT=1g"), S("CUDA_DEVICE_MEMORY_LIMIT_0=0")), NULL, 0);
    g_assert_cmpuint(c.mem_bytes[0], ==, GIB);
    g_assert_cmpuint(complaints, ==, 0);
}

static void an_unusable_limit_is_named_with_its_remedy(void)
{
    struct config c = parse(NULL, ENVIRONMENT(S("CUDA_DEVICE_MEMORY_LIMIT=8 apples")), NULL, 0);
    g_assert_cmpuint(c.mem_bytes[0], ==, 0);
    g_assert_cmpuint(complaints, ==, 1);
    g_assert_nonnull(strstr(last_complaint, "CUDA_DEVICE_MEMORY_LIMIT=8 apples"));
    g_assert_nonnull(strstr(last_complaint, "8G"));
}

static void core_limits_of_100_and_more_are_no_limits(void)
{
    static const struct {
        const char *entry;
        uint32_t cores;
    } rows[] = {
        {"CUDA_DEVICE_SM_LIMIT=50", 50}, {"CUDA_DEVICE_SM_LIMIT=50%", 50}, {"CUDA_DEVICE_SM_LIMIT=0", 0},
        {"CUDA_DEVICE_SM_LIMIT=100", 0}, {"CUDA_DEVICE_SM_LIMIT=101", 0},  {"CUDA_DEVICE_SM_LIMIT=-5", 0},
        {"CUDA_DEVICE_SM_LIMIT=1", 1},   {"CUDA_DEVICE_SM_LIMIT=99", 99},  {"CUDA_DEVICE_SM_LIMIT=1k", 0}};
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++)
        g_assert_cmpuint(parse(NULL, ENVIRONMENT(S(rows[i].entry)), NULL, 0).cores_pct[3], ==, rows[i].cores);
}

static const char pid1_text[] = "CUDA_DEVICE_MEMORY_LIMIT=4g\0CUDA_DEVICE_MEMORY_SHARED_CACHE=/pid1.cache";

static void override_precedes_environment_precedes_pid1(void)
{
    char **environment = ENVIRONMENT(S("CUDA_DEVICE_MEMORY_LIMIT=2g"));
    struct config c = parse("CUDA_DEVICE_MEMORY_LIMIT=1g\n", environment, pid1_text, sizeof pid1_text);
    g_assert_cmpuint(c.mem_bytes[0], ==, GIB);
    g_assert_cmpint(c.source, ==, REGION_SOURCE_OVERRIDE);
    c = parse(NULL, environment, pid1_text, sizeof pid1_text);
    g_assert_cmpuint(c.mem_bytes[0], ==, 2 * GIB);
    c = parse(NULL, NULL, pid1_text, sizeof pid1_text);
    g_assert_cmpuint(c.mem_bytes[0], ==, 4 * GIB);
    g_assert_cmpint(c.source, ==, REGION_SOURCE_PID1_ENV);
    g_assert_cmpstr(c.cache_path, ==, "/pid1.cache");
}

static void garbage_in_a_place_lets_the_next_place_speak(void)
{
    struct config c =
        parse(NULL, ENVIRONMENT(S("CUDA_DEVICE_MEMORY_LIMIT=none")), pid1_text, sizeof pid1_text);
    g_assert_cmpuint(c.mem_bytes[0], ==, 4 * GIB);
}

static void override_file_forgives_comments_and_stops_at_nonsense(void)
{
    struct config c =
        parse("# limits\n\nCUDA_DEVICE_MEMORY_LIMIT_0=1g\r\nnonsense\nCUDA_DEVICE_MEMORY_LIMIT_1=2g\n", NULL,
              NULL, 0);
    g_assert_cmpuint(c.mem_bytes[0], ==, GIB);
    g_assert_cmpuint(c.mem_bytes[1], ==, 0);
    c = parse("CUDA_DEVICE_MEMORY_LIMIT=1g\nCUDA_DEVICE_MEMORY_LIMIT=3g", NULL, NULL,
              0); /* no newline at the end */
    g_assert_cmpuint(c.mem_bytes[0], ==, 3 * GIB);
    g_autofree char *long_line = g_strnfill(30000, 'x');
    g_autofree char *text = g_strdup_printf("A=%s\nCUDA_DEVICE_MEMORY_LIMIT=2g\n", long_line);
    g_assert_cmpuint(parse(text, NULL, NULL, 0).mem_bytes[0], ==, 2 * GIB);
}

static void a_cache_path_that_does_not_fit_is_refused_loudly(void)
{
    g_autofree char *path = g_strnfill(CONFIG_PATH_MAX, 'p');
    g_autofree char *entry = g_strconcat("CUDA_DEVICE_MEMORY_SHARED_CACHE=", path, NULL);
    struct config c = parse(NULL, ENVIRONMENT(entry), NULL, 0);
    g_assert_cmpstr(c.cache_path, ==, CONFIG_CACHE_PATH);
    g_assert_false(c.cache_named);
    g_assert_cmpuint(complaints, ==, 1);
}

static void oversubscription_is_off_unless_asked_for(void)
{
    g_assert_false(parse(NULL, NULL, NULL, 0).oversubscribe);
    g_assert_true(parse(NULL, ENVIRONMENT(S("CUDA_OVERSUBSCRIBE=true")), NULL, 0).oversubscribe);
    g_assert_true(parse(NULL, ENVIRONMENT(S("CUDA_OVERSUBSCRIBE=TRUE")), NULL, 0).oversubscribe);
    g_assert_false(parse(NULL, ENVIRONMENT(S("CUDA_OVERSUBSCRIBE=false")), NULL, 0).oversubscribe);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define TEST(name) g_test_add_func("/config/" #name, name)
    TEST(values_parse_as_documented);
    TEST(policies_and_priorities_parse_in_any_case);
    TEST(own_index_wins_over_the_general_limit);
    TEST(an_indexed_zero_does_not_lift_the_general_limit);
    TEST(an_unusable_limit_is_named_with_its_remedy);
    TEST(core_limits_of_100_and_more_are_no_limits);
    TEST(override_precedes_environment_precedes_pid1);
    TEST(garbage_in_a_place_lets_the_next_place_speak);
    TEST(override_file_forgives_comments_and_stops_at_nonsense);
    TEST(a_cache_path_that_does_not_fit_is_refused_loudly);
    TEST(oversubscription_is_off_unless_asked_for);
    return g_test_run();
}
