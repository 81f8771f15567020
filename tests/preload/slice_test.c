/* SPDX-License-Identifier: Apache-2.0
 *
 * Where limits come from, and that they cannot be lost on the way.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <grp.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "region/region.h"
#include "support.h"

#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)

static const char two_cards[] = "2xa100-40g";

/* ---- bodies ---- */

/* Tells the total memory of every device, in MiB. */
static int totals(int argc, char **argv)
{
    (void)argc, (void)argv;
    const struct real_cuda *cu = kit_cuda();
    int n = 0;
    CUresult result = cu->cuInit(0);
    if (result != CUDA_SUCCESS) {
        kit_tell("init %d", result);
        return 0;
    }
    cu->cuDeviceGetCount(&n);
    for (int i = 0; i < n; i++) {
        CUdevice device;
        size_t bytes = 0;
        cu->cuDeviceGet(&device, i);
        result = cu->cuDeviceTotalMem_v2(&bytes, device);
        kit_tell("%d %zu", result, bytes >> 20);
    }
    return 0;
}

/* Tells the result of allocating argv[1..] MiB one after the other on ordinal
 * argv[0], then waits for the parent. */
static int allocate(int argc, char **argv)
{
    const struct real_cuda *cu = kit_cuda();
    kit_context(atoi(argv[0]));
    for (int i = 1; i < argc; i++) {
        CUdeviceptr p;
        kit_tell("%d", cu->cuMemAlloc_v2(&p, (size_t)atoi(argv[i]) << 20));
    }
    kit_hear();
    return 0;
}

/* As allocate on ordinal 0, for another user than root where argv[0] says so: files' modes count for him. */
static int allocate_as(int argc, char **argv)
{
    kit_cuda(); /* found while everything may be read */
    if (strcmp(argv[0], "nobody") == 0 && geteuid() == 0 &&
        (setgroups(0, NULL) < 0 || setresgid(65534, 65534, 65534) < 0 || setresuid(65534, 65534, 65534) < 0))
        return 98;
    argv[0] = (char[]){"0"};
    return allocate(argc, argv);
}

/* Allocates 64 MiB per line heard and tells the result and the total. */
static int allocate_on_demand(int argc, char **argv)
{
    const struct real_cuda *cu = kit_cuda();
    (void)argc;
    kit_context(atoi(argv[0]));
    kit_tell("ready");
    while (kit_hear()) {
        CUdeviceptr p;
        size_t free_bytes = 0, total = 0;
        CUresult result = cu->cuMemAlloc_v2(&p, 64 << 20);
        cu->cuMemGetInfo_v2(&free_bytes, &total);
        kit_tell("%d %zu", result, total >> 20);
    }
    return 0;
}

static int nothing(int argc, char **argv)
{
    (void)argc, (void)argv;
    return kit_cuda()->cuInit ? (int)kit_cuda()->cuInit(0) : 97;
}

/* ---- helpers of the tests ---- */

static void assert_totals(struct kit *kit, const char *expected)
{
    g_autofree char *out = kit_run(kit, "totals", NULL);
    g_assert_cmpstr(out, ==, expected);
}

static struct grant grant_of(struct kit *kit, unsigned n, const uint64_t *mem)
{
    struct grant g = {.n_devices = n};
    for (unsigned i = 0; i < n; i++) {
        g_strlcpy(g.devices[i].uuid, kit_uuid(kit, i), sizeof g.devices[i].uuid);
        g.devices[i].mem_bytes = mem[i];
    }
    return g;
}

/* ---- environment ---- */

static void environment_limits_what_a_program_sees(void)
{
    struct kit *kit = kit_new(two_cards);
    kit_env(kit, "CUDA_DEVICE_MEMORY_LIMIT", "8G");
    kit_env(kit, "CUDA_DEVICE_MEMORY_LIMIT_1", "1.5GiB");
    assert_totals(kit, "0 8192\n0 1536\n");
    kit_free(kit);
}

static void without_any_limit_the_driver_speaks_for_itself(void)
{
    struct kit *bare = kit_new(two_cards), *kit = kit_new(two_cards);
    kit_no_preload(bare);
    g_autofree char *native = kit_run(bare, "totals", NULL);
    assert_totals(kit, native);
    kit_free(bare);
    kit_free(kit);
}

