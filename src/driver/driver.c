/* SPDX-License-Identifier: Apache-2.0
 *
 * Starting the helper, waiting for its reply until the deadline, killing it.
 *
 * Invariants:
 *   1. When a function returns, its helper is gone, or was killed and hangs
 *      inside the kernel.
 *   2. A reply is used only when it is complete and says so itself; strings in
 *      it are terminated and counts bounded before anybody sees them.
 */
#include "driver/driver.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/status.h"
#include "driver/helper.h"

enum { DEADLINE_MS = 10000 };

static char **helper_environment(const struct driver_source *source)
{
    char **env = g_get_environ();
    /* Our own view is the whole machine's, not a slice's. */
    env = g_environ_unsetenv(env, "LD_PRELOAD");
    env = g_environ_unsetenv(env, "CUDA_VISIBLE_DEVICES");
    if (source->directory)
        env = g_environ_setenv(env, "LD_LIBRARY_PATH", source->directory, TRUE);
    if (source->profile)
        env = g_environ_setenv(env, "HAMI_SIM", source->profile, TRUE);
    if (source->state)
        env = g_environ_setenv(env, "HAMI_SIM_STATE", source->state, TRUE);
    return env;
}

/* Reads exactly n bytes before the deadline. 0, or what stopped it. */
static int read_until(int fd, void *ret, size_t n, gint64 deadline_us)
{
    char *at = ret;
    while (n) {
        gint64 left_ms = (deadline_us - g_get_monotonic_time()) / 1000;
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int ready = left_ms > 0 ? poll(&p, 1, (int)left_ms) : 0;
        if (ready < 0 && errno == EINTR)
            continue;
        if (ready <= 0)
            return ETIMEDOUT;
        ssize_t got = read(fd, at, n);
        if (got < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (got <= 0)
            return EPIPE;
        at += got;
        n -= (size_t)got;
    }
    return 0;
}

static void terminate_text(char *text, size_t size)
{
    text[size - 1] = '\0';
    for (; *text; text++)
        if ((unsigned char)*text < ' ' || *text == 0x7f)
            *text = '?';
}

static void bound_reply(struct driver_reply *r)
{
    terminate_text(r->why, sizeof r->why);
    terminate_text(r->inventory.driver_version, sizeof r->inventory.driver_version);
    r->inventory.n = MIN(r->inventory.n, DRIVER_CARDS);
    r->inventory.n_silent = MIN(r->inventory.n_silent, DRIVER_CARDS);
    for (uint32_t i = 0; i < r->inventory.n; i++) {
        terminate_text(r->inventory.cards[i].uuid, sizeof r->inventory.cards[i].uuid);
        terminate_text(r->inventory.cards[i].name, sizeof r->inventory.cards[i].name);
        terminate_text(r->inventory.cards[i].bus_id, sizeof r->inventory.cards[i].bus_id);
        for (char *c = r->inventory.cards[i].uuid; *c; c++)
            if (*c == ' ' || *c == '/' || *c == ',')
                *c = '_';
    }
}

static const char *where(const struct driver_source *source)
{
    return source->directory ? "simulated driver" : "NVIDIA management library";
}

static bool explain_failure(const struct driver_source *source, int stopped, unsigned deadline_ms,
                            const struct driver_reply *reply, GError **error)
{
    if (stopped == ETIMEDOUT)
        g_set_error(error, STATUS_ERROR, STATUS_NO_DRIVER,
                    "the %s did not answer within %u ms; see `dmesg` and `nvidia-smi`, or raise "
                    "driver_deadline in the configuration file",
                    where(source), deadline_ms);
    else if (stopped)
        g_set_error(error, STATUS_ERROR, STATUS_NO_DRIVER,
                    "the helper that asks the %s ended without an answer; see `dmesg`", where(source));
    else if (source->directory && source->profile)
        g_set_error(error, STATUS_ERROR, STATUS_NO_DRIVER, "%s: %s; `hami sim top --sim %s` says why",
                    where(source), reply->why, source->profile);
    else
        g_set_error(error, STATUS_ERROR, STATUS_NO_DRIVER, "%s: %s%s", where(source), reply->why,
                    source->directory ? "" : "; install the driver, or try without a card: --sim 2xa100-40g");
    return false;
}

/* A helper that hangs inside the kernel cannot be killed: after half a second
 * it is left to whoever inherits it. */
static void reap(GPid pid)
{
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    struct pollfd p = {.fd = fd, .events = POLLIN};
    if (fd >= 0) {
        while (poll(&p, 1, 500) < 0 && errno == EINTR)
            continue;
        close(fd);
    }
    while (waitpid(pid, NULL, fd >= 0 ? WNOHANG : 0) < 0 && errno == EINTR)
        continue;
}

static bool ask(const struct driver_source *source, const char *const *question, struct driver_reply *reply,
                GError **error)
{
    unsigned deadline_ms = source->deadline_ms ? source->deadline_ms : DEADLINE_MS;
    const char *argv[8] = {source->helper, "__driver"};
    g_auto(GStrv) env = helper_environment(source);
    GPid pid;
    int fd;
    for (int i = 0; question[i]; i++)
        argv[2 + i] = question[i];
    if (!g_spawn_async_with_pipes(NULL, (char **)(uintptr_t)argv, env,
                                  G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_CLOEXEC_PIPES |
                                      G_SPAWN_STDERR_TO_DEV_NULL,
                                  NULL, NULL, &pid, NULL, &fd, NULL, error)) {
        g_prefix_error(error, "starting the driver helper: ");
        return false;
    }
    int stopped = read_until(fd, reply, sizeof *reply, g_get_monotonic_time() + (gint64)deadline_ms * 1000);
    close(fd);
    if (stopped)
        kill(pid, SIGKILL);
    reap(pid);
    if (!stopped && (reply->magic != DRIVER_REPLY_MAGIC || reply->bytes != sizeof *reply))
        stopped = EPROTO;
    bound_reply(reply);
    return (!stopped && reply->ok) || explain_failure(source, stopped, deadline_ms, reply, error);
}

bool driver_discover(const struct driver_source *source, struct driver_inventory *ret, GError **error)
{
    g_autofree struct driver_reply *reply = g_new0(struct driver_reply, 1);
    if (!ask(source, (const char *const[]){"discover", NULL}, reply, error))
        return false;
    if (reply->inventory.n == 0) {
        g_set_error(error, STATUS_ERROR, STATUS_NO_DRIVER, "the %s lists no card", where(source));
        return false;
    }
    *ret = reply->inventory;
    return true;
}

bool driver_set_limit(const struct driver_source *source, const char *uuid, const char *cgroup,
                      uint64_t hard_bytes, GError **error)
{
    g_autofree struct driver_reply *reply = g_new0(struct driver_reply, 1);
    g_autofree char *bytes = g_strdup_printf("%" G_GUINT64_FORMAT, hard_bytes);
    return ask(source, (const char *const[]){"set-limit", uuid, cgroup, bytes, NULL}, reply, error);
}

bool driver_get_limit(const struct driver_source *source, const char *uuid, const char *cgroup,
                      struct driver_limit *ret, GError **error)
{
    g_autofree struct driver_reply *reply = g_new0(struct driver_reply, 1);
    if (!ask(source, (const char *const[]){"get-limit", uuid, cgroup, NULL}, reply, error))
        return false;
    *ret = reply->limit;
    return true;
}
