/* SPDX-License-Identifier: Apache-2.0
 *
 * A region that somebody of the slice scribbles over while others use it: any
 * figure in it may be anything at any time. Nobody crashes or sticks, and the
 * limit, which is the grant's, is what it was. HAMI_TEST_SEED repeats a run.
 */
#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "compute_kernel.h"
#include "region/extension.h"
#include "region/layout.h"
#include "support.h"

#define MIB (UINT64_C(1) << 20)
#define NOISE_US (1500 * 1000)

/* ---- the one who works ---- */

static bool is_told_to_end(void)
{
    struct pollfd parent = {.fd = STDIN_FILENO, .events = POLLIN};
    return poll(&parent, 1, 0) != 0;
}

/* Success, or a refusal: what the figures say may leave no room. */
static void may_be_refused(CUresult r)
{
    if (r != CUDA_SUCCESS && r != CUDA_ERROR_OUT_OF_MEMORY)
        exit(3);
}

static int work(int argc, char **argv)
{
    const struct real_cuda *cu = kit_cuda();
    (void)argc, (void)argv;
    kit_context(0);
    CUstream stream = stream_new();
    CUfunction f = kernel_of("sim_200us");
    unsigned rounds = 0, allocated = 0;
    kit_tell("works");
    for (; !is_told_to_end(); rounds++) {
        CUdeviceptr p = 0, q = 0;
        size_t left, total;
        may_be_refused(cu->cuMemAlloc_v2(&p, MIB));
        may_be_refused(cu->cuMemAllocAsync(&q, MIB, stream));
        if (cu->cuMemGetInfo_v2(&left, &total) != CUDA_SUCCESS || total != 2048 * MIB || left > total)
            return 4;
        if (cu->cuLaunchKernel(f, 8, 1, 1, 32, 1, 1, 0, stream, NULL, NULL) != CUDA_SUCCESS)
            return 5;
        if (p && cu->cuMemFree_v2(p) != CUDA_SUCCESS)
            return 6;
        if (q && cu->cuMemFreeAsync(q, stream) != CUDA_SUCCESS)
            return 7;
        if (rounds % 8 == 0 && cu->cuStreamSynchronize(stream) != CUDA_SUCCESS)
            return 8;
        allocated += p != 0;
    }
    kit_tell("%u rounds, %u allocations", rounds, allocated);
    return 0;
}

/* ---- the one who scribbles ---- */

static off_t anywhere(GRand *rand)
{
    static const struct {
        off_t at, bytes;
    } parts[] = {
        {0, REGION_EXT_OFFSET},
        {0, 4096}, /* the head: limits, semaphores, the first processes */
        {REGION_EXT_OFFSET, 4096},
        {REGION_EXT_OFFSET + (off_t)offsetof(struct region_ext, devices), sizeof(struct region_device)},
        {REGION_EXT_OFFSET + (off_t)offsetof(struct region_ext, boards), sizeof(struct region_board)},
        {REGION_EXT_OFFSET + (off_t)offsetof(struct region_ext, members), 4 * sizeof(struct region_member)},
    };
    gsize i = (gsize)g_rand_int_range(rand, 0, G_N_ELEMENTS(parts));
    return parts[i].at + g_rand_int_range(rand, 0, (gint32)(parts[i].bytes / 4)) * 4;
}

static void scribble(int fd, GRand *rand)
{
    static const uint64_t favourites[] = {0, 1, UINT64_MAX, INT64_MAX, UINT64_C(1) << 63, UINT32_MAX};
    uint64_t value = (uint64_t)g_rand_int(rand) << 32 | g_rand_int(rand);
    if (g_rand_boolean(rand))
        value = favourites[g_rand_int_range(rand, 0, G_N_ELEMENTS(favourites))];
    g_assert_cmpint(pwrite(fd, &value, g_rand_boolean(rand) ? 4 : 8, anywhere(rand)), >, 0);
}

/* What stops everybody until it is taken back is not noise but an order. */
static void let_everybody_go_on(int fd)
{
    const int32_t open = 0;
    g_assert_cmpint(pwrite(fd, &open, 4, offsetof(struct region_base, recent_kernel)), ==, 4);
    g_assert_cmpint(pwrite(fd, &open, 4, REGION_EXT_OFFSET + (off_t)offsetof(struct region_ext, suspended)),
                    ==, 4);
}

/* A minute of it may have been written, and would be worked off in two. */
static void forgive_debt(int fd)
{
    const int64_t none = 0;
    const size_t at = offsetof(struct region_ext, devices) + offsetof(struct region_device, compute) +
                      offsetof(struct region_compute, tokens_ns);
    g_assert_cmpint(pwrite(fd, &none, 8, REGION_EXT_OFFSET + (off_t)at), ==, 8);
}

static void a_region_scribbled_over_crashes_nobody_and_lifts_no_limit(void)
{
    const char *text = g_getenv("HAMI_TEST_SEED");
    guint32 seed = text ? (guint32)strtoul(text, NULL, 0) : g_random_int();
    g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
    g_test_message("HAMI_TEST_SEED=%u", seed);
    struct kit *kit = kit_new(NULL);
    struct grant g = {.n_devices = 1, .devices = {{.mem_bytes = 2048 * MIB, .cores_pct = 50}}};
    g_strlcpy(g.devices[0].uuid, kit_uuid(kit, 0), sizeof g.devices[0].uuid);
    kit_grant(kit, &g);
    struct kit_process *p[2];
    for (gsize i = 0; i < G_N_ELEMENTS(p); i++) {
        p[i] = kit_start(kit, "work", NULL);
        g_autofree char *line = kit_line(p[i]);
        g_assert_cmpstr(line, ==, "works");
    }
    int fd = open(kit_region(kit), O_RDWR | O_CLOEXEC);
    g_assert_cmpint(fd, >=, 0);
    for (gint64 end = g_get_monotonic_time() + NOISE_US; g_get_monotonic_time() < end; g_usleep(50)) {
        scribble(fd, rand);
        let_everybody_go_on(fd);
    }
    forgive_debt(fd);
    for (gsize i = 0; i < G_N_ELEMENTS(p); i++) {
        g_autofree char *out = NULL, *err = NULL;
        kit_say(p[i], "end");
        int status = kit_finish(p[i], &out, &err);
        g_test_message("status %d: %s%s", status, out, err);
        g_assert_cmpint(status, ==, 0);
    }
    close(fd);
    kit_free(kit);
}

static const struct kit_body bodies[] = {{"work", work}, {0}};

int main(int argc, char **argv)
{
    if (kit_is_child(argc, argv))
        return kit_child(argc, argv, bodies);
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/noise/a_region_scribbled_over_crashes_nobody_and_lifts_no_limit",
                    a_region_scribbled_over_crashes_nobody_and_lifts_no_limit);
    return g_test_run();
}
