/* SPDX-License-Identifier: Apache-2.0
 *
 * `hami sim`: what it prints of a machine that works, and that its faults
 * reach CUDA and NVML. $HAMI is the executable.
 */
#include "machine.h"

#include <jansson.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "abi/nvml_api.h"
#include "base/status.h"

/* Runs hami with the words; output may be NULL. Returns the exit status. */
static int hami(char **ret_out, char **ret_err, const char *first, ...)
{
    g_autoptr(GPtrArray) argv = g_ptr_array_new();
    const char *program = g_getenv("HAMI");
    g_autofree char *out = NULL, *err = NULL;
    GError *error = NULL;
    int status = 0;
    va_list words;
    g_ptr_array_add(argv, g_strdup(program != NULL ? program : "build/hami"));
    g_ptr_array_add(argv, g_strdup("sim"));
    va_start(words, first);
    for (const char *w = first; w != NULL; w = va_arg(words, const char *))
        g_ptr_array_add(argv, g_strdup(w));
    va_end(words);
    g_ptr_array_add(argv, NULL);
    g_spawn_sync(NULL, (char **)argv->pdata, NULL, 0, NULL, NULL, &out, &err, &status, &error);
    g_assert_no_error(error);
    g_ptr_array_set_free_func(argv, g_free);
    if (ret_out != NULL)
        *ret_out = g_steal_pointer(&out);
    if (ret_err != NULL)
        *ret_err = g_steal_pointer(&err);
    g_assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static json_t *json_of(const char *text)
{
    json_error_t error;
    json_t *j = json_loads(text, 0, &error);
    if (j == NULL)
        g_error("not JSON (%s): %s", error.text, text);
    return j;
}

static void work(const char *kernel, unsigned n)
{
    CUmodule module;
    CUfunction f;
    machine_start();
    assert_ok(cuModuleLoadData(&module, "image"));
    assert_ok(cuModuleGetFunction(&f, module, kernel));
    for (unsigned i = 0; i < n; i++)
        assert_ok(cuLaunchKernel(f, 1, 1, 1, 1, 1, 1, 0, NULL, NULL, NULL));
    assert_ok(cuCtxSynchronize());
}

/* ---- tests ---- */

static void test_profiles(void)
{
    char *out;
    g_assert_cmpint(hami(&out, NULL, "profiles", "--json", NULL), ==, STATUS_OK);
    json_t *all = json_of(out);
    g_assert_cmpuint(json_array_size(all), ==, 5);
    const json_t *h200 = json_array_get(all, 2);
    g_assert_cmpstr(json_string_value(json_object_get(h200, "name")), ==, "8xh200");
    g_assert_cmpuint(json_array_size(json_object_get(h200, "devices")), ==, 8);
    json_decref(all);
    g_free(out);
    g_assert_cmpint(hami(&out, NULL, "profiles", "t4", NULL), ==, STATUS_OK);
    g_assert_nonnull(strstr(out, "name: Tesla T4"));
    g_free(out);
}

static void test_wrong_profile(void)
{
    char *err;
    g_assert_cmpint(hami(NULL, &err, "profiles", "t5", NULL), ==, STATUS_USAGE);
    g_assert_nonnull(strstr(err, "'t5' is no shipped profile: give one of t4, 2xa100-40g"));
    g_free(err);
}

static void test_top(void)
{
    char *out;
    CUdeviceptr p;
    machine_start();
    assert_ok(cuMemAlloc_v2(&p, 300 * MIB));
    work("sim_7ms", 2);
    g_assert_cmpint(hami(&out, NULL, "top", "--once", "--json", NULL), ==, STATUS_OK);
    json_t *frame = json_of(out), *card = json_array_get(json_object_get(frame, "cards"), 0);
    json_t *process = json_array_get(json_object_get(card, "processes"), 0);
    g_assert_cmpint(json_integer_value(json_object_get(process, "pid")), ==, getpid());
    g_assert_cmpint(json_integer_value(json_object_get(process, "memory_bytes")), >=, 300 * (gint64)MIB);
    g_assert_cmpint(json_integer_value(json_object_get(process, "launches")), >=, 2);
    g_assert_cmpint(json_integer_value(json_object_get(card, "memory_used_bytes")), >=, 300 * (gint64)MIB);
    json_decref(frame);
    g_free(out);
    g_assert_cmpint(hami(&out, NULL, "top", NULL), ==, STATUS_OK); /* no terminal: once, as text */
    g_assert_nonnull(strstr(out, "Tesla T4"));
    g_free(out);
    assert_ok(cuMemFree_v2(p));
}

static unsigned lines(const char *text)
{
    unsigned n = 0;
    for (; *text != '\0'; text++)
        n += *text == '\n';
    return n;
}

static void test_log(void)
{
    char *before, *after, *none;
    g_autofree char *pid = g_strdup_printf("%d", getpid());
    g_assert_cmpint(hami(&before, NULL, "log", "--engine", "kernel", NULL), ==, STATUS_OK);
    work("sim_3ms", 5);
    g_assert_cmpint(hami(&after, NULL, "log", "--json", "--engine", "kernel", "--pid", pid, NULL), ==,
                    STATUS_OK);
    g_assert_cmpuint(lines(after), ==, lines(before) + 5);
    char *last = g_strrstr_len(after, (gssize)strlen(after) - 1, "\n");
    json_t *j = json_of(last + 1);
    g_assert_cmpint(json_integer_value(json_object_get(j, "end_ns")) -
                        json_integer_value(json_object_get(j, "start_ns")),
                    ==, 3000000);
    g_assert_cmpstr(json_string_value(json_object_get(j, "engine")), ==, "kernel");
    json_decref(j);
    g_assert_cmpint(hami(&none, NULL, "log", "--pid", "1", NULL), ==, STATUS_OK);
    g_assert_cmpstr(none, ==, "");
    g_free(before);
    g_free(after);
    g_free(none);
}

static void test_xid_arrives(void)
{
    nvmlDevice_t device;
    nvmlEventSet_t set;
    nvmlEventData_t data;
    g_assert_cmpint(nvmlInit_v2(), ==, NVML_SUCCESS);
    g_assert_cmpint(nvmlDeviceGetHandleByIndex_v2(0, &device), ==, NVML_SUCCESS);
    g_assert_cmpint(nvmlEventSetCreate(&set), ==, NVML_SUCCESS);
    g_assert_cmpint(nvmlDeviceRegisterEvents(device, nvmlEventTypeXidCriticalError, set), ==, NVML_SUCCESS);
    g_assert_cmpint(hami(NULL, NULL, "fault", "xid", "79", "--device", "0", NULL), ==, STATUS_OK);
    g_assert_cmpint(nvmlEventSetWait_v2(set, &data, 0), ==, NVML_SUCCESS);
    g_assert_cmpuint(data.eventData, ==, 79);
    g_assert_cmpint(nvmlEventSetFree(set), ==, NVML_SUCCESS);
}

static void test_faults_and_clear(void)
{
    nvmlDevice_t device;
    unsigned celsius;
    char *out;
    g_assert_cmpint(nvmlInit_v2(), ==, NVML_SUCCESS);
    g_assert_cmpint(nvmlDeviceGetHandleByIndex_v2(0, &device), ==, NVML_SUCCESS);
    g_assert_cmpint(hami(NULL, NULL, "fault", "temperature", "88", NULL), ==, STATUS_OK);
    g_assert_cmpint(nvmlDeviceGetTemperature(device, NVML_TEMPERATURE_GPU, &celsius), ==, NVML_SUCCESS);
    g_assert_cmpuint(celsius, ==, 88);
    g_assert_cmpint(hami(NULL, NULL, "fault", "lost", NULL), ==, STATUS_OK);
    g_assert_cmpint(nvmlDeviceGetTemperature(device, NVML_TEMPERATURE_GPU, &celsius), ==,
                    NVML_ERROR_GPU_IS_LOST);
    g_assert_cmpint(hami(&out, NULL, "fault", "slow-copies", "5000", "--json", NULL), ==, STATUS_OK);
    json_t *all = json_of(out), *card = json_array_get(all, 0);
    g_assert_true(json_is_true(json_object_get(card, "lost")));
    g_assert_cmpint(json_integer_value(json_object_get(card, "copies_per_mille")), ==, 5000);
    json_decref(all);
    g_free(out);
    g_assert_cmpint(hami(NULL, NULL, "fault", "clear", NULL), ==, STATUS_OK);
    g_assert_cmpint(nvmlDeviceGetTemperature(device, NVML_TEMPERATURE_GPU, &celsius), ==, NVML_SUCCESS);
    g_assert_cmpuint(celsius, <, 88);
}

static void test_wrong_words(void)
{
    static const struct {
        const char *words[3], *message;
    } rows[] = {
        {{"lgo"}, "did you mean \"log\""},
        {{"fault", "explode"}, "there is no fault \"explode\": give xid, lost,"},
        {{"fault", "xid", "x"}, "xid x: give an XID code such as 79 (1 to 999)"},
        {{"fault", "xid"}, "xid: give an XID code such as 79 (1 to 999)"},
        {{"fault", "lost", "--device=3"}, "--device 3: the machine t4 has devices 0 to 0"},
        {{"profiles", "nope"}, "sim profiles: 'nope' is no shipped profile"},
        {{"log", "--engine=tensor"}, "--engine tensor: give kernel or copy"},
        {{"top", "--interval=1ms"}, "is shorter than 50ms"},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        char *err;
        const char *const *w = rows[i].words;
        g_assert_cmpint(hami(NULL, &err, w[0], w[1], w[1] != NULL ? w[2] : NULL, NULL), ==, STATUS_USAGE);
        if (strstr(err, rows[i].message) == NULL)
            g_error("row %" G_GSIZE_FORMAT ": %s", i, err);
        g_free(err);
    }
}

int main(int argc, char **argv)
{
    machine_init(&argc, &argv, "t4,time=virtual");
    g_test_add_func("/verbs/profiles_lists_what_is_built_in", test_profiles);
    g_test_add_func("/verbs/unknown_profile_is_a_usage_error", test_wrong_profile);
    g_test_add_func("/verbs/top_shows_memory_and_launches_of_a_process", test_top);
    g_test_add_func("/verbs/log_has_one_line_for_every_launch", test_log);
    g_test_add_func("/verbs/injected_xid_reaches_an_event_set", test_xid_arrives);
    g_test_add_func("/verbs/faults_last_until_cleared", test_faults_and_clear);
    g_test_add_func("/verbs/wrong_words_are_refused_with_a_remedy", test_wrong_words);
    return machine_run();
}
