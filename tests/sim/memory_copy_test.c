/* SPDX-License-Identifier: Apache-2.0
 *
 * Copies and sets of every shape against a plain byte-by-byte model.
 */
#include "machine.h"

#include <string.h>

enum { BYTES = 1 << 16 };

static CUdeviceptr a, b;
static guint8 host[BYTES], seen[BYTES];
static CUstream stream;

static void reset(void)
{
    for (unsigned i = 0; i < BYTES; i++)
        host[i] = (guint8)(i * 7 + (i >> 8));
    assert_ok(cuMemcpyHtoD_v2(a, host, BYTES));
    assert_ok(cuMemsetD8_v2(b, 0, BYTES));
    memset(seen, 0, BYTES);
}

static void read_back(CUdeviceptr p)
{
    assert_ok(cuCtxSynchronize());
    assert_ok(cuMemcpyDtoH_v2(seen, p, BYTES));
}

/* ---- linear ---- */

static void every_direction_moves_the_bytes(void)
{
    CUcontext ctx;
    assert_ok(cuCtxGetCurrent(&ctx));
    for (unsigned way = 0; way < 8; way++) {
        reset();
        switch (way) {
        case 0:
            assert_ok(cuMemcpyDtoD_v2(b + 10, a + 20, 1000));
            break;
        case 1:
            assert_ok(cuMemcpyDtoDAsync_v2(b + 10, a + 20, 1000, stream));
            break;
        case 2:
            assert_ok(cuMemcpy(b + 10, a + 20, 1000));
            break;
        case 3:
            assert_ok(cuMemcpyAsync(b + 10, a + 20, 1000, stream));
            break;
        case 4:
            assert_ok(cuMemcpyPeer(b + 10, ctx, a + 20, ctx, 1000));
            break;
        case 5:
            assert_ok(cuMemcpyPeerAsync(b + 10, ctx, a + 20, ctx, 1000, stream));
            break;
        case 6:
            assert_ok(cuMemcpyHtoDAsync_v2(b + 10, host + 20, 1000, stream));
            break;
        default:
            assert_ok(cuMemcpy_ptds(b + 10, (CUdeviceptr)(uintptr_t)(host + 20), 1000));
            break;
        }
        read_back(b);
        g_assert_true(memcmp(seen + 10, host + 20, 1000) == 0);
        g_assert_cmpuint(seen[9], ==, 0);
        g_assert_cmpuint(seen[1010], ==, 0);
    }
}

static void wait_for_flag(void *flag)
{
    while (!g_atomic_int_get((gint *)flag))
        g_thread_yield();
}

static void pageable_sources_may_change_at_once(void)
{
    guint8 text[64];
    gint flag = 0;
    reset();
    memset(text, 1, sizeof text);
    assert_ok(cuLaunchHostFunc(stream, wait_for_flag, &flag)); /* keeps the copy waiting */
    assert_ok(cuMemcpyHtoDAsync_v2(b, text, sizeof text, stream));
    memset(text, 2, sizeof text);
    g_atomic_int_set(&flag, 1);
    assert_ok(cuStreamSynchronize(stream));
    read_back(b);
    g_assert_cmpuint(seen[63], ==, 1);
}

static void pinned_sources_are_read_when_the_stream_gets_there(void)
{
    void *pinned;
    gint flag = 0;
    reset();
    assert_ok(cuMemHostAlloc(&pinned, 64, 0));
    memset(pinned, 1, 64);
    assert_ok(cuLaunchHostFunc(stream, wait_for_flag, &flag));
    assert_ok(cuMemcpyHtoDAsync_v2(b, pinned, 64, stream));
    memset(pinned, 2, 64);
    g_atomic_int_set(&flag, 1);
    assert_ok(cuStreamSynchronize(stream));
    read_back(b);
    g_assert_cmpuint(seen[63], ==, 2);
    assert_ok(cuMemFreeHost(pinned));
}

static void overlapping_copies_move(void)
{
    reset();
    assert_ok(cuMemcpyDtoD_v2(a + 5, a, 5000));
    read_back(a);
    g_assert_true(memcmp(seen + 5, host, 5000) == 0);
}

