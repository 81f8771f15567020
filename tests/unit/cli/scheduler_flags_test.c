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
    g_test_add_func("/scheduler-flags/a_time_limit_of_nothing_is_none_and_an_absent_one_the_default",
                    a_time_limit_of_nothing_is_none_and_an_absent_one_the_default);
    return g_test_run();
}