static void first_process_without_limits_does_not_lift_them_for_others(void)
{
    struct kit *kit = kit_new(two_cards);
    g_free(kit_run(kit, "nothing", NULL)); /* creates the region, knows no limit */
    kit_env(kit, "CUDA_DEVICE_MEMORY_LIMIT", "4G");
    assert_totals(kit, "0 4096\n0 4096\n");
    kit_env(kit, "CUDA_DEVICE_MEMORY_LIMIT", NULL);
    assert_totals(kit, "0 4096\n0 4096\n");
    kit_free(kit);
}

static void a_later_process_cannot_raise_the_limit_by_its_environment(void)
{
    struct kit *kit = kit_new(two_cards);
    kit_env(kit, "CUDA_DEVICE_MEMORY_LIMIT", "4G");
    g_free(kit_run(kit, "nothing", NULL));
    kit_env(kit, "CUDA_DEVICE_MEMORY_LIMIT", "30G");
    assert_totals(kit, "0 4096\n0 4096\n");
    kit_free(kit);
}

static void limit_written_into_the_region_counts_at_once(void)
{
    struct kit *kit = kit_new(two_cards);
    kit_env(kit, "CUDA_DEVICE_MEMORY_LIMIT", "4G");
    struct kit_process *p = kit_start(kit, "allocate_on_demand", "0", NULL);
    g_free(kit_line(p));
    int fd = open(kit_region(kit), O_RDWR | O_CLOEXEC);
    uint64_t limit = 1 * GIB;
    g_assert_cmpint(pwrite(fd, &limit, sizeof limit, (off_t)offsetof(struct region_base, limit)), ==,
                    sizeof limit);
    close(fd);
    kit_say(p, "go");
    g_autofree char *line = kit_line(p);
    g_assert_cmpstr(line, ==, "0 1024");
    g_assert_cmpint(kit_finish(p, NULL, NULL), ==, 0);
    kit_free(kit);
}

static void limits_follow_the_card_not_the_ordinal(void)
{
    static const struct {
        const char *visible, *order, *expected;
    } rows[] = {{"0,1", NULL, "0 1024\n0 2048\n"},
                {"1,0", NULL, "0 2048\n0 1024\n"},
                {"1", NULL, "0 2048\n"},
                {NULL, "PCI_BUS_ID", "0 1024\n0 2048\n"},
                {NULL, "FASTEST_FIRST", "0 1024\n0 2048\n"}};
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        for (unsigned first_sees_all = 0; first_sees_all < 2; first_sees_all++) {
            struct kit *kit = kit_new(two_cards);
            kit_env(kit, "CUDA_DEVICE_MEMORY_LIMIT_0", "1G");
            kit_env(kit, "CUDA_DEVICE_MEMORY_LIMIT_1", "2G");
            if (first_sees_all)
                g_free(kit_run(kit, "nothing", NULL));
            if (rows[i].visible)
                kit_env(kit, "CUDA_VISIBLE_DEVICES", "%s", rows[i].visible);
            if (rows[i].order)
                kit_env(kit, "CUDA_DEVICE_ORDER", "%s", rows[i].order);
            assert_totals(kit, rows[i].expected);
            kit_free(kit);
        }
    }
}

static void limits_follow_uuids_and_their_prefixes(void)
{
    for (int prefix = 0; prefix < 2; prefix++) {
        struct kit *kit = kit_new(two_cards);
        kit_env(kit, "CUDA_DEVICE_MEMORY_LIMIT_0", "1G");
        kit_env(kit, "CUDA_DEVICE_MEMORY_LIMIT_1", "2G");
        kit_env(kit, "CUDA_VISIBLE_DEVICES", "%.*s", prefix ? 12 : 64, kit_uuid(kit, 1));
        assert_totals(kit, "0 2048\n");
        kit_free(kit);
    }
}

/* ---- grant ---- */

static void grant_wins_over_environment_and_region(void)
{
    struct kit *kit = kit_new(two_cards);
    kit_env(kit, "CUDA_DEVICE_MEMORY_LIMIT", "30G");
    g_free(kit_run(kit, "nothing", NULL));
    struct grant g = grant_of(kit, 2, (uint64_t[]){2 * GIB, 3 * GIB});
    kit_grant(kit, &g);
    assert_totals(kit, "0 2048\n0 3072\n");
    kit_free(kit);
}