static void bad_ranges_are_refused(void)
{
    guint8 byte = 0;
    guint64 no_stream[8] = {0};
    reset();
    g_assert_cmpint(cuMemcpyHtoD_v2(a, host, BYTES + 1), ==, CUDA_ERROR_INVALID_VALUE);
    g_assert_cmpint(cuMemcpyHtoD_v2(a + BYTES - 1, host, 2), ==, CUDA_ERROR_INVALID_VALUE);
    g_assert_cmpint(cuMemcpyHtoD_v2(0, host, 1), ==, CUDA_ERROR_INVALID_VALUE);
    g_assert_cmpint(cuMemcpyHtoD_v2(a, NULL, 1), ==, CUDA_ERROR_INVALID_VALUE);
    g_assert_cmpint(cuMemcpyHtoD_v2((CUdeviceptr)(uintptr_t)&byte, host, 1), ==, CUDA_ERROR_INVALID_VALUE);
    g_assert_cmpint(cuMemcpyHtoD_v2(a, host, ~0ULL), ==, CUDA_ERROR_INVALID_VALUE);
    g_assert_cmpint(cuMemcpyDtoH_v2(seen, a, 1ULL << 63), ==, CUDA_ERROR_INVALID_VALUE);
    g_assert_cmpint(cuMemsetD8_v2(a, 1, BYTES + 1), ==, CUDA_ERROR_INVALID_VALUE);
    g_assert_cmpint(cuMemsetD32_v2(a, 1, 1ULL << 62), ==, CUDA_ERROR_INVALID_VALUE);
    g_assert_cmpint(cuMemsetD32_v2(a + 2, 1, 1), ==, CUDA_ERROR_INVALID_VALUE);
    g_assert_cmpint(cuMemsetD16_v2(a + 1, 1, 1), ==, CUDA_ERROR_INVALID_VALUE);
    assert_ok(cuMemcpyHtoD_v2(a, host, 0));
    assert_ok(cuMemsetD8_v2(a, 1, 0));
    g_assert_cmpint(cuMemcpyHtoDAsync_v2(a, host, 1, (CUstream)no_stream), !=, CUDA_SUCCESS);
    read_back(a);
    g_assert_true(memcmp(seen, host, BYTES) == 0);
}

/* ---- sets ---- */

static void sets_write_their_pattern(void)
{
    reset();
    assert_ok(cuMemsetD8_v2(b + 1, 0x11, 3));
    assert_ok(cuMemsetD16_v2(b + 10, 0x2233, 3));
    assert_ok(cuMemsetD32Async(b + 20, 0x44556677, 2, stream));
    assert_ok(cuMemsetD2D8_v2(b + 100, 50, 0x88, 5, 3));
    assert_ok(cuMemsetD2D32Async(b + 400, 64, 0x01020304, 2, 2, stream));
    read_back(b);
    guint8 model[BYTES] = {0};
    memset(model + 1, 0x11, 3);
    for (unsigned i = 0; i < 3; i++)
        memcpy(model + 10 + 2 * i, "\x33\x22", 2);
    for (unsigned i = 0; i < 2; i++)
        memcpy(model + 20 + 4 * i, "\x77\x66\x55\x44", 4);
    for (unsigned y = 0; y < 3; y++)
        memset(model + 100 + 50 * y, 0x88, 5);
    for (unsigned y = 0; y < 2; y++)
        for (unsigned x = 0; x < 2; x++)
            memcpy(model + 400 + 64 * y + 4 * x, "\4\3\2\1", 4);
    g_assert_true(memcmp(model, seen, BYTES) == 0);
}

/* ---- boxes ---- */

static void random_boxes_agree_with_a_model(void)
{
    GRand *rand = g_rand_new_with_seed(machine_seed());
    static guint8 model[BYTES];
    for (unsigned round = 0; round < 300; round++) {
        unsigned w = (unsigned)g_rand_int_range(rand, 1, 30), h = (unsigned)g_rand_int_range(rand, 1, 10),
                 d = (unsigned)g_rand_int_range(rand, 1, 6);
        CUDA_MEMCPY3D c = {
            .srcXInBytes = (size_t)g_rand_int_range(rand, 0, 20),
            .srcY = (size_t)g_rand_int_range(rand, 0, 5),
            .srcZ = (size_t)g_rand_int_range(rand, 0, 3),
            .dstXInBytes = (size_t)g_rand_int_range(rand, 0, 20),
            .dstY = (size_t)g_rand_int_range(rand, 0, 5),
            .dstZ = (size_t)g_rand_int_range(rand, 0, 3),
            .srcPitch = 64,
            .srcHeight = 16,
            .dstPitch = 80,
            .dstHeight = 20,
            .srcMemoryType = round % 2 ? CU_MEMORYTYPE_HOST : CU_MEMORYTYPE_DEVICE,
            .srcHost = host,
            .srcDevice = a,
            .dstMemoryType = round % 3 ? CU_MEMORYTYPE_DEVICE : CU_MEMORYTYPE_UNIFIED,
            .dstDevice = b,
            .WidthInBytes = w,
            .Height = h,
            .Depth = d,
        };
        reset();
        memset(model, 0, BYTES);
        for (size_t z = 0; z < d; z++)
            for (size_t y = 0; y < h; y++)
                memcpy(model + ((z + c.dstZ) * 20 + y + c.dstY) * 80 + c.dstXInBytes,
                       host + ((z + c.srcZ) * 16 + y + c.srcY) * 64 + c.srcXInBytes, w);
        assert_ok(round % 5 ? cuMemcpy3D_v2(&c) : cuMemcpy3DAsync_v2(&c, stream));
        read_back(b);
        g_assert_true(memcmp(model, seen, BYTES) == 0);
    }
    g_rand_free(rand);
}

