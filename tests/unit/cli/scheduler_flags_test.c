/* SPDX-License-Identifier: Apache-2.0
 *
 * What the flags of `hami scheduler` come to, as the service gets it. The
 * service is a stub that remembers.
 */
#include "scheduler/scheduler.h"

#include <string.h>

#include "cli/cli.h"

extern const struct verb verb_scheduler;

static struct scheduler_options got;

int scheduler_run(const struct scheduler_options *options, GError **error)
{
    (void)error;
    got = *options;
    return 0;
}

char *scheduler_print(const struct scheduler_options *options, const char *what, GError **error)
{
    (void)options, (void)what, (void)error;
    return NULL;
}

const struct verb *cli_verb(const char *name)
{
    (void)name;
    return &verb_scheduler;
}

int cli_usage(const struct verb *v, const char *format, ...)
{
    (void)v, (void)format;
    return STATUS_USAGE;
}

int cli_fail(const struct verb *v, const GError *error)
{
    (void)v, (void)error;
    return STATUS_USAGE;
}

bool cli_read_file(const char *flag, const char *path, char **ret_text, gsize *ret_len, GError **error)
{
    (void)flag, (void)path, (void)ret_text, (void)ret_len, (void)error;
    return false;
}

static void give(const char *name, const char *value)
{
    for (const struct cli_option *o = verb_scheduler.options; o->name; o++)
        if (strcmp(o->name, name) == 0)
            *(const char **)o->target = value;
}

/* What scheduler.md 1.3 says of a flag, as one text. */
static char *said_of(const struct scheduler_options *o)
{
    return g_strdup_printf(
        "http %s metrics %s name '%s' policies %s %s locks %u %u overwrite %d lead %d %s/%s legacy %d "
        "ascend %d iluvatar %d burst %u qps %g selector %s",
        o->http_bind, o->metrics_bind, o->scheduler_name, o->node_policy, o->card_policy, o->lock_timeout_ms,
        o->lock_retry_ms, o->force_overwrite, o->leader_elect, o->lease_namespace ? o->lease_namespace : "",
        o->lease_name ? o->lease_name : "", o->legacy_metrics, o->vendors.enable_ascend,
        o->vendors.enable_iluvatar, o->kube_burst, o->kube_qps, o->node_selector ? o->node_selector : "");
}

/* The reference's 5 requests a second are its library's; none is ours. */
static void defaults_are_those_of_the_contract(void)
{
    got = (struct scheduler_options){0};
    g_assert_cmpint(verb_scheduler.run(0, NULL), ==, 0);
    g_autofree char *said = said_of(&got);
    g_assert_cmpstr(
        said, ==,
        "http 127.0.0.1:8080 metrics :9395 name '' policies binpack spread locks 300000 28000 overwrite 1 "
        "lead 0 / legacy 0 ascend 0 iluvatar 0 burst 10 qps 0 selector ");
}

static void a_value_arrives_where_it_is_meant(void)
{
    static const char *const values[][2] = {{"http_bind", "127.0.0.1:1"},
                                            {"metrics-bind-address", "127.0.0.1:2"},
                                            {"scheduler-name", "s"},
                                            {"node-scheduler-policy", "spread"},
                                            {"gpu-scheduler-policy", "binpack"},
                                            {"node-lock-timeout", "4m"},
                                            {"node-lock-retry-timeout", "0"},
                                            {"force-overwrite-default-scheduler", "false"},
                                            {"leader-elect", "true"},
                                            {"leader-elect-resource-name", "n"},
                                            {"leader-elect-resource-namespace", "ns"},
                                            {"legacy-metrics", "true"},
                                            {"enable-ascend", "true"},
                                            {"enable-iluvatar", "true"},
                                            {"kube-burst", "20"},
                                            {"kube-qps", "5.5"},
                                            {"node-label-selector", "gpu=on"}};
    for (size_t i = 0; i < G_N_ELEMENTS(values); i++)
        give(values[i][0], values[i][1]);
    got = (struct scheduler_options){0};
    g_assert_cmpint(verb_scheduler.run(0, NULL), ==, 0);
    g_autofree char *said = said_of(&got);
    g_assert_cmpstr(
        said, ==,
        "http 127.0.0.1:1 metrics 127.0.0.1:2 name 's' policies spread binpack locks 240000 0 overwrite 0 "
        "lead 1 ns/n legacy 1 ascend 1 iluvatar 1 burst 20 qps 5.5 selector gpu=on");
}

static void a_time_limit_of_nothing_is_none_and_an_absent_one_the_default(void)
{
    static const struct {
        const char *given;
        uint32_t ms; /* 0 = the client's 30 s */
        int status;
    } rows[] = {
        {NULL, 0, 0}, {"0", UINT32_MAX, 0}, {"1", 1000, 0}, {"3600", 3600000, 0}, {"-1", 0, STATUS_USAGE}};
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        got = (struct scheduler_options){0};
        give("kube-timeout", rows[i].given);
        g_test_message("--kube-timeout %s", rows[i].given ? rows[i].given : "(absent)");
        g_assert_cmpint(verb_scheduler.run(0, NULL), ==, rows[i].status);
        g_assert_cmpuint(got.kube_timeout_ms, ==, rows[i].ms);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    /* The first leaves every flag as it is, the others give some. */
    g_test_add_func("/scheduler-flags/defaults_are_those_of_the_contract",
                    defaults_are_those_of_the_contract);
    g_test_add_func("/scheduler-flags/a_value_arrives_where_it_is_meant", a_value_arrives_where_it_is_meant);
    g_test_add_func("/scheduler-flags/a_time_limit_of_nothing_is_none_and_an_absent_one_the_default",
                    a_time_limit_of_nothing_is_none_and_an_absent_one_the_default);
    return g_test_run();
}