static void forged_region_does_not_lift_a_grant(void)
{
    struct kit *kit = kit_new(two_cards);
    struct grant g = grant_of(kit, 2, (uint64_t[]){2 * GIB, 3 * GIB});
    kit_grant(kit, &g);
    g_free(kit_run(kit, "nothing", NULL));
    int fd = open(kit_region(kit), O_RDWR | O_CLOEXEC);
    uint64_t limit = 0;
    g_assert_cmpint(pwrite(fd, &limit, sizeof limit, (off_t)offsetof(struct region_base, limit)), ==,
                    sizeof limit);
    close(fd);
    assert_totals(kit, "0 2048\n0 3072\n");
    kit_free(kit);
}

/* A tenant may name any path in his environment: all processes of a grant are accounted for in the grant's
 * region. */
static void a_region_of_the_tenants_choice_is_not_used_under_a_grant(void)
{
    static struct region_view view;
    struct kit *kit = kit_new(KIT_CARDS KIT_CARD("16GiB", "0"));
    struct grant g = grant_of(kit, 1, (uint64_t[]){2 * GIB});
    g_autofree char *own = kit_path(kit, "own.cache");
    kit_grant(kit, &g);
    struct kit_process *first = kit_start(kit, "allocate", "0", "1536", NULL);
    g_autofree char *line = kit_line(first);
    g_assert_cmpstr(line, ==, "0");
    kit_env(kit, "CUDA_DEVICE_MEMORY_SHARED_CACHE", "%s", own);
    kit_env(kit, "CUDA_DEVICE_MEMORY_LIMIT", "14G");
    struct kit_process *second = kit_start(kit, "allocate", "0", "1024", "256", NULL);
    g_autofree char *refused = kit_line(second), *taken = kit_line(second);
    g_assert_cmpstr(refused, ==, "2");
    g_assert_cmpstr(taken, ==, "0");
    g_assert_cmpint(region_read(kit_region(kit), &view), ==, 0);
    g_assert_cmpuint(view.used[0], ==, (1536 + 256) * MIB);
    g_assert_cmpuint(view.n_processes, ==, 2);
    g_assert_false(g_file_test(own, G_FILE_TEST_EXISTS));
    g_assert_cmpint(kit_finish(first, NULL, NULL), ==, 0);
    g_assert_cmpint(kit_finish(second, NULL, NULL), ==, 0);
    kit_free(kit);
}

static void grant_change_counts_in_a_running_process(void)
{
    struct kit *kit = kit_new(two_cards);
    struct grant g = grant_of(kit, 2, (uint64_t[]){2 * GIB, 2 * GIB});
    kit_grant(kit, &g);
    struct kit_process *p = kit_start(kit, "allocate_on_demand", "0", NULL);
    g_free(kit_line(p));
    for (int i = 0; i < 2; i++) {
        uint64_t gib = i == 0 ? 4 : 1;
        g.devices[0].mem_bytes = gib * GIB;
        kit_grant(kit, &g);
        kit_say(p, "go");
        g_autofree char *line = kit_line(p);
        g_autofree char *expected = g_strdup_printf("0 %" PRIu64, gib << 10);
        g_assert_cmpstr(line, ==, expected);
    }
    g_assert_cmpint(kit_finish(p, NULL, NULL), ==, 0);
    kit_free(kit);
}

static void grant_that_becomes_unreadable_changes_nothing(void)
{
    struct kit *kit = kit_new(two_cards);
    struct grant g = grant_of(kit, 1, (uint64_t[]){2 * GIB});
    kit_grant(kit, &g);
    struct kit_process *p = kit_start(kit, "allocate_on_demand", "0", NULL);
    g_free(kit_line(p));
    g_autofree char *path = kit_path(kit, "grant");
    int fd = open(path, O_RDWR | O_CLOEXEC);
    g_assert_cmpint(pwrite(fd, "hami-grant   1  00000009\ndevice nonsense\nend 00000009\n", 54, 0), ==, 54);
    close(fd);
    kit_say(p, "go");
    g_autofree char *line = kit_line(p);
    g_assert_cmpstr(line, ==, "0 2048");
    g_autofree char *err = NULL;
    kit_say(p, "go");
    g_free(kit_line(p));
    g_assert_cmpint(kit_finish(p, NULL, &err), ==, 0);
    g_assert_nonnull(strstr(err, "limits stay as they were"));
    g_assert_null(strchr(strchr(err, '\n') + 1, '\n')); /* one line */
    kit_free(kit);
}

