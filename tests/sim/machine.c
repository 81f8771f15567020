/* SPDX-License-Identifier: Apache-2.0 */
#include "machine.h"

#include <glib/gstdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static char *room;
static const char *child;
static char *self;

static void remove_room(void)
{
    if (room == NULL || child != NULL)
        return;
    GDir *dir = g_dir_open(room, 0, NULL);
    for (const char *name; dir != NULL && (name = g_dir_read_name(dir)) != NULL;) {
        char *path = g_build_filename(room, name, NULL);
        g_unlink(path);
        g_free(path);
    }
    if (dir != NULL)
        g_dir_close(dir);
    g_rmdir(room);
}

void machine_init(int *argc, char ***argv, const char *profile)
{
    self = g_file_read_link("/proc/self/exe", NULL);
    if (*argc == 3 && strcmp((*argv)[1], "--child") == 0) {
        child = (*argv)[2];
        return; /* the machine is in the environment */
    }
    g_test_init(argc, argv, NULL);
    room = g_dir_make_tmp("hami-sim-test-XXXXXX", NULL);
    char *state = g_build_filename(room, "state", NULL);
    g_setenv("HAMI_SIM", profile, TRUE);
    g_setenv("HAMI_SIM_STATE", state, TRUE);
    g_free(state);
}

void machine_start(void)
{
    CUcontext ctx;
    assert_ok(cuInit(0));
    assert_ok(cuDevicePrimaryCtxRetain(&ctx, 0));
    assert_ok(cuCtxSetCurrent(ctx));
}

int machine_run(void)
{
    int rc = g_test_run();
    remove_room();
    g_free(room);
    g_free(self);
    return rc;
}

size_t machine_free(void)
{
    size_t left, total;
    assert_ok(cuMemGetInfo_v2(&left, &total));
    return left;
}

size_t machine_settled_free(void)
{
    CUdeviceptr p;
    g_assert_cmpint(cuMemAlloc_v2(&p, 1ULL << 44), ==, CUDA_ERROR_OUT_OF_MEMORY);
    return machine_free();
}

const char *machine_child_name(void)
{
    return child;
}

GPid machine_child(const char *name, int *ret_fd)
{
    int pair[2];
    GPid pid;
    char *argv[] = {self, (char *)"--child", g_strdup(name), NULL};
    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), ==, 0);
    int source[] = {pair[1]}, target[] = {3};
    GError *error = NULL;
    g_spawn_async_with_pipes_and_fds(NULL, (const char *const *)argv, NULL, G_SPAWN_DO_NOT_REAP_CHILD, NULL,
                                     NULL, -1, -1, -1, source, target, 1, &pid, NULL, NULL, NULL, &error);
    g_assert_no_error(error);
    close(pair[1]);
    g_free(argv[2]);
    *ret_fd = pair[0];
    return pid;
}

void machine_join(GPid pid)
{
    int status;
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    g_assert_true(g_spawn_check_wait_status(status, NULL));
    g_spawn_close_pid(pid);
}

void machine_send(int fd, const void *data, size_t size, int descriptor)
{
    struct iovec part = {.iov_base = g_memdup2(data, size), .iov_len = size};
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr header;
    } control = {{0}};
    struct msghdr m = {.msg_iov = &part, .msg_iovlen = 1};
    if (descriptor >= 0) {
        m.msg_control = control.bytes;
        m.msg_controllen = sizeof control.bytes;
        control.header.cmsg_level = SOL_SOCKET;
        control.header.cmsg_type = SCM_RIGHTS;
        control.header.cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(&control.header), &descriptor, sizeof descriptor);
    }
    g_assert_cmpint(sendmsg(fd, &m, MSG_NOSIGNAL), ==, (gssize)size);
    g_free(part.iov_base);
}

int machine_receive(int fd, void *data, size_t size)
{
    struct iovec part = {.iov_base = data, .iov_len = size};
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr header;
    } control = {{0}};
    struct msghdr m = {.msg_iov = &part,
                       .msg_iovlen = 1,
                       .msg_control = control.bytes,
                       .msg_controllen = sizeof control.bytes};
    int descriptor = -1;
    g_assert_cmpint(recvmsg(fd, &m, MSG_WAITALL | MSG_CMSG_CLOEXEC), ==, (gssize)size);
    const struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    if (c != NULL && c->cmsg_type == SCM_RIGHTS)
        memcpy(&descriptor, CMSG_DATA(c), sizeof descriptor);
    return descriptor;
}

guint32 machine_seed(void)
{
    const char *given = g_getenv("HAMI_TEST_SEED");
    guint32 seed = given != NULL ? (guint32)g_ascii_strtoull(given, NULL, 10) : g_random_int();
    g_test_message("seed %u (HAMI_TEST_SEED chooses it)", seed);
    return seed;
}