static void rectangles_check_their_pitch(void)
{
    CUDA_MEMCPY2D c = {.srcMemoryType = CU_MEMORYTYPE_HOST,
                       .srcHost = host,
                       .srcPitch = 10,
                       .dstMemoryType = CU_MEMORYTYPE_DEVICE,
                       .dstDevice = b,
                       .dstPitch = 100,
                       .WidthInBytes = 20,
                       .Height = 2};
    g_assert_cmpint(cuMemcpy2D_v2(&c), ==, CUDA_ERROR_INVALID_VALUE);
    c.srcPitch = 20;
    assert_ok(cuMemcpy2D_v2(&c));
    c.Height = BYTES;
    g_assert_cmpint(cuMemcpy2D_v2(&c), ==, CUDA_ERROR_INVALID_VALUE);
    c.srcMemoryType = 9;
    g_assert_cmpint(cuMemcpy2D_v2(&c), ==, CUDA_ERROR_INVALID_VALUE);
    g_assert_cmpint(cuMemcpy2D_v2(NULL), ==, CUDA_ERROR_INVALID_VALUE);
}

/* ---- batches ---- */

static void batches_do_all_or_nothing(void)
{
    CUdeviceptr dst[] = {b, b + 100, b + 200}, src[] = {a, a + 50, a + 60};
    size_t sizes[] = {10, 20, 30}, first = 0, failed = 99;
    CUmemcpyAttributes how = {.srcAccessOrder = CU_MEMCPY_SRC_ACCESS_ORDER_STREAM};
    reset();
    assert_ok(cuMemcpyBatchAsync(dst, src, sizes, 3, &how, &first, 1, &failed, stream));
    read_back(b);
    g_assert_true(memcmp(seen + 200, host + 60, 30) == 0);
    reset();
    sizes[1] = BYTES;
    g_assert_cmpint(cuMemcpyBatchAsync(dst, src, sizes, 3, &how, &first, 1, &failed, stream), ==,
                    CUDA_ERROR_INVALID_VALUE);
    g_assert_cmpuint(failed, ==, 1);
    read_back(b);
    g_assert_cmpuint(seen[0], ==, 0);
    g_assert_cmpint(cuMemcpyBatchAsync_v2(dst, src, sizes, 3, &how, &first, 1, NULL), ==,
                    CUDA_ERROR_INVALID_VALUE);
}

/* ---- what only counts ---- */

static void large_memory_only_counts(void)
{
    CUdeviceptr big;
    guint8 out[16];
    memset(out, 9, sizeof out);
    assert_ok(cuMemAlloc_v2(&big, 8ULL << 30));
    assert_ok(cuMemsetD8_v2(big, 5, 8ULL << 30));
    assert_ok(cuMemcpyDtoH_v2(out, big + 12345, sizeof out));
    g_assert_cmpuint(out[15], ==, 0);
    assert_ok(cuMemcpyHtoD_v2(big, host, BYTES));
    assert_ok(cuMemFree_v2(big));
}

int main(int argc, char **argv)
{
    machine_init(&argc, &argv, "2xa100-40g,null_model=true,real_bytes_max=64MiB");
    machine_start();
    assert_ok(cuMemAlloc_v2(&a, BYTES));
    assert_ok(cuMemAlloc_v2(&b, BYTES));
    assert_ok(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
    g_test_add_func("/copy/every_direction_moves_the_bytes", every_direction_moves_the_bytes);
    g_test_add_func("/copy/pageable_sources_may_change_at_once", pageable_sources_may_change_at_once);
    g_test_add_func("/copy/pinned_sources_are_read_when_the_stream_gets_there",
                    pinned_sources_are_read_when_the_stream_gets_there);
    g_test_add_func("/copy/overlapping_copies_move", overlapping_copies_move);
    g_test_add_func("/copy/bad_ranges_are_refused", bad_ranges_are_refused);
    g_test_add_func("/copy/sets_write_their_pattern", sets_write_their_pattern);
    g_test_add_func("/copy/random_boxes_agree_with_a_model", random_boxes_agree_with_a_model);
    g_test_add_func("/copy/rectangles_check_their_pitch", rectangles_check_their_pitch);
    g_test_add_func("/copy/batches_do_all_or_nothing", batches_do_all_or_nothing);
    g_test_add_func("/copy/large_memory_only_counts", large_memory_only_counts);
    return machine_run();
}