static void card_that_the_grant_does_not_name_gives_nothing(void)
{
    struct kit *kit = kit_new(two_cards);
    struct grant g = grant_of(kit, 1, (uint64_t[]){2 * GIB});
    kit_grant(kit, &g);
    struct kit_process *p = kit_start(kit, "allocate", "1", "64", NULL);
    g_autofree char *out = NULL;
    int status = kit_finish(p, &out, NULL);
    if (status == 0)
        g_assert_cmpstr(out, ==, "2\n");
    else
        g_assert_cmpint(status, ==, 99); /* not even a context */
    kit_free(kit);
}

static void broken_grant_refuses(void)
{
    static const struct {
        const char *name, *content;
        gssize bytes;
    } rows[] = {
        {"empty", "", 0}, {"short", "hami-grant   1  00000001\n", -1}, {"garbage", NULL, GRANT_FILE_BYTES}};
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        struct kit *kit = kit_new(NULL);
        g_autofree char *path = kit_path(kit, "grant");
        g_autofree char *garbage = g_strnfill(GRANT_FILE_BYTES, 'x');
        g_test_message("%s", rows[i].name);
        g_assert_true(
            g_file_set_contents(path, rows[i].content ? rows[i].content : garbage, rows[i].bytes, NULL));
        kit_env(kit, "HAMI_GRANT", "%s", path);
        struct kit_process *p = kit_start(kit, "totals", NULL);
        g_autofree char *out = NULL, *err = NULL;
        g_assert_cmpint(kit_finish(p, &out, &err), ==, 0);
        g_assert_cmpstr(out, ==, "init 800\n");
        g_assert_nonnull(strstr(err, path));
        g_assert_nonnull(strstr(err, "ERROR"));
        kit_free(kit);
    }
}

static void missing_grant_that_was_named_refuses(void)
{
    struct kit *kit = kit_new(NULL);
    kit_env(kit, "HAMI_GRANT", "%s/none", kit_dir(kit));
    struct kit_process *p = kit_start(kit, "totals", NULL);
    g_autofree char *out = NULL, *err = NULL;
    g_assert_cmpint(kit_finish(p, &out, &err), ==, 0);
    g_assert_cmpstr(out, ==, "init 800\n");
    g_assert_nonnull(strstr(err, "No such file"));
    kit_free(kit);
}

static void grant_of_a_mig_slice_is_found_by_its_uuid(void)
{
    struct kit *kit = kit_new("a100-mig");
    struct grant g = grant_of(kit, 1, (uint64_t[]){1 * GIB});
    kit_grant(kit, &g);
    kit_env(kit, "CUDA_VISIBLE_DEVICES", "MIG-%s", kit_uuid(kit, 0) + 4);
    assert_totals(kit, "0 1024\n");
    kit_free(kit);
}

/* ---- files of fixed paths, in a mount namespace ---- */

/* A copy of / in $d/ns/m. What is mounted below / is not in it: the test's folder and the build, which may
 * be (a /tmp in memory), are put there. */
#define COPY_ROOT                                                                                            \
    "mkdir -p $d/ns; mount -t tmpfs none $d/ns; mkdir $d/ns/u $d/ns/w $d/ns/m; "                             \
    "mount -t overlay overlay -o lowerdir=/,upperdir=$d/ns/u,workdir=$d/ns/w $d/ns/m; "                      \
    "mount --rbind /proc $d/ns/m/proc; mount --rbind /dev $d/ns/m/dev; "                                     \
    "for it in $d $HAMI_BUILD; do mkdir -p $d/ns/m$it; mount --bind $it $d/ns/m$it; done; "

static const char enter_namespace[] =
    "set -e; d=$1; file=$2; at=$3; shift 3; " COPY_ROOT
    "mkdir -p $(dirname $d/ns/m$at); cp $file $d/ns/m$at; exec chroot $d/ns/m \"$@\"";

/* Runs "totals" where `content` lies at the fixed path. */
static char *totals_with_file(struct kit *kit, const char *at, const char *content, gssize n, char **ret_err)
{
    g_autofree char *file = kit_path(kit, "file"), *self = g_file_read_link("/proc/self/exe", NULL);
    g_assert_true(g_file_set_contents(file, content, n, NULL));
    const char *const argv[] = {"unshare", "-m", "sh", "-c",      enter_namespace, "sh", kit_dir(kit),
                                file,      at,   self, "--child", "totals",        NULL};
    struct kit_process *p = kit_start_program(kit, argv);
    char *out = NULL;
    g_assert_cmpint(kit_finish(p, &out, ret_err), ==, 0);
    return out;
}

