/* SPDX-License-Identifier: Apache-2.0
 *
 * See doctor.h: one slice. Everything read of its processes is hostile: it is
 * bounded, and printed without control characters.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "local/doctor.h"
#include "local/files.h"
#include "local/process.h"
#include "region/region.h"

static void examine_grant(struct broker *b, const struct ledger_slice *s, GArray *rows)
{
    g_autoptr(Files) f = files_of(b->paths, s->id);
    g_autofree struct grant *g = g_new0(struct grant, 1);
    struct grant_error why = {0};
    g_autofree char *text = NULL;
    g_autoptr(GError) error = NULL;
    gsize n = 0;
    if (!g_file_get_contents(f->grant, &text, &n, &error)) {
        doctor_add(rows, DOCTOR_GRANT_DAMAGED, s->id, 0, "%s", error->message);
        return;
    }
    if (n != GRANT_FILE_BYTES || grant_parse(text, n, g, &why) < 0) {
        doctor_add(rows, DOCTOR_GRANT_DAMAGED, s->id, 0, "line %u %s %s", why.line, why.key,
                   n != GRANT_FILE_BYTES ? "wrong size" : why.reason);
        return;
    }
    for (uint32_t i = 0; i < s->n_shares; i++) {
        const struct ledger_share *share = &s->shares[i];
        uint64_t limit = share->pending_bytes ? share->pending_bytes : share->mem_bytes;
        if (g->n_devices != s->n_shares || g->devices[i].mem_bytes != limit ||
            g->devices[i].cores_pct != share->cores_pct || strcmp(g->devices[i].uuid, share->uuid) != 0)
            doctor_add(rows, DOCTOR_GRANT_DIFFERS, s->id, 0, "card %s", share->uuid);
    }
}

static void examine_region(struct broker *b, const struct ledger_slice *s, GArray *rows)
{
    g_autoptr(Files) f = files_of(b->paths, s->id);
    g_autofree struct region_view *v = g_new0(struct region_view, 1);
    int result = region_read(f->region, v);
    if (result < 0) {
        doctor_add(rows, DOCTOR_REGION_DAMAGED, s->id, 0, "%s: %s", f->region,
                   result == -EPROTO ? "what it holds is no region" : g_strerror(-result));
        return;
    }
    if (s->suspended && !v->suspended)
        doctor_add(rows, DOCTOR_SUSPENSION_LIFTED, s->id, 0, "%s", f->region);
    for (uint32_t i = 0; i < s->n_shares; i++) {
        const struct ledger_share *share = &s->shares[i];
        uint64_t limit = share->pending_bytes ? share->pending_bytes : share->mem_bytes;
        if (i >= v->n_devices || v->limit[i] != limit || v->sm_limit[i] % 100 != share->cores_pct % 100)
            doctor_add(rows, DOCTOR_REGION_STALE, s->id, 0, "card %s", share->uuid);
        else if (s->oversubscribe && v->spilled[i] && v->thrash_count[i])
            doctor_add(rows, DOCTOR_THRASHES, s->id, 0,
                       "card %s: %" G_GUINT64_FORMAT " of %" G_GUINT64_FORMAT
                       " MiB are spilled, %" G_GUINT64_FORMAT " s of work so far",
                       share->uuid, v->spilled[i] >> 20, v->used[i] >> 20, v->thrash_count[i]);
    }
}

static void examine_wall(struct broker *b, const struct ledger_slice *s, GArray *rows)
{
    struct driver_source source = broker_source(b, s->machine, s->sim_state);
    for (uint32_t i = 0; s->walled && i < s->n_shares; i++) {
        g_autoptr(GError) error = NULL;
        struct driver_limit limit = {0};
        if (!driver_get_limit(&source, s->shares[i].uuid, s->cgroup, &limit, &error))
            doctor_add(rows, DOCTOR_WALL_DIFFERS, s->id, 0, "%s", error->message);
        else if (limit.hard_bytes != s->shares[i].mem_bytes)
            doctor_add(rows, DOCTOR_WALL_DIFFERS, s->id, 0,
                       "card %s: %" G_GUINT64_FORMAT " bytes instead of %" G_GUINT64_FORMAT,
                       s->shares[i].uuid, limit.hard_bytes, s->shares[i].mem_bytes);
    }
}

/* ---- processes --------------------------------------------------------- */

static char *proc_text(pid_t pid, const char *name, gsize *ret_n)
{
    g_autofree char *file = g_strdup_printf("/proc/%d/%s", (int)pid, name);
    char *text = NULL;
    if (!g_file_get_contents(file, &text, ret_n, NULL))
        return NULL;
    return text;
}

/* The value of NAME in a block of NUL-terminated entries, or NULL. */
static const char *value_in(const char *block, gsize n, const char *name)
{
    gsize length = strlen(name);
    for (gsize at = 0; at < n; at += strlen(block + at) + 1)
        if (strncmp(block + at, name, length) == 0 && block[at + length] == '=')
            return block + at + length + 1;
    return NULL;
}

