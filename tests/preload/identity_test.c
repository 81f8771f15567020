/* SPDX-License-Identifier: Apache-2.0
 *
 * Under which pid the host's readers of a region find a process.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "region/region.h"
#include "support.h"

#define BROKER "/tmp/vgpulock/hostpid/broker.sock"

/* The node's broker: tells the first caller which pid it has out there. */
static int broker(int argc, char **argv)
{
    (void)argc;
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = BROKER};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || listen(fd, 4) != 0)
        return 1;
    int peer = accept(fd, NULL, NULL);
    return write(peer, argv[0], strlen(argv[0])) > 0 ? 0 : 1;
}

/* Under which pid the slice's readers find this process on the host. */
static int tell_hostpid(int argc, char **argv)
{
    (void)argc, (void)argv;
    static struct region_view view;
    kit_context(0);
    if (region_read(g_getenv("CUDA_DEVICE_MEMORY_SHARED_CACHE"), &view) != 0)
        return 1;
    for (unsigned i = 0; i < view.n_processes; i++)
        if (view.processes[i].pid == getpid())
            kit_tell("%s %d", view.processes[i].hostpid == getpid() ? "own" : "other",
                     view.processes[i].hostpid);
    return 0;
}

static void on_the_hosts_pid_namespace_the_own_pid_is_known(void)
{
    struct kit *kit = kit_new(NULL);
    g_autofree char *namespace = g_file_read_link("/proc/self/ns/pid", NULL), *out = NULL;
    if (g_strcmp0(namespace, "pid:[4026531836]") != 0) {
        g_test_skip("this test does not run in the first pid namespace");
    } else {
        out = kit_run(kit, "tell_hostpid", NULL);
        g_assert_true(g_str_has_prefix(out, "own "));
    }
    kit_free(kit);
}

static void broker_tells_the_host_pid(void)
{
    if (!kit_may_unshare("-m -pf --mount-proc"))
        return;
    static const char *const replies[] = {"4242", "4242\n", "nonsense"};
    for (gsize i = 0; i < G_N_ELEMENTS(replies); i++) {
        struct kit *kit = kit_new(NULL);
        g_autofree char *self = g_file_read_link("/proc/self/exe", NULL), *out = NULL;
        kit_env(kit, "LIBVGPU_HOSTPID_BROKER", "1");
        const char *const argv[] = {
            "unshare",
            "-m",
            "-pf",
            "--mount-proc",
            "sh",
            "-c",
            "set -e; mkdir $1/o; mount -t tmpfs none $1/o; mkdir $1/o/u $1/o/w; "
            "mount -t overlay overlay -o lowerdir=/tmp,upperdir=$1/o/u,workdir=$1/o/w /tmp; "
            "mkdir -p /tmp/vgpulock/hostpid; $2 --child broker \"$3\" & "
            "while ! test -S " BROKER "; do :; done; $2 --child tell_hostpid",
            "sh",
            kit_dir(kit),
            self,
            replies[i],
            NULL};
        g_assert_cmpint(kit_finish(kit_start_program(kit, argv), &out, NULL), ==, 0);
        if (i < 2)
            g_assert_cmpstr(out, ==, "other 4242\n");
        else /* not believed; the simulated NVML lists our own pid, which is as good */
            g_assert_true(g_str_has_prefix(out, "own "));
        kit_free(kit);
    }
}

static const struct kit_body bodies[] = {{"broker", broker}, {"tell_hostpid", tell_hostpid}, {0}};

int main(int argc, char **argv)
{
    if (kit_is_child(argc, argv))
        return kit_child(argc, argv, bodies);
    g_test_init(&argc, &argv, NULL);
#define TEST(name) g_test_add_func("/identity/" #name, name)
    TEST(on_the_hosts_pid_namespace_the_own_pid_is_known);
    TEST(broker_tells_the_host_pid);
    return g_test_run();
}
