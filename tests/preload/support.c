/* SPDX-License-Identifier: Apache-2.0
 *
 * See support.h. HAMI_BUILD is the build folder; meson sets it.
 */
#include "support.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct kit {
    char *dir;
    char *region;
    char **env;
    unsigned epoch;
    GPtrArray *uuids;
    GPtrArray *running; /* struct kit_process, not owned */
};

struct kit_process {
    struct kit *kit;
    GPid pid;
    FILE *out;
    int in;
    char *err_path;
    bool over;
    int status;
};

static const char *build_dir(void)
{
    const char *dir = g_getenv("HAMI_BUILD");
    if (!dir)
        g_error("HAMI_BUILD is not set; run the test by meson test");
    return dir;
}

struct kit *kit_new(const char *profile)
{
    struct kit *kit = g_new0(struct kit, 1);
    GError *error = NULL;
    kit->dir = g_dir_make_tmp("hami-kit-XXXXXX", &error);
    g_assert_no_error(error);
    kit->region = g_build_filename(kit->dir, "vgpu.cache", NULL);
    kit->running = g_ptr_array_new();
    g_autofree char *state = g_build_filename(kit->dir, "sim-state", NULL);
    g_autofree char *profile_path = NULL;
    if (profile && strchr(profile, '\n')) {
        profile_path = g_build_filename(kit->dir, "profile.yaml", NULL);
        g_assert_true(g_file_set_contents(profile_path, profile, -1, NULL));
    }
    static const char *const kept[] = {"PATH", "HOME", "LANG", "HAMI_BUILD", "HAMI_TEST_SEED"};
    for (gsize i = 0; i < G_N_ELEMENTS(kept); i++)
        if (g_getenv(kept[i]))
            kit_env(kit, kept[i], "%s", g_getenv(kept[i]));
    kit_env(kit, "LD_PRELOAD", "%s/libvgpu.so", build_dir());
    kit_env(kit, "LD_LIBRARY_PATH", "%s/sim", build_dir());
    kit_env(kit, "HAMI_SIM", "%s", profile_path ? profile_path : profile ? profile : "t4");
    kit_env(kit, "HAMI_SIM_STATE", "%s", state);
    kit_env(kit, "CUDA_DEVICE_MEMORY_SHARED_CACHE", "%s", kit->region);
    return kit;
}

static void remove_tree(const char *path)
{
    GDir *dir = g_dir_open(path, 0, NULL);
    const char *name;
    while (dir && (name = g_dir_read_name(dir))) {
        g_autofree char *child = g_build_filename(path, name, NULL);
        if (g_file_test(child, G_FILE_TEST_IS_DIR) && !g_file_test(child, G_FILE_TEST_IS_SYMLINK))
            remove_tree(child);
        else
            g_unlink(child);
    }
    if (dir)
        g_dir_close(dir);
    g_rmdir(path);
}

void kit_free(struct kit *kit)
{
    while (kit->running->len) {
        struct kit_process *p = g_ptr_array_index(kit->running, 0);
        kit_kill(p);
        kit_finish(p, NULL, NULL);
    }
    remove_tree(kit->dir);
    g_ptr_array_free(kit->running, TRUE);
    if (kit->uuids)
        g_ptr_array_free(kit->uuids, TRUE);
    g_strfreev(kit->env);
    g_free(kit->region);
    g_free(kit->dir);
    g_free(kit);
}

