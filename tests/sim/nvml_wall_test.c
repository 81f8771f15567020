/* SPDX-License-Identifier: Apache-2.0
 *
 * The driver's own memory limits (R615): a control group cannot take more than
 * its limit, whoever allocates. Needs root and a cgroup2 tree.
 */
#include "machine.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "abi/nvml_api.h"

#define LIMIT (1024 * MIB)

static char *tree;  /* mount point of the cgroup2 tree */
static char *group; /* this test's own, below the one it runs in */

static nvmlDevice_t card(void)
{
    nvmlDevice_t d;
    g_assert_cmpint(nvmlInit_v2(), ==, NVML_SUCCESS);
    g_assert_cmpint(nvmlDeviceGetHandleByIndex_v2(0, &d), ==, NVML_SUCCESS);
    return d;
}

static nvmlReturn_t set(const char *name, unsigned long long hard)
{
    nvmlSetMemoryLimits_v1_t l = {.nameSpace = name, .softLimit = 0, .hardLimit = hard};
    return nvmlDeviceSetMemoryLimits_v1(card(), &l);
}

static nvmlGetMemoryLimits_v1_t get(const char *name)
{
    nvmlGetMemoryLimits_v1_t l = {.nameSpace = name};
    g_assert_cmpint(nvmlDeviceGetMemoryLimits_v1(card(), &l), ==, NVML_SUCCESS);
    return l;
}

/* False (and skipped, with the reason) where control groups cannot be made. */
static bool make_group(void)
{
    static const char *const mounts[] = {"/sys/fs/cgroup/unified", "/sys/fs/cgroup"};
    for (gsize i = 0; tree == NULL && i < G_N_ELEMENTS(mounts); i++) {
        char *probe = g_build_filename(mounts[i], "cgroup.procs", NULL);
        char *controllers = g_build_filename(mounts[i], "cgroup.controllers", NULL);
        if (access(probe, F_OK) == 0 && access(controllers, F_OK) == 0)
            tree = g_strdup(mounts[i]);
        g_free(probe);
        g_free(controllers);
    }
    if (tree == NULL) {
        g_test_skip("no cgroup2 tree is mounted");
        return false;
    }
    g_free(group);
    group = g_strdup_printf("/hami-sim-wall-%d", getpid());
    char *path = g_strconcat(tree, group, NULL);
    int r = g_mkdir(path, 0755);
    if (r != 0)
        g_test_skip(errno == EACCES || errno == EPERM || errno == EROFS
                        ? "control groups cannot be made here: root and a writable tree are needed"
                        : "the control group could not be made");
    g_free(path);
    return r == 0;
}

static void remove_group(void)
{
    char *path = g_strconcat(tree, group, NULL);
    g_assert_cmpint(rmdir(path), ==, 0);
    g_free(path);
}

/* ---- a process in the group: argument-free, everything over the socket ---- */

struct order {
    char procs[256]; /* the file that moves a process into its group; "" for none */
    uint64_t bytes;
};

struct answer {
    int first, second;              /* of an allocation of bytes, and of one more mebibyte */
    uint64_t nvml_total, nvml_used; /* as seen from inside */
};

static int child_allocate(void)
{
    struct order order;
    struct answer answer = {0};
    nvmlMemory_t memory;
    CUdeviceptr p;
    char c;
    machine_receive(3, &order, sizeof(order));
    if (order.procs[0] != '\0') {
        FILE *f = g_fopen(order.procs, "w");
        g_assert_nonnull(f);
        fprintf(f, "%d\n", getpid());
        g_assert_cmpint(fclose(f), ==, 0);
    }
    machine_start();
    answer.first = (int)cuMemAlloc_v2(&p, order.bytes);
    answer.second = (int)cuMemAlloc_v2(&p, MIB);
    g_assert_cmpint(nvmlDeviceGetMemoryInfo(card(), &memory), ==, NVML_SUCCESS);
    answer.nvml_total = memory.total;
    answer.nvml_used = memory.used;
    machine_send(3, &answer, sizeof(answer), -1);
    machine_receive(3, &c, 1);
    return 0;
}

static GPid allocate_in(const char *where, uint64_t bytes, struct answer *ret, int *ret_fd)
{
    struct order order = {.bytes = bytes};
    if (where != NULL)
        g_snprintf(order.procs, sizeof(order.procs), "%s%s/cgroup.procs", tree, where);
    GPid pid = machine_child("allocate", ret_fd);
    machine_send(*ret_fd, &order, sizeof(order), -1);
    machine_receive(*ret_fd, ret, sizeof(*ret));
    return pid;
}

static void let_go(GPid pid, int fd)
{
    char c = 'x';
    machine_send(fd, &c, 1, -1);
    machine_join(pid);
    close(fd);
}

/* ---- tests ---- */

