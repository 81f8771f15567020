/* SPDX-License-Identifier: Apache-2.0
 *
 * The environment of a workload: the words that the field's libraries and
 * tools read. The grant is what holds; these are for programs that look, and
 * for slices without root.
 */
#include "local/environment.h"

#include <string.h>

#include "local/files.h"
#include "local/settings.h"

static char **set(char **env, const char *name, const char *value)
{
    return g_environ_setenv(env, name, value, TRUE);
}

static char **set_limits(char **env, const struct ledger_slice *s)
{
    for (uint32_t i = 0; i < s->n_shares; i++) {
        g_autofree char *name = g_strdup_printf("CUDA_DEVICE_MEMORY_LIMIT_%u", i);
        uint64_t bytes = s->shares[i].mem_bytes;
        bool whole = bytes % QUANTITY_MIB == 0;
        g_autofree char *value = g_strdup_printf(
            "%" G_GUINT64_FORMAT "%s", whole ? quantity_mib_of_bytes(bytes) : bytes, whole ? "m" : "");
        env = set(env, name, value);
    }
    g_autofree char *cores = g_strdup_printf("%u", s->shares[0].cores_pct);
    return set(env, "CUDA_DEVICE_SM_LIMIT", cores);
}

static char **set_devices(char **env, const struct ledger_slice *s)
{
    g_autoptr(GString) list = g_string_new(NULL);
    for (uint32_t i = 0; i < s->n_shares; i++)
        g_string_append_printf(list, "%s%s", i ? "," : "", s->shares[i].uuid);
    env = set(env, "NVIDIA_VISIBLE_DEVICES", list->str);
    return set(env, "CUDA_VISIBLE_DEVICES", list->str);
}

/* Puts an entry in front of a list variable. */
static char **prepend(char **env, const char *name, const char *entry, char separator)
{
    const char *before = g_environ_getenv(env, name);
    g_autofree char *value =
        before && *before ? g_strdup_printf("%s%c%s", entry, separator, before) : g_strdup(entry);
    return set(env, name, value);
}

/* What root does with mounts: without them a program can take it back. */
static char **set_unprotected(char **env, const struct paths *p, const struct files *f,
                              const struct ledger_slice *s)
{
    env = prepend(env, "LD_PRELOAD", p->library, ' ');
    env = set(env, "HAMI_GRANT", f->grant);
    if (!s->machine[0])
        return env;
    env = set(env, "HAMI_SIM", s->machine);
    return set(env, "HAMI_SIM_STATE", s->sim_state);
}

char **environment_of(const struct paths *p, const struct ledger_slice *s)
{
    static const char *const overrides[] = {
        "CUDA_DEVICE_MEMORY_LIMIT", "CUDA_DISABLE_CONTROL", "CUDA_DEVICE_ORDER", "HAMI_GRANT", "HAMI_SIM",
        "HAMI_SIM_STATE",           "HAMI_STATE_DIR",       "HAMI_RUNTIME_DIR",  NULL};
    g_autoptr(Files) f = files_of(p, s->id);
    char **env = g_get_environ();
    for (int i = 0; overrides[i]; i++)
        env = g_environ_unsetenv(env, overrides[i]);
    env = set_devices(set_limits(env, s), s);
    env = set(env, "CUDA_DEVICE_MEMORY_SHARED_CACHE", f->region);
    env = set(env, "GPU_CORE_UTILIZATION_POLICY", settings_core_policy_name(s->core_policy));
    env = set(env, "CUDA_TASK_PRIORITY", s->priority ? "1" : "0");
    env = s->oversubscribe ? set(env, "CUDA_OVERSUBSCRIBE", "true")
                           : g_environ_unsetenv(env, "CUDA_OVERSUBSCRIBE");
    env = set(env, "HAMI_SLICE", s->id);
    if (s->machine[0]) /* for programs that look through folders themselves, also in a protected slice */
        env = prepend(env, "LD_LIBRARY_PATH", p->simulator, ':');
    return s->protected ? env : set_unprotected(env, p, f, s);
}