static void override_file_precedes_the_environment(void)
{
    if (!kit_may_unshare("-m"))
        return;
    struct kit *kit = kit_new(two_cards);
    kit_env(kit, "CUDA_DEVICE_MEMORY_LIMIT", "30G");
    g_autofree char *out = totals_with_file(
        kit, "/overrideEnv",
        "# set by the host\nCUDA_DEVICE_MEMORY_LIMIT_0=2g\nCUDA_DEVICE_MEMORY_LIMIT_1=3g", -1, NULL);
    g_assert_cmpstr(out, ==, "0 2048\n0 3072\n");
    kit_free(kit);
}

static void grant_of_the_host_cannot_be_replaced_by_the_environment(void)
{
    if (!kit_may_unshare("-m"))
        return;
    struct kit *kit = kit_new(two_cards);
    struct grant g = grant_of(kit, 2, (uint64_t[]){2 * GIB, 2 * GIB});
    char content[GRANT_FILE_BYTES];
    kit_grant(kit, &g);
    grant_format(&g, content);
    g.devices[0].mem_bytes = 40 * GIB; /* HAMI_GRANT names a generous one */
    kit_grant(kit, &g);
    g_autofree char *out = totals_with_file(kit, GRANT_PATH, content, sizeof content, NULL);
    g_assert_cmpstr(out, ==, "0 2048\n0 2048\n");
    kit_free(kit);
}

static void broken_grant_of_the_host_refuses(void)
{
    if (!kit_may_unshare("-m"))
        return;
    struct kit *kit = kit_new(two_cards);
    g_autofree char *err = NULL;
    g_autofree char *out = totals_with_file(kit, GRANT_PATH, "not a grant", -1, &err);
    g_assert_cmpstr(out, ==, "init 800\n");
    g_assert_nonnull(strstr(err, GRANT_PATH));
    kit_free(kit);
}

/* What a shell opened by ssh has: nothing of the container's environment but
 * the preloaded library, which the file /etc/ld.so.preload brings. */
static void cleared_environment_is_found_again_at_pid_1(void)
{
    if (!kit_may_unshare("-pf --mount-proc"))
        return;
    struct kit *kit = kit_new(two_cards);
    g_autofree char *self = g_file_read_link("/proc/self/exe", NULL);
    g_autofree char *script = g_strdup_printf(
        "env -i LD_PRELOAD=%s LD_LIBRARY_PATH=%s HAMI_SIM=%s HAMI_SIM_STATE=%s %s --child totals; exit $?",
        kit_get_env(kit, "LD_PRELOAD"), kit_get_env(kit, "LD_LIBRARY_PATH"), kit_get_env(kit, "HAMI_SIM"),
        kit_get_env(kit, "HAMI_SIM_STATE"), self);
    kit_env(kit, "CUDA_DEVICE_MEMORY_LIMIT", "5G");
    const char *const argv[] = {"unshare", "-pf", "--mount-proc", "sh", "-c", script, NULL};
    struct kit_process *p = kit_start_program(kit, argv);
    g_autofree char *out = NULL;
    g_assert_cmpint(kit_finish(p, &out, NULL), ==, 0);
    g_assert_cmpstr(out, ==, "0 5120\n0 5120\n");
    g_assert_true(
        g_file_test(kit_region(kit), G_FILE_TEST_EXISTS)); /* the container's own, not the default */
    kit_free(kit);
}

/* ---- trouble ---- */

static void unusable_region_file_means_local_enforcement_and_one_line(void)
{
    struct kit *kit = kit_new(NULL);
    kit_env(kit, "CUDA_DEVICE_MEMORY_SHARED_CACHE", "%s/no/such/folder/x.cache", kit_dir(kit));
    kit_env(kit, "CUDA_DEVICE_MEMORY_LIMIT", "2G");
    struct kit_process *p = kit_start(kit, "totals", NULL);
    g_autofree char *out = NULL, *err = NULL;
    g_assert_cmpint(kit_finish(p, &out, &err), ==, 0);
    g_assert_cmpstr(out, ==, "0 2048\n");
    g_assert_nonnull(strstr(err, "/no/such/folder/x.cache"));
    g_assert_cmpint(g_strrstr(err, "\n") - err, ==, (gssize)strlen(err) - 1);
    g_assert_null(memchr(err, '\n', strlen(err) - 1));
    kit_free(kit);
}