static void examine_environment(const struct ledger_slice *s, pid_t pid, GArray *rows)
{
    gsize n = 0;
    g_autofree char *block = proc_text(pid, "environ", &n);
    static const char *const visible[] = {"NVIDIA_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES"};
    if (!block)
        return;
    for (size_t i = 0; i < G_N_ELEMENTS(visible); i++) {
        const char *value = value_in(block, n, visible[i]);
        if (value && !strstr(value, s->shares[0].uuid))
            doctor_add(rows, DOCTOR_ENV_VISIBLE, s->id, pid, "%s=%.80s", visible[i], value);
    }
    const char *preload = value_in(block, n, "LD_PRELOAD");
    if (preload && (strstr(preload, "libcuda.so") || strstr(preload, "libnvidia-ml.so")))
        doctor_add(rows, DOCTOR_DRIVER_PRELOADED, s->id, pid, "LD_PRELOAD=%.80s", preload);
    const char *disable = value_in(block, n, "CUDA_DISABLE_CONTROL");
    if (disable)
        doctor_add(rows, DOCTOR_ENV_DISABLE, s->id, pid, "CUDA_DISABLE_CONTROL=%.80s", disable);
    const char *limit = value_in(block, n, "CUDA_DEVICE_MEMORY_LIMIT");
    if (limit)
        doctor_add(rows, DOCTOR_ENV_LIMITS, s->id, pid, "CUDA_DEVICE_MEMORY_LIMIT=%.80s", limit);
}

/* Which of the things that matter a process has mapped. */
struct mapped {
    bool loader, driver, library, old_library;
};

static void look_at_line(const char *line, struct mapped *m, const struct stat *installed)
{
    const char *path = strchr(line, '/');
    unsigned long long inode = 0;
    if (!path)
        return;
    const char *base = strrchr(path, '/') + 1;
    m->loader |= g_str_has_prefix(base, "ld-linux") || g_str_has_prefix(base, "ld-2.") ||
                 g_str_has_prefix(base, "ld64.so");
    m->driver |= g_str_has_prefix(base, "libcuda.so") || g_str_has_prefix(base, "libnvidia-ml.so") ||
                 g_str_has_prefix(path, "/dev/nvidia");
    if (!g_str_has_prefix(base, "libvgpu.so"))
        return;
    m->library = true;
    if (sscanf(line, "%*s %*s %*s %*s %llu", &inode) == 1 && installed->st_ino)
        m->old_library |= inode != installed->st_ino;
}

static void examine_maps(struct broker *b, const struct ledger_slice *s, pid_t pid, GArray *rows)
{
    struct mapped m = {0};
    struct stat installed = {0};
    g_autofree char *text = proc_text(pid, "maps", NULL);
    g_autofree char *link = g_strdup_printf("/proc/%d/exe", (int)pid);
    g_autofree char *program = g_file_read_link(link, NULL);
    if (!text || !*text)
        return; /* a kernel thread, or it is gone */
    if (b->paths->library)
        stat(b->paths->library, &installed);
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    for (char **line = lines; *line; line++)
        look_at_line(*line, &m, &installed);
    if (m.driver && !m.library)
        doctor_add(rows, DOCTOR_LIBRARY_NOT_MAPPED, s->id, pid, "%s", program ? program : "?");
    else if (!m.loader)
        doctor_add(rows, DOCTOR_STATIC_PROGRAM, s->id, pid, "%s", program ? program : "?");
    else if (m.old_library)
        doctor_add(rows, DOCTOR_OLD_LIBRARY, s->id, pid, "%s", program ? program : "?");
}

static void examine_state(const struct ledger_slice *s, pid_t pid, GArray *rows)
{
    g_autofree char *text = proc_text(pid, "stat", NULL);
    const char *end = text ? strrchr(text, ')') : NULL;
    if (end && end[1] == ' ' && end[2] == 'D')
        doctor_add(rows, DOCTOR_HUNG, s->id, pid, "state D");
}

static GArray *processes_of(const struct ledger_slice *s)
{
    if (s->cgroup[0])
        return cgroup_processes(s->cgroup);
    GArray *pids = g_array_new(FALSE, FALSE, sizeof(pid_t));
    pid_t pid = s->main.pid;
    if (process_alive(&s->main))
        g_array_append_val(pids, pid);
    return pids;
}

void doctor_slice(struct broker *b, const struct ledger_slice *s, GArray *rows)
{
    if (s->state == LEDGER_ENDED)
        return;
    g_autoptr(GArray) pids = processes_of(s);
    if (!s->protected)
        doctor_add(rows, DOCTOR_SLICE_UNPROTECTED, s->id, 0, "%s", s->name);
    if (s->core_policy != GRANT_POLICY_FORCE && s->shares[0].cores_pct)
        doctor_add(rows, DOCTOR_CORE_POLICY, s->id, 0, "%s", settings_core_policy_name(s->core_policy));
    if (s->suspended)
        doctor_add(rows, DOCTOR_SUSPENDED, s->id, 0, "%s", s->name);
    examine_grant(b, s, rows);
    examine_region(b, s, rows);
    examine_wall(b, s, rows);
    for (guint i = 0; i < pids->len; i++) {
        pid_t pid = g_array_index(pids, pid_t, i);
        examine_environment(s, pid, rows);
        examine_maps(b, s, pid, rows);
        examine_state(s, pid, rows);
    }
}
