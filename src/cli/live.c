/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/live.h"

#include <glib.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <termios.h>
#include <unistd.h>

#include "model/quantity.h"

static volatile sig_atomic_t ended;
static struct termios terminal_before;
static bool terminal_changed, screen_taken;

static void on_end(int signal)
{
    (void)signal;
    ended = 1;
}

bool live_interval(const struct verb *v, const char *text, uint64_t *ret_ms)
{
    uint64_t ms = 1000;
    const char *why = text ? quantity_parse_duration(text, &ms) : NULL;
    if (!why && ms < 50)
        why = "is shorter than 50ms";
    if (why)
        cli_usage(v, "--interval %s: %s; for example --interval 500ms", text, why);
    else
        *ret_ms = ms;
    return !why;
}

bool live_possible(void)
{
    return isatty(STDOUT_FILENO) && g_strcmp0(g_getenv("TERM"), "dumb") != 0;
}

void live_start(bool screen)
{
    struct sigaction action = {.sa_handler = on_end};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    screen_taken = screen;
    if (!screen)
        return;
    terminal_changed = tcgetattr(STDIN_FILENO, &terminal_before) == 0;
    if (terminal_changed) {
        struct termios raw = terminal_before;
        raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
        tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    }
    fputs("\033[?1049h\033[?25l\033[?7l\033[2J", stdout); /* long lines are cut, not wrapped */
}

bool live_wait(uint64_t interval_ms)
{
    struct pollfd p = {.fd = terminal_changed ? STDIN_FILENO : -1, .events = POLLIN};
    char key = 0;
    if (poll(&p, 1, (int)MIN(interval_ms, (uint64_t)G_MAXINT)) > 0 && read(STDIN_FILENO, &key, 1) == 1 &&
        (key == 'q' || key == 'Q'))
        return false;
    return !ended;
}

void live_end(void)
{
    if (screen_taken)
        fputs("\033[?7h\033[?25h\033[?1049l", stdout);
    fflush(stdout);
    if (terminal_changed)
        tcsetattr(STDIN_FILENO, TCSANOW, &terminal_before);
}