void kit_env(struct kit *kit, const char *name, const char *format, ...)
{
    if (!format) {
        kit->env = g_environ_unsetenv(kit->env, name);
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *value = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    kit->env = g_environ_setenv(kit->env, name, value, TRUE);
}

const char *kit_get_env(struct kit *kit, const char *name)
{
    return g_environ_getenv(kit->env, name);
}

void kit_no_preload(struct kit *kit)
{
    kit_env(kit, "LD_PRELOAD", NULL);
}

const char *kit_dir(const struct kit *kit)
{
    return kit->dir;
}

const char *kit_region(const struct kit *kit)
{
    return kit->region;
}

char *kit_path(const struct kit *kit, const char *name)
{
    return g_build_filename(kit->dir, name, NULL);
}

void kit_grant(struct kit *kit, struct grant *grant)
{
    g_autofree char *path = kit_path(kit, "grant");
    char content[GRANT_FILE_BYTES];
    grant->epoch = ++kit->epoch;
    g_strlcpy(grant->region, kit->region, sizeof grant->region);
    if (!grant->id[0])
        g_strlcpy(grant->id, "test", sizeof grant->id);
    g_assert_cmpint(grant_format(grant, content), ==, 0);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(pwrite(fd, content, sizeof content, 0), ==, sizeof content);
    close(fd);
    kit_env(kit, "HAMI_GRANT", "%s", path);
}

/* ---- processes ---- */

static void restore_signals(gpointer data)
{
    (void)data;
    signal(SIGPIPE, SIG_DFL);
}

struct kit_process *kit_start_program(struct kit *kit, const char *const argv[])
{
    static unsigned number;
    struct kit_process *p = g_new0(struct kit_process, 1);
    GError *error = NULL;
    int out, err;
    p->kit = kit;
    p->err_path = g_strdup_printf("%s/stderr-%u", kit->dir, number++);
    err = open(p->err_path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    int pipe_in[2], pipe_out[2];
    g_assert_cmpint(pipe2(pipe_in, O_CLOEXEC), ==, 0);
    g_assert_cmpint(pipe2(pipe_out, O_CLOEXEC), ==, 0);
    g_auto(GStrv) words =
        g_strdupv((char **)(uintptr_t)argv); /* what GLib does not write to it does not call const */
    g_spawn_async_with_fds(NULL, words, kit->env, G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_SEARCH_PATH_FROM_ENVP,
                           restore_signals, NULL, &p->pid, pipe_in[0], pipe_out[1], err, &error);
    g_assert_no_error(error);
    close(pipe_in[0]);
    close(pipe_out[1]);
    close(err);
    p->in = pipe_in[1];
    out = pipe_out[0];
    p->out = fdopen(out, "r");
    g_ptr_array_add(kit->running, p);
    return p;
}

static struct kit_process *start_body(struct kit *kit, const char *body, va_list arguments)
{
    g_autoptr(GPtrArray) argv = g_ptr_array_new();
    g_autofree char *self = g_file_read_link("/proc/self/exe", NULL);
    g_ptr_array_add(argv, self);
    g_ptr_array_add(argv, (gpointer) "--child");
    g_ptr_array_add(argv, (gpointer)(uintptr_t)body);
    for (char *a; (a = va_arg(arguments, char *));)
        g_ptr_array_add(argv, a);
    g_ptr_array_add(argv, NULL);
    return kit_start_program(kit, (const char *const *)(void *)argv->pdata);
}

struct kit_process *kit_start(struct kit *kit, const char *body, ...)
{
    va_list arguments;
    va_start(arguments, body);
    struct kit_process *p = start_body(kit, body, arguments);
    va_end(arguments);
    return p;
}

int kit_pid(const struct kit_process *p)
{
    return p->pid;
}

char *kit_line(struct kit_process *p)
{
    char *line = NULL;
    size_t room = 0;
    ssize_t n = getline(&line, &room, p->out);
    if (n <= 0) {
        free(line);
        return NULL;
    }
    if (line[n - 1] == '\n')
        line[n - 1] = '\0';
    char *copy = g_strdup(line);
    free(line);
    return copy;
}

void kit_say(struct kit_process *p, const char *line)
{
    g_autofree char *text = g_strconcat(line, "\n", NULL);
    signal(SIGPIPE, SIG_IGN);
    ssize_t n = write(p->in, text, strlen(text));
    (void)n;
}

void kit_kill(struct kit_process *p)
{
    kill(p->pid, SIGKILL);
}

int kit_finish(struct kit_process *p, char **ret_out, char **ret_err)
{
    g_autoptr(GString) rest = g_string_new(NULL);
    char buffer[4096];
    int status = 0;
    close(p->in);
    for (size_t n; (n = fread(buffer, 1, sizeof buffer, p->out)) > 0;)
        g_string_append_len(rest, buffer, (gssize)n);
    fclose(p->out);
    while (waitpid(p->pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (ret_out)
        *ret_out = g_strdup(rest->str);
    g_autofree char *err = NULL;
    g_file_get_contents(p->err_path, &err, NULL, NULL);
    if (ret_err)
        *ret_err = g_steal_pointer(&err);
    g_unlink(p->err_path);
    g_ptr_array_remove(p->kit->running, p);
    g_free(p->err_path);
    g_free(p);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

char *kit_run(struct kit *kit, const char *body, ...)
{
    va_list arguments;
    va_start(arguments, body);
    struct kit_process *p = start_body(kit, body, arguments);
    va_end(arguments);
    char *out;
    g_autofree char *err = NULL;
    int status = kit_finish(p, &out, &err);
    if (err && *err)
        g_test_message("%s: %s", body, err);
    g_assert_cmpint(status, ==, 0);
    g_assert_cmpstr(err, ==, "");
    return out;
}

const char *kit_uuid(struct kit *kit, unsigned index)
{
    if (!kit->uuids) {
        g_auto(GStrv) saved = g_strdupv(kit->env);
        kit->uuids = g_ptr_array_new_with_free_func(g_free);
        kit_no_preload(kit);
        kit_env(kit, "CUDA_VISIBLE_DEVICES", NULL);
        kit_env(kit, "CUDA_DEVICE_ORDER", "PCI_BUS_ID");
        struct kit_process *p = kit_start(kit, "kit-uuids", NULL);
        for (char *line; (line = kit_line(p));)
            g_ptr_array_add(kit->uuids, line);
        g_assert_cmpint(kit_finish(p, NULL, NULL), ==, 0);
        g_strfreev(kit->env);
        kit->env = g_steal_pointer(&saved);
    }
    g_assert_cmpuint(index, <, kit->uuids->len);
    return g_ptr_array_index(kit->uuids, index);
}

/* ---- in the process that was started ---- */

bool kit_is_child(int argc, char **argv)
{
    return argc >= 3 && strcmp(argv[1], "--child") == 0;
}

/* In the order of the bus. */
static int tell_uuids(void)
{
    const struct real_cuda *cu = kit_cuda();
    int n = 0;
    if (!cu->cuInit || cu->cuInit(0) != CUDA_SUCCESS || cu->cuDeviceGetCount(&n) != CUDA_SUCCESS)
        return 1;
    for (int i = 0; i < n; i++) {
        CUuuid uuid;
        g_autoptr(GString) text = g_string_new("GPU");
        if (cu->cuDeviceGetUuid_v2(&uuid, i) != CUDA_SUCCESS)
            return 1;
        for (unsigned b = 0; b < sizeof uuid.bytes; b++)
            g_string_append_printf(text, "%s%02x", b == 0 || b == 4 || b == 6 || b == 8 || b == 10 ? "-" : "",
                                   (unsigned char)uuid.bytes[b]);
        kit_tell("%s", text->str);
    }
    return 0;
}

int kit_child(int argc, char **argv, const struct kit_body *bodies)
{
    if (strcmp(argv[2], "kit-uuids") == 0)
        return tell_uuids();
    for (; bodies->name; bodies++)
        if (strcmp(bodies->name, argv[2]) == 0)
            return bodies->run(argc - 3, argv + 3);
    fprintf(stderr, "no body named %s\n", argv[2]);
    return 98;
}

static void *symbol_of(void *library, const char *name)
{
    return library ? dlsym(library, name) : NULL;
}

const struct real_cuda *kit_cuda(void)
{
    static struct real_cuda cuda;
    static bool loaded;
    if (!loaded) {
        void *library = dlopen("libcuda.so.1", RTLD_NOW);
#define CUDA(symbol, base, since, stream, class, types)                                                      \
    cuda.symbol = (__typeof__(cuda.symbol))symbol_of(library, #symbol);
#include "cuda.def"
#undef CUDA
        loaded = true;
    }
    return &cuda;
}

const struct real_nvml *kit_nvml(void)
{
    static struct real_nvml nvml;
    static bool loaded;
    if (!loaded) {
        void *library = dlopen("libnvidia-ml.so.1", RTLD_NOW);
#define NVML(symbol, class, types) nvml.symbol = (__typeof__(nvml.symbol))symbol_of(library, #symbol);
#define NVML_TEXT(symbol, class, types) nvml.symbol = (__typeof__(nvml.symbol))symbol_of(library, #symbol);
#include "nvml.def"
#undef NVML
#undef NVML_TEXT
        loaded = true;
    }
    return &nvml;
}

CUcontext kit_context(int ordinal)
{
    const struct real_cuda *cu = kit_cuda();
    CUcontext context;
    CUdevice device;
    if (!cu->cuInit || cu->cuInit(0) != CUDA_SUCCESS || cu->cuDeviceGet(&device, ordinal) != CUDA_SUCCESS ||
        cu->cuDevicePrimaryCtxRetain(&context, device) != CUDA_SUCCESS ||
        cu->cuCtxSetCurrent(context) != CUDA_SUCCESS)
        _exit(99);
    return context;
}

void kit_tell(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    putchar('\n');
    fflush(stdout);
}

char *kit_hear(void)
{
    static char line[4096];
    if (!fgets(line, sizeof line, stdin))
        return NULL;
    line[strcspn(line, "\n")] = '\0';
    return line;
}

bool kit_may_unshare(const char *flags)
{
    g_autofree char *command = g_strdup_printf("unshare %s true 2>/dev/null", flags);
    if (getuid() == 0 && system(command) == 0)
        return true;
    g_test_skip("needs root and the right to make namespaces");
    return false;
}
