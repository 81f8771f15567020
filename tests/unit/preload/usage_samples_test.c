/* SPDX-License-Identifier: Apache-2.0
 *
 * The figure that a slot publishes where no launch is gated, from the
 * management library's samples: what odd ones make of it, and how often it is
 * asked. The library, the pid on the host and the wall clock are our own.
 */
#include <glib.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "preload/identity.h"
#include "preload/utilization.h"
#include "region/extension.h"

#define OURS_PID 4711
#define TICK_US INT64_C(1000000)
#define SECOND_NS UINT64_C(1000000000)
#define HOUR (3600 * TICK_US)

static guint64 wall_now_us;

static long fake_syscall(long number, clockid_t clock, struct timespec *t)
{
    g_assert_cmpint(number, ==, SYS_clock_gettime);
    g_assert_cmpint(clock, ==, CLOCK_REALTIME);
    t->tv_sec = (time_t)(wall_now_us / 1000000);
    t->tv_nsec = (long)(wall_now_us % 1000000) * 1000;
    return 0;
}

#define syscall fake_syscall
#include "preload/mem_self.c"
#undef syscall

struct slice slice;
struct real_nvml real_nvml;

void identity_learn(void) {}

/* ---- a management library ---- */

struct odd_sample {
    gint64 at_us; /* against the wall clock */
    unsigned percent, pid;
};

struct look {
    gint64 step_us; /* of the wall clock before it; 0 = a second */
    nvmlReturn_t result;
    struct odd_sample samples[3];
    unsigned counts; /* what it says it wrote; 0 = what it did */
    unsigned figure; /* published afterwards */
};

static const struct look *now_looked;
static bool is_honest; /* leaves out what the caller has seen */
static unsigned inits, handles_asked, samples_asked;

static nvmlReturn_t fake_init(void)
{
    inits++;
    return NVML_SUCCESS;
}

static nvmlReturn_t fake_handle(const char *uuid, nvmlDevice_t *ret)
{
    handles_asked++;
    *ret = (nvmlDevice_t)(uintptr_t)uuid;
    return NVML_SUCCESS;
}

static nvmlReturn_t fake_utilization(nvmlDevice_t device, nvmlProcessUtilizationSample_t *ret, unsigned *n,
                                     unsigned long long seen)
{
    const struct look *look = now_looked;
    unsigned room = *n, used = 0;
    g_assert_nonnull(device);
    g_assert_cmpuint(room, >=, 1024);
    samples_asked++;
    *n = 0;
    if (look->result != NVML_SUCCESS)
        return look->result;
    for (gsize i = 0; i < G_N_ELEMENTS(look->samples) && look->samples[i].at_us; i++) {
        const struct odd_sample *s = &look->samples[i];
        unsigned long long at =
            s->at_us == G_MAXINT64 ? UINT64_MAX : (guint64)((gint64)wall_now_us + s->at_us);
        if (!is_honest || at > seen)
            ret[used++] = (nvmlProcessUtilizationSample_t){
                .pid = s->pid ? s->pid : OURS_PID, .timeStamp = at, .smUtil = s->percent};
    }
    *n = look->counts ? look->counts : used;
    return used ? NVML_SUCCESS : NVML_ERROR_NOT_FOUND;
}

/* ---- a slice ---- */

static guint64 mono_ns;

static void slice_begins(unsigned n_devices)
{
    static struct region_base base;
    void *at = NULL;
    real_nvml.nvmlInit_v2 = fake_init;
    real_nvml.nvmlDeviceGetHandleByUUID = fake_handle;
    real_nvml.nvmlDeviceGetProcessUtilization = fake_utilization;
    g_assert_cmpint(posix_memalign(&at, 4096, sizeof(struct region_ext)), ==, 0);
    slice.region.ext = memset(at, 0, sizeof(struct region_ext));
    memset(&base, 0, sizeof base);
    slice.region.base = &base;
    slice.slot = 2;
    slice.n_devices = n_devices;
    base.procs[2].hostpid = OURS_PID;
    mem_self_after_fork();
    utilization_after_fork();
    memset(newest, 0, sizeof newest);
    inits = handles_asked = samples_asked = 0;
    wall_now_us = 1800000000ull * 1000000;
    mono_ns = 1000 * SECOND_NS;
}

static void slice_ends(void)
{
    free(slice.region.ext);
    slice.region = (struct region){0};
}

static guint64 figure(void)
{
    return slice.region.base->procs[2].device_util[0].sm;
}

/* ---- odd samples ---- */

#define OWN(at, value)                                                                                       \
    {                                                                                                        \
        .at_us = (at), .percent = (value)                                                                    \
    }
#define OTHERS(at, value)                                                                                    \
    {                                                                                                        \
        .at_us = (at), .percent = (value), .pid = 12                                                         \
    }
#define AGO (-TICK_US / 5)