/* The region's file system is the limit's enemy: the limit holds all the same. */
static const struct unusable {
    const char *name, *mount; /* NULL = no file system of its own */
    int mode;                 /* of a region that exists; -1 = there is none */
    bool full;
    const char *says;
} unusables[] = {
    {"read_only_file", NULL, 0444, false, "Permission denied"},
    {"file_without_permissions", NULL, 0, false, "Permission denied"},
    {"read_only_file_system", "ro", -1, false, "Read-only file system"},
    {"full_disk", "size=256k", -1, true, "No space left on device"},
};

static const char mount_disk[] =
    "set -e; d=$1; options=$2; full=$3; shift 3; mount -t tmpfs -o $options none $d/disk; "
    "test $full = 0 || cat /dev/zero >$d/disk/filler 2>/dev/null || true; exec \"$@\"";

static struct kit_process *start_with_unusable(struct kit *kit, const struct unusable *row)
{
    g_autofree char *self = g_file_read_link("/proc/self/exe", NULL);
    const char *const on_disk[] = {"unshare",    "-m",       "sh",
                                   "-c",         mount_disk, "sh",
                                   kit_dir(kit), row->mount, row->full ? "1" : "0",
                                   self,         "--child",  "allocate_as",
                                   "root",       "1536",     "1024",
                                   "512",        NULL};
    const char *const plain[] = {self, "--child", "allocate_as", "nobody", "1536", "1024", "512", NULL};
    return kit_start_program(kit, row->mount ? on_disk : plain);
}

static void unusable_region_file_refuses_above_the_limit(gconstpointer data)
{
    const struct unusable *row = data;
    if (row->mount && !kit_may_unshare("-m"))
        return;
    struct kit *kit = kit_new(KIT_CARDS KIT_CARD("16GiB", "0"));
    g_autofree char *disk = kit_path(kit, "disk"), *region = kit_path(kit, "disk/x.cache");
    g_autofree char *out = NULL, *err = NULL;
    g_assert_cmpint(g_mkdir(disk, 0755), ==, 0);
    kit_env(kit, "CUDA_DEVICE_MEMORY_SHARED_CACHE", "%s", region);
    kit_env(kit, "CUDA_DEVICE_MEMORY_LIMIT", "2G");
    if (row->mode >= 0) {
        g_free(kit_run(kit, "nothing", NULL));
        g_assert_cmpint(g_chmod(region, (mode_t)row->mode), ==, 0);
        g_autofree char *state = kit_path(kit, "sim-state");
        g_assert_cmpint(g_chmod(kit_dir(kit), 0777), ==, 0);
        g_unlink(state);
    }
    struct kit_process *p = start_with_unusable(kit, row);
    kit_say(p, "end");
    g_assert_cmpint(kit_finish(p, &out, &err), ==, 0);
    g_assert_cmpstr(out, ==, "0\n2\n0\n"); /* 1536 fit, 1024 more do not, 512 do */
    g_assert_nonnull(strstr(err, region));
    g_assert_nonnull(strstr(err, row->says));
    kit_free(kit);
}

static void errors_alone_are_said_at_every_log_level(void)
{
    static const char *const levels[] = {"-1", "0", "1", "2", "3", "4", "5", "text", "", "99"};
    for (gsize i = 0; i < G_N_ELEMENTS(levels); i++) {
        struct kit *kit = kit_new(NULL);
        kit_env(kit, "LIBCUDA_LOG_LEVEL", "%s", levels[i]);
        struct kit_process *p = kit_start(kit, "totals", NULL);
        g_autofree char *out = NULL, *err = NULL, *line = NULL, *same = NULL;
        g_assert_cmpint(kit_finish(p, &out, &err), ==, 0);
        g_assert_true(g_str_has_prefix(out, "0 "));
        g_assert_cmpstr(err, ==, ""); /* nothing is wrong */
        kit_env(kit, "CUDA_DEVICE_MEMORY_LIMIT", "nonsense");
        g_assert_cmpint(kit_finish(kit_start(kit, "totals", NULL), &same, &line), ==, 0);
        g_assert_cmpstr(same, ==, out);
        g_assert_true(g_regex_match_simple(
            "^\\[HAMI-core ERROR \\(pid:.*CUDA_DEVICE_MEMORY_LIMIT=nonsense.*\n$", line, 0, 0));
        kit_free(kit);
    }
}