static void test_limit_is_enforced(void)
{
    struct answer one, two, free_one;
    int fd1, fd2, fd3;
    if (!make_group())
        return;
    g_assert_cmpint(set(group, LIMIT), ==, NVML_SUCCESS);
    g_assert_cmpuint(get(group).hardLimit, ==, LIMIT);
    GPid first = allocate_in(group, 512 * MIB, &one, &fd1);
    g_assert_cmpint(one.first, ==, CUDA_SUCCESS);
    g_assert_cmpuint(one.nvml_total, ==, LIMIT); /* seen from inside */
    g_assert_cmpuint(one.nvml_used, ==, get(group).currentUsed);
    g_assert_cmpuint(get(group).currentUsed, >=, 512 * MIB);
    GPid second = allocate_in(group, 512 * MIB, &two, &fd2); /* a context too many */
    g_assert_cmpint(two.first, ==, CUDA_ERROR_OUT_OF_MEMORY);
    g_assert_cmpint(two.second, ==, CUDA_SUCCESS); /* what fits is given */
    g_assert_cmpuint(get(group).currentUsed, <=, LIMIT);
    GPid outside = allocate_in(NULL, 2048 * MIB, &free_one, &fd3);
    g_assert_cmpint(free_one.first, ==, CUDA_SUCCESS);
    g_assert_cmpuint(free_one.nvml_total, >, LIMIT);
    let_go(first, fd1);
    let_go(second, fd2);
    let_go(outside, fd3);
    g_assert_cmpuint(get(group).currentUsed, ==, 0);
    g_assert_cmpint(set(group, NVML_DEVICE_MEMORY_LIMIT_MAX), ==, NVML_SUCCESS);
    remove_group();
}

static void test_limit_changes_live(void)
{
    struct answer a;
    int fd;
    if (!make_group())
        return;
    g_assert_cmpint(set(group, 512 * MIB), ==, NVML_SUCCESS);
    GPid one = allocate_in(group, 600 * MIB, &a, &fd);
    g_assert_cmpint(a.first, ==, CUDA_ERROR_OUT_OF_MEMORY);
    let_go(one, fd);
    g_assert_cmpint(set(group, LIMIT), ==, NVML_SUCCESS);
    one = allocate_in(group, 600 * MIB, &a, &fd);
    g_assert_cmpint(a.first, ==, CUDA_SUCCESS);
    let_go(one, fd);
    g_assert_cmpint(set(group, NVML_DEVICE_MEMORY_LIMIT_MAX), ==, NVML_SUCCESS);
    g_assert_cmpuint(get(group).hardLimit, ==, NVML_DEVICE_MEMORY_LIMIT_MAX);
    one = allocate_in(group, 4096 * MIB, &a, &fd);
    g_assert_cmpint(a.first, ==, CUDA_SUCCESS);
    let_go(one, fd);
    remove_group();
}

static void test_limit_holds_below_and_not_beside(void)
{
    struct answer a;
    int fd;
    if (!make_group())
        return;
    char *below = g_strconcat(group, "/below", NULL), *beside = g_strconcat(group, "-beside", NULL);
    char *below_path = g_strconcat(tree, below, NULL), *beside_path = g_strconcat(tree, beside, NULL);
    g_assert_cmpint(g_mkdir(below_path, 0755), ==, 0);
    g_assert_cmpint(g_mkdir(beside_path, 0755), ==, 0);
    g_assert_cmpint(set(group, LIMIT), ==, NVML_SUCCESS);
    GPid one = allocate_in(below, LIMIT, &a, &fd);
    g_assert_cmpint(a.first, ==, CUDA_ERROR_OUT_OF_MEMORY);
    let_go(one, fd);
    one = allocate_in(beside, LIMIT, &a, &fd); /* the same letters, another group */
    g_assert_cmpint(a.first, ==, CUDA_SUCCESS);
    let_go(one, fd);
    g_assert_cmpint(set(group, NVML_DEVICE_MEMORY_LIMIT_MAX), ==, NVML_SUCCESS);
    g_assert_cmpint(rmdir(below_path), ==, 0);
    g_assert_cmpint(rmdir(beside_path), ==, 0);
    g_free(below);
    g_free(beside);
    g_free(below_path);
    g_free(beside_path);
    remove_group();
}

static void test_refusals(void)
{
    nvmlSetMemoryLimits_v1_t wrong = {.nameSpace = "/", .softLimit = 2, .hardLimit = 1};
    if (geteuid() != 0) {
        g_assert_cmpint(set("/", LIMIT), ==, NVML_ERROR_NO_PERMISSION);
        g_test_skip("the other refusals need root");
        return;
    }
    g_assert_cmpint(nvmlDeviceSetMemoryLimits_v1(card(), &wrong), ==, NVML_ERROR_INVALID_ARGUMENT);
    g_assert_cmpint(set("relative", LIMIT), ==, NVML_ERROR_INVALID_ARGUMENT);
    g_assert_cmpint(set(NULL, LIMIT), ==, NVML_ERROR_INVALID_ARGUMENT);
    g_assert_cmpint(nvmlDeviceSetMemoryLimits_v1(card(), NULL), ==, NVML_ERROR_INVALID_ARGUMENT);
    if (!make_group())
        return;
    remove_group();
    g_assert_cmpint(set(group, LIMIT), ==, NVML_ERROR_NOT_FOUND); /* no such group any more */
}

int main(int argc, char **argv)
{
    machine_init(&argc, &argv, "t4,memory_limits=true,driver=615.10.01");
    if (machine_child_name() != NULL)
        return child_allocate();
    g_test_add_func("/nvml_wall/group_cannot_exceed_its_limit", test_limit_is_enforced);
    g_test_add_func("/nvml_wall/limit_changes_live", test_limit_changes_live);
    g_test_add_func("/nvml_wall/limit_holds_below_and_not_beside", test_limit_holds_below_and_not_beside);
    g_test_add_func("/nvml_wall/wrong_limits_are_refused", test_refusals);
    int rc = machine_run();
    g_free(tree);
    g_free(group);
    return rc;
}
