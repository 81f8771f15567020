/* SPDX-License-Identifier: Apache-2.0
 *
 * Lines for a reader that stalls: whatever it has left room for, who writes goes on, and what comes out are
 * whole lines. A pipe says that it is ready when one page of it is free.
 */
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "scheduler/service.h"

#define PAGE 4096
#define PAGES 2
#define PATIENCE_S 10 /* then a write that waits for its reader ends the test */

struct reader {
    int fd, real;
    GString *text;
};

static void open_reader(struct reader *r)
{
    int ends[2];
    g_assert_cmpint(pipe2(ends, O_CLOEXEC), ==, 0);
    g_assert_cmpint(fcntl(ends[1], F_SETPIPE_SZ, PAGES * PAGE), ==, PAGES * PAGE);
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    *r = (struct reader){.fd = ends[0], .real = dup(STDERR_FILENO), .text = g_string_new(NULL)};
    dup2(ends[1], STDERR_FILENO);
    close(ends[1]);
    alarm(PATIENCE_S);
}

/* At most so many bytes. */
static void take(struct reader *r, size_t max)
{
    char buf[PAGES * PAGE];
    ssize_t n = read(r->fd, buf, MIN(max, sizeof buf));
    if (n > 0)
        g_string_append_len(r->text, buf, n);
}

static void close_reader(struct reader *r)
{
    alarm(0);
    dup2(r->real, STDERR_FILENO);
    close(r->real);
    close(r->fd);
    g_string_free(r->text, TRUE);
}

/* Leaves no room, and a line that is lost. */
static void fill(void)
{
    g_autofree char *page = g_strnfill(PAGE, '.');
    memcpy(page, "ts=", 3);
    page[PAGE - 1] = '\n';
    for (int i = 0; i < PAGES; i++)
        g_assert_cmpint(write(STDERR_FILENO, page, PAGE), ==, PAGE);
    log_line(LOG_WARN, "lost", NULL, NULL);
}

static void assert_whole_lines(const struct reader *r)
{
    g_auto(GStrv) lines = g_strsplit(r->text->str, "\n", -1);
    guint n = g_strv_length(lines);
    g_assert_cmpuint(n, >, 1);
    g_assert_cmpstr(lines[n - 1], ==, "");
    for (guint i = 0; i + 1 < n; i++)
        g_assert_true(g_str_has_prefix(lines[i], "ts=") || g_str_has_prefix(lines[i], "lines_lost="));
}

static void test_line_of_quotes_fits_into_a_page(void)
{
    struct reader r;
    g_autofree char *quotes = g_strnfill(4000, '"');
    open_reader(&r);
    fill();
    take(&r, PAGE);
    log_line(LOG_WARN, "hostile", "a", quotes, "b", quotes, "c", quotes, NULL);
    log_line(LOG_WARN, "hostile", "a", quotes, "b", quotes, "c", quotes, NULL);
    take(&r, SIZE_MAX);
    take(&r, SIZE_MAX);
    assert_whole_lines(&r);
    log_line(LOG_WARN, "hostile", "a", quotes, "b", quotes, "c", quotes, NULL);
    g_string_truncate(r.text, 0);
    take(&r, SIZE_MAX);
    assert_whole_lines(&r);
    const char *hostile = strstr(r.text->str, "event=hostile a=\"\\\"");
    g_assert_nonnull(hostile);
    g_assert_cmpuint(strlen(hostile), <=, PIPE_BUF);
    g_assert_nonnull(strstr(hostile, " c=\"\\\""));
    close_reader(&r);
}

static void test_lines_lost_are_told_within_the_room_there_is(void)
{
    static const char frame[] = "ts=2026-11-26T08:15:00.123456Z level=info event=placed pod=\n";
    g_autofree char *value = g_strnfill(PAGE / 4 - strlen(frame), 'p');
    struct reader r;
    open_reader(&r);
    fill();
    log_gather(true);
    for (int i = 0; i < 4; i++) /* a page, gathered */
        log_line(LOG_INFO, "placed", "pod", value, NULL);
    take(&r, PAGE);
    log_flush();
    log_gather(false);
    take(&r, SIZE_MAX);
    take(&r, SIZE_MAX);
    log_line(LOG_WARN, "end", NULL, NULL);
    take(&r, SIZE_MAX);
    assert_whole_lines(&r);
    g_assert_nonnull(strstr(r.text->str, "lines_lost="));
    g_assert_nonnull(strstr(r.text->str, "event=end"));
    close_reader(&r);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/scheduler/log/line_of_quotes_fits_into_a_page", test_line_of_quotes_fits_into_a_page);
    g_test_add_func("/scheduler/log/lines_lost_are_told_within_the_room_there_is",
                    test_lines_lost_are_told_within_the_room_there_is);
    return g_test_run();
}
