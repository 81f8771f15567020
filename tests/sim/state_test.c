/* SPDX-License-Identifier: Apache-2.0
 *
 * The state file: who makes it, who shares it, what is replaced and what is
 * refused. Each case is a child, because a process has one machine for life.
 */
#include "machine.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sim/state.h"

static char *path;

/* What cuInit answers in a new process on this profile and the test's state file. */
static int init_answers(const char *profile)
{
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        g_setenv("HAMI_SIM", profile, TRUE);
        g_setenv("HAMI_SIM_STATE", path, TRUE);
        if (!freopen("/dev/null", "w", stderr))
            _exit(250);
        _exit((int)cuInit(0));
    }
    int status;
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    g_assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* A process that stays attached until its pipe is closed. */
static pid_t attach(const char *profile, int *ret_fd)
{
    int up[2], down[2];
    char c;
    g_assert_cmpint(pipe(up), ==, 0);
    g_assert_cmpint(pipe(down), ==, 0);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        close(down[1]);
        g_setenv("HAMI_SIM", profile, TRUE);
        g_setenv("HAMI_SIM_STATE", path, TRUE);
        c = (char)cuInit(0);
        if (write(up[1], &c, 1) != 1 || read(down[0], &c, 1) > 0)
            _exit(1);
        _exit(0);
    }
    g_assert_cmpint(read(up[0], &c, 1), ==, 1);
    g_assert_cmpint(c, ==, 0);
    close(up[0]);
    close(up[1]);
    close(down[0]);
    *ret_fd = down[1];
    return pid;
}

static void release(pid_t pid, int fd)
{
    int status;
    close(fd);
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    g_assert_cmpint(status, ==, 0);
}

static ino_t inode(void)
{
    struct stat st;
    g_assert_cmpint(stat(path, &st), ==, 0);
    return st.st_ino;
}

/* The inode, with a descriptor that keeps its number from being used again. */
static ino_t hold(int *ret_fd)
{
    *ret_fd = open(path, O_RDONLY | O_CLOEXEC);
    g_assert_cmpint(*ret_fd, >=, 0);
    return inode();
}

static void the_first_process_makes_the_machine_and_others_share_it(void)
{
    g_unlink(path);
    g_assert_cmpint(init_answers("t4"), ==, CUDA_SUCCESS);
    ino_t first = inode();
    g_assert_cmpint(init_answers("t4"), ==, CUDA_SUCCESS);
    g_assert_true(inode() == first);
    struct stat st;
    g_assert_cmpint(stat(path, &st), ==, 0);
    g_assert_cmpuint(st.st_mode & 0777, ==, 0666); /* tenants may be other users */
}

static void another_profile_replaces_a_machine_that_nobody_uses(void)
{
    g_assert_cmpint(init_answers("t4"), ==, CUDA_SUCCESS);
    int held;
    ino_t first = hold(&held);
    g_assert_cmpint(init_answers("2xa100-40g"), ==, CUDA_SUCCESS);
    g_assert_true(inode() != first);
    close(held);
}

static void another_profile_is_refused_while_the_machine_is_used(void)
{
    int fd;
    g_unlink(path);
    pid_t pid = attach("t4", &fd);
    g_assert_cmpint(init_answers("2xa100-40g"), ==, CUDA_ERROR_NO_DEVICE);
    g_assert_cmpint(init_answers("t4"), ==, CUDA_SUCCESS);
    release(pid, fd);
    g_assert_cmpint(init_answers("2xa100-40g"), ==, CUDA_SUCCESS);
}

static void a_state_file_of_another_build_is_replaced(void)
{
    g_unlink(path);
    g_assert_cmpint(init_answers("t4"), ==, CUDA_SUCCESS);
    FILE *f = fopen(path, "r+");
    guint64 layout = 12345;
    g_assert_cmpint(fseek(f, (long)offsetof(struct sim_state, layout), SEEK_SET), ==, 0);
    g_assert_cmpuint(fwrite(&layout, sizeof(layout), 1, f), ==, 1);
    fclose(f);
    int held;
    ino_t first = hold(&held);
    g_assert_cmpint(init_answers("t4"), ==, CUDA_SUCCESS);
    g_assert_true(inode() != first);
    close(held);
}

static void a_file_that_is_not_a_state_file_is_left_alone(void)
{
    static const char *const texts[] = {"precious",
                                        "a longer text that is precious as well, 8 bytes and more"};
    for (unsigned i = 0; i < G_N_ELEMENTS(texts); i++) {
        char *text;
        g_assert_true(g_file_set_contents(path, texts[i], -1, NULL));
        g_assert_cmpint(init_answers("t4"), ==, CUDA_ERROR_NO_DEVICE);
        g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
        g_assert_cmpstr(text, ==, texts[i]);
        g_free(text);
    }
    g_unlink(path);
}

static void a_machine_that_cannot_be_made_leaves_no_device(void)
{
    g_unlink(path);
    g_assert_cmpint(init_answers("no-such-profile"), ==, CUDA_ERROR_NO_DEVICE);
    g_assert_false(g_file_test(path, G_FILE_TEST_EXISTS));
    g_assert_cmpint(init_answers(""), ==, CUDA_ERROR_NO_DEVICE);
    char *good = path;
    path = g_strdup("/nonexistent/folder/state");
    g_assert_cmpint(init_answers("t4"), ==, CUDA_ERROR_NO_DEVICE);
    g_free(path);
    path = good;
}

static void many_processes_may_come_at_once(void)
{
    enum { N = 24 };
    pid_t pid[N];
    g_unlink(path);
    fflush(NULL);
    for (unsigned i = 0; i < N; i++) {
        pid[i] = fork();
        if (pid[i] == 0) {
            CUcontext ctx;
            g_setenv("HAMI_SIM", "t4", TRUE);
            g_setenv("HAMI_SIM_STATE", path, TRUE);
            _exit(cuInit(0) == CUDA_SUCCESS && cuDevicePrimaryCtxRetain(&ctx, 0) == CUDA_SUCCESS ? 0 : 1);
        }
    }
    for (unsigned i = 0; i < N; i++) {
        int status;
        g_assert_cmpint(waitpid(pid[i], &status, 0), ==, pid[i]);
        g_assert_cmpint(status, ==, 0);
    }
}

int main(int argc, char **argv)
{
    machine_init(&argc, &argv, "t4");
    path = g_strdup_printf("%s-case", g_getenv("HAMI_SIM_STATE"));
#define TEST(name) g_test_add_func("/state/" #name, name)
    TEST(the_first_process_makes_the_machine_and_others_share_it);
    TEST(another_profile_replaces_a_machine_that_nobody_uses);
    TEST(another_profile_is_refused_while_the_machine_is_used);
    TEST(a_state_file_of_another_build_is_replaced);
    TEST(a_file_that_is_not_a_state_file_is_left_alone);
    TEST(a_machine_that_cannot_be_made_leaves_no_device);
    TEST(many_processes_may_come_at_once);
    int rc = machine_run();
    g_unlink(path);
    g_free(path);
    return rc;
}
