/* SPDX-License-Identifier: Apache-2.0
 *
 * The throttle's way to the kernel and the genuine driver.
 *
 * Invariants:
 *   1. errno is what it was.
 *   2. Driver calls are made through `real`, so they are not seen by our own
 *      wrappers.
 *   3. Measuring events are plain ones: with timing, without blocking sync.
 */
#include "preload/port.h"

#include <errno.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "preload/ctx.h"
#include "preload/real.h"

#define SECOND_NS UINT64_C(1000000000)

static uint64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * SECOND_NS + (uint64_t)t.tv_nsec;
}

/* A kernel that has none yet, or no such call: at least different each time. */
static uint64_t random_word(void)
{
    uint64_t word;
    int saved = errno;
    if (syscall(SYS_getrandom, &word, sizeof word, GRND_NONBLOCK) != (long)sizeof word)
        word = (now() + (uint64_t)syscall(SYS_gettid)) * UINT64_C(0x9e3779b97f4a7c15);
    errno = saved;
    return word;
}

static struct timespec timespec_of(uint64_t ns)
{
    return (struct timespec){.tv_sec = (time_t)(ns / SECOND_NS), .tv_nsec = (long)(ns % SECOND_NS)};
}

/* The kernel may wake a thread up to its timer slack late, 50 us as a rule:
 * much for a hand-over. The thread's own setting is put back. */
static unsigned long tight_slack(void)
{
    int before = prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0);
    if (before > 1000)
        prctl(PR_SET_TIMERSLACK, 1000, 0, 0, 0);
    return before > 1000 ? (unsigned long)before : 0;
}

static void own_slack(unsigned long before)
{
    if (before)
        prctl(PR_SET_TIMERSLACK, before, 0, 0, 0);
}

static void sleep_until(uint64_t due_ns)
{
    int saved = errno;
    struct timespec due = timespec_of(due_ns);
    unsigned long slack = tight_slack();
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL);
    own_slack(slack);
    errno = saved;
}

static long futex(_Atomic uint32_t *word, int operation, bool shared, uint32_t value,
                  const struct timespec *due)
{
    int saved = errno;
    operation |= shared ? 0 : FUTEX_PRIVATE_FLAG;
    long result = syscall(SYS_futex, word, operation, value, due, NULL, FUTEX_BITSET_MATCH_ANY);
    errno = saved;
    return result;
}

static void wait_on(_Atomic uint32_t *word, uint32_t seen, uint64_t due_ns, bool shared)
{
    struct timespec due = timespec_of(due_ns);
    unsigned long slack = tight_slack();
    futex(word, FUTEX_WAIT_BITSET, shared, seen, &due);
    own_slack(slack);
}

static void wake(_Atomic uint32_t *word, bool shared)
{
    futex(word, FUTEX_WAKE, shared, INT32_MAX, NULL);
}

static bool is_alive(uint32_t pid)
{
    int saved = errno;
    bool alive = kill((pid_t)pid, 0) == 0 || errno != ESRCH;
    errno = saved;
    return alive;
}

/* The stream tells where it runs when the thread does not. */
static int device(CUstream stream)
{
    int d = ctx_here()->device;
    return likely(d >= 0) ? d : ctx_of_stream(stream, false).device;
}

static CUcontext context(void)
{
    return ctx_here()->ctx;
}

static bool event_create(CUevent *ret)
{
    return real.cuEventCreate(ret, CU_EVENT_DEFAULT) == CUDA_SUCCESS;
}

static bool event_record(CUevent event, CUstream stream)
{
    return real.cuEventRecord(event, stream) == CUDA_SUCCESS;
}

static CUresult event_query(CUevent event)
{
    return real.cuEventQuery(event);
}

static CUresult stream_query(CUstream stream)
{
    return real.cuStreamQuery(stream);
}

static bool event_between_ns(CUevent from, CUevent to, double *ret_ns)
{
    float ms;
    if (real.cuEventElapsedTime(&ms, from, to) != CUDA_SUCCESS)
        return false;
    *ret_ns = (double)ms * 1e6;
    return true;
}

static void event_destroy(CUevent event)
{
    real.cuEventDestroy_v2(event);
}

static bool context_push(CUcontext ctx)
{
    return real.cuCtxPushCurrent_v2(ctx) == CUDA_SUCCESS;
}

static void context_pop(void)
{
    CUcontext popped;
    real.cuCtxPopCurrent_v2(&popped);
}

/* A legacy stream beside a capture answers with an error: leave it alone. */
static bool is_capturing(CUstream stream)
{
    CUstreamCaptureStatus status = CU_STREAM_CAPTURE_STATUS_NONE;
    return real.cuStreamIsCapturing(stream, &status) != CUDA_SUCCESS ||
           status != CU_STREAM_CAPTURE_STATUS_NONE;
}

static CUstreamCaptureMode capture_mode(CUstreamCaptureMode mode)
{
    real.cuThreadExchangeStreamCaptureMode(&mode);
    return mode;
}

struct port port = {
    .now = now,
    .random = random_word,
    .sleep_until = sleep_until,
    .wait = wait_on,
    .wake = wake,
    .is_alive = is_alive,
    .device = device,
    .context = context,
    .event_create = event_create,
    .event_record = event_record,
    .event_query = event_query,
    .stream_query = stream_query,
    .event_between_ns = event_between_ns,
    .event_destroy = event_destroy,
    .context_push = context_push,
    .context_pop = context_pop,
    .is_capturing = is_capturing,
    .capture_mode = capture_mode,
};
