/* SPDX-License-Identifier: Apache-2.0
 *
 * What LIBCUDA_LOG_LEVEL prints and hides. The level is read once in a process,
 * so each text has a process of its own.
 */
#include <errno.h>
#include <glib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "preload/log.h"

static void read_all(int fd, GString *ret)
{
    char buffer[4096];
    for (ssize_t n; (n = read(fd, buffer, sizeof buffer)) > 0;)
        g_string_append_len(ret, buffer, n);
    close(fd);
}

/* stderr of a process that logs; asserts that errno is kept and stdout empty. */
static char *logged(const char *level, void (*body)(void))
{
    int out[2], err[2], status;
    GString *said = g_string_new(NULL), *nothing = g_string_new(NULL);
    g_assert_cmpint(pipe(out), ==, 0);
    g_assert_cmpint(pipe(err), ==, 0);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(out[1], STDOUT_FILENO);
        dup2(err[1], STDERR_FILENO);
        if (level)
            g_setenv("LIBCUDA_LOG_LEVEL", level, TRUE);
        else
            g_unsetenv("LIBCUDA_LOG_LEVEL");
        errno = 4242;
        body();
        _exit(errno != 4242);
    }
    close(out[1]);
    close(err[1]);
    read_all(err[0], said);
    read_all(out[0], nothing);
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    g_assert_cmpint(status, ==, 0);
    g_assert_cmpstr(nothing->str, ==, "");
    g_string_free(nothing, TRUE);
    return g_string_free(said, FALSE);
}

static void one_of_each(void)
{
    log_error("an error %d", 1);
    log_warn("a warning %d", 2);
    log_info("something %d", 3);
    log_debug("more %d", 4);
}

static void level_prints_what_it_names_and_no_more(void)
{
    static const struct {
        const char *text;
        unsigned lines; /* of the four, from the gravest */
    } rows[] = {{NULL, 1}, {"0", 1},  {"1", 1},    {"2", 2}, {"3", 3},  {"4", 4},
                {"5", 4},  {"99", 4}, {"text", 1}, {"", 1},  {"-1", 1}, {"-4", 1}};
    /* As operators' filters expect them. */
    static const char *const shapes[] = {
        "^\\[HAMI-core ERROR \\(pid:\\d+ thread=\\d+ log_test\\.c:\\d+\\)\\]: an error 1$",
        "^\\[HAMI-core Warn\\(\\d+:\\d+:log_test\\.c:\\d+\\)\\]: a warning 2$",
        "^\\[HAMI-core Info\\(\\d+:\\d+:log_test\\.c:\\d+\\)\\]: something 3$",
        "^\\[HAMI-core Debug\\(\\d+:\\d+:log_test\\.c:\\d+\\)\\]: more 4$"};
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *err = logged(rows[i].text, one_of_each);
        g_auto(GStrv) lines = g_strsplit(err, "\n", -1);
        g_test_message("%s: %u lines", rows[i].text ? rows[i].text : "unset", g_strv_length(lines) - 1);
        g_assert_cmpuint(g_strv_length(lines), ==, rows[i].lines + 1);
        for (unsigned n = 0; n < rows[i].lines; n++)
            g_assert_true(g_regex_match_simple(shapes[n], lines[n], 0, 0));
        g_assert_cmpstr(lines[rows[i].lines], ==, "");
    }
}

static void long_one(void)
{
    char text[5000];
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = '\0';
    log_error("%s", text);
    log_error("next");
}

static void line_that_is_too_long_ends_as_a_line(void)
{
    g_autofree char *err = logged(NULL, long_one);
    g_auto(GStrv) lines = g_strsplit(err, "\n", -1);
    g_assert_cmpuint(g_strv_length(lines), ==, 3);
    g_assert_cmpuint(strlen(lines[0]), <, 1024);
    g_assert_true(g_str_has_suffix(lines[0], "xxxx"));
    g_assert_true(g_str_has_suffix(lines[1], "]: next"));
}

static void closed_stderr(void)
{
    close(STDERR_FILENO);
    log_error("nobody hears it");
}

static void nobody_who_listens_does_no_harm(void)
{
    g_autofree char *err = logged("4", closed_stderr);
    g_assert_cmpstr(err, ==, "");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define TEST(name) g_test_add_func("/log/" #name, name)
    TEST(level_prints_what_it_names_and_no_more);
    TEST(line_that_is_too_long_ends_as_a_line);
    TEST(nobody_who_listens_does_no_harm);
    return g_test_run();
}