static const struct {
    const char *name;
    unsigned n_looks;
    bool honest;
    struct look looks[6];
} rows[] = {
    {"steady",
     2,
     true,
     {{.samples = {OWN(AGO, 40)}, .figure = 40}, {.samples = {OWN(AGO, 60)}, .figure = 60}}},
    {"repeated",
     5,
     false,
     {{.samples = {OWN(AGO, 50)}, .figure = 50},
      {.samples = {OWN(AGO - TICK_US, 90)}, .figure = 50},
      {.samples = {OWN(AGO - 2 * TICK_US, 90)}, .figure = 50},
      {.samples = {OWN(AGO - 3 * TICK_US, 90)}, .figure = 0},
      {.samples = {OWN(AGO, 20)}, .figure = 20}}},
    {"above_100",
     3,
     true,
     {{.samples = {OWN(AGO, 101)}, .figure = 100},
      {.samples = {OWN(AGO, 30)}, .figure = 30},
      {.samples = {OWN(AGO, UINT32_MAX)}, .figure = 100}}},
    {"missing",
     5,
     true,
     {{.samples = {OWN(AGO, 30)}, .figure = 30},
      {.figure = 30},
      {.result = NVML_ERROR_NOT_FOUND, .figure = 30},
      {.figure = 0},
      {.samples = {OWN(AGO, 20)}, .figure = 20}}},
    {"not_supported",
     3,
     true,
     {{.result = NVML_ERROR_NOT_SUPPORTED},
      {.result = NVML_ERROR_NOT_SUPPORTED},
      {.result = NVML_ERROR_UNKNOWN}}},
    {"supported_no_longer",
     4,
     true,
     {{.samples = {OWN(AGO, 30)}, .figure = 30},
      {.result = NVML_ERROR_GPU_IS_LOST, .figure = 30},
      {.result = NVML_ERROR_GPU_IS_LOST, .figure = 30},
      {.result = NVML_ERROR_GPU_IS_LOST, .figure = 0}}},
    {"of_others",
     2,
     true,
     {{.samples = {OTHERS(AGO, 70)}, .figure = 0},
      {.samples = {OTHERS(AGO, 70), OWN(AGO, 10), OTHERS(AGO, 80)}, .figure = 10}}},
    {"newest_first", 1, true, {{.samples = {OWN(AGO, 10), OWN(AGO * 3, 80)}, .figure = 10}}},
    {"more_than_there_is_room_for", 1, true, {{.samples = {OWN(AGO, 10)}, .counts = 1 << 20, .figure = 10}}},
    {"clock_set_forwards",
     2,
     true,
     {{.samples = {OWN(AGO, 40)}, .figure = 40}, {.step_us = HOUR, .samples = {OWN(AGO, 50)}, .figure = 50}}},
    {"clock_set_back",
     3,
     true,
     {{.samples = {OWN(AGO, 40)}, .figure = 40},
      {.step_us = -HOUR, .samples = {OWN(AGO, 50)}, .figure = 50},
      {.samples = {OWN(AGO, 60)}, .figure = 60}}},
    {"clock_set_back_and_samples_kept",
     4,
     true,
     {{.samples = {OWN(AGO, 40)}, .figure = 40},
      {.step_us = -HOUR, .samples = {OWN(HOUR + AGO, 40), OWN(AGO, 50)}, .figure = 50},
      {.samples = {OWN(AGO, 60), OTHERS(HOUR + AGO, 99)}, .figure = 60},
      {.samples = {OWN(AGO, 70)}, .figure = 70}}},
    {"from_the_end_of_time",
     3,
     true,
     {{.samples = {OWN(G_MAXINT64, 99)}, .figure = 0},
      {.samples = {OTHERS(G_MAXINT64, 99), OWN(AGO, 30)}, .figure = 30},
      {.samples = {OWN(AGO, 40)}, .figure = 40}}},
};

static void check_row(gconstpointer data)
{
    gsize row = GPOINTER_TO_SIZE(data);
    slice_begins(1);
    is_honest = rows[row].honest;
    utilization_publish(mono_ns, true);
    for (unsigned i = 0; i < rows[row].n_looks; i++) {
        now_looked = &rows[row].looks[i];
        mono_ns += SECOND_NS;
        wall_now_us += (guint64)(now_looked->step_us ? now_looked->step_us : TICK_US);
        utilization_publish(mono_ns, true);
        g_assert_cmpuint(figure(), ==, now_looked->figure);
    }
    slice_ends();
}

/* ---- how often it is asked ---- */

static void visit_for(unsigned seconds, bool worked)
{
    for (unsigned i = 0; i < 10 * seconds; i++) {
        mono_ns += SECOND_NS / 10;
        wall_now_us += TICK_US / 10;
        utilization_publish(mono_ns, worked);
    }
}

static void library_is_asked_once_a_second_and_device_at_most(void)
{
    static const struct look busy_one = {.samples = {OWN(AGO, 40)}},
                             none = {.result = NVML_ERROR_NOT_SUPPORTED};
    const struct look *kinds[] = {&busy_one, &none};
    for (gsize i = 0; i < G_N_ELEMENTS(kinds); i++) {
        slice_begins(3);
        now_looked = kinds[i];
        visit_for(60, true);
        g_assert_cmpuint(inits, ==, 1);
        g_assert_cmpuint(handles_asked, ==, 3);
        g_assert_cmpuint(samples_asked, <=, 60 * 3);
        g_assert_cmpuint(samples_asked, >=, 50 * 3);
        samples_asked = 0;
        visit_for(60, false);
        g_assert_cmpuint(samples_asked, <=, 3);
        slice_ends();
    }
}

static void library_is_not_asked_where_launches_are_measured(void)
{
    static const struct look some = {.samples = {OWN(AGO, 40)}};
    slice_begins(1);
    now_looked = &some;
    for (unsigned i = 0; i < 600; i++) {
        atomic_fetch_add(&slice.region.ext->members[2].compute[0].busy_ns, SECOND_NS / 40);
        visit_for(1, true);
    }
    g_assert_cmpuint(samples_asked, ==, 0);
    slice_ends();
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *path = g_strdup_printf("/usage/samples/%s", rows[i].name);
        g_test_add_data_func(path, GSIZE_TO_POINTER(i), check_row);
    }
    g_test_add_func("/usage/library_is_asked_once_a_second_and_device_at_most",
                    library_is_asked_once_a_second_and_device_at_most);
    g_test_add_func("/usage/library_is_not_asked_where_launches_are_measured",
                    library_is_not_asked_where_launches_are_measured);
    return g_test_run();
}