/* The library by /etc/ld.so.preload and the driver in the system's folder, as
 * in a container; then a program that is setuid to nobody, and the same plain. */
static const char enter_container[] =
    "set -e; d=$1; build=$2; self=$3; mode=$4; " COPY_ROOT
    "l=$(dirname $(ldd /bin/true | grep -o '/[^ ]*libc.so.6')); "
    "cp -L $build/libvgpu.so $d/ns/m/$l/; cp -L $build/sim/libcuda.so.1 $d/ns/m/$l/; "
    "cp $self $d/ns/m/program; chown 65534 $d/ns/m/program; chmod $mode $d/ns/m/program; "
    "echo $l/libvgpu.so > $d/ns/m/etc/ld.so.preload; exec chroot $d/ns/m /program --child totals";

static void setuid_programs_are_passed_through(void)
{
    if (!kit_may_unshare("-m"))
        return;
    for (int setuid = 0; setuid < 2; setuid++) {
        struct kit *kit = kit_new(two_cards);
        g_autofree char *self = g_file_read_link("/proc/self/exe", NULL), *out = NULL;
        kit_env(kit, "CUDA_DEVICE_MEMORY_LIMIT", "3G");
        kit_no_preload(kit);
        kit_env(kit, "LD_LIBRARY_PATH", NULL);
        g_assert_cmpint(g_chmod(kit_dir(kit), 0777), ==, 0);
        const char *const argv[] = {"unshare",
                                    "-m",
                                    "sh",
                                    "-c",
                                    enter_container,
                                    "sh",
                                    kit_dir(kit),
                                    g_getenv("HAMI_BUILD"),
                                    self,
                                    setuid ? "4755" : "0755",
                                    NULL};
        g_assert_cmpint(kit_finish(kit_start_program(kit, argv), &out, NULL), ==, 0);
        g_assert_cmpstr(out, ==, setuid ? "0 40960\n0 40960\n" : "0 3072\n0 3072\n");
        g_assert_true(g_file_test(kit_region(kit), G_FILE_TEST_EXISTS) == !setuid);
        kit_free(kit);
    }
}

static const struct kit_body bodies[] = {
    {"totals", totals},           {"allocate", allocate},
    {"allocate_as", allocate_as}, {"allocate_on_demand", allocate_on_demand},
    {"nothing", nothing},         {0},
};

int main(int argc, char **argv)
{
    if (kit_is_child(argc, argv))
        return kit_child(argc, argv, bodies);
    g_test_init(&argc, &argv, NULL);
#define TEST(name) g_test_add_func("/slice/" #name, name)
    TEST(environment_limits_what_a_program_sees);
    TEST(without_any_limit_the_driver_speaks_for_itself);
    TEST(first_process_without_limits_does_not_lift_them_for_others);
    TEST(a_later_process_cannot_raise_the_limit_by_its_environment);
    TEST(limit_written_into_the_region_counts_at_once);
    TEST(limits_follow_the_card_not_the_ordinal);
    TEST(limits_follow_uuids_and_their_prefixes);
    TEST(grant_wins_over_environment_and_region);
    TEST(forged_region_does_not_lift_a_grant);
    TEST(a_region_of_the_tenants_choice_is_not_used_under_a_grant);
    TEST(grant_change_counts_in_a_running_process);
    TEST(grant_that_becomes_unreadable_changes_nothing);
    TEST(card_that_the_grant_does_not_name_gives_nothing);
    TEST(grant_of_a_mig_slice_is_found_by_its_uuid);
    TEST(broken_grant_refuses);
    TEST(missing_grant_that_was_named_refuses);
    TEST(override_file_precedes_the_environment);
    TEST(grant_of_the_host_cannot_be_replaced_by_the_environment);
    TEST(broken_grant_of_the_host_refuses);
    TEST(cleared_environment_is_found_again_at_pid_1);
    TEST(unusable_region_file_means_local_enforcement_and_one_line);
    for (gsize i = 0; i < G_N_ELEMENTS(unusables); i++) {
        g_autofree char *name = g_strdup_printf("/slice/%s_refuses_above_the_limit", unusables[i].name);
        g_test_add_data_func(name, &unusables[i], unusable_region_file_refuses_above_the_limit);
    }
    TEST(errors_alone_are_said_at_every_log_level);
    TEST(setuid_programs_are_passed_through);
    return g_test_run();
}
